//! `bullmq-keda generate`.

use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::ValueEnum;
use clap::error::ErrorKind;

use super::{Outcome, Streams, input};
use crate::document::Dialect;
use crate::output::files::{self, Change, Difference, File};
use crate::output::{self, Format, Generated, Passage};
use crate::{Error, Request, alert, compile, report, spec};

/// Print the ScaledObjects of one or more specs.
///
/// Several specs, and several documents in one, are checked together. The same specs give the same bytes. A file is replaced whole
/// or left as it was, and one that has the content already is not touched.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Specs to read; `-` is stdin
    #[arg(value_name = "SPEC", required = true)]
    specs: Vec<PathBuf>,
    /// Where the manifests go: a file, a folder, or `-` for stdout
    ///
    /// A folder is one that exists, or a path that ends in `/`. It gets a file for each worker (yaml), these and their kustomization.yaml
    /// (kustomize), or, where it is the folder of a chart, the template and the fragments of values and schema (helm). Files of other
    /// people in it are never touched.
    #[arg(
        short,
        long,
        value_name = "FILE|DIR",
        default_value = "-",
        hide_default_value = true
    )]
    output: PathBuf,
    /// The form of the manifests
    #[arg(long, value_enum, value_name = "FORMAT", default_value_t = FormatName::Yaml)]
    format: FormatName,
    /// The key in the chart's values: of the settings of the template (helm), or of the list of manifests (helm-values)
    ///
    /// Dots lead to a key within a key. Unless told it is `bullmqKeda` for helm and `extraManifests` for helm-values.
    #[arg(long, value_name = "KEY", value_parser = values_key)]
    values_key: Option<String>,
    /// What the chart does with its extra manifests: prints them as they are, or renders templates in them (helm-values)
    ///
    /// It has to be said only where a text of yours has two braces in a row, because no such text comes unchanged through both.
    #[arg(long, value_enum, value_name = "FUNCTION")]
    values_through: Option<Through>,
    /// Add the alerts of each worker, as a PrometheusRule for the Prometheus operator
    ///
    /// They name the worker, its queues and its runbooks. `--format prometheus-rules` prints them as a rule file instead.
    #[arg(long)]
    alerts: bool,
    /// A label of each PrometheusRule, by which the Prometheus operator selects it; may be repeated
    #[arg(long = "alerts-label", value_name = "NAME=VALUE", value_parser = label)]
    alerts_labels: Vec<(String, String)>,
    /// What the `runbook_url` of each alert begins with: where you keep the pages of docs/runbooks
    #[arg(long, value_name = "URL", value_parser = url_prefix)]
    runbook_url_prefix: Option<String>,
    /// Write nothing; print how what is there differs, and exit with 1 if it does
    #[arg(long)]
    check: bool,
    /// Remove files of a folder that were made from these specs for workers that are no longer in them
    #[arg(long, conflicts_with = "check")]
    prune: bool,
}

const EXAMPLES: &str = "\
Examples:
  bullmq-keda generate spec.yaml | kubectl apply -f -
  bullmq-keda generate spec.yaml -o scaledobjects.yaml
  bullmq-keda generate specs/*.yaml -o scaling/ --prune     a file for each worker
  bullmq-keda generate spec.yaml -o scaling/ --check        in CI: is what is committed up to date?
  bullmq-keda generate spec.yaml --alerts --alerts-label release=kube-prometheus-stack | kubectl apply -f -
  bullmq-keda generate spec.yaml --format prometheus-rules -o /etc/prometheus/rules/workers.yaml
  bullmq-keda generate spec.yaml --format helm -o charts/shop/
  bullmq-keda generate spec.yaml --format helm-values --values-key extraObjects -o values-keda.yaml
  bullmq-keda generate spec.yaml --format kustomize -o components/scaling/";

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum FormatName {
    /// YAML documents
    Yaml,
    /// One List in JSON, as kubectl takes it
    Json,
    /// A template for your own chart, with values that replace what the spec says
    Helm,
    /// Values for a chart that takes extra manifests
    HelmValues,
    /// A component that also takes `spec.replicas` out of the targets
    Kustomize,
    /// A rule file of Prometheus with the alerts of each worker, and no manifests
    PrometheusRules,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Through {
    /// `{{ toYaml .Values.extraManifests }}`
    #[value(name = "toYaml")]
    ToYaml,
    /// `{{ tpl (toYaml .Values.extraManifests) . }}`
    #[value(name = "tpl")]
    Tpl,
}

fn label(text: &str) -> Result<(String, String), String> {
    let (name, value) = text
        .split_once('=')
        .ok_or("write a name, `=` and a value, as in `release=kube-prometheus-stack`")?;
    match spec::refused_label(name, value) {
        Some((_, why, help)) => Err(format!("{why}: {help}")),
        None => Ok((name.to_owned(), value.to_owned())),
    }
}

/// A URL, or the path of a folder. Two braces would begin a template of Prometheus.
fn url_prefix(text: &str) -> Result<String, String> {
    let prefix = text.trim_end_matches('/');
    if prefix.is_empty() || prefix.contains("{{") || !prefix.chars().all(|c| c.is_ascii_graphic()) {
        return Err(
            "write a URL such as `https://runbooks.example.com/bullmq`, to which a slash and a page are added"
                .to_owned(),
        );
    }
    Ok(prefix.to_owned())
}

fn values_key(text: &str) -> Result<String, String> {
    let part = |part: &str| {
        let mut characters = part.chars();
        characters
            .next()
            .is_some_and(|first| first.is_ascii_alphabetic() || first == '_')
            && characters.all(|other| other.is_ascii_alphanumeric() || "_-".contains(other))
    };
    if text.split('.').all(part) {
        Ok(text.to_owned())
    } else {
        Err("a key is letters, digits, `_` and `-`, and dots lead to a key within a key, as in `worker.extraManifests`".to_owned())
    }
}

/// Where the manifests go.
enum Place<'a> {
    Stdout,
    File(&'a Path),
    Folder(&'a Path),
}

impl Args {
    fn place(&self) -> Place<'_> {
        let path = self.output.as_path();
        let ends_in_slash = path
            .as_os_str()
            .as_encoded_bytes()
            .last()
            .is_some_and(|last| std::path::is_separator(char::from(*last)));
        if path == Path::new("-") {
            Place::Stdout
        } else if ends_in_slash || path.is_dir() {
            Place::Folder(path)
        } else {
            Place::File(path)
        }
    }

    fn format(&self) -> Format {
        let key = |default: &str| {
            self.values_key
                .clone()
                .unwrap_or_else(|| default.to_owned())
        };
        match self.format {
            FormatName::Yaml => Format::Yaml,
            FormatName::Json => Format::Json,
            FormatName::Helm => Format::Helm(key("bullmqKeda")),
            FormatName::HelmValues => Format::HelmValues {
                key: key("extraManifests"),
                passage: self.passage(),
            },
            FormatName::Kustomize => Format::Kustomize,
            FormatName::PrometheusRules => Format::PrometheusRules,
        }
    }

    const fn passage(&self) -> Passage {
        match self.values_through {
            None => Passage::Unknown,
            Some(Through::ToYaml) => Passage::ToYaml,
            Some(Through::Tpl) => Passage::Tpl,
        }
    }

    /// What is asked of the alerts; none if there are to be none.
    fn alerts(&self) -> Option<alert::Options> {
        let asked = self.alerts || self.format == FormatName::PrometheusRules;
        asked.then(|| {
            let prefix = self.runbook_url_prefix.as_deref();
            alert::Options {
                runbooks: prefix.unwrap_or(alert::RUNBOOKS).to_owned(),
                labels: self.alerts_labels.iter().cloned().collect(),
            }
        })
    }

    /// What flags mean together, before anything is read.
    fn check(&self) -> Result<(), clap::Error> {
        let refuse = |kind, message: &str| Err(super::usage_error("generate", kind, message));
        let format = self.format;
        let place = self.place();
        if self.values_key.is_some() && !matches!(format, FormatName::Helm | FormatName::HelmValues)
        {
            return refuse(
                ErrorKind::ArgumentConflict,
                "--values-key is for --format helm and --format helm-values: the other forms have no values",
            );
        }
        if !self.alerts_labels.is_empty() && !self.alerts {
            return refuse(
                ErrorKind::MissingRequiredArgument,
                "--alerts-label is of the PrometheusRules that --alerts adds; a rule file has no labels of its own",
            );
        }
        if self.runbook_url_prefix.is_some() && self.alerts().is_none() {
            return refuse(
                ErrorKind::MissingRequiredArgument,
                "--runbook-url-prefix is for the alerts: add --alerts, or choose --format prometheus-rules",
            );
        }
        if self.alerts && format == FormatName::PrometheusRules {
            return refuse(
                ErrorKind::ArgumentConflict,
                "--alerts adds a PrometheusRule to manifests, and --format prometheus-rules prints none: leave one of the two out",
            );
        }
        if self.values_through.is_some() && format != FormatName::HelmValues {
            return refuse(
                ErrorKind::ArgumentConflict,
                "--values-through is for --format helm-values: the other forms pass through nothing, or through a template of ours",
            );
        }
        if let Place::File(output) = place
            && let Some(spec) = self.specs.iter().find(|spec| same_file(spec, output))
        {
            return refuse(
                ErrorKind::ValueValidation,
                &format!("{} is a spec: name another file with -o", spec.display()),
            );
        }
        match place {
            Place::Stdout if self.check => refuse(
                ErrorKind::MissingRequiredArgument,
                "--check compares with what is there: name it with -o FILE or -o DIR/",
            ),
            Place::Stdout | Place::File(_) if self.prune => refuse(
                ErrorKind::ArgumentConflict,
                "--prune removes files of a folder: name it with -o DIR/",
            ),
            Place::Stdout | Place::File(_) if format == FormatName::Kustomize => refuse(
                ErrorKind::MissingRequiredArgument,
                "--format kustomize makes several files: name their folder with -o DIR/",
            ),
            Place::Folder(_)
                if matches!(
                    format,
                    FormatName::Json | FormatName::HelmValues | FormatName::PrometheusRules
                ) =>
            {
                refuse(
                    ErrorKind::ArgumentConflict,
                    "this form is one text: name a file with -o FILE, not a folder",
                )
            }
            Place::Folder(folder)
                if format == FormatName::Helm && !folder.join("Chart.yaml").is_file() =>
            {
                refuse(
                    ErrorKind::ValueValidation,
                    &format!(
                        "no Chart.yaml in {}: --format helm takes the folder of your chart, or with -o FILE a file in its templates/",
                        folder.display()
                    ),
                )
            }
            Place::Stdout | Place::File(_) | Place::Folder(_) => Ok(()),
        }
    }
}

/// Whether two paths lead to one file that is there.
fn same_file(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| path.canonicalize().ok();
    place(one).is_some_and(|one| place(other) == Some(one))
}

pub(super) fn run(args: &Args, quiet: bool, streams: &mut Streams<'_>) -> anyhow::Result<Outcome> {
    if let Err(error) = args.check() {
        return super::tell_usage(&error, streams);
    }
    let inputs = input::read_all(&args.specs, Dialect::SPEC, streams.stdin)?;
    let request = Request {
        alerts: args.alerts(),
        passage: (args.format == FormatName::HelmValues).then(|| args.passage()),
    };
    let generated = match compile(inputs, &request) {
        Ok(generated) => generated,
        Err(Error::Invalid { problems, sources }) => {
            let text = report::text(
                &problems,
                &sources,
                "no manifest was written",
                streams.colour,
            );
            streams
                .stderr
                .write_all(text.as_bytes())
                .context("cannot write to stderr")?;
            return Ok(Outcome::Invalid);
        }
        Err(Error::Output(error)) => return Err(error.into()),
    };
    place(args, &generated, quiet, streams)
}

fn place(
    args: &Args,
    generated: &Generated,
    quiet: bool,
    streams: &mut Streams<'_>,
) -> anyhow::Result<Outcome> {
    let format = args.format();
    let one_text = || output::text(generated, &format);
    let difference = match args.place() {
        Place::Stdout => {
            write(streams, &one_text()?).context(STDOUT)?;
            return Ok(Outcome::Made);
        }
        Place::Folder(folder) => match files::of_folder(generated, &format)? {
            Some(files) => files::compare_folder(folder, files, generated)?,
            // Refused as wrong usage before; were it not, the folder would be refused here as no file.
            None => compare(folder, one_text()?)?,
        },
        Place::File(path) => compare(path, one_text()?)?,
    };
    if args.check {
        return show(&difference, quiet, streams);
    }
    files::bring_about(&difference, args.prune)?;
    tell(&difference, args.prune, quiet, streams)
}

fn compare(path: &Path, content: String) -> Result<Difference, output::Error> {
    let path = path.to_owned();
    files::compare_file(File { path, content })
}

fn write(streams: &mut Streams<'_>, text: &str) -> io::Result<()> {
    streams.stdout.write_all(text.as_bytes())?;
    streams.stdout.flush()
}

const STDOUT: &str = "cannot write to stdout";

/// Shows what a run would change: the differences on stdout, because they were asked for, and their sum on stderr.
fn show(
    difference: &Difference,
    quiet: bool,
    streams: &mut Streams<'_>,
) -> anyhow::Result<Outcome> {
    let changes = difference.changes.iter().chain(&difference.stale);
    let diffs: String = changes.map(Change::diff).collect();
    match write(streams, &diffs) {
        // Whoever has read enough of the difference must still be told that there is one.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        other => other.context(STDOUT)?,
    }
    let mut notes = String::new();
    let count = difference.changes.len() + difference.stale.len();
    if count > 0 {
        // Writing to a String cannot fail.
        let _ = writeln!(
            notes,
            "{count} {} not what the specs make: run the same without --check{}",
            if count == 1 { "file is" } else { "files are" },
            if difference.stale.is_empty() {
                ""
            } else {
                " and with --prune"
            },
        );
    }
    notes.push_str(&of_other_specs(difference));
    note(&notes, quiet, streams)?;
    Ok(if count > 0 {
        Outcome::Differs
    } else {
        Outcome::Made
    })
}

/// Tells what is left in a folder and may still be applied with it.
fn tell(
    difference: &Difference,
    pruned: bool,
    quiet: bool,
    streams: &mut Streams<'_>,
) -> anyhow::Result<Outcome> {
    let mut notes = String::new();
    for Change { path, .. } in difference.stale.iter().filter(|_| !pruned) {
        // Writing to a String cannot fail.
        let _ = writeln!(
            notes,
            "warning: {} is left over: its worker is no longer in the specs; --prune removes it",
            path.display()
        );
    }
    notes.push_str(&of_other_specs(difference));
    note(&notes, quiet, streams)?;
    Ok(Outcome::Made)
}

fn of_other_specs(difference: &Difference) -> String {
    let mut notes = String::new();
    for (path, spec) in &difference.of_specs_before {
        // Writing to a String cannot fail.
        let _ = writeln!(
            notes,
            "note: {} was made from {spec} before; to have the workers of both, give all specs in one run",
            path.display()
        );
    }
    for (path, spec) in &difference.of_other_specs {
        let _ = writeln!(
            notes,
            "note: {} was made from {spec}, which was not given; it is left as it is",
            path.display()
        );
    }
    notes
}

fn note(text: &str, quiet: bool, streams: &mut Streams<'_>) -> anyhow::Result<()> {
    if quiet {
        return Ok(());
    }
    streams
        .stderr
        .write_all(text.as_bytes())
        .context("cannot write to stderr")
}

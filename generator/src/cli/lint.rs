//! `bullmq-keda lint`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, bail};
use clap::ValueEnum;

use super::{Outcome, Streams, input};
use crate::Input;
use crate::document::Dialect;
use crate::lint::{self, Options, Origin, Report, Version};
use crate::problem::Severity;
use crate::report;

/// How many files a folder may hold: more is not the folder that was meant, such as `/`.
const MAX_FILES: usize = 10_000;
/// How deep folders are searched.
const MAX_DEPTH: usize = 32;

/// Find what is wrong, or unwise, in specs and in manifests: ours or anyone's.
///
/// Reads ScaledObjects, ScaledJobs, TriggerAuthentications, and the Deployments, StatefulSets, HPAs and PodDisruptionBudgets beside
/// them, as Helm or kustomize render them. Other kinds are passed over. A comment
/// `# bullmq-keda: ignore RULE why it is right here` suppresses a rule on its line, the line below or, at the head of an object, in the object.
///
/// Exit codes: 0 nothing found at or above --fail-on, 1 something found, 2 wrong usage, or a file could not be read.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files to check, or folders whose .yaml, .yml and .json files are; `-` is stdin.
    #[arg(value_name = "FILE", required = true)]
    files: Vec<PathBuf>,
    /// How findings are told: text on stderr, everything else on stdout.
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// The least severity that makes the exit code 1.
    #[arg(long, value_name = "SEVERITY", default_value = "warning")]
    fail_on: FailOn,
    /// The KEDA that the manifests are applied to.
    #[arg(long, value_name = "VERSION", default_value = "2.20")]
    keda_version: Version,
    /// The Kubernetes that the manifests are applied to; without it nothing is said of its version.
    #[arg(long, value_name = "VERSION")]
    kubernetes_version: Option<Version>,
    /// Tell only findings that make the exit code 1, and nothing if there are none.
    #[arg(short, long)]
    quiet: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Frames for people.
    Text,
    /// One JSON object.
    Json,
    /// Workflow commands, which GitHub shows beside the line.
    Github,
    /// SARIF 2.1.0, for code scanning.
    Sarif,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FailOn {
    Error,
    Warning,
    Info,
}

impl From<FailOn> for Severity {
    fn from(fail_on: FailOn) -> Self {
        match fail_on {
            FailOn::Error => Self::Error,
            FailOn::Warning => Self::Warning,
            FailOn::Info => Self::Info,
        }
    }
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> anyhow::Result<Outcome> {
    let options = Options {
        keda: args.keda_version,
        kubernetes: args.kubernetes_version,
    };
    let mut report = lint::lint(inputs(&args.files, streams)?, &options);
    let least = Severity::from(args.fail_on);
    let failed = report
        .problems
        .iter()
        .any(|problem| problem.severity >= least);
    if args.quiet {
        report.problems.retain(|problem| problem.severity >= least);
    }
    tell(args, &report, streams)?;
    Ok(if failed {
        Outcome::Invalid
    } else {
        Outcome::Made
    })
}

fn tell(args: &Args, report: &Report, streams: &mut Streams<'_>) -> anyhow::Result<()> {
    let text = match args.output {
        Format::Text => {
            let text = match report.problems.as_slice() {
                [] if args.quiet => return Ok(()),
                [] => format!("nothing found in {}\n", objects(report)),
                problems => {
                    report::text(problems, &report.sources, &summary(report), streams.colour)
                }
            };
            let written = streams.stderr.write_all(text.as_bytes());
            return written.context("cannot write to stderr");
        }
        Format::Json => report::json(report)?,
        Format::Github => report::github(report),
        Format::Sarif => report::sarif(report)?,
    };
    let written = streams.stdout.write_all(text.as_bytes());
    written
        .and_then(|()| streams.stdout.flush())
        .context("cannot write to stdout")
}

fn objects(report: &Report) -> String {
    let suppressed = match report.suppressed.len() {
        0 => String::new(),
        suppressed => format!(", {suppressed} suppressed"),
    };
    match report.checked.len() {
        1 => format!("1 object{suppressed}"),
        objects => format!("{objects} objects{suppressed}"),
    }
}

/// What follows from the findings, for the last line.
fn summary(report: &Report) -> String {
    let counts = [
        (report.count(Severity::Error), "error", "errors"),
        (report.count(Severity::Warning), "warning", "warnings"),
        (report.count(Severity::Info), "info", "infos"),
    ];
    let mut parts: Vec<String> = counts
        .iter()
        .filter(|(count, ..)| *count > 0)
        .map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }))
        .collect();
    if !report.suppressed.is_empty() {
        parts.push(format!("{} suppressed", report.suppressed.len()));
    }
    format!(
        "{}; `bullmq-keda explain --rule ID` says more",
        parts.join(", ")
    )
}

/// Reads every file, and the files in every folder, in a stable order.
fn inputs(files: &[PathBuf], streams: &mut Streams<'_>) -> anyhow::Result<Vec<(Input, Origin)>> {
    let mut all = Vec::new();
    for path in files {
        if path != Path::new("-") && path.is_dir() {
            let mut found = Vec::new();
            walk(path, 0, &mut found).with_context(|| format!("cannot read {}", path.display()))?;
            if found.is_empty() {
                bail!("{} holds no .yaml, .yml or .json file", path.display());
            }
            found.sort();
            let read = input::read_all(&found, Dialect::MANIFESTS, streams.stdin)?;
            all.extend(read.into_iter().map(|input| (input, Origin::Found)));
        } else {
            let path = std::slice::from_ref(path);
            let read = input::read_all(path, Dialect::MANIFESTS, streams.stdin)?;
            all.extend(read.into_iter().map(|input| (input, Origin::Named)));
        }
    }
    Ok(all)
}

fn walk(folder: &Path, depth: usize, found: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name().to_string_lossy().starts_with('.') {
            continue;
        }
        // A link to a folder is not followed: it may lead back.
        if entry.file_type()?.is_dir() {
            if depth < MAX_DEPTH {
                walk(&path, depth + 1, found)?;
            }
        } else if path
            .extension()
            .is_some_and(|end| end == "yaml" || end == "yml" || end == "json")
        {
            found.push(path);
        }
        if found.len() > MAX_FILES {
            let message = format!(
                "there are more than {MAX_FILES} files in it; name the folders that are meant"
            );
            return Err(io::Error::other(message));
        }
    }
    Ok(())
}

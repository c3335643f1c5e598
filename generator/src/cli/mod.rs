//! The command line: what was typed, read and answered. One file a verb; every stream is an argument, so that tests can be the
//! terminal.

mod access;
mod completions;
mod explain;
mod generate;
mod history;
mod init;
mod input;
mod lint;
mod man;
mod patience;
mod schema;
mod simulate;
mod verify;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

use crate::page::Screen;
use crate::report;
use crate::spec::closest;

/// Turns a short spec of BullMQ workers into KEDA ScaledObjects.
#[derive(Debug, Parser)]
#[command(name = "bullmq-keda", version, arg_required_else_help = true, after_help = AFTER_HELP)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
    /// Say nothing on stderr but errors
    #[arg(short, long, global = true)]
    quiet: bool,
}

/// For somebody who has this program and nothing else.
const AFTER_HELP: &str = "\
A first spec, spec.yaml:
  apiVersion: bullmq-keda/v1
  prometheus: {serverAddress: \"http://prometheus.monitoring.svc:9090\"}
  workers:
    - name: email                        # of the ScaledObject
      namespace: shop
      target: {name: email-worker}       # the Deployment
      queues: [email]
      concurrency: 10                    # jobs in one replica at once
      replicas: {min: 0, max: 20}

Examples:
  bullmq-keda generate spec.yaml
  bullmq-keda generate spec.yaml | kubectl apply -f -
  bullmq-keda init --exporter http://localhost:9538    a first spec from the queues that exist
  bullmq-keda simulate spec.yaml                       what it would do for a load
  bullmq-keda help generate

Exit codes:
  0  done; nothing found
  1  a spec is wrong, --check found a difference, lint found something, or workers would not scale
  2  wrong usage, a file could not be read or written, or a server could not be reached

Environment:
  NO_COLOR  if set and not empty, nothing is coloured";

#[derive(Debug, Subcommand)]
enum Verb {
    Generate(generate::Args),
    Lint(lint::Args),
    Init(Box<init::Args>),
    Explain(explain::Args),
    Verify(Box<verify::Args>),
    Simulate(Box<simulate::Args>),
    Schema(schema::Args),
    Completions(completions::Args),
    Man(man::Args),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was asked for was made, or is as it should be.
    Made,
    /// A spec is wrong, or there is nothing to make one of, and nothing was written; or something was found, or workers would not scale.
    Invalid,
    /// What is there differs from what was asked to be there.
    Differs,
    /// The command line was wrong, or what was asked could not be reached.
    Usage,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Made => Self::SUCCESS,
            Outcome::Invalid | Outcome::Differs => Self::from(1),
            Outcome::Usage => Self::from(2),
        }
    }
}

/// The streams of one run.
pub struct Streams<'s> {
    /// Read if a spec is `-`.
    pub stdin: &'s mut dyn Read,
    /// What was asked for: manifests, differences, explanations, help, version; and nothing else.
    pub stdout: &'s mut dyn Write,
    /// Everything else.
    pub stderr: &'s mut dyn Write,
    /// Whether what goes to `stderr` is coloured.
    pub colour: bool,
    /// What `stdout` shows.
    pub screen: Screen,
}

/// Runs one command line, the program's name first.
///
/// # Errors
///
/// A file that could not be read or written, with its name, or a stream that failed.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    streams: &mut Streams<'_>,
) -> anyhow::Result<Outcome> {
    match Args::try_parse_from(args) {
        Ok(Args { verb, quiet }) => match verb {
            Verb::Generate(args) => generate::run(&args, quiet, streams),
            Verb::Lint(args) => lint::run(&args, streams),
            Verb::Init(args) => init::run(&args, quiet, streams),
            Verb::Explain(args) => explain::run(&args, streams),
            Verb::Verify(args) => verify::run(&args, quiet, streams),
            Verb::Simulate(args) => simulate::run(&args, quiet, streams),
            Verb::Schema(schema::Args {}) => schema::run(streams),
            Verb::Completions(args) => completions::run(&args, streams),
            Verb::Man(args) => man::run(&args, streams),
        },
        Err(error) => tell_usage(&error, streams),
    }
}

/// Tells what the command line lacks, or the help or version that it asked for.
fn tell_usage(error: &clap::Error, streams: &mut Streams<'_>) -> anyhow::Result<Outcome> {
    let text = error.render();
    let for_stdout = !error.use_stderr();
    let text = if streams.colour && !for_stdout {
        text.ansi().to_string()
    } else {
        text.to_string()
    };
    // What ends in examples ends without a line's end.
    let text = format!("{}\n", text.trim_end_matches('\n'));
    if for_stdout {
        write!(streams.stdout, "{text}").context("cannot write to stdout")?;
        return Ok(Outcome::Made);
    }
    write!(streams.stderr, "{text}").context("cannot write to stderr")?;
    Ok(Outcome::Usage)
}

/// Tells what is wrong with specs, and that `nothing` came of them.
fn tell_problems(
    error: crate::Error,
    nothing: &str,
    streams: &mut Streams<'_>,
) -> anyhow::Result<Outcome> {
    match error {
        crate::Error::Invalid { problems, sources } => {
            let text = report::text(&problems, &sources, nothing, streams.colour);
            let written = streams.stderr.write_all(text.as_bytes());
            written.context("cannot write to stderr")?;
            Ok(Outcome::Invalid)
        }
        error @ crate::Error::Output(_) => Err(error.into()),
    }
}

/// Prints what was asked for.
fn print(text: &str, streams: &mut Streams<'_>) -> anyhow::Result<Outcome> {
    let written = streams.stdout.write_all(text.as_bytes());
    written
        .and_then(|()| streams.stdout.flush())
        .context("cannot write to stdout")?;
    Ok(Outcome::Made)
}

/// A time within bounds, which are told as `from`.
fn time_within(
    text: &str,
    bounds: std::ops::RangeInclusive<std::time::Duration>,
    from: &str,
    example: &str,
) -> Result<std::time::Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if bounds.contains(&time) => Ok(time),
        Ok(_) => Err(format!("write a time from {from}")),
        Err(_) => Err(format!("write a number with a unit, such as `{example}`")),
    }
}

/// Tells that there is none of this name, and which was probably meant.
fn unknown(
    what: &str,
    name: &str,
    known: &[&str],
    streams: &mut Streams<'_>,
) -> anyhow::Result<Outcome> {
    // Half of an id is most of what people remember.
    let half = known
        .iter()
        .find(|id| id.split('/').any(|part| part == name))
        .copied();
    let help = match (closest(name, known).or(half), what) {
        (Some(close), _) => format!("did you mean `{}`?", close.escape_debug()),
        (None, "rule") => "`bullmq-keda explain --rules` lists them".to_owned(),
        (None, _) => {
            let known: Vec<_> = known.iter().map(|name| format!("`{name}`")).collect();
            format!("there is {}", known.join(", "))
        }
    };
    let name = name.escape_debug();
    writeln!(streams.stderr, "error: there is no {what} `{name}`; {help}")
        .context("cannot write to stderr")?;
    Ok(Outcome::Usage)
}

/// What is wrong with flags of a verb that are right one by one, in the words of those that are not.
fn usage_error(verb: &str, kind: ErrorKind, message: &str) -> clap::Error {
    let mut command = Args::command();
    command.build();
    match command.find_subcommand_mut(verb) {
        Some(verb) => verb.error(kind, message),
        None => command.error(kind, message),
    }
}

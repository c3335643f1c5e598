//! The command line: what was typed, read and answered. One file a verb; every stream is an argument, so that tests can be the
//! terminal.

mod access;
mod generate;
mod init;
mod input;
mod verify;

use std::ffi::OsString;
use std::io::{Read, Write};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

/// Turns a short spec of BullMQ workers into KEDA ScaledObjects.
#[derive(Debug, Parser)]
#[command(name = "bullmq-keda", version, arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Generate(generate::Args),
    Init(Box<init::Args>),
    Verify(Box<verify::Args>),
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was asked for was made, or is as it should be.
    Made,
    /// A spec is wrong, or there is nothing to make one of, and nothing was written; or workers would not scale.
    Invalid,
    /// The command line was wrong, or what was asked could not be reached.
    Usage,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Made => Self::SUCCESS,
            Outcome::Invalid => Self::from(1),
            Outcome::Usage => Self::from(2),
        }
    }
}

/// The streams of one run.
pub struct Streams<'s> {
    /// Read if a spec is `-`.
    pub stdin: &'s mut dyn Read,
    /// Manifests, help and version, and nothing else.
    pub stdout: &'s mut dyn Write,
    /// Everything else.
    pub stderr: &'s mut dyn Write,
    /// Whether what goes to `stderr` is coloured.
    pub colour: bool,
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
        Ok(Args { verb }) => match verb {
            Verb::Generate(args) => generate::run(&args, streams),
            Verb::Init(args) => init::run(&args, streams),
            Verb::Verify(args) => verify::run(&args, streams),
        },
        Err(error) => {
            let text = error.render();
            if !error.use_stderr() {
                write!(streams.stdout, "{text}").context("cannot write to stdout")?;
                return Ok(Outcome::Made);
            }
            let text = if streams.colour {
                text.ansi().to_string()
            } else {
                text.to_string()
            };
            write!(streams.stderr, "{text}").context("cannot write to stderr")?;
            Ok(Outcome::Usage)
        }
    }
}

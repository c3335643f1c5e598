//! The command line: what was typed, read and answered. Every stream is an argument, so that tests can be the terminal.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Parser, Subcommand};

use crate::{Error, Input, generate, output, problem};

/// Turns a short spec of BullMQ workers into KEDA ScaledObjects.
#[derive(Debug, Parser)]
#[command(name = "bullmq-keda", version, arg_required_else_help = true)]
struct Args {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print the ScaledObjects of one or more specs.
    ///
    /// Exit codes: 0 made, 1 a spec is wrong and nothing was written, 2 wrong usage, or a file could not be read or written.
    Generate {
        /// Specs to read; `-` is stdin.
        #[arg(value_name = "SPEC", required = true)]
        specs: Vec<PathBuf>,
        /// Where the manifests go; `-` is stdout. A file is replaced whole, or left as it was.
        #[arg(short, long, value_name = "FILE", default_value = "-")]
        output: PathBuf,
    },
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// What was asked for was made.
    Made,
    /// A spec is wrong, and nothing was written.
    Invalid,
    /// The command line was wrong.
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
        Ok(Args {
            verb: Verb::Generate { specs, output },
        }) => run_generate(&specs, &output, streams),
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

fn run_generate(
    specs: &[PathBuf],
    output: &Path,
    streams: &mut Streams<'_>,
) -> anyhow::Result<Outcome> {
    let inputs = specs
        .iter()
        .map(|path| {
            read(path, streams.stdin).with_context(|| format!("cannot read {}", shown(path)))
        })
        .collect::<anyhow::Result<Vec<_>>>()?;
    match generate(inputs) {
        Ok(manifests) if output == Path::new("-") => {
            let written = streams.stdout.write_all(manifests.as_bytes());
            written
                .and_then(|()| streams.stdout.flush())
                .context("cannot write to stdout")?;
            Ok(Outcome::Made)
        }
        Ok(manifests) => {
            output::write_file(output, &manifests)?;
            Ok(Outcome::Made)
        }
        Err(Error::Invalid { problems, sources }) => {
            let text = problem::render(&problems, &sources, streams.colour);
            streams
                .stderr
                .write_all(text.as_bytes())
                .context("cannot write to stderr")?;
            Ok(Outcome::Invalid)
        }
        Err(Error::Output(error)) => Err(error.into()),
    }
}

fn read(path: &Path, stdin: &mut dyn Read) -> io::Result<Input> {
    // One byte more than a spec may have is enough to refuse it, however long the input is.
    let limit = u64::try_from(crate::document::MAX_BYTES)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        stdin.take(limit).read_to_end(&mut bytes)?;
    } else {
        fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    }
    let name = shown(path);
    let short_name = match path.file_name() {
        Some(file) if path != Path::new("-") => file.to_string_lossy().into_owned(),
        Some(_) | None => name.clone(),
    };
    Ok(Input {
        name,
        short_name,
        bytes,
    })
}

fn shown(path: &Path) -> String {
    if path == Path::new("-") {
        "<stdin>".to_owned()
    } else {
        path.display().to_string()
    }
}

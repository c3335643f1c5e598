//! `bullmq-keda generate`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::{Outcome, Streams, input};
use crate::document::Dialect;
use crate::{Error, generate, output, report};

/// Print the ScaledObjects of one or more specs.
///
/// Exit codes: 0 made, 1 a spec is wrong and nothing was written, 2 wrong usage, or a file could not be read or written.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Specs to read; `-` is stdin.
    #[arg(value_name = "SPEC", required = true)]
    specs: Vec<PathBuf>,
    /// Where the manifests go; `-` is stdout. A file is replaced whole, or left as it was.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> anyhow::Result<Outcome> {
    let output = args.output.as_path();
    let inputs = input::read_all(&args.specs, Dialect::SPEC, streams.stdin)?;
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
            Ok(Outcome::Invalid)
        }
        Err(Error::Output(error)) => Err(error.into()),
    }
}

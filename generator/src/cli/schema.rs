//! `bullmq-keda schema`.

use anyhow::Context as _;

use super::{Outcome, Streams};
use crate::spec::shape;

/// Print the JSON Schema of a spec, for editors.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {}

const EXAMPLES: &str = "\
Examples:
  bullmq-keda schema > spec.schema.json

An editor with the YAML language server uses it for a spec that begins with the line
  # yaml-language-server: $schema=spec.schema.json";

pub(super) fn run(streams: &mut Streams<'_>) -> anyhow::Result<Outcome> {
    let mut text = serde_json::to_string_pretty(&shape::schema()).context("writing the schema")?;
    text.push('\n');
    let written = streams.stdout.write_all(text.as_bytes());
    written
        .and_then(|()| streams.stdout.flush())
        .context("cannot write to stdout")?;
    Ok(Outcome::Made)
}

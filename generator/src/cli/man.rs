//! `bullmq-keda man`.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::CommandFactory as _;

use super::{Outcome, Streams};
use crate::output::files;

/// Print the manual pages, one for the program and one for each command.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// A folder that gets a file for each page; `-` prints all pages to stdout
    #[arg(
        short,
        long,
        value_name = "DIR",
        default_value = "-",
        hide_default_value = true
    )]
    output: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  bullmq-keda man | man -l -
  bullmq-keda man -o ~/.local/share/man/man1/ && man bullmq-keda-generate";

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> anyhow::Result<Outcome> {
    let mut command = super::Args::command().disable_help_subcommand(true);
    command.build();
    let mut pages = Vec::new();
    collect(&command, &mut pages)?;
    if args.output == Path::new("-") {
        for (_, page) in &pages {
            streams
                .stdout
                .write_all(page.as_bytes())
                .context("cannot write to stdout")?;
        }
        streams.stdout.flush().context("cannot write to stdout")?;
        return Ok(Outcome::Made);
    }
    std::fs::create_dir_all(&args.output)
        .with_context(|| format!("cannot make the folder {}", args.output.display()))?;
    for (name, page) in &pages {
        files::write_file(&args.output.join(name), page)?;
    }
    Ok(Outcome::Made)
}

/// The page of a command and those of its own commands, each with the name of its file.
fn collect(command: &clap::Command, pages: &mut Vec<(String, String)>) -> anyhow::Result<()> {
    let page = clap_mangen::Man::new(command.clone());
    let mut text = Vec::new();
    let name = page.get_filename();
    page.render(&mut text)
        .with_context(|| format!("cannot make the page {name}"))?;
    pages.push((name, String::from_utf8_lossy(&text).into_owned()));
    for inner in command.get_subcommands() {
        collect(inner, pages)?;
    }
    Ok(())
}

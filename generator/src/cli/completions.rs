//! `bullmq-keda completions`.

use anyhow::Context as _;
use clap::CommandFactory as _;
use clap_complete::Shell;

use super::{Outcome, Streams};

/// Print what a shell needs to complete commands, flags and files.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  bullmq-keda completions bash > ~/.local/share/bash-completion/completions/bullmq-keda
  bullmq-keda completions zsh > ~/.zfunc/_bullmq-keda          with ~/.zfunc in $fpath
  bullmq-keda completions fish > ~/.config/fish/completions/bullmq-keda.fish";

/// In its script for bash `clap_complete` 4.6.11 takes a name with a `-` for a command within a command, in some places and not in others,
/// so that no command of it would complete anything. A release that mends it leaves nothing to replace.
const TAKEN_APART: &str = "bullmq__subcmd__keda__subcmd__";
const WHOLE: &str = "bullmq__keda__subcmd__";

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> anyhow::Result<Outcome> {
    let mut script = Vec::new();
    clap_complete::generate(
        args.shell,
        &mut super::Args::command(),
        env!("CARGO_PKG_NAME"),
        &mut script,
    );
    let mut script = String::from_utf8_lossy(&script).into_owned();
    if args.shell == Shell::Bash {
        script = script.replace(TAKEN_APART, WHOLE);
    }
    let written = streams.stdout.write_all(script.as_bytes());
    written
        .and_then(|()| streams.stdout.flush())
        .context("cannot write to stdout")?;
    Ok(Outcome::Made)
}

//! What packages ship beside the program, made from the flags themselves: completions for shells, and the manual page.
//!
//! Neither shows what the environment holds: a package may be built where a password is set.

use clap::CommandFactory as _;
use clap_complete::Shell;

use super::Flags;

const NAME: &str = "bullmq-exporter";

/// A script by which a shell completes the flags and their words.
pub(super) fn completions(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Flags::command(), NAME, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// The manual page, in roff.
pub(super) fn page() -> String {
    let page = clap_mangen::Man::new(Flags::command())
        .manual("bullmq-exporter")
        .source(concat!("bullmq-exporter ", env!("CARGO_PKG_VERSION")));
    let mut text = Vec::new();
    // Memory takes all that is written to it.
    let _ = page.render(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

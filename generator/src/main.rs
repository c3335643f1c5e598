//! `bullmq-keda`: reads specs of BullMQ workers and prints KEDA ScaledObjects. One run, no state, and no network but for the verbs that
//! ask a server.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use bullmq_keda::cli::{Outcome, Streams, run};
use bullmq_keda::page::Screen;

fn main() -> ExitCode {
    let may_colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let screen = Screen {
        width: terminal_size::terminal_size()
            .filter(|_| io::stdout().is_terminal())
            .map_or(Screen::PLAIN.width, |(width, _)| usize::from(width.0)),
        colour: io::stdout().is_terminal() && may_colour,
        unicode: locale_is_utf8(),
    };
    let mut streams = Streams {
        stdin: &mut io::stdin().lock(),
        stdout: &mut io::stdout().lock(),
        stderr: &mut io::stderr().lock(),
        colour: io::stderr().is_terminal() && may_colour,
        screen,
    };
    match run(std::env::args_os(), &mut streams) {
        Ok(outcome) => outcome.into(),
        // Whoever reads the manifests has read enough.
        Err(error) if is_broken_pipe(&error) => Outcome::Made.into(),
        Err(error) => {
            // If stderr is gone too there is nobody left to tell.
            let _ = writeln!(streams.stderr, "error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// The first of these that is set decides: <https://pubs.opengroup.org/onlinepubs/9799919799/basedefs/V1_chap08.html>.
fn locale_is_utf8() -> bool {
    ["LC_ALL", "LC_CTYPE", "LANG"]
        .into_iter()
        .filter_map(std::env::var_os)
        .find(|value| !value.is_empty())
        .is_some_and(|value| {
            let value = value.to_string_lossy().to_lowercase();
            value.contains("utf-8") || value.contains("utf8")
        })
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

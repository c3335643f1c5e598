//! `bullmq-keda`: reads specs of BullMQ workers and prints KEDA ScaledObjects. One run, no state, and no network but for the verbs that
//! ask a server.

use std::io::{self, IsTerminal as _};
use std::process::ExitCode;

use bullmq_keda::cli::{Outcome, Streams, run};

fn main() -> ExitCode {
    let colour = io::stderr().is_terminal()
        && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let mut streams = Streams {
        stdin: &mut io::stdin().lock(),
        stdout: &mut io::stdout().lock(),
        stderr: &mut io::stderr().lock(),
        colour,
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

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .chain()
        .filter_map(|cause| cause.downcast_ref::<io::Error>())
        .any(|cause| cause.kind() == io::ErrorKind::BrokenPipe)
}

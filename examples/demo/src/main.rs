//! The journey from a queue to its workers in two minutes: real Redis, BullMQ, Prometheus and bullmq-exporter, and a small
//! controller in the place of KEDA and the HPA. It ends by itself or at a signal, and leaves nothing running.

mod autoscaler;
mod interrupt;
mod manifest;
mod observation;
mod scene;
mod sparkline;
mod spec;
mod stage;
mod story;
mod view;
mod workers;

use std::io::{self, IsTerminal as _, Write};
use std::process::ExitCode;

use acceptance::keep_logs_in;
use anyhow::{Context as _, Result, anyhow};
use tempfile::TempDir;

use crate::interrupt::{Interrupt, Interrupted};
use crate::stage::Stage;
use crate::story::{SPEED, Story};
use crate::view::View;

/// What the environment and the terminal say.
struct Settings {
    /// Stay after the story, until a signal comes.
    keep: bool,
    coloured: bool,
    /// The terminal can be drawn on.
    drawable: bool,
}

impl Settings {
    fn from_surroundings() -> Self {
        let says = |name| std::env::var_os(name).filter(|value| !value.is_empty());
        Self {
            keep: says("KEEP").is_some_and(|value| value != "0"),
            coloured: says("NO_COLOR").is_none(),
            drawable: io::stdout().is_terminal() && says("TERM").is_none_or(|name| name != "dumb"),
        }
    }
}

fn main() -> ExitCode {
    let (code, message) = match play() {
        Ok(None) => return ExitCode::SUCCESS,
        Ok(Some(signal)) => {
            let message = "Interrupted. Everything that was started has been ended.".to_owned();
            (signal.exit_code(), message)
        }
        Err(error) => (1, format!("The demo failed: {error:#}")),
    };
    // There is nobody to tell when the terminal is gone.
    let _ = writeln!(io::stderr(), "\n{message}");
    ExitCode::from(code)
}

/// Plays it, keeps the logs if it fails, and returns the signal that ended it before its end.
fn play() -> Result<Option<Interrupted>> {
    let interrupt = Interrupt::listen()?;
    let logs = log_folder()?;
    keep_logs_in(logs.path());
    let outcome = run(
        &Settings::from_surroundings(),
        &interrupt,
        &mut io::stdout().lock(),
    );
    match (outcome, interrupt.received()) {
        (Ok(()), _) => Ok(None),
        // Ctrl-C in a terminal reaches the children too, and each fails in its own way.
        (Err(_), Some(signal)) => Ok(Some(signal)),
        (Err(error), None) => {
            let logs = logs.keep();
            let logs = logs.display();
            Err(anyhow!(
                "{error:#}\nThe logs of everything that it started are in {logs}"
            ))
        }
    }
}

fn run<W: Write>(settings: &Settings, interrupt: &Interrupt, out: &mut W) -> Result<()> {
    writeln!(
        out,
        "BullMQ workers that scale from zero and back, without a cluster.\n\
         It takes about two minutes; times run {SPEED} times faster than in a cluster.\n"
    )?;
    let mut stage = Stage::set(out, interrupt)?;
    let view = if settings.drawable {
        View::live(out, settings.coloured)?
    } else {
        View::plain(out)
    };
    let mut story = Story::new(&mut stage, view, interrupt);
    story.tell()?;
    if settings.keep {
        story.stay()?;
    }
    let seen = story.end();
    seen.summarize(out)
}

/// An empty folder in the build folder, beside the profile's that this program is in; it is removed unless it is kept.
fn log_folder() -> Result<TempDir> {
    let program = std::env::current_exe()?;
    let build = program
        .ancestors()
        .nth(2)
        .context("this program has no folder")?;
    let folder = tempfile::Builder::new()
        .prefix("demo-logs-")
        .tempdir_in(build);
    folder.with_context(|| format!("a folder in {}", build.display()))
}

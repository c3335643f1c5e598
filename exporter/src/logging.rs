//! The log: one line an event on standard error.

use std::any::Any;
use std::io::{self, Write as _};
use std::panic;

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing::{dispatcher, error};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{Layer as _, fmt};

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Level {
    /// Everything, for looking into a problem.
    Debug,
    /// What begins, changes and ends.
    Info,
    /// What needs a look.
    Warn,
    /// What keeps the exporter from its work.
    Error,
}

/// In which form it is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// key=value pairs, as Prometheus logs.
    Logfmt,
    /// One JSON object a line.
    Json,
}

/// Starts logging; a second call does nothing.
pub fn start(level: Level, format: Format) {
    let level = match level {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    // Libraries may log what they send; only our own events are known to hold no secrets.
    let ours = Targets::new().with_target(env!("CARGO_CRATE_NAME"), level);
    let layer = match format {
        Format::Logfmt => tracing_logfmt::builder()
            .with_target(false)
            .layer()
            .with_writer(io::stderr)
            .boxed(),
        Format::Json => fmt::layer()
            .json()
            .with_target(false)
            .with_writer(io::stderr)
            .boxed(),
    };
    // Only tests start it twice.
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(ours))
        .try_init();
}

/// Has panics told without what they were about, in the log once it is started.
///
/// A panic is a bug, ours or a library's, and its text may quote what was read: `"redis://:password@..." is no char boundary`. Where
/// it happened is enough to find it.
pub fn tell_panics_without_values() {
    panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let place = place.as_deref().unwrap_or("somewhere");
        let text = text_of(panic.payload());
        if dispatcher::has_been_set() {
            error!(place, text, "a bug: this should not have happened");
        } else {
            // Where standard error is closed there is nobody to tell.
            let _ = writeln!(
                io::stderr(),
                "bullmq-exporter: a bug: this should not have happened: {text} ({place})"
            );
        }
    }));
}

/// The text of a panic if it stands in a program's source, and so quotes nothing.
fn text_of(payload: &(dyn Any + Send)) -> &'static str {
    payload
        .downcast_ref::<&'static str>()
        .copied()
        .unwrap_or("its text is not shown, as it may quote a secret")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_says_what_stands_in_the_source_and_nothing_that_was_put_into_it() {
        let url = String::from("redis://:hunter2@host");
        for (sentence, panic, expected) in [
            (
                "a literal",
                panic::catch_unwind(|| panic!("this cannot be")),
                "this cannot be",
            ),
            (
                "a text with a value",
                panic::catch_unwind(|| panic!("no boundary in {url}")),
                "its text is not shown, as it may quote a secret",
            ),
            (
                "a value that is no text",
                panic::catch_unwind(|| panic::panic_any(7)),
                "its text is not shown, as it may quote a secret",
            ),
        ] {
            assert_eq!(text_of(&*panic.unwrap_err()), expected, "{sentence}");
        }
    }
}

//! The log: one line an event on standard error.

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
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
            .with_writer(std::io::stderr)
            .boxed(),
        Format::Json => fmt::layer()
            .json()
            .with_target(false)
            .with_writer(std::io::stderr)
            .boxed(),
    };
    // Only tests start it twice.
    let _ = tracing_subscriber::registry()
        .with(layer.with_filter(ours))
        .try_init();
}

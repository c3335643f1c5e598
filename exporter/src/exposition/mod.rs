//! Snapshots as text: Prometheus' format, version 0.0.4, or OpenMetrics, version 1.0.0.
//!
//! Written straight from the snapshots, family by family: a registry of gauges would have to be filled and emptied in every scrape,
//! and would still serve queues that are gone. Every name comes from the vocabulary; `families` says which there are, `page` goes
//! through them, and `samples` writes the lines.
//!
//! Formats: <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format> and
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>.

mod families;
mod page;
mod samples;

use std::fmt::{self, Write};

use bullmq_vocabulary::Kind;

pub use page::Page;

/// A text format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, version 0.0.4.
    #[default]
    Text,
    /// OpenMetrics, version 1.0.0. A counter's family has its name without `_total`, and the text has an end that a reader looks for:
    /// one that was cut off is refused.
    OpenMetrics,
}

impl Format {
    /// The content type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What stands at the end of a whole exposition.
    pub const fn end(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::OpenMetrics => "# EOF\n",
        }
    }

    /// Writes the lines above the samples of a metric.
    ///
    /// # Errors
    /// When `out` refuses to be written to; what is in memory never does.
    pub fn write_head(
        self,
        out: &mut impl Write,
        name: &str,
        kind: &str,
        help: &str,
    ) -> fmt::Result {
        let family = match self {
            Self::OpenMetrics if kind == Kind::Counter.as_str() => {
                name.strip_suffix("_total").unwrap_or(name)
            }
            Self::Text | Self::OpenMetrics => name,
        };
        writeln!(out, "# HELP {family} {help}\n# TYPE {family} {kind}")
    }
}

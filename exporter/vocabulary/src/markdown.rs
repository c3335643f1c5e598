//! The metrics as a page for people.

use std::fmt::Write as _;

use crate::{
    DEFAULT_HORIZONS, JOB_SECONDS_BUCKETS, JobEvent, JobState, METRICS, prometheus_duration,
};

const INTRODUCTION: &str = "\
# Metrics of bullmq-exporter

This page is made from `exporter/vocabulary` by `make docs`; a test compares the two.

A value that is unknown is an absent series, never 0 or -1. A value that is known to be nothing is 0. Nothing stale is
served: every queue series is read from Redis in the scrape that serves it, but for those of `--collect.events`, which
are read in the background and served for at most ten seconds. `K` stands for `<prefix>:<queue>`, and `now` is
Redis `TIME`. Every command is read-only and none walks over jobs.
";

const PROCESS: &str = "\
## process_*

The exporter's own CPU time, memory, open files and start time, under the names that every Prometheus client library
uses: `process_cpu_seconds_total`, `process_max_fds`, `process_open_fds`, `process_resident_memory_bytes`,
`process_start_time_seconds`, `process_threads`, `process_virtual_memory_bytes`. Linux only.
";

/// Renders every metric as Markdown: the text of `exporter/METRICS.md`.
pub fn metrics_markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    let states = JobState::ALL.map(|state| format!("`{state}`")).join(", ");
    let horizons = DEFAULT_HORIZONS
        .map(|horizon| format!("`{}`", prometheus_duration(horizon)))
        .join(", ");
    let events = JobEvent::ALL.map(|event| format!("`{event}`")).join(", ");
    let bounds = JOB_SECONDS_BUCKETS
        .map(|bound| format!("{bound}"))
        .join(", ");
    // Writing to a String cannot fail.
    let _ = writeln!(
        page,
        "\nThe label `state` is one of {states}. The label `within` is one of {horizons}.\n\nThe label `event` is one of {events}. \
         The buckets of a histogram end at {bounds} seconds."
    );
    for metric in METRICS {
        let labels = metric
            .labels
            .iter()
            .map(|label| format!("`{label}`"))
            .collect::<Vec<_>>()
            .join(", ");
        let _ = write!(
            page,
            "\n## {}\n\n{}\n\n| | |\n|---|---|\n| type | {} |\n| unit | {} |\n| labels | {labels} |\n| source | {} |\n| cost | {} |\n| versions | {} |\n| absent when | {} |\n",
            metric.name,
            metric.help,
            metric.kind.as_str(),
            metric.unit.as_str(),
            metric.source,
            metric.cost,
            metric.versions,
            metric.absent,
        );
    }
    page.push('\n');
    page.push_str(PROCESS);
    page
}

//! Whether the series of one queue are of one Redis: two exporters of it are welcome, two environments in one Prometheus are not.

use std::collections::BTreeMap;

use bullmq_vocabulary::label;

use super::WorkerObservation;
use super::observe::is_of;
use super::report::{Finding, Kind, Number, QueueReport};
use crate::plan::Plan;
use crate::problem::Severity;
use crate::prometheus_api::Series;

/// Labels that tell environments apart, the best first. Every other label comes after them, and last those that change with every pod.
const ENVIRONMENT: [&str; 6] = [
    "namespace",
    "cluster",
    "environment",
    "env",
    "job",
    "service",
];
const OF_A_POD: [&str; 4] = ["instance", "pod", "container", "endpoint"];

/// Whether the series of one queue come from several Redis servers: their counters of added jobs have nothing in common.
pub(super) fn ambiguous(
    plan: &Plan<'_>,
    report: &QueueReport,
    worker: &WorkerObservation,
) -> Option<Finding> {
    let queue = &report.queue;
    let key = |series: &Series| {
        let mut labels = series.labels.clone();
        labels.remove("__name__");
        labels.remove(label::WITHIN);
        labels
    };
    let [least, most, samples] = &worker.added;
    let find = |list: &[Series], of: &Series| {
        list.iter()
            .find(|series| key(series) == key(of))
            .and_then(Series::value)
    };
    // A storage without staleness markers shows an exporter that was replaced for minutes beside the new one.
    let newest = worker
        .scraped_at
        .iter()
        .filter(|series| is_of(series, queue));
    let newest = newest.filter_map(Series::value).max_by(f64::total_cmp)?;
    let oldest = newest - 2.0 * plan.workload.prometheus.scrape_interval.as_secs_f64();
    let ranges: Vec<_> = worker
        .series
        .iter()
        .filter(|series| is_of(series, queue))
        .filter(|series| find(samples, series).is_some_and(|count| count >= 2.0))
        .filter(|series| find(&worker.scraped_at, series).is_some_and(|at| at >= oldest))
        .filter_map(|series| Some((series, find(least, series)?, find(most, series)?)))
        .collect();
    let (one, other) = ranges.iter().enumerate().find_map(|(index, one)| {
        let other = ranges
            .iter()
            .skip(index + 1)
            .find(|other| one.2 < other.1 || other.2 < one.1)?;
        Some((one.0, other.0))
    })?;
    let mut labels: Vec<&String> = one
        .labels
        .keys()
        .chain(other.labels.keys())
        .filter(|name| one.label(name) != other.label(name))
        .collect();
    labels.sort_by_key(|name| {
        let environment = ENVIRONMENT.iter().position(|known| known == name);
        let of_a_pod = OF_A_POD.contains(&name.as_str());
        (
            of_a_pod,
            environment.unwrap_or(ENVIRONMENT.len()),
            (*name).clone(),
        )
    });
    let label = labels.first().map_or("instance", |name| name.as_str());
    let mut values: BTreeMap<&str, f64> = BTreeMap::new();
    for series in worker.series.iter().filter(|series| is_of(series, queue)) {
        values.insert(series.label(label), series.value().unwrap_or_default());
    }
    let seen: Vec<_> = values
        .iter()
        .map(|(value, demand)| format!("{label}={value:?} says {}", Number(*demand)))
        .collect();
    let choice = values.keys().next().copied().unwrap_or_default();
    let help = if OF_A_POD.contains(&label) {
        format!(
            "give the scrape configurations a label that tells them apart, such as `env`, and choose by `matchers: {{env: ...}}`; now only `{label}` differs"
        )
    } else {
        format!("choose one under `prometheus`, such as `matchers: {{{label}: {choice:?}}}`")
    };
    Some(Finding {
        kind: Kind::AmbiguousIdentity,
        severity: Severity::Warning,
        message: format!(
            "several environments have a queue `{}`, and the largest of their demands counts: {}",
            queue.name.escape_debug(),
            seen.join(", ")
        ),
        help,
    })
}

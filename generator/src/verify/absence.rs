//! Why a queue is not seen.

use std::collections::BTreeMap;
use std::time::Duration;

use bullmq_vocabulary::{label, prometheus_duration};

use super::nearest::{Known, proposal};
use super::observe::is_of;
use super::report::{ExporterReport, Finding, Kind, QueueReport, Seconds};
use super::{Observation, WorkerObservation};
use crate::plan::Plan;
use crate::problem::Severity;
use crate::prometheus_api::Series;
use crate::workload::Queue;

/// Why a queue is not seen, the nearest cause first.
pub(super) fn missing(
    plan: &Plan<'_>,
    report: &QueueReport,
    worker: &WorkerObservation,
    seen: &Observation,
    redis: &BTreeMap<String, bool>,
    exporters: &[ExporterReport],
) -> Finding {
    let queue = &report.queue;
    let matchers = &plan.workload.prometheus.matchers;
    let up = worker
        .queue_up
        .iter()
        .filter(|series| is_of(series, queue))
        .filter_map(Series::value)
        .max_by(f64::total_cmp);
    // Where a relabelling drops what the exporter says of itself, what it says of Redis still shows that it is there.
    let there = exporters.iter().any(|exporter| exporter.there) || !redis.is_empty();
    let (kind, message, help) = if there {
        match (redis.get(&queue.redis), up, plan.workload.horizon) {
            (Some(false), _, _) => (
                Kind::RedisDown,
                format!("the exporter does not reach the Redis `{}` (bullmq_up 0)", queue.redis),
                "see the exporter's log and its page at `/`; nothing is scaled until it is back".to_owned(),
            ),
            (None, _, _) => redis_unknown(queue, redis),
            (Some(true), Some(up), Some(horizon)) if up > 0.0 => horizon_missing(queue, horizon, seen),
            (Some(true), Some(up), _) if up <= 0.0 => (
                Kind::QueueUnread,
                format!("the exporter could not read the queue `{}` (bullmq_queue_up 0)", queue.name.escape_debug()),
                "either it does not exist yet, or one of its keys is broken; the exporter's log tells".to_owned(),
            ),
            (Some(true), _, _) => not_there(queue, seen, matchers),
        }
    } else {
        exporter_missing(plan, exporters, seen)
    };
    Finding {
        kind,
        severity: if queue.optional {
            Severity::Info
        } else {
            Severity::Error
        },
        message,
        help,
    }
}

fn exporter_missing(
    plan: &Plan<'_>,
    exporters: &[ExporterReport],
    seen: &Observation,
) -> (Kind, String, String) {
    let prometheus = &plan.workload.prometheus;
    let last = exporters
        .iter()
        .filter_map(|exporter| exporter.age)
        .min_by(f64::total_cmp);
    let (message, help) = match last {
        Some(age) if age <= 2.0 * prometheus.scrape_interval.as_secs_f64() => (
            format!(
                "no exporter is seen yet, though one was scraped {} ago",
                Seconds(age)
            ),
            "ask again: it has only just begun, or the storage shows samples late (VictoriaMetrics by `-search.latencyOffset`)",
        ),
        Some(age) => (
            format!(
                "no exporter is there; the last scrape was {} ago",
                Seconds(age)
            ),
            "see whether bullmq-exporter runs and whether Prometheus reaches it (its page of targets tells)",
        ),
        None => (
            "no exporter is there, nor was in the last minutes".to_owned(),
            "let Prometheus scrape bullmq-exporter (its page of targets tells), or ask the Prometheus that does",
        ),
    };
    let help = match other_labels(seen, &prometheus.matchers) {
        Some(elsewhere) => {
            format!("there are exporters, but without these `matchers`: {elsewhere}")
        }
        None => help.to_owned(),
    };
    (Kind::ExporterMissing, message, help)
}

fn redis_unknown(queue: &Queue, redis: &BTreeMap<String, bool>) -> (Kind, String, String) {
    let names: Vec<_> = redis.keys().map(|name| format!("`{name}`")).collect();
    (
        Kind::RedisUnknown,
        format!(
            "no exporter knows a Redis called `{}`",
            queue.redis.escape_debug()
        ),
        format!(
            "write `redis:` as the exporter's configuration names it: {}",
            names.join(", ")
        ),
    )
}

fn horizon_missing(queue: &Queue, horizon: Duration, seen: &Observation) -> (Kind, String, String) {
    let horizon = prometheus_duration(horizon);
    let served = seen
        .horizons
        .iter()
        .flatten()
        .map(|series| series.label(label::WITHIN).to_owned());
    let served = in_order(served.filter(|within| !within.is_empty()).collect());
    (
        Kind::HorizonMissing,
        format!(
            "the exporter does not serve the horizon {horizon} for `{}`",
            queue.name.escape_debug()
        ),
        format!(
            "start it with `--bullmq.horizon={horizon}`, or write what it serves: `horizons: [{served}]`"
        ),
    )
}

fn not_there(
    queue: &Queue,
    seen: &Observation,
    matchers: &BTreeMap<String, String>,
) -> (Kind, String, String) {
    let known = seen.queues.iter().flatten();
    let fits = |series: &&Series| {
        matchers
            .iter()
            .all(|(name, value)| series.label(name) == value)
    };
    let (fitting, other): (Vec<_>, Vec<_>) = known.partition(fits);
    let help = if let Some(series) = other.iter().find(|series| is_of(series, queue)) {
        let labels = matchers
            .keys()
            .map(|name| format!("{name}: {:?}", series.label(name)));
        let labels = labels.collect::<Vec<_>>().join(", ");
        format!("it is there under other labels than `matchers`: {{{labels}}}")
    } else {
        let mut known: Vec<_> = fitting
            .iter()
            .map(|series| Known {
                redis: series.label(label::REDIS),
                prefix: series.label(label::PREFIX),
                name: series.label(label::QUEUE),
            })
            .collect();
        known.sort();
        known.dedup();
        proposal(queue, &known)
    };
    let (prefix, redis) = (queue.prefix.escape_debug(), queue.redis.escape_debug());
    (
        Kind::QueueMissing,
        format!(
            "the queue `{}` is not there (prefix `{prefix}`, Redis `{redis}`)",
            queue.name.escape_debug()
        ),
        help,
    )
}

/// The values that the labels of the matchers really have.
fn other_labels(seen: &Observation, matchers: &BTreeMap<String, String>) -> Option<String> {
    if matchers.is_empty() {
        return None;
    }
    let mut sets: Vec<String> = seen
        .queues
        .iter()
        .flatten()
        .map(|series| {
            let pairs = matchers
                .keys()
                .map(|name| format!("{name}: {:?}", series.label(name)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        })
        .collect();
    sets.sort();
    sets.dedup();
    sets.truncate(3);
    (!sets.is_empty()).then(|| sets.join(", "))
}

/// Horizons from the shortest to the longest, as they are written.
fn in_order(mut horizons: Vec<String>) -> String {
    horizons.sort_by_key(|within| humantime::parse_duration(within).ok());
    horizons.join(", ")
}

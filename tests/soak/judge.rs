//! What must be true of every page, whatever is broken: exact, so that no violation is a false alarm.
//!
//! - A queue whose jobs lie still has the counts that BullMQ itself gave, or is unknown. Its jobs were on every replica and on disk
//!   before anything was broken, so that no failure can change them.
//! - A queue whose jobs move keeps every job that was ever added. Its counters of jobs added, completed and failed only rise; what the
//!   exporter says lies between what they were before it began to read, which may be before the scrape if another one shares it, and after.
//! - What is unknown has no value; and a server that cannot answer is told as down.

use std::time::Duration;

use crate::page::{Page, Samples, Server};
use crate::scraper::TIMEOUT;
use crate::watch::{Violation, Watch};

/// A queue, and what is known of it.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// The name of its server.
    pub(crate) redis: &'static str,
    pub(crate) prefix: &'static str,
    pub(crate) name: String,
    /// The exact values; nothing of a queue whose jobs move.
    pub(crate) values: Option<Samples>,
}

/// The counters of a queue whose jobs move.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Counters {
    pub(crate) added: f64,
    pub(crate) completed: f64,
    pub(crate) failed: f64,
}

/// How long a reading may have lasted that is told: one that began before, by the deadline of which the last one joined.
const OLDEST: Duration = TIMEOUT.saturating_mul(2);

/// Every state but those that only ever grow.
const UNFINISHED: [&str; 6] = [
    "waiting",
    "paused",
    "active",
    "delayed",
    "prioritized",
    "waiting-children",
];

impl Page {
    /// The server with this name, if the page tells anything of it.
    pub(crate) fn server(&self, redis: &str) -> Option<&Server> {
        self.servers.get(redis)
    }

    /// The samples of a queue that is told as up.
    pub(crate) fn up(&self, expected: &Expected) -> Option<&Samples> {
        let queues = &self.server(expected.redis)?.queues;
        let queue = queues.get(&(expected.prefix.to_owned(), expected.name.clone()))?;
        (queue.get("bullmq_queue_up") == Some(&1.0)).then_some(queue)
    }
}

/// Checks that what is unknown has no value.
pub(crate) fn check_unknown(page: &Page, watch: &Watch) {
    let mut unknown = 0;
    for (redis, server) in &page.servers {
        if server.seconds > OLDEST.as_secs_f64() {
            let told = format!(
                "{redis} was read for {} s before it was told",
                server.seconds
            );
            watch.violation(Violation::WrongValue, told);
        }
        if server.up != Some(1.0) {
            unknown += 1;
            if let Some((queue, samples)) = server.queues.first_key_value() {
                let told = format!("{redis} is down, and has {queue:?}: {samples:?}");
                watch.violation(Violation::WrongValue, told);
            }
        }
        for (queue, samples) in &server.queues {
            if samples.get("bullmq_queue_up") == Some(&1.0) {
                continue;
            }
            unknown += 1;
            if samples.len() != 1 {
                let told = format!("{redis} {queue:?} is not up, and has {samples:?}");
                watch.violation(Violation::WrongValue, told);
            }
        }
    }
    watch.figures().unknown += unknown;
}

/// Checks a queue whose jobs lie still.
pub(crate) fn check_still(expected: &Expected, values: &Samples, told: &Samples, watch: &Watch) {
    let wrong: Vec<String> = values
        .iter()
        .filter(|(metric, value)| told.get(*metric) != Some(*value))
        .map(|(metric, value)| format!("{metric} is {:?}, not {value}", told.get(metric)))
        .collect();
    if !wrong.is_empty() {
        let Expected {
            redis,
            prefix,
            name,
            ..
        } = expected;
        let told = format!("{redis} {prefix}:{name}: {}", wrong.join(", "));
        watch.violation(Violation::WrongValue, told);
    }
    watch.figures().checked += 1;
}

/// Checks a queue whose jobs move, between two readings of its counters.
pub(crate) fn check_moving(
    expected: &Expected,
    told: &Samples,
    before: Counters,
    after: Counters,
    watch: &Watch,
) {
    let value = |metric: &str| told.get(metric).copied().unwrap_or(f64::NAN);
    let state = |state: &str| value(&format!("bullmq_job_count/{state}"));
    let (completed, failed) = (state("completed"), state("failed"));
    let all = UNFINISHED.iter().map(|name| state(name)).sum::<f64>() + completed + failed;
    let ready = state("waiting") + state("prioritized") + value("bullmq_queue_delayed_due_jobs");
    let added = value("bullmq_job_added_total");
    let counted = told.get("bullmq_job_events_total/completed");
    let exactly = |value| (value, value);
    for (what, value, (least, most)) in [
        ("jobs in all states", all, (before.added, after.added)),
        ("jobs added", added, (before.added, after.added)),
        ("completed", completed, (before.completed, after.completed)),
        ("failed", failed, (before.failed, after.failed)),
        ("ready", value("bullmq_queue_ready_jobs"), exactly(ready)),
        (
            "demand",
            value("bullmq_queue_demand_jobs"),
            exactly(ready + state("active")),
        ),
        (
            "events of completed jobs",
            counted.copied().unwrap_or(0.0),
            (0.0, after.completed),
        ),
    ] {
        if !(least..=most).contains(&value) {
            let queue = format!("{} {}:{}", expected.redis, expected.prefix, expected.name);
            let told = format!("{queue}: {what}: {value}, not {least} to {most}: {told:?}");
            watch.violation(Violation::WrongValue, told);
        }
    }
    let mut figures = watch.figures();
    figures.checked += 1;
    figures.bracketed += 1;
}

//! The metrics, each with what a reader of a dashboard, an alert or a query must know of it.
//!
//! The key layout and the commands named here are BullMQ's, as of BullMQ 5.81 and 6.7:
//! <https://github.com/taskforcesh/bullmq/tree/v6.7.0/src/commands>. `K` stands for `<prefix>:<queue>`.

use crate::label;

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that goes up and down.
    Gauge,
    /// A number that only goes up, until it starts anew at zero.
    Counter,
}

impl Kind {
    /// The word of the `# TYPE` line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
        }
    }
}

/// What a metric counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of jobs.
    Jobs,
    /// Seconds, with fractions.
    Seconds,
    /// Seconds since 1970-01-01 00:00 UTC.
    UnixSeconds,
    /// 0 for no, 1 for yes.
    Truth,
    /// Always 1; the labels are the information.
    Info,
    /// A plain number of something named by the metric.
    Count,
}

impl Unit {
    /// The words of the table in `METRICS.md`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Seconds => "seconds",
            Self::UnixSeconds => "seconds since 1970",
            Self::Truth => "0 or 1",
            Self::Info => "always 1",
            Self::Count => "number",
        }
    }
}

/// One metric: its name and everything that is said about it in public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name of the metric family, as it stands in the exposition.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// What it counts in.
    pub unit: Unit,
    /// The label keys, in the order in which they are written.
    pub labels: &'static [&'static str],
    /// One sentence for the `# HELP` line.
    pub help: &'static str,
    /// The Redis keys and commands that it comes from.
    pub source: &'static str,
    /// When there is no series.
    pub absent: &'static str,
}

const WITH_REDIS: &[&str] = &[label::REDIS];
const WITH_REDIS_AND_CAUSE: &[&str] = &[label::REDIS, label::CAUSE];
const WITH_STATE: &[&str] = &[label::REDIS, label::PREFIX, label::QUEUE, label::STATE];
const WITH_WITHIN: &[&str] = &[label::REDIS, label::PREFIX, label::QUEUE, label::WITHIN];
const WITH_BUILD: &[&str] = &[label::VERSION, label::REVISION, label::RUSTC];

const QUEUE_UNREAD: &str =
    "the queue was not read in this scrape (`bullmq_queue_up` 0), or it does not exist";

/// Whether this Redis answered this scrape.
pub const UP: Metric = Metric {
    name: "bullmq_up",
    kind: Kind::Gauge,
    unit: Unit::Truth,
    labels: WITH_REDIS,
    help: "Whether this Redis answered this scrape.",
    source: "`TIME`",
    absent: "never",
};

/// Whether this queue was read in this scrape.
pub const QUEUE_UP: Metric = Metric {
    name: "bullmq_queue_up",
    kind: Kind::Gauge,
    unit: Unit::Truth,
    labels: label::OF_A_QUEUE,
    help: "Whether this queue was read in this scrape. At 0 its other series are absent.",
    source: "all reads of the queue",
    absent: "the queue does not exist, or `bullmq_up` is 0",
};

/// Jobs by state.
pub const JOB_COUNT: Metric = Metric {
    name: "bullmq_job_count",
    kind: Kind::Gauge,
    unit: Unit::Jobs,
    labels: WITH_STATE,
    help: "Number of jobs in the queue by state. Every job stands in exactly one state.",
    source: "`LLEN K:wait`, `LLEN K:paused`, `LLEN K:active` (without the marker elements that BullMQ 3 and 4 keep in the lists), \
             `ZCARD` of `K:delayed`, `K:prioritized`, `K:waiting-children`, `K:completed`, `K:failed`",
    absent: QUEUE_UNREAD,
};

/// Jobs that a worker could take now.
pub const QUEUE_READY_JOBS: Metric = Metric {
    name: "bullmq_queue_ready_jobs",
    kind: Kind::Gauge,
    unit: Unit::Jobs,
    labels: label::OF_A_QUEUE,
    help: "Jobs that a worker could take now: waiting, prioritized, and delayed jobs already due; 0 while the queue is paused.",
    source: "the counts above, `ZCOUNT K:delayed -inf ((now+1)*4096`, `HMGET K:meta paused`; `now` is Redis `TIME` in milliseconds",
    absent: QUEUE_UNREAD,
};

/// Delayed jobs already due.
pub const QUEUE_DELAYED_DUE_JOBS: Metric = Metric {
    name: "bullmq_queue_delayed_due_jobs",
    kind: Kind::Gauge,
    unit: Unit::Jobs,
    labels: label::OF_A_QUEUE,
    help: "Delayed jobs already due, which only a living worker will move.",
    source: "`ZCOUNT K:delayed -inf ((now+1)*4096`",
    absent: QUEUE_UNREAD,
};

/// The worker slots that are needed now: the default scaling signal.
pub const QUEUE_DEMAND_JOBS: Metric = Metric {
    name: "bullmq_queue_demand_jobs",
    kind: Kind::Gauge,
    unit: Unit::Jobs,
    labels: label::OF_A_QUEUE,
    help: "Worker slots needed now: ready and active jobs, capped by the queue's global concurrency, never below the active jobs.",
    source: "`bullmq_queue_ready_jobs`, `LLEN K:active`, `HMGET K:meta concurrency`",
    absent: QUEUE_UNREAD,
};

/// The worker slots that will be needed soon.
pub const QUEUE_DEMAND_AHEAD_JOBS: Metric = Metric {
    name: "bullmq_queue_demand_ahead_jobs",
    kind: Kind::Gauge,
    unit: Unit::Jobs,
    labels: WITH_WITHIN,
    help: "Worker slots needed if every delayed job due within that time were due now.",
    source: "`bullmq_queue_demand_jobs` and `ZCOUNT K:delayed ((now+1)*4096 ((now+within+1)*4096`, first bound included",
    absent: QUEUE_UNREAD,
};

/// The age of the oldest ready job.
pub const QUEUE_OLDEST_READY_AGE_SECONDS: Metric = Metric {
    name: "bullmq_queue_oldest_ready_age_seconds",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: label::OF_A_QUEUE,
    help: "How long the oldest ready job has been ready; 0 when no job is.",
    source: "`LRANGE K:wait -8 -1`, `LINDEX K:wait 0`, the first member of each priority level (`ZRANGEBYSCORE K:prioritized`, at most 16 levels), \
             `ZRANGE K:delayed 0 0 WITHSCORES`, then `HMGET K:<id> timestamp processedOn opts ats attemptsMade` of those jobs; \
             never the job's data. A job whose hash does not tell since when it is ready counts from when this exporter first saw it",
    absent: QUEUE_UNREAD,
};

/// Whether the queue is paused.
pub const QUEUE_PAUSED: Metric = Metric {
    name: "bullmq_queue_paused",
    kind: Kind::Gauge,
    unit: Unit::Truth,
    labels: label::OF_A_QUEUE,
    help: "Whether the queue is paused.",
    source: "`HMGET K:meta paused`",
    absent: QUEUE_UNREAD,
};

/// The global concurrency of the queue.
pub const QUEUE_CONCURRENCY_LIMIT: Metric = Metric {
    name: "bullmq_queue_concurrency_limit",
    kind: Kind::Gauge,
    unit: Unit::Jobs,
    labels: label::OF_A_QUEUE,
    help: "Global concurrency of the queue: how many of its jobs may be active at once, over all workers.",
    source: "`HMGET K:meta concurrency`",
    absent: "the queue has no such limit, or was not read",
};

/// Attempts to add a job.
pub const JOB_ADDED_TOTAL: Metric = Metric {
    name: "bullmq_job_added_total",
    kind: Kind::Counter,
    unit: Unit::Jobs,
    labels: label::OF_A_QUEUE,
    help: "Attempts to add a job, duplicates included; starts anew when the queue is obliterated.",
    source: "`GET K:id`",
    absent: "the queue was not read, or `GET` is denied",
};

/// What the exporter was built from.
pub const EXPORTER_BUILD_INFO: Metric = Metric {
    name: "bullmq_exporter_build_info",
    kind: Kind::Gauge,
    unit: Unit::Info,
    labels: WITH_BUILD,
    help: "Version, source revision and compiler of this exporter.",
    source: "the build",
    absent: "never",
};

/// How long this scrape took to read this Redis.
pub const EXPORTER_SCRAPE_DURATION_SECONDS: Metric = Metric {
    name: "bullmq_exporter_scrape_duration_seconds",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: WITH_REDIS,
    help: "How long this scrape took to read this Redis.",
    source: "the exporter's monotonic clock",
    absent: "never",
};

/// Errors by cause.
pub const EXPORTER_ERRORS_TOTAL: Metric = Metric {
    name: "bullmq_exporter_errors_total",
    kind: Kind::Counter,
    unit: Unit::Count,
    labels: WITH_REDIS_AND_CAUSE,
    help: "Errors while reading this Redis, by cause.",
    source: "the exporter",
    absent: "never",
};

/// How long the last successful discovery took.
pub const EXPORTER_DISCOVERY_DURATION_SECONDS: Metric = Metric {
    name: "bullmq_exporter_discovery_duration_seconds",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: WITH_REDIS,
    help: "How long the last successful discovery of queues took.",
    source: "the exporter's monotonic clock",
    absent: "no discovery has succeeded yet",
};

/// When the last successful discovery ended.
pub const EXPORTER_DISCOVERY_LAST_SUCCESS_TIMESTAMP_SECONDS: Metric = Metric {
    name: "bullmq_exporter_discovery_last_success_timestamp_seconds",
    kind: Kind::Gauge,
    unit: Unit::UnixSeconds,
    labels: WITH_REDIS,
    help: "When the last successful discovery of queues ended, by Redis' clock.",
    source: "`TIME`",
    absent: "no discovery has succeeded yet",
};

/// How many queues the last discovery found.
pub const EXPORTER_QUEUES: Metric = Metric {
    name: "bullmq_exporter_queues",
    kind: Kind::Gauge,
    unit: Unit::Count,
    labels: WITH_REDIS,
    help: "Queues that the last successful discovery found.",
    source: "`SCAN MATCH <prefix>:*:meta TYPE hash`, in the background",
    absent: "no discovery has succeeded yet",
};

/// Every metric, in the order in which they are written and documented.
pub const METRICS: &[Metric] = &[
    UP,
    QUEUE_UP,
    JOB_COUNT,
    QUEUE_READY_JOBS,
    QUEUE_DELAYED_DUE_JOBS,
    QUEUE_DEMAND_JOBS,
    QUEUE_DEMAND_AHEAD_JOBS,
    QUEUE_OLDEST_READY_AGE_SECONDS,
    QUEUE_PAUSED,
    QUEUE_CONCURRENCY_LIMIT,
    JOB_ADDED_TOTAL,
    EXPORTER_SCRAPE_DURATION_SECONDS,
    EXPORTER_ERRORS_TOTAL,
    EXPORTER_DISCOVERY_DURATION_SECONDS,
    EXPORTER_DISCOVERY_LAST_SUCCESS_TIMESTAMP_SECONDS,
    EXPORTER_QUEUES,
    EXPORTER_BUILD_INFO,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_name_is_said_once() {
        let names: HashSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
    }

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for metric in METRICS {
            let name = metric.name;
            assert!(name.starts_with("bullmq_"), "{name}");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name}"
            );
            assert_eq!(
                name.ends_with("_total"),
                metric.kind == Kind::Counter,
                "{name}"
            );
            assert_eq!(
                name.ends_with("_seconds"),
                matches!(metric.unit, Unit::Seconds | Unit::UnixSeconds),
                "{name}"
            );
            assert_eq!(
                name.ends_with("_timestamp_seconds"),
                metric.unit == Unit::UnixSeconds,
                "{name}"
            );
            assert_eq!(name.ends_with("_info"), metric.unit == Unit::Info, "{name}");
        }
    }

    #[test]
    fn every_help_is_one_line_and_a_sentence() {
        for metric in METRICS {
            assert!(!metric.help.contains(['\n', '\\']), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}

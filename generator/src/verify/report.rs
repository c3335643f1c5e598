//! What is told of the workers of one Prometheus, before it is told to anybody in particular.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bullmq_vocabulary::prometheus_duration;

use crate::control_loop::hpa::shares;
use crate::control_loop::keda::reported;
use crate::decimal::Decimal;
use crate::plan::Plan;
use crate::problem::Severity;
use crate::workload::Queue;

/// What can be found, as a closed set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// No exporter is there.
    ExporterMissing,
    /// The exporter does not reach Redis.
    RedisDown,
    /// No exporter knows a Redis of that name.
    RedisUnknown,
    /// The exporter could not read a queue.
    QueueUnread,
    /// A queue is not there.
    QueueMissing,
    /// The exporter does not serve the horizon that is asked for.
    HorizonMissing,
    /// KEDA would not read the answer, for a reason of its own.
    NoAnswer,
    /// Several environments serve a queue of one identity.
    AmbiguousIdentity,
    /// The newest sample is old.
    Stale,
    /// Prometheus scrapes at another interval than the spec says.
    ScrapeInterval,
    /// Prometheus warned of its own answer.
    PartialAnswer,
    /// A question beside those of KEDA was not answered.
    Unanswered,
    /// The exporters are of different versions.
    ExporterVersions,
    /// The clock here is not Prometheus'.
    Clock,
}

impl Kind {
    /// The stable id.
    pub const fn id(self) -> &'static str {
        match self {
            Self::ExporterMissing => "exporter-missing",
            Self::RedisDown => "redis-down",
            Self::RedisUnknown => "redis-unknown",
            Self::QueueUnread => "queue-unread",
            Self::QueueMissing => "queue-missing",
            Self::HorizonMissing => "horizon-missing",
            Self::NoAnswer => "no-answer",
            Self::AmbiguousIdentity => "ambiguous-identity",
            Self::Stale => "stale",
            Self::ScrapeInterval => "scrape-interval",
            Self::PartialAnswer => "partial-answer",
            Self::Unanswered => "unanswered",
            Self::ExporterVersions => "exporter-versions",
            Self::Clock => "clock",
        }
    }
}

/// One thing that was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: Kind,
    /// How much it matters.
    pub severity: Severity,
    /// What is the matter, in one line.
    pub message: String,
    /// What to do.
    pub help: String,
}

/// What KEDA and the HPA would do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// So many replicas.
    Replicas {
        /// The number that the HPA computes, within its bounds.
        now: u32,
        /// From and to how many replicas it leaves as they are.
        kept: Option<(u32, u32)>,
    },
    /// So many Jobs, made by KEDA itself.
    Jobs {
        /// How many there are, once those that run already are counted.
        now: u32,
    },
    /// None, once it has been quiet for long enough.
    Zero,
    /// Nothing changes, but for the first replica, which is woken.
    Wake,
    /// Nothing changes, but that a fallback starts one replica where there is none.
    Hold,
    /// At least so many, after failures in a row.
    Fallback {
        /// The replicas.
        replicas: u32,
        /// The failures.
        after_failures: u32,
    },
}

/// One trigger, as KEDA sees it.
#[derive(Clone, Debug)]
pub struct TriggerReport {
    /// Its name.
    pub name: &'static str,
    /// The query.
    pub query: String,
    /// How much of the value one replica is for.
    pub threshold: Decimal,
    /// The value, or why there is none.
    pub value: Result<f64, String>,
}

/// One queue, as Prometheus knows it.
#[derive(Clone, Debug)]
pub struct QueueReport {
    /// The queue.
    pub queue: Queue,
    /// Its demand; nothing if it is not seen.
    pub demand: Option<f64>,
    /// How many series tell it.
    pub series: usize,
    /// How old the newest sample is, in seconds.
    pub age: Option<f64>,
}

/// One worker.
#[derive(Clone, Debug)]
pub struct WorkerReport<'s> {
    /// What was generated for it.
    pub plan: &'s Plan<'s>,
    /// What KEDA would do.
    pub decision: Decision,
    /// Its triggers.
    pub triggers: Vec<TriggerReport>,
    /// Its queues.
    pub queues: Vec<QueueReport>,
    /// What was found.
    pub findings: Vec<Finding>,
}

/// One exporter.
#[derive(Clone, Debug, PartialEq)]
pub struct ExporterReport {
    /// The address that Prometheus scrapes, or all labels where it has none.
    pub instance: String,
    /// Its version.
    pub version: String,
    /// Whether it is there now.
    pub there: bool,
    /// The interval at which it is scraped, in seconds; nothing if it was not scraped often enough yet.
    pub interval: Option<f64>,
    /// How long ago it was last scraped, in seconds.
    pub age: Option<f64>,
}

/// Everything about the workers of one Prometheus.
#[derive(Clone, Debug)]
pub struct Report<'s> {
    /// The address that KEDA asks.
    pub server_address: &'s str,
    /// The address that was asked.
    pub asked: &'s str,
    /// The moment, in seconds since 1970.
    pub at: f64,
    /// The exporters.
    pub exporters: Vec<ExporterReport>,
    /// Each Redis by name, and whether any exporter reaches it.
    pub redis: BTreeMap<String, bool>,
    /// What was found that concerns all workers.
    pub findings: Vec<Finding>,
    /// The workers.
    pub workers: Vec<WorkerReport<'s>>,
}

impl Report<'_> {
    /// How much the worst finding matters.
    pub fn worst(&self) -> Option<Severity> {
        let of_workers = self.workers.iter().flat_map(|worker| &worker.findings);
        self.findings
            .iter()
            .chain(of_workers)
            .map(|finding| finding.severity)
            .max()
    }
}

impl TriggerReport {
    /// Whether KEDA calls it active.
    pub fn active(&self) -> Option<bool> {
        self.value.as_ref().ok().map(|value| *value > 0.0)
    }

    /// The replicas that it asks for by itself, before the worker's bounds.
    pub fn replicas(&self) -> Option<u32> {
        self.value
            .as_ref()
            .ok()
            .map(|value| shares(reported(*value), self.threshold))
    }
}

/// A number with the three decimals that KEDA keeps.
pub(super) struct Number(pub(super) f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", (self.0 * 1000.0).round() / 1000.0)
    }
}

/// Seconds as people read them: `0.4s`, `15s`, `2m 5s`.
pub(super) struct Seconds(pub(super) f64);

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tenths = (self.0.clamp(0.0, 1e9) * 10.0).round() / 10.0;
        if tenths < 10.0 {
            return write!(f, "{tenths}s");
        }
        let whole = Duration::try_from_secs_f64(self.0.round()).unwrap_or_default();
        f.write_str(&prometheus_duration(whole))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_are_told_as_people_read_them() {
        for (seconds, expected) in [
            (0.0, "0s"),
            (0.44, "0.4s"),
            (9.96, "10s"),
            (15.2, "15s"),
            (125.0, "2m5s"),
            (f64::NAN, "0s"),
        ] {
            assert_eq!(Seconds(seconds).to_string(), expected, "{seconds}");
        }
    }
}

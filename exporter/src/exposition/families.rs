//! Which families there are, in the order in which they are written, and what each says of a server or of a queue.

use std::sync::LazyLock;

use bullmq_vocabulary::{JOB_SECONDS_BUCKETS, JobEvent, JobState, Metric, label, metric};

use super::samples::Samples;
use crate::job_events::{Histogram, PackedJobEvents};
use crate::model::{GroupStatus, QueueSnapshot, Snapshot, Workers};

/// A metric, and where its samples come from.
pub(super) struct Family {
    pub(super) metric: &'static Metric,
    pub(super) source: Source,
}

/// What a family has samples of.
pub(super) enum Source {
    /// Every server.
    Servers(fn(&Snapshot, &mut Samples<'_>)),
    /// Every queue of every server.
    Queues(fn(&Queue<'_>, &mut Samples<'_>)),
}

/// One queue as the families see it.
pub(super) struct Queue<'a> {
    /// Nothing if it could not be read.
    pub(super) snapshot: Option<&'a QueueSnapshot>,
    /// Nothing if workers are not counted, or could not be.
    pub(super) workers: Option<Workers>,
    /// Nothing if its events are not followed, or could not be read.
    pub(super) events: Option<&'a PackedJobEvents>,
    /// The horizons, as values of a label.
    pub(super) horizons: &'a [String],
}

const fn of_servers(metric: &'static Metric, samples: fn(&Snapshot, &mut Samples<'_>)) -> Family {
    Family {
        metric,
        source: Source::Servers(samples),
    }
}

const fn of_queues(metric: &'static Metric, samples: fn(&Queue<'_>, &mut Samples<'_>)) -> Family {
    Family {
        metric,
        source: Source::Queues(samples),
    }
}

/// Every family.
pub(super) const FAMILIES: &[Family] = &[
    // What waits, and who is asked to do it.
    of_servers(&metric::UP, |server, out| out.sample(server.up)),
    of_queues(&metric::QUEUE_UP, |queue, out| {
        out.sample(queue.snapshot.is_some());
    }),
    of_queues(&metric::JOB_COUNT, |queue, out| {
        let Some(snapshot) = queue.snapshot else {
            return;
        };
        for state in JobState::ALL {
            out.of(
                label::STATE,
                state.as_str(),
                snapshot.counts.in_state(state),
            );
        }
    }),
    of_queues(&metric::QUEUE_READY_JOBS, |queue, out| {
        out.known(queue.snapshot.map(QueueSnapshot::ready));
    }),
    of_queues(&metric::QUEUE_DELAYED_DUE_JOBS, |queue, out| {
        out.known(queue.snapshot.map(|snapshot| snapshot.delayed_due));
    }),
    of_queues(&metric::QUEUE_DEMAND_JOBS, |queue, out| {
        out.known(queue.snapshot.map(QueueSnapshot::demand));
    }),
    of_queues(&metric::QUEUE_DEMAND_AHEAD_JOBS, |queue, out| {
        let Some(snapshot) = queue.snapshot else {
            return;
        };
        for (index, horizon) in queue.horizons.iter().enumerate() {
            out.of(label::WITHIN, horizon, snapshot.demand_ahead(index));
        }
    }),
    of_queues(&metric::QUEUE_OLDEST_READY_AGE_SECONDS, |queue, out| {
        out.known(
            queue
                .snapshot
                .and_then(|snapshot| snapshot.oldest_ready_age),
        );
    }),
    // What is being done, what holds it back, and what has been done.
    of_queues(&metric::QUEUE_LONGEST_ACTIVE_SECONDS, |queue, out| {
        out.known(queue.snapshot.and_then(|snapshot| snapshot.longest_active));
    }),
    of_queues(&metric::QUEUE_ORPHANED, |queue, out| {
        out.known(queue.snapshot.and_then(|snapshot| snapshot.orphaned));
    }),
    of_queues(&metric::QUEUE_PAUSED, |queue, out| {
        out.known(queue.snapshot.map(|snapshot| snapshot.paused));
    }),
    of_queues(&metric::QUEUE_CONCURRENCY_LIMIT, |queue, out| {
        out.known(
            queue
                .snapshot
                .and_then(|snapshot| snapshot.concurrency_limit),
        );
    }),
    of_queues(&metric::QUEUE_RATE_LIMITED, |queue, out| {
        let rate_limit = queue.snapshot.and_then(|snapshot| snapshot.rate_limit);
        out.known(rate_limit.and_then(|rate_limit| rate_limit.limited));
    }),
    of_queues(&metric::QUEUE_RATE_LIMIT_RESET_SECONDS, |queue, out| {
        let rate_limit = queue.snapshot.and_then(|snapshot| snapshot.rate_limit);
        out.known(rate_limit.map(|rate_limit| rate_limit.reset));
    }),
    of_queues(&metric::QUEUE_WORKERS, |queue, out| {
        out.known(queue.workers.map(|workers| workers.connected));
    }),
    of_queues(&metric::QUEUE_WORKERS_IDLE, |queue, out| {
        out.known(queue.workers.map(|workers| workers.idle));
    }),
    of_queues(&metric::QUEUE_SCHEDULERS, |queue, out| {
        let schedulers = queue.snapshot.and_then(|snapshot| snapshot.schedulers);
        out.known(schedulers.map(|schedulers| schedulers.all));
    }),
    of_queues(&metric::QUEUE_SCHEDULERS_OVERDUE, |queue, out| {
        let schedulers = queue.snapshot.and_then(|snapshot| snapshot.schedulers);
        out.known(schedulers.map(|schedulers| schedulers.overdue));
    }),
    of_queues(&metric::QUEUE_GROUPS, |queue, out| {
        let Some(groups) = queue.snapshot.and_then(|snapshot| snapshot.groups) else {
            return;
        };
        for status in GroupStatus::ALL {
            out.of(label::STATUS, status.as_str(), groups.in_status(status));
        }
    }),
    of_queues(&metric::QUEUE_INFO, |queue, out| {
        let Some(snapshot) = queue.snapshot else {
            return;
        };
        let more = [
            (label::FLAVOR, snapshot.flavor.as_str()),
            (label::VERSION, snapshot.version.as_str()),
        ];
        out.labelled(&more, 1_u64);
    }),
    of_queues(&metric::JOB_ADDED_TOTAL, |queue, out| {
        out.known(queue.snapshot.and_then(|snapshot| snapshot.added));
    }),
    of_queues(&metric::JOB_COMPLETED_TOTAL, |queue, out| {
        out.known(queue.snapshot.and_then(|snapshot| snapshot.completed));
    }),
    of_queues(&metric::JOB_FAILED_TOTAL, |queue, out| {
        out.known(queue.snapshot.and_then(|snapshot| snapshot.failed));
    }),
    // What the queues' events told.
    of_queues(&metric::JOB_WAIT_SECONDS, |queue, out| {
        if let Some(events) = queue.events {
            histogram(&events.unpack().wait, out);
        }
    }),
    of_queues(&metric::JOB_PROCESSING_SECONDS, |queue, out| {
        if let Some(events) = queue.events {
            histogram(&events.unpack().processing, out);
        }
    }),
    of_queues(&metric::JOB_EVENTS_TOTAL, |queue, out| {
        let Some(events) = queue.events.map(PackedJobEvents::unpack) else {
            return;
        };
        for event in JobEvent::ALL {
            out.of(label::EVENT, event.as_str(), events.seen(event));
        }
    }),
    // Redis itself, and how it was read.
    of_servers(&metric::REDIS_INFO, |server, out| {
        let Some(facts) = &server.facts else {
            return;
        };
        let more = [
            (label::VERSION, facts.version.as_str()),
            (label::MODE, facts.mode.as_str()),
            (label::ROLE, facts.role.as_str()),
            (label::MAXMEMORY_POLICY, facts.maxmemory_policy.as_str()),
        ];
        out.labelled(&more, 1_u64);
    }),
    of_servers(&metric::EXPORTER_SCRAPE_DURATION_SECONDS, |server, out| {
        out.sample(server.duration);
    }),
    of_servers(
        &metric::EXPORTER_DISCOVERY_DURATION_SECONDS,
        |server, out| out.known(server.discovery.map(|discovery| discovery.duration)),
    ),
    of_servers(
        &metric::EXPORTER_DISCOVERY_LAST_SUCCESS_TIMESTAMP_SECONDS,
        |server, out| out.known(server.discovery.map(|discovery| discovery.finished_at)),
    ),
    of_servers(&metric::EXPORTER_QUEUES, |server, out| {
        out.known(server.discovery.map(|discovery| discovery.queues));
    }),
];

/// The bounds of the buckets as values of a label. With a fraction, as OpenMetrics wants it and Prometheus 3 stores it, so that a series
/// has one name in every format.
static BOUNDS: LazyLock<Vec<String>> = LazyLock::new(|| {
    let bounds = JOB_SECONDS_BUCKETS.iter();
    bounds.map(|bound| format!("{bound:?}")).collect()
});

fn histogram(histogram: &Histogram, out: &mut Samples<'_>) {
    for ((_, count), bound) in histogram.cumulated().zip(BOUNDS.iter()) {
        out.part("_bucket", label::LE, bound, count);
    }
    out.part("_bucket", label::LE, "+Inf", histogram.count());
    out.whole_part("_sum", histogram.sum());
    out.whole_part("_count", histogram.count());
}

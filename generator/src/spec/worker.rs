//! A worker, field by field; `defaults` has the same fields but the name.

use std::time::Duration;

use super::fields::{At, Field, Mapping, Reader, Value};
use super::{OnMetricsLoss, QueueSpec, Scale, WorkerSpec, values};
use crate::document::Kind;
use crate::problem::{Problem, Rule};

/// The shortest quiet time before a worker is scaled to zero. BullMQ looks for stalled jobs every 30 s, and a job is known to be
/// stalled at the second look: <https://docs.bullmq.io/guide/workers/stalled-jobs>.
const SHORTEST_IDLE: Duration = Duration::from_mins(1);

/// The fields of a worker, the name first.
pub(super) const WORKER: &[&str] = &[
    "name",
    "namespace",
    "target",
    "queues",
    "concurrency",
    "replicas",
    "scale",
    "utilization",
    "job",
    "startup",
    "onMetricsLoss",
    "idleAfter",
];
const QUEUE: &[&str] = &["name", "prefix", "redis", "optional"];

/// Reads the fields of a worker, or of `defaults`.
pub(super) fn worker(reader: &mut Reader<'_>, fields: &Mapping<'_>) -> WorkerSpec {
    let mut worker = WorkerSpec::empty(fields.span);
    worker.name = reader.field(fields, "name", values::worker_name);
    worker.namespace = reader.field(fields, "namespace", values::namespace);
    reader.field(fields, "target", |reader, value| {
        let target = reader.mapping(value, &["kind", "name", "apiVersion"])?;
        worker.target_kind = reader.field(&target, "kind", values::target_kind);
        worker.target_name = reader.field(&target, "name", values::target_name);
        worker.target_api_version = reader.field(&target, "apiVersion", values::target_api_version);
        Some(())
    });
    worker.queues = reader.field(fields, "queues", |reader, value| {
        reader.list(value, "[email, sms]", queue)
    });
    worker.concurrency = reader.field(fields, "concurrency", |reader, value| {
        reader.whole(value, 1, Rule::ConcurrencyRange)
    });
    let replicas = reader.field(fields, "replicas", |reader, value| {
        let replicas = reader.mapping(value, &["min", "max"])?;
        worker.replicas_min = reader.field(&replicas, "min", |reader, value| {
            reader.whole(value, 0, Rule::ReplicasRange)
        });
        worker.replicas_max = reader.field(&replicas, "max", |reader, value| {
            reader.whole(value, 1, Rule::ReplicasRange)
        });
        Some(())
    });
    if replicas == Field::Wrong {
        (worker.replicas_min, worker.replicas_max) = (Field::Wrong, Field::Wrong);
    }
    worker.scale = reader.field(fields, "scale", scale);
    worker.utilization = reader.field(fields, "utilization", values::utilization);
    let job = reader.field(fields, "job", |reader, value| {
        let job = reader.mapping(value, &["mean", "longest"])?;
        worker.job_mean = reader.field(&job, "mean", values::duration);
        worker.job_longest = reader.field(&job, "longest", values::duration);
        Some(())
    });
    if job == Field::Wrong {
        worker.job_mean = Field::Wrong;
    }
    worker.startup = reader.field(fields, "startup", values::duration);
    worker.on_metrics_loss = reader.field(fields, "onMetricsLoss", on_metrics_loss);
    worker.idle_after = reader.field(fields, "idleAfter", idle_after);
    worker
}

fn queue(reader: &mut Reader<'_>, value: Value<'_>) -> QueueSpec {
    let mut queue = QueueSpec {
        span: value.node.span,
        name: Field::Wrong,
        prefix: Field::Missing,
        redis: Field::Missing,
        optional: Field::Missing,
    };
    if value.node.text().is_some() {
        if let Some(name) = values::queue_text(reader, value) {
            queue.name = Field::Given(At {
                value: name,
                span: queue.span,
            });
        }
    } else if let Some(fields) = reader.mapping(value, QUEUE) {
        queue.name = reader.field(&fields, "name", values::queue_text);
        queue.prefix = reader.field(&fields, "prefix", values::queue_text);
        queue.redis = reader.field(&fields, "redis", values::queue_text);
        queue.optional = reader.field(&fields, "optional", Reader::truth);
    }
    queue
}

fn scale(reader: &mut Reader<'_>, value: Value<'_>) -> Option<Scale> {
    const HELP: &str = "write `slots`, `{jobsPerReplica: 100}` or `{startWithin: 30s}`";
    if value.node.text() == Some("slots") {
        return Some(Scale::Slots);
    }
    if let Kind::Mapping(entries) = &value.node.kind {
        let fields = reader.mapping(value, &["jobsPerReplica", "startWithin"])?;
        let jobs = reader.field(&fields, "jobsPerReplica", values::jobs_per_replica);
        let within = reader.field(&fields, "startWithin", values::duration);
        match (jobs, within) {
            (Field::Given(jobs), Field::Missing) => return Some(Scale::JobsPerReplica(jobs.value)),
            (Field::Missing, Field::Given(time)) => return Some(Scale::StartWithin(time.value)),
            (Field::Given(_), Field::Given(_)) => {}
            (Field::Missing, Field::Missing) if entries.is_empty() => {}
            (Field::Wrong | Field::Missing, _) | (_, Field::Wrong) => return None,
        }
    }
    reader.refuse(Problem::new(
        Rule::ScaleUnknown,
        value.node.span,
        "`scale` takes one of three ways to scale",
        "none of the three, or more than one",
        HELP,
    ))
}

fn on_metrics_loss(reader: &mut Reader<'_>, value: Value<'_>) -> Option<OnMetricsLoss> {
    if value.node.text() == Some("hold") {
        return Some(OnMetricsLoss::Hold);
    }
    if let Kind::Mapping(entries) = &value.node.kind {
        let fields = reader.mapping(value, &["replicas"])?;
        let replicas = reader.field(&fields, "replicas", |reader, value| {
            reader.whole(value, 1, Rule::OnMetricsLossReplicas)
        });
        match replicas {
            Field::Given(replicas) => return Some(OnMetricsLoss::Replicas(replicas.value)),
            Field::Missing if entries.is_empty() => {}
            Field::Wrong | Field::Missing => return None,
        }
    }
    reader.refuse(Problem::new(
        Rule::OnMetricsLossUnknown,
        value.node.span,
        "`onMetricsLoss` takes one of two answers",
        "neither of the two",
        "write `hold` to keep the replicas as they are, or `{replicas: 5}` to have at least so many",
    ))
}

fn idle_after(reader: &mut Reader<'_>, value: Value<'_>) -> Option<Duration> {
    let quiet = values::duration(reader, value)?;
    if quiet >= SHORTEST_IDLE && quiet.subsec_nanos() == 0 {
        return Some(quiet);
    }
    reader.refuse(Problem::new(
        Rule::IdleAfterTooShort,
        value.node.span,
        "`idleAfter` is shorter than a minute, or not in whole seconds",
        "a stalled job is seen after up to 60 s, by a living worker only",
        "write `1m` or more; the default is `2m`",
    ))
}

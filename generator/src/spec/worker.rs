//! A worker, field by field; `defaults` has the same fields but the name.

use std::sync::Arc;
use std::time::Duration;

use super::fields::{At, Field, Mapping, Reader, Value};
use super::{OnMetricsLoss, QueueSpec, Rate, Scale, WorkerSpec, metadata, shape, values};
use crate::document::Kind;
use crate::problem::{Problem, Rule};

/// The shortest quiet time before a worker is scaled to zero. BullMQ looks for stalled jobs every 30 s, and a job is known to be
/// stalled at the second look: <https://docs.bullmq.io/guide/workers/stalled-jobs>.
const SHORTEST_IDLE: Duration = Duration::from_mins(1);

/// Reads the fields of a worker, or of `defaults`.
pub(super) fn worker(reader: &mut Reader<'_>, fields: &Mapping<'_>) -> WorkerSpec {
    let mut worker = WorkerSpec::empty(fields.span);
    worker.name = reader.field(fields, "name", values::worker_name);
    worker.namespace = reader.field(fields, "namespace", values::namespace);
    let target = reader.field(fields, "target", |reader, value| {
        let target = reader.mapping(value, shape::TARGET.fields)?;
        worker.target_kind = reader.field(&target, "kind", values::target_kind);
        worker.target_name = reader.field(&target, "name", values::target_name);
        worker.target_api_version = reader.field(&target, "apiVersion", values::target_api_version);
        worker.target_template = reader.field(&target, "template", Reader::text);
        Some(())
    });
    if target == Field::Wrong {
        worker.target_kind = Field::Wrong;
    }
    worker.queues = reader.field(fields, "queues", |reader, value| {
        reader.list(value, "[email, sms]", queue)
    });
    worker.concurrency = reader.field(fields, "concurrency", |reader, value| {
        reader.whole(value, 1, Rule::ConcurrencyRange)
    });
    let replicas = reader.field(fields, "replicas", |reader, value| {
        let replicas = reader.mapping(value, shape::REPLICAS.fields)?;
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
        let job = reader.mapping(value, shape::JOB.fields)?;
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
    worker.rate_limit = reader.field(fields, "rateLimit", rate_limit);
    worker.labels = reader.field(fields, "labels", metadata::labels);
    worker.annotations = reader.field(fields, "annotations", metadata::annotations);
    worker.overrides = reader.field(fields, "overrides", |reader, value| {
        let Kind::Mapping(_) = &value.node.kind else {
            let help = "write a part of a ScaledObject, such as `{spec: {pollingInterval: 5}}`";
            return reader.wrong_type(value, "a mapping", help);
        };
        Some(Arc::clone(value.node))
    });
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
    } else if let Some(fields) = reader.mapping(value, shape::QUEUE.fields) {
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
        let fields = reader.mapping(value, shape::SCALE.fields)?;
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
        let fields = reader.mapping(value, shape::ON_METRICS_LOSS.fields)?;
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

/// Reads a number of jobs in a time: `100/1m`.
fn rate_limit(reader: &mut Reader<'_>, value: Value<'_>) -> Option<Rate> {
    let text = value.node.text().unwrap_or_default();
    let read = text.split_once('/').and_then(|(jobs, per)| {
        let jobs = jobs.trim();
        let plain = jobs.bytes().all(|b| b.is_ascii_digit()) && !jobs.starts_with('0');
        let jobs = jobs.parse::<u32>().ok().filter(|_| plain)?;
        let per = humantime::parse_duration(per.trim()).ok()?;
        let whole = !per.is_zero() && per.subsec_nanos() % 1_000_000 == 0;
        (whole && per <= values::LONGEST).then_some(Rate { jobs, per })
    });
    if read.is_some() {
        return read;
    }
    reader.refuse(Problem::new(
        Rule::RateLimitUnreadable,
        value.node.span,
        "`rateLimit` is not readable as jobs in a time",
        format!("found {}", value.node.description()),
        "write a number of jobs, a slash and a duration: `100/1m`, or `5/1s`",
    ))
}

//! The spec as it was written: every field, where it stands, and whether it is right by itself.
//!
//! This is the wire form of `bullmq-keda/v1`. It knows which fields there are and what each takes; it fills in nothing. What
//! fields mean together, and what is used where none is given, is decided in [`crate::workload`].

mod fields;
mod prometheus;
mod values;
mod worker;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::decimal::Decimal;
use crate::document::{Kind, Node};
use crate::problem::{Problem, Rule, Span};
use fields::{Reader, Value};
use prometheus::prometheus;
use worker::{WORKER, worker};

pub(crate) use fields::closest;
pub use fields::{At, Field};
pub use values::Utilization;

/// The only version of the spec.
pub const API_VERSION: &str = "bullmq-keda/v1";

/// One spec.
#[derive(Debug)]
pub struct Spec {
    /// Where it begins.
    pub span: Span,
    /// Which Prometheus is asked, and what it knows.
    pub prometheus: Field<PrometheusSpec>,
    /// Fields of a worker that stand for all workers.
    pub defaults: WorkerSpec,
    /// The workers.
    pub workers: Field<Vec<WorkerSpec>>,
}

/// `prometheus`.
#[derive(Debug)]
pub struct PrometheusSpec {
    /// `serverAddress`: the base URL, as KEDA reaches it.
    pub server_address: Field<String>,
    /// `scrapeInterval`: how often Prometheus scrapes the exporter.
    pub scrape_interval: Field<Duration>,
    /// `matchers`: labels added to every selector.
    pub matchers: Field<BTreeMap<String, String>>,
    /// `horizons`: those that the exporter serves, rising.
    pub horizons: Field<Vec<Duration>>,
}

/// A worker, or `defaults`.
#[derive(Debug)]
pub struct WorkerSpec {
    /// Where it begins.
    pub span: Span,
    /// `name`.
    pub name: Field<String>,
    /// `namespace`.
    pub namespace: Field<String>,
    /// `target.kind`.
    pub target_kind: Field<String>,
    /// `target.name`.
    pub target_name: Field<String>,
    /// `target.apiVersion`.
    pub target_api_version: Field<String>,
    /// `queues`.
    pub queues: Field<Vec<QueueSpec>>,
    /// `concurrency`: jobs that one replica runs at once.
    pub concurrency: Field<u32>,
    /// `replicas.min`.
    pub replicas_min: Field<u32>,
    /// `replicas.max`.
    pub replicas_max: Field<u32>,
    /// `scale`.
    pub scale: Field<Scale>,
    /// `utilization`.
    pub utilization: Field<Utilization>,
    /// `job.mean`.
    pub job_mean: Field<Duration>,
    /// `job.longest`.
    pub job_longest: Field<Duration>,
    /// `startup`: from pod created to first job taken.
    pub startup: Field<Duration>,
    /// `onMetricsLoss`.
    pub on_metrics_loss: Field<OnMetricsLoss>,
    /// `idleAfter`: quiet time before scaling to zero.
    pub idle_after: Field<Duration>,
}

/// One queue of a worker.
#[derive(Debug)]
pub struct QueueSpec {
    /// Where it stands.
    pub span: Span,
    /// `name`.
    pub name: Field<String>,
    /// `prefix`.
    pub prefix: Field<String>,
    /// `redis`: the name of the connection in the exporter.
    pub redis: Field<String>,
    /// `optional`: whether it may be missing.
    pub optional: Field<bool>,
}

/// What decides how many replicas there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scale {
    /// Every ready or running job gets a slot.
    Slots,
    /// One replica for so many jobs.
    JobsPerReplica(Decimal),
    /// The backlog is worked off within this time.
    StartWithin(Duration),
}

/// What happens while the metrics are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnMetricsLoss {
    /// The number of replicas stays.
    Hold,
    /// There are at least so many replicas.
    Replicas(u32),
}

const SPEC: &[&str] = &["apiVersion", "prometheus", "defaults", "workers"];

/// Reads one document. Returns nothing if it is no spec of this version at all; `problems` then say why.
pub fn read(document: &Node, problems: &mut Vec<Problem>) -> Option<Spec> {
    let mut reader = Reader { problems };
    let value = Value::new("spec", document);
    // A spec of another version, or a manifest of Kubernetes, would be wrong in every field: one sentence says it all.
    if let Kind::Mapping(entries) = &document.kind {
        let version = entries
            .iter()
            .find(|(key, _)| key.text() == Some("apiVersion"));
        if let Some((_, node)) = version
            && node.text() != Some(API_VERSION)
        {
            return reader.refuse(Problem::new(
                Rule::ApiVersionUnknown,
                node.span,
                "this version of the spec is not known",
                "unknown version",
                format!("write `apiVersion: {API_VERSION}`"),
            ));
        }
    }
    let spec = reader.mapping(value, SPEC)?;
    let version = reader.field(&spec, "apiVersion", |_, _| Some(()));
    if version == Field::Missing {
        let problem = missing("apiVersion", spec.span, "the spec", API_VERSION);
        reader.problems.push(problem);
    }
    let defaults = reader.field(&spec, "defaults", |reader, value| {
        // A name in `defaults` would name every worker alike.
        reader
            .mapping(value, WORKER.get(1..).unwrap_or(WORKER))
            .map(|fields| worker(reader, &fields))
    });
    Some(Spec {
        span: spec.span,
        prometheus: reader.field(&spec, "prometheus", prometheus),
        defaults: match defaults {
            Field::Given(defaults) => defaults.value,
            Field::Missing | Field::Wrong => WorkerSpec::empty(spec.span),
        },
        workers: reader.field(&spec, "workers", |reader, value| {
            let example = "- name: email";
            let workers = reader.list(value, example, |reader, value| {
                reader
                    .mapping(value, WORKER)
                    .map(|fields| worker(reader, &fields))
            })?;
            // An item that is no mapping has been told, and the others are still worth checking.
            let empty = workers.is_empty();
            let read: Vec<_> = workers.into_iter().flatten().collect();
            (empty || !read.is_empty()).then_some(read)
        }),
    })
}

/// The problem of a field that must be given.
pub fn missing(field: &str, at: Span, of: &str, example: &str) -> Problem {
    let help = match field.split_once('.') {
        Some((outer, inner)) => format!("add `{inner}: {example}` under `{outer}`"),
        None => format!("add `{field}: {example}`"),
    };
    Problem::new(
        Rule::SpecMissingField,
        at,
        format!("{of} has no `{field}`"),
        format!("`{field}` is missing"),
        help,
    )
}

impl WorkerSpec {
    fn empty(span: Span) -> Self {
        Self {
            span,
            name: Field::Missing,
            namespace: Field::Missing,
            target_kind: Field::Missing,
            target_name: Field::Missing,
            target_api_version: Field::Missing,
            queues: Field::Missing,
            concurrency: Field::Missing,
            replicas_min: Field::Missing,
            replicas_max: Field::Missing,
            scale: Field::Missing,
            utilization: Field::Missing,
            job_mean: Field::Missing,
            job_longest: Field::Missing,
            startup: Field::Missing,
            on_metrics_loss: Field::Missing,
            idle_after: Field::Missing,
        }
    }
}

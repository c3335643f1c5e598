//! The spec as it was written: every field, where it stands, and whether it is right by itself.
//!
//! This is the wire form of `bullmq-keda/v1`. It knows which fields there are ([`shape`]) and what each takes; it fills in nothing. What
//! fields mean together, and what is used where none is given, is decided in [`crate::workload`].

mod authentication;
mod fields;
mod metadata;
mod prometheus;
pub mod shape;
mod values;
mod worker;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::decimal::Decimal;
use crate::document::{Documents, Kind, Node};
use crate::problem::{Problem, Rule, Span};
use fields::{Mapping, Reader, Value};
use prometheus::prometheus;
use shape::FieldShape;
use worker::worker;

pub use crate::version::Version;
pub use authentication::{Authentication, Existing, Identity, Provider, Reference, Way};
pub(crate) use fields::closest;
pub use fields::{At, Field};
pub(crate) use metadata::refused_label;
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
    /// `keda.version`.
    pub keda: Field<Version>,
    /// `kubernetes.version`.
    pub kubernetes: Field<Version>,
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
    /// `authentication`: how KEDA proves who it is.
    pub authentication: Field<Authentication>,
    /// `headers` that KEDA sends.
    pub headers: Field<BTreeMap<String, String>>,
    /// `queryParameters` that KEDA adds.
    pub query_parameters: Field<BTreeMap<String, String>>,
    /// `namespace`, a parameter of its own.
    pub namespace: Field<String>,
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
    /// `target.template`: a file, relative to the spec.
    pub target_template: Field<String>,
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
    /// `rateLimit`: what the queue or its downstream allows.
    pub rate_limit: Field<Rate>,
    /// `labels`.
    pub labels: Field<BTreeMap<String, String>>,
    /// `annotations`.
    pub annotations: Field<BTreeMap<String, String>>,
    /// `overrides`: merged into the manifest last.
    pub overrides: Field<Arc<Node>>,
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

/// Jobs in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// The jobs, at least one.
    pub jobs: u32,
    /// The time.
    pub per: Duration,
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

/// Reads one document. Returns nothing if it is no spec of this version at all; `problems` then say why.
pub fn read(document: &Arc<Node>, problems: &mut Vec<Problem>) -> Option<Spec> {
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
    let spec = reader.mapping(value, shape::SPEC.fields)?;
    let version = reader.field(&spec, "apiVersion", |_, _| Some(()));
    if version == Field::Missing {
        let problem = missing("apiVersion", spec.span, "the spec", API_VERSION);
        reader.problems.push(problem);
    }
    let defaults = reader.field(&spec, "defaults", |reader, value| {
        reader
            .mapping(value, shape::DEFAULTS.fields)
            .map(|fields| worker(reader, &fields))
    });
    Some(Spec {
        span: spec.span,
        prometheus: reader.field(&spec, "prometheus", prometheus),
        keda: target_version(&mut reader, &spec, "keda", shape::KEDA.fields),
        kubernetes: target_version(&mut reader, &spec, "kubernetes", shape::KUBERNETES.fields),
        defaults: match defaults {
            Field::Given(defaults) => defaults.value,
            Field::Missing | Field::Wrong => WorkerSpec::empty(spec.span),
        },
        workers: reader.field(&spec, "workers", |reader, value| {
            let example = "- name: email";
            let workers = reader.list(value, example, |reader, value| {
                reader
                    .mapping(value, shape::WORKER.fields)
                    .map(|fields| worker(reader, &fields))
            })?;
            // An item that is no mapping has been told, and the others are still worth checking.
            let empty = workers.is_empty();
            let read: Vec<_> = workers.into_iter().flatten().collect();
            (empty || !read.is_empty()).then_some(read)
        }),
    })
}

fn target_version(
    reader: &mut Reader<'_>,
    spec: &Mapping<'_>,
    name: &str,
    fields: &'static [FieldShape],
) -> Field<Version> {
    let mut version = Field::Missing;
    let of = reader.field(spec, name, |reader, value| {
        let of = reader.mapping(value, fields)?;
        version = reader.field(&of, "version", values::version);
        Some(())
    });
    if of == Field::Wrong {
        return Field::Wrong;
    }
    version
}

fn get<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Kind::Mapping(entries) = &node.kind else {
        return None;
    };
    let entry = entries.iter().find(|(key, _)| key.text() == Some(name));
    entry.map(|(_, value)| value.as_ref())
}

/// Whether a document says that it is a spec of this version.
pub fn is_one(document: &Node) -> bool {
    get(document, "apiVersion").and_then(Node::text) == Some(API_VERSION)
}

/// The files that the specs in an input name as templates, seen from where the input was named from. They need not be right specs.
pub fn templates(documents: &Documents, input: &str) -> Vec<String> {
    let files = documents.roots.iter().flat_map(|root| templates_of(root));
    files.map(|file| beside(input, file)).collect()
}

fn templates_of(document: &Node) -> Vec<&str> {
    if !is_one(document) {
        return Vec::new();
    }
    let workers = match get(document, "workers").map(|workers| &workers.kind) {
        Some(Kind::Sequence(workers)) => workers.as_slice(),
        Some(Kind::Scalar { .. } | Kind::Mapping(_)) | None => &[],
    };
    let defaults = get(document, "defaults");
    workers
        .iter()
        .map(AsRef::as_ref)
        .chain(defaults)
        .filter_map(|worker| get(get(worker, "target")?, "template")?.text())
        .collect()
}

/// The name of a file that an input names, seen from where the input was named from.
pub fn beside(input: &str, file: &str) -> String {
    let folder = Path::new(input).parent().unwrap_or(Path::new(""));
    folder.join(file).display().to_string()
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
            target_template: Field::Missing,
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
            rate_limit: Field::Missing,
            labels: Field::Missing,
            annotations: Field::Missing,
            overrides: Field::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::shape::{FieldShape, SPEC, Takes};
    use super::*;
    use crate::document::{self, Dialect};

    /// The paths of all fields, as specs in which the field holds a list of a list of a list, which nothing takes.
    fn wrong(
        fields: &[FieldShape],
        around: &dyn Fn(&str) -> String,
        found: &mut Vec<(String, String)>,
    ) {
        for field in fields {
            let inside = |value: &str| around(&format!("{{{}: {value}}}", field.name));
            found.push((field.name.to_owned(), inside("[[[]]]")));
            below(&field.takes, &inside, found);
        }
    }

    fn below(takes: &Takes, around: &dyn Fn(&str) -> String, found: &mut Vec<(String, String)>) {
        match takes {
            Takes::Mapping(shape) => wrong(shape.fields, around, found),
            Takes::List(of) => below(of, &|value| around(&format!("[{value}]")), found),
            Takes::Either(several) => several.iter().for_each(|of| below(of, around, found)),
            Takes::Word(_)
            | Takes::Words(_)
            | Takes::Text
            | Takes::Like(_)
            | Takes::Duration
            | Takes::Whole(_)
            | Takes::Number
            | Takes::Truth
            | Takes::Texts
            | Takes::Manifest => {}
        }
    }

    #[test]
    fn every_field_of_the_table_has_a_reader() {
        let mut found = Vec::new();
        wrong(SPEC.fields, &ToOwned::to_owned, &mut found);
        assert!(found.len() > 80, "{}", found.len());
        for (name, spec) in found {
            let documents = document::read(&spec, 0, Dialect::SPEC);
            let root = documents.roots.first().unwrap();
            let mut problems = Vec::new();
            read(root, &mut problems);
            let at = spec.find("[[[]]]").unwrap();
            let told = problems
                .iter()
                .any(|problem| (at..at + 6).contains(&problem.at.start));
            assert!(told, "nothing is said of `{name}` in {spec}: {problems:?}");
        }
    }
}

//! The fields of a spec as one table: their names, what each takes, and what it is for.
//!
//! The readers take the names that they know from here, and the JSON Schema that editors use is made from here, so that neither
//! can know a field that the other does not. What a field takes is said once more by its reader, which says more (places,
//! bounds against other fields); `tests/schema.rs` lets a foreign validator judge every example and every bad spec, so that the two
//! cannot drift either.

use serde_json::{Map, Value, json};

use super::API_VERSION;

/// The units of a duration: <https://docs.rs/humantime/2.4.0/humantime/fn.parse_duration.html>.
const UNITS: &[&str] = &[
    "nanos", "nsec", "ns", "usec", "us", "µs", "millis", "msec", "ms", "seconds", "second", "secs",
    "sec", "s", "minutes", "minute", "min", "mins", "m", "hours", "hour", "hr", "hrs", "h", "days",
    "day", "d", "weeks", "week", "wk", "wks", "w", "months", "month", "M", "years", "year", "yr",
    "yrs", "y",
];

/// A mapping with known fields.
#[derive(Debug)]
pub struct Shape {
    /// Its name among the definitions of the schema.
    pub name: &'static str,
    /// Its fields, in the order in which they are documented.
    pub fields: &'static [FieldShape],
    /// Whether exactly one of the fields is given.
    pub one: bool,
}

/// One field.
#[derive(Debug)]
pub struct FieldShape {
    /// Its name.
    pub name: &'static str,
    /// Whether it must be given where its mapping is, and cannot come from `defaults`.
    pub required: bool,
    /// What it takes.
    pub takes: Takes,
    /// What it is for, in one or two sentences.
    pub doc: &'static str,
}

/// What a field takes, as far as a schema can say it.
#[derive(Debug)]
pub enum Takes {
    /// This word.
    Word(&'static str),
    /// One of these words.
    Words(&'static [&'static str]),
    /// A text that is not empty.
    Text,
    /// A text that this regular expression takes.
    Like(&'static str),
    /// A duration.
    Duration,
    /// A whole number from this one on.
    Whole(u32),
    /// A number above zero.
    Number,
    /// `true` or `false`.
    Truth,
    /// A list of at least one.
    List(&'static Takes),
    /// One of several.
    Either(&'static [Takes]),
    /// A mapping with known fields.
    Mapping(&'static Shape),
    /// Texts under names of one's own.
    Texts,
    /// Any mapping: a part of a manifest of Kubernetes.
    Manifest,
}

const fn field(name: &'static str, takes: Takes, doc: &'static str) -> FieldShape {
    FieldShape {
        name,
        required: false,
        takes,
        doc,
    }
}

const fn required(name: &'static str, takes: Takes, doc: &'static str) -> FieldShape {
    FieldShape {
        required: true,
        ..field(name, takes, doc)
    }
}

const fn shape(name: &'static str, fields: &'static [FieldShape]) -> Shape {
    Shape {
        name,
        fields,
        one: false,
    }
}

const fn one_of(name: &'static str, fields: &'static [FieldShape]) -> Shape {
    Shape {
        one: true,
        ..shape(name, fields)
    }
}

const DNS_LABEL: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";
const DNS_NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
const VERSION: &str = "^v?[0-9]+[.][0-9]+([.][0-9]+)?$";

/// A spec.
pub static SPEC: Shape = shape(
    "spec",
    &[
        required(
            "apiVersion",
            Takes::Word(API_VERSION),
            "The version of this format.",
        ),
        required(
            "prometheus",
            Takes::Mapping(&PROMETHEUS),
            "Where the metrics are.",
        ),
        field(
            "keda",
            Takes::Mapping(&KEDA),
            "The KEDA that the manifests are for.",
        ),
        field(
            "kubernetes",
            Takes::Mapping(&KUBERNETES),
            "The Kubernetes that the manifests are for.",
        ),
        field(
            "defaults",
            Takes::Mapping(&DEFAULTS),
            "Any field of a worker but its name, for all workers of this spec.",
        ),
        required(
            "workers",
            Takes::List(&Takes::Mapping(&WORKER)),
            "The workers, each with a ScaledObject or a ScaledJob.",
        ),
    ],
);

/// `keda`.
pub static KEDA: Shape = shape(
    "keda",
    &[field(
        "version",
        Takes::Like(VERSION),
        "The oldest version of KEDA that will read the manifests, in quotes. Unless given, 2.20.",
    )],
);

/// `kubernetes`.
pub static KUBERNETES: Shape = shape(
    "kubernetes",
    &[field(
        "version",
        Takes::Like(VERSION),
        "The oldest version of Kubernetes that will read the manifests, in quotes. From 1.35 on the autoscaler is told to have no tolerance.",
    )],
);

/// `prometheus`.
pub static PROMETHEUS: Shape = shape(
    "prometheus",
    &[
        required(
            "serverAddress",
            Takes::Like("^https?://[^/?#:@][^?#@]*[^/?#@]$"),
            "The base address of Prometheus as KEDA reaches it, without /api/v1 and without a slash at its end.",
        ),
        field(
            "scrapeInterval",
            Takes::Duration,
            "How often Prometheus scrapes the exporter. Unless given, 15s.",
        ),
        field(
            "matchers",
            Takes::Texts,
            "Labels added to every selector: which exporter is meant, where one Prometheus sees several.",
        ),
        field(
            "horizons",
            Takes::List(&Takes::Duration),
            "The horizons that the exporter serves, rising. Unless given, 30s, 1m, 2m, 5m.",
        ),
        field(
            "authentication",
            Takes::Mapping(&AUTHENTICATION),
            "How KEDA proves to Prometheus who it is.",
        ),
        field(
            "headers",
            Takes::Texts,
            "HTTP headers that KEDA sends, such as X-Scope-OrgID for a tenant of Mimir. No secrets.",
        ),
        field(
            "queryParameters",
            Takes::Texts,
            "Parameters that KEDA adds to every query, such as partial_response for Thanos.",
        ),
        field(
            "namespace",
            Takes::Like(DNS_LABEL),
            "The parameter namespace, by which a proxy before Thanos separates tenants, as on OpenShift.",
        ),
    ],
);

/// `prometheus.authentication`.
pub static AUTHENTICATION: Shape = shape(
    "authentication",
    &[
        field(
            "bearer",
            Takes::Mapping(&REFERENCE),
            "Where the bearer token is.",
        ),
        field(
            "basic",
            Takes::Mapping(&BASIC),
            "Where the user and the password are.",
        ),
        field(
            "header",
            Takes::Mapping(&HEADER),
            "Where the name and the value of a header of its own are.",
        ),
        field(
            "tls",
            Takes::Mapping(&TLS),
            "Where the client's certificate and its key are. Goes with a bearer token, a password or a header too.",
        ),
        field(
            "ca",
            Takes::Mapping(&REFERENCE),
            "Where the certificate of a private authority is. KEDA uses it only with one of the above.",
        ),
        field(
            "podIdentity",
            Takes::Mapping(&POD_IDENTITY),
            "The identity of KEDA's own pod, for the managed Prometheus of a cloud.",
        ),
        field(
            "triggerAuthentication",
            Takes::Like(DNS_NAME),
            "The name of a TriggerAuthentication that exists, in the namespace of the worker.",
        ),
        field(
            "clusterTriggerAuthentication",
            Takes::Like(DNS_NAME),
            "The name of a ClusterTriggerAuthentication that exists.",
        ),
        field(
            "modes",
            Takes::List(&Takes::Words(&["bearer", "basic", "custom", "tls"])),
            "What the TriggerAuthentication that exists is used for, unless it says so itself. KEDA sends nothing without.",
        ),
    ],
);

/// Where a value is: a key of a Secret or of a `ConfigMap`.
pub static REFERENCE: Shape = shape(
    "reference",
    &[
        field(
            "secret",
            Takes::Like(DNS_NAME),
            "The name of a Secret in the namespace of the worker.",
        ),
        field(
            "configMap",
            Takes::Like(DNS_NAME),
            "The name of a ConfigMap in the namespace of the worker, for what is no secret.",
        ),
        required("key", Takes::Like("^[-._a-zA-Z0-9]+$"), "The key in it."),
    ],
);

/// `prometheus.authentication.basic`.
pub static BASIC: Shape = shape(
    "basic",
    &[
        required(
            "username",
            Takes::Mapping(&REFERENCE),
            "Where the user's name is.",
        ),
        required(
            "password",
            Takes::Mapping(&REFERENCE),
            "Where the password is.",
        ),
    ],
);

/// `prometheus.authentication.header`.
pub static HEADER: Shape = shape(
    "header",
    &[
        required(
            "name",
            Takes::Mapping(&REFERENCE),
            "Where the header's name is.",
        ),
        required(
            "value",
            Takes::Mapping(&REFERENCE),
            "Where the header's value is.",
        ),
    ],
);

/// `prometheus.authentication.tls`.
pub static TLS: Shape = shape(
    "tls",
    &[
        required(
            "cert",
            Takes::Mapping(&REFERENCE),
            "Where the certificate is.",
        ),
        required("key", Takes::Mapping(&REFERENCE), "Where its key is."),
    ],
);

/// `prometheus.authentication.podIdentity`.
pub static POD_IDENTITY: Shape = shape(
    "podIdentity",
    &[
        required(
            "provider",
            Takes::Words(&["aws", "azure-workload", "gcp"]),
            "Whose identity it is: Amazon Managed Prometheus, Azure Monitor, or Google Cloud Managed Prometheus.",
        ),
        field(
            "region",
            Takes::Like("^[-a-z0-9]+$"),
            "The AWS region of the workspace, which the signature of a request names.",
        ),
        field(
            "roleArn",
            Takes::Text,
            "The AWS role that KEDA takes on, unless it is that of its own service account.",
        ),
        field(
            "identityId",
            Takes::Text,
            "The client id of an Azure identity, unless it is that of KEDA's own service account.",
        ),
    ],
);

/// A worker.
pub static WORKER: Shape = shape("worker", WORKER_FIELDS);
/// `defaults`: a name would name every worker alike.
pub static DEFAULTS: Shape = shape("defaults", WORKER_FIELDS.split_at(1).1);

static WORKER_FIELDS: &[FieldShape] = &[
    required(
        "name",
        Takes::Like(DNS_NAME),
        "The name of the ScaledObject, and of the target unless that is told. At most 54 characters.",
    ),
    field(
        "namespace",
        Takes::Like(DNS_LABEL),
        "The namespace of the ScaledObject and its target.",
    ),
    field(
        "target",
        Takes::Mapping(&TARGET),
        "What is scaled. Unless given, the Deployment of the worker's name.",
    ),
    field(
        "queues",
        Takes::List(&Takes::Either(&[Takes::Text, Takes::Mapping(&QUEUE)])),
        "The queues that the worker takes jobs from: names, or mappings.",
    ),
    field(
        "concurrency",
        Takes::Whole(1),
        "Jobs that one replica runs at once: BullMQ's concurrency, times the processes in a pod.",
    ),
    field(
        "replicas",
        Takes::Mapping(&REPLICAS),
        "How many replicas there may be.",
    ),
    field(
        "scale",
        Takes::Either(&[Takes::Word("slots"), Takes::Mapping(&SCALE)]),
        "What decides how many replicas there are. Unless given, slots: every ready or running job gets a slot.",
    ),
    field(
        "utilization",
        Takes::Like("^[0-9]{1,3}([.][0-9])?%$"),
        "How much of its slots a replica is meant to use. Unless given, 100%, and 90% with startWithin.",
    ),
    field("job", Takes::Mapping(&JOB), "How long jobs take."),
    field(
        "startup",
        Takes::Duration,
        "From pod created to first job taken. Jobs that fall due within it are counted as demand now.",
    ),
    field(
        "onMetricsLoss",
        Takes::Either(&[Takes::Word("hold"), Takes::Mapping(&ON_METRICS_LOSS)]),
        "What happens while the metrics are lost. Unless given, hold: what runs stays as it is.",
    ),
    field(
        "idleAfter",
        Takes::Duration,
        "Quiet time before scaling to zero, at least 1m. Unless given, 2m.",
    ),
    field(
        "rateLimit",
        Takes::Like("^[0-9]+ */ *[0-9]+ *[a-zA-Z]+( *[0-9]+ *[a-zA-Z]+)*$"),
        "Jobs in a time that the queue or what is behind the worker allows, such as 100/1m. It caps the demand at rate x job.mean.",
    ),
    field(
        "labels",
        Takes::Texts,
        "Labels of the ScaledObject. KEDA copies them to the HPA, but for those by which Argo CD, Flux and Helm know what is theirs.",
    ),
    field(
        "annotations",
        Takes::Texts,
        "Annotations of the ScaledObject. KEDA copies them to the HPA.",
    ),
    field(
        "overrides",
        Takes::Manifest,
        "A part of a ScaledObject, merged into the generated one last; null removes a field, and a list is replaced whole.",
    ),
];

/// `target`.
pub static TARGET: Shape = shape(
    "target",
    &[
        field(
            "kind",
            Takes::Like("^[A-Z][a-zA-Z0-9]*$"),
            "Deployment, another kind with a scale subresource, or Job for a pod of its own. Unless given, Deployment.",
        ),
        field(
            "name",
            Takes::Like(DNS_NAME),
            "Unless given, the worker's name.",
        ),
        field(
            "apiVersion",
            Takes::Like("^([a-z0-9][-.a-z0-9]*/)?v[0-9][a-z0-9]*$"),
            "Group and version. Required for any kind but Deployment, StatefulSet, ReplicaSet and Job.",
        ),
        field(
            "template",
            Takes::Text,
            "With kind Job: the file of the Job or of its pod's template, relative to the spec.",
        ),
    ],
);

/// `replicas`.
pub static REPLICAS: Shape = shape(
    "replicas",
    &[
        field(
            "min",
            Takes::Whole(0),
            "There is no default, so that scaling to zero is never an accident.",
        ),
        field("max", Takes::Whole(1), "The largest number of replicas."),
    ],
);

/// `job`.
pub static JOB: Shape = shape(
    "job",
    &[
        field(
            "mean",
            Takes::Duration,
            "The mean time of a job, not the median. Round up.",
        ),
        field(
            "longest",
            Takes::Duration,
            "If this, or else the mean, is above 30 s, replicas go more slowly.",
        ),
    ],
);

/// A queue as a mapping.
pub static QUEUE: Shape = shape(
    "queue",
    &[
        required(
            "name",
            Takes::Text,
            "The name as BullMQ knows it, character for character; no patterns.",
        ),
        field(
            "prefix",
            Takes::Text,
            "BullMQ's prefix. Unless given, bull.",
        ),
        field(
            "redis",
            Takes::Text,
            "The name of the Redis connection in the exporter. Unless given, default.",
        ),
        field(
            "optional",
            Takes::Truth,
            "Whether it may be missing. Nothing is scaled while a queue that is not optional is missing.",
        ),
    ],
);

/// `scale` as a mapping.
pub static SCALE: Shape = one_of(
    "scale",
    &[
        field(
            "jobsPerReplica",
            Takes::Number,
            "One replica for so many jobs, ready or running.",
        ),
        field(
            "startWithin",
            Takes::Duration,
            "The running load, plus what works the backlog off within this time. Needs job.mean.",
        ),
    ],
);

/// `onMetricsLoss` as a mapping.
pub static ON_METRICS_LOSS: Shape = one_of(
    "onMetricsLoss",
    &[field(
        "replicas",
        Takes::Whole(1),
        "At least so many, and never fewer than there are.",
    )],
);

/// Every mapping of a spec.
static ALL: [&Shape; 18] = [
    &KEDA,
    &KUBERNETES,
    &PROMETHEUS,
    &AUTHENTICATION,
    &REFERENCE,
    &BASIC,
    &HEADER,
    &TLS,
    &POD_IDENTITY,
    &DEFAULTS,
    &WORKER,
    &TARGET,
    &REPLICAS,
    &JOB,
    &QUEUE,
    &SCALE,
    &ON_METRICS_LOSS,
    &SPEC,
];

/// The JSON Schema of a spec, for editors. Draft 7, because that is what the YAML language server knows:
/// <https://github.com/redhat-developer/yaml-language-server>.
pub fn schema() -> Value {
    let mut definitions = Map::new();
    for shape in ALL.iter().filter(|shape| shape.name != SPEC.name) {
        definitions.insert(shape.name.to_owned(), mapping(shape));
    }
    let mut root = Map::new();
    root.insert(
        "$schema".to_owned(),
        json!("http://json-schema.org/draft-07/schema#"),
    );
    root.insert(
        "$comment".to_owned(),
        json!("Printed by `bullmq-keda schema`. What needs more than one field to be judged is judged by `bullmq-keda generate`."),
    );
    root.insert(
        "title".to_owned(),
        json!(format!("A spec of {API_VERSION}")),
    );
    if let Value::Object(spec) = mapping(&SPEC) {
        root.extend(spec);
    }
    root.insert("definitions".to_owned(), Value::Object(definitions));
    Value::Object(root)
}

fn mapping(shape: &Shape) -> Value {
    let mut properties = Map::new();
    for field in shape.fields {
        let mut takes = Map::new();
        takes.insert("description".to_owned(), json!(field.doc));
        let of = value(&field.takes);
        // Beside a reference draft 7 reads nothing else.
        if of.get("$ref").is_some() {
            takes.insert("allOf".to_owned(), json!([of]));
        } else if let Value::Object(of) = of {
            takes.extend(of);
        }
        properties.insert(field.name.to_owned(), Value::Object(takes));
    }
    let required: Vec<&str> = shape
        .fields
        .iter()
        .filter(|field| field.required)
        .map(|field| field.name)
        .collect();
    let mut schema = Map::new();
    schema.insert("type".to_owned(), json!("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    schema.insert("additionalProperties".to_owned(), json!(false));
    if !required.is_empty() {
        schema.insert("required".to_owned(), json!(required));
    }
    if shape.one {
        schema.insert("minProperties".to_owned(), json!(1));
        schema.insert("maxProperties".to_owned(), json!(1));
    }
    Value::Object(schema)
}

fn value(takes: &Takes) -> Value {
    match takes {
        Takes::Word(word) => json!({ "const": word }),
        Takes::Words(words) => json!({ "enum": words }),
        Takes::Text => json!({ "type": "string", "minLength": 1 }),
        Takes::Like(pattern) => json!({ "type": "string", "pattern": pattern }),
        Takes::Duration => {
            let one = format!("[0-9]+([.][0-9]+)? *({})", UNITS.join("|"));
            json!({ "type": "string", "pattern": format!("^{one}( *{one})*$") })
        }
        Takes::Whole(least) => {
            json!({ "type": "integer", "minimum": least, "maximum": i32::MAX })
        }
        Takes::Number => {
            json!({ "type": "number", "exclusiveMinimum": 0, "maximum": 1_000_000_000 })
        }
        Takes::Truth => json!({ "type": "boolean" }),
        Takes::List(of) => json!({ "type": "array", "minItems": 1, "items": value(of) }),
        Takes::Either(several) => {
            json!({ "anyOf": several.iter().map(value).collect::<Vec<_>>() })
        }
        Takes::Mapping(shape) => json!({ "$ref": format!("#/definitions/{}", shape.name) }),
        Takes::Texts => json!({ "type": "object", "additionalProperties": { "type": "string" } }),
        Takes::Manifest => json!({ "type": "object" }),
    }
}

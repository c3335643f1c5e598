//! Workers as they are known to be possible.
//!
//! A [`Workload`] can only be had from [`check`], so that whatever holds one needs no check of its own: its smallest number of
//! replicas is not above its largest, it has at least one queue that must exist, and a horizon of the exporter covers its
//! startup. Defaults are filled in here, and only here.

mod check;
mod template;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bullmq_vocabulary::{DEFAULT_PREFIX, DEFAULT_REDIS_NAME};

use crate::counted::counted;
use crate::decimal::Decimal;
use crate::document::Node;
use crate::problem::Span;

pub use crate::spec::{
    Authentication, Existing, Identity, OnMetricsLoss, Provider, Rate, Reference, Utilization,
    Version, Way,
};
pub use check::{Files, check};
pub use template::{JobTemplate, tree};

/// How often Prometheus scrapes the exporter unless told: the interval that the policies were measured with.
pub const DEFAULT_SCRAPE_INTERVAL: Duration = Duration::from_secs(15);
/// How often KEDA, and the HPA, ask for the metric. The HPA's interval is the default of
/// <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#how-does-a-horizontalpodautoscaler-work>.
pub const POLLING_INTERVAL: Duration = Duration::from_secs(15);
/// Quiet time before scaling to zero unless told. With a signal that sees delayed and running jobs a short one is safe.
pub const DEFAULT_IDLE_AFTER: Duration = Duration::from_mins(2);
/// The API version of Deployments and `StatefulSet`s, which KEDA assumes too.
pub const APPS_V1: &str = "apps/v1";
/// The kind of a target of which KEDA makes a new object for each replica.
pub const JOB: &str = "Job";
/// The API version of Jobs.
pub const BATCH_V1: &str = "batch/v1";
/// The KEDA that manifests are for unless told: the one whose code their claims were read in and tried with.
pub const DEFAULT_KEDA: Version = Version::new(2, 20, 0);
/// The oldest KEDA that manifests can be for. Before it there is no `initialCooldownPeriod`, and running pods would go at the first poll.
pub const OLDEST_KEDA: Version = Version::new(2, 14, 0);
/// From this KEDA on a fallback can keep what is there, and a trigger has a timeout of its own.
pub const KEDA_WITH_BEHAVIOR: Version = Version::new(2, 17, 0);
/// From this KEDA on labels can be kept from the HPA.
pub const KEDA_WITH_EXCLUDED_LABELS: Version = Version::new(2, 18, 0);
/// From this KEDA on a failure may pass for "no demand" while another question of the same ScaledObject fails, and what runs would go at
/// the end of the cooldown: `ErrCacheClosed` in `getScalerState` of <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/scale_handler.go>.
pub const KEDA_WITH_CLOSED_SCALERS: Version = Version::new(2, 20, 0);
/// The oldest Kubernetes that manifests can be for: `autoscaling/v2` is stable from here on.
pub const OLDEST_KUBERNETES: Version = Version::new(1, 23, 0);
/// From this Kubernetes on an HPA has a tolerance of its own unless somebody switched it off: `HPAConfigurableTolerance` is beta and on by
/// default since 1.35, and in 1.33 and 1.34 alpha and off: <https://github.com/kubernetes/kubernetes/blob/v1.35.5/pkg/features/kube_features.go>.
pub const KUBERNETES_WITH_TOLERANCE: Version = Version::new(1, 35, 0);

/// Which Prometheus is asked, and what it knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prometheus {
    /// The base URL, as KEDA reaches it.
    pub server_address: String,
    /// How often it scrapes the exporter.
    pub scrape_interval: Duration,
    /// Labels that are added to every selector.
    pub matchers: BTreeMap<String, String>,
    /// The horizons that the exporter serves, rising.
    pub horizons: Vec<Duration>,
    /// How KEDA proves who it is.
    pub authentication: Option<Authentication>,
    /// Headers that KEDA sends.
    pub headers: BTreeMap<String, String>,
    /// Parameters that KEDA adds to a query.
    pub query_parameters: BTreeMap<String, String>,
    /// The parameter `namespace`, by which a proxy separates tenants.
    pub namespace: Option<String>,
}

/// What is scaled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// `Deployment`, or another kind with a scale subresource.
    pub kind: String,
    /// Its name, in the namespace of the worker.
    pub name: String,
    /// Its API version.
    pub api_version: String,
}

/// A queue that the worker takes jobs from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Queue {
    /// The name of its Redis connection in the exporter.
    pub redis: String,
    /// Its key prefix.
    pub prefix: String,
    /// Its name.
    pub name: String,
    /// Whether it may be missing. If not, its absence stops all scaling until it is back.
    pub optional: bool,
}

/// What decides how many replicas there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// Every ready or running job gets a slot.
    Slots {
        /// Slots that one replica is meant to use.
        slots: Decimal,
    },
    /// One replica for so many jobs.
    JobsPerReplica {
        /// Jobs, ready or running.
        jobs: Decimal,
    },
    /// The backlog is worked off within a time.
    StartWithin {
        /// The time.
        within: Duration,
        /// The mean time of a job.
        mean: Duration,
        /// Slots that one replica is meant to use.
        slots: Decimal,
    },
}

/// How many replicas there may be: `min` is not above `max`, and `max` is at least 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replicas {
    min: u32,
    max: u32,
}

impl Replicas {
    /// Bounds, if they are possible.
    pub fn new(min: u32, max: u32) -> Option<Self> {
        (min <= max && max >= 1).then_some(Self { min, max })
    }

    /// The smallest number of replicas.
    pub const fn min(self) -> u32 {
        self.min
    }

    /// The largest number of replicas.
    pub const fn max(self) -> u32 {
        self.max
    }
}

/// As people say it: `0 to 20 replicas`, or `1 replica` where the number is fixed.
impl fmt::Display for Replicas {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.min != self.max {
            write!(f, "{} to ", self.min)?;
        }
        f.write_str(&counted(self.max, "replica"))
    }
}

/// One worker, known to be possible.
#[derive(Clone, Debug)]
pub struct Workload {
    /// Where it stands in its spec.
    pub span: Span,
    /// Its name, and the name of its ScaledObject.
    pub name: String,
    /// Its namespace; none means that of whoever applies the manifest.
    pub namespace: Option<String>,
    /// What is scaled.
    pub target: Target,
    /// Where its metrics are.
    pub prometheus: Arc<Prometheus>,
    /// Its queues, at least one of them not optional.
    pub queues: Vec<Queue>,
    /// What decides how many replicas there are.
    pub policy: Policy,
    /// How many replicas there may be.
    pub replicas: Replicas,
    /// From pod created to first job taken, if known.
    pub startup: Option<Duration>,
    /// The horizon at which demand is looked up; none means now.
    pub horizon: Option<Duration>,
    /// Jobs that one replica runs at once, if known.
    pub concurrency: Option<u32>,
    /// The mean time of a job, if known.
    pub mean: Option<Duration>,
    /// The longest time of a job that is known: the longest itself, or else the mean.
    pub job: Option<Duration>,
    /// What happens while the metrics are lost.
    pub on_metrics_loss: OnMetricsLoss,
    /// Quiet time before scaling to zero.
    pub idle_after: Duration,
    /// The limit of the rate, if there is one.
    pub rate_limit: Option<Rate>,
    /// The slots that can be busy at once under a limit of the rate: more replicas would only wait. None means no limit.
    pub most_slots: Option<Decimal>,
    /// What its Jobs are made of, if its replicas are Jobs.
    pub template: Option<JobTemplate>,
    /// Labels of its manifest.
    pub labels: BTreeMap<String, String>,
    /// Annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
    /// What is merged into its manifest last, with its places.
    pub overrides: Option<Arc<Node>>,
    /// The KEDA that its manifest is for.
    pub keda: Version,
    /// The Kubernetes that its manifest is for, if it is known.
    pub kubernetes: Option<Version>,
}

/// How many queues a sentence names before it only counts.
const NAMED: usize = 6;

/// Names of queues, with what is not usual about them.
pub(crate) fn in_words(queues: &[Queue]) -> String {
    let mut names: Vec<String> = queues.iter().take(NAMED).map(name).collect();
    if queues.len() > NAMED {
        names.push(format!("{} more", queues.len() - NAMED));
    }
    match names.as_slice() {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

fn name(queue: &Queue) -> String {
    let mut remarks = Vec::new();
    if queue.prefix != DEFAULT_PREFIX {
        remarks.push(format!("prefix {}", queue.prefix.escape_debug()));
    }
    if queue.redis != DEFAULT_REDIS_NAME {
        remarks.push(format!("redis {}", queue.redis.escape_debug()));
    }
    if queue.optional {
        remarks.push("optional".to_owned());
    }
    let name = queue.name.escape_debug();
    if remarks.is_empty() {
        name.to_string()
    } else {
        format!("{name} ({})", remarks.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_told_as_people_say_them() {
        for (min, max, told) in [
            (0, 20, "0 to 20 replicas"),
            (0, 1, "0 to 1 replica"),
            (1, 1, "1 replica"),
            (3, 3, "3 replicas"),
        ] {
            assert_eq!(Replicas::new(min, max).unwrap().to_string(), told);
        }
    }

    #[test]
    fn queues_are_named_with_what_is_unusual_and_only_so_many_of_them() {
        let queue = |name: &str, prefix: &str, redis: &str, optional| Queue {
            redis: redis.to_owned(),
            prefix: prefix.to_owned(),
            name: name.to_owned(),
            optional,
        };
        let plain = |name: &str| queue(name, DEFAULT_PREFIX, DEFAULT_REDIS_NAME, false);
        assert_eq!(in_words(&[plain("email")]), "email");
        assert_eq!(
            in_words(&[plain("a\u{1b}[31m"), queue("push", "{app}", "main", true)]),
            "a\\u{1b}[31m and push (prefix {app}, redis main, optional)"
        );
        let many: Vec<Queue> = (0..9).map(|number| plain(&format!("q{number}"))).collect();
        assert_eq!(in_words(&many), "q0, q1, q2, q3, q4, q5 and 3 more");
    }
}

//! Conditions of alerts on one worker: when something keeps it from being scaled as it should be.
//!
//! Names are baked in, so that nothing has to be joined by labels: what is said of queues has no labels at all, and what KEDA and
//! kube-state-metrics say of an object has none either where its namespace is known. Where it is not, `namespace` is kept, and
//! each namespace is judged by itself.
//!
//! An object's namespace is `exported_namespace` where Prometheus keeps `namespace` for whom it scrapes, and `namespace` where it
//! honors labels: <https://prometheus.io/docs/prometheus/latest/configuration/configuration/#scrape_config>. Both are asked.

use std::fmt;
use std::time::Duration;

use bullmq_vocabulary::{JobState, Metric, label, metric, prometheus_duration, promql_string};

use super::{Demand, Expr, Scope, Selector, sum_by_queue};
use crate::decimal::Decimal;

/// KEDA's own series: <https://keda.sh/docs/2.20/integrations/prometheus/#operator>.
const SCALED_OBJECT_ERRORS: &str = "keda_scaled_object_errors_total";
const SCALED_JOB_ERRORS: &str = "keda_scaled_job_errors_total";
/// Since 2.20, and not where a trigger has a certificate or an authority of its own: `CreateHTTPRoundTripper` in
/// <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/authentication/authentication_helpers.go>.
const HTTP_REQUESTS: &str = "keda_scaler_http_requests_total";
const SCALED_RESOURCE: &str = "scaled_resource";
/// What is no 2xx, or no answer at all.
const NOT_ANSWERED: &str = r#",status_code!~"2..""#;
/// More than this share of the requests goes unanswered where none is: each is tried twice, so that one that is answered at the second
/// attempt is half.
const HALF: &str = "0.5";
const SCALED_OBJECT_PAUSED: &str = "keda_scaled_object_paused";
/// Those of kube-state-metrics:
/// <https://github.com/kubernetes/kube-state-metrics/blob/v2.17.0/docs/metrics/workload/horizontalpodautoscaler-metrics.md>.
const HPA: &str = "horizontalpodautoscaler";
const HPA_CURRENT: &str = "kube_horizontalpodautoscaler_status_current_replicas";
const HPA_DESIRED: &str = "kube_horizontalpodautoscaler_status_desired_replicas";
const HPA_MAX: &str = "kube_horizontalpodautoscaler_spec_max_replicas";
/// The label by which a namespace is known that another one hides.
const EXPORTED_NAMESPACE: &str = "exported_namespace";
/// A job that ended within this time was active in it, so that short jobs between two scrapes do not look like none.
const NOBODY_ACTIVE: Duration = Duration::from_mins(5);
/// The window in which KEDA's errors are counted: it asks every 15 s unless told, so that one that goes on is always in it.
const ERRORS: Duration = Duration::from_mins(5);

/// A PromQL expression that has an answer exactly while something is so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition(String);

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What scales a worker, as KEDA and kube-state-metrics name it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scaler<'n> {
    /// A ScaledObject, and the HPA that KEDA makes of it.
    Object {
        /// The namespace of both, if it is known.
        namespace: Option<&'n str>,
        /// The ScaledObject.
        name: &'n str,
        /// The HPA.
        hpa: &'n str,
    },
    /// A ScaledJob, which has no HPA and cannot be told as paused.
    Job {
        /// Its namespace, if it is known.
        namespace: Option<&'n str>,
        /// The ScaledJob.
        name: &'n str,
    },
}

impl Scaler<'_> {
    /// The label by which KEDA names it, and its name.
    pub const fn label(&self) -> (&'static str, &str) {
        match self {
            Self::Object { name, .. } => ("scaledObject", name),
            Self::Job { name, .. } => ("scaledJob", name),
        }
    }

    /// Whether KEDA could not scale it, at a time within the window. Once a fallback has begun KEDA counts no error any more, but
    /// goes on counting the requests that its triggers send (`tests/conformance/vectors/errors.json`). Jobs have no fallback.
    pub fn fails(&self) -> Condition {
        let window = prometheus_duration(ERRORS);
        let increase = |series: &str| format!("increase({series}[{window}])");
        let errors = |metric| self.told(metric, self.label(), increase);
        Condition(match self {
            Self::Object { name, .. } => {
                let requests = |which| {
                    self.together(
                        "sum",
                        HTTP_REQUESTS,
                        (SCALED_RESOURCE, name),
                        which,
                        increase,
                    )
                };
                format!(
                    "{} > 0\nor {}\n> {HALF} * {}",
                    errors(SCALED_OBJECT_ERRORS),
                    requests(NOT_ANSWERED),
                    requests("")
                )
            }
            Self::Job { .. } => format!("{} > 0", errors(SCALED_JOB_ERRORS)),
        })
    }

    /// Whether an annotation pauses it; nothing for what KEDA never tells it of.
    pub fn paused(&self) -> Option<Condition> {
        match self {
            Self::Object { .. } => Some(Condition(format!(
                "{} == 1",
                self.told(SCALED_OBJECT_PAUSED, self.label(), ToOwned::to_owned)
            ))),
            Self::Job { .. } => None,
        }
    }

    /// Whether the HPA wants its largest number of replicas while more jobs of these queues are ready than another replica is for;
    /// nothing without an HPA.
    pub fn at_max_with_backlog(&self, queues: &Scope, one_replica: Decimal) -> Option<Condition> {
        let ready = queues.sum(metric::QUEUE_READY_JOBS);
        Some(Condition(format!(
            "{} >= {}\nand on() {ready} > {one_replica}",
            self.of_hpa(HPA_DESIRED)?,
            self.of_hpa(HPA_MAX)?
        )))
    }

    /// Whether there are no replicas while due jobs of these queues wait for somebody to move them; nothing without an HPA.
    pub fn at_zero_with_due_jobs(&self, queues: &Scope) -> Option<Condition> {
        let due = by_queue(queues.selectors(metric::QUEUE_DELAYED_DUE_JOBS.name, None));
        let paused = by_queue(queues.selectors(metric::QUEUE_PAUSED.name, None));
        Some(Condition(format!(
            "{} == 0\nand on() sum({due}\nunless {paused} == 1) > 0",
            self.of_hpa(HPA_CURRENT)?
        )))
    }

    /// Whether nobody works on these queues although there is demand and nobody paused the scaling.
    pub fn asleep_with_demand(&self, queues: &Scope, demand: Demand) -> Condition {
        let demand = queues.demand(demand);
        Condition(match self {
            Self::Object { .. } => {
                let replicas = self.of_hpa(HPA_CURRENT).unwrap_or_default();
                let paused = self.told(SCALED_OBJECT_PAUSED, self.label(), ToOwned::to_owned);
                format!("{replicas} == 0\nand on() {demand} > 0\nunless {paused} == 1")
            }
            Self::Job { .. } => {
                let active = queues.selectors(
                    metric::JOB_COUNT.name,
                    Some((label::STATE, JobState::Active.as_str())),
                );
                let window = prometheus_duration(NOBODY_ACTIVE);
                let active: Vec<String> = active
                    .iter()
                    .map(|selector| format!("max_over_time({selector}[{window}])"))
                    .collect();
                format!("{demand} > 0\nand on() max({}) == 0", active.join("\nor "))
            }
        })
    }

    fn of_hpa(&self, metric: &str) -> Option<String> {
        match self {
            Self::Object { hpa, .. } => Some(self.told(metric, (HPA, hpa), ToOwned::to_owned)),
            Self::Job { .. } => None,
        }
    }

    /// What is told of an object of its namespace, however many programs tell it.
    fn told(&self, metric: &str, named: (&str, &str), of: impl Fn(&str) -> String) -> String {
        self.together("max", metric, named, "", of)
    }

    /// The series of an object of its namespace, those that a further matcher selects, put together by an aggregation.
    fn together(
        &self,
        aggregation: &str,
        metric: &str,
        (kind, name): (&str, &str),
        matcher: &str,
        of: impl Fn(&str) -> String,
    ) -> String {
        let (Self::Object { namespace, .. } | Self::Job { namespace, .. }) = self;
        let series = |namespace: &str| {
            of(&format!(
                "{metric}{{{namespace}{kind}=\"{}\"{matcher}}}",
                promql_string(name)
            ))
        };
        match namespace {
            Some(namespace) => {
                let namespace = promql_string(namespace);
                format!(
                    "{aggregation}({}\nor {})",
                    series(&format!("{EXPORTED_NAMESPACE}=\"{namespace}\",")),
                    series(&format!(
                        "{EXPORTED_NAMESPACE}=\"\",namespace=\"{namespace}\","
                    ))
                )
            }
            None => format!(
                "{aggregation} by (namespace) (label_replace({}, \"namespace\", \"$1\", \"{EXPORTED_NAMESPACE}\", \"(.+)\"))",
                series("")
            ),
        }
    }
}

impl Scope {
    fn sum(&self, metric: Metric) -> Expr {
        sum_by_queue(Expr::Series(self.selectors(metric.name, None)))
    }

    /// Whether the oldest ready job of any queue has waited for longer than this.
    pub fn waits_longer_than(&self, target: Duration) -> Condition {
        let ages = Expr::Series(self.selectors(metric::QUEUE_OLDEST_READY_AGE_SECONDS.name, None));
        Condition(format!("max({ages}) > {}", Decimal::seconds_of(target)))
    }

    /// Whether any queue has an active job that nobody holds.
    pub fn has_orphans(&self) -> Condition {
        let orphaned = Expr::Series(self.selectors(metric::QUEUE_ORPHANED.name, None));
        Condition(format!("max({orphaned}) == 1"))
    }
}

/// Whether a query, as it is written in a trigger, has no answer.
pub fn no_answer(query: &str) -> Condition {
    Condition(format!("absent({query})"))
}

fn by_queue(selectors: Vec<Selector>) -> Expr {
    Expr::ByQueue(Box::new(Expr::Series(selectors)))
}

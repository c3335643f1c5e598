//! Which alerts watch the scaling of one worker, how long each must hold, and what it says. Pure.
//!
//! They say with names baked in what the alerts of `charts/bullmq-exporter/rules/alerts.yaml` say of every queue and every ScaledObject, and
//! lead to the same runbooks. Their texts hold no template of Prometheus: such braces would be rendered by a chart that renders
//! its manifests, and all that is to be said is known here.

use std::collections::BTreeMap;
use std::time::Duration;

use bullmq_vocabulary::prometheus_duration;

use crate::counted::counted;
use crate::plan::{self, Plan};
use crate::query::{Condition, Scaler, no_answer};
use crate::workload::{self, OnMetricsLoss, Policy, Queue, Workload};

/// Where the runbooks are unless told: in the repository, as in the alerts of the chart.
pub const RUNBOOKS: &str = "docs/runbooks";
/// What nobody should wake for, and everybody can mend: an exporter that starts anew, or a scrape that is lost, is none.
const SHORT: Duration = Duration::from_mins(5);
/// KEDA's errors are counted in a window that goes on for this long after the last, so they have to come again and again.
const ERRORS_LAST: Duration = Duration::from_mins(10);
/// A burst that is worked off within this time needs no more replicas.
const BURST: Duration = Duration::from_mins(15);
/// A pause that nobody remembers.
const FORGOTTEN: Duration = Duration::from_hours(6);

/// How the alerts are labelled, and where they lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// What every `runbook_url` begins with, without the slash before the page.
    pub runbooks: String,
    /// Labels of each `PrometheusRule`, by which the Prometheus operator selects it.
    pub labels: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            runbooks: RUNBOOKS.to_owned(),
            labels: BTreeMap::new(),
        }
    }
}

/// How soon somebody has to look, in the words of Prometheus' alerts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Urgency {
    /// Jobs wait and nothing will change that.
    Critical,
    /// It will be critical.
    Warning,
    /// It may be meant.
    Info,
}

impl Urgency {
    /// The value of the label `severity`.
    pub const fn severity(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::Warning => "warning",
            Self::Info => "info",
        }
    }
}

/// One alert on one worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alert {
    /// Its name.
    pub name: &'static str,
    /// When it is so.
    pub condition: Condition,
    /// How long it has to be so.
    pub lasting: Duration,
    /// How soon somebody has to look.
    pub urgency: Urgency,
    /// What is wrong, in one line.
    pub summary: String,
    /// What it means and what to do.
    pub description: String,
    /// The runbook: an alert of the chart that means the same.
    pub runbook: &'static str,
}

/// The alerts on the worker of a plan, given what scales it and the query by which it does.
pub fn alerts(plan: &Plan<'_>, scaler: &Scaler<'_>, query: &str) -> Vec<Alert> {
    let workload = plan.workload;
    let queues = plan::scope(workload, |_| true);
    let (kind, who, named) = (kind(scaler), who(workload), named(&workload.queues));
    let one_replica = plan.triggers.first().map(|trigger| trigger.threshold);
    let mut alerts = vec![Alert {
        name: "BullMQWorkerQueryEmpty",
        condition: no_answer(query),
        lasting: SHORT,
        urgency: Urgency::Warning,
        summary: format!("The query that scales the worker {who} has no answer"),
        description: format!(
            "One of the queues of the {kind} {who} that must be there, its Redis or the exporter is not seen, and KEDA {}. `bullmq-keda verify` says what is missing. {named}",
            without_metrics(workload)
        ),
        runbook: "BullMQAutoscalerQueryEmpty",
    }];
    alerts.extend(one_replica.and_then(|one_replica| {
        let condition = scaler.at_max_with_backlog(&queues, one_replica)?;
        Some(Alert {
            name: "BullMQWorkerAtMaxWithBacklog",
            condition,
            lasting: BURST,
            urgency: Urgency::Warning,
            summary: format!("The worker {who} is at its maximum and jobs wait"),
            description: format!(
                "The {kind} {who} is at its largest number of replicas, and more jobs are ready than the {one_replica} that another replica would be for. Raise replicas.max, or make the jobs quicker. {named}"
            ),
            runbook: "BullMQAutoscalerAtMaxWithBacklog",
        })
    }));
    if let Policy::StartWithin { within, .. } = workload.policy {
        let target = prometheus_duration(within);
        alerts.push(Alert {
            name: "BullMQWorkerLatencyHigh",
            condition: queues.waits_longer_than(within),
            lasting: SHORT,
            urgency: Urgency::Warning,
            summary: format!("Jobs of the worker {who} wait for longer than {target}"),
            description: format!(
                "The {kind} {who} is to start jobs within {target}, and the oldest ready one has waited for longer. See whether it is at its maximum, whether its pods become ready, and whether job.mean is still true. {named}"
            ),
            runbook: "BullMQQueueLatencyHigh",
        });
    }
    if workload.replicas.min() == 0 {
        alerts.extend(at_zero(plan, scaler));
    }
    alerts.push(Alert {
        name: "BullMQWorkerScalingErrors",
        condition: scaler.fails(),
        lasting: ERRORS_LAST,
        urgency: Urgency::Warning,
        summary: format!("KEDA cannot scale the worker {who}"),
        description: format!(
            "KEDA meets errors with the {kind} {who} again and again, and {}. `kubectl describe` shows the last one; `bullmq-keda verify` asks its queries. {named}",
            without_metrics(workload)
        ),
        runbook: "BullMQAutoscalerErrors",
    });
    alerts.push(Alert {
        name: "BullMQWorkerJobsOrphaned",
        condition: queues.has_orphans(),
        lasting: SHORT,
        urgency: Urgency::Warning,
        summary: format!("A job of the worker {who} is active and nobody runs it"),
        description: format!(
            "A queue of the {kind} {who} holds an active job whose lock is gone: its worker died or is blocked. Any living worker takes it back within its stalledInterval. {named}"
        ),
        runbook: "BullMQJobsOrphaned",
    });
    alerts.extend(scaler.paused().map(|condition| Alert {
        name: "BullMQWorkerScalingPaused",
        condition,
        lasting: FORGOTTEN,
        urgency: Urgency::Info,
        summary: format!("The scaling of the worker {who} has been paused for long"),
        description: format!(
            "The {kind} {who} is paused by an annotation and does not scale. Remove autoscaling.keda.sh/paused and autoscaling.keda.sh/paused-replicas if nobody meant this. {named}"
        ),
        runbook: "BullMQAutoscalerPaused",
    }));
    alerts
}

/// Those on a worker that may have no replicas. From zero on KEDA wakes it at its next poll, whatever the cooldown; what is seen of
/// that has passed a scrape of the exporter, a poll, a look of the HPA and a scrape of kube-state-metrics.
fn at_zero(plan: &Plan<'_>, scaler: &Scaler<'_>) -> Vec<Alert> {
    let workload = plan.workload;
    let queues = plan::scope(workload, |_| true);
    let (kind, who, named) = (kind(scaler), who(workload), named(&workload.queues));
    let demand = plan::demand(workload);
    let (summary, description) = match scaler {
        Scaler::Object { .. } => (
            format!("The worker {who} has jobs and no replica"),
            format!(
                "The queues of the {kind} {who} have demand, and KEDA leaves it at zero, although it is not paused. See the conditions in `kubectl describe scaledobject` and KEDA's log. {named}"
            ),
        ),
        Scaler::Job { .. } => (
            format!("The worker {who} has jobs and none runs"),
            format!(
                "The queues of the {kind} {who} have demand, and no job has been active for five minutes. See whether KEDA makes Jobs, and whether their pods start. {named}"
            ),
        ),
    };
    let asleep = Alert {
        name: "BullMQWorkerNotScaling",
        condition: scaler.asleep_with_demand(&queues, demand),
        lasting: SHORT,
        urgency: Urgency::Critical,
        summary,
        description,
        runbook: "BullMQAutoscalerNotScaling",
    };
    let due = scaler
        .at_zero_with_due_jobs(&queues)
        .map(|condition| Alert {
            name: "BullMQWorkerDelayedJobsOverdue",
            condition,
            lasting: SHORT,
            urgency: Urgency::Warning,
            summary: format!("Delayed jobs of the worker {who} are due and it has no replica"),
            description: format!(
                "Delayed jobs in the queues of the {kind} {who} are due. Only a living worker moves them, and it is at zero: see whether its scaling is paused, and what KEDA says of it. {named}"
            ),
            runbook: "BullMQDelayedJobsOverdue",
        });
    [asleep].into_iter().chain(due).collect()
}

const fn kind(scaler: &Scaler<'_>) -> &'static str {
    match scaler {
        Scaler::Object { .. } => "ScaledObject",
        Scaler::Job { .. } => "ScaledJob",
    }
}

fn who(workload: &Workload) -> String {
    match &workload.namespace {
        Some(namespace) => format!("{} in {namespace}", workload.name),
        None => workload.name.clone(),
    }
}

/// What KEDA does with a worker while it has no metric.
fn without_metrics(workload: &Workload) -> String {
    match workload.on_metrics_loss {
        _ if workload.template.is_some() => "makes no Job".to_owned(),
        OnMetricsLoss::Hold => "holds its replicas".to_owned(),
        OnMetricsLoss::Replicas(replicas) => {
            format!(
                "goes up to its fallback of {}",
                counted(replicas, "replica")
            )
        }
    }
}

/// The queues in words.
fn named(queues: &[Queue]) -> String {
    // Two braces in a row would begin a template of Prometheus.
    let queues = workload::in_words(queues).replace("{{", r"{\u{7b}");
    format!("Queues: {queues}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_of_a_queue_begins_a_template() {
        let queue = |name: &str| Queue {
            redis: "main".to_owned(),
            prefix: "bull".to_owned(),
            name: name.to_owned(),
            optional: false,
        };
        assert_eq!(
            named(&[queue("{{{a}}}"), queue("b\n")]),
            "Queues: {\\u{7b}{a}}} (redis main) and b\\n (redis main)."
        );
    }
}

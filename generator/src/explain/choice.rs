//! Every number that the spec does not say itself: which rule chose it, and where the rule comes from.

use serde::Serialize;

use crate::counted::{counted, short};
use crate::plan::{FallbackBehavior, Plan, drain_time};
use crate::workload::{KEDA_WITH_BEHAVIOR, POLLING_INTERVAL, Policy};
use bullmq_vocabulary::prometheus_duration;

/// A number that was chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Choice {
    /// The field of the manifest.
    pub field: String,
    /// Its value; none if the field is left out.
    pub value: Option<String>,
    /// The rule.
    pub rule: String,
    /// Where the rule comes from: `spec`, `simulation`, or the address of the code that it follows from.
    pub source: &'static str,
}

/// Where numbers come from that were found by playing whole workloads against other policies.
const SIMULATED: &str = "simulation";
const SPEC: &str = "spec";
const WEBHOOK: &str =
    "https://github.com/kedacore/keda/blob/v2.20.2/apis/keda/v1alpha1/scaledobject_webhook.go";
const SCALER: &str =
    "https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/prometheus_scaler.go";
const EXECUTOR: &str =
    "https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/executor/scale_scaledobjects.go";
const HANDLER: &str = "https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/scale_handler.go";
const FALLBACK: &str = "https://github.com/kedacore/keda/blob/v2.20.2/pkg/fallback/fallback.go";
const REPLICAS: &str = "https://github.com/kubernetes/kubernetes/blob/v1.35.5/pkg/controller/podautoscaler/replica_calculator.go";

const FEATURES: &str =
    "https://github.com/kubernetes/kubernetes/blob/v1.35.5/pkg/features/kube_features.go";
const JOBS: &str =
    "https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/executor/scale_jobs.go";

/// Every choice for one worker.
pub(super) fn choices(plan: &Plan<'_>) -> Vec<Choice> {
    let mut choices = of_the_query(plan);
    if plan.workload.template.is_some() {
        choices.retain(|choice| choice.field != "metricType");
        choices.extend(of_jobs());
        choices.extend(of_failures(plan));
        return choices;
    }
    choices.extend(of_the_hpa(plan));
    choices.extend(of_zero(plan));
    choices.extend(of_failures(plan));
    choices
}

fn choice(
    field: &str,
    value: impl Into<Option<String>>,
    rule: impl Into<String>,
    source: &'static str,
) -> Choice {
    Choice {
        field: field.to_owned(),
        value: value.into(),
        rule: rule.into(),
        source,
    }
}

fn of_the_query(plan: &Plan<'_>) -> Vec<Choice> {
    let workload = plan.workload;
    let (threshold, rule) = match workload.policy {
        Policy::Slots { slots } | Policy::StartWithin { slots, .. } => {
            (slots, "concurrency x utilization")
        }
        Policy::JobsPerReplica { jobs } => (jobs, "jobsPerReplica"),
    };
    let mut choices = vec![
        choice("threshold", threshold.to_string(), rule, SPEC),
        choice(
            "metricType",
            "AverageValue".to_owned(),
            "the query is a total; the number of replicas then depends on it alone, and not on how many pods are ready",
            REPLICAS,
        ),
    ];
    let scrape = workload.prometheus.scrape_interval;
    choices.push(match (workload.horizon, workload.startup) {
        (Some(horizon), Some(startup)) => choice(
            "within",
            prometheus_duration(horizon),
            format!(
                "the first horizon of the exporter that covers startup {} + scrape {} + poll {}",
                short(startup),
                short(scrape),
                short(POLLING_INTERVAL)
            ),
            SIMULATED,
        ),
        (Some(_), None) | (None, _) => choice(
            "within",
            None,
            "without `startup` it is not known how far to look ahead",
            SPEC,
        ),
    });
    if let Some(most) = workload.most_slots {
        choices.push(choice(
            "most slots",
            most.to_string(),
            "rateLimit x job.mean: more slots would only wait",
            SPEC,
        ));
    }
    if let Policy::StartWithin { within, .. } = workload.policy {
        let drain = drain_time(within, workload.startup);
        choices.push(choice(
            "average of active jobs",
            "5m".to_owned(),
            "over 1m it costs 4 to 13% more pods, over 10m it gains nothing",
            SIMULATED,
        ));
        choices.push(choice(
            "time to work off a backlog",
            prometheus_duration(drain),
            if drain < within {
                "startWithin less startup and 30s, because a pod that starts cannot work"
            } else {
                "startWithin; with less than twice startup + 30s, to take that off only costs"
            },
            SIMULATED,
        ));
    }
    choices
}

fn of_jobs() -> Vec<Choice> {
    vec![
        choice(
            "pollingInterval",
            short(POLLING_INTERVAL),
            "half of KEDA's default of 30s: it is a part of what a job waits for",
            SIMULATED,
        ),
        choice(
            "scalingStrategy",
            "default".to_owned(),
            "the answer counts running jobs too; `accurate` would count one twice that has begun and is still waiting in Prometheus",
            JOBS,
        ),
        choice(
            "rollout",
            "gradual".to_owned(),
            "the other one ends running Jobs when the manifest changes",
            JOBS,
        ),
    ]
}

fn of_the_hpa(plan: &Plan<'_>) -> Vec<Choice> {
    let (up, down) = (plan.scale_up, plan.scale_down);
    let mut choices = vec![
        choice(
            "scaleUp",
            format!(
                "{} pods or {}% per {}",
                up.pods,
                up.percent,
                short(up.period)
            ),
            "max(4, a fifth of max): all replicas in about a minute, where the default of 4 pods takes longer the more there may be",
            SIMULATED,
        ),
        choice(
            "scaleDown window",
            short(down.window),
            "2m, but 5m if a job is known to take more than 30s, which interrupts about half as many of them; without a behavior the HPA waits 5m",
            SIMULATED,
        ),
        choice(
            "scaleDown policy",
            format!("{}% per {}", down.percent, short(down.period)),
            "a guard against a wrong metric that costs nothing in a healthy loop",
            SIMULATED,
        ),
    ];
    if plan.exact_scale_up {
        choices.push(choice(
            "scaleUp tolerance",
            "0".to_owned(),
            "without it the eleventh job for ten slots waits; Kubernetes takes the field unless switched off since 1.35",
            FEATURES,
        ));
    }
    choices
}

fn of_zero(plan: &Plan<'_>) -> Vec<Choice> {
    let Some(zero) = plan.scale_to_zero else {
        return vec![choice(
            "pollingInterval, cooldownPeriod",
            None,
            "from min 1 on KEDA uses neither, and its webhook warns of them",
            WEBHOOK,
        )];
    };
    vec![
        choice(
            "pollingInterval",
            short(zero.polling_interval),
            "half of KEDA's default of 30s: it is a part of what the first job waits for",
            SIMULATED,
        ),
        choice(
            "cooldownPeriod",
            short(zero.cooldown),
            "idleAfter; the signal sees running and due jobs, so that less than KEDA's default of 5m is safe",
            SIMULATED,
        ),
        choice(
            "initialCooldownPeriod",
            short(zero.cooldown),
            "the same; with KEDA's default of 0, running pods go at its first poll",
            EXECUTOR,
        ),
    ]
}

fn of_failures(plan: &Plan<'_>) -> Vec<Choice> {
    let fallback = match plan.fallback {
        None => choice("fallback", None, "onMetricsLoss: hold", SPEC),
        Some(fallback) if fallback.behavior == FallbackBehavior::Hold => choice(
            "fallback",
            format!(
                "those that are there, or 1, after {}",
                counted(fallback.after_failures, "failure")
            ),
            "onMetricsLoss: hold; a fallback counts as activity, so that the cooldown does not end in an outage, where KEDA 2.20 may take a failure for 0",
            HANDLER,
        ),
        Some(fallback) => choice(
            "fallback",
            format!(
                "{}, or those that are there, after {}",
                counted(fallback.replicas, "replica"),
                counted(fallback.after_failures, "failure")
            ),
            "a lost scrape or a restart is no outage; busy pods are never taken away by one",
            FALLBACK,
        ),
    };
    let mut choices = vec![
        fallback,
        choice(
            "ignoreNullValues",
            "false".to_owned(),
            "by KEDA's default, no answer is 0, and an outage scales to the smallest number",
            SCALER,
        ),
        choice(
            "activationThreshold",
            "0".to_owned(),
            "active is what is strictly above: the first job wakes",
            SCALER,
        ),
    ];
    if plan.workload.keda >= KEDA_WITH_BEHAVIOR {
        choices.push(choice(
            "timeout",
            "5s".to_owned(),
            "KEDA's default is 3s; a number without unit would be milliseconds",
            SCALER,
        ));
    }
    choices
}

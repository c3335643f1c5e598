//! What a worker's manifest will do, before it does it: for the one who reviews it, and for the one who is woken by it.
//!
//! Everything here follows from the plan and from the model of KEDA and the HPA ([`crate::control_loop`]); no number is said that neither
//! of them holds. [`explain`] makes a value of it, which is printed as text ([`text`]) or, as it is, as JSON; the names of its fields are
//! public, so that dashboards and reviews may be built on them.

mod backlog;
mod choice;
mod failure;
mod page;
mod promql;
mod reaction;
mod text;
mod timeline;
mod words;

use std::time::Duration;

use serde::Serialize;

use crate::control_loop::{Config, hpa};
use crate::plan::Plan;
use bullmq_vocabulary::prometheus_duration;

pub use backlog::Row;
pub use choice::Choice;
pub use failure::Failure;
pub use page::Screen;
pub use reaction::Reaction;
pub use text::text;
pub use timeline::{Moment, Timeline};
pub use words::Term;

/// One worker, explained.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The name of the worker, and of its ScaledObject.
    pub worker: String,
    /// Its namespace; none means that of whoever applies the manifest.
    pub namespace: Option<String>,
    /// What is scaled, as `KIND/NAME`.
    pub target: String,
    /// What the worker's manifest does, in a sentence.
    pub summary: String,
    /// What is asked of Prometheus.
    pub triggers: Vec<Trigger>,
    /// The HPA that KEDA makes.
    pub hpa: Hpa,
    /// How many replicas a backlog is for.
    pub backlog: Vec<Row>,
    /// How the number of replicas changes over time.
    pub timelines: Vec<Timeline>,
    /// How long each change takes.
    pub reactions: Vec<Reaction>,
    /// What is worth knowing of these times.
    pub notes: Vec<String>,
    /// What happens when something is down.
    pub failures: Vec<Failure>,
    /// Every number that was chosen, and by which rule.
    pub choices: Vec<Choice>,
}

/// One question to Prometheus.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Trigger {
    /// Its name in the ScaledObject.
    pub name: &'static str,
    /// The name of its metric, by which the HPA knows it.
    pub metric: String,
    /// What it does, in a sentence.
    pub purpose: String,
    /// The query.
    pub query: String,
    /// How much of the answer one replica is for.
    pub threshold: String,
    /// The query's parts, in words.
    pub terms: Vec<Term>,
}

/// The HPA that KEDA makes of the ScaledObject:
/// <https://github.com/kedacore/keda/blob/v2.20.2/controllers/keda/hpa.go>.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Hpa {
    /// Its name.
    pub name: String,
    /// `minReplicas`: at least 1, because zero is KEDA's part.
    pub min_replicas: u32,
    /// `maxReplicas`.
    pub max_replicas: u32,
    /// Its metrics.
    pub metrics: Vec<Metric>,
    /// `behavior.scaleUp`, in words.
    pub scale_up: String,
    /// `behavior.scaleDown`, in words.
    pub scale_down: String,
    /// What is left alone, in words.
    pub tolerance: String,
}

/// A metric of the HPA.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Metric {
    /// Its name.
    pub name: String,
    /// The trigger that it comes from.
    pub trigger: &'static str,
    /// `AverageValue`: the query's value is a total, and this is the share of one replica.
    pub average_value: String,
}

/// Explains what was planned for one worker.
pub fn explain(plan: &Plan<'_>) -> Explanation {
    let workload = plan.workload;
    let config = Config::of(plan);
    let demand = words::Measure::of(plan);
    let timelines = timeline::timelines(plan, &config, &demand);
    Explanation {
        worker: workload.name.clone(),
        namespace: workload.namespace.clone(),
        target: format!("{}/{}", workload.target.kind, workload.target.name),
        summary: words::summary(plan),
        triggers: triggers(plan),
        hpa: hpa(plan, &config),
        backlog: backlog::rows(&config, &demand),
        reactions: reaction::reactions(plan),
        notes: reaction::notes(plan, &timelines),
        timelines,
        failures: failure::failures(plan, &config),
        choices: choice::choices(plan),
    }
}

fn triggers(plan: &Plan<'_>) -> Vec<Trigger> {
    let triggers = plan.triggers.iter().enumerate();
    triggers
        .map(|(index, trigger)| Trigger {
            name: trigger.name,
            metric: metric_name(index),
            purpose: words::sentence(&trigger.purpose),
            query: trigger.query.to_string(),
            threshold: trigger.threshold.to_string(),
            terms: words::terms(plan, trigger),
        })
        .collect()
}

/// KEDA numbers its metrics by the order of the triggers: `GenerateMetricNameWithIndex` in
/// <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/scaler.go>.
fn metric_name(index: usize) -> String {
    format!("s{index}-prometheus")
}

fn hpa(plan: &Plan<'_>, config: &Config) -> Hpa {
    let (up, down) = (plan.scale_up, plan.scale_down);
    let (rising, falling) = match &config.hpa.behavior {
        Some(behavior) => (behavior.up.tolerance, behavior.down.tolerance),
        None => (hpa::TOLERANCE, hpa::TOLERANCE),
    };
    let triggers = plan.triggers.iter().enumerate();
    Hpa {
        name: format!("keda-hpa-{}", plan.workload.name),
        min_replicas: config.hpa.min,
        max_replicas: config.hpa.max,
        metrics: triggers
            .map(|(index, trigger)| Metric {
                name: metric_name(index),
                trigger: trigger.name,
                average_value: trigger.threshold.to_string(),
            })
            .collect(),
        scale_up: format!(
            "at once, by {} pods or {} % each {}, whichever is more",
            up.pods,
            up.percent,
            short(up.period)
        ),
        scale_down: format!(
            "to the most that was asked for in the last {}, by at most {} % each {}",
            short(down.window),
            down.percent,
            short(down.period)
        ),
        tolerance: format!(
            "nothing changes while the metric is less than {} above or {} below what the replicas are for",
            percent(rising),
            percent(falling)
        ),
    }
}

fn percent(fraction: f64) -> String {
    format!("{} %", (fraction * 1000.0).round() / 10.0)
}

/// A time as people write it, without what is below a second.
fn short(time: Duration) -> String {
    let seconds = time.as_millis().saturating_add(500) / 1000;
    let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
    if time < Duration::from_secs(1) {
        return prometheus_duration(time);
    }
    prometheus_duration(Duration::from_secs(seconds))
}

/// A number with the noun that it counts.
fn counted(number: impl Into<u64>, one: &str) -> String {
    let number = number.into();
    if number == 1 {
        format!("1 {one}")
    } else {
        format!("{number} {one}s")
    }
}

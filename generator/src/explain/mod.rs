//! What a worker's manifest will do, before it does it: for the one who reviews it, and for the one who is woken by it.
//!
//! Everything here follows from the plan and from the model of KEDA and the HPA ([`crate::control_loop`]); no number is said that neither
//! of them holds. [`explain`] makes a value of it, which is printed as text ([`text`]) or, as it is, as JSON; the names of its fields are
//! public, so that dashboards and reviews may be built on them.

mod backlog;
mod choice;
mod failure;
mod promql;
mod reaction;
mod text;
mod timeline;
mod words;

use serde::Serialize;

use crate::control_loop::{Config, hpa, jobs};
use crate::counted::short;
use crate::plan::Plan;

pub use backlog::Row;
pub use choice::Choice;
pub use failure::Failure;
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
    /// What is scaled, as `KIND/NAME`; for Jobs, the ScaledJob itself.
    pub target: String,
    /// What the worker's manifest does, in a sentence.
    pub summary: String,
    /// What is asked of Prometheus.
    pub triggers: Vec<Trigger>,
    /// The largest number of replicas, or of Jobs.
    pub max_replicas: u32,
    /// The HPA that KEDA makes; none for Jobs, which KEDA makes itself.
    pub hpa: Option<Hpa>,
    /// What the spec's `overrides` write into the manifest, as it stands there. The numbers above are those without it.
    pub overrides: Option<serde_json::Value>,
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
    let of_jobs = jobs::Config::of(plan);
    let timelines = match &of_jobs {
        Some(jobs) => timeline::of_jobs(jobs, &demand),
        None => timeline::timelines(plan, &config, &demand),
    };
    Explanation {
        worker: workload.name.clone(),
        namespace: workload.namespace.clone(),
        target: match workload.template {
            Some(_) => format!("ScaledJob/{}", workload.name),
            None => format!("{}/{}", workload.target.kind, workload.target.name),
        },
        summary: words::summary(plan),
        triggers: triggers(plan),
        max_replicas: workload.replicas.max(),
        hpa: of_jobs.is_none().then(|| hpa(plan, &config)),
        overrides: workload.overrides.as_deref().map(crate::workload::tree),
        backlog: match &of_jobs {
            Some(jobs) => backlog::of_jobs(jobs, &demand),
            None => backlog::rows(&config, &demand),
        },
        reactions: reaction::reactions(plan),
        notes: reaction::notes(plan, &timelines),
        timelines,
        failures: match of_jobs {
            Some(_) => failure::of_jobs(plan),
            None => failure::failures(plan, &config),
        },
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
        name: hpa_name(plan),
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
            "at once, by {} pods or {}% per {}, whichever is more",
            up.pods,
            up.percent,
            short(up.period)
        ),
        scale_down: format!(
            "to the most that was asked for in the last {}, by at most {}% per {}",
            short(down.window),
            down.percent,
            short(down.period)
        ),
        tolerance: if rising > 0.0 {
            format!(
                "up to {} above and {} below what the replicas are for, nothing changes",
                percent(rising),
                percent(falling)
            )
        } else {
            format!(
                "none above, because `scaleUp.tolerance` is 0; up to {} below what the replicas are for, nothing changes",
                percent(falling)
            )
        },
    }
}

/// The name that KEDA gives the HPA, unless the overrides give it another.
fn hpa_name(plan: &Plan<'_>) -> String {
    let overrides = plan.workload.overrides.as_deref();
    let tree = overrides.map(crate::workload::tree);
    let path = "/spec/advanced/horizontalPodAutoscalerConfig/name";
    let own = tree.as_ref().and_then(|tree| tree.pointer(path)?.as_str());
    own.map_or_else(
        || format!("keda-hpa-{}", plan.workload.name),
        ToOwned::to_owned,
    )
}

fn percent(fraction: f64) -> String {
    format!("{}%", (fraction * 1000.0).round() / 10.0)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::control_loop::hpa::Pods;
    use crate::control_loop::keda::Answer;
    use crate::control_loop::{ControlLoop, Observation};
    use crate::page::Screen;
    use crate::query::Seen;
    use crate::workload::Workload;
    use crate::{Input, plan::plan};
    use proptest::prelude::*;

    /// The worker of a spec with these fields.
    pub(super) fn worker(fields: &str) -> Workload {
        let spec = format!(
            "apiVersion: bullmq-keda/v1\nprometheus: {{serverAddress: \"http://p:9090\"}}\n\
             workers: [{{name: w, concurrency: 10, {fields}}}]\n"
        );
        let (mut workloads, _) = crate::workloads(vec![Input {
            name: "spec.yaml".to_owned(),
            short_name: "spec.yaml".to_owned(),
            bytes: spec.into_bytes(),
        }])
        .unwrap();
        workloads.remove(0)
    }

    fn any_worker() -> impl Strategy<Value = Workload> {
        let scale = prop_oneof![
            Just("slots".to_owned()),
            (1..20_000_u32).prop_map(|n| format!(
                "{{jobsPerReplica: {}.{:03}}}",
                n / 1000,
                n % 1000
            )),
            (1..900_u32).prop_map(|secs| format!("{{startWithin: {secs}s}}")),
        ];
        let numbers = (
            0..6_u32,
            0..120_u32,
            1..100_u32,
            1..90_000_u32,
            any::<bool>(),
        );
        (scale, numbers).prop_map(|(scale, (min, more, utilization, mean, startup))| {
            let startup = if startup { ", startup: 20s" } else { "" };
            worker(&format!(
                "queues: [a, b], replicas: {{min: {min}, max: {}}}, scale: {scale}, utilization: {utilization}%, \
                 job: {{mean: {mean}ms}}{startup}",
                (min + more).max(1)
            ))
        })
    }

    /// Where the loop ends, and that it goes there in one direction and within the bounds.
    fn settled(workload: &Workload, from: u32, value: f64) -> Result<u32, TestCaseError> {
        let plan = plan(workload);
        let (min, max) = (workload.replicas.min(), workload.replicas.max());
        let start = Duration::from_millis(500);
        let mut control_loop = ControlLoop::new(Config::of(&plan), start, Duration::from_secs(7));
        let answers = vec![Answer::Value(value); plan.triggers.len()];
        let (mut replicas, mut rose, mut fell) = (from, false, false);
        for tick in 0..240_u32 {
            let seen = Observation {
                pods: Pods::settled(replicas),
                answers: &answers,
            };
            let next = control_loop
                .step(start + hpa::SYNC_PERIOD * tick, &seen)
                .replicas;
            prop_assert!(
                (min..=max).contains(&next),
                "{next} is not from {min} to {max}"
            );
            rose |= next > replicas;
            fell |= next < replicas;
            replicas = next;
        }
        prop_assert!(!(rose && fell), "from {from} at {value}: up and down again");
        Ok(replicas)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn what_a_backlog_is_worth_is_what_the_query_is_worked_out_to(workload in any_worker(), jobs in 0..10_000_u32) {
            let plan = plan(&workload);
            let demand = f64::from(jobs);
            let seen = Seen { demand, active: 0.0, average: 0.0 };
            let value = plan.triggers.first().map(|trigger| trigger.query.value(&seen));
            prop_assert_eq!(value, Some(words::Measure::of(&plan).value(u64::from(jobs))));
        }

        #[test]
        fn every_row_of_the_backlog_is_where_the_loop_ends(workload in any_worker(), from in 0..200_u32) {
            let plan = plan(&workload);
            let demand = words::Measure::of(&plan);
            let replicas = workload.replicas;
            let from = from.clamp(replicas.min(), replicas.max());
            for row in backlog::rows(&Config::of(&plan), &demand) {
                let (first, last) = row.near_enough.unwrap_or((row.replicas, row.replicas));
                let end = settled(&workload, from, demand.value(row.jobs))?;
                prop_assert!((first..=last).contains(&end), "{row:?}, but {end} from {from}");
                // Each end of the range stays where it is.
                for stays in [first, row.replicas, last] {
                    prop_assert_eq!(settled(&workload, stays, demand.value(row.jobs))?, stays, "{:?}", row);
                }
            }
        }

        #[test]
        fn every_course_goes_one_way_within_the_bounds_to_its_end(workload in any_worker()) {
            let plan = plan(&workload);
            let replicas = workload.replicas;
            for timeline in timeline::timelines(&plan, &Config::of(&plan), &words::Measure::of(&plan)) {
                let numbers: Vec<u32> = timeline.moments.iter().map(|moment| moment.replicas).collect();
                for number in &numbers {
                    prop_assert!((replicas.min()..=replicas.max()).contains(number), "{timeline:?}");
                }
                let rising = timeline.name == "burst";
                prop_assert!(numbers.is_sorted_by(|a, b| if rising { a <= b } else { a >= b }), "{timeline:?}");
                let end = if rising { replicas.max() } else if timeline.name == "quiet" { 0 } else { replicas.min().max(1) };
                let last = numbers.last().copied().unwrap_or(u32::MAX);
                // A tenth below what the whole jobs of the burst want, which may be less than the largest number, is near enough.
                let demand = words::Measure::of(&plan);
                let burst = demand.value(demand.jobs(demand.reachable(replicas.max())).max(1));
                let wanted = burst * 1000.0 / words::float(demand.threshold.thousandths());
                let near = rising && last < end && f64::from(last) * 1.1 >= wanted - 1e-6;
                prop_assert!(last == end || near || plan_is_coarse(&plan), "{timeline:?}");
            }
        }

        #[test]
        fn no_page_is_wider_than_its_screen_but_for_what_is_to_be_copied(workload in any_worker(), width in 60..120_usize, unicode: bool) {
            let screen = Screen { width, colour: false, unicode };
            let page = text(&[explain(&plan(&workload))], screen);
            for line in page.lines() {
                let copied = line.trim_start().starts_with("kubectl") || line.trim_start().starts_with('[');
                let selector = line.contains("=\"");
                let columns = textwrap::core::display_width(line);
                prop_assert!(copied || selector || columns <= width, "{columns} of {width}: {line}");
                prop_assert!(unicode || line.is_ascii(), "{line}");
            }
        }
    }

    /// Whether one job asks for more than one replica, so that the smallest demand is not the smallest number.
    fn plan_is_coarse(plan: &Plan<'_>) -> bool {
        let demand = words::Measure::of(plan);
        demand.jobs(1) == 0
    }
}

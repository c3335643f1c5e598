//! How the number of replicas changes over time, step by step, as the windows and policies allow it.
//!
//! Played on the model, with the phases that are the worst: the HPA looks just before KEDA polls, so that what KEDA wakes waits
//! for a whole period.

use std::time::Duration;

use serde::Serialize;

use super::words::Measure;
use crate::control_loop::hpa::{self, Pods, SYNC_PERIOD};
use crate::control_loop::keda::{self, Answer};
use crate::control_loop::{Config, ControlLoop, Observation, jobs};
use crate::counted::{counted, short};
use crate::plan::Plan;
use crate::workload::POLLING_INTERVAL;

/// When in each period KEDA polls. KEDA keeps times in whole seconds, so that what happens on the second is not what happens.
const POLL_PHASE: Duration = Duration::from_millis(500);
/// How much earlier the HPA looks.
const SYNC_AHEAD: Duration = Duration::from_millis(100);
/// When the HPA first looks, counted from the first poll.
const FIRST_SYNC: Duration = SYNC_PERIOD.saturating_sub(SYNC_AHEAD);
/// What is played beyond the windows and the cooldown: halving the largest number that Kubernetes has takes 31 minutes.
const LONGEST: Duration = Duration::from_hours(1);

/// One course of events.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Timeline {
    /// What it is called in the output for machines.
    pub name: &'static str,
    /// What happens.
    pub title: String,
    /// The moments at which the number changed, and the first.
    pub moments: Vec<Moment>,
}

/// One moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Moment {
    /// Since the change was first seen.
    pub seconds: u64,
    /// The replicas from then on.
    pub replicas: u32,
    /// Who changed it and by which rule.
    pub reason: String,
}

/// The courses that are worth seeing for this worker.
pub(super) fn timelines(plan: &Plan<'_>, config: &Config, demand: &Measure) -> Vec<Timeline> {
    let replicas = plan.workload.replicas;
    let (min, max) = (replicas.min(), demand.reachable(replicas.max()));
    if min >= max {
        return Vec::new();
    }
    // Where a single job wants more replicas than there may be, it is the burst, and no demand but none is lower.
    let most = demand.jobs(max).max(1);
    let (full, one) = (demand.value(most), demand.value(1));
    let course = |from, before, value| play(plan, config, from, before, value);
    let resting = if min == 0 { 0.0 } else { one };
    let mut timelines = vec![Timeline {
        name: "burst",
        title: format!(
            "A burst of {} or more, from {}",
            counted(most, "job"),
            counted(min, "replica")
        ),
        moments: course(min, resting, full),
    }];
    if most > 1 {
        timelines.push(Timeline {
            name: "lower",
            title: format!("Demand falls to 1 job, from {}", counted(max, "replica")),
            moments: course(max, full, one),
        });
    }
    if min == 0 {
        timelines.push(Timeline {
            name: "quiet",
            title: format!("Demand ends, from {}", counted(max, "replica")),
            moments: course(max, full, 0.0),
        });
    }
    timelines
}

/// How Jobs are made of a burst: by KEDA alone, poll by poll, while none of them ends.
pub(super) fn of_jobs(config: &jobs::Config, demand: &Measure) -> Vec<Timeline> {
    let most = demand.jobs(demand.reachable(config.max.saturating_sub(config.min)));
    if most == 0 {
        return Vec::new();
    }
    let answer = Answer::Value(demand.value(most));
    let mut there = config.min;
    let mut moments = Vec::new();
    let mut seconds = 0;
    loop {
        let made = config.made(answer, there);
        if made == 0 {
            break;
        }
        there = there.saturating_add(made);
        moments.push(Moment {
            seconds,
            replicas: there,
            reason: format!("KEDA makes {}", counted(made, "Job")),
        });
        seconds += POLLING_INTERVAL.as_secs();
    }
    vec![Timeline {
        name: "burst",
        title: format!(
            "A burst of {} or more, from {}",
            counted(most, "job"),
            counted(config.min, "Job")
        ),
        moments,
    }]
}

/// Plays the loop until it has settled on `before`, and then on `value`.
fn play(plan: &Plan<'_>, config: &Config, from: u32, before: f64, value: f64) -> Vec<Moment> {
    let settle = plan.scale_down.window + SYNC_PERIOD * 2;
    let cooldown = plan
        .scale_to_zero
        .map_or(Duration::ZERO, |zero| zero.cooldown);
    let end = settle + plan.scale_down.window + cooldown + LONGEST;
    let mut control_loop = ControlLoop::new(config.clone(), POLL_PHASE, FIRST_SYNC);
    let mut replicas = from;
    let mut moments = Vec::new();
    let mut time = POLL_PHASE;
    while time < end {
        let seen = if time + SYNC_AHEAD < settle {
            before
        } else {
            value
        };
        let answers = vec![Answer::Value(seen); plan.triggers.len()];
        let began = replicas;
        let mut reason = String::new();
        for at in [time.saturating_sub(SYNC_AHEAD), time] {
            let seen = Observation {
                pods: Pods::settled(replicas),
                answers: &answers,
            };
            let step = control_loop.step(at, &seen);
            if step.replicas != replicas {
                reason = reason_of(plan, replicas, &step);
            }
            replicas = step.replicas;
        }
        if let Some(since) = (time + SYNC_AHEAD).checked_sub(settle)
            && (moments.is_empty() || replicas != began)
        {
            if reason.is_empty() {
                "nothing changes yet".clone_into(&mut reason);
            }
            moments.push(Moment {
                seconds: since.as_secs(),
                replicas,
                reason,
            });
        }
        time += SYNC_PERIOD;
    }
    moments
}

fn reason_of(plan: &Plan<'_>, before: u32, step: &crate::control_loop::Step) -> String {
    let by_keda = step.keda.map(|decision| decision.reason);
    match by_keda {
        Some(keda::Reason::Woken) => return "KEDA wakes it".to_owned(),
        Some(keda::Reason::Idle) => {
            let cooldown = plan
                .scale_to_zero
                .map_or(Duration::ZERO, |zero| zero.cooldown);
            return format!("KEDA: quiet for {}, all at once", short(cooldown));
        }
        Some(
            keda::Reason::Active
            | keda::Reason::Error
            | keda::Reason::CoolingDown
            | keda::Reason::Min
            | keda::Reason::Inactive,
        )
        | None => {}
    }
    let (up, down) = (plan.scale_up, plan.scale_down);
    let grew = step.replicas > before;
    match step.hpa.map(|decision| decision.reason) {
        Some(hpa::Reason::Policy) if grew && step.replicas - before == up.pods => {
            format!("HPA: {} pods per {}", up.pods, short(up.period))
        }
        Some(hpa::Reason::Policy) if grew => {
            format!("HPA: {}% per {}", up.percent, short(up.period))
        }
        Some(hpa::Reason::Policy) => format!("HPA: {}% per {}", down.percent, short(down.period)),
        Some(hpa::Reason::Max) => "HPA: the largest number".to_owned(),
        Some(hpa::Reason::Min) => "HPA: the smallest number".to_owned(),
        Some(
            hpa::Reason::Asked | hpa::Reason::Window | hpa::Reason::Off | hpa::Reason::NoMetric,
        )
        | None => "HPA: what is asked for".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::tests::worker;
    use crate::plan::plan;

    /// The seconds and replicas of a course.
    fn course(fields: &str, name: &str) -> Vec<(u64, u32)> {
        let workload = worker(fields);
        let plan = plan(&workload);
        let timelines = timelines(&plan, &Config::of(&plan), &Measure::of(&plan));
        let timeline = timelines.iter().find(|timeline| timeline.name == name);
        let moments = timeline.map(|timeline| timeline.moments.as_slice());
        let moments = moments.unwrap_or_default().iter();
        moments
            .map(|moment| (moment.seconds, moment.replicas))
            .collect()
    }

    #[test]
    fn a_burst_rises_by_pods_first_and_then_by_doubling() {
        let steps = [(0, 1), (15, 11), (30, 22), (45, 44), (60, 50)];
        assert_eq!(
            course("queues: [a], replicas: {min: 0, max: 50}", "burst"),
            steps
        );
        // From one on, the look that sees it acts.
        let steps = [(0, 11), (15, 22), (30, 44), (45, 50)];
        assert_eq!(
            course("queues: [a], replicas: {min: 1, max: 50}", "burst"),
            steps
        );
    }

    #[test]
    fn lower_demand_halves_each_minute_after_the_window_and_ends_at_one_or_at_min() {
        let steps = [(0, 50), (105, 25), (165, 12), (225, 6), (285, 3), (345, 1)];
        assert_eq!(
            course("queues: [a], replicas: {min: 0, max: 50}", "lower"),
            steps
        );
        let steps = [(0, 50), (285, 25), (345, 12), (405, 6), (465, 5)];
        let fields = "queues: [a], replicas: {min: 5, max: 50}, job: {longest: 1m}";
        assert_eq!(course(fields, "lower"), steps);
    }

    #[test]
    fn a_job_that_wants_more_replicas_than_there_may_be_is_a_burst_and_no_lower_demand() {
        let fields = "queues: [a], replicas: {min: 0, max: 2}, utilization: 1%";
        assert_eq!(course(fields, "burst"), [(0, 1), (15, 2)]);
        assert_eq!(course(fields, "lower"), []);
        assert_eq!(course(fields, "quiet"), [(0, 2), (105, 0)]);
    }

    #[test]
    fn no_demand_takes_all_that_are_left_when_the_cooldown_is_over() {
        let steps = [(0, 50), (105, 0)];
        assert_eq!(
            course("queues: [a], replicas: {min: 0, max: 50}", "quiet"),
            steps
        );
        let steps = [(0, 50), (105, 25), (165, 12), (225, 6), (285, 0)];
        assert_eq!(
            course(
                "queues: [a], replicas: {min: 0, max: 50}, idleAfter: 5m",
                "quiet"
            ),
            steps
        );
        assert_eq!(
            course("queues: [a], replicas: {min: 1, max: 50}", "quiet"),
            []
        );
    }

    #[test]
    fn a_fixed_number_has_no_course() {
        assert_eq!(
            course("queues: [a], replicas: {min: 3, max: 3}", "burst"),
            []
        );
    }
}

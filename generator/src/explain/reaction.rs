//! How long each change takes, from the jobs' side: on average over the phases of scrape, poll and look, and at worst.

use std::cmp::Ordering;
use std::time::Duration;

use serde::Serialize;

use super::timeline::Timeline;
use crate::control_loop::hpa::SYNC_PERIOD;
use crate::counted::short;
use crate::plan::{Plan, ScaleToZero};
use crate::workload::{POLLING_INTERVAL, Policy};

/// What a query and a change of replicas take.
const ASKING: Duration = Duration::from_millis(500);
/// The same at worst, short of a timeout.
const ASKING_AT_WORST: Duration = Duration::from_secs(1);

/// One change.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reaction {
    /// What changes.
    pub change: String,
    /// What it takes on average, in seconds.
    pub mean_seconds: f64,
    /// What it takes at worst, in seconds.
    pub worst_seconds: f64,
    /// What it is made of.
    pub made_of: String,
}

impl Reaction {
    fn new(change: &str, mean: Duration, worst: Duration, made_of: String) -> Self {
        Self {
            change: change.to_owned(),
            mean_seconds: mean.as_secs_f64(),
            worst_seconds: worst.as_secs_f64(),
            made_of,
        }
    }
}

/// The times of one worker.
#[derive(Clone, Copy)]
struct Times {
    scrape: Duration,
    poll: Duration,
    startup: Duration,
}

impl Times {
    fn of(plan: &Plan<'_>) -> Self {
        Self {
            scrape: plan.workload.prometheus.scrape_interval,
            poll: plan
                .scale_to_zero
                .map_or(POLLING_INTERVAL, |zero| zero.polling_interval),
            startup: plan.workload.startup.unwrap_or_default(),
        }
    }

    /// From a job to the replica that takes it, at worst.
    fn first_job_at_worst(self, from_zero: bool) -> Duration {
        let asked = if from_zero {
            self.poll + ASKING_AT_WORST
        } else {
            SYNC_PERIOD
        };
        self.scrape + asked + self.startup
    }
}

/// Every change of this worker. <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/> gives the HPA's period.
pub(super) fn reactions(plan: &Plan<'_>) -> Vec<Reaction> {
    let times = Times::of(plan);
    let Times {
        scrape,
        poll,
        startup,
    } = times;
    let replicas = plan.workload.replicas;
    let (min, max) = (replicas.min(), replicas.max());
    let and_startup = match plan.workload.startup {
        Some(startup) => format!(" + startup {}", short(startup)),
        None => String::new(),
    };
    let mut reactions = Vec::new();
    if plan.workload.template.is_some() {
        return vec![Reaction::new(
            "a Job for a job",
            scrape / 2 + poll / 2 + ASKING + startup,
            times.first_job_at_worst(true),
            format!(
                "scrape {} + KEDA's poll {}{and_startup}",
                short(scrape),
                short(poll)
            ),
        )];
    }
    if min == 0 {
        reactions.push(Reaction::new(
            "0 to 1",
            scrape / 2 + poll / 2 + ASKING + startup,
            times.first_job_at_worst(true),
            format!(
                "scrape {} + KEDA's poll {}{and_startup}",
                short(scrape),
                short(poll)
            ),
        ));
    }
    if max > min.max(1) {
        reactions.push(Reaction::new(
            "1 to more",
            scrape / 2 + SYNC_PERIOD / 2 + startup,
            times.first_job_at_worst(false),
            format!(
                "scrape {} + HPA {}{and_startup}",
                short(scrape),
                short(SYNC_PERIOD)
            ),
        ));
        let window = plan.scale_down.window;
        reactions.push(Reaction::new(
            "to fewer",
            (window + scrape / 2).saturating_sub(SYNC_PERIOD / 2),
            window + scrape,
            format!(
                "scrape {} + scale-down window {}",
                short(scrape),
                short(window)
            ),
        ));
    }
    if let Some(zero) = plan.scale_to_zero {
        let cooldown = in_polls(zero);
        reactions.push(Reaction::new(
            "to 0",
            (cooldown + scrape / 2).saturating_sub(poll / 2),
            cooldown + scrape,
            format!(
                "scrape {} + cooldown {}",
                short(scrape),
                short(zero.cooldown)
            ),
        ));
    }
    reactions
}

/// The cooldown runs from the last poll that saw demand, and is looked at in polls.
fn in_polls(zero: ScaleToZero) -> Duration {
    let poll = zero.polling_interval;
    let polls = zero.cooldown.as_millis().div_ceil(poll.as_millis().max(1));
    poll * u32::try_from(polls).unwrap_or(u32::MAX)
}

/// Who takes replicas away first: the HPA, whose window counts from its last look that saw demand, or KEDA, which takes all of them.
fn when_demand_ends(plan: &Plan<'_>, zero: ScaleToZero) -> String {
    let down = plan.scale_down;
    let (cooldown, window) = (short(zero.cooldown), short(down.window));
    let percent = down.percent;
    match in_polls(zero).cmp(&down.window) {
        Ordering::Less => format!(
            "When demand ends, KEDA takes all replicas at once, {cooldown} after the last poll that saw any; the HPA's window of {window} does not \
             keep them."
        ),
        Ordering::Equal => format!(
            "When demand ends, KEDA takes all replicas at once, {cooldown} after the last poll that saw any. The HPA may take {percent}% of them up to \
             {} before: its window of {window} counts from its own last look that saw demand.",
            short(SYNC_PERIOD)
        ),
        Ordering::Greater => format!(
            "When demand ends, the HPA takes replicas first, after its window of {window} and by at most {percent}% per {}, down to 1. KEDA takes all \
             that are left, {cooldown} after the last poll that saw demand.",
            short(down.period)
        ),
    }
}

/// What is worth knowing of these times.
pub(super) fn notes(plan: &Plan<'_>, timelines: &[Timeline]) -> Vec<String> {
    let workload = plan.workload;
    let times = Times::of(plan);
    let from_zero = workload.replicas.min() == 0 || workload.template.is_some();
    let worst = times.first_job_at_worst(from_zero);
    let mut notes = Vec::new();
    if let Policy::StartWithin { within, .. } = workload.policy
        && within < worst
    {
        let startup = if workload.startup.is_none() {
            ", even without the startup, which the spec does not give"
        } else {
            ""
        };
        notes.push(format!(
            "startWithin {} is shorter than the worst reaction of {}{startup}: a job that finds no free slot can start later than that, whatever \
             the query. Only replicas that are there before the jobs come can help: raise `replicas.min`, or lower `utilization`.",
            short(within),
            short(worst)
        ));
    }
    match (workload.horizon, workload.startup) {
        (Some(horizon), Some(_)) => {
            let late = worst.checked_sub(horizon).filter(|late| *late >= Duration::from_secs(2));
            let fits = match late {
                None => "so that a replica can be there when it does".to_owned(),
                Some(late) => format!("so that a replica can be up to {} late", short(late)),
            };
            notes.push(format!(
                "A delayed job counts from {} before it falls due, {fits}. The same look-ahead keeps replicas for jobs that are due soon.",
                short(horizon)
            ));
        }
        (None, _) | (_, None) => notes.push(
            "A delayed job counts when it falls due, and then waits as long as any other. With `startup` in the spec, it counts earlier."
                .to_owned(),
        ),
    }
    if let Some(zero) = plan.scale_to_zero
        && workload.replicas.max() > 1
    {
        notes.push(when_demand_ends(plan, zero));
    }
    if workload.startup.is_none() {
        notes.push(
            "`startup` is not given: add what a pod needs from being created to taking its first job."
                .to_owned(),
        );
    }
    let burst = timelines.iter().find(|timeline| timeline.name == "burst");
    if let Some(last) = burst.and_then(|burst| burst.moments.last())
        && last.seconds > 0
    {
        notes.push(format!(
            "A burst has all {} {} {} after it was first seen{}.",
            last.replicas,
            if workload.template.is_some() {
                "Jobs"
            } else {
                "replicas"
            },
            short(Duration::from_secs(last.seconds)),
            match workload.startup {
                Some(startup) => format!(", and they work {} later", short(startup)),
                None => String::new(),
            }
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::tests::worker;
    use crate::plan::plan;

    #[test]
    fn each_change_takes_scrape_and_poll_or_look_and_startup() {
        for (fields, expected) in [
            (
                "queues: [a], replicas: {min: 0, max: 20}, startup: 20s",
                vec![
                    ("0 to 1", 35.5, 51.0),
                    ("1 to more", 35.0, 50.0),
                    ("to fewer", 120.0, 135.0),
                    ("to 0", 120.0, 135.0),
                ],
            ),
            (
                "queues: [a], replicas: {min: 2, max: 20}, job: {longest: 1h}",
                vec![("1 to more", 15.0, 30.0), ("to fewer", 300.0, 315.0)],
            ),
            (
                // 100 s are 7 polls.
                "queues: [a], replicas: {min: 0, max: 1}, idleAfter: 100s",
                vec![("0 to 1", 15.5, 31.0), ("to 0", 105.0, 120.0)],
            ),
            ("queues: [a], replicas: {min: 3, max: 3}", vec![]),
        ] {
            let workload = worker(fields);
            let reactions = reactions(&plan(&workload));
            let reactions: Vec<_> = reactions
                .iter()
                .map(|one| (one.change.as_str(), one.mean_seconds, one.worst_seconds))
                .collect();
            assert_eq!(reactions, expected, "{fields}");
        }
    }

    #[test]
    fn what_goes_first_when_demand_ends_is_told() {
        for (fields, told) in [
            (
                "replicas: {min: 0, max: 20}",
                Some(
                    "When demand ends, KEDA takes all replicas at once, 2m after the last poll that saw any. The HPA may take 50% of them up to 15s \
                     before: its window of 2m counts from its own last look that saw demand.",
                ),
            ),
            (
                "replicas: {min: 0, max: 20}, job: {longest: 1m}",
                Some(
                    "When demand ends, KEDA takes all replicas at once, 2m after the last poll that saw any; the HPA's window of 5m does not keep them.",
                ),
            ),
            (
                "replicas: {min: 0, max: 20}, idleAfter: 5m",
                Some(
                    "When demand ends, the HPA takes replicas first, after its window of 2m and by at most 50% per 1m, down to 1. KEDA takes all that \
                     are left, 5m after the last poll that saw demand.",
                ),
            ),
            // Which is 8 polls too.
            (
                "replicas: {min: 0, max: 20}, idleAfter: 110s",
                Some(
                    "When demand ends, KEDA takes all replicas at once, 1m50s after the last poll that saw any. The HPA may take 50% of them up to \
                     15s before: its window of 2m counts from its own last look that saw demand.",
                ),
            ),
            // There is nothing that the HPA could take.
            ("replicas: {min: 0, max: 1}", None),
            ("replicas: {min: 1, max: 20}", None),
        ] {
            let workload = worker(&format!("queues: [a], {fields}"));
            let notes = notes(&plan(&workload), &[]);
            let found = notes.iter().find(|note| note.contains("demand ends"));
            assert_eq!(found.map(String::as_str), told, "{fields}");
        }
    }

    #[test]
    fn a_time_that_cannot_be_held_is_told_and_one_that_can_is_not() {
        for (within, startup, told) in [
            (
                "29s",
                "",
                Some(
                    "startWithin 29s is shorter than the worst reaction of 31s, even without the startup",
                ),
            ),
            ("31s", "", None),
            (
                "50s",
                ", startup: 20s",
                Some("startWithin 50s is shorter than the worst reaction of 51s: a job"),
            ),
            ("51s", ", startup: 20s", None),
        ] {
            let workload = worker(&format!(
                "queues: [a], replicas: {{min: 0, max: 20}}, scale: {{startWithin: {within}}}, job: {{mean: 1s}}{startup}"
            ));
            let notes = notes(&plan(&workload), &[]);
            let found = notes.iter().find(|note| note.starts_with("startWithin"));
            match told {
                None => assert_eq!(found, None),
                Some(told) => assert!(found.unwrap().starts_with(told), "{found:?}"),
            }
        }
    }
}

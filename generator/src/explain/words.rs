//! Queries and policies in words.

use serde::Serialize;

use crate::counted::{counted, every, short};
use crate::decimal::Decimal;
use crate::plan::{JOBS, Plan, Trigger, drain_time};
use crate::workload::{Policy, in_words};

/// A part of a query, and what it means.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Term {
    /// The part, shortened.
    pub part: String,
    /// What it means.
    pub meaning: String,
}

impl Term {
    fn new(part: impl Into<String>, meaning: impl Into<String>) -> Self {
        Self {
            part: part.into(),
            meaning: meaning.into(),
        }
    }
}

/// What the guarded query answers for a backlog while nothing else has run for as long as it looks back.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Measure {
    /// Slots that a job counts for, as the two numbers of the query; one slot if none.
    share: Option<(Decimal, Decimal)>,
    /// How much one replica is for.
    pub(super) threshold: Decimal,
    /// The slots that a limit of the rate keeps busy; none if there is no limit.
    most: Option<Decimal>,
}

impl Measure {
    pub(super) fn of(plan: &Plan<'_>) -> Self {
        let threshold = match plan.workload.policy {
            Policy::Slots { slots } | Policy::StartWithin { slots, .. } => slots,
            Policy::JobsPerReplica { jobs } => jobs,
        };
        let share = match plan.workload.policy {
            Policy::Slots { .. } | Policy::JobsPerReplica { .. } => None,
            Policy::StartWithin { within, mean, .. } => {
                let within = drain_time(within, plan.workload.startup);
                Some((Decimal::seconds_of(mean), Decimal::seconds_of(within)))
            }
        };
        Self {
            share,
            threshold,
            most: plan.workload.most_slots,
        }
    }

    /// The value for so many jobs.
    pub(super) fn value(&self, jobs: u64) -> f64 {
        let jobs = float(jobs);
        let slots = match self.share {
            None => jobs,
            Some((mean, within)) => {
                let slots = jobs * mean.as_f64() / within.as_f64();
                slots.min(jobs)
            }
        };
        match self.most {
            None => slots,
            Some(most) => slots.min(most.as_f64()),
        }
    }

    /// The most replicas that can be asked for, of so many that may be.
    pub(super) fn reachable(&self, max: u32) -> u32 {
        let Some(most) = self.most else {
            return max;
        };
        let replicas = most
            .thousandths()
            .div_ceil(self.threshold.thousandths().max(1));
        u32::try_from(replicas).unwrap_or(max).min(max)
    }

    /// The largest backlog that so many replicas are for.
    pub(super) fn jobs(&self, replicas: u32) -> u64 {
        let slots = u128::from(replicas) * u128::from(self.threshold.thousandths());
        let (mean, within) = match self.share {
            Some((mean, within)) if mean < within => (mean.thousandths(), within.thousandths()),
            Some(_) | None => (1, 1),
        };
        let jobs = slots * u128::from(within) / (1000 * u128::from(mean.max(1)));
        u64::try_from(jobs).unwrap_or(u64::MAX)
    }
}

/// A number of jobs as Prometheus counts, in f64.
#[expect(
    clippy::cast_precision_loss,
    reason = "beyond 2^53 jobs the last digits are nothing to see"
)]
pub(super) fn float(number: u64) -> f64 {
    number as f64
}

/// What the manifest does.
pub(super) fn summary(plan: &Plan<'_>) -> String {
    let workload = plan.workload;
    let target = &workload.target;
    let place = match &workload.namespace {
        Some(namespace) => format!(" in {namespace}"),
        None => String::new(),
    };
    let replicas = workload.replicas;
    let range = if workload.template.is_some() {
        format!(
            "Makes Jobs{place} of the template of {}, {} to {} at once",
            workload.name,
            replicas.min(),
            replicas.max()
        )
    } else if replicas.min() == replicas.max() {
        format!(
            "Keeps the {} {}{place} at {}",
            target.kind,
            target.name,
            counted(replicas.max(), "replica")
        )
    } else {
        format!(
            "Scales the {} {}{place} from {} to {}",
            target.kind,
            target.name,
            replicas.min(),
            counted(replicas.max(), "replica")
        )
    };
    let queues = in_words(&workload.queues);
    match workload.policy {
        Policy::Slots { slots: one } | Policy::JobsPerReplica { jobs: one } => {
            let (job, jobs) = JOBS;
            format!("{range}: one for {} in {queues}.", every(one, job, jobs))
        }
        Policy::StartWithin {
            within,
            mean,
            slots,
        } => format!(
            "{range}, so that jobs in {queues} start within {}, where a job takes {} on average and a replica is to run {slots} at once.",
            short(within),
            short(mean)
        ),
    }
}

/// A remark as a sentence.
pub(super) fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
    }
}

/// The parts of a trigger's query, in words.
pub(super) fn terms(plan: &Plan<'_>, trigger: &Trigger) -> Vec<Term> {
    let workload = plan.workload;
    let demand = match workload.horizon {
        Some(horizon) => format!(
            "jobs that are ready or running; those that fall due within {} count as if they were due now",
            short(horizon)
        ),
        None => "jobs that are ready or running".to_owned(),
    };
    let once = Term::new(
        "max by (redis, prefix, queue)",
        "each queue once, however many exporters serve it",
    );
    let mut terms = Vec::new();
    let guarded = trigger.name == "demand";
    match workload.policy {
        Policy::StartWithin { within, mean, .. } if guarded => {
            let drain = drain_time(within, workload.startup);
            terms.push(Term::new(
                "avg_over_time(active[5m])",
                "the running load: jobs that ran in the last 5m, on average",
            ));
            terms.push(Term::new(
                "clamp_min(demand - active, 0)",
                format!("the backlog: {demand}; less those that run"),
            ));
            let taken = if drain < within {
                format!(
                    ", {} less what a new replica needs to be there",
                    short(within)
                )
            } else {
                String::new()
            };
            terms.push(Term::new(
                format!(
                    "* {} / {}",
                    Decimal::seconds_of(mean),
                    Decimal::seconds_of(drain)
                ),
                format!("slots that work it off within {}{taken}", short(drain)),
            ));
            terms.push(Term::new(
                "clamp_max(..., demand)",
                "never more slots than there are jobs",
            ));
        }
        Policy::StartWithin { .. } | Policy::Slots { .. } | Policy::JobsPerReplica { .. } => {
            terms.push(Term::new("sum(demand)", demand));
        }
    }
    if let Some(most) = workload.most_slots.filter(|_| guarded) {
        terms.push(Term::new(
            format!("scalar(clamp_min(active, {most}))"),
            format!(
                "no more than {}, which is rateLimit x job.mean: more would only wait. What runs already is never counted less",
                counted(most, "slot")
            ),
        ));
    }
    terms.push(once);
    if guarded {
        let required = workload
            .queues
            .iter()
            .filter(|queue| !queue.optional)
            .count();
        let seen = match required {
            1 if workload.queues.len() == 1 => "only while the queue is seen".to_owned(),
            1 => "only while the queue that must exist is seen".to_owned(),
            number if number == workload.queues.len() => {
                format!("only while all {number} queues are seen")
            }
            number => format!("only while the {number} queues that must exist are seen"),
        };
        terms.push(Term::new(
            format!("and on() (count(...) == {required})"),
            format!("{seen}; otherwise there is no answer, and KEDA changes nothing"),
        ));
        terms.push(Term::new(
            format!("threshold {}", trigger.threshold),
            match workload.policy {
                Policy::JobsPerReplica { .. } => "jobs for each replica, as the spec says",
                Policy::Slots { .. } | Policy::StartWithin { .. } => {
                    "slots of each replica: concurrency x utilization"
                }
            },
        ));
    } else {
        terms.push(Term::new(
            format!("threshold {}", trigger.threshold),
            "so large that it never asks for a second replica",
        ));
    }
    terms
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measure(share: Option<(u64, u64)>, threshold: u64) -> Measure {
        let milli = Decimal::from_thousandths;
        Measure {
            share: share.map(|(mean, within)| (milli(mean), milli(within))),
            threshold: milli(threshold),
            most: None,
        }
    }

    #[test]
    fn the_largest_backlog_of_so_many_replicas_is_the_last_that_does_not_ask_for_more() {
        for measure in [
            measure(None, 10_000),
            measure(None, 2_500),
            measure(Some((2_000, 240_000)), 9_000),
            measure(Some((1_500, 7_000)), 4_500),
            measure(Some((90_000, 30_000)), 2_000),
        ] {
            let threshold = measure.threshold.as_f64();
            for replicas in [1_u32, 2, 7, 50] {
                let jobs = measure.jobs(replicas);
                let most = f64::from(replicas) * threshold;
                assert!(measure.value(jobs) <= most + 1e-9, "{measure:?} {replicas}");
                assert!(measure.value(jobs + 1) > most, "{measure:?} {replicas}");
            }
        }
    }
}

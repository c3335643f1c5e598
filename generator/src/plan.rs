//! The policy: what is asked of Prometheus for a worker, and what KEDA and the HPA are told to make of it. Pure.
//!
//! The numbers come from simulating the whole control loop, exporter to pod, against other policies on the same workloads; where
//! one follows from KEDA's or Kubernetes' own code instead, its comment says so.

use std::time::Duration;

use crate::counted::every;
use crate::decimal::Decimal;
use crate::problem::{Problem, Rule};
use crate::query::{Demand, Group, Query, Scope};
use crate::workload::{
    DEFAULT_KEDA, KEDA_WITH_CLOSED_SCALERS, KUBERNETES_WITH_TOLERANCE, OnMetricsLoss,
    POLLING_INTERVAL, Policy, Queue, Workload,
};

/// The window over which the number of active jobs is averaged: 1 m costs 4 to 13% more pods, 10 m gains nothing.
const AVERAGE_WINDOW: Duration = Duration::from_mins(5);
/// What passes between demand and a new pod besides its startup: a scrape and a poll of 15 s each.
const REACTION: Duration = Duration::from_secs(30);
/// Jobs beyond this have their pods kept longer when demand falls, so that fewer of them are interrupted.
const LONG_JOB: Duration = Duration::from_secs(30);
/// The largest query in characters. KEDA asks by GET, and proxies cut long request lines; percent-encoding adds about half.
pub const LONGEST_QUERY: usize = 6000;
/// The threshold of a trigger that starts a worker and never asks for a second replica. A job takes more than 100 bytes in Redis,
/// so this many need more than 100 GB. It is no larger because a fallback multiplies it with replicas in 64-bit thousandths:
/// <https://github.com/kedacore/keda/blob/v2.20.2/pkg/fallback/fallback.go>.
const ONE_REPLICA: Decimal = Decimal::from_thousandths(1_000_000_000_000);
/// At most half of the replicas go in a minute: a cheap guard against a wrong metric that costs nothing in a healthy loop.
const SCALE_DOWN_PERCENT: u32 = 50;
/// What most policies count, one and several.
pub const JOBS: (&str, &str) = (
    "job that is ready or running",
    "jobs that are ready or running",
);
/// Failures in a row before the fallback: a single lost scrape or a restart of Prometheus is none. KEDA counts polls and the
/// HPA's requests alike: <https://github.com/kedacore/keda/blob/v2.20.2/pkg/fallback/fallback.go>.
const FAILURES_BEFORE_FALLBACK: u32 = 3;

/// Everything that is decided for one worker.
#[derive(Clone, Debug)]
pub struct Plan<'w> {
    /// The worker.
    pub workload: &'w Workload,
    /// What is asked of Prometheus. The order is stable: KEDA numbers its metrics by it.
    pub triggers: Vec<Trigger>,
    /// How fast replicas come.
    pub scale_up: ScaleUp,
    /// Whether the HPA is told to scale up for any lack of replicas, and not for one beyond its usual tolerance of a tenth only.
    pub exact_scale_up: bool,
    /// How fast replicas go.
    pub scale_down: ScaleDown,
    /// How the worker reaches zero replicas and comes back; none if it never does.
    pub scale_to_zero: Option<ScaleToZero>,
    /// What KEDA assumes while the metrics are lost; none means that it holds by itself.
    pub fallback: Option<Fallback>,
}

/// One question to Prometheus.
#[derive(Clone, Debug)]
pub struct Trigger {
    /// Its name, unique in the worker.
    pub name: &'static str,
    /// What it does, in one sentence.
    pub purpose: String,
    /// The question.
    pub query: Query,
    /// How much of the answer one replica is for.
    pub threshold: Decimal,
}

/// How fast replicas come: the larger of the two, each period, at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleUp {
    /// Replicas in each period.
    pub pods: u32,
    /// Percent of the present replicas in each period.
    pub percent: u32,
    /// The period.
    pub period: Duration,
}

/// How fast replicas go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleDown {
    /// How long the demand has to stay lower.
    pub window: Duration,
    /// Percent of the present replicas in each period.
    pub percent: u32,
    /// The period.
    pub period: Duration,
}

/// How a worker reaches zero replicas and comes back, which is KEDA's part and not the HPA's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScaleToZero {
    /// How often KEDA looks.
    pub polling_interval: Duration,
    /// Quiet time before all replicas go at once, also after the ScaledObject was made.
    pub cooldown: Duration,
}

/// What KEDA assumes while the metrics are lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// Failures in a row before it is used.
    pub after_failures: u32,
    /// The replicas.
    pub replicas: u32,
    /// What becomes of those that are there.
    pub behavior: FallbackBehavior,
}

/// What a fallback makes of the replicas that are there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallbackBehavior {
    /// They stay as they are. KEDA wakes none to one, whatever the fallback's replicas.
    Hold,
    /// They become as many as the fallback's replicas, and never fewer than they are.
    AtLeast,
}

impl FallbackBehavior {
    /// KEDA's name for it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Hold => "currentReplicas",
            Self::AtLeast => "currentReplicasIfHigher",
        }
    }
}

/// Decides everything for one worker.
pub fn plan(workload: &Workload) -> Plan<'_> {
    let replicas = workload.replicas;
    Plan {
        workload,
        triggers: triggers(workload),
        scale_up: ScaleUp {
            // A fifth of all replicas at once reaches the largest number in about a minute.
            pods: replicas.max().div_ceil(5).max(4),
            percent: 100,
            period: Duration::from_secs(15),
        },
        exact_scale_up: workload.keda >= DEFAULT_KEDA
            && workload
                .kubernetes
                .is_some_and(|kubernetes| kubernetes >= KUBERNETES_WITH_TOLERANCE),
        scale_down: ScaleDown {
            window: match workload.job {
                Some(job) if job > LONG_JOB => Duration::from_mins(5),
                Some(_) | None => Duration::from_mins(2),
            },
            percent: SCALE_DOWN_PERCENT,
            period: Duration::from_mins(1),
        },
        // A Job ends by itself, and KEDA makes none while none is needed.
        scale_to_zero: (replicas.min() == 0 && workload.template.is_none()).then_some(
            ScaleToZero {
                polling_interval: POLLING_INTERVAL,
                cooldown: workload.idle_after,
            },
        ),
        fallback: fallback(workload),
    }
}

fn fallback(workload: &Workload) -> Option<Fallback> {
    let (replicas, behavior) = match workload.on_metrics_loss {
        OnMetricsLoss::Replicas(replicas) => (replicas, FallbackBehavior::AtLeast),
        // A fallback that has begun is activity at each poll, so that no failure that passes for "no demand" comes at the end of a
        // cooldown: <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/scale_handler.go>. It begins before the shortest one ends.
        OnMetricsLoss::Hold
            if workload.replicas.min() == 0
                && workload.template.is_none()
                && workload.keda >= KEDA_WITH_CLOSED_SCALERS =>
        {
            (1, FallbackBehavior::Hold)
        }
        OnMetricsLoss::Hold => return None,
    };
    Some(Fallback {
        after_failures: FAILURES_BEFORE_FALLBACK,
        replicas,
        behavior,
    })
}

/// The problem of a plan that asks more than [`LONGEST_QUERY`] lets through.
pub fn too_long(plan: &Plan<'_>) -> Option<Problem> {
    let length = |trigger: &Trigger| trigger.query.to_string().chars().count();
    let longest = plan.triggers.iter().map(length).max()?;
    (longest > LONGEST_QUERY).then(|| {
        Problem::new(
            Rule::QueryTooLong,
            plan.workload.span,
            format!("the query of worker `{}` is too long", plan.workload.name),
            format!("{longest} characters, and at most {LONGEST_QUERY} pass every proxy"),
            "split the queues among several workers, each with a target of its own",
        )
    })
}

fn triggers(workload: &Workload) -> Vec<Trigger> {
    let all = scope(workload, |_| true);
    let required = scope(workload, |queue| !queue.optional);
    let demand = demand(workload);
    let (query, threshold, (one, many)) = match workload.policy {
        Policy::Slots { slots } => match workload.most_slots {
            None => (all.demand(demand), slots, JOBS),
            Some(most) => (
                all.limited_demand(demand, most),
                slots,
                (
                    "job that is ready or running, as far as the rate allows",
                    "jobs that are ready or running, as far as the rate allows",
                ),
            ),
        },
        Policy::JobsPerReplica { jobs } => (all.demand(demand), jobs, JOBS),
        Policy::StartWithin {
            within,
            mean,
            slots,
        } => {
            let drain = drain_time(within, workload.startup);
            (
                all.drain(demand, AVERAGE_WINDOW, mean, drain, workload.most_slots),
                slots,
                (
                    "slot for the running load and the backlog",
                    "slots for the running load and the backlog",
                ),
            )
        }
    };
    let mut triggers = vec![Trigger {
        name: "demand",
        purpose: format!(
            "one replica for {}; no answer, and so no change, while a required queue is not seen.",
            every(threshold, one, many)
        ),
        query: query.guarded(&required, demand),
        threshold,
    }];
    // With one queue the guarded query knows as much. A ScaledJob takes the trigger with the longest queue for all, and so might
    // take this one for the other: <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/scaledjob/metrics.go>.
    let to_zero = workload.replicas.min() == 0 && workload.template.is_none();
    if to_zero && workload.queues.len() > 1 {
        triggers.push(Trigger {
            name: "wake",
            purpose: "the first replica as soon as any queue has demand, even while another is not seen; never a second one."
                .to_owned(),
            query: all.demand(demand),
            threshold: ONE_REPLICA,
        });
    }
    triggers
}

/// The time in which the backlog is worked off. Pods that have to start first cannot use their startup for it; where the time is
/// short against the startup, subtracting it only costs.
pub fn drain_time(within: Duration, startup: Option<Duration>) -> Duration {
    let lost = startup.map_or(Duration::ZERO, |startup| startup + REACTION);
    match within.checked_sub(lost) {
        Some(rest) if rest >= lost => rest,
        Some(_) | None => within,
    }
}

/// When the demand of a worker is looked up.
pub fn demand(workload: &Workload) -> Demand {
    workload.horizon.map_or(Demand::Now, Demand::Ahead)
}

/// The queues that fit, those of one Redis and prefix together, in the order in which they were written.
pub fn scope(workload: &Workload, fits: impl Fn(&Queue) -> bool) -> Scope {
    let mut groups: Vec<Group> = Vec::new();
    for queue in workload.queues.iter().filter(|queue| fits(queue)) {
        let same = |group: &&mut Group| group.redis == queue.redis && group.prefix == queue.prefix;
        match groups.iter_mut().find(same) {
            Some(group) => group.queues.push(queue.name.clone()),
            None => groups.push(Group {
                redis: queue.redis.clone(),
                prefix: queue.prefix.clone(),
                queues: vec![queue.name.clone()],
            }),
        }
    }
    Scope {
        groups,
        matchers: workload.prometheus.matchers.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn startup_is_taken_from_the_drain_time_only_where_there_is_time_for_both() {
        let seconds = Duration::from_secs;
        for (within, startup, expected) in [
            (30, None, 30),
            (30, Some(30), 30),
            (119, Some(30), 119),
            (120, Some(30), 60),
            (300, Some(30), 240),
        ] {
            let drain = drain_time(seconds(within), startup.map(seconds));
            assert_eq!(drain, seconds(expected), "{within} {startup:?}");
        }
    }
}

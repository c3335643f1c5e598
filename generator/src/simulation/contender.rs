//! What is compared: the worker as its spec says, the same worker under the other policies, and what people have without them.

use std::time::Duration;

use bullmq_vocabulary::prometheus_duration;

use crate::control_loop::hpa::Target;
use crate::control_loop::keda::{self, Trigger};
use crate::control_loop::{Config, hpa};
use crate::decimal::Decimal;
use crate::plan::{Plan, plan};
use crate::query::Query;
use crate::spec::Utilization;
use crate::workload::{Policy, Workload};

/// The jobs for one replica in the example of KEDA's documentation, and its default:
/// <https://keda.sh/docs/2.20/scalers/redis-lists/>.
const LIST_LENGTH: u32 = 5;
/// KEDA's own cooldown: <https://keda.sh/docs/2.20/reference/scaledobject-spec/#cooldownperiod>.
const DEFAULT_COOLDOWN: Duration = Duration::from_mins(5);

/// One way of having replicas.
#[derive(Clone, Debug)]
pub(super) struct Contender {
    /// What people call it.
    pub(super) name: String,
    /// Whether it is what the spec says.
    pub(super) of_spec: bool,
    /// What it is, where its name does not tell.
    pub(super) note: Option<String>,
    /// How the number of replicas is decided.
    pub(super) way: Way,
}

/// How the number of replicas is decided.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// By KEDA and the HPA, on queries to Prometheus.
    Queries(Config, Vec<Query>),
    /// By KEDA and the HPA, on the length of the list of waiting jobs, asked of Redis itself.
    List(Config),
    /// Not at all.
    Fixed(u32),
}

/// The worker as its spec says first, and then what it is held against, where jobs should start within `within`.
pub(super) fn contenders(
    workload: &Workload,
    concurrency: u32,
    mean: Duration,
    within: Duration,
) -> Vec<Contender> {
    let policies = [
        Policy::Slots {
            slots: Utilization::FULL.of(concurrency),
        },
        Policy::StartWithin {
            within,
            mean,
            slots: Utilization::WITH_HEADROOM.of(concurrency),
        },
    ];
    // One of the same name would be told apart by nobody.
    let is_other = |policy: &Policy| match (policy, &workload.policy) {
        (Policy::StartWithin { within, .. }, Policy::StartWithin { within: own, .. }) => {
            within != own
        }
        (Policy::Slots { slots }, Policy::Slots { slots: own }) => slots != own,
        _ => true,
    };
    let others = policies.into_iter().filter(is_other);
    let mut contenders = vec![by_queries(&plan(workload), true)];
    contenders.extend(others.map(|policy| {
        let other = Workload {
            policy,
            ..workload.clone()
        };
        by_queries(&plan(&other), false)
    }));
    contenders.push(by_list(workload));
    contenders.push(Contender {
        name: format!("always {}", workload.replicas.max()),
        of_spec: false,
        note: None,
        way: Way::Fixed(workload.replicas.max()),
    });
    contenders
}

fn by_queries(plan: &Plan<'_>, of_spec: bool) -> Contender {
    let queries = plan.triggers.iter().map(|trigger| trigger.query.clone());
    Contender {
        name: match plan.workload.policy {
            Policy::Slots { slots } => format!("slots of {slots}"),
            Policy::JobsPerReplica { jobs } => format!("jobsPerReplica {jobs}"),
            Policy::StartWithin { within, .. } => {
                format!("startWithin {}", prometheus_duration(within))
            }
        },
        of_spec,
        note: None,
        way: Way::Queries(Config::of(plan), queries.collect()),
    }
}

/// KEDA's trigger on a Redis list, with everything else as KEDA has it unless told, within the bounds of the spec.
fn by_list(workload: &Workload) -> Contender {
    let (min, max) = (workload.replicas.min(), workload.replicas.max());
    let target = Target::AverageValue(Decimal::from_thousandths(u64::from(LIST_LENGTH) * 1000));
    let config = Config {
        keda: keda::Config {
            min,
            idle: None,
            polling_interval: keda::DEFAULT_POLLING_INTERVAL,
            cooldown: DEFAULT_COOLDOWN,
            initial_cooldown: Duration::ZERO,
            fallback: None,
            triggers: vec![Trigger {
                target,
                activation: 0.0,
            }],
        },
        hpa: hpa::Config {
            min: min.max(1),
            max,
            targets: vec![target],
            behavior: None,
        },
    };
    Contender {
        name: format!("redis list of {LIST_LENGTH}"),
        of_spec: false,
        note: Some(format!(
            "KEDA's own redis trigger on the list of waiting jobs with listLength {LIST_LENGTH}, and all else as KEDA has it unless told"
        )),
        way: Way::List(config),
    }
}

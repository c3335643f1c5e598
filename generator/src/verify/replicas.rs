//! Replicas, as KEDA and the HPA compute them of what was answered: by the model that `explain` goes by, too.

use super::report::{Decision, TriggerReport};
use crate::control_loop::hpa::{Pods, Target};
use crate::control_loop::keda::{Answer, reported};
use crate::control_loop::{Config, jobs};
use crate::decimal::Decimal;
use crate::plan::{FallbackBehavior, Plan};

/// What KEDA would do now.
pub(super) fn decision(plan: &Plan<'_>, triggers: &[TriggerReport]) -> Decision {
    let replicas = plan.workload.replicas;
    let known: Vec<_> = triggers
        .iter()
        .filter_map(|trigger| Some((*trigger.value.as_ref().ok()?, trigger.threshold)))
        .collect();
    let active = known.iter().any(|(value, _)| *value > 0.0);
    if known.len() < triggers.len() {
        return match plan.fallback {
            Some(fallback) if fallback.behavior == FallbackBehavior::AtLeast => {
                Decision::Fallback {
                    replicas: fallback.replicas,
                    after_failures: fallback.after_failures,
                }
            }
            Some(_) | None if active => Decision::Wake,
            Some(_) | None => Decision::Hold,
        };
    }
    let config = Config::of(plan);
    if let (Some(jobs), Some((value, _))) = (jobs::Config::of(plan), known.first()) {
        return Decision::Jobs {
            now: if *value > 0.0 {
                jobs.destination(*value)
            } else {
                jobs.min
            },
        };
    }
    if !active && replicas.min() == 0 {
        return Decision::Zero;
    }
    let answers: Vec<_> = known
        .iter()
        .map(|(value, _)| Answer::Value(*value))
        .collect();
    // At none the ratio has no bound, so that this is the number without tolerance.
    let now = match config.destination(Pods::settled(0), &answers) {
        0 => config.hpa.min,
        now => now.clamp(config.hpa.min, config.hpa.max),
    };
    let kept = known.first().and_then(|(value, threshold)| {
        let (target, value) = (Target::AverageValue(*threshold), reported(*value));
        let proposal = |replicas| config.hpa.proposal(target, value, Pods::settled(replicas));
        let range = config
            .hpa
            .near_enough(proposal(0), |replicas| proposal(replicas) == replicas);
        (range != (now, now)).then_some(range)
    });
    Decision::Replicas { now, kept }
}

/// The replicas that the HPA computes from an average value: `ceil(value / threshold)`.
pub(super) fn wanted(value: f64, threshold: Decimal) -> u32 {
    let thousandths = reported(value).thousandths();
    let replicas = thousandths.div_ceil(threshold.thousandths().max(1));
    u32::try_from(replicas).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trigger_asks_for_a_replica_for_each_part_of_its_value() {
        let decimal = |text| Decimal::parse(text).unwrap();
        for (value, threshold, replicas) in [
            (0.0, "5", 0),
            (-3.0, "5", 0),
            (0.001, "5", 1),
            (10.0, "10", 1),
            (11.0, "10", 2),
            (100.0, "10", 10),
            (6.3, "0.9", 7),
            (1e30, "0.001", u32::MAX),
        ] {
            assert_eq!(
                wanted(value, decimal(threshold)),
                replicas,
                "{value} / {threshold}"
            );
        }
    }
}

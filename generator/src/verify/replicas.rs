//! Replicas, as KEDA and the HPA compute them of what was answered: by the model that `explain` goes by, too.

use super::report::{Decision, TriggerReport};
use crate::control_loop::hpa::{Pods, Target, shares};
use crate::control_loop::keda::{Answer, reported};
use crate::control_loop::{Config, jobs};
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
            .near_enough(shares(value, *threshold), |replicas| {
                proposal(replicas) == replicas
            });
        (range != (now, now)).then_some(range)
    });
    Decision::Replicas { now, kept }
}

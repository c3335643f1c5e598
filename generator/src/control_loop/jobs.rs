//! KEDA's operator and the Jobs of a ScaledJob: there is no HPA and no fallback, and no cooldown, because a Job ends by itself.
//!
//! Source: `RequestJobScale` in <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/executor/scale_jobs.go> and
//! <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/scaledjob/metrics.go>. Only what our own manifests have is modelled: one trigger,
//! and the strategy `default`, which does not tell pending Jobs from running ones.

use super::keda::{Answer, reported};
use crate::decimal::Decimal;
use crate::plan::Plan;

/// What a ScaledJob says, as far as it decides how many Jobs are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// `minReplicaCount`: Jobs that run whatever the demand, beside those that it asks for.
    pub min: u32,
    /// `maxReplicaCount`, at least the smallest number.
    pub max: u32,
    /// How much of the answer one Job is for.
    pub threshold: Decimal,
}

impl Config {
    /// The same numbers that the plan's ScaledJob has; none if its replicas are no Jobs.
    pub fn of(plan: &Plan<'_>) -> Option<Self> {
        let replicas = plan.workload.replicas;
        plan.workload.template.as_ref()?;
        Some(Self {
            min: replicas.min(),
            max: replicas.max(),
            threshold: plan.triggers.first()?.threshold,
        })
    }

    /// How many Jobs one poll makes while so many have not ended. Without an answer none are made but those of the smallest number.
    pub fn made(&self, answer: Answer, unfinished: u32) -> u32 {
        if let Some(missing) = self.min.checked_sub(unfinished).filter(|few| *few > 0) {
            return missing;
        }
        let Answer::Value(value) = answer else {
            return 0;
        };
        let beside = unfinished.saturating_sub(self.min);
        // No more Jobs than the value, which is a number of jobs.
        let most = ceil(reported(value).thousandths(), 1000);
        self.asked(value).saturating_sub(beside).min(most)
    }

    /// How many Jobs there are in the end, where none of them ends.
    pub fn destination(&self, value: f64) -> u32 {
        self.min.saturating_add(self.asked(value))
    }

    /// The Jobs that the value is for, beside the smallest number.
    fn asked(&self, value: f64) -> u32 {
        let jobs = ceil(reported(value).thousandths(), self.threshold.thousandths());
        jobs.min(self.max.saturating_sub(self.min))
    }
}

fn ceil(value: u64, one: u64) -> u32 {
    u32::try_from(value.div_ceil(one.max(1))).unwrap_or(u32::MAX)
}

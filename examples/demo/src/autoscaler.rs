//! KEDA and the HPA for the demo's one ScaledObject: the generator's own model of them, which `bullmq-keda explain` uses too.
//!
//! Both are played in one step, because the demo polls as often as the HPA looks. Times are those of the cluster, counted from the
//! start; the caller decides how fast they pass.

use std::time::Duration;

use bullmq_keda::control_loop::hpa::{self, Pods};
use bullmq_keda::control_loop::keda::{Answer, Operator};

use crate::manifest::ScaledObject;

/// KEDA and the HPA at work.
#[derive(Clone, Debug)]
pub(crate) struct Autoscaler {
    object: ScaledObject,
    operator: Operator,
    hpa: hpa::Autoscaler,
}

impl Autoscaler {
    /// Begins at time zero, with nothing active.
    pub(crate) fn new(object: ScaledObject) -> Self {
        Self {
            operator: Operator::new(&object.config.keda, Duration::ZERO),
            hpa: hpa::Autoscaler::default(),
            object,
        }
    }

    /// The number of replicas after one look at `answer`, of which `replicas` run.
    pub(crate) fn decide(&mut self, now: Duration, replicas: u32, answer: Answer) -> u32 {
        let config = &self.object.config;
        let polled = self.operator.poll(&config.keda, now, replicas, &[answer]);
        // What KEDA has changed, the HPA sees at its next look.
        if polled.replicas != replicas {
            return polled.replicas;
        }
        let pods = Pods::settled(replicas);
        let metric = self.operator.metric(&config.keda, 0, pods, answer);
        self.hpa.sync(&config.hpa, now, pods, &[metric]).replicas
    }
}

/// Where KEDA and the HPA would go from `replicas`, once every window and policy has let them.
pub(crate) fn destination(object: &ScaledObject, value: f64, replicas: u32) -> u32 {
    let pods = Pods::settled(replicas);
    object.config.destination(pods, &[Answer::Value(value)])
}

/// A whole number that is not negative, as an integer.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from f64 stops at the ends of the range, which is what is wanted of a number of jobs"
)]
pub(crate) fn whole(number: f64) -> u32 {
    number as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(15);

    /// The replicas after each look, one a period, at a ScaledObject that scales from 0 to 8 on 10 jobs each.
    fn run(mut replicas: u32, answers: &[Answer]) -> Vec<u32> {
        let object = ScaledObject::from_yaml(crate::manifest::GENERATED).unwrap();
        let mut autoscaler = Autoscaler::new(object);
        (1..)
            .zip(answers)
            .map(|(look, answer)| {
                replicas = autoscaler.decide(PERIOD * look, replicas, *answer);
                replicas
            })
            .collect()
    }

    #[test]
    fn keda_wakes_the_first_and_the_hpa_goes_on_at_its_next_look() {
        assert_eq!(run(0, &[Answer::Value(60.0); 4]), [1, 5, 6, 6]);
    }

    #[test]
    fn without_an_answer_both_hold_and_with_none_for_long_enough_all_go() {
        assert_eq!(run(5, &[Answer::Error; 40]), [5; 40]);
        let quiet = run(5, &[Answer::Value(0.0); 12]);
        assert_eq!(quiet.first(), Some(&5));
        assert_eq!(quiet.last(), Some(&0));
    }
}

//! KEDA and the HPA as arithmetic: how many replicas there will be, without a cluster.
//!
//! Pure: the time is an argument, and what Prometheus answers is an observation. [`ControlLoop::step`] may be called as often as the
//! caller likes, every second or once a minute; it polls and looks when KEDA ([`keda`]) and the HPA ([`hpa`]) would.

pub mod hpa;
pub mod jobs;
pub mod keda;

use std::time::Duration;

use crate::plan::{self, Plan};
use hpa::{Behavior, Change, Pods, Policy, Rules, SYNC_PERIOD, Select, TOLERANCE, Target};
use keda::{Answer, Fallback, FallbackBehavior, Trigger};

/// What a ScaledObject tells KEDA, and what KEDA tells the HPA.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// KEDA's part.
    pub keda: keda::Config,
    /// The HPA's part.
    pub hpa: hpa::Config,
}

impl Config {
    /// The same numbers that the plan's ScaledObject has.
    pub fn of(plan: &Plan<'_>) -> Self {
        let replicas = plan.workload.replicas;
        let triggers: Vec<Trigger> = plan
            .triggers
            .iter()
            .map(|trigger| Trigger {
                target: Target::AverageValue(trigger.threshold),
                activation: 0.0,
            })
            .collect();
        let (up, down) = (plan.scale_up, plan.scale_down);
        let zero = plan.scale_to_zero;
        Self {
            hpa: hpa::Config {
                min: replicas.min().max(1),
                max: replicas.max(),
                targets: triggers.iter().map(|trigger| trigger.target).collect(),
                behavior: Some(Behavior {
                    up: Rules {
                        window: Duration::ZERO,
                        select: Select::Max,
                        policies: vec![
                            Policy {
                                change: Change::Pods(up.pods),
                                period: up.period,
                            },
                            Policy {
                                change: Change::Percent(up.percent),
                                period: up.period,
                            },
                        ],
                        tolerance: if plan.exact_scale_up { 0.0 } else { TOLERANCE },
                    },
                    down: Rules {
                        window: down.window,
                        select: Select::Max,
                        policies: vec![Policy {
                            change: Change::Percent(down.percent),
                            period: down.period,
                        }],
                        tolerance: TOLERANCE,
                    },
                }),
            },
            keda: keda::Config {
                min: replicas.min(),
                idle: None,
                polling_interval: zero
                    .map_or(keda::DEFAULT_POLLING_INTERVAL, |zero| zero.polling_interval),
                // Without zero neither is used.
                cooldown: zero.map_or(Duration::ZERO, |zero| zero.cooldown),
                initial_cooldown: zero.map_or(Duration::ZERO, |zero| zero.cooldown),
                fallback: plan.fallback.map(|fallback| Fallback {
                    failure_threshold: fallback.after_failures,
                    replicas: fallback.replicas,
                    behavior: match fallback.behavior {
                        plan::FallbackBehavior::Hold => FallbackBehavior::CurrentReplicas,
                        plan::FallbackBehavior::AtLeast => {
                            FallbackBehavior::CurrentReplicasIfHigher
                        }
                    },
                }),
                triggers,
            },
        }
    }
}

impl Config {
    /// Where KEDA and the HPA go from here, once every window, policy and cooldown has let them.
    pub fn destination(&self, pods: Pods, answers: &[Answer]) -> u32 {
        let triggers = self.keda.triggers.iter().enumerate();
        let answer = |index: usize| answers.get(index).copied().unwrap_or(Answer::Error);
        let (mut active, mut error) = (false, false);
        let mut metrics = Vec::new();
        for (index, trigger) in triggers {
            metrics.push(match answer(index) {
                Answer::Value(value) => {
                    active |= value > trigger.activation;
                    Some(keda::reported(value))
                }
                Answer::Error => {
                    error = true;
                    None
                }
            });
        }
        if active {
            let asked = self.hpa.asked(pods, &metrics).unwrap_or(pods.wanted);
            asked.clamp(self.hpa.min, self.hpa.max)
        } else if error {
            pods.wanted
        } else {
            self.keda.idle.unwrap_or(self.keda.min)
        }
    }
}

/// What there is to be seen at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Observation<'a> {
    /// The pods of the target.
    pub pods: Pods,
    /// What Prometheus would answer to each trigger.
    pub answers: &'a [Answer],
}

/// What happened in one step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// How many replicas there should be from now on.
    pub replicas: u32,
    /// What KEDA decided, if it polled.
    pub keda: Option<keda::Decision>,
    /// What the HPA decided, if it looked.
    pub hpa: Option<hpa::Decision>,
}

/// KEDA and the HPA at work on one ScaledObject.
#[derive(Clone, Debug)]
pub struct ControlLoop {
    config: Config,
    operator: keda::Operator,
    autoscaler: hpa::Autoscaler,
    next_poll: Duration,
    next_sync: Duration,
}

impl ControlLoop {
    /// A ScaledObject that is made at `now`. KEDA polls at once, the HPA looks one period later at the latest, at a phase of its own.
    pub fn new(config: Config, now: Duration, first_sync: Duration) -> Self {
        Self {
            operator: keda::Operator::new(&config.keda, now),
            autoscaler: hpa::Autoscaler::default(),
            next_poll: now,
            next_sync: now + first_sync,
            config,
        }
    }

    /// When it polls or looks next.
    pub fn next(&self) -> Duration {
        self.next_poll.min(self.next_sync)
    }

    /// Polls and looks if it is time to, KEDA first. Each step is later than the one before.
    pub fn step(&mut self, now: Duration, seen: &Observation<'_>) -> Step {
        let mut step = Step {
            replicas: seen.pods.wanted,
            keda: None,
            hpa: None,
        };
        if now >= self.next_poll {
            self.next_poll = now + self.config.keda.polling_interval;
            let keda = &self.config.keda;
            let decision = self.operator.poll(keda, now, step.replicas, seen.answers);
            step.replicas = decision.replicas;
            step.keda = Some(decision);
        }
        if now >= self.next_sync {
            self.next_sync = now + SYNC_PERIOD;
            let pods = Pods {
                wanted: step.replicas,
                ..seen.pods
            };
            // At no replicas the HPA does not ask.
            let metrics: Vec<_> = if step.replicas == 0 {
                vec![None; self.config.hpa.targets.len()]
            } else {
                let answers = seen.answers.iter().enumerate();
                let operator = &mut self.operator;
                let keda = &self.config.keda;
                answers
                    .map(|(index, answer)| operator.metric(keda, index, pods, *answer))
                    .collect()
            };
            let decision = self.autoscaler.sync(&self.config.hpa, now, pods, &metrics);
            step.replicas = decision.replicas;
            step.hpa = Some(decision);
        }
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(min: u32) -> Config {
        let target = Target::AverageValue(crate::decimal::Decimal::from_thousandths(10_000));
        Config {
            hpa: hpa::Config {
                min: min.max(1),
                max: 20,
                targets: vec![target],
                behavior: Some(Behavior {
                    up: Rules::default_up(),
                    down: Rules::default_down(),
                }),
            },
            keda: keda::Config {
                min,
                idle: None,
                polling_interval: Duration::from_secs(30),
                cooldown: Duration::from_mins(2),
                initial_cooldown: Duration::from_mins(2),
                fallback: None,
                triggers: vec![Trigger {
                    target,
                    activation: 0.0,
                }],
            },
        }
    }

    /// The moments at which the number changed, and to what, looked at every second with pods that come and go at once.
    fn changes(config: Config, mut replicas: u32, value: fn(u64) -> Answer) -> Vec<(u64, u32)> {
        let mut control_loop = ControlLoop::new(config, Duration::ZERO, Duration::from_secs(7));
        let mut changes = Vec::new();
        for second in 0..900 {
            let seen = Observation {
                pods: Pods::settled(replicas),
                answers: &[value(second)],
            };
            let step = control_loop.step(Duration::from_secs(second), &seen);
            if step.replicas != replicas {
                changes.push((second, step.replicas));
                replicas = step.replicas;
            }
        }
        changes
    }

    #[test]
    fn stepped_by_the_second_keda_wakes_at_its_poll_and_the_hpa_goes_on_at_its_own() {
        let burst = |second| Answer::Value(if second >= 31 { 150.0 } else { 0.0 });
        assert_eq!(
            changes(config(0), 0, burst),
            [(60, 1), (67, 5), (82, 10), (97, 15)]
        );
    }

    #[test]
    fn zero_takes_all_replicas_at_once_before_the_window_of_the_hpa_has_ended() {
        let quiet = |second| Answer::Value(if second < 100 { 150.0 } else { 0.0 });
        // Last active at 90, and 90 + 120 is not yet later than the poll at 210.
        assert_eq!(changes(config(0), 15, quiet), [(240, 0)]);
    }

    #[test]
    fn the_destination_is_what_is_asked_for_within_the_bounds() {
        for (answer, replicas, expected) in [
            (Answer::Value(0.0), 3, 0),
            (Answer::Value(1.0), 0, 1),
            (Answer::Value(60.0), 0, 6),
            (Answer::Value(64.0), 6, 6),
            (Answer::Value(67.0), 6, 7),
            (Answer::Value(900.0), 6, 20),
            (Answer::Error, 6, 6),
            (Answer::Error, 0, 0),
        ] {
            let destination = config(0).destination(Pods::settled(replicas), &[answer]);
            assert_eq!(destination, expected, "{answer:?} at {replicas}");
        }
        assert_eq!(
            config(4).destination(Pods::settled(9), &[Answer::Value(0.0)]),
            4
        );
    }

    #[test]
    fn without_an_answer_nothing_changes_for_ever() {
        for replicas in [0, 1, 15] {
            assert_eq!(changes(config(0), replicas, |_| Answer::Error), []);
        }
    }
}

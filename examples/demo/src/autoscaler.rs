//! How many replicas KEDA and the HPA want: their arithmetic, without a cluster.
//!
//! KEDA decides between zero and some (`RequestScale` of its operator), the HPA between some and more (the `behavior`
//! algorithm of the Kubernetes controller manager, for one external metric of type `AverageValue`). Both are played in one
//! step, because the demo polls as often as the HPA looks. Times are those of the cluster, counted from the start; the caller
//! decides how fast they pass. Not played: pods that are not ready, several triggers, a fallback.

use std::time::Duration;

use crate::manifest::{Change, Policy, Rules, ScaledObject};

/// What Prometheus answers to the trigger's query.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Answer {
    /// One value.
    Value(f64),
    /// Nothing that KEDA takes for a value: an error to it, and it changes nothing.
    NoData,
}

/// KEDA and the HPA for one ScaledObject.
#[derive(Clone, Debug)]
pub(crate) struct Autoscaler {
    object: ScaledObject,
    /// When the value was last above the activation threshold.
    last_active: Duration,
    recommendations: Vec<(Duration, u32)>,
    /// What the HPA has changed; a step by KEDA is not counted.
    changes: Vec<(Duration, i64)>,
}

impl Autoscaler {
    /// Begins at time zero, with nothing active: the cooldown runs from here, as with `initialCooldownPeriod`.
    pub(crate) fn new(object: ScaledObject) -> Self {
        Self {
            object,
            last_active: Duration::ZERO,
            recommendations: Vec::new(),
            changes: Vec::new(),
        }
    }

    /// The number of replicas after one look at `answer`, of which `replicas` run.
    pub(crate) fn decide(&mut self, now: Duration, replicas: u32, answer: Answer) -> u32 {
        let Answer::Value(value) = answer else {
            return replicas;
        };
        let lowest = self.object.min_replicas;
        if value > self.object.activation_threshold {
            self.last_active = now;
            if replicas == 0 {
                return lowest.max(1);
            }
        } else if lowest == 0 && now > self.last_active + self.object.cooldown_period {
            return 0;
        }
        // The HPA is off while nothing runs.
        if replicas == 0 {
            0
        } else {
            self.decide_among_some(now, replicas, value)
        }
    }

    fn decide_among_some(&mut self, now: Duration, replicas: u32, value: f64) -> u32 {
        let (lowest, highest) = (self.object.min_replicas.max(1), self.object.max_replicas);
        let decided = if replicas > highest {
            highest
        } else if replicas < lowest {
            lowest
        } else {
            let desired = proportional(&self.object, value, replicas);
            let stable = self.stabilized(now, replicas, desired);
            self.recommendations.push((now, desired));
            self.limited(now, replicas, stable).clamp(lowest, highest)
        };
        if decided != replicas {
            self.changes
                .push((now, i64::from(decided) - i64::from(replicas)));
        }
        decided
    }

    /// Holds `desired` against what was recommended within the windows.
    fn stabilized(&self, now: Duration, replicas: u32, desired: u32) -> u32 {
        let within = |rules: &Rules| {
            let window = rules.window;
            let recent = self.recommendations.iter();
            recent.filter(move |&&(time, _)| time + window > now)
        };
        let rise = within(&self.object.scale_up).fold(desired, |least, &(_, one)| least.min(one));
        let fall = within(&self.object.scale_down).fold(desired, |most, &(_, one)| most.max(one));
        replicas.max(rise).min(fall)
    }

    /// Goes from `replicas` towards `wanted` as far as the policies allow.
    fn limited(&self, now: Duration, replicas: u32, wanted: u32) -> u32 {
        let (up, down) = (&self.object.scale_up, &self.object.scale_down);
        if wanted > replicas {
            let limits = up.policies.iter().map(|policy| {
                let before = self.replicas_before(now, replicas, policy);
                match policy.change {
                    Change::Pods(pods) => before + i64::from(pods),
                    Change::Percent(percent) => (before * (100 + i64::from(percent)) + 99) / 100,
                }
            });
            wanted.min(not_negative(limits.max().unwrap_or(0)).max(replicas))
        } else {
            let limits = down.policies.iter().map(|policy| {
                let before = self.replicas_before(now, replicas, policy);
                match policy.change {
                    Change::Pods(pods) => before - i64::from(pods),
                    Change::Percent(percent) => before * (100 - i64::from(percent)) / 100,
                }
            });
            wanted.max(not_negative(limits.min().unwrap_or(0)).min(replicas))
        }
    }

    /// How many ran when the policy's current period began.
    fn replicas_before(&self, now: Duration, replicas: u32, policy: &Policy) -> i64 {
        let recent = self
            .changes
            .iter()
            .filter(|(time, _)| *time + policy.period > now);
        i64::from(replicas) - recent.map(|(_, change)| change).sum::<i64>()
    }
}

/// Where KEDA and the HPA would go from `replicas`, once every window and policy has let them.
pub(crate) fn destination(object: &ScaledObject, value: f64, replicas: u32) -> u32 {
    if value <= object.activation_threshold {
        return object.min_replicas;
    }
    proportional(object, value, replicas).clamp(object.min_replicas.max(1), object.max_replicas)
}

/// The HPA's ratio for an average value: one replica for each threshold, unless the present number is near enough.
fn proportional(object: &ScaledObject, value: f64, replicas: u32) -> u32 {
    let ratio = value / (object.threshold * f64::from(replicas));
    let near = 1.0 - object.scale_down.tolerance..=1.0 + object.scale_up.tolerance;
    if near.contains(&ratio) {
        replicas
    } else {
        whole((value / object.threshold).ceil())
    }
}

/// A whole number that is not negative, as an integer.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from f64 stops at the ends of the range, which is what is wanted of a number of replicas"
)]
pub(crate) fn whole(number: f64) -> u32 {
    number as u32
}

fn not_negative(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PERIOD: Duration = Duration::from_secs(15);

    fn policy(change: Change, period_secs: u64) -> Policy {
        Policy {
            change,
            period: Duration::from_secs(period_secs),
        }
    }

    /// The HPA's defaults without the scale-down window, from 0 to 1000 replicas.
    fn object(threshold: f64) -> ScaledObject {
        ScaledObject {
            name: "email".to_owned(),
            server_address: String::new(),
            query: String::new(),
            threshold,
            activation_threshold: 0.0,
            empty_is_zero: false,
            min_replicas: 0,
            max_replicas: 1000,
            polling_interval: PERIOD,
            cooldown_period: Duration::from_mins(5),
            scale_up: Rules {
                window: Duration::ZERO,
                tolerance: 0.1,
                policies: vec![
                    policy(Change::Pods(4), 15),
                    policy(Change::Percent(100), 15),
                ],
            },
            scale_down: Rules {
                window: Duration::ZERO,
                tolerance: 0.1,
                policies: vec![policy(Change::Percent(100), 15)],
            },
        }
    }

    /// The replicas after each of `looks` looks, one a period, beginning with `replicas`.
    fn run(object: ScaledObject, mut replicas: u32, value: f64, looks: u32) -> Vec<u32> {
        let mut autoscaler = Autoscaler::new(object);
        (0..looks)
            .map(|look| {
                replicas = autoscaler.decide(PERIOD * look, replicas, Answer::Value(value));
                replicas
            })
            .collect()
    }

    #[test]
    fn a_value_within_a_tenth_of_the_threshold_changes_nothing() {
        for (threshold, value, replicas, expected) in [
            (10.0, 11.0, 1, 1),
            (10.0, 11.001, 1, 2),
            (5.0, 9.0, 2, 2),
            (5.0, 11.0, 2, 2),
            (5.0, 8.9, 2, 2),
            (5.0, 5.0, 2, 1),
            (5.0, 0.0, 10, 1),
        ] {
            let decided = run(object(threshold), replicas, value, 1);
            assert_eq!(decided, [expected], "{value} at {replicas} x {threshold}");
        }
    }

    #[test]
    fn a_tolerance_of_the_manifest_counts() {
        let mut strict = object(10.0);
        strict.scale_up.tolerance = 0.0;
        assert_eq!(run(strict, 1, 11.0, 1), [2]);
    }

    #[test]
    fn scaling_up_is_limited_by_pods_or_percent_whichever_allows_more() {
        assert_eq!(run(object(10.0), 1, 1000.0, 6), [5, 10, 20, 40, 80, 100]);
    }

    #[test]
    fn scaling_down_by_half_a_minute_truncates() {
        let mut slow = object(10.0);
        slow.scale_down.policies = vec![policy(Change::Percent(50), 60)];
        let decided = run(slow, 10, 1.0, 13);
        assert_eq!(decided, [5, 5, 5, 5, 2, 2, 2, 2, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn the_most_of_the_scale_down_window_counts() {
        let mut careful = object(10.0);
        careful.scale_down.window = Duration::from_mins(1);
        let mut autoscaler = Autoscaler::new(careful);
        let values = [80.0, 20.0, 20.0, 20.0, 20.0, 20.0];
        let mut replicas = 8;
        let decided: Vec<u32> = (0..)
            .zip(values)
            .map(|(look, value)| {
                replicas = autoscaler.decide(PERIOD * look, replicas, Answer::Value(value));
                replicas
            })
            .collect();
        assert_eq!(decided, [8, 8, 8, 8, 2, 2]);
    }

    #[test]
    fn anything_above_the_activation_threshold_wakes_the_workers_and_nothing_else_does() {
        assert_eq!(run(object(10.0), 0, 0.0, 1), [0]);
        assert_eq!(run(object(10.0), 0, 0.001, 1), [1]);
        let mut demanding = object(10.0);
        demanding.activation_threshold = 5.0;
        assert_eq!(run(demanding.clone(), 0, 5.0, 1), [0]);
        assert_eq!(run(demanding, 0, 5.001, 1), [1]);
    }

    #[test]
    fn zero_is_reached_at_the_first_look_after_the_cooldown() {
        let mut autoscaler = Autoscaler::new(object(10.0));
        let start = Duration::from_secs(1000);
        assert_eq!(autoscaler.decide(start, 1, Answer::Value(10.0)), 1);
        let at_the_end = start + Duration::from_mins(5);
        assert_eq!(autoscaler.decide(at_the_end, 1, Answer::Value(0.0)), 1);
        assert_eq!(
            autoscaler.decide(at_the_end + PERIOD, 1, Answer::Value(0.0)),
            0
        );
    }

    #[test]
    fn no_data_changes_nothing_however_long_it_lasts() {
        let mut autoscaler = Autoscaler::new(object(10.0));
        for replicas in [0, 1, 7] {
            for look in 0..100 {
                let decided = autoscaler.decide(PERIOD * look, replicas, Answer::NoData);
                assert_eq!(decided, replicas);
            }
        }
    }

    #[test]
    fn the_destination_is_the_ratio_within_the_limits() {
        let mut small = object(10.0);
        small.max_replicas = 8;
        for (value, replicas, expected) in [
            (0.0, 3, 0),
            (1.0, 0, 1),
            (60.0, 0, 6),
            (64.0, 6, 6),
            (67.0, 6, 7),
            (900.0, 6, 8),
        ] {
            assert_eq!(destination(&small, value, replicas), expected, "{value}");
        }
    }
}

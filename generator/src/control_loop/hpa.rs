//! The HPA, Kubernetes' `HorizontalPodAutoscaler`: between one replica and the largest number.
//!
//! A port of what its controller does with external metrics, in its own order and with its own floating-point arithmetic, because
//! the interesting cases lie on the edges: a ratio of exactly 1.1, a share of pods that is rounded, an event that is exactly as old as
//! a policy's period. Held against the controller's own code by the vectors in `tests/conformance`.
//!
//! Source: `reconcileAutoscaler` and what it calls in
//! <https://github.com/kubernetes/kubernetes/blob/v1.35.5/pkg/controller/podautoscaler/horizontal.go>, and
//! <https://github.com/kubernetes/kubernetes/blob/v1.35.5/pkg/controller/podautoscaler/replica_calculator.go>. Not modelled: metrics of
//! CPU and memory, which KEDA asks for only where it is told to.

use std::cmp::Ordering;
use std::time::Duration;

use crate::decimal::Decimal;

/// How often the controller looks at one HPA (`--horizontal-pod-autoscaler-sync-period`). The default of
/// <https://github.com/kubernetes/kubernetes/blob/v1.35.5/pkg/controller/podautoscaler/config/v1alpha1/defaults.go>.
pub const SYNC_PERIOD: Duration = Duration::from_secs(15);
/// By how much a metric may miss its target without any change (`--horizontal-pod-autoscaler-tolerance`).
pub const TOLERANCE: f64 = 0.1;
/// How long the highest recommendation counts where no window is told (`--horizontal-pod-autoscaler-downscale-stabilization`).
pub const DOWNSCALE_STABILIZATION: Duration = Duration::from_mins(5);

/// What an HPA says, as far as it decides.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The smallest number of replicas, at least 1.
    pub min: u32,
    /// The largest number of replicas.
    pub max: u32,
    /// One for each metric, in their order.
    pub targets: Vec<Target>,
    /// How fast replicas come and go; none is the way that older HPAs went.
    pub behavior: Option<Behavior>,
}

/// What a metric is held against.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// The metric is a total, and this is the share of one replica.
    AverageValue(Decimal),
    /// The metric says how far from its target the present number of ready pods is.
    Value(Decimal),
}

/// How fast replicas come and go.
#[derive(Clone, Debug, PartialEq)]
pub struct Behavior {
    /// `scaleUp`.
    pub up: Rules,
    /// `scaleDown`.
    pub down: Rules,
}

/// How fast replicas change in one direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Rules {
    /// `stabilizationWindowSeconds`: the most careful recommendation of this time counts.
    pub window: Duration,
    /// `selectPolicy`.
    pub select: Select,
    /// `policies`.
    pub policies: Vec<Policy>,
    /// `tolerance`: by how much, as a fraction, the metric may miss its target without any change.
    pub tolerance: f64,
}

/// Which of several policies counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The one that allows the largest change.
    Max,
    /// The one that allows the smallest change.
    Min,
    /// None: no change in this direction.
    Disabled,
}

/// The largest change within a period.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The change.
    pub change: Change,
    /// The period.
    pub period: Duration,
}

/// A number of replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// So many.
    Pods(u32),
    /// So many percent of those at the beginning of the period.
    Percent(u32),
}

impl Rules {
    /// What `scaleUp` is where a behavior does not tell it:
    /// <https://github.com/kubernetes/kubernetes/blob/v1.35.5/pkg/apis/autoscaling/v2/defaults.go>.
    pub fn default_up() -> Self {
        let period = Duration::from_secs(15);
        Self {
            window: Duration::ZERO,
            select: Select::Max,
            policies: vec![
                Policy {
                    change: Change::Pods(4),
                    period,
                },
                Policy {
                    change: Change::Percent(100),
                    period,
                },
            ],
            tolerance: TOLERANCE,
        }
    }

    /// What `scaleDown` is where a behavior does not tell it, from the same source.
    pub fn default_down() -> Self {
        Self {
            window: DOWNSCALE_STABILIZATION,
            select: Select::Max,
            policies: vec![Policy {
                change: Change::Percent(100),
                period: Duration::from_secs(15),
            }],
            tolerance: TOLERANCE,
        }
    }

    fn longest_period(&self) -> Duration {
        let periods = self.policies.iter().map(|policy| policy.period);
        periods.max().unwrap_or_default()
    }
}

impl Config {
    /// Whether the HPA leaves so many replicas alone at this ratio of a metric to its target.
    fn tolerates(&self, ratio: f64) -> bool {
        let (up, down) = match &self.behavior {
            Some(behavior) => (behavior.up.tolerance, behavior.down.tolerance),
            None => (TOLERANCE, TOLERANCE),
        };
        (1.0 - down..=1.0 + up).contains(&ratio)
    }

    /// How many replicas one metric asks for, before windows, policies and bounds.
    pub fn proposal(&self, target: Target, value: Decimal, pods: Pods) -> u32 {
        let usage = float(value);
        match target {
            Target::AverageValue(target) => {
                if self.tolerates(usage / (float(target) * f64::from(pods.running))) {
                    pods.running
                } else {
                    shares(value, target)
                }
            }
            Target::Value(target) => {
                let ratio = usage / float(target);
                if pods.wanted == 0 {
                    whole(ratio.ceil())
                } else if self.tolerates(ratio) {
                    pods.wanted
                } else {
                    whole((ratio * f64::from(pods.ready)).ceil())
                }
            }
        }
    }
}

impl Config {
    /// How many replicas the metrics ask for together: the most. None if that cannot be said.
    pub fn asked(&self, pods: Pods, metrics: &[Option<Decimal>]) -> Option<u32> {
        let mut most = 0;
        let mut missing = 0;
        for (index, target) in self.targets.iter().enumerate() {
            match metrics.get(index).copied().flatten() {
                Some(value) => most = most.max(self.proposal(*target, value, pods)),
                None => missing += 1,
            }
        }
        let all = missing == self.targets.len();
        (!all && (missing == 0 || most >= pods.wanted)).then_some(most)
    }
}

impl Config {
    /// The smallest and the largest number of replicas, within the bounds, that are left as they are where `asked` are asked for. Whether a
    /// number stays is `stays`.
    pub fn near_enough(&self, asked: u32, stays: impl Fn(u32) -> bool) -> (u32, u32) {
        let bounds = |replicas: u32| replicas.clamp(self.min, self.max);
        let first = first_that(1, asked, &stays);
        let last = first_that(asked, self.max.max(asked), |replicas| {
            !stays(replicas.saturating_add(1))
        });
        (bounds(first), bounds(last))
    }
}

/// The first number from `low` to `high` for which `fits` holds, where it holds for all that follow, and for `high`.
fn first_that(mut low: u32, mut high: u32, fits: impl Fn(u32) -> bool) -> u32 {
    while low < high {
        let middle = low + (high - low) / 2;
        if fits(middle) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    low
}

/// The pods of the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pods {
    /// `spec.replicas`: how many there should be.
    pub wanted: u32,
    /// `status.replicas`: how many there are, ready or not.
    pub running: u32,
    /// How many are ready. Only a metric of type `Value` depends on it.
    pub ready: u32,
}

impl Pods {
    /// All of them there and ready.
    pub const fn settled(replicas: u32) -> Self {
        Self {
            wanted: replicas,
            running: replicas,
            ready: replicas,
        }
    }
}

/// What the HPA makes of one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// How many replicas there should be from now on.
    pub replicas: u32,
    /// Why it is this number.
    pub reason: Reason,
}

/// Why a look ended as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// There are no replicas: the HPA is off until somebody else makes one.
    Off,
    /// No metric could be had, or one that could not be had stands against scaling down.
    NoMetric,
    /// It is what the metrics ask for, or near enough.
    Asked,
    /// An earlier recommendation stands against it.
    Window,
    /// A policy allows no more.
    Policy,
    /// No fewer than the smallest number.
    Min,
    /// No more than the largest number.
    Max,
}

/// What the controller remembers of one HPA.
#[derive(Clone, Debug, Default)]
pub struct Autoscaler {
    began: bool,
    recommendations: Vec<(Duration, u32)>,
    ups: Vec<Event>,
    downs: Vec<Event>,
}

/// A change that the HPA made. What others change is no event.
#[derive(Clone, Copy, Debug)]
struct Event {
    at: Duration,
    replicas: u32,
    outdated: bool,
}

impl Autoscaler {
    /// One look at the metrics, none where one could not be had. Each look is later than the one before.
    pub fn sync(
        &mut self,
        config: &Config,
        now: Duration,
        pods: Pods,
        metrics: &[Option<Decimal>],
    ) -> Decision {
        if !self.began {
            self.began = true;
            self.recommendations.push((now, pods.wanted));
        }
        let current = pods.wanted;
        let decision = if current == 0 {
            return Decision {
                replicas: 0,
                reason: Reason::Off,
            };
        } else if current > config.max {
            Decision {
                replicas: config.max,
                reason: Reason::Max,
            }
        } else if current < config.min {
            Decision {
                replicas: config.min,
                reason: Reason::Min,
            }
        } else {
            let Some(asked) = config.asked(pods, metrics) else {
                return Decision {
                    replicas: current,
                    reason: Reason::NoMetric,
                };
            };
            match &config.behavior {
                Some(behavior) => self.by_behavior(config, behavior, now, current, asked),
                None => self.by_legacy_rules(config, now, current, asked),
            }
        };
        if let Some(behavior) = &config.behavior {
            self.remember_change(behavior, now, current, decision.replicas);
        }
        decision
    }

    fn by_behavior(
        &mut self,
        config: &Config,
        behavior: &Behavior,
        now: Duration,
        current: u32,
        asked: u32,
    ) -> Decision {
        let (up, down) = (&behavior.up, &behavior.down);
        let (mut least, mut most) = (asked, asked);
        for &(at, recommended) in &self.recommendations {
            if at + up.window > now {
                least = least.min(recommended);
            }
            if at + down.window > now {
                most = most.max(recommended);
            }
        }
        let stable = current.max(least).min(most);
        self.recommendations
            .retain(|(at, _)| *at + up.window >= now || *at + down.window >= now);
        self.recommendations.push((now, asked));
        let held = if stable == asked {
            Reason::Asked
        } else {
            Reason::Window
        };
        if stable > current {
            let limit = self.limit(up, now, current, Direction::Up).max(current);
            if stable > limit.min(config.max) {
                return if config.max > limit {
                    Decision {
                        replicas: limit,
                        reason: Reason::Policy,
                    }
                } else {
                    Decision {
                        replicas: config.max,
                        reason: Reason::Max,
                    }
                };
            }
        } else if stable < current {
            let limit = self.limit(down, now, current, Direction::Down).min(current);
            if stable < limit.max(config.min) {
                return if config.min < limit {
                    Decision {
                        replicas: limit,
                        reason: Reason::Policy,
                    }
                } else {
                    Decision {
                        replicas: config.min,
                        reason: Reason::Min,
                    }
                };
            }
        }
        Decision {
            replicas: stable,
            reason: held,
        }
    }

    /// How far the policies let the number go in one direction.
    fn limit(&self, rules: &Rules, now: Duration, current: u32, direction: Direction) -> u32 {
        let proposals = rules.policies.iter().map(|policy| {
            let changed = |events: &[Event]| -> i64 {
                let recent = events
                    .iter()
                    .filter(|event| event.at + policy.period > now)
                    .map(|event| i64::from(event.replicas));
                recent.sum()
            };
            let before = i64::from(current) - changed(&self.ups) + changed(&self.downs);
            match (direction, policy.change) {
                (Direction::Up, Change::Pods(pods)) => before + i64::from(pods),
                (Direction::Down, Change::Pods(pods)) => before - i64::from(pods),
                // Rounded up, or one replica would never become two; and cut off below.
                (Direction::Up, Change::Percent(percent)) => {
                    share(before, 1.0 + f64::from(percent) / 100.0, f64::ceil)
                }
                (Direction::Down, Change::Percent(percent)) => {
                    share(before, 1.0 - f64::from(percent) / 100.0, f64::trunc)
                }
            }
        });
        let limit = match (rules.select, direction) {
            (Select::Disabled, _) => None,
            (Select::Max, Direction::Up) | (Select::Min, Direction::Down) => proposals.max(),
            (Select::Min, Direction::Up) | (Select::Max, Direction::Down) => proposals.min(),
        };
        limit.map_or(current, |limit| {
            u32::try_from(limit.max(0)).unwrap_or(u32::MAX)
        })
    }

    fn by_legacy_rules(
        &mut self,
        config: &Config,
        now: Duration,
        current: u32,
        asked: u32,
    ) -> Decision {
        self.recommendations
            .retain(|(at, _)| *at + DOWNSCALE_STABILIZATION >= now);
        let recent = self.recommendations.iter().map(|&(_, one)| one);
        let stable = recent.max().unwrap_or(0).max(asked);
        self.recommendations.push((now, asked));
        let limit = current.saturating_mul(2).max(4);
        let (replicas, reason) = if stable < config.min {
            (config.min, Reason::Min)
        } else if stable > config.max.min(limit) {
            if config.max > limit {
                (limit, Reason::Policy)
            } else {
                (config.max, Reason::Max)
            }
        } else if stable == asked {
            (stable, Reason::Asked)
        } else {
            (stable, Reason::Window)
        };
        Decision { replicas, reason }
    }

    fn remember_change(&mut self, behavior: &Behavior, now: Duration, before: u32, after: u32) {
        let (events, rules) = match after.cmp(&before) {
            Ordering::Equal => return,
            Ordering::Greater => (&mut self.ups, &behavior.up),
            Ordering::Less => (&mut self.downs, &behavior.down),
        };
        // The controller forgets by its own direction's periods, and one event at a time, so that an event may be gone that a policy
        // of the other direction would still have counted.
        let longest = rules.longest_period();
        for event in events.iter_mut().filter(|event| event.at + longest < now) {
            event.outdated = true;
        }
        let event = Event {
            at: now,
            replicas: before.abs_diff(after),
            outdated: false,
        };
        match events.iter_mut().rev().find(|event| event.outdated) {
            Some(old) => *old = event,
            None => events.push(event),
        }
    }
}

#[derive(Clone, Copy)]
enum Direction {
    Up,
    Down,
}

/// How many replicas a total is for, a share of it each, where no number is near enough.
pub fn shares(total: Decimal, of_one: Decimal) -> u32 {
    whole((float(total) / float(of_one)).ceil())
}

/// In thousandths, as the controller calculates.
#[expect(
    clippy::cast_precision_loss,
    reason = "the controller's own arithmetic is in f64"
)]
fn float(number: Decimal) -> f64 {
    number.thousandths() as f64
}

/// A share of a number of replicas.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    reason = "the controller's own arithmetic is in f64, and a cast stops at the ends of the range"
)]
fn share(replicas: i64, of: f64, round: fn(f64) -> f64) -> i64 {
    round(replicas as f64 * of) as i64
}

/// A number of replicas, at most the largest that Kubernetes has.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast from f64 stops at the ends of the range"
)]
fn whole(number: f64) -> u32 {
    number.min(f64::from(i32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn milli(thousandths: u64) -> Decimal {
        Decimal::from_thousandths(thousandths)
    }

    #[test]
    fn a_total_is_for_a_replica_for_each_part_of_it() {
        for (total, of_one, replicas) in [
            (0, 5000, 0),
            (1, 5000, 1),
            (10_000, 10_000, 1),
            (11_000, 10_000, 2),
            (100_000, 10_000, 10),
            (6300, 900, 7),
            // No more than Kubernetes has.
            (u64::MAX, 1, 2_147_483_647),
        ] {
            assert_eq!(
                shares(milli(total), milli(of_one)),
                replicas,
                "{total} / {of_one}"
            );
        }
    }

    fn config(target: u64, behavior: impl Into<Option<Behavior>>) -> Config {
        Config {
            min: 1,
            max: 1000,
            targets: vec![Target::AverageValue(milli(target * 1000))],
            behavior: behavior.into(),
        }
    }

    fn defaults() -> Behavior {
        Behavior {
            up: Rules::default_up(),
            down: Rules::default_down(),
        }
    }

    fn down(policies: &[(Change, u64)], window: u64) -> Behavior {
        let policy = |&(change, secs): &(Change, u64)| Policy {
            change,
            period: Duration::from_secs(secs),
        };
        Behavior {
            up: Rules::default_up(),
            down: Rules {
                window: Duration::from_secs(window),
                policies: policies.iter().map(policy).collect(),
                ..Rules::default_down()
            },
        }
    }

    /// The replicas after each of `looks` looks, one a period, with every pod there at once.
    fn run(config: &Config, mut replicas: u32, value: u64, looks: u32) -> Vec<u32> {
        let mut autoscaler = Autoscaler::default();
        (0..looks)
            .map(|look| {
                let pods = Pods::settled(replicas);
                let decision =
                    autoscaler.sync(config, SYNC_PERIOD * look, pods, &[Some(milli(value))]);
                replicas = decision.replicas;
                replicas
            })
            .collect()
    }

    #[test]
    fn a_value_within_a_tenth_of_the_target_changes_nothing_and_the_edge_is_within() {
        for (target, replicas, value, expected) in [
            (10, 1, 11_000, 1),
            (10, 1, 11_001, 2),
            (5, 2, 9_000, 2),
            (5, 2, 11_000, 2),
            (5, 2, 8_900, 2),
            (5, 2, 5_000, 1),
            (5, 6, 30_000, 6),
        ] {
            let config = config(target, None);
            let proposal = config.proposal(
                *config.targets.first().unwrap(),
                milli(value),
                Pods::settled(replicas),
            );
            assert_eq!(proposal, expected, "{value} at {replicas} x {target}");
        }
    }

    #[test]
    fn each_direction_has_its_own_tolerance() {
        let mut strict = config(10, defaults());
        if let Some(behavior) = &mut strict.behavior {
            behavior.up.tolerance = 0.0;
        }
        assert_eq!(run(&strict, 10, 101_000, 1), [11]);
        assert_eq!(run(&strict, 10, 91_000, 1), [10]);
    }

    #[test]
    fn no_demand_asks_for_nothing_and_ends_at_the_smallest_number_after_the_window() {
        let decided = run(&config(5, defaults()), 10, 0, 21);
        assert_eq!(
            decided.iter().filter(|&&replicas| replicas == 10).count(),
            20
        );
        assert_eq!(decided.last(), Some(&1));
    }

    #[test]
    fn without_a_behavior_replicas_double_from_four_on() {
        assert_eq!(
            run(&config(1, None), 1, 100_000, 6),
            [4, 8, 16, 32, 64, 100]
        );
    }

    #[test]
    fn with_the_default_behavior_four_pods_or_the_double_are_added() {
        assert_eq!(
            run(&config(1, defaults()), 1, 100_000, 6),
            [5, 10, 20, 40, 80, 100]
        );
    }

    #[test]
    fn half_a_minute_of_ten_replicas_leaves_five_then_two_then_one() {
        let half = down(&[(Change::Percent(50), 60)], 0);
        let decided = run(&config(10, half), 10, 1_000, 13);
        assert_eq!(decided, [5, 5, 5, 5, 2, 2, 2, 2, 1, 1, 1, 1, 1]);
    }

    #[test]
    fn the_policy_that_is_selected_decides() {
        let both = down(&[(Change::Percent(50), 60), (Change::Pods(1), 60)], 0);
        let mut least = config(10, both.clone());
        assert_eq!(run(&least, 10, 1_000, 1), [5]);
        if let Some(behavior) = &mut least.behavior {
            behavior.down.select = Select::Min;
        }
        assert_eq!(run(&least, 10, 1_000, 1), [9]);
        if let Some(behavior) = &mut least.behavior {
            behavior.down.select = Select::Disabled;
        }
        assert_eq!(run(&least, 10, 1_000, 1), [10]);
    }

    #[test]
    fn a_metric_of_type_value_multiplies_the_ready_pods() {
        let mut config = config(60, None);
        config.targets = vec![Target::Value(milli(60_000))];
        let mut pods = Pods::settled(1);
        assert_eq!(
            config.proposal(Target::Value(milli(60_000)), milli(240_000), pods),
            4
        );
        pods.ready = 0;
        let decision =
            Autoscaler::default().sync(&config, Duration::ZERO, pods, &[Some(milli(240_000))]);
        assert_eq!(decision.replicas, 1);
    }

    #[test]
    fn of_several_metrics_the_most_counts_and_a_missing_one_only_forbids_to_scale_down() {
        let mut config = config(10, down(&[(Change::Percent(100), 15)], 0));
        config.targets = vec![Target::AverageValue(milli(10_000)); 2];
        let value = |jobs: u64| Some(milli(jobs * 1000));
        for (metrics, expected, reason) in [
            ([value(30), value(50)], 5, Reason::Policy),
            ([value(90), None], 5, Reason::Policy),
            ([value(10), None], 3, Reason::NoMetric),
            ([None, None], 3, Reason::NoMetric),
            ([value(10), value(0)], 1, Reason::Asked),
        ] {
            let mut config = config.clone();
            // A small limit, so that every case that may rise ends at it.
            if let Some(behavior) = &mut config.behavior {
                behavior.up.policies = vec![Policy {
                    change: Change::Pods(2),
                    period: SYNC_PERIOD,
                }];
            }
            let decision =
                Autoscaler::default().sync(&config, Duration::ZERO, Pods::settled(3), &metrics);
            assert_eq!(decision.replicas, expected, "{metrics:?}");
            if expected != 5 {
                assert_eq!(decision.reason, reason, "{metrics:?}");
            }
        }
    }

    #[test]
    fn at_no_replicas_the_hpa_is_off_whatever_the_metrics_say() {
        let decision = Autoscaler::default().sync(
            &config(1, defaults()),
            Duration::ZERO,
            Pods::settled(0),
            &[Some(milli(1_000_000))],
        );
        assert_eq!((decision.replicas, decision.reason), (0, Reason::Off));
    }
}

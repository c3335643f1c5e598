//! KEDA's operator: between no replica and the first, and what the HPA hears when it asks.
//!
//! Two paths ask the same trigger. The operator polls, and decides about zero; the HPA asks through KEDA's metrics server, and decides
//! about the rest. Both count failures, and after enough of them both hear the fallback.
//!
//! Source: `RequestScale` in <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/executor/scale_scaledobjects.go>,
//! `getScaledObjectState` in <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/scale_handler.go>,
//! <https://github.com/kedacore/keda/blob/v2.20.2/pkg/fallback/fallback.go>. Not modelled: `scalingModifiers`, cached metrics, the
//! annotations that pause.

use std::time::Duration;

use super::hpa::Target;
use crate::decimal::Decimal;

/// How often the operator polls where it is not told: `defaultPollingInterval` in
/// <https://github.com/kedacore/keda/blob/v2.20.2/apis/keda/v1alpha1/withtriggers_types.go>.
pub const DEFAULT_POLLING_INTERVAL: Duration = Duration::from_secs(30);

/// What a ScaledObject says, as far as the operator decides by it.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// `minReplicaCount`.
    pub min: u32,
    /// `idleReplicaCount`.
    pub idle: Option<u32>,
    /// `pollingInterval`.
    pub polling_interval: Duration,
    /// `cooldownPeriod`: quiet time before zero.
    pub cooldown: Duration,
    /// `initialCooldownPeriod`: the same, while nothing was ever active.
    pub initial_cooldown: Duration,
    /// `fallback`.
    pub fallback: Option<Fallback>,
    /// `triggers`, in their order.
    pub triggers: Vec<Trigger>,
}

/// One trigger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Trigger {
    /// What the HPA holds its value against.
    pub target: Target,
    /// The value must be above this for the trigger to be active.
    pub activation: f64,
}

/// What is assumed when a trigger has failed too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// `failureThreshold`: so many failures in a row are waited for.
    pub failure_threshold: u32,
    /// `replicas`.
    pub replicas: u32,
    /// `behavior`.
    pub behavior: FallbackBehavior,
}

/// How the replicas of a fallback are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FallbackBehavior {
    /// `static`: those that are told.
    Static,
    /// `currentReplicas`: those that are there.
    CurrentReplicas,
    /// `currentReplicasIfHigher`: the larger of the two.
    CurrentReplicasIfHigher,
    /// `currentReplicasIfLower`: the smaller of the two.
    CurrentReplicasIfLower,
}

/// What Prometheus said to a trigger.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Answer {
    /// One number.
    Value(f64),
    /// Nothing that KEDA takes for a number: no answer, none in time, or an empty one where `ignoreNullValues` is false.
    Error,
}

/// What the operator makes of one poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decision {
    /// How many replicas there should be from now on.
    pub replicas: u32,
    /// Why it is this number.
    pub reason: Reason,
}

/// Why a poll ended as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// A trigger is active, and there was nothing.
    Woken,
    /// A trigger is active, and there are replicas: the HPA's part.
    Active,
    /// A trigger failed, and nothing says more.
    Error,
    /// Nothing is active, but not for long enough.
    CoolingDown,
    /// Nothing is active for long enough: all of them go, however many there are.
    Idle,
    /// Nothing is active, and there were fewer than the smallest number.
    Min,
    /// Nothing is active, and nothing is to be done.
    Inactive,
}

/// What KEDA remembers of one ScaledObject.
#[derive(Clone, Debug)]
pub struct Operator {
    created: Duration,
    last_active: Option<Duration>,
    failures: Vec<u32>,
}

impl Operator {
    /// A ScaledObject that is made now.
    pub fn new(config: &Config, now: Duration) -> Self {
        Self {
            created: to_the_second(now),
            last_active: None,
            failures: vec![0; config.triggers.len()],
        }
    }

    /// When a trigger was last seen to be active (`status.lastActiveTime`), if ever.
    pub const fn last_active(&self) -> Option<Duration> {
        self.last_active
    }

    /// One poll, with an answer for each trigger.
    pub fn poll(
        &mut self,
        config: &Config,
        now: Duration,
        replicas: u32,
        answers: &[Answer],
    ) -> Decision {
        let (mut active, mut error) = (false, false);
        for (index, trigger) in config.triggers.iter().enumerate() {
            match answers.get(index).copied().unwrap_or(Answer::Error) {
                Answer::Value(value) => {
                    self.succeeded(index);
                    active |= value > trigger.activation;
                }
                // A trigger that falls back is active, and no longer an error.
                Answer::Error if self.failed(config, index) => active = true,
                Answer::Error => error = true,
            }
        }
        let decided = |replicas, reason| Decision { replicas, reason };
        if active {
            if replicas == 0 || (config.idle.is_some() && replicas < config.min) {
                self.last_active = Some(to_the_second(now));
                return decided(config.min.max(1), Reason::Woken);
            }
            if error {
                return decided(replicas, Reason::Error);
            }
            self.last_active = Some(to_the_second(now));
            return decided(replicas, Reason::Active);
        }
        // With a fallback of 0 replicas an error is no error: it goes on to zero.
        if error
            && config
                .fallback
                .is_none_or(|fallback| fallback.replicas != 0)
        {
            return decided(replicas, Reason::Error);
        }
        let may_idle =
            config.idle.is_some_and(|idle| replicas > idle) || (replicas > 0 && config.min == 0);
        if may_idle {
            let over = match self.last_active {
                Some(last) => last + config.cooldown < now,
                None => self.created + config.initial_cooldown < now,
            };
            return if over {
                decided(config.idle.unwrap_or(config.min), Reason::Idle)
            } else {
                decided(replicas, Reason::CoolingDown)
            };
        }
        if config.idle.is_none() && replicas < config.min {
            return decided(config.min, Reason::Min);
        }
        decided(replicas, Reason::Inactive)
    }

    /// What the HPA hears when it asks for the metric of a trigger; nothing if that is an error.
    pub fn metric(
        &mut self,
        config: &Config,
        index: usize,
        pods: super::hpa::Pods,
        answer: Answer,
    ) -> Option<Decimal> {
        match answer {
            Answer::Value(value) => {
                self.succeeded(index);
                Some(reported(value))
            }
            Answer::Error => {
                let falls_back = self.failed(config, index);
                let trigger = config.triggers.get(index)?;
                let fallback = config.fallback.filter(|_| falls_back)?;
                fallback.metric(trigger.target, pods)
            }
        }
    }

    fn succeeded(&mut self, index: usize) {
        if let Some(failures) = self.failures.get_mut(index) {
            *failures = 0;
        }
    }

    /// Counts a failure, and says whether the trigger falls back by now.
    fn failed(&mut self, config: &Config, index: usize) -> bool {
        let Some(failures) = self.failures.get_mut(index) else {
            return false;
        };
        *failures = failures.saturating_add(1);
        config
            .fallback
            .is_some_and(|fallback| *failures > fallback.failure_threshold)
    }
}

impl Fallback {
    /// The metric that makes the HPA ask for the fallback's replicas.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "KEDA's own arithmetic is in f64, and cuts off what is below a thousandth"
    )]
    fn metric(self, target: Target, pods: super::hpa::Pods) -> Option<Decimal> {
        let replicas = match self.behavior {
            FallbackBehavior::Static => self.replicas,
            FallbackBehavior::CurrentReplicas => pods.wanted,
            FallbackBehavior::CurrentReplicasIfHigher => self.replicas.max(pods.wanted),
            FallbackBehavior::CurrentReplicasIfLower => self.replicas.min(pods.wanted),
        };
        let mut replicas = f64::from(replicas);
        let threshold = match target {
            Target::AverageValue(threshold) => threshold,
            Target::Value(threshold) => {
                if pods.ready == 0 {
                    return None;
                }
                replicas /= f64::from(pods.ready);
                threshold
            }
        };
        let thousandths = threshold.thousandths() as f64 * replicas;
        Some(Decimal::from_thousandths(thousandths as u64))
    }
}

/// A value as KEDA hands it to the HPA: three decimals, and nothing below zero
/// (`GenerateMetricInMili` in <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/scaler.go>).
pub fn reported(value: f64) -> Decimal {
    if !value.is_finite() || value < 0.0 {
        return Decimal::from_thousandths(0);
    }
    let text = format!("{value:.3}").replace('.', "");
    // Beyond what a quantity holds it stays at its end.
    Decimal::from_thousandths(text.parse().unwrap_or(u64::MAX))
}

/// KEDA keeps times as Kubernetes does, in whole seconds.
fn to_the_second(time: Duration) -> Duration {
    Duration::from_secs(time.as_secs())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control_loop::hpa::Pods;

    const THRESHOLD: Decimal = Decimal::from_thousandths(5_000);

    fn config(min: u32) -> Config {
        Config {
            min,
            idle: None,
            polling_interval: Duration::from_secs(30),
            cooldown: Duration::from_mins(5),
            initial_cooldown: Duration::ZERO,
            fallback: None,
            triggers: vec![Trigger {
                target: Target::AverageValue(THRESHOLD),
                activation: 0.0,
            }],
        }
    }

    fn fallback(replicas: u32, failure_threshold: u32) -> Fallback {
        Fallback {
            failure_threshold,
            replicas,
            behavior: FallbackBehavior::Static,
        }
    }

    const ONE: Answer = Answer::Value(1.0);
    const NONE: Answer = Answer::Value(0.0);

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    /// One poll at 1000 s of an object that was last active then, if ever.
    fn poll(config: &Config, last_active: Option<u64>, replicas: u32, answer: Answer) -> Decision {
        let mut operator = Operator::new(config, Duration::ZERO);
        operator.last_active = last_active.map(seconds);
        operator.poll(config, seconds(1000), replicas, &[answer])
    }

    #[test]
    fn activity_is_strictly_above_the_activation_threshold_and_before_rounding() {
        for (activation, value, expected) in [
            (0.0, 0.0, 0),
            (5.0, 5.0, 0),
            (5.0, 5.001, 1),
            (0.0, 0.0004, 1),
            (0.0, -1.0, 0),
        ] {
            let mut config = config(0);
            config.triggers = vec![Trigger {
                target: Target::AverageValue(THRESHOLD),
                activation,
            }];
            let decision = poll(&config, None, 0, Answer::Value(value));
            assert_eq!(decision.replicas, expected, "{value} against {activation}");
        }
    }

    #[test]
    fn the_hpa_hears_three_decimals_and_nothing_below_zero() {
        for (value, thousandths) in [
            (0.0004, 0),
            (0.0006, 1),
            (11.001, 11_001),
            (2.5, 2_500),
            (-3.0, 0),
            (f64::NAN, 0),
            (f64::INFINITY, 0),
            (1e300, u64::MAX),
        ] {
            assert_eq!(reported(value).thousandths(), thousandths, "{value}");
        }
    }

    #[test]
    fn each_row_of_the_decision_table_is_decided_so() {
        use Reason::{Active, CoolingDown, Error, Idle, Inactive, Min, Woken};
        let with = |change: fn(&mut Config), min: u32| {
            let mut config = config(min);
            change(&mut config);
            config
        };
        let plain = |min| with(|_| (), min);
        let idle = || with(|config| config.idle = Some(0), 3);
        let zero_fallback = || with(|config| config.fallback = Some(fallback(0, 3)), 0);
        let fallback = || with(|config| config.fallback = Some(fallback(6, 3)), 0);
        for (name, config, last, replicas, answer, expected, reason) in [
            ("active from zero", plain(0), None, 0, ONE, 1, Woken),
            ("active from zero to min", plain(3), None, 0, ONE, 3, Woken),
            ("active below min", plain(3), None, 1, ONE, 1, Active),
            ("active from idle", idle(), None, 0, ONE, 3, Woken),
            ("active", plain(0), None, 7, ONE, 7, Active),
            (
                "quiet and cooling down",
                plain(0),
                Some(800),
                7,
                NONE,
                7,
                CoolingDown,
            ),
            ("quiet for long", plain(0), Some(600), 7, NONE, 0, Idle),
            ("never active", plain(0), None, 7, NONE, 0, Idle),
            ("quiet at min", plain(3), Some(0), 7, NONE, 7, Inactive),
            ("quiet below min", plain(3), Some(0), 1, NONE, 3, Min),
            ("quiet and idle", idle(), Some(0), 7, NONE, 0, Idle),
            (
                "an error holds",
                plain(0),
                Some(0),
                7,
                Answer::Error,
                7,
                Error,
            ),
            (
                "an error holds at zero",
                plain(0),
                Some(0),
                0,
                Answer::Error,
                0,
                Error,
            ),
            (
                "an error before the fallback holds",
                fallback(),
                Some(0),
                7,
                Answer::Error,
                7,
                Error,
            ),
            (
                "an error with a fallback of zero",
                zero_fallback(),
                Some(0),
                7,
                Answer::Error,
                0,
                Idle,
            ),
        ] {
            let decision = poll(&config, last, replicas, answer);
            assert_eq!(
                (decision.replicas, decision.reason),
                (expected, reason),
                "{name}"
            );
        }
    }

    #[test]
    fn zero_comes_at_the_first_poll_that_is_later_than_the_cooldown() {
        let config = config(0);
        let mut operator = Operator::new(&config, Duration::ZERO);
        let mut replicas = 1;
        let mut reached = None;
        for at in (1000..).step_by(30).take(20) {
            let answer = if at == 1000 { ONE } else { NONE };
            replicas = operator
                .poll(&config, seconds(at), replicas, &[answer])
                .replicas;
            if replicas == 0 {
                reached = Some(at);
                break;
            }
        }
        assert_eq!(reached, Some(1330), "at 1300 it is not yet later");
    }

    #[test]
    fn what_was_active_is_kept_in_whole_seconds_so_that_zero_comes_up_to_one_earlier() {
        let config = config(0);
        let mut operator = Operator::new(&config, Duration::ZERO);
        let late = Duration::from_millis(1_000_900);
        operator.poll(&config, late, 1, &[ONE]);
        let decision = operator.poll(
            &config,
            seconds(1300) + Duration::from_millis(1),
            1,
            &[NONE],
        );
        assert_eq!(decision.reason, Reason::Idle);
    }

    #[test]
    fn an_object_that_was_never_active_waits_for_the_initial_cooldown() {
        let mut config = config(0);
        config.initial_cooldown = seconds(2000);
        assert_eq!(poll(&config, None, 4, NONE).reason, Reason::CoolingDown);
        assert_eq!(poll(&config, Some(0), 4, NONE).reason, Reason::Idle);
    }

    #[test]
    fn one_trigger_that_fails_keeps_another_ones_activity_from_being_noted() {
        let mut config = config(0);
        config.triggers = [config.triggers.clone(), config.triggers].concat();
        let mut operator = Operator::new(&config, Duration::ZERO);
        operator.poll(&config, seconds(10), 1, &[ONE, NONE]);
        let decision = operator.poll(&config, seconds(400), 1, &[ONE, Answer::Error]);
        assert_eq!(decision.reason, Reason::Error);
        assert_eq!(operator.last_active, Some(seconds(10)));
        let woken = operator.poll(&config, seconds(430), 0, &[ONE, Answer::Error]);
        assert_eq!((woken.replicas, woken.reason), (1, Reason::Woken));
    }

    #[test]
    fn a_fallback_is_used_from_the_first_failure_beyond_its_threshold_in_either_path() {
        let mut config = config(0);
        config.fallback = Some(fallback(6, 3));
        let mut operator = Operator::new(&config, Duration::ZERO);
        let pods = Pods::settled(2);
        let metric = |operator: &mut Operator, answer| operator.metric(&config, 0, pods, answer);
        assert_eq!(metric(&mut operator, Answer::Error), None);
        let poll = operator.poll(&config, seconds(1), 2, &[Answer::Error]);
        assert_eq!(poll.reason, Reason::Error);
        assert_eq!(metric(&mut operator, Answer::Error), None);
        let asked = metric(&mut operator, Answer::Error).map(Decimal::thousandths);
        assert_eq!(asked, Some(30_000), "6 x 5");
        // A fallback is activity: it wakes.
        let poll = operator.poll(&config, seconds(2), 0, &[Answer::Error]);
        assert_eq!(poll.reason, Reason::Woken);
        // One answer, and the counting begins anew.
        assert!(metric(&mut operator, ONE).is_some());
        assert_eq!(metric(&mut operator, Answer::Error), None);
    }

    #[test]
    fn a_failure_threshold_of_zero_falls_back_on_the_first_failure() {
        let mut config = config(0);
        config.fallback = Some(fallback(6, 0));
        let mut operator = Operator::new(&config, Duration::ZERO);
        assert!(
            operator
                .metric(&config, 0, Pods::settled(1), Answer::Error)
                .is_some()
        );
    }

    #[test]
    fn the_behavior_of_a_fallback_chooses_its_replicas() {
        use FallbackBehavior::{
            CurrentReplicas, CurrentReplicasIfHigher, CurrentReplicasIfLower, Static,
        };
        for (behavior, current, replicas) in [
            (Static, 9, 6),
            (CurrentReplicas, 9, 9),
            (CurrentReplicasIfHigher, 9, 9),
            (CurrentReplicasIfHigher, 2, 6),
            (CurrentReplicasIfLower, 9, 6),
            (CurrentReplicasIfLower, 2, 2),
        ] {
            let fallback = Fallback {
                failure_threshold: 0,
                replicas: 6,
                behavior,
            };
            let metric = fallback.metric(Target::AverageValue(THRESHOLD), Pods::settled(current));
            assert_eq!(
                metric.map(Decimal::thousandths),
                Some(5_000 * replicas),
                "{behavior:?} at {current}"
            );
        }
    }

    #[test]
    fn a_fallback_for_a_value_needs_a_ready_pod() {
        let fallback = Fallback {
            failure_threshold: 0,
            replicas: 6,
            behavior: FallbackBehavior::Static,
        };
        let target = Target::Value(THRESHOLD);
        let mut pods = Pods::settled(3);
        let metric = fallback.metric(target, pods).map(Decimal::thousandths);
        assert_eq!(metric, Some(10_000), "5 x 6 / 3");
        pods.ready = 0;
        assert_eq!(fallback.metric(target, pods), None);
    }
}

//! What happens when something between the jobs and the replicas is down, as it follows from the spec.

use std::collections::BTreeSet;
use std::time::Duration;

use serde::Serialize;

use super::words::float;
use crate::control_loop::hpa::{Pods, Target};
use crate::control_loop::keda::Answer;
use crate::control_loop::{Config, ControlLoop, Observation};
use crate::counted::{counted, short};
use crate::plan::{FallbackBehavior, Plan};
use crate::workload::Policy;

/// Something that is down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// What is down.
    pub what: String,
    /// What follows.
    pub effect: String,
}

impl Failure {
    fn new(what: impl Into<String>, effect: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            effect: effect.into(),
        }
    }
}

/// The worker's part in every failure.
struct Worker<'p> {
    plan: &'p Plan<'p>,
    config: &'p Config,
    from_zero: bool,
    several: bool,
}

/// What follows from each failure for this worker.
pub(super) fn failures(plan: &Plan<'_>, config: &Config) -> Vec<Failure> {
    let workload = plan.workload;
    let worker = Worker {
        plan,
        config,
        from_zero: workload.replicas.min() == 0,
        several: workload.queues.len() > 1,
    };
    let scrape = short(workload.prometheus.scrape_interval);
    let servers: BTreeSet<&str> = workload
        .queues
        .iter()
        .map(|queue| queue.redis.as_str())
        .collect();
    let loss = worker.loss();
    let mut failures = vec![
        Failure::new(
            "Redis",
            match servers.len() {
                1 => {
                    format!("The exporter serves none of its queues, so there is no answer. {loss}")
                }
                number => format!(
                    "If any of the {number} servers is down, its queues are not served: {}",
                    worker.queue_missing()
                ),
            },
        ),
        Failure::new(
            "exporter",
            format!("Its series end at the next scrape, {scrape} later at the latest. {loss}"),
        ),
        Failure::new("Prometheus", format!("There is no answer. {loss}")),
        Failure::new(
            "Prometheus restarted",
            format!(
                "With its data it answers from its last samples, at most 5m old; without, not before the first scrape, {scrape} later.{}",
                match workload.policy {
                    Policy::StartWithin { .. } =>
                        " The average of the running load then begins anew with what runs now.",
                    Policy::Slots { .. } | Policy::JobsPerReplica { .. } => "",
                }
            ),
        ),
        Failure::new("KEDA's operator", worker.operator()),
        Failure::new("KEDA's metrics server", worker.metrics_server()),
        Failure::new(
            if worker.several {
                "one required queue"
            } else {
                "the queue"
            },
            if worker.several {
                format!(
                    "Renamed, obliterated or never made: {}",
                    worker.queue_missing()
                )
            } else {
                format!("Renamed, obliterated or never made: there is no answer. {loss}")
            },
        ),
    ];
    if workload.queues.iter().any(|queue| queue.optional) {
        failures.push(Failure::new(
            "an optional queue",
            "It counts as empty. Everything else goes on.",
        ));
    }
    failures.push(Failure::new("metrics, for long", worker.for_long()));
    failures
}

/// What follows for Jobs: <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/scale_handler.go>, `checkScaledJobScalers`.
pub(super) fn of_jobs(plan: &Plan<'_>) -> Vec<Failure> {
    let hold = "KEDA makes no new Job. Those that run go on to their end.";
    let min = plan.workload.replicas.min();
    let hold = if min == 0 {
        hold.to_owned()
    } else {
        format!("{hold} Fewer than {min} are made up for as before.")
    };
    let scrape = short(plan.workload.prometheus.scrape_interval);
    let mut failures = vec![
        Failure::new(
            "Redis",
            format!("The exporter serves none of its queues, so there is no answer. {hold}"),
        ),
        Failure::new(
            "exporter",
            format!("Its series end at the next scrape, {scrape} later at the latest. {hold}"),
        ),
        Failure::new("Prometheus", format!("There is no answer. {hold}")),
        Failure::new(
            "KEDA's operator",
            "Nothing makes a Job, and nothing ends one.",
        ),
        Failure::new(
            "KEDA's metrics server",
            "Nothing changes: Jobs do not need it.",
        ),
        Failure::new(
            if plan.workload.queues.len() > 1 {
                "one required queue"
            } else {
                "the queue"
            },
            format!("Renamed, obliterated or never made: there is no answer. {hold}"),
        ),
    ];
    if plan.workload.queues.iter().any(|queue| queue.optional) {
        failures.push(Failure::new(
            "an optional queue",
            "It counts as empty. Everything else goes on.",
        ));
    }
    failures.push(Failure::new(
        "metrics, for long",
        "It lasts as long as it lasts; there is no fallback for Jobs, and no cooldown that could end them.",
    ));
    failures
}

impl Worker<'_> {
    /// All triggers fail.
    fn loss(&self) -> String {
        let Some(fallback) = self.plan.fallback else {
            return if self.from_zero {
                "KEDA holds: 0 stays 0, and what runs stays."
            } else {
                "KEDA holds: the replicas stay as they are."
            }
            .to_owned();
        };
        if fallback.behavior == FallbackBehavior::Hold {
            return format!(
                "KEDA holds: what runs stays. At 0, one replica starts after {}.",
                counted(fallback.after_failures.saturating_add(1), "failure")
            );
        }
        format!(
            "KEDA holds at first. After {} it goes up to {}, and never below what is there.",
            counted(fallback.after_failures.saturating_add(1), "failure"),
            counted(fallback.replicas, "replica")
        )
    }

    /// One of several queues is not seen.
    fn queue_missing(&self) -> String {
        if !self.from_zero {
            return format!(
                "there is no answer, however well the others are seen. {}",
                self.loss()
            );
        }
        if let Some(fallback) = self.plan.fallback
            && fallback.behavior == FallbackBehavior::Hold
        {
            return format!(
                "`demand` has no answer. KEDA holds: what runs stays. At 0, `wake` starts one replica as soon as a queue that is seen has \
                 demand, and the fallback does after {}.",
                counted(fallback.after_failures.saturating_add(1), "failure")
            );
        }
        let demand = match self.plan.fallback {
            None => "What runs stays, and does not go to 0.".to_owned(),
            Some(_) => self.loss(),
        };
        format!(
            "`demand` has no answer. {demand} At 0, `wake` still starts one replica as soon as a queue that is seen has demand."
        )
    }

    /// Whether a loss asks for replicas beyond those that are there.
    fn asks_for_more(&self) -> bool {
        let fallback = self.plan.fallback;
        fallback.is_some_and(|fallback| fallback.behavior == FallbackBehavior::AtLeast)
    }

    fn operator(&self) -> String {
        let fallback = if self.asks_for_more() {
            " There is no fallback either: it is the operator that counts."
        } else {
            ""
        };
        if self.from_zero {
            format!(
                "The HPA has no metric and holds. Nothing wakes from 0, and nothing goes to 0.{fallback}"
            )
        } else {
            format!("The HPA has no metric and holds.{fallback}")
        }
    }

    fn metrics_server(&self) -> String {
        let fallback = if self.asks_for_more() {
            " There is no fallback: the HPA cannot hear it."
        } else {
            ""
        };
        if self.from_zero {
            format!(
                "The HPA has no metric and holds. KEDA still starts the first replica, and takes all of them when it is quiet.{fallback}"
            )
        } else {
            format!("The HPA has no metric and holds.{fallback}")
        }
    }

    /// The metrics are lost for longer than any patience.
    fn for_long(&self) -> String {
        let Some(fallback) = self.plan.fallback else {
            let mut text = "It holds for as long as it lasts; there is no fallback.".to_owned();
            if let Some(zero) = self.plan.scale_to_zero {
                text = format!(
                    "{text} If it lasts longer than {} and the first answer is 0, all replicas go at once: the cooldown ran meanwhile.",
                    short(zero.cooldown)
                );
            }
            return text;
        };
        if fallback.behavior == FallbackBehavior::Hold {
            let mut text =
                "It holds for as long as it lasts: the fallback counts as activity, and the cooldown begins when it ends."
                    .to_owned();
            let asleep = outage(self.plan, self.config, 0);
            if let Some((soonest, latest)) = asleep.first {
                text = format!(
                    "{text} At 0 it wakes after {} to {}, and stays at {} until there is an answer.",
                    short(soonest),
                    short(latest),
                    asleep.replicas
                );
            }
            return text;
        }
        let min = self.plan.workload.replicas.min();
        let running = outage(self.plan, self.config, min.max(1));
        let some = counted(min.max(1), "replica");
        let mut text = match running.first {
            Some((soonest, latest)) => format!(
                "From {some} it goes on after {} to {}, to {} in the end.",
                short(soonest),
                short(latest),
                running.replicas
            ),
            None => format!("From {some} nothing changes."),
        };
        if min == 0 {
            let asleep = outage(self.plan, self.config, 0);
            if let Some((soonest, latest)) = asleep.first {
                text = format!(
                    "{text} At 0 it wakes after {} to {}, and goes to {}: the fallback counts as activity.",
                    short(soonest),
                    short(latest),
                    asleep.replicas
                );
            }
        }
        format!("{text} More than {} stay.", fallback.replicas)
    }
}

/// How long is waited for the first change, in seconds. The fourth failure comes after a minute at the latest.
const LONGEST_PATIENCE: u64 = 90;

/// How an outage of all metrics ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Outage {
    /// The replicas, half an hour later.
    replicas: u32,
    /// When the number first changed, if it did, at the soonest and at the latest.
    first: Option<(Duration, Duration)>,
}

/// Plays half an hour without any answer, and how it begins at several phases of poll and look.
fn outage(plan: &Plan<'_>, config: &Config, from: u32) -> Outage {
    let half_an_hour = 1800;
    let (replicas, _) = play(plan, config, from, (15, 0), half_an_hour);
    // The HPA looks just after a poll, between two, just before one, and with one.
    let phases = [1, 8, 14, 15].into_iter();
    let phases = phases.flat_map(|first_sync| (0..30).map(move |at| (first_sync, at)));
    let first = phases.filter_map(|(first_sync, at)| {
        let (_, first) = play(plan, config, from, (first_sync, at), at + LONGEST_PATIENCE);
        Some(Duration::from_secs(first?.checked_sub(at)?))
    });
    Outage {
        replicas,
        first: first.fold(None, |range, first| {
            let (soonest, latest) = range.unwrap_or((first, first));
            Some((soonest.min(first), latest.max(first)))
        }),
    }
}

/// Plays so many seconds, with the HPA's first look and the beginning of the outage at these: the replicas in the end, and when their
/// number first changed.
fn play(
    plan: &Plan<'_>,
    config: &Config,
    from: u32,
    (first_sync, outage): (u64, u64),
    seconds: u64,
) -> (u32, Option<u64>) {
    let first_sync = Duration::from_secs(first_sync);
    let mut control_loop = ControlLoop::new(config.clone(), Duration::ZERO, first_sync);
    // What leaves the number as it is.
    let steady = Answer::Value(match config.hpa.targets.first() {
        Some(Target::AverageValue(threshold)) if from > 0 => {
            f64::from(from) * float(threshold.thousandths()) / 1000.0
        }
        Some(_) | None => 0.0,
    });
    let mut replicas = from;
    let mut first = None;
    for second in 0..seconds {
        let answer = if second < outage {
            steady
        } else {
            Answer::Error
        };
        let seen = Observation {
            pods: Pods::settled(replicas),
            answers: &vec![answer; plan.triggers.len()],
        };
        let next = control_loop
            .step(Duration::from_secs(second), &seen)
            .replicas;
        if next != replicas && first.is_none() {
            first = Some(second);
        }
        replicas = next;
    }
    (replicas, first)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control_loop::hpa::{Autoscaler, Reason, SYNC_PERIOD};
    use crate::control_loop::keda::Operator;
    use crate::explain::tests::worker;
    use crate::plan::plan;
    use crate::workload::{Version, Workload};

    fn for_keda(minor: u32, fields: &str) -> Workload {
        Workload {
            keda: Version::new(2, minor, 0),
            ..worker(fields)
        }
    }

    fn effect(fields: &str, what: &str) -> String {
        effect_of(&worker(fields), what)
    }

    fn effect_of(workload: &Workload, what: &str) -> String {
        let plan = plan(workload);
        let failures = failures(&plan, &Config::of(&plan));
        let found = failures.into_iter().find(|failure| failure.what == what);
        found.unwrap().effect
    }

    /// The replicas after half an hour of these answers.
    fn played(fields: &str, from: u32, answers: &[Answer]) -> u32 {
        played_of(&worker(fields), from, answers)
    }

    fn played_of(workload: &Workload, from: u32, answers: &[Answer]) -> u32 {
        let plan = plan(workload);
        assert_eq!(plan.triggers.len(), answers.len());
        let mut control_loop = ControlLoop::new(Config::of(&plan), Duration::ZERO, SYNC_PERIOD);
        (0..1800).fold(from, |replicas, second| {
            let seen = Observation {
                pods: Pods::settled(replicas),
                answers,
            };
            control_loop
                .step(Duration::from_secs(second), &seen)
                .replicas
        })
    }

    const NONE: &[Answer] = &[Answer::Error];

    #[test]
    fn a_hold_is_a_fallback_only_where_an_outage_could_scale_to_zero() {
        let at_least = |replicas| Some((replicas, FallbackBehavior::AtLeast));
        let holds = Some((1, FallbackBehavior::Hold));
        for (minor, fields, expected) in [
            (20, "replicas: {min: 0, max: 9}", holds),
            (21, "replicas: {min: 0, max: 9}", holds),
            (19, "replicas: {min: 0, max: 9}", None),
            (20, "replicas: {min: 1, max: 9}", None),
            (
                20,
                "replicas: {min: 0, max: 9}, onMetricsLoss: {replicas: 4}",
                at_least(4),
            ),
            (
                19,
                "replicas: {min: 2, max: 9}, onMetricsLoss: {replicas: 4}",
                at_least(4),
            ),
        ] {
            let workload = for_keda(minor, &format!("queues: [a], {fields}"));
            let fallback = plan(&workload).fallback;
            let found = fallback.map(|fallback| (fallback.replicas, fallback.behavior));
            assert_eq!(found, expected, "{minor} {fields}");
        }
    }

    #[test]
    fn without_a_fallback_a_loss_holds_every_number() {
        for (fields, says) in [
            (
                "queues: [a], replicas: {min: 0, max: 20}",
                "There is no answer. KEDA holds: 0 stays 0, and what runs stays.",
            ),
            (
                "queues: [a], replicas: {min: 2, max: 20}",
                "There is no answer. KEDA holds: the replicas stay as they are.",
            ),
        ] {
            let workload = for_keda(19, fields);
            assert_eq!(effect_of(&workload, "Prometheus"), says);
            for replicas in [0, 2, 7, 20] {
                if replicas > 0 || says.contains("0 stays 0") {
                    assert_eq!(played_of(&workload, replicas, NONE), replicas, "{fields}");
                }
            }
        }
    }

    #[test]
    fn a_hold_by_fallback_keeps_what_runs_and_starts_one_from_none() {
        let fields = "queues: [a], replicas: {min: 0, max: 20}";
        assert_eq!(
            effect(fields, "Prometheus"),
            "There is no answer. KEDA holds: what runs stays. At 0, one replica starts after 4 failures."
        );
        assert_eq!(
            effect(fields, "metrics, for long"),
            "It holds for as long as it lasts: the fallback counts as activity, and the cooldown begins when it ends. At 0 it wakes after 45s to \
             59s, and stays at 1 until there is an answer."
        );
        for (from, end) in [(0, 1), (1, 1), (7, 7), (20, 20)] {
            assert_eq!(played(fields, from, NONE), end, "from {from}");
        }
        assert_eq!(
            effect(fields, "KEDA's operator"),
            "The HPA has no metric and holds. Nothing wakes from 0, and nothing goes to 0."
        );
    }

    #[test]
    fn a_hold_by_fallback_begins_before_the_shortest_cooldown_ends() {
        let workload = worker("queues: [a], replicas: {min: 0, max: 20}, idleAfter: 1m");
        let plan = plan(&workload);
        let config = Config::of(&plan);
        let shortest = config.keda.cooldown;
        assert_eq!(shortest, Duration::from_mins(1));
        // The worst case: nothing but the polls counts. A poll that reads closed scalers would be a `Value(0.0)` here.
        let (_, latest) = outage(&plan, &config, 0).first.unwrap();
        assert!(latest < shortest, "{latest:?}");
        let mut operator = Operator::new(&config.keda, Duration::ZERO);
        let mut poll = |at, answer| {
            let now = Duration::from_secs(at);
            operator.poll(&config.keda, now, 7, &[answer]).replicas
        };
        assert_eq!(poll(15, Answer::Value(70.0)), 7);
        for at in (30..3600).step_by(15) {
            assert_eq!(poll(at, Answer::Error), 7, "{at} s");
        }
        // Three in a row are within the cooldown, which began with the last failure, and so is the first answer of none.
        for at in [3600, 3615, 3630] {
            assert_eq!(poll(at, Answer::Value(0.0)), 7, "{at} s");
        }
        assert_eq!(poll(3660, Answer::Value(0.0)), 0);
    }

    #[test]
    fn with_a_fallback_a_loss_goes_up_to_it_and_takes_nothing_away() {
        for (fields, replicas) in [
            (
                "queues: [a], replicas: {min: 0, max: 20}, onMetricsLoss: {replicas: 5}",
                vec![(0, 5), (1, 5), (5, 5), (9, 9), (20, 20)],
            ),
            (
                "queues: [a], replicas: {min: 2, max: 20}, onMetricsLoss: {replicas: 5}",
                vec![(2, 5), (9, 9)],
            ),
        ] {
            assert_eq!(
                effect(fields, "Prometheus"),
                "There is no answer. KEDA holds at first. After 4 failures it goes up to 5 replicas, and never below what is there."
            );
            for (from, end) in replicas {
                assert_eq!(played(fields, from, NONE), end, "{fields} from {from}");
            }
        }
    }

    #[test]
    fn the_times_of_a_fallback_are_those_of_the_model() {
        let fields = "queues: [a], replicas: {min: 0, max: 20}, onMetricsLoss: {replicas: 5}";
        assert_eq!(
            effect(fields, "metrics, for long"),
            "From 1 replica it goes on after 15s to 43s, to 5 in the end. At 0 it wakes after 45s to 59s, and goes to 5: \
             the fallback counts as activity. More than 5 stay."
        );
        let fields = "queues: [a], replicas: {min: 2, max: 20}, onMetricsLoss: {replicas: 5}";
        assert_eq!(
            effect(fields, "metrics, for long"),
            "From 2 replicas it goes on after 30s to 44s, to 5 in the end. More than 5 stay."
        );
    }

    #[test]
    fn an_outage_beyond_the_cooldown_ends_with_all_replicas_gone_if_the_first_answer_is_zero() {
        let workload = for_keda(
            19,
            "queues: [a], replicas: {min: 0, max: 20}, idleAfter: 3m",
        );
        let says = effect_of(&workload, "metrics, for long");
        assert!(
            says.contains(
                "If it lasts longer than 3m and the first answer is 0, all replicas go at once"
            ),
            "{says}"
        );
        let plan = plan(&workload);
        let config = Config::of(&plan);
        for (outage, end) in [(100, 7), (300, 0)] {
            let mut operator = Operator::new(&config.keda, Duration::ZERO);
            let mut poll = |at, answer| {
                let now = Duration::from_secs(at);
                operator.poll(&config.keda, now, 7, &[answer]).replicas
            };
            assert_eq!(poll(15, Answer::Value(70.0)), 7);
            assert_eq!(poll(30, Answer::Error), 7);
            assert_eq!(poll(30 + outage, Answer::Value(0.0)), end, "{outage} s");
        }
    }

    #[test]
    fn one_missing_queue_of_several_keeps_what_runs_and_lets_the_others_wake_one() {
        for (keda, says, asleep) in [
            (
                19,
                "What runs stays, and does not go to 0. At 0, `wake` still starts one replica as soon as a queue that is seen has demand.",
                0,
            ),
            (
                20,
                "KEDA holds: what runs stays. At 0, `wake` starts one replica as soon as a queue that is seen has demand, and the fallback \
                 does after 4 failures.",
                1,
            ),
        ] {
            let workload = for_keda(keda, "queues: [a, b], replicas: {min: 0, max: 20}");
            assert_eq!(
                effect_of(&workload, "one required queue"),
                format!("Renamed, obliterated or never made: `demand` has no answer. {says}")
            );
            let demand = &[Answer::Error, Answer::Value(500.0)];
            let quiet = &[Answer::Error, Answer::Value(0.0)];
            for (from, answers, end) in [
                (0, demand, 1),
                (1, demand, 1),
                (7, demand, 7),
                (0, quiet, asleep),
                (7, quiet, 7),
            ] {
                assert_eq!(
                    played_of(&workload, from, answers),
                    end,
                    "{from} {answers:?}"
                );
            }
        }
        let fields = "queues: [a, b], replicas: {min: 1, max: 20}";
        assert_eq!(
            effect(fields, "one required queue"),
            "Renamed, obliterated or never made: there is no answer, however well the others are seen. KEDA holds: the replicas \
             stay as they are."
        );
        assert_eq!(played(fields, 7, NONE), 7);
    }

    #[test]
    fn without_the_operator_or_the_metrics_server_the_hpa_holds() {
        let workload = worker("queues: [a], replicas: {min: 0, max: 20}");
        let plan = plan(&workload);
        let config = Config::of(&plan);
        let decision =
            Autoscaler::default().sync(&config.hpa, Duration::ZERO, Pods::settled(7), &[None]);
        assert_eq!((decision.replicas, decision.reason), (7, Reason::NoMetric));
        for what in ["KEDA's operator", "KEDA's metrics server"] {
            let says = effect("queues: [a], replicas: {min: 0, max: 20}", what);
            assert!(
                says.starts_with("The HPA has no metric and holds. "),
                "{says}"
            );
        }
    }

    #[test]
    fn an_optional_queue_and_a_second_server_are_told_of_only_where_there_are_any() {
        let fields =
            "queues: [a, {name: b, redis: other, optional: true}], replicas: {min: 1, max: 2}";
        assert!(effect(fields, "Redis").starts_with("If any of the 2 servers is down"));
        assert_eq!(
            effect(fields, "an optional queue"),
            "It counts as empty. Everything else goes on."
        );
        let workload = worker("queues: [a], replicas: {min: 1, max: 2}");
        let plan = plan(&workload);
        let failures = failures(&plan, &Config::of(&plan));
        assert!(
            failures
                .iter()
                .all(|failure| failure.what != "an optional queue")
        );
    }
}

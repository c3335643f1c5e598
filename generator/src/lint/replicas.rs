//! Bounds of the replicas and the times of the control loop, of a ScaledObject.
//!
//! Sources: <https://github.com/kedacore/keda/blob/v2.20.2/apis/keda/v1alpha1/scaledobject_types.go> (defaults and
//! `CheckReplicaCountBoundsAreValid`) and <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/executor/scale_scaledobjects.go>.

use super::object::{Kind, Object, at, get, items, truth, whole_at};
use super::trigger::Trigger;
use super::{DEFAULT_COOLDOWN, DEFAULT_POLLING};
use crate::document::Node;
use crate::problem::{Problem, Rule};

/// KEDA's `maxReplicaCount` where none is written.
pub(super) const DEFAULT_MAX: i64 = 100;
/// The shortest interval at which Prometheus is usually made to scrape, in seconds. The real one is not in a manifest.
const SCRAPE: i64 = 15;
/// The shortest scale-down window that outlives one wrong sample: two scrapes, and the HPA's own 15 s.
const LEAST_WINDOW: i64 = 2 * SCRAPE + 15;

/// The shortest cooldown to advise: a stalled job of BullMQ is seen after up to twice its lock of 30 s, and by a living worker only.
const ADVISED_COOLDOWN: i64 = 60;

/// The bounds as they are written.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds<'n> {
    pub(super) min: Option<(&'n Node, i64)>,
    pub(super) max: Option<(&'n Node, i64)>,
    idle: Option<(&'n Node, i64)>,
}

impl<'n> Bounds<'n> {
    pub(super) fn of(object: &Object<'n>) -> Self {
        let read = |name: &str| object.spec(&[]).and_then(|spec| whole_at(spec, &[name]));
        Self {
            min: read("minReplicaCount"),
            max: read("maxReplicaCount"),
            idle: read("idleReplicaCount"),
        }
    }

    /// The smallest number, KEDA's default filled in.
    pub(super) fn least(&self) -> i64 {
        self.min.map_or(0, |(_, min)| min)
    }

    /// The largest number, KEDA's default filled in.
    pub(super) fn most(&self) -> i64 {
        self.max.map_or(DEFAULT_MAX, |(_, max)| max)
    }

    /// Whether KEDA takes the last replica away, so that its own polls and cooldown count.
    pub(super) fn reaches_idle(&self) -> bool {
        self.least() == 0 || self.idle.is_some_and(|(_, idle)| idle == 0)
    }
}

/// Checks the bounds and times of a ScaledObject.
pub(super) fn check(object: &Object<'_>, problems: &mut Vec<Problem>) {
    let Some(spec) = get(object.node, "spec") else {
        return;
    };
    let bounds = Bounds::of(object);
    written(object, spec, &bounds, problems);
    order(&bounds, problems);
    idle(&bounds, problems);
    wake(object, &bounds, problems);
    times(object, spec, &bounds, problems);
    if object.kind == Kind::ScaledObject {
        behavior(object, spec, problems);
    }
}

fn written(object: &Object<'_>, spec: &Node, bounds: &Bounds<'_>, problems: &mut Vec<Problem>) {
    if get(spec, "minReplicaCount").is_none() {
        problems.push(
            Problem::new(
                Rule::ReplicasMinUnset,
                object.head(),
                "without `minReplicaCount` KEDA scales to zero",
                "no `minReplicaCount`",
                "write `minReplicaCount: 0` if that is meant, or `minReplicaCount: 1` to keep one worker",
            )
            .because("at zero nothing moves delayed, repeated or stalled jobs of BullMQ, unless the query counts what falls due"),
        );
    }
    if get(spec, "maxReplicaCount").is_none() {
        problems.push(
            Problem::new(
                Rule::ReplicasMaxUnset,
                object.head(),
                format!("without `maxReplicaCount` KEDA scales to {DEFAULT_MAX}"),
                "no `maxReplicaCount`",
                "write the most replicas that Redis, the database and the bill can take",
            )
            .because("a backlog, or one wrong sample, starts them all"),
        );
    }
    let unset = get(spec, "initialCooldownPeriod").is_none();
    if bounds.min.is_some() && bounds.reaches_idle() && unset {
        let (node, _) = bounds.idle.or(bounds.min).unzip();
        problems.push(
            Problem::new(
                Rule::InitialCooldownUnset,
                node.map_or(object.head(), |node| node.span),
                "replicas that run when this is applied may be gone at KEDA's first poll",
                "zero, and no `initialCooldownPeriod`",
                format!(
                    "write `initialCooldownPeriod: {}`, as much as the cooldown",
                    cooldown(spec)
                ),
            )
            .because("the cooldown counts from the last activity, and a new ScaledObject has seen none (kedacore/keda#5008)"),
        );
    }
}

/// The cooldown in seconds, KEDA's default filled in.
fn cooldown(spec: &Node) -> i64 {
    whole_at(spec, &["cooldownPeriod"]).map_or(DEFAULT_COOLDOWN, |(_, seconds)| seconds)
}

fn order(bounds: &Bounds<'_>, problems: &mut Vec<Problem>) {
    let Some((min_at, min)) = bounds.min else {
        return;
    };
    if min <= bounds.most() {
        return;
    }
    let (at, label) = match bounds.max {
        Some((max_at, max)) => (max_at.span, format!("{max} is below {min}")),
        None => (
            min_at.span,
            format!("above {DEFAULT_MAX}, which holds where no `maxReplicaCount` is written"),
        ),
    };
    let problem = Problem::new(
        Rule::ReplicasMaxBelowMin,
        at,
        "`maxReplicaCount` is below `minReplicaCount`, and the API server refuses the object",
        label,
        format!("write `maxReplicaCount: {min}` or more, or lower `minReplicaCount`"),
    );
    problems.push(match bounds.max {
        Some(_) => problem.related(min_at.span, "the smallest number of replicas"),
        None => problem,
    });
}

fn idle(bounds: &Bounds<'_>, problems: &mut Vec<Problem>) {
    let Some((at, idle)) = bounds.idle else {
        return;
    };
    // KEDA compares with at least 1 where a smallest number is written, and with 0 where none is.
    let least = bounds.min.map_or(0, |(_, min)| min.max(1));
    if idle >= least {
        problems.push(Problem::new(
            Rule::IdleReplicasNotBelowMin,
            at.span,
            "`idleReplicaCount` is not below `minReplicaCount`, and KEDA refuses the object",
            format!("{idle} is not below {least}"),
            "write `idleReplicaCount: 0` and a `minReplicaCount` of 1 or more, or remove it",
        ));
    } else if idle > 0 {
        problems.push(
            Problem::new(
                Rule::IdleReplicasNotZero,
                at.span,
                "KEDA and the HPA will undo each other's work at every sync",
                "not 0",
                "write `idleReplicaCount: 0`, or remove it and write the number as `minReplicaCount`",
            )
            .because("KEDA goes down to `idleReplicaCount`, and its HPA, whose smallest number is `minReplicaCount`, up again (kedacore/keda#2314)"),
        );
    }
}

/// KEDA's webhook refuses it (`verifyCPUMemoryScalers`).
fn wake(object: &Object<'_>, bounds: &Bounds<'_>, problems: &mut Vec<Problem>) {
    let mut triggers = Trigger::all(object).peekable();
    if triggers.peek().is_none() || bounds.least() > 0 {
        return;
    }
    if triggers.all(|trigger| trigger.is_resource()) {
        problems.push(
            Problem::new(
                Rule::ReplicasZeroWithoutWake,
                bounds.min.map_or(object.head(), |(node, _)| node.span),
                "nothing can wake this from zero, and KEDA refuses the object",
                "zero replicas, and cpu and memory alone",
                "write `minReplicaCount: 1`, or add a trigger that sees the queue",
            )
            .because("no pod uses cpu or memory where there is none"),
        );
    }
}

fn times(object: &Object<'_>, spec: &Node, bounds: &Bounds<'_>, problems: &mut Vec<Problem>) {
    let polling = whole_at(spec, &["pollingInterval"]);
    let prometheus = Trigger::all(object).any(|trigger| trigger.r#type == "prometheus");
    let cached = at(spec, &["triggers"])
        .into_iter()
        .flat_map(items)
        .any(|trigger| get(trigger, "useCachedMetrics").and_then(truth) == Some(true));
    if let Some((node, seconds)) = polling {
        if !bounds.reaches_idle() && !cached {
            problems.push(Problem::new(
                Rule::PollingIrrelevant,
                node.span,
                "`pollingInterval` decides nothing here, and KEDA's webhook says so too",
                "there is always a replica",
                "remove it: from one replica on, the HPA asks every 15 s",
            ));
        } else if seconds < SCRAPE && prometheus {
            problems.push(
                Problem::new(
                    Rule::PollingBelowScrape,
                    node.span,
                    format!("KEDA asks every {seconds} s for a number that changes with each scrape only"),
                    "shorter than most scrape intervals",
                    format!("write `pollingInterval: {SCRAPE}`, or the scrape interval if Prometheus scrapes this job more often"),
                )
                .because("between two scrapes the answer is the same, and each failed poll counts towards the fallback"),
            );
        }
    }
    let Some((node, seconds)) = whole_at(spec, &["cooldownPeriod"]) else {
        return;
    };
    let poll = polling.map_or(DEFAULT_POLLING, |(_, seconds)| seconds);
    let (scrape, and_a_scrape) = if prometheus {
        (SCRAPE, " and a scrape")
    } else {
        (0, "")
    };
    if !bounds.reaches_idle() {
        problems.push(Problem::new(
            Rule::CooldownIrrelevant,
            node.span,
            "`cooldownPeriod` decides nothing here, and KEDA's webhook says so too",
            "there is always a replica",
            "remove it, or slow the way down with `behavior.scaleDown`",
        ));
    } else if seconds < poll + scrape {
        problems.push(
            Problem::new(
                Rule::CooldownTooShort,
                node.span,
                "the last replica goes before a second sample could say otherwise",
                format!("less than a poll of {poll} s{and_a_scrape}"),
                format!("write `cooldownPeriod: {}` or more", ADVISED_COOLDOWN.max(2 * (poll + scrape))),
            )
            .because("one quiet moment between two jobs ends every replica at once, and the next job starts one again"),
        );
    }
}

fn behavior(object: &Object<'_>, spec: &Node, problems: &mut Vec<Problem>) {
    let config = at(spec, &["advanced", "horizontalPodAutoscalerConfig"]);
    let Some(behavior) = config.and_then(|config| get(config, "behavior")) else {
        // Where it stands in the wrong place, that is told.
        let misplaced =
            get(spec, "behavior").is_some() || at(spec, &["advanced", "behavior"]).is_some();
        if !misplaced {
            problems.push(
                Problem::new(
                    Rule::BehaviorUnset,
                    object.head(),
                    "without `behavior` replicas stay five minutes too long, and come by doubling",
                    "no `behavior`",
                    "write `advanced.horizontalPodAutoscalerConfig.behavior` with `scaleUp` and `scaleDown`; `bullmq-keda generate` shows one",
                )
                .because("the HPA then takes the largest wish of the last 300 s, also one from before the last scale to zero"),
            );
        }
        return;
    };
    let window = whole_at(behavior, &["scaleDown", "stabilizationWindowSeconds"]);
    if let Some((node, seconds)) = window
        && seconds < LEAST_WINDOW
        && Trigger::all(object).any(|trigger| trigger.r#type == "prometheus")
    {
        problems.push(
            Problem::new(
                Rule::BehaviorShortWindow,
                node.span,
                "a single low sample takes replicas away",
                format!("less than two scrapes and one sync of the HPA ({LEAST_WINDOW} s)"),
                "write `stabilizationWindowSeconds: 120`",
            )
            .because("what is taken away is started again a scrape later, with the time of a start lost and jobs interrupted"),
        );
    }
}

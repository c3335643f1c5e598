//! The fallback of a ScaledObject: what KEDA assumes while it cannot read a metric.
//!
//! Source: <https://github.com/kedacore/keda/blob/v2.20.2/pkg/fallback/fallback.go>, and for what happens until it starts
//! <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/executor/scale_scaledobjects.go> (`RequestScale`).

use super::object::{Object, at, get, text, whole_at};
use super::replicas::Bounds;
use super::trigger::Trigger;
use super::{Context, Version};
use crate::document::Node;
use crate::problem::{Problem, Rule, Severity};

/// Since when a fallback starts a workload that has no replicas: kedacore/keda#7239.
const WAKES: Version = Version::new(2, 19, 0);
/// Since when there is a choice of `behavior`: kedacore/keda#6450.
const BEHAVIOR: Version = Version::new(2, 17, 0);
/// Since when `behavior` may be `scalingModifiers`: <https://github.com/kedacore/keda/discussions/7366>.
const BEHAVIOR_MODIFIERS: Version = Version::new(2, 20, 0);

/// Checks the fallback of a ScaledObject.
pub(super) fn check(object: &Object<'_>, context: &Context<'_, '_>, problems: &mut Vec<Problem>) {
    let Some(fallback) = object.spec(&["fallback"]) else {
        return;
    };
    let bounds = Bounds::of(object);
    let triggers: Vec<Trigger<'_>> = Trigger::all(object).collect();
    replicas(fallback, &bounds, problems);
    threshold(fallback, problems);
    behavior(fallback, context, problems);
    modifiers(object, problems);
    from_zero(fallback, &bounds, context, problems);
    uses(object, fallback, &triggers, &bounds, problems);
}

fn replicas(fallback: &Node, bounds: &Bounds<'_>, problems: &mut Vec<Problem>) {
    let Some((node, replicas)) = whole_at(fallback, &["replicas"]) else {
        return;
    };
    let behavior = text(fallback, &["behavior"]).unwrap_or("static");
    if replicas == 0 {
        let (title, why) = if bounds.reaches_idle() {
            (
                "while Prometheus is away, this lets KEDA scale to zero instead of holding",
                "until the threshold is reached, KEDA holds on an error only where there is no fallback, or one with replicas",
            )
        } else if matches!(behavior, "static" | "currentReplicasIfLower") {
            (
                "while Prometheus is away, this takes the worker down to `minReplicaCount`",
                "KEDA gives the HPA a metric of 0, as if there were no job",
            )
        } else {
            return;
        };
        problems.push(
            Problem::new(
                Rule::FallbackZeroReplicas,
                node.span,
                title,
                "no replicas",
                "remove `fallback` to keep the replicas as they are, or write the number that a normal hour needs, with `behavior: currentReplicasIfHigher`",
            )
            .because(why),
        );
        return;
    }
    // The others do not use the number.
    if matches!(behavior, "currentReplicas" | "scalingModifiers") {
        return;
    }
    let (label, bound) = if replicas > bounds.most() {
        (
            format!("above the largest number, {}", bounds.most()),
            bounds.max,
        )
    } else if replicas < bounds.least() {
        (
            format!("below the smallest number, {}", bounds.least()),
            bounds.min,
        )
    } else {
        return;
    };
    let problem = Problem::new(
        Rule::FallbackOutsideBounds,
        node.span,
        "the HPA cuts this fallback to the bounds of the replicas",
        label,
        format!(
            "write a number from {} to {}",
            bounds.least().max(1),
            bounds.most()
        ),
    );
    problems.push(match bound {
        Some((bound, _)) => problem.related(bound.span, "the bound"),
        None => problem,
    });
}

fn threshold(fallback: &Node, problems: &mut Vec<Problem>) {
    if let Some((node, failures)) = whole_at(fallback, &["failureThreshold"])
        && (0..2).contains(&failures)
    {
        problems.push(
            Problem::new(
                Rule::FallbackLowThreshold,
                node.span,
                "one lost scrape or a restart of Prometheus is enough for the fallback",
                format!("starts at failure number {}", failures + 1),
                "write `failureThreshold: 3`",
            )
            .because("KEDA's polls and the HPA's requests every 15 s are counted alike, so 3 are under a minute"),
        );
    }
}

fn behavior(fallback: &Node, context: &Context<'_, '_>, problems: &mut Vec<Problem>) {
    let Some((node, written)) =
        at(fallback, &["behavior"]).and_then(|node| Some((node, node.text()?)))
    else {
        return;
    };
    let needed = if written == "scalingModifiers" {
        BEHAVIOR_MODIFIERS
    } else {
        BEHAVIOR
    };
    if context.options.keda < needed {
        problems.push(Problem::new(
            Rule::FallbackBehaviorUnsupported,
            node.span,
            format!("KEDA {} does not know this fallback behavior", context.options.keda),
            format!("since KEDA {needed}"),
            format!("update KEDA to {needed} or later, or remove `behavior`: the fallback is then always `replicas`"),
        ));
    }
}

fn modifiers(object: &Object<'_>, problems: &mut Vec<Problem>) {
    let Some(modifiers) = object.spec(&["advanced", "scalingModifiers"]) else {
        return;
    };
    let used = text(modifiers, &["formula"]).is_some_and(|formula| !formula.is_empty());
    let Some(target) = get(modifiers, "target") else {
        return;
    };
    let written = target.text().unwrap_or_default();
    if used && written.parse::<i64>().is_err() && written.parse::<f64>().is_ok() {
        problems.push(
            Problem::new(
                Rule::FallbackModifiersTarget,
                target.span,
                "with this target there is no fallback, and nothing says so",
                "not a whole number",
                "write a whole number, and scale the formula to it",
            )
            .because("KEDA takes the fallback for valid only if it can read the target as an integer (`HasValidFallback`)"),
        );
    }
}

fn from_zero(
    fallback: &Node,
    bounds: &Bounds<'_>,
    context: &Context<'_, '_>,
    problems: &mut Vec<Problem>,
) {
    let Some((node, replicas)) = whole_at(fallback, &["replicas"]) else {
        return;
    };
    if bounds.least() != 0 || replicas == 0 || context.options.keda < WAKES {
        return;
    }
    let behavior = text(fallback, &["behavior"]);
    // KEDA wakes to one, and this behavior keeps what is there.
    let keeps = behavior == Some("currentReplicas");
    // Whoever asks for "at least so many" or "what is there" in so many words has thought of it.
    let asked = keeps || behavior == Some("currentReplicasIfHigher");
    let started = if keeps || replicas == 1 {
        "one replica".to_owned()
    } else {
        format!("{replicas} replicas")
    };
    problems.push(
        Problem::new(
            Rule::FallbackWakesFromZero,
            node.span,
            format!("an outage of Prometheus starts {started} of a worker that had none"),
            "and `minReplicaCount` is 0",
            if keeps {
                "nothing: from KEDA 2.20 on it keeps what runs in an outage longer than the cooldown, and this is the price"
            } else if asked {
                "nothing, if that is meant; remove `fallback` to stay at zero until Prometheus is back"
            } else {
                "remove `fallback` to stay at zero until Prometheus is back; if replicas are meant, say so with `behavior: currentReplicasIfHigher`, and with `currentReplicas` if what runs is to stay"
            },
        )
        .because("since KEDA 2.19 a trigger in fallback is active (kedacore/keda#7239)")
        .severity(if asked { Severity::Info } else { Severity::Warning }),
    );
}

fn uses(
    object: &Object<'_>,
    fallback: &Node,
    triggers: &[Trigger<'_>],
    bounds: &Bounds<'_>,
    problems: &mut Vec<Problem>,
) {
    let modifiers = text(
        object.node,
        &["spec", "advanced", "scalingModifiers", "formula"],
    )
    .is_some_and(|formula| !formula.is_empty());
    if !modifiers && !triggers.is_empty() && triggers.iter().all(Trigger::is_resource) {
        problems.push(Problem::new(
            Rule::FallbackOnlyResourceMetrics,
            fallback.span,
            "cpu and memory cannot have a fallback, and KEDA refuses the object",
            "no other trigger",
            "remove `fallback`: the HPA itself holds while it cannot read these",
        ));
    }
    for trigger in triggers {
        if trigger.ignores_null_values() {
            let at = trigger
                .value("ignoreNullValues")
                .map_or(trigger.head(), |(node, _)| node.span);
            problems.push(
                Problem::new(
                    Rule::FallbackNeverUsed,
                    at,
                    "a missing metric does not start the fallback: it is taken for 0",
                    "`ignoreNullValues` is \"true\", also where none is written",
                    "write `ignoreNullValues: \"false\"`",
                )
                .because("the exporter down, a renamed metric, or a Prometheus that has just started give an empty answer and no error")
                .related(fallback.span, "this fallback"),
            );
        }
        if trigger.metric_type() == "Value" && bounds.least() == 0 {
            problems.push(
                Problem::new(
                    Rule::FallbackValueMetricAtZero,
                    get(trigger.node, "metricType").map_or(trigger.head(), |node| node.span),
                    "at zero ready pods this trigger has no fallback",
                    "`Value`, and `minReplicaCount` is 0",
                    "write `metricType: AverageValue` with a query for the number of jobs, or `minReplicaCount: 1`",
                )
                .because("KEDA divides by the ready pods to make a `Value` metric of the fallback, and gives up where there are none"),
            );
        }
    }
}

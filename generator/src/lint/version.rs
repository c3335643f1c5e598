//! Since when KEDA and Kubernetes have what an object uses.

use super::Options;
use super::object::{Kind, Object, at, entry, get};
use super::trigger::Trigger;
use crate::problem::{Problem, Rule, Span};
use crate::version::Version;
use crate::workload::KUBERNETES_WITH_TOLERANCE;

/// Fields of a ScaledObject by their path in `spec`, and since when KEDA has them, by its change log:
/// <https://github.com/kedacore/keda/blob/v2.20.2/CHANGELOG.md>.
const FIELDS: &[(&[&str], Version)] = &[
    (&["initialCooldownPeriod"], Version::new(2, 14, 0)),
    (&["advanced", "scalingModifiers"], Version::new(2, 12, 0)),
];
/// Metadata keys of the prometheus trigger, likewise.
const METADATA: &[(&str, Version)] = &[
    ("queryParameters", Version::new(2, 13, 0)),
    ("timeout", Version::new(2, 17, 0)),
];
/// Annotations of a ScaledObject, likewise.
const ANNOTATIONS: &[(&str, Version)] = &[
    (
        "autoscaling.keda.sh/force-activation",
        Version::new(2, 18, 0),
    ),
    (
        "scaledobject.keda.sh/hpa-excluded-labels",
        Version::new(2, 18, 0),
    ),
];
/// Since when a `Value` metric can have a fallback: kedacore/keda#6655.
const VALUE_FALLBACK: Version = Version::new(2, 18, 0);
/// Since when the HPA has `behavior.*.tolerance`, in beta and so switched on.
const TOLERANCE: Version = KUBERNETES_WITH_TOLERANCE;

/// Checks whether the targeted versions have what a ScaledObject uses.
pub(super) fn check(object: &Object<'_>, options: &Options, problems: &mut Vec<Problem>) {
    if object.kind != Kind::ScaledObject {
        return;
    }
    let Some(spec) = get(object.node, "spec") else {
        return;
    };
    let mut keda = |at: Span, what: String, since: Version, then: &str| {
        if options.keda < since {
            problems.push(Problem::new(
                Rule::VersionKedaTooOld,
                at,
                format!("KEDA {} does not have {what}", options.keda),
                format!("since KEDA {since}"),
                format!("update KEDA to {since} or later; until then it is {then}"),
            ));
        }
    };
    for (path, since) in FIELDS {
        let (last, way) = path.split_last().unzip();
        let found = way
            .and_then(|way| at(spec, way))
            .zip(last)
            .and_then(|(node, last)| entry(node, last));
        if let Some((key, _)) = found {
            keda(
                key.span,
                format!("`{}`", path.join(".")),
                *since,
                "dropped in silence",
            );
        }
    }
    for trigger in Trigger::all(object).filter(|trigger| trigger.r#type == "prometheus") {
        for (key, since) in METADATA {
            if let Some((node, _)) = trigger.value(key) {
                keda(
                    node.span,
                    format!("`{key}` in a prometheus trigger"),
                    *since,
                    "ignored in silence",
                );
            }
        }
        if trigger.metric_type() == "Value" && at(spec, &["fallback"]).is_some() {
            let node = get(trigger.node, "metricType").map_or(trigger.head(), |node| node.span);
            keda(
                node,
                "a fallback for a `Value` metric".to_owned(),
                VALUE_FALLBACK,
                "held as it is",
            );
        }
    }
    for (name, since) in ANNOTATIONS {
        for (key, _) in object
            .metadata("annotations")
            .iter()
            .filter(|(key, _)| key.text() == Some(name))
        {
            keda(
                key.span,
                format!("the annotation `{name}`"),
                *since,
                "ignored in silence",
            );
        }
    }
    let Some(kubernetes) = options.kubernetes else {
        return;
    };
    let behavior = at(
        spec,
        &["advanced", "horizontalPodAutoscalerConfig", "behavior"],
    );
    for direction in ["scaleUp", "scaleDown"] {
        let rules = behavior.and_then(|behavior| get(behavior, direction));
        if let Some((key, _)) = rules.and_then(|rules| entry(rules, "tolerance"))
            && kubernetes < TOLERANCE
        {
            problems.push(Problem::new(
                Rule::VersionKubernetesTooOld,
                key.span,
                format!("Kubernetes {kubernetes} drops `tolerance` unless its feature gate is on"),
                format!("switched on since Kubernetes {TOLERANCE}"),
                "remove it: the HPA then ignores changes within 10 %; or switch `HPAConfigurableTolerance` on",
            ));
        }
    }
}

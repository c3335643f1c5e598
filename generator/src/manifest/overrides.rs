//! `overrides`: a part of a manifest of KEDA, merged into the generated one last, and what it must not undo.
//!
//! The merge is that of <https://www.rfc-editor.org/rfc/rfc7386>: nothing removes a field, a list is replaced whole.

use serde_json::{Map, Value};

use super::{Manifest, SCALED_JOB};
use crate::document::{Kind, Node};
use crate::kinds::{self, Fault};
use crate::plan::Plan;
use crate::problem::{Problem, Rule, Span};
use crate::workload::tree;

/// Fields that the spec says, each with where it says it.
const OF_THE_SPEC: [(&[&str], &str); 7] = [
    (&["apiVersion"], "it is what the overrides are for"),
    (&["kind"], "`target.kind` decides it"),
    (&["status"], "KEDA writes it"),
    (&["metadata", "name"], "write the worker's `name`"),
    (&["metadata", "namespace"], "write the worker's `namespace`"),
    (&["spec", "scaleTargetRef"], "write the worker's `target`"),
    (
        &["spec", "jobTargetRef"],
        "change the file of `target.template`",
    ),
];

/// A fact that keeps a manifest safe: the place at which it is broken, why that is bad, what to write.
type Unsafe = (Vec<&'static str>, String, &'static str);

/// Merges a patch into a target.
pub(super) fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(target) = target.as_object_mut() else {
        return;
    };
    for (name, patch) in patch {
        if patch.is_null() {
            target.shift_remove(name);
        } else {
            merge(target.entry(name).or_insert(Value::Null), patch);
        }
    }
}

/// What is wrong with the overrides of a plan: fields that KEDA does not know, fields that the spec says, and facts of the finished
/// manifest that keep it safe.
pub(super) fn problems(plan: &Plan<'_>) -> Vec<Problem> {
    let Some(overrides) = plan.workload.overrides.as_deref() else {
        return Vec::new();
    };
    let type_name = match plan.workload.template {
        Some(_) => "keda.ScaledJob",
        None => "keda.ScaledObject",
    };
    let mut problems: Vec<Problem> = kinds::faults(overrides, type_name)
        .into_iter()
        .map(fault)
        .collect();
    for (path, help) in OF_THE_SPEC {
        if let Some(node) = at(overrides, path) {
            problems.push(Problem::new(
                Rule::OverridesOfTheSpec,
                node.span,
                format!("`{}` is not overridden", path.join(".")),
                "the spec says it elsewhere",
                help,
            ));
        }
    }
    if problems.is_empty() {
        let finished = Manifest::of(plan);
        problems.extend(
            unsafe_facts(&finished)
                .into_iter()
                .map(|(path, why, help)| {
                    Problem::new(
                        Rule::OverridesUnsafe,
                        deepest(overrides, &path),
                        format!(
                            "these overrides undo what keeps worker `{}` safe",
                            plan.workload.name
                        ),
                        why,
                        help,
                    )
                }),
        );
    }
    problems
}

fn fault((span, fault): (Span, Fault)) -> Problem {
    match fault {
        Fault::Unknown { name, meant, of } => Problem::new(
            Rule::OverridesUnknownField,
            span,
            format!("KEDA knows no field `{}` here", name.escape_debug()),
            format!("not a field of {of}"),
            match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "remove it: the API server would drop it in silence".to_owned(),
            },
        ),
        Fault::WrongType { takes } => Problem::new(
            Rule::OverridesWrongType,
            span,
            format!("this field of KEDA takes {takes}"),
            "of another kind",
            "write what KEDA takes here",
        ),
    }
}

/// The facts that a manifest of ours has by construction, and that this one has not.
fn unsafe_facts(manifest: &Manifest) -> Vec<Unsafe> {
    let mut found: Vec<Unsafe> = Vec::new();
    let object = &manifest.object;
    let spec = |name: &str| object.get("spec").and_then(|spec| spec.get(name));
    let number = |name: &str| spec(name).and_then(Value::as_i64);
    let mut refuse = |path: &[&'static str], why: &str, help: &'static str| {
        found.push((path.to_vec(), why.to_owned(), help));
    };
    let (min, max) = (number("minReplicaCount"), number("maxReplicaCount"));
    if min.is_none() {
        refuse(
            &["spec", "minReplicaCount"],
            "without it KEDA scales to zero",
            "write `replicas.min` of the worker instead",
        );
    }
    if max.is_none() {
        refuse(
            &["spec", "maxReplicaCount"],
            "without it KEDA scales to 100",
            "write `replicas.max` of the worker instead",
        );
    }
    if min > max && max.is_some() {
        let last = ["spec", "minReplicaCount"];
        refuse(
            &last,
            "`minReplicaCount` is above `maxReplicaCount`",
            "write the replicas of the worker instead",
        );
    }
    if manifest.kind != SCALED_JOB {
        if min == Some(0) && number("initialCooldownPeriod").is_none_or(|seconds| seconds == 0) {
            refuse(
                &["spec", "initialCooldownPeriod"],
                "running pods would go at the first poll",
                "write `idleAfter` of the worker instead",
            );
        }
        if number("idleReplicaCount").is_some_and(|idle| idle > 0) {
            refuse(
                &["spec", "idleReplicaCount"],
                "the HPA would set it back to the smallest number at once",
                "write 0, or leave it out",
            );
        }
        let fallback = spec("fallback").and_then(|fallback| fallback.get("replicas"));
        if fallback.and_then(Value::as_i64) == Some(0) {
            refuse(
                &["spec", "fallback", "replicas"],
                "an outage of the metrics would take busy pods away",
                "write `onMetricsLoss: {replicas: N}` of the worker with N from 1 on",
            );
        }
        let behavior = spec("advanced")
            .and_then(|advanced| advanced.get("horizontalPodAutoscalerConfig"))
            .and_then(|config| config.get("behavior"));
        if behavior.is_none() {
            refuse(
                &[
                    "spec",
                    "advanced",
                    "horizontalPodAutoscalerConfig",
                    "behavior",
                ],
                "the HPA would wait five minutes before it scales down, and double at most",
                "override single fields of `behavior`, not all of it",
            );
        }
    }
    found.extend(unsafe_triggers(object));
    found
}

fn unsafe_triggers(object: &Value) -> Vec<Unsafe> {
    let mut found: Vec<Unsafe> = Vec::new();
    let mut refuse = |why: &str, help: &'static str| {
        found.push((vec!["spec", "triggers"], why.to_owned(), help));
    };
    let triggers = object.get("spec").and_then(|spec| spec.get("triggers"));
    let triggers = triggers.and_then(Value::as_array);
    if triggers.is_none_or(Vec::is_empty) {
        refuse("nothing would scale", "leave the triggers as they are");
    }
    for trigger in triggers.into_iter().flatten() {
        if trigger.get("type").and_then(Value::as_str) != Some("prometheus") {
            continue;
        }
        let metadata = |name: &str| {
            let text = trigger
                .get("metadata")
                .and_then(|metadata| metadata.get(name));
            text.and_then(Value::as_str)
        };
        if metadata("ignoreNullValues") != Some("false") {
            refuse(
                "a lost metric would be 0 without `ignoreNullValues: \"false\"`",
                "add `ignoreNullValues: \"false\"` to the metadata of every prometheus trigger",
            );
        }
        if metadata("unsafeSsl").is_some_and(|unsafe_ssl| unsafe_ssl != "false") {
            refuse(
                "with `unsafeSsl` anybody can be Prometheus",
                "give the certificate of the authority under `prometheus.authentication.ca`",
            );
        }
    }
    found
}

/// The value at a path, if every field of it is given.
fn at<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(node, |node, name| {
        let Kind::Mapping(entries) = &node.kind else {
            return None;
        };
        let entry = entries.iter().find(|(key, _)| key.text() == Some(name));
        entry.map(|(_, value)| value.as_ref())
    })
}

/// The place of the deepest field of a path that is given.
fn deepest(node: &Node, path: &[&str]) -> Span {
    (0..=path.len())
        .rev()
        .find_map(|length| at(node, path.get(..length)?))
        .map_or(node.span, |node| node.span)
}

/// The overrides as a tree.
pub(super) fn patch(plan: &Plan<'_>) -> Option<Value> {
    plan.workload.overrides.as_deref().map(tree)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The examples of <https://www.rfc-editor.org/rfc/rfc7386#appendix-A>.
    #[test]
    fn the_merge_is_that_of_the_rfc() {
        for (target, patch, expected) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (
                json!({"a":"b","b":"c"}),
                json!({"a":null}),
                json!({"b":"c"}),
            ),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (
                json!({"a":{"b":"c"}}),
                json!({"a":{"b":"d","c":null}}),
                json!({"a":{"b":"d"}}),
            ),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (
                json!({}),
                json!({"a":{"bb":{"ccc":null}}}),
                json!({"a":{"bb":{}}}),
            ),
        ] {
            let mut merged = target.clone();
            merge(&mut merged, &patch);
            assert_eq!(merged, expected, "{target} {patch}");
        }
    }
}

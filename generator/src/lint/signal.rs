//! What an object scales on: the queries, keys and formulas of its triggers, each handed to the rules that are about it.
//!
//! Here is known where they were written and what stands around them; the rules know nothing of manifests.

use super::finding::Finding;
use super::object::{Kind, Object, at, entries, entry, get, items, text, whole_at};
use super::set::TargetRef;
use super::trigger::Trigger;
use super::{Context, metrics_api, modifiers, promql, redis};
use crate::document::{Kind as NodeKind, Node};
use crate::problem::{Problem, Rule, Span};
use crate::written::place;

/// Checks what every trigger of an object asks for, and what is made of the answers.
pub(super) fn check(object: &Object<'_>, context: &Context<'_, '_>, problems: &mut Vec<Problem>) {
    let triggers: Vec<Trigger<'_>> = Trigger::all(object).collect();
    let signal = Signal::of(object, context);
    for trigger in &triggers {
        match trigger.r#type {
            "prometheus" => query(&signal, trigger, &triggers, context, problems),
            "metrics-api" => endpoint(trigger, context, problems),
            r#type if r#type.starts_with("redis") => key(&signal, trigger, context, problems),
            _ => {}
        }
    }
    if object.kind == Kind::ScaledObject {
        formula(object, &triggers, context, problems);
    }
}

/// What the rules are told of the object in which a trigger stands.
struct Signal<'n> {
    kind: Kind,
    to_zero: bool,
    name: &'n str,
    target_kind: &'n str,
    target: Option<&'n str>,
    min: u32,
    max: Option<u32>,
    mentions_bull: bool,
    mentions_n8n: bool,
}

impl<'n> Signal<'n> {
    fn of(object: &Object<'n>, context: &Context<'_, '_>) -> Self {
        let scaled_job = object.kind == Kind::ScaledJob;
        let number = |field: &str| {
            let spec = get(object.node, "spec")?;
            let (_, number) = whole_at(spec, &[field])?;
            u32::try_from(number).ok()
        };
        let min = number("minReplicaCount").unwrap_or(0);
        let target = TargetRef::of(object);
        let mut words = Vec::new();
        add_words(object.node, &mut words);
        if let Some(target) = &target {
            for workload in context.set.workloads(target) {
                add_words(workload.node, &mut words);
            }
        }
        let mentions = |word: &str| words.iter().any(|text| text.to_lowercase().contains(word));
        Self {
            kind: object.kind,
            // A ScaledJob starts its jobs by the metric alone, however few are kept.
            to_zero: min == 0 || number("idleReplicaCount") == Some(0),
            name: object.name().unwrap_or("worker"),
            target_kind: object
                .spec(&["scaleTargetRef", "kind"])
                .and_then(Node::text)
                .unwrap_or("Deployment"),
            // The pods of a ScaledJob are called after it.
            target: target
                .map(|target| target.name)
                .or(scaled_job.then(|| object.name()).flatten()),
            min,
            max: number("maxReplicaCount"),
            mentions_bull: mentions("bull"),
            mentions_n8n: mentions("n8n"),
        }
    }
}

/// Every text in a node, keys and values.
fn add_words<'n>(node: &'n Node, words: &mut Vec<&'n str>) {
    match &node.kind {
        NodeKind::Scalar { text, .. } => words.push(text),
        NodeKind::Sequence(_) => {
            for item in items(node) {
                add_words(item, words);
            }
        }
        NodeKind::Mapping(_) => {
            for (key, value) in entries(node) {
                add_words(key, words);
                add_words(value, words);
            }
        }
    }
}

/// A finding in a text as a problem in the file where it was written.
fn told(finding: Finding, node: &Node, context: &Context<'_, '_>) -> Problem {
    let help = finding.sentence();
    let span = place(node, context.sources, finding.at);
    Problem::new(finding.rule, span, finding.title, finding.label, help).severity(finding.severity)
}

fn query(
    signal: &Signal<'_>,
    trigger: &Trigger<'_>,
    triggers: &[Trigger<'_>],
    context: &Context<'_, '_>,
    problems: &mut Vec<Problem>,
) {
    let Some((node, _)) = trigger.value("query") else {
        return;
    };
    let siblings: Vec<&str> = triggers
        .iter()
        .filter(|other| other.r#type == "prometheus" && !std::ptr::eq(other.node, trigger.node))
        .filter_map(|other| Some(other.value("query")?.1))
        .collect();
    let asked = promql::Context {
        null_is_zero: trigger.ignores_null_values(),
        to_zero: signal.to_zero,
        scaled_job: signal.kind == Kind::ScaledJob,
        target: signal.target,
        language: trigger
            .value("serverAddress")
            .map_or(promql::Language::PromQl, |(_, address)| language(address)),
        scrape_interval: None,
        siblings: &siblings,
    };
    for finding in promql::lint(node.text().unwrap_or_default(), asked) {
        let mut problem = told(finding, node, context);
        // Where the field is written, it is what has to be changed.
        if problem.rule == Rule::QueryNullIsZero
            && let Some((written, _)) = trigger.value("ignoreNullValues")
        {
            problem.at = written.span;
            "write `ignoreNullValues: \"false\"`: then no answer is an error, and KEDA holds"
                .clone_into(&mut problem.help);
        }
        problems.push(problem);
    }
}

/// The language of a server, as far as the usual names of `VictoriaMetrics` and the path of its cluster tell:
/// <https://docs.victoriametrics.com/victoriametrics/cluster-victoriametrics/#url-format>.
fn language(address: &str) -> promql::Language {
    let words = ["victoria", "vmselect", "vmsingle", "vmauth", "/select/"];
    if words.iter().any(|word| address.contains(word)) {
        promql::Language::MetricsQl
    } else {
        promql::Language::PromQl
    }
}

fn endpoint(trigger: &Trigger<'_>, context: &Context<'_, '_>, problems: &mut Vec<Problem>) {
    let Some((node, _)) = trigger.value("valueLocation") else {
        return;
    };
    let url = trigger.value("url").map_or("", |(_, url)| url);
    let format = trigger.value("format").map(|(_, format)| format);
    let findings = metrics_api::lint(node.text().unwrap_or_default(), url, format);
    problems.extend(
        findings
            .into_iter()
            .map(|finding| told(finding, node, context)),
    );
}

fn key(
    signal: &Signal<'_>,
    trigger: &Trigger<'_>,
    context: &Context<'_, '_>,
    problems: &mut Vec<Problem>,
) {
    let is_stream = trigger.r#type.contains("streams");
    let field = if is_stream { "stream" } else { "listName" };
    let Some((node, key)) = trigger.value(field) else {
        return;
    };
    let finding = redis::lint(&redis::Trigger {
        key,
        is_stream,
        list_length: trigger.value("listLength").map(|(_, length)| length),
        mentions_bull: signal.mentions_bull,
        mentions_n8n: signal.mentions_n8n,
        name: signal.name,
        target_kind: signal.target_kind,
        target: signal.target.unwrap_or(signal.name),
        min: signal.min,
        max: signal.max,
    });
    problems.extend(finding.map(|finding| told(finding, node, context)));
}

fn formula(
    object: &Object<'_>,
    triggers: &[Trigger<'_>],
    context: &Context<'_, '_>,
    problems: &mut Vec<Problem>,
) {
    let Some((key, written)) = object
        .spec(&["advanced"])
        .and_then(|advanced| entry(advanced, "scalingModifiers"))
    else {
        return;
    };
    let Some(node) = get(written, "formula") else {
        problems.push(missing(
            Rule::ModifiersFormulaMissing,
            key.span,
            "these scaling modifiers have no formula, and KEDA refuses the object",
            "add one, such as `formula: queue_a + queue_b`, or remove `scalingModifiers`",
        ));
        return;
    };
    let named: Vec<modifiers::Trigger<'_>> = triggers
        .iter()
        .map(|trigger| modifiers::Trigger {
            name: text(trigger.node, &["name"]).filter(|name| !name.is_empty()),
            is_resource: trigger.is_resource(),
        })
        .collect();
    let behavior = object
        .spec(&["fallback"])
        .and_then(|fallback| text(fallback, &["behavior"]));
    let coalesces = behavior == Some("scalingModifiers");
    for finding in modifiers::formula(node.text().unwrap_or_default(), &named, coalesces) {
        problems.push(told(finding, node, context));
    }
    match get(written, "target") {
        Some(node) => problems.extend(
            modifiers::target(node.text().unwrap_or_default())
                .map(|finding| told(finding, node, context)),
        ),
        None => problems.push(missing(
            Rule::ModifiersTargetNotPositive,
            key.span,
            "these scaling modifiers have no target, and KEDA refuses the object",
            "add what one replica is for, such as `target: \"10\"`",
        )),
    }
    for trigger in triggers {
        for (key, value) in at(trigger.node, &["metadata"]).map_or_else(Vec::new, entries) {
            let activation = key
                .text()
                .is_some_and(|name| name.starts_with("activation"));
            if activation && value.text().is_some_and(|value| value != "0") {
                problems.push(Problem::new(
                    Rule::ModifiersActivationIgnored,
                    key.span,
                    "this activation threshold is ignored: a formula stands above the trigger",
                    "not read beside `scalingModifiers`",
                    "write `activationTarget` under `scalingModifiers`, which the formula's result is compared to, and remove this",
                ));
            }
        }
    }
}

fn missing(rule: Rule, span: Span, title: &str, help: &str) -> Problem {
    Problem::new(rule, span, title, "missing here", help)
}

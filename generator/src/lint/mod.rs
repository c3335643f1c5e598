//! What is wrong, or unwise, with specs and manifests, ours or anyone's.
//!
//! One function, [`lint`]: the inputs are read as trees with positions, the objects that there are rules for are picked out of whatever
//! else was rendered with them, each is checked field by field and rule by rule, then all of them beside each other. Specs are checked as
//! `generate` checks them, and what they generate is linted with the rest. Nothing is asked of a cluster, so everything here is true of
//! the text alone.
//!
//! Every rule has a page in `docs/rules/`, whose examples are its test.

mod authentication;
mod fallback;
pub mod finding;
mod go;
mod metadata;
pub mod metrics_api;
pub mod modifiers;
mod object;
pub mod promql;
mod query;
pub mod redis;
mod replicas;
mod scaled_job;
mod schema;
mod set;
mod signal;
mod suppression;
mod trigger;
mod version;
mod workload;

use std::sync::Arc;

use crate::Input;
use crate::document::{self, Dialect, Documents, Node};
use crate::plan::Plan;
use crate::problem::{self, Problem, Rule, Severity, Source, Span};
use crate::workload::{Files, Workload};
use crate::{output, plan, spec};
use object::{Kind, Object, entries, get, items, text};
use set::{JobTime, Set};

pub use crate::version::{NotAVersion, Version};
pub use suppression::Suppressed;

/// KEDA's `pollingInterval` in seconds where none is written:
/// <https://github.com/kedacore/keda/blob/v2.20.2/apis/keda/v1alpha1/withtriggers_types.go>.
const DEFAULT_POLLING: i64 = 30;
/// KEDA's `cooldownPeriod` in seconds where none is written:
/// <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/executor/scale_executor.go>.
const DEFAULT_COOLDOWN: i64 = 300;

/// What the manifests are for.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// The KEDA that they are applied to.
    pub keda: Version,
    /// The Kubernetes that they are applied to, if it is known.
    pub kubernetes: Option<Version>,
}

impl Options {
    /// The KEDA whose code the rules were read in.
    pub const DEFAULT_KEDA: Version = Version::new(2, 20, 2);
}

impl Default for Options {
    fn default() -> Self {
        Self {
            keda: Self::DEFAULT_KEDA,
            kubernetes: None,
        }
    }
}

/// How an input came to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It was named.
    Named,
    /// It was found in a folder, where other things may lie too.
    Found,
}

/// One object that was checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// Where it stands.
    pub span: Span,
    /// Its kind, or `spec`.
    pub kind: &'static str,
    /// Its namespace, if it names one.
    pub namespace: Option<String>,
    /// Its name, if it has one.
    pub name: Option<String>,
}

/// What was found.
#[derive(Debug)]
pub struct Report {
    /// The findings that are told, in the order of inputs and lines.
    pub problems: Vec<Problem>,
    /// The findings that comments suppress.
    pub suppressed: Vec<Suppressed>,
    /// The texts that places point into: the inputs, then what specs among them generate.
    pub sources: Vec<Source>,
    /// What was checked.
    pub checked: Vec<Checked>,
}

impl Report {
    /// The findings of one severity.
    pub fn count(&self, severity: Severity) -> usize {
        let same = |problem: &&Problem| problem.severity == severity;
        self.problems.iter().filter(same).count()
    }
}

/// What a rule may look at beside its own object.
struct Context<'c, 'n> {
    options: &'c Options,
    set: &'c Set<'n>,
    /// The texts that places point into.
    sources: &'c [Source],
}

/// Lints all inputs together.
pub fn lint(inputs: Vec<(Input, Origin)>, options: &Options) -> Report {
    let mut problems = Vec::new();
    let mut sources = Vec::new();
    let mut documents = Vec::new();
    let mut origins = Vec::new();
    let mut specs = Vec::new();
    let mut spec_names = Vec::new();
    for (index, (input, origin)) in inputs.into_iter().enumerate() {
        let (text, problem) = document::decode(input.bytes, index);
        let mut read = match problem {
            None => document::read(&text, index, Dialect::MANIFESTS),
            Some(problem) => problem.into(),
        };
        braces(&text, index, &mut read);
        problems.append(&mut read.problems);
        sources.push(Source {
            name: input.name,
            text,
        });
        let before = specs.len();
        for root in &read.roots {
            if is_spec(root) {
                specs.push(Arc::clone(root));
            }
        }
        if specs.len() > before {
            spec_names.push(input.short_name);
        }
        documents.push(read);
        origins.push(origin);
    }
    let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
    let files = Files {
        names: &names,
        documents: &documents,
    };
    let templates = files.templates();
    let (jobs, generated) = generated(&specs, &files, &spec_names, &mut problems);
    let inputs_end = sources.len();
    if let Some(source) = generated {
        let mut read = document::read(&source.text, sources.len(), Dialect::MANIFESTS);
        problems.append(&mut read.problems);
        documents.push(read);
        origins.push(Origin::Named);
        sources.push(source);
    }
    let mut objects = Vec::new();
    for (index, (read, origin)) in documents.iter().zip(&origins).enumerate() {
        // What is in a template is checked where it is used.
        if templates.contains(&index) {
            continue;
        }
        for root in read.roots.iter().filter(|root| !is_spec(root)) {
            let mut found = Vec::new();
            collect(root, *origin, &mut found, &mut problems);
            if index >= inputs_end {
                // What a spec makes and the manifest that is committed beside it are one object, and the committed one is what is pointed at.
                let committed = |object: &Object<'_>| {
                    let mut others = objects.iter();
                    others.any(|other: &Object<'_>| is_same(other.node, object.node))
                };
                found.retain(|object| !committed(object));
            }
            objects.append(&mut found);
        }
    }
    let set = Set::new(objects, jobs);
    if set.objects.is_empty() && specs.is_empty() && problems.is_empty() {
        problems.push(nothing(sources.first()));
    }
    rules(&set, options, &sources, &mut problems);
    let mut checked: Vec<Checked> = set.objects.iter().map(checked).collect();
    checked.extend(specs.iter().map(|root| Checked {
        span: root.span,
        kind: "spec",
        namespace: None,
        name: None,
    }));
    let heads: Vec<Span> = checked.iter().map(|object| object.span).collect();
    let suppressed = suppression::apply(&mut problems, &sources, &heads);
    Report {
        problems: problem::in_order(problems),
        suppressed,
        sources,
        checked,
    }
}

fn rules(set: &Set<'_>, options: &Options, sources: &[Source], problems: &mut Vec<Problem>) {
    let context = Context {
        options,
        set,
        sources,
    };
    for object in &set.objects {
        schema::check(object, problems);
        if matches!(object.kind, Kind::ScaledObject | Kind::ScaledJob) {
            metadata::check(object, problems);
            authentication::check(object, &context, problems);
            signal::check(object, &context, problems);
        }
        if object.kind == Kind::ScaledObject {
            replicas::check(object, problems);
            fallback::check(object, &context, problems);
            version::check(object, options, problems);
        }
        if object.kind == Kind::ScaledJob {
            scaled_job::check(object, problems);
        }
    }
    set::check(set, problems);
    workload::check(set, problems);
}

fn checked(object: &Object<'_>) -> Checked {
    Checked {
        span: object.node.span,
        kind: object.kind.name(),
        namespace: object.namespace().map(ToOwned::to_owned),
        name: object.name().map(ToOwned::to_owned),
    }
}

/// Tells of a template in place of what the parser makes of it: text in double braces is no YAML, or a mapping that has a mapping for its
/// key.
fn braces(text: &str, source: usize, read: &mut Documents) {
    let Some(start) = text.find("{{") else {
        return;
    };
    let broken = |problem: &Problem| problem.rule == Rule::YamlSyntax;
    if !read.problems.iter().any(broken) && !read.roots.iter().any(|root| has_braces(root)) {
        return;
    }
    read.roots.retain(|root| !has_braces(root));
    read.problems.retain(|problem| !broken(problem));
    let end = text.get(start..).and_then(|rest| rest.find("}}"));
    read.problems.push(Problem::new(
        Rule::ManifestTemplate,
        Span {
            source,
            start,
            end: end.map_or(start + 2, |length| start + length + 2),
        },
        "this is a template, and what it renders was not checked",
        "filled in by a tool such as Helm",
        "render it first: `helm template . | bullmq-keda lint -`",
    ));
}

/// Whether double braces without quotes stand in it.
fn has_braces(node: &Node) -> bool {
    let nested = |node: &Node| matches!(node.kind, document::Kind::Mapping(_));
    items(node).any(has_braces)
        || entries(node)
            .iter()
            .any(|(key, value)| nested(key) || has_braces(value))
}

/// Whether a document is a spec of ours, of whatever version, or was meant as one.
fn is_spec(root: &Node) -> bool {
    match get(root, "apiVersion") {
        Some(version) => version
            .text()
            .is_some_and(|version| version.starts_with("bullmq-keda/")),
        None => get(root, "kind").is_none() && get(root, "workers").is_some(),
    }
}

/// Checks the specs as `generate` does, and generates their manifests if nothing is wrong with any.
fn generated(
    roots: &[Arc<Node>],
    files: &Files<'_>,
    names: &[String],
    problems: &mut Vec<Problem>,
) -> (Vec<JobTime>, Option<Source>) {
    let mut found = Vec::new();
    let specs: Vec<_> = roots
        .iter()
        .filter_map(|root| spec::read(root, &mut found))
        .collect();
    let workloads = crate::checked(&specs, files, &mut found);
    let plans: Vec<_> = workloads.iter().map(plan::plan).collect();
    // A Job ends by itself, however long it takes.
    let jobs = workloads
        .iter()
        .filter(|workload| workload.template.is_none())
        .filter_map(|workload| {
            Some(JobTime {
                target_kind: workload.target.kind.clone(),
                target_name: workload.target.name.clone(),
                namespace: workload.namespace.clone(),
                time: workload.job?,
                at: workload.span,
            })
        })
        .collect();
    let name = format!("<generated from {}>", names.join(", "));
    let wrong = !found.is_empty();
    problems.append(&mut found);
    if wrong || plans.is_empty() {
        return (jobs, None);
    }
    // The digest of a spec stands in a comment, and is nothing to lint.
    let generated = output::Generated {
        workers: plans
            .iter()
            .map(|plan| output::Worker::of(plan, None))
            .collect(),
        origins: names
            .iter()
            .map(|name| output::Origin::new(name, ""))
            .collect(),
    };
    match output::yaml(&generated) {
        Ok(text) => (jobs, Some(Source { name, text })),
        // A fault of the program, which `generate` tells.
        Err(error) => {
            let at = roots.first().map_or(start(0), |root| root.span);
            problems.push(Problem::new(
                Rule::ManifestNotAnObject,
                at,
                error.to_string(),
                "cannot be printed",
                "report this as a bug",
            ));
            (jobs, None)
        }
    }
}

/// What the overrides of a plan make wrong with its manifests, by the rules for everybody's: errors that are not there without them.
/// Warnings are told by [`lint`] only, because an override may be there for a reason that the spec does not know.
pub(crate) fn overrides(plan: &Plan<'_>) -> Vec<Problem> {
    let Some(overrides) = plan.workload.overrides.as_deref() else {
        return Vec::new();
    };
    let options = Options {
        keda: plan.workload.keda,
        kubernetes: plan.workload.kubernetes,
    };
    let bare = Workload {
        overrides: None,
        ..plan.workload.clone()
    };
    let without = alone(&plan::plan(&bare), &options);
    let known = |problem: &Problem| without.iter().any(|other| other.rule == problem.rule);
    alone(plan, &options)
        .into_iter()
        .filter(|problem| problem.severity == Severity::Error && !known(problem))
        .map(|problem| Problem {
            at: overrides.span,
            related: None,
            label: format!("with these overrides: {}", problem.label),
            ..problem
        })
        .collect()
}

/// What is said of the manifests of one plan, read as anybody would read them.
fn alone(plan: &Plan<'_>, options: &Options) -> Vec<Problem> {
    let generated = output::Generated {
        workers: vec![output::Worker::of(plan, None)],
        origins: Vec::new(),
    };
    // What cannot be printed is told where it is printed.
    let text = output::yaml(&generated).unwrap_or_default();
    let input = Input {
        name: String::new(),
        short_name: String::new(),
        bytes: text.into_bytes(),
    };
    lint(vec![(input, Origin::Named)], options).problems
}

const fn start(source: usize) -> Span {
    Span {
        source,
        start: 0,
        end: 0,
    }
}

/// Picks the objects that there are rules for out of a document: itself, or the items of a list.
fn collect<'n>(
    root: &'n Node,
    origin: Origin,
    objects: &mut Vec<Object<'n>>,
    problems: &mut Vec<Problem>,
) {
    let kind = get(root, "kind").and_then(Node::text);
    let api_version = get(root, "apiVersion");
    let (Some(kind), Some(api_version)) = (kind, api_version) else {
        problems.push(not_an_object(root, origin));
        return;
    };
    if kind == "List" {
        for item in get(root, "items").into_iter().flat_map(items) {
            collect(item, origin, objects, problems);
        }
        return;
    }
    let group = api_version.text().unwrap_or_default();
    if let Some(kind) = Kind::from_name(kind).filter(|kind| is_of_group(*kind, group)) {
        objects.push(Object {
            kind,
            node: root,
            api_version,
        });
    }
}

/// Whether two trees say the same, in whatever style. `"1"` and `1` are not told apart: what is in a manifest is checked by other rules.
fn is_same(one: &Node, other: &Node) -> bool {
    use document::Kind::{Mapping, Scalar, Sequence};
    match (&one.kind, &other.kind) {
        (Scalar { text: one, .. }, Scalar { text: other, .. }) => one == other,
        (Sequence(one), Sequence(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(a, b)| is_same(a, b))
        }
        (Mapping(one), Mapping(other)) => {
            one.len() == other.len()
                && one
                    .iter()
                    .zip(other)
                    .all(|(a, b)| is_same(&a.0, &b.0) && is_same(&a.1, &b.1))
        }
        _ => false,
    }
}

/// Whether the kind of this group is the one that we know: others have kinds of the same name.
fn is_of_group(kind: Kind, api_version: &str) -> bool {
    let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
    match kind {
        Kind::ScaledObject
        | Kind::ScaledJob
        | Kind::TriggerAuthentication
        | Kind::ClusterTriggerAuthentication => group.contains("keda"),
        Kind::Deployment | Kind::StatefulSet => matches!(group, "apps" | "extensions" | ""),
        Kind::HorizontalPodAutoscaler => group == "autoscaling",
        Kind::PodDisruptionBudget => group == "policy",
        Kind::ApiService => group == "apiregistration.k8s.io",
    }
}

fn not_an_object(root: &Node, origin: Origin) -> Problem {
    let missing = match (get(root, "apiVersion"), get(root, "kind")) {
        _ if entries(root).is_empty() => "found no mapping with fields",
        (None, None) => "no `apiVersion` and no `kind`",
        (None, Some(_)) => "no `apiVersion`",
        (Some(_), _) => "no `kind`",
    };
    let first = entries(root).first().map_or(root.span, |(key, _)| key.span);
    let values =
        text(root, &["image", "repository"]).is_some() || get(root, "replicaCount").is_some();
    let rules = get(root, "groups").is_some_and(|groups| items(groups).next().is_some());
    Problem::new(
        Rule::ManifestNotAnObject,
        first,
        "this document is no object of Kubernetes and no spec, and was not checked",
        missing,
        if rules {
            "this looks like a rule file of Prometheus, which `promtool check rules FILE` checks"
        } else if values {
            "these look like a chart's values: render the chart, `helm template . -f FILE | bullmq-keda lint -`"
        } else {
            "give manifests, or a spec that begins with `apiVersion: bullmq-keda/v1`"
        },
    )
    .severity(match origin {
        // Nobody meant it to be a manifest.
        Origin::Named if rules => Severity::Info,
        Origin::Named => Severity::Warning,
        Origin::Found => Severity::Info,
    })
}

fn nothing(first: Option<&Source>) -> Problem {
    let at = first.map_or(0, |source| {
        source.text.len() - source.text.trim_start().len()
    });
    Problem::new(
        Rule::ManifestNothingToCheck,
        Span {
            source: 0,
            start: at,
            end: at,
        },
        "there is nothing here that could be checked",
        "no spec, no object of KEDA, and nothing that KEDA scales",
        "give the rendered manifests; what comes before a pipe may have failed and printed nothing",
    )
}

//! Objects beside each other: names that collide, two that scale one target, what a deployment tool and KEDA both write.
//!
//! Sources: <https://github.com/kedacore/keda/blob/v2.20.2/apis/keda/v1alpha1/scaledobject_webhook.go> (`verifyName`, `verifyHpas`,
//! `verifyScaledObjects`) and <https://github.com/kedacore/keda/blob/v2.20.2/controllers/keda/hpa.go> (`newHPAForScaledObject`). KEDA's
//! webhook compares with the cluster, and only where it runs; here it is the rendered set that is compared.

use std::collections::HashMap;
use std::time::Duration;

use super::go;
use super::object::{Kind, Object, at, entries, get, text};
use crate::document::Node;
use crate::problem::{Problem, Rule, Severity, Span};

/// The longest name of an object that becomes the value of a label.
const LONGEST_NAME: usize = 63;
/// What KEDA puts before the ScaledObject's name to name its HPA.
const HPA_PREFIX: &str = "keda-hpa-";

/// Everything that was rendered together, with the ways in which objects name each other: a rendered cluster has thousands of them.
#[derive(Debug, Default)]
pub(super) struct Set<'n> {
    pub(super) objects: Vec<Object<'n>>,
    /// How long jobs take, as specs among the inputs tell.
    pub(super) jobs: Vec<JobTime>,
    scalers: HashMap<TargetRef<'n>, Vec<Object<'n>>>,
    workloads: HashMap<TargetRef<'n>, Vec<Object<'n>>>,
    authentications: HashMap<&'n str, Vec<Object<'n>>>,
    /// Budgets by each label that they ask for.
    budgets: HashMap<(&'n str, &'n str), Vec<Object<'n>>>,
    job_times: HashMap<String, Vec<JobTime>>,
}

/// How long the jobs of a target take.
#[derive(Clone, Debug)]
pub(super) struct JobTime {
    pub(super) target_kind: String,
    pub(super) target_name: String,
    pub(super) namespace: Option<String>,
    pub(super) time: Duration,
    /// The worker in its spec.
    pub(super) at: Span,
}

/// What a ScaledObject or an HPA scales.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct TargetRef<'n> {
    group: &'n str,
    kind: &'n str,
    pub(super) name: &'n str,
}

impl<'n> TargetRef<'n> {
    /// The target of an object, KEDA's defaults filled in.
    pub(super) fn of(object: &Object<'n>) -> Option<Self> {
        let reference = object.spec(&["scaleTargetRef"])?;
        let given = |name: &str| text(reference, &[name]).filter(|text| !text.is_empty());
        let kind = given("kind").unwrap_or("Deployment");
        let api_version = given("apiVersion").unwrap_or("apps/v1");
        Some(Self {
            group: api_version.split_once('/').map_or("", |(group, _)| group),
            kind,
            name: given("name")?,
        })
    }

    /// A workload as a target.
    fn to(workload: &Object<'n>) -> Option<Self> {
        Some(Self {
            group: "apps",
            kind: workload.kind.name(),
            name: workload.name()?,
        })
    }
}

impl<'n> Set<'n> {
    /// The set of these objects.
    pub(super) fn new(objects: Vec<Object<'n>>, jobs: Vec<JobTime>) -> Self {
        let mut set = Self::default();
        for object in &objects {
            match object.kind {
                Kind::ScaledObject => {
                    if let Some(target) = TargetRef::of(object) {
                        set.scalers.entry(target).or_default().push(*object);
                    }
                }
                Kind::Deployment | Kind::StatefulSet => {
                    if let Some(target) = TargetRef::to(object) {
                        set.workloads.entry(target).or_default().push(*object);
                    }
                }
                Kind::TriggerAuthentication | Kind::ClusterTriggerAuthentication => {
                    if let Some(name) = object.name() {
                        set.authentications.entry(name).or_default().push(*object);
                    }
                }
                Kind::PodDisruptionBudget => {
                    for label in wanted(object) {
                        set.budgets.entry(label).or_default().push(*object);
                    }
                }
                Kind::ScaledJob | Kind::HorizontalPodAutoscaler | Kind::ApiService => {}
            }
        }
        for job in &jobs {
            let of_name = set.job_times.entry(job.target_name.clone()).or_default();
            of_name.push(job.clone());
        }
        set.objects = objects;
        set.jobs = jobs;
        set
    }

    fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &Object<'n>> {
        self.objects
            .iter()
            .filter(move |object| object.kind == kind)
    }

    /// The ScaledObjects of a target, in whatever namespace.
    fn scalers(&self, target: &TargetRef<'n>) -> impl Iterator<Item = &Object<'n>> {
        self.scalers.get(target).into_iter().flatten()
    }

    /// The ScaledObjects that scale a workload.
    pub(super) fn scalers_of<'s>(
        &'s self,
        workload: &'s Object<'n>,
    ) -> impl Iterator<Item = &'s Object<'n>> {
        let target = TargetRef::to(workload);
        let of_target = target.and_then(|target| self.scalers.get(&target));
        let all = of_target.into_iter().flatten();
        all.filter(move |scaled| scaled.may_share_namespace(workload))
    }

    /// The workloads that are a target, in whatever namespace.
    pub(super) fn workloads(&self, target: &TargetRef<'n>) -> impl Iterator<Item = &Object<'n>> {
        self.workloads.get(target).into_iter().flatten()
    }

    /// What a trigger may authenticate with, by its name, of either kind and in whatever namespace.
    pub(super) fn authentications(&self, name: &str) -> impl Iterator<Item = &Object<'n>> {
        self.authentications.get(name).into_iter().flatten()
    }

    /// The disruption budgets that ask for one of these labels.
    pub(super) fn budgets(&self, labels: &[(&'n str, &'n str)]) -> Vec<&Object<'n>> {
        let found = labels.iter().filter_map(|label| self.budgets.get(label));
        let mut found: Vec<&Object<'n>> = found.flatten().collect();
        found.sort_by_key(|object| object.node.span);
        found.dedup_by_key(|object| object.node.span);
        found
    }

    /// How long the jobs of a workload take, if a spec tells.
    pub(super) fn job_time(&self, workload: &Object<'_>) -> Option<&JobTime> {
        self.job_times.get(workload.name()?)?.iter().find(|job| {
            job.target_kind == workload.kind.name()
                && (job.namespace.is_none()
                    || workload.namespace().is_none()
                    || job.namespace.as_deref() == workload.namespace())
        })
    }
}

/// The labels that a budget asks for. Expressions are not read: who uses them is given the benefit of the doubt.
pub(super) fn wanted<'n>(budget: &Object<'n>) -> Vec<(&'n str, &'n str)> {
    let labels = budget.spec(&["selector", "matchLabels"]);
    labels.map_or_else(Vec::new, pairs)
}

/// Labels as pairs of texts.
pub(super) fn pairs(labels: &Node) -> Vec<(&str, &str)> {
    let entries = entries(labels).into_iter();
    entries
        .filter_map(|(key, value)| Some((key.text()?, value.text()?)))
        .collect()
}

/// Checks what objects mean together.
pub(super) fn check(set: &Set<'_>, problems: &mut Vec<Problem>) {
    names(set, problems);
    targets(set, problems);
    second_hpa(set, problems);
    external_metrics(set, problems);
    for object in set.of_kind(Kind::ScaledObject) {
        copied(object, problems);
    }
    for object in &set.objects {
        if matches!(object.kind, Kind::ScaledObject | Kind::ScaledJob) {
            paused(object, problems);
        }
        if matches!(object.kind, Kind::Deployment | Kind::StatefulSet) {
            fixed_replicas(object, set, problems);
        }
    }
}

fn names(set: &Set<'_>, problems: &mut Vec<Problem>) {
    let mut seen: HashMap<(Kind, Option<&str>, &str), Span> = HashMap::new();
    for object in &set.objects {
        let Some(node) = at(object.node, &["metadata", "name"]) else {
            continue;
        };
        let Some(name) = node.text() else {
            continue;
        };
        if object.kind == Kind::ScaledObject || object.kind == Kind::ScaledJob {
            name_of(object, name, node.span, problems);
        }
        if let Some(first) = seen.insert((object.kind, object.namespace(), name), node.span) {
            let problem = Problem::new(
                Rule::NameDuplicate,
                node.span,
                format!(
                    "two {}s are called `{}`",
                    object.kind.name(),
                    name.escape_debug()
                ),
                "the one applied last overwrites the other",
                "give each a name of its own in its namespace",
            );
            problems.push(problem.related(first, "the first one"));
        }
    }
}

fn name_of(object: &Object<'_>, name: &str, span: Span, problems: &mut Vec<Problem>) {
    let hpa = text(
        object.node,
        &["spec", "advanced", "horizontalPodAutoscalerConfig", "name"],
    )
    .filter(|name| !name.is_empty());
    let edge =
        |byte: Option<&u8>| byte.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let inside =
        |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    let bytes = name.as_bytes();
    if !(edge(bytes.first()) && edge(bytes.last()) && bytes.iter().copied().all(inside)) {
        problems.push(Problem::new(
            Rule::NameInvalid,
            span,
            format!(
                "`{}` is not a name that Kubernetes takes",
                name.escape_debug()
            ),
            "not a DNS name",
            "write lower case letters, digits and `-`, beginning and ending with a letter or digit",
        ));
    }
    let longest = if object.kind == Kind::ScaledObject && hpa.is_none() {
        LONGEST_NAME - HPA_PREFIX.len()
    } else {
        LONGEST_NAME
    };
    if name.len() > longest {
        problems.push(
            Problem::new(
                Rule::NameTooLong,
                span,
                format!("the name of this {} is too long, and KEDA refuses it", object.kind.name()),
                format!("{} characters, and at most {longest} are possible", name.len()),
                if longest < LONGEST_NAME {
                    "shorten it, or name the HPA in `advanced.horizontalPodAutoscalerConfig.name`"
                } else {
                    "shorten it"
                },
            )
            .because(if longest < LONGEST_NAME {
                "KEDA calls its HPA `keda-hpa-` and this name, and both become values of labels, which take 63 characters"
            } else {
                "the name becomes the value of a label, which takes 63 characters"
            }),
        );
    }
}

fn targets(set: &Set<'_>, problems: &mut Vec<Problem>) {
    let mut scaled: HashMap<(Option<&str>, TargetRef<'_>), &Object<'_>> = HashMap::new();
    let mut hpas: HashMap<(Option<&str>, String), (Span, &Object<'_>)> = HashMap::new();
    for object in set.of_kind(Kind::ScaledObject) {
        let reference = object
            .spec(&["scaleTargetRef", "name"])
            .map_or(object.head(), |node| node.span);
        if let Some(target) = TargetRef::of(object)
            && let Some(first) = scaled.insert((object.namespace(), target.clone()), object)
            && first.name() != object.name()
        {
            let problem = Problem::new(
                Rule::TargetDuplicate,
                reference,
                format!(
                    "two ScaledObjects scale the {} `{}`",
                    target.kind.escape_debug(),
                    target.name.escape_debug()
                ),
                "KEDA refuses a second ScaledObject for one target",
                "put the triggers of both into one ScaledObject: the HPA takes the largest wish",
            );
            let first = first
                .spec(&["scaleTargetRef", "name"])
                .map_or(first.head(), |node| node.span);
            problems.push(problem.related(first, "the first one"));
        }
        let config = object.spec(&["advanced", "horizontalPodAutoscalerConfig", "name"]);
        let named = config.and_then(|node| Some((node.span, node.text()?.to_owned())));
        let (span, name) = match named.filter(|(_, name)| !name.is_empty()) {
            Some(named) => named,
            None => match object.name() {
                Some(name) => (object.head(), format!("{HPA_PREFIX}{name}")),
                None => continue,
            },
        };
        // Two of one name have been told, and so want one HPA.
        if let Some((first, other)) =
            hpas.insert((object.namespace(), name.clone()), (span, object))
            && other.name() != object.name()
        {
            let problem = Problem::new(
                Rule::HpaNameDuplicate,
                span,
                format!("two ScaledObjects want the HPA `{}`", name.escape_debug()),
                "KEDA refuses the second",
                "give each HPA a name of its own, or none: KEDA then names it after the ScaledObject",
            );
            problems.push(problem.related(first, "the first one"));
        }
    }
}

fn second_hpa(set: &Set<'_>, problems: &mut Vec<Problem>) {
    for hpa in set.of_kind(Kind::HorizontalPodAutoscaler) {
        // The HPA may say that it is not KEDA's business.
        if hpa.annotation("validations.keda.sh/hpa-ownership") == Some("false") {
            continue;
        }
        let Some(target) = TargetRef::of(hpa) else {
            continue;
        };
        let scaled = set
            .scalers(&target)
            .find(|scaled| scaled.may_share_namespace(hpa));
        let Some(scaled) = scaled else {
            continue;
        };
        let handed_over = scaled.annotation("scaledobject.keda.sh/transfer-hpa-ownership")
            == Some("true")
            && text(
                scaled.node,
                &["spec", "advanced", "horizontalPodAutoscalerConfig", "name"],
            ) == hpa.name();
        if handed_over {
            continue;
        }
        problems.push(
            Problem::new(
                Rule::HpaSecond,
                hpa.head(),
                format!(
                    "this HPA and KEDA's own both scale the {} `{}`",
                    target.kind.escape_debug(),
                    target.name.escape_debug()
                ),
                "a second HPA for one target",
                "remove it: what it measures, such as cpu, becomes one more trigger of the ScaledObject",
            )
            .because("KEDA makes an HPA of every ScaledObject; two of them set the replicas in turns, and KEDA's webhook, where it runs, refuses the ScaledObject")
            .related(scaled.head(), "the ScaledObject"),
        );
    }
}

fn external_metrics(set: &Set<'_>, problems: &mut Vec<Problem>) {
    for service in set.of_kind(Kind::ApiService) {
        let Some("v1beta1.external.metrics.k8s.io") = service.name() else {
            continue;
        };
        let Some(node) = service.spec(&["service", "name"]) else {
            continue;
        };
        let owner = node.text().unwrap_or_default();
        if owner.contains("keda") {
            continue;
        }
        problems.push(
            Problem::new(
                Rule::ExternalMetricsOtherProvider,
                node.span,
                format!("`{}` takes the API by which KEDA gives the HPA its metrics", owner.escape_debug()),
                "not KEDA's metrics server",
                "switch external metrics off in that adapter; custom metrics (`custom.metrics.k8s.io`) may stay",
            )
            .because("a cluster has one owner of `v1beta1.external.metrics.k8s.io`; with another one KEDA still goes from 0 to 1, and no further"),
        );
    }
}

/// Labels by which deployment tools know what they own.
const TRACKING_LABELS: &[(&str, Severity)] = &[
    ("argocd.argoproj.io/instance", Severity::Warning),
    ("kustomize.toolkit.fluxcd.io/name", Severity::Warning),
    ("kustomize.toolkit.fluxcd.io/namespace", Severity::Warning),
    ("helm.toolkit.fluxcd.io/name", Severity::Warning),
    ("helm.toolkit.fluxcd.io/namespace", Severity::Warning),
    // Every chart of Helm writes it, and only an Argo CD that tracks by label takes it for its own.
    ("app.kubernetes.io/instance", Severity::Info),
];
/// Annotations that mean the object on which they stand, and no copy of it.
const OWN_ANNOTATIONS: &[&str] = &[
    "argocd.argoproj.io/tracking-id",
    "argocd.argoproj.io/hook",
    "argocd.argoproj.io/sync-options",
    "argocd.argoproj.io/compare-options",
    "helm.sh/hook",
    "helm.sh/resource-policy",
    "kubectl.kubernetes.io/last-applied-configuration",
];

fn copied(object: &Object<'_>, problems: &mut Vec<Problem>) {
    let excluded = object
        .annotation("scaledobject.keda.sh/hpa-excluded-labels")
        .unwrap_or_default();
    for (key, _) in object.metadata("labels") {
        let name = key.text().unwrap_or_default();
        // KEDA compares as it is written: a blank after the comma belongs to the name.
        if excluded.split(',').any(|excluded| excluded == name) {
            continue;
        }
        if let Some((_, severity)) = TRACKING_LABELS.iter().find(|(label, _)| *label == name) {
            let list = if excluded.is_empty() {
                name.to_owned()
            } else {
                format!("{excluded},{name}")
            };
            problems.push(
                Problem::new(
                    Rule::GitopsTrackingLabel,
                    key.span,
                    format!("KEDA copies `{name}` to its HPA, and the tool that tracks by it prunes the HPA"),
                    "copied to the HPA",
                    format!("add the annotation `scaledobject.keda.sh/hpa-excluded-labels: \"{list}\"` (KEDA 2.18 or later)"),
                )
                .because("the tool finds an object with its label that is in no repository")
                .severity(*severity),
            );
        }
    }
    for (key, _) in object.metadata("annotations") {
        let name = key.text().unwrap_or_default();
        if OWN_ANNOTATIONS.contains(&name) {
            problems.push(
                Problem::new(
                    Rule::GitopsAnnotationCopied,
                    key.span,
                    format!("KEDA copies `{name}` to its HPA, where it means another object"),
                    "copied to the HPA",
                    "remove it from the ScaledObject; there is no list of annotations to leave out",
                )
                .because(
                    "all annotations of a ScaledObject are copied, unlike labels without exception",
                ),
            );
        }
    }
}

fn paused(object: &Object<'_>, problems: &mut Vec<Problem>) {
    for (key, value) in object.metadata("annotations") {
        let name = key.text().unwrap_or_default();
        let effect = match name {
            "autoscaling.keda.sh/paused-replicas" => {
                "sets this many replicas and then scales no more"
            }
            "autoscaling.keda.sh/paused" => "scales no more",
            "autoscaling.keda.sh/paused-scale-in" => "takes no replica away any more",
            "autoscaling.keda.sh/paused-scale-out" => "starts no replica any more",
            _ => continue,
        };
        // Whatever Go does not read as false pauses.
        let off = value
            .text()
            .is_some_and(|text| go::truth(text) == Some(false));
        if off && name != "autoscaling.keda.sh/paused-replicas" {
            continue;
        }
        problems.push(
            Problem::new(
                Rule::GitopsPaused,
                key.span,
                format!("with this annotation KEDA {effect}"),
                "a pause, written down for good",
                format!("remove it, and pause by hand for the hour that needs it: `kubectl annotate {} NAME {name}=...`", object.kind.name().to_lowercase()),
            )
            .because("what is in the repository comes back with every sync, after everybody has forgotten it"),
        );
    }
}

fn fixed_replicas(workload: &Object<'_>, set: &Set<'_>, problems: &mut Vec<Problem>) {
    let Some(replicas) = workload.spec(&["replicas"]) else {
        return;
    };
    let Some(scaled) = set.scalers_of(workload).next() else {
        return;
    };
    let key = get(workload.node, "spec").and_then(|spec| super::object::entry(spec, "replicas"));
    problems.push(
        Problem::new(
            Rule::TargetReplicasSet,
            key.map_or(replicas.span, |(key, _)| key.span),
            format!("every apply sets this {} back to a fixed number of replicas", workload.kind.name()),
            "`spec.replicas` on a target that KEDA scales",
            "remove `replicas`; where a tool insists on it, let that tool ignore differences in `/spec/replicas`",
        )
        .because("KEDA and the HPA write the same field, so each sync takes workers away in the middle of their jobs (n8n-io/n8n-hosting#200)")
        .related(scaled.head(), "scaled by this"),
    );
}

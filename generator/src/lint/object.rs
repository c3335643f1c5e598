//! The objects among the documents of an input: which there are, what they are called, and how to reach into them.
//!
//! Everything here borrows from the tree of [`crate::document`], so that a rule can point at any place.

use crate::document::{Kind as NodeKind, Node};
use crate::problem::Span;

/// The kinds of which there are rules. Others are passed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    ScaledObject,
    ScaledJob,
    TriggerAuthentication,
    ClusterTriggerAuthentication,
    Deployment,
    StatefulSet,
    HorizontalPodAutoscaler,
    PodDisruptionBudget,
    ApiService,
}

impl Kind {
    /// The kind of a name, in whatever API group it stands.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "ScaledObject" => Self::ScaledObject,
            "ScaledJob" => Self::ScaledJob,
            "TriggerAuthentication" => Self::TriggerAuthentication,
            "ClusterTriggerAuthentication" => Self::ClusterTriggerAuthentication,
            "Deployment" => Self::Deployment,
            "StatefulSet" => Self::StatefulSet,
            "HorizontalPodAutoscaler" => Self::HorizontalPodAutoscaler,
            "PodDisruptionBudget" => Self::PodDisruptionBudget,
            "APIService" => Self::ApiService,
            _ => return None,
        })
    }

    /// The name under which it stands in manifests.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::ScaledObject => "ScaledObject",
            Self::ScaledJob => "ScaledJob",
            Self::TriggerAuthentication => "TriggerAuthentication",
            Self::ClusterTriggerAuthentication => "ClusterTriggerAuthentication",
            Self::Deployment => "Deployment",
            Self::StatefulSet => "StatefulSet",
            Self::HorizontalPodAutoscaler => "HorizontalPodAutoscaler",
            Self::PodDisruptionBudget => "PodDisruptionBudget",
            Self::ApiService => "APIService",
        }
    }
}

/// One object of a kind that there are rules for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Object<'n> {
    pub(super) kind: Kind,
    pub(super) node: &'n Node,
    /// The value of `apiVersion`.
    pub(super) api_version: &'n Node,
}

impl<'n> Object<'n> {
    /// The name, if there is one.
    pub(super) fn name(&self) -> Option<&'n str> {
        text(self.node, &["metadata", "name"])
    }

    /// The namespace; none means that of whoever applies the object.
    pub(super) fn namespace(&self) -> Option<&'n str> {
        text(self.node, &["metadata", "namespace"])
    }

    /// What it is called in a sentence, such as ``the ScaledObject `email` ``.
    pub(super) fn title(&self) -> String {
        match self.name() {
            Some(name) => format!("the {} `{}`", self.kind.name(), name.escape_debug()),
            None => format!("a {} without a name", self.kind.name()),
        }
    }

    /// Where a problem of the whole object points: its name, or else its kind.
    pub(super) fn head(&self) -> Span {
        at(self.node, &["metadata", "name"])
            .or_else(|| at(self.node, &["kind"]))
            .map_or(self.node.span, |node| node.span)
    }

    /// A value in `spec`, at this path.
    pub(super) fn spec(&self, path: &[&str]) -> Option<&'n Node> {
        at(get(self.node, "spec")?, path)
    }

    /// The labels or the annotations.
    pub(super) fn metadata(&self, map: &str) -> Vec<Entry<'n>> {
        at(self.node, &["metadata", map]).map_or_else(Vec::new, entries)
    }

    /// The value of an annotation.
    pub(super) fn annotation(&self, name: &str) -> Option<&'n str> {
        at(self.node, &["metadata", "annotations"]).and_then(|map| get(map, name)?.text())
    }

    /// The pods' spec of a workload.
    pub(super) fn pod(&self) -> Option<&'n Node> {
        match self.kind {
            Kind::Deployment | Kind::StatefulSet => self.spec(&["template", "spec"]),
            Kind::ScaledJob => self.spec(&["jobTargetRef", "template", "spec"]),
            Kind::ScaledObject
            | Kind::TriggerAuthentication
            | Kind::ClusterTriggerAuthentication
            | Kind::HorizontalPodAutoscaler
            | Kind::PodDisruptionBudget
            | Kind::ApiService => None,
        }
    }

    /// Whether two objects stand in one namespace, as far as one can tell: one that names none may be applied anywhere.
    pub(super) fn may_share_namespace(&self, other: &Object<'_>) -> bool {
        match (self.namespace(), other.namespace()) {
            (Some(own), Some(others)) => own == others,
            (None, _) | (_, None) => true,
        }
    }
}

/// What stands in a mapping: a key with its value.
pub(super) type Entry<'n> = (&'n Node, &'n Node);

/// The entries of a mapping, none if it is none. What it merges with `<<` is among them, as it is to Kubernetes:
/// <https://yaml.org/type/merge.html>.
pub(super) fn entries(node: &Node) -> Vec<Entry<'_>> {
    let mut found: Vec<Entry<'_>> = own(node)
        .iter()
        .filter(|(key, _)| key.plain_text() != Some(MERGE))
        .map(|(key, value)| (key.as_ref(), value.as_ref()))
        .collect();
    for other in merged(node) {
        for (key, value) in entries(other) {
            if !found.iter().any(|(own, _)| own.text() == key.text()) {
                found.push((key, value));
            }
        }
    }
    found
}

/// The key that merges another mapping.
const MERGE: &str = "<<";

fn own(node: &Node) -> &[(std::sync::Arc<Node>, std::sync::Arc<Node>)] {
    match &node.kind {
        NodeKind::Mapping(entries) => entries,
        NodeKind::Sequence(_) | NodeKind::Scalar { .. } => &[],
    }
}

/// The mappings that a mapping merges: one, or several in a list.
fn merged(node: &Node) -> impl Iterator<Item = &Node> {
    own(node)
        .iter()
        .filter(|(key, _)| key.plain_text() == Some(MERGE))
        .flat_map(|(_, value)| {
            let one = matches!(value.kind, NodeKind::Mapping(_)).then_some(value.as_ref());
            one.into_iter().chain(items(value))
        })
}

/// The items of a list, none if it is none.
pub(super) fn items(node: &Node) -> impl Iterator<Item = &Node> {
    let items: &[std::sync::Arc<Node>] = match &node.kind {
        NodeKind::Sequence(items) => items,
        NodeKind::Mapping(_) | NodeKind::Scalar { .. } => &[],
    };
    items.iter().map(std::sync::Arc::as_ref)
}

/// The value of a field. What is null is not there: the API server drops it.
pub(super) fn get<'n>(node: &'n Node, key: &str) -> Option<&'n Node> {
    entry(node, key).map(|(_, value)| value)
}

/// The key and the value of a field that is not null.
pub(super) fn entry<'n>(node: &'n Node, key: &str) -> Option<Entry<'n>> {
    match own(node).iter().find(|(name, _)| name.text() == Some(key)) {
        Some((name, value)) => (!value.is_null()).then_some((name.as_ref(), value.as_ref())),
        None => merged(node).find_map(|other| entry(other, key)),
    }
}

/// The value at a path of fields.
pub(super) fn at<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(node, |node, key| get(node, key))
}

/// The text at a path of fields.
pub(super) fn text<'n>(node: &'n Node, path: &[&str]) -> Option<&'n str> {
    at(node, path)?.text()
}

/// A whole number, as Kubernetes reads it.
pub(super) fn whole(node: &Node) -> Option<i64> {
    node.plain_text()?.replace('_', "").parse().ok()
}

/// The whole number at a path of fields.
pub(super) fn whole_at<'n>(node: &'n Node, path: &[&str]) -> Option<(&'n Node, i64)> {
    let node = at(node, path)?;
    Some((node, whole(node)?))
}

/// Whether a word stands anywhere in a node, in keys or values, in whatever case.
pub(super) fn mentions(node: &Node, word: &str) -> bool {
    match &node.kind {
        NodeKind::Scalar { text, .. } => text.to_ascii_lowercase().contains(word),
        NodeKind::Sequence(_) => items(node).any(|item| mentions(item, word)),
        NodeKind::Mapping(_) => own(node)
            .iter()
            .any(|(key, value)| mentions(key, word) || mentions(value, word)),
    }
}

/// A truth value, as Kubernetes reads it. Its YAML is that of version 1.1, in which `yes` and `off` are truth values:
/// <https://github.com/kubernetes-sigs/yaml/blob/v1.6.0/goyaml.v2/resolve.go>.
pub(super) fn truth(node: &Node) -> Option<bool> {
    node.truth().or_else(|| match node.plain_text()? {
        "y" | "Y" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Some(true),
        "n" | "N" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Some(false),
        _ => None,
    })
}

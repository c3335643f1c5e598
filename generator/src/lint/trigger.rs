//! The triggers of a ScaledObject or ScaledJob, and how to reach into them.

use super::go;
use super::object::{Object, at, entry, get, items, text};
use crate::document::Node;
use crate::problem::Span;

/// One trigger.
pub(super) struct Trigger<'n> {
    pub(super) node: &'n Node,
    pub(super) r#type: &'n str,
    type_at: Span,
    pub(super) metadata: Option<&'n Node>,
}

impl<'n> Trigger<'n> {
    /// The triggers of an object that name their type.
    pub(super) fn all<'o>(object: &'o Object<'n>) -> impl Iterator<Item = Self> + use<'o, 'n> {
        object
            .spec(&["triggers"])
            .into_iter()
            .flat_map(items)
            .filter_map(|node| {
                let at = get(node, "type")?;
                Some(Self {
                    node,
                    r#type: at.text()?,
                    type_at: at.span,
                    metadata: get(node, "metadata"),
                })
            })
    }

    /// A value of the metadata that KEDA takes as given: blanks are nothing.
    pub(super) fn value(&self, key: &str) -> Option<(&'n Node, &'n str)> {
        let node = get(self.metadata?, key)?;
        let text = node.text()?.trim();
        (!text.is_empty()).then_some((node, text))
    }

    /// How the HPA compares its value, KEDA's default filled in.
    pub(super) fn metric_type(&self) -> &'n str {
        match text(self.node, &["metricType"]) {
            Some(told) if !told.is_empty() => told,
            Some(_) | None if self.is_resource() => "Utilization",
            Some(_) | None => "AverageValue",
        }
    }

    /// Whether it is one of the HPA's own, of which KEDA only passes the numbers on.
    pub(super) fn is_resource(&self) -> bool {
        matches!(self.r#type, "cpu" | "memory")
    }

    /// Whether a lost metric is 0 to it. Only KEDA's prometheus trigger has the choice.
    pub(super) fn ignores_null_values(&self) -> bool {
        self.r#type == "prometheus"
            && self
                .value("ignoreNullValues")
                .is_none_or(|(_, value)| go::truth(value) != Some(false))
    }

    /// Where it is told of what is missing.
    pub(super) fn head(&self) -> Span {
        self.type_at
    }

    /// Where it names its TriggerAuthentication: the kind, and the node of the name.
    pub(super) fn authentication_ref(&self) -> Option<(&'n str, &'n Node)> {
        let (_, reference) = entry(self.node, "authenticationRef")?;
        let kind = match text(reference, &["kind"]) {
            Some(kind) if !kind.is_empty() => kind,
            Some(_) | None => "TriggerAuthentication",
        };
        Some((kind, at(reference, &["name"])?))
    }
}

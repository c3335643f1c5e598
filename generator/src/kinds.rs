//! Which fields KEDA's and Kubernetes' own kinds have, and what each takes.
//!
//! The API server drops a field that it does not know in silence. What people bring in themselves, the template of a Job or an
//! override, is therefore held against the whole table, which is made from the Go types of KEDA and Kubernetes.

use std::sync::LazyLock;

use serde_json::Value;

use crate::document::{Kind, Node};
use crate::problem::Span;
use crate::spec::closest;

static TABLE: LazyLock<Value> = LazyLock::new(|| {
    // A test holds the table to be JSON. Without it nothing would be known, and nothing refused.
    serde_json::from_str(include_str!("lint/tables/fields.json")).unwrap_or_default()
});

/// What is wrong with one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A field that the kind does not have.
    Unknown {
        /// Its name.
        name: String,
        /// The field that was probably meant.
        meant: Option<String>,
        /// The kind, such as `ScaledObjectSpec`.
        of: String,
    },
    /// A value of another sort than the field takes.
    WrongType {
        /// What it takes.
        takes: &'static str,
    },
}

/// Everything that is wrong with a value as a part of the type `type_name`. Nothing at all is taken everywhere: it removes a field.
pub fn faults(node: &Node, type_name: &str) -> Vec<(Span, Fault)> {
    let mut found = Vec::new();
    walk(node, type_name, &mut found);
    found
}

fn walk(node: &Node, type_name: &str, found: &mut Vec<(Span, Fault)>) {
    if node.is_null() {
        return;
    }
    let mut wrong = |takes| found.push((node.span, Fault::WrongType { takes }));
    if let Some(of) = type_name.strip_prefix("[]") {
        match &node.kind {
            Kind::Sequence(items) => items.iter().for_each(|item| walk(item, of, found)),
            Kind::Scalar { .. } | Kind::Mapping(_) => wrong("a list"),
        }
        return;
    }
    if let Some(of) = type_name.strip_prefix("map[string]") {
        match &node.kind {
            Kind::Mapping(entries) => entries.iter().for_each(|(_, value)| walk(value, of, found)),
            Kind::Scalar { .. } | Kind::Sequence(_) => wrong("a mapping"),
        }
        return;
    }
    if let Some(Value::Object(fields)) = TABLE.get("types").and_then(|types| types.get(type_name)) {
        let Kind::Mapping(entries) = &node.kind else {
            wrong("a mapping");
            return;
        };
        for (key, value) in entries {
            let name = key.text().unwrap_or_default();
            let of = fields.get(name).and_then(|field| field.get("type"));
            if let Some(of) = of.and_then(Value::as_str) {
                walk(value, of, found);
                continue;
            }
            let known: Vec<&str> = fields.keys().map(String::as_str).collect();
            let of = type_name.split('@').next().unwrap_or_default();
            let fault = Fault::Unknown {
                name: name.to_owned(),
                meant: closest(name, &known).map(ToOwned::to_owned),
                of: of.rsplit('.').next().unwrap_or_default().to_owned(),
            };
            found.push((key.span, fault));
        }
        return;
    }
    let integer = || {
        let text = node.plain_text().unwrap_or_default();
        text.parse::<i64>().is_ok()
    };
    let scalar = node.text().is_some();
    let text = scalar && node.truth().is_none() && !node.looks_like_a_number();
    match type_name {
        "string" if !text => wrong("a text, in quotes if it looks like something else"),
        "int32" | "int64" if !integer() => wrong("a whole number without quotes"),
        "boolean" if node.truth().is_none() => wrong("`true` or `false`"),
        "quantity" | "intOrString" if !scalar => wrong("a number or a text"),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{self, Dialect};

    #[test]
    fn the_table_knows_what_is_generated_and_what_is_brought_in() {
        for name in ["keda.ScaledObject", "keda.ScaledJob", "batch.JobSpec"] {
            assert!(TABLE["types"][name].is_object(), "{name}");
        }
    }

    #[test]
    fn a_field_is_known_at_its_place_only() {
        for (yaml, expected) in [
            ("{spec: {pollingInterval: 5}}", ""),
            ("{spec: {pollingInterval: null}}", ""),
            (
                "{pollingInterval: 5}",
                "unknown pollingInterval of ScaledObject, meant None",
            ),
            (
                "{spec: {advanced: {behavior: {}}}}",
                "unknown behavior of AdvancedConfig, meant None",
            ),
            (
                "{spec: {poolingInterval: 5}}",
                "unknown poolingInterval of ScaledObjectSpec, meant Some(\"pollingInterval\")",
            ),
            (
                "{spec: {pollingInterval: \"5\"}}",
                "a whole number without quotes",
            ),
            (
                "{spec: {triggers: [{metadata: {threshold: 5}}]}}",
                "a text, in quotes if it looks like something else",
            ),
            ("{metadata: {labels: [a]}}", "a mapping"),
            ("{spec: {triggers: {}}}", "a list"),
        ] {
            let documents = document::read(yaml, 0, Dialect::SPEC);
            let found: Vec<String> = faults(&documents.roots[0], "keda.ScaledObject")
                .into_iter()
                .map(|(_, fault)| match fault {
                    Fault::Unknown { name, meant, of } => {
                        format!("unknown {name} of {of}, meant {meant:?}")
                    }
                    Fault::WrongType { takes } => takes.to_owned(),
                })
                .collect();
            assert_eq!(found.join(";"), expected, "{yaml}");
        }
    }
}

//! Fields: which an object may have, which it must have, and what they take.
//!
//! KEDA's definitions prune: the API server drops a field that it does not know and says nothing, and clients that do warn are
//! rare in pipelines. The tables are read from KEDA's and Kubernetes' own types, see `tests/conformance`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::sync::LazyLock;

use serde::Deserialize;

use super::object::{Kind, Object, entries, entry, items, truth, whole};
use crate::document::{Kind as NodeKind, Node};
use crate::problem::{Problem, Rule};
use crate::spec::closest;

/// How many fields a message lists at most.
const MAX_LISTED: usize = 12;

#[derive(Debug, Deserialize)]
struct Tables {
    kinds: BTreeMap<String, KindTable>,
    types: BTreeMap<String, BTreeMap<String, Field>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct KindTable {
    api_version: String,
    r#type: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Field {
    r#type: String,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    r#enum: Vec<String>,
    minimum: Option<i64>,
    maximum: Option<i64>,
    min_items: Option<usize>,
    min_length: Option<usize>,
}

/// The tables, and nothing where they cannot be read, which a test excludes.
static TABLES: LazyLock<Option<Tables>> =
    LazyLock::new(|| serde_json::from_str(include_str!("tables/fields.json")).ok());

/// Checks every field of an object.
pub(super) fn check(object: &Object<'_>, problems: &mut Vec<Problem>) {
    let Some(tables) = TABLES.as_ref() else {
        return;
    };
    let Some(kind) = tables.kinds.get(object.kind.name()) else {
        return;
    };
    if object.api_version.text() != Some(&kind.api_version) {
        problems.push(other_version(object, &kind.api_version));
        return;
    }
    Walk {
        tables,
        object,
        root: &kind.r#type,
        problems,
    }
    .mapping(object.node, &kind.r#type, "");
}

/// Versions of the kind that the rules do not know. Those of the kind's own group are told; a group of another project that has a kind
/// of this name is not ours to judge.
fn other_version(object: &Object<'_>, known: &str) -> Problem {
    Problem::new(
        Rule::ManifestApiVersionUnknown,
        object.api_version.span,
        format!(
            "`{}` is not the API version of a {}",
            object.api_version.text().unwrap_or_default().escape_debug(),
            object.kind.name()
        ),
        "not served",
        format!("write `apiVersion: {known}`"),
    )
}

struct Walk<'w, 'n> {
    tables: &'w Tables,
    object: &'w Object<'n>,
    /// The type of the whole object.
    root: &'w str,
    problems: &'w mut Vec<Problem>,
}

impl Walk<'_, '_> {
    fn tell(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// A mapping of a type with known fields. `path` is how it is reached.
    fn mapping(&mut self, node: &Node, r#type: &str, path: &str) {
        let Some(fields) = self.tables.types.get(r#type) else {
            return;
        };
        let NodeKind::Mapping(_) = &node.kind else {
            self.wrong_type(node, path, "a mapping", "write its fields below it");
            return;
        };
        let mut meant = Vec::new();
        for (key, value) in entries(node) {
            let name = key.text().unwrap_or_default();
            let Some(field) = fields.get(name) else {
                meant.extend(self.unknown(key, name, r#type, path, fields));
                continue;
            };
            // What the server writes itself need not be complete in a manifest.
            if value.is_null() || (path.is_empty() && name == "status") {
                continue;
            }
            let path = if path.is_empty() {
                name.to_owned()
            } else {
                format!("{path}.{name}")
            };
            self.value(value, &field.r#type, &path);
            self.bounds(value, field, &path);
        }
        for (name, field) in fields {
            let meant = meant.iter().any(|meant| meant == name);
            if field.required && !meant && entry(node, name).is_none() {
                self.missing(node, name, path);
            }
        }
    }

    fn missing(&mut self, node: &Node, name: &str, path: &str) {
        // The first line of the mapping, or the key to which nothing was given.
        let entries = entries(node);
        let place = entries
            .iter()
            .find(|(key, _)| key.text() == Some(name))
            .or_else(|| entries.first())
            .map_or(node.span, |(key, _)| key.span);
        let of = if path.is_empty() {
            self.object.title()
        } else {
            format!("`{path}`")
        };
        self.tell(Problem::new(
            Rule::ManifestMissingField,
            place,
            format!("`{name}` is missing in {of}"),
            format!("no `{name}` here"),
            format!("add `{name}`: the API server refuses the object without it"),
        ));
    }

    /// Tells of a field that is not known, and returns the one that was probably meant.
    fn unknown<'f>(
        &mut self,
        key: &Node,
        name: &str,
        r#type: &str,
        path: &str,
        fields: &'f BTreeMap<String, Field>,
    ) -> Option<&'f str> {
        let known: Vec<&'f str> = fields.keys().map(String::as_str).collect();
        let elsewhere = self.elsewhere(name);
        let place = if path.is_empty() { "the object" } else { path };
        if name == "behavior" && self.object.kind == Kind::ScaledObject {
            self.tell(
                Problem::new(
                    Rule::BehaviorMisplaced,
                    key.span,
                    format!("`behavior` is dropped from `{place}` in silence"),
                    "not a field here",
                    "indent it under `spec.advanced.horizontalPodAutoscalerConfig`",
                )
                .because(
                    "the API server prunes what KEDA's definition does not name, so the HPA keeps its own rules: down after five \
                     minutes, up by doubling (kedacore/keda#2724)",
                ),
            );
            return None;
        }
        if name == "metricType" && r#type == "keda.ScaleTriggers@ScaledJob" {
            self.tell(
                Problem::new(
                    Rule::MetricTypeOnScaledJob,
                    key.span,
                    "a ScaledJob's trigger has no `metricType`, and it is dropped in silence",
                    "not a field here",
                    "remove it; write the query so that its value divided by `threshold` is the number of Jobs",
                )
                .because("KEDA starts Jobs for value / threshold, as with `AverageValue`"),
            );
            return None;
        }
        let said = SAID_OF.iter().find(|said| said.fits(r#type, name));
        let meant = match said {
            Some(said) => known
                .iter()
                .find(|known| Some(**known) == said.meant)
                .copied(),
            None => closest(name, &known),
        };
        let help = match (said, meant) {
            (Some(said), _) => said.help.to_owned(),
            (None, Some(close)) => format!("did you mean `{close}`?"),
            (None, None) => match elsewhere {
                Some(path) => format!("it belongs to `{path}`: check the indentation"),
                None => format!("`{place}` takes {}", listed(&known)),
            },
        };
        self.tell(Problem::new(
            Rule::ManifestUnknownField,
            key.span,
            format!(
                "`{}` is not a field of `{place}` and is dropped in silence",
                name.escape_debug()
            ),
            "not a field here",
            help,
        ));
        meant
    }

    /// The shortest path in the object where a field of this name is known.
    fn elsewhere(&self, name: &str) -> Option<String> {
        let mut seen = BTreeSet::from([self.root]);
        let mut next = VecDeque::from([(self.root, String::new())]);
        while let Some((r#type, path)) = next.pop_front() {
            for (key, field) in self.tables.types.get(r#type)? {
                let inner = field.r#type.trim_start_matches("[]");
                let list = if inner.len() == field.r#type.len() {
                    ""
                } else {
                    "[]"
                };
                let path = if path.is_empty() {
                    format!("{key}{list}")
                } else {
                    format!("{path}.{key}{list}")
                };
                if key == name {
                    return Some(path);
                }
                if self.tables.types.contains_key(inner) && key != "status" && seen.insert(inner) {
                    next.push_back((inner, path));
                }
            }
        }
        None
    }

    fn value(&mut self, node: &Node, r#type: &str, path: &str) {
        if let Some(inner) = r#type.strip_prefix("[]") {
            let NodeKind::Sequence(_) = &node.kind else {
                self.wrong_type(node, path, "a list", "begin each item with `- `");
                return;
            };
            for (index, item) in items(node).enumerate() {
                self.value(item, inner, &format!("{path}[{index}]"));
            }
        } else if let Some(inner) = r#type.strip_prefix("map[string]") {
            let NodeKind::Mapping(_) = &node.kind else {
                self.wrong_type(node, path, "a mapping", "write its keys below it");
                return;
            };
            for (key, value) in entries(node) {
                self.value(
                    value,
                    inner,
                    &format!("{path}.{}", key.text().unwrap_or_default()),
                );
            }
        } else if self.tables.types.contains_key(r#type) {
            self.mapping(node, r#type, path);
        } else {
            self.scalar(node, r#type, path);
        }
    }

    fn scalar(&mut self, node: &Node, r#type: &str, path: &str) {
        let fits = match r#type {
            "string" => is_text(node),
            "boolean" => truth(node).is_some(),
            "int32" | "int64" => is_whole(node),
            "quantity" => node.text().is_some(),
            "intOrString" => node.text().is_some() && truth(node).is_none(),
            _ => true,
        };
        if fits {
            return;
        }
        let written = node.text().unwrap_or_default();
        let (expected, help) = match r#type {
            "boolean" => (
                "true or false",
                "write `true` or `false`, without quotes".to_owned(),
            ),
            "int32" | "int64" if node.text().is_some() && !node.is_null() => (
                "a whole number",
                "write plain digits, without quotes".to_owned(),
            ),
            "int32" | "int64" => ("a whole number", "write plain digits".to_owned()),
            _ if node.is_null() => ("a text", "write a text, or remove the key".to_owned()),
            _ if node.text().is_some() => (
                "a text",
                format!("put it in quotes: \"{}\"", written.escape_debug()),
            ),
            _ => ("a text", "write one text".to_owned()),
        };
        self.wrong_type(node, path, expected, help);
    }

    fn wrong_type(&mut self, node: &Node, path: &str, expected: &str, help: impl Into<String>) {
        let in_metadata = path.starts_with("spec.triggers[") && path.contains("].metadata.");
        let found = match truth(node) {
            Some(_) => "a truth value",
            None => node.description(),
        };
        let problem = Problem::new(
            if in_metadata {
                Rule::TriggerMetadataNotText
            } else {
                Rule::ManifestWrongType
            },
            node.span,
            format!("`{path}` takes {expected}"),
            format!("found {found}"),
            help,
        );
        self.tell(if in_metadata {
            problem.because("metadata is a map of texts, and the API server refuses the whole ScaledObject for one number or truth value")
        } else {
            problem
        });
    }

    fn bounds(&mut self, node: &Node, field: &Field, path: &str) {
        if let Some(text) = node.text()
            && !field.r#enum.is_empty()
            && !field.r#enum.iter().any(|known| known == text)
        {
            self.unknown_value(node, text, field, path);
        }
        let number = whole(node);
        let length = match &node.kind {
            NodeKind::Sequence(items) => Some(items.len()),
            NodeKind::Mapping(_) | NodeKind::Scalar { .. } => None,
        };
        let (label, help) = if let (Some(number), Some(least)) = (number, field.minimum)
            && number < least
        {
            (
                format!("less than {least}"),
                format!("write {least} or more"),
            )
        } else if let (Some(number), Some(most)) = (number, field.maximum)
            && number > most
        {
            (format!("more than {most}"), format!("write {most} or less"))
        } else if length
            .zip(field.min_items)
            .is_some_and(|(length, least)| length < least)
        {
            (
                "an empty list".to_owned(),
                "write at least one item".to_owned(),
            )
        } else if node.text().is_some_and(str::is_empty) && field.min_length.is_some() {
            ("an empty text".to_owned(), "write a text".to_owned())
        } else {
            return;
        };
        self.tell(Problem::new(
            Rule::ManifestOutOfRange,
            node.span,
            format!("`{path}` is out of range, and the API server refuses it"),
            label,
            help,
        ));
    }

    fn unknown_value(&mut self, node: &Node, text: &str, field: &Field, path: &str) {
        let known: Vec<&str> = field.r#enum.iter().map(String::as_str).collect();
        // A trigger's metric type has a rule of its own, which knows what each trigger takes.
        if path.ends_with("].metricType") {
            return;
        }
        let help = match closest(text, &known) {
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("write one of {}", listed(&known)),
        };
        self.tell(Problem::new(
            Rule::ManifestUnknownValue,
            node.span,
            format!("`{}` is not a value of `{path}`", text.escape_debug()),
            "not one of its words",
            help,
        ));
    }
}

/// What is said of a field that people expect where it is not, and no table can guess.
struct SaidOf {
    r#type: &'static str,
    field: &'static str,
    /// The field that was meant, which is then not missing as well.
    meant: Option<&'static str>,
    help: &'static str,
}

impl SaidOf {
    fn fits(&self, r#type: &str, field: &str) -> bool {
        self.r#type == r#type && self.field == field
    }
}

const SAID_OF: &[SaidOf] = &[
    SaidOf {
        r#type: "keda.ScaledJobSpec",
        field: "fallback",
        meant: None,
        help: "remove it: a ScaledJob starts no new Jobs while its metrics are lost, and has no fallback",
    },
    SaidOf {
        r#type: "keda.ScaledJobSpec",
        field: "cooldownPeriod",
        meant: None,
        help: "remove it: a Job ends by itself, and a ScaledJob has no cooldown",
    },
    SaidOf {
        r#type: "keda.ScaledJobSpec",
        field: "scaleTargetRef",
        meant: Some("jobTargetRef"),
        help: "write the Job itself in `jobTargetRef`; a Deployment is scaled by a ScaledObject",
    },
    SaidOf {
        r#type: "keda.ScaledJobSpec",
        field: "advanced",
        meant: None,
        help: "remove it: a ScaledJob has no HPA; its counterpart is `scalingStrategy`",
    },
    SaidOf {
        r#type: "keda.ScaledObjectSpec",
        field: "scaleTargetReference",
        meant: Some("scaleTargetRef"),
        help: "did you mean `scaleTargetRef`?",
    },
    SaidOf {
        r#type: "keda.ScaleTarget",
        field: "deploymentName",
        meant: Some("name"),
        help: "write `name`: `deploymentName` was KEDA 1",
    },
    SaidOf {
        r#type: "keda.ScaleTarget",
        field: "namespace",
        meant: None,
        help: "remove it: the target stands in the namespace of the ScaledObject",
    },
];

/// Whether Kubernetes reads a text.
fn is_text(node: &Node) -> bool {
    node.text().is_some() && !node.is_null() && truth(node).is_none() && !node.looks_like_a_number()
}

/// Whether Kubernetes reads a whole number: `1e3` and `1.0` are some too.
fn is_whole(node: &Node) -> bool {
    let integral = |text: &str| {
        text.replace('_', "")
            .parse::<f64>()
            .is_ok_and(|number| number.fract() == 0.0)
    };
    whole(node).is_some() || (node.looks_like_a_number() && node.plain_text().is_some_and(integral))
}

fn listed(known: &[&str]) -> String {
    let mut text = String::new();
    for (index, name) in known.iter().take(MAX_LISTED).enumerate() {
        // Writing to a String cannot fail.
        let _ = write!(text, "{}`{name}`", if index == 0 { "" } else { ", " });
    }
    if known.len() > MAX_LISTED {
        text.push_str(" and others");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_can_be_read_and_lead_nowhere_unknown() {
        let tables = TABLES.as_ref().unwrap();
        assert_eq!(tables.kinds.len(), 8);
        for field in tables.types.values().flat_map(BTreeMap::values) {
            let inner = field
                .r#type
                .trim_start_matches("[]")
                .trim_start_matches("map[string]");
            let scalar = [
                "string",
                "boolean",
                "int32",
                "int64",
                "quantity",
                "intOrString",
                "any",
            ];
            assert!(
                scalar.contains(&inner) || tables.types.contains_key(inner),
                "{inner}"
            );
        }
    }
}

//! Kubernetes objects, field by field in the order in which they are printed. The only place that knows KEDA's field names.
//!
//! They are trees of our own, and not generated types of the API: those would bring thousands of fields that may be unset, and would
//! print what we do not own, while a manifest for server-side apply names only what it owns. As trees they also take what people
//! bring in, the template of a Job or an override, as it is.

mod overrides;
mod prometheus_rule;
mod scaled_job;
mod scaled_object;
mod trigger;

use serde::ser::{Serialize, SerializeMap as _, SerializeSeq as _, Serializer};
use serde_json::{Map, Value, json};
use serde_saphyr::{DoubleQuoted, LitString};

use crate::alert;
use crate::plan::Plan;
use crate::problem::Problem;
use crate::workload::Workload;

const API_VERSION: &str = "keda.sh/v1alpha1";
const SCALED_OBJECT: &str = "ScaledObject";
const SCALED_JOB: &str = "ScaledJob";
const TRIGGER_AUTHENTICATION: &str = "TriggerAuthentication";
/// The kind of the Prometheus operator that holds alerts.
pub const PROMETHEUS_RULE: &str = "PrometheusRule";

/// One object of any kind that a worker may need.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    kind: &'static str,
    object: Value,
}

impl Manifest {
    /// Every object of a plan, in the order in which they are printed: what is referred to first.
    pub fn all_of(plan: &Plan<'_>, alerts: Option<&alert::Options>) -> Vec<Self> {
        let authentication = trigger::authentication(plan.workload).map(|object| Self {
            kind: TRIGGER_AUTHENTICATION,
            object,
        });
        let scaled = Self::of(plan);
        let alerts = alerts.map(|options| Self {
            kind: PROMETHEUS_RULE,
            object: prometheus_rule::of(plan, &scaled.object, options),
        });
        authentication
            .into_iter()
            .chain([scaled])
            .chain(alerts)
            .collect()
    }

    /// What scales the worker of a plan, with its overrides.
    fn of(plan: &Plan<'_>) -> Self {
        let (kind, mut object) = match &plan.workload.template {
            Some(template) => (SCALED_JOB, scaled_job::of(plan, template)),
            None => (SCALED_OBJECT, scaled_object::of(plan)),
        };
        if let Some(patch) = overrides::patch(plan) {
            overrides::merge(&mut object, &patch);
        }
        Self { kind, object }
    }

    /// The kind, as Kubernetes knows it.
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// The same object with no `{{` in its queries, for a place where a template engine may or may not read it. What the queries mean
    /// stays the same: in PromQL two braces in a row stand in a text only, and there the second can be written by its code.
    #[must_use]
    pub fn without_braces(mut self) -> Self {
        queries(&mut self.object, Place::Object, &mut |query| {
            *query = query.replace("{{", r"{\x7b");
        });
        self
    }

    /// The same object with every text in it, and every name of a field, replaced.
    #[must_use]
    pub(crate) fn with_texts(mut self, replaced: impl Fn(&str) -> String) -> Self {
        self.object = with_texts(self.object, &replaced);
        self
    }

    /// The object as a tree.
    pub(crate) const fn tree(&self) -> &Value {
        &self.object
    }

    /// The group of alerts in it, as Prometheus itself reads it; none if it holds no alerts.
    fn groups(&self) -> &[Value] {
        let groups = self
            .object
            .pointer("/spec/groups")
            .filter(|_| self.kind == PROMETHEUS_RULE);
        groups.and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }
}

/// What is wrong with the finished manifests of a plan. Only overrides can make anything wrong; everything else is right by
/// construction. This is the one place where finished manifests are judged before they are printed.
pub fn problems(plan: &Plan<'_>) -> Vec<Problem> {
    overrides::problems(plan)
}

impl Serialize for Manifest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = Place::Object;
        Styled {
            value: &self.object,
            at,
        }
        .serialize(serializer)
    }
}

/// Calls `change` with every query in a value.
fn queries(value: &mut Value, at: Place, change: &mut dyn FnMut(&mut String)) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                queries(value, at.of(name), change);
            }
        }
        Value::Array(items) => items.iter_mut().for_each(|item| queries(item, at, change)),
        Value::String(query) if at == Place::Query => change(query),
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn with_texts(value: Value, replaced: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::Object(entries) => entries
            .into_iter()
            .map(|(name, value)| (replaced(&name), with_texts(value, replaced)))
            .collect::<Map<_, _>>()
            .into(),
        Value::Array(items) => items
            .into_iter()
            .map(|item| with_texts(item, replaced))
            .collect(),
        Value::String(text) => replaced(&text).into(),
        Value::Null | Value::Bool(_) | Value::Number(_) => value,
    }
}

/// The alerts among these manifests, as a rule file of Prometheus.
pub fn rule_file<'m>(manifests: impl Iterator<Item = &'m Manifest>) -> RuleFile {
    let groups: Vec<Value> = manifests.flat_map(Manifest::groups).cloned().collect();
    RuleFile(json!({ "groups": groups }))
}

/// A rule file of Prometheus.
#[derive(Clone, Debug, PartialEq)]
pub struct RuleFile(Value);

impl Serialize for RuleFile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Styled {
            value: &self.0,
            at: Place::Spec,
        }
        .serialize(serializer)
    }
}

/// Where a value stands, as far as that decides how it is printed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Object,
    Spec,
    Triggers,
    Metadata,
    Groups,
    Rules,
    Query,
    Text,
    Elsewhere,
}

/// A value that is printed as its place wants it: the metadata of a trigger takes texts only, so they are quoted even where nobody
/// could mistake them, and a query is printed line by line.
struct Styled<'v> {
    value: &'v Value,
    at: Place,
}

impl Place {
    fn of(self, name: &str) -> Self {
        match (self, name) {
            (Self::Object, "spec") => Self::Spec,
            (Self::Spec, "triggers") => Self::Triggers,
            (Self::Spec, "groups") => Self::Groups,
            (Self::Groups, "rules") => Self::Rules,
            (Self::Triggers, "metadata") => Self::Metadata,
            (Self::Metadata, "query") | (Self::Rules, "expr") => Self::Query,
            (Self::Metadata, _) => Self::Text,
            _ => Self::Elsewhere,
        }
    }
}

impl Serialize for Styled<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self.value, self.at) {
            (Value::Object(entries), at) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                for (name, value) in entries {
                    let at = at.of(name);
                    map.serialize_entry(name, &Styled { value, at })?;
                }
                map.end()
            }
            (Value::Array(items), at) => {
                let mut list = serializer.serialize_seq(Some(items.len()))?;
                for value in items {
                    list.serialize_element(&Styled { value, at })?;
                }
                list.end()
            }
            (Value::String(text), Place::Query) => LitString(text.clone()).serialize(serializer),
            (Value::String(text), Place::Text) => DoubleQuoted(text.clone()).serialize(serializer),
            // Blanks and what does not print mean nothing certain where lines and indentation count.
            (Value::String(text), _) if !is_plain_lines(text) => {
                DoubleQuoted(text.clone()).serialize(serializer)
            }
            (value, _) => value.serialize(serializer),
        }
    }
}

/// Whether every reader of YAML takes a text in lines for the same text.
fn is_plain_lines(text: &str) -> bool {
    let prints = |c: char| c == '\n' || !(c.is_control() || "\u{2028}\u{2029}\u{feff}".contains(c));
    !text.starts_with(char::is_whitespace) && text.chars().all(prints)
}

fn insert(map: &mut Map<String, Value>, name: &str, value: impl Into<Value>) {
    map.insert(name.to_owned(), value.into());
}

/// The metadata of an object of a worker.
fn metadata(name: &str, workload: &Workload) -> Map<String, Value> {
    let mut metadata = Map::new();
    insert(&mut metadata, "name", name);
    if let Some(namespace) = &workload.namespace {
        insert(&mut metadata, "namespace", namespace.as_str());
    }
    for (name, texts) in [
        ("labels", &workload.labels),
        ("annotations", &workload.annotations),
    ] {
        if !texts.is_empty() {
            insert(&mut metadata, name, json!(texts));
        }
    }
    metadata
}

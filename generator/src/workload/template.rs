//! The template of a worker whose replicas are Jobs: a file beside the spec, in one of the forms in which people keep it.
//!
//! It is embedded as it is, field by field in its own order. Values that readers of YAML disagree on are refused, because
//! Kubernetes would read what is printed here, and not the file.

use serde_json::{Map, Number, Value};

use crate::document::{Kind, Node};
use crate::kinds::{self, Fault};
use crate::problem::{Problem, Rule, Span};

/// The type of a Job's spec, in the table of [`crate::kinds`].
const JOB_SPEC: &str = "batch.JobSpec";

/// What the Jobs of a worker are made of.
#[derive(Clone, Debug, PartialEq)]
pub struct JobTemplate {
    /// The spec of each Job.
    pub spec: Value,
    /// The labels of the Job in the file. KEDA gives each Job those of its ScaledJob.
    pub labels: Map<String, Value>,
    /// Its annotations, likewise.
    pub annotations: Map<String, Value>,
}

/// Reads the template of a file that holds one document. `named` is the field of the spec that names the file.
pub(super) fn template(
    roots: &[std::sync::Arc<Node>],
    start: Span,
    named: Span,
    problems: &mut Vec<Problem>,
) -> Option<JobTemplate> {
    let mut refuse = |at: Span, label: &str| {
        let problem = Problem::new(
            Rule::TemplateNotAJob,
            at,
            "this is not the template of a Job",
            label,
            "give one document: a Job, the spec of a Job, a PodTemplate, or a pod's template with `spec.containers`",
        );
        problems.push(problem.related(named, "named here"));
    };
    let [root] = roots else {
        refuse(
            roots.get(1).map_or(start, |second| second.span),
            "not one document",
        );
        return None;
    };
    let kind = get(root, "kind").and_then(Node::text);
    let pods = |pods: &Node| Some(Map::from_iter([("template".to_owned(), tree(pods))]));
    // The spec of the Job as a tree, the place of its pods' template, and of the object's own metadata.
    let found = match kind {
        Some("Job") => get(root, "spec").and_then(|spec| {
            let template = get(spec, "template")?;
            Some((
                tree(spec),
                template,
                Some((spec, JOB_SPEC)),
                get(root, "metadata"),
            ))
        }),
        Some("PodTemplate") => get(root, "template")
            .and_then(|template| Some((Value::Object(pods(template)?), template, None, None))),
        Some(_) => None,
        None => match get(root, "template") {
            Some(template) => Some((tree(root), template, Some((&**root, JOB_SPEC)), None)),
            None => pods(root).map(|spec| (Value::Object(spec), &**root, None, None)),
        },
    };
    let Some((spec, template, whole, metadata)) = found else {
        refuse(root.span, "of another kind, or without a template");
        return None;
    };
    let containers = get(template, "spec").and_then(|spec| get(spec, "containers"));
    if !containers
        .is_some_and(|list| matches!(&list.kind, Kind::Sequence(items) if !items.is_empty()))
    {
        refuse(template.span, "no `spec.containers` in it");
        return None;
    }
    let before = problems.len();
    ambiguous(root, problems);
    if problems.len() == before {
        let (node, type_name) = whole.unwrap_or((template, "core.PodTemplateSpec@ScaledJob"));
        problems.extend(kinds::faults(node, type_name).into_iter().map(problem));
    }
    let policy = get(template, "spec").and_then(|spec| get(spec, "restartPolicy"));
    if let Some(policy) = policy
        && !matches!(policy.text(), Some("Never" | "OnFailure"))
    {
        problems.push(Problem::new(
            Rule::TemplateRestartPolicy,
            policy.span,
            "the pods of a Job may not start again for ever",
            "refused by Kubernetes in a Job",
            "write `restartPolicy: Never`, or `OnFailure`, which is what KEDA writes if none is given",
        ));
    }
    let texts = |name: &str| {
        let texts = metadata.and_then(|metadata| get(metadata, name)).map(tree);
        match texts {
            Some(Value::Object(texts)) => texts,
            _ => Map::new(),
        }
    };
    (problems.len() == before).then(|| JobTemplate {
        labels: texts("labels"),
        annotations: texts("annotations"),
        spec,
    })
}

fn problem((at, fault): (Span, Fault)) -> Problem {
    match fault {
        Fault::Unknown { name, meant, of } => Problem::new(
            Rule::TemplateNotAJob,
            at,
            format!("unknown field `{}`", name.escape_debug()),
            format!("not a field of {of}"),
            match meant {
                Some(meant) => format!("did you mean `{meant}`?"),
                None => "remove it: the API server would drop it in silence".to_owned(),
            },
        ),
        Fault::WrongType { takes } => Problem::new(
            Rule::TemplateNotAJob,
            at,
            format!("this field takes {takes}"),
            "of another kind",
            "write what Kubernetes takes here",
        ),
    }
}

/// The value of a field of a mapping.
pub(super) fn get<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    let Kind::Mapping(entries) = &node.kind else {
        return None;
    };
    let entry = entries.iter().find(|(key, _)| key.text() == Some(name));
    entry.map(|(_, value)| value.as_ref())
}

/// Tells of every value that one reader of YAML takes for a number or a truth value, and another for a text.
fn ambiguous(node: &Node, problems: &mut Vec<Problem>) {
    match &node.kind {
        Kind::Sequence(items) => items.iter().for_each(|item| ambiguous(item, problems)),
        Kind::Mapping(entries) => {
            for (key, value) in entries {
                ambiguous(key, problems);
                ambiguous(value, problems);
            }
        }
        Kind::Scalar { text, plain } => {
            if *plain && !is_certain(node, text) {
                problems.push(Problem::new(
                    Rule::TemplateAmbiguousValue,
                    node.span,
                    format!("readers of YAML differ in what `{text}` is"),
                    "a text to one, and something else to another",
                    format!("write \"{text}\" in quotes if it is a text, and else a plain number, `true` or `false`"),
                ));
            }
        }
    }
}

/// Whether every reader takes an unquoted value for the same: <https://yaml.org/type/> against
/// <https://yaml.org/spec/1.2.2/#103-core-schema>.
fn is_certain(node: &Node, text: &str) -> bool {
    const TRUTHS_OF_1_1: [&str; 6] = ["y", "n", "yes", "no", "on", "off"];
    if node.is_null() || node.truth().is_some() {
        return true;
    }
    if number(text).is_some() {
        return true;
    }
    let sexagesimal = text.contains(':') && text.bytes().all(|b| b.is_ascii_digit() || b == b':');
    !node.looks_like_a_number()
        && !sexagesimal
        && !TRUTHS_OF_1_1.contains(&text.to_ascii_lowercase().as_str())
}

/// A number in the one form that all readers share.
fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = match digits.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (digits, None),
    };
    let plain = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let leading_zero = whole.len() > 1 && whole.starts_with('0');
    if !plain(whole) || leading_zero || !fraction.is_none_or(plain) {
        return None;
    }
    match fraction {
        None => text.parse::<i64>().ok().map(Number::from),
        Some(_) => text.parse::<f64>().ok().and_then(Number::from_f64),
    }
}

/// A node as a tree without places.
pub fn tree(node: &Node) -> Value {
    match &node.kind {
        Kind::Sequence(items) => Value::Array(items.iter().map(|item| tree(item)).collect()),
        Kind::Mapping(entries) => {
            let entry = |(key, value): &(std::sync::Arc<Node>, std::sync::Arc<Node>)| {
                (key.text().unwrap_or_default().to_owned(), tree(value))
            };
            Value::Object(entries.iter().map(entry).collect())
        }
        Kind::Scalar { text, plain: true } => {
            if node.is_null() {
                Value::Null
            } else if let Some(truth) = node.truth() {
                Value::Bool(truth)
            } else if let Some(number) = number(text) {
                Value::Number(number)
            } else {
                Value::String(text.clone())
            }
        }
        Kind::Scalar { text, plain: false } => Value::String(text.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{self, Dialect};

    #[test]
    fn a_value_is_certain_where_all_readers_agree() {
        for (text, expected) in [
            ("500m", true),
            ("nginx:1.27", true),
            ("10", true),
            ("-1", true),
            ("1.5", true),
            ("true", true),
            ("null", true),
            ("1.2.3", true),
            ("yes", false),
            ("Off", false),
            ("y", false),
            ("0123", false),
            ("1e3", false),
            ("1_000", false),
            ("0x10", false),
            ("12:30", false),
            (".5", false),
        ] {
            let documents = document::read(text, 0, Dialect::SPEC);
            let certain = documents
                .roots
                .first()
                .is_none_or(|root| is_certain(root, text));
            assert_eq!(certain, expected, "{text}");
        }
    }
}

//! Texts under names of one's own: labels and annotations of an object, headers and parameters of a request.
//!
//! KEDA takes headers and parameters as one text, `a=b,c=d`. It cuts at every comma, and each part must hold exactly one `=`:
//! <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/scalersconfig/typed_config.go> (`setConfigValueMap`). There is no
//! escape, so a value with one of the two is refused here and not by KEDA at run time.

use std::collections::BTreeMap;

use super::fields::{Reader, Value};
use super::values::is_dns_label;
use crate::document::Kind;
use crate::problem::{Problem, Rule, Span};

/// The longest value of a label: <https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set>.
const LONGEST_LABEL_VALUE: usize = 63;
/// The label that KEDA sets on every ScaledObject and every pod of a ScaledJob.
const SET_BY_KEDA: [&str; 2] = ["scaledobject.keda.sh/name", "scaledjob.keda.sh/name"];
/// Parameters that KEDA sets itself.
const PARAMETERS_OF_KEDA: [&str; 3] = ["query", "time", "namespace"];
/// Parts of names under which secrets go.
const SECRETIVE: [&str; 7] = [
    "authorization",
    "cookie",
    "token",
    "secret",
    "password",
    "api-key",
    "apikey",
];

/// Why an entry is refused: the rule, what is said beside the caret, what to write.
type Refusal = (Rule, &'static str, &'static str);

/// Reads the labels of an object.
pub(super) fn labels(
    reader: &mut Reader<'_>,
    value: Value<'_>,
) -> Option<BTreeMap<String, String>> {
    texts(reader, value, "{team: shop}", refused_label)
}

/// Why a label of an object is refused, if it is.
pub(crate) fn refused_label(name: &str, text: &str) -> Option<Refusal> {
    let rule = Rule::LabelsInvalid;
    if !is_qualified(name) {
        return Some((
            rule,
            "not the name of a label",
            "use letters, digits, `-`, `_` and `.`, after a prefix and a slash if needed",
        ));
    }
    if SET_BY_KEDA.contains(&name) {
        return Some((rule, "set by KEDA itself", "remove it"));
    }
    let valid = text.is_empty() || (text.len() <= LONGEST_LABEL_VALUE && is_word(text));
    (!valid).then_some((
        rule,
        "its value is refused by Kubernetes",
        "use at most 63 letters, digits, `-`, `_` and `.`; longer texts are annotations",
    ))
}

/// Reads the annotations of an object.
pub(super) fn annotations(
    reader: &mut Reader<'_>,
    value: Value<'_>,
) -> Option<BTreeMap<String, String>> {
    texts(reader, value, "{example.com/owner: shop}", |name, _| {
        (!is_qualified(name)).then_some((
            Rule::AnnotationsInvalid,
            "not the name of an annotation",
            "use letters, digits, `-`, `_` and `.`, after a prefix and a slash if needed",
        ))
    })
}

/// Reads the headers that KEDA sends.
pub(super) fn headers(
    reader: &mut Reader<'_>,
    value: Value<'_>,
) -> Option<BTreeMap<String, String>> {
    texts(reader, value, "{X-Scope-OrgID: shop}", |name, text| {
        let small = name.to_ascii_lowercase();
        if SECRETIVE.iter().any(|part| small.contains(part)) {
            return Some((
                Rule::HeadersSecret,
                "would stand in the manifest for all to read",
                "give it by reference, under `authentication`: `bearer`, `basic` or `header`",
            ));
        }
        let rule = Rule::HeadersInvalid;
        if !is_token(name) {
            return Some((
                rule,
                "not the name of a header",
                "use letters, digits and `-`",
            ));
        }
        let sendable = text.chars().all(|c| c == ' ' || c.is_ascii_graphic());
        (!passes_keda(text) || !sendable).then_some((
            rule,
            "KEDA cannot send this value",
            "use printable ASCII without `,` and `=`; a value with either can be given by `authentication.header`",
        ))
    })
}

/// Reads the parameters that KEDA adds to a query.
pub(super) fn query_parameters(
    reader: &mut Reader<'_>,
    value: Value<'_>,
) -> Option<BTreeMap<String, String>> {
    texts(
        reader,
        value,
        "{partial_response: \"false\"}",
        |name, text| {
            let rule = Rule::QueryParametersInvalid;
            if PARAMETERS_OF_KEDA.contains(&name) {
                return Some((
                    rule,
                    "set by KEDA itself",
                    "remove it; a namespace is given as `prometheus.namespace`",
                ));
            }
            (!is_token(name) || !passes_keda(text)).then_some((
                rule,
                "KEDA cannot send this parameter",
                "use a plain name, and a value without `,` and `=`",
            ))
        },
    )
}

fn texts(
    reader: &mut Reader<'_>,
    value: Value<'_>,
    example: &str,
    refusal: impl Fn(&str, &str) -> Option<Refusal>,
) -> Option<BTreeMap<String, String>> {
    let Kind::Mapping(entries) = &value.node.kind else {
        let help = format!("write names with their values, such as `{example}`");
        return reader.wrong_type(value, "a mapping", help);
    };
    let before = reader.problems.len();
    let mut texts = BTreeMap::new();
    for (key, node) in entries {
        let name = key.text().unwrap_or_default();
        let Some(text) = reader.text(Value::new(name, node)) else {
            continue;
        };
        if let Some((rule, label, help)) = refusal(name, &text) {
            let title = format!("`{}` cannot stand in {value}", name.escape_debug());
            let whole = Span {
                end: node.span.end,
                ..key.span
            };
            let at = if rule == Rule::HeadersSecret {
                key.span
            } else {
                whole
            };
            let problem = Problem::new(rule, at, title, label, help);
            reader.problems.push(if rule == Rule::HeadersSecret {
                problem.hiding(node.span)
            } else {
                problem
            });
        }
        texts.insert(name.to_owned(), text);
    }
    (reader.problems.len() == before).then_some(texts)
}

/// Whether a value comes through KEDA's parser as it is.
fn passes_keda(text: &str) -> bool {
    !text.is_empty() && text.trim() == text && !text.contains([',', '='])
}

/// A token of HTTP: <https://www.rfc-editor.org/rfc/rfc9110#name-tokens>, without `,` and `=`, which are none.
fn is_token(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

fn is_qualified(name: &str) -> bool {
    let (prefix, name) = match name.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, name),
    };
    let prefixed = prefix.is_none_or(|prefix| prefix.split('.').all(is_dns_label));
    prefixed && name.len() <= LONGEST_LABEL_VALUE && is_word(name)
}

fn is_word(text: &str) -> bool {
    let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    let bytes = text.as_bytes();
    edge(bytes.first())
        && edge(bytes.last())
        && bytes
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_through_keda_only_without_its_separators() {
        for (text, expected) in [
            ("shop", true),
            ("a|b", true),
            ("a b", true),
            ("", false),
            (" a", false),
            ("a=b", false),
            ("YQ==", false),
            ("a,b", false),
        ] {
            assert_eq!(passes_keda(text), expected, "{text:?}");
        }
    }

    #[test]
    fn names_of_labels_are_those_of_kubernetes() {
        for (name, expected) in [
            ("team", true),
            ("app.kubernetes.io/name", true),
            ("a_b.C-d", true),
            ("", false),
            ("/a", false),
            ("a/", false),
            ("A.io/a", false),
            ("-a", false),
            ("a b", false),
            ("a/b/c", false),
        ] {
            assert_eq!(is_qualified(name), expected, "{name:?}");
        }
    }
}

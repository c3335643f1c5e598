//! Findings as SARIF 2.1.0, which code scanning services take:
//! <https://docs.oasis-open.org/sarif/sarif/v2.1.0/sarif-v2.1.0.html>.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::place::{Input, Place, places};
use crate::lint::Report;
use crate::problem::{Problem, Rule, Severity, Span};

/// The findings as SARIF, with a line feed at its end. Suppressed ones are there too, with their reasons.
///
/// # Errors
///
/// If the findings do not become JSON, which is a fault of the program.
pub fn sarif(report: &Report) -> serde_json::Result<String> {
    let places = places(report);
    let all = || {
        let suppressed = report
            .suppressed
            .iter()
            .map(|suppressed| &suppressed.problem);
        report.problems.iter().chain(suppressed)
    };
    let rules: Vec<Rule> = all()
        .map(|problem| problem.rule)
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    let mut results: Vec<Value> = report
        .problems
        .iter()
        .map(|problem| result(problem, None, &rules, &places))
        .collect();
    results.extend(report.suppressed.iter().map(|suppressed| {
        result(
            &suppressed.problem,
            Some(&suppressed.reason),
            &rules,
            &places,
        )
    }));
    let log = json!({
        "$schema": "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": env!("CARGO_PKG_NAME"),
                "semanticVersion": env!("CARGO_PKG_VERSION"),
                "rules": rules.iter().map(|rule| descriptor(*rule)).collect::<Vec<_>>(),
            }},
            "columnKind": "unicodeCodePoints",
            "results": results,
        }],
    });
    let mut text = serde_json::to_string_pretty(&log)?;
    text.push('\n');
    Ok(text)
}

fn descriptor(rule: Rule) -> Value {
    json!({
        "id": rule.id(),
        "shortDescription": {"text": rule.summary()},
        "help": {"text": rule.page(), "markdown": rule.page()},
        "defaultConfiguration": {"level": level(rule.severity())},
    })
}

fn result(problem: &Problem, reason: Option<&str>, rules: &[Rule], places: &[Input<'_>]) -> Value {
    let why = problem
        .note
        .as_ref()
        .map(|note| format!(" Why: {note}."))
        .unwrap_or_default();
    let text = format!(
        "{}: {}.{why} Help: {}.",
        problem.title, problem.label, problem.help
    );
    let mut result = json!({
        "ruleId": problem.rule.id(),
        "ruleIndex": rules.iter().position(|rule| *rule == problem.rule),
        "level": level(problem.severity),
        "message": {"text": text},
        "locations": [location(problem.at, None, places)],
    });
    if let Some(object) = result.as_object_mut() {
        if let Some((span, label)) = &problem.related {
            object.insert(
                "relatedLocations".to_owned(),
                json!([location(*span, Some(label), places)]),
            );
        }
        if let Some(reason) = reason {
            object.insert(
                "suppressions".to_owned(),
                json!([{"kind": "inSource", "justification": reason}]),
            );
        }
    }
    result
}

fn location(span: Span, message: Option<&str>, places: &[Input<'_>]) -> Value {
    let place = Place::of(places, span);
    let mut location = json!({
        "physicalLocation": {
            "artifactLocation": {"uri": uri(place.file)},
            "region": {
                "startLine": place.line,
                "startColumn": place.column,
                "endLine": place.end_line,
                "endColumn": place.end_column,
            },
        },
    });
    if let (Some(message), Some(object)) = (message, location.as_object_mut()) {
        object.insert("message".to_owned(), json!({"text": message}));
    }
    location
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Info => "note",
        Severity::Warning => "warning",
        Severity::Error => "error",
    }
}

/// A path as a reference of RFC 3986: relative paths stay so, and every byte that a URI does not have is escaped.
fn uri(path: &str) -> String {
    let mut text = String::new();
    for byte in path.replace('\\', "/").bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte) {
            text.push(char::from(byte));
        } else {
            text.push('%');
            for digit in [byte >> 4, byte & 15] {
                let digit = char::from_digit(u32::from(digit), 16).unwrap_or('0');
                text.push(digit.to_ascii_uppercase());
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_becomes_a_reference() {
        assert_eq!(uri("charts/a b.yaml"), "charts/a%20b.yaml");
        assert_eq!(uri("<stdin>"), "%3Cstdin%3E");
        assert_eq!(uri("c:ä"), "c%3A%C3%A4");
    }
}

//! Findings for programs: one JSON object, whose form is described in `docs/rules/README.md` and stays.

use serde::Serialize;

use super::place::{Place, places};
use crate::lint::{Checked, Report};
use crate::problem::{Problem, Severity, Span};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'r> {
    findings: Vec<Finding<'r>>,
    suppressed: Vec<Suppressed<'r>>,
    summary: Summary,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Finding<'r> {
    rule: &'static str,
    severity: &'static str,
    message: &'r str,
    #[serde(flatten)]
    place: Place<'r>,
    label: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<&'r str>,
    help: &'r str,
    #[serde(skip_serializing_if = "Option::is_none")]
    related: Option<Related<'r>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    object: Option<Object<'r>>,
}

#[derive(Serialize)]
struct Related<'r> {
    #[serde(flatten)]
    place: Place<'r>,
    label: &'r str,
}

#[derive(Serialize)]
struct Object<'r> {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<&'r str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'r str>,
}

#[derive(Serialize)]
struct Suppressed<'r> {
    reason: &'r str,
    #[serde(flatten)]
    finding: Finding<'r>,
}

#[derive(Serialize)]
struct Summary {
    errors: usize,
    warnings: usize,
    infos: usize,
    suppressed: usize,
    objects: usize,
}

/// The findings as JSON, with a line feed at its end.
///
/// # Errors
///
/// If the findings do not become JSON, which is a fault of the program.
pub fn json(report: &Report) -> serde_json::Result<String> {
    let places = places(report);
    let place = |span: Span| Place::of(&places, span);
    let finding = |problem| finding(problem, report, &place);
    let document = Document {
        findings: report.problems.iter().map(finding).collect(),
        suppressed: report
            .suppressed
            .iter()
            .map(|suppressed| Suppressed {
                reason: &suppressed.reason,
                finding: finding(&suppressed.problem),
            })
            .collect(),
        summary: Summary {
            errors: report.count(Severity::Error),
            warnings: report.count(Severity::Warning),
            infos: report.count(Severity::Info),
            suppressed: report.suppressed.len(),
            objects: report.checked.len(),
        },
    };
    let mut text = serde_json::to_string_pretty(&document)?;
    text.push('\n');
    Ok(text)
}

fn finding<'r>(
    problem: &'r Problem,
    report: &'r Report,
    place: &impl Fn(Span) -> Place<'r>,
) -> Finding<'r> {
    let related = problem.related.as_ref().map(|(span, label)| Related {
        place: place(*span),
        label,
    });
    Finding {
        rule: problem.rule.id(),
        severity: problem.severity.as_str(),
        message: &problem.title,
        place: place(problem.at),
        label: &problem.label,
        why: problem.note.as_deref(),
        help: &problem.help,
        related,
        object: object(problem.at, &report.checked),
    }
}

fn object(at: Span, checked: &[Checked]) -> Option<Object<'_>> {
    let inside = |object: &&Checked| {
        object.span.source == at.source && (object.span.start..=object.span.end).contains(&at.start)
    };
    let found = checked.iter().find(inside)?;
    Some(Object {
        kind: found.kind,
        namespace: found.namespace.as_deref(),
        name: found.name.as_deref(),
    })
}

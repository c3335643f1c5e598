//! Problems as people read them: the frame is rustc's, drawn by `annotate-snippets`, because its readers know it.

use std::collections::BTreeSet;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

use crate::problem::{Problem, Severity, Source, Span};

/// How many problems are drawn. A file of another kind, given by mistake, has one on every line.
pub const MAX_SHOWN: usize = 100;

/// Draws problems for a terminal or a log, at most [`MAX_SHOWN`] of them, and ends with a line that counts them all and says what
/// follows from them.
pub fn text(problems: &[Problem], sources: &[Source], consequence: &str, colour: bool) -> String {
    let renderer = if colour {
        Renderer::styled()
    } else {
        Renderer::plain()
    };
    let texts: Vec<String> = (0..sources.len())
        .filter_map(|index| Some(without_secrets(sources.get(index)?, index, problems)))
        .collect();
    let mut out = String::new();
    for problem in problems.iter().take(MAX_SHOWN) {
        out.push_str(&frame(problem, sources, &texts, &renderer));
        out.push_str("\n\n");
    }
    let worst = problems.iter().map(|problem| problem.severity).max();
    let title =
        level(worst.unwrap_or(Severity::Info)).primary_title(summary(problems, consequence));
    out.push_str(&renderer.render(&[Group::with_title(title)]));
    out.push('\n');
    out
}

/// The level at which `annotate-snippets` draws a severity.
const fn level(severity: Severity) -> Level<'static> {
    match severity {
        Severity::Info => Level::INFO,
        Severity::Warning => Level::WARNING,
        Severity::Error => Level::ERROR,
    }
}

fn summary(problems: &[Problem], consequence: &str) -> String {
    let specs: BTreeSet<usize> = problems.iter().map(|problem| problem.at.source).collect();
    let count = |number: usize, one: &str, many: &str| {
        let noun = if number == 1 { one } else { many };
        format!("{number} {noun}")
    };
    let shown = if problems.len() > MAX_SHOWN {
        format!(", the first {MAX_SHOWN} shown")
    } else {
        String::new()
    };
    format!(
        "{} in {}{shown}; {consequence}",
        count(problems.len(), "problem", "problems"),
        count(specs.len(), "input", "inputs"),
    )
}

fn frame(problem: &Problem, sources: &[Source], texts: &[String], renderer: &Renderer) -> String {
    let snippet = |span: Span, kind: AnnotationKind, label: &str| {
        let source = sources.get(span.source)?;
        let text = texts.get(span.source)?;
        let range = on_one_line(text, span);
        Some((source, text, kind.span(range).label(label.to_owned())))
    };
    let title = level(problem.severity)
        .primary_title(problem.title.as_str())
        .id(problem.rule.id());
    let mut group = Group::with_title(title);
    let primary = snippet(problem.at, AnnotationKind::Primary, &problem.label);
    let related = problem
        .related
        .as_ref()
        .and_then(|(span, label)| snippet(*span, AnnotationKind::Context, label));
    if let Some((source, text, annotation)) = primary {
        let mut first = Snippet::source(text.as_str())
            .path(source.name.as_str())
            .annotation(annotation);
        let mut second = None;
        if let Some((other, other_text, other_annotation)) = related {
            if problem
                .related
                .as_ref()
                .is_some_and(|(span, _)| span.source == problem.at.source)
            {
                first = first.annotation(other_annotation);
            } else {
                second = Some(
                    Snippet::source(other_text.as_str())
                        .path(other.name.as_str())
                        .annotation(other_annotation),
                );
            }
        }
        group = group.element(first).elements(second);
    }
    if let Some(note) = &problem.note {
        group = group.element(Level::NOTE.message(note.clone()));
    }
    let help = Level::HELP.message(problem.help.clone());
    renderer.render(&[group.element(help)])
}

/// Narrows a place to its first line, and to whole characters: a caret under one line says more than a bracket over ten.
fn on_one_line(text: &str, span: Span) -> Range<usize> {
    let start = (0..=span.start.min(text.len()))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(0);
    let rest = text.get(start..).unwrap_or_default();
    let line = rest.find(['\n', '\r']).unwrap_or(rest.len());
    let end = (start..=span.end.clamp(start, start + line))
        .rev()
        .find(|&at| text.is_char_boundary(at))
        .unwrap_or(start);
    start..end
}

/// The text with every secret replaced by asterisks, byte for byte, so that all places stay where they are.
fn without_secrets(source: &Source, index: usize, problems: &[Problem]) -> String {
    let mut text = source.text.clone();
    for secret in problems.iter().filter_map(|problem| problem.secret) {
        let range = secret.start..secret.end;
        if secret.source == index && text.get(range.clone()).is_some() {
            let hidden = |byte| if byte == b'\n' { '\n' } else { '*' };
            let asterisks = text.bytes().skip(secret.start).take(range.len());
            let asterisks: String = asterisks.map(hidden).collect();
            text.replace_range(range, &asterisks);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Rule;

    fn span(start: usize, end: usize) -> Span {
        Span {
            source: 0,
            start,
            end,
        }
    }

    #[test]
    fn a_place_is_narrowed_to_whole_characters_of_its_first_line() {
        for (text, from, expected) in [
            ("abc\ndef", span(1, 6), 1..3),
            ("abc\r\ndef", span(1, 6), 1..3),
            ("äö", span(1, 3), 0..2),
            ("abc", span(90, 99), 3..3),
            ("", span(0, 0), 0..0),
        ] {
            assert_eq!(on_one_line(text, from), expected, "{text:?}");
        }
    }

    #[test]
    fn a_secret_is_hidden_in_every_frame_of_its_input() {
        let sources = [Source {
            name: "spec.yaml".to_owned(),
            text: "url: http://a:hunter2@b\n".to_owned(),
        }];
        let other = Problem::new(Rule::SpecUnknownField, span(0, 3), "t", "l", "h");
        let own = Problem::new(Rule::ServerAddressCredentials, span(5, 23), "t", "l", "h")
            .hiding(span(12, 21));
        let text = text(&[other, own], &sources, "nothing was written", false);
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(text.matches("http://*********@b").count(), 2, "{text}");
    }
}

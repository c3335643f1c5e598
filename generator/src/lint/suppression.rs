//! Comments that suppress a rule: `# bullmq-keda: ignore fallback/zero-replicas the queue may sleep for hours`.
//!
//! At the end of a line or on a line of its own above it, such a comment holds for what begins on that line. At the head of an object,
//! before its first field, it holds for the whole object. It names one rule and says why: a reader in a year has nothing else to go by. One
//! that suppresses nothing is told, because the next fault of the kind would pass under it.

use serde_saphyr::granit_parser::{self, Event, Parser, Placement};

use crate::document::Dialect;
use crate::position::Lines;
use crate::problem::{Problem, Rule, Source, Span};
use crate::spec::closest;

/// What begins a comment that is meant for us.
const MARK: &str = "bullmq-keda:";

/// How many comments may follow one another, such as a licence or a part that is commented out. Behind a longer run no comment is read.
const MAX_COMMENTS: usize = 100_000;

/// A finding that is not told, and why.
#[derive(Clone, Debug)]
pub struct Suppressed {
    /// The finding.
    pub problem: Problem,
    /// The reason that the comment gives.
    pub reason: String,
}

/// One comment.
struct Suppression {
    rule: Rule,
    reason: String,
    at: Span,
    /// Where the findings begin that it suppresses.
    scope: Span,
    used: bool,
}

/// Takes the findings that comments suppress out of `problems`, and tells of the comments that are wrong.
pub(super) fn apply(
    problems: &mut Vec<Problem>,
    sources: &[Source],
    objects: &[Span],
) -> Vec<Suppressed> {
    let mut told = Vec::new();
    let mut all: Vec<Suppression> = Vec::new();
    for (index, source) in sources.iter().enumerate() {
        // Most files have none, and need not be read twice.
        if source.text.contains(MARK) {
            all.extend(read(source, index, objects, &mut told));
        }
    }
    let mut suppressed = Vec::new();
    problems.retain(|problem| {
        let comment = all.iter_mut().find(|comment| {
            comment.rule == problem.rule
                && comment.scope.source == problem.at.source
                && (comment.scope.start..comment.scope.end).contains(&problem.at.start)
        });
        let Some(comment) = comment else {
            return true;
        };
        comment.used = true;
        suppressed.push(Suppressed {
            problem: problem.clone(),
            reason: comment.reason.clone(),
        });
        false
    });
    told.extend(all.iter().filter(|comment| !comment.used).map(unused));
    problems.extend(told);
    suppressed
}

fn unused(comment: &Suppression) -> Problem {
    Problem::new(
        Rule::SuppressionUnused,
        comment.at,
        format!("nothing here breaks `{}`", comment.rule),
        "suppresses nothing",
        "remove the comment, or move it to the line above the one that it means, or to the head of the object",
    )
}

fn read(
    source: &Source,
    index: usize,
    objects: &[Span],
    told: &mut Vec<Problem>,
) -> Vec<Suppression> {
    let lines = Lines::of(&source.text);
    let comments = comments(&source.text, index);
    let mut all = Vec::new();
    for (at, text, alone) in &comments {
        let Some(words) = text.trim_start_matches(['#', ' ']).strip_prefix(MARK) else {
            continue;
        };
        let Some((rule, reason)) = parse(words, *at, told) else {
            continue;
        };
        let line = lines.line(at.start);
        let target = if *alone {
            // Several comments may stand above one line.
            let mut line = line + 1;
            while lines
                .text(line)
                .is_some_and(|text| text.trim_start().starts_with('#') || text.trim() == "---")
            {
                line += 1;
            }
            line
        } else {
            line
        };
        let head = objects
            .iter()
            .find(|object| *alone && object.source == index && lines.line(object.start) == target);
        let scope = match head {
            Some(object) => *object,
            None => Span {
                source: index,
                start: lines.start(target),
                end: lines.start(end_of(&lines, target)),
            },
        };
        all.push(Suppression {
            rule,
            reason,
            at: *at,
            scope,
            used: false,
        });
    }
    all
}

/// The line behind the last one that a comment on `line` means: a text in block style belongs to the line of its key.
fn end_of(lines: &Lines<'_>, line: usize) -> usize {
    let text = lines.text(line).unwrap_or_default();
    let indent = |text: &str| text.len() - text.trim_start_matches([' ', '-']).len();
    let head = text.trim_end_matches(|c: char| c.is_ascii_digit() || c == '-' || c == '+');
    let begins_block = head.ends_with(" |") || head.ends_with(" >");
    let mut end = line + 1;
    while begins_block
        && lines
            .text(end)
            .is_some_and(|inner| inner.trim().is_empty() || indent(inner) > indent(text))
    {
        end += 1;
    }
    end
}

/// The rule and the reason of a comment; what is wrong with it is told.
fn parse(words: &str, at: Span, told: &mut Vec<Problem>) -> Option<(Rule, String)> {
    const FORM: &str = "write `# bullmq-keda: ignore RULE why it is right here`";
    let mut words = words.split_whitespace();
    let (verb, id) = (words.next(), words.next());
    let reason = words.collect::<Vec<_>>().join(" ");
    let rule = id.and_then(Rule::from_id);
    match (verb, rule) {
        (Some("ignore"), Some(rule)) if !reason.is_empty() => Some((rule, reason)),
        (Some("ignore"), Some(rule)) => {
            told.push(
                Problem::new(
                    Rule::SuppressionWithoutReason,
                    at,
                    "a comment that suppresses a rule says why, and this one suppresses nothing",
                    "no reason",
                    format!("write `# bullmq-keda: ignore {rule} why it is right here`"),
                )
                .because("whoever reads it in a year has nothing else to go by"),
            );
            None
        }
        _ => {
            let ids: Vec<&str> = Rule::all().map(Rule::id).collect();
            let close = id.and_then(|id| closest(id, &ids));
            told.push(Problem::new(
                Rule::SuppressionUnknownRule,
                at,
                match (verb, id) {
                    (Some("ignore"), Some(id)) => {
                        format!("there is no rule `{}`", id.escape_debug())
                    }
                    _ => "this comment is meant for bullmq-keda and cannot be read".to_owned(),
                },
                "suppresses nothing",
                match close {
                    Some(close) => format!("did you mean `{close}`?"),
                    None => FORM.to_owned(),
                },
            ));
            None
        }
    }
}

/// Every comment: where it stands, its text, and whether it has its line for itself.
fn comments(text: &str, source: usize) -> Vec<(Span, String, bool)> {
    let options = granit_parser::options! {
        emit_comments: true,
        max_buffered_comment_events: MAX_COMMENTS,
        flow_nesting_limit: 4 * Dialect::MANIFESTS.max_depth,
        block_nesting_limit: 4 * Dialect::MANIFESTS.max_depth,
    };
    let mut found = Vec::new();
    for event in Parser::new_from_str_with_options(text, options) {
        // What is no YAML has been told, and what stands behind it was not linted either.
        let Ok((event, span)) = event else {
            break;
        };
        if let Event::Comment(comment, placement) = event
            && let Some(range) = span.byte_range()
        {
            let span = Span {
                source,
                start: range.start,
                end: range.end,
            };
            found.push((span, comment.into_owned(), placement != Placement::Right));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_in_block_style_belongs_to_the_line_of_its_key() {
        let text = "a:\n  query: |-\n    x\n\n    y\n  b: 1\n- c: >\n    z\nd: x|\n";
        let lines = Lines::of(text);
        for (line, expected) in [(0, 1), (1, 5), (5, 6), (6, 8), (8, 9)] {
            assert_eq!(end_of(&lines, line), expected, "{line}");
        }
    }
}

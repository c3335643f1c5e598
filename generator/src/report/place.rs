//! Places as programs count them: lines and columns from 1, the end one behind the last character.

use serde::Serialize;

use crate::lint::Report;
use crate::position::Lines;
use crate::problem::Span;

/// One input with its lines.
pub(super) struct Input<'r> {
    name: &'r str,
    lines: Lines<'r>,
}

/// The lines of every input, found once.
pub(super) fn places(report: &Report) -> Vec<Input<'_>> {
    let inputs = report.sources.iter().map(|source| Input {
        name: &source.name,
        lines: Lines::of(&source.text),
    });
    inputs.collect()
}

/// Where a finding stands.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Place<'r> {
    pub(super) file: &'r str,
    pub(super) line: usize,
    pub(super) column: usize,
    pub(super) end_line: usize,
    pub(super) end_column: usize,
}

impl<'r> Place<'r> {
    pub(super) fn of(inputs: &[Input<'r>], span: Span) -> Self {
        let Some(input) = inputs.get(span.source) else {
            return Self {
                file: "",
                line: 1,
                column: 1,
                end_line: 1,
                end_column: 1,
            };
        };
        let (line, column) = input.lines.position(span.start);
        let (end_line, end_column) = input.lines.position(span.end.max(span.start));
        Self {
            file: input.name,
            line,
            column,
            end_line,
            end_column,
        }
    }
}

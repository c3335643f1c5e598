//! Findings as workflow commands, which GitHub shows beside the line in a pull request:
//! <https://docs.github.com/en/actions/reference/workflows-and-actions/workflow-commands#setting-an-error-message>.

use std::fmt::Write as _;

use super::place::{Place, places};
use crate::lint::Report;
use crate::problem::Severity;

/// The findings as workflow commands, one a line.
pub fn github(report: &Report) -> String {
    let places = places(report);
    let mut text = String::new();
    for problem in &report.problems {
        let command = match problem.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        let place = Place::of(&places, problem.at);
        let why = problem
            .note
            .as_ref()
            .map(|note| format!("\n{note}"))
            .unwrap_or_default();
        let message = format!(
            "{}: {}{why}\nhelp: {}",
            problem.title, problem.label, problem.help
        );
        // GitHub takes columns only within one line.
        let columns = if place.line == place.end_line {
            format!(",col={},endColumn={}", place.column, place.end_column)
        } else {
            String::new()
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "::{command} file={},line={},endLine={}{columns},title={}::{}",
            property(place.file),
            place.line,
            place.end_line,
            property(problem.rule.id()),
            data(&message),
        );
    }
    text
}

/// A message, in which a line feed would end the command:
/// <https://github.com/actions/toolkit/blob/main/packages/core/src/command.ts> (`escapeData`).
fn data(text: &str) -> String {
    text.replace('%', "%25")
        .replace('\r', "%0D")
        .replace('\n', "%0A")
}

/// A property, in which a comma or colon would end it as well (`escapeProperty`).
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_name_or_message_ends_the_command() {
        assert_eq!(property("a,b:c%\nd"), "a%2Cb%3Ac%25%0Ad");
        assert_eq!(data("50%: a,b\r\n::error::"), "50%25: a,b%0D%0A::error::");
    }
}

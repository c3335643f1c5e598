//! One thing that is wrong: where, what, and what to write instead.
//!
//! Every stage adds to one list and goes on, so that a file is mended in one round and not in ten. How problems are told is decided
//! in [`crate::report`].

pub use crate::rule::{Rule, Severity};

/// One input: a file, or stdin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The name under which problems are told: the path as it was given, or `<stdin>`.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// A place in one of the inputs, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span {
    /// The index of the input in the order in which the inputs were given.
    pub source: usize,
    /// The first byte.
    pub start: usize,
    /// The byte after the last one.
    pub end: usize,
}

/// One thing that is wrong with a spec or a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, as a closed set.
    pub rule: Rule,
    /// How much it matters here: that of the rule, unless the place says otherwise.
    pub severity: Severity,
    /// What is wrong, in one line.
    pub title: String,
    /// Where.
    pub at: Span,
    /// What stands there, in a few words beside the caret.
    pub label: String,
    /// Another place that has to do with it.
    pub related: Option<(Span, String)>,
    /// Why it matters, where the title does not say so by itself.
    pub note: Option<String>,
    /// What to write instead.
    pub help: String,
    /// A place that is shown as asterisks, in this problem and in every other.
    pub secret: Option<Span>,
}

impl Problem {
    /// A problem at one place.
    pub fn new(
        rule: Rule,
        at: Span,
        title: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            severity: rule.severity(),
            title: title.into(),
            at,
            label: label.into(),
            related: None,
            note: None,
            help: help.into(),
            secret: None,
        }
    }

    /// Adds a second place that has to do with it.
    #[must_use]
    pub fn related(mut self, at: Span, label: impl Into<String>) -> Self {
        self.related = Some((at, label.into()));
        self
    }

    /// Says why it matters.
    #[must_use]
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.note = Some(why.into());
        self
    }

    /// Gives it another severity than its rule has, because of what stands around it.
    #[must_use]
    pub const fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// Hides a place, because it holds a secret and the output may be a log that many read.
    #[must_use]
    pub fn hiding(mut self, secret: Span) -> Self {
        self.secret = Some(secret);
        self
    }
}

/// Brings problems into the order of inputs and lines, and drops those that say the same of the same place.
pub fn in_order(mut problems: Vec<Problem>) -> Vec<Problem> {
    problems.sort_by(|a, b| (a.at, a.rule, &a.title).cmp(&(b.at, b.rule, &b.title)));
    problems.dedup();
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_said_twice_of_one_place_is_told_once() {
        let problem = Problem::new(
            Rule::SpecMissingField,
            Span {
                source: 0,
                start: 0,
                end: 1,
            },
            "t",
            "l",
            "h",
        );
        assert_eq!(in_order(vec![problem.clone(), problem.clone()]), [problem]);
    }
}

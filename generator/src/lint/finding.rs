//! What a rule found inside one text, such as a query: the place counts from the beginning of that text.
//!
//! The rules of queries, formulas and keys know nothing of YAML. Whoever calls them knows where the text was written and maps the
//! place with [`crate::written::place`].

use std::ops::Range;

use crate::rule::{Rule, Severity};

/// One thing that is wrong with a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What is wrong, as a closed set.
    pub rule: Rule,
    /// How much it matters here.
    pub severity: Severity,
    /// Where, in bytes of the text.
    pub at: Range<usize>,
    /// What is wrong, in one line.
    pub title: String,
    /// What stands there, in a few words.
    pub label: String,
    /// What to do about it, in words.
    pub help: String,
    /// What to write instead of the whole text, where that can be said, and what is to be said behind it.
    pub instead: Option<(String, String)>,
}

impl Finding {
    /// A finding with the severity of its rule.
    pub fn new(
        rule: Rule,
        at: Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self {
            rule,
            severity: rule.severity(),
            at,
            title: title.into(),
            label: label.into(),
            help: help.into(),
            instead: None,
        }
    }

    /// The same, with a text to write instead, and what is to be said behind it.
    #[must_use]
    pub fn instead(mut self, text: String, then: impl Into<String>) -> Self {
        self.instead = Some((text, then.into()));
        self
    }

    /// The whole help in one sentence.
    pub fn sentence(&self) -> String {
        match &self.instead {
            Some((text, then)) => format!("{} `{text}`{then}", self.help),
            None => self.help.clone(),
        }
    }

    /// The same, with another severity because of where it stands.
    #[must_use]
    pub fn with_severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

//! Walking the tree of a document: mappings with known fields, and values of one kind.
//!
//! Each reader returns nothing after it has told what is wrong, so that the walk goes on with the next field.

use std::fmt;
use std::sync::Arc;

use super::shape::FieldShape;
use crate::document::{Kind, Node};
use crate::problem::{Problem, Rule, Span};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it was written.
    pub span: Span,
}

/// What became of a field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field<T> {
    /// It was not written.
    Missing,
    /// It was written, and what is wrong with it has been told.
    Wrong,
    /// It was written, and is right as far as it can be judged alone.
    Given(At<T>),
}

impl<T> Field<T> {
    /// The field itself if it was written, right or wrong, and otherwise the other one.
    pub fn or<'a>(&'a self, default: &'a Self) -> &'a Self {
        match self {
            Self::Missing => default,
            Self::Wrong | Self::Given(_) => self,
        }
    }

    /// The value, if there is a right one.
    pub fn given(&self) -> Option<&At<T>> {
        match self {
            Self::Given(at) => Some(at),
            Self::Missing | Self::Wrong => None,
        }
    }
}

impl Field<String> {
    /// Whether this text was given.
    pub fn is(&self, text: &str) -> bool {
        self.given().is_some_and(|at| at.value == text)
    }
}

/// A value on its way through a reader, with the name of its field for the sentences.
#[derive(Clone, Copy, Debug)]
pub(super) struct Value<'n> {
    name: &'n str,
    index: Option<usize>,
    pub(super) node: &'n Arc<Node>,
}

impl<'n> Value<'n> {
    pub(super) fn new(name: &'n str, node: &'n Arc<Node>) -> Self {
        Self {
            name,
            index: None,
            node,
        }
    }
}

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.index {
            None => write!(f, "`{}`", self.name),
            Some(index) => write!(f, "`{}[{index}]`", self.name),
        }
    }
}

/// A mapping whose fields are known.
pub(super) struct Mapping<'n> {
    pub(super) span: Span,
    entries: Vec<(&'n str, &'n Arc<Node>)>,
    /// Known fields that were meant by unknown ones: they are not missing as well.
    misspelt: Vec<&'static str>,
    whole: bool,
}

impl Mapping<'_> {
    /// Whether every field in it is known.
    pub(super) const fn is_whole(&self) -> bool {
        self.whole
    }
}

/// The one list of problems, and the readers that add to it.
pub(super) struct Reader<'p> {
    pub(super) problems: &'p mut Vec<Problem>,
}

impl Reader<'_> {
    pub(super) fn refuse<T>(&mut self, problem: Problem) -> Option<T> {
        self.problems.push(problem);
        None
    }

    /// Refuses a value of another kind. `expected` ends "takes ...", `help` says what to write.
    pub(super) fn wrong_type<T>(
        &mut self,
        value: Value<'_>,
        expected: &str,
        help: impl Into<String>,
    ) -> Option<T> {
        self.refuse(Problem::new(
            Rule::SpecWrongType,
            value.node.span,
            format!("{value} takes {expected}"),
            format!("found {}", value.node.description()),
            help,
        ))
    }

    /// Reads a mapping and refuses every field that is not known.
    pub(super) fn mapping<'n>(
        &mut self,
        value: Value<'n>,
        fields: &'static [FieldShape],
    ) -> Option<Mapping<'n>> {
        let known: Vec<&'static str> = fields.iter().map(|field| field.name).collect();
        let Kind::Mapping(entries) = &value.node.kind else {
            let fields = listed(&known);
            return self.wrong_type(value, "a mapping", format!("write one or more of {fields}"));
        };
        let (mut fields, mut misspelt) = (Vec::new(), Vec::new());
        for (key, node) in entries {
            match key.text() {
                Some(name) if known.contains(&name) => fields.push((name, node)),
                name => {
                    let name = name.unwrap_or_default();
                    misspelt.extend(self.unknown(key.span, name, value, &known));
                }
            }
        }
        Some(Mapping {
            span: value.node.span,
            whole: fields.len() == entries.len(),
            entries: fields,
            misspelt,
        })
    }

    /// Tells of a field that is not known, and returns the one that was probably meant.
    fn unknown(
        &mut self,
        span: Span,
        name: &str,
        of: Value<'_>,
        known: &[&'static str],
    ) -> Option<&'static str> {
        let meant = closest(name, known);
        let help = match meant {
            _ if name == "<<" => {
                "merge keys are not read: write what workers share under `defaults`".to_owned()
            }
            Some(close) => format!("did you mean `{close}`?"),
            None => format!("{of} takes {}", listed(known)),
        };
        self.problems.push(Problem::new(
            Rule::SpecUnknownField,
            span,
            format!("unknown field `{}`", name.escape_debug()),
            "not a field here",
            help,
        ));
        meant
    }

    /// Reads one field of a mapping.
    pub(super) fn field<'n, T>(
        &mut self,
        mapping: &Mapping<'n>,
        name: &str,
        read: impl FnOnce(&mut Self, Value<'n>) -> Option<T>,
    ) -> Field<T> {
        let Some(&(name, node)) = mapping.entries.iter().find(|(key, _)| *key == name) else {
            return if mapping.misspelt.contains(&name) {
                Field::Wrong
            } else {
                Field::Missing
            };
        };
        match read(self, Value::new(name, node)) {
            Some(value) => Field::Given(At {
                value,
                span: node.span,
            }),
            None => Field::Wrong,
        }
    }

    /// Reads a list, each item by itself.
    pub(super) fn list<'n, T>(
        &mut self,
        value: Value<'n>,
        example: &str,
        mut read: impl FnMut(&mut Self, Value<'n>) -> T,
    ) -> Option<Vec<T>> {
        let Kind::Sequence(items) = &value.node.kind else {
            return self.wrong_type(
                value,
                "a list",
                format!("write a list, such as `{example}`"),
            );
        };
        let item = |(index, node): (usize, &'n Arc<Node>)| {
            let index = Some(index);
            read(
                self,
                Value {
                    index,
                    node,
                    ..value
                },
            )
        };
        Some(items.iter().enumerate().map(item).collect())
    }

    /// Reads a text. What other readers of YAML take for a number or a truth value must stand in quotes.
    pub(super) fn text(&mut self, value: Value<'_>) -> Option<String> {
        let node = value.node;
        let Some(text) = node.text() else {
            return self.wrong_type(value, "a text", "write one word, or a text in quotes");
        };
        if node.is_null() {
            return self.wrong_type(value, "a text", "write a text, or remove the field");
        }
        if node.truth().is_some() || node.looks_like_a_number() {
            return self.wrong_type(value, "a text", format!("put it in quotes: \"{text}\""));
        }
        if text.contains('\0') {
            return self.refuse(Problem::new(
                Rule::TextNul,
                node.span,
                format!("{value} holds a NUL character"),
                "NUL inside",
                "remove the NUL character",
            ));
        }
        Some(text.to_owned())
    }

    /// Reads a truth value.
    pub(super) fn truth(&mut self, value: Value<'_>) -> Option<bool> {
        match value.node.truth() {
            Some(truth) => Some(truth),
            None => self.wrong_type(value, "a truth value", "write `true` or `false`"),
        }
    }

    /// Reads a whole number from `least` up to the largest that Kubernetes holds (int32).
    pub(super) fn whole(&mut self, value: Value<'_>, least: u32, rule: Rule) -> Option<u32> {
        const LARGEST: u32 = i32::MAX.unsigned_abs();
        let text = value.node.plain_text().unwrap_or_default();
        let digits = text.strip_prefix('-').unwrap_or(text);
        let leading_zero = digits.len() > 1 && digits.starts_with('0');
        if digits.is_empty() || leading_zero || !digits.bytes().all(|b| b.is_ascii_digit()) {
            let help = "write plain digits, such as `10`";
            return self.wrong_type(value, "a whole number", help);
        }
        match text.parse::<u32>() {
            Ok(number) if (least..=LARGEST).contains(&number) => Some(number),
            Ok(_) | Err(_) => self.refuse(Problem::new(
                rule,
                value.node.span,
                format!("{value} is out of range"),
                format!("not from {least} to {LARGEST}"),
                format!("write a whole number, {least} or more"),
            )),
        }
    }
}

/// The known name that was probably meant: the same but for case and separators, or a few letters off.
pub(crate) fn closest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let folded = |text: &str| text.replace(['_', '-'], "").to_lowercase();
    known
        .iter()
        .map(|candidate| {
            let distance = strsim::damerau_levenshtein(&folded(name), &folded(candidate));
            (distance, *candidate)
        })
        .filter(|(distance, candidate)| *distance <= candidate.len() / 3)
        .min()
        .map(|(_, candidate)| candidate)
}

fn listed(names: &[&str]) -> String {
    names
        .iter()
        .map(|name| quoted(name))
        .collect::<Vec<_>>()
        .join(", ")
}

fn quoted(name: &str) -> String {
    format!("`{name}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_field_finds_the_one_that_was_meant() {
        let known = &["concurrency", "replicas", "idleAfter", "job", "name"];
        for (name, expected) in [
            ("concurency", Some("concurrency")),
            ("idle_after", Some("idleAfter")),
            ("IdleAfter", Some("idleAfter")),
            ("replica", Some("replicas")),
            ("nmae", Some("name")),
            ("jobs", Some("job")),
            ("rateLimit", None),
            ("", None),
        ] {
            assert_eq!(closest(name, known), expected, "{name}");
        }
    }
}

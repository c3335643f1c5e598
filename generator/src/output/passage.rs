//! What manifests pass through when a chart takes them as values, and which texts do not come out of it as they went in.
//!
//! Every chart prints the list by `toYaml`; some then render what was printed, by `tpl`, so that a manifest may hold templates of the chart. A
//! text with two braces in a row comes unchanged through the one or through the other, and never through both: what `tpl` leaves alone has to be
//! written as a template that prints it. In a query there is a third way to write it, because PromQL has escapes of its own.

use serde_json::Value;

use super::Worker;
use crate::manifest::Manifest;

/// What becomes of the manifests in the chart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Passage {
    /// Either, so that what is written has to be right for both.
    #[default]
    Unknown,
    /// They are printed as they are.
    ToYaml,
    /// What was printed is rendered.
    Tpl,
}

/// A text that does not come through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Lost {
    /// It would be taken for a template, or would be printed as one.
    Template(String),
    /// It has a character that Helm's `toYaml` cannot read again: of a manifest with it, it makes nothing, and of NEL a blank.
    Unprintable(String, char),
}

impl Lost {
    /// The text.
    pub fn text(&self) -> &str {
        match self {
            Self::Template(text) | Self::Unprintable(text, _) => text,
        }
    }
}

const BRACES: &str = "{{";

impl Passage {
    /// A manifest as it is written into the values.
    pub(super) fn prepared(self, manifest: &Manifest) -> Manifest {
        let manifest = manifest.clone().without_braces();
        match self {
            Self::Unknown | Self::ToYaml => manifest,
            // Between backticks Go's templates take nothing for an end, and `toYaml` quotes nothing.
            Self::Tpl => manifest.with_texts(|text| text.replace(BRACES, "{{`{{`}}")),
        }
    }
}

impl Worker {
    /// The texts of its manifests that would not come through.
    pub fn lost(&self, passage: Passage) -> Vec<Lost> {
        let mut lost = Vec::new();
        for manifest in &self.manifests {
            let manifest = manifest.clone().without_braces();
            visit(manifest.tree(), &mut |text| {
                if text.contains(BRACES) && passage == Passage::Unknown {
                    lost.push(Lost::Template(text.to_owned()));
                }
                if let Some(character) = text.chars().find(|c| super::UNPRINTABLE(*c)) {
                    lost.push(Lost::Unprintable(text.to_owned(), character));
                }
            });
        }
        lost
    }
}

fn visit(value: &Value, found: &mut dyn FnMut(&str)) {
    match value {
        Value::Object(entries) => {
            for (name, value) in entries {
                found(name);
                visit(value, found);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| visit(item, found)),
        Value::String(text) => found(text),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

//! YAML as a tree that remembers where everything stands.
//!
//! A deserializer stops at the first field that does not fit. We want every problem of a file at once, so we read the events of
//! the parser (the one that serde-saphyr itself stands on) into a tree, and `spec` walks it field by field. Only what is no YAML
//! at all ends the reading of a file.
//!
//! Scalars keep the text that was written and whether it was quoted: `0123` or `1e3` mean different numbers to different YAML
//! readers, and only the reader of a field knows what the field takes. Anchors and aliases are followed. Merge keys and tags are
//! not: `defaults` says the one more plainly, and quotes the other.

use std::collections::HashMap;
use std::sync::Arc;

use serde_saphyr::granit_parser::{self, Event, Parser, ScalarStyle};

use crate::problem::{Problem, Rule, Source, Span};

/// What an input may be: its bounds, and whether it may have tags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    /// What an input of this kind is called in a sentence, such as `a spec`.
    pub name: &'static str,
    /// The largest input in bytes.
    pub max_bytes: usize,
    /// The most nodes of an input, every use of an alias counted in full, so that aliases of aliases cannot fill the memory.
    pub max_nodes: usize,
    /// How deep an input may nest.
    pub max_depth: usize,
    /// Whether tags are read over. If not, they are told.
    pub tags: bool,
}

impl Dialect {
    /// A spec of workers. One of a thousand workers takes about 200 kB and its deepest field lies six levels down; more is a file of
    /// another kind.
    pub const SPEC: Self = Self {
        name: "a spec",
        max_bytes: 1 << 20,
        max_nodes: 100_000,
        max_depth: 16,
        tags: false,
    };
    /// Manifests of Kubernetes. A whole rendered chart of charts takes a few MB, and the schema in a `CustomResourceDefinition`, the
    /// deepest object that charts render, stays below 64 levels.
    pub const MANIFESTS: Self = Self {
        name: "manifests",
        max_bytes: 32 << 20,
        max_nodes: 4_000_000,
        max_depth: 64,
        tags: true,
    };
}

/// One value of a YAML document.
#[derive(Debug)]
pub struct Node {
    /// Where it stands. An alias leads to the place where its value was written.
    pub span: Span,
    /// What it is.
    pub kind: Kind,
    nodes: usize,
    depth: usize,
}

/// What a node is.
#[derive(Debug)]
pub enum Kind {
    /// A single value.
    Scalar {
        /// The text, escapes resolved.
        text: String,
        /// Whether it stood without quotes, and so may be a number, a truth value or nothing at all.
        plain: bool,
    },
    /// A list.
    Sequence(Vec<Arc<Node>>),
    /// Keys with their values, in the order in which they were written, each key once.
    Mapping(Vec<(Arc<Node>, Arc<Node>)>),
}

/// What could be read of one input.
#[derive(Debug, Default)]
pub struct Documents {
    /// The documents that were read to their end. Empty documents are left out.
    pub roots: Vec<Arc<Node>>,
    /// What stood in the way.
    pub problems: Vec<Problem>,
}

impl From<Problem> for Documents {
    fn from(problem: Problem) -> Self {
        Self {
            roots: Vec::new(),
            problems: vec![problem],
        }
    }
}

/// The first scalar below a node, key or value, that has this text, but for what stands under one of these keys.
pub fn scalar<'n>(node: &'n Node, wanted: &str, but_under: &[&str]) -> Option<&'n Node> {
    match &node.kind {
        Kind::Scalar { text, .. } => (text == wanted).then_some(node),
        Kind::Sequence(items) => items
            .iter()
            .find_map(|item| scalar(item, wanted, but_under)),
        Kind::Mapping(entries) => entries.iter().find_map(|(key, value)| {
            let skipped = key.text().is_some_and(|key| but_under.contains(&key));
            let value = || scalar(value, wanted, but_under).filter(|_| !skipped);
            scalar(key, wanted, but_under).or_else(value)
        }),
    }
}

/// Reads all documents of one input. `source` is its index, which every place names.
pub fn read(text: &str, source: usize, dialect: Dialect) -> Documents {
    let mut builder = Builder::new(dialect);
    let end = text.len();
    if end > dialect.max_bytes {
        let start = Span {
            source,
            start: 0,
            end: 0,
        };
        builder.refuse(Problem::new(
            Rule::YamlBounds,
            start,
            format!("the input is larger than {} bytes", dialect.max_bytes),
            format!("{end} bytes"),
            format!("give {}, or split it into several files", dialect.name),
        ));
        return builder.documents;
    }
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: 4 * dialect.max_depth,
        block_nesting_limit: 4 * dialect.max_depth,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => {
                let range = span.byte_range().unwrap_or(end..end);
                let span = Span {
                    source,
                    start: range.start,
                    end: range.end,
                };
                if builder.take(event, span).is_none() {
                    return builder.documents;
                }
            }
            Err(error) => {
                let at = error.marker().byte_offset().unwrap_or(end).min(end);
                builder.refuse(Problem::new(
                    Rule::YamlSyntax,
                    Span {
                        source,
                        start: at,
                        end: at + 1,
                    },
                    "this is not YAML",
                    error.info(),
                    "check the indentation, the quotes and the brackets here and on the line above",
                ));
                return builder.documents;
            }
        }
    }
    builder.documents
}

/// Makes the text of an input. If the bytes are not UTF-8, the text ends soon after the place where they are not, and there is a
/// problem.
pub fn decode(bytes: Vec<u8>, source: usize) -> (String, Option<Problem>) {
    let error = match String::from_utf8(bytes) {
        Ok(text) => return (text, None),
        Err(error) => error,
    };
    let at = error.utf8_error().valid_up_to();
    let problem = Problem::new(
        Rule::YamlNotUtf8,
        Span {
            source,
            start: at,
            end: at + 1,
        },
        "the input is not text in UTF-8",
        format!("byte {at} begins no character"),
        "save the file as UTF-8",
    );
    let shown = error.as_bytes().get(..=at).unwrap_or(error.as_bytes());
    (String::from_utf8_lossy(shown).into_owned(), Some(problem))
}

struct Builder {
    dialect: Dialect,
    documents: Documents,
    open: Vec<Open>,
    anchors: HashMap<usize, Arc<Node>>,
    nodes: usize,
}

/// A list or mapping whose end has not been seen.
struct Open {
    start: Span,
    anchor: usize,
    content: Content,
}

enum Content {
    Sequence(Vec<Arc<Node>>),
    Mapping {
        entries: Vec<(Arc<Node>, Arc<Node>)>,
        seen: HashMap<String, Span>,
        key: Option<Arc<Node>>,
    },
}

impl Builder {
    fn new(dialect: Dialect) -> Self {
        Self {
            dialect,
            documents: Documents::default(),
            open: Vec::new(),
            anchors: HashMap::new(),
            nodes: 0,
        }
    }

    fn refuse(&mut self, problem: Problem) {
        self.documents.problems.push(problem);
    }

    /// Takes one event, or returns nothing when the input cannot be read further.
    fn take(&mut self, event: Event<'_>, span: Span) -> Option<()> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                self.tagged(tag.is_some(), span);
                let plain = style == ScalarStyle::Plain;
                let text = text.into_owned();
                self.close(Kind::Scalar { text, plain }, span, anchor)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.tagged(tag.is_some(), span);
                self.enter(span, anchor, Content::Sequence(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                self.tagged(tag.is_some(), span);
                let content = Content::Mapping {
                    entries: Vec::new(),
                    seen: HashMap::new(),
                    key: None,
                };
                self.enter(span, anchor, content)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let open = self.open.pop()?;
                let kind = match open.content {
                    Content::Sequence(items) => Kind::Sequence(items),
                    Content::Mapping { entries, .. } => Kind::Mapping(entries),
                };
                let whole = Span {
                    end: span.end.max(open.start.end),
                    ..open.start
                };
                self.close(kind, whole, open.anchor)
            }
            Event::Alias(anchor) => self.alias(anchor, span),
            Event::DocumentEnd => {
                self.anchors.clear();
                Some(())
            }
            Event::StreamStart
            | Event::StreamEnd
            | Event::DocumentStart(..)
            | Event::Anchor(..)
            | Event::UnresolvedAlias(_)
            | Event::Comment(..)
            | _ => Some(()),
        }
    }

    fn enter(&mut self, start: Span, anchor: usize, content: Content) -> Option<()> {
        self.open.push(Open {
            start,
            anchor,
            content,
        });
        self.bounded(0, self.open.len(), start)
    }

    fn alias(&mut self, anchor: usize, span: Span) -> Option<()> {
        let Some(node) = self.anchors.get(&anchor).cloned() else {
            self.refuse(Problem::new(
                Rule::YamlRecursiveAlias,
                span,
                "this alias stands inside the value that it names",
                "a value cannot contain itself",
                "write the value out",
            ));
            return None;
        };
        self.bounded(node.nodes, self.open.len() + node.depth, span)?;
        self.attach(node);
        Some(())
    }

    fn close(&mut self, kind: Kind, span: Span, anchor: usize) -> Option<()> {
        self.bounded(1, self.open.len(), span)?;
        let (nodes, depth) = match &kind {
            Kind::Scalar { .. } => (1, 1),
            Kind::Sequence(items) => measure(items.iter()),
            Kind::Mapping(entries) => measure(entries.iter().flat_map(|(key, value)| [key, value])),
        };
        let node = Arc::new(Node {
            span,
            kind,
            nodes,
            depth,
        });
        if anchor != 0 {
            self.anchors.insert(anchor, Arc::clone(&node));
        }
        self.attach(node);
        Some(())
    }

    fn attach(&mut self, node: Arc<Node>) {
        let Some(open) = self.open.last_mut() else {
            if !node.is_null() {
                self.documents.roots.push(node);
            }
            return;
        };
        match &mut open.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping { entries, seen, key } => match key.take() {
                None => *key = Some(node),
                Some(key) => {
                    let first = key.text().and_then(|text| seen.get(text).copied());
                    if let Some(first) = first {
                        let problem = Problem::new(
                            Rule::YamlDuplicateKey,
                            key.span,
                            format!(
                                "`{}` stands twice in one mapping",
                                key.text().unwrap_or_default()
                            ),
                            "given again",
                            "keep one of the two",
                        );
                        self.documents
                            .problems
                            .push(problem.related(first, "first given here"));
                    } else {
                        if let Some(text) = key.text() {
                            seen.insert(text.to_owned(), key.span);
                        }
                        entries.push((key, node));
                    }
                }
            },
        }
    }

    fn tagged(&mut self, tagged: bool, span: Span) {
        if tagged && !self.dialect.tags {
            self.refuse(Problem::new(
                Rule::YamlTag,
                span,
                "a spec has no tags",
                "tagged value",
                "leave the tag out; a text that looks like a number goes in quotes",
            ));
        }
    }

    fn bounded(&mut self, more: usize, depth: usize, span: Span) -> Option<()> {
        self.nodes = self.nodes.saturating_add(more);
        let Dialect {
            max_depth,
            max_nodes,
            ..
        } = self.dialect;
        let (title, label) = if depth > max_depth {
            (
                format!("the input nests deeper than {max_depth} levels"),
                "too deep",
            )
        } else if self.nodes > max_nodes {
            (
                format!("the input has more than {max_nodes} values"),
                "one too many",
            )
        } else {
            return Some(());
        };
        let help = format!(
            "give {}; aliases count once for every use",
            self.dialect.name
        );
        self.refuse(Problem::new(Rule::YamlBounds, span, title, label, help));
        None
    }
}

fn measure<'a>(children: impl Iterator<Item = &'a Arc<Node>>) -> (usize, usize) {
    children.fold((1, 1), |(nodes, depth), child| {
        (
            nodes.saturating_add(child.nodes),
            depth.max(child.depth + 1),
        )
    })
}

impl Node {
    /// The text of a scalar, quoted or not.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::Sequence(_) | Kind::Mapping(_) => None,
        }
    }

    /// Whether nothing was written, or a word for nothing.
    pub fn is_null(&self) -> bool {
        self.plain_text()
            .is_some_and(|text| matches!(text, "" | "~" | "null" | "Null" | "NULL"))
    }

    /// The text of a scalar that stood without quotes.
    pub fn plain_text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, plain: true } => Some(text),
            Kind::Scalar { plain: false, .. } | Kind::Sequence(_) | Kind::Mapping(_) => None,
        }
    }

    /// The truth value, as YAML 1.2 knows it: `yes` and `on` are texts.
    /// See <https://yaml.org/spec/1.2.2/#1032-tag-resolution>.
    pub fn truth(&self) -> Option<bool> {
        match self.plain_text()? {
            "true" | "True" | "TRUE" => Some(true),
            "false" | "False" | "FALSE" => Some(false),
            _ => None,
        }
    }

    /// Whether it stands without quotes and reads as a number, to a reader of YAML 1.1 or of 1.2.
    pub fn looks_like_a_number(&self) -> bool {
        self.plain_text().is_some_and(|text| {
            let digits = text.trim_start_matches(['+', '-']);
            let special = [".inf", ".nan"];
            digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
                && (digits.replace('_', "").parse::<f64>().is_ok()
                    || digits.starts_with("0x")
                    || digits.starts_with("0o")
                    || special.contains(&digits.to_ascii_lowercase().as_str()))
        })
    }

    /// What it is, for a sentence that begins with "found".
    pub fn description(&self) -> &'static str {
        match &self.kind {
            Kind::Sequence(_) => "a list",
            Kind::Mapping(_) => "a mapping",
            Kind::Scalar { .. } if self.is_null() => "nothing",
            Kind::Scalar { .. } if self.truth().is_some() => "a truth value",
            Kind::Scalar { .. } if self.looks_like_a_number() => "a number",
            Kind::Scalar { .. } => "a text",
        }
    }
}

/// Whether an input held nothing that could be a spec: no document, and no problem that explains it.
pub fn is_empty(documents: &Documents) -> bool {
    documents.roots.is_empty() && documents.problems.is_empty()
}

/// The problem of an input that holds nothing.
pub fn empty(source: &Source, index: usize) -> Problem {
    let at = source.text.trim_start_matches('\u{feff}').len();
    let start = source.text.len() - at;
    Problem::new(
        Rule::SpecEmpty,
        Span {
            source: index,
            start,
            end: start,
        },
        "the input holds no spec",
        "nothing but blanks and comments",
        "begin with `apiVersion: bullmq-keda/v1`",
    )
}

//! What can be wrong with a spec, and how it is told.
//!
//! A problem says where, what, and what to write instead. Every stage adds to one list and goes on, so that a spec is mended
//! in one round and not in ten. The frame is rustc's, drawn by `annotate-snippets`, because its readers know it.

use std::collections::BTreeSet;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// How many problems are drawn. A file of another kind, given by mistake, has one on every line.
pub const MAX_SHOWN: usize = 100;

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

macro_rules! rules {
    ($($(#[doc = $doc:literal])+ $variant:ident = $id:literal,)+) => {
        /// What is wrong, as a closed set. Each has a stable id, an anchor of that id in `SPEC.md`, and a bad spec with its
        /// exact diagnostic in `tests/problems/`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Rule {
            /// Every rule, in the order of the fields of a spec.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable id, such as `replicas/max-below-min`.
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$variant => $id,)+
                }
            }
        }
    };
}

rules! {
    /// The input is not text in UTF-8.
    YamlNotUtf8 = "yaml/not-utf8",
    /// The input is not YAML.
    YamlSyntax = "yaml/syntax",
    /// The input is larger or deeper than any spec.
    YamlBounds = "yaml/bounds",
    /// A tag, which a spec never needs.
    YamlTag = "yaml/tag",
    /// An alias inside the very node that it names.
    YamlRecursiveAlias = "yaml/recursive-alias",
    /// A field that stands twice in one mapping.
    YamlDuplicateKey = "yaml/duplicate-key",
    /// An input without any spec.
    SpecEmpty = "spec/empty",
    /// A field that is not known here.
    SpecUnknownField = "spec/unknown-field",
    /// A field that must be given.
    SpecMissingField = "spec/missing-field",
    /// A value of another kind than the field takes.
    SpecWrongType = "spec/wrong-type",
    /// A version of the spec that is not known.
    ApiVersionUnknown = "api-version/unknown",
    /// A text with a NUL character.
    TextNul = "text/nul",
    /// A duration that is not in the written form.
    DurationUnreadable = "duration/unreadable",
    /// A duration of nothing, or finer than a millisecond.
    DurationTooShort = "duration/too-short",
    /// A duration longer than any in this field.
    DurationTooLong = "duration/too-long",
    /// A server address that is not an HTTP URL.
    ServerAddressNotHttp = "server-address/not-http",
    /// A server address with a user or a password in it.
    ServerAddressCredentials = "server-address/credentials",
    /// A server address with a query string or a fragment.
    ServerAddressQueryString = "server-address/query-string",
    /// A server address that names the path of the API.
    ServerAddressApiPath = "server-address/api-path",
    /// A server address with a slash at its end.
    ServerAddressTrailingSlash = "server-address/trailing-slash",
    /// A scrape interval that leaves gaps.
    ScrapeIntervalTooLong = "scrape-interval/too-long",
    /// A matcher whose label name is not one.
    MatchersLabelName = "matchers/label-name",
    /// A matcher on a label that the query sets itself.
    MatchersReservedLabel = "matchers/reserved-label",
    /// An empty list of horizons.
    HorizonsNone = "horizons/none",
    /// Horizons that do not rise.
    HorizonsNotRising = "horizons/not-rising",
    /// A spec without a worker.
    WorkersNone = "workers/none",
    /// A worker's name that Kubernetes refuses.
    NameInvalid = "name/invalid",
    /// A worker's name too long for the HPA that KEDA names after it.
    NameTooLong = "name/too-long",
    /// Two workers of one name in one namespace.
    NameDuplicate = "name/duplicate",
    /// A namespace that Kubernetes refuses.
    NamespaceInvalid = "namespace/invalid",
    /// A target's name that Kubernetes refuses.
    TargetNameInvalid = "target/name-invalid",
    /// A target's kind that is not one, or that has no replicas to scale.
    TargetKindInvalid = "target/kind-invalid",
    /// A target's API version that is not one.
    TargetApiVersionInvalid = "target/api-version-invalid",
    /// A target of a kind whose API version cannot be guessed.
    TargetApiVersionMissing = "target/api-version-missing",
    /// Two workers that scale the same target.
    TargetDuplicate = "target/duplicate",
    /// A worker without a queue.
    QueuesNone = "queues/none",
    /// A worker whose queues may all be missing.
    QueuesAllOptional = "queues/all-optional",
    /// An empty queue name, prefix or Redis name.
    QueuesEmptyName = "queues/empty-name",
    /// A queue that stands twice in one worker.
    QueuesDuplicate = "queues/duplicate",
    /// A concurrency of nothing, or beyond any number of jobs.
    ConcurrencyRange = "concurrency/range",
    /// A number of replicas that Kubernetes does not take.
    ReplicasRange = "replicas/range",
    /// A largest number of replicas below the smallest.
    ReplicasMaxBelowMin = "replicas/max-below-min",
    /// A way to scale that is not known.
    ScaleUnknown = "scale/unknown",
    /// A number of jobs for each replica that cannot be a threshold.
    ScaleJobsPerReplica = "scale/jobs-per-replica",
    /// A utilization that is not written in percent.
    UtilizationUnreadable = "utilization/unreadable",
    /// A utilization of nothing, or above all.
    UtilizationRange = "utilization/range",
    /// A longest job that is shorter than the mean job.
    JobLongestBelowMean = "job/longest-below-mean",
    /// A startup time that no horizon covers.
    StartupBeyondHorizons = "startup/beyond-horizons",
    /// An answer to the loss of metrics that is not known.
    OnMetricsLossUnknown = "on-metrics-loss/unknown",
    /// A fallback outside the worker's own bounds.
    OnMetricsLossReplicas = "on-metrics-loss/replicas",
    /// A quiet time that is too short to tell quiet from a stalled job.
    IdleAfterTooShort = "idle-after/too-short",
    /// A query too long for an HTTP GET.
    QueryTooLong = "query/too-long",
}

/// One thing that is wrong with a spec.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, as a closed set.
    pub rule: Rule,
    /// What is wrong, in one line.
    pub title: String,
    /// Where.
    pub at: Span,
    /// What stands there, in a few words beside the caret.
    pub label: String,
    /// Another place that has to do with it.
    pub related: Option<(Span, String)>,
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
            title: title.into(),
            at,
            label: label.into(),
            related: None,
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

/// Draws problems for a terminal or a log, at most [`MAX_SHOWN`] of them, and ends with a line that counts them all.
pub fn render(problems: &[Problem], sources: &[Source], colour: bool) -> String {
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
    out.push_str(&renderer.render(&[Group::with_title(
        Level::ERROR.primary_title(summary(problems)),
    )]));
    out.push('\n');
    out
}

fn summary(problems: &[Problem]) -> String {
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
        "{} in {}{shown}; no manifest was written",
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
    let title = Level::ERROR
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
    use std::collections::HashSet;

    fn span(start: usize, end: usize) -> Span {
        Span {
            source: 0,
            start,
            end,
        }
    }

    #[test]
    fn every_rule_has_its_own_id_of_two_words_or_groups() {
        let ids: HashSet<_> = Rule::ALL.iter().map(|rule| rule.id()).collect();
        assert_eq!(ids.len(), Rule::ALL.len());
        for id in ids {
            let (field, fault) = id.split_once('/').unwrap();
            for part in [field, fault] {
                assert!(
                    part.bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                    "{id}"
                );
            }
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
        let text = render(&[other, own], &sources, false);
        assert!(!text.contains("hunter2"), "{text}");
        assert_eq!(text.matches("http://*********@b").count(), 2, "{text}");
    }

    #[test]
    fn what_is_said_twice_of_one_place_is_told_once() {
        let problem = Problem::new(Rule::SpecMissingField, span(0, 1), "t", "l", "h");
        assert_eq!(in_order(vec![problem.clone(), problem.clone()]), [problem]);
    }
}

//! What is wrong with a query that KEDA's prometheus trigger asks, by its parsed expression.
//!
//! What KEDA makes of an answer is in <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/prometheus_scaler.go>: one series is
//! its value, no series is 0 or an error, as `ignoreNullValues` says, and anything else is an error.
//!
//! A query is judged by what is sure. Metrics that [`family`] does not know are any gauge; what a recording rule has aggregated is not
//! asked. A warning that is wrong costs more than one that is missing.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a rule names the few kinds of expression that it is about, and has nothing to say of the rest"
)]

pub mod family;
mod jobs;
pub mod shape;
pub mod syntax;

use std::ops::Range;
use std::time::Duration;

use bullmq_vocabulary::prometheus_duration;
use promql_parser::parser::token::{
    T_ADD, T_COUNT, T_DIV, T_EQLC, T_GTE, T_GTR, T_LAND, T_LOR, T_LUNLESS, T_MOD, T_MUL, T_NEQ,
    T_SUM,
};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{Expr, LabelModifier, MatrixSelector, VectorSelector};

use super::finding::Finding;
use crate::plan::LONGEST_QUERY;
use crate::rule::{Rule, Severity};
use crate::workload::DEFAULT_SCRAPE_INTERVAL;
use shape::Series;
use syntax::Node;

/// The scrapes that a rate needs to outlive one that is lost, and one more to stand across.
const SCRAPES_IN_A_WINDOW: u32 = 4;

/// What a server takes for a query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// Prometheus, Thanos, Mimir and whoever else reads PromQL.
    PromQl,
    /// `VictoriaMetrics`, which takes more than PromQL does.
    MetricsQl,
}

/// What is known of the trigger that asks, and of the object in which it stands.
#[derive(Clone, Copy, Debug)]
pub struct Context<'c> {
    /// Whether KEDA reads a missing answer as 0: `ignoreNullValues` is not `"false"`.
    pub null_is_zero: bool,
    /// Whether the workload scales to zero.
    pub to_zero: bool,
    /// Whether it is a `ScaledJob`, whose pods run one job each and are not taken away.
    pub scaled_job: bool,
    /// The name of what is scaled.
    pub target: Option<&'c str>,
    /// The language that the server takes.
    pub language: Language,
    /// How often the metrics are scraped, if known.
    pub scrape_interval: Option<Duration>,
    /// The queries of the other triggers of the same object, of which the largest answer counts.
    pub siblings: &'c [&'c str],
}

/// A query that was understood.
struct Query<'q> {
    text: &'q str,
    root: Node<'q>,
    context: Context<'q>,
}

/// How many faults of a query are mended one after the other for the text to write instead; there are not as many rules that have one.
const MOST_REPAIRS: usize = 16;

/// Tells everything that is wrong with a query. What is to be written instead mends all of it, so that nobody is led from one fault to
/// the next.
pub fn lint(text: &str, context: Context<'_>) -> Vec<Finding> {
    let mut findings = faults(text, context);
    if findings.iter().all(|finding| finding.instead.is_none()) {
        return findings;
    }
    let whole = mended(text, context);
    for finding in &mut findings {
        if let Some((instead, _)) = &mut finding.instead {
            instead.clone_from(&whole);
        }
    }
    findings
}

/// A query with everything mended that can be.
fn mended(text: &str, context: Context<'_>) -> String {
    let mut text = text.to_owned();
    for _ in 0..MOST_REPAIRS {
        let next = faults(&text, context)
            .into_iter()
            .find_map(|finding| finding.instead);
        match next {
            Some((next, _)) if next != text => text = next,
            Some(_) | None => break,
        }
    }
    text
}

fn faults(text: &str, context: Context<'_>) -> Vec<Finding> {
    let mut findings = Vec::from_iter(too_long(text));
    let expr = match syntax::parse(text) {
        Ok(expr) => expr,
        Err(mistake) => {
            let finding = no_query(text, &mistake);
            findings.push(match context.language {
                Language::PromQl => finding,
                Language::MetricsQl => finding.with_severity(Severity::Info),
            });
            return findings;
        }
    };
    let query = Query {
        text,
        root: syntax::locate(&expr, text),
        context,
    };
    // Of a result that KEDA cannot read at all nothing else matters.
    if let Some(finding) = query.result_type() {
        findings.push(finding);
        return findings;
    }
    findings.extend(query.several_series());
    findings.extend(query.null_is_zero());
    findings.extend(query.absence_as_zero());
    findings.extend(query.filters());
    findings.extend(query.divisions());
    findings.extend(query.double_counts());
    findings.extend(query.own_series());
    findings.extend(query.short_windows());
    findings.extend(query.counters());
    findings.extend(jobs::lint(&query));
    // Last, because its remedy repeats the selectors.
    findings.extend(query.no_completeness_count());
    findings
}

fn no_query(text: &str, mistake: &syntax::Mistake) -> Finding {
    let help = if text.trim().is_empty() {
        "write the query, such as `sum(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{queue=\"email\"}))`"
    } else if text.contains("{{") {
        "this looks like a template: render it first, and lint what it makes"
    } else if text.contains('$') {
        "KEDA asks the text as it stands, and variables of Grafana or the shell are no PromQL: write their values"
    } else {
        "correct it, and paste it into Prometheus to see its answer"
    };
    Finding::new(
        Rule::QuerySyntax,
        mistake.at.clone(),
        "this is not a query in PromQL",
        mistake.message.clone(),
        help,
    )
}

fn too_long(text: &str) -> Option<Finding> {
    let length = text.chars().count();
    (length > LONGEST_QUERY).then(|| {
        Finding::new(
            Rule::QueryTooLong,
            0..text.len(),
            "this query is long for an HTTP GET",
            format!("{length} characters, and {LONGEST_QUERY} pass every proxy"),
            "make a recording rule of it, and ask for that",
        )
        .with_severity(Severity::Info)
    })
}

impl<'q> Query<'q> {
    /// The text of a place.
    fn at(&self, at: &Range<usize>) -> &'q str {
        self.text.get(at.clone()).unwrap_or_default()
    }

    /// The query with places replaced, on one line where that says the same, for a sentence.
    fn with(&self, edits: &[(Range<usize>, String)]) -> String {
        let mut edits: Vec<_> = edits.iter().collect();
        edits.sort_by_key(|(at, _)| (at.start, at.end));
        let (mut out, mut from) = (String::new(), 0);
        for (at, replacement) in edits {
            // The outer one of two edits has replaced the inner one already.
            if at.start >= from {
                out.push_str(self.at(&(from..at.start)));
                out.push_str(replacement);
                from = at.end;
            }
        }
        out.push_str(self.at(&(from..self.text.len())));
        one_line(&out)
    }

    /// The text of a place with another place in it replaced.
    fn spliced(&self, place: &Range<usize>, (at, replacement): &(Range<usize>, String)) -> String {
        let before = self.at(&(place.start..at.start));
        let behind = self.at(&(at.end..place.end));
        format!("{before}{replacement}{behind}")
    }

    /// The query with something that is applied to all of it.
    fn wrapped(&self, before: &str, after: &str) -> String {
        let text = self.text.trim();
        // A comment at the end would take in what comes behind it.
        let line = if text.contains('#') { "\n" } else { "" };
        one_line(&format!("{before}{text}{line}{after}"))
    }

    fn whole(&self) -> Range<usize> {
        let start = self.text.len() - self.text.trim_start().len();
        start..self.text.trim_end().len().max(start)
    }

    fn result_type(&self) -> Option<Finding> {
        let bare = self.root.bare();
        match self.root.expr.value_type() {
            ValueType::Vector => None,
            ValueType::Scalar => {
                let inner = match (bare.expr, bare.children.as_slice()) {
                    (Expr::Call(call), [inner]) if call.func.name == "scalar" => Some(inner),
                    _ => None,
                };
                let fixed = inner.map_or_else(
                    || self.wrapped("vector(", ")"),
                    |inner| one_line(self.at(&inner.at)),
                );
                let finding = Finding::new(
                    Rule::QueryScalar,
                    self.whole(),
                    "the result of this query is a scalar",
                    "KEDA reads an instant vector, and nothing else",
                    "write",
                );
                Some(finding.instead(fixed, ""))
            }
            ValueType::String => Some(Finding::new(
                Rule::QueryScalar,
                self.whole(),
                "the result of this query is a string",
                "KEDA reads an instant vector, and nothing else",
                "ask for a metric",
            )),
            ValueType::Matrix => {
                let instant = match bare.expr {
                    Expr::MatrixSelector(matrix) => Some(matrix.vs.to_string()),
                    _ => bare
                        .children
                        .first()
                        .map(|inner| one_line(self.at(&inner.at))),
                };
                let fixed = instant.unwrap_or_default();
                let finding = Finding::new(
                    Rule::QueryRangeVector,
                    self.whole(),
                    "the result of this query is a range of samples",
                    "KEDA finds no value in it",
                    "ask for the newest sample:",
                );
                Some(finding.instead(
                    fixed,
                    ", or aggregate the range, for example with `max_over_time`",
                ))
            }
        }
    }

    fn several_series(&self) -> Option<Finding> {
        let title = "this query may have several series, of which KEDA takes none";
        match shape::series(&self.root) {
            Series::One | Series::Unknown => None,
            Series::PerExporter(node) => {
                // All of it: what is matched with the series keeps its labels.
                let fixed = self.wrapped("max(", ")");
                Some(
                    Finding::new(
                        Rule::QuerySeveralSeries,
                        node.at.clone(),
                        title,
                        "one series of each exporter, and for a while two when its pod is replaced",
                        "write",
                    )
                    .instead(fixed, "")
                    .with_severity(Severity::Warning),
                )
            }
            Series::Several(node) => {
                let (label, fixed) = self.aggregated(node);
                let at = node.at.clone();
                let finding = Finding::new(Rule::QuerySeveralSeries, at, title, label, "write");
                Some(finding.instead(fixed, ""))
            }
        }
    }

    /// What makes several series at a node, and the query with one.
    fn aggregated(&self, node: &Node<'_>) -> (String, String) {
        if let Expr::Aggregate(aggregate) = node.expr
            && let Some(modifier) = &aggregate.modifier
        {
            let mut total = aggregate.clone();
            total.modifier = None;
            let labels = modifier.labels();
            let label = if modifier.is_include() {
                format!("one series for every value of {labels}")
            } else {
                format!("one series for every value of the labels beside {labels}")
            };
            // The largest of all is no sum of the largest of each.
            let adds = aggregate.op.id() == T_SUM;
            let fixed = if stands_alone(&self.root, node) && adds {
                self.with(&[(node.at.clone(), total.to_string())])
            } else if stands_alone(&self.root, node) {
                self.with(&[(node.at.clone(), format!("sum({})", self.at(&node.at)))])
            } else {
                self.wrapped("sum(", ")")
            };
            return (label, fixed);
        }
        let label = "one series for every set of labels that it matches".to_owned();
        let known = match node.expr {
            Expr::VectorSelector(selector) => family::known(selector),
            _ => None,
        };
        let fixed = match (node.expr, known) {
            (Expr::VectorSelector(_), known) if stands_alone(&self.root, node) => {
                let selector = self.at(&node.at);
                let fixed = known.map_or_else(
                    || format!("sum({selector})"),
                    |known| format!("sum(max by ({}) ({selector}))", known.identity.join(", ")),
                );
                self.with(&[(node.at.clone(), fixed)])
            }
            _ => self.wrapped("sum(", ")"),
        };
        (label, fixed)
    }

    fn null_is_zero(&self) -> Option<Finding> {
        (self.context.null_is_zero && shape::can_be_empty(&self.root)).then(|| {
            Finding::new(
                Rule::QueryNullIsZero,
                self.whole(),
                "KEDA reads a lost metric as 0 jobs",
                "no answer while the exporter or Redis is down, or a label has changed",
                "add `ignoreNullValues: \"false\"` to the trigger's metadata: then no answer is an error, and KEDA holds",
            )
        })
    }

    fn absence_as_zero(&self) -> Vec<Finding> {
        let answers = !shape::can_be_empty(&self.root);
        let mut findings = Vec::new();
        for node in self.values() {
            let Expr::Binary(binary) = node.expr else {
                continue;
            };
            let [left, right] = node.children.as_slice() else {
                continue;
            };
            if binary.op.id() != T_LOR || !is_zero(right) {
                continue;
            }
            // A rate of events is absent where none has happened yet; that is a zero.
            let selectors = left.selectors();
            let jobs = selectors.iter().any(|(_, selector)| {
                family::known(selector).is_some_and(|known| known.jobs.is_some())
            });
            let gauges = selectors
                .iter()
                .any(|(node, _)| matches!(node.expr, Expr::VectorSelector(_)));
            if !(jobs || (answers && gauges)) {
                continue;
            }
            let fixed = self.with(&[(left.at.end..node.at.end, String::new())]);
            let finding = Finding::new(
                Rule::QueryAbsenceAsZero,
                node.head.start..node.at.end,
                "this query makes 0 jobs of a lost metric",
                "0 as well while the exporter or Redis is down",
                "remove it:",
            )
            .instead(
                fixed,
                "; an exporter says 0 of an empty queue itself, and no answer must stay no answer, which KEDA holds on",
            );
            findings.push(if jobs && answers {
                finding
            } else {
                finding.with_severity(Severity::Warning)
            });
        }
        findings
    }

    /// The nodes whose values reach the result: not the right sides of `and` and `unless`, which only let through or not.
    fn values(&self) -> Vec<&Node<'q>> {
        fn add<'a, 'e>(node: &'a Node<'e>, nodes: &mut Vec<&'a Node<'e>>) {
            nodes.push(node);
            let lets_through = matches!(
                node.expr,
                Expr::Binary(binary) if matches!(binary.op.id(), T_LAND | T_LUNLESS)
            );
            let taken = if lets_through { 1 } else { node.children.len() };
            for child in node.children.iter().take(taken) {
                add(child, nodes);
            }
        }
        let mut nodes = Vec::new();
        add(&self.root, &mut nodes);
        nodes
    }

    fn filters(&self) -> Vec<Finding> {
        let mut filters = Vec::new();
        top_filters(&self.root, &mut filters);
        let finding = |node: &Node<'_>| {
            let [left, right] = node.children.as_slice() else {
                return None;
            };
            let Expr::Binary(binary) = node.expr else {
                return None;
            };
            let finding = |help| {
                Finding::new(
                    Rule::QueryFilter,
                    node.head.clone(),
                    "where this comparison is false the query has no answer",
                    "drops the series, and KEDA takes that for a lost metric",
                    help,
                )
            };
            Some(match number(right).filter(|_| number(left).is_none()) {
                Some(limit) => {
                    let fixed = self.with(&[(node.at.clone(), self.at(&left.at).to_owned())]);
                    let activation = match binary.op.id() {
                        T_GTR => format!(
                            ", and `activationThreshold: \"{limit}\"` to the trigger, which is active above it"
                        ),
                        T_GTE if limit.fract() == 0.0 => format!(
                            ", and `activationThreshold: \"{}\"` to the trigger, which is active above it",
                            limit - 1.0
                        ),
                        _ => String::new(),
                    };
                    finding("write").instead(fixed, activation)
                }
                None => finding(
                    "compare with `bool`, which answers 0 or 1, or leave the comparison out",
                ),
            })
        };
        filters.into_iter().filter_map(finding).collect()
    }

    fn divisions(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.divisions_in(&self.root, &mut Vec::new(), &mut findings);
        findings
    }

    /// `filters` are the right sides of `and` that have to be true for the node to count.
    fn divisions_in<'a>(
        &'a self,
        node: &'a Node<'q>,
        filters: &mut Vec<&'a Node<'q>>,
        findings: &mut Vec<Finding>,
    ) {
        let children = node.children.as_slice();
        if let (Expr::Binary(binary), [left, right]) = (node.expr, children) {
            match binary.op.id() {
                T_LAND | T_LUNLESS => {
                    filters.push(right);
                    self.divisions_in(left, filters, findings);
                    filters.pop();
                    return;
                }
                // NaN compares as false to everything, so a filter drops it.
                id if binary.op.is_comparison_operator()
                    && !binary.return_bool()
                    && id != T_NEQ =>
                {
                    return;
                }
                T_DIV | T_MOD => {
                    let demanded = filters.iter().any(|filter| {
                        filter
                            .walk()
                            .iter()
                            .any(|part| part.bare().expr == right.bare().expr)
                    });
                    if !demanded && !never_zero(right) {
                        let finding = |help| {
                            Finding::new(
                                Rule::QueryUnguardedDivision,
                                right.at.clone(),
                                "this divisor can be 0",
                                "0 divided by 0 is NaN, which KEDA reads as an error, or as 0 where it ignores nulls",
                                help,
                            )
                        };
                        // A scalar is held above zero inside, where it is a vector yet.
                        let divisor = match (right.bare().expr, right.bare().children.as_slice()) {
                            (Expr::Call(call), [inner]) if call.func.name == "scalar" => {
                                Some(inner)
                            }
                            _ => Some(right),
                        };
                        let divisor = divisor
                            .filter(|divisor| divisor.expr.value_type() == ValueType::Vector);
                        findings.push(match divisor {
                            Some(divisor) => {
                                let fixed =
                                    format!("clamp_min({}, 1e-9)", self.at(&divisor.bare().at));
                                finding("write")
                                    .instead(self.with(&[(divisor.at.clone(), fixed)]), "")
                            }
                            None => finding("keep the divisor above zero with `clamp_min`"),
                        });
                    }
                }
                _ => {}
            }
        }
        if let Expr::Call(call) = node.expr
            && call.func.name == "histogram_quantile"
        {
            let fixed = self.with(&[(node.at.clone(), format!("({} >= 0)", self.at(&node.at)))]);
            let finding = Finding::new(
                Rule::QueryUnguardedDivision,
                node.at.clone(),
                "a quantile of no observations is NaN",
                "NaN while nothing was observed, which KEDA reads as an error, or as 0 where it ignores nulls",
                "drop it:",
            );
            findings.push(finding.instead(fixed, ", and let another trigger count the jobs"));
        }
        for child in children {
            self.divisions_in(child, filters, findings);
        }
    }

    fn double_counts(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        for node in self.root.walk() {
            let Expr::Aggregate(aggregate) = node.expr else {
                continue;
            };
            let Some(inner) = node.children.last() else {
                continue;
            };
            let keeps_exporters = match node.grouping() {
                Some(LabelModifier::Include(labels)) => labels
                    .labels
                    .iter()
                    .any(|label| matches!(label.as_str(), "instance" | "pod")),
                Some(LabelModifier::Exclude(_)) => true,
                None => false,
            };
            if !matches!(aggregate.op.id(), T_SUM | T_COUNT) || keeps_exporters {
                continue;
            }
            let raw = unaggregated(inner);
            let Some((selector, known)) = raw.iter().find_map(|(node, selector)| {
                let one_exporter =
                    family::pinned(selector, "instance") || family::pinned(selector, "pod");
                family::known(selector)
                    .filter(|known| !one_exporter && !known.identity.is_empty())
                    .map(|known| (*node, known))
            }) else {
                continue;
            };
            let labels = known.identity.join(", ");
            let argument = inner.bare();
            let fixed = format!("max by ({labels}) ({})", self.at(&argument.at));
            let finding = Finding::new(
                Rule::QueryDoubleCount,
                selector.at.clone(),
                "this counts every job once for each exporter",
                "twice as many with two exporters, and while the pod of one is replaced",
                "write",
            );
            let fixed = self.with(&[(argument.at.clone(), fixed)]);
            findings.push(finding.instead(fixed, ""));
        }
        findings
    }

    fn own_series(&self) -> Option<Finding> {
        if !self.context.to_zero {
            return None;
        }
        let selectors = self.root.selectors();
        let own = |text: &str| {
            syntax::parse(text).is_ok_and(|expr| {
                let root = syntax::locate(&expr, text);
                let selectors = root.selectors();
                selectors.is_empty()
                    || selectors
                        .iter()
                        .any(|(_, selector)| family::from_worker(selector, self.context.target))
            })
        };
        let all = selectors
            .iter()
            .all(|(_, selector)| family::from_worker(selector, self.context.target));
        // Another trigger that does not depend on the worker wakes it.
        if !all || !self.context.siblings.iter().all(|text| own(text)) {
            return None;
        }
        let (node, _) = selectors.first()?;
        Some(Finding::new(
            Rule::QueryFromScaledWorkload,
            node.at.clone(),
            "these series come from the very worker that scales to zero",
            "gone at zero replicas, so that nothing wakes the worker",
            "ask for what an exporter beside the worker says: `sum(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{queue=\"...\"}))`",
        ))
    }

    fn short_windows(&self) -> Vec<Finding> {
        let scrape = self.context.scrape_interval;
        let least = scrape.unwrap_or(DEFAULT_SCRAPE_INTERVAL) * SCRAPES_IN_A_WINDOW;
        let mut findings = Vec::new();
        for node in self.root.walk() {
            let Expr::Call(call) = node.expr else {
                continue;
            };
            if !matches!(
                call.func.name,
                "rate" | "increase" | "irate" | "delta" | "idelta" | "deriv"
            ) {
                continue;
            }
            let Some(range) = node.children.first().map(Node::bare) else {
                continue;
            };
            let Expr::MatrixSelector(matrix) = range.expr else {
                continue;
            };
            if matrix.range >= least {
                continue;
            }
            let longer = MatrixSelector {
                range: least,
                ..matrix.clone()
            };
            let told = match scrape {
                Some(scrape) => format!("at a scrape every {}", prometheus_duration(scrape)),
                None => format!(
                    "at the usual scrape every {}",
                    prometheus_duration(DEFAULT_SCRAPE_INTERVAL)
                ),
            };
            let finding = Finding::new(
                Rule::QueryShortRateWindow,
                range.head.clone(),
                format!(
                    "`{}` needs two samples, and this window may hold one",
                    call.func.name
                ),
                format!("too short {told}, when one is lost"),
                "write",
            );
            let fixed = self.with(&[(range.at.clone(), longer.to_string())]);
            findings.push(finding.instead(fixed, ""));
        }
        findings
    }

    fn counters(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.counters_in(&self.root, &mut findings);
        findings
    }

    fn counters_in(&self, node: &Node<'_>, findings: &mut Vec<Finding>) {
        let children = node.children.as_slice();
        match node.expr {
            // Only whether there is a series matters to these.
            Expr::Aggregate(aggregate) if aggregate.op.id() == T_COUNT => {}
            Expr::Call(call)
                if matches!(
                    call.func.name,
                    "absent" | "absent_over_time" | "timestamp" | "count_over_time" | "changes"
                ) => {}
            // A difference of counters is a number of jobs between two places.
            Expr::Binary(binary) if matches!(binary.op.id(), T_LAND | T_LUNLESS) => {
                for child in children.iter().take(1) {
                    self.counters_in(child, findings);
                }
            }
            Expr::Binary(binary)
                if !matches!(binary.op.id(), T_LOR | T_ADD | T_MUL)
                    && children
                        .iter()
                        .all(|side| side.expr.value_type() == ValueType::Vector) => {}
            Expr::VectorSelector(selector) => {
                let counter = match family::known(selector) {
                    Some(known) => known.counter,
                    None => family::name(selector).is_some_and(|name| name.ends_with("_total")),
                };
                if counter {
                    let matrix = MatrixSelector {
                        vs: VectorSelector::clone(selector),
                        range: Duration::from_mins(5),
                    };
                    let fixed = self.with(&[(node.at.clone(), format!("rate({matrix})"))]);
                    let finding = Finding::new(
                        Rule::QueryCounterWithoutRate,
                        node.at.clone(),
                        "this counter only ever rises, and the replicas with it",
                        "everything since the process began",
                        "write",
                    );
                    findings.push(finding.instead(fixed, ", which is jobs per second"));
                }
            }
            _ => {
                for child in children {
                    self.counters_in(child, findings);
                }
            }
        }
    }

    fn no_completeness_count(&self) -> Option<Finding> {
        if counts(&self.root) {
            return None;
        }
        let counted = |text: &&str| {
            syntax::parse(text).is_ok_and(|expr| counts(&syntax::locate(&expr, text)))
        };
        // What another trigger of the object holds on, this one need not.
        if self.context.siblings.iter().any(counted) {
            return None;
        }
        let (node, known, queues) = self.values().into_iter().find_map(|node| {
            let selector = node.selector()?;
            let known = family::known(selector).filter(|known| known.jobs.is_some())?;
            let queues = family::matchers(selector, "queue")
                .find_map(family::alternatives)
                .filter(|queues| queues.len() > 1)?;
            Some((node, known, queues.len()))
        })?;
        let labels: Vec<&str> = known
            .identity
            .iter()
            .filter(|label| !matches!(**label, "state" | "within"))
            .copied()
            .collect();
        let instant = match node.expr {
            Expr::MatrixSelector(matrix) => matrix.vs.to_string(),
            _ => self.at(&node.at).to_owned(),
        };
        let guard = format!(
            " and on() (count(max by ({}) ({instant})) == {queues})",
            labels.join(", ")
        );
        let alone = matches!(self.root.expr, Expr::Binary(binary) if binary.op.id() == T_LOR);
        let fixed = if alone {
            self.wrapped("(", &format!("){guard}"))
        } else {
            self.wrapped("", &guard)
        };
        let finding = Finding::new(
            Rule::QueryNoCompletenessCount,
            node.at.clone(),
            format!(
                "if one of these {queues} queues is missing, the sum is lower and nobody knows"
            ),
            "a missing queue counts as 0",
            "write",
        );
        Some(finding.instead(fixed, ", which has no answer unless all are seen"))
    }
}

/// Whether nothing above a node is matched with its labels, so that they can be dropped there.
fn stands_alone(root: &Node<'_>, node: &Node<'_>) -> bool {
    if std::ptr::eq(root, node) {
        return true;
    }
    let Some(below) = root
        .children
        .iter()
        .find(|child| child.walk().iter().any(|part| std::ptr::eq(*part, node)))
    else {
        return false;
    };
    let matched = match root.expr {
        Expr::Binary(binary) => {
            let on_nothing = binary
                .modifier
                .as_ref()
                .and_then(|modifier| modifier.matching.as_ref())
                .is_some_and(|matching| matching.is_include() && matching.labels().is_empty());
            let vectors = root
                .children
                .iter()
                .all(|side| side.expr.value_type() == ValueType::Vector);
            let lets_through = matches!(binary.op.id(), T_LAND | T_LUNLESS) && on_nothing;
            let constant = binary.op.id() == T_LOR && root.children.last().is_some_and(is_zero);
            vectors && !lets_through && !constant
        }
        _ => false,
    };
    !matched && stands_alone(below, node)
}

/// Whether something in a query depends on how many series there are.
fn counts(root: &Node<'_>) -> bool {
    root.walk().iter().any(|node| match node.expr {
        Expr::Aggregate(aggregate) => aggregate.op.id() == T_COUNT,
        Expr::Call(call) => matches!(call.func.name, "absent" | "absent_over_time"),
        _ => false,
    })
}

/// The selectors that an aggregation takes in without another aggregation between.
fn unaggregated<'a, 'e>(node: &'a Node<'e>) -> Vec<(&'a Node<'e>, &'e VectorSelector)> {
    if let Some(selector) = node.selector() {
        return vec![(node, selector)];
    }
    if matches!(node.expr, Expr::Aggregate(_)) {
        return Vec::new();
    }
    let lets_through = matches!(
        node.expr,
        Expr::Binary(binary) if matches!(binary.op.id(), T_LAND | T_LUNLESS)
    );
    let taken = if lets_through { 1 } else { node.children.len() };
    node.children
        .iter()
        .take(taken)
        .flat_map(unaggregated)
        .collect()
}

/// The comparisons on which it depends whether the result has a series at all.
fn top_filters<'a, 'e>(node: &'a Node<'e>, filters: &mut Vec<&'a Node<'e>>) {
    let children = node.children.as_slice();
    match node.expr {
        Expr::Binary(binary) => match (binary.op.id(), children) {
            (T_LAND | T_LUNLESS, [left, _]) => top_filters(left, filters),
            (T_LOR, [left, right]) => {
                if shape::can_be_empty(left) && shape::can_be_empty(right) {
                    top_filters(left, filters);
                    top_filters(right, filters);
                }
            }
            (id, [_, right]) if binary.op.is_comparison_operator() => {
                // What is true of every number but NaN drops NaN, and nothing else of a number of jobs.
                let drops_nan = id == T_GTE && number(right).is_some_and(|limit| limit <= 0.0)
                    || id == T_GTR && number(right).is_some_and(|limit| limit < 0.0)
                    || id == T_EQLC && children.first().is_some_and(|left| left.expr == right.expr);
                if !binary.return_bool() && !drops_nan {
                    filters.push(node);
                }
            }
            // A filter in a divisor keeps NaN away.
            (T_DIV, [left, _]) => top_filters(left, filters),
            _ => {
                for child in children {
                    top_filters(child, filters);
                }
            }
        },
        Expr::Paren(_) | Expr::Unary(_) | Expr::Call(_) => {
            for child in children {
                if child.expr.value_type() == ValueType::Vector {
                    top_filters(child, filters);
                }
            }
        }
        _ => {}
    }
}

/// The number that a node is.
fn number(node: &Node<'_>) -> Option<f64> {
    match node.bare().expr {
        Expr::NumberLiteral(number) => Some(number.val),
        _ => None,
    }
}

/// Whether a node is 0 whatever is scraped.
fn is_zero(node: &Node<'_>) -> bool {
    let node = node.bare();
    match (node.expr, node.children.as_slice()) {
        (Expr::Call(call), [inner]) if call.func.name == "vector" => {
            number(inner).is_some_and(|value| value <= 0.0)
        }
        (Expr::Binary(binary), [left, right]) if binary.op.id() == T_MUL => {
            [left, right].iter().any(|side| number(side) == Some(0.0))
        }
        _ => false,
    }
}

/// Whether a divisor is sure not to be 0.
fn never_zero(node: &Node<'_>) -> bool {
    let node = node.bare();
    let children = node.children.as_slice();
    match node.expr {
        Expr::NumberLiteral(number) => number.val != 0.0,
        Expr::Call(call) => match (call.func.name, children) {
            ("clamp_min" | "clamp", [_, least, ..]) => {
                number(least).is_some_and(|least| least > 0.0)
            }
            // The scalar of a lost metric is NaN, which KEDA holds on as on no answer.
            ("vector" | "scalar", [inner]) => never_zero(inner),
            (name, _) => matches!(
                name,
                "time" | "count_over_time" | "days_in_month" | "exp" | "pi"
            ),
        },
        Expr::Aggregate(aggregate) => {
            aggregate.op.id() == T_COUNT || children.last().is_some_and(never_zero)
        }
        Expr::Binary(binary) => match (binary.op.id(), children) {
            (T_LAND | T_LUNLESS, [left, _]) => never_zero(left),
            (T_GTR, [_, right]) => number(right).is_some_and(|limit| limit >= 0.0),
            (T_GTE, [_, right]) => number(right).is_some_and(|limit| limit > 0.0),
            (T_NEQ, [_, right]) => number(right) == Some(0.0),
            (T_ADD, [left, right]) => [left, right]
                .iter()
                .any(|side| number(side).is_some_and(|number| number > 0.0)),
            (T_LOR | T_MUL | T_DIV, [left, right]) => never_zero(left) && never_zero(right),
            _ => false,
        },
        Expr::VectorSelector(selector) => {
            // BullMQ refuses a concurrency below 1.
            family::name(selector) == Some(bullmq_vocabulary::metric::QUEUE_CONCURRENCY_LIMIT.name)
        }
        _ => false,
    }
}

/// The text on one line, where that does not change what it says.
fn one_line(text: &str) -> String {
    let line = text
        .split('\n')
        .map(str::trim)
        .collect::<Vec<_>>()
        .join(" ");
    let line = line.trim().to_owned();
    match (syntax::parse(&line), syntax::parse(text)) {
        (Ok(one), Ok(other)) if one == other => line,
        _ => text.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PLAIN: Context<'_> = Context {
        null_is_zero: false,
        to_zero: true,
        scaled_job: false,
        target: Some("email-worker"),
        language: Language::PromQl,
        scrape_interval: None,
        siblings: &[],
    };

    /// What is told of a query: the rule, its severity where it is not that of the rule, and the text of the place.
    fn told(text: &str, context: Context<'_>) -> Vec<String> {
        let told = |finding: Finding| {
            let severity = if finding.severity == finding.rule.severity() {
                String::new()
            } else {
                format!(" ({})", finding.severity.as_str())
            };
            let place = text.get(finding.at).unwrap();
            format!("{}{severity}: {place}", finding.rule)
        };
        lint(text, context).into_iter().map(told).collect()
    }

    const EVERY_STATE: &str = r#"sum(max by (queue, state) (bullmq_job_count{queue="x",state=~"waiting|prioritized|active"}))"#;

    #[test]
    fn each_fault_is_told_at_its_place() {
        for (text, expected) in [
            ("", vec!["query/syntax: "]),
            ("sum(a", vec!["query/syntax: "]),
            ("scalar(sum(a))", vec!["query/scalar: scalar(sum(a))"]),
            ("1 + 2", vec!["query/scalar: 1 + 2"]),
            ("\"x\"", vec!["query/scalar: \"x\""]),
            ("a[5m]", vec!["query/range-vector: a[5m]"]),
            ("sum(a)[5m:]", vec!["query/range-vector: sum(a)[5m:]"]),
            (
                "sum by (queue) (a)",
                vec!["query/several-series: sum by (queue) (a)"],
            ),
            (
                "a{queue=\"x\"}",
                vec!["query/several-series (warning): a{queue=\"x\"}"],
            ),
            (
                "rate(a{queue=\"x\"}[5m])",
                vec!["query/several-series (warning): a{queue=\"x\"}[5m]"],
            ),
            ("a", vec!["query/several-series: a"]),
            ("sum(a) > 5", vec!["query/filter: >"]),
            ("(sum(a) > 5) * 2", vec!["query/filter: >"]),
            (
                "sum(a) or vector(0)",
                vec!["query/absence-as-zero (warning): or vector(0)"],
            ),
            ("sum(a) / sum(b)", vec!["query/unguarded-division: sum(b)"]),
            (
                "sum(a) / scalar(sum(b))",
                vec!["query/unguarded-division: scalar(sum(b))"],
            ),
            (
                "histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m])))",
                vec![
                    "query/unguarded-division: histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m])))",
                ],
            ),
            ("sum(rate(a[30s]))", vec!["query/short-rate-window: [30s]"]),
            (
                "sum(jobs_processed_total)",
                vec!["query/counter-without-rate: jobs_processed_total"],
            ),
            (
                "sum(max by (redis, prefix, queue) (bullmq_job_added_total))",
                vec!["query/counter-without-rate: bullmq_job_added_total"],
            ),
            (
                "sum(rate(bullmq_jobs_waiting_total[5m]))",
                vec!["query/from-scaled-workload: bullmq_jobs_waiting_total[5m]"],
            ),
            (
                "avg(nodejs_eventloop_lag_seconds{pod=~\"email-worker-.*\"})",
                vec![
                    "query/from-scaled-workload: nodejs_eventloop_lag_seconds{pod=~\"email-worker-.*\"}",
                ],
            ),
        ] {
            assert_eq!(told(text, PLAIN), expected, "{text}");
        }
    }

    #[test]
    fn each_fault_in_what_is_counted_is_told_at_its_place() {
        for (text, expected) in [
            (
                "sum(bullmq_queue_demand_jobs)",
                vec!["query/double-count: bullmq_queue_demand_jobs"],
            ),
            (
                "sum(max by (queue) (bull_queue_active)) + sum(bull_queue_waiting)",
                vec!["query/double-count: bull_queue_waiting"],
            ),
            (
                "sum(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{queue=~\"a|b\"}))",
                vec!["query/no-completeness-count: bullmq_queue_demand_jobs{queue=~\"a|b\"}"],
            ),
            (
                "max(bullmq_job_count{queue=\"x\",state=\"waiting\"})",
                vec![
                    "query/active-not-counted: bullmq_job_count{queue=\"x\",state=\"waiting\"}",
                    "query/prioritized-not-counted: bullmq_job_count{queue=\"x\",state=\"waiting\"}",
                ],
            ),
            (
                "max(bull_queue_waiting{queue=\"x\"})",
                vec!["query/active-not-counted: bull_queue_waiting{queue=\"x\"}"],
            ),
            (
                "max(bull_wait_total{queue=\"x\"}) + max(bull_active_total{queue=\"x\"})",
                vec!["query/prioritized-not-counted: bull_wait_total{queue=\"x\"}"],
            ),
            (
                "max(bullmq_queue_ready_jobs{queue=\"x\"})",
                vec!["query/active-not-counted: bullmq_queue_ready_jobs{queue=\"x\"}"],
            ),
            (
                "sum(max by (queue, state) (bullmq_job_count{state=~\"waiting|prioritized|active|delayed\"}))",
                vec![
                    "query/delayed-in-full: bullmq_job_count{state=~\"waiting|prioritized|active|delayed\"}",
                ],
            ),
            (
                "sum(max by (queue, state) (bullmq_job_count{state=~\"waiting|prioritized|active|paused\"}))",
                vec![
                    "query/paused-counted: bullmq_job_count{state=~\"waiting|prioritized|active|paused\"}",
                ],
            ),
            (
                "sum(max by (queue, state) (bullmq_job_count{queue=\"x\"}))",
                vec!["query/finished-counted: bullmq_job_count{queue=\"x\"}"],
            ),
            (
                "sum(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{queue=\"x\"})) or vector(0)",
                vec!["query/absence-as-zero: or vector(0)"],
            ),
            (
                "sum(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{queue=\"x\"})) or on() (0 * vector(1))",
                vec!["query/absence-as-zero: or on() (0 * vector(1))"],
            ),
            (
                "sum(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{queue=\"x\"})) + (max(bull_queue_active) or vector(0))",
                vec!["query/absence-as-zero (warning): or vector(0)"],
            ),
        ] {
            assert_eq!(told(text, PLAIN), expected, "{text}");
        }
    }

    #[test]
    fn what_is_written_out_mends_every_fault() {
        for text in [
            "scalar(sum(a))",
            "1 + 2",
            "a[5m]",
            "sum by (queue) (a)",
            "a{queue=\"x\"}",
            "rate(a{queue=\"x\"}[5m])",
            "sum(a) or vector(0)",
            "sum(a) > 5",
            "sum(a) / sum(b)",
            "sum(a) / scalar(sum(b)) > 5",
            "histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m]))) > 2",
            "sum(rate(a[30s]))",
            "sum(jobs_processed_total)",
            "sum(bullmq_queue_demand_jobs)",
            "sum(bull_queue_waiting offset 1m)",
            "sum(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{queue=~\"a|b\"}))",
            "sum(bullmq_job_count{state=~\"waiting|paused|delayed\"})",
            "max(bull_queue_waiting{queue=\"x\"}) # only these\n and on() (max(up) == 1)",
            "max(bull_wait_total{queue=\"x\"})",
            "max(bullmq_queue_ready_jobs{queue=\"x\"})",
            "max({__name__=\"bullmq_queue_ready_jobs\",queue=\"x\"})",
            "sum(\n  max by (queue) (bullmq_job_count{state=\"waiting\"})\n)",
        ] {
            let findings = lint(text, PLAIN);
            assert!(!findings.is_empty(), "{text}");
            for finding in findings {
                let (instead, _) = finding.instead.unwrap();
                assert_eq!(
                    told(&instead, PLAIN),
                    Vec::<String>::new(),
                    "{text}\n{instead}"
                );
            }
        }
    }

    #[test]
    fn what_is_written_out_keeps_what_the_query_says() {
        for (text, expected) in [
            ("scalar(sum(a))", "sum(a)"),
            ("1 + 2", "vector(1 + 2)"),
            ("sum by (queue) (a)", "sum(a)"),
            ("a{queue=\"x\"}", "max(a{queue=\"x\"})"),
            (
                "a{queue=\"x\"} + b{queue=\"x\"}",
                "max(a{queue=\"x\"} + b{queue=\"x\"})",
            ),
            (
                "sum by (queue) (a) - sum by (queue) (b)",
                "sum(sum by (queue) (a) - sum by (queue) (b))",
            ),
            (
                "sum by (queue) (a) and on() (count(b) == 2)",
                "sum(a) and on() (count(b) == 2)",
            ),
            ("sum(a) > 5", "sum(a)"),
            ("sum(a) / sum(b)", "sum(a) / clamp_min(sum(b), 1e-9)"),
            ("sum(a) # why\n or vector(0)", "sum(a)"),
            (
                "sum(bullmq_job_count{queue=\"x\",state=\"waiting\"}) or vector(0)",
                "sum(max by (queue, state) (bullmq_job_count{queue=\"x\",state=~\"waiting|prioritized|active\"}))",
            ),
            (
                "sum(bullmq_queue_ready_jobs{queue=~\"a|b\"})",
                "sum(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{queue=~\"a|b\"})) \
                 and on() (count(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{queue=~\"a|b\"})) == 2)",
            ),
            (
                "max(bullmq_job_count{queue=\"x\",state=\"waiting\"})",
                "sum(max by (queue, state) (bullmq_job_count{queue=\"x\",state=~\"waiting|prioritized|active\"}))",
            ),
            (
                "sum(max by (queue) (bullmq_job_count{state=\"waiting\"}))",
                "sum(max by (queue, state) (bullmq_job_count{state=~\"waiting|prioritized|active\"}))",
            ),
            (
                "max(bullmq_job_count{queue=\"x\",state=\"waiting\"}) + max(bullmq_job_count{queue=\"x\",state=\"active\"})",
                "sum(max by (queue, state) (bullmq_job_count{queue=\"x\",state=~\"waiting|prioritized\"})) + max(bullmq_job_count{queue=\"x\",state=\"active\"})",
            ),
            (
                "max(bull_wait_total{queue=\"x\"}) + max(bull_active_total{queue=\"x\"})",
                "max(bull_wait_total{queue=\"x\"}) + max(bull_prioritized_total{queue=\"x\"}) + max(bull_active_total{queue=\"x\"})",
            ),
            ("max by (queue) (a)", "sum(max by (queue) (a))"),
            (
                "max(bull_wait_total{queue=\"x\"})",
                "max(bull_wait_total{queue=\"x\"}) + max(bull_active_total{queue=\"x\"}) + max(bull_prioritized_total{queue=\"x\"})",
            ),
        ] {
            for finding in lint(text, PLAIN) {
                let (instead, _) = finding.instead.unwrap();
                assert_eq!(instead, expected, "{text}");
            }
        }
    }

    #[test]
    fn what_depends_on_the_object_is_told_only_there() {
        let waiting = "max(bull_queue_waiting{queue=\"x\"})";
        let active = ["max(bull_queue_active{queue=\"x\"})"];
        let worker = "sum(rate(bullmq_jobs_waiting_total[5m]))";
        let two = "sum(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{queue=~\"a|b\"}))";
        let counting = [two, "sum(x) and on() (count(y) == 2)"];
        for (text, context, expected) in [
            (EVERY_STATE, PLAIN, 0),
            (
                EVERY_STATE,
                Context {
                    null_is_zero: true,
                    ..PLAIN
                },
                1,
            ),
            (
                "vector(1)",
                Context {
                    null_is_zero: true,
                    ..PLAIN
                },
                0,
            ),
            (waiting, PLAIN, 1),
            (
                waiting,
                Context {
                    siblings: &active,
                    ..PLAIN
                },
                0,
            ),
            (
                waiting,
                Context {
                    scaled_job: true,
                    ..PLAIN
                },
                0,
            ),
            (worker, PLAIN, 1),
            (
                worker,
                Context {
                    to_zero: false,
                    ..PLAIN
                },
                0,
            ),
            (
                worker,
                Context {
                    siblings: &[EVERY_STATE],
                    ..PLAIN
                },
                0,
            ),
            (
                worker,
                Context {
                    siblings: &[worker],
                    ..PLAIN
                },
                1,
            ),
            (two, PLAIN, 1),
            (
                two,
                Context {
                    siblings: &counting,
                    ..PLAIN
                },
                0,
            ),
            ("sum(rate(a[1m]))", PLAIN, 0),
            ("sum(rate(a))", PLAIN, 1),
            (
                "sum(rate(a[1m]))",
                Context {
                    scrape_interval: Some(Duration::from_secs(30)),
                    ..PLAIN
                },
                1,
            ),
        ] {
            assert_eq!(lint(text, context).len(), expected, "{text}");
        }
    }

    #[test]
    fn what_only_victoriametrics_understands_is_an_info_there() {
        for (language, expected) in [
            (Language::PromQl, Severity::Error),
            (Language::MetricsQl, Severity::Info),
        ] {
            let context = Context { language, ..PLAIN };
            assert_eq!(lint("sum(rate(a))", context)[0].severity, expected);
        }
    }

    #[test]
    fn sane_queries_are_left_alone() {
        for text in [
            EVERY_STATE,
            // A recording rule has done what is to be done.
            "bullmq:demand:sum",
            "max(bullmq:demand:sum{queue=\"x\"})",
            // Little's law without scalar(), the fallback around the job time alone.
            "sum(rate(jobs_added_total[5m])) * ((sum(rate(job_seconds_sum[5m])) / clamp_min(sum(rate(job_seconds_count[5m])), 1e-9)) > 0 or vector(2))",
            "sum(rate(job_seconds_sum[10m])) / (sum(rate(job_seconds_count[10m])) > 0)",
            "sum(rate(job_seconds_sum[10m])) / sum(rate(job_seconds_count[10m])) >= 0",
            "sum(a) / count(b)",
            "sum(a) / sum(b) and sum(b) > 0",
            "sum(a) / (sum(b) + 1)",
            "sum(a) / 10",
            // No error has happened yet: a zero.
            "sum(max by (queue) (bull_queue_active) + max by (queue) (bull_queue_waiting)) + (sum(rate(errors_total[5m])) or vector(0))",
            "sum(rate(errors_total[5m])) or vector(0)",
            // Guarded, so that absence is not hidden.
            "(sum(queue_depth) or vector(0)) and on() (max(up{job=\"exporter\"}) == 1)",
            // Thanos and Mimir add labels of their own.
            "sum(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{queue=\"x\",cluster=\"eu\",prometheus_replica=~\".+\"}))",
            "sum(bullmq_queue_demand_jobs{queue=\"x\",pod=\"exporter-0\"})",
            "max(sum by (instance) (bullmq_queue_demand_jobs))",
            "sum(max_over_time(queue_depth[2m]))",
            "sum(a) > bool 5",
            "max(bull_queue_waiting + bull_queue_active)",
            "sum(max by (queue, db) (bull_wait_total + ignoring(__name__) bull_prioritized_total + ignoring(__name__) bull_active_total))",
            "sum(max by (queue, state) (bullmq_job_count{state=~\"waiting|prioritized|active|paused\"})) unless on() (max(bullmq_queue_paused) == 1)",
            "sum(increase(jobs_added_total[5m]))",
            "sum(a_total - b_total)",
            "avg(nodejs_eventloop_lag_seconds{job=\"api\"})",
            "sum(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{queue=~\".*\"}))",
            "sum(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{queue=~\"tenant-.+\"}))",
            "label_replace(sum(a), \"x\", \"y\", \"\", \"\")",
            "sum(a or b)",
            "sum(a) unless on() (max(bullmq_queue_ready_jobs{queue=~\"x|y\"}) > 3)",
            "topk(1, sum by (queue) (queue_depth))",
            "quantile(0.9, max by (queue) (bullmq_queue_oldest_ready_age_seconds))",
        ] {
            assert_eq!(told(text, PLAIN), Vec::<String>::new(), "{text}");
        }
    }

    #[test]
    fn what_we_generate_is_left_alone() {
        let queues = [
            "[email]",
            "[email, sms, push]",
            "[email, {name: sms, optional: true}]",
            "[email, {name: sms, prefix: \"{app}\", redis: main}, {name: \"a.b|c\", prefix: \"{app}\", redis: main}]",
        ];
        let policies = [
            "scale: slots",
            "scale: {jobsPerReplica: 100}",
            "scale: {startWithin: 30s}",
        ];
        for queues in queues {
            for policy in policies {
                for (min, startup) in [(0, ""), (2, ", startup: 30s")] {
                    let spec = format!(
                        "{{apiVersion: bullmq-keda/v1, prometheus: {{serverAddress: \"http://p:9090\", matchers: {{namespace: shop}}}}, \
                         workers: [{{name: email, queues: {queues}, concurrency: 10, job: {{mean: 2s}}, replicas: {{min: {min}, max: 9}}, \
                         {policy}{startup}}}]}}"
                    );
                    let input = crate::Input {
                        name: "spec".to_owned(),
                        short_name: "spec".to_owned(),
                        bytes: spec.into_bytes(),
                    };
                    let manifest = crate::generate(vec![input]).unwrap();
                    let value: serde_yaml::Value = serde_yaml::from_str(&manifest).unwrap();
                    let triggers = value["spec"]["triggers"].as_sequence().unwrap();
                    let queries: Vec<&str> = triggers
                        .iter()
                        .map(|trigger| trigger["metadata"]["query"].as_str().unwrap())
                        .collect();
                    for (index, query) in queries.iter().enumerate() {
                        let mut siblings = queries.clone();
                        siblings.remove(index);
                        let context = Context {
                            siblings: &siblings,
                            to_zero: min == 0,
                            ..PLAIN
                        };
                        assert_eq!(told(query, context), Vec::<String>::new(), "{query}");
                    }
                }
            }
        }
    }

    /// Queries of any shape over metrics that there are rules for.
    fn queries() -> impl Strategy<Value = String> {
        let leaf = prop::sample::select(vec![
            "a",
            "b{queue=\"x\"}",
            "c_total",
            "bullmq:demand:sum",
            "bullmq_job_count{queue=\"x\",state=\"waiting\"}",
            "bullmq_job_count{state=~\"waiting|delayed|paused\"}",
            "bullmq_job_count",
            "bullmq_queue_ready_jobs{queue=~\"x|y\"}",
            "bullmq_queue_demand_jobs offset 1m",
            "bull_wait_total",
            "bull_queue_waiting{queue=\"x\"}",
            "rate(c_total[30s])",
            "rate(bullmq_jobs_waiting_total[5m])",
            "vector(0)",
        ])
        .prop_map(str::to_owned);
        leaf.prop_recursive(4, 24, 3, |inner| {
            let one = prop::sample::select(vec![
                "sum(@)",
                "max(@)",
                "sum by (queue) (@)",
                "max by (queue, state) (@)",
                "avg without (pod) (@)",
                "topk(2, @)",
                "(@)",
                "-@",
                "clamp_min(@, 0)",
                "vector(scalar(@))",
                "max_over_time(@[5m:1m])",
                "@ > 5",
                "@ / 3",
                "histogram_quantile(0.9, @)",
                "@ # why\n",
            ]);
            let two = prop::sample::select(vec![
                "# + @",
                "# - @",
                "# / @",
                "# or @",
                "# and on() (@)",
                "# unless @",
                "# > bool @",
                "# * on (queue) group_left () @",
                "# or on() @",
                "# / scalar(@)",
            ]);
            prop_oneof![
                (one, inner.clone()).prop_map(|(form, of)| form.replace('@', &of)),
                (two, inner.clone(), inner).prop_map(|(form, left, right)| {
                    let (_, rest) = form.split_at(1);
                    format!("({left}){}", rest.replace('@', &format!("({right})")))
                }),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_to_be_written_instead_is_a_query_in_which_nothing_is_left_to_be_rewritten(text in queries()) {
            for finding in lint(&text, PLAIN) {
                prop_assert!(text.get(finding.at.clone()).is_some(), "{finding:?}");
                if let Some((instead, _)) = finding.instead {
                    let again = faults(&instead, PLAIN);
                    prop_assert!(
                        again.iter().all(|other| other.instead.is_none() && other.rule != Rule::QuerySyntax),
                        "{instead}\n{again:#?}"
                    );
                }
            }
        }
    }
}

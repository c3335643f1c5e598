//! Which jobs a query counts, and which it should.
//!
//! A worker is needed by every job that it could take now and by every one that it runs: waiting, prioritized and due jobs and active
//! ones. A query that leaves some out takes busy pods away or sleeps over work; one that counts others keeps pods without work.

use bullmq_vocabulary::{JobState, label};
use promql_parser::label::Matcher;
use promql_parser::parser::token::{T_DIV, T_EQL, T_EQL_REGEX, T_LAND, T_LUNLESS, T_SUB};
use promql_parser::parser::{Expr, MatrixSelector, VectorSelector};

use super::family::{self, Known};
use super::syntax::{self, Node};
use super::{Query, one_line};
use crate::lint::finding::Finding;
use crate::rule::Rule;

/// One selector of jobs that count towards the result.
struct Counted<'a, 'e> {
    node: &'a Node<'e>,
    selector: &'e VectorSelector,
    known: Known,
}

impl Counted<'_, '_> {
    fn includes(&self, state: JobState) -> bool {
        self.known
            .jobs
            .as_ref()
            .is_some_and(|jobs| jobs.include(state))
    }
}

/// Tells which jobs a query should count and does not, and the other way round.
pub(super) fn lint(query: &Query<'_>) -> Vec<Finding> {
    let (counted, foreign) = counted(&query.root);
    if counted.is_empty() {
        return Vec::new();
    }
    let with = |state| counted.iter().find(|counted| counted.includes(state));
    let mut findings = Vec::new();
    let fixed = fixed(query, &counted);
    let better = if fixed.contains(bullmq_vocabulary::metric::QUEUE_DEMAND_JOBS.name) {
        ""
    } else {
        "; better, ask this project's exporter for `bullmq_queue_demand_jobs`, which is every job that is ready, due or running"
    };
    let finding = |rule, at: &Counted<'_, '_>, title: String, label: &str| {
        Finding::new(rule, at.node.at.clone(), title, label, "write").instead(fixed.clone(), better)
    };
    let finished = with(JobState::Completed).or_else(|| with(JobState::Failed));
    if let Some(at) = finished {
        findings.push(finding(
            Rule::QueryFinishedCounted,
            at,
            "this counts jobs that are done".to_owned(),
            "completed and failed jobs stay in Redis, and no worker takes them",
        ));
        // Who names no state at all has been told enough.
        return findings;
    }
    let waiting = with(JobState::Waiting).or_else(|| with(JobState::Prioritized));
    // What other triggers count, or metrics that are not known, may be the rest.
    let elsewhere = |state| {
        foreign
            || query.context.siblings.iter().any(|text| {
                syntax::parse(text).is_ok_and(|expr| {
                    let root = syntax::locate(&expr, text);
                    let (counted, foreign) = self::counted(&root);
                    foreign || counted.iter().any(|counted| counted.includes(state))
                })
            })
    };
    if let Some(at) = waiting
        && !query.context.scaled_job
        && with(JobState::Active).is_none()
        && !elsewhere(JobState::Active)
    {
        let end = if query.context.to_zero {
            "the worker goes to zero while it works"
        } else {
            "busy pods go as soon as nothing waits"
        };
        findings.push(finding(
            Rule::QueryActiveNotCounted,
            at,
            format!("this leaves out the jobs that run, so {end}"),
            "a job that a worker takes is gone from here",
        ));
    }
    if let Some(at) = with(JobState::Waiting)
        && at.known.has_priorities
        && with(JobState::Prioritized).is_none()
        && !elsewhere(JobState::Prioritized)
    {
        findings.push(finding(
            Rule::QueryPrioritizedNotCounted,
            at,
            "this leaves out prioritized jobs".to_owned(),
            "from BullMQ 4 on, a job with a priority never stands here",
        ));
    }
    if let Some(at) = with(JobState::Delayed) {
        findings.push(finding(
            Rule::QueryDelayedInFull,
            at,
            "this counts delayed jobs that are not due".to_owned(),
            "a job for next week keeps a pod until then",
        ));
    }
    if let Some(at) = with(JobState::Paused)
        && !gated_by_pause(&query.root)
    {
        findings.push(finding(
            Rule::QueryPausedCounted,
            at,
            "this counts jobs that a pause holds".to_owned(),
            "no worker takes them, and pods wait for the pause to end",
        ));
    }
    findings
}

/// The selectors of jobs that add to the result, and whether anything unknown adds to it as well.
fn counted<'a, 'e>(root: &'a Node<'e>) -> (Vec<Counted<'a, 'e>>, bool) {
    fn add<'a, 'e>(node: &'a Node<'e>, found: &mut (Vec<Counted<'a, 'e>>, bool)) {
        if let Some(selector) = node.selector() {
            match family::known(selector) {
                Some(known) if known.jobs.is_some() => found.0.push(Counted {
                    node,
                    selector,
                    known,
                }),
                // A metric of ours that counts no jobs there are, such as an age.
                Some(_) => {}
                None => found.1 = true,
            }
            return;
        }
        // What lets through, divides or is taken off adds nothing.
        let one_side = matches!(node.expr, Expr::Binary(binary)
            if matches!(binary.op.id(), T_LAND | T_LUNLESS | T_SUB | T_DIV)
                || (binary.op.is_comparison_operator() && !binary.return_bool()));
        let taken = if one_side { 1 } else { node.children.len() };
        for child in node.children.iter().take(taken) {
            add(child, found);
        }
    }
    let mut found = (Vec::new(), false);
    add(root, &mut found);
    found
}

fn gated_by_pause(root: &Node<'_>) -> bool {
    let paused = bullmq_vocabulary::metric::QUEUE_PAUSED.name;
    root.selectors()
        .iter()
        .any(|(_, selector)| family::name(selector) == Some(paused))
}

/// The query with the states that need a worker, and no others.
fn fixed(query: &Query<'_>, counted: &[Counted<'_, '_>]) -> String {
    let any = |state| counted.iter().any(|counted| counted.includes(state));
    let mut edits = Vec::new();
    let mut missing = Vec::new();
    for one in counted {
        let name = family::name(one.selector).unwrap_or_default();
        let replacement = if name == bullmq_vocabulary::metric::JOB_COUNT.name {
            with_states(one.selector)
        } else if name == bullmq_vocabulary::metric::QUEUE_READY_JOBS.name {
            named(
                one.selector,
                bullmq_vocabulary::metric::QUEUE_DEMAND_JOBS.name,
            )
        } else {
            missing.extend(counterparts(name, &any).into_iter().map(|other| {
                let other = named(one.selector, other);
                one_line(&query.with(&[(one.node.at.clone(), printed(one.node, other))]))
            }));
            continue;
        };
        edits.push((one.node.at.clone(), printed(one.node, replacement)));
    }
    let whole = query.with(&edits);
    let alone = |text: &str| match &query.root.expr {
        Expr::Binary(_) => format!("({text})"),
        _ => text.to_owned(),
    };
    missing.iter().fold(
        if missing.is_empty() {
            whole.clone()
        } else {
            alone(&whole)
        },
        |sum, other| format!("{sum} + {}", alone(other)),
    )
}

/// What counts the rest beside a metric of one state, in the same exporter.
fn counterparts(name: &str, counted: &dyn Fn(JobState) -> bool) -> Vec<&'static str> {
    let all: &[(&str, JobState)] = match name {
        "bull_queue_waiting" => &[("bull_queue_active", JobState::Active)],
        "bull_wait_total" => &[
            ("bull_active_total", JobState::Active),
            ("bull_prioritized_total", JobState::Prioritized),
        ],
        _ => &[],
    };
    all.iter()
        .filter(|(_, state)| !counted(*state))
        .map(|(name, _)| *name)
        .collect()
}

/// A selector of job counts in the states that need a worker.
fn with_states(selector: &VectorSelector) -> VectorSelector {
    let needed = [JobState::Waiting, JobState::Prioritized, JobState::Active];
    let value = needed.map(JobState::as_str).join("|");
    let mut selector = selector.clone();
    let matchers = &mut selector.matchers.matchers;
    let at = matchers
        .iter()
        .position(|matcher| matcher.name == label::STATE)
        .unwrap_or(matchers.len());
    matchers.retain(|matcher| matcher.name != label::STATE);
    if let Ok(matcher) = Matcher::new_matcher(T_EQL_REGEX, label::STATE.to_owned(), value) {
        matchers.insert(at.min(matchers.len()), matcher);
    }
    selector
}

/// The same selector of another metric.
fn named(selector: &VectorSelector, name: &str) -> VectorSelector {
    let mut selector = selector.clone();
    if selector.name.is_some() {
        selector.name = Some(name.to_owned());
    } else {
        for matcher in &mut selector.matchers.matchers {
            if matcher.name == "__name__"
                && let Ok(other) =
                    Matcher::new_matcher(T_EQL, matcher.name.clone(), name.to_owned())
            {
                *matcher = other;
            }
        }
    }
    selector
}

/// A selector in the place of another, with its range if that has one.
fn printed(node: &Node<'_>, selector: VectorSelector) -> String {
    match node.expr {
        Expr::MatrixSelector(matrix) => MatrixSelector {
            vs: selector,
            range: matrix.range,
        }
        .to_string(),
        _ => selector.to_string(),
    }
}

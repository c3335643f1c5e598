//! Which jobs a query counts, and which it should.
//!
//! A worker is needed by every job that it could take now and by every one that it runs: waiting, prioritized and due jobs and active
//! ones. A query that leaves some out takes busy pods away or sleeps over work; one that counts others keeps pods without work.

use std::ops::Range;

use bullmq_vocabulary::{JobState, label, metric};
use promql_parser::label::Matcher;
use promql_parser::parser::token::{
    T_ADD, T_DIV, T_EQL, T_EQL_REGEX, T_LAND, T_LOR, T_LUNLESS, T_SUB, T_SUM,
};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{Expr, LabelModifier, MatrixSelector, VectorSelector};

use super::Query;
use super::family::{self, Known};
use super::syntax::{self, Node};
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
    let demand = metric::QUEUE_DEMAND_JOBS.name;
    let finding = |rule, at: &Counted<'_, '_>, title: String, label: &str| {
        let finding =
            |help: &str| Finding::new(rule, at.node.at.clone(), title.clone(), label, help);
        match &fixed {
            Some(fixed) if fixed.contains(demand) => finding("write").instead(fixed.clone(), ""),
            Some(fixed) => finding("write").instead(
                fixed.clone(),
                format!("; better, ask this project's exporter for `{demand}`, which is every job that is ready, due or running"),
            ),
            None => finding(&format!(
                "ask this project's exporter for `sum(max by (redis, prefix, queue) ({demand}{{queue=\"...\"}}))`, every job that is ready, due or running"
            )),
        }
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
    let paused = metric::QUEUE_PAUSED.name;
    root.selectors()
        .iter()
        .any(|(_, selector)| family::name(selector) == Some(paused))
}

/// The states in which a job needs a worker, due ones aside.
const NEEDED: [JobState; 3] = [JobState::Waiting, JobState::Prioritized, JobState::Active];

/// The query with the states that need a worker, each once, and no others; none where that takes more than other states of the same
/// terms.
fn fixed(query: &Query<'_>, counted: &[Counted<'_, '_>]) -> Option<String> {
    let any = |state| counted.iter().any(|counted| counted.includes(state));
    let mut missing: Vec<JobState> = NEEDED.into_iter().filter(|state| !any(*state)).collect();
    let mut edits = Vec::new();
    for one in counted {
        let name = family::name(one.selector).unwrap_or_default();
        if name == metric::JOB_COUNT.name {
            let mut states: Vec<JobState> = NEEDED
                .into_iter()
                .filter(|state| one.includes(*state))
                .collect();
            // One selector takes in what is missing, or it would be counted twice.
            states.append(&mut missing);
            if states.is_empty() {
                return None;
            }
            states.sort_by_key(|state| NEEDED.iter().position(|needed| needed == state));
            let selector = with_states(one.selector, &states);
            edits.push(summed(
                query,
                one,
                printed(one.node, selector),
                states.len(),
            )?);
        } else if name == metric::QUEUE_READY_JOBS.name {
            if missing.contains(&JobState::Active) {
                let demand = named(one.selector, metric::QUEUE_DEMAND_JOBS.name);
                edits.push((one.node.at.clone(), printed(one.node, demand)));
                missing.clear();
            }
        } else {
            let others = counterparts(name, &missing);
            if others.is_empty() {
                continue;
            }
            edits.push(extended(query, one, &others)?);
            missing.clear();
        }
    }
    Some(query.with(&edits))
}

/// The nodes from the root to one node.
fn path<'a, 'e>(root: &'a Node<'e>, node: &Node<'e>) -> Vec<&'a Node<'e>> {
    let mut path = vec![root];
    let mut here = root;
    while let Some(below) = here
        .children
        .iter()
        .find(|child| child.walk().iter().any(|part| std::ptr::eq(*part, node)))
    {
        path.push(below);
        here = below;
    }
    path
}

/// A selector of several states in the place of one, so that its states are added up.
fn summed(
    query: &Query<'_>,
    one: &Counted<'_, '_>,
    selector: String,
    states: usize,
) -> Option<(Range<usize>, String)> {
    let plain = (one.node.at.clone(), selector);
    if states == 1 {
        return Some(plain);
    }
    let path = path(&query.root, one.node);
    for node in path.iter().rev().skip(1) {
        match node.expr {
            Expr::Aggregate(aggregate) if aggregate.op.id() == T_SUM => return Some(plain),
            Expr::Aggregate(aggregate) => match &aggregate.modifier {
                Some(LabelModifier::Include(labels))
                    if labels.labels.iter().any(|label| label == label::STATE) => {}
                Some(LabelModifier::Include(labels)) if !labels.is_empty() => {
                    // The largest of the states is not their sum: each keeps its label until they are added.
                    let (op, labels) =
                        (aggregate.op, labels.clone().append(label::STATE.to_owned()));
                    let inner = query.spliced(&node.children.last()?.at, &plain);
                    return aggregate
                        .param
                        .is_none()
                        .then(|| (node.at.clone(), format!("{op} by ({labels}) ({inner})")));
                }
                None | Some(LabelModifier::Include(_)) => {
                    let inner = query.spliced(&node.children.last()?.at, &plain);
                    let labels = one.known.identity.join(", ");
                    return Some((node.at.clone(), format!("sum(max by ({labels}) ({inner}))")));
                }
                Some(LabelModifier::Exclude(_)) => return None,
            },
            // A match of one to one would find several.
            Expr::Binary(binary) if !binary.op.is_set_operator() => {
                let vectors = node
                    .children
                    .iter()
                    .all(|side| side.expr.value_type() == ValueType::Vector);
                if vectors {
                    return None;
                }
            }
            _ => {}
        }
    }
    Some(plain)
}

/// The term in which a metric of one state stands, with the same term of others added.
fn extended(
    query: &Query<'_>,
    one: &Counted<'_, '_>,
    others: &[&str],
) -> Option<(Range<usize>, String)> {
    let path = path(&query.root, one.node);
    let adds = |node: &Node<'_>| match node.expr {
        Expr::Paren(_) => true,
        Expr::Binary(binary) => {
            binary.op.id() == T_ADD || matches!(binary.op.id(), T_LAND | T_LUNLESS | T_LOR)
        }
        _ => false,
    };
    let term = path.iter().find(|node| !adds(node))?;
    if term.selectors().len() != 1 {
        return None;
    }
    let mut sum = vec![query.at(&term.at).to_owned()];
    sum.extend(others.iter().map(|other| {
        let selector = printed(one.node, named(one.selector, other));
        query.spliced(&term.at, &(one.node.at.clone(), selector))
    }));
    Some((term.at.clone(), sum.join(" + ")))
}

/// What counts states that are missing beside a metric of one state, in the same exporter.
fn counterparts(name: &str, missing: &[JobState]) -> Vec<&'static str> {
    let all: &[(&str, JobState)] = match name {
        "bull_queue_waiting" => &[("bull_queue_active", JobState::Active)],
        "bull_wait_total" => &[
            ("bull_active_total", JobState::Active),
            ("bull_prioritized_total", JobState::Prioritized),
        ],
        _ => &[],
    };
    all.iter()
        .filter(|(_, state)| missing.contains(state))
        .map(|(name, _)| *name)
        .collect()
}

/// A selector of job counts in these states.
fn with_states(selector: &VectorSelector, states: &[JobState]) -> VectorSelector {
    let names: Vec<&str> = states.iter().map(|state| state.as_str()).collect();
    let (operator, value) = match names.as_slice() {
        [one] => (T_EQL, (*one).to_owned()),
        several => (T_EQL_REGEX, several.join("|")),
    };
    let mut selector = selector.clone();
    let matchers = &mut selector.matchers.matchers;
    let at = matchers
        .iter()
        .position(|matcher| matcher.name == label::STATE)
        .unwrap_or(matchers.len());
    matchers.retain(|matcher| matcher.name != label::STATE);
    if let Ok(matcher) = Matcher::new_matcher(operator, label::STATE.to_owned(), value) {
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

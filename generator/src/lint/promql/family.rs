//! What is known of a metric by its name: whose it is, and which jobs it counts.
//!
//! Known are our own metrics, from the vocabulary, and those of the exporters in use, from their sources:
//! - BullMQ itself, `queue.exportPrometheusMetrics()`: `bullmq_job_count{queue, state}`, a name that we share,
//!   <https://github.com/taskforcesh/bullmq/blob/v5.81.0/src/classes/queue-getters.ts>;
//! - `UpHabit/bull_exporter`: `bull_queue_waiting{prefix, queue}` and others, gauges,
//!   <https://github.com/UpHabit/bull_exporter/blob/0c7480b1c4170257dd3e01aa6bae6792ee457276/src/queueGauges.ts>;
//! - `igrek8/bullmq-prometheus`: `bull_wait_total{queue, db}` and others, gauges in spite of their names,
//!   <https://github.com/igrek8/bullmq-prometheus/blob/092563f8e367cca27843e1d92f53d0cfdcf9ef7a/main.mjs>;
//! - `bullmq-otel`, which runs inside the workers: `bullmq_jobs_waiting_total` and others,
//!   <https://docs.bullmq.io/guide/telemetry/metrics>.
//!
//! Nothing is assumed of any other name.

use bullmq_vocabulary::{JobState, label, metric};
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::VectorSelector;

/// Which jobs a series counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Jobs {
    /// Those in these states, by the state label or by the metric's name.
    InStates(Vec<JobState>),
    /// All that need a worker now, active ones included.
    Demand,
    /// All that a worker could take now.
    Ready,
    /// Delayed jobs that are due.
    Due,
}

impl Jobs {
    /// Whether jobs of a state are among them, as far as they matter now.
    pub fn include(&self, state: JobState) -> bool {
        match self {
            Self::InStates(states) => states.contains(&state),
            Self::Demand => matches!(
                state,
                JobState::Waiting | JobState::Prioritized | JobState::Active
            ),
            Self::Ready => matches!(state, JobState::Waiting | JobState::Prioritized),
            Self::Due => false,
        }
    }
}

/// What is known of a selector's metric.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The jobs that it counts, if it counts jobs that are there.
    pub jobs: Option<Jobs>,
    /// The labels that tell its series apart, so that what differs beyond them is another exporter.
    pub identity: &'static [&'static str],
    /// Whether it is a counter, whatever its name.
    pub counter: bool,
    /// Whether its exporter tells prioritized jobs apart.
    pub has_priorities: bool,
}

/// The labels of BullMQ's own exporter.
const OFFICIAL: &[&str] = &[label::QUEUE, label::STATE];
/// The labels of `UpHabit/bull_exporter`.
const UPHABIT: &[&str] = &[label::PREFIX, label::QUEUE];
/// The labels of `igrek8/bullmq-prometheus`.
const IGREK8: &[&str] = &[label::QUEUE, "db"];

/// The gauges of `UpHabit/bull_exporter`.
const UPHABIT_GAUGES: [(&str, JobState); 5] = [
    ("bull_queue_waiting", JobState::Waiting),
    ("bull_queue_active", JobState::Active),
    ("bull_queue_delayed", JobState::Delayed),
    ("bull_queue_completed", JobState::Completed),
    ("bull_queue_failed", JobState::Failed),
];
/// The gauges of `igrek8/bullmq-prometheus`.
const IGREK8_GAUGES: [(&str, JobState); 6] = [
    ("bull_wait_total", JobState::Waiting),
    ("bull_active_total", JobState::Active),
    ("bull_prioritized_total", JobState::Prioritized),
    ("bull_delayed_total", JobState::Delayed),
    ("bull_waiting_children_total", JobState::WaitingChildren),
    ("bull_failed_total", JobState::Failed),
];
/// What `bullmq-otel` makes in the process of a worker, as Prometheus names it.
const OF_WORKERS: [&str; 8] = [
    "bullmq_jobs_completed",
    "bullmq_jobs_failed",
    "bullmq_jobs_delayed",
    "bullmq_jobs_retried",
    "bullmq_jobs_waiting",
    "bullmq_jobs_waiting_children",
    "bullmq_job_duration",
    "bullmq_queue_jobs",
];

/// The metric's name, whichever way it is written.
pub fn name(selector: &VectorSelector) -> Option<&str> {
    selector.name.as_deref().or_else(|| {
        matchers(selector, "__name__")
            .find_map(|matcher| equal(matcher).then_some(matcher.value.as_str()))
    })
}

/// The matchers on a label. None where alternatives are joined by `or`, which no Prometheus knows.
pub fn matchers<'s>(
    selector: &'s VectorSelector,
    label: &'s str,
) -> impl Iterator<Item = &'s Matcher> {
    selector
        .matchers
        .matchers
        .iter()
        .filter(move |matcher| matcher.name == label)
}

/// Whether a matcher takes exactly one value.
pub fn equal(matcher: &Matcher) -> bool {
    matches!(matcher.op, MatchOp::Equal)
}

/// Whether all series of a selector have one value of a label.
pub fn pinned(selector: &VectorSelector, label: &str) -> bool {
    matchers(selector, label).any(|matcher| equal(matcher) && !matcher.value.is_empty())
}

/// What is known of a selector.
pub fn known(selector: &VectorSelector) -> Option<Known> {
    let name = name(selector)?;
    if let Some((_, state)) = UPHABIT_GAUGES.iter().find(|(gauge, _)| *gauge == name) {
        return Some(of_states(vec![*state], UPHABIT, false));
    }
    if let Some((_, state)) = IGREK8_GAUGES.iter().find(|(gauge, _)| *gauge == name) {
        return Some(of_states(vec![*state], IGREK8, true));
    }
    let metric = bullmq_vocabulary::METRICS
        .iter()
        .find(|metric| metric.name == name)?;
    let ours = [label::REDIS, label::PREFIX]
        .iter()
        .any(|label| matchers(selector, label).next().is_some());
    let jobs = if name == metric::JOB_COUNT.name {
        Some(Jobs::InStates(states(selector)))
    } else if name == metric::QUEUE_DEMAND_JOBS.name || name == metric::QUEUE_DEMAND_AHEAD_JOBS.name
    {
        Some(Jobs::Demand)
    } else if name == metric::QUEUE_READY_JOBS.name {
        Some(Jobs::Ready)
    } else if name == metric::QUEUE_DELAYED_DUE_JOBS.name {
        Some(Jobs::Due)
    } else {
        None
    };
    // Under the names that we share, what names neither Redis nor prefix may be BullMQ's own exporter.
    let shared = name == metric::JOB_COUNT.name
        || name == metric::JOB_COMPLETED_TOTAL.name
        || name == metric::JOB_FAILED_TOTAL.name;
    Some(Known {
        jobs,
        identity: if !shared || ours {
            metric.labels
        } else if name == metric::JOB_COUNT.name {
            OFFICIAL
        } else {
            &[label::QUEUE]
        },
        counter: metric.kind == metric::Kind::Counter,
        has_priorities: true,
    })
}

fn of_states(
    states: Vec<JobState>,
    identity: &'static [&'static str],
    has_priorities: bool,
) -> Known {
    Known {
        jobs: Some(Jobs::InStates(states)),
        identity,
        counter: false,
        has_priorities,
    }
}

/// The states that a selector of job counts takes in.
fn states(selector: &VectorSelector) -> Vec<JobState> {
    let takes = |state: &JobState| {
        matchers(selector, label::STATE).all(|matcher| matcher.is_match(state.as_str()))
    };
    JobState::ALL.into_iter().filter(takes).collect()
}

/// Whether a series can only come from a process of the worker itself: by its name, or by the labels that name the target.
pub fn from_worker(selector: &VectorSelector, target: Option<&str>) -> bool {
    let by_name = name(selector).is_some_and(|name| {
        let base = [
            "_total",
            "_bucket",
            "_sum",
            "_count",
            "_milliseconds",
            "_ms",
        ]
        .iter()
        .fold(name, |name, ending| {
            name.strip_suffix(ending).unwrap_or(name)
        });
        let base = ["_milliseconds", "_ms"].iter().fold(base, |name, ending| {
            name.strip_suffix(ending).unwrap_or(name)
        });
        OF_WORKERS.contains(&base)
    });
    let by_label = target.is_some_and(|target| {
        ["pod", "container", "deployment", "job", "app", "workload"]
            .iter()
            .flat_map(|label| matchers(selector, label))
            .any(|matcher| names_pods_of(matcher, target))
    });
    by_name || (by_label && known(selector).is_none())
}

/// Whether a matcher means the pods of a target: its very name, or its name followed by what Kubernetes appends.
fn names_pods_of(matcher: &Matcher, target: &str) -> bool {
    match &matcher.op {
        MatchOp::Equal => matcher.value == target,
        MatchOp::Re(_) => matcher
            .value
            .strip_prefix(target)
            .is_some_and(|rest| matches!(rest, "" | ".*" | ".+" | "-.*" | "-.+")),
        MatchOp::NotEqual | MatchOp::NotRe(_) => false,
    }
}

/// The names that a regular expression lists one by one, if that is all that it does: `a|b`, also in parentheses.
pub fn alternatives(matcher: &Matcher) -> Option<Vec<String>> {
    let MatchOp::Re(_) = matcher.op else {
        return None;
    };
    let text = matcher.value.as_str();
    let text = text
        .strip_prefix('(')
        .and_then(|text| text.strip_suffix(')'))
        .unwrap_or(text);
    let mut names = vec![String::new()];
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        let last = names.last_mut()?;
        match character {
            '|' => names.push(String::new()),
            '\\' => {
                // A letter or digit behind a backslash stands for something else.
                let escaped = characters.next().filter(|next| !next.is_alphanumeric())?;
                last.push(escaped);
            }
            '.' | '+' | '*' | '?' | '(' | ')' | '[' | ']' | '{' | '}' | '^' | '$' => return None,
            _ => last.push(character),
        }
    }
    names.sort();
    names.dedup();
    (!names.iter().any(String::is_empty)).then_some(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use promql_parser::parser::{self, Expr};

    fn selector(text: &str) -> VectorSelector {
        match parser::parse(text).unwrap() {
            Expr::VectorSelector(selector) => selector,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn jobs_are_known_by_name_and_state() {
        use JobState::{Active, Delayed, Paused, Prioritized, Waiting};
        for (text, expected) in [
            (
                "bullmq_job_count{state=\"waiting\"}",
                Some(Jobs::InStates(vec![Waiting])),
            ),
            (
                "{__name__=\"bullmq_job_count\",state=\"active\"}",
                Some(Jobs::InStates(vec![Active])),
            ),
            (
                "bullmq_job_count{state=~\"waiting|paused|prioritized\"}",
                Some(Jobs::InStates(vec![Waiting, Paused, Prioritized])),
            ),
            (
                "bullmq_job_count{state!~\"completed|failed|waiting-children|delayed|paused\"}",
                Some(Jobs::InStates(vec![Waiting, Active, Prioritized])),
            ),
            (
                "bullmq_job_count",
                Some(Jobs::InStates(JobState::ALL.to_vec())),
            ),
            ("bull_queue_delayed", Some(Jobs::InStates(vec![Delayed]))),
            ("bull_wait_total", Some(Jobs::InStates(vec![Waiting]))),
            ("bullmq_queue_demand_jobs", Some(Jobs::Demand)),
            (
                "bullmq_queue_demand_ahead_jobs{within=\"1m\"}",
                Some(Jobs::Demand),
            ),
            ("bullmq_queue_ready_jobs", Some(Jobs::Ready)),
            ("bullmq_queue_paused", None),
            ("bullmq_queues", None),
        ] {
            assert_eq!(
                known(&selector(text)).and_then(|known| known.jobs),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_the_worker_itself_exports_is_known_by_name_or_by_the_targets_name() {
        for (text, expected) in [
            ("bullmq_jobs_waiting_total", true),
            ("bullmq_job_duration_milliseconds_bucket", true),
            ("bullmq_queue_jobs", true),
            ("bullmq_job_count", false),
            ("bullmq_queue_demand_jobs{job=\"email-worker\"}", false),
            ("process_cpu_seconds_total{job=\"email-worker\"}", true),
            (
                "nodejs_eventloop_lag_seconds{pod=~\"email-worker-.*\"}",
                true,
            ),
            ("http_requests_total{job=\"api\"}", false),
            ("http_requests_total{job=\"email-worker-proxy\"}", false),
            (
                "http_requests_total{pod=~\"email-worker-.*|api-.*\"}",
                false,
            ),
        ] {
            assert_eq!(
                from_worker(&selector(text), Some("email-worker")),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn only_a_list_of_names_is_counted() {
        for (value, expected) in [
            ("a|b", Some(vec!["a", "b"])),
            ("(a|b)", Some(vec!["a", "b"])),
            ("b|a|b", Some(vec!["a", "b"])),
            (r"a\\.b|c", Some(vec!["a.b", "c"])),
            ("a", Some(vec!["a"])),
            ("a.*|b", None),
            ("a||b", None),
            (r"\\d|b", None),
            ("(a|b)c", None),
        ] {
            let selector = selector(&format!("m{{queue=~\"{value}\"}}"));
            let names = matchers(&selector, "queue").find_map(alternatives);
            assert_eq!(
                names,
                expected.map(|names| names.into_iter().map(str::to_owned).collect()),
                "{value}"
            );
        }
    }
}

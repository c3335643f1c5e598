//! Everything that is asked for one Prometheus, in an order in which each question may depend on the answers before it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bullmq_vocabulary::label;

use super::Subject;
use crate::plan::{self, Plan};
use crate::prometheus_api::{Answer, Error, Series};
use crate::query;

/// The window in which scrapes and added jobs are looked at: Prometheus' own memory of a series that ended.
const WINDOW: Duration = Duration::from_mins(5);
/// A window shows an interval by its gaps, and two gaps need three scrapes.
const SCRAPES_IN_A_WINDOW: u32 = 5;
/// A clock that is wrong by more than this shifts answers by a scrape.
const CLOCK_TOLERANCE: f64 = 5.0;
/// Labels by which environments are told apart, asked for beside the matchers when a queue is missing.
const ENVIRONMENT: [&str; 3] = ["job", "namespace", "cluster"];

/// Asks a query, about a time since 1970 or about now.
pub(super) type Ask<'a> = dyn FnMut(&str, Option<Duration>) -> Result<Answer, Error> + 'a;

/// What one Prometheus answered about the workers of a [`Subject`].
#[derive(Clone, Debug)]
pub struct Observation {
    /// The moment that was asked about, in seconds since 1970.
    pub at: f64,
    /// How far the clock here is ahead of Prometheus', in seconds, if that matters.
    pub clock_ahead: Option<f64>,
    /// Every scrape of every exporter in a window.
    pub scrapes: Vec<Series>,
    /// The exporters that are there.
    pub exporters: Vec<Series>,
    /// Whether each Redis answered each exporter.
    pub redis_up: Vec<Series>,
    /// The horizons that are served; nothing if no worker looks ahead.
    pub horizons: Option<Vec<Series>>,
    /// Every queue that any exporter tells of; nothing if no queue is missing.
    pub queues: Option<Vec<Series>>,
    /// The workers, in their order.
    pub workers: Vec<WorkerObservation>,
    /// Questions that were not answered, apart from those of KEDA.
    pub unanswered: BTreeSet<String>,
}

/// What was answered about one worker.
#[derive(Clone, Debug)]
pub struct WorkerObservation {
    /// What KEDA is answered, for each trigger.
    pub triggers: Vec<Result<Answer, Error>>,
    /// The series behind the query.
    pub series: Vec<Series>,
    /// The same series, each with the time of its newest sample.
    pub scraped_at: Vec<Series>,
    /// Whether its queues could be read; empty if none is missing.
    pub queue_up: Vec<Series>,
    /// The least and the most jobs added, and the number of samples, where a queue has several series.
    pub added: [Vec<Series>; 3],
}

/// Asks. `now` is the time here since 1970; `ask` takes a query and the time that it is about.
///
/// # Errors
/// When Prometheus cannot be reached: the first question is not answered.
pub fn observe(
    subject: &Subject<'_>,
    now: Duration,
    ask: &mut Ask<'_>,
) -> Result<Observation, Error> {
    let clock = ask("time()", None)?;
    let theirs = clock
        .series
        .first()
        .and_then(|series| series.samples.first());
    // An answer without a time is judged by the clock here, as KEDA's own would be.
    let theirs = theirs.map_or(now.as_secs_f64(), |(time, _)| *time);
    let ahead = now.as_secs_f64() - theirs;
    let wrong = ahead.abs() > CLOCK_TOLERANCE;
    let at = if wrong {
        Duration::try_from_secs_f64(theirs).unwrap_or(now)
    } else {
        now
    };
    let at = Duration::from_secs(at.as_secs());
    let mut unanswered = BTreeSet::new();
    let mut series = |query: String| match ask(&query, Some(at)) {
        Ok(answer) => answer.series,
        Err(error) => {
            unanswered.insert(error.to_string());
            Vec::new()
        }
    };
    let (no_matchers, mut window) = (BTreeMap::new(), WINDOW);
    let first = subject.plans.first().map(|plan| &plan.workload.prometheus);
    let matchers = first.map_or(&no_matchers, |prometheus| &prometheus.matchers);
    if let Some(prometheus) = first {
        window = window.max(prometheus.scrape_interval * SCRAPES_IN_A_WINDOW);
    }
    let ahead_of_time = subject
        .plans
        .iter()
        .any(|plan| plan.workload.horizon.is_some());
    let scrapes = series(query::scrapes(matchers, window).to_string());
    let exporters = series(query::exporters(matchers).to_string());
    let redis_up = series(query::redis_up(matchers).to_string());
    let horizons = ahead_of_time.then(|| series(query::horizons(matchers).to_string()));
    let mut workers = Vec::new();
    for plan in &subject.plans {
        workers.push(worker(plan, at, window, ask, &mut unanswered));
    }
    let missing = workers.iter().zip(&subject.plans).any(|(worker, plan)| {
        let queues = &plan.workload.queues;
        queues
            .iter()
            .any(|queue| !worker.series.iter().any(|series| is_of(series, queue)))
    });
    let queues = missing.then(|| {
        let labels: BTreeSet<String> = ENVIRONMENT
            .iter()
            .map(|&name| name.to_owned())
            .chain(matchers.keys().cloned())
            .collect();
        let query = query::queues(labels.into_iter()).to_string();
        match ask(&query, Some(at)) {
            Ok(answer) => answer.series,
            Err(error) => {
                unanswered.insert(error.to_string());
                Vec::new()
            }
        }
    });
    Ok(Observation {
        at: at.as_secs_f64(),
        clock_ahead: wrong.then_some(ahead),
        scrapes,
        exporters,
        redis_up,
        horizons,
        queues,
        workers,
        unanswered,
    })
}

fn worker(
    plan: &Plan<'_>,
    at: Duration,
    window: Duration,
    ask: &mut Ask<'_>,
    unanswered: &mut BTreeSet<String>,
) -> WorkerObservation {
    let triggers = plan
        .triggers
        .iter()
        .map(|trigger| ask(&trigger.query.to_string(), Some(at)))
        .collect();
    let mut series = |query: String| match ask(&query, Some(at)) {
        Ok(answer) => answer.series,
        Err(error) => {
            unanswered.insert(error.to_string());
            Vec::new()
        }
    };
    let queues = &plan.workload.queues;
    let scope = plan::scope(plan.workload, |_| true);
    let demand = plan::demand(plan.workload);
    let behind = series(scope.series(demand).to_string());
    let scraped_at = series(scope.scraped_at(demand).to_string());
    let of = |queue| {
        behind
            .iter()
            .filter(move |series| is_of(series, queue))
            .count()
    };
    let queue_up = if queues.iter().any(|queue| of(queue) == 0) {
        series(scope.queue_up().to_string())
    } else {
        Vec::new()
    };
    let added = if queues.iter().any(|queue| of(queue) > 1) {
        scope.added(window).map(|query| series(query.to_string()))
    } else {
        [const { Vec::new() }; 3]
    };
    WorkerObservation {
        triggers,
        series: behind,
        scraped_at,
        queue_up,
        added,
    }
}

/// Whether a series is one of this queue.
pub(super) fn is_of(series: &Series, queue: &crate::workload::Queue) -> bool {
    series.label(label::REDIS) == queue.redis
        && series.label(label::PREFIX) == queue.prefix
        && series.label(label::QUEUE) == queue.name
}

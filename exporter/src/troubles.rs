//! What is wrong with a Redis: said in the log once when it begins and once when it ends, counted, and told to the status page.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{info, warn};

use crate::endpoint::Endpoint;
use crate::model::{ErrorCause, QueueId, QueueReading};
use crate::redis::ReplyError;
use crate::self_metrics::SelfMetrics;

/// What is wrong at present, as far as it was told in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Troubles {
    /// Why the last scrape had no answer, if it had none.
    pub failure: Option<ErrorCause>,
    /// Whether queues cannot be looked for.
    pub discovery_fails: bool,
    /// The queues that could not be read, with the reason.
    pub broken_queues: HashMap<QueueId, ErrorCause>,
    /// The commands that Redis denied since the start, in their order.
    pub denied: BTreeSet<String>,
}

/// The log of one Redis.
#[derive(Debug)]
pub(crate) struct Log {
    /// The name of the connection.
    redis: Arc<str>,
    self_metrics: SelfMetrics,
    said: Mutex<Said>,
}

/// What the log already says, so that it says it once.
#[derive(Debug, Default)]
struct Said {
    failed_scrapes: u64,
    failure: Option<ErrorCause>,
    discovery_fails: bool,
    broken_queues: HashMap<QueueId, ErrorCause>,
    broken_nodes: HashMap<String, ErrorCause>,
    denied: HashSet<String>,
    unreadable_names: usize,
}

impl Log {
    /// A log that has said nothing yet.
    pub(crate) fn new(redis: Arc<str>, self_metrics: SelfMetrics) -> Self {
        Self {
            redis,
            self_metrics,
            said: Mutex::default(),
        }
    }

    fn said(&self) -> MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Redis answered a scrape.
    pub(crate) fn redis_answers(&self) {
        let mut said = self.said();
        said.failure = None;
        let failed_scrapes = std::mem::take(&mut said.failed_scrapes);
        drop(said);
        if failed_scrapes > 0 {
            info!(redis = %self.redis, failed_scrapes, "Redis answers again");
        }
    }

    /// Redis did not answer a scrape. It is said once, and counted each time.
    pub(crate) fn redis_fails(&self, cause: ErrorCause, error: &str) {
        self.self_metrics.count_error(&self.redis, cause);
        let mut said = self.said();
        said.failure = Some(cause);
        said.failed_scrapes += 1;
        if said.failed_scrapes == 1 {
            warn!(redis = %self.redis, cause = cause.as_str(), error, "Redis does not answer");
        }
    }

    /// Redis answered, and not about every queue before the deadline.
    pub(crate) fn out_of_time(&self) {
        self.self_metrics
            .count_error(&self.redis, ErrorCause::Timeout);
        warn!(redis = %self.redis, "not every queue could be read before the deadline");
    }

    /// One of several nodes answered.
    pub(crate) fn node_answers(&self, endpoint: &Endpoint) {
        let mut said = self.said();
        if !said.broken_nodes.is_empty() {
            let node = endpoint.to_string();
            if said.broken_nodes.remove(&node).is_some() {
                info!(redis = %self.redis, node, "the node answers again");
            }
        }
    }

    /// One of several nodes fails. It is said once, and counted each time.
    pub(crate) fn node_fails(&self, endpoint: &Endpoint, cause: ErrorCause, error: &str) {
        self.self_metrics.count_error(&self.redis, cause);
        let node = endpoint.to_string();
        let before = self.said().broken_nodes.insert(node.clone(), cause);
        if before != Some(cause) {
            warn!(redis = %self.redis, node, cause = cause.as_str(), error, "a node of the cluster fails; its queues are unread");
        }
    }

    /// Queues could not be looked for; returns why.
    pub(crate) fn discovery_fails(&self, cause: ErrorCause, error: &str) -> ErrorCause {
        self.self_metrics.count_error(&self.redis, cause);
        if !std::mem::replace(&mut self.said().discovery_fails, true) {
            warn!(redis = %self.redis, cause = cause.as_str(), error, "queues cannot be looked for");
        }
        cause
    }

    /// So many queues were found, perhaps others than before, and so many passed over whose names are no text.
    pub(crate) fn discovered(
        &self,
        queues: usize,
        are_others: bool,
        unreadable_names: usize,
        duration: Duration,
    ) {
        let mut said = self.said();
        let failed_before = std::mem::take(&mut said.discovery_fails);
        if are_others || failed_before {
            let seconds = duration.as_secs_f64();
            info!(redis = %self.redis, queues, seconds, "queues found");
        }
        if unreadable_names != std::mem::replace(&mut said.unreadable_names, unreadable_names) {
            warn!(redis = %self.redis, queues = unreadable_names, "queues left out: their names are no text in UTF-8, or longer than a label should be");
        }
    }

    /// Queues were read, or not, and these are the problems with some of them, by their index.
    pub(crate) fn queues_read(
        &self,
        queues: &[QueueId],
        readings: &[QueueReading],
        problems: &[(usize, ReplyError)],
    ) {
        let mut said = self.said();
        if problems.is_empty() && said.broken_queues.is_empty() {
            return;
        }
        let redis = &self.redis;
        let mut denied = Vec::new();
        for (index, problem) in problems {
            let Some(queue) = queues.get(*index) else {
                continue;
            };
            let cause = problem.cause();
            if cause == ErrorCause::Denied && readings.get(*index) != Some(&QueueReading::Unread) {
                denied.push(problem);
                continue;
            }
            self.self_metrics.count_error(redis, cause);
            if said.broken_queues.insert(queue.clone(), cause) != Some(cause) {
                warn!(%redis, %queue, cause = cause.as_str(), error = %problem, "a queue cannot be read");
            }
        }
        for (queue, reading) in queues.iter().zip(readings) {
            if *reading != QueueReading::Unread && said.broken_queues.remove(queue).is_some() {
                info!(%redis, %queue, "the queue can be read again");
            }
        }
        drop(said);
        for problem in denied {
            self.denied(problem);
        }
    }

    /// What is denied stays denied: it is said and counted once, not in every scrape.
    pub(crate) fn denied(&self, problem: &ReplyError) {
        let said = problem.to_string();
        let is_new = {
            let denied = &mut self.said().denied;
            let of_command = |other: &String| denied_command(other) == denied_command(&said);
            let is_new = !denied.iter().any(of_command);
            denied.insert(said);
            is_new
        };
        if is_new {
            let redis = &self.redis;
            self.self_metrics.count_error(redis, problem.cause());
            warn!(%redis, error = %problem, "a command is denied; what depends on it is left out");
        }
    }

    /// What is wrong at present.
    pub(crate) fn troubles(&self) -> Troubles {
        let said = self.said();
        // What Redis said stays in the log: it names users and keys.
        let command = |problem: &String| problem.split(':').next().unwrap_or_default().to_owned();
        Troubles {
            failure: said.failure,
            discovery_fails: said.discovery_fails,
            broken_queues: said.broken_queues.clone(),
            denied: said.denied.iter().map(command).collect(),
        }
    }
}

/// Of `GET id: why`, the command without what it was asked for, and why it is denied: what is denied for one key is denied for all.
fn denied_command(said: &str) -> Option<(&str, &str)> {
    let (command, why) = said.split_once(": ")?;
    Some((command.split(' ').next()?, why))
}

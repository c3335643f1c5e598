//! Following the queues' events, in the background.
//!
//! Not in the scrape's path: how much there is to read depends on what the queues did and not on how many there are, and a stream must be
//! read before it is trimmed, which may be sooner than the next scrape. What is served is therefore up to one pause old: counters that
//! were true then, and whose missing rest the next scrape tells. As soon as a pass fails nothing is served until one succeeds. Of a cluster
//! that holds for each node by itself, and all are read at once.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use crate::endpoint::Endpoint;
use crate::job_events::PackedJobEvents;
use crate::model::{ErrorCause, QueueId};
use crate::redis::{
    AskError, Board, EventStreams, LinkError, Nodes, Part, Pass, ReplyError, SERVED_FOR, Share,
};
use crate::self_metrics::SelfMetrics;

/// The longest pause between two passes: how old a counter may be.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// The shortest pause: a stream that has thousands of events in it is read in a few round trips.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);

/// How many events a stream should get in one pause at most: a fifth of what BullMQ keeps in it unless told otherwise (10,000), so that
/// even five times the load of the last pause is read in time.
const EVENTS_A_PAUSE: u64 = 2000;

/// How long one pass goes on reading streams that have more: not longer than what was read is served.
const CATCH_UP_LIMIT: Duration = Duration::from_secs(2);

/// How long a pass may take at all, before the connection is given up.
const PASS_LIMIT: Duration = Duration::from_secs(7);

/// How long one of several nodes may take: the streams of the others are not read on before it has answered or is given up.
const NODE_LIMIT: Duration = Duration::from_secs(4);

// What a pass read is served until the next one has read, however long that takes.
const _: () = assert!(
    CATCH_UP_LIMIT.as_millis() < NODE_LIMIT.as_millis()
        && NODE_LIMIT.as_millis() < PASS_LIMIT.as_millis()
        && LONGEST_PAUSE.as_millis() + PASS_LIMIT.as_millis() < SERVED_FOR.as_millis()
);

/// Why something fails that was asked and did not answer.
const NO_ANSWER_IN_TIME: &str = "no answer in time";

/// How soon a pass is tried again after one failed.
const RETRY: Duration = Duration::from_secs(1);

/// Follows the events of one Redis' queues.
#[derive(Debug)]
pub(crate) struct Follower {
    redis: Arc<str>,
    /// Connections of its own: a long answer here must not hold up a scrape.
    nodes: Nodes,
    streams: tokio::sync::Mutex<EventStreams>,
    board: Board,
    self_metrics: SelfMetrics,
    said: Mutex<Said>,
}

/// What the log already says, so that it says it once.
#[derive(Debug, Default)]
struct Said {
    fails: bool,
    broken_nodes: HashMap<String, ErrorCause>,
    denied: HashSet<String>,
    broken: HashMap<QueueId, ErrorCause>,
}

impl Follower {
    /// A follower that has read nothing yet.
    pub(crate) fn new(redis: Arc<str>, endpoint: Endpoint, self_metrics: SelfMetrics) -> Self {
        self_metrics.count_missed_events(&redis, 0);
        Self {
            redis,
            nodes: Nodes::new(endpoint),
            streams: tokio::sync::Mutex::default(),
            board: Board::default(),
            self_metrics,
            said: Mutex::default(),
        }
    }

    /// What is known now of each of these queues, which are in order, where its events are read.
    pub(crate) fn current(&self, queues: &[QueueId]) -> Vec<Option<PackedJobEvents>> {
        self.board.current(queues, Instant::now())
    }

    /// Reads what is new in the events of these queues again and again, as long as the future is polled.
    ///
    /// When `changed` tells that there are other queues it does not wait: what happens to a new one until it is seen is not counted.
    pub(crate) async fn keep_following(
        &self,
        queues: impl Fn() -> Arc<[QueueId]>,
        changed: &Notify,
    ) {
        let mut before = Instant::now();
        loop {
            let outcome = self.pass(&queues()).await;
            let interval = before.elapsed();
            before = Instant::now();
            let rest = match outcome {
                Ok(pass) => pause(interval, &pass),
                Err(_) => RETRY,
            };
            tokio::select! {
                () = sleep(rest) => {}
                () = changed.notified() => {}
            }
        }
    }

    /// Reads what is new in the events of these queues once.
    ///
    /// # Errors
    /// When Redis cannot be asked; the reason is logged and counted.
    pub(crate) async fn pass(&self, queues: &Arc<[QueueId]>) -> Result<Pass, ErrorCause> {
        let mut streams = self.streams.lock().await;
        streams.follow(queues, &self.board, Instant::now());
        let (cause, error) = match timeout(PASS_LIMIT, self.read(queues, &mut streams)).await {
            Ok(Ok(pass)) => {
                self.self_metrics
                    .count_missed_events(&self.redis, pass.missed);
                self.say_read(&pass);
                return Ok(pass);
            }
            Ok(Err(error)) => (error.cause(), error.to_string()),
            Err(_) => {
                for share in self.nodes.shares(&[], []).of_nodes {
                    share.link.discard();
                }
                (ErrorCause::Timeout, NO_ANSWER_IN_TIME.to_owned())
            }
        };
        self.board.clear();
        self.nodes.doubt();
        self.say_fails(cause, &error);
        Err(cause)
    }

    /// Reads the streams of every node.
    ///
    /// # Errors
    /// When no node that has any answers.
    async fn read(&self, queues: &[QueueId], streams: &mut EventStreams) -> Result<Pass, AskError> {
        self.nodes.locate(false).await?;
        let are_several = self.nodes.are_several();
        let shares = self.nodes.shares(queues, 0..queues.len());
        let parts = streams.parts(&shares, are_several);
        self.board
            .forget(shares.of_nobody.iter().map(|(index, _)| *index));
        // Of one server it is known at once that it does not answer, even if there is nothing to be read.
        let asked = shares.of_nodes.iter().zip(parts);
        let asked = asked.filter(|(_, part)| !(are_several && part.is_empty()));
        let (shares, read): (Vec<_>, Vec<_>) = asked
            .map(|(share, part)| (share, self.read_node(share, part)))
            .unzip();
        let outcomes = join_all(read).await;
        if !outcomes.is_empty() && outcomes.iter().all(Result::is_err) {
            let first = outcomes.into_iter().find_map(Result::err);
            return first.map_or_else(|| Ok(Pass::default()), Err);
        }
        let mut all = Pass::default();
        for (share, outcome) in shares.into_iter().zip(outcomes) {
            match outcome {
                Ok(pass) => {
                    self.say_node_answers(share);
                    for word in &pass.moved {
                        self.nodes.take_moved(word, share.node);
                    }
                    all.add(pass);
                }
                Err(error) => self.say_node_fails(share, &error),
            }
        }
        Ok(all)
    }

    /// Reads the streams of one node.
    ///
    /// # Errors
    /// When it does not answer; nothing of its streams is served then.
    async fn read_node(&self, share: &Share, mut part: Part<'_>) -> Result<Pass, AskError> {
        let read = async {
            let connection = share.link.connection().await?;
            let deadline = Instant::now() + CATCH_UP_LIMIT;
            part.read(&connection, &self.board, deadline).await
        };
        let limit = if self.nodes.are_several() {
            NODE_LIMIT
        } else {
            PASS_LIMIT
        };
        let outcome = match timeout(limit, read).await {
            Ok(outcome) => outcome,
            Err(_) => Err(LinkError::late(share.link.endpoint()).into()),
        };
        if outcome.is_err() {
            part.withdraw(&self.board);
            share.link.discard();
            self.nodes.doubt();
        }
        outcome
    }

    fn said(&self) -> std::sync::MutexGuard<'_, Said> {
        self.said.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn say_fails(&self, cause: ErrorCause, error: &str) {
        self.self_metrics.count_error(&self.redis, cause);
        if !std::mem::replace(&mut self.said().fails, true) {
            warn!(redis = %self.redis, cause = cause.as_str(), error, "events cannot be read");
        }
    }

    fn say_node_fails(&self, share: &Share, error: &AskError) {
        let (redis, cause) = (&self.redis, error.cause());
        self.self_metrics.count_error(redis, cause);
        let node = share.link.endpoint().to_string();
        if self.said().broken_nodes.insert(node.clone(), cause) != Some(cause) {
            warn!(%redis, node, cause = cause.as_str(), %error, "events cannot be read from a node of the cluster");
        }
    }

    fn say_node_answers(&self, share: &Share) {
        let node = share.link.endpoint().to_string();
        if self.said().broken_nodes.remove(&node).is_some() {
            info!(redis = %self.redis, node, "events can be read from the node again");
        }
    }

    fn say_read(&self, pass: &Pass) {
        if std::mem::take(&mut self.said().fails) {
            info!(redis = %self.redis, "events can be read again");
        }
        if pass.missed > 0 {
            warn!(redis = %self.redis, events = pass.missed, "events were trimmed before they were read");
        }
        for (queue, problem) in &pass.problems {
            self.say_problem(queue, problem);
        }
        for queue in &pass.mended {
            if self.said().broken.remove(queue).is_some() {
                info!(redis = %self.redis, %queue, "the queue's events can be read again");
            }
        }
        // What is still denied for others is denied once more within the minute, and said once more.
        if !pass.mended.is_empty() && !std::mem::take(&mut self.said().denied).is_empty() {
            info!(redis = %self.redis, "events that were denied can be read again");
        }
    }

    fn say_problem(&self, queue: &QueueId, problem: &ReplyError) {
        let (redis, cause) = (&self.redis, problem.cause());
        if cause == ErrorCause::Denied {
            // For every queue alike: it is said and counted once, until some queue's events can be read again.
            if self.said().denied.insert(problem.to_string()) {
                self.self_metrics.count_error(redis, cause);
                warn!(%redis, error = %problem, "a command is denied; what depends on it is left out");
            }
            return;
        }
        self.self_metrics.count_error(redis, cause);
        if self.said().broken.insert(queue.clone(), cause) != Some(cause) {
            warn!(%redis, %queue, cause = cause.as_str(), error = %problem, "the events of a queue cannot be read");
        }
    }
}

/// The pause until the next pass: the shorter, the more the busiest stream got since the last one.
fn pause(interval: Duration, pass: &Pass) -> Duration {
    if pass.behind || pass.missed > 0 {
        return SHORTEST_PAUSE;
    }
    let most = pass.most_of_a_stream.max(1);
    let millis = u64::try_from(interval.as_millis()).unwrap_or(u64::MAX);
    Duration::from_millis(millis.saturating_mul(EVENTS_A_PAUSE) / most)
        .clamp(SHORTEST_PAUSE, LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::Format;
    use crate::shard::Shard;

    /// How many errors were counted as denied.
    fn denied(metrics: &SelfMetrics) -> String {
        let mut text = String::new();
        metrics.write(Format::Text, &mut text).unwrap();
        let line = text.lines().find(|line| line.contains("cause=\"denied\""));
        line.and_then(|line| line.rsplit(' ').next())
            .unwrap_or("0")
            .to_owned()
    }

    #[test]
    fn what_is_denied_is_said_once_and_once_more_after_it_was_allowed() {
        let metrics = SelfMetrics::new(false, Shard::ALL).unwrap();
        metrics.add_redis("default");
        let endpoint = Endpoint::nowhere();
        let follower = Follower::new("default".into(), endpoint, metrics.clone());
        let queue = |name: &str| QueueId {
            prefix: "bull".into(),
            name: name.into(),
        };
        let refused = |name| {
            let problem = ReplyError::Refused {
                command: "XREAD",
                cause: ErrorCause::Denied,
                message: "NOPERM".to_owned(),
            };
            (queue(name), problem)
        };
        let pass = |problems, mended| Pass {
            problems,
            mended,
            ..Pass::default()
        };
        for (sentence, pass, expected) in [
            (
                "for two queues alike",
                pass(vec![refused("a"), refused("b")], vec![]),
                "1",
            ),
            ("a minute later", pass(vec![refused("a")], vec![]), "1"),
            ("it is allowed", pass(vec![], vec![queue("a")]), "1"),
            (
                "and denied once more",
                pass(vec![refused("a")], vec![]),
                "2",
            ),
        ] {
            follower.say_read(&pass);
            assert_eq!(denied(&metrics), expected, "{sentence}");
        }
    }

    #[test]
    fn the_busier_the_busiest_stream_the_shorter_the_pause() {
        let pass = |most_of_a_stream| Pass {
            most_of_a_stream,
            ..Pass::default()
        };
        for (sentence, interval, pass, expected) in [
            ("nothing is new", 2000, pass(0), 2000),
            ("as much as may come in two seconds", 2000, pass(2000), 2000),
            ("four times as much", 2000, pass(8000), 500),
            ("more than can be", 2000, pass(1_000_000), 100),
            ("a pause grows again", 500, pass(500), 2000),
            (
                "something was missed",
                2000,
                Pass {
                    missed: 1,
                    ..pass(0)
                },
                100,
            ),
            (
                "there is more",
                2000,
                Pass {
                    behind: true,
                    ..pass(0)
                },
                100,
            ),
        ] {
            let expected = Duration::from_millis(expected);
            let interval = Duration::from_millis(interval);
            assert_eq!(pause(interval, &pass), expected, "{sentence}");
        }
    }
}

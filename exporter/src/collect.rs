//! One scrape of one Redis: who asks, for how long, and what is told of what was read by then.
//!
//! Scrapes that come at the same time share one reading of Redis, each with its own deadline. A reading goes on until the last of
//! those deadlines; a scrape whose deadline comes earlier is told what has been read by then, and the rest is unread.

use std::collections::{HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tracing::{info, warn};

use crate::model::{Discovery, ErrorCause, QueueId, QueueReading, Snapshot};
use crate::redis::{
    AskError, Connection, FirstSeen, Link, Millis, Question, ReplyError, discover, read_batch,
};
use crate::self_metrics::SelfMetrics;

/// How many queues are asked in one pipeline. Larger batches keep Redis from its other clients for longer.
const QUEUES_A_BATCH: usize = 100;

/// How many batches are under way at once: enough that Redis never waits for the exporter.
const BATCHES_IN_FLIGHT: usize = 4;

/// How soon discovery is tried again after it failed.
const DISCOVERY_RETRY: Duration = Duration::from_secs(1);

/// How long one discovery may take: ten million keys at a thousand a step take well under a minute, rests included.
const DISCOVERY_LIMIT: Duration = Duration::from_mins(10);

/// What to collect.
#[derive(Debug)]
pub struct Settings {
    /// The name of the connection: the value of the `redis` label.
    pub name: Arc<str>,
    /// Where Redis is and how to log in.
    pub client: redis::Client,
    /// The key prefixes under which queues are looked for.
    pub prefixes: Vec<Arc<str>>,
    /// How far ahead demand is looked up, in rising order.
    pub horizons: Arc<[Duration]>,
    /// The pause between two searches for queues.
    pub discovery_interval: Duration,
}

/// Reads one Redis, scrape by scrape.
#[derive(Debug)]
pub struct Collector {
    settings: Settings,
    link: Link,
    known: Mutex<Arc<Known>>,
    current: Mutex<Option<Arc<Reading>>>,
    first_seen: FirstSeen,
    self_metrics: SelfMetrics,
    said: Mutex<Said>,
}

/// The queues that the last successful discovery found.
#[derive(Debug, Default)]
struct Known {
    queues: Vec<QueueId>,
    discovery: Option<Discovery>,
}

/// What the log already says, so that it says it once.
#[derive(Debug, Default)]
struct Said {
    failed_scrapes: u64,
    discovery_fails: bool,
    broken_queues: HashMap<QueueId, ErrorCause>,
    denied: HashSet<String>,
    unreadable_names: usize,
}

/// One reading of Redis, shared by the scrapes that wait for it.
#[derive(Debug)]
struct Reading {
    started: Instant,
    known: Arc<Known>,
    deadline: watch::Sender<Instant>,
    progress: Mutex<Progress>,
    done: watch::Receiver<Option<Arc<Snapshot>>>,
}

#[derive(Debug)]
struct Progress {
    answered: bool,
    readings: Vec<QueueReading>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing below leaves a value half changed, so one that a panic left locked is as good as any.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Collector {
    /// A collector that has read nothing yet.
    pub fn new(settings: Settings, self_metrics: SelfMetrics) -> Self {
        Self {
            link: Link::new(settings.client.clone()),
            settings,
            known: Mutex::default(),
            current: Mutex::default(),
            first_seen: FirstSeen::default(),
            self_metrics,
            said: Mutex::default(),
        }
    }

    /// Reads Redis, or joins a reading that is under way, and returns what is known at the deadline at the latest.
    pub async fn collect(self: &Arc<Self>, deadline: Instant) -> Arc<Snapshot> {
        let reading = self.join_or_start(deadline);
        let mut done = reading.done.clone();
        let finished = async {
            done.wait_for(Option::is_some)
                .await
                .ok()
                .and_then(|it| it.clone())
        };
        match timeout_at(deadline, finished).await {
            Ok(Some(snapshot)) => snapshot,
            Ok(None) | Err(_) => Arc::new(self.snapshot(&reading)),
        }
    }

    fn join_or_start(self: &Arc<Self>, deadline: Instant) -> Arc<Reading> {
        let mut current = lock(&self.current);
        if let Some(reading) = current.as_ref().filter(|reading| reading.under_way()) {
            reading.deadline.send_if_modified(|latest| {
                let later = deadline > *latest;
                *latest = deadline.max(*latest);
                later
            });
            return Arc::clone(reading);
        }
        let known = Arc::clone(&lock(&self.known));
        let (done_sender, done) = watch::channel(None);
        let reading = Arc::new(Reading {
            started: Instant::now(),
            progress: Mutex::new(Progress {
                answered: false,
                readings: vec![QueueReading::Unread; known.queues.len()],
            }),
            known,
            deadline: watch::Sender::new(deadline),
            done,
        });
        *current = Some(Arc::clone(&reading));
        let (collector, task) = (Arc::clone(self), Arc::clone(&reading));
        tokio::spawn(async move {
            collector.read_until_deadline(&task).await;
            // Nobody may be waiting any more.
            let _ = done_sender.send(Some(Arc::new(collector.snapshot(&task))));
        });
        reading
    }

    async fn read_until_deadline(&self, reading: &Reading) {
        let mut work = pin!(self.read(reading));
        let mut deadline = reading.deadline.subscribe();
        let outcome = loop {
            let latest = *deadline.borrow_and_update();
            tokio::select! {
                outcome = &mut work => break Some(outcome),
                () = sleep_until(latest) => break None,
                _ = deadline.changed() => {}
            }
        };
        match outcome {
            Some(Ok(())) => self.say_redis_answers(),
            Some(Err(error)) => {
                // Values read before the connection broke are true, but this Redis no longer answers: silence is the
                // safer answer.
                lock(&reading.progress).answered = false;
                self.link.discard();
                self.say_redis_fails(error.cause(), &error.to_string());
            }
            None => {
                // Whatever is still on its way belongs to a connection that nobody will listen to again.
                self.link.discard();
                if lock(&reading.progress).answered {
                    self.self_metrics
                        .count_error(&self.settings.name, ErrorCause::Timeout);
                    warn!(redis = %self.settings.name, "not every queue could be read before the deadline");
                } else {
                    self.say_redis_fails(ErrorCause::Timeout, "no answer before the deadline");
                }
            }
        }
    }

    async fn read(&self, reading: &Reading) -> Result<(), AskError> {
        let (connection, now) = self.first_answer().await?;
        lock(&reading.progress).answered = true;
        let question = Question {
            now,
            horizons: &self.settings.horizons,
            first_seen: &self.first_seen,
        };
        let (connection, question) = (&connection, &question);
        let queues = reading.known.queues.as_slice();
        let batches = (0..queues.len()).step_by(QUEUES_A_BATCH);
        stream::iter(batches)
            .map(|first| async move {
                let batch = queues.iter().skip(first).take(QUEUES_A_BATCH).cloned();
                let batch: Vec<QueueId> = batch.collect();
                let answer = read_batch(&mut connection.clone(), &batch, question).await?;
                self.say_queue_problems(&batch, &answer.readings, &answer.problems);
                let mut progress = lock(&reading.progress);
                for (place, read) in progress
                    .readings
                    .iter_mut()
                    .skip(first)
                    .zip(answer.readings)
                {
                    *place = read;
                }
                Ok::<_, AskError>(())
            })
            .buffer_unordered(BATCHES_IN_FLIGHT)
            .try_collect()
            .await
    }

    /// The connection, proved to be alive by the time that Redis tells.
    async fn first_answer(&self) -> Result<(Connection, Millis), AskError> {
        let mut connection = self.link.connection().await?;
        match connection.time().await {
            Ok(now) => return Ok((connection, now)),
            // A connection that was kept since the last scrape may have been cut in the meantime; a new one may serve.
            Err(AskError::Link(_)) => self.link.discard(),
            Err(refused) => return Err(refused),
        }
        let mut connection = self.link.connection().await?;
        let now = connection.time().await?;
        Ok((connection, now))
    }

    fn snapshot(&self, reading: &Reading) -> Snapshot {
        let progress = lock(&reading.progress);
        let queues = if progress.answered {
            reading
                .known
                .queues
                .iter()
                .cloned()
                .zip(progress.readings.iter().cloned())
                .collect()
        } else {
            Vec::new()
        };
        Snapshot {
            redis: Arc::clone(&self.settings.name),
            up: progress.answered,
            duration: reading.started.elapsed(),
            discovery: reading.known.discovery,
            horizons: Arc::clone(&self.settings.horizons),
            queues,
        }
    }

    /// Looks for queues again and again, as long as the future is polled.
    pub async fn keep_discovering(&self) {
        loop {
            let pause = if self.discover().await.is_ok() {
                self.settings.discovery_interval
            } else {
                DISCOVERY_RETRY
            };
            let made = self.link.connections();
            tokio::select! {
                () = sleep(pause) => {}
                // A Redis that was gone may hold other queues now.
                () = self.link.connected_after(made) => {}
            }
        }
    }

    /// Looks for queues once.
    ///
    /// # Errors
    /// When Redis cannot be asked; the reason is logged and counted.
    pub async fn discover(&self) -> Result<(), ErrorCause> {
        let started = Instant::now();
        let outcome = timeout(DISCOVERY_LIMIT, async {
            let (mut connection, _) = self.first_answer().await?;
            discover(&mut connection, &self.settings.prefixes).await
        })
        .await;
        let found = match outcome {
            Ok(Ok(found)) => found,
            Ok(Err(error)) => {
                if let AskError::Link(_) = error {
                    self.link.discard();
                }
                return Err(self.say_discovery_fails(error.cause(), &error.to_string()));
            }
            Err(_) => {
                self.link.discard();
                return Err(self.say_discovery_fails(ErrorCause::Timeout, "no end in sight"));
            }
        };
        let duration = started.elapsed();
        self.say_discovered(&found.queues, found.unreadable_names, duration);
        let discovery = Discovery {
            queues: found.queues.len(),
            duration,
            finished_at: Duration::from_millis(found.finished_at.0),
        };
        let known = Known {
            queues: found.queues,
            discovery: Some(discovery),
        };
        *lock(&self.known) = Arc::new(known);
        Ok(())
    }
}

impl Reading {
    fn under_way(&self) -> bool {
        // A sender that is gone without a result belonged to a task that panicked.
        self.done.borrow().is_none() && self.done.has_changed().is_ok()
    }
}

/// What is said in the log: once when something begins, once when it ends.
impl Collector {
    fn say_redis_answers(&self) {
        let failed_scrapes = std::mem::take(&mut lock(&self.said).failed_scrapes);
        if failed_scrapes > 0 {
            info!(redis = %self.settings.name, failed_scrapes, "Redis answers again");
        }
    }

    fn say_redis_fails(&self, cause: ErrorCause, error: &str) {
        self.self_metrics.count_error(&self.settings.name, cause);
        let mut said = lock(&self.said);
        said.failed_scrapes += 1;
        if said.failed_scrapes == 1 {
            warn!(redis = %self.settings.name, cause = cause.as_str(), error, "Redis does not answer");
        }
    }

    fn say_discovery_fails(&self, cause: ErrorCause, error: &str) -> ErrorCause {
        self.self_metrics.count_error(&self.settings.name, cause);
        if !std::mem::replace(&mut lock(&self.said).discovery_fails, true) {
            warn!(redis = %self.settings.name, cause = cause.as_str(), error, "queues cannot be looked for");
        }
        cause
    }

    fn say_discovered(&self, queues: &[QueueId], unreadable_names: usize, duration: Duration) {
        let mut said = lock(&self.said);
        let failed_before = std::mem::take(&mut said.discovery_fails);
        let known = lock(&self.known);
        let changed = known.discovery.is_none() || known.queues != queues;
        if changed || failed_before {
            let seconds = duration.as_secs_f64();
            info!(redis = %self.settings.name, queues = queues.len(), seconds, "queues found");
        }
        if unreadable_names != std::mem::replace(&mut said.unreadable_names, unreadable_names) {
            warn!(redis = %self.settings.name, queues = unreadable_names, "queues left out: their names are no UTF-8 text");
        }
    }

    fn say_queue_problems(
        &self,
        queues: &[QueueId],
        readings: &[QueueReading],
        problems: &[(usize, ReplyError)],
    ) {
        let mut said = lock(&self.said);
        if problems.is_empty() && said.broken_queues.is_empty() {
            return;
        }
        let redis = &self.settings.name;
        for (index, problem) in problems {
            let Some(queue) = queues.get(*index) else {
                continue;
            };
            let cause = problem.cause();
            if cause == ErrorCause::Denied && readings.get(*index) != Some(&QueueReading::Unread) {
                // What is denied stays denied: it is said and counted once, not in every scrape.
                if said.denied.insert(problem.to_string()) {
                    self.self_metrics.count_error(redis, cause);
                    warn!(%redis, error = %problem, "a command is denied; what depends on it is left out");
                }
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
    }
}

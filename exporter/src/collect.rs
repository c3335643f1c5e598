//! One scrape of one Redis: who asks, for how long, and what is told of what was read by then.
//!
//! Scrapes that come at the same time share one reading of Redis, each with its own deadline. A reading goes on until the last of
//! those deadlines; a scrape whose deadline comes earlier is told what has been read by then, and the rest is unread.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::try_join;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tracing::{info, warn};

use crate::endpoint::Endpoint;
use crate::follow::Follower;
use crate::model::{Discovery, ErrorCause, QueueId, QueueReading, RedisFacts, Snapshot, Workers};
use crate::queue_filter::QueueFilter;
use crate::redis::{
    AskError, Connection, FirstSeen, Found, Link, LinkError, Millis, Question, ReplyError,
    discover, read_batch, read_server, set_user,
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// The name of the connection: the value of the `redis` label.
    pub name: Arc<str>,
    /// Where Redis is and how to log in.
    pub endpoint: Endpoint,
    /// The key prefixes under which queues are looked for.
    pub prefixes: Vec<Arc<str>>,
    /// Which of the queues are meant.
    pub filter: QueueFilter,
    /// Whether workers are counted.
    pub count_workers: bool,
    /// Whether the queues' events are followed.
    pub follow_events: bool,
    /// How far ahead demand is looked up, in rising order.
    pub horizons: Arc<[Duration]>,
    /// The pause between two searches for queues.
    pub discovery_interval: Duration,
}

impl Settings {
    /// The command that makes a Redis user with the least rights that these settings need.
    pub fn acl(&self) -> String {
        set_user(
            &self.prefixes,
            self.filter.needs_search(),
            self.count_workers,
            self.follow_events,
        )
    }
}

/// Reads one Redis, scrape by scrape.
#[derive(Debug)]
pub struct Collector {
    settings: Settings,
    link: Link,
    known: Mutex<Arc<Known>>,
    /// The names of the queues that are expected to exist.
    named: HashSet<String>,
    current: Mutex<Option<Arc<Reading>>>,
    first_seen: FirstSeen,
    /// Told when discovery found other queues than before.
    changed: Notify,
    /// Nothing if events are not followed.
    follower: Option<Follower>,
    self_metrics: SelfMetrics,
    said: Mutex<Said>,
}

/// The queues that the last successful discovery found.
#[derive(Debug, Default)]
struct Known {
    queues: Vec<QueueId>,
    discovery: Option<Discovery>,
    search: Option<Search>,
}

/// What the last successful discovery passed over, and when it ended by the clock of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    /// When it ended.
    pub finished: Instant,
    /// Queues that exist and are not meant, by the names and patterns of the configuration.
    pub not_meant: usize,
    /// Queues whose names are no text.
    pub unreadable_names: usize,
}

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

impl Known {
    /// What is known before the first discovery: the queues that are named.
    fn named(settings: &Settings) -> Self {
        let names = settings.filter.named();
        let of_prefix = |prefix: &Arc<str>| {
            let prefix = Arc::clone(prefix);
            let queue = move |name: &String| QueueId {
                prefix: Arc::clone(&prefix),
                name: name.as_str().into(),
            };
            names.iter().map(queue).collect::<Vec<_>>()
        };
        let queues: BTreeSet<_> = settings.prefixes.iter().flat_map(of_prefix).collect();
        Self {
            queues: queues.into_iter().collect(),
            discovery: None,
            search: None,
        }
    }
}

/// What the log already says, so that it says it once.
#[derive(Debug, Default)]
struct Said {
    failed_scrapes: u64,
    failure: Option<ErrorCause>,
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
    facts: Option<RedisFacts>,
    workers: Option<Arc<HashMap<QueueId, Workers>>>,
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
            link: Link::new(settings.endpoint.clone()),
            follower: settings.follow_events.then(|| {
                let (name, endpoint) = (Arc::clone(&settings.name), settings.endpoint.clone());
                Follower::new(name, endpoint, self_metrics.clone())
            }),
            known: Mutex::new(Arc::new(Known::named(&settings))),
            changed: Notify::new(),
            named: settings.filter.named().into_iter().collect(),
            settings,
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
                facts: None,
                workers: None,
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
        let read_queues = stream::iter(batches)
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
            .try_collect::<()>();
        let read_facts = async {
            let Settings {
                prefixes,
                count_workers,
                ..
            } = &self.settings;
            let mut connection = connection.clone();
            let answer = read_server(&mut connection, prefixes, queues, *count_workers).await?;
            for problem in &answer.problems {
                self.say_denied(problem);
            }
            if let Some(facts) = &answer.facts
                && !self.settings.endpoint.may_read(&facts.role)
            {
                return Err(LinkError::of_role(&facts.role).into());
            }
            let mut progress = lock(&reading.progress);
            progress.facts = answer.facts;
            progress.workers = answer.workers.map(Arc::new);
            Ok(())
        };
        try_join(read_queues, read_facts).await.map(|_| ())
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
        let read = |(queue, reading): (&QueueId, &QueueReading)| {
            // A queue that is named is expected to exist; of one that is not, nothing is told when it is gone.
            let missing =
                *reading == QueueReading::Gone && self.named.contains(queue.name.as_ref());
            (
                queue.clone(),
                if missing {
                    QueueReading::Unread
                } else {
                    reading.clone()
                },
            )
        };
        let queues = if progress.answered {
            reading
                .known
                .queues
                .iter()
                .zip(&progress.readings)
                .map(read)
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
            facts: progress.facts.clone().filter(|_| progress.answered),
            workers: progress.workers.clone(),
            events: match &self.follower {
                Some(follower) if progress.answered => follower.current(),
                _ => HashMap::new(),
            },
            queues,
        }
    }

    /// Follows the queues' events as long as the future is polled, if they are to be followed.
    pub async fn keep_following(&self) {
        if let Some(follower) = &self.follower {
            let queues = || lock(&self.known).queues.clone();
            follower.keep_following(queues, &self.changed).await;
        }
    }

    /// Reads the queues' events once, if they are to be followed.
    pub async fn follow_once(&self) {
        if let Some(follower) = &self.follower {
            let queues = lock(&self.known).queues.clone();
            // A failure is logged, and no event is served.
            let _ = follower.pass(&queues).await;
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
        let outcome = timeout(DISCOVERY_LIMIT, self.find_queues()).await;
        let (found, not_meant, finished_at) = match outcome {
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
        let queues: Vec<_> = found.queues.into_iter().collect();
        self.say_discovered(&queues, found.unreadable_names, duration);
        let finished_at = Duration::from_millis(finished_at.0);
        let discovery = Discovery {
            queues: queues.len(),
            duration,
            finished_at,
        };
        let known = Arc::new(Known {
            queues,
            discovery: Some(discovery),
            search: Some(Search {
                finished: Instant::now(),
                not_meant,
                unreadable_names: found.unreadable_names,
            }),
        });
        let before = std::mem::replace(&mut *lock(&self.known), Arc::clone(&known));
        if before.queues != known.queues {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// The queues that are meant: those that are named, and those of the others that exist. And how many exist that are not meant.
    async fn find_queues(&self) -> Result<(Found, usize, Millis), AskError> {
        let (mut connection, now) = self.first_answer().await?;
        let Settings {
            prefixes, filter, ..
        } = &self.settings;
        let named = Known::named(&self.settings).queues;
        if !filter.needs_search() {
            let queues = named.into_iter().collect();
            return Ok((
                Found {
                    queues,
                    unreadable_names: 0,
                },
                0,
                now,
            ));
        }
        let mut found = discover(&mut connection, prefixes).await?;
        let exist = found.queues.len();
        found.queues.retain(|queue| filter.takes(&queue.name));
        let not_meant = exist - found.queues.len();
        found.queues.extend(named);
        Ok((found, not_meant, connection.time().await?))
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
        let mut said = lock(&self.said);
        said.failure = None;
        let failed_scrapes = std::mem::take(&mut said.failed_scrapes);
        drop(said);
        if failed_scrapes > 0 {
            info!(redis = %self.settings.name, failed_scrapes, "Redis answers again");
        }
    }

    fn say_redis_fails(&self, cause: ErrorCause, error: &str) {
        self.self_metrics.count_error(&self.settings.name, cause);
        let mut said = lock(&self.said);
        said.failure = Some(cause);
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
            warn!(redis = %self.settings.name, queues = unreadable_names, "queues left out: their names are no text in UTF-8, or longer than a label should be");
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
            self.say_denied(problem);
        }
    }

    /// What is denied stays denied: it is said and counted once, not in every scrape.
    fn say_denied(&self, problem: &ReplyError) {
        if lock(&self.said).denied.insert(problem.to_string()) {
            let redis = &self.settings.name;
            self.self_metrics.count_error(redis, problem.cause());
            warn!(%redis, error = %problem, "a command is denied; what depends on it is left out");
        }
    }
}

/// What the status page is told beside the last snapshot.
impl Collector {
    /// What it collects.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// What the last successful discovery passed over, if there was one.
    pub fn search(&self) -> Option<Search> {
        lock(&self.known).search
    }

    /// What is wrong at present.
    pub fn troubles(&self) -> Troubles {
        let said = lock(&self.said);
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

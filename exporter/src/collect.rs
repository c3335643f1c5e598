//! One scrape of one Redis: who asks, for how long, and what is told of what was read by then.
//!
//! Scrapes that come at the same time share one reading of Redis, each with its own deadline. A reading goes on until the last of
//! those deadlines; a scrape whose deadline comes earlier is told what has been read by then, and the rest is unread. It is shared until the
//! deadline of the scrape that began it, and by none that comes later: scrapes that overlap without end would keep one alive, and be told what
//! was true long ago.
//!
//! Of a cluster every node is read at once, each by itself: one that fails costs its own queues only. They stay known, and are unread.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::{join_all, try_join};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};
use tracing::info;

use crate::endpoint::{Endpoint, Login, Topology};
use crate::follow::Follower;
use crate::model::{
    Discovery, ErrorCause, Optional, QueueId, QueueReading, RedisFacts, Snapshot, Workers,
};
use crate::queue_filter::QueueFilter;
use crate::redis::{
    AskError, Connection, Expected, FirstSeen, Found, Link, LinkError, Millis, Nodes, Question,
    ReplyError, Share, Shares, Use, discover, gone, namesake, read_batch, read_server,
    set_sentinel_user, set_user,
};
use crate::self_metrics::SelfMetrics;
use crate::shard::Shard;
use crate::troubles::{Log, Troubles};

/// How many queues are asked in one pipeline. Larger batches keep Redis from its other clients for longer.
const QUEUES_A_BATCH: usize = 100;

/// How many batches are under way at once: enough that Redis never waits for the exporter.
const BATCHES_IN_FLIGHT: usize = 4;

/// How soon discovery is tried again after it failed.
const DISCOVERY_RETRY: Duration = Duration::from_secs(1);

/// How long one discovery may take: ten million keys at a thousand a step take well under a minute, rests included.
const DISCOVERY_LIMIT: Duration = Duration::from_mins(10);

/// How long a node may take to answer before a search: one that hangs must not keep what is found on the others from being told.
const SEARCH_ANSWER_LIMIT: Duration = Duration::from_secs(10);

/// Why something fails that was asked and did not answer.
const NO_ANSWER_IN_TIME: &str = "no answer before the deadline";

/// The eviction policy under which no job is lost.
const NO_EVICTION: &str = "noeviction";

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
    /// Which share of those is read.
    pub shard: Shard,
    /// Whether workers are counted.
    pub count_workers: bool,
    /// Whether the queues' events are followed.
    pub follow_events: bool,
    /// What is read of a queue beside its counts.
    pub optional: Optional,
    /// How far ahead demand is looked up, in rising order.
    pub horizons: Arc<[Duration]>,
    /// The pause between two searches for queues.
    pub discovery_interval: Duration,
}

impl Settings {
    /// Logs which Redis is read, without credentials.
    pub fn announce(&self) {
        let prefixes = self.prefixes.join(",");
        let shard = self.shard;
        info!(redis = %self.name, address = %self.endpoint, prefixes, %shard, "a Redis is read");
    }

    /// The command that makes a Redis user with the least rights that these settings need, and the one for the Sentinels where they have a
    /// user of their own.
    pub fn acl(&self) -> String {
        let Endpoint {
            topology,
            login,
            database,
            read_from,
            ..
        } = &self.endpoint;
        let user = set_user(
            login.user.as_deref(),
            &self.prefixes,
            Use {
                database: *database != 0,
                search: self.filter.needs_search(),
                workers: self.count_workers,
                events: self.follow_events,
                cluster: matches!(topology, Topology::Cluster(_)),
                optional: self.optional,
            },
        );
        match topology {
            Topology::Sentinel {
                login: Login {
                    user: Some(name), ..
                },
                ..
            } => {
                let of_sentinels = set_sentinel_user(name, *read_from);
                format!("{user}# for its Sentinels\n{of_sentinels}")
            }
            Topology::Single(_) | Topology::Sentinel { .. } | Topology::Cluster(_) => user,
        }
    }
}

/// Reads one Redis, scrape by scrape.
#[derive(Debug)]
pub struct Collector {
    settings: Settings,
    nodes: Nodes,
    known: Mutex<Arc<Known>>,
    /// The names of the queues that are expected to exist.
    named: HashSet<String>,
    current: Mutex<Option<Arc<Reading>>>,
    expected: Expected,
    first_seen: FirstSeen,
    /// Told when discovery found other queues than before.
    changed: Notify,
    /// Nothing if events are not followed.
    follower: Option<Follower>,
    log: Log,
}

/// The queues that the last successful discovery found.
#[derive(Debug, Default)]
struct Known {
    /// In their order, shared with who follows their events.
    queues: Arc<[QueueId]>,
    /// Those of other shards whose workers could be taken for workers of these; hardly ever any.
    namesakes: Vec<QueueId>,
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
    /// Queues that are meant and in another shard, those included that are named and need not exist.
    pub of_other_shards: usize,
    /// Queues whose names are no text.
    pub unreadable_names: usize,
}

impl Known {
    /// What is known before the first discovery: the queues that are named.
    fn named(settings: &Settings) -> Self {
        let Shared { own, namesakes, .. } = Shared::new(settings.shard, named(settings).collect());
        Self {
            queues: own.into(),
            namesakes,
            discovery: None,
            search: None,
        }
    }

    /// The queues among which the one of a worker is looked for, in their order.
    fn with_namesakes(&self) -> Cow<'_, [QueueId]> {
        if self.namesakes.is_empty() {
            return Cow::Borrowed(&*self.queues);
        }
        let mut all = [&*self.queues, &*self.namesakes].concat();
        all.sort();
        Cow::Owned(all)
    }
}

/// The queues that are named, of this shard and of others.
fn named(settings: &Settings) -> impl Iterator<Item = QueueId> + '_ {
    let names = settings.filter.named();
    settings.prefixes.iter().flat_map(move |prefix| {
        let queue = |name: &String| QueueId {
            prefix: Arc::clone(prefix),
            name: name.as_str().into(),
        };
        names.iter().map(queue).collect::<Vec<_>>()
    })
}

/// The queues that are meant, shared out among the shards.
#[derive(Debug, Default)]
struct Shared {
    /// Those of this one, in their order.
    own: Vec<QueueId>,
    /// Those of others whose workers could be taken for workers of its own.
    namesakes: Vec<QueueId>,
    of_other_shards: usize,
}

impl Shared {
    /// Shares queues out.
    fn new(shard: Shard, meant: BTreeSet<QueueId>) -> Self {
        let (own, others): (Vec<_>, Vec<_>) = meant.into_iter().partition(|queue| shard.has(queue));
        let is_namesake = |queue: &&QueueId| own.binary_search(&namesake(queue)).is_ok();
        Self {
            namesakes: others.iter().filter(is_namesake).cloned().collect(),
            of_other_shards: others.len(),
            own,
        }
    }
}

/// One reading of Redis, shared by the scrapes that wait for it.
#[derive(Debug)]
struct Reading {
    started: Instant,
    /// Until when other scrapes join.
    shared_until: Instant,
    known: Arc<Known>,
    deadline: watch::Sender<Instant>,
    progress: Mutex<Progress>,
    done: watch::Receiver<Option<Arc<Snapshot>>>,
}

#[derive(Debug)]
struct Progress {
    /// The nodes that answered, and have not failed since.
    answering: BTreeSet<usize>,
    /// The ways to the nodes that have not answered everything yet.
    under_way: Vec<Arc<Link>>,
    /// What each node says of itself.
    facts: BTreeMap<usize, RedisFacts>,
    /// The workers of each queue on the node that has it, where they could be counted.
    workers: Vec<Option<Workers>>,
    /// The most that any node sees, where there are several.
    workers_anywhere: HashMap<QueueId, Workers>,
    readings: Vec<QueueReading>,
}

impl Progress {
    /// What is told of a Redis of several nodes: BullMQ is safe there only if it is on each of them, so one on which it is not goes
    /// before the others.
    fn facts(&self) -> Option<&RedisFacts> {
        let mut facts = self.facts.values();
        let unsafe_node = facts
            .clone()
            .find(|facts| facts.maxmemory_policy != NO_EVICTION);
        unsafe_node.or_else(|| facts.next())
    }

    /// The workers of each queue, where they are known.
    ///
    /// A client of a cluster connects to a node when it first needs it, and to others besides: an idle worker is seen by the node that has its
    /// queue, and one that was never idle perhaps by another only. None is seen twice by one node, so the most that any of them sees is nearest
    /// to the truth, and what BullMQ itself tells.
    fn workers(&self, queues: &[QueueId]) -> Vec<Option<Workers>> {
        if self.workers_anywhere.is_empty() {
            return self.workers.clone();
        }
        let most = |(queue, here): (&QueueId, &Option<Workers>)| {
            let anywhere = self.workers_anywhere.get(queue).copied();
            here.map(|here| here.most(anywhere.unwrap_or_default()))
        };
        queues.iter().zip(&self.workers).map(most).collect()
    }
}

/// What was learnt before a queue had to be asked about elsewhere: its index, and the word of the node with this number.
#[derive(Debug)]
struct Moved {
    queue: usize,
    node: usize,
    word: String,
}

/// What a search for queues came to.
#[derive(Debug)]
struct SearchOutcome {
    shared: Shared,
    unreadable_names: usize,
    /// How many queues exist that are not meant.
    not_meant: usize,
    finished_at: Millis,
    /// Why the search is not complete: a node that could not be asked.
    failed: Option<(ErrorCause, String)>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing below leaves a value half changed, so one that a panic left locked is as good as any.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Collector {
    /// A collector that has read nothing yet.
    pub fn new(settings: Settings, self_metrics: SelfMetrics) -> Self {
        Self {
            nodes: Nodes::new(settings.endpoint.clone()),
            follower: settings.follow_events.then(|| {
                let (name, endpoint) = (Arc::clone(&settings.name), settings.endpoint.clone());
                Follower::new(name, endpoint, self_metrics.clone())
            }),
            log: Log::new(Arc::clone(&settings.name), self_metrics),
            known: Mutex::new(Arc::new(Known::named(&settings))),
            changed: Notify::new(),
            named: settings.filter.named().into_iter().collect(),
            settings,
            current: Mutex::default(),
            expected: Expected::default(),
            first_seen: FirstSeen::default(),
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
        if let Some(reading) = current.as_ref().filter(|reading| reading.is_shared()) {
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
            shared_until: deadline,
            progress: Mutex::new(Progress {
                answering: BTreeSet::new(),
                under_way: Vec::new(),
                facts: BTreeMap::new(),
                workers: vec![None; known.queues.len()],
                workers_anywhere: HashMap::new(),
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
            Some(Ok(())) => self.log.redis_answers(),
            Some(Err(error)) => {
                self.log.redis_fails(error.cause(), &error.to_string());
            }
            None => {
                // Whatever is still on its way belongs to a connection that nobody will listen to again.
                let under_way = std::mem::take(&mut lock(&reading.progress).under_way);
                for link in &under_way {
                    link.discard();
                }
                self.nodes.doubt();
                if lock(&reading.progress).answering.is_empty() {
                    self.log.redis_fails(ErrorCause::Timeout, NO_ANSWER_IN_TIME);
                } else if self.nodes.are_several() {
                    for link in &under_way {
                        self.log.node_fails(
                            link.endpoint(),
                            ErrorCause::Timeout,
                            NO_ANSWER_IN_TIME,
                        );
                    }
                } else {
                    self.log.out_of_time();
                }
            }
        }
    }

    /// Reads every queue, each from the node that has it.
    ///
    /// # Errors
    /// When no node answered.
    async fn read(&self, reading: &Reading) -> Result<(), AskError> {
        self.nodes.locate(false).await?;
        let moved = self.read_round(reading, None).await?;
        if !moved.is_empty() {
            for Moved { node, word, .. } in &moved {
                self.nodes.take_moved(word, *node);
            }
            let mut queues: Vec<_> = moved.into_iter().map(|moved| moved.queue).collect();
            queues.sort_unstable();
            // What fails now costs these queues only.
            let _ = self.read_round(reading, Some(queues)).await;
        }
        Ok(())
    }

    /// Reads every queue, or those again that have moved, and returns those that have moved by now.
    ///
    /// # Errors
    /// When no node answered.
    async fn read_round(
        &self,
        reading: &Reading,
        again: Option<Vec<usize>>,
    ) -> Result<Vec<Moved>, AskError> {
        let queues = &reading.known.queues;
        let follows_moves = self.nodes.are_several() && again.is_none();
        let Shares {
            mut of_nodes,
            of_nobody,
        } = match again {
            None => self.nodes.shares(queues, 0..queues.len()),
            Some(moved) => self.nodes.shares(queues, moved),
        };
        if !follows_moves && self.nodes.are_several() {
            of_nodes.retain(|share| !share.queues.is_empty());
        }
        for (index, problem) in of_nobody {
            if let Some(queue) = queues.get(index) {
                let queue = std::slice::from_ref(queue);
                self.log
                    .queues_read(queue, &[QueueReading::Unread], &[(0, problem)]);
            }
        }
        let links = of_nodes.iter().map(|share| Arc::clone(&share.link));
        lock(&reading.progress).under_way.extend(links);
        let read = of_nodes.iter().map(|share| async move {
            let outcome = self.read_share(reading, share, follows_moves).await;
            let mut progress = lock(&reading.progress);
            progress
                .under_way
                .retain(|link| !Arc::ptr_eq(link, &share.link));
            if outcome.is_err() {
                // Values read before the connection broke are true, but this node no longer answers: silence is the
                // safer answer.
                progress.answering.remove(&share.node);
                progress.facts.remove(&share.node);
                for index in &share.queues {
                    if let Some(place) = progress.readings.get_mut(*index) {
                        *place = QueueReading::Unread;
                    }
                }
                share.link.discard();
                self.nodes.doubt();
            }
            outcome
        });
        let outcomes = join_all(read).await;
        if outcomes.iter().all(Result::is_err) {
            let first = outcomes.into_iter().find_map(Result::err);
            return first.map_or_else(|| Ok(Vec::new()), Err);
        }
        let mut all_moved = Vec::new();
        for (share, outcome) in of_nodes.iter().zip(outcomes) {
            match outcome {
                Ok(moved) => {
                    self.log.node_answers(share.link.endpoint());
                    all_moved.extend(moved);
                }
                Err(error) => {
                    self.log
                        .node_fails(share.link.endpoint(), error.cause(), &error.to_string());
                }
            }
        }
        Ok(all_moved)
    }

    /// Reads the queues of one node, and returns those that have moved to another, if moves are followed.
    ///
    /// # Errors
    /// When the node does not answer, or does no longer.
    async fn read_share(
        &self,
        reading: &Reading,
        share: &Share,
        follows_moves: bool,
    ) -> Result<Vec<Moved>, AskError> {
        let (connection, now) = self.first_answer(&share.link).await?;
        lock(&reading.progress).answering.insert(share.node);
        let question = Question {
            now,
            optional: self.settings.optional,
            horizons: &self.settings.horizons,
            expected: &self.expected,
            first_seen: &self.first_seen,
        };
        let (connection, question) = (&connection, &question);
        let known = |index: &usize| reading.known.queues.get(*index).cloned();
        let queues: Vec<QueueId> = share.queues.iter().filter_map(known).collect();
        let queues = queues.as_slice();
        let (all, indices) = (queues, share.queues.as_slice());
        let batches = (0..all.len()).step_by(QUEUES_A_BATCH);
        let read_queues = stream::iter(batches)
            .map(|first| async move {
                let end = all.len().min(first + QUEUES_A_BATCH);
                let batch = all.get(first..end).unwrap_or_default();
                let indices = indices.get(first..end).unwrap_or_default();
                let mut answer = read_batch(connection, batch, question).await?;
                let is_down =
                    |(_, problem): &&(_, _)| matches!(problem, ReplyError::ClusterDown { .. });
                if let Some((_, problem)) = answer.problems.iter().find(is_down) {
                    // It says so of every queue.
                    return Err(problem.clone().into());
                }
                let mut moved = Vec::new();
                if follows_moves {
                    answer.problems.retain(|(index, problem)| {
                        let word = problem.moved();
                        let queue = indices.get(*index).copied();
                        moved.extend(word.zip(queue).map(|(word, queue)| Moved {
                            queue,
                            node: share.node,
                            word: word.to_owned(),
                        }));
                        word.is_none()
                    });
                }
                self.log
                    .queues_read(batch, &answer.readings, &answer.problems);
                let mut progress = lock(&reading.progress);
                for (index, read) in indices.iter().zip(answer.readings) {
                    if let Some(place) = progress.readings.get_mut(*index) {
                        *place = read;
                    }
                }
                Ok::<_, AskError>(moved)
            })
            .buffer_unordered(BATCHES_IN_FLIGHT)
            .try_concat();
        let read_facts = async {
            let Settings {
                prefixes,
                count_workers,
                ..
            } = &self.settings;
            let mut connection = connection.clone();
            let all = reading.known.with_namesakes();
            let answer = read_server(&mut connection, prefixes, &all, *count_workers).await?;
            for problem in &answer.problems {
                self.log.denied(problem);
            }
            if let Some(facts) = &answer.facts
                && !self.settings.endpoint.may_read(&facts.role)
            {
                return Err(LinkError::of_role(&facts.role).into());
            }
            let mut progress = lock(&reading.progress);
            if let Some(facts) = answer.facts {
                progress.facts.insert(share.node, facts);
            }
            if let Some(workers) = answer.workers {
                for (index, queue) in share.queues.iter().zip(queues) {
                    if let Some(place) = progress.workers.get_mut(*index) {
                        *place = Some(workers.get(queue).copied().unwrap_or_default());
                    }
                }
                if self.nodes.are_several() {
                    for (queue, seen) in workers {
                        let most = progress.workers_anywhere.entry(queue).or_default();
                        *most = most.most(seen);
                    }
                }
            }
            Ok(())
        };
        try_join(read_queues, read_facts)
            .await
            .map(|(moved, ())| moved)
    }

    /// The connection to a node, proved to be alive by the time that it tells.
    async fn first_answer(&self, link: &Link) -> Result<(Connection, Millis), AskError> {
        let connection = link.connection().await?;
        match connection.time().await {
            Ok(now) => return Ok((connection, now)),
            // A connection that was kept since the last scrape may have been cut in the meantime; a new one may serve.
            Err(AskError::Link(_)) => link.discard(),
            Err(refused) => return Err(refused),
        }
        let connection = link.connection().await?;
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
        let answered = !progress.answering.is_empty();
        let queues = if answered {
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
            up: answered,
            duration: reading.started.elapsed(),
            discovery: reading.known.discovery,
            horizons: Arc::clone(&self.settings.horizons),
            facts: progress.facts().filter(|_| answered).cloned(),
            workers: progress.workers(&reading.known.queues),
            events: match &self.follower {
                Some(follower) if answered => follower.current(&reading.known.queues),
                _ => Vec::new(),
            },
            queues,
        }
    }

    /// Follows the queues' events as long as the future is polled, if they are to be followed.
    pub async fn keep_following(&self) {
        if let Some(follower) = &self.follower {
            let queues = || Arc::clone(&lock(&self.known).queues);
            follower.keep_following(queues, &self.changed).await;
        }
    }

    /// Reads the queues' events once, if they are to be followed.
    pub async fn follow_once(&self) {
        if let Some(follower) = &self.follower {
            let queues = Arc::clone(&lock(&self.known).queues);
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
            let made = self.nodes.connections();
            tokio::select! {
                () = sleep(pause) => {}
                // A Redis that was gone may hold other queues now.
                () = self.nodes.connected_after(made) => {}
            }
        }
    }

    /// Looks for queues once.
    ///
    /// # Errors
    /// When Redis cannot be asked; the reason is logged and counted.
    pub async fn discover(&self) -> Result<(), ErrorCause> {
        let started = Instant::now();
        let before = Arc::clone(&lock(&self.known));
        let outcome = timeout(DISCOVERY_LIMIT, self.find_queues(&before.queues)).await;
        let search = match outcome {
            Ok(Ok(search)) => search,
            Ok(Err(error)) => {
                return Err(self.log.discovery_fails(error.cause(), &error.to_string()));
            }
            Err(_) => {
                let everyone = self.nodes.shares(&[], []).of_nodes;
                for share in everyone {
                    share.link.discard();
                }
                return Err(self
                    .log
                    .discovery_fails(ErrorCause::Timeout, "no end in sight"));
            }
        };
        let duration = started.elapsed();
        let Shared {
            own: queues,
            namesakes,
            of_other_shards,
        } = search.shared;
        let discovery = if let Some((cause, error)) = search.failed {
            // The last complete search stays the last success.
            self.log.discovery_fails(cause, &error);
            before.discovery.map(|last| Discovery {
                queues: queues.len(),
                ..last
            })
        } else {
            let are_others = before.discovery.is_none() || *before.queues != *queues;
            let (count, unreadable) = (queues.len(), search.unreadable_names);
            self.log.discovered(count, are_others, unreadable, duration);
            Some(Discovery {
                queues: queues.len(),
                duration,
                finished_at: Duration::from_millis(search.finished_at.0),
            })
        };
        let passed_over = Search {
            finished: Instant::now(),
            not_meant: search.not_meant,
            of_other_shards,
            unreadable_names: search.unreadable_names,
        };
        // The same queues stay where they are in memory: what is made anew every half minute and lives on scatters the rest of the heap.
        let queues = if *before.queues == *queues {
            Arc::clone(&before.queues)
        } else {
            queues.into()
        };
        let known = Arc::new(Known {
            queues,
            namesakes,
            discovery,
            search: Some(passed_over),
        });
        let before = std::mem::replace(&mut *lock(&self.known), Arc::clone(&known));
        if before.queues != known.queues {
            self.expected.retain(&known.queues);
            self.first_seen.retain(&known.queues);
            self.changed.notify_one();
        }
        Ok(())
    }

    /// The queues that are meant: those that are named, and those of the others that exist; all are looked for, and then shared out. Of those that were known before, none is left
    /// out because its node cannot be asked, or because it is on its way to another.
    ///
    /// # Errors
    /// When no node can be asked.
    async fn find_queues(&self, before: &[QueueId]) -> Result<SearchOutcome, AskError> {
        self.nodes.locate(true).await?;
        let shares = self.nodes.shares(before, 0..before.len());
        let outcomes = join_all(shares.of_nodes.iter().map(|share| self.search_node(share))).await;
        let mut found = Found::default();
        let mut finished_at = None;
        let mut failures = Vec::new();
        let mut answered = Vec::new();
        for (share, outcome) in shares.of_nodes.iter().zip(outcomes) {
            match outcome {
                Ok((more, time)) => {
                    found.queues.extend(more.queues);
                    found.unreadable_names += more.unreadable_names;
                    finished_at = finished_at.max(Some(time));
                    answered.push(share);
                }
                Err(error) => {
                    if let AskError::Link(_) = error {
                        share.link.discard();
                        self.nodes.doubt();
                    }
                    failures.push((share, error));
                }
            }
        }
        let Some(finished_at) = finished_at else {
            let first = failures.into_iter().next().map(|(_, error)| error);
            return Err(first.unwrap_or_else(|| LinkError::late(&self.settings.endpoint).into()));
        };
        let Settings { filter, shard, .. } = &self.settings;
        if filter.needs_search() && self.nodes.are_several() {
            let mut stay: BTreeSet<&QueueId> = before.iter().collect();
            for share in answered {
                let missing = share.queues.iter().filter_map(|index| before.get(*index));
                let missing = missing.filter(|queue| !found.queues.contains(queue));
                for queue in self.gone_from(share, missing.cloned().collect()).await {
                    stay.remove(&queue);
                }
            }
            if failures.is_empty() {
                for (index, problem) in shares.of_nobody {
                    if problem == ReplyError::Spread
                        && let Some(queue) = before.get(index)
                    {
                        stay.remove(queue);
                    }
                }
            }
            found.queues.extend(stay.into_iter().cloned());
        }
        let exist = found.queues.len();
        found.queues.retain(|queue| filter.takes(&queue.name));
        let not_meant = exist - found.queues.len();
        found.queues.extend(named(&self.settings));
        let failed = failures.into_iter().next();
        Ok(SearchOutcome {
            shared: Shared::new(*shard, found.queues),
            unreadable_names: found.unreadable_names,
            not_meant,
            finished_at,
            failed: failed.map(|(share, error)| {
                let told = format!("the node {}: {error}", share.link.endpoint());
                (error.cause(), told)
            }),
        })
    }

    /// Searches one node, and tells its time at the end.
    async fn search_node(&self, share: &Share) -> Result<(Found, Millis), AskError> {
        let link = &share.link;
        let (mut connection, now) = timeout(SEARCH_ANSWER_LIMIT, self.first_answer(link))
            .await
            .unwrap_or_else(|_| Err(LinkError::late(link.endpoint()).into()))?;
        if !self.settings.filter.needs_search() {
            return Ok((Found::default(), now));
        }
        let found = discover(&mut connection, &self.settings.prefixes).await?;
        Ok((found, connection.time().await?))
    }

    /// Those of a node's queues that it says do not exist any more; none if it does not answer.
    async fn gone_from(&self, share: &Share, queues: Vec<QueueId>) -> Vec<QueueId> {
        if queues.is_empty() {
            return Vec::new();
        }
        let ask = async { gone(&mut share.link.connection().await?, &queues).await };
        let Ok(Ok(gone)) = timeout(SEARCH_ANSWER_LIMIT, ask).await else {
            share.link.discard();
            return Vec::new();
        };
        gone
    }
}

impl Reading {
    fn is_shared(&self) -> bool {
        // A sender that is gone without a result belonged to a task that panicked.
        let under_way = self.done.borrow().is_none() && self.done.has_changed().is_ok();
        under_way && Instant::now() < self.shared_until
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
        self.log.troubles()
    }
}

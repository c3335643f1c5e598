//! The Redis servers that are read now. A server whose settings did not change keeps what is known of it when the configuration does.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::Instant;
use tracing::info;

use crate::collect::{Collector, Settings};
use crate::model::Snapshot;
use crate::self_metrics::SelfMetrics;

/// The servers, each with its collector.
#[derive(Debug)]
pub struct Servers {
    current: Mutex<Vec<Arc<Server>>>,
    self_metrics: SelfMetrics,
}

/// One server, and what runs in the background for it.
#[derive(Debug)]
struct Server {
    settings: Settings,
    collector: Arc<Collector>,
    background: Mutex<Vec<JoinHandle<()>>>,
    last: Mutex<Last>,
}

/// What the scrapes of a server told last. Kept for the status page alone: no metric is served from it.
#[derive(Clone, Debug, Default)]
pub struct Last {
    /// The last scrape.
    pub scrape: Option<Scraped>,
    /// When Redis answered last.
    pub answered: Option<Instant>,
}

/// What a scrape told.
#[derive(Clone, Debug)]
pub struct Scraped {
    /// When it was told.
    pub at: Instant,
    /// What was told.
    pub snapshot: Arc<Snapshot>,
}

/// A server as the status page sees it.
#[derive(Clone, Debug)]
pub struct Standing {
    /// What reads it.
    pub collector: Arc<Collector>,
    /// What the scrapes told last.
    pub last: Last,
}

impl Servers {
    /// The servers with these settings, nothing running yet.
    pub fn new(settings: Vec<Settings>, self_metrics: SelfMetrics) -> Self {
        let server = |settings| Arc::new(Server::new(settings, &self_metrics));
        Self {
            current: Mutex::new(settings.into_iter().map(server).collect()),
            self_metrics,
        }
    }

    /// What reads each of them.
    pub fn collectors(&self) -> Vec<Arc<Collector>> {
        let collector = |server: &Arc<Server>| Arc::clone(&server.collector);
        self.now().iter().map(collector).collect()
    }

    /// Reads each of them, and keeps what they told.
    pub async fn collect(&self, deadline: Instant) -> Vec<Arc<Snapshot>> {
        let servers = self.now();
        join_all(servers.iter().map(|server| server.collect(deadline))).await
    }

    /// What is known of each of them without asking it.
    pub fn standing(&self) -> Vec<Standing> {
        let standing = |server: &Arc<Server>| Standing {
            collector: Arc::clone(&server.collector),
            last: server.last().clone(),
        };
        self.now().iter().map(standing).collect()
    }

    /// Starts what runs in the background for each of them, for as long as it is among the servers: looking for queues, and following
    /// their events if that is asked for.
    pub fn start(&self) {
        for server in self.now() {
            server.start();
        }
    }

    /// Whether they have exactly these settings.
    pub fn are(&self, settings: &[Settings]) -> bool {
        let now = self.now();
        now.len() == settings.len()
            && now
                .iter()
                .zip(settings)
                .all(|(server, settings)| server.settings == *settings)
    }

    /// Makes these the servers: those whose settings did not change go on as they are.
    pub fn replace(&self, settings: Vec<Settings>) {
        let before = self.now();
        let after: Vec<Arc<Server>> = settings
            .into_iter()
            .map(|settings| {
                let same = before.iter().find(|server| server.settings == settings);
                same.map_or_else(|| self.begin(settings), Arc::clone)
            })
            .collect();
        for server in &before {
            let name = &server.settings.name;
            if !after.iter().any(|kept| kept.settings.name == *name) {
                info!(redis = %name, "a Redis is read no longer");
                self.self_metrics.remove_redis(name);
            }
        }
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = after;
    }

    fn begin(&self, settings: Settings) -> Arc<Server> {
        settings.announce();
        let server = Arc::new(Server::new(settings, &self.self_metrics));
        server.start();
        server
    }

    fn now(&self) -> Vec<Arc<Server>> {
        self.current
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

impl Server {
    fn new(settings: Settings, self_metrics: &SelfMetrics) -> Self {
        self_metrics.add_redis(&settings.name);
        Self {
            collector: Arc::new(Collector::new(settings.clone(), self_metrics.clone())),
            settings,
            background: Mutex::default(),
            last: Mutex::default(),
        }
    }

    async fn collect(&self, deadline: Instant) -> Arc<Snapshot> {
        let snapshot = self.collector.collect(deadline).await;
        let mut last = self.last();
        let at = Instant::now();
        if snapshot.up {
            last.answered = Some(at);
        }
        last.scrape = Some(Scraped {
            at,
            snapshot: Arc::clone(&snapshot),
        });
        snapshot
    }

    fn last(&self) -> MutexGuard<'_, Last> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn start(&self) {
        let (finder, follower) = (Arc::clone(&self.collector), Arc::clone(&self.collector));
        let tasks = [
            tokio::spawn(async move { finder.keep_discovering().await }),
            tokio::spawn(async move { follower.keep_following().await }),
        ];
        self.background
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(tasks);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let background = self
            .background
            .get_mut()
            .unwrap_or_else(PoisonError::into_inner);
        for task in background.drain(..) {
            task.abort();
        }
    }
}

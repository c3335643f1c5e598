//! The Redis servers that are read now. A server whose settings did not change keeps what is known of it when the configuration does.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::task::JoinHandle;
use tracing::info;

use crate::collect::{Collector, Settings};
use crate::config::announce;
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
        announce(&settings);
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
        }
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

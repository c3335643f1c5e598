//! The worker processes: what a Deployment's pods are in a cluster.

use std::path::Path;
use std::process::Command;

use acceptance::Process;
use anyhow::{Result, bail};

use crate::spec::Spec;

/// The worker processes of one queue, as many as the autoscaler has last decided.
#[derive(Debug)]
pub(crate) struct Workers {
    redis_url: String,
    queue: String,
    concurrency: u32,
    processes: Vec<Worker>,
}

#[derive(Debug)]
struct Worker {
    process: Process,
    state: State,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Node is loading, or the worker connects.
    Starting,
    /// It takes jobs.
    Ready,
    /// It has been told to end, and finishes the jobs that it holds.
    Draining,
}

/// How many worker processes are alive, by what they do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Alive {
    pub(crate) starting: usize,
    pub(crate) ready: usize,
    pub(crate) draining: usize,
}

impl Alive {
    /// What the Deployment would call its replicas: all but those that are on their way out.
    pub(crate) fn replicas(self) -> usize {
        self.starting + self.ready
    }
}

impl Workers {
    /// No worker yet.
    pub(crate) fn new(redis_url: String, spec: &Spec) -> Self {
        Self {
            redis_url,
            queue: spec.queue.clone(),
            concurrency: spec.concurrency,
            processes: Vec::new(),
        }
    }

    pub(crate) fn alive(&self) -> Alive {
        let count = |state| {
            self.processes
                .iter()
                .filter(|worker| worker.state == state)
                .count()
        };
        Alive {
            starting: count(State::Starting),
            ready: count(State::Ready),
            draining: count(State::Draining),
        }
    }

    /// Starts or ends workers until `replicas` of them are not on their way out.
    ///
    /// The youngest are ended first, as a Deployment does. Ending is `SIGTERM`, and the worker's own time to drain.
    pub(crate) fn scale_to(&mut self, replicas: usize) -> Result<()> {
        let alive = self.alive().replicas();
        for _ in alive..replicas {
            self.processes.push(self.start()?);
        }
        let kept = self
            .processes
            .iter_mut()
            .rev()
            .filter(|worker| worker.state != State::Draining);
        for worker in kept.take(alive.saturating_sub(replicas)) {
            worker.process.signal("TERM")?;
            worker.state = State::Draining;
        }
        Ok(())
    }

    /// Notices which workers have become ready, and which have ended.
    ///
    /// # Errors
    /// When one has ended without being told to.
    pub(crate) fn look(&mut self) -> Result<()> {
        let mut alive = Vec::with_capacity(self.processes.len());
        for mut worker in self.processes.drain(..) {
            match (worker.process.status()?, worker.state) {
                (None, State::Starting) => {
                    if worker.process.log().lines().any(|line| line == "ready") {
                        worker.state = State::Ready;
                    }
                }
                (None, State::Ready | State::Draining) => {}
                (Some(_), State::Draining) => continue,
                (Some(status), State::Starting | State::Ready) => {
                    bail!(
                        "a worker ended with {status}; its log:\n{}",
                        worker.process.log()
                    );
                }
            }
            alive.push(worker);
        }
        self.processes = alive;
        Ok(())
    }

    fn start(&self) -> Result<Worker> {
        let folder = tempfile::Builder::new().prefix("worker-").tempdir()?;
        let mut command = node("worker.mjs");
        command.args([&self.redis_url, &self.queue, &self.concurrency.to_string()]);
        let process = Process::start("worker", folder, &mut command)?;
        Ok(Worker {
            process,
            state: State::Starting,
        })
    }
}

/// Runs one of the demo's scripts; it finds BullMQ beside itself, whatever its working folder.
pub(crate) fn node(script: &str) -> Command {
    let mut command = Command::new("node");
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(script));
    command
}

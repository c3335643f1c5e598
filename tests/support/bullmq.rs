//! The real BullMQ, in a Node or Python process that runs the code it is given.

use std::process::Command;

use anyhow::Result;
use serde_json::Value;

use crate::binary::repository;
use crate::cluster::Cluster;
use crate::driver::Driver;
use crate::redis::Redis;

/// A release line of BullMQ, of its ancestor Bull or of its port to Python; the exact releases are pinned in
/// `tests/bullmq/package.json` and `tests/bullmq-python/requirements.txt`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// Bull 4.
    Bull,
    /// BullMQ 4.
    V4,
    /// BullMQ 5.
    V5,
    /// BullMQ 6.
    V6,
    /// BullMQ for Python 3.
    Python,
}

impl Version {
    /// The release lines that BullMQ's author maintains.
    pub const ALL: [Self; 2] = [Self::V5, Self::V6];

    /// Those for Node that are in use: the maintained ones, the one before, and Bull.
    pub const EVERY: [Self; 4] = [Self::Bull, Self::V4, Self::V5, Self::V6];

    /// The program that runs code for it, connected to the Redis at this port, or to the cluster whose nodes are at these.
    fn driver(self, ports: &str) -> Command {
        let node = |package| {
            let mut node = Command::new("node");
            node.args(["driver.mjs", package])
                .current_dir(repository().join("tests/bullmq"));
            node
        };
        let mut driver = match self {
            Self::Bull => node("bull4"),
            Self::V4 => node("bullmq4"),
            Self::V5 => node("bullmq5"),
            Self::V6 => node("bullmq6"),
            Self::Python => {
                let folder = repository().join("tests/bullmq-python");
                let mut python = Command::new(folder.join(".venv/bin/python"));
                // No bytecode files beside the sources.
                python.args(["-B", "driver.py"]).current_dir(folder);
                python
            }
        };
        driver.arg(ports);
        driver
    }
}

/// A process with one version of BullMQ, connected to one Redis.
///
/// Dropping it kills the process, and with it every worker that it runs.
#[derive(Debug)]
pub struct BullMq(Driver);

impl BullMq {
    /// Starts the process.
    ///
    /// # Errors
    /// When Node, or Python with BullMQ, is not installed.
    pub fn start(version: Version, redis: &Redis) -> Result<Self> {
        Self::start_at(version, &redis.port().to_string())
    }

    /// Starts the process, connected to a cluster.
    ///
    /// # Errors
    /// When Node is not installed.
    pub fn start_in(version: Version, cluster: &Cluster) -> Result<Self> {
        let ports: Vec<String> = cluster.ports().iter().map(u16::to_string).collect();
        Self::start_at(version, &ports.join(","))
    }

    fn start_at(version: Version, ports: &str) -> Result<Self> {
        Ok(Self(Driver::start(&mut version.driver(ports))?))
    }

    /// Runs the body of an asynchronous JavaScript function and returns what it returns.
    ///
    /// In its scope are `queue(name, options)` (one `Queue` object a name), `worker(name, processor, options)`, everything
    /// that the package exports as `bullmq` and its name as `packageName`, `connection`, `shared` (a client of ioredis),
    /// `sleep(milliseconds)`, `kept` (an object for the next run), and `load(file)` for the modules beside the driver. For
    /// Python it is the body of an asynchronous function in Python, with the same in its scope as far as it makes sense there.
    ///
    /// # Errors
    /// When the code throws, or Node ends.
    pub fn run(&mut self, code: &str) -> Result<Value> {
        self.0.run(code)
    }

    /// Kills the process at once: its workers die without a word, as when a node of a cluster is lost.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.0.kill()
    }
}

impl Drop for BullMq {
    fn drop(&mut self) {
        // One that has ended needs nothing.
        let _ = self.kill();
    }
}

//! Our exporter, as its users run it.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};

use crate::binary::ours;
use crate::process::{Process, wait_until};
use crate::redis::Redis;
use crate::scrape::{Scrape, get};

const START_LIMIT: Duration = Duration::from_secs(20);
/// How long a scrape may take here; the exporter's own deadline is 10 seconds unless told otherwise.
const SCRAPE_LIMIT: Duration = Duration::from_secs(30);

/// How long a run may take that is to end by itself.
const RUN_LIMIT: Duration = Duration::from_mins(1);

/// A running bullmq-exporter on a free port of the loopback address.
#[derive(Debug)]
pub struct Exporter {
    address: String,
    process: Process,
}

impl Exporter {
    /// Starts one for a Redis, discovering queues every 200 milliseconds.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start(redis: &Redis) -> Result<Self> {
        Self::start_with(&["--redis.url", &redis.url(), "--discovery.interval", "200ms"])
    }

    /// Starts one with the given flags; the listen address is added.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_with(flags: &[&str]) -> Result<Self> {
        Self::start_in::<&str>(&[], flags)
    }

    /// Starts one with the given environment variables and flags; the listen address is added.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_in<V: AsRef<OsStr>>(variables: &[(V, V)], flags: &[&str]) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("exporter-").tempdir()?;
        let mut command = Command::new(ours("bullmq-exporter")?);
        command.envs(variables.iter().map(|(name, value)| (name, value)));
        command.args(flags).args([
            "--web.listen-address",
            "127.0.0.1:0",
            "--log.format",
            "json",
        ]);
        let mut process = Process::start("bullmq-exporter", folder, &mut command)?;
        let address = wait_until("the exporter listens", START_LIMIT, || {
            process.check_alive()?;
            Ok(listen_address(&process.log()))
        })?;
        Ok(Self { address, process })
    }

    /// Runs the exporter to its end and returns what it printed.
    ///
    /// # Errors
    /// When it cannot be started, or does not end in time, as when it serves instead of refusing what it was told.
    pub fn run(flags: &[&str]) -> Result<Output> {
        let child = Command::new(ours("bullmq-exporter")?)
            .args(flags)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("bullmq-exporter")?;
        let id = child.id().to_string();
        let (sender, ended) = mpsc::channel();
        std::thread::spawn(move || sender.send(child.wait_with_output()));
        let Ok(output) = ended.recv_timeout(RUN_LIMIT) else {
            Command::new("kill").arg(id).status()?;
            bail!("bullmq-exporter {flags:?} still runs after {RUN_LIMIT:?}");
        };
        Ok(output?)
    }

    /// The address that it listens on, `host:port`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Asks for a path.
    ///
    /// # Errors
    /// When there is no answer.
    pub fn get(&self, path: &str) -> Result<(u16, String)> {
        get(&format!("http://{}{path}", self.address), &[], SCRAPE_LIMIT)
    }

    /// Scrapes it.
    ///
    /// # Errors
    /// When it does not answer with status 200.
    pub fn scrape(&self) -> Result<Scrape> {
        self.scrape_with(&[])
    }

    /// Scrapes it with request headers.
    ///
    /// # Errors
    /// When it does not answer with status 200.
    pub fn scrape_with(&self, headers: &[(&str, &str)]) -> Result<Scrape> {
        let url = format!("http://{}/metrics", self.address);
        let (status, text) = get(&url, headers, SCRAPE_LIMIT)?;
        ensure!(status == 200, "status {status}: {text}");
        Ok(Scrape { text })
    }

    /// Scrapes it until the queue is served, so that what follows does not depend on when discovery runs.
    ///
    /// # Errors
    /// When the queue is not found in time.
    pub fn scrape_when_found(&self, queue: &str) -> Result<Scrape> {
        wait_until(&format!("the queue {queue} is served"), START_LIMIT, || {
            let scrape = self.scrape()?;
            Ok(scrape.mentions_queue(queue).then_some(scrape))
        })
    }
}

/// The address from the line that the exporter logs once it listens.
fn listen_address(log: &str) -> Option<String> {
    log.lines().find_map(|line| {
        let entry: serde_json::Value = serde_json::from_str(line).ok()?;
        let fields = entry.get("fields")?;
        (fields.get("message")? == "listening")
            .then(|| fields.get("address")?.as_str().map(str::to_owned))?
    })
}

//! Those that are measured: each answers a scrape, and may be a process whose memory can be looked at.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use acceptance::{BullMq, Process, Redis, Version, free_port, get, wait_until};
use anyhow::{Context as _, Result, bail, ensure};

use crate::bare::{Bare, Manner};
use crate::memory::Memory;
use crate::recording::Recording;

/// How long anything may take to come up.
const START_LIMIT: Duration = Duration::from_mins(1);

/// How long a scrape may take.
const SCRAPE_LIMIT: Duration = Duration::from_mins(1);

/// How long Node may take to connect every queue, in milliseconds.
const CONNECT_LIMIT_MILLIS: u64 = 60_000;

/// Somebody who is asked for a scrape.
pub(crate) trait Contestant {
    /// Lets it scrape once, and returns how many bytes it answered.
    ///
    /// # Errors
    /// When it does not answer.
    fn scrape(&mut self) -> Result<usize>;

    /// Its process, if it has one of its own.
    fn process(&self) -> Option<u32> {
        None
    }

    /// The memory of its process.
    fn memory(&self) -> Option<Memory> {
        Memory::of(self.process()?).ok()
    }
}

impl Contestant for Bare {
    fn scrape(&mut self) -> Result<usize> {
        self.scrape()?;
        Ok(0)
    }
}

/// Our exporter.
#[derive(Debug)]
pub(crate) struct Exporter {
    port: u16,
    process: Process,
    accept: &'static str,
    /// From the start of the process to the end of the first scrape that told every queue.
    pub(crate) first_good_scrape: Duration,
}

impl Exporter {
    /// Starts `program`, and waits until it tells as many queues as there are.
    ///
    /// # Errors
    /// When it does not.
    pub(crate) fn start(
        program: &Path,
        redis: &Redis,
        queues: usize,
        flags: &[&str],
    ) -> Result<Self> {
        let port = free_port()?;
        let folder = tempfile::Builder::new().prefix("exporter-").tempdir()?;
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new(program);
        command.args([
            "--redis.url",
            &redis.url(),
            "--web.listen-address",
            &address,
        ]);
        // Looking for queues is no part of a scrape.
        command.args(["--discovery.interval", "1h"]).args(flags);
        let started = Instant::now();
        let process = Process::start("bullmq-exporter", folder, &mut command)?;
        let mut exporter = Self {
            port,
            process,
            accept: "",
            first_good_scrape: Duration::ZERO,
        };
        wait_until("every queue is served", START_LIMIT, || {
            exporter.process.check_alive()?;
            let Ok(text) = exporter.text() else {
                return Ok(None);
            };
            let read = text
                .lines()
                .filter(|line| line.starts_with("bullmq_queue_up{") && line.ends_with(" 1"));
            Ok((read.count() == queues).then_some(()))
        })?;
        exporter.first_good_scrape = started.elapsed();
        Ok(exporter)
    }

    /// Asks for gzip from now on.
    pub(crate) const fn with_gzip(mut self) -> Self {
        self.accept = "Accept-Encoding: gzip\r\n";
        self
    }

    /// What it serves.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) fn text(&self) -> Result<String> {
        text(self.port)
    }
}

impl Contestant for Exporter {
    fn scrape(&mut self) -> Result<usize> {
        drain(self.port, self.accept)
    }

    fn process(&self) -> Option<u32> {
        Some(self.process.id())
    }
}

/// How the queue objects of BullMQ are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Connections {
    /// All share one.
    One,
    /// Each has its own.
    Each,
}

/// BullMQ's own exporter in Node.
#[derive(Debug)]
pub(crate) struct Node {
    port: u16,
    process: u32,
    _bullmq: BullMq,
    /// From the start of the process to the end of the first scrape.
    pub(crate) first_good_scrape: Duration,
}

impl Node {
    /// Starts one for these queues.
    ///
    /// # Errors
    /// When Node is not installed, or the queues cannot be connected.
    pub(crate) fn start(redis: &Redis, names: &[String], connections: Connections) -> Result<Self> {
        let started = Instant::now();
        let mut bullmq = BullMq::start(Version::V6, redis)?;
        let queues = match connections {
            Connections::One => "names.map((name) => queue(name))".to_owned(),
            Connections::Each => {
                format!("await connectEach(bullmq, names, connection, {CONNECT_LIMIT_MILLIS})")
            }
        };
        let answer = bullmq.run(&format!(
            "const {{ serve, connectEach }} = await load('exporter.mjs');
             const names = {names:?};
             return serve({queues});"
        ))?;
        let number = |name: &str| answer.get(name).and_then(serde_json::Value::as_u64);
        let port = u16::try_from(number("port").context("Node tells its port")?)?;
        let process = u32::try_from(number("process").context("Node tells its process")?)?;
        let mut node = Self {
            port,
            process,
            _bullmq: bullmq,
            first_good_scrape: Duration::ZERO,
        };
        node.scrape()?;
        node.first_good_scrape = started.elapsed();
        Ok(node)
    }

    /// What it serves.
    ///
    /// # Errors
    /// When it does not answer.
    pub(crate) fn text(&self) -> Result<String> {
        text(self.port)
    }
}

impl Contestant for Node {
    fn scrape(&mut self) -> Result<usize> {
        drain(self.port, "")
    }

    fn process(&self) -> Option<u32> {
        Some(self.process)
    }
}

fn text(port: u16) -> Result<String> {
    let (status, text) = get(
        &format!("http://127.0.0.1:{port}/metrics"),
        &[],
        SCRAPE_LIMIT,
    )?;
    ensure!(status == 200, "status {status}: {text}");
    Ok(text)
}

/// Scrapes and drops what comes: reading text is the work of whoever asks, and not measured.
fn drain(port: u16, accept: &str) -> Result<usize> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(SCRAPE_LIMIT))?;
    write!(
        stream,
        "GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{accept}\r\n"
    )?;
    let mut buffer = vec![0; 1 << 18];
    let first = stream.read(&mut buffer)?;
    let head = buffer.get(..first).unwrap_or_default();
    if !head.starts_with(b"HTTP/1.1 200") {
        bail!("refused: {}", String::from_utf8_lossy(head));
    }
    let mut bytes = first;
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(bytes),
            more => bytes += more,
        }
    }
}

/// A bare pipeline, ready to be sent.
///
/// # Errors
/// When Redis does not answer.
pub(crate) fn bare(redis: &Redis, recording: &Recording, manner: Manner) -> Result<Bare> {
    Bare::new(&redis.url(), recording, manner)
}

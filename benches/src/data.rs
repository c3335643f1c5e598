//! The queues that are measured: one of each kind made by the real BullMQ, and as many copies as are wanted.
//!
//! BullMQ takes minutes to make ten thousand queues, and Redis a second to copy their keys. That a copy is read like a queue that BullMQ
//! made is checked each time, against a second queue of each kind (see [`crate::twins`]).

use std::collections::BTreeMap;
use std::fmt;
use std::net::TcpStream;

use acceptance::{BullMq, Redis, Version};
use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use redis::Connection;

use crate::redis_client::connect;

/// How many commands are sent together while data is made.
const PIPELINE: usize = 2_000;

/// How many of a thousand queues have a worker beside them that waits for a job. Workers of the other queues are not simulated.
const WORKERS_A_THOUSAND: usize = 20;

/// What is in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// It has been used, and holds finished jobs only.
    Idle,
    /// Jobs wait, two are active.
    Waiting,
    /// Jobs wait at three levels of priority.
    Prioritized,
    /// Delayed jobs, some of them due.
    Delayed,
    /// Jobs wait, and the queue is paused.
    Paused,
    /// A scheduler with its next job.
    Scheduled,
    /// A global concurrency, and a global rate limit that is reached.
    Limited,
    /// Jobs in every state, and all of the above but the pause.
    Everything,
}

impl Kind {
    /// All of them.
    pub(crate) const ALL: [Self; 8] = [
        Self::Idle,
        Self::Waiting,
        Self::Prioritized,
        Self::Delayed,
        Self::Paused,
        Self::Scheduled,
        Self::Limited,
        Self::Everything,
    ];

    /// Those that are not idle, as often as each other: all but the first.
    const BUSY: &[Self] = Self::ALL.split_at(1).1;

    /// The code that makes one; `q` is the queue, `take` makes a job active.
    const fn code(self) -> &'static str {
        match self {
            Self::Idle => "",
            Self::Waiting => "await add(20); await take(); await take();",
            Self::Prioritized => {
                "for (const priority of [1, 5, 9]) await add(4, { priority }); await take();"
            }
            Self::Delayed => {
                "await add(3, { delay: 1 }); await add(4, { delay: 36e5 }); await sleep(10);"
            }
            Self::Paused => "await add(10); await q.pause();",
            Self::Scheduled => {
                "await q.upsertJobScheduler('hourly', { every: 36e5 }); await add(2);"
            }
            Self::Limited => {
                "await q.setGlobalConcurrency(5); await q.setGlobalRateLimit(2, 36e5); await add(10); await take(); await take();"
            }
            Self::Everything => {
                "await q.upsertJobScheduler('hourly', { every: 36e5 }); await add(10); await take(); await take(); await add(4, { lifo: true });
                 for (const priority of [1, 5, 9]) await add(4, { priority });
                 await add(3, { delay: 1 }); await add(4, { delay: 36e5 }); await sleep(10);
                 await q.setGlobalConcurrency(50); await q.setGlobalRateLimit(1, 36e5); await take();"
            }
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Prioritized => "prioritized",
            Self::Delayed => "delayed",
            Self::Paused => "paused",
            Self::Scheduled => "scheduled",
            Self::Limited => "limited",
            Self::Everything => "everything",
        })
    }
}

/// How many queues of which kinds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    /// All of them.
    pub(crate) queues: usize,
    /// How many of a hundred are idle.
    pub(crate) idle_percent: usize,
    /// How many finished jobs are kept, in all queues together, besides those that each has.
    pub(crate) retained: usize,
}

impl Wanted {
    /// The kind of the copy with this number.
    fn kind(self, number: usize) -> Kind {
        if number % 100 < self.idle_percent {
            return Kind::Idle;
        }
        let busy = number % 100 - self.idle_percent + number / 100 * (100 - self.idle_percent);
        let kind = Kind::BUSY.get(busy % Kind::BUSY.len());
        kind.copied().unwrap_or(Kind::Everything)
    }
}

/// A Redis with queues in it, and clients that are connected as workers are.
#[derive(Debug)]
pub(crate) struct Data {
    /// The server.
    pub(crate) redis: Redis,
    /// The names of the queues.
    pub(crate) names: Vec<String>,
    /// For each kind, the keys of one that BullMQ made, without what all of them begin with.
    templates: BTreeMap<Kind, Vec<String>>,
    /// Connected as long as they are kept.
    workers: Vec<TcpStream>,
}

impl Data {
    /// Makes it in a Redis of its own.
    ///
    /// # Errors
    /// When Redis or Node is not installed, or refuses.
    pub(crate) fn make(wanted: Wanted) -> Result<Self> {
        let redis = Redis::start()?;
        let mut client = connect(&redis)?;
        let mut names = Vec::new();
        let mut templates = BTreeMap::new();
        let mut bullmq = BullMq::start(Version::V6, &redis)?;
        for kind in Kind::ALL {
            for name in [format!("made-{kind}"), format!("twin-{kind}")] {
                make_real(&mut bullmq, &name, kind)?;
                names.push(name);
            }
            let first = format!("bull:made-{kind}:");
            let keys: Vec<String> = redis::cmd("KEYS")
                .arg(format!("{first}*"))
                .query(&mut client)?;
            let rest = |key: &String| key.strip_prefix(&first).map(str::to_owned);
            templates.insert(kind, keys.iter().filter_map(rest).collect());
        }
        let mut data = Self {
            redis,
            names,
            templates,
            workers: Vec::new(),
        };
        for kind in Kind::ALL {
            data.copy(&mut client, kind, &format!("copy-{kind}"))?;
        }
        data.copy_all(&mut client, wanted)?;
        data.retain(&mut client, wanted)?;
        data.connect_workers(wanted)?;
        Ok(data)
    }

    fn copy(&mut self, client: &mut Connection, kind: Kind, name: &str) -> Result<()> {
        let mut pipeline = redis::pipe();
        self.add_copy(&mut pipeline, kind, name)?;
        pipeline.exec(client)?;
        self.names.push(name.to_owned());
        Ok(())
    }

    fn add_copy(&self, pipeline: &mut redis::Pipeline, kind: Kind, name: &str) -> Result<()> {
        let keys = self.templates.get(&kind).context("every kind was made")?;
        for key in keys {
            pipeline
                .cmd("COPY")
                .arg(format!("bull:made-{kind}:{key}"))
                .arg(format!("bull:{name}:{key}"))
                .ignore();
        }
        Ok(())
    }

    fn copy_all(&mut self, client: &mut Connection, wanted: Wanted) -> Result<()> {
        let mut pipeline = redis::pipe();
        for number in 0..wanted.queues.saturating_sub(self.names.len()) {
            let name = format!("queue-{number:06}");
            self.add_copy(&mut pipeline, wanted.kind(number), &name)?;
            self.names.push(name);
            if pipeline.len() >= PIPELINE {
                pipeline.exec(client)?;
                pipeline.clear();
            }
        }
        if !pipeline.is_empty() {
            pipeline.exec(client)?;
        }
        ensure!(
            self.names.len() == wanted.queues,
            "{} queues are too few: BullMQ makes {} itself",
            wanted.queues,
            self.names.len()
        );
        Ok(())
    }

    /// Keeps finished jobs in every copied queue, as many in each.
    fn retain(&self, client: &mut Connection, wanted: Wanted) -> Result<()> {
        if wanted.retained == 0 {
            return Ok(());
        }
        let job = "bull:made-idle:1";
        let finished: u64 = redis::cmd("HGET")
            .arg(job)
            .arg("finishedOn")
            .query(client)?;
        let copies: Vec<_> = self
            .names
            .iter()
            .filter(|name| name.starts_with("queue-"))
            .collect();
        let mut pipeline = redis::pipe();
        for number in 0..wanted.retained {
            let Some(name) = copies.get(number % copies.len()) else {
                continue;
            };
            // Behind the ids that the queue has used.
            let id = 1_000 + number / copies.len();
            let to = format!("bull:{name}:{id}");
            pipeline.cmd("COPY").arg(job).arg(to).ignore();
            pipeline
                .cmd("ZADD")
                .arg(format!("bull:{name}:completed"))
                .arg(finished)
                .arg(id)
                .ignore();
            if pipeline.len() >= PIPELINE {
                pipeline.exec(client)?;
                pipeline.clear();
            }
        }
        if !pipeline.is_empty() {
            pipeline.exec(client)?;
        }
        Ok(())
    }

    /// Connects clients that look like workers that wait for a job.
    fn connect_workers(&mut self, wanted: Wanted) -> Result<()> {
        use std::io::Write as _;
        let count = wanted.queues * WORKERS_A_THOUSAND / 1_000;
        for name in self.names.iter().rev().take(count) {
            let mut worker = TcpStream::connect(("127.0.0.1", self.redis.port()))?;
            let called = format!("bull:{}", BASE64_STANDARD.encode(name));
            // A key that stays empty, so that nothing is taken from the queue.
            write!(
                worker,
                "CLIENT SETNAME {called}\r\nBZPOPMIN bull:nothing 0\r\n"
            )?;
            self.workers.push(worker);
        }
        Ok(())
    }
}

/// Has BullMQ make a queue: some jobs finish, and then what its kind needs.
fn make_real(bullmq: &mut BullMq, name: &str, kind: Kind) -> Result<()> {
    let code = kind.code();
    bullmq
        .run(&format!(
            "const q = queue('{name}');
             const w = new bullmq.Worker('{name}', null, {{ connection, autorun: false, lockDuration: 36e5, metrics: {{ maxDataPoints: 60 }} }});
             await w.waitUntilReady();
             const take = () => w.getNextJob('token');
             const add = (count, opts) => q.addBulk(Array.from({{ length: count }}, () => ({{ name: 'job', data: {{ text: 'x'.repeat(200) }}, opts }})));
             await add(3);
             for (let i = 0; i < 2; i++) await (await take()).moveToCompleted('done', 'token', false);
             await (await take()).moveToFailed(new Error('no'), 'token', false);
             {code}
             await w.close(true);"
        ))
        .with_context(|| format!("making the queue {name}"))?;
    Ok(())
}

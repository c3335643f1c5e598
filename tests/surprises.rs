//! Does an exporter that has watched queues for long tell the same of them as one that sees them for the first time?
//!
//! What a queue had lately decides how it is asked, and must not show in what is told. Queues change between two scrapes in every way at
//! random, and both exporters are compared, every series by its value. Redis' clock stands still for both.

use acceptance::{Exporter, FrozenClock, Redis};
use anyhow::{Context as _, Result, ensure};

const QUEUES: usize = 20;
const ROUNDS: usize = 30;

/// How often a queue that is looked at is changed, of a hundred.
const CHANGED: usize = 40;

/// How many of something there are: none, some, and about as many as are looked at together.
const SIZES: [u64; 8] = [0, 0, 1, 2, 7, 8, 9, 30];

/// How far from now delayed jobs are due, in milliseconds: past, at the edge, within each horizon, and after them.
const DUE: [i64; 9] = [
    -90_000, -1, 0, 1, 29_999, 30_000, 30_001, 200_000, 90_000_000,
];

/// Changes a queue.
struct Change<'a> {
    random: &'a mut fastrand::Rng,
    pipeline: &'a mut redis::Pipeline,
    now: u64,
    /// What its keys begin with.
    base: String,
}

impl Change<'_> {
    fn key(&self, ending: &str) -> String {
        format!("{}{ending}", self.base)
    }

    fn cmd(&mut self, name: &str, ending: &str, arguments: &[&str]) {
        let key = self.key(ending);
        self.pipeline.cmd(name).arg(key).arg(arguments).ignore();
    }

    fn size(&mut self) -> u64 {
        self.random.choice(SIZES).unwrap_or_default()
    }

    /// A job that waits since some time, and perhaps runs.
    fn job(&mut self, id: u64) {
        let added = (self.now - self.random.u64(1..100_000)).to_string();
        let id = id.to_string();
        self.cmd("DEL", &id, &[]);
        self.cmd("HSET", &id, &["timestamp", &added, "opts", "{}"]);
        if self.random.bool() {
            self.cmd("HSET", &id, &["processedOn", &added]);
            self.cmd("SET", &format!("{id}:lock"), &["token"]);
        }
    }

    /// A list of jobs, perhaps with a marker of BullMQ 4.
    fn list(&mut self, ending: &str, first: u64) {
        self.cmd("DEL", ending, &[]);
        for id in first..first + self.size() {
            self.job(id);
            let side = if self.random.u8(0..9) == 0 {
                "RPUSH"
            } else {
                "LPUSH"
            };
            self.cmd(side, ending, &[&id.to_string()]);
        }
        if ending != "active" && self.random.u8(0..5) == 0 {
            self.cmd("RPUSH", ending, &["0:0"]);
        }
    }

    /// A sorted set of jobs with these scores.
    fn set(&mut self, ending: &str, first: u64, mut score: impl FnMut(&mut Self, u64) -> u64) {
        self.cmd("DEL", ending, &[]);
        for id in first..first + self.size() {
            self.job(id);
            let score = score(self, id).to_string();
            self.cmd("ZADD", ending, &[&score, &id.to_string()]);
        }
    }

    /// A hash or a string that is there or is not.
    fn one(&mut self, command: &str, ending: &str, arguments: &[&str]) {
        self.cmd("DEL", ending, &[]);
        if self.random.bool() {
            self.cmd(command, ending, arguments);
        }
    }

    /// Changes some of it, or makes it all.
    fn run(mut self, whole: bool) {
        if whole {
            self.cmd(
                "HSET",
                "meta",
                &["opts.maxLenEvents", "10000", "version", "bullmq:6.7.0"],
            );
            self.cmd("SET", "id", &["500"]);
        }
        for part in 0..14 {
            if !whole && self.random.u8(0..4) > 0 {
                continue;
            }
            match part {
                0 => self.list("wait", 1),
                1 => self.list("paused", 100),
                2 => self.list("active", 200),
                3 => self.set("prioritized", 300, |change, id| {
                    (change.random.u64(1..20) << 32) + id
                }),
                4 => self.set("delayed", 400, |change, id| {
                    let due = change.random.choice(DUE).unwrap_or_default();
                    change.now.saturating_add_signed(due) * 4096 + id % 4096
                }),
                5 => self.set("waiting-children", 500, |change, _| change.now),
                6 => self.set("completed", 600, |change, _| change.now),
                7 => self.set("failed", 700, |change, _| change.now),
                8 => self.one("SET", "limiter", &["3", "PX", "3600000"]),
                9 => self.set("repeat", 800, |change, _| {
                    change.now + change.random.u64(0..3) - 1
                }),
                10 => self.one("HSET", "metrics:completed", &["count", "12"]),
                11 => self.set("groups", 900, |_, id| id),
                12 => {
                    // It is gone, or turns out to be one of Bull.
                    let is_there = self.random.bool();
                    self.cmd("DEL", if is_there { "meta" } else { "id" }, &[]);
                    self.one("SET", "meta-paused", &["1"]);
                    if !is_there || self.random.bool() {
                        self.one("HSET", "meta", &["version", "bullmq:6.7.0"]);
                    }
                }
                _ => {
                    self.cmd("HDEL", "meta", &["paused", "max", "concurrency"]);
                    if self.random.u8(0..4) == 0 {
                        self.cmd("HSET", "meta", &["paused", "1"]);
                    }
                    if self.random.bool() {
                        self.cmd(
                            "HSET",
                            "meta",
                            &["max", "3", "duration", "1000", "concurrency", "4"],
                        );
                    }
                }
            }
        }
    }
}

/// What a page tells of queues, without what passes by itself: the end of a rate limit's window is told by Redis' real clock.
fn of_queues(page: &str) -> Vec<String> {
    let lines = page.lines().filter(|line| line.contains("queue=\""));
    let mut lines: Vec<String> = lines
        .map(|line| match line.split_once(' ') {
            Some((series, value)) if series.starts_with("bullmq_queue_rate_limit_reset") => {
                format!("{series} {}", if value == "0" { "none" } else { "some" })
            }
            _ => line.to_owned(),
        })
        .collect();
    lines.sort_unstable();
    lines
}

#[test]
fn what_a_queue_had_lately_does_not_show_in_what_is_told_of_it() -> Result<()> {
    for left_out in [
        &[][..],
        &["--collect.counters=false", "--collect.ages=false"],
    ] {
        compare(left_out).with_context(|| format!("{left_out:?}"))?;
    }
    Ok(())
}

/// Compares what exporters with these flags tell.
fn compare(left_out: &[&str]) -> Result<()> {
    let redis = Redis::start()?;
    let now = redis.time_millis()?;
    let clock = FrozenClock::start(&redis, now)?;
    let mut client = redis::Client::open(redis.url())?.get_connection()?;
    let seed = fastrand::u64(..);
    let mut random = fastrand::Rng::with_seed(seed);
    let url = clock.url();
    let flags = [
        &["--redis.url", &url, "--discovery.interval", "1h"],
        left_out,
    ]
    .concat();
    let named: Vec<String> = (0..QUEUES).map(|queue| format!("q{queue}")).collect();
    let named = named.join(",");
    let variables = [("BULLMQ_EXPORTER_BULLMQ_QUEUE", named.as_str())];
    let flags = &flags;
    let watching = Exporter::start_in(&variables, flags)?;
    let mut told = 0;
    for round in 0..ROUNDS {
        let mut pipeline = redis::pipe();
        for queue in 0..QUEUES {
            if round == 0 || random.usize(0..100) < CHANGED {
                let base = format!("bull:q{queue}:");
                let change = Change {
                    random: &mut random,
                    pipeline: &mut pipeline,
                    now,
                    base,
                };
                change.run(round == 0);
            }
        }
        pipeline.exec(&mut client)?;
        let watched = of_queues(&watching.scrape()?.text);
        let first = Exporter::start_in(&variables, flags)?.scrape()?;
        let seen_first = of_queues(&first.text);
        let differences: Vec<_> = watched
            .iter()
            .filter(|line| !seen_first.contains(line))
            .chain(seen_first.iter().filter(|line| !watched.contains(line)))
            .collect();
        ensure!(
            differences.is_empty(),
            "round {round} of seed {seed}: only one of both tells\n{differences:#?}"
        );
        told = told.max(seen_first.len());
    }
    ensure!(told > QUEUES * 15, "only {told} series were compared");
    Ok(())
}

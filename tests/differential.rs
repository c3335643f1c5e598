//! Is every number that BullMQ or Bull can tell of a queue told alike by the exporter, whatever has been done to the queue?
//!
//! Long random sequences of real operations (`bullmq/operations.mjs` and `bullmq-python/operations.py` have the lists), one process a
//! version, all in one Redis. After each batch the exporter is compared with each library. The clock stands still for that, mostly within a
//! millisecond of the moment at which some delayed job falls due.
//!
//! `DIFFERENTIAL_OPERATIONS` says how many operations there are in all, `DIFFERENTIAL_SEED` which. The same seed gives the same
//! operations; how far time passes between them is the machine's affair.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::thread;
use std::time::Duration;

use acceptance::{BullMq, Exporter, FrozenClock, Redis, Scrape, Version, wait_until};
use anyhow::{Context as _, Result, bail, ensure};
use bullmq_vocabulary::JobState;
use serde::Deserialize;
use serde_json::{Value, json};

/// How many operations there are in all unless told: about a minute of them on two processors.
const OPERATIONS: u64 = 9000;
/// The most operations of one version between two comparisons.
const LONGEST_BATCH: u64 = 30;
/// How long a queue may take to be found, or to be missed.
const DISCOVERY_LIMIT: Duration = Duration::from_secs(10);
/// An operation that was tried so often must have been done at least once; else it tests nothing.
const TRIES: u64 = 40;

/// What a batch of operations leaves.
#[derive(Debug, Deserialize)]
struct Batch {
    /// One line an operation.
    lines: Vec<String>,
    /// When the delayed jobs are due, in milliseconds since 1970.
    dues: Vec<u64>,
}

/// What a library says of one queue.
#[derive(Debug, Deserialize)]
struct Truth {
    counts: BTreeMap<String, f64>,
    due: f64,
    ready: f64,
    demand: f64,
    paused: f64,
    added: f64,
    /// Whether there is what a queue is known by.
    exists: bool,
    /// Whether there is nothing of it.
    gone: bool,
}

impl Truth {
    /// Each series by name and state, with its value.
    fn series(&self) -> Vec<(&'static str, &'static str, f64)> {
        // Not every version has every state; what it does not have, it has none of.
        let counts = JobState::ALL
            .map(JobState::as_str)
            .map(|state| ("bullmq_job_count", state, self.counts.get(state).copied()))
            .map(|(metric, state, count)| (metric, state, count.unwrap_or(0.0)));
        let others = [
            ("bullmq_queue_delayed_due_jobs", "", self.due),
            ("bullmq_queue_ready_jobs", "", self.ready),
            ("bullmq_queue_demand_jobs", "", self.demand),
            ("bullmq_queue_paused", "", self.paused),
            ("bullmq_job_added_total", "", self.added),
        ];
        counts.into_iter().chain(others).collect()
    }
}

/// One version, with its queues.
#[derive(Debug)]
struct Library {
    version: Version,
    process: BullMq,
    /// What was done since the exporter last agreed.
    lines: Vec<String>,
}

impl Library {
    fn start(version: Version, redis: &Redis, seed: u64) -> Result<Self> {
        let mut process = BullMq::start(version, redis)?;
        let queues = ["one", "two", "three"].map(|name| format!("{version:?}-{name}"));
        let queues = json!(queues);
        process.run(&match version {
            Version::Python => format!(
                "kept.sequence = load('operations').Sequence(connection, queue, {seed}, {queues})"
            ),
            Version::Bull | Version::V4 | Version::V5 | Version::V6 => format!(
                "const {{ sequence }} = await load('operations.mjs');
                 kept.sequence = sequence({{ bullmq, packageName, connection, shared, queue, worker, sleep }}, {seed}, {queues});"
            ),
        })?;
        Ok(Self {
            version,
            process,
            lines: Vec::new(),
        })
    }

    /// Runs the next operations, in words that JavaScript and Python share, and returns when the delayed jobs are due.
    fn operate(&mut self, count: u64) -> Result<Vec<u64>> {
        let batch = self
            .process
            .run(&format!("return await kept.sequence.run({count});"))?;
        let Batch { lines, dues } = serde_json::from_value(batch)?;
        self.lines.extend(lines);
        Ok(dues)
    }

    fn truth(&mut self, now: u64) -> Result<BTreeMap<String, Truth>> {
        let truth = self
            .process
            .run(&format!("return await kept.sequence.truth({now});"))?;
        Ok(serde_json::from_value(truth)?)
    }

    /// Fails unless the exporter says what the library says.
    fn compare(&mut self, exporter: &Exporter, now: u64) -> Result<()> {
        let truths = self.truth(now)?;
        let mut scrape = exporter.scrape()?;
        let as_known = |scrape: &Scrape| {
            truths.iter().all(|(queue, truth)| {
                let served = scrape.mentions_queue(queue);
                // A queue of which nothing is left but a pause may be served or not: nobody can wait in it.
                (served || !truth.exists) && (!served || !truth.gone)
            })
        };
        wait_until("each queue that exists is served", DISCOVERY_LIMIT, || {
            scrape = exporter.scrape()?;
            Ok(as_known(&scrape).then_some(()))
        })
        .with_context(|| self.report(&truths, &scrape))?;
        let agreed = truths
            .iter()
            .filter(|(_, truth)| truth.exists)
            .all(|(queue, truth)| {
                truth.series().into_iter().all(|(metric, state, value)| {
                    served(&scrape, queue, metric, state) == Some(value)
                })
            });
        ensure!(
            agreed,
            "the exporter says otherwise\n{}",
            self.report(&truths, &scrape)
        );
        self.lines.clear();
        Ok(())
    }

    /// What was done, and what both say.
    fn report(&self, truths: &BTreeMap<String, Truth>, scrape: &Scrape) -> String {
        let mut report = format!("{:?}, since both agreed:\n", self.version);
        for line in &self.lines {
            let _ = writeln!(report, "  {line}");
        }
        for (queue, truth) in truths {
            let _ = writeln!(
                report,
                "{queue} (exists: {}, gone: {})\n{:54}{:>10}{:>10}",
                truth.exists, truth.gone, "", "library", "exporter"
            );
            for (metric, state, value) in truth.series() {
                let ours = served(scrape, queue, metric, state);
                let _ = writeln!(
                    report,
                    "  {:52}{value:>10}{:>10}{}",
                    format!("{metric} {state}"),
                    ours.map_or_else(|| "-".to_owned(), |ours| ours.to_string()),
                    if ours == Some(value) { "" } else { "  <--" }
                );
            }
        }
        report
    }

    /// How often each operation was done and refused; fails if one never tested anything.
    fn tally(&mut self) -> Result<String> {
        let tally = self.process.run("return kept.sequence.tally();")?;
        let mut text = format!("{:?}\n", self.version);
        for (operation, outcome) in tally.as_object().context("a tally is an object")? {
            let done = outcome.get("done").and_then(Value::as_u64).unwrap_or(0);
            let refused = outcome.get("refused").and_then(Value::as_object);
            let refusals: u64 = refused.map_or(0, |reasons| {
                reasons.values().filter_map(Value::as_u64).sum()
            });
            let _ = writeln!(text, "  {done:>6} {operation}");
            for (reason, times) in refused.into_iter().flatten() {
                let _ = writeln!(text, "        refused {times}: {reason}");
            }
            if done == 0 && refusals >= TRIES {
                bail!("the operation {operation:?} is always refused\n{text}");
            }
        }
        Ok(text)
    }
}

/// The versions that are compared.
fn compared() -> Vec<Version> {
    [&Version::EVERY[..], &[Version::Python]].concat()
}

fn served(scrape: &Scrape, queue: &str, metric: &str, state: &str) -> Option<f64> {
    if state.is_empty() {
        scrape.of_queue(metric, queue)
    } else {
        scrape.job_count(queue, state)
    }
}

/// Numbers that follow from a seed: the generator `SplitMix64`.
#[derive(Debug)]
struct Choices(u64);

impl Choices {
    /// From 0 to below `limit`.
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % limit.max(1)
    }

    /// A moment at which to compare: now, or at the edge of a delayed job's.
    fn moment(&mut self, now: u64, dues: &[u64]) -> u64 {
        let place = self.below(dues.len() as u64 + 1);
        let due = usize::try_from(place)
            .ok()
            .and_then(|place| dues.get(place));
        due.map_or(now, |due| due + self.below(3) - 1)
    }
}

/// Runs this many operations with these versions side by side in one Redis, and returns how often each was done.
fn run(versions: &[Version], operations: u64, seed: u64) -> Result<String> {
    let redis = Redis::start()?;
    let clock = FrozenClock::start(&redis, redis.time_millis()?)?;
    let flags = ["--redis.url", &clock.url(), "--discovery.interval", "100ms"];
    let exporter = Exporter::start_with(&flags)?;
    let mut libraries = Vec::new();
    for (&version, offset) in versions.iter().zip(0..) {
        libraries.push(Library::start(version, &redis, seed + offset)?);
    }
    let mut choices = Choices(seed);
    let mut left = operations;
    while left > 0 {
        let each = (1 + choices.below(LONGEST_BATCH)).min(left.div_ceil(versions.len() as u64));
        left = left.saturating_sub(each * versions.len() as u64);
        let dues: Vec<Result<Vec<u64>>> = thread::scope(|scope| {
            let running: Vec<_> = libraries
                .iter_mut()
                .map(|library| scope.spawn(move || library.operate(each)))
                .collect();
            running
                .into_iter()
                .map(|batch| batch.join().unwrap_or_else(|_| bail!("a batch panicked")))
                .collect()
        });
        let dues = dues.into_iter().collect::<Result<Vec<_>>>()?.concat();
        let now = choices.moment(redis.time_millis()?, &dues);
        clock.set(now);
        for library in &mut libraries {
            library.compare(&exporter, now)?;
        }
    }
    libraries.iter_mut().map(Library::tally).collect()
}

/// The number that an environment variable of the test's user holds.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration but the environment"
)]
fn given(variable: &str) -> Result<Option<u64>> {
    match std::env::var(variable) {
        Ok(text) => Ok(Some(
            text.parse().with_context(|| format!("{variable}={text}"))?,
        )),
        Err(_) => Ok(None),
    }
}

fn operations() -> Result<u64> {
    Ok(given("DIFFERENTIAL_OPERATIONS")?.unwrap_or(OPERATIONS))
}

/// The seed of this run; below 2^32, as JavaScript's generator takes it.
fn seed() -> Result<u64> {
    let random = RandomState::new().build_hasher().finish() >> 32;
    Ok(given("DIFFERENTIAL_SEED")?.unwrap_or(random))
}

#[test]
fn every_version_in_one_redis_is_counted_as_it_counts_itself() -> Result<()> {
    let seed = seed()?;
    println!("DIFFERENTIAL_SEED={seed}");
    let tally = run(&compared(), operations()? * 2 / 3, seed)
        .with_context(|| format!("DIFFERENTIAL_SEED={seed}"))?;
    println!("{tally}");
    Ok(())
}

#[test]
fn each_version_alone_is_counted_as_it_counts_itself() -> Result<()> {
    let seed = seed()?;
    println!("DIFFERENTIAL_SEED={seed}");
    let versions = compared();
    for &version in &versions {
        let operations = operations()? / 3 / versions.len() as u64;
        let tally = run(&[version], operations, seed)
            .with_context(|| format!("DIFFERENTIAL_SEED={seed}, {version:?} alone"))?;
        println!("{tally}");
    }
    Ok(())
}

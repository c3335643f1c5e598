//! What was seen, what was wrong, and what everybody must know of what is broken at the moment.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use acceptance::Process;
use anyhow::{Context as _, Result};

use crate::judge::Expected;
use crate::stage::SECRET;

/// How many violations are told in full.
const MOST_TOLD: u64 = 20;
/// How much more memory the exporter may need in the last quarter than in the second: what the allocator keeps of pages of other sizes.
const MOST_GROWTH_KB: u64 = 4096;
/// How many more files may be open at the end, when all is calm, than at the beginning: a connection of a scrape that is being closed.
const MOST_FILES_MORE: u64 = 4;

/// What kind of violation it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Violation {
    WrongValue,
    LateAnswer,
    NotRecovered,
    Other,
}

/// What is counted.
#[derive(Debug, Default)]
pub(crate) struct Figures {
    pub(crate) scrapes: u64,
    /// Queues that were told as up, and checked.
    pub(crate) checked: u64,
    /// Those of them whose jobs moved, between two readings of their counters.
    pub(crate) bracketed: u64,
    /// Servers and queues that were told as unknown.
    pub(crate) unknown: u64,
    pub(crate) failures: BTreeMap<&'static str, u64>,
    pub(crate) slowest: Duration,
    pub(crate) slowest_recovery: Duration,
    violations: BTreeMap<Violation, u64>,
}

/// What all threads share.
#[derive(Debug)]
pub(crate) struct Watch {
    pub(crate) stop: AtomicBool,
    /// Odd while the primaries of the servers other than the first may change; higher after they may have changed.
    topology: AtomicU64,
    /// The servers that cannot answer, and since when.
    silent: Mutex<BTreeMap<&'static str, Instant>>,
    /// For each server, when the last scrape began that told all of it.
    whole: Mutex<BTreeMap<&'static str, Instant>>,
    /// Whether the last scrape said that the file of servers is in use.
    pub(crate) reloaded: AtomicBool,
    /// The servers of the last scrape.
    pub(crate) servers: Mutex<BTreeSet<String>>,
    figures: Mutex<Figures>,
    untold: Mutex<Vec<String>>,
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watch {
    pub(crate) fn new(expected: &[Expected]) -> Self {
        let now = Instant::now();
        let servers = expected.iter().map(|expected| (expected.redis, now));
        Self {
            stop: AtomicBool::new(false),
            topology: AtomicU64::new(0),
            silent: Mutex::default(),
            whole: Mutex::new(servers.collect()),
            reloaded: AtomicBool::new(true),
            servers: Mutex::default(),
            figures: Mutex::default(),
            untold: Mutex::default(),
        }
    }

    pub(crate) fn figures(&self) -> MutexGuard<'_, Figures> {
        lock(&self.figures)
    }

    /// Tells of something that must not be.
    pub(crate) fn violation(&self, kind: Violation, told: impl Into<String>) {
        let mut figures = self.figures();
        let number = figures.violations.entry(kind).or_default();
        *number += 1;
        if *number <= MOST_TOLD {
            lock(&self.untold).push(format!("VIOLATION {kind:?}: {}", told.into()));
        }
    }

    /// From now on the server cannot answer, until the returned value is dropped.
    pub(crate) fn silence(&self, redis: &'static str) -> Silence<'_> {
        lock(&self.silent).insert(redis, Instant::now());
        Silence { watch: self, redis }
    }

    /// Since when each server has been unable to answer.
    pub(crate) fn silent(&self) -> BTreeMap<&'static str, Instant> {
        lock(&self.silent).clone()
    }

    /// From now on primaries may change, until the returned value is dropped.
    pub(crate) fn unsettle(&self) -> Unsettled<'_> {
        self.topology.fetch_add(1, Ordering::SeqCst);
        Unsettled(self)
    }

    /// A number that is the same as long as no primary can have changed; nothing while one may.
    pub(crate) fn settled(&self) -> Option<u64> {
        let topology = self.topology.load(Ordering::SeqCst);
        topology.is_multiple_of(2).then_some(topology)
    }

    /// A scrape that began at this time told all of the server.
    pub(crate) fn told_whole(&self, redis: &'static str, began: Instant) {
        if let Some(last) = lock(&self.whole).get_mut(redis) {
            *last = began.max(*last);
        }
    }

    /// Whether every server has been told whole by a scrape that began after this time.
    pub(crate) fn is_whole_since(&self, since: Instant, of: &[&str]) -> bool {
        let whole = lock(&self.whole);
        of.iter()
            .all(|redis| whole.get(redis).is_some_and(|last| *last > since))
    }

    /// Prints the violations that are new.
    pub(crate) fn tell<W: io::Write>(&self, out: &mut W) -> Result<()> {
        for told in lock(&self.untold).drain(..) {
            writeln!(out, "{told}")?;
        }
        Ok(())
    }

    fn violations(&self, kind: Violation) -> u64 {
        let figures = self.figures();
        figures.violations.get(&kind).copied().unwrap_or(0)
    }

    /// One line on how far it is.
    pub(crate) fn progress(&self, vitals: &Vitals) -> String {
        let wrong = self.violations(Violation::WrongValue);
        let late = self.violations(Violation::LateAnswer);
        let figures = self.figures();
        let failures: u64 = figures.failures.values().sum();
        format!(
            "{} scrapes, {} queues checked, {failures} failures, wrong {wrong}, late {late}, slowest {:.2} s, RSS {} kB",
            figures.scrapes,
            figures.checked,
            figures.slowest.as_secs_f64(),
            vitals.rss.last().copied().unwrap_or(0),
        )
    }

    /// Prints the figures, and returns whether all was well.
    pub(crate) fn summarize<W: io::Write>(&self, vitals: &Vitals, out: &mut W) -> Result<bool> {
        let of = |kind| self.violations(kind);
        let (wrong, late) = (of(Violation::WrongValue), of(Violation::LateAnswer));
        let (lasting, other) = (of(Violation::NotRecovered), of(Violation::Other));
        let figures = self.figures();
        writeln!(out, "\nfailures injected")?;
        for (kind, count) in &figures.failures {
            writeln!(out, "  {count:>5}  {kind}")?;
        }
        let rss = &vitals.rss;
        let mut told = String::new();
        let mut line = |name: &str, value: String| writeln!(told, "{name:<28}{value}");
        line("scrapes", figures.scrapes.to_string())?;
        line("queues checked", figures.checked.to_string())?;
        line("  while their jobs moved", figures.bracketed.to_string())?;
        line("told as unknown", figures.unknown.to_string())?;
        line("wrong values", wrong.to_string())?;
        line("late answers", late.to_string())?;
        line("failures that lasted", lasting.to_string())?;
        line("other violations", other.to_string())?;
        let seconds = |duration: Duration| format!("{:.2} s", duration.as_secs_f64());
        line("slowest answer", seconds(figures.slowest))?;
        line("slowest recovery", seconds(figures.slowest_recovery))?;
        let kb = |value: Option<&u64>| value.copied().unwrap_or(0);
        let (first, last, peak) = (kb(rss.first()), kb(rss.last()), kb(rss.iter().max()));
        line(
            "RSS first / last / peak",
            format!("{first} / {last} / {peak} kB"),
        )?;
        line(
            "open files first / last",
            format!("{} / {}", vitals.files_first, vitals.files_last),
        )?;
        write!(out, "{told}")?;
        let well = wrong + late + lasting + other == 0 && figures.checked > 0;
        writeln!(out, "{}", if well { "all was well" } else { "FAILED" })?;
        Ok(well)
    }
}

/// A server cannot answer while this lives.
#[derive(Debug)]
pub(crate) struct Silence<'a> {
    watch: &'a Watch,
    redis: &'static str,
}

impl Drop for Silence<'_> {
    fn drop(&mut self) {
        lock(&self.watch.silent).remove(self.redis);
    }
}

/// Primaries may change while this lives.
#[derive(Debug)]
pub(crate) struct Unsettled<'a>(&'a Watch);

impl Drop for Unsettled<'_> {
    fn drop(&mut self) {
        self.0.topology.fetch_add(1, Ordering::SeqCst);
    }
}

/// What the system says of the exporter's process.
#[derive(Debug, Default)]
pub(crate) struct Vitals {
    /// Memory in kB, once a second.
    pub(crate) rss: Vec<u64>,
    pub(crate) files_first: u64,
    pub(crate) files_last: u64,
    log_read: usize,
}

impl Vitals {
    /// Looks once.
    pub(crate) fn sample(&mut self, process: &mut Process, watch: &Watch) -> Result<()> {
        if let Err(error) = process.check_alive() {
            watch.violation(Violation::Other, format!("{error:#}"));
            return Err(error);
        }
        let folder = format!("/proc/{}", process.id());
        let status = fs::read_to_string(format!("{folder}/status"))?;
        let rss = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let rss = rss.and_then(|text| text.trim().strip_suffix(" kB"));
        self.rss.push(rss.context("VmRSS")?.trim().parse()?);
        self.files_last = fs::read_dir(format!("{folder}/fd"))?.count() as u64;
        if self.rss.len() == 1 {
            self.files_first = self.files_last;
        }
        let log = process.log();
        let new = log.get(self.log_read..).unwrap_or_default();
        for forbidden in ["panicked", SECRET] {
            if let Some(line) = new.lines().find(|line| line.contains(forbidden)) {
                watch.violation(Violation::Other, format!("the log says: {line}"));
            }
        }
        self.log_read = log.len();
        Ok(())
    }

    /// Checks, when all is calm again, that nothing has grown.
    pub(crate) fn judge(&self, watch: &Watch) {
        let quarter = self.rss.len() / 4;
        let mean = |first: usize| {
            let part = self.rss.iter().skip(first).take(quarter.max(1));
            part.sum::<u64>() / quarter.max(1) as u64
        };
        let (early, late) = (mean(quarter), mean(self.rss.len() - quarter.max(1)));
        // A run of seconds has no quarter after the start.
        if quarter >= 30 && late > early + MOST_GROWTH_KB {
            let told =
                format!("memory grows: {early} kB in the second quarter, {late} kB in the last");
            watch.violation(Violation::Other, told);
        }
        if self.files_last > self.files_first + MOST_FILES_MORE {
            let told = format!(
                "{} files are open, {} were",
                self.files_last, self.files_first
            );
            watch.violation(Violation::Other, told);
        }
    }
}

//! Everything at once, for minutes: real servers that are broken in every way, workers that run, and an exporter of which every answer is
//! checked.
//!
//! `make soak MINUTES=10 SEED=1`. The seed decides which failure comes when and for how long; how the servers meet it is theirs. What is checked
//! is exact (`judge`): a violation is a fault of the exporter, or of what this program knows of Redis. Its last lines are the figures, and it
//! ends with 1 if anything was wrong.

mod failure;
mod judge;
mod page;
mod scraper;
mod stage;
mod watch;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::stage::Stage;
use crate::watch::{Vitals, Watch};

/// How often the exporter's memory is looked at.
const SAMPLE: Duration = Duration::from_secs(1);
/// How often progress is told.
const PROGRESS: Duration = Duration::from_secs(10);
/// How many scrape at the same time without rest; two, so that readings are shared and overlap.
const SCRAPERS: u64 = 2;

fn main() -> ExitCode {
    let mut out = io::stdout().lock();
    match soak(&mut out) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            // There is nobody to tell when the terminal is gone.
            let _ = writeln!(io::stderr(), "The soak could not be run: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// A number that an environment variable holds.
fn given<T: std::str::FromStr>(variable: &str) -> Result<Option<T>> {
    let text = std::env::var_os(variable).filter(|text| !text.is_empty());
    let Some(text) = text.and_then(|text| text.into_string().ok()) else {
        return Ok(None);
    };
    let number = text.parse().ok();
    let number = number.with_context(|| format!("{variable}={text} is no number"))?;
    Ok(Some(number))
}

/// Runs it, and returns whether all was well.
fn soak<W: Write>(out: &mut W) -> Result<bool> {
    let minutes: f64 = given("MINUTES")?.unwrap_or(5.0);
    let seed: u64 = given("SEED")?.unwrap_or_else(|| u64::from(fastrand::u32(..)));
    let duration = Duration::try_from_secs_f64(minutes * 60.0).context("MINUTES")?;
    writeln!(out, "{minutes} minutes, SEED={seed}")?;
    // A signal ends it in order, and with it everything that was started.
    let interrupted = Arc::new(AtomicBool::new(false));
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
    }
    let mut stage = Stage::set()?;
    let watch = Watch::new(&stage.expected);
    writeln!(out, "{} queues on 3 kinds of Redis", stage.expected.len())?;

    let mut vitals = Vitals::default();
    let began = Instant::now();
    let Stage {
        one,
        others,
        exporter,
        expected,
        ..
    } = &mut stage;
    let (address, process) = (exporter.address().to_owned(), exporter.process());
    thread::scope(|scope| -> Result<()> {
        let (watch, expected, address) = (&watch, &*expected, address.as_str());
        for number in 0..SCRAPERS {
            let ways = one.ways(others);
            let random = fastrand::Rng::with_seed(seed.wrapping_add(100 + number));
            scope.spawn(move || scraper::scrape(watch, expected, address, &ways, random));
        }
        let end = began + duration;
        let random = fastrand::Rng::with_seed(seed);
        let breaking = [
            scope.spawn(move || failure::break_one(one, watch, address, random, end)),
            scope.spawn(move || {
                let random = fastrand::Rng::with_seed(seed.wrapping_add(1));
                failure::break_others(others, watch, random, end);
            }),
        ];
        let mut told = Instant::now();
        while !breaking.iter().all(thread::ScopedJoinHandle::is_finished) {
            thread::sleep(SAMPLE);
            if interrupted.load(Ordering::Relaxed) {
                watch.stop.store(true, Ordering::Relaxed);
            }
            watch.tell(out)?;
            if let Err(error) = vitals.sample(process, watch) {
                watch.stop.store(true, Ordering::Relaxed);
                return Err(error);
            }
            if told.elapsed() >= PROGRESS {
                told = Instant::now();
                writeln!(
                    out,
                    "{:>4} s  {}",
                    began.elapsed().as_secs(),
                    watch.progress(&vitals)
                )?;
                out.flush()?;
            }
        }
        watch.stop.store(true, Ordering::Relaxed);
        Ok(())
    })?;
    ensure!(!interrupted.load(Ordering::Relaxed), "interrupted");
    stage.end(&watch, &mut vitals)?;
    watch.tell(out)?;
    watch.summarize(&vitals, out)
}

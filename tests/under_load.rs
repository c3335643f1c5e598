//! While thousands of jobs a second move, is every job counted exactly once in every single scrape?
//!
//! Workers in three processes run at full speed; their jobs fail, are retried after a moment, have priorities and delays, and are all
//! kept when they have finished, so that their number is known at every moment. The exporter is scraped without a rest.
//!
//! `UNDER_LOAD_JOBS` says how many jobs there are for each version.

use std::time::{Duration, Instant};

use acceptance::{BullMq, Exporter, Redis, Scrape, Version};
use anyhow::{Context as _, Result, ensure};
use bullmq_vocabulary::JobState;

/// How many jobs there are for each version unless told: about a minute and a half of them in all on two processors.
const JOBS: u64 = 20_000;
/// How long all of them may take.
const LIMIT: Duration = Duration::from_mins(5);
/// How many jobs a worker runs at once, for each process.
const CONCURRENCY: [u32; 3] = [1, 7, 50];
/// A test that scraped less often than this looked at nothing.
const FEWEST_SCRAPES: u32 = 20;

/// Adds `jobs` jobs of every kind, a hundred at a time.
const ADD: &str = "
    const options = (i) => ({
      attempts: 2, backoff: i % 2 === 0 ? 0 : 1 + i % 50,
      ...(i % 3 === 0 && { delay: 1 + i % 1000 }),
      ...(i % 5 === 0 && { priority: 1 + i % 4 }),
      ...(i % 7 === 0 && { lifo: true }),
    });
    for (let first = 0; first < jobs; first += 100) {
      const bulk = [];
      for (let i = first; i < Math.min(first + 100, jobs); i++) bulk.push({ name: 'job', data: { i }, opts: options(i) });
      await queue('load').addBulk(bulk);
    }";

/// A number of jobs, the version that adds them and the version that works them off.
#[derive(Debug)]
struct Load {
    jobs: u64,
    adding: Version,
    working: Version,
}

/// Each version with its own jobs, and Python with a part of the jobs, which Node adds: a worker in Python is slower by as much.
fn loads() -> Result<Vec<Load>> {
    let jobs = jobs()?;
    let of_node = Version::EVERY.iter().map(|&version| Load {
        jobs,
        adding: version,
        working: version,
    });
    let of_python = Load {
        jobs: jobs / 4,
        adding: Version::V6,
        working: Version::Python,
    };
    Ok(of_node.chain([of_python]).collect())
}

/// Starts workers in processes of their own; they end with the values.
fn start_workers(version: Version, redis: &Redis) -> Result<Vec<BullMq>> {
    CONCURRENCY
        .into_iter()
        .map(|concurrency| {
            let mut process = BullMq::start(version, redis)?;
            process.run(&match version {
                Version::Python => format!(
                    "kept.done = 0
async def work(job, token):
    kept.done += 1
    if kept.done % 4 == 0:
        raise Exception('no')
kept.worker = await worker('load', work, {{'concurrency': {concurrency}}})"
                ),
                Version::Bull | Version::V4 | Version::V5 | Version::V6 => format!(
                    "let done = 0;
                     kept.worker = await worker('load', async () => {{ if (++done % 4 === 0) throw new Error('no'); }},
                       {{ concurrency: {concurrency} }});"
                ),
            })?;
            Ok(process)
        })
        .collect()
}

/// How many elements of `active` may be no jobs. BullMQ 4 wakes an idle worker by a list element, which the worker's blocking command
/// moves to `active`, where it stays until the worker's next command removes it: one for each idle worker, in one place or another
/// of the list.
fn markers_in_flight(version: Version) -> u64 {
    match version {
        Version::V4 => CONCURRENCY.len() as u64,
        Version::Bull | Version::V5 | Version::V6 | Version::Python => 0,
    }
}

/// The number of jobs in all states, and the number of them that have finished.
fn sums(scrape: &Scrape) -> Result<(f64, f64)> {
    let mut sums = (0.0, 0.0);
    for state in JobState::ALL {
        let jobs = scrape
            .job_count("load", state.as_str())
            .with_context(|| format!("the queue is not served:\n{}", scrape.text))?;
        sums.0 += jobs;
        if matches!(state, JobState::Completed | JobState::Failed) {
            sums.1 += jobs;
        }
    }
    Ok(sums)
}

/// Scrapes without a rest until `jobs` have finished, and checks each scrape by `check`, which is given the jobs in all states.
fn scrape_until_finished(
    exporter: &Exporter,
    jobs: u64,
    mut check: impl FnMut(&Scrape, f64) -> Result<()>,
) -> Result<u32> {
    let started = Instant::now();
    let mut scrapes = 0;
    loop {
        let scrape = exporter.scrape()?;
        let (all, finished) = sums(&scrape)?;
        check(&scrape, all).with_context(|| format!("scrape {scrapes}:\n{}", scrape.text))?;
        scrapes += 1;
        if finished >= to_f64(jobs) {
            return Ok(scrapes);
        }
        ensure!(
            started.elapsed() < LIMIT,
            "{finished} of {jobs} jobs have finished after {LIMIT:?}"
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "a number of jobs is below 2^53")]
fn to_f64(jobs: u64) -> f64 {
    jobs as f64
}

/// The number of jobs for each version.
#[expect(
    clippy::disallowed_methods,
    reason = "a test has no configuration but the environment"
)]
fn jobs() -> Result<u64> {
    match std::env::var("UNDER_LOAD_JOBS") {
        Ok(text) => text
            .parse()
            .with_context(|| format!("UNDER_LOAD_JOBS={text}")),
        Err(_) => Ok(JOBS),
    }
}

#[test]
fn a_known_number_of_jobs_is_that_number_in_every_scrape() -> Result<()> {
    for load in loads()? {
        let Load {
            jobs,
            adding,
            working,
        } = load;
        let redis = Redis::start()?;
        BullMq::start(adding, &redis)?.run(&format!("const jobs = {jobs}; {ADD}"))?;
        let exporter = Exporter::start(&redis)?;
        exporter.scrape_when_found("load")?;
        let workers = start_workers(working, &redis)?;
        let scrapes = scrape_until_finished(&exporter, jobs, |_, all| {
            let (fewest, most) = (to_f64(jobs), to_f64(jobs + markers_in_flight(working)));
            ensure!(
                (fewest..=most).contains(&all),
                "{all} instead of {jobs} jobs"
            );
            Ok(())
        })
        .with_context(|| format!("{working:?}"))?;
        println!("{working:?}: {scrapes} scrapes");
        drop(workers);
        assert!(scrapes >= FEWEST_SCRAPES, "{working:?}: {scrapes} scrapes");
    }
    Ok(())
}

#[test]
fn while_jobs_are_added_none_is_counted_before_it_exists_or_missed_after() -> Result<()> {
    for load in loads()? {
        let Load {
            jobs,
            adding,
            working,
        } = load;
        let redis = Redis::start()?;
        let mut producer = BullMq::start(adding, &redis)?;
        producer.run("await queue('load').add('job', {});")?;
        let exporter = Exporter::start(&redis)?;
        exporter.scrape_when_found("load")?;
        let workers = start_workers(working, &redis)?;
        // Not awaited: the jobs are added while the exporter is scraped.
        producer.run(&format!(
            "const jobs = {}; kept.adding = (async () => {{ {ADD} }})();",
            jobs - 1
        ))?;
        let mut added_before = 0.0;
        let scrapes = scrape_until_finished(&exporter, jobs, |scrape, all| {
            // The counter is read after the counts, in the same scrape.
            let added = scrape
                .of_queue("bullmq_job_added_total", "load")
                .context("the counter is served")?;
            let most = added + to_f64(markers_in_flight(working));
            ensure!(
                (added_before..=most).contains(&all),
                "{all} jobs, but {added_before} were added before and {added} after"
            );
            added_before = added;
            Ok(())
        })
        .with_context(|| format!("{working:?}"))?;
        println!("{working:?}: {scrapes} scrapes");
        drop(workers);
        assert!(scrapes >= FEWEST_SCRAPES, "{working:?}: {scrapes} scrapes");
    }
    Ok(())
}

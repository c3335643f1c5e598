//! Who works, for how long already, and is anybody still there?

use std::time::Duration;

use acceptance::{BullMq, Exporter, FrozenClock, Redis, Version, wait_until};
use anyhow::Result;

const LIMIT: Duration = Duration::from_secs(20);

/// A worker that takes a job and never ends it; the code goes on when it has one.
const BUSY: &str = "const taken = new Promise((resolve) => { kept.taken = resolve; });
    kept.busy = await worker('email', () => { kept.taken(); return new Promise((resolve) => { kept.end = resolve; }); }, { lockDuration: 1000, stalledInterval: 60000 });
    await queue('email').add('job', {});
    await taken;";

fn until(exporter: &Exporter, metric: &str, queue: &str, value: f64) -> Result<()> {
    wait_until(&format!("{metric} of {queue} is {value}"), LIMIT, || {
        Ok((exporter.scrape()?.of_queue(metric, queue) == Some(value)).then_some(()))
    })
}

#[test]
fn workers_are_counted_by_their_exact_queue_and_idle_ones_apart() -> Result<()> {
    for version in Version::ALL {
        let redis = Redis::start()?;
        let mut bullmq = BullMq::start(version, &redis)?;
        bullmq.run(
            "for (const name of ['abc', 'abcdef']) await queue(name).waitUntilReady();
             await worker('abc', async () => {}); await worker('abc', async () => {}, { name: 'pod-a' });
             await worker('abcdef', async () => {});
             const events = new bullmq.QueueEvents('abc', { connection }); await events.waitUntilReady();",
        )?;
        let exporter = Exporter::start(&redis)?;
        exporter.scrape_when_found("abcdef")?;
        until(&exporter, "bullmq_queue_workers_idle", "abc", 2.0)?;
        until(&exporter, "bullmq_queue_workers_idle", "abcdef", 1.0)?;
        let scrape = exporter.scrape()?;
        assert_eq!(
            scrape.of_queue("bullmq_queue_workers", "abc"),
            Some(2.0),
            "{version:?}"
        );
        assert_eq!(
            scrape.of_queue("bullmq_queue_workers", "abcdef"),
            Some(1.0),
            "{version:?}"
        );

        bullmq.run("await queue('quiet').add('job', {});")?;
        exporter.scrape_when_found("quiet")?;
        let scrape = exporter.scrape()?;
        assert_eq!(
            scrape.of_queue("bullmq_queue_workers", "quiet"),
            Some(0.0),
            "{version:?}"
        );
    }
    Ok(())
}

#[test]
fn a_busy_worker_is_no_idle_one() -> Result<()> {
    for version in Version::ALL {
        let redis = Redis::start()?;
        let mut bullmq = BullMq::start(version, &redis)?;
        bullmq.run(BUSY)?;
        let exporter = Exporter::start(&redis)?;
        exporter.scrape_when_found("email")?;
        let scrape = exporter.scrape()?;
        assert_eq!(
            scrape.of_queue("bullmq_queue_workers", "email"),
            Some(1.0),
            "{version:?}"
        );
        assert_eq!(
            scrape.of_queue("bullmq_queue_workers_idle", "email"),
            Some(0.0),
            "{version:?}"
        );
    }
    Ok(())
}

#[test]
fn the_jobs_of_a_killed_worker_are_orphaned_once_its_lock_is_gone() -> Result<()> {
    for version in Version::ALL {
        let redis = Redis::start()?;
        let mut bullmq = BullMq::start(version, &redis)?;
        bullmq.run(BUSY)?;
        let exporter = Exporter::start(&redis)?;
        exporter.scrape_when_found("email")?;
        assert_eq!(
            exporter
                .scrape()?
                .of_queue("bullmq_queue_orphaned", "email"),
            Some(0.0)
        );
        bullmq.kill()?;
        until(&exporter, "bullmq_queue_orphaned", "email", 1.0)?;
        let scrape = exporter.scrape()?;
        assert_eq!(
            scrape.job_count("email", "active"),
            Some(1.0),
            "{version:?}"
        );
        assert_eq!(
            scrape.of_queue("bullmq_queue_workers", "email"),
            Some(0.0),
            "{version:?}"
        );
    }
    Ok(())
}

#[test]
fn a_worker_that_drains_is_not_mistaken_for_a_dead_one() -> Result<()> {
    for version in Version::ALL {
        let redis = Redis::start()?;
        let mut bullmq = BullMq::start(version, &redis)?;
        bullmq.run(BUSY)?;
        // Its blocking connection closes at once, and its lock of one second is kept alive.
        bullmq.run("kept.closed = kept.busy.close(); await sleep(2500);")?;
        let exporter = Exporter::start(&redis)?;
        exporter.scrape_when_found("email")?;
        let scrape = exporter.scrape()?;
        assert_eq!(
            scrape.of_queue("bullmq_queue_workers", "email"),
            Some(0.0),
            "{version:?}"
        );
        assert_eq!(
            scrape.of_queue("bullmq_queue_orphaned", "email"),
            Some(0.0),
            "{version:?}"
        );
        bullmq.run("kept.end(); await kept.closed;")?;
        until(
            &exporter,
            "bullmq_queue_longest_active_seconds",
            "email",
            0.0,
        )?;
        assert_eq!(
            exporter
                .scrape()?
                .of_queue("bullmq_queue_orphaned", "email"),
            Some(0.0)
        );
    }
    Ok(())
}

#[test]
fn the_job_that_was_taken_first_has_run_for_longest() -> Result<()> {
    for version in Version::ALL {
        let redis = Redis::start()?;
        let mut bullmq = BullMq::start(version, &redis)?;
        bullmq.run(
            "let taken = 0;
             const all = new Promise((resolve) => { kept.take = () => { if (++taken === 2) resolve(); }; });
             await worker('email', () => { kept.take(); return new Promise(() => {}); }, { concurrency: 2 });
             kept.first = await queue('email').add('job', {}); await sleep(300);
             await queue('email').add('job', {}); await all;",
        )?;
        let started: f64 = redis
            .run(&["HGET", "bull:email:1", "processedOn"])?
            .parse()?;
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a time stamp"
        )]
        let clock = FrozenClock::start(&redis, started as u64 + 90_000)?;
        let exporter = Exporter::start_with(&["--redis.url", &clock.url()])?;
        let scrape = exporter.scrape_when_found("email")?;
        let longest = scrape.of_queue("bullmq_queue_longest_active_seconds", "email");
        assert_eq!(longest, Some(90.0), "{version:?}");
    }
    Ok(())
}

#[test]
fn workers_are_not_counted_where_that_is_switched_off() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?.run("await queue('email').add('job', {});")?;
    redis.run(&["CONFIG", "RESETSTAT"])?;
    let flags = ["--redis.url", &redis.url(), "--collect.workers=false"];
    let scrape = Exporter::start_with(&flags)?.scrape_when_found("email")?;
    assert_eq!(
        scrape.samples("bullmq_queue_workers").count(),
        0,
        "{}",
        scrape.text
    );
    assert!(
        !redis
            .command_calls()?
            .iter()
            .any(|(name, _)| name == "client|list")
    );
    Ok(())
}

#[test]
fn a_worker_in_python_is_one_worker_although_it_names_two_connections() -> Result<()> {
    let redis = Redis::start()?;
    let mut python = BullMq::start(Version::Python, &redis)?;
    python.run(
        "async def work(job, token):
    if job.name == 'long':
        kept.taken.set()
        await sleep(60000)
import asyncio
kept.taken = asyncio.Event()
kept.worker = await worker('email', work)
await queue('email').add('short', {})
while (await queue('email').getJobCounts('completed'))['completed'] < 1:
    await sleep(20)",
    )?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found("email")?;
    until(&exporter, "bullmq_queue_workers_idle", "email", 1.0)?;
    let named = redis.run(&["CLIENT", "LIST"])?;
    assert_eq!(named.matches("name=bull:email ").count(), 2, "{named}");
    until(&exporter, "bullmq_queue_workers", "email", 1.0)?;
    python.run("await queue('email').add('long', {})\nawait kept.taken.wait()")?;
    let scrape = exporter.scrape()?;
    assert_eq!(
        scrape.of_queue("bullmq_queue_workers", "email"),
        Some(1.0),
        "{}",
        scrape.text
    );
    assert_eq!(scrape.job_count("email", "active"), Some(1.0));
    Ok(())
}

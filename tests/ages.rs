//! How long has the oldest ready job been ready, in every way in which a job becomes ready?

use acceptance::{BullMq, Exporter, FrozenClock, Redis, Version};
use anyhow::Result;

/// The moment at which every case is looked at, in 2033: later than any real job of the test.
const NOW: u64 = 2_000_000_000_000;

/// What was done before `now`, and the age in seconds of the oldest ready job at `now`.
const CASES: &[(&str, &str, f64)] = &[
    ("no job at all", "await q.waitUntilReady();", 0.0),
    (
        "one job",
        "await q.add('a', {}, { timestamp: now - 90000 });",
        90.0,
    ),
    (
        "the oldest of several, first in first out",
        "for (const age of [90000, 60000, 30000]) await q.add('a', {}, { timestamp: now - age });",
        90.0,
    ),
    (
        "a newer job added last in first out does not hide it",
        "await q.add('old', {}, { timestamp: now - 90000 });
         await q.add('new', {}, { timestamp: now - 1000, lifo: true });",
        90.0,
    ),
    (
        "a queue used last in first out only has its oldest at the other end",
        "for (let i = 0; i < 20; i++) await q.add('a', {}, { timestamp: now - 90000 + i * 1000, lifo: true });",
        90.0,
    ),
    (
        "the oldest prioritized job need not be the most urgent",
        "await q.add('urgent', {}, { timestamp: now - 1000, priority: 1 });
         await q.add('normal', {}, { timestamp: now - 50000, priority: 7 });
         await q.add('idle', {}, { timestamp: now - 90000, priority: 2097151 });",
        90.0,
    ),
    (
        "a delayed job counts from when it fell due",
        "await q.add('a', {}, { timestamp: now - 90000, delay: 60000 });",
        30.0,
    ),
    (
        "a delayed job that is not due does not count",
        "await q.add('a', {}, { timestamp: now - 90000, delay: 100000 });",
        0.0,
    ),
    (
        "a delayed job that a worker has moved counts from when it fell due",
        "await q.add('a', {}, { timestamp: now - 90000, delay: 60000 });
         await (await q.getDelayed())[0].promote();",
        30.0,
    ),
    (
        "a paused queue has no ready job",
        "await q.add('a', {}, { timestamp: now - 90000 }); await q.pause();",
        0.0,
    ),
    (
        "a time stamp in the future is no age",
        "await q.add('a', {}, { timestamp: now + 90000 });",
        0.0,
    ),
];

#[test]
fn the_oldest_ready_job_is_as_old_as_it_is() -> Result<()> {
    for version in Version::ALL {
        let redis = Redis::start()?;
        let mut bullmq = BullMq::start(version, &redis)?;
        for (index, (_, code, _)) in CASES.iter().enumerate() {
            bullmq.run(&format!(
                "const now = {NOW}; const q = queue('case-{index}'); {code}"
            ))?;
        }
        let clock = FrozenClock::start(&redis, NOW)?;
        let exporter = Exporter::start_with(&["--redis.url", &clock.url()])?;
        let scrape = exporter.scrape_when_found("case-0")?;
        for (index, (sentence, _, expected)) in CASES.iter().enumerate() {
            let age = scrape.of_queue(
                "bullmq_queue_oldest_ready_age_seconds",
                &format!("case-{index}"),
            );
            assert_eq!(age, Some(*expected), "{version:?}: {sentence}");
        }
    }
    Ok(())
}

#[test]
fn a_job_retried_by_hand_counts_from_when_it_was_first_seen() -> Result<()> {
    for version in Version::ALL {
        let redis = Redis::start()?;
        let now = redis.time_millis()?;
        let mut bullmq = BullMq::start(version, &redis)?;
        bullmq.run(&format!(
            "const running = await worker('email', async () => {{ throw new Error('no'); }});
             const failed = new Promise((resolve) => running.on('failed', resolve));
             const job = await queue('email').add('a', {{}}, {{ timestamp: {now} - 864000000 }});
             await failed; await running.close();
             await job.retry();"
        ))?;
        let clock = FrozenClock::start(&redis, now + 60_000)?;
        let exporter = Exporter::start_with(&["--redis.url", &clock.url()])?;
        let age = "bullmq_queue_oldest_ready_age_seconds";
        assert_eq!(
            exporter.scrape_when_found("email")?.of_queue(age, "email"),
            Some(0.0)
        );
        clock.set(now + 72_000);
        assert_eq!(
            exporter.scrape()?.of_queue(age, "email"),
            Some(12.0),
            "{version:?}"
        );
    }
    Ok(())
}

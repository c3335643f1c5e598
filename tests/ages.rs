//! How long has the oldest ready job been ready, in every way in which a job becomes ready?

use std::time::Duration;

use acceptance::{BullMq, Exporter, FrozenClock, Redis, Version};
use anyhow::Result;

/// The moment at which every case is looked at, in 2033: later than any real job of the test.
const NOW: u64 = 2_000_000_000_000;

/// What was done before `now`, and the age in seconds of the oldest ready job at `now`.
const CASES: &[(&str, &str, f64)] = &[
    (
        "no job at all",
        "await q.add('later', {}, { delay: 60000, timestamp: now });",
        0.0,
    ),
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
    for version in Version::EVERY {
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

/// The age was 0 a moment ago. It goes by the exporter's own clock, which does not step, whatever that of Redis does.
fn assert_it_grows_from_now_on(exporter: &Exporter, sentence: &str) -> Result<()> {
    let slept = Duration::from_millis(1_500);
    std::thread::sleep(slept);
    let scrape = exporter.scrape()?;
    let age = scrape.of_queue("bullmq_queue_oldest_ready_age_seconds", "email");
    let expected = slept.as_secs_f64()..slept.as_secs_f64() + 10.0;
    assert!(
        age.is_some_and(|age| expected.contains(&age)),
        "{sentence}: {age:?}"
    );
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
        assert_it_grows_from_now_on(&exporter, &format!("{version:?}"))?;
    }
    Ok(())
}

#[test]
fn a_job_promoted_by_hand_before_it_was_due_counts_from_when_it_was_first_seen() -> Result<()> {
    for version in Version::EVERY {
        let redis = Redis::start()?;
        let now = redis.time_millis()?;
        BullMq::start(version, &redis)?.run(&format!(
            "const job = await queue('email').add('a', {{}}, {{ timestamp: {now} - 600000, delay: 3600000 }});
             await job.promote();"
        ))?;
        let clock = FrozenClock::start(&redis, now + 60_000)?;
        let exporter = Exporter::start_with(&["--redis.url", &clock.url()])?;
        let age = "bullmq_queue_oldest_ready_age_seconds";
        let scrape = exporter.scrape_when_found("email")?;
        assert_eq!(scrape.of_queue(age, "email"), Some(0.0), "{version:?}");
        assert_it_grows_from_now_on(&exporter, &format!("{version:?}"))?;
    }
    Ok(())
}

#[test]
fn a_job_that_is_tried_again_counts_from_its_last_attempt() -> Result<()> {
    for version in Version::ALL {
        let redis = Redis::start()?;
        let now = redis.time_millis()?;
        BullMq::start(version, &redis)?.run(&format!(
            "await queue('email').add('a', {{}}, {{ attempts: 2, timestamp: {now} - 864000000 }});
             const w = new bullmq.Worker('email', undefined, {{ connection, autorun: false }});
             const job = await w.getNextJob('token');
             await job.moveToFailed(new Error('no'), 'token', false); await w.close();"
        ))?;
        let clock = FrozenClock::start(&redis, now + 60_000)?;
        let exporter = Exporter::start_with(&["--redis.url", &clock.url()])?;
        let scrape = exporter.scrape_when_found("email")?;
        assert_eq!(
            scrape.job_count("email", "waiting"),
            Some(1.0),
            "{version:?}"
        );
        let age = scrape.of_queue("bullmq_queue_oldest_ready_age_seconds", "email");
        // The attempt began after `now`, by what the library took.
        assert!(
            age.is_some_and(|age| (50.0..=60.0).contains(&age)),
            "{version:?}: {age:?}"
        );
    }
    Ok(())
}

#[test]
fn a_parent_that_its_children_released_counts_from_when_it_was_first_seen() -> Result<()> {
    for version in Version::ALL {
        let redis = Redis::start()?;
        let now = redis.time_millis()?;
        BullMq::start(version, &redis)?.run(&format!(
            "const running = await worker('children', async () => {{}});
             const done = new Promise((resolve) => running.on('completed', resolve));
             const flows = new bullmq.FlowProducer({{ connection }});
             await flows.add({{ name: 'p', queueName: 'email', data: {{}}, opts: {{ timestamp: {now} - 864000000 }},
               children: [{{ name: 'c', queueName: 'children', data: {{}} }}] }});
             await done; await running.close();"
        ))?;
        let clock = FrozenClock::start(&redis, now + 60_000)?;
        let exporter = Exporter::start_with(&["--redis.url", &clock.url()])?;
        let age = "bullmq_queue_oldest_ready_age_seconds";
        let scrape = exporter.scrape_when_found("email")?;
        assert_eq!(
            scrape.of_queue("bullmq_queue_ready_jobs", "email"),
            Some(1.0),
            "{version:?}"
        );
        assert_eq!(
            scrape.of_queue(age, "email"),
            Some(0.0),
            "{version:?}: not ten days"
        );
        assert_it_grows_from_now_on(&exporter, &format!("{version:?}"))?;
    }
    Ok(())
}

#[test]
fn a_job_whose_hash_is_gone_is_passed_over_for_the_next() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?.run(&format!(
        "for (const age of [90000, 60000, 30000]) await queue('email').add('a', {{}}, {{ timestamp: {NOW} - age }});"
    ))?;
    let clock = FrozenClock::start(&redis, NOW)?;
    let exporter = Exporter::start_with(&["--redis.url", &clock.url()])?;
    let age = "bullmq_queue_oldest_ready_age_seconds";
    assert_eq!(
        exporter.scrape_when_found("email")?.of_queue(age, "email"),
        Some(90.0)
    );
    redis.run(&["DEL", "bull:email:1"])?;
    assert_eq!(exporter.scrape()?.of_queue(age, "email"), Some(60.0));
    redis.run(&["DEL", "bull:email:2", "bull:email:3"])?;
    let scrape = exporter.scrape()?;
    assert_eq!(
        scrape.of_queue(age, "email"),
        None,
        "jobs wait, and nobody knows since when"
    );
    assert_eq!(
        scrape.of_queue("bullmq_queue_ready_jobs", "email"),
        Some(3.0)
    );
    Ok(())
}

#[test]
fn the_data_of_a_job_is_never_fetched() -> Result<()> {
    let redis = Redis::start()?;
    // Twenty jobs of a megabyte each, in every place that is looked at.
    BullMq::start(Version::V6, &redis)?.run(
        "const data = { text: 'x'.repeat(1 << 20) };
         for (let i = 0; i < 10; i++) await queue('email').add('a', data);
         for (let i = 1; i < 11; i++) await queue('email').add('a', data, { priority: i });
         for (let i = 0; i < 2; i++) await queue('email').add('a', data, { delay: 1 });",
    )?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found("email")?;
    let sent = || -> Result<u64> {
        let stats = redis.run(&["INFO", "stats"])?;
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix("total_net_output_bytes:"));
        Ok(line.unwrap_or_default().trim().parse()?)
    };
    let before = sent()?;
    for _ in 0..10 {
        exporter.scrape()?;
    }
    let bytes_a_scrape = (sent()? - before) / 10;
    assert!(bytes_a_scrape < 100_000, "{bytes_a_scrape} bytes a scrape");
    Ok(())
}

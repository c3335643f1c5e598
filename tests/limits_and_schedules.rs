//! What holds a queue back, what will come by itself, and what has been done?

use std::time::Duration;

use acceptance::{BullMq, Exporter, Redis, Version, wait_until};
use anyhow::Result;

const LIMIT: Duration = Duration::from_secs(20);

fn scrape_after(version: Version, code: &str) -> Result<(Redis, BullMq, acceptance::Scrape)> {
    let redis = Redis::start()?;
    let mut bullmq = BullMq::start(version, &redis)?;
    bullmq.run(code)?;
    let scrape = Exporter::start(&redis)?.scrape_when_found("email")?;
    Ok((redis, bullmq, scrape))
}

#[test]
fn a_rate_limit_is_told_where_redis_knows_it_and_only_there() -> Result<()> {
    for version in Version::ALL {
        for (sentence, code, limited, window) in [
            ("no limit at all", "await queue('email').add('job', {});", Some(0.0), false),
            (
                "a global limit that is reached",
                "await queue('email').setGlobalRateLimit(2, 60000);
                 kept.w = await worker('email', async () => {});
                 for (let i = 0; i < 5; i++) await queue('email').add('job', {});
                 while ((await queue('email').getJobCounts()).completed < 2) await sleep(20);",
                Some(1.0),
                true,
            ),
            (
                "a global limit that is not reached",
                "await queue('email').setGlobalRateLimit(9, 60000);
                 kept.w = await worker('email', async () => {});
                 for (let i = 0; i < 2; i++) await queue('email').add('job', {});
                 while ((await queue('email').getJobCounts()).completed < 2) await sleep(20);",
                Some(0.0),
                true,
            ),
            (
                "a limit that only the worker knows",
                "kept.w = await worker('email', async () => {}, { limiter: { max: 2, duration: 60000 } });
                 for (let i = 0; i < 5; i++) await queue('email').add('job', {});
                 while ((await queue('email').getJobCounts()).completed < 2) await sleep(20);",
                None,
                true,
            ),
            (
                "limited by hand",
                "await queue('email').add('job', {}); await queue('email').rateLimit(60000);",
                Some(1.0),
                true,
            ),
        ] {
            let (_redis, _bullmq, scrape) = scrape_after(version, code)?;
            let context = format!("{version:?}: {sentence}\n{}", scrape.text);
            assert_eq!(scrape.of_queue("bullmq_queue_rate_limited", "email"), limited, "{context}");
            let reset = scrape.of_queue("bullmq_queue_rate_limit_reset_seconds", "email");
            let expected = if window { 1.0..=60.0 } else { 0.0..=0.0 };
            assert!(reset.is_some_and(|reset| expected.contains(&reset)), "{reset:?} {context}");
        }
    }
    Ok(())
}

#[test]
fn a_scheduler_without_workers_is_one_ready_job_and_overdue() -> Result<()> {
    for version in Version::ALL {
        let (_redis, _bullmq, scrape) = scrape_after(
            version,
            "await queue('email').upsertJobScheduler('tick', { every: 300 });
             await queue('email').upsertJobScheduler('night', { pattern: '0 3 1 1 *' });
             await sleep(1500);",
        )?;
        assert_eq!(
            scrape.of_queue("bullmq_queue_schedulers", "email"),
            Some(2.0),
            "{version:?}"
        );
        let overdue = scrape.of_queue("bullmq_queue_schedulers_overdue", "email");
        assert_eq!(overdue, Some(1.0), "{version:?}");
        assert_eq!(
            scrape.of_queue("bullmq_queue_ready_jobs", "email"),
            Some(1.0),
            "{version:?}"
        );
    }
    Ok(())
}

#[test]
fn finished_jobs_are_counted_only_where_workers_keep_metrics() -> Result<()> {
    for version in Version::ALL {
        for (options, expected) in [
            ("{}", None),
            ("{ metrics: { maxDataPoints: 10 } }", Some(())),
        ] {
            let (_redis, _bullmq, scrape) = scrape_after(
                version,
                &format!(
                    "const running = await worker('email', async (job) => {{ if (job.name === 'bad') throw new Error('no'); }}, {options});
                     let done = 0; const all = new Promise((resolve) => {{
                       running.on('completed', () => {{ if (++done === 7) resolve(); }});
                       running.on('failed', (job) => {{ if (job.attemptsMade === job.opts.attempts && ++done === 7) resolve(); }}); }});
                     for (let i = 0; i < 5; i++) await queue('email').add('good', {{}}, {{ removeOnComplete: true }});
                     for (let i = 0; i < 2; i++) await queue('email').add('bad', {{}}, {{ attempts: 3 }});
                     await all; await running.close();"
                ),
            )?;
            let completed = scrape.of_queue("bullmq_job_completed_total", "email");
            let failed = scrape.of_queue("bullmq_job_failed_total", "email");
            assert_eq!(completed, expected.map(|()| 5.0), "{version:?} {options}");
            assert_eq!(
                failed,
                expected.map(|()| 2.0),
                "{version:?} {options}: attempts are no failures"
            );
        }
    }
    Ok(())
}

#[test]
fn a_queue_that_holds_only_groups_of_bullmq_pro_never_looks_empty() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?.run("await queue('email').waitUntilReady();")?;
    // BullMQ Pro is not to be had here: these are the sets as third-party readers of it have them.
    for (set, groups) in [("groups", 3), ("groups:limit", 2), ("groups:paused", 1)] {
        for group in 0..groups {
            redis.run(&[
                "ZADD",
                &format!("bull:email:{set}"),
                "1",
                &format!("{set}-{group}"),
            ])?;
        }
    }
    let exporter = Exporter::start(&redis)?;
    let scrape = exporter.scrape_when_found("email")?;
    for (status, groups) in [
        ("waiting", 3.0),
        ("limited", 2.0),
        ("maxed", 0.0),
        ("paused", 1.0),
    ] {
        let labels = [("queue", "email"), ("status", status)];
        assert_eq!(
            scrape.value("bullmq_queue_groups", &labels),
            Some(groups),
            "{status}"
        );
    }
    assert_eq!(
        scrape.of_queue("bullmq_queue_ready_jobs", "email"),
        Some(3.0)
    );
    assert_eq!(
        scrape.of_queue("bullmq_queue_demand_jobs", "email"),
        Some(3.0)
    );
    redis.run(&[
        "DEL",
        "bull:email:groups",
        "bull:email:groups:limit",
        "bull:email:groups:paused",
    ])?;
    assert_eq!(exporter.scrape()?.samples("bullmq_queue_groups").count(), 0);
    Ok(())
}

#[test]
fn what_redis_says_of_itself_is_served_with_the_policy_that_bullmq_needs() -> Result<()> {
    let redis = Redis::start_with(&["--maxmemory-policy", "allkeys-lru"])?;
    let exporter = Exporter::start(&redis)?;
    let facts = [
        ("mode", "standalone"),
        ("role", "primary"),
        ("maxmemory_policy", "allkeys-lru"),
    ];
    let scrape = exporter.scrape()?;
    assert_eq!(
        scrape.value("bullmq_redis_info", &facts),
        Some(1.0),
        "{}",
        scrape.text
    );
    redis.run(&["CONFIG", "SET", "maxmemory-policy", "noeviction"])?;
    let facts = [("maxmemory_policy", "noeviction")];
    wait_until("the change is served", LIMIT, || {
        Ok((exporter.scrape()?.value("bullmq_redis_info", &facts) == Some(1.0)).then_some(()))
    })
}

#[test]
fn the_version_of_a_producer_is_told_and_empty_where_none_is_stored() -> Result<()> {
    for (version, release) in [(Version::V5, "5.81.5"), (Version::V6, "6.7.0")] {
        let (redis, _bullmq, scrape) =
            scrape_after(version, "await queue('email').add('job', {});")?;
        let labels = [
            ("queue", "email"),
            ("flavor", "bullmq"),
            ("version", release),
        ];
        assert_eq!(
            scrape.value("bullmq_queue_info", &labels),
            Some(1.0),
            "{}",
            scrape.text
        );
        redis.run(&["HDEL", "bull:email:meta", "version"])?;
        let scrape = Exporter::start(&redis)?.scrape_when_found("email")?;
        let labels = [("queue", "email"), ("flavor", "bullmq"), ("version", "")];
        assert_eq!(
            scrape.value("bullmq_queue_info", &labels),
            Some(1.0),
            "{}",
            scrape.text
        );
    }
    Ok(())
}

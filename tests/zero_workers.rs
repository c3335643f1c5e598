//! With no worker alive, is every job that a worker could take seen, and no other?
//!
//! Only a living worker moves a delayed job that is due, so with none alive `LLEN wait` says 0 while work waits.

use acceptance::{BullMq, Exporter, FrozenClock, Redis, Version};
use anyhow::Result;

#[test]
fn prioritized_jobs_alone_are_ready_while_the_wait_list_is_empty() -> Result<()> {
    for version in Version::ALL {
        let redis = Redis::start()?;
        BullMq::start(version, &redis)?.run(
            "for (let i = 0; i < 7; i++) await queue('email').add('job', {}, { priority: 1 + i % 3 });",
        )?;
        let exporter = Exporter::start(&redis)?;
        let scrape = exporter.scrape_when_found("email")?;
        assert_eq!(redis.run(&["LLEN", "bull:email:wait"])?, "0", "{version:?}");
        assert_eq!(
            scrape.of_queue("bullmq_queue_ready_jobs", "email"),
            Some(7.0),
            "{version:?}"
        );
        assert_eq!(
            scrape.of_queue("bullmq_queue_demand_jobs", "email"),
            Some(7.0),
            "{version:?}"
        );
        assert_eq!(
            scrape.job_count("email", "prioritized"),
            Some(7.0),
            "{version:?}"
        );
    }
    Ok(())
}

#[test]
fn a_delayed_job_that_is_past_due_is_ready() -> Result<()> {
    for version in Version::ALL {
        let redis = Redis::start()?;
        BullMq::start(version, &redis)?.run(
            "await queue('email').add('job', {}, { delay: 200 });
             await queue('email').add('later', {}, { delay: 3600000 });
             await sleep(400);",
        )?;
        let scrape = Exporter::start(&redis)?.scrape_when_found("email")?;
        assert_eq!(redis.run(&["LLEN", "bull:email:wait"])?, "0", "{version:?}");
        assert_eq!(
            scrape.of_queue("bullmq_queue_ready_jobs", "email"),
            Some(1.0),
            "{version:?}"
        );
        assert_eq!(
            scrape.of_queue("bullmq_queue_delayed_due_jobs", "email"),
            Some(1.0)
        );
        assert_eq!(
            scrape.job_count("email", "delayed"),
            Some(2.0),
            "{version:?}"
        );
    }
    Ok(())
}

#[test]
fn a_delayed_job_is_ready_from_its_millisecond_on_and_not_one_earlier() -> Result<()> {
    for version in Version::ALL {
        let redis = Redis::start()?;
        let due = redis.time_millis()? + 3_600_000;
        BullMq::start(version, &redis)?.run(&format!(
            "await queue('email').add('job', {{}}, {{ timestamp: {due} - 60000, delay: 60000 }});"
        ))?;
        let clock = FrozenClock::start(&redis, due)?;
        let exporter = Exporter::start_with(&["--redis.url", &clock.url()])?;
        exporter.scrape_when_found("email")?;
        for (now, ready, ahead) in [
            (due - 30_001, 0.0, 0.0),
            (due - 30_000, 0.0, 1.0),
            (due - 1, 0.0, 1.0),
            (due, 1.0, 1.0),
            (due + 1, 1.0, 1.0),
        ] {
            clock.set(now);
            let scrape = exporter.scrape()?;
            let early = i128::from(due) - i128::from(now);
            let context = format!("{version:?}, {early} ms early");
            assert_eq!(
                scrape.of_queue("bullmq_queue_ready_jobs", "email"),
                Some(ready),
                "{context}"
            );
            assert_eq!(
                scrape.of_queue("bullmq_queue_demand_jobs", "email"),
                Some(ready),
                "{context}"
            );
            let within = [("queue", "email"), ("within", "30s")];
            assert_eq!(
                scrape.value("bullmq_queue_demand_ahead_jobs", &within),
                Some(ahead),
                "{context}"
            );
        }
    }
    Ok(())
}

#[test]
fn five_thousand_jobs_due_in_the_same_millisecond_are_all_ready() -> Result<()> {
    for version in Version::ALL {
        let redis = Redis::start()?;
        let due = redis.time_millis()? + 3_600_000;
        BullMq::start(version, &redis)?.run(&format!(
            "const opts = {{ timestamp: {due} - 60000, delay: 60000 }};
             const jobs = Array.from({{ length: 5000 }}, () => ({{ name: 'job', data: {{}}, opts }}));
             await queue('email').addBulk(jobs);"
        ))?;
        let clock = FrozenClock::start(&redis, due)?;
        let exporter = Exporter::start_with(&["--redis.url", &clock.url()])?;
        let scrape = exporter.scrape_when_found("email")?;
        assert_eq!(
            scrape.of_queue("bullmq_queue_ready_jobs", "email"),
            Some(5000.0),
            "{version:?}"
        );
        clock.set(due - 1);
        let scrape = exporter.scrape()?;
        assert_eq!(
            scrape.of_queue("bullmq_queue_ready_jobs", "email"),
            Some(0.0),
            "{version:?}"
        );
    }
    Ok(())
}

#[test]
fn jobs_of_a_worker_that_was_killed_keep_the_demand_up() -> Result<()> {
    for version in Version::ALL {
        let redis = Redis::start()?;
        let mut bullmq = BullMq::start(version, &redis)?;
        bullmq.run(
            "const taken = new Promise((resolve) => { kept.taken = resolve; });
             await worker('email', () => { kept.taken(); return new Promise(() => {}); });
             await queue('email').add('job', {});
             await taken;",
        )?;
        bullmq.kill()?;
        let scrape = Exporter::start(&redis)?.scrape_when_found("email")?;
        assert_eq!(
            scrape.of_queue("bullmq_queue_ready_jobs", "email"),
            Some(0.0),
            "{version:?}"
        );
        assert_eq!(
            scrape.of_queue("bullmq_queue_demand_jobs", "email"),
            Some(1.0),
            "{version:?}"
        );
    }
    Ok(())
}

//! Are the counts BullMQ's own, whatever was done to the queue before?

use acceptance::{BullMq, Exporter, Redis, Version};
use anyhow::{Context as _, Result};
use serde_json::Value;

/// Things people do with a queue, each in a queue of its own, and how the queue is left.
const OPERATIONS: &[(&str, &str)] = &[
    ("nothing-added", "await queue(name).waitUntilReady();"),
    ("added", "for (let i = 0; i < 5; i++) await queue(name).add('job', { i });"),
    (
        "every-way-to-wait",
        "await queue(name).add('fifo', {});
         await queue(name).add('lifo', {}, { lifo: true });
         await queue(name).add('priority', {}, { priority: 5 });
         await queue(name).add('delayed', {}, { delay: 100000 });
         await queue(name).add('due', {}, { delay: 1 });
         await queue(name).addBulk([{ name: 'a', data: {} }, { name: 'b', data: {}, opts: { priority: 9 } }]);",
    ),
    (
        "duplicates",
        "for (let i = 0; i < 4; i++) await queue(name).add('job', {}, { jobId: 'same' });
         for (let i = 0; i < 4; i++) await queue(name).add('job', {}, { deduplication: { id: 'one' } });",
    ),
    (
        "worked-off",
        "const running = await worker(name, async () => {});
         const drained = new Promise((resolve) => running.on('drained', resolve));
         for (let i = 0; i < 9; i++) await queue(name).add('job', {});
         await drained; await running.close();",
    ),
    (
        "failed-and-retried",
        "let failures = 0;
         const running = await worker(name, async (job) => { if (job.name !== 'good') throw new Error('no'); });
         const done = new Promise((resolve) => running.on('failed', () => { if (++failures === 3) resolve(); }));
         await queue(name).add('backoff', {}, { attempts: 3, backoff: 60000 });
         await queue(name).add('final', {});
         const again = await queue(name).add('again', {});
         await done; await running.close();
         await again.retry();",
    ),
    (
        "held-by-a-worker",
        "let taken = 0;
         const all = new Promise((resolve) => { kept[name] = () => { if (++taken === 3) resolve(); }; });
         kept[name + '-worker'] = await worker(name, () => { kept[name](); return new Promise(() => {}); }, { concurrency: 3 });
         for (let i = 0; i < 7; i++) await queue(name).add('job', {});
         await all;",
    ),
    (
        "paused",
        "await queue(name).add('before', {}); await queue(name).pause();
         await queue(name).add('after', {}); await queue(name).add('urgent', {}, { priority: 1 });
         await queue(name).add('later', {}, { delay: 60000 });",
    ),
    (
        "paused-and-resumed",
        "await queue(name).add('job', {}); await queue(name).pause();
         await queue(name).add('job', {}); await queue(name).resume();",
    ),
    (
        "flow",
        "const flows = new bullmq.FlowProducer({ connection });
         await flows.add({ name: 'parent', queueName: name, data: {}, children: [
           { name: 'child', queueName: name, data: {} }, { name: 'child', queueName: name, data: {}, opts: { delay: 60000 } } ] });
         await flows.close();",
    ),
    (
        "scheduled",
        "await queue(name).upsertJobScheduler('tick', { every: 3600000 });
         await queue(name).upsertJobScheduler('night', { pattern: '0 3 * * *' });",
    ),
    (
        "promoted-removed-drained",
        "const a = await queue(name).add('a', {}, { delay: 60000 }); await a.promote();
         const b = await queue(name).add('b', {}); await b.remove();
         await queue(name).drain(); await queue(name).add('c', {});",
    ),
];

#[test]
fn counts_are_those_of_bullmq_after_every_kind_of_operation() -> Result<()> {
    for version in Version::ALL {
        let redis = Redis::start()?;
        let mut bullmq = BullMq::start(version, &redis)?;
        for (name, code) in OPERATIONS {
            bullmq
                .run(&format!("const name = '{name}'; {code}"))
                .with_context(|| format!("{version:?} {name}"))?;
        }
        let exporter = Exporter::start(&redis)?;
        exporter.scrape_when_found("nothing-added")?;
        let scrape = exporter.scrape()?;
        for (name, _) in OPERATIONS {
            let theirs = bullmq.run(&format!("return await queue('{name}').getJobCounts();"))?;
            let theirs = theirs.as_object().context("counts are an object")?;
            let mut compared = 0;
            for state in bullmq_vocabulary::JobState::ALL.map(bullmq_vocabulary::JobState::as_str) {
                // BullMQ 6 has no paused list of its own; what is absent there must be 0 here.
                let expected = theirs.get(state).map_or(Some(0.0), Value::as_f64);
                assert_eq!(
                    scrape.job_count(name, state),
                    expected,
                    "{version:?} {name} {state}"
                );
                compared += usize::from(theirs.contains_key(state));
            }
            assert_eq!(
                compared,
                theirs.len(),
                "{version:?}: every state of BullMQ is compared: {theirs:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn a_pause_holds_jobs_where_each_version_keeps_them_and_nothing_is_ready() -> Result<()> {
    for (version, held_in) in [(Version::V5, "paused"), (Version::V6, "waiting")] {
        let redis = Redis::start()?;
        let mut bullmq = BullMq::start(version, &redis)?;
        bullmq.run("await queue('email').add('a', {}); await queue('email').pause(); await queue('email').add('b', {});")?;
        let exporter = Exporter::start(&redis)?;
        let scrape = exporter.scrape_when_found("email")?;
        assert_eq!(scrape.job_count("email", held_in), Some(2.0), "{version:?}");
        assert_eq!(
            scrape.of_queue("bullmq_queue_paused", "email"),
            Some(1.0),
            "{version:?}"
        );
        assert_eq!(
            scrape.of_queue("bullmq_queue_ready_jobs", "email"),
            Some(0.0),
            "{version:?}"
        );
        bullmq.run("await queue('email').resume();")?;
        let scrape = exporter.scrape()?;
        assert_eq!(
            scrape.of_queue("bullmq_queue_paused", "email"),
            Some(0.0),
            "{version:?}"
        );
        assert_eq!(
            scrape.of_queue("bullmq_queue_ready_jobs", "email"),
            Some(2.0),
            "{version:?}"
        );
    }
    Ok(())
}

#[test]
fn jobs_held_by_a_pause_under_bullmq_5_are_counted_after_the_upgrade_but_never_ready() -> Result<()>
{
    let redis = Redis::start()?;
    BullMq::start(Version::V5, &redis)?
        .run("await queue('email').add('a', {}); await queue('email').pause();")?;
    // BullMQ 6 takes the pause back without moving more than it looks for: the flag goes, the list may stay.
    redis.run(&["HDEL", "bull:email:meta", "paused"])?;
    BullMq::start(Version::V6, &redis)?.run("await queue('email').add('b', {});")?;
    let scrape = Exporter::start(&redis)?.scrape_when_found("email")?;
    assert_eq!(scrape.job_count("email", "paused"), Some(1.0));
    assert_eq!(scrape.job_count("email", "waiting"), Some(1.0));
    assert_eq!(
        scrape.of_queue("bullmq_queue_ready_jobs", "email"),
        Some(1.0)
    );
    Ok(())
}

#[test]
fn a_queue_paused_under_bullmq_5_is_told_as_it_is_all_through_an_upgrade_to_6() -> Result<()> {
    let redis = Redis::start()?;
    // More than the 7,000 that BullMQ 6 moves back in one step when it resumes.
    BullMq::start(Version::V5, &redis)?.run(
        "for (let i = 0; i < 8; i++) await queue('email').addBulk(Array.from({ length: 900 }, () => ({ name: 'a', data: {} })));
         await queue('email').pause();",
    )?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found("email")?;
    let mut six = BullMq::start(Version::V6, &redis)?;
    for (sentence, code, paused, held, waiting) in [
        (
            "a producer of 6 adds to a queue that 5 paused",
            "await queue('email').add('b', {});",
            1.0,
            7200.0,
            1.0,
        ),
        (
            "6 resumes it, and takes back every job",
            "await queue('email').resume();",
            0.0,
            0.0,
            7201.0,
        ),
    ] {
        six.run(code)?;
        let scrape = exporter.scrape()?;
        let ready = if paused > 0.0 { 0.0 } else { waiting };
        assert_eq!(
            scrape.of_queue("bullmq_queue_paused", "email"),
            Some(paused),
            "{sentence}"
        );
        assert_eq!(
            scrape.job_count("email", "paused"),
            Some(held),
            "{sentence}"
        );
        assert_eq!(
            scrape.job_count("email", "waiting"),
            Some(waiting),
            "{sentence}"
        );
        assert_eq!(
            scrape.of_queue("bullmq_queue_ready_jobs", "email"),
            Some(ready),
            "{sentence}"
        );
        // What workers of 6 can take is what the library counts as waiting.
        let theirs = six.run("return (await queue('email').getJobCounts('waiting')).waiting;")?;
        assert_eq!(theirs.as_f64(), Some(waiting), "{sentence}");
    }
    Ok(())
}

#[test]
fn markers_of_bullmq_4_that_survived_an_upgrade_are_no_jobs() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V5, &redis)?.run("await queue('email').add('job', {});")?;
    for (elements, jobs) in [
        (&["0:1780000000000"][..], 0.0),
        (&["0:0"][..], 0.0),
        (&["2", "0:1780000000000"][..], 1.0),
        (&["0:0", "2", "3"][..], 2.0),
        (&["4", "2", "0:1780000000000", "3"][..], 3.0),
    ] {
        for (list, state) in [
            ("bull:email:wait", "waiting"),
            ("bull:email:paused", "paused"),
        ] {
            if list.ends_with("paused") && elements.len() > 3 {
                continue; // Only the ends of the paused list are looked at: nothing is ready there.
            }
            redis.run(&["DEL", list])?;
            redis.run(&[&["RPUSH", list], elements].concat())?;
            let scrape = Exporter::start(&redis)?.scrape_when_found("email")?;
            assert_eq!(
                scrape.job_count("email", state),
                Some(jobs),
                "{list} {elements:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn global_concurrency_caps_the_demand_and_the_counter_of_adds_counts_attempts() -> Result<()> {
    for version in Version::ALL {
        let redis = Redis::start()?;
        let mut bullmq = BullMq::start(version, &redis)?;
        bullmq.run(
            "await queue('email').setGlobalConcurrency(4);
             for (let i = 0; i < 9; i++) await queue('email').add('job', {}, { jobId: 'id-' + (i % 8) });",
        )?;
        let exporter = Exporter::start(&redis)?;
        let scrape = exporter.scrape_when_found("email")?;
        assert_eq!(
            scrape.of_queue("bullmq_queue_ready_jobs", "email"),
            Some(8.0),
            "{version:?}"
        );
        assert_eq!(
            scrape.of_queue("bullmq_queue_demand_jobs", "email"),
            Some(4.0),
            "{version:?}"
        );
        assert_eq!(
            scrape.of_queue("bullmq_queue_concurrency_limit", "email"),
            Some(4.0)
        );
        assert_eq!(
            scrape.of_queue("bullmq_job_added_total", "email"),
            Some(9.0),
            "{version:?}"
        );
        bullmq.run("await queue('email').removeGlobalConcurrency();")?;
        let scrape = exporter.scrape()?;
        assert_eq!(
            scrape.of_queue("bullmq_queue_concurrency_limit", "email"),
            None,
            "{version:?}"
        );
        assert_eq!(
            scrape.of_queue("bullmq_queue_demand_jobs", "email"),
            Some(8.0),
            "{version:?}"
        );
    }
    Ok(())
}

#[test]
fn names_and_prefixes_of_every_kind_are_served_as_they_are() -> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::V6, &redis)?;
    for (name, prefix, escaped) in [
        ("email", "bull", "email"),
        ("e mail", "bull", "e mail"),
        ("{tag}", "bull", "{tag}"),
        ("meta", "bull", "meta"),
        ("e\"mail\\", "bull", r#"e\"mail\\"#),
        ("line\nbreak", "bull", r"line\nbreak"),
        ("поšta-📬", "bull", "поšta-📬"),
        ("email", "{app}", "email"),
        ("email", "app:prod", "email"),
        ("email", "a*[b]?", "email"),
    ] {
        let (name_js, prefix_js) = (Value::from(name), Value::from(prefix));
        bullmq.run(&format!(
            "await queue({name_js}, {{ prefix: {prefix_js} }}).addBulk([{{ name: 'a', data: {{}} }}, {{ name: 'b', data: {{}} }}]);"
        ))?;
        let flags = [
            "--redis.url",
            &redis.url(),
            "--bullmq.prefix",
            prefix,
            "--discovery.interval",
            "200ms",
        ];
        let exporter = Exporter::start_with(&flags)?;
        let scrape = exporter.scrape_when_found(escaped)?;
        let labels = [("prefix", prefix), ("queue", escaped)];
        assert_eq!(
            scrape.value("bullmq_queue_ready_jobs", &labels),
            Some(2.0),
            "{prefix} {name:?}"
        );
    }
    Ok(())
}

#[test]
fn what_only_looks_like_a_queue_is_none() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?
        .run("await queue('real').upsertJobScheduler('meta', { every: 1000 });")?;
    redis.run(&["HSET", "bull::relay:x:meta", "version", "bullmq:6.7.0"])?;
    redis.run(&["SET", "bull:text:meta", "x"])?;
    redis.run(&["HSET", "bull:job:meta", "name", "a job with the id meta"])?;
    redis.run(&["HSET", "bull:Q:groups:7:meta", "concurrency", "3"])?;
    let scrape = Exporter::start(&redis)?.scrape_when_found("real")?;
    assert_eq!(
        scrape.samples("bullmq_queue_up").count(),
        1,
        "{}",
        scrape.text
    );
    assert_eq!(scrape.value("bullmq_exporter_queues", &[]), Some(1.0));
    Ok(())
}

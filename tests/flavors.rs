//! Which library made a queue, and is each read by its own rules, side by side in one Redis?

use acceptance::{BullMq, Exporter, Redis, Scrape, Version};
use anyhow::Result;

/// What was done with which library, and what must be served of the queue `q`: metric, further labels, value.
type Case = (
    &'static str,
    Version,
    &'static str,
    &'static [(&'static str, &'static str, Option<f64>)],
);

const CASES: &[Case] = &[
    (
        "a queue of Bull with jobs of every kind",
        Version::Bull,
        "await queue('q').add('a', {}); await queue('q').add('b', {}, { priority: 3 });
         await queue('q').add('c', {}, { delay: 60000 }); await queue('q').add('d', {}, { delay: 1 }); await sleep(50);",
        &[
            ("bullmq_queue_info", "flavor=\"bull\",version=\"\"", Some(1.0)),
            // The jobs with a priority stand in the list as well as in an index; they are counted once.
            ("bullmq_job_count", "state=\"waiting\"", Some(2.0)),
            ("bullmq_job_count", "state=\"prioritized\"", Some(0.0)),
            ("bullmq_job_count", "state=\"delayed\"", Some(2.0)),
            ("bullmq_queue_delayed_due_jobs", "", Some(1.0)),
            ("bullmq_queue_ready_jobs", "", Some(3.0)),
            ("bullmq_job_added_total", "", Some(4.0)),
        ],
    ),
    (
        "a paused queue of Bull",
        Version::Bull,
        "await queue('q').add('a', {}); await queue('q').pause(); await queue('q').add('b', {});",
        &[
            ("bullmq_queue_paused", "", Some(1.0)),
            ("bullmq_job_count", "state=\"paused\"", Some(2.0)),
            ("bullmq_queue_ready_jobs", "", Some(0.0)),
        ],
    ),
    (
        "a queue of Bull that was paused and then emptied is not paused any more",
        Version::Bull,
        "await queue('q').add('a', {}); await queue('q').pause(); await queue('q').empty(); await queue('q').add('b', {});",
        &[("bullmq_queue_paused", "", Some(0.0)), ("bullmq_queue_ready_jobs", "", Some(1.0))],
    ),
    (
        "repeatable jobs of Bull are schedulers",
        Version::Bull,
        "await queue('q').add('tick', {}, { repeat: { every: 200 } });
         await queue('q').add('night', {}, { repeat: { cron: '0 3 1 1 *' } }); await sleep(1000);",
        &[
            ("bullmq_queue_schedulers", "", Some(2.0)),
            ("bullmq_queue_schedulers_overdue", "", Some(1.0)),
            ("bullmq_queue_ready_jobs", "", Some(1.0)),
        ],
    ),
    (
        "an idle worker of Bull",
        Version::Bull,
        "await queue('q').add('a', {}); kept.w = await worker('q', async () => {});
         while ((await queue('q').getJobCounts()).completed < 1) await sleep(20); await sleep(300);",
        &[
            ("bullmq_queue_workers", "", Some(1.0)),
            ("bullmq_queue_workers_idle", "", Some(1.0)),
            ("bullmq_job_count", "state=\"completed\"", Some(1.0)),
        ],
    ),
    (
        "markers of BullMQ 4 are no jobs: only a delayed one",
        Version::V4,
        "await queue('q').add('a', {}, { delay: 60000 });",
        &[("bullmq_job_count", "state=\"waiting\"", Some(0.0)), ("bullmq_queue_ready_jobs", "", Some(0.0))],
    ),
    (
        "markers of BullMQ 4 are no jobs: only prioritized ones",
        Version::V4,
        "for (let i = 0; i < 3; i++) await queue('q').add('a', {}, { priority: 1 + i });",
        &[
            ("bullmq_job_count", "state=\"waiting\"", Some(0.0)),
            ("bullmq_job_count", "state=\"prioritized\"", Some(3.0)),
            ("bullmq_queue_ready_jobs", "", Some(3.0)),
            ("bullmq_queue_info", "flavor=\"bullmq\",version=\"4.18.3\"", Some(1.0)),
        ],
    ),
    (
        "markers of BullMQ 4 are no jobs: among jobs, last in first out",
        Version::V4,
        "await queue('q').add('a', {}, { delay: 60000 }); await queue('q').add('b', {}); await queue('q').add('c', {}, { lifo: true });",
        &[("bullmq_job_count", "state=\"waiting\"", Some(2.0)), ("bullmq_queue_ready_jobs", "", Some(2.0))],
    ),
    (
        "a queue that only a worker has touched is a queue of BullMQ without jobs",
        Version::V6,
        "kept.w = await worker('q', async () => {}); await sleep(500);",
        &[
            ("bullmq_queue_info", "flavor=\"bullmq\",version=\"\"", Some(1.0)),
            ("bullmq_queue_ready_jobs", "", Some(0.0)),
            ("bullmq_job_added_total", "", Some(0.0)),
            ("bullmq_queue_workers", "", Some(1.0)),
        ],
    ),
    (
        "a parent of a flow waits for its children, and is no work",
        Version::V6,
        "const flows = new bullmq.FlowProducer({ connection });
         await flows.add({ name: 'p', queueName: 'q', data: {}, children: [{ name: 'c', queueName: 'q', data: {} }] });",
        &[
            ("bullmq_job_count", "state=\"waiting-children\"", Some(1.0)),
            ("bullmq_queue_ready_jobs", "", Some(1.0)),
        ],
    ),
];

fn value(scrape: &Scrape, metric: &str, labels: &str) -> Option<f64> {
    let of_queue = |sample: &str| sample.contains("queue=\"q\"") && sample.contains(labels);
    scrape
        .samples(metric)
        .find_map(|(sample, value)| of_queue(sample).then_some(value))
}

#[test]
fn each_library_is_read_by_its_own_rules() -> Result<()> {
    for (sentence, version, code, expected) in CASES {
        let redis = Redis::start()?;
        let mut library = BullMq::start(*version, &redis)?;
        library.run(code)?;
        let scrape = Exporter::start(&redis)?.scrape_when_found("q")?;
        for (metric, labels, wanted) in *expected {
            let served = value(&scrape, metric, labels);
            assert_eq!(
                served, *wanted,
                "{sentence}: {metric} {labels}\n{}",
                scrape.text
            );
        }
    }
    Ok(())
}

#[test]
fn bull_and_bullmq_stand_side_by_side_in_one_redis() -> Result<()> {
    let redis = Redis::start()?;
    for version in Version::EVERY {
        let name = format!("of-{version:?}");
        BullMq::start(version, &redis)?.run(&format!("await queue('{name}').add('a', {{}});"))?;
    }
    let exporter = Exporter::start(&redis)?;
    let scrape = exporter.scrape_when_found("of-V6")?;
    for version in Version::EVERY {
        let name = format!("of-{version:?}");
        let flavor = if version == Version::Bull {
            "bull"
        } else {
            "bullmq"
        };
        let labels = [("queue", name.as_str()), ("flavor", flavor)];
        assert_eq!(
            scrape.value("bullmq_queue_info", &labels),
            Some(1.0),
            "{version:?}"
        );
        assert_eq!(
            scrape.of_queue("bullmq_queue_ready_jobs", &name),
            Some(1.0),
            "{version:?}"
        );
    }
    Ok(())
}

#[test]
fn the_keys_of_a_queue_are_never_taken_for_another_queue() -> Result<()> {
    let redis = Redis::start()?;
    for version in [Version::V5, Version::V6] {
        BullMq::start(version, &redis)?.run(&format!(
            "const q = queue('of-{version:?}');
             await q.add('a', {{}}, {{ deduplication: {{ id: 'id' }} }}); await q.add('a', {{}}, {{ deduplication: {{ id: 'meta' }} }});
             await q.upsertJobScheduler('meta', {{ every: 100000 }}); await q.upsertJobScheduler('id', {{ every: 100000 }});
             await q.add('a', {{}}, {{ jobId: 'id' }}).catch(() => {{}}); await q.add('a', {{}}, {{ jobId: 'meta-data' }});"
        ))?;
    }
    BullMq::start(Version::Bull, &redis)?.run(
        "await queue('of-Bull').add('a', {}, { debounce: { id: 'id', ttl: 100000 } });
         await queue('of-Bull').add('a', {}, { jobId: 'x:id' });
         await queue('of-Bull').add('meta', {}, { repeat: { every: 100000 } });",
    )?;
    redis.run(&["SET", "bull:not-a-number:id", "x"])?;
    redis.run(&["RPUSH", "bull:a-list:id", "1"])?;
    redis.run(&["SET", "bull::id", "1"])?;
    let scrape = Exporter::start(&redis)?.scrape_when_found("of-V6")?;
    let queues: Vec<&str> = scrape
        .samples("bullmq_queue_up")
        .map(|(labels, _)| labels)
        .collect();
    assert_eq!(queues.len(), 3, "{queues:?}");
    Ok(())
}

#[test]
fn names_with_colons_are_kept_whole_where_the_library_allows_them() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V4, &redis)?.run("await queue('four:with:colon').add('a', {});")?;
    BullMq::start(Version::Bull, &redis)?.run(
        "await queue('bull:with:colon').add('a', {}); await queue('shop').add('a', {}); await queue('shop:email').add('a', {});",
    )?;
    let exporter = Exporter::start(&redis)?;
    let scrape = exporter.scrape_when_found("shop:email")?;
    for name in ["four:with:colon", "bull:with:colon", "shop", "shop:email"] {
        assert_eq!(
            scrape.of_queue("bullmq_queue_ready_jobs", name),
            Some(1.0),
            "{name}"
        );
    }
    assert_eq!(
        scrape.samples("bullmq_queue_up").count(),
        4,
        "{}",
        scrape.text
    );
    Ok(())
}

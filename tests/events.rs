//! With `--collect.events`: does the exporter count and time what the library did, lose nothing in silence, and stay within its bounds?

use std::collections::BTreeMap;
use std::thread::sleep;
use std::time::Duration;

use acceptance::{BullMq, Exporter, Redis, Scrape, Version, wait_until};
use anyhow::{Context as _, Result, ensure};
use bullmq_vocabulary::JobEvent;
use serde_json::{Value, json};

/// How long what happened may take to be served: the longest pause between two readings is two seconds.
const SOON: Duration = Duration::from_secs(15);

fn exporter(redis: &Redis, more: &[&str]) -> Result<Exporter> {
    let url = redis.url();
    let flags = [
        "--redis.url",
        &url,
        "--discovery.interval",
        "200ms",
        "--collect.events",
    ];
    Exporter::start_with(&[&flags, more].concat())
}

fn event(scrape: &Scrape, queue: &str, event: &str) -> Option<f64> {
    scrape.value(
        "bullmq_job_events_total",
        &[("queue", queue), ("event", event)],
    )
}

/// All events of a queue that were counted.
fn all_events(scrape: &Scrape, queue: &str) -> Option<f64> {
    let events = JobEvent::ALL.map(|name| event(scrape, queue, name.as_str()));
    events.into_iter().sum()
}

fn missed(scrape: &Scrape) -> Option<f64> {
    scrape.value("bullmq_exporter_events_missed_total", &[])
}

/// How many measurements a histogram has, and their sum in seconds.
fn measured(scrape: &Scrape, metric: &str, queue: &str) -> (Option<f64>, f64) {
    let part = |part| scrape.of_queue(&format!("bullmq_job_{metric}_seconds_{part}"), queue);
    (part("count"), part("sum").unwrap_or(f64::NAN))
}

/// Waits until the events of the queue are served.
fn until_followed(exporter: &Exporter, queue: &str) -> Result<Scrape> {
    wait_until("the queue's events are served", SOON, || {
        let scrape = exporter.scrape()?;
        Ok(event(&scrape, queue, "added").is_some().then_some(scrape))
    })
}

/// Waits until so many events of the queue were counted.
fn until_counted(exporter: &Exporter, queue: &str, events: f64) -> Result<Scrape> {
    let mut last = None;
    let waited = wait_until("the queue's events are counted", SOON, || {
        let scrape = exporter.scrape()?;
        last = all_events(&scrape, queue);
        Ok((last == Some(events)).then_some(scrape))
    });
    waited.with_context(|| format!("{queue}: {events} events expected, {last:?} counted"))
}

/// How many events the queue's stream holds.
fn length(redis: &Redis, queue: &str) -> Result<f64> {
    Ok(redis
        .run(&["XLEN", &format!("bull:{queue}:events")])?
        .parse()?)
}

/// What is counted for a gap of this size: Redis before 7 does not keep the number.
fn gap(redis: &Redis, size: f64) -> Result<f64> {
    let info = redis.run(&["INFO", "server"])?;
    let version = info
        .lines()
        .find_map(|line| line.strip_prefix("redis_version:"));
    let major = version.and_then(|version| version.split('.').next()?.parse::<u32>().ok());
    Ok(if major.context("no version")? < 7 {
        1.0
    } else {
        size
    })
}

/// A queue `q`, ready to be used.
fn library(version: Version, redis: &Redis) -> Result<BullMq> {
    let mut library = BullMq::start(version, redis)?;
    library.run("await queue('q').waitUntilReady();")?;
    Ok(library)
}

/// What is done with a queue, its name being in `name`; the counts of events that it makes; how many jobs are seen to wait and for how long
/// in milliseconds at least, and the same of processing.
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, u32)],
    (u32, u32),
    (u32, u32),
);

/// A worker whose jobs run as long as their data says; some fail, always or at first.
const TOOLS: &str = "
    const q = queue(name);
    const tried = new Set();
    kept.ran[name] = 0;
    const ran = (job) => { if (job.finishedOn) kept.ran[name] += job.finishedOn - job.processedOn; };
    const work = async (options) => kept.workers.push(await worker(name, async (job) => {
      await sleep(job.data.for ?? 0);
      const first = !tried.has(job.id);
      tried.add(job.id);
      if (job.name === 'slow-at-first' && first) await sleep(1500);
      if (job.name === 'bad' || (job.name === 'again' && first)) throw new Error('no');
      return 'x'.repeat(1000);
    }, options).then((w) => w.on('completed', ran).on('failed', ran)));
    const until = async (...wanted) => {
      for (;;) {
        const counts = await q.getJobCounts();
        if (wanted.every(([state, number]) => counts[state] === number)) return;
        await sleep(10);
      }
    };";

const CASES: &[Case] = &[
    (
        "jobs that run one after another, whatever is kept of them",
        "for (let i = 0; i < 3; i++) await q.add('a', { for: 300 }, { removeOnComplete: true });
         await work(); await until(['active', 0], ['waiting', 0]);",
        &[("added", 3), ("waiting", 3), ("active", 3), ("completed", 3), ("failed", 0), ("drained", 1)],
        (3, 900),
        (3, 900),
    ),
    (
        "jobs that fail, for good or not",
        "await q.add('bad', {}); await q.add('again', { for: 100 }, { attempts: 2 }); await q.add('again', {}, { attempts: 2, backoff: 100 });
         await work(); await until(['completed', 2], ['failed', 1]);",
        &[("active", 5), ("completed", 2), ("failed", 1), ("retries-exhausted", 1), ("delayed", 1), ("waiting", 5)],
        (5, 0),
        (3, 100),
    ),
    (
        "a job that was overdue for want of a worker has waited since it was due",
        "await q.add('a', {}, { delay: 200 }); await sleep(1000); await work(); await until(['completed', 1]);",
        &[("delayed", 1), ("waiting", 1), ("active", 1), ("completed", 1)],
        (1, 700),
        (1, 0),
    ),
    (
        "a delayed job that is promoted by hand has waited since then",
        "const job = await q.add('a', {}, { delay: 100000 }); await job.promote(); await work(); await until(['completed', 1]);",
        &[("delayed", 1), ("waiting", 1), ("active", 1)],
        (1, 0),
        (1, 0),
    ),
    (
        "a job retried by hand waits and runs twice",
        "const job = await q.add('again', {}); await work(); await until(['failed', 1]);
         await (await q.getJob(job.id)).retry(); await until(['completed', 1]);",
        &[("waiting", 2), ("active", 2), ("failed", 1), ("completed", 1)],
        (2, 0),
        (2, 0),
    ),
    (
        "a flow: the parent waits for its children, and then its turn",
        "const flows = new bullmq.FlowProducer({ connection });
         await flows.add({ name: 'p', queueName: name, data: {}, children: [{ name: 'c', queueName: name, data: { for: 200 } }] });
         await work(); await until(['completed', 2]);",
        &[("added", 2), ("waiting-children", 1), ("waiting", 2), ("active", 2), ("completed", 2)],
        (2, 0),
        (2, 200),
    ),
    (
        "a pause is waiting",
        "await q.pause(); await q.add('a', {}); await sleep(600); await q.resume(); await work(); await until(['completed', 1]);",
        &[("paused", 1), ("resumed", 1), ("active", 1), ("completed", 1)],
        (1, 600),
        (1, 0),
    ),
    (
        "prioritized jobs, removed jobs, progress, events of an application",
        "await q.add('a', {}, { priority: 3 }); await work(); await until(['completed', 1]);
         const job = await q.add('a', {}, { delay: 100000 }); await job.updateProgress(5); await job.remove();
         await shared.xadd(q.toKey('events'), '*', 'event', 'paid', 'jobId', '1');",
        &[("active", 1), ("removed", 1), ("progress", 1), ("other", 1)],
        (1, 0),
        (1, 0),
    ),
    (
        "a job of a worker that lost its lock stalls and runs again",
        "await q.add('slow-at-first', {}); await work({ lockDuration: 200, stalledInterval: 200, skipLockRenewal: true, lockRenewTime: 100000, maxStalledCount: 5, concurrency: 2 });
         await until(['completed', 1]);",
        &[("stalled", 1), ("waiting", 2), ("active", 2), ("completed", 1)],
        (2, 0),
        (1, 0),
    ),
];

#[test]
fn what_the_library_did_is_counted_and_timed() -> Result<()> {
    for version in [Version::V4, Version::V5, Version::V6] {
        let redis = Redis::start()?;
        let mut bullmq = BullMq::start(version, &redis)?;
        let names: Vec<String> = (0..CASES.len())
            .map(|case| format!("case-{case}"))
            .collect();
        bullmq.run(&format!(
            "kept.workers = []; kept.ran = {{}}; for (const name of {}) await queue(name).waitUntilReady();",
            json!(names)
        ))?;
        let exporter = exporter(&redis, &[])?;
        for name in &names {
            until_followed(&exporter, name)?;
        }
        let cases = names.iter().zip(CASES).map(|(name, (_, code, ..))| {
            format!("(async () => {{ const name = '{name}'; {TOOLS} {code} }})()")
        });
        let cases: Vec<String> = cases.collect();
        let ran = bullmq.run(&format!(
            "await Promise.all([{}]); await Promise.all(kept.workers.map((w) => w.close())); return kept.ran;",
            cases.join(", ")
        ))?;
        for (name, (sentence, _, counts, wait, processing)) in names.iter().zip(CASES) {
            let context = format!("{version:?}: {sentence}");
            let added = length(&redis, name)?;
            let scrape = until_counted(&exporter, name, added).context(context.clone())?;
            for (of, count) in *counts {
                let counted = event(&scrape, name, of);
                assert_eq!(counted, Some(f64::from(*count)), "{context}: {of}");
            }
            for (metric, (count, millis)) in [("wait", wait), ("processing", processing)] {
                let (jobs, seconds) = measured(&scrape, metric, name);
                assert_eq!(jobs, Some(f64::from(*count)), "{context}: {metric}");
                let least = f64::from(*millis) / 1000.0;
                assert!(seconds >= least, "{context}: {metric} of {seconds} s");
            }
            // By the library's own clock, that of the worker, which is read a little earlier than that of Redis.
            let (_, seconds) = measured(&scrape, "processing", name);
            let ran = ran.get(name).and_then(Value::as_f64).context("how long")? / 1000.0;
            let tolerance = 0.2 * f64::from(processing.0);
            assert!(
                (seconds - ran).abs() < tolerance,
                "{context}: {seconds} s, the library says {ran} s"
            );
            assert_eq!(missed(&scrape), Some(0.0), "{context}");
        }
    }
    Ok(())
}

#[test]
fn workers_in_python_are_counted_and_timed_alike() -> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::Python, &redis)?;
    bullmq.run("await queue('q').add('first', {})")?;
    let exporter = exporter(&redis, &[])?;
    until_followed(&exporter, "q")?;
    bullmq.run(
        "async def work(job, token):
    await sleep(200)
    if job.name == 'bad':
        raise Exception('no')
    return 'x'
await queue('q').add('a', {})
await queue('q').add('bad', {})
w = await worker('q', work)
while True:
    counts = await queue('q').getJobCounts('completed', 'failed')
    if (counts['completed'], counts['failed']) == (2, 1):
        break
    await sleep(20)
await w.close()",
    )?;
    let scrape = wait_until("the last job is counted", SOON, || {
        let scrape = exporter.scrape()?;
        Ok((event(&scrape, "q", "failed") == Some(1.0)).then_some(scrape))
    })?;
    assert_eq!(event(&scrape, "q", "completed"), Some(2.0));
    // The first one was added before the exporter saw the queue.
    assert_eq!(event(&scrape, "q", "added"), Some(2.0));
    assert_eq!(measured(&scrape, "wait", "q").0, Some(2.0));
    let (jobs, seconds) = measured(&scrape, "processing", "q");
    assert_eq!(jobs, Some(3.0));
    assert!((0.6..1.6).contains(&seconds), "{seconds} s");
    Ok(())
}

#[test]
fn what_was_trimmed_before_it_was_read_is_counted_as_missed_and_measured_as_nothing() -> Result<()>
{
    for version in Version::ALL {
        let redis = Redis::start()?;
        let mut bullmq = library(version, &redis)?;
        let mut exporter = exporter(&redis, &[])?;
        until_followed(&exporter, "q")?;
        bullmq.run("await queue('q').addBulk(Array.from({ length: 50 }, () => ({ name: 'a', data: {} })));")?;
        until_counted(&exporter, "q", 100.0)?;
        exporter.process().signal("STOP")?;
        // In the part that is trimmed away the jobs fail and become waiting again: since when they wait then is not to be seen. Of ten more,
        // which are added after that, it is.
        let lost = bullmq.run(
            "const w = await worker('q', async () => { throw new Error('no'); });
             while ((await queue('q').getJobCounts()).failed < 50) await sleep(10);
             await w.close();
             for (const job of await queue('q').getFailed()) await job.retry();
             const lost = await shared.xtrim(queue('q').toKey('events'), 'MAXLEN', 0) - 100;
             await queue('q').addBulk(Array.from({ length: 10 }, () => ({ name: 'b', data: {} })));
             return lost;",
        )?;
        let lost = lost.as_f64().context("a number")?;
        ensure!(lost >= 100.0, "{lost} entries were trimmed");
        exporter.process().signal("CONT")?;
        let expected = Some(gap(&redis, lost)?);
        let scrape = wait_until("the gap is counted", SOON, || {
            let scrape = exporter.scrape()?;
            Ok((missed(&scrape) == expected).then_some(scrape))
        })
        .with_context(|| format!("{version:?}: {lost} missed"))?;
        assert_eq!(all_events(&scrape, "q"), Some(120.0), "{version:?}");
        for metric in ["wait", "processing"] {
            assert_eq!(measured(&scrape, metric, "q").0, Some(0.0), "{version:?}");
        }
        // And on it goes.
        bullmq.run(
            "kept.w = await worker('q', async () => {});
             while ((await queue('q').getJobCounts()).completed < 60) await sleep(10);",
        )?;
        let scrape = until_counted(&exporter, "q", 100.0 + length(&redis, "q")?)?;
        assert_eq!(measured(&scrape, "wait", "q").0, Some(10.0), "{version:?}");
        assert_eq!(
            measured(&scrape, "processing", "q").0,
            Some(60.0),
            "{version:?}"
        );
        assert_eq!(missed(&scrape), expected, "{version:?}");
        let log = exporter.process().log();
        assert_eq!(log.matches("events were trimmed").count(), 1, "{log}");
    }
    Ok(())
}

#[test]
fn a_stream_that_is_deleted_and_made_anew_is_read_on_whatever_its_ids() -> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = library(Version::V6, &redis)?;
    // By its name, so that it stays one queue where a look for queues comes between its end and its beginning.
    let exporter = exporter(&redis, &["--bullmq.queue", "q"])?;
    until_followed(&exporter, "q")?;
    bullmq.run("await queue('q').add('a', {}); await queue('q').add('a', {});")?;
    until_counted(&exporter, "q", 4.0)?;
    bullmq.run("await queue('q').obliterate({ force: true }); await queue('q').add('a', {});")?;
    until_counted(&exporter, "q", 6.0)?;
    // What the old stream held is not known; before Redis 7 it looks like any gap.
    let unknown = if gap(&redis, 2.0)? < 2.0 { 1.0 } else { 0.0 };
    wait_until("the gap is counted or not", SOON, || {
        sleep(Duration::from_millis(500));
        Ok((missed(&exporter.scrape()?) == Some(unknown)).then_some(()))
    })?;

    // An id of the next hour, as after a clock that was set back.
    let future = redis.time_millis()? + 3_600_000;
    redis.run(&[
        "XADD",
        "bull:q:events",
        &format!("{future}-0"),
        "event",
        "paused",
    ])?;
    until_counted(&exporter, "q", 7.0)?;
    redis.run(&["DEL", "bull:q:events"])?;
    // With or without the new stream's first event: when the exporter sees that there is another stream is a matter of its pauses.
    sleep(Duration::from_secs(3));
    bullmq.run("await queue('q').add('a', {});")?;
    let scrape = until_counted(&exporter, "q", 9.0)?;
    assert_eq!(missed(&scrape), Some(unknown));
    Ok(())
}

#[test]
fn a_queue_that_is_obliterated_takes_its_series_with_it() -> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = library(Version::V6, &redis)?;
    let exporter = exporter(&redis, &[])?;
    until_followed(&exporter, "q")?;
    bullmq.run("await queue('q').obliterate({ force: true });")?;
    let scrape = exporter.scrape()?;
    assert!(!scrape.mentions_queue("q"), "{}", scrape.text);
    Ok(())
}

#[test]
fn nothing_is_served_while_redis_does_not_answer_and_it_recovers_by_itself() -> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = library(Version::V6, &redis)?;
    let exporter = exporter(&redis, &["--scrape.timeout", "500ms"])?;
    until_followed(&exporter, "q")?;
    bullmq.run("await queue('q').add('a', {});")?;
    until_counted(&exporter, "q", 2.0)?;
    redis.hang()?;
    let scrape = exporter.scrape()?;
    assert_eq!(scrape.value("bullmq_up", &[]), Some(0.0));
    for family in ["bullmq_job_events_total", "bullmq_job_wait_seconds_count"] {
        assert_eq!(scrape.samples(family).count(), 0, "{family}");
    }
    redis.go_on()?;
    bullmq.run("await queue('q').add('a', {});")?;
    // What was counted before is not forgotten, and what happened since is counted.
    until_counted(&exporter, "q", 4.0)?;
    Ok(())
}

#[test]
fn events_cost_nothing_and_are_absent_unless_they_are_asked_for() -> Result<()> {
    let redis = Redis::start()?;
    library(Version::V6, &redis)?.run("await queue('q').add('a', {});")?;
    redis.run(&["CONFIG", "RESETSTAT"])?;
    let exporter = Exporter::start(&redis)?;
    let scrape = exporter.scrape_when_found("q")?;
    sleep(Duration::from_millis(2500));
    for family in [
        "bullmq_job_events_total",
        "bullmq_job_wait_seconds_count",
        "bullmq_job_processing_seconds_count",
        "bullmq_exporter_events_missed_total",
    ] {
        assert_eq!(scrape.samples(family).count(), 0, "{family}");
    }
    let sent = redis.command_calls()?;
    let of_streams: Vec<_> = sent
        .iter()
        .filter(|(name, _)| name.starts_with('x'))
        .collect();
    assert!(of_streams.is_empty(), "{of_streams:?}");
    Ok(())
}

#[test]
fn three_hundred_idle_queues_cost_three_commands_a_pass() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?
        .run("for (let i = 0; i < 300; i++) await queue(`q${i}`).add('a', {});")?;
    let exporter = exporter(&redis, &[])?;
    for queue in ["q0", "q99", "q299"] {
        until_followed(&exporter, queue)?;
    }
    redis.run(&["CONFIG", "RESETSTAT"])?;
    sleep(Duration::from_secs(5));
    let calls: BTreeMap<_, _> = redis.command_calls()?.into_iter().collect();
    // Two seconds between two passes, and so two or three of them.
    let reads = calls.get("xread").copied().unwrap_or(0);
    assert!([6, 9].contains(&reads), "{calls:?}");
    assert_eq!(calls.get("xrange"), None, "nothing was new");
    // Each is compared once a minute, and they take turns.
    let compared = calls.get("xinfo|stream").copied().unwrap_or(0);
    assert!((5..=60).contains(&compared), "{calls:?}");
    Ok(())
}

#[test]
fn a_stream_that_cannot_be_read_costs_the_events_of_its_own_queue_only() -> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = library(Version::V6, &redis)?;
    bullmq.run("await queue('other').waitUntilReady();")?;
    redis.run(&["SET", "bull:q:events", "no stream"])?;
    let mut exporter = exporter(&redis, &[])?;
    until_followed(&exporter, "other")?;
    bullmq.run("await queue('other').add('a', {});")?;
    let scrape = until_counted(&exporter, "other", 2.0)?;
    assert_eq!(scrape.of_queue("bullmq_queue_up", "q"), Some(1.0));
    assert_eq!(event(&scrape, "q", "added"), None);
    let wrong = [("cause", "wrong_type")];
    assert_eq!(
        scrape.value("bullmq_exporter_errors_total", &wrong),
        Some(1.0)
    );
    let log = exporter.process().log();
    assert_eq!(
        log.matches("the events of a queue cannot be read").count(),
        1,
        "{log}"
    );

    // One that breaks while it is followed takes none of the others with it.
    redis.run(&["DEL", "bull:other:events"])?;
    redis.run(&["SET", "bull:other:events", "no stream"])?;
    wait_until("the broken stream is seen", SOON, || {
        Ok(event(&exporter.scrape()?, "other", "added")
            .is_none()
            .then_some(()))
    })?;
    assert_eq!(
        exporter.scrape()?.of_queue("bullmq_queue_up", "other"),
        Some(1.0)
    );
    Ok(())
}

#[test]
fn where_a_command_is_denied_events_are_absent_and_nothing_else() -> Result<()> {
    for denied in ["xread", "xrange", "xinfo"] {
        let redis = Redis::start()?;
        let mut bullmq = library(Version::V6, &redis)?;
        let output = Exporter::run(&["--print-acl", "--collect.events"])?;
        let command = String::from_utf8(output.stdout)?.replace("CHANGE-THIS-PASSWORD", "word");
        redis.run(&command.split_whitespace().collect::<Vec<_>>())?;
        redis.run(&["ACL", "SETUSER", "bullmq-exporter", &format!("-{denied}")])?;
        let url = format!("redis://bullmq-exporter:word@127.0.0.1:{}", redis.port());
        let mut exporter = Exporter::start_with(&[
            "--redis.url",
            &url,
            "--collect.events",
            "--discovery.interval",
            "200ms",
        ])?;
        exporter.scrape_when_found("q")?;
        // XRANGE is sent when there is something new.
        bullmq.run(
            "await queue('q').add('a', {}); await sleep(2500); await queue('q').add('a', {});",
        )?;
        let scrape = wait_until("events are absent", SOON, || {
            let scrape = exporter.scrape()?;
            Ok(event(&scrape, "q", "added").is_none().then_some(scrape))
        })?;
        assert_eq!(scrape.of_queue("bullmq_queue_ready_jobs", "q"), Some(2.0));
        let log = exporter.process().log();
        assert_eq!(
            log.matches("a command is denied").count(),
            1,
            "{denied}: {log}"
        );
    }
    Ok(())
}

#[test]
fn a_queue_of_bull_has_no_events_and_is_served_all_the_same() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::Bull, &redis)?.run("await queue('q').add('a', {});")?;
    BullMq::start(Version::V6, &redis)?.run("await queue('other').add('a', {});")?;
    let exporter = exporter(&redis, &[])?;
    let scrape = until_followed(&exporter, "other")?;
    assert_eq!(scrape.of_queue("bullmq_queue_ready_jobs", "q"), Some(1.0));
    assert_eq!(event(&scrape, "q", "added"), None);
    assert_eq!(scrape.of_queue("bullmq_job_wait_seconds_count", "q"), None);
    Ok(())
}

#[test]
fn names_of_every_kind_are_followed() -> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::V6, &redis)?;
    let names = [
        "a \"b\" \\c",
        "two\nlines",
        "schlüssel 鍵",
        "{tag}",
        "*[a]?",
        " ",
    ];
    for name in names {
        bullmq.run(&format!("await queue({}).waitUntilReady();", json!(name)))?;
    }
    let exporter = exporter(&redis, &[])?;
    let escaped = |name: &str| {
        name.replace('\\', "\\\\")
            .replace('"', "\\\"")
            .replace('\n', "\\n")
    };
    for name in names {
        until_followed(&exporter, &escaped(name))?;
        bullmq.run(&format!("await queue({}).add('a', {{}});", json!(name)))?;
        until_counted(&exporter, &escaped(name), 2.0)?;
    }
    Ok(())
}

/// The most memory that the exporter has ever had, in megabytes.
fn peak_megabytes(exporter: &mut Exporter) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", exporter.process().id()))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.context("VmHWM")?.trim().trim_end_matches(" kB");
    Ok(kilobytes.parse::<f64>()? / 1024.0)
}

#[test]
fn memory_stays_within_bounds_with_long_backlogs_and_with_large_return_values() -> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = library(Version::V6, &redis)?;
    bullmq.run("await queue('large').waitUntilReady();")?;
    let mut exporter = exporter(&redis, &[])?;
    until_followed(&exporter, "q")?;
    until_followed(&exporter, "large")?;
    let before = peak_megabytes(&mut exporter)?;
    // Ids of 200 bytes, four times as many as are remembered. The stream is long enough to be read whole.
    bullmq.run(
        "await shared.hset(queue('q').toKey('meta'), 'opts.maxLenEvents', 1000000);
         for (let i = 0; i < 40; i++) await queue('q').addBulk(Array.from({ length: 1000 }, (_, k) => ({ name: 'a', data: {}, opts: { jobId: `${'x'.repeat(200)}-${i}-${k}` } })));",
    )?;
    until_counted(&exporter, "q", 80_000.0)?;
    // 400 return values of 100 kB: ten times what one reading is meant to transfer.
    bullmq.run(
        "const w = await worker('large', async () => 'x'.repeat(100000), { concurrency: 10, removeOnComplete: { count: 1 } });
         await queue('large').addBulk(Array.from({ length: 400 }, () => ({ name: 'a', data: {} })));
         const drained = new Promise((resolve) => w.on('drained', resolve)); await drained; await w.close();",
    )?;
    let added = length(&redis, "large")?;
    let scrape = until_counted(&exporter, "large", added)?;
    assert_eq!(event(&scrape, "large", "completed"), Some(400.0));
    assert_eq!(missed(&scrape), Some(0.0));
    let grown = peak_megabytes(&mut exporter)? - before;
    assert!(grown < 60.0, "{grown} MB more");
    Ok(())
}

/// Every event that BullMQ writes, by stream and name, as Redis itself sees it.
const WITNESS: &str = "
    kept.written = {};
    kept.deleted = {};
    kept.monitor = await shared.duplicate().monitor();
    kept.monitor.on('monitor', (_, [command, key, ...words]) => {
      if (['del', 'unlink'].includes(command.toLowerCase())) for (const gone of [key, ...words]) kept.deleted[gone] = true;
      if (command.toLowerCase() !== 'xadd') return;
      const event = words[words.indexOf('event') + 1];
      kept.written[key] ??= {};
      kept.written[key][event] = (kept.written[key][event] ?? 0) + 1;
    });";

#[test]
fn after_random_operations_no_event_is_invented_and_none_is_lost_in_silence() -> Result<()> {
    for version in [Version::V4, Version::V5, Version::V6] {
        let redis = Redis::start()?;
        let mut bullmq = BullMq::start(version, &redis)?;
        let names = ["one", "two", "three"];
        for name in names {
            bullmq.run(&format!("await queue('{name}').waitUntilReady();"))?;
        }
        let exporter = exporter(&redis, &[])?;
        for name in names {
            until_followed(&exporter, name)?;
        }
        let seed = redis.time_millis()? % (1 << 32);
        println!("{version:?}: seed {seed}");
        bullmq.run(&format!(
            "{WITNESS} const {{ sequence }} = await load('operations.mjs');
             kept.sequence = sequence({{ bullmq, packageName, connection, shared, queue, worker, sleep }}, {seed}, {});",
            json!(names)
        ))?;
        for _ in 0..8 {
            bullmq.run("await kept.sequence.run(60);")?;
            sleep(Duration::from_millis(300));
        }
        // What is read to the end has no gap that is not counted yet.
        bullmq.run("for (const name of ['one', 'two', 'three']) await queue(name).add('last', {}, { jobId: 'last-of-all' });")?;
        sleep(Duration::from_secs(5));
        let scrape = exporter.scrape()?;
        let written = bullmq.run("await sleep(200); return kept.written;")?;
        let deleted = bullmq.run("return kept.deleted;")?;
        let mut counted = 0.0;
        let mut in_all = 0.0;
        // Of the streams that were never deleted: with the queue goes what was counted of it.
        let mut counted_of_kept = 0.0;
        let mut written_to_kept = 0.0;
        for name in names {
            let is_kept = deleted.get(format!("bull:{name}:events")).is_none();
            let of_queue = written.get(format!("bull:{name}:events")).cloned();
            for of in JobEvent::ALL {
                let written = of_queue.as_ref().and_then(|it| it.get(of.as_str()));
                let written = written.and_then(Value::as_f64).unwrap_or(0.0);
                let served = event(&scrape, name, of.as_str()).unwrap_or(0.0);
                assert!(
                    served <= written,
                    "{version:?}, {seed}: {name} {of}: {served} > {written}"
                );
                counted += served;
                in_all += written;
                if is_kept {
                    counted_of_kept += served;
                    written_to_kept += written;
                }
            }
        }
        let missed = missed(&scrape).context("missed")?;
        assert!(
            counted + missed <= in_all,
            "{version:?}, {seed}: {counted} and {missed} of {in_all}"
        );
        assert!(
            counted_of_kept + missed >= written_to_kept,
            "{version:?}, {seed}: {counted_of_kept} and {missed} of {written_to_kept}"
        );
    }
    Ok(())
}

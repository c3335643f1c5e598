//! Does a group of metrics that is switched off take away its own series and commands, and nothing else?

use std::collections::BTreeSet;

use acceptance::{BullMq, Exporter, FrozenClock, Redis, Scrape, Version};
use anyhow::{Context as _, Result, ensure};

/// A flag, the metrics that it takes away, and commands that nothing else sends.
type Row = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
);

const ROWS: [Row; 7] = [
    (
        "--collect.workers=false",
        &["bullmq_queue_workers", "bullmq_queue_workers_idle"],
        // Redis 6 does not tell CLIENT LIST from what else CLIENT does; tests/workers.rs looks for it.
        &[],
    ),
    (
        "--collect.ahead=false",
        &["bullmq_queue_demand_ahead_jobs"],
        &[],
    ),
    (
        "--collect.ages=false",
        &[
            "bullmq_queue_longest_active_seconds",
            "bullmq_queue_oldest_ready_age_seconds",
            "bullmq_queue_orphaned",
        ],
        &["zrangebyscore"],
    ),
    (
        "--collect.limits=false",
        &[
            "bullmq_queue_rate_limit_reset_seconds",
            "bullmq_queue_rate_limited",
        ],
        &["pttl"],
    ),
    (
        "--collect.schedulers=false",
        &["bullmq_queue_schedulers", "bullmq_queue_schedulers_overdue"],
        &[],
    ),
    (
        "--collect.counters=false",
        &[
            "bullmq_job_added_total",
            "bullmq_job_completed_total",
            "bullmq_job_failed_total",
        ],
        &[],
    ),
    ("--collect.groups=false", &["bullmq_queue_groups"], &[]),
];

/// A queue with something for every metric, with workers that count, and an idle one.
const MADE: &str = "
    const q = queue('busy');
    const add = (count, opts) => q.addBulk(Array.from({ length: count }, () => ({ name: 'job', data: {}, opts })));
    const w = new bullmq.Worker('busy', null, { connection, autorun: false, lockDuration: 36e5, metrics: { maxDataPoints: 60 } });
    await w.waitUntilReady();
    await add(3, {});
    await (await w.getNextJob('token')).moveToCompleted('done', 'token', false);
    await (await w.getNextJob('token')).moveToFailed(new Error('no'), 'token', false);
    await w.getNextJob('token');
    await q.upsertJobScheduler('hourly', { every: 36e5 });
    await add(12, {});
    for (let priority = 1; priority <= 9; priority++) await add(2, { priority });
    await add(12, { delay: 1 }); await add(12, { delay: 36e5 }); await sleep(20);
    await q.setGlobalRateLimit(1, 36e5);
    await w.getNextJob('token');
    await queue('idle').add('job', {}); await (await queue('idle').getJobs()).at(0).remove();";

/// Makes the queues.
fn make(redis: &Redis) -> Result<()> {
    BullMq::start(Version::V6, redis)?.run(MADE)?;
    // As BullMQ Pro keeps a group that is paused, which changes no other number.
    redis.run(&["ZADD", "bull:busy:groups:paused", "1", "a"])?;
    Ok(())
}

/// The series about queues, with their values; of those that pass by Redis' real clock the name alone.
fn of_queues(scrape: &Scrape) -> BTreeSet<String> {
    let lines = scrape.text.lines();
    lines
        .filter(|line| line.contains("queue=\""))
        .map(|line| {
            let (series, value) = line.split_once(' ').unwrap_or((line, ""));
            if series.starts_with("bullmq_queue_rate_limit_reset") {
                series.to_owned()
            } else {
                format!("{series} {value}")
            }
        })
        .collect()
}

fn name(line: &str) -> &str {
    line.split('{').next().unwrap_or_default()
}

/// What is served at the third scrape, and the commands that it took.
fn third(redis: &Redis, url: &str, flags: &[&str]) -> Result<(BTreeSet<String>, BTreeSet<String>)> {
    let flags = [&["--redis.url", url, "--discovery.interval", "1h"], flags].concat();
    let exporter = Exporter::start_with(&flags)?;
    exporter.scrape_when_found("busy")?;
    exporter.scrape()?;
    redis.run(&["CONFIG", "RESETSTAT"])?;
    let scrape = exporter.scrape()?;
    let commands = redis.command_calls()?.into_iter().map(|(name, _)| name);
    Ok((of_queues(&scrape), commands.collect()))
}

#[test]
fn what_is_switched_off_is_absent_and_costs_nothing_and_all_else_stays() -> Result<()> {
    let redis = Redis::start()?;
    make(&redis)?;
    let clock = FrozenClock::start(&redis, redis.time_millis()?)?;
    let (all, all_commands) = third(&redis, &clock.url(), &[])?;
    let mut every_metric = BTreeSet::new();
    for (flag, metrics, commands) in ROWS {
        for metric in metrics {
            let served = all.iter().any(|line| name(line) == *metric);
            ensure!(served, "{metric} is not served without {flag} either");
        }
        for command in commands {
            ensure!(all_commands.contains(*command), "{command} is never sent");
        }
        let (served, sent) = third(&redis, &clock.url(), &[flag])?;
        let gone: BTreeSet<_> = all.difference(&served).map(|line| name(line)).collect();
        assert_eq!(gone, metrics.iter().copied().collect(), "{flag}");
        assert_eq!(served.difference(&all).next(), None, "{flag}");
        for command in commands {
            assert!(!sent.contains(*command), "{flag}: {command}");
        }
        every_metric.extend(metrics);
    }

    let flags = ROWS.map(|(flag, _, _)| flag);
    let (least, _) = third(&redis, &clock.url(), &flags)?;
    let gone: BTreeSet<_> = all.difference(&least).map(|line| name(line)).collect();
    assert_eq!(gone, every_metric);
    Ok(())
}

#[test]
fn the_user_that_is_printed_for_what_is_left_sees_all_of_it() -> Result<()> {
    let redis = Redis::start()?;
    make(&redis)?;
    let all = ROWS.map(|(flag, _, _)| flag);
    for flags in ROWS
        .iter()
        .map(|(flag, _, _)| vec![*flag])
        .chain([all.to_vec()])
    {
        let printed = Exporter::run(&[flags.as_slice(), &["--print-acl"]].concat())?;
        let printed = String::from_utf8(printed.stdout)?;
        let rules = printed.strip_prefix("ACL SETUSER bullmq-exporter ");
        let rules = rules.context("the command of a user")?.trim_end();
        let rules: Vec<_> = ["ACL", "SETUSER", "least"]
            .into_iter()
            .chain(rules.split(' '))
            .collect();
        redis.run(&rules)?;
        let url = format!(
            "redis://least:CHANGE-THIS-PASSWORD@127.0.0.1:{}",
            redis.port()
        );
        let mut exporter =
            Exporter::start_with(&[&["--redis.url", &url], flags.as_slice()].concat())?;
        exporter.scrape_when_found("busy")?;
        let scrape = exporter.scrape()?;
        assert_eq!(
            scrape.of_queue("bullmq_queue_up", "busy"),
            Some(1.0),
            "{flags:?}"
        );
        let log = exporter.process().log();
        assert!(!log.contains("denied"), "{flags:?}: {log}");
        redis.run(&["ACL", "DELUSER", "least"])?;
    }
    Ok(())
}

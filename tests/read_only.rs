//! Does the exporter only read, at a cost that does not depend on how many jobs there are?

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use acceptance::{BullMq, Exporter, Redis, Version, wait_until};
use anyhow::Result;

/// Every command that a scrape may send.
const IN_A_SCRAPE: &[&str] = &[
    "time",
    "multi",
    "exec",
    "llen",
    "zcard",
    "zcount",
    "hmget",
    "lrange",
    "lindex",
    "get",
    "zrange",
    "zrangebyscore",
    "exists",
    "hget",
    "pttl",
    "client|list",
];
/// What connecting and looking for queues may send besides.
const BESIDES: &[&str] = &[
    "scan",
    "client|setinfo",
    "client",
    "hello",
    "select",
    "auth",
];
/// What following events sends besides.
const OF_EVENTS: &[&str] = &["xread", "xrange", "xinfo|stream"];
/// What the tests themselves send to look at Redis.
// INFO is the exporter's as well, three times a scrape.
const OURS: &[&str] = &["info", "ping", "debug", "command|docs", "command"];

/// A queue with jobs in every state but active, `jobs` of each kind.
fn fill(redis: &Redis, version: Version, jobs: usize) -> Result<()> {
    BullMq::start(version, redis)?.run(&format!(
        "const q = queue('email');
         const many = (opts) => Array.from({{ length: {jobs} }}, () => ({{ name: 'a', data: {{}}, opts }}));
         const running = await worker('email', async (job) => {{ if (job.name === 'bad') throw new Error('no'); }});
         await q.addBulk([...many({{}}), {{ name: 'bad', data: {{}} }}]);
         for (let left = 1; left > 0; await sleep(20)) {{
           const {{ completed, failed }} = await q.getJobCounts('completed', 'failed');
           left = {jobs} + 1 - completed - failed;
         }}
         await running.close();
         await q.addBulk([...many({{}}), ...many({{ priority: 1 }}), ...many({{ priority: 9 }}), ...many({{ delay: 1 }}), ...many({{ delay: 20000 }})]);
         await sleep(20);"
    ))?;
    Ok(())
}

/// An exporter with these flags besides the address.
fn start(url: &str, flags: &[&str]) -> Result<Exporter> {
    let first = ["--redis.url", url, "--discovery.interval", "200ms"];
    Exporter::start_with(&[&first, flags].concat())
}

/// The commands that `scrapes` scrapes send, by name.
fn commands_of(
    redis: &Redis,
    exporter: &Exporter,
    scrapes: usize,
) -> Result<BTreeMap<String, u64>> {
    redis.run(&["CONFIG", "RESETSTAT"])?;
    for _ in 0..scrapes {
        exporter.scrape()?;
    }
    let mut calls: BTreeMap<_, _> = redis.command_calls()?.into_iter().collect();
    calls.retain(|name, _| !OURS.contains(&name.as_str()) && !name.starts_with("config"));
    Ok(calls)
}

#[test]
fn a_scrape_sends_the_same_few_reads_for_ten_jobs_and_for_ten_thousand() -> Result<()> {
    for version in Version::ALL {
        let mut of_size = Vec::new();
        for jobs in [10, 10_000] {
            let redis = Redis::start()?;
            fill(&redis, version, jobs)?;
            let exporter =
                Exporter::start_with(&["--redis.url", &redis.url(), "--discovery.interval", "1h"])?;
            exporter.scrape_when_found("email")?;
            let commands = commands_of(&redis, &exporter, 10)?;
            for name in commands.keys() {
                assert!(
                    IN_A_SCRAPE.contains(&name.as_str()),
                    "{version:?}: a scrape sent {name}"
                );
            }
            assert_eq!(
                commands.get("time"),
                Some(&10),
                "the scrapes were seen: {commands:?}"
            );
            of_size.push(commands);
        }
        assert_eq!(of_size.first(), of_size.last(), "{version:?}");
    }
    Ok(())
}

#[test]
fn an_idle_queue_costs_one_round_trip_of_reads() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?.run("await queue('email').waitUntilReady();")?;
    let exporter =
        Exporter::start_with(&["--redis.url", &redis.url(), "--discovery.interval", "1h"])?;
    exporter.scrape_when_found("email")?;
    let commands = commands_of(&redis, &exporter, 1)?;
    let expected = [
        ("client|list", 1),
        ("exec", 1),
        ("exists", 1),
        ("get", 1),
        ("hmget", 1),
        ("multi", 1),
        ("time", 1),
    ];
    let expected: BTreeMap<_, _> = expected
        .into_iter()
        .map(|(name, calls)| (name.to_owned(), calls))
        .collect();
    assert_eq!(commands, expected);
    Ok(())
}

#[test]
fn nothing_is_written_and_nothing_but_reads_is_sent_in_a_whole_life() -> Result<()> {
    for (flags, more) in [(&[][..], &[][..]), (&["--collect.events"], OF_EVENTS)] {
        let redis = Redis::start_with(&["--enable-debug-command", "yes"])?;
        fill(&redis, Version::V6, 100)?;
        let exporter = start(&redis.url(), flags)?;
        exporter.scrape_when_found("email")?;
        // Something for each part of it to read.
        fill(&redis, Version::V6, 10)?;
        // Some commands are sent once a minute only, and may have been; BullMQ sends none of them.
        let mut of_events = redis.command_calls()?;
        redis.run(&["CONFIG", "RESETSTAT"])?;
        let before = redis.run(&["DEBUG", "DIGEST"])?;
        for _ in 0..20 {
            exporter.scrape()?;
        }
        wait_until("events are read", Duration::from_secs(10), || {
            of_events.extend(redis.command_calls()?);
            let read = |name: &&str| of_events.iter().any(|(sent, _)| sent == name);
            Ok(more.iter().all(read).then_some(()))
        })?;
        drop(exporter);
        assert_eq!(redis.run(&["DEBUG", "DIGEST"])?, before);
        for (name, _) in redis.command_calls()? {
            let known = [IN_A_SCRAPE, BESIDES, OURS, more]
                .iter()
                .any(|list| list.contains(&name.as_str()));
            assert!(
                known || name == "config|resetstat",
                "{flags:?}: {name} was sent"
            );
        }
    }
    Ok(())
}

/// The URL of a user made by the command that the exporter prints, and nothing else.
fn least_user(redis: &Redis, flags: &[&str]) -> Result<String> {
    let output = Exporter::run(&[flags, &["--print-acl"]].concat())?;
    let command = String::from_utf8(output.stdout)?.replace("CHANGE-THIS-PASSWORD", "word");
    redis.run(&command.split_whitespace().collect::<Vec<_>>())?;
    Ok(format!(
        "redis://bullmq-exporter:word@127.0.0.1:{}",
        redis.port()
    ))
}

#[test]
fn the_least_user_that_the_exporter_prints_sees_everything_and_can_do_nothing_else() -> Result<()> {
    let redis = Redis::start()?;
    fill(&redis, Version::V6, 20)?;
    BullMq::start(Version::V6, &redis)?.run(
        "await queue('email').upsertJobScheduler('tick', { every: 100000 });
         await queue('email').rateLimit(60000);",
    )?;
    for flags in [&[][..], &["--collect.events"]] {
        let url = least_user(&redis, flags)?;
        let mut exporter = start(&url, flags)?;
        let other = start(&redis.url(), flags)?;
        let scrapes = |exporter: &Exporter| {
            wait_until("everything is served", Duration::from_secs(10), || {
                let scrape = exporter.scrape_when_found("email")?;
                let events = scrape.samples("bullmq_job_events_total").count();
                Ok((flags.is_empty() || events > 0).then_some(scrape))
            })
        };
        let (least, most) = (scrapes(&exporter)?, scrapes(&other)?);
        let series = |text: &str| {
            let samples = text
                .lines()
                .filter(|line| line.starts_with("bullmq_") && !line.contains("_exporter_"));
            let names =
                samples.filter_map(|line| line.rsplit_once(' ').map(|(name, _)| name.to_owned()));
            names.collect::<BTreeSet<_>>()
        };
        assert_eq!(series(&least.text), series(&most.text), "{flags:?}");
        assert!(
            !exporter.process().log().contains("denied"),
            "{flags:?}: {}",
            exporter.process().log()
        );
        let reads_events = [
            &["XLEN", "bull:email:events"][..],
            &["XREAD", "STREAMS", "bull:email:events", "0"],
        ];
        let refused_reads = &reads_events[..if flags.is_empty() { 2 } else { 1 }];
        let refused = [
            &["DEL", "bull:email:wait"][..],
            &["EVAL", "return 1", "0"],
            &["GET", "other:key"],
            &["SET", "bull:x", "1"],
            &["XADD", "bull:email:events", "*", "event", "x"],
            &["XGROUP", "CREATE", "bull:email:events", "group", "0"],
        ];
        for refused in refused.iter().chain(refused_reads) {
            let cli = [
                "--user",
                "bullmq-exporter",
                "--pass",
                "word",
                "--no-auth-warning",
            ];
            let answer = redis.run(&[&cli, *refused].concat());
            assert!(
                answer.is_err_and(|error| error.to_string().contains("NOPERM")),
                "{flags:?}: {refused:?}"
            );
        }
    }
    Ok(())
}

#[test]
fn without_client_list_only_the_series_of_workers_are_absent() -> Result<()> {
    let redis = Redis::start()?;
    fill(&redis, Version::V6, 5)?;
    let url = least_user(&redis, &[])?;
    redis.run(&["ACL", "SETUSER", "bullmq-exporter", "-client|list"])?;
    let mut exporter = Exporter::start_with(&["--redis.url", &url])?;
    exporter.scrape_when_found("email")?;
    let scrape = exporter.scrape()?;
    assert_eq!(scrape.samples("bullmq_queue_workers").count(), 0);
    assert_eq!(scrape.samples("bullmq_queue_workers_idle").count(), 0);
    assert_eq!(scrape.of_queue("bullmq_queue_up", "email"), Some(1.0));
    assert_eq!(scrape.samples("bullmq_redis_info").count(), 1);
    assert_eq!(
        exporter.process().log().matches("CLIENT LIST").count(),
        1,
        "said once"
    );
    Ok(())
}

#[test]
fn a_read_only_replica_serves_as_well_as_its_primary() -> Result<()> {
    let primary = Redis::start()?;
    fill(&primary, Version::V6, 10)?;
    let replica = Redis::start_with(&["--replicaof", "127.0.0.1", &primary.port().to_string()])?;
    wait_until("the replica has caught up", Duration::from_secs(20), || {
        Ok(replica
            .run(&["INFO", "replication"])?
            .contains("master_link_status:up")
            .then_some(()))
    })?;
    let counts = |redis: &Redis| -> Result<Vec<String>> {
        let scrape = Exporter::start(redis)?.scrape_when_found("email")?;
        let counts = scrape
            .text
            .lines()
            .filter(|line| line.starts_with("bullmq_job_count"));
        Ok(counts.map(str::to_owned).collect())
    };
    assert_eq!(counts(&replica)?, counts(&primary)?);
    let scrape = Exporter::start(&replica)?.scrape()?;
    assert_eq!(
        scrape.value("bullmq_redis_info", &[("role", "replica")]),
        Some(1.0)
    );
    Ok(())
}

//! Are exactly the queues read that are meant, and at what price are they found?

use std::time::Duration;

use acceptance::{BullMq, Exporter, Redis, Version, wait_until};
use anyhow::Result;

const LIMIT: Duration = Duration::from_secs(20);

fn redis_with(names: &[&str]) -> Result<Redis> {
    let redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::V6, &redis)?;
    for name in names {
        bullmq.run(&format!("await queue('{name}').add('job', {{}});"))?;
    }
    Ok(redis)
}

/// The queues that are served as up, and those that are served as down.
fn served(exporter: &Exporter) -> Result<(Vec<String>, Vec<String>)> {
    let scrape = exporter.scrape()?;
    let of_value = |wanted: f64| {
        let samples = scrape.samples("bullmq_queue_up");
        let of_value = samples.filter(|(_, value)| value.to_bits() == wanted.to_bits());
        let name = |labels: &str| {
            labels
                .split("queue=\"")
                .nth(1)
                .map(|rest| rest.trim_end_matches('"').to_owned())
        };
        of_value.filter_map(|(labels, _)| name(labels)).collect()
    };
    Ok((of_value(1.0), of_value(0.0)))
}

#[test]
fn names_patterns_and_exceptions_choose_the_queues() -> Result<()> {
    let redis = redis_with(&["email", "billing-eu", "billing-us", "tmp-1", "{x}"])?;
    for (sentence, flags, up, down) in [
        (
            "all",
            &[][..],
            &["billing-eu", "billing-us", "email", "tmp-1", "{x}"][..],
            &[][..],
        ),
        ("one by name", &["--bullmq.queue", "email"], &["email"], &[]),
        (
            "a pattern",
            &["--bullmq.queue", "billing-*"],
            &["billing-eu", "billing-us"],
            &[],
        ),
        (
            "a name and a pattern",
            &["--bullmq.queue", "email", "--bullmq.queue", "billing-?s"],
            &["billing-us", "email"],
            &[],
        ),
        (
            "all but some",
            &["--bullmq.exclude", "tmp-*", "--bullmq.exclude", "{x}"],
            &["billing-eu", "billing-us", "email"],
            &[],
        ),
        (
            "braces are literal",
            &["--bullmq.queue", "{x}"],
            &["{x}"],
            &[],
        ),
        (
            "a name that does not exist is told as down",
            &["--bullmq.queue", "email", "--bullmq.queue", "typo"],
            &["email"],
            &["typo"],
        ),
        (
            "a pattern that matches nothing tells nothing",
            &["--bullmq.queue", "typo-*"],
            &[],
            &[],
        ),
        (
            "exceptions win over names",
            &["--bullmq.queue", "tmp-1", "--bullmq.exclude", "tmp-*"],
            &[],
            &[],
        ),
    ] {
        let url = redis.url();
        let flags = [
            &["--redis.url", &url, "--discovery.interval", "200ms"],
            flags,
        ]
        .concat();
        let exporter = Exporter::start_with(&flags)?;
        wait_until(sentence, LIMIT, || {
            let found = exporter.scrape()?.samples("bullmq_exporter_queues").count() == 1;
            Ok(found.then_some(()))
        })?;
        let (now_up, now_down) = served(&exporter)?;
        assert_eq!((now_up, now_down), (own(up), own(down)), "{sentence}");
    }
    Ok(())
}

fn own(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

#[test]
fn named_queues_need_no_search_and_are_there_when_they_are_made() -> Result<()> {
    let redis = Redis::start()?;
    let exporter = Exporter::start_with(&[
        "--redis.url",
        &redis.url(),
        "--bullmq.queue",
        "email",
        "--discovery.interval",
        "1h",
    ])?;
    assert_eq!(served(&exporter)?, (own(&[]), own(&["email"])));
    let mut bullmq = BullMq::start(Version::V6, &redis)?;
    bullmq.run("await queue('email').add('job', {}); await queue('sms').add('job', {});")?;
    assert_eq!(served(&exporter)?, (own(&["email"]), own(&[])));
    bullmq.run("await queue('email').obliterate();")?;
    assert_eq!(served(&exporter)?, (own(&[]), own(&["email"])));
    assert!(
        !redis
            .command_calls()?
            .iter()
            .any(|(name, _)| name == "scan")
    );
    Ok(())
}

#[test]
fn a_new_queue_is_found_within_the_interval() -> Result<()> {
    let redis = redis_with(&["old"])?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found("old")?;
    BullMq::start(Version::V6, &redis)?.run("await queue('new').add('job', {});")?;
    exporter.scrape_when_found("new")?;
    Ok(())
}

#[test]
fn the_longest_prefix_owns_a_queue() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?.run(
        "await queue('email', { prefix: 'app' }).add('job', {});
         await queue('email', { prefix: 'app:prod' }).add('job', {});",
    )?;
    let flags = [
        "--redis.url",
        &redis.url(),
        "--bullmq.prefix",
        "app",
        "--bullmq.prefix",
        "app:prod",
    ];
    let scrape = Exporter::start_with(&flags)?.scrape_when_found("email")?;
    assert_eq!(
        scrape.samples("bullmq_queue_up").count(),
        2,
        "{}",
        scrape.text
    );
    for prefix in ["app", "app:prod"] {
        let labels = [("prefix", prefix), ("queue", "email")];
        assert_eq!(
            scrape.value("bullmq_queue_ready_jobs", &labels),
            Some(1.0),
            "{prefix}"
        );
    }
    Ok(())
}

//! What is served when something is wrong? One test for each line of the contract.

use std::thread;
use std::time::{Duration, Instant};

use acceptance::{BullMq, Exporter, Fault, Redis, Scrape, Version, Wire, free_port, wait_until};
use anyhow::{Context as _, Result};

const LIMIT: Duration = Duration::from_secs(20);
/// The header of a Prometheus that waits for two seconds.
const PATIENT: [(&str, &str); 1] = [("X-Prometheus-Scrape-Timeout-Seconds", "2")];

fn redis_with_queues(names: &[&str]) -> Result<Redis> {
    let redis = Redis::start()?;
    add(&redis, names)?;
    Ok(redis)
}

fn add(redis: &Redis, names: &[&str]) -> Result<()> {
    let mut bullmq = BullMq::start(Version::V6, redis)?;
    for name in names {
        bullmq.run(&format!("await queue('{name}').add('job', {{}});"))?;
    }
    Ok(())
}

fn is_silent(scrape: &Scrape) -> bool {
    scrape.value("bullmq_up", &[("redis", "default")]) == Some(0.0)
        && !scrape.text.contains("queue=\"")
}

fn wait_until_served(exporter: &Exporter, queue: &str) -> Result<Scrape> {
    wait_until(&format!("{queue} is served"), LIMIT, || {
        let scrape = exporter.scrape()?;
        Ok((scrape.of_queue("bullmq_queue_up", queue) == Some(1.0)).then_some(scrape))
    })
}

#[test]
fn a_redis_that_refuses_is_told_as_down_and_recovers_by_itself() -> Result<()> {
    let mut redis = redis_with_queues(&["email"])?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found("email")?;
    redis.kill()?;
    for _ in 0..3 {
        let scrape = exporter.scrape()?;
        assert!(is_silent(&scrape), "{}", scrape.text);
    }
    redis.start_again()?;
    let scrape = exporter.scrape()?;
    assert_eq!(
        scrape.value("bullmq_up", &[]),
        Some(1.0),
        "the first scrape after it is back"
    );
    assert!(
        !scrape.mentions_queue("email"),
        "it came back without its data: {}",
        scrape.text
    );
    add(&redis, &["sms"])?;
    wait_until_served(&exporter, "sms")?;
    let errors = [("cause", "connection")];
    assert!(
        exporter
            .scrape()?
            .value("bullmq_exporter_errors_total", &errors)
            >= Some(3.0)
    );
    Ok(())
}

#[test]
fn a_redis_that_hangs_is_told_as_down_before_prometheus_gives_up_and_recovers_by_itself()
-> Result<()> {
    let redis = redis_with_queues(&["email"])?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found("email")?;
    redis.hang()?;
    let started = Instant::now();
    let scrape = exporter.scrape_with(&PATIENT)?;
    let took = started.elapsed();
    assert!(is_silent(&scrape), "{}", scrape.text);
    assert!(took < Duration::from_secs(2), "answered after {took:?}");
    redis.go_on()?;
    let scrape = exporter.scrape()?;
    assert_eq!(
        scrape.of_queue("bullmq_queue_up", "email"),
        Some(1.0),
        "{}",
        scrape.text
    );
    Ok(())
}

#[test]
fn an_exporter_started_before_redis_tells_it_as_down_and_then_finds_it() -> Result<()> {
    // One that holds a queue from its first moment on, so that the first search that succeeds finds it.
    let folder = tempfile::tempdir()?;
    let here = ["--dir", folder.path().to_str().context("a path in UTF-8")?];
    let before = Redis::start_with(&here)?;
    add(&before, &["email"])?;
    before.run(&["SAVE"])?;
    drop(before);
    let port = free_port()?;
    let url = format!("redis://127.0.0.1:{port}");
    let exporter = Exporter::start_with(&["--redis.url", &url])?;
    assert!(is_silent(&exporter.scrape()?));
    let _redis = Redis::start_at(port, &here)?;
    // The search for queues is tried again each second, although its interval here is the default of half a minute.
    wait_until_served(&exporter, "email")?;
    Ok(())
}

#[test]
fn a_redis_that_wants_a_password_is_told_as_down() -> Result<()> {
    let redis = Redis::start_with(&["--requirepass", "secret"])?;
    let exporter = Exporter::start(&redis)?;
    let scrape = exporter.scrape()?;
    assert!(is_silent(&scrape), "{}", scrape.text);
    let errors = [("cause", "authentication")];
    assert!(
        exporter
            .scrape()?
            .value("bullmq_exporter_errors_total", &errors)
            >= Some(1.0)
    );

    let url = format!("redis://:secret@127.0.0.1:{}", redis.port());
    let mut exporter = Exporter::start_with(&["--redis.url", &url])?;
    assert_eq!(exporter.scrape()?.value("bullmq_up", &[]), Some(1.0));
    assert!(
        !exporter.process().log().contains("secret"),
        "{}",
        exporter.process().log()
    );
    Ok(())
}

#[test]
fn a_key_of_the_wrong_type_costs_its_own_queue_only() -> Result<()> {
    for key in [
        "wait",
        "paused",
        "active",
        "prioritized",
        "delayed",
        "completed",
        "failed",
        "waiting-children",
        "id",
    ] {
        let redis = redis_with_queues(&["broken", "sound"])?;
        let exporter = Exporter::start(&redis)?;
        exporter.scrape_when_found("sound")?;
        let key = format!("bull:broken:{key}");
        redis.run(&["DEL", &key])?;
        redis.run(&["HSET", &key, "a", "b"])?;
        let scrape = exporter.scrape()?;
        assert_eq!(scrape.value("bullmq_up", &[]), Some(1.0), "{key}");
        assert_eq!(
            scrape.of_queue("bullmq_queue_up", "broken"),
            Some(0.0),
            "{key}"
        );
        let series = scrape
            .text
            .lines()
            .filter(|line| line.contains("queue=\"broken\""))
            .count();
        assert_eq!(
            series, 1,
            "{key}: nothing else of the queue is served:\n{}",
            scrape.text
        );
        assert_eq!(
            scrape.of_queue("bullmq_queue_ready_jobs", "sound"),
            Some(1.0),
            "{key}"
        );
        let wrong_type = [("cause", "wrong_type")];
        assert_eq!(
            scrape.value("bullmq_exporter_errors_total", &wrong_type),
            Some(1.0),
            "{key}"
        );
        redis.run(&["DEL", &key])?;
        let scrape = exporter.scrape()?;
        assert_eq!(
            scrape.of_queue("bullmq_queue_up", "broken"),
            Some(1.0),
            "{key}"
        );
    }
    Ok(())
}

#[test]
fn an_obliterated_queue_is_gone_at_the_next_scrape() -> Result<()> {
    for version in Version::ALL {
        let redis = redis_with_queues(&["stays"])?;
        let mut bullmq = BullMq::start(version, &redis)?;
        bullmq.run("await queue('goes').add('job', {});")?;
        // Discovery runs once only: it is the scrape itself that must see it.
        let exporter =
            Exporter::start_with(&["--redis.url", &redis.url(), "--discovery.interval", "1h"])?;
        exporter.scrape_when_found("goes")?;
        bullmq.run("await queue('goes').obliterate();")?;
        let scrape = exporter.scrape()?;
        assert!(
            !scrape.mentions_queue("goes"),
            "{version:?}: {}",
            scrape.text
        );
        assert!(scrape.mentions_queue("stays"), "{version:?}");
    }
    Ok(())
}

#[test]
fn a_denied_optional_command_costs_its_own_series_only_and_is_logged_once() -> Result<()> {
    for (denied, absent) in [
        ("-get", &["bullmq_job_added_total"][..]),
        ("-multi -exec", &[][..]),
        ("-zrange", &["bullmq_queue_oldest_ready_age_seconds"][..]),
        ("-exists", &["bullmq_queue_oldest_ready_age_seconds"][..]),
        ("-hget", &[][..]),
    ] {
        let redis = Redis::start()?;
        BullMq::start(Version::V6, &redis)?
            .run("await queue('email').add('job', {}, { priority: 2 }); await queue('email').add('job', {}, { delay: 36e5 });")?;
        let rules = format!("ACL SETUSER limited on >word ~* +@all {denied}");
        redis.run(&rules.split(' ').collect::<Vec<_>>())?;
        let url = format!("redis://limited:word@127.0.0.1:{}", redis.port());
        let mut exporter = Exporter::start_with(&["--redis.url", &url])?;
        exporter.scrape_when_found("email")?;
        exporter.scrape()?;
        let scrape = exporter.scrape()?;
        assert_eq!(
            scrape.of_queue("bullmq_queue_up", "email"),
            Some(1.0),
            "{denied}"
        );
        for metric in [
            "bullmq_queue_ready_jobs",
            "bullmq_job_added_total",
            "bullmq_queue_oldest_ready_age_seconds",
        ] {
            let served = scrape.of_queue(metric, "email").is_some();
            assert_eq!(
                served,
                !absent.contains(&metric),
                "{denied}: {metric}\n{}",
                scrape.text
            );
        }
        let log = exporter.process().log();
        assert_eq!(
            log.matches("a command is denied").count(),
            1,
            "{denied}:\n{log}"
        );
        let errors = [("cause", "denied")];
        assert_eq!(
            scrape.value("bullmq_exporter_errors_total", &errors),
            Some(1.0),
            "{denied}"
        );
    }
    Ok(())
}

#[test]
fn a_denied_core_read_leaves_the_queue_unread() -> Result<()> {
    let redis = redis_with_queues(&["email"])?;
    redis.run(&[
        "ACL", "SETUSER", "limited", "on", ">word", "~*", "+@all", "-llen",
    ])?;
    let url = format!("redis://limited:word@127.0.0.1:{}", redis.port());
    let scrape = Exporter::start_with(&["--redis.url", &url])?.scrape_when_found("email")?;
    assert_eq!(scrape.of_queue("bullmq_queue_up", "email"), Some(0.0));
    assert_eq!(
        scrape.samples("bullmq_job_count").count(),
        0,
        "{}",
        scrape.text
    );
    Ok(())
}

#[test]
fn scrapes_that_overlap_without_end_are_told_nothing_that_was_read_long_ago() -> Result<()> {
    let redis = redis_with_queues(&["email"])?;
    let wire = Wire::to(&redis)?;
    let url = wire.url();
    let exporter = Exporter::start_with(&["--redis.url", &url, "--discovery.interval", "200ms"])?;
    exporter.scrape_when_found("email")?;
    wire.set(Fault::BlackHole);
    let (began, lasts) = (Instant::now(), Duration::from_secs(8));
    thread::scope(|scope| {
        let scrapers = [0, 300, 600].map(|later| {
            let exporter = &exporter;
            scope.spawn(move || -> Result<f64> {
                thread::sleep(Duration::from_millis(later));
                let mut longest = 0.0_f64;
                while began.elapsed() < lasts {
                    let scrape = exporter.scrape_with(&PATIENT)?;
                    let told = scrape.value("bullmq_exporter_scrape_duration_seconds", &[]);
                    longest = longest.max(told.context("the duration is told")?);
                }
                Ok(longest)
            })
        });
        for scraper in scrapers {
            let longest = scraper.join().expect("no panic")?;
            // One that joins at the last moment waits for as long again.
            assert!((1.0..3.5).contains(&longest), "{longest}");
        }
        Ok(())
    })
}

#[test]
fn two_scrapes_at_once_share_one_reading_and_each_answers_at_its_own_deadline() -> Result<()> {
    let redis = redis_with_queues(&["email"])?;
    let exporter =
        Exporter::start_with(&["--redis.url", &redis.url(), "--discovery.interval", "1h"])?;
    exporter.scrape_when_found("email")?;
    let readings = || -> Result<u64> {
        let calls = redis.command_calls()?;
        Ok(calls
            .iter()
            .find(|(name, _)| name == "multi")
            .map_or(0, |(_, calls)| *calls))
    };
    let before = readings()?;
    redis.hang()?;
    thread::scope(|scope| -> Result<()> {
        let hasty =
            scope.spawn(|| exporter.scrape_with(&[("X-Prometheus-Scrape-Timeout-Seconds", "1.5")]));
        let patient =
            scope.spawn(|| exporter.scrape_with(&[("X-Prometheus-Scrape-Timeout-Seconds", "15")]));
        let hasty = hasty.join().ok().context("the hasty scrape")??;
        assert!(is_silent(&hasty), "{}", hasty.text);
        redis.go_on()?;
        let patient = patient.join().ok().context("the patient scrape")??;
        assert_eq!(
            patient.of_queue("bullmq_queue_ready_jobs", "email"),
            Some(1.0),
            "{}",
            patient.text
        );
        Ok(())
    })?;
    assert_eq!(readings()? - before, 1, "one queue was read once");
    Ok(())
}

#[test]
fn what_is_no_redis_at_all_is_told_as_down() -> Result<()> {
    use std::io::Write as _;
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    let url = format!("redis://{}", listener.local_addr()?);
    thread::spawn(move || {
        for mut client in listener.incoming().flatten() {
            // One that hangs up early is answered all the same.
            let _ = client.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n\xff\xfe\0garbage");
        }
    });
    let mut exporter = Exporter::start_with(&["--redis.url", &url])?;
    for _ in 0..3 {
        assert!(is_silent(&exporter.scrape_with(&PATIENT)?));
    }
    exporter.process().check_alive()
}

#[test]
fn a_thousand_queues_are_read_in_one_scrape() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?.run(
        "for (let i = 0; i < 1000; i++) await queue('q' + i).add('job', {}, i % 2 ? { priority: 1 } : {});",
    )?;
    let exporter = Exporter::start(&redis)?;
    let scrape = wait_until("all are served", LIMIT, || {
        let scrape = exporter.scrape()?;
        Ok((scrape.samples("bullmq_queue_up").count() == 1000).then_some(scrape))
    })?;
    assert!(
        scrape
            .samples("bullmq_queue_ready_jobs")
            .all(|(_, value)| value.to_bits() == 1f64.to_bits())
    );
    assert_eq!(scrape.samples("bullmq_queue_ready_jobs").count(), 1000);
    Ok(())
}

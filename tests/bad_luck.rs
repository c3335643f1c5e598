//! What is served while a network, a Redis or a name misbehaves in ways that the contract does not list line by line? Never a number that
//! is not true, always an answer in time, and all of it again when the fault is over.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::thread;
use std::time::{Duration, Instant};

use acceptance::{BullMq, Exporter, Fault, FrozenClock, Redis, Scrape, Version, Wire, wait_until};
use anyhow::{Context as _, Result};

const LIMIT: Duration = Duration::from_secs(30);
/// The header of a Prometheus that waits for two seconds.
const PATIENT: [(&str, &str); 1] = [("X-Prometheus-Scrape-Timeout-Seconds", "2")];
const PATIENCE: Duration = Duration::from_secs(2);

/// Makes queues `q0`, `q1` and so on with one job each, as they lie in Redis without a worker.
fn fill(redis: &Redis, queues: u32) -> Result<()> {
    let script = "for i = 0, tonumber(ARGV[1]) - 1 do local k = 'bull:q' .. i .. ':' \
        redis.call('HSET', k .. 'meta', 'opts.maxLenEvents', '10000') \
        redis.call('LPUSH', k .. 'wait', '1') redis.call('SET', k .. 'id', '1') \
        redis.call('HSET', k .. '1', 'timestamp', '1780000000000', 'opts', '{}') end";
    redis.run(&["EVAL", script, "0", &queues.to_string()])?;
    Ok(())
}

fn start(url: &str) -> Result<Exporter> {
    Exporter::start_with(&["--redis.url", url, "--discovery.interval", "200ms"])
}

fn up(scrape: &Scrape) -> Option<f64> {
    scrape.value("bullmq_up", &[])
}

/// How many queues were read, and how many were not. Fails if one that was read does not have exactly its one job.
fn read_and_unread(scrape: &Scrape) -> (usize, usize) {
    for (labels, jobs) in scrape.samples("bullmq_queue_ready_jobs") {
        assert!((jobs - 1.0).abs() < f64::EPSILON, "{labels}: {jobs}");
    }
    let of = |value: f64| {
        let samples = scrape.samples("bullmq_queue_up");
        samples
            .filter(|(_, up)| (*up - value).abs() < f64::EPSILON)
            .count()
    };
    (of(1.0), of(0.0))
}

fn until_all_are_read(exporter: &Exporter, queues: usize) -> Result<()> {
    wait_until("every queue is read", LIMIT, || {
        Ok((read_and_unread(&exporter.scrape()?) == (queues, 0)).then_some(()))
    })
}

/// Scrapes as a Prometheus that waits for two seconds, and checks that it would not have waited in vain.
fn scrape_in_time(exporter: &Exporter) -> Result<Scrape> {
    let began = Instant::now();
    let scrape = exporter.scrape_with(&PATIENT)?;
    assert!(began.elapsed() < PATIENCE, "{:?}", began.elapsed());
    Ok(scrape)
}

#[test]
fn a_redis_whose_packets_are_lost_is_told_as_down_in_time_and_comes_back() -> Result<()> {
    let redis = Redis::start()?;
    fill(&redis, 3)?;
    let wire = Wire::to(&redis)?;
    let exporter = start(&wire.url())?;
    until_all_are_read(&exporter, 3)?;
    wire.set(Fault::BlackHole);
    for _ in 0..2 {
        let scrape = scrape_in_time(&exporter)?;
        assert_eq!(up(&scrape), Some(0.0));
        assert!(!scrape.text.contains("queue=\""), "{}", scrape.text);
    }
    wire.set(Fault::None);
    until_all_are_read(&exporter, 3)
}

#[test]
fn a_slow_redis_costs_the_queues_that_could_not_be_read_in_time_and_no_other() -> Result<()> {
    let redis = Redis::start()?;
    fill(&redis, 2_000)?;
    let wire = Wire::to(&redis)?;
    let exporter = start(&wire.url())?;
    until_all_are_read(&exporter, 2_000)?;
    // Each piece of an answer comes a tenth of a second later; an answer of thousands of queues comes in many pieces.
    wire.set(Fault::Delay(Duration::from_millis(100)));
    let scrape = scrape_in_time(&exporter)?;
    assert_eq!(up(&scrape), Some(1.0), "a part was read");
    let (read, unread) = read_and_unread(&scrape);
    assert!(read > 0 && unread > 0, "{read} read, {unread} not");
    assert_eq!(read + unread, 2_000);
    wire.set(Fault::None);
    until_all_are_read(&exporter, 2_000)
}

#[test]
fn a_connection_that_is_cut_anywhere_in_an_answer_never_makes_a_wrong_number() -> Result<()> {
    let redis = Redis::start()?;
    fill(&redis, 5)?;
    let wire = Wire::to(&redis)?;
    let exporter = start(&wire.url())?;
    until_all_are_read(&exporter, 5)?;
    let mut silent = 0;
    for bytes in (0..3_000).step_by(61) {
        wire.set(Fault::CutAfter(bytes));
        let scrape = exporter.scrape()?;
        match up(&scrape) {
            Some(0.0) => {
                silent += 1;
                assert!(
                    !scrape.text.contains("queue=\""),
                    "{bytes}: {}",
                    scrape.text
                );
            }
            // The connection that was made anew lived for longer than the scrape.
            _ => assert_eq!(read_and_unread(&scrape).0, 5, "{bytes}: {}", scrape.text),
        }
    }
    assert!(silent > 5, "{silent}");
    wire.set(Fault::None);
    until_all_are_read(&exporter, 5)
}

#[test]
fn a_redis_that_loads_its_data_has_no_queue_that_looks_empty() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path().to_str().context("a path in UTF-8")?;
    let mut redis = Redis::start_with(&["--dir", folder])?;
    fill(&redis, 200)?;
    redis.run(&["SAVE"])?;
    let port = redis.port();
    let exporter = start(&redis.url())?;
    until_all_are_read(&exporter, 200)?;
    redis.kill()?;
    // A few hundred keys, each with a pause: about four seconds. A scrape that is under way when it ends reads some queues and not others.
    let mut slowly = Redis::program();
    slowly.args(["--port", &port.to_string(), "--bind", "127.0.0.1"]);
    slowly.args(["--save", "", "--dir", folder, "--key-load-delay", "5000"]);
    slowly.args(["--loading-process-events-interval-bytes", "1024"]);
    let _slowly = acceptance::Process::start("redis-server", tempfile::tempdir()?, &mut slowly)?;
    let (mut seen_loading, began) = (false, Instant::now());
    while began.elapsed() < LIMIT {
        let scrape = exporter.scrape()?;
        let (read, unread) = read_and_unread(&scrape);
        seen_loading |= up(&scrape) == Some(1.0) && unread == 200;
        if read == 200 {
            assert!(seen_loading, "it was never seen loading");
            return Ok(());
        }
    }
    anyhow::bail!("it never came back")
}

#[test]
fn a_replica_that_lost_its_primary_and_serves_nothing_stale_is_not_read_as_empty() -> Result<()> {
    let mut primary = Redis::start()?;
    fill(&primary, 3)?;
    let follow = format!("127.0.0.1 {}", primary.port());
    let replica = Redis::start_with(&[
        "--replicaof",
        &follow,
        "--replica-serve-stale-data",
        "no",
        "--repl-diskless-sync-delay",
        "0",
    ])?;
    let exporter = start(&replica.url())?;
    until_all_are_read(&exporter, 3)?;
    primary.kill()?;
    wait_until("the replica refuses", LIMIT, || {
        Ok((read_and_unread(&exporter.scrape()?) == (0, 3)).then_some(()))
    })?;
    primary.start_again()?;
    fill(&primary, 3)?;
    until_all_are_read(&exporter, 3)
}

#[test]
fn a_redis_without_room_for_another_client_is_told_as_down_until_there_is() -> Result<()> {
    let redis = Redis::start()?;
    fill(&redis, 1)?;
    let port = redis.port();
    redis.run(&["CONFIG", "SET", "maxclients", "2"])?;
    // One place is for redis-cli, which has to make room again.
    let mut holder = std::net::TcpStream::connect(("127.0.0.1", port))?;
    holder.write_all(b"PING\r\n")?;
    let mut answer = [0; 7];
    holder.read_exact(&mut answer)?;
    let mut second = std::net::TcpStream::connect(("127.0.0.1", port))?;
    second.write_all(b"PING\r\n")?;
    second.read_exact(&mut answer)?;
    let exporter = start(&redis.url())?;
    for _ in 0..2 {
        let scrape = exporter.scrape()?;
        assert_eq!(up(&scrape), Some(0.0), "{}", scrape.text);
    }
    drop((holder, second));
    until_all_are_read(&exporter, 1)
}

#[test]
fn nonsense_on_the_port_is_told_as_down_and_ends_nothing() -> Result<()> {
    for (sentence, nonsense) in [
        ("a word", &b"hello\r\n"[..]),
        ("an answer of HTTP", b"HTTP/1.1 400 Bad Request\r\n\r\n"),
        ("an endless number", b":99999999999999999999999999\r\n"),
        ("a list of four billion", b"*4294967295\r\n"),
        ("a text of more than there is", b"$9223372036854775807\r\n"),
        ("a negative length", b"$-7\r\n"),
        ("lists in lists", &[b'*', b'1', b'\r', b'\n'].repeat(10_000)),
        ("bytes", &[0xff, 0x00, 0x80, b'\n'].repeat(100)),
        ("nothing", b""),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let url = format!("redis://{}", listener.local_addr()?);
        let nonsense = nonsense.to_vec();
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let mut request = [0; 1024];
                let _ = client.read(&mut request);
                let _ = client.write_all(&nonsense);
                // Held open for longer than a scrape waits, as by something that waits for more.
                thread::spawn(move || {
                    thread::sleep(Duration::from_secs(5));
                    drop(client);
                });
            }
        });
        let mut exporter = start(&url)?;
        let scrape = scrape_in_time(&exporter)?;
        assert_eq!(up(&scrape), Some(0.0), "{sentence}");
        exporter.process().check_alive()?;
        let log = exporter.process().log();
        assert!(!log.contains("panicked"), "{sentence}: {log}");
    }
    Ok(())
}

#[test]
fn a_name_that_no_label_should_carry_is_left_out_and_told() -> Result<()> {
    let redis = Redis::start()?;
    fill(&redis, 1)?;
    let script = "for _, size in ipairs({1024, 1025, 2000000}) do \
        redis.call('HSET', 'bull:' .. string.rep('x', size) .. ':meta', 'opts.maxLenEvents', '10000') end";
    redis.run(&["EVAL", script, "0"])?;
    let mut exporter = start(&redis.url())?;
    let scrape = wait_until("the queues are found", LIMIT, || {
        let scrape = exporter.scrape()?;
        Ok(scrape.mentions_queue("q0").then_some(scrape))
    })?;
    assert_eq!(scrape.value("bullmq_exporter_queues", &[]), Some(2.0));
    assert!(scrape.mentions_queue(&"x".repeat(1024)));
    assert!(scrape.text.len() < 200_000, "{}", scrape.text.len());
    let log = exporter.process().log();
    assert!(
        log.contains("queues left out") && log.contains("\"queues\":2"),
        "{log}"
    );
    assert!(log.len() < 10_000, "{}", log.len());
    Ok(())
}

#[test]
fn a_clock_that_steps_back_or_ahead_makes_no_age_that_is_no_age() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?.run(
        "await queue('email').add('job', {}); await queue('email').add('later', {}, { delay: 60000 });",
    )?;
    let now = redis.time_millis()?;
    let clock = FrozenClock::start(&redis, now)?;
    let exporter = start(&clock.url())?;
    exporter.scrape_when_found("email")?;
    let hour = 3_600_000;
    for (sentence, at, ready, least_age, most_age) in [
        ("an hour back", now - hour, 1.0, 0.0, 0.0),
        ("an hour ahead", now + hour, 2.0, 3_500.0, 3_700.0),
        ("at the beginning of time", 1_000_000_000_000, 1.0, 0.0, 0.0),
        ("back again", now + 1_000, 1.0, 0.0, 30.0),
    ] {
        clock.set(at);
        let scrape = exporter.scrape()?;
        assert_eq!(
            scrape.of_queue("bullmq_queue_ready_jobs", "email"),
            Some(ready),
            "{sentence}"
        );
        let age = scrape.of_queue("bullmq_queue_oldest_ready_age_seconds", "email");
        let age = age.with_context(|| format!("{sentence}: {}", scrape.text))?;
        assert!((least_age..=most_age).contains(&age), "{sentence}: {age}");
    }
    Ok(())
}

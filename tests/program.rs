//! Is the program what its users expect of a Prometheus exporter: flags, environment, pages, signals, exit codes?

use std::process::Command;
use std::time::Duration;

use acceptance::{BullMq, Exporter, Redis, Version, free_port, get, ours};
use anyhow::{Context as _, Result};

const LIMIT: Duration = Duration::from_secs(20);

fn redis_with_a_queue() -> Result<Redis> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?.run("await queue('email').add('job', {});")?;
    Ok(redis)
}

#[test]
fn every_page_answers_as_it_should_whether_redis_is_there_or_not() -> Result<()> {
    let exporter = Exporter::start_with(&[
        "--redis.url",
        &format!("redis://127.0.0.1:{}", free_port()?),
    ])?;
    for (path, status, contains) in [
        ("/", 200, "href=\"metrics\""),
        ("/-/healthy", 200, "healthy"),
        ("/healthz", 200, "healthy"),
        ("/-/ready", 200, "ready"),
        ("/readyz", 200, "ready"),
        ("/metrics", 200, "bullmq_up{redis=\"default\"} 0"),
        ("/metrics?name=x", 200, "bullmq_up"),
        ("/nothing", 404, "no such page"),
        ("/metrics/", 404, "no such page"),
    ] {
        let (answered, body) = exporter.get(path)?;
        assert_eq!(answered, status, "{path}");
        assert!(body.contains(contains), "{path}: {body}");
    }
    let response = ureq::post(format!("http://{}/metrics", exporter.address()))
        .config()
        .http_status_as_error(false)
        .build()
        .send_empty()?;
    assert_eq!(response.status().as_u16(), 405);
    assert_eq!(
        response.headers().get("allow").context("allow")?,
        "GET, HEAD"
    );
    let response = ureq::head(format!("http://{}/metrics", exporter.address())).call()?;
    let content_type = response
        .headers()
        .get("content-type")
        .context("content-type")?;
    assert_eq!(content_type, "text/plain; version=0.0.4; charset=utf-8");
    Ok(())
}

#[test]
fn a_signal_to_stop_lets_the_open_scrape_finish_and_exits_with_0() -> Result<()> {
    for signal in ["TERM", "INT"] {
        let redis = redis_with_a_queue()?;
        let mut exporter = Exporter::start(&redis)?;
        exporter.scrape_when_found("email")?;
        redis.hang()?;
        let url = format!("http://{}/metrics", exporter.address());
        let patient = [("X-Prometheus-Scrape-Timeout-Seconds", "3")];
        let open = std::thread::spawn(move || get(&url, &patient, LIMIT));
        std::thread::sleep(Duration::from_millis(500));
        exporter.process().signal(signal)?;
        let status = exporter.process().wait(LIMIT)?;
        assert_eq!(
            status.code(),
            Some(0),
            "{signal}: {}",
            exporter.process().log()
        );
        let (status, body) = open.join().ok().context("the open scrape")??;
        assert_eq!(status, 200, "{signal}");
        assert!(
            body.contains("bullmq_up{redis=\"default\"} 0"),
            "{signal}: {body}"
        );
        redis.go_on()?;
    }
    Ok(())
}

#[test]
fn once_prints_one_scrape_and_says_by_its_exit_code_whether_redis_answered() -> Result<()> {
    let redis = redis_with_a_queue()?;
    let output = Exporter::run(&["--once", "--redis.url", &redis.url()])?;
    let text = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(0));
    assert!(
        text.contains(
            "bullmq_queue_ready_jobs{redis=\"default\",prefix=\"bull\",queue=\"email\"} 1\n"
        ),
        "{text}"
    );

    let nowhere = format!("redis://127.0.0.1:{}", free_port()?);
    let output = Exporter::run(&["--once", "--redis.url", &nowhere])?;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stdout)?.contains("bullmq_up{redis=\"default\"} 0\n"));
    Ok(())
}

/// Runs the exporter to its end; returns its exit code and all that it printed.
fn run_with(variables: &[(&str, &str)], flags: &[&str]) -> Result<(Option<i32>, String)> {
    let output = Command::new(ours("bullmq-exporter")?)
        .args(flags)
        .envs(variables.iter().copied())
        .output()?;
    let mut text = String::from_utf8(output.stdout)?;
    text.push_str(&String::from_utf8(output.stderr)?);
    Ok((output.status.code(), text))
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn every_flag_has_its_environment_variable_and_the_flag_wins() -> Result<()> {
    let redis = redis_with_a_queue()?;
    BullMq::start(Version::V6, &redis)?
        .run("await queue('sms', { prefix: '{app}' }).add('job', {});")?;
    let nowhere = format!("redis://127.0.0.1:{}", free_port()?);
    let url = redis.url();
    for (sentence, variables, flags, code, contains) in [
        (
            "the variable of the URL",
            &[("BULLMQ_EXPORTER_REDIS_URL", url.as_str())][..],
            &["--once"][..],
            0,
            "queue=\"email\"",
        ),
        (
            "the plain variable of the URL",
            &[("REDIS_URL", &url)],
            &["--once"],
            0,
            "queue=\"email\"",
        ),
        (
            "ours wins over the plain one",
            &[("REDIS_URL", &nowhere), ("BULLMQ_EXPORTER_REDIS_URL", &url)],
            &["--once"],
            0,
            "queue=\"email\"",
        ),
        (
            "the flag wins",
            &[("BULLMQ_EXPORTER_REDIS_URL", &nowhere)],
            &["--once", "--redis.url", &url],
            0,
            "queue=\"email\"",
        ),
        (
            "once",
            &[("BULLMQ_EXPORTER_ONCE", "true")],
            &["--redis.url", &url],
            0,
            "queue=\"email\"",
        ),
        (
            "prefixes between commas",
            &[("BULLMQ_EXPORTER_BULLMQ_PREFIX", "bull, {app}")],
            &["--once", "--redis.url", &url],
            0,
            "prefix=\"{app}\",queue=\"sms\"",
        ),
        (
            "horizons between commas",
            &[("BULLMQ_EXPORTER_BULLMQ_HORIZON", "90s,10m")],
            &["--once", "--redis.url", &url],
            0,
            "within=\"1m30s\"",
        ),
        (
            "the shard",
            &[("BULLMQ_EXPORTER_BULLMQ_SHARD", "2")],
            &["--once"],
            2,
            "--bullmq.shard '2'",
        ),
        (
            "the flag wins over the variable of the shard",
            &[("BULLMQ_EXPORTER_BULLMQ_SHARD", "2")],
            &["--once", "--redis.url", &url, "--bullmq.shard", "1/3"],
            0,
            "bullmq_exporter_shards{shard=\"1\"} 3\n",
        ),
        (
            "the log's form",
            &[("BULLMQ_EXPORTER_LOG_FORMAT", "json")],
            &["--once", "--redis.url", &url],
            0,
            "{\"timestamp\":",
        ),
        (
            "the log's level",
            &[("BULLMQ_EXPORTER_LOG_LEVEL", "loud")],
            &["--once"],
            2,
            "--log.level",
        ),
        (
            "the listen address",
            &[("BULLMQ_EXPORTER_WEB_LISTEN_ADDRESS", "9538")],
            &[],
            2,
            "--web.listen-address '9538'",
        ),
        (
            "the scrape timeout",
            &[("BULLMQ_EXPORTER_SCRAPE_TIMEOUT", "0s")],
            &[],
            2,
            "--scrape.timeout '0s'",
        ),
        (
            "the discovery interval",
            &[("BULLMQ_EXPORTER_DISCOVERY_INTERVAL", "1ms")],
            &[],
            2,
            "--discovery.interval '1ms'",
        ),
    ] {
        let (exit, text) = run_with(variables, flags)?;
        assert_eq!(exit, Some(code), "{sentence}: {text}");
        assert!(text.contains(contains), "{sentence}: {text}");
    }
    Ok(())
}

#[test]
fn a_switch_in_the_environment_takes_every_common_word_for_yes_and_no() -> Result<()> {
    let redis = redis_with_a_queue()?;
    let flags = ["--redis.url", &redis.url()];
    for yes in ["true", "1", "yes", "on"] {
        let (exit, text) = run_with(&[("BULLMQ_EXPORTER_ONCE", yes)], &flags)?;
        assert_eq!(exit, Some(0), "{yes}: {text}");
    }
    let flags = ["--redis.url", &redis.url(), "--once"];
    for (word, counted) in [("false", false), ("0", false), ("off", false), ("1", true)] {
        let (_, text) = run_with(&[("BULLMQ_EXPORTER_COLLECT_WORKERS", word)], &flags)?;
        assert_eq!(
            text.contains("bullmq_queue_workers{"),
            counted,
            "{word}: {text}"
        );
    }
    for (word, followed) in [("on", true), ("no", false)] {
        let (_, text) = run_with(&[("BULLMQ_EXPORTER_COLLECT_EVENTS", word)], &flags)?;
        let served = text.contains("queue=\"email\",event=\"added\"} 0\n");
        assert_eq!(served, followed, "{word}: {text}");
    }
    let (exit, text) = run_with(&[("BULLMQ_EXPORTER_COLLECT_WORKERS", "maybe")], &flags)?;
    assert_eq!(exit, Some(2), "{text}");
    assert!(
        text.contains("'maybe'") && text.contains("--collect.workers"),
        "{text}"
    );
    Ok(())
}

#[test]
fn an_unknown_environment_variable_is_ignored() -> Result<()> {
    let redis = redis_with_a_queue()?;
    let flags = ["--once", "--redis.url", &redis.url()];
    let (exit, text) = run_with(&[("BULLMQ_EXPORTER_UNKNOWN", "x")], &flags)?;
    assert_eq!(exit, Some(0), "{text}");
    Ok(())
}

#[test]
fn a_wrong_flag_exits_with_2_names_flag_and_value_and_shows_no_secret() -> Result<()> {
    for (flags, contains) in [
        (
            &["--redis.url", "localhost:6379"][..],
            "--redis.url 'localhost:6379'",
        ),
        (
            &["--redis.url", "redis://u:secret@host:port"],
            "--redis.url 'redis://***@host:port'",
        ),
        (
            &["--redis.url", "redis://u:se@cret@host:port"],
            "--redis.url 'redis://***@host:port'",
        ),
        (
            &["--redis.url", "http://u:secret@host"],
            "--redis.url 'http://***@host'",
        ),
        (
            &["--redis.url", "redis+cluster://u:secret@host/1"],
            "--redis.url 'redis+cluster://***@host/1': a Redis Cluster has database 0 only",
        ),
        (&["--redis.url", "redis://host/secret/x"], "--redis.url"),
        (&["--redis.url", ""], "--redis.url ''"),
        (&["--redis.url", "redis://host:1?db=x"], "--redis.url"),
        (&["--bullmq.prefix", ""], "--bullmq.prefix ''"),
        (&["--bullmq.horizon", "5"], "--bullmq.horizon '5'"),
        (&["--bullmq.horizon", "0s"], "--bullmq.horizon '0s'"),
        (&["--bullmq.horizon", "2d"], "--bullmq.horizon '2d'"),
        (
            &["--web.listen-address", "::1:9538"],
            "--web.listen-address '::1:9538'",
        ),
        (
            &["--web.listen-address", "host:99999"],
            "--web.listen-address 'host:99999'",
        ),
        (
            &["--bullmq.shard", "3/3"],
            "--bullmq.shard '3/3': shards are counted from 0, so the last of 3 is 2/3; write a number from 0 to 2",
        ),
        (
            &["--bullmq.shard", "1"],
            "--bullmq.shard '1': write which shard of how many, counted from 0: one of 0/3, 1/3 and 2/3",
        ),
        (
            &["--bullmq.shard", "a/b"],
            "--bullmq.shard 'a/b': write which shard",
        ),
        (
            &["--bullmq.shard", "-1/2"],
            "--bullmq.shard '-1/2': write which shard",
        ),
        (
            &["--bullmq.shard=-1/2"],
            "--bullmq.shard '-1/2': write which shard",
        ),
        (
            &["--bullmq.shard", "0/0"],
            "--bullmq.shard '0/0': nothing can be shared among none; write 0/1 for all the queues",
        ),
        (
            &["--bullmq.shard", ""],
            "--bullmq.shard '': write which shard",
        ),
        (
            &["--bullmq.shard", "$(POD_INDEX)/3"],
            "--bullmq.shard '$(POD_INDEX)/3': write which shard",
        ),
        (&["--discovery.interval", "soon"], "'soon'"),
        (&["--log.format", "xml"], "'xml'"),
        (&["--nonsense"], "'--nonsense'"),
        (&["nonsense"], "'nonsense'"),
    ] {
        let output = Exporter::run(flags)?;
        let said = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {said}");
        assert!(said.contains(contains), "{flags:?}: {said}");
        assert!(!said.contains("u:se"), "{flags:?}: {said}");
        assert!(output.stdout.is_empty(), "{flags:?}");
    }
    Ok(())
}

#[test]
fn a_port_that_is_taken_ends_the_program_with_1_and_a_sentence() -> Result<()> {
    let taken = std::net::TcpListener::bind("127.0.0.1:0")?;
    let address = taken.local_addr()?.to_string();
    let output = Exporter::run(&["--web.listen-address", &address])?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains(&address) && said.contains("in use"), "{said}");
    Ok(())
}

#[test]
fn the_version_is_printed_as_prometheus_programs_print_it() -> Result<()> {
    let output = Exporter::run(&["--version"])?;
    let text = String::from_utf8(output.stdout)?;
    assert_eq!(output.status.code(), Some(0));
    let first = format!(
        "bullmq-exporter, version {} (revision: ",
        env!("CARGO_PKG_VERSION")
    );
    assert!(text.starts_with(&first), "{text}");
    assert!(text.contains("\n  rustc version:"), "{text}");
    Ok(())
}

#[test]
fn help_does_not_show_the_password_in_the_environment() -> Result<()> {
    let output = Command::new(ours("bullmq-exporter")?)
        .arg("--help")
        .env("BULLMQ_EXPORTER_REDIS_URL", "redis://:hunter2@host")
        .env("REDIS_URL", "redis://:hunter2@host")
        .output()?;
    assert_eq!(output.status.code(), Some(0));
    assert!(!String::from_utf8(output.stdout)?.contains("hunter2"));
    Ok(())
}

#[test]
fn a_unix_socket_serves_as_well() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("redis.sock");
    let socket = socket.to_str().context("a path that is text")?;
    let redis = Redis::start_with(&["--unixsocket", socket])?;
    BullMq::start(Version::V6, &redis)?.run("await queue('email').add('job', {});")?;
    let output = Exporter::run(&["--once", "--redis.url", &format!("unix://{socket}")])?;
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(String::from_utf8(output.stdout)?.contains("queue=\"email\""));
    Ok(())
}

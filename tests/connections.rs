//! Is every kind of Redis reached, by every way and secret that people have, and does one that is gone cost nobody else anything?

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acceptance::{
    BullMq, Exporter, Redis, RedisCertificates, Scrape, Sentinel, Version, free_port, wait_until,
};
use anyhow::{Context as _, Result, ensure};

const LIMIT: Duration = Duration::from_secs(30);
const QUICK: [&str; 2] = ["--discovery.interval", "200ms"];

fn add_a_job(redis: &Redis, queue: &str) -> Result<()> {
    BullMq::start(Version::V6, redis)?.run(&format!("await queue('{queue}').add('job', {{}});"))?;
    Ok(())
}

fn path(of: &Path) -> Result<&str> {
    of.to_str().context("a path in UTF-8")
}

fn up(scrape: &Scrape, redis: &str) -> Option<f64> {
    scrape.value("bullmq_up", &[("redis", redis)])
}

fn ready(scrape: &Scrape, redis: &str, queue: &str) -> Option<f64> {
    let labels = [("redis", redis), ("queue", queue)];
    scrape.value("bullmq_queue_ready_jobs", &labels)
}

/// Scrapes until `seen` is satisfied.
fn until(what: &str, exporter: &Exporter, seen: impl Fn(&Scrape) -> bool) -> Result<Scrape> {
    wait_until(what, LIMIT, || {
        let scrape = exporter.scrape()?;
        Ok(seen(&scrape).then_some(scrape))
    })
}

/// What `--once` prints for these flags, and whether Redis answered.
fn once(flags: &[&str]) -> Result<(bool, String)> {
    let output = Exporter::run(&[flags, &["--once", "--scrape.timeout", "3s"]].concat())?;
    let told = [output.stdout, output.stderr].concat();
    Ok((output.status.code() == Some(0), String::from_utf8(told)?))
}

#[test]
fn a_socket_a_database_and_a_user_are_written_in_the_url() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("redis.sock");
    let redis = Redis::start_with(&["--unixsocket", path(&socket)?])?;
    redis.run(&["-n", "3", "HSET", "bull:in3:meta", "opts.maxLenEvents", "1"])?;
    redis.run(&["HSET", "bull:in0:meta", "opts.maxLenEvents", "1"])?;
    redis.run(&["ACL", "SETUSER", "ann@", "on", ">p/:w", "~*", "+@all"])?;
    let (port, socket) = (redis.port(), path(&socket)?);
    for (url, queue) in [
        (format!("unix://{socket}"), "in0"),
        (format!("unix://{socket}?db=3"), "in3"),
        (format!("redis://127.0.0.1:{port}/3"), "in3"),
        (format!("redis://ann%40:p%2F%3Aw@127.0.0.1:{port}"), "in0"),
        (format!("redis://localhost:{port}/"), "in0"),
    ] {
        let (answered, told) = once(&["--redis.url", &url])?;
        assert!(answered, "{url}: {told}");
        assert!(
            told.contains(&format!("queue=\"{queue}\"")),
            "{url}: {told}"
        );
        assert!(!told.contains("p/:w"), "{told}");
    }
    for (url, cause) in [
        (
            format!("redis://ann%40:wrong@127.0.0.1:{port}"),
            "authentication",
        ),
        ("unix:///nowhere/redis.sock".to_owned(), "connection"),
        ("redis://no.such.host.invalid".to_owned(), "connection"),
    ] {
        let (answered, told) = once(&["--redis.url", &url])?;
        assert!(!answered, "{url}: {told}");
        let counted =
            format!("bullmq_exporter_errors_total{{cause=\"{cause}\",redis=\"default\"}} ");
        let count = told.split(&counted).nth(1).context(told.clone())?;
        assert!(!count.starts_with('0'), "{url}: {told}");
        assert!(!told.contains("wrong@"), "{told}");
    }
    Ok(())
}

#[test]
fn a_password_is_read_from_its_file_and_a_rotated_one_is_followed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let secret = folder.path().join("password");
    let mut redis = Redis::start_with(&["--requirepass", "hunter1"])?;
    fs::write(&secret, "hunter1\n")?;
    let url = redis.url();
    let flags = ["--redis.url", &url, "--redis.password-file", path(&secret)?];
    let mut exporter = Exporter::start_with(&[&flags[..], &QUICK].concat())?;
    until("Redis is up", &exporter, |scrape| {
        up(scrape, "default") == Some(1.0)
    })?;
    // The password changes while the server restarts, as it does when a secret is rotated.
    redis.kill()?;
    let redis = Redis::start_at(redis.port(), &["--requirepass", "hunter2"])?;
    until("the old password is refused", &exporter, |scrape| {
        let refused = [("cause", "authentication")];
        scrape.value("bullmq_exporter_errors_total", &refused) > Some(0.0)
    })?;
    fs::write(&secret, "hunter2")?;
    until("the new password is used", &exporter, |scrape| {
        up(scrape, "default") == Some(1.0)
    })?;
    let log = exporter.process().log();
    assert!(!log.contains("hunter"), "{log}");
    drop(redis);
    Ok(())
}

#[test]
fn a_redis_behind_mutual_tls_is_read_and_new_certificates_are_taken() -> Result<()> {
    let certificates = RedisCertificates::new()?;
    certificates.known_client("client")?;
    certificates.unknown_client("stranger")?;
    let port = free_port()?;
    let encrypting = certificates.arguments(port);
    let encrypting: Vec<&str> = encrypting.iter().map(String::as_str).collect();
    let redis = Redis::start_with(&encrypting)?;
    add_a_job(&redis, "email")?;
    let config = certificates.folder().join("exporter.yml");
    let write = |more: &str| {
        let text = format!(
            "redis:\n- name: main\n  url: rediss://127.0.0.1:{port}\n  tls: {{ca_file: ca.pem{more}}}\n"
        );
        fs::write(&config, text)
    };
    for (more, answers) in [
        (
            ", cert_file: client.pem, key_file: client.key, server_name: redis.shop",
            true,
        ),
        // The server's certificate is for another name.
        (", cert_file: client.pem, key_file: client.key", false),
        // The server wants a certificate.
        (", server_name: redis.shop", false),
        (
            ", cert_file: stranger.pem, key_file: stranger.key, server_name: redis.shop",
            false,
        ),
    ] {
        write(more)?;
        let (answered, told) = once(&["--config.file", path(&config)?])?;
        assert_eq!(answered, answers, "{more}: {told}");
        let told_the_queue = told.contains("redis=\"main\",prefix=\"bull\",queue=\"email\"");
        assert_eq!(told_the_queue, answers, "{more}: {told}");
    }
    // The authorities of the system know nothing of this one.
    let (answered, told) = once(&["--redis.url", &format!("rediss://127.0.0.1:{port}")])?;
    assert!(!answered, "{told}");

    write(", cert_file: stranger.pem, key_file: stranger.key, server_name: redis.shop")?;
    let exporter = Exporter::start_with(&["--config.file", path(&config)?])?;
    until("it is refused", &exporter, |scrape| {
        up(scrape, "main") == Some(0.0)
    })?;
    certificates.known_client("stranger")?;
    until("it is let in", &exporter, |scrape| {
        up(scrape, "main") == Some(1.0)
    })?;
    Ok(())
}

#[test]
fn a_server_that_is_gone_or_hangs_delays_and_hides_no_other() -> Result<()> {
    let (good, hung) = (Redis::start()?, Redis::start()?);
    add_a_job(&good, "email")?;
    add_a_job(&hung, "email")?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("exporter.yml");
    fs::write(
        &config,
        format!(
            "redis:
- {{name: gone, url: 'redis://127.0.0.1:{}'}}
- {{name: good, url: '{}', queues: [email, missing]}}
- {{name: hung, url: '{}'}}
",
            free_port()?,
            good.url(),
            hung.url()
        ),
    )?;
    let exporter =
        Exporter::start_with(&[&["--config.file", path(&config)?][..], &QUICK].concat())?;
    until("both are read", &exporter, |scrape| {
        ready(scrape, "good", "email") == Some(1.0) && ready(scrape, "hung", "email") == Some(1.0)
    })?;
    hung.hang()?;
    let began = Instant::now();
    let scrape = exporter.scrape_with(&[("X-Prometheus-Scrape-Timeout-Seconds", "2")])?;
    assert!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    for (name, is_up, jobs) in [
        ("gone", 0.0, None),
        ("good", 1.0, Some(1.0)),
        ("hung", 0.0, None),
    ] {
        assert_eq!(up(&scrape, name), Some(is_up), "{name}");
        assert_eq!(ready(&scrape, name, "email"), jobs, "{name}");
    }
    let missing = [("redis", "good"), ("queue", "missing")];
    assert_eq!(scrape.value("bullmq_queue_up", &missing), Some(0.0));
    hung.go_on()?;
    until("it is back", &exporter, |scrape| {
        ready(scrape, "hung", "email") == Some(1.0)
    })?;
    Ok(())
}

#[test]
fn a_changed_file_is_followed_and_a_wrong_one_changes_nothing() -> Result<()> {
    let (first, second) = (Redis::start()?, Redis::start()?);
    add_a_job(&first, "email")?;
    add_a_job(&second, "sms")?;
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("exporter.yml");
    let one = format!("redis:\n- {{name: first, url: '{}'}}\n", first.url());
    let two = format!("{one}- {{name: second, url: '{}'}}\n", second.url());
    fs::write(&config, &one)?;
    let mut exporter =
        Exporter::start_with(&[&["--config.file", path(&config)?][..], &QUICK].concat())?;
    let successful = "bullmq_exporter_config_last_reload_successful";
    let scrape = until("the first is read", &exporter, |scrape| {
        ready(scrape, "first", "email") == Some(1.0)
    })?;
    assert_eq!(scrape.value(successful, &[]), Some(1.0));
    assert_eq!(up(&scrape, "second"), None);

    fs::write(&config, &two)?;
    until("the second is read", &exporter, |scrape| {
        ready(scrape, "second", "sms") == Some(1.0) && ready(scrape, "first", "email") == Some(1.0)
    })?;

    fs::write(
        &config,
        "redis:\n- {name: first, ulr: 'redis://:hunter2@127.0.0.1'}\n",
    )?;
    exporter.process().signal("HUP")?;
    let scrape = until("the wrong file is told", &exporter, |scrape| {
        scrape.value(successful, &[]) == Some(0.0)
    })?;
    assert_eq!(ready(&scrape, "second", "sms"), Some(1.0));
    let log = exporter.process().log();
    assert!(
        log.contains("unknown field `ulr`") && log.contains("exporter.yml:2:"),
        "{log}"
    );
    assert!(!log.contains("hunter2"), "{log}");
    assert_eq!(
        log.matches("the old one stays in force").count(),
        1,
        "{log}"
    );

    fs::write(&config, &one)?;
    let scrape = until("the second is read no longer", &exporter, |scrape| {
        up(scrape, "second").is_none() && scrape.value(successful, &[]) == Some(1.0)
    })?;
    assert!(!scrape.text.contains("redis=\"second\""), "{}", scrape.text);
    assert_eq!(ready(&scrape, "first", "email"), Some(1.0));
    Ok(())
}

#[test]
fn a_configuration_is_checked_without_being_used() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = folder.path().join("exporter.yml");
    fs::write(&config, "redis: [{name: a, url: 'redis://127.0.0.1:1'}]\n")?;
    let file = path(&config)?;
    let nowhere = folder.path().join("nowhere");
    for (flags, code, contains) in [
        (vec!["--config.check"], 0, "1 server."),
        (
            vec!["--config.check", "--config.file", file],
            0,
            "1 server.",
        ),
        (
            vec![
                "--config.check",
                "--config.file",
                file,
                "--redis.url",
                "redis://a",
            ],
            2,
            "--redis.url beside --config.file",
        ),
        (
            vec!["--config.check", "--redis.password-file", path(&nowhere)?],
            2,
            "--redis.password-file",
        ),
        (
            vec!["--config.check", "--config.file", path(&nowhere)?],
            2,
            "No such file",
        ),
        (
            vec!["--config.check", "--redis.url", "redis+sentinel://a"],
            2,
            "the name of the master",
        ),
        (
            vec!["--config.check", "--redis.url", "redis+cluster://a:7000,b"],
            0,
            "1 server.",
        ),
        (
            vec![
                "--config.check",
                "--redis.url",
                "redis+cluster://:hunter2@a",
                "--collect.events",
            ],
            0,
            "1 server.",
        ),
    ] {
        let output = Exporter::run(&flags)?;
        let told = String::from_utf8([output.stdout, output.stderr].concat())?;
        assert_eq!(output.status.code(), Some(code), "{flags:?}: {told}");
        assert!(told.contains(contains), "{flags:?}: {told}");
    }
    Ok(())
}

#[test]
fn sentinels_are_asked_where_redis_is_and_a_failover_is_followed() -> Result<()> {
    let mut primary = Redis::start()?;
    add_a_job(&primary, "email")?;
    let follow = format!("127.0.0.1 {}", primary.port());
    let replica = Redis::start_with(&["--replicaof", &follow, "--repl-diskless-sync-delay", "0"])?;
    let sentinel = Sentinel::of(&primary)?;
    sentinel.wait_until_linked(&replica)?;
    let port = sentinel.port();
    let nobody = free_port()?;
    let url = format!("redis+sentinel://127.0.0.1:{nobody},127.0.0.1:{port}/shop");
    let exporter = Exporter::start_with(&[&["--redis.url", &url][..], &QUICK].concat())?;
    let role = |scrape: &Scrape| {
        let roles = ["primary", "replica"];
        roles.into_iter().find(|role| {
            scrape
                .value("bullmq_redis_info", &[("role", role)])
                .is_some()
        })
    };
    let scrape = until("the primary is read", &exporter, |scrape| {
        ready(scrape, "default", "email") == Some(1.0)
    })?;
    assert_eq!(role(&scrape), Some("primary"));

    let folder = tempfile::tempdir()?;
    let config = folder.path().join("exporter.yml");
    fs::write(
        &config,
        format!("redis: [{{name: default, url: '{url}', read_from: replica}}]\n"),
    )?;
    let (answered, told) = once(&["--config.file", path(&config)?])?;
    assert!(answered && told.contains("role=\"replica\""), "{told}");

    primary.kill()?;
    let scrape = exporter.scrape()?;
    assert_eq!(up(&scrape, "default"), Some(0.0));
    assert!(!scrape.text.contains("queue=\"email\""));
    let scrape = until("the new primary is read", &exporter, |scrape| {
        ready(scrape, "default", "email") == Some(1.0)
    })?;
    assert_eq!(role(&scrape), Some("primary"));
    assert!(replica.run(&["ROLE"])?.starts_with("master"));

    let unknown = format!("redis+sentinel://127.0.0.1:{port}/nothing");
    let (answered, told) = once(&["--redis.url", &unknown])?;
    assert!(!answered, "{told}");
    assert!(
        told.contains("it does not know the master of this name"),
        "{told}"
    );
    Ok(())
}

/// Makes the users that the exporter printed, as redis-cli reads its lines. Comments are not for it.
fn make_users(port: u16, printed: &str) -> Result<()> {
    let commands = printed.replace("CHANGE-THIS-PASSWORD", "word");
    let mut cli = Command::new("redis-cli")
        .args(["-p", &port.to_string(), "-e"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = cli.stdin.take().context("its input")?;
    for command in commands.lines().filter(|line| !line.starts_with('#')) {
        writeln!(input, "{command}")?;
    }
    drop(input);
    let output = cli.wait_with_output()?;
    let told = String::from_utf8([output.stdout, output.stderr].concat())?;
    ensure!(told.trim() == "OK", "{printed}: {told}");
    Ok(())
}

#[test]
fn the_least_users_that_are_printed_for_a_file_of_servers_are_enough_for_each_of_them() -> Result<()>
{
    let [main, named, shop] = [Redis::start()?, Redis::start()?, Redis::start()?];
    let sentinel = Sentinel::of(&shop)?;
    let port = sentinel.port();
    let folder = tempfile::tempdir()?;
    fs::write(folder.path().join("password"), "word")?;
    let config = folder.path().join("exporter.yml");
    // Another database, keys that have to be quoted, no search, and Sentinels that know who asks.
    fs::write(
        &config,
        format!(
            "redis:
- {{name: main, url: 'redis://ann:word@127.0.0.1:{}/3', prefixes: ['a b', 'b\u{fc}ll', 'it''s']}}
- {{name: named, url: 'redis://bob:word@127.0.0.1:{}', queues: [email]}}
- {{name: shop, url: 'redis+sentinel://bullmq-exporter:word@127.0.0.1:{port}/shop', sentinel: {{username: watcher, password_file: password}}}}
",
            main.port(),
            named.port(),
        ),
    )?;
    for prefix in ["a b", "b\u{fc}ll", "it's"] {
        let keys = |ending: &str| format!("{prefix}:email:{ending}");
        main.run(&["-n", "3", "HSET", &keys("meta"), "opts.maxLenEvents", "1"])?;
        main.run(&["-n", "3", "RPUSH", &keys("wait"), "1"])?;
        main.run(&["-n", "3", "XADD", &keys("events"), "*", "event", "added"])?;
    }
    add_a_job(&named, "email")?;
    add_a_job(&shop, "email")?;

    for more in [&[][..], &["--collect.events"]] {
        let flags = [&["--config.file", path(&config)?][..], &QUICK, more].concat();
        let output = Exporter::run(&[&flags[..], &["--print-acl"]].concat())?;
        let printed = String::from_utf8(output.stdout)?;
        let (of_main, rest) = printed.split_once("# named\n").context("named")?;
        let (of_named, rest) = rest.split_once("# shop\n").context("shop")?;
        let (of_shop, of_sentinels) = rest
            .split_once("# for its Sentinels\n")
            .context("Sentinels")?;
        for (port, printed) in [
            (main.port(), of_main),
            (named.port(), of_named),
            (shop.port(), of_shop),
            (port, of_sentinels),
        ] {
            make_users(port, printed)?;
        }

        let mut exporter = Exporter::start_with(&flags)?;
        until("every server is read", &exporter, |scrape| {
            let of_prefix = |prefix| {
                let labels = [("redis", "main"), ("prefix", prefix), ("queue", "email")];
                scrape.value("bullmq_queue_ready_jobs", &labels) == Some(1.0)
            };
            let events = scrape.samples("bullmq_job_events_total").count();
            ["a b", "b\u{fc}ll", "it's"].into_iter().all(of_prefix)
                && ready(scrape, "named", "email") == Some(1.0)
                && ready(scrape, "shop", "email") == Some(1.0)
                && (more.is_empty() || events > 0)
        })?;
        let log = exporter.process().log();
        assert!(!log.contains("level=warn"), "{more:?}: {log}");
    }
    Ok(())
}

//! Does the web side do what Prometheus and the people who run it expect: formats, compression, paths, TLS, users, bounds?

use std::fs;
use std::io::{Read as _, Seek as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use acceptance::{Authority, BullMq, Exporter, Prometheus, Redis, Version, repository, wait_until};
use anyhow::{Context as _, Result, ensure};
use serde_json::json;

const LIMIT: Duration = Duration::from_secs(30);
/// The name of the queue, as it stands between the quotes of a label.
const QUEUE: &str = r#"a\"b\\c\nd"#;

fn redis_with_a_queue() -> Result<Redis> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?.run("await queue('a\"b\\\\c\\nd').add('job', {});")?;
    Ok(redis)
}

/// An answer as it came over the connection.
struct Answer {
    head: String,
    body: Vec<u8>,
}

/// Sends a request, word for word, and reads the answer to its end.
fn ask(address: &str, request: &str) -> Result<Answer> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.write_all(request.replace('\n', "\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    let end = answer
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .context("no end of the head")?;
    let body = answer.split_off(end + 4);
    Ok(Answer {
        head: String::from_utf8(answer)?.to_lowercase(),
        body,
    })
}

fn get(exporter: &Exporter, path: &str, headers: &str) -> Result<Answer> {
    let request = format!("GET {path} HTTP/1.1\nHost: here\nConnection: close\n{headers}\n");
    ask(exporter.address(), &request)
}

/// Reads an exposition with Prometheus' own client for Python, and returns the number of its samples.
fn samples_by_python(text: &[u8]) -> Result<usize> {
    let python = repository().join("tests/bullmq-python/.venv/bin/python3");
    let mut reader = Command::new(python)
        .args([
            "-c",
            "import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
families = list(parse(sys.stdin.read()))
assert len({family.name for family in families}) == len(families)
print(sum(len(family.samples) for family in families))",
        ])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("the Python of the tests; make tools installs it")?;
    reader.stdin.take().context("stdin")?.write_all(text)?;
    let output = reader.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?.trim().parse()?)
}

#[test]
fn openmetrics_is_served_to_whoever_wants_it_and_read_by_another_implementation() -> Result<()> {
    let redis = redis_with_a_queue()?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found(QUEUE)?;
    let text = get(&exporter, "/metrics", "")?;
    assert!(
        text.head
            .contains("content-type: text/plain; version=0.0.4; charset=utf-8"),
        "{}",
        text.head
    );
    let openmetrics = get(
        &exporter,
        "/metrics",
        "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5\n",
    )?;
    assert!(
        openmetrics
            .head
            .contains("content-type: application/openmetrics-text; version=1.0.0; charset=utf-8"),
        "{}",
        openmetrics.head
    );
    let samples = |body: &[u8]| {
        let text = String::from_utf8_lossy(body).into_owned();
        text.lines().filter(|line| !line.starts_with('#')).count()
    };
    assert_eq!(samples(&text.body), samples(&openmetrics.body));
    assert_eq!(
        samples_by_python(&openmetrics.body)?,
        samples(&openmetrics.body)
    );
    assert!(openmetrics.body.ends_with(b"\n# EOF\n"));
    assert!(!text.body.ends_with(b"# EOF\n"));
    Ok(())
}

/// What is in the gzip, by the program of that name.
fn gunzip(compressed: &[u8]) -> Result<Vec<u8>> {
    let mut file = tempfile::tempfile()?;
    file.write_all(compressed)?;
    file.rewind()?;
    let output = Command::new("gzip").arg("-dc").stdin(file).output()?;
    ensure!(output.status.success(), "gzip refuses it");
    Ok(output.stdout)
}

/// What stands in a chunked body: <https://www.rfc-editor.org/rfc/rfc9112#section-7.1>.
fn joined_chunks(mut body: &[u8]) -> Result<Vec<u8>> {
    let mut whole = Vec::new();
    loop {
        let end = body.windows(2).position(|window| window == b"\r\n");
        let (size, rest) = body.split_at(end.context("no size of a chunk")?);
        let size = usize::from_str_radix(str::from_utf8(size)?, 16)?;
        whole.extend_from_slice(rest.get(2..2 + size).context("a chunk is cut off")?);
        if size == 0 {
            return Ok(whole);
        }
        body = rest.get(2 + size + 2..).context("no last chunk")?;
    }
}

#[test]
fn a_scrape_of_any_size_is_compressed_by_one_thread_and_served_by_one() -> Result<()> {
    // The allocator keeps a heap for each thread, which grows to what the largest page needed.
    let redis = Redis::start()?;
    let make = "for number = 1, 2000 do redis.call('HSET', 'bull:queue-' .. number .. ':meta', 'version', 'bullmq:6.7.0') end";
    redis.run(&["EVAL", make, "0"])?;
    let mut exporter = Exporter::start_with(&["--redis.url", &redis.url(), "--collect.events"])?;
    exporter.scrape_when_found("queue-2000")?;
    for _ in 0..5 {
        let page = get(&exporter, "/metrics", "Accept-Encoding: gzip\n")?;
        assert!(page.body.len() > 100_000, "it is compressed in pieces");
    }
    let threads = fs::read_dir(format!("/proc/{}/task", exporter.process().id()))?.count();
    assert_eq!(
        threads, 3,
        "the first, the one that reads and serves, and the one that compresses"
    );
    Ok(())
}

#[test]
fn a_page_of_many_queues_is_the_same_streamed_compressed_or_whole() -> Result<()> {
    let redis = Redis::start()?;
    let fill = "for i = 0, 299 do redis.call('HSET', 'bull:q' .. i .. ':meta', 'opts.maxLenEvents', '10000') end";
    redis.run(&["EVAL", fill, "0"])?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found("q299")?;

    let streamed = get(&exporter, "/metrics", "")?;
    assert!(
        streamed.head.contains("transfer-encoding: chunked"),
        "{}",
        streamed.head
    );
    let streamed = joined_chunks(&streamed.body)?;
    let compressed = get(&exporter, "/metrics", "Accept-Encoding: gzip\n")?;
    let inside = gunzip(&joined_chunks(&compressed.body)?)?;
    // HTTP/1.0 knows no chunks: without its length a page that was cut off would look whole.
    let whole = ask(exporter.address(), "GET /metrics HTTP/1.0\n\n")?;
    let length = format!("content-length: {}\r\n", whole.body.len());
    assert!(whole.head.contains(&length), "{}", whole.head);
    let head = ask(
        exporter.address(),
        "HEAD /metrics HTTP/1.1\nHost: here\nConnection: close\n\n",
    )?;
    assert!(head.head.starts_with("http/1.1 200"), "{}", head.head);
    assert_eq!(head.body, b"");

    let of_queues = |text: &[u8]| -> Result<Vec<String>> {
        let text = str::from_utf8(text)?;
        let lines = text
            .lines()
            .filter(|line| line.starts_with("bullmq_queue_up{"));
        Ok(lines.map(str::to_owned).collect())
    };
    let expected = of_queues(&streamed)?;
    assert_eq!(expected.len(), 300);
    assert_eq!(of_queues(&inside)?, expected);
    assert_eq!(of_queues(&whole.body)?, expected);
    for text in [&streamed, &inside, &whole.body] {
        assert!(text.ends_with(b"\n"));
    }
    Ok(())
}

#[test]
fn a_large_answer_is_compressed_for_whoever_takes_it_and_is_the_same_inside() -> Result<()> {
    let redis = redis_with_a_queue()?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found(QUEUE)?;
    let compressed = get(&exporter, "/metrics", "Accept-Encoding: gzip\n")?;
    assert!(compressed.head.contains("content-encoding: gzip"));
    assert!(compressed.head.contains("vary: accept, accept-encoding"));
    let inside = String::from_utf8(gunzip(&compressed.body)?)?;
    assert!(
        inside.contains("bullmq_up{redis=\"default\"} 1\n"),
        "{inside}"
    );
    assert!(inside.len() > 3 * compressed.body.len());

    let plain = get(&exporter, "/metrics", "Accept-Encoding: gzip;q=0\n")?;
    assert!(!plain.head.contains("content-encoding"), "{}", plain.head);
    let small = get(&exporter, "/-/healthy", "Accept-Encoding: gzip\n")?;
    assert!(!small.head.contains("content-encoding"), "{}", small.head);
    Ok(())
}

#[test]
fn every_path_can_be_moved() -> Result<()> {
    let redis = redis_with_a_queue()?;
    let exporter = Exporter::start_with(&[
        "--redis.url",
        &redis.url(),
        "--web.route-prefix",
        "/bullmq/",
        "--web.telemetry-path",
        "/internal/metrics",
    ])?;
    for (path, status, contains) in [
        ("/bullmq/", 200, "href=\"internal/metrics\""),
        ("/bullmq/internal/metrics", 200, "bullmq_up"),
        ("/bullmq/-/healthy", 200, "healthy"),
        ("/bullmq/-/ready", 200, "ready"),
        // By a redirect: the links of the page are relative.
        ("/bullmq", 200, "href=\"internal/metrics\""),
        ("/bullmq/status.js", 200, "\"use strict\""),
        ("/bullmq/status.css", 200, "prefers-color-scheme"),
        ("/bullmq/api/v1/status", 200, "\"state\":\"up\""),
        ("/bullmq/status.html", 404, "/bullmq/ lists"),
        ("/", 404, "/bullmq/ lists"),
        ("/metrics", 404, ""),
        ("/bullmq/metrics", 404, ""),
        ("/bullmqx/-/ready", 404, ""),
    ] {
        let (answered, body) = exporter.get(path)?;
        assert_eq!(answered, status, "{path}");
        assert!(body.contains(contains), "{path}: {body}");
    }
    for (flag, value) in [
        ("--web.telemetry-path", "metrics"),
        ("--web.telemetry-path", "/-/ready"),
        ("--web.telemetry-path", "/"),
        ("--web.telemetry-path", "/a b"),
        ("--web.route-prefix", "bullmq"),
        ("--web.route-prefix", "/a?b"),
    ] {
        let output = Exporter::run(&[flag, value])?;
        let told = String::from_utf8(output.stderr)?;
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(&format!("{flag} '{value}'")), "{told}");
    }
    Ok(())
}

/// Waits until Prometheus says whether it can scrape the exporter.
fn scraped(prometheus: &Prometheus, up: f64) -> Result<()> {
    wait_until(&format!("up is {up}"), LIMIT, || {
        let samples = prometheus.query("up")?;
        Ok(samples
            .first()
            .is_some_and(|sample| (sample.value - up).abs() < 0.5)
            .then_some(()))
    })
}

#[test]
fn prometheus_scrapes_over_mutual_tls_as_a_user_and_certificates_are_rotated_in_place() -> Result<()>
{
    let redis = redis_with_a_queue()?;
    let folder = tempfile::tempdir()?;
    let (folder, authority, stranger) = (folder.path(), Authority::new()?, Authority::new()?);
    authority.write(&folder.join("ca.pem"))?;
    authority.issue(folder, "server", "127.0.0.1")?;
    authority.issue(folder, "client", "127.0.0.1")?;
    stranger.issue(folder, "stranger", "127.0.0.1")?;
    let hash = bcrypt::hash("s3cret", 5)?;
    let web = folder.join("web.yml");
    fs::write(
        &web,
        format!(
            "tls_server_config:
  cert_file: server.pem
  key_file: server.key
  client_ca_file: ca.pem
  client_auth_type: RequireAndVerifyClientCert
  min_version: TLS13
basic_auth_users:
  prometheus: {hash}
http_server_config:
  headers:
    Strict-Transport-Security: max-age=31536000
"
        ),
    )?;
    let path = web.to_str().context("a path")?;
    let mut exporter =
        Exporter::start_with(&["--redis.url", &redis.url(), "--web.config.file", path])?;
    let address = exporter.address().to_owned();
    let scrape_as = |certificate: &str, password: &str| {
        let more = json!({
            "scheme": "https",
            "tls_config": {
                "ca_file": folder.join("ca.pem"),
                "cert_file": folder.join(format!("{certificate}.pem")),
                "key_file": folder.join(format!("{certificate}.key")),
            },
            "basic_auth": { "username": "prometheus", "password": password },
        });
        Prometheus::start_with(&[&address], Duration::from_millis(500), &more)
    };
    scraped(&scrape_as("client", "s3cret")?, 1.0)?;
    scraped(&scrape_as("client", "wrong")?, 0.0)?;
    scraped(&scrape_as("stranger", "s3cret")?, 0.0)?;
    // Without TLS there is no answer that says anything.
    let plain = get(&exporter, "/metrics", "");
    assert!(plain.is_err() || plain.is_ok_and(|answer| !answer.head.contains("200 ok")));

    // A new authority, as when a certificate is rotated: who trusts it is served, who trusts the old one no longer.
    let next = Authority::new()?;
    next.write(&folder.join("ca.pem"))?;
    next.issue(folder, "server", "127.0.0.1")?;
    next.issue(folder, "client", "127.0.0.1")?;
    scraped(&scrape_as("client", "s3cret")?, 1.0)?;

    // A broken file keeps the old certificate, and says so once.
    fs::write(folder.join("server.pem"), "no certificate\n")?;
    wait_until("the log says it", LIMIT, || {
        Ok(exporter
            .process()
            .log()
            .contains("the old one stays in force")
            .then_some(()))
    })?;
    scraped(&scrape_as("client", "s3cret")?, 1.0)?;
    let log = exporter.process().log();
    assert!(!log.contains("s3cret") && !log.contains(&hash), "{log}");
    Ok(())
}

#[test]
fn only_known_users_are_served_and_every_answer_has_the_headers() -> Result<()> {
    let redis = redis_with_a_queue()?;
    let folder = tempfile::tempdir()?;
    let web = folder.path().join("web.yml");
    let write = |password: &str| -> Result<()> {
        let hash = bcrypt::hash(password, 4)?;
        let text = format!(
            "basic_auth_users: {{anna: {hash}}}\nhttp_server_config: {{headers: {{X-Frame-Options: deny}}}}\n"
        );
        Ok(fs::write(&web, text)?)
    };
    write("first")?;
    let path = web.to_str().context("a path")?;
    let exporter = Exporter::start_with(&["--redis.url", &redis.url(), "--web.config.file", path])?;
    // anna:first and anna:second, in base64.
    let (first, second) = (
        "Authorization: Basic YW5uYTpmaXJzdA==\n",
        "Authorization: Basic YW5uYTpzZWNvbmQ=\n",
    );
    for (path, headers, status) in [
        ("/metrics", "", "401"),
        ("/", "", "401"),
        ("/-/healthy", "", "401"),
        ("/nothing", "", "401"),
        ("/metrics", first, "200"),
        ("/metrics", second, "401"),
        ("/-/healthy", first, "200"),
        ("/nothing", first, "404"),
    ] {
        let answer = get(&exporter, path, headers)?;
        assert!(
            answer.head.starts_with(&format!("http/1.1 {status}")),
            "{path} {headers}: {}",
            answer.head
        );
        assert!(answer.head.contains("x-frame-options: deny"), "{path}");
        assert_eq!(
            answer.head.contains("www-authenticate: basic"),
            status == "401"
        );
    }
    write("second")?;
    wait_until("the new password is in force", LIMIT, || {
        let answer = get(&exporter, "/metrics", second)?;
        Ok(answer.head.starts_with("http/1.1 200").then_some(()))
    })?;
    assert!(
        get(&exporter, "/metrics", first)?
            .head
            .starts_with("http/1.1 401")
    );
    Ok(())
}

#[test]
fn a_wrong_web_config_ends_the_start_with_its_place_and_without_its_secrets() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let web = folder.path().join("web.yml");
    fs::write(&web, "basic_auth_users:\n  anna: hunter2\n")?;
    let path = web.to_str().context("a path")?;
    let output = Exporter::run(&["--web.config.file", path])?;
    let told = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(2), "{told}");
    for part in [
        "--web.config.file",
        "the password of `anna` is no hash of bcrypt",
        "web.yml:2:9",
        "help: write a hash of bcrypt",
    ] {
        assert!(told.contains(part), "{part}: {told}");
    }
    assert!(!told.contains("hunter2"), "{told}");
    let output = Exporter::run(&["--web.config.file", "/nowhere/web.yml"])?;
    assert_eq!(output.status.code(), Some(2));
    Ok(())
}

#[test]
fn a_client_that_reads_nothing_is_given_up_and_holds_nobody_else() -> Result<()> {
    let redis = Redis::start()?;
    // More than the buffers of both ends of a connection hold.
    let fill = "for i = 0, 5999 do redis.call('HSET', 'bull:q' .. i .. ':meta', 'opts.maxLenEvents', '10000') end";
    redis.run(&["EVAL", fill, "0"])?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found("q5999")?;
    let mut idle = TcpStream::connect(exporter.address())?;
    idle.write_all(b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n")?;
    let asked = Instant::now();
    // Somebody who never finishes to ask is no hindrance either.
    let mut silent = TcpStream::connect(exporter.address())?;
    silent.write_all(b"GET /metr")?;
    while asked.elapsed() < Duration::from_secs(13) {
        let (status, _) = exporter.get("/-/healthy")?;
        assert_eq!(status, 200);
        std::thread::sleep(Duration::from_secs(1));
    }
    idle.set_read_timeout(Some(LIMIT))?;
    let mut read = Vec::new();
    // What was on its way comes; then the connection ends, before the answer does.
    let _ = idle.read_to_end(&mut read);
    let whole = exporter.scrape()?.text.len();
    assert!(read.len() < whole, "{} of {whole}", read.len());
    Ok(())
}

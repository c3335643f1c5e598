//! `bullmq-keda verify` against a real Prometheus, and against servers that answer as none should.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use acceptance::{BullMq, Exporter, Prometheus, Redis, Version, ours, wait_until};
use anyhow::{Context as _, Result};
use serde_json::{Value, json};

const SCRAPE_INTERVAL: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(40);
/// The password of the users here, and its hash as Prometheus keeps it.
const PASSWORD: &str = "test-password";
const HASH: &str = "$2b$04$abcdefghijklmnopqrstuuobFaEJANklW4I6zZpcLRbXjrME4Qa2m";

/// A folder with a spec in it.
struct Spec {
    folder: tempfile::TempDir,
}

impl Spec {
    fn new(server: &str, prometheus: &str, workers: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let text = format!(
            "apiVersion: bullmq-keda/v1\nprometheus: {{serverAddress: \"{server}\"{prometheus}}}\ndefaults: {{concurrency: 5, replicas: {{min: 0, max: 20}}}}\nworkers:\n{workers}"
        );
        std::fs::write(folder.path().join("spec.yaml"), text)?;
        Ok(Self { folder })
    }

    fn file(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.folder.path().join(name);
        std::fs::write(&path, content)?;
        Ok(path)
    }

    fn command(&self, flags: &[&str]) -> Result<Command> {
        let mut command = Command::new(ours("bullmq-keda")?);
        command
            .arg("verify")
            .arg("spec.yaml")
            .args(flags)
            .current_dir(self.folder.path());
        Ok(command)
    }

    /// Exit code, stdout and stderr.
    fn verify(&self, flags: &[&str]) -> Result<(i32, String, String)> {
        let output = self.command(flags)?.output()?;
        Ok((
            output.status.code().context("it was killed")?,
            String::from_utf8(output.stdout)?,
            String::from_utf8(output.stderr)?,
        ))
    }

    fn json(&self, flags: &[&str]) -> Result<(i32, Value)> {
        let (code, out, err) = self.verify(&[&["--output", "json"], flags].concat())?;
        let document = serde_json::from_str(&out).with_context(|| format!("{out}{err}"))?;
        Ok((code, document))
    }

    /// Verifies until a worker's decision and the kinds of all findings are these, and returns the exit code with the last document.
    fn wait_for(&self, decision: &str, findings: &[&str]) -> Result<(i32, Value)> {
        let mut last = (0, Value::Null);
        wait_until(&format!("{decision} {findings:?}"), LIMIT, || {
            last = self.json(&[])?;
            let now = at(&last.1, "/prometheus/0/workers/0/decision/kind");
            Ok((now == decision && kinds(&last.1) == findings).then_some(()))
        })
        .with_context(|| format!("{:#}", last.1))?;
        Ok(last)
    }
}

fn at<'v>(document: &'v Value, pointer: &str) -> &'v Value {
    document.pointer(pointer).unwrap_or(&Value::Null)
}

/// The kinds of all findings, those that concern every worker first.
fn kinds(document: &Value) -> Vec<&str> {
    let mut kinds = Vec::new();
    for prometheus in at(document, "/prometheus").as_array().into_iter().flatten() {
        let workers = at(prometheus, "/workers").as_array().into_iter().flatten();
        for holder in std::iter::once(prometheus).chain(workers) {
            let findings = at(holder, "/findings").as_array().into_iter().flatten();
            kinds.extend(findings.filter_map(|finding| finding.get("kind")?.as_str()));
        }
    }
    kinds
}

/// The help of the first finding of a kind.
fn help<'v>(document: &'v Value, kind: &str) -> &'v str {
    let findings = at(document, "/prometheus/0/workers/0/findings").as_array();
    let mut found = findings
        .into_iter()
        .flatten()
        .filter(|finding| at(finding, "/kind") == kind);
    found
        .next()
        .and_then(|finding| finding.get("help")?.as_str())
        .unwrap_or_default()
}

fn add(bullmq: &mut BullMq, queue: &str, jobs: u32) -> Result<()> {
    let queue = json!(queue);
    bullmq.run(&format!(
        "for (let i = 0; i < {jobs}; i++) await queue({queue}).add('job', {{}});"
    ))?;
    Ok(())
}

#[test]
fn a_worker_is_followed_from_scaling_through_every_loss_and_back() -> Result<()> {
    let mut redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::V6, &redis)?;
    add(&mut bullmq, "email", 12)?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found("email")?;
    let prometheus = Prometheus::start(&[exporter.address()], SCRAPE_INTERVAL)?;
    let spec = Spec::new(
        "http://prometheus.monitoring.svc:9090",
        ", scrapeInterval: 500ms",
        "  - {name: email, queues: [email], startup: 20s}\n",
    )?;
    // The address of the cluster is not known here, and is told how to be reached.
    let (code, out, err) = spec.verify(&[])?;
    assert_eq!((code, out.as_str()), (2, ""), "{err}");
    assert!(
        err.contains("cannot ask Prometheus at http://prometheus.monitoring.svc:9090: "),
        "{err}"
    );
    assert!(
        err.contains("kubectl port-forward -n monitoring svc/prometheus 19090:9090"),
        "{err}"
    );

    let spec = Spec::new(
        prometheus.url(),
        ", scrapeInterval: 500ms",
        "  - {name: email, queues: [email], startup: 20s}\n",
    )?;
    // It takes three scrapes to know the interval.
    wait_until("the interval is known", LIMIT, || {
        let (_, document) = spec.json(&[])?;
        Ok(
            at(&document, "/prometheus/0/exporters/0/scrapeIntervalSeconds")
                .is_f64()
                .then_some(()),
        )
    })?;
    let (code, document) = spec.wait_for("replicas", &[])?;
    assert_eq!(code, 0);
    assert_eq!(at(&document, "/fine"), true);
    let worker = at(&document, "/prometheus/0/workers/0");
    assert_eq!(at(worker, "/decision/replicas"), 3, "{worker:#}");
    assert_eq!(at(worker, "/triggers/0/value"), 12.0);
    assert_eq!(at(worker, "/triggers/0/active"), true);
    assert_eq!(at(worker, "/queues/0/series"), 1);
    let age = at(worker, "/queues/0/ageSeconds")
        .as_f64()
        .context("an age")?;
    assert!(age < 3.0, "{age}");
    let exporters = at(&document, "/prometheus/0/exporters/0");
    assert_eq!(at(exporters, "/version"), env!("CARGO_PKG_VERSION"));
    let interval = at(exporters, "/scrapeIntervalSeconds")
        .as_f64()
        .context("an interval")?;
    assert!((0.4..0.6).contains(&interval), "{interval}");

    let (code, out, err) = spec.verify(&[])?;
    assert_eq!((code, err.as_str()), (0, ""));
    assert!(out.contains("\nemail: 3 replicas\n  Deployment email, 0 to 20 replicas\n  trigger demand  12 / 5 = 3, active\n  queue email  demand 12, "), "{out}");
    assert!(!out.contains('\u{1b}'), "no colours in a pipe: {out}");

    // Redis is gone, then the queue, then the exporter.
    drop(bullmq);
    redis.kill()?;
    let (code, _) = spec.wait_for("hold", &["redis-down"])?;
    assert_eq!(code, 1);
    redis.start_again()?;
    let (_, document) = spec.wait_for("hold", &["queue-missing"])?;
    assert_eq!(
        help(&document, "queue-missing"),
        "no exporter tells of any queue; a queue is there from its first job on"
    );
    let mut bullmq = BullMq::start(Version::V5, &redis)?;
    bullmq.run("await queue('email').add('job', {}); await queue('email').drain();")?;
    let (code, document) = spec.wait_for("zero", &[])?;
    assert_eq!(
        (
            code,
            at(&document, "/prometheus/0/workers/0/decision/replicas")
        ),
        (0, &json!(0))
    );
    drop(exporter);
    let (code, document) = spec.wait_for("hold", &["exporter-missing"])?;
    assert_eq!(code, 1);
    assert_eq!(at(&document, "/prometheus/0/exporters/0/up"), false);
    Ok(())
}

/// The worker's queues and what else it says; the decision, the findings, the first of which has this kind and help.
type Missing<'m> = (&'m str, &'m str, &'m str, &'m [&'m str], &'m str, &'m str);

const MISSING: [Missing<'static>; 9] = [
    // n8n's chart watched `default`, and its queue is called `jobs`.
    (
        "[default]",
        "",
        "hold",
        &["queue-missing"],
        "queue-missing",
        "there are of this prefix: `email`, `jobs`, `{sms}\\\"\\\\`; a queue is there from its first job on",
    ),
    (
        "[emial]",
        "",
        "hold",
        &["queue-missing"],
        "queue-missing",
        "did you mean `email`?",
    ),
    (
        "['bull:email:wait']",
        "",
        "hold",
        &["queue-missing"],
        "queue-missing",
        "did you mean `email`?",
    ),
    (
        "[video]",
        "",
        "hold",
        &["queue-missing"],
        "queue-missing",
        "it is there as `{name: \"video\", prefix: \"app\"}`",
    ),
    (
        "[{name: email, redis: main}]",
        "",
        "hold",
        &["redis-unknown"],
        "redis-unknown",
        "write `redis:` as the exporter's configuration names it: `default`",
    ),
    // One queue is missing: the other wakes the worker, but no more.
    (
        "[email, gone]",
        "",
        "wake",
        &["queue-missing"],
        "queue-missing",
        "there are of this prefix: `email`, `jobs`, `{sms}\\\"\\\\`; a queue is there from its first job on",
    ),
    (
        "[email, {name: mail, optional: true}]",
        "",
        "replicas",
        &["queue-missing"],
        "queue-missing",
        "did you mean `email`?",
    ),
    ("['{sms}\"\\']", "", "replicas", &[], "", ""),
    (
        "[email]",
        ", startup: 40s",
        "hold",
        &["horizon-missing"],
        "horizon-missing",
        "start it with `--bullmq.horizon=1m`, or write what it serves: `horizons: [30s]`",
    ),
];

#[test]
fn what_is_missing_is_told_with_what_is_there() -> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::V6, &redis)?;
    for queue in ["jobs", "email", "{sms}\"\\"] {
        add(&mut bullmq, queue, 2)?;
    }
    bullmq.run("await queue('video', { prefix: 'app' }).add('job', {});")?;
    let exporter = Exporter::start_with(&[
        "--redis.url",
        &redis.url(),
        "--discovery.interval",
        "200ms",
        "--bullmq.prefix=bull",
        "--bullmq.prefix=app",
        "--bullmq.horizon=30s",
    ])?;
    for queue in ["jobs", "email", "video"] {
        exporter.scrape_when_found(queue)?;
    }
    let prometheus = Prometheus::start(&[exporter.address()], SCRAPE_INTERVAL)?;
    let settled = Spec::new(
        prometheus.url(),
        ", scrapeInterval: 500ms",
        "  - {name: w, queues: [email]}\n",
    )?;
    settled.wait_for("replicas", &[])?;
    for (queues, more, decision, findings, kind, expected) in MISSING {
        let worker = format!("  - {{name: w, queues: {queues}{more}}}\n");
        let spec = Spec::new(prometheus.url(), ", scrapeInterval: 500ms", &worker)?;
        let (code, document) = spec.json(&[])?;
        assert_eq!(kinds(&document), findings, "{queues}: {document:#}");
        assert_eq!(
            at(&document, "/prometheus/0/workers/0/decision/kind"),
            decision,
            "{queues}"
        );
        assert_eq!(help(&document, kind), expected, "{queues}");
        // What is optional may be missing.
        let expected = i32::from(!findings.is_empty() && decision != "replicas");
        assert_eq!(code, expected, "{queues}");
    }
    intervals_are_told(&prometheus)?;
    hiding_matchers_are_told(&prometheus)
}

fn intervals_are_told(prometheus: &Prometheus) -> Result<()> {
    let settled = Spec::new(
        prometheus.url(),
        ", scrapeInterval: 500ms",
        "  - {name: w, queues: [email]}\n",
    )?;
    wait_until("the interval is known", LIMIT, || {
        let (_, document) = settled.json(&[])?;
        let interval = at(&document, "/prometheus/0/exporters/0/scrapeIntervalSeconds");
        Ok(interval.is_f64().then_some(()))
    })?;
    // Scraped more seldom than the spec says, and more often.
    for (told, severity, code) in [("100ms", "warning", 1), ("15s", "info", 0)] {
        let spec = Spec::new(
            prometheus.url(),
            &format!(", scrapeInterval: {told}"),
            "  - {name: w, queues: [email]}\n",
        )?;
        let (exit, document) = spec.json(&[])?;
        assert_eq!(kinds(&document), ["scrape-interval"], "{told}");
        assert_eq!(at(&document, "/prometheus/0/findings/0/severity"), severity);
        assert_eq!(exit, code, "{told}");
        let help = at(&document, "/prometheus/0/findings/0/help")
            .as_str()
            .unwrap_or_default();
        assert!(help.contains("`scrapeInterval: 500ms`"), "{help}");
    }
    Ok(())
}

fn hiding_matchers_are_told(prometheus: &Prometheus) -> Result<()> {
    // Matchers that hide the exporter are told with the labels that it has.
    let spec = Spec::new(
        prometheus.url(),
        ", matchers: {job: bullmq}",
        "  - {name: w, queues: [email]}\n",
    )?;
    let (code, document) = spec.json(&[])?;
    assert_eq!((code, kinds(&document)), (1, vec!["exporter-missing"]));
    assert_eq!(
        help(&document, "exporter-missing"),
        "there are exporters, but without these `matchers`: {job: \"bullmq-exporter\"}"
    );
    Ok(())
}

#[test]
fn two_environments_are_told_apart_from_two_exporters_of_one() -> Result<()> {
    let (shop, staging) = (Redis::start()?, Redis::start()?);
    add(&mut BullMq::start(Version::V6, &shop)?, "email", 3)?;
    add(&mut BullMq::start(Version::V6, &staging)?, "email", 40)?;
    let exporters = [
        Exporter::start(&shop)?,
        Exporter::start(&shop)?,
        Exporter::start(&staging)?,
    ];
    for exporter in &exporters {
        exporter.scrape_when_found("email")?;
    }
    let job = |name: &str, targets: &[&str], namespace: &str| json!({"job_name": name, "static_configs": [{"targets": targets, "labels": {"namespace": namespace}}]});
    let [one, other, foreign] = exporters.each_ref().map(Exporter::address);
    let jobs = [
        job("shop", &[one, other], "shop"),
        job("staging", &[foreign], "staging"),
    ];
    let prometheus = Prometheus::start_jobs(&jobs, SCRAPE_INTERVAL, None)?;
    let worker = "  - {name: email, queues: [email]}\n";
    let both = Spec::new(prometheus.url(), ", scrapeInterval: 500ms", worker)?;
    let (code, document) = both.wait_for("replicas", &["ambiguous-identity"])?;
    assert_eq!(code, 1);
    let finding = at(&document, "/prometheus/0/workers/0/findings/0");
    assert_eq!(
        at(finding, "/message"),
        "several environments have a queue `email`, and the largest of their demands counts: namespace=\"shop\" says 3, namespace=\"staging\" says 40"
    );
    assert_eq!(
        at(finding, "/help"),
        "choose one under `prometheus`, such as `matchers: {namespace: \"shop\"}`"
    );
    // Two exporters of one Redis are no two environments.
    let shop = Spec::new(
        prometheus.url(),
        ", scrapeInterval: 500ms, matchers: {namespace: shop}",
        worker,
    )?;
    let (code, document) = shop.wait_for("replicas", &[])?;
    assert_eq!(
        (
            code,
            at(&document, "/prometheus/0/workers/0/queues/0/series")
        ),
        (0, &json!(2))
    );
    let wrong = Spec::new(
        prometheus.url(),
        ", scrapeInterval: 500ms, matchers: {namespace: staging}",
        "  - {name: w, queues: [emai]}\n",
    )?;
    let (_, document) = wrong.json(&[])?;
    assert_eq!(help(&document, "queue-missing"), "did you mean `email`?");
    Ok(())
}

#[test]
fn a_prometheus_with_tls_and_users_is_asked_with_files() -> Result<()> {
    let redis = Redis::start()?;
    add(&mut BullMq::start(Version::V6, &redis)?, "email", 1)?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found("email")?;
    let keys = tempfile::tempdir()?;
    certificate(keys.path())?;
    let web = json!({
        "tls_server_config": {
            "cert_file": keys.path().join("server.pem"), "key_file": keys.path().join("server.key"),
            "client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": keys.path().join("server.pem"),
        },
        "basic_auth_users": {"keda": HASH},
    });
    let job = json!({"job_name": "bullmq-exporter", "static_configs": [{"targets": [exporter.address()]}]});
    let prometheus = Prometheus::start_jobs(&[job], SCRAPE_INTERVAL, Some(&web))?;
    let spec = Spec::new(
        prometheus.url(),
        ", scrapeInterval: 500ms",
        "  - {name: email, queues: [email]}\n",
    )?;
    let (password, wrong) = (
        spec.file("password", &format!("{PASSWORD}\n"))?,
        spec.file("wrong", "hunter2")?,
    );
    let (ca, key) = (
        keys.path().join("server.pem"),
        keys.path().join("server.key"),
    );
    let (ca, key) = (text(&ca)?, text(&key)?);
    let (password, wrong) = (text(&password)?, text(&wrong)?);
    // The server's certificate is its own authority, and does for the client as well.
    let tls = ["--ca-file", ca, "--cert-file", ca, "--key-file", key];
    let user = |password| {
        [
            &tls[..],
            &["--username", "keda", "--password-file", password],
        ]
        .concat()
    };
    wait_until("the worker scales", LIMIT, || {
        Ok((spec.json(&user(password))?.0 == 0).then_some(()))
    })?;
    for (flags, expected) in [
        (vec![], "TLS: "),
        // The server ends the connection when it is shown no certificate.
        (vec!["--ca-file", ca], "ertificate"),
        (
            tls.to_vec(),
            "status 401: it wants credentials, or others than these",
        ),
        (user(wrong), "status 401: "),
        (
            vec!["--cert-file", ca, "--key-file", ca],
            "it holds no private key in PEM form",
        ),
        (vec!["--cert-file", ca], "--key-file"),
        (vec!["--ca-file", password], "--ca-file "),
        (
            vec!["--ca-file", "nosuch.pem"],
            "--ca-file nosuch.pem: No such file",
        ),
        (vec!["--username", "keda"], "--password-file"),
        (
            vec![
                "--bearer-token-file",
                wrong,
                "--username",
                "keda",
                "--password-file",
                wrong,
            ],
            "cannot be used with",
        ),
        (
            vec!["--prometheus", "http://keda:hunter2@localhost"],
            "credentials go into files",
        ),
    ] {
        let (code, out, err) = spec.verify(&flags)?;
        assert_eq!((code, out.as_str()), (2, ""), "{flags:?}: {err}");
        assert!(err.contains(expected), "{flags:?}: {err}");
        assert!(!err.contains(PASSWORD), "{flags:?}: {err}");
        assert!(!err.contains("hunter2"), "{flags:?}: {err}");
    }
    Ok(())
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().context("a path that is text")
}

/// A certificate for 127.0.0.1 that signs itself.
fn certificate(folder: &Path) -> Result<()> {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()])?;
    std::fs::write(folder.join("server.pem"), made.cert.pem())?;
    std::fs::write(folder.join("server.key"), made.signing_key.serialize_pem())?;
    Ok(())
}

/// A server that answers every request with these bytes, and keeps the heads of the requests.
struct Stub {
    address: String,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Stub {
    fn start(
        answer: impl Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = format!("http://{}", listener.local_addr()?);
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&requests), Arc::new(answer));
        // The threads end with the test's process.
        thread::spawn(move || {
            for mut stream in listener.incoming().flatten() {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                thread::spawn(move || {
                    let mut head = Vec::new();
                    let mut byte = [0];
                    while !head.ends_with(b"\r\n\r\n")
                        && stream.read(&mut byte).is_ok_and(|read| read > 0)
                    {
                        head.extend_from_slice(&byte);
                    }
                    let head = String::from_utf8_lossy(&head).into_owned();
                    if let Ok(mut kept) = kept.lock() {
                        kept.push(head.clone());
                    }
                    // One who has hung up has seen enough.
                    let _ = answer(&head, &mut stream);
                });
            }
        });
        Ok(Self { address, requests })
    }

    fn requests(&self) -> Vec<String> {
        self.requests
            .lock()
            .map(|kept| kept.clone())
            .unwrap_or_default()
    }
}

fn http(status: &str, headers: &str, body: &str) -> String {
    format!(
        "HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n{body}",
        body.len()
    )
}

#[test]
fn a_server_that_is_no_prometheus_ends_the_run_in_bounded_time_and_is_told() -> Result<()> {
    type Answer = Box<dyn Fn(&str, &mut TcpStream) -> std::io::Result<()> + Send + Sync>;
    let canned = |answer: String| -> Answer {
        Box::new(move |_, stream| stream.write_all(answer.as_bytes()))
    };
    let endless: Answer = Box::new(|_, stream| {
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
        loop {
            stream.write_all(&[b'x'; 1 << 14])?;
        }
    });
    let silent: Answer = Box::new(|_, _| {
        thread::sleep(Duration::from_mins(1));
        Ok(())
    });
    let cases: Vec<(Answer, &str)> = vec![
        (
            canned(http("200 OK", "", "<!doctype html><title>Sign in</title>")),
            "status 200: <!doctype html><title>Sign in</title>",
        ),
        (
            canned(http("200 OK", "", "{\"status\":")),
            "status 200: {\"status\":",
        ),
        (
            canned(http("500 Internal Server Error", "", "boom\u{1b}[31m")),
            "status 500: boom\\u{1b}[31m",
        ),
        (
            canned(http("401 Unauthorized", "", "")),
            "status 401: it wants credentials",
        ),
        (
            canned(http("404 Not Found", "", "")),
            "status 404: there is nothing at this path; is a path prefix missing?",
        ),
        (
            canned(http(
                "302 Found",
                "location: https://login.example/in?token=hunter2\r\n",
                "",
            )),
            "status 302, which leads to https://login.example/in; give that address",
        ),
        (canned("garbage".to_owned()), "cannot ask Prometheus"),
        (canned(String::new()), "cannot ask Prometheus"),
        (endless, "the answer is larger than 64 MiB"),
        (silent, "no answer within 1s"),
    ];
    // Built before anything is measured.
    ours("bullmq-keda")?;
    for (answer, expected) in cases {
        let stub = Stub::start(answer)?;
        let spec = Spec::new(&stub.address, "", "  - {name: email, queues: [email]}\n")?;
        let began = Instant::now();
        let timeout = if expected.contains("64 MiB") {
            "20s"
        } else {
            "1s"
        };
        let (code, out, err) = spec.verify(&["--timeout", timeout])?;
        assert_eq!((code, out.as_str()), (2, ""), "{expected}: {err}");
        assert!(err.contains(expected), "{expected}: {err}");
        assert!(!err.contains("hunter2") && !err.contains('\u{1b}'), "{err}");
        assert!(began.elapsed() < Duration::from_secs(25), "{expected}");
    }
    Ok(())
}

/// Answers the clock, and everything else as `others` says.
fn prometheus_that(others: &'static str, status: &'static str) -> Result<Stub> {
    Stub::start(move |head, stream| {
        let body = if head.contains("query=time%28%29") {
            let now = std::time::UNIX_EPOCH
                .elapsed()
                .unwrap_or_default()
                .as_secs();
            return stream.write_all(
                http("200 OK", "", &format!("{{\"status\":\"success\",\"data\":{{\"resultType\":\"scalar\",\"result\":[{now},\"{now}\"]}}}}")).as_bytes(),
            );
        } else {
            others
        };
        stream.write_all(http(status, "", body).as_bytes())
    })
}

#[test]
fn every_question_is_asked_as_keda_asks_it_and_with_the_credentials() -> Result<()> {
    let stub = prometheus_that(
        "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":[]}}",
        "200 OK",
    )?;
    let spec = Spec::new(
        &format!("{}/prometheus", stub.address),
        "",
        "  - {name: email, queues: [email]}\n",
    )?;
    spec.file("token", "hunter2\n")?;
    spec.file("headers", "# tenant\nX-Scope-OrgID: shop\n")?;
    let (code, out, err) =
        spec.verify(&["--bearer-token-file", "token", "--header-file", "headers"])?;
    assert_eq!((code, err.as_str()), (1, ""), "{out}");
    assert!(!out.contains("hunter2"));
    let requests = stub.requests();
    assert!(requests.len() > 5, "{requests:?}");
    for head in &requests {
        assert!(
            head.starts_with("GET /prometheus/api/v1/query?query="),
            "{head}"
        );
        let lower = head.to_lowercase();
        assert!(
            lower.contains("\r\nauthorization: bearer hunter2\r\n"),
            "{head}"
        );
        assert!(lower.contains("\r\nx-scope-orgid: shop\r\n"), "{head}");
    }
    // What Go's `url.QueryEscape` and `time.RFC3339` make of it.
    let kedas = requests.iter().find(|head| {
        head.contains(
            "query=sum%28max+by+%28redis%2C+prefix%2C+queue%29+%28bullmq_queue_demand_jobs%7B",
        )
    });
    let kedas = kedas.context("KEDA's query")?;
    let time = kedas
        .split_once("&time=")
        .and_then(|(_, rest)| rest.split_once(' '))
        .context("a time")?
        .0;
    assert!(time.len() == 20 && time.ends_with('Z'), "{time}");
    Ok(())
}

#[test]
fn answers_that_keda_would_not_take_are_findings_once_prometheus_is_there() -> Result<()> {
    for (status, body, expected) in [
        (
            "422 Unprocessable Entity",
            "{\"status\":\"error\",\"errorType\":\"execution\",\"error\":\"too many samples\"}",
            "execution: too many samples",
        ),
        (
            "503 Service Unavailable",
            "no healthy upstream",
            "status 503: no healthy upstream",
        ),
        (
            "200 OK",
            "{\"status\":\"success\",\"warnings\":[\"store 7 is down\"],\"data\":{\"resultType\":\"vector\",\"result\":[]}}",
            "store 7 is down",
        ),
    ] {
        let stub = prometheus_that(body, status)?;
        let spec = Spec::new(&stub.address, "", "  - {name: email, queues: [email]}\n")?;
        let (code, out, err) = spec.verify(&[])?;
        assert_eq!((code, err.as_str()), (1, ""), "{out}");
        assert!(out.contains("email: holds: KEDA changes nothing"), "{out}");
        assert!(out.contains(expected), "{out}");
    }
    Ok(())
}

#[test]
fn a_slow_server_is_told_before_patience_ends() -> Result<()> {
    let stub = Stub::start(|_, _| {
        thread::sleep(Duration::from_mins(1));
        Ok(())
    })?;
    let spec = Spec::new(&stub.address, "", "  - {name: email, queues: [email]}\n")?;
    let (code, _, err) = spec.verify(&["--timeout", "3s"])?;
    assert_eq!(code, 2);
    assert!(
        err.starts_with(&format!("question 1 to {} ...\n", stub.address)),
        "{err}"
    );
    assert!(err.contains("no answer within 3s"), "{err}");
    Ok(())
}

#[test]
fn watching_adds_a_line_a_look_and_ends_with_the_last_look() -> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::V6, &redis)?;
    add(&mut bullmq, "email", 1)?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found("email")?;
    let prometheus = Prometheus::start(&[exporter.address()], SCRAPE_INTERVAL)?;
    let spec = Spec::new(
        prometheus.url(),
        ", scrapeInterval: 500ms",
        "  - {name: email, queues: [email]}\n",
    )?;
    spec.wait_for("replicas", &[])?;
    let mut child = spec
        .command(&["--watch", "1s"])?
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stdout.take().context("stdout")?).lines();
    let first = lines.next().context("a first line")??;
    assert!(first.ends_with("Z email: demand 1, 1 replica"), "{first}");
    add(&mut bullmq, "email", 20)?;
    let mut more = String::new();
    for line in lines.by_ref().take(10) {
        more = line?;
        if more.contains("demand 21") {
            break;
        }
    }
    assert!(more.contains("email: demand 21, 5 replicas"), "{more}");
    let status = Command::new("kill")
        .args(["-s", "INT", &child.id().to_string()])
        .status()?;
    assert!(status.success());
    let began = Instant::now();
    let status = child.wait()?;
    assert_eq!(status.code(), Some(0));
    assert!(began.elapsed() < Duration::from_secs(5));
    Ok(())
}

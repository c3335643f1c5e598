//! `bullmq-keda init` from a real exporter over real queues, and from ScaledObjects; what it prints is generated and verified as it stands.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use acceptance::{BullMq, Exporter, Prometheus, Redis, Version, ours, wait_until};
use anyhow::{Context as _, Result};
use serde_json::json;

const SCRAPE_INTERVAL: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(40);

/// Runs the program in a folder; exit code, stdout and stderr.
fn run(folder: &Path, arguments: &[&str], stdin: &str) -> Result<(i32, String, String)> {
    let mut child = Command::new(ours("bullmq-keda")?)
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = child.stdin.take().context("stdin")?;
    let text = stdin.to_owned();
    // One who ends without reading it all has read enough.
    let writer = std::thread::spawn(move || drop(input.write_all(text.as_bytes())));
    let output = child.wait_with_output()?;
    drop(writer.join());
    Ok((
        output.status.code().context("it was killed")?,
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    ))
}

/// Lines of a spec of these queues.
const PARTS: [&str; 12] = [
    "  horizons: [1m, 1m30s] ",
    "  - name: foo-bar\n",
    "  - name: foo-bar-2\n",
    "  - name: app-foo-bar\n",
    "    queues: [\"Foo Bar\"]\n",
    "    queues: [{name: foo-bar, prefix: app}]\n",
    "    queues: [\"a\\\"b\\\\c\"]\n",
    "    queues: [\"x:y\"]\n",
    "  # x:y: a queue of Bull, 1 ready",
    "    queues: [\"no\"]\n",
    "    concurrency: 1                              # guess: no figure; BullMQ's default. What your Worker's options say\n",
    "    startup: 30s                                # guess: no figure; from pod created to first job taken\n",
];

#[test]
fn queues_of_any_name_become_a_spec_that_generates_and_would_scale() -> Result<()> {
    let names = [
        "Foo Bar", "foo-bar", "no", "1e3", "{x}", "a\"b\\c", "ä😀", "- #x", "0123", "a, b]",
    ];
    let redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::V6, &redis)?;
    for name in names {
        bullmq.run(&format!("await queue({}).add('job', {{}});", json!(name)))?;
    }
    bullmq.run("await queue('foo-bar', { prefix: 'app' }).add('job', {});")?;
    BullMq::start(Version::Bull, &redis)?.run("await queue('x:y').add({});")?;
    let exporter = Exporter::start_with(&[
        "--redis.url",
        &redis.url(),
        "--discovery.interval",
        "200ms",
        "--bullmq.prefix=bull",
        "--bullmq.prefix=app",
        "--bullmq.horizon=1m",
        "--bullmq.horizon=90s",
    ])?;
    wait_until("every queue is served", LIMIT, || {
        let scrape = exporter.scrape()?;
        Ok((scrape.samples("bullmq_queue_up").count() == names.len() + 2).then_some(()))
    })?;
    let folder = tempfile::tempdir()?;
    let (code, spec, err) = run(
        folder.path(),
        &["init", "--exporter", exporter.address()],
        "",
    )?;
    assert_eq!((code, err.as_str()), (0, ""), "{spec}");
    assert!(
        spec.contains(&format!(
            "# A starter spec, made by bullmq-keda init from http://{}/metrics.\n",
            exporter.address()
        )),
        "{spec}"
    );
    for part in PARTS {
        assert!(spec.contains(part), "{part}\n{spec}");
    }
    // The same from stdin and from a file, in every form that the exporter has.
    let body = |text: &str| text.split_once('\n').map(|(_, rest)| rest.to_owned());
    let openmetrics = exporter
        .scrape_with(&[("accept", "application/openmetrics-text; version=1.0.0")])?
        .text;
    assert!(openmetrics.ends_with("# EOF\n"));
    for text in [exporter.scrape()?.text, openmetrics] {
        let (code, piped, err) = run(folder.path(), &["init", "--exporter", "-"], &text)?;
        assert_eq!((code, err.as_str()), (0, ""));
        assert_eq!(body(&piped), body(&spec));
        fs::write(folder.path().join("metrics.txt"), &text)?;
        let (_, read, _) = run(folder.path(), &["init", "--exporter", "metrics.txt"], "")?;
        assert!(
            read.starts_with("# A starter spec, made by bullmq-keda init from metrics.txt.\n"),
            "{read}"
        );
        assert_eq!(body(&read), body(&spec));
    }
    // As it stands it generates, and every worker would scale.
    let (code, manifests, err) = run(folder.path(), &["generate", "-"], &spec)?;
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(
        manifests.matches("kind: ScaledObject\n").count(),
        names.len() + 2
    );
    let prometheus = Prometheus::start(&[exporter.address()], SCRAPE_INTERVAL)?;
    let verify = ["verify", "-", "--prometheus", prometheus.url()];
    wait_until("every worker would scale", LIMIT, || {
        let (code, out, _) = run(folder.path(), &verify, &spec)?;
        Ok((code == 0 && out.matches(": 1 replica").count() == names.len() + 2).then_some(()))
    })?;
    wishes_are_kept(&exporter, folder.path())
}

fn wishes_are_kept(exporter: &Exporter, folder: &Path) -> Result<()> {
    // Some of them.
    let (code, some, _) = run(
        folder,
        &[
            "init",
            "--exporter",
            exporter.address(),
            "--queue",
            "{?}",
            "--queue",
            "0*",
            "--namespace",
            "shop",
        ],
        "",
    )?;
    assert_eq!((code, some.matches("  - name: ").count()), (0, 2), "{some}");
    assert!(some.contains("defaults: {namespace: shop}\n"), "{some}");
    for (flags, code, expected) in [
        (
            ["--queue", "x*z"],
            1,
            "error: no spec can be made: none of the 12 queues matches `x*z`; there are ",
        ),
        (["--namespace", "Shop"], 1, "error[namespace/invalid]"),
        (
            ["--server-address", "http://p:9090/"],
            1,
            "error[server-address/trailing-slash]",
        ),
    ] {
        let (exit, out, err) = run(
            folder,
            &[&["init", "--exporter", exporter.address()], &flags[..]].concat(),
            "",
        )?;
        assert_eq!((exit, out.as_str()), (code, ""), "{err}");
        assert!(err.contains(expected), "{err}");
    }
    Ok(())
}

#[test]
fn concurrency_and_job_times_are_guessed_from_what_runs() -> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::V5, &redis)?;
    bullmq.run(
        "for (let i = 0; i < 3; i++) await queue('video').add('job', {});
         kept.worker = await worker('video', () => sleep(60000), { concurrency: 3 });",
    )?;
    let exporter = Exporter::start(&redis)?;
    let folder = tempfile::tempdir()?;
    let mut spec = String::new();
    wait_until("the jobs have run for two seconds", LIMIT, || {
        let (_, out, _) = run(
            folder.path(),
            &["init", "--exporter", exporter.address()],
            "",
        )?;
        spec = out;
        Ok(spec.contains("    job: {longest: ").then_some(()))
    })?;
    assert!(spec.contains("    concurrency: 3                              # guess: at least; 3 active jobs on 1 connected worker\n"), "{spec}");
    assert!(
        spec.contains("# guess: a job has been running that long now\n"),
        "{spec}"
    );
    assert!(spec.contains("  # video: a queue of BullMQ 5."), "{spec}");
    Ok(())
}

#[test]
fn nothing_to_make_a_spec_of_is_a_sentence() -> Result<()> {
    let mut redis = Redis::start()?;
    let exporter = Exporter::start(&redis)?;
    let folder = tempfile::tempdir()?;
    let init = |place: &str, stdin: &str| {
        run(
            folder.path(),
            &["init", "--exporter", place, "--timeout", "20s"],
            stdin,
        )
    };
    let (code, out, err) = init(exporter.address(), "")?;
    assert_eq!((code, out.as_str()), (1, ""));
    assert_eq!(
        err,
        "error: no spec can be made: the exporter has found no queue; one is there from its first job on, under the prefix `bull` unless `--bullmq.prefix` says otherwise\n"
    );
    redis.kill()?;
    let (code, _, err) = init(exporter.address(), "")?;
    assert_eq!(code, 1);
    assert!(
        err.contains("the exporter does not reach Redis (`default`)"),
        "{err}"
    );
    let page = format!("http://{}/", exporter.address());
    for (place, stdin, code, expected) in [
        ("-", "up 1\n", 1, "they are not bullmq-exporter's"),
        ("-", "", 1, "they are not bullmq-exporter's"),
        (
            "-",
            "<html>",
            2,
            "error: cannot read <stdin>: line 1 is not Prometheus text: a name without a value\n",
        ),
        ("nosuch.txt", "", 2, "there is no file `nosuch.txt`"),
        ("ftp://x", "", 2, "write `http://` or `https://`"),
        (
            "http://127.0.0.1:1",
            "",
            2,
            "cannot reach http://127.0.0.1:1/metrics",
        ),
        ("http://u:hunter2@x", "", 2, "credentials go into files"),
        (&format!("{page}nosuch"), "", 2, "status 404"),
    ] {
        let (exit, out, err) = init(place, stdin)?;
        assert_eq!((exit, out.as_str()), (code, ""), "{place}: {err}");
        assert!(
            err.contains(expected) && !err.contains("hunter2"),
            "{place}: {err}"
        );
    }
    for arguments in [
        &["init"][..],
        &["init", "--exporter", "-", "--from-scaledobject", "-"],
    ] {
        let (code, _, err) = run(folder.path(), arguments, "")?;
        assert_eq!(code, 2, "{err}");
    }
    Ok(())
}

#[test]
fn a_file_that_exists_is_kept_unless_forced() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let metrics = "bullmq_queue_up{redis=\"default\",prefix=\"bull\",queue=\"email\"} 1\n";
    let spec = folder.path().join("spec.yaml");
    let init = ["init", "--exporter", "-", "-o", "spec.yaml"];
    let (code, out, err) = run(folder.path(), &init, metrics)?;
    assert_eq!((code, out.as_str(), err.as_str()), (0, "", ""));
    let made = fs::read_to_string(&spec)?;
    assert!(made.contains("  - name: email\n"));
    fs::write(&spec, "mine\n")?;
    let (code, out, err) = run(folder.path(), &init, metrics)?;
    assert_eq!((code, out.as_str()), (2, ""));
    assert_eq!(
        err,
        "error: spec.yaml exists already; `--force` overwrites it\n"
    );
    assert_eq!(fs::read_to_string(&spec)?, "mine\n");
    let (code, _, _) = run(folder.path(), &[&init[..], &["--force"]].concat(), metrics)?;
    assert_eq!((code, fs::read_to_string(&spec)?), (0, made));
    Ok(())
}

#[test]
fn a_redis_scaled_object_becomes_a_spec() -> Result<()> {
    // The shape of n8n's chart, with its wrong queue, and of keda#4021 with the queue's name alone.
    let manifests = r#"apiVersion: apps/v1
kind: Deployment
metadata: {name: n8n-worker}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: n8n-worker
spec:
  scaleTargetRef:
    name: n8n-worker
  minReplicaCount: 2
  maxReplicaCount: 20
  cooldownPeriod: 300
  triggers:
    - type: redis
      metadata:
        address: redis-master.n8n:6379
        password: hunter2
        listName: bull:default:wait
        listLength: "5"
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: mailer, namespace: shop}
spec:
  scaleTargetRef: {name: mailer}
  triggers:
    - type: redis-cluster
      metadata: {addresses: "a:6379,b:6379", listName: mail}
"#;
    let folder = tempfile::tempdir()?;
    let (code, spec, err) = run(
        folder.path(),
        &[
            "init",
            "--from-scaledobject",
            "-",
            "--server-address",
            "http://prometheus:9090",
        ],
        manifests,
    )?;
    assert_eq!(code, 0, "{err}");
    for part in [
        "  serverAddress: http://prometheus:9090\n",
        "  - name: n8n-worker\n    target: {name: n8n-worker}\n    queues:\n      - default\n    scale: {jobsPerReplica: 5} ",
        "    replicas: {min: 2, max: 20}\n",
        "  - name: mailer\n    namespace: shop\n    target: {name: mailer}\n    queues:\n      - mail\n",
        "    replicas: {min: 0, max: 100}\n    idleAfter: 5m ",
    ] {
        assert!(spec.contains(part), "{part}\n{spec}");
    }
    assert!(err.contains("note: <stdin>:30: `mail` is the name of a queue and no list of BullMQ: KEDA has read 0 from it, whatever waited\n"), "{err}");
    assert!(err.contains("note: <stdin>:19: `password` is not carried over: the exporter reaches Redis, and KEDA need not\n"), "{err}");
    for text in [&spec, &err] {
        assert!(
            !text.contains("hunter2") && !text.contains("6379"),
            "{text}"
        );
    }
    let (code, made, err) = run(folder.path(), &["generate", "-"], &spec)?;
    assert_eq!((code, err.as_str()), (0, ""));
    assert_eq!(made.matches("kind: ScaledObject\n").count(), 2);

    let broken = manifests
        .replace("\"5\"", "five")
        .replace("listName: mail", "listNam: mail");
    let (code, out, err) = run(
        folder.path(),
        &["init", "--from-scaledobject", "-"],
        &broken,
    )?;
    assert_eq!((code, out.as_str()), (1, ""));
    assert!(err.contains("error[scale/jobs-per-replica]: `listLength` cannot be a number of jobs for each replica\n  --> <stdin>:21:21\n"), "{err}");
    assert!(
        err.contains("error[spec/missing-field]: the trigger's `metadata` has no `listName`\n"),
        "{err}"
    );
    assert!(
        err.ends_with("error: 2 problems in 1 input; no spec was written\n"),
        "{err}"
    );
    assert!(!err.contains("hunter2"), "{err}");
    Ok(())
}

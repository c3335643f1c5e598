//! Do the examples do what their pages say? Their own queries, as they are committed, are asked of a real Prometheus over real queues; their
//! settings of the exporter are run by it.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use acceptance::{
    Authority, BullMq, Exporter, HELMS, Prometheus, Redis, Version, free_port, helm_template,
    promtool, repository, wait_until,
};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

const SCRAPE_INTERVAL: Duration = Duration::from_millis(200);
const LIMIT: Duration = Duration::from_secs(30);

fn example(name: &str) -> PathBuf {
    repository().join("examples").join(name)
}

/// The query of the trigger `demand` of a worker, as it is committed.
fn query(example_name: &str, worker: &str) -> Result<String> {
    let text = fs::read_to_string(example(example_name).join("expected/scaledobjects.yaml"))?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    let found = objects.iter().find(|object| {
        object
            .pointer("/metadata/name")
            .is_some_and(|name| name == worker)
    });
    let query = found
        .and_then(|object| object.pointer("/spec/triggers/0/metadata/query"))
        .and_then(Value::as_str);
    Ok(query
        .with_context(|| format!("{example_name} has no worker {worker}"))?
        .to_owned())
}

/// What KEDA gets from a query: one value, or nothing, on which it holds.
fn answer(prometheus: &Prometheus, query: &str) -> Result<Option<f64>> {
    let answer = prometheus.query(query)?;
    match answer.as_slice() {
        [] => Ok(None),
        [sample] => Ok(Some(sample.value)),
        more => bail!("more than one element, which KEDA refuses: {more:?}"),
    }
}

fn wait_for(prometheus: &Prometheus, query: &str, expected: Option<f64>) -> Result<()> {
    let mut last = None;
    wait_until(&format!("the answer is {expected:?}"), LIMIT, || {
        last = answer(prometheus, query)?;
        Ok((last == expected).then_some(()))
    })
    .with_context(|| format!("the last answer to {query} was {last:?}"))
}

/// Every field of a chart's values for which the exporter has a flag, as that flag: those of `n8n-queue-mode`.
fn flags_of_values(values: &Value) -> Result<Vec<String>> {
    let mut flags = Vec::new();
    for (field, flag) in [
        ("/bullmq/prefixes", "--bullmq.prefix"),
        ("/bullmq/queues", "--bullmq.queue"),
    ] {
        let named = values
            .pointer(field)
            .and_then(Value::as_array)
            .context(field)?;
        for value in named {
            flags.push(flag.to_owned());
            flags.push(value.as_str().context(field)?.to_owned());
        }
    }
    Ok(flags)
}

fn yaml(path: &Path) -> Result<Value> {
    Ok(serde_saphyr::from_str(&fs::read_to_string(path)?)?)
}

#[test]
fn n8n_s_queue_is_seen_with_every_execution_that_waits_or_runs() -> Result<()> {
    let redis = Redis::start()?;
    let mut bull = BullMq::start(Version::Bull, &redis)?;
    let mut flags = flags_of_values(&yaml(&example("n8n-queue-mode").join("values.yaml"))?)?;
    flags.extend(["--redis.url".to_owned(), redis.url()]);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let exporter = Exporter::start_with(&flags)?;
    let prometheus = Prometheus::start(&[exporter.address()], SCRAPE_INTERVAL)?;
    let query = query("n8n-queue-mode", "n8n-worker")?;

    // Before n8n has ever queued anything there is no queue, and KEDA holds.
    wait_until("Prometheus knows that there is no queue", LIMIT, || {
        Ok((answer(&prometheus, "bullmq_queue_up{queue=\"jobs\"}")? == Some(0.0)).then_some(()))
    })?;
    assert_eq!(answer(&prometheus, &query)?, None);

    // n8n gives every job a priority. Bull keeps it in the list `wait` and in a sorted set `priority`.
    bull.run(
        "const running = [];
         kept.worker = await worker('jobs', () => new Promise((resolve) => running.push(resolve)), { concurrency: 2 });
         kept.running = running;
         for (let i = 0; i < 5; i++) await queue('jobs').add('job', { executionId: `${i}` }, { priority: i % 2 ? 50 : 100 });
         while (running.length < 2) await sleep(10);",
    )?;
    let counts = bull.run("return queue('jobs').getJobCounts();")?;
    assert_eq!(
        (&counts["waiting"], &counts["active"]),
        (&3.into(), &2.into()),
        "{counts}"
    );
    wait_for(&prometheus, &query, Some(5.0))?;
    // What n8n's own example of KEDA reads: the two that run are not in it.
    assert_eq!(redis.run(&["LLEN", "bull:jobs:wait"])?, "3");

    // A pause of the whole queue: nobody takes what waits, so only what runs needs a slot.
    bull.run("await queue('jobs').pause();")?;
    wait_for(&prometheus, &query, Some(2.0))?;
    let counts = bull.run("return queue('jobs').getJobCounts();")?;
    assert_eq!(counts["paused"], 3, "{counts}");
    bull.run("await queue('jobs').resume();")?;
    wait_for(&prometheus, &query, Some(5.0))?;

    // Delayed jobs, which n8n does not add: one within the horizon counts, one after it does not.
    bull.run(
        "for (const delay of [60000, 3600000]) await queue('jobs').add('job', {}, { delay });",
    )?;
    wait_for(&prometheus, &query, Some(6.0))?;
    assert_eq!(exporter.scrape()?.job_count("jobs", "delayed"), Some(2.0));

    // A worker that stops as n8n's does: it pauses itself, not the queue, and what it runs goes on.
    bull.run("await kept.worker.pause(true, true);")?;
    bull.run("kept.running.pop()(); kept.running.pop()(); await sleep(300);")?;
    wait_for(&prometheus, &query, Some(4.0))?;
    let counts = bull.run("return queue('jobs').getJobCounts();")?;
    assert_eq!(
        (&counts["waiting"], &counts["active"], &counts["completed"]),
        (&3.into(), &0.into(), &2.into()),
        "{counts}"
    );
    Ok(())
}

#[test]
fn a_worker_at_zero_is_woken_for_what_falls_due_and_sleeps_again() -> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::V6, &redis)?;
    // The three ways in which a job comes to be delayed; of each one that is due after four seconds and nothing else. The one that
    // fails is retried then, and its worker is gone by then.
    let ways = [
        (
            "a delayed job",
            "await queue('cleanup').add('job', {}, { delay: 4000 });",
        ),
        (
            "a job scheduler",
            "await queue('cleanup').upsertJobScheduler('nightly', { every: 3600000, startDate: Date.now() + 4000 }, { name: 'job' });",
        ),
        (
            "a retry",
            "const failing = await worker('cleanup', async () => { throw new Error('no'); });
             const failed = new Promise((resolve) => failing.on('failed', resolve));
             await queue('cleanup').add('job', {}, { attempts: 2, backoff: { type: 'fixed', delay: 4000 } });
             await failed; await failing.close();",
        ),
    ];
    bullmq.run("await queue('cleanup').add('first', {}); await (await queue('cleanup').getJob('1')).remove();")?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found("cleanup")?;
    let prometheus = Prometheus::start(&[exporter.address()], SCRAPE_INTERVAL)?;
    let query = query("scheduled-to-zero", "cleanup")?;
    wait_for(&prometheus, &query, Some(0.0))?;
    for (what, add) in ways {
        bullmq.run(add)?;
        let added = Instant::now();
        wait_until(&format!("{what}: delayed"), LIMIT, || {
            Ok((exporter.scrape()?.job_count("cleanup", "delayed") == Some(1.0)).then_some(()))
        })?;
        assert_eq!(answer(&prometheus, &query)?, Some(0.0), "{what}");
        // Not before it is due, and then at once, with no worker alive.
        wait_for(&prometheus, &query, Some(1.0)).context(what)?;
        let took = added.elapsed();
        ensure!(took > Duration::from_secs(2), "{what}: {took:?}");
        assert_eq!(redis.run(&["LLEN", "bull:cleanup:wait"])?, "0", "{what}");
        // The worker that KEDA starts finds it, and the demand is gone.
        bullmq.run(
            "const woken = await worker('cleanup', async () => {});
             await new Promise((resolve) => woken.on('completed', resolve));
             await woken.close();",
        )?;
        wait_for(&prometheus, &query, Some(0.0)).context(what)?;
        bullmq.run("await queue('cleanup').removeJobScheduler('nightly');")?;
        wait_until(&format!("{what}: nothing left"), LIMIT, || {
            Ok((exporter.scrape()?.job_count("cleanup", "delayed") == Some(0.0)).then_some(()))
        })?;
    }
    Ok(())
}

#[test]
fn a_worker_whose_start_takes_time_is_woken_before_its_jobs_fall_due() -> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::V6, &redis)?;
    bullmq.run("await queue('reports').add('report', {}, { delay: 3600000 });")?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found("reports")?;
    let prometheus = Prometheus::start(&[exporter.address()], SCRAPE_INTERVAL)?;
    let query = query("scheduled-to-zero", "reports")?;
    wait_for(&prometheus, &query, Some(0.0))?;
    bullmq.run("await queue('reports').add('report', {}, { delay: 64000 });")?;
    wait_until("the second job is seen", LIMIT, || {
        Ok((exporter.scrape()?.job_count("reports", "delayed") == Some(2.0)).then_some(()))
    })?;
    assert_eq!(answer(&prometheus, &query)?, Some(0.0));
    // A minute before it is due the worker's start of 20 s is well covered; nothing is due yet.
    wait_for(&prometheus, &query, Some(1.0))?;
    let scrape = exporter.scrape()?;
    assert_eq!(
        scrape.of_queue("bullmq_queue_delayed_due_jobs", "reports"),
        Some(0.0)
    );
    assert_eq!(
        scrape.of_queue("bullmq_queue_demand_jobs", "reports"),
        Some(0.0)
    );
    Ok(())
}

/// Makes the user that `--print-acl` prints, with a password.
fn give_user(redis: &Redis, password: &str) -> Result<()> {
    let printed = Exporter::run(&["--print-acl"])?;
    let text = String::from_utf8(printed.stdout)?;
    let line = text
        .lines()
        .find(|line| line.starts_with("ACL SETUSER"))
        .context("no ACL")?;
    let line = line.replace(">CHANGE-THIS-PASSWORD", &format!(">{password}"));
    ensure!(line.contains(&format!(">{password}")), "{line}");
    redis.run(&line.split(' ').collect::<Vec<_>>())?;
    Ok(())
}

#[test]
fn two_servers_one_by_tls_are_told_apart_and_a_dead_one_stops_only_its_own_workers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let secrets = folder.join("secrets");
    for (server, password) in [("redis-europe", "lion"), ("redis-america", "eagle")] {
        fs::create_dir_all(secrets.join(server))?;
        fs::write(secrets.join(server).join("password"), password)?;
    }
    let authority = Authority::new()?;
    authority.write(&secrets.join("redis-europe/ca.crt"))?;
    authority.issue(folder, "server", "127.0.0.1")?;
    let tls_port = free_port()?.to_string();
    let file = |name: &str| folder.join(name).display().to_string();
    let mut europe = Redis::start_with(&[
        "--tls-port",
        &tls_port,
        "--tls-cert-file",
        &file("server.pem"),
        "--tls-key-file",
        &file("server.key"),
        "--tls-ca-cert-file",
        &secrets.join("redis-europe/ca.crt").display().to_string(),
        "--tls-auth-clients",
        "no",
    ])?;
    let america = Redis::start()?;
    give_user(&europe, "lion")?;
    give_user(&america, "eagle")?;
    for (redis, orders) in [(&europe, 3), (&america, 4)] {
        BullMq::start(Version::V6, redis)?.run(&format!(
            "for (let i = 0; i < {orders}; i++) await queue('orders').add('job', {{}});
             await queue('mail').add('job', {{}});"
        ))?;
    }

    // The example's own file, with the addresses and the folder of these servers.
    let mut text = fs::read_to_string(example("several-servers").join("exporter.yaml"))?;
    for (from, to) in [
        (
            "redis-europe.shop.svc:6379",
            format!("127.0.0.1:{tls_port}"),
        ),
        (
            "redis-america.shop.svc:6379",
            format!("127.0.0.1:{}", america.port()),
        ),
        (
            "/etc/bullmq-exporter/secrets",
            secrets.display().to_string(),
        ),
    ] {
        ensure!(text.contains(from), "{from} is not in {text}");
        text = text.replace(from, &to);
    }
    let config = folder.join("exporter.yaml");
    fs::write(&config, text)?;
    let config = config.to_str().context("a path")?;
    let exporter =
        Exporter::start_with(&["--config.file", config, "--discovery.interval", "200ms"])?;
    exporter.scrape_when_found("orders")?;
    let prometheus = Prometheus::start(&[exporter.address()], SCRAPE_INTERVAL)?;
    let orders = query("several-servers", "orders")?;
    let mail = query("several-servers", "mail-europe")?;
    wait_for(&prometheus, &orders, Some(7.0))?;
    // The queue of the same name in America is another one.
    wait_for(&prometheus, &mail, Some(1.0))?;
    assert_eq!(prometheus.query("bullmq_up == 1")?.len(), 2);

    europe.kill()?;
    // KEDA holds the workers that need both, and those of Europe; America is served as before.
    wait_for(&prometheus, &orders, None)?;
    wait_for(&prometheus, &mail, None)?;
    wait_for(
        &prometheus,
        "bullmq_queue_demand_jobs{redis=\"america\",queue=\"orders\"}",
        Some(4.0),
    )
}

#[test]
fn the_chart_s_values_for_several_servers_say_what_the_file_says() -> Result<()> {
    let folder = example("several-servers");
    let file = yaml(&folder.join("exporter.yaml"))?;
    assert_eq!(yaml(&folder.join("values.yaml"))?["config"], file);
    Ok(())
}

/// Asks again and again for a while, and fails at the first answer that is not the expected one.
fn stays(prometheus: &Prometheus, query: &str, expected: f64, time: Duration) -> Result<()> {
    let began = Instant::now();
    let mut asked = 0;
    while began.elapsed() < time {
        assert_eq!(
            answer(prometheus, query)?,
            Some(expected),
            "question {asked}"
        );
        asked += 1;
        sleep(Duration::from_millis(20));
    }
    ensure!(asked > 20, "asked {asked} times only");
    Ok(())
}

#[test]
fn with_two_exporters_one_may_hang_or_die_and_no_answer_is_wrong_or_missing() -> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::V6, &redis)?;
    bullmq.run("for (let i = 0; i < 6; i++) await queue('email').add('job', {});")?;
    let (mut one, other) = (Exporter::start(&redis)?, Exporter::start(&redis)?);
    one.scrape_when_found("email")?;
    other.scrape_when_found("email")?;
    let prometheus = Prometheus::start(&[one.address(), other.address()], SCRAPE_INTERVAL)?;
    let query = query("two-exporters", "email")?;
    let seen_by = |count: usize| {
        wait_until(&format!("{count} exporters serve the queue"), LIMIT, || {
            Ok((prometheus.query("bullmq_queue_demand_jobs")?.len() == count).then_some(()))
        })
    };
    seen_by(2)?;
    let always = |what: &str| {
        stays(&prometheus, &query, 6.0, Duration::from_secs(1)).with_context(|| what.to_owned())
    };
    always("both serve")?;
    // What a sum without `max by` would say.
    assert_eq!(
        answer(&prometheus, "sum(bullmq_queue_demand_jobs)")?,
        Some(12.0)
    );

    one.process().signal("STOP")?;
    always("one hangs, and Prometheus does not know it yet")?;
    seen_by(1)?;
    always("one hangs")?;
    one.process().signal("CONT")?;
    seen_by(2)?;
    always("it goes on")?;
    one.process().kill()?;
    always("one is killed, and Prometheus does not know it yet")?;
    seen_by(1)?;
    always("one is dead")?;
    // The other one goes too, and nothing is left to believe.
    drop(other);
    wait_for(&prometheus, &query, None)
}

#[test]
fn two_exporters_that_disagree_are_believed_as_the_example_shows() -> Result<()> {
    let path = example("two-exporters").join("disagreement.yaml");
    let path = path.to_str().context("a path")?;
    let (content, said) = promtool(&["test", "rules", path], "")?;
    assert!(content, "{said}");
    // The query in it is the committed one.
    let query = query("two-exporters", "email")?;
    let file = yaml(Path::new(path))?;
    let tests = file["tests"].as_array().context("no tests")?;
    ensure!(tests.len() >= 4, "{}", tests.len());
    for test in tests {
        assert_eq!(
            test["promql_expr_test"][0]["expr"], *query,
            "{}",
            test["name"]
        );
    }
    // It can fail.
    let folder = tempfile::tempdir()?;
    let wrong = folder.path().join("wrong.yaml");
    fs::write(
        &wrong,
        fs::read_to_string(path)?.replace("value: 9", "value: 13"),
    )?;
    let (content, said) = promtool(&["test", "rules", wrong.to_str().context("a path")?], "")?;
    assert!(!content, "{said}");
    Ok(())
}

#[test]
fn the_exporter_s_chart_takes_the_values_of_every_example() -> Result<()> {
    let chart = repository().join("charts/bullmq-exporter");
    for (name, expected) in [
        (
            "n8n-queue-mode",
            &["--bullmq.queue=jobs", "--bullmq.prefix=bull", "n8n-redis"][..],
        ),
        ("several-servers", &["redis-europe", "redis-america"]),
        (
            "two-exporters",
            &[
                "kind: PodDisruptionBudget",
                "replicas: 2",
                "minAvailable: 1",
            ],
        ),
    ] {
        let values = example(name).join("values.yaml");
        let values = values.to_str().context("a path")?;
        for helm in HELMS {
            let rendered = helm_template(
                helm,
                &chart,
                &["--kube-version", "1.34.0", "--values", values],
            )?;
            let rendered = rendered.map_err(anyhow::Error::msg).context(name)?;
            for &text in expected {
                ensure!(
                    rendered.contains(text),
                    "{helm} {name}: no {text} in\n{rendered}"
                );
            }
        }
    }
    Ok(())
}

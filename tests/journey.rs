//! The whole journey: BullMQ -> Redis -> exporter -> Prometheus -> the query that the generator wrote -> replicas.

use std::process::Command;
use std::time::Duration;

use acceptance::{BullMq, Exporter, Prometheus, Redis, Version, ours, promtool, wait_until};
use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

const SCRAPE_INTERVAL: Duration = Duration::from_millis(500);
const LIMIT: Duration = Duration::from_secs(30);

/// The part of a ScaledObject that KEDA asks Prometheus with.
#[derive(Debug, Deserialize)]
struct ScaledObject {
    spec: Spec,
}

#[derive(Debug, Deserialize)]
struct Spec {
    triggers: Vec<Trigger>,
}

#[derive(Debug, Deserialize)]
struct Trigger {
    metadata: Metadata,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Metadata {
    server_address: String,
    query: String,
    threshold: String,
    ignore_null_values: String,
}

/// The first trigger of the ScaledObject that the generator writes for a worker of these queues.
fn generate(prometheus: &Prometheus, queues: &str) -> Result<Metadata> {
    let folder = tempfile::tempdir()?;
    let spec = folder.path().join("spec.yaml");
    std::fs::write(
        &spec,
        format!(
            "apiVersion: bullmq-keda/v1
prometheus: {{serverAddress: \"{}\"}}
workers:
  - name: worker
    target: {{kind: Deployment, name: worker}}
    queues: {queues}
    concurrency: 5
    replicas: {{min: 0, max: 20}}
    scale: slots
",
            prometheus.url()
        ),
    )?;
    let output = Command::new(ours("bullmq-keda")?)
        .arg("generate")
        .arg(&spec)
        .output()?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let yaml = String::from_utf8(output.stdout)?;
    let object: ScaledObject = serde_saphyr::from_str(&yaml)?;
    Ok(object
        .spec
        .triggers
        .into_iter()
        .next()
        .context("a trigger")?
        .metadata)
}

/// Asks the query until it answers `expected`: one value, or nothing.
fn wait_until_answer(prometheus: &Prometheus, query: &str, expected: Option<f64>) -> Result<()> {
    let mut last = Vec::new();
    wait_until(&format!("{query} answers {expected:?}"), LIMIT, || {
        last = prometheus.query(query)?;
        let values: Vec<f64> = last.iter().map(|sample| sample.value).collect();
        Ok((values == expected.into_iter().collect::<Vec<_>>()).then_some(()))
    })
    .with_context(|| format!("the last answer was {last:?}"))
}

#[test]
fn the_generated_query_answers_the_demand_and_nothing_at_all_when_it_cannot_be_known() -> Result<()>
{
    let mut redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::V6, &redis)?;
    bullmq.run(
        "for (let i = 0; i < 12; i++) await queue('email').add('job', {}, { priority: 3 });
         for (let i = 0; i < 5; i++) await queue('sms').add('job', {}, { delay: 1 });",
    )?;
    let exporter = Exporter::start(&redis)?;
    exporter.scrape_when_found("sms")?;
    let prometheus = Prometheus::start(&[exporter.address()], SCRAPE_INTERVAL)?;

    let both = generate(&prometheus, "[email, sms]")?;
    assert_eq!(both.server_address, prometheus.url());
    assert_eq!(both.threshold, "5");
    assert_eq!(both.ignore_null_values, "false");
    let rule = serde_json::json!({ "groups": [{ "name": "query", "rules": [{ "record": "x", "expr": both.query }] }] });
    let rules = tempfile::NamedTempFile::new()?;
    std::fs::write(rules.path(), rule.to_string())?;
    let path = rules.path().to_str().context("a path that is text")?;
    let (accepted, said) = promtool(&["check", "rules", path], "")?;
    assert!(accepted, "promtool: {said}");

    wait_until_answer(&prometheus, &both.query, Some(17.0))?;
    // A queue that is named and does not exist.
    let missing = generate(&prometheus, "[email, typo]")?;
    assert_eq!(prometheus.query(&missing.query)?, []);

    // The queues are worked off: 0 is an answer, and not the absence of one.
    bullmq.run(
        "await Promise.all(['email', 'sms'].map(async (name) => {
           const running = await worker(name, async () => {}, { concurrency: 20 });
           while ((await queue(name).getJobCountByTypes('wait', 'prioritized', 'delayed', 'active')) > 0) await sleep(20);
           await running.close(); }));",
    )?;
    wait_until_answer(&prometheus, &both.query, Some(0.0))?;

    drop(bullmq);
    redis.kill()?;
    wait_until_answer(&prometheus, &both.query, None)?;
    redis.start_again()?;
    // The queues have gone with the data: still nothing, until they exist again.
    wait_until("the exporter is up again", LIMIT, || {
        Ok((exporter.scrape()?.value("bullmq_up", &[]) == Some(1.0)).then_some(()))
    })?;
    assert_eq!(prometheus.query(&both.query)?, []);
    let mut bullmq = BullMq::start(Version::V5, &redis)?;
    bullmq.run("for (const name of ['email', 'sms']) await queue(name).add('job', {});")?;
    wait_until_answer(&prometheus, &both.query, Some(2.0))?;

    drop(exporter);
    wait_until_answer(&prometheus, &both.query, None)
}

#[test]
fn two_exporters_of_one_redis_do_not_double_the_demand() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?
        .run("for (let i = 0; i < 4; i++) await queue('email').add('job', {});")?;
    let (one, other) = (Exporter::start(&redis)?, Exporter::start(&redis)?);
    one.scrape_when_found("email")?;
    other.scrape_when_found("email")?;
    let prometheus = Prometheus::start(&[one.address(), other.address()], SCRAPE_INTERVAL)?;
    let email = generate(&prometheus, "[email]")?;
    wait_until("both are scraped", LIMIT, || {
        Ok((prometheus.query("bullmq_queue_demand_jobs")?.len() == 2).then_some(()))
    })?;
    wait_until_answer(&prometheus, &email.query, Some(4.0))?;
    drop(one);
    wait_until("one is gone", LIMIT, || {
        Ok((prometheus.query("bullmq_queue_demand_jobs")?.len() == 1).then_some(()))
    })?;
    wait_until_answer(&prometheus, &email.query, Some(4.0))
}

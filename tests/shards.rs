//! Do several exporters that share the queues out say together what one says alone?

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Command, Output};
use std::time::Duration;

use acceptance::{BullMq, Exporter, Prometheus, Redis, Sample, Scrape, Version, ours, wait_until};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);
const SHARDS: [&str; 3] = ["0/3", "1/3", "2/3"];

/// Queues in every state, under two prefixes. A worker of `sms` has the name that one of `c21z` would have if names were not encoded, and the
/// two are in different shards.
const QUEUES: &str = "
    for (let i = 0; i < 20; i++) await queue(`tenant-${i}`).add('job', {});
    for (const name of ['email', 'orders']) await queue(name, { prefix: '{app}' }).add('job', {}, { priority: 2 });
    await queue('email').add('job', {}, { delay: 3600000 });
    await queue('reports').add('job', {});
    await queue('reports').pause();
    await queue('limited').setGlobalConcurrency(2);
    await queue('limited').upsertJobScheduler('hourly', { every: 3600000 });
    for (const name of ['sms', 'c21z']) await queue(name).waitUntilReady();
    kept.worker = await worker('sms', async () => {});
    await kept.worker.waitUntilReady();";

/// Every flag of the three that share the queues, or of the one that does not.
fn start(redis: &Redis, shard: Option<&str>, more: &[&str]) -> Result<Exporter> {
    let url = redis.url();
    let mut flags = vec!["--redis.url", &url, "--discovery.interval", "200ms"];
    flags.extend(["--bullmq.prefix", "bull", "--bullmq.prefix", "{app}"]);
    flags.extend(shard.iter().flat_map(|shard| ["--bullmq.shard", shard]));
    flags.extend(more);
    Exporter::start_with(&flags)
}

/// What is served of queues and their Redis: each series with its value, or without it where it is a time that goes on.
fn served(scrape: &Scrape) -> BTreeMap<&str, &str> {
    let of_queues =
        |line: &&str| line.starts_with("bullmq_") && !line.starts_with("bullmq_exporter_");
    let series = |line| {
        let (series, value) = str::rsplit_once(line, ' ').unwrap_or((line, ""));
        let goes_on = series.split('{').next().is_some_and(|name| {
            name.ends_with("_age_seconds") || name.ends_with("_active_seconds")
        });
        (series, if goes_on { "" } else { value })
    };
    scrape.text.lines().filter(of_queues).map(series).collect()
}

/// The prefix and name of each queue that is served.
fn queues(scrape: &Scrape) -> BTreeSet<&str> {
    scrape
        .samples("bullmq_queue_up")
        .map(|(labels, _)| labels)
        .collect()
}

/// The name of a queue in its labels.
fn name(labels: &str) -> Option<&str> {
    labels.split("queue=\"").nth(1)?.strip_suffix('"')
}

/// Scrapes all, once all of them have found as many queues as there are.
fn scrape_all(exporters: &[Exporter], expected: usize) -> Result<Vec<Scrape>> {
    wait_until(&format!("{expected} queues are found"), LIMIT, || {
        let scrapes: Vec<_> = exporters
            .iter()
            .map(Exporter::scrape)
            .collect::<Result<_>>()?;
        let all_searched = scrapes
            .iter()
            .all(|scrape| scrape.value("bullmq_exporter_queues", &[]).is_some());
        let found: usize = scrapes.iter().map(|scrape| queues(scrape).len()).sum();
        Ok((all_searched && found == expected).then_some(scrapes))
    })
}

#[test]
fn each_queue_is_read_by_one_shard_and_all_of_them_say_what_one_exporter_says() -> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::V6, &redis)?;
    bullmq.run(QUEUES)?;
    let events = ["--collect.events"];
    let whole = start(&redis, None, &events)?;
    let shards: Vec<_> = SHARDS
        .iter()
        .map(|shard| start(&redis, Some(shard), &events))
        .collect::<Result<_>>()?;
    whole.scrape_when_found("c21z")?;
    scrape_all(&shards, 27)?;
    // What is followed is counted from when it is first looked at.
    wait_until("the events of all queues are followed", LIMIT, || {
        let followed = |exporter: &Exporter| {
            let scrape = exporter.scrape()?;
            Ok::<_, anyhow::Error>(scrape.samples("bullmq_job_wait_seconds_count").count())
        };
        let of_shards: usize = shards.iter().map(followed).sum::<Result<_>>()?;
        Ok((followed(&whole)? == 27 && of_shards == 27).then_some(()))
    })?;
    bullmq.run(
        "for (let i = 0; i < 9; i++) await queue('sms').add('job', {});
         await queue('tenant-7').add('job', {});
         while ((await queue('sms').getJobCountByTypes('wait', 'active')) > 0) await sleep(20);",
    )?;

    wait_until("the shards say what the whole says", LIMIT, || {
        let one = whole.scrape()?;
        let three = scrape_all(&shards, 27)?;
        let mut together = BTreeMap::new();
        for scrape in &three {
            let told = served(scrape);
            for (series, value) in told {
                let of_a_queue = series.contains("queue=\"");
                let before = together.insert(series, value);
                ensure!(
                    before.is_none() || !of_a_queue,
                    "{series} is served by two shards"
                );
            }
        }
        let alone = served(&one);
        let counted = one.value(
            "bullmq_job_events_total",
            &[("queue", "sms"), ("event", "completed")],
        );
        if alone != together || counted != Some(9.0) {
            return Ok(None);
        }
        assert_eq!(one.of_queue("bullmq_queue_workers", "sms"), Some(1.0));
        assert_eq!(one.of_queue("bullmq_queue_workers", "c21z"), Some(0.0));
        Ok(Some(()))
    })?;

    let three = scrape_all(&shards, 27)?;
    for (index, (scrape, shard)) in three.iter().zip(SHARDS).enumerate() {
        let own = queues(scrape).len();
        assert!(own > 0, "{shard} has no queue");
        let found = scrape.value("bullmq_exporter_queues", &[]);
        assert_eq!(found.map(|found| found.to_string()), Some(own.to_string()));
        let number = index.to_string();
        let told = scrape.value("bullmq_exporter_shards", &[("shard", &number)]);
        assert_eq!(told, Some(3.0), "{shard}");
    }
    let whole = whole.scrape()?;
    assert_eq!(whole.samples("bullmq_exporter_shards").count(), 0);
    Ok(())
}

#[test]
fn a_queue_that_is_named_belongs_to_one_shard_as_well_whether_it_exists_or_not() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?
        .run("for (const name of ['email', 'sms', 'other']) await queue(name).add('job', {});")?;
    let named = [
        "--bullmq.queue",
        "email",
        "--bullmq.queue",
        "sms",
        "--bullmq.queue",
        "typo",
        "--bullmq.queue",
        "tpyo",
        "--bullmq.exclude",
        "other",
    ];
    let searched = [&named[..], &["--bullmq.queue", "x-*"]].concat();
    for flags in [&named[..], &searched] {
        let shards: Vec<_> = SHARDS
            .iter()
            .map(|shard| start(&redis, Some(shard), flags))
            .collect::<Result<_>>()?;
        // Each of four names under two prefixes; no other is told even before the first search.
        for _ in 0..2 {
            let mut values = BTreeMap::new();
            for exporter in &shards {
                let scrape = exporter.scrape()?;
                for (labels, value) in scrape.samples("bullmq_queue_up") {
                    let before = values.insert(labels.to_owned(), value.to_string());
                    assert_eq!(before, None, "{labels}");
                }
            }
            let exist: Vec<_> = values
                .iter()
                .filter(|(_, value)| *value == "1")
                .filter_map(|(labels, _)| name(labels))
                .collect();
            assert_eq!((values.len(), exist), (8, vec!["email", "sms"]));
            scrape_all(&shards, 8)?;
        }
    }
    Ok(())
}

#[test]
fn a_shard_holds_for_every_server_of_a_file_and_is_taken_from_the_environment() -> Result<()> {
    let (one, other) = (Redis::start()?, Redis::start()?);
    for redis in [&one, &other] {
        BullMq::start(Version::V6, redis)?.run(
            "for (const name of ['email', 'reports', 'c21z']) await queue(name).add('job', {});",
        )?;
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("exporter.yml");
    let file = json!({"redis": [
        {"name": "one", "url": one.url()},
        {"name": "other", "url": other.url(), "queues": ["email", "c21z", "typo"]},
    ]});
    std::fs::write(&path, file.to_string())?;
    let mut of_servers: BTreeMap<String, usize> = BTreeMap::new();
    for shard in SHARDS {
        let output = Command::new(ours("bullmq-exporter")?)
            .args(["--once", "--config.file"])
            .arg(&path)
            .env("BULLMQ_EXPORTER_BULLMQ_SHARD", shard)
            .output()?;
        ensure!(output.status.success(), "{shard}");
        let text = String::from_utf8(output.stdout)?;
        for labels in queues(&Scrape { text }) {
            *of_servers.entry(labels.to_owned()).or_default() += 1;
        }
    }
    let expected = [
        ("one", "c21z"),
        ("one", "email"),
        ("one", "reports"),
        ("other", "c21z"),
        ("other", "email"),
        ("other", "typo"),
    ];
    let expected: BTreeMap<String, usize> = expected
        .iter()
        .map(|(redis, queue)| {
            let labels = format!("redis=\"{redis}\",prefix=\"bull\",queue=\"{queue}\"");
            (labels, 1)
        })
        .collect();
    assert_eq!(of_servers, expected);
    Ok(())
}

#[test]
fn the_status_page_says_which_shard_it_is_and_how_much_is_left_to_the_others() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?.run(QUEUES)?;
    let shards: Vec<_> = SHARDS
        .iter()
        .map(|shard| start(&redis, Some(shard), &[]))
        .collect::<Result<_>>()?;
    let scrapes = scrape_all(&shards, 27)?;
    for ((exporter, scrape), shard) in shards.iter().zip(scrapes).zip(SHARDS) {
        let (_, body) = exporter.get("/api/v1/status")?;
        let told: Value = serde_json::from_str(&body)?;
        let server = told.pointer("/servers/0").context("no server")?;
        let others = 27 - queues(&scrape).len();
        assert_eq!(server.pointer("/discovery/shard"), Some(&json!(shard)));
        for (field, expected) in [("other_shards_queues", others), ("left_out_queues", 0)] {
            let told = server.pointer(&format!("/discovery/last_success/{field}"));
            assert_eq!(told, Some(&json!(expected)), "{field}: {server}");
        }
        let (_, page) = exporter.get("/")?;
        for sentence in [
            format!("<dt>Shard</dt><dd>{shard}</dd>"),
            format!(
                "Of the rest only those of shard {shard} (<code>--bullmq.shard</code>); {others} queues are left to the exporters of the other shards."
            ),
        ] {
            assert!(page.contains(&sentence), "{sentence}: {page}");
        }
    }

    // A shard without a queue is no sign that something is wrong.
    let url = redis.url();
    let flags = ["--redis.url", &url, "--bullmq.queue", "sms"];
    let mut told = Vec::new();
    for shard in SHARDS {
        let exporter = Exporter::start_with(&[&flags[..], &["--bullmq.shard", shard]].concat())?;
        wait_until("a search has ended", LIMIT, || {
            let scrape = exporter.scrape()?;
            Ok(scrape.value("bullmq_exporter_queues", &[]).map(|_| ()))
        })?;
        let (_, body) = exporter.get("/api/v1/status")?;
        let status: Value = serde_json::from_str(&body)?;
        let server = status.pointer("/servers/0").context("no server")?;
        assert_eq!(server.get("warnings"), Some(&json!([])), "{server}");
        told.push(server.get("queues").and_then(Value::as_u64));
    }
    told.sort_unstable();
    assert_eq!(told, [Some(0), Some(0), Some(1)]);

    let exporter = start(&redis, None, &[])?;
    exporter.scrape_when_found("c21z")?;
    let (_, page) = exporter.get("/")?;
    assert!(
        !page.contains("hard</dt>") && !page.contains("other shards"),
        "{page}"
    );
    Ok(())
}

/// The spec of one worker that asks for these queues.
fn spec(prometheus: &Prometheus, queues: &[String], scale: &Value) -> Value {
    json!({
        "apiVersion": "bullmq-keda/v1",
        "prometheus": {"serverAddress": prometheus.url(), "scrapeInterval": "1s"},
        "workers": [{
            "name": "worker", "namespace": "shop", "queues": queues, "concurrency": 10,
            "replicas": {"min": 0, "max": 20}, "job": {"mean": "3s"}, "scale": scale,
        }],
    })
}

/// Runs the generator on a spec.
fn keda(arguments: &[&str], spec: &Value) -> Result<Output> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("spec.yaml");
    // JSON is YAML.
    std::fs::write(&path, spec.to_string())?;
    let mut command = Command::new(ours("bullmq-keda")?);
    Ok(command.args(arguments).arg(&path).output()?)
}

/// How `verify` ends for a spec, and what it says.
fn verify(spec: &Value) -> Result<(Option<i32>, String)> {
    let output = keda(&["verify"], spec)?;
    Ok((output.status.code(), String::from_utf8(output.stdout)?))
}

/// The queries of its triggers by their names, as the program writes them.
fn generate(spec: &Value) -> Result<Vec<(String, String)>> {
    let output = keda(&["generate", "--format", "json"], spec)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    let list: Value = serde_json::from_slice(&output.stdout)?;
    let triggers = list.pointer("/items/0/spec/triggers");
    let triggers = triggers.and_then(Value::as_array).context("no triggers")?;
    let query = |trigger: &Value| {
        let text = |at: &str| trigger.pointer(at)?.as_str().map(str::to_owned);
        text("/name")
            .zip(text("/metadata/query"))
            .context("no text")
    };
    triggers.iter().map(query).collect()
}

fn values(samples: &[Sample]) -> Vec<f64> {
    samples.iter().map(|sample| sample.value).collect()
}

#[test]
fn keda_is_answered_alike_by_three_shards_and_holds_for_the_queues_of_one_that_is_gone()
-> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::V6, &redis)?;
    bullmq.run(
        "for (let i = 0; i < 12; i++) for (let j = 0; j <= i; j++) await queue(`tenant-${i}`).add('job', {});",
    )?;
    let whole = start(&redis, None, &[])?;
    whole.scrape_when_found("tenant-11")?;
    let mut shards: Vec<_> = SHARDS
        .iter()
        .map(|shard| start(&redis, Some(shard), &[]))
        .collect::<Result<_>>()?;
    let scrapes = scrape_all(&shards, 12)?;
    let of_shards: Vec<Vec<String>> = scrapes
        .iter()
        .map(|scrape| {
            let names = queues(scrape).into_iter().filter_map(name);
            names.map(str::to_owned).collect()
        })
        .collect();
    let targets: Vec<_> = shards.iter().map(Exporter::address).collect();
    let sharded = Prometheus::start(&targets, SCRAPE_INTERVAL)?;
    let alone = Prometheus::start(&[whole.address()], SCRAPE_INTERVAL)?;
    for prometheus in [&sharded, &alone] {
        wait_until("all queues are scraped", LIMIT, || {
            let seen = prometheus.query("bullmq_queue_demand_jobs")?.len();
            Ok((seen == 12).then_some(()))
        })?;
    }

    let one_of_each: Vec<String> = of_shards
        .iter()
        .filter_map(|queues| queues.first().cloned())
        .collect();
    assert_eq!(one_of_each.len(), 3, "a shard has no queue: {of_shards:?}");
    let of_the_last = of_shards.last().cloned().context("no shard")?;
    let of_the_others = of_shards.iter().take(2).flatten().cloned().collect();
    let policies = [
        json!("slots"),
        json!({"jobsPerReplica": 100}),
        json!({"startWithin": "30s"}),
    ];
    let mut asked = Vec::new();
    for policy in &policies {
        for (queues, misses_the_last) in [
            (&one_of_each, true),
            (&of_the_last, true),
            (&of_the_others, false),
            (&of_shards.concat(), true),
        ] {
            let spec = spec(&sharded, queues, policy);
            for (trigger, query) in generate(&spec)? {
                // On a busy machine a scrape may come late, and then there is no answer for a moment.
                wait_until(&format!("both answer alike: {query}"), LIMIT, || {
                    let answer = values(&alone.query(&query)?);
                    let same = answer.len() == 1 && values(&sharded.query(&query)?) == answer;
                    Ok(same.then_some(()))
                })?;
                // A worker that may sleep is woken by what is known.
                let holds = misses_the_last && trigger != "wake";
                asked.push((query, holds, trigger, queues.clone()));
            }
        }
    }
    let every_queue = spec(&sharded, &of_shards.concat(), &json!("slots"));
    wait_until("all queues are verified", LIMIT, || {
        Ok((verify(&every_queue)?.0 == Some(0)).then_some(()))
    })?;

    drop(shards.pop());
    wait_until("the last shard is gone", LIMIT, || {
        let seen = sharded.query("bullmq_queue_demand_jobs")?.len();
        Ok((seen == 12 - of_the_last.len()).then_some(()))
    })?;
    for (query, holds, trigger, queues) in &asked {
        let is_known = |queue: &&String| !of_the_last.contains(queue);
        let known = queues.iter().filter(is_known).count();
        let whole = known == queues.len();
        wait_until(
            &format!("{trigger} answers as it should: {query}"),
            LIMIT,
            || {
                let answer = values(&sharded.query(query)?);
                if *holds || known == 0 {
                    ensure!(answer.is_empty(), "{answer:?} to {query}");
                    return Ok(Some(()));
                }
                // What is known of the others is an answer, and the whole answer where none is missing.
                let same = answer == values(&alone.query(query)?);
                Ok((answer.len() == 1 && same == whole).then_some(()))
            },
        )?;
    }
    // It asks by Prometheus' clock, which is told in whole seconds.
    let missing = of_the_last.first().context("no queue")?;
    let sentence = format!("the queue `{missing}` is not there");
    wait_until("the queues of the last shard are missing", LIMIT, || {
        let (code, said) = verify(&every_queue)?;
        Ok((code == Some(1) && said.contains(&sentence)).then_some(()))
    })?;
    Ok(())
}

//! Does every query of the dashboards return data from a real Prometheus, and do they keep to the rules of Grafana's dashboard-linter?
//!
//! Prometheus scrapes the real exporter over queues of the real BullMQ. KEDA and kube-state-metrics are not to be had without a cluster: `keda.prom`
//! beside this file has their series with the label sets of KEDA 2.20 and kube-state-metrics 2.16.

use std::collections::BTreeSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use acceptance::{BullMq, Exporter, Prometheus, Redis, Version, repository, wait_until};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

const FILES: [&str; 3] = ["queues.json", "queue.json", "scaling.json"];
const LIMIT: Duration = Duration::from_mins(1);

/// What Grafana puts in for its variables; the longer of two that begin alike first. The 5 minutes hold the whole run of the test.
const SUBSTITUTES: [(&str, &str); 10] = [
    ("$__rate_interval", "5m"),
    ("$__range", "5m"),
    ("$__interval", "1m"),
    ("$scaledObject", ".+"),
    ("$namespace", ".*"),
    ("$datasource", ".+"),
    ("$prefix", ".+"),
    ("$redis", ".+"),
    ("$queue", ".+"),
    ("$job", ".+"),
];

fn dashboards() -> Result<Vec<(&'static str, Value)>> {
    let read = |name| {
        let path = repository().join("dashboards").join(name);
        Ok((name, serde_json::from_str(&std::fs::read_to_string(path)?)?))
    };
    FILES.into_iter().map(read).collect()
}

fn list<'a>(value: &'a Value, path: &str) -> &'a [Value] {
    value
        .pointer(path)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

fn text<'a>(value: &'a Value, path: &str) -> &'a str {
    value.pointer(path).and_then(Value::as_str).unwrap_or("")
}

fn panels(dashboard: &Value) -> impl Iterator<Item = &Value> {
    let panels = list(dashboard, "/panels").iter();
    panels.filter(|panel| text(panel, "/type") != "row")
}

/// What PromQL there is in a dashboard, each with its place: panels, annotations, and what variables take their values from.
fn expressions(dashboard: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for panel in panels(dashboard) {
        for target in list(panel, "/targets") {
            let place = format!("{} {}", text(panel, "/title"), text(target, "/refId"));
            found.push((place, text(target, "/expr").to_owned()));
        }
    }
    for annotation in list(dashboard, "/annotations/list") {
        found.push((
            text(annotation, "/name").to_owned(),
            text(annotation, "/target/expr").to_owned(),
        ));
    }
    for variable in list(dashboard, "/templating/list") {
        let query = text(variable, "/query/query");
        if let Some(inside) = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'))
            && let Some((selector, label)) = inside.rsplit_once(", ")
        {
            // A series without the label gives no value to choose.
            let with_label = match selector.strip_suffix('}') {
                Some(matchers) => format!("{matchers},{label}!=\"\"}}"),
                None => format!("{selector}{{{label}!=\"\"}}"),
            };
            let expression = format!("count by ({label}) ({with_label})");
            found.push((format!("variable {}", text(variable, "/name")), expression));
        }
    }
    found
}

fn substituted(expression: &str) -> String {
    SUBSTITUTES
        .iter()
        .fold(expression.to_owned(), |text, (variable, value)| {
            text.replace(variable, value)
        })
}

/// Serves a text as a target of Prometheus until the test's process ends; `RISING` in it is the number of the scrape.
fn serve(text: String) -> Result<String> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?.to_string();
    std::thread::spawn(move || {
        for (scrape, stream) in listener.incoming().enumerate() {
            let text = text.replace("RISING", &scrape.to_string());
            let Ok(mut stream) = stream else { return };
            let Ok(reading) = stream.try_clone() else {
                return;
            };
            // The request ends with an empty line; what it asks for is always the same.
            let lines = BufReader::new(reading).lines();
            lines
                .map_while(Result::ok)
                .take_while(|line| !line.is_empty())
                .for_each(drop);
            // A Prometheus that hangs up is not this server's affair.
            let _ = write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: text/plain; version=0.0.4\r\nConnection: close\r\nContent-Length: {}\r\n\r\n{text}",
                text.len()
            );
        }
    });
    Ok(address)
}

/// Queues in every condition that a panel shows.
const QUEUES: &str = "
    const options = { metrics: { maxDataPoints: 10 }, concurrency: 2, limiter: { max: 1000, duration: 60000 } };
    kept.worker = await worker('email', async (job) => { await sleep(20); if (job.name === 'bad') throw new Error('no'); if (job.name === 'long') await sleep(600000); }, options);
    await queue('email').setGlobalConcurrency(5);
    await queue('email').upsertJobScheduler('nightly', { every: 3600000 });
    await queue('email').add('later', {}, { delay: 3600000 });
    await queue('email').add('long', {});
    await queue('waiting').add('job', {}); await queue('waiting').add('job', {}, { priority: 1 }); await queue('waiting').add('due', {}, { delay: 1 });
    await queue('paused').add('job', {}); await queue('paused').pause();";
const MORE: &str = "for (let i = 0; i < 3; i++) { await queue('email').add('good', {}); await queue('email').add('bad', {}); await queue('waiting').add('job', {}); }";

#[test]
fn every_query_of_the_dashboards_returns_data() -> Result<()> {
    let redis = Redis::start()?;
    let mut bullmq = BullMq::start(Version::V6, &redis)?;
    bullmq.run(QUEUES)?;
    // BullMQ Pro is not to be had; this is what its groups look like to a reader.
    redis.run(&["ZADD", "bull:waiting:groups", "1", "customer"])?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("exporter.yml");
    std::fs::write(
        &file,
        format!("redis: [{{name: main, url: '{}'}}]\n", redis.url()),
    )?;
    let file = file.to_str().context("a path in UTF-8")?;
    let exporter = Exporter::start_with(&[
        "--config.file",
        file,
        "--collect.events",
        "--discovery.interval",
        "200ms",
    ])?;
    exporter.scrape_when_found("paused")?;
    let cluster = serve(std::fs::read_to_string(
        repository().join("tests/keda.prom"),
    )?)?;
    let target = |job: &str, address: &str, namespace: &str| json!({ "job_name": job, "scrape_timeout": "500ms", "static_configs": [{ "targets": [address], "labels": { "namespace": namespace } }] });
    let prometheus = Prometheus::start_jobs(
        &[
            target("bullmq-exporter", exporter.address(), "monitoring"),
            // Without honor_labels, as people's Prometheus is: KEDA's own namespace comes as exported_namespace.
            target("keda-operator", &cluster, "keda"),
        ],
        Duration::from_millis(500),
        None,
    )?;

    let mut empty = Vec::new();
    for (file, dashboard) in dashboards()? {
        for (place, expression) in expressions(&dashboard) {
            ensure!(!expression.is_empty(), "{file}: {place} asks nothing");
            let asked = substituted(&expression);
            ensure!(
                !asked.replace("\"$1\"", "").contains('$'),
                "{file}: {place}: a variable that the test does not know: {asked}"
            );
            empty.push((format!("{file}: {place}"), asked));
        }
    }
    let asked = empty.len();
    let answered = wait_until("every query has data", LIMIT, || {
        bullmq.run(MORE)?;
        let mut still = Vec::new();
        for (place, expression) in empty.drain(..) {
            let answer = prometheus.query(&expression);
            let answer = answer.with_context(|| format!("{place}: {expression}"))?;
            // NaN is what a division of nothing by nothing gives, and shows nothing.
            if answer.iter().all(|sample| sample.value.is_nan()) {
                still.push((place, expression));
            }
        }
        empty = still;
        Ok(empty.is_empty().then_some(()))
    });
    answered.with_context(|| format!("of {asked} queries these have no data: {empty:#?}"))?;
    // The share of failures is the one that was caused: one good, one bad job.
    let ratio = prometheus.query("max(rate(bullmq_job_failed_total[5m]) / (rate(bullmq_job_failed_total[5m]) + rate(bullmq_job_completed_total[5m])))")?;
    let ratio = ratio.first().context("a ratio")?.value;
    assert!((0.3..0.7).contains(&ratio), "{ratio}");
    Ok(())
}

/// Metrics of others that are shown beside ours under their own job.
const OF_OTHER_JOBS: [&str; 1] = ["kube_"];
/// Units of Grafana that the panels use.
const UNITS: [&str; 6] = ["none", "short", "s", "ops", "bytes", "percentunit"];
/// The panels that Grafana has not deprecated and that are used here.
const PANELS: [&str; 5] = ["stat", "timeseries", "state-timeline", "table", "heatmap"];

/// The rules of <https://github.com/grafana/dashboard-linter/tree/main/docs/rules>, and what the three promise of each other. Exceptions, on purpose:
/// target-instance and template-instance, because a queue's state is the same from each exporter; target-job for kube-state-metrics, which is
/// another job.
#[test]
fn the_dashboards_keep_to_the_rules_of_the_dashboard_linter() -> Result<()> {
    let mut uids = BTreeSet::new();
    for (file, dashboard) in dashboards()? {
        uids.insert(text(&dashboard, "/uid").to_owned());
        assert_eq!(dashboard.get("editable"), Some(&json!(false)), "{file}");
        assert_eq!(text(&dashboard, "/refresh"), "30s", "{file}");
        assert_eq!(text(&dashboard, "/timezone"), "browser", "{file}");
        assert!(dashboard.get("__inputs").is_none(), "{file}");
        variables(file, &dashboard);
        let mut ids = BTreeSet::new();
        let mut places = BTreeSet::new();
        for panel in list(&dashboard, "/panels") {
            let title = text(panel, "/title");
            assert!(
                ids.insert(panel.get("id").map(ToString::to_string)),
                "{file}: {title}: an id twice"
            );
            for (x, y) in squares(panel) {
                assert!(
                    x < 24 && places.insert((x, y)),
                    "{file}: {title} lies over another at {x}, {y}"
                );
            }
        }
        for panel in panels(&dashboard) {
            let at = format!("{file}: {}", text(panel, "/title"));
            assert!(!text(panel, "/title").is_empty(), "{at}");
            assert!(
                text(panel, "/description").ends_with('.'),
                "{at}: no description"
            );
            assert!(PANELS.contains(&text(panel, "/type")), "{at}");
            assert!(
                UNITS.contains(&text(panel, "/fieldConfig/defaults/unit")),
                "{at}"
            );
            assert_eq!(text(panel, "/datasource/uid"), "$datasource", "{at}");
            let targets = list(panel, "/targets");
            assert!(!targets.is_empty(), "{at}: no query");
            let mut names = BTreeSet::new();
            for target in targets {
                assert!(names.insert(text(target, "/refId")), "{at}");
                assert_eq!(text(target, "/datasource/uid"), "$datasource", "{at}");
                query(&at, text(target, "/expr"));
            }
        }
    }
    assert_eq!(
        uids.into_iter().collect::<Vec<_>>(),
        ["bullmq-queue", "bullmq-queues", "bullmq-scaling"]
    );
    Ok(())
}

/// template-datasource, template-job, template-label-promql, template-on-time-change-reload.
fn variables(file: &str, dashboard: &Value) {
    let variables = list(dashboard, "/templating/list");
    let named = |name: &str| {
        variables
            .iter()
            .find(|variable| text(variable, "/name") == name)
    };
    let source =
        named("datasource").map_or(("", ""), |it| (text(it, "/label"), text(it, "/query")));
    assert_eq!(source, ("Data source", "prometheus"), "{file}");
    assert!(
        named("job")
            .is_some_and(|job| text(job, "/label") == "Job" && text(job, "/allValue") == ".+"),
        "{file}"
    );
    for variable in variables.iter().filter(|it| text(it, "/type") == "query") {
        let name = text(variable, "/name");
        assert_eq!(
            text(variable, "/datasource/uid"),
            "$datasource",
            "{file}: {name}"
        );
        assert_eq!(variable.get("refresh"), Some(&json!(2)), "{file}: {name}");
        assert!(
            text(variable, "/query/query").starts_with("label_values("),
            "{file}: {name}"
        );
        // A variable that no query uses chooses nothing.
        let used = expressions(dashboard)
            .iter()
            .any(|(_, expression)| expression.contains(&format!("${name}")));
        assert!(used, "{file}: {name} is used by no query");
    }
}

/// target-rate-interval, target-job, target-counter-agg.
fn query(at: &str, expression: &str) {
    for (before, range) in expression.split('[').zip(expression.split('[').skip(1)) {
        let range = range.split(']').next().unwrap_or("");
        let fixed = before.contains("delta(") && range == "30m";
        assert!(
            matches!(range, "$__rate_interval" | "$__range:") || fixed,
            "{at}: [{range}]"
        );
    }
    for selector in expression.split('{').collect::<Vec<_>>().windows(2) {
        let [before, after] = selector else { continue };
        let name = before
            .rsplit(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
            .next()
            .unwrap_or("");
        let inside = after.split('}').next().unwrap_or("");
        let other = OF_OTHER_JOBS.iter().any(|prefix| name.starts_with(prefix));
        assert!(
            other || inside.contains(r#"job=~"$job""#),
            "{at}: {name} of any job"
        );
        if name.ends_with("_total") {
            let around = before.strip_suffix(name).unwrap_or("");
            assert!(
                around.ends_with("rate(") || around.ends_with("increase("),
                "{at}: {name} as it is"
            );
        }
    }
}

fn squares(panel: &Value) -> Vec<(u64, u64)> {
    let of = |key: &str| {
        panel
            .pointer(&format!("/gridPos/{key}"))
            .and_then(Value::as_u64)
            .unwrap_or(0)
    };
    let (x, y, w, h) = (of("x"), of("y"), of("w"), of("h"));
    (x..x + w)
        .flat_map(|x| (y..y + h).map(move |y| (x, y)))
        .collect()
}

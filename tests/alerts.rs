//! Does each alert fire when it should, after its `for` and not before, and stay silent when it should not?
//!
//! `alerts.yaml` beside this file says what makes each alert of the chart fire, and `worker_alerts.yaml` that of each alert that the generator
//! adds for a worker; promtool, which runs Prometheus' own engine, is the judge.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use acceptance::{
    BullMq, Exporter, Redis, Version, fed, judge, ours, promtool, read_as_kubectl, repository,
};
use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;
use serde_json::{Value, json};

const RULES: &str = "charts/bullmq-exporter/rules/alerts.yaml";

/// What identifies a queue, a Redis, an exporter, KEDA's trigger and an HPA in the series of `alerts.yaml`.
const SHORT: [(&str, &str); 11] = [
    (
        "Q",
        r#"namespace="n",job="j",redis="main",prefix="bull",queue="email""#,
    ),
    ("R", r#"namespace="n",job="j",redis="main""#),
    (
        "I",
        r#"namespace="n",job="bullmq-exporter",instance="i:9538""#,
    ),
    (
        "K",
        r#"namespace="keda",exported_namespace="shop",scaledObject="email",metric="s0-prometheus",scaler="prometheusScaler",triggerIndex="0",type="scaledobject""#,
    ),
    (
        "H",
        r#"namespace="shop",horizontalpodautoscaler="keda-hpa-email""#,
    ),
    (
        "D",
        r#"namespace="n",job="j",redis="main",prefix="bull",queue="digest""#,
    ),
    (
        "W",
        r#"namespace="shop",job="kube-state-metrics",horizontalpodautoscaler="keda-hpa-email""#,
    ),
    (
        "X",
        r#"namespace="monitoring",exported_namespace="shop",horizontalpodautoscaler="keda-hpa-email""#,
    ),
    (
        "M",
        r#"namespace="shop",job="keda-operator",scaledObject="email""#,
    ),
    (
        "Y",
        r#"namespace="keda",exported_namespace="shop",scaledObject="email""#,
    ),
    (
        "T",
        r#"namespace="keda",exported_namespace="shop",scaled_resource="email",scaler="prometheus",trigger_name="demand",metric_name="s0-prometheus""#,
    ),
];

/// The workers of `worker_alerts.yaml`.
const WORKERS: [(&str, &str); 3] = [
    (
        "email",
        "- {name: email, namespace: shop, queues: [{name: email, redis: main}, {name: digest, redis: main, optional: true}], \
         concurrency: 10, replicas: {min: 0, max: 20}, scale: {startWithin: 1m}, job: {mean: 2s}}",
    ),
    (
        "steady",
        "- {name: steady, queues: [{name: email, redis: main}], replicas: {min: 1, max: 5}, scale: {jobsPerReplica: 100}, \
         overrides: {spec: {advanced: {horizontalPodAutoscalerConfig: {name: own-name}}}}}",
    ),
    (
        "render",
        "- {name: render, namespace: shop, target: {kind: Job, template: job.yaml}, queues: [{name: email, redis: main}], \
         concurrency: 1, replicas: {min: 0, max: 5}}",
    ),
];
const JOB: &str = "template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}\n";

fn spec(worker: &str) -> Result<String> {
    let (_, worker) = WORKERS
        .iter()
        .find(|(name, _)| *name == worker)
        .with_context(|| format!("no worker {worker}"))?;
    Ok(format!(
        "apiVersion: bullmq-keda/v1\nprometheus: {{serverAddress: http://prometheus:9090}}\nworkers:\n{worker}\n"
    ))
}

/// What `bullmq-keda generate` prints for a spec, in a folder where the template of its Jobs is.
fn generated(folder: &Path, spec: &str, arguments: &[&str]) -> Result<String> {
    std::fs::write(folder.join("job.yaml"), JOB)?;
    let mut command = Command::new(ours("bullmq-keda")?);
    command.args(["generate", "-"]).args(arguments);
    let output = fed(command.current_dir(folder), spec)?;
    ensure!(
        output.status.success() && output.stderr.is_empty(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

#[derive(Debug, Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    r#for: String,
    labels: BTreeMap<String, String>,
    annotations: BTreeMap<String, String>,
}

type Series = BTreeMap<String, String>;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    #[serde(default)]
    worker: String,
    alert: String,
    fires: Series,
    #[serde(default)]
    begins: u64,
    labels: String,
    #[serde(default)]
    value: Option<Value>,
    #[serde(default)]
    value_without: Option<Value>,
    #[serde(default)]
    still_fires_without: Vec<String>,
    quiet: Vec<Series>,
}

fn rules() -> Result<Vec<Rule>> {
    rules_of(&std::fs::read_to_string(repository().join(RULES))?)
}

fn rules_of(text: &str) -> Result<Vec<Rule>> {
    let rules: Rules = serde_saphyr::from_str(text)?;
    Ok(rules
        .groups
        .into_iter()
        .flat_map(|group| group.rules)
        .collect())
}

fn cases(file: &str) -> Result<Vec<Case>> {
    let text = std::fs::read_to_string(repository().join(file))?;
    Ok(serde_saphyr::from_str(&text)?)
}

/// Asks promtool whether a rule file does what is expected of it.
fn judged(rules: &Path, tests: &[Value]) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("alerts.test.yaml");
    let suite = json!({
        "rule_files": [rules],
        "evaluation_interval": "1m",
        "tests": tests,
    });
    std::fs::write(&file, suite.to_string())?;
    let (passed, said) = promtool(
        &["test", "rules", file.to_str().context("a path in UTF-8")?],
        "",
    )?;
    assert!(passed, "{said}");
    Ok(())
}

/// The labels that a selector's inside, or one of its short forms, stands for.
fn written_out(labels: &str) -> String {
    let parts = labels.split(',').map(|part| {
        let long = SHORT.iter().find(|(short, _)| *short == part);
        long.map_or(part, |(_, long)| long)
    });
    parts.collect::<Vec<_>>().join(",")
}

fn series(name: &str) -> Result<String> {
    let (metric, labels) = name.split_once('{').context("a series has labels")?;
    let labels = labels.strip_suffix('}').context("a series ends with }")?;
    Ok(format!("{metric}{{{}}}", written_out(labels)))
}

/// Minutes of a duration that ends with `m` or `h`.
fn minutes(duration: &str) -> Result<u64> {
    let (number, unit) = duration.split_at(duration.len() - 1);
    let factor = match unit {
        "m" => 1,
        "h" => 60,
        _ => bail!("{duration} is neither minutes nor hours"),
    };
    Ok(number.parse::<u64>()? * factor)
}

/// One test of promtool: with these series, at each minute, this alert or none.
fn test(rule: &Rule, with: &Series, at: &[(u64, Option<&Value>)]) -> Result<Value> {
    let input: Result<Vec<Value>> = with
        .iter()
        .map(|(name, values)| Ok(json!({ "series": series(name)?, "values": values })))
        .collect();
    let expected: Vec<Value> = at
        .iter()
        .map(|(minute, alert)| {
            json!({
                "eval_time": format!("{minute}m"),
                "alertname": rule.alert,
                "exp_alerts": alert.iter().collect::<Vec<_>>(),
            })
        })
        .collect();
    Ok(json!({
        "name": format!("{} {with:?}", rule.alert),
        "interval": "1m",
        "input_series": input?,
        "alert_rule_test": expected,
    }))
}

/// The alert as it must arrive, with its texts filled in.
fn alert(rule: &Rule, labels: &str, value: Option<&Value>) -> Result<Value> {
    let labels = written_out(labels);
    let mut of_the_series = BTreeMap::new();
    for label in labels.split(',').filter(|label| !label.is_empty()) {
        let (key, value) = label.split_once('=').context("a label has a value")?;
        of_the_series.insert(key.to_owned(), value.trim_matches('"').to_owned());
    }
    let value = match value {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let mut annotations = rule.annotations.clone();
    for (name, text) in &mut annotations {
        let mut filled = String::new();
        let mut rest = text.as_str();
        while let Some((before, after)) = rest.split_once("{{ ") {
            let (template, after) = after.split_once(" }}").context("a template ends")?;
            filled.push_str(before);
            filled.push_str(match template.strip_prefix("$labels.") {
                Some(label) => of_the_series.get(label).with_context(|| {
                    format!("{}: {name} names {label}, which it has not", rule.alert)
                })?,
                None => &value,
            });
            rest = after;
        }
        ensure!(
            !text.contains("$value") || !value.is_empty(),
            "{}: no value in its case",
            rule.alert
        );
        filled.push_str(rest);
        *text = filled;
    }
    of_the_series.extend(rule.labels.clone());
    Ok(json!({ "exp_labels": of_the_series, "exp_annotations": annotations }))
}

/// Everything that promtool is asked about one alert.
fn tests(rule: &Rule, case: &Case) -> Result<Vec<Value>> {
    let fires_at = case.begins + minutes(&rule.r#for)?;
    let later = fires_at + 20;
    let fired = alert(rule, &case.labels, case.value.as_ref())?;
    let boundary = [(fires_at - 1, None), (fires_at, Some(&fired))];
    let mut tests = vec![test(rule, &case.fires, &boundary)?];
    for name in &case.still_fires_without {
        ensure!(
            case.fires.contains_key(name),
            "{}: {name} is not among what fires",
            rule.alert
        );
    }
    for name in case.fires.keys() {
        let mut rest = case.fires.clone();
        rest.remove(name);
        if case.still_fires_without.contains(name) {
            let fired = alert(
                rule,
                &case.labels,
                case.value_without.as_ref().or(case.value.as_ref()),
            )?;
            tests.push(test(
                rule,
                &rest,
                &[(fires_at - 1, None), (fires_at, Some(&fired))],
            )?);
        } else {
            tests.push(test(rule, &rest, &[(fires_at, None), (later, None)])?);
        }
    }
    for quiet in &case.quiet {
        tests.push(test(rule, quiet, &[(fires_at, None), (later, None)])?);
    }
    Ok(tests)
}

#[test]
fn every_alert_fires_when_it_should_and_only_then() -> Result<()> {
    let (rules, cases) = (rules()?, cases("tests/alerts.yaml")?);
    let names: Vec<_> = rules.iter().map(|rule| rule.alert.as_str()).collect();
    let mut told: Vec<_> = cases.iter().map(|case| case.alert.as_str()).collect();
    told.dedup();
    assert_eq!(told, names, "alerts.yaml has every alert, in their order");
    let mut all = Vec::new();
    for case in &cases {
        let mut rules = rules.iter();
        let rule = rules.find(|rule| rule.alert == case.alert);
        let rule = rule.context("an alert")?;
        ensure!(!case.quiet.is_empty(), "{}: nothing is quiet", case.alert);
        all.extend(tests(rule, case)?);
    }
    judged(&repository().join(RULES), &all)
}

#[test]
fn every_alert_of_a_worker_fires_when_it_should_and_only_then() -> Result<()> {
    let cases = cases("tests/worker_alerts.yaml")?;
    for (worker, _) in WORKERS {
        let folder = tempfile::tempdir()?;
        let text = generated(
            folder.path(),
            &spec(worker)?,
            &["--format", "prometheus-rules"],
        )?;
        let file = folder.path().join("rules.yaml");
        std::fs::write(&file, &text)?;
        let cases: Vec<&Case> = cases.iter().filter(|case| case.worker == worker).collect();
        let rules = rules_of(&text)?;
        let named: BTreeSet<&str> = rules.iter().map(|rule| &*rule.alert).collect();
        let told: BTreeSet<&str> = cases.iter().map(|case| &*case.alert).collect();
        assert_eq!(told, named, "{worker}");
        let mut all = Vec::new();
        for case in cases {
            let rule = rules.iter().find(|rule| rule.alert == case.alert);
            ensure!(!case.quiet.is_empty(), "{}: nothing is quiet", case.alert);
            all.extend(tests(rule.context("a rule")?, case)?);
        }
        judged(&file, &all).with_context(|| worker.to_owned())?;
    }
    Ok(())
}

/// Every worker in one file, as a team has it.
#[test]
fn promtool_and_the_prometheus_operator_know_every_field_of_the_alerts_of_workers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut all = spec("email")?;
    for worker in ["steady", "render"] {
        let spec = spec(worker)?;
        all += spec.split_once("workers:\n").context("workers")?.1;
    }
    let rules = generated(folder.path(), &all, &["--format", "prometheus-rules"])?;
    let file = folder.path().join("rules.yaml");
    std::fs::write(&file, &rules)?;
    let path = file.to_str().context("a path in UTF-8")?;
    let (passed, said) = promtool(&["check", "rules", "--lint=all", "--lint-fatal", path], "")?;
    assert!(passed, "{said}");

    let label = ["--alerts", "--alerts-label", "release=x"];
    let manifests = generated(folder.path(), &all, &label)?;
    let schemas = repository().join("target/tools/schemas");
    let location = format!(
        "{}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
        schemas.display()
    );
    let judged = |manifests: &str| -> Result<(bool, String)> {
        let mut command = Command::new(judge("kubeconform")?);
        // The schemas are those of the charts, which have no kind of KEDA's.
        command.args(["-strict", "-summary", "-skip", "ScaledObject,ScaledJob"]);
        let output = fed(
            command.args(["-schema-location", &location, "-"]),
            manifests,
        )?;
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        ))
    };
    let (right, said) = judged(&manifests)?;
    assert!(right && said.contains("Valid: 3, "), "{said}");
    let (right, said) = judged(&manifests.replace("    for: 5m", "    fur: 5m"))?;
    assert!(!right, "the judge can find something: {said}");

    // The spec of each is a group of the rule file, and its metadata what the operator selects it by.
    let objects = read_as_kubectl(&manifests)?;
    let of_kind = objects.iter().filter(|it| it["kind"] == "PrometheusRule");
    let groups: Vec<Value> = of_kind
        .clone()
        .map(|it| it["spec"]["groups"][0].clone())
        .collect();
    assert_eq!(read_as_kubectl(&rules)?, [json!({ "groups": groups })]);
    for object in of_kind {
        assert_eq!(object["metadata"]["labels"], json!({ "release": "x" }));
    }
    Ok(())
}

#[test]
fn every_alert_of_a_worker_says_whom_it_is_about_and_leads_to_a_runbook_that_is_there() -> Result<()>
{
    let folder = tempfile::tempdir()?;
    for (worker, whom) in [
        ("email", "email in shop"),
        ("steady", "steady"),
        ("render", "render in shop"),
    ] {
        for (prefix, expected) in [
            (None, "docs/runbooks/"),
            (Some("https://r.example.com/x/"), "https://r.example.com/x/"),
        ] {
            let mut arguments = vec!["--format", "prometheus-rules"];
            arguments.extend(prefix.iter().flat_map(|url| ["--runbook-url-prefix", url]));
            let text = generated(folder.path(), &spec(worker)?, &arguments)?;
            for rule in rules_of(&text)? {
                let name = &rule.alert;
                assert!(name.starts_with("BullMQWorker"), "{name}");
                let said = |annotation: &str| {
                    let text = rule.annotations.get(annotation);
                    text.cloned()
                        .with_context(|| format!("{name} has no {annotation}"))
                };
                assert_eq!(rule.annotations.len(), 3, "{name}");
                for annotation in ["summary", "description"] {
                    let text = said(annotation)?;
                    assert!(text.contains(whom), "{name}: {text}");
                    // A chart that renders its manifests would render these too.
                    assert!(!text.contains("{{"), "{name}: {text}");
                }
                assert!(
                    said("description")?.contains("Queues: email (redis main)"),
                    "{name}"
                );
                let url = said("runbook_url")?;
                let page = url.strip_prefix(expected).with_context(|| url.clone())?;
                let page = repository().join("docs/runbooks").join(page);
                assert!(page.is_file(), "{}", page.display());
                let severity = rule.labels.get("severity").map(String::as_str);
                assert!(
                    matches!(severity, Some("critical" | "warning" | "info")),
                    "{name}: {severity:?}"
                );
            }
        }
    }
    Ok(())
}

#[test]
fn promtool_finds_nothing_to_say_about_the_rules() -> Result<()> {
    let path = repository().join(RULES);
    let path = path.to_str().context("a path in UTF-8")?;
    let (passed, said) = promtool(&["check", "rules", "--lint=all", "--lint-fatal", path], "")?;
    assert!(passed, "{said}");
    Ok(())
}

#[test]
fn every_alert_keeps_to_the_form_that_the_chart_relies_on() -> Result<()> {
    let mut names = BTreeSet::new();
    for rule in rules()? {
        let name = &rule.alert;
        assert!(names.insert(name.clone()), "{name} is there twice");
        assert!(name.starts_with("BullMQ"), "{name}");
        let keys: Vec<_> = rule.annotations.keys().map(String::as_str).collect();
        assert_eq!(keys, ["description", "runbook_url", "summary"], "{name}");
        assert_eq!(
            rule.annotations.get("runbook_url"),
            Some(&format!("docs/runbooks/{name}.md")),
            "{name}"
        );
        let severity = rule.labels.get("severity").map(String::as_str);
        assert!(
            matches!(severity, Some("critical" | "warning" | "info")),
            "{name}: {severity:?}"
        );
        assert_eq!(rule.labels.len(), 1, "{name}");
        assert!(minutes(&rule.r#for)? > 0, "{name}");
        let first = rule.expr.lines().next().context("an expression")?;
        let threshold = first.rsplit_once(" > ").map(|(_, number)| number);
        assert!(
            threshold.is_some_and(|number| number.parse::<f64>().is_ok())
                || first.ends_with(" == 0")
                || first.ends_with(" == 1")
                || first.starts_with("absent("),
            "{name}: the first line ends with no threshold: {first}"
        );
    }
    Ok(())
}

/// The commands of the runbooks that ask Redis, on queues that have what the pages speak of.
#[test]
fn the_redis_commands_of_the_runbooks_work() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?.run(
        "await queue('email').add('later', {}, { delay: 1 }); await queue('email').upsertJobScheduler('nightly', { every: 3600000 });",
    )?;
    let mut run = 0;
    for entry in std::fs::read_dir(repository().join("docs/runbooks"))? {
        let page = std::fs::read_to_string(entry?.path())?;
        let lines = page
            .lines()
            .filter_map(|line| line.strip_prefix("redis-cli "));
        // What goes on until it is stopped, and what the shell makes of the answer, is not run.
        for command in lines.filter(|line| !line.starts_with("--")) {
            let command = command.split(" | ").next().unwrap_or(command);
            let answer = redis.run(&command.split(' ').collect::<Vec<_>>());
            answer.with_context(|| command.to_owned())?;
            run += 1;
        }
    }
    assert!(run > 20, "{run} commands");
    Ok(())
}

/// The flags with a dot are the exporter's.
#[test]
fn every_flag_in_the_alerts_and_runbooks_exists() -> Result<()> {
    let help = String::from_utf8(Exporter::run(&["--help"])?.stdout)?;
    let words = |text: &str| -> BTreeSet<String> {
        let part_of_a_flag = |c: char| c.is_ascii_lowercase() || c == '-' || c == '.';
        let words = text.split(|c| !part_of_a_flag(c));
        let words = words.map(|word| word.trim_end_matches('.').to_owned());
        words
            .filter(|word| word.starts_with("--") && word.contains('.'))
            .collect()
    };
    let mut said = words(&std::fs::read_to_string(repository().join(RULES))?);
    for entry in std::fs::read_dir(repository().join("docs/runbooks"))? {
        said.extend(words(&std::fs::read_to_string(entry?.path())?));
    }
    assert!(said.contains("--collect.events"), "{said:?}");
    let unknown: Vec<_> = said.difference(&words(&help)).cloned().collect();
    assert_eq!(unknown, Vec::<String>::new());
    Ok(())
}

#[test]
fn every_alert_has_a_runbook_and_every_runbook_an_alert() -> Result<()> {
    let alerts: BTreeSet<_> = rules()?.into_iter().map(|rule| rule.alert).collect();
    let mut pages = BTreeSet::new();
    for entry in std::fs::read_dir(repository().join("docs/runbooks"))? {
        let path = entry?.path();
        let name = path.file_stem().context("a name")?.to_string_lossy();
        if name == "README" {
            continue;
        }
        let page = std::fs::read_to_string(&path)?;
        assert!(page.starts_with(&format!("# {name}\n")), "{name}");
        let headings: Vec<_> = page
            .lines()
            .filter_map(|line| line.strip_prefix("## "))
            .collect();
        assert_eq!(
            headings,
            ["Meaning", "First look", "Likely causes", "Remedies"],
            "{name}"
        );
        pages.insert(name.into_owned());
    }
    assert_eq!(pages, alerts);
    Ok(())
}

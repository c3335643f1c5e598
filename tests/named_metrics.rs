//! Does every metric and label that dashboards, alerts, runbooks, documents and examples name exist, and is every metric of use to somebody?

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what else JSON and PromQL know names no metric and no label"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::path::{Path, PathBuf};

use acceptance::repository;
use anyhow::{Context as _, Result, anyhow};
use bullmq_vocabulary::{JobEvent, JobState, Kind, METRICS, label};
use promql_parser::label::MatchOp;
use promql_parser::parser::{Expr, VectorSelector};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde_json::Value;

/// What Prometheus adds to every series of a target, as it is set up here; the last is KEDA's own namespace.
const OF_THE_TARGET: [&str; 4] = ["job", "namespace", "instance", "exported_namespace"];

/// Metrics that are not of this project and not in `keda.prom`, with their labels: Prometheus' own, and those of every process.
const OF_OTHERS: [(&str, &[&str]); 6] = [
    ("up", &[]),
    ("scrape_duration_seconds", &[]),
    ("scrape_samples_scraped", &[]),
    ("process_resident_memory_bytes", &[]),
    ("process_cpu_seconds_total", &[]),
    ("prometheus_engine_query_duration_seconds", &["quantile"]),
];

/// Every file under these is read, and each of these.
const FOLDERS: [&str; 4] = ["charts", "dashboards", "docs", "examples"];
const FILES: [&str; 4] = [
    "README.md",
    "ARCHITECTURE.md",
    "exporter/METRICS.md",
    "generator/SPEC.md",
];

/// Every metric with its labels; a histogram by the names of its parts.
fn known() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let mut known = BTreeMap::new();
    let owned = |labels: &[&str]| {
        labels
            .iter()
            .map(|&label| label.to_owned())
            .collect::<BTreeSet<_>>()
    };
    for metric in METRICS {
        let labels = owned(metric.labels);
        if metric.kind == Kind::Histogram {
            let mut with_bound = labels.clone();
            with_bound.insert(label::LE.to_owned());
            known.insert(format!("{}_bucket", metric.name), with_bound);
            known.insert(format!("{}_sum", metric.name), labels.clone());
            known.insert(format!("{}_count", metric.name), labels);
        } else {
            known.insert(metric.name.to_owned(), labels);
        }
    }
    for (name, labels) in OF_OTHERS {
        known.insert(name.to_owned(), owned(labels));
    }
    let fixture = std::fs::read_to_string(repository().join("tests/keda.prom"))?;
    for line in fixture.lines().filter(|line| !line.starts_with('#')) {
        let (name, rest) = line.split_once('{').context("a series with labels")?;
        let (labels, _) = rest.rsplit_once('}').context("a value")?;
        let keys = labels
            .split("\",")
            .filter_map(|pair| pair.split_once('='))
            .map(|(key, _)| key.to_owned());
        known
            .entry(name.to_owned())
            .or_insert_with(BTreeSet::new)
            .extend(keys);
    }
    Ok(known)
}

/// One expression, where it stands, and the labels that its legend shows.
struct Asked {
    place: String,
    expression: String,
    shown: Vec<String>,
}

fn files() -> Result<Vec<PathBuf>> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) -> Result<()> {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default();
            if path.is_dir() && name != "node_modules" {
                walk(&path, found)?;
            } else if path.extension().is_some_and(|it| {
                ["md", "yaml", "yml", "json", "tpl", "txt"]
                    .iter()
                    .any(|text| it == *text)
            }) {
                found.push(path);
            }
        }
        Ok(())
    }
    let mut found: Vec<_> = FILES.iter().map(|file| repository().join(file)).collect();
    for folder in FOLDERS {
        walk(&repository().join(folder), &mut found)?;
    }
    Ok(found)
}

/// Everything that is PromQL by its place: dashboards, alerts, and the blocks of documents that say so.
fn asked() -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for path in files()? {
        let place = path.strip_prefix(repository())?.display().to_string();
        let text = std::fs::read_to_string(&path)?;
        if place.starts_with("dashboards/") && path.extension().is_some_and(|it| it == "json") {
            of_dashboard(&place, &serde_json::from_str(&text)?, &mut asked);
        } else if place.starts_with("charts/") && place.contains("/rules/")
            || place.starts_with("examples/") && place.ends_with("/rules.yaml")
        {
            let rules: Value = serde_saphyr::from_str(&text)?;
            strings(&rules, "expr", &mut |expression, _| {
                asked.push(Asked {
                    place: place.clone(),
                    expression: expression.to_owned(),
                    shown: Vec::new(),
                });
            });
        } else if path.extension().is_some_and(|it| it == "md") {
            for block in text.split("```promql\n").skip(1) {
                let block = block.split("```").next().unwrap_or("");
                asked.extend(block.lines().map(|line| Asked {
                    place: place.clone(),
                    expression: line.to_owned(),
                    shown: Vec::new(),
                }));
            }
        }
    }
    Ok(asked)
}

fn of_dashboard(place: &str, dashboard: &Value, asked: &mut Vec<Asked>) {
    let substituted = |text: &str| {
        text.replace("$__rate_interval", "5m")
            .replace("$__range", "1h")
    };
    strings(dashboard, "expr", &mut |expression, object| {
        let legend = object
            .get("legendFormat")
            .and_then(Value::as_str)
            .unwrap_or("");
        let shown = legend
            .split("{{")
            .skip(1)
            .filter_map(|rest| rest.split_once("}}"))
            .map(|(label, _)| label.to_owned());
        asked.push(Asked {
            place: place.to_owned(),
            expression: substituted(expression),
            shown: shown.collect(),
        });
    });
    strings(dashboard, "query", &mut |query, _| {
        let inside = query
            .strip_prefix("label_values(")
            .and_then(|rest| rest.strip_suffix(')'));
        if let Some((selector, label)) = inside.and_then(|inside| inside.rsplit_once(", ")) {
            asked.push(Asked {
                place: place.to_owned(),
                expression: format!("count by ({label}) ({selector})"),
                shown: Vec::new(),
            });
        }
    });
}

/// Calls `found` with every string under this key, and with the object that it stands in.
fn strings(value: &Value, key: &str, found: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| strings(item, key, found)),
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    Value::String(text) if name == key => found(text, value),
                    _ => strings(field, key, found),
                }
            }
        }
        _ => {}
    }
}

/// What an expression reads, and what is wrong with it.
struct Reader<'a> {
    known: &'a BTreeMap<String, BTreeSet<String>>,
    metrics: BTreeSet<String>,
    wrong: Vec<String>,
}

impl Reader<'_> {
    fn selector(&mut self, selector: &VectorSelector) {
        let Some(name) = &selector.name else {
            self.wrong.push("a selector without a metric".to_owned());
            return;
        };
        self.metrics.insert(name.clone());
        let Some(labels) = self.known.get(name) else {
            self.wrong.push(format!("there is no metric {name}"));
            return;
        };
        for matcher in &selector.matchers.matchers {
            if !labels.contains(&matcher.name) && !OF_THE_TARGET.contains(&matcher.name.as_str()) {
                self.wrong
                    .push(format!("{name} has no label {}", matcher.name));
            }
            let values: Option<Vec<&str>> = match matcher.name.as_str() {
                label::STATE => Some(JobState::ALL.iter().map(|state| state.as_str()).collect()),
                label::EVENT => Some(JobEvent::ALL.iter().map(|event| event.as_str()).collect()),
                _ => None,
            };
            let said: Vec<&str> = if matcher.op == MatchOp::Equal {
                vec![&matcher.value]
            } else {
                matcher.value.split('|').collect()
            };
            for value in said {
                if values
                    .as_ref()
                    .is_some_and(|values| !values.contains(&value))
                {
                    self.wrong
                        .push(format!("{name} has no {} {value}", matcher.name));
                }
            }
        }
    }
}

impl ExprVisitor for Reader<'_> {
    type Error = Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        match expr {
            Expr::VectorSelector(selector) => self.selector(selector),
            Expr::MatrixSelector(range) => self.selector(&range.vs),
            Expr::Aggregate(aggregate) => {
                let labels = labels_of(&aggregate.expr, self.known);
                let by = aggregate
                    .modifier
                    .iter()
                    .flat_map(|modifier| modifier.labels().labels.iter());
                for label in by.filter(|label| !labels.contains(*label)) {
                    self.wrong.push(format!(
                        "nothing in `{}` has a label {label}",
                        aggregate.expr
                    ));
                }
            }
            Expr::Binary(binary) => {
                let (left, right) = (
                    labels_of(&binary.lhs, self.known),
                    labels_of(&binary.rhs, self.known),
                );
                let on = binary
                    .modifier
                    .iter()
                    .filter_map(|modifier| modifier.matching.as_ref());
                for label in on.flat_map(|matching| matching.labels().labels.iter()) {
                    if !left.contains(label) || !right.contains(label) {
                        self.wrong.push(format!("one side has no label {label}"));
                    }
                }
            }
            _ => {}
        }
        Ok(true)
    }
}

/// The labels that the series of an expression may have.
fn labels_of(expr: &Expr, known: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<String> {
    struct Labels<'a>(&'a BTreeMap<String, BTreeSet<String>>, BTreeSet<String>);
    impl ExprVisitor for Labels<'_> {
        type Error = Infallible;
        fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
            match expr {
                Expr::VectorSelector(selector) => {
                    let labels = selector.name.as_ref().and_then(|name| self.0.get(name));
                    self.1.extend(labels.into_iter().flatten().cloned());
                }
                Expr::MatrixSelector(range) => {
                    let labels = range.vs.name.as_ref().and_then(|name| self.0.get(name));
                    self.1.extend(labels.into_iter().flatten().cloned());
                }
                Expr::Call(call) if call.func.name == "label_replace" => {
                    if let Some(Expr::StringLiteral(made)) =
                        call.args.args.get(1).map(AsRef::as_ref)
                    {
                        self.1.insert(made.val.clone());
                    }
                }
                // It chooses series and leaves them as they are.
                Expr::Aggregate(aggregate) if aggregate.op.to_string() == "topk" => {}
                Expr::Aggregate(aggregate) => {
                    let by = aggregate
                        .modifier
                        .iter()
                        .flat_map(|modifier| modifier.labels().labels.iter());
                    self.1.extend(by.cloned());
                    return Ok(false);
                }
                _ => {}
            }
            Ok(true)
        }
    }
    let mut labels = Labels(known, OF_THE_TARGET.map(str::to_owned).into());
    let Ok(_) = walk_expr(&mut labels, expr);
    labels.1
}

fn read<'a>(asked: &Asked, known: &'a BTreeMap<String, BTreeSet<String>>) -> Result<Reader<'a>> {
    let expr = promql_parser::parser::parse(&asked.expression)
        .map_err(|why| anyhow!("{}: {why}: {}", asked.place, asked.expression))?;
    let mut reader = Reader {
        known,
        metrics: BTreeSet::new(),
        wrong: Vec::new(),
    };
    let Ok(_) = walk_expr(&mut reader, &expr);
    let labels = labels_of(&expr, known);
    for label in asked.shown.iter().filter(|label| !labels.contains(*label)) {
        reader
            .wrong
            .push(format!("the legend shows {label}, which no series has"));
    }
    Ok(reader)
}

#[test]
fn every_metric_and_label_that_is_asked_for_exists() -> Result<()> {
    let known = known()?;
    let asked = asked()?;
    let mut wrong = Vec::new();
    for one in &asked {
        let found = read(one, &known)?.wrong;
        wrong.extend(
            found
                .iter()
                .map(|what| format!("{}: {what}: {}", one.place, one.expression)),
        );
    }
    assert_eq!(wrong, Vec::<String>::new());
    // Where nothing is found nothing is wrong.
    for folder in ["charts/", "dashboards/", "docs/"] {
        assert!(
            asked.iter().any(|one| one.place.starts_with(folder)),
            "{folder} asks nothing"
        );
    }
    Ok(())
}

#[test]
fn what_does_not_exist_is_found() -> Result<()> {
    let known = known()?;
    for (expression, what) in [
        (
            "bullmq_queue_lenght",
            "there is no metric bullmq_queue_lenght",
        ),
        (
            "rate(bullmq_job_wait_seconds[5m])",
            "there is no metric bullmq_job_wait_seconds",
        ),
        ("bullmq_up{queue=\"email\"}", "bullmq_up has no label queue"),
        (
            "bullmq_job_count{state=\"wait\"}",
            "bullmq_job_count has no state wait",
        ),
        (
            "bullmq_job_count{state=~\"waiting|done\"}",
            "bullmq_job_count has no state done",
        ),
        (
            "max by (queue) (bullmq_up)",
            "nothing in `bullmq_up` has a label queue",
        ),
        (
            "max by (queue) (bullmq_queue_paused) * on (redis) bullmq_up",
            "one side has no label redis",
        ),
    ] {
        let one = Asked {
            place: "here".to_owned(),
            expression: expression.to_owned(),
            shown: Vec::new(),
        };
        assert_eq!(read(&one, &known)?.wrong, [what], "{expression}");
    }
    Ok(())
}

#[test]
fn every_metric_is_asked_for_by_somebody() -> Result<()> {
    let known = known()?;
    let mut used = BTreeSet::new();
    for one in asked()? {
        used.extend(read(&one, &known)?.metrics);
    }
    for metric in METRICS {
        let is_used = match metric.kind {
            Kind::Histogram => used.contains(&format!("{}_bucket", metric.name)),
            Kind::Gauge | Kind::Counter => used.contains(metric.name),
        };
        assert!(
            is_used,
            "{} is in no dashboard, alert or runbook; show it somewhere, or do not serve it",
            metric.name
        );
    }
    Ok(())
}

#[test]
fn every_word_in_the_documents_that_looks_like_a_metric_is_one() -> Result<()> {
    let known = known()?;
    let mut wrong = Vec::new();
    for path in files()? {
        let text = std::fs::read_to_string(&path)?;
        let place = path.strip_prefix(repository())?.display().to_string();
        for word in text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')) {
            let family = METRICS.iter().any(|metric| metric.name == word);
            // `bullmq_queue_*` is a family of names.
            let families =
                word.ends_with('_') && METRICS.iter().any(|metric| metric.name.starts_with(word));
            if word.starts_with("bullmq_") && !family && !families && !known.contains_key(word) {
                wrong.push(format!("{place}: {word}"));
            }
        }
    }
    assert_eq!(wrong, Vec::<String>::new());
    Ok(())
}

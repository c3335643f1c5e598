//! Is what the linter says of a query true of it in Prometheus?
//!
//! promtool runs each query by Prometheus' own engine, where two exporters serve the same queues and where nothing is served at all.

use std::fmt::Write as _;

use acceptance::promtool;
use anyhow::{Context as _, Result, anyhow};
use bullmq_keda::lint::promql::shape::{Series, can_be_empty, series};
use bullmq_keda::lint::promql::{Context, Language, lint, syntax};

/// Queries of every shape that the linter tells apart.
const QUERIES: &[&str] = &[
    "sum(a)",
    "sum by () (a)",
    "-(sum(a) * 2 / 3)",
    "a",
    "a{queue=\"x\"}",
    "max(a{queue=\"x\"})",
    "a{queue=~\"x|y\"}",
    "sum by (queue) (a)",
    "sum by (queue) (a{queue=\"x\"})",
    "sum by (queue) (a{queue=\"x\"}) or vector(0)",
    "sum without (instance) (a)",
    "a{queue=\"x\"} + b{queue=\"x\"}",
    "sum by (queue) (a) - sum by (queue) (b)",
    "sum by (queue) (a) and sum by (queue) (b) > 0",
    "sum by (queue) (a) or sum by (queue) (b)",
    "a - b + c_total",
    "bull_wait_total{queue=\"x\"}",
    "sum by (queue) (bull_wait_total + bull_active_total)",
    "bullmq_job_count{queue=\"x\",state=\"waiting\"} / ignoring (state) bullmq_job_count{queue=\"x\",state=\"active\"}",
    "sum(a) or vector(0)",
    "sum(a) or on() vector(0)",
    "(sum(a) or vector(0)) and on() (count(b) >= 1)",
    "sum(a or vector(0))",
    "topk(1, a)",
    "topk(3, a)",
    "count_values(\"v\", a)",
    "vector(1)",
    "vector(scalar(sum(a)))",
    "hour()",
    "absent(a)",
    "sum(a) > bool 5",
    "sum(a) > 1",
    "sum(a) / sum(b)",
    "sum(a) / scalar(sum(b)) > 0",
    "a / on () group_left sum(b)",
    "a * on () group_left () sum(b)",
    "sum(a) + on () group_right b",
    "clamp_max(sum(a) + clamp_min(sum(b) - sum(c_total), 0) * 2 / 30, scalar(sum(b)))",
    "sum(rate(c_total[30s]))",
    "rate(c_total{queue=\"x\"}[5m])",
    "sum(c_total)",
    "histogram_quantile(0.9, sum by (le) (rate(h_bucket[5m])))",
    "histogram_quantile(0.9, sum by (le, queue) (rate(h_bucket[5m])))",
    "label_replace(sum(a), \"x\", \"y\", \"\", \"\")",
    "sum(a or b)",
    "max_over_time(sum(a)[5m:1m])",
    "sum(bullmq_queue_demand_jobs)",
    "max by (redis, prefix, queue) (bullmq_queue_demand_jobs)",
    "sum(bullmq_queue_ready_jobs{queue=~\"x|y\"}) or vector(0)",
    "bullmq_job_count{queue=\"x\",state=\"waiting\"}",
    "sum(bullmq_job_count{queue=\"x\"})",
    "sum(bullmq_job_count{queue=\"x\",state=~\"waiting|delayed|paused\"}) > 5",
    "max(bull_queue_waiting{queue=\"x\"}) + max(bull_queue_active{queue=\"x\"})",
    "max(bull_wait_total{queue=\"x\"})",
];

/// What Prometheus reads and other readers of its language sometimes do not: none of it may be called a mistake.
const READ_BY_PROMETHEUS: &[&str] = &[
    "sum(a) by (queue,)",
    "SUM(a) BY (queue)",
    "sum(a{queue!~'x|y',})",
    "{__name__=\"a\", queue=`x`}",
    "a offset -1m",
    "a @ 3 offset 1m",
    "a @ end()",
    "max_over_time(a[1h30m])",
    "a[5m:]",
    "a ^ -2",
    "0x1F + 1e3 + .5 + Inf - NaN",
    "a # comment\n + b",
    "quantile(0.5, a) atan2 scalar(b)",
    "sum(a) == bool on () sum(b)",
    "a unless on (queue) b or a",
    "start + end",
    "offset{by=\"x\"}",
    "a{queue=\"\\u00e4\\x41\\n\"}",
];

/// Series of two exporters, or of as many as are given.
fn world(exporters: usize) -> String {
    let mut yaml = String::new();
    let mut serve = |name: &str, labels: &str, values: &str| {
        for exporter in 0..exporters {
            // Writing to a String cannot fail.
            let _ = writeln!(
                yaml,
                "      - {{series: '{name}{{instance=\"{exporter}\"{labels}}}', values: '{values}'}}"
            );
        }
    };
    // At minute 10 each series of x is 123, and each of y twice as much.
    for (queue, values) in [("x", "3+3x60"), ("y", "6+6x60")] {
        let plain = format!(",queue=\"{queue}\"");
        let ours = format!(",redis=\"default\",prefix=\"bull\",queue=\"{queue}\"");
        for name in [
            "a",
            "b",
            "c_total",
            "bull_queue_waiting",
            "bull_queue_active",
        ] {
            serve(name, &plain, values);
        }
        for name in [
            "bull_wait_total",
            "bull_active_total",
            "bull_prioritized_total",
        ] {
            serve(name, &plain, values);
        }
        for le in ["1", "+Inf"] {
            serve("h_bucket", &format!("{plain},le=\"{le}\""), values);
        }
        serve("bullmq_queue_demand_jobs", &ours, values);
        serve("bullmq_queue_ready_jobs", &ours, values);
        for state in [
            "waiting",
            "prioritized",
            "active",
            "delayed",
            "paused",
            "completed",
        ] {
            serve(
                "bullmq_job_count",
                &format!("{ours},state=\"{state}\""),
                values,
            );
        }
    }
    yaml
}

/// Has promtool evaluate expressions of truth in a world of so many exporters.
fn all_true(exporters: usize, claims: &[String]) -> Result<()> {
    let mut yaml = format!(
        "tests:\n  - interval: 15s\n    input_series:\n{}",
        world(exporters)
    );
    if exporters == 0 {
        yaml.push_str("      - {series: 'unrelated', values: '1x60'}\n");
    }
    yaml.push_str("    promql_expr_test:\n");
    for claim in claims {
        let _ = writeln!(
            yaml,
            "      - {{expr: {}, eval_time: 10m, exp_samples: [{{labels: '{{}}', value: 1}}]}}",
            serde_json::to_string(claim)?
        );
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("claims.yaml");
    std::fs::write(&path, yaml)?;
    let path = path.to_str().context("a path in UTF-8")?;
    let (content, said) = promtool(&["test", "rules", path], "")?;
    assert!(content, "{said}");
    Ok(())
}

fn context() -> Context<'static> {
    Context {
        null_is_zero: false,
        to_zero: true,
        scaled_job: false,
        target: None,
        language: Language::PromQl,
        scrape_interval: None,
        siblings: &[],
    }
}

#[test]
fn the_number_of_series_is_what_prometheus_answers() -> Result<()> {
    let (mut two, mut none) = (Vec::new(), Vec::new());
    let mut answers = 0;
    for query in QUERIES {
        let expr = syntax::parse(query).map_err(|mistake| anyhow!("{query}: {mistake:?}"))?;
        let root = syntax::locate(&expr, query);
        two.push(match series(&root) {
            Series::One => format!("(count({query}) or vector(0)) <= bool 1"),
            Series::PerExporter(_) | Series::Several(_) | Series::Unknown => {
                format!("count({query}) > bool 1")
            }
        });
        if !can_be_empty(&root) {
            none.push(format!("count({query})"));
            answers += 1;
        }
    }
    assert!(answers >= 5, "{answers}");
    all_true(2, &two)?;
    all_true(0, &none)
}

#[test]
fn what_is_to_be_written_instead_is_one_series_whatever_serves_it() -> Result<()> {
    let mut claims = Vec::new();
    for query in QUERIES {
        for finding in lint(query, context()) {
            if let Some((instead, _)) = finding.instead {
                claims.push(format!("(count({instead}) or vector(0)) == bool 1"));
            }
        }
    }
    assert!(claims.len() >= 20, "{}", claims.len());
    all_true(2, &claims)
}

#[test]
fn one_exporter_or_two_make_no_difference_to_what_is_to_be_written_instead() -> Result<()> {
    for (query, expected) in [
        ("sum(bullmq_queue_demand_jobs)", 3 * 123),
        (
            "sum(bullmq_queue_ready_jobs{queue=~\"x|y\"}) or vector(0)",
            3 * 123,
        ),
        ("sum(bullmq_job_count{queue=\"x\"})", 3 * 123),
        (
            "max(bullmq_job_count{queue=\"x\",state=\"waiting\"})",
            3 * 123,
        ),
        (
            "sum(max by (queue) (bullmq_job_count{state=\"waiting\"}))",
            9 * 123,
        ),
        (
            "sum(max by (queue, state) (bullmq_job_count{state=~\"waiting|delayed\"})) / 3",
            3 * 123,
        ),
        (
            "max(bullmq_job_count{queue=\"x\",state=\"waiting\"}) + max(bullmq_job_count{queue=\"x\",state=\"active\"})",
            3 * 123,
        ),
        (
            "max(bull_wait_total{queue=\"x\"}) + max(bull_active_total{queue=\"x\"})",
            3 * 123,
        ),
        ("max(bull_queue_waiting{queue=\"x\"})", 2 * 123),
        ("sum(bull_queue_waiting) > 1", 6 * 123),
        ("a{queue=\"x\"} + b{queue=\"x\"}", 2 * 123),
        ("max by (queue) (a) + max by (queue) (b)", 6 * 123),
        ("max(bull_wait_total{queue=\"x\"})", 3 * 123),
    ] {
        let findings = lint(query, context());
        let (instead, _) = findings
            .into_iter()
            .find_map(|finding| finding.instead)
            .context(query)?;
        for exporters in [1, 2] {
            let claim = format!("({instead}) == bool {expected}");
            all_true(exporters, &[claim])?;
        }
    }
    Ok(())
}

#[test]
fn nothing_that_prometheus_reads_is_called_a_mistake() -> Result<()> {
    let mut claims = Vec::new();
    for query in READ_BY_PROMETHEUS {
        syntax::parse(query).map_err(|mistake| anyhow!("{query}: {mistake:?}"))?;
        claims.push(if query.ends_with(']') {
            format!("count(count_over_time({query})) >= bool 0")
        } else if query.starts_with("0x") {
            format!("vector({query}) >= bool 0")
        } else {
            format!("(count({query}) or vector(0)) >= bool 0")
        });
    }
    // The one scalar among them is NaN, and less than nothing; that it was read is enough.
    for claim in &mut claims {
        if claim.starts_with("vector(0x") {
            *claim = format!("1 - ({claim})");
        }
    }
    all_true(2, &claims)
}

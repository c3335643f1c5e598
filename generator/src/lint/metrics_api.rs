//! KEDA's metrics-api trigger, where it asks an exporter directly.
//!
//! It takes a selector, and yet it selects little: every matcher is compared as a text with the label's value, and the value is that of
//! the first series that fits. See
//! <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/metrics_api_scaler.go> (`getValueFromPrometheusResponse`).

use bullmq_vocabulary::{label, metric};
use promql_parser::parser::{Expr, VectorSelector};

use super::finding::Finding;
use super::promql::family::{self, Jobs};
use super::promql::syntax;
use crate::rule::Rule;

/// Tells what is wrong with the `valueLocation` of a trigger with this `url` and `format`.
pub fn lint(value_location: &str, url: &str, format: Option<&str>) -> Vec<Finding> {
    let Ok(Expr::VectorSelector(selector)) = syntax::parse(value_location) else {
        return Vec::new();
    };
    let known = family::known(&selector);
    let whole = 0..value_location.len();
    if format.unwrap_or("json") != "prometheus" {
        let exporter = url
            .split(['?', '#'])
            .next()
            .is_some_and(|path| path.ends_with("/metrics"));
        // Any one word is a selector too, and may well be a field of some JSON.
        let meant = known.is_some() || !selector.matchers.matchers.is_empty();
        return if exporter && meant {
            vec![Finding::new(
                Rule::MetricsApiFormat,
                whole,
                "KEDA reads the exporter's text as JSON, and finds nothing",
                "a selector, for an answer in the format json",
                "add `format: prometheus` to the trigger's metadata",
            )]
        } else {
            Vec::new()
        };
    }
    let literal: Vec<String> = selector
        .matchers
        .matchers
        .iter()
        .filter(|matcher| !family::equal(matcher))
        .map(|matcher| format!("`{matcher}`"))
        .collect();
    if !literal.is_empty() {
        return vec![Finding::new(
            Rule::MetricsApiMatchersAsEquality,
            whole,
            "KEDA compares every matcher here as it stands, and this one fits no series",
            format!(
                "{} is taken for the very value of the label",
                literal.join(", ")
            ),
            "write one trigger for each queue with `=`, or let Prometheus answer: its trigger takes regular expressions and sums",
        )];
    }
    let Some(known) = known else {
        return Vec::new();
    };
    let mut findings = Vec::new();
    let open: Vec<&str> = known
        .identity
        .iter()
        .copied()
        .filter(|label| !family::pinned(&selector, label))
        .collect();
    if !open.is_empty() {
        findings.push(Finding::new(
            Rule::MetricsApiFirstMatch,
            whole.clone(),
            "KEDA takes the first series that fits, and adds nothing up",
            format!("`{}` may have several values", open.join("`, `")),
            format!("write `{}`", closed(&selector, known.jobs.as_ref())),
        ));
    } else if matches!(&known.jobs, Some(Jobs::InStates(_))) {
        findings.push(Finding::new(
            Rule::MetricsApiOneState,
            whole,
            "this is one state alone, and KEDA adds nothing up",
            "jobs in other states need a worker too",
            format!("write `{}`", closed(&selector, known.jobs.as_ref())),
        ));
    }
    findings
}

/// The series that answers for one queue alone.
fn closed(selector: &VectorSelector, jobs: Option<&Jobs>) -> String {
    let name = match jobs {
        Some(Jobs::InStates(_)) | None => metric::QUEUE_DEMAND_JOBS.name,
        Some(Jobs::Demand | Jobs::Ready | Jobs::Due) => family::name(selector).unwrap_or_default(),
    };
    let value = |label: &str, default: &str| {
        let given = family::matchers(selector, label).find(|matcher| family::equal(matcher));
        format!(
            "{label}=\"{}\"",
            given.map_or(default, |matcher| matcher.value.as_str())
        )
    };
    let mut matchers = vec![
        value(label::REDIS, bullmq_vocabulary::DEFAULT_REDIS_NAME),
        value(label::PREFIX, bullmq_vocabulary::DEFAULT_PREFIX),
        value(label::QUEUE, "..."),
    ];
    if name == metric::QUEUE_DEMAND_AHEAD_JOBS.name {
        matchers.push(value(label::WITHIN, "1m"));
    }
    format!("{name}{{{}}}", matchers.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_trigger_would_not_do_is_told() {
        let exporter = "http://bullmq-exporter.shop.svc:9538/metrics";
        let full = r#"bullmq_queue_demand_jobs{redis="default",prefix="bull",queue="email"}"#;
        for (location, url, format, expected) in [
            (full, exporter, Some("prometheus"), vec![]),
            (full, exporter, None, vec!["metrics-api/format"]),
            (full, exporter, Some("json"), vec!["metrics-api/format"]),
            ("tasks", "http://api/metrics", None, vec![]),
            (
                "components.worker.tasks",
                "http://api/metrics",
                None,
                vec![],
            ),
            ("tasks", "http://api/stats", None, vec![]),
            (
                r#"bullmq_queue_demand_jobs{queue=~"a|b"}"#,
                exporter,
                Some("prometheus"),
                vec!["metrics-api/matchers-as-equality"],
            ),
            (
                r#"bullmq_queue_demand_jobs{queue="email"}"#,
                exporter,
                Some("prometheus"),
                vec!["metrics-api/first-match"],
            ),
            (
                r#"bullmq_job_count{redis="default",prefix="bull",queue="email",state="waiting"}"#,
                exporter,
                Some("prometheus"),
                vec!["metrics-api/one-state"],
            ),
            (
                r#"other{queue="email"}"#,
                exporter,
                Some("prometheus"),
                vec![],
            ),
        ] {
            let findings = lint(location, url, format);
            let ids: Vec<&str> = findings.iter().map(|finding| finding.rule.id()).collect();
            assert_eq!(ids, expected, "{location}");
            for finding in findings {
                if let Some(fixed) = finding
                    .help
                    .strip_prefix("write `")
                    .and_then(|help| help.strip_suffix('`'))
                {
                    assert_eq!(lint(fixed, url, format), [], "{fixed}");
                }
            }
        }
    }
}

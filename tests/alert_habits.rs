//! Do the alerts keep to the habits that pint (<https://cloudflare.github.io/pint/checks/>) checks?
//!
//! pint itself is not to be had as a package, so each of its checks that needs neither its configuration nor a live Prometheus is written here
//! after its documentation, under its own name, and shown to find what it is for; `README.md` beside this file says where the others are kept.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what else PromQL knows is of no matter to a check"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::process::Command;

use acceptance::{fed, ours, repository};
use anyhow::{Context as _, Result, ensure};
use promql_parser::label::MatchOp;
use promql_parser::parser::{
    BinaryExpr, Expr, LabelModifier, VectorMatchCardinality, VectorSelector, parse,
};
use promql_parser::util::{ExprVisitor, walk_expr};
use serde::Deserialize;

/// The scrape interval that the charts set.
const SCRAPE_SECONDS: u64 = 15;

#[derive(Debug, Deserialize)]
struct Rules {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    rules: Vec<Rule>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Rule {
    alert: String,
    expr: String,
    r#for: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

fn rules_of(text: &str) -> Result<Vec<Rule>> {
    let rules: Rules = serde_saphyr::from_str(text)?;
    let groups = rules.groups.into_iter();
    Ok(groups.flat_map(|group| group.rules).collect())
}

/// The labels that a series of an answer has: these and no others, or some that only Prometheus knows.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Labels {
    Only(BTreeSet<String>),
    Unknown,
}

impl Labels {
    fn and(self, more: &[String]) -> Self {
        match self {
            Self::Only(labels) => {
                Self::Only(labels.into_iter().chain(more.iter().cloned()).collect())
            }
            Self::Unknown => Self::Unknown,
        }
    }

    fn may_have(&self, label: &str) -> bool {
        match self {
            Self::Only(labels) => labels.contains(label),
            Self::Unknown => true,
        }
    }
}

fn labels(expr: &Expr) -> Labels {
    let only = |labels: &[String]| Labels::Only(labels.iter().cloned().collect());
    match expr {
        Expr::Paren(inner) => labels(&inner.expr),
        Expr::Unary(inner) => labels(&inner.expr),
        Expr::Subquery(inner) => labels(&inner.expr),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => only(&[]),
        Expr::Aggregate(aggregate) if samples(&aggregate.op.to_string()) => labels(&aggregate.expr),
        Expr::Aggregate(aggregate) => match &aggregate.modifier {
            Some(LabelModifier::Include(by)) => only(&by.labels),
            Some(LabelModifier::Exclude(_)) => Labels::Unknown,
            None => only(&[]),
        },
        Expr::Call(call) => match call.func.name {
            "scalar" | "time" | "vector" => only(&[]),
            "absent" => match call.args.args.first().map(AsRef::as_ref) {
                Some(Expr::VectorSelector(_)) => Labels::Unknown,
                _ => only(&[]),
            },
            _ => match call.args.args.first() {
                Some(of) => labels(of),
                None => only(&[]),
            },
        },
        Expr::Binary(binary) => of_binary(binary),
        _ => Labels::Unknown,
    }
}

fn of_binary(binary: &BinaryExpr) -> Labels {
    let (left, right) = (labels(&binary.lhs), labels(&binary.rhs));
    if binary.op.to_string() == "or" {
        return if left == right { left } else { Labels::Unknown };
    }
    if binary.op.is_set_operator() || is_scalar(&binary.rhs) {
        return left;
    }
    if is_scalar(&binary.lhs) {
        return right;
    }
    let modifier = binary.modifier.as_ref();
    match modifier.map(|of| &of.card) {
        // The side that has many keeps its labels, and takes these from the other.
        Some(VectorMatchCardinality::ManyToOne(more)) => return left.and(&more.labels),
        Some(VectorMatchCardinality::OneToMany(more)) => return right.and(&more.labels),
        Some(VectorMatchCardinality::OneToOne | VectorMatchCardinality::ManyToMany) | None => {}
    }
    match modifier.and_then(|of| of.matching.as_ref()) {
        Some(LabelModifier::Include(on)) => Labels::Only(on.labels.iter().cloned().collect()),
        _ => left,
    }
}

fn is_scalar(expr: &Expr) -> bool {
    match expr {
        Expr::NumberLiteral(_) => true,
        Expr::Paren(inner) => is_scalar(&inner.expr),
        Expr::Unary(inner) => is_scalar(&inner.expr),
        Expr::Call(call) => matches!(call.func.name, "scalar" | "time"),
        Expr::Binary(binary) => is_scalar(&binary.lhs) && is_scalar(&binary.rhs),
        _ => false,
    }
}

/// Aggregations that choose series rather than put them together.
fn samples(aggregation: &str) -> bool {
    ["topk", "bottomk", "limitk", "limit_ratio"].contains(&aggregation)
}

/// Whether an expression has an answer only while something is so.
fn is_conditional(expr: &Expr) -> bool {
    match expr {
        Expr::Paren(inner) => is_conditional(&inner.expr),
        Expr::Call(call) => matches!(call.func.name, "absent" | "absent_over_time"),
        Expr::Binary(binary) if binary.op.is_comparison_operator() => {
            !binary.modifier.as_ref().is_some_and(|of| of.return_bool)
        }
        Expr::Binary(binary) => match binary.op.to_string().as_str() {
            "or" => is_conditional(&binary.lhs) && is_conditional(&binary.rhs),
            "unless" => is_conditional(&binary.lhs),
            _ => is_conditional(&binary.lhs) || is_conditional(&binary.rhs),
        },
        Expr::Aggregate(aggregate) => is_conditional(&aggregate.expr),
        _ => false,
    }
}

/// Seconds of a duration in Prometheus' form; nothing for what is none.
fn seconds(duration: &str) -> Option<u64> {
    let mut total = 0;
    let mut number = String::new();
    let mut read = false;
    for character in duration.chars() {
        if character.is_ascii_digit() {
            number.push(character);
            continue;
        }
        let unit = match character {
            's' => 1,
            'm' => 60,
            'h' => 3600,
            'd' => 86_400,
            _ => return None,
        };
        total += number.parse::<u64>().ok()? * unit;
        number.clear();
        read = true;
    }
    (read && number.is_empty()).then_some(total)
}

/// What is wrong inside an expression, each under the name of pint's check.
#[derive(Default)]
struct Inspector {
    wrong: Vec<(&'static str, String)>,
    /// The function around the series that is looked at.
    function: Option<&'static str>,
}

impl Inspector {
    fn selector(&mut self, selector: &VectorSelector, range: Option<u64>) {
        let name = selector.name.as_deref().unwrap_or_default();
        let counter = ["_total", "_bucket", "_sum", "_count"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
            && name != "bullmq_job_count";
        let of_counters = self
            .function
            .is_some_and(|function| matches!(function, "rate" | "irate" | "increase"));
        let any = self.function.is_some_and(|function| {
            matches!(
                function,
                "absent" | "min_over_time" | "max_over_time" | "count_over_time"
            )
        });
        if of_counters && !counter {
            self.wrong
                .push(("promql/rate", format!("{name} is no counter")));
        }
        if counter && !of_counters && !any {
            self.wrong
                .push(("promql/counter", format!("{name} as it is")));
        }
        // Two samples make a rate; with one that is lost, or late, it takes four intervals.
        if let Some(range) = range.filter(|range| *range < 4 * SCRAPE_SECONDS) {
            self.wrong
                .push(("promql/rate", format!("{name} over {range} s")));
        }
        if range.is_some_and(|range| range > 86_400) {
            self.wrong
                .push(("promql/range_query", format!("{name} over more than a day")));
        }
        if selector.offset.is_some() {
            self.wrong.push(("promql/offset", name.to_owned()));
        }
        for matcher in &selector.matchers.matchers {
            let pattern = matcher.value.as_str();
            if !matches!(matcher.op, MatchOp::Re(_) | MatchOp::NotRe(_)) {
                continue;
            }
            if !pattern.contains(|c| r".+*?()|[]{}^$\".contains(c)) {
                self.wrong
                    .push(("promql/regexp", format!("{pattern} matches itself")));
            }
            if pattern.starts_with('^') || pattern.ends_with('$') {
                self.wrong
                    .push(("promql/regexp", format!("{pattern} has anchors")));
            }
        }
    }
}

impl ExprVisitor for Inspector {
    type Error = Infallible;

    fn pre_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        match expr {
            Expr::Call(call) => self.function = Some(call.func.name),
            Expr::VectorSelector(selector) => self.selector(selector, None),
            Expr::MatrixSelector(range) => self.selector(&range.vs, Some(range.range.as_secs())),
            Expr::Aggregate(aggregate) => {
                let op = aggregate.op.to_string();
                if samples(&op) {
                    self.wrong.push(("promql/fragile", op));
                }
                let inner = labels(&aggregate.expr);
                if let Some(LabelModifier::Include(by)) = &aggregate.modifier {
                    for label in by.labels.iter().filter(|label| !inner.may_have(label)) {
                        self.wrong
                            .push(("promql/impossible", format!("by {label}, which is gone")));
                    }
                }
            }
            Expr::Binary(binary) => self.matching(binary),
            Expr::NumberLiteral(number) if number.val.is_nan() => {
                self.wrong.push(("promql/nan", expr.to_string()));
            }
            _ => {}
        }
        Ok(true)
    }

    fn post_visit(&mut self, expr: &Expr) -> Result<bool, Infallible> {
        if matches!(expr, Expr::Call(_)) {
            self.function = None;
        }
        Ok(true)
    }
}

impl Inspector {
    /// `promql/impossible` and, as far as it can be seen without series, `promql/vector_matching`.
    fn matching(&mut self, binary: &BinaryExpr) {
        let scalar = is_scalar(&binary.lhs) || is_scalar(&binary.rhs);
        if scalar || binary.op.to_string() == "or" {
            return;
        }
        let (left, right) = (labels(&binary.lhs), labels(&binary.rhs));
        match binary.modifier.as_ref().and_then(|of| of.matching.as_ref()) {
            Some(LabelModifier::Include(on)) => {
                for label in &on.labels {
                    if !left.may_have(label) || !right.may_have(label) {
                        self.wrong
                            .push(("promql/impossible", format!("on {label}, which is gone")));
                    }
                }
            }
            Some(LabelModifier::Exclude(_)) => {}
            None => {
                let known = matches!((&left, &right), (Labels::Only(_), Labels::Only(_)));
                let none = |of: &Labels| *of == Labels::Only(BTreeSet::new());
                let one_is_bare = none(&left) != none(&right);
                if left != right && (known || one_is_bare) {
                    self.wrong.push((
                        "promql/vector_matching",
                        format!("{left:?} {} {right:?}", binary.op),
                    ));
                }
            }
        }
    }
}

/// Everything that is wrong with one alert, each under the name of pint's check.
fn faults(rule: &Rule) -> Vec<(&'static str, String)> {
    let expr = match parse(&rule.expr) {
        Ok(expr) => expr,
        Err(why) => return vec![("promql/syntax", why)],
    };
    let mut inspector = Inspector::default();
    let Ok(_) = walk_expr(&mut inspector, &expr);
    let mut wrong = inspector.wrong;
    if !is_conditional(&expr) {
        wrong.push(("alerts/comparison", "always has an answer".to_owned()));
    }
    let lasting = seconds(&rule.r#for).unwrap_or(0);
    if lasting == 0 {
        wrong.push(("alerts/for", rule.r#for.clone()));
    }
    if rule.expr.contains("absent(") && lasting < 2 * SCRAPE_SECONDS {
        wrong.push(("alerts/absent", rule.r#for.clone()));
    }
    for annotation in ["summary", "description", "runbook_url"] {
        if rule
            .annotations
            .get(annotation)
            .is_none_or(String::is_empty)
        {
            wrong.push(("alerts/annotation", annotation.to_owned()));
        }
    }
    for label in rule.labels.values().filter(|label| label.contains("{{")) {
        wrong.push(("alerts/template", format!("a label of {label}")));
    }
    let had = labels(&expr);
    for text in rule.annotations.values() {
        for used in text.split("$labels.").skip(1) {
            let name: String = used
                .chars()
                .take_while(|c| c.is_ascii_alphanumeric() || *c == '_')
                .collect();
            if !had.may_have(&name) && !rule.labels.contains_key(&name) {
                wrong.push(("alerts/template", format!("it has no label {name}")));
            }
        }
    }
    wrong
}

/// Alerts that stand twice in one file.
fn duplicates(rules: &[Rule]) -> Vec<&str> {
    let mut seen = BTreeSet::new();
    rules
        .iter()
        .filter(|rule| !seen.insert((&rule.alert, &rule.expr)))
        .map(|rule| rule.alert.as_str())
        .collect()
}

/// Workers of every kind: with a namespace and without, with an HPA and without, of one queue and of several.
const WORKERS: &str = "
apiVersion: bullmq-keda/v1
prometheus: {serverAddress: http://prometheus:9090, matchers: {env: prod}}
defaults: {concurrency: 10, job: {mean: 2s}}
workers:
- {name: a, namespace: shop, queues: [a, {name: b, prefix: '{app}', redis: main}, {name: c, optional: true}], replicas: {min: 0, max: 5}, startup: 20s}
- {name: b, queues: ['b.c'], replicas: {min: 0, max: 5}, scale: {startWithin: 30s}, rateLimit: 100/1m}
- {name: c, queues: [d], replicas: {min: 2, max: 5}, scale: {jobsPerReplica: 100}}
- {name: d, namespace: shop, target: {kind: Job, template: job.yaml}, queues: [d, e], replicas: {min: 0, max: 5}}
";

fn of_workers() -> Result<String> {
    let folder = tempfile::tempdir()?;
    let job = "template: {spec: {restartPolicy: Never, containers: [{name: a, image: b}]}}\n";
    std::fs::write(folder.path().join("job.yaml"), job)?;
    let mut command = Command::new(ours("bullmq-keda")?);
    command.args(["generate", "-", "--format", "prometheus-rules"]);
    let output = fed(command.current_dir(folder.path()), WORKERS)?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn no_alert_breaks_a_habit() -> Result<()> {
    let chart = repository().join("charts/bullmq-exporter/rules/alerts.yaml");
    for (least, text) in [(30, std::fs::read_to_string(chart)?), (24, of_workers()?)] {
        let rules = rules_of(&text)?;
        assert!(rules.len() >= least, "{} rules", rules.len());
        assert_eq!(duplicates(&rules), Vec::<&str>::new());
        for rule in &rules {
            assert_eq!(faults(rule), [], "{}: {}", rule.alert, rule.expr);
        }
    }
    Ok(())
}

/// An alert without a fault, with one part replaced.
fn with(part: &str, text: &str) -> Rule {
    let annotation = |name: &str| (name.to_owned(), "a".to_owned());
    let mut rule = Rule {
        alert: "A".to_owned(),
        expr: "sum by (queue) (rate(a_total[5m])) > 1".to_owned(),
        r#for: "5m".to_owned(),
        labels: BTreeMap::from([("severity".to_owned(), "info".to_owned())]),
        annotations: ["summary", "description", "runbook_url"]
            .map(annotation)
            .into(),
    };
    match part {
        "expr" => text.clone_into(&mut rule.expr),
        "for" => text.clone_into(&mut rule.r#for),
        "label" => drop(rule.labels.insert("severity".to_owned(), text.to_owned())),
        _ => drop(rule.annotations.insert(part.to_owned(), text.to_owned())),
    }
    rule
}

#[test]
fn every_check_finds_what_it_is_for_and_leaves_the_rest_alone() {
    for (check, part, bad, good) in [
        ("promql/syntax", "expr", "sum(a > 1", "sum(a) > 1"),
        (
            "promql/fragile",
            "expr",
            "topk(10, a > 0)",
            "max by (b) (a) > 0",
        ),
        (
            "promql/impossible",
            "expr",
            "group by (cluster) (sum(a)) > 0",
            "group by (cluster) (sum by (cluster) (a)) > 0",
        ),
        (
            "promql/impossible",
            "expr",
            "sum(a) / on (b) count(c) > 0",
            "sum by (b) (a) / on (b) count by (b) (c) > 0",
        ),
        (
            "promql/vector_matching",
            "expr",
            "(a > 0) unless sum(a)",
            "(a > 0) unless on () sum(a)",
        ),
        (
            "promql/vector_matching",
            "expr",
            "max by (a) (b) > 0 and max by (c) (b) > 0",
            "max by (a) (b) > 0 and max by (a) (c) > 0",
        ),
        (
            "promql/rate",
            "expr",
            "rate(jobs[5m]) > 0",
            "deriv(jobs[5m]) > 0",
        ),
        (
            "promql/rate",
            "expr",
            "rate(a_total[30s]) > 0",
            "rate(a_total[1m]) > 0",
        ),
        (
            "promql/counter",
            "expr",
            "a_total > 0",
            "increase(a_total[5m]) > 0",
        ),
        (
            "promql/range_query",
            "expr",
            "increase(a_total[30d]) > 0",
            "increase(a_total[1d]) > 0",
        ),
        (
            "promql/regexp",
            "expr",
            "a{job=~\"b\"} > 0",
            "a{job=~\"b|c\"} > 0",
        ),
        (
            "promql/regexp",
            "expr",
            "a{job=~\"^b.*\"} > 0",
            "a{job=~\"b.*\"} > 0",
        ),
        ("promql/nan", "expr", "a == NaN", "a == 1"),
        ("promql/offset", "expr", "a offset 5m > 0", "a > 0"),
        ("alerts/comparison", "expr", "sum(a)", "sum(a) > 0"),
        ("alerts/comparison", "expr", "sum(a) > bool 0", "absent(a)"),
        ("alerts/comparison", "expr", "a > 0 or b", "a > 0 or b > 0"),
        ("alerts/for", "for", "0s", "5s"),
        ("alerts/for", "for", "five", "1h30m"),
        ("alerts/annotation", "summary", "", "a"),
        (
            "alerts/template",
            "summary",
            "{{ $labels.instance }}",
            "{{ $labels.queue }}",
        ),
        ("alerts/template", "label", "{{ $value }}", "info"),
    ] {
        let names = |rule: &Rule| -> Vec<&str> {
            faults(rule).into_iter().map(|(check, _)| check).collect()
        };
        assert_eq!(names(&with(part, bad)), [check], "{bad}");
        assert_eq!(names(&with(part, good)), Vec::<&str>::new(), "{good}");
    }
    let mut soon = with("expr", "absent(a)");
    soon.r#for = "15s".to_owned();
    assert_eq!(faults(&soon), [("alerts/absent", "15s".to_owned())]);
    let twice = [with("for", "1m"), with("for", "1m")];
    assert_eq!(duplicates(&twice), ["A"]);
}

/// The table of the page beside this file names every check that is written here.
#[test]
fn the_page_says_where_each_check_of_pint_is_kept() -> Result<()> {
    let page = std::fs::read_to_string(repository().join("tests/README.md"))?;
    let own = std::fs::read_to_string(repository().join("tests/alert_habits.rs"))?;
    let (_, rest) = page
        .split_once("### What pint checks\n")
        .context("the table of pint's checks")?;
    let table = rest.split("\n### ").next().unwrap_or(rest);
    let rows: Vec<(&str, &str)> = table
        .lines()
        .filter_map(|line| line.strip_prefix("| `"))
        .filter_map(|row| row.split_once("` | "))
        .collect();
    assert!(rows.len() >= 30, "{}", rows.len());
    for (check, place) in rows {
        let here = own.contains(&format!("\"{check}\""));
        assert_eq!(place.starts_with("`alert_habits.rs`"), here, "{check}");
    }
    Ok(())
}

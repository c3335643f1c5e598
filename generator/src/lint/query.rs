//! What a query measures, as far as its metrics' names tell: something of which replicas take a share, or something that they
//! all see alike.

use promql_parser::parser::{self, Expr};

/// What the value of a query is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    /// An age, a latency, a ratio: no share of it falls on one replica.
    Intensive,
    /// A number of jobs or messages, of which each replica takes its share.
    Total,
}

/// What a query measures; nothing if its metrics' names do not say, or say both.
pub(super) fn measure(query: &str) -> Option<Measure> {
    let expression = parser::parse(query).ok()?;
    let mut names = Vec::new();
    value_metrics(&expression, &mut names);
    let mut measures = names.iter().map(|name| of_name(name));
    let first = measures.next()??;
    measures.all(|other| other == Some(first)).then_some(first)
}

/// Whether a query counts jobs that are running, by the names of its metrics and states.
pub(super) fn counts_running(query: &str) -> bool {
    let Ok(expression) = parser::parse(query) else {
        return true;
    };
    let mut found = false;
    visit(&expression, &mut |expression| {
        if let Expr::VectorSelector(selector) = expression {
            let name = selector.name.as_deref().unwrap_or_default();
            let by_label = selector.matchers.matchers.iter().any(|matcher| {
                matcher.value.contains("active") || matcher.value.contains("running")
            });
            found |= name.contains("active")
                || name.contains("running")
                || name.contains("demand")
                || by_label;
        }
    });
    found
}

/// The metrics whose values become the value of the expression: of `a and b` only those of `a`, and of a count none.
fn value_metrics(expression: &Expr, names: &mut Vec<String>) {
    match expression {
        Expr::Aggregate(aggregate) if aggregate.op.to_string().starts_with("count") => {
            names.push("jobs".to_owned());
        }
        Expr::Aggregate(aggregate) => value_metrics(&aggregate.expr, names),
        Expr::Unary(unary) => value_metrics(&unary.expr, names),
        Expr::Paren(paren) => value_metrics(&paren.expr, names),
        Expr::Subquery(subquery) => value_metrics(&subquery.expr, names),
        Expr::Binary(binary) => {
            value_metrics(&binary.lhs, names);
            match binary.op.to_string().as_str() {
                "and" | "unless" => {}
                // A quotient of two metrics is neither of them.
                "/" => names.push(String::new()),
                _ => value_metrics(&binary.rhs, names),
            }
        }
        Expr::Call(call) if call.func.name == "histogram_quantile" => {
            names.push("quantile_seconds".to_owned());
        }
        Expr::Call(call) if matches!(call.func.name, "rate" | "irate" | "increase" | "deriv") => {
            names.push(String::new());
        }
        Expr::Call(call) => {
            for argument in &call.args.args {
                value_metrics(argument, names);
            }
        }
        Expr::VectorSelector(selector) => names.push(selector.name.clone().unwrap_or_default()),
        Expr::MatrixSelector(matrix) => names.push(matrix.vs.name.clone().unwrap_or_default()),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn visit(expression: &Expr, see: &mut impl FnMut(&Expr)) {
    see(expression);
    match expression {
        Expr::Aggregate(aggregate) => visit(&aggregate.expr, see),
        Expr::Unary(unary) => visit(&unary.expr, see),
        Expr::Paren(paren) => visit(&paren.expr, see),
        Expr::Subquery(subquery) => visit(&subquery.expr, see),
        Expr::Binary(binary) => {
            visit(&binary.lhs, see);
            visit(&binary.rhs, see);
        }
        Expr::Call(call) => {
            for argument in &call.args.args {
                visit(argument, see);
            }
        }
        Expr::MatrixSelector(matrix) => see(&Expr::VectorSelector(matrix.vs.clone())),
        Expr::VectorSelector(_)
        | Expr::NumberLiteral(_)
        | Expr::StringLiteral(_)
        | Expr::Extension(_) => {}
    }
}

/// What a metric of this name is, by the suffixes of Prometheus' naming practices:
/// <https://prometheus.io/docs/practices/naming/#metric-names>.
fn of_name(name: &str) -> Option<Measure> {
    let ends = |suffixes: &[&str]| suffixes.iter().any(|suffix| name.ends_with(suffix));
    if ends(&[
        "_seconds",
        "_milliseconds",
        "_ms",
        "_ratio",
        "_percent",
        "_utilization",
        "_age",
    ]) {
        Some(Measure::Intensive)
    } else if ends(&[
        "_jobs",
        "jobs",
        "_job_count",
        "_messages",
        "_length",
        "_waiting",
        "_pending",
    ]) {
        Some(Measure::Total)
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_measures_what_its_metrics_are_called_after() {
        use Measure::{Intensive, Total};
        for (query, expected) in [
            (
                "max(bullmq_queue_oldest_ready_age_seconds)",
                Some(Intensive),
            ),
            ("sum(bullmq_queue_ready_jobs)", Some(Total)),
            (
                "sum(bullmq_job_count{state=\"active\"}) and on() up_seconds",
                Some(Total),
            ),
            (
                "histogram_quantile(0.9, sum by (le) (rate(x_seconds_bucket[5m])))",
                Some(Intensive),
            ),
            ("count(x_seconds)", Some(Total)),
            ("sum(rate(job_seconds[5m]))", None),
            ("a_jobs / b_seconds", None),
            ("a_jobs + b_seconds", None),
            ("something", None),
            ("1", None),
            ("sum(", None),
        ] {
            assert_eq!(measure(query), expected, "{query}");
        }
    }

    #[test]
    fn running_jobs_are_seen_by_name_or_label() {
        for (query, expected) in [
            ("sum(bullmq_queue_demand_jobs)", true),
            ("sum(bullmq_job_count{state=~\"waiting|active\"})", true),
            ("sum(bullmq_job_count{state=\"waiting\"})", false),
            ("avg_over_time(queue_active[1m])", true),
        ] {
            assert_eq!(counts_running(query), expected, "{query}");
        }
    }
}

//! What can be said of a query's result without running it: how many series it has, and whether it can be empty.

use promql_parser::parser::token::{
    T_BOTTOMK, T_COUNT_VALUES, T_LAND, T_LIMIT_RATIO, T_LIMITK, T_LOR, T_LUNLESS, T_TOPK,
};
use promql_parser::parser::value::ValueType;
use promql_parser::parser::{Expr, LabelModifier, VectorMatchCardinality, VectorSelector};

use super::family;
use super::syntax::Node;

/// How many series a result has.
#[derive(Clone, Copy, Debug)]
pub enum Series<'a, 'e> {
    /// At most one, whatever is scraped.
    One,
    /// One as long as one exporter serves it: the node selects a series by its labels.
    PerExporter(&'a Node<'e>),
    /// As many as there are values of the labels at the node.
    Several(&'a Node<'e>),
    /// It cannot be known: a recording rule may have aggregated already.
    Unknown,
}

/// The node on which it depends how many series there are.
pub fn series<'a, 'e>(node: &'a Node<'e>) -> Series<'a, 'e> {
    let node = node.bare();
    let children = node.children.as_slice();
    match node.expr {
        Expr::VectorSelector(selector) => of_selector(node, selector),
        Expr::MatrixSelector(matrix) => of_selector(node, &matrix.vs),
        Expr::Aggregate(aggregate) => match aggregate.op.id() {
            T_COUNT_VALUES | T_LIMIT_RATIO => Series::Several(node),
            T_TOPK | T_BOTTOMK | T_LIMITK => {
                let one = aggregate.param.as_deref().is_some_and(is_one) && ungrouped(node);
                if one {
                    Series::One
                } else {
                    inner_or(children.last(), node)
                }
            }
            _ => grouped(node),
        },
        Expr::Call(call) => match call.func.name {
            "vector" | "absent" | "absent_over_time" => Series::One,
            "histogram_quantile" => match children.last().map(Node::bare) {
                Some(buckets) if only_buckets(buckets) => Series::One,
                Some(buckets) => inner_or(Some(buckets), node),
                None => Series::Unknown,
            },
            "info" | "label_join" | "label_replace" | "histogram_quantiles" => {
                children.first().map_or(Series::Unknown, series)
            }
            _ => children
                .iter()
                .find(|child| {
                    matches!(
                        child.expr.value_type(),
                        ValueType::Vector | ValueType::Matrix
                    )
                })
                .map_or(Series::One, series),
        },
        Expr::Binary(binary) => {
            let [left, right] = children else {
                return Series::Unknown;
            };
            if left.expr.value_type() == ValueType::Scalar {
                return series(right);
            }
            if right.expr.value_type() == ValueType::Scalar {
                return series(left);
            }
            match binary.op.id() {
                T_LAND | T_LUNLESS => series(left),
                T_LOR => match series(left) {
                    Series::One => match series(right) {
                        Series::One if labels_differ(node) => Series::Several(node),
                        other => other,
                    },
                    other => other,
                },
                _ => match binary.modifier.as_ref().map(|modifier| &modifier.card) {
                    Some(VectorMatchCardinality::ManyToOne(_)) => series(left),
                    Some(VectorMatchCardinality::OneToMany(_)) => series(right),
                    _ => match series(left) {
                        Series::One => Series::One,
                        other => match series(right) {
                            Series::One => Series::One,
                            _ => other,
                        },
                    },
                },
            }
        }
        Expr::Unary(_) | Expr::Subquery(_) => children.first().map_or(Series::Unknown, series),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => Series::One,
        Expr::Paren(_) | Expr::Extension(_) => Series::Unknown,
    }
}

fn of_selector<'a, 'e>(node: &'a Node<'e>, selector: &VectorSelector) -> Series<'a, 'e> {
    if family::name(selector).is_some_and(|name| name.contains(':')) {
        return Series::Unknown;
    }
    let pinned = family::known(selector).map_or_else(
        // What tells the series of an unknown metric apart is unknown: one matcher with one value may be enough.
        || selector.matchers.matchers.iter().any(family::equal),
        |known| {
            known
                .identity
                .iter()
                .all(|label| family::pinned(selector, label))
        },
    );
    if pinned {
        Series::PerExporter(node)
    } else {
        Series::Several(node)
    }
}

/// An aggregation: one series for every value of its labels.
fn grouped<'a, 'e>(node: &'a Node<'e>) -> Series<'a, 'e> {
    match node.grouping() {
        None => Series::One,
        Some(LabelModifier::Include(labels)) if labels.is_empty() => Series::One,
        Some(LabelModifier::Include(labels)) => {
            let selectors = node.selectors();
            let pinned = |label: &String| {
                !selectors.is_empty()
                    && selectors
                        .iter()
                        .all(|(_, selector)| family::pinned(selector, label))
            };
            if labels.labels.iter().all(pinned) {
                Series::One
            } else {
                inner_or(node.children.last(), node)
            }
        }
        Some(LabelModifier::Exclude(_)) => inner_or(node.children.last(), node),
    }
}

/// A result that has no more series than what it is made of.
fn inner_or<'a, 'e>(inner: Option<&'a Node<'e>>, node: &'a Node<'e>) -> Series<'a, 'e> {
    match inner.map(series) {
        Some(Series::One) => Series::One,
        Some(Series::Unknown) => Series::Unknown,
        Some(Series::PerExporter(_) | Series::Several(_)) | None => Series::Several(node),
    }
}

fn ungrouped(node: &Node<'_>) -> bool {
    matches!(node.grouping(), None | Some(LabelModifier::Include(_)))
        && node
            .grouping()
            .is_none_or(|grouping| grouping.labels().is_empty())
}

/// Buckets of one histogram: the quantile drops their `le`.
fn only_buckets(node: &Node<'_>) -> bool {
    match node.grouping() {
        Some(LabelModifier::Include(labels)) => labels.labels.iter().all(|label| label == "le"),
        Some(LabelModifier::Exclude(_)) | None => false,
    }
}

/// Whether the two sides of an `or`, one series each, may stand side by side because their labels differ.
fn labels_differ(node: &Node<'_>) -> bool {
    let Expr::Binary(binary) = node.expr else {
        return true;
    };
    let on_nothing = binary
        .modifier
        .as_ref()
        .and_then(|modifier| modifier.matching.as_ref())
        .is_some_and(|matching| matching.is_include() && matching.labels().is_empty());
    // Two sides that keep labels keep the same ones, or so it is assumed.
    !on_nothing && node.children.iter().any(unlabelled) && !node.children.iter().all(unlabelled)
}

/// Whether a result has no labels at all.
fn unlabelled(node: &Node<'_>) -> bool {
    let node = node.bare();
    match node.expr {
        Expr::Aggregate(aggregate) => {
            ungrouped(node)
                && !matches!(
                    aggregate.op.id(),
                    T_TOPK | T_BOTTOMK | T_LIMITK | T_LIMIT_RATIO | T_COUNT_VALUES
                )
        }
        Expr::Call(call) if call.func.name == "vector" => true,
        Expr::NumberLiteral(_) => true,
        Expr::Binary(binary) => match binary.op.id() {
            T_LAND | T_LUNLESS => node.children.first().is_some_and(unlabelled),
            _ => node
                .children
                .iter()
                .all(|side| side.expr.value_type() == ValueType::Scalar || unlabelled(side)),
        },
        Expr::Unary(_) | Expr::Call(_) => node.children.iter().all(|child| {
            matches!(
                child.expr.value_type(),
                ValueType::Scalar | ValueType::String
            ) || unlabelled(child)
        }),
        Expr::Paren(_)
        | Expr::Subquery(_)
        | Expr::StringLiteral(_)
        | Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::Extension(_) => false,
    }
}

fn is_one(expr: &Expr) -> bool {
    match expr {
        Expr::NumberLiteral(number) => (1.0..2.0).contains(&number.val),
        Expr::Paren(paren) => is_one(&paren.expr),
        Expr::Aggregate(_)
        | Expr::Unary(_)
        | Expr::Binary(_)
        | Expr::Subquery(_)
        | Expr::StringLiteral(_)
        | Expr::VectorSelector(_)
        | Expr::MatrixSelector(_)
        | Expr::Call(_)
        | Expr::Extension(_) => false,
    }
}

/// Whether a result can have no series at all.
pub fn can_be_empty(node: &Node<'_>) -> bool {
    let node = node.bare();
    match node.expr {
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) => false,
        Expr::Call(call) if matches!(call.func.name, "vector" | "scalar") => false,
        Expr::Call(call) if matches!(call.func.name, "absent" | "absent_over_time") => true,
        Expr::Aggregate(_) => node.children.last().is_none_or(can_be_empty),
        Expr::Binary(binary) => match binary.op.id() {
            T_LOR => node.children.iter().all(can_be_empty),
            T_LAND | T_LUNLESS => true,
            _ if binary.op.is_comparison_operator() && !binary.return_bool() => true,
            _ => node.children.iter().any(can_be_empty),
        },
        Expr::Unary(_) | Expr::Subquery(_) | Expr::Call(_) => {
            node.children.iter().any(can_be_empty)
        }
        Expr::VectorSelector(_) | Expr::MatrixSelector(_) | Expr::Paren(_) | Expr::Extension(_) => {
            true
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::syntax;
    use super::*;

    #[test]
    fn the_number_of_series_is_proved_or_not() {
        for (text, expected) in [
            ("sum(a)", "one"),
            ("sum by () (a)", "one"),
            ("-(sum(a) * 2 / 3)", "one"),
            (
                "clamp_max(sum(a) + clamp_min(sum(b), 0), scalar(sum(c)))",
                "one",
            ),
            ("sum(a) and on() (count(b) == 2)", "one"),
            ("sum(a) or vector(0)", "one"),
            ("(sum(a) or on() vector(0))", "one"),
            ("sum by (queue) (a{queue=\"x\"})", "one"),
            ("max by (queue) (sum(a))", "one"),
            ("topk(1, a)", "one"),
            ("absent(a)", "one"),
            ("vector(1)", "one"),
            ("hour()", "one"),
            (
                "histogram_quantile(0.9, sum by (le) (rate(a_bucket[5m])))",
                "one",
            ),
            ("a * on () group_right sum(b)", "one"),
            ("a / on () sum(b)", "one"),
            ("sum(rate(a[5m])) / count(b)", "one"),
            ("queue:demand:sum", "unknown"),
            ("max by (queue) (queue:demand:sum)", "unknown"),
            ("a{queue=\"x\"}", "a{queue=\"x\"} per exporter"),
            (
                "rate(a{queue=\"x\"}[5m])",
                "a{queue=\"x\"}[5m] per exporter",
            ),
            (
                "bullmq_job_count{queue=\"x\",state=\"waiting\"}",
                "bullmq_job_count{queue=\"x\",state=\"waiting\"} per exporter",
            ),
            (
                "bullmq_job_count{queue=\"x\"}",
                "bullmq_job_count{queue=\"x\"}",
            ),
            ("a", "a"),
            ("a{queue=~\"x|y\"}", "a{queue=~\"x|y\"}"),
            ("sum by (queue) (a)", "sum by (queue) (a)"),
            ("sum without (pod) (a)", "sum without (pod) (a)"),
            ("topk(3, a)", "topk(3, a)"),
            ("count_values(\"v\", a)", "count_values(\"v\", a)"),
            ("sum by (queue) (a) or vector(0)", "sum by (queue) (a)"),
            (
                "sum by (queue) (a{queue=\"x\"}) or vector(0)",
                "sum by (queue) (a{queue=\"x\"}) or vector(0)",
            ),
            (
                "histogram_quantile(0.9, sum by (le, queue) (rate(a_bucket[5m])))",
                "histogram_quantile(0.9, sum by (le, queue) (rate(a_bucket[5m])))",
            ),
        ] {
            let expr = syntax::parse(text).unwrap();
            let root = syntax::locate(&expr, text);
            let told = match series(&root) {
                Series::One => "one".to_owned(),
                Series::Unknown => "unknown".to_owned(),
                Series::PerExporter(node) => {
                    format!("{} per exporter", text.get(node.at.clone()).unwrap())
                }
                Series::Several(node) => text.get(node.at.clone()).unwrap().to_owned(),
            };
            assert_eq!(told, expected, "{text}");
        }
    }

    #[test]
    fn what_cannot_be_empty_is_proved() {
        for (text, expected) in [
            ("sum(a)", true),
            ("sum(a) or vector(0)", false),
            ("sum(a or vector(0))", false),
            ("(sum(a) or vector(0)) and on() (count(b) == 1)", true),
            ("(sum(a) or vector(0)) + sum(b)", true),
            ("vector(scalar(a))", false),
            ("vector(1) > 2", true),
            ("vector(1) > bool 2", false),
            ("hour()", false),
            ("absent(a)", true),
        ] {
            let expr = syntax::parse(text).unwrap();
            assert_eq!(
                can_be_empty(&syntax::locate(&expr, text)),
                expected,
                "{text}"
            );
        }
    }
}

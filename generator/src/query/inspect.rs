//! Queries for people: the series behind a query, one by one, and what else Prometheus knows of the exporter. `verify` asks them.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bullmq_vocabulary::{Metric, label, metric, prometheus_duration};

use super::{Demand, Expr, Matcher, Scope, Selector};

/// A query whose answer has any number of series, or samples over a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection(String);

impl fmt::Display for Inspection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Scope {
    fn selectors_of_demand(&self, demand: Demand) -> Vec<Selector> {
        match self.demand_series(demand) {
            Expr::Series(selectors) | Expr::AvgOverTime(selectors, _) => selectors,
            Expr::ByQueue(_)
            | Expr::Sum(_)
            | Expr::Count(_)
            | Expr::When { .. }
            | Expr::Drain { .. }
            | Expr::Limited { .. } => Vec::new(),
        }
    }

    /// The demand of each queue, as each exporter told it.
    pub fn series(&self, demand: Demand) -> Inspection {
        each(&self.selectors_of_demand(demand), ToString::to_string)
    }

    /// When each of those was scraped, in seconds since 1970.
    pub fn scraped_at(&self, demand: Demand) -> Inspection {
        each(&self.selectors_of_demand(demand), |selector| {
            format!("timestamp({selector})")
        })
    }

    /// Whether each queue could be read.
    pub fn queue_up(&self) -> Inspection {
        let selectors = self.selectors(metric::QUEUE_UP.name, None);
        each(&selectors, ToString::to_string)
    }

    /// The number of added jobs of each queue, each queue once, however many exporters tell it.
    pub fn added_by_queue(&self) -> Inspection {
        let selectors = self.selectors(metric::JOB_ADDED_TOTAL.name, None);
        let series = each(&selectors, ToString::to_string);
        let labels = label::OF_A_QUEUE.join(", ");
        Inspection(format!("max by ({labels}) ({series})"))
    }

    /// Of each queue the smallest number of added jobs in a window, the largest, and how many samples there are. It is a counter,
    /// so two series of one Redis have ranges that meet, and those of two Redis servers hardly ever.
    pub fn added(&self, window: Duration) -> [Inspection; 3] {
        let selectors = self.selectors(metric::JOB_ADDED_TOTAL.name, None);
        let window = prometheus_duration(window);
        ["min_over_time", "max_over_time", "count_over_time"].map(|function| {
            each(&selectors, |selector| {
                format!("{function}({selector}[{window}])")
            })
        })
    }
}

fn each(selectors: &[Selector], write: impl Fn(&Selector) -> String) -> Inspection {
    Inspection(
        selectors
            .iter()
            .map(write)
            .collect::<Vec<_>>()
            .join("\nor "),
    )
}

fn all(metric: Metric, matchers: &BTreeMap<String, String>) -> Selector {
    let matchers = matchers
        .iter()
        .map(|(name, value)| Matcher::Is(name.clone(), value.clone()))
        .collect();
    Selector {
        metric: metric.name,
        matchers,
    }
}

/// Every exporter, with every scrape of it in a window.
pub fn scrapes(matchers: &BTreeMap<String, String>, window: Duration) -> Inspection {
    let exporters = all(metric::EXPORTER_BUILD_INFO, matchers);
    Inspection(format!("{exporters}[{}]", prometheus_duration(window)))
}

/// Every exporter that is there now.
pub fn exporters(matchers: &BTreeMap<String, String>) -> Inspection {
    Inspection(all(metric::EXPORTER_BUILD_INFO, matchers).to_string())
}

/// Whether each Redis answers each exporter.
pub fn redis_up(matchers: &BTreeMap<String, String>) -> Inspection {
    Inspection(all(metric::UP, matchers).to_string())
}

/// The horizons that are served.
pub fn horizons(matchers: &BTreeMap<String, String>) -> Inspection {
    let series = all(metric::QUEUE_DEMAND_AHEAD_JOBS, matchers);
    Inspection(format!("group by ({}) ({series})", label::WITHIN))
}

/// Every queue that any exporter tells of, with the values of these labels, whatever they are.
pub fn queues(labels: impl Iterator<Item = String>) -> Inspection {
    let series = all(metric::QUEUE_UP, &BTreeMap::new());
    let mut by: Vec<String> = label::OF_A_QUEUE
        .iter()
        .map(|&name| name.to_owned())
        .collect();
    by.extend(labels);
    Inspection(format!("group by ({}) ({series})", by.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::Group;

    #[test]
    fn the_series_behind_a_query_are_those_of_the_query() {
        let group = |redis: &str, queues: &[&str]| Group {
            redis: redis.to_owned(),
            prefix: "bull".to_owned(),
            queues: queues.iter().map(|queue| (*queue).to_owned()).collect(),
        };
        let scope = Scope {
            groups: vec![group("default", &["a", "b\""]), group("main", &["c"])],
            matchers: BTreeMap::from([("env".to_owned(), "prod".to_owned())]),
        };
        for demand in [Demand::Now, Demand::Ahead(Duration::from_mins(1))] {
            let query = scope.demand(demand).to_string();
            let series = scope.series(demand).to_string();
            assert!(query.contains(&format!("({series})")), "{query}\n{series}");
            let parts = [
                scope.series(demand),
                scope.scraped_at(demand),
                scope.queue_up(),
                exporters(&scope.matchers),
                scrapes(&scope.matchers, Duration::from_mins(5)),
                queues(["env".to_owned()].into_iter()),
                horizons(&scope.matchers),
            ];
            for part in parts.iter().chain(&scope.added(Duration::from_mins(5))) {
                promql_parser::parser::parse(&part.to_string()).unwrap();
            }
        }
        assert_eq!(
            queues(["env".to_owned()].into_iter()).to_string(),
            "group by (redis, prefix, queue, env) (bullmq_queue_up{})"
        );
    }
}

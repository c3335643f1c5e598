//! PromQL as a value: built from the vocabulary, printed once.
//!
//! Every query is one series without labels, so that KEDA can read it, and every one but [`Scope::demand`] alone is guarded: it is
//! empty, and so an error that KEDA holds on, unless each queue that must exist is seen. Three facts of PromQL carry this.
//!
//! - `sum(...)` has no labels, so `and on()` keeps it exactly when its right side has any series. The right side is a count that is
//!   compared without `bool`, so it has a series exactly when the count is right.
//! - `max by (redis, prefix, queue)` takes one value of each queue, however many exporters or restarts of one serve it; it stands
//!   under the sum and under the count alike.
//! - `or` drops a series of its right side when the left has one with the same labels. Selectors of one query differ in `redis` or in
//!   `prefix`, so none can.
//!
//! Names are matched exactly: a regular expression of Prometheus is anchored at both ends, and what has a meaning in RE2 is escaped.
//! See <https://prometheus.io/docs/prometheus/latest/querying/operators/#logical-set-binary-operators>.

mod condition;
mod evaluate;
mod inspect;

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use bullmq_vocabulary::{JobState, label, metric, prometheus_duration, promql_string};

use crate::decimal::Decimal;

pub use condition::{Condition, Scaler, no_answer};
pub use evaluate::Seen;
pub use inspect::{Inspection, exporters, horizons, queues, redis_up, scrapes};

/// The queues of one prefix in one Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The name of the Redis connection.
    pub redis: String,
    /// The key prefix.
    pub prefix: String,
    /// The names of the queues, at least one.
    pub queues: Vec<String>,
}

/// Which queues a query is about, and by which labels the exporter is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// The queues. No two groups share both Redis and prefix.
    pub groups: Vec<Group>,
    /// Labels that are added to every selector.
    pub matchers: BTreeMap<String, String>,
}

/// When demand is looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// As it is now.
    Now,
    /// As it would be if everything due within this time were due now. One of the horizons that the exporter serves.
    Ahead(Duration),
}

/// A query. It is printed with line breaks between its parts; Prometheus takes them for blanks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query(Expr);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Expr {
    /// Instant selectors, joined by `or`.
    Series(Vec<Selector>),
    /// The same over a range, each with its own function: a range belongs to one selector.
    AvgOverTime(Vec<Selector>, Duration),
    /// One value of each queue.
    ByQueue(Box<Expr>),
    Sum(Box<Expr>),
    Count(Box<Expr>),
    /// The left one if the right one is exactly this number.
    When {
        value: Box<Expr>,
        count: Box<Expr>,
        is: usize,
    },
    /// `average + max(demand - active, 0) * mean / within`, at most `most`.
    Drain {
        average: Box<Expr>,
        demand: Box<Expr>,
        active: Box<Expr>,
        mean: Decimal,
        within: Decimal,
        most: Box<Expr>,
    },
    /// `demand`, at most `most`, or what is active if that is more. It has no answer where either has none.
    Limited {
        demand: Box<Expr>,
        active: Box<Expr>,
        most: Decimal,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Selector {
    metric: &'static str,
    matchers: Vec<Matcher>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Matcher {
    Is(String, String),
    OneOf(&'static str, Vec<String>),
}

impl Scope {
    /// How many queues there are.
    pub fn queues(&self) -> usize {
        self.groups.iter().map(|group| group.queues.len()).sum()
    }

    /// The demand of all queues that can be seen. Not guarded: a missing queue lowers it.
    pub fn demand(&self, demand: Demand) -> Query {
        Query(sum_by_queue(self.demand_series(demand)))
    }

    /// The demand, but no more than so many slots: under a limit of the rate more would only wait. What runs already is never
    /// counted less. Not guarded.
    pub fn limited_demand(&self, demand: Demand, most: Decimal) -> Query {
        Query(self.limited(demand, Some(most)))
    }

    fn limited(&self, demand: Demand, most: Option<Decimal>) -> Expr {
        let demand = sum_by_queue(self.demand_series(demand));
        match most {
            None => demand,
            Some(most) => Expr::Limited {
                demand: Box::new(demand),
                active: Box::new(sum_by_queue(Expr::Series(self.active()))),
                most,
            },
        }
    }

    fn active(&self) -> Vec<Selector> {
        self.selectors(
            metric::JOB_COUNT.name,
            Some((label::STATE, JobState::Active.as_str())),
        )
    }

    /// What has to run for the averaged load to be met and the backlog to be worked off within a time: the averaged number of
    /// active jobs (Little's law, measured), and `mean / within` slots for every job beyond those that are active; never more
    /// than the demand, and not more than `most` unless so many are active; above zero exactly when demand is. Not guarded.
    pub fn drain(
        &self,
        demand: Demand,
        window: Duration,
        mean: Duration,
        within: Duration,
        most: Option<Decimal>,
    ) -> Query {
        let active = self.active();
        Query(Expr::Drain {
            average: Box::new(sum_by_queue(Expr::AvgOverTime(active.clone(), window))),
            demand: Box::new(sum_by_queue(self.demand_series(demand))),
            active: Box::new(sum_by_queue(Expr::Series(active))),
            mean: Decimal::seconds_of(mean),
            within: Decimal::seconds_of(within),
            most: Box::new(self.limited(demand, most)),
        })
    }

    fn demand_series(&self, demand: Demand) -> Expr {
        Expr::Series(match demand {
            Demand::Now => self.selectors(metric::QUEUE_DEMAND_JOBS.name, None),
            Demand::Ahead(horizon) => {
                let within = prometheus_duration(horizon);
                self.selectors(
                    metric::QUEUE_DEMAND_AHEAD_JOBS.name,
                    Some((label::WITHIN, &within)),
                )
            }
        })
    }

    fn selectors(&self, metric: &'static str, extra: Option<(&str, &str)>) -> Vec<Selector> {
        let is = |name: &str, value: &str| Matcher::Is(name.to_owned(), value.to_owned());
        let selector = |group: &Group| {
            let mut matchers = vec![
                is(label::REDIS, &group.redis),
                is(label::PREFIX, &group.prefix),
            ];
            matchers.push(match group.queues.as_slice() {
                [queue] => is(label::QUEUE, queue),
                queues => Matcher::OneOf(label::QUEUE, queues.to_vec()),
            });
            matchers.extend(extra.map(|(name, value)| is(name, value)));
            matchers.extend(self.matchers.iter().map(|(name, value)| is(name, value)));
            Selector { metric, matchers }
        };
        self.groups.iter().map(selector).collect()
    }
}

impl Query {
    /// The same, but empty unless every queue of `required` is seen in the very series of demand that are summed.
    #[must_use]
    pub fn guarded(self, required: &Scope, demand: Demand) -> Self {
        let series = required.demand_series(demand);
        Self(Expr::When {
            value: Box::new(self.0),
            count: Box::new(Expr::Count(Box::new(Expr::ByQueue(Box::new(series))))),
            is: required.queues(),
        })
    }
}

fn sum_by_queue(series: Expr) -> Expr {
    Expr::Sum(Box::new(Expr::ByQueue(Box::new(series))))
}

impl fmt::Display for Query {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for Expr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Series(selectors) => joined(f, selectors, |f, selector| selector.fmt(f)),
            Self::AvgOverTime(selectors, window) => {
                let window = prometheus_duration(*window);
                joined(f, selectors, |f, selector| {
                    write!(f, "avg_over_time({selector}[{window}])")
                })
            }
            Self::ByQueue(series) => {
                write!(f, "max by ({}) ({series})", label::OF_A_QUEUE.join(", "))
            }
            Self::Sum(of) => write!(f, "sum({of})"),
            Self::Count(of) => write!(f, "count({of})"),
            Self::When { value, count, is } => write!(f, "{value}\nand on() ({count} == {is})"),
            Self::Drain {
                average,
                demand,
                active,
                mean,
                within,
                most,
            } => {
                write!(
                    f,
                    "clamp_max({average}\n+ clamp_min({demand}\n- {active}, 0)"
                )?;
                write!(f, " * {mean} / {within},\nscalar({most}))")
            }
            // Without the zero times `active`, a missing `active` would make a NaN, which KEDA before 2.20 takes for a number.
            Self::Limited {
                demand,
                active,
                most,
            } => write!(
                f,
                "clamp_max({demand}\n+ 0 * {active},\nscalar(clamp_min({active}, {most})))"
            ),
        }
    }
}

fn joined<'a>(
    f: &mut fmt::Formatter<'a>,
    selectors: &[Selector],
    write: impl Fn(&mut fmt::Formatter<'a>, &Selector) -> fmt::Result,
) -> fmt::Result {
    for (index, selector) in selectors.iter().enumerate() {
        if index > 0 {
            f.write_str("\nor ")?;
        }
        write(f, selector)?;
    }
    Ok(())
}

impl fmt::Display for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let matchers: Vec<String> = self.matchers.iter().map(ToString::to_string).collect();
        write!(f, "{}{{{}}}", self.metric, matchers.join(","))
    }
}

impl fmt::Display for Matcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Is(name, value) => write!(f, "{name}=\"{}\"", promql_string(value)),
            Self::OneOf(name, values) => {
                let choices: Vec<String> = values.iter().map(|value| escape_regex(value)).collect();
                write!(f, "{name}=~\"{}\"", promql_string(&choices.join("|")))
            }
        }
    }
}

/// Escapes what has a meaning in a regular expression, as Go's `regexp.QuoteMeta` does:
/// <https://github.com/golang/go/blob/go1.25.0/src/regexp/regexp.go>.
fn escape_regex(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if r"\.+*?()|[]{}^$".contains(character) {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(groups: &[(&str, &str, &[&str])]) -> Scope {
        let group = |(redis, prefix, queues): &(&str, &str, &[&str])| Group {
            redis: (*redis).to_owned(),
            prefix: (*prefix).to_owned(),
            queues: queues.iter().map(|queue| (*queue).to_owned()).collect(),
        };
        Scope {
            groups: groups.iter().map(group).collect(),
            matchers: BTreeMap::new(),
        }
    }

    #[test]
    fn one_queue_is_matched_by_its_name_and_guarded_by_its_presence() {
        let scope = scope(&[("default", "bull", &["email"])]);
        let query = scope
            .demand(Demand::Now)
            .guarded(&scope, Demand::Now)
            .to_string();
        assert_eq!(
            query,
            "sum(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{redis=\"default\",prefix=\"bull\",queue=\"email\"}))\n\
             and on() (count(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{redis=\"default\",prefix=\"bull\",queue=\"email\"})) == 1)"
        );
    }

    #[test]
    fn queues_of_several_prefixes_are_several_selectors_under_one_aggregation() {
        let mut scope = scope(&[("default", "bull", &["a", "b"]), ("main", "{app}", &["c"])]);
        scope.matchers.insert("env".to_owned(), "prod".to_owned());
        assert_eq!(
            scope
                .demand(Demand::Ahead(Duration::from_mins(1)))
                .to_string(),
            "sum(max by (redis, prefix, queue) (\
             bullmq_queue_demand_ahead_jobs{redis=\"default\",prefix=\"bull\",queue=~\"a|b\",within=\"1m\",env=\"prod\"}\n\
             or bullmq_queue_demand_ahead_jobs{redis=\"main\",prefix=\"{app}\",queue=\"c\",within=\"1m\",env=\"prod\"}))"
        );
    }

    #[test]
    fn every_selector_of_an_average_has_its_own_range() {
        let scope = scope(&[("default", "bull", &["a"]), ("default", "x", &["a"])]);
        let second = Duration::from_secs(1);
        let query = scope
            .drain(Demand::Now, second * 300, second * 2, second * 30, None)
            .to_string();
        assert_eq!(query.matches("avg_over_time(bullmq_job_count{").count(), 2);
        assert_eq!(query.matches("[5m])").count(), 2);
        assert!(query.contains(", 0) * 2 / 30,\nscalar(sum("), "{query}");
    }

    #[test]
    fn names_are_escaped_for_the_expression_and_then_for_the_string() {
        for (name, string, expression) in [
            ("email", "email", "email"),
            ("a.b", "a.b", r"a\\.b"),
            ("{app}", "{app}", r"\\{app\\}"),
            ("a\"b", "a\\\"b", "a\\\"b"),
            (r"a\b", r"a\\b", r"a\\\\b"),
            ("a|b", "a|b", r"a\\|b"),
            ("a\nb", r"a\u000ab", r"a\u000ab"),
            ("ä😀", "ä😀", "ä😀"),
            ("a\u{2028}b\u{85}", r"a\u2028b\u0085", r"a\u2028b\u0085"),
            (
                "a\u{feff}\u{e0001}",
                r"a\ufeff\U000e0001",
                r"a\ufeff\U000e0001",
            ),
        ] {
            assert_eq!(promql_string(name), string, "{name:?}");
            assert_eq!(promql_string(&escape_regex(name)), expression, "{name:?}");
        }
    }
}

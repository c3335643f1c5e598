//! What a query answers, of numbers instead of series: the same expression that is printed, worked out.

use bullmq_vocabulary::metric;

use super::{Expr, Query, Selector};

/// What there is to be seen of the queues of a query, all of them together and each of them seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// The demand, at the horizon at which it is looked up.
    pub demand: f64,
    /// The active jobs.
    pub active: f64,
    /// The active jobs on average over the window of the query.
    pub average: f64,
}

impl Query {
    /// What Prometheus would answer.
    pub fn value(&self, seen: &Seen) -> f64 {
        self.0.value(seen)
    }
}

impl Expr {
    fn value(&self, seen: &Seen) -> f64 {
        match self {
            Self::Series(selectors) => match selectors.first() {
                Some(Selector { metric, .. }) if *metric == metric::JOB_COUNT.name => seen.active,
                Some(_) | None => seen.demand,
            },
            Self::AvgOverTime(..) => seen.average,
            // The series are summed already, and every queue is seen.
            Self::ByQueue(of) | Self::Sum(of) | Self::Count(of) => of.value(seen),
            Self::When { value, .. } => value.value(seen),
            Self::Drain {
                average,
                demand,
                active,
                mean,
                within,
                most,
            } => {
                let backlog = (demand.value(seen) - active.value(seen)).max(0.0);
                let slots = average.value(seen) + backlog * mean.as_f64() / within.as_f64();
                slots.min(most.value(seen))
            }
            Self::Limited {
                demand,
                active,
                most,
            } => demand
                .value(seen)
                .min(active.value(seen).max(most.as_f64())),
        }
    }
}

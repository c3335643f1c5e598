//! What an autoscaler sees of the queue: samples that Prometheus took, or the list itself.

use std::collections::VecDeque;

use super::time::{Micros, SECOND};
use crate::query::Seen;

/// How far back an instant query looks for a sample: Prometheus' `--query.lookback-delta`.
/// Source: <https://prometheus.io/docs/prometheus/latest/querying/basics/#staleness>.
const LOOKBACK: Micros = 300 * SECOND;

/// What the exporter said at one scrape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sample {
    /// When it was scraped.
    pub(super) at: Micros,
    /// The demand, at the horizon that is asked for.
    pub(super) demand: u64,
    /// The active jobs.
    pub(super) active: u64,
}

/// The samples that a query can reach.
#[derive(Debug, Default)]
pub(super) struct Samples(VecDeque<Sample>);

impl Samples {
    pub(super) fn scrape(&mut self, sample: Sample) {
        self.0.push_back(sample);
        while let Some(first) = self.0.front()
            && first.at + LOOKBACK + SECOND < sample.at
        {
            self.0.pop_front();
        }
    }

    /// What a query finds that is asked now. KEDA asks for a whole second, the last one that began:
    /// <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/prometheus_scaler.go> (`ExecutePromQuery`).
    #[expect(
        clippy::cast_precision_loss,
        reason = "numbers of jobs are far below 2^52"
    )]
    pub(super) fn at(&self, now: Micros) -> Option<Seen> {
        let time = now / SECOND * SECOND;
        let reached = |sample: &&Sample| sample.at <= time && sample.at + LOOKBACK > time;
        let newest = self.0.iter().rev().find(reached)?;
        let (mut sum, mut number) = (0_u64, 0_u64);
        for sample in self.0.iter().filter(reached) {
            sum += sample.active;
            number += 1;
        }
        Some(Seen {
            demand: newest.demand as f64,
            active: newest.active as f64,
            average: sum as f64 / number as f64,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_sees_the_newest_sample_of_the_second_that_began_and_averages_five_minutes() {
        let mut samples = Samples::default();
        assert_eq!(samples.at(SECOND), None);
        for (second, active) in [(3, 10), (18, 20), (33, 60)] {
            let at = second * SECOND + SECOND / 2;
            let demand = active * 2;
            samples.scrape(Sample { at, demand, active });
        }
        for (at, expected) in [
            (3 * SECOND + SECOND * 9 / 10, None),
            (4 * SECOND, Some((20.0, 10.0, 10.0))),
            (19 * SECOND, Some((40.0, 20.0, 15.0))),
            (317 * SECOND, Some((120.0, 60.0, 40.0))),
            (333 * SECOND + SECOND / 2, Some((120.0, 60.0, 60.0))),
            (334 * SECOND, None),
        ] {
            let seen = samples.at(at);
            let numbers = seen.map(|seen| (seen.demand, seen.active, seen.average));
            assert_eq!(numbers, expected, "{at}");
        }
    }
}

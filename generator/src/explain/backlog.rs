//! How many replicas a backlog is for, with the HPA's own rounding and tolerance.

use serde::Serialize;

use super::words::Measure;
use crate::control_loop::keda::reported;
use crate::control_loop::{Config, hpa, jobs};
use hpa::{Pods, Target, shares};

/// One backlog.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Jobs, ready or running.
    pub jobs: u64,
    /// The replicas that it is for.
    pub replicas: u32,
    /// Other numbers of replicas that would be left as they are, because they are near enough: the smallest and the largest.
    pub near_enough: Option<(u32, u32)>,
    /// Whether there would be more, were it not for the largest number, or for the limit of the rate.
    pub limited: bool,
}

/// A series of backlogs that shows where the number changes, from none to beyond the largest.
pub(super) fn rows(config: &Config, demand: &Measure) -> Vec<Row> {
    backlogs(demand, demand.reachable(config.hpa.max))
        .into_iter()
        .map(|jobs| row(config, demand, jobs))
        .collect()
}

/// The same for Jobs, where KEDA rounds up and nothing is near enough.
pub(super) fn of_jobs(config: &jobs::Config, demand: &Measure) -> Vec<Row> {
    let room = demand.reachable(config.max.saturating_sub(config.min));
    backlogs(demand, room)
        .into_iter()
        .map(|jobs| Row {
            jobs,
            replicas: config.destination(demand.value(jobs)),
            near_enough: None,
            limited: jobs > demand.jobs(room),
        })
        .collect()
}

fn backlogs(demand: &Measure, max: u32) -> Vec<u64> {
    let one = demand.jobs(1);
    let mut backlogs = vec![0, 1, one, one.saturating_add(1)];
    backlogs.extend(steps(max).map(|replicas| demand.jobs(replicas)));
    let full = demand.jobs(max);
    backlogs.extend([full, full.saturating_mul(2)]);
    backlogs.sort_unstable();
    backlogs.dedup();
    backlogs
}

/// 2, 5, 10, 20, 50... below the largest number.
fn steps(max: u32) -> impl Iterator<Item = u32> {
    let decades = (0..10).map(|power| 10_u64.pow(power));
    let steps = decades.flat_map(|decade| [decade, 2 * decade, 5 * decade]);
    steps
        .skip(1)
        .filter_map(|step| u32::try_from(step).ok())
        .take_while(move |step| *step < max)
}

/// What one backlog is for.
fn row(config: &Config, demand: &Measure, jobs: u64) -> Row {
    let value = demand.value(jobs);
    let metric = reported(value);
    let target = Target::AverageValue(demand.threshold);
    let proposal = |replicas| config.hpa.proposal(target, metric, Pods::settled(replicas));
    let asked = shares(metric, demand.threshold);
    let active = value > 0.0;
    let replicas = if active {
        asked.clamp(config.hpa.min, config.hpa.max)
    } else {
        config.keda.min
    };
    let near_enough = active
        .then(|| {
            config
                .hpa
                .near_enough(asked, |replicas| proposal(replicas) == replicas)
        })
        .filter(|range| *range != (replicas, replicas));
    Row {
        jobs,
        replicas,
        near_enough,
        limited: jobs > demand.jobs(demand.reachable(config.hpa.max)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explain::tests::worker;
    use crate::plan::plan;

    fn table(fields: &str) -> Vec<Row> {
        let workload = worker(fields);
        let plan = plan(&workload);
        rows(&Config::of(&plan), &Measure::of(&plan))
    }

    const fn row(jobs: u64, replicas: u32) -> Row {
        Row {
            jobs,
            replicas,
            near_enough: None,
            limited: false,
        }
    }

    const fn or(first: u32, last: u32, row: Row) -> Row {
        Row {
            near_enough: Some((first, last)),
            ..row
        }
    }

    const fn limited(row: Row) -> Row {
        Row {
            limited: true,
            ..row
        }
    }

    #[test]
    fn backlogs_go_from_none_to_beyond_the_largest_number() {
        assert_eq!(
            table("queues: [a], replicas: {min: 0, max: 20}"),
            [
                row(0, 0),
                row(1, 1),
                row(10, 1),
                or(1, 2, row(11, 2)),
                row(20, 2),
                row(50, 5),
                or(10, 11, row(100, 10)),
                or(19, 20, row(200, 20)),
                limited(row(400, 20)),
            ]
        );
    }

    #[test]
    fn a_limit_of_the_rate_ends_the_table_below_the_largest_number() {
        // 600 a minute of 3 s keep 30 slots busy, which are 3 replicas.
        assert_eq!(
            table("queues: [a], replicas: {min: 1, max: 20}, job: {mean: 3s}, rateLimit: 600/1m"),
            [
                row(0, 1),
                row(1, 1),
                row(10, 1),
                or(1, 2, row(11, 2)),
                row(20, 2),
                row(30, 3),
                limited(row(60, 3)),
            ]
        );
    }

    #[test]
    fn jobs_are_those_that_are_asked_for_beside_the_smallest_number() {
        let rows = of_jobs(
            &jobs::Config {
                min: 2,
                max: 7,
                threshold: crate::decimal::Decimal::from_thousandths(10_000),
            },
            &Measure::of(&plan(&worker("queues: [a], replicas: {min: 2, max: 7}"))),
        );
        assert_eq!(
            rows,
            [
                row(0, 2),
                row(1, 3),
                row(10, 3),
                row(11, 4),
                row(20, 4),
                row(50, 7),
                limited(row(100, 7)),
            ]
        );
    }

    #[test]
    fn a_backlog_that_is_worked_off_in_time_needs_fewer() {
        assert_eq!(
            table(
                "queues: [a], replicas: {min: 1, max: 3}, scale: {startWithin: 60s}, job: {mean: 2s}"
            ),
            [
                row(0, 1),
                row(1, 1),
                row(270, 1),
                or(1, 2, row(271, 2)),
                row(540, 2),
                row(810, 3),
                limited(row(1620, 3)),
            ]
        );
    }

    #[test]
    fn the_largest_number_that_kubernetes_has_is_found_at_once() {
        let rows = table("queues: [a], replicas: {min: 0, max: 2147483647}");
        assert_eq!(
            rows.last(),
            Some(&limited(row(42_949_672_940, 2_147_483_647)))
        );
    }
}

//! What came of a run: how long jobs waited, what it cost, what was broken.

use std::collections::BTreeMap;

use super::pool::{Job, Record};
use super::time::{Micros, SECOND};

/// Waiting times are told to a hundredth of a second.
const GRAIN: Micros = SECOND / 100;
/// Who has waited so long is stranded: no autoscaler that sees the job takes that long.
pub(super) const STRANDED: Micros = 600 * SECOND;

/// The waiting times of jobs, from when they could start until they did, or until the end.
#[derive(Clone, Debug, Default)]
pub(super) struct Waits {
    at_once: u64,
    /// By hundredths of a second, begun ones counted.
    jobs: BTreeMap<u64, u64>,
    total: u64,
    longest: Micros,
}

impl Waits {
    fn add(&mut self, wait: Micros) {
        self.total += 1;
        // Most jobs, mostly.
        if wait == 0 {
            self.at_once += 1;
            return;
        }
        *self.jobs.entry(wait.div_ceil(GRAIN)).or_default() += 1;
        self.longest = self.longest.max(wait);
    }

    /// The mean, to half of a hundredth of a second.
    #[cfg(test)]
    pub(super) fn mean(&self) -> f64 {
        let sum: f64 = self
            .jobs
            .iter()
            .map(|(grains, jobs)| {
                let middle = grains.saturating_sub(1) * GRAIN + GRAIN / 2;
                super::time::seconds(middle) * super::time::seconds(jobs * SECOND)
            })
            .sum();
        sum / super::time::seconds(self.total * SECOND)
    }

    /// The time within which so many of a hundred jobs start.
    pub(super) fn percentile(&self, percent: u64) -> Micros {
        let rank = (self.total * percent).div_ceil(100);
        let mut before = self.at_once;
        if before >= rank {
            return 0;
        }
        for (grains, jobs) in &self.jobs {
            before += jobs;
            if before >= rank {
                return (grains * GRAIN).min(self.longest);
            }
        }
        self.longest
    }
}

/// What is counted while a run goes on.
#[derive(Debug)]
pub(super) struct Tally {
    /// Before this nothing counts: the replicas are still on their way to what the load wants.
    pub(super) from: Micros,
    /// How soon a job should start.
    pub(super) within: Micros,
    pub(super) waits: Waits,
    pub(super) in_time: u64,
    pub(super) late: u64,
    pub(super) stranded: u64,
    pub(super) unstarted: u64,
    pub(super) interrupted: u64,
    pub(super) killed: u64,
    pub(super) lost: u64,
    pub(super) changes: u64,
}

impl Tally {
    pub(super) fn new(from: Micros, within: Micros) -> Self {
        Self {
            from,
            within,
            waits: Waits::default(),
            in_time: 0,
            late: 0,
            stranded: 0,
            unstarted: 0,
            interrupted: 0,
            killed: 0,
            lost: 0,
            changes: 0,
        }
    }

    /// The replicas that are wanted change.
    pub(super) fn changed(&mut self, now: Micros) {
        self.changes += u64::from(now >= self.from);
    }

    /// A job has not started by the end. Where its time is not over nobody knows whether it would have been late.
    pub(super) fn left(&mut self, job: &Job, end: Micros) {
        if job.ready < self.from {
            return;
        }
        let wait = end.saturating_sub(job.ready);
        self.unstarted += 1;
        if wait > self.within {
            self.waited(wait);
        } else {
            self.stranded += u64::from(wait > STRANDED);
        }
    }

    fn waited(&mut self, wait: Micros) {
        self.waits.add(wait);
        if wait <= self.within {
            self.in_time += 1;
        } else {
            self.late += 1;
        }
        self.stranded += u64::from(wait > STRANDED);
    }
}

impl Record for Tally {
    fn started(&mut self, job: &Job, now: Micros) {
        if job.ready >= self.from {
            self.waited(now.saturating_sub(job.ready));
        }
    }

    fn interrupted(&mut self, now: Micros) {
        self.interrupted += u64::from(now >= self.from);
    }

    fn killed(&mut self, now: Micros, jobs: u64, lost: u64) {
        if now >= self.from {
            self.killed += jobs;
            self.lost += lost;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_is_the_time_within_which_so_many_start() {
        let mut waits = Waits::default();
        assert_eq!(waits.percentile(99), 0);
        for hundredth in 1..=200 {
            waits.add(hundredth * GRAIN - 3);
        }
        assert_eq!(waits.percentile(50), 100 * GRAIN);
        assert_eq!(waits.percentile(99), 198 * GRAIN);
        assert_eq!(waits.percentile(100), 200 * GRAIN - 3);
    }
}

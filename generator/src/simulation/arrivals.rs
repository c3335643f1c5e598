//! The jobs of a load one by one: when each is added, and what it is like.

use super::load::{DAY, Load, Part, Pattern, Percent};
use super::pool::{Job, count};
use super::time::{Micros, micros, of_seconds, seconds};
use super::work::Work;

/// The jobs of a load, in the order in which they are added.
#[derive(Debug)]
pub(super) struct Arrivals<'l> {
    sources: Vec<Source<'l>>,
    work: Work,
}

/// What comes of one part.
#[derive(Debug)]
struct Source<'l> {
    part: &'l Part,
    random: fastrand::Rng,
    /// When the next jobs are added, and how many; none if no more are.
    next: Option<(Micros, u64)>,
    /// For what was recorded: the moments left of the step, last first, and the next step.
    moments: Vec<Micros>,
    step: usize,
    rest: f64,
}

impl<'l> Arrivals<'l> {
    pub(super) fn new(load: &'l Load, work: Work, seed: u64) -> Self {
        let sources = load.parts.iter().zip(1..).map(|(part, index)| {
            let mut source = Source {
                part,
                random: fastrand::Rng::with_seed(seed.wrapping_mul(1_000_003).wrapping_add(index)),
                next: None,
                moments: Vec::new(),
                step: 0,
                rest: 0.0,
            };
            source.next = source.first();
            source
        });
        Self {
            sources: sources.collect(),
            work,
        }
    }

    /// When the next job is added.
    pub(super) fn next(&self) -> Option<Micros> {
        let nexts = self.sources.iter().filter_map(|source| source.next);
        nexts.map(|(at, _)| at).min()
    }

    /// Hands over every job that is added up to now.
    pub(super) fn take(&mut self, now: Micros, mut add: impl FnMut(Job)) {
        let work = self.work;
        for source in &mut self.sources {
            while let Some((at, jobs)) = source.next.filter(|(at, _)| *at <= now) {
                for _ in 0..jobs {
                    add(source.job(at, work));
                }
                source.next = source.after(at);
            }
        }
    }
}

impl Source<'_> {
    fn first(&mut self) -> Option<(Micros, u64)> {
        match &self.part.pattern {
            Pattern::Burst(rate) => {
                let within = micros(rate.per).max(1);
                let first = self.random.u64(..within);
                (rate.jobs > 0).then(|| (first, u64::from(rate.jobs)))
            }
            Pattern::Steady(_) | Pattern::Daily(..) | Pattern::Recorded { .. } => self.after(0),
        }
    }

    fn after(&mut self, now: Micros) -> Option<(Micros, u64)> {
        match &self.part.pattern {
            Pattern::Burst(rate) => Some((now + micros(rate.per), u64::from(rate.jobs))),
            Pattern::Steady(rate) => {
                let per_second = rate.per_second();
                (per_second > 0.0).then(|| {
                    let after = exponential(&mut self.random, per_second);
                    (now + of_seconds(after), 1)
                })
            }
            Pattern::Daily(least, most) => {
                let (least, most) = (least.per_second(), most.per_second());
                if most <= 0.0 {
                    return None;
                }
                // As many as at noon are drawn, and those kept that the hour allows.
                let mut at = now;
                loop {
                    at += of_seconds(exponential(&mut self.random, most)).max(1);
                    let turn = std::f64::consts::TAU * seconds(at) / DAY.as_secs_f64();
                    let rate = least + (most - least) * (1.0 - turn.cos()) / 2.0;
                    if self.random.f64() * most < rate {
                        return Some((at, 1));
                    }
                }
            }
            Pattern::Recorded { step, jobs } => {
                while self.moments.is_empty() {
                    // What is below one comes with the next.
                    self.rest += jobs.get(self.step)?;
                    let number = self.rest.round().max(0.0);
                    self.rest -= number;
                    let number = whole(number);
                    let (begin, length) = (micros(*step) * count(self.step), micros(*step).max(1));
                    let random = &mut self.random;
                    self.moments = (0..number).map(|_| begin + random.u64(..length)).collect();
                    self.moments.sort_unstable_by(|one, other| other.cmp(one));
                    self.step += 1;
                }
                self.moments.pop().map(|at| (at, 1))
            }
        }
    }

    fn job(&mut self, now: Micros, work: Work) -> Job {
        let part = self.part;
        let random = &mut self.random;
        let delay = part
            .delay
            .map_or(0, |(least, most)| random.u64(micros(least)..=micros(most)));
        let mut share = |Percent(percent)| percent > 0 && random.u8(..100) < percent;
        let (prioritized, failing) = (share(part.prioritized), share(part.failing));
        Job {
            ready: now + delay,
            work: work.draw(random),
            prioritized,
            retry: failing.then(|| micros(part.backoff)),
            killed: false,
        }
    }
}

/// The time until something that happens so often in a second.
fn exponential(random: &mut fastrand::Rng, per_second: f64) -> f64 {
    -(1.0 - random.f64()).ln() / per_second
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast stops at the ends of the range, and nothing is below zero"
)]
fn whole(number: f64) -> u64 {
    number as u64
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::time::SECOND;
    use super::*;

    /// The jobs of a load within a time.
    fn jobs(text: &str, within: Duration, seed: u64) -> Vec<(Micros, Job)> {
        let load = Load::parse(text).unwrap();
        let work = Work::new(Duration::from_secs(2), None);
        let mut arrivals = Arrivals::new(&load, work, seed);
        let mut jobs = Vec::new();
        while let Some(at) = arrivals.next().filter(|at| *at < micros(within)) {
            arrivals.take(at, |job| jobs.push((at, job)));
        }
        jobs
    }

    #[test]
    fn as_many_jobs_come_as_are_written_and_they_are_as_they_are_written() {
        let hours = Duration::from_hours;
        for (text, within, expected) in [
            ("steady=40/1s", hours(1), 144_000.0),
            ("daily=2/1s..16/1s", hours(24), 777_600.0),
            ("burst=500/2h", hours(24), 6000.0),
            ("steady=3600/1h+burst=100/6m", hours(1), 4600.0),
            ("steady=0/1s", hours(1), 0.0),
        ] {
            let number = f64::from(u32::try_from(jobs(text, within, 1).len()).unwrap());
            assert!(
                (number - expected).abs() <= expected * 0.02,
                "{text}: {number}"
            );
            let load = Load::parse(text).unwrap();
            assert!((load.expected(within) - expected).abs() < 1.0, "{text}");
        }
        let some = jobs(
            "steady=10/1s,delay=1m..2m,prioritized=25%,failing=10%",
            hours(1),
            1,
        );
        let share = |fits: fn(&Job) -> bool| {
            let fitting = some.iter().filter(|(_, job)| fits(job)).count();
            100 * fitting / some.len()
        };
        assert!(
            some.iter()
                .all(|(at, job)| (60..=120).contains(&((job.ready - at) / SECOND)))
        );
        assert!((24..=26).contains(&share(|job| job.prioritized)));
        assert!((9..=11).contains(&share(|job| job.retry.is_some())));
    }

    #[test]
    fn what_was_recorded_comes_again_step_by_step() {
        let minute = Duration::from_mins(1);
        let load = Load::recorded(minute, vec![3.0, 0.0, 0.4, 1.6]);
        let mut arrivals = Arrivals::new(&load, Work::new(minute, None), 1);
        let mut steps = Vec::new();
        while let Some(at) = arrivals.next() {
            arrivals.take(at, |_| steps.push(at / micros(minute)));
        }
        assert_eq!(steps, [0, 0, 0, 3, 3]);
        assert_eq!(load.length(), Some(minute * 4));
    }

    #[test]
    fn the_same_seed_gives_the_same_jobs_and_another_one_others() {
        let of = |seed| -> Vec<Micros> {
            let all = jobs("steady=1/1s", Duration::from_mins(5), seed);
            all.iter().map(|(at, job)| at + job.work).collect()
        };
        assert_eq!(of(1), of(1));
        assert_ne!(of(1), of(2));
    }
}

//! What comes in: jobs, when they are added, and what each is like.
//!
//! A load is written in one line, `steady=40/1s+burst=5000/2h,delay=10m..1h`: parts joined by `+`, each a pattern and its options. The
//! same seed gives the same jobs, whoever works on them.

use std::fmt;
use std::time::Duration;

use bullmq_vocabulary::prometheus_duration;

use super::pool::Job;
use super::time::{Micros, micros, of_seconds, seconds};
use crate::spec::closest;

/// A day, the period of what comes and goes with people.
const DAY: Duration = Duration::from_hours(24);
/// How long after its failure a job is tried again unless told.
const BACKOFF: Duration = Duration::from_mins(1);
/// The longest time that a load may name: what is beyond any simulation has no meaning.
const LONGEST: Duration = Duration::from_hours(24 * 366);
/// The patterns.
const PATTERNS: [&str; 3] = ["steady", "daily", "burst"];
/// What the jobs of a part can be like.
const OPTIONS: [&str; 4] = ["delay", "prioritized", "failing", "backoff"];

/// What comes in.
#[derive(Clone, Debug, PartialEq)]
pub struct Load {
    parts: Vec<Part>,
}

/// Jobs that come by one pattern.
#[derive(Clone, Debug, PartialEq)]
struct Part {
    pattern: Pattern,
    /// How long before they are due they are added, between the two.
    delay: Option<(Duration, Duration)>,
    /// The percentage that has a priority.
    prioritized: Percent,
    /// The percentage that fails once, and is tried again after `backoff`.
    failing: Percent,
    backoff: Duration,
}

#[derive(Clone, Debug, PartialEq)]
enum Pattern {
    /// Each job by itself, at random.
    Steady(Rate),
    /// The same, least at midnight and most at noon.
    Daily(Rate, Rate),
    /// So many at once, the first at a random moment of the first period.
    Burst(Rate),
    /// So many in each step of a time that was, at random within the step.
    Recorded { step: Duration, jobs: Vec<f64> },
}

/// Jobs in a time, as `100/1m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rate {
    jobs: u32,
    per: Duration,
}

/// A whole number of percent, at most 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Percent(u8);

impl Rate {
    fn per_second(self) -> f64 {
        f64::from(self.jobs) / self.per.as_secs_f64()
    }
}

impl Load {
    /// Reads a load as it is written.
    ///
    /// # Errors
    ///
    /// What is wrong with it, and what can be written instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        let parts: Result<Vec<_>, _> = text.split('+').map(part).collect();
        Ok(Self { parts: parts? })
    }

    /// The jobs that came in each step of a time that was.
    pub fn recorded(step: Duration, jobs: Vec<f64>) -> Self {
        Self {
            parts: vec![Part::of(Pattern::Recorded { step, jobs })],
        }
    }

    /// Jobs that come each by itself.
    pub(super) fn steady(jobs: u32, per: Duration) -> Self {
        Self {
            parts: vec![Part::of(Pattern::Steady(Rate { jobs, per }))],
        }
    }

    /// Jobs that come with the day.
    pub(super) fn daily(least: u32, most: u32, per: Duration) -> Self {
        let rate = |jobs| Rate { jobs, per };
        Self {
            parts: vec![Part::of(Pattern::Daily(rate(least), rate(most)))],
        }
    }

    /// Jobs that come all at once.
    pub(super) fn burst(jobs: u32, every: Duration) -> Self {
        let rate = Rate { jobs, per: every };
        Self {
            parts: vec![Part::of(Pattern::Burst(rate))],
        }
    }

    /// The same, where so many percent of the jobs fail once and are tried again.
    pub(super) fn failing(mut self, percent: u8, backoff: Duration) -> Self {
        for part in &mut self.parts {
            (part.failing, part.backoff) = (Percent(percent.min(100)), backoff);
        }
        self
    }

    /// How many jobs come within a time, on average.
    pub fn expected(&self, within: Duration) -> f64 {
        let of_part = |part: &Part| match &part.pattern {
            Pattern::Steady(rate) | Pattern::Burst(rate) => {
                rate.per_second() * within.as_secs_f64()
            }
            Pattern::Daily(least, most) => {
                let mean = f64::midpoint(least.per_second(), most.per_second());
                mean * within.as_secs_f64().max(DAY.as_secs_f64())
            }
            Pattern::Recorded { jobs, .. } => jobs.iter().sum(),
        };
        self.parts.iter().map(of_part).sum()
    }

    /// Whether it comes and goes with the day, so that a shorter time does not show it.
    pub(super) fn is_daily(&self) -> bool {
        let daily = |part: &Part| matches!(part.pattern, Pattern::Daily(..));
        self.parts.iter().any(daily)
    }

    /// How long it was, if it is one that was.
    pub(super) fn length(&self) -> Option<Duration> {
        self.parts.iter().find_map(|part| match &part.pattern {
            Pattern::Recorded { step, jobs } => {
                Some(step.saturating_mul(u32::try_from(jobs.len()).unwrap_or(u32::MAX)))
            }
            Pattern::Steady(_) | Pattern::Daily(..) | Pattern::Burst(_) => None,
        })
    }
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.parts.iter().enumerate() {
            if index > 0 {
                f.write_str("+")?;
            }
            part.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.jobs, prometheus_duration(self.per))
    }
}

impl fmt::Display for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pattern {
            Pattern::Steady(rate) => write!(f, "steady={rate}")?,
            Pattern::Daily(least, most) => write!(f, "daily={least}..{most}")?,
            Pattern::Burst(rate) => write!(f, "burst={rate}")?,
            Pattern::Recorded { step, jobs } => {
                let steps = u32::try_from(jobs.len()).unwrap_or(u32::MAX);
                let length = prometheus_duration(step.saturating_mul(steps));
                write!(
                    f,
                    "the last {length}, by steps of {}",
                    prometheus_duration(*step)
                )?;
            }
        }
        if let Some((least, most)) = self.delay {
            write!(f, ",delay={}", prometheus_duration(least))?;
            if most > least {
                write!(f, "..{}", prometheus_duration(most))?;
            }
        }
        for (name, Percent(percent)) in
            [("prioritized", self.prioritized), ("failing", self.failing)]
        {
            if percent > 0 {
                write!(f, ",{name}={percent}%")?;
            }
        }
        if self.failing != Percent(0) {
            write!(f, ",backoff={}", prometheus_duration(self.backoff))?;
        }
        Ok(())
    }
}

impl Part {
    fn of(pattern: Pattern) -> Self {
        Self {
            pattern,
            delay: None,
            prioritized: Percent(0),
            failing: Percent(0),
            backoff: BACKOFF,
        }
    }
}

fn part(text: &str) -> Result<Part, String> {
    let mut fields = text.split(',');
    let first = fields.next().unwrap_or_default();
    let (name, value) = first.split_once('=').unwrap_or((first, ""));
    let mut part = Part::of(match name {
        "steady" => Pattern::Steady(rate(value)?),
        "burst" => Pattern::Burst(rate(value)?),
        "daily" => {
            let (least, most) = value.split_once("..").ok_or_else(|| {
                format!("`{first}` has one rate; write the least and the most, such as `daily=2/1s..16/1s`")
            })?;
            let (least, most) = (rate(least)?, rate(most)?);
            if least.per_second() > most.per_second() {
                return Err(format!(
                    "`{first}` has more at night than by day; write the smaller rate first"
                ));
            }
            Pattern::Daily(least, most)
        }
        _ => return Err(unknown("pattern", name, &PATTERNS, "steady=40/1s")),
    });
    for field in fields {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        match name {
            "delay" => {
                let (least, most) = value.split_once("..").unwrap_or((value, value));
                let (least, most) = (time(least)?, time(most)?);
                if least > most {
                    return Err(format!(
                        "`{field}` ends before it begins; write the shorter delay first"
                    ));
                }
                part.delay = Some((least, most));
            }
            "prioritized" => part.prioritized = percent(value)?,
            "failing" => part.failing = percent(value)?,
            "backoff" => part.backoff = time(value)?,
            _ => return Err(unknown("option", name, &OPTIONS, "delay=10m..1h")),
        }
    }
    Ok(part)
}

fn unknown(what: &str, name: &str, known: &[&str], example: &str) -> String {
    let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let hint = match closest(name, known) {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!("there is {}, such as in `{example}`", names.join(", ")),
    };
    format!("there is no {what} `{}`; {hint}", name.escape_debug())
}

fn rate(text: &str) -> Result<Rate, String> {
    let wrong = || {
        format!(
            "`{}` is no number of jobs in a time; write it such as `40/1s` or `5000/2h`",
            text.escape_debug()
        )
    };
    let (jobs, per) = text.split_once('/').ok_or_else(wrong)?;
    // What a second is everybody knows: `40/s`.
    let per = if per.starts_with(|first: char| first.is_ascii_digit()) {
        per.to_owned()
    } else {
        format!("1{per}")
    };
    let read = (jobs.parse(), humantime::parse_duration(&per));
    let (Ok(jobs), Ok(per)) = read else {
        return Err(wrong());
    };
    if per < Duration::from_millis(1) || per > LONGEST {
        return Err(format!("`{text}`: the time goes from 1ms to a year"));
    }
    Ok(Rate { jobs, per })
}

fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time <= LONGEST => Ok(time),
        Ok(_) => Err(format!("`{text}` is longer than a year")),
        Err(_) => Err(format!(
            "`{}` is no time; write it such as `10m`, `90s` or `1h 30m`",
            text.escape_debug()
        )),
    }
}

fn percent(text: &str) -> Result<Percent, String> {
    let number = text
        .strip_suffix('%')
        .and_then(|number| number.parse().ok());
    match number {
        Some(number @ 0..=100) => Ok(Percent(number)),
        Some(_) | None => Err(format!(
            "`{}` is no share of the jobs; write it in whole percent, from `0%` to `100%`",
            text.escape_debug()
        )),
    }
}

/// How long jobs run: lognormal, which is what times of work are like, around a mean and up to a longest.
#[derive(Clone, Copy, Debug)]
pub(super) struct Work {
    /// The mean and the standard deviation of the logarithm of the seconds.
    location: f64,
    sigma: f64,
    longest: f64,
}

/// The quantile of the standard normal distribution below which 99 of 100 lie.
const NINETY_NINE: f64 = 2.326;
/// How many numbers stand for a distribution where its mean is looked for: one in a thousand is how far it is missed.
const SAMPLES: usize = 100_000;

impl Work {
    /// With a longest time, one job in a hundred would be longer, and is as long as that; without, the deviation is as large as the mean.
    pub(super) fn new(mean: Duration, longest: Option<Duration>) -> Self {
        let mean = mean.as_secs_f64().max(1e-6);
        let Some(longest) = longest.map(|longest| longest.as_secs_f64()) else {
            let variance = 2.0_f64.ln();
            return Self {
                location: mean.ln() - variance / 2.0,
                sigma: variance.sqrt(),
                longest: f64::INFINITY,
            };
        };
        // The smaller of the two deviations whose 99th percentile is so many times the mean; none has one beyond e^2.7.
        let ratio = (longest / mean).ln().max(0.0);
        let sigma = NINETY_NINE - (NINETY_NINE * NINETY_NINE - 2.0 * ratio).max(0.0).sqrt();
        // What is cut off at the end would be missing from the mean: the rest is moved until it is right.
        let mut random = fastrand::Rng::with_seed(0);
        let numbers: Vec<f64> = (0..SAMPLES).map(|_| normal(&mut random)).collect();
        let average = |location: f64| {
            let times = numbers
                .iter()
                .map(|number| (location + sigma * number).exp().min(longest));
            times.sum::<f64>() / f64::from(u32::try_from(SAMPLES).unwrap_or(u32::MAX))
        };
        let (mut low, mut high) = (mean.ln() - sigma * sigma, longest.ln() + sigma);
        for _ in 0..40 {
            let middle = f64::midpoint(low, high);
            if average(middle) < mean {
                low = middle;
            } else {
                high = middle;
            }
        }
        Self {
            location: low,
            sigma,
            longest,
        }
    }

    fn draw(self, random: &mut fastrand::Rng) -> Micros {
        let work = (self.location + self.sigma * normal(random)).exp();
        of_seconds(work.min(self.longest)).max(1)
    }
}

/// A number of the standard normal distribution, by Box and Muller.
fn normal(random: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - random.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * random.f64()).cos()
}

/// The time until something that happens so often in a second.
fn exponential(random: &mut fastrand::Rng, per_second: f64) -> f64 {
    -(1.0 - random.f64()).ln() / per_second
}

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
                Some((self.random.u64(..within), u64::from(rate.jobs)))
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
                    let number = whole(jobs.get(self.step)?.round());
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

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
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
    use super::super::time::SECOND;
    use super::*;

    #[test]
    fn a_load_is_read_as_it_is_written_and_written_as_it_is_read() {
        for text in [
            "steady=40/1s",
            "daily=2/1s..16/1s",
            "burst=5000/2h",
            "burst=300/1h,delay=10m..1h",
            "steady=4/1h,failing=10%,backoff=5m",
            "steady=2/1s,prioritized=50%+burst=10/1d,delay=1m",
        ] {
            assert_eq!(Load::parse(text).unwrap().to_string(), text);
        }
        assert_eq!(
            Load::parse("steady=40/s").unwrap().to_string(),
            "steady=40/1s"
        );
        assert_eq!(
            Load::parse("burst=1/90m").unwrap().to_string(),
            "burst=1/1h30m"
        );
    }

    #[test]
    fn what_is_wrong_with_a_load_says_what_to_write() {
        for (text, expected) in [
            (
                "",
                "there is no pattern ``; there is `steady`, `daily`, `burst`, such as in `steady=40/1s`",
            ),
            ("stead=1/s", "did you mean `steady`?"),
            ("steady", "write it such as `40/1s`"),
            ("steady=40", "write it such as `40/1s`"),
            ("steady=-1/s", "write it such as `40/1s`"),
            ("steady=1/0s", "the time goes from 1ms to a year"),
            ("steady=1/99999d", "the time goes from 1ms to a year"),
            (
                "daily=2/s",
                "write the least and the most, such as `daily=2/1s..16/1s`",
            ),
            ("daily=3/s..2/s", "write the smaller rate first"),
            ("burst=1/h,delya=1m", "did you mean `delay`?"),
            ("burst=1/h,delay=2m..1m", "write the shorter delay first"),
            ("burst=1/h,delay=soon", "`soon` is no time"),
            ("burst=1/h,failing=0.5", "from `0%` to `100%`"),
            ("burst=1/h,failing=101%", "from `0%` to `100%`"),
            ("burst=1/h+", "there is no pattern ``"),
            ("burst=1/h,\u{1b}[31m=1", "there is no option `\\u{1b}[31m`"),
        ] {
            let error = Load::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

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

    #[test]
    fn jobs_run_as_long_as_is_told_on_average_and_at_the_longest() {
        let seconds = Duration::from_secs;
        for (mean, longest, median) in [
            (seconds(2), None, 1.41),
            // A heavy tail, whose end the longest cuts off.
            (seconds(60), Some(seconds(600)), 23.3),
            (seconds(2), Some(seconds(2)), 2.0),
        ] {
            let work = Work::new(mean, longest);
            let mut random = fastrand::Rng::with_seed(1);
            let mut times: Vec<f64> = (0..100_000)
                .map(|_| super::super::time::seconds(work.draw(&mut random)))
                .collect();
            times.sort_by(f64::total_cmp);
            let half = times.get(50_000).copied().unwrap();
            assert!((half / median - 1.0).abs() < 0.03, "{mean:?}: {half}");
            let average = times.iter().sum::<f64>() / 100_000.0;
            assert!(
                (average / mean.as_secs_f64() - 1.0).abs() < 0.02,
                "{mean:?}: {average}"
            );
            let most = times.last().copied().unwrap();
            assert!(longest.is_none_or(|longest| most <= longest.as_secs_f64()));
        }
    }
}

//! What comes in: jobs, when they are added, and what each is like.
//!
//! A load is written in one line, `steady=40/1s+burst=5000/2h,delay=10m..1h`: parts joined by `+`, each a pattern and its options. The
//! same seed gives the same jobs, whoever works on them.

use std::fmt;
use std::time::Duration;

use bullmq_vocabulary::prometheus_duration;

use crate::spec::closest;

/// A day, the period of what comes and goes with people.
pub(super) const DAY: Duration = Duration::from_hours(24);
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
    pub(super) parts: Vec<Part>,
}

/// Jobs that come by one pattern.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Part {
    pub(super) pattern: Pattern,
    /// How long before they are due they are added, between the two.
    pub(super) delay: Option<(Duration, Duration)>,
    /// The percentage that has a priority.
    pub(super) prioritized: Percent,
    /// The percentage that fails once, and is tried again after `backoff`.
    pub(super) failing: Percent,
    pub(super) backoff: Duration,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Pattern {
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
pub(super) struct Rate {
    pub(super) jobs: u32,
    pub(super) per: Duration,
}

/// A whole number of percent, at most 100.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Percent(pub(super) u8);

impl Rate {
    pub(super) fn per_second(self) -> f64 {
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
                // From midnight on.
                let (least, more) = (least.per_second(), most.per_second() - least.per_second());
                let (time, day) = (within.as_secs_f64(), DAY.as_secs_f64());
                let turn = std::f64::consts::TAU * time / day;
                (least + more / 2.0) * time
                    - more * day / (2.0 * std::f64::consts::TAU) * turn.sin()
            }
            Pattern::Recorded { jobs, .. } => jobs.iter().sum(),
        };
        self.parts.iter().map(of_part).sum()
    }

    /// How many jobs can come within a time, where all bursts come that can.
    pub(super) fn most(&self, within: Duration) -> f64 {
        let bursts = self.parts.iter().filter_map(|part| match part.pattern {
            Pattern::Burst(rate) => Some(f64::from(rate.jobs)),
            Pattern::Steady(_) | Pattern::Daily(..) | Pattern::Recorded { .. } => None,
        });
        self.expected(within) + bursts.sum::<f64>()
    }

    /// How long it takes until everything that it has came, twice, and was due.
    pub(super) fn cycle(&self) -> Duration {
        let of_part = |part: &Part| {
            let period = match part.pattern {
                Pattern::Burst(rate) => rate.per * 2,
                Pattern::Steady(_) | Pattern::Daily(..) | Pattern::Recorded { .. } => {
                    Duration::ZERO
                }
            };
            period + part.delay.map_or(Duration::ZERO, |(_, longest)| longest)
        };
        self.parts.iter().map(of_part).max().unwrap_or_default()
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
    if name.is_empty() {
        return Err(
            "a pattern is missing; write it such as `steady=40/1s`, and `+` between two only"
                .to_owned(),
        );
    }
    let mut part = Part::of(match name {
        "steady" => Pattern::Steady(rate(value)?),
        "burst" => Pattern::Burst(rate(value)?),
        "daily" => {
            let (least, most) = value.split_once("..").ok_or_else(|| {
                let first = first.escape_debug();
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
    let mut given = Vec::new();
    for field in fields {
        let (name, value) = field.split_once('=').unwrap_or((field, ""));
        if given.contains(&name) {
            return Err(format!(
                "`{}` is there twice; write it once",
                name.escape_debug()
            ));
        }
        given.push(name);
        match name {
            "delay" => {
                let (least, most) = value.split_once("..").unwrap_or((value, value));
                let (least, most) = (time(least)?, time(most)?);
                if least > most {
                    return Err(format!(
                        "`{}` ends before it begins; write the shorter delay first",
                        field.escape_debug()
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
    if given.contains(&"backoff") && part.failing == Percent(0) {
        return Err(
            "`backoff` says nothing where no job fails; write `failing=10%` too, or leave it out"
                .to_owned(),
        );
    }
    Ok(part)
}

fn unknown(what: &str, name: &str, known: &[&str], example: &str) -> String {
    let names: Vec<String> = known.iter().map(|name| format!("`{name}`")).collect();
    let hint = match closest(name, known) {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!("write one of {}, such as in `{example}`", names.join(", ")),
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

#[cfg(test)]
mod tests {
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
            ("", "a pattern is missing; write it such as `steady=40/1s`"),
            (
                "waves=1/s",
                "write one of `steady`, `daily`, `burst`, such as in `steady=40/1s`",
            ),
            ("burst=1/h,delay=1m,delay=2m", "`delay` is there twice"),
            (
                "burst=1/h,backoff=1m",
                "`backoff` says nothing where no job fails",
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
            ("burst=1/h+", "a pattern is missing"),
            ("burst=1/h,\u{1b}[31m=1", "there is no option `\\u{1b}[31m`"),
        ] {
            let error = Load::parse(text).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_text_is_more_than_a_load_cannot_be(text in "[a-z0-9=/.,+%: -]{0,40}", any in ".{0,20}") {
            for text in [text, any.clone(), format!("steady={any}"), format!("burst=1/1h,delay={any}")] {
                if let Ok(load) = Load::parse(&text) {
                    let again = Load::parse(&load.to_string()).map(|again| again.to_string());
                    proptest::prop_assert_eq!(again, Ok(load.to_string()));
                }
            }
        }
    }
}

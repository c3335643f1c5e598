//! What came in over a time until now, as Prometheus knows it: the load of `bullmq-keda simulate --history`.

use std::time::Duration;

use anyhow::{Context as _, bail};
use bullmq_vocabulary::{metric, prometheus_duration};

use super::access::{self, Access, Server};
use super::patience::patiently;
use super::{Streams, time_within};
use crate::counted::counted;
use crate::http::Client;
use crate::plan::scope;
use crate::prometheus_api::{Range, Tenant, ask_range};
use crate::simulation::{LONGEST, Load};
use crate::workload::Workload;

/// The largest answer: ten thousand figures take less than a megabyte.
const MOST_BYTES: u64 = 64 << 20;
/// The shortest step of what was: what comes in within a minute comes at random in it.
const STEP: Duration = Duration::from_mins(1);
/// The most steps: Prometheus answers 11,000 at once (`exceeded maximum resolution of 11,000 points per timeseries`,
/// <https://github.com/prometheus/prometheus/blob/v3.5.0/web/api/v1/api.go>).
const MOST_STEPS: u32 = 10_000;

/// How far back, from an hour on: a shorter time is the weather.
pub(super) fn length(text: &str) -> Result<Duration, String> {
    time_within(text, Duration::from_hours(1)..=LONGEST, "1h to 31d", "7d")
}

/// What came in until now, and who knows it.
pub(super) struct Past {
    time: Duration,
    client: Client,
    asked: Option<String>,
    quiet: bool,
}

impl Past {
    /// What this server knows of this time.
    ///
    /// # Errors
    /// With the flag that cannot be used.
    pub(super) fn new(
        time: Duration,
        server: &Server,
        access: &Access,
        quiet: bool,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            time,
            client: access.client(MOST_BYTES)?,
            asked: server.address()?,
            quiet,
        })
    }

    /// The jobs that were added to the queues of a worker.
    pub(super) fn load(
        &self,
        workload: &Workload,
        streams: &mut Streams<'_>,
    ) -> anyhow::Result<Load> {
        let prometheus = &workload.prometheus;
        let server_address = prometheus.server_address.as_str();
        let asked = self.asked.as_deref().unwrap_or(server_address);
        // A step without a scrape would have nothing, and the next one everything.
        let least = STEP.max(prometheus.scrape_interval);
        let minutes = (self.time / MOST_STEPS).max(least).as_secs().div_ceil(60);
        let step = Duration::from_mins(minutes);
        let steps = self.time.as_secs() / step.as_secs().max(1);
        let end = access::now().as_secs() / step.as_secs().max(1) * step.as_secs();
        let times = Range {
            // What was before the first step is where it begins.
            start: Duration::from_secs(end.saturating_sub(steps * step.as_secs())),
            end: Duration::from_secs(end),
            step,
        };
        let query = scope(workload, |_| true).added_by_queue().to_string();
        let answer = patiently(
            || ask_range(&self.client, asked, &query, times, Tenant::of(prometheus)),
            || {
                if !self.quiet {
                    // Nobody misses a word of comfort that cannot be written.
                    let _ = writeln!(streams.stderr, "question to {asked} ...");
                }
            },
        );
        let answer = answer.map_err(|error| access::unanswered(&error, asked, server_address))?;
        let steps = usize::try_from(steps).unwrap_or(0);
        let (mut jobs, mut known) = (vec![0.0; steps], vec![false; steps]);
        for series in &answer.series {
            let mut counts = vec![None; steps + 1];
            for (time, value) in &series.samples {
                if let Some(count) = place(*time, times).and_then(|place| counts.get_mut(place)) {
                    *count = Some(*value).filter(|value| value.is_finite());
                }
            }
            let added = added(&counts);
            for ((all, is_known), added) in jobs.iter_mut().zip(&mut known).zip(added) {
                *all += added.unwrap_or(0.0);
                *is_known |= added.is_some();
            }
        }
        let missing = known.iter().filter(|is_known| !**is_known).count();
        let time = prometheus_duration(self.time);
        if missing == steps {
            bail!(
                "Prometheus at {asked} knows no {} of the queues of `{}` in the last {time}; `bullmq-keda verify` tells what it knows of them",
                metric::JOB_ADDED_TOTAL.name,
                workload.name
            );
        }
        if missing > 0 && !self.quiet {
            writeln!(
                streams.stderr,
                "warning: of {} of {steps} nothing is known of `{}`: no job is assumed to have come in them",
                counted(missing, "step"),
                workload.name
            )
            .context("cannot write to stderr")?;
        }
        Ok(Load::recorded(step, jobs))
    }
}

/// How many jobs were added in each step between two counts, where that can be told: what was added while nothing was counted came evenly in that time.
/// A count that falls began anew.
fn added(counts: &[Option<f64>]) -> Vec<Option<f64>> {
    let mut added = vec![None; counts.len().saturating_sub(1)];
    let mut before: Option<(usize, f64)> = None;
    for (place, count) in counts.iter().enumerate() {
        let Some(count) = *count else { continue };
        if let Some((last, was)) = before {
            let more = if count < was { count } else { count - was };
            let steps = added.iter_mut().take(place).skip(last);
            let share = more / f64::from(u32::try_from(place - last).unwrap_or(u32::MAX));
            steps.for_each(|step| *step = Some(share));
        }
        before = Some((place, count));
    }
    added
}

/// The place of a moment among those that were asked for.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast stops at the ends of the range"
)]
fn place(time: f64, times: Range) -> Option<usize> {
    let since = time - times.start.as_secs_f64();
    let place = (since / times.step.as_secs_f64()).round();
    (place >= 0.0).then_some(place as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_added_is_the_difference_of_counts_and_a_gap_is_filled_evenly() {
        let none = None;
        for (counts, expected) in [
            (
                vec![Some(5.0), Some(5.0), Some(8.0)],
                vec![Some(0.0), Some(3.0)],
            ),
            (
                vec![none, Some(5.0), Some(7.0), none],
                vec![none, Some(2.0), none],
            ),
            (vec![Some(1.0), none, none, Some(7.0)], vec![Some(2.0); 3]),
            // It was deleted, and made anew with two jobs.
            (
                vec![Some(100.0), Some(2.0), Some(3.0)],
                vec![Some(2.0), Some(1.0)],
            ),
            (vec![Some(1.0)], vec![]),
            (vec![], vec![]),
        ] {
            assert_eq!(added(&counts), expected, "{counts:?}");
        }
    }
}

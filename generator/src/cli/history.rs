//! What came in over a time until now, as Prometheus knows it: the load of `bullmq-keda simulate --history`.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bullmq_vocabulary::{metric, prometheus_duration};

use super::Streams;
use super::access::{self, Access, Server, hint};
use super::patience::patiently;
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
    match humantime::parse_duration(text) {
        Ok(time) if (Duration::from_hours(1)..=LONGEST).contains(&time) => Ok(time),
        Ok(_) => Err("write a time from 1h to 31d".to_owned()),
        Err(_) => Err("write a number with a unit, such as `7d`".to_owned()),
    }
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
        // An increase needs two samples, and one may be missing.
        let least = STEP.max(prometheus.scrape_interval * 4);
        let minutes = (self.time / MOST_STEPS).max(least).as_secs().div_ceil(60);
        let step = Duration::from_mins(minutes);
        let steps = self.time.as_secs() / step.as_secs().max(1);
        let end = access::now().as_secs() / step.as_secs().max(1) * step.as_secs();
        let times = Range {
            start: Duration::from_secs(
                end.saturating_sub(steps.saturating_sub(1) * step.as_secs()),
            ),
            end: Duration::from_secs(end),
            step,
        };
        let query = scope(workload, |_| true).added_within(step).to_string();
        let answer = patiently(
            || ask_range(&self.client, asked, &query, times, Tenant::of(prometheus)),
            || {
                if !self.quiet {
                    // Nobody misses a word of comfort that cannot be written.
                    let _ = writeln!(streams.stderr, "question to {asked} ...");
                }
            },
        );
        let answer = answer.map_err(|error| {
            let error = anyhow!("cannot ask Prometheus at {asked}: {error}");
            match hint(asked, server_address) {
                Some(hint) => anyhow!("{error}\n  {hint}"),
                None => error,
            }
        })?;
        let mut jobs = vec![None; usize::try_from(steps).unwrap_or(0)];
        let samples = answer.series.iter().flat_map(|series| &series.samples);
        for (time, value) in samples.filter(|(_, value)| value.is_finite() && *value >= 0.0) {
            if let Some(place) = place(*time, times).and_then(|place| jobs.get_mut(place)) {
                *place = Some(*value);
            }
        }
        let known = jobs.iter().flatten().count();
        let missing = jobs.len() - known;
        let time = prometheus_duration(self.time);
        if known == 0 {
            bail!(
                "Prometheus at {asked} knows no {} of the queues of `{}` in the last {time}; `bullmq-keda verify` tells what it knows of them",
                metric::JOB_ADDED_TOTAL.name,
                workload.name
            );
        }
        if missing > 0 && !self.quiet {
            writeln!(
                streams.stderr,
                "warning: of {} of {} nothing is known of `{}`: no job is assumed to have come in them",
                counted(missing, "step"),
                jobs.len(),
                workload.name
            )
            .context("cannot write to stderr")?;
        }
        let jobs = jobs.into_iter().map(Option::unwrap_or_default).collect();
        Ok(Load::recorded(step, jobs))
    }
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

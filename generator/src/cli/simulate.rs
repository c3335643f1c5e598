//! `bullmq-keda simulate`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};

use super::access::{self, Access, Server, hint};
use super::patience::patiently;
use super::{Outcome, Streams, input};
use crate::counted::counted;
use crate::document::Dialect;
use crate::http::Client;
use crate::plan::scope;
use crate::prometheus_api::{Range, Tenant, ask_range};
use crate::simulation::{
    Error as CannotSimulate, Load, SHORTEST, Simulation, Wishes, json, simulate, text, usual_loads,
};
use crate::workload::Workload;
use crate::{Error, report, workloads};

use bullmq_vocabulary::{metric, prometheus_duration};

/// Play a load through the whole control loop: how long jobs wait, how many replicas there are, what they cost.
///
/// Jobs come, Prometheus scrapes, KEDA polls, the HPA looks, replicas start and end. The worker as its spec says stands beside the
/// other policies, KEDA's trigger on a Redis list, and the largest number of replicas. Nothing is asked of a cluster.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Specs to read; `-` is stdin
    #[arg(value_name = "SPEC", required = true)]
    specs: Vec<PathBuf>,
    /// Only this worker; repeatable
    #[arg(long = "worker", value_name = "NAME")]
    workers: Vec<String>,
    /// What comes in, such as `steady=40/1s`; repeatable, each played by itself. Unless told: four loads of the worker's size
    #[arg(long = "load", value_name = "LOAD", value_parser = Load::parse)]
    loads: Vec<Load>,
    /// Instead: what came in over this time until now, as Prometheus knows it by `bullmq_job_added_total`
    #[arg(long, value_name = "TIME", value_parser = history, conflicts_with_all = ["loads", "length"])]
    history: Option<Duration>,
    /// How long it comes in; unless told, some hours, or a day where it comes with the day
    #[arg(long = "for", value_name = "TIME", value_parser = length)]
    length: Option<Duration>,
    /// How soon a job should start; unless told, as `startWithin` says, or 30s
    #[arg(long, value_name = "TIME", value_parser = time)]
    within: Option<Duration>,
    /// The mean time of a job, instead of the spec's `job.mean`
    #[arg(long, value_name = "TIME", value_parser = time)]
    mean: Option<Duration>,
    /// How long a replica may take to end: the pods' `terminationGracePeriodSeconds`
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = time)]
    grace: Duration,
    /// Another course of the same load
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// Text for people, or JSON for programs
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    access: Access,
}

const EXAMPLES: &str = "\
Loads, each a pattern with options, several joined by `+`:
  steady=40/1s              so many jobs in a time, each by itself
  daily=2/1s..16/1s         between two rates, least at midnight
  burst=5000/2h             so many at once, again and again
  ,delay=10m..1h            added so long before they are due
  ,prioritized=50%          so many with a priority
  ,failing=10%,backoff=1m   so many fail once and are tried again

Examples:
  bullmq-keda simulate spec.yaml
  bullmq-keda simulate spec.yaml --load 'steady=40/1s+burst=5000/2h' --for 1d
  bullmq-keda simulate spec.yaml --worker email --load burst=300/1h,delay=10m..1h --within 1m
  bullmq-keda simulate spec.yaml --history 7d --prometheus http://localhost:9090
  bullmq-keda simulate spec.yaml --output json | jq '.simulations[].outcomes[0]'";

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

/// The longest time that is simulated.
const LONGEST: Duration = Duration::from_hours(24 * 31);

fn time(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if time >= Duration::from_millis(1) && time <= Duration::from_hours(24) => {
            Ok(time)
        }
        Ok(_) => Err("write a time from 1ms to 24h".to_owned()),
        Err(_) => Err("write a number with a unit, such as `30s`".to_owned()),
    }
}

fn length(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if (SHORTEST..=LONGEST).contains(&time) => Ok(time),
        Ok(_) => Err("write a time from 10m to 31d".to_owned()),
        Err(_) => Err("write a number with a unit, such as `6h`".to_owned()),
    }
}

fn history(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(time) if (Duration::from_hours(1)..=LONGEST).contains(&time) => Ok(time),
        Ok(_) => Err("write a time from 1h to 31d".to_owned()),
        Err(_) => Err("write a number with a unit, such as `7d`".to_owned()),
    }
}

pub(super) fn run(args: &Args, quiet: bool, streams: &mut Streams<'_>) -> anyhow::Result<Outcome> {
    let inputs = input::read_all(&args.specs, Dialect::SPEC, streams.stdin)?;
    let workloads = match workloads(inputs) {
        Ok((workloads, _)) => workloads,
        Err(Error::Invalid { problems, sources }) => {
            let text = report::text(&problems, &sources, "nothing was simulated", streams.colour);
            let written = streams.stderr.write_all(text.as_bytes());
            written.context("cannot write to stderr")?;
            return Ok(Outcome::Invalid);
        }
        Err(Error::Output(error)) => return Err(error.into()),
    };
    let names: Vec<&str> = workloads.iter().map(|one| one.name.as_str()).collect();
    if let Some(name) = args
        .workers
        .iter()
        .find(|name| !names.contains(&name.as_str()))
    {
        return super::unknown("worker", name, &names, streams);
    }
    let wishes = Wishes {
        length: args.length,
        within: args.within,
        mean: args.mean,
        grace: args.grace,
        seed: args.seed,
    };
    let wanted =
        |workload: &&Workload| args.workers.is_empty() || args.workers.contains(&workload.name);
    let past = match args.history {
        Some(time) => Some(Past {
            time,
            client: args.access.client(MOST_BYTES)?,
            asked: args.server.address()?,
            quiet,
        }),
        None => None,
    };
    let mut simulations: Vec<Simulation> = Vec::new();
    let mut jobs: Vec<String> = Vec::new();
    for workload in workloads.iter().filter(wanted) {
        let loads = match &past {
            Some(past) => vec![past.load(workload, streams)?],
            None if args.loads.is_empty() => usual_loads(workload, &wishes),
            None => args.loads.clone(),
        };
        for load in &loads {
            let simulated = patiently(
                || simulate(workload, load, &wishes),
                || {
                    if !quiet {
                        // Nobody misses a word of comfort that cannot be written.
                        let _ = writeln!(streams.stderr, "{}: {load} ...", workload.name);
                    }
                },
            );
            match simulated {
                Ok(simulation) => simulations.push(simulation),
                Err(CannotSimulate::Jobs(name)) => jobs.push(name),
                Err(error @ CannotSimulate::TooMany { .. }) => return Err(error.into()),
            }
        }
    }
    jobs.dedup();
    for name in jobs {
        let error = CannotSimulate::Jobs(name);
        if simulations.is_empty() {
            return Err(error.into());
        }
        if !quiet {
            writeln!(streams.stderr, "note: {error}").context("cannot write to stderr")?;
        }
    }
    let printed = match args.output {
        Format::Text => text(&simulations, streams.screen),
        Format::Json => format!("{:#}\n", json(&simulations)?),
    };
    let written = streams.stdout.write_all(printed.as_bytes());
    written
        .and_then(|()| streams.stdout.flush())
        .context("cannot write to stdout")?;
    Ok(Outcome::Made)
}

/// The largest answer: ten thousand figures take less than a megabyte.
const MOST_BYTES: u64 = 64 << 20;
/// The shortest step of what was: what comes in within a minute comes at random in it.
const STEP: Duration = Duration::from_mins(1);
/// The most steps: Prometheus answers 11,000 at once (`exceeded maximum resolution of 11,000 points per timeseries`,
/// <https://github.com/prometheus/prometheus/blob/v3.5.0/web/api/v1/api.go>).
const MOST_STEPS: u32 = 10_000;

/// What came in until now, and who knows it.
struct Past {
    time: Duration,
    client: Client,
    asked: Option<String>,
    quiet: bool,
}

impl Past {
    /// The jobs that were added to the queues of a worker.
    fn load(&self, workload: &Workload, streams: &mut Streams<'_>) -> anyhow::Result<Load> {
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

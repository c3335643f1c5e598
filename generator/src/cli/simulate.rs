//! `bullmq-keda simulate`.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Context as _;

use super::access::{Access, Server};
use super::history::{self, Past};
use super::patience::patiently;
use super::{Outcome, Streams, input, print, tell_problems, time_within, unknown};
use crate::document::Dialect;
use crate::simulation::{
    LONGEST, Load, SHORTEST, Simulation, Wishes, json, possible, scales, simulate, text,
    usual_loads,
};
use crate::workload::Workload;
use crate::workloads;

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
    #[arg(long, value_name = "TIME", value_parser = history::length, conflicts_with_all = ["loads", "length"])]
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

fn time(text: &str) -> Result<Duration, String> {
    let bounds = Duration::from_millis(1)..=Duration::from_hours(24);
    time_within(text, bounds, "1ms to 24h", "30s")
}

fn length(text: &str) -> Result<Duration, String> {
    time_within(text, SHORTEST..=LONGEST, "10m to 31d", "6h")
}

pub(super) fn run(args: &Args, quiet: bool, streams: &mut Streams<'_>) -> anyhow::Result<Outcome> {
    let inputs = input::read_all(&args.specs, Dialect::SPEC, streams.stdin)?;
    let workloads = match workloads(inputs) {
        Ok((workloads, _)) => workloads,
        Err(error) => return tell_problems(error, "nothing was simulated", streams),
    };
    let names: Vec<&str> = workloads.iter().map(|one| one.name.as_str()).collect();
    if let Some(name) = args
        .workers
        .iter()
        .find(|name| !names.contains(&name.as_str()))
    {
        return unknown("worker", name, &names, streams);
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
        Some(time) => Some(Past::new(time, &args.server, &args.access, quiet)?),
        None => None,
    };
    // What cannot be is told before anything is played.
    let mut wanted_loads = Vec::new();
    let mut jobs = Vec::new();
    for workload in workloads.iter().filter(wanted) {
        if let Err(error) = scales(workload) {
            jobs.push(error);
            continue;
        }
        let loads = match &past {
            Some(past) => vec![past.load(workload, streams)?],
            None if args.loads.is_empty() => usual_loads(workload, &wishes),
            None => args.loads.clone(),
        };
        for load in &loads {
            possible(workload, load, &wishes)?;
        }
        wanted_loads.push((workload, loads));
    }
    for error in jobs {
        if wanted_loads.is_empty() {
            return Err(error.into());
        }
        if !quiet {
            writeln!(streams.stderr, "note: {error}").context("cannot write to stderr")?;
        }
    }
    let mut simulations: Vec<Simulation> = Vec::new();
    for (workload, loads) in &wanted_loads {
        for load in loads {
            simulations.push(patiently(
                || simulate(workload, load, &wishes),
                || {
                    if !quiet {
                        // Nobody misses a word of comfort that cannot be written.
                        let _ = writeln!(streams.stderr, "{}: {load} ...", workload.name);
                    }
                },
            )?);
        }
    }
    match args.output {
        Format::Text => print(&text(&simulations, streams.screen), streams),
        Format::Json => print(&format!("{:#}\n", json(&simulations)?), streams),
    }
}

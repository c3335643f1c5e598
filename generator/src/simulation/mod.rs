//! A worker under a load, through the whole control loop: how long jobs wait, how many replicas there are, what they cost; and the same
//! under the other policies, and under what people have without them.
//!
//! Jobs come by a [`Load`] and are worked on event by event (`pool`); Prometheus scrapes and is asked (`view`), by the very expressions that
//! are printed ([`Query::value`](crate::query::Query::value)); KEDA and the HPA decide as their code does ([`control_loop`](crate::control_loop)).
//! Nothing is random but by the seed: the same spec, load and seed give the same figures.
//!
//! Not simulated: nodes that have to be made, a scrape or an answer that takes time, Redis' own limits, outages (`explain` tells what those do), several
//! queues of one worker apart from each other.

mod arrivals;
mod contender;
mod json;
mod load;
mod play;
mod pool;
mod tally;
mod text;
mod time;
mod view;
mod work;

use std::thread;
use std::time::Duration;

use bullmq_vocabulary::prometheus_duration;
use serde::Serialize;

use crate::workload::{Policy, Workload};
use contender::Contender;
use play::{Played, STEPS, Setting, play};
use pool::Traits;
use time::{micros, seconds};
use work::Work;

pub use json::json;
pub use load::Load;
pub use text::text;

/// The most jobs of one load: half a minute of work, and, where none of them is worked on, about a gigabyte for each contender.
pub const MOST_JOBS: f64 = 20e6;
/// What passes before anything counts, besides the startup of a replica: the replicas come to what the load wants.
pub const WARM_UP: Duration = Duration::from_mins(15);
/// The mean time of a job that nobody told.
pub const ASSUMED_MEAN: Duration = Duration::from_secs(1);
/// The startup of a replica that nobody told.
pub const ASSUMED_STARTUP: Duration = Duration::from_secs(30);
/// How soon jobs should start unless told.
pub const DEFAULT_WITHIN: Duration = Duration::from_secs(30);
/// How long a replica may take to end, unless told: Kubernetes' own default,
/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination>.
pub const DEFAULT_GRACE: Duration = Duration::from_secs(30);
/// How many jobs a load of ours has, at most or nearly: some seconds of work for all contenders.
const OUR_JOBS: f64 = 1e6;
/// How long most loads last that do not say.
const USUAL_LENGTH: Duration = Duration::from_hours(6);
/// A day, which is how long a load lasts that comes and goes with it.
const DAY: Duration = Duration::from_hours(24);
/// The longest time that is simulated.
pub const LONGEST: Duration = Duration::from_hours(24 * 31);
/// The shortest time that says anything.
pub const SHORTEST: Duration = Duration::from_mins(10);

/// What is asked beside the spec.
#[derive(Clone, Debug)]
pub struct Wishes {
    /// How long the load lasts.
    pub length: Option<Duration>,
    /// How soon a job should start.
    pub within: Option<Duration>,
    /// The mean time of a job, instead of the spec's.
    pub mean: Option<Duration>,
    /// How long a replica may take to end.
    pub grace: Duration,
    /// Which of all possible courses.
    pub seed: u64,
}

/// What a worker did under a load, and what others would have done.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Simulation {
    /// The worker.
    pub worker: String,
    /// The load, as it is written.
    pub load: String,
    /// How long it lasted after the warm-up.
    pub seconds: u64,
    /// How soon a job should start.
    pub within_seconds: f64,
    /// What was taken for the jobs and the replicas.
    pub assumptions: Assumptions,
    /// What came of it, the spec's own way first.
    pub outcomes: Vec<Outcome>,
    /// The length of a step in the courses, in seconds.
    pub step_seconds: f64,
}

/// What was taken for the jobs and the replicas, and which of it nobody told.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Assumptions {
    /// Jobs that one replica runs at once.
    pub concurrency: u32,
    /// The mean time of a job.
    pub mean_seconds: f64,
    /// The longest time of a job, if there is one.
    pub longest_seconds: Option<f64>,
    /// From a replica's creation to its first job.
    pub startup_seconds: f64,
    /// How long a replica may take to end.
    pub grace_seconds: f64,
    /// The smallest and the largest number of replicas.
    pub replicas: [u32; 2],
    /// The fields of the spec that are not told: `concurrency`, `job.mean`, `startup`.
    pub untold: Vec<&'static str>,
    /// Which of all possible courses.
    pub seed: u64,
}

/// What came of one way of having replicas.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// What it is called.
    pub name: String,
    /// Whether it is what the spec says.
    pub of_spec: bool,
    /// What it is, where its name does not tell.
    pub note: Option<String>,
    /// Jobs that started, or that waited for longer than they should. A job that is tried again is another one.
    pub jobs: u64,
    /// How many of a hundred started in time; none if there were no jobs.
    pub in_time_percent: Option<f64>,
    /// Within so many seconds half of the jobs started.
    pub wait_p50_seconds: f64,
    /// The same for 95 of a hundred.
    pub wait_p95_seconds: f64,
    /// The same for 99 of a hundred.
    pub wait_p99_seconds: f64,
    /// The longest wait.
    pub longest_wait_seconds: f64,
    /// Jobs that waited for more than ten minutes.
    pub stranded: u64,
    /// Jobs that could have started and had not at the end.
    pub unstarted: u64,
    /// Hours that replicas were there, startup and ending among them.
    pub replica_hours: f64,
    /// The most replicas that were there.
    pub most_replicas: u32,
    /// How often the number of replicas was changed.
    pub changes: u64,
    /// Replicas that were told to end while they ran jobs.
    pub interrupted: u64,
    /// Jobs that died because they ran longer than their replica had to end.
    pub killed: u64,
    /// Jobs that died twice, which BullMQ then fails.
    pub lost: u64,
    /// The most replicas in each step.
    pub replicas: Vec<u32>,
    /// The most jobs, ready or running, in each step.
    pub demand: Vec<u64>,
}

/// Why there is no simulation.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Error {
    /// The replicas are Jobs, which end by themselves when they like.
    #[error(
        "the replicas of `{0}` are Jobs: when one ends is its own affair, so that there is nothing to simulate"
    )]
    Jobs(String),
    /// More jobs than [`MOST_JOBS`].
    #[error("{load} has {jobs:.0} million jobs in {length}, and at most {:.0} million are simulated: a shorter time (`--for`) or a smaller load shows as much", MOST_JOBS / 1e6)]
    TooMany {
        /// The load.
        load: String,
        /// How many jobs it has, in millions.
        jobs: f64,
        /// For how long.
        length: String,
    },
}

/// The loads that show what a worker is good at, sized to what its largest number of replicas can do as far as that is no more jobs than
/// some seconds are enough for: a steady one, a day, bursts, and now and then a job, some of which fail.
pub fn usual_loads(workload: &Workload, wishes: &Wishes) -> Vec<Load> {
    let known = Known::of(workload, wishes);
    let slots = f64::from(workload.replicas.max()) * f64::from(known.concurrency);
    let per_second = slots / known.mean.as_secs_f64();
    let hour = Duration::from_hours(1);
    // A steady load can be shorter than a day, and shows as much.
    let steady = (per_second * 0.4).min(OUR_JOBS / hour.as_secs_f64());
    let noon = (per_second * 0.7).min(OUR_JOBS / DAY.as_secs_f64() * 2.0);
    // What all replicas together work off in the time in which jobs should start.
    let every = Duration::from_hours(2);
    let burst = (per_second * known.within.as_secs_f64()).max(slots);
    let bursts = DAY.as_secs_f64() / every.as_secs_f64();
    let (steady, per) = rate(steady);
    let (night, of_night) = rate(noon * 0.07);
    vec![
        Load::steady(steady, per),
        Load::daily(night, rounded(noon * of_night.as_secs_f64()), of_night),
        Load::burst(rounded(burst.min(OUR_JOBS / bursts)), every),
        Load::steady(4, hour).failing(10, Duration::from_mins(5)),
    ]
}

/// So many jobs in a second, in the shortest round time in which there are some.
fn rate(per_second: f64) -> (u32, Duration) {
    let times = [1, 60, 3600, 86400].map(Duration::from_secs);
    let jobs = |time: &Duration| per_second * time.as_secs_f64();
    let time = times
        .into_iter()
        .find(|time| jobs(time) >= 9.5)
        .unwrap_or(DAY);
    (rounded(jobs(&time)), time)
}

/// Whether one worker can be simulated under one load.
///
/// # Errors
///
/// A worker whose replicas are Jobs, or a load of too many jobs.
pub fn possible(workload: &Workload, load: &Load, wishes: &Wishes) -> Result<(), Error> {
    scales(workload)?;
    let warm_up = Known::of(workload, wishes).warm_up();
    let length = length_of(load, wishes, warm_up);
    let jobs = load.most(length + warm_up);
    if jobs > MOST_JOBS {
        return Err(Error::TooMany {
            load: load.to_string(),
            jobs: jobs / 1e6,
            length: prometheus_duration(length),
        });
    }
    Ok(())
}

/// Whether one worker can be simulated at all.
///
/// # Errors
///
/// One whose replicas are Jobs.
pub fn scales(workload: &Workload) -> Result<(), Error> {
    if workload.template.is_some() {
        return Err(Error::Jobs(workload.name.clone()));
    }
    Ok(())
}

/// Simulates one worker under one load.
///
/// # Errors
///
/// A worker whose replicas are Jobs, or a load of too many jobs.
pub fn simulate(workload: &Workload, load: &Load, wishes: &Wishes) -> Result<Simulation, Error> {
    let known = Known::of(workload, wishes);
    possible(workload, load, wishes)?;
    let warm_up = known.warm_up();
    let length = length_of(load, wishes, warm_up);
    let all = length + warm_up;
    let setting = Setting {
        load,
        work: Work::new(known.mean, known.longest),
        traits: Traits {
            concurrency: known.concurrency,
            startup: micros(known.startup),
            grace: micros(wishes.grace),
            limit: workload
                .rate_limit
                .map(|rate| (u64::from(rate.jobs), micros(rate.per))),
        },
        scrape: micros(workload.prometheus.scrape_interval),
        horizon: workload.horizon.map_or(0, micros),
        replicas: workload.replicas.min(),
        within: micros(known.within),
        warm_up: micros(warm_up),
        end: micros(all),
        seed: wishes.seed,
    };
    let contenders = contender::contenders(workload, known.concurrency, known.mean, known.within);
    let outcomes = side_by_side(&setting, &contenders);
    Ok(Simulation {
        worker: workload.name.clone(),
        load: load.to_string(),
        seconds: length.as_secs(),
        within_seconds: known.within.as_secs_f64(),
        assumptions: Assumptions {
            concurrency: known.concurrency,
            mean_seconds: known.mean.as_secs_f64(),
            longest_seconds: known.longest.map(|longest| longest.as_secs_f64()),
            startup_seconds: known.startup.as_secs_f64(),
            grace_seconds: wishes.grace.as_secs_f64(),
            replicas: [workload.replicas.min(), workload.replicas.max()],
            untold: known.untold,
            seed: wishes.seed,
        },
        outcomes,
        step_seconds: length.as_secs_f64() / f64::from(STEPS),
    })
}

/// How long a load lasts: long enough for what it has to come, and for what comes to be due.
fn length_of(load: &Load, wishes: &Wishes, warm_up: Duration) -> Duration {
    let usual = || {
        let per_second = load.expected(DAY) / DAY.as_secs_f64();
        let enough = Duration::from_secs_f64((OUR_JOBS / per_second.max(1e-6)).min(1e9));
        let shortest = if load.is_daily() {
            DAY
        } else {
            Duration::from_hours(1)
        };
        // Rare jobs want more time to be told about.
        let longest = if enough > DAY * 10 { DAY } else { USUAL_LENGTH };
        enough
            .clamp(shortest, longest.max(shortest))
            .max(load.cycle())
            .min(LONGEST)
    };
    let recorded = load.length().map(|length| length.saturating_sub(warm_up));
    wishes
        .length
        .or(recorded)
        .unwrap_or_else(usual)
        .max(SHORTEST)
}

/// Runs all of them at once: they share nothing.
fn side_by_side(setting: &Setting<'_>, contenders: &[Contender]) -> Vec<Outcome> {
    thread::scope(|scope| {
        let running: Vec<_> = contenders
            .iter()
            .map(|contender| scope.spawn(move || outcome(contender, play(setting, contender))))
            .collect();
        let joined = running.into_iter().map(|run| match run.join() {
            Ok(outcome) => outcome,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        joined.collect()
    })
}

fn outcome(contender: &Contender, played: Played) -> Outcome {
    let Played {
        tally,
        replica_time,
        most,
        moments,
    } = played;
    let jobs = tally.in_time + tally.late;
    Outcome {
        name: contender.name.clone(),
        of_spec: contender.of_spec,
        note: contender.note.clone(),
        jobs,
        in_time_percent: percent(tally.in_time, jobs),
        wait_p50_seconds: seconds(tally.waits.percentile(50)),
        wait_p95_seconds: seconds(tally.waits.percentile(95)),
        wait_p99_seconds: seconds(tally.waits.percentile(99)),
        longest_wait_seconds: seconds(tally.waits.percentile(100)),
        stranded: tally.stranded,
        unstarted: tally.unstarted,
        replica_hours: hours(replica_time),
        most_replicas: most,
        changes: tally.changes,
        interrupted: tally.interrupted,
        killed: tally.killed,
        lost: tally.lost,
        replicas: moments.iter().map(|moment| moment.replicas).collect(),
        demand: moments.iter().map(|moment| moment.demand).collect(),
    }
}

/// What is known of a worker, and what is taken where nothing is.
struct Known {
    concurrency: u32,
    mean: Duration,
    longest: Option<Duration>,
    startup: Duration,
    within: Duration,
    untold: Vec<&'static str>,
}

impl Known {
    /// Replicas that start for longer take longer to come to what the load wants.
    fn warm_up(&self) -> Duration {
        WARM_UP + self.startup
    }

    fn of(workload: &Workload, wishes: &Wishes) -> Self {
        let mut untold = Vec::new();
        let mean_of_policy = match workload.policy {
            Policy::StartWithin { mean, .. } => Some(mean),
            Policy::Slots { .. } | Policy::JobsPerReplica { .. } => None,
        };
        let mean = wishes.mean.or(workload.mean).or(mean_of_policy);
        let longest = workload.job.filter(|job| Some(*job) != workload.mean);
        let mut told = |name, known: bool| {
            if !known {
                untold.push(name);
            }
        };
        told("concurrency", workload.concurrency.is_some());
        told("job.mean", mean.is_some());
        told("startup", workload.startup.is_some());
        // A longest time alone is no mean, but no mean is longer.
        let mean = mean.unwrap_or_else(|| longest.unwrap_or(ASSUMED_MEAN).min(ASSUMED_MEAN));
        let of_policy = match workload.policy {
            Policy::StartWithin { within, .. } => Some(within),
            Policy::Slots { .. } | Policy::JobsPerReplica { .. } => None,
        };
        Self {
            concurrency: workload.concurrency.unwrap_or(1),
            mean,
            longest: longest.map(|longest| longest.max(mean)),
            startup: workload.startup.unwrap_or(ASSUMED_STARTUP),
            within: wishes.within.or(of_policy).unwrap_or(DEFAULT_WITHIN),
            untold,
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a share is told to a tenth")]
fn percent(part: u64, of: u64) -> Option<f64> {
    (of > 0).then(|| part as f64 * 100.0 / of as f64)
}

#[expect(clippy::cast_precision_loss, reason = "hours are told to a hundredth")]
fn hours(replica_time: u128) -> f64 {
    replica_time as f64 / micros(Duration::from_hours(1)) as f64
}

/// A number of jobs as people write it: two digits, and zeros.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast stops at the ends of the range, and nothing is below zero"
)]
fn rounded(number: f64) -> u32 {
    let number = number.max(1.0);
    let digits = number.log10().floor() - 1.0;
    let unit = 10_f64.powf(digits.max(0.0));
    ((number / unit).round() * unit) as u32
}

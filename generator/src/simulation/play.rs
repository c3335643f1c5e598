//! One run: jobs come, Prometheus scrapes, KEDA polls, the HPA looks, replicas come and go.

use std::time::Duration;

use super::arrivals::Arrivals;
use super::contender::{Contender, Way};
use super::load::Load;
use super::pool::{Pool, Traits};
use super::tally::Tally;
use super::time::{Micros, micros};
use super::view::{Sample, Samples};
use super::work::Work;
use crate::control_loop::hpa::{Pods, SYNC_PERIOD};
use crate::control_loop::keda::Answer;
use crate::control_loop::{Config, ControlLoop, Observation};
use crate::query::Query;

/// The steps in which a run is drawn.
pub(super) const STEPS: u32 = 240;

/// What all runs of one comparison share.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    pub(super) load: &'a Load,
    pub(super) work: Work,
    pub(super) traits: Traits,
    /// How often Prometheus scrapes.
    pub(super) scrape: Micros,
    /// The horizon at which demand is looked up.
    pub(super) horizon: Micros,
    /// The replicas at the beginning.
    pub(super) replicas: u32,
    /// How soon a job should start.
    pub(super) within: Micros,
    /// What passes before anything counts.
    pub(super) warm_up: Micros,
    /// What passes in all.
    pub(super) end: Micros,
    pub(super) seed: u64,
}

/// What there was in one step of a run, at its most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    pub(super) demand: u64,
    pub(super) replicas: u32,
}

/// What came of a run.
#[derive(Debug)]
pub(super) struct Played {
    pub(super) tally: Tally,
    /// Replicas times microseconds.
    pub(super) replica_time: u128,
    pub(super) most: u32,
    /// The steps after the warm-up.
    pub(super) moments: Vec<Moment>,
}

/// Who decides, as far as the run goes on.
struct Decider<'a> {
    control_loop: ControlLoop,
    /// None where the list itself is asked.
    queries: Option<&'a [Query]>,
    answers: Vec<Answer>,
}

impl<'a> Decider<'a> {
    fn new(config: &Config, queries: Option<&'a [Query]>, random: &mut fastrand::Rng) -> Self {
        let mut phase =
            |period: Duration| Duration::from_micros(random.u64(..micros(period).max(1)));
        let first_poll = phase(config.keda.polling_interval);
        let first_sync = phase(SYNC_PERIOD);
        Self {
            control_loop: ControlLoop::new(config.clone(), first_poll, first_sync),
            queries,
            answers: Vec::new(),
        }
    }

    /// The replicas that are wanted from now on.
    #[expect(
        clippy::cast_precision_loss,
        reason = "lengths of lists are far below 2^52"
    )]
    fn decide(&mut self, now: Micros, pool: &Pool, samples: &Samples) -> u32 {
        self.answers.clear();
        match self.queries {
            None => self.answers.push(Answer::Value(pool.in_list() as f64)),
            Some(queries) => {
                let seen = samples.at(now);
                let answer = |query: &Query| match &seen {
                    Some(seen) => Answer::Value(query.value(seen)),
                    None => Answer::Error,
                };
                self.answers.extend(queries.iter().map(answer));
            }
        }
        let (wanted, ready) = pool.replicas();
        let pods = Pods {
            wanted,
            // Those that are ending are not counted: https://github.com/kubernetes/kubernetes/blob/v1.35.5/pkg/controller/replicaset
            running: wanted,
            ready,
        };
        let seen = Observation {
            pods,
            answers: &self.answers,
        };
        self.control_loop
            .step(Duration::from_micros(now), &seen)
            .replicas
    }
}

/// Plays one contender.
pub(super) fn play(setting: &Setting<'_>, contender: &Contender) -> Played {
    let mut random = fastrand::Rng::with_seed(setting.seed);
    let mut next_scrape = random.u64(..setting.scrape.max(1));
    let mut pool = Pool::new(setting.traits, random.u64(..));
    let mut arrivals = Arrivals::new(setting.load, setting.work, setting.seed);
    let mut tally = Tally::new(setting.warm_up, setting.within);
    let mut samples = Samples::default();
    let (mut decider, first) = match &contender.way {
        Way::Queries(config, queries) => (
            Some(Decider::new(config, Some(queries), &mut random)),
            setting.replicas,
        ),
        Way::List(config) => (
            Some(Decider::new(config, None, &mut random)),
            setting.replicas,
        ),
        Way::Fixed(replicas) => (None, *replicas),
    };
    pool.scale(0, first, &mut tally);
    let mut drawn = Drawn::new(setting);
    let mut before = None;
    loop {
        let decision = decider
            .as_ref()
            .map(|decider| micros(decider.control_loop.next()));
        let events = [
            Some(next_scrape),
            Some(drawn.border),
            arrivals.next(),
            pool.next(),
            decision,
        ];
        let now = events.into_iter().flatten().min().unwrap_or(setting.end);
        if before.is_none() && now >= setting.warm_up {
            before = Some(pool.replica_time(setting.warm_up));
        }
        if now >= setting.end {
            break;
        }
        pool.advance(now, &mut tally);
        arrivals.take(now, |job| pool.add(now, job, &mut tally));
        if now >= next_scrape {
            next_scrape += setting.scrape;
            let demand = pool.demand_ahead(now, setting.horizon);
            samples.scrape(Sample {
                at: now,
                demand,
                active: pool.active(),
            });
        }
        if let Some(decider) = &mut decider
            && decision.is_some_and(|decision| decision <= now)
        {
            let wanted = decider.decide(now, &pool, &samples);
            if wanted != pool.replicas().0 {
                tally.changed(now);
                pool.scale(now, wanted, &mut tally);
            }
        }
        drawn.note(now, &pool);
    }
    for job in pool.waiting(setting.end) {
        tally.left(job, setting.end);
    }
    let all = pool.replica_time(setting.end);
    Played {
        tally,
        replica_time: all.saturating_sub(before.unwrap_or_default()),
        most: drawn.most,
        moments: drawn.moments,
    }
}

/// The picture of a run.
struct Drawn {
    /// When the next step begins.
    border: Micros,
    step: Micros,
    moments: Vec<Moment>,
    most: u32,
}

impl Drawn {
    fn new(setting: &Setting<'_>) -> Self {
        let length = setting.end.saturating_sub(setting.warm_up);
        Self {
            border: setting.warm_up,
            step: length.div_ceil(u64::from(STEPS)).max(1),
            moments: Vec::new(),
            most: 0,
        }
    }

    /// Whatever happened is looked at: so that nothing is higher than what is drawn.
    fn note(&mut self, now: Micros, pool: &Pool) {
        while now >= self.border {
            self.border += self.step;
            self.moments.push(Moment::default());
        }
        let Some(moment) = self.moments.last_mut() else {
            return;
        };
        let there = pool.there();
        self.most = self.most.max(there);
        moment.demand = moment.demand.max(pool.demand());
        moment.replicas = moment.replicas.max(there);
    }
}

#[cfg(test)]
mod tests {
    use super::super::time::{SECOND, seconds};
    use super::*;

    fn fixed(replicas: u32) -> Contender {
        Contender {
            name: String::new(),
            of_spec: false,
            note: None,
            way: Way::Fixed(replicas),
        }
    }

    fn setting(load: &Load, work: Work, concurrency: u32, hours: u64) -> Setting<'_> {
        Setting {
            load,
            work,
            traits: Traits {
                concurrency,
                startup: 0,
                grace: 30 * SECOND,
                limit: None,
            },
            scrape: 15 * SECOND,
            horizon: 0,
            replicas: 0,
            within: SECOND,
            warm_up: 900 * SECOND,
            end: (900 + hours * 3600) * SECOND,
            seed: 1,
        }
    }

    /// The mean wait of the jobs of a run.
    fn mean_wait(load: &str, work: Work, concurrency: u32, hours: u64) -> f64 {
        let load = Load::parse(load).unwrap();
        let played = play(&setting(&load, work, concurrency, hours), &fixed(1));
        played.tally.waits.mean()
    }

    /// A queue of one slot waits, on average, for (1 + c^2) / 2 x S x load / (1 - load), whatever the times of the jobs are: S is their mean and
    /// c their deviation beside it (Pollaczek and Khinchine). One of many slots, for jobs whose deviation is their mean, as Erlang's C says, nearly.
    #[test]
    fn jobs_wait_for_a_fixed_number_of_slots_as_long_as_the_theory_of_queues_says() {
        let second = Duration::from_secs(1);
        let constant = Work::new(second, Some(second));
        let spread = Work::new(second, None);
        for (what, load, work, slots, expected, tolerance) in [
            (
                "constant times, half busy",
                "steady=30/1m",
                constant,
                1,
                0.5,
                0.03,
            ),
            (
                "constant times, 80% busy",
                "steady=48/1m",
                constant,
                1,
                2.0,
                0.08,
            ),
            (
                "spread times, half busy",
                "steady=30/1m",
                spread,
                1,
                1.0,
                0.08,
            ),
            // Erlang's C of 10 slots at 80% is 0.409; the wait is that x 1 s / (10 - 8).
            (
                "ten slots, 80% busy",
                "steady=480/1m",
                spread,
                10,
                0.2046,
                0.15,
            ),
        ] {
            let wait = mean_wait(load, work, slots, 60);
            assert!(
                (wait / expected - 1.0).abs() < tolerance,
                "{what}: {wait} s"
            );
        }
    }

    #[test]
    fn what_a_fixed_number_of_replicas_costs_is_its_number_times_the_time() {
        let load = Load::parse("steady=1/1m").unwrap();
        let work = Work::new(Duration::from_secs(1), None);
        let played = play(&setting(&load, work, 1, 2), &fixed(7));
        assert!((seconds(u64::try_from(played.replica_time).unwrap()) - 7.0 * 7200.0).abs() < 1e-6);
        assert_eq!((played.most, played.tally.changes), (7, 0));
    }
}

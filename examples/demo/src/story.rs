//! The story: what happens, in which order, and what must be seen before it goes on.
//!
//! Each chapter ends when its goal has been seen, and fails the demo when it is not seen in time; so a demo that ends well
//! has shown what it says.

use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

use acceptance::Process;
use anyhow::{Context as _, Result, ensure};
use bullmq_keda::control_loop::keda::Answer;

use crate::autoscaler::{Autoscaler, destination};
use crate::interrupt::Interrupt;
use crate::observation::{Observation, Queue, observe};
use crate::scene::{Chapter, Scene};
use crate::stage::Stage;
use crate::view::View;
use crate::workers::{Alive, Workers, node};

/// How much faster time runs here than in a cluster: KEDA's poll and the HPA's look of 15 seconds come every second.
pub(crate) const SPEED: u32 = 15;
const FRAME: Duration = Duration::from_millis(100);
const CHAPTERS: usize = 9;
/// Whatever takes longer than this does not come; it leaves room for a busy machine.
const LIMIT: Duration = Duration::from_mins(1);

const PRIORITIZED: u32 = 40;
const DELAYED: u32 = 20;
const BURST: u32 = 800;
const TRICKLE: u32 = 180;
/// What the jobs of the first chapters need together.
const BACKLOG: u32 = PRIORITIZED + DELAYED;

/// What has been seen, for the summary.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    /// The highest length of the wait list.
    wait_list_peak: u32,
    demand_peak: u32,
    replicas_peak: usize,
    /// From the burst to the most replicas.
    rise: Duration,
    completed: u32,
    /// From the moment when jobs fell due at zero replicas to the moment when all of them ran.
    wake: Duration,
    held: usize,
    hold: Duration,
}

impl Seen {
    /// Writes what stays on the screen.
    pub(crate) fn summarize(&self, out: &mut impl Write) -> Result<()> {
        let Self {
            wait_list_peak,
            demand_peak,
            replicas_peak,
            completed,
            held,
            ..
        } = self;
        let (rise, wake, hold) = (
            self.rise.as_secs_f64(),
            self.wake.as_secs_f64(),
            self.hold.as_secs_f64(),
        );
        write!(
            out,
            "
What was seen
  wait list      never more than {wait_list_peak}, while up to {demand_peak} jobs were ready or running
  workers        from 0 to {replicas_peak}, {rise:.0} s after the burst, and back to 0
  jobs           {completed} completed, none failed and none lost
  awake again    {DELAYED} jobs fell due with nobody alive, and all ran {wake:.0} s later
  Redis killed   no data for {hold:.0} s, and {held} workers were held

Next, with queues of your own
  cargo run --release --bin bullmq-exporter -- --redis.url redis://HOST:6379
  cargo run --release --bin bullmq-keda -- generate examples/demo/spec.yaml
"
        )?;
        Ok(())
    }
}

/// The story as it stands.
pub(crate) struct Story<'a, W: Write> {
    stage: &'a mut Stage,
    view: View<'a, W>,
    interrupt: &'a Interrupt,
    began: Instant,
    chapter: Chapter,
    revealed: bool,
    /// Whether the autoscaler's decisions are carried out.
    controlled: bool,
    autoscaler: Autoscaler,
    workers: Workers,
    producers: Vec<Process>,
    observation: Observation,
    next_look: Instant,
    history: Vec<(Option<u32>, Option<u32>)>,
    notes: Vec<String>,
    seen: Seen,
}

impl<'a, W: Write> Story<'a, W> {
    pub(crate) fn new(stage: &'a mut Stage, view: View<'a, W>, interrupt: &'a Interrupt) -> Self {
        let now = Instant::now();
        Self {
            view,
            interrupt,
            began: now,
            chapter: Chapter {
                number: 0,
                of: CHAPTERS,
                title: String::new(),
                text: String::new(),
            },
            revealed: false,
            controlled: false,
            autoscaler: Autoscaler::new(stage.object.clone()),
            workers: Workers::new(stage.redis.url(), &stage.spec),
            producers: Vec::new(),
            observation: Observation {
                wait_list: None,
                next_due: None,
                redis_up: false,
                queue: None,
                answer: Answer::Error,
            },
            next_look: now,
            history: Vec::new(),
            notes: Vec::new(),
            seen: Seen::default(),
            stage,
        }
    }

    /// Tells it to its end.
    pub(crate) fn tell(&mut self) -> Result<()> {
        self.nothing_runs()?;
        self.jobs_that_the_wait_list_does_not_hold()?;
        self.the_scaled_object()?;
        self.the_workers_wake()?;
        self.a_burst()?;
        self.it_drains()?;
        self.the_last_workers_go()?;
        self.awake_again()?;
        self.redis_dies()
    }

    fn nothing_runs(&mut self) -> Result<()> {
        self.add("--count 0")?;
        self.open(
            "Nothing runs",
            "The queue is empty, and not one worker process is alive: nothing that would cost anything.",
        );
        self.play(secs(6), "the exporter serves the empty queue", |seen, _| {
            seen.queue.is_some_and(|queue| queue.demand == 0)
        })
    }

    fn jobs_that_the_wait_list_does_not_hold(&mut self) -> Result<()> {
        self.open(
            "Jobs that the wait list does not hold",
            &format!(
                "{PRIORITIZED} jobs are added with a priority, {DELAYED} more fall due a little later. BullMQ keeps both \
                 in sets of their own, where a trigger on the wait list does not look, and only a living worker takes them \
                 out of there."
            ),
        );
        self.add(&format!("--count {PRIORITIZED} --work 4000"))?;
        self.add(&format!("--count {DELAYED} --work 4000 --delay 9000"))?;
        self.play(secs(6), "the exporter counts both", |seen, _| {
            seen.queue
                .is_some_and(|queue| queue.prioritized == PRIORITIZED && queue.delayed == DELAYED)
        })?;
        self.play(
            secs(9),
            "the delayed jobs are due, and the wait list holds nothing",
            |seen, _| {
                seen.wait_list == Some(0)
                    && seen.queue.is_some_and(|queue| {
                        queue.delayed_due == DELAYED && queue.demand == BACKLOG
                    })
            },
        )
    }

    fn the_scaled_object(&mut self) -> Result<()> {
        self.open(
            "The ScaledObject",
            "bullmq-keda generated it from examples/demo/spec.yaml. KEDA would ask Prometheus this query; here a real \
             Prometheus is asked, and what KEDA would make of the answer stands below it. Nobody acts on it yet.",
        );
        self.revealed = true;
        self.play(secs(14), "Prometheus answers with the demand", |seen, _| {
            seen.answer == Answer::Value(f64::from(BACKLOG))
        })
    }

    fn the_workers_wake(&mut self) -> Result<()> {
        self.open(
            "The workers wake",
            "A controller now does what KEDA and the HPA would do: the step from 0 to 1 is KEDA's, the rest the HPA's. \
             Every worker is a process of its own that runs BullMQ.",
        );
        self.controlled = true;
        let wanted = usize::try_from(destination(&self.stage.object, f64::from(BACKLOG), 0))?;
        self.play(Duration::ZERO, "every job has a worker", |_, alive| {
            alive.ready == wanted
        })?;
        self.play(secs(3), "the jobs are done", |seen, _| {
            demand(seen) == Some(0)
        })
    }

    fn a_burst(&mut self) -> Result<()> {
        self.open(
            "A burst",
            &format!(
                "{BURST} jobs at once. Demand is what is ready and what is running, so workers that are busy are wanted \
                 for as long as they are busy."
            ),
        );
        self.add(&format!("--count {BURST} --work 1500"))?;
        let began = Instant::now();
        let most = usize::try_from(self.stage.object.config.hpa.max)?;
        self.play(Duration::ZERO, "all workers run", move |_, alive| {
            alive.ready == most
        })?;
        self.seen.rise = began.elapsed();
        self.play(secs(4), "the burst is nearly worked off", |seen, _| {
            demand(seen).is_some_and(|demand| demand <= 100)
        })
    }

    fn it_drains(&mut self) -> Result<()> {
        self.open(
            "It drains",
            "The burst is over and only a trickle is left. After the HPA's window, surplus workers are told to end: \
             each finishes the jobs that it holds, and goes.",
        );
        self.add(&format!("--count {TRICKLE} --work 1500 --over 16000"))?;
        self.play(
            secs(6),
            "no more than two workers are left for the trickle",
            |_, alive| alive.replicas() <= 2 && alive.draining == 0,
        )
    }

    fn the_last_workers_go(&mut self) -> Result<()> {
        self.open(
            "To zero",
            "Nothing is ready and nothing runs any more. When it has been quiet for long enough, KEDA takes the last \
             workers away, and every job has been done.",
        );
        self.play(Duration::ZERO, "every job is completed", |seen, _| {
            let all = BACKLOG + BURST + TRICKLE;
            seen.queue
                .is_some_and(|queue| queue.completed == all && queue.failed == 0)
        })?;
        self.seen.completed = self.observation.queue.map_or(0, |queue| queue.completed);
        self.play(Duration::ZERO, "no worker is left", |_, alive| {
            alive == Alive::default()
        })?;
        self.play(secs(3), "no worker is left", |_, alive| {
            alive == Alive::default()
        })
    }

    fn awake_again(&mut self) -> Result<()> {
        self.open(
            "Awake again",
            &format!(
                "{DELAYED} delayed jobs fall due in a moment, with nobody alive to move them. The wait list will go on \
                 saying 0, for ever; their due time is seen all the same, and wakes the workers."
            ),
        );
        self.add(&format!("--count {DELAYED} --work 20000 --delay 4000"))?;
        self.play(Duration::ZERO, "the jobs are due", |seen, _| {
            demand(seen) == Some(DELAYED)
        })?;
        let due = Instant::now();
        self.play(Duration::ZERO, "two workers run the jobs", |seen, alive| {
            alive.ready == 2 && seen.queue.is_some_and(|queue| queue.active == DELAYED)
        })?;
        self.seen.wake = due.elapsed();
        self.play(secs(4), "they go on", |_, _| true)
    }

    fn redis_dies(&mut self) -> Result<()> {
        self.open(
            "Redis dies",
            "Redis is killed. A number would be a guess now, and 0 the worst of them: it would take workers away in the \
             middle of their jobs. There is no series, so the query has no answer, and KEDA holds.",
        );
        let held = self.workers.alive().replicas();
        self.stage.redis.kill()?;
        self.play(Duration::ZERO, "the query has no answer", |seen, _| {
            seen.answer == Answer::Error
        })?;
        let began = Instant::now();
        // Longer than the cooldown: a query that said 0 would have brought the workers to zero by now.
        let patience = self.stage.object.config.keda.cooldown / SPEED + secs(2);
        self.play(patience, "nothing is known", |seen, _| {
            seen.answer == Answer::Error
        })?;
        let alive = self.workers.alive();
        ensure!(
            alive.ready == held && self.observation.answer == Answer::Error,
            "{held} workers were to be held, but there are {alive:?}; last seen: {:?}",
            self.observation
        );
        self.seen.held = held;
        self.seen.hold = began.elapsed();
        Ok(())
    }

    /// Starts Redis again, and goes on until a signal comes.
    pub(crate) fn stay(&mut self) -> Result<()> {
        self.open(
            "Redis is back",
            "Redis is started again, empty, and the exporter finds it by itself. Everything goes on until Ctrl-C; add \
             jobs with the command below and watch.",
        );
        self.chapter.number = CHAPTERS + 1;
        self.chapter.of = CHAPTERS + 1;
        self.stage.redis.start_again()?;
        self.add("--count 100")?;
        self.notes = self.places();
        self.play(secs(3), "the query has an answer again", |seen, _| {
            matches!(seen.answer, Answer::Value(_))
        })?;
        let mut outcome = Ok(());
        while outcome.is_ok() {
            outcome = self.play(LIMIT, "time goes by", |_, _| true);
        }
        // The signal is the end that is wanted here.
        if self.interrupt.received().is_some() {
            Ok(())
        } else {
            outcome
        }
    }

    /// Ends the workers, gives the screen back, and returns what was seen.
    pub(crate) fn end(self) -> Seen {
        self.seen
    }

    fn places(&self) -> Vec<String> {
        let (redis, queue) = (self.stage.redis.url(), &self.stage.spec.queue);
        vec![
            format!(
                "exporter    http://{}/metrics",
                self.stage.exporter.address()
            ),
            format!("Prometheus  {}/graph", self.stage.prometheus.url()),
            format!("Redis       {redis}"),
            "Add jobs by".to_owned(),
            format!("  node examples/demo/jobs.mjs {redis} {queue} --count 300"),
        ]
    }

    fn open(&mut self, title: &str, text: &str) {
        self.chapter.number += 1;
        title.clone_into(&mut self.chapter.title);
        text.clone_into(&mut self.chapter.text);
    }

    /// Adds jobs as the options of `jobs.mjs` say, by a process that runs beside the story.
    fn add(&mut self, options: &str) -> Result<()> {
        let folder = tempfile::Builder::new().prefix("jobs-").tempdir()?;
        let mut command = node("jobs.mjs");
        command
            .args([&self.stage.redis.url(), &self.stage.spec.queue])
            .args(options.split(' '));
        self.producers
            .push(Process::start("jobs", folder, &mut command)?);
        Ok(())
    }

    /// Goes on until `goal` has been seen, and for `at_least` so long that people can read.
    fn play(
        &mut self,
        at_least: Duration,
        goal: &str,
        reached: impl Fn(&Observation, Alive) -> bool,
    ) -> Result<()> {
        let began = Instant::now();
        let mut seen = false;
        loop {
            self.interrupt.check()?;
            if Instant::now() >= self.next_look {
                self.look()?;
                seen = seen || reached(&self.observation, self.workers.alive());
            }
            self.show()?;
            if seen && began.elapsed() >= at_least {
                return Ok(());
            }
            ensure!(
                seen || began.elapsed() < LIMIT,
                "chapter {}, \"{}\": {LIMIT:?} have passed, and it was not seen that {goal}; last seen: {:?}, {:?}",
                self.chapter.number,
                self.chapter.title,
                self.observation,
                self.workers.alive(),
            );
            sleep(FRAME);
        }
    }

    /// One poll of KEDA, one look of the HPA, and everything that is to be seen.
    fn look(&mut self) -> Result<()> {
        let interval = self.stage.object.config.keda.polling_interval / SPEED;
        self.next_look = Instant::now() + interval;
        self.workers.look()?;
        self.look_after_producers()?;
        let Stage {
            redis,
            exporter,
            prometheus,
            spec,
            object,
        } = &mut *self.stage;
        exporter.process().check_alive()?;
        prometheus.process().check_alive()?;
        self.observation = observe(&spec.queue, redis, exporter, prometheus, object)?;
        let replicas = u32::try_from(self.workers.alive().replicas())?;
        if self.controlled {
            let now = self.began.elapsed() * SPEED;
            let decided = self
                .autoscaler
                .decide(now, replicas, self.observation.answer);
            self.workers.scale_to(usize::try_from(decided)?)?;
        }
        self.remember();
        Ok(())
    }

    fn look_after_producers(&mut self) -> Result<()> {
        let mut running = Vec::new();
        for mut producer in self.producers.drain(..) {
            match producer.status()? {
                None => running.push(producer),
                Some(status) => {
                    ensure!(
                        status.success(),
                        "jobs.mjs ended with {status}:\n{}",
                        producer.log()
                    );
                }
            }
        }
        self.producers = running;
        Ok(())
    }

    fn remember(&mut self) {
        let replicas = self.workers.alive().replicas();
        let demand = demand(&self.observation);
        self.history.push((demand, u32::try_from(replicas).ok()));
        let seen = &mut self.seen;
        seen.wait_list_peak = seen
            .wait_list_peak
            .max(self.observation.wait_list.unwrap_or(0));
        seen.demand_peak = seen.demand_peak.max(demand.unwrap_or(0));
        seen.replicas_peak = seen.replicas_peak.max(replicas);
    }

    fn show(&mut self) -> Result<()> {
        let scene = Scene {
            elapsed: self.began.elapsed(),
            chapter: &self.chapter,
            observation: &self.observation,
            object: &self.stage.object,
            revealed: self.revealed,
            alive: self.workers.alive(),
            history: &self.history,
            notes: &self.notes,
        };
        self.view.show(&scene).context("the view")
    }
}

fn demand(observation: &Observation) -> Option<u32> {
    observation.queue.map(|Queue { demand, .. }| demand)
}

const fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

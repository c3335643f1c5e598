//! A queue and the replicas that work on it, event by event: which job starts when, and what a replica that is taken away does to those
//! that it runs.
//!
//! What BullMQ does is taken from its own code: jobs of the list come before prioritized ones, and only a living worker moves delayed
//! jobs that fall due and those whose lock ran out
//! (<https://github.com/taskforcesh/bullmq/blob/v5.81.5/src/commands/moveToActive-11.lua>). What Kubernetes does is its documented order: of
//! the replicas to be taken away, those that are not ready go first, and then the youngest
//! (<https://kubernetes.io/docs/concepts/workloads/controllers/replicaset/#scaling-a-replicaset>).

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use super::time::{Micros, SECOND};

/// From a replica's death to the moment at which another takes its jobs back: 15 to 30 s until the lock runs out, which is renewed at each
/// half of its 30 s, and up to 30 s until the next check.
/// Source: <https://github.com/taskforcesh/bullmq/blob/v5.81.5/src/classes/worker.ts> (`lockDuration`, `stalledInterval`).
const STALLED: Micros = 45 * SECOND;

/// What every replica is like.
#[derive(Clone, Copy, Debug)]
pub(super) struct Traits {
    /// Jobs that one runs at once.
    pub(super) concurrency: u32,
    /// From its creation to its first job.
    pub(super) startup: Micros,
    /// From the word to end to the kill.
    pub(super) grace: Micros,
    /// The most jobs that start in a window, and how long one is, from its first job on.
    pub(super) limit: Option<(u64, Micros)>,
}

/// One job.
#[derive(Clone, Copy, Debug)]
pub(super) struct Job {
    /// When it could start: when it was added, or when it is due.
    pub(super) ready: Micros,
    /// How long it runs.
    pub(super) work: Micros,
    /// Whether it stands among the prioritized ones.
    pub(super) prioritized: bool,
    /// How long after its failure it is tried once more; none if it does not fail.
    pub(super) retry: Option<Micros>,
    /// Whether it was killed before, and taken back.
    pub(super) killed: bool,
}

/// What happened to jobs and replicas, as far as people ask.
pub(super) trait Record {
    /// A job starts, so long after it could have.
    fn started(&mut self, job: &Job, now: Micros);
    /// A replica was told to end while it ran jobs.
    fn interrupted(&mut self, now: Micros);
    /// Jobs died with their replica; those of them that had died before are failed for good.
    fn killed(&mut self, now: Micros, jobs: u64, lost: u64);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Starting,
    Ready,
    /// Told to end: it takes no job, and ends with its last one.
    Ending,
    Gone,
}

#[derive(Clone, Copy, Debug)]
struct Replica {
    state: State,
    busy: u32,
}

#[derive(Clone, Copy, Debug)]
struct Running {
    job: Job,
    replica: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Ready(usize),
    /// A job ends, by its place and by how often that place was given.
    End(usize, u32),
    Kill(usize),
    /// Jobs whose lock ran out can be taken back.
    Stalled,
    /// A window of the limit of the rate is over.
    Window,
}

/// The queue with its replicas.
#[derive(Debug)]
pub(super) struct Pool {
    traits: Traits,
    random: fastrand::Rng,
    list: VecDeque<Job>,
    prioritized: VecDeque<Job>,
    /// By the moment at which they are due, and by a number of their own.
    delayed: BTreeMap<(Micros, u64), Job>,
    added: u64,
    /// Those that were due while nobody lived to move them.
    due: VecDeque<Job>,
    /// Places of running jobs, each with how often it was given.
    running: Vec<(Option<Running>, u32)>,
    unused: Vec<usize>,
    /// Jobs that died with their replicas, and when they can be taken back. BullMQ takes one back once:
    /// <https://docs.bullmq.io/guide/workers/stalled-jobs>.
    stalled: VecDeque<(Micros, Job)>,
    active: u64,
    replicas: Vec<Replica>,
    /// Those that are wanted, in the order in which they were made.
    wanted: Vec<usize>,
    ready: u32,
    /// Those that are there, wanted or ending.
    there: u32,
    /// The replicas that are ready and have a slot in which nothing runs.
    free: Vec<usize>,
    /// The end of the window of the limit, and how many jobs started in it.
    window: (Micros, u64),
    events: BinaryHeap<Reverse<(Micros, Event)>>,
    /// Replicas times microseconds until `counted`.
    replica_time: u128,
    counted: Micros,
}

impl Pool {
    pub(super) fn new(traits: Traits, seed: u64) -> Self {
        Self {
            traits,
            random: fastrand::Rng::with_seed(seed),
            list: VecDeque::new(),
            prioritized: VecDeque::new(),
            delayed: BTreeMap::new(),
            due: VecDeque::new(),
            added: 0,
            running: Vec::new(),
            unused: Vec::new(),
            stalled: VecDeque::new(),
            active: 0,
            replicas: Vec::new(),
            wanted: Vec::new(),
            ready: 0,
            there: 0,
            free: Vec::new(),
            window: (0, 0),
            events: BinaryHeap::new(),
            replica_time: 0,
            counted: 0,
        }
    }

    /// Jobs in the list, which is all that a trigger on a list sees.
    pub(super) fn in_list(&self) -> u64 {
        count(self.list.len())
    }

    /// Jobs that run, and those whose replica died and that nobody has taken back.
    pub(super) fn active(&self) -> u64 {
        self.active
    }

    /// Jobs that a worker could take, or that run.
    pub(super) fn demand(&self) -> u64 {
        count(self.list.len() + self.prioritized.len() + self.due.len()) + self.active
    }

    /// The same, with those that will be due within this time.
    pub(super) fn demand_ahead(&self, now: Micros, within: Micros) -> u64 {
        let ahead = self.delayed.range(..=(now + within, u64::MAX)).count();
        self.demand() + count(ahead)
    }

    /// Jobs that could start and have not, those among them whose replica died.
    pub(super) fn waiting(&self, now: Micros) -> impl Iterator<Item = &Job> {
        let due = self.delayed.range(..=(now, u64::MAX)).map(|(_, job)| job);
        let stalled = self
            .stalled
            .iter()
            .map(|(_, job)| job)
            .filter(|job| !job.killed);
        self.list
            .iter()
            .chain(&self.prioritized)
            .chain(&self.due)
            .chain(due)
            .chain(stalled)
    }

    /// Replicas that are wanted, and those of them that are ready.
    pub(super) fn replicas(&self) -> (u32, u32) {
        (
            u32::try_from(self.wanted.len()).unwrap_or(u32::MAX),
            self.ready,
        )
    }

    /// Replicas that are there, wanted or ending.
    pub(super) fn there(&self) -> u32 {
        self.there
    }

    /// Replicas times microseconds up to now.
    pub(super) fn replica_time(&mut self, now: Micros) -> u128 {
        self.replica_time += u128::from(self.there) * u128::from(now.saturating_sub(self.counted));
        self.counted = now;
        self.replica_time
    }

    /// When the next thing happens by itself.
    pub(super) fn next(&self) -> Option<Micros> {
        let event = self.events.peek().map(|Reverse((at, _))| *at);
        let due = self.delayed.first_key_value().map(|((due, _), _)| *due);
        let due = due.filter(|_| self.ready > 0);
        event.into_iter().chain(due).min()
    }

    /// Lets happen whatever happens up to now.
    pub(super) fn advance(&mut self, now: Micros, record: &mut impl Record) {
        while let Some(at) = self.next().filter(|at| *at <= now) {
            while let Some(&Reverse((when, event))) = self.events.peek()
                && when <= at
            {
                self.events.pop();
                self.happen(at, event, record);
            }
            self.promote(at);
            self.start(at, record);
        }
        // What is due while nobody lives is only counted.
        self.promote(now);
    }

    /// A job is added.
    pub(super) fn add(&mut self, now: Micros, job: Job, record: &mut impl Record) {
        if job.ready > now {
            self.delay(job);
        } else {
            self.enqueue(job);
            self.start(now, record);
        }
    }

    /// So many replicas are wanted from now on.
    pub(super) fn scale(&mut self, now: Micros, wanted: u32, record: &mut impl Record) {
        let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
        self.replica_time(now);
        while self.wanted.len() < wanted {
            let replica = self.replicas.len();
            self.replicas.push(Replica {
                state: State::Starting,
                busy: 0,
            });
            self.wanted.push(replica);
            self.there += 1;
            let ready = now + self.traits.startup;
            self.events.push(Reverse((ready, Event::Ready(replica))));
        }
        let mut ended = false;
        for index in self.taken_away(wanted) {
            let Some(replica) = self.replicas.get_mut(index) else {
                continue;
            };
            if replica.state == State::Ready {
                self.ready -= 1;
                ended = true;
            }
            if replica.busy == 0 {
                replica.state = State::Gone;
                self.there -= 1;
            } else {
                replica.state = State::Ending;
                let kill = now + self.traits.grace;
                self.events.push(Reverse((kill, Event::Kill(index))));
                record.interrupted(now);
            }
        }
        if ended {
            let replicas = &self.replicas;
            self.free
                .retain(|index| is_in(replicas, *index, State::Ready));
        }
        // A startup of nothing is over.
        self.advance(now, record);
    }

    /// Those that go until so many are left: first those that are not ready, and then the youngest.
    fn taken_away(&mut self, wanted: usize) -> Vec<usize> {
        let mut too_many = self.wanted.len().saturating_sub(wanted);
        let mut gone = Vec::with_capacity(too_many);
        for starting in [true, false] {
            let replicas = &self.replicas;
            let mut kept = Vec::with_capacity(self.wanted.len());
            for index in self.wanted.drain(..).rev() {
                if too_many > 0 && is_in(replicas, index, State::Starting) == starting {
                    too_many -= 1;
                    gone.push(index);
                } else {
                    kept.push(index);
                }
            }
            kept.reverse();
            self.wanted = kept;
        }
        gone
    }

    fn happen(&mut self, now: Micros, event: Event, record: &mut impl Record) {
        self.replica_time(now);
        match event {
            Event::Ready(index) => {
                let Some(replica) = self.replicas.get_mut(index) else {
                    return;
                };
                if replica.state != State::Starting {
                    return;
                }
                replica.state = State::Ready;
                self.ready += 1;
                self.free.push(index);
                self.take_back(now);
            }
            Event::End(place, given) => self.end(now, place, given),
            Event::Kill(index) => self.kill(now, index, record),
            Event::Stalled => self.take_back(now),
            // What may start now does so after every event.
            Event::Window => {}
        }
    }

    fn end(&mut self, now: Micros, place: usize, given: u32) {
        let Some((running, times)) = self.running.get_mut(place) else {
            return;
        };
        if *times != given {
            return;
        }
        let Some(Running { job, replica }) = running.take() else {
            return;
        };
        self.unused.push(place);
        self.active -= 1;
        if let Some(of) = self.replicas.get_mut(replica) {
            let was_full = of.busy == self.traits.concurrency;
            of.busy -= 1;
            match of.state {
                State::Ready if was_full => self.free.push(replica),
                State::Ending if of.busy == 0 => {
                    of.state = State::Gone;
                    self.there -= 1;
                }
                State::Ready | State::Ending | State::Starting | State::Gone => {}
            }
        }
        if let Some(after) = job.retry {
            self.delay(Job {
                ready: now + after,
                retry: None,
                ..job
            });
        }
    }

    fn kill(&mut self, now: Micros, index: usize, record: &mut impl Record) {
        let Some(replica) = self.replicas.get_mut(index) else {
            return;
        };
        if replica.state != State::Ending {
            return;
        }
        replica.state = State::Gone;
        replica.busy = 0;
        self.there -= 1;
        let (mut killed, mut lost) = (0, 0);
        for (place, (running, times)) in self.running.iter_mut().enumerate() {
            let Some(died) = running.take_if(|running| running.replica == index) else {
                continue;
            };
            // The end that is still to come finds another number.
            *times += 1;
            self.unused.push(place);
            killed += 1;
            lost += u64::from(died.job.killed);
            // From now on it waits, until another takes it.
            let job = Job {
                ready: now,
                ..died.job
            };
            self.stalled.push_back((now + STALLED, job));
        }
        self.events.push(Reverse((now + STALLED, Event::Stalled)));
        record.killed(now, killed, lost);
    }

    /// Puts jobs back whose lock ran out, if anybody lives to do it.
    fn take_back(&mut self, now: Micros) {
        if self.ready == 0 {
            return;
        }
        while let Some((at, job)) = self.stalled.front().copied()
            && at <= now
        {
            self.stalled.pop_front();
            self.active -= 1;
            if !job.killed {
                // Before all others, and whatever its priority:
                // https://github.com/taskforcesh/bullmq/blob/v5.81.5/src/commands/moveStalledJobsToWait-9.lua
                self.list.push_front(Job {
                    killed: true,
                    ..job
                });
            }
        }
    }

    /// Moves the jobs that are due, if anybody lives to do it.
    fn promote(&mut self, now: Micros) {
        while let Some(first) = self.delayed.first_entry()
            && first.key().0 <= now
        {
            let job = first.remove();
            self.due.push_back(job);
        }
        if self.ready > 0 {
            while let Some(job) = self.due.pop_front() {
                self.enqueue(job);
            }
        }
    }

    fn delay(&mut self, job: Job) {
        self.added += 1;
        self.delayed.insert((job.ready, self.added), job);
    }

    fn enqueue(&mut self, job: Job) {
        if job.prioritized {
            self.prioritized.push_back(job);
        } else {
            self.list.push_back(job);
        }
    }

    /// Starts jobs while there is one, a slot for it, and no limit of the rate against it.
    fn start(&mut self, now: Micros, record: &mut impl Record) {
        while !self.free.is_empty() && self.may_start(now) {
            let next = self.list.pop_front();
            let Some(job) = next.or_else(|| self.prioritized.pop_front()) else {
                return;
            };
            self.count_start(now);
            // Whoever asks first gets it.
            let place = self.random.usize(..self.free.len());
            let Some(&replica) = self.free.get(place) else {
                return;
            };
            if let Some(of) = self.replicas.get_mut(replica) {
                of.busy += 1;
                if of.busy == self.traits.concurrency {
                    self.free.swap_remove(place);
                }
            }
            self.active += 1;
            record.started(&job, now);
            let running = Some(Running { job, replica });
            let place = if let Some(place) = self.unused.pop() {
                place
            } else {
                self.running.push((None, 0));
                self.running.len() - 1
            };
            if let Some(entry) = self.running.get_mut(place) {
                entry.0 = running;
                entry.1 += 1;
                let end = Event::End(place, entry.1);
                self.events.push(Reverse((now + job.work, end)));
            }
        }
    }

    /// Whether the limit of the rate lets another job start.
    fn may_start(&self, now: Micros) -> bool {
        let (end, started) = self.window;
        self.traits
            .limit
            .is_none_or(|(jobs, _)| now >= end || started < jobs)
    }

    /// A window begins with its first job, as in BullMQ: <https://docs.bullmq.io/guide/rate-limiting>.
    fn count_start(&mut self, now: Micros) {
        let Some((_, length)) = self.traits.limit else {
            return;
        };
        if now >= self.window.0 {
            self.window = (now + length, 0);
            self.events.push(Reverse((now + length, Event::Window)));
        }
        self.window.1 += 1;
    }
}

fn is_in(replicas: &[Replica], index: usize, state: State) -> bool {
    replicas
        .get(index)
        .is_some_and(|replica| replica.state == state)
}

pub(super) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Everything that happened, in words.
    #[derive(Debug, Default)]
    struct Log(Vec<String>);

    impl Log {
        fn taken(&mut self) -> Vec<String> {
            std::mem::take(&mut self.0)
        }
    }

    impl Record for Log {
        fn started(&mut self, job: &Job, now: Micros) {
            let wait = (now - job.ready) / SECOND;
            let again = if job.killed { " again" } else { "" };
            self.0
                .push(format!("{}: start{again} after {wait}", now / SECOND));
        }

        fn interrupted(&mut self, now: Micros) {
            self.0.push(format!("{}: interrupted", now / SECOND));
        }

        fn killed(&mut self, now: Micros, jobs: u64, lost: u64) {
            self.0
                .push(format!("{}: {jobs} killed, {lost} lost", now / SECOND));
        }
    }

    fn pool(concurrency: u32, limit: Option<(u64, Micros)>) -> Pool {
        let traits = Traits {
            concurrency,
            startup: 20 * SECOND,
            grace: 30 * SECOND,
            limit,
        };
        Pool::new(traits, 1)
    }

    fn job(ready: u64, work: u64) -> Job {
        Job {
            ready: ready * SECOND,
            work: work * SECOND,
            prioritized: false,
            retry: None,
            killed: false,
        }
    }

    #[test]
    fn only_a_living_worker_moves_what_is_due_and_it_does_so_when_it_lives() {
        let (mut pool, mut log) = (pool(1, None), Log::default());
        pool.add(0, job(50, 1), &mut log);
        pool.advance(40 * SECOND, &mut log);
        let ahead = pool.demand_ahead(40 * SECOND, 10 * SECOND);
        assert_eq!((pool.demand(), ahead), (0, 1));
        pool.advance(100 * SECOND, &mut log);
        assert_eq!((pool.in_list(), pool.demand()), (0, 1));
        pool.scale(100 * SECOND, 1, &mut log);
        pool.advance(200 * SECOND, &mut log);
        assert_eq!(log.taken(), ["120: start after 70"]);
        pool.add(200 * SECOND, job(205, 1), &mut log);
        pool.advance(300 * SECOND, &mut log);
        assert_eq!(log.taken(), ["205: start after 0"]);
    }

    #[test]
    fn the_list_comes_before_what_has_a_priority_and_each_slot_runs_one_job() {
        let (mut pool, mut log) = (pool(2, None), Log::default());
        let prioritized = Job {
            prioritized: true,
            ..job(0, 10)
        };
        for job in [prioritized, job(1, 10), job(2, 10), job(3, 10)] {
            pool.add(job.ready, job, &mut log);
        }
        assert_eq!((pool.in_list(), pool.demand()), (3, 4));
        pool.scale(0, 1, &mut log);
        pool.advance(60 * SECOND, &mut log);
        assert_eq!(
            log.taken(),
            [
                "20: start after 19",
                "20: start after 18",
                "30: start after 27",
                "30: start after 30"
            ]
        );
        assert_eq!(pool.demand(), 0);
    }

    #[test]
    fn no_more_jobs_start_in_a_window_than_may() {
        let limit = Some((3, 10 * SECOND));
        let (mut pool, mut log) = (pool(10, limit), Log::default());
        for _ in 0..7 {
            pool.add(0, job(0, 1), &mut log);
        }
        pool.scale(0, 1, &mut log);
        pool.advance(100 * SECOND, &mut log);
        let starts = [
            "20: start after 20",
            "30: start after 30",
            "40: start after 40",
        ];
        let [first, second, third] = starts;
        assert_eq!(
            log.taken(),
            [first, first, first, second, second, second, third]
        );
    }

    #[test]
    fn a_replica_that_ends_finishes_what_it_can_and_what_is_killed_comes_back_once() {
        let (mut pool, mut log) = (pool(2, None), Log::default());
        pool.scale(0, 1, &mut log);
        pool.add(0, job(0, 10), &mut log);
        pool.add(0, job(0, 1000), &mut log);
        pool.advance(25 * SECOND, &mut log);
        assert_eq!(log.taken(), ["20: start after 20"; 2]);
        pool.scale(25 * SECOND, 0, &mut log);
        // It is no longer wanted, and still there.
        assert_eq!((pool.replicas(), pool.there()), ((0, 0), 1));
        pool.add(26 * SECOND, job(26, 1), &mut log);
        pool.advance(80 * SECOND, &mut log);
        assert_eq!(log.taken(), ["25: interrupted", "55: 1 killed, 0 lost"]);
        assert_eq!((pool.active(), pool.there()), (1, 0));
        assert_eq!(pool.waiting(80 * SECOND).count(), 2);
        pool.scale(80 * SECOND, 1, &mut log);
        pool.advance(120 * SECOND, &mut log);
        // The one that waited, and the one whose lock ran out at 100.
        assert_eq!(
            log.taken(),
            ["100: start again after 45", "100: start after 74"]
        );
        pool.scale(120 * SECOND, 0, &mut log);
        pool.advance(300 * SECOND, &mut log);
        assert_eq!(log.taken(), ["120: interrupted", "150: 1 killed, 1 lost"]);
        // It is failed by the next that lives, and until then stands among the active ones.
        assert_eq!((pool.active(), pool.waiting(300 * SECOND).count()), (1, 0));
        let paid = pool.replica_time(300 * SECOND) / u128::from(SECOND);
        assert_eq!(paid, 55 + 70, "startup and ending among it");
        pool.scale(300 * SECOND, 1, &mut log);
        pool.advance(400 * SECOND, &mut log);
        assert_eq!((pool.active(), pool.demand()), (0, 0));
    }

    #[test]
    fn those_that_are_not_ready_go_first_and_cost_no_job_anything() {
        let (mut pool, mut log) = (pool(1, None), Log::default());
        pool.scale(0, 2, &mut log);
        pool.advance(20 * SECOND, &mut log);
        pool.add(20 * SECOND, job(20, 60), &mut log);
        pool.add(20 * SECOND, job(20, 60), &mut log);
        pool.scale(30 * SECOND, 4, &mut log);
        pool.scale(31 * SECOND, 2, &mut log);
        assert_eq!((pool.replicas(), pool.there()), ((2, 2), 2));
        assert_eq!(log.taken(), ["20: start after 0"; 2]);
        pool.advance(60 * SECOND, &mut log);
        assert_eq!((pool.replicas(), pool.active()), ((2, 2), 2));
    }

    #[test]
    fn a_job_that_fails_comes_again_when_its_time_is_over() {
        let (mut pool, mut log) = (pool(1, None), Log::default());
        pool.scale(0, 1, &mut log);
        let failing = Job {
            retry: Some(60 * SECOND),
            ..job(20, 5)
        };
        pool.add(20 * SECOND, failing, &mut log);
        pool.advance(200 * SECOND, &mut log);
        assert_eq!(log.taken(), ["20: start after 0", "85: start after 0"]);
    }
}

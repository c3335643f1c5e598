//! What was true in Redis at one moment: plain data, and the decisions that are taken on it.
//!
//! Nothing here knows Redis, HTTP or the text format. `redis` fills these types, `exposition` writes them out.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bullmq_vocabulary::JobState;

use crate::job_events::PackedJobEvents;

/// The prefix and the name of a queue: what BullMQ needs to find it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId {
    /// The key prefix, `bull` unless BullMQ was told otherwise.
    pub prefix: Arc<str>,
    /// The name of the queue.
    pub name: Arc<str>,
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.prefix, self.name)
    }
}

/// The number of jobs of a queue in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JobCounts {
    /// In the `wait` list, without marker elements.
    pub waiting: u64,
    /// In the `paused` list, without marker elements.
    pub paused: u64,
    /// Taken by workers.
    pub active: u64,
    /// Delayed, whether due or not.
    pub delayed: u64,
    /// Waiting in order of priority.
    pub prioritized: u64,
    /// Parents whose children have not all finished.
    pub waiting_children: u64,
    /// Finished well and retained.
    pub completed: u64,
    /// Finished badly and retained.
    pub failed: u64,
}

impl JobCounts {
    /// The number of jobs in `state`.
    pub const fn in_state(&self, state: JobState) -> u64 {
        match state {
            JobState::Waiting => self.waiting,
            JobState::Paused => self.paused,
            JobState::Active => self.active,
            JobState::Delayed => self.delayed,
            JobState::Prioritized => self.prioritized,
            JobState::WaitingChildren => self.waiting_children,
            JobState::Completed => self.completed,
            JobState::Failed => self.failed,
        }
    }
}

/// Which library made a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flavor {
    /// BullMQ, of any version and language.
    #[default]
    BullMq,
    /// Bull, the library before it.
    Bull,
}

impl Flavor {
    /// The value of the `flavor` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::BullMq => "bullmq",
            Self::Bull => "bull",
        }
    }
}

/// What a group of BullMQ Pro waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupStatus {
    /// A worker.
    Waiting,
    /// The end of its rate limit's window.
    Limited,
    /// One of its own jobs to finish.
    Maxed,
    /// To be resumed.
    Paused,
}

impl GroupStatus {
    /// Every status, in the order in which they are written.
    pub const ALL: [Self; 4] = [Self::Waiting, Self::Limited, Self::Maxed, Self::Paused];

    /// The value of the `status` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Limited => "limited",
            Self::Maxed => "maxed",
            Self::Paused => "paused",
        }
    }
}

/// The number of non-empty groups in each status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupCounts {
    waiting: u64,
    limited: u64,
    maxed: u64,
    paused: u64,
}

impl GroupCounts {
    /// The number of groups in `status`.
    pub const fn in_status(&self, status: GroupStatus) -> u64 {
        match status {
            GroupStatus::Waiting => self.waiting,
            GroupStatus::Limited => self.limited,
            GroupStatus::Maxed => self.maxed,
            GroupStatus::Paused => self.paused,
        }
    }

    /// Sets the number of groups in `status`.
    pub const fn set(&mut self, status: GroupStatus, count: u64) {
        match status {
            GroupStatus::Waiting => self.waiting = count,
            GroupStatus::Limited => self.limited = count,
            GroupStatus::Maxed => self.maxed = count,
            GroupStatus::Paused => self.paused = count,
        }
    }
}

/// Whether workers must wait before they take the next job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Whether they must; nothing if only the workers know the limit.
    pub limited: Option<bool>,
    /// How long the current window lasts; zero if there is none.
    pub reset: Duration,
}

impl Default for RateLimit {
    /// No window, and so no limit at this moment.
    fn default() -> Self {
        Self {
            limited: Some(false),
            reset: Duration::ZERO,
        }
    }
}

/// The schedulers of a queue: repeatable jobs, under their older name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Schedulers {
    /// How many there are.
    pub all: u64,
    /// How many of them are past their next run.
    pub overdue: u64,
}

/// The workers of a queue.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workers {
    /// How many are connected.
    pub connected: u64,
    /// How many of them wait for a job.
    pub idle: u64,
}

impl Workers {
    /// The larger of both counts, each for itself.
    #[must_use]
    pub fn most(self, other: Self) -> Self {
        Self {
            connected: self.connected.max(other.connected),
            idle: self.idle.max(other.idle),
        }
    }
}

/// What is read of a queue beside its counts and whether it is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a group of metrics that is on or off by itself"
)]
pub struct Optional {
    /// How long its jobs have been ready or active, and whether a worker holds those that are.
    pub ages: bool,
    /// Whether workers are held back by a rate limit.
    pub limits: bool,
    /// Its schedulers.
    pub schedulers: bool,
    /// How many jobs have been added, and how many have finished, as its workers count.
    pub counters: bool,
    /// Its groups. Without them it has fewer ready jobs than there are, if there are any.
    pub groups: bool,
}

impl Default for Optional {
    /// All of it.
    fn default() -> Self {
        Self {
            ages: true,
            limits: true,
            schedulers: true,
            counters: true,
            groups: true,
        }
    }
}

/// One queue as it was read in one scrape.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct QueueSnapshot {
    /// Jobs by state.
    pub counts: JobCounts,
    /// Delayed jobs whose time has come.
    pub delayed_due: u64,
    /// For each horizon of the snapshot, the delayed jobs that are not due yet but will be within it; empty if there are none.
    pub delayed_due_within: Vec<u64>,
    /// Whether workers are told to take nothing.
    pub paused: bool,
    /// The global concurrency, if the queue has one.
    pub concurrency_limit: Option<u64>,
    /// How long the oldest ready job has been ready; zero if none is ready, nothing if it cannot be known.
    pub oldest_ready_age: Option<Duration>,
    /// How long the longest-running active job has run; zero if none is active, nothing if it cannot be known.
    pub longest_active: Option<Duration>,
    /// Whether no living worker holds that job.
    pub orphaned: Option<bool>,
    /// The rate limit, unless it could not be read.
    pub rate_limit: Option<RateLimit>,
    /// The schedulers, unless they could not be read.
    pub schedulers: Option<Schedulers>,
    /// The groups of BullMQ Pro, if there are any.
    pub groups: Option<GroupCounts>,
    /// Which library made the queue.
    pub flavor: Flavor,
    /// The version of a producer, empty if unknown.
    pub version: String,
    /// Attempts to add a job, if the counter could be read.
    pub added: Option<u64>,
    /// Jobs that finished well, if the workers count.
    pub completed: Option<u64>,
    /// Jobs that finished badly, if the workers count.
    pub failed: Option<u64>,
}

impl QueueSnapshot {
    /// Jobs that a worker could take now.
    ///
    /// Delayed jobs that are due count, because every living worker moves them before it looks for work. The `paused` list
    /// does not: under a pause no worker takes from it, and one left over from an upgrade to BullMQ 6 is not taken from either.
    /// A group that waits for a worker holds at least one job, which stands in no list; more than that is not known.
    pub const fn ready(&self) -> u64 {
        if self.paused {
            return 0;
        }
        self.counts
            .waiting
            .saturating_add(self.counts.prioritized)
            .saturating_add(self.delayed_due)
            .saturating_add(match &self.groups {
                Some(groups) => groups.in_status(GroupStatus::Waiting),
                None => 0,
            })
    }

    /// Worker slots that are needed now.
    pub fn demand(&self) -> u64 {
        self.demand_for(self.ready())
    }

    /// Worker slots that would be needed if the delayed jobs of the horizon with this index were due now.
    pub fn demand_ahead(&self, horizon: usize) -> u64 {
        let soon = if self.paused {
            0
        } else {
            self.delayed_due_within.get(horizon).copied().unwrap_or(0)
        };
        self.demand_for(self.ready().saturating_add(soon))
    }

    /// Ready and active jobs, as far as the global concurrency lets them run side by side.
    ///
    /// The limit may have been lowered below what runs already; those jobs still hold their slots, so demand is never below
    /// the active jobs and a lower limit takes no busy worker away.
    fn demand_for(&self, ready: u64) -> u64 {
        let wanted = ready.saturating_add(self.counts.active);
        match self.concurrency_limit {
            Some(limit) => wanted.min(limit).max(self.counts.active),
            None => wanted,
        }
    }
}

/// How the reading of one queue ended.
#[derive(Clone, Debug, PartialEq)]
pub enum QueueReading {
    /// It was not read: the deadline came first, or one of its core reads failed.
    Unread,
    /// It does not exist.
    Gone,
    /// It was read.
    Read(Arc<QueueSnapshot>),
}

/// The last successful search for queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discovery {
    /// How many queues were found.
    pub queues: usize,
    /// How long the search took.
    pub duration: Duration,
    /// When it ended, by Redis' clock, since 1970.
    pub finished_at: Duration,
}

/// What a Redis says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RedisFacts {
    /// Its version.
    pub version: String,
    /// `standalone`, `sentinel` or `cluster`.
    pub mode: String,
    /// `primary` or `replica`.
    pub role: String,
    /// What it does when its memory is full. BullMQ needs `noeviction`.
    pub maxmemory_policy: String,
}

/// One Redis as it was read in one scrape.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The name of the connection.
    pub redis: Arc<str>,
    /// Whether Redis answered. If it did not, `queues` is empty.
    pub up: bool,
    /// How long the reading took.
    pub duration: Duration,
    /// The last successful search for queues, if there was one.
    pub discovery: Option<Discovery>,
    /// The horizons to which the queues' `delayed_due_within` belong.
    pub horizons: Arc<[Duration]>,
    /// What it says of itself, if it could be asked.
    pub facts: Option<RedisFacts>,
    /// The workers of each of `queues`, in their order, where they could be counted.
    pub workers: Vec<Option<Workers>>,
    /// What the events of each of `queues` told, in their order, where they could be read lately; empty if they are not followed.
    pub events: Vec<Option<PackedJobEvents>>,
    /// The queues, in the order of their prefixes and names.
    pub queues: Vec<(QueueId, QueueReading)>,
}

/// Why a read failed: the closed set of values of the `cause` label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorCause {
    /// No connection, or it broke.
    Connection,
    /// No answer in time.
    Timeout,
    /// Redis wants other credentials.
    Authentication,
    /// The user may not run a command.
    Denied,
    /// A key holds another type than BullMQ gives it.
    WrongType,
    /// Redis refused for another reason: loading its data, a replica without its primary, too many clients.
    Server,
    /// An answer that makes no sense.
    Protocol,
}

impl ErrorCause {
    /// Every cause.
    pub const ALL: [Self; 7] = [
        Self::Connection,
        Self::Timeout,
        Self::Authentication,
        Self::Denied,
        Self::WrongType,
        Self::Server,
        Self::Protocol,
    ];

    /// The value of the `cause` label.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Timeout => "timeout",
            Self::Authentication => "authentication",
            Self::Denied => "denied",
            Self::WrongType => "wrong_type",
            Self::Server => "server",
            Self::Protocol => "protocol",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A queue in words: waiting, prioritized, active, due, soon due.
    fn queue(waiting: u64, prioritized: u64, active: u64, due: u64, soon: u64) -> QueueSnapshot {
        QueueSnapshot {
            counts: JobCounts {
                waiting,
                prioritized,
                active,
                delayed: due + soon,
                ..JobCounts::default()
            },
            delayed_due: due,
            delayed_due_within: vec![soon],
            ..QueueSnapshot::default()
        }
    }

    #[test]
    fn ready_and_demand_follow_from_the_counts() {
        let paused = |queue| QueueSnapshot {
            paused: true,
            ..queue
        };
        let limited = |limit, queue| QueueSnapshot {
            concurrency_limit: Some(limit),
            ..queue
        };
        for (sentence, queue, ready, demand, ahead) in [
            (
                "an empty queue needs nothing",
                queue(0, 0, 0, 0, 0),
                0,
                0,
                0,
            ),
            (
                "prioritized jobs alone are ready",
                queue(0, 7, 0, 0, 0),
                7,
                7,
                7,
            ),
            ("due jobs alone are ready", queue(0, 0, 0, 3, 0), 3, 3, 3),
            (
                "jobs soon due count ahead only",
                queue(1, 0, 0, 0, 5),
                1,
                1,
                6,
            ),
            (
                "active jobs hold their slots",
                queue(2, 1, 4, 1, 0),
                4,
                8,
                8,
            ),
            (
                "a paused queue needs slots for what runs",
                paused(queue(9, 9, 2, 9, 9)),
                0,
                2,
                2,
            ),
            (
                "the global concurrency caps demand",
                limited(3, queue(9, 0, 1, 0, 9)),
                9,
                3,
                3,
            ),
            (
                "a limit below what runs takes no busy slot",
                limited(3, queue(9, 0, 5, 0, 0)),
                9,
                5,
                5,
            ),
        ] {
            assert_eq!(queue.ready(), ready, "{sentence}");
            assert_eq!(queue.demand(), demand, "{sentence}");
            assert_eq!(queue.demand_ahead(0), ahead, "{sentence}");
        }
    }

    #[test]
    fn a_left_over_paused_list_is_never_ready() {
        let mut queue = queue(0, 0, 0, 0, 0);
        queue.counts.paused = 8;
        assert_eq!(queue.ready(), 0);
        assert_eq!(queue.demand(), 0);
    }
}

//! The states in which BullMQ keeps a job.

use std::fmt;

/// A state of a job, in BullMQ's own words.
///
/// `Waiting` and `Paused` name the two lists in which jobs wait their turn, so that every job stands in exactly one state,
/// whatever the version: up to BullMQ 5 a pause renames the one list to the other, from BullMQ 6 on the jobs stay where they
/// are. Whether the queue is paused is a metric of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobState {
    /// In the `wait` list, in the order in which workers take them.
    Waiting,
    /// In the `paused` list: held by a pause up to BullMQ 5, or left over from it after an upgrade to 6.
    Paused,
    /// Taken by a worker.
    Active,
    /// Waiting for a time: a delayed job, a retry with backoff, or the next run of a schedule.
    Delayed,
    /// Waiting in order of priority.
    Prioritized,
    /// A parent of a flow whose children have not all finished.
    WaitingChildren,
    /// Finished well, and retained.
    Completed,
    /// Finished badly, and retained.
    Failed,
}

impl JobState {
    /// Every state, in the order in which they are written.
    pub const ALL: [Self; 8] = [
        Self::Waiting,
        Self::Paused,
        Self::Active,
        Self::Delayed,
        Self::Prioritized,
        Self::WaitingChildren,
        Self::Completed,
        Self::Failed,
    ];

    /// The value of the `state` label: BullMQ's own name of the state.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::Active => "active",
            Self::Delayed => "delayed",
            Self::Prioritized => "prioritized",
            Self::WaitingChildren => "waiting-children",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

impl fmt::Display for JobState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

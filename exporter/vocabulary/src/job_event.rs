//! The events that BullMQ writes about jobs and queues.

use std::fmt;

/// An entry of a queue's event stream, in BullMQ's own words.
///
/// Source: the `XADD` commands of <https://github.com/taskforcesh/bullmq/tree/v6.7.0/src/commands>, with what BullMQ 4 and 5 write besides.
/// There is no event of a retry: a job that is tried again becomes waiting, or delayed if it backs off.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum JobEvent {
    /// A job was added.
    Added,
    /// A job is ready for a worker: added, due, tried again, released by its children, or taken back from a dead worker.
    Waiting,
    /// A job is delayed: added with a delay, or backing off.
    Delayed,
    /// A parent waits for its children.
    WaitingChildren,
    /// A worker took a job.
    Active,
    /// A worker told how far a job is.
    Progress,
    /// A job finished well.
    Completed,
    /// A job failed for good; an attempt that is tried again is not one.
    Failed,
    /// A job failed for good with its last attempt.
    RetriesExhausted,
    /// A job was taken back from a worker that died.
    Stalled,
    /// A job was removed.
    Removed,
    /// Jobs were cleaned away; one event for all of them.
    Cleaned,
    /// A job with this id existed already.
    Duplicated,
    /// A job was not added because its deduplication id was taken.
    Deduplicated,
    /// The older name of the same, written beside it by BullMQ 5.
    Debounced,
    /// No job is waiting, prioritized or active any more.
    Drained,
    /// The queue was paused.
    Paused,
    /// The queue was resumed.
    Resumed,
    /// An event of another name: of a later BullMQ, or published by an application.
    Other,
}

impl JobEvent {
    /// Every event, in the order in which they are written.
    pub const ALL: [Self; 19] = [
        Self::Added,
        Self::Waiting,
        Self::Delayed,
        Self::WaitingChildren,
        Self::Active,
        Self::Progress,
        Self::Completed,
        Self::Failed,
        Self::RetriesExhausted,
        Self::Stalled,
        Self::Removed,
        Self::Cleaned,
        Self::Duplicated,
        Self::Deduplicated,
        Self::Debounced,
        Self::Drained,
        Self::Paused,
        Self::Resumed,
        Self::Other,
    ];

    /// The value of the `event` label: BullMQ's own name of the event, or `other`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Waiting => "waiting",
            Self::Delayed => "delayed",
            Self::WaitingChildren => "waiting-children",
            Self::Active => "active",
            Self::Progress => "progress",
            Self::Completed => "completed",
            Self::Failed => "failed",
            Self::RetriesExhausted => "retries-exhausted",
            Self::Stalled => "stalled",
            Self::Removed => "removed",
            Self::Cleaned => "cleaned",
            Self::Duplicated => "duplicated",
            Self::Deduplicated => "deduplicated",
            Self::Debounced => "debounced",
            Self::Drained => "drained",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Other => "other",
        }
    }

    /// The event that has this name in a stream.
    pub fn of(name: &[u8]) -> Self {
        let named = Self::ALL
            .into_iter()
            .find(|event| event.as_str().as_bytes() == name);
        named.unwrap_or(Self::Other)
    }
}

impl fmt::Display for JobEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_found_by_its_name_and_any_other_name_is_other() {
        for (place, event) in JobEvent::ALL.into_iter().enumerate() {
            assert_eq!(JobEvent::of(event.as_str().as_bytes()), event);
            // Counts are kept in this order.
            assert_eq!(event as usize, place, "{event}");
        }
        for name in ["", "Completed", "my-event", "completed "] {
            assert_eq!(JobEvent::of(name.as_bytes()), JobEvent::Other, "{name}");
        }
        assert_eq!(JobEvent::of(b"\xff"), JobEvent::Other);
    }
}

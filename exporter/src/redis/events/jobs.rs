//! The jobs of a queue between two of their events, and the timings that follow from them.
//!
//! Only what was seen is measured: a job whose beginning was not seen, or is no longer remembered, is not. What is remembered is bounded;
//! once it is full, new jobs are left out rather than old ones forgotten, because in a long backlog the old ones are taken next.

use std::collections::HashMap;
use std::time::Duration;

use bullmq_vocabulary::JobEvent;

use super::entry::Entry;
use crate::job_events::JobEvents;

/// How many jobs of a queue are remembered between waiting and finished, and as many delayed ones: enough for the waiting jobs of all
/// but a few queues. Of a longer backlog those are measured that were remembered: a fair share, since the rest wait as long.
pub(super) const MOST_OF_A_QUEUE: usize = 10_000;

/// How many jobs are remembered in all. A job takes about 100 bytes, so this is about 10 MB.
pub(super) const MOST_IN_ALL: usize = 100_000;

/// How long a job is remembered. Of jobs that were removed without an event (`drain`, `clean`) nothing more is ever heard; and who waits
/// for longer than this needs no histogram to see it.
const MEMORY: Duration = Duration::from_hours(24);

/// The longest id that is remembered. BullMQ's own are numbers or UUIDs; an application's may be anything.
const LONGEST_ID: usize = 256;

/// Where a job is, and since when, or from when on, in milliseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Waiting { since: u64 },
    Active { since: u64 },
    Delayed { due: u64 },
}

impl Phase {
    const fn time(self) -> u64 {
        match self {
            Self::Waiting { since } | Self::Active { since } => since,
            Self::Delayed { due } => due,
        }
    }

    const fn is_delayed(self) -> bool {
        matches!(self, Self::Delayed { .. })
    }
}

/// How many more jobs may be remembered, over all queues.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(MOST_IN_ALL)
    }
}

/// What is remembered of the jobs of one queue.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    phases: HashMap<Box<[u8]>, Phase>,
    /// How many of them are delayed.
    delayed: usize,
}

impl Jobs {
    /// Counts an event, and measures what ends with it.
    pub(super) fn take(&mut self, entry: &Entry<'_>, told: &mut JobEvents, room: &mut Room) {
        told.count(entry.event);
        let (id, now) = (entry.job, entry.id.millis);
        let elapsed = |since: u64| Duration::from_millis(now.saturating_sub(since));
        match entry.event {
            JobEvent::Waiting => {
                let since = match self.phases.get(id) {
                    // A worker moves it when it is due or later; in between it was ready, but nobody was there to take it.
                    Some(Phase::Delayed { due }) if entry.was_delayed => Some(now.min(*due)),
                    _ => (!entry.was_delayed).then_some(now),
                };
                let phase = since.map(|since| Phase::Waiting { since });
                self.enter(id, phase, room);
            }
            JobEvent::Active => {
                let phase = Phase::Active { since: now };
                if let Some(Phase::Waiting { since }) = self.enter(id, Some(phase), room) {
                    told.wait.observe(elapsed(since));
                }
            }
            JobEvent::Completed | JobEvent::Failed => {
                if let Some(Phase::Active { since }) = self.enter(id, None, room) {
                    told.processing.observe(elapsed(since));
                }
            }
            JobEvent::Delayed => {
                let limit = now.saturating_add(millis(MEMORY));
                let due = entry.due.filter(|due| *due <= limit);
                self.enter(id, due.map(|due| Phase::Delayed { due }), room);
            }
            JobEvent::WaitingChildren | JobEvent::Removed => {
                self.enter(id, None, room);
            }
            // No job is waiting or active: what is remembered of such was removed without a word.
            JobEvent::Drained => self.keep(Phase::is_delayed, room),
            JobEvent::Added
            | JobEvent::Progress
            | JobEvent::RetriesExhausted
            | JobEvent::Stalled
            | JobEvent::Cleaned
            | JobEvent::Duplicated
            | JobEvent::Deduplicated
            | JobEvent::Debounced
            | JobEvent::Paused
            | JobEvent::Resumed
            | JobEvent::Other => {}
        }
    }

    /// Forgets every job: something was missed, and what is remembered may have changed since.
    pub(super) fn forget_all(&mut self, room: &mut Room) {
        room.0 += self.phases.len();
        *self = Self::default();
    }

    /// Forgets the jobs of which nothing has been heard for too long.
    pub(super) fn forget_old(&mut self, now: u64, room: &mut Room) {
        let oldest = now.saturating_sub(millis(MEMORY));
        self.keep(|phase| phase.time() >= oldest, room);
        // A burst must not hold its memory for ever.
        if self.phases.capacity() > 4 * self.phases.len() {
            self.phases.shrink_to_fit();
        }
    }

    /// Remembers where a job is now, or forgets it, and returns where it was.
    fn enter(&mut self, id: &[u8], phase: Option<Phase>, room: &mut Room) -> Option<Phase> {
        let has_place = |phase: &Phase| {
            let delayed = self.delayed;
            let alike = if phase.is_delayed() {
                delayed
            } else {
                self.phases.len() - delayed
            };
            alike < MOST_OF_A_QUEUE
        };
        let before = self.phases.get(id).copied();
        let stays = |phase: &Phase| before.is_some_and(|it| it.is_delayed() == phase.is_delayed());
        let phase = phase.filter(|phase| stays(phase) || has_place(phase));
        if let Some(phase) = phase {
            if let Some(known) = self.phases.get_mut(id) {
                *known = phase;
            } else if room.0 > 0 && (1..=LONGEST_ID).contains(&id.len()) {
                self.phases.insert(id.into(), phase);
                room.0 -= 1;
            } else {
                return None;
            }
            self.delayed += usize::from(phase.is_delayed());
        } else if before.is_some() {
            self.phases.remove(id);
            room.0 += 1;
        }
        self.delayed -= usize::from(before.is_some_and(Phase::is_delayed));
        before
    }

    /// Forgets all others.
    fn keep(&mut self, meant: impl Fn(Phase) -> bool, room: &mut Room) {
        let before = self.phases.len();
        self.phases.retain(|_, phase| meant(*phase));
        room.0 += before - self.phases.len();
        let delayed = self.phases.values().filter(|phase| phase.is_delayed());
        self.delayed = delayed.count();
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::position::EntryId;
    use super::*;

    /// Events as `millis event job`, with the due time of a delayed one behind it, or `delayed` behind a waiting one that was.
    fn told(events: &str) -> (JobEvents, Jobs, Room) {
        let (mut told, mut jobs, mut room) =
            (JobEvents::default(), Jobs::default(), Room::default());
        for line in events.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let id = format!("{}-0", words[0]);
            let entry = Entry {
                id: EntryId::parse(id.as_bytes()).unwrap(),
                event: JobEvent::of(words[1].as_bytes()),
                job: words.get(2).copied().unwrap_or_default().as_bytes(),
                was_delayed: words.get(3) == Some(&"delayed"),
                due: words.get(3).and_then(|due| due.parse().ok()),
                bytes: 0,
            };
            jobs.take(&entry, &mut told, &mut room);
        }
        (told, jobs, room)
    }

    fn begun_and_delayed(jobs: &Jobs) -> (usize, usize) {
        let delayed = jobs.phases.values().filter(|phase| phase.is_delayed());
        assert_eq!(delayed.count(), jobs.delayed);
        (jobs.phases.len() - jobs.delayed, jobs.delayed)
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    #[test]
    fn what_was_seen_to_begin_and_to_end_is_measured() {
        // Events; how long jobs waited and were processed, in milliseconds and in all; how many of each; how many are remembered.
        for (sentence, events, wait, processing, remembered) in [
            (
                "a job that runs at once",
                "0 added a\n0 waiting a\n7 active a\n57 completed a",
                (1, 7),
                (1, 50),
                0,
            ),
            (
                "a job that fails",
                "0 waiting a\n7 active a\n57 failed a\n57 retries-exhausted a",
                (1, 7),
                (1, 50),
                0,
            ),
            (
                "tried again at once",
                "0 waiting a\n1 active a\n11 waiting a\n14 active a\n34 completed a",
                (2, 4),
                (1, 20),
                0,
            ),
            (
                "tried again after a while",
                "0 waiting a\n1 active a\n11 delayed a 100\n102 waiting a delayed\n103 active a\n113 completed a",
                (2, 4),
                (1, 10),
                0,
            ),
            (
                "overdue for an hour before a worker came",
                "0 delayed a 100\n3600100 waiting a delayed\n3600101 active a",
                (1, 3_600_001),
                (0, 0),
                1,
            ),
            (
                "promoted by hand before it was due",
                "0 delayed a 5000\n10 waiting a delayed\n13 active a",
                (1, 3),
                (0, 0),
                1,
            ),
            (
                "delayed before it was seen",
                "10 waiting a delayed\n13 active a\n20 completed a",
                (0, 0),
                (1, 7),
                0,
            ),
            (
                "delayed for more than a day",
                "0 delayed a 90000000\n90000001 waiting a delayed\n90000002 active a",
                (0, 0),
                (0, 0),
                1,
            ),
            (
                "waiting before it was seen",
                "13 active a\n20 completed a",
                (0, 0),
                (1, 7),
                0,
            ),
            (
                "active before it was seen",
                "20 completed a",
                (0, 0),
                (0, 0),
                0,
            ),
            (
                "finished without having been active",
                "0 waiting a\n20 failed a",
                (0, 0),
                (0, 0),
                0,
            ),
            (
                "taken back from a dead worker",
                "0 waiting a\n1 active a\n90 waiting a\n90 stalled a\n95 active a\n99 completed a",
                (2, 6),
                (1, 4),
                0,
            ),
            (
                "a parent that waits for its children",
                "0 waiting-children p\n9 waiting p\n10 active p\n15 waiting-children p\n30 waiting p\n31 active p\n33 completed p",
                (2, 2),
                (1, 2),
                0,
            ),
            (
                "removed",
                "0 waiting a\n1 removed a\n5 delayed b 9\n6 removed b\n9 active a",
                (0, 0),
                (0, 0),
                1,
            ),
            (
                "delayed, and failed without having been active",
                "0 delayed a 5000\n20 failed a",
                (0, 0),
                (0, 0),
                0,
            ),
            (
                "an id used again",
                "0 waiting a\n1 active a\n2 completed a\n10 waiting a\n13 active a\n20 completed a",
                (2, 4),
                (2, 8),
                0,
            ),
            (
                "drained: whatever waits was removed without an event, delayed jobs stay",
                "0 waiting a\n1 waiting b\n1 delayed c 9\n2 active b\n3 completed b\n3 drained",
                (1, 1),
                (1, 1),
                1,
            ),
            (
                "a job without an id",
                "0 waiting\n1 active\n2 completed",
                (0, 0),
                (0, 0),
                0,
            ),
            (
                "ids that went back measure nothing negative",
                "10 waiting a\n5 active a\n3 completed a",
                (1, 0),
                (1, 0),
                0,
            ),
        ] {
            let (told, jobs, room) = told(events);
            let measured = |histogram: &crate::job_events::Histogram| {
                (histogram.count(), histogram.sum().as_millis())
            };
            assert_eq!(measured(&told.wait), wait, "{sentence}: wait");
            assert_eq!(
                measured(&told.processing),
                processing,
                "{sentence}: processing"
            );
            let (begun, delayed) = begun_and_delayed(&jobs);
            let all = begun + delayed;
            assert_eq!(all, remembered, "{sentence}: remembered");
            assert_eq!(room.0, MOST_IN_ALL - all, "{sentence}: room");
        }
    }

    #[test]
    fn memory_is_bounded_and_what_falls_out_is_not_measured() {
        let mut events = String::new();
        for job in 0..MOST_OF_A_QUEUE + 5 {
            events.extend([
                format!("0 waiting w{job}\n"),
                format!("0 delayed d{job} 5\n"),
            ]);
        }
        for job in 0..MOST_OF_A_QUEUE + 5 {
            events.extend([format!("7 active w{job}\n")]);
        }
        let (told, mut jobs, mut room) = told(&events);
        assert_eq!(told.wait.count(), MOST_OF_A_QUEUE as u64);
        assert_eq!(told.seen(JobEvent::Waiting), MOST_OF_A_QUEUE as u64 + 5);
        assert_eq!(begun_and_delayed(&jobs), (MOST_OF_A_QUEUE, MOST_OF_A_QUEUE));
        assert_eq!(room.0, MOST_IN_ALL - 2 * MOST_OF_A_QUEUE);

        jobs.forget_old(millis(MEMORY) + 6, &mut room);
        assert_eq!(begun_and_delayed(&jobs), (MOST_OF_A_QUEUE, 0));
        jobs.forget_old(millis(MEMORY) + 8, &mut room);
        assert_eq!((jobs.phases.len(), jobs.phases.capacity()), (0, 0));
        assert_eq!(room.0, MOST_IN_ALL);
    }

    #[test]
    fn what_all_queues_remember_together_is_bounded() {
        let (mut told, mut room) = (JobEvents::default(), Room(1));
        let (mut one, mut other) = (Jobs::default(), Jobs::default());
        let entry = |job: &'static str, event| Entry {
            id: EntryId::default(),
            event,
            job: job.as_bytes(),
            was_delayed: false,
            due: None,
            bytes: 0,
        };
        one.take(&entry("a", JobEvent::Waiting), &mut told, &mut room);
        other.take(&entry("a", JobEvent::Waiting), &mut told, &mut room);
        assert_eq!((one.phases.len(), other.phases.len(), room.0), (1, 0, 0));
        one.forget_all(&mut room);
        other.take(&entry("a", JobEvent::Waiting), &mut told, &mut room);
        assert_eq!((one.phases.len(), other.phases.len(), room.0), (0, 1, 0));
    }

    #[test]
    fn an_id_that_is_too_long_is_not_remembered() {
        for (length, remembered) in [(LONGEST_ID, 1), (LONGEST_ID + 1, 0)] {
            let (_, jobs, _) = told(&format!("0 waiting {}", "x".repeat(length)));
            assert_eq!(jobs.phases.len(), remembered, "{length}");
        }
    }
}

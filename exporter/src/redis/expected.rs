//! What a queue is expected to have, which decides how it is asked and never what is told of it.
//!
//! Most queues have few of the keys that a queue can have, and the same ones from scrape to scrape. So a queue is asked in detail for what it had
//! lately, and one EXISTS of all other keys proves that it has nothing else. If it has, it is asked again for everything, in the same
//! scrape. Every value that is served was read in its own scrape.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bitflags::bitflags;

use crate::model::QueueId;

/// For how many readings a queue is asked for what it no longer has, at least; and at most for twice as many. One more command
/// in each of them costs as much as asking once for everything, which is what it costs to have forgotten something that comes back.
const KEPT_FOR: u8 = 16;

bitflags! {
    /// What there can be in a queue.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(super) struct Parts: u16 {
        const WAITING = 1;
        const PAUSED = 1 << 1;
        const ACTIVE = 1 << 2;
        const PRIORITIZED = 1 << 3;
        const DELAYED = 1 << 4;
        /// More delayed jobs whose time has come than are looked at one by one. They have no key of their own.
        const MANY_DUE = 1 << 5;
        const WAITING_CHILDREN = 1 << 6;
        const COMPLETED = 1 << 7;
        const FAILED = 1 << 8;
        /// The window of a rate limit.
        const LIMITER = 1 << 9;
        const SCHEDULERS = 1 << 10;
        /// The workers' counters of finished jobs.
        const FINISHED = 1 << 11;
        const GROUPS = 1 << 12;
        /// What BullMQ writes about a queue.
        const META = 1 << 13;
    }
}

/// What each queue had lately.
#[derive(Debug, Default)]
pub(crate) struct Expected(Mutex<HashMap<QueueId, Lately>>);

/// What a queue had in the last readings.
#[derive(Clone, Copy, Debug)]
struct Lately {
    /// In the last whole [`KEPT_FOR`] readings.
    before: Parts,
    /// In those since.
    since: Parts,
    /// How many those are.
    readings: u8,
}

impl Expected {
    /// What these queues are expected to have: of one that is not known, everything.
    pub(super) fn of(&self, queues: &[QueueId]) -> Vec<Parts> {
        let known = self.lock();
        let of_queue = |queue| {
            known
                .get(queue)
                .map_or_else(Parts::all, |lately| lately.parts())
        };
        queues.iter().map(of_queue).collect()
    }

    /// Takes what these queues were found to have.
    pub(super) fn learn(&self, queues: &[QueueId], found: impl Iterator<Item = Parts>) {
        let mut known = self.lock();
        for (queue, found) in queues.iter().zip(found) {
            match known.get_mut(queue) {
                Some(lately) => lately.learn(found),
                None => {
                    known.insert(queue.clone(), Lately::beginning_with(found));
                }
            }
        }
    }

    /// Forgets every queue but these, which are in order.
    pub(crate) fn retain(&self, queues: &[QueueId]) {
        self.lock()
            .retain(|queue, _| queues.binary_search(queue).is_ok());
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<QueueId, Lately>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lately {
    const fn beginning_with(found: Parts) -> Self {
        Self {
            before: Parts::empty(),
            since: found,
            readings: 1,
        }
    }

    const fn parts(self) -> Parts {
        self.before.union(self.since)
    }

    fn learn(&mut self, found: Parts) {
        if self.readings == KEPT_FOR {
            self.before = self.since;
            self.since = Parts::empty();
            self.readings = 0;
        }
        self.since |= found;
        self.readings += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_queue_had_is_expected_for_a_while_and_everything_of_one_that_is_not_known() {
        let expected = Expected::default();
        let queues = [QueueId {
            prefix: "bull".into(),
            name: "email".into(),
        }];
        let learn = |found| expected.learn(&queues, [found].into_iter());
        assert_eq!(expected.of(&queues), [Parts::all()]);
        let both = Parts::WAITING | Parts::ACTIVE;
        learn(both);
        let mut readings = 1;
        while expected.of(&queues) == [both] {
            learn(Parts::ACTIVE);
            readings += 1;
        }
        assert_eq!(expected.of(&queues), [Parts::ACTIVE]);
        let (least, most) = (u32::from(KEPT_FOR), u32::from(KEPT_FOR) * 2);
        assert!((least..=most + 1).contains(&readings), "{readings}");

        learn(Parts::DELAYED);
        assert_eq!(expected.of(&queues), [Parts::ACTIVE | Parts::DELAYED]);
        expected.retain(&queues);
        assert_eq!(expected.of(&queues), [Parts::ACTIVE | Parts::DELAYED]);
        expected.retain(&[]);
        assert_eq!(expected.of(&queues), [Parts::all()]);
    }
}

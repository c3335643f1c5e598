//! When jobs were first seen whose hash does not tell since when they are ready.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::score::Millis;
use crate::model::QueueId;

/// The jobs whose age is counted from when they were first seen.
///
/// Bounded: at most the candidates for the oldest job of each queue are kept, and each only as long as it is one.
#[derive(Debug, Default)]
pub(crate) struct FirstSeen(Mutex<HashMap<QueueId, HashMap<Vec<u8>, Millis>>>);

impl FirstSeen {
    /// Remembers the jobs of a queue seen now, forgets its others, and returns when the earliest was first seen.
    pub(super) fn update(&self, queue: &QueueId, ids: Vec<Vec<u8>>, now: Millis) -> Option<Millis> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.is_empty() {
            queues.remove(queue);
            return None;
        }
        let known = queues.remove(queue).unwrap_or_default();
        let seen: HashMap<_, _> = ids
            .into_iter()
            .map(|id| {
                let first = known.get(&id).copied().unwrap_or(now);
                (id, first)
            })
            .collect();
        let earliest = seen.values().min().copied();
        queues.insert(queue.clone(), seen);
        earliest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_of_unknown_age_counts_from_when_it_was_first_seen_until_it_is_gone() {
        let first_seen = FirstSeen::default();
        let queue = QueueId {
            prefix: "bull".into(),
            name: "email".into(),
        };
        let ids = |ids: &[&str]| {
            ids.iter()
                .map(|id| id.as_bytes().to_vec())
                .collect::<Vec<_>>()
        };
        for (now, seen, expected) in [
            (10, ids(&["a"]), Some(10)),
            (20, ids(&["a", "b"]), Some(10)),
            (30, ids(&["b"]), Some(20)),
            (40, ids(&[]), None),
            (50, ids(&["b"]), Some(50)),
        ] {
            assert_eq!(
                first_seen.update(&queue, seen, Millis(now)),
                expected.map(Millis),
                "{now}"
            );
        }
    }
}

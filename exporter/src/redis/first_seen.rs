//! When jobs were first seen whose hash does not tell since when they are ready.
//!
//! Kept by a clock that never steps: Redis' own may be set back or ahead, and a job would have waited for years.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use tokio::time::Instant;

use super::score::Millis;
use crate::model::QueueId;

/// The jobs whose age is counted from when they were first seen.
///
/// Bounded: at most the candidates for the oldest job of each queue are kept, and each only as long as it is one.
#[derive(Debug, Default)]
pub(crate) struct FirstSeen(Mutex<HashMap<QueueId, HashMap<Vec<u8>, Instant>>>);

impl FirstSeen {
    /// Remembers the jobs of a queue seen at `seen_at`, when it was `now` to Redis, forgets its others, and returns when the earliest was
    /// first seen.
    pub(super) fn update(
        &self,
        queue: &QueueId,
        ids: Vec<Vec<u8>>,
        seen_at: Instant,
        now: Millis,
    ) -> Option<Millis> {
        let mut queues = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if ids.is_empty() {
            queues.remove(queue);
            return None;
        }
        let known = queues.remove(queue).unwrap_or_default();
        let seen: HashMap<_, _> = ids
            .into_iter()
            .map(|id| {
                let first = known.get(&id).copied().unwrap_or(seen_at);
                (id, first)
            })
            .collect();
        let earliest = seen.values().min().copied();
        queues.insert(queue.clone(), seen);
        Some(now.before(seen_at.duration_since(earliest?)))
    }

    /// Forgets every queue but these, which are in order.
    pub(crate) fn retain(&self, queues: &[QueueId]) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|queue, _| queues.binary_search(queue).is_ok());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
        let began = Instant::now();
        for (after, now, seen, expected) in [
            (10, 1010, ids(&["a"]), Some(1010)),
            (20, 1020, ids(&["a", "b"]), Some(1010)),
            // Redis' clock is set back, and then ahead.
            (30, 130, ids(&["b"]), Some(120)),
            (40, 9040, ids(&["b"]), Some(9020)),
            (50, 9050, ids(&[]), None),
            (60, 9060, ids(&["b"]), Some(9060)),
        ] {
            let seen_at = began + Duration::from_millis(after);
            assert_eq!(
                first_seen.update(&queue, seen, seen_at, Millis(now)),
                expected.map(Millis),
                "{after}"
            );
        }

        let seen_at = began + Duration::from_millis(70);
        first_seen.retain(std::slice::from_ref(&queue));
        let seen = |at| first_seen.update(&queue, ids(&["b"]), seen_at, Millis(at));
        assert_eq!(seen(9070), Some(Millis(9060)), "the queue is still known");
        first_seen.retain(&[]);
        assert_eq!(seen(9070), Some(Millis(9070)), "the queue was gone");
    }
}

//! What was told of each queue, for the scrapes to read: the pass writes it, and what is old is served no more.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::job_events::PackedJobEvents;
use crate::model::QueueId;

/// How long what was read is served. A pass is made every two seconds at the latest, and may take a few more.
pub(crate) const SERVED_FOR: Duration = Duration::from_secs(10);

/// Where a pass leaves what it learnt for the scrapes.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<Notes>);

/// What was told of each queue, in their order; nothing of those whose stream has not been read, or cannot be.
#[derive(Debug, Default)]
struct Notes {
    queues: Arc<[QueueId]>,
    told: Vec<Option<Told>>,
}

#[derive(Clone, Debug)]
struct Told {
    at: Instant,
    events: PackedJobEvents,
}

impl Board {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known of each of these queues, in their order, where its stream has been read lately. Both these and those that are followed are
    /// in order; for a moment they need not be the same.
    pub(crate) fn current(&self, queues: &[QueueId], now: Instant) -> Vec<Option<PackedJobEvents>> {
        let notes = self.notes();
        let mut followed = notes.queues.iter().zip(&notes.told).peekable();
        let current = |queue| {
            while followed.next_if(|(other, _)| *other < queue).is_some() {}
            let (_, told) = followed.next_if(|(other, _)| *other == queue)?;
            let told = told.as_ref()?;
            let is_current = now.duration_since(told.at) <= SERVED_FOR;
            is_current.then(|| told.events.clone())
        };
        queues.iter().map(current).collect()
    }

    /// Nothing of the queues in these places is current any more.
    pub(crate) fn forget(&self, places: impl IntoIterator<Item = usize>) {
        let mut notes = self.notes();
        for place in places {
            if let Some(told) = notes.told.get_mut(place) {
                *told = None;
            }
        }
    }

    /// Nothing is current any more.
    pub(crate) fn clear(&self) {
        self.notes().told.fill(None);
    }

    /// Is about these queues from now on.
    pub(super) fn follow(&self, queues: &Arc<[QueueId]>) {
        let mut notes = self.notes();
        let before = std::mem::take(&mut *notes);
        let told = before.queues.iter().zip(before.told);
        let mut told: BTreeMap<&QueueId, Option<Told>> = told.collect();
        let known = |queue| told.remove(queue).flatten();
        notes.told = queues.iter().map(known).collect();
        notes.queues = Arc::clone(queues);
    }

    /// Takes what was learnt of the queues in these places; nothing of those that cannot be told of.
    pub(super) fn take(&self, learnt: impl IntoIterator<Item = (usize, Option<PackedJobEvents>)>) {
        let at = Instant::now();
        let mut notes = self.notes();
        for (place, events) in learnt {
            if let Some(told) = notes.told.get_mut(place) {
                *told = events.map(|events| Told { at, events });
            }
        }
    }
}

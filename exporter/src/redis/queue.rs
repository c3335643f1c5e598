//! Reading queues: a batch of them in as few round trips as their state allows.
//!
//! The first round trip (`core`) asks every queue for what is needed whatever its state. The later ones (`follow_up`) ask only the
//! queues that have something to be asked about. Priorities are walked one level a round trip, because only the answer to one tells
//! where the next begins.

use std::time::Duration;

use redis::Pipeline;
use tokio::time::Instant;

use super::client::Connection;
use super::connect::LinkError;
use super::core::{self, REPLIES_A_QUEUE};
use super::first_seen::FirstSeen;
use super::follow_up::{Ask, Pending};
use super::keys::Keys;
use super::reply::ReplyError;
use super::score::Millis;
use crate::model::{QueueId, QueueReading};

/// What a batch is read with.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// Redis' time at the beginning of the scrape.
    pub(crate) now: Millis,
    /// The horizons, in rising order.
    pub(crate) horizons: &'a [Duration],
    /// The jobs whose age is counted from when they were first seen.
    pub(crate) first_seen: &'a FirstSeen,
}

/// What a batch answered.
#[derive(Debug)]
pub(crate) struct Answer {
    /// One reading a queue, in the order of the batch.
    pub(crate) readings: Vec<QueueReading>,
    /// What went wrong, with the index of the queue in the batch.
    pub(crate) problems: Vec<(usize, ReplyError)>,
}

/// Reads a batch of queues.
///
/// # Errors
/// When the connection breaks. A queue that cannot be read is no error: its reading says so.
pub(crate) async fn read_batch(
    connection: &mut Connection,
    queues: &[QueueId],
    question: &Question<'_>,
) -> Result<Answer, LinkError> {
    let Question {
        now,
        horizons,
        first_seen,
    } = *question;
    let mut pipeline = Pipeline::with_capacity(queues.len() * REPLIES_A_QUEUE);
    let keys: Vec<Keys> = queues.iter().map(Keys::of).collect();
    for keys in &keys {
        core::ask(&mut pipeline, keys, now);
    }
    let replies = connection.send(&pipeline).await?;
    let mut chunks = replies.chunks(REPLIES_A_QUEUE);
    let mut pending: Vec<Pending> = queues
        .iter()
        .map(|_| Pending::new(chunks.next().unwrap_or_default()))
        .collect();

    let begun = pending.iter().enumerate();
    let mut asks: Vec<Ask> = begun
        .flat_map(|(queue, pending)| pending.first_asks(queue, horizons.len()))
        .collect();
    while !asks.is_empty() {
        pipeline.clear();
        for ask in &asks {
            if let Some(keys) = keys.get(ask.queue) {
                ask.send(&mut pipeline, keys, now, horizons);
            }
        }
        let replies = connection.send(&pipeline).await?;
        let mut more = Vec::new();
        for (index, ask) in asks.into_iter().enumerate() {
            if let Some(pending) = pending.get_mut(ask.queue) {
                more.extend(pending.take(ask, replies.get(index)));
            }
        }
        asks = more;
    }

    let mut answer = Answer {
        readings: Vec::with_capacity(queues.len()),
        problems: Vec::new(),
    };
    let seen_at = Instant::now();
    for (index, (queue, pending)) in queues.iter().zip(pending).enumerate() {
        let first_seen = first_seen.update(queue, pending.unknown_ages(now), seen_at, now);
        let (reading, problems) = pending.finish(first_seen, now);
        answer.readings.push(reading);
        answer
            .problems
            .extend(problems.into_iter().map(|problem| (index, problem)));
    }
    Ok(answer)
}

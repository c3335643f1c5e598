//! Reading queues: a batch of them in as few round trips as their state allows.
//!
//! The first round trip (`core`) asks every queue for what is needed whatever its state. The later ones (`follow_up`) ask only the
//! queues that have something to be asked about. Priorities are walked one level a round trip, because only the answer to one tells
//! where the next begins.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;
use super::core::{self, Form};
use super::first_seen::FirstSeen;
use super::follow_up::{Ask, Pending};
use super::keys::Keys;
use super::link_error::LinkError;
use super::reply::{ReplyError, Source};
use super::score::Millis;
use super::wire::Commands;
use crate::model::{QueueId, QueueReading};

/// About how many bytes a command of the first round trip has beside the beginning of its key.
const BYTES_A_COMMAND: usize = 48;

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
    connection: &Connection,
    queues: &[QueueId],
    question: &Question<'_>,
) -> Result<Answer, LinkError> {
    let Question {
        now,
        horizons,
        first_seen,
    } = *question;
    let keys: Vec<Keys> = queues.iter().map(Keys::of).collect();
    let all: Vec<&Keys> = keys.iter().collect();
    let mut pending = ask_core(connection, &all, Form::Usual, now).await?;
    let unseen = (0..keys.len()).filter(|queue| {
        let pending = pending.get(*queue);
        pending.is_some_and(Pending::has_unseen_paused)
    });
    let unseen: Vec<usize> = unseen.collect();
    if !unseen.is_empty() {
        let keys: Vec<&Keys> = unseen.iter().filter_map(|queue| keys.get(*queue)).collect();
        let whole = ask_core(connection, &keys, Form::WithPausedEnds, now).await?;
        for (queue, whole) in unseen.into_iter().zip(whole) {
            if let Some(place) = pending.get_mut(queue) {
                *place = whole;
            }
        }
    }

    let begun = pending.iter().enumerate();
    let mut asks: Vec<Ask> = begun
        .flat_map(|(queue, pending)| pending.first_asks(queue, horizons.len()))
        .collect();
    while !asks.is_empty() {
        let mut commands = Commands::default();
        for ask in &asks {
            if let Some(keys) = keys.get(ask.queue) {
                ask.send(&mut commands, keys, now, horizons);
            }
        }
        let replies = connection.ask(commands).await?;
        let mut more = Vec::new();
        for (index, ask) in asks.into_iter().enumerate() {
            if let Some(pending) = pending.get_mut(ask.queue) {
                more.extend(pending.take(ask, replies.get(index).into()));
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

/// Asks queues what is needed whatever their state.
///
/// # Errors
/// When the connection breaks.
async fn ask_core(
    connection: &Connection,
    queues: &[&Keys],
    form: Form,
    now: Millis,
) -> Result<Vec<Pending>, LinkError> {
    let room = queues
        .iter()
        .map(|keys| keys.base().len() + BYTES_A_COMMAND);
    let mut commands = Commands::with_capacity(room.sum::<usize>() * form.replies());
    for keys in queues {
        core::ask(&mut commands, keys, form, now);
    }
    let replies = connection.ask(commands).await?;
    let all: Vec<Source<'_>> = replies.iter().map(Source::Raw).collect();
    let mut chunks = all.chunks(form.replies());
    let of_queue = |_| Pending::new(chunks.next().unwrap_or_default(), form);
    Ok(queues.iter().map(of_queue).collect())
}

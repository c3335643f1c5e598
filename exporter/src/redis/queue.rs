//! Reading queues: a batch of them in as few round trips as their state allows.
//!
//! The first round trip asks every queue for what is needed whatever its state (`core`), and for what it is expected to have (`expected`).
//! The later ones ask only the queues that have something to be asked about (`follow_up`). Priorities are walked one level a round trip,
//! because only the answer to one tells where the next begins.

use std::time::Duration;

use tokio::time::Instant;

use super::connection::Connection;
use super::core::{self, Form};
use super::expected::{Expected, Parts};
use super::first_seen::FirstSeen;
use super::follow_up::{Ask, Pending, asks_of_parts};
use super::keys::Keys;
use super::link_error::LinkError;
use super::reply::{ReplyError, Source};
use super::score::Millis;
use super::wire::Commands;
use crate::model::{Optional, QueueId, QueueReading};

/// About how many bytes a command of the first round trip has beside the beginning of its key.
const BYTES_A_COMMAND: usize = 48;

/// About how many keys EXISTS is asked for, of which each takes as much as a command.
const KEYS_UNEXPECTED: usize = 12;

/// What a batch is read with.
#[derive(Debug)]
pub(crate) struct Question<'a> {
    /// Redis' time at the beginning of the scrape.
    pub(crate) now: Millis,
    /// What is wanted beside the counts.
    pub(crate) optional: Optional,
    /// The horizons, in rising order.
    pub(crate) horizons: &'a [Duration],
    /// What the queues are expected to have.
    pub(crate) expected: &'a Expected,
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
        optional,
        horizons,
        expected,
        first_seen,
    } = *question;
    let keys: Vec<Keys> = queues.iter().map(Keys::of).collect();
    let batch = Batch {
        connection,
        keys: &keys,
        now,
        horizons,
    };
    let forms = expected.of(queues);
    let forms = forms
        .into_iter()
        .enumerate()
        .map(|(queue, parts)| (queue, Form::of(optional, parts)));
    let mut pending: Vec<Option<Pending>> = keys.iter().map(|_| None).collect();
    let mut asks = batch.begin(forms.collect(), &mut pending).await?;
    let otherwise = pending.iter().enumerate();
    let otherwise = otherwise.filter(|(_, pending)| pending.is_none());
    let again: Vec<_> = otherwise
        .map(|(queue, _)| (queue, Form::whole(optional)))
        .collect();
    if !again.is_empty() {
        asks.extend(batch.begin(again, &mut pending).await?);
    }
    while !asks.is_empty() {
        asks = batch.go_on(asks, &mut pending).await?;
    }
    let found = pending
        .iter()
        .map(|pending| pending.as_ref().map_or_else(Parts::all, Pending::found));
    expected.learn(queues, found);

    let mut answer = Answer {
        readings: Vec::with_capacity(queues.len()),
        problems: Vec::new(),
    };
    let seen_at = Instant::now();
    for (index, (queue, pending)) in queues.iter().zip(pending).enumerate() {
        let Some(pending) = pending else {
            answer.readings.push(QueueReading::Unread);
            continue;
        };
        let first_seen = first_seen.update(queue, pending.unknown_ages(now), seen_at, now);
        let (reading, problems) = pending.finish(first_seen, now);
        answer.readings.push(reading);
        answer
            .problems
            .extend(problems.into_iter().map(|problem| (index, problem)));
    }
    Ok(answer)
}

/// A batch of queues, and what they are asked with.
#[derive(Clone, Copy)]
struct Batch<'a> {
    connection: &'a Connection,
    keys: &'a [Keys],
    now: Millis,
    horizons: &'a [Duration],
}

impl Batch<'_> {
    /// Asks queues in their forms, begins with what they answered, and returns what is to be asked next. Nothing is begun of those that have to
    /// be asked for everything.
    ///
    /// # Errors
    /// When the connection breaks.
    async fn begin(
        &self,
        forms: Vec<(usize, Form)>,
        pending: &mut [Option<Pending>],
    ) -> Result<Vec<Ask>, LinkError> {
        let room = self
            .keys
            .first()
            .map_or(0, |keys| keys.base().len() + BYTES_A_COMMAND);
        let commands = forms.iter().map(|(_, form)| form.replies());
        let keys = commands.sum::<usize>() + KEYS_UNEXPECTED * forms.len();
        let mut commands = Commands::with_capacity(room * keys);
        for (queue, form) in &forms {
            if let Some(keys) = self.keys.get(*queue) {
                core::ask(&mut commands, keys, *form, self.now);
                for ask in asks_of_parts(*queue, *form) {
                    ask.send(&mut commands, keys, self.now, self.horizons);
                }
            }
        }
        let replies = self.connection.ask(commands).await?;
        let mut replies = replies.iter();
        let mut of_queue = Vec::new();
        let mut asks = Vec::new();
        for (queue, form) in forms {
            of_queue.clear();
            of_queue.extend(replies.by_ref().take(form.replies()).map(Source::Raw));
            let mut begun = Pending::new(&of_queue, form, self.now, self.horizons);
            if let Some(begun) = &begun {
                asks.extend(begun.first_asks(queue, self.now, self.horizons));
            }
            for ask in asks_of_parts(queue, form) {
                let reply = replies.next().into();
                if let Some(begun) = &mut begun {
                    asks.extend(begun.take(ask, reply));
                }
            }
            if let Some(place) = pending.get_mut(queue) {
                *place = begun;
            }
        }
        Ok(asks)
    }

    /// Asks what is left to be asked, and returns what follows from the answers.
    ///
    /// # Errors
    /// When the connection breaks.
    async fn go_on(
        &self,
        asks: Vec<Ask>,
        pending: &mut [Option<Pending>],
    ) -> Result<Vec<Ask>, LinkError> {
        let mut commands = Commands::default();
        for ask in &asks {
            if let Some(keys) = self.keys.get(ask.queue) {
                ask.send(&mut commands, keys, self.now, self.horizons);
            }
        }
        let replies = self.connection.ask(commands).await?;
        let mut more = Vec::new();
        for (index, ask) in asks.into_iter().enumerate() {
            if let Some(Some(pending)) = pending.get_mut(ask.queue) {
                more.extend(pending.take(ask, replies.get(index).into()));
            }
        }
        Ok(more)
    }
}

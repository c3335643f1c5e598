//! Reading queues: a batch of them in as few round trips as their state allows.
//!
//! The first round trip asks every queue for what is needed whatever its state. Each queue's counts are asked inside one MULTI,
//! because a job that a worker takes between `LLEN wait` and `LLEN active` would otherwise be counted twice or not at all. Where the
//! user may not run MULTI, Redis refuses MULTI and EXEC and answers the commands between them one by one: the same pipeline serves,
//! and the counts may be off by the few jobs that move in between.
//!
//! The later round trips ask only the queues that have ready or delayed jobs: how many fall due soon, and since when the oldest
//! has been ready. Priorities are walked one level a round trip, because only the answer to one tells where the next begins.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use redis::{Pipeline, Value};

use super::client::{Connection, LinkError};
use super::job_time;
use super::keys::{Keys, META_FIELDS};
use super::reply::{Reply, ReplyError, number};
use super::score::{self, Millis};
use crate::model::{ErrorCause, JobCounts, QueueId, QueueReading, QueueSnapshot};

/// How many elements of the end from which workers take are looked at for the oldest job. Jobs added last-in-first-out, and jobs
/// that were taken back from a dead worker, stand at that end in front of older ones.
const TAIL: usize = 8;

/// How many levels of priority are looked at for the oldest job, the most urgent first.
const PRIORITY_LEVELS: usize = 16;

/// The commands between MULTI and EXEC, in the order in which they are sent.
const CORE: [&str; 14] = [
    "LLEN wait",
    "LLEN paused",
    "LLEN active",
    "ZCARD prioritized",
    "ZCARD delayed",
    "ZCOUNT delayed",
    "ZCARD waiting-children",
    "ZCARD completed",
    "ZCARD failed",
    "HMGET meta",
    "LRANGE wait",
    "LINDEX wait",
    "LINDEX paused",
    "LINDEX paused",
];

/// How many replies one queue's first round trip has: MULTI, the core, EXEC, and GET.
const REPLIES_A_QUEUE: usize = CORE.len() + 3;

/// When jobs were first seen whose hash does not tell since when they are ready.
///
/// Bounded: at most the candidates for the oldest job of each queue are kept, and each only as long as it is one.
#[derive(Debug, Default)]
pub(crate) struct FirstSeen(Mutex<HashMap<QueueId, HashMap<Vec<u8>, Millis>>>);

impl FirstSeen {
    /// Remembers the jobs of a queue seen now, forgets its others, and returns when the earliest was first seen.
    fn update(&self, queue: &QueueId, ids: Vec<Vec<u8>>, now: Millis) -> Option<Millis> {
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
    let mut pipeline = Pipeline::with_capacity(queues.len() * REPLIES_A_QUEUE);
    let keys: Vec<Keys> = queues.iter().map(Keys::of).collect();
    for keys in &keys {
        ask_core(&mut pipeline, keys, question.now);
    }
    let replies = connection.send(&pipeline).await?;
    let mut chunks = replies.chunks(REPLIES_A_QUEUE);
    let mut pending: Vec<Pending> = queues
        .iter()
        .map(|_| Pending::from_core(chunks.next().unwrap_or_default()))
        .collect();

    let mut asks: Vec<Ask> = pending
        .iter()
        .enumerate()
        .flat_map(|(queue, pending)| pending.first_asks(queue, question.horizons.len()))
        .collect();
    while !asks.is_empty() {
        pipeline.clear();
        for ask in &asks {
            if let Some(keys) = keys.get(ask.queue) {
                ask.send(&mut pipeline, keys, question);
            }
        }
        let replies = connection.send(&pipeline).await?;
        let mut next = Vec::new();
        for (index, ask) in asks.into_iter().enumerate() {
            if let Some(pending) = pending.get_mut(ask.queue) {
                next.extend(pending.take(ask, replies.get(index), question.now));
            }
        }
        asks = next;
    }

    let mut answer = Answer {
        readings: Vec::with_capacity(queues.len()),
        problems: Vec::new(),
    };
    for (index, (queue, pending)) in queues.iter().zip(pending).enumerate() {
        let Pending {
            core,
            problems,
            unknown,
            ..
        } = &pending;
        answer
            .problems
            .extend(problems.iter().cloned().map(|problem| (index, problem)));
        let first_seen = question
            .first_seen
            .update(queue, unknown.clone(), question.now);
        answer.readings.push(match core {
            None if problems.is_empty() => QueueReading::Gone,
            None => QueueReading::Unread,
            Some(_) => pending.finish(first_seen, question.now),
        });
    }
    Ok(answer)
}

fn ask_core(pipeline: &mut Pipeline, keys: &Keys, now: Millis) {
    let tail = -i64::try_from(TAIL).unwrap_or(1);
    pipeline.cmd("MULTI");
    pipeline.cmd("LLEN").arg(keys.waiting());
    pipeline.cmd("LLEN").arg(keys.paused());
    pipeline.cmd("LLEN").arg(keys.active());
    pipeline.cmd("ZCARD").arg(keys.prioritized());
    pipeline.cmd("ZCARD").arg(keys.delayed());
    pipeline
        .cmd("ZCOUNT")
        .arg(keys.delayed())
        .arg("-inf")
        .arg(format!("({}", now.first_score_not_due()));
    pipeline.cmd("ZCARD").arg(keys.waiting_children());
    pipeline.cmd("ZCARD").arg(keys.completed());
    pipeline.cmd("ZCARD").arg(keys.failed());
    pipeline.cmd("HMGET").arg(keys.meta()).arg(&META_FIELDS);
    pipeline.cmd("LRANGE").arg(keys.waiting()).arg(tail).arg(-1);
    pipeline.cmd("LINDEX").arg(keys.waiting()).arg(0);
    pipeline.cmd("LINDEX").arg(keys.paused()).arg(0);
    pipeline.cmd("LINDEX").arg(keys.paused()).arg(-1);
    pipeline.cmd("EXEC");
    pipeline.cmd("GET").arg(keys.added());
}

/// What the first round trip tells of a queue that exists.
#[derive(Debug)]
struct Core {
    snapshot: QueueSnapshot,
    /// The ids at both ends of the waiting jobs, without markers.
    ends: Vec<Vec<u8>>,
}

/// Reads the replies to [`ask_core`]: nothing if the queue does not exist.
fn read_core(
    replies: &[Value],
    problems: &mut Vec<ReplyError>,
) -> Result<Option<Core>, ReplyError> {
    let core = core_replies(replies, problems)?;
    let reply = |index: usize| {
        Reply::to(
            CORE.get(index).copied().unwrap_or_default(),
            core.get(index),
        )
    };
    let waiting_length = reply(0).count()?;
    let paused_length = reply(1).count()?;
    let mut snapshot = QueueSnapshot {
        counts: JobCounts {
            waiting: waiting_length,
            paused: paused_length,
            active: reply(2).count()?,
            prioritized: reply(3).count()?,
            delayed: reply(4).count()?,
            waiting_children: reply(6).count()?,
            completed: reply(7).count()?,
            failed: reply(8).count()?,
        },
        delayed_due: reply(5).count()?,
        ..QueueSnapshot::default()
    };
    let meta = reply(9).texts()?;
    let field = |index: usize| meta.get(index).copied().flatten();
    snapshot.paused = field(3).is_some();
    snapshot.concurrency_limit = field(4).and_then(number);

    let mut ends = reply(10).texts()?;
    if waiting_length > u64::try_from(ends.len()).unwrap_or(u64::MAX) {
        ends.push(reply(11).text()?);
    }
    let (markers, ends): (Vec<&[u8]>, Vec<&[u8]>) =
        ends.into_iter().flatten().partition(|id| is_marker(id));
    snapshot.counts.waiting = waiting_length.saturating_sub(markers.len() as u64);
    let mut paused_ends = vec![reply(12).text()?];
    if paused_length > 1 {
        paused_ends.push(reply(13).text()?);
    }
    let paused_markers = paused_ends
        .into_iter()
        .flatten()
        .filter(|id| is_marker(id))
        .count();
    snapshot.counts.paused = paused_length.saturating_sub(paused_markers as u64);

    let mut added_exists = false;
    match Reply::to("GET id", replies.last()).text() {
        Ok(text) => {
            added_exists = text.is_some();
            // A queue to which nothing has been added has no counter yet: known to be nothing.
            snapshot.added = text.map_or(Some(0), number);
        }
        Err(problem) if problem.cause() == ErrorCause::Denied => problems.push(problem),
        Err(problem) => return Err(problem),
    }
    if !added_exists && meta.iter().all(Option::is_none) {
        return Ok(None);
    }
    let ends = ends.into_iter().map(<[u8]>::to_vec).collect();
    Ok(Some(Core { snapshot, ends }))
}

/// The replies to the core commands, whether the transaction was allowed or not.
fn core_replies<'a>(
    replies: &'a [Value],
    problems: &mut Vec<ReplyError>,
) -> Result<&'a [Value], ReplyError> {
    let queued = replies.get(1..=CORE.len()).unwrap_or_default();
    if let Err(problem) = Reply::to("MULTI", replies.first()).value() {
        problems.push(problem);
        return Ok(queued);
    }
    match Reply::to("EXEC", replies.get(CORE.len() + 1)).value() {
        Ok(Value::Array(values)) => Ok(values),
        Ok(_) => Err(ReplyError::Unexpected { command: "EXEC" }),
        Err(aborted) => {
            // EXEC only says that a command before it was refused; that command says why.
            let refused = CORE.iter().zip(queued);
            let mut reasons = refused
                .filter_map(|(command, reply)| Reply::to(command, Some(reply)).value().err());
            Err(reasons.next().unwrap_or(aborted))
        }
    }
}

/// Whether a list element is not a job but a marker, `0:<milliseconds>`, by which BullMQ 3 and 4 wake their workers. It may
/// survive an upgrade to a later version.
fn is_marker(element: &[u8]) -> bool {
    element
        .strip_prefix(b"0:")
        .is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}

/// A question of a later round trip.
#[derive(Debug)]
struct Ask {
    queue: usize,
    about: About,
}

#[derive(Debug)]
enum About {
    /// How many delayed jobs are not due yet but will be within the horizon with this index.
    SoonDue { horizon: usize },
    /// The delayed job that is due first.
    FirstDue,
    /// Since when this job has been ready.
    Job { id: Vec<u8> },
    /// The first job of the first priority whose scores are not below this one.
    Priority { from: u64, level: usize },
}

impl Ask {
    fn send(&self, pipeline: &mut Pipeline, keys: &Keys, question: &Question<'_>) {
        match &self.about {
            About::SoonDue { horizon } => {
                let horizon = question.horizons.get(*horizon).copied().unwrap_or_default();
                let end = question.now.after(horizon).first_score_not_due();
                pipeline
                    .cmd("ZCOUNT")
                    .arg(keys.delayed())
                    .arg(question.now.first_score_not_due())
                    .arg(format!("({end}"));
            }
            About::FirstDue => {
                pipeline
                    .cmd("ZRANGE")
                    .arg(keys.delayed())
                    .arg(0)
                    .arg(0)
                    .arg("WITHSCORES");
            }
            About::Job { id } => job_time::ask(pipeline, keys, id),
            About::Priority { from, .. } => {
                pipeline
                    .cmd("ZRANGEBYSCORE")
                    .arg(keys.prioritized())
                    .arg(*from)
                    .arg("+inf")
                    .arg("WITHSCORES")
                    .arg("LIMIT")
                    .arg(0)
                    .arg(1);
            }
        }
    }
}

/// A queue between its first round trip and its last.
#[derive(Debug)]
struct Pending {
    /// Nothing if the queue does not exist or could not be read.
    core: Option<Core>,
    /// The earliest moment since which a job is known to have been ready.
    oldest: Option<Millis>,
    /// The jobs whose hash does not tell since when they are ready.
    unknown: Vec<Vec<u8>>,
    /// Whether a command was denied without which the oldest job cannot be known.
    age_denied: bool,
    problems: Vec<ReplyError>,
}

impl Pending {
    fn from_core(replies: &[Value]) -> Self {
        let mut problems = Vec::new();
        let core = read_core(replies, &mut problems).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        Self {
            core,
            oldest: None,
            unknown: Vec::new(),
            age_denied: false,
            problems,
        }
    }

    fn first_asks(&self, queue: usize, horizons: usize) -> Vec<Ask> {
        let Some(Core { snapshot, ends }) = &self.core else {
            return Vec::new();
        };
        let mut about = Vec::new();
        if !snapshot.paused {
            if snapshot.counts.delayed > snapshot.delayed_due {
                about.extend((0..horizons).map(|horizon| About::SoonDue { horizon }));
            }
            if snapshot.delayed_due > 0 {
                about.push(About::FirstDue);
            }
            if snapshot.counts.prioritized > 0 {
                about.push(About::Priority { from: 0, level: 1 });
            }
            about.extend(ends.iter().map(|id| About::Job { id: id.clone() }));
        }
        about
            .into_iter()
            .map(|about| Ask { queue, about })
            .collect()
    }

    /// Takes the answer to a question and returns the questions that follow from it.
    fn take(&mut self, ask: Ask, reply: Option<&Value>, now: Millis) -> Vec<Ask> {
        match self.try_take(ask, reply, now) {
            Ok(asks) => asks,
            Err(problem) => {
                if problem.cause() == ErrorCause::Denied {
                    self.age_denied = true;
                } else {
                    self.core = None;
                }
                self.problems.push(problem);
                Vec::new()
            }
        }
    }

    fn try_take(
        &mut self,
        ask: Ask,
        reply: Option<&Value>,
        now: Millis,
    ) -> Result<Vec<Ask>, ReplyError> {
        let queue = ask.queue;
        match ask.about {
            About::SoonDue { .. } => {
                let count = Reply::to("ZCOUNT delayed", reply).count()?;
                if let Some(core) = &mut self.core {
                    // Asked and answered in the order of the horizons.
                    core.snapshot.delayed_due_within.push(count);
                }
            }
            About::FirstDue => {
                if let Some((_, score)) = Reply::to("ZRANGE delayed", reply).scored_member()? {
                    self.ready_since(score::due_at(score).min(now));
                }
            }
            About::Job { id } => match job_time::read(Reply::to("HMGET job", reply))? {
                // Taken or removed since the first round trip.
                None => {}
                Some(times) => match times.ready_since(now) {
                    Some(since) => self.ready_since(since),
                    None => self.unknown.push(id),
                },
            },
            About::Priority { level, .. } => {
                let first = Reply::to("ZRANGEBYSCORE prioritized", reply).scored_member()?;
                let Some((id, score)) = first else {
                    return Ok(Vec::new());
                };
                let mut asks = vec![Ask {
                    queue,
                    about: About::Job { id: id.to_vec() },
                }];
                if level < PRIORITY_LEVELS {
                    let from = score::first_score_after(score::priority_of(score));
                    asks.push(Ask {
                        queue,
                        about: About::Priority {
                            from,
                            level: level + 1,
                        },
                    });
                }
                return Ok(asks);
            }
        }
        Ok(Vec::new())
    }

    fn ready_since(&mut self, since: Millis) {
        self.oldest = Some(self.oldest.map_or(since, |oldest| oldest.min(since)));
    }

    fn finish(self, first_seen: Option<Millis>, now: Millis) -> QueueReading {
        let Some(Core { mut snapshot, .. }) = self.core else {
            return QueueReading::Unread;
        };
        let oldest = [self.oldest, first_seen].into_iter().flatten().min();
        snapshot.oldest_ready_age = if snapshot.ready() == 0 {
            Some(Duration::ZERO)
        } else if self.age_denied {
            None
        } else {
            oldest.map(|oldest| now.since(oldest))
        };
        QueueReading::Read(snapshot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_zero_a_colon_and_digits_are_a_marker() {
        for (element, expected) in [
            ("0:0", true),
            ("0:1780000000000", true),
            ("0:", false),
            ("0", false),
            ("0:a", false),
            ("10:0", false),
            ("repeat:0:1", false),
        ] {
            assert_eq!(is_marker(element.as_bytes()), expected, "{element}");
        }
    }

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

    #[test]
    fn no_reply_of_any_shape_is_read_as_a_queue_or_brings_the_reader_down() {
        let shapes = [
            Value::Nil,
            Value::Int(-1),
            Value::Okay,
            Value::Array(vec![]),
            Value::BulkString(vec![0xff]),
            Value::Array(vec![Value::Nil; CORE.len()]),
        ];
        for shape in shapes {
            for length in 0..=REPLIES_A_QUEUE + 1 {
                let replies = vec![shape.clone(); length];
                let pending = Pending::from_core(&replies);
                assert!(pending.core.is_none(), "{length} x {shape:?}");
                assert!(!pending.problems.is_empty(), "{length} x {shape:?}");
            }
        }
    }
}

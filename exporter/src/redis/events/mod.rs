//! The event streams of the queues, read on from where they were read last.
//!
//! One XREAD without BLOCK asks up to a hundred streams at once and answers only of those that have something new, so idle queues cost next to
//! nothing. Consumer groups are not used: they write. Of the streams that had something new, one XRANGE a stream proves that nothing was trimmed in
//! between; what that cannot tell, and what XREAD never shows, is found by an XINFO STREAM a minute (`position`).
//!
//! Of a Redis Cluster every node is asked about its own streams, all nodes at once, and one command asks only of streams in one slot. How far a
//! stream was read is kept when its slot moves: it moves whole, with its ids and its number of entries. While it is neither here nor there nothing
//! of it is served.
//!
//! XREAD transfers whole entries, and that of a job that completed holds the job's return value. No command that only reads can leave it
//! out: XRANGE and XREAD know no fields, XINFO STREAM sends its first and last entry whole, XPENDING and XCLAIM, which can send ids alone, need a
//! consumer group, and scripts are not run here. So what is asked for at once is bounded by the size of the entries seen last.

mod entry;
mod jobs;
mod position;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use redis::{Pipeline, Value};
use tokio::time::Instant;

use self::entry::{Entry, entries};
use self::jobs::{Jobs, Room};
use self::position::{EntryId, Position, StreamFacts};
use super::client::AskError;
use super::connection::Connection;
use super::keys::Keys;
use super::link_error::LinkError;
use super::nodes::Shares;
use super::reply::{Reply, ReplyError};
use super::score::Millis;
use super::slots::slot_of;
use crate::job_events::JobEvents;
use crate::model::{ErrorCause, QueueId};

/// How many streams one command asks. More would keep Redis from its other clients for longer.
const STREAMS_A_READ: usize = 100;

/// How many bytes one command is meant to answer at most, judged by the largest entry that each stream sent last: a few milliseconds of
/// Redis' time and of a local network.
const BYTES_A_READ: usize = 4 << 20;

/// How many entries one command asks of one stream at most, whatever their size: a stream whose return values suddenly grow sends so
/// many of them once.
const ENTRIES_A_READ: usize = 500;

/// What an entry is taken to have of a stream that has sent none yet: ten times the usual.
const ENTRY_BYTES_AT_FIRST: usize = 1024;

/// What an entry is taken to have at least: ids, names and the frame around them.
const ENTRY_BYTES_AT_LEAST: usize = 128;

/// How often a stream is compared with what Redis says of it, and one that could not be read is tried again.
const COMPARISON_INTERVAL: Duration = Duration::from_mins(1);

/// How long what was read is served. A pass is made every two seconds at the latest, and may take a few more.
pub(crate) const SERVED_FOR: Duration = Duration::from_secs(10);

/// Where a pass leaves what it learnt for the scrapes.
#[derive(Debug, Default)]
pub(crate) struct Board(Mutex<HashMap<QueueId, Told>>);

#[derive(Debug)]
struct Told {
    at: Instant,
    events: Arc<JobEvents>,
}

impl Board {
    /// What is known of each queue whose stream has been read lately.
    pub(crate) fn current(&self, now: Instant) -> HashMap<QueueId, Arc<JobEvents>> {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let current = told
            .iter()
            .filter(|(_, told)| now.duration_since(told.at) <= SERVED_FOR);
        current
            .map(|(queue, told)| (queue.clone(), Arc::clone(&told.events)))
            .collect()
    }

    /// Nothing of these queues is current any more.
    pub(crate) fn forget<'a>(&self, queues: impl IntoIterator<Item = &'a QueueId>) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for queue in queues {
            told.remove(queue);
        }
    }

    /// Nothing is current any more.
    pub(crate) fn clear(&self) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.clear();
    }
}

/// The streams that are followed, and what was learnt from them.
#[derive(Debug, Default)]
pub(crate) struct EventStreams {
    streams: BTreeMap<QueueId, Stream>,
    room: Mutex<Room>,
}

/// The streams that one node has.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    streams: Vec<(&'a QueueId, &'a mut Stream)>,
    room: &'a Mutex<Room>,
    /// Whether one command may ask of one slot only.
    by_slot: bool,
}

#[derive(Debug)]
struct Stream {
    key: Arc<str>,
    slot: Option<usize>,
    /// Nothing until it has been seen.
    position: Option<Position>,
    /// Whether entries may have been lost that are not counted yet.
    gap: bool,
    compare_at: Instant,
    /// Why it cannot be read; it is not tried before the next comparison.
    broken: Option<ErrorCause>,
    /// Whether another node has it now, or will have it soon.
    away: bool,
    entry_bytes: usize,
    jobs: Jobs,
    told: Arc<JobEvents>,
}

/// What a pass found.
#[derive(Debug, Default)]
pub(crate) struct Pass {
    /// How many entries were lost.
    pub(crate) missed: u64,
    /// How many new entries the busiest stream had.
    pub(crate) most_of_a_stream: u64,
    /// Whether there was more than could be read in time, or something is still to be asked.
    pub(crate) behind: bool,
    /// What was refused, and of which queue.
    pub(crate) problems: Vec<(QueueId, ReplyError)>,
    /// Queues whose streams can be read again.
    pub(crate) mended: Vec<QueueId>,
    /// What the node said behind `MOVED`.
    pub(crate) moved: Vec<String>,
}

impl Pass {
    /// Adds what was found on another node.
    pub(crate) fn add(&mut self, other: Self) {
        self.missed += other.missed;
        self.most_of_a_stream = self.most_of_a_stream.max(other.most_of_a_stream);
        self.behind |= other.behind;
        self.problems.extend(other.problems);
        self.mended.extend(other.mended);
        self.moved.extend(other.moved);
    }
}

impl EventStreams {
    /// Follows the streams of these queues, and forgets all others.
    pub(crate) fn follow(&mut self, queues: &[QueueId], board: &Board, now: Instant) {
        let before = self.streams.len();
        let mut gone = std::mem::take(&mut self.streams);
        for (place, queue) in queues.iter().enumerate() {
            let stream = gone
                .remove(queue)
                .unwrap_or_else(|| Stream::of(queue, place, now));
            self.streams.insert(queue.clone(), stream);
        }
        if gone.is_empty() && before <= self.streams.len() {
            return;
        }
        let mut told = board.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (queue, mut stream) in gone {
            stream.jobs.forget_all(&mut room_of(&self.room));
            told.remove(&queue);
        }
    }

    /// Every stream, as if one node had them.
    #[cfg(fuzzing)]
    pub(crate) fn whole(&mut self) -> Part<'_> {
        Part {
            streams: self.streams.iter_mut().collect(),
            room: &self.room,
            by_slot: false,
        }
    }

    /// The streams of each node, in the order of the shares. What nobody has is in none.
    pub(crate) fn parts(
        &mut self,
        queues: &[QueueId],
        shares: &Shares,
        by_slot: bool,
    ) -> Vec<Part<'_>> {
        let mut places = HashMap::new();
        for (place, share) in shares.of_nodes.iter().enumerate() {
            let of_it = share.queues.iter().filter_map(|index| queues.get(*index));
            places.extend(of_it.map(|queue| (queue, place)));
        }
        let part = |_| Part {
            streams: Vec::new(),
            room: &self.room,
            by_slot,
        };
        let mut parts: Vec<_> = shares.of_nodes.iter().map(part).collect();
        for (queue, stream) in &mut self.streams {
            let place = places.get(queue);
            if let Some(part) = place.and_then(|place| parts.get_mut(*place)) {
                part.streams.push((queue, stream));
            }
        }
        parts
    }
}

fn room_of(room: &Mutex<Room>) -> MutexGuard<'_, Room> {
    room.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Part<'_> {
    /// Whether the node has no stream.
    pub(crate) const fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// Takes what was told of these streams back: they cannot be read.
    pub(crate) fn withdraw(&self, board: &Board) {
        board.forget(self.streams.iter().map(|(queue, _)| *queue));
    }

    /// Reads what is new in every stream once, and then on in those that have more, until the deadline.
    ///
    /// # Errors
    /// When the connection breaks, or the node takes its cluster for down. A stream that cannot be read is no error: its problem says so.
    pub(crate) async fn read(
        &mut self,
        connection: &mut Connection,
        board: &Board,
        deadline: Instant,
    ) -> Result<Pass, AskError> {
        let mut pass = Pass::default();
        let Self {
            streams,
            room,
            by_slot,
        } = self;
        let (room, by_slot) = (*room, *by_slot);
        let redis_time = connection.time().await?;
        let now = Instant::now();
        for (_, stream) in &mut *streams {
            stream.expect_time(redis_time, now);
        }
        let mut read: HashMap<&QueueId, u64> = HashMap::new();
        let all = streams.iter_mut();
        let mut round: Vec<(&QueueId, &mut Stream)> =
            all.map(|(queue, stream)| (*queue, &mut **stream)).collect();
        let mut first = true;
        while !round.is_empty() {
            let mut more = Vec::new();
            let mut rest = round.into_iter();
            loop {
                let mut batch: Vec<_> = rest.by_ref().take(STREAMS_A_READ).collect();
                if batch.is_empty() {
                    break;
                }
                if !first && Instant::now() >= deadline {
                    pass.behind = true;
                    return Ok(pass);
                }
                let full = read_batch(connection, &mut batch, by_slot, room, &mut pass).await?;
                publish(board, &batch);
                for ((queue, stream), (entries, full)) in batch.into_iter().zip(full) {
                    let all = read.entry(queue).or_default();
                    *all += entries;
                    pass.most_of_a_stream = pass.most_of_a_stream.max(*all);
                    if full {
                        more.push((queue, stream));
                    }
                }
            }
            round = more;
            first = false;
        }
        Ok(pass)
    }
}

impl Stream {
    fn of(queue: &QueueId, place: usize, now: Instant) -> Self {
        // Streams that are found together are compared one after another, not all in one second.
        let share = u32::try_from(place % 60).unwrap_or(0) + 1;
        Self {
            key: Keys::of(queue).events().into(),
            slot: slot_of(queue),
            position: None,
            gap: false,
            compare_at: now + COMPARISON_INTERVAL * share / 60,
            broken: None,
            away: false,
            entry_bytes: ENTRY_BYTES_AT_FIRST,
            jobs: Jobs::default(),
            told: Arc::default(),
        }
    }

    /// Compares at once if the last id is of the future: then the clock of Redis was set back, and a stream that was made anew since would be
    /// silent until that time comes. At no other time can new ids be lower than old ones.
    fn expect_time(&mut self, redis_time: Millis, now: Instant) {
        let last = self.position.map_or(0, |position| position.last.millis);
        if last > redis_time.0 && self.broken.is_none() {
            self.compare_at = now;
        }
    }

    /// Whether it is asked for what is new.
    fn is_asked(&self, now: Instant) -> bool {
        self.position.is_some() && (self.broken.is_none() || now >= self.compare_at)
    }

    /// Whether Redis is asked what it says of it.
    fn is_compared(&self, now: Instant) -> bool {
        let open = self.gap || self.position.is_none();
        now >= self.compare_at || open && self.broken.is_none()
    }

    /// Takes the entries in, and returns how many they were.
    fn take(&mut self, entries: &[Entry<'_>], gap: bool, room: &mut Room) -> u64 {
        if gap {
            self.gap = true;
            self.jobs.forget_all(room);
        }
        let told = Arc::make_mut(&mut self.told);
        for entry in entries {
            self.jobs.take(entry, told, room);
        }
        let count = u64::try_from(entries.len()).unwrap_or(u64::MAX);
        if let (Some(position), Some(last)) = (self.position.as_mut(), entries.last()) {
            position.advance(last.id, count);
        }
        count
    }

    /// Compares with what Redis says of the stream, or with its absence, and returns how many entries were lost.
    fn compare(&mut self, told: &Existence, now: Instant, room: &mut Room) -> u64 {
        if now >= self.compare_at {
            self.compare_at = now + COMPARISON_INTERVAL;
        }
        let Existence::Stream(facts) = told else {
            // It was deleted. Whatever comes in its place is new.
            if self.position != Some(Position::at_start()) {
                self.jobs.forget_all(room);
            }
            self.position = Some(Position::at_start());
            self.gap = false;
            return 0;
        };
        self.jobs.forget_old(facts.last.millis, room);
        let Some(position) = self.position.as_mut() else {
            self.position = Some(Position::at_end(facts));
            return 0;
        };
        let finding = position.compare(facts, self.gap);
        if finding.lost_sight {
            self.jobs.forget_all(room);
        }
        self.gap = self.gap && !finding.settled;
        finding.missed
    }
}

/// Whether there is a stream, and what Redis says of it.
#[derive(Debug)]
enum Existence {
    Stream(StreamFacts),
    Nothing,
}

/// What Redis answered about one stream.
#[derive(Debug, Default)]
struct Answer {
    /// The new entries, if there are any.
    new: Option<Value>,
    /// Whether the entry that was read last is gone.
    gap: bool,
    /// What Redis says of the stream, if it was asked.
    told: Option<Existence>,
    problem: Option<ReplyError>,
}

/// Reads a batch of streams once. Returns of each how many entries it had, and whether it has more.
async fn read_batch(
    connection: &mut Connection,
    batch: &mut [(&QueueId, &mut Stream)],
    by_slot: bool,
    room: &Mutex<Room>,
    pass: &mut Pass,
) -> Result<Vec<(u64, bool)>, AskError> {
    let now = Instant::now();
    let mut asked: BTreeMap<Option<usize>, Vec<_>> = BTreeMap::new();
    for (_, stream) in batch.iter().filter(|(_, stream)| stream.is_asked(now)) {
        if let Some(position) = stream.position {
            let together = asked.entry(stream.slot.filter(|_| by_slot)).or_default();
            together.push((Arc::clone(&stream.key), position.last));
        }
    }
    let asked: Vec<_> = asked.into_values().collect();
    let compared = batch
        .iter()
        .filter(|(_, stream)| stream.is_compared(now))
        .map(|(_, stream)| Arc::clone(&stream.key));
    let compared: Vec<_> = compared.collect();
    let bytes: usize = batch.iter().map(|(_, stream)| stream.entry_bytes).sum();
    let count = (BYTES_A_READ / bytes.max(1)).clamp(1, ENTRIES_A_READ);
    let mut answers = ask(connection, &asked, &compared, count).await?;

    let mut room = room_of(room);
    let mut outcome = Vec::with_capacity(batch.len());
    for (queue, stream) in batch {
        let answer = answers.remove(&stream.key).unwrap_or_default();
        let tried = stream.is_asked(now) || stream.is_compared(now);
        let entries = match &answer.new {
            Some(new) => entries("XREAD", Some(new)),
            None => Ok(Vec::new()),
        };
        let (entries, problem) = match entries {
            Ok(entries) => (entries, answer.problem),
            Err(problem) => (Vec::new(), Some(problem)),
        };
        if let Some(largest) = entries.iter().map(|entry| entry.bytes).max() {
            stream.entry_bytes = largest.max(ENTRY_BYTES_AT_LEAST);
        }
        let read = stream.take(&entries, answer.gap, &mut room);
        if let Some(told) = &answer.told {
            pass.missed += stream.compare(told, now, &mut room);
        }
        if problem.is_none() && tried && stream.broken.take().is_some() {
            pass.mended.push(queue.clone());
        }
        if tried {
            stream.away = false;
        }
        let problem = match problem {
            Some(down @ ReplyError::ClusterDown { .. }) => return Err(down.into()),
            Some(elsewhere @ ReplyError::Elsewhere { .. }) if by_slot => {
                stream.away = true;
                pass.moved.extend(elsewhere.moved().map(str::to_owned));
                None
            }
            problem => problem,
        };
        if let Some(problem) = problem {
            stream.compare_at = now + COMPARISON_INTERVAL;
            stream.broken = Some(problem.cause());
            stream.jobs.forget_all(&mut room);
            pass.problems.push((queue.clone(), problem));
        }
        // How large a gap was is asked soon.
        pass.behind |= stream.gap && stream.broken.is_none() && !stream.away;
        outcome.push((read, entries.len() >= count));
    }
    // Where it has gone is asked at once.
    pass.behind |= !pass.moved.is_empty();
    Ok(outcome)
}

/// Asks for what is new in some streams, those together that one command may ask, and for what Redis says of others.
async fn ask(
    connection: &mut Connection,
    asked: &[Vec<(Arc<str>, EntryId)>],
    compared: &[Arc<str>],
    count: usize,
) -> Result<HashMap<Arc<str>, Answer>, LinkError> {
    let mut answers: HashMap<Arc<str>, Answer> = HashMap::new();
    let mut pipeline = Pipeline::new();
    for together in asked {
        ask_new(&mut pipeline, together, count);
    }
    // After XREAD: where that came to the end of a stream, Redis speaks of the same end.
    for key in compared {
        pipeline.cmd("XINFO").arg("STREAM").arg(key.as_ref());
    }
    if pipeline.is_empty() {
        return Ok(answers);
    }
    let mut replies = connection.send(&pipeline).await?.into_iter();
    let news: Vec<Value> = replies.by_ref().take(asked.len()).collect();
    for (key, reply) in compared.iter().zip(replies) {
        let answer = answers.entry(Arc::clone(key)).or_default();
        match existence(&reply) {
            Ok(told) => answer.told = Some(told),
            Err(problem) => answer.problem = Some(problem),
        }
    }
    let mut refused = Vec::new();
    for (together, reply) in asked.iter().zip(news) {
        if Reply::to("XREAD", Some(&reply)).value().is_err() {
            refused.extend(together);
        } else {
            take_new(reply, together, &mut answers);
        }
    }
    if !refused.is_empty() {
        // One stream that cannot be read makes the command fail for all of them: each for itself, then.
        pipeline.clear();
        for stream in &refused {
            ask_new(&mut pipeline, std::slice::from_ref(*stream), count);
        }
        let replies = connection.send(&pipeline).await?;
        for (stream, reply) in refused.into_iter().zip(replies) {
            if let Err(problem) = Reply::to("XREAD", Some(&reply)).value() {
                answers.entry(Arc::clone(&stream.0)).or_default().problem = Some(problem);
            } else {
                take_new(reply, std::slice::from_ref(stream), &mut answers);
            }
        }
    }

    let read = asked.iter().flatten().filter(|(key, last)| {
        let new = answers.get(key).is_some_and(|answer| answer.new.is_some());
        new && *last != EntryId::default()
    });
    let read: Vec<_> = read.collect();
    if read.is_empty() {
        return Ok(answers);
    }
    pipeline.clear();
    for (key, last) in &read {
        let last = last.to_string();
        let command = pipeline.cmd("XRANGE");
        command
            .arg(key.as_ref())
            .arg(&last)
            .arg(&last)
            .arg("COUNT")
            .arg(1);
    }
    let replies = connection.send(&pipeline).await?;
    for ((key, _), reply) in read.into_iter().zip(replies) {
        let answer = answers.entry(Arc::clone(key)).or_default();
        match entries("XRANGE", Some(&reply)) {
            Ok(entries) => answer.gap = entries.is_empty(),
            Err(problem) => {
                // Without this proof nothing that was read can be relied on.
                answer.new = None;
                answer.problem = Some(problem);
            }
        }
    }
    Ok(answers)
}

fn ask_new(pipeline: &mut Pipeline, streams: &[(Arc<str>, EntryId)], count: usize) {
    let command = pipeline.cmd("XREAD").arg("COUNT").arg(count).arg("STREAMS");
    for (key, _) in streams {
        command.arg(key.as_ref());
    }
    for (_, last) in streams {
        command.arg(last.to_string());
    }
}

/// Sorts the reply to XREAD by stream. Streams without new entries are not in it.
fn take_new(reply: Value, asked: &[(Arc<str>, EntryId)], answers: &mut HashMap<Arc<str>, Answer>) {
    let Value::Array(streams) = reply else {
        return;
    };
    for stream in streams {
        let Value::Array(parts) = stream else {
            continue;
        };
        let mut parts = parts.into_iter();
        let (Some(Value::BulkString(key)), Some(new)) = (parts.next(), parts.next()) else {
            continue;
        };
        // In the order in which they were asked, as far as they are there.
        let asked = asked.iter().find(|(asked, _)| asked.as_bytes() == key);
        if let Some((key, _)) = asked {
            answers.entry(Arc::clone(key)).or_default().new = Some(new);
        }
    }
}

/// Reads the reply to XINFO STREAM.
fn existence(reply: &Value) -> Result<Existence, ReplyError> {
    const COMMAND: &str = "XINFO STREAM";
    let unexpected = || ReplyError::Unexpected { command: COMMAND };
    let values = match Reply::to(COMMAND, Some(reply)).value() {
        Ok(Value::Array(values)) => values,
        Ok(_) => return Err(unexpected()),
        Err(ReplyError::Refused { message, .. }) if message.contains("no such key") => {
            return Ok(Existence::Nothing);
        }
        Err(problem) => return Err(problem),
    };
    let field = |name: &str| {
        let mut pairs = values.chunks(2).filter_map(|pair| match pair {
            [Value::BulkString(key), value] if key == name.as_bytes() => Some(value),
            [Value::SimpleString(key), value] if key == name => Some(value),
            _ => None,
        });
        pairs.next()
    };
    let last = Reply::to(COMMAND, field("last-generated-id")).text()?;
    Ok(Existence::Stream(StreamFacts {
        last: last.and_then(EntryId::parse).ok_or_else(unexpected)?,
        length: Reply::to(COMMAND, field("length")).count()?,
        added: match field("entries-added") {
            Some(added) => Some(Reply::to(COMMAND, Some(added)).count()?),
            None => None,
        },
    }))
}

/// Leaves what a batch learnt for the scrapes.
fn publish(board: &Board, batch: &[(&QueueId, &mut Stream)]) {
    let at = Instant::now();
    let mut told = board.0.lock().unwrap_or_else(PoisonError::into_inner);
    for (queue, stream) in batch {
        if stream.broken.is_some() || stream.away || stream.position.is_none() {
            told.remove(*queue);
        } else if let Some(known) = told.get_mut(*queue) {
            known.at = at;
            if !Arc::ptr_eq(&known.events, &stream.told) {
                known.events = Arc::clone(&stream.told);
            }
        } else {
            let events = Arc::clone(&stream.told);
            told.insert((*queue).clone(), Told { at, events });
        }
    }
}

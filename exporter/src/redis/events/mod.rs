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

mod board;
mod entry;
mod jobs;
mod position;
mod question;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use self::entry::{Entry, entries};
use self::jobs::{Jobs, Room};
use self::position::Position;
use self::question::{Answer, Asked, Existence, ask, prove, take_answers, take_refusals};
use super::client::AskError;
use super::connection::Connection;
use super::keys::Keys;
use super::nodes::{Share, Shares};
use super::reply::ReplyError;
use super::score::Millis;
use super::slots::slot_of;
use crate::job_events::PackedJobEvents;
use crate::model::{ErrorCause, QueueId};

pub(crate) use self::board::{Board, SERVED_FOR};

/// How many streams one command asks. More would keep Redis from its other clients for longer.
const STREAMS_A_READ: usize = 100;

/// How many bytes one command is meant to answer at most, judged by the largest entry that each stream sent last: a few milliseconds of
/// Redis' time and of a local network. The exporter holds the answer about twice, whole and as it comes.
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

/// The streams that are followed, and what was learnt from them.
#[derive(Debug, Default)]
pub(crate) struct EventStreams {
    queues: Arc<[QueueId]>,
    /// One of each queue, in their order.
    streams: Vec<Stream>,
    room: Mutex<Room>,
}

/// The streams that one node has.
#[derive(Debug)]
pub(crate) struct Part<'a> {
    streams: Vec<Followed<'a>>,
    room: &'a Mutex<Room>,
    /// Whether one command may ask of one slot only.
    by_slot: bool,
}

/// A stream in a pass.
#[derive(Debug)]
struct Followed<'a> {
    /// The place of its queue among all.
    place: usize,
    queue: &'a QueueId,
    stream: &'a mut Stream,
    /// How many entries have been read.
    read: u64,
    /// Whether there may be more.
    has_more: bool,
}

/// What is kept of a stream between two passes; there may be tens of thousands.
#[derive(Debug)]
struct Stream {
    /// Nothing until it has been seen.
    position: Option<Position>,
    compare_at: Instant,
    jobs: Jobs,
    told: PackedJobEvents,
    entry_bytes: usize,
    /// Whether entries may have been lost that are not counted yet.
    gap: bool,
    /// Why it cannot be read; it is not tried before the next comparison.
    broken: Option<ErrorCause>,
    /// Whether another node has it now, or will have it soon.
    away: bool,
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
    pub(crate) fn follow(&mut self, queues: &Arc<[QueueId]>, board: &Board, now: Instant) {
        if Arc::ptr_eq(&self.queues, queues) {
            return;
        }
        let before = std::mem::replace(&mut self.queues, Arc::clone(queues));
        let streams = before.iter().zip(std::mem::take(&mut self.streams));
        let mut streams: BTreeMap<&QueueId, Stream> = streams.collect();
        let stream = |(place, queue)| {
            let known = streams.remove(queue);
            known.unwrap_or_else(|| Stream::new(place, now))
        };
        self.streams = queues.iter().enumerate().map(stream).collect();
        for stream in streams.values_mut() {
            stream.jobs.forget_all(&mut room_of(&self.room));
        }
        board.follow(queues);
    }

    /// Every stream, as if one node had them.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn whole(&mut self) -> Part<'_> {
        let streams = self.queues.iter().zip(&mut self.streams).enumerate();
        Part {
            streams: streams.map(Followed::of).collect(),
            room: &self.room,
            by_slot: false,
        }
    }

    /// The streams of each node, in the order of the shares. What nobody has is in none.
    pub(crate) fn parts(&mut self, shares: &Shares, by_slot: bool) -> Vec<Part<'_>> {
        let mut nodes = vec![None; self.streams.len()];
        let part = |(node, share): (usize, &Share)| {
            for index in &share.queues {
                if let Some(of_queue) = nodes.get_mut(*index) {
                    *of_queue = Some(node);
                }
            }
            Part {
                streams: Vec::with_capacity(share.queues.len()),
                room: &self.room,
                by_slot,
            }
        };
        let mut parts: Vec<_> = shares.of_nodes.iter().enumerate().map(part).collect();
        let streams = self.queues.iter().zip(&mut self.streams).enumerate();
        for (node, stream) in nodes.into_iter().zip(streams) {
            if let Some(part) = node.and_then(|node| parts.get_mut(node)) {
                part.streams.push(Followed::of(stream));
            }
        }
        parts
    }
}

impl<'a> Followed<'a> {
    const fn of((place, (queue, stream)): (usize, (&'a QueueId, &'a mut Stream))) -> Self {
        Self {
            place,
            queue,
            stream,
            read: 0,
            has_more: true,
        }
    }

    /// What can be told of its queue, if anything can.
    fn learnt(&self) -> (usize, Option<PackedJobEvents>) {
        let Self { place, stream, .. } = self;
        let is_known = stream.broken.is_none() && !stream.away && stream.position.is_some();
        (*place, is_known.then(|| stream.told.clone()))
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
        board.forget(self.streams.iter().map(|followed| followed.place));
    }

    /// Reads what is new in every stream once, and then on in those that have more, until the deadline.
    ///
    /// # Errors
    /// When the connection breaks, or the node takes its cluster for down. A stream that cannot be read is no error: its problem says so.
    pub(crate) async fn read(
        &mut self,
        connection: &Connection,
        board: &Board,
        deadline: Instant,
    ) -> Result<Pass, AskError> {
        let mut pass = Pass::default();
        let Self {
            streams,
            room,
            by_slot,
        } = self;
        let redis_time = connection.time().await?;
        let now = Instant::now();
        for Followed { stream, .. } in &mut *streams {
            stream.expect_time(redis_time, now);
        }
        let mut first = true;
        loop {
            let more = streams.iter_mut().filter(|followed| followed.has_more);
            let mut round: Vec<&mut Followed<'_>> = more.collect();
            if round.is_empty() {
                return Ok(pass);
            }
            let mut rest = round.as_mut_slice();
            while !rest.is_empty() {
                let length = streams_a_read(rest.iter().map(|it| it.stream.entry_bytes));
                let (batch, after) = rest.split_at_mut(length);
                rest = after;
                if !first && Instant::now() >= deadline {
                    pass.behind = true;
                    return Ok(pass);
                }
                read_batch(connection, batch, *by_slot, room, &mut pass).await?;
                board.take(batch.iter().map(|followed| followed.learnt()));
                let most = batch.iter().map(|followed| followed.read).max();
                pass.most_of_a_stream = pass.most_of_a_stream.max(most.unwrap_or(0));
            }
            first = false;
        }
    }
}

impl Stream {
    fn new(place: usize, now: Instant) -> Self {
        // Streams that are found together are compared one after another, not all in one second.
        let share = u32::try_from(place % 60).unwrap_or(0) + 1;
        Self {
            position: None,
            gap: false,
            compare_at: now + COMPARISON_INTERVAL * share / 60,
            broken: None,
            away: false,
            entry_bytes: ENTRY_BYTES_AT_FIRST,
            jobs: Jobs::default(),
            told: PackedJobEvents::default(),
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
        let Some(last) = entries.last() else {
            return 0;
        };
        let mut told = self.told.unpack();
        for entry in entries {
            self.jobs.take(entry, &mut told, room);
        }
        self.told = told.pack();
        let count = as_number(entries.len());
        if let Some(position) = self.position.as_mut() {
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

/// How many of these streams, by the size of their entries, one command asks: each sends one entry at least. One is always asked.
fn streams_a_read(entry_bytes: impl Iterator<Item = usize>) -> usize {
    let mut all = 0_usize;
    let fits = |bytes: &usize| {
        all = all.saturating_add(*bytes);
        all <= BYTES_A_READ
    };
    entry_bytes
        .take(STREAMS_A_READ)
        .take_while(fits)
        .count()
        .max(1)
}

/// Reads a batch of streams once.
async fn read_batch(
    connection: &Connection,
    batch: &mut [&mut Followed<'_>],
    by_slot: bool,
    room: &Mutex<Room>,
    pass: &mut Pass,
) -> Result<(), AskError> {
    let now = Instant::now();
    let keys = batch.iter().map(|it| Keys::of(it.queue).events().into());
    let keys: Vec<Arc<str>> = keys.collect();
    let mut asked: BTreeMap<Option<usize>, Vec<Asked<'_>>> = BTreeMap::new();
    let mut compared = Vec::new();
    for (place, (Followed { queue, stream, .. }, key)) in batch.iter().zip(&keys).enumerate() {
        let last = stream.position.unwrap_or_default().last;
        let asks = Asked { place, key, last };
        if stream.is_asked(now) {
            let slot = slot_of(queue).filter(|_| by_slot);
            asked.entry(slot).or_default().push(asks);
        }
        if stream.is_compared(now) {
            compared.push(asks);
        }
    }
    let asked: Vec<_> = asked.into_values().collect();
    let bytes: usize = batch.iter().map(|it| it.stream.entry_bytes).sum();
    let count = (BYTES_A_READ / bytes.max(1)).clamp(1, ENTRIES_A_READ);

    let mut answers: Vec<_> = keys.iter().map(|_| Answer::default()).collect();
    let together = ask(connection, &asked, &compared, count).await?;
    let refused = take_answers(&together, &asked, &compared, &mut answers);
    // One stream that cannot be read makes the command fail for all of them: each for itself, then.
    let alone = ask(connection, &refused, &[], count).await?;
    take_refusals(&alone, &refused, &mut answers);
    prove(connection, asked.iter().flatten(), &mut answers).await?;

    let mut room = room_of(room);
    for (followed, answer) in batch.iter_mut().zip(answers) {
        let Followed { queue, stream, .. } = &mut **followed;
        let tried = stream.is_asked(now) || stream.is_compared(now);
        let entries = match answer.new {
            Some(new) => entries("XREAD", new),
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
        followed.read += read;
        followed.has_more = entries.len() >= count;
    }
    // Where it has gone is asked at once.
    pass.behind |= !pass.moved.is_empty();
    Ok(())
}

fn as_number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::client::Link;
    use super::position::EntryId;
    use super::*;
    use crate::endpoint::Endpoint;
    use crate::job_events::JobEvents;
    use bullmq_vocabulary::JobEvent;
    use std::sync::atomic::Ordering::Relaxed;
    use std::sync::atomic::{AtomicBool, AtomicUsize};
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};

    fn queues(names: &str) -> Arc<[QueueId]> {
        let queue = |name: &str| QueueId {
            prefix: "bull".into(),
            name: name.into(),
        };
        names.split_whitespace().map(queue).collect()
    }

    /// Those of the queues of which something is known, each with the number of its events.
    fn told(board: &Board, names: &str, now: Instant) -> String {
        let current = board.current(&queues(names), now);
        let told = names.split_whitespace().zip(current);
        let told = told.filter_map(|(name, events)| {
            let added = events?.unpack().seen(JobEvent::Added);
            Some(format!("{name}{added}"))
        });
        told.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn what_is_known_of_a_queue_stays_with_it_whichever_come_and_go() {
        let (mut streams, board, now) = (EventStreams::default(), Board::default(), Instant::now());
        streams.follow(&queues("a b c d"), &board, now);
        assert_eq!(told(&board, "a b c d", now), "", "none has been seen");
        for (stream, times) in streams.streams.iter_mut().zip(1..) {
            let mut events = JobEvents::default();
            (0..times).for_each(|_| events.count(JobEvent::Added));
            stream.told = events.pack();
            stream.position = Some(Position::at_start());
        }
        // What is away, or cannot be read, is not told.
        streams.streams[2].away = true;
        board.take(streams.whole().streams.iter().map(Followed::learnt));
        assert_eq!(told(&board, "a b c d", now), "a1 b2 d4");
        for (asked, expected) in [("b", "b2"), ("a aa b d e", "a1 b2 d4"), ("e", ""), ("", "")] {
            assert_eq!(told(&board, asked, now), expected, "{asked}");
        }
        for (later, expected) in [(SERVED_FOR, "a1 b2 d4"), (2 * SERVED_FOR, "")] {
            assert_eq!(told(&board, "a b c d", now + later), expected, "{later:?}");
        }

        streams.follow(&queues("aa b d"), &board, now);
        assert_eq!(told(&board, "a aa b c d", now), "b2 d4");
        let kept = streams.streams.iter().map(|stream| {
            let events = stream.told.unpack();
            (stream.position.is_some(), events.seen(JobEvent::Added))
        });
        let kept: Vec<_> = kept.collect();
        assert_eq!(kept, [(false, 0), (true, 2), (true, 4)]);
        board.forget([1, 7]);
        assert_eq!(told(&board, "aa b d", now), "d4");
        board.clear();
        assert_eq!(told(&board, "aa b d", now), "");
    }

    #[test]
    fn of_a_queue_that_is_gone_no_job_takes_the_room_of_others() {
        let (mut streams, board, now) = (EventStreams::default(), Board::default(), Instant::now());
        streams.follow(&queues("a b"), &board, now);
        let free = format!("{:?}", streams.room);
        let added = Entry {
            id: EntryId::default(),
            event: JobEvent::Waiting,
            job: b"1",
            was_delayed: false,
            due: None,
            bytes: 0,
        };
        let mut room = room_of(&streams.room);
        streams.streams[0].take(&[added], false, &mut room);
        drop(room);
        assert_ne!(format!("{:?}", streams.room), free);
        streams.follow(&queues("b"), &board, now);
        assert_eq!(format!("{:?}", streams.room), free);
    }

    /// Answers each batch of commands: the time, and of the streams what `says` says.
    async fn serve(mut client: DuplexStream, says: impl Fn(&str) -> String) {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(length @ 1..) = client.read(&mut buffer).await {
            let asked = String::from_utf8_lossy(&buffer[..length]);
            let answer = if asked.contains("TIME") {
                "*2\r\n$1\r\n1\r\n$1\r\n0\r\n".to_owned()
            } else {
                says(&asked)
            };
            client.write_all(answer.as_bytes()).await.unwrap();
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_was_denied_is_tried_once_a_minute_and_goes_on_where_it_was() {
        const DENIED: &str = "-NOPERM this user has no permissions to run this command\r\n";
        const NOTHING_NEW: &str = "*-1\r\n";
        const NO_STREAM: &str = "-ERR no such key\r\n";
        const STREAM: &str = "*6\r\n$17\r\nlast-generated-id\r\n$3\r\n9-1\r\n$6\r\nlength\r\n:1\r\n$13\r\nentries-added\r\n:1\r\n";
        const NEW: &str = "*1\r\n*2\r\n$13\r\nbull:a:events\r\n*1\r\n*2\r\n$3\r\n9-1\r\n*4\r\n$5\r\nevent\r\n$5\r\nadded\r\n$5\r\njobId\r\n$1\r\n7\r\n";
        let (here, there) = duplex(1 << 16);
        let allowed = Arc::new(AtomicBool::new(true));
        let asked = Arc::new(AtomicUsize::new(0));
        let (is_allowed, count) = (Arc::clone(&allowed), Arc::clone(&asked));
        tokio::spawn(serve(there, move |commands| {
            let is_first = count.fetch_add(1, Relaxed) == 0;
            let mut answer = String::new();
            if commands.contains("XREAD") {
                answer += if !is_allowed.load(Relaxed) {
                    DENIED
                } else if commands.contains("9-1") {
                    NOTHING_NEW
                } else {
                    NEW
                };
            }
            if commands.contains("XINFO") {
                answer += if is_first { NO_STREAM } else { STREAM };
            }
            answer
        }));
        let connection = Connection::over(here);
        let (mut streams, board) = (EventStreams::default(), Board::default());
        streams.follow(&queues("a"), &board, Instant::now());
        let mut pass = async || {
            let (mut all, before) = (streams.whole(), asked.load(Relaxed));
            let pass = all.read(&connection, &board, Instant::now()).await.unwrap();
            let told = told(&board, "a", Instant::now());
            let problems = pass
                .problems
                .into_iter()
                .map(|(_, problem)| problem.cause());
            let problems: Vec<_> = problems.collect();
            (
                told,
                problems,
                pass.mended.len(),
                asked.load(Relaxed) - before,
            )
        };
        let told = |told: &str| told.to_owned();
        assert_eq!(
            pass().await,
            (told("a0"), vec![], 0, 1),
            "it is not there yet"
        );
        allowed.store(false, Relaxed);
        let denied = vec![ErrorCause::Denied];
        assert_eq!(
            pass().await,
            (told(""), denied.clone(), 0, 2),
            "and once more alone"
        );
        for _ in 0..29 {
            tokio::time::advance(Duration::from_secs(2)).await;
            assert_eq!(pass().await, (told(""), vec![], 0, 0), "it is left alone");
        }
        tokio::time::advance(Duration::from_secs(2)).await;
        assert_eq!(pass().await, (told(""), denied, 0, 2), "it is tried again");
        allowed.store(true, Relaxed);
        tokio::time::advance(COMPARISON_INTERVAL).await;
        let (events, problems, mended, _) = pass().await;
        assert_eq!(
            (events, problems, mended),
            (told("a1"), vec![], 1),
            "nothing is lost"
        );
        assert_eq!(
            pass().await,
            (told("a1"), vec![], 0, 1),
            "and nothing told twice"
        );
    }

    #[test]
    fn streams_with_large_entries_are_asked_in_smaller_batches() {
        for (sentence, entry_bytes, expected) in [
            (
                "usual ones",
                vec![ENTRY_BYTES_AT_FIRST; 300],
                STREAMS_A_READ,
            ),
            ("few", vec![ENTRY_BYTES_AT_LEAST; 3], 3),
            ("one that is larger than a read", vec![usize::MAX; 2], 1),
            ("half a read each", vec![BYTES_A_READ / 2; 9], 2),
            ("a large one behind small ones", vec![1, 1, BYTES_A_READ], 2),
        ] {
            let streams = streams_a_read(entry_bytes.into_iter());
            assert_eq!(streams, expected, "{sentence}");
        }
    }

    #[test]
    fn each_node_has_the_streams_of_its_share_and_nobody_those_of_none() {
        let (mut streams, board, now) = (EventStreams::default(), Board::default(), Instant::now());
        streams.follow(&queues("a b c d"), &board, now);
        let endpoint = Endpoint::nowhere();
        let share = |node, queues: &[usize]| Share {
            node,
            link: Arc::new(Link::counted(endpoint.clone(), Arc::default())),
            queues: queues.to_vec(),
        };
        let shares = Shares {
            of_nodes: vec![share(0, &[3, 1]), share(1, &[]), share(2, &[0, 9])],
            of_nobody: vec![],
        };
        let parts = streams.parts(&shares, true);
        let names = |part: &Part<'_>| {
            let queues = part.streams.iter().map(|it| it.queue.name.as_ref());
            queues.collect::<Vec<_>>().join(" ")
        };
        assert_eq!(
            parts.iter().map(names).collect::<Vec<_>>(),
            ["b d", "", "a"]
        );
    }
}

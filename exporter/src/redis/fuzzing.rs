//! Doors to what Redis answers.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::DuplexStream;
use tokio::time::Instant;

use super::connection::Connection;
use super::events::{Board, EventStreams};
use super::expected::Expected;
use super::first_seen::FirstSeen;
use super::keys::{Keys, Witness, escape_glob, witness_pattern};
use super::queue::{Question, read_batch};
use super::reply::Reply;
use super::score::Millis;
use super::slots::{SlotMap, slot_of};
use super::{discovery, server};
use crate::endpoint::Address;
use crate::job_events::JobEvents;
use crate::model::{Optional, QueueId, QueueReading, RedisFacts, Workers};

/// How long one pass over the streams may take.
const PASS: Duration = Duration::from_secs(1);

/// Queues as they are read from whatever answers; nothing if the connection breaks.
pub async fn queues(
    stream: DuplexStream,
    queues: &[QueueId],
    horizons: &[Duration],
    now: u64,
) -> Option<Vec<QueueReading>> {
    let connection = Connection::over(stream);
    let question = Question {
        now: Millis(now),
        optional: Optional::default(),
        horizons,
        expected: &Expected::default(),
        first_seen: &FirstSeen::default(),
    };
    // The first time for everything, and then for what was there.
    read_batch(&connection, queues, &question).await.ok()?;
    let answer = read_batch(&connection, queues, &question).await.ok()?;
    Some(answer.readings)
}

/// The queues that are found; nothing if the connection breaks, or the search is given up.
pub async fn discover(stream: DuplexStream, prefixes: &[Arc<str>]) -> Option<BTreeSet<QueueId>> {
    let mut connection = Connection::over(stream);
    let found = discovery::discover(&mut connection, prefixes).await.ok()?;
    Some(found.queues)
}

/// What the streams of the queues told in some passes, how many entries are counted as missed, and how many passes were made.
pub async fn events(
    stream: DuplexStream,
    queues: &[QueueId],
    passes: usize,
) -> (Vec<JobEvents>, u64, usize) {
    let (board, mut streams, mut missed, mut made) =
        (Board::default(), EventStreams::default(), 0_u64, 0);
    let connection = Connection::over(stream);
    streams.follow(&queues.into(), &board, Instant::now());
    for _ in 0..passes {
        // Later than the next comparison, so that every pass asks for everything.
        tokio::time::advance(Duration::from_mins(2)).await;
        let deadline = Instant::now() + PASS;
        let Ok(pass) = streams.whole().read(&connection, &board, deadline).await else {
            break;
        };
        missed = missed.saturating_add(pass.missed);
        made += 1;
    }
    let told = board.current(queues, Instant::now()).into_iter().flatten();
    let told = told.map(|events| events.unpack()).collect();
    (told, missed, made)
}

/// The workers in a list of clients. The queues must be in order.
pub fn workers(list: &str, prefixes: &[Arc<str>], queues: &[QueueId]) -> HashMap<QueueId, Workers> {
    server::workers(list, prefixes, queues)
}

/// What a Redis says of itself.
pub fn facts(info: &str) -> RedisFacts {
    server::facts(info)
}

/// The keys by which a queue is found, of BullMQ and of Bull.
pub fn witnesses(queue: &QueueId) -> [String; 2] {
    let keys = Keys::of(queue);
    [keys.meta(), keys.added()].map(|key| Arc::<str>::from(key).as_ref().to_owned())
}

/// The name of the queue that a key witnesses under a prefix.
pub fn witnessed<'k>(key: &'k str, prefix: &str) -> Option<&'k str> {
    Witness::of(key, prefix).map(|witness| match witness {
        Witness::Meta(name) | Witness::Added(name) => name,
    })
}

/// The pattern for SCAN, and a text so written that it matches itself only.
pub fn patterns(prefix: &str) -> [String; 2] {
    [witness_pattern(prefix), escape_glob(prefix)]
}

/// The slot of a queue.
pub fn slot(queue: &QueueId) -> Option<usize> {
    slot_of(queue)
}

/// How many nodes a reply to `CLUSTER SLOTS` in Redis' protocol tells of, and the index of the owner of each slot that has one, after a `MOVED`.
pub fn slots(reply: &[u8], moved: &str) -> Option<(usize, Vec<usize>)> {
    let reply = redis::parse_redis_value(reply).ok()?;
    let asked = Address::Tcp {
        host: "asked".into(),
        port: 6379,
    };
    let mut map = SlotMap::read(Reply::to("CLUSTER SLOTS", Some(&reply)), &asked).ok()?;
    map.take_moved(moved, 0);
    let owners = (0..=1 << 14).filter_map(|slot| map.owner(slot)).collect();
    Some((map.nodes().len(), owners))
}

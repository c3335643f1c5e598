//! Which queues exist: a walk over the keyspace in the background, never inside a scrape.
//!
//! SCAN is O(keys) in all, so it goes in steps of about a thousand keys and rests after each step for as long as the step took:
//! Redis is left to its other clients for at least half of the time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Pipeline, Value};

use super::client::{AskError, Connection};
use super::keys::{META_FIELDS, META_WITNESSES, meta_pattern, queue_of_meta_key};
use super::reply::{Reply, ReplyError};
use super::score::Millis;
use crate::model::{ErrorCause, QueueId};

/// How many keys Redis looks at in one step.
const KEYS_A_STEP: usize = 1000;

/// The longest rest between two steps. A step that took longer was held up by something else than its own work.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// What was found.
#[derive(Debug)]
pub(crate) struct Found {
    /// The queues, in the order of their prefixes and names.
    pub(crate) queues: Vec<QueueId>,
    /// Keys that look like a queue's but whose name is no text, and so cannot be a label.
    pub(crate) unreadable_names: usize,
    /// When the walk ended, by Redis' clock.
    pub(crate) finished_at: Millis,
}

/// Finds every queue under the prefixes.
///
/// # Errors
/// When the connection breaks, or Redis refuses SCAN or HMGET.
pub(crate) async fn discover(
    connection: &mut Connection,
    prefixes: &[Arc<str>],
) -> Result<Found, AskError> {
    let mut queues = BTreeSet::new();
    let mut unreadable_names = 0;
    for prefix in prefixes {
        let mut cursor: Vec<u8> = b"0".to_vec();
        loop {
            let started = Instant::now();
            let (next, keys) = scan(connection, prefix, &cursor).await?;
            for (key, is_queue) in keys.iter().zip(validate(connection, &keys).await?) {
                if !is_queue {
                    continue;
                }
                match str::from_utf8(key) {
                    Ok(key) => queues.extend(queue_of(key, prefix, prefixes)),
                    Err(_) => unreadable_names += 1,
                }
            }
            if next == b"0" {
                break;
            }
            cursor = next;
            tokio::time::sleep(started.elapsed().min(LONGEST_REST)).await;
        }
    }
    let finished_at = connection.time().await?;
    Ok(Found {
        queues: queues.into_iter().collect(),
        unreadable_names,
        finished_at,
    })
}

async fn scan(
    connection: &mut Connection,
    prefix: &str,
    cursor: &[u8],
) -> Result<(Vec<u8>, Vec<Vec<u8>>), AskError> {
    let mut pipeline = Pipeline::new();
    pipeline
        .cmd("SCAN")
        .arg(cursor)
        .arg("MATCH")
        .arg(meta_pattern(prefix))
        .arg("COUNT")
        .arg(KEYS_A_STEP);
    let replies = connection.send(&pipeline).await?;
    let unexpected = || ReplyError::Unexpected { command: "SCAN" };
    let Value::Array(parts) = Reply::to("SCAN", replies.first()).value()? else {
        return Err(unexpected().into());
    };
    let next = Reply::to("SCAN", parts.first())
        .text()?
        .ok_or_else(unexpected)?;
    let keys = Reply::to("SCAN", parts.get(1)).texts()?;
    Ok((
        next.to_vec(),
        keys.into_iter().flatten().map(<[u8]>::to_vec).collect(),
    ))
}

/// Whether BullMQ wrote each of these hashes. A key that ends like a queue's may be something else: the hash of a schedule that is
/// called `meta`, or a job with that id.
async fn validate(connection: &mut Connection, keys: &[Vec<u8>]) -> Result<Vec<bool>, AskError> {
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let mut pipeline = Pipeline::new();
    for key in keys {
        let witnesses: Vec<_> = META_FIELDS.iter().take(META_WITNESSES).collect();
        pipeline.cmd("HMGET").arg(key).arg(witnesses);
    }
    let replies = connection.send(&pipeline).await?;
    let mut found = Vec::with_capacity(keys.len());
    for index in 0..keys.len() {
        match Reply::to("HMGET meta", replies.get(index)).texts() {
            Ok(fields) => found.push(fields.iter().any(Option::is_some)),
            // A key of another type is no queue.
            Err(problem) if problem.cause() == ErrorCause::WrongType => found.push(false),
            Err(problem) => return Err(problem.into()),
        }
    }
    Ok(found)
}

/// The queue of a `meta` key, unless a longer prefix of the configured ones claims it: under `app` and `app:prod`, the key
/// `app:prod:email:meta` is the queue `email` of the second and not `prod:email` of the first.
fn queue_of(key: &str, prefix: &Arc<str>, prefixes: &[Arc<str>]) -> Option<QueueId> {
    let name = queue_of_meta_key(key, prefix)?;
    let longer = prefixes
        .iter()
        .any(|other| other.len() > prefix.len() && queue_of_meta_key(key, other).is_some());
    (!longer).then(|| QueueId {
        prefix: Arc::clone(prefix),
        name: name.into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_claims_a_key() {
        let prefixes: Vec<Arc<str>> = vec!["app".into(), "app:prod".into()];
        let found: Vec<_> = prefixes
            .iter()
            .filter_map(|prefix| queue_of("app:prod:email:meta", prefix, &prefixes))
            .map(|queue| (queue.prefix.to_string(), queue.name.to_string()))
            .collect();
        assert_eq!(found, [("app:prod".to_owned(), "email".to_owned())]);
    }
}

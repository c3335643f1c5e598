//! Which queues exist: a walk over the keyspace in the background, never inside a scrape.
//!
//! SCAN is O(keys) in all, so it goes in steps of about a thousand keys and rests after each step for as long as the step took:
//! Redis is left to its other clients for at least half of the time.
//!
//! What is found is not believed by its name alone. A key that ends in `:meta` is a queue of BullMQ if BullMQ wrote the hash: it may be a
//! schedule called `meta`, or a job with that id. A key that ends in `:id` is a queue of Bull if it is a number and no queue of BullMQ; and if
//! it could as well belong to another queue that was found (`bull:email:de:id` is where the queue `email` keeps its deduplication `id`),
//! only if there are jobs under that name.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use redis::{Pipeline, Value};
use tokio::time::timeout;

use super::client::AskError;
use super::connection::Connection;
use super::keys::{Keys, META_FIELDS, META_WITNESSES, Witness, witness_pattern};
use super::link_error::LinkError;
use super::reply::{Reply, ReplyError, number};
use crate::model::{ErrorCause, QueueId};

/// How many keys Redis looks at in one step.
const KEYS_A_STEP: usize = 1000;

/// How many keys are asked about at once.
const KEYS_A_QUESTION: usize = 1000;

/// The longest rest between two steps. A step that took longer was held up by something else than its own work.
const LONGEST_REST: Duration = Duration::from_millis(100);

/// The longest name of a queue that is read, in bytes. It stands in every series of the queue; names that people give are shorter by far.
const LONGEST_NAME: usize = 1024;
/// How long one step may take. A node of a cluster that hangs must not keep what was found on the others from being told.
const STEP_LIMIT: Duration = Duration::from_secs(10);

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    /// The queues, in the order of their prefixes and names.
    pub(crate) queues: BTreeSet<QueueId>,
    /// Keys that look like a queue's but whose name is no text, or too long, and so cannot be a label.
    pub(crate) unreadable_names: usize,
}

/// Finds every queue under the prefixes.
///
/// # Errors
/// When the connection breaks, or Redis refuses what is needed.
pub(crate) async fn discover(
    connection: &mut Connection,
    prefixes: &[Arc<str>],
) -> Result<Found, AskError> {
    let mut found = Found::default();
    let mut with_meta = BTreeSet::new();
    let mut with_counter = BTreeSet::new();
    for prefix in prefixes {
        let mut cursor: Vec<u8> = b"0".to_vec();
        loop {
            let started = Instant::now();
            let (next, keys) = scan(connection, prefix, &cursor).await?;
            for key in keys {
                match str::from_utf8(&key) {
                    Ok(key) => match witness_of(key, prefix, prefixes) {
                        Some(Witness::Meta(name)) if name.len() > LONGEST_NAME => {
                            found.unreadable_names += 1;
                            false
                        }
                        Some(Witness::Added(name)) if name.len() > LONGEST_NAME => false,
                        Some(Witness::Meta(name)) => with_meta.insert(queue(prefix, name)),
                        Some(Witness::Added(name)) => with_counter.insert(queue(prefix, name)),
                        None => false,
                    },
                    Err(_) if key.ends_with(b":meta") => {
                        found.unreadable_names += 1;
                        false
                    }
                    Err(_) => false,
                };
            }
            if next == b"0" {
                break;
            }
            cursor = next;
            tokio::time::sleep(started.elapsed().min(LONGEST_REST)).await;
        }
    }
    found.queues = written_by_bullmq(connection, with_meta.into_iter().collect()).await?;
    let others = with_counter.difference(&found.queues).cloned().collect();
    let mut counters = with_a_number(connection, others).await?;
    // A shorter name first: what it is decides about the longer ones that may belong to it.
    counters.sort_by_key(|queue| queue.name.len());
    for queue in counters {
        let may_belong_to_another = queue.name.match_indices(':').any(|(end, _)| {
            let shorter = queue.name.get(..end).unwrap_or_default();
            found.queues.contains(&QueueId {
                prefix: Arc::clone(&queue.prefix),
                name: shorter.into(),
            })
        });
        if !may_belong_to_another || has_jobs(connection, &queue).await? {
            found.queues.insert(queue);
        }
    }
    Ok(found)
}

fn queue(prefix: &Arc<str>, name: &str) -> QueueId {
    QueueId {
        prefix: Arc::clone(prefix),
        name: name.into(),
    }
}

/// What a key witnesses, unless a longer prefix of the configured ones claims it: under `app` and `app:prod`, the key
/// `app:prod:email:meta` is the queue `email` of the second and not `prod:email` of the first.
fn witness_of<'a>(key: &'a str, prefix: &Arc<str>, prefixes: &[Arc<str>]) -> Option<Witness<'a>> {
    let witness = Witness::of(key, prefix)?;
    let longer = prefixes
        .iter()
        .any(|other| other.len() > prefix.len() && Witness::of(key, other).is_some());
    (!longer).then_some(witness)
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
        .arg(witness_pattern(prefix))
        .arg("COUNT")
        .arg(KEYS_A_STEP);
    let replies = timeout(STEP_LIMIT, connection.send(&pipeline))
        .await
        .unwrap_or_else(|_| Err(LinkError::late("SCAN")))?;
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

/// Those of the queues whose `meta` BullMQ wrote.
async fn written_by_bullmq(
    connection: &mut Connection,
    queues: Vec<QueueId>,
) -> Result<BTreeSet<QueueId>, AskError> {
    let witnesses: Vec<_> = META_FIELDS.iter().take(META_WITNESSES).collect();
    let ask = |pipeline: &mut Pipeline, keys: &Keys| {
        pipeline.cmd("HMGET").arg(keys.meta()).arg(&witnesses);
    };
    let read = |reply: Option<&Value>| {
        let fields = Reply::to("HMGET meta", reply).texts()?;
        Ok(fields.iter().any(Option::is_some))
    };
    Ok(those(connection, queues, ask, read)
        .await?
        .into_iter()
        .collect())
}

/// Those of the queues whose counter of adds is a number.
async fn with_a_number(
    connection: &mut Connection,
    queues: Vec<QueueId>,
) -> Result<Vec<QueueId>, AskError> {
    let ask = |pipeline: &mut Pipeline, keys: &Keys| {
        pipeline.cmd("GET").arg(keys.added());
    };
    let read = |reply: Option<&Value>| {
        let text = Reply::to("GET id", reply).text()?;
        Ok(text.and_then(number::<u64>).is_some())
    };
    match those(connection, queues, ask, read).await {
        // Only queues of Bull need this command.
        Err(AskError::Reply(problem)) if problem.cause() == ErrorCause::Denied => Ok(Vec::new()),
        outcome => outcome,
    }
}

/// Those of the queues of which a node that has their slot says that there is nothing left. Of the others it does not know.
///
/// # Errors
/// When the connection breaks.
pub(crate) async fn gone(
    connection: &mut Connection,
    queues: &[QueueId],
) -> Result<Vec<QueueId>, LinkError> {
    let mut gone = Vec::new();
    for chunk in queues.chunks(KEYS_A_QUESTION) {
        let mut pipeline = Pipeline::with_capacity(chunk.len());
        for queue in chunk {
            let keys = Keys::of(queue);
            pipeline.cmd("EXISTS").arg(&[keys.meta(), keys.added()]);
        }
        let replies = connection.send(&pipeline).await?;
        let answers = chunk.iter().zip(&replies);
        let nothing =
            answers.filter(|(_, reply)| Reply::to("EXISTS meta", Some(reply)).count() == Ok(0));
        gone.extend(nothing.map(|(queue, _)| queue.clone()));
    }
    Ok(gone)
}

/// Whether any list or set of a queue exists.
async fn has_jobs(connection: &mut Connection, queue: &QueueId) -> Result<bool, AskError> {
    let ask = |pipeline: &mut Pipeline, keys: &Keys| {
        pipeline.cmd("EXISTS").arg(&keys.states());
    };
    let read = |reply: Option<&Value>| Ok(Reply::to("EXISTS states", reply).count()? > 0);
    Ok(!those(connection, vec![queue.clone()], ask, read)
        .await?
        .is_empty())
}

/// Those of the queues for which the answer to one command is a yes. A key of another type is a no, and so is one that is on its way to
/// another node: it is found there.
async fn those(
    connection: &mut Connection,
    queues: Vec<QueueId>,
    ask: impl Fn(&mut Pipeline, &Keys),
    read: impl Fn(Option<&Value>) -> Result<bool, ReplyError>,
) -> Result<Vec<QueueId>, AskError> {
    let mut chosen = Vec::new();
    for chunk in queues.chunks(KEYS_A_QUESTION) {
        let mut pipeline = Pipeline::with_capacity(chunk.len());
        for queue in chunk {
            ask(&mut pipeline, &Keys::of(queue));
        }
        let replies = connection.send(&pipeline).await?;
        for (index, queue) in chunk.iter().enumerate() {
            match read(replies.get(index)) {
                Ok(true) => chosen.push(queue.clone()),
                Ok(false) | Err(ReplyError::Elsewhere { .. } | ReplyError::Spread) => {}
                Err(problem) if problem.cause() == ErrorCause::WrongType => {}
                Err(problem) => return Err(problem.into()),
            }
        }
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_prefix_claims_a_key() {
        let prefixes: Vec<Arc<str>> = vec!["app".into(), "app:prod".into()];
        let claims = prefixes
            .iter()
            .map(|prefix| witness_of("app:prod:email:meta", prefix, &prefixes))
            .collect::<Vec<_>>();
        assert_eq!(claims, [None, Some(Witness::Meta("email"))]);
    }
}

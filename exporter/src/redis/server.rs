//! What a Redis says of itself, and who is connected to it: one reading a scrape, whatever the number of queues.
//!
//! A worker's blocking connection carries the name `<prefix>:<base64 of the queue>`, and `:w:<name of the worker>` behind it if the worker
//! has one; the connection of a `QueueEvents` object ends in `:qe`.
//! Source: <https://github.com/taskforcesh/bullmq/blob/v6.7.0/src/classes/queue-base.ts>.
//! Queues and a worker's other connection have no name, except in Python, where a worker names both of its connections, and by the
//! queue's plain name: of the two, the one that blocks is counted. It connects anew every few seconds while there is nothing to do,
//! so an idle worker of Python may be missing from a scrape.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use redis::Pipeline;

use super::connection::Connection;
use super::link_error::LinkError;
use super::reply::{Reply, ReplyError};
use crate::model::{QueueId, RedisFacts, Workers};

/// The last commands that a worker's blocking connection can have sent: those by which it waits for a job, and those by which a
/// connection is set up. The second connection of a Python worker sends scripts instead.
const OF_A_BLOCKING_CONNECTION: &[&str] = &[
    "bzpopmin",
    "brpoplpush",
    "blmove",
    "info",
    "client",
    "client|setname",
    "client|setinfo",
    "hello",
    "auth",
    "select",
    "ping",
    "NULL",
];

/// What was learnt, and what was refused.
#[derive(Debug, Default)]
pub(crate) struct ServerAnswer {
    /// What Redis says of itself.
    pub(crate) facts: Option<RedisFacts>,
    /// The workers by queue.
    pub(crate) workers: Option<HashMap<QueueId, Workers>>,
    /// What was refused.
    pub(crate) problems: Vec<ReplyError>,
}

/// Asks Redis for what it says of itself, and for its clients if workers are to be counted. The queues are those that can have
/// workers, in order.
///
/// # Errors
/// When the connection breaks.
pub(crate) async fn read_server(
    connection: &mut Connection,
    prefixes: &[Arc<str>],
    queues: &[QueueId],
    count_workers: bool,
) -> Result<ServerAnswer, LinkError> {
    let mut pipeline = Pipeline::new();
    // Several sections in one command are known from Redis 7 on only.
    for section in ["server", "replication", "memory"] {
        pipeline.cmd("INFO").arg(section);
    }
    if count_workers {
        pipeline.cmd("CLIENT").arg("LIST").arg("TYPE").arg("normal");
    }
    let replies = connection.send(&pipeline).await?;
    let mut answer = ServerAnswer::default();
    let sections: Result<Vec<_>, _> = (0..3)
        .map(|index| {
            Reply::to("INFO", replies.get(index))
                .text()
                .map(Option::unwrap_or_default)
        })
        .collect();
    match sections {
        Ok(sections) => answer.facts = Some(facts(&String::from_utf8_lossy(&sections.concat()))),
        Err(problem) => answer.problems.push(problem),
    }
    if count_workers {
        match Reply::to("CLIENT LIST", replies.get(3)).text() {
            Ok(list) => {
                let list = String::from_utf8_lossy(list.unwrap_or_default());
                answer.workers = Some(workers(&list, prefixes, queues));
            }
            Err(problem) => answer.problems.push(problem),
        }
    }
    Ok(answer)
}

/// What Redis says of itself, from its own words.
pub(super) fn facts(info: &str) -> RedisFacts {
    let field = |name: &str| {
        let value = info
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        value.unwrap_or_default().trim().to_owned()
    };
    let role = match field("role").as_str() {
        "master" => "primary".to_owned(),
        "slave" => "replica".to_owned(),
        other => other.to_owned(),
    };
    // Valkey tells under Redis' name which Redis it is compatible with, and calls what it is by its own names.
    // Source: <https://github.com/valkey-io/valkey/blob/8.1.1/src/server.c>, `genValkeyInfoString`.
    let (valkey, mode) = (field("valkey_version"), field("redis_mode"));
    RedisFacts {
        version: if valkey.is_empty() {
            field("redis_version")
        } else {
            format!("valkey {valkey}")
        },
        mode: if mode.is_empty() {
            field("server_mode")
        } else {
            mode
        },
        role,
        maxmemory_policy: field("maxmemory_policy"),
    }
}

/// The workers by queue, from the list of clients. The queues are those that can have workers, in order.
pub(super) fn workers(
    list: &str,
    prefixes: &[Arc<str>],
    queues: &[QueueId],
) -> HashMap<QueueId, Workers> {
    let mut by_queue: HashMap<QueueId, Workers> = HashMap::new();
    for line in list.lines() {
        let field = |name: &str| {
            line.split(' ')
                .find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
        };
        let Some(name) = field("name").filter(|name| !name.is_empty()) else {
            continue;
        };
        let blocking =
            field("cmd").is_none_or(|command| OF_A_BLOCKING_CONNECTION.contains(&command));
        if !blocking {
            continue;
        }
        let idle = u64::from(field("flags").is_some_and(|flags| flags.contains('b')));
        let of_prefix = |prefix: &Arc<str>| queue_of_worker(name, prefix, queues);
        if let Some(queue) = prefixes.iter().find_map(of_prefix) {
            let workers = by_queue.entry(queue).or_default();
            workers.connected += 1;
            workers.idle += idle;
        }
    }
    by_queue
}

/// The queue that a worker of `queue` could be taken for: the one whose plain name is the encoded name of it.
pub(crate) fn namesake(queue: &QueueId) -> QueueId {
    QueueId {
        prefix: Arc::clone(&queue.prefix),
        name: STANDARD.encode(queue.name.as_bytes()).into(),
    }
}

/// The queue whose worker's connection has this name: the one whose name is encoded in it, or else the one of the plain name.
fn queue_of_worker(name: &str, prefix: &Arc<str>, queues: &[QueueId]) -> Option<QueueId> {
    let rest = name.strip_prefix(prefix.as_ref())?.strip_prefix(':')?;
    let (queue, worker) = rest.split_once(':').unwrap_or((rest, ""));
    if !worker.is_empty() && !worker.starts_with("w:") {
        return None;
    }
    let decoded = STANDARD
        .decode(queue)
        .ok()
        .and_then(|bytes| String::from_utf8(bytes).ok());
    let candidates = decoded.into_iter().chain([queue.to_owned()]);
    let mut known = candidates
        .map(|name| QueueId {
            prefix: Arc::clone(prefix),
            name: name.into(),
        })
        .filter(|queue| queues.binary_search(queue).is_ok());
    known.next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn workers_are_counted_by_the_exact_name_of_their_blocking_connection() {
        let prefixes: Vec<Arc<str>> = vec!["bull".into(), "{app}".into()];
        let queue = |name: &str| QueueId {
            prefix: "bull".into(),
            name: name.into(),
        };
        // `YWJj` is `abc`, and `YWJjZGVm` is `abcdef`, which begins with it.
        let queues = [queue("abc"), queue("abcdef")];
        for (line, expected) in [
            (
                "id=1 name=bull:YWJj flags=b cmd=bzpopmin user=default",
                Some((1, 1)),
            ),
            ("id=1 name=bull:YWJj flags=N cmd=info", Some((1, 0))),
            (
                "id=1 name=bull:YWJj:w:pod-a flags=b cmd=bzpopmin",
                Some((1, 1)),
            ),
            ("id=1 name=bull:YWJj flags=b cmd=brpoplpush", Some((1, 1))),
            ("id=1 name={app}:YWJj flags=b cmd=bzpopmin", None),
            ("id=1 name=bull:YWJj:qe flags=b cmd=xread", None),
            ("id=1 name=bull:YWJj flags=N cmd=evalsha", None),
            ("id=1 name=bull:YWJjZGVm flags=b cmd=bzpopmin", None),
            ("id=1 name=bull:abc flags=b cmd=bzpopmin", Some((1, 1))),
            ("id=1 name=bull:abc flags=N cmd=evalsha", None),
            ("id=1 name=bull:unknown flags=b cmd=bzpopmin", None),
            ("id=1 name=other:YWJj flags=b cmd=bzpopmin", None),
            ("id=1 name=bull:not*base64 flags=b cmd=bzpopmin", None),
            ("id=1 name= flags=N cmd=get", None),
            ("id=1", None),
            ("", None),
        ] {
            let expected = expected.map(|(connected, idle)| Workers { connected, idle });
            assert_eq!(
                workers(line, &prefixes, &queues)
                    .get(&queue("abc"))
                    .copied(),
                expected,
                "{line}"
            );
        }
    }

    #[test]
    fn a_redis_speaks_of_itself_in_our_words() {
        let facts_of = |version: &str, role: &str| RedisFacts {
            version: version.into(),
            mode: "standalone".into(),
            role: role.into(),
            maxmemory_policy: "allkeys-lru".into(),
        };
        for (info, expected) in [
            (
                "# Server\r\nredis_version:7.0.15\r\nredis_mode:standalone\r\n# Replication\r\nrole:slave\r\n\
                 maxmemory_policy:allkeys-lru\r\n",
                facts_of("7.0.15", "replica"),
            ),
            (
                "# Server\r\nredis_version:7.2.4\r\nserver_name:valkey\r\nvalkey_version:8.1.1\r\nserver_mode:standalone\r\n\
                 role:master\r\nmaxmemory_policy:allkeys-lru\r\n",
                facts_of("valkey 8.1.1", "primary"),
            ),
            ("", RedisFacts::default()),
        ] {
            assert_eq!(facts(info), expected, "{info}");
        }
    }

    proptest! {
        #[test]
        fn whatever_clients_call_themselves_no_more_workers_are_counted_than_lines(
            lines in prop::collection::vec(
                "(id=1 )?name=(bull:|\\PC{0,3})(YWJj|abc|\\PC{0,12})(:w:\\PC{0,5})? flags=[bN]{0,2}( cmd=[a-z|]{0,10})?|\\PC{0,40}",
                0..20,
            ),
        ) {
            let prefixes: Vec<Arc<str>> = vec!["bull".into()];
            let queues = [QueueId { prefix: "bull".into(), name: "abc".into() }];
            let list = lines.join("\n");
            let counted: u64 = workers(&list, &prefixes, &queues)
                .values()
                .map(|workers| {
                    assert!(workers.idle <= workers.connected);
                    workers.connected
                })
                .sum();
            prop_assert!(counted <= list.lines().count() as u64);
            let _ = facts(&list);
        }
    }
}

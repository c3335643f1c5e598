//! The least that a Redis user needs. The documents and the tests' user are made from this list.

use std::sync::Arc;

/// The commands, with what each is needed for.
const COMMANDS: &[(&str, &str)] = &[
    ("time", "the clock of every age"),
    ("multi", "counts that belong together"),
    ("exec", "counts that belong together"),
    ("llen", "counts"),
    ("zcard", "counts"),
    ("zcount", "due jobs, overdue schedulers"),
    ("hmget", "pause, limits, version; times of jobs"),
    ("lrange", "the oldest waiting and active jobs"),
    ("lindex", "the oldest waiting job"),
    ("get", "adds, rate limits"),
    ("hget", "finished jobs, when a job was taken"),
    ("exists", "what a queue need not have, locks of jobs"),
    ("pttl", "rate limits"),
    ("zrange", "the delayed job that is due first"),
    ("zrangebyscore", "the oldest prioritized job"),
    ("scan", "looking for queues"),
    ("info", "what Redis says of itself"),
    ("client|list", "workers"),
    ("cluster|slots", "which node of a cluster has which queue"),
    ("xread", "events"),
    ("xrange", "events that were trimmed"),
    ("xinfo|stream", "events that were trimmed"),
];

/// What of it all is in use.
#[derive(Clone, Copy, Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a feature that is on or off by itself"
)]
pub(crate) struct Use {
    /// Queues are looked for.
    pub(crate) search: bool,
    /// Workers are counted.
    pub(crate) workers: bool,
    /// Events are followed.
    pub(crate) events: bool,
    /// There are nodes to be found.
    pub(crate) cluster: bool,
}

/// The command that makes a user who can do what the exporter does, and nothing else.
pub(crate) fn set_user(prefixes: &[Arc<str>], used: Use) -> String {
    let quoted = |key: String| {
        let plain = key
            .chars()
            .all(|character| character.is_ascii_graphic() && !"\"'\\".contains(character));
        if plain {
            key
        } else {
            format!("\"{}\"", key.escape_default())
        }
    };
    let keys = prefixes
        .iter()
        .map(|prefix| quoted(format!("~{}:*", super::keys::escape_glob(prefix))));
    let commands = COMMANDS
        .iter()
        .map(|(command, _)| *command)
        .filter(|command| used.search || *command != "scan")
        .filter(|command| used.workers || *command != "client|list")
        .filter(|command| used.cluster || *command != "cluster|slots")
        .filter(|command| used.events || !command.starts_with('x'))
        .map(|command| format!("+{command}"));
    let rules: Vec<String> = keys.chain(commands).collect();
    format!(
        "ACL SETUSER bullmq-exporter reset on >CHANGE-THIS-PASSWORD resetchannels -@all {}\n",
        rules.join(" ")
    )
}

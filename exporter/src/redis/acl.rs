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
    ("xread", "events"),
    ("xrange", "events that were trimmed"),
    ("xinfo|stream", "events that were trimmed"),
];

/// The command that makes a user who can do what the exporter does, and nothing else.
pub(crate) fn set_user(
    prefixes: &[Arc<str>],
    needs_search: bool,
    count_workers: bool,
    follow_events: bool,
) -> String {
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
        .filter(|command| needs_search || *command != "scan")
        .filter(|command| count_workers || *command != "client|list")
        .filter(|command| follow_events || !command.starts_with('x'))
        .map(|command| format!("+{command}"));
    let rules: Vec<String> = keys.chain(commands).collect();
    format!(
        "ACL SETUSER bullmq-exporter reset on >CHANGE-THIS-PASSWORD resetchannels -@all {}\n",
        rules.join(" ")
    )
}

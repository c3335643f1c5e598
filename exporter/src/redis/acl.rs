//! The least that a Redis user needs. The documents and the tests' user are made from this list.

use std::fmt::Write as _;
use std::sync::Arc;

use crate::endpoint::ReadFrom;
use crate::model::Optional;

/// What a user is called who has no name in the configuration.
const USER: &str = "bullmq-exporter";

/// The commands, with what each is needed for.
const COMMANDS: &[(&str, &str)] = &[
    ("select", "the database, where it is another than 0"),
    ("time", "the clock of every age"),
    ("multi", "counts that belong together"),
    ("exec", "counts that belong together"),
    ("llen", "counts"),
    ("zcard", "counts"),
    ("zcount", "due jobs where they are many, overdue schedulers"),
    ("hmget", "pause, limits, version; times of jobs"),
    ("lrange", "the oldest waiting and active jobs"),
    ("lindex", "the oldest waiting job"),
    ("get", "adds, rate limits"),
    ("hget", "finished jobs, when a job was taken"),
    ("exists", "what a queue need not have, locks of jobs"),
    ("pttl", "rate limits"),
    ("zrange", "the delayed and prioritized jobs that come first"),
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
    /// Another database than the first is read.
    pub(crate) database: bool,
    /// Queues are looked for.
    pub(crate) search: bool,
    /// Workers are counted.
    pub(crate) workers: bool,
    /// Events are followed.
    pub(crate) events: bool,
    /// There are nodes to be found.
    pub(crate) cluster: bool,
    /// What is read of a queue beside its counts.
    pub(crate) optional: Optional,
}

/// The command that makes a user who can do what the exporter does, and nothing else.
pub(crate) fn set_user(name: Option<&str>, prefixes: &[Arc<str>], used: Use) -> String {
    let keys = prefixes.iter().map(|prefix| quoted(&key_rule(prefix)));
    let commands = COMMANDS
        .iter()
        .map(|(command, _)| *command)
        .filter(|command| used.database || *command != "select")
        .filter(|command| used.search || *command != "scan")
        .filter(|command| used.workers || *command != "client|list")
        .filter(|command| used.cluster || *command != "cluster|slots")
        .filter(|command| used.events || !command.starts_with('x'))
        .filter(|command| used.optional.ages || *command != "zrangebyscore")
        .filter(|command| used.optional.limits || *command != "pttl")
        .filter(|command| used.optional.ages || used.optional.counters || *command != "hget")
        .map(|command| format!("+{command}"));
    let rules: Vec<String> = keys.chain(commands).collect();
    command(name, &rules.join(" "))
}

/// The same for the Sentinels, which are asked where the server is, and nothing else.
pub(crate) fn set_sentinel_user(user: &str, read_from: ReadFrom) -> String {
    let rule = match read_from {
        ReadFrom::Primary => "+sentinel|get-master-addr-by-name",
        ReadFrom::Replica => "+sentinel|replicas",
    };
    command(Some(user), rule)
}

/// The rule for the keys under a prefix. A rule may hold no white space and no NUL, so any one character stands for each.
/// Source: <https://github.com/redis/redis/blob/7.0.15/src/acl.c>, `ACLStringHasSpaces`.
fn key_rule(prefix: &str) -> String {
    let blank = |character: char| matches!(character, ' ' | '\t'..='\r' | '\0');
    let pattern = super::keys::escape_glob(prefix).replace(blank, "?");
    format!("~{pattern}:*")
}

fn command(user: Option<&str>, rules: &str) -> String {
    let user = quoted(user.unwrap_or(USER));
    format!("ACL SETUSER {user} reset on >CHANGE-THIS-PASSWORD resetchannels -@all {rules}\n")
}

/// A word as redis-cli reads it: between quotes, every byte that is not plain by its number.
fn quoted(word: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"'\\".contains(&byte);
    if word.bytes().all(plain) {
        return word.to_owned();
    }
    let mut text = String::from('"');
    for byte in word.bytes() {
        if plain(byte) {
            text.push(char::from(byte));
        } else {
            // Writing to a text never fails.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    text.push('"');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_under_a_prefix_are_a_rule_that_redis_takes() {
        for (prefix, expected) in [
            ("bull", "~bull:*"),
            ("{app}", "~{app}:*"),
            ("a*b", r"~a\*b:*"),
            ("a b\tc\0", "~a?b?c?:*"),
        ] {
            assert_eq!(key_rule(prefix), expected);
        }
    }

    #[test]
    fn a_word_that_redis_cli_would_split_or_change_is_quoted_byte_by_byte() {
        for (word, expected) in [
            ("~bull:*", "~bull:*"),
            ("a b", r#""a\x20b""#),
            (r"~a\*:*", r#""~a\x5c*:*""#),
            ("~b\u{fc}ll:*", r#""~b\xc3\xbcll:*""#),
            ("o'brien", r#""o\x27brien""#),
        ] {
            assert_eq!(quoted(word), expected, "{word}");
        }
    }
}

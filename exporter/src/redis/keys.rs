//! BullMQ's key layout. Here, and only here, is `wait` spelt for the state waiting.
//!
//! Source: <https://github.com/taskforcesh/bullmq/blob/v6.7.0/src/classes/queue-keys.ts>.

use crate::model::QueueId;

/// The fields of `meta` that are read, in this order. The first three tell that BullMQ wrote the hash: `opts.maxLenEvents` is
/// written by every version from 1 on, `version` by Node, Elixir and .NET queues, `library` by the official ports.
pub(super) const META_FIELDS: [&str; 5] = [
    "opts.maxLenEvents",
    "version",
    "library",
    "paused",
    "concurrency",
];

/// How many of [`META_FIELDS`] are witnesses that BullMQ wrote the hash.
pub(super) const META_WITNESSES: usize = 3;

/// The ending of the key that witnesses a queue.
const META: &str = "meta";

/// The keys of one queue.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    /// `<prefix>:<queue>:`
    base: String,
}

impl Keys {
    pub(super) fn of(queue: &QueueId) -> Self {
        Self {
            base: format!("{}:{}:", queue.prefix, queue.name),
        }
    }

    fn with(&self, ending: &str) -> String {
        [self.base.as_str(), ending].concat()
    }

    pub(super) fn waiting(&self) -> String {
        self.with("wait")
    }

    pub(super) fn paused(&self) -> String {
        self.with("paused")
    }

    pub(super) fn active(&self) -> String {
        self.with("active")
    }

    pub(super) fn prioritized(&self) -> String {
        self.with("prioritized")
    }

    pub(super) fn delayed(&self) -> String {
        self.with("delayed")
    }

    pub(super) fn waiting_children(&self) -> String {
        self.with("waiting-children")
    }

    pub(super) fn completed(&self) -> String {
        self.with("completed")
    }

    pub(super) fn failed(&self) -> String {
        self.with("failed")
    }

    pub(super) fn meta(&self) -> String {
        self.with(META)
    }

    pub(super) fn added(&self) -> String {
        self.with("id")
    }

    /// The hash of a job. Its id is bytes to Redis, and so it is here.
    pub(super) fn job(&self, id: &[u8]) -> Vec<u8> {
        [self.base.as_bytes(), id].concat()
    }
}

/// The pattern that matches the `meta` key of every queue under a prefix.
pub(super) fn meta_pattern(prefix: &str) -> String {
    let mut pattern = String::with_capacity(prefix.len() + 8);
    for character in prefix.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push_str(":*:");
    pattern.push_str(META);
    pattern
}

/// The name of the queue to which a `meta` key belongs, under a prefix.
///
/// An empty segment after the prefix is not a queue: BullMQ 6 keeps its relay there (`<prefix>::relay:...`), and no version
/// accepts an empty name.
pub(super) fn queue_of_meta_key<'a>(key: &'a str, prefix: &str) -> Option<&'a str> {
    let name = key
        .strip_prefix(prefix)?
        .strip_prefix(':')?
        .strip_suffix(META)?
        .strip_suffix(':')?;
    (!name.is_empty() && !name.starts_with(':')).then_some(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_of_a_meta_key_is_what_stands_between_prefix_and_ending() {
        for (key, prefix, expected) in [
            ("bull:email:meta", "bull", Some("email")),
            ("{app}:email:meta", "{app}", Some("email")),
            ("bull:{email}:meta", "bull", Some("{email}")),
            ("app:prod:email:meta", "app:prod", Some("email")),
            ("bull:with:colon:meta", "bull", Some("with:colon")),
            ("bull:meta:meta", "bull", Some("meta")),
            ("bull::meta", "bull", None),
            ("bull::relay:x:meta", "bull", None),
            ("bull:meta", "bull", None),
            ("bullish:email:meta", "bull", None),
        ] {
            assert_eq!(queue_of_meta_key(key, prefix), expected, "{key}");
        }
    }

    #[test]
    fn a_prefix_matches_itself_only() {
        assert_eq!(meta_pattern("bull"), "bull:*:meta");
        assert_eq!(meta_pattern("{a}"), "{a}:*:meta");
        assert_eq!(meta_pattern(r"a*b?[c]\"), r"a\*b\?\[c\]\\:*:meta");
    }
}

//! BullMQ's key layout. Here, and only here, is `wait` spelt for the state waiting.
//!
//! Source: <https://github.com/taskforcesh/bullmq/blob/v6.7.0/src/classes/queue-keys.ts>.

use std::sync::Arc;

use redis::{RedisWrite, ToRedisArgs};

use super::wire::{Argument, Commands};
use crate::model::{GroupStatus, QueueId};

/// The fields of `meta` that are read, in this order. The first three tell that BullMQ wrote the hash: `opts.maxLenEvents` is
/// written by every version from 1 on, `version` by Node, Elixir and .NET queues, `library` by the official ports.
pub(super) const META_FIELDS: [&str; 6] = [
    "opts.maxLenEvents",
    "version",
    "library",
    "paused",
    "concurrency",
    "max",
];

/// How many of [`META_FIELDS`] are witnesses that BullMQ wrote the hash.
pub(super) const META_WITNESSES: usize = 3;

/// The ending of the key that witnesses a queue of BullMQ.
const META: &str = "meta";
/// The ending of the key that witnesses a queue of Bull, and that a queue of BullMQ has as well.
const ADDED: &str = "id";

/// A key, in the pieces of which it is made: they are put together only where they are sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Key<'a> {
    base: &'a str,
    /// The id of a job, or nothing. It is bytes to Redis, and so it is here.
    id: &'a [u8],
    ending: &'static str,
}

impl Key<'_> {
    const fn pieces(&self) -> [&[u8]; 3] {
        [self.base.as_bytes(), self.id, self.ending.as_bytes()]
    }
}

impl Argument for Key<'_> {
    fn give(&self, commands: &mut Commands) {
        commands.pieces(&self.pieces());
    }
}

impl ToRedisArgs for Key<'_> {
    fn write_redis_args<W: RedisWrite + ?Sized>(&self, out: &mut W) {
        out.write_arg(&self.pieces().concat());
    }
}

impl From<Key<'_>> for Arc<str> {
    fn from(key: Key<'_>) -> Self {
        String::from_utf8_lossy(&key.pieces().concat()).into()
    }
}

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

    /// What all keys of the queue begin with.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    const fn with(&self, ending: &'static str) -> Key<'_> {
        self.of_job(&[], ending)
    }

    const fn of_job<'a>(&'a self, id: &'a [u8], ending: &'static str) -> Key<'a> {
        Key {
            base: self.base.as_str(),
            id,
            ending,
        }
    }

    pub(super) const fn waiting(&self) -> Key<'_> {
        self.with("wait")
    }

    pub(super) const fn paused(&self) -> Key<'_> {
        self.with("paused")
    }

    /// The key that is there while a queue of Bull is paused.
    pub(super) const fn bull_pause(&self) -> Key<'_> {
        self.with("meta-paused")
    }

    pub(super) const fn active(&self) -> Key<'_> {
        self.with("active")
    }

    pub(super) const fn prioritized(&self) -> Key<'_> {
        self.with("prioritized")
    }

    pub(super) const fn delayed(&self) -> Key<'_> {
        self.with("delayed")
    }

    pub(super) const fn waiting_children(&self) -> Key<'_> {
        self.with("waiting-children")
    }

    pub(super) const fn completed(&self) -> Key<'_> {
        self.with("completed")
    }

    pub(super) const fn failed(&self) -> Key<'_> {
        self.with("failed")
    }

    pub(super) const fn meta(&self) -> Key<'_> {
        self.with(META)
    }

    pub(super) const fn added(&self) -> Key<'_> {
        self.with(ADDED)
    }

    pub(super) const fn limiter(&self) -> Key<'_> {
        self.with("limiter")
    }

    pub(super) const fn schedulers(&self) -> Key<'_> {
        self.with("repeat")
    }

    /// The stream of what happens to the queue and its jobs, which Bull does not have.
    pub(super) const fn events(&self) -> Key<'_> {
        self.with("events")
    }

    pub(super) const fn metrics_completed(&self) -> Key<'_> {
        self.with("metrics:completed")
    }

    pub(super) const fn metrics_failed(&self) -> Key<'_> {
        self.with("metrics:failed")
    }

    /// The groups of BullMQ Pro. A group stands in exactly one of these sets; its jobs stand in none of the queue's lists.
    ///
    /// As third-party readers of BullMQ Pro 7.48 have them; its source is not public, and this was not run against it.
    pub(super) const fn groups(&self) -> [(GroupStatus, Key<'_>); 4] {
        [
            (GroupStatus::Waiting, self.with("groups")),
            (GroupStatus::Limited, self.with("groups:limit")),
            (GroupStatus::Maxed, self.with("groups:max")),
            (GroupStatus::Paused, self.with("groups:paused")),
        ]
    }

    /// The lists and sets in which the jobs of a queue stand; of a queue that has jobs, at least one exists.
    pub(super) const fn states(&self) -> [Key<'_>; 6] {
        [
            self.waiting(),
            self.paused(),
            self.active(),
            self.delayed(),
            self.completed(),
            self.failed(),
        ]
    }

    /// The lock that a worker keeps alive as long as it works on a job.
    pub(super) const fn job_lock<'a>(&'a self, id: &'a [u8]) -> Key<'a> {
        self.of_job(id, ":lock")
    }

    /// What the children of a flow have returned to their parent.
    pub(super) const fn job_processed<'a>(&'a self, id: &'a [u8]) -> Key<'a> {
        self.of_job(id, ":processed")
    }

    /// The hash of a job.
    pub(super) const fn job<'a>(&'a self, id: &'a [u8]) -> Key<'a> {
        self.of_job(id, "")
    }
}

/// The pattern that matches the witnesses of every queue under a prefix, and little else.
///
/// Glob patterns know no alternatives, so this is what `meta` and `id` have in common: the last two letters are of `t` or `i` and of
/// `a` or `d`. Ids that are numbers or UUIDs never end so.
pub(super) fn witness_pattern(prefix: &str) -> String {
    format!("{}:*:*[ti][ad]", escape_glob(prefix))
}

/// A text as a glob pattern that matches nothing else.
pub(super) fn escape_glob(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for character in text.chars() {
        if matches!(character, '*' | '?' | '[' | ']' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

/// A key that may witness a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Witness<'a> {
    /// A `meta` key, and the name of its queue.
    Meta(&'a str),
    /// An `id` key, and the name of its queue.
    Added(&'a str),
}

impl<'a> Witness<'a> {
    /// What a key witnesses under a prefix.
    ///
    /// An empty segment after the prefix is not a queue: BullMQ 6 keeps its relay there (`<prefix>::relay:...`), and no version
    /// accepts an empty name.
    pub(super) fn of(key: &'a str, prefix: &str) -> Option<Self> {
        let rest = key.strip_prefix(prefix)?.strip_prefix(':')?;
        let (name, ending) = rest.rsplit_once(':')?;
        match ending {
            _ if name.is_empty() || name.starts_with(':') => None,
            META => Some(Self::Meta(name)),
            ADDED => Some(Self::Added(name)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_witness_names_the_queue_between_prefix_and_ending() {
        use Witness::{Added, Meta};
        for (key, prefix, expected) in [
            ("bull:email:meta", "bull", Some(Meta("email"))),
            ("bull:email:id", "bull", Some(Added("email"))),
            ("{app}:email:meta", "{app}", Some(Meta("email"))),
            ("bull:{email}:meta", "bull", Some(Meta("{email}"))),
            ("app:prod:email:meta", "app:prod", Some(Meta("email"))),
            ("bull:with:colon:meta", "bull", Some(Meta("with:colon"))),
            ("bull:meta:meta", "bull", Some(Meta("meta"))),
            ("bull:id:id", "bull", Some(Added("id"))),
            ("bull::meta", "bull", None),
            ("bull::relay:x:meta", "bull", None),
            ("bull:meta", "bull", None),
            ("bull:email:data", "bull", None),
            ("bullish:email:meta", "bull", None),
        ] {
            assert_eq!(Witness::of(key, prefix), expected, "{key}");
        }
    }

    #[test]
    fn a_prefix_matches_itself_only() {
        assert_eq!(witness_pattern("bull"), "bull:*:*[ti][ad]");
        assert_eq!(witness_pattern("{a}"), "{a}:*:*[ti][ad]");
        assert_eq!(witness_pattern(r"a*b?[c]\"), r"a\*b\?\[c\]\\:*:*[ti][ad]");
    }

    proptest! {
        #[test]
        fn a_queue_of_any_name_is_found_again_by_its_witnesses(
            prefix in "\\PC{1,20}",
            name in "[^:]\\PC{0,40}",
            any in "\\PC{0,60}",
        ) {
            let keys = Keys::of(&QueueId { prefix: prefix.as_str().into(), name: name.as_str().into() });
            let (meta, added): (Arc<str>, Arc<str>) = (keys.meta().into(), keys.added().into());
            prop_assert_eq!(Witness::of(&meta, &prefix), Some(Witness::Meta(&name)));
            prop_assert_eq!(Witness::of(&added, &prefix), Some(Witness::Added(&name)));
            let _ = Witness::of(&any, &prefix);
        }
    }
}

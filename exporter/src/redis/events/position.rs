//! How far a stream has been read, and whether anything before that was lost.
//!
//! Redis drops the oldest entries of a stream when it is trimmed, and says nothing of it to a reader: XREAD simply goes on with the first
//! entry that is left. Two things tell:
//!
//! - The entry that was read last. As long as it is there, everything after it is there too, because trimming begins at the oldest.
//!   If it is gone, what came next may be gone as well.
//! - The number of entries that were ever added (`entries-added`, kept from Redis 7 on). When everything has been read up to the last
//!   entry, and this number is higher than the number of entries that were read, the rest was lost: exactly so many.
//!   `max-deleted-entry-id` does not help: XDEL moves it, but trimming does not.
//!
//! Before Redis 7 the second is not known, and a gap counts as one: it is told that there was one, not how large it was.

use std::fmt;

/// The id of an entry: the time at which it was added, by Redis' clock, and its place within that millisecond.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct EntryId {
    /// Milliseconds since 1970.
    pub(super) millis: u64,
    sequence: u64,
}

impl EntryId {
    /// Reads `1780000000000-0`.
    pub(super) fn parse(text: &[u8]) -> Option<Self> {
        let (millis, sequence) = str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self {
            millis: millis.parse().ok()?,
            sequence: sequence.parse().ok()?,
        })
    }
}

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.millis, self.sequence)
    }
}

/// What Redis says of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct StreamFacts {
    /// The id that was given last.
    pub(super) last: EntryId,
    /// How many entries there are.
    pub(super) length: u64,
    /// How many have ever been added; nothing before Redis 7.
    pub(super) added: Option<u64>,
}

/// How far a stream has been read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Position {
    /// The last entry that was read, or before which nothing is of interest.
    pub(super) last: EntryId,
    /// How many entries have been added up to that one at least; nothing if it is not known.
    ordinal: Option<u64>,
}

/// What a comparison found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Finding {
    /// How many entries were lost without being read.
    pub(super) missed: u64,
    /// Whether what is remembered of jobs can no longer be relied on. Not after a gap that was seen: it was forgotten then.
    pub(super) lost_sight: bool,
    /// Whether the question is settled: everything that was lost so far is counted.
    pub(super) settled: bool,
}

impl Position {
    /// Before the first entry of a stream that does not exist yet.
    pub(super) const fn at_start() -> Self {
        Self {
            last: EntryId {
                millis: 0,
                sequence: 0,
            },
            ordinal: Some(0),
        }
    }

    /// Behind the last entry of a stream: what came before is not counted.
    pub(super) const fn at_end(facts: &StreamFacts) -> Self {
        Self {
            last: facts.last,
            ordinal: facts.added,
        }
    }

    /// Goes on to an entry, with that many entries on the way.
    pub(super) fn advance(&mut self, last: EntryId, entries: u64) {
        self.last = last;
        self.ordinal = self.ordinal.map(|ordinal| ordinal + entries);
    }

    /// Compares with what Redis says. `gap` tells that the entry that was read last was gone when its successors were read.
    pub(super) fn compare(&mut self, facts: &StreamFacts, gap: bool) -> Finding {
        if facts.last < self.last {
            // Ids never go back in one stream. This is another one, from a clock that was set back, or an older state of this one, after a
            // failover that lost writes. To read it from the start could count everything twice.
            *self = Self::at_end(facts);
            return Finding {
                missed: 0,
                lost_sight: true,
                settled: true,
            };
        }
        let caught_up = facts.last == self.last;
        let Some(added) = facts.added else {
            // A stream that is emptied as fast as it is filled leaves no entry that could be missed.
            let emptied = !caught_up && facts.length == 0;
            if emptied {
                self.last = facts.last;
            }
            self.ordinal = None;
            return Finding {
                missed: u64::from(gap || emptied),
                lost_sight: emptied,
                settled: true,
            };
        };
        // A higher ordinal than the stream has entries belongs to one that was deleted. How many entries of the new one have been read is
        // known again as soon as all have been.
        let known = self.ordinal.filter(|ordinal| *ordinal <= added);
        let mut missed = 0;
        let ordinal = known.map(|ordinal| {
            // What is not there any more was either read or lost.
            let gone = added.saturating_sub(facts.length);
            let end = if caught_up { added } else { gone };
            missed = end.saturating_sub(ordinal);
            ordinal.max(end)
        });
        self.ordinal = if caught_up { Some(added) } else { ordinal };
        Finding {
            missed,
            lost_sight: !gap && (missed > 0 || known.is_none()),
            settled: caught_up,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(millis: u64) -> EntryId {
        EntryId {
            millis,
            sequence: 0,
        }
    }

    #[test]
    fn an_id_is_two_numbers() {
        for (text, expected) in [
            (
                "1780000000000-3",
                Some(EntryId {
                    millis: 1_780_000_000_000,
                    sequence: 3,
                }),
            ),
            ("0-0", Some(EntryId::default())),
            ("18446744073709551615-0", Some(id(u64::MAX))),
            ("18446744073709551616-0", None),
            ("1780000000000", None),
            ("-1", None),
            ("a-0", None),
            ("", None),
        ] {
            assert_eq!(EntryId::parse(text.as_bytes()), expected, "{text}");
            if let Some(id) = expected {
                assert_eq!(id.to_string(), text);
            }
        }
        assert_eq!(EntryId::parse(b"\xff-0"), None);
    }

    #[expect(clippy::too_many_lines, reason = "a table")]
    #[test]
    fn what_was_lost_is_counted_and_nothing_else() {
        let finding = |missed, lost_sight, settled| Finding {
            missed,
            lost_sight,
            settled,
        };
        // Read up to the id 100, the 50th entry; Redis says: last id, length, entries ever added.
        for (sentence, ordinal, last, length, added, gap, expected, ordinal_after) in [
            (
                "everything is read and there",
                Some(50),
                100,
                50,
                Some(50),
                false,
                finding(0, false, true),
                Some(50),
            ),
            (
                "what was read was trimmed",
                Some(50),
                100,
                0,
                Some(50),
                false,
                finding(0, false, true),
                Some(50),
            ),
            (
                "more has come and is there",
                Some(50),
                200,
                30,
                Some(60),
                false,
                finding(0, false, false),
                Some(50),
            ),
            (
                "more has come and a part of it is gone",
                Some(50),
                200,
                10,
                Some(90),
                false,
                finding(30, true, false),
                Some(80),
            ),
            (
                "more has come and all of it is gone",
                Some(50),
                200,
                0,
                Some(90),
                false,
                finding(40, true, false),
                Some(90),
            ),
            (
                "a gap was jumped over, and now everything is read",
                Some(50),
                100,
                20,
                Some(75),
                true,
                finding(25, false, true),
                Some(75),
            ),
            (
                "the last entry was gone, but nothing after it",
                Some(50),
                100,
                20,
                Some(50),
                true,
                finding(0, false, true),
                Some(50),
            ),
            (
                "the stream was deleted and made anew, and is read",
                Some(50),
                100,
                7,
                Some(7),
                true,
                finding(0, false, true),
                Some(7),
            ),
            (
                "the stream was deleted and made anew, and is not read yet",
                Some(50),
                200,
                7,
                Some(7),
                true,
                finding(0, false, false),
                None,
            ),
            (
                "the ids went back",
                Some(50),
                99,
                20,
                Some(40),
                false,
                finding(0, true, true),
                Some(40),
            ),
            (
                "the number becomes known again when everything is read",
                None,
                100,
                20,
                Some(40),
                false,
                finding(0, true, true),
                Some(40),
            ),
            (
                "before Redis 7, nothing is lost",
                None,
                200,
                20,
                None,
                false,
                finding(0, false, true),
                None,
            ),
            (
                "before Redis 7, a gap is one",
                None,
                200,
                20,
                None,
                true,
                finding(1, false, true),
                None,
            ),
            (
                "before Redis 7, a stream that is always empty is one",
                None,
                200,
                0,
                None,
                false,
                finding(1, true, true),
                None,
            ),
        ] {
            let mut position = Position {
                last: id(100),
                ordinal,
            };
            let facts = StreamFacts {
                last: id(last),
                length,
                added,
            };
            assert_eq!(position.compare(&facts, gap), expected, "{sentence}");
            assert_eq!(position.ordinal, ordinal_after, "{sentence}");
        }
    }
}

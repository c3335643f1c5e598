//! Which share of the queues this exporter reads, where several of them share the queues of one Redis.
//!
//! A queue belongs to the shard that the SHA-256 of its prefix and its name gives, and to no other: no exporter has to know of the others. A
//! hash for tables would do it quicker, but these differ between releases, or are uneven over names that differ in their last
//! character. This one is fixed for ever, and `printf 'bull\377email' | sha256sum` shows it.

use std::fmt;

use sha2::{Digest as _, Sha256};

use crate::model::QueueId;

/// The most shards. Each looks for all queues by itself, so that more of them are a load on Redis before they are of use: at ten thousand
/// queues each, these read ten million.
pub const MOST_SHARDS: u32 = 1000;

/// What stands between prefix and name when they are hashed. No text in UTF-8 has this byte, so that no two queues are hashed alike.
const SEPARATOR: u8 = 0xff;

/// A share of the queues: this one of so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Counted from 0.
    index: u32,
    of: u32,
}

impl Shard {
    /// All the queues.
    pub const ALL: Self = Self { index: 0, of: 1 };

    /// Reads `I/N`.
    ///
    /// # Errors
    /// With a sentence that says what is wrong and what to write.
    pub fn parse(text: &str) -> Result<Self, String> {
        let form = || {
            "write which shard of how many, counted from 0: one of 0/3, 1/3 and 2/3 for each of three exporters".to_owned()
        };
        let (index, of) = text.split_once('/').ok_or_else(form)?;
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            // One that does not fit is too large, whatever it is.
            plain.then(|| digits.parse().unwrap_or(u32::MAX))
        };
        let (Some(index), Some(of)) = (number(index), number(of)) else {
            return Err(form());
        };
        if of == 0 {
            return Err(
                "nothing can be shared among none; write 0/1 for all the queues".to_owned(),
            );
        }
        if of > MOST_SHARDS {
            return Err(format!(
                "{MOST_SHARDS} shards are the most, as each looks for all queues by itself; write a smaller number after the slash"
            ));
        }
        if index >= of {
            let last = of - 1;
            return Err(format!(
                "shards are counted from 0, so the last of {of} is {last}/{of}; write a number from 0 to {last} before the slash"
            ));
        }
        Ok(Self { index, of })
    }

    /// Whether all queues are in it.
    pub fn is_all(self) -> bool {
        self == Self::ALL
    }

    /// Its number, from 0.
    pub const fn index(self) -> u32 {
        self.index
    }

    /// How many shards there are.
    pub const fn count(self) -> u32 {
        self.of
    }

    /// Whether a queue is in it.
    pub fn has(self, queue: &QueueId) -> bool {
        self.is_all() || place_of(queue) % u64::from(self.of) == u64::from(self.index)
    }
}

/// The first eight bytes of the hash, as a number.
fn place_of(queue: &QueueId) -> u64 {
    let hash = Sha256::new()
        .chain_update(queue.prefix.as_bytes())
        .chain_update([SEPARATOR])
        .chain_update(queue.name.as_bytes())
        .finalize();
    let first = hash.iter().take(size_of::<u64>());
    first.fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.of)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue(prefix: &str, name: &str) -> QueueId {
        QueueId {
            prefix: prefix.into(),
            name: name.into(),
        }
    }

    #[test]
    fn a_shard_is_written_as_its_number_of_so_many() {
        for text in ["0/1", "0/3", "2/3", "999/1000"] {
            let shard = Shard::parse(text).unwrap();
            assert_eq!(shard.to_string(), text);
            assert_eq!(shard.is_all(), text == "0/1");
        }
        let form = "write which shard of how many, counted from 0: one of 0/3, 1/3 and 2/3 for each of three exporters";
        for (text, told) in [
            ("", form),
            ("1", form),
            ("/", form),
            ("1/", form),
            ("/3", form),
            ("a/b", form),
            ("-1/2", form),
            ("+1/2", form),
            (" 0/2", form),
            ("0/2/4", form),
            ("0.5/2", form),
            ("$(POD_INDEX)/3", form),
            (
                "0/0",
                "nothing can be shared among none; write 0/1 for all the queues",
            ),
            (
                "3/3",
                "shards are counted from 0, so the last of 3 is 2/3; write a number from 0 to 2 before the slash",
            ),
            (
                "1/1",
                "shards are counted from 0, so the last of 1 is 0/1; write a number from 0 to 0 before the slash",
            ),
            (
                "99999999999999999999/2",
                "shards are counted from 0, so the last of 2 is 1/2; write a number from 0 to 1 before the slash",
            ),
            (
                "0/1001",
                "1000 shards are the most, as each looks for all queues by itself; write a smaller number after the slash",
            ),
            (
                "0/99999999999999999999",
                "1000 shards are the most, as each looks for all queues by itself; write a smaller number after the slash",
            ),
        ] {
            assert_eq!(Shard::parse(text), Err(told.to_owned()), "{text}");
        }
    }

    /// If this fails, an upgrade would move queues between the shards of exporters that run: do not change what is expected.
    #[test]
    fn a_queue_stays_in_its_shard_for_ever() {
        // The first eight bytes of `printf 'PREFIX\377NAME' | sha256sum` of GNU coreutils.
        for (prefix, name, place) in [
            ("bull", "email", 0xa731_0ae3_0cca_91d4_u64),
            ("bull", "", 0x3239_e6f3_8aa3_398e_u64),
            ("bull:a", "b", 0x0ce2_7bd1_91d6_60eb_u64),
            ("bull", "a:b", 0xf359_571e_540d_2d57_u64),
            ("{app}", "sms", 0x53fb_e802_2599_4a65_u64),
            ("bull", "größe", 0x9c88_4921_426a_a01e_u64),
            ("bull", "queue-1", 0xb1f4_a26d_1725_f5c5_u64),
            ("bull", "queue-2", 0x5334_75a3_ca47_9dda_u64),
        ] {
            let queue = queue(prefix, name);
            assert_eq!(place_of(&queue), place, "{queue}");
            for of in [1, 2, 3, 7, 1000] {
                let own = u32::try_from(place % u64::from(of)).unwrap();
                for index in 0..of {
                    let shard = Shard { index, of };
                    assert_eq!(shard.has(&queue), index == own, "{queue} {shard}");
                }
            }
        }
    }

    /// FIPS 180-4's own example (<https://csrc.nist.gov/csrc/media/projects/cryptographic-standards-and-guidelines/documents/examples/sha256.pdf>).
    #[test]
    fn the_hash_is_sha_256() {
        let hash = Sha256::digest(b"abc");
        assert_eq!(hash[..8], [0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea]);
    }

    #[test]
    fn queues_are_spread_evenly_whatever_their_names_are_like() {
        type Name = fn(u32) -> String;
        let forms: [(&str, Name); 4] = [
            ("counted", |number| format!("queue-{number}")),
            ("of equal length", |number| {
                format!("tenant-{number:05}-mail")
            }),
            ("of pairs of digits", |number| format!("{number}{number}")),
            ("that differ at their beginning", |number| {
                format!("{number}-mail")
            }),
        ];
        for (form, name) in forms {
            let places: Vec<u64> = (0..10_000)
                .map(|number| place_of(&queue("bull", &name(number))))
                .collect();
            for of in [2, 3, 4, 10, 16, 100] {
                let mut queues = vec![0_u32; usize::try_from(of).unwrap()];
                for place in &places {
                    queues[usize::try_from(place % of).unwrap()] += 1;
                }
                let fair = 10_000.0 / f64::from(u32::try_from(of).unwrap());
                // Five standard deviations of a fair die.
                let most_off = 5.0 * fair.sqrt();
                for (index, &count) in queues.iter().enumerate() {
                    let off = (f64::from(count) - fair).abs();
                    assert!(off < most_off, "{form}: {count} in {index}/{of}");
                }
            }
        }
    }
}

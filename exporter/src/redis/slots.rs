//! Which node of a Redis Cluster has a queue.
//!
//! A key lies in one of 16,384 slots, by the CRC16 of the part of it that stands between braces, and each slot on one node:
//! <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#key-distribution-model>. Without braces in its prefix or name a
//! queue's keys lie in many slots, and BullMQ cannot work with it.

use redis::Value;

use super::keys::Keys;
use super::reply::{Reply, ReplyError, number};
use crate::endpoint::Address;
use crate::model::QueueId;

/// How many slots there are.
const SLOTS: usize = 16_384;

/// The slot of every key of a queue, or nothing if they lie in several.
pub(super) fn slot_of(queue: &QueueId) -> Option<usize> {
    hash_tag(Keys::of(queue).base()).map(|tag| usize::from(crc16(tag.as_bytes())) % SLOTS)
}

/// What stands between the first opening brace and the next closing one, unless that is nothing.
fn hash_tag(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}

/// CRC-16/XMODEM.
fn crc16(bytes: &[u8]) -> u16 {
    const POLYNOMIAL: u16 = 0x1021;
    bytes.iter().fold(0, |sum, byte| {
        (0..8).fold(sum ^ (u16::from(*byte) << 8), |sum, _| {
            let carry = sum & 0x8000 != 0;
            (sum << 1) ^ if carry { POLYNOMIAL } else { 0 }
        })
    })
}

/// Which node has which slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SlotMap {
    /// The primaries, in the order of their first slots.
    nodes: Vec<Address>,
    /// The index of the node of each slot.
    owners: Vec<Option<usize>>,
}

impl SlotMap {
    /// Reads the reply to `CLUSTER SLOTS`. A node that does not know its own name is the one that was asked.
    ///
    /// # Errors
    /// When it tells of no slot.
    pub(super) fn read(reply: Reply<'_>, asked: &Address) -> Result<Self, ReplyError> {
        let unexpected = || ReplyError::Unexpected {
            command: "CLUSTER SLOTS",
        };
        let Value::Array(entries) = reply.value()? else {
            return Err(unexpected());
        };
        let mut ranges = Vec::new();
        for entry in entries {
            let Value::Array(parts) = entry else {
                return Err(unexpected());
            };
            let [
                Value::Int(first),
                Value::Int(last),
                Value::Array(primary),
                ..,
            ] = parts.as_slice()
            else {
                return Err(unexpected());
            };
            let (first, last) = (usize::try_from(*first), usize::try_from(*last));
            let (Ok(first), Ok(last)) = (first, last) else {
                return Err(unexpected());
            };
            let [host, Value::Int(port), ..] = primary.as_slice() else {
                return Err(unexpected());
            };
            let host = if let Value::BulkString(host) = host {
                str::from_utf8(host).unwrap_or_default()
            } else {
                ""
            };
            let port = u16::try_from(*port).map_err(|_out_of_range| unexpected())?;
            ranges.push((first, last, address(host, port, asked)));
        }
        ranges.sort_by_key(|(first, ..)| *first);
        let mut map = Self {
            nodes: Vec::new(),
            owners: vec![None; SLOTS],
        };
        for (first, last, node) in ranges {
            let owner = map.index_of(node);
            let slots = map.owners.get_mut(first..=last).ok_or_else(unexpected)?;
            slots.fill(Some(owner));
        }
        // A node that was never in a cluster, or has been thrown out of it.
        if map.nodes.is_empty() {
            return Err(unexpected());
        }
        Ok(map)
    }

    fn index_of(&mut self, node: Address) -> usize {
        let known = self.nodes.iter().position(|known| *known == node);
        known.unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        })
    }

    /// The primaries.
    pub(super) fn nodes(&self) -> &[Address] {
        &self.nodes
    }

    /// The index of the node that has a slot.
    pub(super) fn owner(&self, slot: usize) -> Option<usize> {
        self.owners.get(slot).copied().flatten()
    }

    /// Takes a node's word, the rest of a `MOVED`, that another one has the slot.
    pub(super) fn take_moved(&mut self, moved: &str, asked: usize) {
        let Some((slot, address)) = self
            .nodes
            .get(asked)
            .and_then(|asked| moved_to(moved, asked))
        else {
            return;
        };
        let owner = self.index_of(address);
        if let Some(slot) = self.owners.get_mut(slot) {
            *slot = Some(owner);
        }
    }
}

/// Reads `3999 127.0.0.1:6381`.
fn moved_to(moved: &str, asked: &Address) -> Option<(usize, Address)> {
    let (slot, node) = moved.split_once(' ')?;
    let (host, port) = node.rsplit_once(':')?;
    let slot = number::<usize>(slot.as_bytes())?;
    let port = number::<u16>(port.as_bytes())?;
    Some((slot, address(host, port, asked)))
}

/// The address of a node; one that does not know its own name is where the one that was asked is.
fn address(host: &str, port: u16, asked: &Address) -> Address {
    let host = match (host, asked) {
        ("" | "?", Address::Tcp { host, .. }) => host.clone(),
        (host, _) => host.to_owned(),
    };
    Address::Tcp { host, port }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(host: &str, port: u16) -> Address {
        Address::Tcp {
            host: host.into(),
            port,
        }
    }

    /// The slots are those that `CLUSTER KEYSLOT` of Redis 7.0 tells for `<prefix>:<name>:wait`.
    #[test]
    fn a_queue_has_the_slot_of_what_stands_between_its_braces() {
        for (prefix, name, expected) in [
            ("{app}", "email", Some(6_805)),
            ("{app}", "{sms}", Some(6_805)),
            ("bull", "{email}", Some(10_780)),
            ("bull", "a{email}b", Some(10_780)),
            ("bull", "{123456789}", Some(12_739)),
            ("{büll}", "email", Some(7_636)),
            ("bull", "email", None),
            ("bull", "{}{email}", None),
            ("bull", "{email", None),
            ("}bull{", "email", None),
        ] {
            let queue = QueueId {
                prefix: prefix.into(),
                name: name.into(),
            };
            assert_eq!(slot_of(&queue), expected, "{queue}");
        }
    }

    fn entry(first: i64, last: i64, host: Option<&str>, port: i64) -> Value {
        let host = host.map_or(Value::Nil, |host| {
            Value::BulkString(host.as_bytes().to_vec())
        });
        let id = Value::BulkString(b"9d1c".to_vec());
        let node = Value::Array(vec![host, Value::Int(port), id]);
        let replica = Value::Array(vec![Value::BulkString(b"r".to_vec()), Value::Int(1)]);
        Value::Array(vec![Value::Int(first), Value::Int(last), node, replica])
    }

    #[test]
    fn every_slot_has_the_node_that_was_told_and_a_node_without_name_is_the_one_asked() {
        let reply = Value::Array(vec![
            entry(10_000, 16_383, Some(""), 7003),
            entry(0, 4_999, Some("b"), 7001),
            entry(5_000, 8_999, None, 7002),
            entry(9_000, 9_000, Some("?"), 7003),
        ]);
        let asked = at("asked", 7000);
        let mut map = SlotMap::read(Reply::to("CLUSTER SLOTS", Some(&reply)), &asked).unwrap();
        let nodes = [at("b", 7001), at("asked", 7002), at("asked", 7003)];
        assert_eq!(map.nodes(), nodes);
        for (slot, expected) in [
            (0, Some(0)),
            (4_999, Some(0)),
            (5_000, Some(1)),
            (9_000, Some(2)),
            (9_001, None),
            (16_383, Some(2)),
            (16_384, None),
        ] {
            assert_eq!(map.owner(slot), expected, "{slot}");
        }
        for (moved, slot, expected) in [
            ("0 asked:7002", 0, Some(1)),
            ("1 :7002", 1, None),
            ("1 ::1:7002", 1, Some(4)),
            ("2 nonsense", 2, Some(0)),
            ("3", 3, Some(0)),
            ("16384 b:7001", 16_384, None),
        ] {
            map.take_moved(moved, 0);
            if let Some(expected) = expected {
                assert_eq!(map.owner(slot), Some(expected), "{moved}");
            }
        }
        assert_eq!(
            map.nodes().get(3),
            Some(&at("b", 7002)),
            "an empty host is that of the node asked"
        );
        assert_eq!(map.nodes().get(4), Some(&at("::1", 7002)));
    }

    #[test]
    fn what_tells_of_no_slot_is_no_answer() {
        let shapes = [
            Value::Nil,
            Value::Int(1),
            Value::Array(vec![]),
            Value::Array(vec![Value::Nil]),
            Value::Array(vec![Value::Array(vec![Value::Int(0)])]),
            Value::Array(vec![entry(0, 16_384, Some("a"), 1)]),
            Value::Array(vec![entry(5, 4, Some("a"), 70_000)]),
            Value::Array(vec![entry(-1, 4, Some("a"), 1)]),
        ];
        for shape in shapes {
            let read = SlotMap::read(Reply::to("CLUSTER SLOTS", Some(&shape)), &at("a", 1));
            assert!(read.is_err(), "{shape:?}");
        }
    }
}

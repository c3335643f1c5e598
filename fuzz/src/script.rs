//! Bytes as a script: each decision takes the next ones, and none is left at the end.

/// The words that a text is likely to be: fields, events and ids that are looked for, and numbers at their bounds.
const WORDS: [&str; 48] = [
    "0",
    "1",
    "2",
    "-1",
    "7",
    "10",
    "4096",
    "0.5",
    "1e3",
    "-0",
    "NaN",
    "inf",
    "1780000000000",
    "1780000000000.0015",
    "7290880000000000",
    "9007199254740991",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1780000000000-0",
    "1780000000000-1",
    "0-0",
    "18446744073709551615-18446744073709551615",
    "5",
    "0:0",
    "0:1780000000000",
    "bullmq:6.7.0",
    "bullmq-pro:7.1.0",
    "event",
    "jobId",
    "prev",
    "delay",
    "returnvalue",
    "waiting",
    "active",
    "completed",
    "failed",
    "delayed",
    "stalled",
    "retried",
    "added",
    "removed",
    "drained",
    "deduplicated",
    "",
    "job-1",
    "repeat:a:1",
    "a b",
];

/// A reader of the bytes.
#[derive(Debug)]
pub struct Script<'d> {
    rest: &'d [u8],
}

impl<'d> Script<'d> {
    /// Begins at the first byte.
    pub fn new(data: &'d [u8]) -> Self {
        Self { rest: data }
    }

    /// The next byte; nothing at the end.
    pub fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*first)
    }

    /// A number below a bound; 0 at the end.
    pub fn below(&mut self, bound: usize) -> usize {
        usize::from(self.byte().unwrap_or(0)) % bound.max(1)
    }

    /// Some of the next bytes, as many as there are.
    pub fn bytes(&mut self, count: usize) -> &'d [u8] {
        let (some, rest) = self.rest.split_at(count.min(self.rest.len()));
        self.rest = rest;
        some
    }

    /// A whole number: most are small, some are large, a few are at the bounds.
    pub fn integer(&mut self) -> i64 {
        match self.byte().unwrap_or(0) {
            small @ 0..=199 => i64::from(small % 12),
            200..=239 => {
                let bytes = self.bytes(4).iter();
                bytes.fold(0, |sum, byte| sum << 8 | i64::from(*byte))
            }
            240..=247 => i64::MAX,
            248..=251 => i64::MIN,
            _ => -1,
        }
    }

    /// A text: most are words that mean something.
    pub fn text(&mut self) -> Vec<u8> {
        match self.byte().unwrap_or(0) {
            word @ 0..=215 => WORDS[usize::from(word) % WORDS.len()].as_bytes().to_vec(),
            length => {
                let length = usize::from(length - 215);
                self.bytes(length).to_vec()
            }
        }
    }
}

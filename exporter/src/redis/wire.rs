//! RESP 2, the protocol of Redis, as far as a scrape needs it: commands written one behind the other, and replies left as they came.
//!
//! A scrape of 10,000 queues sends some 300,000 commands. Made of one object a command and one a reply, as the `redis` crate makes them, they
//! cost more than everything else in the exporter together (docs/performance.md), so here a batch is one piece of memory each way. What is
//! asked once a scrape or less still goes through the crate's types.
//!
//! Protocol: <https://redis.io/docs/latest/develop/reference/protocol-spec/>.

use bytes::Bytes;

/// The longest line before its end has come: an integer, a length, an error. Redis cuts what a client sees of its own lines far shorter.
const MAX_LINE: usize = 64 * 1024;
/// The largest text: Redis' own limit, `proto-max-bulk-len`, unless it was raised.
const MAX_TEXT: i64 = 512 * 1024 * 1024;
/// The most elements of an array: the limit of Redis' own clients.
const MAX_ELEMENTS: i64 = i32::MAX as i64;

/// Commands as they are sent.
#[derive(Debug, Default)]
pub(crate) struct Commands {
    bytes: Vec<u8>,
    count: usize,
    /// Where the last command begins, and how many arguments it has so far.
    last: Option<(usize, usize)>,
}

impl Commands {
    /// No commands, and room for so many bytes.
    pub(super) fn with_capacity(bytes: usize) -> Self {
        Self {
            bytes: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// Commands that have been written already.
    pub(super) const fn written(bytes: Vec<u8>, count: usize) -> Self {
        Self {
            bytes,
            count,
            last: None,
        }
    }

    /// Begins another command.
    pub(super) fn cmd(&mut self, name: &str) -> &mut Self {
        self.close();
        self.last = Some((self.bytes.len(), 0));
        // The number of arguments is written when it is known.
        self.bytes.extend_from_slice(b"*0\r\n");
        self.count += 1;
        self.arg(name)
    }

    /// Gives the last command one more argument, or several.
    pub(super) fn arg(&mut self, argument: impl Argument) -> &mut Self {
        argument.give(self);
        self
    }

    /// Gives the last command one more argument that consists of these pieces.
    pub(super) fn pieces(&mut self, pieces: &[&[u8]]) {
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        self.bytes.push(b'$');
        self.number(length);
        self.bytes.extend_from_slice(b"\r\n");
        for piece in pieces {
            self.bytes.extend_from_slice(piece);
        }
        self.bytes.extend_from_slice(b"\r\n");
        if let Some((_, arguments)) = &mut self.last {
            *arguments += 1;
        }
    }

    /// How many commands there are.
    pub(super) const fn len(&self) -> usize {
        self.count
    }

    /// The bytes to send.
    pub(super) fn into_bytes(mut self) -> Vec<u8> {
        self.close();
        self.bytes
    }

    fn close(&mut self) {
        if let Some((begin, arguments)) = self.last.take() {
            let digits = begin + 1;
            let mut number = itoa::Buffer::new();
            let number = number.format(arguments).bytes();
            self.bytes.splice(digits..=digits, number);
        }
    }

    fn number(&mut self, number: impl itoa::Integer) {
        let mut digits = itoa::Buffer::new();
        self.bytes
            .extend_from_slice(digits.format(number).as_bytes());
    }
}

/// What a command can be given.
pub(super) trait Argument {
    /// Gives it to the last command.
    fn give(&self, commands: &mut Commands);
}

impl Argument for str {
    fn give(&self, commands: &mut Commands) {
        commands.pieces(&[self.as_bytes()]);
    }
}

impl Argument for i64 {
    fn give(&self, commands: &mut Commands) {
        commands.pieces(&[itoa::Buffer::new().format(*self).as_bytes()]);
    }
}

impl Argument for u64 {
    fn give(&self, commands: &mut Commands) {
        commands.pieces(&[itoa::Buffer::new().format(*self).as_bytes()]);
    }
}

/// A bound of a range of scores that does not belong to the range.
#[derive(Clone, Copy, Debug)]
pub(super) struct Below(pub(super) u64);

impl Argument for Below {
    fn give(&self, commands: &mut Commands) {
        commands.pieces(&[b"(", itoa::Buffer::new().format(self.0).as_bytes()]);
    }
}

impl<T: Argument, const N: usize> Argument for [T; N] {
    fn give(&self, commands: &mut Commands) {
        for argument in self {
            argument.give(commands);
        }
    }
}

impl<T: Argument + ?Sized> Argument for &T {
    fn give(&self, commands: &mut Commands) {
        (*self).give(commands);
    }
}

/// What came is not RESP 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an answer that is not of Redis' protocol")]
pub(super) struct Garbage;

/// One value as it stands in a reply, whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Raw<'a>(&'a [u8]);

/// What a value is.
#[derive(Clone, Debug)]
pub(super) enum Shape<'a> {
    /// Nothing.
    Nil,
    /// A whole number.
    Integer(i64),
    /// A text.
    Text(&'a [u8]),
    /// A refusal, whole.
    Error(&'a [u8]),
    /// Several values.
    Array(Elements<'a>),
}

/// The values of an array that are left.
#[derive(Clone, Debug)]
pub(super) struct Elements<'a>(&'a [u8]);

impl<'a> Iterator for Elements<'a> {
    type Item = Raw<'a>;

    fn next(&mut self) -> Option<Raw<'a>> {
        let (mut end, mut open) = (0, 1_u64);
        while open > 0 {
            let (length, elements) = measure(self.0.get(end..)?).ok()??;
            end += length;
            open = open - 1 + elements;
        }
        let (value, rest) = self.0.split_at_checked(end)?;
        self.0 = rest;
        Some(Raw(value))
    }
}

impl<'a> Raw<'a> {
    /// The value, byte by byte.
    pub(super) const fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// What it is; nothing if it makes no sense.
    pub(super) fn shape(self) -> Option<Shape<'a>> {
        let end = self.0.iter().position(|byte| *byte == b'\r')?;
        let (kind, line) = self.0.get(..end)?.split_first()?;
        let rest = self.0.get(end + 2..)?;
        Some(match kind {
            b'+' => Shape::Text(line),
            b'-' => Shape::Error(self.0),
            b':' => Shape::Integer(number(line)?),
            b'$' | b'*' if line == b"-1" => Shape::Nil,
            b'$' => Shape::Text(rest.get(..rest.len().checked_sub(2)?)?),
            b'*' => Shape::Array(Elements(rest)),
            _ => return None,
        })
    }
}

/// The replies to a batch of commands, in their order.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    bytes: Bytes,
    /// Where each of them ends.
    ends: Vec<usize>,
}

impl Replies {
    /// The reply to the command with this index.
    pub(super) fn get(&self, index: usize) -> Option<Raw<'_>> {
        let begin = match index.checked_sub(1) {
            None => 0,
            Some(before) => *self.ends.get(before)?,
        };
        self.bytes.get(begin..*self.ends.get(index)?).map(Raw)
    }

    /// Each of them.
    pub(super) fn iter(&self) -> impl Iterator<Item = Raw<'_>> {
        (0..self.ends.len()).filter_map(|index| self.get(index))
    }
}

/// Finds where replies end, as they come.
#[derive(Debug)]
pub(super) struct Scanner {
    /// How many bytes have been looked at: whole values.
    at: usize,
    /// How many values are still missing of the reply that is looked at.
    open: u64,
    ends: Vec<usize>,
    wanted: usize,
}

impl Scanner {
    /// A scanner for so many replies.
    pub(super) fn new(wanted: usize) -> Self {
        Self {
            at: 0,
            open: 0,
            ends: Vec::with_capacity(wanted),
            wanted,
        }
    }

    /// Looks on, at all bytes that have come so far, and returns how many of them the replies take, once all have come.
    ///
    /// # Errors
    /// When they are no replies.
    pub(super) fn look(&mut self, bytes: &[u8]) -> Result<Option<usize>, Garbage> {
        while self.ends.len() < self.wanted {
            if self.open == 0 {
                self.open = 1;
            }
            let rest = bytes.get(self.at..).unwrap_or_default();
            let Some((length, elements)) = measure(rest)? else {
                return Ok(None);
            };
            self.at += length;
            self.open = self.open - 1 + elements;
            if self.open == 0 {
                self.ends.push(self.at);
            }
        }
        Ok(Some(self.at))
    }

    /// The replies in these bytes.
    pub(super) fn replies(self, bytes: Bytes) -> Replies {
        Replies {
            bytes,
            ends: self.ends,
        }
    }
}

/// The length of the value at the beginning, without its elements, and how many elements follow; nothing if it is not whole yet.
///
/// # Errors
/// When there is no value.
fn measure(bytes: &[u8]) -> Result<Option<(usize, u64)>, Garbage> {
    let Some(kind) = bytes.first() else {
        return Ok(None);
    };
    if !matches!(kind, b'+' | b'-' | b':' | b'$' | b'*') {
        return Err(Garbage);
    }
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
        return if bytes.len() > MAX_LINE {
            Err(Garbage)
        } else {
            Ok(None)
        };
    };
    let line = bytes.get(1..end).unwrap_or_default();
    let line = line.strip_suffix(b"\r").ok_or(Garbage)?;
    let end = end + 1;
    match kind {
        b'$' => match number(line) {
            Some(-1) => Ok(Some((end, 0))),
            Some(length @ 0..=MAX_TEXT) => {
                let length = usize::try_from(length).map_err(|_too_large| Garbage)?;
                match bytes.get(end + length..end + length + 2) {
                    Some(b"\r\n") => Ok(Some((end + length + 2, 0))),
                    Some(_) => Err(Garbage),
                    None => Ok(None),
                }
            }
            _ => Err(Garbage),
        },
        b'*' => match number(line) {
            Some(-1) => Ok(Some((end, 0))),
            Some(elements @ 0..=MAX_ELEMENTS) => Ok(Some((end, elements.unsigned_abs()))),
            _ => Err(Garbage),
        },
        _ => Ok(Some((end, 0))),
    }
}

/// The whole number that these digits are. A queue's replies have dozens, and `str::parse` takes several times the instructions.
fn number(digits: &[u8]) -> Option<i64> {
    let (sign, digits) = match digits.split_first()? {
        (sign @ (b'-' | b'+'), digits) => (*sign, digits),
        _ => (b'+', digits),
    };
    if digits.is_empty() {
        return None;
    }
    // Below zero there is one number more.
    let below_zero = digits.iter().try_fold(0_i64, |number, digit| {
        let digit = digit.checked_sub(b'0').filter(|digit| *digit <= 9)?;
        number.checked_mul(10)?.checked_sub(i64::from(digit))
    })?;
    if sign == b'-' {
        Some(below_zero)
    } else {
        below_zero.checked_neg()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::redis::reply::{Reply, Source};
    use proptest::prelude::*;
    use redis::{Pipeline, Value, parse_redis_value};

    proptest! {
        #[test]
        fn commands_are_written_as_the_redis_crate_writes_them(
            commands in prop::collection::vec(prop::collection::vec(".{0,20}", 0..25), 0..6),
            number in any::<i64>(),
            bound in any::<u64>(),
        ) {
            let (mut ours, mut theirs) = (Commands::default(), Pipeline::new());
            for arguments in &commands {
                ours.cmd("COMMAND").arg(number).arg(Below(bound)).arg(bound);
                theirs.cmd("COMMAND").arg(number).arg(format!("({bound}")).arg(bound);
                for argument in arguments {
                    ours.arg(argument.as_str());
                    theirs.arg(argument);
                }
            }
            prop_assert_eq!(ours.len(), commands.len());
            prop_assert_eq!(ours.into_bytes(), theirs.get_packed_pipeline());
        }
    }

    /// A value as Redis sends it.
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "the crate has shapes of RESP 3, which nobody asks for"
    )]
    fn sent(value: &Value) -> Vec<u8> {
        match value {
            Value::Nil => b"$-1\r\n".to_vec(),
            Value::Int(number) => format!(":{number}\r\n").into_bytes(),
            Value::Okay => b"+OK\r\n".to_vec(),
            Value::SimpleString(text) => format!("+{text}\r\n").into_bytes(),
            Value::BulkString(bytes) => {
                let head = format!("${}\r\n", bytes.len()).into_bytes();
                [head.as_slice(), bytes, b"\r\n"].concat()
            }
            Value::Array(values) => {
                let head = format!("*{}\r\n", values.len()).into_bytes();
                let values = values.iter().map(sent);
                std::iter::once(head)
                    .chain(values)
                    .collect::<Vec<_>>()
                    .concat()
            }
            other => panic!("{other:?} is not sent"),
        }
    }

    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            Just(Value::Okay),
            any::<i64>().prop_map(Value::Int),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Value::BulkString),
            "[A-NP-Z]{0,9}".prop_map(Value::SimpleString),
        ];
        leaf.prop_recursive(3, 30, 6, |inner| {
            prop::collection::vec(inner, 0..6).prop_map(Value::Array)
        })
    }

    /// What a value says when it is asked for everything that it may be.
    fn told(source: Source<'_>) -> String {
        let reply = Reply::of("COMMAND", source);
        let inner = reply
            .items()
            .map(|items| items.map(told).collect::<Vec<_>>());
        format!("{:?} {:?} {:?}", reply.integer(), reply.text(), inner)
    }

    proptest! {
        #[test]
        fn replies_are_found_however_they_are_cut_and_say_what_the_redis_crate_reads(
            values in prop::collection::vec(any_value(), 1..8),
            cut in prop::collection::vec(1..60_usize, 0..40),
        ) {
            let whole: Vec<u8> = values.iter().flat_map(sent).collect();
            // What follows belongs to others.
            let followed = [whole.as_slice(), b":1\r\n"].concat();
            let mut scanner = Scanner::new(values.len());
            let (mut come, mut found) = (0, None);
            for step in cut.into_iter().chain([followed.len()]) {
                come = (come + step).min(followed.len());
                found = scanner.look(&followed[..come]).unwrap();
                prop_assert_eq!(found.is_some(), come >= whole.len());
                if found.is_some() {
                    break;
                }
            }
            prop_assert_eq!(found, Some(whole.len()));
            let replies = scanner.replies(whole.into());
            prop_assert_eq!(replies.iter().count(), values.len());
            for (raw, value) in replies.iter().zip(&values) {
                prop_assert_eq!(&parse_redis_value(raw.bytes()).unwrap(), value);
                prop_assert_eq!(told(Source::Raw(raw)), told(Source::Value(value)));
            }
            prop_assert!(replies.get(values.len()).is_none());
        }

        #[test]
        fn a_number_is_read_as_the_standard_library_reads_it(
            text in prop_oneof![any::<i64>().prop_map(|it| it.to_string()), "[+-]?[0-9]{0,22}", "[-+0-9 x]{0,4}"],
        ) {
            prop_assert_eq!(number(text.as_bytes()), text.parse().ok());
        }

        #[test]
        fn no_bytes_bring_the_reader_down(
            bytes in prop::collection::vec(
                prop_oneof![
                    prop::sample::select(b"+-:$*\r\n0123456789".to_vec()),
                    any::<u8>(),
                ],
                0..80,
            ),
            wanted in 1..4_usize,
        ) {
            let mut scanner = Scanner::new(wanted);
            if let Ok(Some(length)) = scanner.look(&bytes) {
                let replies = scanner.replies(Bytes::copy_from_slice(&bytes[..length]));
                for raw in replies.iter() {
                    let _ = told(Source::Raw(raw));
                }
            }
        }
    }

    #[test]
    fn what_is_no_reply_is_told_from_one_that_has_not_come_whole() {
        let long_line = [b"+".as_slice(), &vec![b'x'; MAX_LINE + 1]].concat();
        for (sent, expected) in [
            (b"".as_slice(), Ok(None)),
            (b"$", Ok(None)),
            (b"$5\r\nab", Ok(None)),
            (b"$5\r\nabcde", Ok(None)),
            (b"$5\r\nabcde\r", Ok(None)),
            (b"*2\r\n:1\r\n", Ok(None)),
            (b"+OK\r\n", Ok(Some(5))),
            (b"*0\r\n", Ok(Some(4))),
            (b"*-1\r\n", Ok(Some(5))),
            (b"HTTP/1.1 400 Bad Request\r\n", Err(Garbage)),
            (b"$5\r\nabcdefg\r\n", Err(Garbage)),
            (b"$-2\r\n", Err(Garbage)),
            (b"$1x\r\n", Err(Garbage)),
            (b"$9999999999\r\n", Err(Garbage)),
            (b"*9999999999\r\n", Err(Garbage)),
            (b"*99999999999999999999\r\n", Err(Garbage)),
            (b"+OK\n", Err(Garbage)),
            (b"%1\r\n", Err(Garbage)),
            (&long_line, Err(Garbage)),
        ] {
            let text = String::from_utf8_lossy(sent);
            assert_eq!(Scanner::new(1).look(sent), expected, "{text:.40}");
        }
    }
}

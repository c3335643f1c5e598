//! One entry of an event stream, read from Redis' reply.

use bullmq_vocabulary::JobEvent;

use super::super::reply::{Reply, ReplyError, Source, number};
use super::position::EntryId;

/// What is of interest in an entry.
///
/// The rest of it, such as the return value of a job that completed, was transferred all the same: no command that only reads leaves out
/// fields, except for scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    /// When it was added.
    pub(super) id: EntryId,
    /// What happened.
    pub(super) event: JobEvent,
    /// The id of the job; empty if the event is not about one.
    pub(super) job: &'a [u8],
    /// Whether the job was delayed until then.
    pub(super) was_delayed: bool,
    /// When a delayed job falls due, in milliseconds since 1970.
    pub(super) due: Option<u64>,
    /// How many bytes it has.
    pub(super) bytes: usize,
}

/// The entries of a stream, from the reply to XRANGE or from the part of a reply to XREAD that belongs to it.
///
/// # Errors
/// When the reply is another.
pub(super) fn entries<'a>(
    command: &'static str,
    source: Source<'a>,
) -> Result<Vec<Entry<'a>>, ReplyError> {
    let entries = Reply::of(command, source).items()?;
    entries.map(|entry| read(command, entry)).collect()
}

fn read<'a>(command: &'static str, source: Source<'a>) -> Result<Entry<'a>, ReplyError> {
    let unexpected = || ReplyError::Unexpected { command };
    let reply = |source| Reply::of(command, source);
    let mut parts = reply(source).items()?;
    let id = reply(parts.next().ok_or_else(unexpected)?).text()?;
    let mut entry = Entry {
        id: id.and_then(EntryId::parse).ok_or_else(unexpected)?,
        event: JobEvent::Other,
        job: b"",
        was_delayed: false,
        due: None,
        bytes: id.unwrap_or_default().len(),
    };
    let fields = reply(parts.next().ok_or_else(unexpected)?);
    // An entry that was deleted while a consumer group held it has no fields.
    if fields.text() == Ok(None) {
        return Ok(entry);
    }
    let mut fields = fields.items()?;
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let (Some(name), Some(value)) = (reply(name).text()?, reply(value).text()?) else {
            continue;
        };
        entry.bytes += name.len() + value.len();
        match name {
            b"event" => entry.event = JobEvent::of(value),
            b"jobId" => entry.job = value,
            b"prev" => entry.was_delayed = value == b"delayed",
            b"delay" => entry.due = due(value),
            _ => {}
        }
    }
    Ok(entry)
}

/// A due time. BullMQ 4 writes that of a retry with a fraction, which is not a whole number of milliseconds.
fn due(text: &[u8]) -> Option<u64> {
    let whole = text.split(|byte| *byte == b'.').next()?;
    number(whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::Value;

    fn text(text: &str) -> Value {
        Value::BulkString(text.into())
    }

    fn row(id: &str, fields: &[&str]) -> Value {
        let fields = fields.iter().map(|field| text(field)).collect();
        Value::Array(vec![text(id), Value::Array(fields)])
    }

    #[test]
    fn an_entry_tells_what_happened_to_which_job() {
        let nothing = Entry {
            id: EntryId::parse(b"5-1").unwrap(),
            event: JobEvent::Other,
            job: b"",
            was_delayed: false,
            due: None,
            bytes: 0,
        };
        for (sentence, fields, expected) in [
            (
                "of a job that completed",
                &[
                    "event",
                    "completed",
                    "jobId",
                    "7",
                    "returnvalue",
                    "\"x\"",
                    "prev",
                    "active",
                ][..],
                Entry {
                    event: JobEvent::Completed,
                    job: b"7",
                    ..nothing
                },
            ),
            (
                "of a job that was delayed, in BullMQ 4",
                &[
                    "event",
                    "delayed",
                    "jobId",
                    "a b",
                    "delay",
                    "1780000000000.0015",
                ],
                Entry {
                    event: JobEvent::Delayed,
                    job: b"a b",
                    due: Some(1_780_000_000_000),
                    ..nothing
                },
            ),
            (
                "of a job that was delayed until now",
                &["event", "waiting", "jobId", "7", "prev", "delayed"],
                Entry {
                    event: JobEvent::Waiting,
                    job: b"7",
                    was_delayed: true,
                    ..nothing
                },
            ),
            (
                "about no job",
                &["event", "drained"],
                Entry {
                    event: JobEvent::Drained,
                    ..nothing
                },
            ),
            (
                "of an application",
                &["event", "paid", "amount", "3"],
                nothing,
            ),
            ("without fields", &[], nothing),
            ("with half a field", &["event"], nothing),
            (
                "with a due time that is none",
                &["event", "delayed", "delay", "soon"],
                Entry {
                    event: JobEvent::Delayed,
                    ..nothing
                },
            ),
        ] {
            let reply = Value::Array(vec![row("5-1", fields)]);
            let pairs = fields.chunks_exact(2).flatten();
            let bytes = "5-1".len() + pairs.map(|field| field.len()).sum::<usize>();
            let read = entries("XRANGE", Source::Value(&reply)).unwrap();
            assert_eq!(read, [Entry { bytes, ..expected }], "{sentence}");
        }
        let deleted = Value::Array(vec![Value::Array(vec![text("5-1"), Value::Nil])]);
        let read = entries("XRANGE", Source::Value(&deleted)).unwrap();
        assert_eq!(
            read,
            [Entry {
                bytes: 3,
                ..nothing
            }]
        );
    }

    #[test]
    fn no_reply_of_any_shape_brings_the_reader_down() {
        for reply in [
            Value::Nil,
            Value::Int(1),
            Value::Okay,
            text("x"),
            Value::Array(vec![Value::Nil]),
            Value::Array(vec![Value::Array(vec![])]),
            Value::Array(vec![Value::Array(vec![
                text("no-id"),
                Value::Array(vec![]),
            ])]),
            Value::Array(vec![Value::Array(vec![text("1-1"), Value::Int(1)])]),
            Value::Array(vec![Value::Array(vec![
                text("1-1"),
                Value::Array(vec![Value::Int(1), Value::Int(2)]),
            ])]),
        ] {
            assert!(
                entries("XRANGE", Source::Value(&reply)).is_err(),
                "{reply:?}"
            );
        }
        assert!(entries("XRANGE", Source::Missing).is_err());
        assert_eq!(
            entries("XRANGE", Source::Value(&Value::Array(vec![]))).unwrap(),
            []
        );
    }
}

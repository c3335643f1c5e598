//! Since when a job has been ready, as far as its hash tells.
//!
//! BullMQ does not store the moment a job became ready, so it is put together from what is stored:
//!
//! - A job added without delay is ready from its `timestamp` on.
//! - A delayed job is ready from `timestamp` plus the delay in its options on. Its `delay` field cannot be used: it is set to 0 when
//!   the job falls due and is moved.
//! - A job that is tried again is ready from the start of its last attempt on, at the earliest.
//!
//! What these rules cannot explain is unknown here: a failed job that was retried by hand (its `processedOn` is deleted), or a delayed
//! job that was promoted by hand (it would be ready in the future). For those the exporter counts from when it first saw them.

use serde::Deserialize;

use super::keys::Keys;
use super::reply::{Reply, ReplyError, number};
use super::score::Millis;
use super::wire::Commands;

const FIELDS: [&str; 5] = ["timestamp", "processedOn", "opts", "ats", "attemptsMade"];

/// How the delay is called in the options, as JSON that every library writes.
const DELAY: &[u8] = b"\"delay\"";

/// The times in one job's hash.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct JobTimes {
    /// When it was added, in milliseconds.
    timestamp: Option<f64>,
    /// The delay in its options, in milliseconds.
    delay: f64,
    /// When its last attempt began, in milliseconds.
    processed_on: Option<f64>,
    /// Whether it has been tried before.
    tried: bool,
}

#[derive(Deserialize)]
struct Options {
    delay: Option<f64>,
}

/// Asks for the times of a job; never for its data.
pub(super) fn ask(commands: &mut Commands, keys: &Keys, id: &[u8]) {
    commands.cmd("HMGET").arg(keys.job(id)).arg(FIELDS);
}

/// Reads the answer to [`ask`]: nothing if the job is gone.
pub(super) fn read(reply: Reply<'_>) -> Result<Option<JobTimes>, ReplyError> {
    let fields = reply.texts()?;
    if fields.iter().all(Option::is_none) {
        return Ok(None);
    }
    let field = |index: usize| fields.get(index).copied().flatten();
    let time = |index| field(index).and_then(number::<f64>);
    // Most jobs have none, and need no reading of their options.
    let with_delay = |json: &&[u8]| json.windows(DELAY.len()).any(|part| part == DELAY);
    let options = field(2).filter(with_delay);
    let options = options.and_then(|json| serde_json::from_slice::<Options>(json).ok());
    Ok(Some(JobTimes {
        timestamp: time(0),
        delay: options.and_then(|options| options.delay).unwrap_or(0.0),
        processed_on: time(1),
        tried: [3, 4]
            .into_iter()
            .any(|index| time(index).is_some_and(|tries| tries >= 1.0)),
    }))
}

impl JobTimes {
    /// Whether the job has been ready since it was added.
    pub(super) fn is_ready_since_added(&self) -> bool {
        let moved = self.delay > 0.0 || self.tried || self.processed_on.is_some();
        self.timestamp.is_some() && !moved
    }

    /// Since when the job has been ready, or nothing if its hash does not tell.
    pub(super) fn ready_since(&self, now: Millis) -> Option<Millis> {
        if self.tried && self.processed_on.is_none() {
            return None;
        }
        let due = self.timestamp? + self.delay;
        let since = due.max(self.processed_on.unwrap_or(0.0));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "the cast saturates, and times are whole milliseconds below 2^53"
        )]
        let since = Millis(since as u64);
        (since <= now).then_some(since)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::Value;

    const NOW: Millis = Millis(1_000_000);

    /// A job's hash in the order of `FIELDS`.
    fn job(fields: [Option<&str>; 5]) -> Option<JobTimes> {
        let values = fields.map(|field| match field {
            Some(text) => Value::BulkString(text.as_bytes().to_vec()),
            None => Value::Nil,
        });
        let reply = Value::Array(values.to_vec());
        read(Reply::to("HMGET", Some(&reply))).expect("a readable answer")
    }

    #[test]
    fn a_job_is_ready_since_the_moment_its_hash_tells() {
        for (sentence, fields, expected) in [
            (
                "added without delay",
                [Some("900000"), None, Some("{}"), None, None],
                Some(900_000),
            ),
            (
                "delayed, then moved when due",
                [
                    Some("900000"),
                    None,
                    Some(r#"{"attempts":3,"delay":50000}"#),
                    None,
                    None,
                ],
                Some(950_000),
            ),
            (
                "tried again after a failure",
                [
                    Some("100000"),
                    Some("990000"),
                    Some(r#"{"delay":0}"#),
                    Some("1"),
                    None,
                ],
                Some(990_000),
            ),
            (
                "retried by hand",
                [Some("100000"), None, Some("{}"), Some("1"), None],
                None,
            ),
            (
                "retried by hand under BullMQ 4",
                [Some("100000"), None, Some("{}"), None, Some("1")],
                None,
            ),
            (
                "promoted by hand before it was due",
                [
                    Some("900000"),
                    None,
                    Some(r#"{"delay":3600000}"#),
                    None,
                    None,
                ],
                None,
            ),
            (
                "a time stamp in the future",
                [Some("2000000"), None, Some("{}"), None, None],
                None,
            ),
            (
                "options that are no JSON",
                [Some("900000"), None, Some("{"), None, None],
                Some(900_000),
            ),
            ("no time stamp", [None, None, Some("{}"), None, None], None),
            (
                "a time stamp that is no number",
                [Some("soon"), None, Some("{}"), None, None],
                None,
            ),
        ] {
            let times = job(fields).expect(sentence);
            assert_eq!(times.ready_since(NOW), expected.map(Millis), "{sentence}");
        }
    }

    #[test]
    fn a_job_without_any_field_is_gone() {
        assert_eq!(job([None; 5]), None);
    }
}

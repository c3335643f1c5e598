//! The first round trip: what is asked of every queue, whatever its state.
//!
//! A queue's counts are asked inside one MULTI, because a job that a worker takes between `LLEN wait` and `LLEN active` would otherwise
//! be counted twice or not at all. Where the user may not run MULTI, Redis refuses MULTI and EXEC and answers the commands between
//! them one by one: the same batch serves, and the counts may be off by the few jobs that move in between.
//!
//! What a queue need not have is asked after the transaction, and only whether it is there: what is there is asked for in the next
//! round trip.

use super::keys::{Keys, META_FIELDS, META_WITNESSES};
use super::reply::{Reply, ReplyError, Source, number};
use super::score::Millis;
use super::wire::{Below, Commands};
use crate::model::{ErrorCause, Flavor, JobCounts, QueueSnapshot};

/// How many elements of the end from which workers take are looked at for the oldest job. Jobs added last-in-first-out, and jobs
/// that were taken back from a dead worker, stand at that end in front of older ones.
const TAIL: i64 = 8;

/// The commands between MULTI and EXEC, in the order in which they are sent.
const TRANSACTION: [&str; 14] = [
    "LLEN wait",
    "LLEN paused",
    "LLEN active",
    "ZCARD prioritized",
    "ZCARD delayed",
    "ZCOUNT delayed",
    "ZCARD waiting-children",
    "ZCARD completed",
    "ZCARD failed",
    "HMGET meta",
    "LRANGE wait",
    "LINDEX wait",
    "LINDEX paused",
    "LINDEX paused",
];

/// How many replies there are beside those of the transaction: MULTI, EXEC, and what is asked after it.
const BESIDE_THE_TRANSACTION: usize = 6;

/// How much a queue is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// What suffices for most: all but the ends of the `paused` list.
    Usual,
    /// Everything. A `paused` list may hold markers, which can only be told from its jobs in the moment in which it is counted, and few queues
    /// have one: so those are asked everything again.
    WithPausedEnds,
}

impl Form {
    const fn commands_in_transaction(self) -> usize {
        match self {
            Self::Usual => TRANSACTION.len() - 2,
            Self::WithPausedEnds => TRANSACTION.len(),
        }
    }

    /// How many replies one queue has.
    pub(super) const fn replies(self) -> usize {
        self.commands_in_transaction() + BESIDE_THE_TRANSACTION
    }
}

/// What the first round trip tells of a queue that exists.
#[derive(Debug)]
pub(super) struct Core {
    /// What is known so far.
    pub(super) snapshot: QueueSnapshot,
    /// The ids at both ends of the waiting jobs, without markers. The last of them is the one that is taken next.
    pub(super) ends: Vec<Vec<u8>>,
    /// Whether nothing speaks against the one that is taken next being the one that has waited for longest.
    pub(super) in_order: bool,
    /// Whether the `paused` list holds something, and was not looked at.
    pub(super) has_unseen_paused: bool,
    /// Whether there is a rate limit's window or a schedule; nothing if that is denied.
    pub(super) has_limits: Option<bool>,
    /// Whether there is a counter of finished jobs; nothing if that is denied.
    pub(super) has_metrics: Option<bool>,
    /// Whether there are groups; nothing if that is denied.
    pub(super) has_groups: Option<bool>,
    /// The most jobs in the window of the global rate limit, if the queue has one.
    pub(super) rate_limit: Option<u64>,
}

/// Asks one queue.
pub(super) fn ask(commands: &mut Commands, keys: &Keys, form: Form, now: Millis) {
    commands.cmd("MULTI");
    commands.cmd("LLEN").arg(keys.waiting());
    commands.cmd("LLEN").arg(keys.paused());
    commands.cmd("LLEN").arg(keys.active());
    commands.cmd("ZCARD").arg(keys.prioritized());
    commands.cmd("ZCARD").arg(keys.delayed());
    commands
        .cmd("ZCOUNT")
        .arg(keys.delayed())
        .arg("-inf")
        .arg(Below(now.first_score_not_due()));
    commands.cmd("ZCARD").arg(keys.waiting_children());
    commands.cmd("ZCARD").arg(keys.completed());
    commands.cmd("ZCARD").arg(keys.failed());
    commands.cmd("HMGET").arg(keys.meta()).arg(META_FIELDS);
    commands
        .cmd("LRANGE")
        .arg(keys.waiting())
        .arg(-TAIL)
        .arg(-1_i64);
    commands.cmd("LINDEX").arg(keys.waiting()).arg(0_i64);
    if form == Form::WithPausedEnds {
        commands.cmd("LINDEX").arg(keys.paused()).arg(0_i64);
        commands.cmd("LINDEX").arg(keys.paused()).arg(-1_i64);
    }
    commands.cmd("EXEC");
    commands.cmd("GET").arg(keys.added());
    commands.cmd("EXISTS").arg(keys.limits());
    commands.cmd("EXISTS").arg(keys.metrics());
    commands
        .cmd("EXISTS")
        .arg(keys.groups().map(|(_, key)| key));
}

/// Reads the replies to [`ask`]: nothing if the queue does not exist. What is denied without harm to the rest goes to `problems`.
///
/// # Errors
/// When a read is refused without which nothing of the queue is known.
pub(super) fn read(
    replies: &[Source<'_>],
    form: Form,
    problems: &mut Vec<ReplyError>,
) -> Result<Option<Core>, ReplyError> {
    let transaction = transaction_replies(replies, form, problems)?;
    let reply = |index: usize| {
        Reply::of(
            TRANSACTION.get(index).copied().unwrap_or_default(),
            at(&transaction, index),
        )
    };
    let after = |command: &'static str, index: usize| {
        Reply::of(
            command,
            at(replies, form.commands_in_transaction() + 2 + index),
        )
    };
    let waiting_length = reply(0).count()?;
    let paused_length = reply(1).count()?;
    let mut snapshot = QueueSnapshot {
        counts: JobCounts {
            waiting: waiting_length,
            paused: paused_length,
            active: reply(2).count()?,
            prioritized: reply(3).count()?,
            delayed: reply(4).count()?,
            waiting_children: reply(6).count()?,
            completed: reply(7).count()?,
            failed: reply(8).count()?,
        },
        delayed_due: reply(5).count()?,
        ..QueueSnapshot::default()
    };
    let meta = reply(9).texts()?;
    let field = |index: usize| meta.get(index).copied().flatten();
    let witnessed = meta.iter().take(META_WITNESSES).any(Option::is_some);
    snapshot.flavor = if witnessed {
        Flavor::BullMq
    } else {
        Flavor::Bull
    };
    snapshot.version = field(1).map(version).unwrap_or_default();
    // Bull writes this field too, but goes by a key of its own, which is asked for next.
    snapshot.paused = witnessed && field(3).is_some();
    snapshot.concurrency_limit = field(4).and_then(number);

    let mut ends = reply(10).texts()?;
    if waiting_length > u64::try_from(ends.len()).unwrap_or(u64::MAX) {
        ends.insert(0, reply(11).text()?);
    }
    let (markers, ends): (Vec<&[u8]>, Vec<&[u8]>) =
        ends.into_iter().flatten().partition(|id| is_marker(id));
    snapshot.counts.waiting = waiting_length.saturating_sub(markers.len() as u64);
    if form == Form::WithPausedEnds {
        let mut paused_ends = vec![reply(12).text()?];
        if paused_length > 1 {
            paused_ends.push(reply(13).text()?);
        }
        let paused_markers = paused_ends
            .into_iter()
            .flatten()
            .filter(|id| is_marker(id))
            .count();
        snapshot.counts.paused = paused_length.saturating_sub(paused_markers as u64);
    }

    let added = unless_denied(after("GET id", 0).text(), problems)?;
    // A queue to which nothing has been added has no counter yet: known to be nothing.
    snapshot.added = added.and_then(|text| text.map_or(Some(0), number));
    let has_limits = unless_denied(after("EXISTS limiter repeat", 1).count(), problems)?;
    let has_metrics = unless_denied(after("EXISTS metrics", 2).count(), problems)?;
    let has_groups = unless_denied(after("EXISTS groups", 3).count(), problems)?;
    if added.flatten().is_none() && meta.iter().all(Option::is_none) {
        return Ok(None);
    }
    // Bull keeps its list in the order of priority.
    let in_order = snapshot.flavor == Flavor::BullMq && are_in_order(&ends);
    Ok(Some(Core {
        snapshot,
        in_order,
        ends: ends.into_iter().map(<[u8]>::to_vec).collect(),
        has_unseen_paused: form == Form::Usual && paused_length > 0,
        has_limits: has_limits.map(|keys| keys > 0),
        has_metrics: has_metrics.map(|keys| keys > 0),
        has_groups: has_groups.map(|keys| keys > 0),
        rate_limit: field(5).and_then(number),
    }))
}

/// The replies inside the transaction, whether it was allowed or not.
fn transaction_replies<'a>(
    replies: &[Source<'a>],
    form: Form,
    problems: &mut Vec<ReplyError>,
) -> Result<[Source<'a>; TRANSACTION.len()], ReplyError> {
    let asked = form.commands_in_transaction();
    let queued = std::array::from_fn(|index| {
        if index < asked {
            at(replies, index + 1)
        } else {
            Source::Missing
        }
    });
    if let Err(problem) = Reply::of("MULTI", at(replies, 0)).accepted() {
        problems.push(problem);
        return Ok(queued);
    }
    match Reply::of("EXEC", at(replies, asked + 1)).items() {
        Ok(mut items) => Ok(std::array::from_fn(|_| {
            items.next().unwrap_or(Source::Missing)
        })),
        Err(odd @ ReplyError::Unexpected { .. }) => Err(odd),
        Err(aborted) => {
            // EXEC only says that a command before it was refused; that command says why.
            let refused = TRANSACTION.iter().zip(queued).take(asked);
            let mut reasons =
                refused.filter_map(|(command, reply)| Reply::of(command, reply).accepted().err());
            Err(reasons.next().unwrap_or(aborted))
        }
    }
}

fn at<'a>(replies: &[Source<'a>], index: usize) -> Source<'a> {
    replies.get(index).copied().unwrap_or(Source::Missing)
}

/// Whether each job was added before the one in front of it, as far as its id tells: ids are numbers that rise, unless people name their jobs
/// themselves.
///
/// A job that is added, retried or due goes to the head of the list, and is taken at its end. One that was added last-in-first-out stands at the
/// end with a larger id than the jobs in front of it.
fn are_in_order(ids: &[&[u8]]) -> bool {
    match ids {
        [] | [_] => true,
        _ => {
            let numbers: Vec<Option<u64>> = ids.iter().map(|id| number(id)).collect();
            let falls =
                |pair: &[Option<u64>]| matches!(pair, [Some(one), Some(next)] if one > next);
            numbers.windows(2).all(falls)
        }
    }
}

/// The value, or nothing where the command is denied: that costs only what depends on it.
///
/// # Errors
/// Any other problem.
fn unless_denied<T>(
    value: Result<T, ReplyError>,
    problems: &mut Vec<ReplyError>,
) -> Result<Option<T>, ReplyError> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(problem) if problem.cause() == ErrorCause::Denied => {
            problems.push(problem);
            Ok(None)
        }
        Err(problem) => Err(problem),
    }
}

/// The version in `bullmq:6.7.0`; what has another form is kept whole.
fn version(text: &[u8]) -> String {
    let text = String::from_utf8_lossy(text);
    text.strip_prefix("bullmq:").unwrap_or(&text).to_owned()
}

/// Whether a list element is not a job but a marker, `0:<milliseconds>`, by which BullMQ 3 and 4 wake their workers. It may
/// survive an upgrade to a later version.
pub(super) fn is_marker(element: &[u8]) -> bool {
    element
        .strip_prefix(b"0:")
        .is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;
    use redis::Value;

    #[test]
    fn only_a_zero_a_colon_and_digits_are_a_marker() {
        for (element, expected) in [
            ("0:0", true),
            ("0:1780000000000", true),
            ("0:", false),
            ("0", false),
            ("0:a", false),
            ("10:0", false),
            ("repeat:0:1", false),
        ] {
            assert_eq!(is_marker(element.as_bytes()), expected, "{element}");
        }
    }

    #[test]
    fn no_reply_of_any_shape_is_read_as_a_queue_or_brings_the_reader_down() {
        let shapes = [
            Value::Nil,
            Value::Int(-1),
            Value::Okay,
            Value::Array(vec![]),
            Value::BulkString(vec![0xff]),
            Value::Array(vec![Value::Nil; TRANSACTION.len()]),
        ];
        for shape in shapes {
            for form in [Form::Usual, Form::WithPausedEnds] {
                for length in 0..=form.replies() + 1 {
                    let replies = vec![Source::Value(&shape); length];
                    assert!(
                        read(&replies, form, &mut Vec::new()).is_err(),
                        "{length} x {shape:?}"
                    );
                }
            }
        }
    }

    #[test]
    fn jobs_are_in_order_if_their_ids_fall_towards_the_end_where_they_are_taken() {
        for (ids, expected) in [
            (&[][..], true),
            (&["a"], true),
            (&["3", "2", "1"], true),
            (&["99", "10", "9"], true),
            (&["3", "1", "2"], false),
            (&["1", "1"], false),
            (&["b", "a"], false),
            (&["3", "repeat:x:1"], false),
            (&["18446744073709551616", "1"], false),
        ] {
            let ids: Vec<&[u8]> = ids.iter().map(|id| id.as_bytes()).collect();
            assert_eq!(are_in_order(&ids), expected, "{ids:?}");
        }
    }

    #[test]
    fn a_version_is_what_stands_behind_the_name_of_the_library() {
        for (text, expected) in [
            ("bullmq:6.7.0", "6.7.0"),
            ("bullmq-pro:7.1.0", "bullmq-pro:7.1.0"),
            ("", ""),
        ] {
            assert_eq!(version(text.as_bytes()), expected);
        }
    }
}

//! The first round trip: what is asked of every queue.
//!
//! A queue's counts are asked inside one MULTI, because a job that a worker takes between `LLEN wait` and `LLEN active` would otherwise
//! be counted twice or not at all. Where the user may not run MULTI, Redis refuses MULTI and EXEC and answers the commands between
//! them one by one: the same batch serves, and the counts may be off by the few jobs that move in between.
//!
//! What is asked is what the queue is expected to have, and one EXISTS of all else inside the same MULTI (`expected`). Where that is wrong, the
//! queue is asked again for everything. Asked for everything, only what nothing can be told without stands inside the MULTI: a command
//! that is denied there would cost all the others.

use super::expected::Parts;
use super::keys::{Keys, META_FIELDS, META_WITNESSES};
use super::reply::{Reply, ReplyError, Source, number};
use super::score::{self, Millis};
use super::wire::{Below, Commands};
use crate::model::{ErrorCause, Flavor, JobCounts, Optional, QueueSnapshot};

/// How many elements of the end from which workers take are looked at for the oldest job. Jobs added last-in-first-out, and jobs
/// that were taken back from a dead worker, stand at that end in front of older ones.
const TAIL: i64 = 8;

/// How many of the delayed jobs that are due first are looked at. Few queues have more that are due or fall due within the horizons; those are
/// counted by Redis.
const FIRST_DELAYED: usize = 8;

/// How a queue is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Form {
    /// What it is asked for in detail.
    expected: Parts,
    /// What it must be proved not to have.
    unexpected: Parts,
    /// Whether it is to be known how old its jobs are.
    ages: bool,
    /// Whether it is to be known how many jobs have been added.
    counters: bool,
    /// Whether it is asked how many those are, which tells as well that the queue exists.
    asks_added: bool,
}

/// What is witnessed by no key of its own, or by one that is always asked.
const WITHOUT_KEY: Parts = Parts::MANY_DUE.union(Parts::META);

impl Form {
    /// For a queue of which so much is wanted, and which is expected to have these parts.
    pub(super) fn of(optional: Optional, expected: Parts) -> Self {
        let mut wanted = Parts::all();
        wanted.set(Parts::LIMITER, optional.limits);
        wanted.set(Parts::SCHEDULERS, optional.schedulers);
        wanted.set(Parts::FINISHED, optional.counters);
        wanted.set(Parts::GROUPS, optional.groups);
        Self {
            expected: expected & wanted,
            unexpected: wanted - expected,
            ages: optional.ages,
            counters: optional.counters,
            asks_added: optional.counters || !expected.contains(Parts::META),
        }
    }

    /// For everything that is wanted.
    pub(super) fn whole(optional: Optional) -> Self {
        Self {
            asks_added: true,
            ..Self::of(optional, Parts::all())
        }
    }

    /// Whether the queue is asked in detail for this.
    pub(super) const fn expects(self, part: Parts) -> bool {
        self.expected.contains(part)
    }

    /// Whether it is proved that the queue does not have this, if nothing is wrong.
    pub(super) const fn excludes(self, part: Parts) -> bool {
        self.unexpected.contains(part)
    }

    /// Whether it is to be known how old its jobs are.
    pub(super) const fn with_ages(self) -> bool {
        self.ages
    }

    /// Whether nothing is expected to be missing.
    const fn is_whole(self) -> bool {
        self.unexpected.is_empty() && self.asks_added
    }

    fn has(self, read: Read) -> bool {
        match read {
            Read::Unexpected => !(self.unexpected - WITHOUT_KEY).is_empty(),
            Read::WaitingLength | Read::WaitingEnd | Read::WaitingStart => {
                self.expects(Parts::WAITING)
            }
            Read::PausedLength | Read::PausedEnd | Read::PausedStart => self.expects(Parts::PAUSED),
            Read::Active => self.expects(Parts::ACTIVE),
            Read::Prioritized => self.expects(Parts::PRIORITIZED),
            Read::Delayed => self.expects(Parts::DELAYED),
            Read::Due => self.expects(Parts::DELAYED | Parts::MANY_DUE),
            Read::FirstDelayed => self.expects(Parts::DELAYED) && !self.expects(Parts::MANY_DUE),
            Read::WaitingChildren => self.expects(Parts::WAITING_CHILDREN),
            Read::Completed => self.expects(Parts::COMPLETED),
            Read::Failed => self.expects(Parts::FAILED),
            Read::Meta => true,
        }
    }

    fn reads(self) -> impl Iterator<Item = Read> {
        Read::ALL.into_iter().filter(move |read| self.has(*read))
    }

    /// How many replies a queue has.
    pub(super) fn replies(self) -> usize {
        self.reads().count() + MULTI_AND_EXEC + usize::from(self.asks_added)
    }
}

/// How many replies the transaction itself has.
const MULTI_AND_EXEC: usize = 2;

/// A command between MULTI and EXEC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// How many keys there are that are not expected.
    Unexpected,
    WaitingLength,
    /// The jobs that are taken next.
    WaitingEnd,
    /// The job that is taken last. It or the next may be a marker instead.
    WaitingStart,
    PausedLength,
    PausedEnd,
    PausedStart,
    Active,
    Prioritized,
    Delayed,
    /// How many delayed jobs are due.
    Due,
    /// Instead of it, if few are expected to be: those that are due first.
    FirstDelayed,
    WaitingChildren,
    Completed,
    Failed,
    Meta,
}

impl Read {
    /// All of them, in the order in which they are sent.
    const ALL: [Self; 16] = [
        Self::Unexpected,
        Self::WaitingLength,
        Self::WaitingEnd,
        Self::WaitingStart,
        Self::PausedLength,
        Self::PausedEnd,
        Self::PausedStart,
        Self::Active,
        Self::Prioritized,
        Self::Delayed,
        Self::Due,
        Self::FirstDelayed,
        Self::WaitingChildren,
        Self::Completed,
        Self::Failed,
        Self::Meta,
    ];

    /// The name of the command, for the log.
    const fn command(self) -> &'static str {
        match self {
            Self::Unexpected => "EXISTS",
            Self::WaitingLength => "LLEN wait",
            Self::WaitingEnd => "LRANGE wait",
            Self::WaitingStart => "LINDEX wait",
            Self::PausedLength => "LLEN paused",
            Self::PausedEnd | Self::PausedStart => "LINDEX paused",
            Self::Active => "LLEN active",
            Self::Prioritized => "ZCARD prioritized",
            Self::Delayed => "ZCARD delayed",
            Self::Due => "ZCOUNT delayed",
            Self::FirstDelayed => "ZRANGE delayed",
            Self::WaitingChildren => "ZCARD waiting-children",
            Self::Completed => "ZCARD completed",
            Self::Failed => "ZCARD failed",
            Self::Meta => "HMGET meta",
        }
    }

    fn send(self, commands: &mut Commands, keys: &Keys, form: Form, now: Millis) {
        match self {
            Self::Unexpected => {
                commands.cmd("EXISTS");
                give_keys(commands, keys, form.unexpected);
            }
            Self::WaitingLength => {
                commands.cmd("LLEN").arg(keys.waiting());
            }
            Self::WaitingEnd => {
                let tail = if form.ages { TAIL } else { 1 };
                commands
                    .cmd("LRANGE")
                    .arg(keys.waiting())
                    .arg(-tail)
                    .arg(-1_i64);
            }
            Self::WaitingStart => {
                commands.cmd("LINDEX").arg(keys.waiting()).arg(0_i64);
            }
            Self::PausedLength => {
                commands.cmd("LLEN").arg(keys.paused());
            }
            Self::PausedEnd => {
                commands.cmd("LINDEX").arg(keys.paused()).arg(-1_i64);
            }
            Self::PausedStart => {
                commands.cmd("LINDEX").arg(keys.paused()).arg(0_i64);
            }
            Self::Active => {
                commands.cmd("LLEN").arg(keys.active());
            }
            Self::Prioritized => {
                commands.cmd("ZCARD").arg(keys.prioritized());
            }
            Self::Delayed => {
                commands.cmd("ZCARD").arg(keys.delayed());
            }
            Self::Due => {
                commands
                    .cmd("ZCOUNT")
                    .arg(keys.delayed())
                    .arg("-inf")
                    .arg(Below(now.first_score_not_due()));
            }
            Self::FirstDelayed => ask_first_delayed(commands, keys, FIRST_DELAYED),
            Self::WaitingChildren => {
                commands.cmd("ZCARD").arg(keys.waiting_children());
            }
            Self::Completed => {
                commands.cmd("ZCARD").arg(keys.completed());
            }
            Self::Failed => {
                commands.cmd("ZCARD").arg(keys.failed());
            }
            Self::Meta => {
                commands.cmd("HMGET").arg(keys.meta()).arg(META_FIELDS);
            }
        }
    }
}

/// Asks for so many of the delayed jobs that are due first, with their scores.
pub(super) fn ask_first_delayed(commands: &mut Commands, keys: &Keys, count: usize) {
    commands
        .cmd("ZRANGE")
        .arg(keys.delayed())
        .arg(0_u64)
        .arg(count.saturating_sub(1) as u64)
        .arg("WITHSCORES");
}

/// Gives the last command the keys that witness these parts.
fn give_keys(commands: &mut Commands, keys: &Keys, parts: Parts) {
    let of_one_key = [
        (Parts::WAITING, keys.waiting()),
        (Parts::PAUSED, keys.paused()),
        (Parts::ACTIVE, keys.active()),
        (Parts::PRIORITIZED, keys.prioritized()),
        (Parts::DELAYED, keys.delayed()),
        (Parts::WAITING_CHILDREN, keys.waiting_children()),
        (Parts::COMPLETED, keys.completed()),
        (Parts::FAILED, keys.failed()),
        (Parts::LIMITER, keys.limiter()),
        (Parts::SCHEDULERS, keys.schedulers()),
    ];
    for (part, key) in of_one_key {
        if parts.contains(part) {
            commands.arg(key);
        }
    }
    if parts.contains(Parts::FINISHED) {
        commands.arg(keys.metrics_completed());
        commands.arg(keys.metrics_failed());
    }
    if parts.contains(Parts::GROUPS) {
        commands.arg(keys.groups().map(|(_, key)| key));
    }
}

/// What the first round trip tells of a queue.
#[derive(Debug)]
#[expect(
    clippy::large_enum_variant,
    reason = "most queues are read, and each is taken apart at once"
)]
pub(super) enum First {
    /// It does not exist.
    Gone,
    /// It has something that was not expected, or may not be asked in this way: it has to be asked for everything.
    Otherwise,
    /// It was read.
    Read(Core),
}

/// What the first round trip tells of a queue that exists.
#[derive(Debug)]
pub(super) struct Core {
    /// What is known so far.
    pub(super) snapshot: QueueSnapshot,
    /// What it was found to have, as far as that was asked.
    pub(super) found: Parts,
    /// The ids at both ends of the waiting jobs, without markers. The last of them is the one that is taken next.
    pub(super) ends: Vec<Vec<u8>>,
    /// Whether nothing speaks against the one that is taken next being the one that has waited for longest.
    pub(super) in_order: bool,
    /// The delayed jobs that are due first, if those were asked for.
    pub(super) first_delayed: Option<FirstDelayed>,
    /// The most jobs in the window of the global rate limit, if the queue has one.
    pub(super) rate_limit: Option<u64>,
}

/// The delayed jobs that are due first.
#[derive(Debug)]
pub(super) struct FirstDelayed {
    /// When they are due, in rising order.
    due: Vec<Millis>,
}

impl FirstDelayed {
    /// Whether there are no others.
    const fn are_all(&self) -> bool {
        self.due.len() < FIRST_DELAYED
    }

    /// How many delayed jobs are due up to this moment, those included that are due; nothing if it may be more than these.
    pub(super) fn due_by(&self, moment: Millis) -> Option<u64> {
        let count = self.due.iter().filter(|due| **due <= moment).count();
        (count < self.due.len() || self.are_all()).then_some(count as u64)
    }

    /// When the first is due.
    pub(super) fn first(&self) -> Option<Millis> {
        self.due.first().copied()
    }
}

/// Asks one queue.
pub(super) fn ask(commands: &mut Commands, keys: &Keys, form: Form, now: Millis) {
    commands.cmd("MULTI");
    for read in form.reads() {
        read.send(commands, keys, form, now);
    }
    commands.cmd("EXEC");
    if form.asks_added {
        commands.cmd("GET").arg(keys.added());
    }
}

/// Reads the replies to [`ask`]. What is denied without harm to the rest goes to `problems`.
///
/// # Errors
/// When a read is refused without which nothing of the queue is known.
pub(super) fn read(
    replies: &[Source<'_>],
    form: Form,
    now: Millis,
    problems: &mut Vec<ReplyError>,
) -> Result<First, ReplyError> {
    match read_as_expected(replies, form, now, problems) {
        Err(problem) if !form.is_whole() && problem.cause() == ErrorCause::Denied => {
            Ok(First::Otherwise)
        }
        first => first,
    }
}

/// The same, whether or not the form is to blame for an error.
fn read_as_expected(
    replies: &[Source<'_>],
    form: Form,
    now: Millis,
    problems: &mut Vec<ReplyError>,
) -> Result<First, ReplyError> {
    let transaction = Transaction::read(replies, form, problems)?;
    if form.has(Read::Unexpected) && transaction.reply(Read::Unexpected).count()? > 0 {
        return Ok(First::Otherwise);
    }
    let count = |read| transaction.count(read);
    let (waiting_length, paused_length) = (count(Read::WaitingLength)?, count(Read::PausedLength)?);
    let mut snapshot = QueueSnapshot {
        counts: JobCounts {
            waiting: waiting_length,
            paused: paused_length,
            active: count(Read::Active)?,
            prioritized: count(Read::Prioritized)?,
            delayed: count(Read::Delayed)?,
            waiting_children: count(Read::WaitingChildren)?,
            completed: count(Read::Completed)?,
            failed: count(Read::Failed)?,
        },
        delayed_due: count(Read::Due)?,
        ..QueueSnapshot::default()
    };
    let mut first_delayed = None;
    if form.has(Read::FirstDelayed) {
        let members = transaction.reply(Read::FirstDelayed).scored_members()?;
        let due_at = members.into_iter().map(|(_, score)| score::due_at(score));
        let first = FirstDelayed {
            due: due_at.collect(),
        };
        let Some(due) = first.due_by(now) else {
            return Ok(First::Otherwise);
        };
        snapshot.delayed_due = due;
        first_delayed = Some(first);
    }
    let mut found = found(&snapshot);

    let meta = transaction.reply(Read::Meta).texts()?;
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

    let mut ends = Vec::new();
    if form.has(Read::WaitingEnd) {
        ends = transaction.reply(Read::WaitingEnd).texts()?;
        if waiting_length > u64::try_from(ends.len()).unwrap_or(u64::MAX) {
            ends.insert(0, transaction.reply(Read::WaitingStart).text()?);
        }
    }
    let (markers, ends): (Vec<&[u8]>, Vec<&[u8]>) =
        ends.into_iter().flatten().partition(|id| is_marker(id));
    snapshot.counts.waiting = waiting_length.saturating_sub(markers.len() as u64);
    if form.has(Read::PausedEnd) {
        let mut paused_ends = vec![transaction.reply(Read::PausedEnd).text()?];
        if paused_length > 1 {
            paused_ends.push(transaction.reply(Read::PausedStart).text()?);
        }
        let paused_markers = paused_ends
            .into_iter()
            .flatten()
            .filter(|id| is_marker(id))
            .count();
        snapshot.counts.paused = paused_length.saturating_sub(paused_markers as u64);
    }

    let has_meta = meta.iter().any(Option::is_some);
    found.set(Parts::META, has_meta);
    if form.asks_added {
        let added = Reply::of("GET id", at(replies, form.replies() - 1)).text();
        let added = unless_denied(added, problems)?;
        if form.counters {
            // A queue to which nothing has been added has no counter yet: known to be nothing.
            snapshot.added = added.and_then(|text| text.map_or(Some(0), number));
        }
        if added.flatten().is_none() && !has_meta {
            return Ok(First::Gone);
        }
    } else if !has_meta {
        return Ok(First::Otherwise);
    }
    // Bull keeps its list in the order of priority.
    let in_order = snapshot.flavor == Flavor::BullMq && are_in_order(&ends);
    let ends = if form.ages { ends } else { Vec::new() };
    Ok(First::Read(Core {
        snapshot,
        found,
        in_order,
        ends: ends.into_iter().map(<[u8]>::to_vec).collect(),
        first_delayed,
        rate_limit: field(5).and_then(number),
    }))
}

/// What the queue was found to have in its lists and sets, markers among it.
fn found(snapshot: &QueueSnapshot) -> Parts {
    let counts = &snapshot.counts;
    let mut found = Parts::empty();
    for (part, count) in [
        (Parts::WAITING, counts.waiting),
        (Parts::PAUSED, counts.paused),
        (Parts::ACTIVE, counts.active),
        (Parts::PRIORITIZED, counts.prioritized),
        (Parts::DELAYED, counts.delayed),
        (Parts::WAITING_CHILDREN, counts.waiting_children),
        (Parts::COMPLETED, counts.completed),
        (Parts::FAILED, counts.failed),
    ] {
        found.set(part, count > 0);
    }
    // Fewer are seen among the first.
    found.set(
        Parts::MANY_DUE,
        snapshot.delayed_due >= FIRST_DELAYED as u64,
    );
    found
}

/// The replies inside the transaction, by what was read.
struct Transaction<'a> {
    form: Form,
    /// In the order of [`Read::ALL`]; what was not asked is missing.
    replies: [Source<'a>; Read::ALL.len()],
}

impl<'a> Transaction<'a> {
    /// Takes them from what came, whether the transaction was allowed or not.
    ///
    /// # Errors
    /// When a command of the transaction was refused.
    fn read(
        replies: &[Source<'a>],
        form: Form,
        problems: &mut Vec<ReplyError>,
    ) -> Result<Self, ReplyError> {
        let queued = replies.iter().skip(1).copied();
        if let Err(problem) = Reply::of("MULTI", at(replies, 0)).accepted() {
            problems.push(problem);
            return Ok(Self::of(form, queued));
        }
        let exec = at(replies, form.reads().count() + 1);
        match Reply::of("EXEC", exec).items() {
            Ok(items) => Ok(Self::of(form, items)),
            Err(odd @ ReplyError::Unexpected { .. }) => Err(odd),
            Err(aborted) => {
                // EXEC only says that a command before it was refused; that command says why.
                let refused = form.reads().zip(queued);
                let mut reasons = refused
                    .filter_map(|(read, reply)| Reply::of(read.command(), reply).accepted().err());
                Err(reasons.next().unwrap_or(aborted))
            }
        }
    }

    fn of(form: Form, mut replies: impl Iterator<Item = Source<'a>>) -> Self {
        let replies = Read::ALL.map(|read| {
            if form.has(read) {
                replies.next().unwrap_or(Source::Missing)
            } else {
                Source::Missing
            }
        });
        Self { form, replies }
    }

    fn reply(&self, read: Read) -> Reply<'a> {
        Reply::of(read.command(), at(&self.replies, read as usize))
    }

    /// How many there are: none of what was proved to be missing.
    ///
    /// # Errors
    /// When the reply is no count.
    fn count(&self, read: Read) -> Result<u64, ReplyError> {
        if self.form.has(read) {
            self.reply(read).count()
        } else {
            Ok(0)
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
            Value::Array(vec![Value::Nil; Read::ALL.len()]),
        ];
        for shape in shapes {
            for expected in [Parts::all(), Parts::DELAYED, Parts::empty()] {
                let form = Form::of(Optional::default(), expected);
                for length in 0..=form.replies() + 1 {
                    let replies = vec![Source::Value(&shape); length];
                    let read = read(&replies, form, Millis(0), &mut Vec::new());
                    assert!(read.is_err(), "{length} x {shape:?} as {read:?}");
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

//! The later round trips: what is asked only of the queues that have something to be asked about.
//!
//! Each question is one command. Its answer is taken into what is known of its queue, and may lead to further questions, which are
//! asked in the next round trip: the level of priority after this one, or who holds the job that has run for longest.

use std::sync::Arc;
use std::time::Duration;

use super::core::{Core, Form, is_marker};
use super::job_time::{self, JobTimes};
use super::keys::Keys;
use super::reply::{Reply, ReplyError, Source, number};
use super::score::{self, Millis};
use super::wire::{Below, Commands};
use crate::model::{ErrorCause, Flavor, GroupStatus, QueueReading, RateLimit, Schedulers};

/// How many levels of priority are looked at for the oldest job, the most urgent first.
const PRIORITY_LEVELS: usize = 16;

/// What `queue.rateLimit` writes in the place of a count: the largest whole number of JavaScript.
/// Source: <https://github.com/taskforcesh/bullmq/blob/v6.7.0/src/classes/queue.ts>.
const LIMITED_BY_HAND: u64 = (1 << 53) - 1;

/// A question about the queue with this index in its batch.
#[derive(Debug)]
pub(super) struct Ask {
    /// The index of the queue.
    pub(super) queue: usize,
    about: About,
}

#[derive(Debug)]
enum About {
    /// Whether a queue of Bull is paused.
    BullPause,
    /// How many delayed jobs are not due yet but will be within the horizon with this index, the furthest.
    SoonDueAtMost { horizon: usize },
    /// The same of a nearer one.
    SoonDue { horizon: usize },
    /// The delayed job that is due first.
    FirstDue,
    /// Since when the job has been ready that is taken next.
    Next { id: Vec<u8> },
    /// Whether it is the parent of a flow whose children have finished.
    NextIsParent { id: Vec<u8> },
    /// Since when this job has been ready.
    Job { id: Vec<u8> },
    /// How many of these jobs are the parents of a flow whose children have finished.
    Parents { ids: Vec<Vec<u8>> },
    /// The first job of the first priority whose scores are not below this one.
    Priority { from: u64, level: usize },
    /// The jobs that were taken first.
    LongestActive,
    /// When this job was taken.
    TakenAt { id: Vec<u8> },
    /// Whether a worker holds this job.
    Lock { id: Vec<u8> },
    /// Whether this job is still the one that was taken first.
    StillActive { id: Vec<u8> },
    /// How many jobs were taken in the window of the rate limit.
    LimiterCount,
    /// How long that window lasts.
    LimiterWindow,
    /// How many schedules there are.
    Schedulers,
    /// How many of them are past their next run.
    SchedulersOverdue,
    /// How many jobs have finished well, as the workers count.
    Completed,
    /// How many have finished badly.
    Failed,
    /// How many groups are in this status.
    Groups { status: GroupStatus },
}

impl About {
    /// The name of the command, for the log.
    const fn command(&self) -> &'static str {
        match self {
            Self::BullPause => "EXISTS meta-paused",
            Self::SoonDueAtMost { .. } | Self::SoonDue { .. } => "ZCOUNT delayed",
            Self::FirstDue => "ZRANGE delayed",
            Self::Next { .. } | Self::Job { .. } => "HMGET job",
            Self::NextIsParent { .. } | Self::Parents { .. } => "EXISTS job:processed",
            Self::Priority { .. } => "ZRANGEBYSCORE prioritized",
            Self::LongestActive | Self::StillActive { .. } => "LRANGE active",
            Self::TakenAt { .. } => "HGET job processedOn",
            Self::Lock { .. } => "EXISTS job:lock",
            Self::LimiterCount => "GET limiter",
            Self::LimiterWindow => "PTTL limiter",
            Self::Schedulers => "ZCARD repeat",
            Self::SchedulersOverdue => "ZCOUNT repeat",
            Self::Completed => "HGET metrics:completed",
            Self::Failed => "HGET metrics:failed",
            Self::Groups { .. } => "ZCARD groups",
        }
    }

    /// Whether the age of the oldest job cannot be known without the answer.
    const fn tells_the_age(&self) -> bool {
        matches!(
            self,
            Self::FirstDue
                | Self::Next { .. }
                | Self::NextIsParent { .. }
                | Self::Job { .. }
                | Self::Parents { .. }
                | Self::Priority { .. }
        )
    }
}

impl Ask {
    /// Adds the command to a batch.
    pub(super) fn send(
        &self,
        commands: &mut Commands,
        keys: &Keys,
        now: Millis,
        horizons: &[Duration],
    ) {
        match &self.about {
            About::BullPause => {
                commands.cmd("EXISTS").arg(keys.bull_pause());
            }
            About::SoonDueAtMost { horizon } | About::SoonDue { horizon } => {
                let horizon = horizons.get(*horizon).copied().unwrap_or_default();
                let end = now.after(horizon).first_score_not_due();
                commands
                    .cmd("ZCOUNT")
                    .arg(keys.delayed())
                    .arg(now.first_score_not_due())
                    .arg(Below(end));
            }
            About::FirstDue => {
                commands
                    .cmd("ZRANGE")
                    .arg(keys.delayed())
                    .arg(0_i64)
                    .arg(0_i64)
                    .arg("WITHSCORES");
            }
            About::Next { id } | About::Job { id } => job_time::ask(commands, keys, id),
            About::NextIsParent { id } => {
                commands.cmd("EXISTS").arg(keys.job_processed(id));
            }
            About::Parents { ids } => {
                commands.cmd("EXISTS");
                for id in ids {
                    commands.arg(keys.job_processed(id));
                }
            }
            About::Priority { from, .. } => {
                commands
                    .cmd("ZRANGEBYSCORE")
                    .arg(keys.prioritized())
                    .arg(*from)
                    .arg("+inf")
                    .arg("WITHSCORES")
                    .arg("LIMIT")
                    .arg(0_i64)
                    .arg(1_i64);
            }
            About::LongestActive | About::StillActive { .. } => {
                commands
                    .cmd("LRANGE")
                    .arg(keys.active())
                    .arg(-2_i64)
                    .arg(-1_i64);
            }
            About::TakenAt { id } => {
                commands.cmd("HGET").arg(keys.job(id)).arg("processedOn");
            }
            About::Lock { id } => {
                commands.cmd("EXISTS").arg(keys.job_lock(id));
            }
            About::LimiterCount => {
                commands.cmd("GET").arg(keys.limiter());
            }
            About::LimiterWindow => {
                commands.cmd("PTTL").arg(keys.limiter());
            }
            About::Schedulers => {
                commands.cmd("ZCARD").arg(keys.schedulers());
            }
            About::SchedulersOverdue => {
                commands
                    .cmd("ZCOUNT")
                    .arg(keys.schedulers())
                    .arg("-inf")
                    .arg(Below(now.0));
            }
            About::Completed => {
                commands
                    .cmd("HGET")
                    .arg(keys.metrics_completed())
                    .arg("count");
            }
            About::Failed => {
                commands.cmd("HGET").arg(keys.metrics_failed()).arg("count");
            }
            About::Groups { status } => {
                for (_, key) in keys.groups().into_iter().filter(|(of, _)| of == status) {
                    commands.cmd("ZCARD").arg(key);
                }
            }
        }
    }
}

/// A job that may be the oldest ready one.
#[derive(Debug)]
struct Candidate {
    id: Vec<u8>,
    times: JobTimes,
    /// A parent became ready when its last child finished, which is not stored.
    is_parent: bool,
}

/// A queue between its first round trip and its last.
#[derive(Debug)]
pub(super) struct Pending {
    /// Nothing if the queue does not exist or could not be read.
    core: Option<Core>,
    /// Since when the delayed job that was due first has been due.
    first_due: Option<Millis>,
    candidates: Vec<Candidate>,
    /// Whether a command was denied without which the oldest job cannot be known.
    age_denied: bool,
    /// When the job was taken that has run for longest, if its hash tells.
    taken_at: Option<Millis>,
    lock_gone: Option<bool>,
    still_active: bool,
    limiter_count: Option<u64>,
    limiter_window: Option<Duration>,
    schedulers: Option<u64>,
    schedulers_overdue: Option<u64>,
    problems: Vec<ReplyError>,
}

impl Pending {
    /// Begins with the replies of the first round trip.
    pub(super) fn new(replies: &[Source<'_>], form: Form) -> Self {
        let mut problems = Vec::new();
        let core = super::core::read(replies, form, &mut problems).unwrap_or_else(|problem| {
            problems.push(problem);
            None
        });
        Self {
            core,
            first_due: None,
            candidates: Vec::new(),
            age_denied: false,
            taken_at: None,
            lock_gone: None,
            still_active: false,
            limiter_count: None,
            limiter_window: None,
            schedulers: None,
            schedulers_overdue: None,
            problems,
        }
    }

    /// Whether the queue has to be asked everything again, in the longer form.
    pub(super) fn has_unseen_paused(&self) -> bool {
        self.core
            .as_ref()
            .is_some_and(|core| core.has_unseen_paused)
    }

    /// What the first round trip leaves to be asked.
    pub(super) fn first_asks(&self, queue: usize, horizons: usize) -> Vec<Ask> {
        let Some(Core {
            snapshot,
            ends,
            in_order,
            has_limits,
            has_metrics,
            has_groups,
            ..
        }) = &self.core
        else {
            return Vec::new();
        };
        let mut about = Vec::new();
        if snapshot.flavor == Flavor::Bull {
            about.push(About::BullPause);
        }
        if !snapshot.paused {
            if snapshot.counts.delayed > snapshot.delayed_due {
                let furthest = horizons.checked_sub(1);
                about.extend(furthest.map(|horizon| About::SoonDueAtMost { horizon }));
            }
            if snapshot.delayed_due > 0 {
                about.push(About::FirstDue);
            }
            if snapshot.counts.prioritized > 0 {
                about.push(About::Priority { from: 0, level: 1 });
            }
            match ends.last() {
                Some(id) if *in_order => about.extend([
                    About::Next { id: id.clone() },
                    About::NextIsParent { id: id.clone() },
                ]),
                Some(_) => about.extend(of_jobs(ends)),
                None => {}
            }
        }
        if snapshot.counts.active > 0 {
            about.push(About::LongestActive);
        }
        if *has_limits == Some(true) {
            about.extend([
                About::LimiterCount,
                About::LimiterWindow,
                About::Schedulers,
                About::SchedulersOverdue,
            ]);
        }
        if *has_metrics == Some(true) {
            about.extend([About::Completed, About::Failed]);
        }
        if *has_groups == Some(true) {
            about.extend(GroupStatus::ALL.map(|status| About::Groups { status }));
        }
        about
            .into_iter()
            .map(|about| Ask { queue, about })
            .collect()
    }

    /// Takes the answer to a question and returns the questions that follow from it.
    pub(super) fn take(&mut self, ask: Ask, reply: Source<'_>) -> Vec<Ask> {
        let Ask { queue, about } = ask;
        let (tells_the_age, tells_the_pause) =
            (about.tells_the_age(), matches!(about, About::BullPause));
        let reply = Reply::of(about.command(), reply);
        match self.try_take(about, reply) {
            Ok(more) => more.into_iter().map(|about| Ask { queue, about }).collect(),
            Err(problem) => {
                if problem.cause() == ErrorCause::Denied && !tells_the_pause {
                    self.age_denied |= tells_the_age;
                } else {
                    self.core = None;
                }
                self.problems.push(problem);
                Vec::new()
            }
        }
    }

    fn try_take(&mut self, about: About, reply: Reply<'_>) -> Result<Vec<About>, ReplyError> {
        let Some(Core { snapshot, ends, .. }) = &mut self.core else {
            return Ok(Vec::new());
        };
        match about {
            About::BullPause => snapshot.paused = reply.count()? > 0,
            About::SoonDueAtMost { horizon } => {
                let count = reply.count()?;
                if count > 0 {
                    snapshot.delayed_due_within = vec![count; horizon + 1];
                    let nearer = (0..horizon).map(|horizon| About::SoonDue { horizon });
                    return Ok(nearer.collect());
                }
            }
            About::SoonDue { horizon } => {
                let count = reply.count()?;
                if let Some(place) = snapshot.delayed_due_within.get_mut(horizon) {
                    *place = count;
                }
            }
            About::FirstDue => {
                self.first_due = reply
                    .scored_member()?
                    .map(|(_, score)| score::due_at(score));
            }
            About::NextIsParent { id } => {
                let is_parent = reply.count()? > 0;
                let next = self.candidates.iter_mut().find(|job| job.id == id);
                if !next.is_some_and(|job| job.has_waited_since_added(is_parent)) {
                    // It may have come back to the end of the list, or be gone; one of the others may have waited for longer.
                    ends.retain(|other| *other != id);
                    return Ok(of_jobs(ends));
                }
            }
            About::Next { id } | About::Job { id } => {
                // A job without times was taken or removed since the first round trip.
                if let Some(times) = job_time::read(reply)? {
                    self.candidates.push(Candidate {
                        id,
                        times,
                        is_parent: false,
                    });
                }
            }
            About::Parents { ids } => match (reply.count()?, ids.as_slice()) {
                (0, _) => {}
                (_, [id]) => {
                    let parents = self.candidates.iter_mut().filter(|job| job.id == *id);
                    parents.for_each(|job| job.is_parent = true);
                }
                // Few flows have their parents at the end of the list: only then is each job asked.
                _ => {
                    return Ok(ids
                        .into_iter()
                        .map(|id| About::Parents { ids: vec![id] })
                        .collect());
                }
            },
            About::Priority { level, .. } => {
                let Some((id, score)) = reply.scored_member()? else {
                    return Ok(Vec::new());
                };
                let ids = vec![id.to_vec()];
                let mut more = vec![About::Job { id: id.to_vec() }, About::Parents { ids }];
                if level < PRIORITY_LEVELS {
                    let from = score::first_score_after(score::priority_of(score));
                    more.push(About::Priority {
                        from,
                        level: level + 1,
                    });
                }
                return Ok(more);
            }
            About::LongestActive => {
                let Some(id) = last_job(reply)? else {
                    return Ok(Vec::new());
                };
                return Ok(vec![About::TakenAt { id: id.clone() }, About::Lock { id }]);
            }
            About::TakenAt { .. } => self.taken_at = reply.text()?.and_then(number).map(Millis),
            About::Lock { id } => {
                let gone = reply.count()? == 0;
                self.lock_gone = Some(gone);
                if gone {
                    // In this order: a job whose lock is gone and that is active afterwards did not finish in between.
                    return Ok(vec![About::StillActive { id }]);
                }
            }
            About::StillActive { id } => self.still_active = last_job(reply)? == Some(id),
            About::LimiterCount => self.limiter_count = reply.text()?.and_then(number),
            About::LimiterWindow => {
                let left = reply.integer()?;
                self.limiter_window = Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)));
            }
            About::Schedulers => self.schedulers = Some(reply.count()?),
            About::SchedulersOverdue => self.schedulers_overdue = Some(reply.count()?),
            About::Completed => snapshot.completed = reply.text()?.and_then(number),
            About::Failed => snapshot.failed = reply.text()?.and_then(number),
            About::Groups { status } => {
                let count = reply.count()?;
                snapshot.groups.get_or_insert_default().set(status, count);
            }
        }
        Ok(Vec::new())
    }

    /// The jobs that may be the oldest and whose hash does not tell since when they are ready.
    pub(super) fn unknown_ages(&self, now: Millis) -> Vec<Vec<u8>> {
        let unknown = self
            .candidates
            .iter()
            .filter(|job| job.ready_since(now).is_none());
        unknown.map(|job| job.id.clone()).collect()
    }

    /// Ends with what is known, and what went wrong.
    pub(super) fn finish(
        self,
        first_seen: Option<Millis>,
        now: Millis,
    ) -> (QueueReading, Vec<ReplyError>) {
        let known = self
            .candidates
            .iter()
            .filter_map(|job| job.ready_since(now))
            .min();
        let first_due = self.first_due.map(|due| due.min(now));
        let oldest = [known, first_due, first_seen].into_iter().flatten().min();
        let Some(Core {
            mut snapshot,
            has_limits,
            rate_limit,
            ..
        }) = self.core
        else {
            let reading = if self.problems.is_empty() {
                QueueReading::Gone
            } else {
                QueueReading::Unread
            };
            return (reading, self.problems);
        };
        snapshot.oldest_ready_age = match (snapshot.ready(), self.age_denied) {
            (0, _) => Some(Duration::ZERO),
            (_, true) => None,
            (_, false) => oldest.map(|oldest| now.since(oldest)),
        };
        if snapshot.counts.active == 0 {
            snapshot.longest_active = Some(Duration::ZERO);
            snapshot.orphaned = Some(false);
        } else {
            snapshot.longest_active = self.taken_at.map(|taken| now.since(taken));
            snapshot.orphaned = self.lock_gone.map(|gone| gone && self.still_active);
        }
        match has_limits {
            None => {}
            Some(false) => {
                snapshot.rate_limit = Some(RateLimit::default());
                snapshot.schedulers = Some(Schedulers::default());
            }
            Some(true) => {
                let limit = |window| limit_of(self.limiter_count, window, rate_limit);
                snapshot.rate_limit = self.limiter_window.map(limit);
                snapshot.schedulers = self
                    .schedulers
                    .zip(self.schedulers_overdue)
                    .map(|(all, overdue)| Schedulers { all, overdue });
            }
        }
        (QueueReading::Read(Arc::new(snapshot)), self.problems)
    }
}

impl Candidate {
    /// Notes whether it is a parent, and tells whether it is ready since it was added.
    fn has_waited_since_added(&mut self, is_parent: bool) -> bool {
        self.is_parent = is_parent;
        !is_parent && self.times.is_ready_since_added()
    }

    fn ready_since(&self, now: Millis) -> Option<Millis> {
        if self.is_parent {
            None
        } else {
            self.times.ready_since(now)
        }
    }
}

/// Since when each of these jobs has been ready.
fn of_jobs(ids: &[Vec<u8>]) -> Vec<About> {
    if ids.is_empty() {
        return Vec::new();
    }
    let mut about: Vec<About> = ids.iter().map(|id| About::Job { id: id.clone() }).collect();
    about.push(About::Parents { ids: ids.to_vec() });
    about
}

/// The last element of a list that is a job.
fn last_job(reply: Reply<'_>) -> Result<Option<Vec<u8>>, ReplyError> {
    let ids = reply.texts()?;
    Ok(ids
        .into_iter()
        .flatten()
        .rfind(|id| !is_marker(id))
        .map(<[u8]>::to_vec))
}

/// The state of the rate limit, from how many jobs were taken in the window, how long it lasts, and how many may be taken.
///
/// How many may be taken is stored in Redis only for a global limit; the limit of a worker's options is known to the worker alone.
fn limit_of(count: Option<u64>, window: Duration, most: Option<u64>) -> RateLimit {
    if window.is_zero() {
        return RateLimit::default();
    }
    let limited = match (count, most) {
        (Some(count), _) if count >= LIMITED_BY_HAND => Some(true),
        (Some(count), Some(most)) => Some(count >= most),
        (None, _) | (_, None) => None,
    };
    RateLimit {
        limited,
        reset: window,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use redis::Value;

    #[test]
    fn a_rate_limit_is_told_only_where_redis_knows_it() {
        let window = Duration::from_secs(3);
        for (sentence, count, left, most, limited, reset) in [
            (
                "no window",
                None,
                Duration::ZERO,
                Some(5),
                Some(false),
                Duration::ZERO,
            ),
            (
                "below the global limit",
                Some(4),
                window,
                Some(5),
                Some(false),
                window,
            ),
            (
                "at the global limit",
                Some(5),
                window,
                Some(5),
                Some(true),
                window,
            ),
            (
                "a limit of the worker's own",
                Some(5),
                window,
                None,
                None,
                window,
            ),
            (
                "limited by hand",
                Some(LIMITED_BY_HAND),
                window,
                None,
                Some(true),
                window,
            ),
            (
                "a count that is no number",
                None,
                window,
                Some(5),
                None,
                window,
            ),
        ] {
            assert_eq!(
                limit_of(count, left, most),
                RateLimit { limited, reset },
                "{sentence}"
            );
        }
    }

    /// Any answer that the library can make of what a server sends, and some that look right.
    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Nil),
            Just(Value::Okay),
            any::<i64>().prop_map(Value::Int),
            (0..20_i64).prop_map(Value::Int),
            any::<f64>().prop_map(Value::Double),
            prop::collection::vec(any::<u8>(), 0..12).prop_map(Value::BulkString),
            "(0:[0-9]{0,14}|[0-9]{0,19}|-1|1e400|inf|\\{\"delay\":[0-9e]{0,9}\\})"
                .prop_map(|text| Value::BulkString(text.into_bytes())),
            "[A-Z]{0,9}".prop_map(Value::SimpleString),
        ];
        leaf.prop_recursive(2, 40, 8, |inner| {
            prop::collection::vec(inner, 0..8).prop_map(Value::Array)
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn whatever_redis_answers_a_queue_is_read_or_unread_and_the_questions_end(
            replies in prop::collection::vec(any_value(), 0..25),
            transaction in prop::collection::vec(any_value(), 14),
            later in prop::collection::vec(any_value(), 1..30),
            now in any::<u64>(),
            form in prop::sample::select(vec![Form::Usual, Form::WithPausedEnds]),
        ) {
            let mut whole = replies.clone();
            if let Some(exec) = whole.get_mut(form.replies() - 5) {
                *exec = Value::Array(transaction);
            }
            for replies in [replies, whole] {
                let replies: Vec<_> = replies.iter().map(Source::Value).collect();
                let mut pending = Pending::new(&replies, form);
                let mut asks = pending.first_asks(0, 4);
                let mut answers = later.iter().map(Source::Value).cycle();
                let mut asked = 0;
                while !asks.is_empty() {
                    asked += asks.len();
                    // Two ends of a list and sixteen priorities, each with its job and its parents, and the rest once.
                    prop_assert!(asked < 200, "{asked}");
                    asks = asks
                        .into_iter()
                        .flat_map(|ask| pending.take(ask, answers.next().unwrap_or(Source::Missing)))
                        .collect();
                }
                let unknown = pending.unknown_ages(Millis(now));
                prop_assert!(unknown.len() < 100);
                let (reading, _) = pending.finish(Some(Millis(now)), Millis(now));
                if let QueueReading::Read(queue) = reading {
                    prop_assert!(queue.demand() >= queue.counts.active);
                }
            }
        }
    }
}

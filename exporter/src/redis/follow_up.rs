//! What is asked only of the queues that have something to be asked about.
//!
//! Each question is one command. Its answer is taken into what is known of its queue, and may lead to further questions, which are
//! asked in the next round trip: the level of priority after this one, or who holds the job that has run for longest. What can be asked
//! without an answer to something else goes with the first round trip already, if the queue is expected to have it.

use std::sync::Arc;
use std::time::Duration;

use super::beside_jobs::{BesideJobs, FoundBesideJobs};
use super::core::{self, Core, First, FirstDelayed, Form, is_marker};
use super::expected::Parts;
use super::job_time::{self, JobTimes};
use super::keys::Keys;
use super::reply::{Reply, ReplyError, Source, number};
use super::score::{self, Millis};
use super::wire::{Below, Commands};
use crate::model::{ErrorCause, Flavor, QueueReading};

/// How many levels of priority are looked at for the oldest job, the most urgent first.
const PRIORITY_LEVELS: usize = 16;

/// How many of the prioritized jobs that are taken next are looked at together: enough for all levels of most queues.
const FIRST_PRIORITIZED: usize = 8;

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
    /// The prioritized jobs that are taken next.
    FirstPrioritized,
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
    /// What the queue has beside its jobs.
    BesideJobs(BesideJobs),
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
            Self::FirstPrioritized => "ZRANGE prioritized",
            Self::Priority { .. } => "ZRANGEBYSCORE prioritized",
            Self::LongestActive | Self::StillActive { .. } => "LRANGE active",
            Self::TakenAt { .. } => "HGET job processedOn",
            Self::Lock { .. } => "EXISTS job:lock",
            Self::BesideJobs(about) => about.command(),
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
                | Self::FirstPrioritized
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
            About::FirstDue => core::ask_first_delayed(commands, keys, 1),
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
            About::FirstPrioritized => {
                commands
                    .cmd("ZRANGE")
                    .arg(keys.prioritized())
                    .arg(0_u64)
                    .arg(FIRST_PRIORITIZED as u64 - 1)
                    .arg("WITHSCORES");
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
            About::BesideJobs(about) => about.send(commands, keys, now),
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

/// What goes with the first round trip: what can be asked of the parts that the queue is expected to have.
pub(super) fn asks_of_parts(queue: usize, form: Form) -> impl Iterator<Item = Ask> {
    let aged = [
        (Parts::MANY_DUE, About::FirstDue),
        (Parts::PRIORITIZED, About::FirstPrioritized),
        (Parts::ACTIVE, About::LongestActive),
    ];
    aged.into_iter()
        .filter(move |(part, _)| form.with_ages() && form.expects(*part))
        .map(|(_, about)| about)
        .chain(BesideJobs::of(form).map(About::BesideJobs))
        .map(move |about| Ask { queue, about })
}

/// A queue between its first round trip and its last.
#[derive(Debug)]
pub(super) struct Pending {
    /// How it was asked.
    form: Form,
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
    beside_jobs: FoundBesideJobs,
    problems: Vec<ReplyError>,
}

impl Pending {
    /// Begins with the replies of the first round trip: those to what is asked of every queue, and those to [`asks_of_parts`]. Nothing if the
    /// queue has to be asked for everything.
    pub(super) fn new(
        replies: &[Source<'_>],
        form: Form,
        now: Millis,
        horizons: &[Duration],
    ) -> Option<Self> {
        let mut problems = Vec::new();
        let core = match core::read(replies, form, now, &mut problems) {
            Ok(First::Read(core)) => Some(look_ahead(core, now, horizons)),
            Ok(First::Gone) => None,
            Ok(First::Otherwise) => return None,
            Err(problem) => {
                problems.push(problem);
                None
            }
        };
        let first_delayed = core.as_ref().and_then(|core| core.first_delayed.as_ref());
        let first_due = first_delayed.and_then(FirstDelayed::first);
        Some(Self {
            form,
            first_due: first_due.filter(|due| *due <= now),
            core,
            candidates: Vec::new(),
            age_denied: false,
            taken_at: None,
            lock_gone: None,
            still_active: false,
            beside_jobs: FoundBesideJobs::default(),
            problems,
        })
    }

    /// What is left to be asked of a queue after the first round trip, beside what follows from the answers to [`asks_of_parts`].
    pub(super) fn first_asks(&self, queue: usize, now: Millis, horizons: &[Duration]) -> Vec<Ask> {
        let Some(Core {
            snapshot,
            ends,
            in_order,
            first_delayed,
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
            if let Some((horizon, furthest)) = horizons.iter().enumerate().next_back()
                && snapshot.counts.delayed > snapshot.delayed_due
                && first_delayed
                    .as_ref()
                    .is_none_or(|first| first.due_by(now.after(*furthest)).is_none())
            {
                about.push(About::SoonDueAtMost { horizon });
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
        about
            .into_iter()
            .map(|about| Ask { queue, about })
            .collect()
    }

    /// What the queue was found to have, from which is told what it is expected to have next: everything, if it could not be read.
    pub(super) fn found(&self) -> Parts {
        match &self.core {
            Some(core) => core.found | self.beside_jobs.found(),
            None if self.problems.is_empty() => Parts::empty(),
            None => Parts::all(),
        }
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
                let first = reply.scored_member()?;
                // Asked whether or not one is due.
                let first = first.filter(|_| snapshot.delayed_due > 0);
                self.first_due = first.map(|(_, score)| score::due_at(score));
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
            About::FirstPrioritized => {
                let members = reply.scored_members()?;
                if !snapshot.paused {
                    return Ok(of_levels(members));
                }
            }
            About::Priority { level, .. } => {
                let Some((id, score)) = reply.scored_member()? else {
                    return Ok(Vec::new());
                };
                let mut more = of_jobs(&[id.to_vec()]);
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
            About::BesideJobs(about) => self.beside_jobs.take(about, reply)?,
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
        let form = self.form;
        self.beside_jobs.tell(form, rate_limit, &mut snapshot);
        if form.with_ages() {
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

/// Tells how many jobs fall due within each horizon, if the jobs that were looked at tell it.
fn look_ahead(mut core: Core, now: Millis, horizons: &[Duration]) -> Core {
    let due = core.snapshot.delayed_due;
    let soon = |horizon: &Duration| {
        let due_by_then = core.first_delayed.as_ref()?.due_by(now.after(*horizon))?;
        Some(due_by_then.saturating_sub(due))
    };
    let soon: Option<Vec<u64>> = horizons.iter().map(soon).collect();
    core.snapshot.delayed_due_within = soon
        .filter(|soon| soon.iter().any(|count| *count > 0))
        .unwrap_or_default();
    core
}

/// The first job of each level among the prioritized jobs that are taken next, and the question about the level after them, if there may be one.
fn of_levels(members: Vec<(&[u8], f64)>) -> Vec<About> {
    let are_all = members.len() < FIRST_PRIORITIZED;
    let mut ids: Vec<Vec<u8>> = Vec::new();
    let mut last = None;
    for (id, score) in members {
        let priority = score::priority_of(score);
        if last.is_none_or(|last| last < priority) {
            last = Some(priority);
            ids.push(id.to_vec());
        }
    }
    let mut about = of_jobs(&ids);
    about.extend(last.filter(|_| !are_all).map(|last| About::Priority {
        from: score::first_score_after(last),
        level: ids.len() + 1,
    }));
    about
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Optional;
    use proptest::prelude::*;
    use redis::Value;

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
            mut replies in prop::collection::vec(any_value(), 0..30),
            transaction in prop::collection::vec(any_value(), 16),
            later in prop::collection::vec(any_value(), 1..30),
            now in any::<u64>().prop_map(Millis),
            expected in any::<u16>().prop_map(Parts::from_bits_truncate),
            ages in any::<bool>(),
        ) {
            let form = Form::of(Optional { ages, ..Optional::default() }, expected);
            let mut whole = replies.clone();
            if let Some(exec) = whole.get_mut(form.replies() - 2) {
                *exec = Value::Array(transaction);
            }
            replies.truncate(form.replies());
            for replies in [replies, whole] {
                let replies: Vec<_> = replies.iter().map(Source::Value).collect();
                let Some(mut pending) = Pending::new(&replies, form, now, &[Duration::from_secs(30); 4]) else {
                    continue;
                };
                let mut asks = pending.first_asks(0, now, &[Duration::from_secs(30); 4]);
                asks.extend(asks_of_parts(0, form));
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
                let unknown = pending.unknown_ages(now);
                prop_assert!(unknown.len() < 100);
                let (reading, _) = pending.finish(Some(now), now);
                if let QueueReading::Read(queue) = reading {
                    prop_assert!(queue.demand() >= queue.counts.active);
                }
            }
        }
    }
}

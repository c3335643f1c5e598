//! What a queue has beside its jobs: a rate limit, schedulers, its workers' counters, groups.
//!
//! Asked only of the queues that are expected to have it; of the others it is known that they do not (`core`).

use std::time::Duration;

use super::core::Form;
use super::expected::Parts;
use super::keys::Keys;
use super::reply::{Reply, ReplyError, number};
use super::score::Millis;
use super::wire::{Below, Commands};
use crate::model::{ErrorCause, GroupCounts, GroupStatus, QueueSnapshot, RateLimit, Schedulers};

/// What `queue.rateLimit` writes in the place of a count: the largest whole number of JavaScript.
/// Source: <https://github.com/taskforcesh/bullmq/blob/v6.7.0/src/classes/queue.ts>.
const LIMITED_BY_HAND: u64 = (1 << 53) - 1;

/// A question about it.
#[derive(Clone, Copy, Debug)]
pub(super) enum BesideJobs {
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
    Groups(GroupStatus),
}

impl BesideJobs {
    const ALL: [Self; 10] = [
        Self::LimiterCount,
        Self::LimiterWindow,
        Self::Schedulers,
        Self::SchedulersOverdue,
        Self::Completed,
        Self::Failed,
        Self::Groups(GroupStatus::Waiting),
        Self::Groups(GroupStatus::Limited),
        Self::Groups(GroupStatus::Maxed),
        Self::Groups(GroupStatus::Paused),
    ];

    /// Those about what a queue is expected to have.
    pub(super) fn of(form: Form) -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(move |about| form.expects(about.part()))
    }

    /// The part of the queue that it is about.
    const fn part(self) -> Parts {
        match self {
            Self::LimiterCount | Self::LimiterWindow => Parts::LIMITER,
            Self::Schedulers | Self::SchedulersOverdue => Parts::SCHEDULERS,
            Self::Completed | Self::Failed => Parts::FINISHED,
            Self::Groups(_) => Parts::GROUPS,
        }
    }

    /// The name of the command, for the log.
    pub(super) const fn command(self) -> &'static str {
        match self {
            Self::LimiterCount => "GET limiter",
            Self::LimiterWindow => "PTTL limiter",
            Self::Schedulers => "ZCARD repeat",
            Self::SchedulersOverdue => "ZCOUNT repeat",
            Self::Completed => "HGET metrics:completed",
            Self::Failed => "HGET metrics:failed",
            Self::Groups(_) => "ZCARD groups",
        }
    }

    /// Adds the command to a batch.
    pub(super) fn send(self, commands: &mut Commands, keys: &Keys, now: Millis) {
        match self {
            Self::LimiterCount => commands.cmd("GET").arg(keys.limiter()),
            Self::LimiterWindow => commands.cmd("PTTL").arg(keys.limiter()),
            Self::Schedulers => commands.cmd("ZCARD").arg(keys.schedulers()),
            Self::SchedulersOverdue => commands
                .cmd("ZCOUNT")
                .arg(keys.schedulers())
                .arg("-inf")
                .arg(Below(now.0)),
            Self::Completed => commands
                .cmd("HGET")
                .arg(keys.metrics_completed())
                .arg("count"),
            Self::Failed => commands.cmd("HGET").arg(keys.metrics_failed()).arg("count"),
            Self::Groups(status) => {
                for (_, key) in keys.groups().into_iter().filter(|(of, _)| *of == status) {
                    commands.cmd("ZCARD").arg(key);
                }
                commands
            }
        };
    }
}

/// What was found of it.
#[derive(Debug)]
pub(super) struct FoundBesideJobs {
    /// What there is, or may be as it may not be looked at.
    found: Parts,
    limiter_count: Option<u64>,
    limiter_window: Option<Duration>,
    schedulers: Option<u64>,
    schedulers_overdue: Option<u64>,
    completed: Option<u64>,
    failed: Option<u64>,
    groups: Option<GroupCounts>,
}

impl Default for FoundBesideJobs {
    fn default() -> Self {
        Self {
            found: Parts::empty(),
            limiter_count: None,
            limiter_window: None,
            schedulers: None,
            schedulers_overdue: None,
            completed: None,
            failed: None,
            groups: None,
        }
    }
}

impl FoundBesideJobs {
    /// What there is, or may be as it may not be looked at.
    pub(super) const fn found(&self) -> Parts {
        self.found
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// When it is a refusal, or of a kind that this command never answers.
    pub(super) fn take(&mut self, about: BesideJobs, reply: Reply<'_>) -> Result<(), ReplyError> {
        let is_there = match self.try_take(about, reply) {
            Ok(is_there) => is_there,
            Err(problem) => {
                if problem.cause() == ErrorCause::Denied {
                    self.found |= about.part();
                }
                return Err(problem);
            }
        };
        if is_there {
            self.found |= about.part();
        }
        Ok(())
    }

    /// The same, and tells whether there is something.
    fn try_take(&mut self, about: BesideJobs, reply: Reply<'_>) -> Result<bool, ReplyError> {
        Ok(match about {
            BesideJobs::LimiterCount => {
                let count = reply.text()?;
                self.limiter_count = count.and_then(number);
                count.is_some()
            }
            BesideJobs::LimiterWindow => {
                let left = reply.integer()?;
                self.limiter_window = Some(Duration::from_millis(u64::try_from(left).unwrap_or(0)));
                left > 0
            }
            BesideJobs::Schedulers => {
                let count = reply.count()?;
                self.schedulers = Some(count);
                count > 0
            }
            BesideJobs::SchedulersOverdue => {
                let count = reply.count()?;
                self.schedulers_overdue = Some(count);
                count > 0
            }
            BesideJobs::Completed => {
                let count = reply.text()?;
                self.completed = count.and_then(number);
                count.is_some()
            }
            BesideJobs::Failed => {
                let count = reply.text()?;
                self.failed = count.and_then(number);
                count.is_some()
            }
            BesideJobs::Groups(status) => {
                let count = reply.count()?;
                if count > 0 {
                    self.groups.get_or_insert_default().set(status, count);
                }
                count > 0
            }
        })
    }

    /// Tells what is known of it, of a queue that was read in this form and has this global rate limit.
    pub(super) fn tell(self, form: Form, rate_limit: Option<u64>, queue: &mut QueueSnapshot) {
        let limit = |window| limit_of(self.limiter_count, window, rate_limit);
        queue.rate_limit = if form.excludes(Parts::LIMITER) {
            Some(RateLimit::default())
        } else {
            self.limiter_window.map(limit)
        };
        queue.schedulers = if form.excludes(Parts::SCHEDULERS) {
            Some(Schedulers::default())
        } else {
            let both = self.schedulers.zip(self.schedulers_overdue);
            both.map(|(all, overdue)| Schedulers { all, overdue })
        };
        queue.completed = self.completed;
        queue.failed = self.failed;
        queue.groups = self.groups;
    }
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
}

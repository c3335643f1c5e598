//! The arithmetic of BullMQ's sorted sets.
//!
//! A delayed job's score is `due * 4096 + n`, with the time due in milliseconds and `n` from 0 to 4095 to keep jobs of the same
//! millisecond in order. A worker moves the jobs whose score is below `(now + 1) * 4096`, so that is the bound here too.
//! Source: <https://github.com/taskforcesh/bullmq/blob/v6.7.0/src/commands/includes/promoteDelayedJobs.lua>.
//!
//! A prioritized job's score is `priority * 2^32 + counter`.
//! Source: <https://github.com/taskforcesh/bullmq/blob/v6.7.0/src/commands/includes/getPriorityScore.lua>.

use std::time::Duration;

/// How many scores one millisecond spans.
const SCORES_A_MILLISECOND: u64 = 4096;
/// How many scores one priority spans.
const SCORES_A_PRIORITY: u64 = 1 << 32;

/// Milliseconds since 1970, by Redis' clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Millis(pub(crate) u64);

impl Millis {
    /// The first score that is due only after this moment.
    pub(super) const fn first_score_not_due(self) -> u64 {
        self.0
            .saturating_add(1)
            .saturating_mul(SCORES_A_MILLISECOND)
    }

    /// This moment and a duration later; anything below a millisecond is dropped.
    pub(super) fn after(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_add(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// This moment and a duration earlier; anything below a millisecond is dropped.
    pub(super) fn before(self, duration: Duration) -> Self {
        Self(
            self.0
                .saturating_sub(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)),
        )
    }

    /// How long before this moment `earlier` was; zero if it was later.
    pub(super) const fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// When the delayed job with this score is due.
pub(super) fn due_at(score: f64) -> Millis {
    Millis(whole(score) / SCORES_A_MILLISECOND)
}

/// The priority of the prioritized job with this score.
pub(super) fn priority_of(score: f64) -> u64 {
    whole(score) / SCORES_A_PRIORITY
}

/// The first score of the priority after this one.
pub(super) const fn first_score_after(priority: u64) -> u64 {
    priority.saturating_add(1).saturating_mul(SCORES_A_PRIORITY)
}

/// The whole part of a score. What is not a number or below zero is zero; what is too large is the largest.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the cast saturates, and BullMQ's scores are whole numbers below 2^53"
)]
fn whole(score: f64) -> u64 {
    score as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A moment of 2026 in milliseconds.
    const NOW: Millis = Millis(1_780_000_000_000);

    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    fn score(due: u64, tie: u64) -> f64 {
        (due * SCORES_A_MILLISECOND + tie) as f64
    }

    #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
    fn is_due(score: f64) -> bool {
        score < NOW.first_score_not_due() as f64
    }

    #[test]
    fn a_job_is_due_from_its_millisecond_on_whatever_its_place_in_it() {
        for tie in [0, 1, 4095] {
            assert!(
                is_due(score(NOW.0, tie)),
                "due this millisecond, place {tie}"
            );
            assert!(
                is_due(score(NOW.0 - 1, tie)),
                "due a millisecond ago, place {tie}"
            );
            assert!(
                !is_due(score(NOW.0 + 1, tie)),
                "due in a millisecond, place {tie}"
            );
            assert_eq!(due_at(score(NOW.0, tie)), NOW);
        }
    }

    #[test]
    fn priorities_are_whole_parts_of_scores() {
        assert_eq!(priority_of(4_294_967_296.0), 1);
        assert_eq!(priority_of(4_294_967_296.0 * 2_097_151.0 + 17.0), 2_097_151);
        assert_eq!(first_score_after(1), 2 << 32);
    }

    #[test]
    fn scores_that_bullmq_never_writes_do_no_harm() {
        assert_eq!(due_at(f64::NAN), Millis(0));
        assert_eq!(due_at(-1.0), Millis(0));
        assert_eq!(
            due_at(f64::INFINITY),
            Millis(u64::MAX / SCORES_A_MILLISECOND)
        );
        assert_eq!(Millis(u64::MAX).first_score_not_due(), u64::MAX);
    }
}

//! Time within a simulation, in whole microseconds: fine enough for the shortest job, and exact, so that the same seed gives the same
//! figures everywhere.

use std::time::Duration;

/// Microseconds since the simulation began.
pub(super) type Micros = u64;

/// One second.
pub(super) const SECOND: Micros = 1_000_000;

/// A duration in microseconds.
pub(super) fn micros(duration: Duration) -> Micros {
    Micros::try_from(duration.as_micros()).unwrap_or(Micros::MAX)
}

/// A time in seconds, as people read it.
#[expect(
    clippy::cast_precision_loss,
    reason = "a microsecond within a century is exact"
)]
pub(super) fn seconds(time: Micros) -> f64 {
    time as f64 / 1e6
}

/// So many seconds.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a cast stops at the ends of the range"
)]
pub(super) fn of_seconds(seconds: f64) -> Micros {
    (seconds * 1e6).round() as Micros
}

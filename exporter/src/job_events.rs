//! What the event stream of a queue told since the exporter first saw it: counts and timings, as plain data of the model.

use std::time::Duration;

use bullmq_vocabulary::{JOB_SECONDS_BUCKETS, JobEvent};

/// Measured durations, counted by the buckets of the vocabulary.
///
/// Sums are whole milliseconds, the unit of the ids that they come from, so that no rounding adds up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Histogram {
    /// How many measurements fell into each bucket, and not into one before it.
    counts: [u64; JOB_SECONDS_BUCKETS.len()],
    /// How many were longer than the last bound.
    longer: u64,
    sum_millis: u64,
}

impl Histogram {
    /// Counts one measurement.
    pub fn observe(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = JOB_SECONDS_BUCKETS
            .iter()
            .position(|bound| seconds <= *bound);
        let bucket = bucket.and_then(|bucket| self.counts.get_mut(bucket));
        *bucket.unwrap_or(&mut self.longer) += 1;
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        self.sum_millis = self.sum_millis.saturating_add(millis);
    }

    /// For each bound of the vocabulary, how many measurements were not longer.
    pub fn cumulated(&self) -> impl Iterator<Item = (f64, u64)> + '_ {
        let mut sum = 0;
        let counts = self.counts.iter().map(move |count| {
            sum += count;
            sum
        });
        JOB_SECONDS_BUCKETS.into_iter().zip(counts)
    }

    /// How many measurements there were.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.longer
    }

    /// All of them together.
    pub const fn sum(&self) -> Duration {
        Duration::from_millis(self.sum_millis)
    }
}

/// What one queue's events told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobEvents {
    counts: [u64; JobEvent::ALL.len()],
    /// How long jobs were ready before a worker took them.
    pub wait: Histogram,
    /// How long finished jobs were active in their last attempt.
    pub processing: Histogram,
}

impl JobEvents {
    /// Counts one event.
    pub fn count(&mut self, event: JobEvent) {
        if let Some(count) = self.counts.get_mut(event as usize) {
            *count += 1;
        }
    }

    /// How often an event was seen.
    pub fn seen(&self, event: JobEvent) -> u64 {
        self.counts.get(event as usize).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_measurement_falls_into_the_first_bucket_that_is_not_shorter() {
        for (millis, bound) in [
            (0, Some(0.005)),
            (5, Some(0.005)),
            (6, Some(0.01)),
            (1000, Some(1.0)),
            (1001, Some(2.5)),
            (14_400_000, Some(14400.0)),
            (14_400_001, None),
        ] {
            let mut histogram = Histogram::default();
            histogram.observe(Duration::from_millis(millis));
            let first = histogram
                .cumulated()
                .find_map(|(bound, count)| (count == 1).then_some(bound));
            assert_eq!(first, bound, "{millis} ms");
            assert_eq!(histogram.count(), 1, "{millis} ms");
            assert_eq!(histogram.sum(), Duration::from_millis(millis));
        }
    }

    #[test]
    fn buckets_rise_and_each_holds_those_before_it() {
        assert!(JOB_SECONDS_BUCKETS.is_sorted_by(|one, next| one < next));
        let mut histogram = Histogram::default();
        for millis in [1, 7, 7, 3000, 99_999_999] {
            histogram.observe(Duration::from_millis(millis));
        }
        let counts: Vec<u64> = histogram.cumulated().map(|(_, count)| count).collect();
        assert_eq!(counts, [1, 3, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4]);
        assert_eq!(histogram.count(), 5);
    }
}

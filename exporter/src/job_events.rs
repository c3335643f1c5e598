//! What the event stream of a queue told since the exporter first saw it: counts and timings, as plain data of the model.

use std::sync::Arc;
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

    fn numbers(&mut self) -> impl Iterator<Item = &mut u64> {
        let more = [&mut self.longer, &mut self.sum_millis];
        self.counts.iter_mut().chain(more)
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

    /// All of it, to be kept.
    pub fn pack(mut self) -> PackedJobEvents {
        let mut bytes = Vec::with_capacity(USUAL_BYTES);
        for number in self.numbers() {
            let mut rest = *number;
            while rest > u64::from(LOW_BITS) {
                bytes.push(low_bits(rest) | !LOW_BITS);
                rest >>= BITS_A_BYTE;
            }
            bytes.push(low_bits(rest));
        }
        PackedJobEvents(bytes.into())
    }

    fn numbers(&mut self) -> impl Iterator<Item = &mut u64> {
        let histograms = self.wait.numbers().chain(self.processing.numbers());
        self.counts.iter_mut().chain(histograms)
    }
}

/// How many bits of a packed number a byte has; its highest one tells that more follow.
const BITS_A_BYTE: u32 = 7;

/// Those bits.
const LOW_BITS: u8 = 0x7f;

/// About how many bytes it takes.
const USUAL_BYTES: usize = 96;

fn low_bits(number: u64) -> u8 {
    let [low, ..] = number.to_le_bytes();
    low & LOW_BITS
}

/// What one queue's events told, as it is kept: of 10,000 queues the last state, the one that is being served and the one of the last scrape may be
/// in memory at once, and most of their numbers are 0 or small, so each number takes the bytes that it needs (LEB128). Clones share them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackedJobEvents(Arc<[u8]>);

impl PackedJobEvents {
    /// All of it.
    pub fn unpack(&self) -> JobEvents {
        let mut events = JobEvents::default();
        let mut bytes = self.0.iter();
        // Nothing has been told yet where there are no bytes.
        for number in events.numbers() {
            for shift in (0..u64::BITS).step_by(BITS_A_BYTE as usize) {
                let byte = bytes.next().copied().unwrap_or(0);
                *number |= u64::from(byte & LOW_BITS) << shift;
                if byte & !LOW_BITS == 0 {
                    break;
                }
            }
        }
        events
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_kept_is_what_was_told(
            numbers in prop::collection::vec(
                prop_oneof![3 => Just(0), 1 => 0..300_u64, 1 => any::<u64>(), 1 => Just(u64::MAX)],
                60,
            ),
        ) {
            let mut told = JobEvents::default();
            for (place, number) in told.numbers().zip(numbers) {
                *place = number;
            }
            let kept = told.clone().pack();
            prop_assert_eq!(kept.unpack(), told);
        }
    }

    #[test]
    fn of_a_queue_that_is_used_a_few_hundred_bytes_become_a_few_dozen() {
        let mut told = JobEvents::default();
        assert_eq!(PackedJobEvents::default().unpack(), told);
        for job in 0..1000 {
            for event in [
                JobEvent::Added,
                JobEvent::Waiting,
                JobEvent::Active,
                JobEvent::Completed,
            ] {
                told.count(event);
            }
            told.wait.observe(Duration::from_millis(job));
            told.processing.observe(Duration::from_millis(7 * job));
        }
        let (before, kept) = (size_of_val(&told), told.pack());
        assert!(
            before > 400 && kept.0.len() < 80,
            "{before} and {} bytes",
            kept.0.len()
        );
    }

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

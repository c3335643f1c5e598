//! What the metrics tell of each queue.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bullmq_vocabulary::{JobState, label, metric};

use crate::exposition::Sample;

/// The identity of a queue, in the order in which queues are written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    pub(super) redis: String,
    pub(super) prefix: String,
    pub(super) name: String,
}

/// What is known of one queue.
#[derive(Clone, Debug, Default)]
pub(super) struct Facts {
    /// Whether it could be read; nothing if that is not told.
    pub(super) up: Option<bool>,
    pub(super) ready: Option<f64>,
    pub(super) active: Option<f64>,
    pub(super) delayed: Option<f64>,
    pub(super) workers: Option<f64>,
    pub(super) longest_active: Option<f64>,
    pub(super) schedulers: Option<f64>,
    pub(super) concurrency_limit: Option<f64>,
    /// The library, and the version of a producer, empty if unknown.
    pub(super) library: Option<(String, String)>,
    /// Seconds and number of the jobs that were timed.
    pub(super) processing: (f64, f64),
    /// Bounds in seconds, each with the number of jobs up to it.
    pub(super) buckets: Vec<(f64, f64)>,
}

/// What is known of everything.
#[derive(Clone, Debug, Default)]
pub(super) struct Known {
    pub(super) queues: BTreeMap<Key, Facts>,
    /// Each Redis, and whether it answers.
    pub(super) redis: BTreeMap<String, bool>,
    /// The horizons that are served.
    pub(super) horizons: BTreeSet<Duration>,
}

impl Known {
    pub(super) fn of(samples: &[Sample]) -> Self {
        let mut known = Self::default();
        for sample in samples {
            known.take(sample);
        }
        known
    }

    fn take(&mut self, sample: &Sample) {
        let (name, value) = (sample.name.as_str(), sample.value);
        if name == metric::UP.name {
            self.redis
                .insert(sample.label(label::REDIS).to_owned(), value > 0.0);
        }
        if !sample.labels.contains_key(label::QUEUE) || !sample.labels.contains_key(label::REDIS) {
            return;
        }
        let key = Key {
            redis: sample.label(label::REDIS).to_owned(),
            prefix: sample.label(label::PREFIX).to_owned(),
            name: sample.label(label::QUEUE).to_owned(),
        };
        if name == metric::QUEUE_DEMAND_AHEAD_JOBS.name {
            let within = humantime::parse_duration(sample.label(label::WITHIN)).ok();
            self.horizons
                .extend(within.filter(|within| !within.is_zero()));
        }
        let facts = self.queues.entry(key).or_default();
        let known = value.is_finite().then_some(value);
        if name == metric::QUEUE_UP.name {
            facts.up = Some(value > 0.0);
        } else if name == metric::QUEUE_READY_JOBS.name {
            facts.ready = known;
        } else if name == metric::JOB_COUNT.name {
            let state = sample.label(label::STATE);
            if state == JobState::Active.as_str() {
                facts.active = known;
            } else if state == JobState::Delayed.as_str() {
                facts.delayed = known;
            }
        } else if name == metric::QUEUE_WORKERS.name {
            facts.workers = known;
        } else if name == metric::QUEUE_LONGEST_ACTIVE_SECONDS.name {
            facts.longest_active = known;
        } else if name == metric::QUEUE_SCHEDULERS.name {
            facts.schedulers = known;
        } else if name == metric::QUEUE_CONCURRENCY_LIMIT.name {
            facts.concurrency_limit = known;
        } else if name == metric::QUEUE_INFO.name {
            let library = sample.label(label::FLAVOR).to_owned();
            facts.library = Some((library, sample.label(label::VERSION).to_owned()));
        } else if let Some(part) = name.strip_prefix(metric::JOB_PROCESSING_SECONDS.name) {
            // A histogram, where the exporter reads events (`--collect.events`).
            match (part, sample.label("le").parse(), known) {
                ("_sum", _, known) => facts.processing.0 += known.unwrap_or_default(),
                ("_count", _, known) => facts.processing.1 += known.unwrap_or_default(),
                ("_bucket", Ok(bound), Some(count)) => facts.buckets.push((bound, count)),
                _ => {}
            }
        }
    }
}

impl Facts {
    /// The mean time of a job, with the number of jobs that it is of.
    pub(super) fn mean(&self) -> Option<(Duration, f64)> {
        let (seconds, jobs) = self.processing;
        let mean = time(seconds / jobs)?;
        Some((mean, jobs))
    }

    /// The longest time of a job that is known, with where that is known from.
    pub(super) fn longest(&self) -> Option<(Duration, &'static str)> {
        let most = self
            .buckets
            .iter()
            .map(|(_, count)| *count)
            .max_by(f64::total_cmp);
        let bound = self
            .buckets
            .iter()
            .filter(|(bound, count)| bound.is_finite() && Some(*count) == most && *count > 0.0)
            .map(|(bound, _)| *bound)
            .min_by(f64::total_cmp);
        let timed = bound
            .and_then(time)
            .map(|bound| (bound, "no timed job took longer"));
        let running = self
            .longest_active
            .and_then(time)
            .map(|run| (run, "a job has been running that long now"));
        timed
            .into_iter()
            .chain(running)
            .max_by_key(|(longest, _)| *longest)
    }
}

/// Seconds as a spec takes them, rounded up: to milliseconds below a second, and to seconds above.
fn time(seconds: f64) -> Option<Duration> {
    /// The longest duration of a spec.
    const LONGEST: f64 = 30.0 * 86_400.0;
    if !(seconds > 0.0 && seconds <= LONGEST) {
        return None;
    }
    let rounded = if seconds < 1.0 {
        (seconds * 1000.0).ceil() / 1000.0
    } else {
        seconds.ceil()
    };
    Duration::try_from_secs_f64(rounded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_to_what_a_spec_takes() {
        for (seconds, expected) in [
            (0.0, None),
            (f64::NAN, None),
            (-1.0, None),
            (0.0004, Some(1)),
            (0.25, Some(250)),
            (1.2, Some(2000)),
            (1e12, None),
        ] {
            assert_eq!(
                time(seconds),
                expected.map(Duration::from_millis),
                "{seconds}"
            );
        }
    }
}

//! What other clients of Redis feel: one that sends a PING each millisecond while somebody scrapes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use acceptance::Redis;
use anyhow::{Result, anyhow};

use crate::redis_client::connect;

/// How often it asks.
const PAUSE: Duration = Duration::from_millis(1);

/// A client that asks until it is told to stop.
#[derive(Debug)]
pub(crate) struct Pinger {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Result<Vec<Duration>>>,
}

impl Pinger {
    /// Begins, and returns when the first answer has come.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub(crate) fn start(redis: &Redis) -> Result<Self> {
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let mut client = connect(redis)?;
        redis::cmd("PING").exec(&mut client)?;
        let thread = thread::spawn(move || {
            let mut answers = Vec::new();
            while !told.load(Ordering::Relaxed) {
                let began = Instant::now();
                redis::cmd("PING").exec(&mut client)?;
                answers.push(began.elapsed());
                sleep(PAUSE);
            }
            Ok(answers)
        });
        Ok(Self { ends, thread })
    }

    /// Stops, and returns how long each answer took.
    ///
    /// # Errors
    /// When Redis has not answered.
    pub(crate) fn stop(self) -> Result<Vec<Duration>> {
        self.ends.store(true, Ordering::Relaxed);
        let answers = self.thread.join();
        answers.map_err(|_panic| anyhow!("the pinging thread panicked"))?
    }
}

/// With the questions that a client would have sent on time while it waited for a late answer: without them, the longest waits
/// would be counted once although many suffer them.
pub(crate) fn with_omitted(answers: &[Duration]) -> Vec<Duration> {
    let mut all = Vec::with_capacity(answers.len());
    for answer in answers {
        let mut left = *answer;
        all.push(left);
        while let Some(later) = left.checked_sub(PAUSE).filter(|later| *later >= PAUSE) {
            all.push(later);
            left = later;
        }
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_of_several_pauses_is_felt_by_as_many_clients() {
        let millis = |numbers: &[u64]| {
            numbers
                .iter()
                .copied()
                .map(Duration::from_millis)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            with_omitted(&millis(&[0, 1, 4])),
            millis(&[0, 1, 4, 3, 2, 1])
        );
        assert_eq!(with_omitted(&[]), millis(&[]));
    }
}

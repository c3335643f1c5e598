//! Events that keep coming: what workers would write into the queues' streams, without workers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle, sleep};
use std::time::{Duration, Instant};

use acceptance::Redis;
use anyhow::{Result, anyhow};

use crate::redis_client::connect;

/// How often each queue works off a job: once between two looks of the exporter, so that it has something new to read of each.
const EVERY: Duration = Duration::from_secs(2);

/// For how many queues are written at once: Redis is not to be kept from others for long.
const QUEUES_AT_ONCE: usize = 100;

/// How many events a queue's stream keeps, about; less than BullMQ's 10,000, so that Redis' memory is not what is measured.
const KEPT: usize = 100;

/// A client that writes until it is told to stop.
#[derive(Debug)]
pub(crate) struct Writer {
    ends: Arc<AtomicBool>,
    thread: JoinHandle<Result<()>>,
}

impl Writer {
    /// Begins to write into the streams of these queues.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub(crate) fn start(redis: &Redis, names: &[String]) -> Result<Self> {
        let ends = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ends);
        let mut client = connect(redis)?;
        let keys = names.iter().map(|name| format!("bull:{name}:events"));
        let keys: Vec<String> = keys.collect();
        let batches = u32::try_from(keys.len().div_ceil(QUEUES_AT_ONCE))?;
        let thread = thread::spawn(move || {
            for job in 1_u64.. {
                for batch in keys.chunks(QUEUES_AT_ONCE) {
                    if told.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    let began = Instant::now();
                    let mut pipeline = redis::pipe();
                    for key in batch {
                        add_life(&mut pipeline, key, job);
                    }
                    pipeline.exec(&mut client)?;
                    sleep((EVERY / batches).saturating_sub(began.elapsed()));
                }
            }
            Ok(())
        });
        Ok(Self { ends, thread })
    }

    /// Stops.
    ///
    /// # Errors
    /// When Redis has not answered.
    pub(crate) fn stop(self) -> Result<()> {
        self.ends.store(true, Ordering::Relaxed);
        let outcome = self.thread.join();
        outcome.map_err(|_panic| anyhow!("the writing thread panicked"))?
    }
}

/// The events of a job from its beginning to its end, as BullMQ 6 writes them:
/// <https://github.com/taskforcesh/bullmq/tree/v6.7.0/src/commands>.
fn add_life(pipeline: &mut redis::Pipeline, key: &str, job: u64) {
    let lives: [(&str, &[(&str, &str)]); 4] = [
        ("added", &[("name", "job")]),
        ("waiting", &[]),
        ("active", &[("prev", "waiting")]),
        (
            "completed",
            &[("returnvalue", "\"done\""), ("prev", "active")],
        ),
    ];
    for (event, more) in lives {
        let command = pipeline.cmd("XADD").arg(key).arg("MAXLEN").arg("~");
        command.arg(KEPT).arg("*").arg("event").arg(event);
        command.arg("jobId").arg(job);
        for (field, value) in more {
            command.arg(field).arg(value);
        }
        command.ignore();
    }
}

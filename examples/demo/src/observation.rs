//! One look at the queue, through every eye that there is.

use std::time::Duration;

use acceptance::{Exporter, Prometheus, Redis, Scrape};
use anyhow::{Result, bail};
use bullmq_keda::control_loop::keda::Answer;

use crate::autoscaler::whole;
use crate::manifest::ScaledObject;

/// What is seen at one moment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Observation {
    /// `LLEN` of the wait list, which is all that KEDA's Redis trigger reads; nothing when Redis does not answer.
    pub(crate) wait_list: Option<u32>,
    /// The time until the next delayed job falls due; zero when one is overdue.
    pub(crate) next_due: Option<Duration>,
    /// Whether the exporter reaches Redis.
    pub(crate) redis_up: bool,
    /// What the exporter says; nothing when it does not serve the queue.
    pub(crate) queue: Option<Queue>,
    /// What Prometheus answers to the ScaledObject's query.
    pub(crate) answer: Answer,
}

/// A queue as the exporter serves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Queue {
    pub(crate) waiting: u32,
    pub(crate) prioritized: u32,
    pub(crate) delayed: u32,
    pub(crate) delayed_due: u32,
    pub(crate) active: u32,
    pub(crate) demand: u32,
    pub(crate) completed: u32,
    pub(crate) failed: u32,
}

/// Looks at the queue `name`.
pub(crate) fn observe(
    name: &str,
    redis: &Redis,
    exporter: &Exporter,
    prometheus: &Prometheus,
    object: &ScaledObject,
) -> Result<Observation> {
    let wait_list = redis.run(&["LLEN", &format!("bull:{name}:wait")]);
    let scrape = exporter.scrape()?;
    Ok(Observation {
        // A Redis that does not answer is part of the story.
        wait_list: wait_list.ok().and_then(|reply| reply.parse().ok()),
        next_due: next_due(redis, name),
        redis_up: scrape.value("bullmq_up", &[]) == Some(1.0),
        queue: queue(&scrape, name),
        answer: ask(prometheus, object)?,
    })
}

fn next_due(redis: &Redis, name: &str) -> Option<Duration> {
    let key = format!("bull:{name}:delayed");
    let reply = redis.run(&["ZRANGE", &key, "0", "0", "WITHSCORES"]).ok()?;
    let (_, score) = reply.split_once('\n')?;
    // BullMQ keeps the due time in milliseconds above 12 bits that break ties.
    let due_millis = score.parse::<u64>().ok()? / 4096;
    Some(Duration::from_millis(
        due_millis.saturating_sub(redis.time_millis().ok()?),
    ))
}

fn queue(scrape: &Scrape, name: &str) -> Option<Queue> {
    let number = |metric| scrape.of_queue(metric, name).map(whole);
    let state = |state| scrape.job_count(name, state).map(whole);
    Some(Queue {
        waiting: state("waiting")?,
        prioritized: state("prioritized")?,
        delayed: state("delayed")?,
        delayed_due: number("bullmq_queue_delayed_due_jobs")?,
        active: state("active")?,
        demand: number("bullmq_queue_demand_jobs")?,
        completed: state("completed")?,
        failed: state("failed")?,
    })
}

/// Asks the query as KEDA does, and takes the answer as KEDA does.
fn ask(prometheus: &Prometheus, object: &ScaledObject) -> Result<Answer> {
    Ok(match prometheus.query(&object.query)?.as_slice() {
        [] if object.empty_is_zero => Answer::Value(0.0),
        [] => Answer::Error,
        [one] => Answer::Value(one.value),
        several => bail!("KEDA refuses an answer of {} elements", several.len()),
    })
}

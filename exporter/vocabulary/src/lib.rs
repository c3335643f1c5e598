//! The public words of this project: metric names, label keys, job states and units, each said once.
//!
//! The exporter writes its exposition from these tables, the generator builds its queries from the same constants, and the
//! dashboards, alerts and documents, which are files for people and tools, are checked against them by tests. Renaming a
//! metric is one edit here and a red test in every place that must follow.
//!
//! No values, no registries, no queries and no Kubernetes live here, and the crate has no dependencies.

mod duration;
mod job_event;
mod job_state;
pub mod label;
mod markdown;
pub mod metric;
mod promql;

pub use duration::prometheus_duration;
pub use job_event::JobEvent;
pub use job_state::JobState;
pub use markdown::metrics_markdown;
pub use metric::{Kind, METRICS, Metric};
pub use promql::promql_string;

use std::time::Duration;

/// The TCP port of the exporter. Prometheus' list of default port allocations gives 9538 to Bull.
pub const DEFAULT_PORT: u16 = 9538;

/// The key prefix under which BullMQ and Bull keep their queues unless told otherwise.
pub const DEFAULT_PREFIX: &str = "bull";

/// The value of the [`label::REDIS`] label of a connection that was given no name.
pub const DEFAULT_REDIS_NAME: &str = "default";

/// The horizons at which `bullmq_queue_demand_ahead_jobs` is served unless told otherwise, in rising order.
pub const DEFAULT_HORIZONS: [Duration; 4] = [
    Duration::from_secs(30),
    Duration::from_mins(1),
    Duration::from_mins(2),
    Duration::from_mins(5),
];

/// The upper bounds of the buckets of job timings, in seconds and in rising order.
///
/// From what a stream of events can tell, whose ids are milliseconds, to what a nightly batch takes. Up to a few seconds a bound is at
/// most 2.5 times the one before, for quantiles of quick jobs; beyond, the steps are those that people set as limits.
/// Each bound is one more series a queue.
pub const JOB_SECONDS_BUCKETS: [f64; 15] = [
    0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 30.0, 60.0, 300.0, 1800.0, 14400.0,
];

//! Label keys. Their values are bounded: configured names, queue names, or one of a closed set.

/// The name of the Redis connection, `default` if it was given none.
pub const REDIS: &str = "redis";
/// The key prefix of the queue, `bull` unless BullMQ was told otherwise.
pub const PREFIX: &str = "prefix";
/// The name of the queue as BullMQ knows it, hash-tag braces included.
pub const QUEUE: &str = "queue";
/// The state of a job, one of [`crate::JobState`].
pub const STATE: &str = "state";
/// How far ahead demand is looked up, as a Prometheus duration (`30s`, `5m`).
pub const WITHIN: &str = "within";
/// The cause of an error, one of a closed set that belongs to the exporter.
pub const CAUSE: &str = "cause";
/// The version of the exporter.
pub const VERSION: &str = "version";
/// The source revision that the exporter was built from, empty if unknown.
pub const REVISION: &str = "revision";
/// The compiler that built the exporter.
pub const RUSTC: &str = "rustc";

/// The labels that identify one queue, in the order in which they are written.
pub const OF_A_QUEUE: &[&str] = &[REDIS, PREFIX, QUEUE];

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
/// The name of an event in a queue's stream, one of [`crate::JobEvent`].
pub const EVENT: &str = "event";
/// The upper bound of a bucket of a histogram, one of [`crate::JOB_SECONDS_BUCKETS`] or `+Inf`.
pub const LE: &str = "le";
/// The status of a group of BullMQ Pro: `waiting`, `limited`, `maxed` or `paused`.
pub const STATUS: &str = "status";
/// The library that made a queue: `bullmq` or `bull`.
pub const FLAVOR: &str = "flavor";
/// How a Redis runs: `standalone`, `sentinel` or `cluster`.
pub const MODE: &str = "mode";
/// The part that a Redis plays: `primary` or `replica`.
pub const ROLE: &str = "role";
/// What a Redis does when its memory is full.
pub const MAXMEMORY_POLICY: &str = "maxmemory_policy";
/// The number of a shard of the queues, from 0.
pub const SHARD: &str = "shard";
/// The version of the exporter, of a Redis, or of the library of a queue's producer.
pub const VERSION: &str = "version";
/// The source revision that the exporter was built from, empty if unknown.
pub const REVISION: &str = "revision";
/// The compiler that built the exporter.
pub const RUSTC: &str = "rustc";

/// The labels that identify one queue, in the order in which they are written.
pub const OF_A_QUEUE: &[&str] = &[REDIS, PREFIX, QUEUE];

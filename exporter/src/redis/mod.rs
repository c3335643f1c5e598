//! The Redis side: every command that the exporter sends, and what its answers mean.
//!
//! Per queue and scrape, in one pipeline for about a hundred queues (`queue`):
//!
//! | when | commands | cost |
//! |---|---|---|
//! | always, in one MULTI | 3 LLEN, 5 ZCARD, 1 ZCOUNT, 1 HMGET, 1 LRANGE of 8, 3 LINDEX | O(1), ZCOUNT O(log jobs) |
//! | always | 1 GET | O(1) |
//! | jobs ready, or delayed | ZCOUNT a horizon, ZRANGE of 1, HMGET a candidate for the oldest | O(1), O(log jobs) |
//! | several priorities | ZRANGEBYSCORE of 1 and HMGET a level, at most 16 levels | O(log jobs) |
//!
//! Per scrape: TIME. In the background (`discovery`): TIME, SCAN, and HMGET of what it finds. Nothing writes, nothing walks over jobs, and
//! no script runs. BullMQ's own words for keys (`wait`, `meta`, `id`) stop in `keys`.

mod client;
mod discovery;
mod job_time;
mod keys;
mod queue;
mod reply;
mod score;

pub(crate) use client::{AskError, Connection, Link};
pub(crate) use discovery::discover;
pub(crate) use queue::{FirstSeen, Question, read_batch};
pub(crate) use reply::ReplyError;
pub(crate) use score::Millis;

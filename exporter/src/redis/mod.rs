//! The Redis side: every command that the exporter sends, and what its answers mean.
//!
//! Per queue and scrape, in pipelines for about a hundred queues:
//!
//! | when | commands | cost |
//! |---|---|---|
//! | always, in one MULTI (`core`) | EXISTS of all keys that the queue is not expected to have (`expected`), 1 HMGET | O(1) |
//! | always | 1 GET | O(1) |
//! | jobs waiting | in the MULTI LLEN, LRANGE of 8, LINDEX; then (`follow_up`) HMGET and EXISTS of the one that is taken next, of the others at the ends too where one may be older | O(1) |
//! | jobs in the `paused` list | in the MULTI LLEN, 2 LINDEX | O(1) |
//! | jobs active | in the MULTI LLEN; LRANGE of 2, HGET, EXISTS; LRANGE again if nobody holds the job | O(1) |
//! | priorities | in the MULTI ZCARD; ZRANGE of 8, HMGET a level and EXISTS of all; ZRANGEBYSCORE of 1, HMGET and EXISTS a level behind those, at most 16 levels | O(log jobs) |
//! | jobs delayed | in the MULTI ZCARD and ZRANGE of 8; where that does not tell how many are due, ZCOUNT instead, and ZCOUNT of the furthest horizon, and of the others if it has any | O(log jobs) |
//! | each other state | in the MULTI ZCARD | O(1) |
//! | a rate limit's window (`beside_jobs`) | GET, PTTL | O(1) |
//! | schedulers | ZCARD, ZCOUNT | O(log schedulers) |
//! | metrics of the workers | 2 HGET | O(1) |
//! | groups | 4 ZCARD | O(1) |
//! | something that was not expected | all of this, once more | |
//!
//! Per scrape: TIME, 3 INFO, and CLIENT LIST, whose cost is that of the connections (`server`). In the background: TIME, SCAN, and one
//! HMGET or GET for each key that looks like a queue's (`discovery`). Of a cluster every primary is asked so, each about its own queues, and
//! CLUSTER SLOTS of all that are known when queues are looked for or something has changed (`nodes`). With `--collect.events` as well: one XREAD for a hundred streams, of a cluster one for each slot, every two
//! seconds or sooner, one XRANGE for each that has something new, one XINFO STREAM for each every minute (`events`). Nothing writes, nothing walks over jobs, and no script runs.
//! BullMQ's own words for keys (`wait`, `meta`, `id`) stop in `keys`.

mod acl;
mod beside_jobs;
mod client;
mod connect;
mod connection;
mod core;
mod discovery;
mod events;
mod expected;
mod first_seen;
mod follow_up;
#[cfg(fuzzing)]
pub mod fuzzing;
mod job_time;
mod keys;
mod link_error;
mod nodes;
mod queue;
mod reply;
mod score;
mod server;
mod slots;
mod wire;

pub(crate) use acl::{Use, set_sentinel_user, set_user};
pub(crate) use client::{AskError, Link};
pub(crate) use connection::Connection;
pub(crate) use discovery::{Found, discover, gone};
pub(crate) use events::{Board, EventStreams, Part, Pass, SERVED_FOR};
pub(crate) use expected::Expected;
pub(crate) use first_seen::FirstSeen;
pub(crate) use link_error::LinkError;
pub(crate) use nodes::{Nodes, Share, Shares};
pub(crate) use queue::{Question, read_batch};
pub(crate) use reply::ReplyError;
pub(crate) use score::Millis;
pub(crate) use server::{namesake, read_server};

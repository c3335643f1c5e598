//! The Redis side: every command that the exporter sends, and what its answers mean.
//!
//! Per queue and scrape, in pipelines for about a hundred queues:
//!
//! | when | commands | cost |
//! |---|---|---|
//! | always, in one MULTI (`core`) | 3 LLEN, 5 ZCARD, 1 ZCOUNT, 1 HMGET, 1 LRANGE of 8, 1 LINDEX | O(1), ZCOUNT O(log jobs) |
//! | always | 1 GET, 2 EXISTS of 2 keys, 1 EXISTS of 4 keys | O(1) |
//! | jobs in the `paused` list | all of this again, with 2 LINDEX more | O(1), O(log jobs) |
//! | jobs waiting (`follow_up`) | HMGET and EXISTS of the one that is taken next; of the others at the ends too, where one may be older | O(1) |
//! | jobs delayed | ZCOUNT of the furthest horizon, and of the others if it has any; ZRANGE of 1 | O(log jobs) |
//! | priorities | ZRANGEBYSCORE of 1, HMGET and EXISTS a level, at most 16 levels | O(log jobs) |
//! | jobs active | LRANGE of 2, HGET, EXISTS; LRANGE again if nobody holds the job | O(1) |
//! | a rate limit's window or schedulers | GET, PTTL, ZCARD, ZCOUNT | O(1), O(log schedulers) |
//! | metrics of the workers | 2 HGET | O(1) |
//! | groups | 4 ZCARD | O(1) |
//!
//! Per scrape: TIME, 3 INFO, and CLIENT LIST, whose cost is that of the connections (`server`). In the background: TIME, SCAN, and one
//! HMGET or GET for each key that looks like a queue's (`discovery`). Of a cluster every primary is asked so, each about its own queues, and
//! CLUSTER SLOTS of all that are known when queues are looked for or something has changed (`nodes`). With `--collect.events` as well: one XREAD for a hundred streams, of a cluster one for each slot, every two
//! seconds or sooner, one XRANGE for each that has something new, one XINFO STREAM for each every minute (`events`). Nothing writes, nothing walks over jobs, and no script runs.
//! BullMQ's own words for keys (`wait`, `meta`, `id`) stop in `keys`.

mod acl;
mod client;
mod connect;
mod connection;
mod core;
mod discovery;
mod events;
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
pub(crate) use first_seen::FirstSeen;
pub(crate) use link_error::LinkError;
pub(crate) use nodes::{Nodes, Share, Shares};
pub(crate) use queue::{Question, read_batch};
pub(crate) use reply::ReplyError;
pub(crate) use score::Millis;
pub(crate) use server::{namesake, read_server};

//! Doors for the targets of `fuzz/`, which are built with `--cfg fuzzing` and are all that is.
//!
//! What stands behind them is private for good reason: the doors take and give plain data only, so that no target can lean on how
//! something is built.

pub use crate::config::fuzzing as config;
pub use crate::http::fuzzing as http;
pub use crate::redis::fuzzing as redis;

//! What is wrong with specs and manifests, ours or anyone's.

pub mod finding;
pub mod metrics_api;
pub mod modifiers;
pub mod promql;
pub mod redis;

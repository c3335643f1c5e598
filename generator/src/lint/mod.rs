//! What is wrong with specs and manifests, ours or anyone's.

pub mod finding;
pub mod promql;

//! Real servers for the acceptance tests and the demo: Redis, BullMQ in Node, Prometheus, a browser, and our own two programs.
//!
//! Each is started on a free port with its files in a folder of its own, writes its log there, and ends when its value is
//! dropped; nothing that was not started here is ever touched. A server that is not installed is an error, never a skipped
//! test.

mod authority;
mod binary;
mod browser;
mod bullmq;
mod clock;
mod cluster;
mod driver;
mod exporter;
mod judge;
mod process;
mod prometheus;
mod redis;
mod scrape;
mod sentinel;
mod wire;

pub use authority::{Authority, RedisCertificates};
pub use binary::{ours, repository};
pub use browser::Browser;
pub use bullmq::{BullMq, Version};
pub use clock::FrozenClock;
pub use cluster::Cluster;
pub use exporter::Exporter;
pub use judge::{HELMS, fed, helm_template, judge, kubeconform, read_as_kubectl, read_by_pyyaml};
pub use process::{Process, free_port, keep_logs_in, wait_until};
pub use prometheus::{Prometheus, Sample, promtool};
pub use redis::Redis;
pub use scrape::{Scrape, get};
pub use sentinel::Sentinel;
pub use wire::{Fault, Wire};

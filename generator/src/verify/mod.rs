//! Whether workers would scale: what Prometheus answers now, and what KEDA and the HPA make of it.
//!
//! Asking ([`observe()`]) stands apart from judging ([`judge()`]), which is pure, and that from telling ([`text()`], [`json()`]).

mod absence;
mod identity;
mod json;
mod judge;
mod nearest;
mod observe;
mod replicas;
mod report;
mod text;

pub use json::json;
pub use judge::judge;
pub use observe::{Observation, WorkerObservation, observe};
pub use report::{
    Decision, ExporterReport, Finding, Kind, QueueReport, Report, TriggerReport, WorkerReport,
};
pub use text::{line, text};

use crate::plan::Plan;

/// The workers whose metrics are in one Prometheus.
#[derive(Debug)]
pub struct Subject<'w> {
    /// The address that KEDA asks.
    pub server_address: &'w str,
    /// The address that is asked from here.
    pub asked: &'w str,
    /// The workers, each with what is generated for it.
    pub plans: Vec<Plan<'w>>,
}

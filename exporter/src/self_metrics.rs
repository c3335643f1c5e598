//! The exporter on itself: what it was built from, its process, and the errors that it met.

use anyhow::{Context as _, Result};
use bullmq_vocabulary::{Metric, metric};
use prometheus::process_collector::ProcessCollector;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::build_info;
use crate::model::ErrorCause;

/// The metrics that are kept between scrapes. Everything about queues is read anew in each scrape and is not kept here.
#[derive(Clone, Debug)]
pub struct SelfMetrics {
    registry: Registry,
    errors: IntCounterVec,
    missed_events: IntCounterVec,
}

impl SelfMetrics {
    /// Registers the metrics, with an error counter at zero for each Redis and cause.
    ///
    /// # Errors
    /// When a name is registered twice.
    pub fn new<'a>(redis_names: impl Iterator<Item = &'a str>) -> Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;

        let info = &metric::EXPORTER_BUILD_INFO;
        let build = IntGaugeVec::new(options(info), info.labels)?;
        let values = [build_info::VERSION, build_info::REVISION, build_info::RUSTC];
        build.with_label_values(&values).set(1);
        registry.register(Box::new(build))?;

        let total = &metric::EXPORTER_ERRORS_TOTAL;
        let errors = IntCounterVec::new(options(total), total.labels)?;
        for name in redis_names {
            for cause in ErrorCause::ALL {
                errors.with_label_values(&[name, cause.as_str()]).reset();
            }
        }
        registry.register(Box::new(errors.clone()))?;

        // Without a series until events are followed.
        let total = &metric::EXPORTER_EVENTS_MISSED_TOTAL;
        let missed_events = IntCounterVec::new(options(total), total.labels)?;
        registry.register(Box::new(missed_events.clone()))?;
        Ok(Self {
            registry,
            errors,
            missed_events,
        })
    }

    /// Counts an error.
    pub fn count_error(&self, redis_name: &str, cause: ErrorCause) {
        self.errors
            .with_label_values(&[redis_name, cause.as_str()])
            .inc();
    }

    /// Counts events that were gone before they were read; the series exists from the first call on.
    pub fn count_missed_events(&self, redis_name: &str, events: u64) {
        self.missed_events
            .with_label_values(&[redis_name])
            .inc_by(events);
    }

    /// Appends the metrics in Prometheus' text format.
    ///
    /// # Errors
    /// When a collector fails.
    pub fn write(&self, text: &mut String) -> Result<()> {
        TextEncoder::new()
            .encode_utf8(&self.registry.gather(), text)
            .context("the exporter's own metrics")
    }
}

fn options(metric: &Metric) -> Opts {
    Opts::new(metric.name, metric.help)
}

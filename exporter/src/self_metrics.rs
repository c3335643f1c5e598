//! The exporter on itself: what it was built from, its process, and the errors that it met.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bullmq_vocabulary::{Kind, Metric, metric};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricType;
use prometheus::{Gauge, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::build_info;
use crate::exposition::Format;
use crate::model::ErrorCause;
use crate::shard::Shard;

/// The metrics that are kept between scrapes. Everything about queues is read anew in each scrape and is not kept here.
#[derive(Clone, Debug)]
pub struct SelfMetrics {
    registry: Registry,
    errors: IntCounterVec,
    reload_successful: IntGauge,
    reload_success: Gauge,
    missed_events: IntCounterVec,
    /// The servers that are read now.
    names: Arc<Mutex<HashSet<String>>>,
}

impl SelfMetrics {
    /// Registers the metrics; those of the configuration file only if there is one, and those of the shard only if there are several.
    ///
    /// # Errors
    /// When a name is registered twice.
    pub fn new(with_file: bool, shard: Shard) -> Result<Self> {
        let registry = Registry::new();
        registry.register(Box::new(ProcessCollector::for_self()))?;

        let info = &metric::EXPORTER_BUILD_INFO;
        let build = IntGaugeVec::new(options(info), info.labels)?;
        let values = [build_info::VERSION, build_info::REVISION, build_info::RUSTC];
        build.with_label_values(&values).set(1);
        registry.register(Box::new(build))?;

        if !shard.is_all() {
            let shards = &metric::EXPORTER_SHARDS;
            let gauge = IntGaugeVec::new(options(shards), shards.labels)?;
            gauge
                .with_label_values(&[shard.index().to_string()])
                .set(shard.count().into());
            registry.register(Box::new(gauge))?;
        }

        let total = &metric::EXPORTER_ERRORS_TOTAL;
        let errors = IntCounterVec::new(options(total), total.labels)?;
        registry.register(Box::new(errors.clone()))?;

        let reload_successful =
            IntGauge::with_opts(options(&metric::EXPORTER_CONFIG_LAST_RELOAD_SUCCESSFUL))?;
        let reload_success = Gauge::with_opts(options(
            &metric::EXPORTER_CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP_SECONDS,
        ))?;
        if with_file {
            registry.register(Box::new(reload_successful.clone()))?;
            registry.register(Box::new(reload_success.clone()))?;
        }
        // Without a series until events are followed.
        let total = &metric::EXPORTER_EVENTS_MISSED_TOTAL;
        let missed_events = IntCounterVec::new(options(total), total.labels)?;
        registry.register(Box::new(missed_events.clone()))?;
        Ok(Self {
            registry,
            errors,
            reload_successful,
            reload_success,
            missed_events,
            names: Arc::default(),
        })
    }

    /// Begins to count the errors of a Redis: at zero for each cause, so that the first of them is an increase.
    pub fn add_redis(&self, name: &str) {
        self.names().insert(name.to_owned());
        for cause in ErrorCause::ALL {
            let _ = self.errors.with_label_values(&[name, cause.as_str()]);
        }
    }

    /// The servers that are read now.
    fn names(&self) -> MutexGuard<'_, HashSet<String>> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Forgets the errors of a Redis that is read no longer. What was under way then may still fail, and is not counted.
    pub fn remove_redis(&self, name: &str) {
        let mut names = self.names();
        names.remove(name);
        for cause in ErrorCause::ALL {
            // One that was never counted is forgotten already.
            let _ = self.errors.remove_label_values(&[name, cause.as_str()]);
        }
        let _ = self.missed_events.remove_label_values(&[name]);
    }

    /// Notes how reading the configuration file ended, and when, since 1970.
    pub fn reloaded(&self, successfully: bool, now: Duration) {
        self.reload_successful.set(i64::from(successfully));
        if successfully {
            self.reload_success.set(now.as_secs_f64());
        }
    }

    /// Counts an error.
    pub fn count_error(&self, redis_name: &str, cause: ErrorCause) {
        let names = self.names();
        if names.contains(redis_name) {
            let errors = &self.errors;
            errors
                .with_label_values(&[redis_name, cause.as_str()])
                .inc();
        }
    }

    /// Counts events that were gone before they were read; the series exists from the first call on.
    pub fn count_missed_events(&self, redis_name: &str, events: u64) {
        let names = self.names();
        if names.contains(redis_name) {
            let missed = &self.missed_events;
            missed.with_label_values(&[redis_name]).inc_by(events);
        }
    }

    /// Appends the metrics as text.
    ///
    /// # Errors
    /// When a collector fails.
    pub fn write(&self, format: Format, text: &mut String) -> Result<()> {
        let families = self.registry.gather();
        let own = "the exporter's own metrics";
        match format {
            Format::Text => TextEncoder::new().encode_utf8(&families, text).context(own),
            // The crate knows no OpenMetrics. Its samples are the same; only the names of counters' families differ.
            Format::OpenMetrics => {
                let mut samples = String::new();
                for family in families {
                    let (name, help) = (family.name(), family.help());
                    let kind = match family.get_field_type() {
                        MetricType::COUNTER => Kind::Counter,
                        MetricType::GAUGE => Kind::Gauge,
                        MetricType::SUMMARY | MetricType::UNTYPED | MetricType::HISTOGRAM => {
                            bail!("{own}: {name} is neither a counter nor a gauge")
                        }
                    };
                    format.write_head(text, name, kind.as_str(), help)?;
                    samples.clear();
                    TextEncoder::new()
                        .encode_utf8(std::slice::from_ref(&family), &mut samples)
                        .context(own)?;
                    for sample in samples.lines().filter(|line| !line.starts_with('#')) {
                        text.push_str(sample);
                        text.push('\n');
                    }
                }
                Ok(())
            }
        }
    }
}

fn options(metric: &Metric) -> Opts {
    Opts::new(metric.name, metric.help)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_after_a_redis_was_removed_does_not_bring_it_back() -> Result<()> {
        let metrics = SelfMetrics::new(false, Shard::ALL)?;
        metrics.add_redis("main");
        metrics.add_redis("extra");
        metrics.count_missed_events("extra", 0);
        metrics.remove_redis("extra");
        for name in ["main", "extra"] {
            metrics.count_error(name, ErrorCause::Timeout);
            metrics.count_missed_events(name, 1);
        }
        let mut text = String::new();
        metrics.write(Format::Text, &mut text)?;
        assert!(!text.contains("extra"), "{text}");
        let counted = "bullmq_exporter_errors_total{cause=\"timeout\",redis=\"main\"} 1";
        assert!(text.contains(counted), "{text}");
        Ok(())
    }
}

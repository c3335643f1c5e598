//! The exporter on itself: what it was built from, its process, and the errors that it met.

use anyhow::{Context as _, Result, bail};
use bullmq_vocabulary::{Kind, Metric, metric};
use prometheus::process_collector::ProcessCollector;
use prometheus::proto::MetricType;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::build_info;
use crate::exposition::Format;
use crate::model::ErrorCause;

/// The metrics that are kept between scrapes. Everything about queues is read anew in each scrape and is not kept here.
#[derive(Clone, Debug)]
pub struct SelfMetrics {
    registry: Registry,
    errors: IntCounterVec,
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
        Ok(Self { registry, errors })
    }

    /// Counts an error.
    pub fn count_error(&self, redis_name: &str, cause: ErrorCause) {
        self.errors
            .with_label_values(&[redis_name, cause.as_str()])
            .inc();
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

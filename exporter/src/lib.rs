//! bullmq-exporter: publishes the true state of every BullMQ queue as Prometheus metrics, read-only.
//!
//! The journey of a scrape is the list of the modules: `http` asks `collect`, which reads `redis` into the `model`, which
//! `exposition` writes out. An import only goes down that list; `redis` and `exposition` never meet.

pub mod build_info;
pub mod collect;
pub mod config;
pub mod exposition;
pub mod http;
pub mod logging;
pub mod model;
pub mod queue_filter;
mod redis;
pub mod self_metrics;
pub mod yaml_file;

use std::io::Write;
use std::sync::Arc;

use anyhow::Result;
use sd_notify::NotifyState;
use tokio::time::Instant;
use tracing::info;

use crate::collect::Collector;
use crate::config::Config;
use crate::exposition::Format;
use crate::http::Site;
use crate::self_metrics::SelfMetrics;

fn site(config: Config) -> Result<Site> {
    let self_metrics = SelfMetrics::new(std::iter::once(config.redis.name.as_ref()))?;
    let collector = Collector::new(config.redis, self_metrics.clone());
    Ok(Site {
        collectors: vec![Arc::new(collector)],
        self_metrics,
        scrape_timeout: config.scrape_timeout,
        paths: config.paths,
        web_config: config.web_config,
    })
}

/// Serves until `shutdown` comes and the open scrapes are answered.
///
/// # Errors
/// When the listen address cannot be opened.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<()> {
    let listener = http::listen(&config.listen_address).await?;
    info!(address = %listener.local_addr()?, "listening");
    let site = Arc::new(site(config)?);
    for collector in &site.collectors {
        let collector = Arc::clone(collector);
        tokio::spawn(async move { collector.keep_discovering().await });
    }
    let following = Arc::clone(&site);
    tokio::spawn(async move { following.web_config.follow().await });
    // Under systemd: others may be started that depend on this. Elsewhere there is nobody to be told.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    http::serve(listener, site, shutdown).await;
    info!("stopped");
    Ok(())
}

/// Looks for queues, writes one scrape to `out`, and returns whether every Redis answered.
///
/// # Errors
/// When `out` cannot be written to.
pub async fn run_once(config: Config, out: &mut impl Write) -> Result<bool> {
    let deadline = Instant::now() + config.scrape_timeout;
    let site = site(config)?;
    for collector in &site.collectors {
        // A failure is logged, and the scrape below says it too. What is found later than the deadline is not waited for.
        let _ = tokio::time::timeout_at(deadline, collector.discover()).await;
    }
    let exposition = site
        .exposition(Instant::now() + site.scrape_timeout, Format::Text)
        .await?;
    out.write_all(exposition.text.as_bytes())?;
    out.flush()?;
    Ok(exposition.all_up)
}

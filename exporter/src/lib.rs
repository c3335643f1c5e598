//! bullmq-exporter: publishes the true state of every BullMQ queue as Prometheus metrics, read-only.
//!
//! The journey of a scrape is the list of the modules: `http` asks `collect`, which reads `redis` into the `model`, which
//! `exposition` writes out. An import only goes down that list; `redis` and `exposition` never meet.

pub mod build_info;
pub mod collect;
pub mod config;
pub mod endpoint;
pub mod exposition;
mod follow;
#[cfg(fuzzing)]
pub mod fuzzing;
pub mod http;
pub mod job_events;
pub mod logging;
pub mod model;
pub mod queue_filter;
mod redis;
pub mod self_metrics;
pub mod servers;
pub mod shard;
pub mod troubles;
pub mod yaml_file;

use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Result;
use bytes::BytesMut;
use futures_util::future::join_all;
use sd_notify::NotifyState;
use tokio::time::Instant;
use tracing::{info, warn};

use crate::config::{Config, ConfigFile};
use crate::exposition::Format;
use crate::http::{Scrape, Site};
use crate::self_metrics::SelfMetrics;
use crate::servers::Servers;

/// How often the configuration file is looked at for a change.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// How many bytes of a scrape are written to standard output at once.
const WRITTEN_AT_ONCE: usize = 64 * 1024;

fn site(config: Config) -> Result<(Site, Option<ConfigFile>)> {
    let self_metrics = SelfMetrics::new(config.file.is_some(), config.shard)?;
    let site = Site {
        servers: Servers::new(config.servers, self_metrics.clone()),
        self_metrics,
        scrape_timeout: config.scrape_timeout,
        started: Instant::now(),
        paths: config.paths,
        web_config: config.web_config,
    };
    Ok((site, config.file))
}

/// What the program is told while it serves.
pub struct Signals<S, R> {
    /// To stop.
    pub shutdown: S,
    /// To read its configuration anew; asked again each time it was told.
    pub reload: R,
}

/// Serves until `shutdown` comes and the open scrapes are answered.
///
/// # Errors
/// When the listen address cannot be opened.
pub async fn run<S, R, F>(config: Config, signals: Signals<S, R>) -> Result<()>
where
    S: Future<Output = ()>,
    R: FnMut() -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let listener = http::listen(&config.listen_address).await?;
    info!(address = %listener.local_addr()?, "listening");
    let (site, file) = site(config)?;
    let site = Arc::new(site);
    site.servers.start();
    let following = Arc::clone(&site);
    tokio::spawn(async move { following.web_config.follow().await });
    if let Some(file) = file {
        let (site, reload) = (Arc::clone(&site), signals.reload);
        tokio::spawn(async move { follow(&file, &site, reload).await });
    }
    // Under systemd: others may be started that depend on this. Elsewhere there is nobody to be told.
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    http::serve(listener, site, signals.shutdown).await;
    info!("stopped");
    Ok(())
}

/// Reads the configuration file anew whenever it changes, and whenever `told` comes. A file that is wrong changes nothing.
async fn follow<F: Future<Output = ()>>(
    file: &ConfigFile,
    site: &Site,
    mut told: impl FnMut() -> F,
) {
    site.self_metrics.reloaded(true, now());
    let mut said = String::new();
    loop {
        let asked = tokio::select! {
            () = told() => true,
            () = tokio::time::sleep(RELOAD_INTERVAL) => false,
        };
        match file.servers() {
            Ok(servers) => {
                let changed = !site.servers.are(&servers);
                if changed {
                    site.servers.replace(servers);
                }
                if changed || asked || !said.is_empty() {
                    site.self_metrics.reloaded(true, now());
                    info!(path = %file.path.display(), changed, "the configuration was read anew");
                }
                said.clear();
            }
            Err(problem) => {
                site.self_metrics.reloaded(false, now());
                let problem = problem.to_string();
                if asked || said != problem {
                    warn!(
                        problem,
                        "the configuration cannot be read anew; the old one stays in force"
                    );
                    said = problem;
                }
            }
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "when a file was read is told by the clock of this machine; every age of Redis by that of Redis"
)]
fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

/// Looks for queues, writes one scrape to `out`, and returns whether every Redis answered.
///
/// # Errors
/// When `out` cannot be written to.
pub async fn run_once(config: Config, out: &mut impl Write) -> Result<bool> {
    let deadline = Instant::now() + config.scrape_timeout;
    let (site, _) = site(config)?;
    // A failure is logged, and the scrape below says it too. What is found later than the deadline is not waited for.
    let collectors = site.servers.collectors();
    let looks = collectors.iter().map(|collector| async {
        let _ = collector.discover().await;
        collector.follow_once().await;
    });
    let _ = tokio::time::timeout_at(deadline, join_all(looks)).await;
    let Scrape { mut page, all_up } = site
        .scrape(Instant::now() + site.scrape_timeout, Format::Text)
        .await?;
    let mut chunk = BytesMut::new();
    while !page.is_done() {
        chunk.clear();
        page.fill(&mut chunk, WRITTEN_AT_ONCE);
        out.write_all(&chunk)?;
    }
    out.flush()?;
    Ok(all_up)
}

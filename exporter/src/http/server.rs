//! Connections: how they are accepted, encrypted and bounded, and how they end.
//!
//! Every connection, handshake, request head, response and shutdown is bounded, so that no client can hold the exporter.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::{sleep, timeout};
use tokio_io_timeout::TimeoutStream;
use tokio_rustls::TlsAcceptor;
use tracing::{debug, info, warn};

use super::Site;
use super::web_config::WebConfig;

/// How many connections are served at once; more wait in the listen queue. Prometheus keeps one open for each server that scrapes.
const MAX_CONNECTIONS: usize = 128;
/// How long a client may take for the handshake of TLS.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take to send a request's head, or stay silent between two requests: longer than the usual scrape interval
/// of a minute.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(75);
/// How large a request's head may be.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// How long a client may read nothing at all of a response.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long open requests may go on after the signal to stop. Kubernetes kills after 30 seconds unless told otherwise.
const DRAIN_LIMIT: Duration = Duration::from_secs(15);
/// How long to wait after a connection could not be accepted, usually because too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often the web config file and the certificates in it are looked at for a change.
const RELOAD_INTERVAL: Duration = Duration::from_secs(2);

/// The web config as it is now: read anew when a file changes, kept when the new one is wrong.
#[derive(Debug, Default)]
pub struct CurrentWebConfig {
    path: Option<PathBuf>,
    current: Mutex<Arc<WebConfig>>,
}

impl CurrentWebConfig {
    /// Reads the file for the first time; without one everything is served to everybody.
    ///
    /// # Errors
    /// When it cannot be used.
    pub fn read(path: Option<&Path>) -> Result<Self> {
        let config = path.map(WebConfig::read).transpose()?.unwrap_or_default();
        Ok(Self {
            path: path.map(Path::to_owned),
            current: Mutex::new(Arc::new(config)),
        })
    }

    /// What is in force now.
    pub(super) fn get(&self) -> Arc<WebConfig> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Follows the files for ever.
    pub async fn follow(&self) {
        let Some(path) = &self.path else {
            return;
        };
        let mut said = false;
        loop {
            sleep(RELOAD_INTERVAL).await;
            match WebConfig::read(path) {
                Ok(config) if config.is_like(&self.get()) => said = false,
                Ok(config) => {
                    *self.current.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
                    said = false;
                    info!(path = %path.display(), "the web config changed and is in force");
                }
                Err(error) => {
                    if !std::mem::replace(&mut said, true) {
                        warn!(
                            error = format!("{error:#}"),
                            "the web config cannot be read anew; the old one stays in force"
                        );
                    }
                }
            }
        }
    }
}

/// Opens the listen address: `host:port`, or `:port` for every address of the machine.
///
/// # Errors
/// When the host is unknown or the port is taken.
pub async fn listen(address: &str) -> Result<TcpListener> {
    let full = if address.starts_with(':') {
        format!("[::]{address}")
    } else {
        address.to_owned()
    };
    let candidates: Vec<SocketAddr> = lookup_host(&full)
        .await
        .with_context(|| format!("--web.listen-address {address}: the host is unknown"))?
        .collect();
    let outcome = TcpListener::bind(candidates.as_slice()).await;
    let outcome = match (outcome, candidates.first()) {
        // A machine without IPv6 has no [::], but it has every address all the same.
        (Err(_), Some(first)) if first.ip() == IpAddr::V6(Ipv6Addr::UNSPECIFIED) => {
            TcpListener::bind((Ipv4Addr::UNSPECIFIED, first.port())).await
        }
        (outcome, _) => outcome,
    };
    outcome.with_context(|| format!("--web.listen-address {address}: cannot listen there"))
}

/// Serves until `shutdown` comes and the open requests are answered.
pub async fn serve(listener: TcpListener, site: Arc<Site>, shutdown: impl Future<Output = ()>) {
    let mut shutdown = pin!(shutdown);
    let graceful = GracefulShutdown::new();
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, stream) = tokio::select! {
            (permit, Ok((stream, _))) = accepted => (permit, stream),
            () = &mut shutdown => break,
            else => {
                debug!("a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (site, watcher) = (Arc::clone(&site), graceful.watcher());
        tokio::spawn(async move {
            serve_connection(stream, site, watcher).await;
            drop(permit);
        });
    }
    drop(listener);
    if timeout(DRAIN_LIMIT, graceful.shutdown()).await.is_err() {
        warn!("open requests were cut off: they took longer than the time to drain");
    }
}

async fn serve_connection(stream: TcpStream, site: Arc<Site>, watcher: Watcher) {
    // A response is written in one go; waiting for more only delays its end.
    let _ = stream.set_nodelay(true);
    let mut stream = TimeoutStream::new(stream);
    stream.set_write_timeout(Some(WRITE_TIMEOUT));
    let stream = Box::pin(stream);
    let Some(tls) = site.web_config.get().tls.clone() else {
        return serve_requests(stream, site, watcher).await;
    };
    match timeout(HANDSHAKE_TIMEOUT, TlsAcceptor::from(tls).accept(stream)).await {
        Ok(Ok(stream)) => serve_requests(stream, site, watcher).await,
        Ok(Err(error)) => debug!(%error, "a handshake of TLS failed"),
        Err(_) => debug!("a handshake of TLS took too long"),
    }
}

async fn serve_requests(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    site: Arc<Site>,
    watcher: Watcher,
) {
    let service = service_fn(move |request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.answer(&request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = watcher.watch(connection).await {
        debug!(%error, "a connection ended early");
    }
}

//! The web side: `/metrics`, health, and a page that says what this is.
//!
//! Every connection, request head and shutdown is bounded, so that no client can hold the exporter.

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use futures_util::future::join_all;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, lookup_host};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tracing::{debug, warn};

use crate::collect::Collector;
use crate::exposition;
use crate::self_metrics::SelfMetrics;

/// How many connections are served at once; more wait in the listen queue. Prometheus keeps one open for each server that scrapes.
const MAX_CONNECTIONS: usize = 128;
/// How long a client may take to send a request's head, or stay silent between two requests: longer than the usual scrape interval
/// of a minute.
const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(75);
/// How large a request's head may be.
const MAX_HEADER_BYTES: usize = 16 * 1024;
/// How long open requests may go on after the signal to stop. Kubernetes kills after 30 seconds unless told otherwise.
const DRAIN_LIMIT: Duration = Duration::from_secs(15);
/// How long to wait after a connection could not be accepted, usually because too many files are open.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The header by which Prometheus says how long it will wait for a scrape.
const SCRAPE_TIMEOUT_HEADER: HeaderName =
    HeaderName::from_static("x-prometheus-scrape-timeout-seconds");
/// How much earlier than Prometheus expects the answer is given, for the way there and back.
const SCRAPE_TIMEOUT_MARGIN: Duration = Duration::from_millis(500);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const LANDING_PAGE: &str = include_str!("landing.html");

/// What the web side serves.
#[derive(Debug)]
pub struct Site {
    /// The Redis servers.
    pub collectors: Vec<Arc<Collector>>,
    /// The exporter's own metrics.
    pub self_metrics: SelfMetrics,
    /// How long a scrape may take at most, whatever Prometheus says.
    pub scrape_timeout: Duration,
}

impl Site {
    /// One exposition, complete by the deadline.
    ///
    /// # Errors
    /// When the exporter's own metrics cannot be gathered.
    pub async fn exposition(&self, deadline: Instant) -> Result<Exposition> {
        let snapshots = join_all(
            self.collectors
                .iter()
                .map(|collector| collector.collect(deadline)),
        )
        .await;
        let mut text = String::new();
        let snapshots: Vec<_> = snapshots.iter().map(AsRef::as_ref).collect();
        exposition::write(&snapshots, &mut text)?;
        self.self_metrics.write(&mut text)?;
        Ok(Exposition {
            text,
            all_up: snapshots.iter().all(|snapshot| snapshot.up),
        })
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        if !matches!(*request.method(), Method::GET | Method::HEAD) {
            let mut response = respond(
                StatusCode::METHOD_NOT_ALLOWED,
                TEXT,
                "Only GET and HEAD are served.\n",
            );
            response
                .headers_mut()
                .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
            return response;
        }
        match request.uri().path() {
            "/metrics" => self.metrics(request.headers()).await,
            "/" => respond(StatusCode::OK, HTML, LANDING_PAGE),
            // Health says that this process serves. It does not depend on Redis: an exporter taken out of service while Redis is
            // gone could not tell that Redis is gone.
            "/-/healthy" | "/healthz" => {
                respond(StatusCode::OK, TEXT, "bullmq-exporter is healthy.\n")
            }
            "/-/ready" | "/readyz" => respond(StatusCode::OK, TEXT, "bullmq-exporter is ready.\n"),
            _ => respond(
                StatusCode::NOT_FOUND,
                TEXT,
                "There is no such page; / lists what there is.\n",
            ),
        }
    }

    async fn metrics(&self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let patience = patience(headers, self.scrape_timeout);
        match self.exposition(Instant::now() + patience).await {
            Ok(Exposition { text, .. }) => respond(
                StatusCode::OK,
                HeaderValue::from_static(exposition::CONTENT_TYPE),
                text,
            ),
            Err(error) => {
                warn!(error = format!("{error:#}"), "a scrape failed");
                respond(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    TEXT,
                    "The scrape failed; the log says why.\n",
                )
            }
        }
    }
}

/// What a scrape is answered with.
#[derive(Debug)]
pub struct Exposition {
    /// The text.
    pub text: String,
    /// Whether every Redis answered.
    pub all_up: bool,
}

fn respond(
    status: StatusCode,
    content_type: HeaderValue,
    body: impl Into<Bytes>,
) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

/// How long a scrape may take: what Prometheus says, less a margin, and never more than `longest`.
///
/// A scrape timeout that the margin would eat up is halved instead, so that there is always time both to read and to answer.
fn patience(headers: &HeaderMap, longest: Duration) -> Duration {
    let said = headers
        .get(SCRAPE_TIMEOUT_HEADER)
        .and_then(|value| value.to_str().ok()?.parse::<f64>().ok())
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .filter(|said| !said.is_zero());
    match said {
        Some(said) => said
            .saturating_sub(SCRAPE_TIMEOUT_MARGIN)
            .max(said / 2)
            .min(longest),
        None => longest,
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
    let mut shutdown = std::pin::pin!(shutdown);
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
        let site = Arc::clone(&site);
        let service = service_fn(move |request| {
            let site = Arc::clone(&site);
            async move { Ok::<_, Infallible>(site.answer(&request).await) }
        });
        let connection = http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_READ_TIMEOUT)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                debug!(%error, "a connection ended early");
            }
            drop(permit);
        });
    }
    drop(listener);
    if timeout(DRAIN_LIMIT, graceful.shutdown()).await.is_err() {
        warn!("open requests were cut off: they took longer than the time to drain");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_answers_before_prometheus_gives_up() {
        let longest = Duration::from_secs(10);
        for (said, expected_millis) in [
            (None, 10_000),
            (Some("10"), 9_500),
            (Some("3.5"), 3_000),
            (Some("60"), 10_000),
            (Some("0.2"), 100),
            (Some("0.9"), 450),
            (Some("0"), 10_000),
            (Some("-1"), 10_000),
            (Some("NaN"), 10_000),
            (Some("1e300"), 10_000),
            (Some("soon"), 10_000),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(said) = said {
                headers.insert(SCRAPE_TIMEOUT_HEADER, HeaderValue::from_static(said));
            }
            let expected = Duration::from_millis(expected_millis);
            assert_eq!(patience(&headers, longest), expected, "{said:?}");
        }
    }
}

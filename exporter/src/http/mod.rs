//! The web side: `/metrics`, health, and a page that shows how the queues stand.

mod body;
mod compress;
#[cfg(fuzzing)]
pub mod fuzzing;
mod negotiation;
mod piece;
mod server;
mod status;
mod users;
mod web_config;

use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap,
    HeaderName, HeaderValue, LOCATION, REFERRER_POLICY, VARY, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio::task::spawn_blocking;
use tokio::time::Instant;
use tracing::warn;

use crate::exposition::{Format, Page};
use crate::self_metrics::SelfMetrics;
use crate::servers::Servers;
use body::Pieces;

pub use server::{CurrentWebConfig, listen, serve};

/// The header by which Prometheus says how long it will wait for a scrape.
const SCRAPE_TIMEOUT_HEADER: HeaderName =
    HeaderName::from_static("x-prometheus-scrape-timeout-seconds");
/// How much earlier than Prometheus expects the answer is given, for the way there and back.
const SCRAPE_TIMEOUT_MARGIN: Duration = Duration::from_millis(500);

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const HTML: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");
const CSS: HeaderValue = HeaderValue::from_static("text/css; charset=utf-8");
const JAVASCRIPT: HeaderValue = HeaderValue::from_static("text/javascript; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The paths of the pages that are no metrics.
pub const OTHER_PAGES: [&str; 8] = [
    "/",
    "/status.css",
    "/status.js",
    "/api/v1/status",
    "/-/healthy",
    "/healthz",
    "/-/ready",
    "/readyz",
];

/// What the web side serves.
#[derive(Debug)]
pub struct Site {
    /// The Redis servers.
    pub servers: Servers,
    /// The exporter's own metrics.
    pub self_metrics: SelfMetrics,
    /// How long a scrape may take at most, whatever Prometheus says.
    pub scrape_timeout: Duration,
    /// When the exporter began.
    pub started: Instant,
    /// Where the pages are.
    pub paths: Paths,
    /// TLS, users and headers.
    pub web_config: CurrentWebConfig,
}

/// Where the pages are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paths {
    /// What every path begins with: nothing, or a slash and a word, without a slash at its end.
    pub prefix: String,
    /// The path of the metrics behind the prefix, with a slash at its beginning.
    pub telemetry: String,
}

impl Site {
    /// One scrape, complete by the deadline.
    ///
    /// # Errors
    /// When the exporter's own metrics cannot be gathered.
    pub async fn scrape(&self, deadline: Instant, format: Format) -> Result<Scrape> {
        let snapshots = self.servers.collect(deadline).await;
        let all_up = snapshots.iter().all(|snapshot| snapshot.up);
        let mut own = String::new();
        self.self_metrics.write(format, &mut own)?;
        Ok(Scrape {
            page: Page::new(snapshots, format, own),
            all_up,
        })
    }

    async fn answer(&self, request: &Request<Incoming>) -> Response<Pieces> {
        let config = self.web_config.get();
        let refused = match &config.users {
            Some(users) => !users.let_in(request.headers()).await,
            None => false,
        };
        let mut response = if refused {
            let mut response = respond(
                StatusCode::UNAUTHORIZED,
                TEXT,
                "A user and a password are needed.\n",
            );
            let realm = HeaderValue::from_static("Basic realm=\"bullmq-exporter\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, realm);
            response
        } else {
            self.page(request).await
        };
        for (name, value) in &config.headers {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }

    async fn page(&self, request: &Request<Incoming>) -> Response<Pieces> {
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
        let path = request.uri().path().strip_prefix(&*self.paths.prefix);
        match path {
            Some(path) if path == self.paths.telemetry => self.metrics(request).await,
            Some("/") => {
                let page = self.status().page(request.uri().query());
                self.answer_status(page, HTML, request.headers()).await
            }
            Some("/api/v1/status") => {
                let json = self.status().json(request.uri().query());
                self.answer_status(json, JSON, request.headers()).await
            }
            Some("/status.css") => asset(CSS, status::STYLE),
            Some("/status.js") => asset(JAVASCRIPT, status::SCRIPT),
            // The page's links are relative to its folder.
            Some("") => self.to_the_folder(),
            // Health says that this process serves. It does not depend on Redis: an exporter taken out of service while Redis is
            // gone could not tell that Redis is gone.
            Some("/-/healthy" | "/healthz") => {
                respond(StatusCode::OK, TEXT, "bullmq-exporter is healthy.\n")
            }
            Some("/-/ready" | "/readyz") => {
                respond(StatusCode::OK, TEXT, "bullmq-exporter is ready.\n")
            }
            _ => respond(
                StatusCode::NOT_FOUND,
                TEXT,
                format!(
                    "There is no such page; {}/ lists what there is.\n",
                    self.paths.prefix
                ),
            ),
        }
    }

    const fn status(&self) -> status::Reader<'_> {
        status::Reader {
            servers: &self.servers,
            started: self.started,
            telemetry: self.paths.telemetry.as_str(),
        }
    }

    /// Answers with the status, or with what is wrong with the request.
    async fn answer_status(
        &self,
        made: Result<Result<String, String>>,
        content_type: HeaderValue,
        headers: &HeaderMap,
    ) -> Response<Pieces> {
        let answer = match made {
            Ok(Ok(text)) => encode(text.into(), negotiation::takes_gzip(headers)).await,
            Ok(Err(problem)) => {
                return respond(StatusCode::BAD_REQUEST, TEXT, format!("{problem}\n"));
            }
            Err(error) => Err(error),
        };
        let (body, compressed) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                warn!(error = format!("{error:#}"), "the status cannot be shown");
                return respond(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    TEXT,
                    "The status cannot be shown; the log says why.\n",
                );
            }
        };
        let mut response = respond(StatusCode::OK, content_type, body);
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Accept-Encoding"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let policy = HeaderValue::from_static(status::CONTENT_SECURITY_POLICY);
        headers.insert(CONTENT_SECURITY_POLICY, policy);
        if compressed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }

    fn to_the_folder(&self) -> Response<Pieces> {
        let mut response = respond(StatusCode::PERMANENT_REDIRECT, TEXT, "");
        // The prefix was checked when the configuration was read: it has letters, digits and a few marks.
        if let Ok(location) = HeaderValue::from_str(&format!("{}/", self.paths.prefix)) {
            response.headers_mut().insert(LOCATION, location);
        }
        response
    }

    async fn metrics(&self, request: &Request<Incoming>) -> Response<Pieces> {
        let headers = request.headers();
        let patience = patience(headers, self.scrape_timeout);
        let format = negotiation::format(headers);
        let takes_gzip = negotiation::takes_gzip(headers);
        let scrape = self.scrape(Instant::now() + patience, format).await;
        let answer = match scrape {
            // A client of HTTP/1.0 could not tell an answer that was cut off from a whole one, were its length not said before.
            Ok(Scrape { page, .. }) if request.version() < Version::HTTP_11 => {
                write_out(page, takes_gzip, usize::MAX).await
            }
            Ok(Scrape { page, .. }) => write_out(page, takes_gzip, piece::PIECE).await,
            Err(error) => Err(error),
        };
        let (body, compressed) = match answer {
            Ok(answer) => answer,
            Err(error) => {
                warn!(error = format!("{error:#}"), "a scrape failed");
                return respond(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    TEXT,
                    "The scrape failed; the log says why.\n",
                );
            }
        };
        let content_type = HeaderValue::from_static(format.content_type());
        let mut response = respond(StatusCode::OK, content_type, body);
        let headers = response.headers_mut();
        headers.insert(VARY, HeaderValue::from_static("Accept, Accept-Encoding"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if compressed {
            headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        response
    }
}

/// The body of a page, and whether it is compressed. A page that is no longer than this is made whole, so that its length is known.
async fn write_out(mut page: Page, takes_gzip: bool, longest: usize) -> Result<(Pieces, bool)> {
    let mut first = piece::piece();
    page.fill(&mut first, longest);
    Ok(match (page.is_done(), takes_gzip) {
        (true, _) => {
            let (whole, compressed) = encode(first.freeze(), takes_gzip).await?;
            (whole.into(), compressed)
        }
        (false, true) => (Pieces::compressed(page, first), true),
        (false, false) => (Pieces::of_page(page, first), false),
    })
}

/// The body, and whether it is compressed. More than a piece is compressed by another thread: others would wait for it.
async fn encode(text: Bytes, takes_gzip: bool) -> Result<(Bytes, bool)> {
    if !takes_gzip || !compress::worth_compressing(text.len()) {
        return Ok((text, false));
    }
    let compressed = if text.len() <= piece::PIECE {
        compress::gzip(&text)?
    } else {
        let compressed = spawn_blocking(move || compress::gzip(&text)).await;
        compressed.context("compressing")??
    };
    Ok((compressed.into(), true))
}

/// What a scrape is answered with.
#[derive(Debug)]
pub struct Scrape {
    /// What is told, not written yet.
    pub page: Page,
    /// Whether every Redis answered.
    pub all_up: bool,
}

fn respond(
    status: StatusCode,
    content_type: HeaderValue,
    body: impl Into<Pieces>,
) -> Response<Pieces> {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // What is searched for stands in the address.
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

/// A file of the page. It is asked for anew with each page, as a new exporter may bring a new one.
fn asset(content_type: HeaderValue, text: &'static str) -> Response<Pieces> {
    let mut response = respond(StatusCode::OK, content_type, text);
    response
        .headers_mut()
        .insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
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

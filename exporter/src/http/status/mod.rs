//! The status page, its JSON, and the two files that the page needs.
//!
//! Both are made from what the last scrapes told, so that looking at them asks Redis nothing. The page is whole without its script: that
//! fetches the page anew, as does a browser without it, and only keeps what the reader has opened and where the reader is. What Redis
//! said reaches the page through the template, which escapes every value, and nothing inline may run.

mod document;
#[cfg(fuzzing)]
pub(super) mod fuzzing;
mod listing;
mod words;

use std::time::Duration;

use anyhow::{Context as _, Result};
use askama::Template;
use bullmq_vocabulary::DEFAULT_PREFIX;
use tokio::time::Instant;

use crate::servers::Servers;
use document::{ServerState, Status, Warning};
use listing::{Listing, Order, Problem, Show, Sort};

/// How often the page is read anew: scrapes come every 15 seconds or more, and it should not be much older than they are.
const REFRESH: Duration = Duration::from_secs(10);

/// What the page may load and do: its own style and script, and to ask for itself. It may stand in no frame.
pub(super) const CONTENT_SECURITY_POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The script of the page.
pub(super) const SCRIPT: &str = include_str!("../../../templates/status.js");
/// The style of the page.
pub(super) const STYLE: &str = include_str!("../../../templates/status.css");

/// The page.
#[derive(Template)]
#[template(path = "status.html")]
struct Page<'a> {
    status: &'a Status,
    listing: &'a Listing,
    columns: Vec<Column>,
    /// The path of the metrics, relative to the page.
    telemetry: &'a str,
    refresh_seconds: u64,
    /// Whether there are several servers, so that each queue says where it is.
    several: bool,
}

/// The head of a column.
struct Column {
    title: &'static str,
    word: &'static str,
    href: String,
    /// The value of `aria-sort`, if the table is sorted by it.
    sorted: Option<&'static str>,
}

/// The servers' status.
#[derive(Debug)]
pub(super) struct Reader<'a> {
    /// The servers.
    pub(super) servers: &'a Servers,
    /// When the exporter began.
    pub(super) started: Instant,
    /// The path of the metrics behind the prefix.
    pub(super) telemetry: &'a str,
}

impl Reader<'_> {
    fn status(&self, listing: &Listing) -> Status {
        Status::new(
            &self.servers.standing(),
            self.started,
            Instant::now(),
            listing,
        )
    }

    /// The page.
    ///
    /// # Errors
    /// The outer one when it cannot be made; the inner one when the query string asks for what there is not.
    pub(super) fn page(&self, query: Option<&str>) -> Result<Result<String, String>> {
        let listing = match Listing::parse(query) {
            Ok(listing) => Listing {
                // More than that is for programs.
                limit: listing.limit.min(listing::QUEUES_LISTED),
                ..listing
            },
            Err(problem) => return Ok(Err(problem)),
        };
        html(&self.status(&listing), &listing, self.telemetry).map(Ok)
    }

    /// The JSON.
    ///
    /// # Errors
    /// The same as for the page.
    pub(super) fn json(&self, query: Option<&str>) -> Result<Result<String, String>> {
        Ok(match Listing::parse(query) {
            Ok(listing) => {
                let mut text = serde_json::to_string(&self.status(&listing))?;
                text.push('\n');
                Ok(text)
            }
            Err(problem) => Err(problem),
        })
    }
}

/// The page as it is sent.
fn html(status: &Status, listing: &Listing, telemetry: &str) -> Result<String> {
    let column = |sort: Sort| Column {
        title: sort.title(),
        word: sort.as_str(),
        href: listing.sorted_by(sort),
        sorted: (sort == listing.sort).then(|| listing.order.aria()),
    };
    let page = Page {
        columns: Sort::COLUMNS.into_iter().map(column).collect(),
        telemetry: telemetry.trim_start_matches('/'),
        refresh_seconds: REFRESH.as_secs(),
        several: status.servers.len() > 1,
        status,
        listing,
    };
    page.render().context("the status page")
}

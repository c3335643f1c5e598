//! Doors to what a request says.

use std::path::Path;
use std::time::Duration;

use hyper::header::{HeaderMap, HeaderValue};

use super::status::fuzzing as status;
use super::web_config::WebConfig;
use super::{SCRAPE_TIMEOUT_HEADER, negotiation, users};
use crate::exposition::Format;

pub use status::{Asked, listing};

/// The format that is answered with, and whether it is compressed.
pub fn negotiate(headers: &HeaderMap) -> (Format, bool) {
    (
        negotiation::format(headers),
        negotiation::takes_gzip(headers),
    )
}

/// How long a scrape may take.
pub fn patience(said: &HeaderValue, longest: Duration) -> Duration {
    let headers = HeaderMap::from_iter([(SCRAPE_TIMEOUT_HEADER, said.clone())]);
    super::patience(&headers, longest)
}

/// The user and the password of a request.
pub fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    users::credentials(headers)
}

/// Reads a web configuration as if it stood in the file; what is wrong with it, if anything.
///
/// # Errors
/// With the sentence that the user sees.
pub fn web_config(path: &Path, text: &str) -> Result<(), String> {
    let file = crate::yaml_file::YamlFile::of(path, text.to_owned());
    WebConfig::of(&file)
        .map(|_| ())
        .map_err(|problem| format!("{problem:#}"))
}

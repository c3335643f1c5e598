//! Doors to what a user writes.

use std::path::Path;

use super::{file, redis_url};
use crate::endpoint::Endpoint;
use crate::yaml_file::YamlFile;

/// Reads a configuration as if it stood in the file: the names of its servers, and what their settings print as.
///
/// # Errors
/// With the sentence that the user sees.
pub fn file(path: &Path, text: &str) -> Result<Vec<(String, String)>, String> {
    let yaml = YamlFile::of(path, text.to_owned());
    let servers = file::servers(&yaml, false).map_err(|problem| problem.to_string())?;
    let shown = servers.iter().map(|server| {
        let printed = format!("{server:?} {}", server.endpoint);
        (server.name.as_ref().to_owned(), printed)
    });
    Ok(shown.collect())
}

/// Reads the URL of a Redis.
///
/// # Errors
/// With the sentence that the user sees.
pub fn redis_url(url: &str) -> Result<Endpoint, String> {
    redis_url::parse(url)
}

/// The URL as it is shown.
pub fn without_credentials(url: &str) -> String {
    redis_url::without_credentials(url)
}

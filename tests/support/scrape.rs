//! An HTTP answer of the exporter, and the samples in it.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// Asks `url` by GET and returns the status and the body.
///
/// # Errors
/// When there is no answer within `limit`.
pub fn get(url: &str, headers: &[(&str, &str)], limit: Duration) -> Result<(u16, String)> {
    let agent = ureq::Agent::new_with_config(
        ureq::Agent::config_builder()
            .timeout_global(Some(limit))
            // What is asked here stands on this machine; a proxy would not find it.
            .proxy(None)
            .http_status_as_error(false)
            .build(),
    );
    let mut request = agent.get(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut response = request.call().with_context(|| format!("GET {url}"))?;
    let body = response
        .body_mut()
        .with_config()
        .limit(u64::MAX)
        .read_to_string()?;
    Ok((response.status().as_u16(), body))
}

/// One exposition in the text format.
#[derive(Clone, Debug)]
pub struct Scrape {
    /// The text as it was served.
    pub text: String,
}

impl Scrape {
    /// The value of the one sample of `metric` that carries all of `labels`, or nothing if there is none.
    ///
    /// Label values are compared as they stand between the quotes, so they are written escaped here.
    pub fn value(&self, metric: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let wanted: Vec<String> = labels
            .iter()
            .map(|(key, value)| format!("{key}=\"{value}\""))
            .collect();
        let mut found = self.samples(metric).filter(|(sample_labels, _)| {
            wanted
                .iter()
                .all(|label| sample_labels.contains(label.as_str()))
        });
        let (_, value) = found.next()?;
        Some(value)
    }

    /// The same for one queue of the default prefix.
    pub fn of_queue(&self, metric: &str, queue: &str) -> Option<f64> {
        self.value(metric, &[("queue", queue)])
    }

    /// The number of jobs of a queue in a state.
    pub fn job_count(&self, queue: &str, state: &str) -> Option<f64> {
        self.value("bullmq_job_count", &[("queue", queue), ("state", state)])
    }

    /// Every sample of `metric`: its labels as text, and its value.
    pub fn samples<'a>(&'a self, metric: &'a str) -> impl Iterator<Item = (&'a str, f64)> + 'a {
        self.text.lines().filter_map(move |line| {
            let rest = line.strip_prefix(metric)?;
            let (labels, value) = match rest.strip_prefix('{') {
                Some(rest) => rest.rsplit_once("} ")?,
                None => ("", rest.strip_prefix(' ')?),
            };
            Some((labels, value.parse().ok()?))
        })
    }

    /// Whether any series of the queue is served.
    pub fn mentions_queue(&self, queue: &str) -> bool {
        self.text.contains(&format!("queue=\"{queue}\""))
    }
}

//! A page of metrics, sorted by server and queue.

use std::collections::BTreeMap;

/// The samples of one queue, by the metric's name and, for those that have one more label, its value: `bullmq_job_count/waiting`.
pub(crate) type Samples = BTreeMap<String, f64>;

/// What a page tells of one server.
#[derive(Debug, Default)]
pub(crate) struct Server {
    pub(crate) up: Option<f64>,
    /// By prefix and name.
    pub(crate) queues: BTreeMap<(String, String), Samples>,
    pub(crate) missed: Option<f64>,
    /// For how long what is told had been read when it was told: since when it may have been true.
    pub(crate) seconds: f64,
}

/// What a page tells, by the name of the server.
#[derive(Debug, Default)]
pub(crate) struct Page {
    pub(crate) servers: BTreeMap<String, Server>,
    /// Whether the file of servers is the one that was read last.
    pub(crate) reloaded: Option<f64>,
}

impl Page {
    /// Reads the text format. The names that are used here hold nothing that is escaped.
    pub(crate) fn read(text: &str) -> Self {
        let mut page = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let Ok(value) = value.parse::<f64>() else {
                continue;
            };
            let (metric, labels) = series.split_once('{').unwrap_or((series, ""));
            if metric == "bullmq_exporter_config_last_reload_successful" {
                page.reloaded = Some(value);
            }
            let (mut redis, mut prefix, mut queue, mut other) = (None, None, None, None);
            for label in labels.trim_end_matches('}').split("\",") {
                let Some((name, value)) = label.split_once("=\"") else {
                    continue;
                };
                let place = match name {
                    "redis" => &mut redis,
                    "prefix" => &mut prefix,
                    "queue" => &mut queue,
                    _ => &mut other,
                };
                *place = Some(value.trim_end_matches('"').to_owned());
            }
            let Some(redis) = redis else { continue };
            let server = page.servers.entry(redis).or_default();
            match (metric, prefix, queue) {
                ("bullmq_up", ..) => server.up = Some(value),
                ("bullmq_exporter_scrape_duration_seconds", ..) => server.seconds = value,
                ("bullmq_exporter_events_missed_total", ..) => server.missed = Some(value),
                (_, Some(prefix), Some(queue)) => {
                    let samples = server.queues.entry((prefix, queue)).or_default();
                    let name = other
                        .map_or_else(|| metric.to_owned(), |other| format!("{metric}/{other}"));
                    samples.insert(name, value);
                }
                _ => {}
            }
        }
        page
    }
}

//! The demo's `spec.yaml`: what of it the worker processes need, and its copy for the private Prometheus.

use anyhow::{Context as _, Result, bail, ensure};
use serde::Deserialize;

const FIELD: &str = "serverAddress: ";

/// The one worker of the spec; `bullmq-keda` reads all the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Spec {
    text: String,
    /// The queue that the worker takes jobs from.
    pub(crate) queue: String,
    /// How many jobs one worker process runs at once.
    pub(crate) concurrency: u32,
}

#[derive(Deserialize)]
struct Fields {
    workers: Vec<Worker>,
}

#[derive(Deserialize)]
struct Worker {
    queues: Vec<String>,
    concurrency: u32,
}

impl Spec {
    /// Reads a spec of one worker with one queue.
    pub(crate) fn from_yaml(text: &str) -> Result<Self> {
        let fields: Fields = serde_saphyr::from_str(text).context("reading the spec")?;
        let [worker] = fields.workers.as_slice() else {
            bail!("the demo plays one worker, not {}", fields.workers.len());
        };
        let [queue] = worker.queues.as_slice() else {
            bail!("the demo plays one queue, not {}", worker.queues.len());
        };
        Ok(Self {
            text: text.to_owned(),
            queue: queue.clone(),
            concurrency: worker.concurrency,
        })
    }

    /// The spec with another `serverAddress`, and otherwise as it was written.
    pub(crate) fn with_server_address(&self, server_address: &str) -> Result<String> {
        let (before, rest) = self
            .text
            .split_once(FIELD)
            .context("the spec names no serverAddress")?;
        let (_, after) = rest.split_once('\n').context("the spec ends too early")?;
        ensure!(
            !after.contains(FIELD),
            "the spec names two server addresses"
        );
        Ok(format!("{before}{FIELD}{server_address}\n{after}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_server_address_of_the_committed_spec_is_replaced() {
        let text = include_str!("../spec.yaml");
        let copy = Spec::from_yaml(text)
            .unwrap()
            .with_server_address("http://127.0.0.1:1")
            .unwrap();
        let changed: Vec<_> = text
            .lines()
            .zip(copy.lines())
            .filter(|(old, new)| old != new)
            .collect();
        let [(_, new)] = changed.as_slice() else {
            panic!("{changed:?}")
        };
        assert_eq!(*new, "  serverAddress: http://127.0.0.1:1");
    }

    #[test]
    fn a_spec_that_the_demo_cannot_play_is_refused() {
        for (text, complaint) in [
            ("workers: []", "one worker"),
            ("workers: [{queues: [a, b], concurrency: 1}]", "one queue"),
        ] {
            let error = Spec::from_yaml(text).unwrap_err();
            assert!(error.to_string().contains(complaint), "{error:#}");
        }
    }
}

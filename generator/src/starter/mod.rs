//! Starter specs: from the queues that an exporter serves ([`from_metrics`]), or from a ScaledObject that counts a Redis list
//! ([`from_scaled_objects`]).
//!
//! What is printed is a valid spec as it stands, for whatever names. Each value that nobody told is marked `guess:` with the figure
//! it came from, or with the words that there is none.

mod facts;
mod metrics;
mod name;
mod scaled_object;
mod text;

pub use metrics::from_metrics;
pub use scaled_object::from_scaled_objects;

/// What is told beside the metrics.
#[derive(Clone, Debug, Default)]
pub struct Wishes {
    /// Where the metrics come from, for the first line.
    pub source: String,
    /// The address of Prometheus as KEDA reaches it.
    pub server_address: Option<String>,
    /// The namespace of the workers.
    pub namespace: Option<String>,
    /// Patterns of queue names; without any, every queue is taken.
    pub queues: Vec<String>,
}

/// A spec that was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Starter {
    /// The spec.
    pub text: String,
    /// What was left out, a sentence each.
    pub notes: Vec<String>,
}

/// Why there is no spec.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Nothing {
    /// These are metrics of another program.
    #[error(
        "there is no `bullmq_queue_up` and no `bullmq_up` in these metrics: they are not bullmq-exporter's; BullMQ's own `exportPrometheusMetrics` \
         has neither due jobs nor demand, and cannot scale to zero"
    )]
    NotOurs,
    /// The exporter reaches no Redis.
    #[error("the exporter does not reach Redis ({0}); see its log and its page at `/`")]
    NoRedis(String),
    /// There is no queue.
    #[error(
        "the exporter has found no queue; one is there from its first job on, under the prefix `bull` unless `--bullmq.prefix` says otherwise"
    )]
    NoQueue,
    /// There are queues, and none can be used.
    #[error("{}", match .0 {
        1 => "the one queue that is there cannot be used".to_owned(),
        queues => format!("none of the {queues} queues can be used"),
    })]
    NoneUsable(usize),
    /// No queue has a name that was asked for.
    #[error("{}", match .queues {
        1 => format!("the one queue that is there, {some}, does not match {patterns}"),
        queues => format!("none of the {queues} queues matches {patterns}; there are {some}"),
    })]
    NoMatch {
        /// How many queues there are.
        queues: usize,
        /// What was asked for.
        patterns: String,
        /// Some of those that are there.
        some: String,
    },
    /// More than a spec holds.
    #[error(
        "{0} queues are more than one spec holds; choose some with `--queue PATTERN`, and make several specs"
    )]
    TooMany(usize),
}

//! What the targets share: bytes as a script of decisions, and a Redis that answers by one.

pub mod redis;
pub mod script;

use std::sync::Arc;
use std::time::Duration;

use bullmq_exporter::exposition::{Format, Page};
use bullmq_exporter::model::{QueueId, QueueReading, Snapshot};
use bytes::BytesMut;

/// A queue of this prefix and name.
pub fn queue(prefix: &str, name: &str) -> QueueId {
    QueueId {
        prefix: prefix.into(),
        name: name.into(),
    }
}

/// The prefixes that queues are looked for under.
pub fn prefixes() -> Vec<Arc<str>> {
    vec!["app".into(), "app:prod".into(), "bull".into()]
}

/// Splits the bytes into texts at each line feed that stands alone, as a seed is easily written; the last takes the rest.
pub fn texts<const N: usize>(data: &[u8]) -> Option<[&str; N]> {
    let text = str::from_utf8(data).ok()?;
    let parts: Vec<&str> = text.splitn(N, '\n').collect();
    parts.try_into().ok()
}

/// A Redis called `redis`, as it was read in one scrape.
pub fn snapshot(
    redis: &str,
    horizons: &[Duration],
    queues: Vec<(QueueId, QueueReading)>,
) -> Snapshot {
    Snapshot {
        redis: redis.into(),
        up: true,
        duration: Duration::ZERO,
        discovery: None,
        horizons: horizons.into(),
        facts: None,
        workers: Vec::new(),
        events: Vec::new(),
        queues,
    }
}

/// The snapshot as it is served, whole.
pub fn served(snapshot: Snapshot, format: Format) -> String {
    let mut page = Page::new(vec![Arc::new(snapshot)], format, String::new());
    let mut out = BytesMut::new();
    page.fill(&mut out, usize::MAX);
    assert!(page.is_done());
    String::from_utf8(out.to_vec()).expect("a text")
}

//! The text of ten thousand queues: our own writer beside the encoders of the crates `prometheus` and `prometheus-client`.
//!
//! All three write the same series, which is checked first by reading their texts. A registry has to be filled in each scrape before it can be
//! encoded, and made anew, or it would go on telling of queues that are gone; that is measured apart.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bullmq_exporter::exposition::{Format, Page};
use bullmq_exporter::model::{
    Flavor, JobCounts, QueueId, QueueReading, QueueSnapshot, RateLimit, Schedulers, Snapshot,
    Workers,
};
use bytes::BytesMut;
use divan::{AllocProfiler, Bencher, black_box};
use prometheus::{Encoder as _, GaugeVec, Opts, Registry, TextEncoder};
use prometheus_client::encoding::text;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry as ClientRegistry;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

const QUEUES: u64 = 10_000;

/// How much is written before it is sent, as the exporter does it.
const PIECE: usize = 64 * 1024;

fn main() {
    let series = read(&ours());
    let families = families(&series);
    assert_eq!(
        series,
        read(&encode(&filled(&families))),
        "the series of prometheus"
    );
    assert_eq!(
        series,
        read(&encode_client(&filled_client(&families))),
        "the series of prometheus-client"
    );
    divan::main();
}

/// Ten thousand queues with jobs in every state.
fn snapshot() -> Arc<Snapshot> {
    let queue = |number: u64| {
        let read = QueueSnapshot {
            counts: JobCounts {
                waiting: number % 1000,
                paused: 0,
                active: number % 50,
                delayed: 20,
                prioritized: number % 7,
                waiting_children: 0,
                completed: 1000 + number,
                failed: number % 100,
            },
            delayed_due: 3,
            delayed_due_within: vec![1, 2, 4, 8],
            oldest_ready_age: Some(Duration::from_millis(number * 17)),
            longest_active: Some(Duration::from_millis(number * 3)),
            orphaned: Some(false),
            concurrency_limit: Some(50),
            rate_limit: Some(RateLimit::default()),
            schedulers: Some(Schedulers { all: 2, overdue: 0 }),
            flavor: Flavor::BullMq,
            version: "6.7.0".to_owned(),
            added: Some(number * 1_000),
            completed: Some(number * 900),
            failed: Some(number),
            ..QueueSnapshot::default()
        };
        let id = QueueId {
            prefix: "bull".into(),
            name: format!("queue-{number:06}").into(),
        };
        (id, QueueReading::Read(Arc::new(read)))
    };
    let queues: Vec<_> = (0..QUEUES).map(queue).collect();
    Arc::new(Snapshot {
        redis: "default".into(),
        up: true,
        duration: Duration::from_millis(500),
        discovery: None,
        horizons: [30, 60, 120, 300].map(Duration::from_secs).into(),
        facts: None,
        workers: vec![
            Some(Workers {
                connected: 3,
                idle: 1
            });
            queues.len()
        ],
        events: Vec::new(),
        queues,
    })
}

fn ours() -> String {
    let mut page = Page::new(vec![snapshot()], Format::Text, String::new());
    let mut out = BytesMut::new();
    page.fill(&mut out, usize::MAX);
    String::from_utf8_lossy(&out).into_owned()
}

/// A series: its name, its labels by name, and its value.
type Series = (String, BTreeMap<String, String>, String);

/// The series of a text whose labels hold no quotes and no commas.
fn read(text: &str) -> BTreeSet<Series> {
    let line = |line: &str| {
        let (name, value) = line.rsplit_once(' ')?;
        let (name, labels) = name.split_once('{').unwrap_or((name, "}"));
        let labels = labels
            .trim_end_matches('}')
            .split(',')
            .filter_map(|label| label.split_once('='));
        let labels =
            labels.map(|(key, value)| (key.to_owned(), value.trim_matches('"').to_owned()));
        let value: f64 = value.parse().ok()?;
        Some((name.to_owned(), labels.collect(), value.to_string()))
    };
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(line)
        .collect()
}

/// The series of one name, as those who have them in hand would have them.
struct OneName {
    name: String,
    labels: Vec<String>,
    /// The values of the labels, and the value.
    samples: Vec<(Vec<String>, f64)>,
}

/// The series by name.
fn families(series: &BTreeSet<Series>) -> Vec<OneName> {
    let mut families: Vec<OneName> = Vec::new();
    // They are in the order of their names.
    for (name, labels, value) in series {
        if families.last().is_none_or(|family| family.name != *name) {
            families.push(OneName {
                name: name.clone(),
                labels: labels.keys().cloned().collect(),
                samples: Vec::new(),
            });
        }
        if let Some(family) = families.last_mut() {
            let value = value.parse().unwrap_or(f64::NAN);
            family
                .samples
                .push((labels.values().cloned().collect(), value));
        }
    }
    families
}

fn filled(families: &[OneName]) -> Registry {
    let registry = Registry::new();
    for OneName {
        name,
        labels,
        samples,
    } in families
    {
        let labels: Vec<&str> = labels.iter().map(String::as_str).collect();
        let Ok(family) = GaugeVec::new(Opts::new(name, "What it means"), &labels) else {
            continue;
        };
        for (values, value) in samples {
            family.with_label_values(values).set(*value);
        }
        // Each name is registered once.
        let _ = registry.register(Box::new(family));
    }
    registry
}

fn encode(registry: &Registry) -> String {
    let mut out = Vec::new();
    // Writing to memory never fails.
    let _ = TextEncoder::new().encode(&registry.gather(), &mut out);
    String::from_utf8(out).unwrap_or_default()
}

type Labels = Vec<(String, String)>;
type ClientGauge = Gauge<f64, std::sync::atomic::AtomicU64>;

fn filled_client(families: &[OneName]) -> ClientRegistry {
    let mut registry = ClientRegistry::default();
    for OneName {
        name,
        labels,
        samples,
    } in families
    {
        let family = Family::<Labels, ClientGauge>::default();
        for (values, value) in samples {
            let labels = labels.iter().cloned().zip(values.iter().cloned());
            family.get_or_create(&labels.collect()).set(*value);
        }
        registry.register(name, "What it means", family);
    }
    registry
}

fn encode_client(registry: &ClientRegistry) -> String {
    let mut out = String::new();
    // Writing to memory never fails.
    let _ = text::encode(&mut out, registry);
    out
}

/// As the exporter sends it: piece by piece, in memory that is used again.
#[divan::bench(sample_count = 20, sample_size = 1)]
fn our_writer(bencher: Bencher<'_, '_>) {
    let snapshot = snapshot();
    let mut piece = BytesMut::with_capacity(2 * PIECE);
    bencher.bench_local(|| {
        let mut page = Page::new(vec![Arc::clone(&snapshot)], Format::Text, String::new());
        while !page.is_done() {
            piece.clear();
            page.fill(&mut piece, PIECE);
            black_box(&piece);
        }
    });
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn prometheus_encoded(bencher: Bencher<'_, '_>) {
    let registry = filled(&families(&read(&ours())));
    bencher.bench_local(|| encode(&registry).len());
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn prometheus_filled_and_encoded(bencher: Bencher<'_, '_>) {
    let families = families(&read(&ours()));
    bencher.bench_local(|| encode(&filled(&families)).len());
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn prometheus_client_encoded(bencher: Bencher<'_, '_>) {
    let registry = filled_client(&families(&read(&ours())));
    bencher.bench_local(|| encode_client(&registry).len());
}

#[divan::bench(sample_count = 10, sample_size = 1)]
fn prometheus_client_filled_and_encoded(bencher: Bencher<'_, '_>) {
    let families = families(&read(&ours()));
    bencher.bench_local(|| encode_client(&filled_client(&families)).len());
}

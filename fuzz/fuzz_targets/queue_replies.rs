//! Whatever Redis answers about queues: it is read or not, never wrongly, and what is read can be written out and read again.
#![no_main]

use std::collections::BTreeSet;
use std::time::Duration;

use bullmq_exporter::exposition::Format;
use bullmq_exporter::fuzzing::redis;
use bullmq_exporter::model::QueueReading;
use bullmq_fuzz::redis::{conversation, runtime};
use bullmq_fuzz::{queue, served, snapshot};
use libfuzzer_sys::fuzz_target;

const NOW: u64 = 1_780_000_000_000;

fuzz_target!(|data: &[u8]| {
    let queues = [queue("app", "a"), queue("bull", "b")];
    let horizons = [Duration::from_secs(30), Duration::from_mins(2)];
    let told = conversation(&runtime(), data, async |stream| {
        redis::queues(stream, &queues, &horizons, NOW).await
    });
    let Some((Some(readings), _)) = told else {
        return;
    };
    assert_eq!(readings.len(), queues.len());
    for reading in &readings {
        let QueueReading::Read(read) = reading else {
            continue;
        };
        assert!(read.demand() >= read.counts.active);
        assert!(!read.paused || read.ready() == 0);
        assert!(
            read.delayed_due_within.is_empty() || read.delayed_due_within.len() == horizons.len()
        );
        for horizon in 0..horizons.len() {
            assert!(read.demand_ahead(horizon) >= read.demand());
        }
        // No job is older than Redis' clock.
        for age in [read.oldest_ready_age, read.longest_active]
            .into_iter()
            .flatten()
        {
            assert!(age <= Duration::from_millis(NOW), "{age:?}");
        }
        assert!(read.counts.active > 0 || read.orphaned == Some(false));
        assert!(read.ready() > 0 || read.oldest_ready_age == Some(Duration::ZERO));
    }
    let snapshot = snapshot(
        "default",
        &horizons,
        queues.into_iter().zip(readings).collect(),
    );
    let text = served(snapshot, Format::Text);
    let samples = bullmq_keda::exposition::read(&text).expect("what is served can be read");
    let mut series = BTreeSet::new();
    for sample in &samples {
        assert!(sample.value >= 0.0, "{sample:?}");
        assert!(
            series.insert((&sample.name, &sample.labels)),
            "twice: {sample:?}"
        );
    }
});

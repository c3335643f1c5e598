//! Queues of any name are served in both formats so that a reader finds the same names again.
#![no_main]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bullmq_exporter::exposition::Format;
use bullmq_exporter::model::{QueueReading, QueueSnapshot};
use bullmq_fuzz::{queue, served, snapshot, texts};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some([redis, prefix, version, name]) = texts(data) else {
        return;
    };
    let read = QueueSnapshot {
        version: version.to_owned(),
        ..QueueSnapshot::default()
    };
    let queues = vec![(queue(prefix, name), QueueReading::Read(Arc::new(read)))];
    let snapshot = snapshot(redis, &[Duration::from_secs(30)], queues);
    for format in [Format::Text, Format::OpenMetrics] {
        let text = served(snapshot.clone(), format);
        let samples = bullmq_keda::exposition::read(&text).expect("what is served can be read");
        let of_queue = samples
            .iter()
            .filter(|sample| sample.labels.contains_key("queue"));
        let mut names = BTreeSet::new();
        for sample in of_queue {
            assert_eq!(
                (
                    sample.label("redis"),
                    sample.label("prefix"),
                    sample.label("queue")
                ),
                (redis, prefix, name)
            );
            names.insert(sample.name.as_str());
            if sample.name == "bullmq_queue_info" {
                assert_eq!(sample.label("version"), version);
            }
        }
        assert!(names.contains("bullmq_queue_up") && names.contains("bullmq_queue_demand_jobs"));
    }
});

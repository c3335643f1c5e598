//! Whatever `CLUSTER SLOTS` and `MOVED` say: every slot that has an owner has one that is known.
#![no_main]

use bullmq_exporter::fuzzing::redis;
use bullmq_fuzz::queue;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (moved, reply) = data.split_at(
        data.iter()
            .position(|byte| *byte == b'\n')
            .map_or(0, |at| at + 1),
    );
    let moved = String::from_utf8_lossy(moved);
    if let Some((nodes, owners)) = redis::slots(reply, moved.trim_end()) {
        assert!(nodes > 0 && owners.len() <= 1 << 14);
        assert!(owners.iter().all(|owner| *owner < nodes));
    }
    if let Some(slot) = redis::slot(&queue("bull", &moved)) {
        assert!(slot < 1 << 14);
    }
});

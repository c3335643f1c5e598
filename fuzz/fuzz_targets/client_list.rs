//! Whatever clients call themselves: no more workers than lines, no more idle than connected, none of a queue that is not there.
#![no_main]

use bullmq_exporter::fuzzing::redis;
use bullmq_fuzz::{prefixes, queue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    // A carriage return ends a line only before a line feed, and so not everywhere when lines change places.
    let list = String::from_utf8_lossy(data).replace('\r', " ");
    let prefixes = prefixes();
    // `YWJj` is `abc`.
    let mut queues = [
        queue("app", "abc"),
        queue("app:prod", "abc"),
        queue("bull", "YWJj"),
        queue("bull", "abc"),
        queue("bull", "é"),
    ];
    queues.sort();
    let workers = redis::workers(&list, &prefixes, &queues);
    let mut all = 0;
    for (queue, workers) in &workers {
        assert!(queues.contains(queue), "{queue}");
        assert!(workers.idle <= workers.connected && workers.connected > 0);
        all += workers.connected;
    }
    assert!(all <= list.lines().count() as u64);
    // Each line counts by itself, so that their order does not matter.
    let turned: Vec<&str> = list.lines().rev().collect();
    assert_eq!(
        redis::workers(&turned.join("\n"), &prefixes, &queues),
        workers
    );
    let facts = redis::facts(&list);
    assert!(!facts.mode.contains('\n') && !facts.version.contains('\n'));
});

//! Whatever a walk over the keys brings: every queue that is found has a prefix that was asked for and a name that can be a label.
#![no_main]

use bullmq_exporter::fuzzing::redis;
use bullmq_fuzz::prefixes;
use bullmq_fuzz::redis::{conversation, runtime};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let prefixes = prefixes();
    let told = conversation(&runtime(), data, async |stream| {
        redis::discover(stream, &prefixes).await
    });
    let Some((Some(found), _)) = told else { return };
    for queue in found {
        assert!(prefixes.contains(&queue.prefix), "{queue}");
        assert!(
            !queue.name.is_empty() && !queue.name.starts_with(':') && queue.name.len() <= 1024,
            "{queue}"
        );
        // The longest prefix claims a key.
        assert!(
            &*queue.prefix != "app" || !queue.name.starts_with("prod:"),
            "{queue}"
        );
    }
});

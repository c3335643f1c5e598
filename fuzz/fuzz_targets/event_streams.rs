//! Whatever Redis answers about the streams of events: no event is counted that was not told, and none twice.
#![no_main]

use bullmq_exporter::fuzzing::redis;
use bullmq_fuzz::queue;
use bullmq_fuzz::redis::{conversation, runtime};
use bullmq_vocabulary::JobEvent;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let queues = [queue("app", "a"), queue("bull", "b")];
    let told = conversation(&runtime(), data, async |stream| {
        redis::events(stream, &queues, 4).await
    });
    let Some(((events, _, passes), told)) = told else {
        return;
    };
    assert!(passes <= 4);
    let counted: u64 = events
        .iter()
        .flat_map(|events| JobEvent::ALL.map(|event| events.seen(event)))
        .sum();
    assert!(
        counted <= told.entries.get(),
        "{counted} of {}",
        told.entries.get()
    );
    for events in &events {
        assert!(events.wait.count() <= events.seen(JobEvent::Active));
        let finished = events.seen(JobEvent::Completed) + events.seen(JobEvent::Failed);
        assert!(
            events.processing.count()
                <= finished
                    + events.seen(JobEvent::Delayed)
                    + events.seen(JobEvent::Waiting)
                    + events.seen(JobEvent::Other)
        );
    }
});

//! Whatever an exporter serves: it is read or not, and a starter spec that is made from it is a valid spec as it stands.
#![no_main]

use bullmq_keda::starter::{Wishes, from_metrics};
use bullmq_keda::{Input, exposition, report};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    let samples = match exposition::read(text) {
        Ok(samples) => samples,
        Err(problem) => {
            assert!(problem.line >= 1 && problem.line <= text.split('\n').count());
            return;
        }
    };
    if let Ok(starter) = from_metrics(&samples, &Wishes::default()) {
        let input = Input {
            name: "spec.yaml".into(),
            short_name: "spec.yaml".into(),
            bytes: starter.text.clone().into_bytes(),
        };
        if let Err(bullmq_keda::Error::Invalid { problems, sources }) =
            bullmq_keda::generate(vec![input])
        {
            panic!("{}", report::text(&problems, &sources, "", false));
        }
    }
});

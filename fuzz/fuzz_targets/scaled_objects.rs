//! Whatever ScaledObject a starter spec is made from: if one is made, its manifests can be generated as it stands.
#![no_main]

use bullmq_keda::starter::Wishes;
use bullmq_keda::{Input, report};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let input = |bytes: Vec<u8>| Input {
        name: "so.yaml".into(),
        short_name: "so.yaml".into(),
        bytes,
    };
    match bullmq_keda::start(vec![input(data.to_vec())], &Wishes::default()) {
        Ok(starter) => {
            if let Err(bullmq_keda::Error::Invalid { problems, sources }) =
                bullmq_keda::generate(vec![input(starter.text.clone().into_bytes())])
            {
                panic!("{}", report::text(&problems, &sources, "", false));
            }
        }
        Err(bullmq_keda::Error::Invalid { problems, sources }) => {
            report::text(&problems, &sources, "", false);
        }
        Err(other) => panic!("{other}"),
    }
});

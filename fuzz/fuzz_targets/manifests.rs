//! Whatever is given to the linter: every problem points at a place that is there, and can be told in every form.
#![no_main]

use bullmq_keda::Input;
use bullmq_keda::lint::{Options, Origin, lint};
use bullmq_keda::report;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let input = Input {
        name: "manifests.yaml".into(),
        short_name: "manifests.yaml".into(),
        bytes: data.to_vec(),
    };
    let told = lint(vec![(input.clone(), Origin::Named)], &Options::default());
    for problem in &told.problems {
        let source = &told.sources[problem.at.source].text;
        assert!(
            problem.at.start <= problem.at.end && problem.at.start <= source.len(),
            "{problem:?}"
        );
        assert!(source.is_char_boundary(problem.at.start), "{problem:?}");
    }
    report::text(&told.problems, &told.sources, "", false);
    report::github(&told);
    serde_json::from_str::<serde_json::Value>(&report::json(&told).expect("JSON")).expect("JSON");
    serde_json::from_str::<serde_json::Value>(&report::sarif(&told).expect("SARIF"))
        .expect("SARIF");
    let again = lint(vec![(input, Origin::Named)], &Options::default());
    assert_eq!(again.problems, told.problems);
});

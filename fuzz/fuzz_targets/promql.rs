//! Whatever query a trigger asks: it is judged, and every finding points into it.
#![no_main]

use bullmq_keda::Input;
use bullmq_keda::lint::{Options, Origin, lint};
use bullmq_keda::report;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(query) = str::from_utf8(data) else {
        return;
    };
    let query = serde_json::to_string(query).expect("a text");
    let manifest = format!(
        "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {{name: email, namespace: shop}}\nspec:\n  scaleTargetRef: {{name: email}}\n  \
         minReplicaCount: 0\n  triggers:\n    - type: prometheus\n      metadata:\n        serverAddress: http://prometheus:9090\n        threshold: '1'\n        \
         query: {query}\n"
    );
    let input = Input {
        name: "so.yaml".into(),
        short_name: "so.yaml".into(),
        bytes: manifest.into_bytes(),
    };
    let told = lint(vec![(input, Origin::Named)], &Options::default());
    for problem in &told.problems {
        let source = &told.sources[problem.at.source].text;
        assert!(
            problem.at.start <= problem.at.end && problem.at.end <= source.len() + 1,
            "{problem:?}"
        );
        assert!(source.is_char_boundary(problem.at.start), "{problem:?}");
    }
    report::text(&told.problems, &told.sources, "", false);
});

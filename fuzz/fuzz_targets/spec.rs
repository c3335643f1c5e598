//! Whatever stands in a spec: it is told what is wrong, or its manifests are YAML to everybody, and without an error to our own linter.
#![no_main]

use bullmq_fuzz::texts;
use bullmq_keda::lint::{Options, Origin, lint};
use bullmq_keda::output::{self, Format, Passage};
use bullmq_keda::problem::Severity;
use bullmq_keda::report;
use bullmq_keda::{Input, Request, alert};
use libfuzzer_sys::fuzz_target;
use serde::Deserialize as _;

fn input(text: &str) -> Input {
    Input {
        name: "spec.yaml".into(),
        short_name: "spec.yaml".into(),
        bytes: text.as_bytes().to_vec(),
    }
}

fuzz_target!(|data: &[u8]| {
    let Some([text]) = texts(data) else { return };
    match bullmq_keda::generate(vec![input(text)]) {
        Ok(manifests) => {
            assert_eq!(
                bullmq_keda::generate(vec![input(text)]).ok().as_ref(),
                Some(&manifests)
            );
            for document in serde_yaml::Deserializer::from_str(&manifests) {
                serde_yaml::Value::deserialize(document)
                    .expect("a foreign reader takes what is generated");
            }
            let linted = lint(
                vec![(input(&manifests), Origin::Named)],
                &Options::default(),
            );
            let wrong: Vec<_> = linted
                .problems
                .iter()
                .filter(|problem| problem.severity == Severity::Error)
                .collect();
            // What an override makes of a manifest is judged with the KEDA that the spec names.
            assert!(
                wrong.is_empty() || text.contains("keda") || text.contains("overrides"),
                "{wrong:?}\n{manifests}"
            );
            let request = Request {
                alerts: Some(alert::Options::default()),
                passage: None,
            };
            let compiled = bullmq_keda::compile(vec![input(text)], &request);
            let generated = compiled.expect("it was generated");
            for format in [
                Format::Helm("keda".into()),
                Format::HelmValues {
                    key: "extra.objects".into(),
                    passage: Passage::default(),
                },
                Format::PrometheusRules,
                Format::Json,
            ] {
                let _ = output::text(&generated, &format);
            }
            bullmq_keda::explain(vec![input(text)]).expect("it was generated");
        }
        Err(bullmq_keda::Error::Invalid { problems, sources }) => {
            assert!(!problems.is_empty());
            for problem in &problems {
                let source = &sources[problem.at.source].text;
                assert!(
                    problem.at.start <= problem.at.end && problem.at.start <= source.len(),
                    "{problem:?}"
                );
                assert!(source.is_char_boundary(problem.at.start), "{problem:?}");
            }
            report::text(&problems, &sources, "nothing was generated", false);
        }
        Err(other) => panic!("{other}"),
    }
});

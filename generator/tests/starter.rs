//! Is a starter spec a valid spec, whatever ScaledObject it is made from?

use bullmq_keda::starter::Wishes;
use bullmq_keda::{Error, Input, report, workloads};

fn input(text: &str) -> Input {
    Input {
        name: "so.yaml".into(),
        short_name: "so.yaml".into(),
        bytes: text.into(),
    }
}

fn scaled_object(target: &str, more: &str) -> String {
    format!(
        "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {{name: email{more}}}\nspec:\n  scaleTargetRef: {target}\n  triggers:\n    \
         - {{type: redis, metadata: {{address: 'redis:6379', listName: 'bull:email:wait'}}}}\n"
    )
}

#[test]
fn what_no_spec_can_say_is_told_instead_of_written() {
    for (target, more, expected) in [
        ("{name: email}", "", None),
        ("{name: eXail}", "", Some("target/name-invalid")),
        (
            "{kind: Rollout, name: email}",
            "",
            Some("target/api-version-missing"),
        ),
        (
            "{name: email}",
            ", namespace: Shop",
            Some("namespace/invalid"),
        ),
    ] {
        let object = scaled_object(target, more);
        let told = match bullmq_keda::start(vec![input(&object)], &Wishes::default()) {
            Ok(starter) => {
                workloads(vec![input(&starter.text)]).expect("it is a valid spec");
                None
            }
            Err(Error::Invalid { problems, sources }) => Some(report::text(
                &problems,
                &sources,
                "no spec was written",
                false,
            )),
            Err(other) => panic!("{other}"),
        };
        match (told, expected) {
            (None, None) => {}
            (Some(told), Some(rule)) => {
                assert!(told.contains(rule), "{target}: {told}");
                assert!(told.contains("<the spec that would be made>"), "{told}");
            }
            (told, expected) => panic!("{target}: {told:?}, {expected:?}"),
        }
    }
}

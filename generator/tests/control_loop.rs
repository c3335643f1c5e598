//! The model of the HPA against the HPA: every look of Kubernetes' own controller, replayed.
//!
//! The vectors are what the controller's code answered; `tests/conformance/hpa` makes them.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bullmq_keda::control_loop::hpa::{
    Autoscaler, Behavior, Change, Config, Pods, Policy, Rules, SYNC_PERIOD, Select, Target,
};
use bullmq_keda::decimal::Decimal;
use serde::Deserialize;

#[derive(Deserialize)]
struct Vectors {
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    min: u32,
    max: u32,
    targets: Vec<u64>,
    behavior: Option<Directions>,
    steps: Vec<Vec<Option<u64>>>,
}

#[derive(Deserialize)]
struct Directions {
    up: Option<Fields>,
    down: Option<Fields>,
}

#[derive(Deserialize)]
struct Fields {
    window: Option<u64>,
    select: Option<String>,
    tolerance: Option<String>,
    policies: Option<Vec<PolicyFields>>,
}

#[derive(Deserialize)]
struct PolicyFields {
    r#type: String,
    value: u32,
    period: u64,
}

fn rules(fields: Option<Fields>, mut rules: Rules) -> Option<Rules> {
    let Some(fields) = fields else {
        return Some(rules);
    };
    if let Some(window) = fields.window {
        rules.window = Duration::from_secs(window);
    }
    rules.select = match fields.select.as_deref() {
        None | Some("Max") => Select::Max,
        Some("Min") => Select::Min,
        Some("Disabled") => Select::Disabled,
        Some(_) => return None,
    };
    rules.tolerance = match fields.tolerance.as_deref() {
        None => rules.tolerance,
        Some("0") => 0.0,
        Some("50m") => 0.05,
        Some("200m") => 0.2,
        Some(_) => return None,
    };
    if let Some(policies) = fields.policies {
        rules.policies = policies
            .into_iter()
            .map(|policy| Policy {
                change: if policy.r#type == "Pods" {
                    Change::Pods(policy.value)
                } else {
                    Change::Percent(policy.value)
                },
                period: Duration::from_secs(policy.period),
            })
            .collect();
    }
    Some(rules)
}

fn config(case: &mut Case) -> Option<Config> {
    let behavior = match case.behavior.take() {
        None => None,
        Some(directions) => Some(Behavior {
            up: rules(directions.up, Rules::default_up())?,
            down: rules(directions.down, Rules::default_down())?,
        }),
    };
    let targets = case.targets.iter().copied();
    Some(Config {
        min: case.min,
        max: case.max,
        targets: targets
            .map(|target| Target::AverageValue(Decimal::from_thousandths(target)))
            .collect(),
        behavior,
    })
}

#[test]
fn every_look_ends_as_in_the_controller_itself() {
    let file = "../tests/conformance/vectors/hpa.json";
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(file)).unwrap();
    let vectors: Vectors = serde_saphyr::from_str(&text).unwrap();
    let (mut looks, mut changes) = (0, 0);
    for (number, mut case) in vectors.cases.into_iter().enumerate() {
        let config = config(&mut case).unwrap();
        let mut autoscaler = Autoscaler::default();
        for (look, step) in (0..).zip(&case.steps) {
            let [Some(before), Some(after), metrics @ ..] = step.as_slice() else {
                panic!("case {number}: {step:?}");
            };
            let (before, after) = (
                u32::try_from(*before).unwrap(),
                u32::try_from(*after).unwrap(),
            );
            let metrics: Vec<_> = metrics
                .iter()
                .map(|metric| metric.map(Decimal::from_thousandths))
                .collect();
            let now = SYNC_PERIOD * look;
            let decision = autoscaler.sync(&config, now, Pods::settled(before), &metrics);
            assert_eq!(
                decision.replicas, after,
                "case {number}, look {look}: {step:?} {decision:?} {config:?}"
            );
            looks += 1;
            changes += u32::from(before != after);
        }
    }
    assert!(looks > 4000 && changes > 400, "{looks} {changes}");
}

//! The model of KEDA and of the HPA against KEDA and the HPA: every poll and every look that their own code answered, replayed.
//!
//! The vectors are made by `tests/conformance`, and need no Go here.

use std::fs;
use std::path::Path;
use std::time::Duration;

use bullmq_keda::control_loop::hpa::{
    self, Autoscaler, Behavior, Change, Pods, Policy, Rules, SYNC_PERIOD, Select, TOLERANCE, Target,
};
use bullmq_keda::control_loop::keda::{
    self, Answer, Fallback, FallbackBehavior, Operator, Trigger, reported,
};
use bullmq_keda::decimal::Decimal;
use serde::Deserialize;
use serde::de::DeserializeOwned;

#[derive(Deserialize)]
struct Vectors<Case> {
    cases: Vec<Case>,
}

fn cases<Case: DeserializeOwned>(name: &str) -> anyhow::Result<Vec<Case>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/conformance/vectors");
    let text = fs::read_to_string(folder.join(format!("{name}.json")))?;
    Ok(serde_json::from_str::<Vectors<Case>>(&text)?.cases)
}

const fn milli(thousandths: u64) -> Decimal {
    Decimal::from_thousandths(thousandths)
}

/// A behavior as it stands in a manifest.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct BehaviorFields {
    scale_up: Option<RulesFields>,
    scale_down: Option<RulesFields>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RulesFields {
    stabilization_window_seconds: Option<u64>,
    select_policy: Option<String>,
    tolerance: Option<String>,
    #[serde(default)]
    policies: Vec<PolicyFields>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolicyFields {
    r#type: String,
    value: u32,
    period_seconds: u64,
}

impl BehaviorFields {
    fn behavior(self) -> anyhow::Result<Behavior> {
        Ok(Behavior {
            up: rules(self.scale_up, Rules::default_up())?,
            down: rules(self.scale_down, Rules::default_down())?,
        })
    }
}

fn rules(fields: Option<RulesFields>, mut rules: Rules) -> anyhow::Result<Rules> {
    let Some(fields) = fields else {
        return Ok(rules);
    };
    if let Some(window) = fields.stabilization_window_seconds {
        rules.window = Duration::from_secs(window);
    }
    rules.select = match fields.select_policy.as_deref() {
        None | Some("Max") => Select::Max,
        Some("Min") => Select::Min,
        Some("Disabled") => Select::Disabled,
        Some(other) => anyhow::bail!("selectPolicy {other}"),
    };
    rules.tolerance = match fields.tolerance.as_deref() {
        None => rules.tolerance,
        Some("0") => 0.0,
        Some("50m") => 0.05,
        Some("200m") => 0.2,
        Some(other) => anyhow::bail!("tolerance {other}"),
    };
    let policies = fields.policies.iter();
    let policies = policies.map(|policy| {
        let change = match policy.r#type.as_str() {
            "Pods" => Change::Pods(policy.value),
            "Percent" => Change::Percent(policy.value),
            other => anyhow::bail!("policy {other}"),
        };
        Ok(Policy {
            change,
            period: Duration::from_secs(policy.period_seconds),
        })
    });
    let policies: Vec<_> = policies.collect::<anyhow::Result<_>>()?;
    if !policies.is_empty() {
        rules.policies = policies;
    }
    Ok(rules)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RandomCase {
    min_replicas: u32,
    max_replicas: u32,
    behavior: Option<BehaviorFields>,
    targets_milli: Vec<u64>,
    syncs: Vec<Vec<Option<u64>>>,
}

#[test]
fn every_look_of_random_courses_ends_as_in_the_controller_itself() {
    let (mut looks, mut changes) = (0, 0);
    for (number, case) in (1..).zip(cases::<RandomCase>("random-sequences").unwrap()) {
        let targets = case.targets_milli.iter();
        let config = hpa::Config {
            min: case.min_replicas,
            max: case.max_replicas,
            targets: targets
                .map(|target| Target::AverageValue(milli(*target)))
                .collect(),
            behavior: case.behavior.map(|fields| fields.behavior().unwrap()),
        };
        let mut autoscaler = Autoscaler::default();
        for (look, sync) in (0..).zip(&case.syncs) {
            let [Some(before), Some(after), metrics @ ..] = sync.as_slice() else {
                panic!("case {number}: {sync:?}");
            };
            let before = u32::try_from(*before).unwrap();
            let metrics: Vec<_> = metrics.iter().map(|metric| metric.map(milli)).collect();
            let now = SYNC_PERIOD * look;
            let decision = autoscaler.sync(&config, now, Pods::settled(before), &metrics);
            assert_eq!(
                u64::from(decision.replicas),
                *after,
                "case {number}, look {look}: {sync:?} {decision:?} {config:?}"
            );
            looks += 1;
            changes += u32::from(u64::from(before) != *after);
        }
    }
    assert!(looks > 4000 && changes > 400, "{looks} {changes}");
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct SequenceCase {
    name: String,
    min_replicas: u32,
    max_replicas: u32,
    behavior: Option<BehaviorFields>,
    target_milli: u64,
    start_replicas: u32,
    syncs: Vec<Sync>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Sync {
    value_milli: Option<u64>,
    set: Option<u32>,
    replicas: u32,
}

#[test]
fn every_look_of_chosen_courses_ends_as_in_the_controller_itself() {
    let cases = cases::<SequenceCase>("sequences").unwrap();
    assert!(cases.len() >= 20, "{}", cases.len());
    for case in cases {
        let config = hpa::Config {
            min: case.min_replicas,
            max: case.max_replicas,
            targets: vec![Target::AverageValue(milli(case.target_milli))],
            behavior: case.behavior.map(|fields| fields.behavior().unwrap()),
        };
        let mut autoscaler = Autoscaler::default();
        let mut replicas = case.start_replicas;
        for (look, sync) in (0..).zip(&case.syncs) {
            replicas = sync.set.unwrap_or(replicas);
            let metrics = [sync.value_milli.map(milli)];
            let now = SYNC_PERIOD * look;
            let decision = autoscaler.sync(&config, now, Pods::settled(replicas), &metrics);
            replicas = decision.replicas;
            assert_eq!(
                replicas, sync.replicas,
                "{}, look {look}: {decision:?}",
                case.name
            );
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ReplicasCase {
    name: String,
    r#type: String,
    target_milli: u64,
    value_milli: u64,
    status_replicas: u32,
    spec_replicas: u32,
    ready_pods: u32,
    tolerance_up: f64,
    tolerance_down: f64,
    replicas: Option<u32>,
}

#[test]
fn every_metric_proposes_what_it_proposes_in_the_controller_itself() {
    let cases = cases::<ReplicasCase>("replicas").unwrap();
    assert!(cases.len() >= 30, "{}", cases.len());
    for case in cases {
        // Without any pod, a metric of type Value is an error there; here the number of pods is an observation that has to be made first.
        let Some(expected) = case.replicas else {
            continue;
        };
        let target = match case.r#type.as_str() {
            "AverageValue" => Target::AverageValue(milli(case.target_milli)),
            "Value" => Target::Value(milli(case.target_milli)),
            other => panic!("{other}"),
        };
        let with = |rules: Rules, tolerance| Rules { tolerance, ..rules };
        let config = hpa::Config {
            min: 1,
            max: u32::MAX,
            targets: vec![target],
            behavior: Some(Behavior {
                up: with(Rules::default_up(), case.tolerance_up),
                down: with(Rules::default_down(), case.tolerance_down),
            }),
        };
        let pods = Pods {
            wanted: case.spec_replicas,
            running: case.status_replicas,
            ready: case.ready_pods,
        };
        let proposal = config.proposal(target, milli(case.value_milli), pods);
        assert_eq!(proposal, expected, "{}: {pods:?}", case.name);
    }
    assert!((TOLERANCE - 0.1).abs() < f64::EPSILON);
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DecisionCase {
    min: Option<u32>,
    idle: Option<u32>,
    fallback: Option<u32>,
    /// None if the Deployment says none, which is 1.
    replicas: Option<u32>,
    active: bool,
    error: bool,
    since_created: u64,
    since_active: Option<u64>,
    annotations: Option<serde_json::Value>,
    sets: Option<u32>,
    refreshes: bool,
}

#[test]
fn every_poll_decides_as_kedas_own_loop() {
    let trigger = Trigger {
        target: Target::AverageValue(milli(1000)),
        activation: 0.0,
    };
    let created = Duration::from_secs(100_000);
    let mut played = 0;
    // What the annotations do is not modelled.
    let cases = cases::<DecisionCase>("decisions").unwrap();
    for case in cases.iter().filter(|case| case.annotations.is_none()) {
        let config = keda::Config {
            min: case.min.unwrap_or(0),
            idle: case.idle,
            polling_interval: Duration::from_secs(30),
            cooldown: Duration::from_mins(5),
            initial_cooldown: Duration::from_mins(1),
            fallback: case.fallback.map(|replicas| Fallback {
                // The vectors say of each trigger what it is in the end.
                failure_threshold: 1000,
                replicas,
                behavior: FallbackBehavior::Static,
            }),
            triggers: vec![trigger; 2],
        };
        let now = created + Duration::from_secs(case.since_created);
        let mut operator = Operator::new(&config, created);
        if let Some(seconds) = case.since_active {
            let active = now.checked_sub(Duration::from_secs(seconds)).unwrap();
            operator.poll(&config, active, 100, &[Answer::Value(1.0); 2]);
        }
        let answers = [
            Answer::Value(f64::from(u8::from(case.active))),
            if case.error {
                Answer::Error
            } else {
                Answer::Value(0.0)
            },
        ];
        let replicas = case.replicas.unwrap_or(1);
        let decision = operator.poll(&config, now, replicas, &answers);
        let expected = case.sets.unwrap_or(replicas);
        assert_eq!(decision.replicas, expected, "{case:?} {decision:?}");
        assert_eq!(
            operator.last_active() == Some(now),
            case.refreshes,
            "{case:?}"
        );
        played += 1;
    }
    assert!(played > 500, "{played}");
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FallbackCase {
    name: String,
    fallback: FallbackFields,
    metric_type: String,
    threshold: f64,
    modifiers: Option<serde_json::Value>,
    replicas: u32,
    ready_pods: u32,
    calls: Vec<Call>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct FallbackFields {
    failure_threshold: u32,
    replicas: u32,
    behavior: Option<String>,
}

#[derive(Deserialize)]
struct Call {
    fails: bool,
    value: Option<Quantity>,
}

#[derive(Deserialize)]
struct Quantity {
    milli: Option<i64>,
}

#[test]
fn every_failure_is_passed_on_as_by_kedas_own_fallback() {
    let mut played = 0;
    let cases = cases::<FallbackCase>("fallback");
    // Formulas are not modelled.
    let cases = cases
        .unwrap()
        .into_iter()
        .filter(|case| case.modifiers.is_none());
    for case in cases {
        let behavior = match case.fallback.behavior.as_deref() {
            Some("currentReplicas") => FallbackBehavior::CurrentReplicas,
            Some("currentReplicasIfHigher") => FallbackBehavior::CurrentReplicasIfHigher,
            Some("currentReplicasIfLower") => FallbackBehavior::CurrentReplicasIfLower,
            _ => FallbackBehavior::Static,
        };
        let threshold = reported(case.threshold);
        let target = match case.metric_type.as_str() {
            "Value" => Target::Value(threshold),
            _ => Target::AverageValue(threshold),
        };
        let config = keda::Config {
            min: 0,
            idle: None,
            polling_interval: Duration::from_secs(30),
            cooldown: Duration::ZERO,
            initial_cooldown: Duration::ZERO,
            fallback: Some(Fallback {
                failure_threshold: case.fallback.failure_threshold,
                replicas: case.fallback.replicas,
                behavior,
            }),
            triggers: vec![Trigger {
                target,
                activation: 0.0,
            }],
        };
        let pods = Pods {
            wanted: case.replicas,
            running: case.replicas,
            ready: case.ready_pods,
        };
        let mut operator = Operator::new(&config, Duration::ZERO);
        for (number, call) in (1..).zip(&case.calls) {
            let answer = if call.fails {
                Answer::Error
            } else {
                Answer::Value(7.0)
            };
            let metric = operator.metric(&config, 0, pods, answer);
            let expected = call.value.as_ref().and_then(|value| value.milli);
            let expected = expected.map(|milli| u64::try_from(milli).unwrap());
            assert_eq!(
                metric.map(Decimal::thousandths),
                expected,
                "{}, call {number}",
                case.name
            );
            played += 1;
        }
    }
    assert!(played > 30, "{played}");
}

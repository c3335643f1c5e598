//! What the autoscaler needs to know, read from the generated ScaledObject as KEDA and the HPA read it.
//!
//! The demo states no query, threshold or time of its own: what a cluster would be given is what it plays. A field that the
//! generator leaves out has KEDA's or the HPA's own default here.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use bullmq_keda::control_loop::hpa::{self, Behavior, Change, Policy, Rules, Select, Target};
use bullmq_keda::control_loop::{Config, keda};
use bullmq_keda::decimal::Decimal;
use serde::Deserialize;

/// A ScaledObject with one Prometheus trigger.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScaledObject {
    pub(crate) name: String,
    pub(crate) server_address: String,
    pub(crate) query: String,
    /// What one replica is for, in units of the query's value.
    pub(crate) threshold: Decimal,
    /// Whether KEDA takes an empty answer for 0.
    pub(crate) empty_is_zero: bool,
    /// What KEDA and the HPA decide by.
    pub(crate) config: Config,
}

impl ScaledObject {
    /// Reads the one ScaledObject of a stream of YAML documents.
    pub(crate) fn from_yaml(text: &str) -> Result<Self> {
        let documents: Vec<Document> =
            serde_saphyr::from_multiple(text).context("reading the generated manifest")?;
        let mut found = documents
            .into_iter()
            .filter(|document| document.kind == "ScaledObject");
        let document = found.next().context("no ScaledObject was generated")?;
        ensure!(
            found.next().is_none(),
            "more than one ScaledObject was generated"
        );
        let spec = document.spec.context("the ScaledObject has no spec")?;
        let [trigger] = spec.triggers.as_slice() else {
            anyhow::bail!("the demo plays one trigger, not {}", spec.triggers.len());
        };
        ensure!(
            trigger.kind == "prometheus",
            "not a Prometheus trigger: {}",
            trigger.kind
        );
        let metadata = &trigger.metadata;
        let threshold = Decimal::parse(&metadata.threshold).context("threshold")?;
        let target = Target::AverageValue(threshold);
        let behavior = spec.advanced.horizontal_pod_autoscaler_config.behavior;
        Ok(Self {
            name: document.metadata.name,
            server_address: metadata.server_address.clone(),
            query: metadata.query.clone(),
            threshold,
            empty_is_zero: metadata.ignore_null_values != "false",
            config: Config {
                keda: keda::Config {
                    min: spec.min_replica_count,
                    idle: None,
                    polling_interval: Duration::from_secs(spec.polling_interval),
                    cooldown: Duration::from_secs(spec.cooldown_period),
                    initial_cooldown: Duration::from_secs(spec.initial_cooldown_period),
                    fallback: spec.fallback.map(Fallback::of),
                    triggers: vec![keda::Trigger {
                        target,
                        activation: metadata
                            .activation_threshold
                            .parse()
                            .context("activationThreshold")?,
                    }],
                },
                hpa: hpa::Config {
                    min: spec.min_replica_count.max(1),
                    max: spec.max_replica_count,
                    targets: vec![target],
                    behavior: behavior.map(Behaviors::rules).transpose()?,
                },
            },
        })
    }
}

#[derive(Deserialize)]
struct Document {
    kind: String,
    metadata: ObjectMetadata,
    spec: Option<Spec>,
}

#[derive(Deserialize)]
struct ObjectMetadata {
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default = "default_polling_interval")]
    polling_interval: u64,
    #[serde(default = "default_cooldown_period")]
    cooldown_period: u64,
    #[serde(default)]
    initial_cooldown_period: u64,
    #[serde(default)]
    min_replica_count: u32,
    #[serde(default = "default_max_replica_count")]
    max_replica_count: u32,
    fallback: Option<Fallback>,
    #[serde(default)]
    advanced: Advanced,
    #[serde(default)]
    triggers: Vec<Trigger>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fallback {
    failure_threshold: u32,
    replicas: u32,
    #[serde(default)]
    behavior: FallbackBehavior,
}

impl Fallback {
    fn of(self) -> keda::Fallback {
        use keda::FallbackBehavior as Known;
        keda::Fallback {
            failure_threshold: self.failure_threshold,
            replicas: self.replicas,
            behavior: match self.behavior {
                FallbackBehavior::Static => Known::Static,
                FallbackBehavior::CurrentReplicas => Known::CurrentReplicas,
                FallbackBehavior::CurrentReplicasIfHigher => Known::CurrentReplicasIfHigher,
                FallbackBehavior::CurrentReplicasIfLower => Known::CurrentReplicasIfLower,
            },
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
enum FallbackBehavior {
    #[default]
    Static,
    CurrentReplicas,
    CurrentReplicasIfHigher,
    CurrentReplicasIfLower,
}

fn default_polling_interval() -> u64 {
    30
}

fn default_cooldown_period() -> u64 {
    300
}

fn default_max_replica_count() -> u32 {
    100
}

#[derive(Deserialize)]
struct Trigger {
    #[serde(rename = "type")]
    kind: String,
    metadata: TriggerMetadata,
}

/// KEDA wants every value as a string.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TriggerMetadata {
    server_address: String,
    query: String,
    threshold: String,
    #[serde(default = "zero")]
    activation_threshold: String,
    #[serde(default)]
    ignore_null_values: String,
}

fn zero() -> String {
    "0".to_owned()
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Advanced {
    horizontal_pod_autoscaler_config: AutoscalerConfig,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct AutoscalerConfig {
    behavior: Option<Behaviors>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Behaviors {
    scale_up: Direction,
    scale_down: Direction,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Direction {
    stabilization_window_seconds: Option<u64>,
    tolerance: Option<f64>,
    select_policy: Option<String>,
    policies: Vec<PolicyFields>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PolicyFields {
    #[serde(rename = "type")]
    kind: String,
    value: u32,
    period_seconds: u64,
}

impl Behaviors {
    fn rules(self) -> Result<Behavior> {
        Ok(Behavior {
            up: self.scale_up.over(Rules::default_up())?,
            down: self.scale_down.over(Rules::default_down())?,
        })
    }
}

impl Direction {
    /// These rules, with what is told here in place of the defaults.
    fn over(self, defaults: Rules) -> Result<Rules> {
        let told: Vec<Policy> = self
            .policies
            .iter()
            .map(PolicyFields::policy)
            .collect::<Result<_>>()?;
        Ok(Rules {
            window: self
                .stabilization_window_seconds
                .map_or(defaults.window, Duration::from_secs),
            select: match self.select_policy.as_deref() {
                None => defaults.select,
                Some("Max") => Select::Max,
                Some("Min") => Select::Min,
                Some("Disabled") => Select::Disabled,
                Some(other) => anyhow::bail!("unknown selectPolicy {other}"),
            },
            tolerance: self.tolerance.unwrap_or(defaults.tolerance),
            policies: if told.is_empty() {
                defaults.policies
            } else {
                told
            },
        })
    }
}

impl PolicyFields {
    fn policy(&self) -> Result<Policy> {
        Ok(Policy {
            change: match self.kind.as_str() {
                "Pods" => Change::Pods(self.value),
                "Percent" => Change::Percent(self.value),
                other => anyhow::bail!("unknown policy type {other}"),
            },
            period: Duration::from_secs(self.period_seconds),
        })
    }
}

/// What the generator makes of a small spec, for tests.
#[cfg(test)]
pub(crate) const GENERATED: &str = r#"
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: email
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: email-worker}
  pollingInterval: 15
  cooldownPeriod: 120
  initialCooldownPeriod: 120
  minReplicaCount: 0
  maxReplicaCount: 8
  fallback:
    failureThreshold: 3
    replicas: 1
    behavior: currentReplicas
  advanced:
    horizontalPodAutoscalerConfig:
      behavior:
        scaleUp:
          stabilizationWindowSeconds: 0
          policies:
            - {type: Pods, value: 4, periodSeconds: 15}
            - {type: Percent, value: 100, periodSeconds: 15}
        scaleDown:
          stabilizationWindowSeconds: 120
          policies:
            - {type: Percent, value: 50, periodSeconds: 60}
  triggers:
    - type: prometheus
      metricType: AverageValue
      metadata:
        serverAddress: http://127.0.0.1:9090
        query: sum(up) and on() (count(up) == 1)
        threshold: "10"
        ignoreNullValues: "false"
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_a_generated_scaled_object_is_read() {
        let object = ScaledObject::from_yaml(GENERATED).unwrap();
        let secs = Duration::from_secs;
        let threshold = Decimal::parse("10").unwrap();
        let target = Target::AverageValue(threshold);
        let expected = ScaledObject {
            name: "email".to_owned(),
            server_address: "http://127.0.0.1:9090".to_owned(),
            query: "sum(up) and on() (count(up) == 1)".to_owned(),
            threshold,
            empty_is_zero: false,
            config: Config {
                keda: keda::Config {
                    min: 0,
                    idle: None,
                    polling_interval: secs(15),
                    cooldown: secs(120),
                    initial_cooldown: secs(120),
                    fallback: Some(keda::Fallback {
                        failure_threshold: 3,
                        replicas: 1,
                        behavior: keda::FallbackBehavior::CurrentReplicas,
                    }),
                    triggers: vec![keda::Trigger {
                        target,
                        activation: 0.0,
                    }],
                },
                hpa: hpa::Config {
                    min: 1,
                    max: 8,
                    targets: vec![target],
                    behavior: Some(Behavior {
                        // The generated one is the default but for the window and the pace down.
                        up: Rules::default_up(),
                        down: Rules {
                            window: secs(120),
                            policies: vec![Policy {
                                change: Change::Percent(50),
                                period: secs(60),
                            }],
                            ..Rules::default_down()
                        },
                    }),
                },
            },
        };
        assert_eq!(object, expected);
    }

    #[test]
    fn what_is_left_out_has_the_default_of_keda_and_the_hpa() {
        let text = "kind: ScaledObject\nmetadata: {name: email}\nspec:\n  triggers:\n    - type: prometheus\n      \
                    metadata: {serverAddress: a, query: q, threshold: '5'}\n";
        let object = ScaledObject::from_yaml(text).unwrap();
        assert!(
            object.empty_is_zero,
            "KEDA takes an empty answer for 0 unless told"
        );
        let Config { keda, hpa } = object.config;
        assert_eq!((keda.min, hpa.min, hpa.max), (0, 1, 100));
        assert_eq!(keda.polling_interval, Duration::from_secs(30));
        assert_eq!(keda.cooldown, Duration::from_mins(5));
        assert_eq!(keda.initial_cooldown, Duration::ZERO);
        assert_eq!(hpa.behavior, None);
    }

    #[test]
    fn a_manifest_that_the_demo_cannot_play_is_refused() {
        for (text, complaint) in [
            ("kind: Deployment\nmetadata: {name: a}\n", "no ScaledObject"),
            (
                "kind: ScaledObject\nmetadata: {name: a}\nspec: {}\n",
                "one trigger",
            ),
            (
                &GENERATED.replace("type: prometheus", "type: redis"),
                "not a Prometheus trigger",
            ),
            (&format!("{GENERATED}---{GENERATED}"), "more than one"),
        ] {
            let error = ScaledObject::from_yaml(text).unwrap_err();
            assert!(format!("{error:#}").contains(complaint), "{error:#}");
        }
    }
}

//! What the autoscaler needs to know, read from the generated ScaledObject as KEDA and the HPA read it.
//!
//! The demo states no query, threshold or time of its own: what a cluster would be given is what it plays. A field that the
//! generator leaves out has KEDA's or the HPA's own default here.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;

/// The HPA's tolerance where the manifest names none.
const DEFAULT_TOLERANCE: f64 = 0.1;
/// The HPA's scale-down window where the manifest names none.
const DEFAULT_DOWN_WINDOW: Duration = Duration::from_mins(5);

/// A ScaledObject with one Prometheus trigger.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct ScaledObject {
    pub(crate) name: String,
    pub(crate) server_address: String,
    pub(crate) query: String,
    /// What one replica is for, in units of the query's value.
    pub(crate) threshold: f64,
    /// The value must be above it for KEDA to wake the workers.
    pub(crate) activation_threshold: f64,
    /// Whether KEDA takes an empty answer for 0.
    pub(crate) empty_is_zero: bool,
    pub(crate) min_replicas: u32,
    pub(crate) max_replicas: u32,
    pub(crate) polling_interval: Duration,
    /// The quiet time before the step to zero.
    pub(crate) cooldown_period: Duration,
    pub(crate) scale_up: Rules,
    pub(crate) scale_down: Rules,
}

/// How fast the HPA may go in one direction.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Rules {
    /// The most careful recommendation of this time counts.
    pub(crate) window: Duration,
    /// The share by which the value may miss the threshold without a change.
    pub(crate) tolerance: f64,
    /// The one that allows the largest change counts.
    pub(crate) policies: Vec<Policy>,
}

/// The largest change within a period.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Policy {
    pub(crate) change: Change,
    pub(crate) period: Duration,
}

/// A number of replicas, told or as a share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    Pods(u32),
    Percent(u32),
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
        let behavior = spec.advanced.horizontal_pod_autoscaler_config.behavior;
        Ok(Self {
            name: document.metadata.name,
            server_address: metadata.server_address.clone(),
            query: metadata.query.clone(),
            threshold: metadata.threshold.parse().context("threshold")?,
            activation_threshold: metadata
                .activation_threshold
                .parse()
                .context("activationThreshold")?,
            empty_is_zero: metadata.ignore_null_values != "false",
            min_replicas: spec.min_replica_count,
            max_replicas: spec.max_replica_count,
            polling_interval: Duration::from_secs(spec.polling_interval),
            cooldown_period: Duration::from_secs(spec.cooldown_period),
            scale_up: behavior
                .scale_up
                .rules(Duration::ZERO, &[("Pods", 4, 15), ("Percent", 100, 15)])?,
            scale_down: behavior
                .scale_down
                .rules(DEFAULT_DOWN_WINDOW, &[("Percent", 100, 15)])?,
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
    min_replica_count: u32,
    #[serde(default = "default_max_replica_count")]
    max_replica_count: u32,
    #[serde(default)]
    advanced: Advanced,
    #[serde(default)]
    triggers: Vec<Trigger>,
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
    behavior: Behavior,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Behavior {
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

impl Direction {
    fn rules(self, window: Duration, defaults: &[(&str, u32, u64)]) -> Result<Rules> {
        let select = self.select_policy.as_deref().unwrap_or("Max");
        ensure!(
            select == "Max",
            "the demo does not play selectPolicy {select}"
        );
        let named: Vec<(&str, u32, u64)> = self
            .policies
            .iter()
            .map(|policy| (policy.kind.as_str(), policy.value, policy.period_seconds))
            .collect();
        let policies = if named.is_empty() { defaults } else { &named };
        Ok(Rules {
            window: self
                .stabilization_window_seconds
                .map_or(window, Duration::from_secs),
            tolerance: self.tolerance.unwrap_or(DEFAULT_TOLERANCE),
            policies: policies
                .iter()
                .map(|&(kind, value, period)| policy(kind, value, period))
                .collect::<Result<_>>()?,
        })
    }
}

fn policy(kind: &str, value: u32, period_secs: u64) -> Result<Policy> {
    let change = match kind {
        "Pods" => Change::Pods(value),
        "Percent" => Change::Percent(value),
        other => anyhow::bail!("unknown policy type {other}"),
    };
    Ok(Policy {
        change,
        period: Duration::from_secs(period_secs),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERATED: &str = r#"
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: email
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: email-worker}
  pollingInterval: 15
  cooldownPeriod: 120
  minReplicaCount: 0
  maxReplicaCount: 8
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

    #[test]
    fn every_number_of_a_generated_scaled_object_is_read() {
        let object = ScaledObject::from_yaml(GENERATED).unwrap();
        let secs = Duration::from_secs;
        let expected = ScaledObject {
            name: "email".to_owned(),
            server_address: "http://127.0.0.1:9090".to_owned(),
            query: "sum(up) and on() (count(up) == 1)".to_owned(),
            threshold: 10.0,
            activation_threshold: 0.0,
            empty_is_zero: false,
            min_replicas: 0,
            max_replicas: 8,
            polling_interval: secs(15),
            cooldown_period: secs(120),
            scale_up: Rules {
                window: Duration::ZERO,
                tolerance: 0.1,
                policies: vec![
                    Policy {
                        change: Change::Pods(4),
                        period: secs(15),
                    },
                    Policy {
                        change: Change::Percent(100),
                        period: secs(15),
                    },
                ],
            },
            scale_down: Rules {
                window: secs(120),
                tolerance: 0.1,
                policies: vec![Policy {
                    change: Change::Percent(50),
                    period: secs(60),
                }],
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
        assert_eq!((object.min_replicas, object.max_replicas), (0, 100));
        assert_eq!(object.polling_interval, Duration::from_secs(30));
        assert_eq!(object.cooldown_period, Duration::from_mins(5));
        assert_eq!(object.scale_down.window, Duration::from_mins(5));
        assert_eq!(object.scale_up.policies.len(), 2);
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

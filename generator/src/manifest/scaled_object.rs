//! KEDA's ScaledObject. The only file that knows KEDA's field names.
//!
//! Source: <https://github.com/kedacore/keda/blob/v2.20.2/apis/keda/v1alpha1/scaledobject_types.go>, and for a trigger's metadata
//! <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/prometheus_scaler.go>.
//!
//! What KEDA would default is written out wherever its default is a trap: without `ignoreNullValues: "false"` a lost metric is 0,
//! without `minReplicaCount` and `maxReplicaCount` a worker scales from 0 to 100, without `initialCooldownPeriod` running pods go at
//! the first poll, and without `behavior` the HPA waits five minutes. No labels and no annotations are written: KEDA copies them to
//! the HPA.

use std::time::Duration;

use serde::Serialize;
use serde_saphyr::{DoubleQuoted, LitString};

use crate::plan::{Plan, Trigger};
use crate::workload::{APPS_V1, Target};

/// A ScaledObject.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ScaledObject {
    api_version: &'static str,
    kind: &'static str,
    metadata: Metadata,
    spec: Spec,
}

#[derive(Clone, Debug, Serialize)]
struct Metadata {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    namespace: Option<String>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    scale_target_ref: ScaleTargetRef,
    #[serde(skip_serializing_if = "Option::is_none")]
    polling_interval: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cooldown_period: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    initial_cooldown_period: Option<u64>,
    min_replica_count: u32,
    max_replica_count: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    fallback: Option<Fallback>,
    advanced: Advanced,
    triggers: Vec<PrometheusTrigger>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScaleTargetRef {
    #[serde(skip_serializing_if = "Option::is_none")]
    api_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<String>,
    name: String,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Fallback {
    failure_threshold: u32,
    replicas: u32,
    behavior: &'static str,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Advanced {
    horizontal_pod_autoscaler_config: HorizontalPodAutoscalerConfig,
}

#[derive(Clone, Debug, Serialize)]
struct HorizontalPodAutoscalerConfig {
    behavior: Behavior,
}

/// <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/horizontal-pod-autoscaler-v2/>.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Behavior {
    scale_up: ScalingRules,
    scale_down: ScalingRules,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScalingRules {
    stabilization_window_seconds: u64,
    select_policy: &'static str,
    policies: Vec<ScalingPolicy>,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct ScalingPolicy {
    r#type: &'static str,
    value: u32,
    period_seconds: u64,
}

#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PrometheusTrigger {
    r#type: &'static str,
    name: &'static str,
    metric_type: &'static str,
    metadata: PrometheusMetadata,
}

/// Every value is a text: KEDA's CRD refuses `threshold: 5`.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct PrometheusMetadata {
    server_address: DoubleQuoted<String>,
    query: LitString,
    threshold: DoubleQuoted<String>,
    activation_threshold: DoubleQuoted<&'static str>,
    ignore_null_values: DoubleQuoted<&'static str>,
    timeout: DoubleQuoted<&'static str>,
}

impl ScaledObject {
    /// The kind, as Kubernetes knows it.
    pub const KIND: &'static str = "ScaledObject";

    /// The ScaledObject of a plan.
    pub fn of(plan: &Plan<'_>) -> Self {
        let workload = plan.workload;
        let zero = plan.scale_to_zero;
        Self {
            api_version: "keda.sh/v1alpha1",
            kind: Self::KIND,
            metadata: Metadata {
                name: workload.name.clone(),
                namespace: workload.namespace.clone(),
            },
            spec: Spec {
                scale_target_ref: scale_target_ref(&workload.target),
                // From one replica on the HPA does the polling and KEDA's webhook warns of a field without effect.
                polling_interval: zero.map(|zero| zero.polling_interval.as_secs()),
                cooldown_period: zero.map(|zero| zero.cooldown.as_secs()),
                initial_cooldown_period: zero.map(|zero| zero.cooldown.as_secs()),
                min_replica_count: workload.replicas.min(),
                max_replica_count: workload.replicas.max(),
                fallback: plan.fallback.map(|fallback| Fallback {
                    failure_threshold: fallback.after_failures,
                    replicas: fallback.replicas,
                    behavior: "currentReplicasIfHigher",
                }),
                advanced: Advanced {
                    horizontal_pod_autoscaler_config: HorizontalPodAutoscalerConfig {
                        behavior: behavior(plan),
                    },
                },
                triggers: plan
                    .triggers
                    .iter()
                    .map(|trigger| prometheus(trigger, &workload.prometheus.server_address))
                    .collect(),
            },
        }
    }
}

impl ScaledObject {
    /// See [`super::Manifest::without_braces`]. In PromQL two braces in a row stand in a text only, and there the second can be written
    /// by its code.
    pub(super) fn without_braces(mut self) -> Self {
        for trigger in &mut self.spec.triggers {
            let LitString(query) = &mut trigger.metadata.query;
            *query = query.replace("{{", r"{\x7b");
        }
        self
    }
}

fn scale_target_ref(target: &Target) -> ScaleTargetRef {
    let told = target.kind != "Deployment" || target.api_version != APPS_V1;
    ScaleTargetRef {
        api_version: told.then(|| target.api_version.clone()),
        kind: told.then(|| target.kind.clone()),
        name: target.name.clone(),
    }
}

fn behavior(plan: &Plan<'_>) -> Behavior {
    let policy = |r#type, value, period: Duration| ScalingPolicy {
        r#type,
        value,
        period_seconds: period.as_secs(),
    };
    let (up, down) = (plan.scale_up, plan.scale_down);
    Behavior {
        scale_up: ScalingRules {
            stabilization_window_seconds: 0,
            select_policy: "Max",
            policies: vec![
                policy("Pods", up.pods, up.period),
                policy("Percent", up.percent, up.period),
            ],
        },
        scale_down: ScalingRules {
            stabilization_window_seconds: down.window.as_secs(),
            select_policy: "Max",
            policies: vec![policy("Percent", down.percent, down.period)],
        },
    }
}

fn prometheus(trigger: &Trigger, server_address: &str) -> PrometheusTrigger {
    PrometheusTrigger {
        r#type: "prometheus",
        name: trigger.name,
        // The query is a total, which the HPA divides among the replicas.
        metric_type: "AverageValue",
        metadata: PrometheusMetadata {
            server_address: DoubleQuoted(server_address.to_owned()),
            query: LitString(trigger.query.to_string()),
            threshold: DoubleQuoted(trigger.threshold.to_string()),
            activation_threshold: DoubleQuoted("0"),
            ignore_null_values: DoubleQuoted("false"),
            timeout: DoubleQuoted("5s"),
        },
    }
}

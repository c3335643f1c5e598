//! KEDA's ScaledObject.
//!
//! Source: <https://github.com/kedacore/keda/blob/v2.20.2/apis/keda/v1alpha1/scaledobject_types.go>.
//!
//! What KEDA would default is written out wherever its default is a trap: without `minReplicaCount` and `maxReplicaCount` a worker
//! scales from 0 to 100, without `initialCooldownPeriod` running pods go at the first poll, and without `behavior` the HPA waits
//! five minutes.

use std::time::Duration;

use serde_json::{Map, Value, json};

use super::{insert, metadata, trigger};
use crate::plan::Plan;
use crate::workload::{APPS_V1, KEDA_WITH_EXCLUDED_LABELS, Target};

/// The annotation by which KEDA keeps labels from the HPA:
/// <https://github.com/kedacore/keda/blob/v2.20.2/apis/keda/v1alpha1/scaledobject_types.go>.
const EXCLUDED_LABELS: &str = "scaledobject.keda.sh/hpa-excluded-labels";
/// Labels by which deployment tools know what is theirs. On the HPA they would make a tool take it for an object that it has to
/// remove, because it stands in no manifest.
const TRACKING_LABELS: [&str; 3] = [
    "app.kubernetes.io/instance",
    "app.kubernetes.io/managed-by",
    "argocd.argoproj.io/instance",
];
/// Prefixes of such labels.
const TRACKING_PREFIXES: [&str; 2] = ["kustomize.toolkit.fluxcd.io", "helm.toolkit.fluxcd.io"];

/// The ScaledObject of a plan.
pub(super) fn of(plan: &Plan<'_>) -> Value {
    let workload = plan.workload;
    let mut metadata = metadata(&workload.name, workload);
    let excluded: Vec<&str> = workload
        .labels
        .keys()
        .map(String::as_str)
        .filter(|name| is_tracking(name))
        .collect();
    let told = workload.annotations.contains_key(EXCLUDED_LABELS);
    if !excluded.is_empty() && !told && workload.keda >= KEDA_WITH_EXCLUDED_LABELS {
        let annotations = metadata
            .entry("annotations")
            .or_insert_with(|| json!({}))
            .as_object_mut();
        if let Some(annotations) = annotations {
            // KEDA cuts at the comma and trims nothing.
            annotations.insert(EXCLUDED_LABELS.to_owned(), json!(excluded.join(",")));
        }
    }
    let mut spec = Map::new();
    insert(
        &mut spec,
        "scaleTargetRef",
        scale_target_ref(&workload.target),
    );
    // From one replica on the HPA does the polling and KEDA's webhook warns of a field without effect.
    if let Some(zero) = plan.scale_to_zero {
        let cooldown = zero.cooldown.as_secs();
        insert(
            &mut spec,
            "pollingInterval",
            zero.polling_interval.as_secs(),
        );
        insert(&mut spec, "cooldownPeriod", cooldown);
        insert(&mut spec, "initialCooldownPeriod", cooldown);
    }
    insert(&mut spec, "minReplicaCount", workload.replicas.min());
    insert(&mut spec, "maxReplicaCount", workload.replicas.max());
    if let Some(fallback) = plan.fallback {
        let fallback = json!({
            "failureThreshold": fallback.after_failures,
            "replicas": fallback.replicas,
            "behavior": fallback.behavior.name(),
        });
        insert(&mut spec, "fallback", fallback);
    }
    let config = json!({ "behavior": behavior(plan) });
    insert(
        &mut spec,
        "advanced",
        json!({ "horizontalPodAutoscalerConfig": config }),
    );
    let triggers: Vec<Value> = plan
        .triggers
        .iter()
        // The query is a total, which the HPA divides among the replicas.
        .map(|of| trigger::of(of, workload, Some("AverageValue")))
        .collect();
    insert(&mut spec, "triggers", triggers);
    json!({
        "apiVersion": super::API_VERSION,
        "kind": super::SCALED_OBJECT,
        "metadata": metadata,
        "spec": spec,
    })
}

fn is_tracking(label: &str) -> bool {
    let prefix = label.split_once('/').map(|(prefix, _)| prefix);
    TRACKING_LABELS.contains(&label)
        || prefix.is_some_and(|prefix| TRACKING_PREFIXES.contains(&prefix))
}

fn scale_target_ref(target: &Target) -> Map<String, Value> {
    let mut reference = Map::new();
    if target.kind != "Deployment" || target.api_version != APPS_V1 {
        insert(&mut reference, "apiVersion", target.api_version.as_str());
        insert(&mut reference, "kind", target.kind.as_str());
    }
    insert(&mut reference, "name", target.name.as_str());
    reference
}

/// <https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/horizontal-pod-autoscaler-v2/>.
fn behavior(plan: &Plan<'_>) -> Value {
    let policy = |r#type: &str, value: u32, period: Duration| json!({ "type": r#type, "value": value, "periodSeconds": period.as_secs() });
    let (up, down) = (plan.scale_up, plan.scale_down);
    let mut scale_up = Map::new();
    insert(&mut scale_up, "stabilizationWindowSeconds", 0);
    if plan.exact_scale_up {
        // A quantity, which is a text to every reader.
        insert(&mut scale_up, "tolerance", "0");
    }
    insert(&mut scale_up, "selectPolicy", "Max");
    let policies = [
        policy("Pods", up.pods, up.period),
        policy("Percent", up.percent, up.period),
    ];
    insert(&mut scale_up, "policies", policies.to_vec());
    json!({
        "scaleUp": scale_up,
        "scaleDown": {
            "stabilizationWindowSeconds": down.window.as_secs(),
            "selectPolicy": "Max",
            "policies": [policy("Percent", down.percent, down.period)],
        },
    })
}

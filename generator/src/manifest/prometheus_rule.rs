//! A `PrometheusRule` with the alerts of one worker, and the same as the rule file that Prometheus itself reads.
//!
//! Sources: <https://github.com/prometheus-operator/prometheus-operator/blob/v0.86.0/pkg/apis/monitoring/v1/prometheusrule_types.go>,
//! <https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/>. The `spec` of the one is the whole of the other.

use bullmq_vocabulary::prometheus_duration;
use serde_json::{Map, Value, json};

use super::{insert, metadata};
use crate::alert::{self, Alert, Options};
use crate::plan::Plan;
use crate::query::Scaler;

/// The `PrometheusRule` of a plan, given the object that scales its worker as it will be applied: overrides may have renamed its HPA, or
/// changed its query.
pub(super) fn of(plan: &Plan<'_>, finished: &Value, options: &Options) -> Value {
    let workload = plan.workload;
    let namespace = workload.namespace.as_deref();
    let default_hpa = format!("keda-hpa-{}", workload.name);
    let scaler = match workload.template {
        Some(_) => Scaler::Job {
            namespace,
            name: &workload.name,
        },
        None => Scaler::Object {
            namespace,
            name: &workload.name,
            hpa: finished
                .pointer("/spec/advanced/horizontalPodAutoscalerConfig/name")
                .and_then(Value::as_str)
                .unwrap_or(&default_hpa),
        },
    };
    let alerts = alert::alerts(plan, &scaler, query(finished).unwrap_or_default());
    let rules: Vec<Value> = alerts
        .iter()
        .map(|alert| rule(alert, &scaler, namespace, options))
        .collect();
    let mut metadata = metadata(&format!("{}-alerts", workload.name), workload);
    // What a person says of the worker is said of what scales it.
    metadata.remove("annotations");
    if !options.labels.is_empty() {
        let labels = metadata.entry("labels").or_insert_with(|| json!({}));
        if let Some(labels) = labels.as_object_mut() {
            let own = options.labels.iter();
            labels.extend(own.map(|(name, value)| (name.clone(), json!(value))));
        }
    }
    // No DNS name holds a slash, so that no two workers of one file have a group of one name.
    let group = match namespace {
        Some(namespace) => format!("bullmq-worker/{namespace}/{}", workload.name),
        None => format!("bullmq-worker/{}", workload.name),
    };
    json!({
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": super::PROMETHEUS_RULE,
        "metadata": metadata,
        "spec": { "groups": [{ "name": group, "rules": rules }] },
    })
}

/// The query of the first trigger that asks Prometheus.
fn query(finished: &Value) -> Option<&str> {
    let triggers = finished.pointer("/spec/triggers")?.as_array()?;
    triggers
        .iter()
        .find_map(|trigger| trigger.pointer("/metadata/query")?.as_str())
}

fn rule(alert: &Alert, scaler: &Scaler<'_>, namespace: Option<&str>, options: &Options) -> Value {
    let mut labels = Map::new();
    insert(&mut labels, "severity", alert.urgency.severity());
    if let Some(namespace) = namespace {
        insert(&mut labels, "namespace", namespace);
    }
    let (kind, name) = scaler.label();
    insert(&mut labels, kind, name);
    json!({
        "alert": alert.name,
        "expr": alert.condition.to_string(),
        "for": prometheus_duration(alert.lasting),
        "labels": labels,
        "annotations": {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": format!("{}/{}.md", options.runbooks, alert.runbook),
        },
    })
}

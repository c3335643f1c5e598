//! A trigger of KEDA's prometheus scaler, and the `TriggerAuthentication` that it uses.
//!
//! Source: <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/prometheus_scaler.go>. Without `ignoreNullValues: "false"` a
//! lost metric is 0. `unsafeSsl` is never written.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{insert, metadata};
use crate::plan::Trigger;
use crate::workload::{Authentication, KEDA_WITH_BEHAVIOR, Provider, Reference, Way, Workload};

/// One trigger. `metric_type` is nothing where KEDA knows no such field.
pub(super) fn of(trigger: &Trigger, workload: &Workload, metric_type: Option<&str>) -> Value {
    let prometheus = &*workload.prometheus;
    let mut metadata = Map::new();
    insert(
        &mut metadata,
        "serverAddress",
        prometheus.server_address.as_str(),
    );
    insert(&mut metadata, "query", trigger.query.to_string());
    insert(&mut metadata, "threshold", trigger.threshold.to_string());
    insert(&mut metadata, "activationThreshold", "0");
    insert(&mut metadata, "ignoreNullValues", "false");
    if workload.keda >= KEDA_WITH_BEHAVIOR {
        insert(&mut metadata, "timeout", "5s");
    }
    for (name, texts) in [
        ("customHeaders", &prometheus.headers),
        ("queryParameters", &prometheus.query_parameters),
    ] {
        if !texts.is_empty() {
            insert(&mut metadata, name, joined(texts));
        }
    }
    if let Some(namespace) = &prometheus.namespace {
        insert(&mut metadata, "namespace", namespace.as_str());
    }
    let mut reference = None;
    if let Some(authentication) = &prometheus.authentication {
        let (modes, region) = modes(authentication);
        if !modes.is_empty() {
            insert(&mut metadata, "authModes", modes.join(","));
        }
        if let Some(region) = region {
            insert(&mut metadata, "awsRegion", region);
        }
        reference = Some(match authentication {
            Authentication::Own { .. } | Authentication::Identity(_) => {
                json!({ "name": authentication_name(workload) })
            }
            Authentication::Existing(existing) if existing.of_cluster => {
                json!({ "name": existing.name, "kind": "ClusterTriggerAuthentication" })
            }
            Authentication::Existing(existing) => json!({ "name": existing.name }),
        });
    }
    let mut object = Map::new();
    insert(&mut object, "type", "prometheus");
    insert(&mut object, "name", trigger.name);
    if let Some(metric_type) = metric_type {
        insert(&mut object, "metricType", metric_type);
    }
    insert(&mut object, "metadata", metadata);
    if let Some(reference) = reference {
        insert(&mut object, "authenticationRef", reference);
    }
    Value::Object(object)
}

/// As KEDA's parser takes it apart again. No text in it holds a separator, which the spec has been checked for.
fn joined(texts: &BTreeMap<String, String>) -> String {
    let pairs: Vec<String> = texts
        .iter()
        .map(|(name, text)| format!("{name}={text}"))
        .collect();
    pairs.join(",")
}

fn modes(authentication: &Authentication) -> (Vec<&str>, Option<&str>) {
    match authentication {
        Authentication::Own { way, tls, .. } => {
            let sent = way.as_ref().map(|way| match way {
                Way::Bearer(_) => "bearer",
                Way::Basic(..) => "basic",
                Way::Header(..) => "custom",
            });
            let tls = tls.as_ref().map(|_| "tls");
            (sent.into_iter().chain(tls).collect(), None)
        }
        Authentication::Identity(identity) => match &identity.provider {
            Provider::Aws { region, .. } => (Vec::new(), Some(region)),
            Provider::AzureWorkload | Provider::Gcp => (Vec::new(), None),
        },
        Authentication::Existing(existing) => {
            (existing.modes.iter().map(String::as_str).collect(), None)
        }
    }
}

/// One for each worker, so that a worker's manifests are whole and no other worker's change with it. KEDA looks in the worker's own
/// namespace.
fn authentication_name(workload: &Workload) -> String {
    format!("{}-prometheus", workload.name)
}

/// The `TriggerAuthentication` of a worker, unless it needs none, or one that exists.
pub(super) fn authentication(workload: &Workload) -> Option<Value> {
    let mut spec = Map::new();
    match workload.prometheus.authentication.as_ref()? {
        Authentication::Own { way, tls, ca } => {
            let mut parameters: Vec<(&str, &Reference)> = match way {
                None => Vec::new(),
                Some(Way::Bearer(token)) => vec![("bearerToken", token)],
                Some(Way::Basic(name, password)) => {
                    vec![("username", name), ("password", password)]
                }
                Some(Way::Header(name, value)) => {
                    vec![("customAuthHeader", name), ("customAuthValue", value)]
                }
            };
            if let Some((cert, key)) = tls {
                parameters.extend([("cert", cert), ("key", key)]);
            }
            parameters.extend(ca.as_ref().map(|ca| ("ca", ca)));
            for (field, secret) in [("secretTargetRef", true), ("configMapTargetRef", false)] {
                let references: Vec<Value> = parameters
                    .iter()
                    .filter(|(_, reference)| reference.secret == secret)
                    .map(|(parameter, at)| json!({ "parameter": parameter, "name": at.name, "key": at.key }))
                    .collect();
                if !references.is_empty() {
                    insert(&mut spec, field, references);
                }
            }
        }
        Authentication::Identity(of) => {
            let mut identity = Map::new();
            let (provider, role_arn) = match &of.provider {
                Provider::Aws { role_arn, .. } => ("aws", role_arn.as_deref()),
                Provider::AzureWorkload => ("azure-workload", None),
                Provider::Gcp => ("gcp", None),
            };
            insert(&mut identity, "provider", provider);
            if let Some(role_arn) = role_arn {
                insert(&mut identity, "roleArn", role_arn);
            }
            if let Some(id) = &of.identity_id {
                insert(&mut identity, "identityId", id.as_str());
            }
            insert(&mut spec, "podIdentity", identity);
        }
        Authentication::Existing(_) => return None,
    }
    let mut metadata = metadata(&authentication_name(workload), workload);
    // What a person says of the worker is said of what scales it.
    metadata.remove("annotations");
    Some(json!({
        "apiVersion": super::API_VERSION,
        "kind": super::TRIGGER_AUTHENTICATION,
        "metadata": metadata,
        "spec": spec,
    }))
}

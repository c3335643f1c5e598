//! KEDA's ScaledJob: a Job for each replica that is needed.
//!
//! Source: <https://github.com/kedacore/keda/blob/v2.20.2/apis/keda/v1alpha1/scaledjob_types.go>. At each poll KEDA makes
//! `ceil(answer / threshold)` Jobs, less those that run: <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/executor/scale_jobs.go>.
//! The answer counts running jobs too, so the strategy is `default`. `accurate` would count a job twice that has been started
//! and is still waiting in Prometheus. There is no HPA, no fallback and no cooldown; while a trigger has no answer, no Job is made
//! and none is ended.

use serde_json::{Map, Value, json};

use super::{insert, metadata, trigger};
use crate::plan::Plan;
use crate::workload::{JobTemplate, POLLING_INTERVAL};

/// Ended Jobs that are kept, of each sort. KEDA keeps 100, which is a hundred pods in every list.
const HISTORY: u32 = 10;

/// The ScaledJob of a plan whose worker has this template.
pub(super) fn of(plan: &Plan<'_>, template: &JobTemplate) -> Value {
    let workload = plan.workload;
    let mut metadata = metadata(&workload.name, workload);
    for (name, of_file) in [
        ("labels", &template.labels),
        ("annotations", &template.annotations),
    ] {
        if of_file.is_empty() {
            continue;
        }
        let mut all = of_file.clone();
        if let Some(Value::Object(own)) = metadata.remove(name) {
            all.extend(own);
        }
        insert(&mut metadata, name, all);
    }
    let mut spec = Map::new();
    insert(&mut spec, "jobTargetRef", template.spec.clone());
    insert(&mut spec, "pollingInterval", POLLING_INTERVAL.as_secs());
    insert(&mut spec, "successfulJobsHistoryLimit", HISTORY);
    insert(&mut spec, "failedJobsHistoryLimit", HISTORY);
    insert(&mut spec, "minReplicaCount", workload.replicas.min());
    insert(&mut spec, "maxReplicaCount", workload.replicas.max());
    // The other one ends running Jobs when the manifest changes.
    insert(&mut spec, "rollout", json!({ "strategy": "gradual" }));
    insert(
        &mut spec,
        "scalingStrategy",
        json!({ "strategy": "default" }),
    );
    // A trigger of a ScaledJob has no metric type: the API server would drop it.
    let triggers: Vec<Value> = plan
        .triggers
        .iter()
        .map(|of| trigger::of(of, workload, None))
        .collect();
    insert(&mut spec, "triggers", triggers);
    json!({
        "apiVersion": super::API_VERSION,
        "kind": super::SCALED_JOB,
        "metadata": metadata,
        "spec": spec,
    })
}

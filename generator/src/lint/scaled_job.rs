//! ScaledJobs: what the template of their Jobs and the way they are counted do.
//!
//! Sources: <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scaling/executor/scale_jobs.go> and
//! <https://github.com/kedacore/keda/blob/v2.20.2/controllers/keda/scaledjob_controller.go>.

use super::object::{Object, at, get, text, whole_at};
use super::query::counts_running;
use super::trigger::Trigger;
use crate::problem::{Problem, Rule};

/// Checks a ScaledJob.
pub(super) fn check(object: &Object<'_>, problems: &mut Vec<Problem>) {
    let Some(spec) = get(object.node, "spec") else {
        return;
    };
    if let (Some((_, min)), Some((node, max))) = (
        whole_at(spec, &["minReplicaCount"]),
        whole_at(spec, &["maxReplicaCount"]),
    ) && max < min
    {
        problems.push(Problem::new(
            Rule::ReplicasMaxBelowMin,
            node.span,
            "`maxReplicaCount` is below `minReplicaCount`",
            format!("{max} is below {min}"),
            format!("write `maxReplicaCount: {min}` or more, or lower `minReplicaCount`"),
        ));
    }
    restart(object, problems);
    accurate(object, problems);
    let unset = |name: &str| get(spec, name).is_none();
    if unset("successfulJobsHistoryLimit") || unset("failedJobsHistoryLimit") {
        problems.push(
            Problem::new(
                Rule::ScaledJobHistoryLimitUnset,
                object.head(),
                "a hundred finished Jobs of each outcome stay, each with its pod",
                "no `successfulJobsHistoryLimit`, or no `failedJobsHistoryLimit`",
                "write `successfulJobsHistoryLimit: 3` and `failedJobsHistoryLimit: 10`",
            )
            .because("KEDA's default is 100, and it lists them all at every poll"),
        );
    }
    if text(spec, &["rollout", "strategy"]) != Some("gradual")
        && text(spec, &["rolloutStrategy"]) != Some("gradual")
    {
        problems.push(
            Problem::new(
                Rule::ScaledJobRolloutImmediate,
                at(spec, &["rollout", "strategy"]).map_or(object.head(), |node| node.span),
                "every change of this ScaledJob deletes the Jobs that run",
                "`rollout.strategy` is `immediate`, also where none is written",
                "write `rollout: {strategy: gradual}`: running Jobs end with their old template",
            )
            .because("a deleted Job takes its pods along in the middle of their work"),
        );
    }
}

fn restart(object: &Object<'_>, problems: &mut Vec<Problem>) {
    if let Some(node) = object.pod().and_then(|pod| get(pod, "restartPolicy"))
        && node.text() == Some("Always")
    {
        problems.push(Problem::new(
            Rule::ScaledJobRestartAlways,
            node.span,
            "Kubernetes refuses a Job whose pods always restart, so none is ever started",
            "not for a Job",
            "write `restartPolicy: Never` or `OnFailure`; KEDA writes `OnFailure` where none is given",
        ));
    }
}

fn accurate(object: &Object<'_>, problems: &mut Vec<Problem>) {
    let Some(node) = object.spec(&["scalingStrategy", "strategy"]) else {
        return;
    };
    if node.text() != Some("accurate") {
        return;
    }
    let blind = Trigger::all(object).find(|trigger| {
        trigger.r#type == "prometheus"
            && trigger
                .value("query")
                .is_some_and(|(_, query)| !counts_running(query))
    });
    if let Some(trigger) = blind {
        let query = trigger
            .value("query")
            .map_or(trigger.head(), |(node, _)| node.span);
        problems.push(
            Problem::new(
                Rule::ScaledJobAccurateDoubleCounts,
                node.span,
                "jobs that have just been taken are given a second Job",
                "counts on a number that is true at once",
                "write `strategy: default`, and a query that counts waiting and running jobs",
            )
            .because("a started Job is no longer pending to KEDA, and Prometheus shows its job as waiting until the next scrape")
            .related(query, "counts waiting jobs only"),
        );
    }
}

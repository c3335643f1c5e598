//! The workload that is scaled: whether its pods get to end their jobs, count as ready when they are, and may be moved. What is said
//! of jobs is said of workers of Bull and BullMQ only, which the workload or its ScaledObject names.

use std::time::Duration;

use super::object::{Kind, Object, get, items, mentions, whole, whole_at};
use super::replicas::Bounds;
use super::set::{Set, pairs, wanted};
use super::trigger::Trigger;
use crate::counted::counted;
use crate::document::Node;
use crate::problem::{Problem, Rule};

/// Kubernetes' `terminationGracePeriodSeconds` where none is written:
/// <https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination>.
const DEFAULT_GRACE: i64 = 30;
/// What passes after the last job: the connections to Redis are closed, and the process ends.
const CLOSING: Duration = Duration::from_secs(10);
/// Jobs beyond this hold up every rollout and every drain of a node for as long.
const LONGEST_JOB: Duration = Duration::from_mins(30);

/// Checks the workloads that a ScaledObject among the inputs scales, and what a spec says of its jobs.
pub(super) fn check(set: &Set<'_>, problems: &mut Vec<Problem>) {
    for workload in &set.objects {
        if !matches!(workload.kind, Kind::Deployment | Kind::StatefulSet) {
            continue;
        }
        let scalers: Vec<&Object<'_>> = set.scalers_of(workload).collect();
        let Some(pod) = workload.pod() else {
            continue;
        };
        let Some(first) = scalers.first() else {
            continue;
        };
        // What a pod leaves behind is known of BullMQ's workers; of others it is not.
        let runs_jobs = set.job_time(workload).is_some()
            || mentions(workload.node, "bull")
            || scalers.iter().any(|scaled| mentions(scaled.node, "bull"));
        if runs_jobs {
            grace(workload, pod, first, set, problems);
            signal(pod, problems);
        }
        if scalers.iter().any(|scaled| by_value(scaled)) {
            readiness(pod, first, problems);
        }
        budget(workload, first, set, problems);
    }
    for job in &set.jobs {
        if job.time > LONGEST_JOB {
            problems.push(
                Problem::new(
                    Rule::JobTooLongForScaledObject,
                    job.at,
                    "jobs this long hold up every scale-down, rollout and drain of a node for as long",
                    format!("a job takes up to {}", humantime::format_duration(job.time)),
                    "split the jobs, or run each in a pod of its own with a ScaledJob",
                )
                .because("a pod that is taken away ends only with its last job, and Kubernetes waits no longer than `terminationGracePeriodSeconds`"),
            );
        }
    }
}

fn by_value(scaled: &Object<'_>) -> bool {
    Trigger::all(scaled).any(|trigger| trigger.metric_type() == "Value")
}

fn grace(
    workload: &Object<'_>,
    pod: &Node,
    scaled: &Object<'_>,
    set: &Set<'_>,
    problems: &mut Vec<Problem>,
) {
    let written = whole_at(pod, &["terminationGracePeriodSeconds"]);
    let seconds = written.map_or(DEFAULT_GRACE, |(_, seconds)| seconds);
    let job = set.job_time(workload);
    let needed = job.map(|job| job.time + CLOSING);
    let enough = match needed {
        Some(needed) => {
            u64::try_from(seconds).is_ok_and(|seconds| Duration::from_secs(seconds) >= needed)
        }
        // Whoever writes a number has thought of the jobs; 30 s come from nobody.
        None => written.is_some(),
    };
    if enough {
        return;
    }
    let label = match written {
        Some(_) => "shorter than the longest job".to_owned(),
        None => format!("no `terminationGracePeriodSeconds`: {DEFAULT_GRACE} s"),
    };
    let help = match needed {
        Some(needed) => format!("write `terminationGracePeriodSeconds: {}`: the longest job and ten seconds", needed.as_secs()),
        None => "write `terminationGracePeriodSeconds` under `template.spec`: the longest job and ten seconds".to_owned(),
    };
    let problem = Problem::new(
        Rule::WorkloadShortGracePeriod,
        written.map_or(workload.head(), |(node, _)| node.span),
        "on the way down pods are killed in the middle of their jobs",
        label,
        help,
    )
    .because("BullMQ then holds the job as active until its lock runs out, runs it again as stalled, and fails it at the second time (`maxStalledCount` is 1)");
    problems.push(match job {
        Some(job) => problem.related(
            job.at,
            format!("a job takes up to {}", humantime::format_duration(job.time)),
        ),
        None => problem.related(scaled.head(), "scaled by this"),
    });
}

/// Commands between the container and the worker that keep SIGTERM to themselves.
fn signal(pod: &Node, problems: &mut Vec<Problem>) {
    for container in get(pod, "containers").into_iter().flat_map(items) {
        if get(container, "lifecycle")
            .and_then(|lifecycle| get(lifecycle, "preStop"))
            .is_some()
        {
            continue;
        }
        let words: Vec<&Node> = ["command", "args"]
            .iter()
            .filter_map(|field| get(container, field))
            .flat_map(items)
            .collect();
        let text = |index: usize| {
            words
                .get(index)
                .and_then(|node| node.text())
                .unwrap_or_default()
        };
        let program = text(0).rsplit('/').next().unwrap_or_default();
        let script = words.iter().position(|node| {
            node.text()
                .is_some_and(|word| word.starts_with('-') && word.ends_with('c'))
        });
        let script = script.map(|at| text(at + 1)).unwrap_or_default();
        let label = match program {
            "npm" | "yarn" | "pnpm" => "starts the worker as its child",
            "sh" | "bash" | "ash" | "dash" if is_compound(script) => "runs the worker as its child",
            _ => continue,
        };
        let Some(first) = words.first() else {
            continue;
        };
        problems.push(
            Problem::new(
                Rule::WorkloadSignalLost,
                first.span,
                format!("`{program}` gets the signal to stop, and the worker may not"),
                label,
                "start the worker itself, such as `command: [node, worker.js]`, or end the shell's script with `exec node worker.js`",
            )
            .because("the worker then takes new jobs until it is killed, and leaves them stalled"),
        );
    }
}

/// Whether a shell stays between: a script of several commands whose last one does not replace it.
fn is_compound(script: &str) -> bool {
    let several = script.contains("&&")
        || script.contains(';')
        || script.contains('|')
        || script.trim().contains('\n');
    several
        && !script
            .split([';', '&', '|', '\n'])
            .any(|command| command.trim_start().starts_with("exec "))
}

fn readiness(pod: &Node, scaled: &Object<'_>, problems: &mut Vec<Problem>) {
    let containers: Vec<&Node> = get(pod, "containers").into_iter().flat_map(items).collect();
    if containers.is_empty()
        || containers
            .iter()
            .any(|container| get(container, "readinessProbe").is_some())
    {
        return;
    }
    let at = containers
        .first()
        .and_then(|container| get(container, "name"))
        .map_or(pod.span, |name| name.span);
    problems.push(
        Problem::new(
            Rule::WorkloadNoReadinessProbe,
            at,
            "pods count as ready while they start, and the HPA multiplies with them",
            "no `readinessProbe`",
            "add a `readinessProbe` that succeeds once the worker is connected, or scale by `metricType: AverageValue`",
        )
        .because("with `metricType: Value` the HPA wants ready pods x value / threshold, so pods that do no work yet ask for more of them")
        .related(scaled.head(), "scaled by `Value`"),
    );
}

fn budget(workload: &Object<'_>, scaled: &Object<'_>, set: &Set<'_>, problems: &mut Vec<Problem>) {
    let labels = workload.spec(&["template", "metadata", "labels"]);
    let labels = labels.map_or_else(Vec::new, pairs);
    let bounds = Bounds::of(scaled);
    for budget in set.budgets(&labels) {
        let selects = wanted(budget).iter().all(|wanted| labels.contains(wanted));
        if !selects || !budget.may_share_namespace(workload) {
            continue;
        }
        let none_may_go = budget
            .spec(&["maxUnavailable"])
            .filter(|node| matches!(node.text(), Some("0" | "0%")));
        let all_must_stay = budget.spec(&["minAvailable"]).filter(|node| {
            node.text() == Some("100%")
                || whole(node).is_some_and(|least| least >= bounds.least().max(1) && least > 0)
        });
        let Some(node) = none_may_go.or(all_must_stay) else {
            continue;
        };
        problems.push(
            Problem::new(
                Rule::PdbBlocksEviction,
                node.span,
                "at the smallest number of replicas no pod may be evicted, and a node cannot be drained",
                "lets no pod go",
                "write `maxUnavailable: 1`: it means the same at every number of replicas",
            )
            .because(format!("{} goes down to {}", scaled.title(), counted(bounds.least(), "replica")))
            .related(scaled.head(), "the bounds of the replicas"),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shell_stays_between_only_where_it_has_more_to_do() {
        for (script, expected) in [
            ("node worker.js", false),
            ("migrate && node worker.js", true),
            ("migrate && exec node worker.js", false),
            ("set -e\nnode worker.js", true),
            ("", false),
        ] {
            assert_eq!(is_compound(script), expected, "{script:?}");
        }
    }
}

//! KEDA's Redis triggers, pointed at a queue of Bull or BullMQ.
//!
//! They read the length of one key, `LLEN` of a list or its like for other types, and a key that does not exist is 0:
//! <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/redis_scaler.go>. A queue is many keys, so whichever one is taken, jobs
//! that need a worker stand elsewhere; and what moves them there is a worker, which at zero replicas there is not.
//!
//! Only keys that are sure to be a queue's are spoken of: by the prefix `bull`, by a key that nothing else is known to have, or by the
//! word `bull` anywhere in the object.

use serde::Serialize;

use super::finding::Finding;
use crate::Input;
use crate::document::{self, Dialect, Kind, Node};
use crate::rule::{Rule, Severity};
use crate::spec::API_VERSION;
use bullmq_vocabulary::DEFAULT_PREFIX;

/// KEDA's `listLength` where none is written:
/// <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/redis_scaler.go>.
const DEFAULT_LIST_LENGTH: u32 = 5;
/// KEDA's `maxReplicaCount` where none is written:
/// <https://github.com/kedacore/keda/blob/v2.20.2/apis/keda/v1alpha1/scaledobject_types.go>.
const DEFAULT_MAX_REPLICAS: u32 = 100;
/// What stands for the address of a Prometheus that is not known.
const PROMETHEUS: &str = "http://prometheus.monitoring.svc:9090";
/// The queue of n8n:
/// <https://github.com/n8n-io/n8n/blob/n8n%401.100.0/packages/cli/src/scaling/constants.ts>.
const N8N_QUEUE: &str = "jobs";

/// A trigger of type `redis`, `redis-streams` or one of their kin, and the object in which it stands.
#[derive(Clone, Copy, Debug)]
pub struct Trigger<'t> {
    /// The key that it reads: `listName` or `stream`.
    pub key: &'t str,
    /// Whether the key is read as a stream.
    pub is_stream: bool,
    /// `listLength`: jobs for one replica.
    pub list_length: Option<&'t str>,
    /// Whether anything in the object names Bull or BullMQ.
    pub mentions_bull: bool,
    /// Whether anything in the object names n8n, whose queue is known.
    pub mentions_n8n: bool,
    /// The name of the object.
    pub name: &'t str,
    /// The kind of what is scaled.
    pub target_kind: &'t str,
    /// The name of what is scaled.
    pub target: &'t str,
    /// `minReplicaCount`, as a number.
    pub min: u32,
    /// `maxReplicaCount`, as a number, if it is given.
    pub max: Option<u32>,
}

/// A key, taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key<'k> {
    /// A word without a colon.
    Word,
    /// It holds `*`, `?` or `[`.
    Pattern,
    /// `<prefix>:<queue>:<part>`, of which the part is one that queues have.
    Of {
        prefix: &'k str,
        queue: &'k str,
        part: &'k str,
    },
    /// The prefix of Bull and no part that queues have; the queue that was probably meant, and the part if one is close.
    Misspelt { prefix: &'k str, queue: &'k str },
    /// Nothing that is known of Bull or BullMQ.
    Foreign,
}

/// What the keys of a queue end in, in Bull 4 and BullMQ up to 6.
const PARTS: [&str; 18] = [
    "wait",
    "active",
    "prioritized",
    "delayed",
    "paused",
    "completed",
    "failed",
    "waiting-children",
    "events",
    "meta",
    "id",
    "repeat",
    "limiter",
    "stalled",
    "stalled-check",
    "marker",
    "priority",
    "pc",
];
/// Of these, what no other library of queues is known to write.
const TELLING: [&str; 4] = ["wait", "prioritized", "waiting-children", "stalled-check"];

impl<'k> Key<'k> {
    fn read(text: &'k str, mentions_bull: bool) -> Self {
        let bull = text.trim_start_matches('{').starts_with(DEFAULT_PREFIX);
        let (head, part) = text.rsplit_once(':').unwrap_or(("", text));
        let ours = bull || mentions_bull || TELLING.contains(&part);
        if text.contains(['*', '?', '[']) {
            return if ours { Self::Pattern } else { Self::Foreign };
        }
        if head.is_empty() {
            return Self::Word;
        }
        match head.rsplit_once(':') {
            Some((prefix, queue)) if PARTS.contains(&part) && ours => Self::Of {
                prefix,
                queue,
                part,
            },
            Some((prefix, queue)) if bull => match prefix.rsplit_once(':') {
                // `bull:queue:email:wait` and the like have a word too many.
                Some((prefix, "queue")) => Self::Misspelt { prefix, queue },
                Some(_) | None if queue == "queue" => Self::Misspelt {
                    prefix,
                    queue: part,
                },
                Some(_) | None => Self::Misspelt { prefix, queue },
            },
            None if bull => Self::Misspelt {
                prefix: head,
                queue: part,
            },
            Some(_) | None => Self::Foreign,
        }
    }
}

/// Tells what is wrong with a trigger, with the spec that replaces it.
pub fn lint(trigger: &Trigger<'_>) -> Option<Finding> {
    let key = Key::read(trigger.key, trigger.mentions_bull);
    let whole = 0..trigger.key.len();
    let at = |rule, title: String, label: &str, help: String| {
        Some(Finding::new(rule, whole.clone(), title, label, help))
    };
    match key {
        Key::Foreign => None,
        Key::Word => {
            let key = trigger.key;
            let told = at(
                Rule::RedisQueueNameAsList,
                format!("`{key}` is no key of Bull or BullMQ, and KEDA reads a missing key as 0"),
                "the name of a queue alone is no key",
                format!(
                    "the waiting jobs of a queue `{key}` are in `{DEFAULT_PREFIX}:{key}:wait`, and that list is not enough either. {}",
                    replacement(trigger, DEFAULT_PREFIX, key)
                ),
            )?;
            Some(if trigger.mentions_bull {
                told
            } else {
                // It may be the list of another program.
                told.with_severity(Severity::Info)
            })
        }
        Key::Pattern => at(
            Rule::RedisPatternAsList,
            "KEDA reads the one key of exactly this name, which does not exist, as 0".to_owned(),
            "patterns are not expanded",
            "name the queues in a spec, `queues: [email, sms]`, and let `bullmq-keda generate` make one query of them".to_owned(),
        ),
        Key::Misspelt { prefix, queue } => at(
            Rule::RedisNoSuchKey,
            "no queue of Bull or BullMQ has this key, and KEDA reads a missing key as 0".to_owned(),
            "not a key that Bull or BullMQ writes",
            format!(
                "the waiting jobs are in `{prefix}:{queue}:wait`, and that list is not enough either. {}",
                replacement(trigger, prefix, queue)
            ),
        ),
        Key::Of {
            prefix,
            queue: "default",
            part,
        } if trigger.mentions_n8n && prefix == DEFAULT_PREFIX => at(
            Rule::RedisN8nQueue,
            "n8n's queue is called `jobs`, and KEDA reads a missing key as 0".to_owned(),
            "no queue of n8n",
            format!(
                "the key would be `{prefix}:{N8N_QUEUE}:{part}`, and it is not enough either. {}",
                replacement(trigger, prefix, N8N_QUEUE)
            ),
        ),
        Key::Of {
            prefix,
            queue,
            part,
        } => {
            let (rule, title, label) = of_part(trigger, part);
            let help = replacement(trigger, prefix, queue);
            let finding = Finding::new(rule, whole.clone(), title, label, help);
            let asleep = trigger.min == 0
                && matches!(
                    rule,
                    Rule::RedisWaitingOnly | Rule::RedisActiveOnly | Rule::RedisPrioritizedOnly
                );
            Some(if asleep {
                finding.with_severity(Severity::Error)
            } else {
                finding
            })
        }
    }
}

/// What is wrong with one key of a queue as the measure of its work.
fn of_part(trigger: &Trigger<'_>, part: &str) -> (Rule, &'static str, &'static str) {
    let to_zero = trigger.min == 0;
    if trigger.is_stream {
        return (
            Rule::RedisNotABacklog,
            "this key is no backlog: its length says nothing of the jobs that need a worker",
            "BullMQ's stream of events keeps what is done",
        );
    }
    match part {
        "wait" if to_zero => (
            Rule::RedisWaitingOnly,
            "this list is empty while prioritized, delayed or stalled jobs need a worker, and at zero nothing wakes it",
            "only a living worker moves jobs that fall due into this list",
        ),
        "wait" => (
            Rule::RedisWaitingOnly,
            "this list leaves out prioritized jobs, jobs that fell due, and jobs that run",
            "waiting jobs alone: busy pods go as soon as nothing waits",
        ),
        "active" => (
            Rule::RedisActiveOnly,
            "this list holds the jobs that run, and none that needs a worker",
            if to_zero {
                "empty for ever at zero replicas"
            } else {
                "never more than the workers there are can run"
            },
        ),
        "prioritized" | "priority" => (
            Rule::RedisPrioritizedOnly,
            "this key leaves out jobs without a priority, jobs that fell due, and jobs that run",
            "prioritized jobs alone",
        ),
        "delayed" => (
            Rule::RedisDelayedInFull,
            "this counts every delayed job, due or not",
            "a job for next week keeps a pod until then",
        ),
        "paused" => (
            Rule::RedisPausedCounted,
            "this counts the jobs that a pause holds, which no worker takes",
            "pods wait for the pause to end",
        ),
        _ => (
            Rule::RedisNotABacklog,
            "this key is no backlog: its length says nothing of the jobs that need a worker",
            "not a list of jobs that need a worker",
        ),
    }
}

/// The spec of one worker, as far as a trigger tells it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spec<'s> {
    api_version: &'static str,
    prometheus: Prometheus,
    workers: [Worker<'s>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Prometheus {
    server_address: &'static str,
}

#[derive(Serialize)]
struct Worker<'s> {
    name: &'s str,
    target: Target<'s>,
    queues: [Queue<'s>; 1],
    scale: Scale,
    replicas: Replicas,
}

#[derive(Serialize)]
struct Target<'s> {
    #[serde(skip_serializing_if = "Option::is_none")]
    kind: Option<&'s str>,
    name: &'s str,
}

#[derive(Serialize)]
struct Queue<'s> {
    name: &'s str,
    prefix: &'s str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Scale {
    jobs_per_replica: u32,
}

#[derive(Serialize)]
struct Replicas {
    min: u32,
    max: u32,
}

/// The spec that replaces a trigger, and the triggers that it makes, as the program itself makes them.
fn replacement(trigger: &Trigger<'_>, prefix: &str, queue: &str) -> String {
    let spec = Spec {
        api_version: API_VERSION,
        prometheus: Prometheus {
            server_address: PROMETHEUS,
        },
        workers: [Worker {
            name: trigger.name,
            target: Target {
                kind: (trigger.target_kind != "Deployment").then_some(trigger.target_kind),
                name: trigger.target,
            },
            queues: [Queue {
                name: queue,
                prefix,
            }],
            scale: Scale {
                jobs_per_replica: trigger
                    .list_length
                    .and_then(|length| length.parse().ok())
                    .unwrap_or(DEFAULT_LIST_LENGTH),
            },
            replicas: Replicas {
                min: trigger.min,
                max: trigger.max.unwrap_or(DEFAULT_MAX_REPLICAS),
            },
        }],
    };
    let Ok(spec) = serde_saphyr::to_string(&spec) else {
        return "Describe the worker in a spec, and let `bullmq-keda generate` write the trigger"
            .to_owned();
    };
    let made = triggers(&spec).map_or_else(String::new, |triggers| {
        format!(
            "\nwhich makes these triggers, on what bullmq-exporter says of the queue:\n\n{triggers}"
        )
    });
    format!("Write this spec, and run `bullmq-keda generate` on it:\n\n{spec}{made}")
        .trim_end()
        .to_owned()
}

/// The triggers of the one ScaledObject that a spec makes, as a block of YAML.
fn triggers(spec: &str) -> Option<String> {
    let input = Input {
        name: "spec.yaml".to_owned(),
        short_name: "spec.yaml".to_owned(),
        bytes: spec.as_bytes().to_vec(),
    };
    let manifest = crate::generate(vec![input]).ok()?;
    let documents = document::read(&manifest, 0, Dialect::MANIFESTS);
    let root = documents.roots.first()?;
    let (key, list) = entry(entry(root, "spec")?.1, "triggers")?;
    let indentation = manifest.get(..key.span.start)?.rsplit('\n').next()?.len();
    let block = manifest.get(key.span.start..list.span.end)?.trim_end();
    let lines = block.split('\n').map(|line| {
        let blanks = line.len() - line.trim_start_matches(' ').len();
        line.get(blanks.min(indentation)..).unwrap_or(line)
    });
    Some(lines.collect::<Vec<_>>().join("\n"))
}

fn entry<'n>(node: &'n Node, name: &str) -> Option<(&'n Node, &'n Node)> {
    let Kind::Mapping(entries) = &node.kind else {
        return None;
    };
    entries
        .iter()
        .find(|(key, _)| key.text() == Some(name))
        .map(|(key, value)| (key.as_ref(), value.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRIGGER: Trigger<'_> = Trigger {
        key: "bull:email:wait",
        is_stream: false,
        list_length: Some("20"),
        mentions_bull: false,
        mentions_n8n: false,
        name: "email",
        target_kind: "Deployment",
        target: "email-worker",
        min: 0,
        max: Some(30),
    };

    #[test]
    fn each_key_is_told_for_what_it_is() {
        for (key, mentions, min, expected) in [
            ("bull:email:wait", "-", 0, "redis/waiting-only error"),
            ("bull:email:wait", "-", 1, "redis/waiting-only warning"),
            ("{bull}:email:wait", "-", 1, "redis/waiting-only warning"),
            ("bull:{email}:wait", "-", 1, "redis/waiting-only warning"),
            ("{shop}:email:wait", "-", 1, "redis/waiting-only warning"),
            ("shop:v2:email:wait", "-", 1, "redis/waiting-only warning"),
            ("bull:email:active", "-", 0, "redis/active-only error"),
            ("bull:email:active", "-", 2, "redis/active-only warning"),
            (
                "bull:email:prioritized",
                "-",
                2,
                "redis/prioritized-only warning",
            ),
            (
                "shop:email:prioritized",
                "-",
                0,
                "redis/prioritized-only error",
            ),
            (
                "bull:email:delayed",
                "-",
                0,
                "redis/delayed-in-full warning",
            ),
            ("bull:email:paused", "-", 0, "redis/paused-counted warning"),
            ("bull:email:completed", "-", 0, "redis/not-a-backlog error"),
            ("bull:email:meta", "-", 0, "redis/not-a-backlog error"),
            (
                "shop:email:delayed",
                "bull",
                0,
                "redis/delayed-in-full warning",
            ),
            ("shop:email:delayed", "-", 0, ""),
            ("email", "bull", 0, "redis/queue-name-as-list error"),
            ("email", "-", 0, "redis/queue-name-as-list info"),
            ("bull:*", "-", 0, "redis/pattern-as-list error"),
            ("*:email:wait", "-", 0, "redis/pattern-as-list error"),
            ("bull:queue:*", "-", 0, "redis/pattern-as-list error"),
            ("cache:*", "-", 0, ""),
            ("bull:email", "-", 0, "redis/no-such-key error"),
            ("bull:email:waiting", "-", 0, "redis/no-such-key error"),
            ("bull:queue:email", "-", 0, "redis/no-such-key error"),
            ("bull:default:wait", "n8n", 0, "redis/n8n-queue error"),
            ("bull:default:wait", "-", 1, "redis/waiting-only warning"),
            ("bull:jobs:wait", "n8n", 1, "redis/waiting-only warning"),
            ("rq:queue:default", "-", 0, ""),
            ("celery:task", "-", 0, ""),
        ] {
            let trigger = Trigger {
                key,
                mentions_bull: mentions == "bull",
                mentions_n8n: mentions == "n8n",
                min,
                ..TRIGGER
            };
            let told = lint(&trigger).map_or_else(String::new, |finding| {
                format!("{} {}", finding.rule, finding.severity.as_str())
            });
            assert_eq!(told, expected, "{key}");
        }
    }

    #[test]
    fn the_stream_of_events_is_no_backlog() {
        let trigger = Trigger {
            key: "bull:email:events",
            is_stream: true,
            ..TRIGGER
        };
        assert_eq!(lint(&trigger).unwrap().rule, Rule::RedisNotABacklog);
    }

    #[test]
    fn a_misspelt_key_names_the_queue_that_was_meant() {
        for (key, expected) in [
            ("bull:email", "`bull:email:wait`"),
            ("bull:email:waiting", "`bull:email:wait`"),
            ("bull:queue:email", "`bull:email:wait`"),
            ("{bull}:email:waiting", "`{bull}:email:wait`"),
        ] {
            let help = lint(&Trigger { key, ..TRIGGER }).unwrap().help;
            assert!(help.contains(expected), "{key}: {help}");
        }
    }

    #[test]
    fn the_replacement_is_what_the_generator_makes() {
        assert_eq!(
            replacement(&TRIGGER, "{app}", "email"),
            r#"Write this spec, and run `bullmq-keda generate` on it:

apiVersion: bullmq-keda/v1
prometheus:
  serverAddress: http://prometheus.monitoring.svc:9090
workers:
- name: email
  target:
    name: email-worker
  queues:
  - name: email
    prefix: "{app}"
  scale:
    jobsPerReplica: 20
  replicas:
    min: 0
    max: 30

which makes these triggers, on what bullmq-exporter says of the queue:

triggers:
- type: prometheus
  name: demand
  metricType: AverageValue
  metadata:
    serverAddress: "http://prometheus.monitoring.svc:9090"
    query: |-
      sum(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{redis="default",prefix="{app}",queue="email"}))
      and on() (count(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{redis="default",prefix="{app}",queue="email"})) == 1)
    threshold: "20"
    activationThreshold: "0"
    ignoreNullValues: "false"
    timeout: "5s""#
        );
    }

    #[test]
    fn what_cannot_be_generated_still_has_its_spec() {
        let trigger = Trigger {
            name: "Not_A_Name",
            ..TRIGGER
        };
        let text = replacement(&trigger, "bull", "email");
        assert!(
            text.contains("name: Not_A_Name") && !text.contains("which makes"),
            "{text}"
        );
    }
}

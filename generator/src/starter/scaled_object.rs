//! A spec from ScaledObjects that count Redis lists of Bull or BullMQ.
//!
//! KEDA's redis triggers read the length of one key: <https://keda.sh/docs/2.20/scalers/redis-lists/>. The key tells prefix and queue,
//! the rest of the object target and bounds. What a spec has no place for, or no need of, is told line by line; addresses and
//! passwords are not repeated.

use std::sync::Arc;
use std::time::Duration;

use bullmq_vocabulary::{DEFAULT_PREFIX, DEFAULT_REDIS_NAME, prometheus_duration};

use super::name::{Names, is_name};
use super::text::{head, line, one_line, queue, value};
use super::{Starter, Wishes};
use crate::counted::counted;
use crate::decimal::Decimal;
use crate::document::{self, Dialect, Kind, Node};
use crate::plan::FallbackBehavior;
use crate::problem::{Problem, Rule, Source, Span, in_order};
use crate::{Error, Input};

/// KEDA's own values where a ScaledObject says nothing.
const KEDAS_MIN: u32 = 0;
const KEDAS_MAX: u32 = 100;
const KEDAS_COOLDOWN: u64 = 300;
const KEDAS_LIST_LENGTH: &str = "5";
/// The shortest quiet time of a spec, in seconds.
const SHORTEST_IDLE: u64 = 60;
/// The types of triggers that count a Redis list.
const REDIS: [&str; 3] = ["redis", "redis-cluster", "redis-sentinel"];
/// What Bull and BullMQ call the keys of a queue, after its name.
const LISTS: [&str; 11] = [
    "wait",
    "waiting",
    "active",
    "paused",
    "delayed",
    "prioritized",
    "priority",
    "completed",
    "failed",
    "waiting-children",
    "id",
];
/// Keys of a trigger that say how Redis is reached, as the beginning of their names.
const ACCESS: [&str; 12] = [
    "address",
    "host",
    "port",
    "user",
    "password",
    "sentinel",
    "enabletls",
    "unsafessl",
    "databaseindex",
    "tls",
    "ca",
    "cert",
];
/// Keys of a trigger whose values are never shown.
const SECRET: [&str; 5] = ["address", "host", "user", "password", "sentinel"];

/// Reads ScaledObjects, alone, in a list of Kubernetes or among other manifests.
///
/// # Errors
/// [`Error::Invalid`] with everything that cannot be read, and if there is no such object at all.
pub fn from_scaled_objects(inputs: Vec<Input>, wishes: &Wishes) -> Result<Starter, Error> {
    let mut reader = Reader::default();
    let mut sources = Vec::new();
    let mut workers = Vec::new();
    for (index, input) in inputs.into_iter().enumerate() {
        let (text, problem) = document::decode(input.bytes, index);
        let documents = match problem {
            None => document::read(&text, index, Dialect::MANIFESTS),
            Some(problem) => problem.into(),
        };
        reader.place = (input.name.clone(), text.clone());
        let readable = documents.problems.is_empty();
        reader.problems.extend(documents.problems);
        let objects: Vec<_> = documents.roots.iter().flat_map(scaled_objects).collect();
        if objects.is_empty() && readable {
            reader.refuse(
                Rule::SpecEmpty,
                Span { source: index, start: 0, end: 0 },
                "the input holds no ScaledObject",
                "no manifest of this kind",
                "give a manifest with `kind: ScaledObject`, such as `kubectl get scaledobject NAME -o yaml` prints",
            );
        }
        for object in objects {
            workers.extend(reader.worker(&object));
        }
        let text = reader.hidden(text, index);
        sources.push(Source {
            name: input.name,
            text,
        });
    }
    if reader.problems.is_empty() {
        Ok(Starter {
            text: spec(&workers, wishes),
            notes: reader.notes,
        })
    } else {
        let problems = in_order(reader.problems);
        Err(Error::Invalid { problems, sources })
    }
}

fn scaled_objects(root: &Arc<Node>) -> Vec<Arc<Node>> {
    match text_of(root, "kind") {
        Some("ScaledObject") => vec![Arc::clone(root)],
        // What `kubectl get -o yaml` prints of several.
        Some("List" | "ScaledObjectList") => match field(root, "items").map(|items| &items.kind) {
            Some(Kind::Sequence(items)) => items
                .iter()
                .filter(|item| matches!(text_of(item, "kind"), Some("ScaledObject")))
                .cloned()
                .collect(),
            Some(Kind::Scalar { .. } | Kind::Mapping(_)) | None => Vec::new(),
        },
        _ => Vec::new(),
    }
}

fn entries(node: &Node) -> &[(Arc<Node>, Arc<Node>)] {
    match &node.kind {
        Kind::Mapping(entries) => entries,
        Kind::Scalar { .. } | Kind::Sequence(_) => &[],
    }
}

fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Arc<Node>> {
    let found = entries(node)
        .iter()
        .find(|(key, _)| key.text() == Some(name));
    found
        .map(|(_, value)| value)
        .filter(|value| !value.is_null())
}

fn text_of<'n>(node: &'n Node, name: &str) -> Option<&'n str> {
    field(node, name)?.text()
}

/// One worker of the spec to be.
#[derive(Debug)]
struct Worker {
    name: String,
    namespace: Option<String>,
    target: Target,
    queues: Vec<Key>,
    jobs_per_replica: Decimal,
    min: u32,
    max: u32,
    idle_after: Option<Duration>,
    fallback: Option<u32>,
    remark: String,
}

#[derive(Debug)]
struct Target {
    kind: Option<String>,
    api_version: Option<String>,
    name: String,
}

/// A queue as its key names it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Key {
    prefix: String,
    name: String,
}

/// Reads prefix and queue from a key of Redis. Also returns what is doubtful about it.
fn key(text: &str) -> (Key, Option<String>) {
    let of = |prefix: &str, name: &str| Key {
        prefix: prefix.to_owned(),
        name: name.to_owned(),
    };
    let parts: Vec<&str> = text.split(':').collect();
    match parts.as_slice() {
        [name] => (
            of(DEFAULT_PREFIX, name),
            Some(format!(
                "`{}` is the name of a queue and no list of BullMQ: KEDA has read 0 from it, whatever waited",
                one_line(name)
            )),
        ),
        [name, list] if LISTS.contains(list) && *name != DEFAULT_PREFIX => (
            of(DEFAULT_PREFIX, name),
            Some(format!(
                "the key has no prefix; `{DEFAULT_PREFIX}` is taken"
            )),
        ),
        [prefix, name] => (
            of(prefix, name),
            Some(format!(
                "`{}` is no list of BullMQ: KEDA has read 0 from it, whatever waited",
                one_line(text)
            )),
        ),
        [rest @ .., list] => {
            // Without a list at the end everything is the queue's name.
            let (rest, doubt) = if LISTS.contains(list) {
                let doubt = match *list {
                    "wait" | "waiting" => None,
                    _ => Some(format!("the trigger counted the list `{list}` alone")),
                };
                (rest, doubt)
            } else {
                (
                    parts.as_slice(),
                    Some("the key does not end with a list of BullMQ, such as `wait`".to_owned()),
                )
            };
            // A prefix may hold colons, and so may a queue of Bull: `bull` is where people have it.
            let at = rest
                .iter()
                .position(|part| *part == DEFAULT_PREFIX)
                .filter(|at| at + 1 < rest.len());
            let (prefix, name) = rest
                .split_at_checked(at.unwrap_or(0) + 1)
                .unwrap_or((rest, &[]));
            let doubt = match (doubt, rest.len()) {
                (None, 3..) => Some(format!(
                    "the key could be split in other ways; prefix `{}` is taken",
                    one_line(&prefix.join(":"))
                )),
                (doubt, _) => doubt,
            };
            (of(&prefix.join(":"), &name.join(":")), doubt)
        }
        [] => (of(DEFAULT_PREFIX, text), None),
    }
}

#[derive(Default)]
struct Reader {
    problems: Vec<Problem>,
    notes: Vec<String>,
    secrets: Vec<Span>,
    names: Names,
    /// The name and the text of the input that is read.
    place: (String, String),
}

impl Reader {
    fn refuse(&mut self, rule: Rule, at: Span, title: &str, label: &str, help: &str) {
        self.problems
            .push(Problem::new(rule, at, title, label, help));
    }

    fn note(&mut self, at: &Node, what: &str) {
        let (name, text) = &self.place;
        let before = text.get(..at.span.start).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        self.notes.push(format!("{name}:{line}: {what}"));
    }

    /// The text without what is secret in it, byte for byte, so that all places stay where they are.
    fn hidden(&self, mut text: String, source: usize) -> String {
        for secret in self.secrets.iter().filter(|secret| secret.source == source) {
            if let Some(shown) = text.get(secret.start..secret.end) {
                let stars: String = shown
                    .bytes()
                    .map(|byte| if byte == b'\n' { '\n' } else { '*' })
                    .collect();
                text.replace_range(secret.start..secret.end, &stars);
            }
        }
        text
    }

    fn worker(&mut self, object: &Node) -> Option<Worker> {
        let before = self.problems.len();
        let spec = self.mapping(object, "spec", "the ScaledObject")?;
        let metadata = self.mapping(object, "metadata", "the ScaledObject")?;
        let target = self.target(&spec);
        let name = self.text(&metadata, "name", "`metadata`");
        let (queues, jobs_per_replica, remark) = self.triggers(&spec)?;
        let min = self.whole(&spec, "minReplicaCount", 0).unwrap_or(KEDAS_MIN);
        let max = self.whole(&spec, "maxReplicaCount", 1).unwrap_or(KEDAS_MAX);
        if let (true, Some(node)) = (min > max, field(&spec, "minReplicaCount")) {
            self.refuse(
                Rule::ReplicasMaxBelowMin,
                node.span,
                "`minReplicaCount` is above `maxReplicaCount`",
                "KEDA refuses it",
                "mend the ScaledObject first",
            );
        }
        let idle_after = self.idle_after(&spec, min);
        let fallback = self.fallback(&spec, min, max);
        self.dropped(&spec, &metadata);
        let namespace = text_of(&metadata, "namespace").map(ToOwned::to_owned);
        if self.problems.len() > before {
            return None;
        }
        let name = name?;
        // A name that Kubernetes has taken is kept, so that what is generated replaces this very object.
        let shaped = if is_name(&name) {
            name.clone()
        } else {
            self.names.give(std::slice::from_ref(&name))
        };
        if shaped != name {
            self.note(&metadata, &format!("the worker is called `{shaped}`: its name must be a DNS name of at most 54 characters, for the HPA that is named after it"));
        }
        Some(Worker {
            name: shaped,
            namespace,
            target: target?,
            queues,
            jobs_per_replica,
            min,
            max,
            idle_after,
            fallback,
            remark,
        })
    }

    fn mapping(&mut self, of: &Node, name: &str, what: &str) -> Option<Arc<Node>> {
        match field(of, name) {
            Some(node) if matches!(node.kind, Kind::Mapping(_)) => Some(Arc::clone(node)),
            Some(node) => {
                let label = format!("found {}", node.description());
                self.refuse(
                    Rule::SpecWrongType,
                    node.span,
                    &format!("`{name}` takes a mapping"),
                    &label,
                    "mend the ScaledObject first",
                );
                None
            }
            None => {
                self.refuse(
                    Rule::SpecMissingField,
                    of.span,
                    &format!("{what} has no `{name}`"),
                    &format!("`{name}` is missing"),
                    "mend the ScaledObject first",
                );
                None
            }
        }
    }

    fn text(&mut self, of: &Node, name: &str, what: &str) -> Option<String> {
        let Some(node) = field(of, name) else {
            self.refuse(
                Rule::SpecMissingField,
                of.span,
                &format!("{what} has no `{name}`"),
                &format!("`{name}` is missing"),
                "mend the ScaledObject first",
            );
            return None;
        };
        let text = node.text().map(ToOwned::to_owned);
        if text.is_none() {
            self.refuse(
                Rule::SpecWrongType,
                node.span,
                &format!("`{name}` takes a text"),
                &format!("found {}", node.description()),
                "mend the ScaledObject first",
            );
        }
        text
    }

    fn whole(&mut self, of: &Node, name: &str, least: u32) -> Option<u32> {
        const LARGEST: u32 = i32::MAX.unsigned_abs();
        let node = field(of, name)?;
        let number = node.plain_text().and_then(|text| text.parse::<u32>().ok());
        let number = number.filter(|number| (least..=LARGEST).contains(number));
        if number.is_none() {
            let title = format!("`{name}` takes a whole number from {least} on");
            self.refuse(
                Rule::SpecWrongType,
                node.span,
                &title,
                &format!("found {}", node.description()),
                "mend the ScaledObject first; a template must be rendered before",
            );
        }
        number
    }

    fn target(&mut self, spec: &Node) -> Option<Target> {
        let target = self.mapping(spec, "scaleTargetRef", "`spec`")?;
        let name = self.text(&target, "name", "`scaleTargetRef`")?;
        let own = |name: &str| text_of(&target, name).map(ToOwned::to_owned);
        let kind = own("kind").filter(|kind| kind != "Deployment");
        let api_version = own("apiVersion").filter(|version| version != crate::workload::APPS_V1);
        if let Some(node) = field(&target, "envSourceContainerName") {
            self.note(
                node,
                "`envSourceContainerName` is not carried over: nothing is read from the pods",
            );
        }
        Some(Target {
            kind,
            api_version,
            name,
        })
    }

    /// The queues, the jobs for each replica, and how that was found.
    fn triggers(&mut self, spec: &Node) -> Option<(Vec<Key>, Decimal, String)> {
        let Some(node) = field(spec, "triggers") else {
            self.refuse(
                Rule::SpecMissingField,
                spec.span,
                "`spec` has no `triggers`",
                "`triggers` is missing",
                "mend the ScaledObject first",
            );
            return None;
        };
        let Kind::Sequence(triggers) = &node.kind else {
            self.refuse(
                Rule::SpecWrongType,
                node.span,
                "`triggers` takes a list",
                &format!("found {}", node.description()),
                "mend the ScaledObject first",
            );
            return None;
        };
        let mut queues: Vec<Key> = Vec::new();
        let mut lengths: Vec<Decimal> = Vec::new();
        for trigger in triggers {
            let kind = text_of(trigger, "type").unwrap_or_default();
            if !REDIS.contains(&kind) {
                self.note(trigger, &format!("the trigger of type `{}` is not carried over: a spec scales on its queues alone", one_line(kind)));
                continue;
            }
            if let Some(reference) = field(trigger, "authenticationRef") {
                self.note(reference, "`authenticationRef` is not carried over: scaling reaches Prometheus and not Redis");
            }
            let Some((key, length)) = self.trigger(trigger) else {
                continue;
            };
            if !queues.contains(&key) {
                queues.push(key);
            }
            lengths.push(length);
        }
        if queues.is_empty() {
            if !self.problems.iter().any(|problem| {
                problem.at.source == node.span.source
                    && (node.span.start..=node.span.end).contains(&problem.at.start)
            }) {
                self.refuse(
                    Rule::QueuesNone,
                    node.span,
                    "no trigger counts a Redis list",
                    "nothing to make a queue of",
                    "write a spec by hand, or start with `bullmq-keda init --exporter URL`",
                );
            }
            return None;
        }
        let least = lengths.iter().min().copied()?;
        if lengths.iter().any(|length| *length != least) {
            self.note(node, &format!("the triggers have several `listLength`; the smallest is taken, {} for each replica", counted(least, "job")));
        }
        if triggers.len() > 1 && queues.len() > 1 {
            self.note(node, "KEDA took the largest of the lists; the spec adds the queues up, because one worker does the work of all");
        }
        Some((queues, least, format!("was listLength: {least}")))
    }

    fn trigger(&mut self, trigger: &Node) -> Option<(Key, Decimal)> {
        let metadata = self.mapping(trigger, "metadata", "the trigger")?;
        for (name, node) in entries(&metadata) {
            let name = name.text().unwrap_or_default();
            let folded = name.to_ascii_lowercase();
            if SECRET.iter().any(|secret| folded.starts_with(secret)) {
                self.secrets.push(node.span);
            }
            if ACCESS.iter().any(|access| folded.starts_with(access)) {
                let more = if folded.starts_with("databaseindex") {
                    ": the exporter reads that database, as its URL says"
                } else {
                    ": the exporter reaches Redis, and KEDA need not"
                };
                self.note(
                    node,
                    &format!("`{}` is not carried over{more}", one_line(name)),
                );
            } else if folded == "activationlistlength" {
                self.note(node, "`activationListLength` is not carried over: one job is enough to start the first replica");
            } else if !matches!(folded.as_str(), "listname" | "listlength") {
                self.note(node, &format!("`{}` is not carried over", one_line(name)));
            }
        }
        let list = self.text(&metadata, "listName", "the trigger's `metadata`")?;
        let node = field(&metadata, "listName")?;
        if list.contains("{{") && list.contains("}}") {
            self.refuse(
                Rule::SpecWrongType,
                node.span,
                "`listName` is a template",
                "not rendered",
                "render the chart first: `helm template`",
            );
            return None;
        }
        let (key, doubt) = key(&list);
        if key.name.is_empty() || key.prefix.is_empty() || list.contains('\0') {
            self.refuse(
                Rule::QueuesEmptyName,
                node.span,
                "`listName` names no queue",
                "no prefix, or no name",
                "a list of BullMQ is called `bull:QUEUE:wait`",
            );
            return None;
        }
        if let Some(doubt) = doubt {
            self.note(node, &doubt);
        }
        let length = field(&metadata, "listLength");
        let number = length
            .map_or(Some(KEDAS_LIST_LENGTH), |node| node.text())
            .and_then(Decimal::parse);
        let most = Decimal::from_thousandths(1_000_000_000_000);
        match (
            number.filter(|number| number.thousandths() > 0 && *number <= most),
            length,
        ) {
            (Some(number), _) => Some((key, number)),
            (None, node) => {
                let at = node.map_or(metadata.span, |node| node.span);
                self.refuse(
                    Rule::ScaleJobsPerReplica,
                    at,
                    "`listLength` cannot be a number of jobs for each replica",
                    "not a number from 0.001 to 1000000000",
                    "mend the ScaledObject first",
                );
                None
            }
        }
    }

    fn idle_after(&mut self, spec: &Node, min: u32) -> Option<Duration> {
        let given = field(spec, "cooldownPeriod").cloned();
        let cooldown = match &given {
            Some(_) => u64::from(self.whole(spec, "cooldownPeriod", 0)?),
            None => KEDAS_COOLDOWN,
        };
        if min > 0 {
            if let Some(node) = given {
                self.note(&node, "`cooldownPeriod` is not carried over: without scaling to zero it has no effect");
            }
            return None;
        }
        if cooldown < SHORTEST_IDLE
            && let Some(node) = given
        {
            self.note(&node, "`cooldownPeriod` becomes `idleAfter: 1m`: a stalled job is seen after up to 60 s, by a living worker only");
        }
        // Longer than any duration of a spec would be refused there.
        Some(Duration::from_secs(
            cooldown.clamp(SHORTEST_IDLE, 30 * 86_400),
        ))
    }

    fn fallback(&mut self, spec: &Node, min: u32, max: u32) -> Option<u32> {
        let fallback = Arc::clone(field(spec, "fallback")?);
        let replicas = self.whole(&fallback, "replicas", 0)?;
        if text_of(&fallback, "behavior") == Some(FallbackBehavior::Hold.name()) && replicas > 0 {
            self.note(
                &fallback,
                "`fallback` becomes `onMetricsLoss: hold`: what runs stays, and from none one starts",
            );
            return None;
        }
        if (min.max(1)..=max).contains(&replicas) {
            self.note(&fallback, "`fallback` becomes `onMetricsLoss`: up to so many replicas after 3 failures, and never below what is there");
            return Some(replicas);
        }
        self.note(
            &fallback,
            &format!(
                "`fallback` is not carried over: {replicas} is outside {} to {max}",
                min.max(1)
            ),
        );
        None
    }

    /// Fields that a spec decides by itself.
    fn dropped(&mut self, spec: &Node, metadata: &Node) {
        for (name, why) in [
            ("pollingInterval", "KEDA looks each 15 s"),
            ("initialCooldownPeriod", "it is as long as `idleAfter`"),
            (
                "idleReplicaCount",
                "scaling to zero is `replicas: {min: 0}`",
            ),
            (
                "advanced",
                "the spec's own behavior is generated; write what must differ under `overrides`",
            ),
        ] {
            if let Some(node) = field(spec, name) {
                self.note(
                    &Arc::clone(node),
                    &format!("`{name}` is not carried over: {why}"),
                );
            }
        }
        for name in ["annotations", "labels"] {
            let Some(node) = field(metadata, name).cloned() else {
                continue;
            };
            let keys = entries(&node).iter().filter_map(|(key, _)| key.text());
            // What kubectl, Helm and KEDA write there themselves is nobody's wish.
            let theirs = [
                "kubectl.kubernetes.io/",
                "meta.helm.sh/",
                "helm.sh/",
                "app.kubernetes.io/",
                "scaledobject.keda.sh/name",
            ];
            let own: Vec<String> = keys
                .filter(|key| !theirs.iter().any(|prefix| key.starts_with(prefix)))
                .map(|key| format!("`{}`", one_line(key)))
                .collect();
            if !own.is_empty() {
                self.note(
                    &node,
                    &format!("`{name}` are not carried over: {}", own.join(", ")),
                );
            }
        }
    }
}

fn spec(workers: &[Worker], wishes: &Wishes) -> String {
    let mut out = String::new();
    head(
        &mut out,
        &wishes.source,
        wishes.server_address.as_deref(),
        None,
    );
    line(&mut out, "workers:", "");
    for worker in workers {
        out.push('\n');
        line(&mut out, &format!("  - name: {}", value(&worker.name)), "");
        if let Some(namespace) = wishes.namespace.as_ref().or(worker.namespace.as_ref()) {
            line(
                &mut out,
                &format!("    namespace: {}", value(namespace)),
                "",
            );
        }
        let target = &worker.target;
        let mut fields = Vec::new();
        fields.extend(
            target
                .kind
                .iter()
                .map(|kind| format!("kind: {}", value(kind))),
        );
        fields.extend(
            target
                .api_version
                .iter()
                .map(|version| format!("apiVersion: {}", value(version))),
        );
        fields.push(format!("name: {}", value(&target.name)));
        line(
            &mut out,
            &format!("    target: {{{}}}", fields.join(", ")),
            "",
        );
        line(&mut out, "    queues:", "");
        for key in &worker.queues {
            line(
                &mut out,
                &format!(
                    "      - {}",
                    queue(DEFAULT_REDIS_NAME, &key.prefix, &key.name)
                ),
                "",
            );
        }
        line(
            &mut out,
            &format!("    scale: {{jobsPerReplica: {}}}", worker.jobs_per_replica),
            &worker.remark,
        );
        line(
            &mut out,
            "    # Better: remove `scale`, and every job gets a slot. Then a replica's own number of slots is enough:",
            "",
        );
        line(
            &mut out,
            "    # concurrency: 1",
            "what your Worker's options say, times the processes in a pod",
        );
        line(
            &mut out,
            &format!("    replicas: {{min: {}, max: {}}}", worker.min, worker.max),
            "",
        );
        if let Some(idle) = worker.idle_after {
            line(
                &mut out,
                &format!("    idleAfter: {}", prometheus_duration(idle)),
                "was cooldownPeriod, of KEDA 300 s unless told",
            );
        }
        if let Some(replicas) = worker.fallback {
            line(
                &mut out,
                &format!("    onMetricsLoss: {{replicas: {replicas}}}"),
                "",
            );
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::generate;

    fn input(text: &str) -> Vec<Input> {
        vec![Input {
            name: "so.yaml".to_owned(),
            short_name: "so.yaml".to_owned(),
            bytes: text.as_bytes().to_vec(),
        }]
    }

    fn object(triggers: &str, more: &str) -> String {
        format!(
            "apiVersion: keda.sh/v1alpha1\nkind: ScaledObject\nmetadata: {{name: worker, namespace: shop}}\nspec:\n  scaleTargetRef: {{name: worker}}\n{more}  triggers:\n{triggers}"
        )
    }

    fn redis(list: &str) -> String {
        format!("    - type: redis\n      metadata: {{listName: {list:?}}}\n")
    }

    #[test]
    fn keys_are_split_as_bullmq_makes_them() {
        for (text, prefix, name, doubtful) in [
            ("bull:jobs:wait", "bull", "jobs", false),
            ("{bull}:jobs:wait", "{bull}", "jobs", false),
            ("bull:jobs:active", "bull", "jobs", true),
            ("app:jobs:wait", "app", "jobs", false),
            ("shop:bull:jobs:wait", "shop:bull", "jobs", true),
            ("bull:a:b:wait", "bull", "a:b", true),
            ("jobs", "bull", "jobs", true),
            ("jobs:wait", "bull", "jobs", true),
            ("bull:jobs", "bull", "jobs", true),
            ("bull:wait", "bull", "wait", true),
            ("bull:bull:wait", "bull", "bull", false),
            ("a:b:c", "a", "b:c", true),
        ] {
            let (key, doubt) = key(text);
            assert_eq!(
                (key.prefix.as_str(), key.name.as_str(), doubt.is_some()),
                (prefix, name, doubtful),
                "{text}"
            );
        }
    }

    #[test]
    fn a_scaled_object_becomes_a_spec_and_what_is_dropped_is_told_without_secrets() {
        let text = r#"apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata:
  name: n8n-worker
  namespace: n8n
  annotations: {autoscaling.keda.sh/paused: "true", meta.helm.sh/release-name: n8n}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: StatefulSet, name: n8n-worker}
  pollingInterval: 15
  cooldownPeriod: 30
  minReplicaCount: 0
  maxReplicaCount: 20
  fallback: {failureThreshold: 3, replicas: 4}
  triggers:
    - type: redis
      metadata:
        address: redis://:hunter2@redis:6379
        passwordFromEnv: REDIS_PASSWORD
        listName: bull:jobs:wait
        listLength: "5"
      authenticationRef: {name: redis-auth}
    - type: redis-sentinel
      metadata: {listName: "{app}:mail:wait", listLength: "10", sentinelMaster: m, password: hunter2}
    - type: cpu
      metadata: {value: "50"}
"#;
        let wishes = Wishes {
            source: "so.yaml".to_owned(),
            ..Wishes::default()
        };
        let starter = from_scaled_objects(input(text), &wishes).unwrap();
        assert_eq!(
            starter.text,
            r#"# A starter spec, made by bullmq-keda init from so.yaml.
# What is marked "guess" is yours to set right. Then: bullmq-keda verify, bullmq-keda generate.
apiVersion: bullmq-keda/v1
prometheus:
  serverAddress: http://prometheus.monitoring.svc:9090  # guess: no figure; the address as KEDA reaches it
  scrapeInterval: 15s                           # guess: no figure; bullmq-keda verify measures it
workers:

  - name: n8n-worker
    namespace: n8n
    target: {kind: StatefulSet, name: n8n-worker}
    queues:
      - jobs
      - {name: mail, prefix: "{app}"}
    scale: {jobsPerReplica: 5}                  # was listLength: 5
    # Better: remove `scale`, and every job gets a slot. Then a replica's own number of slots is enough:
    # concurrency: 1                            # what your Worker's options say, times the processes in a pod
    replicas: {min: 0, max: 20}
    idleAfter: 1m                               # was cooldownPeriod, of KEDA 300 s unless told
    onMetricsLoss: {replicas: 4}
"#
        );
        assert_eq!(
            starter.notes,
            [
                "so.yaml:21: `authenticationRef` is not carried over: scaling reaches Prometheus and not Redis",
                "so.yaml:17: `address` is not carried over: the exporter reaches Redis, and KEDA need not",
                "so.yaml:18: `passwordFromEnv` is not carried over: the exporter reaches Redis, and KEDA need not",
                "so.yaml:23: `sentinelMaster` is not carried over: the exporter reaches Redis, and KEDA need not",
                "so.yaml:23: `password` is not carried over: the exporter reaches Redis, and KEDA need not",
                "so.yaml:24: the trigger of type `cpu` is not carried over: a spec scales on its queues alone",
                "so.yaml:15: the triggers have several `listLength`; the smallest is taken, 5 jobs for each replica",
                "so.yaml:15: KEDA took the largest of the lists; the spec adds the queues up, because one worker does the work of all",
                "so.yaml:10: `cooldownPeriod` becomes `idleAfter: 1m`: a stalled job is seen after up to 60 s, by a living worker only",
                "so.yaml:13: `fallback` becomes `onMetricsLoss`: up to so many replicas after 3 failures, and never below what is there",
                "so.yaml:9: `pollingInterval` is not carried over: KEDA looks each 15 s",
                "so.yaml:6: `annotations` are not carried over: `autoscaling.keda.sh/paused`",
            ]
        );
        generate(input(&starter.text)).unwrap();
    }

    #[test]
    fn a_fallback_to_what_is_there_is_a_hold() {
        let text = object(
            &redis("a"),
            "  fallback: {failureThreshold: 3, replicas: 1, behavior: currentReplicas}\n",
        );
        let starter = from_scaled_objects(input(&text), &Wishes::default()).unwrap();
        assert!(
            !starter.text.contains("onMetricsLoss: {"),
            "{}",
            starter.text
        );
        let told =
            "`fallback` becomes `onMetricsLoss: hold`: what runs stays, and from none one starts";
        assert!(
            starter.notes.iter().any(|note| note.ends_with(told)),
            "{:?}",
            starter.notes
        );
    }

    #[test]
    fn what_cannot_be_read_is_told_at_its_place() {
        for (text, rule) in [
            ("", Rule::SpecEmpty),
            ("kind: Deployment\n", Rule::SpecEmpty),
            ("kind: [", Rule::YamlSyntax),
            ("kind: ScaledObject\n", Rule::SpecMissingField),
            ("kind: ScaledObject\nspec: 7\n", Rule::SpecWrongType),
            (
                &object("    - {type: cpu, metadata: {value: \"1\"}}\n", ""),
                Rule::QueuesNone,
            ),
            (
                &object("    - {type: redis, metadata: {listLength: \"1\"}}\n", ""),
                Rule::SpecMissingField,
            ),
            (
                &object(
                    "    - {type: redis, metadata: {listName: \":jobs:wait\"}}\n",
                    "",
                ),
                Rule::QueuesEmptyName,
            ),
            (
                &object(
                    "    - {type: redis, metadata: {listName: a, listLength: x}}\n",
                    "",
                ),
                Rule::ScaleJobsPerReplica,
            ),
            (
                &object(
                    "    - {type: redis, metadata: {listName: \"bull:{{ .q }}:wait\"}}\n",
                    "",
                ),
                Rule::SpecWrongType,
            ),
            (
                &object(&redis("a"), "  maxReplicaCount: many\n"),
                Rule::SpecWrongType,
            ),
            (
                &object(&redis("a"), "  minReplicaCount: 7\n  maxReplicaCount: 2\n"),
                Rule::ReplicasMaxBelowMin,
            ),
        ] {
            let Err(Error::Invalid { problems, .. }) =
                from_scaled_objects(input(text), &Wishes::default())
            else {
                panic!("{text}");
            };
            let rules: Vec<_> = problems.iter().map(|problem| problem.rule).collect();
            assert_eq!(rules, [rule], "{text}");
        }
    }

    #[test]
    fn a_secret_on_a_line_that_is_shown_is_hidden() {
        let text = object(
            "    - {type: redis, metadata: {password: hunter2, address: \"hunter2:6379\", listName: a, listLength: x}}\n",
            "",
        );
        let Err(Error::Invalid { problems, sources }) =
            from_scaled_objects(input(&text), &Wishes::default())
        else {
            panic!("it was read");
        };
        let told = crate::report::text(&problems, &sources, "nothing was written", false);
        assert!(told.contains("listLength: x"), "{told}");
        assert!(!told.contains("hunter2"), "{told}");
    }

    #[test]
    fn several_objects_in_a_list_are_several_workers() {
        let one = |name: &str| {
            format!(
                "  - kind: ScaledObject\n    metadata: {{name: {name}}}\n    spec: {{scaleTargetRef: {{name: {name}}}, triggers: [{{type: redis, metadata: {{listName: \"bull:{name}:wait\"}}}}]}}\n"
            )
        };
        let text = format!("kind: List\nitems:\n{}{}", one("a"), one("b"));
        let starter = from_scaled_objects(input(&text), &Wishes::default()).unwrap();
        assert!(
            starter.text.contains("  - name: a\n") && starter.text.contains("  - name: b\n"),
            "{}",
            starter.text
        );
        generate(input(&starter.text)).unwrap();
    }

    mod any {
        use super::*;
        use proptest::prelude::*;

        proptest! {
            #[test]
            fn whatever_the_list_is_called_the_spec_generates(list in "(?s)[:a{}\"'\\PC\\n]{1,12}|bull:.{1,8}:wait", length in 1_u32..100, min in 0_u32..5) {
                let quoted = serde_saphyr::to_string(&serde_saphyr::DoubleQuoted(&list)).unwrap();
                let triggers = format!("    - type: redis\n      metadata:\n        listLength: \"{length}\"\n        listName: {quoted}");
                let text = object(&triggers, &format!("  minReplicaCount: {min}\n"));
                if let Ok(starter) = from_scaled_objects(input(&text), &Wishes::default()) {
                    let made = generate(input(&starter.text));
                    prop_assert!(made.is_ok(), "{made:?}\n{}", starter.text);
                }
            }
        }
    }
}

//! What fields mean together: required ones, bounds against each other, names that must differ over all specs.
//!
//! Every check of a worker runs, whatever the others found; a worker is made only if none found anything.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bullmq_vocabulary::{
    DEFAULT_HORIZONS, DEFAULT_PREFIX, DEFAULT_REDIS_NAME, prometheus_duration,
};

use super::template::{self, JobTemplate};
use super::{
    APPS_V1, BATCH_V1, DEFAULT_IDLE_AFTER, DEFAULT_KEDA, DEFAULT_SCRAPE_INTERVAL, JOB,
    KEDA_WITH_BEHAVIOR, OLDEST_KEDA, OLDEST_KUBERNETES, OnMetricsLoss, POLLING_INTERVAL, Policy,
    Prometheus, Queue, Replicas, Target, Utilization, Version, Workload,
};
use crate::decimal::Decimal;
use crate::document::Documents;
use crate::problem::{Problem, Rule, Span};
use crate::spec::{
    self, Field, PrometheusSpec, QueueSpec, Scale, Spec, WorkerSpec, beside, missing,
};

/// The inputs as they were read, by the order in which they were given: what a spec names by a file's name is one of them.
#[derive(Debug)]
pub struct Files<'f> {
    /// Their names.
    pub names: &'f [String],
    /// Their documents.
    pub documents: &'f [Documents],
}

impl Files<'_> {
    /// The indexes of the inputs that specs name as templates. A spec stays one, whoever names it: its workers must not be lost without
    /// a word.
    pub fn templates(&self) -> BTreeSet<usize> {
        let all = || self.documents.iter().zip(self.names).enumerate();
        let named: BTreeSet<String> = all()
            .flat_map(|(_, (of, name))| spec::templates(of, name))
            .collect();
        all()
            .filter(|(_, (of, name))| {
                named.contains(*name) && !of.roots.iter().any(|root| spec::is_one(root))
            })
            .map(|(index, _)| index)
            .collect()
    }

    /// The index and the documents of the file that the input `from` names.
    fn named(&self, from: usize, file: &str) -> Option<(usize, &Documents)> {
        let wanted = beside(self.names.get(from)?, file);
        let index = self.names.iter().position(|name| *name == wanted)?;
        Some((index, self.documents.get(index)?))
    }
}

/// Checks what fields mean together, over all specs, and fills in what was not given.
pub fn check(specs: &[Spec], files: &Files<'_>, problems: &mut Vec<Problem>) -> Vec<Workload> {
    let mut checker = Checker {
        problems,
        files,
        names: HashMap::new(),
        targets: HashMap::new(),
        templates: HashMap::new(),
    };
    specs.iter().flat_map(|spec| checker.spec(spec)).collect()
}

struct Checker<'p> {
    problems: &'p mut Vec<Problem>,
    files: &'p Files<'p>,
    names: HashMap<(Option<String>, String), Span>,
    targets: HashMap<(Option<String>, String, String), Span>,
    /// What was read of a file once: its problems are told once too.
    templates: HashMap<usize, Option<JobTemplate>>,
}

/// What a worker shares with all of its spec.
#[derive(Clone, Copy)]
struct Shared<'s> {
    defaults: &'s WorkerSpec,
    prometheus: Option<&'s Arc<Prometheus>>,
    keda: Option<Version>,
    #[expect(
        clippy::option_option,
        reason = "wrong, or right with or without a version"
    )]
    kubernetes: Option<Option<Version>>,
}

impl Checker<'_> {
    fn spec(&mut self, spec: &Spec) -> Vec<Workload> {
        let keda = self.at_least("KEDA", &spec.keda, OLDEST_KEDA);
        let kubernetes = self.at_least("Kubernetes", &spec.kubernetes, OLDEST_KUBERNETES);
        let prometheus = match &spec.prometheus {
            Field::Given(prometheus) => {
                let end = prometheus.span;
                self.prometheus(&prometheus.value, end)
            }
            Field::Wrong => None,
            Field::Missing => {
                let example = "{serverAddress: \"http://prometheus.monitoring.svc:9090\"}";
                self.problems
                    .push(missing("prometheus", spec.span, "the spec", example));
                None
            }
        };
        match &spec.workers {
            Field::Given(workers) => {
                if workers.value.is_empty() {
                    self.problems.push(Problem::new(
                        Rule::WorkersNone,
                        workers.span,
                        "the spec has no worker",
                        "an empty list",
                        "add a worker, such as `- name: email`; without one there is nothing to generate",
                    ));
                }
                let shared = Shared {
                    defaults: &spec.defaults,
                    prometheus: prometheus.as_ref(),
                    keda: keda.map(|keda| keda.unwrap_or(DEFAULT_KEDA)),
                    kubernetes,
                };
                let worker = |worker| self.worker(worker, shared);
                workers.value.iter().filter_map(worker).collect()
            }
            Field::Wrong => Vec::new(),
            Field::Missing => {
                self.problems
                    .push(missing("workers", spec.span, "the spec", "[{name: email}]"));
                Vec::new()
            }
        }
    }

    fn prometheus(&mut self, spec: &PrometheusSpec, span: Span) -> Option<Arc<Prometheus>> {
        let example = "http://prometheus.monitoring.svc:9090";
        let server_address = self.required(
            &spec.server_address,
            "serverAddress",
            span,
            "`prometheus`",
            example,
        );
        Some(Arc::new(Prometheus {
            server_address: server_address?,
            scrape_interval: given_or(&spec.scrape_interval, DEFAULT_SCRAPE_INTERVAL)?,
            matchers: given_or(&spec.matchers, BTreeMap::new())?,
            horizons: given_or(&spec.horizons, DEFAULT_HORIZONS.to_vec())?,
            authentication: optional(&spec.authentication)?,
            headers: given_or(&spec.headers, BTreeMap::new())?,
            query_parameters: given_or(&spec.query_parameters, BTreeMap::new())?,
            namespace: optional(&spec.namespace)?,
        }))
    }

    /// Refuses a version below the oldest.
    #[expect(
        clippy::option_option,
        reason = "wrong, or right with or without a version"
    )]
    fn at_least(
        &mut self,
        what: &str,
        field: &Field<Version>,
        oldest: Version,
    ) -> Option<Option<Version>> {
        let version = optional(field)?;
        if let Some(given) = field.given()
            && given.value < oldest
        {
            self.problems.push(Problem::new(
                Rule::VersionTooOld,
                given.span,
                format!("there is no safe manifest for {what} {}", given.value),
                format!("older than {oldest}"),
                format!("write `\"{oldest}\"` or newer"),
            ));
            return None;
        }
        Some(version)
    }

    fn worker(&mut self, own: &WorkerSpec, shared: Shared<'_>) -> Option<Workload> {
        let Shared {
            defaults,
            prometheus,
            ..
        } = shared;
        let span = own.span;
        let title = match own.name.given() {
            Some(name) => format!("worker `{}`", name.value),
            None => "a worker".to_owned(),
        };
        // Every check runs before the first `?`, so that all that is wrong is told.
        let name = self.required(&own.name, "name", span, &title, "email");
        let namespace = optional(own.namespace.or(&defaults.namespace));
        let target = name
            .as_ref()
            .and_then(|name| self.target(own, defaults, name));
        if let (Some(name), Some(namespace), Some(target)) = (&name, &namespace, &target) {
            self.unique(own, defaults, namespace.as_deref(), name, target);
        }
        let queues = self.queues(own, defaults, &title);
        let replicas = self.replicas(own, defaults, &title);
        let policy = self.policy(own, defaults, &title);
        let concurrency = optional(own.concurrency.or(&defaults.concurrency));
        let mean = optional(own.job_mean.or(&defaults.job_mean));
        let job = self.job(own, defaults);
        let startup = optional(own.startup.or(&defaults.startup));
        let horizon = prometheus.and_then(|prometheus| self.horizon(own, defaults, prometheus));
        let template = self.template(own, defaults, &title);
        let on_metrics_loss = self.on_metrics_loss(own, defaults, replicas, shared.keda);
        let rate_limit = optional(own.rate_limit.or(&defaults.rate_limit));
        let most_slots = self.most_slots(own, defaults, &title);
        let idle_after = given_or(own.idle_after.or(&defaults.idle_after), DEFAULT_IDLE_AFTER);
        Some(Workload {
            span,
            name: name?,
            namespace: namespace?,
            target: target?,
            prometheus: Arc::clone(prometheus?),
            queues: queues?,
            policy: policy?,
            replicas: replicas?,
            startup: startup?,
            horizon: horizon?,
            concurrency: concurrency?,
            mean: mean?,
            job: job?,
            on_metrics_loss: on_metrics_loss?,
            idle_after: idle_after?,
            rate_limit: rate_limit?,
            most_slots: most_slots?,
            template: template?,
            labels: merged(&own.labels, &defaults.labels)?,
            annotations: merged(&own.annotations, &defaults.annotations)?,
            overrides: optional(own.overrides.or(&defaults.overrides))?,
            keda: shared.keda?,
            kubernetes: shared.kubernetes?,
        })
    }

    fn required<T: Clone>(
        &mut self,
        field: &Field<T>,
        name: &str,
        at: Span,
        of: &str,
        example: &str,
    ) -> Option<T> {
        if matches!(field, Field::Missing) {
            self.problems.push(missing(name, at, of, example));
        }
        field.given().map(|at| at.value.clone())
    }

    fn target(&mut self, own: &WorkerSpec, defaults: &WorkerSpec, name: &str) -> Option<Target> {
        let kind_field = own.target_kind.or(&defaults.target_kind);
        let kind = given_or(kind_field, "Deployment".to_owned())?;
        let api_version = match own.target_api_version.or(&defaults.target_api_version) {
            Field::Given(version) => version.value.clone(),
            Field::Wrong => return None,
            Field::Missing
                if matches!(kind.as_str(), "Deployment" | "StatefulSet" | "ReplicaSet") =>
            {
                APPS_V1.to_owned()
            }
            Field::Missing if kind == JOB => BATCH_V1.to_owned(),
            Field::Missing => {
                self.problems.push(Problem::new(
                    Rule::TargetApiVersionMissing,
                    kind_field.given().map_or(own.span, |kind| kind.span),
                    format!("the API version of `{kind}` is not known"),
                    "not a kind of `apps/v1`",
                    "add the `apiVersion` of the target's manifest, such as `argoproj.io/v1alpha1`",
                ));
                return None;
            }
        };
        let name = given_or(own.target_name.or(&defaults.target_name), name.to_owned())?;
        Some(Target {
            kind,
            name,
            api_version,
        })
    }

    /// Two ScaledObjects of one name overwrite each other, and KEDA refuses two for one target:
    /// <https://github.com/kedacore/keda/blob/v2.20.2/apis/keda/v1alpha1/scaledobject_webhook.go> (`verifyScaledObjects`).
    fn unique(
        &mut self,
        own: &WorkerSpec,
        defaults: &WorkerSpec,
        namespace: Option<&str>,
        name: &str,
        target: &Target,
    ) {
        let namespace = namespace.map(ToOwned::to_owned);
        let name_at = own.name.given().map_or(own.span, |name| name.span);
        if let Some(first) = self.names.get(&(namespace.clone(), name.to_owned())) {
            let problem = Problem::new(
                Rule::NameDuplicate,
                name_at,
                format!("two workers are called `{name}`"),
                "the second would overwrite the first",
                "give each worker a name of its own in its namespace",
            );
            self.problems.push(problem.related(*first, "the first one"));
            return;
        }
        self.names
            .insert((namespace.clone(), name.to_owned()), name_at);
        let target_name = own.target_name.or(&defaults.target_name);
        let target_at = target_name.given().map_or(name_at, |name| name.span);
        let key = (namespace, target.kind.clone(), target.name.clone());
        if let Some(first) = self.targets.insert(key, target_at) {
            let problem = Problem::new(
                Rule::TargetDuplicate,
                name_at,
                format!("two workers scale the {} `{}`", target.kind, target.name),
                "KEDA refuses a second ScaledObject for one target",
                "write one worker with the queues of both, or name another target",
            );
            self.problems.push(problem.related(first, "the first one"));
        }
    }

    fn queues(
        &mut self,
        own: &WorkerSpec,
        defaults: &WorkerSpec,
        title: &str,
    ) -> Option<Vec<Queue>> {
        let field = own.queues.or(&defaults.queues);
        if matches!(field, Field::Missing) {
            self.problems
                .push(missing("queues", own.span, title, "[email]"));
        }
        let list = field.given()?;
        if list.value.is_empty() {
            self.problems.push(Problem::new(
                Rule::QueuesNone,
                list.span,
                format!("{title} has no queue"),
                "an empty list",
                "name the queues that the worker takes jobs from, such as `[email]`",
            ));
            return None;
        }
        let mut seen = HashMap::new();
        let mut queues = Vec::new();
        for spec in &list.value {
            let queue = self.queue(spec);
            if let Some(queue) = &queue {
                let key = (
                    queue.redis.clone(),
                    queue.prefix.clone(),
                    queue.name.clone(),
                );
                if let Some(first) = seen.insert(key, spec.span) {
                    let problem = Problem::new(
                        Rule::QueuesDuplicate,
                        spec.span,
                        format!(
                            "the queue `{}` stands twice in one worker",
                            queue.name.escape_debug()
                        ),
                        "the same queue",
                        "keep one of the two, or give the other its `prefix` or `redis`",
                    );
                    self.problems.push(problem.related(first, "the first one"));
                }
            }
            queues.push(queue);
        }
        let queues: Vec<Queue> = queues.into_iter().collect::<Option<_>>()?;
        if queues.iter().all(|queue| queue.optional) {
            self.problems.push(Problem::new(
                Rule::QueuesAllOptional,
                list.span,
                format!("all queues of {title} are optional"),
                "nothing would tell an empty queue from a lost metric",
                "leave `optional` out for at least one queue that always exists",
            ));
            return None;
        }
        Some(queues)
    }

    fn queue(&mut self, spec: &QueueSpec) -> Option<Queue> {
        let name = self.required(&spec.name, "name", spec.span, "a queue", "email");
        Some(Queue {
            redis: given_or(&spec.redis, DEFAULT_REDIS_NAME.to_owned())?,
            prefix: given_or(&spec.prefix, DEFAULT_PREFIX.to_owned())?,
            name: name?,
            optional: given_or(&spec.optional, false)?,
        })
    }

    fn replicas(
        &mut self,
        own: &WorkerSpec,
        defaults: &WorkerSpec,
        title: &str,
    ) -> Option<Replicas> {
        let min = own.replicas_min.or(&defaults.replicas_min);
        let max = own.replicas_max.or(&defaults.replicas_max);
        let least = self.required(min, "replicas.min", own.span, title, "0");
        let most = self.required(max, "replicas.max", own.span, title, "10");
        let (least, most) = (least?, most?);
        let replicas = Replicas::new(least, most);
        if let (None, Some(min), Some(max)) = (replicas, min.given(), max.given()) {
            let problem = Problem::new(
                Rule::ReplicasMaxBelowMin,
                max.span,
                format!("`max` is below `min` in {title}"),
                format!("{most} is below {least}"),
                format!("write `max: {least}` or more, or lower `min`"),
            );
            self.problems
                .push(problem.related(min.span, "the smallest number of replicas"));
        }
        replicas
    }

    fn policy(&mut self, own: &WorkerSpec, defaults: &WorkerSpec, title: &str) -> Option<Policy> {
        let scale = given_or(own.scale.or(&defaults.scale), Scale::Slots)?;
        let utilization = own.utilization.or(&defaults.utilization);
        let concurrency = own.concurrency.or(&defaults.concurrency);
        let concurrency = match scale {
            Scale::JobsPerReplica(jobs) => return Some(Policy::JobsPerReplica { jobs }),
            Scale::Slots | Scale::StartWithin(_) => {
                self.required(concurrency, "concurrency", own.span, title, "10")
            }
        };
        match scale {
            Scale::StartWithin(within) => {
                let mean = own.job_mean.or(&defaults.job_mean);
                let mean = self.required(mean, "job.mean", own.span, title, "2s");
                let utilization = given_or(utilization, Utilization::WITH_HEADROOM)?;
                let slots = utilization.of(concurrency?);
                Some(Policy::StartWithin {
                    within,
                    mean: mean?,
                    slots,
                })
            }
            Scale::Slots | Scale::JobsPerReplica(_) => {
                let utilization = given_or(utilization, Utilization::FULL)?;
                Some(Policy::Slots {
                    slots: utilization.of(concurrency?),
                })
            }
        }
    }

    #[expect(
        clippy::option_option,
        reason = "wrong, or right with or without a time"
    )]
    fn job(&mut self, own: &WorkerSpec, defaults: &WorkerSpec) -> Option<Option<Duration>> {
        let mean = own.job_mean.or(&defaults.job_mean);
        let longest = own.job_longest.or(&defaults.job_longest);
        if let (Some(mean), Some(longest)) = (mean.given(), longest.given())
            && longest.value < mean.value
        {
            let problem = Problem::new(
                Rule::JobLongestBelowMean,
                longest.span,
                "the longest job is shorter than the mean job",
                "shorter than `mean`",
                format!(
                    "write `longest: {}` or more",
                    prometheus_duration(mean.value)
                ),
            );
            self.problems.push(problem.related(mean.span, "the mean"));
        }
        Some(optional(longest)?.or(optional(mean)?))
    }

    /// The shortest horizon in which a pod can be made ready for a job that falls due: it starts, and before that the demand has
    /// to be scraped and asked for.
    #[expect(
        clippy::option_option,
        reason = "wrong, or right with or without a horizon"
    )]
    fn horizon(
        &mut self,
        own: &WorkerSpec,
        defaults: &WorkerSpec,
        prometheus: &Prometheus,
    ) -> Option<Option<Duration>> {
        let startup = match own.startup.or(&defaults.startup) {
            Field::Missing => return Some(None),
            Field::Wrong => return None,
            Field::Given(startup) => startup,
        };
        let needed = startup.value + prometheus.scrape_interval + POLLING_INTERVAL;
        let horizon = prometheus
            .horizons
            .iter()
            .find(|horizon| **horizon >= needed);
        if horizon.is_none() {
            let needed = prometheus_duration(needed);
            let last = prometheus.horizons.last().copied().unwrap_or_default();
            self.problems.push(Problem::new(
                Rule::StartupBeyondHorizons,
                startup.span,
                "no horizon of the exporter covers this startup",
                format!("with scrape and poll {needed}, and the last horizon is {}", prometheus_duration(last)),
                format!("let the exporter serve `--bullmq.horizon={needed}` or more, and add it to `prometheus.horizons`"),
            ));
        }
        horizon.map(|horizon| Some(*horizon))
    }

    /// What the Jobs of a worker are made of, if its replicas are Jobs.
    #[expect(
        clippy::option_option,
        reason = "wrong, or right with or without a template"
    )]
    fn template(
        &mut self,
        own: &WorkerSpec,
        defaults: &WorkerSpec,
        title: &str,
    ) -> Option<Option<JobTemplate>> {
        let kind = own.target_kind.or(&defaults.target_kind);
        let template = own.target_template.or(&defaults.target_template);
        let name = own.target_name.or(&defaults.target_name);
        let version = own.target_api_version.or(&defaults.target_api_version);
        if *kind == Field::Wrong {
            return None;
        }
        let mut unused = |field: &Field<String>, title: &str, help: &str| {
            let span = field.given()?.span;
            self.problems.push(Problem::new(
                Rule::TargetFieldUnused,
                span,
                title,
                "without effect",
                help,
            ));
            Some(())
        };
        if !kind.is(JOB) {
            let title = "only a `target` of kind `Job` has a template";
            let help = "write `kind: Job` beside it, or remove it";
            return match unused(template, title, help) {
                Some(()) => None,
                None => Some(None),
            };
        }
        let title_unused = "KEDA names the Jobs itself, and knows their version";
        let refused = [name, version]
            .into_iter()
            .filter_map(|field| unused(field, title_unused, "remove it"))
            .count();
        if matches!(template, Field::Missing) {
            let at = kind.given().map_or(own.span, |kind| kind.span);
            let example = "job.yaml";
            self.problems
                .push(missing("target.template", at, title, example));
        }
        let template = template.given()?;
        let Some((index, documents)) = self.files.named(template.span.source, &template.value)
        else {
            self.problems.push(Problem::new(
                Rule::TemplateNotFound,
                template.span,
                "the template cannot be read",
                "no such file, or no right to read it",
                "write the path of the file as it is seen from the folder of the spec",
            ));
            return None;
        };
        let read = if let Some(read) = self.templates.get(&index) {
            read.clone()
        } else {
            let start = Span {
                source: index,
                start: 0,
                end: 0,
            };
            // What is no YAML has been told as that.
            let read = documents
                .problems
                .is_empty()
                .then(|| template::template(&documents.roots, start, template.span, self.problems));
            self.templates.insert(index, read.clone().flatten());
            read.flatten()
        };
        if refused > 0 {
            return None;
        }
        read.map(Some)
    }

    /// The slots that a limit of the rate lets be busy at once, by Little's law: jobs in a time, times the mean time of one. Rounded
    /// up to what KEDA can hold, so that it is never nothing.
    #[expect(
        clippy::option_option,
        reason = "wrong, or right with or without a limit"
    )]
    fn most_slots(
        &mut self,
        own: &WorkerSpec,
        defaults: &WorkerSpec,
        title: &str,
    ) -> Option<Option<Decimal>> {
        let field = own.rate_limit.or(&defaults.rate_limit);
        let Some(rate) = optional(field)? else {
            return Some(None);
        };
        let at = field.given().map_or(own.span, |field| field.span);
        let scale = own.scale.or(&defaults.scale);
        if let Some(scale) = scale.given()
            && matches!(scale.value, Scale::JobsPerReplica(_))
        {
            let problem = Problem::new(
                Rule::RateLimitJobsPerReplica,
                at,
                "`rateLimit` says nothing about `jobsPerReplica`",
                "a rate caps the slots, and this worker is scaled by jobs",
                "write `scale: slots` or `{startWithin: T}` with `concurrency` and `job.mean`, or lower `replicas.max`",
            );
            self.problems
                .push(problem.related(scale.span, "scaled by jobs"));
            return None;
        }
        let mean = own.job_mean.or(&defaults.job_mean);
        let mean = self.required(mean, "job.mean", at, title, "2s")?;
        let busy = u128::from(rate.jobs) * mean.as_millis() * 1000;
        let slots = busy.div_ceil(rate.per.as_millis().max(1)).max(1);
        Some(Some(Decimal::from_thousandths(
            u64::try_from(slots).unwrap_or(u64::MAX),
        )))
    }

    fn on_metrics_loss(
        &mut self,
        own: &WorkerSpec,
        defaults: &WorkerSpec,
        replicas: Option<Replicas>,
        keda: Option<Version>,
    ) -> Option<OnMetricsLoss> {
        let field = own.on_metrics_loss.or(&defaults.on_metrics_loss);
        let answer = given_or(field, OnMetricsLoss::Hold)?;
        let OnMetricsLoss::Replicas(number) = answer else {
            return Some(answer);
        };
        let at = field.given().map_or(own.span, |field| field.span);
        if own.target_kind.or(&defaults.target_kind).is(JOB) {
            self.problems.push(Problem::new(
                Rule::OnMetricsLossJob,
                at,
                "a worker of Jobs has no replicas to fall back to",
                "a ScaledJob has no fallback",
                "write `hold`: while the metrics are lost KEDA makes no new Job, and those that run go on",
            ));
            return None;
        }
        if keda.is_some_and(|keda| keda < KEDA_WITH_BEHAVIOR) {
            self.problems.push(Problem::new(
                Rule::VersionLacksFeature,
                at,
                format!("`onMetricsLoss: {{replicas: N}}` needs KEDA {KEDA_WITH_BEHAVIOR}"),
                "an older one would set the replicas down to N too",
                "write `hold`, or a newer `keda.version`",
            ));
            return None;
        }
        let replicas = replicas?;
        if (replicas.min().max(1)..=replicas.max()).contains(&number) {
            return Some(answer);
        }
        self.problems.push(Problem::new(
            Rule::OnMetricsLossReplicas,
            field.given().map_or(own.span, |field| field.span),
            "`onMetricsLoss` asks for replicas outside the worker's own bounds",
            format!("not from {} to {}", replicas.min().max(1), replicas.max()),
            "write a number within `replicas.min` and `replicas.max`, or `hold`",
        ));
        None
    }
}

/// The entries of both; those of the worker win.
fn merged(
    own: &Field<BTreeMap<String, String>>,
    defaults: &Field<BTreeMap<String, String>>,
) -> Option<BTreeMap<String, String>> {
    let mut merged = given_or(defaults, BTreeMap::new())?;
    merged.extend(given_or(own, BTreeMap::new())?);
    Some(merged)
}

/// The value that was given, or the default; nothing if a wrong one was given.
fn given_or<T: Clone>(field: &Field<T>, default: T) -> Option<T> {
    match field {
        Field::Missing => Some(default),
        Field::Wrong => None,
        Field::Given(at) => Some(at.value.clone()),
    }
}

/// The value that was given, if any; nothing if a wrong one was given.
#[expect(
    clippy::option_option,
    reason = "wrong, or right with or without a value"
)]
fn optional<T: Clone>(field: &Field<T>) -> Option<Option<T>> {
    match field {
        Field::Missing => Some(None),
        Field::Wrong => None,
        Field::Given(at) => Some(Some(at.value.clone())),
    }
}

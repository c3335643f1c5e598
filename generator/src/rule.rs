//! Every rule by which something can be wrong, with the id under which people meet it: in a message, in a comment that suppresses
//! it, in `SPEC.md`, in its page.
//!
//! One enum for specs and manifests alike, because the same mistake, such as a largest number of replicas below the smallest, has the same
//! name wherever it is made.

use std::fmt;

/// How much a problem matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing has to be done. It is good to know, and counts as no problem.
    Info,
    /// It works, until something else happens that does happen.
    Warning,
    /// It is refused, ignored or does harm as it stands.
    Error,
}

impl Severity {
    /// The word under which people know it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

macro_rules! rules {
    (
        specs { $($(#[doc = $spec_doc:literal])+ $spec:ident = $spec_id:literal,)+ }
        manifests { $($(#[doc = $doc:literal])+ $variant:ident = $id:literal : $severity:ident,)* }
    ) => {
        /// What is wrong, as a closed set. Each has a stable id of a family and a fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Rule {
            $($(#[doc = $spec_doc])+ $spec,)+
            $($(#[doc = $doc])+ $variant,)*
        }

        impl Rule {
            /// The rules of specs, in the order of the fields of a spec. Each is an error, because a spec that breaks one makes no
            /// manifest; each has an anchor of its id in `SPEC.md`, and a bad spec with its exact message in `tests/problems/`.
            pub const OF_SPECS: &'static [Self] = &[$(Self::$spec,)+];
            /// The rules of manifests, by family.
            pub const OF_MANIFESTS: &'static [Self] = &[$(Self::$variant,)*];

            /// The stable id, such as `replicas/max-below-min`.
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$spec => $spec_id,)+
                    $(Self::$variant => $id,)*
                }
            }

            /// How much breaking it matters, unless the place says otherwise.
            pub const fn severity(self) -> Severity {
                match self {
                    $(Self::$spec => Severity::Error,)+
                    $(Self::$variant => Severity::$severity,)*
                }
            }

            /// What it is about, in one sentence.
            pub const fn summary(self) -> &'static str {
                match self {
                    $(Self::$spec => concat!($($spec_doc,)+).trim_ascii(),)+
                    $(Self::$variant => concat!($($doc,)+).trim_ascii(),)*
                }
            }

            /// The page of the rule: what is wrong, why, a bad example and a good one.
            pub const fn page(self) -> &'static str {
                match self {
                    $(Self::$spec => include_str!(concat!("../docs/rules/", $spec_id, ".md")),)+
                    $(Self::$variant => include_str!(concat!("../docs/rules/", $id, ".md")),)*
                }
            }

            /// The rule of an id.
            pub fn from_id(id: &str) -> Option<Self> {
                Self::all().find(|rule| rule.id() == id)
            }

            /// Every rule.
            pub fn all() -> impl Iterator<Item = Self> {
                Self::OF_SPECS.iter().chain(Self::OF_MANIFESTS).copied()
            }
        }
    };
}

rules! {
    specs {
        /// The input is not text in UTF-8.
        YamlNotUtf8 = "yaml/not-utf8",
        /// The input is not YAML.
        YamlSyntax = "yaml/syntax",
        /// The input is larger or deeper than any spec.
        YamlBounds = "yaml/bounds",
        /// A tag, which a spec never needs.
        YamlTag = "yaml/tag",
        /// An alias inside the very node that it names.
        YamlRecursiveAlias = "yaml/recursive-alias",
        /// A field that stands twice in one mapping.
        YamlDuplicateKey = "yaml/duplicate-key",
        /// An input without any spec.
        SpecEmpty = "spec/empty",
        /// A field that is not known here.
        SpecUnknownField = "spec/unknown-field",
        /// A field that must be given.
        SpecMissingField = "spec/missing-field",
        /// A value of another kind than the field takes.
        SpecWrongType = "spec/wrong-type",
        /// A version of the spec that is not known.
        ApiVersionUnknown = "api-version/unknown",
        /// A version of KEDA or Kubernetes that is not one.
        VersionUnreadable = "version/unreadable",
        /// A version of KEDA or Kubernetes for which nothing safe can be written.
        VersionTooOld = "version/too-old",
        /// A field that needs something that the version of KEDA lacks.
        VersionLacksFeature = "version/lacks-feature",
        /// A text that a chart may take for a template.
        HelmValuesTemplate = "helm-values/template",
        /// A text with a character that Helm loses.
        HelmValuesUnprintable = "helm-values/unprintable",
        /// A text with a NUL character.
        TextNul = "text/nul",
        /// A duration that is not in the written form.
        DurationUnreadable = "duration/unreadable",
        /// A duration of nothing, or finer than a millisecond.
        DurationTooShort = "duration/too-short",
        /// A duration longer than any in this field.
        DurationTooLong = "duration/too-long",
        /// A server address that is not an HTTP URL.
        ServerAddressNotHttp = "server-address/not-http",
        /// A server address with a user or a password in it.
        ServerAddressCredentials = "server-address/credentials",
        /// A server address with a query string or a fragment.
        ServerAddressQueryString = "server-address/query-string",
        /// A server address that names the path of the API.
        ServerAddressApiPath = "server-address/api-path",
        /// A server address with a slash at its end.
        ServerAddressTrailingSlash = "server-address/trailing-slash",
        /// A scrape interval that leaves gaps.
        ScrapeIntervalTooLong = "scrape-interval/too-long",
        /// A matcher whose label name is not one.
        MatchersLabelName = "matchers/label-name",
        /// A matcher on a label that the query sets itself.
        MatchersReservedLabel = "matchers/reserved-label",
        /// An empty list of horizons.
        HorizonsNone = "horizons/none",
        /// Horizons that do not rise.
        HorizonsNotRising = "horizons/not-rising",
        /// More than one way to authenticate, or none.
        AuthenticationOneWay = "authentication/one-way",
        /// A secret that stands in the spec itself.
        AuthenticationByValue = "authentication/by-value",
        /// A reference that leads to no value that KEDA can read.
        AuthenticationReference = "authentication/reference",
        /// A certificate of a private authority that KEDA would not use.
        AuthenticationCaAlone = "authentication/ca-alone",
        /// Modes that do not fit what is given beside them.
        AuthenticationModes = "authentication/modes",
        /// An identity of a pod that KEDA cannot use for Prometheus.
        AuthenticationPodIdentity = "authentication/pod-identity",
        /// A header with a secret in it.
        HeadersSecret = "headers/secret",
        /// A header that KEDA cannot send.
        HeadersInvalid = "headers/invalid",
        /// A parameter that KEDA cannot send, or sets itself.
        QueryParametersInvalid = "query-parameters/invalid",
        /// A spec without a worker.
        WorkersNone = "workers/none",
        /// A worker's name that Kubernetes refuses.
        NameInvalid = "name/invalid",
        /// A worker's name too long for the HPA that KEDA names after it.
        NameTooLong = "name/too-long",
        /// Two workers of one name in one namespace.
        NameDuplicate = "name/duplicate",
        /// A namespace that Kubernetes refuses.
        NamespaceInvalid = "namespace/invalid",
        /// A target's name that Kubernetes refuses.
        TargetNameInvalid = "target/name-invalid",
        /// A target's kind that is not one, or that has no replicas to scale.
        TargetKindInvalid = "target/kind-invalid",
        /// A target's API version that is not one.
        TargetApiVersionInvalid = "target/api-version-invalid",
        /// A target of a kind whose API version cannot be guessed.
        TargetApiVersionMissing = "target/api-version-missing",
        /// Two workers that scale the same target.
        TargetDuplicate = "target/duplicate",
        /// A field of `target` that the kind does not take.
        TargetFieldUnused = "target/field-unused",
        /// A template's file that is not there.
        TemplateNotFound = "template/not-found",
        /// A template's file that holds no Job.
        TemplateNotAJob = "template/not-a-job",
        /// A value that readers of YAML take for different things.
        TemplateAmbiguousValue = "template/ambiguous-value",
        /// Pods that would start again for ever.
        TemplateRestartPolicy = "template/restart-policy",
        /// A worker without a queue.
        QueuesNone = "queues/none",
        /// A worker whose queues may all be missing.
        QueuesAllOptional = "queues/all-optional",
        /// An empty queue name, prefix or Redis name.
        QueuesEmptyName = "queues/empty-name",
        /// A queue that stands twice in one worker.
        QueuesDuplicate = "queues/duplicate",
        /// A concurrency of nothing, or beyond any number of jobs.
        ConcurrencyRange = "concurrency/range",
        /// A number of replicas that Kubernetes does not take.
        ReplicasRange = "replicas/range",
        /// A largest number of replicas below the smallest.
        ReplicasMaxBelowMin = "replicas/max-below-min",
        /// A way to scale that is not known.
        ScaleUnknown = "scale/unknown",
        /// A number of jobs for each replica that cannot be a threshold.
        ScaleJobsPerReplica = "scale/jobs-per-replica",
        /// A utilization that is not written in percent.
        UtilizationUnreadable = "utilization/unreadable",
        /// A utilization of nothing, or above all.
        UtilizationRange = "utilization/range",
        /// A longest job that is shorter than the mean job.
        JobLongestBelowMean = "job/longest-below-mean",
        /// A startup time that no horizon covers.
        StartupBeyondHorizons = "startup/beyond-horizons",
        /// An answer to the loss of metrics that is not known.
        OnMetricsLossUnknown = "on-metrics-loss/unknown",
        /// A fallback outside the worker's own bounds.
        OnMetricsLossReplicas = "on-metrics-loss/replicas",
        /// A fallback for Jobs, which KEDA does not know.
        OnMetricsLossJob = "on-metrics-loss/job",
        /// A quiet time that is too short to tell quiet from a stalled job.
        IdleAfterTooShort = "idle-after/too-short",
        /// A rate that is not readable.
        RateLimitUnreadable = "rate-limit/unreadable",
        /// A rate beside a number of jobs for each replica.
        RateLimitJobsPerReplica = "rate-limit/jobs-per-replica",
        /// A label that Kubernetes refuses, or that KEDA sets.
        LabelsInvalid = "labels/invalid",
        /// An annotation that Kubernetes refuses.
        AnnotationsInvalid = "annotations/invalid",
        /// An override of a field that KEDA does not know.
        OverridesUnknownField = "overrides/unknown-field",
        /// An override with a value of another kind than KEDA takes.
        OverridesWrongType = "overrides/wrong-type",
        /// An override of what the spec itself says.
        OverridesOfTheSpec = "overrides/of-the-spec",
        /// An override that undoes what keeps a manifest safe.
        OverridesUnsafe = "overrides/unsafe",
        /// A query too long for an HTTP GET.
        QueryTooLong = "query/too-long",
    }
    manifests {
        /// A document that is no object of Kubernetes and no spec.
        ManifestNotAnObject = "manifest/not-an-object": Warning,
        /// A template that has not been rendered.
        ManifestTemplate = "manifest/template": Error,
        /// Inputs without anything that can be checked.
        ManifestNothingToCheck = "manifest/nothing-to-check": Warning,
        /// A known kind under an API version that no longer serves it.
        ManifestApiVersionUnknown = "manifest/api-version-unknown": Error,
        /// A field that the API server drops in silence.
        ManifestUnknownField = "manifest/unknown-field": Error,
        /// A field without which the API server refuses the object.
        ManifestMissingField = "manifest/missing-field": Error,
        /// A value of another type than the field takes.
        ManifestWrongType = "manifest/wrong-type": Error,
        /// A word that is not one of those the field takes.
        ManifestUnknownValue = "manifest/unknown-value": Error,
        /// A number or a list outside the field's bounds.
        ManifestOutOfRange = "manifest/out-of-range": Error,
        /// A comment that suppresses a rule and does not say why.
        SuppressionWithoutReason = "suppression/without-reason": Warning,
        /// A comment that suppresses a rule that does not exist.
        SuppressionUnknownRule = "suppression/unknown-rule": Warning,
        /// A comment that suppresses what is not found.
        SuppressionUnused = "suppression/unused": Warning,
        /// A type of trigger that KEDA does not have.
        TriggerUnknownType = "trigger/unknown-type": Error,
        /// A metadata key that KEDA does not read.
        TriggerUnknownMetadataKey = "trigger/unknown-metadata-key": Error,
        /// A metadata key that KEDA read once.
        TriggerRemovedMetadataKey = "trigger/removed-metadata-key": Error,
        /// A metadata key without which KEDA cannot build the trigger.
        TriggerMissingMetadataKey = "trigger/missing-metadata-key": Error,
        /// A metadata value that is not a text.
        TriggerMetadataNotText = "trigger/metadata-not-text": Error,
        /// A metadata value that KEDA cannot read.
        TriggerUnreadableValue = "trigger/unreadable-value": Error,
        /// Two triggers of one name.
        TriggerNameDuplicate = "trigger/name-duplicate": Error,
        /// Cached metrics on a trigger that cannot have them.
        TriggerCachedMetricsUnsupported = "trigger/cached-metrics-unsupported": Error,
        /// A secret in the metadata of a trigger.
        TriggerSecretInMetadata = "trigger/secret-in-metadata": Error,
        /// A tenant's namespace that breaks the URL.
        TriggerNamespaceUnescaped = "trigger/namespace-unescaped": Warning,
        /// A threshold that KEDA cannot read as a number.
        ThresholdNotANumber = "threshold/not-a-number": Error,
        /// A threshold that the HPA refuses.
        ThresholdTooSmall = "threshold/too-small": Error,
        /// An activation threshold at which the HPA would want several replicas.
        ActivationThresholdNotBelowThreshold = "activation-threshold/not-below-threshold": Warning,
        /// An activation threshold between two whole numbers.
        ActivationThresholdFractional = "activation-threshold/fractional": Info,
        /// A metric type that the trigger cannot have.
        MetricTypeUnknown = "metric-type/unknown": Error,
        /// A metric type where a ScaledJob has none.
        MetricTypeOnScaledJob = "metric-type/on-scaled-job": Error,
        /// An age or a ratio divided among replicas.
        MetricTypeAverageOfIntensive = "metric-type/average-of-intensive": Warning,
        /// A number of jobs compared with the threshold as it is.
        MetricTypeValueOfTotal = "metric-type/value-of-total": Warning,
        /// A timeout in milliseconds that was meant in seconds.
        TimeoutMilliseconds = "timeout/milliseconds": Warning,
        /// A timeout longer than the time between two questions.
        TimeoutTooLong = "timeout/too-long": Warning,
        /// A way to authenticate that the trigger accepts and does not use.
        AuthModeUnsupported = "auth/mode-unsupported": Error,
        /// Two ways to authenticate that exclude each other.
        AuthModesExclusive = "auth/modes-exclusive": Error,
        /// A way to authenticate without what it needs.
        AuthIncomplete = "auth/incomplete": Error,
        /// A certificate authority that is not used.
        AuthCaUnused = "auth/ca-unused": Warning,
        /// A TriggerAuthentication that is not where the trigger looks for it.
        AuthNotFound = "auth/not-found": Error,
        /// A server whose certificate is not verified.
        TlsUnverified = "tls/unverified": Warning,
        /// No smallest number of replicas, which means zero.
        ReplicasMinUnset = "replicas/min-unset": Warning,
        /// No largest number of replicas, which means a hundred.
        ReplicasMaxUnset = "replicas/max-unset": Warning,
        /// Zero replicas from which no trigger can wake them.
        ReplicasZeroWithoutWake = "replicas/zero-without-wake": Error,
        /// An idle number of replicas that is not below the smallest.
        IdleReplicasNotBelowMin = "idle-replicas/not-below-min": Error,
        /// An idle number of replicas that the HPA works against.
        IdleReplicasNotZero = "idle-replicas/not-zero": Warning,
        /// Running pods that go at the first poll.
        InitialCooldownUnset = "initial-cooldown/unset": Warning,
        /// A cooldown within which no new sample comes.
        CooldownTooShort = "cooldown/too-short": Warning,
        /// A cooldown that is never used.
        CooldownIrrelevant = "cooldown/irrelevant": Info,
        /// Polls between which there is no new sample.
        PollingBelowScrape = "polling/below-scrape": Warning,
        /// A polling interval that decides nothing.
        PollingIrrelevant = "polling/irrelevant": Info,
        /// A behavior where the API server drops it.
        BehaviorMisplaced = "behavior/misplaced": Error,
        /// No behavior, and so the HPA's oldest rules.
        BehaviorUnset = "behavior/unset": Warning,
        /// A scale-down window within which single samples decide.
        BehaviorShortWindow = "behavior/short-window": Warning,
        /// A fallback to nothing.
        FallbackZeroReplicas = "fallback/zero-replicas": Error,
        /// A fallback outside the bounds of the replicas.
        FallbackOutsideBounds = "fallback/outside-bounds": Warning,
        /// A fallback that a missing metric does not start.
        FallbackNeverUsed = "fallback/never-used": Warning,
        /// A fallback that starts replicas from zero.
        FallbackWakesFromZero = "fallback/wakes-from-zero": Warning,
        /// A fallback behavior that the targeted KEDA does not have.
        FallbackBehaviorUnsupported = "fallback/behavior-unsupported": Error,
        /// A fallback after a single failure.
        FallbackLowThreshold = "fallback/low-threshold": Warning,
        /// A target of scaling modifiers that switches the fallback off.
        FallbackModifiersTarget = "fallback/modifiers-target": Error,
        /// A fallback that divides by ready pods where there may be none.
        FallbackValueMetricAtZero = "fallback/value-metric-at-zero": Warning,
        /// A fallback for triggers that cannot have one.
        FallbackOnlyResourceMetrics = "fallback/only-resource-metrics": Error,
        /// A second HPA for one target.
        HpaSecond = "hpa/second": Error,
        /// Two ScaledObjects that want one HPA.
        HpaNameDuplicate = "hpa/name-duplicate": Error,
        /// A fixed number of replicas on a target that is scaled.
        TargetReplicasSet = "target/replicas-set": Warning,
        /// A tracking label that KEDA copies to its HPA.
        GitopsTrackingLabel = "gitops/tracking-label": Warning,
        /// An annotation that KEDA copies to its HPA.
        GitopsAnnotationCopied = "gitops/annotation-copied": Warning,
        /// A pause that is written down for good.
        GitopsPaused = "gitops/paused": Warning,
        /// Pods that are killed before their jobs are done.
        WorkloadShortGracePeriod = "workload/short-grace-period": Warning,
        /// A command that keeps the signal to stop from the worker.
        WorkloadSignalLost = "workload/signal-lost": Warning,
        /// Pods that count as ready before they are.
        WorkloadNoReadinessProbe = "workload/no-readiness-probe": Warning,
        /// A disruption budget that lets no pod go.
        PdbBlocksEviction = "pdb/blocks-eviction": Warning,
        /// Jobs so long that pods should end with them.
        JobTooLongForScaledObject = "job/too-long-for-scaled-object": Warning,
        /// Pods of a Job that may never end.
        ScaledJobRestartAlways = "scaled-job/restart-always": Error,
        /// Jobs that are started twice until Prometheus sees them run.
        ScaledJobAccurateDoubleCounts = "scaled-job/accurate-double-counts": Error,
        /// A hundred finished Jobs that stay.
        ScaledJobHistoryLimitUnset = "scaled-job/history-limit-unset": Warning,
        /// Running Jobs that a change deletes.
        ScaledJobRolloutImmediate = "scaled-job/rollout-immediate": Warning,
        /// Another owner of the API that KEDA serves its metrics by.
        ExternalMetricsOtherProvider = "external-metrics/other-provider": Warning,
        /// A feature that the targeted KEDA does not have.
        VersionKedaTooOld = "version/keda-too-old": Warning,
        /// A feature that the targeted Kubernetes does not have.
        VersionKubernetesTooOld = "version/kubernetes-too-old": Warning,
        /// A query that is not PromQL.
        QuerySyntax = "query/syntax": Error,
        /// A query whose lost series KEDA reads as 0.
        QueryNullIsZero = "query/null-is-zero": Error,
        /// A query whose result is a scalar or a string, which KEDA cannot read.
        QueryScalar = "query/scalar": Error,
        /// A query whose result is a range of samples, which KEDA cannot read.
        QueryRangeVector = "query/range-vector": Error,
        /// A query that may have more than one series.
        QuerySeveralSeries = "query/several-series": Error,
        /// A query that makes 0 of lost series itself.
        QueryAbsenceAsZero = "query/absence-as-zero": Error,
        /// A query whose series is gone where a comparison is false.
        QueryFilter = "query/filter": Warning,
        /// A division whose divisor can be 0, or a quantile of nothing.
        QueryUnguardedDivision = "query/unguarded-division": Warning,
        /// A sum that counts every job once for each exporter.
        QueryDoubleCount = "query/double-count": Warning,
        /// A query on series that are there only while the worker runs, for a worker that scales to zero.
        QueryFromScaledWorkload = "query/from-scaled-workload": Error,
        /// A sum over several queues that a missing queue lowers unseen.
        QueryNoCompletenessCount = "query/no-completeness-count": Warning,
        /// A rate over a window that a lost scrape empties.
        QueryShortRateWindow = "query/short-rate-window": Warning,
        /// A backlog without the jobs that run.
        QueryActiveNotCounted = "query/active-not-counted": Warning,
        /// A backlog without prioritized jobs.
        QueryPrioritizedNotCounted = "query/prioritized-not-counted": Warning,
        /// A backlog with all delayed jobs, due or not.
        QueryDelayedInFull = "query/delayed-in-full": Warning,
        /// A backlog with jobs that are done.
        QueryFinishedCounted = "query/finished-counted": Warning,
        /// A backlog with jobs that a pause holds.
        QueryPausedCounted = "query/paused-counted": Warning,
        /// A counter that is read as if it were a number of jobs.
        QueryCounterWithoutRate = "query/counter-without-rate": Warning,
        /// A formula that is not closed, or does not make a number.
        ModifiersSyntax = "modifiers/syntax": Error,
        /// A formula on a trigger that there is not.
        ModifiersUnknownTrigger = "modifiers/unknown-trigger": Error,
        /// Modifiers without a formula.
        ModifiersFormulaMissing = "modifiers/formula-missing": Error,
        /// Modifiers without a target above zero.
        ModifiersTargetNotPositive = "modifiers/target-not-positive": Error,
        /// An activation threshold of a trigger that a formula stands above.
        ModifiersActivationIgnored = "modifiers/activation-ignored": Warning,
        /// A formula that replaces lost triggers without a fallback that lets it.
        ModifiersCoalesceWithoutFallback = "modifiers/coalesce-without-fallback": Warning,
        /// A formula that divides by a trigger that can be 0.
        ModifiersUnguardedDivision = "modifiers/unguarded-division": Warning,
        /// A list that is called as a queue, which is no list of Bull or BullMQ.
        RedisQueueNameAsList = "redis/queue-name-as-list": Error,
        /// A pattern where the name of one list is due.
        RedisPatternAsList = "redis/pattern-as-list": Error,
        /// A key that neither Bull nor BullMQ has.
        RedisNoSuchKey = "redis/no-such-key": Error,
        /// A key of a queue that holds no backlog.
        RedisNotABacklog = "redis/not-a-backlog": Error,
        /// The wait list alone.
        RedisWaitingOnly = "redis/waiting-only": Warning,
        /// The jobs that run alone.
        RedisActiveOnly = "redis/active-only": Warning,
        /// Prioritized jobs alone.
        RedisPrioritizedOnly = "redis/prioritized-only": Warning,
        /// All delayed jobs, due or not.
        RedisDelayedInFull = "redis/delayed-in-full": Warning,
        /// Jobs that a pause holds.
        RedisPausedCounted = "redis/paused-counted": Warning,
        /// A queue of n8n that n8n does not have.
        RedisN8nQueue = "redis/n8n-queue": Error,
        /// A selector that KEDA's metrics-api trigger takes literally.
        MetricsApiMatchersAsEquality = "metrics-api/matchers-as-equality": Error,
        /// A selector of several series, of which KEDA's metrics-api trigger takes the first.
        MetricsApiFirstMatch = "metrics-api/first-match": Warning,
        /// A single state, where KEDA's metrics-api trigger adds nothing up.
        MetricsApiOneState = "metrics-api/one-state": Warning,
        /// A metrics-api trigger that reads an exporter's text as JSON.
        MetricsApiFormat = "metrics-api/format": Error,
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_rule_has_its_own_id_of_two_words_or_groups() {
        let ids: HashSet<_> = Rule::all().map(Rule::id).collect();
        assert_eq!(ids.len(), Rule::all().count());
        for id in ids {
            let (family, fault) = id.split_once('/').unwrap();
            for part in [family, fault] {
                assert!(
                    part.bytes()
                        .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-'),
                    "{id}"
                );
            }
        }
    }
}

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
        /// A quiet time that is too short to tell quiet from a stalled job.
        IdleAfterTooShort = "idle-after/too-short",
        /// A query too long for an HTTP GET.
        QueryTooLong = "query/too-long",
    }
    manifests {
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

//! Versions of KEDA and of Kubernetes, and since when each has what an object uses.

use std::fmt;
use std::str::FromStr;

use super::Options;
use super::object::{Kind, Object, at, entry, get};
use super::trigger::Trigger;
use crate::problem::{Problem, Rule, Span};

/// A version of KEDA or of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// A version of three numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }
}

/// Why a text is no version.
#[derive(Debug, thiserror::Error)]
#[error("write a version of two or three numbers, such as 2.20 or 2.20.2")]
pub struct NotAVersion;

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let mut parts = text.strip_prefix('v').unwrap_or(text).splitn(3, '.');
        let mut next = || match parts.next() {
            Some(part) if part.bytes().all(|b| b.is_ascii_digit()) => part.parse().ok().map(Some),
            Some(_) => None,
            None => Some(None),
        };
        let (major, minor, patch) = (next(), next(), next());
        match (major.flatten(), minor.flatten(), patch) {
            // A minor version alone means its last patch: nobody targets the first one for long.
            (Some(major), Some(minor), Some(patch)) => {
                Ok(Self::new(major, minor, patch.unwrap_or(u32::MAX)))
            }
            _ => Err(NotAVersion),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        match self.patch {
            0 | u32::MAX => Ok(()),
            patch => write!(f, ".{patch}"),
        }
    }
}

/// Fields of a ScaledObject by their path in `spec`, and since when KEDA has them, by its change log:
/// <https://github.com/kedacore/keda/blob/v2.20.2/CHANGELOG.md>.
const FIELDS: &[(&[&str], Version)] = &[
    (&["initialCooldownPeriod"], Version::new(2, 14, 0)),
    (&["advanced", "scalingModifiers"], Version::new(2, 12, 0)),
];
/// Metadata keys of the prometheus trigger, likewise.
const METADATA: &[(&str, Version)] = &[
    ("queryParameters", Version::new(2, 13, 0)),
    ("timeout", Version::new(2, 17, 0)),
];
/// Annotations of a ScaledObject, likewise.
const ANNOTATIONS: &[(&str, Version)] = &[
    (
        "autoscaling.keda.sh/force-activation",
        Version::new(2, 18, 0),
    ),
    (
        "scaledobject.keda.sh/hpa-excluded-labels",
        Version::new(2, 18, 0),
    ),
];
/// Since when a `Value` metric can have a fallback: kedacore/keda#6655.
const VALUE_FALLBACK: Version = Version::new(2, 18, 0);
/// Since when the HPA has `behavior.*.tolerance`, in beta and so switched on:
/// <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#tolerance>.
const TOLERANCE: Version = Version::new(1, 35, 0);

/// Checks whether the targeted versions have what a ScaledObject uses.
pub(super) fn check(object: &Object<'_>, options: &Options, problems: &mut Vec<Problem>) {
    if object.kind != Kind::ScaledObject {
        return;
    }
    let Some(spec) = get(object.node, "spec") else {
        return;
    };
    let mut keda = |at: Span, what: String, since: Version, then: &str| {
        if options.keda < since {
            problems.push(Problem::new(
                Rule::VersionKedaTooOld,
                at,
                format!("KEDA {} does not have {what}", options.keda),
                format!("since KEDA {since}"),
                format!("update KEDA to {since} or later; until then it is {then}"),
            ));
        }
    };
    for (path, since) in FIELDS {
        let (last, way) = path.split_last().unzip();
        let found = way
            .and_then(|way| at(spec, way))
            .zip(last)
            .and_then(|(node, last)| entry(node, last));
        if let Some((key, _)) = found {
            keda(
                key.span,
                format!("`{}`", path.join(".")),
                *since,
                "dropped in silence",
            );
        }
    }
    for trigger in Trigger::all(object).filter(|trigger| trigger.r#type == "prometheus") {
        for (key, since) in METADATA {
            if let Some((node, _)) = trigger.value(key) {
                keda(
                    node.span,
                    format!("`{key}` in a prometheus trigger"),
                    *since,
                    "ignored in silence",
                );
            }
        }
        if trigger.metric_type() == "Value" && at(spec, &["fallback"]).is_some() {
            let node = get(trigger.node, "metricType").map_or(trigger.head(), |node| node.span);
            keda(
                node,
                "a fallback for a `Value` metric".to_owned(),
                VALUE_FALLBACK,
                "held as it is",
            );
        }
    }
    for (name, since) in ANNOTATIONS {
        for (key, _) in object
            .metadata("annotations")
            .iter()
            .filter(|(key, _)| key.text() == Some(name))
        {
            keda(
                key.span,
                format!("the annotation `{name}`"),
                *since,
                "ignored in silence",
            );
        }
    }
    let Some(kubernetes) = options.kubernetes else {
        return;
    };
    let behavior = at(
        spec,
        &["advanced", "horizontalPodAutoscalerConfig", "behavior"],
    );
    for direction in ["scaleUp", "scaleDown"] {
        let rules = behavior.and_then(|behavior| get(behavior, direction));
        if let Some((key, _)) = rules.and_then(|rules| entry(rules, "tolerance"))
            && kubernetes < TOLERANCE
        {
            problems.push(Problem::new(
                Rule::VersionKubernetesTooOld,
                key.span,
                format!("Kubernetes {kubernetes} drops `tolerance` unless its feature gate is on"),
                format!("switched on since Kubernetes {TOLERANCE}"),
                "remove it: the HPA then ignores changes within 10 %; or switch `HPAConfigurableTolerance` on",
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_two_or_three_numbers() {
        for (text, expected) in [
            ("2.20.2", Some(Version::new(2, 20, 2))),
            ("v2.20.2", Some(Version::new(2, 20, 2))),
            ("2.20", Some(Version::new(2, 20, u32::MAX))),
            ("2", None),
            ("", None),
            ("2.x", None),
            ("2.20.2.1", None),
            ("2..1", None),
            ("99999999999.1", None),
        ] {
            assert_eq!(text.parse::<Version>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_minor_version_alone_reads_as_it_was_written() {
        assert_eq!("2.20".parse::<Version>().unwrap().to_string(), "2.20");
        assert_eq!(Version::new(2, 17, 0).to_string(), "2.17");
        assert_eq!(Version::new(2, 20, 2).to_string(), "2.20.2");
    }
}

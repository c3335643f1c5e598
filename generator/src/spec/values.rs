//! Values that are right or wrong by themselves: durations, percentages, names.

use std::time::Duration;

use super::fields::{Reader, Value};
use crate::decimal::Decimal;
use crate::problem::{Problem, Rule};
use crate::version::Version;

/// The longest duration of any field. A job that runs for more than a month is not scaled by the minute.
pub(super) const LONGEST: Duration = Duration::from_hours(720);
/// The longest name of a worker. KEDA names the HPA `keda-hpa-` and the ScaledObject's name, and refuses more than 63 characters:
/// <https://github.com/kedacore/keda/blob/v2.20.2/apis/keda/v1alpha1/scaledobject_webhook.go> (`verifyName`).
const LONGEST_WORKER_NAME: usize = 54;
/// The longest name of an object: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-subdomain-names>.
const LONGEST_OBJECT_NAME: usize = 253;
/// The longest name of a namespace: <https://kubernetes.io/docs/concepts/overview/working-with-objects/names/#dns-label-names>.
const LONGEST_LABEL: usize = 63;
/// A spec's largest number of jobs for each replica. KEDA multiplies a threshold by replicas in 64-bit thousandths.
const MOST_JOBS_PER_REPLICA: Decimal = Decimal::from_thousandths(1_000_000_000_000);
/// Kinds that run pods and have no scale subresource. A Job has none either, but KEDA makes new ones of a template.
const NOT_SCALABLE: [&str; 3] = ["DaemonSet", "Pod", "CronJob"];

/// How much of its slots a replica is meant to use, above 0 and up to 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utilization {
    per_mille: u32,
}

impl Utilization {
    /// Every slot is used.
    pub const FULL: Self = Self { per_mille: 1000 };
    /// A tenth is kept free, as room for noise in the measured load.
    pub const WITH_HEADROOM: Self = Self { per_mille: 900 };

    /// This part of a number of slots, exactly.
    pub fn of(self, slots: u32) -> Decimal {
        Decimal::from_thousandths(u64::from(slots) * u64::from(self.per_mille))
    }
}

/// Reads a duration as people write them: `90s`, `1m 30s`, `2h`. Whole milliseconds, because Prometheus knows no less.
pub(super) fn duration(reader: &mut Reader<'_>, value: Value<'_>) -> Option<Duration> {
    let span = value.node.span;
    let Some(text) = value.node.text() else {
        return reader.wrong_type(
            value,
            "a duration",
            "write a number with a unit, such as `30s`",
        );
    };
    let Ok(duration) = humantime::parse_duration(text) else {
        let bare = Decimal::parse(text).is_some();
        let label = if bare {
            "a number without a unit"
        } else {
            "not a duration"
        };
        let help = if bare {
            format!("write the unit: `{text}s` for seconds, `{text}m` for minutes")
        } else {
            "write numbers with units, such as `500ms`, `30s`, `5m` or `1h 30m`".to_owned()
        };
        let title = format!("{value} is not readable as a duration");
        return reader.refuse(Problem::new(
            Rule::DurationUnreadable,
            span,
            title,
            label,
            help,
        ));
    };
    if duration.is_zero() || duration.subsec_nanos() % 1_000_000 != 0 {
        let help = "write at least `1ms`, in whole milliseconds";
        let title = format!("{value} is nothing, or finer than a millisecond");
        let rule = Rule::DurationTooShort;
        return reader.refuse(Problem::new(
            rule,
            span,
            title,
            "less than a millisecond, or a part of one",
            help,
        ));
    }
    if duration > LONGEST {
        let title = format!("{value} is longer than 30 days");
        let help = "check the unit: `m` is minutes, `M` is months";
        return reader.refuse(Problem::new(
            Rule::DurationTooLong,
            span,
            title,
            "too long",
            help,
        ));
    }
    Some(duration)
}

/// Reads a percentage above 0% and up to 100%, with at most one decimal so that its part of any concurrency is exact.
pub(super) fn utilization(reader: &mut Reader<'_>, value: Value<'_>) -> Option<Utilization> {
    let span = value.node.span;
    let text = value.node.text().unwrap_or_default();
    let number = text.strip_suffix('%').and_then(Decimal::parse);
    let Some(percent) = number.filter(|percent| percent.thousandths() % 100 == 0) else {
        return reader.refuse(Problem::new(
            Rule::UtilizationUnreadable,
            span,
            "`utilization` is not readable as a percentage",
            format!("found {}", value.node.description()),
            "write percent, with one decimal at most: `90%`; a fraction such as `0.9` is not taken",
        ));
    };
    let per_mille = u32::try_from(percent.thousandths() / 100).unwrap_or(u32::MAX);
    if (1..=1000).contains(&per_mille) {
        return Some(Utilization { per_mille });
    }
    reader.refuse(Problem::new(
        Rule::UtilizationRange,
        span,
        "`utilization` is out of range",
        "not above 0% and up to 100%",
        "write `100%` or less; to let jobs wait on purpose, use `scale: {jobsPerReplica: N}`",
    ))
}

/// Reads a number of jobs that can be a threshold: above zero, and with the three decimals that KEDA keeps.
pub(super) fn jobs_per_replica(reader: &mut Reader<'_>, value: Value<'_>) -> Option<Decimal> {
    let text = value.node.plain_text().unwrap_or_default();
    let smallest = Decimal::from_thousandths(1);
    match Decimal::parse(text) {
        Some(number) if (smallest..=MOST_JOBS_PER_REPLICA).contains(&number) => Some(number),
        Some(_) | None => reader.refuse(Problem::new(
            Rule::ScaleJobsPerReplica,
            value.node.span,
            "`jobsPerReplica` cannot be a threshold",
            "not a number from 0.001 to 1000000000",
            "write plain digits with at most three decimals, such as `100` or `0.5`",
        )),
    }
}

/// Reads a text that is not empty: a queue, a prefix or the name of a Redis connection, character for character.
pub(super) fn queue_text(reader: &mut Reader<'_>, value: Value<'_>) -> Option<String> {
    let text = reader.text(value)?;
    if text.is_empty() {
        return reader.refuse(Problem::new(
            Rule::QueuesEmptyName,
            value.node.span,
            format!("{value} is empty"),
            "no series has it",
            "write the name as the application writes it, or remove the field",
        ));
    }
    Some(text)
}

/// Reads the name of a worker, which is the name of its ScaledObject.
pub(super) fn worker_name(reader: &mut Reader<'_>, value: Value<'_>) -> Option<String> {
    let name = object_name(reader, value, Rule::NameInvalid)?;
    if name.len() > LONGEST_WORKER_NAME {
        return reader.refuse(Problem::new(
            Rule::NameTooLong,
            value.node.span,
            format!("the name is longer than {LONGEST_WORKER_NAME} characters"),
            format!("{} characters", name.len()),
            "KEDA names the HPA `keda-hpa-` and this name, in 63 characters: shorten it, and name the target under `target`",
        ));
    }
    Some(name)
}

/// Reads the name of the object to scale.
pub(super) fn target_name(reader: &mut Reader<'_>, value: Value<'_>) -> Option<String> {
    object_name(reader, value, Rule::TargetNameInvalid)
}

pub(super) fn object_name(reader: &mut Reader<'_>, value: Value<'_>, rule: Rule) -> Option<String> {
    let name = reader.text(value)?;
    if name.len() <= LONGEST_OBJECT_NAME && name.split('.').all(is_dns_label) {
        return Some(name);
    }
    not_a_name(reader, value, rule, "small letters, digits, `-` and `.`")
}

/// Reads a namespace.
pub(super) fn namespace(reader: &mut Reader<'_>, value: Value<'_>) -> Option<String> {
    let name = reader.text(value)?;
    if is_dns_label(&name) {
        return Some(name);
    }
    not_a_name(
        reader,
        value,
        Rule::NamespaceInvalid,
        "at most 63 small letters, digits and `-`",
    )
}

fn not_a_name<T>(reader: &mut Reader<'_>, value: Value<'_>, rule: Rule, of: &str) -> Option<T> {
    reader.refuse(Problem::new(
        rule,
        value.node.span,
        format!("{value} is not a name that Kubernetes takes"),
        "refused by Kubernetes",
        format!("use {of}, with a letter or digit first and last"),
    ))
}

pub(super) fn is_dns_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty()
        && text.len() <= LONGEST_LABEL
        && text.bytes().all(inner)
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// Reads a version of KEDA or Kubernetes in two or three numbers. In quotes, because `2.20` is a number to YAML, and the same as `2.2`.
pub(super) fn version(reader: &mut Reader<'_>, value: Value<'_>) -> Option<Version> {
    let text = reader.text(value)?;
    text.parse().ok().or_else(|| {
        reader.refuse(Problem::new(
            Rule::VersionUnreadable,
            value.node.span,
            format!("{value} is not readable as a version"),
            "not two or three numbers",
            "write major and minor version in quotes: `\"2.20\"`",
        ))
    })
}

/// Reads the kind of the object to scale.
pub(super) fn target_kind(reader: &mut Reader<'_>, value: Value<'_>) -> Option<String> {
    let kind = reader.text(value)?;
    let mut letters = kind.chars();
    let shaped = letters.next().is_some_and(|c| c.is_ascii_uppercase())
        && letters.all(|c| c.is_ascii_alphanumeric());
    if shaped && !NOT_SCALABLE.contains(&kind.as_str()) {
        return Some(kind);
    }
    let label = if shaped {
        "has no replicas to scale"
    } else {
        "not the name of a kind"
    };
    reader.refuse(Problem::new(
        Rule::TargetKindInvalid,
        value.node.span,
        "`kind` is not one that can be scaled",
        label,
        "write `Deployment`, `StatefulSet`, another kind with a scale subresource and its `apiVersion`, or `Job` with a `template`",
    ))
}

/// Reads the API version of the object to scale: `v1`, or a group with a version.
pub(super) fn target_api_version(reader: &mut Reader<'_>, value: Value<'_>) -> Option<String> {
    let text = reader.text(value)?;
    let (group, version) = text.split_once('/').unwrap_or(("core", &text));
    let known_version = version.strip_prefix('v').is_some_and(|rest| {
        rest.starts_with(|c: char| c.is_ascii_digit()) && is_dns_label(version)
    });
    if known_version && group.split('.').all(is_dns_label) {
        return Some(text);
    }
    reader.refuse(Problem::new(
        Rule::TargetApiVersionInvalid,
        value.node.span,
        "`apiVersion` is not an API version of Kubernetes",
        "not a group and a version",
        "write the one of the target's manifest, such as `apps/v1` or `argoproj.io/v1alpha1`",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_the_slots_is_exact() {
        for (per_mille, slots, expected) in [
            (1000, 10, "10"),
            (900, 10, "9"),
            (900, 7, "6.3"),
            (333, 1, "0.333"),
            (1, 1, "0.001"),
        ] {
            assert_eq!(Utilization { per_mille }.of(slots).to_string(), expected);
        }
    }

    #[test]
    fn dns_labels_are_those_of_kubernetes() {
        for (text, expected) in [
            ("email", true),
            ("0123", true),
            ("a-b", true),
            ("", false),
            ("-a", false),
            ("a-", false),
            ("A", false),
            ("a_b", false),
            ("ä", false),
        ] {
            assert_eq!(is_dns_label(text), expected, "{text:?}");
        }
        assert!(!is_dns_label(&"a".repeat(64)));
    }
}

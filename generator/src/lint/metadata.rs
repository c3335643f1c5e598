//! The metadata of triggers, as KEDA's scalers read it, and what stands beside it.
//!
//! It is a map of texts, so the API server accepts anything; what is wrong shows when KEDA builds the trigger, or never. The keys
//! of every trigger are a table that is read from KEDA's code, see `tests/conformance`; how values are parsed is
//! <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/scalersconfig/typed_config.go>.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;
use std::time::Duration;

use serde::Deserialize;

use super::object::{Kind, Object, entries, get, truth, whole_at};
use super::query::{Measure, measure};
use super::trigger::Trigger;
use super::{DEFAULT_POLLING, go};
use crate::problem::{Problem, Rule, Severity, Span};
use crate::spec::closest;

/// The smallest threshold that is not nothing: KEDA gives the HPA thousandths,
/// <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/scaler.go> (`GetMetricTargetMili`).
const LEAST_THRESHOLD: f64 = 0.001;
/// A timeout below this is shorter than most answers of a Prometheus, and so was meant in seconds.
const LEAST_TIMEOUT: Duration = Duration::from_millis(100);
/// How often the HPA asks: a longer timeout leaves it without an answer in time.
/// <https://kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale/#how-does-a-horizontalpodautoscaler-work>
const HPA_INTERVAL: Duration = Duration::from_secs(15);

#[derive(Debug, Deserialize)]
struct Tables {
    triggers: BTreeMap<String, Table>,
}

/// What one type of trigger reads.
#[derive(Debug, Deserialize)]
struct Table {
    /// Whether it hands on every key, as the external ones do.
    #[serde(default)]
    open: bool,
    keys: BTreeMap<String, Key>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(
    clippy::struct_excessive_bools,
    reason = "the wire form of a table, whose flags are independent"
)]
struct Key {
    #[serde(default)]
    metadata: bool,
    #[serde(default)]
    env: bool,
    #[serde(default)]
    auth: bool,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    r#enum: Vec<String>,
    default: Option<String>,
    alias_of: Option<String>,
    removed: Option<String>,
}

static TABLES: LazyLock<Option<Tables>> =
    LazyLock::new(|| serde_json::from_str(include_str!("tables/trigger-keys.json")).ok());

/// Keys that KEDA's code does not mention any more, with what became of them.
const REMOVED: &[(&str, &str, &str)] = &[
    (
        "metricName",
        "removed in KEDA 2.12",
        "remove it: KEDA names its metrics itself, such as `s0-prometheus`",
    ),
    (
        "cortexOrgID",
        "removed in KEDA 2.15",
        "write `customHeaders: \"X-Scope-OrgID=...\"`",
    ),
    (
        "disableScaleToZero",
        "no longer read",
        "remove it, and write `minReplicaCount: 1` in the ScaledObject",
    ),
];

/// Checks every trigger of an object.
pub(super) fn check(object: &Object<'_>, problems: &mut Vec<Problem>) {
    let mut names: HashMap<&str, Span> = HashMap::new();
    for trigger in Trigger::all(object) {
        unique(&trigger, &mut names, problems);
        keys(&trigger, problems);
        metric_type(object, &trigger, problems);
        cached_metrics(&trigger, problems);
        secrets(&trigger, problems);
        if trigger.r#type == "prometheus" {
            server_address(&trigger, problems);
            thresholds(&trigger, problems);
            timeout(object, &trigger, problems);
            maps(&trigger, problems);
            tenant(&trigger, problems);
            measured(object, &trigger, problems);
        }
    }
}

fn unique<'n>(
    trigger: &Trigger<'n>,
    names: &mut HashMap<&'n str, Span>,
    problems: &mut Vec<Problem>,
) {
    let Some(node) = get(trigger.node, "name") else {
        return;
    };
    let Some(name) = node.text().filter(|name| !name.is_empty()) else {
        return;
    };
    if let Some(first) = names.insert(name, node.span) {
        let problem = Problem::new(
            Rule::TriggerNameDuplicate,
            node.span,
            format!(
                "two triggers are called `{}`, and KEDA refuses the object",
                name.escape_debug()
            ),
            "the same name",
            "give each trigger a name of its own",
        );
        problems.push(problem.related(first, "the first one"));
    }
}

fn keys(trigger: &Trigger<'_>, problems: &mut Vec<Problem>) {
    let Some(tables) = TABLES.as_ref() else {
        return;
    };
    let Some(table) = tables.triggers.get(trigger.r#type) else {
        let known: Vec<&str> = tables.triggers.keys().map(String::as_str).collect();
        problems.push(Problem::new(
            Rule::TriggerUnknownType,
            trigger.head(),
            format!("KEDA has no trigger of type `{}`, and scales nothing", trigger.r#type.escape_debug()),
            "not a type of KEDA 2.20",
            match closest(trigger.r#type, &known) {
                Some(close) => format!("did you mean `{close}`?"),
                None => "take one of <https://keda.sh/docs/2.20/scalers/>, or `external` for a scaler of your own".to_owned(),
            },
        ));
        return;
    };
    let Some(metadata) = trigger.metadata else {
        return;
    };
    for (key, value) in entries(metadata) {
        if let Some(name) = key.text() {
            known_key(trigger, table, key.span, name, problems);
            if let Some(known) = table.keys.get(name)
                && let Some(written) = value.text()
            {
                readable(name, known, value.span, written.trim(), problems);
            }
        }
    }
    let misspelt = |name: &str| {
        entries(metadata).iter().any(|(key, _)| {
            key.text()
                .is_some_and(|key| !table.keys.contains_key(key) && closest(key, &[name]).is_some())
        })
    };
    for (name, key) in &table.keys {
        let aliases = table
            .keys
            .iter()
            .filter(|(_, other)| other.alias_of.as_ref() == Some(name));
        let given = std::iter::once(name)
            .chain(aliases.map(|(alias, _)| alias))
            .any(|name| {
                trigger.value(name).is_some() || trigger.value(&format!("{name}FromEnv")).is_some()
            });
        // What may come from a TriggerAuthentication is not known to be missing.
        let elsewhere = key.auth && get(trigger.node, "authenticationRef").is_some();
        if key.required
            && key.metadata
            && key.alias_of.is_none()
            && !given
            && !elsewhere
            && !misspelt(name)
        {
            problems.push(Problem::new(
                Rule::TriggerMissingMetadataKey,
                trigger.head(),
                format!(
                    "the {} trigger has no `{name}`, and KEDA cannot build it",
                    trigger.r#type
                ),
                format!("no `{name}` in its metadata"),
                format!("add `{name}` under `metadata`, as a text in quotes"),
            ));
        }
    }
}

fn known_key(
    trigger: &Trigger<'_>,
    table: &Table,
    at: Span,
    name: &str,
    problems: &mut Vec<Problem>,
) {
    let known = table.keys.get(name);
    let title = format!(
        "KEDA does not read `{}` in a {} trigger",
        name.escape_debug(),
        trigger.r#type
    );
    if let Some(removed) = known.and_then(|known| known.removed.as_ref()) {
        problems.push(Problem::new(
            Rule::TriggerRemovedMetadataKey,
            at,
            format!(
                "KEDA reads `{name}` no more, and cannot build the {} trigger",
                trigger.r#type
            ),
            "removed",
            removed.clone(),
        ));
        return;
    }
    let from_env = name
        .strip_suffix("FromEnv")
        .and_then(|stem| table.keys.get(stem))
        .is_some_and(|key| key.env);
    if table.open || from_env || known.is_some_and(|known| known.metadata) {
        return;
    }
    if known.is_some_and(|known| known.auth) {
        problems.push(Problem::new(
            Rule::TriggerUnknownMetadataKey,
            at,
            title,
            "read from a TriggerAuthentication only",
            format!("write it as `parameter: {name}` in a TriggerAuthentication, and name that in `authenticationRef`"),
        ));
        return;
    }
    if let Some((_, since, instead)) = REMOVED.iter().find(|(key, ..)| *key == name) {
        problems.push(Problem::new(
            Rule::TriggerRemovedMetadataKey,
            at,
            title,
            *since,
            *instead,
        ));
        return;
    }
    let candidates: Vec<&str> = table
        .keys
        .iter()
        .filter(|(_, key)| key.metadata && key.removed.is_none())
        .map(|(key, _)| key.as_str())
        .collect();
    let help = match closest(name, &candidates) {
        Some(close) => format!("did you mean `{close}`?"),
        None if name == "metricType"
            || name == "useCachedMetrics"
            || name == "authenticationRef" =>
        {
            format!("`{name}` stands beside `metadata`, not in it: indent it by one level less")
        }
        None => "remove it; <https://keda.sh/docs/2.20/scalers/> lists the keys of each trigger"
            .to_owned(),
    };
    problems.push(
        Problem::new(
            Rule::TriggerUnknownMetadataKey,
            at,
            title,
            "ignored in silence",
            help,
        )
        .because("what the key was meant to change stays at KEDA's default"),
    );
}

/// Whether KEDA can read the value: its words and its truth values.
fn readable(name: &str, key: &Key, at: Span, written: &str, problems: &mut Vec<Problem>) {
    let is_bool = name == "unsafeSsl"
        || key
            .default
            .as_deref()
            .is_some_and(|default| matches!(default, "true" | "false"));
    if written.is_empty() || !key.metadata {
        return;
    }
    if is_bool && go::truth(written).is_none() {
        problems.push(Problem::new(
            Rule::TriggerUnreadableValue,
            at,
            format!("KEDA cannot read `{name}` as a truth value, and cannot build the trigger"),
            "neither true nor false",
            "write \"true\" or \"false\", in quotes",
        ));
    }
    let known: Vec<&str> = key.r#enum.iter().map(String::as_str).collect();
    let wrong = written
        .split(',')
        .map(str::trim)
        .find(|word| !known.is_empty() && !known.contains(word));
    if let Some(wrong) = wrong {
        let words: Vec<String> = known.iter().map(|word| format!("`{word}`")).collect();
        problems.push(Problem::new(
            Rule::TriggerUnreadableValue,
            at,
            format!(
                "`{}` is not a value of `{name}`, and KEDA cannot build the trigger",
                wrong.escape_debug()
            ),
            "not one of its words",
            match closest(wrong, &known) {
                Some(close) => format!("did you mean `{close}`?"),
                None => format!("write one of {}", words.join(", ")),
            },
        ));
    }
}

fn metric_type(object: &Object<'_>, trigger: &Trigger<'_>, problems: &mut Vec<Problem>) {
    let Some(node) = get(trigger.node, "metricType") else {
        return;
    };
    let known: &[&str] = if trigger.is_resource() {
        &["Utilization", "AverageValue"]
    } else {
        &["AverageValue", "Value"]
    };
    let Some(written) = node.text() else {
        return;
    };
    if object.kind == Kind::ScaledJob || known.contains(&written) {
        return;
    }
    let help = match closest(written, known) {
        Some(close) => format!("did you mean `{close}`?"),
        None => format!("write `{}`", known.join("` or `")),
    };
    problems.push(
        Problem::new(
            Rule::MetricTypeUnknown,
            node.span,
            format!("a {} trigger has no metric type `{}`", trigger.r#type, written.escape_debug()),
            "KEDA builds no trigger, or no HPA, of it",
            help,
        )
        .because("`AverageValue` divides the value among the replicas, `Value` compares it as it is; `Utilization` is for cpu and memory"),
    );
}

fn cached_metrics(trigger: &Trigger<'_>, problems: &mut Vec<Problem>) {
    if !matches!(trigger.r#type, "cpu" | "memory" | "cron") {
        return;
    }
    if let Some(node) = get(trigger.node, "useCachedMetrics")
        && truth(node) == Some(true)
    {
        problems.push(Problem::new(
            Rule::TriggerCachedMetricsUnsupported,
            node.span,
            format!(
                "a {} trigger cannot use cached metrics, and KEDA refuses the object",
                trigger.r#type
            ),
            "not for this trigger",
            "remove `useCachedMetrics` here",
        ));
    }
}

/// Words in the name of a header or parameter whose value is a secret.
const SECRET_WORDS: &[&str] = &[
    "authorization",
    "token",
    "password",
    "secret",
    "api-key",
    "apikey",
    "cookie",
];

fn secrets(trigger: &Trigger<'_>, problems: &mut Vec<Problem>) {
    let Some(metadata) = trigger.metadata else {
        return;
    };
    for (key, value) in entries(metadata) {
        let (Some(name), Some(written)) = (key.text(), value.text()) else {
            continue;
        };
        let secret = |word: &str| {
            let word = word.to_ascii_lowercase();
            SECRET_WORDS.iter().any(|secret| word.contains(secret))
        };
        let in_map = matches!(name, "customHeaders" | "queryParameters")
            && written
                .split(',')
                .filter_map(|pair| pair.split_once('='))
                .any(|(header, value)| secret(header) && !value.trim().is_empty());
        let by_name = matches!(
            name,
            "password"
                | "sentinelPassword"
                | "apiKey"
                | "bearerToken"
                | "token"
                | "customAuthValue"
        ) && !written.trim().is_empty();
        if !(in_map || by_name || has_userinfo(written)) {
            continue;
        }
        problems.push(
            Problem::new(
                Rule::TriggerSecretInMetadata,
                value.span,
                format!("`{name}` carries a secret in plain text"),
                "a secret",
                "move it to a Secret, name that in a TriggerAuthentication, and that in `authenticationRef`",
            )
            .because("whoever may read ScaledObjects, or the repository they lie in, may read it")
            .hiding(value.span),
        );
    }
}

/// Whether a URL carries a user with a password.
fn has_userinfo(url: &str) -> bool {
    url.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        authority.rsplit_once('@').is_some_and(|(user, _)| {
            user.split_once(':')
                .is_some_and(|(_, password)| !password.is_empty())
        })
    })
}

fn server_address(trigger: &Trigger<'_>, problems: &mut Vec<Problem>) {
    let Some((node, address)) = trigger.value("serverAddress") else {
        return;
    };
    let appended = "KEDA appends `/api/v1/query?query=...` to it as it stands";
    let mut tell = |rule: Rule, severity, title: &str, label: &str, help: String| {
        problems.push(
            Problem::new(rule, node.span, title, label, help)
                .because(appended)
                .severity(severity),
        );
    };
    if !address.starts_with("http://") && !address.starts_with("https://") {
        tell(
            Rule::ServerAddressNotHttp,
            Severity::Error,
            "`serverAddress` is not an HTTP address, and KEDA can ask nothing",
            "not `http://` or `https://` with a host",
            "write the address as KEDA reaches it: \"http://prometheus.monitoring.svc:9090\""
                .to_owned(),
        );
    } else if address.contains(['?', '#']) {
        tell(
            Rule::ServerAddressQueryString,
            Severity::Warning,
            "`serverAddress` has a query string or a fragment",
            "ends up in the middle of the URL",
            "leave it out, and write parameters in `queryParameters`".to_owned(),
        );
    } else if address.contains("/api/v1") {
        tell(
            Rule::ServerAddressApiPath,
            Severity::Warning,
            "`serverAddress` names the path of the API",
            "the path will stand there twice",
            "end it before `/api/v1`".to_owned(),
        );
    } else if address.ends_with('/') {
        tell(
            Rule::ServerAddressTrailingSlash,
            Severity::Warning,
            "`serverAddress` ends with a slash",
            "the URL will have two",
            "leave the slash out".to_owned(),
        );
    }
}

/// A number as KEDA reads it: that of JSON.
fn number(text: &str) -> Option<f64> {
    serde_json::from_str(text).ok()
}

fn thresholds(trigger: &Trigger<'_>, problems: &mut Vec<Problem>) {
    let mut read = |key: &str| {
        let (node, text) = trigger.value(key)?;
        let value = number(text);
        if value.is_none() {
            problems.push(Problem::new(
                Rule::ThresholdNotANumber,
                node.span,
                format!("KEDA cannot read `{key}` as a number, and cannot build the trigger"),
                "not a number as JSON writes it",
                "write plain digits, such as \"10\" or \"0.5\": no unit, no `+`, no leading zero or dot",
            ));
        }
        Some((node.span, value?))
    };
    let threshold = read("threshold");
    let activation = read("activationThreshold");
    if let Some((at, threshold)) = threshold
        && threshold < LEAST_THRESHOLD
    {
        problems.push(Problem::new(
            Rule::ThresholdTooSmall,
            at,
            "the threshold comes to nothing, and the HPA refuses it",
            "less than a thousandth",
            "write how much of the metric one replica is for, such as \"10\" jobs",
        ));
    }
    let Some((at, activation)) = activation else {
        return;
    };
    if let Some((threshold_at, threshold)) = threshold
        && activation >= threshold
        && threshold >= LEAST_THRESHOLD
    {
        problems.push(
            Problem::new(
                Rule::ActivationThresholdNotBelowThreshold,
                at,
                "up to this many, no replica is started, although the HPA would want one or more",
                "not below the threshold",
                "write \"0\": the first job wakes the worker; or a value below `threshold`",
            )
            .because("activation decides between none and some alone; from one replica on, only `threshold` counts")
            .related(threshold_at, "what one replica is for"),
        );
    } else if activation.fract() != 0.0 {
        problems.push(Problem::new(
            Rule::ActivationThresholdFractional,
            at,
            "activation is strictly above this value",
            "between two whole numbers",
            format!(
                "for a number of jobs \"{:.0}\" says the same, and more plainly",
                activation.floor()
            ),
        ));
    }
}

fn timeout(object: &Object<'_>, trigger: &Trigger<'_>, problems: &mut Vec<Problem>) {
    let Some((node, text)) = trigger.value("timeout") else {
        return;
    };
    let milliseconds = text.parse::<u64>().ok().map(Duration::from_millis);
    let Some(timeout) = milliseconds.or_else(|| go::duration(text)) else {
        problems.push(Problem::new(
            Rule::TriggerUnreadableValue,
            node.span,
            "KEDA cannot read `timeout` as a duration, and cannot build the trigger",
            "not a duration as Go writes it",
            "write the unit: \"5s\"",
        ));
        return;
    };
    if milliseconds.is_some() && timeout < LEAST_TIMEOUT {
        problems.push(
            Problem::new(
                Rule::TimeoutMilliseconds,
                node.span,
                format!("this timeout is {text} milliseconds, and nearly every question will fail"),
                "a number without a unit",
                format!("write the unit: \"{text}s\""),
            )
            .because("KEDA reads a bare number as milliseconds"),
        );
        return;
    }
    let polling = object
        .spec(&[])
        .and_then(|spec| whole_at(spec, &["pollingInterval"]));
    let polling = polling.map_or(DEFAULT_POLLING, |(_, seconds)| seconds);
    let polling = Duration::from_secs(u64::try_from(polling).unwrap_or_default());
    if timeout > HPA_INTERVAL || timeout >= polling {
        problems.push(
            Problem::new(
                Rule::TimeoutTooLong,
                node.span,
                "a hanging Prometheus holds one question until the next is due",
                "not below the polling interval, or above 15 s",
                "write \"5s\"",
            )
            .because(
                "KEDA asks anew only when the last question has ended, and the HPA asks every 15 s",
            ),
        );
    }
}

/// The maps that KEDA splits at every comma, and then at every equals sign.
fn maps(trigger: &Trigger<'_>, problems: &mut Vec<Problem>) {
    for key in ["customHeaders", "queryParameters"] {
        let Some((node, text)) = trigger.value(key) else {
            continue;
        };
        if text.split(',').all(|pair| pair.matches('=').count() == 1) {
            continue;
        }
        problems.push(
            Problem::new(
                Rule::TriggerUnreadableValue,
                node.span,
                format!("KEDA cannot split `{key}` into pairs, and cannot build the trigger"),
                "not `name=value` between all commas",
                "write \"name=value,other=value\"; a value with a comma or an equals sign, such as base64, goes into a \
                 TriggerAuthentication as `customAuthHeader` and `customAuthValue`",
            )
            .because("every comma ends a pair and every pair has exactly one equals sign; there is no escape"),
        );
    }
}

fn tenant(trigger: &Trigger<'_>, problems: &mut Vec<Problem>) {
    let Some((node, text)) = trigger.value("namespace") else {
        return;
    };
    let safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~".contains(&byte);
    if !text.bytes().all(safe) {
        problems.push(Problem::new(
            Rule::TriggerNamespaceUnescaped,
            node.span,
            "`namespace` goes into the URL as it stands, and breaks it",
            "has characters that a URL would escape",
            "write it escaped, or as `queryParameters: \"namespace=...\"`, which KEDA escapes",
        ));
    }
}

fn measured(object: &Object<'_>, trigger: &Trigger<'_>, problems: &mut Vec<Problem>) {
    let Some((node, query)) = trigger.value("query") else {
        return;
    };
    if object.kind != Kind::ScaledObject {
        return;
    }
    let type_at = get(trigger.node, "metricType").map_or(node.span, |node| node.span);
    match (measure(query), trigger.metric_type()) {
        (Some(Measure::Intensive), "AverageValue") => problems.push(
            Problem::new(
                Rule::MetricTypeAverageOfIntensive,
                type_at,
                "an age, a latency or a ratio is divided among the replicas",
                "`AverageValue`, also where none is written",
                "write `metricType: Value`, or better ask for the number of jobs, which replicas do share",
            )
            .because("with `AverageValue` the HPA wants value / threshold replicas, however many there are: 300 s of age are ten replicas at a threshold of 30, and stay ten"),
        ),
        (Some(Measure::Total), "Value") => problems.push(
            Problem::new(
                Rule::MetricTypeValueOfTotal,
                type_at,
                "a number of jobs is multiplied with the replicas that there are",
                "`Value`",
                "write `metricType: AverageValue`",
            )
            .because("with `Value` the HPA wants ready replicas x value / threshold: 40 jobs at a threshold of 10 are four times as many replicas at every sync, up to the maximum"),
        ),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_triggers_can_be_read() {
        let tables = TABLES.as_ref().unwrap();
        let prometheus = tables.triggers.get("prometheus").unwrap();
        assert!(prometheus.keys.get("serverAddress").unwrap().required);
        assert!(tables.triggers.get("external").unwrap().open);
    }

    #[test]
    fn a_password_in_a_url_is_seen_and_a_bare_user_is_none() {
        for (url, expected) in [
            ("http://a:b@host", true),
            ("http://a@host", false),
            ("http://host/p:q@r", false),
            ("amqp://u:p%40@h:1/v", true),
            ("redis://:@h", false),
            ("redis://:p@h", true),
        ] {
            assert_eq!(has_userinfo(url), expected, "{url}");
        }
    }
}

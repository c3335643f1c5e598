//! How a trigger authenticates, seen together with the TriggerAuthentication that it names, where that is among the inputs.
//!
//! What the prometheus trigger does with each way:
//! <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/prometheus_scaler.go> (`NewPrometheusScaler`, `ExecutePromQuery`) and
//! <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/authentication/authentication_types.go> (`Validate`).

use std::collections::BTreeSet;

use super::object::{Kind, Object, entries, get, items, text};
use super::trigger::Trigger;
use super::{Context, go};
use crate::document::Node;
use crate::problem::{Problem, Rule, Severity};

/// Ways that the prometheus trigger accepts and then asks without any authentication.
const NOT_IMPLEMENTED: &[&str] = &["oauth", "apiKey"];
/// Ways of which KEDA takes one.
const EXCLUSIVE: &[&str] = &["bearer", "basic", "oauth"];
/// What each way needs, by the names of the parameters; of names behind one another with `|` one is enough.
const NEEDED: &[(&str, &[&str])] = &[
    ("bearer", &["bearerToken|token"]),
    ("basic", &["username"]),
    ("tls", &["cert", "key"]),
    ("custom", &["customAuthHeader", "customAuthValue"]),
];

/// Checks how each trigger of an object authenticates.
pub(super) fn check(object: &Object<'_>, context: &Context<'_, '_>, problems: &mut Vec<Problem>) {
    for trigger in Trigger::all(object) {
        of_trigger(object, &trigger, context, problems);
    }
}

fn of_trigger(
    object: &Object<'_>,
    trigger: &Trigger<'_>,
    context: &Context<'_, '_>,
    problems: &mut Vec<Problem>,
) {
    let reference = trigger.authentication_ref();
    let found = reference.and_then(|(kind, name)| find(object, kind, name, context, problems));
    if trigger.r#type != "prometheus" {
        return;
    }
    let parameters = found.and_then(|found| parameters(found.node));
    let modes = trigger
        .value("authModes")
        .or_else(|| trigger.value("authMode"));
    if let Some((at, modes)) = modes {
        let modes: Vec<&str> = modes.split(',').map(str::trim).collect();
        exclusive(at, &modes, problems);
        for mode in &modes {
            implemented(at, mode, problems);
            complete(at, mode, reference.is_some(), parameters.as_ref(), problems);
        }
    } else if let Some(parameters) = &parameters
        && parameters.contains("ca")
        && !parameters.contains("authModes")
        && !parameters.contains("authMode")
    {
        problems.push(
            Problem::new(
                Rule::AuthCaUnused,
                reference.map_or(trigger.head(), |(_, name)| name.span),
                "the certificate authority `ca` is not used",
                "has a `ca`, and the trigger no `authModes`",
                "add `authModes` to the metadata for how you log in (`bearer`, `basic`, `custom`, or `tls` with `cert` and `key`), or give \
                 the authority to KEDA's operator with `--ca-dir`",
            )
            .because("the prometheus trigger builds a TLS client of its own only where `authModes` is set"),
        );
    }
    unverified(trigger, modes.is_some(), parameters.as_ref(), problems);
}

/// The TriggerAuthentication that is meant, if it is among the inputs; if only another one of the name is, that is told.
fn find<'n>(
    object: &Object<'_>,
    kind: &str,
    name: &Node,
    context: &Context<'_, 'n>,
    problems: &mut Vec<Problem>,
) -> Option<Object<'n>> {
    let named = context.set.authentications(name.text()?);
    let mut other = None;
    for candidate in named {
        let cluster = candidate.kind == Kind::ClusterTriggerAuthentication;
        if candidate.kind.name() == kind && (cluster || candidate.may_share_namespace(object)) {
            return Some(*candidate);
        }
        other = Some(candidate);
    }
    let other = other?;
    let same_kind = other.kind.name() == kind;
    let (label, help) = if same_kind {
        (
            format!("looked for in the namespace of {}", object.title()),
            "put both into one namespace, or make it a ClusterTriggerAuthentication and name that `kind`".to_owned(),
        )
    } else {
        (
            format!("looked for as a {}", kind.escape_debug()),
            format!("write `kind: {}` beside the name", other.kind.name()),
        )
    };
    problems.push(
        Problem::new(
            Rule::AuthNotFound,
            name.span,
            format!(
                "KEDA will not find the {} `{}`",
                other.kind.name(),
                name.text().unwrap_or_default().escape_debug()
            ),
            label,
            help,
        )
        .related(other.head(), "the one of this name")
        // One in the right namespace may be in the cluster and not among the inputs.
        .severity(if same_kind {
            Severity::Warning
        } else {
            Severity::Error
        }),
    );
    None
}

/// The names of all parameters that it gives; nothing if they lie in files that we do not see.
fn parameters(node: &Node) -> Option<BTreeSet<&str>> {
    let spec = get(node, "spec")?;
    if get(spec, "filePath").is_some() {
        return None;
    }
    let mut found = BTreeSet::new();
    for (_, source) in entries(spec) {
        let lists = items(source).chain(get(source, "secrets").into_iter().flat_map(items));
        found.extend(lists.filter_map(|item| text(item, &["parameter"])));
    }
    Some(found)
}

fn implemented(at: &Node, mode: &str, problems: &mut Vec<Problem>) {
    if NOT_IMPLEMENTED.contains(&mode) {
        problems.push(
            Problem::new(
                Rule::AuthModeUnsupported,
                at.span,
                format!("the prometheus trigger accepts `{mode}` and then asks without any authentication"),
                "not implemented by this trigger",
                "use `bearer`, `basic`, `custom` (a header of your own) or `tls`",
            )
            .because("KEDA reads the mode, and no line of the trigger acts on it"),
        );
    }
}

fn exclusive(at: &Node, modes: &[&str], problems: &mut Vec<Problem>) {
    let together: Vec<String> = modes
        .iter()
        .filter(|mode| EXCLUSIVE.contains(mode))
        .map(|mode| format!("`{mode}`"))
        .collect();
    if together.len() > 1 {
        problems.push(Problem::new(
            Rule::AuthModesExclusive,
            at.span,
            format!(
                "{} exclude each other, and KEDA cannot build the trigger",
                together.join(" and ")
            ),
            "more than one of bearer, basic and oauth",
            "keep the one that Prometheus asks for; `tls` and `custom` may stand beside it",
        ));
    }
}

fn complete(
    at: &Node,
    mode: &str,
    referenced: bool,
    parameters: Option<&BTreeSet<&str>>,
    problems: &mut Vec<Problem>,
) {
    let Some((_, needed)) = NEEDED.iter().find(|(name, _)| *name == mode) else {
        return;
    };
    let plain = |names: &str| names.split('|').next().unwrap_or_default().to_owned();
    let missing: Vec<String> = match parameters {
        _ if !referenced => needed.iter().map(|names| plain(names)).collect(),
        None => return,
        Some(given) => needed
            .iter()
            .filter(|names| !names.split('|').any(|name| given.contains(name)))
            .map(|names| plain(names))
            .collect(),
    };
    if missing.is_empty() {
        return;
    }
    let missing = missing
        .iter()
        .map(|name| format!("`{name}`"))
        .collect::<Vec<_>>()
        .join(" and ");
    problems.push(
        Problem::new(
            Rule::AuthIncomplete,
            at.span,
            format!("`{mode}` lacks {missing}, and KEDA cannot build the trigger"),
            if referenced {
                "the TriggerAuthentication does not give it"
            } else {
                "no `authenticationRef` that could give it"
            },
            format!("give {missing} as `parameter` in the `secretTargetRef` of a TriggerAuthentication that the trigger names in `authenticationRef`"),
        )
        .because("KEDA takes these from a TriggerAuthentication only, never from the metadata"),
    );
}

fn unverified(
    trigger: &Trigger<'_>,
    modes: bool,
    parameters: Option<&BTreeSet<&str>>,
    problems: &mut Vec<Problem>,
) {
    let Some((at, text)) = trigger.value("unsafeSsl") else {
        return;
    };
    if go::truth(text) != Some(true) {
        return;
    }
    let custom_client =
        modes && parameters.is_some_and(|given| given.contains("ca") || given.contains("cert"));
    let (severity, title, label) = if custom_client {
        (
            Severity::Error,
            "`unsafeSsl` has no effect beside a `ca` or a client certificate",
            "ignored: the certificate is verified all the same",
        )
    } else {
        (
            Severity::Warning,
            "anybody on the way can answer for this Prometheus, and so decide how many replicas there are",
            "its certificate is not verified",
        )
    };
    problems.push(
        Problem::new(
            Rule::TlsUnverified,
            at.span,
            title,
            label,
            "remove it, and give KEDA the certificate authority: `ca` in a TriggerAuthentication beside `authModes`, or the operator's `--ca-dir`",
        )
        .severity(severity),
    );
}

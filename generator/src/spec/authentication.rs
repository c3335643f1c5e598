//! `prometheus.authentication`: how KEDA proves to Prometheus who it is. Secrets stand here by reference only.
//!
//! What KEDA's scaler can do is narrower than its fields: it sends one of a bearer token, a password or a header of its own, and
//! uses a certificate of a private authority only together with one of them or with a client certificate. No identity of a pod goes
//! with any of these: <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/prometheus_scaler.go>.

use super::fields::{Field, Mapping, Reader, Value};
use super::{missing, shape, values};
use crate::document::Kind;
use crate::problem::{Problem, Rule, Span};

/// How KEDA proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::large_enum_variant,
    reason = "a spec has one of it, and all its workers share that"
)]
pub enum Authentication {
    /// By secrets that are named in the spec.
    Own {
        /// What is sent with each request.
        way: Option<Way>,
        /// The certificate of the client and its key.
        tls: Option<(Reference, Reference)>,
        /// The certificate of a private authority.
        ca: Option<Reference>,
    },
    /// By the identity of KEDA's own pod.
    Identity(Identity),
    /// By an object that exists.
    Existing(Existing),
}

/// What is sent with each request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Way {
    /// A bearer token.
    Bearer(Reference),
    /// A user's name and a password.
    Basic(Reference, Reference),
    /// The name and the value of a header.
    Header(Reference, Reference),
}

/// Where a value is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// Whether it is in a Secret, and else in a `ConfigMap`.
    pub secret: bool,
    /// The name of the object.
    pub name: String,
    /// The key in it.
    pub key: String,
}

/// The identity of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Whose identity it is.
    pub provider: Provider,
    /// The client id of an Azure identity.
    pub identity_id: Option<String>,
}

/// Whose identity it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Provider {
    /// Amazon's.
    Aws {
        /// The region that the signature names.
        region: String,
        /// The role that is taken on.
        role_arn: Option<String>,
    },
    /// Azure's.
    AzureWorkload,
    /// Google's.
    Gcp,
}

/// A `TriggerAuthentication` that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Existing {
    /// Its name.
    pub name: String,
    /// Whether it is one of the whole cluster.
    pub of_cluster: bool,
    /// What it is used for, unless it says so itself.
    pub modes: Vec<String>,
}

/// Reads `authentication`.
pub(super) fn authentication(reader: &mut Reader<'_>, value: Value<'_>) -> Option<Authentication> {
    let fields = mapping(reader, value, shape::AUTHENTICATION.fields)?;
    let before = reader.problems.len();
    let bearer = reader.field(&fields, "bearer", secret);
    let basic = reader.field(&fields, "basic", |reader, value| {
        pair(reader, value, &shape::BASIC, ("username", "password"))
    });
    let header = reader.field(&fields, "header", |reader, value| {
        pair(reader, value, &shape::HEADER, ("name", "value"))
    });
    let tls = reader.field(&fields, "tls", |reader, value| {
        pair(reader, value, &shape::TLS, ("cert", "key"))
    });
    let ca = reader.field(&fields, "ca", public);
    let identity = reader.field(&fields, "podIdentity", identity);
    let own = reader.field(&fields, "triggerAuthentication", object_name);
    let of_cluster = reader.field(&fields, "clusterTriggerAuthentication", object_name);
    let modes = reader.field(&fields, "modes", modes);
    if reader.problems.len() > before || !fields.is_whole() {
        return None;
    }
    let mut ways: Vec<(&str, Span)> = [
        ("bearer", span(&bearer)),
        ("basic", span(&basic)),
        ("header", span(&header)),
        ("podIdentity", span(&identity)),
        ("triggerAuthentication", span(&own)),
        ("clusterTriggerAuthentication", span(&of_cluster)),
    ]
    .into_iter()
    .filter_map(|(name, span)| Some((name, span?)))
    .collect();
    let sent = matches!(ways.first(), Some(("bearer" | "basic" | "header", _)));
    // A client certificate goes with what is sent, and is a way of its own without.
    ways.extend(span(&tls).filter(|_| !sent).map(|span| ("tls", span)));
    one_way(reader, &ways, ca.given().map(|ca| ca.span), value)?;
    if let Some(modes) = modes.given()
        && !matches!(own, Field::Given(_))
        && !matches!(of_cluster, Field::Given(_))
    {
        return refuse_modes(
            reader,
            modes.span,
            "without a TriggerAuthentication that exists",
            "remove `modes`: they follow from what is given beside them",
        );
    }
    let modes = modes.given().map(|modes| modes.value.clone());
    if let Some(identity) = identity.given() {
        if let Some(ca) = ca.given() {
            return ca_alone(reader, ca.span);
        }
        return Some(Authentication::Identity(identity.value.clone()));
    }
    let existing = |name: &str, of_cluster| {
        Authentication::Existing(Existing {
            name: name.to_owned(),
            of_cluster,
            modes: modes.clone().unwrap_or_default(),
        })
    };
    if let (Some(_), Some(ca)) = (own.given().or(of_cluster.given()), ca.given()) {
        return ca_alone(reader, ca.span);
    }
    if let Some(own) = own.given() {
        return Some(existing(&own.value, false));
    }
    if let Some(of_cluster) = of_cluster.given() {
        return Some(existing(&of_cluster.value, true));
    }
    let value = |field: &Field<(Reference, Reference)>| field.given().map(|at| at.value.clone());
    let way = bearer
        .given()
        .map(|bearer| Way::Bearer(bearer.value.clone()))
        .or_else(|| value(&basic).map(|(name, password)| Way::Basic(name, password)))
        .or_else(|| value(&header).map(|(name, value)| Way::Header(name, value)));
    Some(Authentication::Own {
        way,
        tls: value(&tls),
        ca: ca.given().map(|ca| ca.value.clone()),
    })
}

fn span<T>(field: &Field<T>) -> Option<Span> {
    field.given().map(|at| at.span)
}

fn one_way(
    reader: &mut Reader<'_>,
    ways: &[(&str, Span)],
    ca: Option<Span>,
    value: Value<'_>,
) -> Option<()> {
    match (ways, ca) {
        ([_], _) => Some(()),
        ([], Some(ca)) => ca_alone(reader, ca),
        ([], None) => reader.refuse(Problem::new(
            Rule::AuthenticationOneWay,
            value.node.span,
            "`authentication` says no way to authenticate",
            "none given",
            "write one, such as `bearer: {secret: prometheus-token, key: token}`, or remove the field",
        )),
        ([(first, at), (second, second_at), ..], _) => {
            let problem = Problem::new(
                Rule::AuthenticationOneWay,
                *second_at,
                format!("`{first}` and `{second}` exclude each other"),
                "KEDA would use one of them, or none",
                "keep one of the two; only `tls` goes with `bearer`, `basic` or `header`",
            );
            reader.refuse(problem.related(*at, "the other one"))
        }
    }
}

fn ca_alone<T>(reader: &mut Reader<'_>, at: Span) -> Option<T> {
    reader.refuse(Problem::new(
        Rule::AuthenticationCaAlone,
        at,
        "KEDA does not use this `ca`",
        "only with `bearer`, `basic`, `header` or `tls` of the same spec",
        "add one of them, or mount the certificate into KEDA's operator and name its folder by `--ca-dir`",
    ))
}

/// Reads a mapping. What stands under a field that is not known may be the secret itself, so it is hidden.
fn mapping<'n>(
    reader: &mut Reader<'_>,
    value: Value<'n>,
    fields: &'static [shape::FieldShape],
) -> Option<Mapping<'n>> {
    refuse_value(reader, value)?;
    let before = reader.problems.len();
    let mapping = reader.mapping(value, fields);
    if let Kind::Mapping(entries) = &value.node.kind {
        for problem in reader.problems.iter_mut().skip(before) {
            let entry = entries.iter().find(|(key, _)| key.span == problem.at);
            problem.secret = entry.map(|(_, node)| node.span);
        }
    }
    mapping
}

/// Refuses a value where a reference belongs. The frame would show it, so it is hidden.
fn refuse_value(reader: &mut Reader<'_>, value: Value<'_>) -> Option<()> {
    if matches!(value.node.kind, Kind::Mapping(_)) || value.node.is_null() {
        return Some(());
    }
    let problem = Problem::new(
        Rule::AuthenticationByValue,
        value.node.span,
        format!("{value} is given by value"),
        "would stand in the manifest for all to read",
        "put it into a Secret and name that: `{secret: NAME, key: KEY}`",
    );
    reader.refuse(problem.hiding(value.node.span))
}

/// Reads where a secret is.
fn secret(reader: &mut Reader<'_>, value: Value<'_>) -> Option<Reference> {
    let reference = public(reader, value)?;
    if reference.secret {
        return Some(reference);
    }
    refuse_reference(
        reader,
        value.node.span,
        "a ConfigMap is no place for a secret",
    )
}

/// Reads where a value is that need not be secret.
fn public(reader: &mut Reader<'_>, value: Value<'_>) -> Option<Reference> {
    let fields = mapping(reader, value, shape::REFERENCE.fields)?;
    let secret = reader.field(&fields, "secret", object_name);
    let config_map = reader.field(&fields, "configMap", object_name);
    let key = reader.field(&fields, "key", |reader, value| {
        let key = reader.text(value)?;
        let known = |b: u8| b.is_ascii_alphanumeric() || b"-._".contains(&b);
        if !key.is_empty() && key.len() <= 253 && key.bytes().all(known) {
            return Some(key);
        }
        refuse_reference(reader, value.node.span, "no Secret has such a key")
    });
    if key == Field::Missing {
        let title = format!("{value}");
        reader
            .problems
            .push(missing("key", fields.span, &title, "token"));
    }
    let (secret_given, map_given) = (secret.given(), config_map.given());
    let wrong = [&secret, &config_map]
        .iter()
        .any(|field| **field == Field::Wrong);
    let (name, secret) = match (secret_given, map_given) {
        (Some(name), None) => (name.value.clone(), true),
        (None, Some(name)) => (name.value.clone(), false),
        _ if wrong || !fields.is_whole() => return None,
        _ => {
            return refuse_reference(
                reader,
                value.node.span,
                "neither a Secret nor a ConfigMap, or both",
            );
        }
    };
    let key = key.given()?.value.clone();
    fields.is_whole().then_some(Reference { secret, name, key })
}

fn refuse_reference<T>(reader: &mut Reader<'_>, at: Span, label: &str) -> Option<T> {
    reader.refuse(Problem::new(
        Rule::AuthenticationReference,
        at,
        "this leads to no value that KEDA can read",
        label,
        "write `{secret: NAME, key: KEY}`; for a user's or a header's name, or a certificate, `{configMap: NAME, key: KEY}` too",
    ))
}

/// Reads two references that belong together; the second is a secret.
fn pair(
    reader: &mut Reader<'_>,
    value: Value<'_>,
    shape: &'static shape::Shape,
    (first, second): (&'static str, &'static str),
) -> Option<(Reference, Reference)> {
    let fields = mapping(reader, value, shape.fields)?;
    let left = reader.field(&fields, first, public);
    let right = reader.field(&fields, second, secret);
    for (name, field) in [(first, &left), (second, &right)] {
        if *field == Field::Missing {
            let example = format!("{{secret: prometheus, key: {name}}}");
            let title = value.to_string();
            reader
                .problems
                .push(missing(name, fields.span, &title, &example));
        }
    }
    Some((left.given()?.value.clone(), right.given()?.value.clone()))
}

fn object_name(reader: &mut Reader<'_>, value: Value<'_>) -> Option<String> {
    values::object_name(reader, value, Rule::AuthenticationReference)
}

fn modes(reader: &mut Reader<'_>, value: Value<'_>) -> Option<Vec<String>> {
    const SENT: [&str; 3] = ["bearer", "basic", "custom"];
    let read = reader.list(value, "[bearer]", |reader, value| reader.text(value))?;
    let modes: Vec<String> = read.into_iter().collect::<Option<_>>()?;
    let known = modes
        .iter()
        .all(|mode| SENT.contains(&mode.as_str()) || mode == "tls");
    let sent = modes
        .iter()
        .filter(|mode| SENT.contains(&mode.as_str()))
        .count();
    if known && sent <= 1 && !modes.is_empty() {
        return Some(modes);
    }
    refuse_modes(
        reader,
        value.node.span,
        "not what KEDA's prometheus scaler can do",
        "write one of `bearer`, `basic` and `custom`, or `tls`, or `tls` with one of them",
    )
}

fn refuse_modes<T>(reader: &mut Reader<'_>, at: Span, label: &str, help: &str) -> Option<T> {
    reader.refuse(Problem::new(
        Rule::AuthenticationModes,
        at,
        "these `modes` are not used",
        label,
        help,
    ))
}

fn identity(reader: &mut Reader<'_>, value: Value<'_>) -> Option<Identity> {
    let fields = mapping(reader, value, shape::POD_IDENTITY.fields)?;
    let provider = reader.field(&fields, "provider", Reader::text);
    let region = reader.field(&fields, "region", Reader::text);
    let role_arn = reader.field(&fields, "roleArn", Reader::text);
    let identity_id = reader.field(&fields, "identityId", Reader::text);
    if provider == Field::Missing {
        let title = "`podIdentity`";
        reader
            .problems
            .push(missing("provider", fields.span, title, "aws"));
    }
    let provider = provider.given()?;
    let aws = provider.value == "aws";
    let azure = provider.value == "azure-workload";
    if !aws && !azure && provider.value != "gcp" {
        return refuse_identity(
            reader,
            provider.span,
            "no identity of which KEDA asks Prometheus",
            "write `aws`, `azure-workload` or `gcp`",
        );
    }
    for (field, fits) in [(&region, aws), (&role_arn, aws), (&identity_id, azure)] {
        if let Some(field) = field.given()
            && !fits
        {
            return refuse_identity(
                reader,
                field.span,
                "not used with this provider",
                "remove it: `region` and `roleArn` are of `aws`, `identityId` is of `azure-workload`",
            );
        }
    }
    if aws && region == Field::Missing {
        let problem = missing(
            "region",
            fields.span,
            "`podIdentity` of `aws`",
            "eu-central-1",
        );
        return reader.refuse(problem);
    }
    let given = |field: &Field<String>| field.given().map(|at| at.value.clone());
    let provider = match provider.value.as_str() {
        "aws" => Provider::Aws {
            region: given(&region)?,
            role_arn: given(&role_arn),
        },
        "azure-workload" => Provider::AzureWorkload,
        _ => Provider::Gcp,
    };
    let whole = role_arn != Field::Wrong && identity_id != Field::Wrong;
    whole.then(|| Identity {
        provider,
        identity_id: given(&identity_id),
    })
}

fn refuse_identity<T>(reader: &mut Reader<'_>, at: Span, label: &str, help: &str) -> Option<T> {
    reader.refuse(Problem::new(
        Rule::AuthenticationPodIdentity,
        at,
        "`podIdentity` is not one that KEDA can use",
        label,
        help,
    ))
}

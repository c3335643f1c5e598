//! `prometheus`: where the metrics are, and what must not stand in the address or in the matchers.

use std::collections::BTreeMap;
use std::time::Duration;

use bullmq_vocabulary::label;

use super::authentication::authentication;
use super::fields::{Reader, Value};
use super::values::duration;
use super::{PrometheusSpec, metadata, shape, values};
use crate::document::Kind;
use crate::problem::{Problem, Rule, Span};

/// The longest scrape interval. Prometheus looks back five minutes for a sample, and two scrapes must be able to fail:
/// <https://prometheus.io/docs/prometheus/latest/querying/basics/#staleness>.
const LONGEST_SCRAPE_INTERVAL: Duration = Duration::from_mins(2);

/// Reads `prometheus`.
pub(super) fn prometheus(reader: &mut Reader<'_>, value: Value<'_>) -> Option<PrometheusSpec> {
    let fields = reader.mapping(value, shape::PROMETHEUS.fields)?;
    Some(PrometheusSpec {
        server_address: reader.field(&fields, "serverAddress", server_address),
        scrape_interval: reader.field(&fields, "scrapeInterval", scrape_interval),
        matchers: reader.field(&fields, "matchers", matchers),
        horizons: reader.field(&fields, "horizons", horizons),
        authentication: reader.field(&fields, "authentication", authentication),
        headers: reader.field(&fields, "headers", metadata::headers),
        query_parameters: reader.field(&fields, "queryParameters", metadata::query_parameters),
        namespace: reader.field(&fields, "namespace", values::namespace),
    })
}

fn scrape_interval(reader: &mut Reader<'_>, value: Value<'_>) -> Option<Duration> {
    let interval = duration(reader, value)?;
    if interval <= LONGEST_SCRAPE_INTERVAL {
        return Some(interval);
    }
    reader.refuse(Problem::new(
        Rule::ScrapeIntervalTooLong,
        value.node.span,
        "`scrapeInterval` is longer than 2 minutes",
        "one failed scrape, and the series are gone",
        "scrape the exporter at least every 2 minutes, better every 15 s, and write that interval",
    ))
}

/// Reads the address of Prometheus. KEDA appends `/api/v1/query` to it as it stands:
/// <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/prometheus_scaler.go> (`ExecutePromQuery`).
fn server_address(reader: &mut Reader<'_>, value: Value<'_>) -> Option<String> {
    let span = value.node.span;
    let text = reader.text(value)?;
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    let rest = rest.filter(|rest| !rest.starts_with(['/', '?', '#', ':']) && !rest.is_empty());
    let printable = text.chars().all(|c| c.is_ascii_graphic());
    let Some(rest) = rest.filter(|_| printable) else {
        let problem = Problem::new(
            Rule::ServerAddressNotHttp,
            span,
            "`serverAddress` is not an HTTP address",
            "not `http://` or `https://` with a host",
            "write the address as KEDA reaches it: `http://prometheus.monitoring.svc:9090`",
        );
        // Where the scheme is wrong there may still be a password.
        return reader.refuse(if text.contains('@') {
            problem.hiding(span)
        } else {
            problem
        });
    };
    let (path_less, query) = rest.split_at(rest.find(['?', '#']).unwrap_or(rest.len()));
    let authority = path_less.split('/').next().unwrap_or_default();
    let before = reader.problems.len();
    let mut refuse = |rule, title: &str, label: &str, help: &str| {
        reader
            .problems
            .push(Problem::new(rule, span, title, label, help));
    };
    if authority.contains('@') {
        let problem = Problem::new(
            Rule::ServerAddressCredentials,
            span,
            "`serverAddress` holds a user or a password",
            "would stand in the manifest for all to read",
            "remove it; a ScaledObject takes credentials from a TriggerAuthentication only",
        );
        // The whole value is hidden: where the password begins is a matter of quotes and escapes.
        reader.problems.push(problem.hiding(span));
        return None;
    }
    if !query.is_empty() {
        refuse(
            Rule::ServerAddressQueryString,
            "`serverAddress` has a query string or a fragment",
            "KEDA appends `/api/v1/query` after it",
            "end the address before the `?` or `#`",
        );
    }
    let path = path_less.trim_end_matches('/');
    if ["/api/v1", "/api/v1/query"]
        .iter()
        .any(|api| path.ends_with(api))
    {
        refuse(
            Rule::ServerAddressApiPath,
            "`serverAddress` names the path of the API",
            "KEDA appends `/api/v1/query` itself",
            "end the address before `/api/v1`",
        );
    } else if path_less.ends_with('/') {
        refuse(
            Rule::ServerAddressTrailingSlash,
            "`serverAddress` ends with a slash",
            "KEDA would ask `//api/v1/query`",
            "remove the slash at the end",
        );
    }
    (reader.problems.len() == before).then_some(text)
}

/// Reads the matchers that are added to every selector.
fn matchers(reader: &mut Reader<'_>, value: Value<'_>) -> Option<BTreeMap<String, String>> {
    const OURS: [&str; 6] = [
        label::REDIS,
        label::PREFIX,
        label::QUEUE,
        label::WITHIN,
        label::STATE,
        "__name__",
    ];
    let Kind::Mapping(entries) = &value.node.kind else {
        let help = "write label names with their values, such as `{namespace: monitoring}`";
        return reader.wrong_type(value, "a mapping", help);
    };
    let before = reader.problems.len();
    let mut matchers = BTreeMap::new();
    for (key, node) in entries {
        let name = key.text().unwrap_or_default();
        let problem = if !is_label_name(name) {
            Some((
                Rule::MatchersLabelName,
                "not a label name",
                "use letters, digits and `_`, a letter first",
            ))
        } else if OURS.contains(&name) {
            let help = "choose queues by name, prefix and redis under `queues`";
            Some((Rule::MatchersReservedLabel, "set by the query itself", help))
        } else {
            None
        };
        if let Some((rule, label, help)) = problem {
            let title = format!("`{}` cannot be a matcher", name.escape_debug());
            reader
                .problems
                .push(Problem::new(rule, key.span, title, label, help));
        }
        if let Some(text) = reader.text(Value::new(name, node)) {
            matchers.insert(name.to_owned(), text);
        }
    }
    (reader.problems.len() == before).then_some(matchers)
}

/// <https://prometheus.io/docs/concepts/data_model/#metric-names-and-labels>, the names that need no quotes in a query.
fn is_label_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && letters.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// Reads the horizons that the exporter serves, in rising order.
fn horizons(reader: &mut Reader<'_>, value: Value<'_>) -> Option<Vec<Duration>> {
    let example = "[30s, 1m, 2m, 5m]";
    let read: Vec<(Span, Option<Duration>)> = reader.list(value, example, |reader, item| {
        (item.node.span, duration(reader, item))
    })?;
    let span = value.node.span;
    if read.is_empty() {
        let title = "`horizons` is empty";
        let help = format!(
            "write those that the exporter serves, such as `{example}`, or remove the field"
        );
        return reader.refuse(Problem::new(
            Rule::HorizonsNone,
            span,
            title,
            "no horizon",
            help,
        ));
    }
    let mut horizons: Vec<Duration> = Vec::new();
    let mut right = true;
    for (span, horizon) in read {
        let Some(horizon) = horizon else {
            right = false;
            continue;
        };
        if horizons.last().is_some_and(|last| *last >= horizon) {
            right = false;
            let title = "`horizons` do not rise";
            let help = "write them from the shortest to the longest, each once";
            let label = "not longer than the one before";
            reader.problems.push(Problem::new(
                Rule::HorizonsNotRising,
                span,
                title,
                label,
                help,
            ));
        }
        horizons.push(horizon);
    }
    right.then_some(horizons)
}

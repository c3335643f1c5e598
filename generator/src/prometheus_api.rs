//! Prometheus' HTTP API, as KEDA uses it: an instant query by GET, and what the answer is; and a query over a time, which KEDA has no use for.
//!
//! Thanos, Mimir and `VictoriaMetrics` have the same. See
//! <https://prometheus.io/docs/prometheus/latest/querying/api/#instant-queries>; how KEDA asks, and what it makes of an answer:
//! <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/prometheus_scaler.go> (`ExecutePromQuery`).

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde_json::Value;

use crate::http::{self, Client, Response, percent_encode};
use crate::workload::Prometheus;

/// The labels of a series.
pub type Labels = BTreeMap<String, String>;

/// One series of an answer, with one sample or several.
#[derive(Clone, Debug, PartialEq)]
pub struct Series {
    /// Its labels.
    pub labels: Labels,
    /// Times in seconds since 1970, and values.
    pub samples: Vec<(f64, f64)>,
}

impl Series {
    /// The newest value.
    pub fn value(&self) -> Option<f64> {
        self.samples.last().map(|(_, value)| *value)
    }

    /// The value of a label, empty without one: to Prometheus the two are the same.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// What was answered.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// `vector`, `matrix`, `scalar` or `string`.
    pub kind: String,
    /// The series. A scalar is one without labels.
    pub series: Vec<Series>,
    /// What Prometheus, or Thanos, says is wrong with the answer. KEDA does not look at it.
    pub warnings: Vec<String>,
}

/// Why there is no answer to a query.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The server refused this query, or failed on it, in Prometheus' own words.
    #[error("{kind}: {message}")]
    Refused {
        /// Prometheus' `errorType`.
        kind: String,
        /// Prometheus' `error`.
        message: String,
    },
    /// Something else answered than Prometheus.
    #[error("{0}")]
    NotPrometheus(String),
    /// Nobody answered.
    #[error("{0}")]
    NoAnswer(String),
}

impl From<http::Error> for Error {
    fn from(error: http::Error) -> Self {
        Self::NoAnswer(error.to_string())
    }
}

/// What KEDA sends with every query to be answered about the right tenant. None of it is secret.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tenant<'t> {
    /// The parameter `namespace`.
    pub namespace: Option<&'t str>,
    /// Other parameters.
    pub parameters: Option<&'t BTreeMap<String, String>>,
    /// Headers.
    pub headers: Option<&'t BTreeMap<String, String>>,
}

impl<'t> Tenant<'t> {
    /// The one that the spec tells.
    pub const fn of(prometheus: &'t Prometheus) -> Self {
        Self {
            namespace: match &prometheus.namespace {
                Some(namespace) => Some(namespace.as_str()),
                None => None,
            },
            parameters: Some(&prometheus.query_parameters),
            headers: Some(&prometheus.headers),
        }
    }
}

/// The URL of an instant query, letter for letter as KEDA makes it: the time is that of whoever asks, in whole seconds.
pub fn url(server: &str, query: &str, at: Option<Duration>, tenant: Tenant<'_>) -> String {
    let query = percent_encode(query);
    let time = at.map_or_else(String::new, |at| {
        format!(
            "&time={}",
            humantime::format_rfc3339_seconds(UNIX_EPOCH + at)
        )
    });
    of_tenant(format!("{server}/api/v1/query?query={query}{time}"), tenant)
}

/// The URL of a query over a time, at each step of it, in whole seconds since 1970.
fn range_url(server: &str, query: &str, times: Range, tenant: Tenant<'_>) -> String {
    let (query, Range { start, end, step }) = (percent_encode(query), times);
    let url = format!(
        "{server}/api/v1/query_range?query={query}&start={}&end={}&step={}",
        start.as_secs(),
        end.as_secs(),
        step.as_secs().max(1)
    );
    of_tenant(url, tenant)
}

/// The moments of a query over a time. Prometheus has at most 11,000 of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// The first one, since 1970.
    pub start: Duration,
    /// The last one, since 1970.
    pub end: Duration,
    /// From one to the next.
    pub step: Duration,
}

fn of_tenant(mut url: String, tenant: Tenant<'_>) -> String {
    if let Some(namespace) = tenant.namespace {
        // Not escaped, as by KEDA: a namespace needs none.
        url = format!("{url}&namespace={namespace}");
    }
    for (name, value) in tenant.parameters.into_iter().flatten() {
        url = format!("{url}&{}={}", percent_encode(name), percent_encode(value));
    }
    url
}

/// Asks a query over a time.
///
/// # Errors
/// When there is no answer, or another than Prometheus'.
pub fn ask_range(
    client: &Client,
    server: &str,
    query: &str,
    times: Range,
    tenant: Tenant<'_>,
) -> Result<Answer, Error> {
    let headers = tenant.headers.into_iter().flatten();
    read(&client.get_with(&range_url(server, query, times, tenant), headers)?)
}

/// Asks an instant query.
///
/// # Errors
/// When there is no answer, or another than Prometheus'.
pub fn ask(
    client: &Client,
    server: &str,
    query: &str,
    at: Option<Duration>,
    tenant: Tenant<'_>,
) -> Result<Answer, Error> {
    let headers = tenant.headers.into_iter().flatten();
    read(&client.get_with(&url(server, query, at, tenant), headers)?)
}

/// Reads an answer.
///
/// # Errors
/// When it is another than Prometheus', or an error.
pub fn read(response: &Response) -> Result<Answer, Error> {
    let not_prometheus = || Error::NotPrometheus(response.summary());
    let parsed: Result<Value, _> = serde_json::from_str(&response.body);
    let Ok(Value::Object(body)) = parsed else {
        return Err(not_prometheus());
    };
    let text = |name: &str| body.get(name).and_then(Value::as_str);
    let good = (200..300).contains(&response.status) && text("status") == Some("success");
    let Some(data) = body.get("data").filter(|_| good) else {
        return Err(match (text("errorType"), text("error")) {
            (Some(kind), Some(message)) => Error::Refused {
                kind: printable(kind),
                message: printable(message),
            },
            _ => not_prometheus(),
        });
    };
    let kind = data
        .get("resultType")
        .and_then(Value::as_str)
        .ok_or_else(not_prometheus)?;
    let result = data.get("result").ok_or_else(not_prometheus)?;
    let series = match (kind, result) {
        ("scalar", result) => sample(result).map(|sample| {
            vec![Series {
                labels: Labels::new(),
                samples: vec![sample],
            }]
        }),
        ("string", _) => Some(Vec::new()),
        (_, Value::Array(elements)) => elements.iter().map(one_series).collect(),
        _ => None,
    };
    let warnings = body.get("warnings").and_then(Value::as_array);
    Ok(Answer {
        kind: kind.to_owned(),
        series: series.ok_or_else(not_prometheus)?,
        warnings: warnings
            .into_iter()
            .flatten()
            .filter_map(|warning| warning.as_str().map(printable))
            .collect(),
    })
}

fn one_series(element: &Value) -> Option<Series> {
    let labels = element.get("metric")?.as_object()?;
    let labels = labels
        .iter()
        .map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned())))
        .collect::<Option<_>>()?;
    let samples = match (element.get("value"), element.get("values")) {
        (Some(one), _) => vec![sample(one)?],
        (None, Some(several)) => several
            .as_array()?
            .iter()
            .map(sample)
            .collect::<Option<_>>()?,
        // A native histogram has neither, and no metric here is one.
        (None, None) => Vec::new(),
    };
    Some(Series { labels, samples })
}

fn sample(value: &Value) -> Option<(f64, f64)> {
    let [time, value] = value.as_array()?.as_slice() else {
        return None;
    };
    // Rust reads `NaN`, `+Inf` and `-Inf` as Go writes them.
    Some((time.as_f64()?, value.as_str()?.parse().ok()?))
}

fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

/// What KEDA makes of an answer, with `ignoreNullValues: "false"`: a value, or an error on which it holds.
///
/// # Errors
/// With what KEDA would say, in our words.
pub fn as_keda_reads(answer: &Result<Answer, Error>) -> Result<f64, String> {
    let answer = answer.as_ref().map_err(ToString::to_string)?;
    if answer.kind != "vector" && answer.kind != "matrix" {
        return Err(format!(
            "the answer is a {}, and KEDA reads vectors",
            answer.kind
        ));
    }
    let value = match answer.series.as_slice() {
        [] => return Err("the answer is empty".to_owned()),
        [one] if answer.kind == "vector" => one.value(),
        [_] => None,
        several => {
            return Err(format!(
                "the answer has {} series, and KEDA takes one",
                several.len()
            ));
        }
    };
    match value {
        Some(value) if value.is_finite() => Ok(value),
        Some(value) => Err(format!("the answer is {value}, which is no number of jobs")),
        None => Err("the answer has no value".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<Answer, Error> {
        read(&Response {
            status,
            body: body.to_owned(),
            location: None,
        })
    }

    fn vector(elements: &str) -> String {
        format!(
            "{{\"status\":\"success\",\"data\":{{\"resultType\":\"vector\",\"result\":[{elements}]}}}}"
        )
    }

    #[test]
    fn the_url_is_kedas() {
        let at = Some(Duration::from_millis(1_785_000_000_999));
        assert_eq!(
            url(
                "http://p:9090/prometheus",
                "up{a=\"b c\"}",
                at,
                Tenant::default()
            ),
            "http://p:9090/prometheus/api/v1/query?query=up%7Ba%3D%22b+c%22%7D&time=2026-07-25T17:20:00Z"
        );
        let parameters = BTreeMap::from([("dedup".to_owned(), "a b".to_owned())]);
        let tenant = Tenant {
            namespace: Some("shop"),
            parameters: Some(&parameters),
            headers: None,
        };
        assert_eq!(
            url("http://p", "up", None, tenant),
            "http://p/api/v1/query?query=up&namespace=shop&dedup=a+b"
        );
    }

    #[test]
    fn the_url_of_a_time_has_its_moments_in_whole_seconds() {
        let times = Range {
            start: Duration::from_millis(1_785_000_000_900),
            end: Duration::from_millis(1_785_003_600_100),
            step: Duration::from_mins(1),
        };
        let tenant = Tenant {
            namespace: Some("shop"),
            ..Tenant::default()
        };
        assert_eq!(
            range_url("http://p", "up == 1", times, tenant),
            "http://p/api/v1/query_range?query=up+%3D%3D+1&start=1785000000&end=1785003600&step=60&namespace=shop"
        );
    }

    /// The table of what KEDA makes of an answer with `ignoreNullValues: "false"`.
    #[test]
    fn an_answer_is_read_as_keda_reads_it() {
        let one = "{\"metric\":{},\"value\":[1,\"7.5\"]}";
        let not = |value: &str| vector(&format!("{{\"metric\":{{}},\"value\":[1,\"{value}\"]}}"));
        for (body, expected) in [
            (vector(one), Ok(7.5)),
            (vector(""), Err("the answer is empty")),
            (vector(&format!("{one},{one}")), Err("the answer has 2 series, and KEDA takes one")),
            (vector("{\"metric\":{}}"), Err("the answer has no value")),
            (not("NaN"), Err("the answer is NaN, which is no number of jobs")),
            (not("+Inf"), Err("the answer is inf, which is no number of jobs")),
            (
                "{\"status\":\"success\",\"data\":{\"resultType\":\"scalar\",\"result\":[1,\"7\"]}}".to_owned(),
                Err("the answer is a scalar, and KEDA reads vectors"),
            ),
            (
                "{\"status\":\"success\",\"data\":{\"resultType\":\"matrix\",\"result\":[{\"metric\":{},\"values\":[[1,\"7\"]]}]}}".to_owned(),
                Err("the answer has no value"),
            ),
        ] {
            let read = as_keda_reads(&answer(200, &body));
            assert_eq!(read, expected.map_err(ToOwned::to_owned), "{body}");
        }
    }

    #[test]
    fn what_is_no_answer_of_prometheus_is_told_and_never_a_panic() {
        for (status, body, expected) in [
            (200, "<html>", "status 200: <html>"),
            (200, "", "status 200 with an empty body"),
            (200, "[]", "status 200: []"),
            (200, "{}", "status 200: {}"),
            (
                200,
                "{\"status\":\"success\"}",
                "status 200: {\"status\":\"success\"}",
            ),
            (
                400,
                "{\"status\":\"error\",\"errorType\":\"bad_data\",\"error\":\"no\\n\"}",
                "bad_data: no ",
            ),
            (
                503,
                "{\"status\":\"error\",\"errorType\":\"timeout\",\"error\":\"late\"}",
                "timeout: late",
            ),
            (500, "no", "status 500: no"),
        ] {
            assert_eq!(
                answer(status, body).unwrap_err().to_string(),
                expected,
                "{body}"
            );
        }
        for body in [
            vector("7"),
            vector("{\"metric\":{},\"value\":[]}"),
            vector("{\"metric\":{},\"value\":[1,7]}"),
            vector("{\"metric\":{\"a\":7},\"value\":[1,\"7\"]}"),
            "{\"status\":\"success\",\"data\":{\"resultType\":\"vector\",\"result\":null}}"
                .to_owned(),
        ] {
            assert!(
                matches!(answer(200, &body), Err(Error::NotPrometheus(_))),
                "{body}"
            );
        }
    }

    #[test]
    fn warnings_are_kept() {
        let body = vector("").replace(
            "\"status\"",
            "\"warnings\":[\"partial\\u001b response\"],\"status\"",
        );
        assert_eq!(answer(200, &body).unwrap().warnings, ["partial  response"]);
    }
}

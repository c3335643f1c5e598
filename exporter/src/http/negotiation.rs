//! What a client can read: which text format, and whether compressed.
//!
//! Headers are read by RFC 9110 (<https://www.rfc-editor.org/rfc/rfc9110#name-content-negotiation>): a weight each, the largest wins, and
//! whoever names nothing that we have still gets the text format, as Prometheus' own clients do:
//! <https://prometheus.io/docs/instrumenting/content_negotiation/>.

use hyper::header::{ACCEPT, ACCEPT_ENCODING, HeaderMap, HeaderName};

use crate::exposition::Format;

/// How many parts of a header are looked at; browsers send about eight.
const MOST_PARTS: usize = 64;

/// One part of a header: what is accepted, and how much it is wanted in thousandths.
struct Part<'h> {
    name: &'h str,
    parameters: &'h str,
    weight: u32,
}

/// The parts of a header, however often it stands; what is no text is left out.
fn parts<'h>(headers: &'h HeaderMap, name: &HeaderName) -> Vec<Part<'h>> {
    headers
        .get_all(name)
        .into_iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .take(MOST_PARTS)
        .map(|part| {
            let (name, parameters) = part.split_once(';').unwrap_or((part, ""));
            Part {
                name: name.trim(),
                parameters,
                weight: weight(parameters),
            }
        })
        .collect()
}

/// The weight among the parameters in thousandths: all of it if there is none, nothing if it is no weight.
fn weight(parameters: &str) -> u32 {
    let Some(text) = parameter(parameters, "q") else {
        return 1000;
    };
    match text.parse::<f64>() {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "from 0 to 1000"
        )]
        Ok(weight) if (0.0..=1.0).contains(&weight) => (weight * 1000.0).round() as u32,
        Ok(_) | Err(_) => 0,
    }
}

fn parameter<'h>(parameters: &'h str, name: &str) -> Option<&'h str> {
    parameters.split(';').find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim()
            .eq_ignore_ascii_case(name)
            .then(|| value.trim().trim_matches('"'))
    })
}

/// The text format that a client wants most.
pub(super) fn format(headers: &HeaderMap) -> Format {
    let mut best = (0, Format::Text);
    for part in parts(headers, &ACCEPT) {
        let format = match part.name.to_ascii_lowercase().as_str() {
            // A reader of 0.0.1, the draft, reads what we write all the same; later versions are not known.
            "application/openmetrics-text" => match parameter(part.parameters, "version") {
                None | Some("1.0.0" | "0.0.1") => Format::OpenMetrics,
                Some(_) => continue,
            },
            "text/plain" | "text/*" | "*/*" => Format::Text,
            _ => continue,
        };
        if part.weight > best.0 {
            best = (part.weight, format);
        }
    }
    best.1
}

/// Whether a client takes gzip.
pub(super) fn takes_gzip(headers: &HeaderMap) -> bool {
    let weight_of = |name: &str| {
        parts(headers, &ACCEPT_ENCODING)
            .iter()
            .find(|part| part.name.eq_ignore_ascii_case(name))
            .map(|part| part.weight)
    };
    weight_of("gzip").or_else(|| weight_of("*")).unwrap_or(0) > 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    fn headers(name: HeaderName, value: Option<&'static str>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert(name, HeaderValue::from_static(value));
        }
        headers
    }

    #[test]
    fn the_format_is_the_one_that_is_wanted_most() {
        use Format::{OpenMetrics, Text};
        for (accept, expected) in [
            (None, Text),
            (Some(""), Text),
            (Some("*/*"), Text),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), Text),
            (Some("application/json"), Text),
            (Some("application/openmetrics-text"), OpenMetrics),
            (
                Some("Application/OpenMetrics-Text; Version=\"1.0.0\""),
                OpenMetrics,
            ),
            (Some("application/openmetrics-text; version=2.0.0"), Text),
            (Some("application/openmetrics-text;q=0"), Text),
            (
                Some("application/openmetrics-text;q=2, text/plain;q=0.1"),
                Text,
            ),
            (
                Some("application/openmetrics-text;q=0.2, text/plain;q=0.3"),
                Text,
            ),
            // Prometheus 2.42.
            (
                Some(
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ),
                OpenMetrics,
            ),
            // Prometheus 3.
            (
                Some(
                    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
                ),
                OpenMetrics,
            ),
        ] {
            assert_eq!(format(&headers(ACCEPT, accept)), expected, "{accept:?}");
        }
    }

    #[test]
    fn gzip_is_used_only_where_it_is_taken() {
        for (accept, expected) in [
            (None, false),
            (Some("gzip"), true),
            (Some("GZIP"), true),
            (Some("deflate, gzip;q=0.5"), true),
            (Some("gzip;q=0"), false),
            (Some("*"), true),
            (Some("*, gzip;q=0"), false),
            (Some("identity"), false),
            (Some("br, deflate"), false),
        ] {
            assert_eq!(
                takes_gzip(&headers(ACCEPT_ENCODING, accept)),
                expected,
                "{accept:?}"
            );
        }
    }
}

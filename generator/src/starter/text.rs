//! A spec as text, with comments: names quoted wherever any reader of YAML could take them for something else.

use std::fmt::Write as _;

use serde_saphyr::DoubleQuoted;

/// The column at which remarks begin, if what stands before them is short enough.
const REMARKS_AT: usize = 48;

/// Words that YAML 1.1 readers take for truth values or nothing: <https://yaml.org/type/bool.html>.
const WORDS: [&str; 10] = [
    "y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan",
];

/// A text as a YAML value.
pub(super) fn value(text: &str) -> String {
    let mut letters = text.chars();
    let plain = letters.next().is_some_and(|c| c.is_ascii_alphabetic())
        && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
        && !WORDS.contains(&text.to_ascii_lowercase().as_str());
    if plain {
        return text.to_owned();
    }
    // The texts are ours to quote, and a text is always a value.
    let quoted = serde_saphyr::to_string(&DoubleQuoted(text)).unwrap_or_default();
    quoted.trim_end().to_owned()
}

/// A text that cannot end the comment in which it stands.
pub(super) fn one_line(text: &str) -> String {
    text.escape_debug().to_string()
}

/// Adds a line, with a remark behind it.
pub(super) fn line(out: &mut String, text: &str, remark: &str) {
    let width = REMARKS_AT.saturating_sub(text.chars().count()).max(2);
    // Writing to a String cannot fail.
    let _ = if remark.is_empty() {
        writeln!(out, "{text}")
    } else {
        writeln!(out, "{text}{:width$}# {remark}", "")
    };
}

/// One queue, in the shortest form.
pub(super) fn queue(redis: &str, prefix: &str, name: &str) -> String {
    let mut text = value(name);
    if prefix != bullmq_vocabulary::DEFAULT_PREFIX || redis != bullmq_vocabulary::DEFAULT_REDIS_NAME
    {
        text = format!("{{name: {text}");
        if prefix != bullmq_vocabulary::DEFAULT_PREFIX {
            let _ = write!(text, ", prefix: {}", value(prefix));
        }
        if redis != bullmq_vocabulary::DEFAULT_REDIS_NAME {
            let _ = write!(text, ", redis: {}", value(redis));
        }
        text.push('}');
    }
    text
}

/// The beginning of every starter spec.
pub(super) fn head(
    out: &mut String,
    source: &str,
    server_address: Option<&str>,
    horizons: Option<&str>,
) {
    line(
        out,
        &format!(
            "# A starter spec, made by bullmq-keda init from {}.",
            one_line(source)
        ),
        "",
    );
    line(
        out,
        "# What is marked \"guess\" is yours to set right. Then: bullmq-keda verify, bullmq-keda generate.",
        "",
    );
    line(out, "apiVersion: bullmq-keda/v1", "");
    line(out, "prometheus:", "");
    let (address, remark) = match server_address {
        Some(address) => (address, ""),
        None => (
            "http://prometheus.monitoring.svc:9090",
            "guess: no figure; the address as KEDA reaches it",
        ),
    };
    line(out, &format!("  serverAddress: {address}"), remark);
    line(
        out,
        "  scrapeInterval: 15s",
        "guess: no figure; bullmq-keda verify measures it",
    );
    if let Some(horizons) = horizons {
        line(
            out,
            &format!("  horizons: [{horizons}]"),
            "those that this exporter serves",
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_could_be_read_as_something_else_is_quoted() {
        for (text, expected) in [
            ("email", "email"),
            ("email-out_2", "email-out_2"),
            ("no", "\"no\""),
            ("On", "\"On\""),
            ("1e3", "\"1e3\""),
            ("{app}", "\"{app}\""),
            ("a: b", "\"a: b\""),
            ("", "\"\""),
            ("a\"b\\", "\"a\\\"b\\\\\""),
            ("a\nb", "\"a\\nb\""),
        ] {
            assert_eq!(value(text), expected, "{text:?}");
        }
    }
}

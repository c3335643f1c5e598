//! Metrics as an exporter serves them, read: the text format 0.0.4 and OpenMetrics 1.0.
//!
//! A queue may be called anything, so label values are read character by character and never split at a comma or a brace. Of the
//! published crates `prometheus-parse` 0.2 loses a queue called `{x}` and cuts `a,b`, and `openmetrics-parser` 0.4 leaves the escapes
//! in names. See
//! <https://github.com/prometheus/docs/blob/main/docs/instrumenting/exposition_formats.md> and
//! <https://prometheus.io/docs/specs/om/open_metrics_spec/#abnf>.

use std::collections::BTreeMap;

/// One sample.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The name of the metric.
    pub name: String,
    /// Its labels, escapes resolved.
    pub labels: BTreeMap<String, String>,
    /// Its value.
    pub value: f64,
}

impl Sample {
    /// The value of a label, empty without one.
    pub fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// The first line that is none of an exposition.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is not Prometheus text: {what}")]
pub struct Error {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: &'static str,
}

/// Reads all samples. Comments, times and exemplars are passed over.
///
/// # Errors
/// With the first line that is neither a sample nor a comment.
pub fn read(text: &str) -> Result<Vec<Sample>, Error> {
    let mut samples = Vec::new();
    // A line ends at a line feed only: a label value may hold any other break.
    for (index, line) in text.split('\n').enumerate() {
        let line = line.trim_matches([' ', '\t', '\r']);
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let sample = sample(line).map_err(|what| Error {
            line: index + 1,
            what,
        })?;
        samples.push(sample);
    }
    Ok(samples)
}

fn sample(line: &str) -> Result<Sample, &'static str> {
    let end = line
        .find(['{', ' ', '\t'])
        .ok_or("a name without a value")?;
    let (name, rest) = line.split_at(end);
    if !is_name(name) {
        return Err("not the name of a metric");
    }
    let rest = rest.trim_start_matches([' ', '\t']);
    let (labels, rest) = match rest.strip_prefix('{') {
        Some(rest) => labels(rest)?,
        None => (BTreeMap::new(), rest),
    };
    // What follows the value is a time or an exemplar.
    let value = rest.split([' ', '\t']).find(|word| !word.is_empty());
    let value = value
        .and_then(|value| value.parse().ok())
        .ok_or("not a value")?;
    Ok(Sample {
        name: name.to_owned(),
        labels,
        value,
    })
}

fn is_name(name: &str) -> bool {
    let mut letters = name.chars();
    letters
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || matches!(c, '_' | ':'))
        && letters.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | ':'))
}

/// Reads labels up to the closing brace, and returns what follows it.
fn labels(mut rest: &str) -> Result<(BTreeMap<String, String>, &str), &'static str> {
    let mut labels = BTreeMap::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if let Some(rest) = rest.strip_prefix('}') {
            return Ok((labels, rest));
        }
        let (name, after) = rest.split_once('=').ok_or("labels without an end")?;
        let name = name.trim_matches([' ', '\t']);
        if !is_name(name) {
            return Err("not the name of a label");
        }
        let after = after.trim_start_matches([' ', '\t']);
        let quoted = after
            .strip_prefix('"')
            .ok_or("a label value without quotes")?;
        let (value, after) = quoted_text(quoted).ok_or("a label value without an end")?;
        labels.insert(name.to_owned(), value);
        rest = after;
    }
}

/// Reads up to the closing quote. An escape that is not known stands for itself, as in Prometheus' own reader.
fn quoted_text(text: &str) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, text.get(at + 1..)?)),
            '\\' => match characters.next()?.1 {
                'n' => value.push('\n'),
                escaped @ ('\\' | '"') => value.push(escaped),
                other => value.extend(['\\', other]),
            },
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_read_with_any_label_value() {
        for (line, name, labels, value) in [
            ("up 1", "up", vec![], 1.0),
            ("up{} 1 1700000000000", "up", vec![], 1.0),
            ("up{queue=\"a\"}1", "up", vec![("queue", "a")], 1.0),
            (
                "a:b{x=\"1\",y=\"2\",} +Inf",
                "a:b",
                vec![("x", "1"), ("y", "2")],
                f64::INFINITY,
            ),
            (
                r#"up{queue="a\"b\\c\nd\q"} 2.5e3"#,
                "up",
                vec![("queue", "a\"b\\c\nd\\q")],
                2500.0,
            ),
            (
                "up { queue = \"},{ = \" , p=\"\u{2028}\r\" }\t-0",
                "up",
                vec![("p", "\u{2028}\r"), ("queue", "},{ = ")],
                -0.0,
            ),
            (
                "b_bucket{le=\"1\"} 3 # {trace=\"x\"} 0.5 1",
                "b_bucket",
                vec![("le", "1")],
                3.0,
            ),
        ] {
            let read = read(line).unwrap();
            let labels = labels
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect();
            let name = name.to_owned();
            assert_eq!(
                read,
                [Sample {
                    name,
                    labels,
                    value
                }],
                "{line}"
            );
        }
    }

    #[test]
    fn comments_and_the_end_of_openmetrics_are_passed_over() {
        let text = "# HELP up x\r\n# TYPE up gauge\r\nup 1\r\n\n# EOF\n";
        assert_eq!(read(text).unwrap().len(), 1);
        assert_eq!(read("").unwrap(), []);
    }

    #[test]
    fn what_is_none_is_told_by_its_line() {
        for (text, line, what) in [
            ("<html>", 1, "a name without a value"),
            ("<html lang=en>", 1, "not the name of a metric"),
            ("up 1\nup{queue=\"a} 1", 2, "a label value without an end"),
            ("up{queue=a} 1", 1, "a label value without quotes"),
            ("up{queue", 1, "labels without an end"),
            ("up{a b=\"c\"} 1", 1, "not the name of a label"),
            ("up{a=\"b\"}", 1, "not a value"),
            ("up one", 1, "not a value"),
            ("up{a=\"b\\", 1, "a label value without an end"),
        ] {
            assert_eq!(read(text), Err(Error { line, what }), "{text}");
        }
    }
}

//! The lines of a family: a name, labels, a value.

use std::fmt::Write as _;
use std::time::Duration;

use bullmq_vocabulary::Metric;
use bytes::BytesMut;

use super::Format;

/// Takes the samples of one family for one server or queue, and writes each as a line.
pub(super) struct Samples<'a> {
    pub(super) out: &'a mut BytesMut,
    pub(super) format: Format,
    pub(super) metric: &'a Metric,
    /// The labels of the server or queue.
    pub(super) labels: &'a str,
    /// Whether the family's head stands already. It is written with the first sample, as a family without samples is not told of.
    pub(super) headed: &'a mut bool,
}

impl Samples<'_> {
    /// Writes a sample.
    pub(super) fn sample(&mut self, value: impl Value) {
        self.begin("");
        self.end(value);
    }

    /// Writes a sample if there is a value.
    pub(super) fn known(&mut self, value: Option<impl Value>) {
        if let Some(value) = value {
            self.sample(value);
        }
    }

    /// Writes a sample that has one more label; the label's value needs no escaping.
    pub(super) fn of(&mut self, key: &str, label: &str, value: impl Value) {
        self.part("", key, label, value);
    }

    /// Writes a sample that has more labels.
    pub(super) fn labelled(&mut self, more: &[(&str, &str)], value: impl Value) {
        self.begin("");
        for (key, label) in more {
            self.out.extend_from_slice(b",");
            write_label(self.out, key, label);
        }
        self.end(value);
    }

    /// Writes a part of a value, whose name has a suffix and which has one more label; the label's value needs no escaping.
    pub(super) fn part(&mut self, suffix: &str, key: &str, label: &str, value: impl Value) {
        self.begin(suffix);
        for piece in [",", key, "=\"", label, "\""] {
            self.out.extend_from_slice(piece.as_bytes());
        }
        self.end(value);
    }

    /// Writes a part of a value, whose name has a suffix.
    pub(super) fn whole_part(&mut self, suffix: &str, value: impl Value) {
        self.begin(suffix);
        self.end(value);
    }

    fn begin(&mut self, suffix: &str) {
        let Metric {
            name, kind, help, ..
        } = self.metric;
        if !std::mem::replace(self.headed, true) {
            // Memory takes whatever is written to it.
            let _ = self.format.write_head(self.out, name, kind.as_str(), help);
        }
        for piece in [name, suffix, "{", self.labels] {
            self.out.extend_from_slice(piece.as_bytes());
        }
    }

    fn end(&mut self, value: impl Value) {
        self.out.extend_from_slice(b"} ");
        value.write(self.out);
        self.out.extend_from_slice(b"\n");
    }
}

/// What a sample may say.
pub(super) trait Value {
    /// Writes it as both formats have it.
    fn write(self, out: &mut BytesMut);
}

impl Value for u64 {
    fn write(self, out: &mut BytesMut) {
        out.extend_from_slice(itoa::Buffer::new().format(self).as_bytes());
    }
}

impl Value for usize {
    fn write(self, out: &mut BytesMut) {
        out.extend_from_slice(itoa::Buffer::new().format(self).as_bytes());
    }
}

impl Value for bool {
    fn write(self, out: &mut BytesMut) {
        out.extend_from_slice(if self { b"1" } else { b"0" });
    }
}

/// In seconds.
impl Value for Duration {
    fn write(self, out: &mut BytesMut) {
        if self.subsec_nanos() == 0 {
            self.as_secs().write(out);
        } else {
            let _ = write!(out, "{}", self.as_secs_f64());
        }
    }
}

/// Writes a label, with what cannot stand in a label's value escaped.
pub(super) fn write_label(out: &mut BytesMut, key: &str, value: &str) {
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"=\"");
    let mut rest = value.as_bytes();
    // None of the three is a part of another character in UTF-8.
    while let Some(at) = rest
        .iter()
        .position(|byte| matches!(byte, b'\\' | b'"' | b'\n'))
    {
        let (plain, special) = rest.split_at(at);
        out.extend_from_slice(plain);
        out.extend_from_slice(match special.first() {
            Some(b'\n') => b"\\n",
            Some(b'"') => b"\\\"",
            _ => b"\\\\",
        });
        rest = special.get(1..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out.extend_from_slice(b"\"");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn a_value_is_written_as_prometheus_reads_it() {
        for (duration, expected) in [
            (Duration::ZERO, "0"),
            (Duration::from_millis(1), "0.001"),
            (Duration::from_millis(1500), "1.5"),
            (Duration::from_secs(1_795_000_000), "1795000000"),
            (
                Duration::from_micros(1_795_000_000_123_456),
                "1795000000.123456",
            ),
            (Duration::MAX, "18446744073709552000"),
        ] {
            assert_eq!(text(|out| duration.write(out)), expected, "{duration:?}");
        }
        assert_eq!(text(|out| u64::MAX.write(out)), "18446744073709551615");
        assert_eq!(text(|out| usize::MIN.write(out)), "0");
        assert_eq!(text(|out| true.write(out)), "1");
        assert_eq!(text(|out| false.write(out)), "0");
    }

    #[test]
    fn a_backslash_a_quote_and_a_new_line_are_escaped_in_a_label() {
        for (value, expected) in [
            ("", r#"queue="""#),
            ("email", r#"queue="email""#),
            ("\\", r#"queue="\\""#),
            ("a\"b\\c\nd", r#"queue="a\"b\\c\nd""#),
            ("\n\n", r#"queue="\n\n""#),
            ("Grüße\t\r\u{85}", "queue=\"Grüße\t\r\u{85}\""),
        ] {
            assert_eq!(text(|out| write_label(out, "queue", value)), expected);
        }
    }

    proptest! {
        #[test]
        fn a_label_of_any_text_is_read_back_as_it_was(value in "(?s).{0,60}") {
            let line = text(|out| write_label(out, "queue", &value));
            let inner = line.strip_prefix("queue=\"").and_then(|rest| rest.strip_suffix('"')).unwrap();
            let (mut read, mut rest) = (String::new(), inner.chars());
            while let Some(character) = rest.next() {
                prop_assert!(character != '"' && character != '\n');
                read.push(match character {
                    '\\' => match rest.next() {
                        Some('n') => '\n',
                        Some(other @ ('\\' | '"')) => other,
                        other => panic!("{other:?}"),
                    },
                    plain => plain,
                });
            }
            prop_assert_eq!(read, value);
        }
    }
}

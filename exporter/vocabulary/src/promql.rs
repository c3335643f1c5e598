//! How the value of a label is written in a query: by whoever makes one, and by whoever shows one to be copied.

use std::fmt::Write as _;

/// Escapes a text for a PromQL string in double quotes. What does not print, or ends a line for some reader of YAML, is written as
/// its code point, so that a query is printable text whatever a queue is called:
/// <https://prometheus.io/docs/prometheus/latest/querying/basics/#string-literals>.
pub fn promql_string(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '\\' | '"' => {
                escaped.push('\\');
                escaped.push(character);
            }
            ' '..='~' => escaped.push(character),
            _ if prints(character) => escaped.push(character),
            // Writing to a String cannot fail.
            _ => {
                let code = u32::from(character);
                let _ = if code <= 0xFFFF {
                    write!(escaped, r"\u{code:04x}")
                } else {
                    write!(escaped, r"\U{code:08x}")
                };
            }
        }
    }
    escaped
}

/// Whether a character is sure to come through YAML, a terminal and an editor as it is: Rust's own escaping leaves it alone, and it
/// is no blank but the space.
fn prints(character: char) -> bool {
    character.escape_debug().eq([character]) && !character.is_whitespace()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_printable_text_whatever_a_queue_is_called() {
        for (name, expected) in [
            ("email", "email"),
            ("a.b {c}", "a.b {c}"),
            ("a\"b\\c", r#"a\"b\\c"#),
            ("a\nb", r"a\u000ab"),
            ("a\u{2028}\u{e0001}", r"a\u2028\U000e0001"),
        ] {
            assert_eq!(promql_string(name), expected, "{name:?}");
        }
    }
}

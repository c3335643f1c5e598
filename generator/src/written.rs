//! Where a part of a value stands in the text of the file.
//!
//! A value of YAML is not the text that was written: quotes have escapes, folded blocks lose line breaks, literal blocks lose their
//! indentation. What all styles keep is the order of the characters that are not blank, so the places of these are matched one by one.

use std::ops::Range;

use crate::document::{Kind, Node};
use crate::problem::{Source, Span};

/// The place of a part of a scalar's value, in bytes of the value. Where the two cannot be matched, it is the whole scalar.
pub fn place(node: &Node, sources: &[Source], part: Range<usize>) -> Span {
    let whole = node.span;
    let Kind::Scalar { text, .. } = &node.kind else {
        return whole;
    };
    let written = sources
        .get(whole.source)
        .and_then(|source| source.text.get(whole.start..whole.end));
    written
        .and_then(|written| within(written, text, &part))
        .map_or(whole, |found| Span {
            source: whole.source,
            start: whole.start + found.start,
            end: whole.start + found.end,
        })
}

/// The place of a part of a value in the text that was written for it.
fn within(written: &str, value: &str, part: &Range<usize>) -> Option<Range<usize>> {
    let characters = characters(written)?;
    let meant: Vec<(usize, char)> = value
        .char_indices()
        .filter(|(_, character)| !character.is_whitespace())
        .collect();
    let same = characters.len() == meant.len()
        && characters
            .iter()
            .zip(&meant)
            .all(|((_, one), (_, other))| one == other);
    if !same {
        return None;
    }
    let first = meant.partition_point(|(at, _)| *at < part.start);
    let after = meant.partition_point(|(at, _)| *at < part.end);
    if first < after {
        let start = characters.get(first)?.0.start;
        let end = characters.get(after.checked_sub(1)?)?.0.end;
        return Some(start..end);
    }
    // An empty part is a place between two characters: behind the one before it, or else before the one behind it.
    let at = match first.checked_sub(1) {
        Some(before) => characters.get(before)?.0.end,
        None => characters.get(first)?.0.start,
    };
    Some(at..at)
}

/// The characters that are not blank, escapes resolved, each with its place; none if the text ends in the middle of an escape.
fn characters(written: &str) -> Option<Vec<(Range<usize>, char)>> {
    match written.chars().next()? {
        '"' => escaped(written.strip_prefix('"')?.strip_suffix('"')?),
        '\'' => Some(doubled(written.strip_prefix('\'')?.strip_suffix('\'')?)),
        '|' | '>' => {
            let header = written.find('\n')? + 1;
            Some(plain(written.get(header..)?, header))
        }
        _ => Some(plain(written, 0)),
    }
}

fn plain(text: &str, offset: usize) -> Vec<(Range<usize>, char)> {
    text.char_indices()
        .filter(|(_, character)| !character.is_whitespace())
        .map(|(at, character)| {
            let start = offset + at;
            (start..start + character.len_utf8(), character)
        })
        .collect()
}

/// The inside of single quotes, where two of them are one.
fn doubled(inner: &str) -> Vec<(Range<usize>, char)> {
    let mut found: Vec<(Range<usize>, char)> = Vec::new();
    let mut open = false;
    for (range, character) in plain(inner, 1) {
        let second = open && character == '\'';
        if second && let Some(last) = found.last_mut() {
            last.0.end = range.end;
        } else {
            found.push((range, character));
        }
        open = character == '\'' && !second;
    }
    found
}

/// The inside of double quotes: <https://yaml.org/spec/1.2.2/#57-escaped-characters>.
fn escaped(inner: &str) -> Option<Vec<(Range<usize>, char)>> {
    let mut found = Vec::new();
    let mut characters = inner.char_indices();
    while let Some((at, character)) = characters.next() {
        let meant = if character == '\\' {
            let (_, escape) = characters.next()?;
            let digits = match escape {
                'x' => 2,
                'u' => 4,
                'U' => 8,
                _ => 0,
            };
            if digits > 0 {
                let code: String = characters
                    .by_ref()
                    .take(digits)
                    .map(|(_, digit)| digit)
                    .collect();
                char::from_u32(u32::from_str_radix(&code, 16).ok()?)?
            } else {
                match escape {
                    '0' => '\0',
                    'a' => '\u{7}',
                    'b' => '\u{8}',
                    't' => '\t',
                    'n' | '\r' | '\n' => '\n',
                    'v' => '\u{b}',
                    'f' => '\u{c}',
                    'r' => '\r',
                    'e' => '\u{1b}',
                    'N' => '\u{85}',
                    '_' => '\u{a0}',
                    'L' => '\u{2028}',
                    'P' => '\u{2029}',
                    other => other,
                }
            }
        } else {
            character
        };
        let end = characters
            .clone()
            .next()
            .map_or(inner.len(), |(next, _)| next);
        if !meant.is_whitespace() {
            // The quote before it.
            found.push((at + 1..end + 1, meant));
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::{Dialect, read};

    #[test]
    fn a_part_is_found_in_every_style() {
        for (yaml, part, expected) in [
            ("q: sum(a) or vector(0)", "vector(0)", "vector(0)"),
            ("q: sum(a)\n  or vector(0)", "or vector(0)", "or vector(0)"),
            ("q: sum(a)\n  or\n  vector(0)", "a) or", "a)\n  or"),
            ("q: \"sum(a) or vector(0)\"", "vector(0)", "vector(0)"),
            (
                r#"q: "sum(a{b=\"c\"}) or vector(0)""#,
                "b=\"c\"",
                r#"b=\"c\""#,
            ),
            ("q: \"\\u0061 \\x62\\t\\\n  c d\"", "b", "\\x62"),
            ("q: 'sum(a{b=''c''}) or vector(0)'", "b='c'", "b=''c''"),
            ("q: 'a''''b'", "''b", "''''b"),
            (
                "q: |\n  sum(a)\n    or vector(0)\n",
                "vector(0)",
                "vector(0)",
            ),
            ("q: |-\n  ä😀 or\n\n  b\n", "b", "b"),
            ("q: >-\n  sum(a)\n  or vector(0)\n", "a) or", "a)\n  or"),
            ("q: >+2 # why\n   sum(a)\n  or vector(0)\n\n", "or", "or"),
            ("q: |\n  # a comment of PromQL\n  sum(a)\n", "sum", "sum"),
            ("{q: sum(a), r: b}", "a", "a"),
            ("x: &x >-\n  sum(a)\nq: *x\n", "a", "a"),
            ("q: !!str \"sum(a)\"", "a", "a"),
        ] {
            let documents = read(yaml, 0, Dialect::MANIFESTS);
            let root = documents.roots.first().unwrap();
            let Kind::Mapping(entries) = &root.kind else {
                panic!("{yaml}");
            };
            let (_, node) = entries
                .iter()
                .find(|(key, _)| key.text() == Some("q"))
                .unwrap();
            let start = node.text().unwrap().find(part).unwrap();
            let sources = [Source {
                name: "f".to_owned(),
                text: yaml.to_owned(),
            }];
            let found = place(node, &sources, start..start + part.len());
            assert_eq!(yaml.get(found.start..found.end), Some(expected), "{yaml}");
        }
    }

    #[test]
    fn a_place_without_characters_is_between_those_around_it() {
        for (written, value, at, expected) in [
            ("sum(a", "sum(a", 5, 5),
            ("'sum(a'", "sum(a", 5, 6),
            ("|\n  sum(a\n", "sum(a\n", 6, 9),
            ("\"  a\"", "  a", 0, 3),
        ] {
            assert_eq!(
                within(written, value, &(at..at)),
                Some(expected..expected),
                "{written}"
            );
        }
    }

    #[test]
    fn what_cannot_be_matched_is_the_whole_scalar() {
        assert_eq!(within("other", "text", &(0..1)), None);
        assert_eq!(within("\"\\", "", &(0..0)), None);
        assert_eq!(within("\"\"", "", &(0..0)), None);
    }
}

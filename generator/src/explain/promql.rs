//! PromQL broken into lines that fit, every character otherwise as it was, so that it can be pasted into Prometheus.

use textwrap::core::display_width;

/// What separates the parts of an expression, the loosest first. Prometheus' own order of precedence:
/// <https://prometheus.io/docs/prometheus/latest/querying/operators/#binary-operator-precedence>.
const SEPARATORS: [&[&str]; 3] = [&[", "], &["or ", "and on() "], &["+ ", "- "]];

/// Breaks a query into lines of at most this width, where it can be broken.
pub(super) fn lines(query: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    // Texts in a query have no line break of their own.
    lay(&query.replace('\n', " "), 0, width, &mut lines);
    lines
}

fn lay(text: &str, indent: usize, width: usize, lines: &mut Vec<String>) {
    let text = text.trim();
    if indent + display_width(text) <= width {
        lines.push(format!("{:indent$}{text}", ""));
        return;
    }
    for separators in SEPARATORS {
        let parts = split(text, separators);
        if parts.len() > 1 {
            for part in parts {
                lay(part, indent, width, lines);
            }
            return;
        }
    }
    match last_group(text) {
        Some((open, close)) if close - open > 1 => {
            let (head, rest) = text.split_at(open + 1);
            let (inside, tail) = rest.split_at(close - open - 1);
            lines.push(format!("{:indent$}{head}", ""));
            if head.ends_with('{') {
                matchers(inside, indent + 2, width, lines);
            } else {
                lay(inside, indent + 2, width, lines);
            }
            lines.push(format!("{:indent$}{tail}", ""));
        }
        Some(_) | None => lines.push(format!("{:indent$}{text}", "")),
    }
}

/// As many matchers in a line as fit.
fn matchers(text: &str, indent: usize, width: usize, lines: &mut Vec<String>) {
    let mut line = String::new();
    for matcher in split(text, &[","]) {
        if !line.is_empty() && indent + display_width(&line) + display_width(matcher) > width {
            lines.push(format!("{:indent$}{line}", ""));
            line.clear();
        }
        line.push_str(matcher);
    }
    lines.push(format!("{:indent$}{line}", ""));
}

/// Splits at separators that stand in no group and no text. A comma ends its part; an operator begins it.
fn split<'t>(text: &'t str, separators: &[&str]) -> Vec<&'t str> {
    let mut parts = Vec::new();
    let mut start = 0;
    let mut scan = Scan::default();
    for (at, character) in text.char_indices() {
        let rest = text.get(at..).unwrap_or_default();
        let found = separators
            .iter()
            .find(|separator| rest.starts_with(**separator));
        if let Some(separator) = found
            && scan.depth == 0
            && !scan.quoted
        {
            let comma = separator.starts_with(',');
            let here = if comma { at + 1 } else { at };
            let word_begins = comma || text.get(..at).is_some_and(|before| before.ends_with(' '));
            if word_begins && here > start {
                parts.push(text.get(start..here).unwrap_or_default());
                start = here;
            }
        }
        scan.step(character);
    }
    parts.push(text.get(start..).unwrap_or_default());
    parts
}

/// The last group in brackets that stands in no other.
fn last_group(text: &str) -> Option<(usize, usize)> {
    let mut scan = Scan::default();
    let (mut open, mut group) = (None, None);
    for (at, character) in text.char_indices() {
        let before = scan.depth;
        scan.step(character);
        if before == 0 && scan.depth == 1 {
            open = Some(at);
        }
        if before == 1 && scan.depth == 0 {
            group = open.map(|open| (open, at));
        }
    }
    group
}

/// Where in the brackets and texts of a query one is.
#[derive(Default)]
struct Scan {
    depth: usize,
    quoted: bool,
    escaped: bool,
}

impl Scan {
    fn step(&mut self, character: char) {
        if self.quoted {
            match character {
                _ if self.escaped => self.escaped = false,
                '\\' => self.escaped = true,
                '"' => self.quoted = false,
                _ => {}
            }
            return;
        }
        match character {
            '"' => self.quoted = true,
            // A range stays with its selector.
            '(' | '{' => self.depth += 1,
            ')' | '}' => self.depth = self.depth.saturating_sub(1),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUERY: &str = "sum(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{redis=\"default\",prefix=\"bull\",queue=~\"a|b or (c\"}\n\
        or bullmq_queue_demand_jobs{redis=\"default\",prefix=\"{app}\",queue=\"c\"}))\n\
        and on() (count(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{redis=\"default\",prefix=\"bull\",queue=\"a\"})) == 1)";

    #[test]
    fn a_query_is_broken_at_its_parts_and_never_inside_a_text() {
        assert_eq!(
            lines(QUERY, 60).join("\n"),
            "sum(
  max by (redis, prefix, queue) (
    bullmq_queue_demand_jobs{
      redis=\"default\",prefix=\"bull\",queue=~\"a|b or (c\"
    }
    or bullmq_queue_demand_jobs{
      redis=\"default\",prefix=\"{app}\",queue=\"c\"
    }
  )
)
and on() (
  count(
    max by (redis, prefix, queue) (
      bullmq_queue_demand_jobs{
        redis=\"default\",prefix=\"bull\",queue=\"a\"
      }
    )
  ) == 1
)"
        );
    }

    #[test]
    fn nothing_is_added_or_lost_at_any_width() {
        let bare = |text: &str| {
            text.chars()
                .filter(|c| !c.is_whitespace())
                .collect::<String>()
        };
        for query in [QUERY, "", "up", "((((", "a{b=\"\\\"\"} or ", "a, b - c"] {
            for width in 0..130 {
                assert_eq!(bare(&lines(query, width).concat()), bare(query), "{width}");
            }
        }
    }

    #[test]
    fn a_query_that_fits_stays_on_one_line() {
        assert_eq!(lines("sum(up)\n+ 1", 20), ["sum(up) + 1"]);
    }
}

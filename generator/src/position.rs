//! Lines and columns of a text: people and their editors count those, and not bytes.

/// The lines of a text, by the byte at which each begins. They are counted from 0 here, and told from 1.
#[derive(Debug)]
pub struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    /// Finds the lines of a text.
    pub fn of(text: &'t str) -> Self {
        let ends = text.bytes().enumerate().filter(|(_, byte)| *byte == b'\n');
        let starts = std::iter::once(0)
            .chain(ends.map(|(at, _)| at + 1))
            .collect();
        Self { text, starts }
    }

    /// The line in which a byte stands.
    pub fn line(&self, byte: usize) -> usize {
        self.starts
            .partition_point(|start| *start <= byte)
            .saturating_sub(1)
    }

    /// The first byte of a line, the end of the text behind the last one.
    pub fn start(&self, line: usize) -> usize {
        self.starts.get(line).copied().unwrap_or(self.text.len())
    }

    /// What stands in a line, without its end; nothing behind the last one.
    pub fn text(&self, line: usize) -> Option<&'t str> {
        let start = *self.starts.get(line)?;
        let text = self.text.get(start..self.start(line + 1))?;
        Some(text.trim_end_matches(['\n', '\r']))
    }

    /// The line and the column of a byte, both from 1; the column counts characters.
    pub fn position(&self, byte: usize) -> (usize, usize) {
        let byte = (0..=byte.min(self.text.len()))
            .rev()
            .find(|&at| self.text.is_char_boundary(at))
            .unwrap_or(0);
        let line = self.line(byte);
        let before = self.text.get(self.start(line)..byte).unwrap_or_default();
        (line + 1, before.chars().count() + 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_byte_has_a_line_and_a_column_of_characters() {
        let lines = Lines::of("ab\nä: c\n\nd");
        for (byte, expected) in [
            (0, (1, 1)),
            (2, (1, 3)),
            (3, (2, 1)),
            (4, (2, 1)),
            (5, (2, 2)),
            (8, (2, 5)),
            (9, (3, 1)),
            (10, (4, 1)),
            (99, (4, 2)),
        ] {
            assert_eq!(lines.position(byte), expected, "{byte}");
        }
        assert_eq!(lines.text(1), Some("ä: c"));
        assert_eq!(lines.text(4), None);
        assert_eq!(Lines::of("").position(0), (1, 1));
    }
}

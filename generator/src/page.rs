//! A page of text of a given width: headings, paragraphs, tables whose last column is broken, bars and courses.
//!
//! Tables are our own forty lines: the tables here have no rules, one column that wraps, and bars that take what room is left, which is
//! what the libraries for tables have to be talked into. The wrapping itself is `textwrap`'s.

use std::fmt::Write as _;

use textwrap::core::display_width;

/// What the page is shown on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Screen {
    /// Its columns.
    pub width: usize,
    /// Whether it shows colours.
    pub colour: bool,
    /// Whether it shows more than ASCII.
    pub unicode: bool,
}

/// Narrower than this, nothing is readable.
const NARROWEST: usize = 40;
/// Wider than this, lines are hard to follow.
const WIDEST: usize = 120;
/// The blanks between columns.
const GAP: usize = 2;
/// What a last column needs, or it goes below the others.
const LAST_COLUMN: usize = 24;

impl Screen {
    /// A page that goes to a file or to another program.
    pub const PLAIN: Self = Self {
        width: 80,
        colour: false,
        unicode: true,
    };

    pub(crate) fn columns(self) -> usize {
        self.width.clamp(NARROWEST, WIDEST)
    }
}

/// How a column stands.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

pub(crate) struct Page {
    screen: Screen,
    text: String,
}

impl Page {
    pub(crate) fn new(screen: Screen) -> Self {
        Self {
            screen,
            text: String::new(),
        }
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    /// The first line of a worker.
    pub(crate) fn title(&mut self, title: &str) {
        if !self.text.is_empty() {
            self.blank();
        }
        let line = if self.screen.unicode { "═" } else { "=" };
        let rest = self
            .screen
            .columns()
            .saturating_sub(display_width(title) + 4);
        let title = format!("{line}{line} {title} {}", line.repeat(rest));
        self.styled(&title);
    }

    pub(crate) fn heading(&mut self, heading: &str) {
        self.blank();
        self.styled(heading);
    }

    pub(crate) fn blank(&mut self) {
        self.text.push('\n');
    }

    pub(crate) fn paragraph(&mut self, text: &str, indent: usize) {
        self.wrapped(text, &" ".repeat(indent), &" ".repeat(indent));
    }

    /// A line that is not broken.
    pub(crate) fn verbatim(&mut self, line: &str, indent: usize) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.text, "{:indent$}{line}", "");
    }

    pub(crate) fn item(&mut self, text: &str) {
        self.wrapped(text, "  - ", "    ");
    }

    /// A table. The last column takes the room that is left, and is broken; where there is too little, it goes below the others.
    pub(crate) fn table(&mut self, indent: usize, align: &[Align], rows: &[Vec<String>]) {
        let Some(last) = align.len().checked_sub(1) else {
            return;
        };
        let width = |column: usize| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| display_width(cell)).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..last).map(width).collect();
        let before = indent + widths.iter().map(|width| width + GAP).sum::<usize>();
        let below = before + LAST_COLUMN > self.screen.columns() && width(last) > LAST_COLUMN / 2;
        for row in rows {
            let mut line = " ".repeat(indent);
            for ((cell, width), align) in row.iter().zip(&widths).zip(align) {
                let padding = " ".repeat(width.saturating_sub(display_width(cell)));
                let (left, right) = match align {
                    Align::Left => (cell.as_str(), padding.as_str()),
                    Align::Right => (padding.as_str(), cell.as_str()),
                };
                // Writing to a String cannot fail.
                let _ = write!(line, "{left}{right}{:GAP$}", "");
            }
            let cell = row.get(last).map_or("", String::as_str);
            if below {
                let _ = writeln!(self.text, "{}", line.trim_end());
                self.paragraph(cell, indent + 4);
            } else if cell.is_empty() {
                let _ = writeln!(self.text, "{}", line.trim_end());
            } else {
                self.wrapped(cell, &line, &" ".repeat(before));
            }
        }
    }

    /// The columns that are left for bars beside so many others.
    pub(crate) fn room(&self, others: usize, most: usize) -> usize {
        self.screen.columns().saturating_sub(others).min(most)
    }

    /// A bar of a share of the room.
    pub(crate) fn bar(&self, value: u32, of: u32, room: usize) -> String {
        let eighths = u64::from(value)
            .saturating_mul(u64::try_from(room).unwrap_or(0).saturating_mul(8))
            .div_ceil(u64::from(of.max(1)));
        let (full, rest) = (eighths / 8, eighths % 8);
        let full = usize::try_from(full).unwrap_or(room).min(room);
        if self.screen.unicode {
            let part = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
            let part = usize::try_from(rest).ok().and_then(|rest| part.get(rest));
            format!("{}{}", "█".repeat(full), part.copied().unwrap_or(""))
        } else {
            "#".repeat((full + usize::from(rest > 0)).min(room))
        }
    }

    /// A line of so many columns in which each is as high as its share of `most`; what is something is never nothing.
    pub(crate) fn course(&self, values: &[u64], most: u64, room: usize) -> String {
        let heights: &[char] = if self.screen.unicode {
            &[' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█']
        } else {
            &[' ', '.', ':', '-', '=', '+', '*', '#', '@']
        };
        let columns = room.min(values.len()).max(1);
        let height = |column: usize| {
            let part = values.len() * column / columns..values.len() * (column + 1) / columns;
            let value = values.get(part)?.iter().max().copied()?;
            let steps = u64::try_from(heights.len()).ok()?.checked_sub(1)?;
            let step = u128::from(value.min(most)) * u128::from(steps);
            heights
                .get(usize::try_from(step.div_ceil(u128::from(most.max(1)))).ok()?)
                .copied()
        };
        (0..columns).filter_map(height).collect()
    }

    fn styled(&mut self, line: &str) {
        let (on, off) = if self.screen.colour {
            ("\u{1b}[1m", "\u{1b}[0m")
        } else {
            ("", "")
        };
        let _ = writeln!(self.text, "{on}{line}{off}");
    }

    fn wrapped(&mut self, text: &str, first: &str, others: &str) {
        let options = textwrap::Options::new(self.screen.columns())
            .initial_indent(first)
            .subsequent_indent(others)
            .break_words(false)
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        for line in textwrap::wrap(text, options) {
            let _ = writeln!(self.text, "{}", line.trim_end());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(width: usize, unicode: bool) -> Page {
        Page::new(Screen {
            width,
            colour: false,
            unicode,
        })
    }

    #[test]
    fn a_bar_is_as_long_as_its_share_and_never_nothing_for_something() {
        for (value, of, bar, ascii) in [
            (0, 50, "", ""),
            (1, 50, "▎", "#"),
            (25, 50, "█████", "#####"),
            (50, 50, "██████████", "##########"),
            (1, u32::MAX, "▏", "#"),
            (u32::MAX, u32::MAX, "██████████", "##########"),
            (99, 50, "██████████▉", "##########"),
        ] {
            if value <= of {
                assert_eq!(page(80, true).bar(value, of, 10), bar, "{value} of {of}");
            }
            assert_eq!(page(80, false).bar(value, of, 10), ascii, "{value} of {of}");
        }
    }

    #[test]
    fn a_course_is_as_high_as_its_values_and_never_nothing_for_something() {
        for (values, most, room, course, ascii) in [
            (&[0, 1, 4, 8][..], 8, 80, " ▁▄█", " .=@"),
            (&[0, 1, 4, 8], 8, 2, "▁█", ".@"),
            (&[1, 1, 1, 0, 0], 1000, 5, "▁▁▁  ", "...  "),
            (&[9], 8, 10, "█", "@"),
            (&[], 8, 10, "", ""),
            (&[0, 0], 0, 10, "  ", "  "),
        ] {
            assert_eq!(
                page(80, true).course(values, most, room),
                course,
                "{values:?}"
            );
            assert_eq!(
                page(80, false).course(values, most, room),
                ascii,
                "{values:?}"
            );
        }
    }

    #[test]
    fn the_last_column_is_broken_and_goes_below_where_there_is_no_room() {
        let rows = [vec![
            "a".to_owned(),
            "one two three four five six".to_owned(),
        ]];
        let align = [Align::Left, Align::Left];
        let mut wide = page(80, true);
        wide.table(0, &align, &rows);
        assert_eq!(wide.finish(), "a  one two three four five six\n");
        let long = [vec![
            "a".repeat(30),
            "one two three four five six".to_owned(),
        ]];
        let mut narrow = page(40, true);
        narrow.table(0, &align, &long);
        assert_eq!(
            narrow.finish(),
            format!("{}\n    one two three four five six\n", "a".repeat(30))
        );
    }
}

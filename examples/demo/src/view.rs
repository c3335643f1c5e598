//! The screen: a picture that is drawn again in place on a terminal, and a line for every change elsewhere.

use std::io::{self, Write};
use std::panic;

use terminal_size::{Height, Width, terminal_size};

use crate::scene::{Line, Scene, Style, clock, wrapped};

/// The alternate screen, without a cursor. Nothing of it is left in the terminal's history.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
/// Terminals that know it show what stands between the two at once, without flicker; others ignore it.
const BEGIN_FRAME: &str = "\x1b[?2026h\x1b[H";
const END_FRAME: &str = "\x1b[J\x1b[?2026l";
const END_LINE: &str = "\x1b[K";
const RESET: &str = "\x1b[0m";
/// A terminal that does not tell its size.
const DEFAULT_SIZE: (usize, usize) = (80, 24);
const PLAIN_WIDTH: usize = 100;

/// Where the story is shown.
pub(crate) enum View<'a, W: Write> {
    /// A terminal. Dropping it gives the terminal back as it was.
    Live(Live<'a, W>),
    /// Anything else.
    Plain(Plain<'a, W>),
}

/// A picture that is drawn again and again.
pub(crate) struct Live<'a, W: Write> {
    out: &'a mut W,
    coloured: bool,
}

/// Lines, each when something has changed.
pub(crate) struct Plain<'a, W: Write> {
    out: &'a mut W,
    chapter: usize,
    revealed: bool,
    notes: Vec<String>,
    facts: String,
}

impl<'a, W: Write> View<'a, W> {
    /// Takes over the terminal until it is dropped.
    pub(crate) fn live(out: &'a mut W, coloured: bool) -> io::Result<Self> {
        write!(out, "{ENTER}")?;
        out.flush()?;
        // The message of a panic is printed before anything is dropped, and would vanish with the alternate screen.
        let report = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let mut terminal = io::stdout();
            // There is nobody to tell when the terminal is gone.
            let _ = terminal
                .write_all(LEAVE.as_bytes())
                .and_then(|()| terminal.flush());
            report(panic);
        }));
        Ok(Self::Live(Live { out, coloured }))
    }

    pub(crate) fn plain(out: &'a mut W) -> Self {
        Self::Plain(Plain {
            out,
            chapter: 0,
            revealed: false,
            notes: Vec::new(),
            facts: String::new(),
        })
    }

    pub(crate) fn show(&mut self, scene: &Scene<'_>) -> io::Result<()> {
        match self {
            Self::Live(live) => live.show(scene),
            Self::Plain(plain) => plain.show(scene),
        }
    }
}

impl<W: Write> Live<'_, W> {
    fn show(&mut self, scene: &Scene<'_>) -> io::Result<()> {
        let (width, height) = terminal_size()
            .map_or(DEFAULT_SIZE, |(Width(width), Height(height))| {
                (usize::from(width), usize::from(height))
            });
        let mut frame = String::from(BEGIN_FRAME);
        for (index, line) in scene.picture(width).iter().take(height).enumerate() {
            if index > 0 {
                frame.push_str("\r\n");
            }
            push_line(&mut frame, line, width, self.coloured);
            frame.push_str(END_LINE);
        }
        frame.push_str(END_FRAME);
        self.out.write_all(frame.as_bytes())?;
        self.out.flush()
    }
}

impl<W: Write> Drop for Live<'_, W> {
    fn drop(&mut self) {
        // There is nobody to tell when the terminal is gone.
        let _ = self
            .out
            .write_all(LEAVE.as_bytes())
            .and_then(|()| self.out.flush());
    }
}

impl<W: Write> Plain<'_, W> {
    fn show(&mut self, scene: &Scene<'_>) -> io::Result<()> {
        let chapter = scene.chapter;
        if self.chapter != chapter.number {
            self.chapter = chapter.number;
            let (number, of, title) = (chapter.number, chapter.of, &chapter.title);
            writeln!(self.out, "\n{number} of {of}  {title}")?;
            for line in wrapped(&chapter.text, PLAIN_WIDTH) {
                writeln!(self.out, "{line}")?;
            }
        }
        if scene.revealed && !self.revealed {
            self.revealed = true;
            for line in scene.excerpt(PLAIN_WIDTH) {
                let text: String = line.into_iter().map(|(_, text)| text).collect();
                writeln!(self.out, "    {text}")?;
            }
        }
        let facts = scene.facts();
        if self.facts != facts {
            writeln!(self.out, "{:>5}  {facts}", clock(scene.elapsed))?;
            self.facts = facts;
        }
        if self.notes != scene.notes {
            self.notes = scene.notes.to_vec();
            for note in scene.notes {
                writeln!(self.out, "{note}")?;
            }
        }
        self.out.flush()
    }
}

/// Appends as much of a line as fits into `width` columns; every character that is used here is one column wide.
fn push_line(frame: &mut String, line: &Line, width: usize, coloured: bool) {
    let mut left = width;
    for (style, text) in line {
        let code = code(*style);
        let set_off = coloured && !code.is_empty();
        if set_off {
            frame.push_str(code);
        }
        for character in text.chars().take(left) {
            frame.push(character);
            left -= 1;
        }
        if set_off {
            frame.push_str(RESET);
        }
    }
}

fn code(style: Style) -> &'static str {
    match style {
        Style::Plain => "",
        Style::Strong => "\x1b[1m",
        Style::Faint => "\x1b[2m",
        Style::Good => "\x1b[32m",
        Style::Warning => "\x1b[1;33m",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_cut_at_the_edge_and_its_colours_end_there() {
        let line = vec![
            (Style::Plain, "ab".to_owned()),
            (Style::Good, "■■■".to_owned()),
        ];
        let mut frame = String::new();
        push_line(&mut frame, &line, 4, true);
        assert_eq!(frame, "ab\x1b[32m■■\x1b[0m");
        let mut frame = String::new();
        push_line(&mut frame, &line, 4, false);
        assert_eq!(frame, "ab■■");
    }
}

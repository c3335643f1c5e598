//! Configuration files: YAML with known fields only, and messages that point at the place without showing a value.
//!
//! A file may hold passwords and keys, and a message may end in a log that many read. So the line in question is shown up to its first
//! value, and the values behind it are left out.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_saphyr::{Location, Spanned};

/// The largest file that is read. One with a thousand servers takes about 500 kB.
const MAX_BYTES: u64 = 4 << 20;

/// Why a file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// It cannot be read.
    #[error("{}: {source}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// It is no file of this kind.
    #[error("{}", frame(path, *line, *column, shown, message, help))]
    Wrong {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1.
        column: usize,
        /// The line up to its first value.
        shown: String,
        /// What is wrong.
        message: String,
        /// What to write instead, if that can be told.
        help: String,
    },
}

/// A place in a file, in the words of rustc's messages.
fn frame(
    path: &Path,
    line: usize,
    column: usize,
    shown: &str,
    message: &str,
    help: &str,
) -> String {
    let number = line.to_string();
    let margin = " ".repeat(number.len());
    let caret = " ".repeat(column.saturating_sub(1).min(shown.chars().count()));
    let mut text = format!(
        "{message}\n{margin}--> {}:{line}:{column}\n{margin} |\n{number} | {shown}\n{margin} | {caret}^",
        path.display()
    );
    if !help.is_empty() {
        text = format!("{text}\n{margin} = help: {help}");
    }
    text
}

/// A file that was read, for messages about its places.
#[derive(Debug)]
pub struct YamlFile {
    path: PathBuf,
    text: String,
}

impl YamlFile {
    /// Reads a file.
    ///
    /// # Errors
    /// When it cannot be read, is too large or no text in UTF-8.
    pub fn open(path: &Path) -> Result<Self, Problem> {
        let unreadable = |source| Problem::Unreadable {
            path: path.to_owned(),
            source,
        };
        let mut text = String::new();
        let file = File::open(path).map_err(unreadable)?;
        file.take(MAX_BYTES + 1)
            .read_to_string(&mut text)
            .map_err(unreadable)?;
        if text.len() as u64 > MAX_BYTES {
            return Err(unreadable(io::Error::other(format!(
                "it is larger than {MAX_BYTES} bytes"
            ))));
        }
        Ok(Self {
            path: path.to_owned(),
            text,
        })
    }

    /// A file that has this text, wherever it comes from.
    #[cfg(fuzzing)]
    pub fn of(path: &Path, text: String) -> Self {
        let path = path.to_owned();
        Self { path, text }
    }

    /// The text of the file.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The file that is named at a place in this one: relative names begin at its folder, as Prometheus reads them.
    pub fn neighbour(&self, name: &str) -> PathBuf {
        match self.path.parent() {
            Some(folder) => folder.join(name),
            None => PathBuf::from(name),
        }
    }

    /// The value of the whole file; one that is empty, or holds nothing but comments, is that of an empty mapping.
    ///
    /// # Errors
    /// When it has an unknown field, or a value of another kind than the field takes.
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, Problem> {
        let blank = self
            .text
            .lines()
            .all(|line| line.trim().is_empty() || line.trim_start().starts_with('#'));
        let text = if blank { "{}" } else { &self.text };
        serde_saphyr::from_str(text).map_err(|error| {
            let location = error.location();
            let message = error.without_snippet().to_string();
            // The place is told by the frame.
            let message = match (&location, message.rsplit_once(" at line ")) {
                (Some(_), Some((message, _))) => message.to_owned(),
                _ => message,
            };
            self.wrong(location, message, "")
        })
    }

    /// A problem at a place.
    pub fn wrong_at<T>(
        &self,
        place: &Spanned<T>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Problem {
        self.wrong(Some(place.referenced), message, help)
    }

    fn wrong(
        &self,
        location: Option<Location>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Problem {
        let place = |number: u64| usize::try_from(number).unwrap_or(1).max(1);
        let (line, column) = location.map_or((1, 1), |location| {
            (place(location.line()), place(location.column()))
        });
        let text = self.text.lines().nth(line - 1).unwrap_or_default();
        Problem::Wrong {
            path: self.path.clone(),
            line,
            column,
            shown: without_values(text),
            message: message.into(),
            help: help.into(),
        }
    }
}

/// A line up to its first value.
fn without_values(line: &str) -> String {
    match line.split_once(": ") {
        Some((key, value)) if !value.trim().is_empty() => format!("{key}: ..."),
        Some(_) => line.to_owned(),
        // A list's item without a key, or the middle of a longer value.
        None if line.trim_end().ends_with(':') => line.to_owned(),
        None => {
            let indent = line.len() - line.trim_start().len();
            format!("{}...", " ".repeat(indent))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;
    use std::io::Write as _;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Door {
        #[expect(dead_code, reason = "read by serde only")]
        password: Option<String>,
        #[expect(dead_code, reason = "read by serde only")]
        floor: Option<u8>,
    }

    fn told(text: &str) -> String {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let message = match YamlFile::open(file.path()).and_then(|file| file.parse::<Door>()) {
            Ok(_) => String::new(),
            Err(problem) => problem.to_string(),
        };
        message.replace(&file.path().display().to_string(), "door.yml")
    }

    #[test]
    fn a_wrong_file_is_told_with_its_place_and_without_its_secrets() {
        for (text, expected) in [
            ("", ""),
            ("# nothing\n\n", ""),
            ("password: hunter2\n", ""),
            (
                "# a door\npasword: hunter2\n",
                "unknown field `pasword`, expected one of password, floor\n --> door.yml:2:1\n  |\n2 | pasword: ...\n  | ^",
            ),
            (
                "floor: hunter2\n",
                "invalid u8\n --> door.yml:1:8\n  |\n1 | floor: ...\n  |        ^",
            ),
            (
                "password: [hunter2]\n",
                "expected string scalar\n --> door.yml:1:11\n  |\n1 | password: ...\n  |           ^",
            ),
        ] {
            assert_eq!(told(text), expected, "{text}");
        }
    }

    #[test]
    fn no_message_shows_a_value_even_where_the_text_is_no_yaml() {
        for text in [
            "password: \"hunter2\n",
            "password: hunter2: x\n",
            "- hunter2\n",
            "hunter2\n",
            "password: |\n  hunter2\nfloor: [hunter2\n",
            "password: hunter2\npassword: hunter2\n",
            "{password: hunter2, floor: hunter2}\n",
        ] {
            let told = told(text);
            assert!(!told.is_empty(), "{text}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }
}

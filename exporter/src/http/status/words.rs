//! Values that the page shows for people and the JSON for programs: one type, two ways to be written.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// How much of a name is shown. Names of queues are words; one that is longer than this is no name that a person reads.
pub(super) const LONGEST_NAME: usize = 120;

/// A number: with commas between the thousands for people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(super) struct Count(pub(super) u64);

impl Count {
    /// Whether there is nothing.
    pub(super) const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// Whether there is one, so that what is counted stands in the singular.
    pub(super) const fn is_one(self) -> bool {
        self.0 == 1
    }
}

impl From<usize> for Count {
    fn from(number: usize) -> Self {
        Self(number as u64)
    }
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        for (index, digit) in digits.chars().enumerate() {
            if index > 0 && (digits.len() - index).is_multiple_of(3) {
                f.write_str(",")?;
            }
            write!(f, "{digit}")?;
        }
        Ok(())
    }
}

/// A time: its two largest units for people, seconds with milliseconds for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Span(pub(super) Duration);

impl Span {
    /// Whether it is no time at all.
    pub(super) const fn is_zero(self) -> bool {
        self.0.is_zero()
    }
}

impl Serialize for Span {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64((self.0.as_secs_f64() * 1000.0).round() / 1000.0)
    }
}

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let two = |f: &mut fmt::Formatter<'_>, large, large_unit, small, small_unit| {
            write!(f, "{large} {large_unit}")?;
            if small > 0 {
                write!(f, " {small} {small_unit}")?;
            }
            Ok(())
        };
        match seconds {
            0 if self.0.is_zero() => f.write_str("0 s"),
            0 => write!(f, "{} ms", self.0.as_millis().max(1)),
            1..60 => write!(f, "{seconds} s"),
            60..3600 => two(f, seconds / 60, "min", seconds % 60, "s"),
            3600..86_400 => two(f, seconds / 3600, "h", seconds % 3600 / 60, "min"),
            _ => two(f, seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
        }
    }
}

/// A name out of Redis: what does not print is shown by its code and the end of a very long one by its length; whole for programs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub(super) struct Name(#[serde(serialize_with = "whole")] pub(super) Arc<str>);

fn whole<S: Serializer>(name: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(name)
}

impl Name {
    /// Whether all of it is shown.
    pub(super) fn is_short(&self) -> bool {
        self.0.chars().nth(LONGEST_NAME).is_none()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("(no name)");
        }
        for character in self.0.chars().take(LONGEST_NAME) {
            // Quotes, backslashes and letters of any language print; line breaks, marks of direction and blanks of no width do not.
            if character.is_ascii_graphic() || character == ' ' {
                write!(f, "{character}")?;
            } else {
                write!(f, "{}", character.escape_debug())?;
            }
        }
        if !self.is_short() {
            write!(f, "… ({} characters)", Count::from(self.0.chars().count()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas_between_their_thousands() {
        for (number, expected) in [
            (0, "0"),
            (999, "999"),
            (1000, "1,000"),
            (1_234_567, "1,234,567"),
            (u64::MAX, "18,446,744,073,709,551,615"),
        ] {
            assert_eq!(Count(number).to_string(), expected);
        }
    }

    #[test]
    fn times_are_told_in_their_two_largest_units() {
        for (millis, expected, seconds) in [
            (0, "0 s", "0.0"),
            (7, "7 ms", "0.007"),
            (1999, "1 s", "1.999"),
            (60_000, "1 min", "60.0"),
            (61_500, "1 min 1 s", "61.5"),
            (3_599_000, "59 min 59 s", "3599.0"),
            (3_600_000, "1 h", "3600.0"),
            (86_399_000, "23 h 59 min", "86399.0"),
            (90_000_000, "1 d 1 h", "90000.0"),
        ] {
            let span = Span(Duration::from_millis(millis));
            assert_eq!(span.to_string(), expected);
            assert_eq!(serde_json::to_string(&span).unwrap(), seconds);
        }
        let instant = Span(Duration::from_nanos(1));
        assert_eq!(instant.to_string(), "1 ms");
    }

    #[test]
    fn names_show_what_does_not_print_and_stay_whole_for_programs() {
        let long = "x".repeat(LONGEST_NAME + 1);
        let shown_long = format!("{}… (121 characters)", "x".repeat(LONGEST_NAME));
        for (name, expected) in [
            ("email", "email"),
            ("<b>\"it's\" \\", "<b>\"it's\" \\"),
            ("ä 名前 😀", "ä 名前 😀"),
            ("a\nb\u{202e}c\u{200b}", r"a\nb\u{202e}c\u{200b}"),
            ("", "(no name)"),
            (&long, &shown_long),
        ] {
            let shown = Name(name.into());
            assert_eq!(shown.to_string(), expected);
            let json = serde_json::to_value(&shown).unwrap();
            assert_eq!(json.as_str(), Some(name));
        }
    }
}

//! Numbers with three decimals, held exactly.
//!
//! KEDA writes a threshold with `%.3f` and reads it back as a Kubernetes quantity, so three decimals are what such a number can
//! have. Held as whole thousandths, 0.9 of 10 slots is `9` and never `9.000000000000002`, and the same spec gives the same bytes.
//! Source: <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/scaler.go> (`GetMetricTargetMili`).

use std::fmt;
use std::time::Duration;

/// A number that is not negative, in whole thousandths.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Decimal {
    thousandths: u64,
}

impl Decimal {
    /// A number of thousandths: `1500` is 1.5.
    pub const fn from_thousandths(thousandths: u64) -> Self {
        Self { thousandths }
    }

    /// The seconds of a duration. What is below a millisecond is dropped.
    pub fn seconds_of(duration: Duration) -> Self {
        Self {
            thousandths: u64::try_from(duration.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Reads `12`, `0.5` or `2.125`: digits, and at most three decimals. No sign, no exponent, no leading zero, because
    /// `0123` and `1e3` are read differently by different YAML readers. Returns nothing for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (whole, fraction) = match text.split_once('.') {
            Some((whole, fraction)) => (whole, fraction),
            None => (text, "0"),
        };
        let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
        let leading_zero = whole.len() > 1 && whole.starts_with('0');
        if !digits(whole) || leading_zero || !digits(fraction) || fraction.len() > 3 {
            return None;
        }
        let whole: u64 = whole.parse().ok()?;
        let fraction: u64 = format!("{fraction:0<3}").parse().ok()?;
        Some(Self {
            thousandths: whole.checked_mul(1000)?.checked_add(fraction)?,
        })
    }

    /// The number in thousandths.
    pub const fn thousandths(self) -> u64 {
        self.thousandths
    }

    /// The number as Prometheus reads it.
    #[expect(
        clippy::cast_precision_loss,
        reason = "Prometheus reads numbers into f64 too"
    )]
    pub fn as_f64(self) -> f64 {
        self.thousandths as f64 / 1000.0
    }
}

impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, rest) = (self.thousandths / 1000, self.thousandths % 1000);
        if rest == 0 {
            write!(f, "{whole}")
        } else {
            let fraction = format!("{rest:03}");
            write!(f, "{whole}.{}", fraction.trim_end_matches('0'))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_and_written_without_noise() {
        for (text, thousandths) in [
            ("0", 0),
            ("7", 7_000),
            ("0.5", 500),
            ("2.125", 2_125),
            ("100.05", 100_050),
            ("1000000000", 1_000_000_000_000),
        ] {
            let number = Decimal::parse(text).unwrap();
            assert_eq!(number.thousandths(), thousandths, "{text}");
            assert_eq!(number.to_string(), text);
        }
        assert_eq!(Decimal::parse("1.500").unwrap().to_string(), "1.5");
    }

    #[test]
    fn a_number_that_yaml_readers_disagree_on_is_refused() {
        for text in [
            "",
            ".",
            "1.",
            ".5",
            "-1",
            "+1",
            "01",
            "1e3",
            "1_000",
            "0x10",
            "1.0001",
            "NaN",
            ".inf",
            "99999999999999999999",
            "1.-5",
            "١",
        ] {
            assert_eq!(Decimal::parse(text), None, "{text}");
        }
    }

    #[test]
    fn seconds_keep_their_milliseconds() {
        assert_eq!(
            Decimal::seconds_of(Duration::from_millis(1_250)).to_string(),
            "1.25"
        );
    }
}

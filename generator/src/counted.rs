//! Numbers with the nouns that they count, and times, as people say them.

use std::fmt;
use std::time::Duration;

use bullmq_vocabulary::prometheus_duration;

/// A number and what it counts, whose plural ends in `s`: `1 job`, `2 jobs`.
pub fn counted(number: impl fmt::Display, one: &str) -> String {
    // Whatever kind of number it is, one is what is written so.
    let number = number.to_string();
    let plural = if number == "1" { "" } else { "s" };
    format!("{number} {one}{plural}")
}

/// What comes once for so many: `every job that waits`, `every 2 jobs that wait`.
pub fn every(number: impl fmt::Display, one: &str, many: &str) -> String {
    match number.to_string().as_str() {
        "1" => format!("every {one}"),
        number => format!("every {number} {many}"),
    }
}

/// A time as people write it, without what is below a second.
pub fn short(time: Duration) -> String {
    let seconds = time.as_millis().saturating_add(500) / 1000;
    let seconds = u64::try_from(seconds).unwrap_or(u64::MAX);
    if time < Duration::from_secs(1) {
        return prometheus_duration(time);
    }
    prometheus_duration(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::Decimal;

    #[test]
    fn one_is_singular_whatever_kind_of_number_it_is() {
        let decimal = |text| Decimal::parse(text).unwrap();
        for (said, expected) in [
            (counted(0_u32, "job"), "0 jobs"),
            (counted(1_u64, "job"), "1 job"),
            (counted(1.0_f64, "job"), "1 job"),
            (counted(decimal("1"), "job"), "1 job"),
            (counted(decimal("0.5"), "job"), "0.5 jobs"),
            (counted(11_usize, "job"), "11 jobs"),
            (
                every(1_u32, "job that waits", "jobs that wait"),
                "every job that waits",
            ),
            (
                every(decimal("1.5"), "job that waits", "jobs that wait"),
                "every 1.5 jobs that wait",
            ),
        ] {
            assert_eq!(said, expected);
        }
    }

    #[test]
    fn times_are_short_and_round_to_the_second() {
        for (millis, expected) in [
            (0, "0s"),
            (250, "250ms"),
            (15_500, "16s"),
            (15_499, "15s"),
            (105_000, "1m45s"),
        ] {
            assert_eq!(short(Duration::from_millis(millis)), expected);
        }
    }
}

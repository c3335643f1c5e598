//! Durations as Prometheus writes them.

use std::fmt::Write as _;
use std::time::Duration;

/// The units of a Prometheus duration, largest first, in milliseconds. Years and weeks are left out: Prometheus reads them,
/// but `1w` says less than `7d` to most people.
const UNITS: [(&str, u128); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Writes a duration in Prometheus' form: `30s`, `1m30s`, `1d12h`, `250ms`; zero is `0s`.
///
/// Anything below a millisecond is dropped, because Prometheus has no smaller unit.
/// See <https://prometheus.io/docs/prometheus/latest/querying/basics/#float-literals-and-time-durations>.
///
/// ```
/// use std::time::Duration;
/// assert_eq!(bullmq_vocabulary::prometheus_duration(Duration::from_secs(90)), "1m30s");
/// ```
pub fn prometheus_duration(duration: Duration) -> String {
    let mut left = duration.as_millis();
    let mut text = String::new();
    for (unit, millis) in UNITS {
        let count = left / millis;
        if count > 0 {
            // Writing to a String cannot fail.
            let _ = write!(text, "{count}{unit}");
            left %= millis;
        }
    }
    if text.is_empty() {
        "0s".to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_written_as_prometheus_reads_them() {
        for (millis, expected) in [
            (0, "0s"),
            (250, "250ms"),
            (1_000, "1s"),
            (30_000, "30s"),
            (60_000, "1m"),
            (90_000, "1m30s"),
            (120_000, "2m"),
            (300_000, "5m"),
            (3_600_000, "1h"),
            (129_600_000, "1d12h"),
            (1_500, "1s500ms"),
        ] {
            assert_eq!(prometheus_duration(Duration::from_millis(millis)), expected);
        }
    }
}

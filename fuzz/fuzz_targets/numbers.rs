//! Durations, decimal numbers and versions as people write them: what is printed is read as the same.
#![no_main]

use std::time::Duration;

use bullmq_keda::decimal::Decimal;
use bullmq_keda::version::Version;
use bullmq_vocabulary::{prometheus_duration, promql_string};
use libfuzzer_sys::fuzz_target;

/// Prometheus' own units, the largest first.
const UNITS: [(&str, u64); 7] = [
    ("y", 31_536_000_000),
    ("w", 604_800_000),
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("ms", 1),
    ("m", 60_000),
    ("s", 1_000),
];

/// Reads a duration in Prometheus' form, simply.
fn millis(text: &str) -> Option<u64> {
    let mut rest = text;
    let mut sum = 0_u64;
    while !rest.is_empty() {
        let digits = rest.find(|character: char| !character.is_ascii_digit())?;
        let number: u64 = rest[..digits].parse().ok()?;
        let (unit, size) = UNITS
            .iter()
            .find(|(unit, _)| rest[digits..].starts_with(unit))?;
        sum = sum.checked_add(number.checked_mul(*size)?)?;
        rest = &rest[digits + unit.len()..];
    }
    Some(sum)
}

fuzz_target!(|data: &[u8]| {
    if let Some((number, _)) = data.split_first_chunk::<8>() {
        // A thousand years; Prometheus' own durations end at 292.
        let said = u64::from_le_bytes(*number) % 31_536_000_000_000;
        let printed = prometheus_duration(Duration::from_millis(said));
        assert_eq!(millis(&printed), Some(said), "{printed}");
    }
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if let Some(decimal) = Decimal::parse(text) {
        let printed = decimal.to_string();
        assert_eq!(
            Decimal::parse(&printed),
            Some(decimal),
            "{text:?} is printed as {printed}"
        );
    }
    if let Ok(version) = text.parse::<Version>() {
        let printed = version.to_string();
        // A `.0` is left out, and a version without it means its last patch.
        let again = printed
            .parse::<Version>()
            .expect("what is printed is a version");
        assert!(
            again >= version && again.to_string() == printed,
            "{text:?} is printed as {printed}"
        );
    }
    let quoted = promql_string(text);
    assert!(!quoted.contains('\n'));
});

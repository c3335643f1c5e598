//! Numbers as people read them.

use std::time::Duration;

/// Milliseconds with as many digits as mean something.
pub(crate) fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1000.0;
    match millis {
        ..1.0 => format!("{millis:.2} ms"),
        ..10.0 => format!("{millis:.1} ms"),
        _ => format!("{} ms", grouped(time.as_millis())),
    }
}

/// Megabytes, of a million bytes.
pub(crate) fn megabytes<N: TryInto<u64>>(bytes: N) -> String {
    let bytes: u64 = bytes.try_into().unwrap_or(u64::MAX);
    format!("{}.{} MB", bytes / 1_000_000, bytes / 100_000 % 10)
}

/// A number with commas between its thousands.
pub(crate) fn grouped<N: Copy + ToString>(number: N) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_for_people() {
        assert_eq!(
            [grouped(7), grouped(1_000), grouped(1_234_567)],
            ["7", "1,000", "1,234,567"]
        );
        assert_eq!(megabytes(26_092_092_usize), "26.0 MB");
        let times = [250, 2_540, 757_976, 1_009_298]
            .map(Duration::from_micros)
            .map(millis);
        assert_eq!(times, ["0.25 ms", "2.5 ms", "757 ms", "1,009 ms"]);
    }
}

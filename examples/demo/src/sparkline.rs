//! A row of block characters that shows how a number went.

/// One character a step from nothing to the peak.
const STEPS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Where the number was not known.
const UNKNOWN: char = '·';

/// The whole of `values` in at most `width` characters; the highest of those that share a character counts.
///
/// Zero has the lowest block to itself, so that something is always told from nothing.
pub(crate) fn sparkline(values: &[Option<u32>], width: usize) -> String {
    let peak = values.iter().flatten().max().copied().unwrap_or(0);
    let columns = values.len().min(width.max(1));
    let shown = (0..columns).filter_map(|column| {
        let (from, to) = (
            column * values.len() / columns,
            (column + 1) * values.len() / columns,
        );
        let sharing = values.get(from..to)?;
        let highest = sharing.iter().flatten().max();
        Some(highest.map_or(UNKNOWN, |&value| block(value, peak)))
    });
    shown.collect()
}

fn block(value: u32, peak: u32) -> char {
    let [nothing, something @ ..] = STEPS;
    if value == 0 {
        return nothing;
    }
    let highest = something.len().saturating_sub(1);
    let index = usize::try_from(u64::from(value) * highest as u64 / u64::from(peak.max(1)));
    something
        .get(index.unwrap_or(highest))
        .copied()
        .unwrap_or(nothing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_something_and_the_peak_look_different() {
        assert_eq!(
            sparkline(&[Some(0), Some(1), Some(50), Some(100), None], 10),
            "▁▂▅█·"
        );
    }

    #[test]
    fn all_zero_is_flat_and_no_value_is_nothing() {
        assert_eq!(sparkline(&[Some(0), Some(0)], 10), "▁▁");
        assert_eq!(sparkline(&[], 10), "");
        assert_eq!(sparkline(&[Some(1)], 0), "█");
    }

    #[test]
    fn a_long_history_keeps_its_peaks_and_its_width() {
        let mut values = vec![Some(0); 125];
        values[60] = Some(7);
        let line = sparkline(&values, 60);
        assert_eq!(line.chars().count(), 60);
        assert_eq!(line.chars().filter(|&step| step == '█').count(), 1);
    }
}

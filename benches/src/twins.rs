//! Is a copy read like a queue that BullMQ made? Each kind was made twice and copied once: the same commands must be sent about all three,
//! and the same series told.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};

use crate::data::Kind;
use crate::recording::Recording;

/// Compares them for every kind.
///
/// # Errors
/// When they differ, with what differs.
pub(crate) fn check(text: &str, recording: &Recording) -> Result<()> {
    for kind in Kind::ALL {
        let [made, twin, copy] = ["made", "twin", "copy"].map(|how| format!("{how}-{kind}"));
        let of = |queue: &str| (told(text, queue), recording.command_names(queue));
        let (series, commands) = of(&made);
        ensure!(!series.is_empty() && !commands.is_empty(), "{made} is read");
        for other in [twin, copy] {
            let (other_series, other_commands) = of(&other);
            ensure!(
                commands == other_commands,
                "about {made} {commands:?} is asked, about {other} {other_commands:?}"
            );
            let differs = series
                .iter()
                .find(|(name, value)| other_series.get(*name) != Some(value));
            if let Some((name, value)) = differs {
                let other = other_series
                    .get(name)
                    .with_context(|| format!("{other} has no {name}"))?;
                anyhow::bail!("{made}: {name} is {value}, and {other} in the other");
            }
            ensure!(
                series.len() == other_series.len(),
                "{other} has more series than {made}"
            );
        }
    }
    Ok(())
}

/// The series of a queue without its name. Ages go on while the queues are made, so their values are left out.
fn told(text: &str, queue: &str) -> BTreeMap<String, String> {
    let label = format!("queue=\"{queue}\"");
    let series = text.lines().filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        let (before, after) = name.split_once(&label)?;
        let value = if before.contains("_seconds{") {
            "an age"
        } else {
            value
        };
        Some((format!("{before}{after}"), value.to_owned()))
    });
    series.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_are_told_without_the_name_of_the_queue_and_the_passing_of_time() {
        let text = "# HELP x y\nx{queue=\"a\",state=\"b\"} 1\nx{queue=\"ab\"} 2\ny_seconds{queue=\"a\"} 0.5\n";
        let expected = [("x{,state=\"b\"}", "1"), ("y_seconds{}", "an age")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(told(text, "a"), expected.into());
    }
}

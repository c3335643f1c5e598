//! Several contestants in turns, so that whatever else the machine does meets all of them alike.

use std::time::{Duration, Instant};

use acceptance::Redis;
use anyhow::{Context as _, Result};

use crate::contestant::Contestant;
use crate::memory::{Memory, processor_time};
use crate::ping::{Pinger, with_omitted};
use crate::progress::Progress;
use crate::redis_client::{Work, connect};

/// Scrapes of each contestant before the first that counts.
const WARM_UP: usize = 2;

/// One of those that take turns.
pub(crate) struct Entry<'a> {
    /// What the table calls it.
    pub(crate) name: &'static str,
    /// Whom it asks.
    pub(crate) redis: &'a Redis,
    /// Who is measured.
    pub(crate) contestant: &'a mut dyn Contestant,
}

/// What was measured of one contestant.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// How long each scrape took.
    pub(crate) times: Vec<Duration>,
    /// The processor time of Redis in each.
    pub(crate) cpu: Vec<Duration>,
    /// The commands that Redis ran in each.
    pub(crate) commands: Vec<u64>,
    /// How long a PING of another client took meanwhile.
    pub(crate) pings: Vec<Duration>,
    /// How many bytes were answered at last.
    pub(crate) bytes: usize,
    /// The processor time of its process in each; of a pipeline in this process, with that of the PINGs beside it.
    pub(crate) own_cpu: Vec<Duration>,
    /// The memory of its process at the end.
    pub(crate) memory: Option<Memory>,
}

impl Figures {
    /// The median time of a scrape.
    pub(crate) fn median(&self) -> Duration {
        quantile(&self.times, 50)
    }

    /// The processor time of its process for one scrape, in the mean: the clock of processes counts hundredths of a second.
    pub(crate) fn mean_own_cpu(&self) -> Duration {
        let scrapes = u32::try_from(self.own_cpu.len()).unwrap_or(u32::MAX);
        self.own_cpu
            .iter()
            .sum::<Duration>()
            .checked_div(scrapes)
            .unwrap_or_default()
    }

    /// The processor time of its process and of Redis for one scrape.
    pub(crate) fn all_cpu(&self) -> Duration {
        self.mean_own_cpu() + quantile(&self.cpu, 50)
    }

    /// How much slower it is than another, in the median of the ratios of each turn.
    pub(crate) fn ratio_to(&self, other: &Self) -> f64 {
        let pairs = self.times.iter().zip(&other.times);
        let mut ratios: Vec<f64> = pairs
            .map(|(own, other)| own.as_secs_f64() / other.as_secs_f64())
            .collect();
        ratios.sort_by(f64::total_cmp);
        ratios.get(ratios.len() / 2).copied().unwrap_or(f64::NAN)
    }
}

/// The value below which so many of a hundred lie; zero if there is none.
pub(crate) fn quantile<T: Copy + Ord + Default>(values: &[T], percent: usize) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_unstable();
    let place = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}

/// Lets each scrape in turn, `rounds` times, and returns what was measured of each.
///
/// # Errors
/// When one of them fails.
pub(crate) fn take_turns(
    what: &str,
    entries: &mut [Entry<'_>],
    rounds: usize,
    progress: &Progress,
) -> Result<Vec<Figures>> {
    progress.step(&format!("{what}: {rounds} turns of {}", entries.len()))?;
    let mut all = vec![Figures::default(); entries.len()];
    for round in 0..WARM_UP + rounds {
        for (entry, figures) in entries.iter_mut().zip(&mut all) {
            progress.say(&format!(
                "{what}: round {round} of {}, {}",
                WARM_UP + rounds,
                entry.name
            ))?;
            let mut thrown_away = Figures::default();
            let into = if round < WARM_UP {
                &mut thrown_away
            } else {
                figures
            };
            scrape_once(entry, into).with_context(|| format!("{what}: {}", entry.name))?;
        }
    }
    for (entry, figures) in entries.iter().zip(&mut all) {
        figures.memory = entry.contestant.memory();
        figures.pings = with_omitted(&figures.pings);
    }
    Ok(all)
}

fn scrape_once(entry: &mut Entry<'_>, figures: &mut Figures) -> Result<()> {
    let mut client = connect(entry.redis)?;
    let pinger = Pinger::start(entry.redis)?;
    let process = entry.contestant.process().unwrap_or(std::process::id());
    let before = Work::of(&mut client)?;
    let own_before = processor_time(process)?;
    let began = Instant::now();
    figures.bytes = entry.contestant.scrape()?;
    figures.times.push(began.elapsed());
    let own_after = processor_time(process)?;
    figures.own_cpu.push(own_after.saturating_sub(own_before));
    let after = Work::of(&mut client)?;
    let pings = pinger.stop()?;
    figures.cpu.push(after.cpu.saturating_sub(before.cpu));
    let sent = after.commands - before.commands;
    figures
        .commands
        .push(sent.saturating_sub(Work::OWN_COMMANDS));
    figures.pings.extend(pings);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_value_that_was_measured() {
        assert_eq!(quantile(&[5, 1, 3], 50), 3);
        assert_eq!(quantile(&[5, 1, 3], 99), 5);
        assert_eq!(quantile(&[7], 99), 7);
        assert_eq!(quantile::<u64>(&[], 50), 0);
    }
}

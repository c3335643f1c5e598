//! What a process uses, as Linux tells it.

use std::fs::read_to_string;
use std::time::Duration;

use anyhow::{Context as _, Result};

/// What a process has in memory, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Memory {
    /// Now.
    pub(crate) resident: u64,
    /// The most that it ever had.
    pub(crate) peak: u64,
}

impl Memory {
    /// Of the process with this id.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn of(process: u32) -> Result<Self> {
        let status = read_to_string(format!("/proc/{process}/status"))?;
        let field = |name: &str| -> Result<u64> {
            let kilobytes = status
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_suffix("kB"));
            Ok(kilobytes.context("a size in kB")?.trim().parse::<u64>()? * 1024)
        };
        Ok(Self {
            resident: field("VmRSS:")?,
            peak: field("VmHWM:")?,
        })
    }
}

/// One hundredth of a second: the unit of processor times in `/proc`, the same on every architecture that Linux knows.
const TICK: Duration = Duration::from_millis(10);

/// The processor time that a process has used so far, in user and system mode.
///
/// # Errors
/// When there is none with this id.
pub(crate) fn processor_time(process: u32) -> Result<Duration> {
    let stat = read_to_string(format!("/proc/{process}/stat"))?;
    // Behind the name, which may hold anything.
    let (_, fields) = stat.rsplit_once(')').context("a name in parentheses")?;
    // Fields 14 and 15 of all, of which two stand before.
    let ticks = fields.split_whitespace().skip(11).take(2);
    let ticks = ticks.map(str::parse::<u32>).sum::<Result<u32, _>>()?;
    Ok(TICK * ticks)
}

//! A plain client beside those that are measured, and what Redis says of its own work.

use std::time::Duration;

use acceptance::Redis;
use anyhow::{Context as _, Result};
use redis::{Client, Connection};

/// A connection of our own.
///
/// # Errors
/// When Redis does not answer.
pub(crate) fn connect(redis: &Redis) -> Result<Connection> {
    Ok(Client::open(redis.url())?.get_connection()?)
}

/// What a Redis has done since it started.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Work {
    /// Processor time, in user and system mode.
    pub(crate) cpu: Duration,
    /// Commands executed, those inside transactions and scripts included, but no PING: those are of the client that waits beside.
    pub(crate) commands: u64,
}

impl Work {
    /// Asks for it; the two questions are commands themselves.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub(crate) fn of(client: &mut Connection) -> Result<Self> {
        let cpu: String = redis::cmd("INFO").arg("cpu").query(client)?;
        let stats: String = redis::cmd("INFO").arg("commandstats").query(client)?;
        let seconds = |name| field(&cpu, name)?.parse::<f64>().context("seconds");
        Ok(Self {
            cpu: Duration::from_secs_f64(seconds("used_cpu_user")? + seconds("used_cpu_sys")?),
            commands: calls(&stats),
        })
    }

    /// How many commands [`Self::of`] sends that it counts the next time.
    pub(crate) const OWN_COMMANDS: u64 = 2;
}

fn calls(stats: &str) -> u64 {
    let calls = |line: &str| {
        let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
        let (calls, _) = figures.split_once(',')?;
        (name != "ping").then(|| calls.parse::<u64>().ok())?
    };
    stats.lines().filter_map(calls).sum()
}

fn field<'a>(info: &'a str, name: &str) -> Result<&'a str> {
    info.lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
        .map(str::trim)
        .with_context(|| format!("INFO tells {name}"))
}

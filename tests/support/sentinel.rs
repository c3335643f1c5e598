//! A private Redis Sentinel.

use std::fs;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::process::{Process, free_port, wait_until};
use crate::redis::Redis;

const LIMIT: Duration = Duration::from_secs(30);

/// A Sentinel that watches one primary as `shop`, and fails over after a second.
#[derive(Debug)]
pub struct Sentinel {
    port: u16,
    _process: Process,
}

impl Sentinel {
    /// Starts one for this primary.
    ///
    /// # Errors
    /// When redis-server is not installed.
    pub fn of(primary: &Redis) -> Result<Self> {
        let port = free_port()?;
        let folder = tempfile::tempdir()?;
        fs::write(
            folder.path().join("sentinel.conf"),
            format!(
                "port {port}\nbind 127.0.0.1\nsentinel monitor shop 127.0.0.1 {} 1\nsentinel down-after-milliseconds shop 1000\nsentinel failover-timeout shop 3000\n",
                primary.port()
            ),
        )?;
        let mut command = Redis::program();
        command.args(["sentinel.conf", "--sentinel"]);
        Ok(Self {
            port,
            _process: Process::start("redis-sentinel", folder, &mut command)?,
        })
    }

    /// Its TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Asks it something about `shop`, and returns what redis-cli prints.
    ///
    /// # Errors
    /// When redis-cli is not installed.
    pub fn ask(&self, question: &str) -> Result<String> {
        let output = Command::new("redis-cli")
            .args(["-p", &self.port.to_string(), "SENTINEL", question, "shop"])
            .output()
            .context("redis-cli could not be started; `make tools` installs what is missing")?;
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        ensure!(!told.contains("Unrecognized"), "{told}");
        Ok(told)
    }

    /// The port of the primary, as it knows it.
    ///
    /// # Errors
    /// When it does not tell.
    pub fn primary_port(&self) -> Result<u16> {
        let told = self.ask("GET-MASTER-ADDR-BY-NAME")?;
        let port = told.lines().nth(1).context("an address is two lines")?;
        Ok(port.trim().parse()?)
    }

    /// Waits until it knows this server as a replica whose link to the primary is up.
    ///
    /// # Errors
    /// When that does not come.
    pub fn wait_until_linked(&self, replica: &Redis) -> Result<()> {
        wait_until("the Sentinel knows the replica", LIMIT, || {
            let told = self.ask("REPLICAS")?;
            let linked = told.contains(&replica.port().to_string())
                && told.contains("\nok\n")
                && !told.contains("disconnected")
                && !told.contains("s_down");
            Ok(linked.then_some(()))
        })
    }
}

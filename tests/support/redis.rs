//! A private redis-server.

use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use crate::process::{Process, free_port, wait_until};

const START_LIMIT: Duration = Duration::from_secs(20);
const START_ATTEMPTS: usize = 3;

/// A redis-server on a free port of the loopback address, without persistence.
#[derive(Debug)]
pub struct Redis {
    port: u16,
    arguments: Vec<String>,
    process: Process,
}

impl Redis {
    /// The server that is tested with: redis-server, or what `REDIS_SERVER` names instead, such as Valkey or another version.
    #[expect(clippy::disallowed_methods, reason = "which server is tested with")]
    pub fn program() -> Command {
        let named = std::env::var("REDIS_SERVER").ok();
        Command::new(named.as_deref().unwrap_or("redis-server"))
    }

    /// Starts one with Redis' default settings.
    ///
    /// # Errors
    /// When redis-server is not installed or does not come up.
    pub fn start() -> Result<Self> {
        Self::start_with(&[])
    }

    /// Starts one with further redis-server arguments.
    ///
    /// # Errors
    /// When redis-server is not installed or does not come up.
    pub fn start_with(arguments: &[&str]) -> Result<Self> {
        let mut attempt = 1;
        loop {
            // Another process may take the port between the moment it was free and the moment Redis binds it.
            match Self::start_at(free_port()?, arguments) {
                Err(_) if attempt < START_ATTEMPTS => attempt += 1,
                outcome => return outcome,
            }
        }
    }

    /// Starts one at a given port.
    ///
    /// # Errors
    /// When redis-server is not installed or does not come up.
    pub fn start_at(port: u16, arguments: &[&str]) -> Result<Self> {
        let arguments: Vec<String> = arguments
            .iter()
            .map(|&argument| argument.to_owned())
            .collect();
        let process = Self::spawn(port, &arguments)?;
        let mut redis = Self {
            port,
            arguments,
            process,
        };
        redis.wait_until_up()?;
        Ok(redis)
    }

    fn spawn(port: u16, arguments: &[String]) -> Result<Process> {
        let folder = tempfile::Builder::new().prefix("redis-").tempdir()?;
        let mut command = Self::program();
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .args(arguments);
        Process::start("redis-server", folder, &mut command)
    }

    fn wait_until_up(&mut self) -> Result<()> {
        let port = self.port;
        wait_until("redis-server answers", START_LIMIT, || {
            self.process.check_alive()?;
            let output = redis_cli(port).arg("PING").output()?;
            // With a password or an ACL, a refusal is an answer too.
            let answer = String::from_utf8_lossy(&output.stdout).into_owned();
            Ok((answer.contains("PONG") || answer.contains("NOAUTH")).then_some(()))
        })
    }

    /// Its TCP port.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its address as a URL, without credentials.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The process itself.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Runs one command by redis-cli and returns what it prints, one line a reply element.
    ///
    /// # Errors
    /// When redis-cli cannot be started or Redis answers with an error.
    pub fn run(&self, command: &[&str]) -> Result<String> {
        let output = redis_cli(self.port)
            .args(["-e", "--raw"])
            .args(command)
            .output()
            .context("redis-cli could not be started; `make tools` installs what is missing")?;
        let text = String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned();
        ensure!(
            output.status.success(),
            "{command:?}: {text}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(text)
    }

    /// Redis' own clock, in milliseconds since 1970.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn time_millis(&self) -> Result<u64> {
        let reply = self.run(&["TIME"])?;
        let (seconds, micros) = reply.split_once('\n').context("TIME answers two lines")?;
        Ok(seconds.parse::<u64>()? * 1000 + micros.parse::<u64>()? / 1000)
    }

    /// How often each command has been called since the start, from `INFO commandstats`.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub fn command_calls(&self) -> Result<Vec<(String, u64)>> {
        let info = self.run(&["INFO", "commandstats"])?;
        let calls = info.lines().filter_map(|line| {
            let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(":calls=")?;
            let (calls, _) = figures.split_once(',')?;
            Some((name.to_owned(), calls.parse().ok()?))
        });
        Ok(calls.collect())
    }

    /// Kills it at once.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        self.process.kill()
    }

    /// Starts it again at the same port with the same arguments, empty.
    ///
    /// # Errors
    /// When it does not come up.
    pub fn start_again(&mut self) -> Result<()> {
        self.process.kill()?;
        self.process = Self::spawn(self.port, &self.arguments)?;
        self.wait_until_up()
    }

    /// Stops it in its tracks: connections stay open and nothing is answered.
    ///
    /// # Errors
    /// When it is gone.
    pub fn hang(&self) -> Result<()> {
        self.process.signal("STOP")
    }

    /// Lets it go on after [`Self::hang`].
    ///
    /// # Errors
    /// When it is gone.
    pub fn go_on(&self) -> Result<()> {
        self.process.signal("CONT")
    }
}

fn redis_cli(port: u16) -> Command {
    let mut command = Command::new("redis-cli");
    command.args(["-p", &port.to_string()]);
    command
}

//! The real BullMQ, in a Node process that runs the code it is given.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::binary::repository;
use crate::redis::Redis;

/// A release line of BullMQ; the exact release is pinned in `tests/bullmq/package.json`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// BullMQ 5.
    V5,
    /// BullMQ 6.
    V6,
}

impl Version {
    /// Both release lines.
    pub const ALL: [Self; 2] = [Self::V5, Self::V6];

    fn package(self) -> &'static str {
        match self {
            Self::V5 => "bullmq5",
            Self::V6 => "bullmq6",
        }
    }
}

/// A Node process with one version of BullMQ, connected to one Redis.
///
/// Dropping it kills the process, and with it every worker that it runs.
#[derive(Debug)]
pub struct BullMq {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl BullMq {
    /// Starts a Node process.
    ///
    /// # Errors
    /// When Node or BullMQ is not installed.
    pub fn start(version: Version, redis: &Redis) -> Result<Self> {
        let mut child = Command::new("node")
            .arg("driver.mjs")
            .args([version.package(), &redis.port().to_string()])
            .current_dir(repository().join("tests/bullmq"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("node could not be started; `make tools` installs what is missing")?;
        let requests = child.stdin.take().context("node has no standard input")?;
        let answers = BufReader::new(child.stdout.take().context("node has no standard output")?);
        Ok(Self {
            child,
            requests,
            answers,
        })
    }

    /// Runs the body of an asynchronous JavaScript function and returns what it returns.
    ///
    /// In its scope are `queue(name, options)` (one `Queue` object a name), `worker(name, processor, options)`, everything
    /// that the bullmq package exports as `bullmq`, `connection`, and `sleep(milliseconds)`.
    ///
    /// # Errors
    /// When the code throws, or Node ends.
    pub fn run(&mut self, code: &str) -> Result<Value> {
        writeln!(self.requests, "{}", json!({ "code": code })).context("node has ended")?;
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .context("node has ended")?;
        if line.is_empty() {
            bail!("node has ended; is tests/bullmq/node_modules installed? `make tools` does it");
        }
        let answer: Value =
            serde_json::from_str(&line).with_context(|| format!("node printed {line:?}"))?;
        if let Some(error) = answer.get("error").and_then(Value::as_str) {
            bail!("{error}\nin the code:\n{code}");
        }
        Ok(answer.get("value").cloned().unwrap_or(Value::Null))
    }

    /// Kills the process at once: its workers die without a word, as when a node of a cluster is lost.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        // The only failure is that it has ended by itself.
        let _ = self.child.kill();
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for BullMq {
    fn drop(&mut self) {
        // One that has ended needs nothing.
        let _ = self.kill();
    }
}

//! A program beside the tests that runs the code it is given: `driver.mjs` or `driver.py`, one JSON object a line each way.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::process::wait_until;

/// The program, running.
#[derive(Debug)]
pub(crate) struct Driver {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Driver {
    /// Starts it.
    ///
    /// # Errors
    /// When it is not installed.
    pub(crate) fn start(program: &mut Command) -> Result<Self> {
        let mut child = program
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| {
                let name = program.get_program().display();
                format!("{name} could not be started; `make tools` installs what is missing")
            })?;
        let answers = BufReader::new(child.stdout.take().context("it has no standard output")?);
        Ok(Self {
            requests: child.stdin.take(),
            child,
            answers,
        })
    }

    /// Runs the body of an asynchronous function and returns what it returns.
    ///
    /// # Errors
    /// When the code throws, or the program ends.
    pub(crate) fn run(&mut self, code: &str) -> Result<Value> {
        let requests = self.requests.as_mut().context("it has ended")?;
        writeln!(requests, "{}", json!({ "code": code })).context("the driver has ended")?;
        let mut line = String::new();
        self.answers
            .read_line(&mut line)
            .context("the driver has ended")?;
        if line.is_empty() {
            bail!("the driver has ended; is all that it needs installed? `make tools` does it");
        }
        let answer: Value =
            serde_json::from_str(&line).with_context(|| format!("the driver printed {line:?}"))?;
        if let Some(error) = answer.get("error").and_then(Value::as_str) {
            bail!("{error}\nin the code:\n{code}");
        }
        Ok(answer.get("value").cloned().unwrap_or(Value::Null))
    }

    /// Kills it at once.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub(crate) fn kill(&mut self) -> Result<()> {
        // The only failure is that it has ended by itself.
        let _ = self.child.kill();
        self.child.wait()?;
        Ok(())
    }

    /// Lets it end by itself, which it does when there is no more code to come, and kills it if it does not in this time.
    pub(crate) fn end(&mut self, limit: Duration) {
        drop(self.requests.take());
        let ended = wait_until("the driver ends", limit, || Ok(self.child.try_wait()?));
        if ended.is_err() {
            // One that has ended needs nothing.
            let _ = self.kill();
        }
    }
}

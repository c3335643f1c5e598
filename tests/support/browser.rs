//! A real browser: headless Chromium in a Node process that runs the code it is given.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use crate::binary::repository;
use crate::process::wait_until;

/// How long the browser may take to end.
const END_LIMIT: Duration = Duration::from_secs(5);

/// The names under which distributions have Chromium, and Google has its own.
const CHROMIUM: [&str; 4] = [
    "chromium",
    "chromium-browser",
    "google-chrome",
    "google-chrome-stable",
];

/// The first of them that is there.
fn chromium() -> Result<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    let named = CHROMIUM.iter().flat_map(|name| {
        let in_folder = move |folder: &PathBuf| folder.join(name);
        folders.iter().map(in_folder)
    });
    let mut found = named.filter(|program| program.is_file());
    found.next().with_context(|| {
        format!("none of {CHROMIUM:?} is installed; `make tools` installs Chromium")
    })
}

/// A process with one browser. Dropping it ends both.
#[derive(Debug)]
pub struct Browser {
    child: Child,
    requests: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Browser {
    /// Starts it.
    ///
    /// # Errors
    /// When Node or Chromium is not installed.
    pub fn start() -> Result<Self> {
        let mut child = Command::new("node")
            .arg("driver.mjs")
            .arg(chromium()?)
            .current_dir(repository().join("tests/browser"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("node could not be started; `make tools` installs what is missing")?;
        let answers = BufReader::new(child.stdout.take().context("it has no standard output")?);
        Ok(Self {
            requests: child.stdin.take(),
            child,
            answers,
        })
    }

    /// Runs the body of an asynchronous JavaScript function with `open(url, options)`, `findings(page)`, `browser`, `sleep(milliseconds)` and
    /// `kept` (an object for the next run) in its scope, and returns what it returns.
    ///
    /// # Errors
    /// When the code throws, or the browser is gone.
    pub fn run(&mut self, code: &str) -> Result<Value> {
        let requests = self.requests.as_mut().context("it has ended")?;
        writeln!(requests, "{}", json!({ "code": code })).context("the browser has ended")?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        if line.is_empty() {
            bail!("the browser has ended; is chromium installed? `make tools` does it");
        }
        let answer: Value =
            serde_json::from_str(&line).with_context(|| format!("the driver printed {line:?}"))?;
        if let Some(error) = answer.get("error").and_then(Value::as_str) {
            bail!("{error}\nin the code:\n{code}");
        }
        Ok(answer.get("value").cloned().unwrap_or(Value::Null))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It closes the browser when its standard input ends; killed, it would leave the browser's files behind.
        drop(self.requests.take());
        let ended = wait_until("the browser ends", END_LIMIT, || {
            Ok(self.child.try_wait()?)
        });
        if ended.is_err() {
            // The only failure is that it has ended by itself.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}

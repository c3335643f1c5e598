//! A real browser: headless Chromium in a Node process that runs the code it is given.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::binary::repository;
use crate::driver::Driver;

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
pub struct Browser(Driver);

impl Browser {
    /// Starts it.
    ///
    /// # Errors
    /// When Node or Chromium is not installed.
    pub fn start() -> Result<Self> {
        let mut node = Command::new("node");
        node.arg("driver.mjs")
            .arg(chromium()?)
            .current_dir(repository().join("tests/browser"));
        Ok(Self(Driver::start(&mut node)?))
    }

    /// Runs the body of an asynchronous JavaScript function with `open(url, options)`, `findings(page)`, `browser`, `sleep(milliseconds)` and
    /// `kept` (an object for the next run) in its scope, and returns what it returns.
    ///
    /// # Errors
    /// When the code throws, or the browser is gone.
    pub fn run(&mut self, code: &str) -> Result<Value> {
        self.0.run(code)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // It closes the browser first; killed, it would leave the browser's files behind.
        self.0.end(END_LIMIT);
    }
}

//! A child process that ends with its value.

use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use tempfile::TempDir;

/// How often a condition is looked at again.
const POLL: Duration = Duration::from_millis(20);

/// Returns a TCP port of the loopback address that was free a moment ago.
///
/// # Errors
/// When the system has none to give.
pub fn free_port() -> Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port")?;
    Ok(listener.local_addr()?.port())
}

/// Waits until `condition` gives a value, and returns it.
///
/// # Errors
/// When `condition` fails, or gives nothing within `limit`; `what` says in the message what was waited for.
pub fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(value) = condition().with_context(|| format!("while waiting until {what}"))? {
            return Ok(value);
        }
        ensure!(
            started.elapsed() < limit,
            "waited {limit:?} in vain until {what}"
        );
        sleep(POLL);
    }
}

/// Where the logs of ended processes go; unset, they are removed.
static KEPT_LOGS: OnceLock<PathBuf> = OnceLock::new();

/// From now on, keeps the log of every [`Process`] that ends, as `NAME-PID.log` in an existing folder.
///
/// The first call counts. It is for a program that tells its user where to look after a failure; a test has the log in the
/// message of its failure.
pub fn keep_logs_in(folder: &Path) {
    // A second folder is refused by design: a process may have ended before.
    let _ = KEPT_LOGS.set(folder.to_owned());
}

/// A program that was started here, with a folder for its files and its log.
///
/// Dropping it kills the program and removes the folder.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    folder: TempDir,
}

impl Process {
    /// Starts `command` with its output going to a log in `folder`, which becomes its working folder.
    ///
    /// # Errors
    /// When the program is not installed or cannot be started.
    pub fn start(name: &str, folder: TempDir, command: &mut Command) -> Result<Self> {
        let log = File::create(folder.path().join("log"))?;
        let child = command
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| {
                let program = command.get_program().to_string_lossy().into_owned();
                format!("{program} could not be started; `make tools` installs what is missing")
            })?;
        Ok(Self {
            name: name.to_owned(),
            child,
            folder,
        })
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The file that holds what it printed.
    pub fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// What it has printed so far.
    pub fn log(&self) -> String {
        let mut bytes = Vec::new();
        if let Ok(mut file) = File::open(self.log_path()) {
            // A log that cannot be read is shown as far as it could be.
            let _ = file.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Sends it a signal by name, such as `TERM`, `STOP` or `CONT`.
    ///
    /// # Errors
    /// When the process is gone.
    pub fn signal(&self, signal: &str) -> Result<()> {
        let status = Command::new("kill")
            .args(["-s", signal, &self.child.id().to_string()])
            .stderr(Stdio::null())
            .status()
            .context("kill could not be started")?;
        ensure!(
            status.success(),
            "{} is gone; its log:\n{}",
            self.name,
            self.log()
        );
        Ok(())
    }

    /// Kills it at once, as the kernel does when memory runs out.
    ///
    /// # Errors
    /// When it cannot be waited for.
    pub fn kill(&mut self) -> Result<()> {
        // The only failure is that it has ended by itself.
        let _ = self.child.kill();
        self.child.wait()?;
        Ok(())
    }

    /// Waits until it ends by itself.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let what = format!("{} ends", self.name);
        wait_until(&what, limit, || Ok(self.child.try_wait()?))
    }

    /// How it ended, or nothing while it runs.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub fn status(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Fails, with the log, if it has ended.
    ///
    /// # Errors
    /// When it has ended.
    pub fn check_alive(&mut self) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            bail!(
                "{} ended with {status}; its log:\n{}",
                self.name,
                self.log()
            );
        }
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A process that was stopped by a signal is killed all the same; one that has ended needs nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
        if let Some(kept) = KEPT_LOGS.get() {
            let name = format!("{}-{}.log", self.name, self.child.id());
            // A log that cannot be kept must not stop the others from ending.
            let _ = std::fs::copy(self.log_path(), kept.join(name));
        }
    }
}

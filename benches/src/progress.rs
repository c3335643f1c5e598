//! What is going on, on standard error, and whether a signal asks to end.

use std::io::{self, IsTerminal as _, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Says what is going on; fails once a signal has come, so that everything that was started is ended in order.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    ends: Arc<AtomicBool>,
    on_terminal: bool,
}

impl Progress {
    /// From now on, a signal is remembered instead of ending the process.
    ///
    /// # Errors
    /// When signals cannot be heard.
    pub(crate) fn listen() -> Result<Self> {
        let ends = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&ends))?;
        }
        Ok(Self {
            ends,
            on_terminal: io::stderr().is_terminal(),
        })
    }

    /// Whether a signal has come. Whatever fails then fails for that: it interrupts system calls, and a terminal sends it to the servers too.
    pub(crate) fn is_interrupted(&self) -> bool {
        self.ends.load(Ordering::Relaxed)
    }

    /// Says what is done now: on a terminal in the place of what was said before.
    ///
    /// # Errors
    /// When a signal has come.
    pub(crate) fn say(&self, what: &str) -> Result<()> {
        if self.is_interrupted() {
            bail!("interrupted");
        }
        if self.on_terminal {
            // There is nobody to tell when the terminal is gone.
            let _ = write!(io::stderr(), "\r\x1b[K{what}");
        }
        Ok(())
    }

    /// Says what stays.
    ///
    /// # Errors
    /// When a signal has come.
    pub(crate) fn step(&self, what: &str) -> Result<()> {
        self.say("")?;
        let _ = writeln!(io::stderr(), "{what}");
        Ok(())
    }
}

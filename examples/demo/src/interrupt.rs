//! Ctrl-C and its like, noticed between two steps, so that everything that was started is ended in order.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

/// Remembers the signal that asks the demo to end.
#[derive(Clone, Debug)]
pub(crate) struct Interrupt {
    /// 0 until a signal has come.
    signal: Arc<AtomicUsize>,
}

/// A signal has come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupted {
    signal: usize,
}

impl Interrupt {
    /// From now on, a signal is remembered instead of ending the process.
    pub(crate) fn listen() -> io::Result<Self> {
        let signal = Arc::new(AtomicUsize::new(0));
        for (number, value) in [(SIGINT, 2), (SIGTERM, 15), (SIGHUP, 1)] {
            signal_hook::flag::register_usize(number, Arc::clone(&signal), value)?;
        }
        Ok(Self { signal })
    }

    /// The signal that has come, if any.
    pub(crate) fn received(&self) -> Option<Interrupted> {
        match self.signal.load(Ordering::Relaxed) {
            0 => None,
            signal => Some(Interrupted { signal }),
        }
    }

    /// Fails once a signal has come.
    pub(crate) fn check(&self) -> Result<(), Interrupted> {
        self.received().map_or(Ok(()), Err)
    }
}

impl Interrupted {
    /// The exit code by which a shell knows it.
    pub(crate) fn exit_code(self) -> u8 {
        u8::try_from(128 + self.signal).unwrap_or(u8::MAX)
    }
}

impl fmt::Display for Interrupted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "interrupted by signal {}", self.signal)
    }
}

impl std::error::Error for Interrupted {}

//! A word of comfort for whoever waits.

use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// After so long without a word people wonder whether anything happens.
pub(super) const PATIENCE: Duration = Duration::from_secs(2);

/// Runs `work`, and `impatient` once if it takes longer than [`PATIENCE`].
pub(super) fn patiently<T: Send>(work: impl FnOnce() -> T + Send, impatient: impl FnOnce()) -> T {
    thread::scope(|scope| {
        let (done, wait) = mpsc::channel::<()>();
        let worker = scope.spawn(move || {
            let result = work();
            drop(done);
            result
        });
        if let Err(RecvTimeoutError::Timeout) = wait.recv_timeout(PATIENCE) {
            impatient();
        }
        match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

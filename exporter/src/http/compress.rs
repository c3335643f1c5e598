//! Compression in gzip, at the fastest level: higher ones take several times as long and save a tenth of the bytes of an exposition.
//!
//! A piece of a page takes milliseconds, for which nobody else should wait, so a thread does nothing else. It is one for all pages: an allocator
//! keeps a heap for each thread, and with a thread a piece the exporter grew by what a dozen of them held.

use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{LazyLock, mpsc};
use std::thread;

use bytes::buf::Writer;
use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::sync::oneshot;

use super::piece::{PIECE, piece};
use crate::exposition::Page;

/// Below this many bytes compressing costs more than it saves.
const LEAST_COMPRESSED: usize = 1024;

/// Whether a body of this size is worth compressing.
pub(super) const fn worth_compressing(bytes: usize) -> bool {
    bytes >= LEAST_COMPRESSED
}

/// The text in gzip.
///
/// # Errors
/// Never: it writes to memory.
pub(super) fn gzip(text: &[u8]) -> io::Result<Vec<u8>> {
    // An exposition shrinks to about a twentieth.
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 16), Compression::fast());
    encoder.write_all(text)?;
    encoder.finish()
}

/// A page, written and compressed as far as it has been sent.
#[derive(Debug)]
pub(super) struct Compressing {
    page: Page,
    /// What is compressed next.
    text: BytesMut,
    encoder: GzEncoder<Writer<BytesMut>>,
}

/// The next piece, and the page if there is more of it.
pub(super) type Compressed = (Bytes, Option<Box<Compressing>>);

impl Compressing {
    /// The rest of a page, behind the text that has been written already.
    pub(super) fn new(page: Page, first: BytesMut) -> Box<Self> {
        Box::new(Self {
            page,
            text: first,
            encoder: GzEncoder::new(piece().writer(), Compression::fast()),
        })
    }

    /// Has the next piece made. Nothing comes if it cannot be.
    pub(super) fn next_piece(self: Box<Self>) -> oneshot::Receiver<io::Result<Compressed>> {
        let (done, receiver) = oneshot::channel();
        // Without a thread the sender is dropped, and the receiver is told.
        let _ = THREAD.send(Work {
            compressing: self,
            done,
        });
        receiver
    }

    /// Goes on until another piece is full or the page is done.
    ///
    /// # Errors
    /// Never: it writes to memory.
    fn go_on(mut self: Box<Self>) -> io::Result<Compressed> {
        loop {
            self.encoder.write_all(&self.text)?;
            self.text.clear();
            let is_done = self.page.is_done();
            if is_done {
                self.encoder.try_finish()?;
            }
            if is_done || self.encoder.get_ref().get_ref().len() >= PIECE {
                let piece = self.encoder.get_mut().get_mut().split().freeze();
                return Ok((piece, (!is_done).then_some(self)));
            }
            self.page.fill(&mut self.text, PIECE);
        }
    }
}

struct Work {
    compressing: Box<Compressing>,
    done: oneshot::Sender<io::Result<Compressed>>,
}

static THREAD: LazyLock<mpsc::Sender<Work>> = LazyLock::new(|| {
    let (sender, work) = mpsc::channel::<Work>();
    let compress = move || {
        for Work { compressing, done } in work {
            // A page that brings it down must not take the others with it.
            if let Ok(compressed) = catch_unwind(AssertUnwindSafe(|| compressing.go_on())) {
                // A client that has left wants nothing more.
                let _ = done.send(compressed);
            }
        }
    };
    // Where no thread can be made, nothing receives, and compressed answers are cut off with an error.
    let _ = thread::Builder::new()
        .name("compress".into())
        .spawn(compress);
    sender
});

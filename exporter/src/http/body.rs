//! A response's body in pieces: a page of metrics is written as it is sent, and a client that reads slowly is given up.
//!
//! The connection itself gives up a client that takes nothing at all. One that takes a byte now and then is given up here, when the whole
//! body has taken too long.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::buf::Writer;
use bytes::{BufMut as _, Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use crate::exposition::Page;

/// The size of a piece. Small enough that what a slow client waits for is little memory and the time is looked at often, large enough not to
/// cost more system calls.
pub(super) const PIECE: usize = 64 * 1024;
/// How much memory a piece has: more than its size, as it ends with a whole sample. What one queue needs more than this for is made room for.
const PIECE_MEMORY: usize = PIECE + 8 * 1024;
/// How long a client may take to read a whole body. Prometheus gives up after its scrape timeout, at most a few minutes.
const LIMIT: Duration = Duration::from_mins(2);
/// Below this many bytes compressing costs more than it saves.
const LEAST_COMPRESSED: usize = 1024;

/// A body that is sent in pieces.
#[derive(Debug)]
pub(super) struct Pieces {
    source: Source,
    until: Instant,
}

#[derive(Debug)]
enum Source {
    /// Made whole.
    Whole(Bytes),
    /// Written piece by piece. The memory of a piece is used again when it has been sent.
    Page { page: Page, piece: BytesMut },
    /// Compressed piece by piece. `rested` tells whether others have had their turn since the last one.
    Compressed {
        compressing: Box<Compressing>,
        rested: bool,
    },
    /// Sent.
    Nothing,
}

/// A page, written and compressed as far as it has been sent.
///
/// By the thread that sends it: a piece takes a millisecond or two, and others have their turn between two of them. By threads for what takes long
/// the pieces went from one to the next of up to a dozen, and the allocator kept a heap for each.
#[derive(Debug)]
struct Compressing {
    page: Page,
    /// What is compressed next.
    text: BytesMut,
    encoder: GzEncoder<Writer<BytesMut>>,
}

impl Compressing {
    /// Goes on until another piece is full or the page is done.
    ///
    /// # Errors
    /// Never: it writes to memory.
    fn go_on(&mut self) -> io::Result<Bytes> {
        loop {
            self.encoder.write_all(&self.text)?;
            self.text.clear();
            if self.page.is_done() {
                self.encoder.try_finish()?;
                break;
            }
            if self.encoder.get_ref().get_ref().len() >= PIECE {
                break;
            }
            self.page.fill(&mut self.text, PIECE);
        }
        Ok(self.encoder.get_mut().get_mut().split().freeze())
    }
}

impl Pieces {
    fn new(source: Source) -> Self {
        Self {
            source,
            until: Instant::now() + LIMIT,
        }
    }

    /// The rest of a page, behind what stands in the first piece already.
    pub(super) fn of_page(page: Page, first: BytesMut) -> Self {
        Self::new(Source::Page { page, piece: first })
    }

    /// The same, compressed.
    pub(super) fn compressed(page: Page, first: BytesMut) -> Self {
        let compressing = Box::new(Compressing {
            page,
            text: first,
            encoder: GzEncoder::new(piece().writer(), Compression::fast()),
        });
        Self::new(Source::Compressed {
            compressing,
            rested: true,
        })
    }
}

/// Memory for a piece.
pub(super) fn piece() -> BytesMut {
    BytesMut::with_capacity(PIECE_MEMORY)
}

impl<T: Into<Bytes>> From<T> for Pieces {
    fn from(whole: T) -> Self {
        Self::new(Source::Whole(whole.into()))
    }
}

/// Why a body ends before it is whole.
#[derive(Debug, thiserror::Error)]
pub(super) enum CutOff {
    /// The client took too long.
    #[error("the client reads too slowly")]
    TooSlow,
    /// It could not be compressed.
    #[error("compressing failed: {0}")]
    Compressing(io::Error),
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = CutOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, CutOff>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        if Instant::now() > self.until {
            return Poll::Ready(Some(Err(CutOff::TooSlow)));
        }
        let piece = match &mut self.source {
            Source::Nothing => return Poll::Ready(None),
            Source::Whole(rest) => {
                let length = PIECE.min(rest.len());
                rest.split_to(length)
            }
            Source::Page { page, piece } => {
                // The first piece is full already.
                if piece.is_empty() {
                    piece.reserve(PIECE_MEMORY);
                    page.fill(piece, PIECE);
                }
                let full = piece.split().freeze();
                if page.is_done() {
                    self.source = Source::Nothing;
                }
                full
            }
            Source::Compressed { rested, .. } if !*rested => {
                *rested = true;
                context.waker().wake_by_ref();
                return Poll::Pending;
            }
            Source::Compressed {
                compressing,
                rested,
            } => {
                *rested = false;
                let outcome = compressing.go_on();
                if compressing.page.is_done() || outcome.is_err() {
                    self.source = Source::Nothing;
                }
                match outcome {
                    Ok(full) => full,
                    Err(error) => return Poll::Ready(Some(Err(CutOff::Compressing(error)))),
                }
            }
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(rest) => rest.is_empty(),
            Source::Page { .. } | Source::Compressed { .. } => false,
            Source::Nothing => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(rest) => SizeHint::with_exact(rest.len() as u64),
            Source::Page { .. } | Source::Compressed { .. } => SizeHint::default(),
            Source::Nothing => SizeHint::with_exact(0),
        }
    }
}

/// Whether a body of this size is worth compressing.
pub(super) const fn worth_compressing(bytes: usize) -> bool {
    bytes >= LEAST_COMPRESSED
}

/// The text in gzip, at the fastest level: higher ones take several times as long and save a tenth of the bytes of an exposition.
///
/// # Errors
/// Never: it writes to memory.
pub(super) fn gzip(text: &[u8]) -> io::Result<Vec<u8>> {
    // An exposition shrinks to about a twentieth.
    let mut encoder = GzEncoder::new(Vec::with_capacity(text.len() / 16), Compression::fast());
    encoder.write_all(text)?;
    encoder.finish()
}
#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition::Format;
    use crate::model::{QueueId, QueueReading, Snapshot};
    use flate2::read::GzDecoder;
    use futures_util::FutureExt as _;
    use http_body_util::BodyExt as _;
    use std::collections::HashSet;
    use std::io::Read as _;
    use std::sync::Arc;

    #[tokio::test]
    async fn a_body_comes_through_whole_whatever_its_size() {
        for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let whole = Bytes::from(vec![b'x'; size]);
            let body = Pieces::from(whole.clone());
            assert_eq!(body.size_hint().exact(), Some(size as u64));
            assert_eq!(body.collect().await.unwrap().to_bytes(), whole);
        }
    }

    /// A page of many queues.
    fn page() -> Page {
        page_of(1000)
    }

    fn page_of(queues: usize) -> Page {
        let read = |number| {
            let queue = QueueId {
                prefix: "bull".into(),
                name: format!("queue-{number}").into(),
            };
            (queue, QueueReading::Read(Arc::default()))
        };
        let snapshot = Snapshot {
            redis: "default".into(),
            up: true,
            duration: Duration::ZERO,
            discovery: None,
            horizons: Arc::new([]),
            facts: None,
            workers: Vec::new(),
            events: Vec::new(),
            queues: (0..queues).map(read).collect(),
        };
        Page::new(vec![Arc::new(snapshot)], Format::Text, String::new())
    }

    /// The first piece, as it is before a body is made of it, and the rest.
    fn begun() -> (Page, BytesMut) {
        let (mut page, mut first) = (page(), piece());
        page.fill(&mut first, PIECE);
        (page, first)
    }

    #[tokio::test]
    async fn a_page_comes_through_whole_in_pieces_compressed_or_not() {
        let mut whole = BytesMut::new();
        page().fill(&mut whole, usize::MAX);
        assert!(whole.len() > 10 * PIECE);

        let (rest, first) = begun();
        let plain = Pieces::of_page(rest, first);
        assert_eq!(plain.collect().await.unwrap().to_bytes(), whole);

        let (rest, first) = begun();
        let compressed = Pieces::compressed(rest, first);
        let compressed = compressed.collect().await.unwrap().to_bytes();
        let mut read = Vec::new();
        GzDecoder::new(&*compressed).read_to_end(&mut read).unwrap();
        assert!(read == whole);
    }

    #[tokio::test]
    async fn between_two_compressed_pieces_others_have_their_turn() {
        let mut body = Pieces::compressed(page_of(3000), piece());
        let mut came = Vec::new();
        while !body.is_end_stream() {
            came.push(body.frame().now_or_never().is_some());
        }
        let in_turns: Vec<bool> = (0..came.len()).map(|turn| turn % 2 == 0).collect();
        assert_eq!(came, in_turns);
        assert!(came.len() > 2, "more pieces than one");
    }

    #[tokio::test]
    async fn the_memory_of_a_piece_is_used_again() {
        let (rest, first) = begun();
        let mut body = Pieces::of_page(rest, first);
        let mut places = HashSet::new();
        let mut pieces = 0;
        while let Some(piece) = body.frame().await {
            let piece = piece.unwrap().into_data().unwrap();
            places.insert(piece.as_ptr());
            pieces += 1;
        }
        assert!(pieces > 10);
        assert_eq!(places.len(), 1, "{pieces} pieces");
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_too_long_is_given_up() {
        let mut body = Pieces::from(Bytes::from(vec![b'x'; 2 * PIECE]));
        assert!(body.frame().await.unwrap().is_ok());
        tokio::time::advance(LIMIT + Duration::from_secs(1)).await;
        assert!(body.frame().await.unwrap().is_err());
    }
}

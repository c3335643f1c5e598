//! A response's body in pieces: a page of metrics is written as it is sent, and a client that reads slowly is given up.
//!
//! The connection itself gives up a client that takes nothing at all. One that takes a byte now and then is given up here, when the whole
//! body has taken too long.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::compress::{Compressed, Compressing};
use super::piece::{PIECE, PIECE_MEMORY};
use crate::exposition::Page;

/// How long a client may take to read a whole body. Prometheus gives up after its scrape timeout, at most a few minutes.
const LIMIT: Duration = Duration::from_mins(2);
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
    /// Compressed piece by piece: the next of them.
    Compressed(oneshot::Receiver<io::Result<Compressed>>),
    /// Sent.
    Nothing,
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
        Self::new(Source::Compressed(
            Compressing::new(page, first).next_piece(),
        ))
    }
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
            Source::Compressed(next) => {
                let next = ready!(Pin::new(next).poll(context));
                let next = next.map_err(io::Error::other).flatten();
                let (full, more) = match next {
                    Ok(next) => next,
                    Err(error) => {
                        self.source = Source::Nothing;
                        return Poll::Ready(Some(Err(CutOff::Compressing(error))));
                    }
                };
                self.source = more.map_or(Source::Nothing, |compressing| {
                    Source::Compressed(compressing.next_piece())
                });
                full
            }
        };
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(rest) => rest.is_empty(),
            Source::Page { .. } | Source::Compressed(_) => false,
            Source::Nothing => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(rest) => SizeHint::with_exact(rest.len() as u64),
            Source::Page { .. } | Source::Compressed(_) => SizeHint::default(),
            Source::Nothing => SizeHint::with_exact(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::piece::piece;
    use super::*;
    use crate::exposition::Format;
    use crate::model::{QueueId, QueueReading, Snapshot};
    use flate2::read::GzDecoder;
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
            queues: (0..1000).map(read).collect(),
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

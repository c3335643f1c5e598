//! A response's body in pieces, so that a client that reads slowly is given up.
//!
//! The connection itself gives up a client that takes nothing at all. One that takes a byte now and then is given up here, when the whole
//! body has taken too long.

use std::convert::Infallible;
use std::fmt;
use std::io::{self, Write as _};
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// The size of a piece. Small enough that the time is looked at often, large enough not to cost more system calls.
const PIECE: usize = 256 * 1024;
/// How long a client may take to read a whole body. Prometheus gives up after its scrape timeout, at most a few minutes.
const LIMIT: Duration = Duration::from_mins(2);
/// Below this many bytes compressing costs more than it saves.
const LEAST_COMPRESSED: usize = 1024;

/// A body that has been made whole and is sent in pieces.
#[derive(Debug)]
pub(super) struct Pieces {
    rest: Bytes,
    until: Instant,
}

impl From<Bytes> for Pieces {
    fn from(rest: Bytes) -> Self {
        Self {
            rest,
            until: Instant::now() + LIMIT,
        }
    }
}

/// The client took too long.
#[derive(Debug)]
pub(super) struct TooSlow;

impl fmt::Display for TooSlow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client reads too slowly")
    }
}

impl std::error::Error for TooSlow {}

impl From<Infallible> for TooSlow {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = TooSlow;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, TooSlow>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        if Instant::now() > self.until {
            return Poll::Ready(Some(Err(TooSlow)));
        }
        let length = PIECE.min(self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.rest.len() as u64)
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
    use http_body_util::BodyExt as _;

    #[tokio::test]
    async fn a_body_comes_through_whole_whatever_its_size() {
        for size in [0, 1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE] {
            let whole = Bytes::from(vec![b'x'; size]);
            let body = Pieces::from(whole.clone());
            assert_eq!(body.size_hint().exact(), Some(size as u64));
            assert_eq!(body.collect().await.unwrap().to_bytes(), whole);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_takes_too_long_is_given_up() {
        let mut body = Pieces::from(Bytes::from(vec![b'x'; 2 * PIECE]));
        assert!(body.frame().await.unwrap().is_ok());
        tokio::time::advance(LIMIT + Duration::from_secs(1)).await;
        assert!(body.frame().await.unwrap().is_err());
    }
}

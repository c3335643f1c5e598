//! How much of a page is in memory at a time.

use bytes::BytesMut;

/// The size of a piece. Small enough that what a slow client waits for is little memory and the time is looked at often, large enough not to
/// cost more system calls.
pub(super) const PIECE: usize = 64 * 1024;

/// How much memory a piece has: more than its size, as it ends with a whole sample. What one queue needs more than this for is made room for.
pub(super) const PIECE_MEMORY: usize = PIECE + 8 * 1024;

/// Memory for a piece.
pub(super) fn piece() -> BytesMut {
    BytesMut::with_capacity(PIECE_MEMORY)
}

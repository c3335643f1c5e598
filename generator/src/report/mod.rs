//! How problems are told: to people in frames, to programs in their formats.

mod text;

pub use text::{MAX_SHOWN, text};

//! How problems are told: to people in frames, to programs in their formats.

mod github;
mod json;
mod place;
mod sarif;
mod text;

pub use github::github;
pub use json::json;
pub use sarif::sarif;
pub use text::{MAX_SHOWN, text};

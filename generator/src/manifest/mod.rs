//! Kubernetes objects, field by field in the order in which they are printed.
//!
//! They are plain structs of our own. Generated types of the API would bring thousands of fields that may be unset, and would print
//! what we do not own; a manifest for server-side apply names only what it owns.

mod scaled_object;

pub use scaled_object::ScaledObject;

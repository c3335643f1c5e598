//! Kubernetes objects, field by field in the order in which they are printed.
//!
//! They are plain structs of our own. Generated types of the API would bring thousands of fields that may be unset, and would print
//! what we do not own; a manifest for server-side apply names only what it owns.

mod scaled_object;

pub use scaled_object::ScaledObject;

use serde::Serialize;

use crate::plan::Plan;

/// One object of any kind that a worker may need.
#[derive(Clone, Debug, Serialize)]
#[serde(untagged)]
pub enum Manifest {
    /// What scales a worker.
    ScaledObject(ScaledObject),
}

impl Manifest {
    /// Every object of a plan, in the order in which they are printed.
    pub fn all_of(plan: &Plan<'_>) -> Vec<Self> {
        vec![Self::ScaledObject(ScaledObject::of(plan))]
    }

    /// The kind, as Kubernetes knows it.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::ScaledObject(_) => ScaledObject::KIND,
        }
    }

    /// The same object with no `{{` in its queries, for a place where a template engine may or may not read it. What the queries mean
    /// stays the same.
    #[must_use]
    pub fn without_braces(self) -> Self {
        match self {
            Self::ScaledObject(object) => Self::ScaledObject(object.without_braces()),
        }
    }
}

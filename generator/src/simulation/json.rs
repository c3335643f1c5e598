//! Simulations for programs.

use serde_json::{Value, json as object};

use super::Simulation;

/// All simulations as one document.
///
/// # Errors
///
/// None that is known: every number is finite.
pub fn json(simulations: &[Simulation]) -> Result<Value, serde_json::Error> {
    Ok(object!({ "simulations": serde_json::to_value(simulations)? }))
}

//! Turns a short spec of BullMQ workers into KEDA ScaledObjects that are right by construction.
//!
//! The pipeline is one function, [`generate`]: the inputs are read as trees with positions ([`document`]), walked as specs
//! ([`spec`]), checked as a whole ([`workload`]), decided on ([`plan`], which asks by [`query`]), made into objects ([`manifest`])
//! and printed ([`output`]). What is wrong on the way is gathered, never thrown: one run tells every [`problem`] ([`report`]), each by its
//! [`rule`].
//!
//! Beside it stand what comes before a spec ([`starter`], from metrics read by [`exposition`]) and what comes after ([`verify`], which asks
//! [`prometheus_api`] over [`http`]).

pub mod cli;
pub mod decimal;
pub mod document;
pub mod exposition;
pub mod http;
pub mod manifest;
pub mod output;
pub mod plan;
pub mod problem;
pub mod prometheus_api;
pub mod query;
pub mod report;
pub mod rule;
pub mod spec;
pub mod starter;
pub mod verify;
pub mod workload;

use document::Dialect;
use problem::{Problem, Source};

/// One input as it was read, not yet known to be text.
#[derive(Clone, Debug)]
pub struct Input {
    /// The name under which problems are told.
    pub name: String,
    /// The name in the first line of the output, which must not depend on where the command was run.
    pub short_name: String,
    /// The content.
    pub bytes: Vec<u8>,
}

/// Why there are no manifests.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The specs are wrong.
    #[error("the spec is not valid")]
    Invalid {
        /// What is wrong, in order.
        problems: Vec<Problem>,
        /// The inputs that the problems point into.
        sources: Vec<Source>,
    },
    /// The manifests could not be printed.
    #[error(transparent)]
    Output(#[from] output::Error),
}

/// Makes the manifests of all specs, as one YAML stream.
///
/// # Errors
///
/// [`Error::Invalid`] with every problem of every input, [`Error::Output`] if a manifest does not become YAML.
pub fn generate(inputs: Vec<Input>) -> Result<String, Error> {
    let names: Vec<String> = inputs
        .iter()
        .map(|input| input.short_name.clone())
        .collect();
    let workloads = workloads(inputs)?;
    let plans: Vec<_> = workloads.iter().map(plan::plan).collect();
    Ok(output::yaml(&plans, &names)?)
}

/// Reads the workers of all specs.
///
/// # Errors
///
/// [`Error::Invalid`] with every problem of every input, and of what would be made of them.
pub fn workloads(inputs: Vec<Input>) -> Result<Vec<workload::Workload>, Error> {
    let mut problems = Vec::new();
    let mut sources = Vec::new();
    let mut specs = Vec::new();
    for (index, input) in inputs.into_iter().enumerate() {
        let (text, problem) = document::decode(input.bytes, index);
        let documents = match problem {
            None => document::read(&text, index, Dialect::SPEC),
            Some(problem) => problem.into(),
        };
        let source = Source {
            name: input.name,
            text,
        };
        if document::is_empty(&documents) {
            problems.push(document::empty(&source, index));
        }
        problems.extend(documents.problems);
        specs.extend(
            documents
                .roots
                .iter()
                .filter_map(|root| spec::read(root, &mut problems)),
        );
        sources.push(source);
    }
    let workloads = workload::check(&specs, &mut problems);
    let too_long = |workload| plan::too_long(&plan::plan(workload));
    problems.extend(workloads.iter().filter_map(too_long));
    if problems.is_empty() {
        return Ok(workloads);
    }
    let problems = problem::in_order(problems);
    Err(Error::Invalid { problems, sources })
}

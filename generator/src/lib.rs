//! Turns a short spec of BullMQ workers into KEDA ScaledObjects that are right by construction.
//!
//! The pipeline is one function, [`generate`]: the inputs are read as trees with positions ([`document`]), walked as specs
//! ([`spec`]), checked as a whole ([`workload`]), decided on ([`plan`], which asks by [`query`]), made into objects ([`manifest`])
//! and printed ([`output`]). What is wrong on the way is gathered, never thrown: one run tells every [`problem`] ([`report`]), each by its
//! [`rule`].
//!
//! On request each worker gets its alerts too ([`alert`]).
//!
//! [`explain()`] says what the manifests will do, by a model of KEDA and the HPA ([`control_loop`]); [`simulation`] plays a load through it.
//!
//! [`lint`] is the other pipeline: it checks specs in the same way, and manifests, ours or anyone's.
//!
//! Beside it stand what comes before a spec ([`starter`], from metrics read by [`exposition`]) and what comes after ([`verify`], which asks
//! [`prometheus_api`] over [`http`]).

pub mod alert;
pub mod cli;
pub mod control_loop;
pub mod counted;
pub mod decimal;
pub mod document;
pub mod explain;
pub mod exposition;
pub mod http;
pub mod kinds;
pub mod lint;
pub mod manifest;
pub mod output;
pub mod page;
pub mod plan;
pub mod position;
pub mod problem;
pub mod prometheus_api;
pub mod query;
pub mod report;
pub mod rule;
pub mod simulation;
pub mod spec;
pub mod starter;
pub mod verify;
pub mod version;
pub mod workload;
pub mod written;

use document::{Dialect, Documents};
use explain::Explanation;
use output::{Generated, Lost, Origin, Passage, Worker};
use problem::{Problem, Rule, Source};
use spec::Spec;
use starter::{Starter, Wishes};
use workload::{Files, Workload};

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
    Ok(output::yaml(&compile(inputs, &Request::default())?)?)
}

/// What is asked for beside the manifests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// The alerts of each worker.
    pub alerts: Option<alert::Options>,
    /// That the manifests come through the values of a chart.
    pub passage: Option<Passage>,
}

/// Makes the manifests of all specs, to be printed in any form.
///
/// # Errors
///
/// [`Error::Invalid`] with every problem of every input.
pub fn compile(inputs: Vec<Input>, request: &Request) -> Result<Generated, Error> {
    let read = read(inputs)?;
    let plans = read.workloads.iter().map(plan::plan);
    let alerts = request.alerts.as_ref();
    let workers: Vec<Worker> = plans.map(|plan| Worker::of(&plan, alerts)).collect();
    if let Some(passage) = request.passage {
        let problems: Vec<Problem> = workers
            .iter()
            .zip(&read.workloads)
            .flat_map(|(worker, workload)| lost(worker, workload, passage, &read.documents))
            .collect();
        if !problems.is_empty() {
            let problems = problem::in_order(problems);
            return Err(Error::Invalid {
                problems,
                sources: read.sources,
            });
        }
    }
    Ok(Generated {
        workers,
        origins: read.origins,
    })
}

/// What a spec says for its queries only, which come through everything.
const IN_QUERIES: [&str; 2] = ["queues", "matchers"];

/// The problems of texts that would not come through the values of a chart, each where it was written.
fn lost(
    worker: &Worker,
    workload: &Workload,
    passage: Passage,
    documents: &[Documents],
) -> Vec<Problem> {
    let problem = |lost: Lost| {
        let roots = documents.iter().flat_map(|of| &of.roots);
        let mut written = roots.filter_map(|root| document::scalar(root, lost.text(), &IN_QUERIES));
        let at = written.next().map_or(workload.span, |node| node.span);
        match lost {
            Lost::Template(_) => Problem::new(
                Rule::HelmValuesTemplate,
                at,
                "a chart that renders its extra manifests would take this for a template",
                "two braces in a row",
                "say what your chart does with them: --values-through toYaml if it prints them as they are, --values-through tpl if it renders them",
            )
            .because("no text with `{{` comes unchanged through `toYaml` and through `tpl`"),
            Lost::Unprintable(_, character) => Problem::new(
                Rule::HelmValuesUnprintable,
                at,
                "Helm would lose this text on its way through the values of a chart",
                format!("it has U+{:04X}", u32::from(character)),
                "take the character out, or use --format helm, whose template writes it by its code",
            )
            .because("of a manifest with such a character `toYaml` makes nothing, and of U+0085 a blank"),
        }
    };
    worker.lost(passage).into_iter().map(problem).collect()
}

/// Explains what the manifests of all specs will do.
///
/// # Errors
///
/// [`Error::Invalid`] with every problem of every input.
pub fn explain(inputs: Vec<Input>) -> Result<Vec<Explanation>, Error> {
    let workloads = read(inputs)?.workloads;
    let plans = workloads.iter().map(plan::plan);
    Ok(plans.map(|plan| explain::explain(&plan)).collect())
}

/// The workers of all specs, each known to have manifests, and what they were made from. An input that a spec names as a template is
/// read as that, and not as a spec.
///
/// # Errors
///
/// [`Error::Invalid`] with every problem of every input.
pub fn workloads(inputs: Vec<Input>) -> Result<(Vec<Workload>, Vec<Origin>), Error> {
    let read = read(inputs)?;
    Ok((read.workloads, read.origins))
}

/// Specs that are right, and what they were read from.
struct Read {
    workloads: Vec<Workload>,
    origins: Vec<Origin>,
    sources: Vec<Source>,
    documents: Vec<Documents>,
}

fn read(inputs: Vec<Input>) -> Result<Read, Error> {
    let mut problems = Vec::new();
    let (mut sources, mut origins, mut documents) = (Vec::new(), Vec::new(), Vec::new());
    for (index, input) in inputs.into_iter().enumerate() {
        let (text, problem) = document::decode(input.bytes, index);
        origins.push(Origin::new(&input.short_name, &text));
        documents.push(match problem {
            None => document::read(&text, index, Dialect::SPEC),
            Some(problem) => problem.into(),
        });
        sources.push(Source {
            name: input.name,
            text,
        });
    }
    let names: Vec<String> = sources.iter().map(|source| source.name.clone()).collect();
    let files = Files {
        names: &names,
        documents: &documents,
    };
    let templates = files.templates();
    let mut specs = Vec::new();
    for (index, (of, source)) in documents.iter().zip(&sources).enumerate() {
        problems.extend(of.problems.iter().cloned());
        if templates.contains(&index) {
            continue;
        }
        if document::is_empty(of) {
            problems.push(document::empty(source, index));
        }
        let roots = of.roots.iter();
        specs.extend(roots.filter_map(|root| spec::read(root, &mut problems)));
    }
    let workloads = checked(&specs, &files, &mut problems);
    if problems.is_empty() {
        let plans = workloads.iter().map(plan::plan);
        problems.extend(plans.flat_map(|plan| lint::overrides(&plan)));
    }
    if problems.is_empty() {
        return Ok(Read {
            workloads,
            origins,
            sources,
            documents,
        });
    }
    let problems = problem::in_order(problems);
    Err(Error::Invalid { problems, sources })
}

/// The workers of all specs, with what is wrong with what they mean, plan and print.
fn checked(specs: &[Spec], files: &Files<'_>, problems: &mut Vec<Problem>) -> Vec<Workload> {
    let workloads = workload::check(specs, files, problems);
    for plan in workloads.iter().map(plan::plan) {
        problems.extend(plan::too_long(&plan));
        problems.extend(manifest::problems(&plan));
    }
    workloads
}

/// Makes a starter spec of ScaledObjects that count Redis lists.
///
/// # Errors
///
/// [`Error::Invalid`] with everything that cannot be read, or that stands in them and that no spec takes. The latter is shown in the spec that
/// would be made: Kubernetes does not check everything that it keeps.
pub fn start(inputs: Vec<Input>, wishes: &Wishes) -> Result<Starter, Error> {
    let starter = starter::from_scaled_objects(inputs, wishes)?;
    let name = "<the spec that would be made>";
    workloads(vec![Input {
        name: name.to_owned(),
        short_name: name.to_owned(),
        bytes: starter.text.clone().into_bytes(),
    }])?;
    Ok(starter)
}

/// The files that an input needs beside itself: templates, by the names under which they are looked for among the inputs.
pub fn needs(input: &Input) -> Vec<String> {
    let (text, problem) = document::decode(input.bytes.clone(), 0);
    // Most inputs are no specs that name any, and need not be read twice to be known for it.
    if problem.is_some() || !text.contains("template") || !text.contains(spec::API_VERSION) {
        return Vec::new();
    }
    let documents = document::read(&text, 0, Dialect::SPEC);
    spec::templates(&documents, &input.name)
}

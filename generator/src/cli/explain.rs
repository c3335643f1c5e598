//! `bullmq-keda explain`.

use std::path::PathBuf;

use super::{Outcome, Streams, input, print, tell_problems, unknown};
use crate::document::Dialect;
use crate::explain;
use crate::explain::{Explanation, text};
use crate::rule::Rule;

/// Explain what the manifests of one or more specs will do, or a rule.
///
/// For each worker: the replicas for a backlog, how they come and go over time, how long it takes, what happens when something is
/// down, the HPA that KEDA makes, the query in words, and why each number was chosen. Nothing is asked of a cluster.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Args {
    /// Specs to read; `-` is stdin
    #[arg(value_name = "SPEC", required_unless_present_any = ["rule", "rules"])]
    specs: Vec<PathBuf>,
    /// Only this worker; repeatable
    #[arg(long = "worker", value_name = "NAME")]
    workers: Vec<String>,
    /// Text for people, or JSON for programs
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Explain a rule instead, by its id, such as `replicas/max-below-min`
    #[arg(long, value_name = "ID", conflicts_with_all = ["specs", "workers", "rules"])]
    rule: Option<String>,
    /// List the ids of all rules instead
    #[arg(long, conflicts_with_all = ["specs", "workers"])]
    rules: bool,
}

const EXAMPLES: &str = "\
Examples:
  bullmq-keda explain spec.yaml | less
  bullmq-keda explain spec.yaml --worker email
  bullmq-keda explain spec.yaml --output json | jq '.workers[].reactions'
  bullmq-keda explain --rule replicas/max-below-min";

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum Format {
    Text,
    Json,
}

pub(super) fn run(args: &Args, streams: &mut Streams<'_>) -> anyhow::Result<Outcome> {
    if args.rules {
        let ids: Vec<_> = Rule::all().map(Rule::id).collect();
        return print(&format!("{}\n", ids.join("\n")), streams);
    }
    if let Some(id) = &args.rule {
        return match Rule::from_id(id) {
            Some(rule) => print(rule.page(), streams),
            None => unknown(
                "rule",
                id,
                &Rule::all().map(Rule::id).collect::<Vec<_>>(),
                streams,
            ),
        };
    }
    let inputs = input::read_all(&args.specs, Dialect::SPEC, streams.stdin)?;
    let explanations = match explain(inputs) {
        Ok(explanations) => explanations,
        Err(error) => return tell_problems(error, "nothing was explained", streams),
    };
    let names: Vec<&str> = explanations.iter().map(|one| one.worker.as_str()).collect();
    let missing = args
        .workers
        .iter()
        .find(|name| !names.contains(&name.as_str()));
    if let Some(name) = missing {
        return unknown("worker", name, &names, streams);
    }
    let wanted: Vec<Explanation> = explanations
        .into_iter()
        .filter(|one| args.workers.is_empty() || args.workers.contains(&one.worker))
        .collect();
    match args.output {
        Format::Text => print(&text(&wanted, streams.screen), streams),
        Format::Json => {
            let json = serde_json::to_string_pretty(&serde_json::json!({ "workers": wanted }))?;
            print(&format!("{json}\n"), streams)
        }
    }
}

//! `bullmq-keda verify`.

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use serde_json::json;

use super::access::{Access, Server};
use super::patience::{PATIENCE, patiently};
use super::{Outcome, Streams, access, input, tell_problems};
use crate::document::Dialect;
use crate::http::Client;
use crate::problem::Severity;
use crate::prometheus_api::{self, Answer};
use crate::verify::{Report, Subject, judge, line, observe, text};
use crate::workload::Workload;
use crate::{plan, verify, workloads};

/// The largest answer: the names of 100,000 queues, each with its labels, take about half of it.
const MOST_BYTES: u64 = 64 << 20;
/// How often a pause between two looks notices Ctrl-C.
const TICK: Duration = Duration::from_millis(100);

/// Ask the real Prometheus whether the workers of a spec would scale.
///
/// Each query is asked as KEDA asks it. Told are its value, the replicas that follow, each queue with the age of its newest sample, and
/// what is missing, with the nearest names that are there.
///
/// Exit codes: 0 fine, 1 something would not scale or not as meant, or a spec is wrong, 2 wrong usage, a file could not be read, or
/// Prometheus could not be reached.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  bullmq-keda verify spec.yaml
  kubectl port-forward -n monitoring svc/prometheus 9090 &
  bullmq-keda verify spec.yaml --prometheus http://localhost:9090 --watch")]
pub(super) struct Args {
    /// Specs to read; `-` is stdin.
    #[arg(value_name = "SPEC", required = true)]
    specs: Vec<PathBuf>,
    /// How the result is told.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Look again and again, each 15 s unless told, until Ctrl-C. The last look decides the exit code.
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "15s", value_parser = interval)]
    watch: Option<Duration>,
    #[command(flatten)]
    server: Server,
    #[command(flatten)]
    access: Access,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    /// For people.
    Text,
    /// One document; with `--watch` one a line.
    Json,
}

fn interval(text: &str) -> Result<Duration, String> {
    match humantime::parse_duration(text) {
        Ok(interval)
            if interval >= Duration::from_secs(1) && interval <= Duration::from_hours(24) =>
        {
            Ok(interval)
        }
        Ok(_) => Err("write a time from 1s to 24h".to_owned()),
        Err(_) => {
            Err("write a number with a unit, such as `15s`; a spec goes before the flag".to_owned())
        }
    }
}

pub(super) fn run(args: &Args, quiet: bool, streams: &mut Streams<'_>) -> anyhow::Result<Outcome> {
    let asked = args.server.address()?;
    let client = args.access.client(MOST_BYTES)?;
    let inputs = input::read_all(&args.specs, Dialect::SPEC, streams.stdin)?;
    let workloads = match workloads(inputs) {
        Ok((workloads, _)) => workloads,
        Err(error) => return tell_problems(error, "nothing was asked", streams),
    };
    let subjects = subjects(&workloads, asked.as_deref())?;
    let terminal = io::stdout().is_terminal();
    // What goes to stdout is coloured on a terminal, by the same wish as what goes to stderr.
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let stop = Arc::new(AtomicBool::new(false));
    if args.watch.is_some() {
        // A second Ctrl-C ends the program at once, should a request hang.
        let interrupt = signal_hook::consts::SIGINT;
        signal_hook::flag::register_conditional_default(interrupt, Arc::clone(&stop))
            .and_then(|_| signal_hook::flag::register(interrupt, Arc::clone(&stop)))
            .context("cannot listen for Ctrl-C")?;
    }
    let mut look = Look {
        args,
        client: &client,
        terminal,
        colour,
        quiet,
    };
    loop {
        let outcome = look.once(&subjects, streams)?;
        let Some(interval) = args.watch else {
            return Ok(outcome);
        };
        let began = Instant::now();
        while began.elapsed() < interval {
            if stop.load(Ordering::SeqCst) {
                return Ok(outcome);
            }
            thread::sleep(TICK.min(interval.saturating_sub(began.elapsed())));
        }
    }
}

/// The workers by Prometheus, and within one by what distinguishes the exporter there.
fn subjects<'w>(
    workloads: &'w [Workload],
    asked: Option<&'w str>,
) -> anyhow::Result<Vec<Subject<'w>>> {
    let mut subjects: Vec<Subject<'w>> = Vec::new();
    for workload in workloads {
        let plan = plan::plan(workload);
        let same = |subject: &&mut Subject<'w>| {
            subject
                .plans
                .first()
                .is_some_and(|first| first.workload.prometheus == workload.prometheus)
        };
        match subjects.iter_mut().find(same) {
            Some(subject) => subject.plans.push(plan),
            None => subjects.push(Subject {
                server_address: &workload.prometheus.server_address,
                asked: asked.unwrap_or(&workload.prometheus.server_address),
                plans: vec![plan],
            }),
        }
    }
    let mut servers: Vec<_> = subjects
        .iter()
        .map(|subject| subject.server_address)
        .collect();
    servers.sort_unstable();
    servers.dedup();
    if asked.is_some() && servers.len() > 1 {
        bail!(
            "--prometheus stands for one server, and the specs name {}: {}; verify their specs one by one",
            servers.len(),
            servers.join(", ")
        );
    }
    Ok(subjects)
}

/// One look at everything, and how it is told.
struct Look<'a> {
    args: &'a Args,
    client: &'a Client,
    terminal: bool,
    colour: bool,
    quiet: bool,
}

impl Look<'_> {
    fn once(
        &mut self,
        subjects: &[Subject<'_>],
        streams: &mut Streams<'_>,
    ) -> anyhow::Result<Outcome> {
        let (mut reports, mut unreachable) = (Vec::new(), Vec::new());
        for subject in subjects {
            match self.observe(subject, streams.stderr) {
                Ok(observation) => reports.push(judge(subject, &observation)),
                Err(error) => unreachable.push(error),
            }
        }
        let text = self.told(&reports);
        streams
            .stdout
            .write_all(text.as_bytes())
            .and_then(|()| streams.stdout.flush())
            .context("cannot write to stdout")?;
        let unreachable = unreachable
            .into_iter()
            .reduce(|all, next| anyhow!("{all:#}\nerror: {next:#}"));
        match unreachable {
            Some(error) if self.args.watch.is_none() => return Err(error),
            // Who watches wants to see it come back.
            Some(error) => {
                writeln!(streams.stderr, "error: {error:#}").context("cannot write to stderr")?;
                return Ok(Outcome::Usage);
            }
            None => {}
        }
        let worst = reports.iter().filter_map(Report::worst).max();
        Ok(if worst > Some(Severity::Info) {
            Outcome::Invalid
        } else {
            Outcome::Made
        })
    }

    fn told(&self, reports: &[Report<'_>]) -> String {
        let watched = self.args.watch.is_some();
        match self.args.output {
            Format::Json => {
                let fine = reports.iter().filter_map(Report::worst).max() <= Some(Severity::Info);
                let all: Vec<_> = reports.iter().map(verify::json).collect();
                let document = json!({"fine": fine, "prometheus": all});
                let text = if watched {
                    document.to_string()
                } else {
                    format!("{document:#}")
                };
                text + "\n"
            }
            Format::Text if watched && !self.terminal => reports.iter().map(line).collect(),
            Format::Text => {
                let texts: Vec<_> = reports
                    .iter()
                    .map(|report| text(report, self.colour))
                    .collect();
                let text = texts.join("\n");
                if watched {
                    // The cursor to the top, the old picture away from there on: what was on the screen before stays in its history.
                    format!("\u{1b}[H\u{1b}[2J{text}")
                } else {
                    text
                }
            }
        }
    }

    fn observe(
        &self,
        subject: &Subject<'_>,
        stderr: &mut dyn Write,
    ) -> anyhow::Result<verify::Observation> {
        let (client, server, tenant) = (self.client, subject.asked, subject.tenant());
        let (mut asked, mut last_word) = (0_usize, Instant::now());
        let mut ask =
            |query: &str, at: Option<Duration>| -> Result<Answer, prometheus_api::Error> {
                asked += 1;
                let word = |stderr: &mut dyn Write| {
                    if self.quiet {
                        return;
                    }
                    // Nobody misses a word of comfort that cannot be written.
                    let _ = writeln!(stderr, "question {asked} to {} ...", subject.asked);
                };
                if last_word.elapsed() > PATIENCE {
                    word(stderr);
                    last_word = Instant::now();
                }
                patiently(
                    || prometheus_api::ask(client, server, query, at, tenant),
                    || {
                        word(stderr);
                        last_word = Instant::now();
                    },
                )
            };
        observe(subject, access::now(), &mut ask)
            .map_err(|error| access::unanswered(&error, subject.asked, subject.server_address))
    }
}

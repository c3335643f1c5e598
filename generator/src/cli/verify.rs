//! `bullmq-keda verify`.

use std::io::{self, IsTerminal as _, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, bail};
use serde_json::json;

use super::access::Access;
use super::{Outcome, Streams, input};
use crate::document::Dialect;
use crate::http::Client;
use crate::problem::Severity;
use crate::prometheus_api::{self, Answer};
use crate::verify::{Report, Subject, judge, line, observe, text};
use crate::workload::Workload;
use crate::{Error, plan, report, verify, workloads};

/// The largest answer: the names of 100,000 queues, each with its labels, take about half of it.
const MOST_BYTES: u64 = 64 << 20;
/// After so long without a word people wonder whether anything happens.
const PATIENCE: Duration = Duration::from_secs(2);
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
    /// The address of Prometheus as it is reached from here, if not by the spec's `serverAddress`.
    #[arg(
        long,
        value_name = "URL",
        env = "BULLMQ_KEDA_PROMETHEUS",
        hide_env_values = true
    )]
    prometheus: Option<String>,
    /// How the result is told.
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Look again and again, each 15 s unless told, until Ctrl-C. The last look decides the exit code.
    #[arg(long, value_name = "INTERVAL", num_args = 0..=1, default_missing_value = "15s", value_parser = interval)]
    watch: Option<Duration>,
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

/// Brings an address into the form to which `/api/v1/query` can be appended. The address itself is not repeated: it may hold a password.
fn address(text: &str) -> Result<String, String> {
    let rest = text
        .strip_prefix("http://")
        .or_else(|| text.strip_prefix("https://"));
    let rest = rest.filter(|rest| !rest.is_empty() && !rest.starts_with(['/', '?', '#', ':']));
    let Some(rest) = rest.filter(|rest| rest.chars().all(|c| c.is_ascii_graphic())) else {
        return Err(
            "write `http://` or `https://` with a host, such as `http://localhost:9090`".to_owned(),
        );
    };
    if rest
        .split('/')
        .next()
        .is_some_and(|authority| authority.contains('@'))
    {
        return Err("credentials go into files: `--username` and `--password-file`".to_owned());
    }
    if rest.contains(['?', '#']) {
        return Err("end the address before the `?` or `#`".to_owned());
    }
    let text = text.trim_end_matches('/');
    let text = text.strip_suffix("/query").unwrap_or(text);
    Ok(text.strip_suffix("/api/v1").unwrap_or(text).to_owned())
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
    let asked = args.prometheus.as_deref().map(address).transpose();
    let asked = asked.map_err(|why| anyhow!("--prometheus takes another address: {why}"))?;
    let client = args.access.client(MOST_BYTES)?;
    let inputs = input::read_all(&args.specs, Dialect::SPEC, streams.stdin)?;
    let workloads = match workloads(inputs) {
        Ok((workloads, _)) => workloads,
        Err(Error::Invalid { problems, sources }) => {
            let text = report::text(&problems, &sources, "nothing was asked", streams.colour);
            streams
                .stderr
                .write_all(text.as_bytes())
                .context("cannot write to stderr")?;
            return Ok(Outcome::Invalid);
        }
        Err(error @ Error::Output(_)) => return Err(error.into()),
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
                    || prometheus_api::ask(self.client, subject.asked, query, at),
                    || {
                        word(stderr);
                        last_word = Instant::now();
                    },
                )
            };
        observe(subject, now(), &mut ask).map_err(|error| {
            let error = anyhow!("cannot ask Prometheus at {}: {error}", subject.asked);
            match hint(subject) {
                Some(hint) => anyhow!("{error}\n  {hint}"),
                None => error,
            }
        })
    }
}

/// Runs `work`, and `impatient` once if it takes longer than [`PATIENCE`].
fn patiently<T: Send>(work: impl FnOnce() -> T + Send, impatient: impl FnOnce()) -> T {
    thread::scope(|scope| {
        let (done, wait) = mpsc::channel::<()>();
        let worker = scope.spawn(move || {
            let result = work();
            drop(done);
            result
        });
        if let Err(RecvTimeoutError::Timeout) = wait.recv_timeout(PATIENCE) {
            impatient();
        }
        match worker.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    })
}

/// How an address of the cluster is reached from outside.
fn hint(subject: &Subject<'_>) -> Option<String> {
    if subject.asked != subject.server_address {
        return None;
    }
    let (scheme, rest) = subject.asked.split_once("://")?;
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if authority.starts_with('[') {
        return None;
    }
    let (host, port) = authority
        .split_once(':')
        .unwrap_or((authority, if scheme == "https" { "443" } else { "80" }));
    let mut parts = host.split('.');
    let (service, namespace) = (parts.next()?, parts.next());
    let of_cluster = match parts.next() {
        // `prometheus` or `prometheus.monitoring`: a name that only a cluster knows.
        None => service != "localhost" && host.parse::<std::net::Ipv4Addr>().is_err(),
        Some(svc) => svc == "svc",
    };
    let namespace = namespace.map_or_else(String::new, |namespace| format!(" -n {namespace}"));
    of_cluster.then(|| {
        format!(
            "if that is an address of the cluster: `kubectl port-forward{namespace} svc/{service} 19090:{port}`, and then add `--prometheus {scheme}://localhost:19090{path}`"
        )
    })
}

#[expect(
    clippy::disallowed_methods,
    reason = "KEDA asks by the clock of whoever asks, and this is where it is read"
)]
fn now() -> Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_brought_into_the_form_that_keda_takes() {
        for (text, expected) in [
            ("http://localhost:9090", Some("http://localhost:9090")),
            (
                "https://mimir.example/prometheus/",
                Some("https://mimir.example/prometheus"),
            ),
            ("http://p:9090/api/v1/query", Some("http://p:9090")),
            ("http://p:9090/api/v1/", Some("http://p:9090")),
            ("localhost:9090", None),
            ("http://", None),
            ("http://a:hunter2@b", None),
            ("http://b?x=1", None),
            ("http://b c", None),
        ] {
            let read = address(text);
            assert_eq!(read.as_deref().ok(), expected, "{text}");
            assert!(!read.is_err_and(|message| message.contains("hunter2")));
        }
    }

    #[test]
    fn an_address_of_the_cluster_has_a_way_to_reach_it() {
        for (asked, expected) in [
            (
                "http://prometheus.monitoring.svc:9090",
                Some(
                    " -n monitoring svc/prometheus 19090:9090`, and then add `--prometheus http://localhost:19090`",
                ),
            ),
            (
                "http://mimir.obs.svc.cluster.local/prometheus",
                Some(
                    " -n obs svc/mimir 19090:80`, and then add `--prometheus http://localhost:19090/prometheus`",
                ),
            ),
            ("http://prometheus:9090", Some("svc/prometheus 19090:9090`")),
            ("http://localhost:9090", None),
            ("http://127.0.0.1:9090", None),
            ("http://[::1]:9090", None),
            ("https://prometheus.example.com", None),
        ] {
            let subject = Subject {
                server_address: asked,
                asked,
                plans: Vec::new(),
            };
            let hint = hint(&subject);
            match expected {
                Some(part) => assert!(
                    hint.clone().is_some_and(|hint| hint.contains(part)),
                    "{asked}: {hint:?}"
                ),
                None => assert_eq!(hint, None, "{asked}"),
            }
        }
    }
}

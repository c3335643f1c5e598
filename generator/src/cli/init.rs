//! `bullmq-keda init`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow, bail};

use super::access::Access;
use super::{Outcome, Streams, input};
use crate::document::Dialect;
use crate::exposition;
use crate::http::Client;
use crate::output::files;
use crate::starter::{Starter, Wishes, from_metrics};
use crate::{Error, Input, generate, report};

/// The largest exposition: 10,000 queues with all their series take less than a tenth of it.
const MOST_BYTES: u64 = 256 << 20;
/// What a file of metrics may be.
const METRICS: Dialect = Dialect {
    name: "metrics",
    max_bytes: 256 << 20,
    ..Dialect::MANIFESTS
};

/// Print a starter spec: of the queues that an exporter serves, or of a ScaledObject that counts a Redis list.
///
/// What it prints is a valid spec. Each value that nobody told is marked `guess`, with the figure it came from.
///
/// Exit codes: 0 made, 1 there is nothing to make a spec of, 2 wrong usage, or something could not be read, reached or written.
#[derive(Debug, clap::Args)]
#[command(
    group = clap::ArgGroup::new("from").required(true).args(["exporter", "from_scaledobject"]),
    after_help = "\
Examples:
  bullmq-keda init --exporter http://localhost:9538 -o spec.yaml
  bullmq-exporter --once | bullmq-keda init --exporter -
  kubectl get scaledobject worker -o yaml | bullmq-keda init --from-scaledobject -"
)]
pub(super) struct Args {
    /// Where the metrics are: the address of bullmq-exporter, a file with its metrics, or `-` for stdin.
    #[arg(long, value_name = "URL|FILE")]
    exporter: Option<String>,
    /// Manifests with ScaledObjects on `redis`, `redis-cluster` or `redis-sentinel` triggers; `-` is stdin.
    #[arg(long, value_name = "FILE")]
    from_scaledobject: Option<PathBuf>,
    /// Take only queues of this name; `*` stands for any text, `?` for a character. Repeatable.
    #[arg(long, value_name = "PATTERN", requires = "exporter")]
    queue: Vec<String>,
    /// The address of Prometheus as KEDA reaches it.
    #[arg(long, value_name = "URL")]
    server_address: Option<String>,
    /// The namespace of the workers.
    #[arg(long, value_name = "NAME")]
    namespace: Option<String>,
    /// Where the spec goes; `-` is stdout. A file that exists is not overwritten.
    #[arg(short, long, value_name = "FILE", default_value = "-")]
    output: PathBuf,
    /// Overwrite the file.
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    access: Access,
}

pub(super) fn run(args: &Args, quiet: bool, streams: &mut Streams<'_>) -> anyhow::Result<Outcome> {
    let to_stdout = args.output == Path::new("-");
    // Asked first: nothing is worth reading if it cannot be kept. A link to nowhere is something, too.
    if !to_stdout && !args.force && fs::symlink_metadata(&args.output).is_ok() {
        bail!(
            "{} exists already; `--force` overwrites it",
            args.output.display()
        );
    }
    let Some(starter) = made(args, streams)? else {
        return Ok(Outcome::Invalid);
    };
    // The namespace and the address are the user's, and are judged by the one who reads specs.
    let check = Input {
        name: "the starter spec".to_owned(),
        short_name: String::new(),
        bytes: starter.text.clone().into_bytes(),
    };
    if let Err(Error::Invalid { problems, sources }) = generate(vec![check]) {
        let text = report::text(&problems, &sources, "no spec was written", streams.colour);
        streams
            .stderr
            .write_all(text.as_bytes())
            .context("cannot write to stderr")?;
        return Ok(Outcome::Invalid);
    }
    for note in starter.notes.iter().filter(|_| !quiet) {
        writeln!(streams.stderr, "note: {note}").context("cannot write to stderr")?;
    }
    if to_stdout {
        let written = streams.stdout.write_all(starter.text.as_bytes());
        written
            .and_then(|()| streams.stdout.flush())
            .context("cannot write to stdout")?;
    } else {
        files::write_file(&args.output, &starter.text)?;
    }
    Ok(Outcome::Made)
}

/// The spec; nothing if there is nothing to make one of, which has been told.
fn made(args: &Args, streams: &mut Streams<'_>) -> anyhow::Result<Option<Starter>> {
    let mut wishes = Wishes {
        source: String::new(),
        server_address: args.server_address.clone(),
        namespace: args.namespace.clone(),
        queues: args.queue.clone(),
    };
    let told = if let Some(path) = &args.from_scaledobject {
        let inputs = input::read_all(
            std::slice::from_ref(path),
            Dialect::MANIFESTS,
            streams.stdin,
        )?;
        wishes.source = inputs
            .first()
            .map(|input| input.short_name.clone())
            .unwrap_or_default();
        match crate::start(inputs, &wishes) {
            Ok(starter) => return Ok(Some(starter)),
            Err(Error::Invalid { problems, sources }) => {
                report::text(&problems, &sources, "no spec was written", streams.colour)
            }
            Err(error @ Error::Output(_)) => return Err(error.into()),
        }
    } else {
        let place = args.exporter.as_deref().unwrap_or_default();
        let (name, metrics) = metrics(place, args, streams)?;
        let samples = exposition::read(&metrics).with_context(|| format!("cannot read {name}"))?;
        wishes.source = name;
        match from_metrics(&samples, &wishes) {
            Ok(starter) => return Ok(Some(starter)),
            Err(nothing) => format!("error: no spec can be made: {nothing}\n"),
        }
    };
    streams
        .stderr
        .write_all(told.as_bytes())
        .context("cannot write to stderr")?;
    Ok(None)
}

/// The metrics, and the name of where they come from.
fn metrics(
    place: &str,
    args: &Args,
    streams: &mut Streams<'_>,
) -> anyhow::Result<(String, String)> {
    let path = PathBuf::from(place);
    if place == "-" || (!place.contains("://") && path.exists()) {
        let inputs = input::read_all(&[path], METRICS, streams.stdin)?;
        let input = inputs.into_iter().next().context("no input")?;
        if input.bytes.len() > METRICS.max_bytes {
            bail!(
                "cannot read {}: it is larger than {} MiB",
                input.name,
                MOST_BYTES >> 20
            );
        }
        let text = String::from_utf8(input.bytes)
            .with_context(|| format!("cannot read {}", input.name))?;
        return Ok((input.short_name, text));
    }
    let url = address(place).map_err(|why| {
        anyhow!("--exporter takes the address of bullmq-exporter, a file or `-`: {why}")
    })?;
    let client: Client = args.access.client(MOST_BYTES)?;
    // What follows the path may be a secret, and the name stands in the spec.
    let shown = url.split(['?', '#']).next().unwrap_or_default().to_owned();
    let response = client
        .get(&url)
        .with_context(|| format!("cannot reach {shown}"))?;
    if response.status != 200 {
        bail!("{shown} answers with {}", response.summary());
    }
    Ok((shown, response.body))
}

/// The whole address of the metrics. What was given is not repeated if it holds a password.
fn address(place: &str) -> Result<String, String> {
    let with_scheme = match place.split_once("://") {
        Some(("http" | "https", _)) => place.to_owned(),
        Some(_) => return Err("write `http://` or `https://`".to_owned()),
        // A host with a port is no name of a file that anybody has.
        None if place.rsplit_once(':').is_some_and(|(host, port)| {
            !host.is_empty()
                && port
                    .split('/')
                    .next()
                    .is_some_and(|port| port.parse::<u16>().is_ok())
        }) =>
        {
            format!("http://{place}")
        }
        None => return Err(format!("there is no file `{}`", place.escape_debug())),
    };
    let (scheme, rest) = with_scheme.split_once("://").unwrap_or_default();
    let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
    if authority.contains('@') {
        return Err("credentials go into files: `--username` and `--password-file`".to_owned());
    }
    if authority.is_empty() || !rest.chars().all(|c| c.is_ascii_graphic()) {
        return Err("there is no host in it".to_owned());
    }
    Ok(match path {
        "" | "/" => format!("{scheme}://{authority}/metrics"),
        path => format!("{scheme}://{authority}{path}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_leads_to_the_metrics() {
        for (place, expected) in [
            ("http://localhost:9538", Ok("http://localhost:9538/metrics")),
            ("https://x/", Ok("https://x/metrics")),
            ("https://x/own/path", Ok("https://x/own/path")),
            ("localhost:9538", Ok("http://localhost:9538/metrics")),
            ("ftp://x", Err("write `http://`")),
            ("nosuch.txt", Err("there is no file `nosuch.txt`")),
            ("http://a:hunter2@x", Err("credentials go into files")),
            ("http://", Err("there is no host in it")),
            ("http://a b", Err("there is no host in it")),
        ] {
            match (address(place), expected) {
                (Ok(url), Ok(expected)) => assert_eq!(url, expected),
                (Err(why), Err(expected)) => {
                    assert!(why.contains(expected) && !why.contains("hunter2"), "{why}");
                }
                (read, expected) => panic!("{place}: {read:?} {expected:?}"),
            }
        }
    }
}

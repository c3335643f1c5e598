//! How a server is reached: its address, and credentials and trust from files only, because a command line is read by everyone on the
//! machine.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context as _, anyhow, bail};

use crate::http::{Client, Credentials, Unusable};
use crate::prometheus_api;

/// The largest file of credentials or certificates; a bundle of every public authority takes a quarter of it.
const MOST_BYTES: u64 = 1 << 20;

/// Which Prometheus is asked.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Reaching the server")]
pub(super) struct Server {
    /// The address of Prometheus as it is reached from here, if not by the spec's `serverAddress`.
    #[arg(
        long,
        value_name = "URL",
        env = "BULLMQ_KEDA_PROMETHEUS",
        hide_env_values = true
    )]
    prometheus: Option<String>,
}

impl Server {
    /// The address, in the form to which `/api/v1/query` can be appended; none if that of the spec is meant.
    ///
    /// # Errors
    /// An address that is none, which is not repeated.
    pub(super) fn address(&self) -> anyhow::Result<Option<String>> {
        let asked = self.prometheus.as_deref().map(address).transpose();
        asked.map_err(|why| anyhow!("--prometheus takes another address: {why}"))
    }
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

/// Flags that say how the server is reached.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Reaching the server")]
pub(super) struct Access {
    /// A file with the bearer token to send.
    #[arg(long, value_name = "FILE", env = "BULLMQ_KEDA_BEARER_TOKEN_FILE", conflicts_with_all = ["username", "password_file"])]
    bearer_token_file: Option<PathBuf>,
    /// The user of basic authentication.
    #[arg(
        long,
        value_name = "NAME",
        env = "BULLMQ_KEDA_USERNAME",
        hide_env_values = true,
        requires = "password_file"
    )]
    username: Option<String>,
    /// A file with the password of basic authentication.
    #[arg(
        long,
        value_name = "FILE",
        env = "BULLMQ_KEDA_PASSWORD_FILE",
        requires = "username"
    )]
    password_file: Option<PathBuf>,
    /// A file with headers to send, one a line, such as `X-Scope-OrgID: shop`.
    #[arg(long, value_name = "FILE", env = "BULLMQ_KEDA_HEADER_FILE")]
    header_file: Option<PathBuf>,
    /// A file with the authorities to trust (PEM) instead of the public ones.
    #[arg(long, value_name = "FILE", env = "BULLMQ_KEDA_CA_FILE")]
    ca_file: Option<PathBuf>,
    /// A file with the certificate to show (PEM).
    #[arg(
        long,
        value_name = "FILE",
        env = "BULLMQ_KEDA_CERT_FILE",
        requires = "key_file"
    )]
    cert_file: Option<PathBuf>,
    /// A file with the key of that certificate (PEM).
    #[arg(
        long,
        value_name = "FILE",
        env = "BULLMQ_KEDA_KEY_FILE",
        requires = "cert_file"
    )]
    key_file: Option<PathBuf>,
    /// How long one answer may take.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = time_limit)]
    timeout: Duration,
}

/// A request longer than ten minutes is one that nobody waits for.
fn time_limit(text: &str) -> Result<Duration, String> {
    const LONGEST: Duration = Duration::from_mins(10);
    match humantime::parse_duration(text) {
        Ok(limit) if !limit.is_zero() && limit <= LONGEST => Ok(limit),
        Ok(_) => Err("write a time above zero and up to 10m".to_owned()),
        Err(_) => Err("write a number with a unit, such as `5s`".to_owned()),
    }
}

impl Access {
    /// A client for these flags.
    ///
    /// # Errors
    /// With the flag and the file that cannot be used, and never with what is in it.
    pub(super) fn client(&self, most_bytes: u64) -> anyhow::Result<Client> {
        let mut credentials = Credentials::default();
        with(
            "--bearer-token-file",
            self.bearer_token_file.as_deref(),
            |bytes| credentials.bearer(&text(bytes)?),
        )?;
        with("--password-file", self.password_file.as_deref(), |bytes| {
            credentials.basic(self.username.as_deref().unwrap_or_default(), &text(bytes)?)
        })?;
        with("--header-file", self.header_file.as_deref(), |bytes| {
            credentials.headers(&text(bytes)?)
        })?;
        with("--ca-file", self.ca_file.as_deref(), |bytes| {
            credentials.trust(&bytes)
        })?;
        if let Some(key) = &self.key_file {
            let key = read(key).with_context(|| format!("--key-file {}", key.display()))?;
            with("--cert-file", self.cert_file.as_deref(), |bytes| {
                credentials.identify(&bytes, &key)
            })?;
        }
        Ok(Client::new(&credentials, self.timeout, most_bytes))
    }
}

fn text(bytes: Vec<u8>) -> Result<String, Unusable> {
    String::from_utf8(bytes).ok().ok_or(Unusable::Secret)
}

fn with(
    flag: &str,
    file: Option<&Path>,
    take: impl FnOnce(Vec<u8>) -> Result<(), Unusable>,
) -> anyhow::Result<()> {
    let Some(file) = file else {
        return Ok(());
    };
    let named = || format!("{flag} {}", file.display());
    let bytes = read(file).with_context(named)?;
    take(bytes).with_context(named)
}

fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    fs::File::open(file)?
        .take(MOST_BYTES + 1)
        .read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        bail!("it is larger than 1 MiB, and so of another kind");
    }
    Ok(bytes)
}

/// That Prometheus did not answer, with what may help.
pub(super) fn unanswered(
    error: &prometheus_api::Error,
    asked: &str,
    server_address: &str,
) -> anyhow::Error {
    let error = anyhow!("cannot ask Prometheus at {asked}: {error}");
    match hint(asked, server_address) {
        Some(hint) => anyhow!("{error}\n  {hint}"),
        None => error,
    }
}

/// How an address of the cluster is reached from outside.
fn hint(asked: &str, server_address: &str) -> Option<String> {
    if asked != server_address {
        return None;
    }
    let (scheme, rest) = asked.split_once("://")?;
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

/// The time, since 1970.
#[expect(
    clippy::disallowed_methods,
    reason = "KEDA asks by the clock of whoever asks, and this is where it is read"
)]
pub(super) fn now() -> Duration {
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
            let hint = hint(asked, asked);
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

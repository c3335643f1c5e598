//! How a server is reached: credentials and trust, from files only, because a command line is read by everyone on the machine.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::http::{Client, Credentials, Unusable};

/// The largest file of credentials or certificates; a bundle of every public authority takes a quarter of it.
const MOST_BYTES: u64 = 1 << 20;

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

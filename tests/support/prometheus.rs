//! A private Prometheus.

use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::process::{Process, free_port, wait_until};
use crate::scrape::get;

const START_LIMIT: Duration = Duration::from_mins(1);
const QUERY_LIMIT: Duration = Duration::from_secs(10);

/// One element of an instant vector.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// The labels, as Prometheus gives them.
    pub labels: Value,
    /// The value.
    pub value: f64,
}

/// A Prometheus on a free port of the loopback address.
#[derive(Debug)]
pub struct Prometheus {
    url: String,
    process: Process,
}

impl Prometheus {
    /// Starts one that scrapes the given `host:port` targets.
    ///
    /// # Errors
    /// When prometheus is not installed or does not come up.
    pub fn start(targets: &[&str], scrape_interval: Duration) -> Result<Self> {
        Self::start_with(targets, scrape_interval, &serde_json::json!({}))
    }

    /// The same, with further fields of the scrape config, such as `scheme` or `basic_auth`.
    ///
    /// # Errors
    /// When prometheus is not installed or does not come up.
    pub fn start_with(targets: &[&str], scrape_interval: Duration, more: &Value) -> Result<Self> {
        let mut scrape_config = serde_json::json!({
            "job_name": "bullmq-exporter",
            "static_configs": [{ "targets": targets }],
        });
        if let (Some(fields), Some(more)) = (scrape_config.as_object_mut(), more.as_object()) {
            fields.extend(more.clone());
        }
        Self::start_jobs(&[scrape_config], scrape_interval, None)
    }

    /// Starts one that scrapes nothing and knows what was, in the text of OpenMetrics with a time in each sample.
    ///
    /// # Errors
    /// When prometheus or promtool is not installed, the text is none, or Prometheus does not come up.
    pub fn start_with_past(past: &str) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("prometheus-").tempdir()?;
        let file = folder.path().join("past.om");
        std::fs::write(&file, past)?;
        let (file, data) = (file.to_string_lossy(), folder.path().join("data"));
        let data = data.to_string_lossy();
        let (made, said) = promtool(
            &["tsdb", "create-blocks-from", "openmetrics", &file, &data],
            "",
        )?;
        ensure!(made, "{said}");
        Self::start_in(folder, &[], Duration::from_secs(15), None)
    }

    /// Starts one with these scrape configurations, and with TLS and users as a web configuration says
    /// (<https://prometheus.io/docs/prometheus/latest/configuration/https/>).
    ///
    /// # Errors
    /// When prometheus is not installed or does not come up.
    pub fn start_jobs(
        jobs: &[Value],
        scrape_interval: Duration,
        web: Option<&Value>,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("prometheus-").tempdir()?;
        Self::start_in(folder, jobs, scrape_interval, web)
    }

    fn start_in(
        folder: TempDir,
        jobs: &[Value],
        scrape_interval: Duration,
        web: Option<&Value>,
    ) -> Result<Self> {
        let interval = format!("{}ms", scrape_interval.as_millis());
        let configuration = serde_json::json!({
            "global": { "scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval },
            "scrape_configs": jobs,
        });
        // JSON is YAML.
        std::fs::write(
            folder.path().join("prometheus.yml"),
            configuration.to_string(),
        )?;
        let address = format!("127.0.0.1:{}", free_port()?);
        let mut command = Command::new("prometheus");
        command
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address={address}"));
        let mut scheme = "http";
        if let Some(web) = web {
            std::fs::write(folder.path().join("web.yml"), web.to_string())?;
            command.arg("--web.config.file=web.yml");
            if web.get("tls_server_config").is_some() {
                scheme = "https";
            }
        }
        let mut process = Process::start("prometheus", folder, &mut command)?;
        let url = format!("{scheme}://{address}");
        wait_until("Prometheus is ready", START_LIMIT, || {
            process.check_alive()?;
            if web.is_some() {
                // Its pages are for those with credentials.
                return Ok(process.log().contains("Server is ready").then_some(()));
            }
            let ready = get(&format!("{url}/-/ready"), &[], QUERY_LIMIT);
            Ok(ready.is_ok_and(|(status, _)| status == 200).then_some(()))
        })?;
        Ok(Self { url, process })
    }

    /// Its address, as KEDA's `serverAddress` wants it.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The process itself.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Asks an instant query, as KEDA does, and returns the vector.
    ///
    /// # Errors
    /// When Prometheus does not answer, or answers with an error or with something else than a vector.
    pub fn query(&self, query: &str) -> Result<Vec<Sample>> {
        self.query_with(query, "")
    }

    /// The same, as it was at a time, in seconds since 1970.
    ///
    /// # Errors
    /// When Prometheus does not answer, or answers with an error or with something else than a vector.
    pub fn query_at(&self, query: &str, seconds: u64) -> Result<Vec<Sample>> {
        self.query_with(query, &format!("&time={seconds}"))
    }

    fn query_with(&self, query: &str, more: &str) -> Result<Vec<Sample>> {
        let url = format!(
            "{}/api/v1/query?query={}{more}",
            self.url,
            percent_encode(query)
        );
        let (status, body) = get(&url, &[], QUERY_LIMIT)?;
        ensure!(
            status == 200,
            "Prometheus answers {status} to {query}: {body}"
        );
        let answer: Value = serde_json::from_str(&body)?;
        let data = answer.get("data").context("no data")?;
        ensure!(
            data.get("resultType").is_some_and(|kind| kind == "vector"),
            "not a vector: {data}"
        );
        let result = data
            .get("result")
            .and_then(Value::as_array)
            .context("no result")?;
        result
            .iter()
            .map(|element| sample(element).context("not a sample"))
            .collect()
    }
}

fn sample(element: &Value) -> Option<Sample> {
    let value = element.get("value")?.get(1)?.as_str()?.parse().ok()?;
    Some(Sample {
        labels: element.get("metric")?.clone(),
        value,
    })
}

/// Every byte that is not plainly harmless in a URL's query, escaped.
fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}

/// Runs promtool with `input` on its standard input and returns whether it was content, and what it said.
///
/// # Errors
/// When promtool is not installed.
pub fn promtool(arguments: &[&str], input: &str) -> Result<(bool, String)> {
    let mut child = Command::new("promtool")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("promtool could not be started; `make tools` installs what is missing")?;
    child
        .stdin
        .take()
        .context("promtool has no standard input")?
        .write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    let mut said = String::from_utf8_lossy(&output.stdout).into_owned();
    said.push_str(&String::from_utf8_lossy(&output.stderr));
    Ok((output.status.success(), said))
}

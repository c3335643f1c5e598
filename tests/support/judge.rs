//! Foreign judges of what the generator prints: Helm, kustomize and other people's readers of YAML, as `make tools` installs them.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::thread;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::binary::repository;

/// The two releases of Helm that are in use.
pub const HELMS: [&str; 2] = ["helm3", "helm4"];

/// The path of a program that `make tools` built, such as `helm3`, `helm4` or `kustomize`.
///
/// # Errors
/// When it is not there.
pub fn judge(name: &str) -> Result<PathBuf> {
    let path = repository().join("target/tools/bin").join(name);
    ensure!(
        path.is_file(),
        "{} is missing; `make tools` builds it",
        path.display()
    );
    Ok(path)
}

/// Reads manifests as kubectl does.
///
/// # Errors
/// When the reader is missing, or cannot read them.
pub fn read_as_kubectl(manifests: &str) -> Result<Vec<Value>> {
    read(&mut Command::new(judge("manifests-to-json")?), manifests)
}

/// Reads manifests by `PyYAML`, a reader of YAML 1.1.
///
/// # Errors
/// When Python or `PyYAML` is missing, or cannot read them.
pub fn read_by_pyyaml(manifests: &str) -> Result<Vec<Value>> {
    let python = repository().join("target/tools/python/bin/python");
    let script = repository().join("tests/tools/manifests_to_json.py");
    read(Command::new(python).arg(script), manifests)
}

fn read(command: &mut Command, manifests: &str) -> Result<Vec<Value>> {
    let output = fed(command, manifests)?;
    ensure!(
        output.status.success(),
        "{} cannot read it: {}",
        command.get_program().display(),
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    text.lines()
        .map(|line| Ok(serde_json::from_str(line)?))
        .collect()
}

/// Runs a program with `input` on its standard input.
///
/// # Errors
/// When it cannot be started.
pub fn fed(command: &mut Command, input: &str) -> Result<Output> {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| {
            format!(
                "{} could not be started; `make tools` installs what is missing",
                command.get_program().display()
            )
        })?;
    let mut stdin = child.stdin.take().context("no standard input")?;
    let input = input.to_owned();
    // In a thread of its own, because a program that answers while it reads would otherwise wait for us as we for it.
    let writer = thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output()?;
    // A program that ends before it has read everything says why by its status.
    let _ = writer.join();
    Ok(output)
}

/// What a chart renders to, as text, and what Helm said instead if it refused.
///
/// # Errors
/// When Helm is missing or cannot be started.
pub fn helm_template(
    helm: &str,
    chart: &Path,
    arguments: &[&str],
) -> Result<Result<String, String>> {
    let output = Command::new(judge(helm)?)
        .args(["template", "shop"])
        .arg(chart)
        .args(arguments)
        .output()
        .with_context(|| format!("{helm} could not be started"))?;
    Ok(if output.status.success() {
        Ok(String::from_utf8(output.stdout)?)
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    })
}

/// Whether kubeconform takes manifests by the schemas of Kubernetes, the Prometheus operator, KEDA, Argo CD and Flux, with no field that they
/// do not know; and what it said.
///
/// # Errors
/// When kubeconform or the schemas are missing.
pub fn kubeconform(manifests: &str) -> Result<(bool, String)> {
    let schemas = repository().join("target/tools/schemas");
    ensure!(
        schemas.is_dir(),
        "the schemas are missing; `make tools` writes them"
    );
    let location = format!(
        "{}/{{{{.ResourceKind}}}}{{{{.KindSuffix}}}}.json",
        schemas.display()
    );
    let mut command = Command::new(judge("kubeconform")?);
    command.args(["-strict", "-schema-location", &location, "-"]);
    let output = fed(&mut command, manifests)?;
    let said = String::from_utf8(output.stdout)? + &String::from_utf8_lossy(&output.stderr);
    Ok((output.status.success(), said))
}

//! Where our own programs are.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, ensure};

/// The top folder of this repository.
pub fn repository() -> &'static Path {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().unwrap_or(package)
}

/// The path of one of our programs, built from the sources as they are now.
///
/// # Errors
/// When the build fails or makes no program of that name.
pub fn ours(name: &str) -> Result<PathBuf> {
    static BUILT: OnceLock<Result<Vec<PathBuf>, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    let programs = built.as_ref().map_err(|error| anyhow!("{error}"))?;
    let found = programs
        .iter()
        .find(|path| path.file_stem().is_some_and(|stem| stem == name));
    found
        .cloned()
        .with_context(|| format!("the workspace builds no program named {name}"))
}

fn build() -> Result<Vec<PathBuf>> {
    let output = Command::new(env!("CARGO"))
        .args([
            "build",
            "--quiet",
            "--locked",
            "--workspace",
            "--bins",
            "--message-format=json",
        ])
        .current_dir(repository())
        .output()
        .context("cargo could not be started")?;
    ensure!(
        output.status.success(),
        "the programs do not build:\n{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut programs = Vec::new();
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let message: serde_json::Value = serde_json::from_str(line)?;
        if let Some(path) = message
            .get("executable")
            .and_then(serde_json::Value::as_str)
        {
            programs.push(PathBuf::from(path));
        }
    }
    Ok(programs)
}

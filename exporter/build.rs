//! Finds out what the program is built from, for `--version` and `bullmq_exporter_build_info`.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;
use std::process::Command;

fn main() -> Result<(), Box<dyn Error>> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let version = output(Command::new(rustc).arg("--version")).unwrap_or_default();
    // `rustc 1.95.0 (59807616e 2026-04-14)`
    let version = version.split(' ').nth(1).unwrap_or("unknown");

    // Packages are built from an archive without .git; they give the revision by this variable.
    let given = std::env::var_os("BULLMQ_EXPORTER_BUILD_REVISION")
        .map(|revision| revision.to_string_lossy().into_owned());
    let revision = given
        .or_else(|| output(Command::new("git").args(["rev-parse", "--short=12", "HEAD"])))
        .unwrap_or_default();
    let target = std::env::var_os("TARGET").unwrap_or_default();

    let mut cargo = io::stdout().lock();
    writeln!(
        cargo,
        "cargo::rustc-env=BULLMQ_EXPORTER_REVISION={revision}"
    )?;
    writeln!(cargo, "cargo::rustc-env=BULLMQ_EXPORTER_RUSTC={version}")?;
    writeln!(
        cargo,
        "cargo::rustc-env=BULLMQ_EXPORTER_TARGET={}",
        target.to_string_lossy()
    )?;
    writeln!(
        cargo,
        "cargo::rerun-if-env-changed=BULLMQ_EXPORTER_BUILD_REVISION"
    )?;
    // The log of HEAD grows with each commit and each checkout. Naming a file that is not there would run this at every build.
    let head_log = Path::new("../.git/logs/HEAD");
    let watched = if head_log.exists() {
        head_log
    } else {
        Path::new("build.rs")
    };
    writeln!(cargo, "cargo::rerun-if-changed={}", watched.display())?;
    Ok(())
}

fn output(command: &mut Command) -> Option<String> {
    let output = command
        .output()
        .ok()
        .filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}

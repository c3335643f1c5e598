//! Do the commands that pages show do what the pages show? Each `console` block is run as it stands, in a copy of an example; what the
//! commands write there is what the example has.
//!
//! `TRYCMD=overwrite cargo test -p acceptance --test transcripts` writes what the commands say now into the pages.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance::{HELMS, judge, ours, repository};
use anyhow::{Context as _, Result, ensure};

/// Every file below a folder with its content, but its page.
fn files(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("README.md") {
                let name = path.strip_prefix(folder)?.to_owned();
                found.insert(name, fs::read(&path)?);
            }
        }
    }
    Ok(found)
}

fn copy(folder: &Path) -> Result<tempfile::TempDir> {
    let copy = tempfile::tempdir()?;
    for (name, content) in files(folder)? {
        let path = copy.path().join(name);
        fs::create_dir_all(path.parent().context("a file has a folder")?)?;
        fs::write(path, content)?;
    }
    Ok(copy)
}

/// The pages that have a transcript, each with the folder in a copy of which it is run.
fn pages() -> Result<Vec<(PathBuf, PathBuf)>> {
    let spec = repository().join("generator/SPEC.md");
    let mut found = vec![(spec, repository().join("examples/first-queue"))];
    for entry in fs::read_dir(repository().join("examples"))? {
        let example = entry?.path();
        let page = example.join("README.md");
        if page.is_file() && fs::read_to_string(&page)?.contains("```console\n") {
            found.push((page, example));
        }
    }
    found.sort();
    Ok(found)
}

/// Runs the transcripts of one page in this process, whose working folder is where they run.
fn run(page: &Path, example: &Path, helm: &str) -> Result<()> {
    let copy = copy(example)?;
    std::env::set_current_dir(copy.path())?;
    trycmd::TestCases::new()
        .register_bin("bullmq-keda", ours("bullmq-keda")?)
        .register_bin("helm", judge(helm)?)
        .register_bin("kustomize", judge("kustomize")?)
        .case(page);
    let (before, after) = (files(example)?, files(copy.path())?);
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    ensure!(
        names(&before) == names(&after),
        "{}: other files: {:?}",
        page.display(),
        names(&after)
    );
    for (name, content) in &before {
        ensure!(
            after.get(name) == Some(content),
            "{}: the commands write another {}",
            page.display(),
            name.display()
        );
    }
    Ok(())
}

// One test, because the working folder is that of the whole process.
#[test]
fn what_the_pages_show_is_what_their_commands_do() {
    let pages = pages().unwrap();
    assert!(pages.len() >= 7, "{pages:?}");
    for (page, example) in pages {
        for helm in HELMS {
            run(&page, &example, helm).unwrap();
        }
    }
}

/// The harness itself: a page that shows something else fails.
#[test]
fn a_page_that_shows_something_else_fails() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("page.md");
    fs::write(
        &page,
        "```console\n$ bullmq-keda --version\nbullmq-keda 9.9.9\n\n```\n",
    )
    .unwrap();
    let bin = ours("bullmq-keda").unwrap();
    let failed = std::panic::catch_unwind(|| {
        trycmd::TestCases::new()
            .register_bin("bullmq-keda", bin.as_path())
            .case(&page);
    });
    assert!(failed.is_err());
    let output = Command::new(bin).arg("--version").output().unwrap();
    assert!(output.status.success());
}

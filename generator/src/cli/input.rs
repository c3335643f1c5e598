//! Inputs: files, and stdin where `-` stands.

use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::Input;
use crate::document::Dialect;

/// Reads every input, in the order in which they were given.
///
/// # Errors
///
/// With the name of the first that cannot be read.
pub(super) fn read_all(
    paths: &[PathBuf],
    dialect: Dialect,
    stdin: &mut dyn Read,
) -> anyhow::Result<Vec<Input>> {
    paths
        .iter()
        .map(|path| {
            read(path, dialect, stdin).with_context(|| format!("cannot read {}", shown(path)))
        })
        .collect()
}

fn read(path: &Path, dialect: Dialect, stdin: &mut dyn Read) -> io::Result<Input> {
    // One byte more than an input may have is enough to refuse it, however long it is.
    let limit = u64::try_from(dialect.max_bytes)
        .unwrap_or(u64::MAX)
        .saturating_add(1);
    let mut bytes = Vec::new();
    if path == Path::new("-") {
        stdin.take(limit).read_to_end(&mut bytes)?;
    } else {
        fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    }
    let name = shown(path);
    let short_name = match path.file_name() {
        Some(file) if path != Path::new("-") => file.to_string_lossy().into_owned(),
        Some(_) | None => name.clone(),
    };
    Ok(Input {
        name,
        short_name,
        bytes,
    })
}

pub(super) fn shown(path: &Path) -> String {
    if path == Path::new("-") {
        "<stdin>".to_owned()
    } else {
        path.display().to_string()
    }
}

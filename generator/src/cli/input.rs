//! Inputs: files, and stdin where `-` stands.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use crate::Input;
use crate::document::Dialect;

/// Reads every input, in the order in which they were given, and after them the files that specs name. One of those that cannot be
/// read is left out: the spec is told of it, at the field that names it.
///
/// # Errors
///
/// With the name of the first that cannot be read.
pub(super) fn read_all(
    paths: &[PathBuf],
    dialect: Dialect,
    stdin: &mut dyn Read,
) -> anyhow::Result<Vec<Input>> {
    let mut inputs = Vec::with_capacity(paths.len());
    for path in paths {
        let input = read(path, dialect, stdin);
        inputs.push(input.with_context(|| format!("cannot read {}", shown(path)))?);
    }
    let needed: BTreeSet<String> = inputs.iter().flat_map(crate::needs).collect();
    for name in needed {
        let given = inputs.iter().any(|input| input.name == name);
        // A template is a file, whatever it is called.
        let path = Path::new(".").join(&name);
        if !given && let Ok(input) = read(&path, dialect, stdin) {
            inputs.push(Input { name, ..input });
        }
    }
    Ok(inputs)
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

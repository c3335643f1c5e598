//! Texts in their place: one file, or the files of a folder, brought there or compared with what is there.
//!
//! A folder may hold files of other people. What we made is known by its first line; nothing else is ever written over or removed.
//! What has the wanted content already is left untouched, so that tools which look at a file's time see no change.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use similar::TextDiff;

use super::{DO_NOT_EDIT, Error, Format, Generated, MARK, Origin, first_line, helm, kustomize};

/// Where the files of a Helm chart go, from the folder of the chart.
const TEMPLATE: &str = "templates/bullmq-keda.yaml";
const VALUES: &str = "bullmq-keda.values.yaml";
const SCHEMA: &str = "bullmq-keda.schema.json";
/// The one name by which kustomize and kubectl find a folder's list of resources, whatever its kind is.
const KUSTOMIZATION: &str = "kustomization.yaml";
/// Our first line stands within so many bytes of a file's beginning: it holds the names of all specs, and the longest path of Linux
/// has 4096 bytes. More is not read of a file that may not be ours.
const HEAD: u64 = 64 * 1024;
/// After so long the search for the smallest difference ends with one that is merely right. Only two large files that have
/// nothing in common take it.
const DIFF_LIMIT: Duration = Duration::from_secs(1);

/// A text and where it goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// The path, or within a folder that from the folder.
    pub path: PathBuf,
    /// The whole content.
    pub content: String,
}

/// Makes the files of a folder; none if the format is always one text.
///
/// # Errors
///
/// [`Error::Yaml`] or [`Error::Json`] if a manifest does not become one.
pub fn of_folder(generated: &Generated, format: &Format) -> Result<Option<Vec<File>>, Error> {
    let file = |path: &str, content| File {
        path: PathBuf::from(path),
        content,
    };
    Ok(match format {
        Format::Json | Format::HelmValues { .. } | Format::PrometheusRules => None,
        Format::Helm(key) => Some(vec![
            file(TEMPLATE, helm::template(generated, key)?),
            file(VALUES, helm::values(generated, key)?),
            file(SCHEMA, helm::schema(generated, key)?),
        ]),
        Format::Yaml => Some(of_workers(generated)?),
        Format::Kustomize => {
            let mut files = of_workers(generated)?;
            let names: Vec<String> = files
                .iter()
                .map(|file| file.path.display().to_string())
                .collect();
            files.insert(
                0,
                file(KUSTOMIZATION, kustomize::component(generated, &names)),
            );
            Some(files)
        }
    })
}

/// One file a worker. It names its own spec only and no digest, so that it changes when the worker does and not with its neighbours.
fn of_workers(generated: &Generated) -> Result<Vec<File>, Error> {
    let mut files = Vec::with_capacity(generated.workers.len());
    for worker in &generated.workers {
        let origin = generated.origins.get(worker.origin);
        let name = origin.map_or("", |origin| &origin.name);
        files.push(File {
            path: PathBuf::from(format!("{}.yaml", worker.file_stem())),
            content: format!("# {}\n{}", first_line(name), worker.yaml()?),
        });
    }
    Ok(files)
}

/// What would have to be done to one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The file.
    pub path: PathBuf,
    /// What it holds; none if there is no such file.
    pub old: Option<Vec<u8>>,
    /// What it is to hold; none if it is to go.
    pub new: Option<String>,
}

impl Change {
    /// The change as a unified diff, which `patch -p0` takes.
    pub fn diff(&self) -> String {
        let text = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
        let old = self.old.as_ref().map(text);
        let name = |present: bool| {
            if present {
                self.path.display().to_string()
            } else {
                "/dev/null".to_owned()
            }
        };
        TextDiff::configure()
            .timeout(DIFF_LIMIT)
            .diff_lines(
                old.as_deref().unwrap_or_default(),
                self.new.as_deref().unwrap_or_default(),
            )
            .unified_diff()
            .header(&name(old.is_some()), &name(self.new.is_some()))
            .to_string()
    }
}

/// How a place differs from what it is to be.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Whether the place is a folder, which is made where it is not there.
    pub of_folder: bool,
    /// Files with another content, or none.
    pub changes: Vec<Change>,
    /// Files of ours for workers that are no longer in the specs.
    pub stale: Vec<Change>,
    /// Files of ours from specs that were not given, with the names of those specs.
    pub of_other_specs: Vec<(PathBuf, String)>,
    /// Files among the changes that were made from other specs before, with the names of those specs.
    pub of_specs_before: Vec<(PathBuf, String)>,
    /// Files that are not ours where ours would go.
    pub foreign: Vec<PathBuf>,
}

/// Compares one file. What is no file, such as a pipe, has nothing to compare.
///
/// # Errors
///
/// [`Error::Unreadable`] if there is something that cannot be read.
pub fn compare_file(file: File) -> Result<Difference, Error> {
    let mut difference = Difference::default();
    if fs::metadata(&file.path).is_ok_and(|present| !present.is_file() && !present.is_dir()) {
        difference.changes.push(Change {
            path: file.path,
            old: None,
            new: Some(file.content),
        });
        return Ok(difference);
    }
    if let Some(change) = changed(file)? {
        difference.add(change);
    }
    Ok(difference)
}

/// Compares a folder with the files that it is to hold.
///
/// # Errors
///
/// [`Error::Unreadable`] if the folder or a file in it cannot be read.
pub fn compare_folder(
    folder: &Path,
    files: Vec<File>,
    generated: &Generated,
) -> Result<Difference, Error> {
    let mut difference = Difference {
        of_folder: true,
        ..Difference::default()
    };
    let wanted: BTreeSet<PathBuf> = files.iter().map(|file| folder.join(&file.path)).collect();
    for file in files {
        let path = folder.join(file.path);
        let content = file.content;
        let Some(change) = changed(File { path, content })? else {
            continue;
        };
        if change.old.as_deref().is_some_and(|old| made(old).is_none()) {
            difference.foreign.push(change.path.clone());
        }
        difference.add(change);
    }
    for path in yaml_files(folder)?.difference(&wanted) {
        let Some(made) = made(&head(path)?).filter(|made| made.for_one_worker) else {
            continue;
        };
        let ours = |origin: &Origin| origin.name == made.from;
        if generated.origins.iter().any(ours) {
            difference.stale.push(Change {
                path: path.clone(),
                old: Some(fs::read(path).map_err(unreadable(path))?),
                new: None,
            });
        } else {
            difference.of_other_specs.push((path.clone(), made.from));
        }
    }
    Ok(difference)
}

impl Difference {
    fn add(&mut self, change: Change) {
        let from = |text: &[u8]| made(text).map(|made| made.from);
        let old = change.old.as_deref().and_then(from);
        let new = change.new.as_deref().map(str::as_bytes).and_then(from);
        if let Some(old) = old.filter(|old| new.is_some_and(|new| new != *old)) {
            self.of_specs_before.push((change.path.clone(), old));
        }
        self.changes.push(change);
    }
}

fn changed(file: File) -> Result<Option<Change>, Error> {
    let old = match fs::read(&file.path) {
        Ok(old) => Some(old),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(&file.path)(error)),
    };
    let equal = old
        .as_ref()
        .is_some_and(|old| old == file.content.as_bytes());
    Ok((!equal).then_some(Change {
        path: file.path,
        old,
        new: Some(file.content),
    }))
}

/// What the first lines of a file of ours say.
struct Made {
    /// The names of the specs.
    from: String,
    /// Whether it is one of the files of a folder, a worker each. Others name the digests of their specs in the second line.
    for_one_worker: bool,
}

/// Reads the first lines; none if they are not ours.
fn made(text: &[u8]) -> Option<Made> {
    let mut lines = text.split(|byte| *byte == b'\n').take(2);
    let (first, second) = (lines.next()?, lines.next()?);
    // The mark of a JSON Schema stands in its second line, after the brace.
    [first, second].into_iter().find_map(|line| {
        let line = String::from_utf8_lossy(line);
        let (_, rest) = line.split_once(MARK)?;
        let (_, rest) = rest.split_once(" from ")?;
        let (names, _) = rest.rsplit_once(DO_NOT_EDIT)?;
        Some(Made {
            from: names.to_owned(),
            for_one_worker: second.trim_ascii_end() == b"---",
        })
    })
}

/// The beginning of a file.
fn head(path: &Path) -> Result<Vec<u8>, Error> {
    let file = fs::File::open(path).map_err(unreadable(path))?;
    let mut head = Vec::new();
    file.take(HEAD)
        .read_to_end(&mut head)
        .map_err(unreadable(path))?;
    Ok(head)
}

/// The YAML files of a folder, not those of folders in it; none if the folder does not exist.
fn yaml_files(folder: &Path) -> Result<BTreeSet<PathBuf>, Error> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeSet::new()),
        Err(error) => return Err(unreadable(folder)(error)),
    };
    let mut found = BTreeSet::new();
    for entry in entries {
        let path = entry.map_err(unreadable(folder))?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
            && path.is_file()
        {
            found.insert(path);
        }
    }
    Ok(found)
}

fn unreadable(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Unreadable { path, source }
}

/// Brings one file to its content, whole or not at all.
///
/// # Errors
///
/// [`Error::File`] with the file's name if it cannot be written; the file is then as it was.
pub fn write_file(path: &Path, content: &str) -> Result<(), Error> {
    replace(path, content).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })
}

/// Brings files to what they are to be, one by one; stale ones go only if told. Nothing is begun where a file of a folder that is not
/// ours is in the way.
///
/// # Errors
///
/// [`Error::Foreign`] with every such file, or the first file that could not be written or removed.
pub fn bring_about(difference: &Difference, prune: bool) -> Result<(), Error> {
    if !difference.foreign.is_empty() {
        return Err(Error::Foreign {
            paths: difference.foreign.clone(),
        });
    }
    for Change { path, new, .. } in &difference.changes {
        // The folder of a single file is there, or its name has a slip in it.
        if let Some(folder) = path.parent().filter(|_| difference.of_folder) {
            fs::create_dir_all(folder).map_err(|source| Error::File {
                path: folder.to_owned(),
                source,
            })?;
        }
        if let Some(content) = new {
            write_file(path, content)?;
        }
    }
    for Change { path, .. } in difference.stale.iter().filter(|_| prune) {
        fs::remove_file(path).map_err(|source| Error::Unremovable {
            path: path.clone(),
            source,
        })?;
    }
    Ok(())
}

fn replace(path: &Path, content: &str) -> io::Result<()> {
    let present = match fs::metadata(path) {
        Ok(present) if present.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
        // A pipe or a device has no content to keep whole.
        Ok(present) if !present.is_file() => return fs::write(path, content),
        Ok(present) => Some(present),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    if present.is_some() && fs::read(path).is_ok_and(|old| old == content.as_bytes()) {
        return Ok(());
    }
    // A link stays a link: its target is replaced.
    let path = if present.is_some() {
        fs::canonicalize(path)?
    } else {
        path.to_owned()
    };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        Some(_) | None => Path::new("."),
    };
    // Asked first, because the temporary file's own error would name the temporary file.
    fs::metadata(folder)?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".bullmq-keda-");
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut file = builder.tempfile_in(folder)?;
    file.write_all(content.as_bytes())?;
    if let Some(present) = present {
        file.as_file().set_permissions(present.permissions())?;
    }
    // Not flushed to the disk, which takes longer than all the rest: what a power failure takes, the next run makes again.
    file.persist(&path).map_err(|error| error.error)?;
    Ok(())
}

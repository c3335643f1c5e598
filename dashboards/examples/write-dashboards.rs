//! Writes the dashboards into the folder that it is given, as `make docs` does.

use std::io;
use std::path::PathBuf;

fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("name the folder to write to"))?;
    for (name, text) in bullmq_dashboards::dashboards() {
        std::fs::write(folder.join(name), text)?;
    }
    Ok(())
}

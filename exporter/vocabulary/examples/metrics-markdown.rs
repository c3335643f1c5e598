//! Prints `exporter/METRICS.md`, as `make docs` does.

use std::io::{self, Write as _};

fn main() -> io::Result<()> {
    io::stdout().write_all(bullmq_vocabulary::metrics_markdown().as_bytes())
}

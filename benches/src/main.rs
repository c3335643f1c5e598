//! What a scrape costs, measured in one run beside the alternatives. `make bench` runs it; benches/README.md explains it.

mod bare;
mod chart;
mod contestant;
mod data;
mod events;
mod goals;
mod measure;
mod memory;
mod model;
mod numbers;
mod ping;
mod progress;
mod recording;
mod redis_client;
mod table;
mod turns;
mod twins;

use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;

use crate::data::{Data, Wanted};
use crate::measure::{Bench, FEWEST_QUEUES};
use crate::progress::Progress;

/// How long one looks for a signal when there is nothing else to do.
const REST: Duration = Duration::from_millis(100);

/// Measures what a scrape costs beside the alternatives, against a Redis of its own. Progress goes to standard error, the tables to
/// standard output and to a folder, with a picture. It needs redis-server, and Node with the packages of tests/bullmq.
#[derive(Debug, Parser)]
struct Arguments {
    /// How many queues.
    #[arg(long, default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(FEWEST_QUEUES..))]
    queues: u32,
    /// How many finished jobs are kept in the case of many.
    #[arg(long, default_value_t = 100_000)]
    jobs: u32,
    /// How many turns each contestant takes.
    #[arg(long, default_value_t = 15, value_parser = clap::value_parser!(u32).range(3..))]
    rounds: u32,
    /// How long it is scraped every second, in seconds.
    #[arg(long, default_value_t = 60)]
    steady: u32,
    /// The exporter that is measured: the program, built as it ships.
    #[arg(long, default_value = "target/release/bullmq-exporter")]
    exporter: PathBuf,
    /// Where the tables and the picture are written.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Measures nothing: makes the queues, prints the address of their Redis, and keeps it until Ctrl-C; for a profiler.
    #[arg(long)]
    data_only: bool,
}

fn main() -> ExitCode {
    let outcome = Progress::listen().and_then(|progress| {
        let outcome = run(&Arguments::parse(), &progress, &mut io::stdout().lock());
        outcome.with_context(|| {
            if progress.is_interrupted() {
                "Interrupted. Everything that was started has been ended."
            } else {
                "The benchmark failed"
            }
        })
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nobody to tell when the terminal is gone.
            let _ = writeln!(io::stderr(), "\n{error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments, progress: &Progress, out: &mut impl Write) -> Result<()> {
    let (queues, retained) = (
        usize::try_from(arguments.queues)?,
        usize::try_from(arguments.jobs)?,
    );
    if arguments.data_only {
        let wanted = Wanted {
            queues,
            retained,
            idle_percent: 0,
        };
        let data = Data::make(wanted)?;
        writeln!(out, "{}", data.redis.url())?;
        out.flush()?;
        loop {
            progress.say("the data is there until Ctrl-C")?;
            std::thread::sleep(REST);
        }
    }
    let exporter = arguments.exporter.canonicalize();
    let exporter = exporter.with_context(|| {
        format!(
            "--exporter {}: cargo build --release --bin bullmq-exporter makes it",
            arguments.exporter.display()
        )
    })?;
    let bench = Bench {
        exporter,
        queues,
        retained,
        rounds: usize::try_from(arguments.rounds)?,
        steady: usize::try_from(arguments.steady)?,
        progress: progress.clone(),
    };
    let results = bench.run()?;
    let report = format!(
        "{}\n\n{}",
        table::markdown(&results),
        goals::markdown(&goals::judge(&results))
    );
    std::fs::create_dir_all(&arguments.out)?;
    let in_folder = |name: &str| arguments.out.join(name);
    std::fs::write(in_folder("table.md"), &report)?;
    std::fs::write(in_folder("commands.md"), table::commands(&results))?;
    std::fs::write(in_folder("bars.svg"), chart::svg(&results))?;
    writeln!(out, "{report}")?;
    bench.progress.step(&format!(
        "\nWritten: {} and {}",
        in_folder("table.md").display(),
        in_folder("bars.svg").display()
    ))
}

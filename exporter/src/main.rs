//! bullmq-exporter: reads its configuration, then serves scrapes until it is told to stop.
//!
//! Exit codes: 0 stopped as told, 1 could not serve (or a Redis did not answer `--once`), 2 wrong configuration.

use std::io::{self, Write as _};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bullmq_exporter::config::{self, Command};
use bullmq_exporter::{Signals, logging};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Mutex;

const USAGE: u8 = 2;

/// How many threads read and serve. Redis is what a scrape waits for, and works on it for longer than this program does. glibc's allocator
/// keeps a heap for each thread: with two, each came to hold what whole scrapes need, as they met the one or the other (docs/performance.md).
/// What computes for long (compressing, verifying passwords) has threads of its own.
const WORKERS: usize = 1;

fn main() -> ExitCode {
    logging::tell_panics_without_values();
    let outcome = match config::parse(std::env::args_os()) {
        Ok(command) => run(command),
        Err(problem) => {
            // Where standard error is closed there is nobody to tell.
            let _ = problem.print();
            return if problem.is_error() {
                ExitCode::from(USAGE)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    outcome.unwrap_or_else(|error| {
        let _ = writeln!(io::stderr(), "bullmq-exporter: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(command: Command) -> Result<ExitCode> {
    let (config, once) = match command {
        Command::Print(text) => {
            io::stdout().write_all(text.as_bytes())?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Check(config) => {
            let servers = config.servers.len();
            let noun = if servers == 1 { "server" } else { "servers" };
            writeln!(
                io::stdout(),
                "The configuration is right: {servers} {noun}."
            )?;
            return Ok(ExitCode::SUCCESS);
        }
        Command::Once(config) => (config, true),
        Command::Serve(config) => (config, false),
    };
    logging::start(config.log_level, config.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(WORKERS)
        .enable_all()
        .build()
        .context("the runtime could not be started")?;
    runtime.block_on(async {
        if once {
            let all_up = bullmq_exporter::run_once(config, &mut io::stdout()).await?;
            return Ok(if all_up {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        config.announce();
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = async {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        let hangup = Arc::new(Mutex::new(signal(SignalKind::hangup())?));
        let reload = move || {
            let hangup = Arc::clone(&hangup);
            async move {
                hangup.lock().await.recv().await;
            }
        };
        bullmq_exporter::run(config, Signals { shutdown, reload }).await?;
        Ok(ExitCode::SUCCESS)
    })
}

//! One scrape without HTTP, against a private Redis: the questions, the replies and what is read from them, and the list of clients.
//!
//! The cost of the replies is the difference between queues of different kinds; that of the list of clients, the difference that they make.

use std::io::Write as _;
use std::net::TcpStream;
use std::time::Duration;

use acceptance::Redis;
use anyhow::{Context as _, Result};
use bullmq_exporter::config::{self, Command};
use bullmq_exporter::self_metrics::SelfMetrics;
use bullmq_exporter::servers::Servers;
use divan::Bencher;
use tokio::runtime::Runtime;
use tokio::time::Instant;

/// How long a scrape may take.
const LIMIT: Duration = Duration::from_secs(30);

/// Queues as BullMQ writes them, as far as a scrape looks at them: idle, or with jobs that wait, are delayed and are active.
const FILL: &str = "
    for number = 1, ARGV[1] do
      local queue = 'bull:queue-' .. number
      redis.call('HSET', queue .. ':meta', 'opts.maxLenEvents', 10000, 'version', 'bullmq:6.7.0')
      redis.call('SET', queue .. ':id', 30)
      if ARGV[2] == 'busy' then
        for job = 1, 20 do
          redis.call('RPUSH', queue .. ':wait', job)
          redis.call('HSET', queue .. ':' .. job, 'timestamp', 1780000000000, 'delay', 0, 'priority', 0)
        end
        redis.call('RPUSH', queue .. ':active', 21)
        redis.call('HSET', queue .. ':21', 'timestamp', 1780000000000, 'processedOn', 1780000000000)
        redis.call('ZADD', queue .. ':delayed', 4096 * 4000000000000, 22)
      end
    end";

fn main() {
    divan::main();
}

/// A Redis, what reads it, and clients beside it.
struct Stage {
    runtime: Runtime,
    servers: Servers,
    _redis: Redis,
    _clients: Vec<TcpStream>,
}

impl Stage {
    fn set(queues: usize, kind: &str, clients: usize) -> Result<Self> {
        let redis = Redis::start()?;
        redis.run(&["EVAL", FILL, "0", &queues.to_string(), kind])?;
        let mut connected = Vec::new();
        for number in 0..clients {
            let mut client = TcpStream::connect(("127.0.0.1", redis.port()))?;
            // The name of a queue that there is, in base64.
            write!(
                client,
                "CLIENT SETNAME bull:cXVldWUtMQ==:w:{number}\r\nBZPOPMIN bull:nothing 0\r\n"
            )?;
            connected.push(client);
        }
        let arguments = ["bullmq-exporter", "--redis.url", &redis.url()];
        let Command::Serve(config) = config::parse(arguments.map(Into::into))? else {
            anyhow::bail!("the flags say to serve");
        };
        let servers = Servers::new(config.servers, SelfMetrics::new(false, config.shard)?);
        let runtime = Runtime::new()?;
        for collector in servers.collectors() {
            let found = runtime.block_on(collector.discover());
            found.map_err(|cause| anyhow::anyhow!("{cause:?}"))?;
        }
        let stage = Self {
            runtime,
            servers,
            _redis: redis,
            _clients: connected,
        };
        anyhow::ensure!(stage.scrape()? == queues, "every queue is read");
        Ok(stage)
    }

    fn scrape(&self) -> Result<usize> {
        let snapshots = self
            .runtime
            .block_on(self.servers.collect(Instant::now() + LIMIT));
        Ok(snapshots.first().context("one Redis")?.queues.len())
    }
}

/// Says why there is nothing to measure, and fails.
#[expect(clippy::panic, reason = "divan takes no error from what it measures")]
fn on(stage: Result<Stage>, bencher: Bencher<'_, '_>) {
    match stage {
        Ok(stage) => bencher.bench_local(|| stage.scrape().is_ok()),
        Err(error) => panic!("{error:#}"),
    }
}

#[divan::bench(args = [100, 1_000, 10_000], sample_count = 10, sample_size = 1)]
fn idle_queues(bencher: Bencher<'_, '_>, queues: usize) {
    on(Stage::set(queues, "idle", 0), bencher);
}

#[divan::bench(args = [100, 1_000, 10_000], sample_count = 10, sample_size = 1)]
fn busy_queues(bencher: Bencher<'_, '_>, queues: usize) {
    on(Stage::set(queues, "busy", 0), bencher);
}

#[divan::bench(args = [0, 1_000, 5_000], sample_count = 10, sample_size = 1)]
fn one_queue_beside_clients(bencher: Bencher<'_, '_>, clients: usize) {
    on(Stage::set(1, "idle", clients), bencher);
}

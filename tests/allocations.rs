//! How often does a scrape ask for memory?
//!
//! Counted, not timed: asking for memory and giving it back can be a third of what a scrape costs the exporter, and a careless line in the path
//! of each queue is seen here on every machine. The collector and the page run in this process, against a real Redis.

use std::alloc::System;
use std::time::Duration;

use acceptance::{BullMq, Redis, Version};
use anyhow::{Context as _, Result, bail};
use bullmq_exporter::config::{self, Command};
use bullmq_exporter::exposition::{Format, Page};
use bullmq_exporter::self_metrics::SelfMetrics;
use bullmq_exporter::servers::Servers;
use bytes::BytesMut;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tokio::time::Instant;

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// How often a queue asks for memory in a scrape, new or more of what it has, on the day that this was written: one that is idle, and one that is
/// as busy as a queue can be. A change that lowers it writes the new number here.
const OF_AN_IDLE_QUEUE: usize = 7;
const OF_A_BUSY_QUEUE: usize = 67;

/// How far a number may lie from what was measured, in hundredths: how Redis cuts its replies into pieces is chance.
const TOLERANCE: usize = 3;

/// How large a piece of a page is; more than the exporter's, as pieces are not what is looked at.
const PIECE: usize = 1 << 20;

/// The number of queues of each Redis. The difference of what both cost is free of what a scrape costs by itself.
const FEW: usize = 100;
const MANY: usize = 300;

/// Makes a queue in BullMQ: one that has worked off a job, and what is busy about one besides.
fn make(bullmq: &mut BullMq, busy: bool) -> Result<()> {
    let more = if busy {
        "await q.upsertJobScheduler('hourly', { every: 36e5 });
         await add(10, {}); await w.getNextJob('token');
         for (const priority of [1, 5, 9]) await add(4, { priority });
         await add(2, { delay: 1 }); await add(4, { delay: 36e5 }); await sleep(10);"
    } else {
        ""
    };
    bullmq.run(&format!(
        "const q = queue('made');
         const w = new bullmq.Worker('made', null, {{ connection, autorun: false, lockDuration: 36e5 }});
         await w.waitUntilReady();
         const add = async (count, opts) => {{ for (let i = 0; i < count; i++) await q.add('job', {{}}, opts); }};
         await add(1, {{}});
         await (await w.getNextJob('token')).moveToCompleted('done', 'token', false);
         {more}
         await w.close(true);"
    ))?;
    Ok(())
}

/// Copies the queue until there are so many.
const COPY: &str = "
    for _, key in ipairs(redis.call('KEYS', 'bull:made:*')) do
      for number = 2, ARGV[1] do redis.call('COPY', key, 'bull:copy-' .. number .. string.sub(key, 10)) end
    end";

/// How often a scrape of so many queues asks for memory.
fn allocations(queues: usize, busy: bool) -> Result<usize> {
    let redis = Redis::start()?;
    make(&mut BullMq::start(Version::V6, &redis)?, busy)?;
    redis.run(&["EVAL", COPY, "0", &queues.to_string()])?;
    let arguments = ["bullmq-exporter", "--redis.url", &redis.url()];
    let Command::Serve(config) = config::parse(arguments.map(Into::into))? else {
        bail!("the flags say to serve");
    };
    let servers = Servers::new(config.servers, SelfMetrics::new(false, config.shard)?);
    // One thread, so that nothing depends on which is where.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        for collector in servers.collectors() {
            let found = collector.discover().await;
            found.map_err(|cause| anyhow::anyhow!("{cause:?}"))?;
        }
        let mut piece = BytesMut::with_capacity(2 * PIECE);
        let mut least = usize::MAX;
        // The first scrapes make room that the later ones use again.
        for _ in 0..5 {
            let region = Region::new(ALLOCATOR);
            let snapshots = servers
                .collect(Instant::now() + Duration::from_secs(10))
                .await;
            let read = snapshots.first().context("one Redis")?.queues.len();
            let mut page = Page::new(snapshots, Format::Text, String::new());
            while !page.is_done() {
                piece.clear();
                page.fill(&mut piece, PIECE);
            }
            assert_eq!(read, queues, "every queue is read");
            let change = region.change();
            least = least.min(change.allocations + change.reallocations);
        }
        Ok(least)
    })
}

#[test]
fn a_queue_asks_for_memory_no_more_often_than_on_the_day_that_this_was_measured() -> Result<()> {
    let mut measured = Vec::new();
    for busy in [false, true] {
        let (few, many) = (allocations(FEW, busy)?, allocations(MANY, busy)?);
        measured.push(many.saturating_sub(few).div_ceil(MANY - FEW));
    }
    let known = [OF_AN_IDLE_QUEUE, OF_A_BUSY_QUEUE];
    for (now, before) in measured.iter().zip(known) {
        let tolerated = (before * TOLERANCE).div_ceil(100);
        assert!(
            now.abs_diff(before) <= tolerated,
            "an idle and a busy queue ask {measured:?} times, instead of {known:?}; fewer? then write them into this file"
        );
    }
    Ok(())
}

//! What does a queue cost in a scrape, in commands and in round trips?
//!
//! Counted, not timed: these numbers are the same on every machine. `make bench` measures what they take, and `docs/performance.md` tells the
//! commands. When a number here falls, write the new one; when it rises, something costs more than before.

use std::time::Duration;

use acceptance::{BullMq, Exporter, Fault, Redis, Version, Wire};
use anyhow::{Context as _, Result};

/// What is sent about the server and not about a queue: TIME, three times INFO, and CLIENT LIST.
const OF_THE_SERVER: u64 = 5;

/// How late answers come, so that what is sent together is answered together.
const DELAY: Duration = Duration::from_millis(20);

/// Commands and round trips of a scrape of one queue: Bull 4, BullMQ 4, 5 and 6. Every scrape has one round trip for TIME.
const EXPECTED: &str = "
used           7/3   6/2   6/2   6/2
counted        9/3   8/2   8/2   8/2
waiting       20/3  11/3  11/3  11/3
prioritized   17/3  15/3  12/3  12/3
delayed        9/3  11/2   8/2   8/2
due            9/3  11/2   8/2   8/2
active        11/3  10/3  10/3  10/3
paused        10/3   9/2   9/2   9/2
";

/// A queue by its state, and the code that brings it there.
const STATES: [(&str, &str); 8] = [
    ("used", ""),
    ("counted", ""),
    ("waiting", "await add(20, {});"),
    (
        "prioritized",
        "for (const priority of [1, 5, 9]) await add(2, { priority });",
    ),
    ("delayed", "await add(1, { delay: 36e5 });"),
    ("due", "await add(1, { delay: 1 }); await sleep(20);"),
    ("active", "await add(1, {}); await taken;"),
    ("paused", "await add(20, {}); await q.pause();"),
];

/// Makes a queue of a state, after one job that has finished.
fn make(bullmq: &mut BullMq, state: &str, code: &str) -> Result<()> {
    let metrics = if state == "counted" {
        "{ metrics: { maxDataPoints: 60 } }"
    } else {
        "{}"
    };
    bullmq
        .run(&format!(
            "const q = queue('{state}');
             const add = async (count, opts) => {{ for (let i = 0; i < count; i++) await q.add('job', {{}}, opts); }};
             let finished;
             const end = new Promise((resolve) => {{ finished = resolve; }});
             const first = await worker('{state}', async () => {{}}, {metrics});
             first.on('completed', () => finished());
             await add(1, {{}});
             await end;
             await first.close(true);
             let take;
             const taken = new Promise((resolve) => {{ take = resolve; }});
             if ('{state}' === 'active') kept.worker = await worker('active', () => {{ take(); return new Promise(() => {{}}); }});
             {code}"
        ))
        .with_context(|| state.to_owned())?;
    Ok(())
}

/// The commands about the queue, and the round trips.
fn cost(redis: &Redis, queue: &str) -> Result<(u64, u64)> {
    let wire = Wire::to(redis)?;
    wire.set(Fault::Delay(DELAY));
    // Named, so that nothing is looked for.
    let url = wire.url();
    let exporter = Exporter::start_with(&[
        "--redis.url",
        &url,
        "--bullmq.queue",
        queue,
        "--discovery.interval",
        "1h",
    ])?;
    exporter.scrape_when_found(queue)?;
    redis.run(&["CONFIG", "RESETSTAT"])?;
    let before = wire.round_trips();
    exporter.scrape()?;
    let round_trips = wire.round_trips() - before;
    let sent = redis.command_calls()?.into_iter();
    let sent = sent.filter(|(name, _)| {
        !name.starts_with("config") && !name.starts_with("bz") && !name.starts_with("br")
    });
    let commands: u64 = sent.map(|(_, calls)| calls).sum();
    Ok((commands.saturating_sub(OF_THE_SERVER), round_trips))
}

#[test]
fn a_queue_costs_so_many_commands_and_round_trips_and_no_more() -> Result<()> {
    let mut rows = STATES.map(|(state, _)| format!("{state:<12}"));
    for version in Version::EVERY {
        let redis = Redis::start()?;
        let mut bullmq = BullMq::start(version, &redis)?;
        for ((state, code), row) in STATES.into_iter().zip(&mut rows) {
            make(&mut bullmq, state, code)?;
            let (commands, round_trips) = cost(&redis, state)?;
            row.extend([format!(" {commands:>3}/{round_trips}")]);
        }
    }
    assert_eq!(rows.join("\n"), EXPECTED.trim());
    Ok(())
}

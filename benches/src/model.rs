//! What so many queues cost, from what they cost here: everything grows with the queues, so one of them is enough to know.

use std::time::Duration;

use crate::measure::{OURS, Results, Row};
use crate::numbers::{grouped, megabytes};
use crate::turns::quantile;

/// For how many queues it is told, besides one.
const SIZES: [u32; 3] = [10_000, 100_000, 1_000_000];

/// How often Prometheus scrapes, where a processor's share is told.
const INTERVAL: Duration = Duration::from_secs(15);

/// What one queue costs in a scrape.
#[derive(Clone, Copy, Debug)]
struct OfAQueue {
    commands: f64,
    redis: f64,
    own: f64,
    series: f64,
    bytes: f64,
}

impl OfAQueue {
    fn from(row: &Row, queues: usize) -> Option<Self> {
        let figures = row.figures.as_ref().ok()?;
        let queues = f64::from(u32::try_from(queues).ok()?);
        let number = |number: u64| u32::try_from(number).map_or(f64::NAN, f64::from);
        Some(Self {
            commands: number(quantile(&figures.commands, 50)) / queues,
            redis: quantile(&figures.cpu, 50).as_secs_f64() / queues,
            own: figures.mean_own_cpu().as_secs_f64() / queues,
            series: number(u64::try_from(row.series?).ok()?) / queues,
            bytes: number(u64::try_from(figures.bytes).ok()?) / queues,
        })
    }
}

/// The cost of one queue, and of many by multiplying.
pub(crate) fn markdown(results: &Results) -> String {
    let mut text = String::from(
        "| queues | state | commands | Redis CPU | exporter CPU | of a processor, each, every 15 s | series | answer |\n|---|---|---|---|---|---|---|---|\n",
    );
    for (state, rows) in [("busy", &results.busy), ("95 % idle", &results.idle)] {
        let ours = rows.iter().find(|row| row.who == OURS);
        let Some(of) = ours.and_then(|row| OfAQueue::from(row, results.queues)) else {
            continue;
        };
        text.extend([format!(
            "| 1 | {state} | {:.1} | {:.1} µs | {:.1} µs | | {:.1} | {:.0} bytes |\n",
            of.commands,
            of.redis * 1e6,
            of.own * 1e6,
            of.series,
            of.bytes
        )]);
        for size in SIZES {
            let times = f64::from(size);
            let share = |seconds: f64| 100.0 * seconds * times / INTERVAL.as_secs_f64();
            text.extend([format!(
                "| {} | {state} | {} | {:.2} s | {:.2} s | {:.1} % and {:.1} % | {} | {} |\n",
                grouped(size),
                rounded(of.commands * times),
                of.redis * times,
                of.own * times,
                share(of.redis),
                share(of.own),
                rounded(of.series * times),
                megabytes_of(of.bytes * times),
            )]);
        }
    }
    text
}

/// A number without its fraction, with commas.
fn rounded(number: f64) -> String {
    grouped(&*format!("{number:.0}"))
}

fn megabytes_of(bytes: f64) -> String {
    format!("{bytes:.0}")
        .parse::<u64>()
        .map_or_else(|_| String::new(), megabytes)
}

//! What the exporter should reach, and whether it did in this run. A benchmark, not a test: on another machine, or a busy one, a goal may be
//! missed by nobody's fault.

use crate::measure::{BARE, NODE, OURS, OURS_LEAST, Results, Row};
use crate::table::megabytes;
use crate::turns::{Figures, quantile};

/// A goal, and what came of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    goal: String,
    measured: String,
    met: bool,
}

/// How much slower than the bare pipeline it may be.
const MOST_TO_BARE: f64 = 1.5;
/// How much faster than BullMQ's own exporter it should be.
const LEAST_TO_NODE: f64 = 3.0;
/// The same without what can be left out.
const LEAST_TO_NODE_LEAST: f64 = 5.0;
/// How much memory it may have after a hundred scrapes.
const MOST_MEMORY: u64 = 40_000_000;
/// How much longer other clients may wait than beside the bare pipeline.
const MOST_WAIT: f64 = 2.0;
/// What a scrape of mostly idle queues may cost of one of busy ones.
const MOST_IDLE: f64 = 0.6;
/// How far two medians may lie from each other and be the same.
const NOISE: f64 = 0.1;
/// How much more a queue may cost among many than among a thousand.
const MOST_A_QUEUE: f64 = 1.25;
/// How much memory may grow in a minute and be no growth: what an allocator keeps of one scrape and not of the next.
const MOST_GROWTH: u64 = 2_000_000;

/// Judges the run.
pub(crate) fn judge(results: &Results) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    let mut say = |goal: String, measured: String, met: bool| {
        verdicts.push(Verdict {
            goal,
            measured,
            met,
        });
    };
    for (data, rows) in [("all busy", &results.busy), ("95 % idle", &results.idle)] {
        let (Some(bare), Some(ours), Some(least), Some(node)) = (
            of(rows, BARE),
            of(rows, OURS),
            of(rows, OURS_LEAST),
            of(rows, NODE),
        ) else {
            continue;
        };
        let to_bare = ours.ratio_to(bare);
        say(
            format!("{data}: at most {MOST_TO_BARE} times a bare pipeline"),
            format!("{to_bare:.2}"),
            to_bare <= MOST_TO_BARE,
        );
        let to_node = node.ratio_to(ours);
        say(
            format!("{data}: at least {LEAST_TO_NODE} times faster than BullMQ's own exporter"),
            format!("{to_node:.2}"),
            to_node >= LEAST_TO_NODE,
        );
        let to_node = node.ratio_to(least);
        say(
            format!("{data}: at least {LEAST_TO_NODE_LEAST} times without what can be left out"),
            format!("{to_node:.2}"),
            to_node >= LEAST_TO_NODE_LEAST,
        );
        let wait = |figures: &Figures| quantile(&figures.pings, 99).as_secs_f64();
        let waits = wait(ours) / wait(bare);
        say(
            format!(
                "{data}: others' PING p99 at most {MOST_WAIT} times that beside the bare pipeline"
            ),
            format!("{waits:.2}"),
            waits <= MOST_WAIT,
        );
    }
    if let [busy, idle, many] = results.contents.as_slice()
        && let (Ok(busy), Ok(idle), Ok(many)) = (&busy.figures, &idle.figures, &many.figures)
    {
        let ratio = idle.ratio_to(busy);
        say(
            format!("mostly idle queues cost at most {MOST_IDLE} of busy ones"),
            format!("{ratio:.2}"),
            ratio <= MOST_IDLE,
        );
        let ratio = many.ratio_to(busy);
        say(
            "many finished jobs cost nothing, within a tenth".to_owned(),
            format!("{ratio:.2}"),
            (ratio - 1.0).abs() <= NOISE,
        );
    }
    if let Some((size, rows)) = results.sizes.last()
        && let (Some(few), Some(many)) = (of(rows, OURS), of(&results.busy, OURS))
    {
        let a_queue = |figures: &Figures, queues: usize| {
            figures.median().as_secs_f64() / u32::try_from(queues).map_or(f64::NAN, f64::from)
        };
        let ratio = a_queue(many, results.queues) / a_queue(few, *size);
        say(
            format!("a queue costs at most {MOST_A_QUEUE} times what it costs among {size}"),
            format!("{ratio:.2}"),
            ratio <= MOST_A_QUEUE,
        );
    }
    let memory = results.after_scrapes.resident;
    say(
        format!("at most {} after 100 scrapes", megabytes(MOST_MEMORY)),
        megabytes(memory),
        memory <= MOST_MEMORY,
    );
    let (first, last) = results.steady;
    let growth = last.resident.saturating_sub(first.resident);
    say(
        format!(
            "scraped every second, it grows by no more than {}",
            megabytes(MOST_GROWTH)
        ),
        megabytes(growth),
        growth <= MOST_GROWTH,
    );
    verdicts
}

fn of<'a>(rows: &'a [Row], who: &str) -> Option<&'a Figures> {
    rows.iter()
        .find(|row| row.who == who)?
        .figures
        .as_ref()
        .ok()
}

/// The verdicts as a table.
pub(crate) fn markdown(verdicts: &[Verdict]) -> String {
    let mut text = String::from("| goal | measured | |\n|---|---|---|\n");
    for Verdict {
        goal,
        measured,
        met,
    } in verdicts
    {
        let met = if *met { "met" } else { "**not met**" };
        text.extend([format!("| {goal} | {measured} | {met} |\n")]);
    }
    text
}

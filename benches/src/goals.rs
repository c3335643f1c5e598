//! What the exporter should reach, and whether it did in this run. A benchmark, not a test: on another machine, or a busy one, a goal may be
//! missed by nobody's fault.

use crate::measure::{BARE, NODE, OURS, OURS_LEAST, Results, Row};
use crate::numbers::megabytes;
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
const SAME: f64 = 1.1;
/// How much more a queue may cost among many than among a thousand.
const MOST_A_QUEUE: f64 = 1.25;
/// How much memory may grow in a minute and be no growth: what an allocator keeps of one scrape and not of the next.
const MOST_GROWTH: u64 = 2_000_000;

/// How large a ratio may be, or has to be.
#[derive(Clone, Copy, Debug)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Verdict {
    fn of_ratio(goal: &str, ratio: f64, bound: Bound) -> Self {
        let (words, met) = match bound {
            Bound::AtMost(most) => (format!("at most {most}"), ratio <= most),
            Bound::AtLeast(least) => (format!("at least {least}"), ratio >= least),
        };
        Self {
            goal: format!("{goal}: {words}"),
            measured: format!("{ratio:.2}"),
            met,
        }
    }

    fn of_memory(goal: &str, bytes: u64, most: u64) -> Self {
        Self {
            goal: format!("{goal}: at most {}", megabytes(most)),
            measured: megabytes(bytes),
            met: bytes <= most,
        }
    }
}

/// Judges the run.
pub(crate) fn judge(results: &Results) -> Vec<Verdict> {
    let mut verdicts = Vec::new();
    for (data, rows) in [("all busy", &results.busy), ("95 % idle", &results.idle)] {
        verdicts.extend(beside_others(data, rows).into_iter().flatten());
    }
    let contents = results.contents.iter();
    let contents: Option<Vec<_>> = contents.map(|row| row.figures.as_ref().ok()).collect();
    if let Some([busy, idle, many, bare_busy, bare_many]) = contents.as_deref() {
        verdicts.push(Verdict::of_ratio(
            "a scrape of mostly idle queues, to one of busy ones",
            idle.ratio_to(busy),
            Bound::AtMost(MOST_IDLE),
        ));
        let cpu = many.all_cpu().as_secs_f64() / busy.all_cpu().as_secs_f64();
        for (what, ratio) in [("time", many.ratio_to(busy)), ("processor time", cpu)] {
            let goal = format!("{what} of a scrape beside many finished jobs, to that without");
            verdicts.push(Verdict::of_ratio(&goal, ratio, Bound::AtMost(SAME)));
        }
        verdicts.push(Verdict::of_ratio(
            "how much longer it takes beside them, to how much longer a bare pipeline does",
            many.ratio_to(busy) / bare_many.ratio_to(bare_busy),
            Bound::AtMost(SAME),
        ));
    }
    verdicts.extend(among_more(results));
    let (first, last) = results.steady;
    let growth = last.resident.saturating_sub(first.resident);
    verdicts.push(Verdict::of_memory(
        "memory after 100 scrapes",
        results.after_scrapes.resident,
        MOST_MEMORY,
    ));
    verdicts.push(Verdict::of_memory(
        "memory after 100 scrapes, with events",
        results.with_events.resident,
        MOST_MEMORY,
    ));
    verdicts.push(Verdict::of_memory(
        "growth while scraped every second",
        growth,
        MOST_GROWTH,
    ));
    verdicts
}

/// The exporter beside the others on the same queues, by time and by processor time, which is nearly the same on a busy machine.
fn beside_others(data: &str, rows: &[Row]) -> Option<Vec<Verdict>> {
    let (bare, ours) = (of(rows, BARE)?, of(rows, OURS)?);
    let (least, node) = (of(rows, OURS_LEAST)?, of(rows, NODE)?);
    let cpu = |figures: &Figures| figures.all_cpu().as_secs_f64();
    let wait = |figures: &Figures| quantile(&figures.pings, 99).as_secs_f64();
    let judged =
        |what: &str, ratio, bound| Verdict::of_ratio(&format!("{data}: {what}"), ratio, bound);
    Some(vec![
        judged(
            "time, to a bare pipeline",
            ours.ratio_to(bare),
            Bound::AtMost(MOST_TO_BARE),
        ),
        judged(
            "processor time with that of Redis, to a bare pipeline",
            cpu(ours) / cpu(bare),
            Bound::AtMost(MOST_TO_BARE),
        ),
        judged(
            "BullMQ's own exporter, to ours",
            node.ratio_to(ours),
            Bound::AtLeast(LEAST_TO_NODE),
        ),
        judged(
            "its processor time with that of Redis, to ours",
            cpu(node) / cpu(ours),
            Bound::AtLeast(LEAST_TO_NODE),
        ),
        judged(
            "BullMQ's own exporter, to ours without what can be left out",
            node.ratio_to(least),
            Bound::AtLeast(LEAST_TO_NODE_LEAST),
        ),
        judged(
            "PING p99 of other clients, to that beside a bare pipeline",
            wait(ours) / wait(bare),
            Bound::AtMost(MOST_WAIT),
        ),
    ])
}

/// What a queue costs, to what it costs among fewer.
fn among_more(results: &Results) -> Option<Verdict> {
    let (size, rows) = results.sizes.last()?;
    let (few, many) = (of(rows, OURS)?, of(&results.busy, OURS)?);
    let a_queue = |figures: &Figures, queues: usize| {
        figures.all_cpu().as_secs_f64() / u32::try_from(queues).map_or(f64::NAN, f64::from)
    };
    let ratio = a_queue(many, results.queues) / a_queue(few, *size);
    let goal = format!("processor time of a queue, to that among {size}");
    Some(Verdict::of_ratio(&goal, ratio, Bound::AtMost(MOST_A_QUEUE)))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_goal_that_is_just_reached_is_met() {
        for (ratio, bound, met) in [
            (1.5, Bound::AtMost(1.5), true),
            (1.51, Bound::AtMost(1.5), false),
            (3.0, Bound::AtLeast(3.0), true),
            (2.9, Bound::AtLeast(3.0), false),
            (f64::NAN, Bound::AtLeast(3.0), false),
        ] {
            assert_eq!(
                Verdict::of_ratio("it", ratio, bound).met,
                met,
                "{ratio} {bound:?}"
            );
        }
        let verdict = Verdict::of_memory("memory", 41_000_000, 40_000_000);
        let expected = "| goal | measured | |\n|---|---|---|\n| memory: at most 40.0 MB | 41.0 MB | **not met** |\n";
        assert_eq!(markdown(&[verdict]), expected);
    }
}

//! Simulations as people read them: the figures, and the course of the replicas as a picture.

use std::time::Duration;

use textwrap::core::display_width;

use super::tally::STRANDED;
use super::time::seconds;
use super::{Assumptions, Outcome, Simulation};
use crate::counted::{counted, short};
use crate::page::{Align, Page, Screen};
use crate::workload::Replicas;

use Align::{Left, Right};

/// The most columns of a course.
const WIDEST: usize = 72;

/// Prints simulations for a screen.
pub fn text(simulations: &[Simulation], screen: Screen) -> String {
    let mut page = Page::new(screen);
    for simulation in simulations {
        one(&mut page, simulation);
    }
    page.finish()
}

fn one(page: &mut Page, simulation: &Simulation) {
    page.title(&format!("{} under {}", simulation.worker, simulation.load));
    page.blank();
    page.paragraph(&assumed(&simulation.assumptions, simulation.seconds), 0);
    figures(page, simulation);
    courses(page, simulation);
}

fn assumed(taken: &Assumptions, length: u64) -> String {
    let [min, max] = taken.replicas;
    let time = |seconds: f64| short(Duration::from_secs_f64(seconds));
    let longest = taken.longest_seconds.map_or_else(String::new, |longest| {
        format!(", {} at the longest", time(longest))
    });
    let bounds = Replicas::new(min, max).map_or_else(String::new, |replicas| replicas.to_string());
    let untold = match taken.untold.as_slice() {
        [] => String::new(),
        [one] => format!(" The spec does not tell `{one}`: it is assumed."),
        several => format!(
            " The spec does not tell `{}`: they are assumed.",
            several.join("`, `")
        ),
    };
    format!(
        "{}: {bounds}, each with {}, ready after {}, killed {} after it was told to end. A job runs for {} on average{longest}. Seed {}.{untold}",
        short(Duration::from_secs(length)),
        counted(taken.concurrency, "slot"),
        time(taken.startup_seconds),
        time(taken.grace_seconds),
        time(taken.mean_seconds),
        taken.seed,
    )
}

fn figures(page: &mut Page, simulation: &Simulation) {
    let within = short(Duration::from_secs_f64(simulation.within_seconds));
    page.heading("How long jobs wait, and what it costs");
    let head = [
        "",
        &format!("in {within}"),
        "99% in",
        "longest",
        "replicas",
        "changes",
        "hours",
        "",
    ];
    let mut table = vec![head.map(ToOwned::to_owned).to_vec()];
    let cost = simulation
        .outcomes
        .first()
        .map_or(0.0, |first| first.replica_hours);
    for outcome in &simulation.outcomes {
        table.push(row(outcome, cost));
    }
    let align = [Left, Right, Right, Right, Right, Right, Right, Left];
    page.table(2, &align, &table);
    for outcome in &simulation.outcomes {
        let notes = outcome.note.iter().cloned().chain(troubles(outcome));
        let notes: Vec<String> = notes.collect();
        if !notes.is_empty() {
            page.item(&format!("{}: {}", outcome.name, notes.join("; ")));
        }
    }
}

fn row(outcome: &Outcome, cost: f64) -> Vec<String> {
    let name = if outcome.of_spec {
        format!("{} (spec)", outcome.name)
    } else {
        outcome.name.clone()
    };
    let mut cells = vec![name];
    cells.extend(match outcome.in_time_percent {
        None => ["-"; 3].map(ToOwned::to_owned),
        Some(percent) => [
            share(percent),
            wait(outcome.wait_p99_seconds),
            wait(outcome.longest_wait_seconds),
        ],
    });
    let times = if outcome.of_spec || cost <= 0.0 {
        String::new()
    } else {
        format!("{:.1}x", outcome.replica_hours / cost)
    };
    cells.extend([
        outcome.most_replicas.to_string(),
        outcome.changes.to_string(),
        format!("{:.1}", outcome.replica_hours),
        times,
    ]);
    cells
}

/// What went wrong, if anything did.
fn troubles(outcome: &Outcome) -> impl Iterator<Item = String> {
    let stranded = short(Duration::from_secs_f64(seconds(STRANDED)));
    let troubles = [
        (outcome.stranded, format!("waited for more than {stranded}")),
        (outcome.killed, "killed by the end of a replica".to_owned()),
        (outcome.lost, "killed twice, which BullMQ fails".to_owned()),
    ];
    let some = troubles.into_iter().filter(|(number, _)| *number > 0);
    some.map(|(number, what)| format!("{} {what}", counted(number, "job")))
}

/// A share that is told as all only where it is all.
fn share(percent: f64) -> String {
    let tenths = (percent * 10.0).floor() / 10.0;
    if percent >= 100.0 {
        "100%".to_owned()
    } else {
        format!("{tenths:.1}%")
    }
}

/// A time, never told as shorter than it was, and the longer, the rougher.
fn wait(seconds: f64) -> String {
    let grain = match seconds {
        ..10.0 => 0.1,
        ..3600.0 => 1.0,
        _ => 60.0,
    };
    let seconds = (seconds / grain).ceil() * grain;
    if grain < 1.0 {
        return format!("{}s", (seconds * 10.0).round() / 10.0);
    }
    short(Duration::from_secs_f64(seconds))
}

fn courses(page: &mut Page, simulation: &Simulation) {
    let Some(first) = simulation.outcomes.first() else {
        return;
    };
    let names = simulation
        .outcomes
        .iter()
        .map(|outcome| outcome.name.as_str());
    let demand = "jobs, ready or running";
    let width = names.chain([demand]).map(display_width).max().unwrap_or(0);
    let room = page.room(width + 4, WIDEST);
    let columns = u32::try_from(room.min(first.replicas.len()).max(1)).unwrap_or(1);
    let column = Duration::from_secs(simulation.seconds) / columns;
    let max = simulation
        .outcomes
        .iter()
        .map(|outcome| outcome.most_replicas)
        .max();
    let max = max.unwrap_or(1).max(1);
    page.heading(&format!(
        "Replicas over the time: a column is {}, the highest {}",
        short(column),
        counted(max, "replica")
    ));
    let most = first.demand.iter().max().copied().unwrap_or(0);
    let mut line = |name: &str, values: &[u64], most: u64| {
        let padding = " ".repeat(width.saturating_sub(display_width(name)));
        let course = page.course(values, most, room);
        page.verbatim(format!("{name}{padding}  {course}").trim_end(), 2);
    };
    line(demand, &first.demand, most);
    for outcome in &simulation.outcomes {
        let values: Vec<u64> = outcome.replicas.iter().copied().map(u64::from).collect();
        line(&outcome.name, &values, u64::from(max));
    }
}

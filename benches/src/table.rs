//! The tables, in Markdown.

use crate::measure::{Results, Row};
use crate::model;
use crate::numbers::{grouped, megabytes, millis};
use crate::turns::quantile;

/// All of them.
pub(crate) fn markdown(results: &Results) -> String {
    let Results {
        queues, retained, ..
    } = results;
    let mut text = format!("{}\n\n", results.machine);
    let contestants = results
        .busy
        .iter()
        .chain(results.connections.iter().skip(1))
        .chain(&results.idle);
    let smaller = results.sizes.iter().flat_map(|(_, rows)| rows);
    text.push_str("Times are medians. A ratio is the median of the ratios of each turn to the first row of the same data.\n\n");
    table(&mut text, contestants.chain(smaller));
    text.extend([format!(
        "\nThe exporter on what is in {} queues; \"many\" are {} finished jobs.\n\n",
        grouped(*queues),
        grouped(*retained)
    )]);
    table(&mut text, results.contents.iter());
    text.push_str("\nThe same commands sent by the bare pipeline in other manners.\n\n");
    table(&mut text, results.manners.iter());
    let (first, last) = results.steady;
    text.extend([format!(
        "\nMemory: {} after 100 scrapes on end (at most {}), with --collect.events and events that keep coming {} (at most {}); scraped every second, {} after the first sixth of the time and {} at its end.",
        megabytes(results.after_scrapes.resident),
        megabytes(results.after_scrapes.peak),
        megabytes(results.with_events.resident),
        megabytes(results.with_events.peak),
        megabytes(first.resident),
        megabytes(last.resident)
    )]);
    text.push_str("\n\nWhat a queue costs in a scrape; the rest is multiplied.\n\n");
    text.push_str(&model::markdown(results));
    text
}

/// What is sent about a queue of each kind that is shown, in the order in which it is sent; the first words of each command.
pub(crate) fn commands(results: &Results) -> String {
    let mut text = String::new();
    for (kind, commands) in &results.commands {
        text.extend([format!(
            "{} commands about a queue that is {kind}:\n\n```\n{}\n```\n\n",
            commands.len(),
            commands.join("\n")
        )]);
    }
    text
}

fn table<'a>(text: &mut String, rows: impl Iterator<Item = &'a Row>) {
    text.push_str("| queues | | scrape | ratio | own CPU | Redis CPU | commands | PING of others p50 / p99 | RSS / peak | series | answer | first scrape |\n");
    text.push_str("|---|---|---|---|---|---|---|---|---|---|---|---|\n");
    for row in rows {
        let Row {
            data,
            who,
            ratio,
            series,
            first_good_scrape,
            ..
        } = row;
        let cells = match &row.figures {
            Err(why) => [
                format!("not possible: {why}"),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
                String::new(),
            ],
            Ok(figures) => [
                millis(figures.median()),
                format!("{ratio:.2}"),
                millis(figures.mean_own_cpu()),
                millis(quantile(&figures.cpu, 50)),
                grouped(quantile(&figures.commands, 50)),
                format!(
                    "{} / {}",
                    millis(quantile(&figures.pings, 50)),
                    millis(quantile(&figures.pings, 99))
                ),
                figures
                    .memory
                    .map(|memory| {
                        format!(
                            "{} / {}",
                            megabytes(memory.resident),
                            megabytes(memory.peak)
                        )
                    })
                    .unwrap_or_default(),
            ],
        };
        let bytes = row.figures.as_ref().map_or(0, |figures| figures.bytes);
        let series = series.map(grouped).unwrap_or_default();
        let answer = if bytes == 0 {
            String::new()
        } else {
            megabytes(bytes)
        };
        let first = first_good_scrape.map(millis).unwrap_or_default();
        text.extend([format!(
            "| {data} | {who} | {} | {series} | {answer} | {first} |\n",
            cells.join(" | ")
        )]);
    }
}

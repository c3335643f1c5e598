//! The picture: how long a scrape takes, one bar each.
//!
//! A dozen rectangles need no library of charts. The colours follow the reader's preference for light or dark.

use std::fmt::Write as _;

use crate::measure::{Results, Row};
use crate::numbers::{grouped, millis};

const WIDTH: u32 = 860;
/// Where bars begin, and how long the longest is.
const LEFT: u32 = 300;
const LONGEST: f64 = 440.0;
const STEP: u32 = 28;
const BAR: u32 = 18;

/// The picture as SVG.
pub(crate) fn svg(results: &Results) -> String {
    let groups = [
        (
            "all busy",
            results
                .busy
                .iter()
                .chain(results.connections.iter().skip(1))
                .collect::<Vec<_>>(),
        ),
        ("95 % idle", results.idle.iter().collect()),
    ];
    let longest = groups
        .iter()
        .flat_map(|(_, rows)| rows)
        .filter_map(|row| seconds(row))
        .fold(0.0, f64::max);
    let mut y = 40;
    let mut body = String::new();
    for (name, rows) in &groups {
        let title = format!(
            "{} queues, {name}: time of a scrape",
            grouped(results.queues)
        );
        // Writing to a `String` never fails.
        let _ = writeln!(
            body,
            "<text class=\"title\" x=\"16\" y=\"{y}\">{title}</text>"
        );
        y += 14;
        for row in rows {
            let text_y = y + 14;
            let who = row.who;
            let _ = writeln!(
                body,
                "<text x=\"{}\" y=\"{text_y}\" text-anchor=\"end\">{who}</text>",
                LEFT - 10
            );
            if let (Some(seconds), Ok(figures)) = (seconds(row), &row.figures) {
                let width = LONGEST * seconds / longest;
                let class = if who.starts_with('b') {
                    "ours"
                } else {
                    "other"
                };
                let _ = writeln!(
                    body,
                    "<rect class=\"{class}\" x=\"{LEFT}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\" rx=\"2\"/>"
                );
                let end = f64::from(LEFT) + width + 8.0;
                let _ = writeln!(
                    body,
                    "<text x=\"{end:.1}\" y=\"{text_y}\">{}</text>",
                    millis(figures.median())
                );
            } else {
                let _ = writeln!(
                    body,
                    "<text x=\"{LEFT}\" y=\"{text_y}\">not possible</text>"
                );
            }
            y += STEP;
        }
        y += 34;
    }
    let height = y - 20;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" aria-label=\"How long a scrape takes\">
<style>
text {{ font: 13px system-ui, sans-serif; fill: #1f2328 }}
.title {{ font-weight: 600; font-size: 15px }}
.page {{ fill: #ffffff }} .ours {{ fill: #0969da }} .other {{ fill: #8c959f }}
@media (prefers-color-scheme: dark) {{ text {{ fill: #e6edf3 }} .page {{ fill: #0d1117 }} .ours {{ fill: #4493f8 }} .other {{ fill: #6e7681 }} }}
</style>
<rect class=\"page\" width=\"{WIDTH}\" height=\"{height}\"/>
{body}</svg>
"
    )
}

fn seconds(row: &Row) -> Option<f64> {
    Some(row.figures.as_ref().ok()?.median().as_secs_f64())
}

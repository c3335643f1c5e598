//! What is to be shown at one moment, as lines of text for a terminal, or as one line for a log.

use std::time::Duration;

use bullmq_keda::control_loop::keda::Answer;

use crate::autoscaler::destination;
use crate::manifest::ScaledObject;
use crate::observation::Observation;
use crate::sparkline::sparkline;
use crate::story::SPEED;
use crate::workers::Alive;

/// A part of the story.
#[derive(Clone, Debug)]
pub(crate) struct Chapter {
    pub(crate) number: usize,
    pub(crate) of: usize,
    pub(crate) title: String,
    pub(crate) text: String,
}

/// Everything that is known at one moment.
#[derive(Debug)]
pub(crate) struct Scene<'a> {
    pub(crate) elapsed: Duration,
    pub(crate) chapter: &'a Chapter,
    pub(crate) observation: &'a Observation,
    pub(crate) object: &'a ScaledObject,
    /// Whether the story has come to the ScaledObject.
    pub(crate) revealed: bool,
    pub(crate) alive: Alive,
    /// Demand and replicas, once a poll.
    pub(crate) history: &'a [(Option<u32>, Option<u32>)],
    /// What stands at the bottom instead of the ScaledObject, if anything.
    pub(crate) notes: &'a [String],
}

/// How a piece of text is to be set off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    Plain,
    Strong,
    Faint,
    Good,
    Warning,
}

/// Pieces of text beside each other.
pub(crate) type Line = Vec<(Style, String)>;

/// Lines for the chapter's text, so that what stands below does not jump.
const TEXT_LINES: usize = 3;
/// Longer lines are hard to read.
const MAX_WIDTH: usize = 110;
/// The column of the values.
const VALUES: usize = 20;
const INDENT: &str = "  ";

impl Scene<'_> {
    /// The picture for a terminal of `width` columns; at 80 columns it has 24 lines.
    pub(crate) fn picture(&self, width: usize) -> Vec<Line> {
        let width = width.min(MAX_WIDTH);
        let inner = width.saturating_sub(2);
        let mut lines = vec![self.headline(inner)];
        let chapter = self.chapter;
        let title = format!("{} of {}  {}", chapter.number, chapter.of, chapter.title);
        lines.push(vec![(Style::Strong, title)]);
        let text = wrapped(&chapter.text, inner);
        let missing = TEXT_LINES.saturating_sub(text.len());
        lines.extend(text.into_iter().map(|line| vec![(Style::Plain, line)]));
        lines.extend(std::iter::repeat_n(Line::new(), missing + 1));
        lines.extend(self.table());
        lines.push(Line::new());
        lines.extend(self.curves(inner));
        lines.push(Line::new());
        lines.extend(self.bottom(inner));
        for line in &mut lines {
            line.insert(0, (Style::Plain, " ".to_owned()));
        }
        lines
    }

    fn headline(&self, width: usize) -> Line {
        let left = "bullmq-exporter and bullmq-keda";
        let right = clock(self.elapsed);
        let gap = width.saturating_sub(left.len() + right.len());
        vec![
            (Style::Strong, left.to_owned()),
            (Style::Faint, format!("{}{right}", " ".repeat(gap))),
        ]
    }

    fn table(&self) -> Vec<Line> {
        let mut lines = Vec::new();
        let wait_list = match self.observation.wait_list {
            Some(length) => vec![
                (self.style_of_wait_list(length), length.to_string()),
                (
                    Style::Faint,
                    format!("   a trigger on it would run {}", self.on_wait_list(length)),
                ),
            ],
            None => vec![(Style::Warning, "no answer from Redis".to_owned())],
        };
        lines.push(row("the wait list", wait_list));
        if let Some(queue) = self.observation.queue {
            let due = self
                .next_due()
                .map_or_else(String::new, |due| format!(" ({due})"));
            let first = format!(
                "waiting {}, prioritized {}, delayed {}{due}",
                queue.waiting, queue.prioritized, queue.delayed
            );
            let second = format!(
                "delayed and due {}, active {}, ",
                queue.delayed_due, queue.active
            );
            lines.push(row("bullmq-exporter", vec![(Style::Plain, first)]));
            let demand = (Style::Good, format!("demand {}", queue.demand));
            lines.push(row("", vec![(Style::Plain, second), demand]));
        } else {
            let text = self.without_queue();
            lines.push(row("bullmq-exporter", vec![(Style::Warning, text)]));
            lines.push(Line::new());
        }
        if self.revealed {
            let asked = (Style::Faint, "   its answer to the query below".to_owned());
            lines.push(row("Prometheus", vec![self.answer(), asked]));
            lines.push(row(
                "KEDA",
                vec![self.verdict(), (Style::Faint, self.reason())],
            ));
        } else {
            lines.extend([Line::new(), Line::new()]);
        }
        lines.push(row("worker processes", blocks(self.alive)));
        lines
    }

    /// Zero is wrong while there is demand.
    fn style_of_wait_list(&self, length: u32) -> Style {
        let demand = self.observation.queue.map_or(0, |queue| queue.demand);
        if length == 0 && demand > 0 {
            Style::Warning
        } else {
            Style::Plain
        }
    }

    fn on_wait_list(&self, length: u32) -> String {
        replicas(destination(self.object, f64::from(length), 0))
    }

    fn without_queue(&self) -> String {
        format!(
            "bullmq_up {}, and no series of the queue",
            u8::from(self.observation.redis_up)
        )
    }

    fn next_due(&self) -> Option<String> {
        let due = self.observation.next_due?;
        Some(if due.is_zero() {
            "overdue".to_owned()
        } else {
            format!("next in {} s", due.as_secs() + 1)
        })
    }

    fn answer(&self) -> (Style, String) {
        match self.observation.answer {
            Answer::Value(value) => (Style::Good, format!("{value}")),
            Answer::Error => (Style::Warning, "no data".to_owned()),
        }
    }

    fn verdict(&self) -> (Style, String) {
        let now = u32::try_from(self.alive.replicas()).unwrap_or(u32::MAX);
        match self.observation.answer {
            Answer::Value(value) => {
                let text = format!(
                    "would run {}",
                    replicas(destination(self.object, value, now))
                );
                (Style::Good, text)
            }
            Answer::Error => (Style::Warning, format!("holds, at {}", replicas(now))),
        }
    }

    fn reason(&self) -> String {
        let object = self.object;
        match self.observation.answer {
            Answer::Value(value) => format!(
                "   {value} / {}, between {} and {}",
                object.threshold, object.config.keda.min, object.config.hpa.max
            ),
            Answer::Error => "   an error to it, not 0".to_owned(),
        }
    }

    fn curves(&self, width: usize) -> Vec<Line> {
        let (demand, workers): (Vec<_>, Vec<_>) = self.history.iter().copied().unzip();
        let curve = |name: &str, values: &[Option<u32>]| {
            let peak = values.iter().flatten().max().copied().unwrap_or(0);
            let line = sparkline(values, width.saturating_sub(VALUES + " peak 1000".len()));
            row(
                name,
                vec![(Style::Good, line), (Style::Faint, format!(" peak {peak}"))],
            )
        };
        vec![curve("demand", &demand), curve("replicas", &workers)]
    }

    fn bottom(&self, width: usize) -> Vec<Line> {
        let faint = |text: String| vec![(Style::Faint, text)];
        if !self.notes.is_empty() {
            return self
                .notes
                .iter()
                .map(|note| vec![(Style::Plain, note.clone())])
                .collect();
        }
        if !self.revealed {
            return Vec::new();
        }
        let mut lines = self.excerpt(width);
        lines.push(faint(format!(
            "No cluster here, and times run {SPEED} times faster than in one. Ctrl-C ends it."
        )));
        lines
    }

    /// What of the ScaledObject decides the replicas.
    pub(crate) fn excerpt(&self, width: usize) -> Vec<Line> {
        let object = self.object;
        let title = format!("ScaledObject {}, as bullmq-keda generated it", object.name);
        let mut lines = vec![vec![(Style::Strong, title)]];
        for part in object.query.lines() {
            for line in wrapped(part, width.saturating_sub(INDENT.len())) {
                lines.push(vec![(Style::Plain, format!("{INDENT}{line}"))]);
            }
        }
        let numbers = format!(
            "{INDENT}threshold {}, minReplicaCount {}, maxReplicaCount {}, cooldownPeriod {}",
            object.threshold,
            object.config.keda.min,
            object.config.hpa.max,
            object.config.keda.cooldown.as_secs()
        );
        lines.push(vec![(Style::Plain, numbers)]);
        lines
    }

    /// The same in one line of plain text.
    pub(crate) fn facts(&self) -> String {
        let mut parts = Vec::new();
        parts.push(match self.observation.wait_list {
            Some(length) => format!(
                "wait list {length} (would run {})",
                self.on_wait_list(length)
            ),
            None => "wait list: no answer from Redis".to_owned(),
        });
        parts.push(match self.observation.queue {
            Some(queue) => format!(
                "waiting {}, prioritized {}, delayed {}, due {}, active {}, demand {}",
                queue.waiting,
                queue.prioritized,
                queue.delayed,
                queue.delayed_due,
                queue.active,
                queue.demand
            ),
            None => format!("exporter: {}", self.without_queue()),
        });
        if self.revealed {
            parts.push(format!("Prometheus {}", self.answer().1));
            parts.push(format!("KEDA {}", self.verdict().1));
        }
        parts.push(format!("workers {}", said(self.alive)));
        parts.join(" | ")
    }
}

fn row(name: &str, mut values: Line) -> Line {
    let name = format!("{name:<VALUES$}");
    values.insert(0, (Style::Plain, name));
    values
}

fn replicas(number: u32) -> String {
    if number == 1 {
        "1 replica".to_owned()
    } else {
        format!("{number} replicas")
    }
}

fn blocks(alive: Alive) -> Line {
    let mut line = vec![
        (Style::Good, "■".repeat(alive.ready)),
        (Style::Plain, "□".repeat(alive.starting)),
        (Style::Warning, "▣".repeat(alive.draining)),
    ];
    let gap = if alive == Alive::default() { "" } else { "  " };
    line.push((Style::Faint, format!("{gap}{}", said(alive))));
    line
}

fn said(alive: Alive) -> String {
    let states = [
        (alive.ready, "ready"),
        (alive.starting, "starting"),
        (alive.draining, "draining"),
    ];
    let said: Vec<String> = states
        .iter()
        .filter(|(number, _)| *number > 0)
        .map(|(number, state)| format!("{number} {state}"))
        .collect();
    if said.is_empty() {
        "none".to_owned()
    } else {
        said.join(", ")
    }
}

/// Minutes and seconds.
pub(crate) fn clock(time: Duration) -> String {
    format!("{}:{:02}", time.as_secs() / 60, time.as_secs() % 60)
}

/// Breaks a text between words; a word that is longer than a line is broken where the line ends.
pub(crate) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut length = 0;
    for word in text.split_whitespace() {
        let word: Vec<char> = word.chars().collect();
        if length > 0 && length + 1 + word.len() > width {
            lines.push(std::mem::take(&mut line));
            length = 0;
        }
        if length > 0 {
            line.push(' ');
            length += 1;
        }
        for character in word {
            if length == width {
                lines.push(std::mem::take(&mut line));
                length = 0;
            }
            line.push(character);
            length += 1;
        }
    }
    if length > 0 {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observation::Queue;

    #[test]
    fn the_picture_of_a_generated_scaled_object_fits_80_columns_and_24_lines() {
        let series = r#"(bullmq_queue_demand_jobs{redis="default",prefix="bull",queue="email"})"#;
        let by = "max by (redis, prefix, queue)";
        let manifest = format!(
            "kind: ScaledObject\nmetadata: {{name: email}}\nspec:\n  maxReplicaCount: 8\n  triggers:\n  - type: prometheus\n    \
             metadata:\n      serverAddress: a\n      threshold: '10'\n      query: |-\n        sum({by} {series})\n        \
             and on() (count({by} {series}) == 1)\n"
        );
        let scene = Scene {
            elapsed: Duration::from_secs(61),
            chapter: &Chapter {
                number: 1,
                of: 9,
                title: "A title".to_owned(),
                text: "word ".repeat(40),
            },
            observation: &Observation {
                wait_list: Some(0),
                next_due: Some(Duration::from_secs(7)),
                redis_up: true,
                queue: Some(Queue {
                    delayed: 20,
                    ..Queue::default()
                }),
                answer: Answer::Value(60.0),
            },
            object: &ScaledObject::from_yaml(&manifest).unwrap(),
            revealed: true,
            alive: Alive {
                starting: 1,
                ready: 5,
                draining: 2,
            },
            history: &[(Some(60), Some(6)); 200],
            notes: &[],
        };
        let picture = scene.picture(80);
        assert_eq!(picture.len(), 24);
        for line in picture {
            let text: String = line.into_iter().map(|(_, text)| text).collect();
            assert!(text.chars().count() <= 80, "{text:?}");
        }
    }

    #[test]
    fn text_is_broken_between_words_and_long_words_at_the_end_of_the_line() {
        for (text, width, lines) in [
            ("one two three", 7, vec!["one two", "three"]),
            ("abcdefgh", 3, vec!["abc", "def", "gh"]),
            ("a abcdef", 4, vec!["a", "abcd", "ef"]),
            ("", 4, vec![]),
        ] {
            assert_eq!(wrapped(text, width), lines, "{text:?}");
        }
    }

    #[test]
    fn a_clock_shows_minutes_and_seconds() {
        assert_eq!(clock(Duration::from_millis(125_900)), "2:05");
    }
}

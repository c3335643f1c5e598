//! A snapshot as Prometheus' text format, version 0.0.4.
//!
//! Written straight from the snapshot, family by family: a registry of gauges would have to be filled and emptied in every scrape,
//! and would still serve queues that are gone. Every name comes from the vocabulary.
//!
//! Format: <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format>.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use bullmq_vocabulary::{JobState, Metric, label, metric, prometheus_duration};

use crate::model::{QueueReading, QueueSnapshot, Snapshot};

/// The content type of what [`write()`] makes.
pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Appends every series of the snapshots.
///
/// # Errors
/// When `out` refuses to be written to; a `String` never does.
pub fn write(snapshots: &[&Snapshot], out: &mut impl Write) -> fmt::Result {
    let servers: Vec<Server<'_>> = snapshots
        .iter()
        .map(|snapshot| Server::of(snapshot))
        .collect::<Result<_, _>>()?;
    let mut page = Page {
        servers: &servers,
        out,
    };

    page.per_server(&metric::UP, |snapshot| Some(u8::from(snapshot.up)))?;
    page.family(&metric::QUEUE_UP, |server, sample| {
        for queue in &server.queues {
            sample(&queue.labels, "", &u8::from(queue.snapshot.is_some()))?;
        }
        Ok(())
    })?;
    page.family(&metric::JOB_COUNT, |server, sample| {
        let states = JobState::ALL.map(|state| (state, format!(",{}=\"{state}\"", label::STATE)));
        for queue in &server.queues {
            let Some(snapshot) = queue.snapshot else {
                continue;
            };
            for (state, label) in &states {
                sample(&queue.labels, label, &snapshot.counts.in_state(*state))?;
            }
        }
        Ok(())
    })?;
    page.per_queue(&metric::QUEUE_READY_JOBS, |queue| Some(queue.ready()))?;
    page.per_queue(&metric::QUEUE_DELAYED_DUE_JOBS, |queue| {
        Some(queue.delayed_due)
    })?;
    page.per_queue(&metric::QUEUE_DEMAND_JOBS, |queue| Some(queue.demand()))?;
    page.family(&metric::QUEUE_DEMAND_AHEAD_JOBS, |server, sample| {
        for queue in &server.queues {
            let Some(snapshot) = queue.snapshot else {
                continue;
            };
            for (index, label) in server.horizons.iter().enumerate() {
                sample(&queue.labels, label, &snapshot.demand_ahead(index))?;
            }
        }
        Ok(())
    })?;
    page.per_queue(&metric::QUEUE_OLDEST_READY_AGE_SECONDS, |queue| {
        queue.oldest_ready_age.map(Seconds)
    })?;
    page.per_queue(&metric::QUEUE_PAUSED, |queue| Some(u8::from(queue.paused)))?;
    page.per_queue(&metric::QUEUE_CONCURRENCY_LIMIT, |queue| {
        queue.concurrency_limit
    })?;
    page.per_queue(&metric::JOB_ADDED_TOTAL, |queue| queue.added)?;

    page.per_server(&metric::EXPORTER_SCRAPE_DURATION_SECONDS, |snapshot| {
        Some(Seconds(snapshot.duration))
    })?;
    page.per_server(&metric::EXPORTER_DISCOVERY_DURATION_SECONDS, |snapshot| {
        snapshot
            .discovery
            .map(|discovery| Seconds(discovery.duration))
    })?;
    page.per_server(
        &metric::EXPORTER_DISCOVERY_LAST_SUCCESS_TIMESTAMP_SECONDS,
        |snapshot| {
            snapshot
                .discovery
                .map(|discovery| Seconds(discovery.finished_at))
        },
    )?;
    page.per_server(&metric::EXPORTER_QUEUES, |snapshot| {
        snapshot.discovery.map(|discovery| discovery.queues)
    })
}

/// A snapshot with its labels written out once.
struct Server<'a> {
    snapshot: &'a Snapshot,
    labels: String,
    horizons: Vec<String>,
    queues: Vec<Queue<'a>>,
}

struct Queue<'a> {
    labels: String,
    /// Nothing if it could not be read.
    snapshot: Option<&'a QueueSnapshot>,
}

impl<'a> Server<'a> {
    fn of(snapshot: &'a Snapshot) -> Result<Self, fmt::Error> {
        let mut labels = String::new();
        write_label(&mut labels, label::REDIS, &snapshot.redis)?;
        let mut queues = Vec::with_capacity(snapshot.queues.len());
        for (queue, reading) in &snapshot.queues {
            let read = match reading {
                QueueReading::Gone => continue,
                QueueReading::Unread => None,
                QueueReading::Read(read) => Some(read),
            };
            let mut labels = labels.clone();
            labels.push(',');
            write_label(&mut labels, label::PREFIX, &queue.prefix)?;
            labels.push(',');
            write_label(&mut labels, label::QUEUE, &queue.name)?;
            queues.push(Queue {
                labels,
                snapshot: read,
            });
        }
        let horizons = snapshot
            .horizons
            .iter()
            .map(|horizon| format!(",{}=\"{}\"", label::WITHIN, prometheus_duration(*horizon)))
            .collect();
        Ok(Self {
            snapshot,
            labels,
            horizons,
            queues,
        })
    }
}

/// Writes one sample: the labels of a server or queue, further labels, and the value.
type WriteSample<'w> = dyn FnMut(&str, &str, &dyn Display) -> fmt::Result + 'w;

struct Page<'a, W> {
    servers: &'a [Server<'a>],
    out: &'a mut W,
}

impl<W: Write> Page<'_, W> {
    /// Writes a family with the samples of each server, and its head if there is any.
    fn family(
        &mut self,
        metric: &Metric,
        samples: impl Fn(&Server<'_>, &mut WriteSample<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let Metric {
            name, kind, help, ..
        } = metric;
        let mut headed = false;
        for server in self.servers {
            samples(server, &mut |labels, more, value| {
                if !headed {
                    headed = true;
                    writeln!(self.out, "# HELP {name} {help}")?;
                    writeln!(self.out, "# TYPE {name} {}", kind.as_str())?;
                }
                writeln!(self.out, "{name}{{{labels}{more}}} {value}")
            })?;
        }
        Ok(())
    }

    fn per_server<V: Display>(
        &mut self,
        metric: &Metric,
        value: impl Fn(&Snapshot) -> Option<V>,
    ) -> fmt::Result {
        self.family(metric, |server, sample| match value(server.snapshot) {
            Some(value) => sample(&server.labels, "", &value),
            None => Ok(()),
        })
    }

    fn per_queue<V: Display>(
        &mut self,
        metric: &Metric,
        value: impl Fn(&QueueSnapshot) -> Option<V>,
    ) -> fmt::Result {
        self.family(metric, |server, sample| {
            for queue in &server.queues {
                if let Some(value) = queue.snapshot.and_then(&value) {
                    sample(&queue.labels, "", &value)?;
                }
            }
            Ok(())
        })
    }
}

/// A duration in seconds.
struct Seconds(Duration);

impl Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.as_secs_f64())
    }
}

fn write_label(out: &mut String, key: &str, value: &str) -> fmt::Result {
    write!(out, "{key}=\"")?;
    for character in value.chars() {
        match character {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            other => out.push(other),
        }
    }
    out.push('"');
    Ok(())
}

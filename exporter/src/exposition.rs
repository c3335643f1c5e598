//! A snapshot as text: Prometheus' format, version 0.0.4, or OpenMetrics, version 1.0.0.
//!
//! Written straight from the snapshot, family by family: a registry of gauges would have to be filled and emptied in every scrape,
//! and would still serve queues that are gone. Every name comes from the vocabulary.
//!
//! Formats: <https://prometheus.io/docs/instrumenting/exposition_formats/#text-based-format> and
//! <https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>.

use std::fmt::{self, Display, Write};
use std::time::Duration;

use bullmq_vocabulary::{
    JOB_SECONDS_BUCKETS, JobEvent, JobState, Kind, Metric, label, metric, prometheus_duration,
};

use crate::job_events::{Histogram, JobEvents};
use crate::model::{Flavor, GroupStatus, QueueReading, QueueSnapshot, Snapshot, Workers};

/// A text format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Prometheus' own, version 0.0.4.
    #[default]
    Text,
    /// OpenMetrics, version 1.0.0. A counter's family has its name without `_total`, and the text has an end that a reader looks for:
    /// one that was cut off is refused.
    OpenMetrics,
}

impl Format {
    /// The content type.
    pub const fn content_type(self) -> &'static str {
        match self {
            Self::Text => "text/plain; version=0.0.4; charset=utf-8",
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// What stands at the end of a whole exposition.
    pub const fn end(self) -> &'static str {
        match self {
            Self::Text => "",
            Self::OpenMetrics => "# EOF\n",
        }
    }

    /// Writes the lines above the samples of a metric.
    ///
    /// # Errors
    /// When `out` refuses to be written to; a `String` never does.
    pub fn write_head(
        self,
        out: &mut impl Write,
        name: &str,
        kind: &str,
        help: &str,
    ) -> fmt::Result {
        let family = match self {
            Self::OpenMetrics if kind == Kind::Counter.as_str() => {
                name.strip_suffix("_total").unwrap_or(name)
            }
            Self::Text | Self::OpenMetrics => name,
        };
        writeln!(out, "# HELP {family} {help}\n# TYPE {family} {kind}")
    }
}

/// Appends every series of the snapshots, without the end of the whole exposition.
///
/// # Errors
/// When `out` refuses to be written to; a `String` never does.
pub fn write(snapshots: &[&Snapshot], format: Format, out: &mut impl Write) -> fmt::Result {
    let servers: Vec<Server<'_>> = snapshots
        .iter()
        .map(|snapshot| Server::of(snapshot))
        .collect::<Result<_, _>>()?;
    let mut page = Page {
        servers: &servers,
        format,
        out,
    };

    page.jobs()?;
    page.work()?;
    page.events()?;
    page.server()
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
    /// Nothing if workers are not counted.
    workers: Option<Workers>,
    /// Nothing if its events are not followed, or could not be read.
    events: Option<&'a JobEvents>,
    /// Nothing if it could not be read.
    snapshot: Option<&'a QueueSnapshot>,
}

impl<'a> Server<'a> {
    fn of(snapshot: &'a Snapshot) -> Result<Self, fmt::Error> {
        let mut labels = String::new();
        write_label(&mut labels, label::REDIS, &snapshot.redis)?;
        let mut queues = Vec::with_capacity(snapshot.queues.len());
        for (index, (queue, reading)) in snapshot.queues.iter().enumerate() {
            let read = match reading {
                QueueReading::Gone => continue,
                QueueReading::Unread => None,
                QueueReading::Read(read) => Some(read.as_ref()),
            };
            let mut labels = labels.clone();
            labels.push(',');
            write_label(&mut labels, label::PREFIX, &queue.prefix)?;
            labels.push(',');
            write_label(&mut labels, label::QUEUE, &queue.name)?;
            let workers = snapshot.workers.get(index).copied().flatten();
            // Bull has no such stream, and so nothing is known of its events.
            let has_events = read.is_some_and(|read| read.flavor == Flavor::BullMq);
            let events = snapshot.events.get(queue).filter(|_| has_events);
            queues.push(Queue {
                labels,
                workers: workers.filter(|_| read.is_some()),
                events: events.map(AsRef::as_ref),
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

/// Writes one sample of a part of a value: the suffix of its name, the labels of a queue, further labels, and the value.
type WritePart<'w> = dyn FnMut(&str, &str, &str, &dyn Display) -> fmt::Result + 'w;

/// Writes one sample: the labels of a server or queue, further labels, and the value.
type WriteSample<'w> = dyn FnMut(&str, &str, &dyn Display) -> fmt::Result + 'w;

struct Page<'a, W> {
    servers: &'a [Server<'a>],
    format: Format,
    out: &'a mut W,
}

impl<W: Write> Page<'_, W> {
    /// What waits, and who is asked to do it.
    fn jobs(&mut self) -> fmt::Result {
        self.per_server(&metric::UP, |snapshot| Some(u8::from(snapshot.up)))?;
        self.family(&metric::QUEUE_UP, |server, sample| {
            for queue in &server.queues {
                sample(&queue.labels, "", &u8::from(queue.snapshot.is_some()))?;
            }
            Ok(())
        })?;
        self.family(&metric::JOB_COUNT, |server, sample| {
            let states =
                JobState::ALL.map(|state| (state, format!(",{}=\"{state}\"", label::STATE)));
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
        self.per_queue(&metric::QUEUE_READY_JOBS, |queue| Some(queue.ready()))?;
        self.per_queue(&metric::QUEUE_DELAYED_DUE_JOBS, |queue| {
            Some(queue.delayed_due)
        })?;
        self.per_queue(&metric::QUEUE_DEMAND_JOBS, |queue| Some(queue.demand()))?;
        self.family(&metric::QUEUE_DEMAND_AHEAD_JOBS, |server, sample| {
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
        self.per_queue(&metric::QUEUE_OLDEST_READY_AGE_SECONDS, |queue| {
            queue.oldest_ready_age.map(Seconds)
        })?;
        Ok(())
    }

    /// What is being done, what holds it back, and what has been done.
    fn work(&mut self) -> fmt::Result {
        self.per_queue(&metric::QUEUE_LONGEST_ACTIVE_SECONDS, |queue| {
            queue.longest_active.map(Seconds)
        })?;
        self.per_queue(&metric::QUEUE_ORPHANED, |queue| {
            queue.orphaned.map(u8::from)
        })?;
        self.per_queue(&metric::QUEUE_PAUSED, |queue| Some(u8::from(queue.paused)))?;
        self.per_queue(&metric::QUEUE_CONCURRENCY_LIMIT, |queue| {
            queue.concurrency_limit
        })?;
        self.per_queue(&metric::QUEUE_RATE_LIMITED, |queue| {
            queue.rate_limit?.limited.map(u8::from)
        })?;
        self.per_queue(&metric::QUEUE_RATE_LIMIT_RESET_SECONDS, |queue| {
            Some(Seconds(queue.rate_limit?.reset))
        })?;
        self.workers(&metric::QUEUE_WORKERS, |workers| workers.connected)?;
        self.workers(&metric::QUEUE_WORKERS_IDLE, |workers| workers.idle)?;
        self.per_queue(&metric::QUEUE_SCHEDULERS, |queue| {
            Some(queue.schedulers?.all)
        })?;
        self.per_queue(&metric::QUEUE_SCHEDULERS_OVERDUE, |queue| {
            Some(queue.schedulers?.overdue)
        })?;
        self.family(&metric::QUEUE_GROUPS, |server, sample| {
            for queue in &server.queues {
                let Some(groups) = queue.snapshot.and_then(|snapshot| snapshot.groups) else {
                    continue;
                };
                for status in GroupStatus::ALL {
                    let label = format!(",{}=\"{}\"", label::STATUS, status.as_str());
                    sample(&queue.labels, &label, &groups.in_status(status))?;
                }
            }
            Ok(())
        })?;
        self.family(&metric::QUEUE_INFO, |server, sample| {
            for queue in &server.queues {
                let Some(snapshot) = queue.snapshot else {
                    continue;
                };
                let mut more = String::from(",");
                write_label(&mut more, label::FLAVOR, snapshot.flavor.as_str())?;
                more.push(',');
                write_label(&mut more, label::VERSION, &snapshot.version)?;
                sample(&queue.labels, &more, &1)?;
            }
            Ok(())
        })?;
        self.per_queue(&metric::JOB_ADDED_TOTAL, |queue| queue.added)?;
        self.per_queue(&metric::JOB_COMPLETED_TOTAL, |queue| queue.completed)?;
        self.per_queue(&metric::JOB_FAILED_TOTAL, |queue| queue.failed)?;
        Ok(())
    }

    /// What the queues' events told.
    fn events(&mut self) -> fmt::Result {
        self.histogram(&metric::JOB_WAIT_SECONDS, |events| &events.wait)?;
        self.histogram(&metric::JOB_PROCESSING_SECONDS, |events| &events.processing)?;
        self.family(&metric::JOB_EVENTS_TOTAL, |server, sample| {
            let names =
                JobEvent::ALL.map(|event| (event, format!(",{}=\"{event}\"", label::EVENT)));
            for queue in &server.queues {
                let Some(events) = queue.events else {
                    continue;
                };
                for (event, label) in &names {
                    sample(&queue.labels, label, &events.seen(*event))?;
                }
            }
            Ok(())
        })
    }

    /// Redis itself, and how it was read.
    fn server(&mut self) -> fmt::Result {
        self.family(&metric::REDIS_INFO, |server, sample| {
            let Some(facts) = &server.snapshot.facts else {
                return Ok(());
            };
            let mut more = String::new();
            for (key, value) in [
                (label::VERSION, &facts.version),
                (label::MODE, &facts.mode),
                (label::ROLE, &facts.role),
                (label::MAXMEMORY_POLICY, &facts.maxmemory_policy),
            ] {
                more.push(',');
                write_label(&mut more, key, value)?;
            }
            sample(&server.labels, &more, &1)
        })?;
        self.per_server(&metric::EXPORTER_SCRAPE_DURATION_SECONDS, |snapshot| {
            Some(Seconds(snapshot.duration))
        })?;
        self.per_server(&metric::EXPORTER_DISCOVERY_DURATION_SECONDS, |snapshot| {
            snapshot
                .discovery
                .map(|discovery| Seconds(discovery.duration))
        })?;
        self.per_server(
            &metric::EXPORTER_DISCOVERY_LAST_SUCCESS_TIMESTAMP_SECONDS,
            |snapshot| {
                snapshot
                    .discovery
                    .map(|discovery| Seconds(discovery.finished_at))
            },
        )?;
        self.per_server(&metric::EXPORTER_QUEUES, |snapshot| {
            snapshot.discovery.map(|discovery| discovery.queues)
        })
    }

    /// Writes a family with the samples of each server, and its head if there is any.
    fn family(
        &mut self,
        metric: &Metric,
        samples: impl Fn(&Server<'_>, &mut WriteSample<'_>) -> fmt::Result,
    ) -> fmt::Result {
        self.family_of_parts(metric, |server, sample| {
            samples(server, &mut |labels, more, value| {
                sample("", labels, more, value)
            })
        })
    }

    /// The same where a sample may be a part of a value, whose name has a suffix.
    fn family_of_parts(
        &mut self,
        metric: &Metric,
        samples: impl Fn(&Server<'_>, &mut WritePart<'_>) -> fmt::Result,
    ) -> fmt::Result {
        let Metric {
            name, kind, help, ..
        } = metric;
        let mut headed = false;
        for server in self.servers {
            samples(server, &mut |suffix, labels, more, value| {
                if !headed {
                    headed = true;
                    self.format
                        .write_head(self.out, name, kind.as_str(), help)?;
                }
                writeln!(self.out, "{name}{suffix}{{{labels}{more}}} {value}")
            })?;
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        metric: &Metric,
        value: impl Fn(&JobEvents) -> &Histogram,
    ) -> fmt::Result {
        // With a fraction, as OpenMetrics wants it and Prometheus 3 stores it, so that a series has one name in every format.
        let bounds = JOB_SECONDS_BUCKETS.map(|bound| format!(",{}=\"{bound:?}\"", label::LE));
        let last = format!(",{}=\"+Inf\"", label::LE);
        self.family_of_parts(metric, |server, sample| {
            for queue in &server.queues {
                let Some(histogram) = queue.events.map(&value) else {
                    continue;
                };
                let labels = &queue.labels;
                for ((_, count), bound) in histogram.cumulated().zip(&bounds) {
                    sample("_bucket", labels, bound, &count)?;
                }
                sample("_bucket", labels, &last, &histogram.count())?;
                sample("_sum", labels, "", &Seconds(histogram.sum()))?;
                sample("_count", labels, "", &histogram.count())?;
            }
            Ok(())
        })
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

    fn workers(&mut self, metric: &Metric, value: impl Fn(Workers) -> u64) -> fmt::Result {
        self.family(metric, |server, sample| {
            for queue in &server.queues {
                if let Some(workers) = queue.workers {
                    sample(&queue.labels, "", &value(workers))?;
                }
            }
            Ok(())
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

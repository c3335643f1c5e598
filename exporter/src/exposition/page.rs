//! A page: everything that is said in one scrape, written chunk by chunk as it is sent.
//!
//! The text of ten thousand queues is more than twenty megabytes, and of their events three times that. It never stands in memory whole:
//! a page knows how far it has been written, and goes on from there.

use std::sync::Arc;

use bullmq_vocabulary::{label, prometheus_duration};
use bytes::BytesMut;

use super::Format;
use super::families::{FAMILIES, Family, Queue, Source};
use super::samples::{Samples, write_label};
use crate::model::{Flavor, QueueReading, Snapshot};

/// An exposition, written as far as it has been asked for.
#[derive(Debug)]
pub struct Page {
    servers: Vec<Server>,
    format: Format,
    /// What follows the series of the snapshots.
    tail: String,
    next: Position,
    done: bool,
}

/// What is written next: the series of this queue in this family.
#[derive(Debug, Default)]
struct Position {
    family: usize,
    server: usize,
    queue: usize,
    /// Whether the head of the family stands already.
    headed: bool,
}

/// A snapshot with its labels written out once.
#[derive(Debug)]
struct Server {
    snapshot: Arc<Snapshot>,
    labels: Labels,
    horizons: Vec<String>,
    /// The queues that exist: their indices in the snapshot.
    queues: Vec<usize>,
}

/// The labels of a server, and those of each of its queues, in one piece of memory.
#[derive(Debug, Default)]
struct Labels {
    text: String,
    /// Where those of the server end, and then those of each queue.
    ends: Vec<usize>,
}

impl Labels {
    /// Those of the server, or with a number above zero those of a queue.
    fn get(&self, number: usize) -> &str {
        let start = number.checked_sub(1).and_then(|last| self.ends.get(last));
        let (start, end) = (start.copied().unwrap_or(0), self.ends.get(number));
        end.and_then(|end| self.text.get(start..*end))
            .unwrap_or_default()
    }
}

impl Server {
    fn of(snapshot: Arc<Snapshot>) -> Self {
        let mut line = BytesMut::new();
        let mut labels = Labels::default();
        let mut close = |line: &mut BytesMut| {
            labels.text.push_str(&String::from_utf8_lossy(line));
            labels.ends.push(labels.text.len());
        };
        write_label(&mut line, label::REDIS, &snapshot.redis);
        close(&mut line);
        let of_server = line.len();
        let mut queues = Vec::with_capacity(snapshot.queues.len());
        for (index, (queue, reading)) in snapshot.queues.iter().enumerate() {
            if *reading == QueueReading::Gone {
                continue;
            }
            line.truncate(of_server);
            for (key, value) in [(label::PREFIX, &queue.prefix), (label::QUEUE, &queue.name)] {
                line.extend_from_slice(b",");
                write_label(&mut line, key, value);
            }
            close(&mut line);
            queues.push(index);
        }
        let horizons = snapshot.horizons.iter();
        let horizons = horizons.map(|horizon| prometheus_duration(*horizon));
        Self {
            horizons: horizons.collect(),
            labels,
            queues,
            snapshot,
        }
    }

    fn queue(&self, index: usize) -> Queue<'_> {
        let snapshot = match self.snapshot.queues.get(index) {
            Some((_, QueueReading::Read(read))) => Some(read.as_ref()),
            Some((_, QueueReading::Unread | QueueReading::Gone)) | None => None,
        };
        let workers = self.snapshot.workers.get(index);
        // Bull has no such stream, and so nothing is known of its events.
        let has_events = snapshot.is_some_and(|read| read.flavor == Flavor::BullMq);
        let events = self.snapshot.events.get(index).filter(|_| has_events);
        Queue {
            snapshot,
            workers: workers.copied().flatten().filter(|_| snapshot.is_some()),
            events: events.and_then(Option::as_ref),
            horizons: &self.horizons,
        }
    }
}

impl Page {
    /// A page of which nothing has been written. The tail follows the series of the snapshots; the end of the format follows it.
    pub fn new(snapshots: Vec<Arc<Snapshot>>, format: Format, mut tail: String) -> Self {
        tail.push_str(format.end());
        Self {
            servers: snapshots.into_iter().map(Server::of).collect(),
            format,
            tail,
            next: Position::default(),
            done: false,
        }
    }

    /// Whether everything has been written.
    pub const fn is_done(&self) -> bool {
        self.done
    }

    /// Writes what comes next until `out` holds `enough` bytes or everything has been written. What belongs to one queue in one family is
    /// never parted, so a little more may be written than is enough.
    pub fn fill(&mut self, out: &mut BytesMut, enough: usize) {
        let Position {
            family,
            server,
            queue,
            headed,
        } = &mut self.next;
        while let Some(Family { metric, source }) = FAMILIES.get(*family) {
            while let Some(of) = self.servers.get(*server) {
                let mut samples = |number: usize, write: &dyn Fn(&mut Samples<'_>)| {
                    write(&mut Samples {
                        out,
                        format: self.format,
                        metric,
                        labels: of.labels.get(number),
                        headed,
                    });
                    out.len() >= enough
                };
                match source {
                    Source::Servers(write) if *queue == 0 => {
                        *queue = 1;
                        if samples(0, &|out| write(&of.snapshot, out)) {
                            return;
                        }
                    }
                    Source::Servers(_) => {}
                    Source::Queues(write) => {
                        while let Some(index) = of.queues.get(*queue) {
                            *queue += 1;
                            let seen = of.queue(*index);
                            if samples(*queue, &|out| write(&seen, out)) {
                                return;
                            }
                        }
                    }
                }
                *server += 1;
                *queue = 0;
            }
            *family += 1;
            *server = 0;
            *headed = false;
        }
        if !self.done {
            self.done = true;
            out.extend_from_slice(self.tail.as_bytes());
        }
    }
}

//! The whole run: which data, who takes turns on it, and what is kept of that.

use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};

use crate::bare::{AS_THE_EXPORTER, Manner, Unit};
use crate::contestant::{Connections, Contestant, Exporter, Node, bare};
use crate::data::{Data, Kind, Wanted};
use crate::events::Writer;
use crate::memory::Memory;
use crate::progress::Progress;
use crate::recording::Recording;
use crate::turns::{Entry, Figures, quantile, take_turns};
use crate::twins;

/// Each kind is made, made again and copied once; a hundred queues have all of them.
pub(crate) const FEWEST_QUEUES: i64 = 100;

/// How many queues of a hundred are idle where most are.
const MOSTLY_IDLE: usize = 95;

/// How many scrapes there are before memory is looked at.
const SCRAPES_BEFORE_MEMORY: usize = 100;

/// The flags that leave out what can be left out.
const LEAST: [&str; 7] = [
    "--collect.workers=false",
    "--collect.ahead=false",
    "--collect.ages=false",
    "--collect.limits=false",
    "--collect.schedulers=false",
    "--collect.counters=false",
    "--collect.groups=false",
];

/// The sizes that are measured besides the one that is asked for.
const SMALLER: [usize; 2] = [100, 1_000];

/// What is measured, and with what.
#[derive(Debug)]
pub(crate) struct Bench {
    /// The program.
    pub(crate) exporter: PathBuf,
    /// How many queues.
    pub(crate) queues: usize,
    /// How many finished jobs are kept in the case of many.
    pub(crate) retained: usize,
    /// How many turns each takes.
    pub(crate) rounds: usize,
    /// How many seconds it is scraped every second.
    pub(crate) steady: usize,
    /// Who is told what is going on.
    pub(crate) progress: Progress,
}

/// One line of a table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The data.
    pub(crate) data: String,
    /// Who was measured.
    pub(crate) who: &'static str,
    /// What was measured; or why it could not be.
    pub(crate) figures: Result<Figures, String>,
    /// How much slower it is than the first of those with which it took turns.
    pub(crate) ratio: f64,
    /// How many series it served.
    pub(crate) series: Option<usize>,
    /// From the start of its process to its first good scrape.
    pub(crate) first_good_scrape: Option<Duration>,
}

impl Row {
    /// How many commands Redis ran in a scrape.
    fn commands(&self) -> Option<u64> {
        let figures = self.figures.as_ref().ok()?;
        Some(quantile(&figures.commands, 50))
    }
}

impl Default for Row {
    fn default() -> Self {
        Self {
            data: String::new(),
            who: "",
            figures: Ok(Figures::default()),
            ratio: 1.0,
            series: None,
            first_good_scrape: None,
        }
    }
}

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Results {
    /// How many queues.
    pub(crate) queues: usize,
    /// How many finished jobs are kept in the case of many.
    pub(crate) retained: usize,
    /// The contestants on busy queues; the bare pipeline is the first.
    pub(crate) busy: Vec<Row>,
    /// BullMQ with a connection a queue, beside the bare pipeline.
    pub(crate) connections: Vec<Row>,
    /// The contestants on queues of which most are idle.
    pub(crate) idle: Vec<Row>,
    /// The exporter on busy queues, on mostly idle ones, and on those with many finished jobs; the bare pipeline on the first and the last.
    pub(crate) contents: Vec<Row>,
    /// The contestants on fewer queues.
    pub(crate) sizes: Vec<(usize, Vec<Row>)>,
    /// Other manners of sending the same commands.
    pub(crate) manners: Vec<Row>,
    /// The memory of the exporter after a hundred scrapes on end.
    pub(crate) after_scrapes: Memory,
    /// The same while it follows the queues' events, which keep coming.
    pub(crate) with_events: Memory,
    /// Its memory at the beginning and at the end of scrapes every second.
    pub(crate) steady: (Memory, Memory),
    /// What is sent about queues of some kinds.
    pub(crate) commands: Vec<(Kind, Vec<String>)>,
    /// On what it was measured.
    pub(crate) machine: String,
}

impl Bench {
    /// Measures everything.
    ///
    /// # Errors
    /// When a server does not come up, the data is not what it should be, or a signal has come.
    pub(crate) fn run(&self) -> Result<Results> {
        let Self {
            queues, retained, ..
        } = *self;
        self.progress.step(&format!(
            "{queues} queues, and {retained} finished jobs; {} turns each; {} s of scrapes every second. Private servers on free ports of 127.0.0.1.",
            self.rounds, self.steady
        ))?;
        let busy = self.data(0, queues, 0)?;
        let began = load();
        let (busy_rows, recording) = self.contestants(&busy, "all busy")?;
        let shown = [Kind::Idle, Kind::Waiting, Kind::Everything];
        let commands = shown
            .map(|kind| (kind, recording.shown(&format!("made-{kind}"))))
            .into();
        let manners = self.manners(&busy, &recording)?;
        let after_scrapes = self.scrape_on_end(&busy, &[])?;
        let steady = self.scrape_every_second(&busy)?;
        let connections = self.connections(&busy, &recording)?;
        let idle = self.data(MOSTLY_IDLE, queues, 0)?;
        let (idle_rows, _) = self.contestants(&idle, "95 % idle")?;
        let many = self.data(0, queues, retained)?;
        let contents = self.contents(&busy, &recording, &idle, &many)?;
        let with_events = self.scrape_with_events(&busy)?;
        drop((busy, idle, many));
        let mut sizes = Vec::new();
        for size in SMALLER {
            if size < queues {
                let data = self.data(0, size, 0)?;
                let (mut rows, recording) = self.contestants(&data, "all busy")?;
                rows.extend(self.connections(&data, &recording)?.into_iter().skip(1));
                drop(data);
                // Those of each kind that BullMQ makes are a quarter of a hundred queues, so less of them are idle than told.
                let data = self.data(MOSTLY_IDLE, size, 0)?;
                rows.extend(self.contestants(&data, "mostly idle")?.0);
                sizes.push((size, rows));
            }
        }
        let machine = machine(&began)?;
        Ok(Results {
            queues,
            retained,
            busy: busy_rows,
            connections,
            idle: idle_rows,
            contents,
            sizes,
            manners,
            after_scrapes,
            with_events,
            steady,
            commands,
            machine,
        })
    }

    fn data(&self, idle_percent: usize, queues: usize, retained: usize) -> Result<Data> {
        self.progress.step(&format!(
            "making {queues} queues, {idle_percent} % of them idle, with {retained} finished jobs besides"
        ))?;
        Data::make(Wanted {
            queues,
            idle_percent,
            retained,
        })
    }

    fn start(&self, data: &Data, flags: &[&str]) -> Result<Exporter> {
        Exporter::start(&self.exporter, &data.redis, data.names.len(), flags)
    }

    /// All that take turns, and the commands that the exporter sent.
    fn contestants(&self, data: &Data, name: &str) -> Result<(Vec<Row>, Recording)> {
        let (redis, queues) = (&data.redis, data.names.len());
        let mut exporter = self.start(data, &[])?;
        let recording = Recording::of(redis, || exporter.scrape().map(drop))?;
        twins::check(&exporter.text()?, &recording)?;
        let mut pipeline = bare(redis, &recording, AS_THE_EXPORTER)?;
        let mut zipped = self.start(data, &[])?.with_gzip();
        let mut least = self.start(data, &LEAST)?;
        let mut node = Node::start(redis, &data.names, Connections::One)?;
        let mut told = [
            (None, None),
            (
                Some(series(&exporter.text()?)),
                Some(exporter.first_good_scrape),
            ),
            (
                Some(series(&zipped.text()?)),
                Some(zipped.first_good_scrape),
            ),
            (Some(series(&least.text()?)), Some(least.first_good_scrape)),
            (Some(series(&node.text()?)), Some(node.first_good_scrape)),
        ]
        .into_iter();
        let mut entries = [
            Entry {
                name: BARE,
                redis,
                contestant: &mut pipeline,
            },
            Entry {
                name: OURS,
                redis,
                contestant: &mut exporter,
            },
            Entry {
                name: OURS_GZIP,
                redis,
                contestant: &mut zipped,
            },
            Entry {
                name: OURS_LEAST,
                redis,
                contestant: &mut least,
            },
            Entry {
                name: NODE,
                redis,
                contestant: &mut node,
            },
        ];
        let figures = take_turns(
            &format!("{queues} queues, {name}"),
            &mut entries,
            self.rounds,
            &self.progress,
        )?;
        let mut rows = rows(&format!("{queues}, {name}"), &entries, figures);
        for row in &mut rows {
            (row.series, row.first_good_scrape) = told.next().unwrap_or_default();
        }
        let mut sent = rows.iter().map(Row::commands);
        let (bare, ours) = (sent.next().flatten(), sent.next().flatten());
        // In the middle of the turns: a window that ends in mid-run may change a few.
        ensure!(
            bare == ours,
            "the bare pipeline sends other commands than the exporter: {bare:?} and {ours:?}"
        );
        Ok((rows, recording))
    }

    /// BullMQ with a connection a queue, beside the bare pipeline. Its connections stand in CLIENT LIST and would be read by the others.
    fn connections(&self, data: &Data, recording: &Recording) -> Result<Vec<Row>> {
        let (redis, queues) = (&data.redis, data.names.len());
        let label = format!("{queues}, all busy");
        self.progress
            .step(&format!("connecting Node to Redis {queues} times"))?;
        let mut node = match Node::start(redis, &data.names, Connections::Each) {
            Ok(node) => node,
            Err(error) => {
                let why = format!("{error:#}");
                let why = why.lines().next().unwrap_or_default();
                let stats = redis.run(&["INFO", "stats"])?;
                let refused = stats
                    .lines()
                    .find_map(|line| line.strip_prefix("rejected_connections:"));
                let limit = redis.run(&["CONFIG", "GET", "maxclients"])?;
                let why = format!(
                    "{why}; Redis refused {} connections, its {}",
                    refused.unwrap_or_default(),
                    limit.replace('\n', " is ")
                );
                return Ok(vec![
                    Row::default(),
                    Row {
                        data: label,
                        who: NODE_EACH,
                        figures: Err(why),
                        ..Row::default()
                    },
                ]);
            }
        };
        let told = (Some(series(&node.text()?)), Some(node.first_good_scrape));
        let mut pipeline = bare(redis, recording, AS_THE_EXPORTER)?;
        let mut entries = [
            Entry {
                name: BARE,
                redis,
                contestant: &mut pipeline,
            },
            Entry {
                name: NODE_EACH,
                redis,
                contestant: &mut node,
            },
        ];
        let figures = take_turns(
            &format!("{queues} queues, a connection a queue"),
            &mut entries,
            self.rounds,
            &self.progress,
        )?;
        let mut rows = rows(&label, &entries, figures);
        if let Some(row) = rows.last_mut() {
            (row.series, row.first_good_scrape) = told;
        }
        Ok(rows)
    }

    /// The exporter on what is in the queues, and how much of it is Redis' affair: the bare pipeline beside many finished jobs and without.
    fn contents(
        &self,
        busy: &Data,
        recording: &Recording,
        idle: &Data,
        many: &Data,
    ) -> Result<Vec<Row>> {
        let mut exporters = [
            self.start(busy, &[])?,
            self.start(idle, &[])?,
            self.start(many, &[])?,
        ];
        let [of_busy, of_idle, of_many] = &mut exporters;
        let of_many_recorded = Recording::of(&many.redis, || of_many.scrape().map(drop))?;
        let mut bare_of_busy = bare(&busy.redis, recording, AS_THE_EXPORTER)?;
        let mut bare_of_many = bare(&many.redis, &of_many_recorded, AS_THE_EXPORTER)?;
        let mut entries = [
            Entry {
                name: "all busy",
                redis: &busy.redis,
                contestant: of_busy,
            },
            Entry {
                name: "95 % idle",
                redis: &idle.redis,
                contestant: of_idle,
            },
            Entry {
                name: "all busy, with many finished jobs",
                redis: &many.redis,
                contestant: of_many,
            },
            Entry {
                name: "bare pipeline, all busy",
                redis: &busy.redis,
                contestant: &mut bare_of_busy,
            },
            Entry {
                name: "bare pipeline, all busy, with many finished jobs",
                redis: &many.redis,
                contestant: &mut bare_of_many,
            },
        ];
        let figures = take_turns(
            "contents of the queues",
            &mut entries,
            self.rounds,
            &self.progress,
        )?;
        Ok(rows(&busy.names.len().to_string(), &entries, figures))
    }

    /// The same commands sent in other manners.
    fn manners(&self, data: &Data, recording: &Recording) -> Result<Vec<Row>> {
        let as_sent = |batch, in_flight| Manner {
            batch,
            in_flight,
            unit: Unit::AsSent,
        };
        let of_unit = |unit| Manner {
            unit,
            ..AS_THE_EXPORTER
        };
        let manners = [
            ("100 queues a pipeline, 4 in flight", AS_THE_EXPORTER),
            ("10 a pipeline, 4 in flight", as_sent(10, 4)),
            ("1,000 a pipeline, 4 in flight", as_sent(1_000, 4)),
            ("100 a pipeline, 1 in flight", as_sent(100, 1)),
            ("100 a pipeline, 2 in flight", as_sent(100, 2)),
            ("100 a pipeline, 8 in flight", as_sent(100, 8)),
            (
                "100 a pipeline, 4 in flight, one MULTI a pipeline",
                of_unit(Unit::Transaction),
            ),
            (
                "100 a pipeline, 4 in flight, no MULTI",
                of_unit(Unit::Nothing),
            ),
            ("100 a script, 4 in flight", of_unit(Unit::Script)),
            (
                "1,000 a script, 4 in flight",
                Manner {
                    batch: 1_000,
                    in_flight: 4,
                    unit: Unit::Script,
                },
            ),
        ];
        let mut pipelines = Vec::new();
        for (name, manner) in manners {
            pipelines.push((name, bare(&data.redis, recording, manner)?));
        }
        let mut entries: Vec<Entry<'_>> = pipelines
            .iter_mut()
            .map(|(name, contestant)| Entry {
                name,
                redis: &data.redis,
                contestant,
            })
            .collect();
        let figures = take_turns(
            "manners of sending",
            &mut entries,
            self.rounds,
            &self.progress,
        )?;
        Ok(rows(&data.names.len().to_string(), &entries, figures))
    }

    /// The memory with events that keep coming. Last of all on this data: their streams are longer then.
    fn scrape_with_events(&self, data: &Data) -> Result<Memory> {
        let writer = Writer::start(&data.redis, &data.names)?;
        let memory = self.scrape_on_end(data, &["--collect.events"])?;
        writer.stop()?;
        Ok(memory)
    }

    fn scrape_on_end(&self, data: &Data, flags: &[&str]) -> Result<Memory> {
        // As Prometheus asks.
        let mut exporter = self.start(data, flags)?.with_gzip();
        for number in 0..SCRAPES_BEFORE_MEMORY {
            self.progress.say(&format!(
                "{number} of {SCRAPES_BEFORE_MEMORY} scrapes on end"
            ))?;
            exporter.scrape()?;
        }
        exporter.memory().context("the exporter runs")
    }

    fn scrape_every_second(&self, data: &Data) -> Result<(Memory, Memory)> {
        let mut exporter = self.start(data, &[])?.with_gzip();
        let mut first = None;
        for second in 0..=self.steady {
            self.progress.say(&format!(
                "scraped every second: {second} of {} s",
                self.steady
            ))?;
            let began = Instant::now();
            exporter.scrape()?;
            // The first scrapes find out how much memory is needed.
            if second == self.steady / 6 {
                first = exporter.memory();
            }
            sleep(Duration::from_secs(1).saturating_sub(began.elapsed()));
        }
        let last = exporter.memory();
        first.zip(last).context("the exporter runs")
    }
}

/// What the tables call those that are measured.
pub(crate) const BARE: &str = "a. bare pipeline, the same commands";
/// Our exporter.
pub(crate) const OURS: &str = "b. bullmq-exporter";
/// Our exporter, asked for gzip.
pub(crate) const OURS_GZIP: &str = "b. the same, gzip";
/// Our exporter with what can be left out left out.
pub(crate) const OURS_LEAST: &str = "b0. the counts alone";
/// BullMQ in Node over one connection.
pub(crate) const NODE: &str = "c. BullMQ, one connection";
/// BullMQ in Node, a connection a queue.
pub(crate) const NODE_EACH: &str = "d. BullMQ, a connection a queue";

fn rows(data: &str, entries: &[Entry<'_>], figures: Vec<Figures>) -> Vec<Row> {
    let first = figures.first().cloned().unwrap_or_default();
    let row = |(entry, figures): (&Entry<'_>, Figures)| Row {
        data: data.to_owned(),
        who: entry.name,
        ratio: figures.ratio_to(&first),
        figures: Ok(figures),
        ..Row::default()
    };
    entries.iter().zip(figures).map(row).collect()
}

/// The load of the machine: how many wanted to run, in the mean of a minute.
fn load() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().unwrap_or_default().to_owned()
}

/// On what it was measured, for whoever compares.
///
/// # Errors
/// When a program is gone that was just used.
fn machine(load_before: &str) -> Result<String> {
    let processors = std::thread::available_parallelism()?;
    let says = |program: &str| -> Result<String> {
        let output = Command::new(program).arg("--version").output()?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let version = text.split_whitespace().find(|word| {
            word.trim_start_matches("v=")
                .starts_with(['v', '1', '2', '3', '4', '5', '6', '7', '8', '9'])
        });
        Ok(version
            .unwrap_or_default()
            .trim_start_matches("v=")
            .to_owned())
    };
    Ok(format!(
        "{processors} processors, shared by everything; Redis {}, Node {}; load {load_before} before and {} after.",
        says("redis-server")?,
        says("node")?,
        load()
    ))
}

fn series(text: &str) -> usize {
    text.lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .count()
}

//! One that scrapes without rest, and checks each page.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use acceptance::get;
use anyhow::{Context as _, Result};

use crate::judge::{Counters, Expected, check_moving, check_still, check_unknown};
use crate::page::{Page, Samples};
use crate::stage::ONE;
use crate::watch::{Violation, Watch, lock};

/// How long the exporter may take, as its scraper tells it.
pub(crate) const TIMEOUT: Duration = Duration::from_secs(2);
pub(crate) const HEADER: (&str, &str) = ("X-Prometheus-Scrape-Timeout-Seconds", "2");
/// How long an answer is waited for that is late.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// For how long a server must have been silent until it must be told as down: a reading that began before may be shared by a scrape that
/// comes before its deadline, and be told at the deadline of that one.
const SILENCE: Duration = Duration::from_secs(4);
/// How long a counter may take that is read directly.
const DIRECT_LIMIT: Duration = Duration::from_millis(300);

/// How many readings of counters are remembered: more than one scraper makes while a reading lasts.
const HISTORY: usize = 1000;

/// The ports at which counters are read without the exporter, by the name of the server.
pub(crate) type Ways = BTreeMap<&'static str, Vec<u16>>;

/// Direct connections to the servers.
#[derive(Default)]
struct Direct(BTreeMap<u16, redis::Connection>);

impl Direct {
    /// The counters of a queue; nothing if they cannot be read now.
    fn counters(&mut self, ports: &[u16], expected: &Expected) -> Option<Counters> {
        ports.iter().find_map(|port| {
            let read = self.read(*port, expected);
            if read.is_err() {
                self.0.remove(port);
            }
            read.ok()
        })
    }

    fn read(&mut self, port: u16, expected: &Expected) -> Result<Counters> {
        let connection = match self.0.entry(port) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => {
                let client = redis::Client::open(format!("redis://127.0.0.1:{port}"))?;
                let made = client.get_connection_with_timeout(DIRECT_LIMIT)?;
                made.set_read_timeout(Some(DIRECT_LIMIT))?;
                place.insert(made)
            }
        };
        let key = |name| format!("{}:{}:{name}", expected.prefix, expected.name);
        let read: (Option<f64>, f64, f64) = redis::pipe()
            .cmd("GET")
            .arg(key("id"))
            .cmd("ZCARD")
            .arg(key("completed"))
            .cmd("ZCARD")
            .arg(key("failed"))
            .query(connection)?;
        Ok(Counters {
            added: read.0.context("no counter")?,
            completed: read.1,
            failed: read.2,
        })
    }
}

/// What counters were, and when that was known.
#[derive(Default)]
struct History(BTreeMap<String, VecDeque<(Instant, Option<u64>, Counters)>>);

impl History {
    fn add(&mut self, queue: &Expected, topology: Option<u64>, counters: Counters) {
        let known = self.0.entry(queue.name.clone()).or_default();
        known.push_back((Instant::now(), topology, counters));
        if known.len() > HISTORY {
            known.pop_front();
        }
    }

    /// The counters that were known last before this time, and the topology at that time.
    fn before(&self, queue: &Expected, since: Instant) -> Option<(Option<u64>, Counters)> {
        let mut known = self.0.get(&queue.name)?.iter().rev();
        let found = known.find(|(at, ..)| *at < since);
        found.map(|(_, topology, counters)| (*topology, *counters))
    }
}

/// Scrapes until it is told to stop.
pub(crate) fn scrape(
    watch: &Watch,
    expected: &[Expected],
    address: &str,
    ways: &Ways,
    mut random: fastrand::Rng,
) {
    let mut direct = Direct::default();
    let moving: Vec<&Expected> = expected.iter().filter(|it| it.values.is_none()).collect();
    let mut history = History::default();
    // What was told of a queue of it when its counters could not be read afterwards.
    let mut open: Vec<(&Expected, Samples, Counters)> = Vec::new();
    while !watch.stop.load(Ordering::Relaxed) {
        let ports = |redis| ways.get(redis).map_or(&[][..], Vec::as_slice);
        let topology = watch.settled();
        for queue in &moving {
            if let Some(counters) = direct.counters(ports(queue.redis), queue) {
                history.add(queue, topology, counters);
            }
        }
        let silent = watch.silent();
        let began = Instant::now();
        let Some(page) = page(watch, address) else {
            continue;
        };
        let silent_after = watch.silent();
        for (redis, since) in silent {
            let lasts = silent_after.get(redis) == Some(&since);
            let up = page.server(redis).and_then(|server| server.up);
            if lasts && began.duration_since(since) > SILENCE && up != Some(0.0) {
                let told =
                    format!("{redis} cannot answer since {SILENCE:?}, and bullmq_up is {up:?}");
                watch.violation(Violation::WrongValue, told);
            }
        }
        check_unknown(&page, watch);
        let mut whole: BTreeMap<&'static str, bool> = BTreeMap::new();
        for queue in expected {
            let told = page.up(queue);
            *whole.entry(queue.redis).or_insert(true) &= told.is_some();
            if let (Some(values), Some(told)) = (&queue.values, told) {
                check_still(queue, values, told, watch);
            }
        }
        for (redis, whole) in whole {
            if whole {
                watch.told_whole(redis, began);
            }
        }
        for queue in &moving {
            let after = direct.counters(ports(queue.redis), queue);
            let told = page.up(queue);
            let read_for = page
                .server(queue.redis)
                .map_or(0.0, |server| server.seconds);
            let since = began.checked_sub(Duration::from_secs_f64(read_for));
            let before = since.and_then(|since| history.before(queue, since));
            if queue.redis == ONE {
                if let (Some(told), Some((_, before))) = (told, before) {
                    open.push((queue, told.clone(), before));
                }
                let Some(after) = after else { continue };
                open.retain(|(open, told, before)| {
                    let is_it = open.name == queue.name;
                    if is_it {
                        check_moving(open, told, *before, after, watch);
                    }
                    !is_it
                });
            } else if let (Some(told), Some((topology, before)), Some(after)) =
                (told, before, after)
                && topology.is_some()
                && watch.settled() == topology
            {
                // Of a cluster only as long as no primary can have changed: the new one may lack what the old one said last.
                check_moving(queue, told, before, after, watch);
            }
        }
        watch
            .reloaded
            .store(page.reloaded == Some(1.0), Ordering::Relaxed);
        *lock(&watch.servers) = page.servers.into_keys().collect();
        let other = random.choice(["/", "/api/v1/status", "/-/ready"]);
        if let Some(path) = other.filter(|_| random.u8(..) < 12) {
            ask(watch, address, path);
        }
        thread::sleep(Duration::from_millis(random.u64(20..400)));
    }
}

/// Asks for the metrics.
pub(crate) fn page(watch: &Watch, address: &str) -> Option<Page> {
    let text = ask(watch, address, "/metrics")?;
    watch.figures().scrapes += 1;
    Some(Page::read(&text))
}

/// Asks for a path, and checks that the answer comes in time.
fn ask(watch: &Watch, address: &str, path: &str) -> Option<String> {
    let began = Instant::now();
    let answer = get(&format!("http://{address}{path}"), &[HEADER], PATIENCE);
    let took = began.elapsed();
    {
        let mut figures = watch.figures();
        figures.slowest = took.max(figures.slowest);
    }
    if took > TIMEOUT {
        watch.violation(Violation::LateAnswer, format!("{path} after {took:?}"));
    }
    match answer {
        Ok((200, text)) => Some(text),
        Ok((status, text)) => {
            watch.violation(Violation::Other, format!("{path}: {status}: {text}"));
            None
        }
        Err(error) => {
            watch.violation(Violation::Other, format!("{path}: {error:#}"));
            None
        }
    }
}

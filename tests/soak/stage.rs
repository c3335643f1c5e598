//! What is started: three kinds of Redis and one thing that is none, BullMQ, and one exporter of all of them with everything on.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use acceptance::{BullMq, Cluster, Exporter, Redis, Sentinel, Version, Wire, get, wait_until};
use anyhow::{Context as _, Result};
use serde_json::Value;
use tempfile::TempDir;

use crate::judge::{Expected, check_unknown};
use crate::page::{Page, Samples};
use crate::scraper::{HEADER, PATIENCE, Ways};
use crate::watch::{Violation, Vitals, Watch};

/// A standalone Redis with a disk, over a wire that can be broken, with a user and a password.
pub(crate) const ONE: &str = "one";
/// A primary and its replica under a Sentinel.
pub(crate) const PAIR: &str = "pair";
/// Three primaries, one of them with a replica.
pub(crate) const CLUSTER: &str = "cluster";
/// The password, which must not stand in any log.
pub(crate) const SECRET: &str = "hunter2-of-the-soak";

const LIMIT: Duration = Duration::from_mins(1);
/// How long the last events may take: streams that were denied are tried again after a minute.
const EVENTS_LIMIT: Duration = Duration::from_secs(90);
/// How many of the exporter's connections a server may have at the end: one for scrapes, one for events, and one of a search.
const MOST_CONNECTIONS: usize = 3;

/// The standalone server, and what reaches it.
#[derive(Debug)]
pub(crate) struct One {
    pub(crate) redis: Redis,
    pub(crate) wire: Wire,
    /// The command that makes the exporter's user.
    pub(crate) acl: Vec<String>,
    /// The exporter's file of servers, as it is when nothing is wrong with it.
    pub(crate) config: PathBuf,
    pub(crate) config_text: String,
    /// One server more for it.
    pub(crate) extra: String,
    pub(crate) exporter_id: u32,
    /// How many events its queues had before they were followed.
    events_before: f64,
    bullmq: BullMq,
    _folder: TempDir,
}

/// The servers that fail over.
#[derive(Debug)]
pub(crate) struct Others {
    pub(crate) pair: [Redis; 2],
    pub(crate) sentinel: Sentinel,
    pub(crate) cluster: Cluster,
    bullmq: BullMq,
}

/// All of it.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) one: One,
    pub(crate) others: Others,
    pub(crate) exporter: Exporter,
    pub(crate) expected: Vec<Expected>,
}

/// Makes a queue whose jobs lie still, and returns what BullMQ says of it.
const STILL: &str = "
    const q = queue(name, { prefix });
    const many = (length, opts = {}) => q.addBulk(Array.from({ length }, () => ({ name: 'a', data: {}, opts })));
    await many(2 + n);
    let done = 0;
    const w = await worker(name, async () => { if (done++ === 0) throw new Error('no'); }, { prefix });
    while ((await q.getJobCountByTypes('waiting', 'active')) > 0) await sleep(20);
    await w.close();
    await many(1 + n); await many(n, { priority: 3 }); await many(2, { delay: 36000000 });
    if (n === 2) await q.pause();
    const counts = await q.getJobCounts('waiting', 'paused', 'active', 'delayed', 'prioritized', 'waiting-children', 'completed', 'failed');
    const { waiting, prioritized } = counts;
    const paused = Number(await q.isPaused());
    return { counts, paused, ready: paused ? 0 : waiting + prioritized, added: 5 + 3 * n };";

/// Makes jobs for a queue without rest, and works them off; none is ever removed.
const MOVE: &str = "
    const q = queue(name, { prefix });
    const running = (async () => {
      for (let i = 0; !kept.stop; i++) {
        const opts = {
          attempts: 1 + i % 2, backoff: 50,
          ...(i % 3 === 0 && { delay: 1 + i % 500 }), ...(i % 5 === 0 && { priority: 1 + i % 4 }), ...(i % 7 === 0 && { lifo: true }),
        };
        await q.add('job', {}, opts).catch(() => {});
        await sleep(25);
      }
    })();
    let done = 0;
    const work = async () => { await sleep(Math.random() * 100); if (++done % 10 === 0) throw new Error('no'); };
    (kept.workers ??= []).push(await worker(name, work, { prefix, concurrency: 4 }));";

/// A client that loses its server says so at great length, and some of its promises are nobody's.
const QUIET: &str = "console.error = () => {}; process.on('unhandledRejection', () => {});";

const MOVING: [(&str, &str, &str); 3] = [
    (ONE, "bull", "moving-0"),
    (ONE, "bull", "moving-1"),
    // In a slot of the node that has a replica.
    (CLUSTER, "{o}", "moving-2"),
];

impl One {
    /// How many events were ever added to the queues whose jobs move.
    fn events_added(&self) -> Result<f64> {
        let mut all = 0.0;
        for (_, prefix, name) in MOVING.iter().filter(|(redis, ..)| *redis == ONE) {
            let told = self
                .redis
                .run(&["XINFO", "STREAM", &format!("{prefix}:{name}:events")])?;
            let mut lines = told.lines().skip_while(|line| *line != "entries-added");
            let added = lines.nth(1).context("entries-added")?;
            all += added.parse::<f64>()?;
        }
        Ok(all)
    }

    /// The ports at which counters are read without the exporter.
    pub(crate) fn ways(&self, others: &Others) -> Ways {
        Ways::from([
            (ONE, vec![self.redis.port()]),
            (CLUSTER, others.cluster.ports()),
        ])
    }
}

impl Stage {
    /// Starts everything, and waits until all of it is served.
    pub(crate) fn set() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("soak-").tempdir()?;
        let path = |name: &str| folder.path().join(name);
        let acl = least_user()?;
        let users = path("users.acl");
        let line = acl.get(2..).unwrap_or_default().join(" ");
        fs::write(
            &users,
            format!("user default on nopass ~* &* +@all\nuser {line}\n"),
        )?;
        let text = |path: &PathBuf| path.to_str().map(str::to_owned).context("a path in UTF-8");
        let redis = with_disk(&text(&folder.path().to_owned())?, &text(&users)?)?;
        let wire = Wire::to(&redis)?;
        let primary = Redis::start_with(&["--repl-diskless-sync-delay", "0"])?;
        let follow = format!("127.0.0.1 {}", primary.port());
        let replica =
            Redis::start_with(&["--replicaof", &follow, "--repl-diskless-sync-delay", "0"])?;
        let sentinel = Sentinel::of(&primary)?;
        let mut cluster = Cluster::start(3)?;
        cluster.add_replica_of(1)?;

        let mut expected = Vec::new();
        let mut bullmq = BullMq::start(Version::V6, &redis)?;
        let mut of_pair = BullMq::start(Version::V5, &primary)?;
        let mut of_cluster = BullMq::start_in(Version::V6, &cluster)?;
        for (redis, driver, prefixes) in [
            (ONE, &mut bullmq, ["bull"; 3]),
            (PAIR, &mut of_pair, ["bull"; 3]),
            (CLUSTER, &mut of_cluster, ["{b}", "{app}", "{e}"]),
        ] {
            expected.extend(fill(redis, driver, prefixes)?);
        }
        for (redis, prefix, name) in MOVING {
            let driver = if redis == ONE {
                &mut bullmq
            } else {
                &mut of_cluster
            };
            // It is there before it is followed, and nothing has happened to its jobs.
            driver.run(&format!(
                "await queue('{name}', {{ prefix: '{prefix}' }}).add('first', {{}});"
            ))?;
            expected.push(Expected {
                redis,
                prefix,
                name: name.to_owned(),
                values: None,
            });
        }
        drop(of_pair);
        sentinel.wait_until_linked(&replica)?;
        for node in [&primary, cluster.node(1)?] {
            node.run(&["WAIT", "1", "10000"])?;
        }

        fs::write(path("password"), SECRET)?;
        let nonsense = speak_nonsense()?;
        let pair_url = format!("redis+sentinel://127.0.0.1:{}/shop", sentinel.port());
        let config_text = format!(
            "redis:\n- {{name: {ONE}, url: '{}', password_file: password}}\n- {{name: {PAIR}, url: '{pair_url}'}}\n- {{name: {CLUSTER}, url: '{}', prefixes: ['{{b}}', '{{app}}', '{{e}}', '{{o}}']}}\n- {{name: nonsense, url: '{nonsense}'}}\n",
            wire.url().replace("://", "://bullmq-exporter@"),
            cluster.url(),
        );
        let config = path("exporter.yml");
        fs::write(&config, &config_text)?;
        let mut exporter = Exporter::start_with(&[
            "--config.file",
            &text(&config)?,
            "--collect.events",
            "--discovery.interval",
            "1s",
        ])?;
        let exporter_id = exporter.process().id();
        let mut stage = Self {
            one: One {
                redis,
                wire,
                acl,
                config,
                config_text,
                extra: format!("- {{name: extra, url: '{pair_url}'}}\n"),
                exporter_id,
                events_before: 0.0,
                bullmq,
                _folder: folder,
            },
            others: Others {
                pair: [primary, replica],
                sentinel,
                cluster,
                bullmq: of_cluster,
            },
            exporter,
            expected,
        };
        stage.wait_until_followed()?;
        stage.one.events_before = stage.one.events_added()?;
        for (redis, prefix, name) in MOVING {
            let code = format!("const [name, prefix] = ['{name}', '{prefix}']; {MOVE}");
            stage.bullmq_of(redis).run(&code)?;
        }
        Ok(stage)
    }

    fn bullmq_of(&mut self, redis: &str) -> &mut BullMq {
        if redis == ONE {
            &mut self.one.bullmq
        } else {
            &mut self.others.bullmq
        }
    }

    fn page(&self) -> Result<Page> {
        let url = format!("http://{}/metrics", self.exporter.address());
        let (_, text) = get(&url, &[HEADER], PATIENCE)?;
        Ok(Page::read(&text))
    }

    fn wait_until_followed(&self) -> Result<()> {
        wait_until("every queue and its events are served", LIMIT, || {
            let page = self.page()?;
            let served = self.expected.iter().all(|queue| {
                let told = page.up(queue);
                told.is_some_and(|told| told.contains_key("bullmq_job_events_total/completed"))
            });
            Ok(served.then_some(()))
        })
    }

    /// Lets the workers come to an end, and checks what can be known only then.
    pub(crate) fn end(&mut self, watch: &Watch, vitals: &mut Vitals) -> Result<()> {
        for redis in [ONE, CLUSTER] {
            self.bullmq_of(redis).run("kept.stop = true;")?;
        }
        let moving: Vec<Expected> = self.expected.clone();
        let moving = moving.iter().filter(|queue| queue.values.is_none());
        for queue in moving {
            let code = format!(
                "const q = queue('{}', {{ prefix: '{}' }});
                 while ((await q.getJobCountByTypes('waiting', 'active', 'delayed', 'prioritized')) > 0) await sleep(50);
                 return await q.getJobCounts('waiting', 'paused', 'active', 'delayed', 'prioritized', 'waiting-children', 'completed', 'failed');",
                queue.name, queue.prefix
            );
            let counts = self.bullmq_of(queue.redis).run(&code)?;
            let mut told = String::new();
            let settled = wait_until("the last counts are served", EVENTS_LIMIT, || {
                let page = self.page()?;
                let Some(samples) = page.up(queue) else {
                    return Ok(None);
                };
                told = format!("{samples:?}");
                let right = counts
                    .as_object()
                    .into_iter()
                    .flatten()
                    .all(|(state, jobs)| {
                        samples.get(&format!("bullmq_job_count/{state}")).copied() == jobs.as_f64()
                    });
                Ok(right.then_some(()))
            });
            if settled.is_err() {
                let told = format!(
                    "{} {}: BullMQ counts {counts}, served is {told}",
                    queue.redis, queue.name
                );
                watch.violation(Violation::WrongValue, told);
            }
        }
        let page = self.page()?;
        check_unknown(&page, watch);
        // Of a cluster that fails over it is not known what was added, since the new primary may lack the last of it.
        let mut told = String::new();
        let counted = wait_until("every event is counted or missed", EVENTS_LIMIT, || {
            let page = self.page()?;
            let Some(server) = page.server(ONE) else {
                return Ok(None);
            };
            let is_event = |name: &str| name.starts_with("bullmq_job_events_total/");
            let samples = server.queues.values().flatten();
            let seen: f64 = samples
                .filter(|(name, _)| is_event(name))
                .map(|(_, events)| events)
                .sum();
            let (missed, added) = (server.missed, self.one.events_added()?);
            told = format!("{seen} counted, {missed:?} missed");
            let difference = added - self.one.events_before - seen - missed.unwrap_or(f64::NAN);
            Ok((difference.abs() < 0.5).then_some(()))
        });
        if counted.is_err() {
            let added = self.one.events_added()? - self.one.events_before;
            let told = format!("{added} events were added: {told}");
            watch.violation(Violation::WrongValue, told);
        }
        let clients = self.one.redis.run(&["CLIENT", "LIST"])?;
        let ours = clients
            .lines()
            .filter(|client| client.contains("user=bullmq-exporter"));
        let ours = ours.count();
        if ours > MOST_CONNECTIONS {
            let told = format!("the exporter has {ours} connections:\n{clients}");
            watch.violation(Violation::Other, told);
        }
        vitals.sample(self.exporter.process(), watch)?;
        vitals.judge(watch);
        Ok(())
    }
}

/// A Redis with a disk.
fn with_disk(folder: &str, users: &str) -> Result<Redis> {
    // Whoever saw a value could see it before it was on disk only if the machine died. Loading takes a while, as of a large set.
    Redis::start_with(&[
        "--dir",
        folder,
        "--appendonly",
        "yes",
        "--appendfsync",
        "no",
        "--maxmemory-policy",
        "noeviction",
        "--aclfile",
        users,
        "--key-load-delay",
        "-10",
        "--loading-process-events-interval-bytes",
        "1024",
    ])
}

/// Makes the queues of a server whose jobs lie still.
fn fill(
    redis: &'static str,
    driver: &mut BullMq,
    prefixes: [&'static str; 3],
) -> Result<Vec<Expected>> {
    driver.run(QUIET)?;
    let mut expected = Vec::new();
    for (n, prefix) in prefixes.into_iter().enumerate() {
        let name = format!("still-{n}");
        let code = format!("const [name, prefix, n] = ['{name}', '{prefix}', {n}]; {STILL}");
        let values = Some(samples(&driver.run(&code)?)?);
        expected.push(Expected {
            redis,
            prefix,
            name,
            values,
        });
    }
    Ok(expected)
}

/// The command that makes the exporter's user, as the exporter prints it.
fn least_user() -> Result<Vec<String>> {
    let output = Exporter::run(&["--collect.events", "--print-acl"])?;
    let command = String::from_utf8(output.stdout)?.replace("CHANGE-THIS-PASSWORD", SECRET);
    Ok(command.split_whitespace().map(str::to_owned).collect())
}

/// The exact values of a queue whose jobs lie still, from what BullMQ said.
fn samples(told: &Value) -> Result<Samples> {
    let number = |name: &str| told.get(name).and_then(Value::as_f64).context("a number");
    let counts = told.get("counts").and_then(Value::as_object);
    let mut samples = Samples::new();
    for (state, jobs) in counts.context("counts")? {
        let jobs = jobs.as_f64().context("a count")?;
        samples.insert(format!("bullmq_job_count/{state}"), jobs);
    }
    for (metric, value) in [
        ("bullmq_queue_paused", number("paused")?),
        ("bullmq_queue_ready_jobs", number("ready")?),
        ("bullmq_queue_demand_jobs", number("ready")?),
        ("bullmq_job_added_total", number("added")?),
        ("bullmq_queue_delayed_due_jobs", 0.0),
    ] {
        samples.insert(metric.to_owned(), value);
    }
    Ok(samples)
}

/// Starts something that answers nonsense, and returns its address; it ends with the program.
fn speak_nonsense() -> Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("redis://{}", listener.local_addr()?);
    thread::spawn(move || {
        let nonsense: [&[u8]; 5] = [
            b"HTTP/1.1 400 Bad Request\r\n\r\n",
            b":99999999999999999999999999\r\n",
            b"*4294967295\r\n",
            &[0xff, 0x00, 0x80, b'\n'],
            b"$-7\r\n+OK\r\n",
        ];
        for (mut client, answer) in listener.incoming().flatten().zip(nonsense.iter().cycle()) {
            let mut request = [0; 1024];
            // A client that went away needs no answer.
            let _ = client.read(&mut request);
            let _ = client.write_all(answer);
        }
    });
    Ok(url)
}

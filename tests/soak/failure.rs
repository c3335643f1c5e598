//! The failures: each is made, lasts a moment and ends, and then everything must be served again.

use std::fmt::Debug;
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::Ordering;
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

use acceptance::{Fault, Redis, wait_until};
use anyhow::{Context as _, Result, ensure};

use crate::scraper;
use crate::stage::{CLUSTER, ONE, One, Others, PAIR};
use crate::watch::{Violation, Watch, lock};

/// How long after a failure everything must be served again.
const RECOVERY: Duration = Duration::from_secs(30);
/// How long servers may take to agree on who is the primary.
const SETTLING: Duration = Duration::from_secs(40);
/// How long the exporter may take to read a file of servers anew.
const RELOAD: Duration = Duration::from_secs(15);
/// How many clients read slowly or never ask to the end; below the number that the exporter serves at once.
const SLOW_CLIENTS: usize = 60;
/// How many scrape in the same moment.
const BURST: usize = 16;

/// What can happen to the one server, or to the exporter.
#[derive(Clone, Copy, Debug)]
enum OfOne {
    Hung,
    KilledAndLoading,
    ConnectionsKilled,
    CutInMidReply,
    SlowReplies,
    BlackHole,
    ClientsFull,
    RightsTaken,
    GoodReload,
    BadReload,
    SlowClients,
    ManyScrapes,
}

impl OfOne {
    const ALL: [(Self, &'static str); 12] = [
        (Self::Hung, "Redis hung (SIGSTOP)"),
        (Self::KilledAndLoading, "Redis killed, restarted, LOADING"),
        (Self::ConnectionsKilled, "connections killed (CLIENT KILL)"),
        (Self::CutInMidReply, "connections cut in mid-reply"),
        (Self::SlowReplies, "replies 100 ms late"),
        (Self::BlackHole, "packets lost"),
        (Self::ClientsFull, "maxclients reached"),
        (Self::RightsTaken, "rights taken away and given back"),
        (Self::GoodReload, "file of servers changed"),
        (Self::BadReload, "file of servers wrong"),
        (
            Self::SlowClients,
            "clients of the exporter that do not read",
        ),
        (Self::ManyScrapes, "many scrapes at once"),
    ];
}

/// What can happen to the servers that fail over.
#[derive(Clone, Copy, Debug)]
enum OfOthers {
    SentinelFailover,
    PrimaryHung,
    NodeHung,
    NodeConnectionsKilled,
    SlotMoved,
}

impl OfOthers {
    const ALL: [(Self, &'static str); 5] = [
        (Self::SentinelFailover, "failover by Sentinel"),
        (Self::PrimaryHung, "primary under Sentinel hung"),
        (Self::NodeHung, "node of the cluster hung"),
        (Self::NodeConnectionsKilled, "connections to a node killed"),
        (Self::SlotMoved, "slot of the cluster moved"),
    ];
}

/// Breaks one thing after another until the time is over; every kind comes before any comes again.
fn keep_breaking<K: Copy + Debug>(
    kinds: &[(K, &'static str)],
    of: &[&'static str],
    watch: &Watch,
    mut random: fastrand::Rng,
    end: Instant,
    mut injure: impl FnMut(K, &mut fastrand::Rng) -> Result<()>,
) {
    let mut bag = Vec::new();
    while Instant::now() < end && !watch.stop.load(Ordering::Relaxed) {
        if bag.is_empty() {
            bag.extend_from_slice(kinds);
            random.shuffle(&mut bag);
        }
        let Some((kind, name)) = bag.pop() else {
            return;
        };
        *watch.figures().failures.entry(name).or_default() += 1;
        if let Err(error) = injure(kind, &mut random) {
            watch.violation(Violation::Other, format!("{name}: {error:#}"));
        }
        let over = Instant::now();
        let whole = wait_until("all is served", RECOVERY, || {
            let stopped = watch.stop.load(Ordering::Relaxed);
            Ok((stopped || watch.is_whole_since(over, of)).then_some(()))
        });
        let mut figures = watch.figures();
        figures.slowest_recovery = figures.slowest_recovery.max(over.elapsed());
        drop(figures);
        if whole.is_err() {
            let told = format!("{RECOVERY:?} after `{name}` not all of {of:?} is served");
            watch.violation(Violation::NotRecovered, told);
        }
        pause(&mut random, 100..1000);
    }
}

fn pause(random: &mut fastrand::Rng, millis: std::ops::Range<u64>) {
    sleep(Duration::from_millis(random.u64(millis)));
}

/// Breaks the one server and the exporter's surroundings.
pub(crate) fn break_one(
    one: &mut One,
    watch: &Watch,
    address: &str,
    random: fastrand::Rng,
    end: Instant,
) {
    keep_breaking(&OfOne::ALL, &[ONE], watch, random, end, |kind, random| {
        injure_one(kind, one, watch, address, random)
    });
}

fn injure_one(
    kind: OfOne,
    one: &mut One,
    watch: &Watch,
    address: &str,
    random: &mut fastrand::Rng,
) -> Result<()> {
    match kind {
        OfOne::Hung => {
            one.redis.hang()?;
            let silence = watch.silence(ONE);
            pause(random, 200..9000);
            drop(silence);
            one.redis.go_on()
        }
        OfOne::KilledAndLoading => {
            one.redis.kill()?;
            let silence = watch.silence(ONE);
            pause(random, 0..6000);
            drop(silence);
            one.redis.start_again()
        }
        OfOne::ConnectionsKilled => {
            for _ in 0..random.u8(1..20) {
                kill_connections(&one.redis)?;
                pause(random, 10..200);
            }
            Ok(())
        }
        OfOne::CutInMidReply => {
            for _ in 0..random.u8(5..25) {
                one.wire.set(Fault::CutAfter(random.usize(0..12_000)));
                pause(random, 20..300);
            }
            one.wire.set(Fault::None);
            Ok(())
        }
        OfOne::SlowReplies => {
            one.wire.set(Fault::Delay(Duration::from_millis(100)));
            pause(random, 1000..5000);
            one.wire.set(Fault::None);
            Ok(())
        }
        OfOne::BlackHole => {
            one.wire.set(Fault::BlackHole);
            let silence = watch.silence(ONE);
            pause(random, 500..9000);
            drop(silence);
            one.wire.set(Fault::None);
            Ok(())
        }
        OfOne::ClientsFull => fill_up(&one.redis, random),
        OfOne::RightsTaken => take_rights(one, random),
        OfOne::GoodReload => change_servers(one, watch),
        OfOne::BadReload => spoil_servers(one, watch, random),
        OfOne::SlowClients => {
            let mut clients = Vec::new();
            for number in 0..SLOW_CLIENTS {
                let mut client = TcpStream::connect(address)?;
                let request = b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".as_slice();
                let sent = [request.len(), 20, 0].get(number % 3).copied().unwrap_or(0);
                client.write_all(request.get(..sent).unwrap_or(request))?;
                clients.push(client);
            }
            pause(random, 500..4000);
            Ok(())
        }
        OfOne::ManyScrapes => {
            thread::scope(|scope| {
                for _ in 0..BURST {
                    scope.spawn(|| scraper::page(watch, address));
                }
            });
            Ok(())
        }
    }
}

fn take_rights(one: &One, random: &mut fastrand::Rng) -> Result<()> {
    // Not those of the transaction: where it is denied for good, counts are taken without it.
    let rules = ["-llen", "-zcard", "-time", "-hmget", "resetkeys", "off"];
    let rule = random.choice(rules).context("a rule")?;
    one.redis
        .run(&["ACL", "SETUSER", "bullmq-exporter", rule])?;
    if random.bool() {
        kill_connections(&one.redis)?;
    }
    pause(random, 500..4000);
    let all: Vec<&str> = one.acl.iter().map(String::as_str).collect();
    one.redis.run(&all)?;
    Ok(())
}

/// Names a server more, and takes it out again.
fn change_servers(one: &One, watch: &Watch) -> Result<()> {
    let is_there = || lock(&watch.servers).contains("extra");
    let with = format!("{}{}", one.config_text, one.extra);
    for (text, expected) in [(&with, true), (&one.config_text, false)] {
        reload(one, text)?;
        wait_until("the file is in use", RELOAD, || {
            Ok((is_there() == expected).then_some(()))
        })?;
    }
    Ok(())
}

/// Makes the file of servers wrong, and right again.
fn spoil_servers(one: &One, watch: &Watch, random: &mut fastrand::Rng) -> Result<()> {
    let with_secret =
        "redis: [{name: one, url: 'redis+cluster://:hunter2-of-the-soak@a', read_from: replica}]";
    let wrong = [
        "redis: []",
        "{{{",
        "redis: [{name: one, url: 'redis://a', nonsense: 1}]",
        with_secret,
        "",
    ];
    let wrong = random.choice(wrong).context("a text")?;
    for (text, expected) in [(wrong, false), (&one.config_text.clone(), true)] {
        reload(one, text)?;
        wait_until("the file is judged", RELOAD, || {
            let is_good = watch.reloaded.load(Ordering::Relaxed);
            Ok((is_good == expected).then_some(()))
        })?;
    }
    Ok(())
}

fn kill_connections(redis: &Redis) -> Result<()> {
    redis.run(&["CLIENT", "KILL", "USER", "bullmq-exporter"])?;
    Ok(())
}

fn reload(one: &One, text: &str) -> Result<()> {
    fs::write(&one.config, text)?;
    let status = Command::new("kill")
        .args(["-s", "HUP", &one.exporter_id.to_string()])
        .status()?;
    ensure!(status.success(), "no exporter to signal");
    Ok(())
}

/// Leaves no room for another client, and takes the exporter's places.
fn fill_up(redis: &Redis, random: &mut fastrand::Rng) -> Result<()> {
    let client = redis::Client::open(redis.url())?;
    let mut admin = client.get_connection()?;
    let info: String = redis::cmd("INFO").arg("clients").query(&mut admin)?;
    let clients = info
        .lines()
        .find_map(|line| line.strip_prefix("connected_clients:"))
        .context("connected_clients")?
        .to_owned();
    let mut set = |command: &mut redis::Cmd| command.query::<redis::Value>(&mut admin);
    set(redis::cmd("CONFIG").arg(&["SET", "maxclients", clients.trim()][..]))?;
    set(redis::cmd("CLIENT").arg(&["KILL", "USER", "bullmq-exporter"][..]))?;
    let mut holders = Vec::new();
    for _ in 0..32 {
        let mut holder = TcpStream::connect(("127.0.0.1", redis.port()))?;
        holder.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut answer = [0; 7];
        // One that is refused may be closed already.
        let _ = holder.write_all(b"PING\r\n");
        if holder.read_exact(&mut answer).is_err() || answer != *b"+PONG\r\n" {
            break;
        }
        holders.push(holder);
    }
    pause(random, 1000..4000);
    drop(holders);
    set(redis::cmd("CONFIG").arg(&["SET", "maxclients", "10000"][..]))?;
    Ok(())
}

/// Breaks the servers that fail over.
pub(crate) fn break_others(
    others: &mut Others,
    watch: &Watch,
    random: fastrand::Rng,
    end: Instant,
) {
    let of = [PAIR, CLUSTER];
    keep_breaking(&OfOthers::ALL, &of, watch, random, end, |kind, random| {
        let _unsettled = watch.unsettle();
        injure_others(kind, others, random)
    });
}

fn injure_others(kind: OfOthers, others: &Others, random: &mut fastrand::Rng) -> Result<()> {
    let Others {
        pair,
        sentinel,
        cluster,
        ..
    } = others;
    match kind {
        OfOthers::SentinelFailover => {
            let before = sentinel.primary_port()?;
            wait_until("the failover is done", SETTLING, || {
                if sentinel.primary_port()? != before {
                    return Ok(Some(()));
                }
                // It refuses while it does not know the replica to be well, and gives up a failover that takes too long.
                sentinel.ask("FAILOVER")?;
                Ok(None)
            })?;
            wait_until_linked(others)
        }
        OfOthers::PrimaryHung => {
            let port = sentinel.primary_port()?;
            let primary = pair.iter().find(|redis| redis.port() == port);
            let primary = primary.context("the primary is one of the pair")?;
            primary.hang()?;
            pause(random, 500..5000);
            primary.go_on()?;
            wait_until_linked(others)
        }
        OfOthers::NodeHung => {
            let node = cluster.node(random.usize(0..4))?;
            node.hang()?;
            pause(random, 300..5000);
            node.go_on()?;
            wait_until_whole(others)
        }
        OfOthers::NodeConnectionsKilled => {
            let node = cluster.node(random.usize(0..4))?;
            for _ in 0..random.u8(1..10) {
                node.run(&["CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes"])?;
                pause(random, 10..300);
            }
            wait_until_whole(others)
        }
        OfOthers::SlotMoved => {
            let (key, mut from, mut to) = ("{app}:still-1:meta", None, Vec::new());
            for index in 0..4 {
                let node = cluster.node(index)?;
                if !node.run(&["ROLE"])?.starts_with("master") {
                    continue;
                }
                if node.run(&["EXISTS", key]).is_ok() {
                    from = Some(index);
                } else {
                    to.push(index);
                }
            }
            let from = from.context("no node has the slot")?;
            let to = random.choice(to).context("no other node")?;
            cluster.move_slot(key, from, to, || {
                pause(random, 20..200);
                Ok(())
            })?;
            wait_until_whole(others)
        }
    }
}

/// Waits until the Sentinel knows a primary and a replica that follows it.
fn wait_until_linked(others: &Others) -> Result<()> {
    wait_until("the pair is a pair again", SETTLING, || {
        let port = others.sentinel.primary_port()?;
        let is_linked = |redis: &Redis| {
            let told = redis.run(&["INFO", "replication"]).unwrap_or_default();
            if redis.port() == port {
                told.contains("role:master") && told.contains("state=online")
            } else {
                told.contains("role:slave") && told.contains("master_link_status:up")
            }
        };
        Ok(others.pair.iter().all(is_linked).then_some(()))
    })?;
    let port = others.sentinel.primary_port()?;
    let replica = others.pair.iter().find(|redis| redis.port() != port);
    others
        .sentinel
        .wait_until_linked(replica.context("a replica")?)
}

/// Waits until the cluster serves all slots and its replica follows again.
fn wait_until_whole(others: &Others) -> Result<()> {
    wait_until("the cluster has its replica again", SETTLING, || {
        let mut linked = 0;
        for index in 0..4 {
            let told = others.cluster.node(index)?.run(&["INFO", "replication"])?;
            linked += u8::from(told.contains("master_link_status:up"));
        }
        Ok((linked == 1).then_some(()))
    })?;
    others.cluster.wait_until_whole()
}

//! Is every queue of a Redis Cluster read from the node that has it, whatever the nodes do?

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use acceptance::{
    BullMq, Cluster, Exporter, Redis, RedisCertificates, Scrape, Version, free_port, wait_until,
};
use anyhow::{Context as _, Result, ensure};

const LIMIT: Duration = Duration::from_secs(30);

/// Queues by prefix and name, two on each of three nodes that share the slots evenly.
const QUEUES: [(&str, &str); 6] = [
    ("{b}", "email"),
    ("bull", "{f}"),
    ("{app}", "email"),
    ("{app}", "sms"),
    ("bull", "{a}"),
    ("{e}", "sms"),
];

fn start(url: &str, interval: &str) -> Result<Exporter> {
    Exporter::start_with(&[&flags(url)[..], &["--discovery.interval", interval]].concat())
}

fn flags(url: &str) -> Vec<&str> {
    let mut flags = vec!["--redis.url", url];
    for prefix in ["bull", "{app}", "{b}", "{e}"] {
        flags.extend(["--bullmq.prefix", prefix]);
    }
    flags
}

fn of(scrape: &Scrape, metric: &str, (prefix, name): (&str, &str)) -> Option<f64> {
    scrape.value(metric, &[("prefix", prefix), ("queue", name)])
}

fn ready(scrape: &Scrape, queue: (&str, &str)) -> Option<f64> {
    of(scrape, "bullmq_queue_ready_jobs", queue)
}

fn until(what: &str, exporter: &Exporter, seen: impl Fn(&Scrape) -> bool) -> Result<Scrape> {
    let mut last = String::new();
    let seen = wait_until(what, LIMIT, || {
        let scrape = exporter.scrape()?;
        let is_seen = seen(&scrape);
        last.clone_from(&scrape.text);
        Ok(is_seen.then_some(scrape))
    });
    seen.with_context(|| format!("the last scrape:\n{last}"))
}

fn all_ready(scrape: &Scrape, jobs: f64) -> bool {
    QUEUES
        .iter()
        .all(|queue| ready(scrape, *queue) == Some(jobs))
}

/// Adds jobs to every queue.
fn add(cluster: &Cluster, jobs: usize) -> Result<BullMq> {
    let mut bullmq = BullMq::start_in(Version::V6, cluster)?;
    for (prefix, name) in QUEUES {
        bullmq.run(&format!(
            "const many = Array.from({{ length: {jobs} }}, () => ({{ name: 'a', data: {{}} }}));
             await queue('{name}', {{ prefix: '{prefix}' }}).addBulk(many);"
        ))?;
    }
    Ok(bullmq)
}

/// The index of the node that has a queue.
fn owner(cluster: &Cluster, (prefix, name): (&str, &str)) -> Result<usize> {
    let key = format!("{prefix}:{name}:meta");
    for index in 0..3 {
        if cluster.node(index)?.run(&["EXISTS", &key]).is_ok() {
            return Ok(index);
        }
    }
    anyhow::bail!("no node has {key}")
}

#[test]
fn queues_on_every_node_are_served_as_bullmq_counts_them() -> Result<()> {
    for version in Version::ALL {
        let ports = Cluster::free_ports(3)?;
        // Started before there is a cluster.
        let mut exporter = start(&Cluster::url_of(&ports), "200ms")?;
        assert_eq!(exporter.scrape()?.value("bullmq_up", &[]), Some(0.0));
        let mut cluster = Cluster::start_at(&ports)?;
        let mut bullmq = BullMq::start_in(version, &cluster)?;
        let mut owners = BTreeSet::new();
        for (place, (prefix, name)) in QUEUES.into_iter().enumerate() {
            bullmq.run(&format!(
                "const q = queue('{name}', {{ prefix: '{prefix}' }});
                 const many = (length, opts) => q.addBulk(Array.from({{ length }}, () => ({{ name: 'a', data: {{}}, opts }})));
                 await many(3 + {place}, {{}}); await many(2, {{ priority: 1 }}); await many(4, {{ delay: 3600000 }}); await many(1, {{ delay: 1 }});
                 kept.stop = [];"
            ))?;
            owners.insert(owner(&cluster, (prefix, name))?);
        }
        assert_eq!(owners.len(), 3, "the queues lie on all nodes");
        // One that is idle, and two that are busy, in one queue each.
        bullmq.run(
            "await worker('{idle}', async () => {}, { prefix: 'bull' });
             for (const prefix of ['{app}', '{b}'])
               await worker('email', () => new Promise(() => {}), { prefix, concurrency: 2 });
             // A queue without braces cannot be used, and leaves a key.
             const ghost = queue('ghost'); ghost.on('error', () => {}); await ghost.waitUntilReady(); await sleep(500);",
        )?;
        let scrape = until("every queue is served", &exporter, |scrape| {
            scrape.samples("bullmq_queue_up").count() == QUEUES.len() + 2
                && of(scrape, "bullmq_queue_workers_idle", ("bull", "{idle}")) == Some(1.0)
        })?;
        for queue @ (prefix, name) in QUEUES {
            let counts = bullmq.run(&format!(
                "const q = queue('{name}', {{ prefix: '{prefix}' }});
                 return await q.getJobCounts('waiting', 'active', 'delayed', 'prioritized', 'completed', 'failed', 'paused', 'waiting-children');"
            ))?;
            for (state, count) in counts.as_object().context("counts")? {
                let labels = [
                    ("prefix", prefix),
                    ("queue", name),
                    ("state", state.as_str()),
                ];
                let served = scrape.value("bullmq_job_count", &labels);
                assert_eq!(served, count.as_f64(), "{version:?} {queue:?} {state}");
            }
            let workers = if name == "email" { 1.0 } else { 0.0 };
            let counted = of(&scrape, "bullmq_queue_workers", queue);
            assert_eq!(counted, Some(workers), "{version:?} {queue:?}");
        }
        assert_eq!(
            of(&scrape, "bullmq_queue_workers", ("bull", "{idle}")),
            Some(1.0)
        );
        assert_eq!(of(&scrape, "bullmq_queue_up", ("bull", "ghost")), Some(0.0));
        let log = exporter.process().log();
        let told = log.matches("braces, as in {bull}").count();
        assert_eq!(told, 1, "said once: {log}");
        let facts = [("mode", "cluster"), ("role", "primary")];
        assert_eq!(scrape.value("bullmq_redis_info", &facts), Some(1.0));
        assert_eq!(scrape.samples("bullmq_redis_info").count(), 1);

        // It is the policy of any node that decides whether jobs are safe.
        cluster
            .node(2)?
            .run(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"])?;
        let policy = [("maxmemory_policy", "allkeys-lru")];
        assert_eq!(
            exporter.scrape()?.value("bullmq_redis_info", &policy),
            Some(1.0)
        );

        // A queue that is obliterated vanishes.
        bullmq.run("await queue('sms', { prefix: '{e}' }).obliterate({ force: true });")?;
        for node in cluster.nodes() {
            // What obliterate leaves, as a client would that cleans up.
            let _ = node.run(&["DEL", "{e}:sms:meta", "{e}:sms:id"]);
        }
        until("the queue has vanished", &exporter, |scrape| {
            of(scrape, "bullmq_queue_up", ("{e}", "sms")).is_none()
                && !scrape.text.contains("prefix=\"{e}\",queue=\"sms\"")
        })?;
    }
    Ok(())
}

#[test]
fn the_least_user_reads_a_cluster_and_sends_nothing_but_reads_whose_cost_is_constant() -> Result<()>
{
    let mut cluster = Cluster::start(3)?;
    add(&cluster, 50)?;
    let url = cluster.url();
    let output = Exporter::run(&[&flags(&url)[..], &["--print-acl"]].concat())?;
    let command = String::from_utf8(output.stdout)?.replace("CHANGE-THIS-PASSWORD", "word");
    for node in cluster.nodes() {
        node.run(&command.split_whitespace().collect::<Vec<_>>())?;
    }
    let url = url.replace("://", "://bullmq-exporter:word@");
    let mut exporter = start(&url, "1h")?;
    until("every queue is served", &exporter, |scrape| {
        all_ready(scrape, 50.0)
    })?;
    // A URL of one node says what is missing.
    let one = cluster.node(0)?.url();
    let output =
        Exporter::run(&[&flags(&one)[..], &["--bullmq.queue", "email", "--once"]].concat())?;
    let told = String::from_utf8(output.stderr)?;
    assert!(told.contains("a URL redis+cluster:// reads"), "{told}");
    let log = exporter.process().log();
    assert!(!log.contains("denied") && !log.contains("word@"), "{log}");
    for node in cluster.nodes() {
        node.run(&["CONFIG", "RESETSTAT"])?;
    }
    for _ in 0..10 {
        assert!(all_ready(&exporter.scrape()?, 50.0));
    }
    let allowed = [
        "client|list",
        "exec",
        "exists",
        "get",
        "hmget",
        "info",
        "lindex",
        "llen",
        "lrange",
        "multi",
        "time",
        "zcard",
        "zcount",
    ];
    for node in cluster.nodes() {
        for (name, calls) in node.command_calls()? {
            let ours = name.starts_with("cluster") || name.starts_with("config") || name == "ping";
            assert!(ours || allowed.contains(&name.as_str()), "{name} was sent");
            if name == "time" || name == "client|list" {
                assert_eq!(calls, 10, "{name}, once a scrape");
            }
            if name == "multi" {
                assert_eq!(calls, 20, "two queues a node");
            }
        }
    }
    Ok(())
}

#[test]
fn while_a_slot_moves_a_queue_is_told_whole_or_not_at_all() -> Result<()> {
    let cluster = Cluster::start(3)?;
    let queue = ("{app}", "email");
    add(&cluster, 12)?;
    let exporter = start(&cluster.url(), "100ms")?;
    // One that looks for nothing while it scrapes.
    let mut patient = start(&cluster.url(), "1h")?;
    for exporter in [&exporter, &patient] {
        until("every queue is served", exporter, |scrape| {
            all_ready(scrape, 12.0)
        })?;
    }
    let from = owner(&cluster, queue)?;
    let to = (from + 1) % 3;
    let mut unread = 0;
    let mut check = |when: &str| -> Result<()> {
        for exporter in [&exporter, &patient] {
            let scrape = exporter.scrape()?;
            assert_eq!(scrape.value("bullmq_up", &[]), Some(1.0), "{when}");
            for other in QUEUES {
                let is_up = of(&scrape, "bullmq_queue_up", other);
                let jobs = ready(&scrape, other);
                let is_whole = is_up == Some(1.0) && jobs == Some(12.0);
                let is_unread = is_up == Some(0.0) && jobs.is_none() && other.0 == queue.0;
                ensure!(
                    is_whole || is_unread,
                    "{when} {other:?}: {is_up:?} {jobs:?}\n{}",
                    scrape.text
                );
                unread += u32::from(is_unread);
            }
        }
        Ok(())
    };
    let mut steps = 0;
    // The others learn of it later than these two.
    cluster.move_slot("{app}", from, to, || {
        steps += 1;
        check("some keys have left")
    })?;
    ensure!(steps > 8, "{steps}");
    let scrape = patient.scrape()?;
    assert_eq!(
        ready(&scrape, queue),
        Some(12.0),
        "the word of the node is followed in the same scrape"
    );
    assert_eq!(of(&scrape, "bullmq_queue_workers", queue), Some(0.0));
    for _ in 0..10 {
        check("the slot has moved")?;
    }
    until("every queue is served again", &exporter, |scrape| {
        all_ready(scrape, 12.0)
    })?;
    ensure!(unread > 0, "the move was not seen at all");
    let log = patient.process().log();
    ensure!(log.contains("on their way to another node"), "{log}");
    Ok(())
}

#[test]
fn a_dead_node_costs_its_own_queues_only_and_a_failover_is_followed() -> Result<()> {
    let mut cluster = Cluster::start(3)?;
    cluster.add_replica_of(1)?;
    add(&cluster, 5)?;
    let owners = QUEUES.map(|queue| owner(&cluster, queue).unwrap_or(usize::MAX));
    // One node is enough to find the others.
    let seed = Cluster::url_of(&cluster.ports()[1..2]);
    let mut exporter = start(&seed, "100ms")?;
    until("every queue is served", &exporter, |scrape| {
        all_ready(scrape, 5.0)
    })?;
    let check = |scrape: &Scrape, dead: &[usize]| -> bool {
        QUEUES.iter().zip(owners).all(|(queue, owner)| {
            let expected = if dead.contains(&owner) {
                (Some(0.0), None)
            } else {
                (Some(1.0), Some(5.0))
            };
            (of(scrape, "bullmq_queue_up", *queue), ready(scrape, *queue)) == expected
        }) && scrape.value("bullmq_up", &[]) == Some(1.0)
    };

    // One that hangs delays the others' truth to the deadline at most, and hides none of it.
    cluster.node(2)?.hang()?;
    let began = Instant::now();
    let scrape = exporter.scrape_with(&[("X-Prometheus-Scrape-Timeout-Seconds", "2")])?;
    ensure!(
        began.elapsed() < Duration::from_secs(2),
        "{:?}",
        began.elapsed()
    );
    ensure!(check(&scrape, &[2]), "{}", scrape.text);
    cluster.node(2)?.go_on()?;
    until("it is back", &exporter, |scrape| check(scrape, &[]))?;

    cluster.wait_until_whole()?;

    // Its replica takes over.
    kill(&mut cluster, 1)?;
    ensure!(check(&exporter.scrape()?, &[1]));
    until("the replica is read", &exporter, |scrape| {
        check(scrape, &[])
    })?;
    assert!(cluster.node(3)?.run(&["ROLE"])?.starts_with("master"));

    cluster.wait_until_whole()?;
    kill(&mut cluster, 0)?;
    let scrape = exporter.scrape()?;
    ensure!(check(&scrape, &[0]), "{}", scrape.text);
    // The searches that come now do not find its queues, and do not forget them.
    let killed = Instant::now();
    until("several searches have been made", &exporter, |scrape| {
        assert!(check(scrape, &[0]), "{}", scrape.text);
        killed.elapsed() > Duration::from_secs(2)
    })?;
    let log = exporter.process().log();
    let node = format!("127.0.0.1:{}", cluster.node(0)?.port());
    let told = log.lines().filter(|line| {
        line.contains("a node of the cluster fails")
            && line.contains(&node)
            && line.contains("refused")
    });
    assert_eq!(told.count(), 1, "said once: {log}");

    // The last primary alone takes the cluster for down, and refuses.
    kill(&mut cluster, 2)?;
    let scrape = until("the last node refuses", &exporter, |scrape| {
        scrape.value("bullmq_up", &[]) == Some(0.0)
    })?;
    assert_eq!(scrape.samples("bullmq_queue_up").count(), 0);

    kill(&mut cluster, 3)?;
    let scrape = exporter.scrape()?;
    assert_eq!(scrape.value("bullmq_up", &[]), Some(0.0));
    assert_eq!(scrape.samples("bullmq_queue_up").count(), 0);
    Ok(())
}

fn event(scrape: &Scrape, (prefix, name): (&str, &str), event: &str) -> Option<f64> {
    let labels = [("prefix", prefix), ("queue", name), ("event", event)];
    scrape.value("bullmq_job_events_total", &labels)
}

/// Runs so many jobs in each of these queues to their end, and returns for how many milliseconds the library says that they ran.
fn work_off(bullmq: &mut BullMq, queues: &[(&str, &str)], jobs: u32) -> Result<Vec<f64>> {
    let run = |(prefix, name): &(&str, &str)| {
        let ran = bullmq.run(&format!(
            "let [ran, done] = [0, 0];
             const w = await worker('{name}', () => sleep(20), {{ prefix: '{prefix}' }});
             w.on('completed', (job) => {{ ran += job.finishedOn - job.processedOn; done++; }});
             const many = Array.from({{ length: {jobs} }}, () => ({{ name: 'a', data: {{}} }}));
             await queue('{name}', {{ prefix: '{prefix}' }}).addBulk(many);
             while (done < {jobs}) await sleep(10);
             await w.close();
             return ran;"
        ))?;
        ran.as_f64().context("a number")
    };
    queues.iter().map(run).collect()
}

/// Waits until so many jobs of each of these queues are told as completed.
fn until_completed(exporter: &Exporter, queues: &[(&str, &str)], jobs: f64) -> Result<Scrape> {
    until("the events are counted", exporter, |scrape| {
        let is_counted = |queue| event(scrape, queue, "completed") == Some(jobs);
        queues.iter().all(|queue| is_counted(*queue))
    })
}

#[test]
fn events_are_counted_on_every_node_and_none_twice_or_missed_when_slots_move_or_nodes_hang()
-> Result<()> {
    for version in Version::ALL {
        let mut cluster = Cluster::start(3)?;
        cluster.add_replica_of(0)?;
        let mut bullmq = BullMq::start_in(version, &cluster)?;
        for (prefix, name) in QUEUES {
            bullmq.run(&format!(
                "await queue('{name}', {{ prefix: '{prefix}' }}).waitUntilReady();"
            ))?;
        }
        let url = cluster.url();
        let output =
            Exporter::run(&[&flags(&url)[..], &["--collect.events", "--print-acl"]].concat())?;
        let command = String::from_utf8(output.stdout)?.replace("CHANGE-THIS-PASSWORD", "word");
        for node in cluster.nodes() {
            node.run(&command.split_whitespace().collect::<Vec<_>>())?;
        }
        let url = url.replace("://", "://bullmq-exporter:word@");
        let more = ["--discovery.interval", "200ms", "--collect.events"];
        let mut exporter = Exporter::start_with(&[&flags(&url)[..], &more].concat())?;
        until("every queue's events are served", &exporter, |scrape| {
            let counted = |queue| event(scrape, queue, "completed").is_some();
            QUEUES.into_iter().all(counted)
        })?;

        // As many, and for as long, as the library says.
        let ran = work_off(&mut bullmq, &QUEUES, 12)?;
        let scrape = until_completed(&exporter, &QUEUES, 12.0)?;
        for (queue, ran) in QUEUES.into_iter().zip(ran) {
            let measured = of(&scrape, "bullmq_job_processing_seconds_sum", queue);
            let measured = measured.context("it is measured")? * 1000.0;
            // Each event is written some milliseconds after the library's own reading of the clock, at either end.
            assert!(
                (measured - ran).abs() < 12.0 * 15.0,
                "{version:?} {queue:?}: {measured} ms, not {ran}"
            );
        }

        // While a slot moves, what is known of a stream is true, or nothing is.
        let moving = ("{app}", "email");
        let from = owner(&cluster, moving)?;
        let to = (from + 1) % 3;
        let key = "{app}:email:meta";
        cluster.move_slot(key, from, to, || {
            let scrape = exporter.scrape()?;
            for queue in QUEUES {
                let counted = event(&scrape, queue, "completed");
                let unknown = counted.is_none() && queue.0 == moving.0;
                ensure!(counted == Some(12.0) || unknown, "{}", scrape.text);
            }
            Ok(())
        })?;
        work_off(&mut bullmq, &QUEUES, 3)?;
        until_completed(&exporter, &QUEUES, 15.0)?;

        // A node that hangs costs the events of its own queues; what comes to the others is counted meanwhile.
        let hung = 2;
        let of_hung: Vec<_> = QUEUES
            .into_iter()
            .filter(|queue| owner(&cluster, *queue).ok() == Some(hung))
            .collect();
        let others: Vec<_> = QUEUES
            .into_iter()
            .filter(|queue| !of_hung.contains(queue))
            .collect();
        ensure!(!of_hung.is_empty() && others.len() >= 2, "{of_hung:?}");
        cluster.node(hung)?.hang()?;
        // By no client of the library, which itself hangs as long as a node does.
        for queue @ (prefix, name) in &others {
            let stream = format!("{prefix}:{name}:events");
            let event = ["event", "completed", "jobId", "other", "prev", "active"];
            let add = [&["XADD", &stream, "*"][..], &event].concat();
            cluster.node(owner(&cluster, *queue)?)?.run(&add)?;
        }
        let scrape = until_completed(&exporter, &others, 16.0)?;
        let header = [("X-Prometheus-Scrape-Timeout-Seconds", "2")];
        let told = wait_until("nothing is told of its streams", LIMIT, || {
            let scrape = exporter.scrape_with(&header)?;
            let counted = |queue: &(&str, &str)| event(&scrape, *queue, "completed").is_some();
            Ok((!of_hung.iter().any(counted)).then_some(scrape))
        });
        told.with_context(|| scrape.text)?;
        cluster.node(hung)?.go_on()?;
        cluster.wait_until_whole()?;
        work_off(&mut bullmq, &of_hung, 1)?;
        let scrape = until_completed(&exporter, &QUEUES, 16.0)?;
        let missed = scrape.value("bullmq_exporter_events_missed_total", &[]);
        assert_eq!(missed, Some(0.0), "{version:?}");
        for (name, _) in cluster.node(3)?.command_calls()? {
            let ours = ["xread", "xrange", "xinfo|stream"].contains(&name.as_str());
            assert!(!ours, "{name} was sent to the replica");
        }
        let log = exporter.process().log();
        assert!(!log.contains("denied") && !log.contains("word@"), "{log}");
    }
    Ok(())
}

#[test]
fn the_nodes_of_a_cluster_are_read_over_mutual_tls_and_new_certificates_are_taken() -> Result<()> {
    let certificates = RedisCertificates::new()?;
    certificates.unknown_client("client")?;
    let mut nodes = Vec::new();
    for encrypted in Cluster::free_ports(2)? {
        let encrypting = certificates.arguments(encrypted);
        // Without `tls-cluster` every client is told the ports that do not encrypt.
        let mut arguments = vec!["--cluster-enabled", "yes", "--tls-cluster", "yes"];
        arguments.extend(encrypting.iter().map(String::as_str));
        let node = Redis::start_at(free_port()?, &arguments)?;
        nodes.push((node, encrypted));
    }
    let [(one, encrypted), (other, met)] = nodes.as_slice() else {
        anyhow::bail!("two nodes");
    };
    one.run(&["CLUSTER", "ADDSLOTSRANGE", "0", "8191"])?;
    other.run(&["CLUSTER", "ADDSLOTSRANGE", "8192", "16383"])?;
    one.run(&["CLUSTER", "MEET", "127.0.0.1", &met.to_string()])?;
    wait_until("the nodes know each other", LIMIT, || {
        let told = [one, other].map(|node| node.run(&["CLUSTER", "INFO"]).unwrap_or_default());
        let formed = |told: &String| told.contains("cluster_state:ok");
        Ok(told.iter().all(formed).then_some(()))
    })?;
    // One queue on each, as they lie in Redis without a worker.
    for (node, prefix) in [(one, "{b}"), (other, "{e}")] {
        let key = |name| format!("{prefix}:email:{name}");
        node.run(&["HSET", &key("meta"), "opts.maxLenEvents", "10000"])?;
        node.run(&["LPUSH", &key("wait"), "1"])?;
        node.run(&["SET", &key("id"), "1"])?;
    }
    let config = certificates.folder().join("exporter.yml");
    std::fs::write(
        &config,
        format!(
            "redis:\n- name: main\n  url: rediss+cluster://127.0.0.1:{encrypted}\n  prefixes: ['{{b}}', '{{e}}']\n  \
             tls: {{ca_file: ca.pem, cert_file: client.pem, key_file: client.key, server_name: redis.shop}}\n"
        ),
    )?;
    let config = config.display().to_string();
    let flags = ["--config.file", &config, "--discovery.interval", "200ms"];
    let exporter = Exporter::start_with(&[&flags[..], &["--collect.events"]].concat())?;
    // The certificate is of an authority that the nodes do not know.
    until("it is refused", &exporter, |scrape| {
        scrape.value("bullmq_up", &[]) == Some(0.0)
    })?;
    certificates.known_client("client")?;
    until("every node lets it in", &exporter, |scrape| {
        ["{b}", "{e}"]
            .into_iter()
            .all(|prefix| ready(scrape, (prefix, "email")) == Some(1.0))
    })?;
    Ok(())
}

fn kill(cluster: &mut Cluster, index: usize) -> Result<()> {
    cluster.nodes().get_mut(index).context("a node")?.kill()
}

//! Snapshots as text: the exact bytes, and names of every kind.

use std::sync::Arc;
use std::time::Duration;

use bullmq_exporter::exposition::{Format, Page};
use bullmq_exporter::job_events::JobEvents;
use bullmq_exporter::model::{
    Discovery, Flavor, GroupCounts, GroupStatus, JobCounts, QueueId, QueueReading, QueueSnapshot,
    RateLimit, RedisFacts, Schedulers, Snapshot, Workers,
};
use bullmq_vocabulary::JobEvent;
use bytes::BytesMut;
use proptest::prelude::*;

fn queue(name: &str) -> QueueId {
    QueueId {
        prefix: "bull".into(),
        name: name.into(),
    }
}

fn snapshot(queues: Vec<(QueueId, QueueReading)>) -> Snapshot {
    Snapshot {
        redis: "default".into(),
        up: true,
        duration: Duration::from_millis(1500),
        discovery: None,
        horizons: Arc::new([Duration::from_secs(30), Duration::from_secs(90)]),
        facts: None,
        workers: Vec::new(),
        events: Vec::new(),
        queues,
    }
}

fn text(snapshots: &[&Snapshot]) -> String {
    text_in(Format::Text, snapshots)
}

/// The page without the end of its format.
fn text_in(format: Format, snapshots: &[&Snapshot]) -> String {
    let snapshots = snapshots
        .iter()
        .map(|snapshot| Arc::new((*snapshot).clone()));
    let mut page = Page::new(snapshots.collect(), format, String::new());
    let mut out = BytesMut::new();
    page.fill(&mut out, usize::MAX);
    assert!(page.is_done());
    let text = String::from_utf8_lossy(&out);
    text.strip_suffix(format.end())
        .unwrap_or_default()
        .to_owned()
}

/// The samples without the lines about them.
fn samples(snapshot: &Snapshot) -> Vec<String> {
    let text = text(&[snapshot]);
    text.lines()
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect()
}

#[test]
fn openmetrics_has_the_same_samples_and_names_the_family_of_a_counter_without_its_ending() {
    let read = QueueSnapshot {
        added: Some(12),
        ..QueueSnapshot::default()
    };
    let snapshot = snapshot(vec![(queue("email"), QueueReading::Read(Arc::new(read)))]);
    let (text, openmetrics) = (
        text(&[&snapshot]),
        text_in(Format::OpenMetrics, &[&snapshot]),
    );
    assert!(text.contains("# TYPE bullmq_job_added_total counter\n"));
    let as_text = openmetrics
        .replace(
            "# TYPE bullmq_job_added counter",
            "# TYPE bullmq_job_added_total counter",
        )
        .replace("# HELP bullmq_job_added ", "# HELP bullmq_job_added_total ");
    assert_ne!(openmetrics, as_text);
    assert_eq!(as_text, text);
}

#[test]
fn a_queue_that_was_read_has_every_series_that_is_known() {
    let mut groups = GroupCounts::default();
    groups.set(GroupStatus::Waiting, 5);
    groups.set(GroupStatus::Paused, 6);
    let read = QueueSnapshot {
        counts: JobCounts {
            waiting: 1,
            active: 2,
            delayed: 7,
            prioritized: 3,
            completed: 9,
            ..JobCounts::default()
        },
        delayed_due: 4,
        delayed_due_within: vec![1, 2],
        paused: false,
        concurrency_limit: Some(100),
        oldest_ready_age: Some(Duration::from_millis(61_250)),
        longest_active: Some(Duration::from_secs(7)),
        orphaned: Some(true),
        rate_limit: Some(RateLimit {
            limited: Some(true),
            reset: Duration::from_millis(2500),
        }),
        schedulers: Some(Schedulers { all: 2, overdue: 1 }),
        groups: Some(groups),
        flavor: Flavor::BullMq,
        version: "6.7.0".into(),
        added: Some(12),
        completed: Some(40),
        failed: Some(3),
    };
    let mut snapshot = snapshot(vec![(queue("email"), QueueReading::Read(Arc::new(read)))]);
    snapshot.discovery = Some(Discovery {
        queues: 1,
        duration: Duration::from_millis(20),
        finished_at: Duration::from_millis(1_780_000_000_500),
    });
    let workers = Workers {
        connected: 4,
        idle: 1,
    };
    snapshot.workers = vec![Some(workers)];
    snapshot.facts = Some(RedisFacts {
        version: "7.0.15".into(),
        mode: "standalone".into(),
        role: "primary".into(),
        maxmemory_policy: "noeviction".into(),
    });
    let id = r#"redis="default",prefix="bull",queue="email""#;
    let expected = [
        r#"bullmq_up{redis="default"} 1"#.to_owned(),
        format!("bullmq_queue_up{{{id}}} 1"),
        format!("bullmq_job_count{{{id},state=\"waiting\"}} 1"),
        format!("bullmq_job_count{{{id},state=\"paused\"}} 0"),
        format!("bullmq_job_count{{{id},state=\"active\"}} 2"),
        format!("bullmq_job_count{{{id},state=\"delayed\"}} 7"),
        format!("bullmq_job_count{{{id},state=\"prioritized\"}} 3"),
        format!("bullmq_job_count{{{id},state=\"waiting-children\"}} 0"),
        format!("bullmq_job_count{{{id},state=\"completed\"}} 9"),
        format!("bullmq_job_count{{{id},state=\"failed\"}} 0"),
        format!("bullmq_queue_ready_jobs{{{id}}} 13"),
        format!("bullmq_queue_delayed_due_jobs{{{id}}} 4"),
        format!("bullmq_queue_demand_jobs{{{id}}} 15"),
        format!("bullmq_queue_demand_ahead_jobs{{{id},within=\"30s\"}} 16"),
        format!("bullmq_queue_demand_ahead_jobs{{{id},within=\"1m30s\"}} 17"),
        format!("bullmq_queue_oldest_ready_age_seconds{{{id}}} 61.25"),
        format!("bullmq_queue_longest_active_seconds{{{id}}} 7"),
        format!("bullmq_queue_orphaned{{{id}}} 1"),
        format!("bullmq_queue_paused{{{id}}} 0"),
        format!("bullmq_queue_concurrency_limit{{{id}}} 100"),
        format!("bullmq_queue_rate_limited{{{id}}} 1"),
        format!("bullmq_queue_rate_limit_reset_seconds{{{id}}} 2.5"),
        format!("bullmq_queue_workers{{{id}}} 4"),
        format!("bullmq_queue_workers_idle{{{id}}} 1"),
        format!("bullmq_queue_schedulers{{{id}}} 2"),
        format!("bullmq_queue_schedulers_overdue{{{id}}} 1"),
        format!("bullmq_queue_groups{{{id},status=\"waiting\"}} 5"),
        format!("bullmq_queue_groups{{{id},status=\"limited\"}} 0"),
        format!("bullmq_queue_groups{{{id},status=\"maxed\"}} 0"),
        format!("bullmq_queue_groups{{{id},status=\"paused\"}} 6"),
        format!("bullmq_queue_info{{{id},flavor=\"bullmq\",version=\"6.7.0\"}} 1"),
        format!("bullmq_job_added_total{{{id}}} 12"),
        format!("bullmq_job_completed_total{{{id}}} 40"),
        format!("bullmq_job_failed_total{{{id}}} 3"),
        r#"bullmq_redis_info{redis="default",version="7.0.15",mode="standalone",role="primary",maxmemory_policy="noeviction"} 1"#.to_owned(),
        r#"bullmq_exporter_scrape_duration_seconds{redis="default"} 1.5"#.to_owned(),
        r#"bullmq_exporter_discovery_duration_seconds{redis="default"} 0.02"#.to_owned(),
        r#"bullmq_exporter_discovery_last_success_timestamp_seconds{redis="default"} 1780000000.5"#
            .to_owned(),
        r#"bullmq_exporter_queues{redis="default"} 1"#.to_owned(),
    ];
    assert_eq!(samples(&snapshot), expected);
}

#[test]
fn what_is_not_known_is_absent() {
    let unknown = QueueSnapshot {
        oldest_ready_age: None,
        added: None,
        ..QueueSnapshot::default()
    };
    let snapshot = snapshot(vec![
        (queue("gone"), QueueReading::Gone),
        (queue("unread"), QueueReading::Unread),
        (queue("unknown"), QueueReading::Read(Arc::new(unknown))),
    ]);
    let text = text(&[&snapshot]);
    assert!(!text.contains("gone"), "{text}");
    let unread: Vec<_> = text
        .lines()
        .filter(|line| line.contains("\"unread\""))
        .collect();
    assert_eq!(
        unread,
        [r#"bullmq_queue_up{redis="default",prefix="bull",queue="unread"} 0"#]
    );
    for absent in [
        "bullmq_queue_oldest_ready_age_seconds",
        "bullmq_job_added_total",
        "bullmq_job_completed_total",
        "bullmq_job_failed_total",
        "bullmq_queue_concurrency_limit",
        "bullmq_queue_longest_active_seconds",
        "bullmq_queue_orphaned",
        "bullmq_queue_rate_limit",
        "bullmq_queue_workers",
        "bullmq_queue_schedulers",
        "bullmq_queue_groups",
        "bullmq_redis_info",
        "bullmq_exporter_queues",
    ] {
        assert!(
            !text.contains(absent),
            "{absent} is neither sample nor head:\n{text}"
        );
    }
}

#[test]
fn several_servers_stand_under_one_head() {
    let one = snapshot(vec![]);
    let other = Snapshot {
        redis: "other".into(),
        up: false,
        ..snapshot(vec![])
    };
    let text = text(&[&one, &other]);
    assert!(text.contains(
        "# TYPE bullmq_up gauge\nbullmq_up{redis=\"default\"} 1\nbullmq_up{redis=\"other\"} 0\n"
    ));
    assert_eq!(text.matches("# TYPE bullmq_up ").count(), 1);
}

/// Reads a label value back as Prometheus does: <https://github.com/prometheus/common/blob/v0.67.0/expfmt/text_parse.go>.
fn unescape(value: &str) -> Option<String> {
    let mut read = String::new();
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        read.push(match (character, character == '\\') {
            (_, true) => match characters.next()? {
                'n' => '\n',
                other @ ('\\' | '"') => other,
                _ => return None,
            },
            ('"', false) => return None,
            (other, false) => other,
        });
    }
    Some(read)
}

proptest! {
    #[test]
    fn every_name_is_read_back_as_it_was(name in "\\PC*|[\\\\\"\n,{}= ]*|.*") {
        let snapshot = snapshot(vec![(queue(&name), QueueReading::Unread)]);
        let text = text(&[&snapshot]);
        let line = text.split('\n').find(|line| line.starts_with("bullmq_queue_up{"));
        let line = line.expect("the queue's line");
        let value = line.strip_prefix("bullmq_queue_up{redis=\"default\",prefix=\"bull\",queue=\"");
        let value = value.and_then(|value| value.strip_suffix("\"} 0")).expect("one line, one sample");
        prop_assert_eq!(unescape(value), Some(name));
    }
}

#[test]
fn what_events_told_is_written_as_counters_and_histograms() {
    let mut told = JobEvents::default();
    for event in [JobEvent::Added, JobEvent::Completed, JobEvent::Added] {
        told.count(event);
    }
    for millis in [5, 70, 20_000_000] {
        told.wait.observe(Duration::from_millis(millis));
    }
    let read = |flavor| {
        QueueReading::Read(Arc::new(QueueSnapshot {
            flavor,
            ..QueueSnapshot::default()
        }))
    };
    let mut snapshot = snapshot(vec![
        (queue("bull"), read(Flavor::Bull)),
        (queue("email"), read(Flavor::BullMq)),
        (queue("unfollowed"), read(Flavor::BullMq)),
        (queue("unread"), QueueReading::Unread),
    ]);
    let told = Some(told.pack());
    snapshot.events = vec![told.clone(), told.clone(), None, told];
    let samples = samples(&snapshot);
    let of = |metric: &str| -> Vec<&str> {
        let samples = samples.iter().filter_map(|line| line.strip_prefix(metric));
        samples.collect()
    };
    let id = r#"redis="default",prefix="bull",queue="email""#;
    let mut expected: Vec<String> = [
        ("0.005", 1),
        ("0.01", 1),
        ("0.025", 1),
        ("0.05", 1),
        ("0.1", 2),
        ("0.25", 2),
        ("0.5", 2),
        ("1.0", 2),
        ("2.5", 2),
        ("10.0", 2),
        ("30.0", 2),
        ("60.0", 2),
        ("300.0", 2),
        ("1800.0", 2),
        ("14400.0", 2),
        ("+Inf", 3),
    ]
    .map(|(bound, count)| format!("_bucket{{{id},le=\"{bound}\"}} {count}"))
    .into();
    expected.extend([
        format!("_sum{{{id}}} 20000.075"),
        format!("_count{{{id}}} 3"),
    ]);
    assert_eq!(of("bullmq_job_wait_seconds"), expected);
    assert_eq!(
        of("bullmq_job_processing_seconds_count"),
        [format!("{{{id}}} 0")]
    );
    let counts = of("bullmq_job_events_total");
    assert_eq!(counts.len(), JobEvent::ALL.len());
    assert_eq!(counts[0], format!("{{{id},event=\"added\"}} 2"));
    assert!(counts.contains(&format!("{{{id},event=\"completed\"}} 1").as_str()));
    let text = text(&[&snapshot]);
    assert!(
        text.contains("# TYPE bullmq_job_wait_seconds histogram\n"),
        "{text}"
    );
}

#[test]
fn a_page_is_the_same_in_chunks_of_any_size() {
    let told = JobEvents::default().pack();
    let mut one = snapshot(vec![
        (queue("email"), QueueReading::Read(Arc::default())),
        (queue("gone"), QueueReading::Gone),
        (queue("late"), QueueReading::Unread),
        (queue("video"), QueueReading::Read(Arc::default())),
    ]);
    one.events = vec![None, None, None, Some(told)];
    let mut other = snapshot(vec![(queue("email"), QueueReading::Read(Arc::default()))]);
    other.redis = "other".into();
    let servers = [Arc::new(one), Arc::new(snapshot(vec![])), Arc::new(other)];
    for format in [Format::Text, Format::OpenMetrics] {
        let page = || Page::new(servers.to_vec(), format, "own_total 1\n".to_owned());
        let mut whole = BytesMut::new();
        let mut written_at_once = page();
        written_at_once.fill(&mut whole, usize::MAX);
        assert!(whole.ends_with(format!("own_total 1\n{}", format.end()).as_bytes()));
        for enough in [1, 2, 100, 1000, 4096, whole.len(), whole.len() + 1] {
            let (mut parts, mut page) = (BytesMut::new(), page());
            while !page.is_done() {
                let mut chunk = BytesMut::new();
                page.fill(&mut chunk, enough);
                assert!(page.is_done() || chunk.len() >= enough);
                parts.extend_from_slice(&chunk);
            }
            assert!(parts == whole, "{format:?} in chunks of {enough} bytes");
            let length = parts.len();
            page.fill(&mut parts, usize::MAX);
            assert_eq!(parts.len(), length, "nothing is written twice");
        }
    }
}

//! Snapshots as text: the exact bytes, and names of every kind.

use std::sync::Arc;
use std::time::Duration;

use bullmq_exporter::exposition;
use bullmq_exporter::model::{
    Discovery, JobCounts, QueueId, QueueReading, QueueSnapshot, Snapshot,
};
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
        queues,
    }
}

fn text(snapshots: &[&Snapshot]) -> String {
    let mut out = String::new();
    assert!(
        exposition::write(snapshots, &mut out).is_ok(),
        "a String takes everything"
    );
    out
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
fn a_queue_that_was_read_has_every_series_that_is_known() {
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
        added: Some(12),
    };
    let mut snapshot = snapshot(vec![(queue("email"), QueueReading::Read(read))]);
    snapshot.discovery = Some(Discovery {
        queues: 1,
        duration: Duration::from_millis(20),
        finished_at: Duration::from_millis(1_780_000_000_500),
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
        format!("bullmq_queue_ready_jobs{{{id}}} 8"),
        format!("bullmq_queue_delayed_due_jobs{{{id}}} 4"),
        format!("bullmq_queue_demand_jobs{{{id}}} 10"),
        format!("bullmq_queue_demand_ahead_jobs{{{id},within=\"30s\"}} 11"),
        format!("bullmq_queue_demand_ahead_jobs{{{id},within=\"1m30s\"}} 12"),
        format!("bullmq_queue_oldest_ready_age_seconds{{{id}}} 61.25"),
        format!("bullmq_queue_paused{{{id}}} 0"),
        format!("bullmq_queue_concurrency_limit{{{id}}} 100"),
        format!("bullmq_job_added_total{{{id}}} 12"),
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
        (queue("unknown"), QueueReading::Read(unknown)),
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
        "bullmq_queue_concurrency_limit",
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

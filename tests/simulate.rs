//! Is what `bullmq-keda simulate` plays what happens? A query is worked out as Prometheus answers it; the policies hold what they are chosen
//! for, and the trigger on a list strands the jobs that it cannot see; what Prometheus knows of the past is what comes in again.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};
use std::time::{SystemTime, UNIX_EPOCH};

use acceptance::{Prometheus, ours};
use anyhow::{Context as _, Result, ensure};
use bullmq_keda::query::Seen;
use bullmq_keda::{Input, plan, workloads};
use serde_json::Value;

/// Between two samples, in seconds.
const INTERVAL: u64 = 15;

#[expect(clippy::disallowed_methods, reason = "what was ends now")]
fn now() -> Result<u64> {
    Ok(SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())
}

fn spec(fields: &str) -> String {
    format!(
        "apiVersion: bullmq-keda/v1\nprometheus: {{serverAddress: \"http://prometheus.monitoring.svc:9090\"}}\n\
         workers:\n  - {{name: worker, queues: [email, {{name: sms, redis: main}}], concurrency: 10, {fields}}}\n"
    )
}

fn simulate(folder: &Path, spec: &str, flags: &[&str]) -> Result<Output> {
    let file = folder.join("spec.yaml");
    std::fs::write(&file, spec)?;
    let mut command = Command::new(ours("bullmq-keda")?);
    command.arg("simulate").arg(file).args(flags);
    Ok(command.output()?)
}

/// The outcomes of the only simulation, the spec's own first.
fn outcomes(spec: &str, flags: &[&str]) -> Result<Vec<Value>> {
    let folder = tempfile::tempdir()?;
    let output = simulate(
        folder.path(),
        spec,
        &[flags, &["--output", "json"]].concat(),
    )?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.success(), "{said}");
    let document: Value = serde_json::from_slice(&output.stdout)?;
    let outcomes = document.pointer("/simulations/0/outcomes");
    let outcomes = outcomes.and_then(Value::as_array);
    Ok(outcomes.context("no outcomes")?.clone())
}

fn number(outcome: &Value, name: &str) -> f64 {
    outcome
        .get(name)
        .and_then(Value::as_f64)
        .unwrap_or(f64::NAN)
}

/// Samples of two queues over ten minutes up to `end`, as two exporters tell them, and what is seen at the end.
fn samples(end: u64, demands: [u64; 2], actives: impl Fn(u64) -> [u64; 2]) -> (String, Seen) {
    let queues = [("default", "email"), ("main", "sms")];
    let mut text = String::new();
    let mut average = 0.0;
    for (metric, extra) in [
        ("bullmq_queue_demand_jobs", ""),
        ("bullmq_job_count", ",state=\"active\""),
    ] {
        let _ = writeln!(text, "# TYPE {metric} gauge");
        for (queue, (redis, name)) in queues.iter().enumerate() {
            for instance in ["a", "b"] {
                for step in 0..=40 {
                    let time = end - (40 - step) * INTERVAL;
                    let active = actives(step).get(queue).copied().unwrap_or(0);
                    let value = if extra.is_empty() {
                        demands.get(queue).copied().unwrap_or(0)
                    } else {
                        active
                    };
                    // The last twenty are those of five minutes.
                    if !extra.is_empty() && instance == "a" && step > 20 {
                        average += f64::from(u32::try_from(active).unwrap_or(0)) / 20.0;
                    }
                    let _ = writeln!(
                        text,
                        "{metric}{{redis=\"{redis}\",prefix=\"bull\",queue=\"{name}\",instance=\"{instance}\"{extra}}} {value} {time}"
                    );
                }
            }
        }
    }
    text.push_str("# EOF\n");
    let sum = |values: [u64; 2]| {
        values
            .iter()
            .map(|value| f64::from(u32::try_from(*value).unwrap_or(0)))
            .sum()
    };
    let seen = Seen {
        demand: sum(demands),
        active: sum(actives(40)),
        average,
    };
    (text, seen)
}

#[test]
fn a_query_is_worked_out_as_prometheus_answers_it() -> Result<()> {
    let end = now()? - 60;
    for (what, demands, actives) in [
        (
            "a backlog",
            [700, 35],
            (|step| [step * 3, 7]) as fn(u64) -> [u64; 2],
        ),
        ("less than there was", [4, 1], |step| [200 - step * 5, 9]),
        ("more running than is wanted", [10, 10], |_| [30, 30]),
        ("one job", [1, 0], |_| [0, 0]),
        ("nothing", [0, 0], |_| [0, 0]),
    ] {
        let (text, seen) = samples(end, demands, actives);
        let prometheus = Prometheus::start_with_past(&text)?;
        for fields in [
            "replicas: {min: 0, max: 20}",
            "replicas: {min: 0, max: 20}, scale: {jobsPerReplica: 7}",
            "replicas: {min: 1, max: 20}, scale: {startWithin: 30s}, job: {mean: 1700ms}",
            "replicas: {min: 1, max: 20}, job: {mean: 3s}, rateLimit: 100/1m",
            "replicas: {min: 1, max: 20}, scale: {startWithin: 45s}, job: {mean: 3s}, rateLimit: 100/1m",
        ] {
            let input = Input {
                name: "spec.yaml".to_owned(),
                short_name: "spec.yaml".to_owned(),
                bytes: spec(fields).into_bytes(),
            };
            let (workloads, _) = workloads(vec![input])?;
            for trigger in workloads
                .iter()
                .flat_map(|workload| plan::plan(workload).triggers)
            {
                let query = trigger.query.to_string();
                // Between two scrapes: whether the sample at the far end of a range is in it is different between versions of Prometheus.
                let answer = prometheus.query_at(&query, end + INTERVAL / 3)?;
                let answer = answer.first().context("no answer")?.value;
                let worked_out = trigger.query.value(&seen);
                ensure!(
                    (answer - worked_out).abs() < 1e-9 * answer.abs().max(1.0),
                    "{what}, {}: {answer} and {worked_out} of {seen:?}\n{query}",
                    trigger.name
                );
            }
        }
    }
    Ok(())
}

/// The loads and goals by which the policies were chosen, as far as minutes of a debug build reach.
#[test]
fn the_policies_hold_what_they_are_chosen_for() -> Result<()> {
    for (what, worker, flags, in_time, cost) in [
        (
            "a steady load",
            "replicas: {min: 1, max: 50}, scale: {startWithin: 30s}, job: {mean: 2s}, startup: 30s",
            &["--load", "steady=40/1s", "--for", "30m"][..],
            100.0,
            // Little's law alone wants 8 replicas; the list has all of them.
            4.0 * 1.2,
        ),
        (
            "bursts",
            "replicas: {min: 0, max: 50}, scale: {startWithin: 5m}, job: {mean: 2s}, startup: 30s",
            &["--load", "burst=5000/2h", "--for", "4h"],
            99.0,
            1.5,
        ),
        (
            "delayed jobs",
            "replicas: {min: 0, max: 50}, scale: {startWithin: 1m}, job: {mean: 5s}, startup: 30s",
            &["--load", "burst=300/1h,delay=10m..1h", "--for", "1d"],
            99.9,
            24.0,
        ),
        (
            "a job now and then, and its retries",
            "replicas: {min: 0, max: 50}, job: {mean: 5s}, startup: 30s",
            &[
                "--load",
                "steady=4/1h,failing=10%,backoff=10m",
                "--for",
                "1d",
                "--within",
                "75s",
            ],
            100.0,
            6.0,
        ),
    ] {
        let outcomes = outcomes(&spec(worker), flags)?;
        let own = outcomes.first().context("no outcome")?;
        let list = outcomes.iter().find(|outcome| {
            let name = outcome.get("name").and_then(Value::as_str);
            name.is_some_and(|name| name.starts_with("redis list"))
        });
        let list = list.context("no list")?;
        let of = |name| number(own, name);
        ensure!(of("jobs") > 50.0, "{what}: {own:#}");
        ensure!(
            of("inTimePercent") >= in_time,
            "{what}: {}%",
            of("inTimePercent")
        );
        ensure!(
            of("replicaHours") <= cost,
            "{what}: {} h",
            of("replicaHours")
        );
        ensure!(of("stranded") == 0.0, "{what}: {} stranded", of("stranded"));
        // What the list does not show is not worked on; what it shows costs more.
        let stranded = number(list, "stranded");
        let dearer = number(list, "replicaHours") / of("replicaHours");
        ensure!(
            stranded > 0.0 || dearer > 1.5,
            "{what}: {stranded} {dearer}"
        );
    }
    Ok(())
}

#[test]
fn what_prometheus_knows_of_the_past_comes_in_again() -> Result<()> {
    let end = (now()? - 60) / 60 * 60 + 3;
    let begin = end - 4 * 3600;
    // One job a second, but for an hour without any; two exporters tell it, one of them since its restart only; nothing is known of ten
    // minutes before the last hour. And what a cron adds each ten minutes, just after a minute began, where no scrape comes in between.
    let mut text = "# TYPE bullmq_job_added counter\n".to_owned();
    let line = |redis: &str, queue: &str, instance: &str, added: u64, time: u64| {
        format!(
            "bullmq_job_added_total{{redis=\"{redis}\",prefix=\"bull\",queue=\"{queue}\",instance=\"{instance}\"}} {added} {time}\n"
        )
    };
    for instance in ["a", "b"] {
        let mut added = 1000_u64;
        for time in (begin..end).step_by(15) {
            let quiet = (begin + 3600..begin + 7200).contains(&time);
            added += if quiet { 0 } else { 15 };
            let unknown = (end - 4200..end - 3600).contains(&time);
            if unknown || (instance == "b" && time < begin + 9000) {
                continue;
            }
            text.push_str(&line("default", "email", instance, added, time));
            text.push_str(&line("main", "sms", instance, time / 600 * 100, time));
        }
    }
    text.push_str("# EOF\n");
    let prometheus = Prometheus::start_with_past(&text)?;
    let folder = tempfile::tempdir()?;
    let reach = ["--prometheus", prometheus.url(), "--history"];
    let worker = spec("replicas: {min: 0, max: 9}, job: {mean: 1s}");
    let play = |time| {
        let flags = [time, "--output", "json"];
        let output = simulate(folder.path(), &worker, &[&reach[..], &flags].concat())?;
        let said = String::from_utf8(output.stderr)?;
        ensure!(output.status.success(), "{said}");
        let document: Value = serde_json::from_slice(&output.stdout)?;
        let simulation = document.pointer("/simulations/0");
        Ok((simulation.context("nothing simulated")?.clone(), said))
    };

    let (simulation, said) = play("3h")?;
    let load = simulation.get("load").and_then(Value::as_str);
    assert_eq!(load, Some("the last 3h, by steps of 1m"));
    assert!(!said.contains("warning"), "{said}");
    let own = simulation.pointer("/outcomes/0").context("no outcome")?;
    // Of three hours the first is quiet but for the cron, and a quarter of an hour and a start are the warm-up.
    let expected = f64::from(2 * 3600 + 16 * 100);
    let jobs = number(own, "jobs");
    assert!((jobs / expected - 1.0).abs() < 0.06, "{jobs} of {expected}");
    let demand = own.get("demand").and_then(Value::as_array);
    let demand = demand.context("no demand")?;
    // The jobs of the cron stand in the quiet time, all at once.
    let quiet = demand
        .iter()
        .take(demand.len() / 5)
        .filter_map(Value::as_u64);
    let (most, none) = quiet.fold((0, 0), |(most, none), jobs| {
        (most.max(jobs), none + u32::from(jobs == 0))
    });
    assert!(most > 0 && none > 20, "{most} {none}");

    let (_, said) = play("5h")?;
    assert!(
        // About an hour of minutes, by the second that it is now.
        said.contains(" steps of 300 nothing is known of `worker`"),
        "{said}"
    );

    let other = worker.replace("email", "orders").replace("sms", "invoices");
    let output = simulate(folder.path(), &other, &[&reach[..], &["1h"]].concat())?;
    let said = String::from_utf8(output.stderr)?;
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("knows no bullmq_job_added_total of the queues of `worker` in the last 1h; `bullmq-keda verify` tells"), "{said}");
    Ok(())
}

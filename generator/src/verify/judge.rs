//! What the answers mean: replicas now, and what stands in the way. Pure.

use std::collections::BTreeMap;
use std::time::Duration;

use bullmq_vocabulary::{label, prometheus_duration};

use super::absence::missing;
use super::identity::ambiguous;
use super::observe::is_of;
use super::replicas::decision;
use super::report::{
    ExporterReport, Finding, Kind, QueueReport, Report, Seconds, TriggerReport, WorkerReport,
};
use super::{Observation, Subject, WorkerObservation};
use crate::plan::Plan;
use crate::problem::Severity;
use crate::prometheus_api::{Series, as_keda_reads};
use crate::workload::Queue;

/// How far an interval may be from the spec's: scrapes come late by a bit, and a failed one leaves a gap of two.
const INTERVAL_TOLERANCE: f64 = 0.25;
/// What passes beside the scrape interval until a sample can be asked for.
const SAMPLE_DELAY_SECS: f64 = 5.0;

/// Judges what was observed.
pub fn judge<'s>(subject: &'s Subject<'s>, seen: &Observation) -> Report<'s> {
    let exporters = exporters(seen);
    let mut redis = BTreeMap::new();
    for series in &seen.redis_up {
        let up = redis
            .entry(series.label(label::REDIS).to_owned())
            .or_insert(false);
        *up |= series.value() == Some(1.0);
    }
    let workers = subject
        .plans
        .iter()
        .zip(&seen.workers)
        .map(|(plan, worker)| of_worker(plan, worker, seen, &redis, &exporters))
        .collect();
    Report {
        server_address: subject.server_address,
        asked: subject.asked,
        at: seen.at,
        findings: of_all(subject, seen, &exporters),
        exporters,
        redis,
        workers,
    }
}

fn exporters(seen: &Observation) -> Vec<ExporterReport> {
    let there = |series: &Series| {
        seen.exporters
            .iter()
            .any(|other| other.labels == series.labels)
    };
    let unscraped = seen.exporters.iter().filter(|series| {
        !seen
            .scrapes
            .iter()
            .any(|other| other.labels == series.labels)
    });
    let mut reports: Vec<_> = seen
        .scrapes
        .iter()
        .chain(unscraped)
        .map(|series| {
            let times: Vec<f64> = series.samples.iter().map(|(time, _)| *time).collect();
            let instance = match series.label("instance") {
                "" => format!("{:?}", series.labels),
                instance => instance.to_owned(),
            };
            ExporterReport {
                instance,
                version: series.label(label::VERSION).to_owned(),
                there: there(series),
                interval: median_gap(&times),
                age: times.last().map(|last| (seen.at - last).max(0.0)),
            }
        })
        .collect();
    reports.sort_by(|a, b| a.instance.cmp(&b.instance).then(b.there.cmp(&a.there)));
    // An exporter that was replaced by another version at the same address is one exporter.
    reports.dedup_by(|later, earlier| later.instance == earlier.instance && !later.there);
    reports
}

/// The middle one of the gaps between times; nothing with fewer than two gaps.
fn median_gap(times: &[f64]) -> Option<f64> {
    let mut gaps: Vec<f64> = times
        .windows(2)
        .filter_map(|pair| Some(pair.get(1)? - pair.first()?))
        .collect();
    gaps.sort_by(f64::total_cmp);
    (gaps.len() >= 2).then(|| gaps.get(gaps.len() / 2).copied())?
}

fn of_all(subject: &Subject<'_>, seen: &Observation, exporters: &[ExporterReport]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut find = |kind, severity, message: String, help: String| {
        findings.push(Finding {
            kind,
            severity,
            message,
            help,
        });
    };
    let told = subject
        .plans
        .first()
        .map(|plan| plan.workload.prometheus.scrape_interval);
    let there = exporters.iter().filter(|exporter| exporter.there);
    let slowest = there
        .clone()
        .filter_map(|exporter| exporter.interval)
        .max_by(f64::total_cmp);
    if let (Some(measured), Some(told)) = (slowest, told) {
        let (ratio, told) = (measured / told.as_secs_f64(), prometheus_duration(told));
        // To a tenth of a second, and in the form that a spec takes.
        let tenths = Duration::try_from_secs_f64((measured * 10.0).round() / 10.0);
        let measured = prometheus_duration(tenths.unwrap_or_default());
        let message = format!("the exporter is scraped every {measured}, and the spec says {told}");
        if ratio > 1.0 + INTERVAL_TOLERANCE {
            let help = format!(
                "write `scrapeInterval: {measured}` under `prometheus`, so that the horizon is long enough, or scrape more often"
            );
            find(Kind::ScrapeInterval, Severity::Warning, message, help);
        } else if ratio < 1.0 - INTERVAL_TOLERANCE {
            let help = format!(
                "nothing breaks; with `scrapeInterval: {measured}` a shorter horizon may do"
            );
            find(Kind::ScrapeInterval, Severity::Info, message, help);
        }
    }
    let mut versions: Vec<_> = there.map(|exporter| exporter.version.as_str()).collect();
    versions.sort_unstable();
    versions.dedup();
    if versions.len() > 1 {
        let message = format!(
            "the exporters are of different versions: {}",
            versions.join(", ")
        );
        find(
            Kind::ExporterVersions,
            Severity::Info,
            message,
            "finish the rollout, or find the one that was forgotten".to_owned(),
        );
    }
    for error in &seen.unanswered {
        let message = format!("not everything could be looked at: {error}");
        find(
            Kind::Unanswered,
            Severity::Warning,
            message,
            "KEDA's own questions are judged by themselves; ask again for the rest".to_owned(),
        );
    }
    if let Some(ahead) = seen.clock_ahead {
        let side = if ahead > 0.0 { "ahead of" } else { "behind" };
        let message = format!(
            "the clock here is {} {side} Prometheus'",
            Seconds(ahead.abs())
        );
        find(Kind::Clock, Severity::Info, message, "everything was asked by Prometheus' clock; KEDA asks by its own, so check the clocks of the cluster's nodes".to_owned());
    }
    findings
}

fn of_worker<'s>(
    plan: &'s Plan<'s>,
    worker: &WorkerObservation,
    seen: &Observation,
    redis: &BTreeMap<String, bool>,
    exporters: &[ExporterReport],
) -> WorkerReport<'s> {
    let triggers: Vec<TriggerReport> = plan
        .triggers
        .iter()
        .zip(&worker.triggers)
        .map(|(trigger, answer)| TriggerReport {
            name: trigger.name,
            query: trigger.query.to_string(),
            threshold: trigger.threshold,
            value: as_keda_reads(answer),
        })
        .collect();
    let mut queues: Vec<QueueReport> = plan
        .workload
        .queues
        .iter()
        .map(|queue| queue_report(queue, worker, seen.at))
        .collect();
    if !seen.unanswered.is_empty() {
        // What was not answered is not known to be missing.
        queues.retain(|report| report.demand.is_some());
    }
    let mut findings = Vec::new();
    for report in queues.iter().filter(|report| report.demand.is_none()) {
        findings.push(missing(plan, report, worker, seen, redis, exporters));
    }
    // One cause, such as an exporter that is gone, hides every queue alike.
    findings.dedup();
    for report in &queues {
        findings.extend(ambiguous(plan, report, worker));
    }
    findings.extend(stale(plan, &queues));
    for (trigger, answer) in triggers.iter().zip(&worker.triggers) {
        if let (Err(error), false) = (
            &trigger.value,
            findings
                .iter()
                .any(|finding| finding.severity == Severity::Error),
        ) {
            findings.push(Finding {
                kind: Kind::NoAnswer,
                severity: Severity::Error,
                message: format!(
                    "KEDA has no answer for the trigger `{}`: {error}",
                    trigger.name
                ),
                help: "paste the query into Prometheus and see what is missing".to_owned(),
            });
        }
        let warnings = answer.iter().flat_map(|answer| &answer.warnings);
        findings.extend(warnings.map(|warning| Finding {
            kind: Kind::PartialAnswer,
            severity: Severity::Warning,
            message: format!("Prometheus warns of its answer for the trigger `{}`: {warning}", trigger.name),
            help: "KEDA does not see such warnings and takes the answer for whole; for Thanos forbid partial responses".to_owned(),
        }));
    }
    WorkerReport {
        plan,
        decision: decision(plan, &triggers),
        triggers,
        queues,
        findings,
    }
}

fn queue_report(queue: &Queue, worker: &WorkerObservation, at: f64) -> QueueReport {
    let of = |series: &'_ &Series| is_of(series, queue);
    let values = worker.series.iter().filter(of).filter_map(Series::value);
    let scraped = worker
        .scraped_at
        .iter()
        .filter(of)
        .filter_map(Series::value);
    QueueReport {
        queue: queue.clone(),
        demand: values.max_by(f64::total_cmp),
        series: worker.series.iter().filter(of).count(),
        age: scraped
            .max_by(f64::total_cmp)
            .map(|newest| (at - newest).max(0.0)),
    }
}

/// The oldest of the newest samples, if it is too old. One storage makes all of them late alike, so it is told once.
fn stale(plan: &Plan<'_>, queues: &[QueueReport]) -> Option<Finding> {
    let interval = plan.workload.prometheus.scrape_interval.as_secs_f64();
    let limit = 2.0 * interval + SAMPLE_DELAY_SECS;
    let stale = queues
        .iter()
        .filter(|report| report.age.is_some_and(|age| age > limit));
    let others = stale.clone().count().saturating_sub(1);
    let oldest = stale.max_by(|a, b| {
        a.age
            .unwrap_or_default()
            .total_cmp(&b.age.unwrap_or_default())
    })?;
    let others = match others {
        0 => String::new(),
        1 => ", and one more queue is late".to_owned(),
        others => format!(", and {others} more queues are late"),
    };
    Some(Finding {
        kind: Kind::Stale,
        severity: Severity::Warning,
        message: format!(
            "the newest sample of `{}` is {} old{others}",
            oldest.queue.name.escape_debug(),
            Seconds(oldest.age?)
        ),
        help: "KEDA scales on what was then: see whether scrapes fail, or how late the storage behind this address is \
               (VictoriaMetrics by `-search.latencyOffset`, 30s unless told)"
            .to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decimal::Decimal;
    use crate::prometheus_api::{Answer, Error, Labels};
    use crate::verify::observe;
    use crate::verify::report::Decision;
    use crate::workload::Workload;
    use crate::{Input, plan, workloads};

    #[test]
    fn an_interval_is_the_middle_gap_so_that_one_lost_scrape_does_not_count() {
        for (times, expected) in [
            (&[][..], None),
            (&[1.0, 2.0], None),
            (&[0.0, 15.0, 30.0], Some(15.0)),
            (&[0.0, 15.0, 30.0, 60.0, 75.0], Some(15.0)),
        ] {
            assert_eq!(median_gap(times), expected, "{times:?}");
        }
    }

    fn read(worker: &str) -> Vec<Workload> {
        let spec = format!(
            "apiVersion: bullmq-keda/v1\nprometheus: {{serverAddress: http://p:9090}}\nworkers:\n  - {{name: w, concurrency: 5, {worker}}}\n"
        );
        let name = "spec".to_owned();
        workloads(vec![Input {
            name: name.clone(),
            short_name: name,
            bytes: spec.into_bytes(),
        }])
        .unwrap()
        .0
    }

    fn series(labels: &[(&str, &str)], samples: &[(f64, f64)]) -> Series {
        let labels: Labels = labels
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        Series {
            labels,
            samples: samples.to_vec(),
        }
    }

    /// A Prometheus at the time 1000 that knows one queue, `email`, of demand 7, scraped each 15 s.
    fn answer(query: &str) -> Answer {
        const EMAIL: [(&str, &str); 4] = [
            ("redis", "default"),
            ("prefix", "bull"),
            ("queue", "email"),
            ("instance", "e:9538"),
        ];
        const EXPORTER: [(&str, &str); 2] = [("instance", "e:9538"), ("version", "0.1.0")];
        let vector = |series: Vec<Series>| Answer {
            kind: "vector".to_owned(),
            series,
            warnings: Vec::new(),
        };
        if query == "time()" {
            vector(vec![series(&[], &[(1000.0, 1000.0)])])
        } else if query.starts_with("bullmq_exporter_build_info") && query.ends_with(']') {
            vector(vec![series(
                &EXPORTER,
                &[(960.0, 1.0), (975.0, 1.0), (990.0, 1.0)],
            )])
        } else if query.starts_with("bullmq_exporter_build_info") {
            vector(vec![series(&EXPORTER, &[(1000.0, 1.0)])])
        } else if query.starts_with("bullmq_up") {
            vector(vec![series(&[("redis", "default")], &[(1000.0, 1.0)])])
        } else if query.starts_with("timestamp(") {
            vector(vec![series(&EMAIL, &[(1000.0, 990.0)])])
        } else if query.starts_with("bullmq_queue_demand_jobs{") {
            vector(vec![series(&EMAIL, &[(1000.0, 7.0)])])
        } else if query.starts_with("sum(") {
            vector(vec![series(&[], &[(1000.0, 7.0)])])
        } else {
            vector(Vec::new())
        }
    }

    type Change = fn(&str, Answer) -> Result<Answer, Error>;

    /// The decision, and all findings as kind, severity and message.
    fn judged(worker: &str, now: u64, change: Change) -> (Decision, Vec<(Kind, Severity, String)>) {
        let workloads = read(worker);
        let subject = Subject {
            server_address: "http://p:9090",
            asked: "http://p:9090",
            plans: workloads.iter().map(plan::plan).collect(),
        };
        let mut ask = |query: &str, _: Option<Duration>| change(query, answer(query));
        let seen = observe(&subject, Duration::from_secs(now), &mut ask).unwrap();
        let report = judge(&subject, &seen);
        let worker = report.workers.first().unwrap();
        let findings = report.findings.iter().chain(&worker.findings);
        let findings = findings
            .map(|finding| (finding.kind, finding.severity, finding.message.clone()))
            .collect();
        (worker.decision.clone(), findings)
    }

    fn refusing(query: &str, answer: Answer) -> Result<Answer, Error> {
        if query.starts_with("sum(") {
            let (kind, message) = ("execution".to_owned(), "too many samples".to_owned());
            return Err(Error::Refused { kind, message });
        }
        Ok(answer)
    }

    type Case<'c> = (
        &'c str,
        u64,
        Change,
        Decision,
        &'c [(Kind, Severity, &'c str)],
    );

    const FALLBACK: &str =
        "queues: [email], replicas: {min: 0, max: 9}, onMetricsLoss: {replicas: 4}";
    const EMAIL: &str = "queues: [email], replicas: {min: 0, max: 9}";

    fn is_judged((worker, now, change, decision, findings): Case<'_>) {
        let owned = |(kind, severity, message): &(Kind, Severity, &str)| {
            (*kind, *severity, (*message).to_owned())
        };
        let expected: Vec<_> = findings.iter().map(owned).collect();
        assert_eq!(judged(worker, now, change), (decision, expected));
    }

    #[test]
    fn what_is_not_as_it_should_be_is_found() {
        let two = Decision::Replicas { now: 2, kept: None };
        let failed = "KEDA has no answer for the trigger `demand`: execution: too many samples";
        assert_eq!(
            judged(EMAIL, 1000, |_, answer| Ok(answer)),
            (two.clone(), vec![])
        );
        let cases: [Case<'_>; 4] = [
            (
                EMAIL,
                1000,
                |query, mut answer| {
                    if query.starts_with("timestamp(") {
                        answer.series[0].samples = vec![(1000.0, 900.0)];
                    }
                    Ok(answer)
                },
                two.clone(),
                &[(
                    Kind::Stale,
                    Severity::Warning,
                    "the newest sample of `email` is 1m40s old",
                )],
            ),
            (
                EMAIL,
                1000,
                |query, mut answer| {
                    if query.starts_with("sum(") {
                        answer.warnings.push("store 7 is down".to_owned());
                    }
                    Ok(answer)
                },
                two,
                &[(
                    Kind::PartialAnswer,
                    Severity::Warning,
                    "Prometheus warns of its answer for the trigger `demand`: store 7 is down",
                )],
            ),
            (
                EMAIL,
                1000,
                refusing,
                Decision::Hold,
                &[(Kind::NoAnswer, Severity::Error, failed)],
            ),
            (
                FALLBACK,
                1000,
                refusing,
                Decision::Fallback {
                    replicas: 4,
                    after_failures: 3,
                },
                &[(Kind::NoAnswer, Severity::Error, failed)],
            ),
        ];
        for case in cases {
            is_judged(case);
        }
    }

    #[test]
    fn what_concerns_all_workers_is_told_once() {
        let two = Decision::Replicas { now: 2, kept: None };
        let cases: [Case<'_>; 4] = [
            (
                EMAIL,
                1090,
                |_, answer| Ok(answer),
                two.clone(),
                &[(
                    Kind::Clock,
                    Severity::Info,
                    "the clock here is 1m30s ahead of Prometheus'",
                )],
            ),
            (
                EMAIL,
                940,
                |_, answer| Ok(answer),
                two.clone(),
                &[(
                    Kind::Clock,
                    Severity::Info,
                    "the clock here is 1m behind Prometheus'",
                )],
            ),
            (
                EMAIL,
                1000,
                |query, mut answer| {
                    if query.starts_with("bullmq_exporter_build_info") {
                        let mut old = answer.series[0].clone();
                        old.labels
                            .insert("instance".to_owned(), "old:9538".to_owned());
                        old.labels.insert("version".to_owned(), "0.0.9".to_owned());
                        answer.series.push(old);
                    }
                    Ok(answer)
                },
                two.clone(),
                &[(
                    Kind::ExporterVersions,
                    Severity::Info,
                    "the exporters are of different versions: 0.0.9, 0.1.0",
                )],
            ),
            (
                EMAIL,
                1000,
                |query, answer| {
                    if query.starts_with("bullmq_exporter_build_info{}[") {
                        Err(Error::NoAnswer("no answer within 5s".to_owned()))
                    } else {
                        Ok(answer)
                    }
                },
                two,
                &[(
                    Kind::Unanswered,
                    Severity::Warning,
                    "not everything could be looked at: no answer within 5s",
                )],
            ),
        ];
        for case in cases {
            is_judged(case);
        }
    }

    #[test]
    fn an_exporter_that_was_scraped_a_moment_ago_is_not_called_gone() {
        let late: Change = |query, mut answer| {
            if !query.ends_with(']') && query != "time()" {
                answer.series.clear();
            }
            Ok(answer)
        };
        // Sixty seconds later it would have been scraped again.
        let gone: Change = |query, mut answer| {
            if query == "time()" {
                answer.series = vec![series(&[], &[(1060.0, 1060.0)])];
            } else if !query.ends_with(']') {
                answer.series.clear();
            }
            Ok(answer)
        };
        for (now, change, message) in [
            (
                1000,
                late,
                "no exporter is seen yet, though one was scraped 10s ago",
            ),
            (
                1060,
                gone,
                "no exporter is there; the last scrape was 1m10s ago",
            ),
        ] {
            let (decision, findings) = judged(EMAIL, now, change);
            let found = findings
                .into_iter()
                .filter(|(kind, ..)| *kind == Kind::ExporterMissing);
            let found: Vec<_> = found
                .map(|(_, severity, message)| (severity, message))
                .collect();
            assert_eq!(
                (decision, found),
                (Decision::Hold, vec![(Severity::Error, message.to_owned())])
            );
        }
    }

    #[test]
    fn an_exporter_whose_own_metrics_are_dropped_is_there_all_the_same() {
        let missing = "queues: [emial], replicas: {min: 0, max: 9}";
        let (_, findings) = judged(missing, 1000, |query, mut answer| {
            if query.starts_with("bullmq_exporter") || query.contains("queue=\"emial\"") {
                answer.series.clear();
            }
            Ok(answer)
        });
        let kinds: Vec<_> = findings.iter().map(|(kind, ..)| *kind).collect();
        assert_eq!(kinds, [Kind::QueueMissing]);
    }

    #[test]
    fn late_samples_are_told_once_for_all_queues() {
        let queue = |name: &str, age| QueueReport {
            queue: Queue {
                redis: "default".to_owned(),
                prefix: "bull".to_owned(),
                name: name.to_owned(),
                optional: false,
            },
            demand: Some(1.0),
            series: 1,
            age: Some(age),
        };
        let workloads = read(EMAIL);
        let plan = plan::plan(&workloads[0]);
        for (ages, expected) in [
            (&[1.0, 35.0][..], None),
            (&[36.0, 1.0], Some("the newest sample of `q0` is 36s old")),
            (
                &[36.0, 40.0],
                Some("the newest sample of `q1` is 40s old, and one more queue is late"),
            ),
            (
                &[90.0, 40.0, 41.0],
                Some("the newest sample of `q0` is 1m30s old, and 2 more queues are late"),
            ),
        ] {
            let queues: Vec<_> = ages
                .iter()
                .enumerate()
                .map(|(index, age)| queue(&format!("q{index}"), *age))
                .collect();
            let found = stale(&plan, &queues).map(|finding| finding.message);
            assert_eq!(found.as_deref(), expected, "{ages:?}");
        }
    }

    #[test]
    fn a_redis_that_one_of_two_exporters_reaches_is_reached() {
        let (decision, findings) = judged(EMAIL, 1000, |query, mut answer| {
            if query.starts_with("bullmq_up") {
                answer.series.push(series(
                    &[("redis", "default"), ("instance", "b")],
                    &[(1000.0, 0.0)],
                ));
            }
            Ok(answer)
        });
        assert_eq!(
            (decision, findings),
            (Decision::Replicas { now: 2, kept: None }, vec![])
        );
    }

    #[test]
    fn bounds_and_quiet_are_those_of_keda() {
        for (demand, replicas, expected) in [
            (0.0, "{min: 0, max: 9}", Decision::Zero),
            (
                0.0,
                "{min: 2, max: 9}",
                Decision::Replicas { now: 2, kept: None },
            ),
            (
                999.0,
                "{min: 0, max: 9}",
                Decision::Replicas { now: 9, kept: None },
            ),
            (
                50.0,
                "{min: 0, max: 20}",
                Decision::Replicas {
                    now: 10,
                    kept: Some((10, 11)),
                },
            ),
        ] {
            let workloads = read(&format!("queues: [email], replicas: {replicas}"));
            let plan = plan::plan(&workloads[0]);
            let trigger = TriggerReport {
                name: "demand",
                query: String::new(),
                threshold: Decimal::from_thousandths(5000),
                value: Ok(demand),
            };
            assert_eq!(decision(&plan, &[trigger]), expected, "{demand}");
        }
    }
}

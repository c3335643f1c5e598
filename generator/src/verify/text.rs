//! A report as people read it.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use super::report::{
    Decision, Finding, Number, QueueReport, Report, Seconds, TriggerReport, WorkerReport,
};
use crate::counted::counted;
use crate::plan::Plan;
use crate::problem::Severity;
use bullmq_vocabulary::{DEFAULT_PREFIX, DEFAULT_REDIS_NAME};

/// How many queues of one worker are listed one by one. Those that are missing always are.
const LISTED_QUEUES: usize = 20;

/// The escape sequences of a terminal, or none.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn bold(self, text: &str) -> String {
        self.with("1", text)
    }

    fn severity(self, severity: Severity, text: &str) -> String {
        self.with(
            match severity {
                Severity::Error => "1;31",
                Severity::Warning => "1;33",
                Severity::Info => "1;36",
            },
            text,
        )
    }

    fn with(self, code: &str, text: &str) -> String {
        if self.0 {
            format!("\u{1b}[{code}m{text}\u{1b}[0m")
        } else {
            text.to_owned()
        }
    }
}

/// Tells everything about the workers of one Prometheus.
pub fn text(report: &Report<'_>, colour: bool) -> String {
    let paint = Paint(colour);
    let mut out = String::new();
    let asked = if report.asked == report.server_address {
        report.asked.to_owned()
    } else {
        format!("{} (for {})", report.asked, report.server_address)
    };
    // Writing to a String cannot fail, here and below.
    let _ = writeln!(
        out,
        "{} {asked} at {}",
        paint.bold("Prometheus"),
        time(report.at)
    );
    for exporter in &report.exporters {
        let version = if exporter.version.is_empty() {
            "of an unknown version"
        } else {
            &exporter.version
        };
        let interval = match (exporter.there, exporter.interval, exporter.age) {
            (true, Some(interval), _) => format!("scraped every {}", Seconds(interval)),
            (true, None, _) => "scraped too seldom so far to tell how often".to_owned(),
            (false, _, Some(age)) => format!("gone, last scraped {} ago", Seconds(age)),
            (false, _, None) => "gone".to_owned(),
        };
        let _ = writeln!(
            out,
            "  exporter {} {version}, {interval}",
            exporter.instance
        );
    }
    for (name, up) in &report.redis {
        let _ = writeln!(
            out,
            "  redis {name} {}",
            if *up { "answers" } else { "does not answer" }
        );
    }
    findings(&mut out, &report.findings, paint);
    for worker in &report.workers {
        out.push('\n');
        of_worker(&mut out, worker, paint);
    }
    out
}

fn of_worker(out: &mut String, worker: &WorkerReport<'_>, paint: Paint) {
    let workload = worker.plan.workload;
    let target = &workload.target;
    let namespace = match &workload.namespace {
        Some(namespace) => format!(" in {namespace}"),
        None => String::new(),
    };
    let _ = writeln!(
        out,
        "{}: {}\n  {} {}{namespace}, {}",
        paint.bold(&workload.name),
        decision(&worker.decision, worker.plan),
        target.kind,
        target.name,
        workload.replicas,
    );
    let width = worker
        .triggers
        .iter()
        .map(|trigger| trigger.name.len())
        .max()
        .unwrap_or(0);
    for trigger in &worker.triggers {
        let _ = writeln!(
            out,
            "  trigger {:width$}  {}",
            trigger.name,
            of_trigger(trigger)
        );
    }
    let seen = worker
        .queues
        .iter()
        .filter(|report| report.demand.is_some())
        .take(LISTED_QUEUES);
    let missing = worker
        .queues
        .iter()
        .filter(|report| report.demand.is_none());
    let shown: Vec<_> = seen
        .chain(missing)
        .map(|report| (named(report), report))
        .collect();
    let width = shown
        .iter()
        .map(|(name, _)| name.chars().count())
        .max()
        .unwrap_or(0);
    for (name, report) in &shown {
        let _ = writeln!(out, "  queue {name:width$}  {}", of_queue(report));
    }
    if shown.len() < worker.queues.len() {
        let _ = writeln!(
            out,
            "  and {}",
            match worker.queues.len() - shown.len() {
                1 => "one more queue that is seen".to_owned(),
                more => format!("{more} more queues that are seen"),
            }
        );
    }
    findings(out, &worker.findings, paint);
}

fn named(report: &QueueReport) -> String {
    let queue = &report.queue;
    let mut name = queue.name.escape_debug().to_string();
    if queue.prefix != DEFAULT_PREFIX || queue.redis != DEFAULT_REDIS_NAME {
        let _ = write!(name, " ({}", queue.prefix.escape_debug());
        if queue.redis != DEFAULT_REDIS_NAME {
            let _ = write!(name, " in {}", queue.redis.escape_debug());
        }
        name.push(')');
    }
    name
}

fn of_queue(report: &QueueReport) -> String {
    let Some(demand) = report.demand else {
        return if report.queue.optional {
            "not there, and optional"
        } else {
            "not seen"
        }
        .to_owned();
    };
    let age = report
        .age
        .map_or_else(String::new, |age| format!(", {} old", Seconds(age)));
    let series = if report.series > 1 {
        format!(", {} series", report.series)
    } else {
        String::new()
    };
    format!("demand {}{age}{series}", Number(demand))
}

fn of_trigger(trigger: &TriggerReport) -> String {
    match &trigger.value {
        Err(reason) => format!("error: {reason}"),
        // The threshold of a trigger that only wakes is beyond all demand.
        Ok(value) if trigger.name == "wake" => {
            format!(
                "{}, {}",
                Number(*value),
                if *value > 0.0 { "active" } else { "not active" }
            )
        }
        Ok(value) => format!(
            "{} / {} = {}, {}",
            Number(*value),
            trigger.threshold,
            trigger.replicas().unwrap_or_default(),
            if *value > 0.0 { "active" } else { "not active" }
        ),
    }
}

fn decision(decision: &Decision, plan: &Plan<'_>) -> String {
    match decision {
        Decision::Replicas { now, kept: None } => counted(now, "replica"),
        Decision::Replicas {
            now,
            kept: Some((from, to)),
        } if from == to => {
            format!(
                "{} ({from} stays as it is, within the HPA's tolerance of 10%)",
                counted(now, "replica")
            )
        }
        Decision::Replicas {
            now,
            kept: Some((from, to)),
        } => {
            format!(
                "{} ({from} to {to} stay as they are, within the HPA's tolerance of 10%)",
                counted(now, "replica")
            )
        }
        Decision::Jobs { now } => format!("{}, those that run included", counted(now, "Job")),
        Decision::Zero => {
            let quiet = bullmq_vocabulary::prometheus_duration(plan.workload.idle_after);
            format!("0 replicas, after {quiet} without demand")
        }
        Decision::Hold if plan.workload.template.is_some() => {
            "holds: KEDA makes no new Job, and ends none".to_owned()
        }
        Decision::Wake => {
            "holds: KEDA starts the first replica and changes nothing else".to_owned()
        }
        Decision::Hold if let Some(fallback) = plan.fallback => {
            format!(
                "holds: KEDA changes nothing, and at 0 replicas one starts after {}",
                counted(fallback.after_failures.saturating_add(1), "failure")
            )
        }
        Decision::Hold => {
            "holds: KEDA changes nothing, and at 0 replicas nothing starts".to_owned()
        }
        Decision::Fallback {
            replicas: number,
            after_failures,
        } => {
            format!(
                "falls back: at least {} after {}",
                counted(number, "replica"),
                counted(after_failures, "failure")
            )
        }
    }
}

fn findings(out: &mut String, findings: &[Finding], paint: Paint) {
    for finding in findings {
        let head = format!("{}[{}]", finding.severity.as_str(), finding.kind.id());
        let _ = writeln!(
            out,
            "  {}: {}",
            paint.severity(finding.severity, &head),
            finding.message
        );
        let _ = writeln!(out, "    help: {}", finding.help);
    }
}

/// One line a worker, for a log that goes on.
pub fn line(report: &Report<'_>) -> String {
    let mut out = String::new();
    let time = time(report.at);
    let all = report
        .findings
        .iter()
        .map(|finding| (finding, "all workers".to_owned()));
    for (finding, name) in all.filter(|(finding, _)| finding.severity > Severity::Info) {
        let _ = writeln!(
            out,
            "{time} {name}: {}[{}]: {}",
            finding.severity.as_str(),
            finding.kind.id(),
            finding.message
        );
    }
    for worker in &report.workers {
        let demand = worker
            .triggers
            .first()
            .and_then(|trigger| trigger.value.as_ref().ok());
        let demand = demand.map_or_else(
            || "no demand known".to_owned(),
            |value| format!("demand {}", Number(*value)),
        );
        let worst = worker
            .findings
            .iter()
            .max_by_key(|finding| finding.severity);
        let worst = worst.map_or_else(String::new, |finding| {
            format!(
                "; {}[{}]: {}",
                finding.severity.as_str(),
                finding.kind.id(),
                finding.message
            )
        });
        let name = &worker.plan.workload.name;
        let _ = writeln!(
            out,
            "{time} {name}: {demand}, {}{worst}",
            decision(&worker.decision, worker.plan)
        );
    }
    out
}

fn time(at: f64) -> String {
    let at = Duration::try_from_secs_f64(at).unwrap_or_default();
    // A time beyond the year 9999, which only a broken clock tells, has no such form.
    let at = at.min(Duration::from_secs(253_402_300_799));
    humantime::format_rfc3339_seconds(UNIX_EPOCH + at).to_string()
}

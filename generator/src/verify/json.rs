//! A report as programs read it. Fields are added, never renamed.

use serde_json::{Value, json};

use super::report::{Decision, Finding, Report, WorkerReport};

/// Everything about the workers of one Prometheus.
pub fn json(report: &Report<'_>) -> Value {
    json!({
        "serverAddress": report.server_address,
        "asked": report.asked,
        "at": report.at,
        "exporters": report.exporters.iter().map(|exporter| json!({
            "instance": exporter.instance,
            "version": exporter.version,
            "up": exporter.there,
            "scrapeIntervalSeconds": exporter.interval,
            "lastScrapeAgeSeconds": exporter.age,
        })).collect::<Vec<_>>(),
        "redis": report.redis.iter().map(|(name, up)| json!({"name": name, "up": up})).collect::<Vec<_>>(),
        "findings": findings(&report.findings),
        "workers": report.workers.iter().map(worker).collect::<Vec<_>>(),
    })
}

fn worker(report: &WorkerReport<'_>) -> Value {
    let workload = report.plan.workload;
    json!({
        "name": workload.name,
        "namespace": workload.namespace,
        "target": {"kind": workload.target.kind, "name": workload.target.name},
        "replicas": {"min": workload.replicas.min(), "max": workload.replicas.max()},
        "decision": decision(&report.decision),
        "triggers": report.triggers.iter().map(|trigger| json!({
            "name": trigger.name,
            "query": trigger.query,
            "threshold": trigger.threshold.to_string(),
            "value": trigger.value.as_ref().ok(),
            "error": trigger.value.as_ref().err(),
            "active": trigger.active(),
            "replicas": trigger.replicas(),
        })).collect::<Vec<_>>(),
        "queues": report.queues.iter().map(|queue| json!({
            "redis": queue.queue.redis,
            "prefix": queue.queue.prefix,
            "name": queue.queue.name,
            "optional": queue.queue.optional,
            "seen": queue.demand.is_some(),
            "demand": queue.demand,
            "series": queue.series,
            "ageSeconds": queue.age,
        })).collect::<Vec<_>>(),
        "findings": findings(&report.findings),
    })
}

fn decision(decision: &Decision) -> Value {
    match decision {
        Decision::Replicas { now, kept } => json!({
            "kind": "replicas",
            "replicas": now,
            "keptFrom": kept.map_or(*now, |(from, _)| from),
            "keptTo": kept.map_or(*now, |(_, to)| to),
        }),
        Decision::Zero => json!({"kind": "zero", "replicas": 0}),
        Decision::Wake => json!({"kind": "wake"}),
        Decision::Hold => json!({"kind": "hold"}),
        Decision::Fallback {
            replicas,
            after_failures,
        } => json!({
            "kind": "fallback",
            "replicas": replicas,
            "afterFailures": after_failures,
        }),
    }
}

fn findings(findings: &[Finding]) -> Vec<Value> {
    let one = |finding: &Finding| {
        json!({
            "kind": finding.kind.id(),
            "severity": finding.severity.as_str(),
            "message": finding.message,
            "help": finding.help,
        })
    };
    findings.iter().map(one).collect()
}

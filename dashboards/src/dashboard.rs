//! A dashboard: its variables, its rows, and its links to the others.

use serde_json::{Value, json};

use crate::panel::{COLUMNS, Panel, datasource};

/// The tag by which the three find each other.
const TAG: &str = "bullmq";

/// The selector of an exporter.
pub(crate) const EXPORTER: &str = r#"job=~"$job",namespace=~"$namespace""#;
/// The selector of a Redis.
pub(crate) const REDIS: &str = r#"job=~"$job",namespace=~"$namespace",redis=~"$redis""#;
/// The selector of queues.
pub(crate) const QUEUE: &str =
    r#"job=~"$job",namespace=~"$namespace",redis=~"$redis",prefix=~"$prefix",queue=~"$queue""#;

/// What identifies a queue; several exporters of it count once.
const BY_QUEUE: &str = "namespace, job, redis, prefix, queue";

/// One series a queue, of a metric as it is.
pub(crate) fn of_queue(metric: &str) -> String {
    max_by_queue(&format!("{metric}{{{QUEUE}}}"))
}

/// One series a queue, of jobs in one state.
pub(crate) fn in_state(state: &str) -> String {
    max_by_queue(&format!(r#"bullmq_job_count{{{QUEUE},state="{state}"}}"#))
}

/// One series a queue, of how fast a counter rises a second.
pub(crate) fn rate_of_queue(metric: &str) -> String {
    max_by_queue(&format!("rate({metric}{{{QUEUE}}}[$__rate_interval])"))
}

/// One series a queue, of any expression that has its labels.
pub(crate) fn max_by_queue(expression: &str) -> String {
    format!("max by ({BY_QUEUE}) ({expression})")
}

/// The share of failed jobs among the finished ones, one series a queue; a queue that never completed one has no such counter.
pub(crate) fn failure_ratio() -> String {
    let failed = rate_of_queue("bullmq_job_failed_total");
    let completed = rate_of_queue("bullmq_job_completed_total");
    format!("{failed} / ({failed} + ({completed} or 0 * {failed}))")
}

/// A variable whose values Prometheus knows.
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    pub(crate) label: &'static str,
    pub(crate) query: String,
    /// Several values, and all of them at first.
    pub(crate) multi: bool,
    /// What all stands for: `.*` where the label may be missing.
    pub(crate) all: &'static str,
}

/// The variables of the dashboards that show queues.
pub(crate) fn queue_variables(several_queues: bool) -> Vec<Variable> {
    let variable = |name, label, query: String, multi, all| Variable {
        name,
        label,
        query,
        multi,
        all,
    };
    vec![
        variable(
            "job",
            "Job",
            "label_values(bullmq_exporter_build_info, job)".to_owned(),
            true,
            ".+",
        ),
        // Prometheus need not know a namespace: outside Kubernetes there is none.
        variable(
            "namespace",
            "Namespace",
            r#"label_values(bullmq_exporter_build_info{job=~"$job"}, namespace)"#.to_owned(),
            true,
            ".*",
        ),
        variable(
            "redis",
            "Redis",
            format!("label_values(bullmq_up{{{EXPORTER}}}, redis)"),
            true,
            ".+",
        ),
        variable(
            "prefix",
            "Prefix",
            format!("label_values(bullmq_queue_up{{{REDIS}}}, prefix)"),
            true,
            ".+",
        ),
        variable(
            "queue",
            "Queue",
            format!(r#"label_values(bullmq_queue_up{{{REDIS},prefix=~"$prefix"}}, queue)"#),
            several_queues,
            ".+",
        ),
    ]
}

/// A dashboard.
#[derive(Debug)]
pub(crate) struct Dashboard {
    /// Fixed, because links and bookmarks name it.
    pub(crate) uid: &'static str,
    pub(crate) title: &'static str,
    pub(crate) description: &'static str,
    pub(crate) variables: Vec<Variable>,
    /// A name and what is marked over all panels where it is above 0.
    pub(crate) annotation: (&'static str, String),
    pub(crate) rows: Vec<(&'static str, Vec<Panel>)>,
}

impl Dashboard {
    /// The file's text.
    pub(crate) fn json(&self) -> String {
        let (name, marked) = &self.annotation;
        let dashboard = json!({
            "uid": self.uid,
            "title": self.title,
            "description": self.description,
            "tags": [TAG],
            "schemaVersion": 39,
            "version": 1,
            "editable": false,
            "graphTooltip": 1,
            "refresh": "30s",
            "timezone": "browser",
            "time": { "from": "now-3h", "to": "now" },
            "templating": { "list": self.variables() },
            "links": [{
                "title": "BullMQ", "type": "dashboards", "tags": [TAG], "asDropdown": false, "icon": "external link",
                "includeVars": true, "keepTime": true, "targetBlank": false, "tooltip": "", "url": "",
            }],
            "annotations": { "list": [{
                "name": name, "datasource": datasource(), "enable": true, "hide": false, "iconColor": "orange",
                "target": { "refId": "Anno", "expr": marked, "interval": "1m" },
                "titleFormat": name, "textFormat": "{{queue}}{{scaledObject}}",
            }] },
            "panels": self.panels(),
        });
        format!("{dashboard:#}\n")
    }

    fn variables(&self) -> Vec<Value> {
        let mut list = vec![json!({
            "name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus", "refresh": 1, "hide": 0,
            "includeAll": false, "multi": false, "regex": "", "skipUrlSync": false, "options": [],
        })];
        list.extend(self.variables.iter().map(|variable| {
            let mut json = json!({
                "name": variable.name, "label": variable.label, "type": "query", "datasource": datasource(),
                "query": { "query": variable.query, "refId": "StandardVariableQuery" },
                "refresh": 2, "sort": 1, "hide": 0, "regex": "", "skipUrlSync": false, "options": [],
                "multi": variable.multi, "includeAll": variable.multi,
            });
            if let (true, Some(json)) = (variable.multi, json.as_object_mut()) {
                json.insert("allValue".to_owned(), json!(variable.all));
                json.insert(
                    "current".to_owned(),
                    json!({ "selected": true, "text": ["All"], "value": ["$__all"] }),
                );
            }
            json
        }));
        list
    }

    /// Rows from top to bottom, their panels from left to right.
    fn panels(&self) -> Vec<Value> {
        let mut panels = Vec::new();
        let mut y = 0;
        for (title, row) in &self.rows {
            let id = panels.len() as u64 + 1;
            panels.push(json!({
                "id": id, "type": "row", "title": title, "collapsed": false, "panels": [],
                "gridPos": { "x": 0, "y": y, "w": COLUMNS, "h": 1 },
            }));
            y += 1;
            let (mut x, mut tallest) = (0, 0);
            for panel in row {
                if x + panel.width > COLUMNS {
                    y += tallest;
                    (x, tallest) = (0, 0);
                }
                panels.push(panel.json(panels.len() as u64 + 1, x, y));
                x += panel.width;
                tallest = tallest.max(panel.height());
            }
            y += tallest;
        }
        panels
    }
}

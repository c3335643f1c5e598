//! Manifests for a team's own Helm chart: as a template with values, or as values of a chart that takes manifests.
//!
//! The template needs no values: what the spec says is built in, and a value of the chart replaces it. What a value may not be is
//! refused by the template itself, with a sentence, because few charts have a schema, and because a name with a slip in it
//! would otherwise change nothing in silence. The same template is right for Helm 3 and 4.
//!
//! Helm reads what it rendered as YAML again, so every text is in quotes. Two braces in a row, wherever they stand, are written as
//! a raw string of Go, which renders to just them.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use serde_saphyr::{DoubleQuoted, LitString};

use super::{Error, Generated, MARK, Passage, Worker, comment, first_line, indented, pretty};
use crate::manifest::{Manifest, PROMETHEUS_RULE};
use crate::plan::FallbackBehavior;

/// A value of the chart that stands for something that the spec says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting {
    MinReplicas,
    MaxReplicas,
    FallbackReplicas,
    Threshold,
    Target,
    ServerAddress,
}

impl Setting {
    /// In the order in which they are printed.
    const ALL: [Self; 6] = [
        Self::MinReplicas,
        Self::MaxReplicas,
        Self::FallbackReplicas,
        Self::Threshold,
        Self::Target,
        Self::ServerAddress,
    ];

    const fn name(self) -> &'static str {
        match self {
            Self::MinReplicas => "minReplicas",
            Self::MaxReplicas => "maxReplicas",
            Self::FallbackReplicas => "fallbackReplicas",
            Self::Threshold => "threshold",
            Self::Target => "target",
            Self::ServerAddress => "serverAddress",
        }
    }

    /// The setting of a place in a manifest, if it has one. Items of a list go by their names.
    fn at(path: &[&str]) -> Option<Self> {
        match path {
            ["spec", "minReplicaCount"] => Some(Self::MinReplicas),
            ["spec", "maxReplicaCount"] => Some(Self::MaxReplicas),
            ["spec", "fallback", "replicas"] => Some(Self::FallbackReplicas),
            ["spec", "triggers", "demand", "metadata", "threshold"] => Some(Self::Threshold),
            ["spec", "scaleTargetRef", "name"] => Some(Self::Target),
            ["spec", "triggers", _, "metadata", "serverAddress"] => Some(Self::ServerAddress),
            _ => None,
        }
    }

    /// What is written in its place. A checked number prints as one; a text may hold anything.
    fn action(self) -> String {
        match self {
            Self::MinReplicas | Self::MaxReplicas | Self::FallbackReplicas => {
                format!("{{{{ .{} }}}}", self.name())
            }
            Self::Threshold | Self::Target | Self::ServerAddress => {
                format!("{{{{ .{} | quote }}}}", self.name())
            }
        }
    }

    fn schema(self) -> Value {
        match self {
            Self::MinReplicas => {
                json!({"type": "integer", "minimum": 0, "maximum": i32::MAX, "description": "The smallest number of replicas."})
            }
            Self::MaxReplicas => {
                json!({"type": "integer", "minimum": 1, "maximum": i32::MAX, "description": "The largest number of replicas."})
            }
            Self::FallbackReplicas => {
                json!({"type": "integer", "minimum": 1, "maximum": i32::MAX, "description": "Replicas while the metrics are lost, unless there are more."})
            }
            Self::Threshold => json!({
                "type": ["string", "number"],
                "pattern": "^(0|[1-9][0-9]*)([.][0-9]{1,3})?$",
                "exclusiveMinimum": 0,
                "description": "Jobs that one replica is for."
            }),
            Self::Target => {
                json!({"type": "string", "minLength": 1, "description": "The name of what is scaled. Templates in it are rendered."})
            }
            Self::ServerAddress => {
                json!({"type": "string", "description": "The address of Prometheus. Templates in it are rendered."})
            }
        }
    }
}

/// What of a ScaledObject only a worker that sleeps needs; from one replica on KEDA makes no use of it.
fn for_zero_replicas(path: &[&str]) -> bool {
    matches!(
        path,
        [
            "spec",
            "pollingInterval" | "cooldownPeriod" | "initialCooldownPeriod"
        ] | ["spec", "triggers", "wake"]
    )
}

/// Whether the fallback of a manifest keeps the replicas that are there, so that its own number is none to choose.
fn holds(manifest: &Value) -> bool {
    let behavior = manifest.pointer("/spec/fallback/behavior");
    behavior.and_then(Value::as_str) == Some(FallbackBehavior::Hold.name())
}

/// Whether KEDA heeds the annotation that pauses: <https://keda.sh/docs/2.20/concepts/scaling-deployments/#pausing-autoscaling>.
fn can_be_paused(kind: &str) -> bool {
    matches!(kind, "ScaledObject" | "ScaledJob")
}

const PAUSED: &str = r#""autoscaling.keda.sh/paused": "true""#;

/// One worker with its manifests as trees and its settings as the spec has them.
struct Chosen<'w> {
    worker: &'w Worker,
    key: String,
    manifests: Vec<Value>,
    settings: Vec<(Setting, Value)>,
}

impl Chosen<'_> {
    fn has_alerts(&self) -> bool {
        self.worker.manifests.iter().any(is_alerts)
    }
}

fn is_alerts(manifest: &Manifest) -> bool {
    manifest.kind() == PROMETHEUS_RULE
}

/// Whether any worker has alerts; they all have, or none.
fn with_alerts(workers: &[Chosen<'_>]) -> bool {
    workers.iter().any(Chosen::has_alerts)
}

fn chosen(generated: &Generated) -> Result<Vec<Chosen<'_>>, Error> {
    let workers = &generated.workers;
    workers
        .iter()
        .map(|worker| {
            let mut manifests = Vec::new();
            for manifest in &worker.manifests {
                let tree = serde_json::to_value(manifest);
                manifests.push(tree.map_err(|source| Error::Json {
                    what: worker.what(manifest),
                    source,
                })?);
            }
            let mut found = Vec::new();
            for manifest in &manifests {
                collect(manifest, &mut Vec::new(), &mut found);
            }
            if manifests.iter().any(holds) {
                found.retain(|(setting, _)| *setting != Setting::FallbackReplicas);
            }
            let first = |setting| found.iter().find(|(at, _)| *at == setting).cloned();
            let unique = workers
                .iter()
                .filter(|other| other.name == worker.name)
                .count()
                == 1;
            Ok(Chosen {
                worker,
                // A name need be unique in its namespace only.
                key: if unique {
                    worker.name.clone()
                } else {
                    worker.file_stem()
                },
                settings: Setting::ALL.into_iter().filter_map(first).collect(),
                manifests,
            })
        })
        .collect()
}

fn collect<'v>(value: &'v Value, path: &mut Vec<&'v str>, found: &mut Vec<(Setting, Value)>) {
    if let Some(setting) = Setting::at(path) {
        found.push((setting, value.clone()));
    }
    let mut visit = |name, value| {
        path.push(name);
        collect(value, path, found);
        path.pop();
    };
    match value {
        Value::Object(entries) => entries.iter().for_each(|(key, value)| visit(key, value)),
        Value::Array(items) => items.iter().for_each(|item| visit(name_of(item), item)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn name_of(item: &Value) -> &str {
    item.get("name").and_then(Value::as_str).unwrap_or_default()
}

/// The settings of all workers as YAML: what the template has built in, and what the values fragment shows.
fn settings(workers: &[Chosen<'_>]) -> Result<String, Error> {
    let mut out = String::new();
    for worker in workers {
        let what = || format!("the settings of worker `{}`", worker.worker.name);
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "{}:\n  enabled: true\n  paused: false\n",
            quoted(&worker.key, what)?
        );
        if worker.has_alerts() {
            out.push_str("  alerts: true\n");
        }
        for (setting, value) in &worker.settings {
            let value = scalar(value, what)?;
            let _ = writeln!(out, "  {}: {value}", setting.name());
        }
    }
    Ok(out)
}

fn quoted(text: &str, what: impl Fn() -> String) -> Result<String, Error> {
    let yaml = super::yaml_text(&DoubleQuoted(text)).map_err(|source| Error::Yaml {
        what: what(),
        source,
    })?;
    Ok(yaml.trim_end_matches('\n').to_owned())
}

/// A value in one line: a text in quotes, and what else there is in JSON, which is YAML.
fn scalar(value: &Value, what: impl Fn() -> String) -> Result<String, Error> {
    value
        .as_str()
        .map_or_else(|| Ok(value.to_string()), |text| quoted(text, what))
}

/// A text that renders to itself.
fn verbatim(text: &str) -> String {
    text.replace("{{", "{{`{{`}}")
}

/// The template. `key` leads to its values.
pub(super) fn template(generated: &Generated, key: &str) -> Result<String, Error> {
    let workers = chosen(generated)?;
    let mut out = verbatim(&comment(&generated.header()));
    out.push_str("{{- $chart := . }}\n{{- $values := .Values }}\n");
    for part in key.split('.') {
        // Writing to a String cannot fail.
        let _ = writeln!(
            out,
            "{{{{- $values = index $values \"{part}\" | default dict }}}}"
        );
    }
    // A raw string of Go ends at the next backtick, and every text in it is one of YAML in double quotes.
    let built_in = settings(&workers)?.replace('`', r"\u0060");
    let _ = write!(
        out,
        "{{{{- /* What the spec says. Values of the chart, under {key}.workers, replace it. */}}}}\n\
         {{{{- $workers := fromYaml `\n{built_in}` }}}}\n"
    );
    let (of_all, in_words, truths, fields) = if with_alerts(&workers) {
        (
            ALERTS_OF_ALL,
            "enabled, alerts, serverAddress and workers",
            r#""enabled" "paused" "alerts""#,
            r#""enabled" "alerts" "serverAddress" "workers""#,
        )
    } else {
        (
            "",
            "enabled, serverAddress and workers",
            r#""enabled" "paused""#,
            r#""enabled" "serverAddress" "workers""#,
        )
    };
    out.push_str(
        &CHECKS
            .replace("ALERTS_OF_ALL", of_all)
            .replace("FIELDS_IN_WORDS", in_words)
            .replace("FIELDS", fields)
            .replace("TRUTHS", truths)
            .replace("KEY", key),
    );
    for worker in &workers {
        let name = quoted(&worker.key, || "the name of a worker".to_owned())?;
        let remarks = worker.worker.remarks.join("\n     ").replace("*/", "* /");
        let _ = write!(
            out,
            "{{{{- /* As the spec has it,\n     {remarks} */}}}}\n\
             {{{{- with get $workers {name} }}}}\n{{{{- if and $enabled .enabled }}}}\n",
        );
        for (tree, manifest) in worker.manifests.iter().zip(&worker.worker.manifests) {
            let alerts = is_alerts(manifest);
            if alerts {
                out.push_str("{{- if .alerts }}\n");
            }
            out.push_str("---\n");
            let mut body = Body::of(tree, worker.worker);
            if let Value::Object(entries) = tree {
                body.entries(entries, &mut Vec::new(), 0, None)?;
            }
            out.push_str(&body.out);
            if alerts {
                out.push_str("{{- end }}\n");
            }
        }
        out.push_str("{{- end }}\n{{- end }}\n");
    }
    Ok(out)
}

/// Brings together what the spec and the chart say, and refuses what cannot be. A worker has what its manifests say: where they are
/// silent on the largest number, it is the 100 of KEDA.
const CHECKS: &str = r#"{{- range $field, $_ := $values }}
{{- if not (has $field (list FIELDS)) }}
{{- fail (printf "KEY.%s: there is no such value; there are FIELDS_IN_WORDS" $field) }}
{{- end }}
{{- end }}
{{- $enabled := true }}
{{- if hasKey $values "enabled" }}
{{- $enabled = $values.enabled }}
{{- if not (kindIs "bool" $enabled) }}{{ fail "KEY.enabled: write true or false" }}{{ end }}
{{- end }}
{{- $given := index $values "workers" | default dict }}
{{- range $name, $_ := $given }}
{{- if not (hasKey $workers $name) }}
{{- fail (printf "KEY.workers.%s: there is no such worker; there are %s" $name (keys $workers | sortAlpha | join ", ")) }}
{{- end }}
{{- end }}
{{- range $name, $worker := $workers }}
{{- $at := printf "KEY.workers.%s" $name }}
{{- $sleeps := eq (get $worker "minReplicas" | int64) 0 }}
{{- with index $values "serverAddress" }}{{ $_ := set $worker "serverAddress" . }}{{ end }}
ALERTS_OF_ALL{{- range $field, $value := index $given $name | default dict }}
{{- if not (hasKey $worker $field) }}
{{- fail (printf "%s.%s: there is no such value; there are %s" $at $field (keys $worker | sortAlpha | join ", ")) }}
{{- end }}
{{- if not (kindIs "invalid" $value) }}{{ $_ := set $worker $field $value }}{{ end }}
{{- end }}
{{- range $field := list TRUTHS }}
{{- if not (kindIs "bool" (get $worker $field)) }}{{ fail (printf "%s.%s: write true or false" $at $field) }}{{ end }}
{{- end }}
{{- range $field := list "minReplicas" "maxReplicas" "fallbackReplicas" "threshold" }}
{{- if hasKey $worker $field }}
{{- $value := get $worker $field }}
{{- $text := ternary (printf "%.15g" $value) (toString $value) (kindIs "float64" $value) }}
{{- if eq $field "threshold" }}
{{- if not (and (regexMatch "^(0|[1-9][0-9]*)([.][0-9]{1,3})?$" $text) (gt (float64 $text) 0.0)) }}
{{- fail (printf "%s.%s: %s is no number above 0 with at most three decimals" $at $field $text) }}
{{- end }}
{{- $_ := set $worker $field $text }}
{{- else }}
{{- if not (and (regexMatch "^(0|[1-9][0-9]{0,9})$" $text) (le (int64 $text) 2147483647)) }}
{{- fail (printf "%s.%s: %s is no number of replicas" $at $field $text) }}
{{- end }}
{{- $_ := set $worker $field (int64 $text) }}
{{- end }}
{{- end }}
{{- end }}
{{- $min := get $worker "minReplicas" | int64 }}
{{- $max := get $worker "maxReplicas" | default 100 | int64 }}
{{- if and (hasKey $worker "maxReplicas") (eq (int64 $worker.maxReplicas) 0) }}
{{- fail (printf "%s.maxReplicas: at least 1; enabled: false leaves the worker alone" $at) }}
{{- end }}
{{- if gt $min $max }}{{ fail (printf "%s: minReplicas %d is above maxReplicas %d" $at $min $max) }}{{ end }}
{{- if and (eq $min 0) (not $sleeps) }}
{{- fail (printf "%s.minReplicas: a worker that may sleep needs more than this number; write min: 0 in the spec and generate again" $at) }}
{{- end }}
{{- if hasKey $worker "fallbackReplicas" }}
{{- if or (lt $worker.fallbackReplicas (max 1 $min)) (gt $worker.fallbackReplicas $max) }}
{{- fail (printf "%s.fallbackReplicas: %d is not from %d to %d" $at $worker.fallbackReplicas (max 1 $min) $max) }}
{{- end }}
{{- end }}
{{- range $field, $pattern := dict "target" "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$" "serverAddress" "^https?://[^/?# @]+(/[^?# ]*[^/?# ])?$" }}
{{- if hasKey $worker $field }}
{{- $text := tpl (get $worker $field | toString) $chart }}
{{- if not (regexMatch $pattern $text) }}{{ fail (printf "%s.%s: %q is none" $at $field $text) }}{{ end }}
{{- $_ := set $worker $field $text }}
{{- end }}
{{- end }}
{{- end }}
"#;

const ALERTS_OF_ALL: &str = r#"{{- if not (kindIs "invalid" (index $values "alerts")) }}{{ $_ := set $worker "alerts" $values.alerts }}{{ end }}
"#;

/// A mapping that is not empty.
fn filled(value: &Value) -> Option<&Map<String, Value>> {
    value.as_object().filter(|entries| !entries.is_empty())
}

/// Writes a manifest with actions where settings stand.
struct Body<'w> {
    out: String,
    last_condition: Option<String>,
    pausable: bool,
    may_sleep: bool,
    holds: bool,
    worker: &'w Worker,
}

impl<'w> Body<'w> {
    fn of(manifest: &Value, worker: &'w Worker) -> Self {
        let kind = manifest.get("kind").and_then(Value::as_str);
        Self {
            out: String::new(),
            last_condition: None,
            pausable: kind.is_some_and(can_be_paused),
            // A ScaledJob is always polled, and where nobody set the smallest number a worker always sleeps.
            may_sleep: kind == Some("ScaledObject")
                && manifest.pointer("/spec/minReplicaCount").is_some(),
            holds: holds(manifest),
            worker,
        }
    }

    /// Writes the entries of a mapping. The first line begins with `first` where the mapping is an item of a list.
    fn entries<'v>(
        &mut self,
        entries: &'v Map<String, Value>,
        path: &mut Vec<&'v str>,
        indent: usize,
        mut first: Option<String>,
    ) -> Result<(), Error> {
        let margin = " ".repeat(indent);
        for (key, value) in entries {
            path.push(key);
            let margin = first.take().unwrap_or_else(|| margin.clone());
            self.guarded(path, indent, |body, path| {
                body.entry(key, value, path, indent, &margin)
            })?;
            path.pop();
        }
        if self.pausable {
            match path.as_slice() {
                ["metadata"] if !entries.contains_key("annotations") => self.when(
                    "if .paused",
                    indent,
                    &format!("{margin}annotations:\n{margin}  {PAUSED}\n"),
                ),
                ["metadata", "annotations"] => {
                    self.when("if .paused", indent, &format!("{margin}{PAUSED}\n"));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn entry<'v>(
        &mut self,
        key: &str,
        value: &'v Value,
        path: &mut Vec<&'v str>,
        indent: usize,
        margin: &str,
    ) -> Result<(), Error> {
        let key = self.yaml(&key)?;
        let key = key.trim_end();
        let head = verbatim(&format!("{margin}{key}:"));
        let fixed = |setting: &Setting| self.holds && *setting == Setting::FallbackReplicas;
        if let Some(setting) = Setting::at(path).filter(|setting| !fixed(setting)) {
            // Writing to a String cannot fail.
            let _ = writeln!(self.out, "{head} {}", setting.action());
            return Ok(());
        }
        if let Some(entries) = filled(value) {
            let _ = writeln!(self.out, "{head}");
            return self.entries(entries, path, indent + 2, None);
        }
        if let Some(items) = value.as_array().filter(|items| !items.is_empty()) {
            let _ = writeln!(self.out, "{head}");
            return items.iter().try_for_each(|item| {
                path.push(name_of(item));
                let written =
                    self.guarded(path, indent, |body, path| body.item(item, path, indent));
                path.pop();
                written
            });
        }
        // A query is read by people too.
        if let Some(text) = value.as_str().filter(|_| matches!(key, "query" | "expr")) {
            let block = self.yaml(&BTreeMap::from([(key, LitString(text.to_owned()))]))?;
            let block = indented(&block, indent);
            let _ = write!(self.out, "{margin}{}", verbatim(block.trim_start()));
            return Ok(());
        }
        let scalar = scalar(value, || self.what())?;
        let _ = writeln!(self.out, "{head} {}", verbatim(&scalar));
        Ok(())
    }

    fn item<'v>(
        &mut self,
        item: &'v Value,
        path: &mut Vec<&'v str>,
        indent: usize,
    ) -> Result<(), Error> {
        let first = format!("{}- ", " ".repeat(indent));
        if let Some(entries) = filled(item) {
            return self.entries(entries, path, indent + 2, Some(first));
        }
        // Lists within lists stand in no manifest of ours, but a user's own words may have them.
        let scalar = scalar(item, || self.what())?;
        let _ = writeln!(self.out, "{first}{}", verbatim(&scalar));
        Ok(())
    }

    fn yaml(&self, value: &impl serde::Serialize) -> Result<String, Error> {
        super::yaml_text(value).map_err(|source| Error::Yaml {
            what: self.what(),
            source,
        })
    }

    fn what(&self) -> String {
        format!("the template of worker `{}`", self.worker.name)
    }

    /// Writes something that stands only while the worker may sleep, if it is that.
    fn guarded<'v>(
        &mut self,
        path: &mut Vec<&'v str>,
        indent: usize,
        write: impl FnOnce(&mut Self, &mut Vec<&'v str>) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let for_zero = for_zero_replicas(path) || (self.holds && *path == ["spec", "fallback"]);
        if !self.may_sleep || !for_zero {
            return write(self, path);
        }
        let before = std::mem::take(&mut self.out);
        let written = write(self, path);
        let inner = std::mem::replace(&mut self.out, before);
        self.when("if eq .minReplicas 0", indent, &inner);
        written
    }

    fn when(&mut self, condition: &str, indent: usize, text: &str) {
        let margin = " ".repeat(indent);
        let begin = format!("{margin}{{{{- {condition} }}}}\n");
        let end = format!("{margin}{{{{- end }}}}\n");
        // Neighbours under one condition stand under it together.
        let together = self.last_condition.as_ref() == Some(&begin)
            && self
                .out
                .strip_suffix(&end)
                .map(str::len)
                .is_some_and(|len| {
                    self.out.truncate(len);
                    true
                });
        if !together {
            self.out.push_str(&begin);
        }
        self.out.push_str(text);
        self.out.push_str(&end);
        self.last_condition = Some(begin);
    }
}

/// Puts a text under a key, or a key within a key.
fn under(key: &str, text: &str) -> Result<String, Error> {
    let parts: Vec<&str> = key.split('.').collect();
    let mut out = String::new();
    for (depth, part) in parts.iter().enumerate() {
        // A key such as `on` needs its quotes, and one that needs none has none.
        let part = super::yaml_text(part).map_err(|source| Error::Yaml {
            what: format!("the key `{key}`"),
            source,
        })?;
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{}{}:", "  ".repeat(depth), part.trim_end());
    }
    Ok(out + &indented(text, 2 * parts.len()))
}

/// The values of the template, as they are built in.
pub(super) fn values(generated: &Generated, key: &str) -> Result<String, Error> {
    let mut out = comment(&generated.header());
    out.push_str(
        "# The template has all of this built in. Copy to the values.yaml of the chart what is to differ, and nothing else.\n\
         #   enabled           false leaves the objects out\n\
         #   paused            true keeps the replicas as they are\n",
    );
    let workers = chosen(generated)?;
    let alerts = with_alerts(&workers);
    if alerts {
        out.push_str(
            "#   alerts            false leaves the alerts out, of all workers or of one\n",
        );
    }
    out.push_str(
        "#   minReplicas, maxReplicas, fallbackReplicas\n\
         #   threshold         jobs that one replica is for\n\
         #   target            the name of what is scaled; templates in it are rendered\n\
         #   serverAddress     the address of Prometheus, of all workers or of one; templates in it are rendered\n",
    );
    let workers = settings(&workers)?;
    out.push_str(&under(
        key,
        &format!(
            "enabled: true\n{}serverAddress: \"\"\nworkers:\n{}",
            if alerts { "alerts: true\n" } else { "" },
            indented(&workers, 2)
        ),
    )?);
    Ok(out)
}

/// The JSON Schema of [`values`], for the `values.schema.json` of the chart. Draft 7 is what Helm 3 reads too.
pub(super) fn schema(generated: &Generated, key: &str) -> Result<String, Error> {
    let mut properties = Map::new();
    let workers = chosen(generated)?;
    let alerts = with_alerts(&workers);
    let mut of_all = json!({
        "enabled": {"type": "boolean", "description": "false leaves the objects of all workers out."},
    });
    if alerts && let Value::Object(of_all) = &mut of_all {
        of_all.insert(
            "alerts".to_owned(),
            json!({"type": "boolean", "description": "false leaves the alerts of all workers out."}),
        );
    }
    for worker in workers {
        let mut fields = Map::new();
        let mut truths = vec![
            ("enabled", "false leaves the worker's objects out."),
            ("paused", "true keeps the replicas as they are."),
        ];
        if alerts {
            truths.push(("alerts", "false leaves the worker's alerts out."));
        }
        for (field, meaning) in truths {
            fields.insert(
                field.to_owned(),
                json!({"type": "boolean", "description": meaning}),
            );
        }
        for (setting, value) in worker.settings {
            let mut schema = setting.schema();
            if let Value::Object(schema) = &mut schema {
                schema.insert("default".to_owned(), value);
            }
            fields.insert(setting.name().to_owned(), schema);
        }
        properties.insert(
            worker.key,
            json!({"type": "object", "additionalProperties": false, "properties": fields}),
        );
    }
    if let Value::Object(of_all) = &mut of_all {
        of_all.insert("serverAddress".to_owned(), Setting::ServerAddress.schema());
        of_all.insert(
            "workers".to_owned(),
            json!({"type": "object", "additionalProperties": false, "properties": properties}),
        );
    }
    let mut schema = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": of_all,
    });
    for part in key.rsplit('.') {
        schema = json!({"type": "object", "properties": {part: schema}});
    }
    let mut whole = Map::new();
    let header = first_line(&generated.names());
    debug_assert!(header.starts_with(MARK), "by its mark the file is known");
    whole.insert("$comment".to_owned(), Value::String(header));
    whole.insert(
        "$schema".to_owned(),
        json!("http://json-schema.org/draft-07/schema#"),
    );
    if let Value::Object(schema) = schema {
        whole.extend(schema);
    }
    pretty(&whole, "the schema of the values")
}

/// Values of a chart that takes manifests as a list, as they come out of it unchanged by this passage.
pub(super) fn values_with_manifests(
    generated: &Generated,
    key: &str,
    passage: Passage,
) -> Result<String, Error> {
    let mut list = String::new();
    for worker in &generated.workers {
        list.push_str(&comment(&worker.remarks));
        for manifest in &worker.manifests {
            let yaml = worker.yaml_of(&passage.prepared(manifest))?;
            let item = indented(&yaml, 2);
            // Writing to a String cannot fail.
            let _ = write!(list, "- {}", item.trim_start());
        }
    }
    Ok(comment(&generated.header()) + &under(key, &list)?)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap as Settings;

    use super::*;
    use crate::workload::Target;

    fn body(manifest: &Value) -> String {
        let worker = Worker {
            name: "w".to_owned(),
            namespace: None,
            origin: 0,
            target: Target {
                kind: "Deployment".to_owned(),
                name: "w".to_owned(),
                api_version: "apps/v1".to_owned(),
            },
            remarks: Vec::new(),
            manifests: Vec::new(),
        };
        let mut body = Body::of(manifest, &worker);
        let entries = manifest.as_object().unwrap();
        body.entries(entries, &mut Vec::new(), 0, None).unwrap();
        body.out
    }

    #[test]
    fn settings_stand_where_the_manifest_has_them_whatever_kind_it_is() {
        for (manifest, expected) in [
            (
                json!({"kind": "ScaledJob", "spec": {"pollingInterval": 15, "minReplicaCount": 0}}),
                "kind: \"ScaledJob\"\nspec:\n  pollingInterval: 15\n  minReplicaCount: {{ .minReplicas }}\n",
            ),
            (
                json!({"kind": "ScaledObject", "spec": {"pollingInterval": 15, "cooldownPeriod": 60}}),
                "kind: \"ScaledObject\"\nspec:\n  pollingInterval: 15\n  cooldownPeriod: 60\n",
            ),
            (
                json!({"kind": "ScaledObject", "spec": {"pollingInterval": 15, "cooldownPeriod": 60, "minReplicaCount": 0}}),
                "kind: \"ScaledObject\"\nspec:\n  {{- if eq .minReplicas 0 }}\n  pollingInterval: 15\n  cooldownPeriod: 60\n  {{- end }}\n  minReplicaCount: {{ .minReplicas }}\n",
            ),
            (
                json!({"kind": "ScaledObject", "metadata": {"name": "w", "annotations": {"on": "{{ x }}"}}}),
                "kind: \"ScaledObject\"\nmetadata:\n  name: \"w\"\n  annotations:\n    \"on\": \"{{`{{`}} x }}\"\n    {{- if .paused }}\n    \"autoscaling.keda.sh/paused\": \"true\"\n    {{- end }}\n",
            ),
            (
                json!({"kind": "TriggerAuthentication", "metadata": {"name": "w"}, "spec": {"a": [], "b": {}, "c": [[1, "no"], {"d": null}, 1.5, true, "1_0"]}}),
                "kind: \"TriggerAuthentication\"\nmetadata:\n  name: \"w\"\nspec:\n  a: []\n  b: {}\n  c:\n  - [1,\"no\"]\n  - d: null\n  - 1.5\n  - true\n  - \"1_0\"\n",
            ),
        ] {
            assert_eq!(body(&manifest), expected);
        }
    }

    #[test]
    fn no_two_settings_have_one_name() {
        let names: Settings<_, _> = Setting::ALL.iter().map(|of| (of.name(), of)).collect();
        assert_eq!(names.len(), Setting::ALL.len());
    }
}

//! Do our own documents and manifests say of KEDA and of the Kubernetes autoscaler what their code answered?
//!
//! `tests/conformance` asked it, and keeps the answers as vectors; README.md there describes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{read_dir, read_to_string};

use acceptance::repository;
use anyhow::{Context as _, Result, ensure};
use serde::Deserialize;
use serde_json::Value;

/// A trigger that `bullmq-keda generate` writes.
#[derive(Deserialize)]
struct Trigger {
    name: String,
    /// Empty in a ScaledJob, where KEDA knows none.
    #[serde(rename = "metricType", default)]
    metric_type: String,
    metadata: BTreeMap<String, String>,
}

fn json(path: &str) -> Result<Value> {
    let text = read_to_string(repository().join(path)).with_context(|| path.to_owned())?;
    serde_json::from_str(&text).with_context(|| path.to_owned())
}

/// The cases of one file of vectors.
fn cases(name: &str) -> Result<Vec<Value>> {
    let file = json(&format!("tests/conformance/vectors/{name}.json"))?;
    let cases = file.get("cases").and_then(Value::as_array);
    let cases = cases.context("cases")?.clone();
    ensure!(!cases.is_empty(), "{name} has no case");
    Ok(cases)
}

/// The case of that name; there is one.
fn case<'c>(cases: &'c [Value], name: &str) -> Result<&'c Value> {
    let found = cases.iter().find(|case| case["name"] == name);
    found.with_context(|| format!("no case \"{name}\""))
}

/// Every ScaledObject that is committed as generated from an example.
fn generated() -> Result<Vec<Value>> {
    let mut objects = all_generated()?;
    objects.retain(|object| object["kind"] == "ScaledObject");
    Ok(objects)
}

/// Every object that is committed as generated from an example.
fn all_generated() -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for example in read_dir(repository().join("examples"))? {
        let expected = example?.path().join("expected");
        if !expected.is_dir() {
            continue;
        }
        for file in read_dir(expected)? {
            let path = file?.path();
            if path
                .extension()
                .is_some_and(|extension| extension == "yaml")
            {
                let text = read_to_string(&path)?;
                let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
                    .with_context(|| path.display().to_string())?;
                objects.extend(documents);
            }
        }
    }
    ensure!(!objects.is_empty(), "no example was generated");
    Ok(objects)
}

/// The triggers of ScaledObjects and ScaledJobs alike.
fn generated_triggers() -> Result<Vec<Trigger>> {
    let mut triggers = Vec::new();
    for object in all_generated()? {
        if object.get("kind").and_then(Value::as_str) == Some("TriggerAuthentication") {
            continue;
        }
        let of_object = object.pointer("/spec/triggers").context("triggers")?;
        triggers.extend(Vec::<Trigger>::deserialize(of_object)?);
    }
    Ok(triggers)
}

/// The answers to a trigger with the settings that decide what KEDA makes of them.
fn answers_to<'c>(trigger: &Trigger, cases: &'c [Value]) -> Vec<&'c Value> {
    let same = |case: &&Value, key: &str| {
        case[key].as_str() == trigger.metadata.get(key).map(String::as_str)
    };
    let answers: Vec<&Value> = cases
        .iter()
        .filter(|case| same(case, "ignoreNullValues") && same(case, "activationThreshold"))
        .collect();
    assert!(
        !answers.is_empty(),
        "no vector has the settings of {}",
        trigger.name
    );
    answers
}

#[test]
fn all_vectors_and_tables_are_of_one_version_of_keda() -> Result<()> {
    let keda = "github.com/kedacore/keda/v2";
    let module = read_to_string(repository().join("tests/conformance/go.mod"))?;
    let version = module
        .lines()
        .find_map(|line| line.trim().strip_prefix(keda)?.strip_prefix(' '))
        .context("go.mod requires no KEDA")?;
    for name in [
        "results",
        "metadata",
        "polls",
        "decisions",
        "fallback",
        "errors",
        "jobs",
        "admission",
    ] {
        let file = json(&format!("tests/conformance/vectors/{name}.json"))?;
        assert_eq!(file["sources"][keda], version, "{name}");
    }
    for name in ["fields", "trigger-keys"] {
        let file = json(&format!("generator/src/lint/tables/{name}.json"))?;
        assert_eq!(
            file["sources"]["keda"],
            format!("{keda} {version}"),
            "{name}"
        );
    }
    Ok(())
}

#[test]
fn what_a_generated_trigger_cannot_see_is_an_error_to_keda_and_never_zero() -> Result<()> {
    let cases = cases("results")?;
    // What an outage looks like to KEDA, by its kind; the README's table of what is down rests on these.
    let outages = [
        ("no element", "empty"),
        ("an empty matrix", "empty"),
        ("{}", "empty"),
        ("status error with HTTP 200", "empty"),
        ("one element, NaN", "notFinite"),
        ("one element, +Inf", "notFinite"),
        ("two elements", "multiple"),
        ("a page", "json"),
        ("HTTP 401", "status"),
        ("HTTP 503", "status"),
        ("hung", "timeout"),
        ("refused", "connection"),
        ("cut", "connection"),
    ];
    for trigger in generated_triggers()? {
        let answers: Vec<Value> = answers_to(&trigger, &cases).into_iter().cloned().collect();
        for (name, class) in outages {
            let outcome = &case(&answers, name)?["outcome"];
            assert_eq!(outcome["error"], class, "{}: {name}", trigger.name);
            assert_eq!(outcome["active"], false, "{}: {name}", trigger.name);
        }
    }
    Ok(())
}

#[test]
fn a_generated_trigger_is_active_above_zero_and_nowhere_else() -> Result<()> {
    let cases = cases("results")?;
    for trigger in generated_triggers()? {
        let mut values = 0;
        for answer in answers_to(&trigger, &cases) {
            let asked = &answer["response"]["body"];
            let body: Value =
                serde_json::from_str(asked.as_str().unwrap_or_default()).unwrap_or_default();
            let number = body["data"]["result"][0]["value"][1].as_str();
            let (Some(Ok(number)), None) = (
                number.map(str::parse::<f64>),
                answer["outcome"].get("error"),
            ) else {
                continue;
            };
            assert_eq!(
                answer["outcome"]["active"],
                number > 0.0,
                "{}: {number}",
                trigger.name
            );
            values += 1;
        }
        assert!(values > 3, "{values} values");
    }
    Ok(())
}

#[test]
fn keda_takes_no_replica_away_while_a_trigger_fails() -> Result<()> {
    let mut held = 0;
    for case in cases("decisions")? {
        let fallback = case["fallback"].as_i64();
        if case["error"] == true && case["active"] == false && fallback != Some(0) {
            assert_eq!(case.get("sets"), None, "{case}");
            held += 1;
        }
        // Another trigger that is active still wakes the worker, and nothing more.
        if case["error"] == true && case["active"] == true && case.get("sets").is_some() {
            let replicas = case["replicas"].as_i64().context("replicas")?;
            assert!(case["sets"].as_i64() > Some(replicas), "{case}");
        }
    }
    assert!(held > 100, "{held} decisions");
    let sequences = cases("sequences")?;
    let failing = case(&sequences, "emitted behavior, the metric fails")?;
    for sync in failing["syncs"].as_array().context("syncs")? {
        assert_eq!(sync["replicas"], failing["startReplicas"], "{sync}");
    }
    Ok(())
}

#[test]
fn the_whole_loop_does_what_the_readmes_table_of_what_is_down_says() -> Result<()> {
    let polls = cases("polls")?;
    // What is seen, what KEDA sets the replicas to, and whether the autoscaler's first metric has a value.
    for (name, sets, has_value) in [
        ("no answer, asleep", None, false),
        ("no answer, awake", None, false),
        ("Prometheus down, awake", None, false),
        ("none, awake", Some(0), true),
        ("demand, asleep", Some(1), true),
        // generator/SPEC.md on the trigger `wake`.
        (
            "a queue is missing and another has demand, asleep: the wake trigger",
            Some(1),
            false,
        ),
        (
            "a queue is missing and another has demand, awake",
            None,
            false,
        ),
        (
            "a queue is missing and the others have none, awake",
            None,
            false,
        ),
        ("all is seen and nothing to do, awake", Some(0), true),
        // On onMetricsLoss: {replicas: N}.
        (
            "no answer, asleep, fallback from the first failure on",
            Some(1),
            true,
        ),
        (
            "no answer, more run, fallback from the first failure on",
            None,
            true,
        ),
    ] {
        let poll = case(&polls, name)?;
        assert_eq!(poll.get("sets").and_then(Value::as_i64), sets, "{name}");
        let value = poll["metrics"][0].get("value");
        assert_eq!(value.is_some(), has_value, "{name}");
    }
    Ok(())
}

#[test]
fn the_known_hole_in_keda_is_where_the_readme_says() -> Result<()> {
    let readme = read_to_string(repository().join("README.md"))?;
    ensure!(readme.contains("KEDA 2.20 has a hole in it"));
    ensure!(readme.contains("fallback that starts it counts as activity"));
    let polls = cases("polls")?;
    let mut taken = 0;
    for poll in polls.iter().filter(|poll| poll["beside"] == true) {
        // A KEDA that holds here has closed the hole: the sentences in README.md and SPEC.md can go.
        assert_eq!(poll["sets"], 0, "{poll}");
        taken += 1;
    }
    assert!(taken > 0, "no case shows the hole");
    // What closes it, and is generated: a fallback that has begun counts as activity, so that the cooldown does not end.
    let begun = case(
        &polls,
        "no answer, awake, fallback from the first failure on",
    )?;
    assert_eq!(begun["refreshes"], true);
    // And with min 1 no decision at all goes below it.
    for case in cases("decisions")? {
        let (min, sets) = (case["min"].as_i64(), case["sets"].as_i64());
        if min > Some(0) && case.get("idle").is_none() && sets.is_some() {
            assert!(sets >= min, "{case}");
        }
    }
    Ok(())
}

#[test]
fn a_fallback_of_no_replicas_takes_busy_pods_away_and_is_refused_for_that() -> Result<()> {
    let taken = cases("decisions")?.into_iter().any(|case| {
        case["error"] == true
            && case["active"] == false
            && case["fallback"] == 0
            && case["sets"] == 0
    });
    assert!(taken, "a fallback of 0 takes nothing away");
    let page = read_to_string(repository().join("generator/SPEC.md"))?;
    ensure!(page.contains("At 0 KEDA would take busy pods away."));
    Ok(())
}

#[test]
fn a_fallback_that_holds_keeps_what_is_there_whatever_its_replicas() -> Result<()> {
    let behavior = "currentReplicas";
    let mut holding = 0;
    for object in generated()? {
        let spec = &object["spec"];
        let fallback = &spec["fallback"];
        if spec["minReplicaCount"] == 0 && fallback["behavior"] != "currentReplicasIfHigher" {
            let expected =
                serde_json::json!({"failureThreshold": 3, "replicas": 1, "behavior": behavior});
            assert_eq!(*fallback, expected);
            holding += 1;
        } else {
            assert_ne!(fallback["behavior"], behavior, "{spec}");
        }
    }
    assert!(holding > 0, "no example holds by a fallback");
    let mut compared = 0;
    for case in cases("fallback")? {
        if case["fallback"]["behavior"] != behavior || case["metricType"] != "AverageValue" {
            continue;
        }
        let there = case["replicas"].as_i64().context("replicas")?;
        let threshold = case["threshold"].as_i64().context("threshold")?;
        let value = &case["calls"][0]["value"]["milli"];
        assert_eq!(*value, threshold * there * 1000, "{case}");
        compared += 1;
    }
    assert!(compared > 0, "no case has the behavior");
    Ok(())
}

#[test]
fn a_fallback_goes_up_to_its_replicas_and_never_below_what_is_there() -> Result<()> {
    let behavior = "currentReplicasIfHigher";
    let objects = generated()?;
    let fallbacks: Vec<&Value> = objects
        .iter()
        .filter_map(|object| object["spec"].get("fallback"))
        .filter(|fallback| fallback["behavior"] != "currentReplicas")
        .collect();
    assert!(!fallbacks.is_empty(), "no example has a fallback");
    for fallback in fallbacks {
        assert_eq!(fallback["behavior"], behavior);
        assert_eq!(fallback["failureThreshold"], 3);
    }
    let mut compared = 0;
    for case in cases("fallback")? {
        if case["fallback"]["behavior"] != behavior || case["metricType"] != "AverageValue" {
            continue;
        }
        let asked = case["fallback"]["replicas"]
            .as_i64()
            .max(case["replicas"].as_i64())
            .context("replicas")?;
        let threshold = case["threshold"].as_i64().context("threshold")?;
        assert_eq!(
            case["calls"][0]["value"]["milli"],
            threshold * asked * 1000,
            "{case}"
        );
        compared += 1;
    }
    assert_eq!(compared, 3);
    // With failureThreshold 3 it is the fourth failure.
    let cases = cases("fallback")?;
    let counted = case(
        &cases,
        "threshold 3: the fourth failure, then success, then again",
    )?;
    let calls = counted["calls"].as_array().context("calls")?;
    let first: Vec<_> = calls
        .iter()
        .take(4)
        .map(|call| call["fallback"] == true)
        .collect();
    assert_eq!(first, [false, false, false, true]);
    Ok(())
}

/// The alerts ask for both: what is no request's fault is in the first alone, and an outage that a fallback answers in the second.
#[test]
fn what_the_alerts_count_rises_while_a_trigger_fails_whether_its_fallback_has_begun_or_not()
-> Result<()> {
    let errors = "keda_scaled_object_errors_total";
    let requests = |case: &Value, answered: bool| -> i64 {
        let counts = case["counts"].as_object().into_iter().flatten();
        let of_kind = counts.filter(|(series, _)| {
            series.starts_with("keda_scaler_http_requests_total{")
                && series.contains("status_code=\"2") == answered
        });
        of_kind.filter_map(|(_, count)| count.as_i64()).sum()
    };
    let mut silent = 0;
    for case in cases("errors")? {
        let begun = case.get("fallback").is_some() && case["before"] != 0;
        assert_eq!(case["counts"].get(errors).is_none(), begun, "{case}");
        silent += i64::from(begun);
        let empty = &case["counts"]["keda_scaler_empty_upstream_responses_total"];
        if empty.is_null() {
            assert!(requests(&case, false) > requests(&case, true), "{case}");
        } else {
            // BullMQAutoscalerQueryEmpty.
            assert!(requests(&case, false) == 0 && *empty == 2, "{case}");
        }
    }
    assert_eq!(silent, 6);
    Ok(())
}

#[test]
fn the_behavior_of_the_vectors_is_the_one_that_is_generated() -> Result<()> {
    let sequences = cases("sequences")?;
    let up = case(&sequences, "emitted behavior, from 1 to 50")?;
    let objects = generated()?;
    let mut compared = 0;
    for object in &objects {
        let written = &object["spec"]["advanced"]["horizontalPodAutoscalerConfig"]["behavior"];
        // Short jobs; long ones wait 300 s.
        let short = written["scaleDown"]["stabilizationWindowSeconds"] == 120;
        if object["spec"]["maxReplicaCount"] != 50 || !short {
            continue;
        }
        assert_eq!(written, &up["behavior"], "{}", object["metadata"]["name"]);
        compared += 1;
    }
    assert!(compared > 0, "no example has 50 replicas");
    // "Replicas come by max(4, a fifth of max) or by 100%, whichever is more, each 15 s": generator/SPEC.md.
    let replicas = |sequence: &Value| -> Vec<i64> {
        let syncs = sequence["syncs"].as_array().cloned().unwrap_or_default();
        syncs
            .iter()
            .filter_map(|sync| sync["replicas"].as_i64())
            .collect()
    };
    assert_eq!(replicas(up), [11, 22, 44, 50, 50]);
    // "and go by half each minute".
    let mut down = replicas(case(&sequences, "emitted behavior, from 50 to 1")?);
    down.dedup();
    assert_eq!(down, [50, 25, 12, 6, 3, 1]);
    Ok(())
}

#[test]
fn the_wake_trigger_never_asks_for_a_second_replica() -> Result<()> {
    let wakes: Vec<Trigger> = generated_triggers()?
        .into_iter()
        .filter(|trigger| trigger.name == "wake")
        .collect();
    assert!(!wakes.is_empty(), "no example has a wake trigger");
    let cases = cases("replicas")?;
    for wake in wakes {
        assert_eq!(wake.metric_type, "AverageValue");
        let threshold: i64 = wake.metadata["threshold"].parse()?;
        let asked: Vec<&Value> = cases
            .iter()
            .filter(|case| case["targetMilli"] == threshold * 1000)
            .collect();
        assert!(!asked.is_empty(), "no vector has the threshold {threshold}");
        assert!(asked.iter().all(|case| case["replicas"] == 1), "{asked:?}");
    }
    Ok(())
}

#[test]
fn every_key_of_a_generated_trigger_is_one_that_keda_reads() -> Result<()> {
    let table = json("generator/src/lint/tables/trigger-keys.json")?;
    let keys = &table["triggers"]["prometheus"]["keys"];
    for trigger in generated_triggers()? {
        for key in trigger.metadata.keys() {
            assert_eq!(keys[key]["metadata"], true, "{}: {key}", trigger.name);
        }
        let required = keys
            .as_object()
            .context("keys")?
            .iter()
            .filter(|(_, key)| key["required"] == true);
        for (name, _) in required {
            assert!(
                trigger.metadata.contains_key(name),
                "{}: {name}",
                trigger.name
            );
        }
    }
    Ok(())
}

/// The fields of a value that the table does not have, by their paths; and those that it requires and the value lacks.
fn strangers(types: &Value, typ: &str, value: &Value, path: &str, found: &mut Vec<String>) {
    if let Some(item) = typ.strip_prefix("[]") {
        for value in value.as_array().into_iter().flatten() {
            strangers(types, item, value, &format!("{path}[]"), found);
        }
    } else if let Some(item) = typ.strip_prefix("map[string]") {
        for (key, value) in value.as_object().into_iter().flatten() {
            strangers(types, item, value, &format!("{path}.{key}"), found);
        }
    } else if let Some(fields) = types[typ].as_object() {
        for (name, value) in value.as_object().into_iter().flatten() {
            let path = format!("{path}.{name}");
            let Some(field) = fields.get(name) else {
                found.push(path);
                continue;
            };
            let outside = value.as_f64().is_some_and(|number| {
                field["minimum"]
                    .as_f64()
                    .is_some_and(|least| number < least)
                    || field["maximum"].as_f64().is_some_and(|most| number > most)
            });
            let allowed = field["enum"].as_array();
            if outside || (value.is_string() && allowed.is_some_and(|all| !all.contains(value))) {
                found.push(format!("{path} cannot be {value}"));
            }
            strangers(
                types,
                field["type"].as_str().unwrap_or_default(),
                value,
                &path,
                found,
            );
        }
        for (name, field) in fields {
            if field["required"] == true && value.get(name).is_none() {
                found.push(format!("{path}.{name} is missing"));
            }
        }
    } else {
        let known = match typ {
            "string" => value.is_string(),
            "boolean" => value.is_boolean(),
            "int32" | "int64" => value.is_i64(),
            "number" => value.is_number(),
            "quantity" | "intOrString" => value.is_string() || value.is_number(),
            "any" => true,
            _ => false,
        };
        if !known {
            found.push(format!("{path} is no {typ}"));
        }
    }
}

#[test]
fn the_table_of_fields_knows_every_generated_field_and_closes_over_its_own_types() -> Result<()> {
    let table = json("generator/src/lint/tables/fields.json")?;
    let types = &table["types"];
    let root = |kind: &str| table["kinds"][kind]["type"].as_str().map(ToOwned::to_owned);
    let mut kinds = BTreeSet::new();
    for object in all_generated()? {
        let kind = object["kind"].as_str().context("kind")?;
        kinds.insert(kind.to_owned());
        let mut found = Vec::new();
        strangers(
            types,
            &root(kind).with_context(|| kind.to_owned())?,
            &object,
            "",
            &mut found,
        );
        assert!(
            found.is_empty(),
            "{}: {found:?}",
            object["metadata"]["name"]
        );
    }
    assert_eq!(
        kinds.iter().map(String::as_str).collect::<Vec<_>>(),
        ["ScaledJob", "ScaledObject", "TriggerAuthentication"]
    );
    // The other way: what is wrong is found.
    let wrong = serde_json::json!({"spec": {
        "minReplicas": 1, "maxReplicaCount": 0, "triggers": [{"type": 5}],
        "fallback": {"failureThreshold": 3, "replicas": 1, "behavior": "hold"},
    }});
    let mut found = Vec::new();
    strangers(
        types,
        &root("ScaledObject").context("ScaledObject")?,
        &wrong,
        "",
        &mut found,
    );
    found.sort();
    assert_eq!(
        found,
        [
            ".spec.fallback.behavior cannot be \"hold\"",
            ".spec.maxReplicaCount cannot be 0",
            ".spec.minReplicas",
            ".spec.scaleTargetRef is missing",
            ".spec.triggers[].metadata is missing",
            ".spec.triggers[].type is no string",
        ]
    );
    // Every type that a field names is there.
    let words = [
        "string",
        "boolean",
        "int32",
        "int64",
        "number",
        "quantity",
        "intOrString",
        "any",
    ];
    for (name, fields) in types.as_object().context("types")? {
        for (field, described) in fields.as_object().context("fields")? {
            let typ = described["type"].as_str().context("type")?;
            let item = typ
                .trim_start_matches("[]")
                .trim_start_matches("map[string]")
                .trim_start_matches("[]");
            assert!(
                words.contains(&item) || types.get(item).is_some(),
                "{name}.{field}: {typ}"
            );
        }
    }
    Ok(())
}

#[test]
fn the_table_of_fields_says_what_kedas_crd_says() -> Result<()> {
    let table = json("generator/src/lint/tables/fields.json")?;
    let field = |typ: &str, name: &str| table["types"][typ][name].clone();
    // The API server's answers, and where the table has them.
    let cases = cases("admission")?;
    let pruned = |name: &str| -> Result<Value> { Ok(case(&cases, name)?["pruned"][0].clone()) };
    assert_eq!(
        pruned("a ScaledJob with metricType")?,
        "spec.triggers[0].metricType"
    );
    assert_eq!(
        field("keda.ScaleTriggers@ScaledJob", "metricType"),
        Value::Null
    );
    assert_eq!(pruned("an unknown field of spec")?, "spec.minReplicas");
    assert_eq!(field("keda.ScaledObjectSpec", "minReplicas"), Value::Null);
    assert_eq!(pruned("behavior under advanced")?, "spec.advanced.behavior");
    assert_eq!(field("keda.AdvancedConfig", "behavior"), Value::Null);
    assert!(case(&cases, "a stabilization window of 3601")?["invalid"].is_array());
    assert_eq!(
        field(
            "autoscaling.HPAScalingRules@ScaledObject",
            "stabilizationWindowSeconds"
        )["maximum"],
        3600
    );
    // A default stands in for it before anything is checked.
    assert_eq!(
        case(&cases, "a ScaledJob with a port without protocol")?.get("invalid"),
        None
    );
    assert_eq!(
        field("core.ContainerPort", "protocol").get("required"),
        None
    );
    Ok(())
}

#[test]
fn the_reasons_that_the_page_of_the_spec_gives_are_kedas() -> Result<()> {
    let page = read_to_string(repository().join("generator/SPEC.md"))?;
    let metadata = cases("metadata")?;
    let admission = cases("admission")?;
    let outcome = |name: &str| -> Result<Value> { Ok(case(&metadata, name)?["outcome"].clone()) };
    let starts = |name: &str, start: &str| -> Result<bool> {
        let request = outcome(name)?["request"].clone();
        Ok(request.as_str().context("request")?.starts_with(start))
    };

    assert!(page.contains("KEDA would ask `//api/v1/query`."));
    assert!(starts(
        "serverAddress with a slash at its end",
        "//api/v1/query?"
    )?);
    assert!(page.contains("KEDA appends `/api/v1/query` itself."));
    assert!(starts(
        "serverAddress with the API's path",
        "/api/v1/query/api/v1/query?"
    )?);
    assert!(page.contains("KEDA appends `/api/v1/query` to the address as it stands."));
    assert!(starts(
        "serverAddress with a query",
        "/?tenant=a/api/v1/query?"
    )?);
    assert!(page.contains("A path prefix (Mimir, Thanos) stays"));
    assert!(starts(
        "serverAddress with a path",
        "/prometheus/api/v1/query?"
    )?);

    assert!(page.contains("refuses more than 63 characters: at most 54."));
    let refused =
        |name: &str| -> Result<bool> { Ok(case(&admission, name)?.get("refused").is_some()) };
    assert!(!refused("a name of 54 characters")?);
    assert!(refused("a name of 55 characters")?);

    assert!(page.contains("From 0.001 to 1000000000, with at most three decimals"));
    assert!(outcome("threshold 0.001")?.get("refusedHPA").is_none());
    assert!(outcome("threshold 0.0004")?.get("refusedHPA").is_some());

    assert!(page.contains("KEDA refuses a second ScaledObject for one target."));
    assert!(refused("another ScaledObject of the same target")?);
    Ok(())
}

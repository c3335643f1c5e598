//! Do the examples of charts and of kustomize render as they show, by the real programs, and does the template heed its values and refuse
//! what cannot be?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance::{HELMS, fed, helm_template, judge, ours, read_as_kubectl, repository};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

fn example(name: &str) -> PathBuf {
    repository().join("examples").join(name)
}

/// Helm 4 leaves empty lines between what one template renders; they mean nothing.
fn without_empty_lines(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn the_examples_of_charts_render_as_they_show_by_helm_3_and_4() {
    for (name, values, golden) in [
        ("helm-chart", None, "default.yaml"),
        (
            "helm-chart",
            Some("chart/values-production.yaml"),
            "production.yaml",
        ),
        // What the template has built in changes nothing where it is said.
        (
            "helm-chart",
            Some("chart/bullmq-keda.values.yaml"),
            "default.yaml",
        ),
        ("helm-values", Some("values-keda.yaml"), "default.yaml"),
    ] {
        let folder = example(name);
        let expected = fs::read_to_string(folder.join("rendered").join(golden)).unwrap();
        let values = values.map(|values| folder.join(values).display().to_string());
        let arguments: Vec<&str> = values
            .iter()
            .flat_map(|values| ["--values", values])
            .collect();
        for helm in HELMS {
            let rendered = helm_template(helm, &folder.join("chart"), &arguments).unwrap();
            assert_eq!(
                without_empty_lines(&rendered.unwrap()),
                without_empty_lines(&expected),
                "{helm} {name} {values:?}"
            );
        }
    }
}

#[test]
fn the_examples_of_charts_pass_helm_s_own_linter() {
    for helm in HELMS {
        for name in ["helm-chart", "helm-values"] {
            let output = Command::new(judge(helm).unwrap())
                .args(["lint", "--strict"])
                .arg(example(name).join("chart"))
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{helm} {name}: {said}");
        }
    }
}

#[test]
fn the_schema_of_the_example_holds_the_fragment_as_it_is_generated() {
    let chart = example("helm-chart").join("chart");
    let read = |file: &str| -> Value {
        serde_json::from_slice(&fs::read(chart.join(file)).unwrap()).unwrap()
    };
    let (whole, fragment) = (read("values.schema.json"), read("bullmq-keda.schema.json"));
    let settings = &fragment["properties"]["bullmqKeda"];
    assert!(settings.is_object());
    assert_eq!(&whole["properties"]["bullmqKeda"], settings);
    // It takes the values fragment, and refuses a slip.
    for helm in HELMS {
        for (set, expected) in [
            ("bullmqKeda.workers.emial.maxReplicas=3", "emial"),
            ("bullmqKeda.workers.email.maxReplica=3", "maxReplica"),
            ("bullmqKeda.workers.email.maxReplicas=many", "maxReplicas"),
            ("bullmqKeda.workers.email.threshold=-1", "threshold"),
            ("bullmqKeda.enable=false", "enable"),
        ] {
            let refused = helm_template(helm, &chart, &["--set", set])
                .unwrap()
                .unwrap_err();
            assert!(
                refused.contains("schema") && refused.contains(expected),
                "{helm} {set}: {refused}"
            );
        }
    }
}

#[test]
fn kustomize_takes_the_replicas_from_the_targets_and_from_nothing_else() {
    let folder = example("kustomize");
    let build = |folder: &Path| {
        Command::new(judge("kustomize").unwrap())
            .arg("build")
            .arg(folder.join("production"))
            .output()
            .unwrap()
    };
    let output = build(&folder);
    let rendered = String::from_utf8(output.stdout).unwrap();
    assert_eq!(
        rendered,
        fs::read_to_string(folder.join("rendered/production.yaml")).unwrap()
    );
    let mut replicas: Vec<(String, Value)> = read_as_kubectl(&rendered)
        .unwrap()
        .iter()
        .map(|object| {
            let name = object["metadata"]["name"].as_str().unwrap();
            let kind = object["kind"].as_str().unwrap();
            (format!("{kind} {name}"), object["spec"]["replicas"].clone())
        })
        .collect();
    replicas.sort_by(|a, b| a.0.cmp(&b.0));
    assert_eq!(
        replicas,
        [
            ("Deployment email-worker".to_owned(), Value::Null),
            ("Deployment web".to_owned(), json!(2)),
            ("ScaledObject email".to_owned(), Value::Null),
            ("ScaledObject reports".to_owned(), Value::Null),
            ("StatefulSet report-worker".to_owned(), Value::Null),
        ]
    );
    // The base does name a number, or there would be nothing to take.
    let base = fs::read_to_string(folder.join("base/workers.yaml")).unwrap();
    assert!(base.contains("name: email-worker\nspec:\n  replicas: 3\n"));
}

/// Three workers: one that sleeps, one that never does, and one with a fallback.
const SPEC: &str = "\
apiVersion: bullmq-keda/v1
prometheus: {serverAddress: http://prometheus:9090}
defaults: {concurrency: 10}
workers:
  - {name: sleeper, queues: [a, b], replicas: {min: 0, max: 5}}
  - {name: steady, queues: [c], replicas: {min: 2, max: 5}}
  - {name: \"1e3\", queues: [d], replicas: {min: 1, max: 5}, onMetricsLoss: {replicas: 3}}
";

/// A chart without a schema and without values, so that the template alone is asked.
fn bare_chart(folder: &Path, key: &str) -> Result<()> {
    fs::create_dir_all(folder.join("templates"))?;
    fs::write(
        folder.join("Chart.yaml"),
        "apiVersion: v2\nname: chart\nversion: 0.1.0\n",
    )?;
    let arguments = [
        "generate",
        "-",
        "--format",
        "helm",
        "--values-key",
        key,
        "-o",
    ];
    let mut command = Command::new(ours("bullmq-keda")?);
    let output = fed(command.args(arguments).arg(folder), SPEC)?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

fn object<'o>(objects: &'o [Value], name: &str) -> Result<&'o Value> {
    let found = objects.iter().find(|object| {
        object
            .pointer("/metadata/name")
            .is_some_and(|found| found == name)
    });
    found.with_context(|| format!("no {name} in {objects:?}"))
}

fn rendered(helm: &str, chart: &Path, values: &str) -> Result<Result<Vec<Value>, String>> {
    let file = chart.join("given.yaml");
    fs::write(&file, values)?;
    let arguments = ["--values", file.to_str().context("a path")?];
    Ok(match helm_template(helm, chart, &arguments)? {
        Ok(text) => Ok(read_as_kubectl(&text)?),
        Err(refused) => Err(refused),
    })
}

/// A worker, its values, and what they make of it: places, each with its value in JSON.
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
);

const CASES: [Case; 12] = [
    (
        "sleeper",
        "{}",
        &[
            ("/spec/minReplicaCount", "0"),
            ("/spec/triggers/1/name", "\"wake\""),
            (
                "/spec/fallback",
                "{\"failureThreshold\": 3, \"replicas\": 1, \"behavior\": \"currentReplicas\"}",
            ),
            ("/metadata/annotations", "null"),
        ],
    ),
    (
        "sleeper",
        "{minReplicas: 1}",
        // What is for sleep only goes with it.
        &[
            ("/spec/minReplicaCount", "1"),
            ("/spec/cooldownPeriod", "null"),
            ("/spec/pollingInterval", "null"),
            ("/spec/initialCooldownPeriod", "null"),
            ("/spec/fallback", "null"),
            ("/spec/triggers/1", "null"),
        ],
    ),
    (
        "sleeper",
        "{maxReplicas: 2000000}",
        &[("/spec/maxReplicaCount", "2000000")],
    ),
    (
        "sleeper",
        "{maxReplicas: \"7\"}",
        &[("/spec/maxReplicaCount", "7")],
    ),
    (
        "sleeper",
        "{maxReplicas: null}",
        &[("/spec/maxReplicaCount", "5")],
    ),
    (
        "sleeper",
        "{threshold: 2.5}",
        &[
            ("/spec/triggers/0/metadata/threshold", "\"2.5\""),
            ("/spec/triggers/1/metadata/threshold", "\"1000000000\""),
        ],
    ),
    (
        "sleeper",
        "{threshold: 3000000}",
        &[("/spec/triggers/0/metadata/threshold", "\"3000000\"")],
    ),
    (
        "sleeper",
        "{threshold: \"40\"}",
        &[("/spec/triggers/0/metadata/threshold", "\"40\"")],
    ),
    (
        "steady",
        "{paused: true}",
        &[(
            "/metadata/annotations",
            "{\"autoscaling.keda.sh/paused\": \"true\"}",
        )],
    ),
    (
        "steady",
        "{target: '{{ .Release.Name }}-x'}",
        &[("/spec/scaleTargetRef/name", "\"shop-x\"")],
    ),
    (
        "steady",
        "{serverAddress: 'http://{{ .Release.Name }}:9/p'}",
        &[(
            "/spec/triggers/0/metadata/serverAddress",
            "\"http://shop:9/p\"",
        )],
    ),
    (
        "1e3",
        "{fallbackReplicas: 5}",
        &[
            ("/spec/fallback/replicas", "5"),
            ("/spec/fallback/behavior", "\"currentReplicasIfHigher\""),
        ],
    ),
];

#[test]
fn every_value_changes_what_it_names() {
    let folder = tempfile::tempdir().unwrap();
    bare_chart(folder.path(), "scaling").unwrap();
    for helm in HELMS {
        for (worker, values, expected) in CASES {
            let given = format!("scaling: {{workers: {{\"{worker}\": {values}}}}}\n");
            let objects = rendered(helm, folder.path(), &given).unwrap().unwrap();
            assert_eq!(objects.len(), 3, "{helm} {given}");
            let object = object(&objects, worker).unwrap();
            for (path, value) in expected {
                let value: Value = serde_json::from_str(value).unwrap();
                let found = object.pointer(path).unwrap_or(&Value::Null);
                assert_eq!(found, &value, "{helm} {given} {path}");
            }
        }
    }
}

#[test]
fn values_of_all_workers_yield_to_those_of_one_and_objects_can_be_left_out() {
    let folder = tempfile::tempdir().unwrap();
    bare_chart(folder.path(), "scaling").unwrap();
    let given = "scaling: {serverAddress: http://all:9090, workers: {steady: {serverAddress: http://one:9090}}}\n";
    for helm in HELMS {
        let objects = rendered(helm, folder.path(), given).unwrap().unwrap();
        for (worker, expected) in [
            ("sleeper", "http://all:9090"),
            ("steady", "http://one:9090"),
        ] {
            let trigger = &object(&objects, worker).unwrap()["spec"]["triggers"][0];
            assert_eq!(
                trigger["metadata"]["serverAddress"], expected,
                "{helm} {worker}"
            );
        }
        for (given, left) in [
            ("scaling: {enabled: false}", 0),
            ("scaling: {workers: {steady: {enabled: false}}}", 2),
            ("scaling: null", 3),
            ("scaling: {workers: null}", 3),
        ] {
            let objects = rendered(helm, folder.path(), given).unwrap().unwrap();
            assert_eq!(objects.len(), left, "{helm} {given}");
        }
    }
}

#[test]
fn what_cannot_be_is_refused_by_the_template_itself_with_the_name_of_the_value() {
    let folder = tempfile::tempdir().unwrap();
    bare_chart(folder.path(), "keda.scaling").unwrap();
    let cases = [
        (
            "{workers: {steadi: {}}}",
            "keda.scaling.workers.steadi: there is no such worker; there are 1e3, sleeper, steady",
        ),
        (
            "{worker: {}}",
            "keda.scaling.worker: there is no such value; there are enabled, serverAddress and workers",
        ),
        (
            "{workers: {steady: {max: 3}}}",
            "keda.scaling.workers.steady.max: there is no such value; there are enabled, maxReplicas, minReplicas, paused, serverAddress, target, threshold",
        ),
        (
            "{workers: {steady: {fallbackReplicas: 3}}}",
            "keda.scaling.workers.steady.fallbackReplicas: there is no such value",
        ),
        // Its fallback keeps what is there, whatever the number.
        (
            "{workers: {sleeper: {fallbackReplicas: 3}}}",
            "keda.scaling.workers.sleeper.fallbackReplicas: there is no such value",
        ),
        (
            "{enabled: \"false\"}",
            "keda.scaling.enabled: write true or false",
        ),
        (
            "{workers: {steady: {paused: \"true\"}}}",
            "keda.scaling.workers.steady.paused: write true or false",
        ),
        (
            "{workers: {steady: {maxReplicas: many}}}",
            "keda.scaling.workers.steady.maxReplicas: many is no number of replicas",
        ),
        (
            "{workers: {steady: {maxReplicas: 2.5}}}",
            "maxReplicas: 2.5 is no number of replicas",
        ),
        (
            "{workers: {steady: {maxReplicas: -1}}}",
            "maxReplicas: -1 is no number of replicas",
        ),
        (
            "{workers: {steady: {maxReplicas: 2147483648}}}",
            "maxReplicas: 2147483648 is no number of replicas",
        ),
        (
            "{workers: {sleeper: {maxReplicas: 0}}}",
            "keda.scaling.workers.sleeper.maxReplicas: at least 1; enabled: false leaves the worker alone",
        ),
        (
            "{workers: {steady: {maxReplicas: 1}}}",
            "keda.scaling.workers.steady: minReplicas 2 is above maxReplicas 1",
        ),
        (
            "{workers: {steady: {minReplicas: 0}}}",
            "keda.scaling.workers.steady.minReplicas: a worker that may sleep needs more than this number; write min: 0 in the spec and generate again",
        ),
        (
            "{workers: {1e3: {fallbackReplicas: 6}}}",
            "keda.scaling.workers.1e3.fallbackReplicas: 6 is not from 1 to 5",
        ),
        (
            "{workers: {1e3: {maxReplicas: 2}}}",
            "keda.scaling.workers.1e3.fallbackReplicas: 3 is not from 1 to 2",
        ),
        (
            "{workers: {steady: {threshold: 0}}}",
            "keda.scaling.workers.steady.threshold: 0 is no number above 0 with at most three decimals",
        ),
        (
            "{workers: {steady: {threshold: 1e-5}}}",
            "threshold: 1e-05 is no number above 0",
        ),
        (
            "{workers: {steady: {threshold: \"0x10\"}}}",
            "is no number above 0",
        ),
        (
            "{workers: {steady: {target: Big}}}",
            "keda.scaling.workers.steady.target: \"Big\" is none",
        ),
        (
            "{workers: {steady: {serverAddress: \"http://p:9090/\"}}}",
            "serverAddress: \"http://p:9090/\" is none",
        ),
        (
            "{workers: {steady: {serverAddress: \"http://u:p@p:9090\"}}}",
            "serverAddress: \"http://u:p@p:9090\" is none",
        ),
    ];
    for helm in HELMS {
        for (values, expected) in cases {
            // A key that looks like a number stands in quotes, as in the fragment of values.
            let given = format!("keda: {{scaling: {values}}}\n").replace("{1e3:", "{\"1e3\":");
            let refused = rendered(helm, folder.path(), &given).unwrap();
            let refused = refused.expect_err(&given);
            assert!(refused.contains(expected), "{helm} {given}: {refused}");
        }
    }
}

#[test]
fn alerts_of_all_workers_or_of_one_can_be_left_out_and_are_those_that_the_generator_prints() {
    let folder = tempfile::tempdir().unwrap();
    bare_chart(folder.path(), "scaling").unwrap();
    let generate = |arguments: &[&str]| {
        let mut command = Command::new(ours("bullmq-keda").unwrap());
        let output = fed(
            command.args(["generate", "-", "--alerts"]).args(arguments),
            SPEC,
        );
        let output = output.unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    let chart = folder.path().to_str().unwrap();
    let helm_form = ["--format", "helm", "--values-key", "scaling", "-o", chart];
    generate(&helm_form);
    let alerts = |objects: Vec<Value>| {
        let mut found: Vec<Value> = objects
            .into_iter()
            .filter(|object| object["kind"] == "PrometheusRule")
            .collect();
        found.sort_by_key(|object| object["metadata"]["name"].to_string());
        found
    };
    let all = alerts(read_as_kubectl(&generate(&[])).unwrap());
    assert_eq!(all.len(), 3);
    for helm in HELMS {
        let rendered = |values| rendered(helm, folder.path(), values).unwrap();
        assert_eq!(alerts(rendered("{}").unwrap()), all, "{helm}");
        for (values, expected) in [
            ("scaling: {alerts: false}", vec![]),
            (
                "scaling: {alerts: false, workers: {steady: {alerts: true}}}",
                vec!["steady-alerts"],
            ),
            (
                "scaling: {workers: {steady: {alerts: false}}}",
                vec!["1e3-alerts", "sleeper-alerts"],
            ),
            (
                "scaling: {alerts: null, workers: {steady: {enabled: false}}}",
                vec!["1e3-alerts", "sleeper-alerts"],
            ),
        ] {
            let alerts = alerts(rendered(values).unwrap());
            let names: Vec<&str> = alerts
                .iter()
                .map(|object| object["metadata"]["name"].as_str().unwrap())
                .collect();
            assert_eq!(names, expected, "{helm} {values}");
        }
        for (values, expected) in [
            (
                "scaling: {alerts: \"no\"}",
                "scaling.workers.1e3.alerts: write true or false",
            ),
            (
                "scaling: {alert: false}",
                "scaling.alert: there is no such value; there are enabled, alerts, serverAddress and workers",
            ),
        ] {
            let refused = rendered(values).unwrap_err();
            assert!(refused.contains(expected), "{helm} {values}: {refused}");
        }
    }
}

/// `docs/adopting.md` says what becomes of a number of replicas that is taken out of a manifest; clients' and the API server's own code
/// is asked whether that is so.
#[test]
fn what_becomes_of_the_replicas_is_what_the_page_on_adopting_says() {
    let output = Command::new(judge("replicas-after").unwrap())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let rows: Vec<String> = said
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .map(|case: Value| {
            let way = case["way"].as_str().unwrap();
            let after = match case["replicas"].as_u64() {
                Some(replicas) => replicas.to_string(),
                None => "none, so 1".to_owned(),
            };
            format!("| {way} | {after} |\n")
        })
        .collect();
    assert_eq!(rows.len(), 8, "{rows:?}");
    let page = fs::read_to_string(repository().join("docs/adopting.md")).unwrap();
    let (_, table) = page.split_once("|---|---|\n").unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    assert_eq!(format!("{table}\n"), rows.concat());
}

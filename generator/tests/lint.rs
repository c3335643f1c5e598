//! Manifests of the shapes that people really run, and exactly what is said of them.
//!
//! `tests/lint/<case>.yaml` is what is linted, `<case>.stderr` what the program prints.
//! `UPDATE_EXPECTED=1 cargo test -p bullmq-keda --test lint` writes what it prints now; read the difference before you keep it.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{fs, io};

use bullmq_keda::Input;
use bullmq_keda::cli::{Outcome, Streams, run};
use bullmq_keda::lint::{Options, Origin, Report, lint};
use bullmq_keda::page::Screen;
use bullmq_keda::report;
use bullmq_keda::rule::{Rule, Severity};
use proptest::prelude::*;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lint")
}

fn cases() -> io::Result<Vec<PathBuf>> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(folder())? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("yaml")) {
            cases.push(path);
        }
    }
    cases.sort();
    Ok(cases)
}

/// What a run of the program answers.
struct Answer {
    outcome: Outcome,
    stdout: String,
    stderr: String,
}

fn program(args: &[&str], stdin: &[u8]) -> anyhow::Result<Answer> {
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut streams = Streams {
        stdin: &mut &*stdin,
        stdout: &mut stdout,
        stderr: &mut stderr,
        colour: false,
        screen: Screen::PLAIN,
    };
    let args = ["bullmq-keda", "lint"].iter().chain(args);
    let outcome = run(args.map(OsString::from), &mut streams)?;
    Ok(Answer {
        outcome,
        stdout: String::from_utf8(stdout)?,
        stderr: String::from_utf8(stderr)?,
    })
}

fn linted(text: &str) -> Report {
    let name = "in.yaml".to_owned();
    let input = Input {
        short_name: name.clone(),
        name,
        bytes: text.as_bytes().to_vec(),
    };
    lint(vec![(input, Origin::Named)], &Options::default())
}

#[test]
fn every_case_is_told_exactly() {
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    let cases = cases().unwrap();
    assert!(cases.len() >= 10, "{cases:?}");
    for case in cases {
        let answer = program(&["-"], &fs::read(&case).unwrap()).unwrap();
        assert_eq!(answer.outcome, Outcome::Invalid, "{}", case.display());
        assert_eq!(answer.stdout, "", "{}", case.display());
        let expected = case.with_extension("stderr");
        if update {
            fs::write(expected, answer.stderr).unwrap();
        } else {
            let expected = fs::read_to_string(expected).unwrap();
            assert_eq!(answer.stderr, expected, "{}", case.display());
        }
    }
}

const SCALED_OBJECT: &str = "\
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: email}
spec:
  scaleTargetRef: {name: email-worker}
  minReplicaCount: 1
  maxReplicaCount: 20
  advanced: {horizontalPodAutoscalerConfig: {behavior: {scaleDown: {stabilizationWindowSeconds: 120}}}}
  triggers:
    - type: prometheus
      metadata:
        serverAddress: http://prometheus.monitoring.svc:9090
        query: |
          sum(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{redis=\"default\",prefix=\"bull\",queue=\"email\"}))
          and on() (count(max by (redis, prefix, queue) (bullmq_queue_demand_jobs{redis=\"default\",prefix=\"bull\",queue=\"email\"})) == 1)
        threshold: \"10\"
        ignoreNullValues: \"false\"
";

#[test]
fn what_is_fine_is_told_in_one_line() {
    let answer = program(&["-"], SCALED_OBJECT.as_bytes()).unwrap();
    assert_eq!(answer.outcome, Outcome::Made);
    assert_eq!(answer.stderr, "nothing found in 1 object\n");
    let quiet = program(&["-", "-q"], SCALED_OBJECT.as_bytes()).unwrap();
    assert_eq!((quiet.stderr.as_str(), quiet.stdout.as_str()), ("", ""));
}

#[test]
fn the_exit_code_follows_from_the_severity_that_was_asked_for() {
    let warned = SCALED_OBJECT.replace("  maxReplicaCount: 20\n", "");
    let informed = SCALED_OBJECT.replace(
        "  maxReplicaCount: 20\n",
        "  maxReplicaCount: 20\n  pollingInterval: 30\n",
    );
    let refused = SCALED_OBJECT.replace("20", "\"20\"");
    for (text, fail_on, expected) in [
        (&warned, "error", Outcome::Made),
        (&warned, "warning", Outcome::Invalid),
        (&warned, "info", Outcome::Invalid),
        (&informed, "warning", Outcome::Made),
        (&informed, "info", Outcome::Invalid),
        (&refused, "error", Outcome::Invalid),
    ] {
        let answer = program(&["-", "--fail-on", fail_on], text.as_bytes()).unwrap();
        assert_eq!(answer.outcome, expected, "{fail_on}: {}", answer.stderr);
    }
    let quiet = program(&["-", "-q"], informed.as_bytes()).unwrap();
    assert_eq!(quiet.stderr, "");
}

#[test]
fn what_we_generate_has_no_finding_from_warning_up() {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut seen = 0;
    for entry in fs::read_dir(examples).unwrap() {
        let example = entry.unwrap().path();
        let spec = example.join("spec.yaml");
        if !spec.is_file() {
            continue;
        }
        let expected = example.join("expected/scaledobjects.yaml");
        let made = [spec, expected].into_iter().filter(|path| path.is_file());
        for path in made {
            // By the program, which reads the template of a Job beside its spec.
            let path = path.to_string_lossy().into_owned();
            let answer = program(&["-o", "json", "--fail-on", "warning", &path], b"").unwrap();
            assert_eq!(answer.outcome, Outcome::Made, "{path}: {}", answer.stdout);
            assert!(!answer.stdout.contains("\"objects\": 0"), "{path}");
            seen += 1;
        }
    }
    assert!(seen >= 15, "{seen}");
}

#[test]
fn a_spec_and_its_committed_manifests_are_no_duplicates_until_they_differ() {
    let folder = tempfile::tempdir().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/several-queues");
    let spec = example.join("spec.yaml").to_string_lossy().into_owned();
    let committed = fs::read_to_string(example.join("expected/scaledobjects.yaml")).unwrap();
    let copy = folder.path().join("scaledobjects.yaml");
    let copy_name = copy.to_string_lossy().into_owned();
    for (text, duplicates) in [
        (committed.clone(), 0),
        // Edited by hand: the spec would overwrite it.
        (
            committed.replacen("maxReplicaCount: 50", "maxReplicaCount: 51", 1),
            1,
        ),
        // Twice among the inputs is twice.
        (format!("{committed}---\n{committed}"), 2),
    ] {
        fs::write(&copy, text).unwrap();
        let answer = program(&["-o", "json", &spec, &copy_name], b"").unwrap();
        let said: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
        let found = said["findings"].as_array().unwrap();
        let rules = found
            .iter()
            .filter(|finding| finding["rule"] == "name/duplicate");
        assert_eq!(rules.count(), duplicates, "{}", answer.stdout);
    }
}

#[test]
fn every_way_to_write_a_spec_generates_what_has_no_finding_from_warning_up() {
    for (min, scale, extra) in [
        (0, "slots", ""),
        (1, "slots", ""),
        (0, "{jobsPerReplica: 100}", "onMetricsLoss: {replicas: 2}, "),
        (2, "{startWithin: 30s}", "onMetricsLoss: {replicas: 2}, "),
        (0, "{startWithin: 5m}", "startup: 30s, "),
    ] {
        let spec = format!(
            "apiVersion: bullmq-keda/v1\nprometheus: {{serverAddress: \"http://prometheus:9090\"}}\nworkers:\n  - {{name: w, queues: [a, {{name: b, prefix: \"{{p}}\", optional: true}}], concurrency: 10, replicas: {{min: {min}, max: 20}}, scale: {scale}, {extra}job: {{mean: 2s, longest: 5m}}}}\n"
        );
        let report = linted(&spec);
        let worst = report.problems.iter().map(|problem| problem.severity).max();
        assert!(
            worst < Some(Severity::Warning),
            "{spec}{:#?}",
            report.problems
        );
        assert_eq!(report.checked.len(), 2, "{:?}", report.checked);
    }
}

#[test]
fn json_is_as_it_is_described() {
    let text = SCALED_OBJECT.replace("  maxReplicaCount: 20\n", "");
    let answer = program(&["-", "-o", "json"], text.as_bytes()).unwrap();
    assert_eq!(answer.outcome, Outcome::Invalid);
    assert_eq!(answer.stderr, "");
    let expected = r#"{
  "findings": [
    {
      "rule": "replicas/max-unset",
      "severity": "warning",
      "message": "without `maxReplicaCount` KEDA scales to 100",
      "file": "<stdin>",
      "line": 3,
      "column": 18,
      "endLine": 3,
      "endColumn": 23,
      "label": "no `maxReplicaCount`",
      "why": "a backlog, or one wrong sample, starts them all",
      "help": "write the most replicas that Redis, the database and the bill can take",
      "object": {
        "kind": "ScaledObject",
        "name": "email"
      }
    }
  ],
  "suppressed": [],
  "summary": {
    "errors": 0,
    "warnings": 1,
    "infos": 0,
    "suppressed": 0,
    "objects": 1
  }
}
"#;
    assert_eq!(answer.stdout, expected);
}

#[test]
fn github_commands_point_at_the_line() {
    let text = SCALED_OBJECT.replace("  maxReplicaCount: 20\n", "  maxReplicaCount: 100%\n");
    let answer = program(&["-", "-o", "github"], text.as_bytes()).unwrap();
    let first = answer.stdout.lines().next().unwrap();
    assert_eq!(
        first,
        "::error file=<stdin>,line=7,endLine=7,col=20,endColumn=24,title=manifest/wrong-type::`spec.maxReplicaCount` takes a whole number: found a text%0Ahelp: write plain digits, without quotes"
    );
}

/// Every rule that a text breaks.
fn rules(text: &str) -> Vec<&'static str> {
    let report = linted(text);
    report
        .problems
        .iter()
        .map(|problem| problem.rule.id())
        .collect()
}

#[test]
fn what_only_looks_wrong_is_not_told() {
    for (what, with) in [
        // A value may come from the environment of the pods, and unknown keys are an external scaler's own.
        (
            "- type: prometheus\n      metadata:\n",
            "- type: redis\n      metadata: {addressFromEnv: REDIS, listName: \"orders:pending\", passwordFromEnv: P}\n    - type: prometheus\n      metadata:\n",
        ),
        (
            "- type: prometheus\n      metadata:\n",
            "- type: external\n      metadata: {scalerAddress: \"a:1\", myOwnKey: x}\n    - type: prometheus\n      metadata:\n",
        ),
        // A TriggerAuthentication that is not among the inputs may give everything.
        (
            "ignoreNullValues: \"false\"",
            "ignoreNullValues: \"false\"\n        authModes: \"tls,basic\"\n      authenticationRef: {name: elsewhere}",
        ),
        (
            "metadata: {name: email}",
            "metadata: {name: email, annotations: {autoscaling.keda.sh/paused: \"false\"}}",
        ),
        (
            "metadata: {name: email}",
            "metadata: {name: email, creationTimestamp: null, labels: {app: email}}\nstatus: {}",
        ),
        ("threshold: \"10\"", "threshold: \"1e1\""),
        ("threshold: \"10\"", "threshold: '10'\n        timeout: 5s"),
        (
            "threshold: \"10\"",
            "threshold: \"10\"\n        queryParameters: \"dedup=true,partial_response=false\"",
        ),
        (
            "threshold: \"10\"",
            "threshold: \"10\"\n        customHeaders: \"X-Scope-OrgID=shop\"",
        ),
        (
            "threshold: \"10\"",
            "threshold: \"10\"\n        unsafeSsl: \"false\"",
        ),
        ("ignoreNullValues: \"false\"", "ignoreNullValues: \"F\""),
        // These two do not use the number.
        (
            "  maxReplicaCount: 20\n",
            "  maxReplicaCount: 20\n  fallback: {failureThreshold: 3, replicas: 0, behavior: currentReplicas}\n",
        ),
        (
            "  maxReplicaCount: 20\n",
            "  maxReplicaCount: 20\n  fallback: {failureThreshold: 3, replicas: 50, behavior: currentReplicas}\n",
        ),
    ] {
        let text = SCALED_OBJECT.replace(what, with);
        assert_ne!(text, SCALED_OBJECT, "{what}");
        assert_eq!(rules(&text), Vec::<&str>::new(), "{with}");
    }
}

#[test]
fn a_fallback_that_wakes_is_a_warning_unless_its_behavior_says_what_is_meant() {
    for (behavior, severity, title) in [
        ("", "warning", "starts 5 replicas"),
        (", behavior: static", "warning", "starts 5 replicas"),
        (
            ", behavior: currentReplicasIfHigher",
            "info",
            "starts 5 replicas",
        ),
        (", behavior: currentReplicas", "info", "starts one replica"),
    ] {
        let text = SCALED_OBJECT.replace(
            "minReplicaCount: 1\n  maxReplicaCount: 20\n",
            &format!(
                "minReplicaCount: 0\n  maxReplicaCount: 20\n  fallback: {{failureThreshold: 3, replicas: 5{behavior}}}\n"
            ),
        );
        let report = linted(&text);
        let found: Vec<_> = report
            .problems
            .iter()
            .filter(|problem| problem.rule.id() == "fallback/wakes-from-zero")
            .collect();
        let [problem] = found.as_slice() else {
            panic!("{behavior}: {found:?}");
        };
        assert_eq!(problem.severity.as_str(), severity, "{behavior}");
        assert_eq!(
            problem.title,
            format!("an outage of Prometheus {title} of a worker that had none")
        );
    }
}

/// What to replace in [`SCALED_OBJECT`], by what, and the rule that this breaks.
const WRONG: &[(&str, &str, &str)] = &[
    (
        "  maxReplicaCount: 20\n",
        "  maxReplicaCount: 20\n  fallback: {failureThreshold: 3, replicas: 0}\n",
        "fallback/zero-replicas",
    ),
    (
        "minReplicaCount: 1",
        "minReplicaCount: 21",
        "replicas/max-below-min",
    ),
    (
        "  maxReplicaCount: 20\n",
        "  maxReplicaCount: 20\n  idleReplicaCount: 1\n",
        "idle-replicas/not-below-min",
    ),
    (
        "type: prometheus",
        "type: Prometheus",
        "trigger/unknown-type",
    ),
    (
        "threshold: \"10\"",
        "threshold: \"\"",
        "trigger/missing-metadata-key",
    ),
    (
        "threshold: \"10\"",
        "threshold: \".5\"",
        "threshold/not-a-number",
    ),
    (
        "threshold: \"10\"",
        "threshold: \"-1\"",
        "threshold/too-small",
    ),
    (
        "threshold: \"10\"",
        "threshold: \"10\"\n        bearerToken: abc",
        "trigger/unknown-metadata-key",
    ),
    (
        "threshold: \"10\"",
        "threshold: \"10\"\n        metricType: Value",
        "trigger/unknown-metadata-key",
    ),
    (
        "threshold: \"10\"",
        "threshold: \"10\"\n        timeout: 5d",
        "trigger/unreadable-value",
    ),
    (
        "threshold: \"10\"",
        "threshold: \"10\"\n        authModes: beer",
        "trigger/unreadable-value",
    ),
    (
        "threshold: \"10\"",
        "threshold: \"10\"\n        cortexOrgID: shop",
        "trigger/removed-metadata-key",
    ),
    (
        "http://prometheus.monitoring.svc:9090",
        "prometheus:9090",
        "server-address/not-http",
    ),
    (
        "http://prometheus.monitoring.svc:9090",
        "http://prometheus:9090/api/v1/query",
        "server-address/api-path",
    ),
    (
        "http://prometheus.monitoring.svc:9090",
        "http://prometheus:9090?dedup=true",
        "server-address/query-string",
    ),
    (
        "name: email}",
        "name: a-name-that-is-far-too-long-for-the-hpa-that-keda-makes-of}",
        "name/too-long",
    ),
    (
        "scaleTargetRef: {name: email-worker}",
        "scaleTargetRef: {name: email-worker}\n  cooldownperiod: 5",
        "manifest/unknown-field",
    ),
    (
        "scaleTargetRef: {name: email-worker}",
        "scaleTargetRef: {name: email-worker}\n  behavior: {}",
        "behavior/misplaced",
    ),
    (
        "scaleTargetRef: {name: email-worker}",
        "scaleTargetRef: {name: email-worker}\n  formula: a",
        "manifest/unknown-field",
    ),
    (
        "keda.sh/v1alpha1",
        "keda.sh/v1",
        "manifest/api-version-unknown",
    ),
];

#[test]
fn what_is_wrong_is_told_by_its_rule() {
    for (what, with, expected) in WRONG.iter().copied() {
        let text = SCALED_OBJECT.replace(what, with);
        assert_ne!(text, SCALED_OBJECT, "{what}");
        assert!(
            rules(&text).contains(&expected),
            "{with}: {:?}",
            rules(&text)
        );
    }
}

#[test]
fn a_field_in_the_wrong_place_is_sent_to_the_right_one() {
    for (field, expected) in [
        (
            "scalingModifiers: {}",
            "it belongs to `spec.advanced.scalingModifiers`: check the indentation",
        ),
        (
            "stabilizationWindowSeconds: 5",
            "it belongs to `spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.stabilizationWindowSeconds`: check the indentation",
        ),
        ("maxReplicas: 5", "did you mean `maxReplicaCount`?"),
        (
            "threshold: 5",
            "`spec` takes `advanced`, `cooldownPeriod`, `fallback`, `idleReplicaCount`, `initialCooldownPeriod`, `maxReplicaCount`, `minReplicaCount`, `pollingInterval`, `scaleTargetRef`, `triggers`",
        ),
    ] {
        let text = SCALED_OBJECT.replace(
            "  minReplicaCount: 1\n",
            &format!("  minReplicaCount: 1\n  {field}\n"),
        );
        let report = linted(&text);
        let help: Vec<&str> = report
            .problems
            .iter()
            .map(|problem| problem.help.as_str())
            .collect();
        assert_eq!(help, [expected], "{field}");
    }
}

#[test]
fn merged_keys_count_as_written() {
    let text = SCALED_OBJECT.replace(
        "  minReplicaCount: 1\n  maxReplicaCount: 20\n",
        "  <<: &bounds {minReplicaCount: 1, maxReplicaCount: 20}\n",
    );
    assert_eq!(rules(&text), Vec::<&str>::new());
    let text = text.replace("maxReplicaCount: 20", "maxReplicaCont: 20");
    assert_eq!(
        rules(&text),
        ["replicas/max-unset", "manifest/unknown-field"]
    );
}

#[test]
fn crlf_and_a_byte_order_mark_change_nothing() {
    let text = format!("\u{feff}{}", SCALED_OBJECT.replace('\n', "\r\n"));
    assert_eq!(rules(&text), Vec::<&str>::new());
    let suppressed = text.replace("  maxReplicaCount: 20\r\n", "").replace(
        "apiVersion",
        "# bullmq-keda: ignore replicas/max-unset a hundred are fine\r\napiVersion",
    );
    let report = linted(&suppressed);
    assert_eq!(report.problems, []);
    assert_eq!(
        report.suppressed.first().unwrap().reason,
        "a hundred are fine"
    );
}

#[test]
fn targeted_versions_decide_what_is_told() {
    let text = SCALED_OBJECT.replace(
        "threshold: \"10\"",
        "threshold: \"10\"\n        timeout: 5s",
    );
    for (args, expected) in [
        (vec!["-", "--keda-version", "2.17"], Outcome::Made),
        (vec!["-", "--keda-version", "v2.16.1"], Outcome::Invalid),
        (vec!["-", "--keda-version", "two"], Outcome::Usage),
        (vec!["-", "--output", "xml"], Outcome::Usage),
        (vec![], Outcome::Usage),
    ] {
        let answer = program(&args, text.as_bytes()).unwrap();
        assert_eq!(answer.outcome, expected, "{args:?} {}", answer.stderr);
    }
}

/// All cases at once: every rule that they break, and every suppression.
fn everything() -> Report {
    let inputs = cases().unwrap_or_default().into_iter().map(|path| {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let bytes = fs::read(&path).unwrap_or_default();
        let input = Input {
            short_name: name.clone(),
            name,
            bytes,
        };
        (input, Origin::Named)
    });
    lint(inputs.collect(), &Options::default())
}

#[test]
fn sarif_is_read_by_a_foreign_reader() {
    let report = everything();
    assert!(report.problems.len() > 40 && !report.suppressed.is_empty());
    let text = report::sarif(&report).unwrap();
    let log: serde_sarif::sarif::Sarif = serde_json::from_str(&text).unwrap();
    let run = log.runs.first().unwrap();
    let results = run.results.as_ref().unwrap();
    assert_eq!(
        results.len(),
        report.problems.len() + report.suppressed.len()
    );
    for result in results {
        let id = result.rule_id.as_deref().unwrap();
        let index = usize::try_from(result.rule_index.unwrap()).unwrap();
        let rules = run.tool.driver.rules.as_ref().unwrap();
        assert_eq!(rules.get(index).unwrap().id, id);
        assert!(Rule::from_id(id).is_some());
    }
    // What the foreign reader writes again is what it read: it knew every field.
    let written: serde_json::Value = serde_json::to_value(&log).unwrap();
    let ours: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(written, ours);
}

#[test]
fn no_format_prints_a_secret() {
    let text = SCALED_OBJECT.replace(
        "        threshold",
        "        customHeaders: \"Authorization=Bearer hunter2, X=a=b\"\n        threshold",
    );
    let text = text.replace("http://prometheus", "http://joe:hunter3@prometheus");
    for format in ["text", "json", "github", "sarif"] {
        let answer = program(&["-", "-o", format], text.as_bytes()).unwrap();
        let all = format!("{}{}", answer.stdout, answer.stderr);
        assert!(all.contains("trigger/secret-in-metadata"), "{all}");
        assert!(!all.contains("hunter"), "{all}");
    }
}

#[test]
fn folders_are_searched_and_what_lies_beside_manifests_is_only_mentioned() {
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("a/b");
    fs::create_dir_all(&inner).unwrap();
    fs::write(inner.join("so.yml"), SCALED_OBJECT).unwrap();
    fs::write(folder.path().join("values.yaml"), "replicaCount: 1\n").unwrap();
    fs::write(folder.path().join("package.json"), "{\"name\": \"x\"}").unwrap();
    fs::write(folder.path().join("README.md"), "no: [yaml").unwrap();
    let path = folder.path().to_str().unwrap();
    let answer = program(&[path], b"").unwrap();
    assert_eq!(answer.outcome, Outcome::Made, "{}", answer.stderr);
    assert_eq!(
        answer
            .stderr
            .matches("info[manifest/not-an-object]")
            .count(),
        2,
        "{}",
        answer.stderr
    );
    let named = folder.path().join("values.yaml");
    let answer = program(&[named.to_str().unwrap()], b"").unwrap();
    assert_eq!(answer.outcome, Outcome::Invalid);
    let empty = tempfile::tempdir().unwrap();
    assert!(program(&[empty.path().to_str().unwrap()], b"").is_err());
    assert!(program(&["no-such-file.yaml"], b"").is_err());
}

#[test]
fn an_empty_input_is_not_fine() {
    for text in [
        "",
        "\n# nothing\n---\n",
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n",
    ] {
        let answer = program(&["-"], text.as_bytes()).unwrap();
        assert_eq!(answer.outcome, Outcome::Invalid, "{text:?}");
        assert!(
            answer.stderr.contains("warning[manifest/nothing-to-check]"),
            "{}",
            answer.stderr
        );
    }
}

#[test]
fn a_rule_file_is_passed_over_and_told_who_checks_it() {
    let rules = b"groups:\n- name: a\n  rules: []\n";
    let answer = program(&["-"], rules).unwrap();
    assert_eq!(answer.outcome, Outcome::Made, "{}", answer.stderr);
    assert!(
        answer.stderr.contains("info[manifest/not-an-object]")
            && answer
                .stderr
                .contains("which `promtool check rules FILE` checks"),
        "{}",
        answer.stderr
    );
}

#[test]
fn manifests_in_json_and_in_lists_are_checked_too() {
    let json = r#"{"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "keda.sh/v1alpha1", "kind": "ScaledObject", "metadata": {"name": "a"},
         "spec": {"scaleTargetRef": {"name": "a"}, "triggers": [{"type": "cpu", "metadata": {"value": 50}}], "minReplicaCont": 1}}]}"#;
    let report = linted(json);
    let rules: Vec<&str> = report
        .problems
        .iter()
        .map(|problem| problem.rule.id())
        .collect();
    assert!(rules.contains(&"manifest/unknown-field"), "{rules:?}");
    assert!(rules.contains(&"trigger/metadata-not-text"), "{rules:?}");
    assert_eq!(report.checked.len(), 1);
}

#[test]
fn kinds_of_other_groups_are_not_ours_to_judge() {
    let text = "apiVersion: apps.openshift.io/v1\nkind: Deployment\nmetadata: {name: a}\nspec: {nonsense: 1}\n";
    let rules: Vec<Rule> = linted(text)
        .problems
        .iter()
        .map(|problem| problem.rule)
        .collect();
    assert_eq!(rules, [Rule::ManifestNothingToCheck]);
}

proptest! {
    #[test]
    fn no_text_brings_the_linter_down(text in "(?s).{0,200}") {
        let report = linted(&text);
        report::json(&report).unwrap();
        report::sarif(&report).unwrap();
        report::github(&report);
        report::text(&report.problems, &report.sources, "", false);
    }

    /// Parts of manifests, cut and joined at random, reach deeper than random letters.
    #[test]
    fn no_mutilated_manifest_brings_the_linter_down(
        cuts in proptest::collection::vec((0usize..1500, 0usize..1500), 1..4),
        junk in "[\\[\\]{}:,&*!#\"'\\n a-z0-9-]{0,12}",
        case in 0usize..10,
    ) {
        let cases = cases().unwrap();
        let mut text = fs::read_to_string(&cases[case % cases.len()]).unwrap();
        for (at, length) in cuts {
            let at = (0..=at.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            let end = (at..=(at + length % 60).min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap();
            text.replace_range(at..end, &junk);
        }
        let report = linted(&text);
        report::json(&report).unwrap();
        report::sarif(&report).unwrap();
        report::text(&report.problems, &report.sources, "", false);
    }
}

//! `bullmq-keda explain` as its user meets it: every example's page word for word, JSON as programs read it, and what is wrong.
//!
//! After a change of wording, `UPDATE_EXPECTED=1 cargo test -p bullmq-keda --test explain` writes the pages anew.

mod program;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs};

use program::{program, text};
use serde_json::Value;

const GOOD: &str = "\
apiVersion: bullmq-keda/v1
prometheus: {serverAddress: http://prometheus:9090}
workers:
  - {name: email, queues: [email], concurrency: 10, replicas: {min: 0, max: 5}}
  - {name: sms, queues: [sms], concurrency: 10, replicas: {min: 1, max: 5}}
";

fn example(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("../examples").join(name)
}

/// One of a thing is said as people say it, in every form that a worker has.
#[test]
fn what_there_is_one_of_is_singular() {
    let workers = [
        "concurrency: 1, replicas: {min: 1, max: 1}",
        "concurrency: 1, replicas: {min: 0, max: 1}, onMetricsLoss: {replicas: 1}",
        "concurrency: 1, replicas: {min: 0, max: 1}, scale: {startWithin: 1m}, utilization: 100%, job: {mean: 1s}",
        "concurrency: 1, replicas: {min: 0, max: 2}, rateLimit: 60/1m, job: {mean: 1s}",
        "replicas: {min: 0, max: 1}, scale: {jobsPerReplica: 1}",
    ];
    let workers: Vec<String> = (0..)
        .zip(workers)
        .map(|(number, fields)| format!("  - {{name: w{number}, queues: [email], {fields}}}\n"))
        .collect();
    let workers = workers.concat();
    let spec = format!(
        "apiVersion: bullmq-keda/v1\nprometheus: {{serverAddress: http://prometheus:9090}}\nworkers:\n{workers}"
    );
    let output = program("explain", &["-"], &spec, "C.UTF-8").unwrap();
    let page = text(&output.stdout).replace('\n', " ");
    let page = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "Keeps the Deployment w0 at 1 replica: one for every job that is ready or running in email.",
        "Scales the Deployment w1 from 0 to 1 replica: one for every job that is ready or running in email.",
        "fallback: 1 replica, or those that are there, after 3 failures",
        "One replica for every slot for the running load and the backlog;",
        "no more than 1 slot, which is rateLimit x job.mean",
        "One replica for every job that is ready or running, as far as the rate allows;",
        "How long it takes The number of replicas is fixed.",
    ] {
        assert!(page.contains(said), "{said}: {page}");
    }
    for line in text(&output.stdout).lines() {
        for number in ["replicas", "jobs", "Jobs", "slots", "failures", "queues"] {
            for before in [" ", "("] {
                assert!(!line.contains(&format!("{before}1 {number} ")), "{line}");
            }
        }
    }
}

#[test]
fn every_example_is_explained_word_for_word() {
    for name in [
        "authentication",
        "first-queue",
        "long-jobs",
        "n8n-queue-mode",
        "scheduled-to-zero",
        "several-queues",
        "several-servers",
        "start-within",
        "two-exporters",
        "versions",
    ] {
        let spec = example(name).join("spec.yaml");
        let output = program("explain", &[&spec], "", "C.UTF-8").unwrap();
        assert_eq!(text(&output.stderr), "", "{name}");
        assert_eq!(output.status.code(), Some(0));
        let page = example(name).join("explain.txt");
        if env::var_os("UPDATE_EXPECTED").is_some() {
            fs::write(&page, &output.stdout).unwrap();
        }
        assert_eq!(
            text(&output.stdout),
            fs::read_to_string(page).unwrap(),
            "{name}"
        );
    }
}

#[test]
fn the_readme_shows_what_its_spec_is_explained_as() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let readme = fs::read_to_string(root.join("README.md")).unwrap();
    let block = |beginning: &str| {
        let blocks = readme
            .split("```")
            .map(|block| block.trim_start_matches("yaml"));
        let mut blocks = blocks.map(|block| block.trim_start_matches('\n'));
        blocks.find(|block| block.starts_with(beginning)).unwrap()
    };
    let output = program(
        "explain",
        &["-"],
        block("apiVersion: bullmq-keda/v1"),
        "C.UTF-8",
    )
    .unwrap();
    let page = text(&output.stdout);
    assert!(page.contains(block("A burst of")), "{page}");
}

#[test]
fn in_a_locale_without_utf_8_the_page_is_ascii() {
    let output = program("explain", &["-"], GOOD, "C").unwrap();
    let page = text(&output.stdout);
    assert!(page.is_ascii(), "{page}");
    assert!(page.contains("     0s         1  ######"), "{page}");
}

#[test]
fn what_goes_to_another_program_has_no_colours() {
    let output = program("explain", &["-"], GOOD, "C.UTF-8").unwrap();
    assert!(!text(&output.stdout).contains('\u{1b}'));
}

#[test]
fn one_worker_of_several_is_chosen_by_its_name() {
    let page = text(
        &program("explain", &["-", "--worker", "sms"], GOOD, "C")
            .unwrap()
            .stdout,
    );
    assert!(page.starts_with("== sms ==="), "{page}");
    assert!(!page.contains("== email ==="), "{page}");
}

#[test]
fn json_has_the_same_numbers_under_stable_names() {
    let output = program(
        "explain",
        &["-", "--output", "json", "--worker", "email"],
        GOOD,
        "C",
    )
    .unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&json), ["workers"]);
    let worker = json.pointer("/workers/0").unwrap();
    let documented =
        fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("EXPLAIN.md")).unwrap();
    let mut names = keys(worker);
    for list in [
        "triggers",
        "backlog",
        "timelines",
        "reactions",
        "failures",
        "choices",
    ] {
        names.extend(keys(worker.pointer(&format!("/{list}/0")).unwrap()));
    }
    names.extend(keys(worker.pointer("/hpa").unwrap()));
    names.extend(keys(worker.pointer("/hpa/metrics/0").unwrap()));
    names.extend(keys(worker.pointer("/triggers/0/terms/0").unwrap()));
    names.extend(keys(worker.pointer("/timelines/0/moments/0").unwrap()));
    for name in names {
        assert!(
            documented.contains(&format!("`{name}`")),
            "EXPLAIN.md does not name {name}"
        );
    }
    for (path, expected) in [
        ("/worker", Value::from("email")),
        ("/namespace", Value::Null),
        ("/target", Value::from("Deployment/email")),
        ("/hpa/name", Value::from("keda-hpa-email")),
        ("/hpa/minReplicas", Value::from(1)),
        ("/hpa/maxReplicas", Value::from(5)),
        ("/hpa/metrics/0/name", Value::from("s0-prometheus")),
        ("/backlog/3/jobs", Value::from(11)),
        ("/backlog/3/replicas", Value::from(2)),
        ("/backlog/3/nearEnough", serde_json::json!([1, 2])),
        ("/timelines/0/name", Value::from("burst")),
        ("/timelines/0/moments/1/seconds", Value::from(15)),
        ("/timelines/0/moments/1/replicas", Value::from(5)),
        ("/reactions/0/worstSeconds", Value::from(31.0)),
    ] {
        assert_eq!(worker.pointer(path), Some(&expected), "{path}");
    }
}

#[test]
fn a_wrong_spec_has_the_problems_that_generate_tells_and_no_page() {
    let spec = GOOD.replace("max: 5", "max: -5");
    let output = program("explain", &["-"], &spec, "C").unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(text(&output.stdout), "");
    let told = text(&output.stderr);
    let last = "error: 2 problems in 1 input; nothing was explained\n";
    assert!(told.ends_with(last), "{told}");
    let generated = Command::new(env!("CARGO_BIN_EXE_bullmq-keda"))
        .args(["generate", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .and_then(|mut child| {
            if let Some(mut input) = child.stdin.take() {
                input.write_all(spec.as_bytes())?;
            }
            child.wait_with_output()
        })
        .unwrap();
    let frames = |told: &str| {
        let frames = told.rsplit_once("\n\n").map(|(frames, _)| frames);
        frames.unwrap_or_default().replace("<stdin>", "/dev/stdin")
    };
    assert_eq!(frames(&told), frames(&text(&generated.stderr)));
}

#[test]
fn a_name_that_is_not_there_is_wrong_usage_and_the_one_that_was_meant_is_told() {
    for (args, told) in [
        (
            &["-", "--worker", "emial"][..],
            "error: there is no worker `emial`; did you mean `email`?\n",
        ),
        (
            &["-", "--worker", "x"],
            "error: there is no worker `x`; there is `email`, `sms`\n",
        ),
        (
            &["--rule", "max-below-min"],
            "error: there is no rule `max-below-min`; did you mean `replicas/max-below-min`?\n",
        ),
        (
            &["--rule", "replicas/max-bellow-min"],
            "error: there is no rule `replicas/max-bellow-min`; did you mean `replicas/max-below-min`?\n",
        ),
        (
            &["--rule", "x"],
            "error: there is no rule `x`; `bullmq-keda explain --rules` lists them\n",
        ),
    ] {
        let output = program("explain", args, GOOD, "C").unwrap();
        assert_eq!(text(&output.stderr), told);
        assert_eq!(output.status.code(), Some(2));
        assert_eq!(text(&output.stdout), "");
    }
}

#[test]
fn every_rule_that_is_listed_can_be_explained() {
    let rules = text(&program("explain", &["--rules"], "", "C").unwrap().stdout);
    assert!(rules.lines().count() > 40, "{rules}");
    for rule in rules.lines() {
        let output = program("explain", &["--rule", rule], "", "C").unwrap();
        assert_eq!(output.status.code(), Some(0), "{rule}");
        let page = text(&output.stdout);
        assert!(page.contains(rule) && page.lines().count() > 2, "{page}");
    }
}

#[test]
fn without_anything_to_explain_the_usage_is_told() {
    let output = program::<&str>("explain", &[], "", "C").unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("bullmq-keda explain <SPEC>..."));
}

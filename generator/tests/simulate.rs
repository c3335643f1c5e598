//! `bullmq-keda simulate` as its user meets it: the pages of examples and README word for word, JSON as programs read it, and what is wrong.
//!
//! After a change of wording, `UPDATE_EXPECTED=1 cargo test -p bullmq-keda --test simulate` writes the pages of the examples anew.

mod program;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::{env, fs};

use program::{program, text};
use serde_json::Value;

const GOOD: &str = "\
apiVersion: bullmq-keda/v1
prometheus: {serverAddress: http://prometheus:9090}
workers:
  - {name: email, queues: [email], concurrency: 10, replicas: {min: 0, max: 5}}
  - {name: sms, queues: [sms], replicas: {min: 1, max: 1}, scale: {jobsPerReplica: 3}, job: {mean: 4s}, startup: 10s}
";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The words of a command line in a text, each without its quotes.
fn words(command: &str) -> Vec<String> {
    command
        .split_whitespace()
        .map(|word| word.trim_matches('\'').to_owned())
        .collect()
}

#[test]
fn the_examples_and_the_readme_show_what_their_commands_print() {
    for (page, folder, result) in [
        ("README.md", "", None),
        (
            "examples/start-within/README.md",
            "examples/start-within",
            Some("simulate.txt"),
        ),
        (
            "examples/scheduled-to-zero/README.md",
            "examples/scheduled-to-zero",
            Some("simulate.txt"),
        ),
    ] {
        let readme = fs::read_to_string(root().join(page)).unwrap();
        let begin = readme.find("bullmq-keda simulate spec.yaml").unwrap();
        let command = readme
            .get(begin..)
            .unwrap()
            .split(['`', '\n'])
            .next()
            .unwrap();
        let mut args = words(command);
        args.drain(..2);
        let spec = if folder.is_empty() {
            *args.first_mut().unwrap() = "-".to_owned();
            let begin = readme.find("apiVersion: bullmq-keda/v1").unwrap();
            readme
                .get(begin..)
                .unwrap()
                .split("```")
                .next()
                .unwrap()
                .to_owned()
        } else {
            *args.first_mut().unwrap() = root()
                .join(folder)
                .join("spec.yaml")
                .to_string_lossy()
                .into_owned();
            String::new()
        };
        let output = program("simulate", &args, &spec, "C.UTF-8").unwrap();
        assert_eq!(
            output.status.code(),
            Some(0),
            "{page}: {}",
            text(&output.stderr)
        );
        let printed = text(&output.stdout);
        if let Some(result) = result {
            let path = root().join(folder).join(result);
            if env::var_os("UPDATE_EXPECTED").is_some() {
                fs::write(&path, &printed).unwrap();
            }
            assert_eq!(printed, fs::read_to_string(path).unwrap(), "{page}");
        } else {
            let shown = readme.get(begin..).unwrap().split("```").nth(2).unwrap();
            assert!(
                printed.contains(shown.trim_start_matches('\n')),
                "{printed}"
            );
        }
    }
}

#[test]
fn the_same_seed_prints_the_same_bytes_and_another_one_others() {
    let run = |seed| {
        let args = [
            "-",
            "--worker",
            "email",
            "--load",
            "steady=1/1s",
            "--for",
            "1h",
            "--seed",
            seed,
        ];
        text(&program("simulate", &args, GOOD, "C").unwrap().stdout)
            .replace(&format!("Seed {seed}."), "")
    };
    assert_eq!(run("1"), run("1"));
    assert_ne!(run("1"), run("2"));
}

#[test]
fn what_nobody_told_is_said_to_be_assumed_and_ascii_is_enough() {
    let args = ["-", "--load", "steady=1/1m", "--for", "10m"];
    let output = program("simulate", &args, GOOD, "C").unwrap();
    let page = text(&output.stdout);
    assert!(page.is_ascii(), "{page}");
    let said = page.split_whitespace().collect::<Vec<_>>().join(" ");
    for expected in [
        "== email under steady=1/1m ==",
        "A job runs for 1s on average. Seed 1. The spec does not tell `job.mean`, `startup`: they are assumed.",
        "10m: 1 replica, each with 1 slot, ready after 10s, killed 30s after it was told to end. A job runs for 4s on average.",
        "The spec does not tell `concurrency`: it is assumed.",
        "jobsPerReplica 3 (spec)",
    ] {
        assert!(said.contains(expected), "{expected}: {page}");
    }
    for line in page.lines() {
        assert_eq!(line, line.trim_end());
    }
}

#[test]
fn loads_of_our_own_fit_every_worker_from_the_smallest_to_the_largest() {
    for (fields, shares) in [
        (
            "concurrency: 1, replicas: {min: 0, max: 1}, job: {mean: 6h}",
            4,
        ),
        (
            "concurrency: 300, replicas: {min: 0, max: 2000}, job: {mean: 5ms}",
            4,
        ),
    ] {
        let spec = format!(
            "apiVersion: bullmq-keda/v1\nprometheus: {{serverAddress: http://p:9090}}\nworkers: [{{name: w, queues: [a], {fields}}}]\n"
        );
        let output = program(
            "simulate",
            &["-", "--output", "json", "--for", "10m"],
            &spec,
            "C",
        )
        .unwrap();
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        let simulations = json
            .pointer("/simulations")
            .and_then(Value::as_array)
            .unwrap();
        assert_eq!(simulations.len(), shares, "{fields}");
    }
}

/// What a user would take for a hang, for no jobs at all, or for a crash.
#[test]
fn jobs_that_nobody_moves_neither_hang_it_nor_pass_for_none() {
    let spec = "apiVersion: bullmq-keda/v1\nprometheus: {serverAddress: http://p:9090}\n\
        workers: [{name: w, queues: [a], concurrency: 1000000, replicas: {min: 0, max: 100000}, scale: {startWithin: 1d}, job: {mean: 1s}, rateLimit: 2/1s}]\n";
    let args = [
        "-",
        "--output",
        "json",
        "--load",
        "steady=4/1s,delay=10m",
        "--for",
        "3h",
    ];
    let output = program("simulate", &args, spec, "C").unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let outcomes = json
        .pointer("/simulations/0/outcomes")
        .and_then(Value::as_array)
        .unwrap();
    let of = |name: &str, field: &str| {
        let named = |outcome: &&Value| outcome.get("name").and_then(Value::as_str) == Some(name);
        outcomes
            .iter()
            .find(named)
            .unwrap()
            .get(field)
            .cloned()
            .unwrap()
    };
    assert_eq!(of("redis list of 5", "jobs"), 0);
    assert_eq!(of("redis list of 5", "inTimePercent"), Value::Null);
    assert!(of("redis list of 5", "stranded").as_u64() > Some(40_000));
    // Two jobs a second, and no more, however many replicas.
    let started = of("always 100000", "jobs").as_u64().unwrap();
    assert!((20_000..=21_700).contains(&started), "{started}");
    for name in ["replicas", "demand"] {
        assert_eq!(of("always 100000", name).as_array().unwrap().len(), 240);
    }
}

#[test]
fn json_has_the_documented_names() {
    let args = [
        "-",
        "--output",
        "json",
        "--worker",
        "sms",
        "--load",
        "steady=1/1m",
        "--for",
        "1h",
    ];
    let output = program("simulate", &args, GOOD, "C").unwrap();
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    let keys =
        |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
    assert_eq!(keys(&json), ["simulations"]);
    let documented = fs::read_to_string(root().join("generator/SIMULATE.md")).unwrap();
    for path in ["", "/assumptions", "/outcomes/0"] {
        for name in keys(json.pointer(&format!("/simulations/0{path}")).unwrap()) {
            assert!(
                documented.contains(&format!("`{name}`")),
                "SIMULATE.md does not name {name}"
            );
        }
    }
    for (path, expected) in [
        ("/worker", Value::from("sms")),
        ("/load", Value::from("steady=1/1m")),
        ("/seconds", Value::from(3600)),
        ("/assumptions/untold", Value::from(vec!["concurrency"])),
        ("/outcomes/0/ofSpec", Value::from(true)),
        ("/outcomes/0/replicaHours", Value::from(1.0)),
        ("/outcomes/0/stranded", Value::from(0)),
    ] {
        assert_eq!(
            json.pointer(&format!("/simulations/0{path}")),
            Some(&expected),
            "{path}"
        );
    }
}

#[test]
fn what_is_wrong_says_what_to_write_and_prints_nothing() {
    for (args, code, expected) in [
        (
            &["-", "--load", "stead=1/s"][..],
            2,
            "there is no pattern `stead`; did you mean `steady`?",
        ),
        (
            &["-", "--load", "steady=1000000/1s"],
            2,
            "a shorter time (`--for`) or a smaller load shows as much",
        ),
        (&["-", "--for", "5m"], 2, "write a time from 10m to 31d"),
        (
            &["-", "--for", "6"],
            2,
            "write a number with a unit, such as `6h`",
        ),
        (&["-", "--within", "0s"], 2, "write a time from 1ms to 24h"),
        (&["-", "--worker", "emial"], 2, "did you mean `email`?"),
        (
            &["-", "--history", "1d", "--load", "steady=1/s"],
            2,
            "cannot be used with",
        ),
        (&["-", "--history", "1m"], 2, "write a time from 1h to 31d"),
        (
            &["-", "--history", "1d", "--prometheus", "prometheus:9090"],
            2,
            "--prometheus takes another address",
        ),
        (&["missing.yaml"], 2, "missing.yaml"),
    ] {
        let output = program("simulate", args, GOOD, "C").unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}");
        assert_eq!(text(&output.stdout), "", "{args:?}");
        let said = text(&output.stderr);
        assert!(said.contains(expected), "{args:?}: {said}");
    }
    let wrong = GOOD.replace("max: 5", "max: none");
    let output = program("simulate", &["-"], &wrong, "C").unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        text(&output.stderr).contains("nothing was simulated"),
        "{}",
        text(&output.stderr)
    );
}

#[test]
fn a_worker_of_jobs_is_left_out_with_a_note_and_alone_it_is_an_error() {
    let spec = root().join("examples/long-jobs/spec.yaml");
    let load = ["--load", "steady=1/1m", "--for", "10m"].map(OsStr::new);
    let output = program(
        "simulate",
        &[&[spec.as_os_str()][..], &load].concat(),
        "",
        "C",
    )
    .unwrap();
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(
        said.contains("error: the replicas of `render` are Jobs"),
        "{said}"
    );
    let args = [&[spec.as_os_str(), OsStr::new("-")][..], &load].concat();
    let output = program("simulate", &args, GOOD, "C").unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(text(&output.stderr).contains("note: the replicas of `render` are Jobs"));
    assert!(text(&output.stdout).starts_with("== email under"));
}

//! One bad spec for each rule, and exactly what is said of it.
//!
//! `tests/problems/<rule>.yaml` is the spec, `<rule>.stderr` what the program prints, the rule's id with `_` for `/` and `-`.
//! `UPDATE_EXPECTED=1 cargo test -p bullmq-keda` writes what the program prints now; read the difference before you keep it.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{fs, io};

use bullmq_keda::cli::{Outcome, Streams, run};
use bullmq_keda::page::Screen;
use bullmq_keda::rule::Rule;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/problems")
}

fn stem(rule: Rule) -> String {
    rule.id().replace(['/', '-'], "_")
}

fn cases() -> io::Result<BTreeSet<String>> {
    let mut stems = BTreeSet::new();
    for entry in fs::read_dir(folder())? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("yaml")) {
            stems.extend(
                path.file_stem()
                    .map(|stem| stem.to_string_lossy().into_owned()),
            );
        }
    }
    Ok(stems)
}

/// Runs one bad spec through stdin, so that no path of a machine stands in what is printed.
fn told(stem: &str) -> anyhow::Result<(Outcome, String, String)> {
    let spec = fs::read(folder().join(format!("{stem}.yaml")))?;
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let mut streams = Streams {
        stdin: &mut spec.as_slice(),
        stdout: &mut stdout,
        stderr: &mut stderr,
        colour: false,
        screen: Screen::PLAIN,
    };
    let mut line = vec!["bullmq-keda", "generate", "-"];
    // What a form of output cannot take is wrong in that form only.
    if stem.starts_with("helm_values_") {
        line.extend(["--format", "helm-values"]);
    }
    let outcome = run(line.into_iter().map(OsString::from), &mut streams)?;
    Ok((
        outcome,
        String::from_utf8(stdout)?,
        String::from_utf8(stderr)?,
    ))
}

#[test]
fn every_rule_has_a_bad_spec() {
    let cases = cases().unwrap();
    for rule in Rule::OF_SPECS {
        assert!(cases.contains(&stem(*rule)), "no case for {}", rule.id());
    }
}

#[test]
fn every_bad_spec_is_told_exactly() {
    let update = std::env::var_os("UPDATE_EXPECTED").is_some();
    for case in cases().unwrap() {
        let (outcome, stdout, stderr) = told(&case).unwrap();
        assert_eq!(outcome, Outcome::Invalid, "{case}");
        assert_eq!(stdout, "", "{case}");
        let expected = folder().join(format!("{case}.stderr"));
        if update {
            fs::write(expected, stderr).unwrap();
        } else {
            assert_eq!(stderr, fs::read_to_string(expected).unwrap(), "{case}");
        }
    }
}

#[test]
fn a_bad_spec_shows_its_own_rule_and_no_other() {
    for rule in Rule::OF_SPECS {
        let (_, _, stderr) = told(&stem(*rule)).unwrap();
        let ids: BTreeSet<&str> = stderr
            .lines()
            .filter_map(|line| line.strip_prefix("error[")?.split_once(']'))
            .map(|(id, _)| id)
            .collect();
        assert_eq!(ids, BTreeSet::from([rule.id()]));
    }
}

#[test]
fn every_rule_has_an_anchor_in_the_manual() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("SPEC.md");
    let manual = fs::read_to_string(manual).unwrap();
    for rule in Rule::OF_SPECS {
        let anchor = format!("<a id=\"{}\"></a>", rule.id());
        assert!(manual.contains(&anchor), "no {anchor}");
    }
}

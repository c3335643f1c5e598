//! The pages of the rules: their examples are the tests of the linter, and the index of them is true.
//!
//! Every bad example breaks the rule of its page, and no other at that severity or above; every good one breaks none from warning up.
//! Rules of specs are held to their pages by `generate`.
//! `UPDATE_EXPECTED=1 cargo test -p bullmq-keda --test rule_pages` writes the index anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use bullmq_keda::lint::{Options, Origin, Report, Version, lint};
use bullmq_keda::output::Passage;
use bullmq_keda::rule::{Rule, Severity};
use bullmq_keda::{Error, Input, Request};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/rules")
}

/// The example under a heading of a page.
fn example(page: &'static str, heading: &str) -> Option<&'static str> {
    let (_, rest) = page.split_once(&format!("\n## {heading}\n\n```yaml\n"))?;
    Some(rest.split_once("```\n")?.0)
}

/// What the examples of a rule are linted for: its own page says so where it is not the default.
fn options(rule: Rule) -> Options {
    let mut options = Options::default();
    if matches!(
        rule,
        Rule::FallbackBehaviorUnsupported | Rule::VersionKedaTooOld
    ) {
        options.keda = Version::new(2, 16, 0);
    }
    if rule == Rule::VersionKubernetesTooOld {
        options.kubernetes = Some(Version::new(1, 32, 0));
    }
    options
}

fn linted(text: &str, rule: Rule) -> Report {
    let name = "example.yaml".to_owned();
    let input = Input {
        short_name: name.clone(),
        name,
        bytes: text.as_bytes().to_vec(),
    };
    lint(vec![(input, Origin::Named)], &options(rule))
}

/// Rules that the bad example of another cannot but break as well, because one fault causes both.
fn with(rule: Rule) -> Option<Rule> {
    (rule == Rule::FallbackNeverUsed).then_some(Rule::QueryNullIsZero)
}

fn ids(report: &Report, least: Severity) -> BTreeSet<&'static str> {
    let found = report.problems.iter();
    found
        .filter(|problem| problem.severity >= least)
        .map(|problem| problem.rule.id())
        .collect()
}

#[test]
fn every_bad_example_breaks_the_rule_of_its_page_and_no_other() {
    for rule in Rule::OF_MANIFESTS.iter().copied() {
        let bad = example(rule.page(), "Bad").unwrap_or_else(|| panic!("{rule}: no bad example"));
        let report = linted(bad, rule);
        let least = rule.severity().min(Severity::Warning);
        assert_eq!(
            ids(&report, least),
            [rule].into_iter().chain(with(rule)).map(Rule::id).collect(),
            "{rule}: {:#?}",
            report.problems
        );
    }
}

#[test]
fn no_good_example_breaks_any_rule() {
    for rule in Rule::OF_MANIFESTS.iter().copied() {
        let good =
            example(rule.page(), "Good").unwrap_or_else(|| panic!("{rule}: no good example"));
        let report = linted(good, rule);
        let least = rule.severity().min(Severity::Warning);
        assert_eq!(
            ids(&report, least),
            BTreeSet::new(),
            "{rule}: {:#?}",
            report.problems
        );
        assert!(
            !report.checked.is_empty(),
            "{rule}: nothing in it was checked"
        );
    }
}

/// Whether the bad spec of a rule cannot stand in a page of Markdown: it is not text, it would fill the page, or it needs a second file,
/// the template of a Job. It is in `tests/problems/`.
fn is_told_in_words(rule: Rule) -> bool {
    matches!(
        rule.id(),
        "yaml/not-utf8" | "query/too-long" | "on-metrics-loss/job"
    ) || needs_a_file(rule)
}

/// Whether the good spec of a rule needs a second file as well.
fn needs_a_file(rule: Rule) -> bool {
    rule.id().starts_with("template/")
}

/// The rules that a spec breaks.
fn broken(spec: &str) -> BTreeSet<&'static str> {
    let input = Input {
        name: "spec.yaml".to_owned(),
        short_name: "spec.yaml".to_owned(),
        bytes: spec.as_bytes().to_vec(),
    };
    let request = Request {
        passage: Some(Passage::Unknown),
        ..Request::default()
    };
    match bullmq_keda::compile(vec![input], &request) {
        Ok(_) => BTreeSet::new(),
        Err(Error::Invalid { problems, .. }) => {
            problems.iter().map(|problem| problem.rule.id()).collect()
        }
        Err(Error::Output(_)) => BTreeSet::from(["an error of output"]),
    }
}

#[test]
fn every_bad_spec_breaks_the_rule_of_its_page_and_no_other() {
    for rule in Rule::OF_SPECS.iter().copied() {
        let bad = example(rule.page(), "Bad");
        if is_told_in_words(rule) {
            assert_eq!(bad, None, "{rule}");
            assert!(rule.page().contains("\n## Bad\n"), "{rule}");
        } else {
            let bad = bad.unwrap_or_else(|| panic!("{rule}: no bad example"));
            assert_eq!(broken(bad), BTreeSet::from([rule.id()]), "{rule}");
        }
    }
}

#[test]
fn every_good_spec_is_generated_and_has_no_finding() {
    let rules = Rule::OF_SPECS.iter().copied();
    for rule in rules.filter(|rule| !needs_a_file(*rule)) {
        let good =
            example(rule.page(), "Good").unwrap_or_else(|| panic!("{rule}: no good example"));
        assert_eq!(broken(good), BTreeSet::new(), "{rule}");
        let report = linted(good, rule);
        assert_eq!(
            ids(&report, Severity::Warning),
            BTreeSet::new(),
            "{rule}: {:#?}",
            report.problems
        );
    }
}

#[test]
fn every_page_begins_with_its_id_and_its_severity() {
    for rule in Rule::all() {
        let severity = match rule.severity() {
            Severity::Error => "Error",
            Severity::Warning => "Warning",
            Severity::Info => "Info",
        };
        let beginning = format!("# {rule}\n\n{severity}: {}\n", rule.summary());
        assert!(rule.page().starts_with(&beginning), "{rule}");
        assert!(!rule.page().contains("TODO"), "{rule}");
    }
}

#[test]
fn every_page_belongs_to_a_rule() {
    let known: BTreeSet<PathBuf> = Rule::all()
        .map(|rule| folder().join(format!("{rule}.md")))
        .collect();
    for family in fs::read_dir(folder()).unwrap() {
        let family = family.unwrap().path();
        if !family.is_dir() {
            continue;
        }
        for page in fs::read_dir(family).unwrap() {
            let page = page.unwrap().path();
            assert!(known.contains(&page), "{}", page.display());
        }
    }
}

const BEGIN: &str = "<!-- rules: begin -->\n";
const END: &str = "<!-- rules: end -->\n";

#[test]
fn the_index_lists_every_rule() {
    let path = folder().join("README.md");
    let readme = fs::read_to_string(&path).unwrap();
    let (before, rest) = readme.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let mut table = String::from("| rule | severity | about |\n|---|---|---|\n");
    for rule in Rule::all() {
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "| [{rule}]({rule}.md) | {} | {} |",
            rule.severity().as_str(),
            rule.summary()
        );
    }
    let expected = format!("{before}{BEGIN}{table}{END}{after}");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        fs::write(path, expected).unwrap();
    } else {
        assert!(
            readme == expected,
            "the index is old: UPDATE_EXPECTED=1 writes it anew"
        );
    }
}

#[test]
fn every_rule_is_found_by_its_id() {
    for rule in Rule::all() {
        assert_eq!(Rule::from_id(rule.id()), Some(rule));
    }
    assert_eq!(Rule::from_id("no/such-rule"), None);
}

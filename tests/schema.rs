//! The JSON Schema of a spec, judged by a validator that is not ours: every example is right by it, every bad spec whose fault one
//! field shows is wrong by it, and what it takes without a word is known by name.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use acceptance::{ours, repository};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// Bad specs whose fault no schema can see: it lies between fields or files, in the order of a list, in what the rest of the world does, or
/// in the text before it is a tree.
const NOT_IN_A_FIELD: [&str; 47] = [
    "annotations_invalid",
    "authentication_ca_alone",
    "authentication_modes",
    "authentication_one_way",
    "authentication_reference",
    "duration_too_long",
    "duration_too_short",
    "headers_invalid",
    "headers_secret",
    "helm_values_template",
    "helm_values_unprintable",
    "horizons_not_rising",
    "idle_after_too_short",
    "job_longest_below_mean",
    "labels_invalid",
    "matchers_label_name",
    "matchers_reserved_label",
    "name_duplicate",
    "name_too_long",
    "on_metrics_loss_job",
    "on_metrics_loss_replicas",
    "overrides_of_the_spec",
    "overrides_unknown_field",
    "overrides_unsafe",
    "overrides_wrong_type",
    "query_parameters_invalid",
    "query_too_long",
    "queues_all_optional",
    "queues_duplicate",
    "rate_limit_jobs_per_replica",
    "replicas_max_below_min",
    "scrape_interval_too_long",
    "server_address_api_path",
    "startup_beyond_horizons",
    "target_api_version_missing",
    "target_duplicate",
    "target_field_unused",
    "target_kind_invalid",
    "template_ambiguous_value",
    "template_not_a_job",
    "template_not_found",
    "template_restart_policy",
    "text_nul",
    "utilization_range",
    "version_lacks_feature",
    "version_too_old",
    "yaml_tag",
];

/// What ajv says of each document: nothing if it takes it.
fn judged(schema: &Value, documents: &[Value]) -> Result<Vec<Option<String>>> {
    let mut child = Command::new("node")
        .arg("validate.mjs")
        .current_dir(repository().join("tests/bullmq"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("node could not be started; `make tools` installs what is missing")?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    let asked = json!({"schema": schema, "documents": documents});
    stdin.write_all(asked.to_string().as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "ajv failed; `make tools` installs it"
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn printed() -> Result<String> {
    let output = Command::new(ours("bullmq-keda")?).arg("schema").output()?;
    ensure!(output.status.success());
    Ok(String::from_utf8(output.stdout)?)
}

fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[test]
fn the_committed_schema_is_the_printed_one() -> Result<()> {
    let committed = repository().join("generator/spec.schema.json");
    // `make docs` writes it anew.
    assert_eq!(fs::read_to_string(committed)?, printed()?);
    Ok(())
}

#[test]
fn every_example_is_right_by_the_schema_and_names_it() -> Result<()> {
    let schema = serde_json::from_str(&printed()?)?;
    let mut documents = Vec::new();
    for entry in fs::read_dir(repository().join("examples"))? {
        let spec = entry?.path().join("spec.yaml");
        if spec.is_file() {
            let text = fs::read_to_string(&spec)?;
            documents.push((spec, text));
        }
    }
    let manual = fs::read_to_string(repository().join("generator/SPEC.md"))?;
    let (_, complete) = manual.split_once("```yaml\n").context("no example")?;
    let (complete, _) = complete.split_once("```\n").context("no end")?;
    let trees: Vec<Value> = documents
        .iter()
        .map(|(_, text)| text.as_str())
        .chain([complete])
        .map(|text| Ok(serde_saphyr::from_str(text)?))
        .collect::<Result<_>>()?;
    ensure!(trees.len() > 6, "{}", trees.len());
    let said = judged(&schema, &trees)?;
    ensure!(said.iter().all(Option::is_none), "{said:?}");
    for (path, text) in documents {
        let first = text.lines().next().unwrap_or_default();
        let demo = path.ends_with("demo/spec.yaml");
        ensure!(
            demo || first == "# yaml-language-server: $schema=../../generator/spec.schema.json",
            "{}: {first}",
            path.display()
        );
    }
    Ok(())
}

#[test]
fn every_bad_spec_whose_fault_one_field_shows_is_wrong_by_the_schema() -> Result<()> {
    let schema = serde_json::from_str(&printed()?)?;
    let (mut names, mut trees) = (Vec::new(), Vec::new());
    for path in yaml_files(&repository().join("generator/tests/problems"))? {
        let stem = path.file_stem().context("no name")?.to_string_lossy();
        // What is no YAML, or no single document, is no tree to judge.
        let text = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
        if let Ok(tree) = serde_saphyr::from_str::<Value>(&text) {
            names.push(stem.into_owned());
            trees.push(tree);
        }
    }
    ensure!(names.len() > 70, "{}", names.len());
    let said = judged(&schema, &trees)?;
    let taken: BTreeSet<&str> = names
        .iter()
        .zip(&said)
        .filter(|(_, said)| said.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(taken, BTreeSet::from(NOT_IN_A_FIELD));
    Ok(())
}

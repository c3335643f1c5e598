//! Do the manifests for Argo CD and Flux have only what those know, do all examples pass the schemas of what they are for, and does the check in CI notice a
//! manifest that is not the spec's?

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use acceptance::{judge, kubeconform, ours, repository};
use anyhow::{Context as _, Result, ensure};

fn example(name: &str) -> PathBuf {
    repository().join("examples").join(name)
}

#[test]
fn argo_cd_flux_keda_and_kubernetes_know_every_object_and_field() -> Result<()> {
    let mut files = vec![
        example("gitops/argo-cd/applications.yaml"),
        example("gitops/flux/kustomization.yaml"),
        example("gitops/flux/helmrelease.yaml"),
        example("n8n-queue-mode/worker.yaml"),
        example("helm-chart/rendered/default.yaml"),
        example("helm-chart/rendered/production.yaml"),
        example("helm-values/rendered/default.yaml"),
        example("kustomize/rendered/production.yaml"),
    ];
    for entry in fs::read_dir(repository().join("examples"))? {
        let expected = entry?.path().join("expected/scaledobjects.yaml");
        if expected.is_file() {
            files.push(expected);
        }
    }
    ensure!(files.len() >= 17, "{files:?}");
    for file in files {
        let (right, said) = kubeconform(&fs::read_to_string(&file)?)?;
        assert!(right, "{}: {said}", file.display());
    }
    // Each of these schemas can find something.
    for (file, from, to) in [
        (
            "gitops/argo-cd/applications.yaml",
            "syncOptions:",
            "syncOption:",
        ),
        (
            "gitops/argo-cd/applications.yaml",
            "ignoreDifferences:",
            "ignoreDifference:",
        ),
        (
            "gitops/flux/kustomization.yaml",
            "healthCheckExprs:",
            "healthCheckExpr:",
        ),
        (
            "gitops/flux/kustomization.yaml",
            "ref: {branch",
            "ref: {brunch",
        ),
        ("gitops/flux/helmrelease.yaml", "ignore:", "ignored:"),
        (
            "n8n-queue-mode/worker.yaml",
            "terminationGracePeriodSeconds: 330",
            "terminationGracePeriodSeconds: long",
        ),
        (
            "first-queue/expected/scaledobjects.yaml",
            "maxReplicaCount:",
            "maxReplicas:",
        ),
        (
            "long-jobs/expected/scaledobjects.yaml",
            "scalingStrategy:",
            "scalingStrategies:",
        ),
    ] {
        let text = fs::read_to_string(example(file))?;
        let broken = text.replace(from, to);
        ensure!(broken != text, "{file} has no {from}");
        let (right, said) = kubeconform(&broken)?;
        assert!(!right, "{file} {to}: {said}");
    }
    Ok(())
}

fn built(folder: &Path) -> Result<String> {
    let output = Command::new(judge("kustomize")?)
        .arg("build")
        .arg(folder)
        .output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    Ok(String::from_utf8(output.stdout)?)
}

#[test]
fn what_argo_cd_and_flux_build_of_the_example_is_right_and_leaves_the_replicas_to_keda()
-> Result<()> {
    let text = built(&example("gitops/shop"))?;
    let (right, said) = kubeconform(&text)?;
    assert!(right, "{said}");
    assert!(!text.contains(" replicas: 3"), "{text}");
    let deployment = text
        .split("---\n")
        .find(|object| object.contains("kind: Deployment"));
    let deployment = deployment.context("no Deployment")?;
    assert!(!deployment.contains("replicas:"), "{deployment}");
    assert!(
        text.contains("argocd.argoproj.io/sync-wave: \"1\""),
        "{text}"
    );
    Ok(())
}

/// The check as CI runs it, in a folder.
fn check(folder: &Path) -> Result<Output> {
    Ok(Command::new(ours("bullmq-keda")?)
        .args([
            "generate",
            "spec.yaml",
            "-o",
            "shop/scaledobjects.yaml",
            "--check",
        ])
        .current_dir(folder)
        .output()?)
}

#[test]
fn the_check_in_ci_passes_what_is_committed_and_shows_what_was_changed_by_hand() -> Result<()> {
    let workflow = fs::read_to_string(example("gitops/ci/scaling.yaml"))?;
    for command in [
        "$KEDA generate spec.yaml -o shop/scaledobjects.yaml --check",
        "$KEDA lint shop --output github",
    ] {
        ensure!(workflow.contains(command), "{command} is not in {workflow}");
    }
    let folder = tempfile::tempdir()?;
    fs::create_dir(folder.path().join("shop"))?;
    for file in [
        "spec.yaml",
        "shop/scaledobjects.yaml",
        "shop/kustomization.yaml",
        "shop/email-worker.yaml",
    ] {
        fs::copy(example("gitops").join(file), folder.path().join(file))?;
    }
    let output = check(folder.path())?;
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let lint = Command::new(ours("bullmq-keda")?)
        .args(["lint", "shop", "--output", "github"])
        .current_dir(folder.path())
        .output()?;
    assert_eq!(lint.status.code(), Some(0), "{lint:?}");

    let manifest = folder.path().join("shop/scaledobjects.yaml");
    let text = fs::read_to_string(&manifest)?;
    fs::write(
        &manifest,
        text.replace("maxReplicaCount: 20", "maxReplicaCount: 30"),
    )?;
    let output = check(folder.path())?;
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let said = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("-  maxReplicaCount: 30\n+  maxReplicaCount: 20"),
        "{said}"
    );
    Ok(())
}

#[test]
fn actionlint_and_shellcheck_find_nothing_in_the_workflow() -> Result<()> {
    // It looks for a repository, whose workflows stand in this folder.
    let folder = tempfile::tempdir()?;
    let workflows = folder.path().join(".github/workflows");
    fs::create_dir_all(&workflows)?;
    let workflow = workflows.join("scaling.yaml");
    fs::copy(example("gitops/ci/scaling.yaml"), &workflow)?;
    let lint = || {
        let output = Command::new(judge("actionlint")?)
            .arg(&workflow)
            .current_dir(folder.path())
            .output()?;
        anyhow::Ok((
            output.status.success(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        ))
    };
    let (right, said) = lint()?;
    assert!(right, "{said}");
    let text = fs::read_to_string(&workflow)?;
    fs::write(&workflow, text.replace("runs-on", "run-on"))?;
    let (right, said) = lint()?;
    assert!(!right, "{said}");
    Ok(())
}

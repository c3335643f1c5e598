//! Does what is shipped beside the programs agree with them, and do its own readers take it: systemd, bash, man, GitHub?

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use acceptance::{Exporter, ours, repository};
use anyhow::{Context as _, Result, ensure};

/// Variables of flags that print something and end the program: in the file of a service they would only keep it from serving.
const NOT_FOR_A_SERVICE: &[&str] = &[
    "BULLMQ_EXPORTER_CONFIG_CHECK",
    "BULLMQ_EXPORTER_ONCE",
    "BULLMQ_EXPORTER_PRINT_ACL",
];

/// What `systemd-analyze security` may say of the unit, in tenths: 0 is sealed, 100 is exposed. It has the network, which costs most of it.
const MOST_EXPOSURE: &str = "15";

fn read(path: &str) -> Result<String> {
    std::fs::read_to_string(repository().join(path)).with_context(|| path.to_owned())
}

fn printed(flags: &[&str]) -> Result<String> {
    let output = Exporter::run(flags)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(0), "{flags:?}: {said}");
    ensure!(said.is_empty(), "{flags:?}: {said}");
    Ok(String::from_utf8(output.stdout)?)
}

/// Each environment variable that `--help` names, with the default that it tells, empty if it tells none.
fn variables() -> Result<BTreeMap<String, String>> {
    let help = printed(&["--help"])?;
    let after = |line: &str, word: &str| {
        let (_, rest) = line.split_once(word)?;
        Some(rest.split_once(']')?.0.to_owned())
    };
    let mut found = BTreeMap::new();
    // One flag's text begins with the flag.
    for text in help.split("\n      --") {
        let text = text.replace('\n', " ");
        let Some(variable) = after(&text, "[env: ") else {
            continue;
        };
        // A default of the listen address has brackets of its own.
        let default = match text.split_once("[default: ") {
            Some((_, rest)) if rest.starts_with("[::]") => "[::]:9538".to_owned(),
            _ => after(&text, "[default: ").unwrap_or_default(),
        };
        found.insert(variable.trim_end_matches('=').to_owned(), default);
    }
    ensure!(found.len() > 15, "{found:?}");
    Ok(found)
}

#[test]
fn the_file_of_the_service_names_every_variable_with_its_default_and_no_other() -> Result<()> {
    let mut expected = variables()?;
    for variable in NOT_FOR_A_SERVICE {
        expected
            .remove(*variable)
            .with_context(|| format!("no flag has {variable}"))?;
    }
    if let Some(horizons) = expected.get_mut("BULLMQ_EXPORTER_BULLMQ_HORIZON") {
        *horizons = horizons.replace(' ', ",");
    }
    let named: BTreeMap<String, String> = read("packaging/bullmq-exporter.default")?
        .lines()
        .filter_map(|line| line.strip_prefix('#')?.split_once('='))
        .filter(|(name, _)| name.starts_with("BULLMQ_EXPORTER_"))
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert_eq!(named, expected);

    // What it says is in force without it, so it changes nothing when it is switched on.
    let output = Command::new(ours("bullmq-exporter")?)
        .arg("--config.check")
        .envs(named.iter().filter(|(_, value)| !value.is_empty()))
        .output()?;
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}

#[test]
fn systemd_takes_the_unit_and_finds_little_that_it_could_reach() -> Result<()> {
    let unit = read("packaging/bullmq-exporter.service")?;
    let program = ours("bullmq-exporter")?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("bullmq-exporter.service");
    let installed = "/usr/bin/bullmq-exporter";
    ensure!(unit.contains(installed));
    std::fs::write(
        &path,
        unit.replace(installed, &program.display().to_string()),
    )?;
    let analyze = |arguments: &[&str]| -> Result<(bool, String)> {
        let output = Command::new("systemd-analyze")
            .args(arguments)
            .arg(&path)
            .output()
            .context("systemd-analyze could not be started; `make tools` installs it")?;
        let said = [output.stdout, output.stderr].concat();
        Ok((
            output.status.success(),
            String::from_utf8_lossy(&said).into_owned(),
        ))
    };
    // Its manual is not installed here.
    let (accepted, said) = analyze(&["verify", "--man=no"])?;
    assert!(accepted && said.is_empty(), "{said}");
    let threshold = format!("--threshold={MOST_EXPOSURE}");
    let (sealed, said) = analyze(&["security", "--offline=true", "--no-pager", &threshold])?;
    assert!(sealed, "{said}");

    // The exit code that is not tried again is that of a wrong configuration.
    ensure!(unit.contains("RestartPreventExitStatus=2\n"));
    let wrong = Exporter::run(&["--redis.url", "nonsense"])?;
    assert_eq!(wrong.status.code(), Some(2));
    Ok(())
}

#[test]
fn bash_completes_flags_and_their_words() -> Result<()> {
    for (program, print, function, tries) in [
        (
            "bullmq-exporter",
            &["--print-completions=bash"][..],
            "_bullmq__exporter",
            &[
                ("--log.l", "--log.level\n"),
                ("--log.level de", "debug\n"),
                ("--print-completions z", "zsh\n"),
            ][..],
        ),
        (
            "bullmq-keda",
            &["completions", "bash"],
            "_bullmq__keda",
            &[
                ("gen", "generate\n"),
                ("generate --values-t", "--values-through\n"),
                ("generate --format helm-", "helm-values\n"),
            ],
        ),
    ] {
        let output = Command::new(ours(program)?).args(print).output()?;
        let script = String::from_utf8(output.stdout)?;
        for (words, expected) in tries {
            let ask = format!(
                "{script}\nCOMP_WORDS=({program} {words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))\n\
                 complete -p {program} | grep -q {function} || exit 1\n\
                 {function} {program} \"${{COMP_WORDS[COMP_CWORD]}}\" \"${{COMP_WORDS[COMP_CWORD-1]}}\"\n\
                 printf '%s\\n' \"${{COMPREPLY[@]}}\"\n"
            );
            let output = Command::new("bash").args(["-c", &ask]).output()?;
            assert_eq!(
                String::from_utf8(output.stdout)?,
                *expected,
                "{program} {words}"
            );
        }
    }
    for shell in ["zsh", "fish", "elvish", "powershell"] {
        let script = printed(&["--print-completions", shell])?;
        assert!(script.contains("web.listen-address"), "{shell}: {script}");
    }
    let output = Exporter::run(&["--print-completions", "csh"])?;
    assert_eq!(output.status.code(), Some(2));
    Ok(())
}

#[test]
fn the_manual_page_tells_every_flag_and_its_variable() -> Result<()> {
    let page = printed(&["--print-man"])?.replace('\\', "");
    assert!(page.contains(".TH bullmq-exporter 1"), "{page}");
    for variable in variables()?.keys() {
        assert!(page.contains(variable.as_str()), "{variable}: {page}");
    }
    for flag in ["--print-man", "--version", "--web.config.file"] {
        assert!(page.contains(flag), "{flag}: {page}");
    }
    Ok(())
}

/// What ships is made where packages are built, whatever is set there.
#[test]
fn what_is_printed_for_packages_needs_no_right_configuration_and_shows_none() -> Result<()> {
    for flag in ["--print-man", "--print-completions=zsh", "--version"] {
        let run = |url: &str| {
            Command::new(ours("bullmq-exporter")?)
                .arg(flag)
                .env("BULLMQ_EXPORTER_REDIS_URL", url)
                .env("BULLMQ_EXPORTER_CONFIG_FILE", "/nowhere")
                .output()
                .context(flag)
        };
        let (one, other) = (run("redis://:hunter2@host")?, run("nonsense")?);
        assert_eq!(one.status.code(), Some(0), "{flag}");
        assert_eq!(one.stdout, other.stdout, "{flag}");
        assert!(
            !String::from_utf8(one.stdout)?.contains("hunter2"),
            "{flag}"
        );
    }
    Ok(())
}

#[test]
fn the_workflows_are_right_and_run_no_action_that_can_change_under_them() -> Result<()> {
    let linter = repository().join("target/tools/bin/actionlint");
    let output = Command::new(&linter)
        .arg("-no-color")
        .current_dir(repository())
        .output()
        .with_context(|| format!("{}; `make tools` builds it", linter.display()))?;
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    let mut seen = 0;
    for entry in std::fs::read_dir(repository().join(".github/workflows"))? {
        let path = entry?.path();
        for line in std::fs::read_to_string(&path)?.lines() {
            let Some((_, action)) = line.split_once("uses: ") else {
                continue;
            };
            let (_, version) = action.split_once('@').context("a version")?;
            let pinned = version.split_once(" # v").is_some_and(|(commit, _)| {
                commit.len() == 40 && commit.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
            assert!(pinned, "{}: {line}", file_name(&path));
            seen += 1;
        }
    }
    assert!(seen > 5, "{seen}");
    // The public gate is this one, and nothing of its own.
    assert!(read(".github/workflows/ci.yml")?.contains("run: bash .ci/run\n"));
    Ok(())
}

fn file_name(path: &Path) -> String {
    path.file_name()
        .unwrap_or_default()
        .to_string_lossy()
        .into_owned()
}

/// A package that lacks a file is only seen when it is built, which takes minutes; that the file is there is seen here.
#[test]
fn every_file_that_the_packages_name_is_in_the_repository_or_made_by_their_script() -> Result<()> {
    for crate_folder in ["exporter", "generator"] {
        let manifest = read(&format!("{crate_folder}/Cargo.toml"))?;
        let mut seen = 0;
        for line in manifest.lines() {
            // cargo-deb counts from the crate, cargo-generate-rpm from the workspace.
            let source = if let Some(rest) = line.strip_prefix("  { source = \"") {
                rest.split('"').next().unwrap_or_default().to_owned()
            } else if let Some(rest) = line.strip_prefix("  [\"") {
                let source = rest.split('"').next().unwrap_or_default();
                match source.strip_prefix("../") {
                    Some(source) => source.to_owned(),
                    None if source.starts_with("target/") => source.to_owned(),
                    None => format!("{crate_folder}/{source}"),
                }
            } else {
                continue;
            };
            seen += 1;
            let made = source.starts_with("target/");
            assert!(
                made || repository().join(&source).is_file(),
                "{crate_folder}/Cargo.toml: {source}"
            );
        }
        assert!(seen > 10, "{crate_folder}: {seen}");
    }
    Ok(())
}

/// The first line of a package's description is the crate's: <https://www.debian.org/doc/debian-policy/ch-binary.html#the-package-description>.
/// What is longer is broken by cargo-deb in the middle of a sentence.
#[test]
fn what_packages_say_of_themselves_fits_into_lists_of_packages() -> Result<()> {
    for crate_folder in ["exporter", "generator"] {
        let manifest = read(&format!("{crate_folder}/Cargo.toml"))?;
        let (_, rest) = manifest.split_once("\ndescription = \"").context("one")?;
        let (synopsis, _) = rest.split_once('"').context("its end")?;
        assert!(synopsis.len() < 80, "{crate_folder}: {synopsis}");
        let (_, rest) = manifest
            .split_once("extended-description = \"\"\"\n")
            .context("more")?;
        let (extended, _) = rest.split_once("\"\"\"").context("its end")?;
        for line in extended.lines() {
            assert!(line.len() < 80, "{crate_folder}: {line}");
        }
    }
    Ok(())
}

#[test]
fn the_chart_runs_the_exporter_as_the_user_of_the_image() -> Result<()> {
    let image = read("packaging/Containerfile")?;
    let user = image.lines().find_map(|line| line.strip_prefix("USER "));
    let (user, group) = user.and_then(|it| it.split_once(':')).context("a user")?;
    let values: serde_json::Value =
        serde_saphyr::from_str(&read("charts/bullmq-exporter/values.yaml")?)?;
    for (key, expected) in [
        ("runAsUser", user),
        ("runAsGroup", group),
        ("fsGroup", group),
    ] {
        let given = values.pointer(&format!("/podSecurityContext/{key}"));
        let given = given.map(ToString::to_string);
        assert_eq!(given.as_deref(), Some(expected), "{key}");
    }
    Ok(())
}

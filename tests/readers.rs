//! Does everybody read in our manifests what we meant? Names that other readers of YAML take for something else, in every form, read by
//! kubectl's own decoder, by `PyYAML`, and by Helm 3 and 4 in a chart. Each reader gets all of them in one run.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use acceptance::{HELMS, fed, helm_template, ours, read_as_kubectl, read_by_pyyaml};
use anyhow::{Context as _, Result, ensure};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use serde_json::Value;

/// DNS names that a reader of YAML 1.1 or 1.2 may take for a truth value, a number, a date, or nothing: <https://yaml.org/type/>.
const NAMES: [&str; 28] = [
    "on",
    "off",
    "yes",
    "no",
    "y",
    "n",
    "true",
    "false",
    "null",
    "1e3",
    "12e03",
    "1e-3",
    "0123",
    "0",
    "10",
    "0x10",
    "0o7",
    "0b1",
    "1.5",
    "685.230",
    "2026-01-01",
    "2001-12-14",
    "nan",
    "inf",
    "1-2",
    "6e1",
    "0.0",
    "190.20.30",
];

/// Names of queues, prefixes, servers and labels, which may be any text.
const TEXTS: [&str; 58] = [
    "on",
    "no",
    "Y",
    "NO",
    "True",
    "1e3",
    "1_000",
    "0123",
    "0x1F",
    "0o17",
    "0b1",
    "190:20:30",
    "1:20",
    "+1",
    "-1",
    "1.",
    ".5",
    "._1",
    ".inf",
    "-.INF",
    ".nan",
    "~",
    "null",
    "Null",
    "2026-01-01",
    "2001-12-14t21:59:43.10-05:00",
    "=",
    "<<",
    "-",
    "?",
    ":",
    "---",
    "...",
    "!t",
    "&a",
    "*a",
    "@a",
    "`a`",
    "%a",
    "|",
    ">",
    "{a: b}",
    "[a]",
    "{{ .Values.x }}",
    "{{{{",
    "}}",
    "a: b",
    "a #b",
    "#",
    " a",
    "a ",
    "\ta\t",
    "a\nb\n",
    "'",
    "\"\\",
    "\u{85}\u{2028}\u{2029}",
    "\u{feff}\u{200b}",
    "ä漢😀\u{301}\u{1b}\u{7f}\u{1}",
];

/// How many names are made at random beside those.
const RANDOM: u32 = 150;

/// A YAML string in double quotes, whatever is in it.
fn quoted(text: &str) -> String {
    text.chars().fold(String::from("\""), |mut out, character| {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\U{:08x}", u32::from(character));
        out
    }) + "\""
}

fn random_texts() -> Result<Vec<String>> {
    let piece = prop_oneof![
        "[a-z]{1,4}",
        r#"["'\\`|.*+?(){}\[\]^$/#:,&%@!~<>= \t\n-]{1,4}"#,
        proptest::sample::select(TEXTS.as_slice()).prop_map(ToOwned::to_owned),
        any::<char>()
            .prop_filter("NUL is refused", |c| *c != '\0')
            .prop_map(String::from),
    ];
    let text = proptest::collection::vec(piece, 1..6).prop_map(|pieces| pieces.concat());
    // The same texts in every run, so that a failure comes again.
    let rng = TestRng::deterministic_rng(RngAlgorithm::ChaCha);
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    (0..RANDOM)
        .map(|_| match text.new_tree(&mut runner) {
            Ok(tree) => Ok(tree.current()),
            Err(reason) => anyhow::bail!("no text: {reason}"),
        })
        .collect()
}

/// What becomes of a text before it stands in an annotation or in the template of a Job.
type Kept = fn(&str) -> String;

/// Nothing.
fn everything(text: &str) -> String {
    text.to_owned()
}

/// It goes through Helm's `toYaml`, which loses these characters: the program refuses them for that form.
fn what_helm_keeps(text: &str) -> String {
    text.replace(
        |c| matches!(c, '\u{7f}'..='\u{9f}' | '\u{fffe}' | '\u{ffff}'),
        "",
    )
}

/// It goes through a chart that may render templates in it or not: the program refuses two braces in a row for that.
fn what_every_chart_keeps(text: &str) -> String {
    what_helm_keeps(text).replace('{', "{ ")
}

/// A stream of specs, one for each label value, with a worker for each name and each text. Everything in it is quoted, so that no reader
/// is asked about the spec.
fn specs(template: &Path, kept: Kept) -> Result<String> {
    let template = quoted(template.to_str().context("a path that is text")?);
    let mut texts: Vec<String> = TEXTS.iter().map(|text| (*text).to_owned()).collect();
    texts.extend(random_texts()?);
    let mut out = String::new();
    let mut names = NAMES.iter().map(|name| (*name).to_owned());
    for (index, chunk) in texts.chunks(10).enumerate() {
        let label = chunk.first().context("a chunk has a first")?;
        // Writing to a String cannot fail.
        let _ = write!(
            out,
            "---\napiVersion: bullmq-keda/v1\nprometheus: {{serverAddress: \"http://p:9090\", matchers: {{on: {}, y: \"1_0\"}}, \
             authentication: {{bearer: {{secret: \"on\", key: \"0123\"}}, ca: {{configMap: \"no\", key: \"1e3\"}}}}}}\n\
             workers:\n\
             - {{name: jobs-{index}, namespace: jobs, target: {{kind: Job, template: {template}}}, queues: [a], concurrency: 3, \
             replicas: {{min: 0, max: 7}}, labels: {{on: \"0123\", y: \"no\"}}}}\n",
            quoted(label)
        );
        for (worker, text) in chunk.iter().enumerate() {
            let name = names
                .next()
                .unwrap_or_else(|| format!("w-{index}-{worker}"));
            let annotation = quoted(&kept(text));
            let text = quoted(text);
            let _ = writeln!(
                out,
                "- {{name: {name}, namespace: {namespace}, queues: [{text}, {{name: {text}, prefix: {text}, redis: {text}}}], \
                 concurrency: 3, replicas: {{min: 0, max: 7}}, annotations: {{on: {annotation}}}}}",
                name = quoted(&name),
                namespace = quoted(&name.replace('.', "-")),
            );
        }
    }
    Ok(out)
}

/// A template of a Job with the same texts, and where it is.
fn template(kept: Kept) -> Result<(tempfile::TempDir, PathBuf)> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("job.yaml");
    let mut text = "apiVersion: batch/v1\nkind: Job\nspec:\n  backoffLimit: 3\n  template:\n    spec:\n      restartPolicy: Never\n      \
                    containers:\n      - name: \"on\"\n        image: worker\n        args:\n"
        .to_owned();
    for one in TEXTS {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "        - {}", quoted(&kept(one)));
    }
    std::fs::write(&path, text)?;
    Ok((folder, path))
}

fn generate(arguments: &[&str], input: &str) -> Result<String> {
    let mut command = Command::new(ours("bullmq-keda")?);
    let output = fed(command.args(["generate", "-"]).args(arguments), input)?;
    ensure!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// Objects by namespace and name, because Helm puts them into an order of its own.
fn by_name(objects: Vec<Value>) -> Result<BTreeMap<String, Value>> {
    let mut found = BTreeMap::new();
    for object in objects {
        let text = |path| object.pointer(path).and_then(Value::as_str);
        let name =
            text("/metadata/name").with_context(|| format!("the name is no text: {object}"))?;
        let namespace = text("/metadata/namespace");
        let namespace = namespace.with_context(|| format!("the namespace is no text: {object}"))?;
        let key = format!("{namespace}/{name}");
        ensure!(
            found.insert(key.clone(), object).is_none(),
            "{key} stands twice"
        );
    }
    Ok(found)
}

/// What is meant: JSON leaves no reader a choice. That the queries in it mean the names is held by the generator's own tests.
fn meant(specs: &str) -> Result<BTreeMap<String, Value>> {
    let list: Value = serde_json::from_str(&generate(&["--format", "json"], specs)?)?;
    let items = list.get("items").and_then(Value::as_array);
    by_name(items.context("no items")?.clone())
}

fn assert_same(reader: &str, read: &BTreeMap<String, Value>, meant: &BTreeMap<String, Value>) {
    for (name, object) in meant {
        assert_eq!(read.get(name), Some(object), "{reader}: {name}");
    }
    assert_eq!(read.len(), meant.len(), "{reader}");
}

#[test]
fn what_kubectl_and_pyyaml_read_is_what_was_meant() {
    let (_folder, template) = template(everything).unwrap();
    let specs = specs(&template, everything).unwrap();
    let meant = meant(&specs).unwrap();
    for name in NAMES {
        let key = format!("{}/{name}", name.replace('.', "-"));
        assert_eq!(meant[&key]["spec"]["scaleTargetRef"]["name"], name);
    }
    for kind in ["ScaledObject", "ScaledJob", "TriggerAuthentication"] {
        assert!(
            meant.values().any(|object| object["kind"] == kind),
            "{kind}"
        );
    }
    let yaml = generate(&[], &specs).unwrap();
    let json = generate(&["--format", "json"], &specs).unwrap();
    assert_same(
        "kubectl",
        &by_name(read_as_kubectl(&yaml).unwrap()).unwrap(),
        &meant,
    );
    assert_same(
        "PyYAML",
        &by_name(read_by_pyyaml(&yaml).unwrap()).unwrap(),
        &meant,
    );
    for read in [
        read_as_kubectl(&json).unwrap(),
        read_by_pyyaml(&json).unwrap(),
    ] {
        let items = read[0]["items"].as_array().unwrap().clone();
        assert_same("List", &by_name(items).unwrap(), &meant);
    }
}

/// The readers themselves: they do take such names for something else where they are not quoted.
#[test]
fn the_readers_see_the_traps() {
    let yaml = "a: [on, 0123, 1_000, 1e3]\n";
    assert_eq!(
        read_as_kubectl(yaml).unwrap()[0]["a"],
        serde_json::json!([true, 83, 1000, 1000])
    );
    assert_eq!(
        read_by_pyyaml(yaml).unwrap()[0]["a"],
        serde_json::json!([true, 83, 1000, "1e3"])
    );
}

fn chart(folder: &Path, templates: &[(&str, &str)]) -> Result<()> {
    std::fs::create_dir_all(folder.join("templates"))?;
    let chart = "apiVersion: v2\nname: chart\nversion: 0.1.0\n";
    std::fs::write(folder.join("Chart.yaml"), chart)?;
    for (name, content) in templates {
        std::fs::write(folder.join("templates").join(name), content)?;
    }
    Ok(())
}

#[test]
fn what_helm_renders_from_the_template_is_what_was_meant() {
    let (_folder, template) = template(everything).unwrap();
    let specs = specs(&template, everything).unwrap();
    let meant = meant(&specs).unwrap();
    let made = generate(&["--format", "helm"], &specs).unwrap();
    let folder = tempfile::tempdir().unwrap();
    chart(folder.path(), &[("scaling.yaml", &made)]).unwrap();
    for helm in HELMS {
        let rendered = helm_template(helm, folder.path(), &[]).unwrap().unwrap();
        assert_same(
            helm,
            &by_name(read_as_kubectl(&rendered).unwrap()).unwrap(),
            &meant,
        );
        assert_same(
            helm,
            &by_name(read_by_pyyaml(&rendered).unwrap()).unwrap(),
            &meant,
        );
    }
}

/// The two ways in which charts take manifests, and a chart has either.
const TAKING_MANIFESTS: [(&str, &str); 2] = [
    (
        "toYaml",
        "{{- range .Values.on.extraManifests }}\n---\n{{ toYaml . }}\n{{- end }}\n",
    ),
    (
        "tpl",
        "{{- range .Values.on.extraManifests }}\n---\n{{ tpl (toYaml .) $ }}\n{{- end }}\n",
    ),
];

/// Holds what a chart makes of values against what was meant.
fn assert_comes_through(way: &str, values: &str, meant: &BTreeMap<String, Value>) -> Result<()> {
    let (_, template) = TAKING_MANIFESTS
        .iter()
        .find(|(name, _)| *name == way)
        .context("a way")?;
    let folder = tempfile::tempdir()?;
    chart(folder.path(), &[("extra.yaml", template)])?;
    let file = folder.path().join("keda.yaml");
    std::fs::write(&file, values)?;
    for helm in HELMS {
        let arguments = ["--values", file.to_str().context("a path")?];
        let rendered = helm_template(helm, folder.path(), &arguments)?;
        let rendered = rendered.map_err(anyhow::Error::msg)?;
        let mut read = by_name(read_as_kubectl(&rendered)?)?;
        for object in read.values_mut() {
            let triggers = object.pointer_mut("/spec/triggers");
            let triggers = triggers.and_then(Value::as_array_mut);
            for trigger in triggers.into_iter().flatten() {
                let query = trigger.pointer_mut("/metadata/query");
                let query = query.context("a query")?;
                let text = query.as_str().context("a text")?;
                assert!(!text.contains("{{"), "{text}");
                // In a text of PromQL the code of a brace is a brace.
                *query = Value::String(text.replace(r"{\x7b", "{{"));
            }
        }
        assert_same(&format!("{helm} {way}"), &read, meant);
    }
    Ok(())
}

const AS_VALUES: [&str; 4] = [
    "--format",
    "helm-values",
    "--values-key",
    "on.extraManifests",
];

#[test]
fn a_chart_that_takes_manifests_renders_what_was_meant_whether_it_renders_templates_in_them_or_not()
{
    let (_folder, template) = template(what_every_chart_keeps).unwrap();
    let specs = specs(&template, what_every_chart_keeps).unwrap();
    let meant = meant(&specs).unwrap();
    let values = generate(&AS_VALUES, &specs).unwrap();
    for (way, _) in TAKING_MANIFESTS {
        assert_comes_through(way, &values, &meant).unwrap();
    }
}

#[test]
fn a_chart_of_either_kind_renders_texts_with_braces_as_they_were_meant_where_its_kind_is_told() {
    let (_folder, template) = template(what_helm_keeps).unwrap();
    let specs = specs(&template, what_helm_keeps).unwrap();
    let meant = meant(&specs).unwrap();
    for (way, _) in TAKING_MANIFESTS {
        let told = [&AS_VALUES[..], &["--values-through", way]].concat();
        let values = generate(&told, &specs).unwrap();
        assert_comes_through(way, &values, &meant).unwrap();
    }
    // Where it is not told, each such text is told with its place; the template's too.
    let refused = generate(&AS_VALUES, &specs).unwrap_err().to_string();
    assert!(refused.contains("error[helm-values/template]"), "{refused}");
    assert!(refused.contains("--> <stdin>:"), "{refused}");
    let spec = format!(
        "apiVersion: bullmq-keda/v1\nprometheus: {{serverAddress: \"http://p\"}}\nworkers:\n- {{name: a, queues: [\"{{{{\"], concurrency: 1, \
         replicas: {{min: 0, max: 2}}, target: {{kind: Job, template: {}}}}}\n",
        quoted(template.to_str().unwrap())
    );
    let refused = generate(&AS_VALUES, &spec).unwrap_err().to_string();
    assert!(refused.contains("job.yaml:"), "{refused}");
    assert!(!refused.contains("--> <stdin>:"), "{refused}");
}

/// What Helm loses is what the program says that it loses, character for character.
#[test]
fn the_characters_that_helm_loses_are_those_that_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (_, template) = TAKING_MANIFESTS[0];
    chart(folder.path(), &[("extra.yaml", template)]).unwrap();
    let planes = [
        0xfffd, 0xfffe, 0xffff, 0x1fffe, 0x2028, 0x2029, 0xfeff, 0x10_ffff,
    ];
    let characters: Vec<char> = (1..0xa2).chain(planes).filter_map(char::from_u32).collect();
    let values = characters.iter().fold(
        "{\"on\": {extraManifests: [".to_owned(),
        |mut values, character| {
            // Writing to a String cannot fail.
            let _ = write!(
                values,
                "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: {}}}, data: {{a: {}}}}}, ",
                quoted(&format!("c{:x}", u32::from(*character))),
                quoted(&format!("a{character}b"))
            );
            values
        },
    ) + "]}}\n";
    let file = folder.path().join("values.yaml");
    std::fs::write(&file, values).unwrap();
    for helm in HELMS {
        let arguments = ["--values", file.to_str().unwrap()];
        let rendered = helm_template(helm, folder.path(), &arguments);
        let read = read_as_kubectl(&rendered.unwrap().unwrap()).unwrap();
        let come: BTreeMap<&str, &str> = read
            .iter()
            .filter_map(|it| Some((it["metadata"]["name"].as_str()?, it["data"]["a"].as_str()?)))
            .collect();
        for character in &characters {
            let name = format!("c{:x}", u32::from(*character));
            let text = format!("a{character}b");
            let comes = come.get(&*name) == Some(&&*text);
            assert_eq!(comes, what_helm_keeps(&text) == text, "{helm} {name}");
        }
    }
    for character in &characters {
        let spec = format!(
            "apiVersion: bullmq-keda/v1\nprometheus: {{serverAddress: \"http://p\"}}\nworkers:\n- {{name: a, queues: [a], concurrency: 1, \
             replicas: {{min: 1, max: 2}}, annotations: {{a: {}}}}}\n",
            quoted(&character.to_string())
        );
        let refused = generate(&AS_VALUES, &spec).is_err();
        let lost = what_helm_keeps(&character.to_string()).is_empty();
        assert_eq!(refused, lost, "{character:?}");
    }
}

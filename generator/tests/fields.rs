//! What single fields of a spec become in the manifests: authentication, tenants, versions, labels, Jobs, overrides.

use std::fs;
use std::path::Path;

use bullmq_keda::document::{self, Dialect};
use bullmq_keda::kinds::faults;
use bullmq_keda::{Error, Input, generate};
use proptest::prelude::*;
use serde::Deserialize as _;
use serde_yaml::Value;

const JOB: &str = "\
apiVersion: batch/v1
kind: Job
metadata: {name: ignored, labels: {team: video, tier: batch}, annotations: {example.com/owner: video}}
spec:
  ttlSecondsAfterFinished: 600
  activeDeadlineSeconds: 10800
  template:
    metadata: {labels: {app: render}}
    spec:
      restartPolicy: Never
      containers:
        - name: render
          image: \"render:7\"
          env: [{name: \"ON\", value: \"on\"}, {name: RATIO, value: \"1.50\"}]
          resources: {limits: {cpu: 1.5, memory: 8Gi}}
          ports: [{containerPort: 9229, protocol: TCP}]
      nodeSelector: {disk: \"yes\"}
";

fn input(name: &str, text: &str) -> Input {
    Input {
        name: name.to_owned(),
        short_name: name.to_owned(),
        bytes: text.as_bytes().to_vec(),
    }
}

/// A spec with one worker, with these lines in `prometheus`, before `workers` and in the worker.
fn spec(prometheus: &str, before: &str, worker: &str) -> String {
    let indented = |text: &str, by: &str| match text {
        "" => String::new(),
        text => format!("{by}{}\n", text.replace('\n', &format!("\n{by}"))),
    };
    format!(
        "apiVersion: bullmq-keda/v1\nprometheus:\n  serverAddress: http://prometheus:9090\n{}{before}\nworkers:\n  - name: email\n    \
         queues: [email, sms]\n    concurrency: 10\n    replicas: {{min: 0, max: 20}}\n{}",
        indented(prometheus, "  "),
        indented(worker, "    "),
    )
}

fn generated(spec: &str) -> Result<String, Error> {
    let mut inputs = vec![input("shop/spec.yaml", spec)];
    if spec.contains("job.yaml") {
        inputs.push(input("shop/job.yaml", JOB));
    }
    generate(inputs)
}

fn told(spec: &str) -> Vec<&'static str> {
    match generated(spec) {
        Err(Error::Invalid { problems, .. }) => {
            problems.iter().map(|problem| problem.rule.id()).collect()
        }
        Err(Error::Output(_)) | Ok(_) => Vec::new(),
    }
}

#[test]
fn each_way_to_authenticate_becomes_what_keda_reads() {
    for (ways, expected) in [
        (
            "bearer: {secret: s, key: token}",
            vec![
                "authModes: \"bearer\"",
                "secretTargetRef:\n  - parameter: bearerToken\n    name: s\n    key: token\n",
            ],
        ),
        (
            "basic: {username: {configMap: c, key: u}, password: {secret: s, key: p}}",
            vec![
                "authModes: \"basic\"",
                "secretTargetRef:\n  - parameter: password\n    name: s\n    key: p\n",
                "configMapTargetRef:\n  - parameter: username\n    name: c\n    key: u\n",
            ],
        ),
        (
            "header: {name: {configMap: c, key: n}, value: {secret: s, key: v}}",
            vec![
                "authModes: \"custom\"",
                "parameter: customAuthValue",
                "parameter: customAuthHeader",
            ],
        ),
        (
            "tls: {cert: {secret: s, key: tls.crt}, key: {secret: s, key: tls.key}}\nca: {secret: s, key: ca.crt}",
            vec![
                "authModes: \"tls\"",
                "parameter: cert\n    name: s\n    key: tls.crt",
                "parameter: key\n    name: s\n    key: tls.key",
                "parameter: ca\n",
            ],
        ),
        (
            "tls: {cert: {secret: s, key: tls.crt}, key: {secret: s, key: tls.key}}\nbearer: {secret: s, key: token}",
            vec!["authModes: \"bearer,tls\""],
        ),
        (
            "podIdentity: {provider: aws, region: eu-central-1, roleArn: \"arn:aws:iam::1:role/r\"}",
            vec![
                "awsRegion: \"eu-central-1\"",
                "podIdentity:\n    provider: aws\n    roleArn: ",
            ],
        ),
        (
            "podIdentity: {provider: azure-workload, identityId: id}",
            vec!["podIdentity:\n    provider: azure-workload\n    identityId: id\n"],
        ),
        (
            "podIdentity: {provider: gcp}",
            vec!["podIdentity:\n    provider: gcp\n"],
        ),
        (
            "triggerAuthentication: theirs\nmodes: [basic, tls]",
            vec![
                "authModes: \"basic,tls\"",
                "authenticationRef:\n      name: theirs\n",
            ],
        ),
        (
            "clusterTriggerAuthentication: theirs",
            vec![
                "authenticationRef:\n      name: theirs\n      kind: ClusterTriggerAuthentication\n",
            ],
        ),
    ] {
        let fields = ways.replace('\n', "\n  ");
        let yaml = generated(&spec(&format!("authentication:\n  {fields}"), "", "")).unwrap();
        for text in &expected {
            assert!(yaml.contains(text), "{ways}: no {text:?} in\n{yaml}");
        }
        let own = !ways.contains("riggerAuthentication");
        assert_eq!(
            yaml.contains("kind: TriggerAuthentication\nmetadata:\n  name: email-prometheus\n"),
            own,
            "{ways}"
        );
        // Both triggers, `demand` and `wake`, prove who they are.
        assert_eq!(yaml.matches("authenticationRef:").count(), 2, "{ways}");
        let modes = !ways.contains("podIdentity") && !ways.contains("clusterTrigger");
        assert_eq!(yaml.contains("authModes"), modes, "{ways}");
        assert!(!yaml.contains("unsafeSsl"), "{ways}");
    }
}

#[test]
fn what_cannot_authenticate_is_refused_and_no_secret_is_shown() {
    for (ways, rule) in [
        ("hunter2", "authentication/by-value"),
        ("{}", "authentication/one-way"),
        ("{bearer: {token: hunter2, key: a}}", "spec/unknown-field"),
        ("{token: hunter2}", "spec/unknown-field"),
        ("{bearer: [hunter2]}", "authentication/by-value"),
        (
            "{basic: {user: {secret: s, key: u}, passwd: hunter2}}",
            "spec/unknown-field",
        ),
        (
            "{podIdentity: {provider: aws, secretAccessKey: hunter2}}",
            "spec/unknown-field",
        ),
        ("{bearer: {secret: s}}", "spec/missing-field"),
        ("{bearer: {secret: S, key: a}}", "authentication/reference"),
        (
            "{bearer: {secret: s, configMap: c, key: a}}",
            "authentication/reference",
        ),
        (
            "{bearer: {secret: s, key: \"a b\"}}",
            "authentication/reference",
        ),
        (
            "{basic: {username: admin, password: hunter2}}",
            "authentication/by-value",
        ),
        (
            "{basic: {password: {secret: s, key: p}}}",
            "spec/missing-field",
        ),
        (
            "{bearer: {secret: s, key: a}, podIdentity: {provider: gcp}}",
            "authentication/one-way",
        ),
        (
            "{tls: {cert: {secret: s, key: c}, key: {secret: s, key: k}}, podIdentity: {provider: gcp}}",
            "authentication/one-way",
        ),
        (
            "{podIdentity: {provider: gcp}, ca: {secret: s, key: c}}",
            "authentication/ca-alone",
        ),
        ("{podIdentity: {provider: aws}}", "spec/missing-field"),
        (
            "{podIdentity: {provider: gcp, region: a}}",
            "authentication/pod-identity",
        ),
        (
            "{bearer: {secret: s, key: a}, modes: [bearer]}",
            "authentication/modes",
        ),
        (
            "{triggerAuthentication: a, modes: [oauth]}",
            "authentication/modes",
        ),
    ] {
        let spec = spec(&format!("authentication: {ways}"), "", "");
        let Err(Error::Invalid { problems, sources }) = generated(&spec) else {
            panic!("not refused: {ways}");
        };
        let ids: Vec<&str> = problems.iter().map(|problem| problem.rule.id()).collect();
        assert!(ids.contains(&rule), "{ways}: {ids:?}");
        let text = bullmq_keda::report::text(&problems, &sources, "nothing was written", false);
        assert!(!text.contains("hunter2"), "{ways}: {text}");
    }
}

#[test]
fn tenants_and_parameters_are_what_kedas_parser_takes_apart() {
    let yaml = generated(&spec(
        "headers: {X-Scope-OrgID: shop, X-Other: a b}\nqueryParameters: {dedup: \"true\", partial_response: \"false\"}\nnamespace: shop",
        "",
        "",
    ))
    .unwrap();
    for text in [
        "customHeaders: \"X-Other=a b,X-Scope-OrgID=shop\"",
        "queryParameters: \"dedup=true,partial_response=false\"",
        "namespace: \"shop\"",
    ] {
        assert_eq!(yaml.matches(text).count(), 2, "{text}: {yaml}");
    }
}

#[test]
fn a_version_decides_what_is_written() {
    for (versions, worker, with, without) in [
        ("", "", vec!["timeout: \"5s\""], vec!["tolerance"]),
        (
            "kubernetes: {version: \"1.33\"}",
            "",
            vec![],
            vec!["tolerance"],
        ),
        (
            "kubernetes: {version: \"1.34\"}",
            "",
            vec!["tolerance: \"0\""],
            vec![],
        ),
        (
            "kubernetes: {version: v1.35.2}",
            "",
            vec!["tolerance: \"0\""],
            vec![],
        ),
        (
            "kubernetes: {version: \"1.34\"}\nkeda: {version: \"2.19\"}",
            "",
            vec![],
            vec!["tolerance"],
        ),
        (
            "keda: {version: \"2.16\"}",
            "",
            vec!["initialCooldownPeriod"],
            vec!["timeout"],
        ),
        (
            "keda: {version: \"2.17.3\"}",
            "onMetricsLoss: {replicas: 3}",
            vec!["timeout", "currentReplicasIfHigher"],
            vec![],
        ),
        (
            "keda: {version: \"2.17\"}",
            "labels: {app.kubernetes.io/instance: shop}",
            vec!["app.kubernetes.io/instance: shop"],
            vec!["hpa-excluded-labels"],
        ),
        (
            "keda: {version: \"2.18\"}",
            "labels: {app.kubernetes.io/instance: shop, helm.toolkit.fluxcd.io/name: shop, team: shop}",
            vec!["hpa-excluded-labels: app.kubernetes.io/instance,helm.toolkit.fluxcd.io/name"],
            vec![],
        ),
        (
            "",
            "labels: {app.kubernetes.io/instance: shop}\nannotations: {scaledobject.keda.sh/hpa-excluded-labels: theirs}",
            vec!["hpa-excluded-labels: theirs"],
            vec!["hpa-excluded-labels: app"],
        ),
    ] {
        let yaml = generated(&spec("", versions, worker)).unwrap();
        for text in with {
            assert!(
                yaml.contains(text),
                "{versions} {worker}: no {text} in\n{yaml}"
            );
        }
        for text in without {
            assert!(
                !yaml.contains(text),
                "{versions} {worker}: {text} in\n{yaml}"
            );
        }
    }
    for (versions, rule) in [
        ("keda: {version: 2.20}", "spec/wrong-type"),
        ("keda: {version: \"2\"}", "version/unreadable"),
        ("keda: {version: \"2.20.x\"}", "version/unreadable"),
        ("keda: {version: \"1.5\"}", "version/too-old"),
    ] {
        assert_eq!(told(&spec("", versions, "")), [rule], "{versions}");
    }
}

#[test]
fn a_template_is_embedded_as_it_is_in_its_own_order() {
    let worker = "target: {kind: Job, template: job.yaml}\nlabels: {tier: long}";
    let yaml = generated(&spec("", "", worker)).unwrap();
    let object = serde_yaml::Deserializer::from_str(&yaml)
        .map(Value::deserialize)
        .next()
        .unwrap()
        .unwrap();
    let file: Value = serde_yaml::from_str(JOB).unwrap();
    // As values, and as they are printed, which is their order.
    let print = |value: &Value| serde_yaml::to_string(value).unwrap();
    assert_eq!(print(&object["spec"]["jobTargetRef"]), print(&file["spec"]));
    assert_eq!(
        print(&object["metadata"]["labels"]),
        "team: video\ntier: long\n"
    );
    assert_eq!(
        object["metadata"]["annotations"]["example.com/owner"],
        "video"
    );
    assert_eq!(object["kind"], "ScaledJob");
    assert_eq!(object["spec"]["scalingStrategy"]["strategy"], "default");
    assert_eq!(object["spec"]["rollout"]["strategy"], "gradual");
    // What a ScaledJob does not have, and a second trigger, which KEDA might take for the first.
    for text in [
        "metricType",
        "fallback",
        "cooldownPeriod",
        "advanced",
        "scaleTargetRef",
        "name: wake",
    ] {
        assert!(!yaml.contains(text), "{text} in\n{yaml}");
    }
}

/// A spec with every field of its own kind of danger.
fn rich() -> String {
    spec(
        "headers: {X-Scope-OrgID: shop}\nauthentication: {basic: {username: {configMap: c, key: u}, password: {secret: s, key: p}}, ca: {secret: s, key: c}}",
        "keda: {version: \"2.20\"}\nkubernetes: {version: \"1.34\"}",
        "target: {kind: Job, template: job.yaml}\nlabels: {a: b}\nrateLimit: 100/1m\njob: {mean: 2s}\noverrides: {spec: {pollingInterval: 5, triggers: null}}",
    )
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(192) })]

    #[test]
    fn no_mangled_spec_or_template_makes_it_panic(
        in_template in any::<bool>(),
        from in 0_usize..1200,
        length in 0_usize..40,
        patch in r#"[-\[\]{}:,#&*!|>'"%@`\n\r\t <~0-9a-z\u{feff}]{0,12}"#,
    ) {
        let (mut spec, mut template) = (rich(), JOB.to_owned());
        let mangled = if in_template { &mut template } else { &mut spec };
        let from = from % mangled.len();
        let to = (from + length).min(mangled.len());
        mangled.replace_range(from..to, &patch);
        let inputs = vec![input("shop/spec.yaml", &spec), input("shop/job.yaml", &template)];
        if let Err(Error::Invalid { problems, sources }) = generate(inputs) {
            prop_assert!(!bullmq_keda::report::text(&problems, &sources, "nothing was written", true).is_empty());
        }
    }

    #[test]
    fn whatever_a_template_says_is_what_kubernetes_reads(
        texts in proptest::collection::vec(any::<String>().prop_filter("YAML has none", |text| {
            text.chars().all(|c| matches!(c, '\t' | '\n' | ' '..='~' | '\u{a0}'..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..))
        }), 1..6),
        number in any::<i64>(),
        fraction in -1.0e6..1.0e6_f64,
    ) {
        let args: Vec<String> = texts.iter().map(|text| serde_json::to_string(text).unwrap()).collect();
        let args = args.join(", ");
        let template = format!(
            "{{spec: {{terminationGracePeriodSeconds: {number}, containers: [{{name: a, args: [{args}], resources: {{limits: {{cpu: {fraction:.3}}}}}}}]}}}}"
        );
        let spec = spec("", "", "target: {kind: Job, template: job.yaml}");
        let yaml = generate(vec![input("spec.yaml", &spec), input("job.yaml", &template)]).unwrap();
        let object = serde_yaml::Deserializer::from_str(&yaml).map(Value::deserialize).next().unwrap().unwrap();
        let pods = &object["spec"]["jobTargetRef"]["template"]["spec"];
        let read: Vec<&str> = pods["containers"][0]["args"].as_sequence().unwrap().iter().filter_map(Value::as_str).collect();
        prop_assert_eq!(read, texts.iter().map(String::as_str).collect::<Vec<_>>());
        prop_assert_eq!(pods["terminationGracePeriodSeconds"].as_i64(), Some(number));
        let cpu = pods["containers"][0]["resources"]["limits"]["cpu"].as_f64();
        prop_assert_eq!(cpu, format!("{fraction:.3}").parse::<f64>().ok());
    }
}

#[test]
fn each_form_of_a_template_gives_the_same_pods() {
    let pods = "spec: {containers: [{name: a, image: b}]}";
    let forms = [
        format!("{{kind: Job, spec: {{template: {{{pods}}}}}}}"),
        format!("{{template: {{{pods}}}}}"),
        format!("{{kind: PodTemplate, template: {{{pods}}}}}"),
        format!("{{{pods}}}"),
    ];
    let spec = spec("", "", "target: {kind: Job, template: job.yaml}");
    let made: Vec<String> = forms
        .iter()
        .map(|form| {
            let yaml = generate(vec![input("spec.yaml", &spec), input("job.yaml", form)]).unwrap();
            yaml.split_once("---").unwrap().1.to_owned()
        })
        .collect();
    assert!(made.iter().all(|yaml| *yaml == made[0]), "{made:#?}");
    for (form, rule) in [
        (format!("{{{pods}}}\n---\n{{{pods}}}"), "template/not-a-job"),
        (String::new(), "template/not-a-job"),
        ("[a]".to_owned(), "template/not-a-job"),
        (
            "{template: {spec: {containers: []}}}".to_owned(),
            "template/not-a-job",
        ),
        (
            "{template: {spec: {containers: [{name: a, imagePullpolicy: Always}]}}}".to_owned(),
            "template/not-a-job",
        ),
        (
            "{template: {spec: {containers: [{name: a, image: 1.50}]}}}".to_owned(),
            "template/not-a-job",
        ),
        ("{template: [".to_owned(), "yaml/syntax"),
    ] {
        let Err(Error::Invalid { problems, .. }) =
            generate(vec![input("spec.yaml", &spec), input("job.yaml", &form)])
        else {
            panic!("not refused: {form}");
        };
        // Each problem points into the file, which was given second.
        assert!(
            problems
                .iter()
                .all(|problem| problem.rule.id() == rule && problem.at.source == 1),
            "{form}: {problems:?}"
        );
    }
}

#[test]
fn a_template_is_found_beside_its_spec_on_the_command_line() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("jobs")).unwrap();
    fs::write(folder.path().join("jobs/render.yaml"), JOB).unwrap();
    let path = folder.path().join("spec.yaml");
    fs::write(
        &path,
        spec("", "", "target: {kind: Job, template: jobs/render.yaml}"),
    )
    .unwrap();
    for arguments in [
        vec![path.clone()],
        // Named by a pattern of the shell too, it is still the template.
        vec![path.clone(), folder.path().join("jobs/render.yaml")],
    ] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_bullmq-keda"))
            .arg("generate")
            .args(arguments)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("kind: ScaledJob"));
    }
}

#[test]
fn a_spec_that_is_named_as_a_template_is_still_a_spec() {
    let itself = spec("", "", "target: {kind: Job, template: spec.yaml}");
    let Err(Error::Invalid { problems, .. }) = generate(vec![input("spec.yaml", &itself)]) else {
        panic!("not refused");
    };
    let ids: Vec<&str> = problems.iter().map(|problem| problem.rule.id()).collect();
    assert_eq!(ids, ["template/not-a-job"]);
}

#[test]
fn overrides_are_merged_last_and_held_to_the_same_facts() {
    let yaml = generated(&spec(
        "",
        "",
        "overrides: {metadata: {labels: {a: b}}, spec: {pollingInterval: 5, cooldownPeriod: null, advanced: {restoreToOriginalReplicaCount: true}}}",
    ))
    .unwrap();
    for text in [
        "  labels:\n    a: b\n",
        "  pollingInterval: 5\n",
        "restoreToOriginalReplicaCount: true",
        "scaleDown:",
    ] {
        assert!(yaml.contains(text), "{text} in\n{yaml}");
    }
    assert!(!yaml.contains("  cooldownPeriod"), "{yaml}");
    let trigger =
        "{type: prometheus, metadata: {serverAddress: \"http://a\", query: q, threshold: \"1\"";
    for (overrides, rule) in [
        (
            format!("{{spec: {{triggers: [{trigger}}}}}]}}}}"),
            "overrides/unsafe",
        ),
        (
            format!(
                "{{spec: {{triggers: [{trigger}, ignoreNullValues: \"false\", unsafeSsl: \"true\"}}}}]}}}}"
            ),
            "overrides/unsafe",
        ),
        ("{spec: {triggers: []}}".to_owned(), "overrides/unsafe"),
        ("{spec: {triggers: null}}".to_owned(), "overrides/unsafe"),
        (
            "{spec: {maxReplicaCount: null}}".to_owned(),
            "overrides/unsafe",
        ),
        (
            "{spec: {minReplicaCount: 30}}".to_owned(),
            "overrides/unsafe",
        ),
        (
            "{spec: {idleReplicaCount: 1, minReplicaCount: 2}}".to_owned(),
            "overrides/unsafe",
        ),
        (
            "{spec: {fallback: {failureThreshold: 3, replicas: 0}}}".to_owned(),
            "overrides/unsafe",
        ),
        ("{spec: {advanced: null}}".to_owned(), "overrides/unsafe"),
        ("{spec: null}".to_owned(), "overrides/unsafe"),
        ("{kind: Deployment}".to_owned(), "overrides/of-the-spec"),
        ("{pollingInterval: 5}".to_owned(), "overrides/unknown-field"),
        (
            "{spec: {jobTargetRef: {}}}".to_owned(),
            "overrides/unknown-field",
        ),
    ] {
        let ids = told(&spec("", "", &format!("overrides: {overrides}")));
        assert!(ids.contains(&rule), "{overrides}: {ids:?}");
    }
}

#[test]
fn a_limit_of_the_rate_is_the_slots_that_it_keeps_busy() {
    for (rate, mean, expected) in [
        ("100/1m", "3s", "5"),
        ("600/1m", "3s", "30"),
        ("10/1s", "250ms", "2.5"),
        ("1 / 1h", "1ms", "0.001"),
        ("100/1m", "2s", "3.334"),
    ] {
        let worker = format!("rateLimit: {rate}\njob: {{mean: {mean}}}");
        let yaml = generated(&spec("", "", &worker)).unwrap();
        assert!(
            yaml.contains(&format!(", {expected})))")),
            "{rate} {mean}: {yaml}"
        );
    }
    for rate in [
        "0/1m", "100", "1m/100", "100/0s", "1.5/1s", "-1/1s", "100/1", "010/1m",
    ] {
        let worker = format!("rateLimit: {rate}\njob: {{mean: 1s}}");
        assert_eq!(
            told(&spec("", "", &worker)),
            ["rate-limit/unreadable"],
            "{rate}"
        );
    }
    assert_eq!(
        told(&spec("", "", "rateLimit: 100/1m")),
        ["spec/missing-field"]
    );
}

#[test]
fn the_manual_names_every_field_of_the_schema() {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("SPEC.md");
    let manual = fs::read_to_string(manual).unwrap();
    let schema = bullmq_keda::spec::shape::schema();
    let definitions = schema["definitions"].as_object().unwrap().values();
    let mut named = 0;
    for mapping in definitions.chain([&schema]) {
        for name in mapping["properties"].as_object().unwrap().keys() {
            let words = manual.split(|c: char| !c.is_ascii_alphanumeric());
            assert!(words.clone().any(|word| word == name), "{name}");
            named += 1;
        }
    }
    assert!(named > 60, "{named}");
}

#[test]
fn every_object_of_every_example_has_only_fields_that_its_kind_knows() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut judged = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path().join("expected/scaledobjects.yaml");
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        for root in document::read(&text, 0, Dialect::MANIFESTS).roots {
            let object: Value = serde_yaml::from_str(
                &text
                    .get(root.span.start..root.span.end)
                    .unwrap()
                    .replace("\n---", ""),
            )
            .unwrap();
            let kind = object["kind"].as_str().unwrap().to_owned();
            assert_eq!(
                faults(&root, &format!("keda.{kind}")),
                [],
                "{}",
                file.display()
            );
            judged += 1;
        }
    }
    assert!(judged > 7, "{judged}");
}

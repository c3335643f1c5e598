//! Is the exporter's chart what it says: the same by Helm 3 and 4, known to Kubernetes, refusing what cannot work, and does the exporter really run by
//! the arguments, environment and files of the pod?

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use acceptance::{
    Authority, BullMq, Exporter, HELMS, Redis, Version, fed, helm_template, judge, kubeconform,
    ours, promtool, read_as_kubectl, repository, wait_until,
};
use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};

/// Helm takes some version for the cluster's, and not the same one in every build.
const KUBERNETES: &str = "1.34.0";
const FOLDER: &str = "/etc/bullmq-exporter";
/// A Redis that need not be there, where the values must only be complete.
const SOME_REDIS: &str = "redis: {url: \"redis://redis\"}\n";
/// What the API server takes for an object of one key.
const LARGEST_CONFIG_MAP: u64 = 1 << 20;

fn chart() -> PathBuf {
    repository().join("charts/bullmq-exporter")
}

/// The files of values, by what is before `-values.yaml`.
fn values_files() -> Result<Vec<(String, PathBuf)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(chart().join("ci"))? {
        let path = entry?.path();
        let name = path.file_name().context("a name")?.to_string_lossy();
        let name = name
            .strip_suffix("-values.yaml")
            .context("ci/*-values.yaml")?;
        files.push((name.to_owned(), path.clone()));
    }
    files.sort();
    ensure!(files.len() >= 9, "{files:?}");
    Ok(files)
}

fn template(
    helm: &str,
    chart: &Path,
    values: &Path,
    more: &[&str],
) -> Result<Result<String, String>> {
    let mut arguments = vec!["--kube-version", KUBERNETES, "--values"];
    arguments.push(values.to_str().context("a path")?);
    arguments.extend(more);
    helm_template(helm, chart, &arguments)
}

/// What the chart makes of values that are given as text, or what Helm said instead.
fn rendered(helm: &str, values: &str) -> Result<Result<Vec<Value>, String>> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("values.yaml");
    fs::write(&file, values)?;
    Ok(match template(helm, &chart(), &file, &[])? {
        Ok(text) => Ok(read_as_kubectl(&text)?),
        Err(refused) => Err(refused),
    })
}

fn of_kind<'o>(objects: &'o [Value], kind: &str) -> Vec<&'o Value> {
    objects
        .iter()
        .filter(|object| object["kind"] == kind)
        .collect()
}

fn the<'o>(objects: &'o [Value], kind: &str) -> Result<&'o Value> {
    match of_kind(objects, kind).as_slice() {
        [one] => Ok(one),
        found => bail!("{} of the kind {kind}", found.len()),
    }
}

/// What makes the pods of the exporter.
fn workload(objects: &[Value]) -> Result<&Value> {
    the(objects, "Deployment").or_else(|_| the(objects, "StatefulSet"))
}

/// Helm 4 leaves empty lines between what one template renders; they mean nothing.
fn without_empty_lines(text: &str) -> String {
    let lines = text.lines().filter(|line| !line.is_empty());
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn every_file_of_values_renders_as_it_shows_by_helm_3_and_4() {
    for (name, values) in values_files().unwrap() {
        let [three, four] =
            HELMS.map(|helm| template(helm, &chart(), &values, &[]).unwrap().unwrap());
        let [three, four] = [three, four].map(|text| without_empty_lines(&text));
        assert_eq!(three, four, "{name}");
        // Alerts and dashboards are files of their own, and would only be repeated.
        if name != "alerts-and-dashboards" {
            let golden = repository().join(format!("tests/exporter_chart/{name}.yaml"));
            let golden = fs::read_to_string(golden).unwrap();
            assert_eq!(three, without_empty_lines(&golden), "{name}");
        }
    }
}

#[test]
fn helm_s_own_linter_finds_nothing() {
    for helm in HELMS {
        for (_, values) in values_files().unwrap() {
            let output = Command::new(judge(helm).unwrap())
                .args(["lint", "--strict", "--kube-version", KUBERNETES, "--values"])
                .arg(&values)
                .arg(chart())
                .output()
                .unwrap();
            let said = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "{helm} {values:?}: {said}");
        }
    }
}

/// The tests beside the chart, in the form that people who work on charts know.
#[test]
fn helm_unittest_passes_and_can_fail() {
    let run = |chart: &Path| {
        let output = Command::new(judge("helm-unittest").unwrap())
            .args(["--strict", "--color=false"])
            .arg(chart)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.success(), said)
    };
    let (passed, said) = run(&chart());
    assert!(passed && said.contains("Test Suites: 4 passed"), "{said}");
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("chart");
    copy(&chart(), &own).unwrap();
    let helpers = own.join("templates/_helpers.tpl");
    let text = fs::read_to_string(&helpers).unwrap();
    fs::write(
        &helpers,
        text.replace("{{ if $wrong }}", "{{ if false }}")
            .replace("{{- if $wrong }}", "{{- if false }}"),
    )
    .unwrap();
    let (passed, said) = run(&own);
    assert!(!passed && said.contains("wants a Redis"), "{said}");
}

#[test]
fn kubernetes_the_prometheus_operator_and_our_own_linter_know_every_object_and_field() {
    let linter = ours("bullmq-keda").unwrap();
    for (name, values) in values_files().unwrap() {
        let text = template("helm4", &chart(), &values, &[]).unwrap().unwrap();
        let (right, said) = kubeconform(&text).unwrap();
        assert!(right, "{name}: {said}");
        let output = fed(Command::new(&linter).args(["lint", "-"]), &text).unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{name}: {said}");
    }
    // Each of these judges can find something.
    let values = chart().join("ci/default-values.yaml");
    let text = template("helm4", &chart(), &values, &[]).unwrap().unwrap();
    for (from, to) in [
        ("enableServiceLinks:", "enableServiceLink:"),
        ("replicas: 1", "replicas: one"),
        ("kind: Service\n", "kind: Servise\n"),
    ] {
        let (right, said) = kubeconform(&text.replace(from, to)).unwrap();
        assert!(!right, "{to}: {said}");
    }
}

#[test]
fn every_pod_is_restricted_without_rights_and_without_a_token() {
    for (name, values) in values_files().unwrap() {
        let text = template("helm3", &chart(), &values, &[]).unwrap().unwrap();
        let objects = read_as_kubectl(&text).unwrap();
        for object in &objects {
            let kind = object["kind"].as_str().unwrap();
            assert!(!kind.contains("Role"), "{name}: {kind}");
            if kind == "ServiceAccount" {
                assert_eq!(object["automountServiceAccountToken"], false, "{name}");
            }
        }
        let pods = [
            &workload(&objects).unwrap()["spec"]["template"]["spec"],
            &the(&objects, "Pod").unwrap()["spec"],
        ];
        for pod in pods {
            assert_eq!(pod["automountServiceAccountToken"], false, "{name}");
            assert_eq!(pod["enableServiceLinks"], false, "{name}");
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
            assert_eq!(
                pod["securityContext"]["seccompProfile"]["type"],
                "RuntimeDefault"
            );
            assert_eq!(
                pod["containers"][0]["securityContext"],
                json!({
                    "allowPrivilegeEscalation": false,
                    "capabilities": {"drop": ["ALL"]},
                    "readOnlyRootFilesystem": true,
                }),
                "{name}"
            );
        }
    }
}

/// Values that cannot work, each with what is said of them.
const REFUSED: &[(&str, &[&str])] = &[
    (
        "{}",
        &["no Redis is named: set redis.url, for example redis://redis.shop.svc:6379/0"],
    ),
    (
        "{redis: {url: 'redis://a'}, config: {redis: [{name: a, url: 'redis://a'}]}}",
        &["redis.url and config are given"],
    ),
    (
        "{redis: {url: 'redis://a', existingSecret: {name: s, urlKey: u}}}",
        &["redis.url and redis.existingSecret.urlKey are given"],
    ),
    (
        "{redis: {url: 'redis://user:hunter2@redis.shop:1'}, replicaCount: 3}",
        &[
            "the URL of redis://***@redis.shop:1 has a password in it",
            "name a Secret by redis.existingSecret.name",
            "replicaCount is 3: each exporter serves every queue",
            "max by (redis, prefix, queue)",
        ],
    ),
    (
        "{config: {redis: [{name: a, url: 'redis://:hunter2@b'}]}}",
        &["the URL of redis://***@b has a password in it"],
    ),
    (
        "{redis: {url: 'redis://a', existingSecret: {name: s, urlKey: ''}}, shards: 2, replicaCount: 3}",
        &["shards is 2 and replicaCount is 3: the shards are the replicas"],
    ),
    (
        "{redis: {url: 'redis://a'}, shards: 2, replicaCount: 0}",
        &["replicaCount is 0, which stops a Deployment, and with shards there is none"],
    ),
    (
        "{redis: {url: 'redis://a'}, shards: 2, service: {type: LoadBalancer}}",
        &[
            "service.type is LoadBalancer: behind one address each request would reach another shard",
        ],
    ),
    (
        "{redis: {url: 'redis://a'}, shards: 2, podDisruptionBudget: {enabled: true, minAvailable: 2}}",
        &["podDisruptionBudget.minAvailable is 2 of 2 shards"],
    ),
    (
        "{config: {redis: [{name: a, url: 'redis://b'}]}, redis: {existingSecret: {name: s}}}",
        &["with a configuration file write them there, as password_file"],
    ),
    (
        "{redis: {existingSecret: {name: s, urlKey: u}, tls: {serverName: b}}}",
        &["redis.tls, redis.sentinel and redis.readFrom need redis.url"],
    ),
    (
        "{redis: {url: 'redis://a', tls: {serverName: b}}}",
        &["redis.url asks for no TLS: write rediss:// in it"],
    ),
    (
        "{redis: {url: 'rediss://a', tls: {existingSecret: s}}}",
        &["redis.tls.existingSecret is given, and no key of it"],
    ),
    (
        "{redis: {url: 'rediss://a', tls: {existingSecret: s, certKey: c}}}",
        &["a client certificate needs its key"],
    ),
    (
        "{redis: {url: 'rediss://a', tls: {caKey: c}}}",
        &["keys of redis.tls are given without redis.tls.existingSecret"],
    ),
    (
        "{redis: {url: 'redis://a', readFrom: replica}}",
        &["need Sentinels in redis.url"],
    ),
    (
        "{redis: {url: 'redis://a'}, serviceMonitor: {enabled: true}, podMonitor: {enabled: true}}",
        &["every series would exist twice"],
    ),
    (
        "{redis: {url: 'redis://a'}, web: {config: {basic_auth_users: {a: b}}, existingSecret: {name: s}}}",
        &["web.config and web.existingSecret.name are given"],
    ),
    (
        "{redis: {existingSecret: {name: s, urlKey: u}}, networkPolicy: {enabled: true}}",
        &["name the ports of Redis, or it could not be reached"],
    ),
    (
        "{redis: {url: 'redis://a'}, podDisruptionBudget: {minAvailable: 1, maxUnavailable: 1}}",
        &["Kubernetes takes one"],
    ),
    (
        "{redis: {url: 'redis://a'}, prometheusRule: {enabled: true, alerts: {BullMQQueueLatencyHihg: {threshold: 1}}}}",
        &[
            "prometheusRule.alerts.BullMQQueueLatencyHihg: there is no such alert; there are ",
            "BullMQQueueLatencyHigh",
        ],
    ),
    (
        "{redis: {url: 'redis://a'}, prometheusRule: {enabled: true, alerts: {BullMQRedisUnreachable: {threshold: 1}}}}",
        &["prometheusRule.alerts.BullMQRedisUnreachable.threshold: this alert has no threshold"],
    ),
];

#[test]
fn what_cannot_work_is_refused_with_a_sentence_and_all_of_it_at_once() {
    for helm in HELMS {
        for (values, sentences) in REFUSED {
            let refused = rendered(helm, values).unwrap().expect_err(values);
            for sentence in *sentences {
                assert!(refused.contains(sentence), "{helm} {values}: {refused}");
            }
            assert!(!refused.contains("hunter2"), "{helm} {values}: {refused}");
        }
    }
}

#[test]
fn a_slip_in_the_values_is_refused_by_the_schema_with_its_name() {
    for helm in HELMS {
        for (values, name) in [
            ("replicas: 2", "replicas"),
            ("shards: 0", "shards"),
            ("redis: {uri: 'redis://a'}", "uri"),
            ("redis: {url: 'redis.shop:6379'}", "url"),
            (
                "redis: {url: 'redis://a', existingSecret: shop}",
                "existingSecret",
            ),
            ("config: {redis: []}", "redis"),
            (
                "config: {redis: [{name: a, url: 'redis://a', prefix: b}]}",
                "prefix",
            ),
            ("bullmq: {queues: email}", "queues"),
            ("discovery: {interval: 30}", "interval"),
            ("log: {level: trace}", "level"),
            ("web: {telemetryPath: metrics}", "telemetryPath"),
            ("serviceMonitor: {enabled: 'true'}", "enabled"),
            ("serviceMonitor: {interval: 15}", "interval"),
            ("livenessProbe: {path: /}", "path"),
            ("image: {digest: latest}", "digest"),
            ("service: {port: 0}", "port"),
            (
                "prometheusRule: {alerts: {BullMQRedisUnreachable: {treshold: 1}}}",
                "treshold",
            ),
            ("networkPolicy: {redisPorts: ['6379']}", "redisPorts"),
        ] {
            let refused = rendered(helm, values).unwrap().expect_err(values);
            assert!(
                refused.contains("schema") && refused.contains(name),
                "{helm} {values}: {refused}"
            );
        }
    }
}

/// Values beside the URL of a Redis, a kind, a place in it, and what stands there, in JSON.
const VALUES: [(&str, &str, &str, &str); 18] = [
    (
        "image: {registry: r.io/, tag: v1}",
        "Deployment",
        "/spec/template/spec/containers/0/image",
        r#""r.io/bullmq-exporter:v1""#,
    ),
    (
        "global: {imageRegistry: g.io}",
        "Deployment",
        "/spec/template/spec/containers/0/image",
        r#""g.io/bullmq-exporter:0.1.0""#,
    ),
    (
        "global: {imageRegistry: g.io}",
        "Pod",
        "/spec/containers/0/image",
        r#""g.io/busybox:1.37""#,
    ),
    (
        "strategy: {type: Recreate}",
        "Deployment",
        "/spec/strategy",
        r#"{"type": "Recreate"}"#,
    ),
    (
        "fullnameOverride: '1e3'",
        "Deployment",
        "/metadata/name",
        r#""1e3""#,
    ),
    (
        "namespaceOverride: '123'",
        "Service",
        "/metadata/namespace",
        r#""123""#,
    ),
    (
        "bullmq: {queues: ['$(HOME)']}",
        "Deployment",
        "/spec/template/spec/containers/0/args/1",
        r#""--bullmq.queue=$$(HOME)""#,
    ),
    (
        "livenessProbe: null",
        "Deployment",
        "/spec/template/spec/containers/0/livenessProbe",
        "null",
    ),
    (
        "serviceAccount: {create: false}",
        "Deployment",
        "/spec/template/spec/serviceAccountName",
        r#""default""#,
    ),
    (
        "podSecurityContext: {runAsUser: null}",
        "Deployment",
        "/spec/template/spec/securityContext/runAsUser",
        "null",
    ),
    (
        "networkPolicy: {enabled: true}",
        "NetworkPolicy",
        "/spec/egress/1/ports",
        r#"[{"port": 6379, "protocol": "TCP"}]"#,
    ),
    (
        "podDisruptionBudget: {enabled: true}",
        "PodDisruptionBudget",
        "/spec/maxUnavailable",
        "1",
    ),
    (
        "podDisruptionBudget: {enabled: true, minAvailable: 0}",
        "PodDisruptionBudget",
        "/spec/minAvailable",
        "0",
    ),
    (
        "podDisruptionBudget: {enabled: true, maxUnavailable: 50%}",
        "PodDisruptionBudget",
        "/spec/maxUnavailable",
        r#""50%""#,
    ),
    (
        "web: {existingSecret: {name: s, credentials: true}}",
        "Deployment",
        "/spec/template/spec/containers/0/readinessProbe/tcpSocket/port",
        r#""metrics""#,
    ),
    (
        "web: {existingSecret: {name: s, tls: true}}",
        "Deployment",
        "/spec/template/spec/containers/0/readinessProbe/httpGet/scheme",
        r#""HTTPS""#,
    ),
    (
        "web: {routePrefix: /q/}",
        "Deployment",
        "/spec/template/spec/containers/0/readinessProbe/httpGet/path",
        r#""/q/-/ready""#,
    ),
    (
        "web: {routePrefix: /q}\npodMonitor: {enabled: true}",
        "PodMonitor",
        "/spec/podMetricsEndpoints/0/path",
        r#""/q/metrics""#,
    ),
];

#[test]
fn values_change_what_they_name() {
    for (values, kind, path, expected) in VALUES {
        let values = format!("{SOME_REDIS}{values}\n");
        let objects = rendered("helm3", &values).unwrap().unwrap();
        let object = the(&objects, kind).unwrap();
        let expected: Value = serde_json::from_str(expected).unwrap();
        assert_eq!(
            object.pointer(path).unwrap_or(&Value::Null),
            &expected,
            "{values} {path}"
        );
    }
}

/// The release that the chart needs for shards, whatever else it is told.
#[test]
fn shards_are_refused_by_a_kubernetes_whose_pods_do_not_know_their_index() {
    for helm in HELMS {
        for (version, renders) in [("1.27.16", false), ("1.28.0", true), ("1.28.0-eks-1", true)] {
            let rendered = helm_template(
                helm,
                &chart(),
                &[
                    "--kube-version",
                    version,
                    "--set",
                    "redis.url=redis://a,shards=2",
                ],
            )
            .unwrap();
            match rendered {
                Ok(_) => assert!(renders, "{helm} {version}"),
                Err(refused) => assert!(
                    !renders && refused.contains("shards needs Kubernetes 1.28"),
                    "{helm} {version}: {refused}"
                ),
            }
        }
    }
}

/// The names of 63 letters that Kubernetes takes leave a `StatefulSet` no room for what it adds.
#[test]
fn a_release_of_a_long_name_has_shards_too() {
    let long = "a".repeat(63);
    let values = format!("{SOME_REDIS}shards: 1000\nfullnameOverride: {long}\n");
    let objects = rendered("helm4", &values).unwrap().unwrap();
    let name = the(&objects, "StatefulSet").unwrap()["metadata"]["name"].clone();
    // `-` and a hash of ten letters, in a label.
    assert_eq!(name, "a".repeat(52));
    let service = the(&objects, "Service").unwrap();
    assert_eq!(
        service["metadata"]["name"],
        the(&objects, "StatefulSet").unwrap()["spec"]["serviceName"]
    );
    assert_eq!(service["metadata"]["name"].as_str().unwrap().len(), 63);
    assert_eq!(service["spec"]["clusterIP"], "None");
}

#[test]
fn the_network_policy_lets_the_exporter_reach_the_ports_of_every_url() {
    for (urls, ports) in [
        (&["redis://a"][..], &[6379][..]),
        (&["redis://u@a:1/2", "rediss://b:6380?db=1"], &[1, 6380]),
        (&["redis://[::1]", "redis://[::1]:7/0"], &[6379, 7]),
        (&["redis+sentinel://u@a:1,b/m/0"], &[1, 26379, 6379]),
        (&["unix:///run/redis.sock", "valkey://a"], &[6379]),
        (
            &["redis+cluster://u@a:1,b", "rediss+cluster://c:6380/0"],
            &[1, 6379, 6380],
        ),
    ] {
        let servers: Vec<Value> = urls
            .iter()
            .enumerate()
            .map(|(index, url)| json!({"name": index.to_string(), "url": url}))
            .collect();
        let values = json!({"config": {"redis": servers}, "networkPolicy": {"enabled": true}});
        let objects = rendered("helm3", &values.to_string()).unwrap().unwrap();
        let policy = the(&objects, "NetworkPolicy").unwrap();
        let found: Vec<&Value> = policy["spec"]["egress"][1]["ports"]
            .as_array()
            .unwrap()
            .iter()
            .map(|port| &port["port"])
            .collect();
        assert_eq!(found, ports, "{urls:?}");
    }
}

fn alerts_file() -> Result<Vec<Value>> {
    let text = fs::read_to_string(chart().join("rules/alerts.yaml"))?;
    let file = read_as_kubectl(&text)?;
    let groups = file
        .first()
        .and_then(|file| file["groups"].as_array())
        .context("groups")?;
    Ok(groups.clone())
}

fn rules(groups: &[Value]) -> Vec<&Value> {
    groups
        .iter()
        .filter_map(|group| group["rules"].as_array())
        .flatten()
        .collect()
}

/// The groups that the chart makes with `settings` under `prometheusRule`.
fn made(settings: &Value) -> Result<Vec<Value>> {
    let mut settings = settings.clone();
    let fields = settings.as_object_mut().context("settings")?;
    fields.insert("enabled".to_owned(), true.into());
    let values = json!({"redis": {"url": "redis://a"}, "prometheusRule": settings});
    let objects = rendered("helm4", &values.to_string())?.map_err(anyhow::Error::msg)?;
    let groups = the(&objects, "PrometheusRule")?.pointer("/spec/groups");
    Ok(groups.and_then(Value::as_array).context("groups")?.clone())
}

#[test]
fn the_alerts_of_the_chart_are_those_of_the_rule_file_and_each_can_be_changed_and_left_out() {
    let file = alerts_file().unwrap();
    assert_eq!(
        made(&json!({})).unwrap(),
        file,
        "without settings nothing changes"
    );
    // All of them changed at once, and each of them still a rule of Prometheus.
    let mut settings = json!({"runbookUrlPrefix": "https://w/", "alertLabels": {"team": "q"}});
    let mut thresholds = 0;
    for rule in rules(&file) {
        let name = rule["alert"].as_str().unwrap();
        let mut own = json!({"for": "7m", "severity": "page"});
        if has_threshold(rule) {
            own["threshold"] = 1_234_567.into();
            thresholds += 1;
        }
        settings["alerts"][name] = own;
    }
    assert!(thresholds > 0);
    let changed = made(&settings).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("rules.yaml");
    fs::write(&path, json!({"groups": changed}).to_string()).unwrap();
    let (right, said) = promtool(&["check", "rules", path.to_str().unwrap()], "").unwrap();
    assert!(right, "{said}");
    assert_eq!(rules(&changed).len(), rules(&file).len());
    for (rule, before) in rules(&changed).into_iter().zip(rules(&file)) {
        let name = rule["alert"].as_str().unwrap();
        assert_eq!(rule["for"], "7m", "{name}");
        assert_eq!(rule["labels"]["severity"], "page", "{name}");
        assert_eq!(rule["labels"]["team"], "q", "{name}");
        let page = rule["annotations"]["runbook_url"].as_str().unwrap();
        assert_eq!(page, format!("https://w/{name}.md"));
        let expected = match settings["alerts"][name].get("threshold") {
            Some(_) => {
                let before = first_line(before);
                let (left, _) = before.rsplit_once(' ').unwrap();
                format!("{left} 1.234567e+06")
            }
            None => first_line(before).to_owned(),
        };
        assert_eq!(first_line(rule), expected, "{name}");
        let rest = |rule: &Value| {
            rule["expr"]
                .as_str()
                .unwrap()
                .lines()
                .skip(1)
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(rest(rule), rest(before), "{name}");
    }
    // And each left out, until nothing is left but what was added.
    for rule in rules(&file) {
        let name = rule["alert"].as_str().unwrap();
        settings["alerts"][name] = json!({"enabled": false});
    }
    settings["additionalRules"] =
        json!([{"alert": "Own", "expr": "up == 0", "annotations": {"a": "{{ $labels.job }}"}}]);
    assert_eq!(
        made(&settings).unwrap(),
        [json!({"name": "bullmq-additional", "rules": settings["additionalRules"]})]
    );
}

/// Whether the first line ends with a number after `>`, as the file of rules says.
fn has_threshold(rule: &Value) -> bool {
    let mut words = first_line(rule).rsplit(' ');
    words.next().is_some_and(|word| word.parse::<f64>().is_ok()) && words.next() == Some(">")
}

fn first_line(rule: &Value) -> &str {
    rule["expr"]
        .as_str()
        .and_then(|expression| expression.lines().next())
        .unwrap_or_default()
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target)?;
        } else {
            fs::copy(entry.path(), target)?;
        }
    }
    Ok(())
}

#[test]
fn a_dashboard_becomes_a_config_map_byte_for_byte_with_the_label_of_the_sidecar() {
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("chart");
    copy(&chart(), &own).unwrap();
    let dashboard = "{\n  \"title\": \"Q\",\n  \"legend\": \"{{queue}} {{ .Values }}\"\n}";
    fs::write(own.join("dashboards/My_Test.json"), dashboard).unwrap();
    let values = chart().join("ci/alerts-and-dashboards-values.yaml");
    for helm in HELMS {
        let text = template(helm, &own, &values, &[]).unwrap().unwrap();
        let objects = read_as_kubectl(&text).unwrap();
        let map = objects
            .iter()
            .find(|object| object["data"]["My_Test.json"].is_string())
            .unwrap();
        assert_eq!(map["data"]["My_Test.json"], dashboard, "{helm}");
        assert_eq!(
            map["metadata"]["name"],
            "shop-bullmq-exporter-dashboard-my-test"
        );
        assert_eq!(map["metadata"]["namespace"], "monitoring");
        assert_eq!(map["metadata"]["labels"]["grafana_dashboard"], "1");
        assert_eq!(
            map["metadata"]["annotations"],
            json!({"grafana_folder": "Queues"})
        );
    }
}

fn json_files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let name = path
                .file_name()
                .context("a name")?
                .to_string_lossy()
                .into_owned();
            files.insert(name, fs::read(&path)?);
        }
    }
    Ok(files)
}

#[test]
fn what_is_written_by_make_docs_is_as_it_would_be_written_now() {
    let dashboards = json_files(&repository().join("dashboards")).unwrap();
    let copies = json_files(&chart().join("dashboards")).unwrap();
    assert!(
        dashboards == copies,
        "charts/bullmq-exporter/dashboards: run `make docs`"
    );
    for (name, text) in &copies {
        assert!(
            (text.len() as u64) < LARGEST_CONFIG_MAP,
            "{name} fits in no ConfigMap"
        );
    }
    let folder = tempfile::tempdir().unwrap();
    let own = folder.path().join("bullmq-exporter");
    copy(&chart(), &own).unwrap();
    fs::write(own.join("README.md"), "").unwrap();
    let output = Command::new(judge("helm-docs").unwrap())
        .args(["--sort-values-order", "file", "--chart-search-root"])
        .arg(folder.path())
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        fs::read_to_string(own.join("README.md")).unwrap(),
        fs::read_to_string(chart().join("README.md")).unwrap(),
        "charts/bullmq-exporter/README.md: run `make docs`"
    );
}

#[test]
fn the_chart_s_app_version_is_that_of_the_workspace_and_every_value_has_a_description() {
    let text = fs::read_to_string(chart().join("Chart.yaml")).unwrap();
    let about = read_as_kubectl(&text).unwrap();
    assert_eq!(about[0]["appVersion"], env!("CARGO_PKG_VERSION"));
    let readme = fs::read_to_string(chart().join("README.md")).unwrap();
    let (_, table) = readme.split_once("## Values").unwrap();
    let undescribed: Vec<&str> = table
        .lines()
        .filter(|line| line.ends_with("|  |"))
        .collect();
    assert_eq!(undescribed, Vec::<&str>::new());
}

/// Values, APIs of the cluster, what is said, and what is not.
type Notes = (
    &'static str,
    &'static [&'static str],
    &'static [&'static str],
    &'static [&'static str],
);

/// The notes with the APIs of the cluster, which `helm template` does not show by itself.
fn notes(values: &str, apis: &[&str]) -> Result<String> {
    let folder = tempfile::tempdir()?;
    let own = folder.path().join("chart");
    copy(&chart(), &own)?;
    let text = fs::read_to_string(own.join("templates/NOTES.txt"))?;
    fs::write(
        own.join("templates/_notes.tpl"),
        format!("{{{{ define \"notes\" }}}}{text}{{{{ end }}}}"),
    )?;
    let object = "apiVersion: v1\nkind: Notes\ntext: {{ include \"notes\" . | toJson }}\n";
    fs::write(own.join("templates/notes.yaml"), object)?;
    let file = folder.path().join("values.yaml");
    fs::write(&file, values)?;
    let mut more = Vec::new();
    for api in apis {
        more.extend(["--api-versions", *api]);
    }
    let text = template("helm3", &own, &file, &more)?.map_err(anyhow::Error::msg)?;
    let objects = read_as_kubectl(&text)?;
    Ok(the(&objects, "Notes")?["text"]
        .as_str()
        .context("text")?
        .to_owned())
}

const OPERATOR: &str = "monitoring.coreos.com/v1";
const KEDA: &str = "keda.sh/v1alpha1";
const NO_MONITOR: &str = "neither serviceMonitor.enabled nor podMonitor.enabled is set";
const INSTALL: &str = "helm upgrade --install keda kedacore/keda";
const NO_OPERATOR: &str = "the Prometheus operator's API monitoring.coreos.com/v1 was not found";
/// Values and APIs, what the notes then say, and what they do not say.
const NOTES: &[Notes] = &[
    (
        "",
        &[],
        &[
            "port-forward service/shop-bullmq-exporter 9538:9538",
            "curl -s http://localhost:9538/metrics | grep",
            NO_MONITOR,
            "by a scrape_config",
            INSTALL,
            "--set prometheus.operator.enabled=true",
            "bullmq-keda init --exporter http://localhost:9538 -o spec.yaml\n  bullmq-keda generate spec.yaml -o scaledobjects.yaml",
        ],
        &[NO_OPERATOR],
    ),
    (
        "",
        &[OPERATOR, KEDA],
        &["The Prometheus operator is here: set serviceMonitor.enabled=true"],
        &[INSTALL, NO_OPERATOR],
    ),
    (
        "serviceMonitor: {enabled: true}",
        &[],
        &[NO_OPERATOR],
        &[NO_MONITOR],
    ),
    (
        "serviceMonitor: {enabled: true}",
        &[OPERATOR, KEDA],
        &[],
        &["WARNING"],
    ),
    (
        "serviceMonitor: {enabled: true}\nweb: {routePrefix: /q, existingSecret: {name: s, tls: true, credentials: true}}",
        &[OPERATOR],
        &[
            "curl -sk --user USER https://localhost:9538/q/metrics",
            "the monitor has none: set its basicAuth or tlsConfig",
            "curl -sk --user USER https://localhost:9538/q/metrics | bullmq-keda init --exporter - -o spec.yaml",
            "checks that the exporter listens; it has no credentials to ask more",
        ],
        &[],
    ),
    (
        "replicaCount: 2\nacknowledgeDuplicateSeries: true",
        &[],
        &["WARNING: 2 exporters serve every series as often"],
        &["shard"],
    ),
    (
        "shards: 4\nservice: {port: 80}",
        &[],
        &[
            "port-forward service/shop-bullmq-exporter-shards 9538:9538",
            "logs --selector app.kubernetes.io/instance=shop,app.kubernetes.io/name=bullmq-exporter --prefix",
            "in one of the 4 shards",
            "scrape every shard: dns_sd_configs with the name shop-bullmq-exporter-shards.default.svc, type A, port 9538",
            "for shard in $(seq 0 3); do\n    kubectl get --raw \
                 /api/v1/namespaces/default/pods/shop-bullmq-exporter-$shard:9538/proxy/metrics\n  done | bullmq-keda init --exporter - -o spec.yaml",
        ],
        &["by a scrape_config", "init sees the queues of the shard"],
    ),
    (
        "shards: 2\nweb: {telemetryPath: /m, existingSecret: {name: s, tls: true, credentials: true}}",
        &[],
        &[
            "curl -sk --user USER https://localhost:9538/m | bullmq-keda init --exporter - ",
            "init sees the queues of the shard that it asks",
        ],
        &["kubectl get --raw"],
    ),
    (
        "web: {telemetryPath: /m, routePrefix: /q}\nprometheusRule: {enabled: true}",
        &[OPERATOR],
        &[
            "bullmq-keda init --exporter http://localhost:9538/q/m -o spec.yaml",
            "bullmq-keda generate spec.yaml --alerts -o scaledobjects.yaml",
            "checks that every bullmq_up is 1.",
        ],
        &["No alerts were made"],
    ),
];

#[test]
fn the_notes_tell_the_next_command_and_what_is_missing() {
    for (values, apis, said, not_said) in NOTES {
        let notes = notes(&format!("{SOME_REDIS}{values}\n"), apis).unwrap();
        for sentence in *said {
            assert!(
                notes.contains(sentence),
                "{values} {apis:?}, {sentence}: {notes}"
            );
        }
        for sentence in *not_said {
            assert!(
                !notes.contains(sentence),
                "{values} {apis:?}, {sentence}: {notes}"
            );
        }
    }
}

/// The pod of the Deployment, or the second one of the `StatefulSet`, on this machine: its arguments and environment, and its volumes as files below a folder of its own.
struct Pod {
    /// Kept until the pod is gone.
    _folder: tempfile::TempDir,
    arguments: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Pod {
    /// Lays out the volumes; what Secrets have that the chart does not make comes from `secret`, by name and key.
    fn of(objects: &[Value], secret: &dyn Fn(&str, &str) -> String) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let here = folder.path().join("root").display().to_string();
        let moved = |text: &str| text.replace(FOLDER, &format!("{here}{FOLDER}"));
        let workload = workload(objects)?;
        let spec = workload.pointer("/spec/template/spec").context("a pod")?;
        let container = spec.pointer("/containers/0").context("a container")?;
        let content = |kind: &str, name: &str, key: &str| -> Result<String> {
            let made = objects
                .iter()
                .find(|object| object["kind"] == kind && named(object, name));
            let Some(made) = made else {
                ensure!(kind == "Secret", "there is no {kind} {name}");
                return Ok(secret(name, key));
            };
            let field = if kind == "Secret" {
                "stringData"
            } else {
                "data"
            };
            let text = made[field].get(key).and_then(Value::as_str);
            Ok(moved(text.with_context(|| format!("no {key} in {name}"))?))
        };
        for mount in list(&container["volumeMounts"]) {
            let path = mount["mountPath"].as_str().context("a path")?;
            let to = PathBuf::from(format!("{here}{path}"));
            fs::create_dir_all(&to)?;
            let volume = list(&spec["volumes"])
                .into_iter()
                .find(|volume| volume["name"] == mount["name"])
                .with_context(|| format!("no volume for {mount}"))?;
            let files: Vec<(String, String)> = if let Some(map) = volume.get("configMap") {
                let name = map["name"].as_str().context("a name")?;
                vec![(
                    "exporter.yaml".to_owned(),
                    content("ConfigMap", name, "exporter.yaml")?,
                )]
            } else if let Some(of) = volume.get("secret") {
                let name = of["secretName"].as_str().context("a name")?;
                // A Secret without items has all its keys; these are those that the values name.
                let everything =
                    json!(["tls.crt", "tls.key"].map(|key| json!({"key": key, "path": key})));
                let items = of.get("items").unwrap_or(&everything);
                let item = |item: &Value| -> Result<(String, String)> {
                    let key = item["key"].as_str().context("a key")?;
                    Ok((
                        item["path"].as_str().context("a path")?.to_owned(),
                        content("Secret", name, key)?,
                    ))
                };
                list(items).into_iter().map(item).collect::<Result<_>>()?
            } else {
                continue;
            };
            for (name, text) in files {
                fs::write(to.join(name), text)?;
            }
        }
        let mut environment = Vec::new();
        for variable in list(&container["env"]) {
            let name = variable["name"].as_str().context("a name")?.to_owned();
            let label = variable.pointer("/valueFrom/fieldRef/fieldPath");
            let value = match (variable.pointer("/valueFrom/secretKeyRef"), label) {
                (Some(from), _) => secret(
                    from["name"].as_str().context("a name")?,
                    from["key"].as_str().context("a key")?,
                ),
                (None, Some(label)) => {
                    ensure!(label == "metadata.labels['apps.kubernetes.io/pod-index']");
                    "1".to_owned()
                }
                (None, None) => variable["value"].as_str().context("a value")?.to_owned(),
            };
            environment.push((name, value));
        }
        // As the kubelet does it: <https://github.com/kubernetes/kubernetes/blob/v1.35.5/third_party/forked/golang/expansion/expand.go>.
        let expanded = |argument: &str| {
            let mut argument = argument.replace("$$", "\0");
            for (name, value) in &environment {
                argument = argument.replace(&format!("$({name})"), value);
            }
            argument.replace('\0', "$")
        };
        let arguments = list(&container["args"])
            .into_iter()
            .map(|argument| Ok(expanded(&moved(argument.as_str().context("an argument")?))))
            .collect::<Result<_>>()?;
        Ok(Self {
            _folder: folder,
            arguments,
            environment,
        })
    }

    fn started(&self) -> Result<Exporter> {
        // How to log is the harness' own choice, by which it learns the port.
        let arguments: Vec<&str> = self
            .arguments
            .iter()
            .map(String::as_str)
            .filter(|argument| !argument.starts_with("--log.format="))
            .collect();
        Exporter::start_in(&self.environment, &arguments)
    }
}

fn named(object: &Value, name: &str) -> bool {
    object
        .pointer("/metadata/name")
        .is_some_and(|found| found == name)
}

fn list(value: &Value) -> Vec<&Value> {
    value.as_array().into_iter().flatten().collect()
}

/// What a Secret that somebody else makes may hold: certificates by their usual names, URLs, and passwords.
fn some_secret(certificates: &Path) -> impl Fn(&str, &str) -> String {
    let read = |name: &str| fs::read_to_string(certificates.join(name)).unwrap_or_default();
    let (authority, certificate, key) = (read("ca.pem"), read("host.pem"), read("host.key"));
    move |_, name| match name {
        "ca.crt" => authority.clone(),
        "tls.crt" => certificate.clone(),
        "tls.key" => key.clone(),
        "web.yml" => "basic_auth_users: {}\n".to_owned(),
        "REDIS_URL" => "redis://:hunter2@redis".to_owned(),
        _ => "hunter2".to_owned(),
    }
}

fn certificates() -> Result<tempfile::TempDir> {
    let folder = tempfile::tempdir()?;
    let authority = Authority::new()?;
    authority.write(&folder.path().join("ca.pem"))?;
    authority.issue(folder.path(), "host", "localhost")?;
    Ok(folder)
}

#[test]
fn the_exporter_itself_takes_the_arguments_environment_and_files_of_every_pod() {
    let certificates = certificates().unwrap();
    let secret = some_secret(certificates.path());
    for (name, values) in values_files().unwrap() {
        let text = template("helm4", &chart(), &values, &[]).unwrap().unwrap();
        let objects = read_as_kubectl(&text).unwrap();
        let pod = Pod::of(&objects, &secret).unwrap();
        let output = Command::new(ours("bullmq-exporter").unwrap())
            .args(&pod.arguments)
            .arg("--config.check")
            .envs(pod.environment.iter().map(|(name, value)| (name, value)))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "{name} {:?}: {said}",
            pod.arguments
        );
    }
}

/// A Redis with a password and one waiting job of the queue `email`.
fn redis_with_a_job() -> Result<Redis> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?.run("await queue('email').add('job', {});")?;
    redis.run(&["CONFIG", "SET", "requirepass", "hunter2"])?;
    Ok(redis)
}

fn pod_of(values: &str, secret: &dyn Fn(&str, &str) -> String) -> Result<Pod> {
    let objects = rendered("helm3", values)?.map_err(anyhow::Error::msg)?;
    Pod::of(&objects, secret)
}

#[test]
fn the_pod_serves_a_real_redis_by_each_way_to_name_it() {
    let redis = redis_with_a_job().unwrap();
    let (port, certificates) = (redis.port(), certificates().unwrap());
    let usual = some_secret(certificates.path());
    let secret = |name: &str, key: &str| match key {
        "url" => format!("redis://:hunter2@127.0.0.1:{port}"),
        _ => usual(name, key),
    };
    for (values, name) in [
        (
            format!("redis: {{url: 'redis://127.0.0.1:{port}', existingSecret: {{name: s}}}}"),
            "default",
        ),
        (
            "redis: {existingSecret: {name: s, urlKey: url}}".to_owned(),
            "default",
        ),
        (
            format!(
                "config: {{redis: [{{name: main, url: 'redis://127.0.0.1:{port}', password_file: {FOLDER}/secrets/s/p}}]}}\nsecretMounts: [{{name: s, items: [{{key: p, path: p}}]}}]"
            ),
            "main",
        ),
    ] {
        let pod = pod_of(
            &format!("{values}\ndiscovery: {{interval: 200ms}}"),
            &secret,
        )
        .unwrap();
        let exporter = pod.started().unwrap();
        let scrape = exporter.scrape_when_found("email").unwrap();
        for line in [
            format!("bullmq_up{{redis=\"{name}\"}} 1\n"),
            format!(
                "bullmq_queue_ready_jobs{{redis=\"{name}\",prefix=\"bull\",queue=\"email\"}} 1\n"
            ),
        ] {
            assert!(scrape.text.contains(&line), "{values}: {}", scrape.text);
        }
        assert!(!pod.arguments.concat().contains("hunter2"));
    }
}

#[test]
fn probes_and_the_test_of_helm_find_what_they_ask_for() {
    let redis = redis_with_a_job().unwrap();
    let values = format!(
        "redis: {{url: 'redis://127.0.0.1:{}', existingSecret: {{name: s}}}}\nweb: {{routePrefix: /q, telemetryPath: /m}}\nstartupProbe: {{failureThreshold: 2}}\nserviceMonitor: {{enabled: true}}",
        redis.port()
    );
    let objects = rendered("helm4", &values).unwrap().unwrap();
    let right = Pod::of(&objects, &|_, _| "hunter2".to_owned()).unwrap();
    let exporter = right.started().unwrap();
    let container =
        &the(&objects, "Deployment").unwrap()["spec"]["template"]["spec"]["containers"][0];
    let monitor = &the(&objects, "ServiceMonitor").unwrap()["spec"]["endpoints"][0]["path"];
    let mut paths: Vec<&Value> = ["livenessProbe", "readinessProbe", "startupProbe"]
        .map(|probe| &container[probe]["httpGet"]["path"])
        .to_vec();
    paths.push(monitor);
    for path in paths {
        let (status, _) = exporter.get(path.as_str().unwrap()).unwrap();
        assert_eq!(status, 200, "{path}");
    }
    let script = the(&objects, "Pod").unwrap()["spec"]["containers"][0]["args"][0]
        .as_str()
        .unwrap();
    let run = |exporter: &Exporter| {
        let script = script.replace("shop-bullmq-exporter:9538", exporter.address());
        Command::new("sh").args(["-ec", &script]).output().unwrap()
    };
    wait_until("the test passes", Duration::from_secs(20), || {
        Ok(run(&exporter).status.success().then_some(()))
    })
    .unwrap();
    // With a wrong password it does not, and says where to look.
    let wrong = Pod::of(&objects, &|_, _| "wrong".to_owned()).unwrap();
    let output = run(&wrong.started().unwrap());
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        said.contains("a Redis does not answer: see the log of the exporter"),
        "{said}"
    );
}

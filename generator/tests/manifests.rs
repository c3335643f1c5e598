//! What is printed, read by others: the archived `serde_yaml` as a foreign reader of YAML, `promql-parser` as one of PromQL.
//!
//! The rules that are prevented by construction are asserted one by one over every object, those of the examples and those of
//! specs with hostile names.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use bullmq_keda::{Error, Input, generate};
use promql_parser::label::{MatchOp, Matcher};
use promql_parser::parser::{Expr, VectorSelector, value::ValueType};
use proptest::prelude::*;
use serde::Deserialize as _;
use serde_yaml::Value;

fn generated(spec: &str) -> Result<String, Error> {
    let name = "spec.yaml".to_owned();
    generate(vec![Input {
        name: name.clone(),
        short_name: name,
        bytes: spec.as_bytes().to_vec(),
    }])
}

fn objects(yaml: &str) -> Result<Vec<Value>, serde_yaml::Error> {
    serde_yaml::Deserializer::from_str(yaml)
        .map(Value::deserialize)
        .collect()
}

/// A YAML string in double quotes, whatever is in it: JSON's escapes are YAML's.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for character in text.chars() {
        match character {
            'a'..='z' | 'A'..='Z' | '0'..='9' => out.push(character),
            // Writing to a String cannot fail.
            other => {
                let _ = write!(out, "\\U{:08x}", u32::from(other));
            }
        }
    }
    out.push('"');
    out
}

fn spec_of(queues: &[String], min: u32, scale: &str) -> String {
    let queues: Vec<String> = queues.iter().map(|queue| quoted(queue)).collect();
    format!(
        "apiVersion: bullmq-keda/v1\n\
         prometheus: {{serverAddress: \"http://prometheus:9090\"}}\n\
         workers:\n  \
         - name: worker\n    queues: [{}, {{name: other, prefix: {}, optional: true}}]\n    \
           concurrency: 10\n    replicas: {{min: {min}, max: 20}}\n    scale: {scale}\n    \
           job: {{mean: 1500ms}}\n",
        queues.join(", "),
        quoted("{p}\"\\"),
    )
}

fn text<'v>(value: &'v Value, path: &[&str]) -> Option<&'v str> {
    path.iter()
        .try_fold(value, |value, key| value.get(key))?
        .as_str()
}

fn triggers(object: &Value) -> Vec<&Value> {
    let triggers = object.get("spec").and_then(|spec| spec.get("triggers"));
    triggers
        .and_then(Value::as_sequence)
        .into_iter()
        .flatten()
        .collect()
}

fn selectors<'e>(expr: &'e Expr, found: &mut Vec<&'e VectorSelector>) {
    match expr {
        Expr::Aggregate(aggregate) => selectors(&aggregate.expr, found),
        Expr::Unary(unary) => selectors(&unary.expr, found),
        Expr::Binary(binary) => {
            selectors(&binary.lhs, found);
            selectors(&binary.rhs, found);
        }
        Expr::Paren(paren) => selectors(&paren.expr, found),
        Expr::Subquery(subquery) => selectors(&subquery.expr, found),
        Expr::VectorSelector(selector) => found.push(selector),
        Expr::MatrixSelector(matrix) => found.push(&matrix.vs),
        Expr::Call(call) => call.args.args.iter().for_each(|arg| selectors(arg, found)),
        Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => {}
    }
}

fn matcher<'s>(selector: &'s VectorSelector, name: &str) -> Option<&'s Matcher> {
    selector
        .matchers
        .matchers
        .iter()
        .find(|matcher| matcher.name == name)
}

/// Whether the matcher takes a value: a regular expression is anchored, as in Prometheus.
fn takes(matcher: &Matcher, value: &str) -> bool {
    match &matcher.op {
        MatchOp::Equal => matcher.value == value,
        MatchOp::Re(regex) => regex
            .find_iter(value)
            .any(|found| found.range() == (0..value.len())),
        MatchOp::NotEqual | MatchOp::NotRe(_) => false,
    }
}

/// The keys that a ScaledObject of ours may have, by the path of their mapping:
/// <https://github.com/kedacore/keda/blob/v2.20.2/apis/keda/v1alpha1/scaledobject_types.go> and
/// <https://github.com/kedacore/keda/blob/v2.20.2/pkg/scalers/prometheus_scaler.go>. The API server drops others in silence.
const KEYS: &[(&str, &[&str])] = &[
    ("", &["apiVersion", "kind", "metadata", "spec"]),
    (".metadata", &["name", "namespace", "labels", "annotations"]),
    (
        ".metadata.labels",
        &["team", "app.kubernetes.io/managed-by"],
    ),
    (
        ".metadata.annotations",
        &["scaledobject.keda.sh/hpa-excluded-labels"],
    ),
    (
        ".spec",
        &[
            "scaleTargetRef",
            "pollingInterval",
            "cooldownPeriod",
            "initialCooldownPeriod",
            "minReplicaCount",
            "maxReplicaCount",
            "fallback",
            "advanced",
            "triggers",
        ],
    ),
    (".spec.scaleTargetRef", &["apiVersion", "kind", "name"]),
    (
        ".spec.fallback",
        &["failureThreshold", "replicas", "behavior"],
    ),
    (".spec.advanced", &["horizontalPodAutoscalerConfig"]),
    (
        ".spec.advanced.horizontalPodAutoscalerConfig",
        &["behavior", "name"],
    ),
    (
        ".spec.advanced.horizontalPodAutoscalerConfig.behavior",
        &["scaleUp", "scaleDown"],
    ),
    (
        ".spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleUp",
        &[
            "stabilizationWindowSeconds",
            "tolerance",
            "selectPolicy",
            "policies",
        ],
    ),
    (
        ".spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown",
        &["stabilizationWindowSeconds", "selectPolicy", "policies"],
    ),
    (
        ".spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleUp.policies[]",
        &["type", "value", "periodSeconds"],
    ),
    (
        ".spec.advanced.horizontalPodAutoscalerConfig.behavior.scaleDown.policies[]",
        &["type", "value", "periodSeconds"],
    ),
    (
        ".spec.triggers[]",
        &[
            "type",
            "name",
            "metricType",
            "metadata",
            "authenticationRef",
        ],
    ),
    (".spec.triggers[].authenticationRef", &["name", "kind"]),
    (
        ".spec.triggers[].metadata",
        &[
            "serverAddress",
            "query",
            "threshold",
            "activationThreshold",
            "ignoreNullValues",
            "timeout",
            "customHeaders",
            "queryParameters",
            "namespace",
            "authModes",
            "awsRegion",
        ],
    ),
];

fn unknown_keys(value: &Value, path: &str, unknown: &mut Vec<String>) {
    match value {
        Value::Mapping(mapping) => {
            let known = KEYS
                .iter()
                .find(|(at, _)| *at == path)
                .map_or(&[][..], |(_, keys)| keys);
            for (key, value) in mapping {
                let key = key.as_str().unwrap_or_default();
                if !known.contains(&key) {
                    unknown.push(format!("{path}.{key}"));
                }
                unknown_keys(value, &format!("{path}.{key}"), unknown);
            }
        }
        Value::Sequence(items) => {
            for item in items {
                unknown_keys(item, &format!("{path}[]"), unknown);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Tagged(_) => {}
    }
}

/// What is wrong with one object, by the rules that are prevented by construction.
fn faults(object: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let mut fault = |is: bool, rule: &str| {
        if is {
            faults.push(rule.to_owned());
        }
    };
    let mut unknown = Vec::new();
    unknown_keys(object, "", &mut unknown);
    fault(!unknown.is_empty(), &format!("unknown keys {unknown:?}"));
    fault(
        text(object, &["apiVersion"]) != Some("keda.sh/v1alpha1"),
        "apiVersion",
    );
    fault(text(object, &["kind"]) != Some("ScaledObject"), "kind");
    let name = text(object, &["metadata", "name"]).unwrap_or_default();
    fault(
        name.is_empty() || name.len() > 54,
        "KN001: the HPA's name is too long",
    );
    fault(
        text(object, &["spec", "scaleTargetRef", "name"]).is_none(),
        "no target",
    );

    let spec = object.get("spec").cloned().unwrap_or_default();
    let number = |key: &str| spec.get(key).and_then(Value::as_u64);
    let (min, max) = (number("minReplicaCount"), number("maxReplicaCount"));
    fault(min.is_none(), "KR004: no minReplicaCount");
    fault(max.is_none(), "KR005: no maxReplicaCount");
    fault(
        min > max || max < Some(1),
        "KR001: min above max, or max below 1",
    );
    fault(
        spec.get("idleReplicaCount").is_some(),
        "KR002: idleReplicaCount",
    );
    let cooldown = number("cooldownPeriod");
    if min == Some(0) {
        fault(
            cooldown.is_none() || number("initialCooldownPeriod") != cooldown,
            "KR007",
        );
        fault(number("pollingInterval").is_none(), "no pollingInterval");
    } else {
        let useless = ["pollingInterval", "cooldownPeriod", "initialCooldownPeriod"];
        fault(
            useless.iter().any(|key| spec.get(key).is_some()),
            "KR009: a field without effect",
        );
    }
    let behavior = ["advanced", "horizontalPodAutoscalerConfig", "behavior"];
    let behavior = behavior.iter().try_fold(&spec, |value, key| value.get(key));
    fault(behavior.is_none(), "KR011: no behavior");
    if let Some(fallback) = spec.get("fallback") {
        let replicas = fallback.get("replicas").and_then(Value::as_u64);
        fault(
            replicas < Some(1) || replicas > max || replicas < min,
            "KF001, KF002",
        );
    }

    trigger_faults(object, &mut fault);
    faults
}

fn trigger_faults(object: &Value, fault: &mut impl FnMut(bool, &str)) {
    let triggers = triggers(object);
    fault(triggers.is_empty(), "no trigger");
    let names: BTreeSet<_> = triggers
        .iter()
        .filter_map(|trigger| text(trigger, &["name"]))
        .collect();
    fault(
        names.len() != triggers.len(),
        "a trigger without a name of its own",
    );
    for trigger in triggers {
        fault(text(trigger, &["type"]) != Some("prometheus"), "type");
        fault(
            text(trigger, &["metricType"]) != Some("AverageValue"),
            "KS004: metricType",
        );
        let metadata = trigger.get("metadata").and_then(Value::as_mapping);
        let values: Vec<&Value> = metadata
            .into_iter()
            .flatten()
            .map(|(_, value)| value)
            .collect();
        let texts = values.len() >= 6 && values.iter().all(|value| value.is_string());
        fault(!texts, "KS002: a value is no text");
        let get = |key: &str| text(trigger, &["metadata", key]).unwrap_or_default();
        fault(
            get("ignoreNullValues") != "false",
            "KQ001: a lost metric would be 0",
        );
        fault(get("activationThreshold") != "0", "activationThreshold");
        fault(get("timeout") != "5s", "KS008: timeout");
        let threshold: f64 = get("threshold").parse().unwrap_or(f64::NAN);
        let json = !get("threshold").starts_with(['.', '+', '-'])
            && !get("threshold").contains(['e', '_']);
        fault(
            !(threshold >= 0.001 && json),
            "KS003: the threshold is no positive JSON number",
        );
        match promql_parser::parser::parse(get("query")) {
            Ok(query) => query_faults(&query, names.contains("wake"), fault),
            Err(error) => fault(true, &format!("the query is no PromQL: {error}")),
        }
    }
}

fn query_faults(query: &Expr, wakes: bool, fault: &mut impl FnMut(bool, &str)) {
    fault(
        query.value_type() != ValueType::Vector,
        "KQ002, KQ003: not an instant vector",
    );
    let single = |expr: &Expr| {
        // clamp_max of a sum of aggregations without `by` has no labels either.
        let clamped = matches!(expr, Expr::Call(call) if call.func.name == "clamp_max");
        let summed = matches!(expr, Expr::Aggregate(aggregate) if aggregate.modifier.is_none());
        clamped || summed
    };
    let (value, guard) = if let Expr::Binary(binary) = query
        && binary.op.to_string() == "and"
    {
        (binary.lhs.as_ref(), Some(&binary.rhs))
    } else {
        (query, None)
    };
    fault(!single(value), "KQ004: not one series");
    fault(guard.is_none() && !wakes, "KQ010, KQ011: no guard");
    let printed = query.to_string();
    fault(
        printed.contains("vector(0)"),
        "KQ005: a lost metric would be 0",
    );
    fault(printed.len() > 20_000, "KQ013: too long");
}

fn examples() -> std::io::Result<BTreeMap<String, String>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples");
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder)? {
        let file = entry?.path().join("expected/scaledobjects.yaml");
        if file.is_file() {
            found.insert(file.display().to_string(), std::fs::read_to_string(file)?);
        }
    }
    Ok(found)
}

#[test]
fn the_objects_of_every_example_keep_every_rule() {
    for (file, yaml) in examples().unwrap() {
        let objects = objects(&yaml).unwrap();
        assert!(!objects.is_empty(), "{file}");
        for object in objects {
            // Those of the other kinds are held against the whole table of their kind, by a test beside it.
            if text(&object, &["kind"]) == Some("ScaledObject") {
                assert_eq!(faults(&object), Vec::<String>::new(), "{file}");
            }
        }
    }
}

#[test]
fn the_rules_find_what_they_are_for() {
    let good = generated(&spec_of(&["a".to_owned()], 0, "slots")).unwrap();
    for (from, to) in [
        ("ignoreNullValues: \"false\"", "ignoreNullValues: \"true\""),
        ("threshold: \"10\"", "threshold: 10"),
        ("threshold: \"10\"", "threshold: \"0\""),
        ("minReplicaCount: 0\n", "\n"),
        ("maxReplicaCount: 20", "maxReplicaCount: 0"),
        ("metricType: AverageValue", "metricType: Utilization"),
        ("initialCooldownPeriod: 120\n", "\n"),
        (
            "horizontalPodAutoscalerConfig",
            "horizontalPodAutoScalerConfig",
        ),
        ("name: wake", "name: demand"),
        ("sum(", "sum by (queue) ("),
    ] {
        assert!(good.contains(from), "{from}");
        let bad = good.replace(from, to);
        let found: Vec<_> = objects(&bad).unwrap().iter().flat_map(faults).collect();
        assert!(!found.is_empty(), "{from} -> {to}");
    }
}

/// Texts that a reader of YAML 1.1 takes for something else: <https://yaml.org/type/>.
const TRAPS: [&str; 24] = [
    "on",
    "off",
    "yes",
    "no",
    "y",
    "n",
    "true",
    "null",
    "1e3",
    "0123",
    "10",
    "0",
    "2026-01-01",
    "0x10",
    "1.5",
    "0o7",
    "nan",
    "inf",
    "false",
    "1e-3",
    "12e03",
    "0b1",
    "685.230",
    "2001-12-14",
];

#[test]
fn a_name_that_yaml_1_1_misreads_is_quoted() {
    for trap in TRAPS {
        let spec = format!(
            "apiVersion: bullmq-keda/v1\nprometheus: {{serverAddress: \"http://prometheus:9090\"}}\n\
             workers:\n- name: \"{trap}\"\n  namespace: \"{}\"\n  target: {{name: \"{trap}\"}}\n  queues: [a]\n  \
             concurrency: 1\n  replicas: {{min: 0, max: 1}}\n",
            trap.replace('.', "-")
        );
        let yaml = generated(&spec).unwrap();
        let bare = format!("name: {trap}\n");
        assert!(!yaml.contains(&bare), "{trap}: {yaml}");
        for object in objects(&yaml).unwrap() {
            assert_eq!(text(&object, &["metadata", "name"]), Some(trap));
            assert_eq!(
                text(&object, &["spec", "scaleTargetRef", "name"]),
                Some(trap)
            );
            assert_eq!(faults(&object), Vec::<String>::new());
        }
    }
}

#[test]
fn the_guard_counts_only_queues_that_must_exist() {
    let queues = ["a", "b"].map(ToOwned::to_owned);
    let yaml = generated(&spec_of(&queues, 0, "slots")).unwrap();
    let object = objects(&yaml).unwrap().remove(0);
    let queries: Vec<&str> = triggers(&object)
        .iter()
        .filter_map(|t| text(t, &["metadata", "query"]))
        .collect();
    let (value, guard) = queries[0].split_once("\nand on() ").unwrap();
    assert!(guard.ends_with(" == 2)"), "{guard}");
    assert_eq!(
        (value.contains("other"), guard.contains("other")),
        (true, false)
    );
    assert_eq!(queries[1], value);
}

#[test]
fn the_first_trigger_stays_the_first() {
    let queues = ["a", "b"].map(ToOwned::to_owned);
    for (min, expected) in [(0, vec!["demand", "wake"]), (1, vec!["demand"])] {
        let yaml = generated(&spec_of(&queues, min, "slots")).unwrap();
        let object = objects(&yaml).unwrap().remove(0);
        let names: Vec<_> = triggers(&object)
            .iter()
            .filter_map(|t| text(t, &["name"]))
            .collect();
        assert_eq!(names, expected);
    }
}

/// Names of the kinds that have gone wrong somewhere: quotes, escapes, expressions, blanks, line ends, foreign scripts.
fn nasty_name() -> impl Strategy<Value = String> {
    let pieces = prop_oneof![
        "[a-z]{1,4}",
        r#"["'\\`|.*+?(){}\[\]^$/#:,&%@!~<>= -]{1,3}"#,
        Just("\n".to_owned()),
        Just("\r\n".to_owned()),
        Just("\t".to_owned()),
        Just("\u{85}\u{2028}\u{2029}".to_owned()),
        Just("\u{feff}\u{200b}\u{202e}".to_owned()),
        Just("ä漢字😀\u{301}".to_owned()),
        Just("\u{1}\u{7f}\u{1b}[31m".to_owned()),
        Just("{{x}}${y}%s".to_owned()),
        Just("0123".to_owned()),
        Just("- |-\n  ---\n...".to_owned()),
        proptest::char::any()
            .prop_filter("NUL is refused", |c| *c != '\0')
            .prop_map(String::from),
    ];
    proptest::collection::vec(pieces, 1..5).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(192) })]

    #[test]
    fn whatever_a_queue_is_called_it_is_matched_exactly(
        names in proptest::collection::btree_set(nasty_name(), 1..4),
        stranger in nasty_name(),
        min in 0_u32..2,
        scale in prop_oneof![
            Just("slots"),
            Just("slots\n    rateLimit: 100/1m"),
            Just("{jobsPerReplica: 0.5}"),
            Just("{startWithin: 1m}"),
            Just("{startWithin: 1m}\n    rateLimit: 100/1m"),
        ],
    ) {
        let queues: Vec<String> = names.iter().cloned().collect();
        let yaml = generated(&spec_of(&queues, min, scale)).unwrap();
        let read = objects(&yaml).unwrap();
        let again: Value = serde_saphyr::from_str(&yaml).unwrap();
        prop_assert_eq!(&read, &vec![again]);
        prop_assert_eq!(faults(&read[0]), Vec::<String>::new());
        for trigger in triggers(&read[0]) {
            let query = text(trigger, &["metadata", "query"]).unwrap();
            let query = promql_parser::parser::parse(query).unwrap();
            let mut found = Vec::new();
            selectors(&query, &mut found);
            prop_assert!(!found.is_empty());
            for selector in found {
                let value = |name| matcher(selector, name).unwrap().value.as_str();
                prop_assert_eq!(value("redis"), "default");
                let queue = matcher(selector, "queue").unwrap();
                if value("prefix") == "bull" {
                    for name in &queues {
                        prop_assert!(takes(queue, name), "{:?} by {}", name, queue);
                    }
                    prop_assert_eq!(takes(queue, &stranger), names.contains(&stranger), "{} by {}", stranger, queue);
                    let longer = format!("{}x", queues[0]);
                    prop_assert_eq!(takes(queue, &longer), names.contains(&longer));
                } else {
                    prop_assert_eq!(value("prefix"), "{p}\"\\");
                    prop_assert_eq!(&queue.value, "other");
                }
            }
        }
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let input = Input { name: "x".to_owned(), short_name: "x".to_owned(), bytes };
        let refused = match generate(vec![input]) {
            Err(Error::Invalid { problems, .. }) => problems.len(),
            Err(Error::Output(_)) | Ok(_) => 0,
        };
        prop_assert!(refused > 0);
    }

    #[test]
    fn no_mangled_spec_makes_it_panic(
        from in 0_usize..400,
        length in 0_usize..40,
        patch in r#"[-\[\]{}:,#&*!|>'"%@`\n\r\t <~0-9a-z\u{feff}]{0,12}"#,
    ) {
        let spec = spec_of(&["a".to_owned()], 0, "{startWithin: 1m}");
        let from = from.min(spec.len());
        let to = (from + length).min(spec.len());
        let (before, after) = (spec.get(..from).unwrap(), spec.get(to..).unwrap());
        let spec = format!("{before}{patch}{after}");
        if let Err(Error::Invalid { problems, sources }) = generated(&spec) {
            prop_assert!(!bullmq_keda::report::text(&problems, &sources, "no manifest was written", true).is_empty());
        }
    }
}

#[test]
fn hostile_inputs_are_refused_in_a_moment() {
    let good = spec_of(&["a".to_owned()], 0, "slots");
    let laughs: String = (1..60).fold("a0: &a0 [x]\n".to_owned(), |mut text, level| {
        let _ = writeln!(text, "a{level}: &a{level} [*a{0}, *a{0}]", level - 1);
        text
    });
    for (spec, rule) in [
        ("[".repeat(100_000), "yaml/"),
        ("- ".repeat(100_000), "yaml/"),
        ("{a: ".repeat(100_000), "yaml/"),
        (laughs, "yaml/bounds"),
        ("x".repeat(10_000_000), "yaml/bounds"),
        ("a: b\n".repeat(100_000), "yaml/"),
        (String::new(), "spec/empty"),
        ("\u{feff}# comment\r\n".to_owned(), "spec/empty"),
        ("---\n...\n---\n".to_owned(), "spec/empty"),
        ("~".to_owned(), "spec/empty"),
        ("a\tb:\tc\n\t- d".to_owned(), "/"),
        (
            good.replace("concurrency: 10", "concurrency: 1e99"),
            "spec/wrong-type",
        ),
        (
            good.replace("concurrency: 10", "concurrency: .nan"),
            "spec/wrong-type",
        ),
        (
            good.replace("concurrency: 10", "concurrency: 99999999999999999999999"),
            "concurrency/range",
        ),
        (
            good.replace("1500ms", "99999999999999999999y"),
            "duration/unreadable",
        ),
        (
            good.replace("- name", "- <<: {min: 3}\n    name"),
            "spec/unknown-field",
        ),
        (
            good.replace("replicas:", "? {a: b}\n    : c\n    replicas:"),
            "spec/unknown-field",
        ),
        (good.replace("scale:", "*nowhere :"), "yaml/syntax"),
    ] {
        let Err(Error::Invalid { problems, sources }) = generated(&spec) else {
            panic!("not refused: {spec:.200}");
        };
        let ids: Vec<&str> = problems.iter().map(|problem| problem.rule.id()).collect();
        assert!(
            ids.iter().any(|id| id.contains(rule)),
            "{rule}: {ids:?} for {spec:.200}"
        );
        let told = bullmq_keda::report::text(&problems, &sources, "no manifest was written", false);
        assert!(told.len() < 200_000, "{rule}: {} bytes", told.len());
    }
}

#[test]
fn a_byte_order_mark_and_windows_line_ends_change_nothing() {
    let good = spec_of(&["a".to_owned()], 0, "slots");
    let windows = format!("\u{feff}{}", good.replace('\n', "\r\n"));
    assert_eq!(generated(&windows).unwrap(), generated(&good).unwrap());
    let wrong = windows.replace("max: 20", "max: x");
    let Err(Error::Invalid { problems, sources }) = generated(&wrong) else {
        panic!("not refused")
    };
    let told = bullmq_keda::report::text(&problems, &sources, "no manifest was written", false);
    assert!(told.contains("spec.yaml:7:29"), "{told}");
}

#[test]
fn anchors_and_aliases_are_followed() {
    let good = spec_of(&["a".to_owned()], 0, "slots");
    let aliased = good
        .replace("name: worker", "name: &n worker")
        .replace("[\"a\"", "[*n");
    let plain = good.replace("[\"a\"", "[worker");
    // The header tells the specs apart by their digests.
    let documents = |spec: &str| {
        let yaml = generated(spec).unwrap();
        let (_, documents) = yaml.split_once("---\n").unwrap();
        documents.to_owned()
    };
    assert_eq!(documents(&aliased), documents(&plain));
}

#[test]
fn a_spec_of_a_thousand_workers_is_no_exception() {
    let mut spec = String::from(
        "apiVersion: bullmq-keda/v1\nprometheus: {serverAddress: \"http://prometheus:9090\"}\n\
         defaults: {concurrency: 10, replicas: {min: 0, max: 20}}\nworkers:\n",
    );
    for worker in 0..1000 {
        // Writing to a String cannot fail.
        let _ = writeln!(
            spec,
            "- {{name: worker-{worker}, queues: [queue-{worker}]}}"
        );
    }
    assert_eq!(objects(&generated(&spec).unwrap()).unwrap().len(), 1000);
}

//! What the generated queries answer where a number could deceive: each policy over each case, by Prometheus' own engine.
//!
//! `promtool test rules` evaluates over series that are written out, with stale markers and gaps where they stand. What a real scrape
//! leaves behind, a series that is gone or a target that does not answer, is shown with a real Prometheus.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use acceptance::{Prometheus, ours, promtool, wait_until};
use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};

/// Every 15 s for ten minutes.
const SAMPLES: usize = 40;
/// When the queries are asked: in the middle of the samples.
const ASKED_AT: &str = "5m";
/// The sample that is the newest then.
const NEWEST: usize = 20;

/// The worker of most cases, without what a policy adds: two queues, of two servers and prefixes.
fn worker() -> Value {
    json!({
        "name": "worker",
        "queues": ["email", {"name": "sms", "prefix": "{app}", "redis": "main"}],
        "concurrency": 10,
        "replicas": {"min": 0, "max": 20},
        "job": {"mean": "3s"},
    })
}

/// The policies, in the order in which a case names what each answers.
fn policies() -> [(&'static str, Value); 5] {
    [
        ("slots", json!({"scale": "slots"})),
        ("jobsPerReplica", json!({"scale": {"jobsPerReplica": 100}})),
        ("startWithin", json!({"scale": {"startWithin": "30s"}})),
        // Two slots, by Little's law: 40 jobs a minute of three seconds each.
        (
            "slots, limited",
            json!({"scale": "slots", "rateLimit": "40/1m"}),
        ),
        (
            "startWithin, limited",
            json!({"scale": {"startWithin": "30s"}, "rateLimit": "40/1m"}),
        ),
    ]
}

/// The queries of a worker's triggers, as the program prints them.
fn queries(prometheus: &Value, worker: &Value) -> Result<Vec<(String, String)>> {
    let address = json!({"serverAddress": "http://prometheus:9090"});
    let prometheus = extended(prometheus.clone(), &address);
    let spec = json!({
        "apiVersion": "bullmq-keda/v1",
        "prometheus": prometheus,
        "workers": [worker],
    });
    let mut child = Command::new(ours("bullmq-keda")?)
        .args(["generate", "--format", "json", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stdin = child.stdin.take().context("no stdin")?;
    stdin.write_all(spec.to_string().as_bytes())?;
    drop(stdin);
    let output = child.wait_with_output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{said}");
    let list: Value = serde_json::from_slice(&output.stdout)?;
    let triggers = list.pointer("/items/0/spec/triggers");
    triggers
        .and_then(Value::as_array)
        .context("no triggers")?
        .iter()
        .map(|trigger| {
            let text = |at: &str| {
                let text = trigger.pointer(at).and_then(Value::as_str);
                Ok::<_, anyhow::Error>(text.context("no text")?.to_owned())
            };
            Ok((text("/name")?, text("/metadata/query")?))
        })
        .collect()
}

fn extended(mut mapping: Value, with: &Value) -> Value {
    if let (Some(mapping), Some(with)) = (mapping.as_object_mut(), with.as_object()) {
        mapping.extend(with.clone());
    }
    mapping
}

/// A text of PromQL in double quotes.
fn quoted(text: &str) -> String {
    let escaped = text
        .replace('\\', "\\\\")
        .replace('"', "\\\"")
        .replace('\n', "\\n");
    format!("\"{escaped}\"")
}

/// One queue as an exporter serves it, and from when to when.
#[derive(Clone, Copy)]
struct Queue<'q> {
    redis: &'q str,
    prefix: &'q str,
    name: &'q str,
    demand: u32,
    active: u32,
    instance: &'q str,
    environment: &'q str,
    within: &'q str,
    /// The samples: from this one on.
    from: usize,
    /// Up to this one, which is not there any more.
    to: usize,
    /// Whether Prometheus was told that the series ended, as after a scrape without it.
    ended: bool,
    has_demand: bool,
    has_active: bool,
}

const EMAIL: Queue<'_> = Queue {
    redis: "default",
    prefix: "bull",
    name: "email",
    demand: 10,
    active: 4,
    instance: "a",
    environment: "prod",
    within: "1m",
    from: 0,
    to: SAMPLES,
    ended: true,
    has_demand: true,
    has_active: true,
};
const SMS: Queue<'_> = Queue {
    redis: "main",
    prefix: "{app}",
    name: "sms",
    demand: 6,
    active: 2,
    ..EMAIL
};

impl Queue<'_> {
    fn series(&self) -> Vec<Value> {
        let labels = [
            ("redis", self.redis),
            ("prefix", self.prefix),
            ("queue", self.name),
            ("instance", self.instance),
            ("environment", self.environment),
        ];
        let mut labels: Vec<String> = labels
            .iter()
            .map(|(name, value)| format!("{name}={}", quoted(value)))
            .collect();
        let values = |number: u32| {
            let before = (0..self.from).map(|_| "_".to_owned());
            let there = (self.from..self.to).map(|_| number.to_string());
            let end = (self.ended && self.to < SAMPLES).then(|| "stale".to_owned());
            before.chain(there).chain(end).collect::<Vec<_>>().join(" ")
        };
        let mut found = Vec::new();
        let mut add = |metric: &str, extra: &str, number| {
            labels.push(extra.to_owned());
            let series = format!("{metric}{{{}}}", labels.join(","));
            labels.pop();
            found.push(json!({"series": series, "values": values(number)}));
        };
        if self.has_demand {
            add("bullmq_queue_demand_jobs", "job=\"exporter\"", self.demand);
            let within = format!("within=\"{}\"", self.within);
            add("bullmq_queue_demand_ahead_jobs", &within, self.demand);
        }
        if self.has_active {
            add("bullmq_job_count", "state=\"active\"", self.active);
            add("bullmq_job_count", "state=\"waiting\"", 1000);
        }
        found
    }
}

/// A case: what is there, and what each query answers, nothing where it has no answer.
struct Case<'c> {
    name: &'c str,
    queues: Vec<Queue<'c>>,
    /// In the order of [`policies`].
    answers: [Option<f64>; 5],
    wake: Option<f64>,
}

/// One test of promtool.
fn test(name: &str, queues: &[Queue<'_>], query: &str, answer: Option<f64>) -> Value {
    let samples: Vec<Value> = answer
        .iter()
        .map(|value| json!({"labels": "{}", "value": value}))
        .collect();
    let series: Vec<Value> = queues.iter().flat_map(Queue::series).collect();
    json!({
        "name": name,
        "interval": "15s",
        "input_series": series,
        "promql_expr_test": [{"expr": query, "eval_time": ASKED_AT, "exp_samples": samples}],
    })
}

/// Lets promtool judge.
fn judge(tests: &[Value]) -> Result<()> {
    let file = tempfile::Builder::new().suffix(".yml").tempfile()?;
    // JSON is YAML.
    let content = json!({"evaluation_interval": "15s", "tests": tests});
    std::fs::write(file.path(), content.to_string())?;
    let path = file.path().to_string_lossy().into_owned();
    let (content, said) = promtool(&["test", "rules", &path], "")?;
    ensure!(content, "{said}");
    Ok(())
}

#[expect(clippy::too_many_lines, reason = "a table")]
fn cases() -> Vec<Case<'static>> {
    let gone = Queue { to: 10, ..SMS };
    let all = [Some(16.0), Some(16.0), Some(7.0), Some(6.0), Some(6.0)];
    vec![
        Case {
            name: "both queues are seen",
            queues: vec![EMAIL, SMS],
            answers: all,
            wake: Some(16.0),
        },
        Case {
            name: "nothing runs yet",
            queues: vec![
                Queue { active: 0, ..EMAIL },
                Queue {
                    demand: 20,
                    active: 0,
                    ..SMS
                },
            ],
            answers: [Some(30.0), Some(30.0), Some(3.0), Some(2.0), Some(2.0)],
            wake: Some(30.0),
        },
        Case {
            name: "one job waits, and the limit is no reason to sleep",
            queues: vec![
                Queue {
                    demand: 1,
                    active: 0,
                    ..EMAIL
                },
                Queue {
                    demand: 0,
                    active: 0,
                    ..SMS
                },
            ],
            answers: [Some(1.0), Some(1.0), Some(0.1), Some(1.0), Some(0.1)],
            wake: Some(1.0),
        },
        Case {
            name: "both queues are empty",
            queues: vec![
                Queue {
                    demand: 0,
                    active: 0,
                    ..EMAIL
                },
                Queue {
                    demand: 0,
                    active: 0,
                    ..SMS
                },
            ],
            answers: [Some(0.0); 5],
            wake: Some(0.0),
        },
        Case {
            name: "a queue was never seen",
            queues: vec![EMAIL],
            answers: [None; 5],
            wake: Some(10.0),
        },
        Case {
            name: "a server went down",
            queues: vec![EMAIL, gone],
            answers: [None; 5],
            wake: Some(10.0),
        },
        Case {
            name: "nothing is seen at all",
            queues: vec![],
            answers: [None; 5],
            wake: None,
        },
        Case {
            name: "two exporters serve the same",
            queues: vec![
                EMAIL,
                SMS,
                Queue {
                    instance: "b",
                    ..EMAIL
                },
                Queue {
                    instance: "b",
                    ..SMS
                },
            ],
            answers: all,
            wake: Some(16.0),
        },
        Case {
            name: "an exporter restarted under another name, and the average still sees the old one",
            queues: vec![
                Queue { to: 12, ..EMAIL },
                Queue { to: 12, ..SMS },
                Queue {
                    instance: "b",
                    from: 13,
                    ..EMAIL
                },
                Queue {
                    instance: "b",
                    from: 13,
                    ..SMS
                },
            ],
            answers: all,
            wake: Some(16.0),
        },
        Case {
            name: "Prometheus missed scrapes for four minutes",
            queues: vec![
                Queue {
                    to: NEWEST - 15,
                    ended: false,
                    ..EMAIL
                },
                Queue {
                    to: NEWEST - 15,
                    ended: false,
                    ..SMS
                },
            ],
            answers: all,
            wake: Some(16.0),
        },
        Case {
            name: "the exporter serves demand and not the jobs by state",
            queues: vec![
                Queue {
                    has_active: false,
                    ..EMAIL
                },
                Queue {
                    has_active: false,
                    ..SMS
                },
            ],
            answers: [Some(16.0), Some(16.0), None, None, None],
            wake: Some(16.0),
        },
        Case {
            name: "the exporter serves jobs by state and not the demand",
            queues: vec![
                Queue {
                    has_demand: false,
                    ..EMAIL
                },
                Queue {
                    has_demand: false,
                    ..SMS
                },
            ],
            answers: [None; 5],
            wake: None,
        },
        Case {
            name: "queues of nearly the same name, prefix or server are others",
            queues: vec![
                EMAIL,
                SMS,
                Queue {
                    name: "emails",
                    ..EMAIL
                },
                Queue {
                    name: "xemail",
                    ..EMAIL
                },
                Queue {
                    prefix: "{app}",
                    ..EMAIL
                },
                Queue {
                    redis: "main",
                    ..EMAIL
                },
                Queue {
                    prefix: "bull",
                    ..SMS
                },
                Queue {
                    redis: "default",
                    ..SMS
                },
            ],
            answers: all,
            wake: Some(16.0),
        },
    ]
}

#[test]
fn each_policy_answers_what_is_true_or_nothing() -> Result<()> {
    let mut tests = Vec::new();
    // Demand as it is now, and demand ahead.
    for ahead in [json!({}), json!({"startup": "30s"})] {
        for (index, (policy, fields)) in policies().into_iter().enumerate() {
            let worker = extended(extended(worker(), &fields), &ahead);
            let triggers = queries(&json!({}), &worker)?;
            let [(first, demand), (second, wake)] = triggers.as_slice() else {
                anyhow::bail!("not two triggers: {triggers:?}");
            };
            ensure!((first.as_str(), second.as_str()) == ("demand", "wake"));
            for case in cases() {
                let name = format!("{policy} {ahead}: {}", case.name);
                let answer = *case.answers.get(index).context("no answer")?;
                tests.push(test(&name, &case.queues, demand, answer));
                let name = format!("{name}: wake");
                tests.push(test(&name, &case.queues, wake, case.wake));
            }
        }
    }
    judge(&tests)
}

#[test]
fn a_horizon_that_the_exporter_does_not_serve_is_no_answer() -> Result<()> {
    let other = [
        Queue {
            within: "5m",
            ..EMAIL
        },
        Queue {
            within: "5m",
            ..SMS
        },
    ];
    let mut tests = Vec::new();
    for (policy, fields) in policies() {
        let worker = extended(extended(worker(), &fields), &json!({"startup": "30s"}));
        for (trigger, query) in queries(&json!({}), &worker)? {
            tests.push(test(&format!("{policy}, {trigger}"), &other, &query, None));
        }
    }
    judge(&tests)
}

#[test]
fn an_optional_queue_counts_if_it_is_there_and_only_a_required_one_is_waited_for() -> Result<()> {
    let with = json!({"queues": ["email", {"name": "fax", "optional": true}]});
    let fax = Queue {
        name: "fax",
        demand: 5,
        active: 3,
        ..EMAIL
    };
    let mut tests = Vec::new();
    for (index, (policy, fields)) in policies().into_iter().enumerate() {
        let triggers = queries(&json!({}), &extended(extended(worker(), &with), &fields))?;
        let (_, query) = triggers.first().context("no trigger")?;
        for (name, queues, answers) in [
            (
                "both",
                vec![EMAIL, fax],
                [Some(15.0), Some(15.0), Some(7.8), Some(7.0), Some(7.0)],
            ),
            (
                "the optional one is missing",
                vec![EMAIL],
                [Some(10.0), Some(10.0), Some(4.6), Some(4.0), Some(4.0)],
            ),
            ("the required one is missing", vec![fax], [None; 5]),
        ] {
            let answer = *answers.get(index).context("no answer")?;
            tests.push(test(&format!("{policy}: {name}"), &queues, query, answer));
        }
    }
    judge(&tests)
}

#[test]
fn two_environments_with_equal_names_are_told_apart_by_matchers() -> Result<()> {
    let staging = Queue {
        environment: "staging",
        demand: 90,
        active: 80,
        instance: "s",
        ..EMAIL
    };
    let with = json!({"queues": ["email"]});
    let worker = extended(worker(), &with);
    let told = queries(&json!({"matchers": {"environment": "prod"}}), &worker)?;
    let untold = queries(&json!({}), &worker)?;
    let (_, told) = told.first().context("no trigger")?;
    let (_, untold) = untold.first().context("no trigger")?;
    judge(&[
        test("told", &[EMAIL, staging], told, Some(10.0)),
        test("told, and its own is down", &[staging], told, None),
        // Never the sum, but not the truth either: the larger of the two.
        test("not told", &[EMAIL, staging], untold, Some(90.0)),
    ])
}

#[test]
fn whatever_queues_are_called_each_is_found_and_no_other() -> Result<()> {
    let nasty = [
        "a.b",
        "(a|b)*[c]{2}^$+?",
        "back\\slash",
        "quo\"te'`",
        "line\nend",
        "schlüssel-漢字-😀",
        "{{braces}} ${x} %s",
        " blank ",
    ];
    // What an expression that is not escaped would take too.
    let decoys = ["aXb", "a", "b", "backslash", "line", "blank", "ab"];
    let one_prefix = json!({"queues": nasty});
    let each: Vec<Value> = nasty
        .iter()
        .map(|name| json!({"name": name, "prefix": name, "redis": name}))
        .collect();
    let of_their_own = json!({"queues": each});
    let mut tests = Vec::new();
    for (with, own) in [(one_prefix, false), (of_their_own, true)] {
        let triggers = queries(&json!({}), &extended(worker(), &with))?;
        let (_, query) = triggers.first().context("no trigger")?;
        let queue = |name: &'static str| Queue {
            name,
            prefix: if own { name } else { "bull" },
            redis: if own { name } else { "default" },
            demand: 1,
            ..EMAIL
        };
        let mut queues: Vec<Queue<'_>> = nasty.iter().map(|name| queue(name)).collect();
        queues.extend(decoys.iter().map(|name| Queue {
            demand: 1000,
            ..queue(name)
        }));
        tests.push(test("all", &queues, query, Some(8.0)));
        for missing in 0..nasty.len() {
            let mut queues = queues.clone();
            queues.remove(missing);
            tests.push(test("one is missing", &queues, query, None));
        }
    }
    judge(&tests)
}

/// A target of Prometheus whose page is what a test says; none is an error of the server.
struct Target {
    address: String,
    page: Arc<Mutex<Option<String>>>,
}

impl Target {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?.to_string();
        let page = Arc::new(Mutex::new(None));
        let shown = Arc::clone(&page);
        // It ends with the process: a thread that waits for a connection holds nothing.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let Ok(mut stream) = stream else { return };
                let mut request = [0; 4096];
                let _ = stream.read(&mut request);
                let page = shown.lock().ok().and_then(|page| page.clone());
                let (status, body) = match page {
                    Some(page) => ("200 OK", page),
                    None => ("500 Internal Server Error", String::new()),
                };
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
                    body.len()
                );
            }
        });
        Ok(Self { address, page })
    }

    fn show(&self, queues: Option<&[Queue<'_>]>) -> Result<()> {
        let page = queues.map(|queues| {
            let lines = queues.iter().map(|queue| {
                format!(
                    "bullmq_queue_demand_jobs{{redis=\"{redis}\",prefix=\"{prefix}\",queue=\"{name}\"}} {demand}\n\
                     bullmq_job_count{{redis=\"{redis}\",prefix=\"{prefix}\",queue=\"{name}\",state=\"active\"}} {active}\n",
                    redis = queue.redis,
                    prefix = queue.prefix,
                    name = queue.name,
                    demand = queue.demand,
                    active = queue.active,
                )
            });
            lines.collect::<String>()
        });
        let mut shown = self.page.lock().ok().context("the page is poisoned")?;
        *shown = page;
        Ok(())
    }
}

#[test]
fn what_a_scrape_does_not_bring_is_gone_at_once_in_every_policy() -> Result<()> {
    const INTERVAL: Duration = Duration::from_millis(300);
    const LIMIT: Duration = Duration::from_secs(20);
    let target = Target::start()?;
    let prometheus = Prometheus::start(&[&target.address], INTERVAL)?;
    let mut asked = Vec::new();
    for (policy, fields) in policies() {
        let triggers = queries(&json!({}), &extended(worker(), &fields))?;
        let (_, query) = triggers.into_iter().next().context("no trigger")?;
        asked.push((policy, query));
    }
    let demand_only = |answer: bool| -> Result<()> {
        wait_until("every query answers as it should", LIMIT, || {
            for (_, query) in &asked {
                if prometheus.query(query)?.len() != usize::from(answer) {
                    return Ok(None);
                }
            }
            Ok(Some(()))
        })
    };
    for (shown, answer) in [
        (Some([EMAIL, SMS].as_slice()), true),
        // One queue could not be read.
        (Some([EMAIL].as_slice()), false),
        (Some([EMAIL, SMS].as_slice()), true),
        // The exporter is down. The average over five minutes still sees what it served, and must not answer.
        (None, false),
        (Some([EMAIL, SMS].as_slice()), true),
        // Nothing is served: Redis is down.
        (Some([].as_slice()), false),
    ] {
        target.show(shown)?;
        demand_only(answer)?;
    }
    Ok(())
}

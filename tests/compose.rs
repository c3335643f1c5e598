//! Is the compose example right as far as that shows without containers: by compose's own reader, by promtool, by paths that meet, and with its parts run as
//! processes by the settings that it gives them?

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use acceptance::{
    Exporter, Process, Redis, free_port, get, judge, ours, promtool, repository, wait_until,
};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

const LIMIT: Duration = Duration::from_mins(1);

fn folder() -> PathBuf {
    repository().join("examples/compose")
}

fn yaml(path: &Path) -> Result<Value> {
    Ok(serde_saphyr::from_str(&fs::read_to_string(path)?)?)
}

/// The project as compose reads it: each field in its long form, relative paths made absolute.
fn project() -> Result<Value> {
    let output = read_by_compose(&folder().join("compose.yaml"))?;
    ensure!(output.status.success(), "{output:?}");
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn read_by_compose(file: &Path) -> Result<Output> {
    Ok(Command::new(judge("compose-spec")?)
        .args(["--format", "json"])
        .arg(file)
        .current_dir(file.parent().context("a folder")?)
        .output()?)
}

#[test]
fn compose_takes_the_file_and_refuses_a_slip_in_it() -> Result<()> {
    let services = project()?;
    let names: BTreeSet<&str> = services["services"]
        .as_object()
        .context("no services")?
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        names,
        BTreeSet::from([
            "exporter",
            "grafana",
            "producer",
            "prometheus",
            "redis",
            "worker"
        ])
    );
    let text = fs::read_to_string(folder().join("compose.yaml"))?;
    for (from, to) in [
        ("interval: 5s", "intervl: 5s"),
        ("condition: service_healthy", "condition: healthy"),
    ] {
        let broken = tempfile::tempdir()?;
        let file = broken.path().join("compose.yaml");
        ensure!(text.contains(from), "no {from}");
        fs::write(&file, text.replace(from, to))?;
        let output = read_by_compose(&file)?;
        assert!(!output.status.success(), "{to}");
    }
    Ok(())
}

/// A field of a service, at a path.
fn field<'p>(project: &'p Value, service: &str, path: &str) -> Option<&'p Value> {
    project.pointer(&format!("/services/{service}/{path}"))
}

/// What a service has mounted: source on this machine and target in the container.
fn mounts(project: &Value, service: &str) -> Vec<(PathBuf, String)> {
    let volumes = field(project, service, "volumes").and_then(Value::as_array);
    let binds = volumes
        .into_iter()
        .flatten()
        .filter(|volume| volume.get("type").is_some_and(|kind| kind == "bind"));
    binds
        .filter_map(|volume| {
            let source = PathBuf::from(volume.get("source")?.as_str()?);
            Some((source, volume.get("target")?.as_str()?.to_owned()))
        })
        .collect()
}

#[test]
fn what_a_service_mounts_builds_or_waits_for_is_there() -> Result<()> {
    let project = project()?;
    for service in ["prometheus", "grafana"] {
        let mounts = mounts(&project, service);
        ensure!(!mounts.is_empty(), "{service} mounts nothing");
        for (source, _) in mounts {
            ensure!(source.is_file(), "{service}: no {}", source.display());
        }
    }
    // Whom a service waits for, and the volumes that are kept.
    for (name, service) in project["services"].as_object().context("no services")? {
        for dependency in service["depends_on"].as_object().into_iter().flatten() {
            ensure!(
                project["services"].get(dependency.0).is_some(),
                "{name}: {dependency:?}"
            );
            let healthy = dependency.1["condition"] == "service_healthy";
            let probed = project["services"][dependency.0]
                .get("healthcheck")
                .is_some();
            ensure!(
                !healthy || probed,
                "{name}: {dependency:?} is never healthy"
            );
        }
        for volume in service["volumes"].as_array().into_iter().flatten() {
            let source = volume["source"].as_str().context("no source")?;
            let declared = project["volumes"].get(source).is_some();
            ensure!(volume["type"] == "bind" || declared, "{name}: {source}");
        }
    }
    for service in ["worker", "producer", "exporter"] {
        let build = &project["services"][service]["build"];
        let context = Path::new(build["context"].as_str().context(service.to_owned())?);
        let file = build["dockerfile"].as_str().unwrap_or("Dockerfile");
        ensure!(context.join(file).is_file(), "{service}: no {file}");
    }
    let containerfile = fs::read_to_string(repository().join("packaging/Containerfile"))?;
    let target = project["services"]["exporter"]["build"]["target"]
        .as_str()
        .context("no target")?;
    ensure!(
        containerfile.contains(&format!(" AS {target}\n")),
        "{target}"
    );
    let probe = project["services"]["exporter"]["healthcheck"]["test"][1]
        .as_str()
        .context("no probe")?;
    ensure!(
        containerfile.contains(&format!("ENTRYPOINT [\"{probe}\"]")),
        "{probe}"
    );
    Ok(())
}

#[test]
fn prometheus_finds_its_file_its_rules_and_the_exporter() -> Result<()> {
    let project = project()?;
    let inside: BTreeSet<String> = mounts(&project, "prometheus")
        .into_iter()
        .map(|(_, target)| target)
        .collect();
    let configuration = yaml(&folder().join("prometheus/prometheus.yml"))?;
    let rules = configuration["rule_files"][0]
        .as_str()
        .context("no rules")?;
    assert_eq!(
        inside,
        BTreeSet::from([
            "/etc/prometheus/prometheus.yml".to_owned(),
            rules.to_owned()
        ])
    );
    assert_eq!(
        configuration["scrape_configs"][0]["static_configs"][0]["targets"][0],
        "exporter:9538"
    );
    let containerfile = fs::read_to_string(repository().join("packaging/Containerfile"))?;
    ensure!(containerfile.contains("EXPOSE 9538"), "another port");
    Ok(())
}

#[test]
fn grafana_finds_prometheus_and_every_dashboard() -> Result<()> {
    let project = project()?;
    let provider = yaml(&folder().join("grafana/dashboards.yaml"))?;
    let path = provider["providers"][0]["options"]["path"]
        .as_str()
        .context("no path")?;
    let mut mounted = BTreeSet::new();
    for (source, target) in mounts(&project, "grafana") {
        if let Some(name) = target.strip_prefix(&format!("{path}/")) {
            ensure!(
                source.ends_with(Path::new("dashboards").join(name)),
                "{name}"
            );
            mounted.insert(name.to_owned());
        } else {
            ensure!(target.starts_with("/etc/grafana/provisioning/"), "{target}");
        }
    }
    let mut all = BTreeSet::new();
    for entry in fs::read_dir(repository().join("dashboards"))? {
        let file = entry?.path();
        if file
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            let name = file.file_name().context("no name")?;
            all.insert(name.to_string_lossy().into_owned());
        }
    }
    assert_eq!(mounted, all);
    let home =
        &project["services"]["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"];
    assert_eq!(*home, format!("{path}/queues.json"));
    let source = yaml(&folder().join("grafana/datasources.yaml"))?;
    assert_eq!(source["datasources"][0]["url"], "http://prometheus:9090");
    assert_eq!(
        source["datasources"][0]["jsonData"]["timeInterval"],
        yaml(&folder().join("prometheus/prometheus.yml"))?["global"]["scrape_interval"]
    );
    Ok(())
}

#[test]
fn nothing_is_reachable_from_outside_and_nothing_is_secret() -> Result<()> {
    let project = project()?;
    for (name, service) in project["services"].as_object().context("no services")? {
        for port in service["ports"].as_array().into_iter().flatten() {
            assert_eq!(port["host_ip"], "127.0.0.1", "{name}");
        }
        ensure!(service.get("restart").is_some(), "{name}");
        let environment = service["environment"].as_object();
        for (variable, value) in environment.into_iter().flatten() {
            let named = variable.to_uppercase();
            for word in ["PASSWORD", "SECRET", "TOKEN"] {
                ensure!(!named.contains(word), "{name}: {variable}");
            }
            // user:password@
            ensure!(
                !value.as_str().unwrap_or_default().contains('@'),
                "{name}: {variable}"
            );
        }
    }
    ensure!(project.get("secrets").is_none(), "secrets");
    Ok(())
}

#[test]
fn the_worker_is_of_the_bullmq_release_that_is_tested_here() -> Result<()> {
    let read = |path: &str| -> Result<Value> {
        Ok(serde_json::from_slice(&fs::read(repository().join(path))?)?)
    };
    let version = &read("examples/compose/worker/package.json")?["dependencies"]["bullmq"];
    assert_eq!(
        *version,
        read("examples/demo/package.json")?["dependencies"]["bullmq"]
    );
    let lock = read("examples/compose/worker/package-lock.json")?;
    assert_eq!(lock["packages"]["node_modules/bullmq"]["version"], *version);
    Ok(())
}

/// The environment that the file gives a service, with another Redis.
fn environment(project: &Value, service: &str, redis: &Redis) -> Result<Vec<(String, String)>> {
    let variables = field(project, service, "environment")
        .and_then(Value::as_object)
        .context("no environment")?;
    variables
        .iter()
        .map(|(name, value)| {
            let value = value.as_str().context(name.clone())?;
            ensure!(
                name != "REDIS_URL" || value == "redis://redis:6379",
                "{value}"
            );
            let value = if name == "REDIS_URL" {
                &redis.url()
            } else {
                value
            };
            Ok((name.clone(), value.to_owned()))
        })
        .collect()
}

/// Runs the command of a service of Node, where its packages are those of the demo.
fn run_node(project: &Value, service: &str, redis: &Redis) -> Result<Process> {
    let place = tempfile::tempdir()?;
    for file in ["worker.mjs", "producer.mjs", "package.json"] {
        fs::copy(folder().join("worker").join(file), place.path().join(file))?;
    }
    symlink(
        repository().join("examples/demo/node_modules"),
        place.path().join("node_modules"),
    )?;
    let words = field(project, service, "command")
        .and_then(Value::as_array)
        .context("no command")?;
    let words: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
    let (program, arguments) = words.split_first().context("an empty command")?;
    let mut command = Command::new(program);
    command
        .args(arguments)
        .envs(environment(project, service, redis)?);
    Process::start(service, place, &mut command)
}

/// What the health check of the exporter says.
fn healthy(redis: &Redis, project: &Value) -> Result<bool> {
    let arguments = field(project, "exporter", "healthcheck/test")
        .and_then(Value::as_array)
        .context("no health check")?;
    let flags = arguments.iter().skip(2).filter_map(Value::as_str);
    let output = Command::new(ours("bullmq-exporter")?)
        .args(flags)
        .envs(environment(project, "exporter", redis)?)
        .output()?;
    Ok(output.status.success())
}

#[test]
fn its_parts_run_as_processes_and_prometheus_sees_the_jobs_by_its_own_file() -> Result<()> {
    let project = project()?;
    let mut redis = Redis::start_with(&["--maxmemory-policy", "noeviction"])?;
    let mut worker = run_node(&project, "worker", &redis)?;
    let mut producer = run_node(&project, "producer", &redis)?;
    let variables = environment(&project, "exporter", &redis)?;
    let exporter = Exporter::start_in(&variables, &["--discovery.interval", "200ms"])?;
    assert!(healthy(&redis, &project)?);

    // Its own file, with the places of this machine, and scraping more often.
    let place = tempfile::tempdir()?;
    let own = format!("127.0.0.1:{}", free_port()?);
    let mut text = fs::read_to_string(folder().join("prometheus/prometheus.yml"))?;
    let rules = repository().join("charts/bullmq-exporter/rules/alerts.yaml");
    for (from, to) in [
        ("exporter:9538", exporter.address()),
        ("localhost:9090", own.as_str()),
        (
            "/etc/prometheus/rules/alerts.yaml",
            &rules.display().to_string(),
        ),
        ("interval: 15s", "interval: 1s"),
    ] {
        ensure!(text.contains(from), "no {from} in {text}");
        text = text.replace(from, to);
    }
    let file = place.path().join("prometheus.yml");
    fs::write(&file, &text)?;
    let path = file.to_str().context("a path")?.to_owned();
    let (content, said) = promtool(&["check", "config", &path], "")?;
    assert!(content && said.contains("rules found"), "{said}");
    let mut command = Command::new("prometheus");
    command
        .args(["--config.file", &path, "--storage.tsdb.path=data"])
        .arg(format!("--web.listen-address={own}"));
    let mut prometheus = Process::start("prometheus", place, &mut command)?;
    let ask = |path: &str| get(&format!("http://{own}{path}"), &[], LIMIT);
    for (what, query) in [
        (
            "jobs were done",
            "bullmq_job_count{queue=\"email\",state=\"completed\"}>0",
        ),
        (
            "delayed jobs lie ahead",
            "bullmq_job_count{queue=\"email\",state=\"delayed\"}>0",
        ),
        (
            "the worker is counted",
            "bullmq_queue_workers{queue=\"email\"}==1",
        ),
        ("both targets are up", "count(up==1)==2"),
    ] {
        wait_until(what, LIMIT, || {
            prometheus.check_alive()?;
            worker.check_alive()?;
            producer.check_alive()?;
            let encoded = query
                .replace('{', "%7B")
                .replace('}', "%7D")
                .replace('"', "%22")
                .replace('=', "%3D")
                .replace('>', "%3E");
            let answer = ask(&format!("/api/v1/query?query={encoded}"));
            Ok(answer
                .is_ok_and(|(status, body)| status == 200 && body.contains("\"value\":["))
                .then_some(()))
        })?;
    }
    let (_, loaded) = ask("/api/v1/rules")?;
    ensure!(loaded.contains("BullMQQueueStuck"), "{loaded}");

    // As compose stops them: a worker finishes what it runs within its time.
    producer.signal("TERM")?;
    ensure!(producer.wait(LIMIT)?.success(), "{}", producer.log());
    worker.signal("TERM")?;
    ensure!(
        worker.wait(Duration::from_secs(30))?.success(),
        "{}",
        worker.log()
    );
    ensure!(worker.log().contains("closed"), "{}", worker.log());
    let active = exporter.scrape()?.job_count("email", "active");
    assert_eq!(active, Some(0.0));

    redis.kill()?;
    assert!(!healthy(&redis, &project)?);
    Ok(())
}

//! Is a password ever seen: in the log, on a page, in what is printed, in an error, in the arguments of the process?

use std::fs;
use std::path::Path;
use std::process::Command;

use acceptance::{Exporter, Redis, free_port, get, ours, wait_until};
use anyhow::{Context as _, Result};

/// What must not be seen, as it is and as a URL would hold it. `%` and `:` are such as tempt a parser to cut it in two.
const SECRET: &str = "hunter2%:s3cret";
const SECRET_IN_URL: &str = "hunter2%25:s3cret";
/// Any half of it is too much.
const PARTS: [&str; 3] = ["hunter2", "s3cret", "aHVudGVyMi"];

const PAGES: [&str; 9] = [
    "/",
    "/metrics",
    "/api/v1/status",
    "/-/healthy",
    "/-/ready",
    "/healthz",
    "/readyz",
    "/nothing",
    "/metrics?password=x",
];

/// A way to give the password: the variables, the flags, and whether the secret stands in the flags themselves.
struct Way {
    name: &'static str,
    variables: Vec<(&'static str, String)>,
    flags: Vec<String>,
    in_arguments: bool,
}

fn ways(folder: &Path, port: u16) -> Result<Vec<Way>> {
    let with_password = format!("redis://ann:{SECRET_IN_URL}@127.0.0.1:{port}");
    let without = format!("redis://ann@127.0.0.1:{port}");
    let file = |name: &str, text: &str| -> Result<String> {
        let path = folder.join(name);
        fs::write(&path, text)?;
        Ok(path.display().to_string())
    };
    let password = file("password", SECRET)?;
    let quoting = file(
        "quoting.yaml",
        &format!("redis: [{{name: main, url: \"{with_password}\"}}]\n"),
    )?;
    let naming = file(
        "naming.yaml",
        &format!(
            "redis:\n  - {{name: main, url: \"{without}\", password_file: password}}\n  - name: jobs\n    \
             url: redis+sentinel://ann:{SECRET_IN_URL}@127.0.0.1:{port}/jobs\n    \
             sentinel: {{username: s, password_file: password}}\n"
        ),
    )?;
    let way = |name, variables: &[(&'static str, &String)], flags: &[&str], in_arguments| Way {
        name,
        variables: variables
            .iter()
            .map(|(variable, value)| (*variable, (*value).clone()))
            .collect(),
        flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
        in_arguments,
    };
    Ok(vec![
        way("a flag", &[], &["--redis.url", &with_password], true),
        way(
            "our variable",
            &[("BULLMQ_EXPORTER_REDIS_URL", &with_password)],
            &[],
            false,
        ),
        way(
            "the plain variable",
            &[("REDIS_URL", &with_password)],
            &[],
            false,
        ),
        way(
            "a file",
            &[],
            &["--redis.url", &without, "--redis.password-file", &password],
            false,
        ),
        way(
            "a file of servers that quotes it",
            &[],
            &["--config.file", &quoting],
            false,
        ),
        way(
            "a file of servers that names its file",
            &[],
            &["--config.file", &naming],
            false,
        ),
    ])
}

fn assert_unseen(text: &str, context: &str) {
    for part in PARTS {
        assert!(!text.contains(part), "{context}: {part} is seen in: {text}");
    }
}

/// Runs until it ends, and returns all that it said.
fn said(way: &Way, further: &[&str]) -> Result<String> {
    let output = Command::new(ours("bullmq-exporter")?)
        .args(&way.flags)
        .args(further)
        .envs(way.variables.iter().map(|(name, value)| (name, value)))
        .output()?;
    Ok(String::from_utf8([output.stdout, output.stderr].concat())?)
}

#[test]
fn no_password_is_seen_in_the_log_on_a_page_or_in_what_is_printed() -> Result<()> {
    let accepting = Redis::start()?;
    accepting.run(&[
        "ACL",
        "SETUSER",
        "ann",
        "on",
        &format!(">{SECRET}"),
        "~*",
        "+@all",
    ])?;
    accepting.run(&["HSET", "bull:email:meta", "opts.maxLenEvents", "1"])?;
    let refusing = Redis::start()?;
    refusing.run(&["ACL", "SETUSER", "ann", "on", ">other", "~*", "+@all"])?;
    for (redis, port, up) in [
        ("a Redis that accepts it", accepting.port(), true),
        ("a Redis that refuses it", refusing.port(), false),
        ("no Redis", free_port()?, false),
    ] {
        let folder = tempfile::tempdir()?;
        for way in ways(folder.path(), port)? {
            let context = format!("{} to {redis}", way.name);
            let variables: Vec<(&str, &str)> = way
                .variables
                .iter()
                .map(|(name, value)| (*name, value.as_str()))
                .collect();
            let mut flags: Vec<&str> = way.flags.iter().map(String::as_str).collect();
            flags.extend(["--log.level", "debug", "--discovery.interval", "200ms"]);
            let mut exporter = Exporter::start_in(&variables, &flags)?;
            // So that this is about the password, and not about one that never got there.
            let expected = if up { "} 1\n" } else { "} 0\n" };
            wait_until(
                "bullmq_up is as it should be",
                std::time::Duration::from_secs(20),
                || {
                    let (_, text) = exporter.get("/metrics")?;
                    let line = text
                        .split_inclusive('\n')
                        .find(|line| line.starts_with("bullmq_up{"));
                    Ok(line
                        .is_some_and(|line| line.ends_with(expected))
                        .then_some(()))
                },
            )
            .with_context(|| context.clone())?;
            for page in PAGES {
                let url = format!("http://{}{page}", exporter.address());
                let limit = std::time::Duration::from_secs(20);
                let (_, text) = get(
                    &url,
                    &[("Authorization", "Basic aHVudGVyMjpzM2NyZXQ=")],
                    limit,
                )?;
                assert_unseen(&text, &format!("{context}: {page}"));
            }
            let id = exporter.process().id();
            let arguments = fs::read_to_string(format!("/proc/{id}/cmdline"))?;
            assert_eq!(
                arguments.contains(PARTS[0]),
                way.in_arguments,
                "{context}: {arguments}"
            );
            exporter.process().signal("HUP")?;
            exporter.process().signal("TERM")?;
            exporter
                .process()
                .wait(std::time::Duration::from_secs(20))?;
            let log = exporter.process().log();
            assert!(log.contains("a Redis is read"), "{context}: {log}");
            assert_unseen(&log, &format!("{context}: the log"));

            let logfmt = ["--once", "--log.level=debug", "--scrape.timeout=2s"];
            for further in [
                &logfmt[..],
                &["--help"],
                &["--version"],
                &["--print-acl"],
                &["--print-man"],
                &["--print-completions=bash"],
                &["--config.check"],
                &["--scrape.timeout=nonsense"],
                &["--bullmq.horizon=9d"],
                &["--nonsense"],
            ] {
                let text = said(&way, further)?;
                assert!(!text.is_empty(), "{context}: {further:?}");
                assert_unseen(&text, &format!("{context}: {further:?}"));
            }
        }
    }
    Ok(())
}

#[test]
fn a_url_that_is_wrong_is_told_without_its_password() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for url in [
        "redis://ann:hunter2@host:port",
        "redis://ann:hun/ter2/s3cret@host",
        "redis://ann:s3cret%ff@host",
        "http://:hunter2@host",
        "redis:ann:hunter2@host",
        "ann:hunter2@host",
        "redis://ann:hunter2@host/not-a-number",
        "redis+sentinel://ann:hunter2@host:1",
        "redis+cluster://ann:hunter2@host:1/3",
    ] {
        let file = folder.path().join("servers.yaml");
        fs::write(&file, format!("redis: [{{name: main, url: \"{url}\"}}]\n"))?;
        let file = file.display().to_string();
        let way = |variables: Vec<(&'static str, String)>, flags: &[&str]| Way {
            name: "",
            variables,
            flags: flags.iter().map(|flag| (*flag).to_owned()).collect(),
            in_arguments: false,
        };
        for (name, way) in [
            ("flag", way(vec![], &["--redis.url", url])),
            (
                "variable",
                way(vec![("BULLMQ_EXPORTER_REDIS_URL", url.into())], &[]),
            ),
            ("plain", way(vec![("REDIS_URL", url.into())], &[])),
            ("file", way(vec![], &["--config.file", &file])),
        ] {
            let text = said(&way, &["--config.check"])?;
            assert!(text.contains("error"), "{name} {url}: {text}");
            assert_unseen(&text, &format!("{name} {url}"));
        }
    }
    Ok(())
}

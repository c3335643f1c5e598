//! Do the documents, the exposition and the foreign judges agree on the public words?

use std::collections::BTreeSet;
use std::time::Duration;

use acceptance::{BullMq, Exporter, Redis, Version, promtool, repository, wait_until};
use anyhow::{Context as _, Result};
use bullmq_vocabulary::metric::Kind;
use bullmq_vocabulary::{METRICS, label, metrics_markdown};

#[test]
fn the_page_of_metrics_is_what_the_vocabulary_renders() -> Result<()> {
    let page = std::fs::read_to_string(repository().join("exporter/METRICS.md"))?;
    assert!(
        page == metrics_markdown(),
        "exporter/METRICS.md is out of date; `make docs` renders it anew"
    );
    Ok(())
}

#[test]
fn the_readme_shows_the_least_user_that_the_exporter_prints() -> Result<()> {
    let output = Exporter::run(&["--print-acl"])?;
    let command = String::from_utf8(output.stdout)?;
    let readme = std::fs::read_to_string(repository().join("README.md"))?;
    assert!(
        readme.contains(&format!("\n{command}```")),
        "README.md lacks: {command}"
    );
    Ok(())
}

#[test]
fn what_is_served_is_what_the_vocabulary_says_and_promtool_accepts_it() -> Result<()> {
    let redis = Redis::start()?;
    BullMq::start(Version::V6, &redis)?.run(
        "await queue('email').setGlobalConcurrency(2); await queue('email').add('job', {});
         await queue('a \"strange\" \\\\ name').add('job', {}, { delay: 1000 });
         const running = await worker('measured', async (job) => { if (job.name === 'bad') throw new Error('no'); }, { metrics: { maxDataPoints: 10 } });
         const failed = new Promise((resolve) => running.on('failed', resolve));
         await queue('measured').add('good', {}); await queue('measured').add('bad', {});
         await failed; await running.close();",
    )?;
    // BullMQ Pro is not to be had; this is what its groups look like to a reader.
    redis.run(&["ZADD", "bull:measured:groups", "1", "customer"])?;
    // With a file, because some metrics are about the file.
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("exporter.yml");
    std::fs::write(
        &file,
        format!("redis: [{{name: main, url: '{}'}}]\n", redis.url()),
    )?;
    let file = file.to_str().context("a path in UTF-8")?;
    let exporter = Exporter::start_with(&["--config.file", file, "--collect.events"])?;
    let mut scrape = wait_until("events are served", Duration::from_secs(10), || {
        let scrape = exporter.scrape_when_found("email")?;
        let events = scrape.samples("bullmq_job_events_total").count();
        Ok((events > 0).then_some(scrape))
    })?;
    // One family more, where the queues are shared out.
    let flags = ["--once", "--config.file", file, "--bullmq.shard", "1/2"];
    let of_a_shard = String::from_utf8(Exporter::run(&flags)?.stdout)?;
    for line in of_a_shard.lines() {
        if line.contains("bullmq_exporter_shards") {
            scrape.text.extend([line, "\n"]);
        }
    }

    let mut families = BTreeSet::new();
    for line in scrape
        .text
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE "))
    {
        let (name, kind) = line.split_once(' ').context("a name and a kind")?;
        if name.starts_with("process_") {
            continue;
        }
        let metric = METRICS.iter().find(|metric| metric.name == name);
        let metric =
            metric.with_context(|| format!("{name} is served but is not in the vocabulary"))?;
        assert_eq!(metric.kind.as_str(), kind, "{name}");
        assert!(
            scrape
                .text
                .contains(&format!("# HELP {name} {}\n", metric.help)),
            "{name}"
        );
        // The samples of a histogram are parts of it.
        let parts: &[(&str, &[&str])] = match metric.kind {
            Kind::Gauge | Kind::Counter => &[("", &[])],
            Kind::Histogram => &[("_bucket", &[label::LE]), ("_sum", &[]), ("_count", &[])],
        };
        for (part, more) in parts {
            let sample = format!("{name}{part}");
            let mut samples = scrape.samples(&sample).peekable();
            assert!(samples.peek().is_some(), "{sample}");
            for (labels, label) in samples.flat_map(|(labels, _)| {
                metric
                    .labels
                    .iter()
                    .chain(*more)
                    .map(move |label| (labels, label))
            }) {
                assert!(
                    labels.contains(&format!("{label}=\"")),
                    "{name} without {label}: {labels}"
                );
            }
        }
        assert!(families.insert(name), "{name} is served twice");
    }
    let all: BTreeSet<_> = METRICS.iter().map(|metric| metric.name).collect();
    assert_eq!(families, all, "every metric of the vocabulary is served");

    let (_, said) = promtool(&["check", "metrics"], &scrape.text)?;
    // The name is BullMQ's own, and stays as it is for the dashboards that know it.
    let said = said
        .lines()
        .filter(|line| !line.starts_with("bullmq_job_count "));
    assert_eq!(said.collect::<Vec<_>>(), Vec::<&str>::new());
    Ok(())
}

#[test]
fn every_test_that_the_matrix_names_exists() -> Result<()> {
    let folder = repository().join("tests");
    let matrix = std::fs::read_to_string(folder.join("README.md"))?;
    let mut named = 0;
    let mut file = String::new();
    for word in matrix.split('`').skip(1).step_by(2) {
        if folder.join(word).is_file() {
            file = std::fs::read_to_string(folder.join(word))?;
        } else if word.contains('_')
            && word
                .chars()
                .all(|letter| letter.is_ascii_lowercase() || letter == '_')
        {
            named += 1;
            assert!(file.contains(&format!("fn {word}()")), "there is no {word}");
        }
    }
    assert!(named > 20, "{named}");
    Ok(())
}

//! A spec from what an exporter serves: one worker for each queue.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use bullmq_vocabulary::{
    DEFAULT_PREFIX, DEFAULT_REDIS_NAME, label as label_of, metric, prometheus_duration,
};

use super::facts::{Facts, Key, Known};
use super::name::{Names, label, matches};
use super::text::{head, line, one_line, queue, value};
use super::{Nothing, Starter, Wishes};
use crate::counted::counted;
use crate::document::Dialect;
use crate::exposition::Sample;
use crate::plan::LONGEST_QUERY;
use crate::workload::{DEFAULT_SCRAPE_INTERVAL, POLLING_INTERVAL};

/// A common time from pod created to first job taken, for an image that is there already.
const STARTUP: Duration = Duration::from_secs(30);
/// A largest number of replicas that surprises nobody.
const REPLICAS: f64 = 10.0;
/// Room for the rest of a query, in which the name of a queue stands up to six times, escaped.
const LONGEST_NAME: usize = LONGEST_QUERY / 60;

/// Makes a spec.
///
/// # Errors
/// With a sentence, if there is nothing to make one of.
pub fn from_metrics(samples: &[Sample], wishes: &Wishes) -> Result<Starter, Nothing> {
    let known = Known::of(samples);
    let ours =
        |sample: &Sample| [metric::UP.name, metric::QUEUE_UP.name].contains(&sample.name.as_str());
    if !samples.iter().any(ours) {
        return Err(Nothing::NotOurs);
    }
    let down: Vec<String> = known
        .redis
        .iter()
        .filter(|(_, up)| !**up)
        .map(|(name, _)| format!("`{}`", one_line(name)))
        .collect();
    if known.queues.is_empty() {
        return Err(if down.is_empty() {
            Nothing::NoQueue
        } else {
            Nothing::NoRedis(down.join(", "))
        });
    }
    let chosen: Vec<_> = known
        .queues
        .iter()
        .filter(|(key, _)| {
            wishes.queues.is_empty()
                || wishes
                    .queues
                    .iter()
                    .any(|pattern| matches(pattern, &key.name))
        })
        .collect();
    if chosen.is_empty() {
        return Err(no_match(&known, &wishes.queues));
    }
    let mut notes: Vec<String> = down
        .iter()
        .map(|name| {
            format!("the exporter does not reach the Redis {name}: its queues are not here")
        })
        .collect();
    notes.extend(shard(samples));
    let usable: Vec<(&Key, &Facts)> = chosen
        .iter()
        .copied()
        .filter(|(key, facts)| match unusable(key, facts) {
            Some(why) => {
                notes.push(format!(
                    "the queue `{}` is left out: {why}",
                    one_line(&key.name)
                ));
                false
            }
            None => true,
        })
        .collect();
    if usable.is_empty() {
        return Err(Nothing::NoneUsable(chosen.len()));
    }
    let out = spec(&known, &usable, wishes);
    if out.len() > Dialect::SPEC.max_bytes {
        return Err(Nothing::TooMany(usable.len()));
    }
    Ok(Starter { text: out, notes })
}

/// What is said where the exporter reads a share of the queues only.
fn shard(samples: &[Sample]) -> Option<String> {
    let shards = &metric::EXPORTER_SHARDS;
    let of = samples.iter().find(|sample| sample.name == shards.name)?;
    let (index, count) = (one_line(of.label(label_of::SHARD)), of.value);
    Some(format!(
        "the exporter reads the shard {index}/{count} of the queues: those of the other shards are not here; ask each exporter"
    ))
}

/// A name for each queue, in their order. A queue that is called as a worker can be has the first claim, one of the usual prefix before
/// others.
fn names(queues: &[(&Key, &Facts)]) -> Vec<String> {
    let mut order: Vec<(usize, &Key)> = queues.iter().map(|(key, _)| *key).enumerate().collect();
    order.sort_by_key(|(index, key)| {
        (
            label(&key.name) != key.name,
            key.prefix != DEFAULT_PREFIX,
            *index,
        )
    });
    let mut given = Names::default();
    let mut names: Vec<(usize, String)> = order
        .into_iter()
        .map(|(index, key)| {
            let mut candidates = vec![key.name.clone()];
            if key.prefix != DEFAULT_PREFIX {
                candidates.push(format!("{}-{}", key.prefix, key.name));
            }
            if key.redis != DEFAULT_REDIS_NAME {
                candidates.push(format!("{}-{}", key.redis, key.name));
                candidates.push(format!("{}-{}-{}", key.redis, key.prefix, key.name));
            }
            (index, given.give(&candidates))
        })
        .collect();
    names.sort_unstable();
    names.into_iter().map(|(_, name)| name).collect()
}

fn no_match(known: &Known, patterns: &[String]) -> Nothing {
    let quoted = |text: &String| format!("`{}`", one_line(text));
    let some = known.queues.keys().take(3).map(|key| quoted(&key.name));
    Nothing::NoMatch {
        queues: known.queues.len(),
        patterns: patterns.iter().map(quoted).collect::<Vec<_>>().join(", "),
        some: some.collect::<Vec<_>>().join(", "),
    }
}

fn spec(known: &Known, usable: &[(&Key, &Facts)], wishes: &Wishes) -> String {
    let mut out = String::new();
    let horizons: Vec<String> = known
        .horizons
        .iter()
        .map(|within| prometheus_duration(*within))
        .collect();
    let horizons = (!horizons.is_empty()).then(|| horizons.join(", "));
    head(
        &mut out,
        &wishes.source,
        wishes.server_address.as_deref(),
        horizons.as_deref(),
    );
    if let Some(namespace) = &wishes.namespace {
        line(
            &mut out,
            &format!("defaults: {{namespace: {}}}", value(namespace)),
            "",
        );
    }
    line(&mut out, "workers:", "");
    if usable.len() > 1 {
        line(
            &mut out,
            "  # One worker for each queue. Where one Deployment takes jobs from several, write them in one worker,",
            "",
        );
        line(
            &mut out,
            "  # `queues: [a, b]`, and delete the others: KEDA refuses two ScaledObjects for one target.",
            "",
        );
    }
    for ((key, facts), name) in usable.iter().zip(names(usable)) {
        worker(&mut out, key, facts, &name, &known.horizons);
    }
    out
}

/// Why a queue cannot stand in a spec.
fn unusable(key: &Key, facts: &Facts) -> Option<&'static str> {
    let texts = [&key.redis, &key.prefix, &key.name];
    if facts.up != Some(true) {
        Some("the exporter could not read it (bullmq_queue_up 0)")
    } else if texts.iter().any(|text| text.contains('\0')) {
        Some("a NUL character stands in its name")
    } else if texts.iter().any(|text| text.is_empty()) {
        Some("its name, its prefix or its Redis has no name")
    } else if texts.iter().map(|text| text.chars().count()).sum::<usize>() > LONGEST_NAME {
        Some("its name is so long that the query would be too")
    } else {
        None
    }
}

fn worker(out: &mut String, key: &Key, facts: &Facts, name: &str, horizons: &BTreeSet<Duration>) {
    out.push('\n');
    line(out, &format!("  # {}", about(key, facts)), "");
    line(out, &format!("  - name: {}", value(name)), "");
    line(
        out,
        &format!("    target: {{name: {}}}", value(name)),
        "guess: a Deployment called like the queue",
    );
    line(
        out,
        &format!(
            "    queues: [{}]",
            queue(&key.redis, &key.prefix, &key.name)
        ),
        "",
    );
    let (concurrency, remark) = concurrency(facts);
    line(out, &format!("    concurrency: {concurrency}"), &remark);
    let workers = facts.workers.unwrap_or_default();
    let (most, remark) = if 2.0 * workers > REPLICAS {
        (
            2.0 * workers,
            format!("guess: twice the {workers} workers that are connected now"),
        )
    } else {
        (
            REPLICAS,
            "guess: no figure; what you are ready to pay for".to_owned(),
        )
    };
    // Beyond what Kubernetes holds nothing is connected; whatever the metrics say, the spec is valid.
    let most = most.min(f64::from(i32::MAX));
    line(
        out,
        &format!("    replicas: {{min: 0, max: {most:.0}}}"),
        &remark,
    );
    job(out, facts);
    let needed = STARTUP + DEFAULT_SCRAPE_INTERVAL + POLLING_INTERVAL;
    let startup = prometheus_duration(STARTUP);
    if horizons.iter().any(|horizon| *horizon >= needed) {
        let remark = "guess: no figure; from pod created to first job taken";
        line(out, &format!("    startup: {startup}"), remark);
    } else {
        let remark = format!(
            "needs a horizon of {} at the exporter (--bullmq.horizon)",
            prometheus_duration(needed)
        );
        line(out, &format!("    # startup: {startup}"), &remark);
    }
}

/// What the queue is, in one line.
fn about(key: &Key, facts: &Facts) -> String {
    let mut text = format!("{}: ", one_line(&key.name));
    match facts
        .library
        .as_ref()
        .map(|(library, version)| (library.as_str(), version.as_str()))
    {
        Some(("bull", _)) => text.push_str("a queue of Bull"),
        Some((_, "")) => text.push_str("a queue of BullMQ"),
        Some((_, version)) => {
            // Writing to a String cannot fail, here and below.
            let _ = write!(text, "a queue of BullMQ {}", one_line(version));
        }
        None => text.push_str("a queue"),
    }
    for (number, what) in [
        (facts.ready, "ready"),
        (facts.active, "active"),
        (facts.delayed, "delayed"),
    ] {
        if let Some(number) = number {
            let _ = write!(text, ", {number} {what}");
        }
    }
    if let Some(schedulers) = facts.schedulers.filter(|schedulers| *schedulers > 0.0) {
        let _ = write!(
            text,
            ", {schedulers} scheduler{}",
            if schedulers > 1.0 { "s" } else { "" }
        );
    }
    if let Some(limit) = facts.concurrency_limit {
        let _ = write!(text, ", global concurrency {limit}");
    }
    text
}

/// The jobs that one replica runs at once. Each worker runs at least its share of the active jobs; BullMQ's own default is 1:
/// <https://docs.bullmq.io/guide/workers/concurrency>.
fn concurrency(facts: &Facts) -> (String, String) {
    match (facts.active, facts.workers) {
        (Some(active), Some(workers)) if active > 0.0 && workers > 0.0 => {
            let share = (active / workers).ceil().clamp(1.0, f64::from(i32::MAX));
            (
                format!("{share:.0}"),
                format!(
                    "guess: at least; {} on {}",
                    counted(active, "active job"),
                    counted(workers, "connected worker")
                ),
            )
        }
        _ => (
            "1".to_owned(),
            "guess: no figure; BullMQ's default. What your Worker's options say".to_owned(),
        ),
    }
}

fn job(out: &mut String, facts: &Facts) {
    let mean = facts.mean();
    // A job that runs for a moment tells nothing.
    let longest = facts
        .longest()
        .filter(|(longest, _)| *longest > Duration::from_secs(1) || mean.is_some());
    let longest = longest.filter(|(longest, _)| mean.is_none_or(|(mean, _)| *longest >= mean));
    let mut fields = Vec::new();
    let mut remarks = Vec::new();
    if let Some((mean, jobs)) = mean {
        fields.push(format!("mean: {}", prometheus_duration(mean)));
        remarks.push(format!("the mean of {}", counted(jobs, "timed job")));
    }
    if let Some((longest, whence)) = longest {
        fields.push(format!("longest: {}", prometheus_duration(longest)));
        remarks.push(whence.to_owned());
    }
    if !fields.is_empty() {
        let remark = format!("guess: {}", remarks.join("; "));
        line(out, &format!("    job: {{{}}}", fields.join(", ")), &remark);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::exposition;
    use crate::{Input, generate};

    fn made(metrics: &str, wishes: &Wishes) -> Result<Starter, Nothing> {
        from_metrics(&exposition::read(metrics).unwrap(), wishes)
    }

    fn generated(spec: &str) {
        let input = Input {
            name: "spec".to_owned(),
            short_name: "spec".to_owned(),
            bytes: spec.as_bytes().to_vec(),
        };
        if let Err(error) = generate(vec![input]) {
            panic!("{error:?}\n{spec}");
        }
    }

    #[test]
    fn every_guess_names_the_figure_that_it_came_from() {
        let metrics = r#"
bullmq_up{redis="default"} 1
bullmq_queue_up{redis="default",prefix="bull",queue="Video: {x}"} 1
bullmq_queue_ready_jobs{redis="default",prefix="bull",queue="Video: {x}"} 4
bullmq_job_count{redis="default",prefix="bull",queue="Video: {x}",state="active"} 23
bullmq_job_count{redis="default",prefix="bull",queue="Video: {x}",state="delayed"} 2
bullmq_queue_workers{redis="default",prefix="bull",queue="Video: {x}"} 8
bullmq_queue_schedulers{redis="default",prefix="bull",queue="Video: {x}"} 1
bullmq_queue_longest_active_seconds{redis="default",prefix="bull",queue="Video: {x}"} 41.2
bullmq_queue_demand_ahead_jobs{redis="default",prefix="bull",queue="Video: {x}",within="2m"} 27
bullmq_queue_demand_ahead_jobs{redis="default",prefix="bull",queue="Video: {x}",within="30s"} 27
bullmq_queue_info{redis="default",prefix="bull",queue="Video: {x}",flavor="bullmq",version="5.81.0"} 1
bullmq_job_processing_seconds_bucket{redis="default",prefix="bull",queue="Video: {x}",le="1"} 3
bullmq_job_processing_seconds_bucket{redis="default",prefix="bull",queue="Video: {x}",le="10"} 5
bullmq_job_processing_seconds_bucket{redis="default",prefix="bull",queue="Video: {x}",le="+Inf"} 5
bullmq_job_processing_seconds_sum{redis="default",prefix="bull",queue="Video: {x}"} 6
bullmq_job_processing_seconds_count{redis="default",prefix="bull",queue="Video: {x}"} 5
"#;
        let wishes = Wishes {
            source: "http://localhost:9538/metrics".to_owned(),
            namespace: Some("shop".to_owned()),
            ..Wishes::default()
        };
        let spec = made(metrics, &wishes).unwrap();
        assert_eq!(spec.notes, [""; 0]);
        assert_eq!(
            spec.text,
            r#"# A starter spec, made by bullmq-keda init from http://localhost:9538/metrics.
# What is marked "guess" is yours to set right. Then: bullmq-keda verify, bullmq-keda generate.
apiVersion: bullmq-keda/v1
prometheus:
  serverAddress: http://prometheus.monitoring.svc:9090  # guess: no figure; the address as KEDA reaches it
  scrapeInterval: 15s                           # guess: no figure; bullmq-keda verify measures it
  horizons: [30s, 2m]                           # those that this exporter serves
defaults: {namespace: shop}
workers:

  # Video: {x}: a queue of BullMQ 5.81.0, 4 ready, 23 active, 2 delayed, 1 scheduler
  - name: video-x
    target: {name: video-x}                     # guess: a Deployment called like the queue
    queues: ["Video: {x}"]
    concurrency: 3                              # guess: at least; 23 active jobs on 8 connected workers
    replicas: {min: 0, max: 16}                 # guess: twice the 8 workers that are connected now
    job: {mean: 2s, longest: 42s}               # guess: the mean of 5 timed jobs; a job has been running that long now
    startup: 30s                                # guess: no figure; from pod created to first job taken
"#
        );
        generated(&spec.text);
    }

    #[test]
    fn a_queue_of_which_nothing_else_is_known_still_makes_a_valid_spec() {
        let metrics = "bullmq_queue_up{redis=\"main\",prefix=\"{app}\",queue=\"no\"} 1\nbullmq_queue_up{redis=\"main\",prefix=\"b\",queue=\"no\"} 1\n";
        let spec = made(metrics, &Wishes::default()).unwrap();
        for part in [
            "  - name: \"no\"\n",
            "  - name: app-no\n",
            "    queues: [{name: \"no\", prefix: \"{app}\", redis: main}]\n",
            "    concurrency: 1 ",
            "    # startup: 30s ",
        ] {
            assert!(spec.text.contains(part), "{part}\n{}", spec.text);
        }
        generated(&spec.text);
    }

    #[test]
    fn an_exporter_that_reads_a_share_of_the_queues_is_no_whole_answer() {
        let metrics = "bullmq_queue_up{redis=\"d\",prefix=\"b\",queue=\"q\"} 1\nbullmq_exporter_shards{shard=\"0\"} 3\n";
        let spec = made(metrics, &Wishes::default()).unwrap();
        let note = "the exporter reads the shard 0/3 of the queues: those of the other shards are not here; ask each exporter";
        assert_eq!(spec.notes, [note]);
    }

    #[test]
    fn nothing_to_make_a_spec_of_is_told_in_a_sentence() {
        let up = "bullmq_queue_up{redis=\"d\",prefix=\"b\",queue=\"q\"}";
        for (metrics, queues, expected) in [
            ("up 1\n".to_owned(), vec![], Nothing::NotOurs),
            (
                "bullmq_job_count{queue=\"q\",state=\"waiting\"} 1\n".to_owned(),
                vec![],
                Nothing::NotOurs,
            ),
            (
                "bullmq_up{redis=\"d\"} 1\n".to_owned(),
                vec![],
                Nothing::NoQueue,
            ),
            (
                "bullmq_up{redis=\"d\"} 0\n".to_owned(),
                vec![],
                Nothing::NoRedis("`d`".to_owned()),
            ),
            (format!("{up} 0\n"), vec![], Nothing::NoneUsable(1)),
            (
                format!("{up} 1\n"),
                vec!["x*".to_owned()],
                Nothing::NoMatch {
                    queues: 1,
                    patterns: "`x*`".to_owned(),
                    some: "`q`".to_owned(),
                },
            ),
        ] {
            let wishes = Wishes {
                queues,
                ..Wishes::default()
            };
            assert_eq!(made(&metrics, &wishes).unwrap_err(), expected, "{metrics}");
        }
        for (queues, unusable, no_match) in [
            (
                1,
                "the one queue that is there cannot be used",
                "the one queue that is there, `q`, does not match `x*`",
            ),
            (
                2,
                "none of the 2 queues can be used",
                "none of the 2 queues matches `x*`; there are `q`",
            ),
        ] {
            assert_eq!(Nothing::NoneUsable(queues).to_string(), unusable);
            let nothing = Nothing::NoMatch {
                queues,
                patterns: "`x*`".to_owned(),
                some: "`q`".to_owned(),
            };
            assert_eq!(nothing.to_string(), no_match);
        }
        let mut many = String::new();
        for n in 0..20_000 {
            writeln!(
                many,
                "bullmq_queue_up{{redis=\"d\",prefix=\"b\",queue=\"q{n}\"}} 1"
            )
            .unwrap();
        }
        assert_eq!(
            made(&many, &Wishes::default()).unwrap_err(),
            Nothing::TooMany(20_000)
        );
    }

    mod any {
        use super::*;
        use proptest::prelude::*;

        fn escaped(text: &str) -> String {
            text.replace('\\', "\\\\")
                .replace('"', "\\\"")
                .replace('\n', "\\n")
        }

        proptest! {
            #[test]
            fn whatever_queues_are_called_the_spec_generates(
                queues in prop::collection::vec(("(?s).{0,12}", "(?s).{0,40}", any::<f64>(), any::<f64>()), 1..5),
                common in prop::sample::select(vec!["no", "1e3", "- a", "#", "a: b", "\u{feff}", "\u{85}x", "'", "{{", "*a", "\u{fffe}"]),
            ) {
                let mut metrics = String::new();
                for (prefix, name, active, workers) in &queues {
                    for name in [name.as_str(), common] {
                        let labels = format!("redis=\"default\",prefix=\"{}\",queue=\"{}\"", escaped(prefix), escaped(name));
                        writeln!(metrics, "bullmq_queue_up{{{labels}}} 1").unwrap();
                        writeln!(metrics, "bullmq_job_count{{{labels},state=\"active\"}} {active}").unwrap();
                        writeln!(metrics, "bullmq_queue_workers{{{labels}}} {workers}").unwrap();
                        writeln!(metrics, "bullmq_queue_longest_active_seconds{{{labels}}} {workers}").unwrap();
                        writeln!(metrics, "bullmq_job_processing_seconds_sum{{{labels}}} {active}").unwrap();
                        writeln!(metrics, "bullmq_job_processing_seconds_count{{{labels}}} {workers}").unwrap();
                        writeln!(metrics, "bullmq_queue_demand_ahead_jobs{{{labels},within=\"1m\"}} 1").unwrap();
                    }
                }
                match made(&metrics, &Wishes::default()) {
                    Ok(spec) => generated(&spec.text),
                    Err(nothing) => prop_assert!(matches!(nothing, Nothing::NoneUsable(_)), "{nothing:?}"),
                }
            }
        }
    }
}

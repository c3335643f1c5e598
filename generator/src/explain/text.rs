//! An explanation as people read it: the answer first, then what it is made of.

use std::time::Duration;

use super::{Explanation, Hpa, Row, Timeline, promql};
use crate::counted::short;
use crate::page::{Align, Page, Screen};

use Align::{Left, Right};

/// Prints explanations for a screen.
pub fn text(explanations: &[Explanation], screen: Screen) -> String {
    let mut page = Page::new(screen);
    for explanation in explanations {
        worker(&mut page, explanation);
    }
    page.finish()
}

fn worker(page: &mut Page, explained: &Explanation) {
    page.title(&explained.worker);
    page.blank();
    page.paragraph(&explained.summary, 0);
    let max = explained.max_replicas;
    let unit = if explained.hpa.is_some() {
        "replicas"
    } else {
        "Jobs"
    };
    backlog(page, &explained.backlog, max, unit);
    for timeline in &explained.timelines {
        course(page, timeline, max, unit);
    }
    reactions(page, explained);
    failures(page, explained);
    match &explained.hpa {
        Some(of) => hpa(page, explained, of),
        None => scaled_job(page, explained),
    }
    overrides(page, explained);
    queries(page, explained);
    choices(page, explained);
}

fn cells<const N: usize>(row: [&str; N]) -> Vec<String> {
    row.into_iter().map(ToOwned::to_owned).collect()
}

fn backlog(page: &mut Page, rows: &[Row], max: u32, unit: &str) {
    page.heading(if unit == "Jobs" {
        "Jobs for a backlog"
    } else {
        "Replicas for a backlog"
    });
    let room = page.room(52, 40);
    let mut table = vec![cells([
        "jobs",
        unit,
        "",
        if unit == "Jobs" {
            ""
        } else {
            "or, if already there"
        },
    ])];
    for row in rows {
        let others = match row.near_enough {
            Some((first, last)) if last - first > 1 => format!("{first} to {last}"),
            Some((first, last)) if first == row.replicas => last.to_string(),
            Some((first, _)) => first.to_string(),
            None => String::new(),
        };
        let others = match (row.limited, others.is_empty()) {
            (true, true) if row.replicas < max => "the rate allows no more: jobs wait".to_owned(),
            (true, true) => "the largest number: jobs wait".to_owned(),
            (true, false) => format!("{others}; jobs wait"),
            (false, _) => others,
        };
        table.push(vec![
            row.jobs.to_string(),
            row.replicas.to_string(),
            page.bar(row.replicas, max, room),
            others,
        ]);
    }
    page.table(2, &[Right, Right, Left, Left], &table);
}

fn course(page: &mut Page, timeline: &Timeline, max: u32, unit: &str) {
    page.heading(&timeline.title);
    let room = page.room(52, 40);
    let mut table = vec![cells(["after", unit, "", ""])];
    for moment in &timeline.moments {
        table.push(vec![
            short(Duration::from_secs(moment.seconds)),
            moment.replicas.to_string(),
            page.bar(moment.replicas, max, room),
            moment.reason.clone(),
        ]);
    }
    page.table(2, &[Right, Right, Left, Left], &table);
}

fn reactions(page: &mut Page, explained: &Explanation) {
    page.heading("How long it takes");
    let time = |seconds: f64| short(Duration::from_secs_f64(seconds.max(0.0)));
    let mut table = vec![cells(["replicas", "mean", "worst", "made of"])];
    table.extend(explained.reactions.iter().map(|reaction| {
        vec![
            reaction.change.clone(),
            time(reaction.mean_seconds),
            time(reaction.worst_seconds),
            reaction.made_of.clone(),
        ]
    }));
    if explained.reactions.is_empty() {
        page.paragraph("The number of replicas is fixed.", 2);
    } else {
        page.table(2, &[Left, Right, Right, Left], &table);
    }
    for note in &explained.notes {
        page.item(note);
    }
}

fn failures(page: &mut Page, explained: &Explanation) {
    page.heading("When it is down");
    let table: Vec<_> = explained
        .failures
        .iter()
        .map(|failure| vec![failure.what.clone(), failure.effect.clone()])
        .collect();
    page.table(2, &[Left, Left], &table);
}

/// What a person writes into the manifest, which is nothing that was chosen here.
fn overrides(page: &mut Page, explained: &Explanation) {
    let Some(overrides) = &explained.overrides else {
        return;
    };
    page.heading("What `overrides` writes into the manifest");
    page.paragraph(
        "Merged last. What is said above does not know of it: where it changes a number, the number in the manifest counts.",
        2,
    );
    page.blank();
    // A value that was read as a tree is one that can be printed.
    let yaml = serde_saphyr::to_string(overrides).unwrap_or_default();
    for line in yaml.lines() {
        page.verbatim(line, 2);
    }
}

/// There is no HPA: who wants to see Jobs made looks elsewhere.
fn scaled_job(page: &mut Page, explained: &Explanation) {
    page.heading("No HPA");
    page.paragraph(
        "KEDA makes a Job for each share of the answer at its own poll, and ends none. A Job ends by itself, so that long jobs are never interrupted.",
        2,
    );
    page.blank();
    let option = match &explained.namespace {
        Some(namespace) => format!(" -n {namespace}"),
        None => String::new(),
    };
    let worker = &explained.worker;
    page.paragraph("Look at it in the cluster:", 2);
    page.blank();
    page.verbatim(&format!("kubectl{option} describe scaledjob/{worker}"), 4);
    page.verbatim(
        &format!("kubectl{option} get jobs -l scaledjob.keda.sh/name={worker}"),
        4,
    );
}

fn hpa(page: &mut Page, explained: &Explanation, hpa: &Hpa) {
    page.heading("The HPA that KEDA makes");
    let place = match &explained.namespace {
        Some(namespace) => format!("{} in {namespace}", hpa.name),
        None => hpa.name.clone(),
    };
    let mut table = vec![
        cells(["name", &place]),
        vec![
            "replicas".to_owned(),
            if hpa.min_replicas == hpa.max_replicas {
                format!("{} of {}", hpa.max_replicas, explained.target)
            } else {
                format!(
                    "{} to {} of {}",
                    hpa.min_replicas, hpa.max_replicas, explained.target
                )
            },
        ],
    ];
    table.extend(hpa.metrics.iter().map(|metric| {
        vec![
            "metric".to_owned(),
            format!(
                "{} ({}), AverageValue {}",
                metric.name, metric.trigger, metric.average_value
            ),
        ]
    }));
    table.extend([
        cells(["up", &hpa.scale_up]),
        cells(["down", &hpa.scale_down]),
        cells(["tolerance", &hpa.tolerance]),
    ]);
    page.table(2, &[Left, Left], &table);
    look(page, explained, hpa);
}

/// The commands that show what is said here in the cluster.
fn look(page: &mut Page, explained: &Explanation, hpa: &Hpa) {
    page.blank();
    let (option, namespace) = match &explained.namespace {
        Some(namespace) => (format!(" -n {namespace}"), namespace.as_str()),
        None => (String::new(), "NAMESPACE"),
    };
    let worker = &explained.worker;
    page.paragraph(
        "Look at it in the cluster, and at what the HPA hears of KEDA:",
        2,
    );
    page.blank();
    page.verbatim(
        &format!("kubectl{option} get scaledobject/{worker} hpa/{}", hpa.name),
        4,
    );
    page.verbatim(
        &format!("kubectl{option} describe scaledobject/{worker}"),
        4,
    );
    page.verbatim(
        &format!(
            "kubectl get --raw '/apis/external.metrics.k8s.io/v1beta1/namespaces/{namespace}/s0-prometheus?labelSelector=scaledobject.keda.sh%2Fname%3D{worker}'"
        ),
        4,
    );
}

fn queries(page: &mut Page, explained: &Explanation) {
    let width = page.room(2, usize::MAX);
    for trigger in &explained.triggers {
        page.heading(&format!("What `{}` asks Prometheus", trigger.name));
        page.paragraph(&trigger.purpose, 2);
        page.blank();
        for line in promql::lines(&trigger.query, width) {
            page.verbatim(&line, 2);
        }
        page.blank();
        let table: Vec<_> = trigger
            .terms
            .iter()
            .map(|term| vec![term.part.clone(), term.meaning.clone()])
            .collect();
        page.table(2, &[Left, Left], &table);
    }
}

fn choices(page: &mut Page, explained: &Explanation) {
    page.heading("Why these numbers");
    let mut addresses: Vec<&str> = Vec::new();
    for choice in &explained.choices {
        let value = choice.value.as_deref().unwrap_or("none");
        page.verbatim(&format!("{}: {value}", choice.field), 2);
        let source = if choice.source.starts_with("http") {
            let known = addresses.iter().position(|one| *one == choice.source);
            let index = known.unwrap_or(addresses.len());
            if known.is_none() {
                addresses.push(choice.source);
            }
            (index + 1).to_string()
        } else {
            choice.source.to_owned()
        };
        page.paragraph(&format!("{} [{source}]", choice.rule), 6);
    }
    page.blank();
    page.paragraph(
        "[simulation]: found by playing whole workloads through exporter, Prometheus, KEDA, HPA and pods, against other numbers.",
        2,
    );
    for (index, address) in addresses.iter().enumerate() {
        page.verbatim(&format!("[{}] {address}", index + 1), 2);
    }
}

//! One queue: why do its jobs wait?

use crate::dashboard::{
    Dashboard, QUEUE, failure_ratio, in_state, max_by_queue, of_queue, queue_variables,
    rate_of_queue,
};
use crate::panel::Panel;

pub(crate) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "bullmq-queue",
        title: "BullMQ / One queue",
        description: "One queue: why do its jobs wait, and who works on them?",
        variables: queue_variables(false),
        annotation: (
            "Queue paused",
            format!("{} == 1", of_queue("bullmq_queue_paused")),
        ),
        rows: vec![
            ("Now", now()),
            ("Jobs", jobs()),
            ("Waiting and working", working()),
            ("Limits, schedules and groups", limits()),
            ("Timings and events (--collect.events)", events()),
        ],
    }
}

fn now() -> Vec<Panel> {
    let ready = of_queue("bullmq_queue_ready_jobs");
    vec![
        Panel::stat("Ready", "short", "Jobs that a worker could take now: waiting, prioritized and due ones; 0 while the queue is paused.", &*ready),
        Panel::stat("Active", "short", "Jobs that workers run.", in_state("active")),
        Panel::stat("Delayed", "short", "Jobs that wait for a time, due or not: delayed ones, retries that back off, next runs of schedules.", in_state("delayed")),
        Panel::stat("Due", "short", "Delayed jobs that are due. Only a living worker moves them: if they stay, start one.", of_queue("bullmq_queue_delayed_due_jobs")),
        Panel::stat("Oldest ready job", "s", "How long the oldest ready job has waited. If it is long, see below whether workers are missing or busy.", of_queue("bullmq_queue_oldest_ready_age_seconds")).red_from(300.0),
        Panel::stat("Time to drain", "s", "Ready jobs by the jobs completed a second: how long the backlog lasts if nothing is added. Absent if workers keep no metrics or complete nothing.",
            format!("{ready} / ({} > 0)", rate_of_queue("bullmq_job_completed_total"))),
        Panel::stat("Workers", "none", "Connected workers; several may be in one pod. Absent if CLIENT LIST is denied.", of_queue("bullmq_queue_workers")),
        Panel::stat("Demand", "short", "Worker slots needed now: ready and active jobs within the global concurrency. Autoscalers ask for this.", of_queue("bullmq_queue_demand_jobs")),
        Panel::stat("Failed, kept", "short", "Failed jobs that Redis keeps. Read their failedReason, then retry or clean them.", in_state("failed")),
        Panel::stat("Completed, kept", "short", "Completed jobs that Redis keeps: its memory. removeOnComplete bounds them.", in_state("completed")),
        Panel::stat("Prioritized", "short", "Ready jobs with a priority. Those of low priority may wait for ever behind others.", in_state("prioritized")),
        Panel::stat("Paused", "none", "1 while the queue is paused. Resume it if nobody meant this.", of_queue("bullmq_queue_paused")).red_from(1.0),
    ]
}

fn jobs() -> Vec<Panel> {
    let growth = max_by_queue(&format!(
        "deriv(bullmq_queue_ready_jobs{{{QUEUE}}}[$__rate_interval])"
    ));
    vec![
        Panel::stacked("Jobs by state", "short", "Every job that is not finished stands in exactly one state. Jobs in `paused` of a queue that is not paused are left over from an upgrade: nobody takes them.")
            .query(format!(r#"max by (namespace, job, redis, prefix, queue, state) (bullmq_job_count{{{QUEUE},state!~"completed|failed"}})"#), "{{state}}"),
        Panel::lines("Added and finished a second", "ops", "Where more is added than finished, the backlog grows. Finished jobs are absent if workers keep no metrics.")
            .query(rate_of_queue("bullmq_job_added_total"), "added")
            .query(rate_of_queue("bullmq_job_completed_total"), "completed")
            .query(rate_of_queue("bullmq_job_failed_total"), "failed"),
        Panel::lines("Growth of the ready jobs a second", "ops", "Above 0 the backlog grows, below 0 it is worked off.").query(growth, "growth"),
        Panel::lines("Failure ratio", "percentunit", "The share of failed jobs among the finished ones.").query(failure_ratio(), "failed for good"),
    ]
}

fn working() -> Vec<Panel> {
    let demand_ahead = format!(
        "max by (namespace, job, redis, prefix, queue, within) (bullmq_queue_demand_ahead_jobs{{{QUEUE}}})"
    );
    vec![
        Panel::lines("Ages", "s", "A ready job that ages while jobs are active: too few workers. One that ages while none is: nobody works. A long-running job alone may be meant.")
            .query(of_queue("bullmq_queue_oldest_ready_age_seconds"), "oldest ready job")
            .query(of_queue("bullmq_queue_longest_active_seconds"), "longest-running job"),
        Panel::lines("Demand", "short", "Worker slots needed now, and if everything due within the time ahead were due now. Autoscalers that know how long a start takes ask for the latter.")
            .query(of_queue("bullmq_queue_demand_jobs"), "now")
            .query(demand_ahead, "within {{within}}"),
        Panel::lines("Workers and active jobs", "short", "Active jobs by workers is how many each runs at once. Idle workers beside ready jobs: a rate limit, or workers that lost their connection.")
            .query(of_queue("bullmq_queue_workers"), "workers")
            .query(of_queue("bullmq_queue_workers_idle"), "idle workers")
            .query(in_state("active"), "active jobs"),
        Panel::timeline("State", "Read: the queue could be read. Orphaned: the longest-running job is held by no living worker; start one, it takes the job back.")
            .query(of_queue("bullmq_queue_up"), "read")
            .query(of_queue("bullmq_queue_paused"), "paused")
            .query(of_queue("bullmq_queue_rate_limited"), "rate limited")
            .query(of_queue("bullmq_queue_orphaned"), "orphaned"),
    ]
}

fn limits() -> Vec<Panel> {
    vec![
        Panel::lines("Global concurrency", "short", "At the limit more workers do not help. Absent for queues without one.")
            .query(of_queue("bullmq_queue_concurrency_limit"), "limit")
            .query(in_state("active"), "active jobs"),
        Panel::lines("Rate limit", "s", "Time until the current window ends; 0 outside of one.")
            .query(of_queue("bullmq_queue_rate_limit_reset_seconds"), "until reset"),
        Panel::lines("Schedules", "short", "Overdue schedules stand still until a worker starts them.")
            .query(of_queue("bullmq_queue_schedulers"), "schedules")
            .query(of_queue("bullmq_queue_schedulers_overdue"), "overdue"),
        Panel::lines("Groups", "short", "Non-empty groups of BullMQ Pro by status. Absent without groups.")
            .query(format!("max by (namespace, job, redis, prefix, queue, status) (bullmq_queue_groups{{{QUEUE}}})"), "{{status}}"),
    ]
}

fn events() -> Vec<Panel> {
    // Each exporter counts for itself, so the exporters are told apart before anything is added up, and the highest is taken.
    let quantile = |of: &str, metric: &str| {
        max_by_queue(&format!(
            "histogram_quantile({of}, rate({metric}_bucket{{{QUEUE}}}[$__rate_interval]))"
        ))
    };
    let buckets = |metric: &str| {
        format!("max by (le) (increase({metric}_bucket{{{QUEUE}}}[$__rate_interval]))")
    };
    let mean = |metric: &str| {
        max_by_queue(&format!(
            "rate({metric}_sum{{{QUEUE}}}[$__rate_interval]) / (rate({metric}_count{{{QUEUE}}}[$__rate_interval]) > 0)"
        ))
    };
    let (wait, processing) = ("bullmq_job_wait_seconds", "bullmq_job_processing_seconds");
    vec![
        Panel::heatmap("How long jobs waited", "s", "Jobs by how long they were ready before a worker took them. A band that moves up: workers do not keep up.").query(buckets(wait), "{{le}}"),
        Panel::heatmap("How long jobs ran", "s", "Finished jobs by how long their last attempt took. A second band is a second kind of job, or a slow downstream.").query(buckets(processing), "{{le}}"),
        Panel::lines("Waiting time", "s", "Of 95 jobs in a hundred, and of half of them.")
            .query(quantile("0.95", wait), "95%").query(quantile("0.5", wait), "50%"),
        Panel::lines("Running time", "s", "The mean is what `job.mean` of the spec wants to know.")
            .query(quantile("0.95", processing), "95%").query(quantile("0.5", processing), "50%").query(mean(processing), "mean"),
        Panel::lines("Events a second", "ops", "What happened to jobs. `stalled`: workers died or blocked, and jobs run again. `retries-exhausted`: their last attempt failed.")
            .query(format!("max by (namespace, job, redis, prefix, queue, event) (rate(bullmq_job_events_total{{{QUEUE}}}[$__rate_interval])) > 0"), "{{event}}"),
        Panel::table("Library", "Which library made the queue, and the version of a producer. Workers and producers should be of one version.")
            .columns(&[("redis", "Redis"), ("prefix", "Prefix"), ("queue", "Queue"), ("flavor", "Library"), ("version", "Version")])
            .query(format!("max by (redis, prefix, queue, flavor, version) (bullmq_queue_info{{{QUEUE}}})"), "").wide(12),
    ]
}

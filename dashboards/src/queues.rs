//! All queues: which one needs somebody now?

use crate::dashboard::{
    Dashboard, EXPORTER, QUEUE, REDIS, failure_ratio, in_state, max_by_queue, of_queue,
    queue_variables, rate_of_queue,
};
use crate::panel::Panel;

/// The page of one queue, with what its row tells.
const TO_THE_QUEUE: &str = "/d/bullmq-queue?${datasource:queryparam}&${job:queryparam}&${namespace:queryparam}&var-redis=${__data.fields.Redis}\
     &var-prefix=${__data.fields.Prefix}&var-queue=${__data.fields.Queue}&${__url_time_range}";

pub(crate) fn dashboard() -> Dashboard {
    Dashboard {
        uid: "bullmq-queues",
        title: "BullMQ / Queues",
        description: "All queues at a glance: which one needs somebody now?",
        variables: queue_variables(true),
        annotation: (
            "Queue paused",
            format!("{} == 1", of_queue("bullmq_queue_paused")),
        ),
        rows: vec![
            ("Now", now()),
            ("Trouble first", vec![trouble()]),
            ("Trends", trends()),
            ("Exporter", exporter()),
        ],
    }
}

fn now() -> Vec<Panel> {
    let (ready, age, paused) = (
        of_queue("bullmq_queue_ready_jobs"),
        of_queue("bullmq_queue_oldest_ready_age_seconds"),
        of_queue("bullmq_queue_paused"),
    );
    let (up, workers) = (
        of_queue("bullmq_queue_up"),
        of_queue("bullmq_queue_workers"),
    );
    let failed = max_by_queue(&format!(
        r#"delta(bullmq_job_count{{{QUEUE},state="failed"}}[30m])"#
    ));
    vec![
        Panel::stat("Exporters", "none", "Exporters that Prometheus can scrape. At 0 nothing here is known: see the pods of the exporter and Prometheus' targets.",
            format!("sum(up{{{EXPORTER}}})")).wide(2).red_at_zero(),
        Panel::stat("Redis answering", "none", "Redis servers that answer the exporter. At 0 see whether Redis is up, then the exporter's log.",
            format!("sum(max by (namespace, job, redis) (bullmq_up{{{REDIS}}}))")).wide(2).red_at_zero(),
        Panel::stat("Queues", "none", "Queues that were read in the last scrape.", format!("count({up} == 1)")).wide(2),
        Panel::stat("Unreadable", "none", "Queues that are named in the configuration and do not exist, or could not be read. Autoscalers that ask for them hold: see the runbook of BullMQQueueMissing.",
            format!("count({up} == 0) or vector(0)")).wide(3).red_from(1.0),
        Panel::stat("Ready jobs", "short", "Jobs that workers could take now, in all queues.", format!("sum({ready})")).wide(3),
        Panel::stat("Oldest ready job", "s", "How long the oldest ready job has waited. It is what users feel: if it is long, look at the first row below.",
            format!("max({age})")).wide(3).red_from(300.0),
        Panel::stat("No workers", "none", "Queues with ready jobs and no connected worker. For longer than a cold start, nobody will take them.",
            format!("count({ready} > 0 and {workers} == 0) or vector(0)")).wide(3).red_from(1.0),
        Panel::stat("Failing", "none", "Queues that keep more failed jobs than half an hour ago. Read the failedReason of the last ones.",
            format!("count({failed} > 0) or vector(0)")).wide(3).red_from(1.0),
        Panel::stat("Paused", "none", "Paused queues. Nobody takes their jobs: resume those that are paused by mistake.", format!("sum({paused})")).wide(3),
    ]
}

fn trouble() -> Panel {
    Panel::table("Queues by the age of their oldest ready job", "The first row waits longest. Click on a queue to see it alone. Workers are missing where CLIENT LIST is denied, what is completed and failed where workers keep no metrics.")
        .columns(&[("namespace", "Namespace"), ("job", ""), ("redis", "Redis"), ("prefix", "Prefix"), ("queue", "Queue")])
        .query(of_queue("bullmq_queue_oldest_ready_age_seconds"), "Oldest ready")
        .query(of_queue("bullmq_queue_ready_jobs"), "Ready")
        .query(in_state("active"), "Active")
        .query(of_queue("bullmq_queue_demand_jobs"), "Demand")
        .query(of_queue("bullmq_queue_workers"), "Workers")
        .query(of_queue("bullmq_queue_delayed_due_jobs"), "Due")
        .query(rate_of_queue("bullmq_job_completed_total"), "Completed/s")
        .query(rate_of_queue("bullmq_job_failed_total"), "Failed/s")
        .query(in_state("failed"), "Failed, kept")
        .query(failure_ratio(), "Failure ratio")
        .query(of_queue("bullmq_queue_paused"), "Paused")
        .query(of_queue("bullmq_queue_orphaned"), "Orphaned")
        .query(of_queue("bullmq_queue_schedulers_overdue"), "Schedules overdue")
        .column_unit("Oldest ready", "s")
        .column_unit("Completed/s", "ops")
        .column_unit("Failed/s", "ops")
        .column_unit("Failure ratio", "percentunit")
        .row_link("This queue", TO_THE_QUEUE)
}

fn trends() -> Vec<Panel> {
    let top = |query: String| format!("topk(10, {query})");
    vec![
        Panel::lines("Ready jobs, the ten longest queues", "short", "A line that rises for long needs more workers, or quicker jobs.")
            .query(top(of_queue("bullmq_queue_ready_jobs")), "{{queue}}"),
        Panel::lines("Oldest ready job, the ten oldest", "s", "Rises by a second a second where nobody takes jobs at all.")
            .query(top(of_queue("bullmq_queue_oldest_ready_age_seconds")), "{{queue}}"),
        Panel::lines("Added a second", "ops", "Attempts to add a job, duplicates included. Compare with what is completed.")
            .query(top(rate_of_queue("bullmq_job_added_total")), "{{queue}}"),
        Panel::lines("Completed a second", "ops", "Absent for queues whose workers keep no metrics; then --collect.events counts them.")
            .query(top(rate_of_queue("bullmq_job_completed_total")), "{{queue}}"),
        Panel::lines("Failed a second", "ops", "Jobs that failed for good. Read their failedReason.")
            .query(top(rate_of_queue("bullmq_job_failed_total")), "{{queue}}"),
        Panel::lines("Failure ratio", "percentunit", "The share of failed jobs among the finished ones. Of few jobs one is much: look at the rate as well.")
            .query(top(failure_ratio()), "{{queue}}"),
    ]
}

fn exporter() -> Vec<Panel> {
    let by_instance =
        |metric: &str, more: &str| format!("max by (instance{more}) ({metric}{{{EXPORTER}}})");
    let increase = |metric: &str, more: &str| {
        format!("max by (instance, redis{more}) (increase({metric}{{{REDIS}}}[$__rate_interval]))")
    };
    vec![
        Panel::lines("Reading Redis", "s", "How long each scrape took to read each Redis, and the whole scrape as Prometheus saw it. Half a second before Prometheus' timeout, 10 s unless told otherwise, queues go missing.")
            .query(by_instance("bullmq_exporter_scrape_duration_seconds", ", redis"), "{{instance}} {{redis}}")
            .query(by_instance("scrape_duration_seconds", ""), "{{instance}} whole scrape"),
        Panel::lines("Errors", "short", "Errors by cause, in the interval. Anything that goes on is worth a look at the exporter's log.")
            .query(increase("bullmq_exporter_errors_total", ", cause"), "{{instance}} {{redis}} {{cause}}")
            .query(increase("bullmq_exporter_events_missed_total", ""), "{{instance}} {{redis}} events missed"),
        Panel::lines("Series and queues", "short", "Series that each exporter serves, and queues that it found.")
            .query(by_instance("scrape_samples_scraped", ""), "{{instance}} series")
            .query(by_instance("bullmq_exporter_queues", ", redis"), "{{instance}} {{redis}} queues"),
        Panel::lines("Search for queues", "s", "How old the list of queues is, and how long finding them took. New queues are seen only after a search.")
            .query(format!("time() - {}", by_instance("bullmq_exporter_discovery_last_success_timestamp_seconds", ", redis")), "{{instance}} {{redis}} age")
            .query(by_instance("bullmq_exporter_discovery_duration_seconds", ", redis"), "{{instance}} {{redis}} duration"),
        Panel::lines("Memory of the exporter", "bytes", "Its resident memory. It follows the number of queues, not of jobs.")
            .query(by_instance("process_resident_memory_bytes", ""), "{{instance}}"),
        Panel::lines("CPU of the exporter", "short", "Processors in use.")
            .query(format!("max by (instance) (rate(process_cpu_seconds_total{{{EXPORTER}}}[$__rate_interval]))"), "{{instance}}"),
        Panel::table("Redis", "maxmemory_policy must be noeviction, or Redis deletes jobs when its memory is full. A replica's numbers lag.")
            .columns(&[("redis", "Redis"), ("version", "Version"), ("mode", "Mode"), ("role", "Role"), ("maxmemory_policy", "Eviction policy")])
            .query(format!("max by (redis, version, mode, role, maxmemory_policy) (bullmq_redis_info{{{REDIS}}})"), "").wide(12),
        Panel::table("Exporters", "Configuration read is 0 where the last change of the file could not be read; the one before is in force. Only exporters with --config.file have it.")
            .columns(&[("instance", "Exporter"), ("version", "Version"), ("revision", "Revision"), ("rustc", "Compiler")])
            .query(by_instance("bullmq_exporter_build_info", ", version, revision, rustc"), "Runs")
            .query(by_instance("bullmq_exporter_config_last_reload_successful", ""), "Configuration read")
            .query(format!("time() - {}", by_instance("bullmq_exporter_config_last_reload_success_timestamp_seconds", "")), "Configuration age")
            .column_unit("Configuration age", "s").wide(12),
    ]
}

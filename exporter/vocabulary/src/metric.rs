//! The metrics, each with what a reader of a dashboard, an alert or a query must know of it.
//!
//! The key layout and the commands named here are BullMQ's, as of BullMQ 5.81 and 6.7:
//! <https://github.com/taskforcesh/bullmq/tree/v6.7.0/src/commands>. `K` stands for `<prefix>:<queue>`.

use crate::label;

/// What kind of number a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A number that goes up and down.
    Gauge,
    /// A number that only goes up, until it starts anew at zero.
    Counter,
    /// Counts of measurements by size, each of which only goes up.
    Histogram,
}

impl Kind {
    /// The word of the `# TYPE` line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gauge => "gauge",
            Self::Counter => "counter",
            Self::Histogram => "histogram",
        }
    }
}

/// What a metric counts in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// A number of jobs.
    Jobs,
    /// Seconds, with fractions.
    Seconds,
    /// Seconds since 1970-01-01 00:00 UTC.
    UnixSeconds,
    /// 0 for no, 1 for yes.
    Truth,
    /// Always 1; the labels are the information.
    Info,
    /// A plain number of something named by the metric.
    Count,
}

impl Unit {
    /// The words of the table in `METRICS.md`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jobs => "jobs",
            Self::Seconds => "seconds",
            Self::UnixSeconds => "seconds since 1970",
            Self::Truth => "0 or 1",
            Self::Info => "always 1",
            Self::Count => "number",
        }
    }
}

/// One metric: its name and everything that is said about it in public.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Metric {
    /// The name of the metric family, as it stands in the exposition.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// What it counts in.
    pub unit: Unit,
    /// The label keys, in the order in which they are written.
    pub labels: &'static [&'static str],
    /// One sentence for the `# HELP` line.
    pub help: &'static str,
    /// The Redis keys and commands that it comes from.
    pub source: &'static str,
    /// What it costs Redis.
    pub cost: &'static str,
    /// The versions of Bull and BullMQ that it is known of.
    pub versions: &'static str,
    /// When there is no series.
    pub absent: &'static str,
}

const WITH_REDIS: &[&str] = &[label::REDIS];
const WITH_REDIS_AND_CAUSE: &[&str] = &[label::REDIS, label::CAUSE];
const WITH_STATE: &[&str] = &[label::REDIS, label::PREFIX, label::QUEUE, label::STATE];
const WITH_WITHIN: &[&str] = &[label::REDIS, label::PREFIX, label::QUEUE, label::WITHIN];
const WITH_STATUS: &[&str] = &[label::REDIS, label::PREFIX, label::QUEUE, label::STATUS];
const WITH_FLAVOR: &[&str] = &[
    label::REDIS,
    label::PREFIX,
    label::QUEUE,
    label::FLAVOR,
    label::VERSION,
];
const WITH_FACTS: &[&str] = &[
    label::REDIS,
    label::VERSION,
    label::MODE,
    label::ROLE,
    label::MAXMEMORY_POLICY,
];
const WITH_EVENT: &[&str] = &[label::REDIS, label::PREFIX, label::QUEUE, label::EVENT];
const WITH_BUILD: &[&str] = &[label::VERSION, label::REVISION, label::RUSTC];

const OF_EVENTS: &str =
    "BullMQ from 1 on (seen with 1, 3, 4, 5, 6 and Python); Bull has no such stream";
const EVENTS_COST: &str = "one more connection; a `TIME` and one `XREAD` for 100 queues a pass, with about 1 µs of Redis' time for an idle queue and 0.6 µs for an event, about a quarter of \
     what writing it took; one `XRANGE` for a queue that has something new; 4 µs a queue and minute for `XINFO`. With 1,000 idle queues that was 0.05% of a processor, with 20,000 jobs by \
     BullMQ's workers 80,000 events in 34 `XREAD`s. Entries are transferred whole, with return values, failure reasons, progress and, from BullMQ 1, the data of added jobs, because no command that only reads leaves fields out: a command asks for as many entries \
     as were about 4 MB by the size of the last ones, 500 at most. In the exporter 0.5 kB a queue, and up to about 10 MB for the jobs that it remembers, with ids as long as a UUID; 55 series a queue";
const EVENTS_ABSENT: &str = "`--collect.events` is off, the queue is one of Bull, its stream was not read in the last 10 seconds or cannot be (`XREAD`, `XRANGE` or `XINFO` denied), \
     or the queue was not read in this scrape";
const EVERY: &str = "every version";
const QUEUE_UNREAD: &str =
    "the queue was not read in this scrape (`bullmq_queue_up` 0), or it does not exist";

/// Whether this Redis answered this scrape.
pub const UP: Metric = Metric {
    name: "bullmq_up",
    kind: Kind::Gauge,
    unit: Unit::Truth,
    labels: WITH_REDIS,
    help: "Whether this Redis answered this scrape.",
    source: "`TIME`; of a cluster that of any node",
    cost: "1 command a scrape and node",
    versions: EVERY,
    absent: "never",
};

/// Whether this queue was read in this scrape.
pub const QUEUE_UP: Metric = Metric {
    name: "bullmq_queue_up",
    kind: Kind::Gauge,
    unit: Unit::Truth,
    labels: label::OF_A_QUEUE,
    help: "Whether this queue was read in this scrape. At 0 its other series are absent.",
    source: "all reads of the queue",
    cost: "none of its own",
    versions: EVERY,
    absent: "the queue does not exist and is not named by `--bullmq.queue`, or `bullmq_up` is 0",
};

/// Jobs by state.
pub const JOB_COUNT: Metric = Metric {
    name: "bullmq_job_count",
    kind: Kind::Gauge,
    unit: Unit::Jobs,
    labels: WITH_STATE,
    help: "Number of jobs in the queue by state. Every job stands in exactly one state.",
    source: "`LLEN K:wait`, `LLEN K:paused`, `LLEN K:active` (without the marker elements that BullMQ 3 and 4 keep in the lists), \
             `ZCARD` of `K:delayed`, `K:prioritized`, `K:waiting-children`, `K:completed`, `K:failed`; of those that were not there lately one `EXISTS` together, and if it finds one, all of these",
    cost: "4 commands a queue, 1 to 3 more a state that it has, O(1), in one MULTI",
    versions: "Bull, BullMQ; prioritized from BullMQ 4 on, where Bull and BullMQ 1 to 3 keep such jobs in waiting; waiting-children from BullMQ 1 on. A marker of BullMQ 4 between jobs, rather than at an end of the list, is counted as a job, and one on its way to a worker as an active one for an instant",
    absent: QUEUE_UNREAD,
};

/// Jobs that a worker could take now.
pub const QUEUE_READY_JOBS: Metric = Metric {
    name: "bullmq_queue_ready_jobs",
    kind: Kind::Gauge,
    unit: Unit::Jobs,
    labels: label::OF_A_QUEUE,
    help: "Jobs that a worker could take now: waiting, prioritized, and delayed jobs already due; 0 while the queue is paused.",
    source: "the counts above, `bullmq_queue_delayed_due_jobs`, `HMGET K:meta paused`",
    cost: "none of its own",
    versions: EVERY,
    absent: QUEUE_UNREAD,
};

/// Delayed jobs already due.
pub const QUEUE_DELAYED_DUE_JOBS: Metric = Metric {
    name: "bullmq_queue_delayed_due_jobs",
    kind: Kind::Gauge,
    unit: Unit::Jobs,
    labels: label::OF_A_QUEUE,
    help: "Delayed jobs already due, which only a living worker will move.",
    source: "the scores below `(now+1)*4096` in `ZRANGE K:delayed 0 7 WITHSCORES`, or `ZCOUNT K:delayed -inf ((now+1)*4096` where all 8 are; `now` is Redis `TIME` in milliseconds",
    cost: "1 command where jobs are delayed, O(log delayed jobs)",
    versions: EVERY,
    absent: QUEUE_UNREAD,
};

/// The worker slots that are needed now: the default scaling signal.
pub const QUEUE_DEMAND_JOBS: Metric = Metric {
    name: "bullmq_queue_demand_jobs",
    kind: Kind::Gauge,
    unit: Unit::Jobs,
    labels: label::OF_A_QUEUE,
    help: "Worker slots needed now: ready and active jobs, capped by the queue's global concurrency, never below the active jobs.",
    source: "`bullmq_queue_ready_jobs`, `LLEN K:active`, `HMGET K:meta concurrency`",
    cost: "none of its own",
    versions: EVERY,
    absent: QUEUE_UNREAD,
};

/// The worker slots that will be needed soon.
pub const QUEUE_DEMAND_AHEAD_JOBS: Metric = Metric {
    name: "bullmq_queue_demand_ahead_jobs",
    kind: Kind::Gauge,
    unit: Unit::Jobs,
    labels: WITH_WITHIN,
    help: "Worker slots needed if every delayed job due within that time were due now.",
    source: "`bullmq_queue_demand_jobs` and the scores from `(now+1)*4096` to below `(now+within+1)*4096` in `ZRANGE K:delayed 0 7 WITHSCORES`, or `ZCOUNT` of them where all 8 are",
    cost: "none of its own; 1 command a horizon, O(log delayed jobs), where more than 7 jobs are due within the furthest",
    versions: EVERY,
    absent: "`--collect.ahead=false`, the queue was not read in this scrape (`bullmq_queue_up` 0), or it does not exist",
};

/// The age of the oldest ready job.
pub const QUEUE_OLDEST_READY_AGE_SECONDS: Metric = Metric {
    name: "bullmq_queue_oldest_ready_age_seconds",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: label::OF_A_QUEUE,
    help: "How long the oldest ready job has been ready; 0 when no job is.",
    source: "`LRANGE K:wait -8 -1`, `LINDEX K:wait 0`, the first member of each priority level (`ZRANGE K:prioritized 0 7 WITHSCORES`, then `ZRANGEBYSCORE`, at most 16 levels), \
             the first delayed job, then `HMGET K:<id> timestamp processedOn opts ats attemptsMade` of those jobs (of the waiting ones, only of the one that is taken next where ids and times show that none is older), and \
             `EXISTS K:<id>:processed`; never the job's data. A job whose hash does not tell since when it is ready counts from when this exporter first saw it",
    cost: "where jobs are ready 2 commands, and 1 a candidate, at most 9 and 3 a level of priority, O(1) or O(log jobs)",
    versions: EVERY,
    absent: "`--collect.ages=false`, a command that it needs is denied, or the queue was not read",
};

/// How long the longest-running job has run.
pub const QUEUE_LONGEST_ACTIVE_SECONDS: Metric = Metric {
    name: "bullmq_queue_longest_active_seconds",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: label::OF_A_QUEUE,
    help: "How long the longest-running active job has run; 0 when none does.",
    source: "`LRANGE K:active -2 -1`, `HGET K:<id> processedOn`: workers add to the other end, so the last job was taken first",
    cost: "3 commands where jobs are active, O(1)",
    versions: EVERY,
    absent: "`--collect.ages=false`, the queue was not read, or the job's hash does not tell",
};

/// Whether active jobs are held by nobody.
pub const QUEUE_ORPHANED: Metric = Metric {
    name: "bullmq_queue_orphaned",
    kind: Kind::Gauge,
    unit: Unit::Truth,
    labels: label::OF_A_QUEUE,
    help: "Whether the longest-running active job is held by no living worker: its lock is gone.",
    source: "`EXISTS K:<id>:lock`, then, if it is gone, `LRANGE K:active -2 -1` again: a worker that drains keeps its lock, and a job that has finished is not active any more",
    cost: "1 command where jobs are active, O(1)",
    versions: EVERY,
    absent: "`--collect.ages=false`, the queue was not read, or `EXISTS` is denied",
};

/// Whether the queue is paused.
pub const QUEUE_PAUSED: Metric = Metric {
    name: "bullmq_queue_paused",
    kind: Kind::Gauge,
    unit: Unit::Truth,
    labels: label::OF_A_QUEUE,
    help: "Whether the queue is paused.",
    source: "`HMGET K:meta paused`; for Bull `EXISTS K:meta-paused`",
    cost: "part of 1 command a queue, O(1)",
    versions: EVERY,
    absent: QUEUE_UNREAD,
};

/// The global concurrency of the queue.
pub const QUEUE_CONCURRENCY_LIMIT: Metric = Metric {
    name: "bullmq_queue_concurrency_limit",
    kind: Kind::Gauge,
    unit: Unit::Jobs,
    labels: label::OF_A_QUEUE,
    help: "Global concurrency of the queue: how many of its jobs may be active at once, over all workers.",
    source: "`HMGET K:meta concurrency`",
    cost: "part of 1 command a queue, O(1)",
    versions: "BullMQ from 5.9 on",
    absent: "the queue has no such limit, or was not read",
};

/// Whether workers must wait for the rate limit.
pub const QUEUE_RATE_LIMITED: Metric = Metric {
    name: "bullmq_queue_rate_limited",
    kind: Kind::Gauge,
    unit: Unit::Truth,
    labels: label::OF_A_QUEUE,
    help: "Whether workers must wait for the rate limit's window to end.",
    source: "`GET K:limiter`, `HMGET K:meta max`; 1 as well while `queue.rateLimit` holds, which workers without a limit of their own ignore",
    cost: "part of 1 command a queue; 1 where there is a window",
    versions: "Bull, BullMQ; a global limit from BullMQ 5.60 on",
    absent: "`--collect.limits=false`; jobs were taken in the window and only the workers' options tell the limit; or the queue was not read",
};

/// When the rate limit's window ends.
pub const QUEUE_RATE_LIMIT_RESET_SECONDS: Metric = Metric {
    name: "bullmq_queue_rate_limit_reset_seconds",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: label::OF_A_QUEUE,
    help: "Time until the current window of the rate limit ends; 0 when there is none.",
    source: "`PTTL K:limiter`",
    cost: "1 command where there is a window, O(1)",
    versions: EVERY,
    absent: "`--collect.limits=false`, the queue was not read, or `PTTL` is denied",
};

/// The connected workers.
pub const QUEUE_WORKERS: Metric = Metric {
    name: "bullmq_queue_workers",
    kind: Kind::Gauge,
    unit: Unit::Count,
    labels: label::OF_A_QUEUE,
    help: "Connected workers: Worker objects, several of which may be in one pod.",
    source: "`CLIENT LIST TYPE normal`, once a scrape: blocking connections by the exact name `<prefix>:<base64 of the queue>`, or the queue's plain name in Python, whose second connection is not counted and whose idle workers connect anew every few seconds and may be missed then. In a cluster the most that any node sees, as BullMQ counts: a worker that was never idle may be seen by another node than its queue's, and several of them each by another. BullMQ 5 and 6 close this connection as soon as a worker begins to drain",
    cost: "1 command a scrape and node, O(connections)",
    versions: "Bull, BullMQ, Python",
    absent: "`CLIENT LIST` is denied, or `--collect.workers=false`",
};

/// The workers that wait for a job.
pub const QUEUE_WORKERS_IDLE: Metric = Metric {
    name: "bullmq_queue_workers_idle",
    kind: Kind::Gauge,
    unit: Unit::Count,
    labels: label::OF_A_QUEUE,
    help: "Connected workers that wait for a job.",
    source: "the same connections, as far as they are blocked",
    cost: "none of its own",
    versions: "Bull, BullMQ, Python",
    absent: "as `bullmq_queue_workers`",
};

/// The schedulers.
pub const QUEUE_SCHEDULERS: Metric = Metric {
    name: "bullmq_queue_schedulers",
    kind: Kind::Gauge,
    unit: Unit::Count,
    labels: label::OF_A_QUEUE,
    help: "Job schedulers, or repeatable jobs under their older name.",
    source: "`ZCARD K:repeat`",
    cost: "1 command where there are any, O(1)",
    versions: EVERY,
    absent: "`--collect.schedulers=false`, the queue was not read, or a command is denied",
};

/// The schedulers past their next run.
pub const QUEUE_SCHEDULERS_OVERDUE: Metric = Metric {
    name: "bullmq_queue_schedulers_overdue",
    kind: Kind::Gauge,
    unit: Unit::Count,
    labels: label::OF_A_QUEUE,
    help: "Job schedulers past their next run, which only a living worker will start.",
    source: "`ZCOUNT K:repeat -inf (now`",
    cost: "1 command where there are any, O(log schedulers)",
    versions: EVERY,
    absent: "as `bullmq_queue_schedulers`",
};

/// The groups of BullMQ Pro.
pub const QUEUE_GROUPS: Metric = Metric {
    name: "bullmq_queue_groups",
    kind: Kind::Gauge,
    unit: Unit::Count,
    labels: WITH_STATUS,
    help: "Non-empty groups of BullMQ Pro by status. Each waiting group counts as at least one ready job.",
    source: "`ZCARD` of `K:groups`, `K:groups:limit`, `K:groups:max`, `K:groups:paused`. How many jobs they hold cannot be read in O(1), so `bullmq_queue_ready_jobs` is a lower bound with groups. Key names as third-party readers of BullMQ Pro 7.48 have them; not run against it",
    cost: "part of 1 command a queue, 4 where there are any, O(1)",
    versions: "BullMQ Pro",
    absent: "`--collect.groups=false`, the queue has no groups, or it was not read",
};

/// What made a queue.
pub const QUEUE_INFO: Metric = Metric {
    name: "bullmq_queue_info",
    kind: Kind::Gauge,
    unit: Unit::Info,
    labels: WITH_FLAVOR,
    help: "The library that made the queue, and the version of a producer, empty if unknown.",
    source: "`HMGET K:meta opts.maxLenEvents version library`; a queue of Bull has none of them",
    cost: "part of 1 command a queue, O(1)",
    versions: "the version from BullMQ 4.18 on, of producers in Node, Elixir and .NET",
    absent: QUEUE_UNREAD,
};

/// Attempts to add a job.
pub const JOB_ADDED_TOTAL: Metric = Metric {
    name: "bullmq_job_added_total",
    kind: Kind::Counter,
    unit: Unit::Jobs,
    labels: label::OF_A_QUEUE,
    help: "Attempts to add a job, duplicates included; starts anew when the queue is obliterated.",
    source: "`GET K:id`",
    cost: "1 command a queue, O(1)",
    versions: EVERY,
    absent: "`--collect.counters=false`, the queue was not read, or `GET` is denied",
};

/// Jobs that finished well.
pub const JOB_COMPLETED_TOTAL: Metric = Metric {
    name: "bullmq_job_completed_total",
    kind: Kind::Counter,
    unit: Unit::Jobs,
    labels: label::OF_A_QUEUE,
    help: "Jobs completed, as the workers count them.",
    source: "`HGET K:metrics:completed count`",
    cost: "1 command where there are any, O(1)",
    versions: "Bull 4, BullMQ from 1.76 on",
    absent: "`--collect.counters=false`, no worker keeps metrics (the option `metrics` of `Worker`), or the queue was not read",
};

/// Jobs that finished badly.
pub const JOB_FAILED_TOTAL: Metric = Metric {
    name: "bullmq_job_failed_total",
    kind: Kind::Counter,
    unit: Unit::Jobs,
    labels: label::OF_A_QUEUE,
    help: "Jobs failed for good, as the workers count them; an attempt that is tried again does not count.",
    source: "`HGET K:metrics:failed count`",
    cost: "1 command where there are any, O(1)",
    versions: "Bull 4, BullMQ from 1.76 on",
    absent: "as `bullmq_job_completed_total`",
};

/// How long jobs waited.
pub const JOB_WAIT_SECONDS: Metric = Metric {
    name: "bullmq_job_wait_seconds",
    kind: Kind::Histogram,
    unit: Unit::Seconds,
    labels: label::OF_A_QUEUE,
    help: "How long jobs were ready before a worker took them, seen in the queue's events.",
    source: "`K:events`: from the event `waiting` of a job, or from its due time (`delay` of the event `delayed`) if that is earlier, to `active`, \
             by the times in the entries' ids; once each time a job is taken. Not measured: a job that became ready or delayed before this exporter \
             saw the queue or before a gap in the stream, or that is more than the exporter remembers (10,000 jobs waiting or active and 10,000 delayed a queue, \
             100,000 in all, one day, ids of at most 256 bytes)",
    cost: "as `bullmq_job_events_total`",
    versions: OF_EVENTS,
    absent: EVENTS_ABSENT,
};

/// How long workers took.
pub const JOB_PROCESSING_SECONDS: Metric = Metric {
    name: "bullmq_job_processing_seconds",
    kind: Kind::Histogram,
    unit: Unit::Seconds,
    labels: label::OF_A_QUEUE,
    help: "How long finished jobs were active in their last attempt, seen in the queue's events.",
    source: "`K:events`: from the last event `active` of a job to `completed` or `failed`, by the times in the entries' ids. An attempt that is tried again, \
             and a job that was moved back by its processor, is not measured; nor is what `bullmq_job_wait_seconds` does not remember. In BullMQ 4 the job of a worker that died \
             too often has been active until another worker failed it",
    cost: "as `bullmq_job_events_total`",
    versions: OF_EVENTS,
    absent: EVENTS_ABSENT,
};

/// Events in the stream of a queue.
pub const JOB_EVENTS_TOTAL: Metric = Metric {
    name: "bullmq_job_events_total",
    kind: Kind::Counter,
    unit: Unit::Count,
    labels: WITH_EVENT,
    help: "Events in the queue's stream since this exporter first saw the queue, whatever the workers' options.",
    source: "`XREAD COUNT n STREAMS K:events ... id ...` for up to 100 queues at once, every 0.1 to 2 seconds in the background; where there were new entries \
             `XRANGE K:events id id COUNT 1`; once a minute `XINFO STREAM K:events`. There is no event of a retry: of the jobs that were `active`, those neither `completed` nor `failed` \
             became `waiting` again, or `delayed` while they back off. A gap in the stream is counted in `bullmq_exporter_events_missed_total`",
    cost: EVENTS_COST,
    versions: OF_EVENTS,
    absent: EVENTS_ABSENT,
};

/// What a Redis says of itself.
pub const REDIS_INFO: Metric = Metric {
    name: "bullmq_redis_info",
    kind: Kind::Gauge,
    unit: Unit::Info,
    labels: WITH_FACTS,
    help: "Facts that decide whether BullMQ is safe there; BullMQ needs the policy noeviction.",
    source: "`INFO server` (the version of Valkey as `valkey 8.1.1`), `INFO replication`, `INFO memory`; of a cluster those of one node: one with another policy than noeviction if there is any, else that with the first slots",
    cost: "3 commands a scrape and node, O(1)",
    versions: EVERY,
    absent: "`INFO` is denied, or `bullmq_up` is 0",
};

/// What the exporter was built from.
pub const EXPORTER_BUILD_INFO: Metric = Metric {
    name: "bullmq_exporter_build_info",
    kind: Kind::Gauge,
    unit: Unit::Info,
    labels: WITH_BUILD,
    help: "Version, source revision and compiler of this exporter.",
    source: "the build",
    cost: "none in Redis",
    versions: EVERY,
    absent: "never",
};

/// How long this scrape took to read this Redis.
pub const EXPORTER_SCRAPE_DURATION_SECONDS: Metric = Metric {
    name: "bullmq_exporter_scrape_duration_seconds",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: WITH_REDIS,
    help: "How long this scrape took to read this Redis.",
    source: "the exporter's monotonic clock",
    cost: "none in Redis",
    versions: EVERY,
    absent: "never",
};

/// Errors by cause.
pub const EXPORTER_ERRORS_TOTAL: Metric = Metric {
    name: "bullmq_exporter_errors_total",
    kind: Kind::Counter,
    unit: Unit::Count,
    labels: WITH_REDIS_AND_CAUSE,
    help: "Errors while reading this Redis, by cause.",
    source: "the exporter",
    cost: "none in Redis",
    versions: EVERY,
    absent: "never",
};

/// Events that were gone before they were read.
pub const EXPORTER_EVENTS_MISSED_TOTAL: Metric = Metric {
    name: "bullmq_exporter_events_missed_total",
    kind: Kind::Counter,
    unit: Unit::Count,
    labels: WITH_REDIS,
    help: "Events that were trimmed from the queues' streams before this exporter read them.",
    source: "the number of entries that Redis has ever added to a stream (`XINFO STREAM K:events`), less those that were read; seen at once where the entry that was read last is gone, \
             else within a minute. Before Redis 7 that number is not kept: there each gap counts as 1, and so does a stream that was deleted and made anew. What a deleted stream held is not known",
    cost: "as `bullmq_job_events_total`",
    versions: OF_EVENTS,
    absent: "`--collect.events` is off",
};

/// How long the last successful discovery took.
pub const EXPORTER_DISCOVERY_DURATION_SECONDS: Metric = Metric {
    name: "bullmq_exporter_discovery_duration_seconds",
    kind: Kind::Gauge,
    unit: Unit::Seconds,
    labels: WITH_REDIS,
    help: "How long the last successful discovery of queues took.",
    source: "the exporter's monotonic clock",
    cost: "none in Redis",
    versions: EVERY,
    absent: "no discovery has succeeded yet",
};

/// When the last successful discovery ended.
pub const EXPORTER_DISCOVERY_LAST_SUCCESS_TIMESTAMP_SECONDS: Metric = Metric {
    name: "bullmq_exporter_discovery_last_success_timestamp_seconds",
    kind: Kind::Gauge,
    unit: Unit::UnixSeconds,
    labels: WITH_REDIS,
    help: "When the last successful discovery of queues ended, by Redis' clock.",
    source: "`TIME`",
    cost: "none in Redis",
    versions: EVERY,
    absent: "no discovery has succeeded yet",
};

/// How many queues the last discovery found.
pub const EXPORTER_QUEUES: Metric = Metric {
    name: "bullmq_exporter_queues",
    kind: Kind::Gauge,
    unit: Unit::Count,
    labels: WITH_REDIS,
    help: "Queues that the last successful discovery found, without those of other shards.",
    source: "`SCAN` for keys that end like `K:meta` and `K:id`, in the background, and a look at each",
    cost: "the whole keyspace, a thousand keys a command, in the background",
    versions: EVERY,
    absent: "no discovery has succeeded yet",
};

/// Over how many exporters the queues are shared out.
pub const EXPORTER_SHARDS: Metric = Metric {
    name: "bullmq_exporter_shards",
    kind: Kind::Gauge,
    unit: Unit::Count,
    labels: &[label::SHARD],
    help: "How many shards there are, of which this exporter reads the one that the label says.",
    source: "`--bullmq.shard`",
    cost: "none in Redis",
    versions: EVERY,
    absent: "the queues are not shared out (`--bullmq.shard`)",
};

/// Whether the configuration file in force is the one on disk.
pub const EXPORTER_CONFIG_LAST_RELOAD_SUCCESSFUL: Metric = Metric {
    name: "bullmq_exporter_config_last_reload_successful",
    kind: Kind::Gauge,
    unit: Unit::Truth,
    labels: &[],
    help: "1 if the last attempt to read the configuration file succeeded, 0 if an older one is still in force.",
    source: "the exporter",
    cost: "none in Redis",
    versions: EVERY,
    absent: "there is no configuration file (`--config.file`)",
};

/// When the configuration file in force was read.
pub const EXPORTER_CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP_SECONDS: Metric = Metric {
    name: "bullmq_exporter_config_last_reload_success_timestamp_seconds",
    kind: Kind::Gauge,
    unit: Unit::UnixSeconds,
    labels: &[],
    help: "When the configuration file in force was read, since 1970.",
    source: "the exporter's own clock",
    cost: "none in Redis",
    versions: EVERY,
    absent: "there is no configuration file (`--config.file`)",
};

/// Every metric, in the order in which they are written and documented.
pub const METRICS: &[Metric] = &[
    UP,
    QUEUE_UP,
    JOB_COUNT,
    QUEUE_READY_JOBS,
    QUEUE_DELAYED_DUE_JOBS,
    QUEUE_DEMAND_JOBS,
    QUEUE_DEMAND_AHEAD_JOBS,
    QUEUE_OLDEST_READY_AGE_SECONDS,
    QUEUE_LONGEST_ACTIVE_SECONDS,
    QUEUE_ORPHANED,
    QUEUE_PAUSED,
    QUEUE_CONCURRENCY_LIMIT,
    QUEUE_RATE_LIMITED,
    QUEUE_RATE_LIMIT_RESET_SECONDS,
    QUEUE_WORKERS,
    QUEUE_WORKERS_IDLE,
    QUEUE_SCHEDULERS,
    QUEUE_SCHEDULERS_OVERDUE,
    QUEUE_GROUPS,
    QUEUE_INFO,
    JOB_ADDED_TOTAL,
    JOB_COMPLETED_TOTAL,
    JOB_FAILED_TOTAL,
    JOB_WAIT_SECONDS,
    JOB_PROCESSING_SECONDS,
    JOB_EVENTS_TOTAL,
    REDIS_INFO,
    EXPORTER_SCRAPE_DURATION_SECONDS,
    EXPORTER_ERRORS_TOTAL,
    EXPORTER_EVENTS_MISSED_TOTAL,
    EXPORTER_DISCOVERY_DURATION_SECONDS,
    EXPORTER_DISCOVERY_LAST_SUCCESS_TIMESTAMP_SECONDS,
    EXPORTER_QUEUES,
    EXPORTER_SHARDS,
    EXPORTER_CONFIG_LAST_RELOAD_SUCCESSFUL,
    EXPORTER_CONFIG_LAST_RELOAD_SUCCESS_TIMESTAMP_SECONDS,
    EXPORTER_BUILD_INFO,
];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_name_is_said_once() {
        let names: HashSet<_> = METRICS.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), METRICS.len());
    }

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        for metric in METRICS {
            let name = metric.name;
            assert!(name.starts_with("bullmq_"), "{name}");
            assert!(
                name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{name}"
            );
            assert_eq!(
                name.ends_with("_total"),
                metric.kind == Kind::Counter,
                "{name}"
            );
            assert_eq!(
                name.ends_with("_seconds"),
                matches!(metric.unit, Unit::Seconds | Unit::UnixSeconds),
                "{name}"
            );
            assert_eq!(
                name.ends_with("_timestamp_seconds"),
                metric.unit == Unit::UnixSeconds,
                "{name}"
            );
            assert_eq!(name.ends_with("_info"), metric.unit == Unit::Info, "{name}");
        }
    }

    #[test]
    fn every_help_is_one_line_and_a_sentence() {
        for metric in METRICS {
            assert!(!metric.help.contains(['\n', '\\']), "{}", metric.name);
            assert!(metric.help.ends_with('.'), "{}", metric.name);
        }
    }
}

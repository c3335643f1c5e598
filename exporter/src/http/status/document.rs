//! The status as a document: what the page shows and the JSON says, made from what the last scrapes told.
//!
//! The words of the JSON are those of the metrics: `bullmq_queue_ready_jobs` is `ready_jobs`, a label keeps its name, and what is unknown is
//! left out. `docs/status-api.md` describes it.

use std::sync::Arc;
use std::time::Duration;

use bullmq_vocabulary::{JobState, label, metric, prometheus_duration, promql_string};
use serde::{Serialize, Serializer};
use tokio::time::Instant;

use super::listing::{Candidate, Listing, Problem};
use super::words::{Count, Name, Span};
use crate::build_info;
use crate::model::{ErrorCause, GroupStatus, QueueReading, QueueSnapshot, Workers};
use crate::queue_filter::Glob;
use crate::servers::Standing;
use crate::troubles::Troubles;

/// From which age on a scrape is stale: Prometheus looks back no further either
/// (<https://prometheus.io/docs/prometheus/latest/querying/basics/#staleness>).
const STALE_AFTER: Duration = Duration::from_mins(5);

/// The policy without which Redis may throw away parts of a queue: <https://docs.bullmq.io/guide/going-to-production>.
const SAFE_POLICY: &str = "noeviction";

/// Everything.
#[derive(Debug, Serialize)]
pub(super) struct Status {
    pub(super) exporter: ExporterStatus,
    pub(super) servers: Vec<ServerStatus>,
    pub(super) totals: Totals,
    /// The queues that are listed.
    pub(super) queues: Vec<QueueStatus>,
}

/// The exporter itself.
#[derive(Debug, Serialize)]
pub(super) struct ExporterStatus {
    pub(super) version: &'static str,
    pub(super) revision: &'static str,
    pub(super) uptime_seconds: Span,
}

/// All queues together, whether they are listed or not.
#[derive(Debug, Default, Serialize)]
pub(super) struct Totals {
    pub(super) queues: Count,
    /// Those that the request asks for.
    pub(super) matching_queues: Count,
    /// Those of them that are listed.
    pub(super) listed_queues: Count,
    pub(super) queues_with_problems: Count,
    pub(super) ready_jobs: Count,
    pub(super) active_jobs: Count,
    pub(super) demand_jobs: Count,
    pub(super) failed_jobs: Count,
}

impl Totals {
    /// How many match and are not listed.
    pub(super) const fn more(&self) -> Count {
        Count(self.matching_queues.0 - self.listed_queues.0)
    }
}

/// How a server stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ServerState {
    /// Nobody has scraped yet.
    NotScraped,
    /// It answered the last scrape.
    Up,
    /// It did not.
    Down,
}

/// What is wrong with a server, or with what is known of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Warning {
    /// It may throw away parts of queues when its memory is full.
    Evicts,
    /// The last scrape is long ago.
    Stale,
    /// Queues cannot be looked for.
    DiscoveryFails,
    /// There is no queue.
    NoQueues,
    /// Commands are denied.
    Denied,
    /// Queues have names that are no text.
    UnreadableNames,
}

/// One server.
#[derive(Debug, Serialize)]
pub(super) struct ServerStatus {
    pub(super) redis: Name,
    pub(super) state: ServerState,
    /// Why it is down: a value of the label `cause`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<&'static str>,
    #[serde(skip)]
    pub(super) why: Option<&'static str>,
    pub(super) warnings: Vec<Warning>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) info: Option<Info>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_scrape: Option<LastScrape>,
    /// How long ago it answered, if it ever did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_answer_age_seconds: Option<Span>,
    pub(super) discovery: Discovered,
    pub(super) queues: Count,
    pub(super) unread_queues: Count,
    pub(super) denied_commands: Vec<String>,
}

/// The labels of `bullmq_redis_info`.
#[derive(Debug, Serialize)]
pub(super) struct Info {
    pub(super) version: String,
    pub(super) mode: String,
    pub(super) role: String,
    pub(super) maxmemory_policy: String,
}

impl Info {
    /// What it is, and of which version, in words.
    pub(super) fn product(&self) -> String {
        match self.version.strip_prefix("valkey ") {
            Some(version) => format!("Valkey {version}"),
            None => format!("Redis {}", self.version),
        }
    }
}

/// The last scrape.
#[derive(Debug, Serialize)]
pub(super) struct LastScrape {
    pub(super) age_seconds: Span,
    pub(super) duration_seconds: Span,
}

/// Which queues are looked for, and what was found.
#[derive(Debug, Serialize)]
pub(super) struct Discovered {
    pub(super) prefixes: Vec<Name>,
    /// Names and patterns of the queues that are meant; none for all.
    pub(super) queues: Vec<Name>,
    pub(super) exclude: Vec<Name>,
    /// Which share of those is read, if it is not all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) shard: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) last_success: Option<LastSuccess>,
}

/// The last discovery that succeeded.
#[derive(Debug, Serialize)]
pub(super) struct LastSuccess {
    pub(super) age_seconds: Span,
    /// How many queues exist that are not meant.
    pub(super) left_out_queues: Count,
    /// How many queues are meant and read by others.
    pub(super) other_shards_queues: Count,
    pub(super) unreadable_names: Count,
}

/// One queue.
#[derive(Debug, Serialize)]
pub(super) struct QueueStatus {
    pub(super) redis: Name,
    pub(super) prefix: Name,
    pub(super) queue: Name,
    /// Whether it was read.
    pub(super) up: bool,
    /// Why it was not, if that is known: a value of the label `cause`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) cause: Option<&'static str>,
    #[serde(skip)]
    pub(super) why: &'static str,
    pub(super) problems: Vec<Problem>,
    /// What KEDA asks, if `bullmq-keda` wrote it for a worker of this queue alone; nothing for a name that is too long to be shown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) promql: Option<String>,
    #[serde(flatten)]
    pub(super) figures: Option<Figures>,
}

impl QueueStatus {
    /// Whether this is among the problems.
    pub(super) fn has(&self, problem: Problem) -> bool {
        self.problems.contains(&problem)
    }
}

impl Figures {
    /// The longest horizon, if no more is needed within it than is needed now.
    pub(super) fn no_more_within(&self) -> Option<&str> {
        let same = |(_, jobs): &(String, Count)| *jobs == self.demand_jobs;
        let (within, _) = self.demand_ahead_jobs.last()?;
        let all = self.demand_ahead_jobs.iter().all(same);
        all.then_some(within.as_str())
    }
}

/// What was read of a queue.
#[derive(Debug, Serialize)]
pub(super) struct Figures {
    #[serde(serialize_with = "as_map")]
    pub(super) job_count: Vec<(&'static str, Count)>,
    #[serde(skip)]
    pub(super) jobs: Jobs,
    pub(super) ready_jobs: Count,
    pub(super) delayed_due_jobs: Count,
    pub(super) demand_jobs: Count,
    #[serde(serialize_with = "as_map")]
    pub(super) demand_ahead_jobs: Vec<(String, Count)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) oldest_ready_age_seconds: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) longest_active_seconds: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) orphaned: Option<bool>,
    pub(super) paused: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) concurrency_limit: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate_limited: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) rate_limit_reset_seconds: Option<Span>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) workers: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) workers_idle: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schedulers: Option<Count>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) schedulers_overdue: Option<Count>,
    #[serde(skip_serializing_if = "Vec::is_empty", serialize_with = "as_map")]
    pub(super) groups: Vec<(&'static str, Count)>,
    pub(super) flavor: &'static str,
    pub(super) version: Name,
}

/// The states that have a column or a sentence of their own.
#[derive(Debug)]
pub(super) struct Jobs {
    pub(super) waiting: Count,
    pub(super) prioritized: Count,
    pub(super) delayed: Count,
    pub(super) active: Count,
    pub(super) paused: Count,
    pub(super) failed: Count,
}

fn as_map<S: Serializer, K: Serialize, V: Serialize>(
    pairs: &[(K, V)],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_map(pairs.iter().map(|(key, value)| (key, value)))
}

impl Status {
    /// The status of these servers at this moment.
    pub(super) fn new(
        standing: &[Standing],
        started: Instant,
        now: Instant,
        listing: &Listing,
    ) -> Self {
        let troubles: Vec<_> = standing
            .iter()
            .map(|server| server.collector.troubles())
            .collect();
        let queues: Vec<_> = standing.iter().enumerate().flat_map(candidates).collect();
        let mut totals = Totals::default();
        for queue in &queues {
            totals.add(queue);
        }
        let chosen = listing.choose(queues.iter().copied());
        totals.matching_queues = chosen.len().into();
        let listed: Vec<_> = chosen.iter().take(listing.limit).collect();
        totals.listed_queues = listed.len().into();
        let server = |((index, standing), troubles): ((usize, &Standing), &Troubles)| {
            let own: Vec<_> = queues
                .iter()
                .filter(|queue| queue.server == index)
                .collect();
            ServerStatus::new(standing, troubles, &own, now)
        };
        let queue = |queue: &&Candidate<'_>| {
            let (standing, troubles) = (standing.get(queue.server)?, troubles.get(queue.server)?);
            Some(QueueStatus::new(queue, standing, troubles))
        };
        Self {
            exporter: ExporterStatus {
                version: build_info::VERSION,
                revision: build_info::REVISION,
                uptime_seconds: Span(now.duration_since(started)),
            },
            servers: standing
                .iter()
                .enumerate()
                .zip(&troubles)
                .map(server)
                .collect(),
            totals,
            queues: listed.iter().filter_map(queue).collect(),
        }
    }

    /// Whether any server was scraped.
    pub(super) fn any_scraped(&self) -> bool {
        self.servers
            .iter()
            .any(|server| server.state != ServerState::NotScraped)
    }

    /// Whether any server answered the last scrape, so that there are queues to speak of.
    pub(super) fn any_up(&self) -> bool {
        self.servers
            .iter()
            .any(|server| server.state == ServerState::Up)
    }

    /// How many things there are to look at: servers that are down and queues with problems.
    pub(super) fn attention(&self) -> Count {
        let down = self
            .servers
            .iter()
            .filter(|server| server.state == ServerState::Down)
            .count();
        Count(self.totals.queues_with_problems.0 + down as u64)
    }
}

impl Totals {
    fn add(&mut self, queue: &Candidate<'_>) {
        self.queues.0 += 1;
        self.queues_with_problems.0 += u64::from(!queue.problems().is_empty());
        if let Some(read) = queue.read {
            let add = |total: &mut Count, jobs: u64| total.0 = total.0.saturating_add(jobs);
            add(&mut self.ready_jobs, read.ready());
            add(&mut self.active_jobs, read.counts.active);
            add(&mut self.demand_jobs, read.demand());
            add(&mut self.failed_jobs, read.counts.failed);
        }
    }
}

/// The queues that the last scrape of a server told of; none if the server was down.
fn candidates((server, standing): (usize, &Standing)) -> impl Iterator<Item = Candidate<'_>> {
    let snapshot = standing.last.scrape.as_ref().map(|last| &*last.snapshot);
    let queues = snapshot
        .map(|snapshot| snapshot.queues.as_slice())
        .unwrap_or_default();
    queues
        .iter()
        .enumerate()
        .filter_map(move |(place, (id, reading))| {
            let read = match reading {
                QueueReading::Gone => return None,
                QueueReading::Unread => None,
                QueueReading::Read(read) => Some(&**read),
            };
            let workers = snapshot.and_then(|snapshot| snapshot.workers.get(place).copied());
            Some(Candidate {
                redis: snapshot
                    .map(|snapshot| &*snapshot.redis)
                    .unwrap_or_default(),
                server,
                id,
                read,
                workers: workers.flatten(),
            })
        })
}

impl ServerStatus {
    fn new(
        standing: &Standing,
        troubles: &Troubles,
        queues: &[&Candidate<'_>],
        now: Instant,
    ) -> Self {
        let settings = standing.collector.settings();
        let scrape = standing.last.scrape.as_ref();
        let state = match scrape {
            None => ServerState::NotScraped,
            Some(scrape) if scrape.snapshot.up => ServerState::Up,
            Some(_) => ServerState::Down,
        };
        let failure = troubles.failure.filter(|_| state == ServerState::Down);
        let since = |at: Instant| Span(now.saturating_duration_since(at));
        let last_scrape = scrape.map(|scrape| LastScrape {
            age_seconds: since(scrape.at),
            duration_seconds: Span(scrape.snapshot.duration),
        });
        let info = scrape.and_then(|scrape| scrape.snapshot.facts.as_ref());
        let search = standing.collector.search();
        let is_up = state == ServerState::Up;
        let warnings = [
            (
                info.is_some_and(|info| {
                    !info.maxmemory_policy.is_empty() && info.maxmemory_policy != SAFE_POLICY
                }),
                Warning::Evicts,
            ),
            (
                last_scrape
                    .as_ref()
                    .is_some_and(|scrape| scrape.age_seconds.0 > STALE_AFTER),
                Warning::Stale,
            ),
            (troubles.discovery_fails, Warning::DiscoveryFails),
            (
                is_up
                    && queues.is_empty()
                    && search.is_some_and(|search| search.of_other_shards == 0),
                Warning::NoQueues,
            ),
            (!troubles.denied.is_empty(), Warning::Denied),
            (
                search.is_some_and(|search| search.unreadable_names > 0),
                Warning::UnreadableNames,
            ),
        ];
        let names = |globs: &[Glob]| {
            globs
                .iter()
                .map(|glob| Name(glob.pattern().into()))
                .collect()
        };
        Self {
            redis: Name(Arc::clone(&settings.name)),
            state,
            cause: failure.map(ErrorCause::as_str),
            why: failure.map(why_down),
            warnings: warnings
                .into_iter()
                .filter_map(|(is, warning)| is.then_some(warning))
                .collect(),
            info: info.map(|info| Info {
                version: info.version.clone(),
                mode: info.mode.clone(),
                role: info.role.clone(),
                maxmemory_policy: info.maxmemory_policy.clone(),
            }),
            last_scrape,
            last_answer_age_seconds: standing.last.answered.map(since),
            discovery: Discovered {
                prefixes: settings.prefixes.iter().cloned().map(Name).collect(),
                queues: names(&settings.filter.include),
                exclude: names(&settings.filter.exclude),
                shard: (!settings.shard.is_all()).then(|| settings.shard.to_string()),
                last_success: search.map(|search| LastSuccess {
                    age_seconds: since(search.finished),
                    left_out_queues: search.not_meant.into(),
                    other_shards_queues: search.of_other_shards.into(),
                    unreadable_names: search.unreadable_names.into(),
                }),
            },
            queues: queues.len().into(),
            unread_queues: queues
                .iter()
                .filter(|queue| queue.read.is_none())
                .count()
                .into(),
            denied_commands: troubles.denied.iter().cloned().collect(),
        }
    }
}

/// A sentence on why a Redis is down.
const fn why_down(cause: ErrorCause) -> &'static str {
    match cause {
        ErrorCause::Connection => "It cannot be connected to, or the connection broke.",
        ErrorCause::Timeout => "It did not answer in time.",
        ErrorCause::Authentication => "It wants another user or password.",
        ErrorCause::Denied => "The user may not run what every scrape needs.",
        ErrorCause::WrongType => "A key has another type than expected.",
        ErrorCause::Server => {
            "It refuses: it loads its data, has lost its primary, or has too many clients."
        }
        ErrorCause::Protocol => "What answers there makes no sense.",
    }
}

/// A sentence on why a queue could not be read.
const fn why_unread(cause: Option<ErrorCause>, is_named: bool) -> &'static str {
    match cause {
        Some(ErrorCause::WrongType) => "One of its keys has another type than BullMQ gives it.",
        Some(ErrorCause::Denied) => "The user may not read one of its keys.",
        Some(
            ErrorCause::Connection
            | ErrorCause::Timeout
            | ErrorCause::Authentication
            | ErrorCause::Server
            | ErrorCause::Protocol,
        ) => "Redis refused to read it, or its answer made no sense.",
        None if is_named => {
            "It is named in the configuration, and does not exist or was not reached before the deadline."
        }
        None => "It was not reached before the deadline of the scrape.",
    }
}

impl QueueStatus {
    fn new(queue: &Candidate<'_>, standing: &Standing, troubles: &Troubles) -> Self {
        let settings = standing.collector.settings();
        let cause = troubles
            .broken_queues
            .get(queue.id)
            .copied()
            .filter(|_| queue.read.is_none());
        let is_named = settings
            .filter
            .include
            .iter()
            .any(|glob| glob.literal().is_some_and(|name| name == *queue.id.name));
        let (prefix, name) = (
            Name(Arc::clone(&queue.id.prefix)),
            Name(Arc::clone(&queue.id.name)),
        );
        let horizons = standing.last.scrape.as_ref();
        let horizons = horizons.map(|scrape| &*scrape.snapshot.horizons);
        Self {
            redis: Name(Arc::clone(&settings.name)),
            up: queue.read.is_some(),
            cause: cause.map(ErrorCause::as_str),
            why: why_unread(cause, is_named),
            problems: queue.problems(),
            promql: (prefix.is_short() && name.is_short())
                .then(|| demand_query(&settings.name, &prefix.0, &name.0)),
            figures: queue
                .read
                .map(|read| Figures::new(read, queue.workers, horizons.unwrap_or_default())),
            prefix,
            queue: name,
        }
    }
}

impl Figures {
    fn new(read: &QueueSnapshot, workers: Option<Workers>, horizons: &[Duration]) -> Self {
        let counts = &read.counts;
        let state = |state: JobState| (state.as_str(), Count(counts.in_state(state)));
        let ahead = |(index, horizon): (usize, &Duration)| {
            (
                prometheus_duration(*horizon),
                Count(read.demand_ahead(index)),
            )
        };
        Self {
            job_count: JobState::ALL.into_iter().map(state).collect(),
            jobs: Jobs {
                waiting: Count(counts.waiting),
                prioritized: Count(counts.prioritized),
                delayed: Count(counts.delayed),
                active: Count(counts.active),
                paused: Count(counts.paused),
                failed: Count(counts.failed),
            },
            ready_jobs: Count(read.ready()),
            delayed_due_jobs: Count(read.delayed_due),
            demand_jobs: Count(read.demand()),
            demand_ahead_jobs: horizons.iter().enumerate().map(ahead).collect(),
            oldest_ready_age_seconds: read.oldest_ready_age.map(Span),
            longest_active_seconds: read.longest_active.map(Span),
            orphaned: read.orphaned,
            paused: read.paused,
            concurrency_limit: read.concurrency_limit.map(Count),
            rate_limited: read.rate_limit.and_then(|limit| limit.limited),
            rate_limit_reset_seconds: read.rate_limit.map(|limit| Span(limit.reset)),
            workers: workers.map(|workers| Count(workers.connected)),
            workers_idle: workers.map(|workers| Count(workers.idle)),
            schedulers: read.schedulers.map(|schedulers| Count(schedulers.all)),
            schedulers_overdue: read.schedulers.map(|schedulers| Count(schedulers.overdue)),
            groups: read
                .groups
                .map(|groups| {
                    let status =
                        |status: GroupStatus| (status.as_str(), Count(groups.in_status(status)));
                    GroupStatus::ALL.into_iter().map(status).collect()
                })
                .unwrap_or_default(),
            flavor: read.flavor.as_str(),
            version: Name(read.version.as_str().into()),
        }
    }
}

/// The query that `bullmq-keda` writes for a worker that scales by slots, has this one queue and says nothing of its startup. A test
/// compares the two.
fn demand_query(redis: &str, prefix: &str, queue: &str) -> String {
    let value = |(name, value): (&str, &str)| format!("{name}=\"{}\"", promql_string(value));
    let labels = [
        (label::REDIS, redis),
        (label::PREFIX, prefix),
        (label::QUEUE, queue),
    ];
    let series = format!(
        "max by ({}) ({}{{{}}})",
        label::OF_A_QUEUE.join(", "),
        metric::QUEUE_DEMAND_JOBS.name,
        labels.map(value).join(",")
    );
    format!("sum({series})\nand on() (count({series}) == 1)")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::collect::{Collector, Settings};
    use crate::endpoint::Endpoint;
    use crate::model::{Optional, QueueId, RedisFacts, Snapshot};
    use crate::queue_filter::QueueFilter;
    use crate::self_metrics::SelfMetrics;
    use crate::servers::{Last, Scraped};
    use crate::shard::Shard;

    /// A server that answered with one empty queue at this moment.
    fn answered(at: Instant, maxmemory_policy: &str) -> Standing {
        let settings = Settings {
            name: "main".into(),
            endpoint: Endpoint::nowhere(),
            prefixes: vec!["bull".into()],
            filter: QueueFilter::default(),
            shard: Shard::ALL,
            count_workers: true,
            follow_events: false,
            optional: Optional::default(),
            horizons: [].into(),
            discovery_interval: Duration::from_secs(30),
        };
        let queue = QueueId {
            prefix: "bull".into(),
            name: "email".into(),
        };
        let snapshot = Snapshot {
            redis: "main".into(),
            up: true,
            duration: Duration::from_millis(3),
            discovery: None,
            horizons: [].into(),
            facts: Some(RedisFacts {
                maxmemory_policy: maxmemory_policy.to_owned(),
                ..RedisFacts::default()
            }),
            workers: Vec::new(),
            events: Vec::new(),
            queues: vec![(queue, QueueReading::Read(Arc::default()))],
        };
        Standing {
            collector: Arc::new(Collector::new(
                settings,
                SelfMetrics::new(false, Shard::ALL).unwrap(),
            )),
            last: Last {
                scrape: Some(Scraped {
                    at,
                    snapshot: Arc::new(snapshot),
                }),
                answered: Some(at),
            },
        }
    }

    #[test]
    fn a_server_warns_of_what_makes_it_unsafe_and_of_what_is_old() {
        let scraped = Instant::now();
        let second = Duration::from_secs(1);
        for (policy, age, expected) in [
            ("noeviction", second, vec![]),
            ("noeviction", STALE_AFTER, vec![]),
            ("noeviction", STALE_AFTER + second, vec![Warning::Stale]),
            ("allkeys-lru", second, vec![Warning::Evicts]),
            ("volatile-ttl", second, vec![Warning::Evicts]),
            // Unknown, where INFO tells less.
            ("", second, vec![]),
        ] {
            let servers = [answered(scraped, policy)];
            let status = Status::new(&servers, scraped, scraped + age, &Listing::default());
            let server = status.servers.first().unwrap();
            assert_eq!(server.warnings, expected, "{policy} {age:?}");
            assert_eq!(server.last_scrape.as_ref().unwrap().age_seconds.0, age);
            assert_eq!(status.totals.queues, Count(1));
        }
    }

    #[test]
    fn the_page_says_how_old_its_numbers_are_and_how_long_the_exporter_has_run() {
        let started = Instant::now();
        let (servers, listing) = ([answered(started, "noeviction")], Listing::default());
        for (minutes, age, old) in [(5, "5 min", false), (80, "1 h 20 min", true)] {
            let now = started + Duration::from_mins(minutes);
            let status = Status::new(&servers, started, now, &listing);
            let page = super::super::html(&status, &listing, "/metrics").unwrap();
            assert!(page.contains(&format!("up for {age}</small>")), "{page}");
            let warning = format!(
                "<strong>These numbers are old.</strong> Nobody has scraped for {age}; what is below was true then."
            );
            assert_eq!(page.contains(&warning), old, "{age}: {page}");
        }
    }

    #[test]
    fn a_server_is_called_by_the_name_of_its_product() {
        for (version, expected) in [("7.0.15", "Redis 7.0.15"), ("valkey 8.1.1", "Valkey 8.1.1")] {
            let info = Info {
                version: version.into(),
                mode: String::new(),
                role: String::new(),
                maxmemory_policy: String::new(),
            };
            assert_eq!(info.product(), expected);
        }
    }

    #[test]
    fn the_words_of_the_json_are_those_of_the_metrics() {
        let mut read = QueueSnapshot {
            concurrency_limit: Some(3),
            oldest_ready_age: Some(Duration::ZERO),
            longest_active: Some(Duration::ZERO),
            orphaned: Some(false),
            rate_limit: Some(crate::model::RateLimit::default()),
            schedulers: Some(crate::model::Schedulers::default()),
            groups: Some(crate::model::GroupCounts::default()),
            ..QueueSnapshot::default()
        };
        read.delayed_due_within = vec![0];
        let figures = Figures::new(&read, Some(Workers::default()), &[Duration::from_mins(1)]);
        let json = serde_json::to_value(&figures).unwrap();
        for name in json.as_object().unwrap().keys() {
            let is_label = ["flavor", "version"].contains(&name.as_str());
            let is_metric = bullmq_vocabulary::METRICS.iter().any(|metric| {
                metric.name == format!("bullmq_{name}")
                    || metric.name == format!("bullmq_queue_{name}")
            });
            assert!(is_label || is_metric, "{name}");
        }
        assert_eq!(json["demand_ahead_jobs"], serde_json::json!({"1m": 0}));
        assert_eq!(json["job_count"]["waiting-children"], 0);
    }

    #[test]
    fn what_is_unknown_is_left_out() {
        let read = QueueSnapshot {
            rate_limit: None,
            ..QueueSnapshot::default()
        };
        let json = serde_json::to_value(Figures::new(&read, None, &[])).unwrap();
        let names: Vec<_> = json
            .as_object()
            .unwrap()
            .keys()
            .map(String::as_str)
            .collect();
        assert_eq!(
            names,
            [
                "job_count",
                "ready_jobs",
                "delayed_due_jobs",
                "demand_jobs",
                "demand_ahead_jobs",
                "paused",
                "flavor",
                "version",
            ]
        );
    }
}

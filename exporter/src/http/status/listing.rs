//! Which queues are listed, and in which order: what the query string of the page and of its JSON asks for.
//!
//! Searching and sorting are done here and not in the browser, so that they reach every queue, whether it is on the page or not, and need
//! no script.

use std::cmp::Ordering;
use std::time::Duration;

use crate::model::{QueueId, QueueSnapshot, Workers};

/// How many queues are listed unless more are asked for. What is wrong stands first; a longer table nobody reads, and the page stays
/// below 400 kB.
pub(super) const QUEUES_LISTED: usize = 100;
/// How many queues are listed at most: more than most have, in an answer of about 15 MB before it is compressed.
pub(super) const MOST_QUEUES_LISTED: usize = 10_000;
/// The longest text that is searched for, in bytes.
const LONGEST_SEARCH: usize = 512;

/// A queue of some server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate<'a> {
    /// The name of the connection.
    pub(super) redis: &'a str,
    /// Its place among the servers.
    pub(super) server: usize,
    /// Its prefix and name.
    pub(super) id: &'a QueueId,
    /// What was read; nothing if it could not be.
    pub(super) read: Option<&'a QueueSnapshot>,
    /// Its workers, unless they are not counted.
    pub(super) workers: Option<Workers>,
}

/// What is wrong with a queue, the worst first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Problem {
    /// It could not be read: nothing is known, and KEDA holds.
    Unread,
    /// Active jobs are held by no living worker.
    Orphaned,
    /// Jobs are ready and no worker is connected.
    NoWorkers,
    /// Jobs stand in a paused list although the queue is not paused: no worker takes from it.
    LeftoverPaused,
}

impl Candidate<'_> {
    /// Everything that is wrong with it, the worst first.
    pub(super) fn problems(&self) -> Vec<Problem> {
        let Some(read) = self.read else {
            return vec![Problem::Unread];
        };
        let workers = self.workers.map(|workers| workers.connected);
        [
            (read.orphaned == Some(true), Problem::Orphaned),
            (read.ready() > 0 && workers == Some(0), Problem::NoWorkers),
            (
                read.counts.paused > 0 && !read.paused,
                Problem::LeftoverPaused,
            ),
        ]
        .into_iter()
        .filter_map(|(is, problem)| is.then_some(problem))
        .collect()
    }

    fn by_name(&self, other: &Self) -> Ordering {
        (&self.id.name, &self.id.prefix, self.redis).cmp(&(
            &other.id.name,
            &other.id.prefix,
            other.redis,
        ))
    }

    /// The worse before the better: by what is wrong, then by how long the oldest ready job has waited, then by how many are ready, how
    /// many have failed, how many are active, and by name.
    pub(super) fn worst_first(&self, other: &Self) -> Ordering {
        let rank = |queue: &Self| {
            // None is the least of the options, and the best that there is.
            let worst = queue.problems().into_iter().next();
            worst.map_or(u8::MAX, |problem| problem as u8)
        };
        let figures = |queue: &Self| {
            let read = queue.read;
            (
                read.and_then(|read| read.oldest_ready_age),
                read.map(QueueSnapshot::ready),
                read.map(|read| read.counts.failed),
                read.map(|read| read.counts.active),
            )
        };
        rank(self)
            .cmp(&rank(other))
            .then_with(|| figures(other).cmp(&figures(self)))
            .then_with(|| self.by_name(other))
    }
}

/// Which of the queues are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Show {
    /// All of them.
    #[default]
    All,
    /// Those with which something is wrong.
    Problems,
}

/// What the queues are sorted by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Sort {
    /// The worst first.
    #[default]
    Worst,
    /// The name.
    Queue,
    /// The demand.
    Demand,
    /// The ready jobs.
    Ready,
    /// The age of the oldest ready job.
    Oldest,
    /// The active jobs.
    Active,
    /// How long the longest-running active job has run.
    Longest,
    /// The connected workers.
    Workers,
    /// The waiting jobs.
    Waiting,
    /// The prioritized jobs.
    Prioritized,
    /// The delayed jobs.
    Delayed,
    /// The failed jobs.
    Failed,
}

impl Sort {
    /// The columns of the table, in their order.
    pub(super) const COLUMNS: [Self; 11] = [
        Self::Queue,
        Self::Demand,
        Self::Ready,
        Self::Oldest,
        Self::Active,
        Self::Longest,
        Self::Workers,
        Self::Waiting,
        Self::Prioritized,
        Self::Delayed,
        Self::Failed,
    ];

    /// The word in the query string.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Worst => "worst",
            Self::Queue => "queue",
            Self::Demand => "demand",
            Self::Ready => "ready",
            Self::Oldest => "oldest",
            Self::Active => "active",
            Self::Longest => "longest",
            Self::Workers => "workers",
            Self::Waiting => "waiting",
            Self::Prioritized => "prioritized",
            Self::Delayed => "delayed",
            Self::Failed => "failed",
        }
    }

    /// The head of the column.
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Worst => "Worst first",
            Self::Queue => "Queue",
            Self::Demand => "Demand",
            Self::Ready => "Ready",
            Self::Oldest => "Oldest ready",
            Self::Active => "Active",
            Self::Longest => "Longest active",
            Self::Workers => "Workers (idle)",
            Self::Waiting => "Waiting",
            Self::Prioritized => "Prioritized",
            Self::Delayed => "Delayed",
            Self::Failed => "Failed",
        }
    }

    /// The order in which it is sorted unless told otherwise.
    pub(super) const fn order(self) -> Order {
        match self {
            Self::Worst | Self::Queue => Order::Ascending,
            Self::Demand
            | Self::Ready
            | Self::Oldest
            | Self::Active
            | Self::Longest
            | Self::Workers
            | Self::Waiting
            | Self::Prioritized
            | Self::Delayed
            | Self::Failed => Order::Descending,
        }
    }

    fn figure(self, queue: &Candidate<'_>) -> Option<u128> {
        let read = queue.read?;
        match self {
            Self::Worst | Self::Queue => None,
            Self::Demand => Some(read.demand().into()),
            Self::Ready => Some(read.ready().into()),
            Self::Oldest => read.oldest_ready_age.as_ref().map(Duration::as_nanos),
            Self::Active => Some(read.counts.active.into()),
            Self::Longest => read.longest_active.as_ref().map(Duration::as_nanos),
            Self::Workers => queue.workers.map(|workers| workers.connected.into()),
            Self::Waiting => Some(read.counts.waiting.into()),
            Self::Prioritized => Some(read.counts.prioritized.into()),
            Self::Delayed => Some(read.counts.delayed.into()),
            Self::Failed => Some(read.counts.failed.into()),
        }
    }
}

/// In which direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    /// The smallest first.
    Ascending,
    /// The largest first.
    Descending,
}

impl Order {
    /// The word in the query string.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Ascending => "asc",
            Self::Descending => "desc",
        }
    }

    /// The value of `aria-sort`.
    pub(super) const fn aria(self) -> &'static str {
        match self {
            Self::Ascending => "ascending",
            Self::Descending => "descending",
        }
    }

    const fn turned(self) -> Self {
        match self {
            Self::Ascending => Self::Descending,
            Self::Descending => Self::Ascending,
        }
    }
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listing {
    /// A part of the name, or of `prefix:name`; upper and lower case are the same. Empty for every queue.
    pub(super) search: String,
    /// Which of them.
    pub(super) show: Show,
    /// What they are sorted by.
    pub(super) sort: Sort,
    /// In which direction.
    pub(super) order: Order,
    /// How many at most.
    pub(super) limit: usize,
}

impl Default for Listing {
    fn default() -> Self {
        Self {
            search: String::new(),
            show: Show::All,
            sort: Sort::Worst,
            order: Order::Ascending,
            limit: QUEUES_LISTED,
        }
    }
}

impl Listing {
    /// Reads a query string. What is not known in it is passed over, as other programs on the way add their own.
    ///
    /// # Errors
    /// When a value cannot be used: the sentence says which, and what can be written instead.
    pub(super) fn parse(query: Option<&str>) -> Result<Self, String> {
        let mut listing = Self::default();
        let mut order = None;
        for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match name.as_ref() {
                "search" if value.len() > LONGEST_SEARCH => {
                    return Err(format!(
                        "search: more than {LONGEST_SEARCH} bytes; write a part of the name"
                    ));
                }
                "search" => value.trim().clone_into(&mut listing.search),
                "show" => {
                    listing.show = match value.as_ref() {
                        "" | "all" => Show::All,
                        "problems" => Show::Problems,
                        _ => return Err(unknown("show", &value, &["all", "problems"])),
                    }
                }
                "sort" => {
                    let known = [&[Sort::Worst], Sort::COLUMNS.as_slice()].concat();
                    let chosen = known.iter().find(|sort| sort.as_str() == value);
                    listing.sort = match chosen {
                        Some(sort) => *sort,
                        None if value.is_empty() => Sort::Worst,
                        None => {
                            let words: Vec<_> = known.iter().map(|sort| sort.as_str()).collect();
                            return Err(unknown("sort", &value, &words));
                        }
                    }
                }
                "order" => {
                    order = match value.as_ref() {
                        "" => None,
                        "asc" => Some(Order::Ascending),
                        "desc" => Some(Order::Descending),
                        _ => return Err(unknown("order", &value, &["asc", "desc"])),
                    }
                }
                "limit" => {
                    let limit = value.parse().ok();
                    listing.limit = limit
                        .filter(|limit| (1..=MOST_QUEUES_LISTED).contains(limit))
                        .ok_or_else(|| {
                            format!("limit: write a number from 1 to {MOST_QUEUES_LISTED}")
                        })?;
                }
                _ => {}
            }
        }
        listing.order = order.unwrap_or(listing.sort.order());
        Ok(listing)
    }

    /// The same as a link, relative to the page, but sorted by this column; the other way round if it is already.
    pub(super) fn sorted_by(&self, sort: Sort) -> String {
        let order = if self.sort == sort {
            self.order.turned()
        } else {
            sort.order()
        };
        self.link(sort, order)
    }

    fn link(&self, sort: Sort, order: Order) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        if !self.search.is_empty() {
            query.append_pair("search", &self.search);
        }
        if self.show == Show::Problems {
            query.append_pair("show", "problems");
        }
        if sort != Sort::Worst {
            query.append_pair("sort", sort.as_str());
        }
        if order != sort.order() {
            query.append_pair("order", order.as_str());
        }
        format!("?{}", query.finish())
    }

    /// Those of the queues that are asked for, in the order that is asked for, however many there are.
    pub(super) fn choose<'a>(
        &self,
        queues: impl Iterator<Item = Candidate<'a>>,
    ) -> Vec<Candidate<'a>> {
        let search = self.search.to_lowercase();
        let found = |queue: &Candidate<'_>| {
            search.is_empty() || queue.id.to_string().to_lowercase().contains(&search)
        };
        let shown = |queue: &Candidate<'_>| self.show == Show::All || !queue.problems().is_empty();
        let mut chosen: Vec<_> = queues
            .filter(|queue| found(queue) && shown(queue))
            .collect();
        let turn = |ordering: Ordering| match self.order {
            Order::Ascending => ordering,
            Order::Descending => ordering.reverse(),
        };
        let by_figure = |a: &Candidate<'_>, b: &Candidate<'_>| {
            match (self.sort.figure(a), self.sort.figure(b)) {
                (Some(a), Some(b)) => turn(a.cmp(&b)),
                // What is not known stands last, whichever way the rest is sorted.
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => Ordering::Equal,
            }
            .then_with(|| a.worst_first(b))
        };
        if self.sort == Sort::Worst {
            chosen.sort_by(|a, b| turn(a.worst_first(b)));
        } else if self.sort == Sort::Queue {
            chosen.sort_by(|a, b| turn(a.by_name(b)));
        } else {
            chosen.sort_by(by_figure);
        }
        chosen
    }
}

fn unknown(name: &str, value: &str, words: &[&str]) -> String {
    format!(
        "{name}: `{}` is not known; write one of {}",
        value.escape_debug(),
        words.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::JobCounts;

    fn id(name: &str) -> QueueId {
        QueueId {
            prefix: "bull".into(),
            name: name.into(),
        }
    }

    fn read(waiting: u64, age_secs: u64, failed: u64, active: u64) -> QueueSnapshot {
        QueueSnapshot {
            counts: JobCounts {
                waiting,
                active,
                failed,
                ..JobCounts::default()
            },
            oldest_ready_age: Some(Duration::from_secs(age_secs)),
            longest_active: Some(Duration::ZERO),
            orphaned: Some(false),
            ..QueueSnapshot::default()
        }
    }

    /// Queues in words, in an order that is none.
    fn queues() -> Vec<(QueueId, Option<QueueSnapshot>, u64)> {
        let mut orphaned = read(0, 0, 0, 3);
        orphaned.orphaned = Some(true);
        let mut leftover = read(0, 0, 0, 0);
        leftover.counts.paused = 9;
        let mut paused = read(1000, 0, 0, 0);
        paused.paused = true;
        paused.counts.paused = 1000;
        vec![
            (id("idle b"), Some(read(0, 0, 0, 0)), 1),
            (id("paused"), Some(paused), 0),
            (id("idle A"), Some(read(0, 0, 0, 0)), 0),
            (id("active"), Some(read(0, 0, 0, 5)), 1),
            (id("failed"), Some(read(0, 0, 7, 0)), 1),
            (id("many ready"), Some(read(500, 10, 0, 0)), 1),
            (id("few ready, as old"), Some(read(2, 10, 900, 0)), 1),
            (id("old"), Some(read(1, 3600, 0, 0)), 1),
            (id("leftover"), Some(leftover), 1),
            (id("no workers"), Some(read(1, 1, 0, 0)), 0),
            (id("orphaned"), Some(orphaned), 1),
            (id("unread"), None, 0),
        ]
    }

    fn chosen(query: &str) -> Vec<String> {
        let queues = queues();
        let candidates = queues.iter().map(|(id, read, workers)| Candidate {
            redis: "default",
            server: 0,
            id,
            read: read.as_ref(),
            workers: Some(Workers {
                connected: *workers,
                idle: 0,
            }),
        });
        let listing = Listing::parse(Some(query)).unwrap();
        let chosen = listing.choose(candidates);
        chosen
            .iter()
            .map(|queue| queue.id.name.to_string())
            .collect()
    }

    #[test]
    fn the_worst_stands_first() {
        let expected = [
            "unread",
            "orphaned",
            "no workers",
            "leftover",
            "old",
            "many ready",
            "few ready, as old",
            "failed",
            "active",
            "idle A",
            "idle b",
            "paused",
        ];
        assert_eq!(chosen(""), expected);
    }

    #[test]
    fn queues_are_found_and_sorted_as_the_query_asks() {
        for (query, expected) in [
            ("search=IDLE", vec!["idle A", "idle b"]),
            ("search=bull:o", vec!["orphaned", "old"]),
            ("search=+idle+b+", vec!["idle b"]),
            ("search=idle%20b", vec!["idle b"]),
            ("search=no+such", vec![]),
            (
                "show=problems",
                vec!["unread", "orphaned", "no workers", "leftover"],
            ),
            (
                "search=o&show=problems&sort=queue",
                vec!["leftover", "no workers", "orphaned"],
            ),
            (
                "search=read&sort=ready",
                vec!["many ready", "few ready, as old", "unread"],
            ),
            (
                "search=read&sort=ready&order=asc",
                vec!["few ready, as old", "many ready", "unread"],
            ),
            (
                "search=idle&sort=queue&order=desc",
                vec!["idle b", "idle A"],
            ),
        ] {
            assert_eq!(chosen(query), expected, "{query}");
        }
    }

    #[test]
    fn every_column_has_a_word_that_sorts_by_it() {
        for sort in Sort::COLUMNS {
            let listing = Listing::parse(Some(&format!("sort={}", sort.as_str()))).unwrap();
            assert_eq!((listing.sort, listing.order), (sort, sort.order()));
        }
    }

    #[test]
    fn a_value_that_cannot_be_used_is_told_with_those_that_can() {
        for (query, expected) in [
            (
                "show=none",
                "show: `none` is not known; write one of all, problems",
            ),
            (
                "order=up",
                "order: `up` is not known; write one of asc, desc",
            ),
            ("limit=0", "limit: write a number from 1 to 10000"),
            ("limit=10001", "limit: write a number from 1 to 10000"),
            ("limit=many", "limit: write a number from 1 to 10000"),
        ] {
            assert_eq!(Listing::parse(Some(query)), Err(expected.to_owned()));
        }
        let told = Listing::parse(Some("sort=age")).unwrap_err();
        assert!(
            told.starts_with("sort: `age` is not known; write one of worst, queue, "),
            "{told}"
        );
        let long = format!("search={}", "x".repeat(LONGEST_SEARCH + 1));
        assert!(Listing::parse(Some(&long)).is_err());
        assert_eq!(
            Listing::parse(Some("rd=x&&=&order=&sort=&%ff=%fe")),
            Ok(Listing::default())
        );
    }

    #[test]
    fn a_link_keeps_what_is_searched_for_and_turns_the_column_that_is_sorted_by() {
        let listing = |query| Listing::parse(Some(query)).unwrap();
        for (query, sort, expected) in [
            ("", Sort::Ready, "?sort=ready"),
            ("sort=ready", Sort::Ready, "?sort=ready&order=asc"),
            ("sort=ready&order=asc", Sort::Ready, "?sort=ready"),
            ("sort=queue", Sort::Queue, "?sort=queue&order=desc"),
            (
                "search=a%26%3Cb&show=problems",
                Sort::Queue,
                "?search=a%26%3Cb&show=problems&sort=queue",
            ),
        ] {
            assert_eq!(listing(query).sorted_by(sort), expected, "{query}");
        }
    }
}

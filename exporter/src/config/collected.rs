//! The flags that choose what is collected.

use clap::builder::BoolishValueParser;
use clap::{ArgAction, Args};

use crate::model::Optional;

/// A flag that takes a value or stands for itself, and its environment variable.
macro_rules! switches {
    ($($(#[doc = $doc:literal])+ $name:ident: $flag:literal, $variable:literal, $default:literal;)+) => {
        /// What is collected.
        #[derive(Clone, Copy, Debug, Args)]
        pub(super) struct Collected {
            $(
                $(#[doc = $doc])+
                #[arg(
                    long = $flag,
                    value_name = "BOOL",
                    env = $variable,
                    default_value_t = $default,
                    action = ArgAction::Set,
                    num_args = 0..=1,
                    require_equals = true,
                    default_missing_value = "true",
                    value_parser = BoolishValueParser::new()
                )]
                pub(super) $name: bool,
            )+
        }
    };
}

switches! {
    /// Count connected workers, by one CLIENT LIST a scrape
    collect_workers: "collect.workers", "BULLMQ_EXPORTER_COLLECT_WORKERS", true;

    /// Look ahead for jobs that fall due, for the demand within each --bullmq.horizon, on which workers with a startup time are scaled
    collect_ahead: "collect.ahead", "BULLMQ_EXPORTER_COLLECT_AHEAD", true;

    /// Look how long jobs have been ready or active, and whether active ones are orphaned
    collect_ages: "collect.ages", "BULLMQ_EXPORTER_COLLECT_AGES", true;

    /// Look at rate limits
    collect_limits: "collect.limits", "BULLMQ_EXPORTER_COLLECT_LIMITS", true;

    /// Count job schedulers, and those that are overdue
    collect_schedulers: "collect.schedulers", "BULLMQ_EXPORTER_COLLECT_SCHEDULERS", true;

    /// Count jobs that are added, and those that are completed or failed as the workers count them
    collect_counters: "collect.counters", "BULLMQ_EXPORTER_COLLECT_COUNTERS", true;

    /// Look for groups of BullMQ Pro; where they are used, their jobs are missing from ready jobs and demand without it
    collect_groups: "collect.groups", "BULLMQ_EXPORTER_COLLECT_GROUPS", true;

    /// Follow the queues' events, for the timings and counts of jobs; METRICS.md tells what it costs
    collect_events: "collect.events", "BULLMQ_EXPORTER_COLLECT_EVENTS", false;
}

impl Collected {
    /// What of a queue that is, beside what is always collected.
    pub(super) const fn optional(self) -> Optional {
        Optional {
            ages: self.collect_ages,
            limits: self.collect_limits,
            schedulers: self.collect_schedulers,
            counters: self.collect_counters,
            groups: self.collect_groups,
        }
    }
}

//! What was typed, and what it means. The only reader of the environment.
//!
//! A flag wins over its environment variable, which wins over the default. Everything is checked here, before anything is
//! started: past this module there is no wrong configuration.

use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bullmq_vocabulary::{
    DEFAULT_HORIZONS, DEFAULT_PORT, DEFAULT_PREFIX, DEFAULT_REDIS_NAME, prometheus_duration,
};
use clap::builder::BoolishValueParser;
use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, CommandFactory as _, FromArgMatches as _, Parser};
use redis::{ConnectionAddr, IntoConnectionInfo as _};
use tracing::info;

use crate::build_info;
use crate::collect;
use crate::http::{CurrentWebConfig, OTHER_PAGES, Paths};
use crate::logging::{Format, Level};
use crate::queue_filter::{Glob, QueueFilter};

const DEFAULT_REDIS_URL: &str = "redis://127.0.0.1:6379";
/// Where platforms and other programs say where Redis is.
const REDIS_URL: &str = "REDIS_URL";
const REDIS_URL_HELP: &str = "Where Redis is: redis://[user[:password]@]host[:port][/db] or unix:///path[?db=N]; REDIS_URL serves where this is not given";
/// Discovery that follows itself without a pause would be a load of its own.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);
/// Looking ahead further than a day starts workers for work that is not there.
const LONGEST_HORIZON: Duration = Duration::from_hours(24);
/// Each horizon is one more command a queue that has delayed jobs, and one more series a queue.
const MOST_HORIZONS: usize = 16;

#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
#[command(
    name = "bullmq-exporter",
    about = "Publishes the true state of every BullMQ queue as Prometheus metrics. It only reads.",
    disable_version_flag = true,
    max_term_width = 100
)]
struct Flags {
    #[arg(long = "redis.url", help = REDIS_URL_HELP, value_name = "URL", env = "BULLMQ_EXPORTER_REDIS_URL", hide_env_values = true, default_value = DEFAULT_REDIS_URL)]
    redis_url: String,

    /// Key prefix under which queues are looked for; repeatable, the environment variable takes commas
    #[arg(long = "bullmq.prefix", value_name = "PREFIX", env = "BULLMQ_EXPORTER_BULLMQ_PREFIX", default_value = DEFAULT_PREFIX)]
    bullmq_prefix: Vec<String>,

    /// Queue to read, by name or pattern (* and ?, escaped by a backslash); repeatable, the environment variable takes commas
    ///
    /// Without it every queue is read. A queue that is named without a wildcard is expected to exist, and if every queue is named no
    /// search is needed.
    #[arg(
        long = "bullmq.queue",
        value_name = "NAME",
        env = "BULLMQ_EXPORTER_BULLMQ_QUEUE"
    )]
    bullmq_queue: Vec<String>,

    /// Queue not to read, by name or pattern; repeatable, the environment variable takes commas
    #[arg(
        long = "bullmq.exclude",
        value_name = "NAME",
        env = "BULLMQ_EXPORTER_BULLMQ_EXCLUDE"
    )]
    bullmq_exclude: Vec<String>,

    /// How far ahead demand is looked up; repeatable, the environment variable takes commas [default: 30s 1m 2m 5m]
    #[arg(
        long = "bullmq.horizon",
        value_name = "DURATION",
        env = "BULLMQ_EXPORTER_BULLMQ_HORIZON"
    )]
    bullmq_horizon: Vec<String>,

    /// Pause between two searches for queues
    #[arg(
        long = "discovery.interval",
        value_name = "DURATION",
        env = "BULLMQ_EXPORTER_DISCOVERY_INTERVAL",
        default_value = "30s"
    )]
    discovery_interval: humantime::Duration,

    /// Count connected workers, by one CLIENT LIST a scrape
    #[arg(long = "collect.workers", value_name = "BOOL", env = "BULLMQ_EXPORTER_COLLECT_WORKERS", default_value_t = true, action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_parser = BoolishValueParser::new())]
    collect_workers: bool,

    /// How long a scrape may take at most; Prometheus' own scrape timeout, less half a second, is kept as well
    #[arg(
        long = "scrape.timeout",
        value_name = "DURATION",
        env = "BULLMQ_EXPORTER_SCRAPE_TIMEOUT",
        default_value = "10s"
    )]
    scrape_timeout: humantime::Duration,

    /// Where to serve: host:port, or :port for every address
    #[arg(long = "web.listen-address", value_name = "ADDRESS", env = "BULLMQ_EXPORTER_WEB_LISTEN_ADDRESS", default_value_t = format!("[::]:{DEFAULT_PORT}"))]
    web_listen_address: String,

    /// Path of the metrics
    #[arg(
        long = "web.telemetry-path",
        value_name = "PATH",
        env = "BULLMQ_EXPORTER_WEB_TELEMETRY_PATH",
        default_value = "/metrics"
    )]
    web_telemetry_path: String,

    /// Prefix of every path, for a proxy that passes it on
    #[arg(
        long = "web.route-prefix",
        value_name = "PATH",
        env = "BULLMQ_EXPORTER_WEB_ROUTE_PREFIX",
        default_value = "/"
    )]
    web_route_prefix: String,

    /// File with TLS, users and headers, in the format of Prometheus' exporters; read anew when it changes
    #[arg(
        long = "web.config.file",
        value_name = "FILE",
        env = "BULLMQ_EXPORTER_WEB_CONFIG_FILE"
    )]
    web_config_file: Option<PathBuf>,

    /// How much to log
    #[arg(
        long = "log.level",
        value_name = "LEVEL",
        env = "BULLMQ_EXPORTER_LOG_LEVEL",
        default_value = "info"
    )]
    log_level: Level,

    /// How to log
    #[arg(
        long = "log.format",
        value_name = "FORMAT",
        env = "BULLMQ_EXPORTER_LOG_FORMAT",
        default_value = "logfmt"
    )]
    log_format: Format,

    /// Print one scrape and exit: 0, or 1 if Redis did not answer
    #[arg(long, env = "BULLMQ_EXPORTER_ONCE", value_parser = BoolishValueParser::new())]
    once: bool,

    /// Print the command that makes a Redis user with the least rights, and exit
    #[arg(long = "print-acl", env = "BULLMQ_EXPORTER_PRINT_ACL", value_parser = BoolishValueParser::new())]
    print_acl: bool,

    /// Print the version
    #[arg(long)]
    version: bool,
}

/// What the program is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Print the version.
    Version,
    /// Print this command for Redis.
    PrintAcl(String),
    /// Print one scrape.
    Once(Config),
    /// Serve scrapes.
    Serve(Config),
}

/// A configuration without mistakes.
#[derive(Debug)]
pub struct Config {
    /// The Redis to read.
    pub redis: collect::Settings,
    /// Where it is, without credentials, for the log.
    pub redis_address: String,
    /// How long a scrape may take at most.
    pub scrape_timeout: Duration,
    /// Where to serve, `host:port` or `:port`.
    pub listen_address: String,
    /// Where the pages are.
    pub paths: Paths,
    /// TLS, users and headers.
    pub web_config: CurrentWebConfig,
    /// How much to log.
    pub log_level: Level,
    /// How to log.
    pub log_format: Format,
}

impl Config {
    /// Logs the one line that support will ask for.
    pub fn announce(&self) {
        let prefixes = self.redis.prefixes.join(",");
        info!(
            version = build_info::VERSION,
            revision = build_info::REVISION,
            redis = %self.redis_address,
            prefixes,
            "bullmq-exporter starts"
        );
    }
}

/// Reads the arguments and the environment.
///
/// # Errors
/// When something is wrong; or when help was asked for, which clap hands over as an error too. The error prints itself, names
/// the flag and the value, and shows no credentials.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command, Problem> {
    let matches = Flags::command()
        .try_get_matches_from(arguments)
        .map_err(Problem::from)?;
    let flags = Flags::from_arg_matches(&matches).map_err(Problem::from)?;
    if flags.version {
        return Ok(Command::Version);
    }
    let (once, print_acl) = (flags.once, flags.print_acl);
    let config = flags.check(&matches).map_err(|sentence| {
        Problem::from(Flags::command().error(ErrorKind::ValueValidation, sentence))
    })?;
    Ok(if print_acl {
        Command::PrintAcl(config.redis.acl())
    } else if once {
        Command::Once(config)
    } else {
        Command::Serve(config)
    })
}

/// A wrong configuration, or the help text, ready to be printed.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct Problem(Box<clap::Error>);

impl From<clap::Error> for Problem {
    fn from(error: clap::Error) -> Self {
        Self(Box::new(error))
    }
}

impl Problem {
    /// Whether it is a mistake, and not help that was asked for.
    pub fn is_error(&self) -> bool {
        self.0.use_stderr()
    }

    /// Prints it where it belongs, in colours on a terminal.
    ///
    /// # Errors
    /// When the stream is closed.
    pub fn print(&self) -> std::io::Result<()> {
        self.0.print()
    }
}

/// A sentence about what is wrong.
type Sentence = String;

impl Flags {
    fn check(self, matches: &ArgMatches) -> Result<Config, Sentence> {
        let (url, url_from) = self.url(matches)?;
        let (client, redis_address) = open(&url, &url_from)?;
        let prefixes = many(
            self.bullmq_prefix,
            from_environment(matches, "bullmq_prefix"),
        );
        if prefixes.iter().any(String::is_empty) {
            return Err(
                "--bullmq.prefix '': BullMQ's prefix is never empty; leave the flag out for 'bull'"
                    .into(),
            );
        }
        let mut prefixes: Vec<Arc<str>> = prefixes.into_iter().map(Arc::from).collect();
        prefixes.sort();
        prefixes.dedup();
        let horizons = many(
            self.bullmq_horizon,
            from_environment(matches, "bullmq_horizon"),
        );
        let discovery_interval = *self.discovery_interval;
        if discovery_interval < SHORTEST_INTERVAL {
            return Err(format!(
                "--discovery.interval '{}': a search for queues that never rests is a load on Redis; write {} or more",
                self.discovery_interval,
                prometheus_duration(SHORTEST_INTERVAL)
            ));
        }
        if self.scrape_timeout.is_zero() {
            return Err(
                "--scrape.timeout '0s': no scrape could be answered; write for example 10s".into(),
            );
        }
        Ok(Config {
            redis: collect::Settings {
                name: DEFAULT_REDIS_NAME.into(),
                client,
                prefixes,
                filter: QueueFilter {
                    include: globs(
                        "--bullmq.queue",
                        &many(self.bullmq_queue, from_environment(matches, "bullmq_queue")),
                    )?,
                    exclude: globs(
                        "--bullmq.exclude",
                        &many(
                            self.bullmq_exclude,
                            from_environment(matches, "bullmq_exclude"),
                        ),
                    )?,
                },
                count_workers: self.collect_workers,
                horizons: parse_horizons(&horizons)?,
                discovery_interval,
            },
            redis_address,
            scrape_timeout: *self.scrape_timeout,
            listen_address: check_listen_address(self.web_listen_address)?,
            paths: paths(&self.web_route_prefix, &self.web_telemetry_path)?,
            web_config: CurrentWebConfig::read(self.web_config_file.as_deref())
                .map_err(|error| format!("--web.config.file: {error:#}"))?,
            log_level: self.log_level,
            log_format: self.log_format,
        })
    }

    /// The URL of Redis, and which flag or variable gave it.
    fn url(&self, matches: &ArgMatches) -> Result<(String, String), Sentence> {
        let flag = "--redis.url".to_owned();
        if matches.value_source("redis_url") != Some(ValueSource::DefaultValue) {
            return Ok((self.redis_url.clone(), flag));
        }
        match std::env::var_os(REDIS_URL) {
            None => Ok((self.redis_url.clone(), flag)),
            Some(url) => match url.into_string() {
                Ok(url) => Ok((url, REDIS_URL.to_owned())),
                Err(_) => Err(format!("{REDIS_URL}: it is no UTF-8 text")),
            },
        }
    }
}

fn from_environment(matches: &ArgMatches, id: &str) -> bool {
    matches.value_source(id) == Some(ValueSource::EnvVariable)
}

/// The values of a repeatable flag: as they were typed, or the parts of its environment variable between commas.
fn many(values: Vec<String>, from_environment: bool) -> Vec<String> {
    if from_environment {
        values
            .iter()
            .flat_map(|value| value.split(','))
            .map(|part| part.trim().to_owned())
            .collect()
    } else {
        values
    }
}

fn globs(flag: &str, patterns: &[String]) -> Result<Vec<Glob>, Sentence> {
    if patterns.iter().any(String::is_empty) {
        return Err(format!(
            "{flag} '': no queue has an empty name; leave the flag out, or write * for every queue"
        ));
    }
    Ok(patterns.iter().map(|pattern| Glob::new(pattern)).collect())
}

fn parse_horizons(values: &[String]) -> Result<Arc<[Duration]>, Sentence> {
    if values.is_empty() {
        return Ok(DEFAULT_HORIZONS.into());
    }
    let mut horizons = Vec::with_capacity(values.len());
    for value in values {
        let horizon: Duration = value
            .parse::<humantime::Duration>()
            .map_err(|error| {
                format!("--bullmq.horizon '{value}': {error}; write for example 90s or 2m")
            })?
            .into();
        if horizon.as_millis() == 0 || horizon > LONGEST_HORIZON {
            return Err(format!(
                "--bullmq.horizon '{value}': it must be between 1ms and {}",
                prometheus_duration(LONGEST_HORIZON)
            ));
        }
        horizons.push(Duration::from_millis(
            u64::try_from(horizon.as_millis()).unwrap_or(u64::MAX),
        ));
    }
    horizons.sort();
    horizons.dedup();
    if horizons.len() > MOST_HORIZONS {
        return Err(format!(
            "--bullmq.horizon: {} horizons are given, and {MOST_HORIZONS} are the most; each is one more series a queue",
            horizons.len()
        ));
    }
    Ok(horizons.into())
}

fn check_listen_address(address: String) -> Result<String, Sentence> {
    let port = address
        .rsplit_once(':')
        .and_then(|(_, port)| port.parse::<u16>().ok());
    let host = address.rsplit_once(':').map(|(host, _)| host);
    // An IPv6 address without brackets would lose its last group to the port.
    let ambiguous = host.is_some_and(|host| host.contains(':') && !host.starts_with('['));
    if port.is_some() && !ambiguous {
        return Ok(address);
    }
    Err(format!(
        "--web.listen-address '{address}': write host:port, [address]:port or :port, for example :{DEFAULT_PORT}"
    ))
}

/// Where the pages are, if the paths are such as clients ask for and do not hide each other.
fn paths(prefix: &str, telemetry: &str) -> Result<Paths, Sentence> {
    let wrong = |flag: &str, path: &str, why: &str| {
        Err(format!(
            "{flag} '{path}': {why}; write for example /metrics"
        ))
    };
    for (flag, path) in [
        ("--web.route-prefix", prefix),
        ("--web.telemetry-path", telemetry),
    ] {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte);
        if !path.starts_with('/') {
            return wrong(flag, path, "a path begins with a slash");
        }
        if !path.bytes().all(plain) {
            let why = "a path has letters, digits and / - . _ ~";
            return wrong(flag, path, why);
        }
    }
    if OTHER_PAGES.contains(&telemetry) {
        let why = "another page stands there";
        return wrong("--web.telemetry-path", telemetry, why);
    }
    Ok(Paths {
        prefix: prefix.trim_end_matches('/').to_owned(),
        telemetry: telemetry.to_owned(),
    })
}

fn open(url: &str, from: &str) -> Result<(redis::Client, String), Sentence> {
    let shown = without_credentials(url);
    let wrong = |why: &str| format!("{from} '{shown}': {why}");
    let Some((scheme, _)) = url.split_once("://") else {
        return Err(wrong(
            "a URL is expected; write for example redis://redis.shop.svc:6379/0",
        ));
    };
    match scheme {
        "redis" | "unix" | "redis+unix" => {}
        "rediss" | "valkeys" => {
            return Err(wrong("TLS is not supported by this version; redis:// is"));
        }
        _ => {
            return Err(wrong(
                "the scheme is unknown; redis:// and unix:// are supported",
            ));
        }
    }
    let info = url.into_connection_info().map_err(|error| {
        let hint = "characters such as @ / # in a password are written as %40 %2F %23";
        wrong(&format!(
            "{}; {hint}",
            error.detail().unwrap_or("it is no URL of Redis")
        ))
    })?;
    let address = if let ConnectionAddr::Tcp(host, port) = info.addr() {
        format!("{host}:{port}")
    } else if let ConnectionAddr::Unix(path) = info.addr() {
        path.display().to_string()
    } else {
        shown.clone()
    };
    let address = format!("{address}/{}", info.redis_settings().db());
    let client = redis::Client::open(info).map_err(|error| wrong(&error.to_string()))?;
    Ok((client, address))
}

/// The URL with `***` in the place of user and password.
fn without_credentials(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            format!("{scheme}://***@{host}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_never_shown() {
        for (url, shown) in [
            ("redis://localhost:6379", "redis://localhost:6379"),
            ("redis://user:secret@localhost", "redis://***@localhost"),
            ("redis://:p@ss@localhost/0", "redis://***@localhost/0"),
            ("user:secret@localhost", "://***@localhost"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }

    #[test]
    fn the_flags_are_well_formed() {
        Flags::command().debug_assert();
    }
}

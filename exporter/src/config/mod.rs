//! What was typed, and what it means. The only reader of the environment.
//!
//! A flag wins over its environment variable, which wins over the default. Everything is checked here, before anything is
//! started: past this module there is no wrong configuration.

mod collected;
mod file;
#[cfg(fuzzing)]
pub mod fuzzing;
mod manual;
mod redis_url;

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
use clap::{ArgMatches, CommandFactory as _, FromArgMatches as _, Parser};
use clap_complete::Shell;
use tracing::{info, warn};

use self::collected::Collected;
use crate::build_info;
use crate::collect;
use crate::endpoint::Password;
use crate::http::{CurrentWebConfig, OTHER_PAGES, Paths};
use crate::logging::{Format, Level};
use crate::model::Optional;
use crate::queue_filter::{Glob, QueueFilter};
use crate::shard::Shard;
use crate::yaml_file;

const DEFAULT_REDIS_URL: &str = "redis://127.0.0.1:6379";
/// Where platforms and other programs say where Redis is.
const REDIS_URL: &str = "REDIS_URL";
const REDIS_URL_HELP: &str = "Where Redis is: redis[s]://[user[:password]@]host[:port][/db], unix:///path[?db=N], redis[s]+sentinel://host:port,host:port/MASTER or redis[s]+cluster://host:port,host:port; REDIS_URL serves where this is not given";
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

    /// File with the password of Redis; read anew for each connection
    #[arg(
        long = "redis.password-file",
        value_name = "FILE",
        env = "BULLMQ_EXPORTER_REDIS_PASSWORD_FILE"
    )]
    redis_password_file: Option<PathBuf>,

    /// File with several Redis servers; read anew when it changes, and on SIGHUP
    #[arg(
        long = "config.file",
        value_name = "FILE",
        env = "BULLMQ_EXPORTER_CONFIG_FILE"
    )]
    config_file: Option<PathBuf>,

    /// Check the flags, the environment and the files, and exit: 0 if they are right, or 2
    #[arg(long = "config.check", env = "BULLMQ_EXPORTER_CONFIG_CHECK", value_parser = BoolishValueParser::new())]
    config_check: bool,

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

    /// Which share of the queues to read, I/N: shard I, counted from 0, of N exporters that share the queues
    ///
    /// A queue belongs to one shard by its prefix and name. Those of other shards are left out, named ones too. It holds for every server
    /// of a --config.file.
    #[arg(long = "bullmq.shard", value_name = "I/N", env = "BULLMQ_EXPORTER_BULLMQ_SHARD", default_value_t = Shard::ALL.to_string(), allow_hyphen_values = true)]
    bullmq_shard: String,

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

    #[command(flatten)]
    collected: Collected,

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

    /// Print what a shell needs to complete the flags, and exit
    #[arg(long = "print-completions", value_name = "SHELL")]
    print_completions: Option<Shell>,

    /// Print the manual page, and exit
    #[arg(long = "print-man")]
    print_man: bool,

    /// Print the version
    #[arg(long)]
    version: bool,
}

/// What the program is asked to do.
#[derive(Debug)]
pub enum Command {
    /// Print this text: the version, the commands for Redis, completions or the manual page.
    Print(String),
    /// Say that the configuration is right.
    Check(Config),
    /// Print one scrape.
    Once(Config),
    /// Serve scrapes.
    Serve(Config),
}

/// A configuration without mistakes.
#[derive(Debug)]
pub struct Config {
    /// The Redis servers to read, at least one.
    pub servers: Vec<collect::Settings>,
    /// Where they are read from anew, if they stand in a file.
    pub file: Option<ConfigFile>,
    /// Which share of the queues is read, of every server.
    pub shard: Shard,
    /// What is to be said once the log is open.
    pub warnings: Vec<String>,
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
        info!(
            version = build_info::VERSION,
            revision = build_info::REVISION,
            "bullmq-exporter starts"
        );
        for server in &self.servers {
            server.announce();
        }
        for warning in &self.warnings {
            warn!("{warning}");
        }
    }
}

/// A file of Redis servers, with the flags that stand beside it.
#[derive(Debug)]
pub struct ConfigFile {
    /// The file.
    pub path: PathBuf,
    flags: PerServer,
}

impl ConfigFile {
    /// Reads the servers of the file as it is now.
    ///
    /// # Errors
    /// When it cannot be used, with the place and what to write instead.
    pub fn servers(&self) -> Result<Vec<collect::Settings>, yaml_file::Problem> {
        let servers = file::read(&self.path)?;
        Ok(servers
            .into_iter()
            .map(|server| self.flags.of(server))
            .collect())
    }
}

/// What the flags say of every server.
#[derive(Clone, Debug)]
struct PerServer {
    prefixes: Vec<String>,
    /// Whether prefixes, queues and exceptions were given, and so win over those of a file.
    given: [bool; 3],
    include: Vec<Glob>,
    exclude: Vec<Glob>,
    shard: Shard,
    count_workers: bool,
    follow_events: bool,
    optional: Optional,
    horizons: Arc<[Duration]>,
    discovery_interval: Duration,
}

impl PerServer {
    /// The settings of a server: what the flags say, then what the file says, then the defaults.
    fn of(&self, server: file::Server) -> collect::Settings {
        let [prefixes_given, include_given, exclude_given] = self.given;
        let prefixes = server.prefixes.filter(|_| !prefixes_given);
        let mut prefixes: Vec<Arc<str>> = prefixes
            .as_ref()
            .unwrap_or(&self.prefixes)
            .iter()
            .map(|prefix| prefix.as_str().into())
            .collect();
        prefixes.sort();
        prefixes.dedup();
        let (include, exclude) = (
            server.queues.filter(|_| !include_given),
            server.exclude.filter(|_| !exclude_given),
        );
        collect::Settings {
            name: server.name,
            endpoint: server.endpoint,
            prefixes,
            filter: QueueFilter {
                include: include.unwrap_or_else(|| self.include.clone()),
                exclude: exclude.unwrap_or_else(|| self.exclude.clone()),
            },
            shard: self.shard,
            count_workers: self.count_workers,
            follow_events: self.follow_events,
            optional: self.optional,
            horizons: Arc::clone(&self.horizons),
            discovery_interval: self.discovery_interval,
        }
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
    // None of these depends on the rest, which may be wrong or not be there yet.
    if flags.version {
        return Ok(Command::Print(build_info::describe()));
    }
    if let Some(shell) = flags.print_completions {
        return Ok(Command::Print(manual::completions(shell)));
    }
    if flags.print_man {
        return Ok(Command::Print(manual::page()));
    }
    let (check, once, print_acl) = (flags.config_check, flags.once, flags.print_acl);
    let config = flags.check(&matches).map_err(|sentence| {
        Problem::from(Flags::command().error(ErrorKind::ValueValidation, sentence))
    })?;
    Ok(if check {
        Command::Check(config)
    } else if print_acl {
        Command::Print(acl(&config.servers))
    } else if once {
        Command::Once(config)
    } else {
        Command::Serve(config)
    })
}

/// The commands that make the users, each under the name of its server where there are several.
fn acl(servers: &[collect::Settings]) -> String {
    let under_its_name = |server: &collect::Settings| {
        let name = server.name.escape_debug();
        [format!("# {name}\n"), server.acl()].concat()
    };
    match servers {
        [server] => server.acl(),
        servers => servers.iter().map(under_its_name).collect(),
    }
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
        let mut warnings = Vec::new();
        let one = self.one_server(matches, &mut warnings)?;
        let given = ["bullmq_prefix", "bullmq_queue", "bullmq_exclude"].map(|id| {
            !matches!(
                matches.value_source(id),
                None | Some(ValueSource::DefaultValue)
            )
        });
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
        let horizons = many(
            self.bullmq_horizon,
            from_environment(matches, "bullmq_horizon"),
        );
        let mut horizons = parse_horizons(&horizons)?;
        if !self.collected.collect_ahead {
            horizons = Arc::new([]);
        }
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
        let include = many(self.bullmq_queue, from_environment(matches, "bullmq_queue"));
        let exclude = many(
            self.bullmq_exclude,
            from_environment(matches, "bullmq_exclude"),
        );
        let shard = Shard::parse(&self.bullmq_shard)
            .map_err(|sentence| format!("--bullmq.shard '{}': {sentence}", self.bullmq_shard))?;
        let per_server = PerServer {
            prefixes,
            given,
            include: globs("--bullmq.queue", &include)?,
            exclude: globs("--bullmq.exclude", &exclude)?,
            shard,
            count_workers: self.collected.collect_workers,
            follow_events: self.collected.collect_events,
            optional: self.collected.optional(),
            horizons,
            discovery_interval,
        };
        let (servers, file) = match (one, self.config_file) {
            (Some(one), _) => (vec![per_server.of(one)], None),
            (None, path) => {
                let file = ConfigFile {
                    path: path.unwrap_or_default(),
                    flags: per_server,
                };
                let servers = file
                    .servers()
                    .map_err(|problem| format!("--config.file: {problem}"))?;
                (servers, Some(file))
            }
        };
        Ok(Config {
            servers,
            file,
            shard,
            warnings,
            scrape_timeout: *self.scrape_timeout,
            listen_address: check_listen_address(self.web_listen_address)?,
            paths: paths(&self.web_route_prefix, &self.web_telemetry_path)?,
            web_config: CurrentWebConfig::read(self.web_config_file.as_deref())
                .map_err(|error| format!("--web.config.file: {error:#}"))?,
            log_level: self.log_level,
            log_format: self.log_format,
        })
    }

    /// The one server that is named by flags or by the environment; nothing if a file names them.
    fn one_server(
        &self,
        matches: &ArgMatches,
        warnings: &mut Vec<String>,
    ) -> Result<Option<file::Server>, Sentence> {
        let given = matches.value_source("redis_url") != Some(ValueSource::DefaultValue);
        let plain = std::env::var_os(REDIS_URL).filter(|_| !given);
        if let Some(path) = &self.config_file {
            let path = path.display();
            let twice = |flag: &str| {
                format!(
                    "{flag} beside --config.file '{path}': the servers stand in the file; leave one of the two out"
                )
            };
            if given {
                return Err(twice("--redis.url"));
            }
            if self.redis_password_file.is_some() {
                return Err(twice("--redis.password-file"));
            }
            if plain.is_some() {
                warnings.push(format!(
                    "{REDIS_URL} is ignored: the servers stand in the file of --config.file"
                ));
            }
            return Ok(None);
        }
        let (url, from) = match plain {
            None => (self.redis_url.clone(), "--redis.url"),
            Some(url) => match url.into_string() {
                Ok(url) => (url, REDIS_URL),
                Err(_) => return Err(format!("{REDIS_URL}: it is no UTF-8 text")),
            },
        };
        let mut endpoint = redis_url::parse(&url).map_err(|sentence| {
            format!(
                "{from} '{}': {sentence}",
                redis_url::without_credentials(&url)
            )
        })?;
        if let Some(path) = &self.redis_password_file {
            let shown = path.display();
            if endpoint.login.password != Password::None {
                return Err(format!(
                    "--redis.password-file '{shown}': the password stands in {from} already; leave one of the two out"
                ));
            }
            if let Err(error) = std::fs::File::open(path) {
                return Err(format!("--redis.password-file '{shown}': {error}"));
            }
            endpoint.login.password = Password::File(path.clone());
        }
        Ok(Some(file::Server {
            name: DEFAULT_REDIS_NAME.into(),
            endpoint,
            prefixes: None,
            queues: None,
            exclude: None,
        }))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_flags_are_well_formed() {
        Flags::command().debug_assert();
    }
}

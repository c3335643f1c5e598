//! The URL of a Redis, in the forms that people have them in.
//!
//! `redis[s]://[user[:password]@]host[:port][/db]`, `unix:///path[?db=N]`, and with several hosts between commas
//! `redis[s]+sentinel://[user[:password]@]host:port,.../MASTER[/db]` and `redis[s]+cluster://[user[:password]@]host:port,...`. A library for URLs would refuse the hosts between commas. No
//! message shows a user or a password.

use std::path::PathBuf;

use percent_encoding::percent_decode_str;

use crate::endpoint::{Address, Endpoint, Login, Password, ReadFrom, Tls, Topology};

const REDIS_PORT: u16 = 6379;
const SENTINEL_PORT: u16 = 26379;
/// The databases of a Redis are numbered from 0; none has been seen with more than this many.
const MOST_DATABASES: u32 = 1 << 20;

/// What the hosts of a URL are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Single,
    Sentinel,
    Cluster,
}

/// Reads a URL.
///
/// # Errors
/// With a sentence that says what is wrong and what to write.
pub(super) fn parse(url: &str) -> Result<Endpoint, String> {
    let Some((scheme, rest)) = url.split_once("://") else {
        return Err(
            "a URL is expected; write for example redis://redis.shop.svc:6379/0".to_owned(),
        );
    };
    // Valkey is Redis under another name, and so are its URLs.
    let scheme = scheme.to_ascii_lowercase().replace("valkey", "redis");
    let (tls, kind) = match scheme.as_str() {
        "redis" => (false, Kind::Single),
        "rediss" => (true, Kind::Single),
        "redis+sentinel" => (false, Kind::Sentinel),
        "rediss+sentinel" => (true, Kind::Sentinel),
        "redis+cluster" => (false, Kind::Cluster),
        "rediss+cluster" => (true, Kind::Cluster),
        "unix" | "redis+unix" => return unix(rest),
        _ => {
            return Err(
                "the scheme is unknown; redis://, rediss://, unix://, redis+sentinel:// and redis+cluster:// are supported"
                    .to_owned(),
            );
        }
    };
    let (rest, query) = without_query(rest)?;
    let (login, rest) = login(rest)?;
    let (hosts, path) = rest.split_once('/').unwrap_or((rest, ""));
    let endpoint = |topology, database| Endpoint {
        topology,
        tls: tls.then(Tls::default),
        login,
        database,
        read_from: ReadFrom::Primary,
    };
    let several = |default_port| {
        hosts
            .split(',')
            .map(|host| address(host, default_port))
            .collect::<Result<Vec<_>, _>>()
    };
    if kind == Kind::Sentinel {
        let (master, db) = path.split_once('/').unwrap_or((path, ""));
        let master = decode(master)?;
        if master.is_empty() {
            return Err(
                "the name of the master is missing; write redis+sentinel://host:26379/NAME"
                    .to_owned(),
            );
        }
        let topology = Topology::Sentinel {
            sentinels: several(SENTINEL_PORT)?,
            master,
            login: Login::default(),
        };
        return Ok(endpoint(
            topology,
            database(if db.is_empty() { query } else { db })?,
        ));
    }
    let database = database(if path.is_empty() { query } else { path })?;
    if kind == Kind::Cluster {
        if database != 0 {
            return Err("a Redis Cluster has database 0 only; leave the number out".to_owned());
        }
        return Ok(endpoint(Topology::Cluster(several(REDIS_PORT)?), database));
    }
    if hosts.contains(',') {
        return Err(
            "several hosts are those of Sentinels, redis+sentinel://, or the nodes of a cluster, redis+cluster://; several servers are written in a --config.file"
                .to_owned(),
        );
    }
    let topology = Topology::Single(address(hosts, REDIS_PORT)?);
    Ok(endpoint(topology, database))
}

fn unix(rest: &str) -> Result<Endpoint, String> {
    let (path, query) = without_query(rest)?;
    let (login, path) = login(path)?;
    if !path.starts_with('/') {
        return Err(
            "the path of a socket begins with a slash; write unix:///run/redis.sock".into(),
        );
    }
    Ok(Endpoint {
        topology: Topology::Single(Address::Unix(PathBuf::from(decode(path)?))),
        tls: None,
        login,
        database: database(query)?,
        read_from: ReadFrom::Primary,
    })
}

/// The part before the question mark, and the number of the database behind it.
fn without_query(text: &str) -> Result<(&str, &str), String> {
    match text.split_once('?') {
        None => Ok((text, "")),
        // A question mark in a password is no question.
        Some((_, query)) if query.contains('@') => Err(PASSWORD.to_owned()),
        Some((before, query)) => match query.strip_prefix("db=") {
            Some(number) => Ok((before, number)),
            None => Err("only ?db=N may follow the address".to_owned()),
        },
    }
}

const PASSWORD: &str =
    "characters such as @ / # ? in a user or a password are written as %40 %2F %23 %3F";

fn login(text: &str) -> Result<(Login, &str), String> {
    let Some((login, rest)) = text.rsplit_once('@') else {
        return Ok((Login::default(), text));
    };
    if login.contains(['/', '@', '#']) {
        return Err(PASSWORD.to_owned());
    }
    let (user, password) = match login.split_once(':') {
        Some((user, password)) => (user, Password::Text(decode(password)?)),
        None => (login, Password::None),
    };
    let user = decode(user)?;
    Ok((
        Login {
            user: (!user.is_empty()).then_some(user),
            password,
        },
        rest,
    ))
}

fn decode(text: &str) -> Result<String, String> {
    percent_decode_str(text)
        .decode_utf8()
        .map(std::borrow::Cow::into_owned)
        .map_err(|error| format!("a percent-encoded part is no UTF-8 text: {error}"))
}

fn database(text: &str) -> Result<u32, String> {
    let text = text.trim_end_matches('/');
    if text.is_empty() {
        return Ok(0);
    }
    match text.parse() {
        Ok(number) if number < MOST_DATABASES => Ok(number),
        Ok(_) | Err(_) => {
            Err("the number of the database is no number; write for example /0".into())
        }
    }
}

/// A host with or without a port.
fn address(text: &str, default_port: u16) -> Result<Address, String> {
    let wrong =
        || "the host and port are not readable; write host:port or [address]:port".to_owned();
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']').ok_or_else(wrong)?;
        let port = match port {
            "" => None,
            port => Some(port.strip_prefix(':').ok_or_else(wrong)?),
        };
        (host, port)
    } else {
        match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = match port {
        None => default_port,
        Some(port) => port.parse().ok().ok_or_else(wrong)?,
    };
    // Redis' own tools take an empty host for this machine.
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    if port == 0 || host.contains(|character: char| character.is_whitespace() || character == '/') {
        return Err(wrong());
    }
    Ok(Address::Tcp {
        host: host.to_owned(),
        port,
    })
}

/// The URL with `***` in the place of user and password.
pub(super) fn without_credentials(url: &str) -> String {
    match url.rsplit_once('@') {
        Some((before, host)) => {
            let scheme = before.split_once("://").map_or("", |(scheme, _)| scheme);
            // What stands there may be a password in the wrong place.
            let of_scheme = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
            let scheme = if scheme.bytes().all(of_scheme) {
                scheme
            } else {
                ""
            };
            format!("{scheme}://***@{host}")
        }
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn credentials_are_never_shown() {
        for (url, shown) in [
            ("redis://localhost:6379", "redis://localhost:6379"),
            ("redis://user:secret@localhost", "redis://***@localhost"),
            ("redis://:p@ss@localhost/0", "redis://***@localhost/0"),
            ("user:secret@localhost", "://***@localhost"),
            ("redis:secret@localhost://user@other", "://***@other"),
        ] {
            assert_eq!(without_credentials(url), shown);
        }
    }

    #[test]
    fn an_address_is_read_in_every_form() {
        for (url, shown, user, password, tls) in [
            ("redis://redis", "redis:6379/0", None, None, false),
            ("redis://redis:1/", "redis:1/0", None, None, false),
            ("redis://redis:1/3", "redis:1/3", None, None, false),
            ("redis://redis:1?db=3", "redis:1/3", None, None, false),
            ("redis://", "127.0.0.1:6379/0", None, None, false),
            ("REDISS://redis", "redis:6379/0", None, None, true),
            ("valkeys://redis", "redis:6379/0", None, None, true),
            ("redis://[::1]", "[::1]:6379/0", None, None, false),
            ("redis://[::1]:2/1", "[::1]:2/1", None, None, false),
            ("redis://:p@redis", "redis:6379/0", None, Some("p"), false),
            ("redis://u@redis", "redis:6379/0", Some("u"), None, false),
            (
                "redis://u:p@redis",
                "redis:6379/0",
                Some("u"),
                Some("p"),
                false,
            ),
            (
                "redis://u%40x:p%2F%3Aq@redis",
                "redis:6379/0",
                Some("u@x"),
                Some("p/:q"),
                false,
            ),
            (
                "redis://u:p:q@redis",
                "redis:6379/0",
                Some("u"),
                Some("p:q"),
                false,
            ),
            (
                "unix:///run/redis.sock",
                "/run/redis.sock/0",
                None,
                None,
                false,
            ),
            (
                "unix:///run/r.sock?db=2",
                "/run/r.sock/2",
                None,
                None,
                false,
            ),
            (
                "rediss+sentinel://u:p@a,b:1/mymaster/4",
                "mymaster by the Sentinels a:26379,b:1/4",
                Some("u"),
                Some("p"),
                true,
            ),
            (
                "rediss+cluster://u:p@a,[::1]:7001,b:7002",
                "the cluster of a:6379,[::1]:7001,b:7002/0",
                Some("u"),
                Some("p"),
                true,
            ),
            (
                "valkey+cluster://a/0",
                "the cluster of a:6379/0",
                None,
                None,
                false,
            ),
        ] {
            let endpoint = parse(url).unwrap();
            assert_eq!(endpoint.to_string(), shown, "{url}");
            assert_eq!(endpoint.login.user.as_deref(), user, "{url}");
            let expected = password.map_or(Password::None, |text| Password::Text(text.to_owned()));
            assert!(endpoint.login.password == expected, "{url}");
            assert_eq!(endpoint.tls.is_some(), tls, "{url}");
        }
    }

    #[test]
    fn what_is_no_address_is_told_with_what_to_write() {
        for (url, told) in [
            ("redis.shop:6379", "a URL is expected"),
            ("http://redis", "the scheme is unknown"),
            ("redis://redis:port", "host:port"),
            ("redis://redis:70000", "host:port"),
            ("redis://redis:0", "host:port"),
            ("redis://red is", "host:port"),
            ("redis://[::1", "[address]:port"),
            ("redis://redis/zero", "the number of the database"),
            ("redis://redis/-1", "the number of the database"),
            ("redis://:p/q@redis", "%2F"),
            ("redis://:p@q@redis", "%40"),
            ("redis://:p?q@redis", "%3F"),
            ("redis://redis?ssl=true", "?db=N"),
            ("redis://a,b", "redis+sentinel://"),
            ("redis+sentinel://a", "the name of the master"),
            ("redis://a,b", "redis+cluster://"),
            ("redis+cluster://a/1", "database 0 only"),
            ("redis+cluster://a,b?db=1", "database 0 only"),
            ("redis+cluster://a,b:", "host:port"),
            ("unix://run/redis.sock", "begins with a slash"),
            ("redis://%ff@redis", "no UTF-8"),
        ] {
            let message = parse(url).unwrap_err();
            assert!(message.contains(told), "{url}: {message}");
        }
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_or_told_and_never_shown_with_its_secret(
            scheme in "(redis|rediss|unix|redis\\+sentinel|rediss\\+cluster|http|[a-z+]{0,8})",
            rest in "\\PC{0,40}",
            password in "[A-Z]{12}",
        ) {
            let url = format!("{scheme}://user:{password}@{rest}");
            prop_assert!(!without_credentials(&url).contains(&password) || rest.contains(&password));
            match parse(&url) {
                Ok(endpoint) => {
                    let shown = format!("{endpoint} {endpoint:?}");
                    prop_assert!(!shown.contains(&password), "{}", shown);
                }
                Err(sentence) => prop_assert!(!sentence.contains(&password)),
            }
            let _ = parse(&rest);
        }
    }
}

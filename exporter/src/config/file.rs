//! The file of `--config.file`: several Redis servers, each with its name, secrets by file, and which queues of it are meant.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use serde_saphyr::Spanned;

use super::redis_url;
use crate::endpoint::{Endpoint, Login, Password, ReadFrom, Tls, Topology};
use crate::queue_filter::Glob;
use crate::yaml_file::{Problem, YamlFile};

/// The most servers of one exporter. Each is read in every scrape; more of them are work for several exporters.
const MOST_SERVERS: usize = 1000;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    redis: Spanned<Vec<Spanned<ServerSpec>>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerSpec {
    name: Spanned<String>,
    url: Spanned<String>,
    password_file: Option<Spanned<String>>,
    tls: Option<Spanned<TlsSpec>>,
    prefixes: Option<Spanned<Vec<Spanned<String>>>>,
    queues: Option<Vec<Spanned<String>>>,
    exclude: Option<Vec<Spanned<String>>>,
    sentinel: Option<Spanned<SentinelSpec>>,
    read_from: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct TlsSpec {
    ca_file: Option<Spanned<String>>,
    cert_file: Option<Spanned<String>>,
    key_file: Option<Spanned<String>>,
    server_name: Option<Spanned<String>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct SentinelSpec {
    username: Option<Spanned<String>>,
    password_file: Option<Spanned<String>>,
}

/// One server of the file. What it does not say is left to the flags.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Server {
    pub(super) name: Arc<str>,
    pub(super) endpoint: Endpoint,
    pub(super) prefixes: Option<Vec<String>>,
    pub(super) queues: Option<Vec<Glob>>,
    pub(super) exclude: Option<Vec<Glob>>,
}

/// Reads the file.
///
/// # Errors
/// When it cannot be used, with the place and what to write instead.
pub(super) fn read(path: &Path, follow_events: bool) -> Result<Vec<Server>, Problem> {
    servers(&YamlFile::open(path)?, follow_events)
}

/// The servers of a file that was read.
///
/// # Errors
/// When it cannot be used, with the place and what to write instead.
pub(super) fn servers(file: &YamlFile, follow_events: bool) -> Result<Vec<Server>, Problem> {
    let parsed: File = file.parse()?;
    let servers = &parsed.redis;
    if servers.value.is_empty() {
        let help = "write at least one, such as `- {name: main, url: redis://redis.shop:6379}`";
        return Err(file.wrong_at(servers, "there is no server", help));
    }
    if servers.value.len() > MOST_SERVERS {
        let message = format!("there are more than {MOST_SERVERS} servers");
        return Err(file.wrong_at(servers, message, "run several exporters"));
    }
    let mut names = HashMap::new();
    let mut read = Vec::new();
    for spec in &servers.value {
        let server = server(file, spec)?;
        if let Err(sentence) = check_events(&server.endpoint, follow_events) {
            let help = "leave --collect.events out, or give the cluster an exporter of its own";
            return Err(file.wrong_at(&spec.value.url, sentence, help));
        }
        if let Some(first) = names.insert(Arc::clone(&server.name), spec.referenced.line()) {
            let message = format!(
                "two servers are called `{}`; the first stands on line {first}",
                server.name
            );
            let help = "the name is the label `redis` of its series; give each its own";
            return Err(file.wrong_at(&spec.value.name, message, help));
        }
        read.push(server);
    }
    Ok(read)
}

/// Whether the events of this Redis can be followed, if they are to be.
///
/// # Errors
/// With a sentence if they cannot.
pub(super) fn check_events(endpoint: &Endpoint, follow_events: bool) -> Result<(), &'static str> {
    match endpoint.topology {
        Topology::Cluster(_) if follow_events => {
            Err("--collect.events: the events of a Redis Cluster cannot be followed yet")
        }
        Topology::Single(_) | Topology::Sentinel { .. } | Topology::Cluster(_) => Ok(()),
    }
}

fn server(file: &YamlFile, spec: &Spanned<ServerSpec>) -> Result<Server, Problem> {
    let ServerSpec {
        name,
        url,
        password_file,
        tls,
        prefixes,
        queues,
        exclude,
        sentinel,
        read_from,
    } = &spec.value;
    if name.value.is_empty() {
        return Err(file.wrong_at(
            name,
            "the name of a server is empty",
            "it is the label `redis` of its series; write for example `main`",
        ));
    }
    let mut endpoint = redis_url::parse(&url.value)
        .map_err(|sentence| file.wrong_at(url, "this is no URL of a Redis", sentence))?;
    if let Some(place) = password_file {
        endpoint.login.password = secret(file, place, &endpoint.login, "the URL")?;
    }
    if let Some(place) = tls {
        if endpoint.tls.is_none() {
            let help = "write rediss:// in the URL, or leave `tls` out";
            return Err(file.wrong_at(place, "the URL asks for no TLS", help));
        }
        endpoint.tls = Some(tls_of(file, place)?);
    }
    match (&mut endpoint.topology, sentinel) {
        (Topology::Sentinel { login, .. }, Some(place)) => {
            let spec = &place.value;
            login.user = spec.username.as_ref().map(|user| user.value.clone());
            if let Some(place) = &spec.password_file {
                login.password = secret(file, place, login, "the Sentinels")?;
            }
        }
        (Topology::Single(_) | Topology::Cluster(_), Some(place)) => {
            let help =
                "write redis+sentinel://host:26379/MASTER in the URL, or leave `sentinel` out";
            return Err(file.wrong_at(place, "the URL names no Sentinels", help));
        }
        (_, None) => {}
    }
    if let Some(place) = read_from {
        endpoint.read_from = match (place.value.as_str(), &endpoint.topology) {
            ("primary", _) => ReadFrom::Primary,
            ("replica", Topology::Sentinel { .. }) => ReadFrom::Replica,
            ("replica", Topology::Cluster(_)) => {
                let message = "the replicas of a cluster are not read: while a slot moves, they count what has left already as nothing";
                return Err(file.wrong_at(place, message, "leave `read_from` out"));
            }
            ("replica", Topology::Single(_)) => {
                let help = "write the replica's own address in the URL, or redis+sentinel://";
                return Err(file.wrong_at(place, "one server has no other to choose", help));
            }
            _ => {
                let message = "`read_from` is not known";
                return Err(file.wrong_at(place, message, "write `primary` or `replica`"));
            }
        };
    }
    if let Some(place) = prefixes
        && (place.value.is_empty() || place.value.iter().any(|prefix| prefix.value.is_empty()))
    {
        let help = "BullMQ's prefix is never empty; leave the field out for `bull`";
        return Err(file.wrong_at(place, "a prefix is missing", help));
    }
    let words = |list: &Vec<Spanned<String>>| list.iter().map(|word| word.value.clone()).collect();
    Ok(Server {
        name: name.value.as_str().into(),
        endpoint,
        prefixes: prefixes.as_ref().map(|list| words(&list.value)),
        queues: globs(file, queues.as_ref())?,
        exclude: globs(file, exclude.as_ref())?,
    })
}

fn secret(
    file: &YamlFile,
    place: &Spanned<String>,
    login: &Login,
    of: &str,
) -> Result<Password, Problem> {
    if login.password != Password::None {
        let message = format!("the password is given twice, here and in {of}");
        return Err(file.wrong_at(place, message, "keep the file"));
    }
    Ok(Password::File(existing(file, place)?))
}

/// The file that is named, if it is there. What is in it is read when it is needed.
fn existing(file: &YamlFile, place: &Spanned<String>) -> Result<std::path::PathBuf, Problem> {
    let path = file.neighbour(&place.value);
    match std::fs::metadata(&path) {
        Ok(found) if found.is_dir() => {
            let message = format!("{}: it is a folder", path.display());
            Err(file.wrong_at(place, message, "name the file in it"))
        }
        Ok(_) => Ok(path),
        Err(error) => {
            let help = "relative names begin at the folder of this file";
            Err(file.wrong_at(place, format!("{}: {error}", path.display()), help))
        }
    }
}

fn tls_of(file: &YamlFile, place: &Spanned<TlsSpec>) -> Result<Tls, Problem> {
    let spec = &place.value;
    let identity = match (&spec.cert_file, &spec.key_file) {
        (Some(certificate), Some(key)) => {
            Some((existing(file, certificate)?, existing(file, key)?))
        }
        (None, None) => None,
        (Some(given), None) | (None, Some(given)) => {
            let help = "write both `cert_file` and `key_file`";
            return Err(file.wrong_at(given, "a certificate needs its key", help));
        }
    };
    Ok(Tls {
        ca_file: match &spec.ca_file {
            Some(place) => Some(existing(file, place)?),
            None => None,
        },
        identity,
        server_name: spec.server_name.as_ref().map(|name| name.value.clone()),
    })
}

fn globs(
    file: &YamlFile,
    patterns: Option<&Vec<Spanned<String>>>,
) -> Result<Option<Vec<Glob>>, Problem> {
    let Some(patterns) = patterns else {
        return Ok(None);
    };
    let glob = |pattern: &Spanned<String>| {
        if pattern.value.is_empty() {
            let help = "leave it out, or write `*` for every queue";
            return Err(file.wrong_at(pattern, "no queue has an empty name", help));
        }
        Ok(Glob::new(&pattern.value))
    };
    patterns
        .iter()
        .map(glob)
        .collect::<Result<_, _>>()
        .map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    fn told(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("exporter.yml");
        for name in ["secret", "c.pem", "k.pem"] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        fs::write(&path, text).unwrap();
        let told = match read(&path, text.contains("# events")) {
            Ok(servers) => format!("{} servers", servers.len()),
            Err(problem) => problem.to_string(),
        };
        told.replace(&format!("{}/", folder.path().display()), "")
    }

    #[test]
    #[expect(clippy::too_many_lines, reason = "the table is long")]
    fn every_field_is_taken_and_every_mistake_is_told_with_its_place() {
        for (text, expected) in [
            (
                "redis:
  - name: main
    url: rediss://exporter@redis.shop:6379/0
    password_file: secret
    tls: {ca_file: c.pem, cert_file: c.pem, key_file: k.pem, server_name: redis.shop}
    prefixes: [bull, \"{app}\"]
    queues: [email, \"billing-*\"]
    exclude: [\"tmp-*\"]
    read_from: primary
  - name: other
    url: redis+sentinel://a:26379,b:26379/mymaster
    sentinel: {username: s, password_file: secret}
    read_from: replica
  - name: spread
    url: redis+cluster://a:7000,b:7000
    prefixes: [\"{app}\"]
",
                "3 servers",
            ),
            (
                "redis:\n- name: a\n  url: redis+cluster://a\n  read_from: replica\n",
                "the replicas of a cluster are not read",
            ),
            (
                "redis: [{name: a, url: 'redis+cluster://a', sentinel: {}}]\n",
                "names no Sentinels",
            ),
            (
                "redis:\n- {name: a, url: 'redis+cluster://:hunter2@a'} # events\n",
                "--collect.events: the events of a Redis Cluster cannot be followed yet\n --> exporter.yml:2:",
            ),
            ("redis: []\n", "there is no server"),
            ("", "missing field `redis`"),
            ("redis: [{name: a}]\n", "missing field `url`"),
            (
                "redis: [{name: a, url: x, prefixs: [b]}]\n",
                "unknown field `prefixs`",
            ),
            (
                "redis: [{name: '', url: 'redis://a'}]\n",
                "the name of a server is empty",
            ),
            (
                "redis: [{name: a, url: 'http://:hunter2@a'}]\n",
                "the scheme is unknown",
            ),
            (
                "redis:\n- {name: a, url: 'redis://a'}\n- {name: a, url: 'redis://b'}\n",
                "two servers are called `a`; the first stands on line 2\n --> exporter.yml:3:10",
            ),
            (
                "redis: [{name: a, url: 'redis://:hunter2@a', password_file: secret}]\n",
                "given twice",
            ),
            (
                "redis: [{name: a, url: 'redis://a', password_file: gone}]\n",
                "No such file",
            ),
            (
                "redis: [{name: a, url: 'redis://a', password_file: .}]\n",
                "it is a folder",
            ),
            (
                "redis: [{name: a, url: 'redis://a', tls: {}}]\n",
                "asks for no TLS",
            ),
            (
                "redis: [{name: a, url: 'rediss://a', tls: {cert_file: c.pem}}]\n",
                "a certificate needs its key",
            ),
            (
                "redis: [{name: a, url: 'redis://a', sentinel: {}}]\n",
                "names no Sentinels",
            ),
            (
                "redis: [{name: a, url: 'redis://a', read_from: replica}]\n",
                "no other to choose",
            ),
            (
                "redis: [{name: a, url: 'redis://a', read_from: slave}]\n",
                "write `primary` or `replica`",
            ),
            (
                "redis: [{name: a, url: 'redis://a', prefixes: []}]\n",
                "a prefix is missing",
            ),
            (
                "redis: [{name: a, url: 'redis://a', queues: ['']}]\n",
                "no queue has an empty name",
            ),
            (
                "redis: [{name: a, url: 'redis://a', queues: email}]\n",
                "exporter.yml:1:",
            ),
        ] {
            let told = told(text);
            assert!(told.contains(expected), "{text}: {told}");
            assert!(!told.contains("hunter2"), "{told}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn no_file_is_read_with_a_panic_or_told_with_its_secret(
            before in "[ -~\\n]{0,80}",
            after in "[ -~\\n]{0,80}",
        ) {
            let text = format!("{before}redis: [{{name: a, url: 'redis://:HUNTER2@a'}}]{after}");
            prop_assert!(!told(&text).contains("HUNTER2"));
        }
    }
}

//! The commands that the exporter sends in one scrape, as Redis' MONITOR shows them.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use acceptance::Redis;
use anyhow::{Context as _, Result, ensure};

use crate::redis_client::connect;

/// How long MONITOR may be silent.
const SILENCE: Duration = Duration::from_secs(30);

/// One command with its arguments.
pub(crate) type Command = Vec<Vec<u8>>;

/// What one scrape sends.
#[derive(Debug, Default)]
pub(crate) struct Recording {
    /// What is about the server.
    pub(crate) server: Vec<Command>,
    /// What is about each queue, in the order in which it was sent.
    pub(crate) queues: Vec<Vec<Command>>,
    /// The name of each of `queues`.
    pub(crate) names: Vec<String>,
}

impl Recording {
    /// What is sent about a queue, each command as it is shown.
    pub(crate) fn shown(&self, queue: &str) -> Vec<String> {
        let place = self.names.iter().position(|name| name == queue);
        let commands = place.and_then(|place| self.queues.get(place));
        let commands = commands.into_iter().flatten();
        commands.map(|command| shown(command, queue)).collect()
    }

    /// Records what `scrape` makes the exporter send.
    ///
    /// # Errors
    /// When Redis does not answer, or nothing was sent.
    pub(crate) fn of(redis: &Redis, scrape: impl FnOnce() -> Result<()>) -> Result<Self> {
        const END: &str = "end of the recording";
        let mut stream = TcpStream::connect(("127.0.0.1", redis.port()))?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.write_all(b"MONITOR\r\n")?;
        let mut lines = BufReader::new(stream);
        let mut line = Vec::new();
        lines.read_until(b'\n', &mut line)?;
        ensure!(line.starts_with(b"+OK"), "MONITOR is refused");
        // Redis keeps what is not read yet, so nothing is lost while the scrape is waited for.
        scrape()?;
        let _: String = redis::cmd("ECHO").arg(END).query(&mut connect(redis)?)?;
        let mut by_client: HashMap<String, Vec<Command>> = HashMap::new();
        loop {
            line.clear();
            lines.read_until(b'\n', &mut line).context("MONITOR")?;
            let text = String::from_utf8_lossy(&line);
            if text.contains(END) {
                break;
            }
            if let Some((client, command)) = parse(&text) {
                by_client.entry(client).or_default().push(command);
            }
        }
        // The exporter has one connection, and whoever else is connected sends next to nothing.
        let sent = by_client.into_values().max_by_key(Vec::len);
        let mut recording = Self::by_queue(sent.context("the scrape sends commands")?);
        // MONITOR hides it, as every command of an administrator.
        let hidden = ["CLIENT", "LIST", "TYPE", "normal"].map(|word| word.as_bytes().to_vec());
        recording.server.push(hidden.to_vec());
        Ok(recording)
    }

    fn by_queue(commands: Vec<Command>) -> Self {
        let mut recording = Self::default();
        let mut places = HashMap::new();
        let mut begun = None;
        let mut current = None;
        for command in commands {
            match command.first().map(Vec::as_slice) {
                // It belongs to the queue of what stands in it.
                Some(b"MULTI") => begun = Some(command),
                Some(b"EXEC") => {
                    let of_queue = current.and_then(|place: usize| recording.queues.get_mut(place));
                    of_queue.unwrap_or(&mut recording.server).push(command);
                }
                _ => match queue_of(&command) {
                    Some(name) => {
                        let place = *places.entry(name).or_insert_with_key(|name| {
                            recording.names.push(name.clone());
                            recording.queues.push(Vec::new());
                            recording.queues.len() - 1
                        });
                        current = Some(place);
                        if let Some(commands) = recording.queues.get_mut(place) {
                            commands.extend(begun.take());
                            commands.push(command);
                        }
                    }
                    None => recording.server.push(command),
                },
            }
        }
        recording
    }

    /// The names of the commands that are sent for a queue.
    pub(crate) fn command_names(&self, queue: &str) -> Vec<String> {
        let place = self.names.iter().position(|name| name == queue);
        let commands = place.and_then(|place| self.queues.get(place));
        let first = |command: &Command| {
            command
                .first()
                .map(|name| String::from_utf8_lossy(name).into_owned())
        };
        commands
            .map(|commands| commands.iter().filter_map(first).collect())
            .unwrap_or_default()
    }
}

/// A command as it is shown: without what all keys of the queue begin with.
fn shown(command: &Command, queue: &str) -> String {
    let word = |word: &Vec<u8>| {
        let text = String::from_utf8_lossy(word);
        let key = text
            .strip_prefix("bull:")
            .and_then(|rest| rest.strip_prefix(queue));
        key.and_then(|key| key.strip_prefix(':'))
            .unwrap_or(&text)
            .to_owned()
    };
    command.iter().map(word).collect::<Vec<_>>().join(" ")
}

/// The queue that a command asks about: the second part of its key.
fn queue_of(command: &Command) -> Option<String> {
    let key = str::from_utf8(command.get(1)?).ok()?;
    let (queue, _) = key.strip_prefix("bull:")?.split_once(':')?;
    Some(queue.to_owned())
}

/// The client and the command of a line such as `+1700000000.000001 [0 127.0.0.1:6000] "GET" "a\x00"`.
fn parse(line: &str) -> Option<(String, Command)> {
    let (_, rest) = line.split_once('[')?;
    let (client, rest) = rest.split_once(']')?;
    let mut command = Vec::new();
    let mut characters = rest.trim().chars();
    while let Some(character) = characters.next() {
        if character != '"' {
            continue;
        }
        let mut argument = Vec::new();
        loop {
            match characters.next()? {
                '"' => break,
                '\\' => match characters.next()? {
                    'n' => argument.push(b'\n'),
                    'r' => argument.push(b'\r'),
                    't' => argument.push(b'\t'),
                    'a' => argument.push(7),
                    'b' => argument.push(8),
                    'x' => {
                        let digits = [characters.next()?, characters.next()?];
                        let digits: String = digits.iter().collect();
                        argument.push(u8::from_str_radix(&digits, 16).ok()?);
                    }
                    other => argument.extend(other.to_string().bytes()),
                },
                other => argument.extend(other.to_string().bytes()),
            }
        }
        command.push(argument);
    }
    (!command.is_empty()).then(|| (client.to_owned(), command))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_monitor_is_read_with_its_escapes() {
        let line = r#"+1700000000.000001 [0 127.0.0.1:6000] "HMGET" "bull:a\"b\x00:meta" "\n" """#;
        let (client, command) = parse(line).unwrap();
        assert_eq!(client, "0 127.0.0.1:6000");
        let expected: [&[u8]; 4] = [b"HMGET", b"bull:a\"b\0:meta", b"\n", b""];
        assert_eq!(command, expected);
        assert_eq!(parse("+OK"), None);
    }

    #[test]
    fn a_transaction_belongs_to_the_queue_that_it_asks_about() {
        let command = |words: &str| {
            words
                .split(' ')
                .map(|word| word.as_bytes().to_vec())
                .collect()
        };
        let commands = [
            "TIME",
            "MULTI",
            "LLEN bull:a:wait",
            "EXEC",
            "GET bull:a:id",
            "MULTI",
            "LLEN bull:b:wait",
            "EXEC",
            "INFO memory",
            "HGET bull:a:1 x",
        ];
        let recording = Recording::by_queue(commands.into_iter().map(command).collect());
        assert_eq!(
            recording.command_names("a"),
            ["MULTI", "LLEN", "EXEC", "GET", "HGET"]
        );
        assert_eq!(recording.command_names("b"), ["MULTI", "LLEN", "EXEC"]);
        assert_eq!(recording.server.len(), 2);
        assert_eq!(recording.names, ["a", "b"]);
        let shown = ["MULTI", "LLEN wait", "EXEC", "GET id", "HGET 1 x"];
        assert_eq!(recording.shown("a"), shown);
    }
}

//! A Redis that answers by a script: each command with an answer of the kind that it has, most of the time, and with anything else
//! otherwise. Where the script ends, the connection breaks.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream};
use tokio::runtime::{Builder, Runtime};
use tokio::time::timeout;

use crate::script::Script;

/// Errors that Redis answers with, and some that it does not.
const ERRORS: [&str; 14] = [
    "NOPERM this user has no permissions to run the 'x' command",
    "WRONGTYPE Operation against a key holding the wrong kind of value",
    "LOADING Redis is loading the dataset in memory",
    "MOVED 6805 127.0.0.1:7001",
    "MOVED 1 :0",
    "MOVED",
    "ASK 6805 127.0.0.1:7001",
    "CLUSTERDOWN Hash slot not served",
    "CROSSSLOT Keys in request don't hash to the same slot",
    "TRYAGAIN Multiple keys request during rehashing of slot",
    "EXECABORT Transaction discarded because of previous errors.",
    "ERR no such key",
    "NOAUTH Authentication required.",
    "",
];

/// Room for the commands of a batch, and for what they are answered with.
const BUFFER: usize = 1 << 20;

/// How long a conversation may take by its own clock, which goes on at once where nobody has anything to do.
const PATIENCE: Duration = Duration::from_hours(1);

/// What was answered that is counted.
#[derive(Debug, Default)]
pub struct Told {
    /// The entries of streams that are new.
    pub entries: Cell<u64>,
}

/// One thread, whose clock goes on by itself where everybody sleeps.
pub fn runtime() -> Runtime {
    Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .expect("a runtime of one thread")
}

/// What comes of a stream to a Redis that answers by the script; nothing if that stops in the middle of an answer, for which every use in the
/// exporter has a deadline.
pub fn conversation<T>(
    runtime: &Runtime,
    script: &[u8],
    within: impl AsyncFnOnce(DuplexStream) -> T,
) -> Option<(T, Rc<Told>)> {
    let told = Rc::new(Told::default());
    let (ours, theirs) = tokio::io::duplex(BUFFER);
    let local = tokio::task::LocalSet::new();
    let (script, counted) = (script.to_vec(), Rc::clone(&told));
    let value = local.block_on(runtime, async move {
        let server = tokio::task::spawn_local(async move {
            let mut redis = Redis {
                script: Script::new(&script),
                told: counted,
                queued: None,
            };
            let _ = redis.serve(theirs).await;
        });
        let value = timeout(PATIENCE, within(ours)).await.ok();
        server.abort();
        value
    });
    value.map(|value| (value, told))
}

struct Redis<'d> {
    script: Script<'d>,
    told: Rc<Told>,
    /// The answers that EXEC will give.
    queued: Option<Vec<Vec<u8>>>,
}

impl Redis<'_> {
    async fn serve(&mut self, mut stream: DuplexStream) -> std::io::Result<()> {
        let mut unread = Vec::new();
        loop {
            while let Some((command, length)) = command(&unread) {
                unread.drain(..length);
                let Some(answer) = self.answer(&command) else {
                    return Ok(());
                };
                stream.write_all(&answer).await?;
            }
            if stream.read_buf(&mut unread).await? == 0 {
                return Ok(());
            }
        }
    }

    fn answer(&mut self, command: &[Vec<u8>]) -> Option<Vec<u8>> {
        let name = command.first()?.to_ascii_uppercase();
        // The greeting is no part of what is read.
        if name == b"CLIENT" && command.get(1).is_some_and(|word| word == b"SETINFO") {
            return Some(b"+OK\r\n".to_vec());
        }
        let kind = self.script.byte()?;
        match name.as_slice() {
            b"MULTI" if kind != 255 => {
                self.queued = Some(Vec::new());
                return Some(b"+OK\r\n".to_vec());
            }
            b"EXEC" => {
                let queued = self.queued.take().unwrap_or_default();
                return Some(match kind {
                    255 => anything(&mut self.script, 3),
                    254 => error(&mut self.script),
                    _ => array(&queued),
                });
            }
            _ => {}
        }
        let answer = match kind {
            255 => anything(&mut self.script, 3),
            254 => error(&mut self.script),
            253 => b"$-1\r\n".to_vec(),
            252 => b"*0\r\n".to_vec(),
            _ => self.usual(&name, command),
        };
        if let Some(queued) = &mut self.queued {
            queued.push(answer);
            return Some(b"+QUEUED\r\n".to_vec());
        }
        Some(answer)
    }

    /// An answer of the kind that the command has.
    fn usual(&mut self, name: &[u8], command: &[Vec<u8>]) -> Vec<u8> {
        let script = &mut self.script;
        match name {
            b"TIME" => array(&[
                bulk(format!("{}", 1_780_000_000 + script.below(200)).as_bytes()),
                bulk(b"0"),
            ]),
            b"GET" | b"HGET" | b"LINDEX" => match script.below(4) {
                0 => b"$-1\r\n".to_vec(),
                _ => bulk(&script.text()),
            },
            b"HMGET" => {
                let fields = command.len().saturating_sub(2);
                let values: Vec<_> = (0..fields)
                    .map(|_| match script.below(3) {
                        0 => b"$-1\r\n".to_vec(),
                        _ => bulk(&script.text()),
                    })
                    .collect();
                array(&values)
            }
            b"LRANGE" => {
                let count = script.below(9);
                let values: Vec<_> = (0..count).map(|_| bulk(&script.text())).collect();
                array(&values)
            }
            b"ZRANGE" | b"ZRANGEBYSCORE" => array(&[bulk(&script.text()), bulk(&script.text())]),
            b"INFO" | b"CLIENT" => {
                let length = script.below(200);
                bulk(script.bytes(length))
            }
            b"SCAN" => {
                let cursor = ["0", "0", "0", "17"][script.below(4)];
                let count = script.below(6);
                let keys: Vec<_> = (0..count).map(|_| bulk(&key(script))).collect();
                array(&[bulk(cursor.as_bytes()), array(&keys)])
            }
            b"XREAD" => {
                let streams = command.iter().position(|word| word == b"STREAMS");
                let rest = command.get(streams.map_or(command.len(), |at| at + 1)..);
                let rest = rest.unwrap_or_default();
                let mut answered = Vec::new();
                for stream in rest.iter().take(rest.len() / 2) {
                    let count = script.below(5);
                    if count > 0 {
                        self.told.entries.update(|sum| sum + count as u64);
                        let entries: Vec<_> = (0..count).map(|_| entry(script)).collect();
                        answered.push(array(&[bulk(stream), array(&entries)]));
                    }
                }
                if answered.is_empty() {
                    return b"*-1\r\n".to_vec();
                }
                array(&answered)
            }
            b"XRANGE" => {
                let count = script.below(2);
                let entries: Vec<_> = (0..count).map(|_| entry(script)).collect();
                array(&entries)
            }
            b"XINFO" => array(&[
                bulk(b"length"),
                integer(script.integer()),
                bulk(b"last-generated-id"),
                bulk(&id(script)),
                bulk([b"entries-added".as_slice(), b"groups"][script.below(2)]),
                integer(script.integer()),
            ]),
            _ => integer(script.integer()),
        }
    }
}

/// A key that may be a queue's.
fn key(script: &mut Script<'_>) -> Vec<u8> {
    let prefix = ["bull", "app", "app:prod", ""][script.below(4)];
    let ending = ["meta", "id", "wait", "a:meta"][script.below(4)];
    [
        prefix.as_bytes(),
        b":",
        &script.text(),
        b":",
        ending.as_bytes(),
    ]
    .concat()
}

/// An id of a stream's entry: most are of about now.
fn id(script: &mut Script<'_>) -> Vec<u8> {
    match script.below(8) {
        0 => script.text(),
        part => format!(
            "{}-{part}",
            1_780_000_000_000_u64 + script.below(256) as u64
        )
        .into_bytes(),
    }
}

fn entry(script: &mut Script<'_>) -> Vec<u8> {
    let id = bulk(&id(script));
    let fields: Vec<_> = match script.below(16) {
        0 => return array(&[id, b"*-1\r\n".to_vec()]),
        15 => (0..script.below(5)).map(|_| bulk(&script.text())).collect(),
        _ => [
            b"event".to_vec(),
            script.text(),
            b"jobId".to_vec(),
            script.text(),
            b"prev".to_vec(),
            script.text(),
            b"delay".to_vec(),
            script.text(),
        ]
        .iter()
        .map(|text| bulk(text))
        .collect(),
    };
    array(&[id, array(&fields)])
}

/// Any value of the protocol.
fn anything(script: &mut Script<'_>, depth: usize) -> Vec<u8> {
    match script.below(9) {
        0 if depth > 0 => {
            let count = script.below(5);
            let values: Vec<_> = (0..count).map(|_| anything(script, depth - 1)).collect();
            array(&values)
        }
        1 => integer(script.integer()),
        2 => b"$-1\r\n".to_vec(),
        3 => b"*-1\r\n".to_vec(),
        4 => error(script),
        5 => b"+OK\r\n".to_vec(),
        6 => b",1.5\r\n".to_vec(),
        // Not even the protocol.
        7 => script.text(),
        _ => bulk(&script.text()),
    }
}

fn error(script: &mut Script<'_>) -> Vec<u8> {
    format!("-{}\r\n", ERRORS[script.below(ERRORS.len())]).into_bytes()
}

fn integer(number: i64) -> Vec<u8> {
    format!(":{number}\r\n").into_bytes()
}

fn bulk(text: &[u8]) -> Vec<u8> {
    [format!("${}\r\n", text.len()).as_bytes(), text, b"\r\n"].concat()
}

fn array(values: &[Vec<u8>]) -> Vec<u8> {
    [
        format!("*{}\r\n", values.len()).into_bytes(),
        values.concat(),
    ]
    .concat()
}

/// The first whole command, and how many bytes it has.
fn command(bytes: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let (count, mut at) = header(bytes, 0)?;
    let mut words = Vec::new();
    for _ in 0..count {
        let (length, start) = header(bytes, at)?;
        words.push(bytes.get(start..start + length)?.to_vec());
        at = start + length + 2;
    }
    (at <= bytes.len()).then_some((words, at))
}

/// The number in a line such as `*3`, and where the next line begins.
fn header(bytes: &[u8], at: usize) -> Option<(usize, usize)> {
    let rest = bytes.get(at + 1..)?;
    let end = rest.windows(2).position(|pair| pair == b"\r\n")?;
    let number = str::from_utf8(&rest[..end]).ok()?.parse().ok()?;
    Some((number, at + 1 + end + 2))
}

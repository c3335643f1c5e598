//! A Redis whose clock stands still.
//!
//! A real Redis cannot be told what time it is, and a test of one millisecond needs to. This is a proxy in front of a real Redis: every
//! byte passes as it is, but for the reply to TIME, which tells a moment of the test's choice.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Result;

use crate::redis::Redis;

/// A proxy that freezes the clock of a Redis.
#[derive(Debug)]
pub struct FrozenClock {
    port: u16,
    millis: Arc<AtomicU64>,
}

impl FrozenClock {
    /// Starts a proxy whose clock stands at `millis` since 1970.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn start(redis: &Redis, millis: u64) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let millis = Arc::new(AtomicU64::new(millis));
        let (clock, redis_port) = (Arc::clone(&millis), redis.port());
        // The threads end with the connections, and the listener with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, redis_port)) {
                    let clock = Arc::clone(&clock);
                    let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else {
                        continue;
                    };
                    thread::spawn(move || pass(from, to, <[u8]>::to_vec));
                    thread::spawn(move || {
                        pass(server, client, |bytes| {
                            with_time(bytes, &time(clock.load(Ordering::SeqCst)))
                        });
                    });
                }
            }
        });
        Ok(Self { port, millis })
    }

    /// Moves the clock.
    pub fn set(&self, millis: u64) {
        self.millis.store(millis, Ordering::SeqCst);
    }

    /// The address as a URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

/// Passes bytes on until either side closes.
fn pass(mut from: TcpStream, mut to: TcpStream, change: impl Fn(&[u8]) -> Vec<u8>) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length) = from.read(&mut buffer) {
        let Some(bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        if to.write_all(&change(bytes)).is_err() {
            break;
        }
    }
    // One that is closed already needs no closing.
    let _ = to.shutdown(std::net::Shutdown::Both);
}

/// The bytes with each reply to TIME in them changed for this one; other replies may stand before and after it.
fn with_time(mut bytes: &[u8], time: &[u8]) -> Vec<u8> {
    let mut changed = Vec::with_capacity(bytes.len());
    while let Some((first, others)) = bytes.split_first() {
        if let Some(rest) = after_time(bytes) {
            changed.extend_from_slice(time);
            bytes = rest;
        } else {
            changed.push(*first);
            bytes = others;
        }
    }
    changed
}

/// What follows the reply to TIME with which these bytes begin: two numbers, of which the first has ten digits until the year 2286
/// and the second, the microseconds, up to six.
fn after_time(bytes: &[u8]) -> Option<&[u8]> {
    let rest = bytes.strip_prefix(b"*2\r\n$10\r\n")?;
    let (seconds, rest) = rest.split_at_checked(10)?;
    let (length, rest) = rest.strip_prefix(b"\r\n$")?.split_first()?;
    let length = usize::from(length.checked_sub(b'0')?);
    let (micros, rest) = rest.strip_prefix(b"\r\n")?.split_at_checked(length)?;
    let numbers = seconds.iter().chain(micros).all(u8::is_ascii_digit);
    rest.strip_prefix(b"\r\n")
        .filter(|_| numbers && (1..=6).contains(&length))
}

fn time(millis: u64) -> Vec<u8> {
    let (seconds, micros) = (millis / 1000, millis % 1000 * 1000);
    format!("*2\r\n$10\r\n{seconds}\r\n$6\r\n{micros:06}\r\n").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_replies_to_time_are_changed_wherever_they_stand() {
        const REAL: &str = "*2\r\n$10\r\n1780000000\r\n$5\r\n12345\r\n";
        const TOLD: &str = "*2\r\n$10\r\n2000000000\r\n$6\r\n001000\r\n";
        for reply in ["", ":7\r\n", "*2\r\n$10\r\n1780000000\r\n$5\r\na job\r\n"] {
            let (real, told) = (
                [reply, REAL, reply, REAL].concat(),
                [reply, TOLD, reply, TOLD].concat(),
            );
            let changed = with_time(real.as_bytes(), &time(2_000_000_000_001));
            assert_eq!(String::from_utf8_lossy(&changed), told);
        }
    }
}

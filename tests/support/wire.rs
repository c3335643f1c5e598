//! A wire to a Redis that can be made to misbehave: a network cannot be told to, on a machine of one's own, without rights over it.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use anyhow::Result;

use crate::redis::Redis;

/// How a wire treats what Redis answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It passes.
    None,
    /// Nothing passes any more, in either direction, and nothing is closed: packets are lost. A connection that lost some is closed at what
    /// passes next, since TCP never delivers what comes after a hole.
    BlackHole,
    /// Every answer comes later by this much.
    Delay(Duration),
    /// After so many more bytes the connection is closed, in the middle of whatever it was.
    CutAfter(usize),
}

/// A wire to a Redis.
#[derive(Debug)]
pub struct Wire {
    port: u16,
    fault: Arc<Mutex<Fault>>,
    turns: Arc<Turns>,
}

/// How often the client spoke after it had been answered.
#[derive(Debug, Default)]
struct Turns {
    count: AtomicU64,
    is_asking: AtomicBool,
}

impl Turns {
    fn asked(&self) {
        if !self.is_asking.swap(true, Ordering::SeqCst) {
            self.count.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn answered(&self) {
        self.is_asking.store(false, Ordering::SeqCst);
    }
}

fn lock(fault: &Mutex<Fault>) -> MutexGuard<'_, Fault> {
    fault.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Wire {
    /// Lays a wire that passes everything.
    ///
    /// # Errors
    /// When there is no free port.
    pub fn to(redis: &Redis) -> Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let port = listener.local_addr()?.port();
        let fault = Arc::new(Mutex::new(Fault::None));
        let (of_all, redis_port) = (Arc::clone(&fault), redis.port());
        let turns = Arc::<Turns>::default();
        let all_turns = Arc::clone(&turns);
        // The threads end with the connections, and the listener with the test's process.
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, redis_port)) else {
                    continue;
                };
                let (Ok(from), Ok(to)) = (client.try_clone(), server.try_clone()) else {
                    continue;
                };
                let (forth, back) = (Arc::clone(&of_all), Arc::clone(&of_all));
                let (asked, answered) = (Arc::clone(&all_turns), Arc::clone(&all_turns));
                let has_hole = Arc::new(AtomicBool::new(false));
                let also = Arc::clone(&has_hole);
                thread::spawn(move || pass(from, to, &forth, &has_hole, false, || asked.asked()));
                thread::spawn(move || {
                    pass(server, client, &back, &also, true, || answered.answered());
                });
            }
        });
        Ok(Self { port, fault, turns })
    }

    /// From now on it does this, to connections that are open as well.
    pub fn set(&self, fault: Fault) {
        *lock(&self.fault) = fault;
    }

    /// How many round trips there were so far: times that the client spoke after it had been answered. With a delay, because what is sent
    /// together must not be answered in between.
    pub fn round_trips(&self) -> u64 {
        self.turns.count.load(Ordering::SeqCst)
    }

    /// The address as a URL.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

/// Passes bytes on until either side closes, or the fault says so; `passes` is told before each.
fn pass(
    mut from: TcpStream,
    mut to: TcpStream,
    fault: &Mutex<Fault>,
    has_hole: &AtomicBool,
    is_answer: bool,
    passes: impl Fn(),
) {
    let mut buffer = vec![0; 1 << 16];
    while let Ok(length) = from.read(&mut buffer) {
        let Some(mut bytes) = buffer.get(..length).filter(|bytes| !bytes.is_empty()) else {
            break;
        };
        let now = *lock(fault);
        let mut last = false;
        match now {
            Fault::BlackHole => {
                has_hole.store(true, Ordering::Relaxed);
                continue;
            }
            _ if has_hole.load(Ordering::Relaxed) => break,
            Fault::Delay(delay) if is_answer => thread::sleep(delay),
            Fault::CutAfter(left) if is_answer => {
                last = left <= bytes.len();
                bytes = bytes.get(..left).unwrap_or(bytes);
                *lock(fault) = Fault::CutAfter(left.saturating_sub(bytes.len()));
            }
            Fault::None | Fault::Delay(_) | Fault::CutAfter(_) => {}
        }
        passes();
        if to.write_all(bytes).is_err() || last {
            break;
        }
    }
    // One that is closed already needs no closing.
    let _ = to.shutdown(Shutdown::Both);
    let _ = from.shutdown(Shutdown::Both);
}

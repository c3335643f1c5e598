//! One connection to a server, shared by those who ask: batches of commands go out one behind the other, and their replies come back in the
//! same order.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::BytesMut;
use redis::{Pipeline, Value, parse_redis_value};
use tokio::io::{
    AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadHalf, WriteHalf,
};
use tokio::sync::{mpsc, oneshot};

use super::link_error::LinkError;
use super::wire::{Commands, Garbage, Replies, Scanner};

/// How much is read at once: the replies of a batch in two or three pieces.
const READ_SIZE: usize = 64 * 1024;

/// One connection; clones share it. It is closed with the last of them.
#[derive(Clone, Debug)]
pub(crate) struct Connection {
    asked: mpsc::UnboundedSender<Asked>,
    /// Why it broke, once it has.
    broken: Arc<OnceLock<LinkError>>,
}

/// A batch of commands on its way.
#[derive(Debug)]
struct Asked {
    bytes: Vec<u8>,
    waiting: Waiting,
}

/// Who waits for the replies to a batch, and how many there will be.
#[derive(Debug)]
struct Waiting {
    replies: usize,
    answer: oneshot::Sender<Replies>,
}

impl Connection {
    /// A connection over a stream on which nothing has been sent yet.
    pub(super) fn over(stream: impl AsyncRead + AsyncWrite + Send + 'static) -> Self {
        let (asked, mut asks) = mpsc::unbounded_channel();
        let broken = Arc::new(OnceLock::new());
        let why = Arc::clone(&broken);
        tokio::spawn(async move {
            // Both outlive the reason, so that nobody learns that the connection broke before it can be told why.
            let waiting = Mutex::default();
            if let Err(error) = drive(stream, &mut asks, &waiting).await {
                // Nobody else sets it.
                let _ = why.set(error);
            }
        });
        Self { asked, broken }
    }

    /// Sends commands together and returns the reply to each; a command that Redis refuses has an error as its reply.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(super) async fn ask(&self, commands: Commands) -> Result<Replies, LinkError> {
        if commands.len() == 0 {
            // Redis says nothing to nothing, and whoever waited for it would wait for ever.
            return Ok(Replies::default());
        }
        let (answer, answered) = oneshot::channel();
        let waiting = Waiting {
            replies: commands.len(),
            answer,
        };
        let bytes = commands.into_bytes();
        let sent = self.asked.send(Asked { bytes, waiting });
        match sent {
            Ok(()) => answered.await.map_err(|_broken| self.why_broken()),
            Err(_) => Err(self.why_broken()),
        }
    }

    /// The same with the types of the `redis` crate, for what is asked once a scrape or less.
    ///
    /// # Errors
    /// When the connection breaks.
    pub(crate) async fn send(&mut self, pipeline: &Pipeline) -> Result<Vec<Value>, LinkError> {
        let commands = Commands::written(pipeline.get_packed_pipeline(), pipeline.len());
        let replies = self.ask(commands).await?;
        let values = replies.iter().map(|raw| parse_redis_value(raw.bytes()));
        Ok(values.collect::<Result<_, _>>()?)
    }

    fn why_broken(&self) -> LinkError {
        let unknown = || io::Error::from(io::ErrorKind::ConnectionAborted).into();
        self.broken.get().cloned().unwrap_or_else(unknown)
    }
}

/// Writes what is asked and hands out what is answered, until nobody can ask any more.
///
/// # Errors
/// When the connection breaks.
async fn drive(
    stream: impl AsyncRead + AsyncWrite,
    asks: &mut mpsc::UnboundedReceiver<Asked>,
    waiting: &Mutex<VecDeque<Waiting>>,
) -> Result<(), LinkError> {
    let (reader, writer) = tokio::io::split(stream);
    tokio::select! {
        outcome = write(writer, asks, waiting) => outcome.map_err(LinkError::from),
        outcome = read(reader, waiting) => outcome,
    }
}

async fn write(
    mut writer: WriteHalf<impl AsyncWrite>,
    asks: &mut mpsc::UnboundedReceiver<Asked>,
    waiting: &Mutex<VecDeque<Waiting>>,
) -> io::Result<()> {
    while let Some(Asked {
        bytes,
        waiting: who,
    }) = asks.recv().await
    {
        lock(waiting).push_back(who);
        writer.write_all(&bytes).await?;
        writer.flush().await?;
    }
    Ok(())
}

/// Reads for ever.
///
/// # Errors
/// When the connection ends, or what comes is no answer.
async fn read(
    mut reader: ReadHalf<impl AsyncRead>,
    waiting: &Mutex<VecDeque<Waiting>>,
) -> Result<(), LinkError> {
    let mut bytes = BytesMut::with_capacity(READ_SIZE);
    let mut scanner: Option<Scanner> = None;
    loop {
        bytes.reserve(READ_SIZE);
        if reader.read_buf(&mut bytes).await? == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        while !bytes.is_empty() {
            let wanted = lock(waiting).front().map(|waiting| waiting.replies);
            let Some(wanted) = wanted else {
                return Err(unasked(&bytes));
            };
            let mut looking = scanner.take().unwrap_or_else(|| Scanner::new(wanted));
            let Some(length) = looking.look(&bytes)? else {
                scanner = Some(looking);
                break;
            };
            let replies = looking.replies(bytes.split_to(length).freeze());
            if let Some(Waiting { answer, .. }) = lock(waiting).pop_front() {
                // Whoever asked may have given up.
                let _ = answer.send(replies);
            }
        }
    }
}

/// What somebody says who was not asked: a Redis that has too many clients says so before it hangs up.
fn unasked(bytes: &[u8]) -> LinkError {
    match parse_redis_value(bytes) {
        Ok(Value::ServerError(error)) => redis::RedisError::from(error).into(),
        _ => Garbage.into(),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ErrorCause;
    use tokio::io::{DuplexStream, duplex};

    fn ping() -> Commands {
        let mut commands = Commands::default();
        commands.cmd("PING");
        commands
    }

    fn connection() -> (Connection, DuplexStream) {
        let (here, there) = duplex(64);
        (Connection::over(here), there)
    }

    /// Waits for a whole PING.
    async fn asked(server: &mut DuplexStream) {
        let mut bytes = [0; 14];
        server.read_exact(&mut bytes).await.unwrap();
        assert_eq!(&bytes, b"*1\r\n$4\r\nPING\r\n");
    }

    #[tokio::test]
    async fn each_is_answered_what_it_asked_whoever_gave_up_before() {
        let (connection, mut server) = connection();
        let impatient = connection.clone();
        let gave_up = tokio::spawn(async move { impatient.ask(ping()).await });
        asked(&mut server).await;
        gave_up.abort();
        let _ = gave_up.await;
        let second = tokio::spawn(async move { connection.ask(ping()).await });
        asked(&mut server).await;
        server.write_all(b"+first\r\n+sec").await.unwrap();
        server.write_all(b"ond\r\n").await.unwrap();
        let replies = second.await.unwrap().unwrap();
        assert_eq!(replies.get(0).unwrap().bytes(), b"+second\r\n");
    }

    #[tokio::test]
    async fn whoever_waits_is_told_why_a_connection_breaks_and_so_is_whoever_asks_later() {
        for (sent, cause, said) in [
            (
                b"".as_slice(),
                ErrorCause::Connection,
                "the server closed the connection",
            ),
            (
                b"+PO",
                ErrorCause::Connection,
                "the server closed the connection",
            ),
            (
                b"HTTP/1.1 400 Bad Request\r\n",
                ErrorCause::Protocol,
                "an answer that is not of Redis' protocol",
            ),
        ] {
            let (connection, mut server) = connection();
            let early = connection.clone();
            let waits = tokio::spawn(async move { early.ask(ping()).await });
            asked(&mut server).await;
            server.write_all(sent).await.unwrap();
            drop(server);
            for error in [
                waits.await.unwrap().unwrap_err(),
                connection.ask(ping()).await.unwrap_err(),
            ] {
                assert_eq!((error.cause, error.to_string().as_str()), (cause, said));
            }
        }
    }

    #[tokio::test]
    async fn what_a_server_says_before_it_is_asked_is_why_it_hangs_up() {
        for (sent, cause) in [
            (
                b"-ERR max number of clients reached\r\n".as_slice(),
                ErrorCause::Server,
            ),
            (b"220 mail.example ESMTP\r\n", ErrorCause::Protocol),
            (b"+OK\r\n", ErrorCause::Protocol),
        ] {
            let (connection, mut server) = connection();
            server.write_all(sent).await.unwrap();
            // Until the connection has read it.
            connection.asked.closed().await;
            let error = connection.ask(ping()).await.unwrap_err();
            assert_eq!(error.cause, cause, "{error}");
        }
    }

    #[tokio::test]
    async fn who_asks_nothing_does_not_wait() {
        let (connection, _server) = connection();
        let replies = connection.ask(Commands::default()).await.unwrap();
        assert!(replies.get(0).is_none());
        let mut connection = connection;
        assert_eq!(connection.send(&Pipeline::new()).await.unwrap(), []);
    }

    #[tokio::test]
    async fn a_connection_is_closed_with_the_last_who_could_ask() {
        let (connection, mut server) = connection();
        drop(connection);
        assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
    }
}

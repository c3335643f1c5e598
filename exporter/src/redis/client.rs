//! The one connection to a Redis, or to one node of it, made when it is needed and made anew after it broke.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::connect::connect;
use super::connection::Connection;
use super::link_error::LinkError;
use super::reply::{Reply, ReplyError, number};
use super::score::Millis;
use super::wire::Commands;
use crate::endpoint::Endpoint;
use crate::model::ErrorCause;

/// Why a question to Redis was not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum AskError {
    /// There was no connection, or it broke.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Redis refused, or its answer makes no sense.
    #[error(transparent)]
    Reply(#[from] ReplyError),
}

impl AskError {
    /// The value of the `cause` label.
    pub(crate) const fn cause(&self) -> ErrorCause {
        match self {
            Self::Link(error) => error.cause,
            Self::Reply(error) => error.cause(),
        }
    }
}

/// How many connections have been made to a Redis, whichever of its nodes they led to.
#[derive(Debug, Default)]
pub(super) struct Connections {
    made: AtomicU64,
    another: Notify,
}

impl Connections {
    /// How many have been made.
    pub(super) fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Waits until more have been made than this number.
    pub(super) async fn more_than(&self, number: u64) {
        while self.made() <= number {
            self.another.notified().await;
        }
    }
}

/// A Redis, or one node of it, and the connection to it, if there is one.
#[derive(Debug)]
pub(crate) struct Link {
    endpoint: Endpoint,
    current: Mutex<Option<Connection>>,
    connecting: tokio::sync::Mutex<()>,
    connections: Arc<Connections>,
}

impl Link {
    /// A link over which nothing has been sent yet, with its connections counted among others.
    pub(super) fn counted(endpoint: Endpoint, connections: Arc<Connections>) -> Self {
        Self {
            endpoint,
            current: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
            connections,
        }
    }

    /// Where it leads, for the log.
    pub(crate) const fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    fn current(&self) -> MutexGuard<'_, Option<Connection>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, made now if there is none.
    ///
    /// # Errors
    /// When it cannot be made.
    pub(crate) async fn connection(&self) -> Result<Connection, LinkError> {
        let _one_at_a_time = self.connecting.lock().await;
        let known = self.current().clone();
        if let Some(connection) = known {
            return Ok(connection);
        }
        let connection = connect(&self.endpoint).await?;
        self.connections.made.fetch_add(1, Ordering::Relaxed);
        *self.current() = Some(connection.clone());
        self.connections.another.notify_one();
        Ok(connection)
    }

    /// Lets go of a connection that broke or answers no more; the next use makes a new one.
    pub(crate) fn discard(&self) {
        *self.current() = None;
    }
}

impl Connection {
    /// Redis' clock.
    ///
    /// # Errors
    /// When the connection breaks, or Redis refuses.
    pub(crate) async fn time(&self) -> Result<Millis, AskError> {
        let mut commands = Commands::default();
        commands.cmd("TIME");
        let replies = self.ask(commands).await?;
        let texts = Reply::raw("TIME", replies.get(0)).texts()?;
        let mut numbers = texts.into_iter().map(|text| text.and_then(number::<u64>));
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(seconds), Some(micros)) => Ok(Millis(
                seconds.saturating_mul(1000).saturating_add(micros / 1000),
            )),
            _ => Err(ReplyError::Unexpected { command: "TIME" }.into()),
        }
    }
}

//! Why a Redis could not be asked: what a connection says when it cannot be made, and when it breaks.

use std::fmt::Display;
use std::io;

use redis::{ErrorKind, RedisError, ServerErrorKind};

use super::wire::Garbage;
use crate::model::ErrorCause;

/// Why Redis could not be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct LinkError {
    /// The value of the `cause` label.
    pub(crate) cause: ErrorCause,
    pub(super) message: String,
}

impl LinkError {
    /// Any reason.
    pub(super) fn new(cause: ErrorCause, message: impl Into<String>) -> Self {
        Self {
            cause,
            message: message.into(),
        }
    }

    /// The server has become something else than what is to be read, as the old primary does in a failover.
    pub(crate) fn of_role(role: &str) -> Self {
        Self::new(
            ErrorCause::Server,
            format!("the server is a {role} now; the Sentinels are asked again"),
        )
    }

    /// There was no answer in time.
    pub(crate) fn late(what: impl Display) -> Self {
        Self::new(ErrorCause::Timeout, format!("{what}: no answer in time"))
    }

    /// No node of a cluster could be asked where the slots are; of the reasons, the first says of which kind.
    pub(super) fn of_nodes(problems: &[(ErrorCause, String)]) -> Self {
        let cause = problems.first().map_or(ErrorCause::Connection, |it| it.0);
        let told: Vec<&str> = problems.iter().map(|(_, told)| told.as_str()).collect();
        let told = told.join("; ");
        Self::new(
            cause,
            format!("no node tells where the slots of the cluster are: {told}"),
        )
    }

    /// An error at something that has a name: an address, or a file.
    pub(super) fn at(what: impl Display, error: impl Display) -> Self {
        Self::new(ErrorCause::Connection, format!("{what}: {error}"))
    }
}

impl From<io::Error> for LinkError {
    fn from(error: io::Error) -> Self {
        let message = if error.kind() == io::ErrorKind::UnexpectedEof {
            "the server closed the connection".to_owned()
        } else {
            error.to_string()
        };
        Self::new(ErrorCause::Connection, message)
    }
}

impl From<Garbage> for LinkError {
    fn from(garbage: Garbage) -> Self {
        Self::new(ErrorCause::Protocol, garbage.to_string())
    }
}

impl From<RedisError> for LinkError {
    fn from(error: RedisError) -> Self {
        let kind = error.kind();
        let cause = if kind == ErrorKind::AuthenticationFailed {
            ErrorCause::Authentication
        } else if kind == ErrorKind::Server(ServerErrorKind::NoPerm) {
            ErrorCause::Denied
        } else if matches!(kind, ErrorKind::Server(_) | ErrorKind::Extension) {
            ErrorCause::Server
        } else if matches!(kind, ErrorKind::Parse | ErrorKind::UnexpectedReturnType) {
            ErrorCause::Protocol
        } else if error.is_timeout() {
            ErrorCause::Timeout
        } else {
            ErrorCause::Connection
        };
        Self::new(cause, error.to_string())
    }
}

//! Redis' replies, read with care: a reply is another program's word, and none may bring the exporter down.

use std::str::FromStr;

use redis::{ServerError, ServerErrorKind, Value};

use crate::model::ErrorCause;

/// Why a reply could not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReplyError {
    /// Redis answered with an error.
    #[error("{command}: {message}")]
    Refused {
        /// The command that was refused.
        command: &'static str,
        /// The kind of refusal.
        cause: ErrorCause,
        /// Redis' own words.
        message: String,
    },
    /// Another node of a cluster has the keys, or they are between two nodes.
    #[error("{command}: {message}; {hint}")]
    Elsewhere {
        /// The command that was refused.
        command: &'static str,
        /// Redis' own words.
        message: String,
        /// What to do about it, or why there is nothing to do.
        hint: &'static str,
        /// The rest of a `MOVED`: the slot, and the node that has it.
        moved: Option<String>,
    },
    /// A node takes its cluster for down, and answers of no key.
    #[error("{command}: {message}")]
    ClusterDown {
        /// The command that was refused.
        command: &'static str,
        /// Redis' own words.
        message: String,
    },
    /// The keys of a queue are spread over the nodes of a cluster.
    #[error(
        "its keys lie in many slots of the cluster, where BullMQ cannot use them; its prefix or its name needs braces, as in {{bull}}"
    )]
    Spread,
    /// No node of a cluster has the slot of the queue.
    #[error("no node of the cluster has its slot")]
    Homeless,
    /// Redis answered with something that this command never answers.
    #[error("{command}: an answer of another kind than expected")]
    Unexpected {
        /// The command.
        command: &'static str,
    },
}

impl ReplyError {
    /// The value of the `cause` label.
    pub(crate) const fn cause(&self) -> ErrorCause {
        match self {
            Self::Refused { cause, .. } => *cause,
            Self::Elsewhere { .. } | Self::ClusterDown { .. } | Self::Spread | Self::Homeless => {
                ErrorCause::Server
            }
            Self::Unexpected { .. } => ErrorCause::Protocol,
        }
    }
}

impl ReplyError {
    /// What a node said behind `MOVED`.
    pub(crate) fn moved(&self) -> Option<&str> {
        if let Self::Elsewhere { moved, .. } = self {
            moved.as_deref()
        } else {
            None
        }
    }
}

/// What kind of refusal a server error is.
pub(super) fn cause_of(error: &ServerError) -> ErrorCause {
    match error.kind() {
        Some(ServerErrorKind::NoPerm) => ErrorCause::Denied,
        Some(_) => ErrorCause::Server,
        None => match error.code() {
            "WRONGTYPE" => ErrorCause::WrongType,
            "NOAUTH" | "WRONGPASS" => ErrorCause::Authentication,
            _ => ErrorCause::Server,
        },
    }
}

fn refusal(command: &'static str, error: &ServerError) -> ReplyError {
    use ServerErrorKind::{Ask, ClusterDown, CrossSlot, Moved, TryAgain};
    let message = error.to_string();
    match error.kind() {
        Some(CrossSlot) => ReplyError::Spread,
        Some(ClusterDown) => ReplyError::ClusterDown { command, message },
        Some(kind @ (Moved | Ask | TryAgain)) => ReplyError::Elsewhere {
            command,
            message,
            hint: if kind == Moved {
                "a URL redis+cluster:// reads every node of a cluster"
            } else {
                "its keys are on their way to another node"
            },
            moved: error.details().filter(|_| kind == Moved).map(str::to_owned),
        },
        _ => ReplyError::Refused {
            command,
            cause: cause_of(error),
            message,
        },
    }
}

/// A reply together with the command that it answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply<'a> {
    command: &'static str,
    value: Option<&'a Value>,
}

impl<'a> Reply<'a> {
    /// The reply to `command`; a missing one is an unexpected one.
    pub(super) const fn to(command: &'static str, value: Option<&'a Value>) -> Self {
        Self { command, value }
    }

    const fn unexpected(self) -> ReplyError {
        ReplyError::Unexpected {
            command: self.command,
        }
    }

    /// The value, unless it is an error.
    pub(super) fn value(self) -> Result<&'a Value, ReplyError> {
        match self.value {
            None => Err(self.unexpected()),
            Some(Value::ServerError(error)) => Err(refusal(self.command, error)),
            Some(value) => Ok(value),
        }
    }

    /// A whole number.
    pub(super) fn integer(self) -> Result<i64, ReplyError> {
        let Value::Int(number) = self.value()? else {
            return Err(self.unexpected());
        };
        Ok(*number)
    }

    /// A count: a whole number that is not negative.
    pub(super) fn count(self) -> Result<u64, ReplyError> {
        let Value::Int(count) = self.value()? else {
            return Err(self.unexpected());
        };
        u64::try_from(*count).map_err(|_negative| self.unexpected())
    }

    /// Text, or nothing.
    pub(super) fn text(self) -> Result<Option<&'a [u8]>, ReplyError> {
        text(self.value()?).ok_or_else(|| self.unexpected())
    }

    /// A list of texts, each of which may be missing.
    pub(super) fn texts(self) -> Result<Vec<Option<&'a [u8]>>, ReplyError> {
        let Value::Array(values) = self.value()? else {
            return Err(self.unexpected());
        };
        values
            .iter()
            .map(|value| text(value).ok_or_else(|| self.unexpected()))
            .collect()
    }

    /// The first member of a sorted set with its score, or nothing.
    pub(super) fn scored_member(self) -> Result<Option<(&'a [u8], f64)>, ReplyError> {
        let texts = self.texts()?;
        let mut texts = texts.into_iter().flatten();
        let (Some(member), Some(score)) = (texts.next(), texts.next()) else {
            return Ok(None);
        };
        let score = number(score).ok_or_else(|| self.unexpected())?;
        Ok(Some((member, score)))
    }
}

/// A number that Redis wrote as text.
pub(super) fn number<T: FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.parse().ok()
}

#[expect(
    clippy::option_option,
    reason = "no text is an answer, another type is none"
)]
fn text(value: &Value) -> Option<Option<&[u8]>> {
    if let Value::BulkString(bytes) = value {
        Some(Some(bytes))
    } else if let Value::SimpleString(text) = value {
        Some(Some(text.as_bytes()))
    } else {
        matches!(value, Value::Nil).then_some(None)
    }
}

//! Redis' replies, read with care: a reply is another program's word, and none may bring the exporter down.

use std::str::FromStr;

use redis::{ServerError, ServerErrorKind, Value, parse_redis_value};

use super::wire::{Elements, Raw, Shape};
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

/// A value, however it was read.
#[derive(Clone, Copy, Debug)]
pub(super) enum Source<'a> {
    /// None came.
    Missing,
    /// As it came.
    Raw(Raw<'a>),
    /// As the `redis` crate has it.
    Value(&'a Value),
}

impl<'a> From<Option<Raw<'a>>> for Source<'a> {
    fn from(raw: Option<Raw<'a>>) -> Self {
        raw.map_or(Self::Missing, Self::Raw)
    }
}

/// The elements of an array, however it was read.
#[derive(Clone, Debug)]
pub(super) enum Items<'a> {
    /// As they came.
    Raw(Elements<'a>),
    /// As the `redis` crate has them.
    Values(std::slice::Iter<'a, Value>),
}

impl<'a> Iterator for Items<'a> {
    type Item = Source<'a>;

    fn next(&mut self) -> Option<Source<'a>> {
        match self {
            Self::Raw(elements) => elements.next().map(Source::Raw),
            Self::Values(values) => values.next().map(Source::Value),
        }
    }
}

/// What an answer is, unless it is a refusal.
enum Answer<'a> {
    Nil,
    Integer(i64),
    Text(&'a [u8]),
    Array(Items<'a>),
}

/// A reply together with the command that it answers.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reply<'a> {
    command: &'static str,
    source: Source<'a>,
}

impl<'a> Reply<'a> {
    /// The reply to `command`; a missing one is an unexpected one.
    pub(super) fn to(command: &'static str, value: Option<&'a Value>) -> Self {
        Self::of(command, value.map_or(Source::Missing, Source::Value))
    }

    /// The same, as it came.
    pub(super) fn raw(command: &'static str, raw: Option<Raw<'a>>) -> Self {
        Self::of(command, raw.into())
    }

    /// The same, however it was read.
    pub(super) const fn of(command: &'static str, source: Source<'a>) -> Self {
        Self { command, source }
    }

    const fn unexpected(self) -> ReplyError {
        ReplyError::Unexpected {
            command: self.command,
        }
    }

    /// The value, unless it is an error.
    fn answer(self) -> Result<Answer<'a>, ReplyError> {
        let answer = match self.source {
            Source::Raw(raw) => match raw.shape() {
                Some(Shape::Error(error)) => match parse_redis_value(error) {
                    Ok(Value::ServerError(error)) => return Err(refusal(self.command, &error)),
                    _ => None,
                },
                Some(Shape::Nil) => Some(Answer::Nil),
                Some(Shape::Integer(number)) => Some(Answer::Integer(number)),
                Some(Shape::Text(text)) => Some(Answer::Text(text)),
                Some(Shape::Array(elements)) => Some(Answer::Array(Items::Raw(elements))),
                None => None,
            },
            Source::Value(Value::ServerError(error)) => return Err(refusal(self.command, error)),
            Source::Value(Value::Int(number)) => Some(Answer::Integer(*number)),
            Source::Value(Value::Array(values)) => {
                Some(Answer::Array(Items::Values(values.iter())))
            }
            Source::Value(Value::Nil) => Some(Answer::Nil),
            Source::Value(Value::BulkString(bytes)) => Some(Answer::Text(bytes)),
            Source::Value(Value::SimpleString(text)) => Some(Answer::Text(text.as_bytes())),
            Source::Value(Value::Okay) => Some(Answer::Text(b"OK")),
            Source::Missing | Source::Value(_) => None,
        };
        answer.ok_or_else(|| self.unexpected())
    }

    /// The value as the `redis` crate has it, unless it is an error.
    pub(super) fn value(self) -> Result<&'a Value, ReplyError> {
        match self.source {
            Source::Value(Value::ServerError(error)) => Err(refusal(self.command, error)),
            Source::Value(value) => Ok(value),
            Source::Missing | Source::Raw(_) => Err(self.unexpected()),
        }
    }

    /// Nothing more than that the command was not refused.
    pub(super) fn accepted(self) -> Result<(), ReplyError> {
        self.answer().map(|_any| ())
    }

    /// A list of anything.
    pub(super) fn items(self) -> Result<Items<'a>, ReplyError> {
        match self.answer()? {
            Answer::Array(items) => Ok(items),
            Answer::Nil | Answer::Integer(_) | Answer::Text(_) => Err(self.unexpected()),
        }
    }

    /// A whole number.
    pub(super) fn integer(self) -> Result<i64, ReplyError> {
        match self.answer()? {
            Answer::Integer(number) => Ok(number),
            Answer::Nil | Answer::Text(_) | Answer::Array(_) => Err(self.unexpected()),
        }
    }

    /// A count: a whole number that is not negative.
    pub(super) fn count(self) -> Result<u64, ReplyError> {
        u64::try_from(self.integer()?).map_err(|_negative| self.unexpected())
    }

    /// Text, or nothing.
    pub(super) fn text(self) -> Result<Option<&'a [u8]>, ReplyError> {
        match self.answer()? {
            Answer::Text(text) => Ok(Some(text)),
            Answer::Nil => Ok(None),
            Answer::Integer(_) | Answer::Array(_) => Err(self.unexpected()),
        }
    }

    /// A list of texts, each of which may be missing.
    pub(super) fn texts(self) -> Result<Vec<Option<&'a [u8]>>, ReplyError> {
        let text = |source| Self::of(self.command, source).text();
        let texts = self.items()?.map(text).collect::<Result<_, _>>();
        texts.map_err(|_refused_within| self.unexpected())
    }

    /// Members of a sorted set with their scores.
    pub(super) fn scored_members(self) -> Result<Vec<(&'a [u8], f64)>, ReplyError> {
        let texts = self.texts()?;
        let mut texts = texts.into_iter().flatten();
        let mut members = Vec::with_capacity(texts.size_hint().1.unwrap_or_default() / 2);
        while let (Some(member), Some(score)) = (texts.next(), texts.next()) {
            let score = number(score).ok_or_else(|| self.unexpected())?;
            members.push((member, score));
        }
        Ok(members)
    }

    /// The first member of a sorted set with its score, or nothing.
    pub(super) fn scored_member(self) -> Result<Option<(&'a [u8], f64)>, ReplyError> {
        Ok(self.scored_members()?.into_iter().next())
    }
}

/// A number that Redis wrote as text.
pub(super) fn number<T: FromStr>(text: &[u8]) -> Option<T> {
    str::from_utf8(text).ok()?.parse().ok()
}

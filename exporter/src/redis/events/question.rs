//! What is asked about a batch of streams, and the answers, sorted by stream.

use super::super::connection::Connection;
use super::super::link_error::LinkError;
use super::super::reply::{Reply, ReplyError, Source};
use super::super::wire::{Commands, Replies};
use super::as_number;
use super::entry::entries;
use super::position::{EntryId, StreamFacts};

/// Whether there is a stream, and what Redis says of it.
#[derive(Debug)]
pub(super) enum Existence {
    Stream(StreamFacts),
    Nothing,
}

/// What Redis answered about one stream.
#[derive(Debug, Default)]
pub(super) struct Answer<'a> {
    /// The new entries, if there are any.
    pub(super) new: Option<Source<'a>>,
    /// Whether the entry that was read last is gone.
    pub(super) gap: bool,
    /// What Redis says of the stream, if it was asked.
    pub(super) told: Option<Existence>,
    pub(super) problem: Option<ReplyError>,
}

/// A stream of a batch that is asked about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    /// Its place in the batch.
    pub(super) place: usize,
    pub(super) key: &'a str,
    /// The entry that was read last.
    pub(super) last: EntryId,
}

/// Asks for what is new in some streams, those together that one command may ask, and for what Redis says of others.
pub(super) async fn ask(
    connection: &Connection,
    asked: &[Vec<Asked<'_>>],
    compared: &[Asked<'_>],
    count: usize,
) -> Result<Replies, LinkError> {
    let mut commands = Commands::default();
    for together in asked {
        let command = commands.cmd("XREAD").arg("COUNT").arg(as_number(count));
        command.arg("STREAMS");
        for stream in together {
            command.arg(stream.key);
        }
        for stream in together {
            command.arg(stream.last.to_string().as_str());
        }
    }
    // After XREAD: where that came to the end of a stream, Redis speaks of the same end.
    for stream in compared {
        commands.cmd("XINFO").arg("STREAM").arg(stream.key);
    }
    connection.ask(commands).await
}

/// Sorts what `ask` was answered by stream, and returns the streams of which nothing was told because the command was refused.
pub(super) fn take_answers<'a, 'k>(
    replies: &'a Replies,
    asked: &[Vec<Asked<'k>>],
    compared: &[Asked<'_>],
    answers: &mut [Answer<'a>],
) -> Vec<Vec<Asked<'k>>> {
    let mut refused = Vec::new();
    for (index, together) in asked.iter().enumerate() {
        if take_new(replies.get(index).into(), together, answers).is_err() {
            refused.extend(together.iter().map(|stream| vec![*stream]));
        }
    }
    for (index, stream) in (asked.len()..).zip(compared) {
        if let Some(answer) = answers.get_mut(stream.place) {
            match existence(replies.get(index).into()) {
                Ok(told) => answer.told = Some(told),
                Err(problem) => answer.problem = Some(problem),
            }
        }
    }
    refused
}

/// Sorts what was answered about streams that were asked alone.
pub(super) fn take_refusals<'a>(
    replies: &'a Replies,
    asked: &[Vec<Asked<'_>>],
    answers: &mut [Answer<'a>],
) {
    for (index, alone) in asked.iter().enumerate() {
        if let Err(problem) = take_new(replies.get(index).into(), alone, answers)
            && let Some(stream) = alone.first()
            && let Some(answer) = answers.get_mut(stream.place)
        {
            answer.problem = Some(problem);
        }
    }
}

/// Sorts the reply to XREAD by stream. Streams without new entries are not in it.
///
/// # Errors
/// When it is no list of streams, nor nothing.
fn take_new<'a>(
    reply: Source<'a>,
    asked: &[Asked<'_>],
    answers: &mut [Answer<'a>],
) -> Result<(), ReplyError> {
    const COMMAND: &str = "XREAD";
    let reply = Reply::of(COMMAND, reply);
    if reply.text() == Ok(None) {
        return Ok(());
    }
    let mut asked = asked.iter();
    for stream in reply.items()? {
        let Ok(mut parts) = Reply::of(COMMAND, stream).items() else {
            continue;
        };
        let (Some(key), Some(new)) = (parts.next(), parts.next()) else {
            continue;
        };
        let Ok(Some(key)) = Reply::of(COMMAND, key).text() else {
            continue;
        };
        // In the order in which they were asked, as far as they are there.
        let stream = asked.find(|asked| asked.key.as_bytes() == key);
        if let Some(answer) = stream.and_then(|stream| answers.get_mut(stream.place)) {
            answer.new = Some(new);
        }
    }
    Ok(())
}

/// Finds out of the streams that have something new whether the entry is still there that was read last.
pub(super) async fn prove<'a>(
    connection: &Connection,
    asked: impl Iterator<Item = &'a Asked<'a>>,
    answers: &mut [Answer<'_>],
) -> Result<(), LinkError> {
    let read = asked.filter(|stream| {
        let answer = answers.get(stream.place);
        answer.is_some_and(|answer| answer.new.is_some()) && stream.last != EntryId::default()
    });
    let read: Vec<_> = read.collect();
    let mut commands = Commands::default();
    for stream in &read {
        let last = stream.last.to_string();
        let command = commands.cmd("XRANGE").arg(stream.key);
        command.arg([last.as_str(); 2]).arg("COUNT").arg(1_u64);
    }
    let replies = connection.ask(commands).await?;
    for (index, stream) in read.into_iter().enumerate() {
        let Some(answer) = answers.get_mut(stream.place) else {
            continue;
        };
        match entries("XRANGE", replies.get(index).into()) {
            Ok(entries) => answer.gap = entries.is_empty(),
            Err(problem) => {
                // Without this proof nothing that was read can be relied on.
                answer.new = None;
                answer.problem = Some(problem);
            }
        }
    }
    Ok(())
}

/// Reads the reply to XINFO STREAM.
fn existence(source: Source<'_>) -> Result<Existence, ReplyError> {
    const COMMAND: &str = "XINFO STREAM";
    let reply = |source| Reply::of(COMMAND, source);
    let mut fields = match reply(source).items() {
        Ok(fields) => fields,
        Err(ReplyError::Refused { message, .. }) if message.contains("no such key") => {
            return Ok(Existence::Nothing);
        }
        Err(problem) => return Err(problem),
    };
    let (mut last, mut length, mut added) = (None, None, None);
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let field = match reply(name).text() {
            Ok(Some(b"last-generated-id")) => &mut last,
            Ok(Some(b"length")) => &mut length,
            Ok(Some(b"entries-added")) => &mut added,
            _ => continue,
        };
        *field = Some(reply(value));
    }
    let unexpected = || ReplyError::Unexpected { command: COMMAND };
    let last = last.ok_or_else(unexpected)?.text()?;
    Ok(Existence::Stream(StreamFacts {
        last: last.and_then(EntryId::parse).ok_or_else(unexpected)?,
        length: length.ok_or_else(unexpected)?.count()?,
        added: added.map(Reply::count).transpose()?,
    }))
}

//! The queues that were probably meant by one that is not there.

use std::fmt::Write as _;

use crate::workload::Queue;

/// How many names are proposed, or listed where none is near.
const PROPOSED: usize = 3;

/// A queue that some exporter tells of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Known<'o> {
    pub(super) redis: &'o str,
    pub(super) prefix: &'o str,
    pub(super) name: &'o str,
}

/// What to write instead of a queue that is not there, in a sentence.
pub(super) fn proposal(queue: &Queue, known: &[Known<'_>]) -> String {
    let here = |known: &&Known<'_>| known.redis == queue.redis && known.prefix == queue.prefix;
    let elsewhere: Vec<_> = known
        .iter()
        .filter(|known| known.name == queue.name && !here(known))
        .collect();
    if !elsewhere.is_empty() {
        let places = elsewhere
            .iter()
            .take(PROPOSED)
            .map(|known| written(known, queue));
        return format!("it is there as {}", joined(places));
    }
    let mut near: Vec<(usize, &Known<'_>)> = known
        .iter()
        .filter_map(|known| Some((distance(&queue.name, known)?, known)))
        .collect();
    // The same prefix and Redis first, then the nearest.
    near.sort_by_key(|(distance, known)| (!here(known), *distance, (*known).clone()));
    if !near.is_empty() {
        let places = near
            .iter()
            .take(PROPOSED)
            .map(|(_, known)| written(known, queue));
        return format!("did you mean {}?", joined(places));
    }
    let same: Vec<_> = known.iter().filter(here).collect();
    let (those, of) = if same.is_empty() {
        (known.iter().collect::<Vec<_>>(), "")
    } else {
        (same, " of this prefix")
    };
    if those.is_empty() {
        return "no exporter tells of any queue; a queue is there from its first job on".to_owned();
    }
    let more = those.len().saturating_sub(PROPOSED);
    let listed = joined(
        those
            .iter()
            .take(PROPOSED)
            .map(|known| written(known, queue)),
    );
    let rest = if more == 0 {
        String::new()
    } else {
        format!(", and {more} more")
    };
    format!("there are{of}: {listed}{rest}; a queue is there from its first job on")
}

/// How a spec names a queue: with no more than what differs from the one that was written.
fn written(known: &Known<'_>, instead_of: &Queue) -> String {
    let mut text = known.name.escape_debug().to_string();
    if known.prefix != instead_of.prefix || known.redis != instead_of.redis {
        text = format!("{{name: {text:?}, prefix: {:?}", known.prefix);
        if known.redis != instead_of.redis {
            // Writing to a String cannot fail.
            let _ = write!(text, ", redis: {:?}", known.redis);
        }
        text.push('}');
    }
    format!("`{text}`")
}

fn joined(names: impl Iterator<Item = String>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

/// How far a name is from the one that was written, if it is near at all: by spelling, or because the key's other parts, or the braces of
/// a hash tag, were written with it.
fn distance(written: &str, known: &Known<'_>) -> Option<usize> {
    let folded = |text: &str| {
        text.chars()
            .filter(|c| !matches!(c, '_' | '-' | '{' | '}' | '.' | ' '))
            .flat_map(char::to_lowercase)
            .collect::<String>()
    };
    let key = format!("{}:{}", known.prefix, known.name);
    if written == key
        || written
            .strip_prefix(&key)
            .is_some_and(|rest| rest.starts_with(':'))
    {
        return Some(0);
    }
    let (name, other) = (folded(written), folded(known.name));
    let distance = strsim::damerau_levenshtein(&name, &other);
    let longer = name.chars().count().max(other.chars().count());
    let part = name.chars().count().min(other.chars().count()) >= 4
        && (name.contains(&other) || other.contains(&name));
    (distance <= longer / 3 || part).then_some(distance)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_queue_that_was_meant_is_proposed() {
        let known = [
            Known {
                redis: "default",
                prefix: "bull",
                name: "email",
            },
            Known {
                redis: "default",
                prefix: "bull",
                name: "email-out",
            },
            Known {
                redis: "default",
                prefix: "bull",
                name: "jobs",
            },
            Known {
                redis: "default",
                prefix: "{app}",
                name: "sms",
            },
            Known {
                redis: "main",
                prefix: "bull",
                name: "Video Encode",
            },
        ];
        for (redis, prefix, name, expected) in [
            ("default", "bull", "emial", "did you mean `email`?"),
            ("default", "bull", "bull:email", "did you mean `email`?"),
            (
                "default",
                "bull",
                "bull:email:wait",
                "did you mean `email`?",
            ),
            (
                "default",
                "bull",
                "sms",
                "it is there as `{name: \"sms\", prefix: \"{app}\"}`",
            ),
            (
                "other",
                "bull",
                "jobs",
                "it is there as `{name: \"jobs\", prefix: \"bull\", redis: \"default\"}`",
            ),
            (
                "default",
                "bull",
                "video-encode",
                "did you mean `{name: \"Video Encode\", prefix: \"bull\", redis: \"main\"}`?",
            ),
            (
                "default",
                "bull",
                "default",
                "there are of this prefix: `email`, `email-out`, `jobs`; a queue is there from its first job on",
            ),
            (
                "default",
                "nosuch",
                "zzz",
                "there are: `{name: \"email\", prefix: \"bull\"}`, `{name: \"email-out\", prefix: \"bull\"}`, `{name: \"jobs\", prefix: \"bull\"}`, and 2 more; a queue is there from its first job on",
            ),
        ] {
            let queue = Queue {
                redis: redis.to_owned(),
                prefix: prefix.to_owned(),
                name: name.to_owned(),
                optional: false,
            };
            assert_eq!(proposal(&queue, &known), expected, "{name}");
        }
    }
}

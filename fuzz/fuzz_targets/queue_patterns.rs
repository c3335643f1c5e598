//! A pattern of names matches what a slow and simple reader of patterns says, and can be printed and read again.
#![no_main]

use bullmq_exporter::queue_filter::Glob;
use bullmq_fuzz::texts;
use libfuzzer_sys::fuzz_target;

/// More than that takes the simple reader for ever.
const MOST: usize = 8;

fn simply(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], []) => true,
        ([], _) => false,
        (['*', rest @ ..], _) => {
            simply(rest, name) || (!name.is_empty() && simply(pattern, &name[1..]))
        }
        (['?', rest @ ..], [_, name @ ..]) => simply(rest, name),
        (['\\'], ['\\']) => true,
        (['\\', own, rest @ ..], [first, name @ ..]) => own == first && simply(rest, name),
        ([own, rest @ ..], [first, name @ ..]) => own == first && simply(rest, name),
        _ => false,
    }
}

fuzz_target!(|data: &[u8]| {
    // Longer ones take longer, and reach nothing else.
    let Some([pattern, name]) = texts(data).filter(|_| data.len() <= 256) else {
        return;
    };
    let glob = Glob::new(pattern);
    assert_eq!(Glob::new(&glob.pattern()), glob);
    if let Some(literal) = glob.literal() {
        assert!(glob.matches(&literal));
        assert_eq!(glob.matches(name), name == literal);
    }
    let (pattern, named): (Vec<char>, Vec<char>) =
        (pattern.chars().collect(), name.chars().collect());
    if pattern.len() <= MOST && named.len() <= 2 * MOST {
        assert_eq!(glob.matches(name), simply(&pattern, &named));
    }
});

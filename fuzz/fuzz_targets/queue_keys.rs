//! A queue of any prefix and name is found again by its keys, and a text that is escaped for SCAN is matched by that pattern only.
#![no_main]

use bullmq_exporter::fuzzing::redis;
use bullmq_fuzz::{queue, texts};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Some([prefix, name, key]) = texts(data) else {
        return;
    };
    for witness in redis::witnesses(&queue(prefix, name)) {
        let found = redis::witnessed(&witness, prefix);
        let nameable = !name.is_empty() && !name.starts_with(':');
        assert_eq!(found, nameable.then_some(name), "{witness:?}");
    }
    if let Some(found) = redis::witnessed(key, prefix) {
        assert!(
            redis::witnesses(&queue(prefix, found))
                .iter()
                .any(|witness| witness == key)
        );
    }
    let [pattern, literal] = redis::patterns(prefix);
    assert!(pattern.starts_with(&literal));
    // Every other backslash is one that is escaped, or escapes.
    let mut plain = String::new();
    let mut characters = literal.chars();
    while let Some(character) = characters.next() {
        assert!(!matches!(character, '*' | '?' | '[' | ']'));
        plain.extend(if character == '\\' {
            characters.next()
        } else {
            Some(character)
        });
    }
    assert_eq!(plain, prefix);
});

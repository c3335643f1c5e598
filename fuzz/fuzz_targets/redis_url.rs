//! Whatever is written for a URL: it is read or told, and a password is in nothing that is shown.
#![no_main]

use bullmq_exporter::fuzzing::config;
use bullmq_fuzz::texts;
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "hunter2SECRET";

fuzz_target!(|data: &[u8]| {
    let Some([before, after]) = texts(data) else {
        return;
    };
    if before.contains("hunter2") || after.contains("hunter2") {
        return;
    }
    // `redis://user:SECRET@host`, where the two texts are what stands before and behind the password.
    let url = format!("{before}:{SECRET}@{after}");
    assert!(!config::without_credentials(&url).contains(SECRET), "{url}");
    match config::redis_url(&url) {
        Ok(endpoint) => {
            let shown = format!("{endpoint} {endpoint:?}");
            assert!(!shown.contains(SECRET), "{shown}");
        }
        Err(sentence) => assert!(!sentence.contains(SECRET), "{sentence}"),
    }
    if let Ok(endpoint) = config::redis_url(before) {
        assert_eq!(config::redis_url(before), Ok(endpoint));
    }
});

//! Whatever stands in a web configuration: it is read or told with its place, and no message shows a hash or a key.
#![no_main]

use std::path::Path;

use bullmq_exporter::fuzzing::http;
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "hunter2SECRET";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    // A file that is named would be read.
    if text.contains("_file") || text.contains("hunter2") || text.contains('\\') {
        return;
    }
    let line = format!("basic_auth_users: {{alice: '{SECRET}'}}");
    let written: Vec<&str> = text
        .split('\n')
        .map(|own| if own == "@" { line.as_str() } else { own })
        .collect();
    if let Err(sentence) = http::web_config(Path::new("web.yml"), &written.join("\n")) {
        assert!(!sentence.contains(SECRET), "{sentence}");
    }
});

//! Whatever stands in a file of servers: it is read or told with its place, and no message shows a value that may be a secret.
#![no_main]

use std::collections::HashSet;
use std::path::Path;

use bullmq_exporter::fuzzing::config;
use libfuzzer_sys::fuzz_target;

const SECRET: &str = "hunter2SECRET";

fuzz_target!(|data: &[u8]| {
    let Ok(text) = str::from_utf8(data) else {
        return;
    };
    if text.contains("hunter2") {
        return;
    }
    // Where the file has a line with only `@`, there is a server with a password in its URL.
    let line = format!("  - {{name: main, url: 'redis://user:{SECRET}@host'}}");
    let written: Vec<&str> = text
        .split('\n')
        .map(|own| if own == "@" { line.as_str() } else { own })
        .collect();
    match config::file(Path::new("exporter.yml"), &written.join("\n")) {
        Ok(servers) => {
            let mut names = HashSet::new();
            assert!(!servers.is_empty());
            for (name, printed) in &servers {
                assert!(!name.is_empty() && names.insert(name));
                assert!(!printed.contains(SECRET), "{printed}");
            }
        }
        Err(sentence) => {
            assert!(!sentence.contains(SECRET), "{sentence}");
            assert!(sentence.contains("exporter.yml:"), "{sentence}");
        }
    }
});

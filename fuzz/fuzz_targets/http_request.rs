//! Whatever a client asks for: a query string is read or told, and a link to the same asks for the same; headers decide within their bounds.
#![no_main]

use std::time::Duration;

use bullmq_exporter::fuzzing::http;
use hyper::header::{ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let parts: Vec<&[u8]> = data.splitn(5, |byte| *byte == b'\n').collect();
    let [query, accept, encoding, authorization, timeout] = parts.as_slice() else {
        return;
    };

    if let Ok(query) = str::from_utf8(query) {
        match http::listing(Some(query)) {
            Ok(asked) => {
                assert!((1..=asked.most).contains(&asked.limit));
                for link in &asked.links {
                    let again = http::listing(link.strip_prefix('?').or(Some(link)));
                    let again = again.expect("our own links are read");
                    assert_eq!(again.printed, asked.printed, "{link}");
                    assert!(
                        link.is_ascii() && !link.contains(['"', '<', '>', ' ']),
                        "{link}"
                    );
                }
            }
            Err(sentence) => {
                assert!(!sentence.is_empty() && sentence.len() < 4096 + 8 * query.len())
            }
        }
    }

    let mut headers = HeaderMap::new();
    let mut put = |name: HeaderName, value: &[u8]| {
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    };
    put(ACCEPT, accept);
    put(ACCEPT_ENCODING, encoding);
    put(AUTHORIZATION, authorization);
    let (format, gzip) = http::negotiate(&headers);
    let names = |header: HeaderName, word: &str| {
        let mut all = headers.get_all(header).iter();
        all.any(|value| {
            value
                .to_str()
                .is_ok_and(|text| text.to_ascii_lowercase().contains(word))
        })
    };
    // Nobody gets what they did not name.
    assert!(!format.content_type().contains("openmetrics") || names(ACCEPT, "openmetrics"));
    assert!(!gzip || names(ACCEPT_ENCODING, "gzip") || names(ACCEPT_ENCODING, "*"));
    if let Some((name, _)) = http::credentials(&headers) {
        assert!(!name.contains(':'));
    }
    if let Ok(said) = HeaderValue::from_bytes(timeout) {
        let longest = Duration::from_secs(10);
        let patience = http::patience(&said, longest);
        assert!(patience <= longest);
        let number = said.to_str().ok().and_then(|text| text.parse::<f64>().ok());
        let said = number.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
        if let Some(said) = said.filter(|said| !said.is_zero()) {
            assert!(patience <= said, "{patience:?} of {said:?}");
        }
    }
});

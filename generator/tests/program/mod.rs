//! The program as the tests of its verbs run it.

use std::ffi::OsStr;
use std::io::{self, Write as _};
use std::process::{Command, Output, Stdio};

/// Runs one verb of the program, with a text on its standard input.
pub(crate) fn program<A: AsRef<OsStr>>(
    verb: &str,
    args: &[A],
    stdin: &str,
    locale: &str,
) -> io::Result<Output> {
    let mut child = Command::new(env!("CARGO_BIN_EXE_bullmq-keda"))
        .arg(verb)
        .args(args)
        .env_remove("LC_CTYPE")
        .env_remove("LANG")
        .env("LC_ALL", locale)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    if let Some(mut input) = child.stdin.take() {
        // A program that ends before it reads is no failure of the test.
        let _ = input.write_all(stdin.as_bytes());
    }
    child.wait_with_output()
}

/// What a stream said.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

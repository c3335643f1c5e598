//! Who may ask: names and hashes of bcrypt, checked without giving away which of the two was wrong.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{AUTHORIZATION, HeaderMap};
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;

/// How many passwords are checked at once. Each keeps a processor busy for about a tenth of a second, by design of bcrypt.
const CHECKS_AT_ONCE: usize = 1;
/// How many right passwords are remembered. Each user has one; a few more for passwords that are being rotated.
const MOST_REMEMBERED: usize = 100;
/// What an unknown user's password is checked against, so that it takes as long as a known one's. It is the hash of nothing anybody
/// types: made from random bytes that were thrown away.
const NOBODY: &str = "$2b$10$NEVRQLIP/nqeqBK38kxYtuNvM8aAxsbbj5div0F32inUsXI2taTlq";

/// The users and what their passwords are hashed to.
pub(super) struct Users {
    hashes: HashMap<String, String>,
    /// Which passwords were right, each by two keyed hashes, so that the next scrape does not cost a tenth of a second of a processor.
    right: Mutex<HashSet<(u64, u64)>>,
    keys: (RandomState, RandomState),
    permits: Arc<Semaphore>,
}

impl Default for Users {
    fn default() -> Self {
        Self {
            hashes: HashMap::new(),
            right: Mutex::default(),
            keys: (RandomState::new(), RandomState::new()),
            permits: Arc::new(Semaphore::new(CHECKS_AT_ONCE)),
        }
    }
}

impl fmt::Debug for Users {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // A hash can be guessed at.
        f.debug_struct("Users").finish_non_exhaustive()
    }
}

impl Users {
    /// Adds a user; false if that is no hash of bcrypt.
    pub(super) fn add(&mut self, name: &str, hash: &str) -> bool {
        let readable = hash.parse::<bcrypt::HashParts>().is_ok();
        if readable {
            self.hashes.insert(name.to_owned(), hash.to_owned());
        }
        readable
    }

    /// Whether the headers name a user with the right password.
    pub(super) async fn let_in(&self, headers: &HeaderMap) -> bool {
        let Some((name, password)) = credentials(headers) else {
            return false;
        };
        let asked = (name.as_str(), password.as_str());
        let key = (self.keys.0.hash_one(asked), self.keys.1.hash_one(asked));
        if self.remembered(key) {
            return true;
        }
        let known = self.hashes.get(&name).cloned();
        let exists = known.is_some();
        let hash = known.unwrap_or_else(|| NOBODY.to_owned());
        let Ok(permit) = Arc::clone(&self.permits).acquire_owned().await else {
            return false;
        };
        let verified = spawn_blocking(move || {
            let verified = bcrypt::verify(password, &hash).unwrap_or(false);
            drop(permit);
            verified
        });
        let right = verified.await.unwrap_or(false) && exists;
        if right {
            self.remember(key);
        }
        right
    }

    fn remembered(&self, key: (u64, u64)) -> bool {
        let right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        right.contains(&key)
    }

    fn remember(&self, key: (u64, u64)) {
        let mut right = self.right.lock().unwrap_or_else(PoisonError::into_inner);
        if right.len() >= MOST_REMEMBERED {
            right.clear();
        }
        right.insert(key);
    }
}

/// The user and the password of a request, as <https://www.rfc-editor.org/rfc/rfc7617> has them.
pub(super) fn credentials(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderValue;

    #[tokio::test]
    async fn only_a_known_user_with_the_right_password_is_let_in() {
        let mut users = Users::default();
        assert!(users.add("prometheus", &bcrypt::hash("s3cret:x", 4).unwrap()));
        assert!(!users.add("other", "s3cret"));
        let basic = |text: &str| format!("Basic {}", STANDARD.encode(text));
        for (sentence, header, expected) in [
            ("nothing", String::new(), false),
            ("the right one", basic("prometheus:s3cret:x"), true),
            ("the right one again", basic("prometheus:s3cret:x"), true),
            (
                "in small letters",
                basic("prometheus:s3cret:x").replace("Basic", "basic"),
                true,
            ),
            ("a wrong password", basic("prometheus:s3cret"), false),
            ("an empty password", basic("prometheus:"), false),
            ("an unknown user", basic("somebody:s3cret:x"), false),
            ("no colon", basic("prometheus"), false),
            ("no base64", "Basic %%%".to_owned(), false),
            ("another scheme", "Bearer s3cret:x".to_owned(), false),
        ] {
            let mut headers = HeaderMap::new();
            if !header.is_empty() {
                headers.insert(AUTHORIZATION, HeaderValue::from_str(&header).unwrap());
            }
            assert_eq!(users.let_in(&headers).await, expected, "{sentence}");
        }
    }

    #[test]
    fn nobody_is_a_hash_like_any_other() {
        assert!(NOBODY.parse::<bcrypt::HashParts>().is_ok());
        assert!(!bcrypt::verify("", NOBODY).unwrap());
    }
}

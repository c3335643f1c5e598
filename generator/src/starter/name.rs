//! Names for workers, made of names of queues: what Kubernetes takes, each once.

use std::collections::HashSet;

/// The longest name of a worker, and room in it for a number that makes it unique.
const LONGEST: usize = 54;
const ROOM_FOR_A_NUMBER: usize = 7;

/// The names that were given so far.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<String>);

impl Names {
    /// A name that is the first of the candidates to be free, or else the first with a number.
    pub(super) fn give(&mut self, candidates: &[String]) -> String {
        let shaped: Vec<String> = candidates
            .iter()
            .map(|candidate| label(candidate))
            .collect();
        if let Some(free) = shaped.iter().find(|name| !self.0.contains(*name)) {
            self.0.insert(free.clone());
            return free.clone();
        }
        let base = shaped.first().map_or("queue", String::as_str);
        let base: String = base.chars().take(LONGEST - ROOM_FOR_A_NUMBER).collect();
        let base = base.trim_end_matches('-');
        let mut number = 2_u32;
        loop {
            let name = format!("{base}-{number}");
            if self.0.insert(name.clone()) {
                return name;
            }
            number = number.saturating_add(1);
        }
    }
}

/// Whether a worker can be called so as it stands.
pub(super) fn is_name(name: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    name.len() <= LONGEST
        && name.split('.').all(|part| {
            !part.is_empty()
                && part.bytes().all(inner)
                && !part.starts_with('-')
                && !part.ends_with('-')
        })
}

/// A DNS label made of any text: `Foo Bar:{x}` becomes `foo-bar-x`.
pub(super) fn label(text: &str) -> String {
    let mut label = String::new();
    let mut gap = false;
    for character in text.chars() {
        let character = character.to_ascii_lowercase();
        if character.is_ascii_lowercase() || character.is_ascii_digit() {
            if gap && !label.is_empty() {
                label.push('-');
            }
            label.push(character);
            gap = false;
        } else {
            gap = true;
        }
        if label.len() >= LONGEST - ROOM_FOR_A_NUMBER {
            break;
        }
    }
    if label.is_empty() {
        "queue".to_owned()
    } else {
        label
    }
}

/// Whether a name matches a pattern, in which `*` stands for any text and `?` for one character; `\` takes either literally.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    #[derive(PartialEq)]
    enum Token {
        Any,
        One,
        Is(char),
    }
    let mut tokens = Vec::new();
    let mut characters = pattern.chars();
    while let Some(character) = characters.next() {
        tokens.push(match character {
            '*' => Token::Any,
            '?' => Token::One,
            '\\' => Token::Is(characters.next().unwrap_or('\\')),
            character => Token::Is(character),
        });
    }
    // Which tokens may be reached, one character after the other.
    let mut reached = vec![false; tokens.len() + 1];
    let spread = |reached: &mut Vec<bool>| {
        for (index, token) in tokens.iter().enumerate() {
            if *token == Token::Any
                && reached.get(index) == Some(&true)
                && let Some(next) = reached.get_mut(index + 1)
            {
                *next = true;
            }
        }
    };
    if let Some(first) = reached.first_mut() {
        *first = true;
    }
    spread(&mut reached);
    for character in name.chars() {
        let mut next = vec![false; tokens.len() + 1];
        for (index, token) in tokens.iter().enumerate() {
            if reached.get(index) != Some(&true) {
                continue;
            }
            let to = match token {
                Token::Any => index,
                Token::Is(other) if *other != character => continue,
                Token::One | Token::Is(_) => index + 1,
            };
            if let Some(place) = next.get_mut(to) {
                *place = true;
            }
        }
        reached = next;
        spread(&mut reached);
    }
    reached.last() == Some(&true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_name_becomes_one_of_kubernetes() {
        for (text, expected) in [
            ("email", "email"),
            ("Foo Bar:{x}", "foo-bar-x"),
            ("{app}", "app"),
            ("--a__b--", "a-b"),
            ("äöü", "queue"),
            ("", "queue"),
            ("0123", "0123"),
            ("\u{0130}stanbul", "stanbul"),
        ] {
            assert_eq!(label(text), expected, "{text:?}");
        }
        assert_eq!(label(&"a".repeat(200)).len(), 47);
        assert_eq!(
            label(&format!("{} b", "a".repeat(46))),
            "a".repeat(46) + "-b"
        );
    }

    #[test]
    fn a_name_of_kubernetes_is_kept() {
        for (name, expected) in [
            ("n8n-worker", true),
            ("a.b", true),
            ("", false),
            ("a..b", false),
            ("A", false),
            ("-a", false),
        ] {
            assert_eq!(is_name(name), expected, "{name}");
        }
        assert!(!is_name(&"a".repeat(55)));
    }

    #[test]
    fn each_name_is_given_once() {
        let mut names = Names::default();
        let mut give = |candidates: &[&str]| {
            let candidates: Vec<String> = candidates.iter().map(|&name| name.to_owned()).collect();
            names.give(&candidates)
        };
        assert_eq!(give(&["email", "bull-email"]), "email");
        assert_eq!(give(&["Email", "app-email"]), "app-email");
        assert_eq!(give(&["email", "app-email"]), "email-2");
        assert_eq!(give(&["email"]), "email-3");
    }

    #[test]
    fn patterns_know_two_signs_and_an_escape() {
        for (pattern, name, expected) in [
            ("*", "", true),
            ("email", "email", true),
            ("email", "email2", false),
            ("e*l", "email", true),
            ("e*l", "emails", false),
            ("em?il", "emäil", true),
            ("*a*a*a*a*b", &"a".repeat(2000), false),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
            ("{x}", "{x}", true),
            ("", "a", false),
        ] {
            assert_eq!(matches(pattern, name), expected, "{pattern} {name:.20}");
        }
    }
}

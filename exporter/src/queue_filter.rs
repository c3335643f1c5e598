//! Which queues are meant: names, or patterns of names, and exceptions.

/// A name, or a pattern of names: `*` stands for any text, `?` for any one character, and a backslash takes either its meaning.
/// Everything else stands for itself, braces and brackets included.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob(Vec<Part>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Character(char),
    AnyCharacter,
    AnyText,
}

impl Glob {
    /// Reads a pattern. There is no wrong one: a backslash at the end stands for itself.
    pub fn new(pattern: &str) -> Self {
        let mut parts = Vec::new();
        let mut characters = pattern.chars();
        while let Some(character) = characters.next() {
            parts.push(match character {
                // Several in a row stand for no more than one.
                '*' if parts.last() == Some(&Part::AnyText) => continue,
                '*' => Part::AnyText,
                '?' => Part::AnyCharacter,
                '\\' => Part::Character(characters.next().unwrap_or('\\')),
                other => Part::Character(other),
            });
        }
        Self(parts)
    }

    /// The one name that it stands for, if it has no wildcard.
    pub fn literal(&self) -> Option<String> {
        let character = |part: &Part| match part {
            Part::Character(character) => Some(*character),
            Part::AnyCharacter | Part::AnyText => None,
        };
        self.0.iter().map(character).collect()
    }

    /// The pattern itself, in its shortest form.
    pub fn pattern(&self) -> String {
        let mut pattern = String::new();
        for part in &self.0 {
            match part {
                Part::AnyText => pattern.push('*'),
                Part::AnyCharacter => pattern.push('?'),
                Part::Character(character) => {
                    if matches!(character, '*' | '?' | '\\') {
                        pattern.push('\\');
                    }
                    pattern.push(*character);
                }
            }
        }
        pattern
    }

    /// Whether it stands for this name.
    pub fn matches(&self, name: &str) -> bool {
        // The places in the pattern that the characters so far can have led to. Bounded by the pattern's length, whatever
        // the name.
        let mut places = vec![false; self.0.len() + 1];
        self.reach(&mut places, 0);
        for character in name.chars() {
            let mut next = vec![false; places.len()];
            for (place, part) in self.0.iter().enumerate() {
                if !places.get(place).copied().unwrap_or(false) {
                    continue;
                }
                match part {
                    Part::Character(own) if *own != character => {}
                    Part::Character(_) | Part::AnyCharacter => self.reach(&mut next, place + 1),
                    Part::AnyText => self.reach(&mut next, place),
                }
            }
            places = next;
        }
        places.last().copied().unwrap_or(false)
    }

    /// Marks a place, and those behind it that need no character.
    fn reach(&self, places: &mut [bool], place: usize) {
        if let Some(reached) = places.get_mut(place) {
            *reached = true;
        }
        if self.0.get(place) == Some(&Part::AnyText) {
            self.reach(places, place + 1);
        }
    }
}

/// Which queues are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QueueFilter {
    /// The names and patterns that are meant; none means every queue.
    pub include: Vec<Glob>,
    /// The exceptions.
    pub exclude: Vec<Glob>,
}

impl QueueFilter {
    /// Whether a queue of this name is meant.
    pub fn takes(&self, name: &str) -> bool {
        let matches = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(name));
        (self.include.is_empty() || matches(&self.include)) && !matches(&self.exclude)
    }

    /// The queues that are named, and so are expected to exist.
    pub fn named(&self) -> Vec<String> {
        let names = self.include.iter().filter_map(Glob::literal);
        names.filter(|name| self.takes(name)).collect()
    }

    /// Whether queues have to be looked for, because not every one that is meant is named.
    pub fn needs_search(&self) -> bool {
        self.include.is_empty() || self.include.iter().any(|glob| glob.literal().is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_is_told_so_that_it_can_be_read_again() {
        for (pattern, expected) in [
            ("email", "email"),
            ("tmp-**-?", "tmp-*-?"),
            (r"a\*\?\\\b", r"a\*\?\\b"),
            ("\\", r"\\"),
        ] {
            let glob = Glob::new(pattern);
            assert_eq!(glob.pattern(), expected);
            assert_eq!(Glob::new(&glob.pattern()), glob);
        }
    }

    #[test]
    fn a_pattern_matches_what_its_wildcards_allow() {
        for (pattern, name, expected) in [
            ("email", "email", true),
            ("email", "emails", false),
            ("email", "Email", false),
            ("*", "", true),
            ("*", "anything at all", true),
            ("billing-*", "billing-eu", true),
            ("billing-*", "billing", false),
            ("*-eu-*", "billing-eu-1", true),
            ("a*a*a", "aa", false),
            ("a*a*a", "abaca", true),
            ("?", "é", true),
            ("?", "", false),
            ("queue-?", "queue-10", false),
            (r"a\*b", "a*b", true),
            (r"a\*b", "axb", false),
            (r"a\\b", r"a\b", true),
            (r"a\", r"a\", true),
            ("{a,b}", "{a,b}", true),
            ("{a,b}", "a", false),
            ("[ab]", "a", false),
        ] {
            assert_eq!(
                Glob::new(pattern).matches(name),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn a_pattern_that_would_take_a_backtracking_matcher_for_ever_is_decided_at_once() {
        let pattern = "*a".repeat(200);
        assert!(!Glob::new(&pattern).matches(&"a".repeat(199)));
        assert!(Glob::new(&pattern).matches(&"a".repeat(300)));
    }

    #[test]
    fn exceptions_win_and_names_need_no_search() {
        let filter = |include: &[&str], exclude: &[&str]| QueueFilter {
            include: include.iter().map(|pattern| Glob::new(pattern)).collect(),
            exclude: exclude.iter().map(|pattern| Glob::new(pattern)).collect(),
        };
        let all = filter(&[], &["tmp-*"]);
        assert!(all.takes("email") && !all.takes("tmp-1") && all.needs_search());
        let named = filter(&["email", r"we\*ird", "tmp-1"], &["tmp-*"]);
        assert_eq!(named.named(), ["email", "we*ird"]);
        assert!(!named.needs_search() && !named.takes("sms"));
        let mixed = filter(&["email", "billing-*"], &[]);
        assert!(mixed.needs_search() && mixed.takes("billing-eu") && !mixed.takes("sms"));
        assert_eq!(mixed.named(), ["email"]);
    }
}

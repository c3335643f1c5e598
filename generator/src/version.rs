//! Versions of KEDA and of Kubernetes, which decide what a manifest may use.

use std::fmt;
use std::str::FromStr;

/// A version of KEDA or of Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// A version of three numbers.
    pub const fn new(major: u32, minor: u32, patch: u32) -> Self {
        Self {
            major,
            minor,
            patch,
        }
    }
}

/// Why a text is no version.
#[derive(Debug, thiserror::Error)]
#[error("write a version of two or three numbers, such as 2.20 or 2.20.2")]
pub struct NotAVersion;

impl FromStr for Version {
    type Err = NotAVersion;

    fn from_str(text: &str) -> Result<Self, NotAVersion> {
        let mut parts = text.strip_prefix('v').unwrap_or(text).splitn(3, '.');
        let mut next = || match parts.next() {
            Some(part) if part.bytes().all(|b| b.is_ascii_digit()) => part.parse().ok().map(Some),
            Some(_) => None,
            None => Some(None),
        };
        let (major, minor, patch) = (next(), next(), next());
        match (major.flatten(), minor.flatten(), patch) {
            // A minor version alone means its last patch: nobody targets the first one for long.
            (Some(major), Some(minor), Some(patch)) => {
                Ok(Self::new(major, minor, patch.unwrap_or(u32::MAX)))
            }
            _ => Err(NotAVersion),
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)?;
        match self.patch {
            0 | u32::MAX => Ok(()),
            patch => write!(f, ".{patch}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_has_two_or_three_numbers() {
        for (text, expected) in [
            ("2.20.2", Some(Version::new(2, 20, 2))),
            ("v2.20.2", Some(Version::new(2, 20, 2))),
            ("2.20", Some(Version::new(2, 20, u32::MAX))),
            ("2", None),
            ("", None),
            ("2.x", None),
            ("2.20.2.1", None),
            ("2..1", None),
            ("99999999999.1", None),
        ] {
            assert_eq!(text.parse::<Version>().ok(), expected, "{text}");
        }
    }

    #[test]
    fn a_minor_version_alone_reads_as_it_was_written() {
        assert_eq!("2.20".parse::<Version>().unwrap().to_string(), "2.20");
        assert_eq!(Version::new(2, 17, 0).to_string(), "2.17");
        assert_eq!(Version::new(2, 20, 2).to_string(), "2.20.2");
    }
}

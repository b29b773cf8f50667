//! The name of a cluster: one DNS label, its subdomain.

use std::fmt;
use std::sync::Arc;

use thiserror::Error;

/// Names that would mislead people or programs, which look for their proxy, mail or
/// own machine under some of them, or that the platform needs for itself.
const RESERVED: &[&str] = &[
    "account",
    "admin",
    "api",
    "app",
    "auth",
    "autoconfig",
    "autodiscover",
    "cluster",
    "clusters",
    "console",
    "dashboard",
    "help",
    "internal",
    "isatap",
    "localhost",
    "login",
    "logout",
    "mail",
    "mta-sts",
    "oauth",
    "pages",
    "root",
    "security",
    "sso",
    "static",
    "status",
    "support",
    "system",
    "tunnel",
    "wpad",
    "www",
];

/// A cluster's name: 1 to 63 of `a-z`, `0-9` and `-`, neither first nor last a
/// hyphen, not reserved, not in punycode form. Cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ClusterName(Arc<str>);

/// Why a text is no cluster name.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum ClusterNameError {
    /// Not a DNS label in lower case.
    #[error("{0:?} is not a DNS label: use 1 to 63 of a-z, 0-9 and -, with no - at either end")]
    NotALabel(String),
    /// `xn--` labels show as other characters in browsers.
    #[error("{0:?} starts with xn--, which browsers show as other characters: use another name")]
    Punycode(String),
    /// On the list of misleading names.
    #[error("{0:?} is reserved: use another name")]
    Reserved(String),
}

impl ClusterName {
    /// Checks a name.
    ///
    /// # Errors
    /// [`ClusterNameError`] says which rule it breaks.
    pub fn parse(text: &str) -> Result<Self, ClusterNameError> {
        let bytes = text.as_bytes();
        let edge = |b: Option<&u8>| b.is_some_and(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
        let label = bytes.len() <= 63
            && edge(bytes.first())
            && edge(bytes.last())
            && bytes.iter().all(|b| edge(Some(b)) || *b == b'-');
        if !label {
            let shown: String = text.chars().take(80).collect();
            return Err(ClusterNameError::NotALabel(shown));
        }
        if text.starts_with("xn--") {
            return Err(ClusterNameError::Punycode(text.to_owned()));
        }
        if RESERVED.contains(&text) {
            return Err(ClusterNameError::Reserved(text.to_owned()));
        }
        Ok(Self(text.into()))
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_only() {
        for good in ["a", "prod", "eu-west-1", "0", "a--b", &"a".repeat(63)] {
            assert_eq!(ClusterName::parse(good).unwrap().as_str(), good);
        }
        for bad in [
            "",
            "-a",
            "a-",
            "A",
            "a.b",
            "a_b",
            "ä",
            "a/b",
            "a%2e",
            &"a".repeat(64),
        ] {
            assert!(
                matches!(ClusterName::parse(bad), Err(ClusterNameError::NotALabel(_))),
                "{bad}"
            );
        }
        for reserved in [
            "www",
            "wpad",
            "autodiscover",
            "mta-sts",
            "isatap",
            "localhost",
        ] {
            assert!(
                matches!(
                    ClusterName::parse(reserved),
                    Err(ClusterNameError::Reserved(_))
                ),
                "{reserved}"
            );
        }
        assert!(matches!(
            ClusterName::parse("xn--80ak6aa92e"),
            Err(ClusterNameError::Punycode(_))
        ));
    }

    #[test]
    fn an_error_never_repeats_a_huge_input() {
        let error = ClusterName::parse(&"x".repeat(1_000_000)).unwrap_err();
        assert!(error.to_string().len() < 200);
    }
}

//! An image's name and tag.

use std::fmt;
use std::str::FromStr;

use crate::Error;

/// An image's name and tag, like `example/tool:1.0`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    name: String,
    tag: String,
}

impl Reference {
    /// The tag.
    #[must_use]
    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// With the registry spelled out, as containerd keeps images:
    /// `docker.io/example/tool:1.0`.
    #[must_use]
    pub fn full(&self) -> String {
        let (first, more) = self.name.split_once('/').unwrap_or((&self.name, ""));
        if more.is_empty() {
            format!("docker.io/library/{self}")
        } else if first.contains(['.', ':']) || first == "localhost" {
            self.to_string()
        } else {
            format!("docker.io/{self}")
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.name, self.tag)
    }
}

impl FromStr for Reference {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        text.rsplit_once(':')
            .filter(|(name, tag)| is_name(name) && is_tag(tag))
            .map(|(name, tag)| Self {
                name: name.to_owned(),
                tag: tag.to_owned(),
            })
            .ok_or_else(|| Error::Reference(text.to_owned()))
    }
}

/// Folders in lower case; the first may be a registry's host and port.
fn is_name(name: &str) -> bool {
    let (first, rest) = match name.split_once('/') {
        Some((first, rest)) => (Some(first), rest),
        None => (None, name),
    };
    first.is_none_or(|first| is_host(first) || is_folder(first)) && rest.split('/').all(is_folder)
}

fn is_host(host: &str) -> bool {
    let (host, port) = host.split_once(':').unwrap_or((host, "0"));
    !host.is_empty()
        && host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
        && !port.is_empty()
        && port.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_folder(folder: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = folder.as_bytes();
    bytes.first().is_some_and(alphanumeric)
        && bytes.last().is_some_and(alphanumeric)
        && bytes
            .iter()
            .all(|byte| alphanumeric(byte) || matches!(byte, b'.' | b'-' | b'_'))
}

fn is_tag(tag: &str) -> bool {
    let bytes = tag.as_bytes();
    let word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    bytes.len() <= 128
        && bytes.first().is_some_and(word)
        && bytes
            .iter()
            .all(|byte| word(byte) || matches!(byte, b'.' | b'-'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn full(text: &str) -> String {
        text.parse::<Reference>().unwrap().full()
    }

    #[test]
    fn the_registry_is_spelled_out() {
        assert_eq!(full("busybox:1"), "docker.io/library/busybox:1");
        assert_eq!(full("example/tool:1.0"), "docker.io/example/tool:1.0");
        assert_eq!(full("localhost/tool:1"), "localhost/tool:1");
        assert_eq!(full("k8s.io/a/b:v1"), "k8s.io/a/b:v1");
        assert_eq!(full("localhost:5000/tool:1"), "localhost:5000/tool:1");
    }

    #[test]
    fn what_engines_refuse_is_refused() {
        for text in [
            "",
            "tool",
            "tool:",
            ":1",
            "Tool:1",
            "a//b:1",
            "/a:1",
            "a/:1",
            "a:1/b",
            "-a:1",
            "a:-1",
            "a b:1",
            "a@sha256:00:1",
            "localhost:x/tool:1",
        ] {
            assert!(text.parse::<Reference>().is_err(), "{text:?}");
        }
    }
}

//! The hash of a public key that a certificate is to have.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE64;
use sha2::{Digest, Sha256};
use thiserror::Error;

/// Before the hash, as curl and as OkHttp write it.
const PREFIXES: [&str; 2] = ["sha256//", "sha256/"];

/// The SHA-256 of a certificate's subject public key info, as of RFC 7469. Shown as curl
/// takes it, `sha256//` and base64.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pin([u8; 32]);

/// A text that is no pin.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "no pin; give the SHA-256 of a certificate's public key in base64, like \
     sha256//47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="
)]
pub struct PinError;

impl Pin {
    /// Of a subject public key info, DER.
    #[must_use]
    pub fn of(key: &[u8]) -> Self {
        Self(Sha256::digest(key).into())
    }

    /// Of what stands in one, DER without its outermost tag: as trust anchors are kept.
    pub(super) fn of_content(content: &[u8]) -> Self {
        let len = content.len().to_be_bytes();
        let len = &len[len.iter().take_while(|byte| **byte == 0).count()..];
        let mut digest = Sha256::new();
        // A SEQUENCE; its length is in the short form below 128.
        digest.update([0x30]);
        match len {
            [one] if *one < 0x80 => {}
            [] => digest.update([0]),
            _ => digest.update([0x80 | len.len() as u8]),
        }
        digest.update(len);
        digest.update(content);
        Self(digest.finalize().into())
    }
}

impl FromStr for Pin {
    type Err = PinError;

    fn from_str(text: &str) -> Result<Self, PinError> {
        let text = text.trim();
        let hash = PREFIXES.iter().find_map(|prefix| text.strip_prefix(prefix));
        let hash = BASE64.decode(hash.unwrap_or(text).as_bytes());
        let hash = hash.ok().and_then(|hash| hash.try_into().ok());
        hash.map(Self).ok_or(PinError)
    }
}

impl fmt::Display for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256//{}", BASE64.encode(&self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Of nothing: openssl dgst -sha256 -binary /dev/null | base64
    const EMPTY: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

    #[test]
    fn it_is_read_as_tools_write_it() {
        for text in [
            EMPTY.to_owned(),
            format!("sha256//{EMPTY}"),
            format!("sha256/{EMPTY}"),
            format!(" sha256//{EMPTY} "),
        ] {
            let pin: Pin = text.parse().unwrap();
            assert_eq!(pin, Pin::of(b""), "{text}");
            assert_eq!(pin.to_string(), format!("sha256//{EMPTY}"));
        }
        for text in [
            "",
            "sha256//",
            "sha1//2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
            "sha256//2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
            // In hex, as openssl shows it.
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        ] {
            assert_eq!(text.parse::<Pin>(), Err(PinError), "{text}");
        }
    }

    #[test]
    fn what_an_anchor_keeps_has_the_same_pin() {
        for (len, head) in [
            (0, vec![0x30, 0]),
            (0x7f, vec![0x30, 0x7f]),
            (0x80, vec![0x30, 0x81, 0x80]),
            (0x126, vec![0x30, 0x82, 1, 0x26]),
        ] {
            let content = vec![7; len];
            let whole = [head, content.clone()].concat();
            assert_eq!(Pin::of_content(&content), Pin::of(&whole), "{len}");
        }
    }
}

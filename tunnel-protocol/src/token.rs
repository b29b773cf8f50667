//! Connector tokens, access tokens and the sidecar's secret: a readable prefix
//! for secret scanners, 256 random bits, and a checksum that tells a mistyped
//! token from a revoked one without asking any store.
//!
//! Shape: `culvert_connector_`, `culvert_access_` or `culvert_sidecar_`, 52
//! characters of lower-case base32 (RFC 4648, no padding), 7 more for the CRC-32
//! of all before them.

use std::fmt;

use data_encoding::{BASE32_NOPAD, HEXLOWER};
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// Base32 characters of 32 bytes.
const RANDOM_CHARS: usize = 52;
/// Base32 characters of a 4-byte checksum.
const CHECKSUM_CHARS: usize = 7;
/// What a written hash starts with.
const HASH_PREFIX: &str = "sha256:";

/// Whom a token speaks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// tunnel-client proves with it which cluster it speaks for.
    Connector,
    /// A caller's own credential.
    Access,
    /// proxy-sidecar's requests need it; made by the sidecar for its tunnel-client.
    Sidecar,
}

impl TokenKind {
    /// What a token of this kind starts with.
    #[must_use]
    pub const fn prefix(self) -> &'static str {
        match self {
            Self::Connector => "culvert_connector_",
            Self::Access => "culvert_access_",
            Self::Sidecar => "culvert_sidecar_",
        }
    }
}

/// A token whose shape and checksum are right. Its `Debug` shows nothing.
#[derive(Clone, Debug)]
pub struct Token(SecretString);

/// Why a text is no token; never holds the text itself.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum TokenError {
    /// It does not start with the prefix that is asked for.
    #[error("this is not {article} (one starts with {prefix})", article = article(*.0), prefix = .0.prefix())]
    WrongKind(TokenKind),
    /// It is cut, mistyped or altered.
    #[error("the token is damaged: its checksum is wrong; copy it anew and whole")]
    Damaged,
}

fn article(kind: TokenKind) -> &'static str {
    match kind {
        TokenKind::Connector => "a connector token",
        TokenKind::Access => "an access token",
        TokenKind::Sidecar => "a sidecar's secret",
    }
}

impl Token {
    /// Makes a token from 256 bits, which must come from the system's source of
    /// randomness.
    #[must_use]
    pub fn from_random(kind: TokenKind, random: &[u8; 32]) -> Self {
        let mut text = kind.prefix().to_owned();
        text.push_str(&BASE32_NOPAD.encode(random).to_ascii_lowercase());
        text.push_str(&checksum(&text));
        Self(SecretString::from(text))
    }

    /// Checks a token's shape and checksum. White space around it is ignored,
    /// as files end in a line feed.
    ///
    /// # Errors
    /// [`TokenError`], which never repeats the text.
    pub fn parse(kind: TokenKind, text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let body = text
            .strip_prefix(kind.prefix())
            .ok_or(TokenError::WrongKind(kind))?;
        if body.len() != RANDOM_CHARS + CHECKSUM_CHARS || !body.is_ascii() {
            return Err(TokenError::Damaged);
        }
        let (before, sum) = text.split_at(text.len() - CHECKSUM_CHARS);
        if sum != checksum(before) {
            return Err(TokenError::Damaged);
        }
        Ok(Self(SecretString::from(text)))
    }

    /// The token as text, to be sent or to be shown once.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }

    /// What stores and files keep in its place.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        TokenHash(Sha256::digest(self.expose().as_bytes()).into())
    }
}

fn checksum(text: &str) -> String {
    let sum = crc32fast::hash(text.as_bytes()).to_be_bytes();
    BASE32_NOPAD.encode(&sum).to_ascii_lowercase()
}

/// The SHA-256 of a token. A plain hash is enough: the token has 256 random
/// bits, so there is nothing to guess. Written `sha256:` and 64 hex digits.
#[derive(Clone, Copy, Eq)]
pub struct TokenHash([u8; 32]);

/// Why a text is no token hash.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error(
    "not a token hash: expected sha256: and 64 lower-case hex digits, as `tunnel-server token new` prints"
)]
pub struct TokenHashError;

impl TokenHash {
    /// Reads the written form.
    ///
    /// # Errors
    /// [`TokenHashError`], which never repeats the text: it may be a token that
    /// was put in the wrong place.
    pub fn parse(text: &str) -> Result<Self, TokenHashError> {
        let hex = text.strip_prefix(HASH_PREFIX).ok_or(TokenHashError)?;
        let bytes = HEXLOWER
            .decode(hex.as_bytes())
            .map_err(|_| TokenHashError)?;
        Ok(Self(bytes.try_into().map_err(|_| TokenHashError)?))
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

// By hand because `PartialEq` is: equal hashes hash alike. A map may use it as
// its key: what timing tells is of the SHA-256, from which no token follows.
impl std::hash::Hash for TokenHash {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

impl fmt::Display for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{HASH_PREFIX}{}", HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Enough to tell two apart in a log.
        write!(f, "{HASH_PREFIX}{}…", HEXLOWER.encode(&self.0[..4]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_round_trips_and_its_kind_is_checked() {
        let token = Token::from_random(TokenKind::Connector, &[7; 32]);
        let again = Token::parse(TokenKind::Connector, &format!("{}\n", token.expose())).unwrap();
        assert_eq!(again.hash(), token.hash());
        assert_eq!(
            Token::parse(TokenKind::Access, token.expose()).unwrap_err(),
            TokenError::WrongKind(TokenKind::Access)
        );
    }

    #[test]
    fn every_changed_character_is_noticed() {
        let token = Token::from_random(TokenKind::Access, &[42; 32]);
        let text = token.expose();
        for at in TokenKind::Access.prefix().len()..text.len() {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'a' { b'b' } else { b'a' };
            let changed = String::from_utf8(bytes).unwrap();
            assert_eq!(
                Token::parse(TokenKind::Access, &changed).unwrap_err(),
                TokenError::Damaged
            );
        }
        assert_eq!(
            Token::parse(TokenKind::Access, &text[..text.len() - 1]).unwrap_err(),
            TokenError::Damaged
        );
    }

    #[test]
    fn debug_and_errors_show_no_secret() {
        let token = Token::from_random(TokenKind::Access, &[9; 32]);
        let secret = &token.expose()[TokenKind::Access.prefix().len()..];
        assert!(!format!("{token:?}").contains(secret));
        let error = Token::parse(TokenKind::Connector, token.expose()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(secret));
        let error = TokenHash::parse(token.expose()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(secret));
    }

    #[test]
    fn a_hash_round_trips_in_its_written_form() {
        let hash = Token::from_random(TokenKind::Access, &[1; 32]).hash();
        assert_eq!(TokenHash::parse(&hash.to_string()).unwrap(), hash);
        assert!(TokenHash::parse("sha256:abc").is_err());
    }
}

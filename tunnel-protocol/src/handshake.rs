//! The handshake: tunnel-client asks one HTTP/1.1 connection to become a link.
//!
//! ```text
//! GET /tunnel/v1 HTTP/1.1
//! Connection: Upgrade
//! Upgrade: culvert
//! Authorization: Bearer <connector token>
//! culvert-protocol: 1
//! culvert-instance: <id of this tunnel-client process>
//! culvert-generation: <counts that process's dials>
//! culvert-client-version: 0.1.0
//! culvert-subdomain: <optional; must be the token's>
//! ```

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use thiserror::Error;

use crate::ClusterName;
use crate::limits::PROTOCOL_VERSION;

/// The protocol named in `Upgrade`.
pub const UPGRADE_TOKEN: &str = "culvert";

const PROTOCOL: HeaderName = HeaderName::from_static("culvert-protocol");
const INSTANCE: HeaderName = HeaderName::from_static("culvert-instance");
const GENERATION: HeaderName = HeaderName::from_static("culvert-generation");
const CLIENT_VERSION: HeaderName = HeaderName::from_static("culvert-client-version");
const SUBDOMAIN: HeaderName = HeaderName::from_static("culvert-subdomain");

/// On an answer: this is our server's word, not that of a box in the middle.
const ANSWER: HeaderName = HeaderName::from_static("culvert-answer");

/// What a client says of itself, beside its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// One tunnel-client process: 1 to 64 of `a-z`, `0-9` and `-`.
    pub instance: String,
    /// Grows with each dial of that process; the newest of an instance wins.
    pub generation: u64,
    /// The client's own version, for logs.
    pub client_version: String,
    /// The name that the user expects the token to have.
    pub subdomain: Option<ClusterName>,
}

/// Why a handshake cannot be read.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum HelloError {
    /// The client speaks another version of the protocol.
    #[error(
        "this server speaks tunnel protocol {PROTOCOL_VERSION}, the client {0:?}: use a tunnel-client of the server's version"
    )]
    Version(String),
    /// A header is missing or malformed.
    #[error("header {0} is missing or malformed")]
    Header(&'static str),
}

impl Hello {
    /// Writes the headers.
    pub fn write(&self, headers: &mut HeaderMap) {
        headers.insert(PROTOCOL, HeaderValue::from(PROTOCOL_VERSION));
        headers.insert(GENERATION, HeaderValue::from(self.generation));
        let texts = [
            (INSTANCE, Some(self.instance.as_str())),
            (CLIENT_VERSION, Some(self.client_version.as_str())),
            (SUBDOMAIN, self.subdomain.as_ref().map(ClusterName::as_str)),
        ];
        for (name, text) in texts {
            if let Some(value) = text.and_then(|text| HeaderValue::from_str(text).ok()) {
                headers.insert(name, value);
            }
        }
    }

    /// Reads the headers.
    ///
    /// # Errors
    /// [`HelloError`], the version first: an older or newer client may lack the
    /// others.
    pub fn read(headers: &HeaderMap) -> Result<Self, HelloError> {
        let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
        let version = text(&PROTOCOL).unwrap_or_default();
        if version != PROTOCOL_VERSION.to_string() {
            return Err(HelloError::Version(version.chars().take(16).collect()));
        }
        let instance = text(&INSTANCE)
            .filter(|id| (1..=64).contains(&id.len()))
            .filter(|id| {
                id.bytes()
                    .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            })
            .ok_or(HelloError::Header("culvert-instance"))?;
        let generation = text(&GENERATION)
            .and_then(|number| number.parse().ok())
            .ok_or(HelloError::Header("culvert-generation"))?;
        let subdomain = match headers.get(SUBDOMAIN) {
            None => None,
            Some(value) => Some(
                value
                    .to_str()
                    .ok()
                    .and_then(|name| ClusterName::parse(name).ok())
                    .ok_or(HelloError::Header("culvert-subdomain"))?,
            ),
        };
        Ok(Self {
            instance: instance.to_owned(),
            generation,
            client_version: text(&CLIENT_VERSION)
                .unwrap_or("unknown")
                .chars()
                .take(64)
                .collect(),
            subdomain,
        })
    }
}

/// Our server's own reasons to refuse a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The request is no handshake of this protocol.
    Malformed,
    /// Another version of the protocol.
    Version,
    /// The token is not known: revoked, damaged, or of another server.
    Token,
    /// The token is another cluster's than the subdomain that was named.
    Subdomain,
    /// Try again later.
    Busy,
    /// The server is ending; another replica, or a later try, will do.
    Draining,
}

impl Refusal {
    const ALL: [Self; 6] = [
        Self::Malformed,
        Self::Version,
        Self::Token,
        Self::Subdomain,
        Self::Busy,
        Self::Draining,
    ];

    /// The code in the marker header.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::Version => "version",
            Self::Token => "token",
            Self::Subdomain => "subdomain",
            Self::Busy => "busy",
            Self::Draining => "draining",
        }
    }

    /// The status that carries it.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::Version => StatusCode::BAD_REQUEST,
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Subdomain => StatusCode::FORBIDDEN,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whether trying again is pointless until somebody changes something.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Busy | Self::Draining)
    }
}

/// Marks an answer to a handshake as our server's word: `None` for the 101.
pub fn mark_answer(headers: &mut HeaderMap, refusal: Option<Refusal>) {
    headers.insert(
        ANSWER,
        HeaderValue::from_static(refusal.map_or("accepted", Refusal::code)),
    );
}

/// How an answer to a handshake reads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The connection is a link now.
    Accepted,
    /// Our server refuses.
    Refused(Refusal),
    /// Somebody else answered: a proxy, a load balancer, another service.
    Stranger(StatusCode),
}

impl Answer {
    /// Reads an answer's status and headers.
    #[must_use]
    pub fn read(status: StatusCode, headers: &HeaderMap) -> Self {
        let word = headers.get(ANSWER).map(HeaderValue::as_bytes);
        if status == StatusCode::SWITCHING_PROTOCOLS {
            let ours = headers.get(http::header::UPGRADE).is_some_and(|token| {
                token
                    .as_bytes()
                    .eq_ignore_ascii_case(UPGRADE_TOKEN.as_bytes())
            });
            return if ours && word == Some(b"accepted") {
                Self::Accepted
            } else {
                Self::Stranger(status)
            };
        }
        Refusal::ALL
            .into_iter()
            .find(|refusal| word == Some(refusal.code().as_bytes()) && refusal.status() == status)
            .map_or(Self::Stranger(status), Self::Refused)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hello() -> Hello {
        Hello {
            instance: "pod-7f9c".into(),
            generation: 3,
            client_version: "0.1.0".into(),
            subdomain: Some(ClusterName::parse("prod").unwrap()),
        }
    }

    #[test]
    fn a_hello_round_trips() {
        let mut headers = HeaderMap::new();
        hello().write(&mut headers);
        assert_eq!(Hello::read(&headers).unwrap(), hello());
    }

    #[test]
    fn each_fault_is_named() {
        let with = |name: &'static str, value: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            hello().write(&mut headers);
            match value {
                Some(value) => {
                    headers.insert(name, HeaderValue::from_static(value));
                }
                None => {
                    headers.remove(name);
                }
            }
            Hello::read(&headers).unwrap_err()
        };
        assert_eq!(
            with("culvert-protocol", Some("2")),
            HelloError::Version("2".into())
        );
        assert_eq!(
            with("culvert-protocol", None),
            HelloError::Version(String::new())
        );
        assert_eq!(
            with("culvert-instance", Some("A b")),
            HelloError::Header("culvert-instance")
        );
        assert_eq!(
            with("culvert-generation", Some("-1")),
            HelloError::Header("culvert-generation")
        );
        assert_eq!(
            with("culvert-subdomain", Some("a.b")),
            HelloError::Header("culvert-subdomain")
        );
    }

    #[test]
    fn only_a_marked_answer_is_our_servers_word() {
        let mut headers = HeaderMap::new();
        assert_eq!(
            Answer::read(StatusCode::UNAUTHORIZED, &headers),
            Answer::Stranger(StatusCode::UNAUTHORIZED)
        );
        mark_answer(&mut headers, Some(Refusal::Token));
        assert_eq!(
            Answer::read(StatusCode::UNAUTHORIZED, &headers),
            Answer::Refused(Refusal::Token)
        );
        // A box that rewrites the status is not believed.
        assert_eq!(
            Answer::read(StatusCode::BAD_GATEWAY, &headers),
            Answer::Stranger(StatusCode::BAD_GATEWAY)
        );
        assert_eq!(
            Answer::read(StatusCode::SWITCHING_PROTOCOLS, &HeaderMap::new()),
            Answer::Stranger(StatusCode::SWITCHING_PROTOCOLS)
        );
    }
}

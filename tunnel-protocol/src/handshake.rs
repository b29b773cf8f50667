//! The handshake: tunnel-client asks one HTTP/1.1 connection to become a link.
//!
//! ```text
//! GET /tunnel/v1 HTTP/1.1
//! Connection: Upgrade
//! Upgrade: culvert
//! Authorization: Bearer <connector token>
//! culvert-protocol: 1
//! culvert-instance: <id of this tunnel-client process>
//! culvert-lane: <which of that process's links; 0 where it is missing>
//! culvert-generation: <counts that process's dials>
//! culvert-linked: <replicas that other lanes have a link to; optional>
//! culvert-client-version: 0.1.0
//! culvert-subdomain: <optional; must be the token's>
//! culvert-check: 1 <optional; the link is to carry no requests>
//! ```
//!
//! Where that does not pass, the same with the headers of a WebSocket's handshake and the
//! subprotocol `culvert`; see [`Carrier`].

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use thiserror::Error;

use crate::ClusterName;
use crate::carrier::{Carrier, UPGRADE_TOKEN};
use crate::limits::{LANES, PROTOCOL_VERSION};

const PROTOCOL: HeaderName = HeaderName::from_static("culvert-protocol");
const INSTANCE: HeaderName = HeaderName::from_static("culvert-instance");
const LANE: HeaderName = HeaderName::from_static("culvert-lane");
const GENERATION: HeaderName = HeaderName::from_static("culvert-generation");
const LINKED: HeaderName = HeaderName::from_static("culvert-linked");
const CLIENT_VERSION: HeaderName = HeaderName::from_static("culvert-client-version");
const SUBDOMAIN: HeaderName = HeaderName::from_static("culvert-subdomain");
const CHECK: HeaderName = HeaderName::from_static("culvert-check");

/// On an answer: this is our server's word, not that of a box in the middle.
const ANSWER: HeaderName = HeaderName::from_static("culvert-answer");

/// What a client says of itself, beside its token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hello {
    /// One tunnel-client process: 1 to 64 of `a-z`, `0-9` and `-`.
    pub instance: String,
    /// Which of the links that the process keeps side by side, from 0 to below
    /// [`LANES`].
    pub lane: u8,
    /// Grows with each dial of that process; the newest of a lane wins.
    pub generation: u64,
    /// The replicas of the server that this link is not to lead to, as another lane's
    /// does; at most [`LANES`].
    pub linked: Vec<String>,
    /// The client's own version, for logs.
    pub client_version: String,
    /// The name that the user expects the token to have.
    pub subdomain: Option<ClusterName>,
    /// Whether it only wants to know if all would work: no requests are to come.
    pub check: bool,
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
        headers.insert(LANE, HeaderValue::from(u16::from(self.lane)));
        headers.insert(GENERATION, HeaderValue::from(self.generation));
        let linked = self.linked.join(",");
        let texts = [
            (LINKED, (!linked.is_empty()).then_some(linked.as_str())),
            (INSTANCE, Some(self.instance.as_str())),
            (CLIENT_VERSION, Some(self.client_version.as_str())),
            (SUBDOMAIN, self.subdomain.as_ref().map(ClusterName::as_str)),
            (CHECK, self.check.then_some("1")),
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
        let lane = match headers.get(LANE) {
            None => 0,
            Some(_) => text(&LANE)
                .and_then(|number| number.parse().ok())
                .filter(|lane| *lane < LANES)
                .ok_or(HelloError::Header("culvert-lane"))?,
        };
        let generation = text(&GENERATION)
            .and_then(|number| number.parse().ok())
            .ok_or(HelloError::Header("culvert-generation"))?;
        let linked = text(&LINKED).unwrap_or_default().split(',');
        let linked = linked.map(str::trim).filter(|replica| !replica.is_empty());
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
            lane,
            generation,
            linked: linked.take(LANES.into()).map(str::to_owned).collect(),
            client_version: text(&CLIENT_VERSION)
                .unwrap_or("unknown")
                .chars()
                .take(64)
                .collect(),
            subdomain,
            check: text(&CHECK) == Some("1"),
        })
    }
}

/// Our server's own reasons to refuse a handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusal {
    /// The request is no handshake of this protocol.
    Malformed,
    /// The client's request, but for the upgrade, which something on the way has removed.
    NoUpgrade,
    /// Another version of the protocol.
    Version,
    /// The token is not known: revoked, damaged, or of another server.
    Token,
    /// The token is another cluster's than the subdomain that was named.
    Subdomain,
    /// The client has a link to this replica already, and asked for another one.
    Linked,
    /// Try again later.
    Busy,
    /// The server is ending; another replica, or a later try, will do.
    Draining,
}

impl Refusal {
    const ALL: [Self; 8] = [
        Self::Malformed,
        Self::NoUpgrade,
        Self::Version,
        Self::Token,
        Self::Subdomain,
        Self::Linked,
        Self::Busy,
        Self::Draining,
    ];

    /// The code in the marker header.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::NoUpgrade => "no-upgrade",
            Self::Version => "version",
            Self::Token => "token",
            Self::Subdomain => "subdomain",
            Self::Linked => "linked",
            Self::Busy => "busy",
            Self::Draining => "draining",
        }
    }

    /// The status that carries it.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Malformed | Self::Version => StatusCode::BAD_REQUEST,
            Self::NoUpgrade => StatusCode::UPGRADE_REQUIRED,
            Self::Token => StatusCode::UNAUTHORIZED,
            Self::Subdomain => StatusCode::FORBIDDEN,
            Self::Linked => StatusCode::CONFLICT,
            Self::Busy => StatusCode::TOO_MANY_REQUESTS,
            Self::Draining => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Whether trying again is pointless until somebody changes something.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(
            self,
            Self::NoUpgrade | Self::Linked | Self::Busy | Self::Draining
        )
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
    /// Reads an answer's status and headers, where `carrier` was asked for.
    #[must_use]
    pub fn read(status: StatusCode, headers: &HeaderMap, carrier: Carrier) -> Self {
        let word = headers.get(ANSWER).map(HeaderValue::as_bytes);
        if status == StatusCode::SWITCHING_PROTOCOLS {
            let is = |name: HeaderName, token: &str| {
                let value = headers.get(name).map(HeaderValue::as_bytes);
                value.is_some_and(|value| value.eq_ignore_ascii_case(token.as_bytes()))
            };
            // A box that speaks WebSocket itself may pass only that one's own headers.
            let accepted = word == Some(b"accepted")
                || carrier == Carrier::WebSocket && is(SEC_WEBSOCKET_PROTOCOL, UPGRADE_TOKEN);
            return if accepted && is(http::header::UPGRADE, carrier.protocol()) {
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
            lane: 1,
            generation: 3,
            linked: vec!["one".into(), "other".into()],
            client_version: "0.1.0".into(),
            subdomain: Some(ClusterName::parse("prod").unwrap()),
            check: true,
        }
    }

    #[test]
    fn a_hello_round_trips() {
        let mut headers = HeaderMap::new();
        hello().write(&mut headers);
        assert_eq!(Hello::read(&headers).unwrap(), hello());
        headers.remove("culvert-lane");
        assert_eq!(Hello::read(&headers).unwrap().lane, 0);
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
            with("culvert-lane", Some("8")),
            HelloError::Header("culvert-lane")
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
            Answer::read(StatusCode::UNAUTHORIZED, &headers, Carrier::Upgrade),
            Answer::Stranger(StatusCode::UNAUTHORIZED)
        );
        mark_answer(&mut headers, Some(Refusal::Token));
        assert_eq!(
            Answer::read(StatusCode::UNAUTHORIZED, &headers, Carrier::Upgrade),
            Answer::Refused(Refusal::Token)
        );
        // A box that rewrites the status is not believed.
        assert_eq!(
            Answer::read(StatusCode::BAD_GATEWAY, &headers, Carrier::Upgrade),
            Answer::Stranger(StatusCode::BAD_GATEWAY)
        );
        assert_eq!(
            Answer::read(
                StatusCode::SWITCHING_PROTOCOLS,
                &HeaderMap::new(),
                Carrier::Upgrade
            ),
            Answer::Stranger(StatusCode::SWITCHING_PROTOCOLS)
        );
    }

    #[test]
    fn each_carrier_is_accepted_by_its_own_name() {
        for carrier in Carrier::ALL {
            for other in Carrier::ALL {
                let mut headers = HeaderMap::new();
                mark_answer(&mut headers, None);
                let protocol = HeaderValue::from_static(other.protocol());
                headers.insert(http::header::UPGRADE, protocol);
                let read = Answer::read(StatusCode::SWITCHING_PROTOCOLS, &headers, carrier);
                assert_eq!(read == Answer::Accepted, carrier == other);
            }
        }
        // A box in between has removed our own.
        let mut headers = HeaderMap::new();
        headers.insert(http::header::UPGRADE, HeaderValue::from_static("WebSocket"));
        let read = |headers: &HeaderMap| {
            Answer::read(StatusCode::SWITCHING_PROTOCOLS, headers, Carrier::WebSocket)
        };
        assert_ne!(read(&headers), Answer::Accepted);
        let subprotocol = HeaderValue::from_static(UPGRADE_TOKEN);
        headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
        assert_eq!(read(&headers), Answer::Accepted);
    }
}

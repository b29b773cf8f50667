//! HTTP/1.1 upgrades on a hop: what was asked for, and how it is answered.

use http::header::{CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use thiserror::Error;
use tunnel_protocol::upgrade::Protocol;

use crate::body::{RelayBody, empty};
use crate::headers::{has_token, tokens};

/// An upgrade that is not relayed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("only upgrades to websocket and SPDY/3.1 are relayed")]
pub struct UnsupportedUpgrade;

/// What a message's headers ask to switch to, if `Connection` says `upgrade`.
///
/// # Errors
/// [`UnsupportedUpgrade`] for any other protocol, or for more than one.
pub fn requested(headers: &HeaderMap) -> Result<Option<Protocol>, UnsupportedUpgrade> {
    if !has_token(headers, &CONNECTION, "upgrade") {
        return Ok(None);
    }
    let mut asked = tokens(headers, &UPGRADE);
    match (asked.next(), asked.next()) {
        (Some(one), None) => Protocol::from_token(one)
            .map(Some)
            .ok_or(UnsupportedUpgrade),
        _ => Err(UnsupportedUpgrade),
    }
}

/// Asks the next hop to switch.
pub fn ask(headers: &mut HeaderMap, protocol: Protocol) {
    headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static(protocol.token()));
}

/// Whether an answer really switches to what was asked for. Anything else must
/// not be spliced: the next request on that connection would go out with our
/// credentials (CVE-2018-1002105).
#[must_use]
pub fn switched<B>(response: &Response<B>, asked: Protocol) -> bool {
    response.status() == StatusCode::SWITCHING_PROTOCOLS
        && matches!(requested(response.headers()), Ok(Some(protocol)) if protocol == asked)
}

/// A 101 with the upstream's end-to-end headers.
#[must_use]
pub fn switching(mut headers: HeaderMap, protocol: Protocol) -> Response<RelayBody> {
    ask(&mut headers, protocol);
    let mut response = Response::new(empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    *response.headers_mut() = headers;
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(
        connection: &'static str,
        upgrade: Option<&'static str>,
    ) -> Result<Option<Protocol>, UnsupportedUpgrade> {
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static(connection));
        if let Some(upgrade) = upgrade {
            headers.insert(UPGRADE, HeaderValue::from_static(upgrade));
        }
        requested(&headers)
    }

    #[test]
    fn both_headers_are_needed_and_only_known_protocols_pass() {
        assert_eq!(
            asked("keep-alive, Upgrade", Some("websocket")),
            Ok(Some(Protocol::WebSocket))
        );
        assert_eq!(
            asked("upgrade", Some("SPDY/3.1")),
            Ok(Some(Protocol::Spdy31))
        );
        assert_eq!(asked("keep-alive", Some("websocket")), Ok(None));
        for other in [None, Some("h2c"), Some("websocket, h2c")] {
            assert_eq!(
                asked("Upgrade", other),
                Err(UnsupportedUpgrade),
                "{other:?}"
            );
        }
    }

    #[test]
    fn only_the_protocol_that_was_asked_for_is_spliced() {
        let answer = switching(HeaderMap::new(), Protocol::WebSocket);
        assert!(switched(&answer, Protocol::WebSocket));
        assert!(!switched(&answer, Protocol::Spdy31));
        let mut refused = switching(HeaderMap::new(), Protocol::WebSocket);
        *refused.status_mut() = StatusCode::OK;
        assert!(!switched(&refused, Protocol::WebSocket));
    }
}

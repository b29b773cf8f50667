//! How an HTTP/1.1 upgrade crosses a link: as an ordinary full-duplex request.
//!
//! Not as an extended CONNECT: a body that fails resets its stream, where a
//! dropped upgraded connection looks like a clean end; the end of a body is a
//! half-close in each direction; and the method is kept (exec over SPDY is a
//! POST).

use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// On a request: the protocol that the caller asked for.
pub const UPGRADE: HeaderName = HeaderName::from_static("culvert-upgrade");
/// On a request: the caller's method; the stream's own is always POST.
pub const METHOD: HeaderName = HeaderName::from_static("culvert-upgrade-method");
/// On an answer: the upstream said 101 and switched to this protocol.
pub const UPGRADED: HeaderName = HeaderName::from_static("culvert-upgraded");

/// The protocols a Kubernetes API server upgrades to; nothing else is spliced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// RFC 6455.
    WebSocket,
    /// Of kubectl before 1.30, and its fallback since.
    Spdy31,
}

impl Protocol {
    /// The token in an `Upgrade` header.
    #[must_use]
    pub const fn token(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Spdy31 => "SPDY/3.1",
        }
    }

    /// Reads one `Upgrade` token; names of protocols are compared without case.
    #[must_use]
    pub fn from_token(token: &str) -> Option<Self> {
        [Self::WebSocket, Self::Spdy31]
            .into_iter()
            .find(|protocol| protocol.token().eq_ignore_ascii_case(token.trim()))
    }

    fn from_value(value: &HeaderValue) -> Option<Self> {
        Self::from_token(value.to_str().ok()?)
    }
}

/// An upgrade that a request on a link asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkUpgrade {
    /// What to switch to.
    pub protocol: Protocol,
    /// The caller's own method.
    pub method: Method,
}

impl LinkUpgrade {
    /// Marks a request's headers.
    pub fn mark(&self, headers: &mut HeaderMap) {
        headers.insert(UPGRADE, HeaderValue::from_static(self.protocol.token()));
        if let Ok(method) = HeaderValue::from_str(self.method.as_str()) {
            headers.insert(METHOD, method);
        }
    }

    /// Takes the marks of a request.
    #[must_use]
    pub fn take(headers: &mut HeaderMap) -> Option<Self> {
        let protocol = headers.remove(UPGRADE);
        let method = headers.remove(METHOD);
        Some(Self {
            protocol: Protocol::from_value(&protocol?)?,
            method: Method::from_bytes(method?.as_bytes()).ok()?,
        })
    }
}

/// Marks an answer: the upstream has switched protocols.
pub fn mark_switched(headers: &mut HeaderMap, protocol: Protocol) {
    headers.insert(UPGRADED, HeaderValue::from_static(protocol.token()));
}

/// Takes the mark of an answer.
#[must_use]
pub fn take_switched(headers: &mut HeaderMap) -> Option<Protocol> {
    Protocol::from_value(&headers.remove(UPGRADED)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_round_trip_and_leave_nothing_behind() {
        let upgrade = LinkUpgrade {
            protocol: Protocol::Spdy31,
            method: Method::POST,
        };
        let mut headers = HeaderMap::new();
        upgrade.mark(&mut headers);
        assert_eq!(LinkUpgrade::take(&mut headers), Some(upgrade));
        assert!(headers.is_empty());
    }

    #[test]
    fn only_what_kubernetes_speaks() {
        assert_eq!(Protocol::from_token("WebSocket"), Some(Protocol::WebSocket));
        assert_eq!(Protocol::from_token("spdy/3.1"), Some(Protocol::Spdy31));
        for other in ["h2c", "", "websocket, h2c", "TLS/1.0"] {
            assert_eq!(Protocol::from_token(other), None, "{other}");
        }
    }
}

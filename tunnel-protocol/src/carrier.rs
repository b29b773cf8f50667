//! What carries a link's HTTP/2 once the handshake has been accepted.

use http::header::{
    CONNECTION, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue};

/// The protocol named in `Upgrade`, and the subprotocol of a WebSocket.
pub const UPGRADE_TOKEN: &str = "culvert";
/// The version of RFC 6455.
pub const WEBSOCKET_VERSION: &str = "13";

/// In the order in which a client tries them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// The connection itself, by `Upgrade: culvert`.
    Upgrade,
    /// Binary messages of a WebSocket with the subprotocol `culvert`, for load balancers
    /// and proxies that pass no other upgrade.
    WebSocket,
}

impl Carrier {
    /// All there are, the best first.
    pub const ALL: [Self; 2] = [Self::Upgrade, Self::WebSocket];

    /// For people.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Upgrade => "HTTP upgrade",
            Self::WebSocket => "WebSocket",
        }
    }

    /// What `Upgrade` says.
    #[must_use]
    pub const fn protocol(self) -> &'static str {
        match self {
            Self::Upgrade => UPGRADE_TOKEN,
            Self::WebSocket => "websocket",
        }
    }

    /// Asks for it; `key` is a WebSocket's (RFC 6455, section 4.1).
    pub fn ask(self, key: HeaderValue, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(self.protocol()));
        if self == Self::WebSocket {
            let version = HeaderValue::from_static(WEBSOCKET_VERSION);
            headers.insert(SEC_WEBSOCKET_VERSION, version);
            headers.insert(SEC_WEBSOCKET_KEY, key);
            let subprotocol = HeaderValue::from_static(UPGRADE_TOKEN);
            headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
        }
    }
}

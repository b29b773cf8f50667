//! Which carrier a handshake asks for, and its answer.

use http::header::{
    CONNECTION, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_PROTOCOL,
    SEC_WEBSOCKET_VERSION, UPGRADE,
};
use http::{HeaderMap, HeaderValue, Method, Request, Version};
use http_relay::headers::has_token;
use service_kit::websocket::derive_accept_key;
use tunnel_protocol::carrier::{Carrier, UPGRADE_TOKEN, WEBSOCKET_VERSION};

/// A carrier that was asked for.
pub(super) struct Asked {
    pub(super) carrier: Carrier,
    /// A WebSocket's answer to its key.
    accept: Option<HeaderValue>,
}

impl Asked {
    /// Nothing where the request asks for none.
    pub(super) fn read<B>(request: &Request<B>) -> Option<Self> {
        let headers = request.headers();
        let asks = request.method() == Method::GET
            && request.version() == Version::HTTP_11
            && has_token(headers, &CONNECTION, "upgrade");
        if !asks {
            return None;
        }
        let carrier = Carrier::ALL
            .into_iter()
            .find(|carrier| has_token(headers, &UPGRADE, carrier.protocol()))?;
        let accept = match carrier {
            Carrier::Upgrade => None,
            Carrier::WebSocket => Some(accept(headers)?),
        };
        Some(Self { carrier, accept })
    }

    /// Writes the headers of the 101.
    pub(super) fn switch(self, headers: &mut HeaderMap) {
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(UPGRADE, HeaderValue::from_static(self.carrier.protocol()));
        if let Some(accept) = self.accept {
            headers.insert(SEC_WEBSOCKET_ACCEPT, accept);
            let subprotocol = HeaderValue::from_static(UPGRADE_TOKEN);
            headers.insert(SEC_WEBSOCKET_PROTOCOL, subprotocol);
        }
    }
}

/// RFC 6455, section 4.2.
fn accept(headers: &HeaderMap) -> Option<HeaderValue> {
    let version = headers.get(SEC_WEBSOCKET_VERSION)?;
    let key = headers.get(SEC_WEBSOCKET_KEY)?;
    let is_ours =
        version == WEBSOCKET_VERSION && has_token(headers, &SEC_WEBSOCKET_PROTOCOL, UPGRADE_TOKEN);
    if !is_ours {
        return None;
    }
    HeaderValue::try_from(derive_accept_key(key.as_bytes())).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(carrier: Carrier, change: impl FnOnce(&mut HeaderMap)) -> Request<()> {
        let mut request = Request::new(());
        // The example of RFC 6455, section 1.3.
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        carrier.ask(key, request.headers_mut());
        change(request.headers_mut());
        request
    }

    #[test]
    fn each_is_read_and_answered() {
        for carrier in Carrier::ALL {
            let asked = Asked::read(&request(carrier, |_| {})).unwrap();
            assert_eq!(asked.carrier, carrier);
            let mut headers = HeaderMap::new();
            asked.switch(&mut headers);
            assert_eq!(headers[UPGRADE], carrier.protocol());
            let accept = headers.get(SEC_WEBSOCKET_ACCEPT);
            let expected =
                (carrier == Carrier::WebSocket).then_some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
            assert_eq!(
                accept.map(HeaderValue::as_bytes),
                expected.map(str::as_bytes)
            );
        }
    }

    #[test]
    fn half_of_a_websocket_is_none() {
        for name in [
            CONNECTION,
            UPGRADE,
            SEC_WEBSOCKET_KEY,
            SEC_WEBSOCKET_VERSION,
            SEC_WEBSOCKET_PROTOCOL,
        ] {
            let request = request(Carrier::WebSocket, |headers| drop(headers.remove(&name)));
            assert!(Asked::read(&request).is_none(), "without {name}");
        }
    }
}

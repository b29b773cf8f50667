//! What a caller says of itself goes; what we know of it is set. Hop-by-hop
//! headers go first, so that `Connection: Impersonate-User` helps nobody
//! (CVE-2021-31999).

use std::net::IpAddr;

use http::header::{AUTHORIZATION, COOKIE, FORWARDED};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_relay::headers::{remove_hop_by_hop, retain};
use hyper::body::{Bytes, Frame};
use tunnel_protocol::header::{REQUEST_ID, is_ours};

use crate::forwarded::X_FORWARDED_FOR;

/// Whether a header claims who the caller is, or where it comes from.
fn claims_identity(name: &HeaderName) -> bool {
    [AUTHORIZATION, COOKIE, FORWARDED].contains(name)
        || is_ours(name)
        || ["impersonate-", "x-remote-", "x-forwarded-"]
            .iter()
            .any(|prefix| name.as_str().starts_with(prefix))
        || name == "x-real-ip"
}

/// Takes the claims out of a body's trailers, where a cluster might read them as
/// headers.
pub fn clean_trailers(frame: Frame<Bytes>) -> Frame<Bytes> {
    match frame.into_trailers() {
        Ok(mut trailers) => {
            retain(&mut trailers, |name| !claims_identity(name));
            Frame::trailers(trailers)
        }
        Err(data) => data,
    }
}

/// Replaces every claim by what the server knows.
pub fn replace(headers: &mut HeaderMap, peer: IpAddr, id: &HeaderValue) {
    remove_hop_by_hop(headers);
    retain(headers, |name| !claims_identity(name));
    // For the API server's audit log.
    if let Ok(address) = HeaderValue::try_from(peer.to_string()) {
        headers.insert(X_FORWARDED_FOR, address);
    }
    headers.insert(REQUEST_ID, id.clone());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_the_callers_claims_is_left() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("impersonate-user", "admin"),
            ("impersonate-group", "system:masters"),
            ("impersonate-uid", "1"),
            ("impersonate-extra-a%2fb", "x"),
            ("x-remote-user", "admin"),
            ("x-remote-extra-x", "y"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-host", "evil"),
            ("forwarded", "for=1.2.3.4"),
            ("x-real-ip", "1.2.3.4"),
            ("culvert-request-id", "forged"),
            ("culvert-upgrade", "websocket"),
            (
                "connection",
                "Impersonate-User, X-Forwarded-For, Culvert-Request-Id",
            ),
            ("accept", "*/*"),
        ] {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        replace(
            &mut headers,
            IpAddr::from([192, 0, 2, 7]),
            &HeaderValue::from_static("ours"),
        );
        let left: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.to_str().unwrap()))
            .collect();
        assert_eq!(
            left,
            [
                ("accept", "*/*"),
                ("x-forwarded-for", "192.0.2.7"),
                ("culvert-request-id", "ours")
            ]
        );
    }
}

//! Requests that no good server sends. The server may be one that was taken over:
//! what it asks for is asked of the sidecar, as of an origin server, or not at all.

use http::{Method, Uri};
use thiserror::Error;
use tunnel_protocol::upgrade::LinkUpgrade;

/// A request that is not relayed.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum StrangeRequest {
    #[error("CONNECT is not relayed: where to dial never comes from a request")]
    Connect,
    #[error("the request's target is no path")]
    Target,
    #[error("bytes of the new protocol came before the switch to it")]
    Early,
}

/// Whether a link's request may go to the sidecar.
pub(crate) fn check(
    method: &Method,
    uri: &Uri,
    asked: Option<&LinkUpgrade>,
) -> Result<(), StrangeRequest> {
    let by = asked.map_or(method, |asked| &asked.method);
    if [method, by].contains(&&Method::CONNECT) {
        return Err(StrangeRequest::Connect);
    }
    let target = uri.path_and_query().map(|target| target.as_str());
    match target {
        Some("*") if *by == Method::OPTIONS => Ok(()),
        Some(path) if path.starts_with('/') => Ok(()),
        _ => Err(StrangeRequest::Target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tunnel_protocol::upgrade::Protocol;

    #[test]
    fn only_what_an_origin_server_is_asked() {
        let checked = |method: &str, uri: &str, by: Option<&str>| {
            let asked = by.map(|by| LinkUpgrade {
                protocol: Protocol::WebSocket,
                method: by.parse().unwrap(),
            });
            let (method, uri) = (method.parse().unwrap(), uri.parse().unwrap());
            check(&method, &uri, asked.as_ref())
        };
        for (method, uri) in [
            ("GET", "http://localhost/x?y"),
            ("OPTIONS", "*"),
            ("X", "/"),
        ] {
            assert_eq!(checked(method, uri, None), Ok(()), "{method} {uri}");
        }
        for (method, uri, by) in [
            ("CONNECT", "elsewhere:443", None),
            ("CONNECT", "http://localhost/", None),
            ("CONNECT", "http://localhost/", Some("GET")),
            ("POST", "http://localhost/", Some("CONNECT")),
        ] {
            assert_eq!(
                checked(method, uri, by),
                Err(StrangeRequest::Connect),
                "{method}"
            );
        }
        for uri in ["*", "elsewhere:443"] {
            assert_eq!(
                checked("GET", uri, None),
                Err(StrangeRequest::Target),
                "{uri}"
            );
        }
    }
}

//! Somebody else than tunnel-server answers the handshake: who it may be, and the cure.

use http::header::{HeaderName, SERVER, VIA, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};
use thiserror::Error;

use crate::steps::words;

/// A box between here and the server, or another server.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{who} answered {status}, not the tunnel-server: {cure}")]
pub(crate) struct Stranger {
    pub(crate) status: StatusCode,
    /// As far as its answer says.
    who: String,
    cure: String,
}

impl Stranger {
    pub(crate) fn read(status: StatusCode, headers: &HeaderMap) -> Self {
        let text = |name: HeaderName| {
            let value = headers.get(name)?.to_str().ok()?;
            Some(words(value)).filter(|value| !value.is_empty())
        };
        let who = match (text(SERVER), text(VIA)) {
            (Some(server), Some(via)) => format!("{server:?} (via {via:?})"),
            (Some(server), None) => format!("{server:?}"),
            (None, Some(via)) => format!("something via {via:?}"),
            (None, None) => "something on the way".to_owned(),
        };
        let cure = cure(status, text(WWW_AUTHENTICATE));
        Self { status, who, cure }
    }
}

fn cure(status: StatusCode, asks: Option<String>) -> String {
    let balancer = "check that the load balancer or ingress leads to tunnel-server's public port";
    match status {
        StatusCode::SWITCHING_PROTOCOLS => {
            "it switched to a protocol that was not asked for: another server listens there; check \
             --server"
                .to_owned()
        }
        // Without an address; see `redirects` for those with one.
        _ if status.is_redirection() => {
            "it sends us on, as a sign-in page or a captive portal does: except the server's \
             address from it, or mend --server"
                .to_owned()
        }
        StatusCode::UNAUTHORIZED => {
            let asks = asks.map_or(String::new(), |scheme| format!(" ({scheme})"));
            format!(
                "a gateway that wants credentials of its own{asks}: let the path /tunnel/v1 pass \
                 without, and with its Authorization header as it is"
            )
        }
        StatusCode::PROXY_AUTHENTICATION_REQUIRED => {
            "a proxy that intercepts the connection wants credentials: name it in HTTPS_PROXY with \
             user and password, or except the server's address from it"
                .to_owned()
        }
        StatusCode::FORBIDDEN => {
            "a firewall or a proxy that filters forbids it: allow the server's address and the \
             path /tunnel/v1 there"
                .to_owned()
        }
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
            format!("another server, or no route to ours: check --server, and {balancer}")
        }
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            format!(
                "a load balancer that does not reach the tunnel-server: see if that runs, and {balancer}"
            )
        }
        _ if status.is_success() => {
            format!(
                "it does not pass on requests to upgrade, or it is another server: check --server, and {balancer}, with HTTP upgrades or WebSocket"
            )
        }
        _ => format!("check --server, and {balancer}"),
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn told(status: u16, headers: &[(HeaderName, &'static str)]) -> String {
        let headers = headers.iter().cloned();
        let headers = headers.map(|(name, text)| (name, HeaderValue::from_static(text)));
        Stranger::read(StatusCode::from_u16(status).unwrap(), &headers.collect()).to_string()
    }

    #[test]
    fn the_box_and_the_cure_are_named() {
        for (status, headers, expected) in [
            (
                302,
                vec![],
                "something on the way answered 302 Found, not the tunnel-server: it sends us on, as",
            ),
            (
                401,
                vec![
                    (SERVER, "gatekeeper/2"),
                    (WWW_AUTHENTICATE, "Basic realm=x"),
                ],
                "\"gatekeeper/2\" answered 401 Unauthorized, not the tunnel-server: a gateway \
                 that wants credentials of its own (Basic realm=x)",
            ),
            (
                403,
                vec![(VIA, "1.1 filter")],
                "something via \"1.1 filter\" answered 403",
            ),
            (
                503,
                vec![(SERVER, "nginx")],
                "does not reach the tunnel-server",
            ),
            (200, vec![], "does not pass on requests to upgrade"),
            (101, vec![], "another server listens there"),
        ] {
            let told = told(status, &headers);
            assert!(told.contains(expected), "{told}");
        }
    }
}

//! Who calls: an access token, as `Authorization: Bearer`, or for browsers'
//! WebSockets, which cannot set headers, as a subprotocol.

use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderValue};
use http_relay::headers::tokens;
use thiserror::Error;
use tunnel_protocol::token::{Token, TokenError, TokenKind};
use zeroize::Zeroizing;

use super::error::GatewayError;
use crate::access::{AccessStore, Caller};
use crate::audit::AuthenticatedBy;

/// Kubernetes' own form of a token among the subprotocols.
const BEARER_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

/// No caller could be told. Which of the reasons about a token it was is no
/// secret: a checksum needs no look-up.
#[derive(Debug, Error)]
pub(crate) enum Unauthenticated {
    #[error("no access token; send one as Authorization: Bearer")]
    Missing,
    #[error("several credentials; send one")]
    Several,
    #[error("{0}")]
    Token(#[from] TokenError),
    #[error("the access token is not known: it was revoked or has expired")]
    Unknown,
}

/// Takes the credentials out of the headers and tells whose they are.
pub(crate) async fn caller(
    headers: &mut HeaderMap,
    store: &dyn AccessStore,
) -> Result<(Arc<Caller>, AuthenticatedBy), GatewayError> {
    let found = credential(headers);
    remove(headers);
    let (token, by) = found?;
    let caller = store.caller(token.hash()).await?;
    let caller = caller.ok_or(Unauthenticated::Unknown)?;
    Ok((caller, by))
}

/// Whether the credential is among the subprotocols and nowhere else: a page that
/// opens a WebSocket names those itself, while headers may be added to whatever any
/// page asks for.
pub(crate) fn is_the_pages_own(headers: &HeaderMap) -> bool {
    !headers.contains_key(AUTHORIZATION)
        && tokens(headers, &SEC_WEBSOCKET_PROTOCOL)
            .any(|protocol| protocol.starts_with(BEARER_PROTOCOL))
}

fn credential(headers: &HeaderMap) -> Result<(Token, AuthenticatedBy), Unauthenticated> {
    let authorizations = headers
        .get_all(AUTHORIZATION)
        .iter()
        .map(|value| (bearer(value), AuthenticatedBy::AccessToken));
    let protocols = tokens(headers, &SEC_WEBSOCKET_PROTOCOL)
        .filter_map(|protocol| protocol.strip_prefix(BEARER_PROTOCOL))
        .map(|encoded| {
            let decoded = BASE64URL_NOPAD.decode(encoded.as_bytes()).ok();
            let text = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
            (
                text.map(Zeroizing::new),
                AuthenticatedBy::AccessTokenSubprotocol,
            )
        });
    let mut found = authorizations.chain(protocols);
    match (found.next(), found.next()) {
        (None, _) => Err(Unauthenticated::Missing),
        (Some(_), Some(_)) => Err(Unauthenticated::Several),
        (Some((text, by)), None) => {
            let token = Token::parse(TokenKind::Access, &text.unwrap_or_default())?;
            Ok((token, by))
        }
    }
}

fn bearer(value: &HeaderValue) -> Option<Zeroizing<String>> {
    let (scheme, token) = value.to_str().ok()?.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| Zeroizing::new(token.to_owned()))
}

fn remove(headers: &mut HeaderMap) {
    http_relay::headers::retain(headers, |name| name != AUTHORIZATION);
    // A line that is no text could hide one from us that the cluster reads.
    let suspect = |value: &HeaderValue| {
        value
            .to_str()
            .map_or(true, |line| line.contains(BEARER_PROTOCOL))
    };
    if !headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().any(suspect) {
        return;
    }
    let others: Vec<_> = tokens(headers, &SEC_WEBSOCKET_PROTOCOL)
        .filter(|protocol| !protocol.starts_with(BEARER_PROTOCOL))
        .collect();
    let others = HeaderValue::try_from(others.join(", "))
        .ok()
        .filter(|value| !value.is_empty());
    http_relay::headers::retain(headers, |name| name != SEC_WEBSOCKET_PROTOCOL);
    if let Some(others) = others {
        headers.insert(SEC_WEBSOCKET_PROTOCOL, others);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> Token {
        Token::from_random(TokenKind::Access, &[3; 32])
    }

    fn headers(lines: &[(http::HeaderName, String)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name.clone(), HeaderValue::try_from(value).unwrap());
        }
        headers
    }

    #[test]
    fn bearer_in_any_case_and_as_subprotocol() {
        let text = token().expose().to_owned();
        for scheme in ["Bearer", "bearer", "BEARER"] {
            let found =
                credential(&headers(&[(AUTHORIZATION, format!("{scheme} {text}"))])).unwrap();
            assert_eq!(found.0.hash(), token().hash());
            assert_eq!(found.1, AuthenticatedBy::AccessToken);
        }
        let protocol = format!(
            "{BEARER_PROTOCOL}{}",
            BASE64URL_NOPAD.encode(text.as_bytes())
        );
        let mut map = headers(&[(
            SEC_WEBSOCKET_PROTOCOL,
            format!("{protocol}, v5.channel.k8s.io, base64.channel.k8s.io"),
        )]);
        let (found, by) = credential(&map).unwrap();
        assert_eq!(found.hash(), token().hash());
        assert_eq!(by, AuthenticatedBy::AccessTokenSubprotocol);
        remove(&mut map);
        assert_eq!(
            map[SEC_WEBSOCKET_PROTOCOL],
            "v5.channel.k8s.io, base64.channel.k8s.io"
        );
        let mut alone = headers(&[(SEC_WEBSOCKET_PROTOCOL, protocol.clone())]);
        remove(&mut alone);
        assert!(alone.is_empty());
        let mut hidden = headers(&[(SEC_WEBSOCKET_PROTOCOL, format!("{protocol}, \u{ff}"))]);
        remove(&mut hidden);
        assert!(hidden.is_empty());
    }

    #[test]
    fn anything_else_is_nobody() {
        let text = token().expose().to_owned();
        assert!(matches!(
            credential(&HeaderMap::new()),
            Err(Unauthenticated::Missing)
        ));
        for value in [
            format!("Basic {text}"),
            text.clone(),
            "Bearer".into(),
            format!("Bearer {text}x"),
        ] {
            assert!(matches!(
                credential(&headers(&[(AUTHORIZATION, value)])),
                Err(Unauthenticated::Token(_))
            ));
        }
        let twice = headers(&[
            (AUTHORIZATION, format!("Bearer {text}")),
            (AUTHORIZATION, format!("Bearer {text}")),
        ]);
        assert!(matches!(credential(&twice), Err(Unauthenticated::Several)));
    }
}

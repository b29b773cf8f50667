//! A caller's headers on their way to a link: framing, then identity. Lines of
//! `name: value`.

use std::net::IpAddr;

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, HeaderValue};
use http_relay::headers::{remove_hop_by_hop, remove_ours, tokens};
use http_relay::{framing, upgrade};
use tunnel_server::gateway::identity;

use crate::input::{flat, header_lines};

const OURS: &str = "set by the server";
const PEER: &str = "192.0.2.7";

/// Spelled out here once more, so that the list there can lose nothing unseen.
const CLAIMS: &[&str] = &["authorization", "cookie", "forwarded", "x-real-ip"];
const CLAIM_PREFIXES: &[&str] = &["culvert-", "impersonate-", "x-remote-", "x-forwarded-"];
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
];

/// Whatever a caller claims is gone, whatever `Connection` names; and nothing
/// else is.
pub fn run(bytes: &[u8]) {
    let headers = header_lines(bytes);
    framing_has_one_reading(&headers);
    identity_is_ours(&headers);
    hop_by_hop_goes(&headers);
    let _ = upgrade::requested(&headers);
    let mut without_ours = headers;
    remove_ours(&mut without_ours, &[]);
    assert!(
        !without_ours
            .keys()
            .any(|name| name.as_str().starts_with("culvert-"))
    );
}

fn framing_has_one_reading(headers: &HeaderMap) {
    if framing::check(headers).is_err() {
        return;
    }
    let lengths: Vec<_> = headers.get_all(CONTENT_LENGTH).iter().collect();
    let encodings: Vec<_> = headers.get_all(TRANSFER_ENCODING).iter().collect();
    assert!(lengths.len() + encodings.len() <= 1);
    for length in lengths {
        let number = length
            .to_str()
            .ok()
            .and_then(|text| text.parse::<u64>().ok());
        assert!(number.is_some() && length.as_bytes().iter().all(u8::is_ascii_digit));
    }
    for encoding in encodings {
        assert!(encoding.as_bytes().eq_ignore_ascii_case(b"chunked"));
    }
    let mut taken = headers.clone();
    assert_eq!(framing::take(&mut taken), Ok(()));
    assert!(!taken.contains_key(CONTENT_LENGTH) && !taken.contains_key(TRANSFER_ENCODING));
}

fn identity_is_ours(headers: &HeaderMap) {
    let replaced = replaced(headers);
    let (claims, rest): (Vec<_>, Vec<_>) = flat(&replaced)
        .into_iter()
        .partition(|(name, _)| claims(name));
    let ours = [("x-forwarded-for", PEER), ("culvert-request-id", OURS)].map(|(name, value)| {
        (
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    });
    assert_eq!(claims, ours, "claims are left");
    assert_eq!(
        replaced,
        self::replaced(&replaced),
        "a second time changes more"
    );
    // What is no claim and of no hop stays, in its order.
    let mut expected = flat(headers);
    let named = named_by_connection(headers);
    expected.retain(|(name, _)| !claims_or_hops(name) && !named.contains(name));
    assert_eq!(rest, expected);
}

fn replaced(headers: &HeaderMap) -> HeaderMap {
    let mut headers = headers.clone();
    let peer = PEER.parse().unwrap_or(IpAddr::from([0, 0, 0, 0]));
    identity::replace(&mut headers, peer, &HeaderValue::from_static(OURS));
    headers
}

fn hop_by_hop_goes(headers: &HeaderMap) {
    let named = named_by_connection(headers);
    let mut cleaned = headers.clone();
    remove_hop_by_hop(&mut cleaned);
    for name in cleaned.keys() {
        assert!(
            !HOP_BY_HOP.contains(&name.as_str()) && !named.contains(name),
            "{name}"
        );
    }
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    tokens(headers, &http::header::CONNECTION)
        .filter_map(|token| token.parse().ok())
        .collect()
}

fn claims(name: &HeaderName) -> bool {
    let name = name.as_str();
    CLAIMS.contains(&name) || CLAIM_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

fn claims_or_hops(name: &HeaderName) -> bool {
    claims(name) || HOP_BY_HOP.contains(&name.as_str())
}

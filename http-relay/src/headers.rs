//! Header work that every hop does. Removal keeps the order of what stays,
//! which `HeaderMap::remove` does not.

use http::header::{CONNECTION, TE, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Headers that belong to one connection, beside those that `Connection` names.
/// `Trailer` is not among them: on an HTTP/1.1 hop hyper sends only trailers
/// that were announced, so the announcement has to travel with them. `Expect`
/// is: 100 (Continue) is answered at the edge, since hyper relays no 1xx.
fn is_hop_by_hop(name: &HeaderName) -> bool {
    [CONNECTION, TE, TRANSFER_ENCODING, UPGRADE].contains(name)
        || matches!(
            name.as_str(),
            "keep-alive"
                | "proxy-connection"
                | "proxy-authenticate"
                | "proxy-authorization"
                | "http2-settings"
                | "expect"
        )
}

/// Keeps the headers that `keep` accepts, in their order.
pub fn retain(headers: &mut HeaderMap, keep: impl Fn(&HeaderName) -> bool) {
    if headers.keys().all(&keep) {
        return;
    }
    let old = std::mem::take(headers);
    headers.reserve(old.len());
    let mut current = None;
    for (name, value) in old {
        // The iterator names a header once, with the first of its values.
        if name.is_some() {
            current = name;
        }
        if let Some(name) = current.as_ref().filter(|name| keep(name)) {
            headers.append(name.clone(), value);
        }
    }
}

/// Removes what belongs to the connection the message came on: the listed
/// headers and each that `Connection` names.
pub fn remove_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = tokens(headers, &CONNECTION)
        .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
        .collect();
    retain(headers, |name| {
        !is_hop_by_hop(name) && !named.contains(name)
    });
}

/// Removes every header of the tunnel's own except those in `but`.
pub fn remove_ours(headers: &mut HeaderMap, but: &[HeaderName]) {
    retain(headers, |name| {
        !tunnel_protocol::header::is_ours(name) || but.contains(name)
    });
}

/// The comma-separated tokens of all lines of a header, trimmed.
pub fn tokens<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> impl Iterator<Item = &'a str> + use<'a> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
        .filter(|token| !token.is_empty())
}

/// Whether a header holds a token, compared without case.
#[must_use]
pub fn has_token(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    tokens(headers, name).any(|one| one.eq_ignore_ascii_case(token))
}

/// Asks an HTTP/1.1 peer for trailers; without it they are not sent.
pub fn ask_for_trailers(headers: &mut HeaderMap) {
    headers.insert(TE, HeaderValue::from_static("trailers"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        headers
    }

    fn lines(headers: &HeaderMap) -> Vec<(String, String)> {
        headers
            .iter()
            .map(|(n, v)| (n.to_string(), v.to_str().unwrap().to_owned()))
            .collect()
    }

    #[test]
    fn what_connection_names_goes_and_the_rest_keeps_its_order() {
        let mut headers = map(&[
            ("warning", "1"),
            ("connection", "close, X-Drop"),
            ("audit-id", "a"),
            ("x-drop", "y"),
            ("warning", "2"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip"),
            ("date", "d"),
            ("etag", "e"),
        ]);
        remove_hop_by_hop(&mut headers);
        let expected = map(&[
            ("warning", "1"),
            ("warning", "2"),
            ("audit-id", "a"),
            ("date", "d"),
            ("etag", "e"),
        ]);
        assert_eq!(lines(&headers), lines(&expected));
    }

    #[test]
    fn several_connection_lines_count() {
        let mut headers = map(&[
            ("connection", "a"),
            ("connection", "b ,c"),
            ("a", "1"),
            ("b", "1"),
            ("c", "1"),
            ("d", "1"),
        ]);
        remove_hop_by_hop(&mut headers);
        assert_eq!(lines(&headers), lines(&map(&[("d", "1")])));
    }

    #[test]
    fn forged_headers_of_ours_go() {
        let mut headers = map(&[
            ("culvert-upgrade", "websocket"),
            ("x", "1"),
            ("culvert-error", "filtered"),
        ]);
        remove_ours(&mut headers, &[tunnel_protocol::header::ERROR]);
        assert_eq!(
            lines(&headers),
            lines(&map(&[("x", "1"), ("culvert-error", "filtered")]))
        );
    }
}

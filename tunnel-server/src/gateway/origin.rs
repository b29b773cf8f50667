//! Whose page made a browser send a request. Cookies and headers that an
//! extension adds go with whatever any page asks for, so another origin's page
//! gets nothing but what a link can do: show a page in a tab of its own.
//!
//! Programs send none of these headers, or like Python's websocket-client their
//! server's own origin. A WebSocket whose page shows a token of its own, as a
//! platform's console does, rests on nothing that the browser adds: it may be
//! anybody's.

use http::header::{HeaderName, ORIGIN, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, Request};
use thiserror::Error;

use super::authenticate::is_the_pages_own;
use super::target::{TargetError, authority};

const SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const DESTINATION: HeaderName = HeaderName::from_static("sec-fetch-dest");

/// Another origin's page asked for it.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum CrossOrigin {
    /// An upgrade, or a method that changes something.
    #[error(
        "the Origin header is another one than that of this URL; \
        a program is to send none, or this URL's"
    )]
    Origin,
    /// Anything but a tab of its own.
    #[error("a web page of another origin sent this, as the header Sec-Fetch-Site says")]
    Page,
    #[error(transparent)]
    Target(#[from] TargetError),
}

/// Refuses what another origin's page made a browser send.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), CrossOrigin> {
    let headers = request.headers();
    let upgrades = headers.contains_key(UPGRADE);
    if upgrades && request.method() == Method::GET && is_the_pages_own(headers) {
        return Ok(());
    }
    let own = without_default_port(authority(request)?);
    let foreign = |origin: &HeaderValue| !is_origin(origin, &own);
    let changes = ![Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method());
    if (changes || upgrades) && headers.get_all(ORIGIN).iter().any(foreign) {
        return Err(CrossOrigin::Origin);
    }
    // Browsers before 2023 do not say it; what the line above leaves to them can
    // change nothing, and no cluster may let them read the answer.
    let another = |site: &HeaderValue| site != "same-origin" && site != "none";
    if headers.get_all(SITE).iter().any(another) && !opens_a_tab(request) {
        return Err(CrossOrigin::Page);
    }
    Ok(())
}

/// Whether it shows a page and no more. Not in a frame, where the page around it
/// could lead its clicks.
fn opens_a_tab<B>(request: &Request<B>) -> bool {
    let headers = request.headers();
    [Method::GET, Method::HEAD].contains(request.method())
        && !headers.contains_key(UPGRADE)
        && is_just(headers, &MODE, "navigate")
        && is_just(headers, &DESTINATION, "document")
}

fn is_just(headers: &HeaderMap, name: &HeaderName, value: &str) -> bool {
    let mut lines = headers.get_all(name).iter();
    lines.next().is_some_and(|line| line == value) && lines.next().is_none()
}

/// Callers come by TLS, so the scheme of the server's own origins is https.
fn is_origin(origin: &HeaderValue, own: &str) -> bool {
    let origin = origin.to_str().ok();
    let authority = origin.and_then(|origin| origin.strip_prefix("https://"));
    authority.is_some_and(|authority| without_default_port(authority) == own)
}

fn without_default_port(authority: &str) -> String {
    let authority = authority.to_ascii_lowercase();
    match authority.strip_suffix(":443") {
        Some(host) => host.to_owned(),
        None => authority,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::HOST;

    const HOSTNAME: &str = "prod.culvert.example:8443";
    const OWN: (&str, &str) = ("origin", "https://prod.culvert.example:8443");
    const EVIL: (&str, &str) = ("origin", "https://evil.example");
    const WEBSOCKET: (&str, &str) = ("upgrade", "websocket");
    const NAVIGATE: (&str, &str) = ("sec-fetch-mode", "navigate");
    const DOCUMENT: (&str, &str) = ("sec-fetch-dest", "document");

    fn checked(method: &str, host: &str, lines: &[(&str, &str)]) -> Result<(), CrossOrigin> {
        let mut request = Request::builder()
            .method(method)
            .uri("/")
            .header(HOST, host);
        for (name, value) in lines {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap())
    }

    #[test]
    fn programs_pass() {
        for method in ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"] {
            assert_eq!(checked(method, HOSTNAME, &[]), Ok(()));
            assert_eq!(checked(method, HOSTNAME, &[WEBSOCKET]), Ok(()));
            assert_eq!(checked(method, HOSTNAME, &[OWN, WEBSOCKET]), Ok(()));
        }
    }

    #[test]
    fn the_own_origin_in_every_spelling() {
        for (host, origin, own) in [
            ("a.example", "https://a.example", true),
            ("a.example", "https://a.example:443", true),
            ("a.example:443", "https://a.example", true),
            ("A.Example", "https://a.eXample", true),
            ("[::1]:443", "https://[::1]", true),
            ("a.example.", "https://a.example.", true),
            ("a.example:8443", "https://a.example:8443", true),
            ("a.example:8443", "https://a.example", false),
            ("a.example", "https://a.example:8443", false),
            ("a.example", "http://a.example", false),
            ("a.example", "http://a.example:443", false),
            ("a.example", "https://b.example", false),
            ("a.example", "https://a.example.evil.example", false),
            ("a.example", "https://evil.example/https://a.example", false),
            ("a.example", "https://user@a.example", false),
            ("a.example", "http://localhost", false),
            ("a.example", "a.example", false),
            ("a.example", "null", false),
            ("a.example", "", false),
            ("a.example", "https://a.example\u{e4}", false),
        ] {
            let got = checked("POST", host, &[("origin", origin)]);
            assert_eq!(got.is_ok(), own, "{host} {origin}");
        }
        let mixed = checked("POST", HOSTNAME, &[OWN, EVIL]);
        assert_eq!(mixed, Err(CrossOrigin::Origin));
    }

    #[test]
    fn another_origin_changes_nothing_and_opens_no_stream() {
        for origin in [EVIL, ("origin", "null")] {
            for method in ["POST", "PUT", "PATCH", "DELETE", "TRACE", "MADEUP"] {
                let got = checked(method, HOSTNAME, &[origin]);
                assert_eq!(got, Err(CrossOrigin::Origin), "{method}");
            }
            let got = checked("GET", HOSTNAME, &[origin, WEBSOCKET]);
            assert_eq!(got, Err(CrossOrigin::Origin));
            assert_eq!(checked("GET", HOSTNAME, &[origin]), Ok(()));
        }
    }

    #[test]
    fn a_socket_with_a_token_of_its_page_is_anybodys() {
        let token = (
            "sec-websocket-protocol",
            "v5.channel.k8s.io, base64url.bearer.authorization.k8s.io.eA",
        );
        let added = ("authorization", "Bearer x");
        let site = ("sec-fetch-site", "cross-site");
        assert_eq!(
            checked("GET", HOSTNAME, &[EVIL, site, WEBSOCKET, token]),
            Ok(())
        );
        for (method, lines) in [
            ("GET", vec![EVIL, WEBSOCKET, token, added]),
            ("GET", vec![EVIL, WEBSOCKET, added]),
            ("POST", vec![EVIL, WEBSOCKET, token]),
            ("GET", vec![site, token]),
            (
                "GET",
                vec![
                    EVIL,
                    WEBSOCKET,
                    ("sec-websocket-protocol", "v5.channel.k8s.io"),
                ],
            ),
        ] {
            assert!(
                checked(method, HOSTNAME, &lines).is_err(),
                "{method} {lines:?}"
            );
        }
    }

    #[test]
    fn another_sites_page_opens_tabs_only() {
        for site in ["cross-site", "same-site", "", "made-up", "Same-Origin"] {
            let site = ("sec-fetch-site", site);
            for method in ["GET", "HEAD"] {
                let tab = [site, NAVIGATE, DOCUMENT];
                assert_eq!(checked(method, HOSTNAME, &tab), Ok(()));
            }
            for (method, rest) in [
                ("GET", vec![]),
                ("GET", vec![NAVIGATE]),
                ("GET", vec![("sec-fetch-mode", "no-cors")]),
                ("GET", vec![("sec-fetch-mode", "cors"), DOCUMENT]),
                ("GET", vec![NAVIGATE, ("sec-fetch-dest", "iframe")]),
                ("GET", vec![NAVIGATE, DOCUMENT, DOCUMENT]),
                ("GET", vec![NAVIGATE, DOCUMENT, WEBSOCKET]),
                ("POST", vec![NAVIGATE, DOCUMENT]),
                ("OPTIONS", vec![("sec-fetch-mode", "cors")]),
            ] {
                let lines: Vec<_> = [site].into_iter().chain(rest).collect();
                let got = checked(method, HOSTNAME, &lines);
                assert_eq!(got, Err(CrossOrigin::Page), "{method} {lines:?}");
            }
        }
        for site in ["same-origin", "none"] {
            let site = ("sec-fetch-site", site);
            assert_eq!(checked("GET", HOSTNAME, &[site]), Ok(()));
            assert_eq!(checked("POST", HOSTNAME, &[site, OWN]), Ok(()));
            // A page with an opaque origin is nobody's.
            let opaque = checked("POST", HOSTNAME, &[site, ("origin", "null")]);
            assert_eq!(opaque, Err(CrossOrigin::Origin));
        }
    }
}

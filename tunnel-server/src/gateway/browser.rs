//! A cluster's answer may be a web page, made by a stranger. What it may do in a
//! browser is bounded here.

use http::header::{
    CONTENT_LOCATION, CONTENT_SECURITY_POLICY, HeaderName, LOCATION, SET_COOKIE,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use http_relay::headers::retain;

use super::location;
use super::target::ClusterTarget;
use crate::hosts::Hosts;

/// What speaks for a whole host for longer than an answer lives, and stays in the
/// browser when the name is another cluster's: TLS, keys, other addresses, where
/// to report each request to, what to forget, who is logged in.
const FOR_THE_HOST: &[&str] = &[
    "strict-transport-security",
    "alt-svc",
    "public-key-pins",
    "public-key-pins-report-only",
    "clear-site-data",
    "expect-ct",
    "nel",
    "report-to",
    // A browser that is told otherwise lets two subdomains join by `document.domain`.
    "origin-agent-cluster",
    // Sessions bound to a device may be the whole site's.
    "sec-session-registration",
    "sec-session-challenge",
    "secure-session-registration",
    "secure-session-challenge",
];

/// The server refuses other origins' pages (`origin.rs`): no cluster lets them in,
/// be it by an API server's `--cors-allowed-origins=.*`.
const FOR_OTHER_ORIGINS: &str = "access-control-";

/// By path also what would be the shared origin's: cookies, service workers, what
/// a browser keeps, fetches or goes to by itself. `Content-Security-Policy`
/// stays, as several only add to each other; so do `X-Frame-Options`,
/// `Cross-Origin-*` and `Permissions-Policy`, which bind one page.
const FOR_THE_SHARED_ORIGIN: &[&str] = &[
    "set-cookie",
    // Could be no right link, as it lacks the prefix.
    "link",
    "refresh",
    "service-worker-allowed",
    "speculation-rules",
    "use-as-dictionary",
    "reporting-endpoints",
    "accept-ch",
    "critical-ch",
    "set-login",
    "sourcemap",
    "x-sourcemap",
];

/// No scripts, no forms, an origin of its own, and no page around it.
const CONFINED: HeaderValue = HeaderValue::from_static("sandbox; frame-ancestors 'none'");

/// Rewrites an answer's headers for the way it was asked for.
pub(crate) fn confine(headers: &mut HeaderMap, target: &ClusterTarget, hosts: &Hosts) {
    retain(headers, |name| !match target.by_path {
        true => is_for_more_than_a_page(name),
        false => is_for_the_host(name),
    });
    for name in [LOCATION, CONTENT_LOCATION] {
        replace(headers, &name, |reference| {
            location::rewrite(reference, target, hosts)
        });
    }
    if target.by_path {
        headers.append(CONTENT_SECURITY_POLICY, CONFINED);
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    } else {
        replace(headers, &SET_COOKIE, host_only);
    }
}

fn is_for_the_host(name: &HeaderName) -> bool {
    let name = name.as_str();
    FOR_THE_HOST.contains(&name) || name.starts_with(FOR_OTHER_ORIGINS)
}

/// Whether a header speaks for the host, or for the origin that clusters share by
/// path.
pub(super) fn is_for_more_than_a_page(name: &HeaderName) -> bool {
    is_for_the_host(name) || FOR_THE_SHARED_ORIGIN.contains(&name.as_str())
}

/// Replaces each value of a header, or removes the header if one is to go: which
/// of several counts depends on the reader.
fn replace(
    headers: &mut HeaderMap,
    name: &HeaderName,
    new: impl Fn(&HeaderValue) -> Option<HeaderValue>,
) {
    let of_it = headers.iter_mut().filter(|(one, _)| *one == name);
    let all_there = of_it.fold(true, |all_there, (_, value)| match new(value) {
        Some(new) => {
            *value = new;
            all_there
        }
        None => false,
    });
    if !all_there {
        retain(headers, |one| one != name);
    }
}

/// A cookie without its `Domain`, which would send it to every other cluster. So a
/// name with `__Host-` holds what it promises; the others no cluster can see
/// either, as no `Cookie` crosses.
fn host_only(cookie: &HeaderValue) -> Option<HeaderValue> {
    let mut parts = cookie.as_bytes().split(|byte| *byte == b';');
    let mut kept = parts.next()?.to_vec();
    for attribute in parts {
        let name = attribute.split(|byte| *byte == b'=').next()?;
        if !name.trim_ascii().eq_ignore_ascii_case(b"domain") {
            kept.push(b';');
            kept.extend_from_slice(attribute);
        }
    }
    HeaderValue::from_bytes(&kept).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::uri::PathAndQuery;
    use tunnel_protocol::ClusterName;

    fn confined(lines: &[(&'static str, &'static str)], by_path: bool) -> Vec<(String, String)> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            );
        }
        let name = ClusterName::parse("prod").unwrap();
        confine(
            &mut headers,
            &ClusterTarget {
                name,
                path: PathAndQuery::from_static("/"),
                by_path,
            },
            &Hosts {
                base: "culvert.example".into(),
                extra: Vec::new(),
            },
        );
        headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned()))
            .collect()
    }

    fn lines(lines: &[(&str, &str)]) -> Vec<(String, String)> {
        lines
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect()
    }

    /// What no cluster says for its host, however it is called.
    const DROPPED: &[(&str, &str)] = &[
        ("strict-transport-security", "max-age=1"),
        ("alt-svc", "h3"),
        ("clear-site-data", "*"),
        ("nel", "{}"),
        ("report-to", "{}"),
        ("access-control-allow-origin", "*"),
        ("access-control-allow-credentials", "true"),
        ("origin-agent-cluster", "?0"),
    ];

    #[test]
    fn by_hostname_cookies_stay_on_their_host() {
        let kept = [
            ("location", "/x"),
            ("content-security-policy", "default-src *"),
            ("service-worker-allowed", "/"),
            ("link", "</x>; rel=next"),
            ("etag", "e"),
        ];
        let cookies = [
            ("set-cookie", "a=1; Path=/; Domain=example.com; Secure"),
            ("set-cookie", "b=2; domain=x"),
            ("set-cookie", "domain=3;\tDOMAIN = x;domain"),
            ("set-cookie", "__Host-c=4; Secure; Path=/"),
        ];
        let got = confined(&[&cookies, DROPPED, &kept].concat(), false);
        let cookies = [
            ("set-cookie", "a=1; Path=/; Secure"),
            ("set-cookie", "b=2"),
            ("set-cookie", "domain=3"),
            ("set-cookie", "__Host-c=4; Secure; Path=/"),
        ];
        assert_eq!(got, lines(&[&cookies[..], &kept].concat()));
    }

    #[test]
    fn a_cookie_that_is_no_text_loses_its_domain_too() {
        let cookie = HeaderValue::from_bytes(b"a=\xff; Domain=x; Secure").unwrap();
        assert_eq!(host_only(&cookie).unwrap().as_bytes(), b"a=\xff; Secure");
    }

    #[test]
    fn by_path_pages_have_no_origin_and_redirects_stay_inside() {
        let dropped = [
            ("set-cookie", "a=1"),
            ("link", "</clusters/b/api>; rel=preload"),
            ("refresh", "0; url=/clusters/b/"),
            ("service-worker-allowed", "/"),
        ];
        let kept = [
            ("location", "/api/"),
            ("content-location", "http://localhost/a"),
            ("content-security-policy", "sandbox allow-scripts"),
            ("x-content-type-options", "sniff"),
        ];
        let got = confined(&[&dropped, DROPPED, &kept].concat(), true);
        let expected = [
            ("location", "/clusters/prod/api/"),
            ("content-location", "/clusters/prod/a"),
            ("content-security-policy", "sandbox allow-scripts"),
            ("content-security-policy", "sandbox; frame-ancestors 'none'"),
            ("x-content-type-options", "nosniff"),
        ];
        assert_eq!(got, lines(&expected));
        let several = [
            ("location", "/a"),
            ("location", "javascript:x"),
            ("etag", "e"),
        ];
        assert_eq!(confined(&several, true)[0].0, "etag");
    }
}

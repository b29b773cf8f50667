//! A cluster's answer may be a web page, made by a stranger. What it may do in a
//! browser is bounded here.

use http::header::{
    CONTENT_SECURITY_POLICY, HeaderName, LOCATION, SET_COOKIE, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderValue};
use http_relay::headers::retain;

use super::target::ClusterTarget;

const ALT_SVC: HeaderName = HeaderName::from_static("alt-svc");
const CLEAR_SITE_DATA: HeaderName = HeaderName::from_static("clear-site-data");

/// Rewrites an answer's headers for the way it was asked for.
pub(crate) fn confine(headers: &mut HeaderMap, target: &ClusterTarget) {
    // They would speak for the whole host, or for its siblings.
    retain(headers, |name| {
        ![STRICT_TRANSPORT_SECURITY, ALT_SVC, CLEAR_SITE_DATA].contains(name)
    });
    match target.prefix() {
        Some(prefix) => confine_to_path(headers, &prefix),
        None => keep_cookies_on_their_host(headers),
    }
}

/// By path all clusters share one origin with the server: their pages get none,
/// and no cookies.
fn confine_to_path(headers: &mut HeaderMap, prefix: &str) {
    retain(headers, |name| name != SET_COOKIE);
    headers.append(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let location = headers
        .get(LOCATION)
        .and_then(|location| location.to_str().ok());
    // `//host` is another host's.
    let local =
        location.filter(|location| location.starts_with('/') && !location.starts_with("//"));
    if let Some(location) =
        local.and_then(|location| HeaderValue::try_from(format!("{prefix}{location}")).ok())
    {
        headers.insert(LOCATION, location);
    }
}

/// A `Domain` would send the cookie to every other cluster.
fn keep_cookies_on_their_host(headers: &mut HeaderMap) {
    for cookie in headers
        .iter_mut()
        .filter(|(name, _)| *name == SET_COOKIE)
        .map(|(_, value)| value)
    {
        let kept = cookie.to_str().ok().and_then(|text| {
            let attributes = text.split(';').filter(|attribute| {
                let name = attribute.split('=').next().unwrap_or_default();
                !name.trim().eq_ignore_ascii_case("domain")
            });
            HeaderValue::try_from(attributes.collect::<Vec<_>>().join(";")).ok()
        });
        // What cannot be read is not a cookie worth keeping.
        *cookie = kept.unwrap_or(HeaderValue::from_static(""));
    }
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

    #[test]
    fn by_hostname_cookies_stay_on_their_host() {
        let got = confined(
            &[
                ("set-cookie", "a=1; Path=/; Domain=example.com; Secure"),
                ("set-cookie", "b=2; domain=x"),
                ("strict-transport-security", "max-age=1"),
                ("alt-svc", "h3"),
                ("clear-site-data", "*"),
                ("location", "/x"),
                ("etag", "e"),
            ],
            false,
        );
        assert_eq!(
            got,
            lines(&[
                ("set-cookie", "a=1; Path=/; Secure"),
                ("set-cookie", "b=2"),
                ("location", "/x"),
                ("etag", "e")
            ])
        );
    }

    #[test]
    fn by_path_pages_have_no_origin_and_redirects_stay_inside() {
        let got = confined(&[("set-cookie", "a=1"), ("location", "/api/")], true);
        let expected = [
            ("location", "/clusters/prod/api/"),
            ("content-security-policy", "sandbox"),
            ("x-content-type-options", "nosniff"),
        ];
        assert_eq!(got, lines(&expected));
        assert_eq!(confined(&[("location", "//evil/")], true)[0].1, "//evil/");
    }
}

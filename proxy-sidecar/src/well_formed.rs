//! What Go's server refuses of a request that hyper takes, in its order, so that no
//! two readers of a request's host or target can mean different ones.

use http::header::{EXPECT, HOST};
use http::{HeaderMap, Method, Request, StatusCode, Version};
use thiserror::Error;

/// Refused before anything else is looked at.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub(crate) enum Malformed {
    /// HTTP/1.1 needs one, with an absolute target, too.
    #[error("missing required Host header")]
    NoHost,
    /// Which of them is meant?
    #[error("there are several Host headers")]
    Hosts,
    #[error("malformed Host header")]
    Host,
    /// Neither a path nor `OPTIONS *`.
    #[error("the request's target is no path")]
    Target,
    #[error("only OPTIONS asks for *")]
    Asterisk,
    /// The API server has no use for it, and hyper opens a tunnel where one is granted.
    #[error("CONNECT is not forwarded")]
    Connect,
    #[error("an expectation other than 100-continue")]
    Expectation,
}

impl Malformed {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// What Go's server says of it, behind the status.
    pub(crate) fn in_gos_words(self) -> &'static str {
        match self {
            Self::NoHost => "400 Bad Request: missing required Host header",
            Self::Host => "400 Bad Request: malformed Host header",
            Self::Expectation | Self::Asterisk => "",
            _ => "400 Bad Request",
        }
    }
}

/// Checks a request's first line and the headers that say where it goes.
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), Malformed> {
    check_host(request.headers(), request.version())?;
    check_target(request)?;
    let expected = request.headers().get(EXPECT).map(|value| value.as_bytes());
    match expected {
        None | Some(b"") => Ok(()),
        Some(value) if value.eq_ignore_ascii_case(b"100-continue") => Ok(()),
        Some(_) => Err(Malformed::Expectation),
    }
}

fn check_host(headers: &HeaderMap, version: Version) -> Result<(), Malformed> {
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (None, _) if version == Version::HTTP_11 => Err(Malformed::NoHost),
        (None, _) => Ok(()),
        (Some(_), Some(_)) => Err(Malformed::Hosts),
        (Some(host), None) if host.as_bytes().iter().all(|byte| may_be_in_host(*byte)) => Ok(()),
        (Some(_), None) => Err(Malformed::Host),
    }
}

/// RFC 3986's reg-name, and what an IP address in brackets and a port need.
fn may_be_in_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$%&'()*+,-.:;=[]_~".contains(&byte)
}

fn check_target<B>(request: &Request<B>) -> Result<(), Malformed> {
    let (uri, method) = (request.uri(), request.method());
    if method == Method::CONNECT {
        return Err(Malformed::Connect);
    }
    match uri.path() {
        path if path.starts_with('/') => Ok(()),
        "*" if method == Method::OPTIONS => Ok(()),
        "*" => Err(Malformed::Asterisk),
        _ => Err(Malformed::Target),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(line: &str, headers: &[(&str, &str)]) -> Result<(), Malformed> {
        let (method, target) = line.split_once(' ').unwrap();
        let mut request = Request::builder().method(method).uri(target);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap())
    }

    #[test]
    fn one_host_of_the_right_bytes() {
        for host in ["", "localhost:abc", "[fe80::1%25lo]:1", "a'b", "a,b"] {
            assert_eq!(checked("GET /", &[("host", host)]), Ok(()), "{host}");
        }
        for host in ["a@b", "a b", "a/b", "a\"b", "a<b", "a?b", "a#b", "a\\b"] {
            let refused = checked("GET /", &[("host", host)]);
            assert_eq!(refused, Err(Malformed::Host), "{host}");
        }
        let twice = [("host", "localhost"), ("host", "localhost")];
        assert_eq!(checked("GET /", &twice), Err(Malformed::Hosts));
        assert_eq!(checked("GET http://a/", &[]), Err(Malformed::NoHost));
        let mut old = Request::new(());
        *old.version_mut() = Version::HTTP_10;
        assert_eq!(check(&old), Ok(()));
    }

    #[test]
    fn a_target_is_a_path() {
        let host = [("host", "localhost")];
        for good in ["GET /a", "GET http://a/b", "GET http://a", "OPTIONS *"] {
            assert_eq!(checked(good, &host), Ok(()), "{good}");
        }
        assert_eq!(checked("GET *", &host), Err(Malformed::Asterisk));
        for bad in ["GET a", "GET a:80", "OPTIONS a"] {
            assert_eq!(checked(bad, &host), Err(Malformed::Target), "{bad}");
        }
        for connect in ["CONNECT a:80", "CONNECT /a"] {
            assert_eq!(checked(connect, &host), Err(Malformed::Connect));
        }
    }

    #[test]
    fn only_100_continue_can_be_expected() {
        for (value, expected) in [
            ("100-Continue", Ok(())),
            ("", Ok(())),
            ("more", Err(Malformed::Expectation)),
        ] {
            let headers = [("host", "localhost"), ("expect", value)];
            assert_eq!(checked("POST /", &headers), expected, "{value}");
        }
    }
}

//! kubectl proxy's request filter, and a check of `Origin` that it lacks: the
//! API server's WebSocket code checks none, so without it any web page could
//! read the cluster through the local port.

use http::header::{HOST, ORIGIN};
use http::{Method, request};
use regex::bytes::{Regex, RegexBuilder};
use thiserror::Error;

use super::Refused;

/// Decides which requests are forwarded.
#[derive(Clone, Debug)]
pub struct Filter {
    accept_hosts: Patterns,
    accept_paths: Patterns,
    reject_paths: Patterns,
    reject_methods: Patterns,
}

/// A flag's regular expression does not compile.
#[derive(Debug, Error)]
#[error("--{flag}: {cause}")]
pub struct FilterError {
    flag: &'static str,
    cause: regex::Error,
}

/// A comma-separated list of regular expressions, in Go's sense: ASCII classes,
/// unanchored, and no pattern can hold a comma. An empty list matches nothing.
#[derive(Clone, Debug)]
struct Patterns(Vec<Regex>);

/// Whether `.` stands for a line break, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dot {
    /// As in Go.
    NoLineBreak,
    Anything,
}

impl Patterns {
    fn parse(flag: &'static str, list: &str, dot: Dot) -> Result<Self, FilterError> {
        if list.is_empty() {
            return Ok(Self(Vec::new()));
        }
        let built = |pattern| {
            RegexBuilder::new(pattern)
                .unicode(false)
                .dot_matches_new_line(dot == Dot::Anything)
                .build()
        };
        list.split(',')
            .map(built)
            .collect::<Result<_, _>>()
            .map(Self)
            .map_err(|cause| FilterError { flag, cause })
    }

    fn matches(&self, text: &[u8]) -> bool {
        self.0.iter().any(|pattern| pattern.is_match(text))
    }
}

impl Filter {
    /// Compiles the four lists.
    ///
    /// # Errors
    /// [`FilterError`] names the flag.
    pub fn new(
        accept_hosts: &str,
        accept_paths: &str,
        reject_paths: &str,
        reject_methods: &str,
    ) -> Result<Self, FilterError> {
        Ok(Self {
            accept_hosts: Patterns::parse("accept-hosts", accept_hosts, Dot::NoLineBreak)?,
            accept_paths: Patterns::parse("accept-paths", accept_paths, Dot::NoLineBreak)?,
            reject_paths: Patterns::parse("reject-paths", reject_paths, Dot::Anything)?,
            reject_methods: Patterns::parse("reject-methods", reject_methods, Dot::NoLineBreak)?,
        })
    }

    /// Whether an empty list leaves out what is refused by default.
    pub(crate) fn is_relaxed(&self) -> bool {
        self.reject_paths.0.is_empty() || self.reject_methods.0.is_empty()
    }

    /// Decides on a request, whose `path` is decoded as the API server will read it;
    /// `upgrade` tells whether it asks to switch protocols.
    ///
    /// # Errors
    /// [`Refused`] says by which flag.
    pub fn check(
        &self,
        request: &request::Parts,
        path: &[u8],
        upgrade: bool,
    ) -> Result<(), Refused> {
        // Spelled otherwise it would be let through, and the API server would still
        // read it as what is refused.
        let refused = |path: &[u8]| self.reject_paths.matches(path);
        if refused(path) || plainer(path).is_some_and(refused) {
            return Err(Refused::Path);
        }
        if self
            .reject_methods
            .matches(request.method.as_str().as_bytes())
        {
            return Err(Refused::Method);
        }
        if !self.accept_paths.matches(path) {
            return Err(Refused::PathNotAccepted);
        }
        // An absolute-form target takes the place of the Host header.
        let host = match request.uri.authority() {
            Some(authority) => without_user(authority.as_str()).as_bytes(),
            None => request
                .headers
                .get(HOST)
                .map_or(&[][..], |host| host.as_bytes()),
        };
        if !self.accept_hosts.matches(without_port(host)) {
            return Err(Refused::Host);
        }
        let changes =
            [Method::POST, Method::PUT, Method::PATCH, Method::DELETE].contains(&request.method);
        if (upgrade || changes) && !self.accepts_origins(request) {
            return Err(Refused::Origin);
        }
        Ok(())
    }

    fn accepts_origins(&self, request: &request::Parts) -> bool {
        request.headers.get_all(ORIGIN).iter().all(|origin| {
            let origin = origin.as_bytes();
            let host = origin
                .windows(3)
                .position(|three| three == b"://")
                .map(|at| &origin[at + 3..]);
            host.is_some_and(|host| self.accept_hosts.matches(without_port(host)))
        })
    }
}

/// The path in fewer bytes that the API server reads alike, if there is one: it minds
/// no slashes before the first word and behind the last.
fn plainer(path: &[u8]) -> Option<&[u8]> {
    let is_word = |byte: &u8| *byte != b'/';
    let first = path.iter().position(is_word)?;
    let last = path.iter().rposition(is_word)?;
    let plainer = path.get(first.saturating_sub(1)..=last)?;
    (plainer.len() < path.len()).then_some(plainer)
}

/// Who asks is said by the `Authorization` header alone.
fn without_user(authority: &str) -> &str {
    match authority.rsplit_once('@') {
        Some((_, host)) => host,
        None => authority,
    }
}

/// The host without its port, whatever that is. Brackets stay, so that `[::1]:8001` is accepted
/// where `[::1]` is.
fn without_port(host: &[u8]) -> &[u8] {
    let Some(colon) = host.iter().rposition(|byte| *byte == b':') else {
        return host;
    };
    let name = &host[..colon];
    match !name.contains(&b':') || (name.starts_with(b"[") && name.ends_with(b"]")) {
        true => name,
        false => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Args;
    use clap::Parser;
    use http::Request;
    use percent_encoding::percent_decode_str;

    fn default() -> Filter {
        let args = Args::parse_from(["proxy-sidecar"]);
        Filter::new(
            &args.accept_hosts,
            &args.accept_paths,
            &args.reject_paths,
            &args.reject_methods,
        )
        .unwrap()
    }

    fn check(
        filter: &Filter,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        upgrade: bool,
    ) -> Result<(), Refused> {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(()).unwrap().into_parts().0;
        let path: Vec<u8> = percent_decode_str(request.uri.path()).collect();
        filter.check(&request, &path, upgrade)
    }

    #[test]
    fn hosts() {
        let filter = default();
        for good in [
            "localhost",
            "localhost:8001",
            "localhost:",
            "127.0.0.1",
            "127.0.0.1:9",
            "[::1]",
            "[::1]:8001",
        ] {
            assert_eq!(
                check(&filter, "GET", "/api", &[("host", good)], false),
                Ok(()),
                "{good}"
            );
        }
        for bad in [
            "evil.com",
            "127.1",
            "localhost:8001:1",
            "",
            "LOCALHOST",
            "localhost.",
            "::1",
        ] {
            assert_eq!(
                check(&filter, "GET", "/api", &[("host", bad)], false),
                Err(Refused::Host),
                "{bad}"
            );
        }
        assert_eq!(
            check(&filter, "GET", "/api", &[], false),
            Err(Refused::Host)
        );
        assert_eq!(
            check(
                &filter,
                "GET",
                "http://localhost/api",
                &[("host", "evil.com")],
                false
            ),
            Ok(())
        );
        assert_eq!(
            check(
                &filter,
                "GET",
                "http://evil.com/api",
                &[("host", "localhost")],
                false
            ),
            Err(Refused::Host)
        );
    }

    #[test]
    fn exec_and_attach_in_every_spelling() {
        let filter = default();
        let at = |path: &str| check(&filter, "GET", path, &[("host", "localhost")], false);
        for bad in [
            "/api/v1/namespaces/x/pods/p/exec",
            "/api/v1/namespaces/x/pods/p/%65xec",
            "/api/v1/namespaces/x/pods/p%2Fexec",
            "/api%2Fv1/namespaces/x/pods/p/exec",
            "/api/v1/namespaces/x/pods/p/exec/",
            "/api/v1/namespaces/x/pods/p/attach?x",
            "/api/v1/namespaces/x/services/pods/proxy/exec",
            "//api/v1/namespaces/x/pods/p/exec",
            "/%2F/api//v1/namespaces/x/pods/p/exec//",
            "//api/v1/namespaces/x/pods//exec",
            "/api/v1/x%0a/pods/p%0a/exec",
        ] {
            assert_eq!(at(bad), Err(Refused::Path), "{bad}");
        }
        for good in [
            "/",
            "/api/v1/namespaces/x/pods/p/portforward",
            "/apis/x/pods/p/exec",
            "//apis/x/pods/p/exec",
        ] {
            assert_eq!(at(good), Ok(()), "{good}");
        }
    }

    #[test]
    fn slashes_at_either_end_hide_nothing() {
        let filter = Filter::new("^localhost$", "^.*", "^/api/v1/a$", "").unwrap();
        for (path, expected) in [
            ("/api/v1/a", Err(Refused::Path)),
            ("/api/v1/a/", Err(Refused::Path)),
            ("//api/v1/a%2F%2F", Err(Refused::Path)),
            ("/api//v1/a", Ok(())),
            ("/", Ok(())),
            ("//", Ok(())),
        ] {
            let host = [("host", "localhost")];
            assert_eq!(
                check(&filter, "GET", path, &host, false),
                expected,
                "{path}"
            );
        }
    }

    #[test]
    fn empty_lists_accept_nothing_and_refuse_nothing() {
        let host = [("host", "localhost")];
        let none = Filter::new("", "^.*", "", "").unwrap();
        assert_eq!(check(&none, "GET", "/", &host, false), Err(Refused::Host));
        let no_paths = Filter::new("^localhost$", "", "", "").unwrap();
        assert_eq!(
            check(&no_paths, "GET", "/", &host, false),
            Err(Refused::PathNotAccepted)
        );
        let post = Filter::new("^localhost$", "^.*", "", "POST").unwrap();
        assert_eq!(
            check(&post, "POSTX", "/", &host, false),
            Err(Refused::Method)
        );
        assert_eq!(check(&post, "post", "/", &host, false), Ok(()));
    }

    #[test]
    fn a_web_page_of_another_origin_cannot_upgrade_or_change() {
        let filter = default();
        let from = |origin: &str, method: &str, upgrade: bool| {
            check(
                &filter,
                method,
                "/api",
                &[("host", "localhost:8001"), ("origin", origin)],
                upgrade,
            )
        };
        assert_eq!(from("http://evil.com", "GET", true), Err(Refused::Origin));
        assert_eq!(from("null", "POST", false), Err(Refused::Origin));
        assert_eq!(
            from("http://localhost.evil.com", "DELETE", false),
            Err(Refused::Origin)
        );
        assert_eq!(from("http://localhost:8001", "POST", false), Ok(()));
        assert_eq!(from("http://evil.com", "GET", false), Ok(()));
    }

    #[test]
    fn a_bad_pattern_names_its_flag() {
        let error = Filter::new("^a", "[", "", "").unwrap_err();
        assert!(error.to_string().starts_with("--accept-paths: "), "{error}");
    }
}

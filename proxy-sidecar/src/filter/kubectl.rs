//! kubectl proxy's request filter, and a check of `Origin` that it lacks: the
//! API server's WebSocket code checks none, so without it any web page could
//! read the cluster through the local port.

use http::header::{HOST, ORIGIN};
use http::{Method, request};
use regex::bytes::{RegexSet, RegexSetBuilder};
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
struct Patterns(RegexSet);

/// Whether `.` stands for a line break, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Dot {
    /// As in Go.
    NoLineBreak,
    Anything,
}

impl Patterns {
    fn parse(flag: &'static str, list: &str, dot: Dot) -> Result<Self, FilterError> {
        let patterns = list.split(',').filter(|_| !list.is_empty());
        RegexSetBuilder::new(patterns)
            .unicode(false)
            .dot_matches_new_line(dot == Dot::Anything)
            .build()
            .map(Self)
            .map_err(|cause| FilterError { flag, cause })
    }

    fn matches(&self, text: &[u8]) -> bool {
        self.0.is_match(text)
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
mod tests;

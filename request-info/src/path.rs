//! A request's path as the API server's `RequestInfo` reads it: decoded once and
//! split at slashes. Whatever somebody could read in another way is refused,
//! except behind a proxy to a service or a pod, where it is theirs to read.

use std::borrow::Cow;

use percent_encoding::percent_decode;
use thiserror::Error;

/// A path that could be read in two ways.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Ambiguous {
    /// As in `/api//v1`. An empty namespace means all of them.
    #[error("the path has an empty segment")]
    Empty,
    /// As in `/api/../apis`.
    #[error("the path has a dot segment")]
    Dots,
    /// As in `/api%2Fv1`.
    #[error("the path has an encoded slash")]
    Slash,
    /// As in `/api/%2561`, or what is no escape at all.
    #[error("the path has an escape that is damaged or escaped itself")]
    Escape,
    /// As in `/api\\v1` or `/api%5Cv1`: to some it separates.
    #[error("the path has a backslash")]
    Backslash,
    /// As in `/api%00` or `/api%c0%af`, which some read as a slash.
    #[error("the path has an escape that stands for no text")]
    NoText,
}

/// A path that can be read in one way only.
#[derive(Debug)]
pub struct ApiPath<'a> {
    segments: Vec<Cow<'a, [u8]>>,
}

/// Where a proxy to something of its own begins, as the count of segments before.
const SERVICE_OR_POD: usize = 7;

/// Bytes that stand for themselves, and separate nothing.
const IN_NAMES: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte: u8 = 0;
    while byte < 128 {
        let at = byte as usize;
        table[at] = byte.is_ascii_graphic() && !matches!(byte, b'%' | b'\\' | b'/');
        byte += 1;
    }
    table
};

impl<'a> ApiPath<'a> {
    /// Reads the path of a request target, without its query.
    ///
    /// # Errors
    /// [`Ambiguous`]: it could be read in two ways.
    pub fn read(raw: &'a str) -> Result<Self, Ambiguous> {
        let raw = raw.strip_prefix('/').unwrap_or(raw);
        // The API server does not mind one slash at the end.
        let raw = raw.strip_suffix('/').unwrap_or(raw);
        if raw.is_empty() {
            return Ok(Self {
                segments: Vec::new(),
            });
        }
        let mut segments = Vec::new();
        for segment in raw.split('/') {
            let decoded = match segment {
                "" | "." | ".." => Cow::Borrowed(segment.as_bytes()),
                // Nearly all: there is nothing to decode, and nothing to look for.
                _ if segment.bytes().all(|byte| IN_NAMES[usize::from(byte)]) => {
                    segments.push(Cow::Borrowed(segment.as_bytes()));
                    continue;
                }
                _ => decode(segment)?,
            };
            if !leads_elsewhere(&segments) {
                must_be_plain(&decoded)?;
            }
            segments.push(decoded);
        }
        must_not_climb_out(segments.get(SERVICE_OR_POD..).unwrap_or_default())?;
        Ok(Self { segments })
    }

    /// The words between the slashes; those that are decoded separate, too.
    #[must_use]
    pub fn words(&self) -> Vec<&[u8]> {
        self.segments
            .iter()
            .flat_map(|segment| segment.split(|byte| *byte == b'/'))
            .filter(|word| !word.is_empty())
            .collect()
    }
}

fn decode(segment: &str) -> Result<Cow<'_, [u8]>, Ambiguous> {
    let is_escape = |rest: &str| {
        let digits = rest.as_bytes().get(..2);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    };
    if segment.split('%').skip(1).all(is_escape) {
        Ok(percent_decode(segment.as_bytes()).into())
    } else {
        Err(Ambiguous::Escape)
    }
}

fn must_be_plain(segment: &[u8]) -> Result<(), Ambiguous> {
    match segment {
        b"" => Err(Ambiguous::Empty),
        b"." | b".." => Err(Ambiguous::Dots),
        _ if segment.contains(&b'/') => Err(Ambiguous::Slash),
        // No name in Kubernetes has one.
        _ if segment.contains(&b'%') => Err(Ambiguous::Escape),
        _ if segment.contains(&b'\\') => Err(Ambiguous::Backslash),
        _ => match std::str::from_utf8(segment) {
            Ok(text) if !text.contains(char::is_control) => Ok(()),
            _ => Err(Ambiguous::NoText),
        },
    }
}

/// A service's or a pod's own path may go up, but not above where it begins: to
/// whatever stands before the API server and resolves dots, it would lead to
/// another namespace's objects.
fn must_not_climb_out(own: &[Cow<'_, [u8]>]) -> Result<(), Ambiguous> {
    let mut depth = 0_usize;
    for word in own
        .iter()
        .flat_map(|segment| segment.split(|byte| matches!(byte, b'/' | b'\\')))
    {
        depth = match word {
            b"" | b"." => depth,
            b".." => depth.checked_sub(1).ok_or(Ambiguous::Dots)?,
            _ => depth + 1,
        };
    }
    Ok(())
}

/// Whether what follows these is a service's or a pod's own path.
fn leads_elsewhere(segments: &[Cow<'_, [u8]>]) -> bool {
    let segment = |at: usize| segments.get(at).map_or(&[][..], AsRef::as_ref);
    segments.len() >= SERVICE_OR_POD
        && segment(0) == b"api"
        && segment(2) == b"namespaces"
        && matches!(segment(4), b"services" | b"pods")
        && segment(6) == b"proxy"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_decoded_once() {
        for (raw, words) in [
            ("/", "" as &str),
            ("/api", "api"),
            ("/api/v1/", "api v1"),
            ("/%61pi/v1/namespaces/%78/pods", "api v1 namespaces x pods"),
            (
                "/api/v1/namespaces/x/services/y:http/proxy//a/../%2e/b%2Fc/%2520/",
                "api v1 namespaces x services y:http proxy a .. . b c %20",
            ),
            (
                "/api/v1/namespaces/x/%70ods/y/prox%79/a%2fb",
                "api v1 namespaces x pods y proxy a b",
            ),
            (
                "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a;b=%C3%A4~",
                "apis rbac.authorization.k8s.io v1 clusterroles system:a;b=ä~",
            ),
            (
                "/api/v1/namespaces/x/services/y/proxy/a%00\\%ff",
                "api v1 namespaces x services y proxy a\0\\\u{fffd}",
            ),
        ] {
            let path = ApiPath::read(raw).unwrap();
            let read: Vec<_> = path
                .words()
                .into_iter()
                .map(String::from_utf8_lossy)
                .collect();
            assert_eq!(read.join(" "), words, "{raw}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways() {
        for (raw, why) in [
            ("//api/v1", Ambiguous::Empty),
            ("/api//v1", Ambiguous::Empty),
            ("/api/v1//", Ambiguous::Empty),
            ("/api/v1/namespaces//secrets", Ambiguous::Empty),
            ("/api/./v1", Ambiguous::Dots),
            ("/api/%2e%2E/v1", Ambiguous::Dots),
            ("/api/v1/namespaces/x/..", Ambiguous::Dots),
            ("/api%2Fv1", Ambiguous::Slash),
            ("/api/v1/namespaces/x%2f", Ambiguous::Slash),
            ("/api/v1/%2573ecrets", Ambiguous::Escape),
            ("/api/v1/%zz", Ambiguous::Escape),
            ("/api/v1/%2", Ambiguous::Escape),
            ("/api/v1/nodes/x/proxy/%2565xec", Ambiguous::Escape),
            ("/api/v1/nodes/x/proxy/a/../exec", Ambiguous::Dots),
            ("/api\\v1", Ambiguous::Backslash),
            ("/api/v1/..%5c..", Ambiguous::Backslash),
            ("/api/v1%00", Ambiguous::NoText),
            ("/api/v1%0d%0a", Ambiguous::NoText),
            ("/api/v1/%7f", Ambiguous::NoText),
            ("/api/v1/%c2%85", Ambiguous::NoText),
            ("/api/v1/%c0%ae%c0%ae/x", Ambiguous::NoText),
            ("/api/v1/%ff", Ambiguous::NoText),
            // Out of the service's or the pod's own.
            (
                "/api/v1/namespaces/x/services/y/proxy/../../../../mine/secrets",
                Ambiguous::Dots,
            ),
            (
                "/api/v1/namespaces/x/pods/y/proxy/a//.//../%2e%2e%2Fb",
                Ambiguous::Dots,
            ),
            (
                "/api/v1/namespaces/x/pods/y/proxy/a%5C..\\..",
                Ambiguous::Dots,
            ),
            // No proxy to a service or a pod, although nearly.
            ("/api/v1/namespaces/x/services/y/status/..", Ambiguous::Dots),
            (
                "/api/v1/namespaces/x/configmaps/y/proxy/..",
                Ambiguous::Dots,
            ),
            ("/apis/v1/namespaces/x/services/y/proxy/..", Ambiguous::Dots),
            (
                "/api/v1/namespaces/x/services/y%2Fproxy/..",
                Ambiguous::Slash,
            ),
            ("/api/v1/namespaces/x/services/y/proxy/%", Ambiguous::Escape),
        ] {
            assert_eq!(ApiPath::read(raw).unwrap_err(), why, "{raw}");
        }
    }
}

//! What a request is for. The Host alone routes, never SNI. Whatever could be
//! read in two ways is refused.

use http::header::HOST;
use http::uri::PathAndQuery;
use http::{Method, Request, Version};
use request_info::{Ambiguous, ApiPath};
use thiserror::Error;
use tunnel_protocol::ClusterName;
use tunnel_protocol::limits::HANDSHAKE_PATH;

use crate::hosts::{HostOwner, Hosts};

/// What every path of a cluster in path mode starts with.
const CLUSTERS: &str = "/clusters/";

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A tunnel-client that wants to make its connection a link.
    Handshake,
    /// The server's own front page.
    Front,
    /// A cluster's API.
    Cluster(ClusterTarget),
}

/// A request for a cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterTarget {
    /// Which one.
    pub name: ClusterName,
    /// What the cluster sees.
    pub path: PathAndQuery,
    /// By path the cluster shares its origin with the server and all others.
    pub by_path: bool,
}

impl ClusterTarget {
    /// The path without its query.
    #[must_use]
    pub fn path_for_log(&self) -> String {
        self.path.path().to_owned()
    }

    /// What stands before the cluster's own paths, for `Location`.
    #[must_use]
    pub fn prefix(&self) -> Option<String> {
        self.by_path.then(|| format!("{CLUSTERS}{}", self.name))
    }
}

/// A request that goes nowhere.
#[derive(Debug, Error, PartialEq, Eq)]
pub enum TargetError {
    /// It could be read in two ways, or is no request at all.
    #[error("malformed request: {0}")]
    Malformed(&'static str),
    /// A cluster could read its path in two ways.
    #[error(
        "malformed request: {0}; behind the cluster's address one slash and one way to write a path are accepted"
    )]
    Ambiguous(#[from] Ambiguous),
    /// Another machine's.
    #[error("this host is not served here")]
    UnknownHost,
    /// Of the server's own paths it is none.
    #[error("there is nothing at this path; clusters are at /clusters/<name>/")]
    UnknownPath,
}

impl Target {
    /// Reads a request's Host and path.
    ///
    /// # Errors
    /// [`TargetError`].
    pub fn of<B>(request: &Request<B>, hosts: &Hosts) -> Result<Self, TargetError> {
        let host = host(request)?;
        let owner = hosts.owner(&host).ok_or(TargetError::UnknownHost)?;
        if request.method() == Method::CONNECT {
            return Err(TargetError::Malformed("CONNECT is not served"));
        }
        let whole = request
            .uri()
            .path_and_query()
            .ok_or(TargetError::Malformed("the target is not a path"))?;
        if !whole.path().starts_with('/') {
            return Err(TargetError::Malformed("the target is not a path"));
        }
        if !whole.path().is_ascii() {
            return Err(TargetError::Malformed("the path has bytes above ASCII"));
        }
        match (owner, whole.path()) {
            (HostOwner::Cluster(name), _) => cluster(name, from_the_root(whole)?, false),
            (HostOwner::Server, HANDSHAKE_PATH) => Ok(Self::Handshake),
            (HostOwner::Server, "/") => Ok(Self::Front),
            (HostOwner::Server, path) => match path.strip_prefix(CLUSTERS) {
                Some(rest) => by_path(rest, whole.query()),
                None => Err(TargetError::UnknownPath),
            },
        }
    }
}

/// An absolute URL may have no path: what is empty, or a query alone, is no target.
fn from_the_root(whole: &PathAndQuery) -> Result<PathAndQuery, TargetError> {
    match (whole.path(), whole.query()) {
        ("/", None) => Ok(PathAndQuery::from_static("/")),
        ("/", Some(query)) => PathAndQuery::try_from(format!("/?{query}"))
            .map_err(|_| TargetError::Malformed("the target is not a path")),
        _ => Ok(whole.clone()),
    }
}

/// `<cluster>`, `<cluster>/` or `<cluster>/<path>`.
fn by_path(rest: &str, query: Option<&str>) -> Result<Target, TargetError> {
    let (segment, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    if segment.contains('%') {
        return Err(TargetError::Malformed(
            "the cluster's name in the path has escapes",
        ));
    }
    if matches!(segment, "." | "..") || (segment.is_empty() && !path.is_empty()) {
        return Err(TargetError::Malformed(
            "the cluster's name in the path is empty or dots",
        ));
    }
    let name = ClusterName::parse(segment).map_err(|_| TargetError::UnknownPath)?;
    let path = if path.is_empty() { "/" } else { path };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let path = PathAndQuery::try_from(format!("{path}{query}"))
        .map_err(|_| TargetError::Malformed("the target is not a path"))?;
    cluster(name, path, true)
}

/// A path that reads in one way only, wherever the cluster's own begins.
fn cluster(name: ClusterName, path: PathAndQuery, by_path: bool) -> Result<Target, TargetError> {
    if path.path().starts_with("//") {
        return Err(TargetError::Malformed(
            "the path starts with two slashes; write the cluster's URL without one at its end",
        ));
    }
    ApiPath::read(path.path())?;
    Ok(Target::Cluster(ClusterTarget {
        name,
        path,
        by_path,
    }))
}

/// The host that a request names, in lower case, without port and final dot.
fn host<B>(request: &Request<B>) -> Result<String, TargetError> {
    let authority = authority(request)?;
    if authority.contains('@') {
        return Err(TargetError::Malformed("the host has a user before it"));
    }
    let host = match authority.rsplit_once(':') {
        // `[::1]` has no port.
        Some(_) if authority.ends_with(']') => authority,
        Some((host, port)) if is_port(port) => host,
        Some(_) => return Err(TargetError::Malformed("the host's port is no port")),
        None => authority,
    };
    Ok(host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase())
}

/// A number, or nothing, which stands for the default. Which one it is says
/// nothing: what is before the server may map ports.
fn is_port(port: &str) -> bool {
    port.is_empty() || (port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok())
}

/// Whom a request calls: of its target or `:authority`, else of its Host. Where
/// there are both they are the same.
pub(crate) fn authority<B>(request: &Request<B>) -> Result<&str, TargetError> {
    let mut lines = request.headers().get_all(HOST).iter();
    let header = match (lines.next(), lines.next()) {
        (header, None) => header,
        _ => return Err(TargetError::Malformed("several Host headers")),
    };
    let header = header
        .map(|value| {
            value
                .to_str()
                .map_err(|_| TargetError::Malformed("the Host header is no host"))
        })
        .transpose()?;
    let authority = request.uri().authority().map(http::uri::Authority::as_str);
    match (authority, header) {
        (Some(authority), Some(header)) if !authority.eq_ignore_ascii_case(header) => Err(
            TargetError::Malformed("Host differs from the request's target"),
        ),
        (Some(_), None) if request.version() == Version::HTTP_11 => {
            Err(TargetError::Malformed("no Host header"))
        }
        (Some(host), _) | (None, Some(host)) => Ok(host),
        (None, None) if request.version() == Version::HTTP_10 => Err(TargetError::UnknownHost),
        (None, None) => Err(TargetError::Malformed("no Host header")),
    }
}

#[cfg(test)]
mod tests;

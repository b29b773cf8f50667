//! A caller's Host and target. Three lines: the Host header, the target, and the
//! method.

use http::uri::Uri;
use http::{HeaderValue, Method, Request};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, percent_encode};
use request_info::{ApiPath, RequestInfo};
use tunnel_protocol::ClusterName;
use tunnel_protocol::limits::HANDSHAKE_PATH;
use tunnel_server::gateway::target::{ClusterTarget, Target};
use tunnel_server::hosts::Hosts;

use crate::input::first_line;

const BASE: &str = "culvert.example";
const EXTRA: &str = "10.0.0.1";

/// No other cluster is reached than the one that Host, or else the path, names
/// plainly; and no path is read in two ways.
pub fn run(bytes: &[u8]) {
    let (host, rest) = first_line(bytes);
    let (target, method) = first_line(rest);
    if let (Ok(target), Ok(method)) = (std::str::from_utf8(target), std::str::from_utf8(method)) {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        api_path(path);
        if Method::from_bytes(method.as_bytes()).is_ok() {
            request_info(method, path, query);
        }
    }
    let (Ok(host), Ok(target)) = (HeaderValue::from_bytes(host), Uri::try_from(target)) else {
        return;
    };
    let mut request = Request::new(());
    request
        .headers_mut()
        .insert(http::header::HOST, host.clone());
    *request.uri_mut() = target.clone();
    *request.method_mut() = Method::from_bytes(method).unwrap_or(Method::GET);
    let hosts = Hosts {
        base: BASE.into(),
        extra: vec![EXTRA.into()],
    };
    let Ok(read) = Target::of(&request, &hosts) else {
        return;
    };
    assert_ne!(request.method(), Method::CONNECT);
    let host = plain_host(&host);
    let named = host
        .strip_suffix(BASE)
        .and_then(|label| label.strip_suffix('.'));
    match (read, named) {
        (Target::Cluster(cluster), Some(name)) => by_host(&cluster, name, &target),
        (Target::Cluster(cluster), None) => {
            assert!([BASE, EXTRA].contains(&host.as_str()), "{host}");
            by_path(&cluster, &target);
        }
        (Target::Handshake, named) => {
            assert_eq!((target.path(), named), (HANDSHAKE_PATH, None));
        }
        (Target::Front, named) => assert_eq!((target.path(), named), ("/", None)),
    }
}

fn plain_host(host: &HeaderValue) -> String {
    let host = String::from_utf8_lossy(host.as_bytes()).to_ascii_lowercase();
    // Digits belong to a port only behind its colon; an address keeps its own.
    let name = host.trim_end_matches(|c: char| c.is_ascii_digit());
    let name = name.strip_suffix(':').unwrap_or(&host);
    name.strip_suffix('.').unwrap_or(name).to_owned()
}

fn by_host(cluster: &ClusterTarget, name: &str, target: &Uri) {
    assert!(!cluster.by_path);
    assert_eq!(cluster.name.as_str(), name);
    // What has no path but a query gets a path.
    assert_eq!(cluster.path.path(), target.path());
    assert_eq!(cluster.path.query(), target.query());
}

fn by_path(cluster: &ClusterTarget, target: &Uri) {
    assert!(cluster.by_path);
    let mut segments = target.path().splitn(4, '/');
    assert_eq!(segments.next(), Some(""));
    assert_eq!(segments.next(), Some("clusters"));
    let name = segments.next().unwrap_or_default();
    assert_eq!(ClusterName::parse(name).as_ref(), Ok(&cluster.name));
    let rest = segments.next().unwrap_or_default();
    assert_eq!(cluster.path.path().strip_prefix('/'), Some(rest));
    assert_eq!(cluster.path.query(), target.query());
    // A hop that decodes the path once more and resolves its dots stays inside.
    let decoded = percent_decode_str(target.path()).decode_utf8_lossy();
    let mut resolved = Vec::new();
    for segment in target.path().split('/') {
        match percent_decode_str(segment).decode_utf8_lossy().as_ref() {
            "." => {}
            ".." => drop(resolved.pop()),
            other => resolved.push(other.to_owned()),
        }
    }
    assert_eq!(resolved.get(2).map(String::as_str), Some(name), "{decoded}");
}

/// What could be read in two ways is not read; what is read keeps to the path.
fn request_info(method: &str, path: &str, query: Option<&str>) {
    let Ok(read) = RequestInfo::read(method, path, query) else {
        return;
    };
    assert!(ApiPath::read(path).is_ok(), "an ambiguous path is read");
    if let Some(resource) = read.resource {
        for part in [resource.namespace, resource.name, resource.resource] {
            assert!(!matches!(part.as_str(), "." | ".."), "{part}");
        }
    }
}

/// Its words, written as a path again, are the same words.
fn api_path(path: &str) {
    let Ok(read) = ApiPath::read(path) else {
        return;
    };
    let words = read.words();
    let written: String = words
        .iter()
        .map(|word| format!("/{}", percent_encode(word, NON_ALPHANUMERIC)))
        .collect();
    let again = ApiPath::read(&written);
    assert!(
        again.as_ref().is_ok_and(|again| again.words() == words),
        "{written:?} gives {again:?}"
    );
}

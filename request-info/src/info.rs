//! What a request asks for, in the words of Kubernetes' rules: verb, resource,
//! namespace, name. Follows the API server's `RequestInfoFactory` step by step.

use thiserror::Error;

use crate::list_options::ListOptions;
use crate::path::{Ambiguous, ApiPath};

/// A request as the API server reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestInfo {
    /// `get`, `list`, `watch`, `create`, …; of what is no resource the HTTP method
    /// in lower case. Empty for a method that no resource knows.
    pub verb: String,
    /// Nothing for what is no resource, like `/healthz` or `/apis`.
    pub resource: Option<Resource>,
}

/// A resource, or a collection of them. What is not there is empty, as in the API
/// server's own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    /// Empty for the core group.
    pub group: String,
    /// As in `v1`.
    pub version: String,
    /// As in `pods`.
    pub resource: String,
    /// As in `log`.
    pub subresource: String,
    /// Empty for all namespaces, and for what is in none.
    pub namespace: String,
    /// Empty for a collection.
    pub name: String,
}

/// A request that cannot be read, or in two ways.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum Unreadable {
    /// The path.
    #[error(transparent)]
    Ambiguous(#[from] Ambiguous),
    /// As `/api/v1/watch`: the API server answers 500.
    #[error("the path ends where a resource should follow")]
    NoResource,
}

/// What stands before the resource in paths of long ago.
const SPECIAL_VERBS: [&str; 2] = ["proxy", "watch"];
/// What follows a namespace's name and is not a resource in it.
const NAMESPACE_SUBRESOURCES: [&str; 2] = ["status", "finalize"];
/// What opens a stream into a pod. The API server reads the verb off the HTTP
/// method, so that a WebSocket's GET looks harmless.
const STREAMS: [&str; 3] = ["exec", "attach", "portforward"];

impl RequestInfo {
    /// Reads a request line: its method, path and query.
    ///
    /// One difference to the API server's: exec, attach and portforward are
    /// `create`, whatever their method.
    ///
    /// # Errors
    /// [`Unreadable`].
    pub fn read(method: &str, path: &str, query: Option<&str>) -> Result<Self, Unreadable> {
        let path = ApiPath::read(path)?;
        let words: Vec<_> = path
            .words()
            .into_iter()
            .map(String::from_utf8_lossy)
            .collect();
        let words: Vec<&str> = words.iter().map(AsRef::as_ref).collect();
        let (group, version, rest) = match words.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, version, rest),
            _ => return Ok(Self::of_no_resource(method)),
        };
        let (special, rest) = match rest {
            [verb, rest @ ..] if SPECIAL_VERBS.contains(verb) => (Some(*verb), rest),
            rest => (None, rest),
        };
        let (namespace, parts) = in_namespace(rest);
        let part = |at: usize| parts.get(at).copied().unwrap_or_default().to_owned();
        let mut resource = Resource {
            group: group.to_owned(),
            version: (*version).to_owned(),
            resource: part(0),
            subresource: part(2),
            namespace: namespace.to_owned(),
            name: part(1),
        };
        if special == Some("proxy") {
            resource.subresource.clear();
        }
        if resource.resource.is_empty() {
            return Err(Unreadable::NoResource);
        }
        let verb = special.unwrap_or_else(|| of_method(method));
        let verb = refined(verb, &mut resource, query);
        Ok(Self {
            verb: verb.to_owned(),
            resource: Some(resource),
        })
    }

    fn of_no_resource(method: &str) -> Self {
        Self {
            verb: method.to_ascii_lowercase(),
            resource: None,
        }
    }
}

/// The namespace, and the words from the resource on. A namespace is in itself.
fn in_namespace<'a, 'b>(words: &'b [&'a str]) -> (&'a str, &'b [&'a str]) {
    match words {
        ["namespaces", namespace, resource, ..] if !NAMESPACE_SUBRESOURCES.contains(resource) => {
            (namespace, &words[2..])
        }
        ["namespaces", namespace, ..] => (namespace, words),
        _ => ("", words),
    }
}

fn of_method(method: &str) -> &'static str {
    match method {
        "POST" => "create",
        "GET" | "HEAD" => "get",
        "PUT" => "update",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "",
    }
}

/// Tells one object from a collection, and a look from a stream.
fn refined<'a>(verb: &'a str, resource: &mut Resource, query: Option<&str>) -> &'a str {
    let is_stream = resource.group.is_empty()
        && resource.resource == "pods"
        && STREAMS.contains(&resource.subresource.as_str());
    match verb {
        "get" if is_stream => "create",
        "get" if resource.name.is_empty() => {
            let options = ListOptions::read(query.unwrap_or_default());
            resource.name = options.name.unwrap_or_default();
            if options.watch { "watch" } else { "list" }
        }
        "delete" if resource.name.is_empty() => "deletecollection",
        verb => verb,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> String {
        let (method, target) = line.split_once(' ').unwrap();
        let (path, query) = target
            .split_once('?')
            .map_or((target, None), |(path, query)| (path, Some(query)));
        let info = RequestInfo::read(method, path, query).unwrap();
        let Some(resource) = info.resource else {
            return info.verb;
        };
        let Resource {
            group,
            version,
            resource,
            subresource,
            namespace,
            name,
        } = resource;
        let verb = info.verb;
        format!("{verb} {group}/{version} {resource}/{subresource} {namespace}:{name}")
    }

    #[test]
    fn requests_in_the_words_of_rules() {
        for (line, expected) in [
            ("GET /", "get"),
            ("POST /healthz", "post"),
            ("GET /api/v1", "get"),
            ("GET /apis/apps/v1", "get"),
            ("GET /other/v1/pods", "get"),
            ("GET /api/v1/pods", "list /v1 pods/ :"),
            ("GET /api/v1/pods?watch=1", "watch /v1 pods/ :"),
            ("HEAD /api/v1/namespaces/a/pods/b", "get /v1 pods/ a:b"),
            ("OPTIONS /api/v1/pods", " /v1 pods/ :"),
            (
                "PUT /apis/apps/v1/namespaces/a/deployments/b/scale",
                "update apps/v1 deployments/scale a:b",
            ),
            (
                "DELETE /api/v1/namespaces/a/pods",
                "deletecollection /v1 pods/ a:",
            ),
            ("DELETE /api/v1/namespaces/a/pods/b", "delete /v1 pods/ a:b"),
            ("GET /api/v1/namespaces/a", "get /v1 namespaces/ a:a"),
            (
                "PUT /api/v1/namespaces/a/finalize",
                "update /v1 namespaces/finalize a:a",
            ),
            ("GET /api/v1/watch/pods", "watch /v1 pods/ :"),
            (
                "GET /api/v1/watch/namespaces/a/pods/b",
                "watch /v1 pods/ a:b",
            ),
            (
                "GET /api/v1/namespaces/a/pods/b/exec?command=sh",
                "create /v1 pods/exec a:b",
            ),
            (
                "POST /api/v1/namespaces/a/pods/b/attach",
                "create /v1 pods/attach a:b",
            ),
            (
                "GET /api/v1/namespaces/a/services/b:80/proxy/x/../y",
                "get /v1 services/proxy a:b:80",
            ),
            (
                "GET /api/v1/proxy/namespaces/a/pods/b/x",
                "proxy /v1 pods/ a:b",
            ),
            (
                "GET /api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Db",
                "list /v1 pods/ a:b",
            ),
        ] {
            assert_eq!(read(line), expected, "{line}");
        }
    }

    #[test]
    fn what_cannot_be_read() {
        let read = |path| RequestInfo::read("GET", path, None).unwrap_err();
        assert_eq!(read("/api/v1/watch"), Unreadable::NoResource);
        assert_eq!(read("/api//v1"), Unreadable::Ambiguous(Ambiguous::Empty));
    }
}

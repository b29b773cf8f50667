//! What no caller reaches through this proxy, whatever its role allows: the
//! namespaces that are named, above all the connector's own, which holds its
//! token; and, if asked for, tokens of service accounts.
//!
//! It cannot bound a role that may change roles, or run pods that reach into the
//! node: those reach everything without asking for it here. Nor does it read
//! bodies: whoever may write Secrets can have a token of a service account put into
//! one, by its type.

use http::Method;
use http::uri::PathAndQuery;
use percent_encoding::percent_decode_str;
use request_info::ApiPath;
use thiserror::Error;

use super::Refused;

/// The longest name of a namespace.
const LONGEST_NAME: usize = 63;

/// What is refused whatever the filter accepts.
#[derive(Clone, Debug)]
pub struct Protection {
    namespaces: Vec<String>,
    token_requests: bool,
}

/// The flag's value is no namespace. An empty one is an error, too: it would
/// protect nothing without a word.
#[derive(Debug, Error)]
#[error(
    "--protect-namespaces: {0:?} is no name of a namespace; give names like gitlab-connector, \
     separated by commas"
)]
pub struct ProtectionError(String);

impl Protection {
    /// Nothing if there is nothing to protect.
    ///
    /// # Errors
    /// [`ProtectionError`].
    pub fn new(
        namespaces: Vec<String>,
        token_requests: bool,
    ) -> Result<Option<Self>, ProtectionError> {
        if let Some(wrong) = namespaces.iter().find(|name| !is_label(name)) {
            return Err(ProtectionError(wrong.clone()));
        }
        let asked = token_requests || !namespaces.is_empty();
        Ok(asked.then_some(Self {
            namespaces,
            token_requests,
        }))
    }

    /// Decides on a request.
    ///
    /// # Errors
    /// [`Refused`] says by which flag.
    pub fn check(&self, method: &Method, target: &PathAndQuery) -> Result<(), Refused> {
        let path = ApiPath::read(target.path())?;
        let words = path.words();
        if self.token_requests && asks_for_a_token(&words) {
            return Err(Refused::TokenRequest);
        }
        if self.namespaces.is_empty() {
            return Ok(());
        }
        if is_all_secrets(&words) {
            return Err(Refused::AllSecrets);
        }
        let query = target.query().unwrap_or_default();
        let reached = self.namespaces.iter().find(|namespace| {
            let namespace = namespace.as_bytes();
            names(&words, namespace) && !only_looks(&words, method)
                || on_a_node(&words, query, namespace)
        });
        match reached {
            Some(namespace) => Err(Refused::Protected(namespace.clone())),
            None => Ok(()),
        }
    }
}

fn is_label(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty()
        && name.len() <= LONGEST_NAME
        && name.bytes().all(inner)
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// Anywhere in the path: behind `watch`, and in groups' APIs.
fn names(words: &[&[u8]], namespace: &[u8]) -> bool {
    words
        .windows(2)
        .any(|two| two == [b"namespaces".as_slice(), namespace])
}

/// The Namespace object itself holds nothing that its name does not tell, and
/// programs look whether it is there.
fn only_looks(words: &[&[u8]], method: &Method) -> bool {
    matches!(words, [b"api", _, b"namespaces", _]) && [Method::GET, Method::HEAD].contains(method)
}

fn asks_for_a_token(words: &[&[u8]]) -> bool {
    words
        .windows(3)
        .any(|three| matches!(three, [b"serviceaccounts", _, b"token"]))
}

/// Also asked through a node that somebody made, whose address is the API server's
/// own: it calls nodes with a certificate that may do everything.
fn is_all_secrets(words: &[&[u8]]) -> bool {
    match words {
        [b"api", _, b"secrets", ..] | [b"api", _, b"watch" | b"proxy", b"secrets", ..] => true,
        [b"api", _, b"nodes", _, b"proxy", rest @ ..] => is_all_secrets(rest),
        _ => false,
    }
}

/// Through a node's kubelet, or the API server's host: paths like
/// `/exec/NAMESPACE/POD`, logs like `NAMESPACE_POD_UID` and
/// `POD_NAMESPACE_CONTAINER.log`.
fn on_a_node(words: &[&[u8]], query: &str, namespace: &[u8]) -> bool {
    let below = match words {
        [b"api", _, b"nodes", _, rest @ ..] | [b"api", _, b"proxy", b"nodes", _, rest @ ..] => rest,
        [b"logs", ..] => words,
        _ => return false,
    };
    let in_a_name = |word: &&[u8]| {
        word.split(|byte| *byte == b'_')
            .any(|part| part == namespace)
    };
    // The kubelet's query of its host's logs takes files' names.
    let logs = below.contains(&b"logs".as_slice());
    let in_the_query = || {
        percent_decode_str(query)
            .collect::<Vec<_>>()
            .windows(namespace.len())
            .any(|window| window == namespace)
    };
    below.iter().any(in_a_name) || logs && in_the_query()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protection() -> Protection {
        let namespaces = ["mine", "also-mine"].map(str::to_owned).to_vec();
        Protection::new(namespaces, true).unwrap().unwrap()
    }

    fn check(method: &str, path: &str) -> Result<(), Refused> {
        protection().check(&method.parse().unwrap(), &path.parse().unwrap())
    }

    fn refused(paths: &[&str], expected: &Refused) {
        for path in paths {
            for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
                assert_eq!(
                    check(method, path),
                    Err(expected.clone()),
                    "{method} {path}"
                );
            }
        }
    }

    #[test]
    fn whatever_is_in_the_namespace() {
        let paths = [
            "/api/v1/namespaces/mine/secrets",
            "/api/v1/namespaces/mine/secrets/",
            "/api/v1/namespaces/mine/secrets/token?x=y",
            "/api/v1/namespaces/%6Dine/secrets/token",
            "/api/v1/n%61mespaces/mine/secrets/token",
            "/%61pi/%76%31/namespaces/mine/secrets/token",
            "/api/v1/watch/namespaces/mine/secrets/token",
            "/api/v1/proxy/namespaces/mine/services/x",
            "/api/v1/namespaces/mine/pods/p/exec",
            "/api/v1/namespaces/mine/pods/p/portforward",
            "/api/v1/namespaces/mine/pods/p/proxy/metrics",
            "/api/v1/namespaces/mine/services/s/proxy/",
            "/api/v1/namespaces/mine/status",
            "/api/v1/namespaces/mine/finalize",
            "/apis/apps/v1/namespaces/mine/deployments",
            "/apis/apps/v1/watch/namespaces/mine/deployments",
            "/api/v1/watch/namespaces/mine",
        ];
        refused(&paths, &Refused::Protected("mine".into()));
        let other = ["/api/v1/namespaces/also-mine/configmaps"];
        refused(&other, &Refused::Protected("also-mine".into()));
    }

    #[test]
    fn the_namespace_may_be_looked_at_only() {
        for path in ["/api/v1/namespaces/mine", "/api/v1/namespaces/mine/"] {
            assert_eq!(check("GET", path), Ok(()));
            assert_eq!(check("HEAD", path), Ok(()));
            for method in ["POST", "PUT", "PATCH", "DELETE", "get"] {
                assert_eq!(
                    check(method, path),
                    Err(Refused::Protected("mine".into())),
                    "{method}"
                );
            }
        }
    }

    #[test]
    fn secrets_of_all_namespaces_at_once() {
        let paths = [
            "/api/v1/secrets",
            "/api/v1/secrets/",
            "/api/v1/secrets?fieldSelector=metadata.namespace!=mine",
            "/api/v1/%73ecrets?watch=1",
            "/api/v1/watch/secrets",
            "/api/v2/secrets",
            "/api/v1/nodes/n:6443/proxy/api/v1/secrets",
            "/api/v1/nodes/n/proxy/api/v1/nodes/n/proxy/api/v1/watch/secrets",
        ];
        refused(&paths, &Refused::AllSecrets);
        let ambiguous = Err(Refused::Ambiguous(super::super::Ambiguous::Empty));
        assert_eq!(check("GET", "/api/v1/namespaces//secrets"), ambiguous);
    }

    #[test]
    fn through_a_node() {
        let paths = [
            "/api/v1/nodes/n/proxy/exec/mine/pod/container?command=id",
            "/api/v1/nodes/n:10250/proxy/run/mine/pod/container",
            "/api/v1/nodes/https:n:10250/proxy/containerLogs/%6dine/pod/container",
            "/api/v1/nodes/n/proxy/checkpoint/mine/pod/container",
            "/api/v1/nodes/n/proxy/logs/pods/mine_pod_0-1/c/0.log",
            "/api/v1/nodes/n/proxy/logs/containers/pod_mine_c-0.log",
            "/api/v1/nodes/n/proxy/logs/?query=/pods/mine_pod_0-1/c/0.log",
            "/api/v1/nodes/n/proxy/logs/?query=%6D%69ne",
            "/api/v1/proxy/nodes/n/exec/mine/pod/container",
            "/logs/pods/mine_pod_0-1/c/0.log",
        ];
        refused(&paths, &Refused::Protected("mine".into()));
    }

    #[test]
    fn tokens_of_service_accounts_of_any_namespace() {
        let paths = [
            "/api/v1/namespaces/x/serviceaccounts/y/token",
            "/api/v1/namespaces/x/serviceaccounts/y/token/",
            "/api/v1/namespaces/x/servic%65accounts/y/tok%65n?a=b",
        ];
        refused(&paths, &Refused::TokenRequest);
    }

    #[test]
    fn all_else_passes() {
        for path in [
            "/",
            "/version",
            "/openapi/v3",
            "/api/v1/namespaces",
            "/api/v1/namespaces/mines/secrets/token",
            "/api/v1/namespaces/not-mine/secrets",
            "/api/v1/namespaces/x/configmaps/mine",
            "/api/v1/namespaces/x/serviceaccounts/mine",
            "/api/v1/namespaces/x/serviceaccounts/token",
            "/api/v1/namespaces/x/services/mine/proxy/mine/..//%2F",
            "/apis/rbac.authorization.k8s.io/v1/clusterroles/mine",
            "/api/v1/pods",
            "/api/v1/nodes/mine",
            "/api/v1/nodes/mine/proxy/pods",
            "/api/v1/nodes/n/proxy/exec/x/pod/c?command=mine",
            "/api/v1/nodes/n/proxy/logs/",
            "/api/v1/namespaces/x/services/vault/proxy/api/v1/secrets",
        ] {
            assert_eq!(check("GET", path), Ok(()), "{path}");
        }
    }

    #[test]
    fn each_flag_by_itself() {
        let get = |by: &Protection, path: &str| by.check(&Method::GET, &path.parse().unwrap());
        let tokens = Protection::new(Vec::new(), true).unwrap().unwrap();
        assert_eq!(get(&tokens, "/api/v1/secrets"), Ok(()));
        let namespace = Protection::new(vec!["mine".into()], false)
            .unwrap()
            .unwrap();
        let token = "/api/v1/namespaces/x/serviceaccounts/y/token";
        assert_eq!(get(&namespace, token), Ok(()));
        assert!(Protection::new(Vec::new(), false).unwrap().is_none());
    }

    #[test]
    fn what_is_no_namespace_is_told() {
        for wrong in ["", "$(POD_NAMESPACE)", "Mine", "-x", "a_b", " mine"] {
            let error = Protection::new(vec!["x".into(), wrong.into()], true).unwrap_err();
            assert!(error.to_string().contains(&format!("{wrong:?}")), "{error}");
        }
    }
}

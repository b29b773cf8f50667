//! Where a cluster sends its caller on to. By path the clusters share a host, and
//! callers take their token along to wherever on it a redirect leads, with method
//! and body after a 307: it must not lead out of the cluster's own paths.

use http::HeaderValue;
use url::{Position, Url};

use super::target::ClusterTarget;
use crate::hosts::{HostOwner, Hosts};

/// The cluster's place in a reference that names no host.
const ITSELF: &str = "cluster.invalid";
/// The Host that clusters are asked by.
const LOCALHOST: &str = "localhost";

/// The reference as the caller is to read it, if it may have it.
pub(crate) fn rewrite(
    reference: &HeaderValue,
    target: &ClusterTarget,
    hosts: &Hosts,
) -> Option<HeaderValue> {
    match target.prefix() {
        Some(prefix) => by_path(reference, &prefix, target, hosts),
        None => by_host(reference, target, hosts),
    }
}

/// Every name of the server's is taken for the cluster itself, whatever the port:
/// Go's client sends a token on to other ports and to subdomains.
fn by_path(
    reference: &HeaderValue,
    prefix: &str,
    target: &ClusterTarget,
    hosts: &Hosts,
) -> Option<HeaderValue> {
    let base = Url::parse(&format!("https://{ITSELF}{}", target.path)).ok()?;
    let url = base.join(reference.to_str().ok()?).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let host = url.host_str()?;
    let rest = &url[Position::BeforePath..];
    let is_public = rest
        .strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?', '#']));
    // Written anew even if it leads elsewhere, so that all read it alike.
    let rewritten = match owner(hosts, host) {
        Some(HostOwner::Server) if is_public => rest.to_owned(),
        Some(_) => format!("{prefix}{rest}"),
        None if [ITSELF, LOCALHOST].contains(&host) => format!("{prefix}{rest}"),
        None => url.to_string(),
    };
    HeaderValue::try_from(rewritten).ok()
}

/// By hostname a cluster may lead where it likes: callers leave their token behind
/// when the host is another. Only Go's takes it along to the same host without TLS.
fn by_host(reference: &HeaderValue, target: &ClusterTarget, hosts: &Hosts) -> Option<HeaderValue> {
    let url = reference
        .to_str()
        .ok()
        .and_then(|text| Url::parse(text).ok());
    let without_tls = url.filter(|url| url.scheme() == "http").filter(|url| {
        let owner = url.host_str().and_then(|host| owner(hosts, host));
        matches!(owner, Some(HostOwner::Cluster(name)) if name == target.name)
    });
    match without_tls {
        Some(url) => HeaderValue::try_from(&url[Position::BeforePath..]).ok(),
        None => Some(reference.clone()),
    }
}

fn owner(hosts: &Hosts, host: &str) -> Option<HostOwner> {
    hosts.owner(host.strip_suffix('.').unwrap_or(host))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::uri::PathAndQuery;
    use proptest::prelude::*;
    use tunnel_protocol::ClusterName;

    fn rewritten(reference: &str, by_path: bool) -> Option<String> {
        let hosts = Hosts {
            base: "culvert.example".into(),
            extra: vec!["10.0.0.1".into()],
        };
        let target = ClusterTarget {
            name: ClusterName::parse("prod").unwrap(),
            path: PathAndQuery::from_static("/api/v1/x?y"),
            by_path,
        };
        let reference = HeaderValue::from_str(reference).unwrap();
        let got = rewrite(&reference, &target, &hosts)?;
        Some(got.to_str().unwrap().to_owned())
    }

    #[test]
    fn by_path_what_is_the_clusters_is_below_its_path() {
        for (reference, expected) in [
            ("/", "/clusters/prod/"),
            ("/api/", "/clusters/prod/api/"),
            ("/api?a=%2F#b", "/clusters/prod/api?a=%2F#b"),
            ("z", "/clusters/prod/api/v1/z"),
            ("?z", "/clusters/prod/api/v1/x?z"),
            ("", "/clusters/prod/api/v1/x?y"),
            // What the cluster takes its own host for.
            ("http://localhost/a", "/clusters/prod/a"),
            ("https://localhost:8001/a", "/clusters/prod/a"),
            // What somebody told it.
            ("https://culvert.example/clusters/prod", "/clusters/prod"),
            (
                "https://culvert.example/clusters/prod?a",
                "/clusters/prod?a",
            ),
            (
                "https://Culvert.Example:8443/clusters/prod/a",
                "/clusters/prod/a",
            ),
            ("//10.0.0.1/clusters/prod/a", "/clusters/prod/a"),
            ("https://prod.culvert.example/a", "/clusters/prod/a"),
        ] {
            assert_eq!(
                rewritten(reference, true).as_deref(),
                Some(expected),
                "{reference}"
            );
        }
    }

    #[test]
    fn by_path_nothing_leads_to_another_cluster_or_to_the_server() {
        for (reference, expected) in [
            ("/../other/api", "/clusters/prod/other/api"),
            ("../../../../other", "/clusters/prod/other"),
            ("/%2e%2E/other", "/clusters/prod/other"),
            ("/..\\..\\other", "/clusters/prod/other"),
            ("\\clusters\\other", "/clusters/prod/clusters/other"),
            ("/clusters/other", "/clusters/prod/clusters/other"),
            (
                "https://culvert.example/clusters/other/api",
                "/clusters/prod/clusters/other/api",
            ),
            (
                "https://culvert.example/clusters/prod/../other/api",
                "/clusters/prod/clusters/other/api",
            ),
            (
                "https://culvert.example/clusters/production",
                "/clusters/prod/clusters/production",
            ),
            ("//culvert.example/tunnel/v1", "/clusters/prod/tunnel/v1"),
            ("/\\culvert.example/a", "/clusters/prod/a"),
            ("/\t/culvert.example/a", "/clusters/prod/a"),
            ("http://culvert.example./a", "/clusters/prod/a"),
            (
                "https:culvert.example",
                "/clusters/prod/api/v1/culvert.example",
            ),
            ("https://u:p@culvert.example:1/a", "/clusters/prod/a"),
            ("https://other.culvert.example/api", "/clusters/prod/api"),
            ("https://0xa.0.0.1/a", "/clusters/prod/a"),
            ("https://culvert%2eexample/a", "/clusters/prod/a"),
            ("https://cluster.invalid/a", "/clusters/prod/a"),
        ] {
            assert_eq!(
                rewritten(reference, true).as_deref(),
                Some(expected),
                "{reference}"
            );
        }
        for reference in ["javascript:alert(1)", "data:text/html,x", "https://", "//"] {
            assert_eq!(rewritten(reference, true), None, "{reference}");
        }
        let elsewhere = rewritten("//evil.example\\@culvert.example/a", true);
        assert_eq!(
            elsewhere.as_deref(),
            Some("https://evil.example/@culvert.example/a")
        );
    }

    #[test]
    fn by_hostname_all_stays_but_what_gives_up_tls() {
        for (reference, expected) in [
            ("/a/../b", "/a/../b"),
            (
                "https://prod.culvert.example/a",
                "https://prod.culvert.example/a",
            ),
            ("http://prod.culvert.example/a?b#c", "/a?b#c"),
            ("HTTP://Prod.Culvert.Example.:80", "/"),
            (
                "http://other.culvert.example/a",
                "http://other.culvert.example/a",
            ),
            ("http://elsewhere.example/a", "http://elsewhere.example/a"),
            ("http://[", "http://["),
        ] {
            assert_eq!(
                rewritten(reference, false).as_deref(),
                Some(expected),
                "{reference}"
            );
        }
    }

    proptest! {
        #[test]
        fn by_path_whatever_stays_on_the_host_stays_in_the_cluster(
            reference in "(https?:)?[/\\\\]{0,2}(culvert\\.example|other\\.culvert\\.example|@|:8443)?[a-z./\\\\%2e?#:@ ]{0,24}"
        ) {
            let Some(got) = rewritten(&reference, true) else { return Ok(()) };
            let request = Url::parse("https://culvert.example:8443/clusters/prod/api/v1/x?y").unwrap();
            let url = request.join(&got).unwrap();
            let host = url.host_str().unwrap();
            if host.strip_suffix('.').unwrap_or(host).ends_with("culvert.example") {
                let path = url.path();
                prop_assert!(path == "/clusters/prod" || path.starts_with("/clusters/prod/"), "{got}");
                prop_assert_eq!(url.port(), Some(8443));
            }
        }
    }
}

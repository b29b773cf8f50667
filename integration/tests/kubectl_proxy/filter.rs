//! What the filter lets through: hosts, paths and methods.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::environment::Environment;
use integration::raw_http::RawUpstream;

use crate::compare::Departure::{Accepted, Refused, Status};
use crate::compare::{Case, as_kubectl, case, compare, get};
use crate::proxies::{Proxies, Side, sorted};

const REFUSED_METHODS: &str = "--reject-methods=^PATCH$,DELETE";

pub(crate) async fn filtered(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[REFUSED_METHODS]).await?;
    compare(&proxies, cases_of_the_filter()).await
}

/// Its refusals are plain text there; an unreachable API server is 500.
pub(crate) async fn with_kubectls_errors(_: Arc<Environment>) -> Result<()> {
    let ours = ["--kubectl-errors"];
    let upstream = RawUpstream::bind().await?;
    let server = format!("http://{}", upstream.address);
    let proxies = Proxies::start_at(upstream, &server, &[REFUSED_METHODS], &ours).await?;
    compare(&proxies, as_kubectl(cases_of_the_filter())).await?;

    // Whose port nobody has.
    let server = "http://127.0.0.1:1";
    let proxies = Proxies::start_at(RawUpstream::bind().await?, server, &[], &ours).await?;
    let request = b"GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answers = Vec::new();
    for side in [Side::Kubectl, Side::Ours] {
        let answer = proxies.exchange(side, request).await?.answer;
        ensure!(answer.body.ends_with(b"\n"), "{side:?}");
        let headers = sorted(&answer.headers, &["date"]);
        answers.push((answer.status, headers, answer.body));
    }
    ensure!(
        answers[0] == answers[1] && answers[0].0 == 500,
        "{answers:?}"
    );
    Ok(())
}

fn cases_of_the_filter() -> Vec<Case> {
    let mut cases = Vec::new();
    for host in [
        "localhost",
        "localhost:8001",
        "localhost:",
        "localhost:abc",
        "127.0.0.1",
        "127.0.0.1:9",
        "[::1]",
    ] {
        cases.push(get("/a").host(host));
    }
    for host in [
        "evil.com",
        "127.1",
        "LOCALHOST",
        "localhost.",
        "::1",
        "localhost:8001:1",
        "",
        "[::1",
        "local%68ost",
        "a'b",
        "a,b",
        "a_b",
        "[fe80::1%25lo]",
        "localhost,evil.com",
    ] {
        cases.push(get("/a").host(host).departs(Status(403)));
    }
    cases.push(get("/a").host("[::1]:8001").departs(Accepted));
    cases.push(get("http://localhost/a").host("evil.com"));
    cases.push(get("http://evil.com/a").departs(Status(403)));
    for path in [
        "/api/v1/namespaces/x/pods/p/exec",
        "/api/v1/namespaces/x/pods/p/%65xec",
        "/api/v1/namespaces/x/pods/p%2Fexec",
        "/api%2Fv1/namespaces/x/pods/p/exec",
        "/api/v1/namespaces/x/pods/p/exec/",
        "/api/v1/namespaces/x/pods/p/execfoo",
        "/api/v1/namespaces/x/services/pods/proxy/exec",
        "/api/v1/namespaces/x/pods/p/attach?x",
    ] {
        cases.push(get(path).departs(Status(403)));
    }
    for path in [
        "/api/v1/namespaces/x/pods/p/portforward",
        "/API/v1/namespaces/x/pods/p/exec",
        "/apis/x/pods/p/exec",
    ] {
        cases.push(get(path));
    }
    // What the API server reads as one of those, and kubectl's filter does not.
    for path in [
        "/api/v1/namespaces/x/pods/p%0a/exec",
        "/%2F%2Fapi/v1/namespaces/x/pods/p/exec",
    ] {
        cases.push(get(path).departs(Refused(403)));
    }
    for method in ["PATCH", "DELETE", "XDELETEX"] {
        cases.push(case(method, "/a").departs(Status(403)));
    }
    cases.push(case("XPATCH", "/a"));
    // Before the filter.
    cases.push(get("/api//v1/namespaces/x/pods/p/exec"));
    cases
}

pub(crate) async fn without_a_filter(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&["--disable-filter=true"]).await?;
    let cases = vec![
        get("/a").host("evil.com"),
        get("/api/v1/namespaces/x/pods/p/exec"),
        case("DELETE", "/a"),
    ];
    compare(&proxies, cases).await
}

/// An empty list accepts nothing, and refuses nothing.
pub(crate) async fn empty_lists(_: Arc<Environment>) -> Result<()> {
    for (flag, refuses) in [
        ("--accept-hosts=", true),
        ("--accept-paths=", true),
        ("--reject-paths=", false),
        ("--reject-methods=", false),
    ] {
        let proxies = Proxies::start(&[flag]).await?;
        let mut cases = vec![get("/a"), case("DELETE", "/a")];
        if refuses {
            cases = cases
                .into_iter()
                .map(|case| case.departs(Status(403)))
                .collect();
        }
        if flag == "--reject-paths=" {
            cases.push(get("/api/v1/namespaces/x/pods/p/exec"));
        }
        compare(&proxies, cases).await?;
    }
    Ok(())
}

//! Requests that were measured to be told apart.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::environment::Environment;

use crate::compare::Departure::{Redirect, Status};
use crate::compare::{Case, case, compare, get};
use crate::proxies::{Proxies, Side};

/// Spelled in every way; below any prefix.
const PATHS: &[&str] = &[
    "/",
    "/?",
    "/?x=%zz&y=1;z=2",
    "/a/",
    "/a%2F%2Fb",
    "/a/%2e%2e/b",
    "/a%20b",
    "/a%41",
    "/a\"b",
    "/a|b",
    "/a^b{c}",
    "/a\\b",
    "/a[b]!(c)*'+,;=:@~$&",
    "/a\"b%2Fc",
    "/...",
    "/a.b/..c",
];

/// Redirected to what they mean.
const UNCLEAN: &[&str] = &[
    "//",
    "/a//b",
    "/a//b?x=1",
    "/a/./b",
    "/a/../b",
    "/a/.",
    "/a/..",
    "/a/b/../../..",
    "/./a/",
];

const METHODS: &[&str] = &[
    "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "FOO",
];

fn headers() -> Vec<Case> {
    let lines = [
        "Accept: a",
        "Accept-Encoding: gzip",
        "Authorization: Bearer callers",
        "Cookie: a=b",
        "Origin: http://localhost:8001",
        "Origin: http://evil.com",
        "Forwarded: for=1.2.3.4",
        "Via: 1.1 a",
        "X-Forwarded-For: 1.2.3.4",
        "X-Forwarded-Host: a",
        "X-Forwarded-Proto: https",
        "X-Real-Ip: 1.2.3.4",
        "X-Remote-User: a",
        "Impersonate-User: a",
        "Impersonate-Group: a",
        "Keep-Alive: timeout=5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic YTpi",
        "Te: trailers",
        "Te: gzip",
        "Trailer: X-A",
        "Upgrade: websocket",
        "Range: bytes=0-1",
        "If-None-Match: a",
        "User-Agent: mine",
        "X-Empty:",
        "X-Many: a\r\nX-Many: b",
        "X-Forwarded-For: a\r\nX-Forwarded-For: b",
        "X-Forwarded-For: a,b,  c",
        "X-Forwarded-For: a, ,b",
        "X-Forwarded-For:",
        "X-Forwarded-For: a\r\nX-Forwarded-For:",
        "X-Forwarded-For: \u{e9}",
        "X-Forwarded-Uri: /a",
        "Connection: close, X-Forwarded-For\r\nX-Forwarded-For: 1.2.3.4",
        "Connection: close, Host, Content-Length",
        "Connection: ,close,,\r\nX-A: b",
        "Cookie: a=b\r\nCookie: c=d",
        "Referer: http://a/",
        "Max-Forwards: 0",
        "Sec-Fetch-Mode: cors",
        "Proxy-Authenticate: Basic",
        "Te: trailers, deflate",
        "Te: deflate\r\nTe: trailers",
        "Te: TRAILERS",
        "Te: trailers;q=0.5",
        "Accept-Encoding: gzip\r\nAccept-Encoding: br",
        "Audit-Id: a",
        "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "Kubectl-Command: get\r\nKubectl-Session: a",
        "X-Bytes: \u{e9}",
        "Connection: close, X-Hop\r\nX-Hop: a",
        "Connection: close\r\nConnection: Authorization",
    ];
    lines.into_iter().map(|line| get("/a").with(line)).collect()
}

fn bodies() -> Vec<Case> {
    let mut cases = Vec::new();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE", "FOO"] {
        let with = |line: &str, body: &str| case(method, "/a").with(line).body(body);
        cases.push(with("Content-Length: 5", "hello"));
        cases.push(with("Content-Length: 0", ""));
        cases.push(with(
            "Transfer-Encoding: chunked",
            "5\r\nhello\r\n0\r\n\r\n",
        ));
        cases.push(with("Transfer-Encoding: chunked", "0\r\n\r\n"));
    }
    cases
}

pub(crate) async fn at_the_root(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    let mut cases: Vec<_> = PATHS.iter().chain(UNCLEAN).map(get).collect();
    cases.extend(UNCLEAN.iter().map(|path| case("POST", path)));
    cases.extend(UNCLEAN.iter().map(|path| case("HEAD", path)));
    // There the escapes are escaped once more, so that the target is another.
    cases.push(get("/a//b%2Fc?q=%2F").departs(Redirect));
    cases.extend(METHODS.iter().map(|method| case(method, "/a?b")));
    cases.push(case("OPTIONS", "*"));
    cases.push(get("http://localhost/a?b"));
    cases.push(get("/a%zz").departs(Status(400)));
    cases.push(get("/%").departs(Status(400)));
    cases.extend(headers());
    cases.extend(bodies());
    compare(&proxies, cases).await
}

pub(crate) async fn at_another_prefix(_: Arc<Environment>) -> Result<()> {
    for (prefix, flag) in [
        ("/custom", "--api-prefix=/custom"),
        ("/api-x", "--api-prefix=/api-x/"),
    ] {
        let proxies = Proxies::start(&[flag]).await?;
        let below = PATHS.iter().chain(UNCLEAN);
        let mut cases: Vec<_> = below.map(|path| get(format!("{prefix}{path}"))).collect();
        let beside = [
            "/",
            "/a",
            "/customx",
            "/custo%6d/x",
            "/api-x",
            "/api%2dx/a",
            "/custom?x=1",
        ];
        cases.extend(beside.iter().map(get));
        cases.push(case("POST", prefix));
        compare(&proxies, cases).await?;
    }
    Ok(())
}

pub(crate) async fn below_a_servers_path(_: Arc<Environment>) -> Result<()> {
    for flags in [
        &[][..],
        &["--append-server-path"],
        &["--append-server-path=false"],
    ] {
        for path in ["/k8s/clusters/c-1", "/k8s/"] {
            let proxies = Proxies::start_below(path, flags).await?;
            let cases = PATHS.iter().map(get).collect();
            compare(&proxies, cases).await?;
        }
    }
    Ok(())
}

/// Behind an answer of the proxy's own the connection can be used again.
pub(crate) async fn connections_stay_open(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start_ours(&["--api-prefix=/api"], &["--kubectl-errors"]).await?;
    let last = "GET /api//last HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    for first in [
        "GET /api/v1/namespaces/x/pods/p/exec HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /api/a HTTP/1.1\r\nHost: evil.com\r\n\r\n",
        "GET /elsewhere HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "GET /api//a HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n",
    ] {
        let mut both = Vec::new();
        for side in [Side::Kubectl, Side::Ours] {
            let mut caller = proxies.caller(side).await?;
            caller.send(format!("{first}{last}")).await?;
            let (answers, ended) = caller.rest().await?;
            let statuses: Vec<_> = answers.split("HTTP/1.1 ").skip(1).collect();
            let statuses = statuses.iter().filter_map(|answer| answer.get(..3));
            both.push((statuses.map(str::to_owned).collect::<Vec<_>>(), ended));
        }
        ensure!(
            both[0] == both[1] && both[0].0.len() == 2,
            "{first}: {both:?}"
        );
    }
    Ok(())
}

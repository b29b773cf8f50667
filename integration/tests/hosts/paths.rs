//! Paths: the same request by hostname and by path, and none that could be read
//! in two ways.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::chain::{BASE_DOMAIN, CLUSTER};
use integration::environment::Environment;

use crate::stage::{CLOSE, Stage, without_id};

/// What reaches the cluster as it is.
const PLAIN: [&str; 14] = [
    "/",
    "/?",
    "/?x",
    "/api",
    "/api/",
    "/api/v1/namespaces/default/pods?limit=500&fieldSelector=a%3Db",
    "/api/v1/pods?x=/../..//%2e%2e\\;",
    "/clusters/other/api",
    "/tunnel/v1",
    "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:a%3Bb;c=d",
    "/%61pi/%C3%A4~!$&'()*+,;=:@",
    "/api/v1/namespaces/x/services/y:http/proxy//a/%2e/b/../%2F%00\\%ff%25//",
    "/api/v1/namespaces/x/pods/y/proxy/?a=b?c",
    "/api/v1/namespaces/x/pods/y/exec?command=sh&command=-c&command=%20",
];

/// What could be read in two ways, and what the caller is told.
const AMBIGUOUS: [(&str, &str); 27] = [
    ("//", "two slashes"),
    ("//api/v1", "two slashes"),
    ("//elsewhere.example/api", "two slashes"),
    ("///api", "two slashes"),
    ("/api//v1", "empty segment"),
    ("/api/v1//", "empty segment"),
    ("/api/v1/namespaces//secrets", "empty segment"),
    ("/.", "dot segment"),
    ("/..", "dot segment"),
    ("/../clusters/other/api", "dot segment"),
    ("/../../tunnel/v1", "dot segment"),
    ("/api/./v1", "dot segment"),
    ("/api/%2e%2E/v1", "dot segment"),
    ("/api/.%2e/v1", "dot segment"),
    ("/..%2fother", "encoded slash"),
    ("/api%2Fv1", "encoded slash"),
    ("/api/v1/%2573ecrets", "escape"),
    ("/api/v1/%2e%252e", "escape"),
    ("/api/v1/%", "escape"),
    ("/api/v1/%zz", "escape"),
    ("/..\\..\\other", "backslash"),
    ("/api/v1%5C..%5C..", "backslash"),
    ("/api/v1%00", "no text"),
    ("/api/v1%0d%0aX:y", "no text"),
    ("/%c0%ae%c0%ae/x", "no text"),
    (
        "/api/v1/namespaces/x/services/y/proxy/../../../../z",
        "dot segment",
    ),
    (
        "/api/v1/namespaces/x/services/y/proxy/..%5c..%5c..",
        "dot segment",
    ),
];

fn requests(stage: &Stage, method: &str, path: &str, rest: &str) -> [String; 2] {
    [false, true].map(|by_path| stage.chain.raw_head(by_path, method, path, rest))
}

pub(crate) async fn the_same_request_by_host_and_by_path(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::start(&environment).await?;
    for path in PLAIN {
        for method in ["GET", "DELETE", "MADEUP"] {
            let lines = format!("Accept: a/b\r\nX-Own: 1\r\nX-Own: 2\r\nCookie: a=b\r\n{CLOSE}");
            let [by_host, by_path] = requests(&stage, method, path, &lines);
            let by_host = stage.seen(&stage.prod, &by_host).await?;
            let by_path = stage.seen(&stage.prod, &by_path).await?;
            let start = format!("{method} {path} HTTP/1.1\r\n");
            ensure!(by_host.starts_with(&start), "{start}: {by_host}");
            ensure!(
                without_id(&by_host) == without_id(&by_path),
                "{by_host} but by path {by_path}"
            );
            ensure!(!by_host.contains("a=b\r\n"), "a cookie: {by_host}");
        }
    }
    stage.stop().await
}

pub(crate) async fn ambiguous_paths_reach_no_link(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(&environment).await?;
    for (path, told) in AMBIGUOUS {
        for request in requests(&stage, "GET", path, CLOSE) {
            let refusal = stage.refusal(&request).await?;
            ensure!(
                (refusal.status, refusal.code.as_str()) == (400, "bad-request")
                    && refusal.message.contains(told),
                "{path}: {refusal:?}"
            );
        }
    }
    for segment in [
        "%70rod",
        "prod%2Fapi",
        "..",
        ".",
        "%2e%2e",
        "..%2f..",
        "",
        "prod%00",
    ] {
        let request = stage.head(&format!("GET /clusters/{segment}/api"), BASE_DOMAIN);
        let refusal = stage.refusal(&request).await?;
        ensure!(
            (refusal.status, refusal.code.as_str()) == (400, "bad-request"),
            "{segment}: {refusal:?}"
        );
    }
    for path in [
        format!("/x/../clusters/{CLUSTER}/"),
        format!("//clusters/{CLUSTER}/"),
        format!("/%63lusters/{CLUSTER}/"),
        format!("/clusters\\{CLUSTER}/"),
        format!("/clusters/{CLUSTER};x/"),
        format!("/clusters/{CLUSTER}\\..\\other/"),
        format!("/Clusters/{CLUSTER}/"),
        "/clusters/www/".to_owned(),
        "/clusters".to_owned(),
        "/clusters/".to_owned(),
        format!("/clusters/{}/", "a".repeat(64)),
    ] {
        let refusal = stage
            .refusal(&stage.head(&format!("GET {path}"), BASE_DOMAIN))
            .await?;
        ensure!(
            (refusal.status, refusal.code.as_str()) == (404, "unknown-path"),
            "{path}: {refusal:?}"
        );
    }
    stage.nothing_arrived().await?;
    stage.stop().await
}

//! `Location` and the like: by path they stay in the cluster that said them, and no
//! process of ours goes where they lead.

use std::io::ErrorKind;
use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::chain::ChainOptions;
use integration::environment::Environment;
use integration::played_cluster;
use reqwest::redirect::Policy;

use crate::stage::{CLOSE, Stage, value};

/// What a cluster says, and what its caller reads by path and by hostname. The
/// request is for `/api/v1/x`.
const REFERENCES: [(&str, Option<&str>, &str); 16] = [
    ("/api/", Some("/clusters/prod/api/"), "/api/"),
    ("y?z#a", Some("/clusters/prod/api/v1/y?z#a"), "y?z#a"),
    (
        "../../../../other/api",
        Some("/clusters/prod/other/api"),
        "../../../../other/api",
    ),
    (
        "/../other/api",
        Some("/clusters/prod/other/api"),
        "/../other/api",
    ),
    (
        "/%2e%2e/other/api",
        Some("/clusters/prod/other/api"),
        "/%2e%2e/other/api",
    ),
    (
        "/..\\other\\api",
        Some("/clusters/prod/other/api"),
        "/..\\other\\api",
    ),
    (
        "/clusters/other/api",
        Some("/clusters/prod/clusters/other/api"),
        "/clusters/other/api",
    ),
    // The caller's own host, as somebody may have told it to the cluster.
    (
        "https://culvert.test:8443/clusters/prod/api",
        Some("/clusters/prod/api"),
        "https://culvert.test:8443/clusters/prod/api",
    ),
    (
        "https://culvert.test/clusters/other/api",
        Some("/clusters/prod/clusters/other/api"),
        "https://culvert.test/clusters/other/api",
    ),
    (
        "https://other.culvert.test/api",
        Some("/clusters/prod/api"),
        "https://other.culvert.test/api",
    ),
    (
        "http://prod.culvert.test/api",
        Some("/clusters/prod/api"),
        "/api",
    ),
    // What the cluster is asked by.
    (
        "http://localhost/api",
        Some("/clusters/prod/api"),
        "http://localhost/api",
    ),
    // The API server's own host, which no caller reaches, and others.
    (
        "https://10.96.0.1/api",
        Some("https://10.96.0.1/api"),
        "https://10.96.0.1/api",
    ),
    (
        "https://kubernetes.default.svc:6443/api",
        Some("https://kubernetes.default.svc:6443/api"),
        "https://kubernetes.default.svc:6443/api",
    ),
    (
        "//elsewhere.example/api",
        Some("https://elsewhere.example/api"),
        "//elsewhere.example/api",
    ),
    ("javascript:alert(1)", None, "javascript:alert(1)"),
];

pub(crate) async fn by_path_no_redirect_leads_out_of_the_cluster(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::start(&environment).await?;
    for (said, by_path, by_host) in REFERENCES {
        for (is_by_path, expected) in [(true, by_path), (false, Some(by_host))] {
            let request = stage.chain.raw_head(is_by_path, "GET", "/api/v1/x", CLOSE);
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: {said}\r\nContent-Location: {said}\r\n\
                Refresh: 0; url={said}\r\nLink: <{said}>; rel=preload\r\nContent-Length: 0\r\n{CLOSE}\r\n"
            );
            let mut caller = stage.chain.raw_caller().await?;
            caller.send(request).await?;
            let (mut accepted, _) = stage.prod.request().await?;
            accepted.send(answer).await?;
            let head = caller.head().await?;
            ensure!(head.starts_with("HTTP/1.1 307 "), "{head}");
            for name in ["location", "content-location"] {
                ensure!(value(&head, name) == expected, "{said}: {name}: {head}");
            }
            for name in ["refresh", "link"] {
                ensure!(value(&head, name).is_none() == is_by_path, "{name}: {head}");
            }
        }
    }
    stage.stop().await
}

/// A client that follows takes method, body and token along: to nobody else.
pub(crate) async fn reqwest_follows_into_the_same_cluster(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::start(&environment).await?;
    let client = stage.chain.http().redirect(Policy::limited(3)).build()?;
    for said in [
        "/clusters/other/api",
        "/../other/api",
        "https://other.culvert.test/api",
    ] {
        let request = client
            .post(format!("{}/a", stage.chain.url_by_path()))
            .bearer_auth(stage.chain.access_token.expose())
            .body("a body");
        let cluster = async {
            let (mut first, _) = stage.prod.request().await?;
            let redirect = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: {said}\r\nContent-Length: 0\r\n{CLOSE}\r\n"
            );
            first.send(redirect).await?;
            let (mut second, head) = stage.prod.request().await?;
            second
                .send(format!(
                    "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n{CLOSE}\r\n"
                ))
                .await?;
            anyhow::Ok(head)
        };
        let (answer, head) = tokio::join!(request.send(), cluster);
        let (answer, head) = (answer?, head?);
        ensure!(
            answer.status() == 200 && head.starts_with("POST "),
            "{head}"
        );
    }
    stage.nothing_arrived().await?;
    stage.stop().await
}

pub(crate) async fn nobody_follows_redirects(environment: Arc<Environment>) -> Result<()> {
    let trap = std::net::TcpListener::bind("127.0.0.1:0")?;
    trap.set_nonblocking(true)?;
    let (chain, cluster) = played_cluster::start(&environment, ChainOptions::bare()).await?;
    let elsewhere = format!("http://{}/api", trap.local_addr()?);
    let websocket = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for status in [300, 301, 302, 303, 307, 308] {
        for location in [elsewhere.as_str(), "/elsewhere"] {
            for (method, lines) in [("GET", CLOSE), ("POST", CLOSE), ("GET", websocket)] {
                let mut caller = chain.raw_caller().await?;
                caller
                    .send(chain.raw_head(false, method, "/a", lines))
                    .await?;
                let (mut accepted, head) = cluster.request().await?;
                ensure!(head.starts_with(&format!("{method} /a ")), "{head}");
                let redirect = format!(
                    "HTTP/1.1 {status} Elsewhere\r\nLocation: {location}\r\nContent-Length: 0\r\n{CLOSE}\r\n"
                );
                accepted.send(redirect).await?;
                let head = caller.head().await?;
                ensure!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
                ensure!(value(&head, "location") == Some(location), "{head}");
            }
        }
    }
    match trap.accept() {
        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
        came => anyhow::bail!("somebody followed: {came:?}"),
    }
    chain.stop().await
}

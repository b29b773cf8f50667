//! What a caller says of itself never reaches the cluster: neither its
//! credential nor a claim to be somebody else, in no form and over no protocol.
//! The cluster is an API server of the test's own that shows each byte, behind a
//! real sidecar; and once the real one, which says whom it has seen.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use data_encoding::BASE64URL_NOPAD;
use integration::chain::{BASE_DOMAIN, CLUSTER, Chain, ChainOptions, SOON};
use integration::environment::Environment;
use integration::played_cluster::{self, OWN_TOKEN};
use integration::raw_http::{Accepted, RawUpstream};
use integration::wait::until;
use integration::{suite, tests};
use serde_json::Value;

/// In the value of every claim, so that one search finds any of them.
const FORGED: &str = "forged";
/// Each of these is a claim to be somebody, or a header that only we may set.
const CLAIMS: &[(&str, &str)] = &[
    ("Cookie", "session=forged"),
    ("cookie", "other=forged"),
    ("Impersonate-User", "forged"),
    ("IMPERSONATE-GROUP", "forged"),
    ("Impersonate-Group", "system:masters-forged"),
    ("Impersonate-Uid", "forged"),
    ("Impersonate-Extra-Scopes", "forged"),
    ("impersonate-extra-a%2fb", "forged"),
    ("X-Remote-User", "forged"),
    ("X-Remote-Group", "forged"),
    ("X-Remote-Uid", "forged"),
    ("X-Remote-Extra-Scopes", "forged"),
    ("X-Forwarded-For", "forged"),
    ("X-Forwarded-Host", "forged"),
    ("X-Real-Ip", "forged"),
    ("Forwarded", "for=forged"),
    ("Culvert-Request-Id", "forged"),
    ("Culvert-Stream", "forged"),
    ("Culvert-Upgrade-Method", "forged"),
];
/// Each as the value of `Connection`, which tells proxies what to drop: it must
/// neither keep a claim nor drop what we set.
const CONNECTIONS: &[&str] = &[
    "Authorization",
    "keep-alive, authorization",
    "Impersonate-User",
    "Impersonate-User, Impersonate-Group, Impersonate-Uid",
    "X-Remote-User, X-Forwarded-For, Culvert-Request-Id",
    "Cookie, Host, Connection",
];
const BEARER_PROTOCOL: &str = "base64url.bearer.authorization.k8s.io.";

fn main() -> ExitCode {
    suite::run(tests![
        claims_over_http1,
        claims_over_http2,
        claims_on_upgrades,
        claims_in_trailers,
        bearer_subprotocol_is_used_and_removed,
        hidden_bearer_subprotocol_is_removed,
        two_credentials_are_refused,
        the_api_server_sees_the_connectors_service_account,
        bearer_subprotocol_opens_a_websocket_watch,
    ])
}

async fn chain(environment: &Environment) -> Result<(Chain, RawUpstream)> {
    played_cluster::start(environment, ChainOptions::bare()).await
}

/// Answers one plain request; gives its head.
async fn answer(cluster: &RawUpstream) -> Result<String> {
    let (mut connection, head) = cluster.request().await?;
    connection
        .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
        .await?;
    Ok(head)
}

/// Switches one request to `protocol`.
async fn switch(cluster: &RawUpstream, protocol: &str) -> Result<(Accepted, String)> {
    let (mut connection, head) = cluster.request().await?;
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n"
    );
    connection.send(answer).await?;
    Ok((connection, head))
}

fn lines(claims: &[(&str, &str)]) -> String {
    claims
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect()
}

fn encoded(chain: &Chain) -> String {
    BASE64URL_NOPAD.encode(chain.access_token.expose().as_bytes())
}

/// Fails with the names of the lines that should not be there, never their
/// values.
fn must_be_clean(chain: &Chain, head: &str, case: &str) -> Result<()> {
    let (token, encoded) = (chain.access_token.expose(), encoded(chain));
    let suspects: Vec<_> = head
        .lines()
        .filter(|line| {
            [FORGED, token, &encoded, BEARER_PROTOCOL]
                .iter()
                .any(|mark| line.contains(mark))
        })
        .map(|line| line.split(':').next().unwrap_or_default())
        .collect();
    ensure!(
        suspects.is_empty(),
        "{case}: the cluster got the caller's {suspects:?}"
    );
    let values = |name: &str| -> Vec<&str> {
        head.lines()
            .filter_map(|line| line.split_once(':'))
            .filter(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.trim())
            .collect()
    };
    ensure!(
        values("authorization") == [format!("Bearer {OWN_TOKEN}")],
        "{case}: not the service account's token alone"
    );
    ensure!(
        values("x-forwarded-for") == ["127.0.0.1, 127.0.0.1"],
        "{case}: the cluster is told {:?} of where the caller is",
        values("x-forwarded-for")
    );
    for name in ["cookie", "forwarded", "x-real-ip"] {
        ensure!(values(name).is_empty(), "{case}: {name} got through");
    }
    ensure!(
        !head.to_ascii_lowercase().contains("\r\nculvert-"),
        "{case}: a header of the tunnel's own got through"
    );
    ensure!(
        values("x-passes") == ["kept"],
        "{case}: an ordinary header did not pass"
    );
    Ok(())
}

async fn claims_over_http1(environment: Arc<Environment>) -> Result<()> {
    let (chain, cluster) = chain(&environment).await?;
    let claims = lines(CLAIMS) + "Proxy-Authorization: Basic forged\r\nX-Passes: kept\r\n";
    for by_path in [false, true] {
        let plain = [String::new()].into_iter();
        let helped = CONNECTIONS
            .iter()
            .map(|names| format!("Connection: {names}\r\n"));
        for connection in plain.chain(helped) {
            let mut caller = chain.raw_caller().await?;
            let lines = format!("{connection}{claims}");
            caller
                .send(chain.raw_head(by_path, "GET", "/api", &lines))
                .await?;
            let head = answer(&cluster).await?;
            let answered = caller.head().await?;
            ensure!(
                answered.starts_with("HTTP/1.1 200"),
                "{connection}: {answered}"
            );
            must_be_clean(&chain, &head, connection.trim())?;
        }
    }
    chain.stop().await
}

async fn claims_over_http2(environment: Arc<Environment>) -> Result<()> {
    let (chain, cluster) = chain(&environment).await?;
    let client = chain.caller()?;
    for url in [chain.url_by_host(), chain.url_by_path()] {
        let mut request = client.get(format!("{url}/api")).header("x-passes", "kept");
        for (name, value) in CLAIMS {
            request = request.header(*name, *value);
        }
        let call = async { Ok(request.send().await?) };
        let (response, head) = tokio::try_join!(call, answer(&cluster))?;
        ensure!(response.version() == reqwest::Version::HTTP_2);
        ensure!(response.status() == 200);
        must_be_clean(&chain, &head, &url)?;
    }
    chain.stop().await
}

async fn claims_on_upgrades(environment: Arc<Environment>) -> Result<()> {
    let (chain, cluster) = chain(&environment).await?;
    for (method, protocol, path) in [
        ("GET", "websocket", "/api/v1/namespaces?watch=1"),
        (
            "POST",
            "SPDY/3.1",
            "/api/v1/namespaces/a/pods/b/portforward",
        ),
    ] {
        for connection in ["Upgrade", "Upgrade, Authorization, Impersonate-User"] {
            let case = format!("{protocol}, Connection: {connection}");
            let lines = format!(
                "Connection: {connection}\r\nUpgrade: {protocol}\r\nX-Passes: kept\r\n{}",
                lines(CLAIMS)
            );
            let mut caller = chain.raw_caller().await?;
            caller
                .send(chain.raw_head(false, method, path, &lines))
                .await?;
            let (mut connection, head) = switch(&cluster, protocol).await?;
            must_be_clean(&chain, &head, &case)?;
            let answered = caller.head().await?;
            ensure!(answered.starts_with("HTTP/1.1 101"), "{case}: {answered}");
            // It really is the caller's connection that was switched.
            caller.send("ping").await?;
            ensure!(connection.exactly(4).await? == "ping");
            connection.send("pong").await?;
            ensure!(caller.exactly(4).await? == "pong");
        }
    }
    chain.stop().await
}

/// A cluster's server may read trailers as headers.
async fn claims_in_trailers(environment: Arc<Environment>) -> Result<()> {
    let (chain, cluster) = chain(&environment).await?;
    let lines = "X-Passes: kept\r\nTransfer-Encoding: chunked\r\n\
                 Trailer: Impersonate-User, X-Checksum, Authorization\r\n";
    let mut caller = chain.raw_caller().await?;
    caller
        .send(chain.raw_head(false, "POST", "/api/v1/namespaces", lines))
        .await?;
    caller
        .send(
            "4\r\nbody\r\n0\r\nImpersonate-User: forged\r\nX-Checksum: abc\r\n\
             Authorization: Bearer forged\r\n\r\n",
        )
        .await?;
    let (mut connection, head) = cluster.request().await?;
    must_be_clean(&chain, &head, "trailers")?;
    let trailers = connection.through("\r\n\r\n").await?;
    ensure!(!trailers.contains(FORGED), "a claim passed as a trailer");
    ensure!(
        trailers.to_ascii_lowercase().contains("x-checksum: abc"),
        "an ordinary trailer did not pass"
    );
    chain.stop().await
}

/// A WebSocket's request without `Authorization`, as a browser sends it.
fn browsers_request(chain: &Chain, path: &str, protocols: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Origin: https://console.example.com\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
         X-Passes: kept\r\n{protocols}\r\n",
        chain.host()
    )
}

async fn bearer_subprotocol_is_used_and_removed(environment: Arc<Environment>) -> Result<()> {
    let (chain, cluster) = chain(&environment).await?;
    let bearer = format!("{BEARER_PROTOCOL}{}", encoded(&chain));
    environment.secrets.add("the subprotocol", encoded(&chain));
    for protocols in [
        format!("Sec-WebSocket-Protocol: {bearer}, v5.channel.k8s.io\r\n"),
        format!("Sec-WebSocket-Protocol: v5.channel.k8s.io,{bearer}\r\n"),
        format!(
            "Sec-WebSocket-Protocol: v5.channel.k8s.io\r\nSEC-WEBSOCKET-PROTOCOL: {bearer}\r\n"
        ),
    ] {
        let mut caller = chain.raw_caller().await?;
        caller
            .send(browsers_request(&chain, "/api/v1/pods?watch=1", &protocols))
            .await?;
        let (_connection, head) = switch(&cluster, "websocket").await?;
        must_be_clean(&chain, &head, "the subprotocol")?;
        ensure!(
            head.to_ascii_lowercase()
                .contains("sec-websocket-protocol: v5.channel.k8s.io\r\n"),
            "the other subprotocol is gone"
        );
        ensure!(caller.head().await?.starts_with("HTTP/1.1 101"));
    }
    chain.stop().await
}

/// In a line that is no text, which the API server reads all the same.
async fn hidden_bearer_subprotocol_is_removed(environment: Arc<Environment>) -> Result<()> {
    let (chain, cluster) = chain(&environment).await?;
    let lines =
        format!("X-Passes: kept\r\nSec-WebSocket-Protocol: {BEARER_PROTOCOL}Zm9v, \u{ff}\r\n");
    let mut caller = chain.raw_caller().await?;
    caller
        .send(chain.raw_head(false, "GET", "/api", &lines))
        .await?;
    must_be_clean(&chain, &answer(&cluster).await?, "a line that is no text")?;
    chain.stop().await
}

async fn two_credentials_are_refused(environment: Arc<Environment>) -> Result<()> {
    let (chain, _cluster) = chain(&environment).await?;
    let token = chain.access_token.expose();
    for second in [
        format!("Authorization: Bearer {token}\r\n"),
        "Authorization: Bearer forged\r\n".to_owned(),
        format!(
            "Sec-WebSocket-Protocol: {BEARER_PROTOCOL}{}\r\n",
            encoded(&chain)
        ),
    ] {
        let mut caller = chain.raw_caller().await?;
        caller
            .send(chain.raw_head(false, "GET", "/api", &second))
            .await?;
        ensure!(caller.head().await?.starts_with("HTTP/1.1 401"));
    }
    chain.stop().await
}

/// The audit log's events of requests with this user agent.
async fn audited(environment: &Environment, agent: &str) -> Result<Vec<Value>> {
    let log = environment.kubernetes().await?.audit_log();
    until("an audit event", SOON, || async {
        let text = std::fs::read_to_string(&log)?;
        let events: Vec<Value> = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok())
            .filter(|event: &Value| event["userAgent"] == agent)
            .collect();
        Ok((!events.is_empty()).then_some(events))
    })
    .await
}

fn must_be_the_connector(events: &[Value]) -> Result<()> {
    for event in events {
        let user = event["user"]["username"].as_str().context("no user")?;
        ensure!(
            user == "system:serviceaccount:culvert:connector",
            "the API server saw {user}"
        );
        ensure!(
            event.get("impersonatedUser").is_none(),
            "the API server was asked to impersonate"
        );
    }
    Ok(())
}

async fn the_api_server_sees_the_connectors_service_account(
    environment: Arc<Environment>,
) -> Result<()> {
    let chain = environment.chain().await?;
    for (index, client) in [chain.http().http1_only().build()?, chain.http().build()?]
        .into_iter()
        .enumerate()
    {
        let agent = format!("credentials-test-{}-{index}", chain.server_address.port());
        let mut request = client
            .get(format!("{}/api/v1/namespaces", chain.url_by_host()))
            .bearer_auth(chain.access_token.expose())
            .header("user-agent", &agent);
        for (name, value) in CLAIMS {
            request = request.header(*name, *value);
        }
        let response = request.send().await?;
        ensure!(response.status() == 200, "{}", response.status());
        must_be_the_connector(&audited(&environment, &agent).await?)?;
    }
    chain.stop().await
}

async fn bearer_subprotocol_opens_a_websocket_watch(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let agent = format!("browser-test-{}", chain.server_address.port());
    let bearer = encoded(&chain);
    environment.secrets.add("the subprotocol", bearer.clone());
    let protocols = format!(
        "User-Agent: {agent}\r\nSec-WebSocket-Protocol: {BEARER_PROTOCOL}{bearer}, binary.k8s.io\r\n"
    );
    let path = format!("/clusters/{CLUSTER}/api/v1/namespaces?watch=true");
    let request = browsers_request(&chain, &path, &protocols).replace(&chain.host(), BASE_DOMAIN);
    let mut caller = chain.raw_caller().await?;
    caller.send(request).await?;
    let head = caller.head().await?;
    ensure!(head.starts_with("HTTP/1.1 101"), "{head}");
    // The server's frames are not masked.
    caller.through("\"type\":\"ADDED\"").await?;
    must_be_the_connector(&audited(&environment, &agent).await?)?;
    chain.stop().await
}

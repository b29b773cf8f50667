//! PROXY protocol, as it should be and as it should not.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::chain::{Chain, SOON};
use integration::environment::Environment;
use integration::raw_http::Caller;
use integration::wait::until;
use serde_json::json;
use tokio::io::AsyncWriteExt;

use crate::answered;
use crate::audited::client_of;

/// Of version 2, up to the addresses: TCP over IPv4, twelve bytes.
const VERSION_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c";
/// The same of a load balancer's own connection, as in a health check.
const LOCAL: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

pub(crate) async fn a_required_header_announces_the_client(
    environment: Arc<Environment>,
) -> Result<()> {
    let (mut chain, _upstream) = answered(&environment).await?;
    // From a server that wants none it would come back for ever.
    chain.client.kill()?;
    chain.config.further = json!({ "proxyProtocol": "required" });
    chain.config.limits = Some(json!({ "perAddress": { "failuresPerMinute": 1 } }));
    chain.write_config()?;
    chain.restart_server().await?;

    let version_1 = b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 443\r\n".to_vec();
    let version_2 = [
        VERSION_2,
        &[203, 0, 113, 8, 127, 0, 0, 1, 0x12, 0x67, 1, 187],
    ]
    .concat();
    for (path, header, expected) in [
        ("/one", &version_1, "203.0.113.7:4711"),
        ("/two", &version_2, "203.0.113.8:4711"),
        ("/local", &LOCAL.to_vec(), "127.0.0.1:"),
    ] {
        ensure!(status(&chain, header, path).await? == 401);
        let told = client_of(&chain, path).await?;
        ensure!(told.starts_with(expected), "{path}: from {told}");
    }
    // Each failed once already.
    for (path, header) in [("/one/again", &version_1), ("/two/again", &version_2)] {
        ensure!(status(&chain, header, path).await? == 429, "{path}");
    }
    let another = b"PROXY TCP6 2001:db8::1 ::1 4711 443\r\n";
    ensure!(status(&chain, another, "/six").await? == 401);
    ensure!(client_of(&chain, "/six").await? == "[2001:db8::1]:4711");

    for (reason, header) in [
        ("missing", &b""[..]),
        ("malformed", b"PROXY TCP4 203.0.113.7\r\n"),
        (
            "malformed",
            b"PROXY UDP4 203.0.113.7 127.0.0.1 4711 443\r\n",
        ),
    ] {
        ensure!(connect(&chain, header).await.is_err(), "{header:?} passes");
        faults(&chain, reason).await?;
    }
    warns(&chain, "proxyProtocol is required").await?;
    chain.stop().await
}

pub(crate) async fn a_forbidden_header_is_cut(environment: Arc<Environment>) -> Result<()> {
    let (chain, _upstream) = answered(&environment).await?;
    for header in [
        &b"PROXY TCP4 203.0.113.7 127.0.0.1 4711 443\r\n"[..],
        b"PROXY UNKNOWN\r\n",
        LOCAL,
    ] {
        ensure!(connect(&chain, header).await.is_err(), "{header:?} passes");
        faults(&chain, "unexpected").await?;
    }
    warns(&chain, "they begin with PROXY protocol").await?;
    let call = chain.caller()?.get(chain.url_by_host()).send().await?;
    ensure!(call.status() == 200, "{}", call.status());
    chain.stop().await
}

/// A connection whose TLS is made behind a header.
async fn connect(chain: &Chain, header: &[u8]) -> Result<Caller> {
    let mut stream = chain.tcp_from(Ipv4Addr::LOCALHOST).await?;
    stream.write_all(header).await?;
    chain.raw_caller_over(stream, b"http/1.1").await
}

/// What a request without a token is answered with behind a header.
async fn status(chain: &Chain, header: &[u8], path: &str) -> Result<u16> {
    let mut caller = connect(chain, header).await?;
    let head = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", chain.host());
    caller.send(head).await?;
    let head = caller.head().await?;
    Ok(head.get(9..12).unwrap_or_default().parse()?)
}

/// Waits until connections were cut for that reason.
async fn faults(chain: &Chain, reason: &str) -> Result<()> {
    let name = format!("tunnel_server_proxy_protocol_faults_total{{reason=\"{reason}\"}}");
    until(&name, SOON, || async {
        let count = chain.server.metric(&name).await?;
        Ok((count >= Some(1.0)).then_some(()))
    })
    .await
}

/// One warning for all of them.
async fn warns(chain: &Chain, of: &str) -> Result<()> {
    let lines = chain.server.log_lines();
    let told = lines.iter().filter(|line| {
        let message = line["message"].as_str().unwrap_or_default();
        line["level"] == "WARN" && message.contains(of)
    });
    let count = told.count();
    ensure!(count == 1, "{count} warnings of {of:?}");
    Ok(())
}

//! `X-Forwarded-For` of those who are trusted, and of those who are not.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::chain::Chain;
use integration::environment::Environment;
use serde_json::json;

use crate::answered;
use crate::audited::client_of;

const PROXY: Ipv4Addr = Ipv4Addr::LOCALHOST;
const STRANGER: Ipv4Addr = Ipv4Addr::new(127, 88, 0, 1);

pub(crate) async fn a_trusted_proxy_is_believed_and_a_stranger_is_not(
    environment: Arc<Environment>,
) -> Result<()> {
    let (mut chain, _upstream) = answered(&environment).await?;
    chain.config.further = json!({ "trustedProxies": [PROXY.to_string(), "198.51.100.0/24"] });
    chain.write_config()?;
    chain.restart_server().await?;
    chain.linked().await?;
    let own = "127.0.0.1";
    for (from, lines, expected) in [
        (PROXY, "X-Forwarded-For: 203.0.113.7\r\n", "203.0.113.7"),
        (
            PROXY,
            "X-Forwarded-For: 192.0.2.9\r\nX-Forwarded-For: 203.0.113.7, 198.51.100.1\r\n",
            "203.0.113.7",
        ),
        (
            PROXY,
            "X-Forwarded-For: [2001:db8::1]:4711\r\n",
            "2001:db8::1",
        ),
        (PROXY, "X-Forwarded-For: 203.0.113.7, unknown\r\n", own),
        (PROXY, "Forwarded: for=203.0.113.7\r\n", own),
        (PROXY, "", own),
        (STRANGER, "X-Forwarded-For: 203.0.113.7\r\n", "127.88.0.1"),
        (STRANGER, "Forwarded: for=203.0.113.7\r\n", "127.88.0.1"),
        (
            PROXY,
            "X-Forwarded-For: 203.0.113.7\r\nX-Forwarded-Host: other.culvert.test\r\n\
             X-Forwarded-Proto: http\r\nX-Forwarded-Port: 1\r\n",
            "203.0.113.7",
        ),
    ] {
        let mut caller = chain.raw_caller_from(from, b"http/1.1").await?;
        let head = chain.raw_head(
            false,
            "GET",
            "/head",
            &format!("{lines}Connection: close\r\n"),
        );
        caller.send(head).await?;
        let (answer, _) = caller.rest().await?;
        let (_, seen) = answer.split_once("\r\n\r\n").unwrap_or_default();
        let seen = seen.to_ascii_lowercase();
        let forwarded: Vec<_> = seen
            .lines()
            .filter(|line| line.contains("forwarded"))
            .collect();
        let expected = format!("x-forwarded-for: {expected}");
        ensure!(forwarded == [&expected], "{lines}: {answer}");
    }
    chain.stop().await
}

pub(crate) async fn clients_of_a_trusted_proxy_are_limited_each_for_itself(
    environment: Arc<Environment>,
) -> Result<()> {
    let (mut chain, _upstream) = answered(&environment).await?;
    chain.config.further = json!({
        "trustedProxies": [PROXY.to_string()],
        "forwardedHeader": "Forwarded",
    });
    chain.config.limits = Some(json!({
        "perAddress": { "failuresPerMinute": 1, "unprovedConnections": 1 },
    }));
    chain.write_config()?;
    chain.restart_server().await?;
    chain.linked().await?;
    // As many as a proxy opens; none of them is proved.
    let mut idle = Vec::new();
    for _ in 0..10 {
        idle.push(chain.raw_caller_from(PROXY, b"http/1.1").await?);
    }
    for (path, forwarded, expected) in [
        ("/a", "for=203.0.113.7", 401),
        ("/b", "for=203.0.113.7", 429),
        ("/c", "for=192.0.2.1, for=203.0.113.7", 429),
        ("/d", "for=\"[2001:db8::1]:4711\"", 401),
        ("/e", "for=203.0.113.8;proto=https", 401),
    ] {
        let got = fails(&chain, path, forwarded).await?;
        ensure!(got == expected, "{path}: {got}");
    }
    ensure!(client_of(&chain, "/d").await? == "[2001:db8::1]:4711");
    ensure!(client_of(&chain, "/e").await? == "203.0.113.8");
    let call = chain.caller()?.get(chain.url_by_host()).send().await?;
    ensure!(call.status() == 200, "{}", call.status());
    chain.stop().await
}

/// A request without a token.
async fn fails(chain: &Chain, path: &str, forwarded: &str) -> Result<u16> {
    let mut caller = chain.raw_caller_from(PROXY, b"http/1.1").await?;
    let host = chain.host();
    let head = format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nForwarded: {forwarded}\r\n\r\n");
    caller.send(head).await?;
    let head = caller.head().await?;
    Ok(head.get(9..12).unwrap_or_default().parse()?)
}

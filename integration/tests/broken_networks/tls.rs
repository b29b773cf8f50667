//! TLS that does not come about, and certificates that are not the server's.

use std::sync::Arc;

use anyhow::Result;
use integration::environment::Environment;

use crate::certificates::{Authority, Leaf};
use crate::middlebox::{Does, Middlebox, servers_tls};
use crate::report::{Row, told};

const HTTP1: &[&[u8]] = &[b"http/1.1"];

pub(crate) async fn tls_that_fails(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let ours = Authority::new("Tests CA")?;
    std::fs::write(chain.folder().join("tests-ca.crt"), ours.pem())?;
    let corporate = Authority::new("Corporate inspection CA")?;
    let leaf = |leaf: Leaf<'_>| ours.acceptor(&leaf, HTTP1);
    let expired = leaf(Leaf {
        from: -30,
        to: -2,
        ..Leaf::default()
    })?;
    let early = leaf(Leaf {
        from: 2,
        ..Leaf::default()
    })?;
    let other_name = leaf(Leaf {
        name: "other.example.com",
        ..Leaf::default()
    })?;
    let answers = || Does::Answers("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_owned());
    let plain = Middlebox::plain(Does::Says(
        "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    ))
    .await?;
    let silent = Middlebox::plain(Does::Nothing).await?;
    let closes = Middlebox::plain(Does::Closes).await?;
    let expired = Middlebox::with(expired, answers()).await?;
    let early = Middlebox::with(early, answers()).await?;
    let other_name = Middlebox::with(other_name, answers()).await?;
    let intercepts = corporate.acceptor(&Leaf::default(), HTTP1)?;
    let intercepts = Middlebox::with(intercepts, answers()).await?;
    let only_http2 = Middlebox::with(servers_tls(&chain, &[b"h2"])?, Does::Nothing).await?;

    let trusting = |network, port: &Middlebox, says| Row {
        flags: vec![
            ("--server", port.url()),
            ("--ca-file", "tests-ca.crt".to_owned()),
        ],
        ..Row::to(network, "", "tls", says)
    };
    let rows = [
        Row::to("TLS to a plain port", plain.url(), "tls", &["no TLS"]),
        Row::to(
            "silent after TCP",
            silent.url(),
            "tls",
            &["no answer within 10 s", "does not speak TLS"],
        ),
        Row::to("closes after TCP", closes.url(), "tls", &["TLS with"]),
        trusting("expired", &expired, &["expired"]),
        trusting("not yet valid", &early, &["not valid before", "clock"]),
        trusting(
            "wrong name",
            &other_name,
            &["other.example.com", "--tls-server-name"],
        ),
        Row::to(
            "intercepted",
            intercepts.url(),
            "tls",
            &["Corporate inspection CA", "--ca-file"],
        ),
        Row::to(
            "HTTP/2 only balancer",
            only_http2.url(),
            "tls",
            &["HTTP/1.1"],
        ),
    ];
    told(&environment, &chain, &rows).await?;
    chain.stop().await
}

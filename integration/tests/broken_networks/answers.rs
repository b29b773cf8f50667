//! Answers to the handshake: of boxes, of other servers, and of our own.

use std::sync::Arc;

use anyhow::Result;
use integration::environment::Environment;
use integration::server_config::new_token;
use tunnel_protocol::token::TokenKind;

use crate::middlebox::{Does, Middlebox, Then, Way, servers_tls};
use crate::report::{Row, told};

const HTTP1: &[&[u8]] = &[b"http/1.1"];

pub(crate) async fn answers_of_somebody_else(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let answers = async |head: &str| {
        let answer = format!("HTTP/1.1 {head}\r\nContent-Length: 0\r\n\r\n");
        Middlebox::with(servers_tls(&chain, HTTP1)?, Does::Answers(answer)).await
    };
    let portal = answers("302 Found\r\nLocation: http://portal.example/login").await?;
    let gateway =
        answers("401 Unauthorized\r\nServer: gatekeeper\r\nWWW-Authenticate: Basic realm=x")
            .await?;
    let filter = answers("403 Forbidden\r\nVia: 1.1 filter.example").await?;
    let other = answers("404 Not Found\r\nServer: shop").await?;
    let balancer = answers("503 Service Unavailable\r\nServer: balancer").await?;
    let proxy = answers("407 Proxy Authentication Required").await?;
    let page = answers("200 OK\r\nServer: pages").await?;
    let strange = answers("418 I'm a teapot").await?;
    let silent = Middlebox::with(servers_tls(&chain, HTTP1)?, Does::Nothing).await?;
    let closes = Middlebox::with(servers_tls(&chain, HTTP1)?, Does::Closes).await?;
    let rubbish = Middlebox::with(servers_tls(&chain, HTTP1)?, Does::Says("SSH-2.0-x\r\n")).await?;
    let row = |network, port: &Middlebox, says| Row::to(network, port.url(), "carrier", says);
    let rows = [
        row(
            "captive portal",
            &portal,
            &["portal.example", "captive portal"],
        ),
        row(
            "401 from a box",
            &gateway,
            &[
                "\"gatekeeper\" answered 401",
                "let the path /tunnel/v1 pass",
            ],
        ),
        row(
            "403 from a box",
            &filter,
            &["via \"1.1 filter.example\"", "allow the server's address"],
        ),
        row(
            "404 from another server",
            &other,
            &["\"shop\"", "check --server"],
        ),
        row(
            "503 from a balancer",
            &balancer,
            &[
                "\"balancer\" answered 503",
                "does not reach the tunnel-server",
            ],
        ),
        row("407 in the way", &proxy, &["HTTPS_PROXY"]),
        row("a page", &page, &["\"pages\" answered 200", "upgrade"]),
        row("a strange status", &strange, &["answered 418"]),
        row(
            "half open",
            &silent,
            &["no answer within", "HTTP upgrades or WebSocket"],
        ),
        row("closes after TLS", &closes, &["HTTP upgrades or WebSocket"]),
        row(
            "rubbish after TLS",
            &rubbish,
            &["HTTP upgrades or WebSocket"],
        ),
    ];
    told(&environment, &chain, &rows).await?;
    chain.stop().await
}

pub(crate) async fn answers_of_our_own_server(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let nobodys = new_token(TokenKind::Connector);
    environment.secrets.add("nobody's token", nobodys.expose());
    std::fs::write(chain.folder().join("nobodys"), nobodys.expose())?;
    std::fs::write(chain.folder().join("damaged"), &nobodys.expose()[..20])?;
    let row = |network, flag, value: &str, step, says| Row {
        flags: vec![(flag, value.to_owned())],
        ..Row::to(network, "", step, says)
    };
    let rows = [
        row(
            "an unknown token",
            "--token-file",
            "nobodys",
            "token",
            &["not known here"],
        ),
        row(
            "a damaged token",
            "--token-file",
            "damaged",
            "settings",
            &["token"],
        ),
        row(
            "no token",
            "--token-file",
            "nothing",
            "settings",
            &["--token-file", "nothing"],
        ),
        row(
            "another's name",
            "--subdomain",
            "other",
            "name",
            &["--subdomain or --token-file"],
        ),
    ];
    told(&environment, &chain, &rows).await?;
    chain.stop().await
}

/// The handshake passes, and nothing after it.
pub(crate) async fn links_that_do_not_live(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let passes = async |then| {
        let does = Does::Passes(str::to_owned, Way::to(&chain, then)?);
        Middlebox::with(servers_tls(&chain, HTTP1)?, does).await
    };
    let (cuts, holds) = (passes(Then::Cuts).await?, passes(Then::HoldsBack).await?);
    let rows = [
        Row::to(
            "cut after the upgrade",
            cuts.url(),
            "name",
            &["something on the way cuts it"],
        ),
        Row::to(
            "nothing after the upgrade",
            holds.url(),
            "name",
            &["says nothing on the link within 10 s", "holds back"],
        ),
    ];
    told(&environment, &chain, &rows).await?;
    chain.stop().await
}

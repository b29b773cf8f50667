//! Without TLS, and without anything in front.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::{BASE_DOMAIN, Chain};
use integration::environment::Environment;
use integration::raw_http::Connection;
use serde_json::json;
use tokio::net::TcpStream;

use crate::answered;

pub(crate) async fn plain_http_is_loud_where_anybody_reaches_it(
    environment: Arc<Environment>,
) -> Result<()> {
    let (mut chain, _upstream) = answered(&environment).await?;
    chain.client.kill()?;
    let port = chain.server_address.port();
    chain.set_server_arguments(vec!["--plain-http".to_owned()]);
    chain.restart_server().await?;
    ensure!(!is_loud(&chain), "on the loopback address");
    let front = answer(&chain, "GET / HTTP/1.1").await?;
    ensure!(front.starts_with("HTTP/1.1 200 "), "{front}");
    let refused = answer(&chain, "PRI * HTTP/2.0").await?;
    ensure!(!refused.contains(" 200 "), "{refused}");
    let (_, metrics) = chain.server.admin_page("/metrics").await?;
    ensure!(
        !metrics.contains("tunnel_server_certificate"),
        "there is none"
    );

    chain.config.listen = format!("0.0.0.0:{port}");
    chain.write_config()?;
    chain.restart_server().await?;
    ensure!(is_loud(&chain), "no warning");
    chain.config.further = json!({ "trustedProxies": ["10.0.0.1"] });
    chain.write_config()?;
    chain.restart_server().await?;
    ensure!(!is_loud(&chain), "behind others");
    chain.stop().await
}

/// Callers' TLS is ended by others, links' is not.
pub(crate) async fn plain_http_beside_tls(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, _upstream) = answered(&environment).await?;
    let arguments = ["--plain-http-listen", "127.0.0.1:0"].map(str::to_owned);
    chain.set_server_arguments(arguments.to_vec());
    chain.restart_server().await?;
    chain.linked().await?;
    let plain = chain.server.plain_http.context("no second address")?;
    let host = chain.host();
    let token = chain.access_token.expose().to_owned();
    for (credential, expected) in [(token.as_str(), " 200 "), ("culvert_access_x", " 401 ")] {
        let mut caller = Connection::new(TcpStream::connect(plain).await?);
        let head = format!(
            "GET / HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {credential}\r\n\
             Connection: close\r\n\r\n"
        );
        caller.send(head).await?;
        let answer = caller.rest().await?.0;
        ensure!(answer.contains(expected), "{answer}");
    }
    let mut announced = Connection::new(TcpStream::connect(plain).await?);
    let header = "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n";
    announced.send(header.to_owned()).await?;
    let refused = announced.rest().await?.0;
    ensure!(!refused.contains(" 200 "), "{refused}");
    let mut tls = Connection::new(chain.tcp_from(Ipv4Addr::LOCALHOST).await?);
    tls.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n".to_owned())
        .await?;
    let refused = tls.rest().await?.0;
    ensure!(
        !refused.starts_with("HTTP/"),
        "the first port has TLS only: {refused}"
    );
    chain.stop().await
}

fn is_loud(chain: &Chain) -> bool {
    let lines = chain.server.log_lines();
    lines.iter().any(|line| {
        let message = line["message"].as_str().unwrap_or_default();
        line["level"] == "WARN" && message.starts_with("PLAIN HTTP")
    })
}

async fn answer(chain: &Chain, request_line: &str) -> Result<String> {
    let stream = chain.tcp_from(Ipv4Addr::LOCALHOST).await?;
    let mut caller = Connection::new(stream);
    let rest = format!("Host: {BASE_DOMAIN}\r\nConnection: close\r\n\r\n");
    caller.send(format!("{request_line}\r\n{rest}")).await?;
    Ok(caller.rest().await?.0)
}

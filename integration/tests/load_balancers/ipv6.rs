//! A server that listens at IPv6.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use tokio::net::TcpStream;

use crate::answered;
use crate::audited::client_of;

pub(crate) async fn by_ipv6(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, _upstream) = answered(&environment).await?;
    chain.client.kill()?;
    chain.config.listen = "[::1]:0".to_owned();
    chain.write_config()?;
    chain.restart_server().await?;
    let address = chain.server.address.context("no address")?;
    ensure!(address.is_ipv6(), "{address}");
    chain
        .restart_client_to(&format!("https://{address}"), &[])
        .await?;
    chain.linked().await?;
    let stream = TcpStream::connect(address).await?;
    let from = stream.local_addr()?;
    let mut caller = chain.raw_caller_over(stream, b"http/1.1").await?;
    caller
        .send(chain.raw_head(false, "GET", "/six", ""))
        .await?;
    let head = caller.head().await?;
    ensure!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let told = client_of(&chain, "/six").await?;
    ensure!(told == from.to_string(), "from {told}");
    chain.stop().await
}

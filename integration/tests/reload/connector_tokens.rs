//! A connector's token that expires, and one that takes another's place.

use std::sync::Arc;

use anyhow::{Result, ensure};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::server_config::new_token;
use integration::wait::until;
use time::OffsetDateTime;
use tunnel_protocol::token::TokenKind;

use crate::revocations::expire;
use crate::streams::{Upgraded, Watch};
use crate::{REVOKED, refused_with, start};

pub(crate) async fn an_expired_connector_token_ends_its_link_and_streams(
    environment: Arc<Environment>,
) -> Result<()> {
    let (mut chain, cluster, _) = start(&environment).await?;
    let expires = expire(&mut chain.config.clusters[0]["connectorTokens"][0])?;
    chain.write_config()?;
    let watch = Watch::open(&chain.caller()?, &chain, &cluster).await?;
    let upgraded = Upgraded::open(&chain, &cluster).await?;
    tokio::try_join!(watch.cut(), upgraded.ended())?;
    let late = OffsetDateTime::now_utc() - expires;
    println!("the link of an expired token ended {late} after its expiry");
    ensure!(!late.is_negative(), "ended {late} too early");
    ensure!(late < REVOKED, "ended {late} after the expiry");
    chain.links(0).await?;
    ensure!(refused_with(&chain.caller()?, &chain).await? == 503);
    let code = chain.client.ended(SOON).await?;
    ensure!(code.is_some_and(|code| code != 0), "{code:?}");
    chain.stop().await
}

/// As a Secret's file changes below a process that runs.
pub(crate) async fn a_new_connector_token_is_read_from_its_file(
    environment: Arc<Environment>,
) -> Result<()> {
    let (mut chain, _, _) = start(&environment).await?;
    let new = new_token(TokenKind::Connector);
    std::fs::write(chain.folder().join("connector-token"), new.expose())?;
    chain.config.clusters[0]["connectorTokens"][0]["hash"] = new.hash().to_string().into();
    chain.write_config()?;
    until("a second handshake", SOON, || async {
        let accepted = "tunnel_server_handshakes_total{outcome=\"accepted\"}";
        Ok((chain.server.metric(accepted).await? == Some(2.0)).then_some(()))
    })
    .await?;
    chain.linked().await?;
    // It is one and the same process.
    ensure!(chain.client.metric("tunnel_client_links").await? == Some(1.0));
    chain.stop().await
}

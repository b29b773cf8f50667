//! What is taken away ends what was open on its strength.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use integration::chain::{CALLER, Chain, SOON};
use integration::environment::Environment;
use integration::raw_http::RawUpstream;
use integration::server_config::ServerConfig;
use integration::wait::until;
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::streams::{Standing, Upgraded, Watch};
use crate::{REVOKED, http1_caller, refused_with, start};

/// Opens a watch over each version of HTTP and an upgraded connection, changes
/// the file, and waits for their end.
async fn change_ends_streams(
    chain: &mut Chain,
    cluster: &RawUpstream,
    what: &str,
    change: impl FnOnce(&mut ServerConfig),
) -> Result<()> {
    let over_http2 = Watch::open(&chain.caller()?, chain, cluster).await?;
    let over_http1 = Watch::open(&http1_caller(chain)?, chain, cluster).await?;
    let upgraded = Upgraded::open(chain, cluster).await?;
    change(&mut chain.config);
    chain.write_config()?;
    let changed = Instant::now();
    tokio::try_join!(over_http2.cut(), over_http1.cut(), upgraded.ended())?;
    let took = changed.elapsed();
    println!("{what}: its streams ended after {took:?}");
    ensure!(took < REVOKED, "{what}: the streams lived on for {took:?}");
    Ok(())
}

pub(crate) async fn a_removed_access_token_ends_its_streams(
    environment: Arc<Environment>,
) -> Result<()> {
    let (mut chain, cluster, bystander) = start(&environment).await?;
    let mut other = Watch::open(&bystander.client, &chain, &cluster).await?;
    change_ends_streams(&mut chain, &cluster, "a removed access token", |config| {
        config.callers[0]["accessTokens"] = json!([]);
    })
    .await?;
    ensure!(refused_with(&chain.caller()?, &chain).await? == 401);
    other.must_be_alive().await?;
    chain.stop().await
}

pub(crate) async fn a_removed_permission_ends_its_streams(
    environment: Arc<Environment>,
) -> Result<()> {
    let (mut chain, cluster, bystander) = start(&environment).await?;
    let mut other = Watch::open(&bystander.client, &chain, &cluster).await?;
    change_ends_streams(&mut chain, &cluster, "a removed permission", |config| {
        config.callers[0]["clusters"] = json!([]);
    })
    .await?;
    ensure!(refused_with(&chain.caller()?, &chain).await? == 403);
    other.must_be_alive().await?;
    chain.stop().await
}

pub(crate) async fn a_removed_cluster_ends_its_link_and_streams(
    environment: Arc<Environment>,
) -> Result<()> {
    let (mut chain, cluster, _) = start(&environment).await?;
    change_ends_streams(&mut chain, &cluster, "a removed cluster", |config| {
        config.clusters.clear();
        for caller in &mut config.callers {
            caller["clusters"] = json!([]);
        }
    })
    .await?;
    chain.links(0).await?;
    ensure!(refused_with(&chain.caller()?, &chain).await? == 404);
    chain.stop().await
}

pub(crate) async fn a_removed_connector_token_ends_its_link_and_streams(
    environment: Arc<Environment>,
) -> Result<()> {
    let (mut chain, cluster, _) = start(&environment).await?;
    change_ends_streams(
        &mut chain,
        &cluster,
        "a removed connector token",
        |config| {
            config.clusters[0]["connectorTokens"] = json!([]);
        },
    )
    .await?;
    chain.links(0).await?;
    ensure!(refused_with(&chain.caller()?, &chain).await? == 503);
    let code = chain.client.ended(SOON).await?;
    ensure!(
        code.is_some_and(|code| code != 0),
        "tunnel-client ended with {code:?}"
    );
    chain.stop().await
}

/// Lets a token of the configuration end before long; gives when.
pub(crate) fn expire(token: &mut Value) -> Result<OffsetDateTime> {
    /// Long enough to open the streams.
    const LIFE: time::Duration = time::Duration::seconds(4);
    let expires = OffsetDateTime::now_utc() + LIFE;
    token["expires"] = Value::String(expires.format(&Rfc3339)?);
    Ok(expires)
}

pub(crate) async fn an_expired_access_token_ends_its_streams(
    environment: Arc<Environment>,
) -> Result<()> {
    let (mut chain, cluster, bystander) = start(&environment).await?;
    let mut other = Watch::open(&bystander.client, &chain, &cluster).await?;
    let caller = chain.caller()?;
    let expires = expire(&mut chain.config.callers[0]["accessTokens"][0])?;
    chain.write_config()?;
    let watch = Watch::open(&caller, &chain, &cluster).await?;
    let upgraded = Upgraded::open(&chain, &cluster).await?;
    tokio::try_join!(watch.cut(), upgraded.ended())?;
    let late = OffsetDateTime::now_utc() - expires;
    println!("the streams of an expired token ended {late} after its expiry");
    ensure!(!late.is_negative(), "ended {late} too early");
    ensure!(late < REVOKED, "ended {late} after the expiry");
    ensure!(refused_with(&caller, &chain).await? == 401);
    other.must_be_alive().await?;
    ensure!(chain.config.callers[0]["name"] == CALLER);
    chain.stop().await
}

/// Its caller takes nothing, so nothing asks for its answer's next piece.
pub(crate) async fn an_answer_that_nobody_reads_ends_too(
    environment: Arc<Environment>,
) -> Result<()> {
    let (mut chain, cluster, bystander) = start(&environment).await?;
    let mut other = Watch::open(&bystander.client, &chain, &cluster).await?;
    let callers = [chain.caller()?, http1_caller(&chain)?];
    let mut pouring = JoinSet::new();
    for caller in &callers {
        let standing = Standing::open(caller, &chain, &cluster).await?;
        pouring.spawn(standing.poured());
    }
    until("two answers that stand still", SOON, || async {
        let stalled = chain.server.metric("tunnel_server_stalled_streams").await?;
        Ok((stalled == Some(2.0)).then_some(()))
    })
    .await?;
    chain.config.callers[0]["clusters"] = json!([]);
    chain.write_config()?;
    let changed = Instant::now();
    timeout(SOON, pouring.join_all()).await?;
    let took = changed.elapsed();
    println!("answers that nobody reads ended after {took:?}");
    ensure!(took < REVOKED, "they lived on for {took:?}");
    other.must_be_alive().await?;
    chain.stop().await
}

//! Rates and counts: an address', a caller's, a cluster's.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::{Chain, SOON};
use integration::environment::Environment;
use integration::server_config::{new_token, no_limits};
use integration::wait::until;
use reqwest::{Client, Response};
use serde_json::{Value, json};
use tunnel_protocol::token::TokenKind;

use crate::bystander::{Bystander, PATH, caller_from};
use crate::handshakes::handshake;

/// Sets one number; all others are no limit.
pub(crate) async fn limit(chain: &mut Chain, whose: &str, what: &str, count: u32) -> Result<()> {
    let mut limits = no_limits();
    limits[whose][what] = json!(count);
    change(chain, limits).await
}

/// All of them.
pub(crate) async fn change(chain: &mut Chain, limits: Value) -> Result<()> {
    let reloads = r#"tunnel_server_config_reloads_total{outcome="applied"}"#;
    let before = chain.server.metric(reloads).await?;
    chain.config.limits = Some(limits);
    chain.write_config()?;
    until("the change of the limits", SOON, || async {
        Ok((chain.server.metric(reloads).await? > before).then_some(()))
    })
    .await
}

async fn get(chain: &Chain, caller: &Client) -> Result<Response> {
    let url = format!("{}{PATH}", chain.url_by_host());
    Ok(caller.get(url).send().await?)
}

/// It is the tunnel's 429, which says which setting it is and when to come back.
async fn is_limited(response: Response, setting: &str) -> Result<()> {
    let headers = response.headers().clone();
    ensure!(response.status() == 429, "{response:?}");
    ensure!(headers["culvert-error"] == "too-many-requests");
    let wait: u32 = headers["retry-after"].to_str()?.parse()?;
    ensure!((1..=60).contains(&wait), "Retry-After: {wait}");
    let status: Value = response.json().await?;
    ensure!(status["kind"] == "Status" && status["reason"] == "TooManyRequests");
    let message = status["message"].as_str().context("no message")?;
    ensure!(message.contains(setting), "{message}");
    Ok(())
}

pub(crate) async fn failures_of_an_address(environment: Arc<Environment>) -> Result<()> {
    let mut chain = environment.chain().await?;
    limit(&mut chain, "perAddress", "failuresPerMinute", 3).await?;
    let stranger = chain
        .http()
        .local_address(std::net::IpAddr::from([127, 0, 0, 2]))
        .build()?;
    for _ in 0..3 {
        ensure!(get(&chain, &stranger).await?.status() == 401);
    }
    let limited = get(&chain, &stranger).await?;
    is_limited(limited, "limits.perAddress.failuresPerMinute").await?;
    // Neither whoever proves itself at that address is held up, nor others.
    let neighbour = caller_from(&chain, Ipv4Addr::new(127, 0, 0, 2))?;
    ensure!(get(&chain, &neighbour).await?.status() == 200);
    ensure!(get(&chain, &chain.http().build()?).await?.status() == 401);
    chain.stop().await
}

pub(crate) async fn failures_of_connectors(environment: Arc<Environment>) -> Result<()> {
    let mut chain = environment.chain().await?;
    limit(&mut chain, "perAddress", "failuresPerMinute", 2).await?;
    let mut answers = Vec::new();
    for generation in 0..3 {
        let nobodys = new_token(TokenKind::Connector);
        let (_, head) = handshake(&chain, &nobodys, generation).await?;
        answers.push(head.split(' ').nth(1).unwrap_or_default().to_owned());
    }
    ensure!(answers == ["401", "401", "429"], "{answers:?}");
    chain.stop().await
}

pub(crate) async fn a_callers_rate(environment: Arc<Environment>) -> Result<()> {
    rate(environment, "perCaller").await
}

pub(crate) async fn a_clusters_rate(environment: Arc<Environment>) -> Result<()> {
    rate(environment, "perCluster").await
}

async fn rate(environment: Arc<Environment>, whose: &str) -> Result<()> {
    let mut chain = environment.chain().await?;
    let other = new_token(TokenKind::Access);
    chain.config.caller("other", &["prod"], &[&other]);
    limit(&mut chain, whose, "requestsPerSecond", 1).await?;
    let caller = chain.caller()?;
    for _ in 0..2 {
        ensure!(get(&chain, &caller).await?.status() == 200, "the burst");
    }
    let limited = get(&chain, &caller).await?;
    is_limited(limited, &format!("limits.{whose}.requestsPerSecond")).await?;
    // Another caller has a rate of its own, and shares the cluster's.
    let url = format!("{}{PATH}", chain.url_by_host());
    let status = caller
        .get(url)
        .bearer_auth(other.expose())
        .send()
        .await?
        .status();
    ensure!(status == if whose == "perCaller" { 200 } else { 429 });
    until("the end of the wait", SOON, || async {
        Ok((get(&chain, &caller).await?.status() == 200).then_some(()))
    })
    .await?;
    chain.stop().await
}

pub(crate) async fn a_callers_and_a_clusters_open_requests(
    environment: Arc<Environment>,
) -> Result<()> {
    let mut chain = environment.chain().await?;
    for whose in ["perCaller", "perCluster"] {
        limit(&mut chain, whose, "openRequests", 1).await?;
        let caller = chain.caller()?;
        let watch = format!("{}/api/v1/namespaces?watch=true", chain.url_by_host());
        let open = caller.get(watch).send().await?.error_for_status()?;
        let limited = get(&chain, &caller).await?;
        is_limited(limited, &format!("limits.{whose}.openRequests")).await?;
        drop(open);
        until("the end of the watch", SOON, || async {
            Ok((get(&chain, &caller).await?.status() == 200).then_some(()))
        })
        .await?;
    }
    let bystander = Bystander::arrives(&chain).await;
    ensure!(bystander.is_ok());
    chain.stop().await
}

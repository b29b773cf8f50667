//! Two servers, each by a name of its own.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::replica::Replica;
use integration::server_config::new_token;
use integration::wait::until;
use tunnel_protocol::token::TokenKind;

use crate::stage::{BACK, Stage};

pub(crate) async fn a_lost_replica_is_found_again(environment: Arc<Environment>) -> Result<()> {
    let mut stage = Stage::set(&environment, &[]).await?;
    let mut other = Replica::start(&stage.chain, "other", &[]).await?;
    let servers = format!("{},{}", stage.url(), other.url());
    stage.client(&servers, &[]).await?;
    stage.links(&other, (1, 1)).await?;
    let (one, two) = (stage.chain.server_address, other.address);
    stage.call(one).await?;
    stage.call(two).await?;

    other.service.kill()?;
    stage.call(one).await?;
    other.restart(stage.chain.spawner()).await?;
    let ready = Instant::now();
    stage.links(&other, (1, 1)).await?;
    let back = ready.elapsed();
    println!("a link is back {back:.1?} after its server is ready");
    ensure!(back < BACK, "back after {back:.1?}");
    stage.call(two).await?;

    each_is_in_the_metrics(&stage).await?;
    stage.stop().await
}

async fn each_is_in_the_metrics(stage: &Stage) -> Result<()> {
    let shown = until("both round trips", SOON, || async {
        let (_, text) = stage.chain.client.admin_page("/metrics").await?;
        let measured = |lane: &str| {
            let name = "tunnel_client_link_round_trip_seconds{";
            let lane = format!("lane=\"{lane}\"");
            let mut lines = text.lines().filter(|line| line.starts_with(name));
            lines.any(|line| line.contains(&lane) && !line.ends_with(" 0.0"))
        };
        Ok((measured("0") && measured("1")).then_some(text))
    })
    .await?;
    for name in [
        "registered_timestamp_seconds",
        "open_requests",
        "bytes_total",
    ] {
        for lane in ["0", "1"] {
            let start = format!("tunnel_client_link_{name}{{lane=\"{lane}\"");
            let lines: Vec<_> = shown
                .lines()
                .filter(|line| line.starts_with(&start))
                .collect();
            ensure!(!lines.is_empty(), "no {start} in {shown}");
            ensure!(
                lines.iter().all(|line| line.contains("replica=\"")),
                "{lines:?}"
            );
        }
    }
    let server = &stage.chain.server;
    let round_trips = server
        .metric("tunnel_server_link_round_trip_seconds_count")
        .await?;
    ensure!(round_trips >= Some(1.0), "{round_trips:?}");
    let received = "tunnel_server_link_bytes_total{direction=\"received\"}";
    let received = server.metric(received).await?;
    ensure!(received > Some(100.0), "{received:?}");
    Ok(())
}

pub(crate) async fn a_refusal_by_one_leaves_the_other(environment: Arc<Environment>) -> Result<()> {
    let mut stage = Stage::set(&environment, &[]).await?;
    let mut other = Replica::start(&stage.chain, "other", &[]).await?;
    // It does not know the cluster's token yet.
    let good = other.config.clone();
    other.config.clusters.clear();
    let unrelated = new_token(TokenKind::Connector);
    environment
        .secrets
        .add("another connector's token", unrelated.expose());
    other.config.cluster("prod", &[&unrelated]);
    other.write_config()?;
    other.restart(stage.chain.spawner()).await?;
    let servers = format!("{},{}", stage.url(), other.url());
    stage.client(&servers, &[]).await?;
    stage.chain.linked().await?;
    let refused = "one server refuses this connector, and another may serve it";
    stage.chain.client.says(refused).await?;
    stage.call(stage.chain.server_address).await?;

    other.config = good;
    other.config.listen = other.address.to_string();
    other.write_config()?;
    stage.links(&other, (1, 1)).await?;
    stage.call(other.address).await?;
    stage.stop().await
}

/// Requests go by way of the one that stays.
pub(crate) async fn a_replica_that_drains_costs_no_request(
    environment: Arc<Environment>,
) -> Result<()> {
    let mut stage = Stage::set(&environment, &[]).await?;
    let other = Replica::start(&stage.chain, "other", &[]).await?;
    let servers = format!("{},{}", stage.url(), other.url());
    stage.client(&servers, &[]).await?;
    stage.links(&other, (1, 1)).await?;
    other.service.terminate()?;
    let mut calls = 0;
    until("the other's end", SOON, || async {
        stage.call(stage.chain.server_address).await?;
        Ok(other.service.admin_page("/livez").await.err().map(drop))
    })
    .await?;
    while calls < 100 {
        stage.call(stage.chain.server_address).await?;
        calls += 1;
    }
    stage.stop().await
}

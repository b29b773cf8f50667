//! Two servers behind a real load balancer, one of which is restarted as an operator
//! does it. The connector dials each by its own name.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use integration::environment::Environment;
use integration::haproxy::Haproxy;
use integration::replica::Replica;
use integration::server_config::no_limits;
use integration::steady_calls::SteadyCalls;
use reqwest::Client;

use crate::stage::Stage;

/// For a restart: the delay, the drain, the start.
const RESTARTED: Duration = Duration::from_secs(60);
/// Calls before, between and after the restarts.
const SOME: usize = 100;

pub(crate) async fn a_planned_restart_costs_no_request(
    environment: Arc<Environment>,
) -> Result<()> {
    let mut stage = Stage::set(&environment, &[]).await?;
    stage.chain.config.limits = Some(no_limits());
    let flags = &["--shutdown-delay-seconds", "2", "--drain-seconds", "10"];
    let mut one = Replica::start(&stage.chain, "one", flags).await?;
    let mut other = Replica::start(&stage.chain, "other", flags).await?;
    stage
        .client(&format!("{},{}", one.url(), other.url()), &[])
        .await?;
    stage.client_links(&[&one, &other]).await?;
    let mut balancer = Haproxy::start(&[
        (one.address, one.service.admin),
        (other.address, other.service.admin),
    ])
    .await?;

    let host = stage.chain.host();
    let url = format!("https://{host}:{}/version", balancer.address.port());
    let clients = clients(&stage, balancer.address)?;
    let mut calls = SteadyCalls::start(clients, &url, stage.chain.access_token.expose());
    calls.more(SOME).await?;
    for replica in [&mut one, &mut other] {
        let before = calls.count();
        let restarted = replica.restart_as_planned(stage.chain.spawner(), RESTARTED);
        calls.during(restarted).await??;
        println!("{} calls while one was restarted", calls.count() - before);
        calls.more(SOME).await?;
        stage.client_links(&[replica]).await?;
        calls.more(SOME).await?;
    }
    balancer.must_run()?;
    println!("{} calls, and none failed", calls.end().await?);
    stage.stop().await
}

/// With connections that are kept, and with one for each request.
fn clients(stage: &Stage, balancer: SocketAddr) -> Result<Vec<Client>> {
    let client = || {
        let client = stage.chain.http().timeout(RESTARTED);
        client.resolve(&stage.chain.host(), balancer)
    };
    let kept = client().build()?;
    let new_each = client().http1_only().pool_max_idle_per_host(0).build()?;
    Ok(vec![kept, new_each])
}

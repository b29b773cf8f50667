//! Servers behind a load balancer, which nobody can tell apart but by what they say.

use std::sync::Arc;

use anyhow::Result;
use integration::environment::Environment;
use integration::replica::Replica;
use integration::switch::Switch;

use crate::stage::Stage;

const TWO: &[&str] = &["--replicas", "2"];
const SEEN: &str = "this replica has a link of ours already; looking for another one";

pub(crate) async fn each_replica_has_a_link(environment: Arc<Environment>) -> Result<()> {
    let mut stage = Stage::set(&environment, TWO).await?;
    let mut other = Replica::start(&stage.chain, "other", TWO).await?;
    let balancer = Switch::start(stage.chain.server_address).await?;
    let name = format!("https://localhost:{}", balancer.address.port());
    stage.client(&name, &[]).await?;
    // It leads to the same one again and again.
    stage.chain.client.says(SEEN).await?;
    balancer.to(other.address);
    stage.links(&other, (1, 1)).await?;
    stage.call(stage.chain.server_address).await?;
    stage.call(other.address).await?;

    // One is gone and the balancer knows: the link that is left is not doubled.
    let before = stage.chain.client.log_lines().len();
    balancer.to(stage.chain.server_address);
    other.service.kill()?;
    integration::wait::until("a vain look", integration::chain::SOON, || async {
        let lines = stage.chain.client.log_lines();
        let seen = lines
            .iter()
            .skip(before)
            .any(|line| line["message"] == SEEN);
        Ok(seen.then_some(()))
    })
    .await?;
    stage.call(stage.chain.server_address).await?;
    other.restart(stage.chain.spawner()).await?;
    balancer.to(other.address);
    stage.links(&other, (1, 1)).await?;
    stage.call(other.address).await?;
    stage.stop().await
}

/// Though the server says that there are two.
pub(crate) async fn only_one_there_has_one_link(environment: Arc<Environment>) -> Result<()> {
    let mut stage = Stage::set(&environment, TWO).await?;
    let url = stage.url();
    stage.client(&url, &[]).await?;
    stage.chain.client.says(SEEN).await?;
    stage.call(stage.chain.server_address).await?;
    stage.chain.linked().await?;
    // Or where the user wants no other.
    stage.client(&url, &["--max-links", "1"]).await?;
    stage.chain.linked().await?;
    stage.call(stage.chain.server_address).await?;
    stage.stop().await
}

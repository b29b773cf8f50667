//! A machine that sleeps: tunnel-client stands still for longer than its link lives.

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration::environment::Environment;
use integration::service::Service;
use integration::wait::until;

use crate::stage::Stage;

/// As a silent network is noticed.
const NOTICED: Duration = Duration::from_secs(5 * 25);
/// A second and the chain's jitter; five times that on a loaded machine.
const BACK: Duration = Duration::from_millis(5 * (1_000 + 250));

pub(crate) async fn a_client_that_slept_is_back_at_once(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let asleep = Instant::now();
    signal(&stage.chain.client, "STOP")?;
    until("the server's notice", NOTICED, || async {
        let links = stage.chain.server.metric("tunnel_server_links").await?;
        Ok((links == Some(0.0)).then_some(()))
    })
    .await?;
    println!("asleep: the server knew after {:.1?}", asleep.elapsed());
    signal(&stage.chain.client, "CONT")?;
    let awake = Instant::now();
    stage.chain.linked().await?;
    let back = awake.elapsed();
    println!("awake: a new link after {back:.1?}");
    ensure!(back < BACK, "{back:?}");
    stage.call().await?;
    stage.chain.stop().await
}

fn signal(service: &Service, name: &str) -> Result<()> {
    let id = service.id().to_string();
    let sent = Command::new("kill").args(["-s", name, &id]).status()?;
    ensure!(sent.success(), "kill -s {name}: {sent}");
    Ok(())
}

//! Packets that are lost, and connections that are reset.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration::answering::LARGE;
use integration::endure::amount;
use integration::environment::Environment;
use integration::wait::until;

use crate::stage::Stage;

/// Both sides are told; five times a second on a loaded machine.
const AT_ONCE: Duration = Duration::from_secs(5);

pub(crate) async fn packets_that_are_lost_cost_time_only(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let handshakes = "tunnel_server_handshakes_total{outcome=\"accepted\"}";
    let before = stage.chain.server.metric(handshakes).await?;
    for way in stage.link() {
        let lossy = format!("-A {way} -m statistic --mode random --probability 0.05 -j DROP");
        stage.network.firewall(&lossy).await?;
    }
    let started = Instant::now();
    let calls = amount(50, 1000);
    for _ in 0..calls {
        stage.call().await?;
    }
    println!(
        "a call in {:.1?}, of 5 % lost packets each way",
        started.elapsed() / calls
    );
    let large = Instant::now();
    let url = format!("{}/large", stage.chain.url_by_host());
    let answer = stage.chain.caller()?.get(url).send().await?.bytes().await?;
    ensure!(answer.len() == LARGE, "{} bytes", answer.len());
    println!("{LARGE} bytes in {:.1?}", large.elapsed());
    // It was one and the same link.
    let after = stage.chain.server.metric(handshakes).await?;
    ensure!(after == before, "{after:?} after {before:?}");
    stage.chain.stop().await
}

pub(crate) async fn a_reset_is_noticed_at_once(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let [out, _] = stage.link();
    stage
        .network
        .firewall(&format!("-A {out} -j REJECT --reject-with tcp-reset"))
        .await?;
    // The next packet meets it; a call sends one.
    let reset = Instant::now();
    let call = stage.chain.caller()?.get(stage.chain.url_by_host()).send();
    let noticed = async {
        until("the notice", AT_ONCE, || async {
            let links = stage.chain.client.metric("tunnel_client_links").await?;
            Ok((links == Some(0.0)).then(|| reset.elapsed()))
        })
        .await
    };
    let (answer, noticed) = tokio::join!(call, noticed);
    println!("the client knew after {:.1?}", noticed?);
    // It was sent, and nobody knows what became of it.
    ensure!(answer?.status() == 502);
    stage.network.open_firewall().await?;
    stage.chain.linked().await?;
    stage.call().await?;
    stage.chain.stop().await
}

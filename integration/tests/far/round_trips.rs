//! A call waits for one round trip and no more, and a link for four until it is there:
//! TLS, the handshake, and what a registration takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration::answering::ANSWER;
use integration::chain::SOON;
use integration::endure::amount;
use integration::environment::Environment;
use integration::slow_path::Way;
use integration::wait::until;

use crate::stage::Stage;

/// Round trips of a link, until it is registered.
const LINKED: u32 = 4;

pub(crate) async fn at_100_ms(environment: Arc<Environment>) -> Result<()> {
    calls(&environment, Duration::from_millis(100)).await
}

pub(crate) async fn at_300_ms(environment: Arc<Environment>) -> Result<()> {
    calls(&environment, Duration::from_millis(300)).await
}

async fn calls(environment: &Environment, round_trip: Duration) -> Result<()> {
    let way = Way {
        round_trip,
        rate: None,
    };
    let mut stage = Stage::set(environment, way).await?;
    let caller = stage.chain.caller()?;
    let url = stage.chain.url_by_host();
    let mut took = Vec::new();
    for _ in 0..amount(10, 200) {
        let started = Instant::now();
        let answer = caller.get(&url).send().await?;
        ensure!(answer.status() == 200, "{}", answer.status());
        ensure!(answer.text().await? == ANSWER);
        took.push(started.elapsed());
    }
    took.sort_unstable();
    let middle = took[took.len() / 2];
    println!("a call over {round_trip:?} takes {middle:.1?} in the middle");
    ensure!(
        middle >= round_trip && middle < 2 * round_trip,
        "{middle:?}"
    );

    stage.chain.restart_server().await?;
    let ready = Instant::now();
    until("a link", SOON, || async {
        let linked = stage.chain.server.metric("tunnel_server_links").await?;
        Ok((linked == Some(1.0)).then_some(()))
    })
    .await?;
    let back = ready.elapsed();
    println!("a link is back {back:.1?} after its server is ready");
    // The chain's jitter is 250 ms, and an attempt may have begun before.
    let expected = LINKED * round_trip + Duration::from_millis(250);
    ensure!(back < 5 * expected, "{back:?}");
    stage.chain.stop().await
}

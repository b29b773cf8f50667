//! Bulk over a way of 100 Mbit/s and 100 ms, beside a direct TLS connection's.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use integration::answering::LARGE;
use integration::environment::Environment;
use integration::slow_path::Way;

use crate::direct::Direct;
use crate::stage::Stage;

const WAY: Way = Way {
    round_trip: Duration::from_millis(100),
    rate: Some(100_000_000),
};
/// Bodies, one after the other.
const ROUNDS: usize = 3;
/// The bar is 0.9 where nothing else runs on the machine.
const AT_LEAST: f64 = 0.5;

pub(crate) async fn a_capped_way_is_filled_both_ways(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment, WAY).await?;
    let chain = &stage.chain;
    let direct = Direct::start(chain, WAY).await?;
    let (caller, url) = (chain.caller()?, format!("{}/large", chain.url_by_host()));
    // Windows are open, and connections made.
    ensure!(caller.get(&url).send().await?.bytes().await?.len() == LARGE);

    let mut connection = direct.connect(chain).await?;
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        connection.receive(LARGE).await?;
    }
    let alone = begun.elapsed();
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        let mut answer = caller.get(&url).send().await?;
        let mut length = 0;
        while let Some(chunk) = answer.chunk().await? {
            length += chunk.len();
        }
        ensure!(length == LARGE, "{length}");
    }
    report("from the cluster", alone, begun.elapsed())?;

    let begun = Instant::now();
    for _ in 0..ROUNDS {
        connection.send(LARGE).await?;
    }
    let alone = begun.elapsed();
    let body = bytes::Bytes::from(vec![b'x'; LARGE]);
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        let answer = caller.post(&url).body(body.clone()).send().await?;
        let text = answer.text().await?;
        ensure!(text == LARGE.to_string(), "{text}");
    }
    report("to the cluster", alone, begun.elapsed())?;
    stage.chain.stop().await
}

fn report(way: &str, direct: Duration, tunnel: Duration) -> Result<()> {
    let rate = |took: Duration| (ROUNDS * LARGE) as f64 * 8e-6 / took.as_secs_f64();
    let ratio = rate(tunnel) / rate(direct);
    println!(
        "{way}: {:.1} Mbit/s by the tunnel, {:.1} by a TLS connection: {ratio:.3}",
        rate(tunnel),
        rate(direct)
    );
    ensure!(ratio > AT_LEAST, "{ratio}");
    Ok(())
}

//! A fleet of ten thousand clusters in one file.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use integration::chain::{CALLER, CLUSTER, Chain, ChainOptions, SOON};
use integration::endure::amount;
use integration::environment::Environment;
use integration::played_cluster;
use integration::raw_http::{Accepted, Caller, RawUpstream};
use integration::server_config::new_token;
use integration::wait::until;
use serde_json::json;
use tunnel_protocol::token::TokenKind;

const CLUSTERS: usize = 10_000;
/// A second is what is promised; five times that on a loaded machine.
const REVOKED: Duration = Duration::from_secs(5);
const APPLIED: &str = "tunnel_server_config_reloads_total{outcome=\"applied\"}";

/// Writes the file and waits until it is in force; tells how long that took.
async fn apply(chain: &Chain) -> Result<Duration> {
    let applied = async || chain.server.metric(APPLIED).await?.context("no metric");
    let before = applied().await?;
    chain.write_config()?;
    let written = Instant::now();
    until("the file is in force", SOON, || async {
        Ok((applied().await? > before).then_some(()))
    })
    .await?;
    Ok(written.elapsed())
}

async fn watch(chain: &Chain, cluster: &RawUpstream) -> Result<(Caller, Accepted)> {
    let mut caller = chain.raw_caller().await?;
    caller
        .send(chain.raw_head(false, "GET", "/api/v1/pods?watch=1", ""))
        .await?;
    let (mut connection, _) = cluster.request().await?;
    connection
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nevent\r\n")
        .await?;
    caller.through("event").await?;
    Ok((caller, connection))
}

pub(crate) async fn ten_thousand_clusters(environment: Arc<Environment>) -> Result<()> {
    let (mut chain, cluster) = played_cluster::start(&environment, ChainOptions::bare()).await?;
    for number in 0..CLUSTERS {
        let token = new_token(TokenKind::Connector);
        chain
            .config
            .cluster(&format!("cluster-{number}"), &[&token]);
    }
    let mut first = apply(&chain).await?;
    let size = std::fs::metadata(chain.config_path())?.len();
    println!(
        "{CLUSTERS} clusters, {} KB, were in force after {first:?}",
        size / 1024
    );

    // Reloads take no memory for good.
    let mut resident = Vec::new();
    let reloads = amount(10, 200);
    for number in 0..reloads {
        chain.config.clusters[5]["owner"] = format!("owner {number}").into();
        first = first.max(apply(&chain).await?);
        resident.push(chain.server.resident_memory()?);
    }
    let middle = resident.len() / 2;
    let early = resident[..middle].iter().max().context("none")?;
    let late = resident[middle..].iter().max().context("none")?;
    println!(
        "after {reloads} reloads {} MB, after half of them {} MB; the slowest took {first:?}",
        late >> 20,
        early >> 20
    );
    // The allocator keeps what the first few took; a leak of one reading a time is
    // seen in the long form at the latest.
    let slack = (early / 10).max(30 << 20);
    ensure!(*late < early + slack, "memory grows with each reload");

    type Removal = fn(&mut integration::server_config::ServerConfig);
    let good = chain.config.clone();
    let removals: [(&str, Removal); 4] = [
        ("permission", |config| {
            config.callers[0]["clusters"] = json!([])
        }),
        ("access token", |config| {
            config.callers[0]["accessTokens"] = json!([])
        }),
        ("cluster", |config| {
            config.clusters.retain(|cluster| cluster["name"] != CLUSTER);
            config.callers[0]["clusters"] = json!([]);
        }),
        ("connector token", |config| {
            config.clusters[0]["connectorTokens"] = json!([])
        }),
    ];
    ensure!(good.callers[0]["name"] == CALLER && good.clusters[0]["name"] == CLUSTER);
    for (what, remove) in removals {
        // Its connector stops for good when its token or cluster is gone.
        if chain.server.metric("tunnel_server_links").await? == Some(0.0) {
            chain.restart_client().await?;
            chain.linked().await?;
        }
        let (mut caller, mut connection) = watch(&chain, &cluster).await?;
        remove(&mut chain.config);
        chain.write_config()?;
        let written = Instant::now();
        caller.rest().await?;
        connection.rest().await?;
        let took = written.elapsed();
        println!("a removed {what}: its watch ended after {took:?}");
        ensure!(took < REVOKED, "a removed {what} took {took:?}");
        chain.config = good.clone();
        apply(&chain).await?;
    }
    chain.stop().await
}

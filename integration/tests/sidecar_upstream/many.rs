//! Many streams at once, and what is left of them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};
use integration::chain::SOON;
use integration::endure::amount;
use integration::environment::Environment;
use integration::wait::until;

use crate::sidecar::{Sidecar, Way};

const WATCH: &str = "/api/v1/namespaces?watch=true&fieldSelector=metadata.name%3Dnobody";
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                       Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://localhost\r\n";
/// The API server takes as many streams on a connection.
const STREAMS: usize = 100;
/// Of a debug build, which logs all that there is to log.
const EACH: u64 = 64 * 1024;

pub(crate) async fn a_thousand_watches_and_two_hundred_upgrades(
    environment: Arc<Environment>,
) -> Result<()> {
    let sidecar = Sidecar::start(&environment, Way::default()).await?;
    let mut after = Vec::new();
    for round in 0..amount(2, 10) {
        let before = sidecar.service.resident_memory()?;
        let watches = open(&sidecar, 1000, "").await?;
        let watching = sidecar.service.resident_memory()?;
        let upgrades = open(&sidecar, 200, UPGRADE).await?;
        let counted = sidecar.open_requests().await?;
        ensure!(counted == Some(1200.0), "{counted:?} are open");
        let connections = sidecar.upstream_connections().await?.unwrap_or_default();
        // Ten that are full, and those that goodbyes ended before.
        ensure!((10.0..100.0).contains(&connections), "{connections}");
        // All the while others are served.
        ensure!(sidecar.get("/version").await?.0 == 200);
        let each = watching.saturating_sub(before) / 1000;
        println!("round {round}: {connections} connections, {each} bytes a watch");
        ensure!(each < EACH, "{each} bytes a watch");

        drop((watches, upgrades));
        until("nothing is open any more", SOON, || async {
            Ok((sidecar.open_requests().await? == Some(0.0)).then_some(()))
        })
        .await?;
        longrunning_end(&environment).await?;
        after.push(sidecar.service.resident_memory()?);
    }
    println!("resident after each round: {after:?} bytes");
    let (first, last) = (after[0], after[after.len() - 1]);
    ensure!(last < first + first / 4, "it grows: {after:?}");
    environment.secrets.must_not_be_in_file(&sidecar.log())
}

type Open = Vec<integration::raw_http::Connection<tokio::net::TcpStream>>;

async fn open(sidecar: &Sidecar, count: usize, lines: &str) -> Result<Open> {
    let expected = if lines.is_empty() { 200 } else { 101 };
    let opening = (0..count).map(|_| async {
        let (mut connection, status) = sidecar.open(WATCH, lines).await?;
        if status != expected {
            // Whose code comes last.
            bail!("{status} {}", connection.through("\"code\":").await?);
        }
        Ok(connection)
    });
    stream::iter(opening)
        .buffer_unordered(STREAMS)
        .try_collect()
        .await
}

/// The API server, too, has let go of them.
async fn longrunning_end(environment: &Environment) -> Result<()> {
    let kubernetes = environment.kubernetes().await?;
    let few = Duration::from_secs(30);
    until("the API server's watches end", few, || async {
        let metrics = kubernetes.metrics().await?;
        let watches: f64 = metrics
            .lines()
            .filter(|line| line.starts_with("apiserver_longrunning_requests{"))
            .filter(|line| line.contains("resource=\"namespaces\"") && line.contains("WATCH"))
            .filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok())
            .sum();
        // Its own controllers watch, too.
        Ok((watches < 20.0).then_some(()))
    })
    .await
}

//! The name in the TLS hello is for the certificate alone.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::SOON;
use integration::environment::Environment;
use integration::neighbour;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use crate::calls::connect;
use crate::stage::Stage;

pub(crate) async fn the_host_routes_whatever_the_sni(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(&environment).await?;
    let clusters = [
        (&stage.prod, stage.chain.host()),
        (&stage.other, neighbour::host()),
    ];
    for sni in [
        "prod.culvert.test",
        "other.culvert.test",
        "culvert.test",
        "nobody.culvert.test",
        "elsewhere.example",
        "127.0.0.1",
    ] {
        for (cluster, host) in &clusters {
            let mut caller = connect(&stage.chain, sni, b"http/1.1").await?;
            caller
                .write_all(stage.head("GET /a", host).as_bytes())
                .await?;
            let (mut accepted, _) = cluster.request().await?;
            accepted
                .send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                .await?;
            let answer = rest(&mut caller).await?;
            ensure!(
                answer.starts_with("HTTP/1.1 200 "),
                "{sni} {host}: {answer}"
            );
        }
        let mut caller = connect(&stage.chain, sni, b"http/1.1").await?;
        let elsewhere = stage.head("GET /a", "elsewhere.example");
        caller.write_all(elsewhere.as_bytes()).await?;
        let answer = rest(&mut caller).await?;
        ensure!(answer.starts_with("HTTP/1.1 421 "), "{sni}: {answer}");
    }
    stage.nothing_arrived().await?;
    stage.stop().await
}

async fn rest(stream: &mut (impl AsyncReadExt + Unpin)) -> Result<String> {
    let mut bytes = Vec::new();
    timeout(SOON, stream.read_to_end(&mut bytes))
        .await
        .context("no end")??;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

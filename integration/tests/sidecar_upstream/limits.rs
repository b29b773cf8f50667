//! Servers of HTTP/2 that let few in, or say goodbye and speak HTTP/1.1 from then on.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::Response;
use integration::environment::Environment;
use integration::http2_frames::{PREFACE, flag, frame, kind, settings};
use integration::raw_http::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

use crate::played::Played;

const FEW: u32 = 10;
const WATCHES: usize = 60;

/// A watch that waits for another's end would wait for an hour.
pub(crate) async fn who_lets_few_in_gets_more_connections(_: Arc<Environment>) -> Result<()> {
    let played = Played::bind().await?;
    let sidecar = played.sidecar().await?;
    let serving = async {
        let mut connections = JoinSet::new();
        loop {
            let stream = played.accept("h2").await?;
            connections.spawn(async move {
                let mut server = h2::server::Builder::new()
                    .max_concurrent_streams(FEW)
                    .handshake::<_, Bytes>(stream)
                    .await?;
                let mut open = Vec::new();
                while let Some(request) = server.accept().await {
                    let (_, mut answer) = request?;
                    open.push(answer.send_response(Response::new(()), false)?);
                }
                Ok::<_, h2::Error>(())
            });
        }
    };
    let url = format!("{}/api/v1/pods?watch=true", sidecar.url()?);
    let watching = async {
        let opened = try_join_all((0..WATCHES).map(|_| reqwest::get(&url))).await?;
        for answer in &opened {
            ensure!(answer.status() == 200, "{}", answer.status());
        }
        let connections = sidecar
            .service
            .metric("proxy_sidecar_upstream_connections")
            .await?;
        let connections = connections.context("no such metric")?;
        ensure!(
            (6.0..9.0).contains(&connections),
            "{connections} connections"
        );
        Ok(())
    };
    tokio::select! {
        watched = watching => watched,
        served = serving => served,
    }
}

/// As behind a load balancer with servers of two kinds: the body is sent whole.
pub(crate) async fn what_a_goodbye_overtakes_goes_over_http1_too(
    _: Arc<Environment>,
) -> Result<()> {
    let played = Played::bind().await?;
    let sidecar = played.sidecar().await?;
    let body = "a body that must not be lost, or halved";
    let serving = async {
        let mut first = played.accept("h2").await?;
        first.write_all(&settings(&[])).await?;
        first.read_exact(&mut [0; PREFACE.len()]).await?;
        loop {
            let mut head = [0; 9];
            first.read_exact(&mut head).await?;
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            first
                .read_exact(&mut vec![0; usize::try_from(length)?])
                .await?;
            if head[3] == kind::HEADERS {
                break;
            }
        }
        // No stream was looked at, and nothing is wrong.
        let goodbye = frame(kind::GOAWAY, flag::NONE, 0, &[0; 8]);
        first.write_all(&goodbye).await?;
        let mut second = Connection::new(played.accept("http/1.1").await?);
        let head = second.head().await?;
        ensure!(head.starts_with("PUT /a HTTP/1.1\r\n"), "{head}");
        let length = format!("content-length: {}", body.len());
        ensure!(head.to_lowercase().contains(&length), "{head}");
        ensure!(second.exactly(body.len()).await? == body);
        second
            .send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
            .await
    };
    let url = format!("{}/a", sidecar.url()?);
    let asking = reqwest::Client::new().put(url).body(body).send();
    let (served, answer) = tokio::join!(serving, asking);
    served.context("the server")?;
    ensure!(answer?.status() == 200);
    Ok(())
}

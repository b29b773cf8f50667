//! Trailers that say what a head may not.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use integration::chain::BASE_DOMAIN;
use integration::environment::Environment;
use integration::http2_frames::{data, flag, headers};
use tokio::task::JoinSet;

use crate::connector::{Connector, FROM, gone};
use crate::stage::{EVIL, EVILS_ANSWER, Stage};

const FORGED: &[(&str, &str)] = &[
    ("culvert-error", "unauthenticated"),
    ("culvert-request-id", "forged"),
    ("culvert-anything", "forged"),
    ("set-cookie", "session=forged; Domain=culvert.test; Path=/"),
    ("strict-transport-security", "max-age=0"),
    ("alt-svc", "h3=\"evil.test:443\""),
    ("clear-site-data", "\"*\""),
    ("access-control-allow-origin", "*"),
    ("location", "https://evil.test/"),
    ("refresh", "0; url=https://evil.test/"),
    ("content-security-policy", "default-src *"),
    ("proxy-authenticate", "Basic"),
    ("x-own", "kept"),
];

/// Announces all of them: over HTTP/1.1 the others are not sent.
fn answer(stream: u32) -> Vec<u8> {
    let names: Vec<_> = FORGED.iter().map(|(name, _)| *name).collect();
    let head = [(":status", "200"), ("trailer", &names.join(", "))];
    [
        headers(stream, flag::NONE, &head),
        data(stream, flag::NONE, EVILS_ANSWER.as_bytes()),
        headers(stream, flag::END_STREAM, FORGED),
    ]
    .concat()
}

/// What a caller gets whom the connector answers so.
async fn answered<T>(stage: &Stage, call: impl Future<Output = Result<T>>) -> Result<T> {
    let mut connector = Connector::settled(stage).await?;
    let saying = async {
        let stream = connector.request().await?;
        connector.writer.send(answer(stream)).await?;
        connector.reader.to_the_end().await;
        std::future::pending::<Result<()>>().await
    };
    let got = tokio::select! {
        got = call => got,
        failed = saying => Err(failed.err().context("unreachable")?),
    };
    drop(connector);
    gone(stage).await?;
    got
}

async fn over_http1(stage: &Stage) -> Result<String> {
    let mut caller = stage.chain.raw_caller().await?;
    let lines = "TE: trailers\r\nConnection: TE, close\r\n";
    caller.send(stage.raw_request("GET", EVIL, lines)).await?;
    let (said, _) = caller.rest().await?;
    let (_, trailers) = said.split_once("\r\n0\r\n").context(said.clone())?;
    Ok(trailers.trim().to_ascii_lowercase())
}

async fn over_http2(stage: &Stage, uri: &str) -> Result<HeaderMap> {
    let stream = stage.chain.raw_caller_from(FROM, b"h2").await?.into_inner();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await?;
    let mut tasks = JoinSet::new();
    tasks.spawn(async move { drop(connection.await) });
    let request = Request::get(uri)
        .header("authorization", stage.victims_bearer())
        .header("te", "trailers")
        .body(Empty::<Bytes>::new())?;
    let answer = sender.send_request(request).await?;
    let collected = answer.into_body().collect().await?;
    let trailers = collected.trailers().context("no trailers")?.clone();
    ensure!(collected.to_bytes() == EVILS_ANSWER);
    Ok(trailers)
}

pub(crate) async fn forged_trailers(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let left = answered(&stage, over_http1(&stage)).await?;
    ensure!(left == "x-own: kept", "{left}");
    for uri in [
        format!("https://{EVIL}.{BASE_DOMAIN}/x"),
        format!("https://{BASE_DOMAIN}/clusters/{EVIL}/x"),
    ] {
        let left = answered(&stage, over_http2(&stage, &uri)).await?;
        let names: Vec<_> = left.keys().collect();
        ensure!(names == ["x-own"], "{uri}: {names:?}");
        ensure!(left["x-own"] == "kept");
    }
    stage.end().await
}

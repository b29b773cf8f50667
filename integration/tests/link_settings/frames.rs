//! DATA frames as small as they can be.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use http::Method;
use integration::chain::{ChainOptions, SOON};
use integration::endure::amount;
use integration::environment::Environment;
use integration::http_version::HttpVersion;
use integration::raw_http::RawUpstream;
use integration::wait::until;

use tokio::time::timeout;

use crate::caller::{Caller, text};
use crate::framewise::Framewise;
use crate::stage::{Stage, tells, tells_within};

/// Bytes of a body whose frames are of one byte.
fn bytes() -> usize {
    amount(50_000, 1_000_000) as usize
}

/// Sent before the upstream has read those before: the server ends a caller's
/// connection where 16,000 pile up.
const AT_ONCE: usize = 5_000;

pub(crate) async fn of_a_byte_in_requests(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut caller = Framewise::send(&stage.chain, "POST", "/length").await?;
    for sent in (AT_ONCE..=bytes()).step_by(AT_ONCE) {
        caller.data(AT_ONCE, 1).await?;
        until("all that was sent at the upstream", SOON, || async {
            Ok((stage.stub.seen.read() == sent).then_some(()))
        })
        .await?;
    }
    let answer = caller.answer().await?;
    ensure!(answer == bytes().to_string(), "{answer} bytes came");
    stage.strike().await
}

pub(crate) async fn of_a_byte_in_answers(environment: Arc<Environment>) -> Result<()> {
    let upstream = RawUpstream::bind().await?;
    let options = ChainOptions {
        upstream: Some(upstream.address),
        ..ChainOptions::bare()
    };
    let chain = environment.chain_with(options).await?;
    for version in HttpVersion::BOTH {
        let caller = version.caller(&chain)?;
        let url = chain.url_by_host();
        let answering = async {
            let (mut connection, _) = upstream.request().await?;
            connection
                .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                .await?;
            for _ in 0..bytes() / 100 {
                connection.send("1\r\nx\r\n".repeat(100)).await?;
            }
            connection.send("0\r\n\r\n").await
        };
        let reading = async {
            let mut body = caller.get(url).send().await?.bytes_stream();
            let mut length = 0;
            while let Some(data) = body.next().await {
                length += data?.len();
            }
            anyhow::Ok(length)
        };
        let (length, ()) = tokio::try_join!(reading, answering)?;
        ensure!(length == bytes(), "{version:?}: {length} bytes came");
    }
    chain.linked().await?;
    chain.stop().await
}

/// h2 ends a connection after a hundred: the caller's own, never the link.
pub(crate) async fn empty_ones(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    for _ in 0..3 {
        let mut caller = Framewise::send(&stage.chain, "POST", "/length").await?;
        caller.data(90, 0).await?;
        caller.data(1, 1).await?;
        let answer = caller.answer().await?;
        ensure!(answer == "1", "{answer} bytes came");
        let mut many = Framewise::send(&stage.chain, "POST", "/length").await?;
        // The server may close it meanwhile.
        drop(many.data(10_000, 0).await);
    }
    stage.strike().await
}

/// Milliseconds for each hundred frames in a debug build.
const LONG: Duration = Duration::from_secs(300);

/// What h2 would hold of these frames is 38 MiB and more.
const GROWTH: u64 = 24 << 20;
/// A frame of 7 bytes, as a chunk of HTTP/1.1.
const CHUNK: &str = "7\r\nseven b\r\n";

/// A window counts bytes; h2 holds 257 more for each frame. Those that nobody takes
/// are put together instead, and whoever goes on for all that is cut. For a debug
/// build that is a minute's work, and the code is that of answers: in the long form.
pub(crate) async fn of_uploads_that_nobody_takes(environment: Arc<Environment>) -> Result<()> {
    if amount(0, 1) == 0 {
        return Ok(());
    }
    let stage = Stage::set(&environment).await?;
    let before = stage.chain.client.resident_memory()?;
    let mut caller = stage.chain.raw_caller().await?;
    let chunked = "Transfer-Encoding: chunked\r\n";
    let head = stage.chain.raw_head(false, "POST", "/sink", chunked);
    caller.send(head).await?;
    let chunks = CHUNK.repeat(1000);
    let pouring = async { while caller.send(&chunks).await.is_ok() {} };
    timeout(LONG, pouring).await.context("nobody cuts it")?;
    let cut = "tunnel_client_stalled_streams_cut_total";
    tells(&stage.chain.client, cut, 1.0).await?;
    let grown = stage.chain.client.peak_memory()?.saturating_sub(before);
    println!("an upload: tunnel-client grew by {} MiB", grown >> 20);
    ensure!(grown < GROWTH, "{} MiB", grown >> 20);
    Caller::connect(&stage.chain).await?.is_served().await?;
    drop(caller);
    stage.strike().await
}

pub(crate) async fn of_answers_that_nobody_takes(environment: Arc<Environment>) -> Result<()> {
    const FRAMES: usize = 150_000;
    let upstream = RawUpstream::bind().await?;
    let options = ChainOptions {
        upstream: Some(upstream.address),
        ..ChainOptions::bare()
    };
    let chain = environment.chain_with(options).await?;
    let before = chain.server.resident_memory()?;
    let mut caller = Caller::connect(&chain).await?;
    let request = caller.request(Method::GET, "/").body(())?;
    let (answer, _) = caller.send(request, true).await?;
    let (mut connection, _) = upstream.request().await?;
    connection
        .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        .await?;
    let answer = answer.await?;
    let chunks = CHUNK.repeat(1000);
    for _ in 0..FRAMES / 1000 {
        connection.send(&chunks).await?;
    }
    connection.send("0\r\n\r\n").await?;
    // Then all of them are in the server. A debug build that logs all that there is needs
    // ten seconds of a processor for them, which a loaded machine has in minutes only.
    let open = "tunnel_client_open_requests";
    tells_within(LONG, &chain.client, open, 0.0).await?;
    let grown = chain.server.peak_memory()?.saturating_sub(before);
    println!("an answer: tunnel-server grew by {} MiB", grown >> 20);
    ensure!(grown < GROWTH, "{} MiB", grown >> 20);
    // And nothing of it is lost.
    let body = text(answer.into_body()).await?;
    ensure!(
        body == "seven b".repeat(FRAMES),
        "{} bytes came",
        body.len()
    );
    chain.stop().await
}

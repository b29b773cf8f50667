//! DATA frames as small as they can be.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use futures_util::StreamExt;
use http::Method;
use integration::chain::{ChainOptions, SOON};
use integration::endure::amount;
use integration::environment::Environment;
use integration::http_version::HttpVersion;
use integration::raw_http::RawUpstream;
use integration::service::Service;
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

/// For so long processes that rest do nothing.
const QUIET: Duration = Duration::from_secs(1);
/// Frames that stand still.
const FRAMES: usize = 150_000;

/// What h2 would hold of these frames is 38 MiB and more.
const GROWTH: u64 = 24 << 20;
/// Sent before them, in frames of an ordinary size, bytes.
const BULK: usize = 11 << 18;
/// A frame of 7 bytes, as a chunk of HTTP/1.1.
const CHUNK: &str = "7\r\nseven b\r\n";

/// A window counts bytes; h2 holds 257 more for each frame. Those that nobody takes
/// are put together instead. Whoever goes on for all that is cut, which for a debug
/// build is a minute's work: in the long form.
pub(crate) async fn of_uploads_that_nobody_takes(environment: Arc<Environment>) -> Result<()> {
    let upstream = RawUpstream::bind_with_little_room().await?;
    let options = ChainOptions {
        upstream: Some(upstream.address),
        ..ChainOptions::bare()
    };
    let chain = environment.chain_with(options).await?;
    let before = chain.client.resident_memory()?;
    let mut caller = chain.raw_caller().await?;
    let chunked = "Transfer-Encoding: chunked\r\n";
    caller
        .send(chain.raw_head(false, "POST", "/", chunked))
        .await?;
    let (mut connection, _) = upstream.request().await?;
    // Fills what the client's kernel takes, and leaves most of the window.
    for _ in 0..BULK >> 16 {
        caller
            .send([&b"10000\r\n"[..], &[0; 1 << 16], b"\r\n"].concat())
            .await?;
    }
    let chunks = CHUNK.repeat(1000);
    let until_cut = amount(0, 1) == 1;
    if until_cut {
        let pouring = async { while caller.send(&chunks).await.is_ok() {} };
        timeout(LONG, pouring).await.context("nobody cuts it")?;
        let cut = "tunnel_client_stalled_streams_cut_total";
        tells(&chain.client, cut, 1.0).await?;
    } else {
        for _ in 0..FRAMES / 1000 {
            caller.send(&chunks).await?;
        }
        caller.send("0\r\n\r\n").await?;
        // Then all of them are in the client.
        rest(&[&chain.server, &chain.client]).await?;
    }
    let grown = chain.client.peak_memory()?.saturating_sub(before);
    println!("an upload: tunnel-client grew by {} MiB", grown >> 20);
    ensure!(grown < GROWTH, "{} MiB", grown >> 20);
    if !until_cut {
        // And nothing of it is lost.
        let (mut came, mut end) = (0, Vec::new());
        while !end.ends_with(b"\r\n0\r\n\r\n") {
            let more = connection.some().await?;
            came += more.iter().filter(|byte| **byte == b'v').count();
            end = [&end, &more[..]].concat();
            end.drain(..end.len().saturating_sub(7));
        }
        ensure!(came == FRAMES, "{came} of {FRAMES} frames came");
    }
    drop((caller, connection));
    chain.linked().await?;
    chain.stop().await
}

/// Waits until processes have nothing to do any more.
async fn rest(services: &[&Service]) -> Result<()> {
    let used = || {
        services
            .iter()
            .map(|service| service.processor_time())
            .sum()
    };
    let last: Mutex<(Duration, Instant)> = Mutex::new((Duration::ZERO, Instant::now()));
    until("the end of the work", LONG, || async {
        let used: Result<Duration> = used();
        let (used, mut last) = (used?, last.lock().map_err(|_| anyhow!("a panic"))?);
        // Timers and pings are no work.
        if used > last.0 + Duration::from_millis(50) {
            *last = (used, Instant::now());
        }
        Ok((last.1.elapsed() > QUIET).then_some(()))
    })
    .await
}

pub(crate) async fn of_answers_that_nobody_takes(environment: Arc<Environment>) -> Result<()> {
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

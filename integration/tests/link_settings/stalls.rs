//! Whoever does not read, or sends what nobody takes, holds up nobody else.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::Bytes;
use h2::RecvStream;
use http::Response;
use integration::chain::Chain;
use integration::environment::Environment;
use integration::raw_http;
use tokio::task::JoinSet;
use tunnel_protocol::limits::STREAM_WINDOW;

use crate::caller::{Caller, send, text};
use crate::stage::{Stage, tells};

/// Of each kind.
const STALLED: usize = 32;
/// Of a bystander, beside them and before.
const REQUESTS: usize = 20;
/// A request that takes so long is held up; an ordinary one takes milliseconds.
const HELD_UP: Duration = Duration::from_millis(500);
/// The server takes 8 MiB of one caller's connection that nobody takes from it:
/// two uploads.
const WRITERS: usize = 2;

/// Callers that do not read their answers, and uploads that nobody takes: every
/// second over HTTP/1.1.
#[derive(Default)]
struct Stalled {
    readers: Vec<Response<RecvStream>>,
    readers_over_http1: Vec<raw_http::Caller>,
    writers: JoinSet<Result<()>>,
    callers: Vec<Caller>,
}

impl Stalled {
    async fn begin(stage: &Stage, readers: usize, writers: usize) -> Result<Self> {
        let mut stalled = Self::default();
        let mut reader = Caller::connect(&stage.chain).await?;
        for _ in 0..readers / 2 {
            stalled.readers.push(reader.get("/stream").await?);
            let over_http1 = stalled_reader(&stage.chain).await?;
            stalled.readers_over_http1.push(over_http1);
        }
        stalled.callers.push(reader);
        for _ in 0..writers / 2 / WRITERS {
            let mut writer = Caller::connect(&stage.chain).await?;
            for _ in 0..WRITERS {
                let (answer, mut body) = writer.post("/sink").await?;
                stalled.writers.spawn(async move {
                    let _answer = answer;
                    send(&mut body, u64::MAX).await
                });
                stalled.writers.spawn(pour(upload(&stage.chain).await?));
            }
            stalled.callers.push(writer);
        }
        Ok(stalled)
    }
}

async fn stalled_reader(chain: &Chain) -> Result<raw_http::Caller> {
    let mut caller = chain.raw_caller().await?;
    caller
        .send(chain.raw_head(false, "GET", "/stream", ""))
        .await?;
    let head = caller.head().await?;
    ensure!(head.starts_with("HTTP/1.1 200"), "{head}");
    Ok(caller)
}

async fn upload(chain: &Chain) -> Result<raw_http::Caller> {
    let mut caller = chain.raw_caller().await?;
    let chunked = "Transfer-Encoding: chunked\r\n";
    let head = chain.raw_head(false, "POST", "/sink", chunked);
    caller.send(head).await?;
    Ok(caller)
}

async fn pour(mut caller: raw_http::Caller) -> Result<()> {
    let chunk = [&b"10000\r\n"[..], &[0; 0x10000], b"\r\n"].concat();
    loop {
        caller.send(&chunk).await?;
    }
}

/// The time of an ordinary request: of many, that of the one in the middle.
async fn median(caller: &mut Caller) -> Result<Duration> {
    let mut times = Vec::new();
    for _ in 0..REQUESTS {
        let started = Instant::now();
        caller.is_served().await?;
        times.push(started.elapsed());
    }
    times.sort();
    Ok(times[REQUESTS / 2])
}

pub(crate) async fn stalled_readers_and_writers_hold_up_nobody(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut bystander = Caller::connect(&stage.chain).await?;
    let alone = median(&mut bystander).await?;
    // Says nothing, and so does not stand still.
    let quiet = bystander.get("/watch").await?;
    let memory = || -> Result<Vec<u64>> {
        let each = stage
            .chain
            .services()
            .map(|service| service.resident_memory());
        each.map(|bytes| Ok(bytes? >> 20)).collect()
    };
    let before = memory()?;
    let stalled = Stalled::begin(&stage, STALLED, STALLED).await?;
    let all = 2.0 * STALLED as f64;
    tells(&stage.chain.server, "tunnel_server_stalled_streams", all).await?;
    tells(&stage.chain.client, "tunnel_client_stalled_streams", all).await?;

    let beside = median(&mut bystander).await?;
    println!("a request takes {alone:.1?}, beside {all} stalled streams {beside:.1?}");
    ensure!(beside < (10 * alone).max(HELD_UP), "{beside:?}");
    // A body larger than a window, too.
    let (answer, mut body) = bystander.post("/length").await?;
    let length = 2 * u64::from(STREAM_WINDOW);
    send(&mut body, length).await?;
    body.send_data(Bytes::new(), true)?;
    let came = text(answer.await?.into_body()).await?;
    ensure!(came == length.to_string(), "{came} of {length} bytes came");
    println!(
        "resident memory, MiB, server/client: before {before:?}, with {all} stalled streams {:?}",
        memory()?
    );
    tells(&stage.chain.server, "tunnel_server_stalled_streams", all).await?;
    tells(
        &stage.chain.server,
        "tunnel_server_stalled_streams_cut_total",
        0.0,
    )
    .await?;
    tells(
        &stage.chain.client,
        "tunnel_client_stalled_streams_cut_total",
        0.0,
    )
    .await?;
    drop((quiet, stalled));
    stage.strike().await
}

//! Whoever does not read, or sends what nobody takes, holds up nobody else.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Result, ensure};
use bytes::Bytes;
use h2::RecvStream;
use http::Response;
use integration::environment::Environment;
use tokio::task::JoinSet;
use tunnel_protocol::limits::STREAM_WINDOW;

use crate::caller::{Caller, send, text};
use crate::stage::{Stage, tells};

/// Of each kind.
const STALLED: usize = 32;
/// The server takes 8 MiB of one caller's connection that nobody takes from it:
/// two uploads.
const WRITERS: usize = 2;

/// Callers that do not read their answers, and uploads that nobody takes.
struct Stalled {
    _readers: Vec<Response<RecvStream>>,
    _writers: JoinSet<Result<()>>,
    _callers: Vec<Caller>,
}

impl Stalled {
    async fn begin(stage: &Stage, readers: usize, writers: usize) -> Result<Self> {
        let mut reader = Caller::connect(&stage.chain).await?;
        let mut reading = Vec::new();
        for _ in 0..readers {
            reading.push(reader.get("/stream").await?);
        }
        let (mut callers, mut sending) = (vec![reader], JoinSet::new());
        for _ in 0..writers.div_ceil(WRITERS) {
            let mut writer = Caller::connect(&stage.chain).await?;
            for _ in 0..WRITERS {
                let (answer, mut body) = writer.post("/sink").await?;
                sending.spawn(async move {
                    let _answer = answer;
                    send(&mut body, u64::MAX).await
                });
            }
            callers.push(writer);
        }
        Ok(Self {
            _readers: reading,
            _writers: sending,
            _callers: callers,
        })
    }
}

pub(crate) async fn stalled_readers_and_writers_hold_up_nobody(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut bystander = Caller::connect(&stage.chain).await?;
    bystander.is_served().await?;
    let memory = || -> Result<Vec<u64>> {
        let each = stage
            .chain
            .services()
            .map(|service| service.resident_memory());
        each.map(|bytes| Ok(bytes? >> 20)).collect()
    };
    let before = memory()?;
    let _stalled = Stalled::begin(&stage, STALLED, STALLED).await?;
    let all = 2.0 * STALLED as f64;
    tells(&stage.chain.server, "tunnel_server_stalled_streams", all).await?;
    tells(&stage.chain.client, "tunnel_client_stalled_streams", all).await?;

    let started = Instant::now();
    bystander.is_served().await?;
    println!(
        "beside {all} stalled streams a request took {:.1?}",
        started.elapsed()
    );
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
    stage.strike().await
}

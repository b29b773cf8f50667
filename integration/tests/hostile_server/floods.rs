//! Many frames and streams, each of which is allowed.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use integration::chain::SOON;
use integration::endure::amount;
use integration::environment::Environment;
use integration::http2_connection;
use integration::http2_frames::{
    block, data, flag, frame, headers, headers_in_pieces, kind, ping, reset, setting, settings,
    window_update,
};
use integration::wait::until;
use tokio::time::timeout;

use crate::server::{CONTROL, GET, Link};
use crate::stage::Stage;

/// More than a link has.
const STREAMS: usize = 10_000;
/// Frames written at once.
const BATCH: u32 = 500;

/// For a million requests that a connector built for debugging looks at, one by
/// one.
const LONG: Duration = Duration::from_secs(1800);

/// Sends a flood. Tells whether the connector took all of it; if not, it has ended
/// the link.
async fn flood(link: &mut Link, count: u32, mut batch: impl FnMut() -> Vec<u8>) -> Result<bool> {
    let Link { reader, writer, .. } = link;
    let batches = (0..count / BATCH).map(|_| batch());
    http2_connection::flood(reader, writer, batches, LONG).await
}

async fn endure(stage: &Stage, name: &str, one: &[u8]) -> Result<()> {
    let started = Instant::now();
    let mut link = stage.server()?.link().await?;
    let batch = one.repeat(usize::try_from(BATCH)?);
    let taken = flood(&mut link, amount(50_000, 1_000_000), || batch.clone()).await?;
    stage.connector_lives().await?;
    let how = if taken { "taken" } else { "cut" };
    let peak = stage.chain.client.peak_memory()? / 1024;
    println!(
        "{name}: {how} after {:?}; at most {peak} KiB so far",
        started.elapsed()
    );
    Ok(())
}

pub(crate) async fn floods_of_frames(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let floods = [
        ("PING", ping(flag::NONE, 7)),
        ("answers to pings never sent", ping(flag::ACK, 7)),
        (
            "SETTINGS",
            settings(&[(setting::INITIAL_WINDOW_SIZE, 1 << 20)]),
        ),
        ("SETTINGS without any", settings(&[])),
        ("WINDOW_UPDATE", window_update(0, 1)),
        ("PRIORITY", frame(kind::PRIORITY, 0, 3, &[0, 0, 0, 0, 16])),
        ("frames that nobody knows", frame(0xee, 0, 3, b"hello")),
        ("empty DATA on the control stream", data(1, flag::NONE, b"")),
    ];
    for (name, one) in floods {
        endure(&stage, name, &one).await.context(name)?;
    }
    stage.end().await
}

/// Each request is reset behind its head.
pub(crate) async fn resets_without_end(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut link = stage.server()?.link().await?;
    let started = Instant::now();
    let mut next = 3;
    let taken = flood(&mut link, amount(10_000, 1_000_000), || {
        let streams = (0..BATCH).map(|_| {
            next += 2;
            [headers(next, flag::END_STREAM, GET), reset(next, 8)].concat()
        });
        streams.flatten().collect()
    })
    .await?;
    println!("taken: {taken}, after {:?}", started.elapsed());
    stage.connector_lives().await?;
    println!("the sidecar saw {} of them", stage.sidecar.heads().len());
    drop(link);
    until("all of them to be looked at", LONG, || async {
        let links = stage.chain.client.metric("tunnel_client_links").await?;
        Ok((links == Some(0.0)).then_some(()))
    })
    .await?;
    stage.end().await
}

/// Ten thousand requests whose bodies do not end.
pub(crate) async fn many_streams_at_once(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut link = stage.server()?.link().await?;
    let mut bytes = Vec::new();
    for _ in 0..STREAMS {
        let stream = link.stream();
        let mut fields = GET.to_vec();
        fields[0] = (":method", "POST");
        bytes.extend(headers(stream, flag::NONE, &fields));
        bytes.extend(data(stream, flag::NONE, &[7; 100]));
    }
    let Link { reader, writer, .. } = &mut link;
    let reading = async {
        let (mut answered, mut refused) = (HashSet::new(), HashSet::new());
        // All were looked at.
        while answered.union(&refused).count() < STREAMS {
            let frame = timeout(SOON, reader.next())
                .await
                .context("some are forgotten")?;
            let Some(frame) = frame else { break };
            match frame.kind {
                kind::HEADERS if frame.stream != CONTROL => answered.insert(frame.stream),
                kind::RST_STREAM => refused.insert(frame.stream),
                _ => false,
            };
        }
        println!(
            "{} answered, {} only reset",
            answered.len(),
            refused.difference(&answered).count()
        );
        anyhow::Ok(())
    };
    let (sent, read) = tokio::join!(writer.send(&bytes), reading);
    sent.and(read)?;
    stage.connector_lives().await?;
    drop(link);
    stage.end().await
}

/// Some hundred requests at once whose heads are as large as a link's may be.
pub(crate) async fn many_large_heads_at_once(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut link = stage.server()?.link().await?;
    let count = amount(200, 1000);
    let large = "x".repeat(200 * 1024);
    let block = block(&[GET, &[("x-large", large.as_str())]].concat());
    let Link { reader, writer, .. } = &mut link;
    let sending = async {
        for stream in (0..count).map(|number| 3 + 2 * number) {
            let head = headers_in_pieces(stream, flag::END_STREAM, &block, 60 * 1024);
            writer.send(head).await?;
        }
        anyhow::Ok(())
    };
    let reading = async {
        let mut ended = HashSet::new();
        while ended.len() < usize::try_from(count)? {
            let frame = timeout(SOON, reader.next())
                .await
                .context("some are forgotten")?;
            let Some(frame) = frame else { break };
            if frame.stream != CONTROL && matches!(frame.kind, kind::HEADERS | kind::RST_STREAM) {
                ended.insert(frame.stream);
            }
        }
        anyhow::Ok(())
    };
    let (sent, read) = tokio::join!(sending, reading);
    sent.and(read)?;
    stage.connector_lives().await?;
    drop(link);
    stage.end().await
}

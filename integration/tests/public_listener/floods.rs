//! Floods of frames over HTTP/2, from strangers.

use std::net::Ipv4Addr;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::chain::{Chain, SOON};
use integration::endure::amount;
use integration::environment::Environment;
use integration::http2_connection;
use integration::http2_frames::{
    PREFACE, block, flag, frame, headers, kind, reset, settings, window_update,
};

use crate::bystander::{Bystander, PATH};

const FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// What a flood may make the server grow by, bytes: some times what one connection
/// may have in flight.
const GROWTH: u64 = 24 * 1024 * 1024;
/// Frames written at once.
const BATCH: usize = 100;

fn frames() -> u32 {
    amount(50_000, 1_000_000)
}

/// How a flood ended.
#[derive(Debug, PartialEq, Eq)]
enum Flood {
    /// The server ended the connection.
    Cut,
    /// All of it was sent.
    Taken,
}

/// Sends the frames over a connection of its own, and reads all that is answered.
async fn flood(chain: &Chain, mut frames: impl Iterator<Item = Vec<u8>>) -> Result<Flood> {
    let mut caller = chain.raw_caller_from(FROM, b"h2").await?;
    caller.send([PREFACE, &settings(&[])].concat()).await?;
    let (stream, read) = caller.into_parts();
    let (mut reader, mut writer) = http2_connection::frames(stream, read);
    let batches = std::iter::from_fn(|| {
        let batch: Vec<u8> = frames.by_ref().take(BATCH).flatten().collect();
        (!batch.is_empty()).then_some(batch)
    });
    let taken = http2_connection::flood(&mut reader, &mut writer, batches, SOON * 10).await?;
    Ok(if taken { Flood::Taken } else { Flood::Cut })
}

fn request(chain: &Chain, stream: u32, flags: u8) -> Vec<u8> {
    let host = chain.host();
    let fields = [
        (":method", "GET"),
        (":scheme", "https"),
        (":authority", host.as_str()),
        (":path", PATH),
    ];
    headers(stream, flags, &fields)
}

fn stream_of(number: u32) -> u32 {
    number * 2 + 1
}

pub(crate) async fn more_resets_than_a_caller_needs(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let bystander = Bystander::arrives(&chain).await?;
    let before = chain.server.resident_memory()?;
    let resets = (0..frames()).map(|number| {
        let stream = stream_of(number);
        [request(&chain, stream, flag::END_STREAM), reset(stream, 8)].concat()
    });
    let end = bystander.meanwhile(&chain, flood(&chain, resets)).await?;
    ensure!(end == Flood::Cut, "{end:?}");
    within_memory(&chain, before, "resets")?;
    bystander.leaves(&chain).await?;
    chain.stop().await
}

pub(crate) async fn a_header_block_without_end(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let bystander = Bystander::arrives(&chain).await?;
    let before = chain.server.resident_memory()?;
    let first = || frame(kind::HEADERS, flag::NONE, 1, &block(&[(":method", "GET")]));
    let empty = frame(kind::CONTINUATION, flag::NONE, 1, b"");
    let full = frame(
        kind::CONTINUATION,
        flag::NONE,
        1,
        &block(&[("x", &"y".repeat(16_000))]),
    );
    for more in [empty, full] {
        let more = (0..frames()).map(|_| more.clone());
        let blocks = flood(&chain, std::iter::once(first()).chain(more));
        let end = bystander.meanwhile(&chain, blocks).await?;
        ensure!(end == Flood::Cut, "{end:?}");
    }
    within_memory(&chain, before, "header blocks")?;
    bystander.leaves(&chain).await?;
    chain.stop().await
}

/// Frames that ask for an answer, or for nothing at all. Whether the server cuts
/// them off or takes them: it neither grows nor keeps others waiting.
pub(crate) async fn a_flood_of_frames(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let bystander = Bystander::arrives(&chain).await?;
    let open = request(&chain, 1, flag::NONE);
    let floods = [
        ("pings", frame(kind::PING, flag::NONE, 0, &[0; 8])),
        ("settings", settings(&[(4, 65_535)])),
        ("empty data", frame(kind::DATA, flag::NONE, 1, b"")),
        ("tiny data", frame(kind::DATA, flag::NONE, 1, b"x")),
        ("padding", frame(kind::DATA, flag::PADDED, 1, &[200; 201])),
        (
            "priorities",
            frame(kind::PRIORITY, flag::NONE, 1, &[0, 0, 0, 3, 1]),
        ),
        ("window updates", window_update(0, 1)),
        ("unknown frames", frame(0xee, flag::NONE, 0, b"anything")),
    ];
    for (name, one) in floods {
        let before = chain.server.resident_memory()?;
        let many = std::iter::once(open.clone()).chain((0..frames()).map(|_| one.clone()));
        let end = bystander.meanwhile(&chain, flood(&chain, many)).await;
        println!("{name}: {:?}", end.context(name)?);
        within_memory(&chain, before, name)?;
    }
    bystander.leaves(&chain).await?;
    chain.stop().await
}

fn within_memory(chain: &Chain, before: u64, what: &str) -> Result<()> {
    let grown = chain.server.resident_memory()?.saturating_sub(before);
    println!("{what}: the server grew by {} KiB", grown / 1024);
    ensure!(grown < GROWTH, "{what}: the server grew by {grown} bytes");
    Ok(())
}

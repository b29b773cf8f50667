//! Many frames, each of which is allowed.

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use integration::chain::SOON;
use integration::endure::amount;
use integration::environment::Environment;
use integration::http2_connection;
use integration::http2_frames::{
    block, data, flag, frame, go_away, headers, kind, ping, reset, settings, window_update,
};
use tokio::time::timeout;

use crate::connector::{Connector, gone, in_order};
use crate::stage::Stage;

/// What a body is made of that is a flood.
const FLOOD: u8 = b'x';
/// Frames written at once.
const BATCH: u32 = 500;

type Flood = (&'static str, fn(u32) -> Vec<u8>);

fn count() -> u32 {
    amount(50_000, 1_000_000)
}

/// Sends a frame so often. Tells whether the server took all of them; if not, it has
/// cut the link.
async fn flood(connector: &mut Connector, one: &[u8]) -> Result<bool> {
    let batch = one.repeat(usize::try_from(BATCH)?);
    let batches = (0..count() / BATCH).map(|_| batch.clone());
    let Connector { reader, writer } = connector;
    http2_connection::flood(reader, writer, batches, SOON * 10).await
}

/// A caller asks; `before` the answer there is a flood of `one`. The caller is
/// answered or refused, and others are served all the while.
async fn endure(
    stage: &Stage,
    name: &str,
    before: impl Fn(u32) -> Vec<u8>,
    one: impl Fn(u32) -> Vec<u8>,
    after: impl Fn(u32) -> Vec<u8>,
) -> Result<()> {
    let started = Instant::now();
    let mut connector = Connector::settled(stage).await?;
    let flooding = async {
        let stream = connector.request().await?;
        connector.writer.send(before(stream)).await?;
        let taken = flood(&mut connector, &one(stream)).await?;
        if taken {
            // A caller that waited too long has left; then this is for nobody.
            drop(connector.writer.send(after(stream)).await);
        }
        anyhow::Ok(taken)
    };
    let both = async { tokio::join!(stage.get(), flooding) };
    let (answer, taken) = stage.meanwhile(async { Ok(both.await) }).await?;
    let (answer, taken) = (answer?, taken?);
    let how = if taken { "taken" } else { "cut" };
    println!(
        "{name}: {how} after {:?}, {}; at most {} KiB so far",
        started.elapsed(),
        answer.status,
        stage.chain.server.peak_memory()? / 1024
    );
    let flooded = || {
        let body = answer.body.as_deref().unwrap_or_default();
        let whole = answer.status == 200 && body.bytes().all(|byte| byte == FLOOD);
        whole.then_some(()).with_context(|| format!("{answer:?}"))
    };
    answer
        .must_be_in_order()
        .or_else(|_| answer.must_be_cut())
        .or_else(|_| flooded())?;
    drop(connector);
    gone(stage).await
}

pub(crate) async fn floods_of_frames(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let floods: Vec<Flood> = vec![
        ("PING", |_| ping(flag::NONE, 7)),
        ("answers to pings never sent", |_| ping(flag::ACK, 7)),
        ("SETTINGS", |_| settings(&[(4, 1 << 20)])),
        ("SETTINGS without any", |_| settings(&[])),
        ("WINDOW_UPDATE", |_| window_update(0, 1)),
        ("WINDOW_UPDATE of the stream", |stream| {
            window_update(stream, 1)
        }),
        ("PRIORITY", |stream| {
            frame(kind::PRIORITY, 0, stream, &[0, 0, 0, 0, 16])
        }),
        ("GOAWAY", |_| go_away(u32::MAX >> 1, 0, b"")),
        ("frames that nobody knows", |stream| {
            frame(0xee, 0, stream, b"hello")
        }),
        ("early hints", |stream| {
            headers(stream, flag::NONE, &[(":status", "103"), ("link", "</x>")])
        }),
    ];
    for (name, one) in floods {
        let flooded = endure(&stage, name, |_| Vec::new(), one, in_order).await;
        flooded.context(name)?;
    }
    stage.end().await
}

/// Its answer has begun, so that its caller waits for the rest; and then resets
/// of a stream that has ended.
pub(crate) async fn floods_on_an_open_stream(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let head = |stream| headers(stream, flag::NONE, &[(":status", "200")]);
    let end = |stream| data(stream, flag::END_STREAM, b"");
    let floods: Vec<Flood> = vec![
        ("empty DATA", |stream| data(stream, flag::NONE, b"")),
        ("DATA of padding alone", |stream| {
            data(stream, flag::PADDED, &[7; 8])
        }),
        ("DATA of a byte", |stream| {
            data(stream, flag::NONE, &[FLOOD])
        }),
        ("heads", |stream| {
            headers(stream, flag::NONE, &[(":status", "200")])
        }),
        ("trailers that end nothing", |stream| {
            frame(
                kind::HEADERS,
                flag::END_HEADERS,
                stream,
                &block(&[("x", "y")]),
            )
        }),
    ];
    for (name, one) in floods {
        endure(&stage, name, head, one, end).await.context(name)?;
    }
    let resets = |stream| reset(stream, 8);
    endure(&stage, "RST_STREAM", in_order, resets, |_| Vec::new()).await?;
    stage.end().await
}

/// Floods that ask for answers which are not read. The server stops reading, or
/// cuts the link; it does not pile the answers up.
pub(crate) async fn floods_that_read_nothing(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    for one in [ping(flag::NONE, 7), settings(&[])] {
        let mut connector = Connector::settled(&stage).await?;
        let batch = one.repeat(usize::try_from(BATCH)?);
        let flooding = async {
            let mut sent: u32 = 0;
            // Until the server takes no more.
            while sent < count() * 10 {
                match timeout(SOON / 20, connector.writer.send(&batch)).await {
                    Ok(Ok(())) => sent += BATCH,
                    Ok(Err(_)) | Err(_) => break,
                }
            }
            println!("{sent} frames until the server took no more");
            Ok(())
        };
        stage.meanwhile(flooding).await?;
        stage.get().await?.must_be_a_refusal()?;
        drop(connector);
        gone(&stage).await?;
    }
    stage.end().await
}

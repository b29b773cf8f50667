//! A connector that does not read, does not answer, or hardly.

use std::collections::HashSet;
use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures_util::future::join_all;
use integration::chain::SOON;
use integration::endure::amount;
use integration::environment::Environment;
use integration::http2_frames::{
    PREFACE, data, flag, frame_head, headers, kind, ping, setting, settings,
};
use reqwest::Method;
use tokio::time::timeout;

use crate::connector::{Connector, FROM, gone, in_order, say_once};
use crate::stage::Stage;

const CALLERS: usize = 50;

/// Zero windows, and nothing read from the connection itself: the server's pings
/// are not answered, and the link ends.
pub(crate) async fn a_connector_that_never_reads(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let uploads = async || {
        let calls = (0..CALLERS).map(|_| stage.call(Method::POST, vec![7; 1 << 20]));
        for answer in join_all(calls).await {
            answer?.must_be_a_refusal()?;
        }
        Ok(())
    };
    let connector = Connector::link(&stage, &[(setting::INITIAL_WINDOW_SIZE, 0)]).await?;
    stage.chain.links(2).await?;
    stage.meanwhile(uploads()).await?;
    drop(connector);
    gone(&stage).await?;
    // Nothing read from the connection itself.
    let connector = Connector::link(&stage, &[]).await?;
    stage.chain.links(2).await?;
    stage.meanwhile(uploads()).await?;
    // The pings come every 12 to 15 s, and are waited for for 10 s.
    let ends = async { stage.chain.links(1).await.or(stage.chain.links(1).await) };
    stage.meanwhile(ends).await?;
    drop(connector);
    stage.end().await
}

/// Answers at once, and takes nothing of the request: nothing of that is left, not
/// even the first piece, which the server had at hand.
pub(crate) async fn uploads_that_are_answered_and_not_taken(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut connector =
        Connector::settled_with(&stage, &[(setting::INITIAL_WINDOW_SIZE, 0)]).await?;
    let answering = async {
        let mut left = HashSet::new();
        let mut resets = 0;
        while resets < CALLERS {
            let frame = connector.next().await?;
            if frame.kind == kind::HEADERS {
                left.insert(frame.stream);
                connector.writer.send(in_order(frame.stream)).await?;
            } else if frame.kind == kind::RST_STREAM && left.remove(&frame.stream) {
                resets += 1;
            }
        }
        Ok(())
    };
    let calling = async {
        for _ in 0..CALLERS {
            let answer = stage.call(Method::POST, vec![7; 1 << 20]).await?;
            ensure!(matches!(answer.status, 200 | 0), "{answer:?}");
        }
        Ok(())
    };
    let both = async { tokio::try_join!(answering, calling) };
    let ended = timeout(SOON, stage.meanwhile(both)).await;
    ended.context("uploads stay")??;
    drop(connector);
    gone(&stage).await?;
    stage.end().await
}

pub(crate) async fn a_connector_that_never_answers(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut connector = Connector::settled(&stage).await?;
    let calls = async {
        for answer in join_all((0..CALLERS).map(|_| stage.get())).await {
            let answer = answer?;
            answer.must_be_a_refusal()?;
            ensure!(answer.status == 504, "{answer:?}");
        }
        Ok(())
    };
    let reading = async {
        loop {
            if let Err(error) = connector.next().await {
                break Err(error);
            }
        }
    };
    let both = async {
        tokio::select! {
            called = calls => called,
            ended = reading => ended,
        }
    };
    stage.meanwhile(both).await?;
    // Nothing of it is left: the next one is answered over the same link.
    let answer = tokio::select! {
        answer = stage.get() => answer?,
        ended = connector.behave() => { ended?; anyhow::bail!("the link has ended") },
    };
    answer.must_be_evils_own()?;
    drop(connector);
    gone(&stage).await?;
    stage.end().await
}

/// A head that comes in part, a body of which one byte comes.
pub(crate) async fn answers_that_trickle(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    for part in [1, 5, 9, 12] {
        let begun = |stream| in_order(stream)[..part].to_vec();
        let answer = say_once(&stage, begun).await?;
        answer
            .must_be_a_refusal()
            .with_context(|| format!("{part} bytes"))?;
        ensure!(answer.status == 504, "{answer:?}");
    }
    let head = |stream| frame_head(100, kind::HEADERS, flag::END_HEADERS, stream);
    let answer = say_once(&stage, head).await?;
    ensure!(answer.status == 504, "{answer:?}");

    // A caller that has the first byte and leaves is gone from the link, too.
    let mut connector = Connector::settled(&stage).await?;
    let mut caller = stage.chain.raw_caller().await?;
    caller
        .send(stage.raw_request("GET", crate::stage::EVIL, ""))
        .await?;
    let stream = connector.request().await?;
    let head = headers(stream, flag::NONE, &[(":status", "200")]);
    connector
        .writer
        .send([head, data(stream, flag::NONE, b"x")].concat())
        .await?;
    caller.through("\r\n\r\n").await?;
    caller.through("x").await?;
    stage.others_are_served().await?;
    drop(caller);
    let frame = loop {
        let frame = tokio::time::timeout(SOON, connector.next()).await??;
        if frame.kind == kind::RST_STREAM {
            break frame;
        }
    };
    ensure!(frame.stream == stream);
    drop(connector);
    gone(&stage).await?;
    stage.end().await
}

/// An answer in frames of a byte, to a caller that reads none of it: what one
/// costs the server is many times its byte.
pub(crate) async fn small_frames_that_nobody_reads(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut connector = Connector::settled(&stage).await?;
    let mut caller = stage.chain.raw_caller_from(FROM, b"h2").await?;
    let asks = [
        PREFACE.to_vec(),
        settings(&[(setting::INITIAL_WINDOW_SIZE, 0)]),
        stage.request_over_http2(1),
    ];
    caller.send(asks.concat()).await?;
    let stream = connector.request().await?;
    let head = headers(stream, flag::NONE, &[(":status", "200")]);
    connector.writer.send(head).await?;
    let batch = data(stream, flag::NONE, b"x").repeat(1000);
    let count = amount(1000, 4000);
    let flooding = async {
        for sent in 0..count {
            if connector.writer.send(&batch).await.is_err() {
                println!("cut after {sent} thousand frames");
                return Ok(());
            }
        }
        // All of them were looked at.
        connector.writer.send(ping(flag::NONE, 7)).await?;
        while let Some(frame) = connector.reader.next().await {
            if frame.kind == kind::PING && frame.flags == flag::ACK {
                break;
            }
        }
        Ok(())
    };
    stage.meanwhile(flooding).await?;
    println!("{} KiB now", stage.chain.server.resident_memory()? / 1024);
    drop((caller, connector));
    gone(&stage).await?;
    stage.end().await
}

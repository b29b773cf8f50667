//! Header blocks that are too large, without an end, or larger than they look.

use std::sync::Arc;

use anyhow::{Context, Result};
use integration::endure::amount;
use integration::environment::Environment;
use integration::http2_frames::{
    NEWEST_FIELD, block, data, flag, frame, headers_in_pieces, kind, remembered_field,
};

use crate::connector::{Connector, gone, in_order, say, say_once};
use crate::stage::{EVILS_ANSWER, Stage};

const FRAME: usize = 16 * 1024;
const KIB: usize = 1024;

fn with_a_body(stream: u32, block: &[u8]) -> Vec<u8> {
    let head = headers_in_pieces(stream, flag::NONE, block, FRAME);
    [
        head,
        data(stream, flag::END_STREAM, EVILS_ANSWER.as_bytes()),
    ]
    .concat()
}

/// A block with one field of that size.
fn one_of(size: usize) -> Vec<u8> {
    block(&[(":status", "200"), ("x-large", &"x".repeat(size))])
}

/// A block with many fields that have that size together, as HTTP/2 counts.
fn many_of(size: usize) -> Vec<u8> {
    let one = block(&[("x", "y")]);
    [block(&[(":status", "200")]), one.repeat(size / (32 + 2))].concat()
}

pub(crate) async fn header_blocks_over_the_limit(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    for make in [one_of, many_of] {
        // What is within the link's limit passes.
        let largest = make(60 * KIB);
        let answer = say_once(&stage, |stream| with_a_body(stream, &largest)).await?;
        answer.must_be_evils_own()?;
        for size in [260, 512, 1024, 10 * 1024] {
            let block = make(size * KIB);
            let mut connector = Connector::settled(&stage).await?;
            let answer = say(&stage, &mut connector, |stream| with_a_body(stream, &block)).await;
            let refused = answer.and_then(|answer| answer.must_be_a_refusal());
            refused.with_context(|| format!("{size} KiB"))?;
            stage.others_are_served().await?;
            drop(connector);
            gone(&stage).await?;
        }
    }
    stage.end().await
}

pub(crate) async fn header_blocks_without_end(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let count = usize::try_from(amount(5_000, 100_000))?;
    // Empty ones, ones of a byte, whole ones; each flood is cut long before its end.
    for length in [0, 1, FRAME] {
        let mut connector = Connector::settled(&stage).await?;
        let flooding = async {
            let stream = connector.request().await?;
            let begun = frame(
                kind::HEADERS,
                flag::NONE,
                stream,
                &block(&[(":status", "200")]),
            );
            connector.writer.send(begun).await?;
            // In a field whose value has no end.
            let field = frame(
                kind::CONTINUATION,
                flag::NONE,
                stream,
                &[0, 1, b'x', 0x7f, 0xff, 0xff, 0x7f],
            );
            connector.writer.send(field).await?;
            let more = frame(kind::CONTINUATION, flag::NONE, stream, &vec![b'x'; length]);
            for sent in 0..count {
                if connector.writer.send(&more).await.is_err() {
                    println!("cut after {sent} of {length} bytes");
                    break;
                }
            }
            anyhow::Ok(())
        };
        let both = async { tokio::join!(stage.get(), flooding) };
        let (answer, flooded) = stage.meanwhile(async { Ok(both.await) }).await?;
        flooded?;
        answer?
            .must_be_a_refusal()
            .with_context(|| format!("{length} bytes"))?;
        connector
            .cut()
            .await
            .with_context(|| format!("{length} bytes"))?;
        gone(&stage).await?;
    }
    stage.end().await
}

/// A few KiB that decode to hundreds of MiB: a field that the table remembers,
/// and references to it.
pub(crate) async fn header_bombs(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let field = remembered_field("x-bomb", &"x".repeat(4000));
    for references in [16, 64, 1000, 60_000, 1_000_000] {
        let mut bomb = [block(&[(":status", "200")]), field.clone()].concat();
        bomb.extend(vec![NEWEST_FIELD; references]);
        let mut connector = Connector::settled(&stage).await?;
        let answer = say(&stage, &mut connector, |stream| with_a_body(stream, &bomb)).await?;
        answer
            .must_be_in_order()
            .with_context(|| format!("{references} references"))?;
        stage.others_are_served().await?;
        drop(connector);
        gone(&stage).await?;
    }
    // In trailers, too.
    let mut bomb = field;
    bomb.extend(vec![NEWEST_FIELD; 60_000]);
    let trailers = |stream| {
        let answer = in_order(stream);
        let without_end = &answer[..answer.len() - 9 - EVILS_ANSWER.len()];
        let body = data(stream, flag::NONE, EVILS_ANSWER.as_bytes());
        let trailers = headers_in_pieces(stream, flag::END_STREAM, &bomb, FRAME);
        [without_end, &body, &trailers].concat()
    };
    let answer = say_once(&stage, trailers).await?;
    answer.must_be_cut()?;
    stage.end().await
}

/// Provisional answers, each of a few KiB that decode to a header list of almost
/// the limit.
pub(crate) async fn hints_that_are_bombs(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut connector = Connector::settled(&stage).await?;
    let first = [block(&[(":status", "103")]), remembered_field("x", "y")].concat();
    let mut hint = block(&[(":status", "103")]);
    hint.extend(vec![NEWEST_FIELD; 7000]);
    let count = usize::try_from(amount(2_000, 50_000))?;
    let answer = say(&stage, &mut connector, |stream| {
        let hints =
            [first, hint].map(|block| frame(kind::HEADERS, flag::END_HEADERS, stream, &block));
        [hints[0].clone(), hints[1].repeat(count), in_order(stream)].concat()
    })
    .await?;
    println!(
        "{answer:?}; at most {} KiB",
        stage.chain.server.peak_memory()? / 1024
    );
    answer.must_be_in_order()?;
    drop(connector);
    gone(&stage).await?;
    stage.end().await
}

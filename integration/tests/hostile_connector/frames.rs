//! Frames that break HTTP/2's rules, and what is no HTTP/2 at all.

use std::sync::Arc;

use anyhow::{Context, Result};
use integration::environment::Environment;
use integration::http2_frames::{
    block, data, flag, frame, frame_head, go_away, headers, kind, reset, window_update,
};

use crate::connector::{Connector, gone, in_order, say_once};
use crate::stage::Stage;

type Case = (&'static str, fn(u32) -> Vec<u8>);

const ANSWER: &[(&str, &str)] = &[(":status", "200")];

/// Of a stream that the server never opens: it is far from there.
const NEVER_OPENED: u32 = 1_000_001;

fn broken() -> Vec<Case> {
    vec![
        ("DATA on no stream", |_| data(0, flag::NONE, b"x")),
        ("DATA before the head", |stream| {
            data(stream, flag::NONE, b"x")
        }),
        ("DATA on a stream never opened", |_| {
            data(NEVER_OPENED, flag::NONE, b"x")
        }),
        ("DATA on a stream of the connector's", |_| {
            data(2, flag::NONE, b"x")
        }),
        ("DATA with more padding than payload", |stream| {
            data(stream, flag::PADDED, &[200, 1, 2])
        }),
        ("DATA over the frame limit", |stream| {
            frame_head(0xff_ffff, kind::DATA, 0, stream)
        }),
        ("HEADERS on no stream", |_| headers(0, flag::NONE, ANSWER)),
        ("HEADERS on a stream of the connector's", |_| {
            headers(2, flag::NONE, ANSWER)
        }),
        ("HEADERS on a stream never opened", |_| {
            headers(NEVER_OPENED, flag::NONE, ANSWER)
        }),
        ("HEADERS with more padding than payload", |stream| {
            frame(
                kind::HEADERS,
                flag::END_HEADERS | flag::PADDED,
                stream,
                &[200, 0],
            )
        }),
        ("HEADERS too short for their priority", |stream| {
            frame(
                kind::HEADERS,
                flag::END_HEADERS | flag::PRIORITY,
                stream,
                &[0, 0],
            )
        }),
        ("HEADERS that depend on themselves", |stream| {
            let payload = [&stream.to_be_bytes()[..], &[16], &block(ANSWER)].concat();
            frame(
                kind::HEADERS,
                flag::END_HEADERS | flag::PRIORITY,
                stream,
                &payload,
            )
        }),
        ("HEADERS over the frame limit", |stream| {
            frame_head(0xff_ffff, kind::HEADERS, flag::END_HEADERS, stream)
        }),
        ("a block that no table has", |stream| {
            frame(
                kind::HEADERS,
                flag::END_HEADERS,
                stream,
                &[0xff, 0xff, 0xff, 0xff, 0x0f],
            )
        }),
        ("a block with an endless integer", |stream| {
            frame(kind::HEADERS, flag::END_HEADERS, stream, &[0xff; 64])
        }),
        ("a block with a string past its end", |stream| {
            frame(
                kind::HEADERS,
                flag::END_HEADERS,
                stream,
                &[0, 0x7f, 0xff, 0x7f, b'x'],
            )
        }),
        ("a block with a broken Huffman code", |stream| {
            frame(
                kind::HEADERS,
                flag::END_HEADERS,
                stream,
                &[0, 0x84, 0xff, 0xff, 0xff, 0xff],
            )
        }),
        ("a table of 4 GiB in a block", |stream| {
            frame(
                kind::HEADERS,
                flag::END_HEADERS,
                stream,
                &[0x3f, 0xe0, 0xff, 0xff, 0xff, 0x0f],
            )
        }),
        ("another frame within a block", |stream| {
            let begun = frame(kind::HEADERS, flag::NONE, stream, &block(ANSWER));
            [begun, data(stream, flag::NONE, b"x")].concat()
        }),
        ("CONTINUATION of nothing", |stream| {
            frame(
                kind::CONTINUATION,
                flag::END_HEADERS,
                stream,
                &block(ANSWER),
            )
        }),
        ("CONTINUATION of another stream", |stream| {
            let begun = frame(kind::HEADERS, flag::NONE, stream, &block(ANSWER));
            [
                begun,
                frame(kind::CONTINUATION, flag::END_HEADERS, stream + 2, &[]),
            ]
            .concat()
        }),
        ("PRIORITY of the wrong length", |stream| {
            frame(kind::PRIORITY, 0, stream, &[0; 4])
        }),
        ("RST_STREAM on no stream", |_| reset(0, 8)),
        ("RST_STREAM on a stream never opened", |_| {
            reset(NEVER_OPENED, 8)
        }),
        ("RST_STREAM of the wrong length", |stream| {
            frame(kind::RST_STREAM, 0, stream, &[0; 3])
        }),
        ("RST_STREAM with no such reason", |stream| {
            reset(stream, u32::MAX)
        }),
        ("RST_STREAM as if all were well", |stream| reset(stream, 0)),
        ("SETTINGS on a stream", |stream| {
            frame(kind::SETTINGS, 0, stream, &[])
        }),
        ("SETTINGS of the wrong length", |_| {
            frame(kind::SETTINGS, 0, 0, &[0; 5])
        }),
        ("SETTINGS taken over with words", |_| {
            frame(kind::SETTINGS, flag::ACK, 0, &[0; 6])
        }),
        ("PUSH_PROMISE", |stream| {
            let payload = [&2_u32.to_be_bytes()[..], &block(&[(":method", "GET")])].concat();
            frame(kind::PUSH_PROMISE, flag::END_HEADERS, stream, &payload)
        }),
        ("PUSH_PROMISE of nothing", |stream| {
            frame(kind::PUSH_PROMISE, 4, stream, &[0; 2])
        }),
        ("PING of the wrong length", |_| {
            frame(kind::PING, 0, 0, &[0; 7])
        }),
        ("PING on a stream", |stream| {
            frame(kind::PING, 0, stream, &[0; 8])
        }),
        ("WINDOW_UPDATE by nothing", |_| window_update(0, 0)),
        ("WINDOW_UPDATE of the wrong length", |_| {
            frame(kind::WINDOW_UPDATE, 0, 0, &[0; 3])
        }),
        ("WINDOW_UPDATE on a stream never opened", |_| {
            window_update(NEVER_OPENED, 1)
        }),
        ("GOAWAY on a stream", |stream| {
            frame(kind::GOAWAY, 0, stream, &[0; 8])
        }),
        ("GOAWAY of the wrong length", |_| {
            frame(kind::GOAWAY, 0, 0, &[0; 3])
        }),
        ("a frame over the limit that nobody knows", |_| {
            frame_head(0xff_ffff, 0xee, 0, 0)
        }),
        ("a frame that never ends", |stream| {
            frame_head(60_000, kind::DATA, 0, stream)
        }),
    ]
}

/// Once the answer has begun they break no rule, or nobody waits for their end.
const HARMLESS_LATER: &[&str] = &["DATA before the head", "a frame that never ends"];

async fn each_is_refused(stage: &Stage, cases: Vec<Case>) -> Result<()> {
    for (name, bytes) in cases {
        let answer = say_once(stage, bytes).await.context(name)?;
        answer.must_be_a_refusal().context(name)?;
        stage.others_are_served().await.context(name)?;
    }
    Ok(())
}

pub(crate) async fn broken_frames(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    each_is_refused(&stage, broken()).await?;
    for (name, bytes) in broken() {
        if HARMLESS_LATER.contains(&name) {
            continue;
        }
        let begun = |stream| [headers(stream, flag::NONE, ANSWER), bytes(stream)].concat();
        let answer = say_once(&stage, begun).await.context(name)?;
        answer.must_be_cut().context(name)?;
    }
    // What nobody knows is nobody's fault.
    let unknown = |stream| [frame(0xee, 0xff, stream, &[7; 600]), in_order(stream)].concat();
    say_once(&stage, unknown).await?.must_be_evils_own()?;
    stage.end().await
}

pub(crate) async fn goodbyes(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let cases: Vec<Case> = vec![
        ("before all streams", |_| go_away(0, 0, b"")),
        ("for a reason that is none", |_| go_away(0, u32::MAX, b"")),
        ("for calming down", |_| go_away(0, 11, b"too_many_pings")),
        ("with many words", |stream| {
            go_away(stream, 2, &[b'x'; 60_000])
        }),
        ("of a stream of its own", |_| go_away(2, 2, b"")),
        ("twice, the second time for more", |_| {
            [go_away(0, 0, b""), go_away(u32::MAX >> 1, 0, b"")].concat()
        }),
        ("a hundred times", |_| {
            go_away(u32::MAX >> 1, 0, b"").repeat(100)
        }),
    ];
    each_is_refused(&stage, cases).await?;
    // A goodbye after which the open streams are answered is a good one.
    let last = |stream| [go_away(stream, 0, b""), in_order(stream)].concat();
    say_once(&stage, last).await?.must_be_evils_own()?;
    stage.end().await
}

pub(crate) async fn what_is_no_http2(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let cases: Vec<Case> = vec![
        ("HTTP/1.1", |_| {
            b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".repeat(100)
        }),
        ("zeroes", |_| vec![0; 1 << 20]),
        ("ones", |_| vec![0xff; 1 << 20]),
        ("a client's preface", |_| {
            integration::http2_frames::PREFACE.to_vec()
        }),
    ];
    each_is_refused(&stage, cases).await?;
    // Gone in the middle of a frame.
    let mut connector = Connector::settled(&stage).await?;
    let going = async {
        let stream = connector.request().await?;
        connector.writer.send(&in_order(stream)[..12]).await?;
        drop(connector);
        anyhow::Ok(())
    };
    let (answer, gone_away) = tokio::join!(stage.get(), going);
    gone_away.and(answer)?.must_be_a_refusal()?;
    gone(&stage).await?;
    stage.end().await
}

//! SETTINGS and windows that are legal but absurd, and such that are not legal.

use std::sync::Arc;

use anyhow::{Context, Result};
use integration::environment::Environment;
use integration::http2_frames::{frame, kind, setting, settings, window_update};
use reqwest::Method;

use crate::connector::{Connector, gone, in_order, say, say_once};
use crate::stage::Stage;

const LARGEST_WINDOW: u32 = u32::MAX >> 1;
/// More than any small window lets pass at once.
const UPLOAD: usize = 1 << 20;

pub(crate) async fn absurd_settings(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let cases: &[(&str, &[(u16, u32)])] = &[
        ("no streams", &[(setting::MAX_CONCURRENT_STREAMS, 0)]),
        ("one stream", &[(setting::MAX_CONCURRENT_STREAMS, 1)]),
        (
            "all streams",
            &[(setting::MAX_CONCURRENT_STREAMS, u32::MAX)],
        ),
        ("no window", &[(setting::INITIAL_WINDOW_SIZE, 0)]),
        ("a window of one byte", &[(setting::INITIAL_WINDOW_SIZE, 1)]),
        (
            "the largest window",
            &[(setting::INITIAL_WINDOW_SIZE, LARGEST_WINDOW)],
        ),
        (
            "the largest frames",
            &[(setting::MAX_FRAME_SIZE, 0xff_ffff)],
        ),
        ("no table", &[(setting::HEADER_TABLE_SIZE, 0)]),
        (
            "a table of 4 GiB",
            &[(setting::HEADER_TABLE_SIZE, u32::MAX)],
        ),
        ("no headers", &[(setting::MAX_HEADER_LIST_SIZE, 0)]),
        (
            "settings that nobody knows",
            &[(0xeeee, 7), (0, u32::MAX), (0xffff, 0)],
        ),
    ];
    for (name, own) in cases {
        let mut connector = Connector::link(&stage, own).await?;
        stage.chain.links(2).await?;
        let answer = tokio::select! {
            answer = stage.call(Method::POST, vec![7; UPLOAD]) => answer,
            ended = connector.behave() => ended.and_then(|()| anyhow::bail!("ended")),
        };
        answer
            .and_then(|answer| answer.must_be_in_order())
            .context(*name)?;
        stage.others_are_served().await.context(*name)?;
        drop(connector);
        gone(&stage).await?;
    }
    stage.end().await
}

pub(crate) async fn settings_that_break_the_rules(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let cases: &[(&str, &[(u16, u32)])] = &[
        ("pushes", &[(setting::ENABLE_PUSH, 2)]),
        (
            "a window over the largest",
            &[(setting::INITIAL_WINDOW_SIZE, LARGEST_WINDOW + 1)],
        ),
        (
            "frames under the smallest",
            &[(setting::MAX_FRAME_SIZE, 16_383)],
        ),
        (
            "frames over the largest",
            &[(setting::MAX_FRAME_SIZE, 1 << 24)],
        ),
    ];
    for (name, own) in cases {
        let answer = say_once(&stage, |_| settings(own)).await.context(*name)?;
        answer.must_be_a_refusal().context(*name)?;
        stage.others_are_served().await.context(*name)?;
    }
    // A frame with ten thousand of them, again and again, the last one counting.
    let mut many: Vec<u8> = Vec::new();
    for window in (0..10_000_u32).chain([65_535]) {
        many.extend(setting::INITIAL_WINDOW_SIZE.to_be_bytes());
        many.extend(window.to_be_bytes());
    }
    let flood = |stream| {
        let many = frame(kind::SETTINGS, 0, 0, &many[..60_000]);
        [many.repeat(50), in_order(stream)].concat()
    };
    say_once(&stage, flood).await?.must_be_in_order()?;
    stage.end().await
}

pub(crate) async fn windows_that_overflow(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    for on_the_stream in [false, true] {
        let mut connector = Connector::settled(&stage).await?;
        let overflow =
            |stream| window_update(if on_the_stream { stream } else { 0 }, LARGEST_WINDOW);
        let answer = say(&stage, &mut connector, overflow).await?;
        answer.must_be_a_refusal()?;
        stage.others_are_served().await?;
        drop(connector);
        gone(&stage).await?;
    }
    // Streams whose windows grow past the largest by a later setting.
    let grown = |stream| {
        let largest = settings(&[(setting::INITIAL_WINDOW_SIZE, LARGEST_WINDOW)]);
        [window_update(stream, 1 << 20), largest].concat()
    };
    say_once(&stage, grown).await?.must_be_a_refusal()?;
    stage.end().await
}

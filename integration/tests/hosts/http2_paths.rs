//! Paths over HTTP/2 that no library would send.

use std::sync::Arc;

use anyhow::{Result, bail, ensure};
use bytes::BytesMut;
use integration::chain::SOON;
use integration::environment::Environment;
use integration::http2_connection::frames;
use integration::http2_frames::{PREFACE, flag, headers, kind, settings};
use tokio::time::timeout;

use crate::calls::connect;
use crate::stage::Stage;

/// HPACK's static table has `:status: 400` at 12.
const BAD_REQUEST: u8 = 0x80 | 12;

const PATHS: [&str; 12] = [
    "",
    "*",
    "a",
    "https://prod.culvert.test/a",
    "/a b",
    "/a\tb",
    "/a\r\nX: y",
    "/a\0b",
    "/a\u{7f}",
    "/\u{e4}",
    "//a",
    "/a/%2e%2e/b",
];

/// The library that reads a `:path` drops a fragment before anybody can see it: so
/// it counts for nothing, here as for the cluster.
const FRAGMENTS: [(&str, &str); 3] = [("/a#b", "/a"), ("/a?b#c", "/a?b"), ("/#/../b", "/")];

pub(crate) async fn paths_over_http2_that_are_none(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::start(&environment).await?;
    for path in PATHS {
        for prefix in ["", "/clusters/prod"] {
            let host = if prefix.is_empty() {
                stage.chain.host()
            } else {
                "culvert.test".into()
            };
            let path = format!("{prefix}{path}");
            // Without a slash it is another path, or another cluster.
            if !prefix.is_empty() && !path["/clusters/prod".len()..].starts_with('/') {
                continue;
            }
            tokio::select! {
                answer = timeout(SOON, answer(&stage, &host, &path)) => {
                    ensure!(answer??, "{path:?} was answered otherwise");
                }
                seen = stage.prod.request() => bail!("{path:?} came as {}", seen?.1),
            }
        }
    }
    for (path, expected) in FRAGMENTS {
        let host = stage.chain.host();
        let seen = tokio::select! {
            refused = answer(&stage, &host, path) => bail!("{path} refused: {}", refused?),
            seen = stage.prod.request() => seen?.1,
        };
        ensure!(
            seen.starts_with(&format!("GET {expected} HTTP/1.1\r\n")),
            "{seen}"
        );
    }
    stage.nothing_arrived().await?;
    stage.stop().await
}

/// Whether it is a 400, or reset, or the end of the connection.
async fn answer(stage: &Stage, host: &str, path: &str) -> Result<bool> {
    let stream = connect(&stage.chain, host, b"h2").await?;
    let (mut reader, mut writer) = frames(stream, BytesMut::new());
    let token = format!("Bearer {}", stage.chain.access_token.expose());
    let request = headers(
        1,
        flag::END_STREAM,
        &[
            (":method", "GET"),
            (":scheme", "https"),
            (":authority", host),
            (":path", path),
            ("authorization", &token),
        ],
    );
    writer
        .send([PREFACE, &settings(&[]), &request].concat())
        .await?;
    while let Some(frame) = reader.next().await {
        match frame.kind {
            kind::HEADERS => return Ok(frame.payload.first() == Some(&BAD_REQUEST)),
            kind::RST_STREAM | kind::GOAWAY => return Ok(true),
            _ => {}
        }
    }
    Ok(true)
}

//! HTTP/2 bodies that are not as their heads say.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use integration::http2_frames::{data, flag, headers};

use crate::http2_stream::Ends::{Reset, Status};
use crate::http2_stream::{GOOD, ends, opened};
use crate::stage::{Made, Stage};

pub(crate) async fn http2_bodies_that_lie(environment: Arc<Environment>) -> Result<()> {
    for stage in [
        Stage::without_sidecar(&environment).await?,
        Stage::with_sidecar(&environment).await?,
    ] {
        let hidden = stage.smuggled();
        let end = flag::END_STREAM;
        for (case, lines, body, expected) in [
            (
                "shorter than its length",
                &[("content-length", "300")][..],
                data(1, end, hidden.as_bytes()),
                Reset,
            ),
            (
                "longer than its length",
                &[("content-length", "3")],
                data(1, end, hidden.as_bytes()),
                Reset,
            ),
            (
                "longer than a length of 0",
                &[("content-length", "0")],
                data(1, end, hidden.as_bytes()),
                Reset,
            ),
            (
                "two lengths",
                &[("content-length", "1"), ("content-length", "2")],
                data(1, end, b"a"),
                Reset,
            ),
            (
                "the same length twice",
                &[("content-length", "1"), ("content-length", "1")],
                data(1, end, b"a"),
                Status(400),
            ),
            (
                "a trailer of a connection's",
                &[],
                [
                    data(1, 0, b"a"),
                    headers(1, end, &[("transfer-encoding", "chunked")]),
                ]
                .concat(),
                Reset,
            ),
            (
                "trailers that are no end",
                &[],
                [
                    data(1, 0, b"a"),
                    headers(1, 0, &[("x", "y")]),
                    data(1, end, b"b"),
                ]
                .concat(),
                Reset,
            ),
        ] {
            let ended = ends(&stage, &post(&stage, lines, &body))
                .await
                .context(case)?;
            ensure!(
                ended == expected,
                "{case}: {ended:?} instead of {expected:?}"
            );
            stage.nothing_else_came(&[]).await.context(case)?;
        }
        let length = hidden.len().to_string();
        for (case, lines, body) in [
            (
                "a length",
                &[("content-length", &*length)][..],
                data(1, end, hidden.as_bytes()),
            ),
            (
                "no length",
                &[],
                [
                    data(1, 0, &hidden.as_bytes()[..9]),
                    data(1, end, &hidden.as_bytes()[9..]),
                ]
                .concat(),
            ),
            // Malformed, and dropped unread.
            (
                "pseudo-headers in its trailers",
                &[],
                [
                    data(1, 0, hidden.as_bytes()),
                    headers(1, end, &[(":path", "/smuggled"), ("x", "y")]),
                ]
                .concat(),
            ),
        ] {
            let ended = ends(&stage, &post(&stage, lines, &body))
                .await
                .context(case)?;
            ensure!(ended == Status(200), "{case}: {ended:?}");
            stage
                .nothing_else_came(&[made("/x", &hidden)])
                .await
                .context(case)?;
        }
        stage.stop().await?;
    }
    Ok(())
}

fn made(path: &str, body: &str) -> Made {
    (path.to_owned(), body.as_bytes().to_vec())
}

fn post(stage: &Stage, lines: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let mut fields = GOOD.to_vec();
    fields[0].1 = "POST";
    fields.extend(lines);
    [&opened(stage, 0, &fields)[..], body].concat()
}

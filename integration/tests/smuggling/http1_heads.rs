//! Heads whose end, framing or lines could be read in two ways, each with a
//! request hidden behind it.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use integration::raw_http::Ended;

use crate::stage::{Stage, answers, is_bare_400};

/// `{A}` is the Authorization line, `{H}` the host. Behind each comes a body that
/// is a request, for whoever believes the other framing.
const HEADS: &[(&str, &str)] = &[
    (
        "a length, then chunked",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked, then a length",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked with a length of 0",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "one that is named by Connection",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nConnection: Content-Length\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "two lengths",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
    ),
    (
        "the same length twice",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n",
    ),
    (
        "a list of lengths",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nContent-Length: 0, 5\r\n\r\n",
    ),
    (
        "a length with a sign",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nContent-Length: +0\r\n\r\n",
    ),
    (
        "a negative length",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nContent-Length: -1\r\n\r\n",
    ),
    (
        "a length in hex",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nContent-Length: 0x5\r\n\r\n",
    ),
    (
        "an empty length",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nContent-Length: \r\n\r\n",
    ),
    (
        "a length that wraps to 0",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nContent-Length: 18446744073709551616\r\n\r\n",
    ),
    (
        "chunked twice",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked in a list",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nTransfer-Encoding: identity, chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked, then identity",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
    ),
    (
        "almost chunked",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked behind a vertical tab",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "chunked in HTTP/1.0",
        "POST /x HTTP/1.0\r\nHost: {H}\r\n{A}\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a folded line",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a folded value",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nTransfer-Encoding:\r\n\tchunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a folded first line",
        "POST /x HTTP/1.1\r\n Host: {H}\r\n{A}\r\n\r\n",
    ),
    (
        "space before the colon",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a tab before the colon",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nContent-Length\t: 5\r\n\r\n",
    ),
    (
        "a line without a colon",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nTransfer-Encoding\r\n\r\n",
    ),
    (
        "a name that is no token",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nTransfer Encoding: chunked\r\n\r\n",
    ),
    (
        "a bare line feed behind the first line",
        "POST /x HTTP/1.1\nHost: {H}\r\n{A}\r\n\r\n",
    ),
    (
        "a bare line feed behind a header",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nX: y\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
    (
        "a bare line feed at the end",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\n\n",
    ),
    (
        "two bare line feeds",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\n\n",
    ),
    (
        "a bare carriage return",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nX: y\rContent-Length: 5\r\n\r\n",
    ),
    (
        "carriage return, carriage return, line feed",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\r\n\r\n",
    ),
    (
        "a NUL in a value",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nX: y\0z\r\n\r\n",
    ),
    (
        "a NUL in a name",
        "POST /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nX\0: y\r\n\r\n",
    ),
    (
        "two hosts",
        "GET /x HTTP/1.1\r\nHost: {H}\r\nHost: other.culvert.test\r\n{A}\r\n\r\n",
    ),
    (
        "the same host twice",
        "GET /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nhost: {H}\r\n\r\n",
    ),
    (
        "a path with a control byte",
        "GET /x\x01 HTTP/1.1\r\nHost: {H}\r\n{A}\r\n\r\n",
    ),
    (
        "a path with a space",
        "GET /x HTTP/1.1 HTTP/1.1\r\nHost: {H}\r\n{A}\r\n\r\n",
    ),
    (
        "a path with a fragment",
        "GET /x#/../y HTTP/1.1\r\nHost: {H}\r\n{A}\r\n\r\n",
    ),
    (
        "a path that is not ASCII",
        "GET /\u{e4} HTTP/1.1\r\nHost: {H}\r\n{A}\r\n\r\n",
    ),
    ("no version", "GET /x\r\nHost: {H}\r\n{A}\r\n\r\n"),
    (
        "another version",
        "GET /x HTTP/1.2\r\nHost: {H}\r\n{A}\r\n\r\n",
    ),
    ("HTTP/2's preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    (
        "an upgrade with a length",
        "GET /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\n",
    ),
    (
        "an upgrade with chunks",
        "GET /x HTTP/1.1\r\nHost: {H}\r\n{A}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ),
];

pub(crate) async fn heads_that_read_in_two_ways(environment: Arc<Environment>) -> Result<()> {
    for stage in [
        Stage::without_sidecar(&environment).await?,
        Stage::with_sidecar(&environment).await?,
    ] {
        for (case, head) in HEADS {
            refused(&stage, head).await.context(*case)?;
        }
        stage.stop().await?;
    }
    Ok(())
}

async fn refused(stage: &Stage, head: &str) -> Result<()> {
    let head = head
        .replace("{H}", &stage.chain.host())
        .replace("{A}", &stage.authorization());
    // Alone, and behind a good request on the same connection.
    for before in [0, 1] {
        let good = stage.request("GET", "/good", "");
        let sent = [good.repeat(before), head.clone(), stage.smuggled()].concat();
        let mut caller = stage.chain.raw_caller().await?;
        caller.send(&sent).await?;
        let (answers, ended) = answers(&mut caller).await?;
        ensure!(ended == Ended::Closed, "{ended:?}");
        ensure!(answers.len() == before + 1, "{answers:?}");
        ensure!(
            answers[..before]
                .iter()
                .all(|answer| answer.body == b"/good")
        );
        is_bare_400(&answers[before])?;
        let made = vec![("/good".to_owned(), Vec::new()); before];
        stage.nothing_else_came(&made).await?;
    }
    Ok(())
}

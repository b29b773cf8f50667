//! Chunked bodies whose end somebody else would see elsewhere, and bodies that
//! look like requests and are none.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;

use crate::requests::chunked;
use crate::stage::{Stage, answers, is_status};

/// What stands behind the head of a chunked request.
const BODIES: &[(&str, &str)] = &[
    ("a bare line feed behind a size", "1\na\r\n0\r\n\r\n"),
    (
        "a bare line feed behind an extension",
        "1;x\na\r\n0\r\n\r\n",
    ),
    ("a bare line feed behind a chunk", "1\r\na\n0\r\n\r\n"),
    ("a bare line feed at the end", "1\r\na\r\n0\r\n\n"),
    ("a bare line feed behind a trailer", "0\r\nX: y\n\r\n"),
    ("a bare carriage return behind a size", "1\ra\r\n0\r\n\r\n"),
    ("a chunk that is longer", "1\r\nab\r\n0\r\n\r\n"),
    ("a size with a sign", "+1\r\na\r\n0\r\n\r\n"),
    ("a negative size", "-1\r\na\r\n0\r\n\r\n"),
    ("a size with 0x", "0x1\r\na\r\n0\r\n\r\n"),
    ("a size with an underscore", "1_0\r\na\r\n0\r\n\r\n"),
    ("space before a size", " 1\r\na\r\n0\r\n\r\n"),
    ("space behind a size", "1 \r\na\r\n0\r\n\r\n"),
    ("space before an extension", "1 ;x\r\na\r\n0\r\n\r\n"),
    ("a size that wraps to 0", "10000000000000000\r\n\r\n"),
    (
        "a size that wraps to 1",
        "10000000000000001\r\na\r\n0\r\n\r\n",
    ),
    (
        "a size that is negative in 64 bits",
        "fffffffffffffff6\r\na\r\n0\r\n\r\n",
    ),
    ("a size over all bounds", "20000000000001\r\na\r\n0\r\n\r\n"),
    (
        "a size of too many digits",
        "00000000000000001\r\na\r\n0\r\n\r\n",
    ),
    ("no size", "\r\na\r\n0\r\n\r\n"),
    ("an extension alone", ";x\r\na\r\n0\r\n\r\n"),
    (
        "an extension with a carriage return",
        "1;x\ry\r\na\r\n0\r\n\r\n",
    ),
    ("an extension with a NUL", "1;x\0\r\na\r\n0\r\n\r\n"),
    (
        "a trailer with a space before its colon",
        "0\r\nX : y\r\n\r\n",
    ),
    ("a folded trailer", "0\r\nX: y\r\n z\r\n\r\n"),
    ("a trailer that frames", "0\r\nContent-Length: 50\r\n\r\n"),
    (
        "a trailer that routes",
        "0\r\nHost: other.culvert.test\r\n\r\n",
    ),
];

pub(crate) async fn bodies_that_end_in_two_ways(environment: Arc<Environment>) -> Result<()> {
    for stage in [
        Stage::without_sidecar(&environment).await?,
        Stage::with_sidecar(&environment).await?,
    ] {
        let long = format!("1;{}\r\na\r\n0\r\n\r\n", "x".repeat(257));
        let cases = BODIES.iter().copied().chain([("a long extension", &*long)]);
        for (case, body) in cases {
            cut(&stage, body).await.context(case)?;
        }
        stage.stop().await?;
    }
    Ok(())
}

/// The caller gets no success, and the upstream never a whole request.
async fn cut(stage: &Stage, body: &str) -> Result<()> {
    let head = stage.request("POST", "/cut", "Transfer-Encoding: chunked\r\n");
    let good = stage.request("GET", "/good", "");
    let mut caller = stage.chain.raw_caller().await?;
    let sent = [good, head, body.to_owned(), stage.smuggled()].concat();
    caller.send(sent).await?;
    let (answers, _) = answers(&mut caller).await?;
    match &answers[..] {
        [good] => ensure!(good.status == 200, "{answers:?}"),
        [good, refusal] if good.status == 200 => is_status(refusal, 400)?,
        _ => anyhow::bail!("{answers:?}"),
    }
    stage
        .nothing_else_came(&[("/good".to_owned(), Vec::new())])
        .await
}

pub(crate) async fn bodies_that_hold_requests(environment: Arc<Environment>) -> Result<()> {
    for stage in [
        Stage::without_sidecar(&environment).await?,
        Stage::with_sidecar(&environment).await?,
    ] {
        let hidden = stage.smuggled().into_bytes();
        for (case, lines, sent) in [
            ("a length", length(&hidden), hidden.clone()),
            ("one chunk", CHUNKED.to_owned(), chunked(&[&hidden], "", "")),
            (
                "chunks, extensions and trailers",
                CHUNKED.to_owned(),
                chunked(
                    &[&hidden[..1], &hidden[1..30], &hidden[30..]],
                    ";a=\"b c\";d",
                    "X-Checksum: 1\r\n",
                ),
            ),
            (
                "a size with zeros before it",
                CHUNKED.to_owned(),
                [
                    format!("0000{:x}\r\n", hidden.len()).as_bytes(),
                    &hidden,
                    b"\r\n0\r\n\r\n",
                ]
                .concat(),
            ),
            (
                "in any case and space",
                "tRANSFER-eNCODING:\t CHUNKED\t \r\n".to_owned(),
                chunked(&[&hidden], "", ""),
            ),
            (
                "100-continue that nobody waits for",
                format!("Expect: 100-continue\r\n{}", length(&hidden)),
                hidden.clone(),
            ),
        ] {
            passed(&stage, &lines, &sent, &hidden).await.context(case)?;
        }
        stage.stop().await?;
    }
    Ok(())
}

const CHUNKED: &str = "Transfer-Encoding: chunked\r\n";

fn length(body: &[u8]) -> String {
    format!("Content-Length: {}\r\n", body.len())
}

/// Twice on one connection, with an empty line between them as old clients send
/// it; the body arrives as it is.
async fn passed(stage: &Stage, lines: &str, sent: &[u8], body: &[u8]) -> Result<()> {
    let one = [stage.request("POST", "/one", lines).as_bytes(), sent].concat();
    let two = stage.request("PUT", "/two", &format!("{lines}Connection: close\r\n"));
    let two = [two.as_bytes(), sent].concat();
    let mut caller = stage.chain.raw_caller().await?;
    caller.send([one, two].join(&b"\r\n"[..])).await?;
    let (answers, _) = answers(&mut caller).await?;
    let bodies: Vec<_> = answers.iter().map(|answer| &answer.body[..]).collect();
    ensure!(bodies == [b"/one", b"/two"], "{answers:?}");
    let made = ["/one", "/two"].map(|path| (path.to_owned(), body.to_vec()));
    stage.nothing_else_came(&made).await
}

//! What comes before and behind a message proper: 1xx answers, and trailers.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use integration::environment::Environment;
use integration::http1::{self, Headers, Request};

use crate::compare::Departure::Kept;
use crate::compare::{case, compare, get};
use crate::proxies::{Proxies, Side, whole};

const ASKS: &str =
    "GET /a HTTP/1.1\r\nHost: localhost\r\nTe: trailers\r\nConnection: close\r\n\r\n";
const ASKS_NOT: &str = "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
const BOTH: [Side; 2] = [Side::Kubectl, Side::Ours];

/// In lower case.
fn text(lines: &Headers) -> Vec<(String, String)> {
    let lower = |(name, value): &(String, Vec<u8>)| {
        let value = String::from_utf8_lossy(value).into_owned();
        (name.to_lowercase(), value)
    };
    lines.iter().map(lower).collect()
}

/// kubectl passes all on; here they have to be asked for and announced.
pub(crate) async fn trailers_of_answers(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    let sent = [
        ("x-a".to_owned(), "b".to_owned()),
        ("x-c".to_owned(), "d e".to_owned()),
    ];
    for (request, announced) in [
        (ASKS, "Trailer: X-A, X-C\r\n"),
        (ASKS, "Trailer: X-A\r\nTrailer: X-C\r\n"),
        (ASKS, ""),
        (ASKS_NOT, "Trailer: X-A, X-C\r\n"),
        (ASKS_NOT, ""),
    ] {
        let answer = format!(
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n{announced}Transfer-Encoding: chunked\r\n\r\n\
             2\r\nhi\r\n0\r\nX-A: b\r\nX-C: d e\r\n\r\n"
        );
        for side in BOTH {
            let exchange = proxies.answered(side, request.as_bytes(), &answer).await?;
            ensure!(exchange.answer.body == b"hi", "{side:?}");
            let passed = side == Side::Kubectl || request == ASKS && !announced.is_empty();
            let expected = if passed { &sent[..] } else { &[] };
            let trailers = text(&exchange.answer.trailers);
            ensure!(trailers == expected, "{side:?} {announced}: {trailers:?}");
        }
    }
    Ok(())
}

/// kubectl passes none on, not even those that it announces.
pub(crate) async fn trailers_of_requests(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    let mut cases = Vec::new();
    for announced in ["", "Trailer: X-A\r\n"] {
        let request = format!(
            "POST /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{announced}\
             Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-A: b\r\n\r\n"
        );
        for side in BOTH {
            let exchange = proxies.answered(side, request.as_bytes(), OK).await?;
            let asked = exchange.asked.context("nothing came")?;
            ensure!(asked.body == b"hi", "{side:?}");
            let passed = side == Side::Ours && !announced.is_empty();
            let expected = if passed { 1 } else { 0 };
            ensure!(asked.trailers.len() == expected, "{side:?} {announced}");
            let says = http1::values(&asked.headers, "trailer").count();
            ensure!(says == usize::from(!announced.is_empty()), "{side:?}");
        }
    }
    // Announced and not sent, and without a body.
    let chunked = case("POST", "/a").with("Transfer-Encoding: chunked");
    cases.push(chunked.with("Trailer: X-A").body("2\r\nhi\r\n0\r\n\r\n"));
    cases.push(get("/a").with("Trailer: X-A"));
    compare(&proxies, cases).await
}

/// 103 comes to kubectl's callers, and to ours not; after either the answer comes.
pub(crate) async fn informational_answers(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    for before in ["103 Early Hints", "102 Processing", "100 Continue"] {
        let answer = format!("HTTP/1.1 {before}\r\nLink: a\r\n\r\n{OK}");
        for side in BOTH {
            let raw = proxies.raw_answer(side, ASKS_NOT.as_bytes(), &answer);
            let (_, came, _) = raw.await?;
            let passed = came.starts_with(&format!("HTTP/1.1 {before}\r\nLink: a\r\n\r\n"));
            ensure!(passed == (side == Side::Kubectl), "{side:?}: {came}");
            let last = came.rsplit("HTTP/1.1 ").next().unwrap_or_default();
            ensure!(last.starts_with("200 OK\r\n"), "{side:?}: {came}");
            ensure!(came.ends_with("\r\n\r\nok"), "{side:?}: {came}");
        }
    }
    Ok(())
}

/// Each tells its caller to go on before the upstream has said so; kubectl asks the
/// upstream, too.
pub(crate) async fn bodies_that_wait_to_be_asked_for(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    for side in BOTH {
        let mut caller = proxies.caller(side).await?;
        let head = "PUT /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                    Expect: 100-Continue\r\nContent-Length: 2\r\n\r\n";
        caller.send(head).await?;
        let serving = async {
            let (mut upstream, head) = proxies.upstream.request().await?;
            let asked: Request = whole(&mut upstream, head).await?;
            upstream.send(OK).await?;
            anyhow::Ok(asked)
        };
        let calling = async {
            let told = caller.head().await?;
            ensure!(told == "HTTP/1.1 100 Continue\r\n\r\n", "{side:?}: {told}");
            caller.send("hi").await?;
            Ok(caller.rest().await?.0)
        };
        let (asked, answer) = tokio::try_join!(serving, calling)?;
        ensure!(asked.body == b"hi", "{side:?}");
        ensure!(answer.contains("HTTP/1.1 200 OK\r\n"), "{side:?}: {answer}");
    }
    let kept = Kept(&["expect"]);
    let expects = |method| case(method, "/a").with("Expect: 100-continue");
    let body = expects("POST").with("Content-Length: 2").body("hi");
    compare(
        &proxies,
        vec![expects("GET").departs(kept), body.departs(kept)],
    )
    .await
}

//! Large heads: what people in many groups send passes, more is refused to whom
//! it concerns.

use std::sync::Arc;

use anyhow::{Context, Result, ensure};
use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use http::{HeaderName, HeaderValue, Method};
use integration::chain::{ChainOptions, SOON};
use integration::endure::amount;
use integration::environment::Environment;
use integration::http_version::HttpVersion;
use integration::raw_http::{Ended, RawUpstream};
use integration::wait::until;
use reqwest::header::HeaderMap;
use reqwest::{Client, Response};
use tokio::time::timeout;
use tunnel_protocol::limits::LINK_HEADS;

use crate::caller::{Caller, text};
use crate::stage::{Between, Stage};

const KIB: usize = 1024;
/// Header lines and bytes of each that have to pass: one header of 60 KiB, many
/// that are as much as HTTP/2 counts (32 bytes more for each), and as many lines as
/// there may be, less those that every hop adds.
const PASS: [(usize, usize); 3] = [(1, 60 * KIB), (400, 108), (980, 10)];

fn headers(lines: usize, each: usize) -> Result<HeaderMap> {
    let value = HeaderValue::try_from("x".repeat(each))?;
    (0..lines)
        .map(|line| {
            Ok((
                HeaderName::try_from(format!("x-fill-{line}"))?,
                value.clone(),
            ))
        })
        .collect()
}

async fn send(caller: &Client, stage: &Stage, query: &str, headers: HeaderMap) -> Result<Response> {
    let url = format!("{}/heads?{query}", stage.chain.url_by_host());
    Ok(caller.get(url).headers(headers).send().await?)
}

/// In requests and in answers, with the sidecar and without.
pub(crate) async fn sixty_kibibytes_pass(environment: Arc<Environment>) -> Result<()> {
    for between in [Between::Nothing, Between::Sidecar] {
        let stage = Stage::set_behind(&environment, between).await?;
        for version in HttpVersion::BOTH {
            let caller = version.caller(&stage.chain)?;
            for (lines, each) in PASS {
                let what =
                    format!("{version:?}, {lines} lines of {each} bytes, {between:?} between");
                let answer = send(&caller, &stage, "", headers(lines, each)?).await;
                let answer = answer.with_context(|| what.clone())?;
                ensure!(answer.status() == 200, "{what}: {}", answer.status());
                let came = answer.text().await?;
                ensure!(
                    came == format!("{lines} {}", lines * each),
                    "{what}: {came} came"
                );
                let came = answered_lines(&stage, version, lines, each).await;
                let came = came.with_context(|| format!("an answer of {what}"))?;
                ensure!(came == lines, "an answer of {what}: {came}");
            }
        }
        stage.strike().await?;
    }
    Ok(())
}

/// How many come of an answer's header lines; what libraries take at most would be
/// too little.
async fn answered_lines(
    stage: &Stage,
    version: HttpVersion,
    lines: usize,
    each: usize,
) -> Result<usize> {
    let path = format!("/heads?lines={lines}&each={each}");
    if version == HttpVersion::Http2 {
        let answer = Caller::connect(&stage.chain).await?.get(&path).await?;
        let names = answer.headers().keys();
        return Ok(names
            .filter(|name| name.as_str().starts_with("x-fill"))
            .count());
    }
    let mut caller = stage.chain.raw_caller().await?;
    let head = stage.chain.raw_head(false, "GET", &path, "");
    caller.send(head).await?;
    let head = caller.head().await?;
    Ok(head
        .lines()
        .filter(|line| line.starts_with("x-fill"))
        .count())
}

/// Nobody else is harmed: neither another stream of the same caller, nor another
/// caller's, nor the link.
pub(crate) async fn seventy_kibibytes_are_refused(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    for version in HttpVersion::BOTH {
        for (lines, each) in [(1, 70 * KIB), (700, 100)] {
            let what = format!("{version:?}, {lines} lines of {each} bytes");
            let (caller, other) = (version.caller(&stage.chain)?, version.caller(&stage.chain)?);
            let url = format!("{}/watch", stage.chain.url_by_host());
            let mut own = version.get(&caller, &url).await?;
            let mut others = version.get(&other, &url).await?;
            for watch in [&mut own, &mut others] {
                ensure!(watch.chunk().await?.is_some(), "{what}: no watch");
            }
            let before = stage.stub.seen.all();
            let refused = send(&caller, &stage, "", headers(lines, each)?).await?;
            ensure!(refused.status() == 431, "{what}: {}", refused.status());
            ensure!(stage.stub.seen.all() == before, "{what}: it came through");
            ensure!(stage.stub.seen.open() >= 2, "{what}: a watch has ended");
            for one in [&caller, &other] {
                let answer = send(one, &stage, "", headers(1, KIB)?).await?;
                ensure!(
                    answer.status() == 200,
                    "{what}: afterwards {}",
                    answer.status()
                );
            }
            drop((own, others));
        }
    }
    stage.strike().await
}

/// A cluster whose answers have more is refused by the server, and its link stays.
pub(crate) async fn an_answer_of_too_much_is_a_bad_gateway(
    environment: Arc<Environment>,
) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    for version in HttpVersion::BOTH {
        let caller = version.caller(&stage.chain)?;
        let url = format!("{}/watch", stage.chain.url_by_host());
        let mut watch = version.get(&caller, &url).await?;
        ensure!(watch.chunk().await?.is_some());
        // More than a link takes in one head.
        let answer = send(&caller, &stage, "lines=900&each=400", HeaderMap::new()).await?;
        ensure!(answer.status() == 502, "{version:?}: {}", answer.status());
        ensure!(
            stage.stub.seen.open() == 1,
            "{version:?}: the watch has ended"
        );
        drop(watch);
    }
    stage.strike().await
}

/// A head that does not end, over HTTP/1.1: the bound is on bytes.
pub(crate) async fn a_head_without_end(environment: Arc<Environment>) -> Result<()> {
    let stage = Stage::set(&environment).await?;
    let mut caller = stage.chain.raw_caller().await?;
    caller.send("GET / HTTP/1.1\r\nX-Fill: ").await?;
    // Far more than the kernel takes.
    let piece = [b'x'; 64 * KIB];
    let mut sent = 0;
    while caller.send(piece).await.is_ok() && sent < 1024 {
        sent += 1;
    }
    let (answer, ended) = caller.rest().await?;
    ensure!(
        answer.starts_with("HTTP/1.1 431") || ended == Ended::Broken,
        "{answer}"
    );
    ensure!(sent < 1024, "all was taken");
    stage.strike().await
}

/// What HTTP/2 cannot carry: neither a value that is none, nor what belongs to one
/// hop, ends a link.
pub(crate) async fn what_http2_cannot_carry(environment: Arc<Environment>) -> Result<()> {
    let upstream = RawUpstream::bind().await?;
    let options = ChainOptions {
        upstream: Some(upstream.address),
        ..ChainOptions::bare()
    };
    let chain = environment.chain_with(options).await?;
    let hop_by_hop = "Connection: close, X-Own\r\nX-Own: 1\r\nKeep-Alive: timeout=5\r\n\
         Proxy-Connection: keep-alive\r\nTE: gzip\r\nUpgrade: h2c\r\n\
         HTTP2-Settings: AAMAAABkAAQAAP__\r\nProxy-Authenticate: Basic\r\n";
    for version in HttpVersion::BOTH {
        let caller = version.caller(&chain)?;
        for (lines, status) in [
            (hop_by_hop, 200),
            ("X-Value: a\x01b\r\n", 502),
            ("X-Value: a\x7fb\r\n", 502),
            ("X Name: a\r\n", 502),
            ("X-Latin: caf\u{e9}\r\n", 200),
        ] {
            let what = format!("{version:?}, {lines:?}");
            let answering = async {
                let (mut connection, _) = upstream.request().await?;
                let answer = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 2\r\n\r\nok");
                // It may be closed by then.
                drop(connection.send(answer).await);
                anyhow::Ok(())
            };
            let calling = async { anyhow::Ok(caller.get(chain.url_by_host()).send().await?) };
            let (answer, ()) = tokio::try_join!(calling, answering)?;
            ensure!(answer.status() == status, "{what}: {}", answer.status());
            if status == 502 {
                ensure!(
                    answer.headers()["culvert-error"] == "sidecar-broken",
                    "{what}"
                );
                let cause = answer.text().await?;
                ensure!(cause.contains("invalid HTTP header"), "{what}: {cause}");
            } else {
                ensure!(
                    !answer.headers().contains_key("x-own"),
                    "{what}: not removed"
                );
                ensure!(answer.text().await? == "ok", "{what}");
            }
        }
    }
    let links = chain
        .client
        .metric("tunnel_client_attempts_total{outcome=\"linked\"}");
    ensure!(links.await? == Some(1.0), "the link was lost");
    chain.stop().await
}

/// The heads of requests that wait for an answer, and of answers, have room for so
/// much on one link.
pub(crate) async fn heads_have_a_bound(environment: Arc<Environment>) -> Result<()> {
    const HEAD: usize = 60 * KIB;
    let stage = Stage::set(&environment).await?;
    let room = LINK_HEADS / HEAD;
    let large = HeaderValue::try_from("x".repeat(HEAD))?;
    let mut paths = vec!["/silence"];
    if amount(0, 1) > 0 {
        // Four hops of HPACK in debug builds.
        paths.push("/head-and-watch?lines=1&each=61440");
    }
    for path in paths {
        let mut callers = Vec::new();
        let mut open = Vec::new();
        while open.len() < room + 10 {
            if open.len() % 200 == 0 {
                callers.push(Caller::connect(&stage.chain).await?);
            }
            let caller = callers.last_mut().context("no caller")?;
            let mut request = caller.request(Method::GET, path);
            if path == "/silence" {
                request = request.header("x-large", &large);
            }
            let (answer, _) = caller.send(request.body(())?, true).await?;
            open.push(Box::pin(answer));
        }
        // The first that is refused; the others wait, or are watches.
        let mut answers: FuturesUnordered<_> = open.into_iter().collect();
        let mut watches = Vec::new();
        let refused = loop {
            let answer = timeout(5 * SOON, answers.next())
                .await
                .context("none is refused")?;
            let answer = answer.context("none is refused")??;
            match answer.status().as_u16() {
                200 => watches.push(answer),
                _ => break answer,
            }
        };
        let (status, code) = match path {
            "/silence" => (503, "link-full"),
            _ => (502, "bad-answer"),
        };
        let told = (
            refused.status().as_u16(),
            refused.headers().get("culvert-error").cloned(),
        );
        let cause = text(refused.into_body()).await?;
        let is_so = told.0 == status && told.1.is_some_and(|said| said == code);
        ensure!(is_so, "{path}: {} {cause}", told.0);
        // Those that have room are not touched.
        until("as many as have room", SOON, || async {
            Ok((stage.stub.seen.open() + 1 >= room).then_some(()))
        })
        .await?;
        drop((answers, watches, callers));
        until("the end of all", SOON, || async {
            Ok((stage.stub.seen.open() == 0).then_some(()))
        })
        .await?;
        Caller::connect(&stage.chain).await?.is_served().await?;
    }
    stage.strike().await
}

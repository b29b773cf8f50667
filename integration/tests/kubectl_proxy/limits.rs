//! Requests that are large, slow, or come in pieces: what is answered, and what the
//! process holds for them.

use std::sync::Arc;

use anyhow::{Context, Result, bail, ensure};
use integration::chain::SOON;
use integration::endure::amount;
use integration::environment::Environment;
use integration::raw_http::{Connection, RawUpstream};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::proxies::{Proxies, Side};

const BOTH: [Side; 2] = [Side::Kubectl, Side::Ours];
const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET /a HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";

/// What an upstream that takes all is sent of a head, bytes.
async fn take_head(upstream: &RawUpstream) -> Result<usize> {
    let (stream, _) = timeout(SOON, upstream.accept()).await??;
    let mut stream: TcpStream = stream;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let read = timeout(SOON, stream.read_buf(&mut head)).await??;
        ensure!(read > 0, "ended in a head, after {} bytes", head.len());
    }
    stream.write_all(OK.as_bytes()).await?;
    Ok(head.len())
}

/// The status that is answered, and the size of what the upstream was asked.
async fn answered(
    proxies: &Proxies,
    side: Side,
    request: &[u8],
) -> Result<(String, Option<usize>)> {
    let mut caller = proxies.caller(side).await?.into_inner();
    let asking = async {
        // It may be refused and closed before all of it is sent.
        drop(caller.write_all(request).await);
        let mut answer = [0; 12];
        timeout(SOON, caller.read_exact(&mut answer)).await??;
        anyhow::Ok(String::from_utf8_lossy(&answer[9..]).into_owned())
    };
    let mut taken = None;
    let status = {
        let taking = async {
            take_head(&proxies.upstream)
                .await
                .map(|size| taken = Some(size))
        };
        let mut taking = std::pin::pin!(taking);
        let mut asking = std::pin::pin!(asking);
        tokio::select! {
            status = &mut asking => status?,
            took = &mut taking => {
                took?;
                asking.await?
            }
        }
    };
    Ok((status, taken))
}

fn with_lines(count: usize) -> Vec<u8> {
    let lines = (0..count).map(|number| format!("X-{number}: a\r\n"));
    format!(
        "GET /a HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
        lines.collect::<String>()
    )
    .into_bytes()
}

fn with_block(size: usize) -> Vec<u8> {
    let start = "GET /a HTTP/1.1\r\nHost: localhost\r\nX-A: ";
    let fill = "a".repeat(size - start.len() - 4);
    format!("{start}{fill}\r\n\r\n").into_bytes()
}

fn with_target(size: usize) -> Vec<u8> {
    format!(
        "GET /{} HTTP/1.1\r\nHost: localhost\r\n\r\n",
        "a".repeat(size - 1)
    )
    .into_bytes()
}

/// Each with what kubectl and ours answer.
pub(crate) async fn large_heads(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    let before = proxies.ours().resident_memory()?;
    for (what, request, there, here) in [
        ("300 KiB", with_block(300 * KIB), "200", "200"),
        ("a mebibyte", with_block(MIB), "200", "200"),
        ("and 8 KiB", with_block(MIB + 8 * KIB), "431", "431"),
        ("900 lines", with_lines(900), "200", "200"),
        // hyper has a place for each that may come, made anew for every head: with
        // 10,000 a request takes 0.8 ms more.
        ("2,000 lines", with_lines(2_000), "200", "431"),
        ("100,000 lines", with_lines(100_000), "431", "431"),
        ("a target of 60 KiB", with_target(60 * KIB), "200", "200"),
        // The longest that hyper's type for targets holds is 65,534.
        ("a target of 100 KiB", with_target(100 * KIB), "200", "414"),
    ] {
        for (side, expected) in BOTH.into_iter().zip([there, here]) {
            let (status, asked) = answered(&proxies, side, &request).await.context(what)?;
            ensure!(status == expected, "{side:?}: {what}: {status}");
            ensure!(
                asked.is_some() == (status == "200"),
                "{side:?}: {what}: {asked:?}"
            );
            let size = asked.unwrap_or(request.len());
            ensure!(
                size.abs_diff(request.len()) < 300,
                "{side:?}: {what}: {size}"
            );
        }
    }
    must_not_grow(&proxies, before, 24 * MIB)
}

/// Lines without end, a first line without end, trailers and a chunk's extension
/// without end: each is refused or cut after some two mebibytes at most.
pub(crate) async fn endless_heads(_: Arc<Environment>) -> Result<()> {
    const AT_ONCE: usize = 5;
    let proxies = Proxies::start(&[]).await?;
    let before = proxies.ours().resident_memory()?;
    let chunked = "POST /a HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (start, piece) in [
        (
            "GET /a HTTP/1.1\r\nHost: localhost\r\n".to_owned(),
            "X-Again: and again\r\n",
        ),
        (
            "GET /a HTTP/1.1\r\nHost: localhost\r\nX-Long: ".to_owned(),
            "and longer ",
        ),
        ("GET /".to_owned(), "and-longer"),
        ("GET /".to_owned(), "<#\"`>"),
        (String::new(), "AND-LONGER"),
        (format!("{chunked}1;"), "and-longer"),
        (format!("{chunked}0\r\n"), "X-Again: and again\r\n"),
    ] {
        let endless: Vec<_> = (0..AT_ONCE)
            .map(|_| endless(&proxies, &start, piece))
            .collect();
        for sent in futures_util::future::join_all(endless).await {
            let sent = sent.with_context(|| format!("{start:?} {piece:?}"))?;
            ensure!(sent < 16 * MIB, "{start:?} {piece:?}: {sent}");
        }
        answers_others(&proxies).await?;
    }
    must_not_grow(&proxies, before, 32 * MIB)
}

/// How much was taken before the connection ended; what the kernel holds is in it.
async fn endless(proxies: &Proxies, start: &str, piece: &str) -> Result<usize> {
    let stream = proxies.caller(Side::Ours).await?.into_inner();
    let (mut reading, mut writing) = stream.into_split();
    let block = piece.repeat(16 * KIB / piece.len());
    let writes = async {
        let mut sent = 0;
        if writing.write_all(start.as_bytes()).await.is_err() {
            return sent;
        }
        while sent < 64 * MIB && writing.write_all(block.as_bytes()).await.is_ok() {
            sent += block.len();
        }
        sent
    };
    let reads = async {
        let mut answer = Vec::new();
        // A reset takes the answer back.
        drop(reading.read_to_end(&mut answer).await);
        answer
    };
    let (sent, answer) = timeout(SOON, async { tokio::join!(writes, reads) }).await?;
    let answer = String::from_utf8_lossy(&answer);
    ensure!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
        "{answer}"
    );
    Ok(sent)
}

/// Many connections whose first line never comes whole take from nobody.
pub(crate) async fn slow_first_lines(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    let before = proxies.ours().resident_memory()?;
    let count = usize::try_from(amount(400, 5_000))?;
    let mut slow = Vec::with_capacity(count);
    for number in 0..count {
        let mut caller = proxies.caller(Side::Ours).await?;
        let start = [
            "G",
            "GET /a",
            "GET /a HTTP/1.1\r\nHost: localhost\r\nX-A",
            "",
        ];
        caller.send(start[number % start.len()]).await?;
        slow.push(caller);
    }
    answers_others(&proxies).await?;
    // 32 KiB each: hyper's first buffer is 8.
    must_not_grow(&proxies, before, count * 32 * KIB + 8 * MIB)?;
    // And those that come to an end at last are answered.
    let mut last = slow.pop().context("none")?;
    last.send(GET).await?;
    serve_one(&proxies.upstream).await?;
    let (answer, _) = last.rest().await?;
    ensure!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    Ok(())
}

/// The first line of a request, byte by byte, its headers, its chunks.
pub(crate) async fn single_bytes(_: Arc<Environment>) -> Result<()> {
    let proxies = Proxies::start(&[]).await?;
    let request = "POST /a<b?c=d HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nX-A: b\r\n\
                   Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n";
    let mut both = Vec::new();
    for side in BOTH {
        let mut stream = proxies.caller(side).await?.into_inner();
        stream.set_nodelay(true)?;
        let sending = async {
            for byte in request.as_bytes() {
                stream.write_all(&[*byte]).await?;
                // So that others run, and it is read before the next.
                tokio::task::yield_now().await;
            }
            let (answer, ended) = Connection::new(stream).rest().await?;
            anyhow::Ok((answer, ended))
        };
        let serving = async {
            let (mut upstream, head) = proxies.upstream.request().await?;
            let asked = crate::proxies::whole(&mut upstream, head).await?;
            upstream.send(OK).await?;
            anyhow::Ok(asked)
        };
        let ((answer, ended), asked) = tokio::try_join!(sending, serving)?;
        ensure!(
            answer.starts_with("HTTP/1.1 200 OK\r\n"),
            "{side:?}: {answer}"
        );
        both.push((asked.target, asked.body, ended));
    }
    ensure!(both[0] == both[1], "{both:?}");
    Ok(())
}

/// Many requests at once on one connection are answered in their order; nobody reads
/// the answers before all are sent.
pub(crate) async fn pipelined(_: Arc<Environment>) -> Result<()> {
    const COUNT: usize = 200;
    let proxies = Proxies::start(&[]).await?;
    let before = proxies.ours().resident_memory()?;
    for side in BOTH {
        let requests: String = (0..COUNT)
            .map(|number| format!("GET /{number} HTTP/1.1\r\nHost: localhost\r\n\r\n"))
            .collect();
        let mut caller = proxies.caller(side).await?;
        caller.send(requests).await?;
        for number in 0..COUNT {
            let target = serve_one(&proxies.upstream).await?;
            ensure!(target == format!("/{number}"), "{side:?}: {target}");
        }
        for number in 0..COUNT {
            let head = caller.head().await?;
            ensure!(
                head.starts_with("HTTP/1.1 200 "),
                "{side:?} {number}: {head}"
            );
            ensure!(caller.exactly(2).await? == "ok");
        }
    }
    must_not_grow(&proxies, before, 16 * MIB)
}

/// Answers the next request; gives its target.
async fn serve_one(upstream: &RawUpstream) -> Result<String> {
    let (mut connection, head) = upstream.request().await?;
    connection
        .send(OK.replace("Content-Length", "Connection: close\r\nContent-Length"))
        .await?;
    let target = head.split(' ').nth(1).context("no target")?;
    Ok(target.to_owned())
}

/// What the upstream is not asked for.
async fn answers_others(proxies: &Proxies) -> Result<()> {
    let mut caller = proxies.caller(Side::Ours).await?;
    caller.send(GET.replace("/a", "//a")).await?;
    let (answer, _) = caller.rest().await?;
    ensure!(answer.starts_with("HTTP/1.1 307 "), "{answer}");
    Ok(())
}

fn must_not_grow(proxies: &Proxies, before: u64, most: usize) -> Result<()> {
    let peak = proxies.ours().peak_memory()?;
    let grown = peak.saturating_sub(before);
    println!("from {} KiB to {} KiB at most", before / 1024, peak / 1024);
    if grown > u64::try_from(most)? {
        bail!("{grown} bytes more than before");
    }
    Ok(())
}

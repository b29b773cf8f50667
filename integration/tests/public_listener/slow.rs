//! Strangers who take their time.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use integration::chain::Chain;
use integration::environment::Environment;
use integration::raw_http::{Caller, Connection};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tunnel_protocol::limits::HANDSHAKE_TIMEOUT;

use crate::bystander::Bystander;

const FROM: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// At once from one address, below its limit.
const SLOW_ONES: usize = 50;
/// The time between two bytes of one that crawls.
const STEP: Duration = Duration::from_millis(500);
/// The deadlines are 10, 15 and 30 s; five times the longest.
const AT_LAST: Duration = Duration::from_secs(150);

/// A TLS record's header that promises a hello, and then a byte at a time.
pub(crate) async fn a_hello_that_crawls(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let bystander = Bystander::arrives(&chain).await?;
    let started = Instant::now();
    let crawl = |_| async {
        let mut stream = chain.tcp_from(FROM).await?;
        stream
            .write_all(&[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3])
            .await?;
        let (mut reader, mut writer) = stream.split();
        crawls(&mut reader, &mut writer).await
    };
    let crowd = try_join_all((0..SLOW_ONES).map(crawl));
    bystander.meanwhile(&chain, crowd).await?;
    println!(
        "closed after {:?}, of {HANDSHAKE_TIMEOUT:?}",
        started.elapsed()
    );
    bystander.leaves(&chain).await?;
    chain.stop().await
}

/// Writes a byte at a time until the other side closes.
async fn crawls<R, W>(reader: &mut R, writer: &mut W) -> Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    use tokio::io::AsyncReadExt;
    let mut received = [0; 1024];
    let ends = async {
        while reader
            .read(&mut received)
            .await
            .is_ok_and(|count| count > 0)
        {}
    };
    let writes = async {
        let mut steps = tokio::time::interval(STEP);
        loop {
            steps.tick().await;
            if writer.write_all(b"x").await.is_err() || writer.flush().await.is_err() {
                return;
            }
        }
    };
    tokio::time::timeout(AT_LAST, async {
        tokio::select! {
            () = ends => {}
            () = writes => {}
        }
    })
    .await?;
    Ok(())
}

pub(crate) async fn a_first_line_that_crawls(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let bystander = Bystander::arrives(&chain).await?;
    let started = Instant::now();
    let crawl = |_| async {
        let caller = chain.raw_caller_from(FROM, b"http/1.1").await?;
        let (mut reader, mut writer) = tokio::io::split(caller.into_inner());
        writer.write_all(b"GET /").await?;
        crawls(&mut reader, &mut writer).await
    };
    let crowd = try_join_all((0..SLOW_ONES).map(crawl));
    bystander.meanwhile(&chain, crowd).await?;
    println!("closed after {:?}", started.elapsed());
    ensure!(started.elapsed() < AT_LAST);
    bystander.leaves(&chain).await?;
    chain.stop().await
}

pub(crate) async fn a_preface_that_never_comes(environment: Arc<Environment>) -> Result<()> {
    let chain = environment.chain().await?;
    let bystander = Bystander::arrives(&chain).await?;
    let started = Instant::now();
    let wait = |bytes: &'static [u8]| {
        let chain = &chain;
        async move {
            let mut caller = chain.raw_caller_from(FROM, b"h2").await?;
            caller.send(bytes).await?;
            caller.rest_within(AT_LAST).await
        }
    };
    let all = try_join_all([
        wait(b""),
        wait(b"PRI * HTTP/2.0\r\n"),
        // The preface and its settings, and then no request.
        wait(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
    ]);
    bystander.meanwhile(&chain, all).await?;
    println!("closed after {:?}", started.elapsed());
    bystander.leaves(&chain).await?;
    chain.stop().await
}

/// Header lines until the server has enough: 431, and the connection ends.
pub(crate) async fn headers_without_end(environment: Arc<Environment>) -> Result<()> {
    // More than both ends' socket buffers hold, whoever is slow to read or to end.
    const LIMIT: usize = 64 * 1024 * 1024;
    let chain = environment.chain().await?;
    let bystander = Bystander::arrives(&chain).await?;
    let before = chain.server.resident_memory()?;
    let pour = |_| async {
        let caller = chain.raw_caller_from(FROM, b"http/1.1").await?;
        pours_headers(&chain, caller, LIMIT).await
    };
    let crowd = try_join_all((0..SLOW_ONES).map(pour));
    for answer in bystander.meanwhile(&chain, crowd).await? {
        ensure!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
            "{answer}"
        );
    }
    let grown = chain.server.resident_memory()?.saturating_sub(before);
    println!("the server grew by {} KiB", grown / 1024);
    // 64 KiB of head each, and what TLS and hyper hold.
    ensure!(grown < 32 * 1024 * 1024);
    bystander.leaves(&chain).await?;
    chain.stop().await
}

/// Gives what was answered; a reset while we write may take the answer with it.
async fn pours_headers(chain: &Chain, caller: Caller, limit: usize) -> Result<String> {
    let (reader, mut writer) = tokio::io::split(caller.into_inner());
    let pouring = async {
        let head = format!("GET / HTTP/1.1\r\nHost: {}\r\n", chain.host());
        let mut sent = writer.write_all(head.as_bytes()).await;
        let line = format!("x: {}\r\n", "y".repeat(1000));
        let mut poured = 0;
        while sent.is_ok() && poured < limit {
            sent = writer.write_all(line.as_bytes()).await;
            poured += line.len();
        }
        ensure!(sent.is_err(), "{poured} bytes of headers were taken");
        Ok(())
    };
    let mut answers = Connection::new(tokio::io::join(reader, tokio::io::sink()));
    let (poured, answer) = tokio::join!(pouring, answers.rest_within(AT_LAST));
    poured?;
    Ok(answer?.0)
}

//! Callers over HTTP/1.1 in a closed loop, as [`crate::load`]'s, without a client
//! library: they read no more of an answer than its status and its length.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use httparse::{EMPTY_HEADER, Response, Status};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::load::Run;
use crate::origin::{BULK, SMALL, WATCH};

/// Of a caller: holds a small answer whole.
const BUFFER: usize = 16 * 1024;
/// Of one that downloads.
const BULK_BUFFER: usize = 256 * 1024;
const HEADER_LINES: usize = 64;

/// Callers that are connected and have each had one answer.
pub struct Callers {
    callers: Vec<Caller>,
}

struct Caller {
    stream: TcpStream,
    request: Vec<u8>,
    buffer: Vec<u8>,
}

/// An answer's head.
struct Head {
    /// Bytes that it takes.
    length: usize,
    /// Of its body, where that is known.
    body: Option<u64>,
}

impl Callers {
    /// For small answers.
    pub async fn connect(address: SocketAddr, count: usize) -> Result<Self> {
        let mut callers = Vec::new();
        for _ in 0..count {
            let mut caller = Caller::connect(address, SMALL, BUFFER).await?;
            caller.get().await?;
            callers.push(caller);
        }
        Ok(Self { callers })
    }

    /// One, for a download.
    pub async fn for_bulk(address: SocketAddr) -> Result<Self> {
        let mut caller = Caller::connect(address, SMALL, BULK_BUFFER).await?;
        caller.get().await?;
        caller.request = request(address, BULK);
        Ok(Self {
            callers: vec![caller],
        })
    }

    /// Calls for a time.
    pub async fn run(self, time: Duration) -> Result<Run> {
        let started = Instant::now();
        let mut running = JoinSet::new();
        for mut caller in self.callers {
            running.spawn(async move {
                let (mut bytes, mut latencies) = (0, Vec::new());
                let mut sent = started;
                while sent.duration_since(started) < time {
                    bytes += caller.get().await?;
                    let now = Instant::now();
                    latencies.push(now.duration_since(sent));
                    sent = now;
                }
                anyhow::Ok((bytes, latencies))
            });
        }
        let mut run = Run {
            elapsed: Duration::ZERO,
            bytes: 0,
            latencies: Vec::new(),
        };
        while let Some(ended) = running.join_next().await {
            let (bytes, latencies) = ended??;
            run.bytes += bytes;
            run.latencies.extend(latencies);
        }
        run.elapsed = started.elapsed();
        run.latencies.sort();
        Ok(run)
    }
}

/// A watch that has sent its first event. It ends when this is dropped.
pub async fn watch(address: SocketAddr) -> Result<TcpStream> {
    let mut caller = Caller::connect(address, WATCH, BUFFER).await?;
    caller.stream.write_all(&caller.request).await?;
    let (head, mut filled) = caller.head().await?;
    ensure!(head.body.is_none(), "a watch has no length");
    while filled == head.length {
        filled += caller.more(filled).await?;
    }
    Ok(caller.stream)
}

fn request(address: SocketAddr, path: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {address}\r\nUser-Agent: bench\r\n\
         Accept: application/json, */*\r\n\r\n"
    )
    .into_bytes()
}

impl Caller {
    async fn connect(address: SocketAddr, path: &str, buffer: usize) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            request: request(address, path),
            buffer: vec![0; buffer],
        })
    }

    /// A whole exchange; gives the body's length.
    async fn get(&mut self) -> Result<u64> {
        self.stream.write_all(&self.request).await?;
        let (head, filled) = self.head().await?;
        let length = head.body.context("an answer without a length")?;
        let mut got = (filled - head.length) as u64;
        while got < length {
            got += self.more(0).await? as u64;
        }
        ensure!(got == length, "more than an answer");
        Ok(length)
    }

    /// The answer's head, and how much of the buffer is filled.
    async fn head(&mut self) -> Result<(Head, usize)> {
        let mut filled = 0;
        loop {
            filled += self.more(filled).await?;
            if let Some(head) = head(&self.buffer[..filled])? {
                return Ok((head, filled));
            }
        }
    }

    async fn more(&mut self, from: usize) -> Result<usize> {
        match self.stream.read(&mut self.buffer[from..]).await? {
            0 => bail!("the answer was cut"),
            read => Ok(read),
        }
    }
}

fn head(bytes: &[u8]) -> Result<Option<Head>> {
    let mut headers = [EMPTY_HEADER; HEADER_LINES];
    let mut response = Response::new(&mut headers);
    let Status::Complete(length) = response.parse(bytes)? else {
        return Ok(None);
    };
    ensure!(response.code == Some(200), "answered {:?}", response.code);
    let mut lines = response.headers.iter();
    let line = lines.find(|line| line.name.eq_ignore_ascii_case("content-length"));
    let body = line.and_then(|line| std::str::from_utf8(line.value).ok()?.parse().ok());
    Ok(Some(Head { length, body }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lean::origin::Origin;
    use crate::origin::{BULK_BYTES, SMALL_BYTES};

    #[tokio::test]
    async fn answers_are_read_whole() {
        let origin = Origin::start().await.unwrap();
        let callers = Callers::connect(origin.address, 3).await.unwrap();
        let run = callers.run(Duration::from_millis(1)).await.unwrap();
        assert!(run.latencies.len() >= 3);
        assert_eq!(run.bytes, (run.latencies.len() * SMALL_BYTES) as u64);
        let callers = Callers::for_bulk(origin.address).await.unwrap();
        let run = callers.run(Duration::from_nanos(1)).await.unwrap();
        assert_eq!((run.bytes, run.latencies.len()), (BULK_BYTES, 1));
    }
}

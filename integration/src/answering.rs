//! An upstream in the sidecar's place that answers every request at once, or as soon
//! as its body has come.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::raw_http::{Accepted, RawUpstream};

/// Longer than any test lasts.
const OPEN: Duration = Duration::from_secs(3600);
/// The body of an answer.
pub const ANSWER: &str = "ok";
/// The beginning of a stream.
const FIRST: &str = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
/// A piece of a large answer, and how many there are.
pub const PIECE: usize = 64 << 10;
const PIECES: usize = 128;
/// Bytes of what `/large` answers.
pub const LARGE: usize = PIECE * PIECES;

/// Runs until it is dropped.
pub struct Answering {
    pub address: SocketAddr,
    _serving: JoinSet<()>,
}

impl Answering {
    pub async fn start() -> Result<Self> {
        Ok(Self::serve(RawUpstream::bind().await?))
    }

    /// Where `listener` listens.
    pub fn start_on(listener: TcpListener) -> Result<Self> {
        Ok(Self::serve(RawUpstream::of(listener)?))
    }

    fn serve(upstream: RawUpstream) -> Self {
        let address = upstream.address;
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut open = JoinSet::new();
            // An error is a caller's that said nothing.
            loop {
                if let Ok((connection, head)) = upstream.request().await {
                    open.spawn(answer(connection, head));
                }
                while open.try_join_next().is_some() {}
            }
        });
        Self {
            address,
            _serving: serving,
        }
    }
}

async fn answer(mut connection: Accepted, head: String) {
    if head.starts_with("GET /cut ") {
        // Gone in the midst of an answer of unknown length.
        drop(connection.send(FIRST).await);
        return;
    }
    let sent = if head.contains("watch=true") {
        // Stays open until its caller goes.
        connection.send(FIRST).await
    } else if head.starts_with("GET /large ") {
        large(&mut connection, PIECES).await
    } else if let Some(pieces) = asked_for(&head) {
        large(&mut connection, pieces).await
    } else if let Some(protocol) = value(&head, "upgrade") {
        echo(&mut connection, &head, protocol).await
    } else if head.starts_with("GET /head") {
        let length = head.len();
        let answer =
            format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
        connection.send(answer + &head).await
    } else if head.starts_with("POST ") {
        count(&mut connection, &head).await
    } else {
        connection
            .send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{ANSWER}",
                ANSWER.len()
            ))
            .await
    };
    if sent.is_ok() {
        drop(connection.rest_within(OPEN).await);
    }
}

/// Says how long a body was, once all of it has come.
async fn count(connection: &mut Accepted, head: &str) -> Result<()> {
    let length = value(head, "content-length").context("a body of no known length")?;
    let length: usize = length.parse()?;
    let mut come = 0;
    while come < length {
        come += connection.some().await?.len();
    }
    let text = come.to_string();
    let head = format!("Content-Length: {}\r\nConnection: close", text.len());
    connection
        .send(format!("HTTP/1.1 200 OK\r\n{head}\r\n\r\n{text}"))
        .await
}

async fn large(connection: &mut Accepted, pieces: usize) -> Result<()> {
    let length = pieces * PIECE;
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n");
    connection.send(head).await?;
    for _ in 0..pieces {
        connection.send([b'x'; PIECE]).await?;
    }
    Ok(())
}

/// How many pieces `GET /pieces/<count>` asks for.
fn asked_for(head: &str) -> Option<usize> {
    let (count, _) = head.strip_prefix("GET /pieces/")?.split_once(' ')?;
    count.parse().ok()
}

/// A header's value, by name in any case.
fn value<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().find_map(|line| {
        let (one, value) = line.split_once(':')?;
        one.eq_ignore_ascii_case(name).then_some(value.trim())
    })
}

/// Switches to whatever protocol was asked for, and sends back what comes.
async fn echo(connection: &mut Accepted, head: &str, protocol: &str) -> Result<()> {
    let accept = value(head, "sec-websocket-key").map(|key| {
        let accept = derive_accept_key(key.as_bytes());
        format!("Sec-WebSocket-Accept: {accept}\r\n")
    });
    let accept = accept.unwrap_or_default();
    let switching = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n{accept}\r\n"
    );
    connection.send(switching).await?;
    loop {
        let come = connection.some_within(OPEN).await?;
        connection.send(come).await?;
    }
}

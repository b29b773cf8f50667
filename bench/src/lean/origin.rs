//! An HTTP/1.1 origin whose answers are made beforehand.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use futures_util::{SinkExt, StreamExt};
use httparse::{EMPTY_HEADER, Request, Status};
use service_kit::tasks::Spawner;
use service_kit::websocket::{Role, derive_accept_key};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;

use super::event::{EVENT_BYTES, INTERVAL, event};
use crate::lane::Lane;
use crate::origin::{BULK, BULK_BYTES, HEADERS, SMALL_BYTES, WATCH};

/// Takes a body of any length, then answers as [`SMALL`](crate::origin::SMALL) is.
pub const UPLOAD: &str = "/api/v1/namespaces/default/upload";
/// A watch that says something every [`INTERVAL`].
pub const EVENTS: &str = "/api/v1/pods?watch=true";
/// Before the milliseconds between two of its events, where it is to be another time.
const EVERY_MS: &str = "&every_ms=";
/// A WebSocket that sends back what it is sent.
pub const ECHO: &str = "/api/v1/namespaces/default/echo";

/// Of a request's head.
const HEAD: usize = 16 * 1024;
const HEADER_LINES: usize = 64;
const CHUNK: usize = 256 * 1024;
static DATA: [u8; CHUNK] = [b'x'; CHUNK];

/// A running origin. Every path but those above, [`BULK`] and [`WATCH`] is answered with
/// a small object.
#[derive(Debug)]
pub struct Origin {
    pub address: SocketAddr,
    pub lane: Lane,
}

impl Origin {
    pub async fn start() -> Result<Self> {
        let (lane, address) = Lane::start("lean-origin", |spawner| async move {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let address = listener.local_addr()?;
            spawner.clone().spawn(accept(listener, spawner));
            Ok(address)
        })
        .await?;
        Ok(Self { address, lane })
    }
}

struct Answers {
    small: Vec<u8>,
    watch_head: Vec<u8>,
}

async fn accept(listener: TcpListener, connections: Spawner) {
    let mut small = head("200 OK", &format!("content-length: {SMALL_BYTES}"));
    small.extend(&DATA[..SMALL_BYTES]);
    let answers = Arc::new(Answers {
        small,
        watch_head: head("200 OK", "transfer-encoding: chunked"),
    });
    while let Ok((stream, _)) = listener.accept().await {
        let answers = answers.clone();
        connections.spawn(async move {
            // A caller that goes away is a measurement's end.
            drop(serve(stream, &answers).await);
        });
    }
}

fn head(status: &str, framing: &str) -> Vec<u8> {
    let mut head = format!(
        "HTTP/1.1 {status}\r\ncontent-type: application/json\r\n{framing}\r\n\
         date: Thu, 01 Jan 2026 00:00:00 GMT\r\n"
    );
    for (name, value) in HEADERS {
        // Into a string: this cannot fail.
        let _ = write!(head, "{name}: {value}\r\n");
    }
    head.push_str("\r\n");
    head.into_bytes()
}

async fn serve(mut stream: TcpStream, answers: &Answers) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; HEAD];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).await?;
        if read == 0 {
            return Ok(());
        }
        filled += read;
        while let Some((length, asks)) = request(&buffer[..filled])? {
            buffer.copy_within(length..filled, 0);
            filled -= length;
            match asks {
                Asks::Small => stream.write_all(&answers.small).await?,
                Asks::Bulk(length) => {
                    let framing = format!("content-length: {length}");
                    stream.write_all(&head("200 OK", &framing)).await?;
                    give(&mut stream, length).await?;
                }
                Asks::Upload(length) => {
                    let here = length.min(filled as u64) as usize;
                    buffer.copy_within(here..filled, 0);
                    filled -= here;
                    take(&mut stream, length - here as u64).await?;
                    stream.write_all(&answers.small).await?;
                }
                Asks::Watch => {
                    stream.write_all(&answers.watch_head).await?;
                    stream.write_all(&chunk()).await?;
                    return until_closed(&mut stream).await;
                }
                Asks::Events(every) => {
                    stream.write_all(&answers.watch_head).await?;
                    return send_events(&mut stream, every).await;
                }
                Asks::Echo(key) => return echo(stream, &key).await,
            }
        }
    }
}

async fn give(stream: &mut TcpStream, mut length: u64) -> io::Result<()> {
    while length > 0 {
        let piece = CHUNK.min(usize::try_from(length).unwrap_or(CHUNK));
        stream.write_all(&DATA[..piece]).await?;
        length -= piece as u64;
    }
    Ok(())
}

/// Reads and drops so many bytes.
async fn take(stream: &mut TcpStream, mut length: u64) -> io::Result<()> {
    let mut buffer = vec![0; CHUNK];
    while length > 0 {
        let most = buffer.len().min(usize::try_from(length).unwrap_or(CHUNK));
        match stream.read(&mut buffer[..most]).await? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            read => length -= read as u64,
        }
    }
    Ok(())
}

async fn until_closed(stream: &mut TcpStream) -> io::Result<()> {
    let mut byte = [0];
    while stream.read(&mut byte).await? > 0 {}
    Ok(())
}

/// One event, as a chunk.
fn chunk() -> Vec<u8> {
    let mut chunk = format!("{EVENT_BYTES:x}\r\n").into_bytes();
    chunk.extend(event());
    chunk.extend(b"\r\n");
    chunk
}

/// The first at once.
async fn send_events(stream: &mut TcpStream, every: Duration) -> io::Result<()> {
    let mut ticks = tokio::time::interval(every);
    let (mut reader, mut writer) = stream.split();
    let mut byte = [0];
    loop {
        tokio::select! {
            _ = ticks.tick() => writer.write_all(&chunk()).await?,
            read = reader.read(&mut byte) => if read? == 0 { return Ok(()) },
        }
    }
}

async fn echo(mut stream: TcpStream, key: &str) -> io::Result<()> {
    let accept = derive_accept_key(key.as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await?;
    let mut socket = WebSocketStream::from_raw_socket(stream, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if message.is_close() || socket.send(message).await.is_err() {
            break;
        }
    }
    Ok(())
}

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
enum Asks {
    Small,
    /// So many bytes.
    Bulk(u64),
    /// With a body of so many bytes.
    Upload(u64),
    Watch,
    /// One as often as this.
    Events(Duration),
    /// With this WebSocket key.
    Echo(String),
}

/// The length of a whole request's head, and what it asks for.
fn request(bytes: &[u8]) -> io::Result<Option<(usize, Asks)>> {
    let mut headers = [EMPTY_HEADER; HEADER_LINES];
    let mut request = Request::new(&mut headers);
    let Status::Complete(length) = request.parse(bytes).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let header = |name: &str| {
        let line = request
            .headers
            .iter()
            .find(|line| line.name.eq_ignore_ascii_case(name));
        line.and_then(|line| std::str::from_utf8(line.value).ok())
    };
    let asks = match (request.method, request.path) {
        (Some("GET"), Some(path)) if path.starts_with(BULK) => Asks::Bulk(bulk_length(path)),
        (Some("GET"), Some(WATCH)) => Asks::Watch,
        (Some("GET"), Some(path)) if path.starts_with(EVENTS) => Asks::Events(every(path)),
        (Some("GET"), Some(ECHO)) => match header("sec-websocket-key") {
            Some(key) => Asks::Echo(key.to_owned()),
            None => return Err(io::ErrorKind::InvalidInput.into()),
        },
        (Some("GET"), _) => Asks::Small,
        (Some("PUT"), Some(UPLOAD)) => match header("content-length").map(str::parse) {
            Some(Ok(length)) => Asks::Upload(length),
            // Hops that make chunks of a body are not what uploads are measured with.
            _ => return Err(io::ErrorKind::InvalidInput.into()),
        },
        _ => return Err(io::ErrorKind::Unsupported.into()),
    };
    Ok(Some((length, asks)))
}

/// The path of a download of so many bytes.
pub fn bulk(bytes: u64) -> String {
    format!("{BULK}?{BYTES}{bytes}")
}

/// The path of a watch with an event each time that so many milliseconds have passed.
pub fn events_every(milliseconds: u64) -> String {
    format!("{EVENTS}{EVERY_MS}{milliseconds}")
}

fn every(path: &str) -> Duration {
    let every = path.split_once(EVERY_MS);
    every
        .and_then(|(_, milliseconds)| milliseconds.parse().ok())
        .map_or(INTERVAL, Duration::from_millis)
}

const BYTES: &str = "bytes=";

fn bulk_length(path: &str) -> u64 {
    let bytes = path
        .split_once('?')
        .and_then(|(_, query)| query.strip_prefix(BYTES));
    bytes
        .and_then(|bytes| bytes.parse().ok())
        .unwrap_or(BULK_BYTES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_requests_are_for() {
        let asks = |line: &str, header: &str| {
            let bytes = format!("{line} HTTP/1.1\r\nHost: x\r\n{header}\r\n");
            request(bytes.as_bytes()).map(|asks| asks.unwrap().1)
        };
        for (path, every) in [
            (EVENTS.to_owned(), INTERVAL),
            (events_every(7), Duration::from_millis(7)),
        ] {
            let asked = asks(&format!("GET {path}"), "").unwrap();
            assert_eq!(asked, Asks::Events(every));
        }
        assert_eq!(asks("GET /", "").unwrap(), Asks::Small);
        let whole = asks(&format!("GET {BULK}"), "").unwrap();
        assert_eq!(whole, Asks::Bulk(BULK_BYTES));
        let some = asks(&format!("GET {}", bulk(5)), "").unwrap();
        assert_eq!(some, Asks::Bulk(5));
        let upload = format!("PUT {UPLOAD}");
        let length = "Content-Length: 7\r\n";
        assert_eq!(asks(&upload, length).unwrap(), Asks::Upload(7));
        assert!(asks(&upload, "").is_err());
        assert!(asks("POST /", length).is_err());
        assert_eq!(request(b"GET / HTTP/1.1\r\n").unwrap(), None);
    }
}

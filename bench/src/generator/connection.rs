//! One connection of a caller, over HTTP/1.1. It reads no more of an answer than its
//! status and how its body is framed.

use std::pin::Pin;

use anyhow::{Context, Result, bail, ensure};
use httparse::{EMPTY_HEADER, Response, Status};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;

use super::body::Body;
use super::entry::{Entry, Reach};

/// Holds a small answer whole.
const BUFFER: usize = 16 * 1024;
/// Of one that downloads.
const BULK_BUFFER: usize = 256 * 1024;
const HEADER_LINES: usize = 64;

/// Bytes both ways.
pub trait Duplex: AsyncRead + AsyncWrite + Send {}

impl<T: AsyncRead + AsyncWrite + Send> Duplex for T {}

/// An open connection.
pub struct Connection {
    stream: Pin<Box<dyn Duplex>>,
    buffer: Vec<u8>,
    /// The part of the buffer that was read and not yet looked at.
    from: usize,
    to: usize,
}

/// An answer's head.
#[derive(Clone, Debug)]
pub struct Head {
    pub status: u16,
    pub body: Body,
}

impl Connection {
    /// For small answers.
    pub async fn open(entry: &Entry) -> Result<Self> {
        Self::with_buffer(entry, BUFFER).await
    }

    /// With the head of an answer whose body goes on, and may never end.
    pub async fn streaming(entry: &Entry, path: &str) -> Result<(Self, Head)> {
        let mut connection = Self::open(entry).await?;
        connection.send(&entry.get(path)).await?;
        let head = connection.head().await?;
        ensure!(head.status == 200, "answered {}", head.status);
        Ok((connection, head))
    }

    /// For downloads.
    pub async fn for_bulk(entry: &Entry) -> Result<Self> {
        Self::with_buffer(entry, BULK_BUFFER).await
    }

    async fn with_buffer(entry: &Entry, buffer: usize) -> Result<Self> {
        let stream: Pin<Box<dyn Duplex>> = match &entry.reach {
            Reach::Tcp(address) => {
                let stream = TcpStream::connect(address).await?;
                stream.set_nodelay(true)?;
                Box::pin(stream)
            }
            Reach::Unix(path) => Box::pin(UnixStream::connect(path).await?),
        };
        let mut connection = Self {
            stream,
            buffer: vec![0; buffer],
            from: 0,
            to: 0,
        };
        if let Some(target) = &entry.connect {
            connection.connect(target).await?;
        }
        if let Some(tls) = &entry.tls {
            let connector = TlsConnector::from(tls.config.clone());
            let stream = connector
                .connect(tls.name.clone(), connection.stream)
                .await?;
            connection.stream = Box::pin(stream);
        }
        Ok(connection)
    }

    async fn connect(&mut self, target: &str) -> Result<()> {
        let request = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
        self.send(request.as_bytes()).await?;
        let head = self.head().await?;
        ensure!(head.status == 200, "CONNECT was answered {}", head.status);
        Ok(())
    }

    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// A whole exchange that must succeed; gives the body's length.
    pub async fn exchange(&mut self, request: &[u8]) -> Result<u64> {
        self.send(request).await?;
        self.answer(|_| {}).await
    }

    /// The rest of an exchange: an answer that must be a success, read to its end.
    pub async fn answer(&mut self, mut data: impl FnMut(&[u8])) -> Result<u64> {
        let mut head = self.head().await?;
        ensure!(head.status == 200, "answered {}", head.status);
        let mut length = 0;
        loop {
            self.piece(&mut head.body, |piece| {
                length += piece.len() as u64;
                data(piece);
            })?;
            if head.body.has_ended() {
                return Ok(length);
            }
            if !self.more().await? {
                ensure!(head.body == Body::ToEnd, "the answer was cut");
                return Ok(length);
            }
        }
    }

    /// What has been read of a body so far.
    fn piece(&mut self, body: &mut Body, data: impl FnMut(&[u8])) -> Result<()> {
        self.from += body.read(&self.buffer[self.from..self.to], data)?;
        Ok(())
    }

    /// The next bytes of a body that goes on; false where it has ended.
    pub async fn next(&mut self, body: &mut Body, mut data: impl FnMut(&[u8])) -> Result<bool> {
        if self.from == self.to && !self.more().await? {
            return Ok(false);
        }
        self.piece(body, &mut data)?;
        Ok(!body.has_ended())
    }

    /// An answer's head.
    pub async fn head(&mut self) -> Result<Head> {
        loop {
            if let Some((head, length)) = head(&self.buffer[self.from..self.to])? {
                self.from += length;
                return Ok(head);
            }
            if !self.more().await? {
                bail!("the connection ended before an answer");
            }
        }
    }

    /// Reads more behind what is there; false at the end.
    async fn more(&mut self) -> Result<bool> {
        if self.from == self.to {
            (self.from, self.to) = (0, 0);
        } else if self.to == self.buffer.len() {
            ensure!(self.from > 0, "an answer's head is too long");
            self.buffer.copy_within(self.from..self.to, 0);
            (self.from, self.to) = (0, self.to - self.from);
        }
        let read = self.stream.read(&mut self.buffer[self.to..]).await?;
        self.to += read;
        Ok(read > 0)
    }

    /// The bytes behind a switch of protocols. Nothing may have come yet.
    pub fn into_stream(self) -> Result<Pin<Box<dyn Duplex>>> {
        ensure!(self.from == self.to, "bytes behind the answer");
        Ok(self.stream)
    }
}

fn head(bytes: &[u8]) -> Result<Option<(Head, usize)>> {
    if bytes.is_empty() {
        return Ok(None);
    }
    let mut headers = [EMPTY_HEADER; HEADER_LINES];
    let mut response = Response::new(&mut headers);
    let Status::Complete(length) = response.parse(bytes)? else {
        return Ok(None);
    };
    let status = response.code.context("no status")?;
    let header = |name: &str| {
        let line = response
            .headers
            .iter()
            .find(|line| line.name.eq_ignore_ascii_case(name));
        line.and_then(|line| std::str::from_utf8(line.value).ok())
    };
    let body = match (
        status,
        header("transfer-encoding"),
        header("content-length"),
    ) {
        (101 | 204 | 304, ..) => Body::Length(0),
        (_, Some(coding), _) if coding.trim().eq_ignore_ascii_case("chunked") => Body::chunked(),
        (_, _, Some(length)) => Body::Length(length.trim().parse()?),
        _ => Body::ToEnd,
    };
    Ok(Some((Head { status, body }, length)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lean::origin::Origin;
    use crate::origin::{SMALL, SMALL_BYTES};

    #[tokio::test]
    async fn exchanges_follow_each_other() {
        let origin = Origin::start().await.unwrap();
        let entry = Entry::plain(origin.address);
        let mut connection = Connection::open(&entry).await.unwrap();
        let request = entry.get(SMALL);
        for _ in 0..3 {
            let length = connection.exchange(&request).await.unwrap();
            assert_eq!(length, SMALL_BYTES as u64);
        }
    }

    #[test]
    fn how_answers_are_framed() {
        let body = |head: &[u8]| head_of(head).body;
        assert_eq!(
            body(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"),
            Body::Length(7)
        );
        let chunked = b"HTTP/1.1 200 OK\r\ntransfer-encoding: Chunked\r\n\r\n";
        assert_eq!(body(chunked), Body::chunked());
        assert_eq!(body(b"HTTP/1.0 200 OK\r\n\r\n"), Body::ToEnd);
        assert_eq!(
            body(b"HTTP/1.1 101 X\r\nUpgrade: websocket\r\n\r\n"),
            Body::Length(0)
        );
    }

    fn head_of(bytes: &[u8]) -> Head {
        let (head, length) = head(bytes).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        head
    }
}

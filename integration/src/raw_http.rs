//! HTTP/1.1 byte by byte, for what no HTTP library would do: an upstream that
//! cuts its answer, a caller that sends early.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::BytesMut;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::certificate_trust::client_config;
use crate::chain::{Chain, SOON};

/// How a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// A clean end; on TLS with its close_notify.
    Closed,
    /// A reset, or TLS that was cut.
    Broken,
}

/// One connection. Every read has a deadline.
#[derive(Debug)]
pub struct Connection<S> {
    stream: S,
    buffer: BytesMut,
}

/// The caller's side, as it reaches the server.
pub type Caller = Connection<TlsStream<TcpStream>>;
/// The upstream's side, as it is reached.
pub type Accepted = Connection<TcpStream>;

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    pub fn new(stream: S) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// The connection itself, and what was read ahead of need.
    pub fn into_parts(self) -> (S, BytesMut) {
        (self.stream, self.buffer)
    }

    /// The connection itself. What was read ahead of need is lost.
    pub fn into_inner(self) -> S {
        self.stream
    }

    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        self.stream.write_all(bytes.as_ref()).await?;
        Ok(self.stream.flush().await?)
    }

    /// Half-close: no more bytes from here.
    pub async fn finish(&mut self) -> Result<()> {
        Ok(self.stream.shutdown().await?)
    }

    /// A message's head, with its final empty line.
    pub async fn head(&mut self) -> Result<String> {
        self.through("\r\n\r\n").await
    }

    /// Everything up to and with `mark`.
    pub async fn through(&mut self, mark: &str) -> Result<String> {
        loop {
            let found = self
                .buffer
                .windows(mark.len())
                .position(|window| window == mark.as_bytes());
            if let Some(at) = found {
                let bytes = self.buffer.split_to(at + mark.len());
                return Ok(String::from_utf8_lossy(&bytes).into_owned());
            }
            if let Some(ended) = self.more().await? {
                bail!("{ended:?} before {mark:?}, after {:?}", self.buffer);
            }
        }
    }

    /// Exactly so many bytes.
    pub async fn exactly(&mut self, count: usize) -> Result<String> {
        while self.buffer.len() < count {
            if let Some(ended) = self.more().await? {
                bail!("{ended:?} before {count} bytes, after {:?}", self.buffer);
            }
        }
        let bytes = self.buffer.split_to(count);
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// As [`Self::exactly`]; an end before them is no error.
    pub async fn exactly_or_end(&mut self, count: usize) -> Result<Result<String, Ended>> {
        while self.buffer.len() < count {
            if let Some(ended) = self.more().await? {
                return Ok(Err(ended));
            }
        }
        Ok(Ok(self.exactly(count).await?))
    }

    /// What has come, which is at least something.
    pub async fn some(&mut self) -> Result<BytesMut> {
        self.some_within(SOON).await
    }

    /// As [`Self::some`], with another deadline.
    pub async fn some_within(&mut self, within: Duration) -> Result<BytesMut> {
        while self.buffer.is_empty() {
            if let Some(ended) = self.more_within(within).await? {
                bail!("{ended:?}");
            }
        }
        Ok(self.buffer.split())
    }

    /// All that still comes, and how it ended.
    pub async fn rest(&mut self) -> Result<(String, Ended)> {
        self.rest_within(SOON).await
    }

    /// As [`Self::rest`], with another deadline for each read.
    pub async fn rest_within(&mut self, within: Duration) -> Result<(String, Ended)> {
        loop {
            if let Some(ended) = self.more_within(within).await? {
                let bytes = self.buffer.split();
                return Ok((String::from_utf8_lossy(&bytes).into_owned(), ended));
            }
        }
    }

    /// Reads on; tells if there is nothing more.
    async fn more(&mut self) -> Result<Option<Ended>> {
        self.more_within(SOON).await
    }

    async fn more_within(&mut self, within: Duration) -> Result<Option<Ended>> {
        let read = timeout(within, self.stream.read_buf(&mut self.buffer))
            .await
            .with_context(|| format!("nothing more came after {:?}", self.buffer))?;
        Ok(match read {
            Ok(0) => Some(Ended::Closed),
            Ok(_) => None,
            Err(_) => Some(Ended::Broken),
        })
    }
}

impl Accepted {
    /// What has come by now, without waiting.
    pub fn arrived(&mut self) -> Result<String> {
        match self.stream.try_read_buf(&mut self.buffer) {
            Err(error) if error.kind() != std::io::ErrorKind::WouldBlock => Err(error.into()),
            _ => Ok(String::from_utf8_lossy(&self.buffer).into_owned()),
        }
    }

    /// Ends it with a reset instead of an end.
    pub fn reset(self) -> Result<()> {
        Ok(self.stream.set_zero_linger()?)
    }
}

/// Listens in an HTTP server's place.
#[derive(Debug)]
pub struct RawUpstream {
    listener: TcpListener,
    pub address: SocketAddr,
}

impl RawUpstream {
    pub async fn bind() -> Result<Self> {
        Self::of(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?)
    }

    /// One whose kernel takes next to nothing that is not read.
    pub async fn bind_with_little_room() -> Result<Self> {
        let socket = TcpSocket::new_v4()?;
        socket.set_recv_buffer_size(4096)?;
        socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
        Self::of(socket.listen(16)?)
    }

    /// Where `listener` listens.
    pub fn of(listener: TcpListener) -> Result<Self> {
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// The next connection, whatever it says.
    pub async fn accept(&self) -> std::io::Result<(TcpStream, SocketAddr)> {
        self.listener.accept().await
    }

    /// The next connection that says something, and the head of its request.
    pub async fn request(&self) -> Result<(Accepted, String)> {
        loop {
            let (stream, _) = timeout(SOON, self.listener.accept())
                .await
                .context("nobody called the upstream")??;
            stream.set_nodelay(true)?;
            let mut connection = Connection::new(stream);
            if connection.more().await?.is_some() {
                continue;
            }
            let head = connection.head().await?;
            if head.starts_with("OPTIONS * ") {
                // tunnel-client looks whether its upstream is there; or it looked,
                // and waits for the answer no more.
                let answer = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                drop(connection.send(answer).await);
                continue;
            }
            if head
                .to_ascii_lowercase()
                .contains("user-agent: tunnel-client/")
            {
                // It looks what is behind its sidecar, as it starts.
                let answer =
                    "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
                drop(connection.send(answer).await);
                continue;
            }
            return Ok((connection, head));
        }
    }
}

/// A TCP connection, from an address of the loopback network.
pub async fn tcp(from: Ipv4Addr, to: SocketAddr) -> Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_nodelay(true)?;
    socket.bind((from, 0).into())?;
    Ok(socket.connect(to).await?)
}

impl Chain {
    /// A TLS connection to the server, for HTTP/1.1 byte by byte.
    pub async fn raw_caller(&self) -> Result<Caller> {
        self.raw_caller_from(Ipv4Addr::LOCALHOST, b"http/1.1").await
    }

    /// As [`Self::raw_caller`], from an address of the loopback network and with a
    /// protocol of its own.
    pub async fn raw_caller_from(&self, from: Ipv4Addr, protocol: &[u8]) -> Result<Caller> {
        let stream = self.tcp_from(from).await?;
        self.raw_caller_over(stream, protocol).await
    }

    /// As [`Self::raw_caller`], over a connection that is there, to the server or to what
    /// stands before it.
    pub async fn raw_caller_over(&self, stream: TcpStream, protocol: &[u8]) -> Result<Caller> {
        let config = client_config(&self.ca_file(), &[protocol])?;
        let name = ServerName::try_from(self.host())?;
        let stream = TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await?;
        Ok(Connection::new(stream))
    }

    /// A TCP connection to the server, from an address of the loopback network.
    pub async fn tcp_from(&self, from: Ipv4Addr) -> Result<TcpStream> {
        tcp(from, self.server_address).await
    }

    /// A caller's connection after its request's head: `request` is the request
    /// line's method and path with the header lines that follow, each ended by
    /// CRLF. By path the chain's prefix comes first.
    pub fn raw_head(&self, by_path: bool, method: &str, path: &str, lines: &str) -> String {
        let (host, prefix) = if by_path {
            (
                crate::chain::BASE_DOMAIN.to_owned(),
                format!("/clusters/{}", crate::chain::CLUSTER),
            )
        } else {
            (self.host(), String::new())
        };
        format!(
            "{method} {prefix}{path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {}\r\n{lines}\r\n",
            self.access_token.expose()
        )
    }
}

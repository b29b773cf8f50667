//! turmoil's network as the two take it, and what stands in it.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use service_kit::accept::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::sync::CancellationToken;
use tunnel_client::simulation::Network;
use turmoil::net::{TcpListener, TcpStream};

use crate::stage::{self, SERVERS, Stage};

/// A server's port.
pub(crate) struct Port(pub(crate) TcpListener);

impl Listener for Port {
    type Stream = TcpStream;
    type Peer = SocketAddr;

    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        self.0.accept().await
    }
}

/// Where a client dials.
#[derive(Clone)]
pub(crate) struct Hosts {
    pub(crate) client: usize,
    pub(crate) stage: Stage,
}

impl Network for Hosts {
    type Stream = Wire;

    async fn connect(&self, host: &str, port: u16) -> io::Result<Wire> {
        let server = match host {
            stage::BALANCED => self.stage.balancer.any(),
            named => SERVERS.iter().position(|name| *name == named),
        };
        let name = match server {
            Some(server) => SERVERS[server],
            None if host == stage::BALANCED => return Err(io::ErrorKind::ConnectionRefused.into()),
            None => host,
        };
        let forgotten = match server {
            Some(server) => self.stage.middlebox.connection(self.client, server),
            None => CancellationToken::new(),
        };
        Ok(Wire {
            stream: Some(TcpStream::connect((name, port)).await?),
            forgotten,
            middlebox: self.stage.middlebox.clone(),
        })
    }
}

/// What stands between clients and servers, and knows their connections. One that it has
/// forgotten carries nothing any more, not even an end, and neither side hears of it.
#[derive(Clone, Default)]
pub(crate) struct Middlebox(Arc<Mutex<Known>>);

#[derive(Default)]
struct Known {
    ways: [[CancellationToken; 2]; 2],
    /// Of connections that it has forgotten: whoever held them has let go.
    silent: Vec<TcpStream>,
}

impl Middlebox {
    fn connection(&self, client: usize, server: usize) -> CancellationToken {
        self.0.lock().unwrap().ways[client][server].clone()
    }

    /// Forgets what there is from a client to a server; new ones pass.
    pub(crate) fn forget(&self, client: usize, server: usize) {
        let way = &mut self.0.lock().unwrap().ways[client][server];
        std::mem::take(way).cancel();
    }
}

/// A client's connection.
pub(crate) struct Wire {
    /// Taken by Drop alone.
    stream: Option<TcpStream>,
    forgotten: CancellationToken,
    middlebox: Middlebox,
}

impl Wire {
    /// Nothing where it is forgotten.
    fn stream(&mut self) -> Option<Pin<&mut TcpStream>> {
        let is_forgotten = self.forgotten.is_cancelled();
        self.stream.as_mut().filter(|_| !is_forgotten).map(Pin::new)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut().stream() {
            Some(stream) => stream.poll_read(cx, buf),
            // Nothing ever comes.
            None => Poll::Pending,
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut().stream() {
            Some(stream) => stream.poll_write(cx, bytes),
            None => Poll::Ready(Ok(bytes.len())),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut().stream() {
            Some(stream) => stream.poll_flush(cx),
            None => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut().stream() {
            Some(stream) => stream.poll_shutdown(cx),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.forgotten.is_cancelled() {
            let mut known = self.middlebox.0.lock().unwrap();
            known.silent.extend(self.stream.take());
        }
    }
}

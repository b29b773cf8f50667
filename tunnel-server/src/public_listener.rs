//! Where callers and links connect: one port, or a second one behind whatever ends TLS.

use std::io;
use std::net::SocketAddr;

use service_kit::accept::Listener;
use service_kit::admin::listen;
use tokio::net::{TcpListener, TcpStream};

/// The ports.
pub(crate) struct PublicListener {
    listener: TcpListener,
    plain_http: Option<TcpListener>,
}

/// A connection to one of them.
pub(crate) struct Accepted {
    pub(crate) stream: TcpStream,
    /// It came to the second one, which has no TLS.
    pub(crate) is_plain: bool,
}

impl PublicListener {
    pub(crate) async fn open(
        address: SocketAddr,
        plain_http: Option<SocketAddr>,
    ) -> io::Result<Self> {
        let listener = listen(address).await?;
        let plain_http = match plain_http {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        Ok(Self {
            listener,
            plain_http,
        })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub(crate) fn plain_http_address(&self) -> io::Result<Option<SocketAddr>> {
        self.plain_http
            .as_ref()
            .map(TcpListener::local_addr)
            .transpose()
    }
}

impl Listener for PublicListener {
    type Stream = Accepted;
    type Peer = SocketAddr;

    async fn accept(&self) -> io::Result<(Accepted, SocketAddr)> {
        let (accepted, is_plain) = match &self.plain_http {
            None => (Listener::accept(&self.listener).await, false),
            Some(plain_http) => tokio::select! {
                accepted = Listener::accept(&self.listener) => (accepted, false),
                accepted = Listener::accept(plain_http) => (accepted, true),
            },
        };
        let (stream, peer) = accepted?;
        Ok((Accepted { stream, is_plain }, peer))
    }
}

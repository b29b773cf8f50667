//! A client on a simulated network: all of it but TLS, the secret's file and the admin
//! port.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Uri;
use hyper::rt::ReadBufCursor;
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use service_kit::tasks::Tasks;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::args::Config;
use crate::carriers::Carriers;
use crate::connector::keep_links;
use crate::dial::{Dial, DialError, Dialling, guarded};
use crate::fleet::Fleet;
use crate::handshake::RefusedForGood;
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::server_url::ServerUrl;
use crate::shared::Shared;
use crate::steps::Steps;
use crate::upstream::Upstream;

/// A network, which knows its hosts by name.
pub trait Network: Clone + Send + Sync + 'static {
    /// A connection.
    type Stream: AsyncRead + AsyncWrite + Send + Unpin + 'static;

    /// Makes one.
    fn connect(
        &self,
        host: &str,
        port: u16,
    ) -> impl Future<Output = io::Result<Self::Stream>> + Send;
}

/// Keeps links until `shutdown`, and lets what they carry end. `instance` is what
/// servers know it by.
///
/// # Errors
/// [`RefusedForGood`].
pub async fn run(
    config: Config,
    instance: &str,
    network: impl Network,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RefusedForGood> {
    let metrics = Metrics::default();
    let draining = CancellationToken::new();
    let connector = Connector(network.clone());
    let relay = Relay {
        upstream: Upstream::over(connector, config.upstream.clone(), None),
        metrics: metrics.clone(),
        stalls: config.stalls.clone(),
        draining: draining.clone(),
    };
    let dialers = config.servers.iter().map(|(server, _)| {
        let (server, network) = (server.clone(), network.clone());
        let carriers = Carriers::default();
        let dialer = Dialer {
            server,
            carriers,
            network,
        };
        Arc::new(dialer) as Arc<dyn Dial>
    });
    let dialers = dialers.collect();
    let tasks = Tasks::new();
    let shared = Shared {
        config,
        relay: Arc::new(relay),
        metrics,
        fleet: Arc::new(Fleet::default()),
        instance: instance.to_owned(),
        announced: Default::default(),
        told: Default::default(),
        old_links: Default::default(),
        draining,
        spawner: tasks.spawner(),
    };
    keep_links(shared, dialers, tasks, std::future::ready(()), shutdown).await
}

struct Dialer<N> {
    server: ServerUrl,
    carriers: Carriers,
    network: N,
}

impl<N: Network> Dial for Dialer<N> {
    fn server(&self) -> &ServerUrl {
        &self.server
    }

    fn proxy(&self) -> Option<String> {
        None
    }

    fn carriers(&self) -> &Carriers {
        &self.carriers
    }

    fn dial<'a>(&'a self, _: &'a Steps) -> Dialling<'a> {
        Box::pin(async {
            let ServerUrl { host, port, .. } = &self.server;
            let stream = self.network.connect(host, *port).await;
            let stream = stream.map_err(|cause| DialError::Connect {
                address: SocketAddr::from(([0, 0, 0, 0], *port)),
                cause,
            })?;
            Ok(guarded(stream))
        })
    }
}

/// What the upstream's connections are made by.
#[derive(Clone)]
struct Connector<N>(N);

impl<N: Network> tower::Service<Uri> for Connector<N> {
    type Response = ToUpstream<N::Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Self::Response>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let network = self.0.clone();
        Box::pin(async move {
            let host = uri.host().unwrap_or_default();
            let port = uri.port_u16().unwrap_or(80);
            let stream = network.connect(host, port).await?;
            Ok(ToUpstream(TokioIo::new(stream)))
        })
    }
}

/// A connection as hyper's pool takes it.
struct ToUpstream<S>(TokioIo<S>);

impl<S> Connection for ToUpstream<S> {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl<S: AsyncRead + Unpin> hyper::rt::Read for ToUpstream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> hyper::rt::Write for ToUpstream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().0).poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().0).poll_shutdown(cx)
    }
}

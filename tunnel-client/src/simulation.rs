//! A client on a simulated network: all of it but TLS, the secret's file and the admin
//! port.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

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
    let (to, over) = (config.upstream.clone(), network.clone());
    let dial = move || {
        let (to, over) = (to.clone(), over.clone());
        async move { over.connect(to.host(), to.port_u16().unwrap_or(80)).await }
    };
    let relay = Relay {
        upstream: Upstream::over(dial, config.upstream.clone(), None),
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

//! Keeps a link: dials, serves, and dials again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use prometheus_client::registry::Registry;
use service_kit::admin::{Admin, listen};
use service_kit::tasks::Tasks;
use service_kit::tls::TlsError;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tunnel_protocol::handshake::Hello;

use crate::args::Config;
use crate::dial::Dialer;
use crate::handshake::RefusedForGood;
use crate::linker::Linker;
use crate::metrics::Metrics;
use crate::relay::Relay;
use crate::upstream::Upstream;

/// How often the sidecar's port is tried, for readiness.
const PROBE: Duration = Duration::from_secs(2);

/// Why the connector cannot start.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The trusted certificates.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The admin port.
    #[error(transparent)]
    Listen(#[from] std::io::Error),
}

/// Keeps a link to the server.
pub struct Connector {
    config: Config,
    dialer: Dialer,
    relay: Arc<Relay>,
    metrics: Metrics,
    admin_listener: TcpListener,
    admin_address: SocketAddr,
    instance: String,
    tasks: Tasks,
}

impl Connector {
    /// Reads the certificates and opens the admin port. Dials nobody.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(config: Config) -> Result<Self, BuildError> {
        let dialer = Dialer::new(
            config.server.clone(),
            config.proxy.clone(),
            config.ca_file.as_deref(),
        )?;
        let admin_listener = listen(config.admin).await?;
        let tasks = Tasks::new();
        let metrics = Metrics::default();
        let upstream = Upstream::new(config.upstream.clone());
        Ok(Self {
            dialer,
            relay: Arc::new(Relay {
                upstream,
                metrics: metrics.clone(),
            }),
            metrics,
            admin_address: admin_listener.local_addr()?,
            admin_listener,
            instance: format!("{:032x}", rand::random::<u128>()),
            tasks,
            config,
        })
    }

    /// Where `/livez`, `/readyz` and `/metrics` are.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Keeps a link until `shutdown`, then lets open requests end, at most for
    /// the configured time.
    ///
    /// # Errors
    /// [`RefusedForGood`]: the server's own word that trying again is pointless.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), RefusedForGood> {
        tracing::info!(server = %self.config.server, proxy = self.dialer.proxy(), admin = %self.admin_address, "started");
        let draining = CancellationToken::new();
        let admin_tasks = Tasks::new();
        let Self {
            config,
            dialer,
            relay,
            metrics,
            admin_listener,
            instance,
            tasks,
            ..
        } = self;
        admin_tasks.spawner().spawn(admin(
            config.clone(),
            metrics.clone(),
            draining.clone(),
            admin_listener,
        ));

        let mut linker = Linker {
            hello: Hello {
                instance,
                generation: 0,
                client_version: env!("CARGO_PKG_VERSION").to_owned(),
                subdomain: config.subdomain.clone(),
            },
            backoff: config.backoff.clone(),
            announced: Vec::new(),
            config,
            dialer,
            relay,
            metrics,
            draining: draining.clone(),
            superseded: None,
            tasks,
        };
        let ended = {
            let keeping = std::pin::pin!(linker.keep());
            tokio::select! {
                refused = keeping => Err(refused),
                () = shutdown => Ok(()),
            }
        };
        draining.cancel();
        let cut = linker.tasks.drain(linker.config.drain).await;
        tracing::info!(cut, "ended");
        ended
    }
}

async fn admin(
    config: Config,
    metrics: Metrics,
    draining: CancellationToken,
    listener: TcpListener,
) {
    let mut registry = Registry::default();
    metrics.register(&mut registry);
    let sidecar = Arc::new(AtomicBool::new(false));
    let answers = sidecar.clone();
    let upstream = config.upstream.clone();
    let ready = move || {
        if draining.is_cancelled() {
            Err("draining".to_owned())
        } else if !metrics.has_link() {
            Err(format!("no link to {}", config.server))
        } else if !sidecar.load(Ordering::Relaxed) {
            Err(format!("nothing listens at {}", config.upstream))
        } else {
            Ok(())
        }
    };
    let probing = async {
        loop {
            let connecting = timeout(PROBE, TcpStream::connect(upstream.as_str()));
            // Closed at once: an open one would hold one of the sidecar's places.
            let connected = matches!(connecting.await, Ok(Ok(_)));
            answers.store(connected, Ordering::Relaxed);
            sleep(PROBE).await;
        }
    };
    tokio::select! {
        served = Admin::new(Arc::new(ready), registry).serve(listener) => {
            if let Err(error) = served {
                tracing::error!(%error, "the admin port failed");
            }
        }
        () = probing => {}
    }
}

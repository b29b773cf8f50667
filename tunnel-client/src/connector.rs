//! Keeps a link: dials, serves, and dials again.

use std::net::SocketAddr;
use std::sync::Arc;

use prometheus_client::registry::Registry;
use service_kit::admin::{Admin, Readiness, listen};
use service_kit::pulse::Pulse;
use service_kit::tasks::Tasks;
use service_kit::tls::TlsError;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tunnel_protocol::handshake::Hello;

use crate::args::Config;
use crate::dial::Dialer;
use crate::handshake::RefusedForGood;
use crate::linker::Linker;
use crate::metrics::Metrics;
use crate::probe::Probe;
use crate::relay::Relay;
use crate::sidecar_secret::SidecarSecret;
use crate::upstream::Upstream;

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
    secret: Option<Arc<SidecarSecret>>,
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
        let secret = config.sidecar_secret_file.clone();
        let secret = secret.map(SidecarSecret::new).map(Arc::new);
        let upstream = Upstream::new(config.upstream.clone(), secret.clone());
        Ok(Self {
            dialer,
            relay: Arc::new(Relay {
                upstream,
                metrics: metrics.clone(),
                stalls: config.stalls.clone(),
            }),
            secret,
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
        let pulse = Pulse::default();
        pulse.beside(self.keep(shutdown, pulse.clone())).await
    }

    async fn keep(
        self,
        shutdown: impl Future<Output = ()>,
        pulse: Pulse,
    ) -> Result<(), RefusedForGood> {
        tracing::info!(server = %self.config.server, proxy = self.dialer.proxy(), admin = %self.admin_address, "started");
        let draining = CancellationToken::new();
        let admin_tasks = Tasks::new();
        let Self {
            config,
            dialer,
            relay,
            secret,
            metrics,
            admin_listener,
            instance,
            tasks,
            ..
        } = self;
        let side = Side {
            config: config.clone(),
            metrics: metrics.clone(),
            relay: relay.clone(),
            secret: secret.clone(),
            draining: draining.clone(),
            pulse,
        };
        admin_tasks.spawner().spawn(side.run(admin_listener));

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
            old_links: Default::default(),
            tasks,
        };
        let ended = {
            let keeping = std::pin::pin!(async {
                // A link that can carry nothing would only draw callers.
                if let Some(secret) = secret {
                    secret.known().await;
                }
                linker.keep().await
            });
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

/// The admin port, and what its readiness is made from.
struct Side {
    config: Config,
    metrics: Metrics,
    relay: Arc<Relay>,
    secret: Option<Arc<SidecarSecret>>,
    draining: CancellationToken,
    pulse: Pulse,
}

impl Side {
    async fn run(self, listener: TcpListener) {
        let mut registry = Registry::default();
        self.metrics.register(&mut registry);
        let probe = Probe::new();
        let ready = {
            let probe = probe.clone();
            let (config, metrics, draining) = (self.config, self.metrics, self.draining);
            let secret = self.secret.clone();
            let state = move || {
                if draining.is_cancelled() {
                    return Err("draining".to_owned());
                }
                if let Some(secret) = &secret {
                    secret.header().map_err(|error| error.to_string())?;
                }
                if !metrics.has_link() {
                    return Err(format!("no link to {}", config.server));
                }
                probe.last()
            };
            let ready: Readiness = Arc::new(move || Box::pin(std::future::ready(state())));
            ready
        };
        let following = async {
            match &self.secret {
                Some(secret) => secret.follow().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            served = Admin::new(ready, self.pulse, registry).serve(listener) => {
                if let Err(error) = served {
                    tracing::error!(%error, "the admin port failed");
                }
            }
            () = probe.ask(&self.relay.upstream) => {}
            () = self.relay.stalls.watch(|look| self.relay.metrics.stalled(look)) => {}
            () = following => {}
        }
    }
}

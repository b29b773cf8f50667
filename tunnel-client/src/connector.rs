//! Puts tunnel-client together: what keeps the links, and what is beside that.

use std::net::SocketAddr;
use std::sync::Arc;

use prometheus_client::registry::Registry;
use service_kit::admin::{Admin, Readiness, listen};
use service_kit::pulse::Pulse;
use service_kit::tasks::Tasks;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::args::Config;
use crate::dial::{Dial, Dialer};
use crate::fleet::Fleet;
use crate::handshake::RefusedForGood;
use crate::lanes::Lanes;
use crate::link_metrics::LinkMetrics;
use crate::metrics::Metrics;
use crate::probe::Probe;
use crate::relay::Relay;
use crate::shared::Shared;
use crate::sidecar_secret::SidecarSecret;
use crate::trust::TrustError;
use crate::upstream::Upstream;

/// Why the connector cannot start.
#[derive(Debug, Error)]
pub enum BuildError {
    /// Whom to trust, and our own certificate.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The admin port.
    #[error(transparent)]
    Listen(#[from] std::io::Error),
}

/// Keeps a link to the server.
pub struct Connector {
    config: Config,
    dialers: Vec<Dialer>,
    relay: Arc<Relay>,
    draining: CancellationToken,
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
        let dialers = Dialer::all(&config)?;
        let admin_listener = listen(config.admin).await?;
        let tasks = Tasks::new();
        let metrics = Metrics::default();
        let secret = config.sidecar_secret_file.clone();
        let secret = secret.map(SidecarSecret::new).map(Arc::new);
        let upstream = Upstream::new(config.upstream.clone(), secret.clone());
        let draining = CancellationToken::new();
        Ok(Self {
            dialers,
            relay: Arc::new(Relay {
                upstream,
                metrics: metrics.clone(),
                stalls: config.stalls.clone(),
                draining: draining.clone(),
            }),
            draining,
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
        for dialer in &self.dialers {
            tracing::info!(server = %dialer.server(), proxy = dialer.proxy(), admin = %self.admin_address, "started");
        }
        let admin_tasks = Tasks::new();
        let Self {
            config,
            dialers,
            relay,
            draining,
            secret,
            metrics,
            admin_listener,
            instance,
            tasks,
            ..
        } = self;
        let fleet = Arc::new(Fleet::default());
        let side = Side {
            fleet: fleet.clone(),
            config: config.clone(),
            metrics: metrics.clone(),
            relay: relay.clone(),
            secret: secret.clone(),
            draining: draining.clone(),
            pulse,
        };
        admin_tasks.spawner().spawn(side.run(admin_listener));

        let shared = Shared {
            config,
            relay,
            metrics,
            fleet,
            instance,
            announced: Default::default(),
            told: Default::default(),
            old_links: Default::default(),
            draining,
            spawner: tasks.spawner(),
        };
        let known = async {
            // A link that can carry nothing would only draw callers.
            if let Some(secret) = secret {
                secret.known().await;
            }
        };
        let dialers = dialers.into_iter();
        let dialers = dialers.map(|dialer| Arc::new(dialer) as Arc<dyn Dial>);
        keep_links(shared, dialers.collect(), tasks, known, shutdown).await
    }
}

/// Keeps links from `start` to `shutdown`, or until the server refuses for good; then
/// lets what they carry end, at most for the configured time.
pub(crate) async fn keep_links(
    shared: Shared,
    dialers: Vec<Arc<dyn Dial>>,
    tasks: Tasks,
    start: impl Future<Output = ()>,
    shutdown: impl Future<Output = ()>,
) -> Result<(), RefusedForGood> {
    let shared = Arc::new(shared);
    let mut lanes = Lanes::new(shared.clone(), dialers);
    let ended = {
        let keeping = std::pin::pin!(async {
            start.await;
            lanes.keep().await
        });
        tokio::select! {
            refused = keeping => Err(refused),
            () = shutdown => Ok(()),
        }
    };
    shared.draining.cancel();
    // What only asks for a link must not get one any more.
    drop(lanes);
    let cut = tasks.drain(shared.config.drain).await;
    tracing::info!(cut, "ended");
    ended
}

/// The admin port, and what its readiness is made from.
struct Side {
    config: Config,
    fleet: Arc<Fleet>,
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
        registry.register_collector(Box::new(LinkMetrics(self.fleet)));
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
                    return Err(format!("no link to {}", config.named()));
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
            () = probe.ask(&self.relay.upstream, self.secret.is_some()) => {}
            () = self.relay.stalls.watch(|look| self.relay.metrics.stalled(look)) => {}
            () = following => {}
        }
    }
}

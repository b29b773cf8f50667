//! Builds the proxy and runs it until it is told to end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use service_kit::accept::accept_loop;
use service_kit::admin::{Admin, Readiness, listen};
use service_kit::http_server::serve_http1;
use service_kit::pulse::Pulse;
use service_kit::tasks::Tasks;
use service_kit::write_stall::WriteStall;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tunnel_protocol::limits::{HEADER_LINES, WRITE_STALL};

use crate::args::Config;
use crate::cluster::{self, ClusterError};
use crate::credential::without_secrets;
use crate::metrics::Metrics;
use crate::probe::Probe;
use crate::proxy::Proxy;
use crate::secret::{Secret, SecretError};
use crate::upstream::Upstream;

/// Connections at once. Each watch of the tunnel is one, and the port is local.
const CONNECTIONS: usize = 10_000;
/// Header block, bytes: as kubectl proxy, which has Go's limit.
const HEADER_BLOCK: usize = 1024 * 1024;
/// Also how long an idle connection is kept; above tunnel-client's own 30 s, so
/// that the side that sends requests is the one that closes.
const HEADER_READ: Duration = Duration::from_secs(120);

/// Why the sidecar cannot start.
#[derive(Debug, Error)]
pub enum BuildError {
    /// No cluster to call.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// kube-client cannot use the cluster's certificates or credential.
    #[error("the cluster's configuration cannot be used: {0}")]
    Client(String),
    /// `--secret-file`.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// A port is taken.
    #[error(transparent)]
    Listen(#[from] std::io::Error),
}

/// A proxy that listens.
pub struct Sidecar {
    proxy: Arc<Proxy>,
    listener: TcpListener,
    admin_listener: TcpListener,
    address: SocketAddr,
    admin_address: SocketAddr,
    drain: Duration,
    tasks: Tasks,
}

impl Sidecar {
    /// Reads the cluster's configuration, makes the secret, and opens both ports. Calls nobody.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(config: Config) -> Result<Self, BuildError> {
        let cluster =
            cluster::load(config.kubeconfig.as_deref(), config.context.as_deref()).await?;
        let tasks = Tasks::new();
        let upstream = Upstream::new(cluster, config.require_own_credential)
            .await
            .map_err(|error| BuildError::Client(without_secrets(&error)))?;
        let secret = config
            .secret_file
            .as_deref()
            .map(Secret::take_or_make)
            .transpose()?;
        if config.filter.is_none() && secret.is_none() {
            tracing::warn!(
                "the request filter is off: any web page can call the API through this port"
            );
        }
        let listener = listen(config.listen).await?;
        let admin_listener = listen(config.admin).await?;
        let proxy = Proxy {
            secret,
            protection: config.protection,
            filter: config.filter,
            upstream,
            metrics: Metrics::default(),
            spawner: tasks.spawner(),
        };
        Ok(Self {
            proxy: Arc::new(proxy),
            address: listener.local_addr()?,
            admin_address: admin_listener.local_addr()?,
            listener,
            admin_listener,
            drain: config.drain,
            tasks,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where `/livez`, `/readyz` and `/metrics` are.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin_address
    }

    /// Serves until `shutdown`, then lets open requests end, at most for the
    /// configured time.
    pub async fn run(self, shutdown: impl Future<Output = ()>) {
        let pulse = Pulse::default();
        pulse.beside(self.serve(shutdown, pulse.clone())).await;
    }

    async fn serve(self, shutdown: impl Future<Output = ()>, pulse: Pulse) {
        tracing::info!(address = %self.address, admin = %self.admin_address, "serving");
        let draining = CancellationToken::new();
        let admin_tasks = Tasks::new();
        admin_tasks.spawner().spawn(admin(
            self.proxy.clone(),
            draining.clone(),
            pulse,
            self.admin_listener,
        ));

        let proxy = self.proxy.clone();
        let drain_connections = draining.clone();
        let serve = move |stream, peer: SocketAddr, place| {
            let proxy = proxy.clone();
            let draining = drain_connections.clone();
            async move {
                let _place = place;
                let io = TokioIo::new(WriteStall::new(stream, WRITE_STALL));
                let service = service_fn(move |request| proxy.clone().serve(request, peer.ip()));
                if let Err(error) = serve_http1(&http(), io, service, &draining).await {
                    tracing::debug!(%peer, error = http_relay::body::error_chain(&error), "connection ended");
                }
            }
        };
        let accepting = accept_loop(
            self.listener,
            CONNECTIONS,
            self.tasks.spawner(),
            draining.clone(),
            serve,
        );
        let accepting = std::pin::pin!(accepting);
        tokio::select! {
            () = accepting => {}
            () = shutdown => {}
        }
        draining.cancel();
        tracing::info!(open = self.tasks.spawner().running(), "draining");
        let cut = self.tasks.drain(self.drain).await;
        tracing::info!(cut, "ended");
    }
}

fn http() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ)
        .max_headers(HEADER_LINES)
        .max_header_size(HEADER_BLOCK)
        .auto_date_header(false);
    builder
}

async fn admin(
    proxy: Arc<Proxy>,
    draining: CancellationToken,
    pulse: Pulse,
    listener: TcpListener,
) {
    let mut registry = Registry::default();
    proxy.metrics.register(&mut registry);
    let probe = Arc::new(Probe::default());
    let ready: Readiness = Arc::new(move || {
        let (proxy, draining, probe) = (proxy.clone(), draining.clone(), probe.clone());
        Box::pin(async move {
            if draining.is_cancelled() {
                return Err("draining".to_owned());
            }
            probe.ask(&proxy.upstream).await
        })
    });
    if let Err(error) = Admin::new(ready, pulse, registry).serve(listener).await {
        tracing::error!(%error, "the admin port failed");
    }
}

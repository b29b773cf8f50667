//! Builds the proxy and runs it until it is told to end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use prometheus_client::registry::Registry;
use service_kit::admin::{Admin, Readiness, listen};
use service_kit::pulse::Pulse;
use service_kit::shutdown::Signal;
use service_kit::tasks::Tasks;
use service_kit::workers::Workers;
use thiserror::Error;
use tokio::net::TcpListener;

use crate::capacity::Capacity;
use crate::claims::Claims;
use crate::cluster::{self, ClusterError};
use crate::config::Config;
use crate::drain::{Accepting, Ending, drain};
use crate::filter::Filter;
use crate::listen::{Address, ListenError, Listening};
use crate::metrics::Metrics;
use crate::probe::Probe;
use crate::proxy::Proxy;
use crate::secret::{Secret, SecretError};
use crate::serving::accept;
use crate::static_files::StaticFiles;
use crate::upstream::{Upstream, UpstreamBuildError, UpstreamOptions};

/// Why the sidecar cannot start.
#[derive(Debug, Error)]
pub enum BuildError {
    /// No cluster to call.
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    /// How to call it.
    #[error(transparent)]
    Upstream(#[from] UpstreamBuildError),
    /// `--secret-file`.
    #[error(transparent)]
    Secret(#[from] SecretError),
    /// The port or the socket.
    #[error(transparent)]
    Listen(#[from] ListenError),
    /// Threads.
    #[error("--worker-threads: {0}")]
    Workers(#[source] std::io::Error),
    /// The admin port is taken.
    #[error("--admin-address: {0}")]
    Admin(#[from] std::io::Error),
}

/// A proxy that listens.
pub struct Sidecar {
    pub(crate) proxy: Arc<Proxy>,
    listener: Listening,
    admin_listener: Option<TcpListener>,
    address: Address,
    admin_address: Option<SocketAddr>,
    drain: Duration,
    pub(crate) tasks: Tasks,
    workers: Workers,
}

impl Sidecar {
    /// Reads the cluster's configuration, makes the secret, and opens both ports. Calls nobody.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(config: Config) -> Result<Self, BuildError> {
        let cluster = cluster::load(&config.cluster).await?;
        let tasks = Tasks::new();
        let capacity = Capacity::new(config.secret_file.is_some());
        let metrics = Metrics::default();
        let workers = Workers::start(config.worker_threads).map_err(BuildError::Workers)?;
        let options = UpstreamOptions {
            require_own_credential: config.require_own_credential,
            append_server_path: config.append_server_path,
            keepalive: config.keepalive,
            capacity,
            connections: metrics.upstream_connections.clone(),
            workers: workers.runtimes().to_vec(),
        };
        let server = host_and_port(&cluster.cluster_url);
        let upstream = Upstream::new(cluster, options).await?;
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
        if config.filter.as_ref().is_some_and(Filter::is_relaxed) {
            tracing::warn!("--reject-paths or --reject-methods is empty: it refuses nothing");
        }
        let listener = config.listen.open().await?;
        let admin_listener = match config.admin {
            Some(address) => Some(listen(address).await?),
            None => None,
        };
        let admin_address = admin_listener.as_ref().map(TcpListener::local_addr);
        let proxy = Proxy {
            claims: Claims::of(config.require_own_credential, secret.is_some()),
            secret,
            protection: config.protection,
            filter: config.filter,
            routes: config.routes,
            kubectl_errors: config.kubectl_errors,
            server,
            www: config.www.as_deref().map(StaticFiles::new),
            upstream,
            metrics,
            spawner: tasks.spawner(),
            ending: Ending::default(),
        };
        Ok(Self {
            proxy: Arc::new(proxy),
            address: listener.address()?,
            admin_address: admin_address.transpose()?,
            listener,
            admin_listener,
            drain: config.drain,
            tasks,
            workers,
        })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Where `/livez`, `/readyz` and `/metrics` are, if anywhere.
    #[must_use]
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin_address
    }

    /// Serves until the first signal that `signals` gives, then drains; a second one
    /// ends it at once.
    pub async fn run(self, signals: impl AsyncFnMut() -> Signal) {
        let pulse = Pulse::default();
        pulse.beside(self.serve(signals, pulse.clone())).await;
    }

    async fn serve(self, mut signals: impl AsyncFnMut() -> Signal, pulse: Pulse) {
        let admin_address = self.admin_address.map(tracing::field::display);
        tracing::info!(address = %self.address, admin = admin_address, "serving");
        let ending = self.proxy.ending.clone();
        let admin_tasks = Tasks::new();
        if let Some(listener) = self.admin_listener {
            admin_tasks
                .spawner()
                .spawn(admin(self.proxy.clone(), pulse, listener));
        }
        let mut accepting: Accepting = Box::pin(accept(
            self.listener,
            self.proxy,
            self.workers.spawners(&self.tasks.spawner()),
        ));
        let signal = tokio::select! {
            // It ends when it is told to only.
            () = &mut accepting => return,
            signal = signals() => signal,
        };
        let again = signals();
        drain(signal, again, self.drain, &ending, accepting, self.tasks).await;
    }
}

fn host_and_port(url: &Uri) -> String {
    let port = url.port_u16().unwrap_or_else(|| match url.scheme_str() {
        Some("http") => 80,
        _ => 443,
    });
    format!("{}:{port}", url.host().unwrap_or_default())
}

async fn admin(proxy: Arc<Proxy>, pulse: Pulse, listener: TcpListener) {
    let mut registry = Registry::default();
    proxy.metrics.register(&mut registry);
    let probe = Arc::new(Probe::default());
    let ready: Readiness = Arc::new(move || {
        let (proxy, probe) = (proxy.clone(), probe.clone());
        Box::pin(async move {
            if proxy.ending.draining.is_cancelled() {
                return Err("draining".to_owned());
            }
            probe.ask(&proxy.upstream).await
        })
    });
    if let Err(error) = Admin::new(ready, pulse, registry).serve(listener).await {
        tracing::error!(%error, "the admin port failed");
    }
}

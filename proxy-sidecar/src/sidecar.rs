//! Builds the proxy and runs it until it is told to end.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Uri};
use http_relay::raw_targets::RawTargets;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use prometheus_client::registry::Registry;
use service_kit::accept::{Listener, Place, accept_loop};
use service_kit::admin::{Admin, Readiness, listen};
use service_kit::http_server::serve_http1;
use service_kit::pulse::Pulse;
use service_kit::shutdown::Signal;
use service_kit::tasks::{Spawner, Tasks};
use service_kit::write_stall::WriteStall;
use thiserror::Error;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tunnel_protocol::limits::{HEADER_LINES, WRITE_STALL};

use crate::capacity::Capacity;
use crate::claims::Claims;
use crate::cluster::{self, ClusterError};
use crate::config::Config;
use crate::drain::{Accepting, Ending, drain};
use crate::filter::Filter;
use crate::listen::{Address, ListenError, Listening, Peer};
use crate::metrics::Metrics;
use crate::probe::Probe;
use crate::proxy::{Caller, Proxy};
use crate::secret::{Secret, SecretError};
use crate::static_files::StaticFiles;
use crate::upstream::{Upstream, UpstreamBuildError, UpstreamOptions};

/// Connections at once. Each watch of the tunnel is one, and the port is local.
const CONNECTIONS: usize = 10_000;
/// Header block, bytes: as kubectl proxy, which has Go's limit and what Go adds to it.
const HEADER_BLOCK: usize = 1024 * 1024 + 4096;
/// Also how long an idle connection is kept; above tunnel-client's own 30 s, so
/// that the side that sends requests is the one that closes.
const HEADER_READ: Duration = Duration::from_secs(120);

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
    /// The admin port is taken.
    #[error("--admin-address: {0}")]
    Admin(#[from] std::io::Error),
}

/// A proxy that listens.
pub struct Sidecar {
    proxy: Arc<Proxy>,
    listener: Listening,
    admin_listener: Option<TcpListener>,
    address: Address,
    admin_address: Option<SocketAddr>,
    drain: Duration,
    tasks: Tasks,
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
        let options = UpstreamOptions {
            require_own_credential: config.require_own_credential,
            append_server_path: config.append_server_path,
            keepalive: config.keepalive,
            capacity,
            connections: metrics.upstream_connections.clone(),
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
            http(),
            self.proxy,
            self.tasks.spawner(),
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

async fn accept(listener: Listening, http: http1::Builder, proxy: Arc<Proxy>, spawner: Spawner) {
    match listener {
        Listening::Tcp(listener) => accept_from(listener, http, proxy, spawner).await,
        Listening::Unix(listener) => accept_from(listener, http, proxy, spawner).await,
    }
}

async fn accept_from<L>(listener: L, http: http1::Builder, proxy: Arc<Proxy>, spawner: Spawner)
where
    L: Listener<Peer: Peer, Stream: AsyncRead + AsyncWrite + Unpin + 'static>,
{
    let stop = proxy.ending.closing.clone();
    let serve = move |stream, peer: L::Peer, place: Place| {
        let (http, proxy) = (http.clone(), proxy.clone());
        async move {
            if let Err(error) = serve_connection(&http, proxy, stream, peer.ip(), place).await {
                let error = http_relay::body::error_chain(&error);
                tracing::debug!(?peer, error, "connection ended");
            }
        }
    };
    accept_loop(listener, CONNECTIONS, spawner, stop, serve).await;
}

/// To the end of its HTTP. Where it is upgraded its `place` goes with what joins it.
async fn serve_connection<S>(
    http: &http1::Builder,
    proxy: Arc<Proxy>,
    stream: S,
    ip: Option<IpAddr>,
    place: Place,
) -> Result<(), hyper::Error>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (closing, place) = (proxy.ending.closing.clone(), Arc::new(place));
    let io = RawTargets::new(WriteStall::new(stream, WRITE_STALL));
    // Of letters, digits and colons: it can be a header's value.
    let address: Option<HeaderValue> = ip.and_then(|ip| ip.to_string().try_into().ok());
    let service = service_fn(move |request| {
        let caller = Caller {
            address: address.clone(),
            place: place.clone(),
        };
        // hyper keeps room for the future as long as the connection is open: boxed, a
        // quiet watch gives back its 2.7 kB.
        Box::pin(proxy.clone().serve(request, caller))
    });
    serve_http1(http, TokioIo::new(io), service, &closing).await
}

fn http() -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_READ)
        .max_headers(HEADER_LINES)
        .max_header_size(HEADER_BLOCK)
        .max_buf_size(HEADER_BLOCK)
        .auto_date_header(false);
    builder
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

#[cfg(test)]
mod tests;

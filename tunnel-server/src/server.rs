//! Builds the server and runs it until it is told to end.

use std::net::SocketAddr;
use std::sync::Arc;

use prometheus_client::registry::Registry as MetricsRegistry;
use service_kit::admin::{Admin, Readiness, listen};
use service_kit::open_files;
use service_kit::pulse::Pulse;
use service_kit::tasks::Tasks;
use service_kit::tls::{ReloadingCertificate, TlsError, server_config};
use service_kit::workers::Workers;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::access::file_store::FileStore;
use crate::audit::{Audit, AuditError};
use crate::config::{Certificate, Config, ConfigError, InForce, watch};
use crate::dev_certificate::{self, DevCertificateError};
use crate::front::PublicFront;
use crate::hosts::Hosts;
use crate::limits::Limits;
use crate::links::{Handshakes, Registry};
use crate::listener;
use crate::metrics::Metrics;
use crate::placement::Placement;
use crate::plain_http;
use crate::public_listener::PublicListener;
use crate::seldom::Seldom;
use crate::serving::Serving;
use crate::shared::Shared;
use crate::tls_handshakes::TlsHandshakes;

/// Open files that are no public connection: listeners, the admin port, files that
/// are read, the runtime's own.
const OTHER_FILES: usize = 64;
/// Open files of one more thread's runtime.
const THREADS_FILES: usize = 4;

/// Why the server cannot start.
#[derive(Debug, Error)]
pub enum BuildError {
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The development certificate.
    #[error(transparent)]
    Dev(#[from] DevCertificateError),
    /// The audit log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// A port is taken, or the system gives no thread.
    #[error(transparent)]
    Listen(#[from] std::io::Error),
}

/// A server that listens.
pub struct Server {
    shared: Arc<Shared>,
    store: Arc<FileStore>,
    config: Config,
    /// Nothing where TLS is ended before the server.
    certificate: Option<Certificate>,
    front: PublicFront,
    connections: usize,
    listener: PublicListener,
    admin_listener: TcpListener,
    address: SocketAddr,
    plain_http_address: Option<SocketAddr>,
    admin_address: SocketAddr,
    tasks: Tasks,
    link_tasks: Tasks,
    workers: Workers,
}

impl Server {
    /// Reads the certificate and opens both ports.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(config: Config) -> Result<Self, BuildError> {
        let settings = &config.file.settings;
        let certificate = certificate(&config)?;
        let workers = Workers::start(config.worker_threads)?;
        let tls = match &certificate {
            Some(certificate) => {
                let tls = server_config(certificate.in_use.clone(), listener::ALPN)?;
                Some(TlsHandshakes::new(tls, workers.runtimes()))
            }
            None => None,
        };
        let metrics = Arc::new(Metrics::default());
        let audit = Audit::start(&config.audit, &metrics.audit)?;
        if let Some(address) = config.plain_http_listen {
            plain_http::warn_if_open(address, settings);
        }
        let listener = PublicListener::open(settings.listen, config.plain_http_listen).await?;
        let admin_listener = listen(settings.admin_listen).await?;
        let address = listener.address()?;
        let mut extra = settings.extra_hosts.clone();
        if config.dev.is_some() {
            // The development certificate is good for them, too.
            extra.extend(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned));
        }
        let store = Arc::new(FileStore::new(config.file.access.clone()));
        let (tasks, link_tasks) = (Tasks::new(), Tasks::new());
        if let Some(certificate) = &certificate {
            metrics.certificate(certificate.in_use.expires());
        }
        let connections = connections(config.connections, config.worker_threads);
        let limits = Limits::new(config.file.limits, connections, metrics.unproved());
        let hosts = Hosts {
            base: settings.base_domain.clone(),
            extra,
        };
        let registry = Arc::<Registry>::default();
        let links = registry.clone();
        let front = PublicFront {
            proxy_protocol: settings.proxy_protocol,
            tls,
            placement: Placement::new(
                &workers,
                &tasks.spawner(),
                hosts.clone(),
                Box::new(move |cluster| links.thread_of(cluster)),
            ),
            metrics: metrics.clone(),
            warnings: Seldom::default(),
        };
        let shared = Shared {
            store: store.clone(),
            registry,
            audit,
            hosts,
            trusted_proxies: settings.trusted_proxies.clone(),
            limits: Arc::new(limits),
            stalls: config.stalls.clone(),
            handshakes: Handshakes::default(),
            metrics,
            replica: format!("{:016x}", rand::random::<u64>()),
            replicas: config.replicas,
            leaving: CancellationToken::new(),
            draining: CancellationToken::new(),
            links_end: CancellationToken::new(),
            drain: config.drain,
            hold: config.hold,
            response_timeout: config.response_timeout,
            link_resets: config.link_resets,
            prove_within: config.prove_within,
            spawner: tasks.spawner(),
            links_spawner: link_tasks.spawner(),
            public_port: settings.public_port.unwrap_or(address.port()),
            link_ids: Default::default(),
        };
        Ok(Self {
            shared: Arc::new(shared),
            store,
            certificate,
            front,
            connections,
            admin_address: admin_listener.local_addr()?,
            plain_http_address: listener.plain_http_address()?,
            listener,
            admin_listener,
            address,
            tasks,
            link_tasks,
            workers,
            config,
        })
    }

    /// Where callers and links connect.
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
        let shared = self.shared;
        // They end when all that runs on them has.
        let _workers = self.workers;
        let plain_http = self.plain_http_address.map(tracing::field::display);
        tracing::info!(address = %self.address, plain_http, admin = %self.admin_address, replica = shared.replica, "serving");
        // What runs beside the connections, and ends last.
        let side_tasks = Tasks::new();
        side_tasks.spawner().spawn(admin(
            shared.clone(),
            pulse,
            self.admin_listener,
            self.certificate.is_some(),
        ));
        let in_force = InForce {
            store: self.store.clone(),
            limits: shared.limits.clone(),
            metrics: shared.metrics.clone(),
        };
        side_tasks.spawner().spawn(watch(
            self.config.path,
            self.config.text,
            self.config.file,
            self.certificate,
            in_force,
        ));
        side_tasks
            .spawner()
            .spawn(async move { self.store.tell_expiries().await });
        let limits = shared.limits.clone();
        side_tasks
            .spawner()
            .spawn(async move { limits.forget_the_idle().await });

        let stalling = shared.clone();
        side_tasks.spawner().spawn(async move {
            let tell = |look| stalling.metrics.stalled(look);
            // Who stands still does not see by itself that its access is gone.
            let mut changes = stalling.store.changes();
            let hurry = async {
                while changes.changed().await.is_ok() {
                    stalling.stalls.look();
                }
            };
            tokio::join!(stalling.stalls.watch(tell), hurry);
        });

        let audit = shared.audit.clone();
        side_tasks.spawner().spawn(async move {
            tokio::join!(audit.follow_hangups(), audit.follow_unwritten());
        });

        let serving = Serving {
            shared,
            tasks: self.tasks,
            link_tasks: self.link_tasks,
            connections: self.connections,
            shutdown_delay: self.config.shutdown_delay,
        };
        serving.run(self.listener, self.front, shutdown).await;
    }
}

/// What TLS is made with; nothing where it is ended before the server.
fn certificate(config: &Config) -> Result<Option<Certificate>, BuildError> {
    let settings = &config.file.settings;
    // With --dev it is made in any case: then for whatever ends TLS.
    let files = match (&config.dev, &config.file.certificate) {
        (Some(folder), _) => Some(dev_certificate::ensure(folder, settings)?),
        (None, files) => files.clone(),
    };
    if config.plain_http {
        plain_http::warn_if_open(settings.listen, settings);
        return Ok(None);
    }
    let files = files.ok_or(ConfigError::NoCertificate)?;
    let in_use = ReloadingCertificate::load(&files.certificate, &files.key)?;
    let in_use = Arc::new(in_use);
    Ok(Some(Certificate { files, in_use }))
}

/// As many as there may be at once. The accept loop waits for one to end rather
/// than run into the system's limit, where accepting fails and so does whatever
/// else opens a file.
fn connections(wanted: u32, threads: usize) -> usize {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let files = open_files::raise_limit();
    let connections = files
        .saturating_sub(OTHER_FILES + THREADS_FILES * threads)
        .clamp(1, wanted);
    if connections < wanted {
        tracing::warn!(
            open_files = files,
            connections,
            "few files may be open at once: raise the limit (ulimit -n, LimitNOFILE)"
        );
    }
    connections
}

async fn admin(shared: Arc<Shared>, pulse: Pulse, listener: TcpListener, has_certificate: bool) {
    let mut registry = MetricsRegistry::default();
    shared
        .metrics
        .register(&mut registry, shared.registry.gauge(), has_certificate);
    let ready: Readiness = Arc::new(move || {
        let leaving = shared.leaving.is_cancelled();
        let answer = if leaving {
            Err("draining".to_owned())
        } else {
            Ok(())
        };
        Box::pin(std::future::ready(answer))
    });
    if let Err(error) = Admin::new(ready, pulse, registry).serve(listener).await {
        tracing::error!(%error, "the admin port failed");
    }
}

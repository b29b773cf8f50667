//! Builds the server and runs it until it is told to end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use prometheus_client::registry::Registry as MetricsRegistry;
use service_kit::accept::accept_loop;
use service_kit::admin::{Admin, Readiness, listen};
use service_kit::open_files;
use service_kit::pulse::Pulse;
use service_kit::tasks::Tasks;
use service_kit::tls::{ReloadingCertificate, TlsError, server_config};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

use crate::access::file_store::FileStore;
use crate::audit::{Audit, AuditError};
use crate::config::file::CertificateFiles;
use crate::config::{Config, ConfigError, InForce, watch};
use crate::dev_certificate::{self, DevCertificateError};
use crate::hosts::Hosts;
use crate::limits::Limits;
use crate::links::{DRAIN_SPREAD, Handshakes};
use crate::listener;
use crate::metrics::Metrics;
use crate::shared::Shared;

/// Open files that are no public connection: listeners, the admin port, files that
/// are read, the runtime's own.
const OTHER_FILES: usize = 64;

/// For the links' tasks to end once they are told.
const LINK_ENDS: Duration = Duration::from_secs(1);

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
    /// A port is taken.
    #[error(transparent)]
    Listen(#[from] std::io::Error),
}

/// A server that listens.
pub struct Server {
    shared: Arc<Shared>,
    store: Arc<FileStore>,
    config: Config,
    certificate: Arc<ReloadingCertificate>,
    certificate_files: CertificateFiles,
    connections: usize,
    tls: TlsAcceptor,
    listener: TcpListener,
    admin_listener: TcpListener,
    address: SocketAddr,
    admin_address: SocketAddr,
    tasks: Tasks,
    link_tasks: Tasks,
}

impl Server {
    /// Reads the certificate and opens both ports.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(config: Config) -> Result<Self, BuildError> {
        let settings = &config.file.settings;
        let certificate_files = match (&config.dev, &config.file.certificate) {
            (Some(folder), _) => dev_certificate::ensure(folder, settings)?,
            (None, Some(files)) => files.clone(),
            (None, None) => return Err(ConfigError::NoCertificate.into()),
        };
        let certificate =
            ReloadingCertificate::load(&certificate_files.certificate, &certificate_files.key)?;
        let certificate = Arc::new(certificate);
        let tls = TlsAcceptor::from(Arc::new(server_config(
            certificate.clone(),
            listener::ALPN,
        )?));
        let metrics = Metrics::default();
        let audit = Audit::start(&config.audit, &metrics.audit)?;
        let listener = listen(settings.listen).await?;
        let admin_listener = listen(settings.admin_listen).await?;
        let address = listener.local_addr()?;
        let mut extra = settings.extra_hosts.clone();
        if config.dev.is_some() {
            // The development certificate is good for them, too.
            extra.extend(["localhost", "127.0.0.1", "[::1]"].map(str::to_owned));
        }
        let store = Arc::new(FileStore::new(config.file.access.clone()));
        let (tasks, link_tasks) = (Tasks::new(), Tasks::new());
        metrics.certificate(certificate.expires());
        let connections = connections(config.connections);
        let limits = Limits::new(config.file.limits, connections, metrics.unproved());
        let shared = Shared {
            store: store.clone(),
            registry: Arc::default(),
            audit,
            hosts: Hosts {
                base: settings.base_domain.clone(),
                extra,
            },
            limits: Arc::new(limits),
            stalls: config.stalls.clone(),
            handshakes: Handshakes::default(),
            metrics,
            replica: format!("{:016x}", rand::random::<u64>()),
            draining: CancellationToken::new(),
            links_end: CancellationToken::new(),
            drain: config.drain,
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
            certificate_files,
            connections,
            tls,
            admin_address: admin_listener.local_addr()?,
            listener,
            admin_listener,
            address,
            tasks,
            link_tasks,
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
        tracing::info!(address = %self.address, admin = %self.admin_address, replica = shared.replica, "serving");
        // What runs beside the connections, and ends last.
        let side_tasks = Tasks::new();
        side_tasks
            .spawner()
            .spawn(admin(shared.clone(), pulse, self.admin_listener));
        let in_force = InForce {
            store: self.store.clone(),
            limits: shared.limits.clone(),
            certificate: self.certificate,
            metrics: shared.metrics.clone(),
        };
        side_tasks.spawner().spawn(watch(
            self.config.path,
            self.config.text,
            self.config.file,
            self.certificate_files,
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

        let serving = shared.clone();
        let tls = self.tls;
        let serve = move |stream, address, place| {
            listener::serve(serving.clone(), tls.clone(), stream, address, place)
        };
        let accepting = accept_loop(
            self.listener,
            self.connections,
            shared.spawner.clone(),
            shared.draining.clone(),
            serve,
        );
        tokio::select! {
            () = accepting => {}
            () = shutdown => {}
        }
        shared.draining.cancel();
        tracing::info!(
            open = shared.spawner.running(),
            links = shared.links_spawner.running(),
            "draining"
        );
        // Links outlast callers, and the time in which clients dial elsewhere.
        let handed_over = async {
            tokio::select! {
                () = sleep((DRAIN_SPREAD + Duration::from_secs(1)).min(shared.drain)) => {}
                () = self.link_tasks.ended() => {}
            }
        };
        let (cut, ()) = tokio::join!(self.tasks.drain(shared.drain), handed_over);
        shared.links_end.cancel();
        let cut_links = self.link_tasks.drain(LINK_ENDS).await;
        // Whoever had something to tell has told it.
        shared.audit.finish().await;
        tracing::info!(cut, cut_links, "ended");
    }
}

/// As many as there may be at once. The accept loop waits for one to end rather
/// than run into the system's limit, where accepting fails and so does whatever
/// else opens a file.
fn connections(wanted: u32) -> usize {
    let wanted = usize::try_from(wanted).unwrap_or(usize::MAX);
    let files = open_files::raise_limit();
    let connections = files.saturating_sub(OTHER_FILES).clamp(1, wanted);
    if connections < wanted {
        tracing::warn!(
            open_files = files,
            connections,
            "few files may be open at once: raise the limit (ulimit -n, LimitNOFILE)"
        );
    }
    connections
}

async fn admin(shared: Arc<Shared>, pulse: Pulse, listener: TcpListener) {
    let mut registry = MetricsRegistry::default();
    shared
        .metrics
        .register(&mut registry, shared.registry.gauge());
    let ready: Readiness = Arc::new(move || {
        let draining = shared.draining.is_cancelled();
        let answer = if draining {
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

//! Keeps a link: dials, serves, and dials again.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use prometheus_client::registry::Registry;
use service_kit::admin::{Admin, listen};
use service_kit::tasks::Tasks;
use service_kit::tls::TlsError;
use thiserror::Error;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tunnel_protocol::handshake::Hello;
use tunnel_protocol::limits::HANDSHAKE_TIMEOUT;

use crate::args::Config;
use crate::backoff::Backoff;
use crate::control::LinkEvent;
use crate::dial::{DialError, Dialer};
use crate::handshake::{HandshakeError, RefusedForGood, shake_hands};
use crate::link::{EVENTS, Link};
use crate::metrics::{Attempt, Metrics};
use crate::relay::Relay;
use crate::token_source::TokenSourceError;
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

/// Why an attempt gave no link.
#[derive(Debug, Error)]
enum AttemptError {
    #[error(transparent)]
    Token(#[from] TokenSourceError),
    #[error(transparent)]
    Dial(#[from] DialError),
    #[error(transparent)]
    Handshake(#[from] HandshakeError),
    #[error("no answer within {} s", HANDSHAKE_TIMEOUT.as_secs())]
    Timeout,
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

/// How the wait for a link's end was ended.
enum Next {
    Reconnect { after: Duration },
    Shutdown,
}

impl Connector {
    /// Reads the certificates and opens the admin port. Dials nobody.
    ///
    /// # Errors
    /// [`BuildError`].
    pub async fn build(config: Config) -> Result<Self, BuildError> {
        let dialer = Dialer::new(config.server.clone(), config.ca_file.as_deref())?;
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
        tracing::info!(server = %self.config.server, admin = %self.admin_address, "started");
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

/// The part of the connector that loops.
struct Linker {
    config: Config,
    dialer: Dialer,
    relay: Arc<Relay>,
    metrics: Metrics,
    hello: Hello,
    backoff: Backoff,
    announced: Vec<String>,
    draining: CancellationToken,
    tasks: Tasks,
}

impl Linker {
    /// Only returns when the server refuses for good.
    async fn keep(&mut self) -> RefusedForGood {
        loop {
            let connection = match self.linked().await {
                Ok(connection) => connection,
                Err(refused) => return refused,
            };
            match self.serve(connection).await {
                Next::Reconnect { after } => sleep(after).await,
                // `run` ends this loop itself.
                Next::Shutdown => std::future::pending().await,
            }
        }
    }

    /// Tries until there is a link.
    async fn linked(&mut self) -> Result<Upgraded, RefusedForGood> {
        loop {
            self.hello.generation += 1;
            let attempt = timeout(HANDSHAKE_TIMEOUT, self.attempt())
                .await
                .unwrap_or(Err(AttemptError::Timeout));
            let error = match attempt {
                Ok(connection) => {
                    self.metrics.attempt(Attempt::Linked);
                    return Ok(connection);
                }
                Err(AttemptError::Handshake(HandshakeError::ForGood(refused))) => {
                    self.metrics.attempt(Attempt::Refused);
                    return Err(refused);
                }
                Err(error) => error,
            };
            self.metrics.attempt(Attempt::Failed);
            let asked = match &error {
                AttemptError::Handshake(HandshakeError::Later { after, .. }) => *after,
                _ => None,
            };
            let jittered = self.backoff.next_wait(rand::random());
            let wait = asked.map_or(jittered, |asked| {
                asked.min(Duration::from_secs(60)) + jittered
            });
            tracing::warn!(server = %self.dialer.server(), %error, next_try_ms = wait.as_millis() as u64, "no link");
            sleep(wait).await;
        }
    }

    async fn attempt(&self) -> Result<Upgraded, AttemptError> {
        let token = self.config.token.read()?;
        let connection = self.dialer.dial().await?;
        let authority = self.dialer.server().authority();
        Ok(shake_hands(connection, &authority, &token, &self.hello).await?)
    }

    /// Serves a link in a task of its own, so that a drained one goes on beside
    /// its successor. Returns when it is time to dial again.
    async fn serve(&mut self, connection: Upgraded) -> Next {
        let started = Instant::now();
        let (events, mut inbox) = mpsc::channel(EVENTS);
        let link = Link::new(self.relay.clone(), events);
        let (draining, drain) = (self.draining.clone(), self.config.drain);
        let (ended, mut end) = tokio::sync::oneshot::channel();
        let cut = CancellationToken::new();
        let cut_link = cut.clone();
        self.tasks.spawner().spawn(async move {
            let reason = tokio::select! {
                reason = link.serve(connection, draining, drain) => reason,
                () = cut_link.cancelled() => "cut at the server's drain deadline".to_owned(),
            };
            // The connector may have gone on to another link.
            drop(ended.send(reason));
        });
        let mut registered = None;
        loop {
            tokio::select! {
                Some(event) = inbox.recv() => match event {
                    LinkEvent::Registered { urls, replica } => {
                        registered = Some(self.metrics.registered_link());
                        tracing::info!(server = %self.dialer.server(), replica, "linked");
                        self.announce(urls);
                    }
                    LinkEvent::Drain { reconnect_in, deadline } => {
                        tracing::info!(reconnect_in_ms = reconnect_in.as_millis() as u64, "the server drains");
                        self.tasks.spawner().spawn(async move {
                            sleep(deadline).await;
                            cut.cancel();
                        });
                        return Next::Reconnect { after: reconnect_in };
                    }
                },
                reason = &mut end => {
                    drop(registered);
                    if self.draining.is_cancelled() {
                        return Next::Shutdown;
                    }
                    self.backoff.lived(started.elapsed());
                    let after = self.config.spread.mul_f64(rand::random());
                    let reason = reason.unwrap_or_default();
                    tracing::warn!(reason, next_try_ms = after.as_millis() as u64, "the link ended");
                    return Next::Reconnect { after };
                }
            }
        }
    }

    /// Says where the cluster is, as localtunnel does, whenever that changes.
    fn announce(&mut self, urls: Vec<String>) {
        if urls != self.announced {
            for url in &urls {
                println!("your url is: {url}");
            }
            self.announced = urls;
        }
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

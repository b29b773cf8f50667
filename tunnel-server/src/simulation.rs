//! A server on a simulated network: all of it but TLS, the files it reads, the log it
//! writes and its admin port.

use std::future::{Ready, ready};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_relay::stall_budget::StallBudget;
use service_kit::accept::Listener;
use service_kit::tasks::Tasks;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::sync::CancellationToken;

use crate::access::file_store::FileStore;
use crate::audit::Audit;
use crate::config::file::{self, Faults};
use crate::front::Front;
use crate::hosts::Hosts;
use crate::limits::Limits;
use crate::links::{Handshakes, Registry};
use crate::listener::Secured;
use crate::metrics::Metrics;
use crate::placement::Placed;
use crate::serving::Serving;
use crate::shared::Shared;

/// More than a simulation opens.
const CONNECTIONS: usize = 10_000;
const STALLED: u64 = 256 << 20;

/// What a flag says elsewhere.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many there are of this server.
    pub replicas: u32,
    /// How long open requests may go on at the end.
    pub drain: Duration,
    /// How long it goes on before that, not ready any more.
    pub shutdown_delay: Duration,
    /// How long a request waits for a link.
    pub hold: Duration,
    /// How long one waits for its answer's head.
    pub response_timeout: Duration,
    /// Streams of a link that are reset before another takes its place.
    pub link_resets: usize,
}

/// A server that is to run.
pub struct Replica {
    serving: Serving,
}

/// Shows the links of a server that runs.
#[derive(Clone)]
pub struct Links {
    registry: Arc<Registry>,
}

/// A link that requests may go to now.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Owner {
    /// Whose it is.
    pub cluster: String,
    /// The tunnel-client that it leads to.
    pub instance: String,
    /// Which of that one's.
    pub lane: u8,
    /// The number of its dial.
    pub generation: u64,
}

impl Replica {
    /// Reads a configuration file's text.
    ///
    /// # Errors
    /// Its [`Faults`].
    pub fn new(config: &str, name: &str, settings: Settings) -> Result<Self, Faults> {
        let file = file::read(config)?;
        let (tasks, link_tasks) = (Tasks::new(), Tasks::new());
        let metrics = Arc::new(Metrics::default());
        let limits = Limits::new(file.limits, CONNECTIONS, metrics.unproved());
        let shared = Shared {
            store: Arc::new(FileStore::new(file.access)),
            registry: Arc::default(),
            audit: Audit::unkept(),
            hosts: Hosts {
                base: file.settings.base_domain,
                extra: file.settings.extra_hosts,
            },
            trusted_proxies: file.settings.trusted_proxies,
            limits: Arc::new(limits),
            stalls: StallBudget::new(STALLED, STALLED / 2),
            handshakes: Handshakes::default(),
            metrics,
            replica: name.to_owned(),
            replicas: settings.replicas,
            leaving: CancellationToken::new(),
            draining: CancellationToken::new(),
            links_end: CancellationToken::new(),
            drain: settings.drain,
            hold: settings.hold,
            response_timeout: settings.response_timeout,
            link_resets: settings.link_resets,
            prove_within: Duration::from_secs(10),
            spawner: tasks.spawner(),
            links_spawner: link_tasks.spawner(),
            public_port: file.settings.listen.port(),
            link_ids: Default::default(),
        };
        let serving = Serving {
            shared: Arc::new(shared),
            tasks,
            link_tasks,
            connections: CONNECTIONS,
            shutdown_delay: settings.shutdown_delay,
        };
        Ok(Self { serving })
    }

    /// Shows its links, as long as anybody looks.
    #[must_use]
    pub fn links(&self) -> Links {
        Links {
            registry: self.serving.shared.registry.clone(),
        }
    }

    /// Serves HTTP/1.1 without TLS until `shutdown`, and drains.
    pub async fn run<L>(self, listener: L, shutdown: impl Future<Output = ()>)
    where
        L: Listener<Peer = SocketAddr>,
        L::Stream: AsyncRead + AsyncWrite + Unpin + 'static,
    {
        self.serving.run(listener, NoFront, shutdown).await;
    }
}

/// HTTP/1.1 without anything before it.
struct NoFront;

impl<S> Front<S> for NoFront
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    type Carrier = S;

    fn announced(
        &self,
        _: &mut S,
    ) -> Option<impl Future<Output = io::Result<Option<SocketAddr>>> + Send> {
        None::<Ready<_>>
    }

    fn place(&self, stream: S) -> impl Future<Output = io::Result<Placed<S>>> + Send {
        ready(Ok(Placed::Here(stream)))
    }

    fn secure(&self, stream: S, _: bool) -> impl Future<Output = io::Result<Secured<S>>> + Send {
        ready(Ok(Secured {
            stream,
            speaks_h2: false,
        }))
    }
}

impl Links {
    /// Those that requests may go to now, in order.
    #[must_use]
    pub fn owners(&self) -> Vec<Owner> {
        let links = self.registry.owners();
        let owners = links.iter().map(|link| Owner {
            cluster: link.cluster.to_string(),
            instance: link.name.instance.clone(),
            lane: link.name.lane,
            generation: link.generation,
        });
        let mut owners: Vec<_> = owners.collect();
        owners.sort();
        owners
    }
}

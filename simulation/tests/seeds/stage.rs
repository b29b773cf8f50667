//! Who is there, and what they share.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::seq::IndexedRandom;
use tokio::runtime::Handle;
use tokio_util::sync::CancellationToken;
use tunnel_protocol::token::{Token, TokenKind};
use tunnel_server::simulation::Links;

use crate::ledger::Ledger;
use crate::network::Middlebox;
use crate::registrations::Registrations;
use crate::trace::Trace;

/// The replicas, by which others know them.
pub(crate) const SERVERS: [&str; 2] = ["server-a", "server-b"];
/// The connector's pods.
pub(crate) const CLIENTS: [&str; 2] = ["client-a", "client-b"];
pub(crate) const UPSTREAM: &str = "upstream";
/// A name that leads to either replica.
pub(crate) const BALANCED: &str = "balanced";
pub(crate) const SERVER_PORT: u16 = 443;
pub(crate) const UPSTREAM_PORT: u16 = 8001;
pub(crate) const DOMAIN: &str = "clusters.example";
pub(crate) const CLUSTER: &str = "prod";

/// What is the same in a whole run.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) trace: Trace,
    pub(crate) registrations: Registrations,
    pub(crate) ledger: Ledger,
    pub(crate) balancer: Balancer,
    pub(crate) middlebox: Middlebox,
    pub(crate) choices: Choices,
    pub(crate) connector_token: Token,
    pub(crate) access_token: Token,
    servers: Arc<Mutex<[Process; 2]>>,
    clients: Arc<Mutex<[Process; 2]>>,
}

/// What is drawn once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choices {
    /// Pods of the connector.
    pub(crate) clients: usize,
    /// Whether the replicas share a name.
    pub(crate) is_balanced: bool,
    /// Links that one client may have.
    pub(crate) max_links: u8,
    /// Open requests on each of them beyond which there is another.
    pub(crate) busy: u32,
    /// Streams that are reset before a link is replaced.
    pub(crate) link_resets: usize,
    /// Between calls, at most; milliseconds.
    pub(crate) pause: u64,
}

/// What is known of a process that runs on a host.
#[derive(Clone, Default)]
pub(crate) struct Process {
    /// As SIGTERM.
    pub(crate) shutdown: CancellationToken,
    /// How often it has started.
    pub(crate) starts: u32,
    /// A server's.
    pub(crate) links: Option<Links>,
    /// What it runs on.
    pub(crate) runtime: Option<tokio::runtime::Id>,
}

/// Knows which replicas take connections, as load balancers do: a moment late.
#[derive(Clone, Default)]
pub(crate) struct Balancer(Arc<Mutex<[bool; 2]>>);

impl Balancer {
    pub(crate) fn set(&self, server: usize, is_ready: bool) {
        self.0.lock().unwrap()[server] = is_ready;
    }

    pub(crate) fn is_ready(&self, server: usize) -> bool {
        self.0.lock().unwrap()[server]
    }

    /// Any one that is ready.
    pub(crate) fn any(&self) -> Option<usize> {
        let ready: Vec<_> = (0..2).filter(|server| self.is_ready(*server)).collect();
        ready.choose(&mut rand::rng()).copied()
    }
}

impl Choices {
    fn draw() -> Self {
        Self {
            clients: rand::random_range(1..=2),
            is_balanced: rand::random_bool(0.3),
            max_links: *[2, 2, 4].choose(&mut rand::rng()).unwrap(),
            busy: rand::random_range(2..8),
            link_resets: *[3, 8, 10_000].choose(&mut rand::rng()).unwrap(),
            pause: rand::random_range(200..1_500),
        }
    }
}

impl Stage {
    pub(crate) fn set() -> Self {
        let registrations = Registrations::default();
        let trace = Trace::start(registrations.clone());
        let token = |kind| Token::from_random(kind, &rand::random());
        let choices = Choices::draw();
        trace.tell(format_args!("{choices:?}"));
        Self {
            trace,
            registrations,
            ledger: Ledger::default(),
            balancer: Balancer::default(),
            middlebox: Middlebox::default(),
            choices,
            connector_token: token(TokenKind::Connector),
            access_token: token(TokenKind::Access),
            servers: Arc::default(),
            clients: Arc::default(),
        }
    }

    pub(crate) fn server(&self, server: usize) -> Process {
        self.servers.lock().unwrap()[server].clone()
    }

    pub(crate) fn client(&self, client: usize) -> Process {
        self.clients.lock().unwrap()[client].clone()
    }

    /// What servers know a client's process by.
    pub(crate) fn instance(&self, client: usize) -> String {
        format!("{}-{}", ["a", "b"][client], self.client(client).starts)
    }

    /// A process starts: what told the last one to end is done with.
    pub(crate) fn server_starts(&self, server: usize) -> Process {
        start(&mut self.servers.lock().unwrap()[server])
    }

    pub(crate) fn client_starts(&self, client: usize) -> Process {
        start(&mut self.clients.lock().unwrap()[client])
    }

    pub(crate) fn server_has(&self, server: usize, links: Links) {
        self.servers.lock().unwrap()[server].links = Some(links);
    }

    /// What a server's links are now, where it has any.
    pub(crate) fn links(&self, server: usize) -> Option<Links> {
        self.servers.lock().unwrap()[server].links.clone()
    }

    /// The server's process is gone, and so is what it knew.
    pub(crate) fn server_is_gone(&self, server: usize) {
        self.servers.lock().unwrap()[server].links = None;
    }
}

fn start(process: &mut Process) -> Process {
    process.shutdown = CancellationToken::new();
    process.starts += 1;
    process.runtime = Some(Handle::current().id());
    process.clone()
}

/// Time between two of a thing, on the average of these bounds.
pub(crate) fn between(least: u64, most: u64) -> Duration {
    Duration::from_millis(rand::random_range(least..=most))
}

//! A peer that runs.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use integration::daemon::own_host;
use integration::slow_path::{SlowPath, Way};
use integration::wait::until;
use local_kubernetes::process::Spawner;
use tempfile::TempDir;

use super::identity::Identity;
use super::{Part, Peer, Place, Programs, Role};
use crate::generator::{Connection, Entry};
use crate::origin::SMALL;

/// Until callers are answered through a new tunnel.
const LINKED: Duration = Duration::from_secs(30);
/// Of one try.
const TRY: Duration = Duration::from_secs(2);

/// A server that has been started.
pub struct Running {
    pub server: Part,
    /// Where clients dial it.
    pub link: SocketAddr,
    /// How callers reach what each client is beside.
    pub entries: Vec<Entry>,
}

/// A server with its clients.
pub struct Tunnel<'a> {
    peer: &'a dyn Peer,
    place: Place<'a>,
    running: Running,
    clients: Vec<Part>,
    _way: Option<SlowPath>,
    _folder: TempDir,
}

impl<'a> Tunnel<'a> {
    /// With one client, through which callers have been answered. `links` is how many
    /// there may be, `way` what lies between the two.
    pub async fn start(
        peer: &'a dyn Peer,
        programs: &'a Programs,
        spawner: &'a Spawner,
        upstream: SocketAddr,
        links: usize,
        way: Option<Way>,
    ) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("culvert-bench-")
            .tempdir()?;
        let (host, far) = (own_host(), own_host());
        let identity = Identity::make(folder.path(), &[host, far, Ipv4Addr::LOCALHOST])?;
        let mut place = Place {
            spawner,
            programs,
            folder: folder.path().to_owned(),
            host,
            far,
            identity,
            secret: format!("{:032x}", rand::random::<u128>()),
            upstream,
            dial: (host, 0).into(),
        };
        let running = peer.server(&place, links).await?;
        place.listens(running.link).await?;
        let way = match way {
            // At the same port: some clients cannot be told another.
            Some(way) => {
                let begins = SocketAddr::from((place.far, running.link.port()));
                Some(SlowPath::start_at(begins, running.link, way).await?)
            }
            None => None,
        };
        place.dial = way.as_ref().map_or(running.link, |way| way.address);
        let mut tunnel = Self {
            peer,
            place,
            running,
            clients: Vec::new(),
            _way: way,
            _folder: folder,
        };
        tunnel.link().await?;
        Ok(tunnel)
    }

    /// Starts a further client and waits until callers are answered through it.
    pub async fn link(&mut self) -> Result<()> {
        let number = self.clients.len();
        let client = self.peer.client(&self.place, &self.running, number);
        self.clients.push(client.await?);
        let entry = self
            .running
            .entries
            .get(number)
            .context("no room for that many links")?;
        until("an answer through the tunnel", LINKED, || async {
            Ok(answered(entry).await.then_some(()))
        })
        .await
        .with_context(|| self.place.logs())
    }

    /// How callers reach what the first client is beside.
    pub fn entry(&self) -> Result<&Entry> {
        self.running.entries.first().context("no link")
    }

    /// Its processes; of the clients the first.
    pub fn parts(&self) -> impl Iterator<Item = &Part> {
        std::iter::once(&self.running.server).chain(self.clients.first())
    }

    /// Resident memory of the server, bytes.
    pub fn server_memory(&self) -> Result<u64> {
        self.running.server.resident()
    }

    /// One of its parts.
    pub fn part(&self, role: Role) -> Option<&Part> {
        self.parts().find(|part| part.role == role)
    }
}

async fn answered(entry: &Entry) -> bool {
    let exchange = async {
        Connection::open(entry)
            .await?
            .exchange(&entry.get(SMALL))
            .await
    };
    let exchange = tokio::time::timeout(TRY, exchange).await;
    exchange.is_ok_and(|answered| answered.is_ok())
}

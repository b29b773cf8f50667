//! What strangers, callers and clusters may take of this server, so that none
//! takes it from the others.

mod address_block;
mod open;
mod peer;
mod rate;
mod settings;
mod strangers;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::metrics::gauge::Gauge;
use service_kit::metrics::Counted;
use thiserror::Error;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tunnel_protocol::ClusterName;

use address_block::Network;
use peer::Unproved;
use rate::{AddressRate, NETWORKS_SHARE, Rate};
use strangers::Strangers;

pub(crate) use address_block::AddressBlock;
pub(crate) use open::{OpenCounts, OpenOne};
pub(crate) use peer::{OpenConnection, Peer};
pub(crate) use settings::{LimitSettings, Share};

/// How often what is idle is forgotten.
const FORGET_EVERY: Duration = Duration::from_secs(30);

/// All limits and what counts against them.
#[derive(Debug)]
pub(crate) struct Limits {
    current: ArcSwap<Current>,
    unproved: OpenCounts<AddressBlock>,
    networks: OpenCounts<Network>,
    strangers: Strangers,
    strangers_open: Gauge,
    connections: OpenCounts<Arc<str>>,
    callers: OpenCounts<Arc<str>>,
    clusters: OpenCounts<ClusterName>,
}

/// One setting's numbers, and the rates made from them.
#[derive(Debug)]
struct Current {
    settings: LimitSettings,
    failures: AddressRate,
    unproved: AddressRate,
    callers: Rate<Arc<str>>,
    clusters: Rate<ClusterName>,
}

impl Current {
    fn new(settings: LimitSettings) -> Self {
        Self {
            settings,
            failures: AddressRate::per_minute(settings.per_address.failures_per_minute),
            unproved: AddressRate::per_minute(settings.per_address.unproved_requests_per_minute),
            callers: Rate::per_second(settings.per_caller.requests_per_second),
            clusters: Rate::per_second(settings.per_cluster.requests_per_second),
        }
    }
}

/// A limit is reached. The text names the setting that says so.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum LimitReached {
    #[error("too many failed authentications from {address} (limits.perAddress.failuresPerMinute)")]
    Failures { address: IpAddr, wait: Duration },
    #[error(
        "too many requests from {address} that prove nothing (limits.perAddress.unprovedRequestsPerMinute)"
    )]
    Unproved { address: IpAddr, wait: Duration },
    #[error("caller {0:?} has too many connections (limits.perCaller.connections)")]
    CallerConnections(Arc<str>),
    #[error("caller {caller:?} sends too many requests (limits.perCaller.requestsPerSecond)")]
    CallerRate { caller: Arc<str>, wait: Duration },
    #[error("caller {0:?} has too many open requests (limits.perCaller.openRequests)")]
    CallerOpen(Arc<str>),
    #[error("cluster {cluster} gets too many requests (limits.perCluster.requestsPerSecond)")]
    ClusterRate {
        cluster: ClusterName,
        wait: Duration,
    },
    #[error("cluster {0} has too many open requests (limits.perCluster.openRequests)")]
    ClusterOpen(ClusterName),
}

impl LimitReached {
    /// Whole seconds after which trying again is worth it, at least one.
    pub(crate) fn retry_after(&self) -> u32 {
        let wait = match self {
            Self::Failures { wait, .. }
            | Self::Unproved { wait, .. }
            | Self::CallerRate { wait, .. }
            | Self::ClusterRate { wait, .. } => *wait,
            Self::CallerConnections(_) | Self::CallerOpen(_) | Self::ClusterOpen(_) => {
                Duration::ZERO
            }
        };
        u32::try_from(wait.as_millis().div_ceil(1000))
            .unwrap_or(u32::MAX)
            .max(1)
    }

    /// Whether the connection it came over is to end.
    pub(crate) fn ends_connection(&self) -> bool {
        matches!(
            self,
            Self::Failures { .. } | Self::Unproved { .. } | Self::CallerConnections(_)
        )
    }
}

/// What a request takes as long as it is open.
#[derive(Debug)]
pub(crate) struct Places {
    /// Among its caller's requests.
    pub(crate) _caller: OpenOne<Arc<str>>,
    /// Among its cluster's.
    pub(crate) _cluster: OpenOne<ClusterName>,
    /// An upgraded connection outlives the task that served it.
    pub(crate) _connection: Arc<Peer>,
}

impl Limits {
    /// `places` is for all connections: those that prove nothing have half of them.
    /// They are counted in `strangers_open`.
    pub(crate) fn new(settings: LimitSettings, places: usize, strangers_open: Gauge) -> Self {
        Self {
            current: ArcSwap::from_pointee(Current::new(settings)),
            unproved: OpenCounts::default(),
            networks: OpenCounts::default(),
            strangers: Strangers::new(places / 2),
            strangers_open,
            connections: OpenCounts::default(),
            callers: OpenCounts::default(),
            clusters: OpenCounts::default(),
        }
    }

    /// Takes over other numbers; what is open stays open.
    pub(crate) fn change(&self, settings: LimitSettings) {
        if self.current.load().settings != settings {
            self.current.store(Arc::new(Current::new(settings)));
        }
    }

    /// A new connection; nothing where its address has too many that have not
    /// proved anything. Where all addresses together have too many, another one makes
    /// room for it.
    pub(crate) fn connection(&self, address: SocketAddr, open: OpenConnection) -> Option<Peer> {
        let limit = self
            .current
            .load()
            .settings
            .per_address
            .unproved_connections;
        let ip = address.ip();
        let in_address = self.unproved.open(&ip.into(), limit)?;
        let networks_limit = limit.saturating_mul(NETWORKS_SHARE);
        let in_network = self.networks.open(&ip.into(), networks_limit)?;
        let crowded_out = CancellationToken::new();
        let last = open.place.is_last();
        let counted = Unproved {
            _address: in_address,
            _network: in_network,
            _stranger: self.strangers.enter(ip.into(), last, crowded_out.clone()),
            _counted: Counted::new(&self.strangers_open),
        };
        Some(Peer::unproved(address, counted, crowded_out, open))
    }

    /// Counts an authentication that failed.
    pub(crate) fn failure(&self, peer: &Peer) -> Result<(), LimitReached> {
        let address = peer.address().ip();
        let current = self.current.load();
        let counted = current.failures.count(address);
        counted.map_err(|wait| LimitReached::Failures { address, wait })
    }

    /// Counts a request that ended before its credential was accepted.
    pub(crate) fn unproved_request(&self, peer: &Peer) -> Result<(), LimitReached> {
        let address = peer.address().ip();
        let current = self.current.load();
        let counted = current.unproved.count(address);
        counted.map_err(|wait| LimitReached::Unproved { address, wait })
    }

    /// A request of a caller who has proved who it is; so has the connection.
    pub(crate) fn caller(
        &self,
        peer: &Peer,
        caller: &Arc<str>,
    ) -> Result<OpenOne<Arc<str>>, LimitReached> {
        let current = self.current.load();
        let LimitSettings {
            per_caller,
            caller_connections,
            ..
        } = current.settings;
        let connection = || self.connections.open(caller, caller_connections);
        if !peer.proved_as(connection) {
            return Err(LimitReached::CallerConnections(caller.clone()));
        }
        current
            .callers
            .count(caller)
            .map_err(|wait| LimitReached::CallerRate {
                caller: caller.clone(),
                wait,
            })?;
        self.callers
            .open(caller, per_caller.open_requests)
            .ok_or_else(|| LimitReached::CallerOpen(caller.clone()))
    }

    /// A request that may go to the cluster.
    pub(crate) fn cluster(
        &self,
        cluster: &ClusterName,
    ) -> Result<OpenOne<ClusterName>, LimitReached> {
        let current = self.current.load();
        current
            .clusters
            .count(cluster)
            .map_err(|wait| LimitReached::ClusterRate {
                cluster: cluster.clone(),
                wait,
            })?;
        self.clusters
            .open(cluster, current.settings.per_cluster.open_requests)
            .ok_or_else(|| LimitReached::ClusterOpen(cluster.clone()))
    }

    /// Keeps the memory that idle keys take bounded. Runs until it is dropped.
    pub(crate) async fn forget_the_idle(&self) {
        loop {
            sleep(FORGET_EVERY).await;
            let current = self.current.load_full();
            current.failures.forget_the_idle();
            current.unproved.forget_the_idle();
            current.callers.forget_the_idle();
            current.clusters.forget_the_idle();
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::Semaphore;

    use super::*;

    fn limits(settings: LimitSettings) -> Limits {
        Limits::new(settings, 100, Gauge::default())
    }

    fn peer(limits: &Limits) -> Option<Peer> {
        let place = Arc::new(Semaphore::new(2)).try_acquire_owned().unwrap();
        let open = OpenConnection {
            place: place.into(),
            _counted: Counted::new(&Gauge::default()),
            closing: CancellationToken::new(),
        };
        limits.connection(([192, 0, 2, 1], 1).into(), open)
    }

    #[test]
    fn a_connection_that_proves_itself_leaves_its_address_room() {
        let mut settings = LimitSettings::default();
        settings.per_address.unproved_connections = 1;
        settings.caller_connections = 1;
        let limits = limits(settings);
        let first = peer(&limits).unwrap();
        assert!(peer(&limits).is_none());
        assert_eq!(limits.strangers_open.get(), 1);
        drop(limits.caller(&first, &"ci".into()).unwrap());
        assert_eq!(limits.strangers_open.get(), 0);
        let second = peer(&limits).unwrap();
        assert!(matches!(
            limits.caller(&second, &"ci".into()),
            Err(LimitReached::CallerConnections(_))
        ));
        drop(first);
        limits.caller(&second, &"ci".into()).unwrap();
    }

    #[test]
    fn open_requests_and_rates_are_each_ones_own() {
        let share = Share {
            requests_per_second: 1,
            open_requests: 1,
        };
        let settings = LimitSettings {
            per_caller: share,
            per_cluster: share,
            ..LimitSettings::default()
        };
        let limits = limits(settings);
        let peer = peer(&limits).unwrap();
        let place = limits.caller(&peer, &"a".into()).unwrap();
        assert!(matches!(
            limits.caller(&peer, &"a".into()),
            Err(LimitReached::CallerOpen(_))
        ));
        drop(place);
        let reached = limits.caller(&peer, &"a".into()).unwrap_err();
        assert!(matches!(reached, LimitReached::CallerRate { .. }));
        assert_eq!(reached.retry_after(), 1);
        limits.caller(&peer, &"b".into()).unwrap();
        let cluster = ClusterName::parse("prod").unwrap();
        let _place = limits.cluster(&cluster).unwrap();
        assert!(matches!(
            limits.cluster(&cluster),
            Err(LimitReached::ClusterOpen(_))
        ));
    }

    #[test]
    fn other_numbers_are_taken_over() {
        let mut settings = LimitSettings::default();
        settings.per_address.failures_per_minute = 1;
        let limits = limits(settings);
        let peer = peer(&limits).unwrap();
        limits.failure(&peer).unwrap();
        assert!(limits.failure(&peer).unwrap_err().ends_connection());
        settings.per_address.failures_per_minute = 0;
        limits.change(settings);
        limits.failure(&peer).unwrap();
    }
}

//! What strangers, callers and clusters may take of this server, so that none
//! takes it from the others.

mod address_block;
mod open;
mod peer;
mod rate;
mod settings;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use thiserror::Error;
use tokio::time::sleep;
use tunnel_protocol::ClusterName;

use address_block::AddressBlock;
use rate::Rate;

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
    connections: OpenCounts<Arc<str>>,
    callers: OpenCounts<Arc<str>>,
    clusters: OpenCounts<ClusterName>,
}

/// One setting's numbers, and the rates made from them.
#[derive(Debug)]
struct Current {
    settings: LimitSettings,
    failures: Rate<AddressBlock>,
    callers: Rate<Arc<str>>,
    clusters: Rate<ClusterName>,
}

impl Current {
    fn new(settings: LimitSettings) -> Self {
        Self {
            settings,
            failures: Rate::per_minute(settings.per_address.failures_per_minute),
            callers: Rate::per_second(settings.per_caller.requests_per_second),
            clusters: Rate::per_second(settings.per_cluster.requests_per_second),
        }
    }
}

/// A limit is reached. The text names the setting that says so.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub(crate) enum LimitReached {
    #[error("too many failed authentications from {address} (limits.perAddress.failuresPerMinute)")]
    Failures {
        address: std::net::IpAddr,
        wait: Duration,
    },
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
        matches!(self, Self::Failures { .. } | Self::CallerConnections(_))
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
    pub(crate) fn new(settings: LimitSettings) -> Self {
        Self {
            current: ArcSwap::from_pointee(Current::new(settings)),
            unproved: OpenCounts::default(),
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
    /// proved anything.
    pub(crate) fn connection(&self, address: SocketAddr, open: OpenConnection) -> Option<Peer> {
        let limit = self
            .current
            .load()
            .settings
            .per_address
            .unproved_connections;
        let place = self.unproved.open(&address.ip().into(), limit)?;
        Some(Peer::unproved(address, place, open))
    }

    /// Counts an authentication that failed.
    pub(crate) fn failure(&self, peer: &Peer) -> Result<(), LimitReached> {
        let address = peer.address().ip();
        self.current
            .load()
            .failures
            .count(&address.into())
            .map_err(|wait| LimitReached::Failures { address, wait })
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
            current.callers.forget_the_idle();
            current.clusters.forget_the_idle();
        }
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::metrics::gauge::Gauge;
    use service_kit::metrics::Counted;
    use tokio::sync::Semaphore;

    use super::*;

    fn limits(settings: LimitSettings) -> Limits {
        Limits::new(settings)
    }

    fn peer(limits: &Limits) -> Option<Peer> {
        let place = Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap();
        let open = OpenConnection {
            _place: place.into(),
            _counted: Counted::new(&Gauge::default()),
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
        drop(limits.caller(&first, &"ci".into()).unwrap());
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

//! What strangers, callers and clusters may take of this server, so that none
//! takes it from the others.

mod address_block;
mod connection;
mod open;
mod peer;
mod rate;
mod settings;
mod strangers;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use prometheus_client::metrics::gauge::Gauge;
use service_kit::accept::Place;
use service_kit::metrics::Counted;
use thiserror::Error;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tunnel_protocol::ClusterName;

use address_block::Network;
use connection::Unproved;
use rate::{AddressRate, NETWORKS_SHARE, Rate};
use strangers::{Stranger, Strangers};

use crate::client_address::ClientAddress;

pub(crate) use address_block::AddressBlock;
pub(crate) use connection::{Connection, OpenConnection};
pub(crate) use open::{OpenCounts, OpenOne};
pub(crate) use peer::Peer;
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
    handshakes: Rate<ClusterName>,
}

impl Current {
    fn new(settings: LimitSettings) -> Self {
        Self {
            settings,
            failures: AddressRate::per_minute(settings.per_address.failures_per_minute),
            unproved: AddressRate::per_minute(settings.per_address.unproved_requests_per_minute),
            callers: Rate::per_second(settings.per_caller.requests_per_second),
            clusters: Rate::per_second(settings.per_cluster.requests_per_second),
            handshakes: Rate::per_minute(settings.cluster_handshakes),
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
    #[error("cluster {cluster} dials too often (limits.perCluster.handshakesPerMinute)")]
    Handshakes {
        cluster: ClusterName,
        wait: Duration,
    },
}

impl LimitReached {
    /// Whole seconds after which trying again is worth it, at least one.
    pub(crate) fn retry_after(&self) -> u32 {
        let wait = match self {
            Self::Failures { wait, .. }
            | Self::Unproved { wait, .. }
            | Self::CallerRate { wait, .. }
            | Self::ClusterRate { wait, .. }
            | Self::Handshakes { wait, .. } => *wait,
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
            Self::Failures { .. }
                | Self::Unproved { .. }
                | Self::CallerConnections(_)
                | Self::Handshakes { .. }
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
    pub(crate) _connection: Arc<Connection>,
}

/// A connection of which it is not known yet whose it is: one of the strangers, but
/// nobody's.
#[derive(Debug)]
pub(crate) struct Arriving {
    crowded_out: CancellationToken,
    _stranger: Stranger,
    /// In the metrics.
    _counted: Counted,
}

impl Arriving {
    /// Once it has to make room for others.
    pub(crate) async fn crowded_out(&self) {
        self.crowded_out.cancelled().await;
    }
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
    pub(crate) fn connection(
        &self,
        address: ClientAddress,
        open: OpenConnection,
    ) -> Option<Connection> {
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
        Some(Connection::unproved(address, counted, crowded_out, open))
    }

    /// A new connection of a trusted proxy, which counts against nobody. A stranger makes
    /// room where it has the last place.
    pub(crate) fn shared(&self, address: ClientAddress, open: OpenConnection) -> Connection {
        if open.place.is_last() {
            self.strangers.make_room();
        }
        Connection::shared(address, open)
    }

    /// A new connection that still has to announce whose it is.
    pub(crate) fn arriving(&self, address: IpAddr, place: &Place) -> Arriving {
        let crowded_out = CancellationToken::new();
        let (last, go) = (place.is_last(), crowded_out.clone());
        Arriving {
            crowded_out,
            _stranger: self.strangers.enter(address.into(), last, go),
            _counted: Counted::new(&self.strangers_open),
        }
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
        connection: &Connection,
        caller: &Arc<str>,
    ) -> Result<OpenOne<Arc<str>>, LimitReached> {
        let current = self.current.load();
        let LimitSettings {
            per_caller,
            caller_connections,
            ..
        } = current.settings;
        let place = || self.connections.open(caller, caller_connections);
        if !connection.proved_as(place) {
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

    /// Counts a handshake of a connector whose token is known.
    pub(crate) fn handshake(&self, cluster: &ClusterName) -> Result<(), LimitReached> {
        let current = self.current.load();
        let counted = current.handshakes.count(cluster);
        counted.map_err(|wait| LimitReached::Handshakes {
            cluster: cluster.clone(),
            wait,
        })
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
            current.handshakes.forget_the_idle();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;
    use std::pin::pin;
    use std::task::{Context, Waker};

    use http::{HeaderMap, HeaderValue};
    use tokio::sync::Semaphore;

    use super::*;
    use crate::forwarded::X_FORWARDED_FOR;
    use crate::trusted_proxies::{TrustedProxies, network};

    fn limits(settings: LimitSettings) -> Limits {
        Limits::new(settings, 100, Gauge::default())
    }

    fn open() -> OpenConnection {
        open_one_of(2)
    }

    /// The first connection where so many have a place.
    fn open_one_of(places: usize) -> OpenConnection {
        let place = Arc::new(Semaphore::new(places))
            .try_acquire_owned()
            .unwrap();
        OpenConnection {
            place: place.into(),
            _counted: Counted::new(&Gauge::default()),
            closing: CancellationToken::new(),
        }
    }

    fn connection(limits: &Limits) -> Option<Connection> {
        let address = SocketAddr::from(([192, 0, 2, 1], 1));
        limits.connection(address.into(), open())
    }

    fn peer(limits: &Limits) -> Option<Peer> {
        let connection = Arc::new(connection(limits)?);
        let proxies = TrustedProxies::default();
        Some(Peer::of(connection, &HeaderMap::new(), &proxies))
    }

    #[test]
    fn a_connection_that_proves_itself_leaves_its_address_room() {
        let mut settings = LimitSettings::default();
        settings.per_address.unproved_connections = 1;
        settings.caller_connections = 1;
        let limits = limits(settings);
        let first = connection(&limits).unwrap();
        assert!(connection(&limits).is_none());
        assert_eq!(limits.strangers_open.get(), 1);
        drop(limits.caller(&first, &"ci".into()).unwrap());
        assert_eq!(limits.strangers_open.get(), 0);
        let second = connection(&limits).unwrap();
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
        let one = connection(&limits).unwrap();
        let place = limits.caller(&one, &"a".into()).unwrap();
        assert!(matches!(
            limits.caller(&one, &"a".into()),
            Err(LimitReached::CallerOpen(_))
        ));
        drop(place);
        let reached = limits.caller(&one, &"a".into()).unwrap_err();
        assert!(matches!(reached, LimitReached::CallerRate { .. }));
        assert_eq!(reached.retry_after(), 1);
        limits.caller(&one, &"b".into()).unwrap();
        let cluster = ClusterName::parse("prod").unwrap();
        let _place = limits.cluster(&cluster).unwrap();
        assert!(matches!(
            limits.cluster(&cluster),
            Err(LimitReached::ClusterOpen(_))
        ));
    }

    #[test]
    fn one_cluster_dials_only_so_often() {
        let limits = limits(LimitSettings {
            cluster_handshakes: 2,
            ..LimitSettings::default()
        });
        let [one, other] = ["one", "other"].map(|name| ClusterName::parse(name).unwrap());
        limits.handshake(&one).unwrap();
        limits.handshake(&one).unwrap();
        let reached = limits.handshake(&one).unwrap_err();
        assert!((20..=30).contains(&reached.retry_after()));
        assert!(reached.ends_connection());
        limits.handshake(&other).unwrap();
    }

    /// All links that a cluster may have come back at once, again and again.
    #[test]
    fn by_default_a_fleet_comes_back_unhindered() {
        const LINKS: usize = 32;
        let limits = limits(LimitSettings::default());
        let cluster = ClusterName::parse("one").unwrap();
        assert!((0..9 * LINKS).all(|_| limits.handshake(&cluster).is_ok()));
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

    #[test]
    fn a_stranger_makes_room_for_what_comes_behind_a_trusted_proxy() {
        let limits = limits(LimitSettings::default());
        let stranger = connection(&limits).unwrap();
        let has_to_go = || {
            let mut context = Context::from_waker(Waker::noop());
            pin!(stranger.crowded_out()).poll(&mut context).is_ready()
        };
        let proxy = SocketAddr::from(([10, 0, 0, 1], 7));
        let _with_room = limits.shared(proxy.into(), open_one_of(2));
        assert!(!has_to_go());
        let _last = limits.shared(proxy.into(), open_one_of(1));
        assert!(has_to_go());
    }

    #[test]
    fn what_many_share_counts_against_each_of_them() {
        let mut settings = LimitSettings::default();
        settings.per_address.unproved_connections = 1;
        settings.per_address.failures_per_minute = 1;
        settings.caller_connections = 1;
        let limits = limits(settings);
        let proxies = TrustedProxies {
            networks: vec![network("10.0.0.1").unwrap()],
            ..TrustedProxies::default()
        };
        let shared = || {
            let address = SocketAddr::from(([10, 0, 0, 1], 7));
            Arc::new(limits.shared(address.into(), open()))
        };
        let from = |connection: &Arc<Connection>, client: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(X_FORWARDED_FOR, HeaderValue::from_static(client));
            Peer::of(connection.clone(), &headers, &proxies)
        };
        let (one, two) = (shared(), shared());
        assert_eq!(limits.strangers_open.get(), 0);
        limits.failure(&from(&one, "192.0.2.1")).unwrap();
        limits.failure(&from(&two, "192.0.2.1")).unwrap_err();
        limits.failure(&from(&two, "192.0.2.2")).unwrap();
        for connection in [&one, &two] {
            limits.caller(connection, &"a".into()).unwrap();
            limits.caller(connection, &"b".into()).unwrap();
            connection.close();
            assert!(!connection.closing().is_cancelled());
        }
        // A stranger's claim is none.
        let stranger = Arc::new(connection(&limits).unwrap());
        assert_eq!(
            from(&stranger, "192.0.2.9").address().to_string(),
            "192.0.2.1:1"
        );
        stranger.close();
        assert!(stranger.closing().is_cancelled());
    }
}

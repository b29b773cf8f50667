//! The limits as numbers. 0 means no limit.

/// The configuration file's section `limits`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LimitSettings {
    /// `limits.perAddress`
    pub(crate) per_address: AddressLimits,
    /// `limits.perCaller`
    pub(crate) per_caller: Share,
    /// `limits.perCluster`
    pub(crate) per_cluster: Share,
    /// `limits.perCaller.connections`
    pub(crate) caller_connections: u32,
    /// `limits.perCluster.handshakesPerMinute`: of its connectors. Beyond them the answer
    /// is 429, and nothing is written down.
    pub(crate) cluster_handshakes: u32,
}

/// What strangers may take. Whoever has proved who it is counts as itself, not as
/// its address: whole companies share one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AddressLimits {
    /// Connections that have not proved anything yet.
    pub(crate) unproved_connections: u32,
    /// Requests that end before their credential is accepted; beyond them the answer
    /// is 429, and nothing is written down.
    pub(crate) unproved_requests_per_minute: u32,
    /// Failed authentications; beyond them the answer is 429.
    pub(crate) failures_per_minute: u32,
}

/// What one caller may take, or what all callers together may of one cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Share {
    /// Twice as many may come in one burst.
    pub(crate) requests_per_second: u32,
    /// Watches and upgraded connections are open as long as they last.
    pub(crate) open_requests: u32,
}

impl Default for LimitSettings {
    /// Requests: above what an API server takes in (400 and 200 at once are its
    /// own defaults), below what harms the other clusters of this server.
    /// Connections: a platform that has restarted opens one for each of its
    /// watches at once, and each is unproved for some milliseconds.
    /// Unproved requests: far above probes, monitors and people who try; as lines of
    /// the audit log 200 MB a day.
    /// Handshakes: all links that a cluster may have, nine times a minute, be they lost or
    /// refused; as lines of the audit log, two for each link, 200 MB a day, too.
    fn default() -> Self {
        let share = Share {
            requests_per_second: 2000,
            open_requests: 8000,
        };
        Self {
            per_address: AddressLimits {
                unproved_connections: 1024,
                unproved_requests_per_minute: 300,
                failures_per_minute: 60,
            },
            per_caller: share,
            per_cluster: share,
            caller_connections: 4000,
            cluster_handshakes: 300,
        }
    }
}

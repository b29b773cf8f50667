//! The access store that is a section of the configuration file.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use time::OffsetDateTime;
use tokio::sync::watch;
use tunnel_protocol::ClusterName;
use tunnel_protocol::token::TokenHash;

use super::{AccessStore, Caller, Cluster, Grant, StoreError};

/// One reading of the file.
#[derive(Clone, Debug, Default)]
pub struct AccessData {
    pub(crate) clusters: HashMap<ClusterName, Arc<Cluster>>,
    pub(crate) connectors: HashMap<TokenHash, ConnectorToken>,
    pub(crate) callers: HashMap<TokenHash, CallerToken>,
    pub(crate) allowed: HashMap<Arc<str>, Allowed>,
}

#[derive(Clone, Debug)]
pub(crate) struct ConnectorToken {
    pub(crate) cluster: Arc<Cluster>,
    pub(crate) expires: Option<OffsetDateTime>,
}

#[derive(Clone, Debug)]
pub(crate) struct CallerToken {
    pub(crate) caller: Arc<Caller>,
    pub(crate) expires: Option<OffsetDateTime>,
}

/// The clusters that a caller may call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed {
    pub(crate) all: bool,
    pub(crate) clusters: HashSet<ClusterName>,
}

impl AccessData {
    /// How many clusters there are.
    #[must_use]
    pub fn clusters(&self) -> usize {
        self.clusters.len()
    }

    /// How many callers there are.
    #[must_use]
    pub fn callers(&self) -> usize {
        self.allowed.len()
    }

    /// The next time at which a token expires.
    fn next_expiry(&self, now: OffsetDateTime) -> Option<OffsetDateTime> {
        let connectors = self.connectors.values().filter_map(|token| token.expires);
        let callers = self.callers.values().filter_map(|token| token.expires);
        connectors
            .chain(callers)
            .filter(|expires| *expires > now)
            .min()
    }
}

/// Holds the last good reading.
#[derive(Debug)]
pub struct FileStore {
    data: ArcSwap<AccessData>,
    changes: watch::Sender<u64>,
}

impl FileStore {
    /// Starts with a first reading.
    #[must_use]
    pub fn new(data: AccessData) -> Self {
        Self {
            data: ArcSwap::from_pointee(data),
            changes: watch::Sender::new(0),
        }
    }

    /// Takes over a new reading.
    pub fn replace(&self, data: AccessData) {
        self.data.store(Arc::new(data));
        self.changes.send_modify(|generation| *generation += 1);
    }

    /// Tells of each token's expiry as of a change. Runs until it is dropped.
    pub(crate) async fn tell_expiries(&self) {
        /// Looked at anew at least this often, as the clock may be set.
        const AT_LEAST: Duration = Duration::from_secs(30);
        let mut changes = self.changes.subscribe();
        let mut last = OffsetDateTime::now_utc();
        loop {
            let due = self.data.load().next_expiry(last);
            let wait = due.map_or(AT_LEAST, |due| {
                Duration::try_from(due - OffsetDateTime::now_utc())
                    .unwrap_or_default()
                    .min(AT_LEAST)
            });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = changes.changed() => {}
            }
            if due.is_some_and(|due| due <= OffsetDateTime::now_utc()) {
                last = OffsetDateTime::now_utc();
                self.changes.send_modify(|generation| *generation += 1);
            }
        }
    }
}

fn live(expires: Option<OffsetDateTime>) -> bool {
    expires.is_none_or(|expires| OffsetDateTime::now_utc() < expires)
}

#[async_trait]
impl AccessStore for FileStore {
    async fn connector(&self, token: TokenHash) -> Result<Option<Arc<Cluster>>, StoreError> {
        let data = self.data.load();
        Ok(data
            .connectors
            .get(&token)
            .filter(|token| live(token.expires))
            .map(|token| token.cluster.clone()))
    }

    async fn caller(&self, token: TokenHash) -> Result<Option<Arc<Caller>>, StoreError> {
        let data = self.data.load();
        Ok(data
            .callers
            .get(&token)
            .filter(|token| live(token.expires))
            .map(|token| token.caller.clone()))
    }

    async fn cluster(&self, name: &ClusterName) -> Result<Option<Arc<Cluster>>, StoreError> {
        Ok(self.data.load().clusters.get(name).cloned())
    }

    async fn may_call(
        &self,
        caller: &Caller,
        cluster: &Cluster,
    ) -> Result<Option<Grant>, StoreError> {
        let data = self.data.load();
        let allowed = data.allowed.get(&caller.name);
        Ok(allowed.and_then(|allowed| {
            let named = allowed.clusters.contains(&cluster.name);
            if named {
                Some(Grant::Cluster(cluster.name.clone()))
            } else {
                allowed.all.then_some(Grant::All)
            }
        }))
    }

    fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }
}

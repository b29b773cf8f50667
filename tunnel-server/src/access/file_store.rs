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

/// Expiries are looked at anew at least this often, as the clock may be set.
const LOOK_AT_LEAST: Duration = Duration::from_secs(30);

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
        self.tell_expiries_by(OffsetDateTime::now_utc).await;
    }

    /// By a clock that may be set.
    async fn tell_expiries_by(&self, now: impl Fn() -> OffsetDateTime) {
        let mut changes = self.changes.subscribe();
        let mut last = now();
        loop {
            // What had expired by a clock that was put back is to expire once more.
            last = last.min(now());
            let due = self.data.load().next_expiry(last);
            let wait = due.map_or(LOOK_AT_LEAST, |due| {
                Duration::try_from(due - now())
                    .unwrap_or_default()
                    .min(LOOK_AT_LEAST)
            });
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = changes.changed() => {}
            }
            if due.is_some_and(|due| due <= now()) {
                last = now();
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use tunnel_protocol::token::{Token, TokenKind};

    use super::*;

    /// A clock that goes on by itself, and that somebody sets.
    #[derive(Default)]
    struct Clock {
        wrong_by: AtomicI64,
    }

    impl Clock {
        fn now(&self, started: tokio::time::Instant) -> OffsetDateTime {
            let wrong_by = time::Duration::seconds(self.wrong_by.load(Ordering::Relaxed));
            OffsetDateTime::UNIX_EPOCH + started.elapsed() + wrong_by
        }
    }

    fn expires_at(second: i64) -> FileStore {
        let cluster = Arc::new(Cluster {
            name: ClusterName::parse("prod").unwrap(),
            owner: String::new(),
            labels: Vec::new(),
        });
        let token = ConnectorToken {
            cluster,
            expires: Some(OffsetDateTime::UNIX_EPOCH + time::Duration::seconds(second)),
        };
        let hash = Token::from_random(TokenKind::Connector, &[7; 32]).hash();
        FileStore::new(AccessData {
            connectors: [(hash, token)].into_iter().collect(),
            ..AccessData::default()
        })
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_set_delays_no_expiry_for_long() {
        let store = expires_at(1_000);
        let (clock, started) = (Clock::default(), tokio::time::Instant::now());
        let mut changes = store.changes();
        let at = |second| tokio::time::sleep_until(started + Duration::from_secs(second));
        let set = |seconds| clock.wrong_by.store(seconds, Ordering::Relaxed);
        let course = async {
            // Put forward, beyond it: told within a look.
            at(100).await;
            set(3_600);
            at(131).await;
            assert!(changes.has_changed().unwrap());
            changes.mark_unchanged();
            // Put back: the token is good again, until its time comes.
            set(0);
            at(999).await;
            assert!(!changes.has_changed().unwrap());
            at(1_001).await;
            assert!(changes.has_changed().unwrap());
        };
        tokio::select! {
            () = store.tell_expiries_by(|| clock.now(started)) => {}
            () = course => {}
        }
    }
}

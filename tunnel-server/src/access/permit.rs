//! Proof that a request was authorized, and the watch over that proof.

use std::sync::Arc;

use thiserror::Error;
use tokio::sync::watch;
use tunnel_protocol::token::TokenHash;

use super::{AccessStore, Caller, Cluster, Grant, StoreError};

/// A request to this cluster by this caller was authorized. The only way to a
/// link; made by [`authorize`] alone.
#[derive(Clone)]
pub(crate) struct Permit {
    caller: Arc<Caller>,
    cluster: Arc<Cluster>,
    grant: Grant,
    store: Arc<dyn AccessStore>,
    changes: watch::Receiver<u64>,
}

/// The request is not authorized.
#[derive(Debug, Error)]
pub(crate) enum Denied {
    #[error("caller {caller:?} may not call cluster {cluster}")]
    Forbidden { caller: Arc<str>, cluster: String },
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Decides on a request.
pub(crate) async fn authorize(
    store: Arc<dyn AccessStore>,
    caller: Arc<Caller>,
    cluster: Arc<Cluster>,
) -> Result<Permit, Denied> {
    // Before the question, so that no change in between is missed.
    let changes = store.changes();
    if let Some(grant) = store.may_call(&caller, &cluster).await? {
        Ok(Permit {
            caller,
            cluster,
            grant,
            store,
            changes,
        })
    } else {
        Err(Denied::Forbidden {
            caller: caller.name.clone(),
            cluster: cluster.name.to_string(),
        })
    }
}

impl Permit {
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// What the request was allowed by.
    pub(crate) fn grant(&self) -> &Grant {
        &self.grant
    }

    /// Resolves when the permit no longer holds: its token, its cluster or its
    /// permission is gone. A store that cannot answer revokes nothing.
    pub(crate) async fn revoked(mut self) -> &'static str {
        loop {
            if self.changes.changed().await.is_err() {
                return std::future::pending().await;
            }
            match self.holds().await {
                Ok(true) => {}
                Ok(false) => return "the caller's access was revoked",
                Err(error) => tracing::warn!(%error, "a permit could not be asked for again"),
            }
        }
    }

    async fn holds(&self) -> Result<bool, StoreError> {
        let token = self.store.caller(self.caller.token).await?;
        let cluster = self.store.cluster(&self.cluster.name).await?;
        Ok(token.is_some_and(|caller| caller.name == self.caller.name)
            && cluster.is_some()
            && self
                .store
                .may_call(&self.caller, &self.cluster)
                .await?
                .is_some())
    }
}

/// Resolves when a connector token no longer speaks for its cluster.
pub(crate) async fn connector_revoked(
    store: Arc<dyn AccessStore>,
    mut changes: watch::Receiver<u64>,
    token: TokenHash,
    cluster: Arc<Cluster>,
) {
    loop {
        if changes.changed().await.is_err() {
            return std::future::pending().await;
        }
        match store.connector(token).await {
            Ok(Some(now)) if now.name == cluster.name => {}
            Ok(_) => return,
            Err(error) => tracing::warn!(%error, "a connector token could not be asked for again"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::file_store::{AccessData, Allowed, CallerToken, FileStore};
    use tunnel_protocol::ClusterName;

    fn data() -> (AccessData, Arc<Caller>, Arc<Cluster>) {
        let name = ClusterName::parse("prod").unwrap();
        let cluster = Arc::new(Cluster {
            name: name.clone(),
            owner: String::new(),
            labels: Vec::new(),
        });
        let token = TokenHash::parse(&format!("sha256:{}", "0".repeat(64))).unwrap();
        let caller = Arc::new(Caller {
            name: "ci".into(),
            token_name: "one".into(),
            token,
        });
        let mut data = AccessData::default();
        data.clusters.insert(name.clone(), cluster.clone());
        data.callers.insert(
            token,
            CallerToken {
                caller: caller.clone(),
                expires: None,
            },
        );
        data.allowed.insert(
            "ci".into(),
            Allowed {
                all: false,
                clusters: [name].into(),
            },
        );
        (data, caller, cluster)
    }

    #[tokio::test]
    async fn each_removal_revokes_and_other_changes_do_not() {
        let removals: [fn(&mut AccessData); 3] = [
            |data| data.callers.clear(),
            |data| data.clusters.clear(),
            |data| data.allowed.clear(),
        ];
        for remove in removals {
            let (data, caller, cluster) = data();
            let store = Arc::new(FileStore::new(data.clone()));
            let permit = authorize(store.clone(), caller, cluster).await.unwrap();
            let mut revoked = std::pin::pin!(permit.revoked());
            store.replace(data.clone());
            let unrevoked =
                tokio::time::timeout(std::time::Duration::from_millis(20), revoked.as_mut());
            assert!(
                unrevoked.await.is_err(),
                "an unrelated change revoked the permit"
            );
            let mut without = data;
            remove(&mut without);
            store.replace(without);
            revoked.await;
        }
    }

    #[tokio::test]
    async fn no_permission_no_permit() {
        let (mut data, caller, cluster) = data();
        data.allowed.clear();
        let denied = authorize(Arc::new(FileStore::new(data)), caller, cluster).await;
        assert!(matches!(denied, Err(Denied::Forbidden { .. })));
    }
}

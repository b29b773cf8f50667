//! Who calls, which clusters there are, and who may call which.

pub mod file_store;
mod permit;

use std::sync::Arc;

use async_trait::async_trait;
use thiserror::Error;
use tokio::sync::watch;
use tunnel_protocol::ClusterName;
use tunnel_protocol::token::TokenHash;

pub(crate) use permit::{Denied, Permit, authorize, connector_revoked};

/// A registered cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// Its subdomain.
    pub name: ClusterName,
    /// Whom to ask about it.
    pub owner: String,
    /// For people and, later, for rules.
    pub labels: Vec<(String, String)>,
}

/// A caller that has proved itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// For logs and the audit.
    pub name: Arc<str>,
    /// Which of the caller's tokens it was.
    pub token_name: Arc<str>,
    /// That token, as kept.
    pub token: TokenHash,
}

/// Why a caller may call a cluster: what the caller's `clusters` say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Grant {
    /// Every cluster.
    All,
    /// This one.
    Cluster(ClusterName),
}

impl std::fmt::Display for Grant {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::All => f.write_str("clusters: *"),
            Self::Cluster(name) => write!(f, "clusters: {name}"),
        }
    }
}

/// The store cannot answer.
#[derive(Debug, Error)]
#[error("the access store cannot answer: {0}")]
pub struct StoreError(pub String);

/// What the server asks about access. Expired tokens are not known to it.
#[async_trait]
pub trait AccessStore: Send + Sync {
    /// The cluster that a connector token speaks for.
    async fn connector(&self, token: TokenHash) -> Result<Option<Arc<Cluster>>, StoreError>;

    /// The caller that an access token belongs to.
    async fn caller(&self, token: TokenHash) -> Result<Option<Arc<Caller>>, StoreError>;

    /// The cluster of that name.
    async fn cluster(&self, name: &ClusterName) -> Result<Option<Arc<Cluster>>, StoreError>;

    /// Whether the caller may call the cluster, and by what.
    async fn may_call(
        &self,
        caller: &Caller,
        cluster: &Cluster,
    ) -> Result<Option<Grant>, StoreError>;

    /// Changes whenever an answer of the other methods may have changed, so that
    /// what was granted is asked for again.
    fn changes(&self) -> watch::Receiver<u64>;
}

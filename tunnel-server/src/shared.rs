//! What every connection, link and request needs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_relay::stall_budget::StallBudget;
use service_kit::tasks::Spawner;
use tokio_util::sync::CancellationToken;
use tunnel_protocol::ClusterName;

use crate::access::AccessStore;
use crate::audit::Audit;
use crate::hosts::Hosts;
use crate::limits::Limits;
use crate::links::{Handshakes, Registry};
use crate::metrics::Metrics;

/// One for the whole process.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn AccessStore>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) audit: Audit,
    pub(crate) hosts: Hosts,
    pub(crate) limits: Arc<Limits>,
    pub(crate) stalls: StallBudget,
    pub(crate) handshakes: Handshakes,
    pub(crate) metrics: Metrics,
    pub(crate) replica: String,
    /// SIGTERM: no new connections, clients are to dial elsewhere.
    pub(crate) draining: CancellationToken,
    /// The last caller is gone, and the clients had their time.
    pub(crate) links_end: CancellationToken,
    pub(crate) drain: Duration,
    pub(crate) response_timeout: Duration,
    /// Streams of a link that are reset before another takes its place.
    pub(crate) link_resets: usize,
    /// For a connection.
    pub(crate) prove_within: Duration,
    /// For callers' connections and upgraded streams.
    pub(crate) spawner: Spawner,
    /// For links, which outlive the last caller.
    pub(crate) links_spawner: Spawner,
    pub(crate) public_port: u16,
    pub(crate) link_ids: AtomicU64,
}

impl Shared {
    pub(crate) fn next_link_id(&self) -> u64 {
        self.link_ids.fetch_add(1, Ordering::Relaxed)
    }

    /// Where callers reach a cluster: by hostname, then by path. Without a slash at
    /// the end, as some clients write their path behind it as it is.
    pub(crate) fn urls(&self, cluster: &ClusterName) -> Vec<String> {
        let base = &self.hosts.base;
        let port = if self.public_port == 443 {
            String::new()
        } else {
            format!(":{}", self.public_port)
        };
        vec![
            format!("https://{cluster}.{base}{port}"),
            format!("https://{base}{port}/clusters/{cluster}"),
        ]
    }
}

//! What every connection, link and request needs.

use std::future::pending;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_relay::stall_budget::StallBudget;
use http_relay::watch_end::not_too_young;
use service_kit::tasks::Spawner;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;
use tunnel_protocol::ClusterName;

use crate::access::AccessStore;
use crate::audit::Audit;
use crate::hosts::Hosts;
use crate::limits::Limits;
use crate::links::{DRAIN_SPREAD, Handshakes, Registry};
use crate::metrics::Metrics;
use crate::trusted_proxies::TrustedProxies;

/// One for the whole process.
pub(crate) struct Shared {
    pub(crate) store: Arc<dyn AccessStore>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) audit: Audit,
    pub(crate) hosts: Hosts,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) limits: Arc<Limits>,
    pub(crate) stalls: StallBudget,
    pub(crate) handshakes: Handshakes,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) replica: String,
    /// How many there are of this server.
    pub(crate) replicas: u32,
    /// SIGTERM: not ready any more.
    pub(crate) leaving: CancellationToken,
    /// Then: no new connections, clients are to dial elsewhere.
    pub(crate) draining: CancellationToken,
    /// The last caller is gone, and the clients had their time.
    pub(crate) links_end: CancellationToken,
    pub(crate) drain: Duration,
    /// How long a request may wait for a link.
    pub(crate) hold: Duration,
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

    /// A part of the time over which is spread what the draining begins with.
    pub(crate) fn drain_spread(&self) -> Duration {
        drain_spread(self.drain, rand::random())
    }

    /// Ready when a watch is to end whose answer's head comes now: its caller goes on
    /// by another replica while it can.
    pub(crate) fn end_of_a_watch(&self) -> impl Future<Output = ()> + use<> {
        let (draining, spread) = (self.draining.clone(), self.drain_spread());
        let begun = async move {
            draining.cancelled().await;
            sleep(spread).await;
        };
        // One that is young at the drain's deadline is cut.
        not_too_young(begun, pending())
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

/// `random` is in 0..1.
fn drain_spread(drain: Duration, random: f64) -> Duration {
    DRAIN_SPREAD.min(drain / 4).mul_f64(random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_begins_spread_and_leaves_most_of_its_time() {
        let spread = |drain, random| drain_spread(Duration::from_secs(drain), random).as_millis();
        assert_eq!(
            [0.0, 0.5, 1.0].map(|random| spread(60, random)),
            [0, 1_000, 2_000]
        );
        assert_eq!(spread(4, 1.0), 1_000);
        assert_eq!(spread(0, 1.0), 0);
    }
}

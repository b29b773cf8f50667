//! Which clusters have which links.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::{Request, Response};
use http_relay::RelayBody;
use hyper::body::{Body, Incoming};
use prometheus_client::metrics::gauge::Gauge;
use thiserror::Error;
use tunnel_protocol::ClusterName;

use super::link::{Link, LinkName, OpenError, Refused};
use super::slot::Slot;
use crate::access::Permit;

/// A cluster whose link was there within this time is likely to be back soon.
const RECENT: Duration = Duration::from_secs(30);

/// All links of this process.
#[derive(Default)]
pub(crate) struct Registry {
    clusters: Mutex<HashMap<ClusterName, Entry>>,
    links: Gauge,
}

#[derive(Default)]
struct Entry {
    links: Vec<Arc<Link>>,
    last_seen: Option<Instant>,
}

/// No request can be sent to the cluster.
#[derive(Debug, Error)]
pub(crate) enum NoLink {
    #[error("cluster {cluster} is not connected")]
    Missing {
        cluster: ClusterName,
        /// A link was there a moment ago: waiting helps.
        recently: bool,
    },
    #[error(transparent)]
    Open(#[from] OpenError),
}

/// Keeps a link registered until it is dropped.
pub(crate) struct Registration {
    registry: Arc<Registry>,
    link: Arc<Link>,
}

impl Registry {
    pub(crate) fn gauge(&self) -> Gauge {
        self.links.clone()
    }

    /// Registers a link. Of one instance only the newest generation stays: the
    /// client has dialled anew because its older connection is dead, which the
    /// server may not have noticed yet. A draining link ends by itself.
    pub(crate) fn register(self: &Arc<Self>, link: Arc<Link>) -> Registration {
        let mut clusters = self.lock();
        let entry = clusters.entry(link.cluster.clone()).or_default();
        for other in entry
            .links
            .iter()
            .filter(|other| other.name.instance == link.name.instance)
        {
            let loser = if other.generation < link.generation {
                other
            } else {
                &link
            };
            if loser.is_worn() {
                // We asked the client for the other; this one is not dead.
                loser.draining.cancel();
            } else if loser.is_healthy() {
                loser.close.cancel();
            }
        }
        entry.links.push(link.clone());
        self.links.inc();
        Registration {
            registry: self.clone(),
            link,
        }
    }

    /// Sends a request over the least loaded healthy link. What a link gives back
    /// unsent, or has not looked at, goes to the next.
    pub(crate) async fn open(
        &self,
        permit: &Permit,
        mut request: Request<RelayBody>,
        body_over_http2: bool,
    ) -> Result<(Response<Incoming>, Slot, Arc<LinkName>), NoLink> {
        let cluster = &permit.cluster().name;
        let (links, recently) = self.candidates(cluster);
        for (at, link) in links.iter().enumerate() {
            let again = (at + 1 < links.len()).then(|| again(&request)).flatten();
            match link.open(permit, request, body_over_http2).await {
                Ok((response, slot)) => return Ok((response, slot, link.name.clone())),
                Err(Refused::NotSent(unsent)) => request = *unsent,
                Err(Refused::NotTaken(error)) => request = again.ok_or(error)?,
                Err(Refused::Failed(error)) => return Err(error.into()),
            }
        }
        Err(NoLink::Missing {
            cluster: cluster.clone(),
            recently,
        })
    }

    fn candidates(&self, cluster: &ClusterName) -> (Vec<Arc<Link>>, bool) {
        let clusters = self.lock();
        let Some(entry) = clusters.get(cluster) else {
            return (Vec::new(), false);
        };
        let mut links: Vec<_> = entry
            .links
            .iter()
            .filter(|link| link.is_healthy())
            .cloned()
            .collect();
        links.sort_by_key(|link| (link.is_overloaded(), link.open_streams()));
        let recently =
            !entry.links.is_empty() || entry.last_seen.is_some_and(|seen| seen.elapsed() < RECENT);
        (links, recently)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<ClusterName, Entry>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The same request once more: one with a body is gone when it was sent.
fn again(request: &Request<RelayBody>) -> Option<Request<RelayBody>> {
    request.body().is_end_stream().then(|| {
        let mut again = Request::new(http_relay::body::empty());
        *again.method_mut() = request.method().clone();
        *again.uri_mut() = request.uri().clone();
        *again.headers_mut() = request.headers().clone();
        again
    })
}

impl Registration {
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.link
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut clusters = self.registry.lock();
        if let Some(entry) = clusters.get_mut(&self.link.cluster) {
            // By id: a newer link of the same instance may be there already.
            entry
                .links
                .retain(|other| other.name.id != self.link.name.id);
            entry.last_seen = Some(Instant::now());
        }
        // Clusters that are long gone leave no entry behind.
        clusters.retain(|_, entry| {
            !entry.links.is_empty() || entry.last_seen.is_some_and(|seen| seen.elapsed() < RECENT)
        });
        self.registry.links.dec();
    }
}

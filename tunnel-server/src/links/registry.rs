//! Which clusters have which links.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use http_relay::{H2Received, RelayBody};
use hyper::body::Body;
use prometheus_client::metrics::gauge::Gauge;
use rand::seq::IteratorRandom;
use thiserror::Error;
use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tunnel_protocol::ClusterName;

use super::arrivals::Arrivals;
use super::link::{Link, LinkName, OpenError, Refused};
use super::slot::Slot;
use crate::access::Permit;

/// A cluster whose link was there within this time is likely to be back soon.
const RECENT: Duration = Duration::from_secs(30);

/// By as much of what the least loaded link has open may one on the own thread have more
/// and be preferred: nothing where there is little.
const ABOUT_AS_MUCH: usize = 8;

/// All links of this process.
pub(crate) struct Registry {
    clusters: Mutex<Clusters>,
    links: Gauge,
    arrivals: Arrivals,
    started: Instant,
}

impl Default for Registry {
    fn default() -> Self {
        Self {
            clusters: Mutex::new(Clusters {
                entries: HashMap::new(),
                swept: Instant::now(),
            }),
            links: Gauge::default(),
            arrivals: Arrivals::default(),
            started: Instant::now(),
        }
    }
}

/// How long a request may wait for a link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hold<'a> {
    pub(crate) at_most: Duration,
    /// None comes any more.
    pub(crate) ended: &'a CancellationToken,
    /// Set while it waits: it is not the cluster that takes its time.
    pub(crate) waits: &'a AtomicBool,
}

struct Clusters {
    entries: HashMap<ClusterName, Entry>,
    /// When those that are long gone were forgotten last.
    swept: Instant,
}

#[derive(Default)]
struct Entry {
    links: Vec<Arc<Link>>,
    last_seen: Option<Instant>,
}

impl Entry {
    /// Whether there has been a link within the last time.
    fn was_there(&self) -> bool {
        let seen = self.last_seen.is_some_and(|seen| seen.elapsed() < RECENT);
        seen || !self.links.is_empty()
    }
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

/// An answer, the place among the link's streams that it holds, and which link it is.
type Opened = (Response<H2Received>, Slot, Arc<LinkName>);

enum NotOpened {
    NoLink {
        body: RelayBody,
        /// One may come soon.
        likely: bool,
    },
    Failed(OpenError),
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

    /// Registers a link. Of one instance's lane only the newest generation stays: the
    /// client has dialled anew because its older connection is dead, which the
    /// server may not have noticed yet. A draining link ends by itself.
    pub(crate) fn register(self: &Arc<Self>, link: Arc<Link>) -> Registration {
        let mut clusters = self.lock();
        let entry = clusters.entries.entry(link.cluster.clone()).or_default();
        for other in entry
            .links
            .iter()
            .filter(|other| other.name.is_in_place_of(&link.name))
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
                loser.close("replaced by a newer one in its place");
            }
        }
        entry.links.push(link.clone());
        self.links.inc();
        self.arrivals.tell(&link.cluster);
        Registration {
            registry: self.clone(),
            link,
        }
    }

    /// The thread of one of the cluster's links, if it has any.
    pub(crate) fn thread_of(&self, cluster: &ClusterName) -> Option<Id> {
        let clusters = self.lock();
        let links = clusters.entries.get(cluster)?.links.iter();
        let threads = links
            .filter(|link| link.is_healthy())
            .map(|link| link.thread);
        threads.choose(&mut rand::rng())
    }

    /// The links that new requests may go to now.
    #[cfg(feature = "simulation")]
    pub(crate) fn owners(&self) -> Vec<Arc<Link>> {
        let clusters = self.lock();
        let links = clusters.entries.values().flat_map(|entry| &entry.links);
        links.filter(|link| link.is_healthy()).cloned().collect()
    }

    /// Sends a request over the least loaded healthy link; of several with about as much,
    /// over one on this thread. What a link gives back unsent, or has not looked at, goes to
    /// the next; where there is none, and one is likely to come, the request waits for it.
    pub(crate) async fn open(
        &self,
        permit: &Permit,
        request: Request<RelayBody>,
        body_over_http2: bool,
        hold: Hold<'_>,
    ) -> Result<Opened, NoLink> {
        let cluster = &permit.cluster().name;
        let missing = |recently| NoLink::Missing {
            cluster: cluster.clone(),
            recently,
        };
        let (parts, body) = request.into_parts();
        let head = Request::from_parts(parts, ());
        let tried = self.try_links(permit, &head, body, body_over_http2).await;
        let mut unsent = match tried {
            Ok(opened) => return Ok(opened),
            Err(NotOpened::Failed(error)) => return Err(error.into()),
            Err(NotOpened::NoLink { likely: false, .. }) => return Err(missing(false)),
            Err(NotOpened::NoLink { body, .. }) => body,
        };
        let missing = || missing(self.was_there(cluster));
        let Some(place) = self.arrivals.place(cluster) else {
            return Err(missing());
        };
        let mut late = std::pin::pin!(sleep(hold.at_most));
        loop {
            let mut arrived = std::pin::pin!(place.arrived.notified());
            // Before another look, so that none that comes meanwhile is missed.
            arrived.as_mut().enable();
            let tried = self.try_links(permit, &head, unsent, body_over_http2);
            unsent = match tried.await {
                Ok(opened) => return Ok(opened),
                Err(NotOpened::Failed(error)) => return Err(error.into()),
                Err(NotOpened::NoLink { body, .. }) => body,
            };
            hold.waits.store(true, Ordering::Relaxed);
            tokio::select! {
                () = arrived => {}
                () = late.as_mut() => return Err(missing()),
                () = hold.ended.cancelled() => return Err(missing()),
            }
            hold.waits.store(false, Ordering::Relaxed);
        }
    }

    async fn try_links(
        &self,
        permit: &Permit,
        head: &Request<()>,
        mut body: RelayBody,
        body_over_http2: bool,
    ) -> Result<Opened, NotOpened> {
        let (links, likely) = self.candidates(&permit.cluster().name);
        let mut no_room = None;
        for link in &links {
            // One with a body is gone when it was sent.
            let again = body.is_end_stream();
            match link.open(permit, head, body, body_over_http2).await {
                Ok((response, slot)) => return Ok((response, slot, link.name.clone())),
                Err(Refused::NotSent(unsent)) => body = unsent,
                Err(Refused::NoRoom(unsent, error)) => {
                    body = unsent;
                    no_room = Some(error);
                }
                Err(Refused::NotTaken(_)) if again => body = http_relay::body::empty(),
                Err(Refused::NotTaken(error)) => return Err(NotOpened::Failed(error)),
                Err(Refused::Failed(error)) => return Err(NotOpened::Failed(error)),
            }
        }
        if let Some(error) = no_room {
            return Err(NotOpened::Failed(error));
        }
        Err(NotOpened::NoLink { body, likely })
    }

    /// The cluster's links that are healthy, and whether another one is likely to come.
    fn candidates(&self, cluster: &ClusterName) -> (Vec<Arc<Link>>, bool) {
        let clusters = self.lock();
        let just_started = self.started.elapsed() < RECENT;
        let Some(entry) = clusters.entries.get(cluster) else {
            return (Vec::new(), just_started);
        };
        let mut links: Vec<_> = entry
            .links
            .iter()
            .filter(|link| link.is_healthy())
            .cloned()
            .collect();
        if links.len() > 1 {
            let here = Handle::current().id();
            let least = links.iter().map(|link| link.open_streams()).min();
            let about_as_much = least.map_or(0, |least| least + least / ABOUT_AS_MUCH);
            // Looked at once each: they change meanwhile.
            links.sort_by_cached_key(|link| {
                let (open, is_elsewhere) = (link.open_streams(), link.thread != here);
                let rank = if open <= about_as_much { 0 } else { open };
                (link.is_overloaded(), rank, is_elsewhere, open)
            });
        }
        (links, just_started || entry.was_there())
    }

    fn was_there(&self, cluster: &ClusterName) -> bool {
        let clusters = self.lock();
        clusters.entries.get(cluster).is_some_and(Entry::was_there)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Clusters> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        let mut clusters = self.registry.lock();
        if let Some(entry) = clusters.entries.get_mut(&self.link.cluster) {
            // By id: a newer link of the same instance may be there already.
            entry
                .links
                .retain(|other| other.name.id != self.link.name.id);
            entry.last_seen = Some(Instant::now());
        }
        // Clusters that are long gone leave no entry behind. Not looked for at each end:
        // all links may end at once.
        if clusters.swept.elapsed() > RECENT {
            clusters.swept = Instant::now();
            clusters.entries.retain(|_, entry| {
                let seen = entry.last_seen;
                !entry.links.is_empty() || seen.is_some_and(|seen| seen.elapsed() < RECENT)
            });
        }
        self.registry.links.dec();
    }
}

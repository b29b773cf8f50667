//! Requests that wait for a cluster's link, which is likely to come: a moment ago there
//! was one, or this server has just started and clients are on their way to it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tunnel_protocol::ClusterName;

/// Requests that wait at once, for one cluster and for all: each holds its caller's
/// connection and its head.
const OF_A_CLUSTER: usize = 200;
const OF_ALL: usize = 4_000;

/// Who waits for what.
#[derive(Debug, Default)]
pub(super) struct Arrivals(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    clusters: HashMap<ClusterName, Crowd>,
    all: usize,
}

#[derive(Debug, Default)]
struct Crowd {
    count: usize,
    arrived: Arc<Notify>,
}

/// A place among those that wait.
pub(super) struct Place<'a> {
    arrivals: &'a Arrivals,
    cluster: &'a ClusterName,
    pub(super) arrived: Arc<Notify>,
}

impl Arrivals {
    /// A place, unless too many wait already.
    pub(super) fn place<'a>(&'a self, cluster: &'a ClusterName) -> Option<Place<'a>> {
        let mut waiting = self.lock();
        let there = waiting.clusters.get(cluster).map_or(0, |crowd| crowd.count);
        if there >= OF_A_CLUSTER || waiting.all >= OF_ALL {
            return None;
        }
        waiting.all += 1;
        let crowd = waiting.clusters.entry(cluster.clone()).or_default();
        crowd.count += 1;
        Some(Place {
            arrivals: self,
            cluster,
            arrived: crowd.arrived.clone(),
        })
    }

    /// A link of the cluster is there.
    pub(super) fn tell(&self, cluster: &ClusterName) {
        if let Some(crowd) = self.lock().clusters.get(cluster) {
            crowd.arrived.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut waiting = self.arrivals.lock();
        waiting.all -= 1;
        if let Some(crowd) = waiting.clusters.get_mut(self.cluster) {
            crowd.count -= 1;
            if crowd.count == 0 {
                waiting.clusters.remove(self.cluster);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_and_leave_nothing_behind() {
        let arrivals = Arrivals::default();
        let name = |name: usize| ClusterName::parse(&format!("c{name}")).unwrap();
        let names: Vec<_> = (0..=OF_ALL / OF_A_CLUSTER).map(name).collect();
        let mut places = Vec::new();
        for name in &names {
            places.extend((0..OF_A_CLUSTER).map_while(|_| arrivals.place(name)));
            assert!(arrivals.place(name).is_none());
        }
        assert_eq!(places.len(), OF_ALL);
        drop(places);
        let waiting = arrivals.lock();
        assert_eq!((waiting.all, waiting.clusters.len()), (0, 0));
    }

    #[tokio::test]
    async fn all_of_a_cluster_are_told() {
        let arrivals = Arrivals::default();
        let (one, other) = (
            ClusterName::parse("one").unwrap(),
            ClusterName::parse("other").unwrap(),
        );
        let places = [arrivals.place(&one).unwrap(), arrivals.place(&one).unwrap()];
        let told = places.each_ref().map(|place| place.arrived.notified());
        let elsewhere = arrivals.place(&other).unwrap();
        let mut not_told = std::pin::pin!(elsewhere.arrived.notified());
        assert!(!not_told.as_mut().enable());
        arrivals.tell(&one);
        for told in told {
            told.await;
        }
        assert!(!not_told.as_mut().enable());
    }
}

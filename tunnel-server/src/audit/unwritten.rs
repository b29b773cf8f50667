//! Requests without a line of their own: strangers who send more than they may, and
//! clusters that dial more often, would fill the disk with them. They have a line
//! together, for each address and each cluster.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use time::OffsetDateTime;
use tokio::time::sleep;
use tunnel_protocol::ClusterName;

use super::line::{UnwrittenLine, written};
use super::queue::{Audit, Entry};
use crate::limits::AddressBlock;

/// How often they are told.
const TELL_EVERY: Duration = Duration::from_secs(60);
/// Addresses that have a line of their own each time, and clusters; all others share one.
const LINES: usize = 100;

/// Those of the time since they were told last.
#[derive(Clone, Debug, Default)]
pub(super) struct Unwritten(Arc<Mutex<Counts>>);

#[derive(Debug, Default)]
struct Counts {
    addresses: HashMap<AddressBlock, u64>,
    /// Beside them, so that no crowd of addresses hides a cluster.
    clusters: HashMap<ClusterName, u64>,
    others: u64,
}

/// A line to be.
pub(super) struct UnwrittenEvent {
    at: OffsetDateTime,
    address: Option<String>,
    cluster: Option<ClusterName>,
    requests: u64,
}

impl Unwritten {
    fn address(&self, address: AddressBlock) {
        let counts = &mut *self.lock();
        count(&mut counts.addresses, &address, &mut counts.others);
    }

    fn cluster(&self, cluster: &ClusterName) {
        let counts = &mut *self.lock();
        count(&mut counts.clusters, cluster, &mut counts.others);
    }

    fn take(&self) -> Counts {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn count<K: Clone + Eq + Hash>(counts: &mut HashMap<K, u64>, key: &K, others: &mut u64) {
    if let Some(count) = counts.get_mut(key) {
        *count += 1;
    } else if counts.len() < LINES {
        counts.insert(key.clone(), 1);
    } else {
        *others += 1;
    }
}

impl Counts {
    fn events(self) -> Vec<UnwrittenEvent> {
        let event = |address: Option<AddressBlock>, cluster, requests| UnwrittenEvent {
            at: OffsetDateTime::now_utc(),
            address: address.map(|address| address.to_string()),
            cluster,
            requests,
        };
        let addresses = self.addresses.into_iter();
        let clusters = self.clusters.into_iter();
        let mut events: Vec<_> = addresses
            .map(|(address, requests)| event(Some(address), None, requests))
            .chain(clusters.map(|(cluster, requests)| event(None, Some(cluster), requests)))
            .collect();
        if self.others > 0 {
            events.push(event(None, None, self.others));
        }
        events
    }
}

impl Audit {
    /// A request of there ended before it proved anything, and has no line.
    pub(crate) fn unwritten(&self, address: AddressBlock) {
        self.unwritten.address(address);
    }

    /// The same of a handshake, whose cluster dials too often.
    pub(crate) fn unwritten_of(&self, cluster: &ClusterName) {
        self.unwritten.cluster(cluster);
    }

    /// Tells them from time to time. Runs until it is dropped.
    pub(crate) async fn follow_unwritten(&self) {
        loop {
            sleep(TELL_EVERY).await;
            self.tell_unwritten().await;
        }
    }

    /// Where the log cannot be written nobody waits for them: the metrics have them.
    pub(super) async fn tell_unwritten(&self) {
        for event in self.unwritten.take().events() {
            let Ok(slot) = self.slot().await else { return };
            slot.tell(Entry::Unwritten(Box::new(event)));
        }
    }
}

impl UnwrittenEvent {
    pub(super) fn line(&self) -> UnwrittenLine<'_> {
        UnwrittenLine {
            event: "unwritten",
            time: written(self.at),
            address: self.address.as_deref(),
            cluster: self.cluster.as_ref().map(ClusterName::as_str),
            requests: self.requests,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn crowd(unwritten: &Unwritten) {
        for number in 0..1000_u16 {
            let [high, low] = number.to_be_bytes();
            unwritten.address(IpAddr::from([10, 0, high, low]).into());
        }
    }

    #[test]
    fn addresses_that_are_too_many_share_a_line() {
        let unwritten = Unwritten::default();
        let first = IpAddr::from([192, 0, 2, 1]).into();
        unwritten.address(first);
        crowd(&unwritten);
        unwritten.address(first);
        let counts = unwritten.take();
        assert_eq!(counts.addresses[&first], 2);
        let events = counts.events();
        assert_eq!(events.len(), LINES + 1);
        let others = events.last().unwrap().line();
        assert_eq!((others.address, others.cluster), (None, None));
        assert_eq!(events.iter().map(|event| event.requests).sum::<u64>(), 1002);
        assert!(unwritten.take().events().is_empty());
    }

    #[test]
    fn they_hide_no_cluster() {
        let unwritten = Unwritten::default();
        crowd(&unwritten);
        let cluster = ClusterName::parse("prod").unwrap();
        unwritten.cluster(&cluster);
        unwritten.cluster(&cluster);
        let events = unwritten.take().events();
        let mut lines = events.iter().map(UnwrittenEvent::line);
        let line = lines.find(|line| line.cluster == Some("prod")).unwrap();
        assert_eq!((line.address, line.requests), (None, 2));
    }
}

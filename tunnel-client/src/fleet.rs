//! The links of this process, over all of its lanes.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::link_stats::LinkStats;

/// Lanes that lead to different replicas; the others are for load.
pub(crate) const REPLICAS: u8 = 2;

/// All links that are there, also those that only end what they carry.
#[derive(Debug, Default)]
pub(crate) struct Fleet {
    links: Mutex<Vec<Entry>>,
    generation: AtomicU64,
    /// The lanes whose last word from a server was that it refuses for good.
    refused: Mutex<BTreeSet<u8>>,
}

#[derive(Debug)]
struct Entry {
    stats: Arc<LinkStats>,
    /// Registered, and not asked to end.
    serves: bool,
    /// How many replicas its server says that there are.
    replicas: u32,
}

/// A link's membership; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Member {
    fleet: Arc<Fleet>,
    stats: Arc<LinkStats>,
}

impl Fleet {
    /// The number of the next dial.
    pub(crate) fn next_generation(&self) -> u64 {
        self.generation.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Adds a link, which does not serve yet.
    pub(crate) fn join(self: &Arc<Self>, stats: LinkStats) -> Member {
        let stats = Arc::new(stats);
        self.lock().push(Entry {
            stats: stats.clone(),
            serves: false,
            replicas: 1,
        });
        Member {
            fleet: self.clone(),
            stats,
        }
    }

    /// How many replicas the server has, by what the links that serve say; one may not
    /// know it yet.
    pub(crate) fn replicas(&self) -> Option<u32> {
        let links = self.lock();
        let serving = links.iter().filter(|entry| entry.serves);
        serving.map(|entry| entry.replicas).max()
    }

    /// The replicas that the other one of the two lanes leads to.
    pub(crate) fn linked_by_others(&self, lane: u8) -> Vec<String> {
        let links = self.lock();
        let others = links.iter().filter(|entry| entry.keeps_from(lane));
        let replicas = others.filter_map(|entry| entry.stats.registered());
        replicas.map(|by| by.replica.clone()).collect()
    }

    /// A server refuses a lane for good.
    pub(crate) fn refused(&self, lane: u8) {
        self.refused_lanes().insert(lane);
    }

    /// A server takes a lane, or it has ended.
    pub(crate) fn not_refused(&self, lane: u8) {
        self.refused_lanes().remove(&lane);
    }

    /// How many lanes are refused for good.
    pub(crate) fn refused_count(&self) -> usize {
        self.refused_lanes().len()
    }

    /// Whether callers reach the cluster over any link.
    pub(crate) fn serves(&self) -> bool {
        self.lock().iter().any(|entry| entry.serves)
    }

    /// Open requests of each link that serves.
    pub(crate) fn loads(&self) -> Vec<i64> {
        let links = self.lock();
        let serving = links.iter().filter(|entry| entry.serves);
        serving.map(|entry| entry.stats.open_requests()).collect()
    }

    pub(crate) fn stats(&self) -> Vec<Arc<LinkStats>> {
        let links = self.lock();
        links.iter().map(|entry| entry.stats.clone()).collect()
    }

    fn refused_lanes(&self) -> MutexGuard<'_, BTreeSet<u8>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Entry>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// Whether a lane is to lead to another replica. Lanes for load go wherever it is.
    fn keeps_from(&self, lane: u8) -> bool {
        self.serves && self.stats.lane != lane && self.stats.lane < REPLICAS && lane < REPLICAS
    }
}

impl Member {
    pub(crate) fn stats(&self) -> &Arc<LinkStats> {
        &self.stats
    }

    /// The server has registered the link, which serves from now on; unless another
    /// lane's link leads to the same replica already, which had not been known.
    pub(crate) fn serve(&self, replica: String, replicas: u32) -> bool {
        self.stats.registered_by(replica);
        let ours = self.stats.registered().map(|by| &by.replica);
        let mut links = self.fleet.lock();
        let taken = links.iter().any(|other| {
            other.keeps_from(self.stats.lane)
                && other.stats.registered().map(|by| &by.replica) == ours
        });
        if taken {
            return false;
        }
        for entry in links.iter_mut() {
            if Arc::ptr_eq(&entry.stats, &self.stats) {
                (entry.serves, entry.replicas) = (true, replicas);
            }
        }
        true
    }

    /// The link only ends what it carries.
    pub(crate) fn stand_down(&self) {
        for entry in self.fleet.lock().iter_mut() {
            if Arc::ptr_eq(&entry.stats, &self.stats) {
                entry.serves = false;
            }
        }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.fleet
            .lock()
            .retain(|entry| !Arc::ptr_eq(&entry.stats, &self.stats));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_lanes_the_first_has_the_replica() {
        let fleet = Arc::new(Fleet::default());
        let one = fleet.join(LinkStats::new(0, 1));
        let other = fleet.join(LinkStats::new(1, 2));
        assert!(!fleet.serves());
        assert_eq!(fleet.replicas(), None);
        assert!(one.serve("a".into(), 2));
        assert_eq!(fleet.linked_by_others(1), ["a"]);
        assert!(fleet.linked_by_others(0).is_empty() && fleet.linked_by_others(2).is_empty());
        assert!(!other.serve("a".into(), 2));
        assert_eq!((fleet.loads().len(), fleet.replicas()), (1, Some(2)));
        // Once it ends, another may have it; and its own lane's next one at once.
        let next = fleet.join(LinkStats::new(0, 3));
        assert!(next.serve("a".into(), 2));
        one.stand_down();
        drop(next);
        let again = fleet.join(LinkStats::new(1, 4));
        assert!(again.serve("a".into(), 2));
        // Under load it is wanted all the same, and keeps nobody away.
        let more = fleet.join(LinkStats::new(2, 5));
        assert!(more.serve("a".into(), 1));
        assert_eq!(fleet.replicas(), Some(2), "one may not know it yet");
        drop(again);
        let last = fleet.join(LinkStats::new(0, 6));
        assert!(last.serve("a".into(), 2));
    }

    #[test]
    fn whoever_leaves_is_forgotten() {
        let fleet = Arc::new(Fleet::default());
        let member = fleet.join(LinkStats::new(0, fleet.next_generation()));
        assert!(member.serve("a".into(), 1));
        member.stats().open.inc();
        assert_eq!(fleet.loads(), [1]);
        drop(member);
        assert!(!fleet.serves() && fleet.stats().is_empty());
    }
}

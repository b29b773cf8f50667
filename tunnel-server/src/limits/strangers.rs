//! Public connections that have not proved anything, all of them together: they
//! never take the last place from those who come to prove something.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::address_block::Network;

/// All of them. Where there are too many, the oldest of the network that has most
/// goes: whoever comes alone stays until it has been overtaken by as many networks
/// as there may be connections.
#[derive(Debug)]
pub(super) struct Strangers {
    limit: usize,
    open: Arc<Mutex<Open>>,
}

/// One of them, until it is dropped.
#[derive(Debug)]
pub(super) struct Stranger {
    open: Arc<Mutex<Open>>,
    network: Network,
    number: u64,
}

#[derive(Debug, Default)]
struct Open {
    arrived: u64,
    count: usize,
    /// By when they came.
    networks: HashMap<Network, BTreeMap<u64, CancellationToken>>,
    /// The last one has most; of those with as many, the one whose oldest is oldest.
    crowded: BTreeSet<(usize, Reverse<u64>, Network)>,
}

impl Strangers {
    /// At most `limit` at once.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit: limit.max(1),
            open: Arc::default(),
        }
    }

    /// One of them goes: somebody else has taken the last place, and nobody could come
    /// any more.
    pub(super) fn make_room(&self) {
        lock(&self.open).make_room();
    }

    /// One more; `go` is cancelled when it has to make room. With `was_last_place`
    /// another one has to at once, as nobody else could come any more.
    pub(super) fn enter(
        &self,
        network: Network,
        was_last_place: bool,
        go: CancellationToken,
    ) -> Stranger {
        let mut open = lock(&self.open);
        if was_last_place || open.count >= self.limit {
            open.make_room();
        }
        open.arrived += 1;
        let number = open.arrived;
        open.change(network, |those| those.insert(number, go));
        Stranger {
            open: self.open.clone(),
            network,
            number,
        }
    }
}

impl Open {
    fn make_room(&mut self) {
        let Some(&(_, Reverse(oldest), network)) = self.crowded.last() else {
            return;
        };
        if let Some(go) = self.change(network, |those| those.remove(&oldest)) {
            go.cancel();
        }
    }

    fn change<T>(
        &mut self,
        network: Network,
        change: impl FnOnce(&mut BTreeMap<u64, CancellationToken>) -> T,
    ) -> T {
        let those = self.networks.entry(network).or_default();
        if let Some(rank) = rank(network, those) {
            self.crowded.remove(&rank);
        }
        self.count -= those.len();
        let changed = change(those);
        self.count += those.len();
        match rank(network, those) {
            Some(rank) => drop(self.crowded.insert(rank)),
            None => drop(self.networks.remove(&network)),
        }
        changed
    }
}

/// Where it stands among the crowded; nothing if it is empty.
fn rank(
    network: Network,
    those: &BTreeMap<u64, CancellationToken>,
) -> Option<(usize, Reverse<u64>, Network)> {
    let (oldest, _) = those.first_key_value()?;
    Some((those.len(), Reverse(*oldest), network))
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Drop for Stranger {
    fn drop(&mut self) {
        // One that had to go is no longer there.
        lock(&self.open).change(self.network, |those| drop(those.remove(&self.number)));
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::*;

    fn network(last: u8) -> Network {
        IpAddr::from([192, 0, 2, last]).into()
    }

    struct Crowd {
        strangers: Strangers,
        open: Vec<(CancellationToken, Stranger)>,
    }

    impl Crowd {
        fn of(limit: usize, networks: &[u8]) -> Self {
            let mut crowd = Self {
                strangers: Strangers::new(limit),
                open: Vec::new(),
            };
            networks.iter().for_each(|last| crowd.enters(*last, false));
            crowd
        }

        fn enters(&mut self, last: u8, was_last_place: bool) {
            let go = CancellationToken::new();
            let network = network(last);
            let stranger = self.strangers.enter(network, was_last_place, go.clone());
            self.open.push((go, stranger));
        }

        fn gone(&self) -> Vec<usize> {
            let open = self.open.iter().enumerate();
            let gone = open.filter(|(_, (go, _))| go.is_cancelled());
            gone.map(|(at, _)| at).collect()
        }
    }

    #[test]
    fn the_oldest_of_the_most_crowded_goes() {
        let mut crowd = Crowd::of(4, &[1, 2, 2, 3]);
        crowd.enters(4, false);
        assert_eq!(crowd.gone(), [1]);
        // All have one now: the oldest of all.
        crowd.enters(5, false);
        assert_eq!(crowd.gone(), [0, 1]);
    }

    #[test]
    fn who_comes_alone_is_not_overtaken_by_a_few() {
        let mut crowd = Crowd::of(10, &[7]);
        for round in 0..200 {
            crowd.enters(round % 5, false);
        }
        assert!(!crowd.gone().contains(&0));
    }

    #[test]
    fn the_last_place_is_for_the_next() {
        let mut crowd = Crowd::of(100, &[]);
        crowd.enters(1, true);
        assert!(crowd.gone().is_empty(), "it is the only one");
        crowd.enters(2, true);
        assert_eq!(crowd.gone(), [0]);
    }

    #[test]
    fn whoever_leaves_leaves_nothing_behind() {
        let mut crowd = Crowd::of(2, &[1, 1, 2, 3]);
        assert_eq!(lock(&crowd.strangers.open).count, 2);
        crowd.open.clear();
        let open = lock(&crowd.strangers.open);
        assert_eq!(open.count, 0);
        assert!(open.networks.is_empty() && open.crowded.is_empty());
    }
}

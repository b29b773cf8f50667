//! One look at all streams: who is blocked, for how long, and who has to go.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;
use tunnel_protocol::limits::WRITE_STALL;

use super::stream::Stream;
use super::{LOOK, Link, Process, STALLED_AFTER, Seen, lock};

struct Blocked {
    since: Instant,
    stream: Arc<Stream>,
}

/// What a look has found.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Streams that are blocked for [`STALLED_AFTER`] and stay.
    pub stalled: usize,
    /// Streams that were cut.
    pub cut: usize,
}

/// Cuts what is over the limits.
pub(super) fn look(process: &Process, now: Instant) -> Look {
    let mut links = lock(&process.links);
    links.retain(|link| link.strong_count() > 0);
    let links: Vec<_> = links.iter().filter_map(std::sync::Weak::upgrade).collect();
    let (mut cut, mut rest) = (Vec::new(), Vec::new());
    for link in links {
        let mut blocked = blocked(&link, now);
        cut.extend(over(&mut blocked, process.link_limit, now));
        let full = is_full(&blocked, process.link_limit, now);
        link.full.store(full, Ordering::Relaxed);
        rest.append(&mut blocked);
    }
    rest.sort_by_key(|one| one.since);
    cut.extend(over(&mut rest, process.limit, now));
    let full = is_full(&rest, process.limit, now);
    process.full.store(full, Ordering::Relaxed);
    for one in &cut {
        one.stream.cut();
    }
    Look {
        stalled: stalled(&rest, now),
        cut: cut.len(),
    }
}

/// How many of the first count.
fn stalled(blocked: &[Blocked], now: Instant) -> usize {
    blocked.partition_point(|one| now.duration_since(one.since) >= STALLED_AFTER)
}

/// Longest blocked first.
fn blocked(link: &Link, now: Instant) -> Vec<Blocked> {
    let mut blocked: Vec<_> = lock(&link.streams)
        .values_mut()
        .filter_map(|seen| {
            let since = seen.look(now)?;
            let stream = seen.stream.clone();
            Some(Blocked { since, stream })
        })
        .collect();
    blocked.sort_by_key(|one| one.since);
    blocked
}

impl Seen {
    fn look(&mut self, now: Instant) -> Option<Instant> {
        let moves = self.stream.moves();
        if moves != self.moves {
            self.moves = moves;
            self.blocked_since = None;
        }
        // One that was cut holds nothing more, though its consumer is blocked on.
        let is_blocked = moves % 2 == 1 && !self.stream.is_cut();
        is_blocked.then(|| *self.blocked_since.get_or_insert(now))
    }
}

/// Takes those that have to go.
fn over(blocked: &mut Vec<Blocked>, limit: u64, now: Instant) -> Vec<Blocked> {
    let age = |one: &Blocked| now.duration_since(one.since);
    let stalled = stalled(blocked, now);
    let mut held: u64 = blocked[..stalled].iter().map(|one| one.stream.cost).sum();
    let mut go = 0;
    while go < stalled && (held > limit || age(&blocked[go]) >= WRITE_STALL) {
        held -= blocked[go].stream.cost;
        go += 1;
    }
    blocked.drain(..go).collect()
}

/// Counts whoever was blocked at the last look, too.
fn is_full(blocked: &[Blocked], limit: u64, now: Instant) -> bool {
    let held = blocked
        .iter()
        .filter(|one| now.duration_since(one.since) >= LOOK)
        .map(|one| one.stream.cost);
    held.sum::<u64>() > limit.saturating_mul(2)
}

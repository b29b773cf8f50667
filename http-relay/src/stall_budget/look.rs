//! One look at all streams: who is blocked, for how long, and who has to go.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;
use tunnel_protocol::limits::WRITE_STALL;

use super::stream::Stream;
use super::{CUT, LOOK, Link, Process, STALLED_AFTER, Seen, lock, relief};

struct Blocked {
    since: Instant,
    stream: Arc<Stream>,
}

/// What a look has found.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Streams that are blocked for [`STALLED_AFTER`] and stay, if it counted them.
    pub stalled: Option<usize>,
    /// Streams that were cut.
    pub cut: usize,
}

/// Cuts what is to end, and what is over the limits.
pub(super) fn look(process: &Process, now: Instant) -> Look {
    let (mut cut, mut rest) = (Vec::new(), Vec::new());
    for link in links(process) {
        let mut blocked = blocked(&link, now);
        blocked.retain(|one| !one.stream.end_if_over());
        if blocked.is_empty() {
            // Whoever is not blocked has taken all; streams that ended took the rest.
            link.gauge.clear();
        }
        let full = is_full(&blocked, process.link_limit, now);
        link.full.store(full, Ordering::Relaxed);
        cut.extend(over(&mut blocked, process.link_limit, now));
        rest.append(&mut blocked);
    }
    rest.sort_by_key(|one| one.since);
    let full = is_full(&rest, process.limit, now);
    process.full.store(full, Ordering::Relaxed);
    cut.extend(over(&mut rest, process.limit, now));
    for one in &cut {
        one.stream.cut(CUT);
    }
    Look {
        stalled: Some(longer_than(&rest, STALLED_AFTER, now)),
        cut: cut.len(),
    }
}

/// How many of the first are blocked for so long.
fn longer_than(blocked: &[Blocked], patience: Duration, now: Instant) -> usize {
    blocked.partition_point(|one| now.duration_since(one.since) >= patience)
}

/// Sees to links that hold too many small frames.
pub(super) fn relieve(process: &Process) -> Look {
    let links = links(process);
    let hoarders = links.iter().filter_map(|link| relief::relieve(link));
    let cut = hoarders.map(|stream| stream.cut(CUT)).count();
    Look { stalled: None, cut }
}

fn links(process: &Process) -> Vec<Arc<Link>> {
    let mut links = lock(&process.links);
    links.retain(|link| link.strong_count() > 0);
    links.iter().filter_map(Weak::upgrade).collect()
}

/// Longest blocked first.
fn blocked(link: &Link, now: Instant) -> Vec<Blocked> {
    let mut blocked: Vec<_> = lock(&link.streams)
        .iter_mut()
        .filter_map(|(_, seen)| {
            let since = seen.look(now)?;
            let stream = seen.stream.clone();
            if since < now {
                link.turns.set(&stream, false);
            }
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
        self.stream
            .is_blocked()
            .then(|| *self.blocked_since.get_or_insert(now))
    }
}

/// Takes those that have to go: whoever stands still for long is held to the limit,
/// and all to half as much again, so that a crowd cannot fill the memory before.
fn over(blocked: &mut Vec<Blocked>, limit: u64, now: Instant) -> Vec<Blocked> {
    let rules = [
        (WRITE_STALL, 0),
        (STALLED_AFTER, limit),
        (LOOK, crowd(limit)),
    ];
    let go = rules.map(|(patience, limit)| {
        let counts = longer_than(blocked, patience, now);
        let mut held = cost(&blocked[..counts]);
        let mut go = 0;
        while go < counts && held > limit {
            held -= blocked[go].stream.cost();
            go += 1;
        }
        go
    });
    blocked
        .drain(..go.into_iter().max().unwrap_or_default())
        .collect()
}

/// Whether new streams have to wait.
fn is_full(blocked: &[Blocked], limit: u64, now: Instant) -> bool {
    cost(&blocked[..longer_than(blocked, LOOK, now)]) > crowd(limit)
}

fn crowd(limit: u64) -> u64 {
    limit.saturating_add(limit / 2)
}

fn cost(blocked: &[Blocked]) -> u64 {
    blocked.iter().map(|one| one.stream.cost()).sum()
}

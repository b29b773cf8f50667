//! What is done where a link holds too many small frames: those of blocked streams
//! are put together, a window of each at most. Where that is not enough, those that
//! have had as much are cut.

use std::sync::Arc;

use super::stream::Stream;
use super::{Link, lock};

/// Taken of each blocked stream at first, bytes: what is taken gives its peer
/// credit for as much, so that no more is taken than it needs.
const SHALLOW: usize = 64 * 1024;
/// More than any window.
const DEEPEST: usize = 16 * 1024 * 1024;

/// Gives the streams that have to go.
pub(super) fn relieve(link: &Link) -> Vec<Arc<Stream>> {
    let streams: Vec<_> = lock(&link.streams)
        .values()
        .map(|seen| seen.stream.clone())
        .collect();
    let mut depth = SHALLOW;
    while link.gauge.has_many() && depth <= DEEPEST {
        for stream in &streams {
            stream.compact(&link.gauge, depth);
        }
        depth *= 4;
    }
    let mut hoarders = Vec::new();
    if link.gauge.has_most() {
        hoarders = streams;
        hoarders.retain(|stream| stream.is_blocked() && stream.spool_is_full());
        // They go with their streams; or their streams have ended before.
        link.gauge.clear();
    }
    link.gauge.resume();
    hoarders
}

//! What is done where a link holds too many small frames: those of blocked streams
//! are put together, a window of each at most. Where that is not enough, whoever has
//! had as much, and most small frames, is cut.

use std::sync::Arc;

use super::stream::Stream;
use super::{Link, lock};

/// Taken of each blocked stream at first, bytes: what is taken gives its peer
/// credit for as much, so that no more is taken than it needs.
const SHALLOW: usize = 64 * 1024;
/// More than any window.
const DEEPEST: usize = 16 * 1024 * 1024;

/// Gives the stream that has to go.
pub(super) fn relieve(link: &Link) -> Option<Arc<Stream>> {
    let mut hoarder = None;
    if link.gauge.has_many() {
        let streams: Vec<_> = lock(&link.streams)
            .iter()
            .map(|(_, seen)| seen.stream.clone())
            .collect();
        put_together(link, streams.clone());
        if link.gauge.has_most() {
            hoarder = streams
                .into_iter()
                .filter(|stream| stream.is_blocked() && stream.spool_is_full())
                .max_by_key(|stream| stream.small());
            // They go with the stream; or their streams have ended before.
            link.gauge.clear();
        }
    }
    link.gauge.resume();
    hoarder
}

fn put_together(link: &Link, mut streams: Vec<Arc<Stream>>) {
    let mut depth = SHALLOW;
    while link.gauge.has_many() && depth <= DEEPEST {
        // Of one that has only large frames no more is taken.
        streams.retain(|stream| stream.compact(&link.gauge, depth) > 0);
        depth *= 4;
    }
}

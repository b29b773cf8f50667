//! Bounds the small frames that a stream's consumer has been handed and not let go.
//!
//! h2 lets a stream send as long as fewer bytes than its buffer takes wait to be
//! written, and keeps some 300 beside those of each frame: a buffer of single bytes
//! would hold a hundred megabytes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Context;

use atomic_waker::AtomicWaker;
use bytes::Bytes;

use super::gauge::is_small;

/// Small frames of a stream that may wait to be written.
const MOST: usize = 64;
/// The consumer is asked to go on when so many are left.
const FEW: usize = 16;

#[derive(Debug, Default)]
pub(super) struct SmallOut(Arc<Out>);

#[derive(Debug, Default)]
struct Out {
    count: AtomicUsize,
    waits: AtomicWaker,
}

struct Counted {
    data: Bytes,
    out: Arc<Out>,
}

impl SmallOut {
    /// Data that is counted, if it is small, until it is dropped.
    pub(super) fn count(&self, data: Bytes) -> Bytes {
        if !is_small(data.len()) {
            return data;
        }
        let out = self.0.clone();
        out.count.fetch_add(1, Ordering::SeqCst);
        Bytes::from_owner(Counted { data, out })
    }

    /// Whether another may be handed out; if not, the task is woken when it may.
    pub(super) fn has_room(&self, cx: &Context<'_>) -> bool {
        let has_room = || self.0.count.load(Ordering::SeqCst) < MOST;
        has_room() || {
            self.0.waits.register(cx.waker());
            has_room()
        }
    }

    /// Wakes whoever waits for room.
    pub(super) fn wake(&self) {
        self.0.waits.wake();
    }
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        // h2 drops it under a lock of its own: nothing but a wake-up may be done here.
        if self.out.count.fetch_sub(1, Ordering::SeqCst) == FEW + 1 {
            self.out.waits.wake();
        }
    }
}

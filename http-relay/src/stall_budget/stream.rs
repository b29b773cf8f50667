//! One direction of one stream.

use std::fmt;
use std::future::pending;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::Frame;
use tokio_util::sync::CancellationToken;

use super::gauge::Gauge;
use super::held::Held;
use super::small_out::SmallOut;
use super::{CUT, Listing, lock};
use crate::RelayError;
use crate::stream_task::{self, TaskEnd};

pub(super) struct Stream {
    /// Odd while it is blocked; another number each time. A body is until it is
    /// asked for the first time.
    moves: AtomicU64,
    /// Bytes that it may hold.
    pub(super) window: u64,
    /// Bytes that were taken from it before its consumer asked.
    spooled: AtomicU64,
    cut: CancellationToken,
    /// Told why it was cut, before its body is dropped.
    told: Arc<OnceLock<&'static str>>,
    /// Taken when it is cut: its consumer, which is blocked, could not be told.
    pub(super) held: Mutex<Option<Held>>,
    /// Its body comes over the link.
    pub(super) inbound: bool,
    ended: AtomicBool,
    /// The task that consumes it.
    task: OnceLock<TaskEnd>,
    pub(super) small_out: SmallOut,
    /// Counted among its link's [`Turns`](super::turns::Turns).
    pub(super) waits: AtomicBool,
    /// Small frames that were put together.
    small: AtomicU64,
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("moves", &self.moves())
            .field("window", &self.window)
            .finish_non_exhaustive()
    }
}

impl Stream {
    pub(super) fn new(
        window: u64,
        held: Option<Held>,
        inbound: bool,
        told: Arc<OnceLock<&'static str>>,
    ) -> Self {
        Self {
            moves: AtomicU64::new(u64::from(held.is_some())),
            window,
            spooled: AtomicU64::new(0),
            cut: CancellationToken::new(),
            told,
            held: Mutex::new(held),
            inbound,
            ended: AtomicBool::new(false),
            task: OnceLock::new(),
            small_out: SmallOut::default(),
            waits: AtomicBool::new(false),
            small: AtomicU64::new(0),
        }
    }

    pub(super) fn moves(&self) -> u64 {
        self.moves.load(Ordering::Relaxed)
    }

    /// The consumer asks for more. Only ever called by the one that consumes.
    pub(super) fn asked(&self) {
        let moves = self.moves();
        self.moves.store(moves + (moves & 1), Ordering::Relaxed);
    }

    /// The consumer has been handed data.
    pub(super) fn handed(&self) {
        self.asked();
        self.moves.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn is_blocked(&self) -> bool {
        // One that was cut holds nothing more, though its consumer is blocked on.
        self.moves() % 2 == 1 && !self.cut.is_cancelled()
    }

    /// What it may hold now.
    pub(super) fn cost(&self) -> u64 {
        self.window + self.spooled()
    }

    pub(super) fn spool_is_full(&self) -> bool {
        self.spooled() >= self.window
    }

    fn spooled(&self) -> u64 {
        self.spooled.load(Ordering::Relaxed)
    }

    pub(super) fn poll(
        &self,
        held: &mut Held,
        cx: &mut Context<'_>,
        gauge: &Gauge,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let polled = held.poll(cx, self.inbound.then_some(gauge));
        self.spooled.store(held.spooled as u64, Ordering::Relaxed);
        polled
    }

    /// Small frames that were put together.
    pub(super) fn small(&self) -> u64 {
        self.small.load(Ordering::Relaxed)
    }

    /// Puts small frames together, if it is blocked. Gives how many there were.
    pub(super) fn compact(&self, gauge: &Gauge, bytes: usize) -> u64 {
        let mut held = lock(&self.held);
        let mut small = 0;
        if let Some(held) = held.as_mut()
            && self.inbound
            // Under the lock: else its consumer may wait by now.
            && self.is_blocked()
        {
            let room = self.window.saturating_sub(held.spooled as u64);
            let room = usize::try_from(room).unwrap_or(usize::MAX);
            small = held.compact(gauge, bytes.min(room));
            self.spooled.store(held.spooled as u64, Ordering::Relaxed);
            self.small.fetch_add(small, Ordering::Relaxed);
        }
        small
    }

    pub(super) fn cut(&self, reason: &'static str) {
        let held = lock(&self.held).take();
        self.cut_from(held, reason);
    }

    /// The body was taken from it; it is dropped after the reason is told.
    fn cut_from(&self, held: Option<Held>, reason: &'static str) {
        self.told.get_or_init(|| reason);
        self.cut.cancel();
        drop(held);
        // What its consumer still holds of it goes, too.
        self.end();
        self.small_out.wake();
    }

    /// Ends the task that consumes it.
    fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        if let Some(task) = self.task.get() {
            task.end();
        }
    }

    /// Why it was cut.
    pub(super) fn reason(&self) -> &'static str {
        self.told.get().copied().unwrap_or(CUT)
    }

    /// Cuts it if it is to end, and is blocked: its consumer would not ask. Tells
    /// whether it did.
    pub(super) fn end_if_over(&self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        let mut locked = lock(&self.held);
        let end = match &mut *locked {
            // Under the lock: else its consumer may wait by now.
            Some(held) if self.is_blocked() => held.poll_end(&mut cx),
            _ => Poll::Pending,
        };
        let Poll::Ready(reason) = end else {
            return false;
        };
        let held = locked.take();
        drop(locked);
        self.cut_from(held, reason);
        true
    }

    pub(super) fn drop_body(&self) {
        let held = lock(&self.held).take();
        // Not under the lock, as whatever the body holds is dropped with it.
        drop(held);
    }

    /// Notes who consumes it, where that can be ended.
    pub(super) fn consumed_here(&self) {
        if self.task.get().is_some() {
            return;
        }
        let Some(task) = stream_task::current() else {
            return;
        };
        let task = self.task.get_or_init(|| task);
        if self.ended.load(Ordering::SeqCst) {
            task.end();
        }
    }
}

/// Sees to a body from outside; one without data needs nothing.
#[derive(Clone, Debug)]
pub struct StreamHandle(pub(super) Option<Arc<Stream>>);

impl StreamHandle {
    pub(super) fn new(stream: Arc<Stream>) -> Self {
        Self(Some(stream))
    }

    /// Of a body that has nothing to hold.
    pub(super) fn of_nothing() -> Self {
        Self(None)
    }

    /// Resolves with the reason when the budget has cut the body.
    pub async fn cut(&self) -> &'static str {
        match &self.0 {
            Some(stream) => {
                stream.cut.cancelled().await;
                stream.reason()
            }
            None => pending().await,
        }
    }

    /// Ends the task that consumes the body, if it is a
    /// [`stream_task`]: one that is blocked would not see that
    /// its body has failed.
    pub fn end(&self) {
        if let Some(stream) = &self.0 {
            stream.end();
        }
    }
}

/// A stream that is written by a task of ours.
#[derive(Debug)]
pub struct Stall {
    stream: Arc<Stream>,
    _listing: Listing,
}

impl Stall {
    pub(super) fn new(stream: Arc<Stream>, listing: Listing) -> Self {
        Self {
            stream,
            _listing: listing,
        }
    }

    /// Waits for a write, blocked meanwhile.
    ///
    /// # Errors
    /// [`RelayError::Ended`] when the budget cut the stream.
    pub async fn during<F: Future>(&self, write: F) -> Result<F::Output, RelayError> {
        self.stream.handed();
        tokio::select! {
            biased;
            written = write => {
                self.stream.asked();
                Ok(written)
            }
            () = self.stream.cut.cancelled() => Err(RelayError::Ended(CUT)),
        }
    }
}

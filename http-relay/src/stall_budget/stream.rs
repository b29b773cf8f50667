//! One direction of one stream.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use tokio_util::sync::CancellationToken;

use super::{CUT, Listing, lock};
use crate::{RelayBody, RelayError, stream_task};

#[derive(Debug)]
pub(super) struct Stream {
    /// Odd while it is blocked; another number each time.
    moves: AtomicU64,
    /// Bytes that it may hold.
    pub(super) cost: u64,
    cut: CancellationToken,
    /// Told why it was cut, before its body is dropped.
    told: Arc<OnceLock<&'static str>>,
    /// Taken when it is cut: its consumer, which is blocked, could not be told.
    pub(super) body: Mutex<Option<RelayBody>>,
    ended: AtomicBool,
    /// The task that consumes it.
    task: OnceLock<CancellationToken>,
}

impl Stream {
    pub(super) fn new(
        cost: u64,
        body: Option<RelayBody>,
        told: Arc<OnceLock<&'static str>>,
    ) -> Self {
        Self {
            moves: AtomicU64::new(0),
            cost,
            cut: CancellationToken::new(),
            told,
            body: Mutex::new(body),
            ended: AtomicBool::new(false),
            task: OnceLock::new(),
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

    pub(super) fn cut(&self) {
        self.told.get_or_init(|| CUT);
        self.cut.cancel();
        self.drop_body();
    }

    pub(super) fn is_cut(&self) -> bool {
        self.cut.is_cancelled()
    }

    pub(super) fn drop_body(&self) {
        let body = lock(&self.body).take();
        // Not under the lock, as whatever the body holds is dropped with it.
        drop(body);
    }

    /// Notes who consumes it, where that can be ended.
    pub(super) fn consumed_here(&self) {
        if self.task.get().is_some() {
            return;
        }
        if let Some(task) = stream_task::current() {
            let task = self.task.get_or_init(|| task);
            if self.ended.load(Ordering::SeqCst) {
                task.cancel();
            }
        }
    }
}

/// Sees to a body from outside.
#[derive(Clone, Debug)]
pub struct StreamHandle(Arc<Stream>);

impl StreamHandle {
    pub(super) fn new(stream: Arc<Stream>) -> Self {
        Self(stream)
    }

    /// Resolves with the reason when the budget has cut the body.
    pub async fn cut(&self) -> &'static str {
        self.0.cut.cancelled().await;
        CUT
    }

    /// Ends the task that consumes the body, if it is a
    /// [`stream_task`](crate::stream_task): one that is blocked would not see that
    /// its body has failed.
    pub fn end(&self) {
        self.0.ended.store(true, Ordering::SeqCst);
        if let Some(task) = self.0.task.get() {
            task.cancel();
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

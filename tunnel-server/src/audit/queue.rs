//! The way of a line from whoever has something to tell to the thread that writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;
use tokio::time::timeout;

use super::link_record::LinkEvent;
use super::record::RequestEvent;
use super::sink::{OpenError, Sink};
use super::unwritten::{Unwritten, UnwrittenEvent};
use super::writer::Writer;
use super::{Counts, Log, OnFailure, Settings};

/// Lines that are to come or wait to be written: open requests and links, two for
/// each link. Only what waits takes memory, a kilobyte a line.
const SLOTS: usize = 65_536;
/// Of them, those that no further stream may take: a few callers with thousands of
/// watches each would keep everybody else out, links included.
const NOT_FOR_STREAMS: usize = SLOTS / 4;
/// How long a request waits for a slot.
const WAIT: Duration = Duration::from_millis(250);
/// A write that takes this long is taken for one that never ends. Far above what a
/// busy disk makes one wait, and short enough to keep what piles up small.
const STALLED: Duration = Duration::from_secs(5);
/// How long the last lines may take at the end.
const LAST_LINES: Duration = Duration::from_secs(5);

/// What goes to the writer.
pub(super) enum Entry {
    Request(Box<RequestEvent>),
    Link(Box<LinkEvent>),
    Unwritten(Box<UnwrittenEvent>),
    /// The file may have another place now.
    Reopen,
    /// Nothing follows.
    End,
}

/// The audit log; a handle for whoever has something to tell.
#[derive(Clone)]
pub(crate) struct Audit {
    queue: mpsc::Sender<Entry>,
    health: Arc<Health>,
    on_failure: OnFailure,
    is_file: bool,
    counts: Arc<Counts>,
    pub(super) unwritten: Unwritten,
}

/// A place in the queue. What is told there is written, or kept until it can be.
pub(crate) struct Slot {
    /// Nothing where requests pass although the log cannot be written.
    place: Option<mpsc::OwnedPermit<Entry>>,
    counts: Arc<Counts>,
}

/// The log cannot be written now.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("the audit log cannot be written now, and no request passes without its record")]
pub(crate) struct Unavailable;

/// How the writer fares.
pub(super) struct Health {
    failing: AtomicBool,
    /// Milliseconds since `base`, 0 for nothing.
    writing_since: AtomicU64,
    base: Instant,
    /// Nobody waits for the rest.
    pub(super) given_up: AtomicBool,
}

impl Health {
    fn new() -> Self {
        Self {
            failing: AtomicBool::new(false),
            writing_since: AtomicU64::new(0),
            base: Instant::now(),
            given_up: AtomicBool::new(false),
        }
    }

    fn now(&self) -> u64 {
        // Never 0, which is nothing.
        u64::try_from(self.base.elapsed().as_millis()).unwrap_or(u64::MAX) + 1
    }

    /// A write begins.
    pub(super) fn begin(&self) {
        self.writing_since.store(self.now(), Ordering::Relaxed);
    }

    /// It was done. Tells whether an earlier one was not.
    pub(super) fn done(&self) -> bool {
        self.writing_since.store(0, Ordering::Relaxed);
        self.failing.swap(false, Ordering::Relaxed)
    }

    /// It failed. Tells whether that is news.
    pub(super) fn failed(&self) -> bool {
        !self.failing.swap(true, Ordering::Relaxed)
    }

    fn is_well(&self) -> bool {
        let since = self.writing_since.load(Ordering::Relaxed);
        let writing = Duration::from_millis(self.now().saturating_sub(since));
        !self.failing.load(Ordering::Relaxed) && (since == 0 || writing < STALLED)
    }
}

impl Audit {
    /// Opens the log and starts its thread.
    ///
    /// # Errors
    /// [`OpenError`]: a log that cannot be written is told before the first request.
    pub(crate) fn start(settings: &Settings, counts: &Counts) -> Result<Self, OpenError> {
        let sink = Sink::open(&settings.log)?;
        let (queue, entries) = mpsc::channel(SLOTS);
        let health = Arc::new(Health::new());
        Writer::new(entries, sink, health.clone(), counts.clone())
            .start()
            .map_err(OpenError::Thread)?;
        Ok(Self {
            queue,
            health,
            on_failure: settings.on_failure,
            is_file: matches!(settings.log, Log::File(_)),
            counts: Arc::new(counts.clone()),
            unwritten: Unwritten::default(),
        })
    }

    /// A log that nobody keeps: requests pass without.
    #[cfg(feature = "simulation")]
    pub(crate) fn unkept() -> Self {
        Self {
            queue: mpsc::channel(1).0,
            health: Arc::new(Health::new()),
            on_failure: OnFailure::Pass,
            is_file: false,
            counts: Arc::default(),
            unwritten: Unwritten::default(),
        }
    }

    /// A slot for one line.
    ///
    /// # Errors
    /// [`Unavailable`], where that is not to be passed over.
    pub(crate) async fn slot(&self) -> Result<Slot, Unavailable> {
        let place = self.place().await;
        if place.is_none() {
            self.counts.unavailable();
            if self.on_failure == OnFailure::Refuse {
                return Err(Unavailable);
            }
        }
        Ok(Slot {
            place,
            counts: self.counts.clone(),
        })
    }

    /// A slot for the line that says that a stream has started. The stream keeps the one
    /// for its end as long as it lasts.
    ///
    /// # Errors
    /// [`Unavailable`], also where streams have all that they may.
    pub(crate) async fn stream_slot(&self) -> Result<Slot, Unavailable> {
        if self.on_failure == OnFailure::Refuse && self.queue.capacity() < NOT_FOR_STREAMS {
            self.counts.unavailable();
            return Err(Unavailable);
        }
        self.slot().await
    }

    async fn place(&self) -> Option<mpsc::OwnedPermit<Entry>> {
        if !self.health.is_well() {
            // Where requests pass, their lines are kept as long as there is room.
            return match self.on_failure {
                OnFailure::Refuse => None,
                OnFailure::Pass => self.queue.clone().try_reserve_owned().ok(),
            };
        }
        match self.queue.clone().try_reserve_owned() {
            Ok(place) => Some(place),
            Err(TrySendError::Full(queue)) => timeout(WAIT, queue.reserve_owned()).await.ok()?.ok(),
            Err(TrySendError::Closed(_)) => None,
        }
    }

    /// Lets go of a file that was moved away, at each SIGHUP, which is how programs
    /// that move logs say so; without it at the next line. Runs until it is dropped.
    pub(crate) async fn follow_hangups(&self) {
        if !self.is_file {
            // Who hangs up on a server at a terminal wants it to end.
            return;
        }
        match signal(SignalKind::hangup()) {
            Ok(mut hangups) => {
                while hangups.recv().await.is_some() {
                    // Closed only at the end.
                    drop(self.queue.send(Entry::Reopen).await);
                }
            }
            Err(error) => tracing::warn!(%error, "SIGHUP is not listened to"),
        }
    }

    /// Waits until all that was told is written, but not forever.
    pub(crate) async fn finish(&self) {
        self.tell_unwritten().await;
        let ended = async {
            drop(self.queue.send(Entry::End).await);
            self.queue.closed().await;
        };
        if timeout(LAST_LINES, ended).await.is_err() {
            self.health.given_up.store(true, Ordering::Relaxed);
            let waiting = SLOTS - self.queue.capacity();
            self.counts.unrecorded(waiting as u64);
            tracing::error!(waiting, "the last lines of the audit log were not written");
        }
    }
}

impl Slot {
    /// Takes the place; never waits.
    pub(super) fn tell(self, entry: Entry) {
        match self.place {
            Some(place) => drop(place.send(entry)),
            None => self.counts.unrecorded(1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn streams_leave_room_for_others() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            log: Log::File(folder.path().join("audit")),
            on_failure: OnFailure::Refuse,
        };
        let audit = Audit::start(&settings, &Counts::default()).unwrap();
        let mut held = Vec::new();
        while let Ok(slot) = audit.stream_slot().await {
            held.push(slot);
        }
        assert!(held.len() <= SLOTS - NOT_FOR_STREAMS + 1);
        assert!(audit.slot().await.is_ok());
        held.truncate(SLOTS / 2);
        assert!(audit.stream_slot().await.is_ok());
    }

    #[test]
    fn a_write_that_does_not_end_is_noticed() {
        let mut health = Health::new();
        assert!(health.is_well());
        health.begin();
        assert!(health.is_well());
        health.base -= STALLED;
        assert!(!health.is_well());
        assert!(!health.done());
        assert!(health.is_well());
        assert!(health.failed() && !health.failed() && !health.is_well());
        assert!(health.done() && health.is_well());
    }
}

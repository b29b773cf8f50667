//! Bounds what blocked streams hold in memory.
//!
//! The connection's window is so large that no stream waits for another, so what
//! a peer that does not read makes us hold has to be bounded here. A stream is
//! *blocked* while its consumer has been handed data and has not asked for more:
//! hyper asks a body again only when its peer takes bytes. A consumer that waits
//! for its producer, as a quiet watch's does, is not blocked.
//!
//! Once a second [`StallBudget::watch`] looks at all streams. One that has been
//! blocked for [`STALLED_AFTER`] counts with all that it may hold; over the limit,
//! a link's or the process', the longest blocked is cut, and the next, until the
//! rest fits. Those that are blocked for shorter may yet go on, and have half as
//! much again; beyond that new streams have to wait, too ([`LinkStalls::is_full`]).
//!
//! Bodies that wait share the length of a frame ([`turns`]), so that one that begins
//! does not wait long.
//!
//! What a frame costs that is smaller than its bookkeeping is bounded by a
//! [`Gauged`] connection.

mod gauge;
mod held;
mod held_body;
mod look;
mod relief;
mod small_out;
mod stream;
mod turns;

use std::future::pending;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};
use std::time::Duration;

use http_body::Body;
use slab::Slab;
use tokio::sync::Notify;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::RelayBody;
use gauge::Gauge;
use held::Held;
use held_body::HeldBody;
use stream::Stream;
use turns::Turns;

pub use gauge::Gauged;
pub use look::Look;
pub use stream::{Stall, StreamHandle};

/// How long a stream is blocked until it counts: a slow reader's window is
/// taken in pieces, and a second or two between them is ordinary.
pub const STALLED_AFTER: Duration = Duration::from_secs(5);

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Why a stream was cut.
pub(crate) const CUT: &str =
    "its reader took nothing for long, and streams that stand still held too much memory";

/// What blocked streams of the process, and of each link, may hold.
#[derive(Clone, Debug)]
pub struct StallBudget(Arc<Process>);

#[derive(Debug)]
struct Process {
    limit: u64,
    link_limit: u64,
    full: AtomicBool,
    links: Mutex<Vec<Weak<Link>>>,
    /// Told of a link that holds too many small frames.
    relief: Notify,
    /// Told not to wait for the next look.
    look: Notify,
}

/// One link's part of the budget.
#[derive(Clone, Debug)]
pub struct LinkStalls(Arc<Link>);

#[derive(Debug)]
struct Link {
    process: Arc<Process>,
    full: AtomicBool,
    gauge: Gauge,
    turns: Turns,
    streams: Mutex<Slab<Seen>>,
}

/// A stream as it was at the last look.
#[derive(Debug)]
struct Seen {
    stream: Arc<Stream>,
    moves: u64,
    blocked_since: Option<Instant>,
}

/// Keeps a stream among its link's until it is dropped.
#[derive(Debug)]
struct Listing {
    link: Arc<Link>,
    id: usize,
}

impl StallBudget {
    /// Limits in bytes, of the process and of each link.
    #[must_use]
    pub fn new(process: u64, link: u64) -> Self {
        Self(Arc::new(Process {
            limit: process,
            link_limit: link,
            full: AtomicBool::new(false),
            links: Mutex::default(),
            relief: Notify::new(),
            look: Notify::new(),
        }))
    }

    /// A new link's part.
    #[must_use]
    pub fn link(&self) -> LinkStalls {
        let link = Arc::new(Link {
            process: self.0.clone(),
            full: AtomicBool::new(false),
            gauge: Gauge::default(),
            turns: Turns::default(),
            streams: Mutex::default(),
        });
        lock(&self.0.links).push(Arc::downgrade(&link));
        LinkStalls(link)
    }

    /// Has [`Self::watch`] look at once: there may be a reason to end streams.
    pub fn look(&self) {
        self.0.look.notify_one();
    }

    /// Looks for ever, and tells of each look.
    pub async fn watch(&self, tell: impl Fn(Look)) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let look = tokio::select! {
                now = looks.tick() => look::look(&self.0, now),
                () = self.0.look.notified() => look::look(&self.0, Instant::now()),
                () = self.0.relief.notified() => look::relieve(&self.0),
            };
            if look.cut > 0 {
                tracing::warn!(streams = look.cut, "cut: {CUT}");
            }
            tell(look);
        }
    }
}

impl LinkStalls {
    /// Whether a new stream has to wait: streams that are blocked hold too much.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.0.full.load(Ordering::Relaxed) || self.0.process.full.load(Ordering::Relaxed)
    }

    /// How often something has come over the link.
    #[must_use]
    pub fn reads(&self) -> u64 {
        self.0.gauge.reads()
    }

    /// Counts the frames that come over the link, after a preface of so many bytes.
    #[must_use]
    pub fn gauge<T>(&self, connection: T, preface: usize) -> Gauged<T> {
        Gauged::new(connection, self.clone(), preface)
    }

    /// Passes a body on to the link.
    #[must_use]
    pub fn outbound(&self, body: RelayBody, held: u64) -> (RelayBody, StreamHandle) {
        self.hold(body, held, false, pending(), Arc::default(), ())
    }

    /// Passes a body on that comes over the link, until `end` gives a reason to cut
    /// it, be it blocked or not. `told` is set to the reason before a cut drops the
    /// body, and with it whoever records its end. `guard` lives until the body is dropped
    /// by whoever it is passed on to.
    #[must_use]
    pub fn inbound<G: Send + 'static>(
        &self,
        body: RelayBody,
        held: u64,
        end: impl Future<Output = &'static str> + Send + 'static,
        told: Arc<OnceLock<&'static str>>,
        guard: G,
    ) -> (RelayBody, StreamHandle) {
        self.hold(body, held, true, end, told, guard)
    }

    fn hold<G: Send + 'static>(
        &self,
        body: RelayBody,
        window: u64,
        inbound: bool,
        end: impl Future<Output = &'static str> + Send + 'static,
        told: Arc<OnceLock<&'static str>>,
        guard: G,
    ) -> (RelayBody, StreamHandle) {
        if body.is_end_stream() {
            return (body, StreamHandle::of_nothing());
        }
        let body = Held::new(body, Box::pin(end));
        let stream = Arc::new(Stream::new(window, Some(body), inbound, told));
        let handle = StreamHandle::new(stream.clone());
        (HeldBody::boxed(self.0.clone(), stream, guard), handle)
    }

    /// A stream to the link that is no body.
    #[must_use]
    pub fn stall(&self, held: u64) -> Stall {
        let stream = Arc::new(Stream::new(held, None, false, Arc::default()));
        Stall::new(stream.clone(), Listing::new(&self.0, stream))
    }
}

impl Listing {
    fn new(link: &Arc<Link>, stream: Arc<Stream>) -> Self {
        let seen = Seen {
            moves: 0,
            blocked_since: None,
            stream,
        };
        let id = lock(&link.streams).insert(seen);
        Self {
            link: link.clone(),
            id,
        }
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        // Each removes its own, once.
        lock(&self.link.streams).try_remove(self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;

//! Who is at the other end of a public connection.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use service_kit::accept::Place;
use service_kit::metrics::Counted as CountedInGauge;

use super::address_block::AddressBlock;
use super::open::OpenOne;

/// A public connection's other end. It counts against its address until it has
/// proved who it is, and against that caller from then on.
#[derive(Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    counted: Mutex<Counted>,
    _open: OpenConnection,
}

/// What an open connection takes; upgraded ones and links hold it to their end.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    /// Of the listener.
    pub(crate) _place: Place,
    /// In the metrics.
    pub(crate) _counted: CountedInGauge,
}

#[derive(Debug)]
enum Counted {
    /// Held, not read: dropped with the connection, or at the proof.
    #[expect(dead_code, reason = "counts until it is dropped")]
    Address(OpenOne<AddressBlock>),
    #[expect(dead_code, reason = "counts until it is dropped")]
    Caller(OpenOne<Arc<str>>),
    /// A link's: counted among its cluster's.
    Link,
}

impl Peer {
    pub(super) fn unproved(
        address: SocketAddr,
        place: OpenOne<AddressBlock>,
        open: OpenConnection,
    ) -> Self {
        Self {
            address,
            counted: Mutex::new(Counted::Address(place)),
            _open: open,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// It is a caller's, the first that it proved to be; `place` is among that
    /// one's connections. Returns whether there was one.
    pub(super) fn proved_as(&self, place: impl FnOnce() -> Option<OpenOne<Arc<str>>>) -> bool {
        let mut counted = self.lock();
        if matches!(*counted, Counted::Address(_)) {
            let Some(place) = place() else { return false };
            *counted = Counted::Caller(place);
        }
        true
    }

    /// It becomes a link.
    pub(crate) fn proved_as_connector(&self) {
        *self.lock() = Counted::Link;
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

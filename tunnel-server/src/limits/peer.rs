//! Who is at the other end of a public connection.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use service_kit::accept::Place;
use service_kit::metrics::Counted as CountedInGauge;
use tokio_util::sync::CancellationToken;

use super::address_block::{AddressBlock, Network};
use super::open::OpenOne;
use super::strangers::Stranger;

/// A public connection's other end. It counts against its address until it has
/// proved who it is, and against that caller from then on.
#[derive(Debug)]
pub(crate) struct Peer {
    address: SocketAddr,
    counted: Mutex<Counted>,
    proved: CancellationToken,
    crowded_out: CancellationToken,
    open: OpenConnection,
}

/// What an open connection takes; upgraded ones and links hold it to their end.
#[derive(Debug)]
pub(crate) struct OpenConnection {
    /// Of the listener.
    pub(crate) place: Place,
    /// In the metrics.
    pub(crate) _counted: CountedInGauge,
    /// Cancelled when it is to end as soon as its open requests have.
    pub(crate) closing: CancellationToken,
}

/// What a connection that has not proved anything counts against.
#[derive(Debug)]
pub(super) struct Unproved {
    pub(super) _address: OpenOne<AddressBlock>,
    pub(super) _network: OpenOne<Network>,
    pub(super) _stranger: Stranger,
    /// In the metrics.
    pub(super) _counted: CountedInGauge,
}

#[derive(Debug)]
enum Counted {
    /// Held, not read: dropped with the connection, or at the proof.
    #[expect(dead_code, reason = "counts until it is dropped")]
    Unproved(Unproved),
    #[expect(dead_code, reason = "counts until it is dropped")]
    Caller(OpenOne<Arc<str>>),
    /// A link's: counted among its cluster's.
    Link,
}

impl Peer {
    pub(super) fn unproved(
        address: SocketAddr,
        counted: Unproved,
        crowded_out: CancellationToken,
        open: OpenConnection,
    ) -> Self {
        Self {
            address,
            counted: Mutex::new(Counted::Unproved(counted)),
            proved: CancellationToken::new(),
            crowded_out,
            open,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// It is a caller's, the first that it proved to be; `place` is among that
    /// one's connections. Returns whether there was one.
    pub(super) fn proved_as(&self, place: impl FnOnce() -> Option<OpenOne<Arc<str>>>) -> bool {
        let mut counted = self.lock();
        if matches!(*counted, Counted::Unproved(_)) {
            let Some(place) = place() else { return false };
            *counted = Counted::Caller(place);
            self.proved.cancel();
        }
        true
    }

    /// It becomes a link.
    pub(crate) fn proved_as_connector(&self) {
        *self.lock() = Counted::Link;
        self.proved.cancel();
    }

    /// Once it has proved who it is.
    pub(crate) async fn proved(&self) {
        self.proved.cancelled().await;
    }

    /// Once it has to make room for others, having proved nothing.
    pub(crate) async fn crowded_out(&self) {
        self.crowded_out.cancelled().await;
    }

    /// Takes no further requests, and ends behind the open ones.
    pub(crate) fn close(&self) {
        self.open.closing.cancel();
    }

    /// See [`Self::close`].
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.open.closing
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! A public connection, and what it counts against.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use service_kit::accept::Place;
use service_kit::metrics::Counted as CountedInGauge;
use tokio_util::sync::CancellationToken;

use super::address_block::{AddressBlock, Network};
use super::open::OpenOne;
use super::strangers::Stranger;
use crate::client_address::ClientAddress;

/// A public connection. It counts against the address of its other end until that has
/// proved who it is, and against that caller from then on.
#[derive(Debug)]
pub(crate) struct Connection {
    address: ClientAddress,
    counted: Mutex<Counted>,
    proved: CancellationToken,
    crowded_out: CancellationToken,
    open: OpenConnection,
    is_shared: bool,
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
    /// A trusted proxy's: it has proved that by its address.
    Proxy,
}

impl Connection {
    pub(super) fn unproved(
        address: ClientAddress,
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
            is_shared: false,
        }
    }

    /// A trusted proxy's: many share it, so that it is nobody's.
    pub(super) fn shared(address: ClientAddress, open: OpenConnection) -> Self {
        let proved = CancellationToken::new();
        proved.cancel();
        Self {
            address,
            counted: Mutex::new(Counted::Proxy),
            proved,
            crowded_out: CancellationToken::new(),
            open,
            is_shared: true,
        }
    }

    /// Whether requests of many come over it.
    pub(crate) fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Of its other end.
    pub(crate) fn address(&self) -> ClientAddress {
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

    /// Takes no further requests, and ends behind the open ones. One that is shared
    /// does not end for what one of many does.
    pub(crate) fn close(&self) {
        if !self.is_shared {
            self.open.closing.cancel();
        }
    }

    /// See [`Self::close`].
    pub(crate) fn closing(&self) -> &CancellationToken {
        &self.open.closing
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

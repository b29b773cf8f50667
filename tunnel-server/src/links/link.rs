//! One live connection from one tunnel-client: opens streams on it.

use std::sync::Arc;

use http::{Request, Response};
use http_relay::RelayBody;
use http_relay::body::error_chain;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tunnel_protocol::ClusterName;
use tunnel_protocol::limits::OPEN_STREAMS;

use crate::access::Permit;

/// Tells links apart, in records that outlive them.
#[derive(Debug)]
pub(crate) struct LinkName {
    /// Unique in this process.
    pub(crate) id: u64,
    /// The tunnel-client that it leads to.
    pub(crate) instance: String,
}

/// A link as the registry holds it.
pub(crate) struct Link {
    pub(crate) name: Arc<LinkName>,
    pub(crate) cluster: ClusterName,
    pub(crate) generation: u64,
    sender: SendRequest<RelayBody>,
    slots: Arc<Semaphore>,
    /// No new requests; those that are open go on.
    pub(crate) draining: CancellationToken,
    /// Ends the link, and with it its streams.
    pub(crate) close: CancellationToken,
}

/// A place among a link's streams; held as long as the stream is open.
pub(crate) type Slot = OwnedSemaphorePermit;

/// Why a stream was not opened, or gave no answer.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    #[error("the link has {OPEN_STREAMS} open streams")]
    Full,
    #[error("the link broke before the answer came: {0}")]
    Broken(String),
}

/// A request that was not sent and can go to another link; or the error.
pub(crate) enum Refused {
    NotSent(Box<Request<RelayBody>>),
    Failed(OpenError),
}

impl Link {
    pub(crate) fn new(
        name: LinkName,
        cluster: ClusterName,
        generation: u64,
        sender: SendRequest<RelayBody>,
    ) -> Self {
        Self {
            name: Arc::new(name),
            cluster,
            generation,
            sender,
            slots: Arc::new(Semaphore::new(OPEN_STREAMS)),
            draining: CancellationToken::new(),
            close: CancellationToken::new(),
        }
    }

    /// Whether new requests may go here.
    pub(crate) fn is_healthy(&self) -> bool {
        !self.sender.is_closed() && !self.draining.is_cancelled() && !self.close.is_cancelled()
    }

    pub(crate) fn open_streams(&self) -> usize {
        OPEN_STREAMS - self.slots.available_permits()
    }

    /// Opens a stream and waits for the head of its answer. Dropping the future,
    /// or later the answer's body, resets the stream.
    ///
    /// Takes a [`Permit`], as nothing unauthorized may go over a link.
    pub(crate) async fn open(
        &self,
        permit: &Permit,
        request: Request<RelayBody>,
    ) -> Result<(Response<Incoming>, Slot), Refused> {
        debug_assert_eq!(
            permit.cluster().name,
            self.cluster,
            "a permit opens only its own cluster's links"
        );
        let Ok(slot) = self.slots.clone().try_acquire_owned() else {
            return Err(Refused::Failed(OpenError::Full));
        };
        match self.sender.clone().try_send_request(request).await {
            Ok(response) => Ok((response, slot)),
            Err(mut error) => Err(match error.take_message() {
                Some(request) => Refused::NotSent(Box::new(request)),
                None => Refused::Failed(OpenError::Broken(error_chain(error.error()))),
            }),
        }
    }
}

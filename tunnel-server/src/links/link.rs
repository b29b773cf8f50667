//! One live connection from one tunnel-client: opens streams on it.

use std::sync::{Arc, OnceLock};

use http::{Request, Response};
use http_relay::RelayBody;
use http_relay::body::error_chain;
use http_relay::h2_error::is_goodbye;
use http_relay::stall_budget::LinkStalls;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use thiserror::Error;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;
use tunnel_protocol::ClusterName;
use tunnel_protocol::limits::{LINK_HEADS, OPEN_STREAMS};

use super::slot::{Places, Slot, held_of_request};
use super::wear::Wear;
use crate::access::Permit;

/// Tells links apart, in records that outlive them.
#[derive(Debug)]
pub(crate) struct LinkName {
    /// Unique in this process.
    pub(crate) id: u64,
    /// The tunnel-client that it leads to.
    pub(crate) instance: String,
    /// Which of that one's links it is.
    pub(crate) lane: u8,
}

impl LinkName {
    /// Whether both are one client's same lane, of which only one is alive.
    pub(super) fn is_in_place_of(&self, other: &Self) -> bool {
        (&self.instance, self.lane) == (&other.instance, other.lane)
    }
}

/// A link as the registry holds it.
pub(crate) struct Link {
    pub(crate) name: Arc<LinkName>,
    pub(crate) cluster: ClusterName,
    pub(crate) generation: u64,
    sender: SendRequest<RelayBody>,
    places: Places,
    /// No new requests; those that are open go on.
    pub(crate) draining: CancellationToken,
    closed: CancellationToken,
    close_reason: OnceLock<&'static str>,
}

/// Why a stream was not opened, or gave no answer.
#[derive(Debug, Error)]
pub(crate) enum OpenError {
    #[error("the link has {OPEN_STREAMS} open streams")]
    Full,
    #[error("the heads of the link's open requests and answers hold {LINK_HEADS} bytes")]
    Heads,
    #[error("the head of the answer has no place beside those of the link's open ones")]
    AnswersHead,
    #[error("streams that stand still hold too much memory")]
    Overloaded,
    #[error("{0}")]
    Stalled(&'static str),
    #[error("the link broke before the answer came: {0}")]
    Broken(String),
}

/// A request that was not sent and can go to another link; or the error.
pub(crate) enum Refused {
    NotSent(Box<Request<RelayBody>>),
    /// It was not sent either: the link has no room, for this reason.
    NoRoom(Box<Request<RelayBody>>, OpenError),
    /// It was sent, and the client says that it has not looked at it.
    NotTaken(OpenError),
    Failed(OpenError),
}

impl Link {
    pub(super) fn new(
        name: LinkName,
        cluster: ClusterName,
        generation: u64,
        sender: SendRequest<RelayBody>,
        stalls: LinkStalls,
        wear: Wear,
    ) -> Self {
        Self {
            name: Arc::new(name),
            cluster,
            generation,
            sender,
            places: Places::new(stalls, wear),
            draining: CancellationToken::new(),
            closed: CancellationToken::new(),
            close_reason: OnceLock::new(),
        }
    }

    /// Whether new requests may go here.
    pub(crate) fn is_healthy(&self) -> bool {
        !self.sender.is_closed() && !self.draining.is_cancelled() && !self.closed.is_cancelled()
    }

    /// Ends the link, and with it its streams.
    pub(super) fn close(&self, reason: &'static str) {
        self.close_reason.get_or_init(|| reason);
        self.closed.cancel();
    }

    /// Waits until it is to end; gives the reason.
    pub(super) async fn closed(&self) -> &'static str {
        self.closed.cancelled().await;
        self.close_reason.get().copied().unwrap_or_default()
    }

    pub(crate) fn open_streams(&self) -> usize {
        self.places.open_streams()
    }

    /// Waits until so many of its streams were reset that another link is to take its
    /// place.
    pub(super) async fn worn(&self) {
        self.places.wear.out().await;
    }

    pub(super) fn is_worn(&self) -> bool {
        self.places.wear.is_out()
    }

    /// Whether it takes no new streams, as those that stand still hold too much.
    pub(crate) fn is_overloaded(&self) -> bool {
        self.places.stalls.is_full()
    }

    fn room(
        &self,
        request: &Request<RelayBody>,
    ) -> Result<(OwnedSemaphorePermit, OwnedSemaphorePermit), OpenError> {
        if self.is_overloaded() {
            return Err(OpenError::Overloaded);
        }
        let place = self.places.stream().map_err(|_| OpenError::Full)?;
        let head = self.places.head(Some(request.uri()), request.headers());
        Ok((place, head.map_err(|_| OpenError::Heads)?))
    }

    /// Opens a stream and waits for the head of its answer. Dropping the future,
    /// or later the answer's body, resets the stream.
    ///
    /// Takes a [`Permit`], as nothing unauthorized may go over a link.
    pub(crate) async fn open(
        &self,
        permit: &Permit,
        request: Request<RelayBody>,
        body_over_http2: bool,
    ) -> Result<(Response<Incoming>, Slot), Refused> {
        debug_assert_eq!(
            permit.cluster().name,
            self.cluster,
            "a permit opens only its own cluster's links"
        );
        let failed = Refused::Failed;
        let (place, head) = match self.room(&request) {
            Ok(room) => room,
            Err(error) => return Err(Refused::NoRoom(Box::new(request), error)),
        };
        let (parts, body) = request.into_parts();
        let stalls = &self.places.stalls;
        let (body, upload) = stalls.outbound(body, held_of_request(body_over_http2));
        let mut slot = Slot::new(upload, &self.places, place, head);
        let mut sender = self.sender.clone();
        let sent = tokio::select! {
            sent = sender.try_send_request(Request::from_parts(parts, body)) => sent,
            reason = slot.upload_cut() => return Err(failed(OpenError::Stalled(reason))),
        };
        match sent {
            Ok(response) => {
                slot.answered(&self.places, response.headers())
                    .map_err(|_| failed(OpenError::AnswersHead))?;
                Ok((response, slot))
            }
            Err(mut error) => Err(match error.take_message() {
                Some(request) => match slot.take_back() {
                    Ok(body) => Refused::NotSent(Box::new(request.map(|_| body))),
                    Err(reason) => failed(OpenError::Stalled(reason)),
                },
                None => {
                    let broken = OpenError::Broken(error_chain(error.error()));
                    // h2 sends its answer to the ping by which a client that said goodbye
                    // waits for late requests ahead of them.
                    if is_goodbye(error.error()) {
                        Refused::NotTaken(broken)
                    } else {
                        failed(broken)
                    }
                }
            }),
        }
    }
}
